/** Samples kept for `turn.wav()` and `turn.samples()`, up to a bound. */

// 10 minutes are 115 MB of floats at 48000 Hz, which a page can still hold.
export const RECORD_MAX_S = 600;
const HEAD_BYTES = 44;

export class Recording {
  #pieces = [];
  #room;

  constructor(sampleRate, encoding) {
    this.sampleRate = sampleRate;
    this.encoding = encoding;
    this.#room = RECORD_MAX_S * sampleRate;
  }

  /** Keeps a copy of a frame's bytes, as long as there is room. */
  add(buffer, from, samples) {
    const kept = Math.min(samples, this.#room);
    if (kept === 0) return;
    const width = this.encoding === "pcm_f32le" ? 4 : 2;
    this.#pieces.push(buffer.slice(from, from + kept * width));
    this.#room -= kept;
  }

  wav() {
    return wavFile(this.#pieces, this.sampleRate, this.encoding);
  }

  /** Those from sample `from` on. */
  samples(from = 0) {
    const floats = this.encoding === "pcm_f32le";
    const parts = [];
    let start = 0;
    for (const piece of this.#pieces) {
      const length = piece.byteLength / (floats ? 4 : 2);
      if (start + length > from) {
        const part = floats ? new Float32Array(piece) : new Int16Array(piece);
        parts.push(part.subarray(Math.max(0, from - start)));
      }
      start += length;
    }
    const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    return floats ? joined : joined.map((value) => value / 32768);
  }
}

/** A mono WAV file of pieces of PCM. */
export function wavFile(pieces, sampleRate, encoding) {
  const floats = encoding === "pcm_f32le";
  const width = floats ? 4 : 2;
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  const head = new DataView(new ArrayBuffer(HEAD_BYTES));
  const name = (at, text) => [...text].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  name(0, "RIFF");
  head.setUint32(4, HEAD_BYTES - 8 + bytes, true);
  name(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, floats ? 3 : 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, sampleRate, true);
  head.setUint32(28, sampleRate * width, true);
  head.setUint16(32, width, true);
  head.setUint16(34, 8 * width, true);
  name(36, "data");
  head.setUint32(40, bytes, true);
  return new Blob([head.buffer, ...pieces], { type: "audio/wav" });
}
