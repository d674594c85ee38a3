/**
 * The rules of jitter-buffer.js once more, one sample at a time, with plain arrays and no care for speed.
 *
 * `events` are what the listener has to be told, in order.
 */
export class Model {
  constructor({ sampleRate, minTarget, maxTarget, rampMs, shrinkAfterS, marginMs }) {
    Object.assign(this, { sampleRate, minTarget, maxTarget: Math.max(minTarget, maxTarget) });
    this.ramp = Math.round((rampMs * sampleRate) / 1000);
    this.margin = Math.round((marginMs * sampleRate) / 1000);
    this.period = shrinkAfterS * sampleRate;
    this.target = minTarget;
    this.turns = [];
    this.fade = [];
    this.events = [];
    this.clock = this.last = this.clean = this.underruns = this.underrunSamples = 0;
  }

  begin(key) {
    this.turns.push({ key, held: [], played: 0, mode: "new", ended: false, came: null, gapAt: null, goal: null });
  }

  of(key) {
    return this.turns.find((turn) => turn.key === key);
  }

  write(key, samples) {
    const turn = this.of(key);
    if (!turn || turn.ended || samples.length === 0) return;
    turn.came ??= this.clock;
    turn.held.push(...samples);
  }

  end(key) {
    const turn = this.of(key);
    if (turn) turn.ended = true;
  }

  cancel(key) {
    const turn = this.of(key);
    if (!turn) return;
    if (turn.mode === "sounding") this.rampDown(turn.held);
    this.turns = this.turns.filter((other) => other !== turn);
  }

  rampDown(held) {
    this.fade = [];
    for (let i = 0; i < this.ramp; i += 1) {
      const value = held.length > 0 ? (i < held.length ? held[i] : held.at(-1)) : this.last;
      this.fade.push(Math.fround(Math.fround(value) * (1 - (i + 1) / this.ramp)));
    }
  }

  read(size) {
    const output = [];
    let silent = false; // decided until the end of this read
    while (output.length < size) {
      const value = silent ? null : this.sample();
      if (value === undefined) continue; // a turn ended or a gap began; no sample yet
      if (value === null) silent = true;
      this.last = value ?? 0;
      output.push(value ?? 0);
      this.clock += 1;
      this.settle();
    }
    return Float32Array.from(output);
  }

  sample() {
    if (this.fade.length > 0) {
      const value = this.fade.shift();
      this.faded = true;
      return value;
    }
    if (this.faded) {
      this.faded = false;
      this.last = 0;
    }
    const turn = this.turns[0];
    if (!turn) return null;
    if (turn.mode !== "sounding" && !this.mayBegin(turn)) return null;
    if (turn.held.length === 0) {
      if (turn.ended) {
        this.finish(turn);
      } else {
        turn.mode = "gap";
        turn.came = turn.goal = null;
        turn.gapAt = this.clock;
        this.rampDown([]);
      }
      return undefined;
    }
    let value = turn.held.shift();
    if (turn.rampIn < this.ramp) {
      turn.rampIn += 1;
      value = Math.fround(value * (turn.rampIn / this.ramp));
    }
    turn.played += 1;
    this.clean += 1;
    if (this.clean === this.period) {
      this.clean = 0;
      this.target -= Math.ceil((this.target - this.minTarget) * 0.1);
    }
    return value;
  }

  /** A turn whose last sample was given out ends with it. */
  settle() {
    const turn = this.turns[0];
    if (turn?.mode === "sounding" && turn.ended && turn.held.length === 0 && this.fade.length === 0) this.finish(turn);
  }

  finish(turn) {
    this.turns.shift();
    this.events.push(["finished", turn.key, turn.played, this.clock]);
  }

  mayBegin(turn) {
    if (turn.came !== null && turn.goal === null) {
      const late = turn.came - turn.gapAt;
      turn.goal =
        turn.mode === "gap" && late <= this.maxTarget
          ? Math.min(this.maxTarget, this.target + late + this.margin)
          : this.target;
    }
    const filled = turn.came !== null && (turn.held.length >= turn.goal || this.clock - turn.came >= turn.goal);
    if (!filled && !turn.ended) return false;
    turn.rampIn = this.ramp;
    if (turn.held.length > 0) {
      if (turn.mode === "gap") {
        this.underruns += 1;
        this.underrunSamples += this.clock - turn.gapAt;
        this.target = turn.goal;
        this.clean = 0;
        turn.rampIn = 0;
        this.events.push(["gap", turn.key, turn.played, this.clock - turn.gapAt]);
      } else this.events.push(["started", turn.key, this.clock]);
    }
    turn.mode = "sounding";
    return true;
  }
}
