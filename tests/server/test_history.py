"""Kept turns through a whole relay: over both transports, for their own client, and never at a turn's cost."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile

from relay.config import HistoryConfig, ServerConfig
from relay.server.app import Server
from relay.testing.scenarios import PCM_CLIP, scenario
from relay.testing.script import Send, Stall, Status
from tests.server.harness import PATIENCE_S, client, relay_to

ANNA, BEN = {"Authorization": "Bearer annas-key"}, {"Authorization": "Bearer bens-key"}
KEYS = ServerConfig(port=0, keys=["annas-key", "bens-key"])
AUDIO = {"sample_rate": "native"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Caller:
    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self._base = f"http://127.0.0.1:{server.port}"
        self._http = http

    async def ask(self, method: str, path: str, who: dict[str, str] = ANNA, **content: Any) -> tuple[int, Any]:
        async with self._http.request(method, self._base + path, headers=who, **content) as answer:
            data = await answer.read()
            return answer.status, json.loads(data) if answer.content_type == "application/json" else data

    async def speak(self, who: dict[str, str] = ANNA, **fields: Any) -> Any:
        return await self.ask("POST", "/v1/speech", who, json={"text": "Hello there.", "audio": AUDIO, **fields})

    async def turns(self, count: int, who: dict[str, str] = ANNA) -> list[dict[str, Any]]:
        """The list, once it has so many."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status, listed = await self.ask("GET", "/v1/history", who)
                assert status == 200, listed
                if len(listed["turns"]) >= count:
                    return list(listed["turns"])
                await asyncio.sleep(0.01)


