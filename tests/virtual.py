"""An event loop whose clock stands still while anything can run and then jumps to the next timer.

Sleeps, timeouts and deadlines of code under test run in it as they are, without a patch and without waiting.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from xex.access import deadline, fanout, flights

T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """Instead of waiting for a timer, tells the loop how long it would have waited."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits for nothing")
        if not ready and timeout:
            self.waited += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time begins at 1000 s."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9  # else timers a breath apart would fire together

    def time(self) -> float:
        """Return the seconds of this loop's own clock."""
        return 1000.0 + self._jumping.waited

    def advance(self, seconds: float) -> None:
        """Let time pass in which nobody can do anything: the process was busy."""
        self._jumping.waited += seconds


def run(everything: Coroutine[Any, Any, T], loop: VirtualLoop | None = None) -> T:
    """Run a coroutine in virtual time; deadlines are on the same clock."""
    made = VirtualLoop() if loop is None else loop
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=lambda: made) as runner:
        for module in (deadline, fanout, flights):
            patch.setattr(module, "monotonic", made.time)
        return runner.run(everything)
