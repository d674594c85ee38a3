/** What is heard of a turn, as it is heard: the wave, the words, the buffer, the gaps. */

import { caption } from "./captions.js";
import { element, write } from "./element.js";
import { shownMs } from "./timeline.js";
import { Waveform } from "./waveform.js";

export class Stage {
  #root;
  #wave;
  #windowMs;

  /** @param windowMs what the gauge of the buffer holds: all that the player lets the relay send ahead */
  constructor(root, windowMs) {
    this.#root = root;
    this.#windowMs = windowMs;
    this.#wave = new Waveform(root.querySelector("#wave"));
  }

  begin(sampleRate) {
    this.#wave.start(sampleRate);
    this.#find("#spoken").textContent = "";
  }

  /** `written` is all text given so far; `whole`: the turn was heard to its end. */
  show({ turn, written, whole, gaps, bufferedMs }) {
    if (turn.receivedSamples > this.#wave.samples) this.#wave.add(turn.samples(this.#wave.samples));
    this.#wave.heard(turn.heardSamples);
    this.#caption(
      whole
        ? { heard: written, now: "", next: "", written: "" }
        : caption(written, turn.segments, turn.words, turn.heardSamples),
    );
    write(this.#find("#position"), `${(turn.heardSamples / turn.sampleRate).toFixed(1)} s heard`);
    write(this.#find("#underruns"), gaps);
    this.#buffer(bufferedMs);
  }

  /** A segment begins to be heard: told to those who read by ear. */
  say(text) {
    this.#find("#spoken").append(element("span", {}, text));
  }

  /** What was not heard by now never will be. */
  end() {
    this.#wave.end();
    this.#buffer(0);
  }

  #find(selector) {
    return this.#root.querySelector(selector);
  }

  #caption(parts) {
    const line = this.#find("#captions");
    const now = line.querySelector(".now");
    const moved = now.textContent !== parts.now;
    for (const [part, text] of Object.entries(parts)) write(line.querySelector(`.${part}`), text);
    // A long text shows the lines around the word that is heard.
    if (moved && parts.now) line.scrollTop = now.offsetTop - line.clientHeight / 2;
  }

  #buffer(ms) {
    write(this.#find("#buffered"), ms > 0 ? `${shownMs(ms)} buffered` : "buffer empty");
    this.#find("#level").style.width = `${Math.min(100, (100 * ms) / this.#windowMs)}%`;
  }
}
