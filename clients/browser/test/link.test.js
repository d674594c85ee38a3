/** Opening and opening again, over a socket that does as it is told and a clock that jumps. */

import assert from "node:assert/strict";
import test from "node:test";

import { Link } from "../link.js";

const READY = { type: "session.ready", session_id: "s", protocol: "relay.v1", limits: {}, defaults: {} };

/** Time that passes only in `advance`. */
class Clock {
  now = 0;
  timers = new Map();
  last = 0;

  install(t) {
    const real = { setTimeout, clearTimeout, setInterval, clearInterval, now: performance.now };
    const set = (every) => (call, ms) => {
      this.timers.set(++this.last, { at: this.now + ms, call, every: every ? ms : null });
      return this.last;
    };
    globalThis.setTimeout = set(false);
    globalThis.setInterval = set(true);
    globalThis.clearTimeout = globalThis.clearInterval = (id) => this.timers.delete(id);
    performance.now = () => this.now;
    t.after(() => {
      Object.assign(globalThis, { ...real, now: undefined });
      performance.now = real.now;
    });
  }

  async advance(ms) {
    const end = this.now + ms;
    for (;;) {
      await settle();
      const [id, timer] = [...this.timers].sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (timer === undefined || timer.at > end) break;
      this.now = timer.at;
      if (timer.every === null) this.timers.delete(id);
      else timer.at += timer.every;
      timer.call();
    }
    this.now = end;
    await settle();
  }
}

async function settle() {
  for (let i = 0; i < 50; i += 1) await null;
}

class FakeSocket {
  static all = [];
  static answer = () => {};
  sent = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    FakeSocket.all.push(this);
    queueMicrotask(() => FakeSocket.answer(this));
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }

  say(message) {
    this.onmessage?.({ data: message instanceof ArrayBuffer ? message : JSON.stringify(message) });
  }

  end(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }
}

const welcome = (socket) => socket.say(READY);
const refuse = (socket) => socket.end();

function stage(t, { token = null, answer = welcome } = {}) {
  const clock = new Clock();
  clock.install(t);
  FakeSocket.all = [];
  FakeSocket.answer = answer;
  globalThis.WebSocket = FakeSocket;
  const told = [];
  const state = { busy: false };
  const link = new Link("https://relay.example/v1/stream", token, {
    message: (message) => told.push(["message", message]),
    audio: (buffer) => told.push(["audio", buffer.byteLength]),
    ready: () => told.push(["ready"]),
    lost: (error, { quiet }) => told.push(["lost", error.code, quiet]),
    busy: () => state.busy,
  });
  t.after(() => link.close());
  return { clock, link, told, state, sockets: FakeSocket.all };
}

const outcome = (promise) => {
  const seen = { done: false };
  promise.then(
    () => Object.assign(seen, { done: true }),
    (error) => Object.assign(seen, { done: true, error }),
  );
  return seen;
};

test("a session opens, with a fresh token, and tells messages and audio apart", async (t) => {
  let minted = 0;
  const { clock, link, told, sockets } = stage(t, { token: async () => `token-${++minted}` });
  assert.equal(link.send({ type: "ping" }), false);
  await link.open();
  await link.open(); // there is one
  assert.equal(sockets.length, 1);
  assert.equal(sockets[0].url, "wss://relay.example/v1/stream");
  assert.deepEqual(sockets[0].protocols, ["relay.v1", "relay-token.token-1"]);
  sockets[0].say({ type: "pong" });
  sockets[0].say(new ArrayBuffer(5));
  assert.deepEqual(told, [["ready"], ["message", { type: "pong" }], ["audio", 5]]);
  await clock.advance(60_000);
  sockets[0].end();
  await link.reopen(); // a session that lived is replaced without a pause
  assert.deepEqual(sockets[1].protocols, ["relay.v1", "relay-token.token-2"]);
  assert.equal(link.sessions, 2);
});

