// Breeze Blue's library for JavaScript: streamed and whole, voices, errors.
import assert from "node:assert/strict";
import { createWriteStream, writeFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BreezeBlueClient } from "@breeze.blue/sdk";

const [url, key, text, folder] = process.argv.slice(2);
const client = new BreezeBlueClient({ apiKey: key, baseUrl: `${url}/breeze` });

for (const [name, options] of [["stream.mp3", {}], ["stream.pcm", { outputFormat: "pcm" }]]) {
  const audio = await client.textToSpeech.stream("voc_1", { text, voiceSettings: { guidanceScale: 1.2 } }, options);
  await pipeline(Readable.fromWeb(audio.response.body), createWriteStream(`${folder}/${name}`));
}
const whole = await client.textToSpeech.convert("voc_1", { text }, { outputFormat: "wav" });
writeFileSync(`${folder}/whole.wav`, Buffer.from(await whole.response.arrayBuffer()));
assert.ok((await client.voices.search({})).voices.length > 0);
await assert.rejects(client.textToSpeech.stream("hibari:nobody", { text }), { code: "RESOURCE_NOT_FOUND" });
const stranger = new BreezeBlueClient({ apiKey: "wrong", baseUrl: `${url}/breeze` });
await assert.rejects(stranger.textToSpeech.stream("voc_1", { text }), { code: "AUTH_REQUIRED" });
