"""One request for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine, Hashable
from contextvars import copy_context
from math import isinf
from typing import Any, Generic, TypeVar

from cachetools import TTLCache

from xex.access import deadline
from xex.access.deadline import LATE, Horizon
from xex.errors import ConfigError, ConnectorError, RateLimited, TimedOut, Unreachable
from xex.model.clock import monotonic

T = TypeVar("T")

_BREATH_S = 0.005
"""A caller that is cancelled so shortly before its deadline is cancelled for it."""
MOST_KEPT = 2048
"""How many answers are kept for those who ask the same a little later."""


class _Flight(Generic[T]):
    """A request that is under way, and who waits for it."""

    __slots__ = ("horizon", "patience", "task", "waiting")

    def __init__(self, horizon: Horizon, patience: float) -> None:
        self.horizon, self.patience, self.waiting = horizon, patience, 0
        self.task: asyncio.Task[T]


class Flights(Generic[T]):
    """Requests that are under way, each shared by all who ask the same.

    A flight has as much time as the most patient of its passengers; who leaves takes it from nobody, and it ends when
    the last one leaves. Failures are shared and never kept. With `reuse_s` an answer that is `worth` it is given again
    for so long, as it came: what it holds is as old as it is.
    """

    def __init__(self, reuse_s: float = 0.0, worth: Callable[[T], bool] = lambda _: True) -> None:
        self._worth = worth
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._leaving: set[asyncio.Task[T]] = set()
        self._kept: TTLCache[Hashable, T] | None = None
        if reuse_s > 0:
            self._kept = TTLCache(MOST_KEPT, reuse_s, timer=monotonic)

    async def share(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, T]], venue: str = "") -> T:
        """Return what `ask` answers, asked once for all who share `key` now. Raises `ConnectorError`."""
        started = monotonic()
        while True:
            kept = None if self._kept is None else self._kept.get(key)
            if kept is not None:
                return kept
            flight = self._flights.get(key)
            if flight is None:
                flight = self._start(key, ask, venue)
            else:
                flight.horizon.ends = max(flight.horizon.ends, deadline.ends())
            await self._landed(key, flight)
            if not flight.task.done():
                raise _timed_out(started, venue)
            if flight.task.cancelled():
                raise Unreachable("the connection was closed meanwhile", venue=venue)
            error = flight.task.exception()
            if error is None:
                return flight.task.result()
            if isinstance(error, RateLimited) and deadline.patience() > flight.patience + _BREATH_S:
                continue  # it gave up waiting for its turn sooner than this caller would
            # Each passenger gets an error of its own, since raising one writes into it.
            if isinstance(error, (ConnectorError, ConfigError)):
                raise copy.copy(error) from error.__cause__
            raise error

    def forget(self, answer: T) -> None:
        """Do not give an answer again."""
        kept = {} if self._kept is None else self._kept
        for key in list(kept):
            if kept.get(key) is answer:
                kept.pop(key, None)

    def _start(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, T]], venue: str) -> _Flight[T]:
        flight: _Flight[T] = _Flight(Horizon(deadline.ends()), deadline.patience())
        self._flights[key] = flight

        async def fly() -> T:
            started = monotonic()
            try:
                with deadline.within(flight.horizon):
                    answer = await ask()
            except asyncio.CancelledError as exc:
                if not deadline.was_late(exc):
                    raise
                raise _timed_out(started, venue) from None
            if self._kept is not None and self._worth(answer):
                self._kept[key] = answer
            return answer

        flight.task = asyncio.get_running_loop().create_task(fly(), context=copy_context())
        flight.task.add_done_callback(lambda task: self._ended(key, task))
        return flight

    def _ended(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._leaving.discard(task)
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # whoever waited has it

    async def _landed(self, key: Hashable, flight: _Flight[T]) -> None:
        """Wait for a flight as long as the caller does; the last one to leave ends it."""
        left = deadline.remaining()
        flight.waiting += 1
        try:
            await asyncio.wait((flight.task,), timeout=None if isinf(left) else left)
        finally:
            flight.waiting -= 1
            last = not flight.waiting and not flight.task.done()
            if last:
                if self._flights.get(key) is flight:
                    del self._flights[key]  # nobody may join what is being given up
                self._leaving.add(flight.task)
                flight.task.cancel(LATE if deadline.remaining() < _BREATH_S else None)
        if last:
            # It knows best what it was waiting for.
            await asyncio.wait((flight.task,))

    async def close(self) -> None:
        """End all that is under way."""
        tasks = [*(flight.task for flight in self._flights.values()), *self._leaving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flights.clear()


def _timed_out(started: float, venue: str) -> TimedOut:
    return TimedOut(f"no answer within {monotonic() - started:.3g} s", venue=venue)
