"""What the tests of both ways share: a scripted provider, and a shot at it."""

from relay.bench.plan import Case, Connection, Path, Shot, Target
from relay.bench.spoken import Spoken
from relay.bench.texts import BUILT_IN
from relay.testing.scenarios import PCM_CLIP, scenario
from relay.testing.script import Script

# What a provider does, and what the turn then failed with, whichever way it went.
FAULTS = {
    "cut_chunked_rst": "provider_cut",
    "cut_length_fin": "provider_cut",
    "status_401": "provider_auth",
    "status_404": "voice_not_found",
    "status_503": "provider_unavailable",
    "html_200": "bad_audio",
    "empty_200": "bad_audio",
    "stall_mid_stream": "timeout",
    "stall_before_headers": "timeout",
}
# Longer than any turn that ends takes; a stalled one takes it whole.
TIMEOUT_S = 0.5
PATIENT_S = 30.0


def shot(path: Path, connection: Connection = Connection.WARM, *, round_: int = 0, provider: str = "breeze") -> Shot:
    target = Target(provider=provider)
    return Shot(case=Case(target=target, path=path, connection=connection, text=BUILT_IN["one-sentence"]), round=round_)


def ok() -> Script:
    return scenario("ok", PCM_CLIP)


def check_good(spoken: Spoken) -> None:
    """A quarter of a second of audio, and instants in the order in which they happen."""
    assert spoken.code is None
    assert spoken.audio_ms == 250.0
    instants = (
        spoken.connected_ms or 0.0,
        spoken.request_sent_ms,
        spoken.ttfb_ms,
        spoken.first_sample_ms,
        spoken.ttfa_ms,
        spoken.total_ms,
    )
    known = [each for each in instants if each is not None]
    assert len(known) == len(instants)
    assert known == sorted(known)
    assert spoken.leading_silence_ms is not None
