"""The histograms of a turn's times, from the instants that it kept. Whose turns are counted is not known here."""

from prometheus_client import CollectorRegistry, Histogram

from relay.core.timings import Share, Stage, TurnTimings
from relay.metrics_labels import TurnLabels

# From a loopback frame to a polled job.
BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
# What the relay adds is measured in microseconds to milliseconds.
RELAY_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
# A share of the first audio may be either: coarser, because there are nine of them.
SHARE_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
# Below zero somebody heard a gap.
AHEAD_BUCKETS_S = (-5, -2, -1, -0.5, -0.2, -0.1, -0.05, -0.02, 0, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)


class TurnTimes:
    """Observes each turn once, by labels of which there is a bounded number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def times(name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, what, labels, buckets=buckets, registry=registry)

        turn = TurnLabels._fields
        self._ttfa = times("relay_ttfa_seconds", "First text to first frame", BUCKETS_S, *turn)
        self._ttfs = times("relay_ttfs_seconds", "First text to first speech", BUCKETS_S, *turn)
        self._first_byte = times("relay_first_byte_seconds", "First text to provider's first byte", BUCKETS_S, *turn)
        self._added = times("relay_added_seconds", "Provider's first byte to first frame", RELAY_BUCKETS_S, *turn)
        self._shares = times(
            "relay_ttfa_share_seconds", "What the time to first audio went into", SHARE_BUCKETS_S, *turn, "share"
        )
        self._ttfb = times(
            "relay_provider_ttfb_seconds", "Request to first byte, of each segment", BUCKETS_S, "provider", "model"
        )
        self._ahead = times(
            "relay_min_ahead_seconds", "Least by which synthesis was ahead of a listener", AHEAD_BUCKETS_S, "provider"
        )
        # Looked up once for a set of labels, not at every turn.
        self._of_first_audio: dict[TurnLabels, _FirstAudio] = {}

    def observe(self, labels: TurnLabels, timings: TurnTimings) -> None:
        if timings.ttfa_ms is not None:
            self._first_audio(labels).observe(timings)
        if timings.margin.least_s is not None:
            self._ahead.labels(labels.provider).observe(timings.margin.least_s)
        for request in timings.requests:
            ttfb_s = request.between_s(Stage.REQUEST_SENT, Stage.FIRST_BYTE)
            if ttfb_s is not None:
                self._ttfb.labels(labels.provider, labels.model).observe(ttfb_s)

    def _first_audio(self, labels: TurnLabels) -> "_FirstAudio":
        found = self._of_first_audio.get(labels)
        if found is None:
            found = self._of_first_audio[labels] = _FirstAudio(
                ttfa=self._ttfa.labels(*labels),
                ttfs=self._ttfs.labels(*labels),
                first_byte=self._first_byte.labels(*labels),
                added=self._added.labels(*labels),
                shares={share: self._shares.labels(*labels, share) for share in Share},
            )
        return found


class _FirstAudio:
    """What is observed of a turn's first audio, for one set of labels."""

    def __init__(
        self,
        *,
        ttfa: Histogram,
        ttfs: Histogram,
        first_byte: Histogram,
        added: Histogram,
        shares: dict[Share, Histogram],
    ) -> None:
        self._ttfa, self._ttfs, self._first_byte, self._added, self._shares = ttfa, ttfs, first_byte, added, shares

    def observe(self, timings: TurnTimings) -> None:
        for histogram, value_ms in (
            (self._ttfa, timings.ttfa_ms),
            (self._ttfs, timings.ttfs_ms),
            (self._first_byte, timings.first_byte_ms),
            (self._added, timings.relay_ms),
        ):
            if value_ms is not None:
                histogram.observe(value_ms / 1000)
        for share, seconds in timings.shares_s().items():
            self._shares[share].observe(seconds)
