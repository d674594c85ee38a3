/**
 * The audio thread's side: a jitter buffer with a port. Loaded by URL, so that a strict Content-Security-Policy holds.
 *
 * In: an ArrayBuffer is one frame with its header; objects are `begin`, `end`, `cancel` of a turn, and `close`.
 * Out: `started`, `gap`, `finished` as they happen, and `progress` every few quanta while there is something to tell.
 * Frames of the context's clock stand with each, so that the page knows when it will be heard without any timer.
 */

import { JitterBuffer } from "./jitter-buffer.js";
import { HEADER_BYTES, readHeader } from "./wire.js";

const REPORT_EVERY = 8; // quanta of 128 samples: 21 ms at 48000 Hz
// How long reports go on after the last sound: longer than the sound takes to the ear, Bluetooth included.
const REPORT_AFTER_S = 1.5;

class RelayPlayerProcessor extends AudioWorkletProcessor {
  #buffer;
  #scale;
  #Samples;
  #quanta = 0;
  #sum = 0;
  #count = 0;
  #peak = 0;
  #toldUntil = 0;
  #base = 0;
  #closed = false;

  constructor({ processorOptions }) {
    super();
    const floats = processorOptions.encoding === "pcm_f32le";
    this.#Samples = floats ? Float32Array : Int16Array;
    this.#scale = floats ? 1 : 1 / 32768;
    this.#buffer = new JitterBuffer({
      ...processorOptions,
      sampleRate,
      listener: {
        started: (turn, clock) => this.#tell({ type: "started", turn, frame: this.#base + clock }),
        gap: (turn, atSample, samples) => this.#tell({ type: "gap", turn, atSample, samples }),
        finished: (turn, samples, clock) =>
          this.#tell({ type: "finished", turn, samples, frame: this.#base + clock }),
      },
    });
    this.port.onmessage = ({ data }) => this.#receive(data);
  }

  #receive(message) {
    const buffer = this.#buffer;
    if (message instanceof ArrayBuffer) {
      const { turn, padding, last } = readHeader(message);
      const whole = new this.#Samples(message, HEADER_BYTES);
      const speech = padding > 0 ? whole.subarray(0, whole.length - padding) : whole;
      if (!buffer.write(turn, speech, this.#scale)) this.#tell({ type: "overflow", turn });
      if (last) buffer.end(turn);
    } else if (message.type === "begin") {
      if (!buffer.begin(message.turn)) this.#tell({ type: "overflow", turn: message.turn });
    } else if (message.type === "end") {
      buffer.end(message.turn);
    } else if (message.type === "cancel") {
      buffer.cancel(message.turn);
    } else if (message.type === "close") {
      buffer.cancelAll();
      this.#closed = true;
    }
  }

  process(_inputs, [[output]]) {
    const buffer = this.#buffer;
    // The context may have slept, and its clock gone on, before this node was made.
    this.#base = currentFrame - buffer.clock;
    buffer.read(output);
    for (let i = 0; i < output.length; i += 1) {
      const size = Math.abs(output[i]);
      this.#sum += size * size;
      if (size > this.#peak) this.#peak = size;
    }
    this.#count += output.length;
    if (buffer.state !== "idle") this.#toldUntil = currentFrame + REPORT_AFTER_S * sampleRate;
    this.#quanta += 1;
    if (this.#quanta >= REPORT_EVERY) {
      if (currentFrame < this.#toldUntil) this.#report(currentFrame + output.length);
      this.#quanta = this.#sum = this.#count = this.#peak = 0;
    }
    return !this.#closed;
  }

  #report(frame) {
    const buffer = this.#buffer;
    this.port.postMessage({
      type: "progress",
      frame,
      state: buffer.state,
      turn: buffer.key,
      played: buffer.position,
      held: buffer.held,
      target: buffer.target,
      total: buffer.played,
      underruns: buffer.underruns,
      underrunSamples: buffer.underrunSamples,
      rms: Math.sqrt(this.#sum / this.#count),
      peak: this.#peak,
    });
  }

  #tell(message) {
    this.port.postMessage(message);
  }
}

registerProcessor("relay-player", RelayPlayerProcessor);
