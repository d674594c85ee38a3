"""What the headers of a Bland reply say beside the audio, in either generation of the API."""

from collections.abc import Mapping

from relay.providers.base import faults

# Reply headers, and the names under which they are reported. `x-latency` is in ms, `x-cost` in US dollars; `x-model` is
# the model that the voice resolved to.
_IDS = {"x-request-id": "request_id", "x-latency": "latency_ms", "x-cost": "cost_usd", "x-model": "model"}
_LONGEST_CHARS = 100


def ids(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that are there, fit to be shown."""
    return {
        ours: faults.quoted(headers[theirs], _LONGEST_CHARS) for theirs, ours in _IDS.items() if headers.get(theirs)
    }
