/**
 * What stands between audio as it arrives and audio as it must sound: turns in order, each with its own ring.
 *
 * Pure: time is the number of samples that were asked for. The rules:
 *
 * - A turn begins to sound when `target` samples of it are held, or all of it, or `target` samples of time after its
 *   first one came, whichever is first.
 * - When it runs dry before its end, there is a gap: what the ear hears last is ramped to silence. The turn goes on by
 *   the same rule, ramped in. The gap counts as an underrun when the sound comes back; if nothing more comes, the turn
 *   had simply ended.
 * - After a gap `target` is larger by as much as the audio was late, up to `maxTarget`. A gap longer than `maxTarget`
 *   leaves it as it is: no prebuffer would have helped, the speech was not there yet.
 * - Every SHRINK_AFTER_S seconds played without a gap, `target` loses a tenth of what it has above `minTarget`.
 * - A cancelled turn is ramped to silence from where it is, and the next one may follow.
 *
 * Outside the ramps, what sounds are the samples that came, each once, in order.
 */

import { RingBuffer } from "./ring-buffer.js";

// Short enough to be silence at once, long enough not to click.
export const RAMP_MS = 4;
export const SHRINK_AFTER_S = 5;
const SHRINK_BY = 0.1;
// Added to a measured lateness, so that the same again is no underrun.
const MARGIN_MS = 10;

class Slot {
  constructor(capacity) {
    this.ring = new RingBuffer(capacity);
    this.reset(0);
  }

  reset(key) {
    this.key = key;
    this.ring.clear();
    this.played = 0;
    this.sounding = false;
    this.ended = false;
    // On the clock: when the first of the samples now held came, and when the gap began that has not ended.
    this.filledSince = -1;
    this.gapSince = -1;
    this.target = -1;
  }
}

export class JitterBuffer {
  #rate;
  #slots;
  #queue = [];
  #ramp;
  #fade;
  #fadeAt;
  #rampIn = 0;
  #last = 0;
  #clean = 0;
  #listener;

  /**
   * Lengths in samples. `turns`: how many may be held, each with up to `window` samples.
   * `listener`: `started(key, clock)`, `gap(key, atSample, samples)`, `finished(key, samples, clock)`.
   */
  constructor({ sampleRate, window, turns, minTarget, maxTarget, listener }) {
    this.#rate = sampleRate;
    this.#slots = Array.from({ length: turns }, () => new Slot(window));
    this.#ramp = Math.round((RAMP_MS * sampleRate) / 1000);
    this.#fade = new Float32Array(this.#ramp);
    this.#fadeAt = this.#ramp;
    this.#listener = listener;
    this.minTarget = minTarget;
    this.maxTarget = Math.max(minTarget, maxTarget);
    this.target = minTarget;
    /** Samples given out, silence included. */
    this.clock = 0;
    this.played = 0;
    this.underruns = 0;
    this.underrunSamples = 0;
  }

