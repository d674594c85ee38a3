"""The player in a real browser: what the sound card gets, compared sample by sample with what the provider sent."""

import pytest
from aiohttp import ClientSession

from relay.config import ServerConfig
from tests.clients.browser.capture import RATE_HZ, Part, explain
from tests.clients.browser.stage import Stage, samples, spoken
from tests.server.harness import config, serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]


async def test_a_turn_is_heard_exactly_and_told_as_it_is_heard(stage: Stage) -> None:
    await stage.open()
    turn = await stage.speak(1, 300, record=True)
    (ended,) = await stage.heard(turn)
    assert (ended["value"]["type"], ended["value"]["samples"]) == ("turn.done", samples(300))
    part = spoken(1, 300, *await stage.gaps(turn))
    explain(await stage.captured(), [part])

    (segment,) = await stage.events("segment")
    assert segment["segment"] == {"index": 0, "text": "clip 1 300", "start_sample": 0}
    assert await stage.look("kit.turns.get('t1').heardSamples") == samples(300)
    states = [event["state"] for event in await stage.events("state")]
    assert states[0] == "waiting"
    assert [state for state in states if state != "stalled"][-2:] == ["playing", "idle"]
    levels = await stage.events("level")
    assert 0 < max(event["rms"] for event in levels) <= max(event["peak"] for event in levels) < 1
    first, last = await stage.events("timings")
    assert first["timings"]["relay"] is None or first["timings"]["relay"] == last["timings"]["relay"]
    times = last["timings"]
    assert times["relay"]["ttfa_ms"] > 0
    order = [times[name] for name in ("sentMs", "firstFrameMs", "firstPlayedMs", "firstHeardMs", "lastHeardMs")]
    assert order == sorted(order)
    assert times["playerMs"] == pytest.approx(times["firstPlayedMs"] - times["firstFrameMs"])

    kept = "new Int16Array(await kit.turns.get('t1').wav().slice(44).arrayBuffer())"
    assert await stage.look(f"(async () => [...{kept}])()") == part.pcm.tolist()


async def test_floats_are_as_exact(stage: Stage) -> None:
    await stage.open(encoding="pcm_f32le")
    turn = await stage.speak(2, 200)
    await stage.heard(turn)
    explain(await stage.captured(), [spoken(2, 200, *await stage.gaps(turn))])


async def test_100_turns_through_a_jittering_network(stage: Stage) -> None:
    """Each message 0 to 160 ms late: 80 more or less than the mean."""
    stage.network.jitter(0.160, seed=1)
    await stage.open()
    lengths = [20 + 7 * number % 50 for number in range(100)]
    turns = [await stage.speak(number, ms) for number, ms in enumerate(lengths)]
    ended = await stage.heard(*turns)
    assert [end["value"]["samples"] for end in ended] == [samples(ms) for ms in lengths]
    parts = [
        spoken(number, ms, *await stage.gaps(turn))
        for number, (turn, ms) in enumerate(zip(turns, lengths, strict=True))
    ]
    explain(await stage.captured(), parts)
    stats = await stage.look("kit.player.stats")
    assert stats["underruns"] == sum(len(part.gaps) for part in parts)
    assert (stats["bufferedMs"], stats["turns"], stats["sessions"]) == (0, 0, 1)


