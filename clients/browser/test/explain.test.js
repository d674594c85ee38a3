import assert from "node:assert/strict";
import test from "node:test";

import { explain, noticed } from "../page/explain.js";

test("an error is told in words, with the codes of all who said something", () => {
  const error = Object.assign(new Error("the provider refused"), {
    code: "provider_auth",
    provider: { name: "breeze", status: 402, code: "NO_CREDIT", message: "Not enough credits.", request_id: "r-1" },
  });
  const { what, advice, codes, facts } = explain(error);
  assert.match(what, /refused the relay's key/);
  assert.match(advice, /account/);
  assert.equal(codes, "provider_auth · breeze · 402 · NO_CREDIT");
  assert.deepEqual(facts, [
    ["The relay says", "the provider refused"],
    ["The provider says", "Not enough credits."],
    ["Its request", "r-1"],
  ]);
});

test("when the relay says how long to wait, so does the page", () => {
  assert.equal(explain({ code: "rate_limited", retryAfterS: 1.2 }).advice, "Wait 2 s, then speak again.");
});

test("what has no code of the relay's is told as well", () => {
  const { what, codes, facts } = explain(new TypeError("x is not a function"));
  assert.equal(what, "Something went wrong.");
  assert.equal(codes, "");
  assert.deepEqual(facts, [["The relay says", "x is not a function"]]);
});

test("why nothing is heard yet is told in words, and what is not known is left alone", () => {
  assert.equal(noticed({ type: "turn.waiting", provider: "breeze" }), "Waiting for a place at breeze");
  assert.equal(
    noticed({ type: "turn.progress", provider: "sauti", state: "queued", waited_ms: 2100 }),
    "sauti: queued, 2 s",
  );
  assert.equal(
    noticed({ type: "turn.failover", from: "breeze", to: "espeak", code: "provider_cut" }),
    "breeze failed (provider_cut); espeak goes on",
  );
  assert.equal(noticed({ type: "turn.of_tomorrow" }), null);
});
