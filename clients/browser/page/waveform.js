/** The sound of a turn as bars: what was heard in the accent, what waits to be heard behind it. */

// One bar's worth of sound is kept as one number, so that a turn of ten minutes is 60,000 of them.
const BUCKET_S = 0.01;
// The picture shows this much, and doubles it when that is full: it jumps now and then, it never creeps.
const FIRST_SPAN_S = 4;
const BAR_PX = 2;
const PITCH_PX = 3;
// Quiet speech is still to be seen as speech.
const LOUDNESS = 0.6;

export class Waveform {
  #canvas;
  #rate = 1;
  #peaks = [];
  #samples = 0;
  #heard = 0;
  #over = true;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** How much has been shown to it since the start. */
  get samples() {
    return this.#samples;
  }

  start(rate) {
    this.#rate = rate;
    this.#peaks = [];
    this.#samples = this.#heard = 0;
    this.#over = false;
  }

  add(samples) {
    const bucket = this.#rate * BUCKET_S;
    for (const sample of samples) {
      const index = Math.floor(this.#samples / bucket);
      const size = Math.abs(sample);
      if (index === this.#peaks.length) this.#peaks.push(size);
      else if (size > this.#peaks[index]) this.#peaks[index] = size;
      this.#samples += 1;
    }
  }

  /** What is not heard now never will be. */
  end() {
    this.#over = true;
    this.draw();
  }

  heard(samples) {
    this.#heard = samples;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const density = devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * density);
    this.#canvas.height = Math.round(height * density);
    const context = this.#canvas.getContext("2d");
    context.scale(density, density);
    const style = getComputedStyle(this.#canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [heard, waiting, rest] = [colour("--accent"), colour(this.#over ? "--line" : "--bar"), colour("--line")];

    const bars = Math.floor(width / PITCH_PX);
    const heardBar = (this.#heard / this.#rate / this.#spanS()) * bars;
    const perBar = this.#spanS() / BUCKET_S / bars;
    for (let bar = 0; bar < bars; bar += 1) {
      const size = this.#loudest(bar * perBar, (bar + 1) * perBar);
      const tall = size === null ? 0 : size ** LOUDNESS * (height - PITCH_PX);
      context.fillStyle = size === null ? rest : bar < heardBar ? heard : waiting;
      const length = Math.max(BAR_PX, tall);
      context.beginPath();
      context.roundRect(bar * PITCH_PX, (height - length) / 2, BAR_PX, length, BAR_PX / 2);
      context.fill();
    }
  }

  #spanS() {
    const lengthS = this.#samples / this.#rate;
    let spanS = FIRST_SPAN_S;
    while (spanS < lengthS) spanS *= 2;
    return spanS;
  }

  /** Null where there is no sound yet. */
  #loudest(from, to) {
    const first = Math.floor(from);
    if (first >= this.#peaks.length) return null;
    return Math.min(1, Math.max(...this.#peaks.slice(first, Math.max(first + 1, Math.floor(to)))));
  }
}
