import assert from "node:assert/strict";
import test from "node:test";

import { JitterBuffer, RAMP_MS, SHRINK_AFTER_S } from "../jitter-buffer.js";
import { Model } from "./model.js";
import { THOROUGH, random } from "./random.js";

const RATE = 1000; // a sample is a millisecond
const RAMP = RAMP_MS;

function buffer(options = {}) {
  const events = [];
  const made = new JitterBuffer({
    ...{ sampleRate: RATE, window: 2000, turns: 4, minTarget: 40, maxTarget: 600 },
    ...options,
    listener: {
      started: (...what) => events.push(["started", ...what]),
      gap: (...what) => events.push(["gap", ...what]),
      finished: (...what) => events.push(["finished", ...what]),
    },
  });
  return { buffer: made, events };
}

/** Samples that tell their own position. */
const ramp = (from, count) => Float32Array.from({ length: count }, (_, i) => (from + i + 1) / 4096);

function read(from, size) {
  const output = new Float32Array(size).fill(NaN);
  from.read(output);
  return output;
}

const silence = (count) => new Float32Array(count);

test("a turn begins when its prebuffer is full, and is given out sample for sample", () => {
  const { buffer: held, events } = buffer();
  held.begin(7);
  held.write(7, ramp(0, 39));
  assert.equal(held.state, "waiting");
  assert.deepEqual(read(held, 10), silence(10));
  held.write(7, ramp(39, 61));
  assert.deepEqual(read(held, 100), ramp(0, 100));
  assert.equal(held.state, "playing");
  held.end(7);
  assert.deepEqual(read(held, 5), silence(5));
  assert.equal(held.state, "idle");
  assert.deepEqual(events, [["started", 7, 10], ["finished", 7, 100, 110]]);
  assert.equal(held.underruns, 0);
});

test("a turn shorter than the prebuffer sounds as soon as it is whole", () => {
  const { buffer: held } = buffer();
  held.begin(1);
  held.write(1, ramp(0, 3));
  held.end(1);
  assert.deepEqual(read(held, 5), Float32Array.of(...ramp(0, 3), 0, 0));
});

test("nothing waits longer than the prebuffer is long", () => {
  const { buffer: held } = buffer();
  held.begin(1);
  read(held, 100);
  held.write(1, ramp(0, 5));
  assert.deepEqual(read(held, 40), silence(40));
  assert.deepEqual(read(held, 5), ramp(0, 5));
});

test("a turn without audio ends, and turns follow each other without a gap", () => {
  const { buffer: held, events } = buffer();
  for (const key of [1, 2, 3]) held.begin(key);
  held.end(1);
  held.write(2, ramp(0, 50));
  held.end(2);
  held.write(3, ramp(50, 50));
  held.end(3);
  assert.deepEqual(read(held, 100), ramp(0, 100));
  assert.deepEqual(events.map(([what, key]) => `${what} ${key}`), [
    "finished 1", "started 2", "finished 2", "started 3", "finished 3",
  ]);
});

test("a gap is ramped, counted when the sound comes back, and makes the prebuffer longer by what was late", () => {
  const { buffer: held, events } = buffer();
  held.begin(1);
  held.write(1, ramp(0, 40));
  read(held, 40);
  const gap = read(held, 60);
  const last = ramp(39, 1)[0];
  for (let i = 0; i < RAMP; i += 1) assert.equal(gap[i], Math.fround(last * (1 - (i + 1) / RAMP)));
  assert.ok(gap.subarray(RAMP).every((value) => value === 0));
  assert.equal(held.state, "stalled");
  assert.equal(held.underruns, 0);
  held.write(1, ramp(40, 110));
  // 60 late, a margin of 10: 40 + 60 + 10.
  const back = read(held, 110);
  const expected = ramp(40, 110).map((value, i) => (i < RAMP ? value * ((i + 1) / RAMP) : value));
  assert.deepEqual(back, expected);
  assert.equal(held.target, 110);
  assert.deepEqual([held.underruns, held.underrunSamples], [1, 60]);
  assert.deepEqual(events.at(-1), ["gap", 1, 40, 60]);
});

test("an end that comes late was no underrun", () => {
  const { buffer: held, events } = buffer();
  held.begin(1);
  held.write(1, ramp(0, 40));
  read(held, 90);
  held.end(1);
  read(held, 10);
  assert.equal(held.underruns, 0);
  assert.equal(held.target, 40);
  assert.deepEqual(events.at(-1), ["finished", 1, 40, 90]);
});

test("a pause of the speech itself makes no prebuffer longer", () => {
  const { buffer: held } = buffer();
  held.begin(1);
  held.write(1, ramp(0, 40));
  read(held, 40 + 601);
  held.write(1, ramp(40, 40));
  assert.equal(read(held, 40).at(-1), ramp(79, 1)[0]);
  assert.deepEqual([held.underruns, held.underrunSamples, held.target], [1, 601, 40]);
});

test("the prebuffer grows to its limit and shrinks back in quiet times", () => {
  const { buffer: held } = buffer({ maxTarget: 100 });
  held.begin(1);
  held.write(1, ramp(0, 40));
  read(held, 40 + 90);
  held.write(1, ramp(40, 100));
  read(held, 100);
  assert.equal(held.target, 100);
  let previous = 100;
  for (let i = 0; i < 60; i += 1) {
    held.write(1, ramp(0, SHRINK_AFTER_S * RATE > 2000 ? 2000 : 1));
    read(held, 2000);
    assert.ok(held.target <= previous);
    previous = held.target;
  }
  assert.ok(held.target < 60, `after two minutes it is ${held.target}`);
  assert.ok(held.target >= 40);
});

