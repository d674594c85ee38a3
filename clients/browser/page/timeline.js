/** A turn's times -> the steps of its waterfall, and one scale for several. Pure: nothing here knows the page. */

/** In the order in which they happen. `of` says who takes the time before the step, and gives the bar its colour; the
 * relay's bars together are its `relay_ms`. */
const STEPS = [
  // Until there is enough text to be spoken: at once for a whole text, at a sentence's end for one being written.
  { key: "request_sent", label: "Request sent", who: "text", of: "text" },
  { key: "first_byte", label: "First byte", who: "provider", of: "provider" },
  { key: "first_sample", label: "First sample", who: "relay", of: "relay" },
  { key: "first_frame", label: "First frame", who: "relay", of: "relay" },
];

/**
 * @param timings the relay's, in ms after the turn's first text; of a turn that is not over, as far as they are known
 * @param soundMs from the text's leaving this page to the first sound; null while there was none
 * @returns steps of `{key, label, who, of, fromMs, toMs}`; `toMs` is null for what has not happened, and a step whose
 * predecessor is not known is a point
 */
export function steps(timings, soundMs) {
  const known = STEPS.map((step) => ({ ...step, toMs: timings?.[step.key] ?? null }));
  known.push({ key: "sound", label: "First sound", who: "network, player", of: "listener", toMs: soundMs });
  let reachedMs = 0;
  return [
    { key: "text", label: "Text", who: "", of: "text", fromMs: 0, toMs: 0 },
    ...known.map((step) => {
      const fromMs = step.toMs === null ? null : Math.min(reachedMs ?? step.toMs, step.toMs);
      reachedMs = step.toMs;
      return { ...step, fromMs };
    }),
  ];
}

/** The end of the axis and its marks, for waterfalls that are to be compared: round numbers, two to five of them. */
export function scale(lists) {
  const longest = Math.max(1, ...lists.flat().map((step) => step.toMs ?? 0));
  const tenth = 10 ** Math.floor(Math.log10(longest / 3));
  const mark = [1, 2, 5, 10].map((times) => times * tenth).find((step) => longest / step <= 4);
  const endMs = Math.ceil(longest / mark) * mark;
  const marks = Array.from({ length: Math.round(endMs / mark) + 1 }, (_, index) => rounded(index * mark));
  return { endMs, marks };
}

/** As a person reads it: three figures are enough, and below 10 ms a tenth counts. */
export function shownMs(ms) {
  if (ms === null || ms === undefined) return "–";
  if (Math.round(ms) >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return ms >= 9.95 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

/** Which of two was heard first, in a sentence; empty where there is nothing to compare. */
export function verdict(results) {
  if (results.length !== 2 || results.some((result) => result.ttfaMs === null)) return "";
  const [first, second] = results.toSorted((one, other) => one.ttfaMs - other.ttfaMs);
  return `${first.name} came first, by ${shownMs(second.ttfaMs - first.ttfaMs)}.`;
}

function rounded(value) {
  return Number(value.toPrecision(6));
}
