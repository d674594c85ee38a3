"""Every wire protocol of the relay keeps what those of others have to keep."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay.core import events
from relay.core.playout import Run
from relay.errors import ClientError, Code
from relay.protocols.base import Binary, Frames, Message, Text
from relay.protocols.native import NativeSession
from relay.testing.conformance.protocol import check_protocol
from tests.covering import each

GOLDEN = Path(__file__).parent.parent / "golden" / "native" / "client.jsonl"
LINES = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines() if line.startswith("{")]
VALID = [json.dumps(line["message"]) for line in LINES if "message" in line]


def test_native() -> None:
    check_protocol(NativeSession, valid=VALID)


def unreadable(message: str) -> list[events.Command]:
    return [events.Unreadable(error=ClientError(Code.INVALID_MESSAGE, message))]


class Raises(NativeSession):
    def receive(self, message: Any) -> list[events.Command]:
        return super().receive(json.dumps(json.loads(message)))


class Quotes(NativeSession):
    def receive(self, message: Any) -> list[events.Command]:
        [command] = super().receive(message)
        return unreadable(f"what is {message!s}"[:900]) if isinstance(command, events.Unreadable) else [command]


class UnderstandsNothing(NativeSession):
    def receive(self, message: Any) -> list[events.Command]:
        return unreadable("no")


class GivesTheTextAway(NativeSession):
    def receive(self, message: Any) -> list[Any]:
        [command] = super().receive(message)
        return [(command, command.text)] if isinstance(command, events.AppendText) else [command]


class TellsInTwoLines(NativeSession):
    def send(self, item: Any) -> list[Message]:
        return [Text(b"{\n}")] if not isinstance(item, Run) else super().send(item)


class TellsNoText(NativeSession):
    def send(self, item: Any) -> list[Message]:
        return [Text(b"\xff")] if not isinstance(item, Run) else super().send(item)


class ClosesWithAnyNumber(NativeSession):
    def close_code(self, error: Any) -> int:
        return 200


class ShowsItsGroups(NativeSession):
    def send(self, item: Any) -> list[Message]:
        return [Binary(b"head" + item.payload)] if isinstance(item, Run) else super().send(item)


class LosesASample(NativeSession):
    def send(self, item: Any) -> list[Message]:
        return [
            Frames(bytes(len(message.payload)), message.size) if isinstance(message, Frames) else message
            for message in super().send(item)
        ]


@each(
    ("broken", "says"),
    [
        (Raises, "Expecting value"),
        (Quotes, "quotes the text"),
        (UnderstandsNothing, "cannot read"),
        (GivesTheTextAway, "became tuple|shows its text"),
        (TellsInTwoLines, "one line"),
        (TellsNoText, "can't decode"),
        (ClosesWithAnyNumber, "RFC 6455"),
        (ShowsItsGroups, "grouped shows"),
        (LosesASample, "lost or changed"),
    ],
)
def test_a_broken_protocol_is_found(broken: type[NativeSession], says: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=says):
        check_protocol(broken, valid=VALID)
