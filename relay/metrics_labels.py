"""Label values of which there is a bounded number, whatever clients ask for.

A provider is configured, an encoding is one of a few; a model and a native sample rate come from outside, and each new
one would be a new set of series for as long as the process runs.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from relay.core.formats import OUTPUT_RATES_HZ, FrameFormat

# Sets of labels that one process gives out. A set is some 240 series; most relays have one to five.
MAX_LABEL_SETS = 64
# What is not known, or one too many; and what was not asked for.
OTHER, DEFAULT = "other", "default"


class TurnLabels(NamedTuple):
    """Who spoke a turn, with which model, and in what format it was sent, such as `pcm_s16le_24000`."""

    provider: str
    model: str
    format: str


class LabelSets:
    """`models` are the models that a provider is known to have: any other one a client names is `other`."""

    def __init__(self, models: Mapping[str, Collection[str]]) -> None:
        self._models = models
        self._given: set[TurnLabels] = set()

    def model(self, provider: str, model: str | None) -> str:
        if model is None:
            return DEFAULT
        return model if model in self._models.get(provider, ()) else OTHER

    def of(self, provider: str, model: str | None, frame_format: FrameFormat | None) -> TurnLabels:
        labels = TurnLabels(provider, self.model(provider, model), _format(frame_format))
        if labels not in self._given:
            if len(self._given) >= MAX_LABEL_SETS:
                return TurnLabels(provider, OTHER, OTHER)
            self._given.add(labels)
        return labels


def _format(frame_format: FrameFormat | None) -> str:
    if frame_format is None or frame_format.audio.sample_rate_hz not in OUTPUT_RATES_HZ:
        return OTHER
    return f"{frame_format.audio.encoding}_{frame_format.audio.sample_rate_hz}"
