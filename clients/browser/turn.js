/** One turn as its page sees it. What it does to socket and sound it does through `Player`. */

import { RelayError } from "./errors.js";
import { HEADER_BYTES, cut } from "./wire.js";
import { Recording } from "./wav.js";

// A cancel is answered at once; without an answer the turn is over all the same.
const CANCEL_TIMEOUT_MS = 5_000;

export class Turn {
  #player;
  #text;
  #settle;
  #iterator = null;
  #paused = null;
  #resume = null;
  #recording = null;
  #cancelled = null;
  #cancelTimer;
  #told = { segments: 0, words: 0 };
  #gaps = { underruns: 0, underrun_ms: 0 };

  /** Made by `Player.speak`. `player` is what a turn may do: `send`, `tell`, `drop`, `finish`, `over`, `isLocked`, `textSize`. */
  constructor(player, key, text, fields, { record, sampleRate }) {
    this.#player = player;
    this.#text = text;
    this.key = key;
    this.id = fields.turn_id;
    this.fields = fields;
    this.sampleRate = sampleRate;
    this.spokenAt = performance.now();
    this.state = "queued";
    this.error = null;
    this.outcome = null;
    this.started = null;
    this.segments = [];
    this.words = [];
    this.heardSamples = 0;
    this.playedSamples = 0;
    this.receivedSamples = 0;
    this.grantedMs = 0;
    this.relayOver = false;
    this.heardOut = false;
    this.timings = {
      sentMs: null,
      ttfaMs: null,
      firstFrameMs: null,
      firstPlayedMs: null,
      firstHeardMs: null,
      lastFrameMs: null,
      lastHeardMs: null,
      playerMs: null,
      relay: null,
    };
    if (record) this.#recording = new Recording(sampleRate, fields.audio.encoding);
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  get sent() {
    return this.timings.sentMs !== null;
  }

  get over() {
    return this.state === "over";
  }

  /** Nothing more of it may sound. */
  get silenced() {
    return this.over || this.#cancelled !== null;
  }

  cancel() {
    if (this.silenced) return this.done;
    this.state = "ending";
    this.#player.drop(this);
    this.#cancelled = {
      type: "turn.cancelled",
      turn_id: this.id,
      samples_played: this.heardSamples,
      samples_sent: this.receivedSamples,
      text_sent: null,
      timings: this.timings.relay,
    };
    this.#stopText();
    const told =
      this.sent &&
      !this.relayOver &&
      this.#player.send({ type: "turn.cancel", turn_id: this.id, played_samples: this.heardSamples });
    if (told) this.#cancelTimer = setTimeout(() => this.#end(this.#cancelled), CANCEL_TIMEOUT_MS);
    else this.#end(this.#cancelled);
    return this.done;
  }

  wav() {
    return this.#recorded().wav();
  }

  samples(from = 0) {
    return this.#recorded().samples(from);
  }

  // What the player tells it.

