/** Errors in words: what happened, and what to do about it. The relay's own message and code are shown beside them. */

const WORDS = {
  invalid_message: ["The relay did not understand this page.", "Reload it: the relay may have been updated since."],
  invalid_config: ["These settings do not go together.", "What is wrong with them stands below."],
  unknown_turn: ["The relay has no such turn.", "Speak again."],
  unknown_job: ["The relay has no such job.", "It may have been forgotten. Submit it again."],
  job_not_ready: ["The job has not ended yet.", "Wait until it has."],
  unknown_history: ["The relay has kept no such turn.", "It may have been forgotten."],
  text_too_long: ["The text is too long for one turn.", "Speak it in parts."],
  unauthorized: ["The relay did not take the key.", "Check that it was pasted whole, then try again."],
  forbidden: ["The relay does not let this page in.", "Add this page's address to server.allowed_origins."],
  voice_not_found: ["The provider does not know this voice.", "Choose another one."],
  rate_limited: ["That was more than the relay allows you at a time.", "Wait a moment, then speak again."],
  over_capacity: ["The relay is full.", "Wait a moment, then speak again."],
  shutting_down: ["The relay is shutting down.", "Speak again when it has started anew."],
  provider_auth: ["The provider refused the relay's key, plan or credit.", "Check the account and the relay's key."],
  provider_rejected: ["The provider refused this request.", "Try another voice, model or text."],
  provider_rate_limited: ["The provider has no place free for this account.", "Wait a moment, then speak again."],
  provider_unavailable: ["The provider cannot be reached.", "Try again soon, or choose another provider."],
  provider_timeout: ["The provider has stopped answering.", "Speak again, or choose another provider."],
  provider_cut: ["The provider's audio broke off before its end.", "What came is what you heard. Speak again."],
  bad_audio: ["The provider sent something that is not audio.", "Try another voice or model."],
  slow_client: ["This page took its audio too slowly.", "Check the connection, then speak again."],
  idle_timeout: ["The connection was closed after a long silence.", "Speak again: it opens anew."],
  internal: ["The relay made a mistake.", "Its log says more. Speak again."],
  connect_failed: ["The relay cannot be reached.", "Is it still running? Start it, then speak again."],
  connection_lost: ["The connection to the relay was lost.", "Speak again: it opens anew."],
  no_audio: ["This browser will not play sound here.", "Open the page by https or at 127.0.0.1, in a current browser."],
  bad_stream: ["The relay sent what it may not.", "Reload the page: it may be older than the relay."],
  text_source: ["The text could not be read to its end.", "Speak again."],
};
const UNKNOWN = ["Something went wrong.", "Speak again."];

/**
 * @param error anything thrown; best an error with `code`, `message`, `retryAfterS`, `provider`
 * @returns `{what, advice, codes, facts}`; `codes` are the relay's and the provider's, for whoever has to look them up
 */
export function explain(error) {
  const [what, advice] = WORDS[error.code] ?? UNKNOWN;
  const waitS = error.retryAfterS ? Math.ceil(error.retryAfterS) : null;
  const provider = error.provider ?? {};
  const codes = [error.code, provider.name, provider.status, provider.code];
  const facts = [
    ["The relay says", error.message],
    ["The provider says", provider.message],
    ["Its request", provider.request_id],
  ];
  return {
    what,
    advice: waitS ? `Wait ${waitS} s, then speak again.` : advice,
    codes: codes.filter(given).join(" · "),
    facts: facts.filter(([, value]) => given(value)),
  };
}

function given(value) {
  return value !== null && value !== undefined && value !== "";
}

/** Why nothing is heard yet, or who speaks now, in words; null for what is newer than this page. */
export function noticed(notice) {
  switch (notice.type) {
    case "turn.waiting":
      return `Waiting for a place at ${notice.provider}`;
    case "turn.progress":
      return `${notice.provider}: ${notice.state}, ${(notice.waited_ms / 1000).toFixed(0)} s`;
    case "turn.failover":
      return `${notice.from} failed (${notice.code}); ${notice.to} goes on`;
    default:
      return null;
  }
}
