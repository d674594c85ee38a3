"""Instants -> the report of a turn."""

from relay.core.timings import Stage, Timings


def test_all_stages_are_after_the_first_text() -> None:
    timings = Timings()
    for index, stage in enumerate(Stage):
        timings.mark(stage, 100 + index / 1000)
    timings.leading_silence_ms = 12.5
    timings.connection_reused = True
    assert timings.report() == {
        "request_sent": 1.0,
        "response_headers": 2.0,
        "first_byte": 3.0,
        "first_sample": 4.0,
        "first_frame": 5.0,
        "last_byte": 6.0,
        "last_frame": 7.0,
        "ttfa_ms": 5.0,
        "leading_silence_ms": 12.5,
        "ttfs_ms": 17.5,
        "relay_ms": 2.0,
        "connection_reused": True,
    }


def test_what_did_not_happen_is_null() -> None:
    assert set(Timings().report().values()) == {None}
    timings = Timings()
    timings.mark(Stage.FIRST_FRAME, 1.0)
    assert timings.ttfa_ms is None, "without a text there is no time after it"


def test_first_stages_keep_the_first_instant_and_last_stages_the_last() -> None:
    timings = Timings()
    for now_s in (1.0, 2.0, 3.0):
        for stage in Stage:
            timings.mark(stage, now_s)
    assert timings.after_text_ms(Stage.FIRST_BYTE) == 0
    assert timings.after_text_ms(Stage.LAST_BYTE) == 2000
    assert timings.after_text_ms(Stage.LAST_FRAME) == 2000


def test_relay_ms_is_what_stands_between_byte_and_frame() -> None:
    timings = Timings()
    timings.mark(Stage.FIRST_BYTE, 1.0)
    assert timings.relay_ms is None
    timings.mark(Stage.FIRST_FRAME, 1.00025)
    assert timings.relay_ms == 0.25
