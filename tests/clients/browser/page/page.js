/** What the tests call in the page: a player whose sound goes through a tap, and a diary of what it told. */

import { connect } from "/player/relay-player.js";

const RATE = 24000; // the provider's, so that nothing converts

const kit = { player: null, turns: new Map(), events: [], tokens: 0, context: null, tap: null };

kit.open = async (url, options = {}) => {
  kit.context = new AudioContext({ sampleRate: RATE });
  await kit.context.audioWorklet.addModule("/page/tap.js");
  kit.tap = new AudioWorkletNode(kit.context, "tap", { outputChannelCount: [1] });
  kit.tap.connect(kit.context.destination);
  kit.player = await kit.connect(url, { context: kit.context, destination: kit.tap, ...options });
};

kit.connect = async (url, { token, ...options } = {}) => {
  const counted = async () => {
    kit.tokens += 1;
    return token ?? null;
  };
  const player = await connect(url, { token: counted, ...options });
  for (const type of ["state", "connection", "segment", "words", "underrun", "timings", "level"]) {
    player.addEventListener(type, ({ detail }) => {
      const { turn, ...rest } = detail;
      const heard = turn?.heardSamples;
      kit.events.push(JSON.parse(JSON.stringify({ type, turn: turn?.id, heard, ...rest })));
    });
  }
  return player;
};

/** Rejections as values, so that they cross to Python. */
const settled = (promise) =>
  promise.then(
    (value) => ({ value }),
    ({ name, code, message, retryable, turnId }) => ({ error: { name, code, message, retryable, turnId } }),
  );

kit.refusal = (url, options) => settled(kit.connect(url, options).then((player) => player.close()).then(() => "connected"));

kit.speak = (id, text, options = {}) => {
  const turn = kit.player.speak(text, { turnId: id, ...options });
  kit.turns.set(id, turn);
  turn.settled = settled(turn.done);
};

kit.done = (id) => kit.turns.get(id).settled;

kit.cancel = (id) => {
  void kit.turns.get(id).cancel();
};

kit.samples = (floats) => {
  const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
};

/** All that has sounded since it was last asked, as base64 of float32. */
kit.captured = async () => {
  const blocks = await new Promise((resolve) => {
    kit.tap.port.onmessage = ({ data }) => resolve(data);
    kit.tap.port.postMessage("take");
  });
  const all = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    all.set(block, at);
    at += block.length;
  }
  return kit.samples(all);
};

/** Resolves when it is true, as soon as anything was told. */
kit.until = (condition) =>
  new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      if (condition()) resolve();
      else setTimeout(() => channel.port2.postMessage(0), 2);
    };
    channel.port2.postMessage(0);
  });

window.kit = kit;
