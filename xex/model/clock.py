"""Two clocks.

The wall clock dates answers; it can be recorded, so that a replay has the ages of the recording. The
monotonic clock measures deadlines, budgets and latencies; nothing ever replaces it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_source: Callable[[], int] | None = None
_epoch = 0
_replayed = False

monotonic = time.monotonic


def now_ms() -> int:
    """Return the wall clock in whole milliseconds since 1970, UTC."""
    return _source() if _source is not None else time.time_ns() // 1_000_000


def is_recorded() -> bool:
    """Say whether the wall clock is that of a recording."""
    return _source is not None


@contextmanager
def recorded(source: Callable[[], int], *, replayed: bool) -> Iterator[None]:
    """Let the wall clock be `source` (milliseconds) inside the block; `replayed` says that no venue is asked."""
    global _source, _epoch, _replayed  # noqa: PLW0603  one wall clock a process, as recordings are process-wide
    before = _source, _replayed
    _source, _replayed = source, replayed
    _epoch += 1
    try:
        yield
    finally:
        _source, _replayed = before
        _epoch += 1


def is_replayed() -> bool:
    """Say whether answers come from a recording and not from venues."""
    return _replayed


def epoch() -> int:
    """Return a number that changes when a recording begins or ends: what was known before is void then."""
    return _epoch
