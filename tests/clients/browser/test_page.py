"""The page at `/` in a real browser: it speaks, shows what was told, and asks nobody but its relay for anything."""

import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import Browser, Page, WebSocket

from relay.config import ServerConfig
from relay.errors import Code
from relay.server.app import Server
from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.scenarios import Clip, scenario, whole
from relay.testing.script import Script, Send, Status
from tests.server.harness import KEY as PROVIDER_KEY
from tests.server.harness import breeze, config, serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

PATIENCE_MS = 40_000
RELAY_KEY = "a key of this relay, for its page"
SPEECH = Clip(speech_like(0.5), "audio/pcm")
# Longer than any test waits for what happens in the middle of it.
LONG_SPEECH = Clip(speech_like(60), "audio/pcm")
VOICES = {
    "voices": [{"voice_id": "voc_1", "name": "Narrator"}, {"voice_id": "voc_2", "name": "Juma"}],
    "has_more": False,
}


def script(request: FakeRequest) -> Script:
    """A provider with two voices that does what the text says."""
    if request.method == "GET":
        body = json.dumps(VOICES).encode()
        return (Status(200, {"content-type": "application/json"}, len(body)), Send(body))
    text = request.json()["text"]
    if "refuse" in text:
        return scenario("status_402")
    if "break off" in text:
        return scenario("cut_chunked_rst", SPEECH)
    if "hold on" in text:
        return whole(LONG_SPEECH)
    return whole(SPEECH)


