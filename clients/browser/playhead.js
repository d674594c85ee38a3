/**
 * When what was handed to the sound card is heard: `latency` frames of the context's clock later.
 *
 * Pure, and without timers: the reports of the audio thread are the clock, so a page in the background is on time too.
 */
export class Playhead {
  #waiting = [];

  /** `item` was handed over at `frame`; frames never go back. */
  handed(frame, item) {
    this.#waiting.push({ frame, item });
  }

  /** What is heard by now, in order. */
  heard(frame, latency) {
    let count = 0;
    while (count < this.#waiting.length && this.#waiting[count].frame + latency <= frame) count += 1;
    return this.#waiting.splice(0, count).map(({ item }) => item);
  }

  get waiting() {
    return this.#waiting.length;
  }
}
