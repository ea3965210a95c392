"""What is known of a venue from the requests that were made to it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf, nan
from statistics import median

from xex.errors import ConnectorError, NotListed
from xex.model.clock import epoch, monotonic

_KEPT = 256


@dataclass(slots=True)
class VenueState:
    """Latency, successes, failures and clock skew of one configured exchange.

    `status` is "unknown" before the first request, "up" while the last request succeeded, "degraded" after
    a failure, "down" after three in a row. `in_flight` counts the requests that are under way.
    """

    exchange: str
    venue: str
    success_count: int = 0
    error_count: int = 0
    last_error: str | None = None
    in_flight: int = 0
    _failures_in_row: int = 0
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _skews: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=9))
    _skew_at: float = -1e18
    _epoch: int = 0

    def succeeded(self, latency_ms: float) -> None:
        """Note an answer."""
        self.success_count += 1
        self._failures_in_row = 0
        self._latencies.append(latency_ms)

    def failed(self, error: ConnectorError) -> None:
        """Note a failure. What was not listed is no failure of the venue."""
        if isinstance(error, NotListed):
            return
        self.error_count += 1
        self._failures_in_row += 1
        self.last_error = f"{error.reason}: {error}"

    def note_skew(self, server_ms: float, sent_ms: float, received_ms: float, resolution_ms: float = 0.0) -> None:
        """Note what the venue's clock said, cut off to `resolution_ms`, between sending and receiving."""
        if self._epoch != epoch():
            self._skews.clear()
        self._epoch = epoch()
        middle = server_ms + resolution_ms / 2
        uncertainty = (received_ms - sent_ms + resolution_ms) / 2
        self._skews.append((middle - (sent_ms + received_ms) / 2, uncertainty))
        self._skew_at = monotonic()

    @property
    def skew_age_s(self) -> float:
        """Seconds since the clock was last compared."""
        return monotonic() - self._skew_at if self._epoch == epoch() else inf

    @property
    def skew_ms(self) -> float:
        """How far the venue's clock is ahead of ours; 0 while it is within what the way there and back hides.

        The midpoint of sending and receiving is known only to half the round trip, so a smaller difference
        is no evidence of skew. Of several samples the one with the shortest trip counts.
        """
        if not self._skews or self._epoch != epoch():
            return 0.0
        skew, uncertainty = min(self._skews, key=lambda sample: sample[1])
        return skew if abs(skew) > uncertainty + 1.0 else 0.0

    @property
    def latency(self) -> float:
        """The median latency of recent answers in ms, NaN before the first."""
        return median(self._latencies) if self._latencies else nan

    @property
    def uptime_percentage(self) -> float:
        """The share of requests that were answered, NaN before the first."""
        total = self.success_count + self.error_count
        return 100.0 * self.success_count / total if total else nan

    @property
    def status(self) -> str:
        """The state in one word."""
        if not self.success_count and not self.error_count:
            return "unknown"
        if not self._failures_in_row:
            return "up"
        return "down" if self._failures_in_row >= 3 or not self.success_count else "degraded"

    def as_dict(self) -> dict[str, object]:
        """Return the state as plain values."""
        return {
            "status": self.status,
            "latency": self.latency,
            "uptime_percentage": self.uptime_percentage,
            "error_count": self.error_count,
            "success_count": self.success_count,
            "last_error": self.last_error,
        }