async def test_what_is_reported_of_underruns_is_what_the_ear_got(stage: Stage) -> None:
    """The network stops in the middle of a turn until the page has run dry, three times."""
    await stage.open()
    dry = [5 * 480, 8 * 480, 20 * 480]
    for number, at in enumerate(dry):
        stage.network.hold_after(at // 480)
        turn = await stage.speak(number, 600)
        await stage.network.held()
        await stage.until(f"kit.player.state === 'stalled' && kit.turns.get('{turn}').playedSamples === {at}")
        stage.network.release()
        await stage.heard(turn)
    parts = [spoken(number, 600, *await stage.gaps(f"t{number}")) for number in range(3)]
    # A machine that is busy may run dry elsewhere as well.
    for part, at in zip(parts, dry, strict=True):
        assert at in [gap.at for gap in part.gaps]
    explain(await stage.captured(), parts)
    gaps = [gap.samples for part in parts for gap in part.gaps]
    stats = await stage.look("kit.player.stats")
    assert stats["underruns"] == len(gaps) == len(await stage.events("underrun"))
    assert stats["underrunMs"] == pytest.approx(sum(gaps) * 1000 / RATE_HZ)
    assert "stalled" in [event["state"] for event in await stage.events("state")]
    told = [message for message in stage.network.told if message["type"] == "playback.report"]
    assert sum(message.get("underruns", 0) for message in told) == len(gaps), "and the relay hears of each once"
    assert sum(message.get("underrun_ms", 0) for message in told) == pytest.approx(sum(gaps) * 1000 / RATE_HZ)


async def test_a_cancel_is_silence_and_the_next_turn_begins_clean(stage: Stage) -> None:
    await stage.open()
    turn = await stage.speak(1, 5000)
    await stage.until("kit.turns.get('t1').heardSamples > 2000")
    # Frames of the cancelled turn are still under way while the next one is asked for.
    await stage.look("{ kit.cancel('t1'); kit.speak('t2', 'clip 2 150'); }")
    after = "t2"
    cancelled, done = await stage.heard(turn, after)
    assert cancelled["value"]["type"] == "turn.cancelled"
    assert done["value"]["samples"] == samples(150)
    parts = [spoken(1, 5000, *await stage.gaps(turn), cancelled=True), spoken(2, 150, *await stage.gaps(after))]
    found, _ = explain(await stage.captured(), parts)
    assert 2000 < cancelled["value"]["samples_played"] <= found < samples(5000)
    (told,) = [message for message in stage.network.told if message["type"] == "turn.cancel"]
    assert told["played_samples"] == cancelled["value"]["samples_played"]


async def test_a_cancel_reaches_turns_that_wait_in_line(stage: Stage) -> None:
    await stage.open()
    turns = [await stage.speak(number, 3000) for number in range(8)]
    await stage.until("kit.turns.get('t0').heardSamples > 0")
    await stage.kit("player.cancel")
    ended = await stage.heard(*turns)
    assert {end["value"]["type"] for end in ended} == {"turn.cancelled"}
    assert [end["value"]["samples_played"] > 0 for end in ended] == [True] + [False] * 7
    last = await stage.speak(9, 100)
    await stage.heard(last)
    first = spoken(0, 3000, *await stage.gaps("t0"), cancelled=True)
    explain(await stage.captured(), [first, spoken(9, 100, *await stage.gaps(last))])
    # Those beyond what is asked for ahead were never the relay's business.
    assert len([message for message in stage.network.told if message["type"] == "speak"]) < len(turns) + 1


async def test_credit_follows_what_is_played(stage: Stage) -> None:
    await stage.open(windowMs=400, prebufferMs=20)
    turn = await stage.speak(1, 1500)
    # The provider has given everything at once; the relay may send 400 ms of it and what was played.
    most = await stage.look(
        """(async () => {
          const turn = kit.turns.get('t1');
          let most = 0;
          let over = false;
          turn.settled.then(() => { over = true; });
          await kit.until(() => {
            most = Math.max(most, turn.receivedSamples - turn.playedSamples);
            return over;
          });
          return most;
        })()"""
    )
    await stage.heard(turn)
    explain(await stage.captured(), [spoken(1, 1500, *await stage.gaps(turn))])
    granted = sum(message["ms"] for message in stage.network.told if message["type"] == "flow.grant")
    assert 1500 - 400 <= granted <= 1500
    assert most <= samples(400) + samples(20)
    reports = [message["samples"] for message in stage.network.told if message["type"] == "playback.report"]
    assert reports == sorted(reports)
    assert reports[-1] == samples(1500)


async def test_text_that_is_being_written_and_more_than_a_message_holds(stage: Stage) -> None:
    await stage.open()
    await stage.look("""kit.speak('t1', (async function* () { yield 'cl'; yield 'ip 1 '; yield '100'; })())""")
    (ended,) = await stage.heard("t1")
    assert ended["value"]["samples"] == samples(100)
    appended = [message["text"] for message in stage.network.told if message["type"] == "text.append"]
    assert appended == ["cl", "ip 1 ", "100"]
    await stage.look("kit.speak('t2', (async function* () { yield 'clip 2 100'; throw new Error('gone'); })())")
    (failed,) = await stage.heard("t2")
    assert (failed["error"]["code"], failed["error"]["retryable"]) == ("text_source", False)
    explain(await stage.captured(), [spoken(1, 100, *await stage.gaps("t1")), spoken(2, 100, *await stage.gaps("t2"))])


async def test_a_failed_turn_is_heard_as_far_as_it_is_good(stage: Stage) -> None:
    await stage.open()
    await stage.kit("speak", "t1", "cut 1 200")
    turn = await stage.speak(2, 100)
    failed, done = await stage.heard("t1", turn)
    assert (failed["error"]["code"], failed["error"]["turnId"]) == ("provider_cut", "t1")
    assert done["value"]["type"] == "turn.done"
    received = await stage.look("kit.turns.get('t1').receivedSamples")
    assert 0 < received <= samples(200)
    good = Part(spoken(1, 200).pcm[:received], await stage.gaps("t1"))
    explain(await stage.captured(), [good, spoken(2, 100, *await stage.gaps(turn))])
    await stage.kit("speak", "t3", "clip 3 100", {"provider": "nobody"})
    (refused,) = await stage.heard("t3")
    assert refused["error"]["code"] == "invalid_config"


async def test_a_lost_connection_fails_the_turn_and_the_next_one_has_a_new_session(stage: Stage) -> None:
    await stage.open()
    stage.network.hold_after(10)
    turn = await stage.speak(1, 1000)
    await stage.network.held()
    await stage.until("kit.turns.get('t1').receivedSamples === 4800")
    stage.network.cut()
    (failed,) = await stage.heard(turn)
    assert (failed["error"]["code"], failed["error"]["retryable"]) == ("connection_lost", True)
    stage.network.release()
    turn = await stage.speak(2, 100)
    (done,) = await stage.heard(turn)
    assert done["value"]["samples"] == samples(100)
    head = spoken(1, 200, *await stage.gaps("t1"))
    explain(await stage.captured(), [head, spoken(2, 100, *await stage.gaps(turn))])
    # A token is good for one connection, so each gets its own.
    assert await stage.look("kit.tokens") == stage.network.sessions == 2
    assert [event["connected"] for event in await stage.events("connection")] == [False, True]


async def test_an_idle_session_is_opened_again_when_there_is_something_to_say(stage: Stage) -> None:
    await stage.open()
    await stage.network.say(type="session.closing", reason="idle_timeout", retryable=True, close=1008)
    await stage.until("!kit.player.connected")
    assert stage.network.sessions == 1
    turn = await stage.speak(1, 60)
    (done,) = await stage.heard(turn)
    assert done["value"]["type"] == "turn.done"
    assert stage.network.sessions == 2


async def test_refusals_are_typed(stage: Stage) -> None:
    """A browser does not tell a page why a handshake failed, so all of them are one error."""
    nobody = await stage.kit("refusal", "ws://127.0.0.1:9/v1/stream")
    assert (nobody["error"]["name"], nobody["error"]["code"]) == ("RelayError", "connect_failed")
    assert nobody["error"]["retryable"]
    # A page by another name of this machine is another origin.
    await stage.page.goto(stage.page_url.replace("127.0.0.1", "localhost") + "/page/index.html")
    await stage.page.wait_for_function("window.kit !== undefined")
    stranger = await stage.kit("refusal", stage.relay_url)
    assert stranger["error"]["code"] == "connect_failed"


async def test_a_relay_with_keys_refuses_a_page_without_a_token(stage: Stage) -> None:
    keyed = ServerConfig(port=0, keys=["k" * 32], allowed_origins=[stage.page_url])
    async with serving(config(server=keyed)) as server:
        refused = await stage.kit("refusal", f"ws://127.0.0.1:{server.port}/v1/stream", {"token": "not-one"})
    assert refused["error"]["code"] == "connect_failed"
    assert "not-one" not in refused["error"]["message"]


async def test_a_gesture_lets_the_page_be_heard(stage: Stage) -> None:
    """What a browser without the permission does: `resume` is not answered until the page was touched."""
    await stage.look(
        """(() => {
          const resume = AudioContext.prototype.resume;
          let touched = false;
          addEventListener('pointerdown', () => { touched = true; }, { capture: true });
          AudioContext.prototype.resume = function () {
            return touched ? resume.call(this) : new Promise(() => {});
          };
        })()"""
    )
    await stage.open()
    await stage.look("kit.context.suspend()")
    turn = await stage.speak(1, 100)
    await stage.until("kit.player.state === 'locked'")
    assert not await stage.look("kit.player.unlock()")
    await stage.page.click("button")
    (done,) = await stage.heard(turn)
    assert done["value"]["type"] == "turn.done"
    explain(await stage.captured(), [spoken(1, 100, *await stage.gaps(turn))])


async def test_a_page_in_the_background_goes_on_speaking(stage: Stage) -> None:
    await stage.open(windowMs=300)
    other = await stage.page.context.new_page()
    await other.bring_to_front()
    turns = [await stage.speak(number, 400) for number in range(3)]
    ended = await stage.heard(*turns)
    assert [end["value"]["samples"] for end in ended] == [samples(400)] * 3
    explain(await stage.captured(), [spoken(n, 400, *await stage.gaps(turn)) for n, turn in enumerate(turns)])
    await other.close()


async def test_closing_ends_all(stage: Stage) -> None:
    await stage.open()
    turn = await stage.speak(1, 3000)
    await stage.until("kit.turns.get('t1').heardSamples > 0")
    await stage.kit("player.close")
    (failed,) = await stage.heard(turn)
    assert failed["error"]["code"] == "closed"
    assert await stage.look("kit.player.state") == "closed"
    with pytest.raises(Exception, match="closed"):
        await stage.speak(2, 10)


async def test_a_page_that_closes_its_context_ends_the_player(stage: Stage) -> None:
    await stage.open()
    turn = await stage.speak(1, 3000)
    await stage.until("kit.turns.get('t1').heardSamples > 0")
    await stage.look("kit.context.close()")
    (failed,) = await stage.heard(turn)
    assert failed["error"]["code"] == "no_audio"
    assert await stage.look("kit.player.state") == "closed"


async def test_misuse_is_told_at_once(stage: Stage) -> None:
    await stage.open()
    await stage.kit("speak", "t1", "clip 1 5000")
    for call, wrong in (
        ("connect('/stream', { windowMs: 50 })", "windowMs"),
        ("connect('/stream', { prebuferMs: 50 })", "prebuferMs"),
        ("connect('/stream', { sampleRate: 44000 })", "44000"),
        ("player.speak(7)", "text"),
        ("player.speak('clip 1 10', { voise: 'v' })", "voise"),
        ("player.speak('clip 1 10', { turnId: 't1' })", "t1"),
    ):
        told = await stage.look(
            f"(async () => {{ try {{ await kit.{call}; }} catch (error) {{ return `${{error}}`; }} }})()"
        )
        assert told.startswith("TypeError"), call
        assert wrong in told


async def test_a_token_opens_one_session(stage: Stage) -> None:
    keyed = ServerConfig(port=0, keys=["k" * 32], allowed_origins=[stage.page_url])
    async with serving(config(server=keyed)) as server, ClientSession() as http:
        answer = await http.post(
            f"http://127.0.0.1:{server.port}/v1/tokens", json={}, headers={"Authorization": f"Bearer {'k' * 32}"}
        )
        token = (await answer.json())["token"]
        url = f"ws://127.0.0.1:{server.port}/v1/stream"
        assert await stage.kit("refusal", url, {"token": token}) == {"value": "connected"}
        again = await stage.kit("refusal", url, {"token": token})
    assert again["error"]["code"] == "connect_failed"


async def test_a_page_of_the_relay_is_told_why_it_was_refused(stage: Stage) -> None:
    async with serving(config(server=ServerConfig(port=0, keys=["k" * 32]))) as server:
        await stage.page.goto(f"http://127.0.0.1:{server.port}/")
        refused = await stage.look(
            """(async () => {
              const { connect } = await import('/player/relay-player.js');
              return connect('/v1/stream', { token: 'not-one' }).catch(({ code, retryable }) => ({ code, retryable }));
            })()"""
        )
    assert refused == {"code": "unauthorized", "retryable": False}
