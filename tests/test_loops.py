"""Event loops and lifecycle: closing at any moment, loops that end, threads, forks, Ctrl-C, a Jupyter kernel.

What only shows in a process of its own stands in tests/children.py, runs under ``-W error -X dev`` where that can be,
and has to say nothing on stderr.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

import xex
from tests.children import DEADLINE_S, KERNEL_WARNINGS, SYMBOL
from tests.conftest import NO_KEYS, VENUES, Tidy, configured
from tests.lab import Lab, default_truth, running_lab
from xex import ExchangeManager, LoopError, NoVenueAnswered, roster
from xex.access import budgets
from xex.access.port import ExchangeConnector
from xex.answer import CrossExchangeData
from xex.config import ExchangeConfig
from xex.errors import Unreachable

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs/examples"
TRUTH = default_truth()
# What hangs, each at another stage of a question: everything, the lists, the quotes, the books, clocks and rates.
HANGING = {
    "all": ("/",),
    "lists": (
        "/fapi/v1/exchangeInfo", "/api/v5/public/instruments", "/derivatives/api/v3/instruments",
        "/v5/market/instruments-info", "/linear-swap-api/v1/swap_contract_info",
    ),
    "quotes": (
        "/fapi/v1/ticker", "/api/v5/market/tickers", "/derivatives/api/v3/tickers", "/v5/market/tickers",
        "/linear-swap-ex/market/detail",
    ),
    "books": (
        "/fapi/v1/depth", "/api/v5/market/books", "/derivatives/api/v3/orderbook", "/v5/market/orderbook",
        "/linear-swap-ex/market/depth",
    ),
    "rates": ("/0/public", "/fapi/v1/time", "/api/v5/public/time", "/v5/market/time"),
}  # fmt: skip


@pytest.fixture(scope="module")
def started(loaded: None) -> Iterator[Lab]:  # noqa: ARG001  imports are not its time
    """Give one lab, in a thread, for all tests here."""
    with running_lab(TRUTH) as lab:
        yield lab


@pytest.fixture
def lab(started: Lab) -> Iterator[Lab]:
    """Give that lab as it was at first."""
    started.seen.clear()
    yield started
    started.heal()


def manager_of(lab: Lab, venues: Sequence[str] = VENUES, **settings: Any) -> ExchangeManager:
    """Return a manager of the lab's venues whose budgets nobody has used before."""
    budgets.PROCESS._ledgers.clear()
    manager = ExchangeManager(cache=False, deadline=DEADLINE_S)
    for venue in venues:
        assert manager.add_exchange(configured(lab, venue, timeout_s=DEADLINE_S, **settings))
    return manager


def hang(lab: Lab, stage: str) -> None:
    for venue in VENUES:
        for path in HANGING[stage]:
            lab.fault(venue, "hang", path=path)


def connections(lab: Lab) -> int:
    """Count the sockets that the venues have open."""
    return sum(len(runner.server.connections) for runner in lab._runners if runner.server is not None)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a path for each would open more


async def until(holds: Callable[[], bool], seconds: float = 5) -> bool:
    """Wait for something that happens in another thread; say whether it has."""
    gives_up = time.monotonic() + seconds
    while not holds() and time.monotonic() < gives_up:  # noqa: ASYNC110  it knows no event of ours
        await asyncio.sleep(0.0005)
    return holds()


async def settled(lab: Lab, before: int) -> tuple[int, int]:
    """Return how many sockets the venues have soon, and how many descriptors more there are than before."""
    await until(lambda: not connections(lab) and descriptors() <= before, 2)
    return connections(lab), descriptors() - before


async def sockets_left(lab: Lab) -> int:
    """Return how many sockets the venues have soon."""
    await until(lambda: not connections(lab), 2)
    return connections(lab)


async def others() -> list[asyncio.Task[Any]]:
    """Return the tasks that are left when everybody has had a few turns."""
    for _ in range(3):
        await asyncio.sleep(0)
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def asked(lab: Lab, requests: int, question: asyncio.Task[Any], seconds: float = 5) -> None:
    """Wait until the venues have so many requests, or the question is over."""
    await until(lambda: len(lab.seen) >= requests or question.done(), seconds)


