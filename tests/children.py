"""What tests/test_loops.py runs in processes of their own: ``python -m tests.children WORD`` with a lab's addresses.

It imports little: every process pays for it.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import multiprocessing
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import xex
from xex.access import budgets
from xex.config import ExchangeConfig
from xex.manager import ExchangeManager

SYMBOL = "BTCUSDT"
DEADLINE_S = 20.0
# The kernel's own, when it starts and when it is shut down.
KERNELS_OWN = ("ignore::DeprecationWarning:tornado.ioloop", "ignore::PendingDeprecationWarning:ipykernel.kernelbase")
KERNEL_WARNINGS = ",".join(("error", *KERNELS_OWN))
"""Every warning in a Jupyter kernel is an error, but for what Jupyter itself does.

Development mode cannot be had there: the kernel stops its loop from another thread, which that mode forbids.
"""


def mine() -> ExchangeManager:
    """Return a manager of three of the lab's venues, for a process that has their addresses only."""
    budgets.PROCESS._ledgers.clear()
    urls = json.loads(os.environ["XEX_TEST_LAB"])
    manager = ExchangeManager(cache=False, deadline=DEADLINE_S)
    for venue in ("okx", "bybit", "kraken"):
        manager.add_exchange(ExchangeConfig(venue, venue, base_url=urls[venue], timeout_s=DEADLINE_S))
    return manager


def tell(*what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def dropped(manager: ExchangeManager) -> dict[str, str]:
    budgets.PROCESS._ledgers.clear()
    return dict((await manager.get_cross_exchange_ticker(SYMBOL)).dropped)


def sockets() -> int:
    """Count the network's sockets that this process has open."""
    gc.collect()
    names = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208  a path for each would open more
        with suppress(OSError):
            names.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
    inodes = {name[8:-1] for name in names if name.startswith("socket:[")}
    tables = [Path(f"/proc/self/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    return len(inodes & {line.split()[9] for table in tables for line in table})


async def closed_or_not(manager: ExchangeManager, *, close: bool) -> dict[str, str]:
    try:
        return await dropped(manager)
    finally:
        if close:
            await manager.disconnect_all()


def loops() -> None:
    """Go through what one process may do with loops."""
    last = mine()

    async def words() -> list[Any]:
        return [await dropped(last), threading.current_thread().name]

    atexit.register(lambda: tell("last words", xex.run(words())))  # called after xex's own
    xm = mine()
    closings = (True, False, True)
    tell("runs", [(asyncio.run(closed_or_not(xm, close=close)), sockets()) for close in closings])
    tell("threads", in_threads(8, lambda: xex.run(dropped(xm))))
    tell("beside a loop", asyncio.run(beside_a_loop(xm)))
    # Whoever forks a process with threads is warned since Python 3.12; here it is meant.
    warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
    for way in ("fork", "spawn"):
        context: Any = multiprocessing.get_context(way)
        queue = context.SimpleQueue()
        process = context.Process(target=in_a_child, args=(queue, xm if way == "fork" else None))
        process.start()
        process.join(30)
        if process.exitcode is None:
            process.kill()
            process.join()
        tell(way, {**({} if queue.empty() else queue.get()), "code": process.exitcode})
        queue.close()
        process.close()
    tell("after the forks", xex.run(dropped(xm)))
    left_open = mine()
    asyncio.run(dropped(left_open))
    xex.run(dropped(last))


def in_threads(number: int, call: Callable[[], Any]) -> list[Any]:
    results: list[Any] = []
    barrier = threading.Barrier(number)

    def one() -> None:
        barrier.wait()
        results.append(call())

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


async def beside_a_loop(xm: ExchangeManager) -> list[Any]:
    """Use `run` from a thread while this loop is busy, and from inside this very loop, as a notebook does."""
    async with mine() as here:
        there, _ = await asyncio.gather(asyncio.to_thread(lambda: xex.run(dropped(xm))), dropped(here))
    return [there, xex.run(dropped(xm))]


def in_a_child(queue: Any, inherited: ExchangeManager | None) -> None:
    """Ask with the parent's manager and with one of its own."""
    atexit.unregister(tell)
    new = mine()
    same = new if inherited is None else inherited
    queue.put({"same manager": xex.run(dropped(same)), "new manager": xex.run(dropped(new))})


def rough() -> None:
    """End loops as nobody should."""
    xm = mine()
    loop = asyncio.new_event_loop()
    tell("closed over it", loop.run_until_complete(dropped(xm)))
    loop.close()
    del loop
    tell("and next", asyncio.run(dropped(xm)), sockets())
    never = asyncio.new_event_loop()
    tell("never closed", never.run_until_complete(dropped(xm)))


def interrupted(word: str) -> None:
    """Ask venues that hang, and say so as soon as they have been asked."""
    xm = mine()

    def watch() -> None:
        while sum(info.in_flight for info in xm.exchange_info.values()) < 3:
            time.sleep(0.005)
        sys.stdout.write("asking\n")
        sys.stdout.flush()

    async def main() -> None:
        async with xm:
            await dropped(xm)

    threading.Thread(target=watch, daemon=True).start()
    if word == "command":
        from xex import cli

        ExchangeManager.from_env = classmethod(lambda *_, **__: xm)  # type: ignore[assignment,method-assign]
        sys.argv = ["xex", "snapshot", SYMBOL]
        cli.main()
    try:
        if word == "run":
            xex.run(dropped(xm))  # what it leaves open ends with the process
        else:
            asyncio.run(main())
    except KeyboardInterrupt:
        sys.stdout.write(json.dumps(time.time()))
        raise


def nameless() -> None:
    """Ask venues whose names nobody resolves: the name server does not answer."""

    def look_up(*_: Any, **__: Any) -> list[Any]:
        time.sleep(3600)
        return []

    socket.getaddrinfo = look_up

    async def main() -> list[str]:
        async with ExchangeManager(cache=False) as xm:
            xm.add_exchange(ExchangeConfig("okx", "okx"))
            try:
                await xm.books(SYMBOL, deadline=0.5)
            except xex.NoVenueAnswered as exc:
                return [str(drop) for drop in exc.dropped.values()]
        return []

    tell("in a loop", asyncio.run(main()))
    tell("in xex's", xex.run(main()))


if __name__ == "__main__":
    stages: dict[str, Callable[..., None]] = {
        "loops": loops, "rough": rough, "interrupted": interrupted, "nameless": nameless,
    }  # fmt: skip
    stages[sys.argv[1]](*sys.argv[2:])