@dataclass
class Visit:
    """A page, and all that it asked, was told and complained about."""

    page: Page
    server: Server
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    _hears: dict[str, Callable[[Any], None]] = field(default_factory=dict)

    async def open(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self._hears = {
            "console": lambda message: self.complaints.append(message.text) if message.type == "error" else None,
            "pageerror": lambda error: self.complaints.append(str(error)),
            "request": lambda request: self.asked.append(request.url),
            "websocket": self._listen,
        }
        for event, hear in self._hears.items():
            self.page.on(event, hear)  # type: ignore[call-overload]
        await self.page.goto(f"http://127.0.0.1:{self.server.port}/")

    async def leave(self) -> None:
        """Nobody but the relay was asked for anything; what comes from here on is another visit's."""
        for event, hear in self._hears.items():
            self.page.remove_listener(event, hear)
        await self.page.goto("about:blank")
        hosts = {urlsplit(url).netloc for url in self.asked if not url.startswith(("data:", "blob:"))}
        assert hosts == {f"127.0.0.1:{self.server.port}"}

    def _listen(self, websocket: WebSocket) -> None:
        self.asked.append(websocket.url)
        websocket.on("framesent", lambda data: self.sent.append(json.loads(data)))
        websocket.on(
            "framereceived", lambda data: self.told.append(json.loads(data)) if isinstance(data, str) else None
        )

    async def status(self, text: str) -> None:
        await self.page.get_by_role("status").and_(self.page.get_by_text(text, exact=True)).wait_for()

    async def type(self, text: str) -> None:
        await self.page.get_by_label("Text to speak").fill(text)

    async def speak(self, text: str, until: str = "Done") -> None:
        await self.type(text)
        await self.page.get_by_role("button", name="Speak").click()
        await self.status(until)

    async def shown(self, selector: str) -> list[str]:
        return [(await each.text_content()) or "" for each in await self.page.locator(selector).all()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.told if message["type"] == kind]


@asynccontextmanager
async def relay(**sections: Any) -> AsyncIterator[Server]:
    async with FakeProvider(script) as fake, serving(config(fake.url, **sections)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with relay() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def visit(tab: Page, server: Server) -> AsyncIterator[Visit]:
    visited = Visit(tab, server)
    await visited.open()
    await visited.status("Ready")
    yield visited
    await visited.leave()
    assert not visited.complaints, visited.complaints


@asynccontextmanager
async def visiting(browser: Browser, server: Server, **context: Any) -> AsyncIterator[Visit]:
    """A visit by somebody new, who knows no key and has this window."""
    async with await browser.new_context(**context) as fresh:
        visited = Visit(await fresh.new_page(), server)
        await visited.open()
        yield visited
        await visited.leave()


async def test_a_text_is_spoken_and_its_times_are_those_that_the_relay_told(visit: Visit) -> None:
    await visit.speak("All is well.")
    (done,) = visit.of("turn.done")
    times = done["timings"]
    steps = ("request_sent", "first_byte", "first_sample", "first_frame")
    shown = await visit.page.evaluate(
        "async (all) => { const { shownMs } = await import('/page/timeline.js'); return all.map(shownMs); }",
        [times[step] for step in steps] + [times["ttfa_ms"], times["relay_ms"]],
    )
    cells = await visit.shown(".waterfall .ms")
    assert cells[:5] == ["0", *shown[:4]]
    assert cells[5].endswith((" ms", " s")), "and then it was heard"
    assert await visit.shown(".first") == [f"{shown[4]} to first audio"]
    facts = await visit.shown("article dl div")
    assert f"Added by the relay{shown[5]}" in facts
    assert "Outcome0.50 s, whole" in facts
    assert await visit.shown("h2:not(details h2)") == ["breeze · Narrator"]


async def test_the_time_to_first_audio_is_there_while_the_turn_is_spoken(visit: Visit) -> None:
    await visit.type("Please hold on.")
    await visit.page.get_by_role("button", name="Speak").click()
    await visit.page.locator(".ttfa:not(.pending)").wait_for()
    (started,) = visit.of("audio.started")
    number = (await visit.shown(".ttfa"))[0]
    assert float(number) == pytest.approx(started["ttfa_ms"], rel=0.06, abs=0.06)
    assert not visit.of("turn.done")
    await visit.page.keyboard.press("Escape")
    await visit.status("Interrupted")


async def test_captions_end_as_the_text_and_are_read_out(visit: Visit) -> None:
    text = 'First this. Then that, with "marks" & <b>signs</b>.'
    await visit.speak(text)
    assert await visit.shown("#captions span") == [text, "", "", ""]
    assert "".join(await visit.shown("#spoken")) == text
    assert await visit.page.locator("#spoken").get_attribute("aria-live") == "polite"


async def test_the_wav_that_is_saved_is_what_the_provider_sent(visit: Visit, tmp_path: Path) -> None:
    await visit.speak("All is well.")
    async with visit.page.expect_download() as saving:
        await visit.page.get_by_role("button", name="Save WAV").click()
    saved = await saving.value
    assert saved.suggested_filename == "relay-breeze-narrator.wav"
    await saved.save_as(tmp_path / "saved.wav")
    samples, rate = soundfile.read(io.BytesIO((tmp_path / "saved.wav").read_bytes()), dtype="int16")
    assert (rate, samples.tobytes()) == (24000, SPEECH.data)


@pytest.mark.parametrize("how", ["button", "key"])
async def test_an_interruption_silences_it_and_the_relay_learns_of_it(visit: Visit, how: str) -> None:
    await visit.type("Please hold on.")
    await visit.page.get_by_role("button", name="Speak").click()
    await visit.status("Speaking")
    interrupt = visit.page.get_by_role("button", name="Interrupt")
    assert await interrupt.get_attribute("aria-disabled") == "false"
    if how == "button":
        await interrupt.click()
    else:
        await visit.page.keyboard.press("Escape")
    await visit.status("Interrupted")
    assert [message["type"] for message in visit.sent].count("turn.cancel") == 1
    assert len(visit.of("turn.cancelled")) == 1
    assert any(fact.endswith("interrupted") for fact in await visit.shown("article dl div"))
    assert await interrupt.get_attribute("aria-disabled") == "true"
    await visit.speak("And once more.")


async def test_to_speak_while_it_speaks_is_to_interrupt(visit: Visit) -> None:
    await visit.type("Please hold on.")
    await visit.page.get_by_role("button", name="Speak").click()
    await visit.status("Speaking")
    await visit.speak("Now this.")
    assert len(visit.of("turn.cancelled")) == 1
    assert len(visit.of("turn.done")) == 1


async def test_a_refusal_is_told_in_words_and_in_codes(visit: Visit) -> None:
    await visit.speak("They refuse.", until="Not spoken")
    problem = visit.page.get_by_role("alert")
    told = await problem.inner_text()
    assert "The provider refused the relay's key, plan or credit." in told
    assert "provider_auth · breeze · 402 · BILLING_INSUFFICIENT_CREDITS" in told
    await problem.get_by_text("Details").click()
    assert "Not enough credits." in await problem.inner_text()
    assert PROVIDER_KEY not in await visit.page.content()
    assert (await visit.shown(".first"))[0].strip() == "no audio"
    await visit.speak("All is well.")
    assert await problem.is_hidden()


async def test_what_breaks_off_is_heard_so_far_and_told(visit: Visit) -> None:
    await visit.speak("They break off.", until="Not spoken")
    assert "provider_cut" in await visit.page.get_by_role("alert").inner_text()
    assert any(fact.startswith("Outcome0.2") for fact in await visit.shown("article dl div"))


async def test_every_code_has_words(visit: Visit) -> None:
    own = ["connect_failed", "connection_lost", "no_audio", "bad_stream", "text_source"]
    words = await visit.page.evaluate(
        "async (codes) => { const { explain } = await import('/page/explain.js');"
        " return codes.map((code) => explain({ code }).what); }",
        [*Code, *own, "of another version"],
    )
    assert words.count(words[-1]) == 1
    assert len(set(words)) == len(words)


async def test_word_by_word_the_text_goes_out_as_it_is_written(visit: Visit) -> None:
    await visit.page.get_by_label("Word by word").check()
    await visit.page.get_by_label("Words a second").fill("40")
    text = "One word goes after the other."
    await visit.speak(text)
    kinds = [message["type"] for message in visit.sent]
    assert kinds[0] == "turn.start"
    assert kinds.count("turn.end") == 1
    pieces = [message["text"] for message in visit.sent if message["type"] == "text.append"]
    assert pieces == ["One ", "word ", "goes ", "after ", "the ", "other."]
    assert await visit.shown("#captions span") == [text, "", "", ""]


async def test_two_voices_say_the_same_one_after_the_other_on_one_scale(visit: Visit) -> None:
    await visit.page.get_by_label("Compare two voices").check()
    await visit.page.get_by_label("Second provider").select_option("breeze")
    await visit.page.get_by_label("Second voice").select_option("Juma")
    await visit.type("All is well.")
    await visit.page.get_by_role("button", name="Speak").click()
    await visit.page.get_by_text("came first, by").wait_for()
    assert await visit.shown("h2:not(details h2)") == ["breeze · Narrator", "breeze · Juma"]
    spoken = [message for message in visit.sent if message["type"] == "speak"]
    assert [message["text"] for message in spoken] == ["All is well."] * 2
    assert [message.get("voice") for message in spoken] == [None, "voc_2"]
    order = [message["type"] for message in visit.told if message["type"] in ("turn.started", "turn.done")]
    assert order == ["turn.started", "turn.done"] * 2, "the second is not asked for before the first was heard"
    one, other = [await axis.inner_text() for axis in await visit.page.locator(".axis").all()]
    assert one == other


async def test_another_format_is_asked_for_and_heard(visit: Visit) -> None:
    await visit.page.get_by_label("Sample rate").select_option("16 kHz")
    await visit.page.get_by_label("Sample format").select_option("32 bit float")
    await visit.speak("All is well.")
    (started,) = visit.of("turn.started")
    assert (started["audio"]["sample_rate"], started["audio"]["encoding"]) == (16000, "pcm_f32le")


async def test_the_program_it_shows_is_a_program(visit: Visit) -> None:
    await visit.type("She said: \"It's 5 o'clock\" \\ and left.")
    await visit.page.get_by_label("Sample rate").select_option("8 kHz, telephone")
    await visit.page.get_by_text("The same from a program").click()
    (program,) = await visit.shown("#python")
    compile(program, "page", "exec")
    assert "sample_rate=8000" in program
    assert (await visit.shown("#curl"))[0].startswith(f"curl http://127.0.0.1:{visit.server.port}/v1/speech")


async def test_all_of_it_can_be_done_from_the_keyboard(visit: Visit) -> None:
    assert await visit.page.evaluate("document.activeElement.id") == "text", "one can type at once"
    await visit.page.keyboard.press("Control+A")
    await visit.page.keyboard.type("Please hold on.")
    await visit.page.keyboard.press("Control+Enter")
    await visit.status("Speaking")
    await visit.page.keyboard.press("Escape")
    await visit.status("Interrupted")
    reached = []
    for _ in range(9):
        await visit.page.keyboard.press("Tab")
        reached.append(await visit.page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert await visit.page.evaluate("document.activeElement.matches(':focus-visible')")
    assert reached[:8] == ["speak", "interrupt", "typed", "compare", "provider", "voice", "model", "rate"]
    await visit.page.get_by_label("Word by word").focus()
    await visit.page.keyboard.press("Space")
    await visit.page.keyboard.press("Tab")
    await visit.page.keyboard.press("End")
    assert await visit.shown("#speed-shown") == ["40 words/s"]


async def test_whatever_can_be_used_or_read_has_a_name(visit: Visit) -> None:
    for label in ("Compare two voices", "Word by word"):
        await visit.page.get_by_label(label).check()
    await visit.speak("All is well.")
    await visit.page.get_by_text("came first, by").wait_for()
    session = await visit.page.context.new_cdp_session(visit.page)
    nodes = (await session.send("Accessibility.getFullAXTree"))["nodes"]
    roles = {"button", "textbox", "combobox", "checkbox", "slider", "image", "table", "rowheader", "region", "heading"}
    found = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    nameless = [node for node in found if not node.get("name", {}).get("value", "").strip()]
    assert len(found) > 20
    assert not nameless
    ids = await visit.page.evaluate("[...document.querySelectorAll('[id]')].map(({ id }) => id)")
    assert len(ids) == len(set(ids))


# The contrast of each piece of text that is seen with what is behind it (WCAG 2.2, 1.4.3 and its formula).
CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
    throw new Error("nothing is behind it");
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data.trim()).join("");
    if (!text || text === "–" || !node.checkVisibility() || node.closest("noscript")) continue;
    const style = getComputedStyle(node);
    const [high, low] = [light(style.color), light(behind(node))].sort((one, other) => other - one);
    found.push([text, (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_read_without_effort_in_light_and_in_dark(browser: Browser, server: Server, scheme: str) -> None:
    look = {"color_scheme": scheme, "reduced_motion": "reduce", "viewport": {"width": 320, "height": 640}}
    async with visiting(browser, server, **look) as visit:
        await visit.status("Ready")
        await visit.speak("They refuse.", until="Not spoken")
        await visit.page.get_by_label("Compare two voices").check()
        await visit.page.get_by_text("The same from a program").click()
        contrasts = await visit.page.evaluate(CONTRASTS)
        await visit.speak("All is well.")
        contrasts += await visit.page.evaluate(CONTRASTS)
        assert len(contrasts) > 50
        assert [each for each in contrasts if each[1] < 4.5] == []
        wide = await visit.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], "a narrow phone shows all of it"


async def test_behind_keys_it_asks_for_one_and_keeps_it_to_itself(browser: Browser) -> None:
    async with relay(server=ServerConfig(port=0, keys=[RELAY_KEY])) as guarded:
        async with visiting(browser, guarded) as visit:
            page = visit.page
            await visit.status("A key is needed")
            assert await page.get_by_label("Text to speak").is_hidden()
            await page.get_by_label("This relay asks for a key").fill("another key")
            await page.keyboard.press("Enter")
            await page.get_by_label("The relay did not take that key").fill(RELAY_KEY)
            await page.keyboard.press("Enter")
            await visit.status("Ready")
            await visit.speak("All is well.")

            (stream,) = [url for url in visit.asked if url.endswith("/v1/stream")]
            assert RELAY_KEY not in "".join([*visit.asked, json.dumps(visit.sent), await page.content()])
            assert await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
            assert await page.evaluate("document.getElementById('key').value") == ""
            assert stream == f"ws://127.0.0.1:{guarded.port}/v1/stream"

            await page.get_by_role("button", name="Forget the key").click()
            await visit.status("A key is needed")
            await page.get_by_label("This relay asks for a key").fill(RELAY_KEY)
            await page.keyboard.press("Enter")
            await visit.status("Ready")
            await page.reload()
            await visit.status("A key is needed")


async def test_when_the_relay_goes_the_page_says_so(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.server.app.FAREWELL_S", 0.1)
    async with AsyncExitStack() as running:
        gone = await running.enter_async_context(relay())
        async with visiting(browser, gone) as visit:
            await visit.status("Ready")
            await running.aclose()
            await visit.status("Not connected: it connects when you speak")


async def test_who_has_to_wait_for_a_place_is_told(browser: Browser) -> None:
    async with FakeProvider(script) as fake:
        narrow = config(fake.url, providers={"breeze": breeze(fake.url, max_concurrent=1)})
        async with serving(narrow) as server, visiting(browser, server) as first, visiting(browser, server) as second:
            for visit in (first, second):
                await visit.status("Ready")
            await first.speak("Please hold on.", until="Speaking")
            await second.speak("And me?", until="Waiting for a place at breeze")
            await first.page.keyboard.press("Escape")
            await second.status("Done")


# A turn of 300 words, a sample each, of which all but the last ten were heard.
LONG_TURN = """async () => {
  const { Stage } = await import("/page/stage.js");
  const text = "word ".repeat(300);
  const words = Array.from({ length: 300 }, (_, index) => ({ text: "word", start_sample: index }));
  const turn = { receivedSamples: 0, heardSamples: 290, sampleRate: 1, segments: [{ text, start_sample: 0 }], words };
  const stage = new Stage(document.getElementById("stage"), 2000);
  stage.show({ turn, written: text, whole: false, gaps: "", bufferedMs: 0 });
  const edges = (name) => document.querySelector(name).getBoundingClientRect();
  const [line, now] = [edges("#captions"), edges("#captions .now")];
  return [line.top, now.top, now.bottom, line.bottom];
}"""


async def test_of_a_long_text_the_lines_around_the_word_that_is_heard_are_seen(
    browser: Browser, server: Server
) -> None:
    async with visiting(browser, server, viewport={"width": 320, "height": 640}) as visit:
        await visit.status("Ready")
        edges = await visit.page.evaluate(LONG_TURN)
    assert edges == sorted(edges)
    assert not visit.complaints, visit.complaints


async def test_the_policy_is_in_force(visit: Visit) -> None:
    """That nothing was complained of in the tests above says something."""
    await visit.page.evaluate("document.body.setAttribute('style', 'color: red')")
    refused = "(url) => fetch(url).then(() => 'sent', () => 'refused')"
    assert await visit.page.evaluate(refused, "https://elsewhere.example/") == "refused"
    assert await visit.page.evaluate(
        "(() => { try { document.body.innerHTML = 'x' } catch { return 'refused' } })()"
    ) == ("refused")
    assert sum("Content Security Policy" in complaint for complaint in visit.complaints) >= 2
    visit.complaints.clear()