def reached(lab: Lab, venue: str) -> bool:
    return any(seen.venue == venue for seen in lab.seen)


# --- closing at any moment ----------------------------------------------------------------------------------------

MOST_REQUESTS = 60


async def requests_of_a_question(lab: Lab) -> int:
    async with manager_of(lab) as xm:
        assert (await xm.get_cross_exchange_ticker(SYMBOL)).dropped == {}
    return len(lab.seen)


@pytest.mark.parametrize("way", ["disconnect", "cancel", "both"])
async def test_closing_at_any_moment_leaves_nothing(way: str, lab: Lab, tidy: Tidy) -> None:
    """After each of its requests: while it connects, reads lists, clocks, quotes, books and rates."""
    del tidy  # it judges the loop at the end
    many = await requests_of_a_question(lab)
    assert 20 <= many <= MOST_REQUESTS
    await sockets_left(lab)
    gc.collect()
    before, cut = descriptors(), 0
    moments = [(turns, 0) for turns in range(1, 6)] + [(1, requests) for requests in range(1, many + 1)]
    for turns, requests in moments if way == "disconnect" else moments[:: 4 if way == "cancel" else 7]:
        lab.seen.clear()
        xm = manager_of(lab)
        question = asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL))
        for _ in range(turns):
            await asyncio.sleep(0)
        await asked(lab, requests, question)
        if way != "disconnect":
            question.cancel()
        started = time.monotonic()
        if way == "both":
            await asyncio.gather(xm.disconnect_all(), xm.disconnect_all())
        else:
            await xm.disconnect_all()
        took = time.monotonic() - started
        (outcome,) = await asyncio.gather(question, return_exceptions=True)
        assert isinstance(outcome, CrossExchangeData | NoVenueAnswered | asyncio.CancelledError), repr(outcome)
        assert way != "disconnect" or not isinstance(outcome, asyncio.CancelledError)
        cut += not isinstance(outcome, CrossExchangeData) or bool(outcome.dropped)
        assert await others() == [], requests
        assert await settled(lab, before) == (0, 0), requests
        assert took < 1, requests
        # What we cut off ourselves is held against nobody.
        assert not any(state["error_count"] for state in xm.get_exchange_status().values()), xm.get_exchange_status()
    assert cut > 3


@pytest.mark.parametrize("stage", HANGING)
async def test_closing_while_venues_hang_is_quick_and_leaves_nothing(stage: str, lab: Lab, tidy: Tidy) -> None:
    del tidy
    await sockets_left(lab)
    gc.collect()
    before = descriptors()
    for way, requests in (("disconnect", 2), ("cancel", 5), ("disconnect", 8), ("cancel", 11), ("disconnect", 99)):
        lab.heal()
        hang(lab, stage)
        lab.seen.clear()
        xm = manager_of(lab)
        question = asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL))
        await asked(lab, requests, question, 0.05)  # where everything hangs, so many never come
        started = time.monotonic()
        if way == "cancel":
            question.cancel()
        await xm.disconnect_all()
        (outcome,) = await asyncio.gather(question, return_exceptions=True)
        assert time.monotonic() - started < 1, (way, requests)
        assert isinstance(outcome, CrossExchangeData | NoVenueAnswered | asyncio.CancelledError), repr(outcome)
        if way == "disconnect" and isinstance(outcome, NoVenueAnswered):
            assert {str(drop) for drop in outcome.dropped.values()} <= {"unreachable", "late"}, outcome
        assert await others() == []
        assert await settled(lab, before) == (0, 0)


async def test_a_question_that_is_cut_off_says_why_and_the_manager_answers_again(lab: Lab, tidy: Tidy) -> None:
    del tidy
    hang(lab, "all")
    xm = manager_of(lab)
    question = asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL))
    await asked(lab, 5, question)
    await xm.disconnect_all()
    with pytest.raises(NoVenueAnswered, match="unreachable: the manager was closed before there was an answer"):
        await question
    lab.heal()
    assert (await xm.get_cross_exchange_ticker(SYMBOL)).dropped == {}
    await xm.disconnect_all()


