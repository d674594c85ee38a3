/** The one type of error. Its codes are the relay's and a few of the player's own; see relay-player.d.ts. */
export class RelayError extends Error {
  constructor(code, message, { retryable = false, retryAfterS = null, turnId = null, provider = null, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "RelayError";
    this.code = code;
    this.retryable = retryable;
    this.retryAfterS = retryAfterS;
    this.turnId = turnId;
    this.provider = provider;
  }

  /** From the relay's `error` message. */
  static fromWire(message) {
    return new RelayError(message.code, message.message, {
      retryable: message.retryable === true,
      retryAfterS: message.retry_after_s ?? null,
      turnId: message.turn_id ?? null,
      provider: message.provider ?? null,
    });
  }
}
