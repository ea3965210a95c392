"""Coroutines without ceremony: one background event loop per process."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

NAME = "xex.run"
"""The thread of the loop, by which errors name it."""
CLEANUP_S = 0.5
"""How long a coroutine that Ctrl-C has interrupted may clean up before the caller goes on."""
WAKE_S = 1.0
"""How often a caller looks up from waiting: on Windows nothing else lets Ctrl-C through."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_ended = False
_inherited: list[object] = []
"""Loops that a forked child has from its parent, which runs them; to end one here would break it there."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return what it returns.

    Works in scripts, threads and notebooks whose own loop is running: every call uses the same background loop, so
    that a manager made in one call can be used in the next. Raises what the coroutine raises; Ctrl-C cancels it and
    lets it clean up. A forked process has a loop of its own.
    """
    if not asyncio.iscoroutine(coroutine):
        raise TypeError(f"xex.run() takes a coroutine, as in xex.run(xm.tickers()), not {type(coroutine).__name__}")
    if threading.current_thread() is _thread:
        coroutine.close()
        raise RuntimeError("xex.run() was called from inside xex.run(); await the coroutine instead")
    if _ended:  # somebody's own last words, after ours: no thread starts any more
        return asyncio.run(coroutine)
    return _Call(coroutine, _running()).result()


class _Call(Generic[T]):
    """A coroutine in the background loop, and the thread that waits for it."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        self.coroutine, self.loop = coroutine, loop
        self.task: asyncio.Task[T] | None = None
        self.over = threading.Event()

    def result(self) -> T:
        """Return what the coroutine returns; whoever is interrupted here interrupts it."""
        try:
            self.loop.call_soon_threadsafe(self._start)
            while not self.over.wait(WAKE_S):
                pass
            assert self.task is not None  # noqa: S101  it is over
            return self.task.result()
        except BaseException:
            if not self.over.is_set():
                self.loop.call_soon_threadsafe(self._stop)
                self.over.wait(CLEANUP_S)
            raise
        finally:
            self.task = None  # its exception holds this frame

    def _start(self) -> None:
        self.task = self.loop.create_task(self.coroutine)
        self.task.add_done_callback(lambda _: self.over.set())

    def _stop(self) -> None:
        if self.task is None:  # interrupted before it was started
            self.coroutine.close()
            self.over.set()
        else:
            self.task.cancel()


def _running() -> asyncio.AbstractEventLoop:
    global _loop, _thread  # noqa: PLW0603  one loop per process
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_serve, args=[_loop], name=NAME, daemon=True)
            _thread.start()
        return _loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped."""
    while True:
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit):
            continue  # a task's own, which whoever waits for the task gets; loops let these two through
        return


@atexit.register
def _close() -> None:
    """End the loop: cancel what still runs, let it clean up, close."""
    global _loop, _thread, _ended  # noqa: PLW0603  one loop per process
    _ended = True
    loop, thread, _loop, _thread = _loop, _thread, None, None
    if loop is None or thread is None or loop.is_closed():
        return
    future = asyncio.run_coroutine_threadsafe(_cancel_others(), loop)
    try:
        future.result(timeout=2)
    except TimeoutError:
        return
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=2)
    if not thread.is_alive():
        loop.close()


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    # Who was interrupted is closing what it opened, and must not be interrupted in that.
    leaving = [task for task in others if task.cancelling()]
    if leaving:
        await asyncio.wait(leaving, timeout=1.0)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _start_anew() -> None:
    """Forget the parent's loop in a forked child, where its thread does not run."""
    global _lock, _loop, _thread
    _inherited.append(_loop)
    _lock, _loop, _thread = threading.Lock(), None, None


if hasattr(os, "register_at_fork"):  # not on Windows, which knows no fork
    os.register_at_fork(after_in_child=_start_anew)