async def test_a_question_asked_while_closing_waits_for_it_and_is_answered(lab: Lab, tidy: Tidy) -> None:
    del tidy
    xm = manager_of(lab)
    hang(lab, "all")
    first = asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL))
    await asked(lab, 5, first)
    lab.heal()
    closing = asyncio.create_task(xm.disconnect_all())
    await asyncio.sleep(0)
    budgets.PROCESS._ledgers.clear()
    second = await xm.get_cross_exchange_ticker(SYMBOL)
    assert second.dropped == {}
    assert closing.done()
    with pytest.raises(NoVenueAnswered):
        await first
    await xm.disconnect_all()
    assert await others() == []


async def test_a_request_of_the_caller_s_own_ends_too_and_opens_nothing_afterwards(lab: Lab, tidy: Tidy) -> None:
    """With the ccxt object there is no question around the request that closing could end."""
    del tidy
    xm = manager_of(lab)
    await xm.connect_all()
    client = xm.ccxt("okx")
    hang(lab, "all")
    before = len(lab.seen)
    request = asyncio.create_task(client.fetch_time())
    await until(lambda: len(lab.seen) > before)
    started = time.monotonic()
    await xm.disconnect_all()
    with pytest.raises(Unreachable, match="the manager was closed"):
        await request
    assert time.monotonic() - started < 1
    lab.heal()
    with pytest.raises(Unreachable, match="the manager was closed"):
        await client.fetch_time()
    assert await sockets_left(lab) == 0
    assert await xm.ccxt("okx").fetch_time() == pytest.approx(1e3 * time.time(), abs=5e3)
    await xm.disconnect_all()
    assert await others() == []


# --- connectors that take part in it ------------------------------------------------------------------------------


class Own(ExchangeConnector):
    """Does what it is told before it answers, and when it is let go of."""

    def __init__(self, before: Callable[[], Any], leaving: Callable[[], Any] | None = None) -> None:
        super().__init__()
        self.before, self.leaving = before, leaving

    async def connect(self) -> None:
        """Nothing to connect to."""

    async def get_ticker(self, symbol: str) -> Mapping[str, Any]:
        del symbol
        await self.before()
        mid = float(TRUTH.market("binance", "BTC", "linear").mid)
        return {"bid": mid - 1, "ask": mid + 1}

    async def disconnect(self) -> None:
        if self.leaving is not None:
            await self.leaving()


def own(manager: ExchangeManager, name: str, *args: Any) -> Own:
    connector = Own(*args)
    assert manager.add_exchange(ExchangeConfig(name, name), connector)
    return connector


async def nothing() -> None:
    pass


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_connector_that_is_asked_may_close_everything(lab: Lab, tidy: Tidy) -> None:
    """Its own answer is finished; whoever has not answered by then is left out."""
    del tidy
    hang(lab, "all")
    xm = manager_of(lab)

    async def close() -> None:
        await until(lambda: len(lab.seen) >= 5)
        await xm.disconnect_all()

    own(xm, "dex", close)
    snap = await asyncio.wait_for(xm.get_cross_exchange_ticker(SYMBOL), 2)
    assert list(snap.answered) == ["dex"]
    assert set(map(str, snap.dropped.values())) == {"unreachable"}
    assert await others() == []
    assert await sockets_left(lab) == 0


async def test_a_connector_may_close_everything_from_a_task_of_its_own(lab: Lab, tidy: Tidy) -> None:
    del tidy
    xm = manager_of(lab, ("okx",))

    async def close() -> None:
        await asyncio.gather(forever(), asyncio.create_task(xm.disconnect_all()))

    own(xm, "dex", close)
    snap_or_none = await asyncio.wait_for(
        asyncio.gather(xm.get_cross_exchange_ticker(SYMBOL), return_exceptions=True), 2
    )
    dropped = snap_or_none[0].dropped  # type: ignore[union-attr]
    assert dropped["dex"] == "unreachable"
    assert await others() == []
    assert await sockets_left(lab) == 0