async def test_a_turn_is_kept_for_its_client_with_what_it_heard(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    history = HistoryConfig(enabled=True, folder=str(tmp_path))
    async with relay_to(scenario("ok"), server=KEYS, history=history) as (server, _):
        caller = Caller(server, http)
        await caller.speak(history=False)
        await caller.speak(who=BEN, turn_id="bens")
        await caller.speak(turn_id="first")
        async with client(server, additional_headers=ANNA) as session:
            await session.speak("Hello there.", turn_id="second", audio={"encoding": "mulaw", "sample_rate": 8000})
            second, first = await caller.turns(2)
        assert (first["turn_id"], second["turn_id"]) == ("first", "second")
        assert second["format"] == {"encoding": "mulaw", "sample_rate": 8000, "channels": 1}
        status, shown = await caller.ask("GET", f"/v1/history/{first['id']}")
        assert (status, shown) == (200, first | {"text": "Hello there."})
        assert (shown["outcome"], shown["provider"], shown["voice"]) == ("done", "breeze", "voc_1")
        assert shown["ttfa_ms"] > 0
        for turn, dtype in ((first, "int16"), (second, "float32")):
            status, audio = await caller.ask("GET", turn["audio"]["url"])
            assert (status, len(audio)) == (200, turn["audio"]["bytes"])
            samples, rate_hz = soundfile.read(io.BytesIO(audio), dtype=dtype)
            assert rate_hz == turn["format"]["sample_rate"]
            assert turn["audio"]["duration_ms"] == pytest.approx(len(samples) / rate_hz * 1000, abs=0.01)
            if turn is first:
                assert np.array_equal(samples, np.frombuffer(PCM_CLIP.data, "<i2"))
        for method, path in (("GET", ""), ("GET", "/audio"), ("DELETE", "")):
            status, error = await caller.ask(method, f"/v1/history/{first['id']}{path}", BEN)
            assert (status, error["error"]["code"]) == (404, "unknown_history")
        assert [turn["turn_id"] for turn in await caller.turns(1, BEN)] == ["bens"]
        page = (await caller.ask("GET", "/v1/history?limit=1"))[1]
        rest = (await caller.ask("GET", f"/v1/history?limit=1&cursor={page['next_cursor']}"))[1]
        assert [turn["id"] for turn in (*page["turns"], *rest["turns"])] == [second["id"], first["id"]]
        assert (await caller.ask("GET", "/v1/history?limit=0"))[0] == 400
        assert (await caller.ask("DELETE", f"/v1/history/{first['id']}"))[0] == 204
        assert (await caller.ask("GET", f"/v1/history/{first['id']}"))[0] == 404
    assert len(list(tmp_path.glob("*.wav"))) == 2, "the audio of a forgotten turn stays"
    assert not list(tmp_path.glob(".*")), "temporary files are left"
    async with relay_to(scenario("ok"), server=KEYS, history=history) as (server, _):
        assert [turn["id"] for turn in await Caller(server, http).turns(1)] == [second["id"]]


async def test_turns_that_end_otherwise_are_kept_as_they_ended(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    stalled = (Status(headers={"content-type": "audio/pcm"}), Send(PCM_CLIP.data[:9600]), Stall())
    history = HistoryConfig(enabled=True, folder=str(tmp_path))
    async with relay_to(stalled, server=KEYS, history=history) as (server, _):
        caller = Caller(server, http)
        for ending in ("cancel", "hang up"):
            async with client(server, additional_headers=ANNA) as session:
                await session.send(type="speak", text="Hello there.", audio=AUDIO)
                await session.event("audio.started")
                if ending == "cancel":
                    await session.send(type="turn.cancel")
                    await session.event("turn.cancelled")
        turns = await caller.turns(2)
        assert [turn["outcome"] for turn in turns] == ["cancelled"] * 2
        assert all(turn["audio"]["bytes"] > 44 for turn in turns)
    refused = (Status(401, {"content-type": "application/json"}, 2), Send(b"{}"))
    async with relay_to(refused, server=KEYS, history=history) as (server, _):
        caller = Caller(server, http)
        assert (await caller.speak())[0] == 502
        [failed, *_] = await caller.turns(3)
        assert (failed["outcome"], failed["error"], "audio" in failed) == ("failed", "provider_auth", False)
        status, error = await caller.ask("GET", f"/v1/history/{failed['id']}/audio")
        assert (status, error["error"]["code"]) == (404, "unknown_history")


async def test_what_is_too_much_is_forgotten(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.history.history.SWEEP_S", 0.01)
    history = HistoryConfig(enabled=True, folder=str(tmp_path), max_bytes=2 * len(PCM_CLIP.data) + 100)
    async with relay_to(scenario("ok"), server=KEYS, history=history) as (server, _):
        caller = Caller(server, http)
        for number in range(5):
            assert (await caller.speak(turn_id=f"t{number}"))[0] == 200
        async with asyncio.timeout(PATIENCE_S):
            while [turn["turn_id"] for turn in await caller.turns(0)] != ["t4", "t3"]:
                await asyncio.sleep(0.01)
            while len(list(tmp_path.glob("*.wav"))) != 2:
                await asyncio.sleep(0.01)


async def test_trouble_with_the_disk_is_no_turns_trouble(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, broken = tmp_path / "file", tmp_path / "broken"
    file.write_text("no folder")
    broken.mkdir()
    (broken / "history.sqlite3").write_bytes(b"not a database at all" * 200)
    for folder in (file / "history", broken):
        history = HistoryConfig(enabled=True, folder=str(folder))
        async with relay_to(scenario("ok"), server=KEYS, history=history) as (server, _):
            caller = Caller(server, http)
            assert await caller.speak() == (200, PCM_CLIP.data)
            status, error = await caller.ask("GET", "/v1/history")
            assert (status, error["error"]["code"]) == (503, "over_capacity")
            assert str(tmp_path) not in error["error"]["message"]
    monkeypatch.setattr("relay.history.history.MAX_HELD_BYTES", 1000)
    history = HistoryConfig(enabled=True, folder=str(tmp_path / "slow"))
    async with relay_to(scenario("ok"), server=KEYS, history=history) as (server, _):
        caller = Caller(server, http)
        assert await caller.speak() == (200, PCM_CLIP.data)
        [turn] = await caller.turns(1)
        assert (turn["outcome"], "audio" in turn) == ("done", False)
    assert not list((tmp_path / "slow").glob("*.wav")) and not list((tmp_path / "slow").glob(".turn_*"))


async def test_nothing_is_kept_unless_it_is_asked_for(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    history = HistoryConfig(folder=str(tmp_path / "history"))
    async with relay_to(scenario("ok"), server=KEYS, history=history) as (server, _):
        caller = Caller(server, http)
        assert (await caller.speak())[0] == 200
        status, error = await caller.ask("GET", "/v1/history")
        assert (status, error["error"]["code"]) == (403, "forbidden")
    assert not (tmp_path / "history").exists()
