"""Places: so many requests to one host at once, the others in order, and nothing is paid for what was never sent."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import virtual
from tests.lab import Lab
from tests.test_transport import route as real_route
from tests.upstream import PATH, URL, Said, Sent, after, in_turn, never, route, time, transport_to, until_true
from xex.access import transport as seam
from xex.access.budgets import Budgets, Limit
from xex.access.deadline import remaining, until
from xex.access.transport import Bulkhead, Response, Route, Transport
from xex.errors import Banned, CircuitOpen, ConnectorError, HttpError, Overloaded, RateLimited, TimedOut, Unreachable

FULL = bool(os.environ.get("XEX_FULL"))
PLACES, QUEUE = 3, 4
ORIGIN = "https://www.okx.com"


@pytest.fixture(autouse=True)
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the numbers such that they are easily reached."""
    monkeypatch.setattr(seam, "MOST_AT_ONCE", PLACES)
    monkeypatch.setattr(seam, "MOST_WAITING", QUEUE)


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test without waiting for anything."""

    def wrapped() -> None:
        virtual.run(test())  # type: ignore[arg-type]

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


def limited(weight: float = 100) -> dict[str, Any]:
    """Return a budget that is not in the way."""
    return {"limits": (Limit("all", "www.okx.com", weight, 600),)}


def used(transport: Transport) -> float:
    """Return what is taken from that budget."""
    (ledger,) = transport.budgets._ledgers.values()
    return ledger.used


def asking(transport: Transport, mine: Route, number: int, seconds: float | None = None) -> asyncio.Task[Response]:
    """Let somebody ask for something of its own."""

    async def ask() -> Response:
        with until(seconds):
            return await transport.send(mine, "GET", f"{URL}?n={number}")

    return asyncio.create_task(ask())


def number_of(sent: Sent) -> int:
    return int(sent.url.rpartition("=")[2])


def free(transport: Transport) -> int:
    """Return how many may go at once now; nobody may be waiting where there is room."""
    (bulkhead,) = transport._bulkheads.values()
    assert not (bulkhead._free and bulkhead._queue)
    return bulkhead._free


# --- who may go -------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_so_many_at_once_and_the_others_in_order() -> None:
    transport, venue = transport_to(after(1))
    mine, began = route(), time()
    tasks = [asking(transport, mine, number) for number in range(PLACES + QUEUE)]
    await asyncio.gather(*tasks)
    assert [number_of(one) for one in venue.sent] == list(range(PLACES + QUEUE))
    assert [one.at - began for one in venue.sent] == pytest.approx([0, 0, 0, 1, 1, 1, 2])
    assert free(transport) == PLACES


@in_virtual_time
async def test_a_full_queue_is_said_at_once() -> None:
    """Whoever waits already keeps its place."""
    transport, venue = transport_to(after(1))
    mine, began = route(**limited()), time()
    tasks = [asking(transport, mine, number) for number in range(PLACES + QUEUE)]
    await asyncio.sleep(0)
    for number in range(100, 105):
        with pytest.raises(Overloaded, match="3 requests are under way and 4 wait") as caught:
            await asking(transport, mine, number)
        assert caught.value.venue == "okx"
    assert time() == began
    await asyncio.gather(*tasks)
    assert len(venue.sent) == PLACES + QUEUE
    assert mine.state.error_count == 0, "it is nobody's failure but ours"
    assert used(transport) == PLACES + QUEUE
    assert (await asking(transport, mine, 7)).status == 200


@in_virtual_time
async def test_nobody_overtakes_who_waits() -> None:
    """Not in the moment either in which a place is free and nobody has taken it yet."""
    transport, venue = transport_to(after(1))
    mine = route()
    tasks = [asking(transport, mine, number) for number in range(2 * PLACES)]
    await asyncio.sleep(0.5)
    asyncio.get_running_loop().call_later(0.5, lambda: tasks.append(asking(transport, mine, 99)))
    await asyncio.sleep(0.6)
    await asyncio.gather(*tasks)
    assert [number_of(one) for one in venue.sent] == [*range(2 * PLACES), 99]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Said(), None),
        (Said(404), None),
        (Said(501), HttpError),
        (Said(429), RateLimited),
        (Said(body=b"<"), ConnectorError),
        (aiohttp.ServerDisconnectedError(), Unreachable),
        (TimeoutError(), TimedOut),
        (RuntimeError("a fault of ours"), RuntimeError),
        (None, TimedOut),
        (None, asyncio.CancelledError),
    ],
    ids=repr,
)
def test_a_place_is_free_again_however_it_ends(said: Any, error: type[BaseException] | None) -> None:
    async def play() -> None:
        transport, _ = transport_to(never if said is None else in_turn(said))
        mine = route(timeout_s=3.0)
        for _ in range(2):
            tasks = [asking(transport, mine, number, 60.0) for number in range(PLACES)]
            if error is asyncio.CancelledError:
                await asyncio.sleep(1)
                for task in tasks:
                    task.cancel()
            for one in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(one, error or Response), one
            await asyncio.sleep(0)
            assert free(transport) == PLACES
            assert mine.state.in_flight == 0

    virtual.run(play())


@in_virtual_time
async def test_who_waits_in_vain_is_told_and_costs_nothing() -> None:
    transport, venue = transport_to(never)
    mine, began = route(**limited()), time()
    hung = [asking(transport, mine, number) for number in range(PLACES)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="3 requests before it did not end in time"):
        await asking(transport, mine, 50, seconds=2)
    assert time() - began == pytest.approx(2)
    impatient = asking(transport, mine, 51)
    await asyncio.sleep(1)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await asyncio.sleep(0)
    assert used(transport) == PLACES == len(venue.sent)
    assert mine.state.error_count == 0
    for task in hung:
        task.cancel()
    await asyncio.gather(*hung, return_exceptions=True)
    await asyncio.sleep(0)
    assert free(transport) == PLACES


@pytest.mark.parametrize("signed", [False, True])
def test_a_place_that_comes_too_late_goes_to_the_next(signed: bool) -> None:
    async def play() -> None:
        transport, venue = transport_to(after(1))
        mine = route()

        async def ask(number: int, seconds: float | None) -> Response:
            with until(seconds):
                return await transport.send(mine, "GET", f"{URL}?n={number}", signed=signed)

        holding = [asyncio.create_task(ask(number, None)) for number in range(PLACES)]
        await asyncio.sleep(0)
        late, last = asyncio.create_task(ask(50, 0.5)), asyncio.create_task(ask(51, None))
        with pytest.raises(Overloaded):
            await late
        assert (await last).status == 200
        assert [number_of(one) for one in venue.sent] == [0, 1, 2, 51]
        await asyncio.gather(*holding)

    virtual.run(play())


@in_virtual_time
async def test_who_has_more_time_than_the_first_keeps_the_place_in_the_queue() -> None:
    """They ask the same: one gives up before there is a place, the other one has time for it."""
    transport, venue = transport_to(after(1))
    mine = route()
    holding = [asking(transport, mine, number) for number in range(PLACES)]
    await asyncio.sleep(0)
    hasty, calm, behind = (
        asking(transport, mine, 50, seconds=0.5), asking(transport, mine, 50, seconds=5), asking(transport, mine, 51),
    )  # fmt: skip
    with pytest.raises((Overloaded, TimedOut)):
        await hasty
    assert (await calm).status == 200
    await asyncio.gather(behind, *holding)
    assert [number_of(one) for one in venue.sent] == [0, 1, 2, 50, 51]


@settings(max_examples=5000 if FULL else 150, deadline=None, derandomize=not FULL, database=None)
@given(st.integers(1, 25), st.integers(0, 2**32))
def test_never_more_than_the_places_and_always_in_order(count: int, seed: int) -> None:
    """Whoever comes, stays, is cancelled or runs out of time, whenever; nobody waits beside a free place."""
    dice = random.Random(seed)

    async def play() -> None:
        bulkhead, inside, waiting = Bulkhead(), set[int](), list[int]()
        refused = 0

        async def live(me: int, at: float, stays: float, seconds: float | None) -> None:
            nonlocal refused
            await asyncio.sleep(at)
            room, full = len(inside) < PLACES and not waiting, len(waiting) >= QUEUE
            waiting.append(me)
            came = time()
            try:
                with until(seconds):
                    await bulkhead.enter("v")
            except Overloaded:
                waiting.remove(me)
                assert not room
                assert full or time() - came == pytest.approx(seconds)
                assert not full or time() == came
                refused += 1
                return
            except asyncio.CancelledError:
                waiting.remove(me)
                raise
            assert waiting[0] == me, "in order"
            waiting.remove(me)
            assert not full
            assert not room or time() == came
            inside.add(me)
            assert len(inside) <= PLACES
            try:
                await asyncio.sleep(stays)
            finally:
                inside.remove(me)
                bulkhead.leave()

        tasks = []
        for me in range(count):
            at, stays, seconds = dice.random() * 3, dice.random() * 2, dice.choice([None, dice.random()])
            task = asyncio.create_task(live(me, at, stays, seconds))
            if dice.random() < 0.3:
                asyncio.get_running_loop().call_later(at + dice.random(), task.cancel)
            tasks.append(task)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
        assert (bulkhead._free, len(bulkhead._queue)) == (PLACES, 0)

    virtual.run(play())


@in_virtual_time
async def test_a_place_that_is_given_to_one_who_just_left_goes_on() -> None:
    """Cancelled in the same moment: the place is not lost."""
    bulkhead = Bulkhead()
    for _ in range(PLACES):
        await bulkhead.enter("v")
    first, second = (asyncio.create_task(bulkhead.enter("v")) for _ in range(2))
    await asyncio.sleep(0)
    bulkhead.leave()
    first.cancel()
    await asyncio.wait((first, second))
    assert first.cancelled()
    assert second.result() is None
    for _ in range(PLACES):
        bulkhead.leave()
    assert bulkhead._free == PLACES


# --- one host and the others ------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_host_that_hangs_keeps_nobody_else_waiting() -> None:
    """Also not another host of the same venue."""

    async def answer(sent: Sent) -> Said:
        if "slow" in sent.url:
            await asyncio.Event().wait()
        await asyncio.sleep(0.1)
        return Said()

    transport, _ = transport_to(answer)
    mine, began = route(), time()
    hung = [
        asyncio.create_task(transport.send(mine, "GET", f"https://slow.okx.com/x?n={n}"))
        for n in range(PLACES + QUEUE + 2)
    ]
    await asyncio.sleep(0)
    answers = await asyncio.gather(*(asking(transport, mine, number) for number in range(PLACES)))
    assert [one.status for one in answers] == [200] * PLACES
    assert time() - began == pytest.approx(0.1)
    await transport.close()
    outcomes = await asyncio.gather(*hung, return_exceptions=True)
    assert {type(one) for one in outcomes} == {Unreachable, Overloaded}


async def test_so_it_is_on_sockets(lab: Lab) -> None:
    """One venue of two hangs, with more callers than it has places and more than may wait."""
    transport = Transport(budgets=Budgets())
    hanging, well = real_route(lab.url("okx"), timeout_s=30.0), real_route(lab.url("bybit"))
    lab.fault("okx", "hang")
    hung = [asking(transport, hanging, number) for number in range(PLACES + QUEUE + 5)]
    await until_true(lambda: sum(one.venue == "okx" for one in lab.seen) == PLACES)
    for number in range(5):
        answer = await transport.send(well, "GET", f"https://api.bybit.com/v5/market/time?n={number}")
        assert answer.status == 200
    assert sum(one.venue == "okx" for one in lab.seen) == PLACES
    assert sum(task.done() for task in hung) == 5
    await transport.close()
    await asyncio.gather(*hung, return_exceptions=True)


# --- what was never sent ----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_who_waits_for_a_place_is_not_sent_into_a_ban() -> None:
    """That would prolong it."""
    transport, venue = transport_to(after(1, Said(418, {"Retry-After": "60"})))
    mine = route(**limited())
    tasks = [asking(transport, mine, number) for number in range(PLACES + QUEUE)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in outcomes} == {Banned}
    assert len(venue.sent) == PLACES
    assert used(transport) == PLACES
    assert mine.state.error_count == PLACES
    assert free(transport) == PLACES


@in_virtual_time
async def test_who_waits_for_a_place_is_not_sent_to_an_endpoint_that_is_left_alone() -> None:
    """Where a host hangs, its breaker opens while others wait behind those that hang."""
    transport, venue = transport_to(never)
    mine = route(timeout_s=2.0, **limited())
    mine.state.breaker(PATH).least = PLACES
    tasks = [asking(transport, mine, number) for number in range(PLACES + QUEUE)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in outcomes] == [TimedOut] * PLACES + [CircuitOpen] * QUEUE
    assert len(venue.sent) == PLACES
    assert used(transport) == PLACES
    assert mine.state.error_count == PLACES
    assert free(transport) == PLACES


@in_virtual_time
async def test_a_probe_is_let_through_when_it_can_go() -> None:
    """Waiting for its turn takes nothing from the time in which a probe must report."""
    transport, venue = transport_to(after(1))
    mine = route(limits=(Limit("one", "www.okx.com", 1, 50),))
    await asking(transport, mine, 0)
    breaker = mine.state.breaker(PATH)
    while (permit := breaker.enter()) is not None:
        permit.failed()
    breaker.half_open()
    waiting = asking(transport, mine, 1)
    await asyncio.sleep(20)
    assert breaker.wait() == 0, "nobody is asked yet"
    assert (await waiting).status == 200
    assert breaker.state == "closed"
    assert len(venue.sent) == 2


@in_virtual_time
async def test_time_that_runs_out_before_sending_costs_nothing_and_proves_nothing() -> None:
    """Whoever listens to the budget took it all."""
    transport, venue = transport_to(after(1))
    mine = route(**limited(1))
    loop = asyncio.get_running_loop()
    assert isinstance(loop, virtual.VirtualLoop)
    mine.state.events.on("budget", lambda _: loop.advance(10))
    with until(5), pytest.raises(TimedOut, match="no time was left to ask"):
        await transport.send(mine, "GET", URL, signed=True)
    assert venue.sent == []
    assert used(transport) == 0
    assert mine.state.error_count == 0
    assert mine.state.breaker(PATH)._window.sum.total == 0
    assert free(transport) == PLACES


@in_virtual_time
async def test_an_endpoint_that_is_left_alone_takes_no_budget() -> None:
    transport, venue = transport_to(after(1))
    mine = route(**limited())
    await asking(transport, mine, 0)
    while (permit := mine.state.breaker(PATH).enter()) is not None:
        permit.failed()
    for number in range(1, 4):
        with pytest.raises(CircuitOpen):
            await asking(transport, mine, number)
    assert (used(transport), len(venue.sent)) == (1, 1)


@in_virtual_time
async def test_what_was_sent_is_paid_for_however_it_ends() -> None:
    transport, venue = transport_to(never)
    mine = route(timeout_s=1.0, **limited())
    gone = asking(transport, mine, 0)
    await asyncio.sleep(0.1)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    with pytest.raises(TimedOut):
        await asking(transport, mine, 1, seconds=0.5)
    with pytest.raises(TimedOut):
        await asking(transport, mine, 2)
    assert remaining() > 1e9
    assert used(transport) == len(venue.sent) == 3
