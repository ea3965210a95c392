"""How long the caller still waits, known to everything below the call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

from xex.model.clock import monotonic

_ends: ContextVar[float] = ContextVar("xex_deadline", default=inf)


@contextmanager
def until(seconds: float | None) -> Iterator[None]:
    """Bound everything awaited inside the block; None lifts the bound."""
    token = _ends.set(inf if seconds is None else monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


_patience: ContextVar[float] = ContextVar("xex_patience", default=inf)


@contextmanager
def patient_for(seconds: float) -> Iterator[None]:
    """Bound how long anything inside the block waits for a request budget."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def patience() -> float:
    """Return how long a budget may be waited for, the deadline included."""
    return min(_patience.get(), remaining())


def remaining() -> float:
    """Return the seconds left, infinity without a deadline, never below 0."""
    return max(0.0, _ends.get() - monotonic())
