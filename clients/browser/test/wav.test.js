import assert from "node:assert/strict";
import test from "node:test";

import { Recording } from "../wav.js";
import { random } from "./random.js";

test("samples can be had from any one on, however the frames were cut", () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const { whole } = random(seed);
    const all = Int16Array.from({ length: whole(1, 200) }, () => whole(-32768, 32767));
    const recording = new Recording(24000, "pcm_s16le");
    for (let at = 0; at < all.length; ) {
      const count = Math.min(whole(1, 30), all.length - at);
      recording.add(all.slice(at, at + count).buffer, 0, count);
      at += count;
    }
    const expected = [...all].map((value) => value / 32768);
    for (const from of [0, 1, whole(0, all.length), all.length]) {
      assert.deepEqual([...recording.samples(from)], expected.slice(from), `seed ${seed}, from ${from}`);
    }
    assert.deepEqual([...recording.samples()], expected);
  }
});
