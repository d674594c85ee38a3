import assert from "node:assert/strict";
import test from "node:test";

import { RelayError } from "../errors.js";
import { Playhead } from "../playhead.js";
import { Recording } from "../wav.js";
import { cut, parse, readHeader, renumber, sampleRateFor, subprotocols, textPerMessage, turnFields } from "../wire.js";
import { random } from "./random.js";

const FORMAT = { sampleRate: 48000, encoding: "pcm_s16le", windowMs: 2000 };

function frame({ version = 1, flags = 0, padding = 0, turn = 0, start = 0n } = {}, bytes = 4) {
  const buffer = new ArrayBuffer(16 + bytes);
  const view = new DataView(buffer);
  view.setUint8(0, version);
  view.setUint8(1, flags);
  view.setUint16(2, padding, true);
  view.setUint32(4, turn, true);
  view.setBigUint64(8, start, true);
  return buffer;
}

test("a header is read, and given another turn's number", () => {
  const buffer = frame({ flags: 3, padding: 258, turn: 70_000, start: 2n ** 40n + 5n });
  assert.deepEqual(readHeader(buffer), { last: true, padding: 258, turn: 70_000, start: 2 ** 40 + 5 });
  renumber(buffer, 4_000_000_000);
  assert.deepEqual(readHeader(buffer), { last: true, padding: 258, turn: 4_000_000_000, start: 2 ** 40 + 5 });
  assert.equal(readHeader(frame({ flags: 2 })).last, false);
});

test("what is no frame is refused", () => {
  assert.throws(() => readHeader(frame({ version: 2 })), RangeError);
  for (let size = 0; size < 16; size += 1) assert.throws(() => readHeader(frame().slice(0, size)), RangeError);
});

test("the fields of a turn", () => {
  const given = { voice: "v", model: null, pacing: "realtime", record: true, options: { speed: 2 }, turnId: "own" };
  assert.deepEqual(turnFields("t1", given, FORMAT), {
    turn_id: "t1",
    voice: "v",
    options: { speed: 2 },
    pacing: { mode: "realtime" },
    audio: { encoding: "pcm_s16le", sample_rate: 48000, channels: 1, frame_ms: 20, tail: "short", header: true },
    flow: { window_ms: 2000 },
  });
  const shaped = turnFields("t", { textFilter: [], lexicon: { sql: "sequel" }, gainDb: 0, maxLeadingSilenceMs: 0 }, FORMAT);
  assert.deepEqual([shaped.text_filter, shaped.lexicon], [[], { sql: "sequel" }]);
  assert.deepEqual([shaped.audio.gain_db, shaped.audio.max_leading_silence_ms], [0, 0]);
  const pacing = { mode: "realtime", lead_ms: 300 };
  assert.deepEqual(turnFields("t", { pacing }, FORMAT).pacing, pacing);
  assert.equal(turnFields("t", {}, { ...FORMAT, sampleRate: 11025 }).audio.frame_ms, 40);
  assert.throws(() => turnFields("t", { voise: "v" }, FORMAT), /no turn option voise/);
});

test("a token goes as a subprotocol, or is refused", () => {
  assert.deepEqual(subprotocols(null), ["relay.v1"]);
  assert.deepEqual(subprotocols("abc.DEF_1-2"), ["relay.v1", "relay-token.abc.DEF_1-2"]);
  for (const bad of ["a b", "a,b", "ä", 7, {}]) assert.throws(() => subprotocols(bad), TypeError);
});

test("rates the relay has", () => {
  assert.equal(sampleRateFor(44100), 44100);
  assert.equal(sampleRateFor(96000), undefined);
});

test("text is cut without loss and never inside a character", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const { whole, pick } = random(seed);
    const text = Array.from({ length: whole(0, 40) }, () => pick(["a", "é", "漢", "😀", "👩‍🚀"])).join("");
    const size = whole(2, 9);
    const pieces = cut(text, size);
    assert.equal(pieces.join(""), text);
    for (const piece of pieces) {
      assert.ok(piece.length <= size && piece.length > 0);
      assert.ok(piece.isWellFormed?.() ?? true);
      assert.doesNotThrow(() => encodeURIComponent(piece), "no half of a pair");
    }
  }
});