test("a cancel is silent after the ramp, and the next turn begins clean", () => {
  const { buffer: held, events } = buffer();
  held.begin(1);
  held.begin(2);
  held.write(1, ramp(0, 500));
  held.write(2, ramp(1000, 60));
  read(held, 100);
  held.cancel(1);
  const after = read(held, 10);
  for (let i = 0; i < RAMP; i += 1) {
    assert.equal(after[i], Math.fround(ramp(100 + i, 1)[0] * (1 - (i + 1) / RAMP)));
  }
  assert.deepEqual(after.subarray(RAMP), ramp(1000, 10 - RAMP));
  held.write(1, ramp(100, 50)); // came late
  held.end(2);
  assert.deepEqual(read(held, 60 - 6).subarray(0, 60 - 6), ramp(1006, 54));
  assert.equal(held.held, 0);
  assert.equal(held.underruns, 0);
  assert.ok(!events.some(([what, key]) => what === "finished" && key === 1));
});

test("a cancel of what waits makes no sound, in a gap neither", () => {
  const { buffer: held } = buffer();
  held.begin(1);
  held.write(1, ramp(0, 10));
  held.cancel(1);
  assert.deepEqual(read(held, 20), silence(20));
  held.begin(2);
  held.write(2, ramp(0, 40));
  read(held, 80);
  held.cancel(2);
  assert.deepEqual(read(held, 20), silence(20));
  assert.deepEqual([held.state, held.underruns], ["idle", 0]);
});

test("there is room for so many turns and so much of each, and it says when there is not", () => {
  const { buffer: held } = buffer({ turns: 2, window: 10 });
  assert.ok(held.begin(1));
  assert.ok(held.begin(2));
  assert.ok(!held.begin(3));
  assert.ok(held.write(1, ramp(0, 10)));
  assert.ok(!held.write(1, ramp(10, 1)));
  held.cancel(1);
  assert.ok(held.begin(4));
  assert.ok(held.write(99, ramp(0, 100)), "of an unknown turn nothing is kept");
});

for (const rate of [1000, 8000]) {
  test(`as the model says, sample by sample, whatever happens in whatever order (${rate} Hz)`, () => {
    let gaps = 0;
    let cancels = 0;
    let finished = 0;
    for (let seed = 1; seed <= 100 * THOROUGH; seed += 1) {
      const { whole, pick, next } = random(seed * rate);
      const ms = (value) => (value * rate) / 1000;
      const sizes = { minTarget: ms(whole(0, 60)), maxTarget: ms(whole(0, 200)) };
      const { buffer: held, events } = buffer({ sampleRate: rate, window: 400 * rate, turns: 4, ...sizes });
      const model = new Model({ sampleRate: rate, rampMs: RAMP_MS, shrinkAfterS: SHRINK_AFTER_S, marginMs: 10, ...sizes });
      const open = [];
      let key = 0;
      let position = 0;
      const both = (what, ...details) => {
        held[what](...details);
        model[what](...details);
      };
      for (let step = 0; step < 150; step += 1) {
        const dice = next();
        if (dice < 0.08 && model.turns.length < 4) {
          key += 1;
          open.push(key);
          both("begin", key);
        } else if (dice < 0.45 && open.length > 0) {
          const count = ms(pick([0, 1, 5, 20, 20, 40, 150]));
          const samples = Float32Array.from({ length: count }, () => ((position += 1) % 4095) / 4096 + 1 / 8192);
          both("write", pick(open), samples);
        } else if (dice < 0.52 && open.length > 0) {
          both("end", pick(open));
        } else if (dice < 0.56 && open.length > 0) {
          const turn = pick(open);
          if (model.of(turn)) cancels += 1;
          both("cancel", turn);
        } else {
          const size = pick([128, 128, 1, 7, 500]);
          assert.deepEqual(read(held, size), model.read(size), `seed ${seed}, step ${step}`);
        }
        while (open.length > 6) open.shift();
        assert.deepEqual(events, model.events, `seed ${seed}, step ${step}`);
        assert.equal(held.target, model.target);
        assert.deepEqual([held.underruns, held.underrunSamples], [model.underruns, model.underrunSamples]);
      }
      gaps += model.underruns;
      finished += events.filter(([what]) => what === "finished").length;
    }
    assert.ok(gaps > 100 && cancels > 100 && finished > 100, `met ${gaps} gaps, ${cancels} cancels, ${finished} ends`);
  });
}

/** 50 turns of 4 s, sent at the speed of speech in frames of 20 ms, each up to `jitter` ms late. */
function underruns(jitter, sizes) {
  const { whole } = random(5);
  const { buffer: held } = buffer(sizes);
  let due = 0;
  for (let key = 1; key <= 50; key += 1) {
    held.begin(key);
    const start = held.clock;
    const frames = [];
    for (let i = 0; i < 200; i += 1) {
      due = Math.max(due, start + 20 * i + whole(0, jitter));
      frames.push(due);
    }
    while (held.state !== "idle") {
      while (frames.length > 0 && frames[0] <= held.clock) {
        held.write(key, ramp(0, 20));
        frames.shift();
        if (frames.length === 0) held.end(key);
      }
      read(held, 4);
    }
  }
  return held.underruns;
}

test("a prebuffer that grows spares the ear most gaps of a network that is 80 ms early or late", () => {
  const fixed = underruns(160, { maxTarget: 40 });
  const growing = underruns(160);
  assert.ok(fixed > 100, `${fixed} with a fixed prebuffer`);
  assert.ok(growing < fixed / 5, `${growing} with one that grows`);
  assert.equal(underruns(20), 0, "what the prebuffer holds is no gap");
});
