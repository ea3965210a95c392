"""How long things may run: what is awaited within a lifetime ends with it, whatever it is waiting for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from inspect import iscoroutine
from typing import Any, TypeVar

from xex.errors import Unreachable

T = TypeVar("T")


class _Wait:
    """Somebody who awaits something: a task, how often it was cancelled before, and whether we have done so too."""

    __slots__ = ("before", "interrupted", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task, self.before, self.interrupted = task, task.cancelling(), False


class Lifetime:
    """What is under way for one owner, and why there will be no more of it once there is a reason."""

    def __init__(self) -> None:
        self.why = ""
        self._waits: set[_Wait] = set()
        self._watcher: asyncio.Future[None] | None = None

    async def within(self, question: Awaitable[T]) -> T:
        """Await something for as long as the owner lives; raises `Unreachable` when it ends before.

        The same as an `asyncio.timeout` that is moved to now when the owner ends, at a tenth of its price.
        """
        if self.why:
            dismiss(question)
            raise Unreachable(self.why)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  event loops run coroutines in tasks
        wait = _Wait(task)
        self._waits.add(wait)
        try:
            return await question
        except asyncio.CancelledError:
            if wait.interrupted and task.cancelling() <= wait.before + 1:
                raise Unreachable(self.why) from None
            raise
        finally:
            if wait.interrupted:
                task.uncancel()
            self._waits.discard(wait)
            if self._watcher is not None and not self._watcher.done():
                self._watcher.set_result(None)

    def end(self, why: str) -> None:
        """Interrupt all that is under way, but not the task that says so: it may be part of it."""
        if self.why:
            return
        self.why = why
        for wait in self._waits:
            if wait.task is not asyncio.current_task():
                wait.interrupted = True
                wait.task.cancel()

    async def over(self, seconds: float, spared: asyncio.Task[Any] | None = None) -> bool:
        """Wait, so long at most, until nothing is under way any more but what `spared` awaits; say whether it is."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while any(wait.task is not spared for wait in self._waits):
            if loop.time() >= ends:
                return False
            self._watcher = loop.create_future()
            await asyncio.wait([self._watcher], timeout=ends - loop.time())
        return True


def dismiss(question: Awaitable[object]) -> None:
    """Close a coroutine that was never started, so that nobody misses it; one that is over does not mind."""
    if iscoroutine(question):
        question.close()