test("one attempt fails at once; several have growing pauses and an end", async (t) => {
  const { clock, link, sockets } = stage(t, { answer: refuse });
  await assert.rejects(link.open(), { name: "RelayError", code: "connect_failed", retryable: true });
  const again = outcome(link.reopen());
  const counts = [];
  for (let i = 0; i < 40 && !again.done; i += 1) {
    await clock.advance(250);
    counts.push(sockets.length);
  }
  assert.equal(again.error.code, "connect_failed");
  assert.equal(sockets.length, 1 + 6);
  assert.ok(clock.now >= 0.75 * 7750 && clock.now <= 1.25 * 7750 + 250);
  const shared = [link.reopen(), link.reopen()];
  await settle();
  FakeSocket.answer = welcome;
  await clock.advance(1000);
  await Promise.all(shared);
  assert.equal(sockets.length, 9);
});

test("a token that cannot be had is tried again; an answer that is no relay's is not", async (t) => {
  let asked = 0;
  const { clock, link } = stage(t, {
    token: () => {
      asked += 1;
      if (asked === 1) throw new Error("offline");
      return null;
    },
  });
  const opened = outcome(link.reopen());
  await clock.advance(500);
  assert.deepEqual(opened, { done: true });
  FakeSocket.all.at(-1).end();
  FakeSocket.answer = (socket) => socket.say({ type: "hello" });
  const refused = outcome(link.reopen());
  await clock.advance(2000);
  assert.deepEqual([refused.error.code, refused.error.retryable], ["connect_failed", false]);
});

test("a token or a relay that never answers is given up", async (t) => {
  const { clock, link } = stage(t, { token: () => new Promise(() => {}) });
  const waiting = outcome(link.open());
  await clock.advance(10_000);
  assert.equal(waiting.error.code, "connect_failed");
  const { clock: other, link: second, sockets } = stage(t, { answer: () => {} });
  const silent = outcome(second.open());
  await other.advance(10_000);
  assert.equal(silent.error.code, "connect_failed");
  assert.ok(sockets[0].closed);
});

test("a relay that ends each session at once is not asked without a pause", async (t) => {
  const { clock, link, sockets } = stage(t);
  await link.open();
  for (const pause of [250, 500, 1000, 2000, 4000, 4000]) {
    sockets.at(-1).end(1011, "internal");
    const next = outcome(link.reopen());
    await clock.advance(0.7 * pause);
    assert.equal(next.done, false);
    while (!next.done) await clock.advance(50);
    assert.equal(next.error, undefined);
  }
});

test("the relay says why it closes: idleness is quiet, a restart is not", async (t) => {
  const { link, told, sockets } = stage(t);
  await link.open();
  sockets[0].say({ type: "session.closing", reason: "idle_timeout", retryable: true });
  assert.equal(link.connected, true);
  sockets[0].end(1008, "idle_timeout");
  assert.deepEqual(told.at(-1), ["lost", "connection_lost", true]);
  const { link: second, told: then, sockets: later } = stage(t);
  await second.open();
  later[0].say({ type: "session.closing", reason: "shutting_down", retryable: true });
  later[0].end(1001, "shutting_down");
  assert.deepEqual(then.at(-1), ["lost", "connection_lost", false]);
});

test("a relay that has vanished is noticed while something is awaited, and only then", async (t) => {
  const { clock, link, told, state, sockets } = stage(t);
  await link.open();
  await clock.advance(600_000);
  assert.deepEqual(sockets[0].sent, []);
  state.busy = true;
  await clock.advance(5_000);
  assert.deepEqual(sockets[0].sent, [{ type: "ping" }]);
  sockets[0].say({ type: "pong" });
  await clock.advance(14_000);
  assert.equal(sockets[0].sent.length, 1);
  await clock.advance(30_000);
  assert.equal(sockets[0].sent.length, 2);
  assert.deepEqual(told.at(-1), ["lost", "connection_lost", false]);
  assert.equal(link.connected, false);
});

test("what is no message ends the session", async (t) => {
  const { link, told, sockets } = stage(t);
  await link.open();
  sockets[0].onmessage({ data: "{" });
  assert.equal(told.at(-1)[0], "lost");
  assert.ok(sockets[0].closed);
});

test("closed is closed, also while it opens", async (t) => {
  const { clock, link, sockets } = stage(t, { answer: () => {} });
  const opening = outcome(link.reopen());
  await settle();
  link.close();
  welcome(sockets[0]);
  await clock.advance(20_000);
  assert.equal(opening.error.code, "closed");
  assert.ok(sockets[0].closed);
  assert.equal(sockets.length, 1);
  await assert.rejects(link.open(), { code: "closed" });
});
