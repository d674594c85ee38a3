/** The page: what is typed is spoken, drawn, timed and captioned. The player does the sound; this does the rest. */

import { connect } from "../player/relay-player.js";
import { Api, Refusal } from "./api.js";
import { Choice } from "./choice.js";
import { element, write } from "./element.js";
import { explain, noticed } from "./explain.js";
import { curl, python } from "./program.js";
import { Result } from "./result.js";
import { Stage } from "./stage.js";
import { scale, verdict } from "./timeline.js";
import { typed } from "./words.js";

const at = (id) => document.getElementById(id);
const api = new Api(document.baseURI);
const choices = ["voice-a", "voice-b"].map((id) => new Choice(at(id), api, showProblem));
// How much the player lets the relay send ahead: enough for a bad network, little enough to see it work.
const WINDOW_MS = 2000;
const stage = new Stage(at("stage"), WINDOW_MS);
// Who asked for less motion sees the same at a calmer pace.
const CALM_MS = 250;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** The player, for as long as the format stays; a promise, so that two who ask at once get the same one. */
let opening = null;
let player = null;
/** What is being spoken now: `{stop, over}`; and of that the turn that is heard: `{turn, result, written}`. */
let run = null;
let heard = null;
let results = [];
let asked = 0;

// Who can speak.

async function load() {
  status("Asking who can speak");
  try {
    const providers = await api.providers();
    lock(false);
    const usable = providers.filter((provider) => provider.usable).map(({ name }) => name);
    const other = usable.find((name) => !providers.find((each) => each.name === name).default);
    await Promise.all([choices[0].fill(providers), choices[1].fill(providers, other)]);
    await ready();
    status("Ready");
    // On a touch screen a keyboard would come up and cover the page.
    if (matchMedia("(pointer: fine)").matches && document.activeElement === document.body) at("text").focus();
  } catch (error) {
    showProblem(error, "Not ready");
  }
}

/** A player for the chosen format, connected. */
async function ready() {
  const mine = (opening ??= open());
  try {
    const made = await mine;
    if (mine === opening) player = made; // else it was shut while it opened
    return made;
  } catch (error) {
    if (mine === opening) opening = null;
    throw error;
  }
}

async function open() {
  const made = await connect(api.streamUrl, {
    token: () => api.token(),
    sampleRate: Number(at("rate").value),
    encoding: at("encoding").value,
    windowMs: WINDOW_MS,
  });
  made.addEventListener("state", ({ detail }) => made === player && showState(detail.state));
  made.addEventListener("connection", ({ detail }) => {
    if (made === player && !run) status(detail.connected ? "Ready" : "Not connected: it connects when you speak");
  });
  made.addEventListener("notice", ({ detail }) => {
    if (heard?.turn === detail.turn) status(noticed(detail.notice) ?? at("status").textContent);
  });
  made.addEventListener("segment", ({ detail }) => stage.say(detail.segment.text));
  made.addEventListener("underrun", ({ detail }) => heard?.turn === detail.turn && heard.result.gap(detail.ms));
  return made;
}

async function shut() {
  await interrupt();
  const old = opening;
  [player, opening] = [null, null];
  await (await old?.catch(() => null))?.close();
}

/** Another format is another player: it is opened now, in the gesture, and not when the first sound is wanted. */
async function reopen() {
  await shut();
  await ready().catch((error) => showProblem(error, "Not ready"));
}

// Speaking.

async function speak() {
  hideProblem();
  // In the handler of the gesture itself, before anything is waited for: later the browser would not allow the sound.
  player?.unlock();
  asked += 1;
  const mine = asked;
  await interrupt();
  if (mine !== asked) return; // asked again meanwhile
  const text = at("text").value;
  if (!text.trim()) {
    status("Type something first");
    at("text").focus();
    return;
  }
  const speakers = at("compare").checked ? choices : choices.slice(0, 1);
  const wanted = speakers.map((choice) => choice.wanted);
  results = wanted.map((fields) => new Result(api.title(fields)));
  write(at("verdict"), "");
  at("results").replaceChildren(...results.map((result) => result.article));
  at("results").classList.toggle("two", results.length === 2);
  const stop = new AbortController();
  const over = all(text, wanted, stop.signal);
  run = { stop, over };
  busy(true);
  await over;
}

async function all(text, wanted, signal) {
  for (const [index, fields] of wanted.entries()) {
    if (!signal.aborted) await one(text, fields, results[index], signal);
  }
  write(at("verdict"), verdict(results));
  run = null;
  busy(false);
}

