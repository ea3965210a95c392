"""How long the caller still waits, known to everything below the call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf, isinf
from typing import Generic, TypeVar

from xex.model.clock import monotonic

T = TypeVar("T")


@dataclass(slots=True)
class Horizon:
    """When somebody stops waiting (monotonic seconds). Who joins a request that is under way may move it."""

    ends: float = inf

    @property
    def remaining(self) -> float:
        """The seconds left, infinity without a deadline, never below 0."""
        return max(0.0, self.ends - monotonic())


_never = Horizon()
_horizon: ContextVar[Horizon] = ContextVar("xex_deadline", default=_never)


class _Bound(Generic[T]):
    """A context variable that has a value inside a block: `contextmanager` costs twice as much at every request."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        self._variable, self._value = variable, value

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._token)


def until(seconds: float | None) -> _Bound[Horizon]:
    """Bound everything awaited inside the block; None lifts the bound."""
    return _Bound(_horizon, _never if seconds is None else Horizon(monotonic() + seconds))


def within(horizon: Horizon) -> _Bound[Horizon]:
    """Bound everything awaited inside the block by a bound that others may move."""
    return _Bound(_horizon, horizon)


_patience: ContextVar[float] = ContextVar("xex_patience", default=inf)


def patient_for(seconds: float) -> _Bound[float]:
    """Bound how long anything inside the block waits for a request budget."""
    return _Bound(_patience, seconds)


def patience() -> float:
    """Return how long a budget may be waited for, the deadline included."""
    return min(_patience.get(), remaining())


def ends() -> float:
    """Return when the caller stops waiting (monotonic seconds), infinity without a deadline."""
    return _horizon.get().ends


def remaining() -> float:
    """Return the seconds left, infinity without a deadline, never below 0."""
    return _horizon.get().remaining


LATE = "late"
"""Why a request is cancelled whose last caller's time is over: that is no wish of theirs, and has a better name."""


@contextmanager
def cut_off(seconds: float) -> Iterator[None]:
    """End what is awaited inside the block after so long; raises `TimeoutError` where that leaves nothing.

    An `asyncio.timeout` that says why it cancels: who has a part of the answer may return that instead.
    """
    task, fired = asyncio.current_task(), False
    assert task is not None  # noqa: S101  event loops run coroutines in tasks
    before = task.cancelling()

    def fire() -> None:
        nonlocal fired
        fired = True
        task.cancel(LATE)

    timer = None if isinf(seconds) else asyncio.get_running_loop().call_later(seconds, fire)
    try:
        yield
    except asyncio.CancelledError:
        if fired and task.uncancel() <= before:
            raise TimeoutError from None
        raise
    finally:
        if timer is not None:
            timer.cancel()


def was_late(cancelled: asyncio.CancelledError) -> bool:
    """Say whether somebody's time is over; where it is, the task is not cancelled any more and owes an error."""
    if cancelled.args != (LATE,):
        return False
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    return True
