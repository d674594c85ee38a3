import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";

import { curl, python } from "../page/program.js";

const BASE = "https://relay.example/speech/";
const PLAIN = { sample_rate: 24000, encoding: "pcm_s16le" };
// What a shell would take as its own.
const NASTY = `It's $HOME "quoted" \`id\` \\n\n!`;

test("the command is one a shell reads back as it was meant", () => {
  const command = curl(BASE, { text: NASTY, provider: "espeak" }, { ...PLAIN, sample_rate: 8000 }, false);
  const shell = spawnSync("sh", ["-c", `curl() { for word in "$@"; do printf '%s\\0' "$word"; done; }; ${command}`]);
  const words = shell.stdout.toString().split("\0").slice(0, -1);
  assert.deepEqual(words.slice(0, -1), [`${BASE}v1/speech`, "-o", "hello.wav", "-d"]);
  assert.deepEqual(JSON.parse(words.at(-1)), {
    text: NASTY,
    provider: "espeak",
    audio: { sample_rate: 8000 },
    container: "wav",
  });
});

test("what is the relay's default is left out", () => {
  assert.ok(!curl(BASE, { text: "Hi." }, PLAIN, false).includes("audio"));
  assert.ok(!python("ws://127.0.0.1:8765/v1/stream", { text: "Hi." }, PLAIN, false).includes("Audio"));
});

test("a key is read from the environment and stands in neither", () => {
  assert.ok(curl(BASE, { text: "Hi." }, PLAIN, true).includes('"Authorization: Bearer $RELAY_KEY"'));
  assert.ok(python("ws://127.0.0.1:8765/v1/stream", { text: "Hi." }, PLAIN, true).includes('os.environ["RELAY_KEY"]'));
});