  /** Says the text to the relay: at once, or as it comes. */
  async begin() {
    this.state = "waiting";
    const text = this.#text;
    this.#text = null;
    const send = (message) => this.#player.send(message);
    const size = this.#player.textSize();
    if (typeof text === "string" && text.length <= size) {
      send({ type: "speak", text, ...this.fields });
      this.timings.sentMs = this.since();
      return;
    }
    send({ type: "turn.start", ...this.fields });
    this.timings.sentMs = this.since();
    try {
      this.#iterator = iterate(typeof text === "string" ? cut(text, size) : text);
      while (!this.#textOver) {
        const { done, value } = await this.#iterator.next();
        if (done) break;
        if (typeof value !== "string") throw new TypeError(`text is ${typeof value}, it must be string`);
        for (const piece of cut(value, size)) {
          await this.#paused;
          if (this.#textOver) return;
          send({ type: "text.append", turn_id: this.id, text: piece });
        }
      }
      if (!this.#textOver) send({ type: "turn.end", turn_id: this.id });
    } catch (cause) {
      if (this.#textOver) return;
      // What was given is spoken; the turn then fails, since it was not all that was to be said.
      this.error = new RelayError("text_source", "what gives the text failed", { turnId: this.id, cause });
      send({ type: "turn.end", turn_id: this.id });
    }
  }

  /** A message of the relay about this turn. */
  message(message) {
    switch (message.type) {
      case "turn.started":
        this.started = message;
        break;
      case "audio.started":
        this.timings.ttfaMs = message.ttfa_ms;
        break;
      case "text.segment":
        this.segments.push({ index: message.index, text: message.text, start_sample: message.start_sample });
        break;
      case "text.words":
        this.words.push(...message.words);
        break;
      case "text.paused":
        this.#paused ??= new Promise((resolve) => {
          this.#resume = resolve;
        });
        break;
      case "text.resumed":
        this.#goOn();
        break;
      case "turn.done":
        this.#relayEnded(message);
        this.outcome = message;
        if (this.#cancelled) this.#end({ ...this.#cancelled, samples_sent: message.samples, timings: message.timings });
        else if (this.receivedSamples !== message.samples) {
          this.fail(new RelayError("bad_stream", "frames of the turn are missing", { turnId: this.id, retryable: true }));
        } else if (!this.#player.finish(this)) this.#conclude();
        break;
      case "turn.cancelled":
        this.#relayEnded(message);
        // Without our asking, it was the relay's own wish: less was spoken than was to be.
        this.#end({ ...message, samples_played: this.#cancelled?.samples_played ?? this.heardSamples });
        break;
      case "error":
        this.#relayEnded(message);
        this.fail(RelayError.fromWire(message));
        break;
      case "turn.waiting":
      case "turn.progress":
      case "turn.failover":
        this.#player.tell("notice", { turn: this, notice: message });
        break;
      default: // what is newer than this player
    }
  }

  /** Frames were received: `samples` of speech that begin at `start`. */
  frame(buffer, start, samples) {
    if (start !== this.receivedSamples) {
      this.fail(new RelayError("bad_stream", "a frame is missing or came twice", { turnId: this.id, retryable: true }));
      return false;
    }
    this.timings.firstFrameMs ??= this.since();
    this.timings.lastFrameMs = this.since();
    this.receivedSamples += samples;
    this.#recording?.add(buffer, HEADER_BYTES, samples);
    return true;
  }

  /** The first sample is in the sound card's hands since `ago` milliseconds. */
  playing(ago) {
    if (this.silenced) return;
    this.state = this.error ? "ending" : "playing";
    // The context's clock, as the page sees it, moves in steps.
    this.timings.firstPlayedMs = Math.max(this.since() - ago, this.timings.firstFrameMs);
    this.timings.playerMs = this.timings.firstPlayedMs - this.timings.firstFrameMs;
  }

  /** A gap of `ms` inside the turn is over. */
  gap(ms) {
    this.#gaps.underruns += 1;
    this.#gaps.underrun_ms += ms;
  }

  /** For the relay: how far the ear is, and the gaps since this was last asked. */
  report() {
    const gaps = this.#gaps.underruns > 0 ? this.#gaps : {};
    this.#gaps = { underruns: 0, underrun_ms: 0 };
    return { type: "playback.report", turn_id: this.id, samples: this.heardSamples, ...gaps };
  }

  /** That many samples were heard, `latencyMs` after they were handed over; tells the captions due. */
  heard(samples, latencyMs) {
    if (this.silenced) return;
    this.heardSamples = Math.max(this.heardSamples, samples);
    if (this.timings.firstHeardMs === null && this.timings.firstPlayedMs !== null) {
      this.timings.firstHeardMs = this.timings.firstPlayedMs + latencyMs;
      this.#player.tell("timings", { turn: this, timings: this.timings });
    }
    const due = (list, count) => {
      let end = count;
      while (end < list.length && list[end].start_sample <= this.heardSamples) end += 1;
      return end;
    };
    const segments = due(this.segments, this.#told.segments);
    for (; this.#told.segments < segments; this.#told.segments += 1) {
      this.#player.tell("segment", { turn: this, segment: this.segments[this.#told.segments] });
    }
    const words = due(this.words, this.#told.words);
    if (words > this.#told.words) {
      const spoken = this.words.slice(this.#told.words, words);
      this.#told.words = words;
      this.#player.tell("words", { turn: this, words: spoken });
    }
  }

  /** The last sample was heard. */
  ended(samples, latencyMs) {
    if (this.silenced) return;
    this.heard(samples, latencyMs);
    this.timings.lastHeardMs = this.since();
    // The last frame may be heard before the message that says how the turn ended.
    this.heardOut = true;
    if (this.relayOver) this.#conclude();
  }

  /** It has failed: what was good is heard first, unless `atOnce` or there is nothing. */
  fail(error, { atOnce = false } = {}) {
    if (this.over) return;
    this.relayOver = true;
    this.#stopText();
    if (this.#cancelled) {
      this.#end(this.#cancelled);
      return;
    }
    this.error ??= error;
    this.state = "ending";
    if (atOnce || this.#player.isLocked() || !this.#player.finish(this)) this.#reject();
  }

  since() {
    return performance.now() - this.spokenAt;
  }

  get #textOver() {
    return this.relayOver || this.silenced;
  }

  #recorded() {
    if (!this.#recording) throw new TypeError("the turn was not recorded; speak it with record: true");
    return this.#recording;
  }

  #relayEnded(message) {
    this.relayOver = true;
    this.timings.relay = message.timings ?? null;
    this.#stopText();
  }

  #goOn() {
    this.#resume?.();
    this.#resume = this.#paused = null;
  }

  #stopText() {
    this.#goOn();
    const iterator = this.#iterator;
    this.#iterator = null;
    // A source that waits for its own next piece is not waited for.
    (async () => iterator?.return?.())().catch(() => {});
  }

  #conclude() {
    if (this.error) this.#reject();
    else this.#end(this.outcome);
  }

  #end(outcome) {
    if (this.over) return;
    this.#close();
    this.#settle.resolve(outcome);
  }

  #reject() {
    if (this.over) return;
    this.#player.drop(this);
    this.#close();
    this.#settle.reject(this.error);
  }

  #close() {
    clearTimeout(this.#cancelTimer);
    this.state = "over";
    this.#player.tell("timings", { turn: this, timings: this.timings });
    this.#player.over(this);
  }
}

/** Any source of text as an iterator with `next`. */
function iterate(text) {
  if (Symbol.asyncIterator in text) return text[Symbol.asyncIterator]();
  if (Symbol.iterator in text) return text[Symbol.iterator]();
  // Safari's ReadableStream is not iterable.
  const reader = text.getReader();
  return { next: () => reader.read(), return: () => reader.cancel() };
}
