"""Asking several things at once: answers that came are kept, whatever the others do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from math import isinf
from typing import Any, TypeVar

from xex.access.deadline import remaining
from xex.errors import ConnectorError, TimedOut

T = TypeVar("T")

SHARE = 0.9
"""How much of the time left the parts of one answer may take, so that what came can still be used."""
SPARE_S = 0.05
"""And how much of it is left for that at least, though no more than two fifths: a busy loop is late by as much."""


async def settled(questions: Sequence[Coroutine[Any, Any, T]]) -> list[T | ConnectorError]:
    """Await all and return answers and failures in their order; the late are cancelled and count as timed out.

    Exceptions that are no venue's failure are raised.
    """
    if not questions:
        return []
    if len(questions) == 1:
        # Nothing else could be kept, so nothing is gained by a task and a limit of its own.
        try:
            return [await questions[0]]
        except ConnectorError as exc:
            return [exc]
    tasks = [asyncio.create_task(question) for question in questions]
    for task in tasks:
        task.add_done_callback(_seen)
    left = remaining()
    try:
        await asyncio.wait(tasks, timeout=None if isinf(left) else min(SHARE * left, max(left - SPARE_S, 0.6 * left)))
    finally:
        late = [task for task in tasks if not task.done()]
        for task in late:
            task.cancel()
        for task in tasks:
            if task not in late and not task.cancelled():
                task.exception()  # seen, also where another one's is raised first or the caller has given up
        await asyncio.gather(*late, return_exceptions=True)
    results: list[T | ConnectorError] = []
    for task in tasks:
        if task in late:
            results.append(TimedOut("no answer in time"))
            continue
        try:
            results.append(task.result())
        except ConnectorError as exc:
            results.append(exc)
    return results


def _seen(task: asyncio.Task[Any]) -> None:
    """Mark a failure as seen, also where another one's is raised first, or nobody waits any more."""
    if not task.cancelled():
        task.exception()
