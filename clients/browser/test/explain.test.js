import assert from "node:assert/strict";
import test from "node:test";

import { explain } from "../page/explain.js";

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