async def test_closing_while_closing_is_the_same_closing(lab: Lab, tidy: Tidy) -> None:
    """A connector that is let go of wants everything closed, and so does a second caller."""
    del tidy
    xm, left = manager_of(lab, ("okx",)), []

    async def leaving() -> None:
        left.append("begun")
        await xm.disconnect_all()
        await asyncio.sleep(0.01)
        left.append("done")

    own(xm, "dex", nothing, leaving)
    await xm.get_cross_exchange_ticker(SYMBOL)
    first = asyncio.create_task(xm.disconnect_all())
    await until(lambda: bool(left))
    await xm.disconnect_all()
    assert left == ["begun", "done"]
    await first
    await xm.disconnect_all()
    assert left == ["begun", "done"], "what is closed has nothing left to close"
    assert await others() == []


async def test_whoever_is_cancelled_while_closing_leaves_nothing_half_closed(lab: Lab, tidy: Tidy) -> None:
    del tidy
    xm = manager_of(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    assert connections(lab)
    closing = asyncio.create_task(xm.disconnect_all())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert await sockets_left(lab) == 0
    assert await others() == []


async def test_connectors_that_do_not_end_hold_up_nobody_for_long(
    lab: Lab, tidy: Tidy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One swallows its cancellation, one fails and one hangs while it is let go of: the others are closed."""
    del tidy
    monkeypatch.setattr(roster, "CLOSE_S", 0.05)
    xm, release, asking = manager_of(lab, ("okx",)), asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        asking.set()
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    async def failing() -> None:
        raise RuntimeError("no")

    own(xm, "stubborn", stubborn)
    own(xm, "failing", nothing, failing)
    own(xm, "hanging", nothing, forever)
    question = asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL))
    await asking.wait()
    started = time.monotonic()
    await xm.disconnect_all()
    assert time.monotonic() - started < 1
    assert "stubborn: the connector does not let itself be interrupted" in caplog.text
    assert "failing: disconnecting failed: RuntimeError" in caplog.text
    assert await sockets_left(lab) == 0
    release.set()
    await asyncio.gather(question, return_exceptions=True)
    assert await others() == []


# --- removing while it is asked -----------------------------------------------------------------------------------


async def test_an_exchange_removed_while_it_is_asked_is_left_out_by_name(lab: Lab, tidy: Tidy) -> None:
    del tidy
    lab.fault("okx", "hang")
    xm = manager_of(lab)
    question = asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL))
    await until(lambda: reached(lab, "okx"))
    started = time.monotonic()
    assert xm.remove_exchange("okx")
    snap = await question
    assert time.monotonic() - started < 2
    assert snap.dropped == {"okx": "unreachable"}
    assert "the exchange was removed before it answered" in snap.dropped["okx"].text
    assert set(snap.answered) == set(VENUES) - {"okx"}
    assert "okx" not in xm.get_exchange_status()
    assert await until(lambda: not lab._runners[VENUES.index("okx")].server.connections)  # type: ignore[union-attr]
    await xm.disconnect_all()
    assert await others() == []


@pytest.mark.parametrize("question", ["health_check", "connect_all", "tickers", "instruments"])
async def test_any_question_survives_a_removal(question: str, lab: Lab, tidy: Tidy) -> None:
    del tidy
    lab.fault("okx", "hang")
    xm = manager_of(lab)
    task = asyncio.create_task(getattr(xm, question)())
    await until(lambda: reached(lab, "okx"))
    xm.remove_exchange("okx")
    answer = await asyncio.wait_for(task, 2)
    if question == "connect_all":
        assert answer.pop("okx") is False
        assert answer == dict.fromkeys((venue for venue in VENUES if venue != "okx"), True)
    elif question == "health_check":
        assert {name: said["venue_status"] for name, said in answer.items()} == {
            venue: "ok" for venue in VENUES if venue != "okx"
        }
    else:
        assert "okx" not in set(answer["exchange"])
        assert "unreachable" in answer.attrs["dropped"]["okx"]
    await xm.disconnect_all()
    assert await others() == []
    assert await sockets_left(lab) == 0


def test_an_exchange_is_removed_from_outside_its_loop(lab: Lab) -> None:
    """A script that asks with `xex.run` removes between its questions, and while one is out in another thread."""
    xm, left = manager_of(lab), []
    lab.fault("okx", "hang")

    async def leaving() -> None:
        left.append(threading.current_thread().name)

    own(xm, "dex", nothing, leaving)
    snaps: list[CrossExchangeData] = []
    thread = threading.Thread(target=lambda: snaps.append(xex.run(xm.get_cross_exchange_ticker(SYMBOL))))
    thread.start()
    asyncio.run(until(lambda: reached(lab, "okx")))
    assert xm.remove_exchange("okx")
    thread.join(5)
    assert snaps[0].dropped == {"okx": "unreachable"}
    assert xm.remove_exchange("dex")
    xex.run(xm.disconnect_all())
    assert left == ["xex.run"]


# --- loops --------------------------------------------------------------------------------------------------------


async def test_the_error_names_both_loops_and_the_way_out(lab: Lab, tidy: Tidy) -> None:
    del tidy
    xm = manager_of(lab, ("okx",))
    await xm.get_cross_exchange_ticker(SYMBOL)
    mine, caught = asyncio.get_running_loop(), []

    async def elsewhere(call: Callable[[], Any]) -> None:
        with pytest.raises(LoopError) as raised:
            await call()
        caught.append((id(asyncio.get_running_loop()), str(raised.value)))

    def thread() -> None:
        for call in (partial(xm.get_cross_exchange_ticker, SYMBOL), xm.disconnect_all, xm.health_check):
            asyncio.run(elsewhere(call))

    other = threading.Thread(target=thread, name="a bot's own thread")
    other.start()
    await asyncio.to_thread(other.join)
    assert len(caught) == 3
    for theirs, text in caught:
        assert f"belongs to the event loop {id(mine):#x} of the thread 'MainThread'" in text
        assert f'used from {theirs:#x} of the thread "a bot\'s own thread"' in text
        assert "make one manager per loop" in text
        assert "disconnect_all() in its own loop first" in text
    assert (await xm.get_cross_exchange_ticker(SYMBOL)).dropped == {}
    await xm.disconnect_all()
    # The way out works.
    assert await asyncio.to_thread(asyncio.run, xm.health_check())
    await asyncio.to_thread(gc.collect)
    assert await sockets_left(lab) == 0


def closing_hooks(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Return where a loop writes down what it complains about."""
    said: list[str] = []
    loop.set_exception_handler(lambda _, context: said.append(str(context.get("message"))))
    return said


async def test_a_manager_that_is_forgotten_closes_its_session(lab: Lab, tidy: Tidy) -> None:
    """Like a cell that is run again: `xm = ExchangeManager.from_env()` drops the one before."""
    del tidy
    xm = manager_of(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    assert connections(lab)
    del xm
    gc.collect()
    assert await sockets_left(lab) == 0
    assert await others() == []


def test_a_loop_that_ends_takes_the_sockets_with_it(lab: Lab) -> None:
    xm = manager_of(lab)
    for _ in range(3):
        budgets.PROCESS._ledgers.clear()
        assert asyncio.run(xm.get_cross_exchange_ticker(SYMBOL)).dropped == {}
        assert asyncio.run(sockets_left(lab)) == 0
    assert not [seen for seen in lab.seen[len(lab.seen) * 2 // 3 :] if "instruments" in seen.path_qs], "lists are kept"


@pytest.fixture
def rightly_warned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Python warn of tasks and sockets in a loop that was closed over them, whenever it collects them."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    with warnings.catch_warnings(action="ignore"):
        yield
        gc.collect()


@pytest.mark.usefixtures("rightly_warned")
def test_a_loop_closed_over_a_question_is_left_behind(lab: Lab) -> None:
    """Not even cancelled: what was under way there must not be waited for in the next loop."""
    xm = manager_of(lab)
    hang(lab, "lists")
    loop = asyncio.new_event_loop()
    said = closing_hooks(loop)
    question = loop.create_task(xm.get_cross_exchange_ticker(SYMBOL))
    loop.run_until_complete(asked(lab, 5, question))
    loop.close()
    lab.heal()
    budgets.PROCESS._ledgers.clear()
    assert asyncio.run(xm.get_cross_exchange_ticker(SYMBOL)).dropped == {}
    assert not [text for text in said if "nclosed" in text], said


@pytest.mark.usefixtures("rightly_warned")
def test_closing_in_the_next_loop_what_a_closed_one_has_left(lab: Lab) -> None:
    # With keys the closed loop would also leave the question what the account pays.
    xm = manager_of(lab, ("okx", "bybit"), **NO_KEYS)
    left: list[str] = []

    async def leaving() -> None:
        left.append("dex")

    own(xm, "dex", nothing, leaving)
    loop = asyncio.new_event_loop()
    said = closing_hooks(loop)
    loop.run_until_complete(xm.get_cross_exchange_ticker(SYMBOL))
    loop.close()
    asyncio.run(xm.disconnect_all())
    gc.collect()
    assert (left, said) == (["dex"], [])
    assert asyncio.run(sockets_left(lab)) == 0


# --- xex.run ------------------------------------------------------------------------------------------------------


def test_run_raises_what_the_coroutine_raises() -> None:
    async def fails(error: BaseException) -> None:
        raise error

    for error in (
        ValueError("x"),
        TimeoutError(),
        asyncio.CancelledError(),
        SystemExit(3),
        KeyboardInterrupt(),
        LookupError("y"),
    ):
        with pytest.raises(type(error)):
            xex.run(fails(error))
    # Also after those two which end an event loop.
    assert xex.run(asyncio.sleep(0, "still there")) == "still there"


@pytest.mark.parametrize("thing", [forever, 3, None, "tickers"])
def test_run_says_what_it_takes(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"xex\.run\(\) takes a coroutine, as in xex\.run\(xm\.tickers\(\)\), not"):
        xex.run(thing)


def test_run_inside_run_is_refused_and_through_a_thread_it_works() -> None:
    async def seven() -> int:
        return 7

    async def inside() -> int:
        with pytest.raises(RuntimeError, match=r"inside xex\.run"):
            xex.run(seven())
        return await asyncio.to_thread(xex.run, seven())

    assert xex.run(inside()) == 7


def test_ctrl_c_lets_the_coroutine_clean_up_before_the_caller_goes_on() -> None:
    done: list[str] = []

    async def slow() -> None:
        try:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await forever()
        finally:
            await asyncio.sleep(0.02)
            done.append("cleaned")

    with pytest.raises(KeyboardInterrupt):
        xex.run(slow())
    assert done == ["cleaned"]

    async def seven() -> int:
        return 7

    assert xex.run(seven()) == 7


def test_ctrl_c_does_not_wait_for_who_ignores_it() -> None:
    release = threading.Event()

    async def stubborn() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        xex.run(stubborn())
    assert time.monotonic() - started < 1
    release.set()


# --- in processes of their own ------------------------------------------------------------------------------------

STRICT = ("-W", "error", "-X", "dev")


# In development mode asyncio tells of every turn that takes long, such as one that imports ccxt.
QUIET = """
import logging
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing "))
"""


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    """Give a folder from which a process learns, before all else, what is not ours to mend."""
    (tmp_path / "sitecustomize.py").write_text(QUIET)
    return tmp_path


def child(lab: Lab, quiet: Path, *words: str, flags: Sequence[str] = STRICT) -> subprocess.Popen[str]:
    """Start this module in a process that knows nothing but where the lab is."""
    return subprocess.Popen(
        [sys.executable, *flags, "-m", "tests.children", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(quiet), "XEX_TEST_LAB": json.dumps(lab.urls)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said_by(process: subprocess.Popen[str]) -> Any:
    """Return what a child wrote as JSON, having said nothing else."""
    out, err = process.communicate(timeout=60)
    assert err == ""
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


def test_in_a_process_that_says_all_loops_come_and_go_without_a_word(lab: Lab, quiet: Path) -> None:
    said = dict(said_by(child(lab, quiet, "loops")))
    assert said.pop("runs") == [[{}, 0], [{}, 0], [{}, 0]], "what was dropped, and the sockets left after each"
    assert said.pop("threads") == [{}] * 8
    assert said.pop("beside a loop") == [{}, {}]
    for way in ("fork", "spawn"):
        assert said.pop(way) == {"same manager": {}, "new manager": {}, "code": 0}
    assert said.pop("after the forks") == {}
    assert said.pop("last words") == [{}, "MainThread"], "no thread is started any more"
    assert said == {}
    assert connections(lab) == 0


def test_loops_that_nobody_ends_properly_are_not_loud_about_it(lab: Lab, quiet: Path) -> None:
    """With the warnings that people have: of a loop closed over open sockets only Python's development mode tells."""
    assert said_by(child(lab, quiet, "rough", flags=())) == [
        ["closed over it", {}],
        ["and next", {}, 0],
        ["never closed", {}],
    ]


NOISE = re.compile(
    r"never retrieved|[Uu]nclosed|destroyed|ResourceWarning|Exception ignored|never awaited|WARNING|ERROR"
)


def test_ctrl_c_ends_a_program_at_once(lab: Lab, quiet: Path) -> None:
    """In the middle of a question, to venues that hang; a command says one line."""
    hang(lab, "all")
    with ExitStack() as stack:
        started = {
            word: stack.enter_context(child(lab, quiet, "interrupted", word, flags=("-W", "error")))
            for word in ("run", "loop", "command")
        }
        for process in started.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "asking\n"
        sent = time.time()
        for process in started.values():
            process.send_signal(signal.SIGINT)
        ended = {word: (*process.communicate(timeout=20), process.returncode) for word, process in started.items()}
    assert ended.pop("command") == ("", "xex: interrupted\n", 130)
    for word, (out, err, code) in ended.items():
        # What comes after it is Python taking ccxt apart.
        assert 0 < json.loads(out) - sent < 1, word
        assert err.startswith("Traceback"), err
        assert err.endswith("\nKeyboardInterrupt\n"), err
        assert not NOISE.search(err), err
        assert code == -signal.SIGINT
    assert asyncio.run(sockets_left(lab)) == 0


def test_a_name_server_that_does_not_answer_outlasts_no_deadline_and_no_program(lab: Lab, quiet: Path) -> None:
    """A look-up hangs for an hour; neither the loop nor Python waits for it when they end."""
    started = time.monotonic()
    said = said_by(child(lab, quiet, "nameless"))
    assert said == [["in a loop", ["late"]], ["in xex's", ["late"]]]
    assert time.monotonic() - started < 30


async def test_a_forked_child_waits_for_nobody_of_its_parent() -> None:
    """Of 10 per 10 s, 3 were answered at the fork and 5 under way; one more question was waiting for its turn."""
    now = 0.0
    ledger = budgets.Ledger(10, 10, lambda: now)
    await ledger.take(8, "okx")
    ledger.give_back(3)
    waiting = asyncio.create_task(ledger.take(9, "okx"))
    await asyncio.sleep(0)
    now = 4.0
    ledger.inherit()
    assert (ledger.used, ledger.wait(2)) == (8, 0)
    await asyncio.wait_for(ledger.take(2, "okx"), 1)  # not behind the one that waits in the parent
    now = 10.2
    assert ledger.used == 5 + 2
    now = 14.2
    assert ledger.used == 2
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


# --- Jupyter ------------------------------------------------------------------------------------------------------

MADE = "from tests.children import mine\nimport xex"
ASK = "xm.get_cross_exchange_ticker('BTCUSDT')"
REFUSED = "try:\n    {}\nexcept xex.LoopError as exc:\n    print(exc)"


class Kernel:
    """A real kernel, whose process writes where we can read it."""

    def __init__(self, lab: Lab, home: Path) -> None:
        self.manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(home / "ipc"))
        self.log = (home / "kernel.log").open("w+")  # open for as long as it may be started again
        environment = {**os.environ, "IPYTHONDIR": str(home), "PYTHONWARNINGS": KERNEL_WARNINGS}
        environment["XEX_TEST_LAB"] = json.dumps(lab.urls)
        self.manager.start_kernel(cwd=str(ROOT), env=environment, stdout=self.log, stderr=self.log)
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, cell: str) -> str:
        """Return what a cell prints; anything else that comes of it fails."""
        printed, unexpected = [], []

        def heard(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                printed.append(content["text"])
            elif message["msg_type"] in {"stream", "error", "display_data", "execute_result"}:
                unexpected.append(content)

        self.client.execute_interactive(cell, output_hook=heard, timeout=60)
        assert unexpected == [], unexpected
        return "".join(printed).strip()

    def restart(self) -> None:
        self.client.stop_channels()
        self.manager.restart_kernel()
        self._connect()

    def close(self) -> str:
        """Shut the kernel down as Jupyter does, and return what its process has written in all its life."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        self.manager.context.destroy()
        self.log.seek(0)
        with self.log:
            return self.log.read()


@pytest.fixture
def kernel(lab: Lab, tmp_path: Path) -> Iterator[Kernel]:
    started = Kernel(lab, tmp_path)
    yield started
    if started.manager.is_alive():
        started.close()


def test_cells_of_a_notebook_use_either_way_in_either_order(kernel: Kernel, lab: Lab) -> None:
    kernel.run(MADE)
    # The notebook's own loop first, then run() with another manager, then with the same one.
    assert kernel.run(f"xm = mine()\nprint((await {ASK}).dropped)") == "{}"
    assert kernel.run(f"other = mine()\nprint(xex.run({ASK.replace('xm', 'other')}).dropped)") == "{}"
    refused = kernel.run(REFUSED.format(f"xex.run({ASK})"))
    assert re.search(r"belongs to the event loop 0x\w+ of the thread 'MainThread', .*thread 'xex\.run'", refused), (
        refused
    )
    assert "with one manager either await or xex.run(), not both" in refused
    assert kernel.run(f"print((await {ASK}).dropped)") == "{}"
    # A cell that is run again makes a new manager; the old one is gone with its sockets.
    assert kernel.run(f"xm = mine()\nprint((await {ASK}).dropped)") == "{}"
    # A restart closes nothing by hand.
    kernel.restart()
    kernel.run(MADE)
    # The other order.
    assert kernel.run(f"xm = mine()\nprint(xex.run({ASK}).dropped)") == "{}"
    assert kernel.run(f"other = mine()\nprint((await {ASK.replace('xm', 'other')}).dropped)") == "{}"
    refused = kernel.run(REFUSED.format(f"await {ASK}"))
    assert re.search(r"belongs to the event loop 0x\w+ of the thread 'xex\.run', .*thread 'MainThread'", refused), (
        refused
    )
    # The way out that it names.
    assert kernel.run(f"xex.run(xm.disconnect_all())\nprint((await {ASK}).dropped)") == "{}"
    assert kernel.close() == ""
    assert asyncio.run(sockets_left(lab)) == 0


# --- examples -----------------------------------------------------------------------------------------------------


def test_the_examples_run_as_they_are_told_to(quiet: Path) -> None:
    """The script, and the test with the settings that it names, copied to where a user would have them."""
    told = re.search(r"pyproject\.toml::\n\n((?: {4}.*\n)+)", (EXAMPLES / "test_strategy.py").read_text())
    assert told is not None
    (quiet / "pyproject.toml").write_text(told[1].replace("    ", ""))
    for path in EXAMPLES.glob("*.py"):
        shutil.copy(path, quiet)
    started = [
        subprocess.Popen(
            [sys.executable, *STRICT, *words],
            cwd=quiet,
            env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": str(quiet), "XDG_CACHE_HOME": str(quiet / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in (["script.py"], ["-m", "pytest", "-q", "-p", "no:cacheprovider"])
    ]
    (script, script_err), (tests, tests_err) = (process.communicate(timeout=120) for process in started)
    assert (script_err, tests_err) == ("", "")
    assert [process.returncode for process in started] == [0, 0], tests
    assert "BTC/USDT:USDT: 96,515.49 USDT" in script
    assert re.search(r"okx +96526\.80* +96526\.90* ", script)
    assert "left out" not in script
    assert "3 passed" in tests
    assert not list((quiet / "cache").rglob("*.json")), "a replay keeps nothing"


def test_the_readme_leads_to_every_example() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\((docs/examples/[^)]+)\)", text))
    assert linked == {path.relative_to(ROOT).as_posix() for path in EXAMPLES.glob("*.py")}
