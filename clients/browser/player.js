/** Turns, in order: from the page to the relay, from the relay to the audio thread, and from there to the ear. */

import { RelayError } from "./errors.js";
import { Link, closedError } from "./link.js";
import { Playhead } from "./playhead.js";
import { Sound } from "./sound.js";
import { Turn } from "./turn.js";
import { HEADER_BYTES, readHeader, renumber, textPerMessage, turnFields } from "./wire.js";

// Turns the relay knows of and the ear has not heard to their end. Enough that short ones follow each other without a
// gap; together with the window it bounds what the page holds: 4 x 2 s of audio, 1.5 MB at 48000 Hz.
const TURNS_AHEAD = 4;
// Grants go out in eighths of the window: seldom enough to cost nothing, soon enough that credit never runs short.
const GRANTS_PER_WINDOW = 8;

const DEFAULTS = { encoding: "pcm_s16le", prebufferMs: 40, maxPrebufferMs: 600, windowMs: 2000 };
// The relay sends whole frames, of 20 or 40 ms, within the window.
const LEAST_MS = { prebufferMs: 0, maxPrebufferMs: 0, windowMs: 100 };

const OPTIONS = new Set([
  ...["token", "context", "sampleRate", "destination", "encoding"],
  ...["prebufferMs", "maxPrebufferMs", "windowMs", "stream", "turn"],
]);

export class Player extends EventTarget {
  #link;
  #sound;
  #config;
  #turns = [];
  /** By the number the audio thread knows it by, and by the number of the relay's session. */
  #byKey = new Map();
  #byIndex = new Map();
  #lastKey = 0;
  #playhead = new Playhead();
  #report = { state: "idle", held: 0, target: 0, total: 0, underruns: 0, underrunSamples: 0 };
  #state = "idle";
  #closed = false;
  #loud = false;
  #port;

  /** Made by `connect`. */
  constructor() {
    super();
    // What a turn may do; not for the page.
    this.#port = {
      send: (message) => this.#link.send(message),
      tell: (type, detail) => this.#tell(type, detail),
      drop: (turn) => this.#drop(turn),
      finish: (turn) => this.#finish(turn),
      over: (turn) => this.#over(turn),
      isLocked: () => this.#sound.locked,
      textSize: () => textPerMessage(this.#link.ready.limits.max_message_bytes),
    };
  }

