"""Budgets: no window at the venue ever holds more than it published, and nobody waits without need."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import virtual
from tests.conftest import ManagerFor
from tests.lab import Lab
from xex.access import budgets, deadline, registry
from xex.access.budgets import GIVEN_UP_S, Budgets, Charge, Ledger, Limit, Pause
from xex.errors import Banned, RateLimited

FULL = bool(os.environ.get("XEX_FULL"))
URL = "https://api.example.com/v1/ticker?symbol=BTC"


def time() -> float:
    """Return the loop's own time."""
    return asyncio.get_running_loop().time()


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test without waiting for anything."""

    def wrapped() -> None:
        virtual.run(test())  # type: ignore[arg-type]

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


def ledger(weight: float, seconds: float) -> Ledger:
    return Ledger(weight, seconds, time)


def back(seconds: float) -> float:
    """Return how long after its answer weight comes back: a window, and what clocks and timers may be off by."""
    return seconds * 1.0001 + 0.002


# --- the promise: whatever the schedule, at the venue ----------------------------------------------------------------


def rules() -> list[Limit]:
    """Return every budget of every venue that is installed, and one of a single request."""
    loaded = [registry.load(point) for point in registry.installed().values()]
    sources = [registry.load_reference(point) for point in registry.references().values()]
    found = [limit for one in (*loaded, *sources) for limit in getattr(one, "limits", ())]
    return [*found, Limit("one", "one.example.com", 1, 5)]


RULES = rules()


@dataclass(frozen=True)
class Wish:
    """A request: when it is wanted, its weight, how long it travels each way, and when it is given up (None: never)."""

    at: float
    weight: float
    there: float
    back: float
    patience: float | None


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Limit, list[Wish]]:
    """Draw a rule and bursts of requests with idle time between, cancelled ones among them."""
    limit = draw(st.sampled_from(RULES))
    dice = random.Random(draw(st.integers(0, 2**32)))
    heavy = max(1.0, limit.weight / draw(st.sampled_from([2, 5, 20])))
    # As many as fill the budget a few times over, in wishes that one test can play.
    at, wishes = 0.0, []
    for _ in range(draw(st.integers(1, 5))):
        at += dice.choice([0.0, 0.0, dice.random(), 1.0, 1.5, 3.0]) * limit.seconds
        for _ in range(dice.choice([1, 3, 12])):
            weight = dice.choice([1.0, 1.0, heavy, heavy * dice.random() + 0.01, limit.weight])
            slow = dice.choice([0.001, 0.05, 0.5, 2.0]) * limit.seconds
            gone = dice.choice([None, None, None, dice.random() * 3 * limit.seconds])
            late = at + dice.choice([0.0, dice.random() * 0.1 * limit.seconds])
            wishes.append(Wish(late, weight, slow * dice.random(), slow * dice.random(), gone))
    return limit, wishes


async def played(book: Ledger, wishes: Sequence[Wish]) -> list[tuple[float, float]]:
    """Ask as wished and return when each request reached the venue, and its weight."""
    arrived: list[tuple[float, float]] = []

    async def ask(wish: Wish) -> None:
        await asyncio.sleep(wish.at)
        await book.take(wish.weight, "v")
        answered = False
        weight = min(wish.weight, book.weight)
        reaches = time() + wish.there
        try:
            await asyncio.sleep(wish.there + wish.back)
            answered = True
        finally:
            # What has been sent may arrive a while after its sender has given up.
            arrived.append((min(reaches, time() + GIVEN_UP_S), weight))
            book.give_back(wish.weight, late_s=0.0 if answered else GIVEN_UP_S)

    async def limited(wish: Wish) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if wish.patience is None else wish.at + wish.patience):
                await ask(wish)

    await asyncio.gather(*map(limited, wishes))
    return arrived


def worst(arrived: Sequence[tuple[float, float]], seconds: float) -> float:
    """Return the most weight in any window (t - seconds, t], summed by brute force."""
    return max((sum(weight for at, weight in arrived if end - seconds < at <= end) for end, _ in arrived), default=0.0)


def test_the_judge_judges() -> None:
    """Three at 0, 1 and 2 in windows of 2 s, by hand."""
    assert worst([(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)], 2) == 2
    assert worst([(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (2.5, 5.0)], 2) == 7
    assert worst([], 2) == 0


@settings(
    max_examples=100_000 if FULL else 2_000, deadline=None, derandomize=not FULL, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(schedules())
def test_no_window_at_the_venue_ever_holds_more_than_the_limit(drawn: tuple[Limit, list[Wish]]) -> None:
    """Judged on when requests reach the venue, which only the venue knows: for every rule of every venue."""
    limit, wishes = drawn

    async def play() -> tuple[list[tuple[float, float]], Ledger]:
        book = ledger(limit.weight, limit.seconds)
        return await played(book, wishes), book

    arrived, book = virtual.run(play())
    assert worst(arrived, limit.seconds) <= limit.weight * (1 + 1e-9), limit.name
    assert book.waiting == 0
    assert not book._queue


@pytest.mark.parametrize("limit", RULES, ids=lambda limit: f"{limit.host}-{limit.name}")
def test_a_greedy_caller_uses_most_of_every_budget(limit: Limit) -> None:
    """At a latency of a twentieth of the window; weights are mixed where the venue has any."""
    dice = random.Random(5)
    latency = limit.seconds / 20
    unit = max(1.0, limit.weight / 500)
    weights = [unit] if limit.weight < 100 else [unit, unit, 2 * unit, 5 * unit]
    windows = 8

    async def play() -> list[tuple[float, float]]:
        book, arrived = ledger(limit.weight, limit.seconds), list[tuple[float, float]]()

        async def ask() -> None:
            weight = dice.choice(weights)
            await book.take(weight, "v")
            arrived.append((time() + latency / 2, weight))
            await asyncio.sleep(latency)
            book.give_back(weight)

        wanted = ceil((windows + 2) * limit.weight / (sum(weights) / len(weights)))
        await asyncio.gather(*(ask() for _ in range(wanted)))
        return arrived

    arrived = virtual.run(play())
    began = arrived[0][0]
    done = sum(weight for at, weight in arrived if at < began + windows * limit.seconds)
    share = done / (windows * limit.weight)
    assert share >= 0.85, f"{share:.1%} of the budget"
    if limit.weight <= 600:
        assert worst(arrived, limit.seconds) <= limit.weight * (1 + 1e-9)


# --- order, patience, cancellation ----------------------------------------------------------------------------------


@in_virtual_time
async def test_an_idle_venue_may_be_asked_up_to_the_limit_at_once() -> None:
    book = ledger(20, 2)
    for _ in range(3):
        started = time()
        await asyncio.gather(*(book.take(1, "v") for _ in range(20)))
        assert time() == started
        assert book.used == 20
        for _ in range(20):
            book.give_back(1)
        await asyncio.sleep(back(2) + 1e-6)
        assert book.used == 0


@in_virtual_time
async def test_the_next_waits_for_one_window_and_no_longer() -> None:
    book = ledger(10, 2)
    await book.take(10, "v")
    book.give_back(10)
    answered = time()
    await book.take(1, "v")
    assert 2 <= time() - answered <= back(2) + 1e-3


@in_virtual_time
async def test_weight_comes_back_after_the_answer_not_after_sending() -> None:
    """A request may arrive any time before its answer does."""
    book = ledger(1, 2)
    await book.take(1, "v")
    waiting = asyncio.create_task(book.take(1, "v"))
    await asyncio.sleep(5)
    book.give_back(1)
    answered = time()
    assert not waiting.done()
    await waiting
    assert time() >= answered + 2


@in_virtual_time
async def test_what_is_given_up_may_still_arrive_a_while_later() -> None:
    book = ledger(1, 2)
    await book.take(1, "v")
    book.give_back(1, late_s=GIVEN_UP_S)
    given_up = time()
    await book.take(1, "v")
    assert time() >= given_up + 2 + GIVEN_UP_S


@in_virtual_time
async def test_what_was_never_sent_costs_nothing() -> None:
    book = ledger(10, 2)
    await book.take(10, "v")
    waiting = asyncio.create_task(book.take(4, "v"))
    await asyncio.sleep(0.01)
    started = time()
    book.undo(10)
    await waiting
    assert (time(), book.used) == (started, 4)


@in_virtual_time
async def test_first_come_first_served() -> None:
    """A small one does not overtake a big one that waits."""
    book = ledger(10, 2)
    order: list[int] = []

    async def ask(number: int, weight: float) -> None:
        await book.take(weight, "v")
        order.append(number)
        book.give_back(weight)

    await asyncio.gather(*(ask(n, weight) for n, weight in enumerate([8, 9, 1, 1, 10, 1, 2])))
    assert order == [0, 1, 2, 3, 4, 5, 6]


@settings(max_examples=50, deadline=None)
@given(weights=st.lists(st.sampled_from([1.0, 2.0, 5.0, 10.0]), min_size=2, max_size=40))
def test_the_order_of_arrival_is_the_order_of_sending(weights: list[float]) -> None:
    async def play() -> list[int]:
        book, order = ledger(10, 2), list[int]()

        async def ask(number: int, weight: float) -> None:
            await asyncio.sleep(0.01 * number)
            await book.take(weight, "v")
            order.append(number)
            await asyncio.sleep(0.5)
            book.give_back(weight)

        await asyncio.gather(*(ask(number, weight) for number, weight in enumerate(weights)))
        return order

    order = virtual.run(play())
    assert order == sorted(order)


@in_virtual_time
async def test_who_leaves_the_queue_holds_nobody_up() -> None:
    book = ledger(10, 2)
    await book.take(10, "v")
    first = asyncio.create_task(book.take(10, "v"))
    second = asyncio.create_task(book.take(1, "v"))
    await asyncio.sleep(0)
    first.cancel()
    book.give_back(10)
    answered = time()
    await second
    assert time() - answered <= back(2) + 1e-3
    assert book.used == 1
    assert (book.waiting, len(book._queue)) == (0, 0)
    with pytest.raises(asyncio.CancelledError):
        await first


@in_virtual_time
async def test_nineteen_cancelled_waiters_delay_the_next_by_nothing() -> None:
    """Ccxt's own throttler makes the next one wait for all of them."""
    book = ledger(1, 2)
    await book.take(1, "v")
    book.give_back(1)
    answered = time()
    waiting = [asyncio.create_task(book.take(1, "v")) for _ in range(19)]
    await asyncio.sleep(0.1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await book.take(1, "v")
    assert time() - answered <= back(2) + 1e-3


@in_virtual_time
async def test_a_budget_that_grows_wakes_who_waits() -> None:
    book = ledger(2, 60)
    await book.take(2, "v")
    waiting = [asyncio.create_task(book.take(1, "v")) for _ in range(3)]
    await asyncio.sleep(1)
    assert [task.done() for task in waiting] == [False] * 3
    before = time()
    book.resize(4)
    await asyncio.sleep(0.1)
    assert [task.done() for task in waiting] == [True, True, False]
    book.give_back(2)
    await waiting[2]
    assert time() - before == pytest.approx(0.1 + back(60), abs=0.01)


@in_virtual_time
async def test_what_was_taken_goes_back_whatever_became_of_the_budget() -> None:
    book = ledger(10, 2)
    assert await book.take(50, "v") == 10
    book.resize(4)
    waiting = asyncio.create_task(book.take(9, "v"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    book.give_back(10)
    assert await waiting == 4, "all there is by now"
    book.resize(100)
    book.give_back(4)
    await asyncio.sleep(back(2) + 1e-6)
    assert book.used == 0
    assert await book.take(100, "v") == 100


def test_an_answer_says_how_large_the_budget_is() -> None:
    limit = Limit("key", "one.example.com", 30, 60, used_header="Used", most_header="Most")
    own = Budgets()
    (charge,) = own.charges((limit,), "https://one.example.com/a", "https://one.example.com")
    for headers, size, used in (
        ({}, 30, 0), ({"most": "80", "used": "50"}, 80, 50), ({"most": "x"}, 80, 50), ({"most": "0"}, 80, 50),
    ):  # fmt: skip
        own.settle([Charge(charge.ledger, 0, limit)], headers)
        assert (charge.ledger.weight, charge.ledger.used) == (size, used)


@in_virtual_time
async def test_more_than_the_limit_is_taken_as_the_whole_limit() -> None:
    book = ledger(10, 2)
    await book.take(50, "v")
    assert book.used == 10
    book.give_back(50)
    await asyncio.sleep(back(2) + 1e-6)
    assert book.used == 0


@in_virtual_time
async def test_a_deadline_that_comes_first_is_said_at_once() -> None:
    book = ledger(10, 60)
    await book.take(10, "v")
    book.give_back(10)
    started = time()
    with deadline.until(5.0), pytest.raises(RateLimited, match="10 per 60 s") as caught:
        await book.take(1, "v")
    assert time() == started
    assert caught.value.venue == "v"
    assert not book._queue
    with deadline.until(100.0):
        await book.take(1, "v")


@in_virtual_time
async def test_a_deadline_too_near_is_said_at_once_also_behind_others() -> None:
    """Ten windows' worth is waited for already: who has five windows' time need not stand in line to learn that."""
    book = ledger(10, 2)
    await book.take(10, "v")
    book.give_back(10)
    before = [asyncio.create_task(book.take(10, "v")) for _ in range(10)]
    await asyncio.sleep(0)
    started = time()
    with deadline.until(10.0), pytest.raises(RateLimited):
        await book.take(1, "v")
    assert time() == started
    for task in before:
        task.cancel()


@in_virtual_time
async def test_a_deadline_is_kept_behind_one_who_waits_for_an_answer() -> None:
    book = ledger(10, 1)
    await book.take(10, "v")  # never answered
    patient = asyncio.create_task(book.take(5, "v"))
    await asyncio.sleep(0)
    started = time()
    with deadline.until(3.0), pytest.raises(RateLimited):
        await book.take(1, "v")
    assert 2.99 <= time() - started <= 3.01
    patient.cancel()


@in_virtual_time
async def test_what_is_in_flight_may_be_waited_for() -> None:
    """Nobody knows yet when it comes back, but there is time: that is no reason to give up."""
    book = ledger(1, 1)
    await book.take(1, "v")
    asyncio.get_running_loop().call_later(0.05, book.give_back, 1.0)
    started = time()
    with deadline.until(5.0):
        await book.take(1, "v")
    assert 1.05 <= time() - started <= 1.05 + back(1) - 1 + 1e-3


@in_virtual_time
async def test_wait_tells_how_long() -> None:
    book = ledger(10, 2)
    assert book.wait(10) == 0
    await book.take(6, "v")
    assert book.wait(4) == 0
    assert book.wait(5) == pytest.approx(back(2))  # it would have to be answered now
    book.give_back(6)
    await asyncio.sleep(1)
    assert book.wait(5) == pytest.approx(back(2) - 1)
    assert book.wait(4, ahead=2) == pytest.approx(back(2) - 1)
    assert book.wait(10, ahead=12) == pytest.approx(3, abs=1.1)  # two budgets more


@settings(max_examples=150, deadline=None)
@given(
    taken=st.lists(st.tuples(st.floats(0, 3), st.sampled_from([1.0, 2.0, 5.0])), max_size=12),
    asked=st.sampled_from([1.0, 3.0, 10.0]), ahead=st.sampled_from([0.0, 4.0, 10.0, 25.0]),
)  # fmt: skip
def test_nobody_is_turned_away_who_could_have_been_served(
    taken: list[tuple[float, float]], asked: float, ahead: float
) -> None:
    """`wait` is never more than a plain simulation in which every answer comes at once."""

    async def play() -> tuple[float, float]:
        book = ledger(10, 2)
        for at, weight in sorted(taken):
            await asyncio.sleep(max(0.0, 1000 + at - time()))
            if book.wait(weight) == 0:
                await book.take(weight, "v")
                book.give_back(weight)
        told, began = book.wait(asked, ahead), time()
        left = ahead
        while left > 0:  # those ahead, in the coarsest pieces there are, each answered at once
            piece = min(left, 10.0)
            await book.take(piece, "v")
            book.give_back(piece)
            left -= piece
        await book.take(asked, "v")
        return told, time() - began

    told, real = virtual.run(play())
    assert told <= real + 1e-6


def test_fractions_of_weight_come_back_whole() -> None:
    """What rounding leaves behind must not keep the whole budget from ever being free again."""

    async def play(seed: int) -> bool:
        dice, book = random.Random(seed), ledger(10, 2)
        share = dice.choice([0.1, 0.3, 0.33, 0.7, 0.9])
        for _ in range(30):
            weight = min(dice.choice([1, 2, 5]) / share, 10)
            if book.wait(weight) == 0:
                await book.take(weight, "v")
                book.give_back(weight)
            await asyncio.sleep(dice.random())
        await asyncio.sleep(10)
        return book.wait(10) == 0

    assert all(virtual.run(play(seed)) for seed in range(200))


# --- one budget for all loops and threads -----------------------------------------------------------------------------


def test_threads_share_a_budget_and_wake_one_another() -> None:
    """Four event loops in threads of their own, 20 in 50 ms: all are served, and no window holds more."""
    book = Ledger(20, 0.05)
    sent: list[tuple[float, float]] = []

    async def job() -> None:
        async def ask() -> None:
            await book.take(1, "v")
            sent.append((book.clock(), 1.0))
            await asyncio.sleep(0.001)
            book.give_back(1)

        await asyncio.gather(*(ask() for _ in range(25)))

    threads = [threading.Thread(target=asyncio.run, args=(job(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(sent) == 100
    assert worst(sent, 0.05) <= 20


def test_a_loop_that_stopped_holds_nobody_up() -> None:
    """Whoever stands in line in a loop that is not running any more is passed over."""
    book = Ledger(1, 0.01)
    stopped = asyncio.new_event_loop()
    stopped.run_until_complete(book.take(1, "v"))
    stuck = stopped.create_task(book.take(1, "v"))
    stopped.run_until_complete(asyncio.sleep(0))
    assert len(book._queue) == 1
    book.give_back(1)
    asyncio.run(asyncio.wait_for(book.take(1, "v"), timeout=2))
    book.give_back(1)
    # When it runs again, its turn comes as everybody's.
    stopped.run_until_complete(asyncio.wait_for(stuck, timeout=2))
    stopped.close()
    assert not book._queue


# --- corrections by the venue --------------------------------------------------------------------------------------


@in_virtual_time
async def test_the_venue_s_count_raises_and_never_lowers() -> None:
    book = ledger(100, 60)
    await book.take(10, "v")
    book.give_back(10)
    book.correct(5)
    assert book.used == 10
    book.correct(90)
    assert book.used == 90
    assert book.wait(11) == pytest.approx(back(60))
    book.correct(5000)
    assert book.used == 100
    await asyncio.sleep(back(60) + 1e-6)
    assert book.used == 0


@in_virtual_time
async def test_a_correction_counts_what_is_in_flight_once() -> None:
    book = ledger(100, 60)
    await book.take(10, "v")
    book.correct(30)
    assert book.used == 30
    book.give_back(10)
    assert book.used == 30
    await asyncio.sleep(back(60) + 1e-6)
    assert book.used == 0


@pytest.mark.parametrize(
    ("headers", "used"),
    [
        ({}, None),
        ({"x-used": "17"}, 17),
        ({"x-left": "30"}, 70),
        ({"x-used": "80", "x-left": "30"}, 80),
        ({"x-used": "much", "x-left": ""}, None),
        ({"x-used": "-5"}, None),
        ({"x-used": "1٣"}, None),
    ],
)
def test_headers_say_what_is_used_or_left(headers: Mapping[str, str], used: float | None) -> None:
    limit = Limit("weight", "h", 100, 60, used_header="X-Used", left_header="X-Left")
    assert limit.used(headers) == used


async def test_the_used_weight_header_is_heard(lab: Lab, manager_for: ManagerFor) -> None:
    """Another program behind the same address has used most of the minute."""
    xm = manager_for(lab, venues=("binance",))
    await xm.get_cross_exchange_ticker("BTCUSDT")
    book = next(
        book for key, book in budgets.PROCESS._ledgers.items()
        if key[0].startswith(lab.url("binance")) and book.weight == 2400
    )  # fmt: skip
    own = book.used
    assert 0 < own < 100
    for minute in range(-1, 2):
        lab._weights["fapi", lab.now_ms() // 60_000 + minute] = 2300
    await xm.get_cross_exchange_ticker("BTCUSDT")
    assert 2300 < book.used <= 2400


# --- which budget, which weight --------------------------------------------------------------------------------------


def _depth(query: Mapping[str, str]) -> float:
    return float(query.get("limit", 5))


LIMITS = (
    Limit("weight", "api.example.com", 100, 60, costs={"/depth$": _depth, "/all$": 40}),
    Limit("per symbol", "api.example.com", 3, 1, path="/ticker$", per="symbol"),
    Limit("other", "other.example.com", 1, 1),
)


def charged(made: Budgets, url: str, origin: str = "https://api.example.com", share: float = 1.0) -> dict[str, float]:
    return {charge.limit.name: charge.weight for charge in made.charges(LIMITS, url, origin, share)}


def test_the_weight_is_read_from_the_address() -> None:
    made = Budgets()
    assert charged(made, URL) == {"weight": 1, "per symbol": 1}
    assert charged(made, "https://api.example.com/v1/depth?limit=20") == {"weight": 20}
    assert charged(made, "https://api.example.com/v1/depth") == {"weight": 5}
    assert charged(made, "https://api.example.com/v1/all") == {"weight": 40}
    assert charged(made, "https://other.example.com/x") == {"other": 1}
    assert charged(made, "https://unknown.example.com/x") == {}


def test_a_share_pays_dearer() -> None:
    assert charged(Budgets(), URL, share=0.25) == {"weight": 4, "per symbol": 4}


def test_budgets_are_the_process_s_and_apart_by_origin_and_value() -> None:
    made = Budgets()

    def book(url: str, origin: str, name: str) -> Ledger:
        return next(c.ledger for c in made.charges(LIMITS, url, origin) if c.limit.name == name)

    here, there = "https://api.example.com", "http://127.0.0.1:1"
    assert book(URL, here, "weight") is book("https://api.example.com/v1/all", here, "weight")
    assert book(URL, here, "weight") is not book(URL, there, "weight")
    assert book(URL, here, "per symbol") is book(URL, here, "per symbol")
    assert book(URL, here, "per symbol") is not book(URL.replace("BTC", "ETH"), here, "per symbol")


def test_every_rule_of_every_venue_says_where_it_stands() -> None:
    assert [limit.name for limit in RULES[:-1] if not limit.source] == []
    loaded = [registry.load(point) for point in registry.installed().values()]
    rules = [pause for one in loaded for pause in getattr(one, "pauses", ())]
    assert len(rules) >= len(loaded)
    assert [pause.words for pause in rules if not pause.source or pause.seconds <= 0] == []


ADDRESSES = {
    "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=5000": ("weight", 250),
    "https://api.binance.com/api/v3/ticker/24hr": ("weight", 80),
    "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000": ("weight", 20),
    "https://fapi.binance.com/futures/data/openInterestHist?symbol=BTCUSDT": ("data", 1),
    "https://fapi.binance.com/fapi/v1/fundingRate?symbol=BTCUSDT": ("funding", 1),
    "https://www.okx.com/api/v5/market/books?instId=BTC-USDT": ("/market/books$", 1),
    "https://www.okx.com/api/v5/public/mark-price?instType=SWAP": ("other", 1),
    "https://api.huobi.pro/market/depth?symbol=btcusdt": ("public", 1),
    "https://api.hbdm.vn/linear-swap-ex/market/depth?contract_code=BTC-USDT": ("market", 1),
    "https://api.hbdm.vn/linear-swap-api/v1/swap_contract_info": ("other", 1),
    "https://api.bybit.com/v5/market/orderbook?category=spot&symbol=BTCUSDT": ("public", 1),
    "https://api.kraken.com/0/public/Depth?pair=XXBTZUSD": ("depth", 1),
    "https://api.kraken.com/0/public/Ticker?pair=XXBTZUSD": ("public", 1),
    "https://futures.kraken.com/derivatives/api/v3/tickers": ("derivatives", 1),
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_each_request_has_one_budget_of_its_venue(url: str) -> None:
    """Names and weights by hand from the venues' documents."""
    costs = Budgets().costs(tuple(RULES), url)
    assert [(limit.name, cost) for limit, cost, _ in costs] == [ADDRESSES[url]]


# --- admission and pauses ---------------------------------------------------------------------------------------------


@in_virtual_time
async def test_what_was_taken_comes_back_however_the_request_ends() -> None:
    made = Budgets(time)
    taken = await made.admit(made.charges(LIMITS, URL, "o"), "o", "v")
    assert [charge.ledger.used for charge in taken] == [1, 1]
    made.settle(taken, {})
    await asyncio.sleep(back(60) + 1e-6)
    assert [charge.ledger.used for charge in taken] == [0, 0]
    again = await made.admit(made.charges(LIMITS, URL, "o"), "o", "v")
    made.settle(again, None)  # no answer: it may be on its way yet
    await asyncio.sleep(back(60) + 1e-6)
    assert [charge.ledger.used for charge in again] == [1, 0]


@in_virtual_time
async def test_who_may_not_have_all_takes_nothing() -> None:
    made = Budgets(time)
    charges = list(made.charges(LIMITS, URL, "o"))
    await charges[1].ledger.take(3, "v")
    with deadline.until(0.5), pytest.raises(RateLimited):
        await made.admit(charges, "o", "v")
    assert [charge.ledger.used for charge in charges] == [0, 3]


@in_virtual_time
async def test_a_door_that_closes_while_one_waits_costs_nothing() -> None:
    made = Budgets(time)
    charges = list(made.charges(LIMITS, URL, "o"))
    await charges[1].ledger.take(3, "v")
    charges[1].ledger.give_back(3)
    waiting = asyncio.create_task(made.admit(charges, "o", "v"))
    await asyncio.sleep(0.1)
    made.pause("o", 30, banned=True)
    with pytest.raises(Banned):
        await waiting
    assert charges[0].ledger.used == 0


@in_virtual_time
async def test_a_pause_ends_by_itself_and_the_longest_counts() -> None:
    made = Budgets(time)
    made.check_pause("o", "v")
    made.pause("o", 10)
    made.pause("o", 3)
    with pytest.raises(RateLimited, match="10 s are left") as caught:
        made.check_pause("o", "v")
    assert caught.value.retry_after == pytest.approx(10)
    assert not isinstance(caught.value, Banned)
    made.check_pause("another", "v")
    made.pause("o", 100, banned=True)
    with pytest.raises(Banned):
        made.check_pause("o", "v")
    await asyncio.sleep(99.9)
    with pytest.raises(Banned):
        made.check_pause("o", "v")
    await asyncio.sleep(0.2)
    made.check_pause("o", "v")


@in_virtual_time
async def test_a_pause_is_waited_for_by_who_said_that_there_is_time() -> None:
    made = Budgets(time)
    made.pause("o", 3)
    started = time()
    with pytest.raises(RateLimited):  # nobody said how long
        await made.admit([], "o", "v")
    with deadline.until(2.0), pytest.raises(RateLimited):
        await made.admit([], "o", "v")
    assert time() == started
    with deadline.until(10.0):
        await made.admit([], "o", "v")
    assert 3 <= time() - started <= 3.01


@pytest.mark.parametrize(
    ("words", "text", "seconds"),
    [
        ("50011", '{"code":"50011"}', 2.0),
        ("50011", '{"code":"50001"}', None),
        (r"banned until (?P<until>\d{13})", "IP banned until 1700000060000.", 60.0),
        (r"banned until (?P<until>\d{13})", "IP banned until 1600000000000.", 0.0),
        ("(50011|10006)", "10006", 2.0),
    ],
)
def test_a_body_says_how_long(words: str, text: str, seconds: float | None) -> None:
    assert Pause(words, 2.0).asked(text, 1_700_000_000_000) == seconds


async def test_two_managers_share_one_budget(lab: Lab, manager_for: ManagerFor) -> None:
    first, second = manager_for(lab, venues=("okx",)), manager_for(lab, venues=("okx",))
    await first.get_cross_exchange_ticker("BTCUSDT")
    used = {key: book.used for key, book in budgets.PROCESS._ledgers.items()}
    await second.get_cross_exchange_ticker("BTCUSDT")
    assert all(budgets.PROCESS._ledgers[key].used > before for key, before in used.items() if key[1] == "tickers")


async def test_okx_is_never_asked_faster_than_it_publishes(lab: Lab, manager_for: ManagerFor) -> None:
    """Twenty tickers in two seconds: the twenty-first question is told so within its own time."""
    xm = manager_for(lab, venues=("okx",))
    await xm.connect_all()
    symbols = [f"{base}{quote}" for base in ("BTC", "ETH", "SOL", "XRP", "DOGE", "LTC", "ADA") for quote in ("USDT",)]
    outcomes = list[Any]()
    for _ in range(5):  # one request each, since equal questions at one time are one request
        asked = (xm.get_cross_exchange_ticker(symbol, deadline=0.5) for symbol in symbols)
        outcomes += await asyncio.gather(*asked, return_exceptions=True)
    tickers = [seen for seen in lab.seen if seen.path_qs.startswith("/api/v5/market/ticker?")]
    assert len(tickers) == 20
    refused = [one for one in outcomes if isinstance(one, Exception)]
    assert len(refused) == 15
    for one in refused:
        assert str(one.dropped["okx"]) == "rate_limited"  # type: ignore[attr-defined]


async def test_the_caller_s_own_pace_is_kept(lab: Lab, manager_for: ManagerFor) -> None:
    """EXCHANGE_RATE_LIMIT: requests per second to any one venue."""
    xm = manager_for(lab, venues=("okx",), requests_per_second=100)
    await xm.connect_all()
    lab.seen.clear()
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(4):
        await xm.get_cross_exchange_ticker("BTCUSDT", deadline=2)
    # Eight requests, tickers and books, the first at once and the others a hundredth of a second apart.
    assert loop.time() - started >= 0.06
    assert len([seen for seen in lab.seen if "/market/" in seen.path_qs]) == 8
