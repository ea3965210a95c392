"""How long things may run: what is awaited within a lifetime ends with it, whatever it is waiting for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from inspect import iscoroutine
from typing import Any, TypeVar

from xex.errors import Unreachable

T = TypeVar("T")


class Lifetime:
    """What is under way for one owner, and why there will be no more of it once there is a reason."""

    def __init__(self) -> None:
        self.why = ""
        self._running: dict[asyncio.Timeout, asyncio.Task[Any] | None] = {}
        self._watcher: asyncio.Future[None] | None = None

    async def within(self, question: Awaitable[T]) -> T:
        """Await something for as long as the owner lives; raises `Unreachable` when it ends before."""
        if self.why:
            dismiss(question)
            raise Unreachable(self.why)
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._running[scope] = asyncio.current_task()
                return await question
        except TimeoutError:
            if scope.expired():
                raise Unreachable(self.why) from None
            raise
        finally:
            self._running.pop(scope, None)
            if self._watcher is not None and not self._watcher.done():
                self._watcher.set_result(None)

    def end(self, why: str) -> None:
        """Interrupt all that is under way, but not the task that says so: it may be part of it."""
        if self.why:
            return
        self.why = why
        for scope, task in self._running.items():
            if task is not _current():
                scope.reschedule(asyncio.get_running_loop().time())

    async def over(self, seconds: float, spared: asyncio.Task[Any] | None = None) -> bool:
        """Wait, so long at most, until nothing is under way any more but what `spared` awaits; say whether it is."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while any(task is not spared for task in self._running.values()):
            if loop.time() >= ends:
                return False
            self._watcher = loop.create_future()
            await asyncio.wait([self._watcher], timeout=ends - loop.time())
        return True


def dismiss(question: Awaitable[object]) -> None:
    """Close a coroutine that was never started, so that nobody misses it; one that is over does not mind."""
    if iscoroutine(question):
        question.close()


def _current() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None