  static async open(url, options) {
    for (const name of Object.keys(options)) {
      if (!OPTIONS.has(name)) throw new TypeError(`no option ${name}; there are ${[...OPTIONS].join(", ")}`);
    }
    const player = new Player();
    const config = { ...DEFAULTS, ...options };
    for (const name of ["prebufferMs", "maxPrebufferMs", "windowMs"]) {
      if (!(Number.isInteger(config[name]) && config[name] >= LEAST_MS[name])) {
        throw new TypeError(`${name} is ${config[name]}; it must be a whole number, ${LEAST_MS[name]} or more`);
      }
    }
    config.maxPrebufferMs = Math.max(config.prebufferMs, Math.min(config.maxPrebufferMs, config.windowMs / 2));
    player.#config = config;
    player.#link = new Link(url, config.token, {
      message: (message) => player.#message(message),
      audio: (buffer) => player.#audio(buffer),
      ready: () => player.#ready(),
      lost: (error, { quiet }) => player.#lost(error, quiet),
      busy: () => player.#turns.some((turn) => turn.sent && !turn.relayOver),
    });
    const [sound, session] = await Promise.allSettled([
      Sound.open(
        { ...config, turns: TURNS_AHEAD },
        {
          report: (message) => player.#heard(message),
          changed: () => player.#restate(),
          broken: () => player.#broken(),
        },
      ),
      player.#link.open(),
    ]);
    player.#sound = sound.value;
    if (sound.status === "fulfilled" && session.status === "fulfilled") return player;
    player.#link.close();
    await player.#sound?.close();
    throw sound.reason ?? session.reason;
  }

  get state() {
    return this.#state;
  }

  get connected() {
    return this.#link.connected;
  }

  get session() {
    return this.#link.ready;
  }

  get turns() {
    return [...this.#turns];
  }

  get context() {
    return this.#sound.context;
  }

  get sampleRate() {
    return this.#sound.context.sampleRate;
  }

  get node() {
    return this.#sound.node;
  }

  get stream() {
    return this.#sound.stream;
  }

  get stats() {
    const report = this.#report;
    const ms = (samples) => (samples * 1000) / this.sampleRate;
    return {
      sampleRate: this.sampleRate,
      bufferedMs: ms(report.held),
      targetMs: report.target ? ms(report.target) : this.#config.prebufferMs,
      underruns: report.underruns,
      underrunMs: ms(report.underrunSamples),
      playedMs: ms(report.total),
      outputLatencyMs: this.#sound.latencyS * 1000,
      turns: this.#turns.length,
      connected: this.connected,
      sessions: this.#link.sessions,
      contextState: this.context.state,
    };
  }

  speak(text, options = {}) {
    if (this.#closed) throw closedError();
    if (typeof text !== "string" && !(Object(text) === text && isSource(text))) {
      throw new TypeError("text must be a string, or an iterable or stream of strings");
    }
    const { windowMs, encoding, turn: defaults } = this.#config;
    const given = { ...defaults, ...options };
    this.#lastKey += 1;
    const format = { sampleRate: this.sampleRate, encoding, windowMs };
    const fields = turnFields(given.turnId ?? `p-${this.#lastKey}`, given, format);
    if (this.#turns.some(({ id }) => id === fields.turn_id)) {
      throw new TypeError(`turnId ${fields.turn_id} is that of another turn`);
    }
    const turn = new Turn(this.#port, this.#lastKey, text, fields, { record: given.record, sampleRate: this.sampleRate });
    this.#turns.push(turn);
    // In a click handler this is what lets the page be heard.
    this.#sound.resume();
    this.#pump();
    this.#restate();
    return turn;
  }

  async cancel() {
    // The last one first, so that none begins to sound in between.
    await Promise.allSettled(this.turns.reverse().map((turn) => turn.cancel()));
  }

  unlock() {
    return this.#sound.unlock();
  }

  async close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const turn of this.turns.reverse()) {
      turn.done.catch(() => {}); // asked for, so nobody's surprise
      turn.fail(closedError(), { atOnce: true });
    }
    this.#link.send({ type: "session.close" });
    this.#link.close();
    this.#restate();
    await this.#sound.close();
  }

  // Turns.

  /** Tells the relay of the turns whose time has come. */
  #pump() {
    const waiting = this.#turns.filter((turn) => turn.state === "queued");
    if (waiting.length === 0) return;
    if (!this.#link.connected) {
      this.#reconnect();
      return;
    }
    const ahead = Math.min(TURNS_AHEAD, this.#link.ready.limits.max_open_turns);
    let open = this.#turns.filter((turn) => turn.sent && !turn.silenced).length;
    for (const turn of waiting) {
      if (open >= ahead) return;
      open += 1;
      this.#byKey.set(turn.key, turn);
      this.#sound.post({ type: "begin", turn: turn.key });
      turn.begin();
    }
  }

  /** Silence for this turn, now. */
  #drop(turn) {
    this.#sound.post({ type: "cancel", turn: turn.key });
    this.#pump();
  }

  /** No more audio of it will come. Whether there is some still to be heard. */
  #finish(turn) {
    this.#sound.post({ type: "end", turn: turn.key });
    return turn.receivedSamples > 0 && !turn.heardOut;
  }

  #over(turn) {
    if (turn.receivedSamples === 0) this.#sound.post({ type: "cancel", turn: turn.key });
    this.#turns = this.#turns.filter((other) => other !== turn);
    this.#byKey.delete(turn.key);
    if (turn.sent && this.#link.connected && turn.heardSamples > 0) {
      this.#link.send(turn.report());
    }
    if (!this.#closed) this.#pump();
    this.#restate();
  }

  // From the relay.

  #ready() {
    this.#byIndex.clear();
    this.#tell("connection", { connected: true, error: null });
  }

  #message(message) {
    const turn = this.#turns.find((other) => other.sent && other.id === message.turn_id);
    if (turn !== undefined) {
      if (message.type === "turn.started") this.#byIndex.set(message.turn_index, turn);
      turn.message(message);
      if (turn.relayOver && turn.started) this.#byIndex.delete(turn.started.turn_index);
    } else if (message.type === "error" && message.turn_id === undefined) {
      console.warn(`relay: ${message.code}: ${message.message}`);
    }
  }

  #audio(buffer) {
    let header;
    try {
      header = readHeader(buffer);
    } catch {
      return; // no frame of ours: the turn that misses it says so
    }
    const turn = this.#byIndex.get(header.turn);
    // Frames that were under way when their turn was cancelled.
    if (turn === undefined || turn.silenced || turn.relayOver) return;
    const width = this.#config.encoding === "pcm_f32le" ? 4 : 2;
    const samples = (buffer.byteLength - HEADER_BYTES) / width - header.padding;
    if (!turn.frame(buffer, header.start, samples)) return;
    renumber(buffer, turn.key);
    this.#sound.transfer(buffer);
    this.#restate();
  }

  #lost(error, quiet) {
    this.#tell("connection", { connected: false, error });
    // Those that the relay has sent whole are heard to their end; those it was never told of wait for the next session.
    for (const turn of this.turns) if (turn.sent && !turn.relayOver) turn.fail(error);
    if (this.#closed) return;
    if (!quiet || this.#turns.some((turn) => turn.state === "queued")) this.#reconnect();
  }

  #reconnect() {
    this.#link.reopen().then(
      () => this.#pump(),
      (error) => {
        if (this.#closed) return;
        this.#tell("connection", { connected: false, error });
        for (const turn of this.turns) if (turn.state === "queued") turn.fail(error);
      },
    );
  }

  // From the audio thread.

  #heard(message) {
    const turn = this.#byKey.get(message.turn);
    switch (message.type) {
      case "started":
      case "finished":
        this.#playhead.handed(message.frame, message);
        if (message.type === "started") turn?.playing(this.#sound.ago(message.frame) * 1000);
        break;
      case "gap": {
        const ms = (message.samples * 1000) / this.sampleRate;
        if (turn) {
          turn.gap(ms);
          this.#tell("underrun", { turn, atSample: message.atSample, ms });
        }
        break;
      }
      case "overflow":
        turn?.fail(
          new RelayError("bad_stream", "the relay sent more than it was granted", { turnId: turn.id }),
          { atOnce: true },
        );
        break;
      default:
        this.#report = message;
        this.#playhead.handed(message.frame, message);
        this.#grant(turn, message.played);
        this.#catchUp(message.frame);
        break;
    }
    this.#restate();
  }

  /** Everything that is heard by the time `frame` is handed over. */
  #catchUp(frame) {
    const latencyS = this.#sound.latencyS;
    for (const item of this.#playhead.heard(frame, latencyS * this.sampleRate)) {
      const turn = this.#byKey.get(item.turn);
      if (item.type === "finished") turn?.ended(item.samples, latencyS * 1000);
      else if (item.type === "progress") {
        turn?.heard(item.played, latencyS * 1000);
        if (item.peak > 0 || this.#loud) this.#tell("level", { rms: item.rms, peak: item.peak });
        this.#loud = item.peak > 0;
      }
    }
  }

  /** Credit for what was played, and word of how far the ear is. */
  #grant(turn, played) {
    if (turn === undefined) return;
    turn.playedSamples = played;
    if (turn.relayOver) return;
    const ms = Math.floor((played * 1000) / this.sampleRate) - turn.grantedMs;
    if (ms < this.#config.windowMs / GRANTS_PER_WINDOW) return;
    turn.grantedMs += ms;
    this.#link.send({ type: "flow.grant", turn_id: turn.id, ms });
    this.#link.send(turn.report());
  }

  /** There will be no sound any more. */
  #broken() {
    const error = new RelayError("no_audio", "the page's sound has ended: its context was closed, or its thread failed");
    for (const turn of this.turns.reverse()) turn.fail(error, { atOnce: true });
    this.close();
  }

  // To the page.

  #restate() {
    const state = this.#stateNow();
    if (state === this.#state) return;
    this.#state = state;
    this.#tell("state", { state });
  }

  #stateNow() {
    if (this.#closed) return "closed";
    if (this.#turns.length === 0) return "idle";
    if (this.#sound.locked && this.#turns.some((turn) => turn.receivedSamples > 0)) return "locked";
    const head = this.#turns.find((turn) => !turn.silenced);
    if (head?.timings.firstPlayedMs == null) return "waiting";
    return this.#report.state === "stalled" && this.#report.turn === head.key ? "stalled" : "playing";
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function isSource(text) {
  return Symbol.asyncIterator in text || Symbol.iterator in text || typeof text.getReader === "function";
}
