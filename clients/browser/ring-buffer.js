/** A fixed number of samples, first in first out. Allocates once. Knows nothing of turns or time. */
export class RingBuffer {
  #samples;
  #start = 0;
  #length = 0;

  constructor(capacity) {
    this.#samples = new Float32Array(capacity);
  }

  get capacity() {
    return this.#samples.length;
  }

  get length() {
    return this.#length;
  }

  /** Adds `source` times `scale`, as much as there is room for. Returns how many samples were taken. */
  write(source, scale = 1) {
    const samples = this.#samples;
    const capacity = samples.length;
    const count = Math.min(source.length, capacity - this.#length);
    let at = (this.#start + this.#length) % capacity;
    for (let i = 0; i < count; i += 1) {
      samples[at] = source[i] * scale;
      at += 1;
      if (at === capacity) at = 0;
    }
    this.#length += count;
    return count;
  }

  /** Takes up to `count` samples into `output` from index `from` on. Returns how many there were. */
  read(output, from, count) {
    const samples = this.#samples;
    const capacity = samples.length;
    const taken = Math.min(count, this.#length);
    let at = this.#start;
    for (let i = 0; i < taken; i += 1) {
      output[from + i] = samples[at];
      at += 1;
      if (at === capacity) at = 0;
    }
    this.#start = at;
    this.#length -= taken;
    return taken;
  }

  clear() {
    this.#start = 0;
    this.#length = 0;
  }
}
