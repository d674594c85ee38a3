"""Records made by arithmetic: the same call gives the same one."""

import random
from typing import Any

import msgspec

from relay.bench.record import Machine, Record, Settings, Turn


def turn(**known: Any) -> Turn:
    """A good warm turn through the relay, of a second of audio; `known` replaces what it says."""
    ttfa_ms = known.get("ttfa_ms", 100.0)
    usual: dict[str, Any] = {
        "index": 0,
        "at_s": 0.0,
        "provider": "one",
        "voice": None,
        "model": None,
        "path": "relay",
        "connection": "warm",
        "text": "short",
        "chars": 70,
        "code": None,
        "request_sent_ms": 1.0,
        "ttfb_ms": ttfa_ms - 1.5,
        "first_sample_ms": ttfa_ms - 1,
        "ttfa_ms": ttfa_ms,
        "leading_silence_ms": 20.0,
        "ttfs_ms": ttfa_ms + 20,
        "relay_ms": 0.5,
        "total_ms": ttfa_ms + 100,
        "audio_ms": 1000.0,
        "rtf": (ttfa_ms + 100) / 1000,
    }
    return Turn(**{**usual, **known})


def failed(code: str = "provider_cut", **known: Any) -> Turn:
    """One that began quickly and was cut."""
    return turn(**{"ttfa_ms": 1.0, "total_ms": None, "audio_ms": None, "rtf": None, "code": code, **known})


def record(turns: list[Turn], **known: Any) -> Record:
    numbered = [msgspec.structs.replace(each, index=number, at_s=number * 0.5) for number, each in enumerate(turns)]
    usual: dict[str, Any] = {
        "started_at": "2026-11-20T14:27:01+00:00",
        "settings": Settings(
            rounds=20,
            warm_ups=1,
            seed=1,
            encoding="pcm_s16le",
            sample_rate=24000,
            texts={"short": 70},
            built_in_texts=True,
            relay="own process",
            timeout_s=60.0,
        ),
        "machine": Machine(system="Linux x86_64", python="CPython 3.12", cores=2, load_before=0.1, relay_version="0.1"),
        "planned": len(turns),
        "interrupted": False,
        "turns": numbered,
    }
    return Record(**{**usual, **known})


def typical(rounds: int = 40, seed: int = 1) -> Record:
    """Three providers, one of them through the relay and past it, with failures."""
    draw = random.Random(seed)
    turns: list[Turn] = []
    for _ in range(rounds):
        quick = draw.lognormvariate(5.2, 0.12)
        turns += [
            turn(provider="breeze", ttfa_ms=quick + draw.uniform(0.4, 1.5), cost_usd=0.01),
            turn(provider="breeze", path="direct", ttfa_ms=draw.lognormvariate(5.2, 0.12), relay_ms=None),
            turn(provider="bland", ttfa_ms=draw.lognormvariate(5.65, 0.3)),
            turn(provider="sauti", ttfa_ms=draw.lognormvariate(6.9, 0.25), leading_silence_ms=180.0),
        ]
        if draw.random() < 0.15:
            turns[-1] = failed(provider="sauti", code="provider_timeout")
    return record(turns, prices={"bland": (50.0, 200.0)})
