/** `relay.v1` as the player speaks it: messages out, messages and frames in. Pure. */

export const PROTOCOL = "relay.v1";
export const HEADER_BYTES = 16;
const HEADER_VERSION = 1;
const LAST = 1;

export const SAMPLE_RATES = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000];
/** The frames that every rate but 11025 has whole. */
const FRAME_MS = 20;

// What a subprotocol may consist of (RFC 9110, token).
const SUBPROTOCOL = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** The subprotocols to ask for; the token goes as one, since a page cannot set headers. */
export function subprotocols(token) {
  if (token == null || token === "") return [PROTOCOL];
  if (typeof token !== "string" || !SUBPROTOCOL.test(token)) {
    throw new TypeError("token must be a string as POST /v1/tokens gives it");
  }
  return [PROTOCOL, `relay-token.${token}`];
}

/** The rate to ask for at a context of `rate`: its own, or undefined if the relay does not have it. */
export function sampleRateFor(rate) {
  return SAMPLE_RATES.includes(rate) ? rate : undefined;
}

const FIELDS = ["provider", "providers", "voice", "model", "language", "instructions", "options", "lexicon"];
const OWN_FIELDS = ["turnId", "pacing", "record", "textFilter", "gainDb", "maxLeadingSilenceMs"];

/** The fields of a turn. Raises TypeError for an option there is not: a misspelt one would silently do nothing. */
export function turnFields(turnId, options, { sampleRate, encoding, windowMs }) {
  const fields = { turn_id: turnId };
  for (const [name, value] of Object.entries(options)) {
    if (!FIELDS.includes(name) && !OWN_FIELDS.includes(name)) {
      throw new TypeError(`no turn option ${name}; there are ${[...FIELDS, ...OWN_FIELDS].join(", ")}`);
    }
    if (FIELDS.includes(name) && value != null) fields[name] = value;
  }
  if (options.pacing != null) {
    fields.pacing = typeof options.pacing === "string" ? { mode: options.pacing } : options.pacing;
  }
  if (options.textFilter != null) fields.text_filter = options.textFilter;
  fields.audio = {
    encoding,
    sample_rate: sampleRate,
    channels: 1,
    frame_ms: sampleRate === 11025 ? 2 * FRAME_MS : FRAME_MS,
    tail: "short",
    header: true,
  };
  if (options.gainDb != null) fields.audio.gain_db = options.gainDb;
  if (options.maxLeadingSilenceMs != null) fields.audio.max_leading_silence_ms = options.maxLeadingSilenceMs;
  fields.flow = { window_ms: windowMs };
  return fields;
}

/** Header of a frame. `turn` is the number that stands in it. Raises RangeError for what is no frame. */
export function readHeader(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || view.getUint8(0) !== HEADER_VERSION) {
    throw new RangeError("not a frame with a header of version 1");
  }
  return {
    last: (view.getUint8(1) & LAST) !== 0,
    padding: view.getUint16(2, true),
    turn: view.getUint32(4, true),
    // Exact up to 2^53 samples, which is 5,000 years.
    start: Number(view.getBigUint64(8, true)),
  };
}

/** Puts another turn's number into the header: one that is the page's own, whatever session the frame came by. */
export function renumber(buffer, turn) {
  new DataView(buffer).setUint32(4, turn, true);
}

/** `text` in pieces of at most `size` UTF-16 units, no surrogate pair cut. */
export function cut(text, size) {
  const pieces = [];
  let start = 0;
  while (text.length - start > size) {
    let end = start + size;
    const unit = text.charCodeAt(end - 1);
    if (unit >= 0xd800 && unit < 0xdc00) end -= 1;
    pieces.push(text.slice(start, end));
    start = end;
  }
  if (start < text.length) pieces.push(text.slice(start));
  return pieces;
}

/** How much text fits a message, however it has to be escaped (6 bytes a unit at worst). */
export function textPerMessage(maxMessageBytes) {
  return Math.max(2, Math.floor((maxMessageBytes - 4096) / 6));
}

/** A text message of the relay. Raises SyntaxError for what is none. */
export function parse(text) {
  const message = JSON.parse(text);
  if (typeof message !== "object" || message === null || typeof message.type !== "string") {
    throw new SyntaxError("a message is a JSON object with a type");
  }
  return message;
}
