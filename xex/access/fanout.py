"""Asking several things at once: answers that came are kept, whatever the others do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from math import inf, isinf
from typing import Any, TypeVar

from xex.access.deadline import LATE, remaining, was_late
from xex.errors import ConnectorError, TimedOut
from xex.model.clock import monotonic

T = TypeVar("T")

TURNS = 6
"""How many turns of the loop those have whose time is over, to end with what they have."""


async def settled(questions: Sequence[Coroutine[Any, Any, T]], others_s: float = inf) -> list[T | ConnectorError]:
    """Await all and return answers and failures in their order; the late are cancelled and count as timed out.

    Late is who has no answer at the deadline, or when whoever waits is cancelled for being late (`cut_off`,
    `last_words`): what came until then is returned all the same. With `others_s`, all but the first are extras: once
    it is answered they have as long again as it took, or so many seconds. What is no venue's failure is raised.
    """
    if not questions:
        return []
    if len(questions) == 1:
        # Nothing else could be kept, so nothing is gained by a task of its own.
        try:
            return [await questions[0]]
        except ConnectorError as exc:
            return [exc]
    started, tasks = monotonic(), [asyncio.create_task(question) for question in questions]
    for task in tasks:
        task.add_done_callback(_seen)
    try:
        as_long_again = None if isinf(others_s) else lambda took: max(took, others_s)
        await in_time(tasks, lambda task: task is tasks[0], as_long_again)
    except asyncio.CancelledError as exc:
        if not was_late(exc):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
    await last_words(tasks)
    results: list[T | ConnectorError] = []
    for task in tasks:
        if not task.done() or task.cancelled():
            results.append(TimedOut(f"no answer within {monotonic() - started:.3g} s"))
            continue
        try:
            results.append(task.result())
        except ConnectorError as exc:
            results.append(exc)
    return results


async def in_time(
    tasks: Collection[asyncio.Task[T]],
    came: Callable[[asyncio.Task[T]], object],
    straggler_s: Callable[[float], float] | None = None,
) -> None:
    """Wait for tasks until the deadline, or for `straggler_s` of the seconds that the first took which `came`."""
    started, ends, pending = monotonic(), inf, set(tasks)
    while pending and (left := min(remaining(), ends - monotonic())) > 0:
        done, pending = await asyncio.wait(
            pending, timeout=None if isinf(left) else left, return_when=asyncio.FIRST_COMPLETED
        )
        if straggler_s is not None and isinf(ends) and any(not task.cancelled() and came(task) for task in done):
            ends = monotonic() + straggler_s(monotonic() - started)


async def last_words(tasks: Collection[asyncio.Task[Any]], turns: int = TURNS) -> None:
    """Cancel tasks because their time is over, and wait a moment for those that end with what they have."""
    for task in tasks:
        task.cancel(LATE)
    await in_turns(tasks, turns)


async def in_turns(tasks: Collection[asyncio.Task[Any]], turns: int) -> None:
    """Wait for tasks that are about to end: so many turns of the loop, since in a busy one a given time is nothing."""
    while turns and not all(task.done() for task in tasks):
        turns -= 1
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as exc:
            if not was_late(exc):
                raise


def _seen(task: asyncio.Task[Any]) -> None:
    """Mark a failure as seen, also where another one's is raised first, or nobody waits any more."""
    if not task.cancelled():
        task.exception()
