"""What was measured, and how it is written down: the JSON of `docs/reference/bench-json.md`, and CSV. Pure.

No key, no address and no text of a file is in it: a text is its name and its length.
"""

import csv
import io
import math
from collections.abc import Sequence
from typing import Literal, get_type_hints

import msgspec
from msgspec import Struct

from relay.bench.stats import FAILED

__all__ = ["SCHEMA", "STAGES", "Machine", "Record", "Settings", "Turn", "UnreadableRecordError", "read", "to_csv"]

SCHEMA = "relay.bench/1"

# The times of a turn that are summarised, in the order in which they are told.
STAGES = ("ttfb_ms", "ttfa_ms", "ttfs_ms", "relay_ms", "rtf")


# A load for each core, before the measurement, from which on it is others that are measured too.
BUSY = 0.3


class UnreadableRecordError(ValueError):
    """The file is no record of a measurement, or one of another version. The message says which."""


class Turn(Struct, frozen=True, kw_only=True):
    """One turn. Times are milliseconds after its text was sent; None where it did not happen or is not known.

    `code` is None for a turn that ended well, else what it failed with. A turn that failed keeps the times that it had,
    but none of them counts: see `time`.
    """

    # From 0, in the order in which they were spoken.
    index: int
    # When its text was sent, in seconds after the first turn's.
    at_s: float
    provider: str
    # As asked for; None is the default.
    voice: str | None
    model: str | None
    path: Literal["relay", "direct"]
    connection: Literal["warm", "cold"]
    # The name of its text, and its length.
    text: str
    chars: int
    code: str | None
    # Whose voice it was, by the relay's or the provider's own account.
    spoken_by: str | None = None
    # The connection was there, for a cold turn.
    connected_ms: float | None = None
    # Through the relay: its first sentence was whole; it had its place at the provider.
    text_ready_ms: float | None = None
    place_given_ms: float | None = None
    # The provider had the request; its first byte of audio; the first decoded sample.
    request_sent_ms: float | None = None
    ttfb_ms: float | None = None
    first_sample_ms: float | None = None
    # First audio: the first frame that the client has read, or past the relay the first sample.
    ttfa_ms: float | None = None
    leading_silence_ms: float | None = None
    ttfs_ms: float | None = None
    # What the relay says that it added, and how long the whole turn took.
    relay_ms: float | None = None
    total_ms: float | None = None
    audio_ms: float | None = None
    # Time to produce for each second of audio: less than 1 is faster than it is heard.
    rtf: float | None = None
    # Whether the provider's connection had been used before.
    connection_reused: bool | None = None
    # What the provider says that it cost.
    cost_usd: float | None = None

    def time(self, stage: str) -> float | None:
        """The time of one of STAGES: FAILED if the turn failed, None if the stage has no meaning on its path."""
        if stage == "relay_ms" and self.path == "direct":
            return None
        if self.code is not None:
            return FAILED
        value: float | None = getattr(self, stage)
        return value


class Settings(Struct, frozen=True, kw_only=True):
    """What was asked for."""

    rounds: int
    warm_ups: int
    seed: int
    encoding: str
    sample_rate: int | str
    # Each text's name and its greatest length.
    texts: dict[str, int]
    # Texts that were given in a file are said again and again as they are; built-in ones have a changing detail.
    built_in_texts: bool
    # Whether the relay was one that was started for it, or a running one.
    relay: Literal["own process", "remote", "none"]
    timeout_s: float
    pause_s: float = 0.0
    # Whether the provider was told the language of each text.
    tell_language: bool = False


class Machine(Struct, frozen=True, kw_only=True):
    """Where it was measured; nothing that names the machine or its owner."""

    system: str
    python: str
    cores: int
    load_before: float | None
    relay_version: str

    @property
    def busy(self) -> str | None:
        """What is to be said where something else was running too."""
        if self.load_before is None or self.load_before <= BUSY * self.cores:
            return None
        load = f"load {self.load_before:g} on {self.cores} cores"
        return f"The machine was busy before ({load}): measure again when it is idle."


class Record(Struct, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """A whole measurement. `interrupted`: it was ended before all `planned` turns had been spoken."""

    started_at: str
    settings: Settings
    machine: Machine
    planned: int
    interrupted: bool
    turns: list[Turn]
    # US dollars for a million characters by provider, least and most; where known.
    prices: dict[str, tuple[float, float]] = {}

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def read(data: bytes) -> Record:
    """A record from its JSON. Raises UnreadableRecordError."""
    try:
        return msgspec.json.decode(data, type=Record)
    except msgspec.ValidationError as error:
        reason = str(error)
        if "Invalid value" in reason and "$.schema" in reason:
            raise UnreadableRecordError(f"it is not a record of {SCHEMA}, the version that this relay reads") from None
        raise UnreadableRecordError(f"it is no record of a measurement: {reason}") from None
    except msgspec.DecodeError as error:
        raise UnreadableRecordError(f"it is not JSON: {error}") from None


def to_csv(turns: Sequence[Turn]) -> str:
    """A line a turn under a line of names; what did not happen is empty."""
    out = io.StringIO()
    names = list(get_type_hints(Turn))
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for turn in turns:
        writer.writerow({name: _cell(getattr(turn, name)) for name in names})
    return out.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    assert not isinstance(value, float) or math.isfinite(value), "a time that did not happen is None"
    return value
