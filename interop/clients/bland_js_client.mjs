// Bland's library for JavaScript: whole and streamed, voices, samples, tokens, errors.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { BlandTtsClient } from "bland-tts";

const [url, key, text, folder] = process.argv.slice(2);
const client = new BlandTtsClient({ apiKey: key, baseUrl: `${url}/bland` });
const asked = { text, voice: "Karen", output_format: "pcm_24000" };

writeFileSync(`${folder}/whole.wav`, (await client.speak(asked)).audio);
const pieces = [];
for await (const piece of (await client.speakStream({ ...asked, expressiveness: 0.4 })).stream) pieces.push(piece);
// A stream does not know its length: what it says of it is put right, as the vendor's page does.
const streamed = Buffer.concat(pieces);
assert.equal(streamed.readUInt32LE(40), 0xffffffff);
writeFileSync(`${folder}/stream.pcm`, streamed.subarray(44));
const telephone = await client.speak({ ...asked, output_format: "ulaw_8000" });
assert.equal(telephone.contentType, "audio/x-wav");
assert.equal(Buffer.from(telephone.audio).readUInt16LE(20), 7);
assert.ok((await client.listVoices()).some((voice) => voice.id === "heart"));
assert.equal((await client.getVoice("heart")).name, "Heart");
assert.deepEqual(await client.listSamples({ limit: 1 }), []);
assert.ok(Array.isArray(await client.listModels()));
assert.equal((await client.mintStreamToken({ voice: "Karen" })).expires_in_seconds, 300);
await assert.rejects(client.speak({ ...asked, voice: "hibari:nobody" }), { status: 404 });
await assert.rejects(client.getSample("none"), { status: 404 });
const stranger = new BlandTtsClient({ apiKey: "wrong", baseUrl: `${url}/bland` });
await assert.rejects(stranger.listVoices(), { status: 401 });
