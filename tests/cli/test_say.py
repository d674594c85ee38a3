"""What `relay say` tells while it speaks."""

import pytest
from relay_client import TurnFailover, TurnProgress, TurnWaiting
from relay_client.events import TextSegment

from relay.cli.say import Telling


def test_why_nothing_is_heard_yet_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    tell = Telling()
    tell(TurnWaiting(turn_id="t", provider="sauti"))
    for waited_ms, state in enumerate(("queued", "queued", "running", "running", "downloading")):
        tell(TurnProgress(turn_id="t", provider="sauti", state=state, waited_ms=waited_ms))
    tell(TextSegment(turn_id="t", index=0, text="A secret.", start_sample=0))
    tell(
        TurnFailover(
            turn_id="t", from_provider="sauti", to_provider="espeak", voice="v", code="provider_cut", at_sample=9
        )
    )
    told = capsys.readouterr()
    assert told.out == "", "standard output may be audio"
    assert told.err.splitlines() == [
        "sauti is busy: waiting for a place",
        "sauti: queued",
        "sauti: running",
        "sauti: downloading",
        "sauti failed (provider_cut): espeak goes on",
    ]
