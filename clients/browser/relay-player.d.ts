/**
 * relay-player: speech from a relay, in a web page.
 *
 *     import { connect } from "./relay-player.js";
 *     const player = await connect("wss://relay.example/v1/stream", { token });
 *     await player.speak("Hello there.").done;
 *
 * Names of the wire (`start_sample`, `ttfa_ms`) stay as the protocol has them; the player's own are in camelCase.
 * All times are milliseconds, all positions samples since the start of a turn, at `player.sampleRate`.
 */

/** Text for one turn: whole, or as it is being written. A stream or iterable is read no faster than the relay wants it. */
export type Text = string | Iterable<string> | AsyncIterable<string> | ReadableStream<string>;

/** A short-lived token from `POST /v1/tokens`, or a function that fetches one: asked before every connection. */
export type Token = string | (() => string | null | Promise<string | null>);

export interface ConnectOptions {
  /** Needed where the relay has keys. A string serves one connection only, since tokens are used once. */
  token?: Token;
  /** Play into this context instead of a new one. Its rate must be one of the relay's (see `sampleRate`). */
  context?: AudioContext;
  /**
   * The rate of the context that is made, and of the audio asked for. By default the sound card's own, when the relay
   * has it (44100 and 48000 are usual), else 48000. 24000 halves the traffic; the browser then converts.
   */
  sampleRate?: 8000 | 11025 | 12000 | 16000 | 22050 | 24000 | 32000 | 44100 | 48000;
  /** Where the sound goes. Default: `context.destination`. `null`: nowhere, until you connect `player.node`. */
  destination?: AudioNode | null;
  /** Audio as 16-bit integers (default, half the traffic) or as 32-bit floats. */
  encoding?: "pcm_s16le" | "pcm_f32le";
  /** Audio to hold before a turn begins to sound. Default 40; it grows after an underrun and shrinks back. */
  prebufferMs?: number;
  /** To how much the prebuffer may grow. Default 600, at most half of `windowMs`. */
  maxPrebufferMs?: number;
  /** The most audio of a turn that the relay may send ahead of what was played. Default 2000. */
  windowMs?: number;
  /** Also give the sound as `player.stream`, for recording or a peer connection. Default false. */
  stream?: boolean;
  /** The default options of every turn. */
  turn?: TurnOptions;
}

/** What is left out is the relay's own default. */
export interface TurnOptions {
  /** 1 to 64 of `A-Z a-z 0-9 . _ : -`, new in the session. Default: one that the player makes. */
  turnId?: string;
  provider?: string;
  /** Several, instead of `provider`: each goes on where the one before it failed. */
  providers?: string[];
  voice?: string;
  model?: string;
  language?: string;
  instructions?: string;
  pacing?: "fast" | "realtime" | { mode: "fast" | "realtime"; lead_ms?: number; burst_ms?: number };
  /** The provider's own settings, under its own names. */
  options?: Record<string, unknown>;
  /** What of the text is not spoken. */
  textFilter?: ("markdown" | "emoji" | "urls" | "code")[];
  /** Words and how they are said: respellings, or objects with a respelling, IPA or both. */
  lexicon?: Record<string, string | { alias?: string; ipa?: string }>;
  /** Louder or softer, with a limiter: -60 to 30. */
  gainDb?: number;
  /** Longer silence before the first sound is left out: 0 to 2000. */
  maxLeadingSilenceMs?: number;
  /** Keep the audio for `turn.wav()`: at most the first 10 minutes. Default false. */
  record?: boolean;
}

/** Opens a session. Rejects with a `RelayError` if the relay cannot be reached, refuses, or the page cannot play. */
export function connect(url: string | URL, options?: ConnectOptions): Promise<Player>;

/**
 * `idle`: nothing to say. `waiting`: a turn was asked for and is not heard yet. `playing`. `stalled`: the audio has
 * run out in the middle of a turn. `locked`: there is something to play, and the browser wants a gesture of the user
 * first, or the system has interrupted the sound (a call). `closed`: by `close()`, for good.
 */
