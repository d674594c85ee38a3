/** Which part of a text has been heard, is being heard, is on its way, and is only written. Pure. */

/**
 * @param written all text given so far; the segments' texts, joined, are its beginning
 * @param segments those of the turn, `{text, start_sample}`
 * @param words those of the turn, `{text, start_sample}`, in order; may be empty
 * @param samples how much has been heard
 * @returns `{heard, now, next, written}`, which joined are `written`
 */
export function caption(written, segments, words, samples) {
  let current = null;
  let length = 0;
  segments.forEach((segment, index) => {
    const untilSample = segments[index + 1]?.start_sample ?? Infinity;
    if (samples > 0 && segment.start_sample <= samples) current = { segment, at: length, untilSample };
    length += segment.text.length;
  });
  const [from, to] = current === null ? [0, 0] : span(current, words, samples);
  return {
    heard: written.slice(0, from),
    now: written.slice(from, to),
    next: written.slice(to, length),
    written: written.slice(length),
  };
}

/** Where in the text the last word of the segment is that has begun; the whole segment, if it has no words. A word that
 * the provider tells in other letters than the text has (12 as "twelve") is passed over: the one before it stays. */
function span({ segment, at, untilSample }, words, samples) {
  const { text, start_sample: start } = segment;
  const own = words.filter((word) => word.start_sample >= start && word.start_sample < untilSample);
  if (own.length === 0) return [at, at + text.length];
  // Some letters have more than one small one (İ), and then places would no longer be those of the text.
  const small = text.toLowerCase();
  const [searched, spell] =
    small.length === text.length ? [small, (word) => word.toLowerCase()] : [text, (word) => word];
  let [from, to] = [0, 0];
  for (const word of own) {
    if (word.start_sample > samples) break;
    const found = searched.indexOf(spell(word.text), to);
    if (found >= 0) [from, to] = [found, found + word.text.length];
  }
  return [at + from, at + to];
}
