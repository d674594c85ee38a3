/** The connection to the relay: opened, opened again, and known to be dead when it is. Knows nothing of turns. */

import { RelayError } from "./errors.js";
import { PROTOCOL, parse, subprotocols } from "./wire.js";

// Fetching a token and the handshake, each.
const OPEN_TIMEOUT_MS = 10_000;
// Pauses before the attempts after the first; then the next `speak` has to ask anew. About 8 s in all.
const BACKOFF_MS = [250, 500, 1000, 2000, 4000];
// A session that lived this long was a good one.
const SETTLED_MS = 5_000;
// A peer that vanished is not told by TCP for minutes: while something is awaited, silence is asked about.
const LOOK_EVERY_MS = 5_000;
const SILENCE_MS = 15_000;
const ANSWER_MS = 10_000;
// Ends after which a session is opened again only when there is something to say.
const QUIET_ENDS = new Set(["idle_timeout", "unauthorized"]);

export class Link {
  #url;
  #token;
  #on;
  #socket = null;
  #opening = null;
  #closed = false;
  #closing = null;
  #spokeAt = 0;
  #pingedAt = 0;
  #openedAt = 0;
  #failures = 0;
  #timer;

  /** `on`: `message(object)`, `audio(ArrayBuffer)`, `ready()`, `lost(RelayError)`, `busy()`: is an answer awaited? */
  constructor(url, token, on) {
    this.#url = streamUrl(url);
    this.#token = token;
    this.#on = on;
    this.ready = null;
    this.sessions = 0;
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  get connected() {
    return this.#socket !== null;
  }

  /** One attempt, unless there is a session. Rejects with a RelayError. */
  open() {
    return this.#once(() => this.#attempt());
  }

  /** Attempts with growing pauses. Rejects with the last one's RelayError. */
  reopen() {
    return this.#once(async () => {
      for (;;) {
        if (this.#failures > 0) {
          // Spread out, so that a relay that restarts is not met by all its pages at once.
          await sleep(BACKOFF_MS[this.#failures - 1] * (0.75 + 0.5 * Math.random()));
        }
        try {
          return await this.#attempt();
        } catch (error) {
          this.#failures += 1;
          if (!this.#closed && error.retryable && this.#failures <= BACKOFF_MS.length) continue;
          this.#failures = 0;
          throw error;
        }
      }
    });
  }

  /** False if there is no session to say it in. */
  send(message) {
    if (this.#socket === null) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  close() {
    this.#closed = true;
    clearInterval(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #once(open) {
    if (this.#closed) return Promise.reject(closedError());
    if (this.connected) return Promise.resolve();
    this.#opening ??= open().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #attempt() {
    if (this.#closed) throw closedError();
    let token;
    try {
      token = typeof this.#token === "function" ? await within(OPEN_TIMEOUT_MS, this.#token()) : this.#token;
    } catch (cause) {
      throw connectFailed("no token could be had for the relay", { cause });
    }
    if (this.#closed) throw closedError();
    let socket;
    try {
      socket = new WebSocket(this.#url, subprotocols(token));
    } catch (cause) {
      throw connectFailed("this page may not connect to that address", { cause, retryable: false });
    }
    socket.binaryType = "arraybuffer";
    try {
      this.ready = await this.#handshake(socket);
    } catch (error) {
      throw (error.retryable && (await this.#refusal(token))) || error;
    }
    if (this.#closed) {
      socket.close(1000);
      throw closedError();
    }
    this.#socket = socket;
    this.#closing = null;
    this.sessions += 1;
    this.#spokeAt = this.#openedAt = performance.now();
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lost(socket, code, reason);
    this.#on.ready();
  }

  /** Resolves with `session.ready`. */
  #handshake(socket) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => fail("the relay did not answer in time"), OPEN_TIMEOUT_MS);
      const settle = () => {
        clearTimeout(timer);
        socket.onmessage = socket.onclose = null;
      };
      const fail = (reason, options) => {
        settle();
        socket.close();
        reject(connectFailed(reason, options));
      };
      socket.onmessage = ({ data }) => {
        const message = safely(data);
        if (message?.type === "session.ready" && message.protocol === PROTOCOL) {
          settle();
          resolve(message);
        } else {
          fail(`what answers there does not speak ${PROTOCOL}`, { retryable: false });
        }
      };
      socket.onclose = () => {
        fail("no session: the relay cannot be reached, refused the token, or does not allow pages of this origin");
      };
    });
  }

  /**
   * Why the relay refused, as a RelayError, or null where it cannot be known.
   *
   * A browser does not tell a page why a handshake failed, so the same is asked once more as plain HTTP. That spends no
   * token. The answer is for pages of the relay's own origin; others are not shown it.
   */
  async #refusal(token) {
    const url = new URL(this.#url);
    url.protocol = url.protocol === "wss:" ? "https:" : "http:";
    if (this.#closed || url.origin !== globalThis.location?.origin) return null;
    try {
      const headers = token ? { Authorization: `Bearer ${token}` } : {};
      const signal = AbortSignal.timeout(OPEN_TIMEOUT_MS);
      const { error } = await (await fetch(url, { headers, signal, cache: "no-store" })).json();
      // Asked without an upgrade, a relay that has nothing else against it says `invalid_message`.
      return error.code === "invalid_message" ? null : RelayError.fromWire(error);
    } catch {
      return null;
    }
  }

  #receive(data) {
    this.#spokeAt = performance.now();
    if (typeof data !== "string") {
      this.#on.audio(data);
      return;
    }
    const message = safely(data);
    if (message === null) this.#drop("the relay sent what is no message");
    else if (message.type === "session.closing") this.#closing = message;
    else this.#on.message(message);
  }

  #lost(socket, code, reason) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    // A relay that opens sessions only to end them is not to be asked without a pause.
    const shortLived = performance.now() - this.#openedAt < SETTLED_MS;
    this.#failures = shortLived ? Math.min(this.#failures + 1, BACKOFF_MS.length) : 0;
    const why = this.#closing?.reason ?? reason;
    const quiet = QUIET_ENDS.has(why);
    const error = new RelayError("connection_lost", `the connection to the relay was lost (${why || code})`, {
      retryable: true,
    });
    this.#on.lost(error, { quiet });
  }

  /** Ends a connection that is of no more use, without waiting for the other side. */
  #drop(reason) {
    const socket = this.#socket;
    if (socket === null) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
    this.#lost(socket, 1006, reason);
  }

  #look() {
    if (this.#socket === null || !this.#on.busy()) return;
    const now = performance.now();
    if (this.#pingedAt > this.#spokeAt) {
      if (now - this.#pingedAt > ANSWER_MS) this.#drop("no answer");
    } else if (now - this.#spokeAt > SILENCE_MS) {
      this.#pingedAt = now;
      this.send({ type: "ping" });
    }
  }
}

export function closedError() {
  return new RelayError("closed", "the player was closed");
}

function connectFailed(message, { cause, retryable = true } = {}) {
  return new RelayError("connect_failed", message, { retryable, cause });
}

/** The address as a WebSocket's; it may be given relative to the page, and as http. */
function streamUrl(url) {
  const whole = new URL(url, globalThis.location?.href);
  whole.protocol = { "http:": "ws:", "https:": "wss:" }[whole.protocol] ?? whole.protocol;
  return whole.href;
}

function safely(data) {
  try {
    return parse(data);
  } catch {
    return null;
  }
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
