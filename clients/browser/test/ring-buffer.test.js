import assert from "node:assert/strict";
import test from "node:test";

import { RingBuffer } from "../ring-buffer.js";
import { random } from "./random.js";

test("what goes in comes out, in order, however it is cut", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const { whole } = random(seed);
    const ring = new RingBuffer(whole(1, 50));
    const model = [];
    let next = 1;
    for (let step = 0; step < 300; step += 1) {
      if (whole(0, 1)) {
        const piece = Float32Array.from({ length: whole(0, 30) }, () => next++);
        const taken = ring.write(piece);
        assert.equal(taken, Math.min(piece.length, ring.capacity - model.length), `seed ${seed}`);
        model.push(...piece.subarray(0, taken));
      } else {
        const wanted = whole(0, 30);
        const output = new Float32Array(40).fill(-1);
        const count = ring.read(output, 5, wanted);
        assert.equal(count, Math.min(wanted, model.length));
        const expected = model.splice(0, count);
        assert.deepEqual([...output.subarray(5, 5 + count)], expected, `seed ${seed}`);
        assert.ok(output.subarray(5 + count).every((value) => value === -1), "nothing beyond is touched");
      }
      assert.equal(ring.length, model.length);
    }
  }
});

test("integers are scaled exactly", () => {
  const ring = new RingBuffer(65536);
  const all = Int16Array.from({ length: 65536 }, (_, i) => i - 32768);
  ring.write(all, 1 / 32768);
  const output = new Float32Array(65536);
  ring.read(output, 0, 65536);
  assert.ok(all.every((value, i) => output[i] === value / 32768));
  assert.equal(output[0], -1);
});

test("clear forgets all", () => {
  const ring = new RingBuffer(4);
  ring.write(Float32Array.of(1, 2, 3));
  ring.clear();
  assert.equal(ring.length, 0);
  assert.equal(ring.write(Float32Array.of(4, 5, 6, 7, 8)), 4);
});
