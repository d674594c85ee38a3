/** The relay's HTTP side: who can speak, and tokens. The key, if one is needed, lives here and nowhere else. */

/** A refusal with the fields of the protocol's error body. */
export class Refusal extends Error {
  constructor({ code, message, retry_after_s: retryAfterS = null, provider = null }) {
    super(message);
    this.code = code;
    this.retryAfterS = retryAfterS;
    this.provider = provider;
  }
}

export class Api {
  #base;
  #key = null;
  #voices = new Map();

  /** @param base the address that the relay's paths are below */
  constructor(base) {
    this.#base = base;
  }

  get hasKey() {
    return this.#key !== null;
  }

  useKey(key) {
    this.#key = key;
    this.#voices.clear();
  }

  get streamUrl() {
    const url = new URL("v1/stream", this.#base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return url;
  }

  async providers() {
    return (await this.#ask("v1/providers")).providers;
  }

  /** Asked once: a list may be long, and a provider slow to give it. */
  async voices(provider) {
    if (!this.#voices.has(provider)) {
      const { voices } = await this.#ask(`v1/voices?provider=${encodeURIComponent(provider)}`);
      this.#voices.set(provider, voices);
    }
    return this.#voices.get(provider);
  }

  /** How a provider and a voice are shown to people. */
  title({ provider = "", voice = null }) {
    const name = this.#voices.get(provider)?.find(({ id }) => id === voice)?.name ?? voice;
    return name ? `${provider} · ${name}` : provider;
  }

  /** A token for one connection; null where the relay asks for none. */
  async token() {
    if (!this.hasKey) return null;
    return (await this.#ask("v1/tokens", { method: "POST", body: "{}" })).token;
  }

  async #ask(path, options = {}) {
    const headers = { ...(options.body && { "Content-Type": "application/json" }) };
    if (this.hasKey) headers.Authorization = `Bearer ${this.#key}`;
    const unreachable = { code: "connect_failed", message: "no answer from the relay" };
    const response = await fetch(new URL(path, this.#base), { ...options, headers, cache: "no-store" }).catch(() => {
      throw new Refusal(unreachable);
    });
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refusal(body.error ?? { ...unreachable, message: `HTTP status ${response.status}` });
    return body;
  }
}