test("a piece fits its message however it is escaped", () => {
  const size = textPerMessage(262144);
  const worst = JSON.stringify({ type: "text.append", turn_id: "t".repeat(64), text: "\u0001".repeat(size) });
  assert.ok(worst.length <= 262144);
});

test("messages", () => {
  assert.deepEqual(parse('{"type":"pong"}'), { type: "pong" });
  for (const bad of ["", "[]", "null", "1", '"x"', "{}", '{"type":1}', "{"]) {
    assert.throws(() => parse(bad), SyntaxError, bad);
  }
});

test("an error of the wire", () => {
  const wire = { code: "provider_cut", message: "m", retryable: true, retry_after_s: 2, turn_id: "t", provider: { name: "x" } };
  const { name, code, message, retryable, retryAfterS, turnId, provider } = RelayError.fromWire(wire);
  assert.deepEqual([name, code, message, retryable], ["RelayError", "provider_cut", "m", true]);
  assert.deepEqual([retryAfterS, turnId, provider], [2, "t", { name: "x" }]);
  assert.equal(RelayError.fromWire({ code: "internal", message: "m" }).retryAfterS, null);
});

test("what was handed over is heard a latency later, in order", () => {
  const head = new Playhead();
  head.handed(100, "a");
  head.handed(100, "b");
  head.handed(228, "c");
  assert.deepEqual(head.heard(149, 50), []);
  assert.deepEqual(head.heard(150, 50), ["a", "b"]);
  assert.deepEqual(head.heard(1000, 800), []);
  // The latency may become shorter, as when headphones are unplugged.
  assert.deepEqual(head.heard(1000, 0), ["c"]);
  assert.equal(head.waiting, 0);
});

for (const [encoding, width, Samples, tag] of [["pcm_s16le", 2, Int16Array, 1], ["pcm_f32le", 4, Float32Array, 3]]) {
  test(`a recording as WAV and as samples: ${encoding}`, async () => {
    const recording = new Recording(8000, encoding);
    const pieces = [[0, 16384, -32768], [1, 2]].map((values) => Samples.from(values, (v) => (width === 4 ? v / 32768 : v)));
    for (const piece of pieces) {
      const message = new Uint8Array(16 + piece.byteLength + width);
      message.set(new Uint8Array(piece.buffer), 16);
      recording.add(message.buffer, 16, piece.length); // the padding after it is not kept
    }
    const file = new DataView(await recording.wav().arrayBuffer());
    const text = (at) => String.fromCharCode(...new Uint8Array(file.buffer, at, 4));
    assert.deepEqual([text(0), text(8), text(12), text(36)], ["RIFF", "WAVE", "fmt ", "data"]);
    assert.equal(file.byteLength, 44 + 5 * width);
    assert.equal(file.getUint32(4, true), file.byteLength - 8);
    assert.deepEqual([file.getUint16(20, true), file.getUint16(22, true)], [tag, 1]);
    assert.deepEqual([file.getUint32(24, true), file.getUint32(28, true)], [8000, 8000 * width]);
    assert.deepEqual([file.getUint16(32, true), file.getUint16(34, true)], [width, 8 * width]);
    assert.equal(file.getUint32(40, true), 5 * width);
    const expected = Float32Array.of(0, 0.5, -1, 1 / 32768, 2 / 32768);
    assert.deepEqual(recording.samples(), expected);
    assert.deepEqual([...new Samples(file.buffer.slice(44))].map((v) => (width === 4 ? v : v / 32768)), [...expected]);
  });
}

test("a recording has an end", () => {
  const recording = new Recording(10, "pcm_s16le");
  const second = new ArrayBuffer(20);
  for (let i = 0; i < 700; i += 1) recording.add(second, 0, 10);
  assert.equal(recording.samples().length, 6000);
});