export type PlayerState = "idle" | "waiting" | "playing" | "stalled" | "locked" | "closed";

export interface PlayerStats {
  sampleRate: number;
  /** Audio held and not yet played, of all turns. */
  bufferedMs: number;
  /** What a turn waits for before it begins to sound, now. */
  targetMs: number;
  /** Gaps inside turns, and how long they were in all. Counted when the sound comes back. */
  underruns: number;
  underrunMs: number;
  /** What was played in all, gaps not counted. */
  playedMs: number;
  /** Between the player's hand and the ear, as the browser tells it. */
  outputLatencyMs: number;
  /** Turns asked for and not yet over. */
  turns: number;
  connected: boolean;
  /** Sessions opened so far; more than 1 after a reconnection. */
  sessions: number;
  contextState: string;
}

export interface Player extends EventTarget {
  /** Speaks after all turns before it. Call it in a click handler and the browser lets the page be heard. */
  speak(text: Text, options?: TurnOptions): Turn;
  /** Cancels every turn, heard or waiting. Resolves when all are over. */
  cancel(): Promise<void>;
  /** Lets the page be heard; call it in a handler of a gesture. The player also does so by itself at the first one. */
  unlock(): Promise<boolean>;
  /** Silence, connection and worklet gone, running turns rejected with `closed`. A context of its own is closed too. */
  close(): Promise<void>;

  readonly state: PlayerState;
  readonly connected: boolean;
  readonly sampleRate: number;
  readonly stats: PlayerStats;
  /** The turns that are not over, in the order in which they speak. */
  readonly turns: readonly Turn[];
  readonly context: AudioContext;
  /** The sound. Connect an `AnalyserNode` to draw it: `player.node.connect(analyser)`. */
  readonly node: AudioWorkletNode;
  /** The sound as a stream, with `stream: true`. */
  readonly stream: MediaStream | null;
  /** What the relay said of itself: limits and defaults. */
  readonly session: SessionReady | null;

