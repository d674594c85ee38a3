/** The page's audio context, unlocked as soon as a gesture allows, and the worklet in it. Knows nothing of turns. */

import { RelayError } from "./errors.js";
import { SAMPLE_RATES, sampleRateFor } from "./wire.js";

const GESTURES = ["pointerdown", "pointerup", "touchend", "keydown", "click"];
// What rates of sound cards that the relay does not have (96000, 192000) are replaced by; the browser converts.
const COMMON_RATE = 48000;
// `resume()` stays unanswered for ever where a gesture is wanted.
const UNLOCK_TIMEOUT_MS = 1000;
// What a browser reports beyond this is a mistake and not a latency.
const MAX_LATENCY_S = 1;

const listening = { capture: true, passive: true };

export class Sound {
  #own;
  #on;
  #gesture = () => this.resume();

  /** `on`: `report(message)` of the worklet, `changed()` of the context's state, `broken()` worklet. */
  static async open(config, on) {
    const { context, own } = contextFor(config);
    const sound = new Sound(context, own, on);
    try {
      await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
      sound.#build(config);
    } catch (cause) {
      await sound.close();
      throw new RelayError("no_audio", "the audio worklet cannot be loaded; does script-src allow it?", { cause });
    }
    return sound;
  }

  constructor(context, own, on) {
    this.context = context;
    this.node = null;
    this.stream = null;
    this.#own = own;
    this.#on = on;
    for (const type of GESTURES) document.addEventListener(type, this.#gesture, listening);
    document.addEventListener("visibilitychange", this.#gesture);
    context.addEventListener("statechange", this.#changed);
  }

  /** Nothing can be heard now: no gesture yet, or interrupted. */
  get locked() {
    return this.context.state !== "running";
  }

  /** From the worklet's hand to the ear, as far as the browser knows. */
  get latencyS() {
    const { outputLatency, baseLatency } = this.context;
    const latency = outputLatency > 0 ? outputLatency : baseLatency;
    return latency > 0 ? Math.min(latency, MAX_LATENCY_S) : 0;
  }

  /** Seconds since that frame of the context's clock was handed over. */
  ago(frame) {
    return Math.max(0, this.context.currentTime - frame / this.context.sampleRate);
  }

  post(message) {
    this.node.port.postMessage(message);
  }

  /** One frame, whose memory goes to the audio thread. */
  transfer(buffer) {
    this.node.port.postMessage(buffer, [buffer]);
  }

  /** Asks for sound. Harmless whenever it is called, and of use in a gesture's handler. */
  resume() {
    if (this.locked && this.context.state !== "closed") this.context.resume().catch(() => {});
  }

  async unlock() {
    if (!this.locked) return true;
    if (this.context.state === "closed") return false;
    let timer;
    const patience = new Promise((resolve) => {
      timer = setTimeout(resolve, UNLOCK_TIMEOUT_MS);
    });
    await Promise.race([this.context.resume().catch(() => {}), patience]);
    clearTimeout(timer);
    return !this.locked;
  }

  async close() {
    for (const type of GESTURES) document.removeEventListener(type, this.#gesture, listening);
    document.removeEventListener("visibilitychange", this.#gesture);
    this.context.removeEventListener("statechange", this.#changed);
    if (this.node !== null) {
      this.post({ type: "close" });
      this.node.disconnect();
    }
    if (this.#own && this.context.state !== "closed") await this.context.close();
  }

  #changed = () => {
    if (this.context.state === "closed") this.#on.broken();
    else this.#on.changed();
  };

  #build({ encoding, prebufferMs, maxPrebufferMs, windowMs, turns, destination, stream }) {
    const { context } = this;
    const samples = (ms) => Math.round((ms * context.sampleRate) / 1000);
    this.node = new AudioWorkletNode(context, "relay-player", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: {
        encoding,
        turns,
        window: samples(windowMs) + 1, // a grant may be half a sample more than was played
        minTarget: samples(prebufferMs),
        maxTarget: samples(maxPrebufferMs),
      },
    });
    this.node.port.onmessage = ({ data }) => this.#on.report(data);
    this.node.onprocessorerror = () => this.#on.broken();
    if (destination !== null) this.node.connect(destination ?? context.destination);
    if (stream) {
      const out = context.createMediaStreamDestination();
      this.node.connect(out);
      this.stream = out.stream;
    }
  }
}

/** The context to play in, and whether it is ours. Throws a RelayError where there can be none. */
function contextFor({ context, sampleRate }) {
  if (sampleRate !== undefined && sampleRateFor(sampleRate) === undefined) {
    throw new TypeError(`sampleRate is ${sampleRate}; the relay has ${SAMPLE_RATES.join(", ")}`);
  }
  if (globalThis.AudioWorkletNode === undefined) {
    const reason = globalThis.isSecureContext === false ? "the page is not a secure context (https or localhost)" : "it is too old";
    throw new RelayError("no_audio", `this browser gives the page no AudioWorklet: ${reason}`);
  }
  if (context !== undefined) {
    if (sampleRateFor(context.sampleRate) !== undefined) return { context, own: false };
    throw new TypeError(`a context of ${context.sampleRate} Hz; the relay has ${SAMPLE_RATES.join(", ")}`);
  }
  const made = make(sampleRate);
  if (sampleRateFor(made.sampleRate) !== undefined) return { context: made, own: true };
  made.close();
  return { context: make(COMMON_RATE), own: true };
}

function make(sampleRate) {
  try {
    return new AudioContext({ latencyHint: "interactive", ...(sampleRate && { sampleRate }) });
  } catch (cause) {
    throw new RelayError("no_audio", "the browser makes no audio context", { cause });
  }
}
