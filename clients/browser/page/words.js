/** Text as a model writes it: one word after the other, at a speed that may change on the way. */

/** Cuts text after each word; joined, the pieces are the text. Scripts without spaces are cut where their words end. */
export function pieces(text) {
  const cut = [];
  for (const { segment, isWordLike } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)) {
    // Spaces and marks go with the word before them, so that a piece is what a model calls a word.
    if (isWordLike || cut.length === 0) cut.push(segment);
    else cut[cut.length - 1] += segment;
  }
  return cut;
}

/**
 * Gives `text` piece by piece, `wordsPerSecond()` of them, and tells `onPiece` of each. An abort of `signal` ends it.
 * What was late is not made up for: a model that pauses does not hurry afterwards.
 */
export async function* typed(text, { wordsPerSecond, onPiece, signal }) {
  for (const piece of pieces(text)) {
    if (signal.aborted) return;
    onPiece(piece);
    yield piece;
    await pause(1000 / wordsPerSecond(), signal);
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, signal.aborted ? 0 : ms);
    signal.addEventListener("abort", over);
  });
}