async function one(text, fields, result, signal) {
  const show = { turn: null, result, written: "", whole: false };
  try {
    const sounding = await ready();
    if (signal.aborted) {
      status("Interrupted");
      return;
    }
    const speed = () => Number(at("speed").value);
    const words = typed(text, { wordsPerSecond: speed, onPiece: (piece) => (show.written += piece), signal });
    if (!at("typed").checked) show.written = text;
    show.turn = sounding.speak(at("typed").checked ? words : text, { ...fields, record: true });
    result.speaks(show.turn);
    result.article.classList.add("sounding");
    stage.begin(sounding.sampleRate);
    heard = show;
    requestAnimationFrame(follow);
    const end = await show.turn.done;
    show.whole = end.type === "turn.done";
    result.outcome = show.whole ? "whole" : "interrupted";
    status(show.whole ? "Done" : "Interrupted");
  } catch (error) {
    result.outcome = `failed (${error.code})`;
    showProblem(error);
  } finally {
    heard = null;
    if (show.turn) refresh(show);
    stage.end();
    result.article.classList.remove("sounding");
    showResults();
  }
}

async function interrupt() {
  if (!run) return;
  run.stop.abort();
  heard?.turn.cancel().catch(() => {}); // whoever waits for the turn is told what went wrong with it
  await run.over;
}

// What is seen of it.

let lastMs = 0;

function follow(nowMs) {
  if (!heard) return;
  if (!calm.matches || nowMs - lastMs >= CALM_MS) {
    lastMs = nowMs;
    refresh(heard);
  }
  requestAnimationFrame(follow);
}

function refresh({ turn, result, written, whole }) {
  stage.show({ turn, written, whole, gaps: result.gaps, bufferedMs: player?.stats.bufferedMs ?? 0 });
  // The relay says who it is: the default's name, or after a failover another provider.
  if (turn.started) result.name = api.title(turn.started);
  showResults();
}

function showResults() {
  const axis = scale(results.map((result) => result.steps));
  for (const result of results) result.show(axis);
}

function busy(speaking) {
  at("interrupt").ariaDisabled = String(!speaking);
  document.body.classList.toggle("speaking", speaking);
}

const STATES = {
  waiting: "Waiting for the voice",
  playing: "Speaking",
  stalled: "Waiting for more sound",
  locked: "Tap or press a key: the browser wants that before it plays sound",
};

function showState(state) {
  if (run && STATES[state]) status(STATES[state]);
}

function showProgram() {
  if (!at("program").open) return;
  const turn = { text: at("text").value, ...choices[0].wanted };
  const audio = { sample_rate: Number(at("rate").value), encoding: at("encoding").value };
  write(at("curl"), curl(new URL(".", document.baseURI), turn, audio, api.hasKey));
  write(at("python"), python(api.streamUrl, turn, audio, api.hasKey));
}

function status(text) {
  write(at("status"), text);
}

function showProblem(thrown, state = "Not spoken") {
  // Where no token was to be had for a connection, what the relay said of that tells more.
  const error = thrown.cause instanceof Refusal ? thrown.cause : thrown;
  if (error.code === "unauthorized") {
    askForKey();
    return;
  }
  const { what, advice, codes, facts } = explain(error);
  const rows = facts.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value)));
  at("problem").replaceChildren(
    element("p", {}, element("strong", {}, what), " ", advice),
    element("p", { className: "codes" }, codes),
    element("details", {}, element("summary", {}, "Details"), element("dl", {}, ...rows)),
  );
  at("problem").hidden = false;
  status(state);
}

function hideProblem() {
  at("problem").hidden = true;
}

// The key.

function askForKey() {
  status("A key is needed");
  const refused = api.hasKey;
  write(at("key-asked"), refused ? "The relay did not take that key. Paste it whole" : "This relay asks for a key");
  at("key").ariaInvalid = String(refused);
  api.useKey(null);
  lock(true);
  at("key").focus();
}

/** Without a key there is nothing to do but to give one. */
function lock(locked) {
  at("key-form").hidden = !locked;
  at("forget").hidden = !api.hasKey;
  for (const id of ["speak-form", "stage", "timings", "program"]) at(id).hidden = locked;
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.useKey(at("key").value.trim());
  at("key").value = "";
  hideProblem();
  load();
});

at("forget").addEventListener("click", async () => {
  await shut();
  api.useKey(null);
  askForKey();
});

// The controls.

at("speak-form").addEventListener("submit", (event) => {
  event.preventDefault();
  speak();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  at("speak-form").requestSubmit();
});
document.addEventListener("keydown", (event) => event.key === "Escape" && !event.isComposing && interrupt());
at("interrupt").addEventListener("click", interrupt);
for (const id of ["rate", "encoding"]) at(id).addEventListener("change", reopen);
at("typed").addEventListener("change", () => (at("speed-line").hidden = !at("typed").checked));
at("compare").addEventListener("change", () => (at("voice-b").hidden = !at("compare").checked));
at("speed").addEventListener("input", () => write(at("speed-shown"), `${at("speed").value} words/s`));
at("program").addEventListener("toggle", showProgram);
at("speak-form").addEventListener("input", showProgram);
if (/Mac|iPhone|iPad/.test(navigator.platform)) write(at("enter"), "⌘ ↵");

load();
