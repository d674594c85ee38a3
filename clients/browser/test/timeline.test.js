import assert from "node:assert/strict";
import test from "node:test";

import { scale, shownMs, steps, verdict } from "../page/timeline.js";
import { random } from "./random.js";

const TIMINGS = { request_sent: 1, first_byte: 20, first_sample: 20.5, first_frame: 21 };

test("each step begins where the one before it ended", () => {
  assert.deepEqual(
    steps(TIMINGS, 70).map(({ key, fromMs, toMs }) => [key, fromMs, toMs]),
    [
      ["text", 0, 0],
      ["request_sent", 0, 1],
      ["first_byte", 1, 20],
      ["first_sample", 20, 20.5],
      ["first_frame", 20.5, 21],
      ["sound", 21, 70],
    ],
  );
});

test("the relay's bars together are what it added", () => {
  const own = steps(TIMINGS, 70).filter(({ of }) => of === "relay");
  assert.equal(own.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0), TIMINGS.first_frame - TIMINGS.first_byte);
});

test("what has not happened has no bar, and what follows it is a point", () => {
  const found = steps({ first_frame: 8 }, null).map(({ key, fromMs, toMs }) => [key, fromMs, toMs]);
  assert.deepEqual(found.slice(1), [
    ["request_sent", null, null],
    ["first_byte", null, null],
    ["first_sample", null, null],
    ["first_frame", 8, 8],
    ["sound", null, null],
  ]);
});

test("no bar ends before it begins", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const { whole } = random(seed);
    const some = () => (whole(0, 3) ? whole(0, 1000) : null);
    const timings = Object.fromEntries(Object.keys(TIMINGS).map((key) => [key, some()]));
    for (const { fromMs, toMs } of steps(timings, some())) assert.ok(toMs === null || fromMs <= toMs, `seed ${seed}`);
  }
});

test("a scale holds everything, in round and even marks", () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    const { whole } = random(seed);
    const longest = whole(1, 1000) * 10 ** whole(-1, 2);
    const { endMs, marks } = scale([steps({ request_sent: longest }, null), steps(null, longest / 3)]);
    assert.ok(endMs >= Math.max(1, longest) && endMs <= 2 * Math.max(1, longest), `${longest} on ${endMs}`);
    assert.equal(marks[0], 0);
    assert.ok(Math.abs(marks.at(-1) - endMs) < 1e-6 * endMs);
    assert.ok(marks.length >= 2 && marks.length <= 6, `${marks}`);
    assert.ok(marks.every((mark) => `${mark}`.length <= 6), `${marks}`);
  }
});

test("a time has as many figures as a person reads", () => {
  assert.deepEqual([null, undefined].map(shownMs), ["–", "–"]);
  assert.deepEqual([0, 0.04, 9.94].map(shownMs), ["0.0 ms", "0.0 ms", "9.9 ms"]);
  assert.deepEqual([9.96, 10.4, 999].map(shownMs), ["10 ms", "10 ms", "999 ms"]);
  assert.deepEqual([999.7, 1000, 1234].map(shownMs), ["1.00 s", "1.00 s", "1.23 s"]);
});

test("the faster of two is named, by how much", () => {
  const one = { name: "one", ttfaMs: 30 };
  assert.equal(verdict([one, { name: "other", ttfaMs: 12 }]), "other came first, by 18 ms.");
  assert.equal(verdict([one, { name: "other", ttfaMs: null }]), "");
  assert.equal(verdict([one]), "");
});