  addEventListener<K extends keyof PlayerEvents>(
    type: K,
    listener: (event: CustomEvent<PlayerEvents[K]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof PlayerEvents>(
    type: K,
    listener: (event: CustomEvent<PlayerEvents[K]>) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** What `event.detail` holds. */
export interface PlayerEvents {
  state: { state: PlayerState };
  connection: { connected: boolean; error: RelayError | null };
  /** The words of a segment begin to be heard. */
  segment: { turn: Turn; segment: Segment };
  /** These words begin to be heard, where the provider gives word times. Mostly one. */
  words: { turn: Turn; words: Word[] };
  /** How loud the last 20 ms or so were, 0 to 1; only while playing, and one of 0 at its end. */
  level: { rms: number; peak: number };
  /** Twice a turn: when its first sample is heard, and at its end, with the relay's own times. */
  timings: { turn: Turn; timings: TurnTimings };
  /** A gap inside a turn is over. */
  underrun: { turn: Turn; atSample: number; ms: number };
  /** The relay says why nothing is heard yet, or who speaks now: `turn.waiting`, `turn.progress`, `turn.failover`. */
  notice: { turn: Turn; notice: { type: string; [field: string]: unknown } };
}

export interface Turn {
  readonly id: string;
  /**
   * Resolves when the last sample has been heard, or, after a cancel, with `turn.cancelled`. Rejects with a `RelayError`
   * when the turn fails, after what was good has been heard (at once while the page is `locked`).
   */
  readonly done: Promise<TurnDone | TurnCancelled>;
  /** Silence within 5 ms of sound, and nothing more of this turn is ever heard. Idempotent. Returns `done`. */
  cancel(): Promise<TurnDone | TurnCancelled>;
  /** `queued`: not told the relay yet. `waiting`: no sound yet. `ending`: cancelled or failed, soon over. */
  readonly state: "queued" | "waiting" | "playing" | "ending" | "over";
  /** Set as soon as the turn is known to fail, before `done` rejects. */
  readonly error: RelayError | null;
  /** Samples that were heard. */
  readonly heardSamples: number;
  readonly receivedSamples: number;
  /** What of the text has been or will be heard, as far as is known. */
  readonly segments: readonly Segment[];
  readonly words: readonly Word[];
  readonly started: TurnStarted | null;
  readonly timings: TurnTimings;
  /** With `record: true`: what has come so far as a WAV file, exact; all of it once `done`. */
  wav(): Blob;
  /** The same as samples, -1 to 1; those from sample `from` on. */
  samples(from?: number): Float32Array;
}

/** Milliseconds after `speak()` was called, on the page's own clock; `null` where it has not happened. */
export interface TurnTimings {
  /** The first message of the turn was handed to the socket. */
  sentMs: number | null;
  /** The relay's time to first audio, by its own clock and after the turn's first text; told with the first frame. */
  ttfaMs: number | null;
  firstFrameMs: number | null;
  /** The first sample was handed to the sound card. */
  firstPlayedMs: number | null;
  /** The first sample left the speaker, as far as the browser knows its own latency. */
  firstHeardMs: number | null;
  lastFrameMs: number | null;
  lastHeardMs: number | null;
  /** `firstPlayedMs` - `firstFrameMs`: what the player added, the prebuffer above all. */
  playerMs: number | null;
  /** The relay's view of the same turn, once it has ended there. */
  relay: RelayTimings | null;
}

export interface RelayTimings {
  request_sent: number | null;
  response_headers: number | null;
  first_byte: number | null;
  first_sample: number | null;
  first_frame: number | null;
  last_byte: number | null;
  last_frame: number | null;
  ttfa_ms: number | null;
  leading_silence_ms: number | null;
  ttfs_ms: number | null;
  relay_ms: number | null;
  connection_reused: boolean | null;
}

export interface Segment {
  index: number;
  text: string;
  start_sample: number;
}

export interface Word {
  text: string;
  start_sample: number;
  end_sample: number;
}

export interface TurnStarted {
  turn_id: string;
  turn_index: number;
  provider: string;
  voice: string | null;
  model?: string;
  audio: { encoding: string; sample_rate: number; channels: number; frame_ms: number; frame_samples: number };
}

export interface TurnDone {
  type: "turn.done";
  turn_id: string;
  frames: number;
  samples: number;
  padding_samples: number;
  duration_ms: number;
  text_chars: number;
  timings: RelayTimings;
  provider_ids: Record<string, unknown>;
}

export interface TurnCancelled {
  type: "turn.cancelled";
  turn_id: string;
  /** Heard by the time of the cancel. */
  samples_played: number;
  samples_sent: number;
  /** `null` where the relay had nothing more to say of the turn: all of it had been sent, or it was never asked. */
  text_sent: string | null;
  timings: RelayTimings | null;
}

export interface SessionReady {
  session_id: string;
  protocol: string;
  limits: { max_message_bytes: number; max_turn_chars: number; max_open_turns: number; idle_timeout_s: number };
  defaults: { provider: string; voice: string | null; audio: object; pacing: object };
}

/**
 * `code` is one of the relay's (docs/reference/errors.md) or one of the player's own: `connect_failed` (unreachable, or
 * refused in a way that the page is not shown: a spent token, an origin that is not allowed), `connection_lost`, `no_audio` (the page cannot
 * play: no AudioWorklet, not a secure context, or its context was closed), `text_source` (what gave the text threw; see `cause`), `bad_stream`
 * (the relay sent what it may not), `closed`.
 */
export class RelayError extends Error {
  readonly name: "RelayError";
  readonly code: string;
  /** The same may succeed later. */
  readonly retryable: boolean;
  readonly retryAfterS: number | null;
  readonly turnId: string | null;
  /** What the speech provider itself said. */
  readonly provider: { name: string; status?: number; code?: string; message?: string; request_id?: string } | null;
}
