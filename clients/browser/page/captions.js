/** Which part of a text has been heard, is being heard, is on its way, and is only written. Pure. */

/**
 * @param written all text given so far; the segments' texts, joined, are its beginning
 * @param segments those of the turn, `{text, start_sample}`
 * @param words those of the turn, `{text, start_sample, end_sample}`; may be empty
 * @param samples how much has been heard
 * @returns `{heard, now, next, written}`, which joined are `written`
 */
export function caption(written, segments, words, samples) {
  const spoken = segments.map((segment) => segment.text).join("");
  let from = 0;
  let to = 0;
  let start = 0;
  segments.forEach((segment, index) => {
    const end = start + segment.text.length;
    const until = segments[index + 1]?.start_sample ?? Infinity;
    if (samples > 0 && segment.start_sample <= samples) {
      const own = words.filter((word) => word.start_sample >= segment.start_sample && word.start_sample < until);
      [from, to] = own.length ? span(spoken, start, end, own, samples) : [start, end];
    }
    start = end;
  });
  return {
    heard: written.slice(0, from),
    now: written.slice(from, to),
    next: written.slice(to, spoken.length),
    written: written.slice(spoken.length),
  };
}

/** Where in `text`, between `start` and `end`, the last word is that has begun. A word that the provider tells in other
 * letters than the text has (12 as "twelve") is passed over: the one before it stays. */
function span(text, start, end, words, samples) {
  // Some letters have more than one small one (İ), and then places would no longer be those of the text.
  const small = (some) => (text.toLowerCase().length === text.length ? some.toLowerCase() : some);
  const searched = small(text);
  let [from, to] = [start, start];
  for (const word of words) {
    if (word.start_sample > samples) break;
    const at = searched.indexOf(small(word.text), to);
    if (at < 0 || at + word.text.length > end) continue;
    [from, to] = [at, at + word.text.length];
  }
  return [from, to];
}
