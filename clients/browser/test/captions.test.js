import assert from "node:assert/strict";
import test from "node:test";

import { caption } from "../page/captions.js";
import { random } from "./random.js";

const TEXT = "One two. Three.";
const SEGMENTS = [
  { text: "One two. ", start_sample: 0 },
  { text: "Three.", start_sample: 100 },
];
const WORDS = [
  { text: "One", start_sample: 0, end_sample: 40 },
  { text: "two", start_sample: 40, end_sample: 90 },
  { text: "Three", start_sample: 100, end_sample: 180 },
];

test("nothing is heard before the first sample", () => {
  assert.deepEqual(caption(TEXT, SEGMENTS, WORDS, 0), { heard: "", now: "", next: TEXT, written: "" });
});

test("the word that sounds is shown, with what was before it and what follows", () => {
  assert.deepEqual(caption(TEXT, SEGMENTS, WORDS, 50), { heard: "One ", now: "two", next: ". Three.", written: "" });
  assert.deepEqual(caption(TEXT, SEGMENTS, WORDS, 100), { heard: "One two. ", now: "Three", next: ".", written: "" });
});

test("without words the segment is shown", () => {
  assert.deepEqual(caption(TEXT, SEGMENTS, [], 50), { heard: "", now: "One two. ", next: "Three.", written: "" });
  assert.deepEqual(caption(TEXT, SEGMENTS, [], 100), { heard: "One two. ", now: "Three.", next: "", written: "" });
});

test("what is written and not yet on its way stands apart", () => {
  const { next, written } = caption(TEXT, SEGMENTS.slice(0, 1), WORDS.slice(0, 2), 10);
  assert.deepEqual([next, written], [" two. ", "Three."]);
});

test("a word told in other letters than the text has is passed over, and the next one found", () => {
  const words = [WORDS[0], { text: "2", start_sample: 40, end_sample: 90 }, WORDS[2]];
  assert.equal(caption(TEXT, SEGMENTS, words, 60).now, "One");
  assert.equal(caption(TEXT, SEGMENTS, words, 120).now, "Three");
});

test("a word that comes again is found where it comes again", () => {
  const text = "no no no";
  const words = [0, 10, 20].map((start) => ({ text: "no", start_sample: start, end_sample: start + 10 }));
  const heard = [1, 11, 21].map((samples) => caption(text, [{ text, start_sample: 0 }], words, samples).heard);
  assert.deepEqual(heard, ["", "no ", "no no "]);
});

test("letters that have no single small one do not move the words after them", () => {
  const text = "İzmir is far";
  const words = ["İzmir", "is", "far"].map((word, index) => ({ text: word, start_sample: 10 * index }));
  assert.equal(caption(text, [{ text, start_sample: 0 }], words, 25).now, "far");
});

test("the parts joined are the text, whatever was told, and what was heard only grows", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const { whole, pick } = random(seed);
    const written = Array.from({ length: whole(0, 12) }, () => pick(["eins ", "zwei", ". ", "İi", "😀 "])).join("");
    const segments = [];
    for (let at = 0, start = 0; at < written.length && whole(0, 3); start += whole(0, 50)) {
      const size = whole(1, 6);
      segments.push({ text: written.slice(at, at + size), start_sample: start });
      at += size;
    }
    const word = () => ({ text: pick(["eins", "zwei", "i", "."]), start_sample: whole(0, 200) });
    const words = Array.from({ length: whole(0, 8) }, word);
    words.sort((one, other) => one.start_sample - other.start_sample);
    let before = 0;
    for (let samples = 0; samples < 250; samples += whole(1, 40)) {
      const parts = caption(written, segments, words, samples);
      assert.equal(parts.heard + parts.now + parts.next + parts.written, written, `seed ${seed}`);
      assert.ok(parts.heard.length >= before, `seed ${seed}: heard shrank`);
      before = parts.heard.length;
    }
  }
});
