/** The audio thread's side, run by hand: hours of audio in seconds. */

import assert from "node:assert/strict";
import test from "node:test";

import { RAMP_MS } from "../jitter-buffer.js";
import { HEADER_BYTES } from "../wire.js";
import { THOROUGH, random } from "./random.js";

const RATE = 48000;
const QUANTUM = 128;
const FRAME = 960;
const TURNS = 3_000 * THOROUGH;

let Processor;
globalThis.sampleRate = RATE;
globalThis.currentFrame = 0;
globalThis.AudioWorkletProcessor = class {
  constructor() {
    this.told = [];
    this.port = { postMessage: (message) => this.told.push(message) };
  }
};
globalThis.registerProcessor = (name, made) => {
  assert.equal(name, "relay-player");
  Processor = made;
};
await import("../worklet.js");

function worklet(options = {}) {
  globalThis.currentFrame = 1_000_000; // the context has run for a while
  const processor = new Processor({
    processorOptions: { encoding: "pcm_s16le", turns: 4, window: RATE, minTarget: 1920, maxTarget: 24000, ...options },
  });
  const tell = (data) => processor.port.onmessage({ data });
  const run = (quanta) => {
    const all = new Float32Array(quanta * QUANTUM);
    for (let i = 0; i < quanta; i += 1) {
      processor.alive = processor.process([], [[all.subarray(i * QUANTUM, (i + 1) * QUANTUM)]]);
      globalThis.currentFrame += QUANTUM;
    }
    return all;
  };
  return { processor, tell, run, taken: () => processor.told.splice(0) };
}

function frame(turn, pcm, { padding = 0, last = false } = {}) {
  const buffer = new ArrayBuffer(HEADER_BYTES + pcm.byteLength);
  const view = new DataView(buffer);
  view.setUint8(0, 1);
  view.setUint8(1, last ? 1 : 0);
  view.setUint16(2, padding, true);
  view.setUint32(4, turn, true);
  new pcm.constructor(buffer, HEADER_BYTES).set(pcm);
  return buffer;
}

test("padding is not heard, and what is told stands on the context's clock", () => {
  const { tell, run, taken, processor } = worklet();
  run(10);
  assert.deepEqual(taken(), []);
  tell({ type: "begin", turn: 3 });
  tell(frame(3, Int16Array.from({ length: 200 }, () => 8192), { padding: 50, last: true }));
  const heard = run(8);
  assert.ok(heard.subarray(0, 150).every((value) => value === 0.25));
  assert.ok(heard.subarray(150).every((value) => value === 0));
  const start = 1_000_000 + 10 * QUANTUM;
  const told = taken();
  assert.deepEqual(told[0], { type: "started", turn: 3, frame: start });
  assert.deepEqual(told[1], { type: "finished", turn: 3, samples: 150, frame: start + 150 });
  assert.equal(told[2].type, "progress");
  assert.equal(told[2].total, 150);
  assert.equal(told[2].peak, 0.25);
  // Reports go on until it has been heard, and then stop.
  run(RATE / QUANTUM);
  assert.ok(taken().length > 10);
  run((2 * RATE) / QUANTUM);
  taken();
  run(RATE / QUANTUM);
  assert.deepEqual(taken(), []);
  tell({ type: "close" });
  run(1);
  assert.equal(processor.alive, false);
});

test("floats come as they are", () => {
  const { tell, run } = worklet({ encoding: "pcm_f32le" });
  const pcm = Float32Array.from({ length: FRAME }, (_, i) => Math.sin(i));
  tell({ type: "begin", turn: 1 });
  tell(frame(1, pcm, { last: true }));
  assert.deepEqual(run(FRAME / QUANTUM + 1).subarray(0, FRAME), pcm);
});

test("what is more than was granted is told, not kept", () => {
  const { tell, taken } = worklet({ window: FRAME });
  tell({ type: "begin", turn: 1 });
  tell(frame(1, new Int16Array(FRAME)));
  tell(frame(1, new Int16Array(1)));
  assert.deepEqual(taken(), [{ type: "overflow", turn: 1 }]);
});

test("a cancel is silent within 5 ms of sound", () => {
  const { tell, run } = worklet();
  tell({ type: "begin", turn: 1 });
  for (let i = 0; i < 20; i += 1) tell(frame(1, new Int16Array(FRAME).fill(16384)));
  assert.ok(run(10).every((value) => value === 0.5));
  tell({ type: "cancel", turn: 1 });
  tell(frame(1, new Int16Array(FRAME).fill(16384)));
  const after = run(20);
  const ramp = (RAMP_MS * RATE) / 1000;
  assert.ok(RAMP_MS <= 5);
  assert.ok(after.subarray(ramp - 1).every((value) => value === 0));
  for (let i = 1; i < ramp; i += 1) assert.ok(after[i] < after[i - 1]);
});

test("thousands of turns through a jittering network: each sample once, nothing grows", () => {
  const { whole } = random(11);
  // As much as the network is ever late, so that there is no gap, and no ramp to change a sample.
  const { tell, run, taken } = worklet({ minTarget: 7680 });
  const waiting = []; // what the network still holds: [due, message]
  let next = 0;
  let value = 0;
  let due = 0;
  let sent = 0;
  const open = new Map(); // turn -> samples it may yet be sent
  let finished = 0;
  let most = 0;
  let expected = 0;
  let total = 0;
  let report = null;
  let clock = 0;
  while (finished < TURNS) {
    while (open.size < 4 && next < TURNS) {
      next += 1;
      const samples = whole(1, 4 * FRAME);
      open.set(next, samples);
      tell({ type: "begin", turn: next });
      for (let at = 0; at < samples; at += FRAME) {
        const pcm = Int16Array.from({ length: Math.min(FRAME, samples - at) }, () => (value++ % 32767) + 1);
        // 0 to 160 ms late, never overtaking.
        due = Math.max(due, clock + whole(0, 7680));
        waiting.push([due, frame(next, pcm, { last: at + FRAME >= samples })]);
        sent += pcm.length;
      }
    }
    while (waiting.length > 0 && waiting[0][0] <= clock) tell(waiting.shift()[1]);
    const heard = run(1);
    clock += QUANTUM;
    for (const message of taken()) {
      assert.ok(message.type !== "gap" && message.type !== "overflow", message.type);
      if (message.type === "progress") {
        assert.ok(report === null || message.frame > report.frame);
        report = message;
        most = Math.max(most, message.held);
      }
      if (message.type === "finished") {
        assert.equal(message.samples, open.get(message.turn), `turn ${message.turn} whole`);
        open.delete(message.turn);
        finished += 1;
      }
    }
    for (const sample of heard) {
      if (sample === 0) continue;
      expected = (expected % 32767) + 1;
      if (sample * 32768 !== expected) assert.fail(`${sample * 32768} where ${expected} belongs`);
      total += 1;
    }
  }
  run(8);
  report = taken().find(({ type }) => type === "progress") ?? report;
  assert.deepEqual([report.total, total], [sent, sent], "played is what was sent, to the sample");
  assert.equal(report.held, 0);
  assert.ok(most <= 4 * 4 * FRAME);
});
