import assert from "node:assert/strict";
import test from "node:test";

import { pieces, typed } from "../page/words.js";

const TEXTS = [
  ...["", " ", "…", "Hello there.", "  Two  words \n", "Don't cut 3.14 or e-mail."],
  ...["今日は良い天気です。", "สวัสดีครับ", "😀👍🏽 ok"],
];

test("pieces joined are the text", () => {
  for (const text of TEXTS) assert.equal(pieces(text).join(""), text);
});

test("spaces and marks go with the word before them", () => {
  assert.deepEqual(pieces("Hello, you there."), ["Hello, ", "you ", "there."]);
});

test("a script without spaces is cut too", () => {
  assert.ok(pieces("今日は良い天気です。").length > 2);
});

test("typed gives every piece, telling of each first", async () => {
  const told = [];
  const given = [];
  const { signal } = new AbortController();
  const onPiece = (piece) => told.push(piece);
  for await (const piece of typed("One two three.", { wordsPerSecond: () => 10_000, onPiece, signal })) {
    given.push(piece);
    assert.deepEqual(told, given);
  }
  assert.deepEqual(given, ["One ", "two ", "three."]);
});

test("an abort ends it in the middle of a pause, and nothing more is told", async () => {
  const stop = new AbortController();
  const told = [];
  const onPiece = (piece) => told.push(piece);
  // A word in 100 seconds: only the abort can end that in time.
  const words = typed("One two.", { wordsPerSecond: () => 0.01, onPiece, signal: stop.signal });
  await words.next();
  const second = words.next();
  stop.abort();
  assert.equal((await second).done, true);
  assert.deepEqual(told, ["One "]);
});

test("an abort before the pause begins ends it as well", async () => {
  const stop = new AbortController();
  const words = typed("One two.", { wordsPerSecond: () => 0.01, onPiece: () => stop.abort(), signal: stop.signal });
  assert.equal((await words.next()).value, "One ");
  assert.equal((await words.next()).done, true);
});
