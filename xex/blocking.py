"""Coroutines without ceremony: one background event loop per process."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return what it returns.

    Works in scripts, threads and notebooks whose own loop is running: every call uses the same background loop, so
    that a manager made in one call can be used in the next. Raises what the coroutine raises; Ctrl-C cancels it.
    """
    if threading.current_thread() is _thread:
        coroutine.close()
        raise RuntimeError("xex.run() was called from inside xex.run(); await the coroutine instead")
    future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, _running())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _running() -> asyncio.AbstractEventLoop:
    global _loop, _thread  # noqa: PLW0603  one loop per process
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="xex", daemon=True)
            _thread.start()
            atexit.register(_close)
        return _loop


def _close() -> None:
    """End the loop: cancel what still runs, let it clean up, close."""
    global _loop, _thread
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
