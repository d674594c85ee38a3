"""Every wire protocol of the relay keeps what those of others have to keep."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relay.core import events
from relay.errors import ClientError, Code
from relay.protocols import native
from relay.testing.conformance.protocol import check_protocol

GOLDEN = Path(__file__).parent.parent / "golden" / "native" / "client.jsonl"
LINES = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines() if line.startswith("{")]
VALID = [json.dumps(line["message"]) for line in LINES if "message" in line]


def test_native() -> None:
    check_protocol(native, valid=VALID)


def unreadable(message: str) -> events.Unreadable:
    return events.Unreadable(error=ClientError(Code.INVALID_MESSAGE, message))


def raises(message: Any) -> Any:
    return native.receive(json.dumps(json.loads(message)))


def quotes(message: Any) -> Any:
    command = native.receive(message)
    return unreadable(f"what is {message!s}"[:900]) if isinstance(command, events.Unreadable) else command


def understands_nothing(message: Any) -> Any:
    return unreadable("no")


def gives_the_text_away(message: Any) -> Any:
    command = native.receive(message)
    return (command, command.text) if isinstance(command, events.AppendText) else command


def tells_all_the_same(event: Any) -> bytes:
    return b'{"type": "event"}'


def tells_no_json(event: Any) -> bytes:
    return b"event"


def tells_in_two_lines(event: Any) -> bytes:
    return json.dumps(json.loads(native.send(event)), indent=1).encode()


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"receive": raises}, "Expecting value"),
        ({"receive": quotes}, "quotes the text"),
        ({"receive": understands_nothing}, "cannot read"),
        ({"receive": gives_the_text_away}, "became tuple|shows its text"),
        ({"send": tells_all_the_same}, "two kinds"),
        ({"send": tells_no_json}, "Expecting value"),
        ({"send": tells_in_two_lines}, "one line"),
    ],
)
def test_a_broken_protocol_is_found(broken: dict[str, Any], says: str) -> None:
    wire = SimpleNamespace(**{"receive": native.receive, "send": native.send, **broken})
    with pytest.raises((AssertionError, ValueError), match=says):
        check_protocol(wire, valid=VALID)
