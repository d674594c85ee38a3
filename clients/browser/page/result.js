/** One turn's outcome: time to first audio, the waterfall behind it, and the audio to keep. */

import { element } from "./element.js";
import { scale, shownMs, steps } from "./timeline.js";

export class Result {
  #number = element("strong", { className: "ttfa" }, "–");
  #unit = element("span", { className: "unit" });
  #table = element("table", { className: "waterfall" });
  #facts = element("dl");
  #save = element("button", { type: "button", hidden: true }, "Save WAV");
  #title = element("h2");
  #turn = null;
  #gaps = 0;
  #gapMs = 0;

  #shown = "";

  /** @param name who speaks, as far as is known before the relay says it */
  constructor(name) {
    this.name = name;
    this.outcome = "";
    this.#save.addEventListener("click", () => save(this.#turn.wav(), fileName(this.name)));
    this.article = element(
      "article",
      {},
      this.#title,
      element("p", { className: "first" }, this.#number, " ", this.#unit),
      this.#table,
      this.#facts,
      element("p", { className: "keep" }, this.#save),
    );
    this.show(scale([this.steps]));
  }

  speaks(turn) {
    this.#turn = turn;
  }

  gap(ms) {
    this.#gaps += 1;
    this.#gapMs += ms;
  }

  get gaps() {
    return this.#gaps === 0 ? "no gaps" : `${this.#gaps} ${this.#gaps === 1 ? "gap" : "gaps"}, ${shownMs(this.#gapMs)}`;
  }

  get ttfaMs() {
    const times = this.#turn?.timings;
    return times?.relay?.ttfa_ms ?? times?.ttfaMs ?? null;
  }

  /** From the text's leaving this page to its first sound. */
  get soundMs() {
    const times = this.#turn?.timings;
    const firstMs = times?.firstHeardMs ?? null;
    return firstMs === null ? null : firstMs - (times.sentMs ?? 0);
  }

  get steps() {
    return steps(this.#turn?.timings.relay ?? { first_frame: this.ttfaMs }, this.soundMs);
  }

  /** Brings everything up to date. `axis` is that of all results on the page, so that they can be compared. */
  show(axis) {
    // Untouched as long as nothing is new: who reads it, by ear or with the mouse, is not disturbed.
    const facts = this.#known();
    const content = JSON.stringify([this.name, this.ttfaMs, this.steps, facts, axis]);
    if (content === this.#shown) return;
    this.#shown = content;
    const [number, unit = "ms"] = shownMs(this.ttfaMs).split(" ");
    const none = this.outcome && this.ttfaMs === null;
    this.#number.textContent = none ? "" : number;
    this.#number.classList.toggle("pending", this.ttfaMs === null);
    this.#unit.textContent = none ? "no audio" : `${unit} to first audio`;
    this.#title.textContent = this.name;
    this.#table.hidden = none;
    this.#table.replaceChildren(...waterfall(this.steps, axis));
    this.#facts.replaceChildren(
      ...facts.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))),
    );
    this.#save.hidden = !(this.outcome && this.#turn?.receivedSamples > 0);
  }

  #known() {
    const relay = this.#turn?.timings.relay;
    const rate = this.#turn?.started?.audio.sample_rate;
    const facts = [["Added by the relay", shownMs(relay?.relay_ms)], ["Gaps", this.gaps]];
    if (!this.outcome) return facts;
    const heard = rate && this.#turn.heardSamples > 0 ? `${(this.#turn.heardSamples / rate).toFixed(2)} s, ` : "";
    facts.push(["Outcome", heard + this.outcome]);
    if (typeof relay?.connection_reused === "boolean") {
      facts.push(["Connection", relay.connection_reused ? "was open" : "was opened"]);
    }
    return facts;
  }
}

function waterfall(list, axis) {
  const percent = (ms) => `${(100 * ms) / axis.endMs}%`;
  const grid = () => axis.marks.map((ms) => placed(element("i"), { left: percent(ms) }));
  const rows = list.map((step) => {
    const bar = placed(element("b", { className: step.of }), {
      left: percent(step.fromMs ?? 0),
      width: percent((step.toMs ?? 0) - (step.fromMs ?? 0)),
    });
    bar.hidden = step.toMs === null;
    return element(
      "tr",
      { className: step.key },
      element("th", { scope: "row" }, step.label, element("small", {}, step.who)),
      element("td", { className: "track", ariaHidden: "true" }, ...grid(), bar),
      element("td", { className: "ms" }, step.key === "text" ? "0" : shownMs(step.toMs)),
    );
  });
  const marks = axis.marks.map((ms) => placed(element("span", {}, `${ms}`), { left: percent(ms) }));
  marks.at(-1).append(" ms");
  const axisCell = element("td", { className: "axis" }, ...marks);
  return [
    element("caption", { className: "unseen" }, "When each step of the turn was reached, after its first text"),
    element("tbody", {}, ...rows),
    element("tfoot", { ariaHidden: "true" }, element("tr", {}, element("td"), axisCell, element("td"))),
  ];
}

/** By the style's own interface: the page's policy allows no style written as text. */
function placed(node, position) {
  Object.assign(node.style, position);
  return node;
}

function fileName(name) {
  return `relay ${name}`.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/-$/, "") + ".wav";
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  // The browser has taken hold of it when the click returns, Safari a moment later.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
