"""Sessions of the Breeze and Bland doors over any sequence of messages and ends: text goes to a turn that takes it, and
every turn that began is told to have ended, once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import events
from relay.core.record import TurnRecord
from relay.errors import ClientError, Code
from relay.protocols.base import SessionProtocol, Text
from relay.protocols.bland.socket import BlandSession
from relay.protocols.breeze.api import Manner
from relay.protocols.breeze.realtime import BreezeSession
from relay.protocols.door import Door

BREEZE: list[dict[str, Any]] = [
    *({"type": "turn.start", "turn_id": name} for name in "ab"),
    {"type": "turn.start"},
    {"type": "text.append", "text": "x"},
    *({"type": kind} for kind in ("text.flush", "turn.end", "turn.cancel", "ping")),
    {"type": "session.update", "instructions": "Calm."},
]
BLAND: list[dict[str, Any]] = [
    *({"type": "speak", "context_id": name, "text": "x"} for name in "ab"),
    *({"type": kind, "context_id": name} for kind in ("end_of_turn", "cancel") for name in "ab"),
]
ENDS = ("turn.done", "turn.cancelled", "error", "utterance_end")


def breeze() -> SessionProtocol:
    return BreezeSession(Door(name="breeze"), "v", Manner(), "s")


def bland() -> SessionProtocol:
    session = BlandSession(Door(name="bland"), "s")
    session.receive('{"type":"init","voice":"v"}')
    return session


class Turns:
    """What a session of the relay would make of the commands, as far as turns begin and end."""

    def __init__(self, session: SessionProtocol) -> None:
        self._session = session
        self.open: list[str] = []
        self.ended: list[str] = []
        self.begun: list[str] = []
        self.told = 0

    def apply(self, message: dict[str, Any]) -> None:
        for command in self._session.receive(json.dumps(message)):
            match command:
                case events.StartTurn(request=request):
                    assert request.turn_id and request.turn_id not in self.begun, "an id is used twice"
                    self.begun.append(request.turn_id)
                    self.open.append(request.turn_id)
                case events.AppendText(turn_id=turn_id) | events.FlushText(turn_id=turn_id):
                    assert turn_id in self.open, "text for a turn that is over"
                    assert turn_id == self.begun[-1], "text for an older turn"
                case events.CancelTurn(turn_id=turn_id):
                    for each in [turn_id] if turn_id else list(self.open):
                        self.end(each, lambda record: record.cancelled())

    def end(self, turn_id: str, how: Callable[[TurnRecord], events.Event]) -> None:
        if turn_id not in self.open:
            return
        self.open.remove(turn_id)
        told = self._session.send(how(TurnRecord(turn_id=turn_id, index=0)))
        kinds = [json.loads(message.payload)["type"] for message in told if isinstance(message, Text)]
        # An error of the Bland door comes before the end that it explains.
        assert 1 <= sum(kind in ENDS for kind in kinds) <= (2 if "error" in kinds else 1)
        self.told += 1


def failed(record: TurnRecord) -> events.Event:
    return events.Failed(error=ClientError(Code.INVALID_CONFIG, "no"), turn_id=record.turn_id)


@pytest.mark.parametrize(("session", "messages"), [(breeze, BREEZE), (bland, BLAND)])
@given(data=st.data())
def test_any_sequence(session: Callable[[], SessionProtocol], messages: list[dict[str, Any]], data: Any) -> None:
    turns = Turns(session())
    steps = data.draw(st.lists(st.sampled_from([*messages, "done", "failed"]), max_size=30))
    for step in steps:
        if isinstance(step, dict):
            turns.apply(step)
        elif turns.open:
            turns.end(turns.open[0], failed if step == "failed" else lambda record: record.done())
    for turn_id in list(turns.open):
        turns.end(turn_id, failed)
    assert turns.told == len(turns.begun)