  get held() {
    let held = 0;
    for (const slot of this.#queue) held += slot.ring.length;
    return held;
  }

  /** `idle`: no turn; `waiting`: the first one has not begun; `playing`; `stalled`: in a gap. */
  get state() {
    if (this.#queue.length === 0) return "idle";
    const head = this.#queue[0];
    if (head.sounding) return "playing";
    return head.gapSince >= 0 ? "stalled" : "waiting";
  }

  /** The turn that speaks or is the next to speak; 0 if there is none. */
  get key() {
    return this.#queue.length === 0 ? 0 : this.#queue[0].key;
  }

  /** Samples of that turn that were given out. */
  get position() {
    return this.#queue.length === 0 ? 0 : this.#queue[0].played;
  }

  /** A turn, to be spoken after those there are. False if no more can be held. */
  begin(key) {
    const slot = this.#slots.pop();
    if (slot === undefined) return false;
    slot.reset(key);
    this.#queue.push(slot);
    return true;
  }

  /** Audio of a turn. Of one that is not held (any more), nothing is kept. False if there was no room for all. */
  write(key, source, scale = 1) {
    const slot = this.#find(key);
    if (slot === undefined || slot.ended || source.length === 0) return true;
    if (slot.filledSince < 0) slot.filledSince = this.clock;
    return slot.ring.write(source, scale) === source.length;
  }

  /** No more audio of this turn will come: what is held is all. */
  end(key) {
    const slot = this.#find(key);
    if (slot !== undefined) slot.ended = true;
  }

  /** Drops a turn, with a ramp if it is being heard. */
  cancel(key) {
    const slot = this.#find(key);
    if (slot === undefined) return;
    if (slot.sounding) this.#fadeOut(slot.ring);
    this.#release(slot);
  }

  cancelAll() {
    while (this.#queue.length > 0) this.cancel(this.#queue[0].key);
  }

  /** Fills `output`. Allocates nothing. */
  read(output) {
    const size = output.length;
    const start = this.clock;
    let at = 0;
    while (at < size) {
      if (this.#fadeAt < this.#ramp) {
        at = this.#takeFade(output, at);
      } else {
        const slot = this.#queue.length === 0 ? undefined : this.#queue[0];
        if (slot === undefined || !(slot.sounding || this.#begins(slot))) {
          // What arrives while this is read arrives after it, so nothing changes until the end of `output`.
          output.fill(0, at);
          this.#last = 0;
          at = size;
        } else {
          at = this.#play(slot, output, at);
        }
      }
      this.clock = start + at;
    }
  }

  #play(slot, output, at) {
    const taken = slot.ring.read(output, at, output.length - at);
    for (let i = at; i < at + taken && this.#rampIn < this.#ramp; i += 1) {
      this.#rampIn += 1;
      output[i] *= this.#rampIn / this.#ramp;
    }
    if (taken > 0) this.#last = output[at + taken - 1];
    slot.played += taken;
    this.played += taken;
    this.#calm(taken);
    this.clock += taken;
    if (slot.ring.length === 0) {
      if (slot.ended) {
        this.#release(slot);
        this.#listener.finished(slot.key, slot.played, this.clock);
      } else if (at + taken < output.length) {
        slot.sounding = false;
        slot.filledSince = -1;
        slot.gapSince = this.clock;
        slot.target = -1;
        this.#fadeOut(slot.ring);
      }
    }
    return at + taken;
  }

  /** Whether a silent turn may sound now; if so it does. */
  #begins(slot) {
    const afterGap = slot.gapSince >= 0;
    if (slot.filledSince >= 0 && slot.target < 0) slot.target = afterGap ? this.#grown(slot) : this.target;
    const filled = slot.filledSince >= 0 && (slot.ring.length >= slot.target || this.clock - slot.filledSince >= slot.target);
    if (!filled && !slot.ended) return false;
    slot.sounding = true;
    this.#rampIn = this.#ramp;
    if (slot.ring.length === 0) return true;
    if (afterGap) {
      const gap = this.clock - slot.gapSince;
      this.underruns += 1;
      this.underrunSamples += gap;
      this.target = slot.target;
      this.#clean = 0;
      this.#rampIn = 0;
      slot.gapSince = -1;
      this.#listener.gap(slot.key, slot.played, gap);
    } else {
      this.#listener.started(slot.key, this.clock);
    }
    return true;
  }

  /** The target that would have bridged the gap. */
  #grown(slot) {
    const late = slot.filledSince - slot.gapSince;
    if (late > this.maxTarget) return this.target;
    return Math.min(this.maxTarget, this.target + late + Math.round((MARGIN_MS * this.#rate) / 1000));
  }

  #calm(samples) {
    this.#clean += samples;
    const period = SHRINK_AFTER_S * this.#rate;
    while (this.#clean >= period) {
      this.#clean -= period;
      this.target -= Math.ceil((this.target - this.minTarget) * SHRINK_BY);
    }
  }

  /** Prepares the ramp to silence: over the samples that would have come, and where there are none the last one. */
  #fadeOut(ring) {
    const ramp = this.#ramp;
    const real = ring.read(this.#fade, 0, ramp);
    const held = real > 0 ? this.#fade[real - 1] : this.#last;
    for (let i = 0; i < ramp; i += 1) {
      this.#fade[i] = (i < real ? this.#fade[i] : held) * (1 - (i + 1) / ramp);
    }
    this.#fadeAt = 0;
  }

  #takeFade(output, at) {
    const count = Math.min(output.length - at, this.#ramp - this.#fadeAt);
    for (let i = 0; i < count; i += 1) output[at + i] = this.#fade[this.#fadeAt + i];
    this.#fadeAt += count;
    this.#last = 0;
    return at + count;
  }

  #find(key) {
    for (const slot of this.#queue) if (slot.key === key) return slot;
    return undefined;
  }

  #release(slot) {
    this.#queue.splice(this.#queue.indexOf(slot), 1);
    this.#slots.push(slot);
  }
}
