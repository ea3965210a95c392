"""One request for all who ask the same: who leaves takes it from nobody, and nobody gets what was not asked for."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import virtual
from tests.conftest import NO_KEYS, ManagerFor, configured
from tests.lab import Lab
from tests.test_transport import route as real_route
from tests.upstream import PATH, URL, Said, after, in_turn, never, route, time, transport_to, until_true
from xex.access.budgets import Budgets, Limit
from xex.access.deadline import patient_for, until
from xex.access.flights import Flights
from xex.access.transport import Response, Route, Transport, probing
from xex.errors import (
    BadPayload,
    ConfigError,
    HttpError,
    NotListed,
    NoVenueAnswered,
    RateLimited,
    Restricted,
    TimedOut,
    Unreachable,
)
from xex.manager import ExchangeManager
from xex.model import clock

FULL = bool(os.environ.get("XEX_FULL"))
HOST = "https://www.okx.com"


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test without waiting for anything, what is kept included."""

    def wrapped() -> None:
        virtual.run(test())  # type: ignore[arg-type]

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


def asking(transport: Transport, mine: Route, url: str = URL, seconds: float | None = None) -> asyncio.Task[Response]:
    """Let somebody ask, with a deadline or without."""

    async def ask() -> Response:
        with until(seconds):
            return await transport.send(mine, "GET", url)

    return asyncio.create_task(ask())


# --- one for all ------------------------------------------------------------------------------------------------------


async def test_a_thousand_who_ask_the_same_are_one_request(lab: Lab) -> None:
    transport, mine = Transport(budgets=Budgets()), real_route(lab.url("okx"))
    answers = await asyncio.gather(*(transport.send(mine, "GET", URL) for _ in range(1000)))
    await transport.close()
    assert len(lab.seen) == 1
    assert answers == [answers[0]] * 1000
    assert answers[0].status == 200
    assert (mine.state.success_count, mine.state.in_flight) == (1, 0)


async def test_a_thousand_questions_are_one_request_per_endpoint(lab: Lab, manager_for: ManagerFor) -> None:
    """The answers are a thousand: each with its own lists to change."""
    xm = manager_for(lab, venues=("okx",), deadline=30.0, **NO_KEYS)
    await xm.get_cross_exchange_ticker("BTCUSDT")  # with the instruments, and the clock
    lab.seen.clear()
    await xm.get_cross_exchange_ticker("BTCUSDT")
    once = Counter(seen.path_qs for seen in lab.seen)
    assert set(once.values()) == {1}
    lab.seen.clear()
    snaps = await asyncio.gather(*(xm.get_cross_exchange_ticker("BTCUSDT") for _ in range(1000)))
    assert Counter(seen.path_qs for seen in lab.seen) == once
    # To put a thousand answers together takes seconds, in which the quotes of the last ones may grow stale.
    assert {snap.columns["response_id"][0] for snap in snaps} == {snaps[0].columns["response_id"][0]}
    assert len({id(snap.columns) for snap in snaps}) == 1000


# --- who leaves -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Caller:
    """Somebody who asks: when, for what, and when it is cancelled or out of time, in ms (None: never)."""

    at: int
    key: str
    cancelled: int | None
    late: int | None

    @property
    def leaves(self) -> float:
        """When it leaves at the latest."""
        return min(inf if end is None else end for end in (self.cancelled, self.late))


TAKES = 301
"""How long the venue takes (ms). Last digits keep moments apart: answers come on 1, cancels on 3, limits on 9."""


def callers(count: int, dice: random.Random) -> list[Caller]:
    """Throw callers in the order of their coming."""
    found = []
    for at in sorted(10 * dice.randrange(dice.choice([1, 20, 60])) for _ in range(count)):
        cancelled, late = (
            dice.choice([None, at + 10 * dice.randrange(50) + digit]) for digit in (3, 9)
        )  # fmt: skip
        found.append(Caller(at, dice.choice("aab"), cancelled, late))
    return found


def expected(group: list[Caller]) -> tuple[dict[int, tuple[str, int]], list[str]]:
    """Say by the rules how each caller of one key fares, by place in the group, and how the requests end."""
    fares: dict[int, tuple[str, int]] = {}
    left = dict(enumerate(group))
    ends = []
    while left:
        begun = left[min(left)].at
        aboard: list[int] = []
        lands: float = begun + TAKES
        for place, caller in left.items():
            alive = max((left[one].leaves for one in aboard), default=inf)
            if caller.at < min(lands, alive):
                aboard.append(place)
        alive = max(left[one].leaves for one in aboard)
        ends.append("answered" if alive > lands else "cancelled")
        for place in aboard:
            caller = left.pop(place)
            if caller.leaves > lands:
                fares[place] = ("answer", int(lands))
            else:
                fares[place] = ("cancelled" if caller.leaves == caller.cancelled else "late", int(caller.leaves))
    return fares, ends


def test_the_judge_judges() -> None:
    """By hand: the first leaves, the second stays; a third begins anew after both are gone."""
    group = [
        Caller(0, "a", 13, None),
        Caller(0, "a", None, 499),
        Caller(310, "a", None, 319),
        Caller(320, "a", None, None),
    ]
    fares, ends = expected(group)
    assert fares == {0: ("cancelled", 13), 1: ("answer", 301), 2: ("late", 319), 3: ("answer", 621)}
    assert ends == ["answered", "cancelled", "answered"]


@settings(max_examples=5000 if FULL else 100, deadline=None, derandomize=not FULL, database=None)
@given(st.integers(1, 50), st.integers(0, 2**32))
def test_whoever_leaves_takes_it_from_nobody(count: int, seed: int) -> None:
    """Each gets the answer to its own question at the time it comes, or leaves at its own time."""
    drawn = callers(count, random.Random(seed))

    async def play() -> tuple[list[tuple[str, int]], dict[str, list[str]]]:
        transport, venue = transport_to(after(TAKES / 1e3))
        mine, began = route(), time()

        def now() -> int:
            return round(1e3 * (time() - began))

        async def ask(caller: Caller) -> tuple[str, int]:
            try:
                with until(None if caller.late is None else caller.late / 1e3 - (time() - began)):
                    answer = await transport.send(mine, "GET", f"{HOST}/{caller.key}")
            except TimedOut:
                return "late", now()
            except asyncio.CancelledError:
                return "cancelled", now()
            assert answer.path == f"/{caller.key}"
            return "answer", now()

        async def live(caller: Caller) -> tuple[str, int]:
            await asyncio.sleep(caller.at / 1e3)
            task = asyncio.create_task(ask(caller))
            if caller.cancelled is not None:
                asyncio.get_running_loop().call_later((caller.cancelled - caller.at) / 1e3, task.cancel)
            return await task

        fares = await asyncio.gather(*map(live, drawn))
        assert mine.state.in_flight == 0
        assert not transport._flights._flights
        assert not transport._flights._leaving
        return fares, {key: [one.end for one in venue.sent if one.url.endswith(key)] for key in "ab"}

    fares, ends = virtual.run(play())
    for key in "ab":
        places = [place for place, caller in enumerate(drawn) if caller.key == key]
        fares_of, ends_of = expected([drawn[place] for place in places])
        assert [fares[place] for place in places] == [fares_of[number] for number in range(len(places))]
        assert ends[key] == ends_of


async def test_the_last_one_to_leave_ends_the_request(lab: Lab) -> None:
    """On a socket: the next one is not left with what hung."""
    transport, mine = Transport(budgets=Budgets()), real_route(lab.url("okx"), timeout_s=30.0)
    fault = lab.fault("okx", "hang", times=1)
    tasks = [asking(transport, mine) for _ in range(3)]
    await until_true(lambda: fault.hits)
    for task in tasks[:2]:
        task.cancel()
    await asyncio.sleep(0.01)
    assert len(transport._flights._flights) == 1, "one still waits"
    tasks[2].cancel()
    fresh = asking(transport, mine)
    assert (await fresh).status == 200
    assert len(lab.seen) == 2
    assert [one.cancelled() for one in tasks] == [True] * 3
    assert mine.state.in_flight == 0
    await transport.close()


@in_virtual_time
async def test_nobody_joins_what_is_being_given_up() -> None:
    """Also in the very moment in which the last one leaves."""
    transport, venue = transport_to(after(1))
    mine = route()
    first = asking(transport, mine)
    await asyncio.sleep(0.5)
    first.cancel()
    second = asking(transport, mine)
    await asyncio.sleep(0)
    third = asking(transport, mine)
    assert (await second) is (await third)
    assert venue.ends == ["cancelled", "answered"]


@in_virtual_time
async def test_closing_ends_all_that_is_under_way() -> None:
    transport, venue = transport_to(never)
    tasks = [asking(transport, route(f"e{n % 2}")) for n in range(6)]
    await asyncio.sleep(1)
    await transport.close()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in outcomes} == {Unreachable}
    assert venue.ends == ["cancelled"] * 2


# --- failures ---------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_failure_is_shared_and_never_kept() -> None:
    transport, venue = transport_to(in_turn(Said(451), Said()), reuse_s=60)
    mine = route()
    outcomes = await asyncio.gather(*(asking(transport, mine) for _ in range(10)), return_exceptions=True)
    assert [type(one) for one in outcomes] == [Restricted] * 10
    assert len({id(one) for one in outcomes}) == 10
    assert len(venue.sent) == 1
    assert (await asking(transport, mine)).status == 200
    assert len(venue.sent) == 2


@pytest.mark.parametrize(
    "error",
    [
        BadPayload("x", venue="v", retry_after=3.0),
        HttpError("x", venue="v", status=503, retry_after=3.0),
        ConfigError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_each_caller_has_an_error_of_its_own_with_its_cause(error: Exception) -> None:
    cause = KeyError("why")

    async def fail() -> str:
        await asyncio.sleep(1)
        raise error from cause

    async def play() -> list[BaseException]:
        shared: Flights[str] = Flights()
        asked = [asyncio.create_task(shared.share("k", fail)) for _ in range(5)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, BaseException) for one in outcomes)
        return outcomes  # type: ignore[return-value]

    errors = virtual.run(play())
    assert len({id(one) for one in errors}) == 5
    assert error not in errors
    for one in errors:
        assert type(one) is type(error)
        assert (str(one), vars(one), one.__cause__) == ("x", vars(error), cause)
    depths = []
    for one in errors:
        trace, depth = one.__traceback__, 0
        while trace is not None:
            trace, depth = trace.tb_next, depth + 1
        depths.append(depth)
    assert len(set(depths)) == 1, "no error has grown by what others did with theirs"


@in_virtual_time
async def test_a_fault_of_the_program_goes_to_all() -> None:
    async def fail() -> str:
        await asyncio.sleep(1)
        raise AssertionError("a fault")

    shared: Flights[str] = Flights()
    outcomes = await asyncio.gather(*(shared.share("k", fail) for _ in range(3)), return_exceptions=True)
    assert [str(one) for one in outcomes] == ["a fault"] * 3


# --- whoever has more time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("short_first", [True, False])
def test_each_caller_has_its_own_deadline(short_first: bool) -> None:
    async def play() -> None:
        transport, venue = transport_to(after(1))
        mine, began = route(), time()
        order = [0.5, 5.0] if short_first else [5.0, 0.5]
        tasks = {seconds: asking(transport, mine, seconds=seconds) for seconds in order}
        with pytest.raises(TimedOut):
            await tasks[0.5]
        assert time() - began == pytest.approx(0.5)
        assert (await tasks[5.0]).status == 200
        assert time() - began == pytest.approx(1)
        assert venue.ends == ["answered"]

    virtual.run(play())


@in_virtual_time
async def test_who_has_longer_gets_the_tries_that_the_first_had_no_time_for() -> None:
    transport, venue = transport_to(in_turn(Said(503, {"Retry-After": "1"}), Said()))
    mine = route()
    hasty, calm = asking(transport, mine, seconds=0.3), asking(transport, mine, seconds=5)
    with pytest.raises(TimedOut):
        await hasty
    assert (await calm).status == 200
    assert len(venue.sent) == 2


def spent(seconds: float = 10.0) -> dict[str, Any]:
    """Return a budget of one request."""
    return {"limits": (Limit("one", "www.okx.com", 1, seconds),)}


async def hold(transport: Transport, mine: Route, patience: float | None, seconds: float | None) -> Response:
    with ExitStack() as bounds:
        bounds.enter_context(until(seconds))
        if patience is not None:
            bounds.enter_context(patient_for(patience))
        return await transport.send(mine, "GET", URL)


@pytest.mark.parametrize(
    ("hasty", "calm"),
    [
        ((1.0, None), (None, None)),
        ((1.0, 60.0), (20.0, 60.0)),
        ((None, 1.0), (None, 60.0)),
        ((1.0, None), (None, 60.0)),
    ],
)
def test_who_is_more_patient_gets_its_turn(hasty: Any, calm: Any) -> None:
    """The first gives up at once, since its turn comes too late; who asked with it waits for its own."""

    async def play() -> None:
        transport, venue = transport_to(after(0.1))
        mine, began = route(**spent()), time()
        await transport.send(mine, "GET", f"{HOST}/other")
        tasks = [asyncio.create_task(hold(transport, mine, *limits)) for limits in (hasty, calm, calm)]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(outcomes[0], (RateLimited, TimedOut)), outcomes[0]
        assert outcomes[1] is outcomes[2]
        assert isinstance(outcomes[1], Response)
        assert len(venue.sent) == 2
        assert 10 < time() - began < 10.5

    virtual.run(play())


@in_virtual_time
async def test_who_is_as_patient_hears_the_same() -> None:
    """Nobody waits twice for what the first has found to be too long."""
    transport, venue = transport_to(after(0.1))
    mine = route(**spent())
    await transport.send(mine, "GET", f"{HOST}/other")
    began = time()
    tasks = [asyncio.create_task(hold(transport, mine, 1.0, None)) for _ in range(4)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in outcomes} == {RateLimited}
    assert (time(), len(venue.sent)) == (began, 1)


@pytest.mark.parametrize("where", ["between tries", "at a closed door", "at the caller's own pace"])
def test_time_that_ends_while_nothing_is_under_way_is_told_as_that(where: str) -> None:
    """A more patient one had joined and left: the wait was meant for it. No connection was closed."""

    async def play() -> None:
        pace = 0.1 if where == "at the caller's own pace" else None
        transport, venue = transport_to(in_turn(Said(503, {"Retry-After": "1"}), Said()), requests_per_second=pace)
        mine = route()
        if where == "at a closed door":
            transport.budgets.pause("https://www.okx.com", 1.0)
        if pace:
            await transport._pace(mine)
        gone, left = asking(transport, mine, seconds=5), asking(transport, mine, seconds=0.3)
        await asyncio.sleep(0.2)
        gone.cancel()
        with pytest.raises(TimedOut, match=r"no answer within 0\.3 s"):
            await left
        assert len(venue.sent) == (where == "between tries")
        assert mine.state.in_flight == 0

    virtual.run(play())


# --- who asks for something else --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"url": f"{URL}?n=1"},
        {"exchange": "yours"},
        {"base_url": "http://127.0.0.1:1"},
        {"signed": True},
        {"method": "POST"},
        {"body": "{}"},
        {"probing": True},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_is_not_the_same_is_not_shared(other: dict[str, Any]) -> None:
    async def ask(transport: Transport, mine: Route, given: dict[str, Any]) -> Response:
        with ExitStack() as stack:
            if given.get("probing"):
                stack.enter_context(probing())
            return await transport.send(
                mine, given.get("method", "GET"), given.get("url", URL), body=given.get("body"),
                signed=given.get("signed", False),
            )  # fmt: skip

    async def play() -> list[Response]:
        transport, venue = transport_to(after(1))
        own = {name: value for name, value in other.items() if name == "base_url"}
        mine, theirs = route(), route(other.get("exchange", "mine"), **own)
        answers = await asyncio.gather(
            *(ask(transport, mine, {}) for _ in range(2)), ask(transport, theirs, other),
        )  # fmt: skip
        assert answers[0] is answers[1]
        assert len(venue.sent) == 2
        return answers

    answers = virtual.run(play())
    assert answers[2].id != answers[0].id


@in_virtual_time
async def test_two_signed_requests_are_two() -> None:
    """What they say may depend on whose key it is."""
    transport, venue = transport_to(after(1), reuse_s=60)
    mine = route()
    for _ in range(2):
        await asyncio.gather(*(transport.send(mine, "GET", URL, signed=True) for _ in range(3)))
    assert len(venue.sent) == 6


@in_virtual_time
async def test_a_recording_has_answers_of_its_own() -> None:
    """It begins and ends with empty hands: neither what is under way nor what is kept goes in or comes out."""
    transport, venue = transport_to(after(1), reuse_s=60)
    mine = route()
    before = asking(transport, mine)
    await asyncio.sleep(0.5)
    with clock.recorded(lambda: 0, replayed=False):
        within = await asking(transport, mine)
        assert within is await asking(transport, mine)
    behind = await asking(transport, mine)
    assert len({(await before).id, within.id, behind.id}) == 3
    assert len(venue.sent) == 3


# --- what is kept a while ---------------------------------------------------------------------------------------------


@in_virtual_time
async def test_an_answer_is_given_again_as_it_came() -> None:
    """Its times are those of the venue's answer: it does not grow young again."""
    transport, venue = transport_to(after(0.5), reuse_s=2)
    mine = route()
    first = await asking(transport, mine)
    await asyncio.sleep(1.99)
    assert await asking(transport, mine) is first
    assert len(venue.sent) == 1
    await asyncio.sleep(0.02)
    second = await asking(transport, mine)
    assert second.id != first.id
    assert len(venue.sent) == 2
    assert mine.state.success_count == 2, "what is given again says nothing about the venue"


@in_virtual_time
async def test_nothing_is_kept_unless_that_was_asked_for() -> None:
    transport, venue = transport_to(after(0.5))
    mine = route()
    for _ in range(3):
        await asking(transport, mine)
    assert len(venue.sent) == 3


@in_virtual_time
async def test_under_load_what_runs_out_is_asked_for_once() -> None:
    """100 callers a second for ten seconds, an answer of 0.3 s that holds for 1 s: one request each 1.3 s."""
    transport, venue = transport_to(after(0.3), reuse_s=1)
    mine = route()

    async def ask(number: int) -> None:
        await asyncio.sleep(number / 100)
        await transport.send(mine, "GET", URL)

    await asyncio.gather(*map(ask, range(1000)))
    at = [one.at - venue.sent[0].at for one in venue.sent]
    assert at == pytest.approx([1.3 * n for n in range(8)], abs=0.011 * 8)


@pytest.mark.parametrize("said", [Said(404), Said(400, body=b'{"code": "51001"}'), Said(403, body=b'{"code": "1"}')])
def test_a_refusal_is_not_kept(said: Said) -> None:
    async def play() -> None:
        transport, venue = transport_to(in_turn(said, Said()), reuse_s=60)
        mine = route()
        assert [(await asking(transport, mine)).status for _ in range(3)] == [said.status, 200, 200]
        assert len(venue.sent) == 2

    virtual.run(play())


@pytest.fixture
async def reusing(lab: Lab) -> Any:
    """Give a manager of one venue that gives answers again for a minute."""
    manager = ExchangeManager(cache=False, deadline=5.0, reuse_s=60.0)
    assert manager.add_exchange(configured(lab, "okx"))
    yield manager
    await manager.disconnect_all()


async def test_quotes_that_are_given_again_grow_old(lab: Lab, reusing: ExchangeManager) -> None:
    await reusing.get_cross_exchange_ticker("BTCUSDT")  # before it knows the instruments it asks for the whole market
    first = await reusing.get_cross_exchange_ticker("BTCUSDT")
    lab.seen.clear()
    await asyncio.sleep(0.05)
    second = await reusing.get_cross_exchange_ticker("BTCUSDT")
    assert lab.seen == []
    one, two = (snap.exchanges_data["okx"] for snap in (first, second))
    assert two["timestamp"] == one["timestamp"]
    assert two["price"] == one["price"]
    assert two["age_ms"] >= one["age_ms"] + 50


@pytest.mark.parametrize("kind", ["venue_error", "no_rows", "missing_key", "html", "status"])
async def test_a_body_that_turns_out_to_be_none_is_not_kept(kind: str, lab: Lab, reusing: ExchangeManager) -> None:
    await reusing.connect_all()
    lab.fault("okx", kind, path="/api/v5/market/ticker", **({"code": 451} if kind == "status" else {}))
    with suppress(Exception):
        await reusing.get_cross_exchange_ticker("BTCUSDT")
    lab.heal()
    snap = await reusing.get_cross_exchange_ticker("BTCUSDT")
    assert snap.dropped == {}
    assert snap.aggregated_price > 0


# --- lists of instruments ---------------------------------------------------------------------------------------------


def lists_asked(lab: Lab) -> Counter[str]:
    return Counter(seen.path_qs for seen in lab.seen if "instruments" in seen.path_qs)


@pytest.mark.parametrize("leavers", [(0,), (4,), (0, 1, 2, 3), (1, 3), (0, 1, 2, 3, 4)])
async def test_a_list_of_instruments_outlives_who_asked_for_it(
    leavers: tuple[int, ...], lab: Lab, manager_for: ManagerFor
) -> None:
    """And is read once, whoever of five leaves; where all do, for the next one."""
    xm = manager_for(lab, venues=("okx",))
    lab.latency["okx", "/api/v5/public/instruments"] = 0.04
    tasks = [asyncio.create_task(xm.get_cross_exchange_ticker("BTCUSDT")) for _ in range(5)]
    await until_true(lambda: lists_asked(lab))
    for place in leavers:
        tasks[place].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in outcomes] == [place in leavers for place in range(5)]
    for snap in outcomes:
        assert isinstance(snap, asyncio.CancelledError) or snap.dropped == {}  # type: ignore[union-attr]
    snap = await xm.get_cross_exchange_ticker("BTCUSDT")
    assert snap.answered == ["okx"]
    assert set(lists_asked(lab).values()) == {1}


async def test_connecting_that_is_given_up_leaves_its_lists_behind(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("okx",))
    lab.latency["okx", "/api/v5/public/instruments"] = 0.04
    connecting = asyncio.create_task(xm.connect_all())
    await until_true(lambda: lists_asked(lab))
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert await xm.connect_all() == {"okx": True}
    assert set(lists_asked(lab).values()) == {1}


async def test_a_list_outlives_the_deadline_of_who_asked_for_it(lab: Lab, manager_for: ManagerFor) -> None:
    """It takes longer than the first has; the second finds it under way."""
    xm = manager_for(lab, venues=("okx",))
    lab.latency["okx", "/api/v5/public/instruments"] = 0.12
    with pytest.raises(NoVenueAnswered):
        await xm.get_cross_exchange_ticker("BTCUSDT", deadline=0.06)
    assert (await xm.get_cross_exchange_ticker("BTCUSDT")).answered == ["okx"]
    assert set(lists_asked(lab).values()) == {1}


# --- whose failure it is ----------------------------------------------------------------------------------------------


def counted(mine: Route) -> tuple[int, int, int]:
    """Return successes, failures, and failures that the breaker knows of."""
    return mine.state.success_count, mine.state.error_count, mine.state.breaker(PATH)._window.sum.failed


@pytest.mark.parametrize("callers", [1, 5])
def test_a_deadline_that_ends_a_hung_request_is_the_venue_s_failure(callers: int) -> None:
    """Once, however many waited for it."""

    async def play() -> None:
        transport, venue = transport_to(never)
        mine = route()
        tasks = [asking(transport, mine, seconds=1 + n / 10) for n in range(callers)]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in outcomes] == [TimedOut] * callers
        assert counted(mine) == (0, 1, 1)
        assert mine.state.last_error is not None
        assert mine.state.last_error.startswith("timeout: no answer within")
        assert venue.ends == ["cancelled"]

    virtual.run(play())


@pytest.mark.parametrize("seconds", [None, 5.0])
def test_a_caller_that_changes_its_mind_is_nobody_s_failure(seconds: float | None) -> None:
    async def play() -> None:
        transport, venue = transport_to(never)
        mine = route()
        tasks = [asking(transport, mine, seconds=seconds) for _ in range(3)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        assert all(task.cancelled() for task in tasks)
        assert counted(mine) == (0, 0, 0)
        assert mine.state.status == "unknown"
        assert venue.ends == ["cancelled"]

    virtual.run(play())


@in_virtual_time
async def test_who_is_cancelled_for_its_deadline_is_late() -> None:
    """An `asyncio.timeout` of the same time around it may be a breath earlier."""
    transport, venue = transport_to(never)
    mine = route()
    task = asking(transport, mine, seconds=1.0)
    asyncio.get_running_loop().call_later(0.999, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert counted(mine) == (0, 1, 1)
    assert venue.ends == ["cancelled"]


@in_virtual_time
async def test_a_refusal_is_no_failure_of_the_venue() -> None:
    for status in (400, 401, 404, 409, 422, 425):
        transport, _ = transport_to(in_turn(Said(status, body=b'{"code": "1"}')))
        mine = route()
        for number in range(15):
            await transport.send(mine, "GET", f"{URL}?n={number}")
        assert counted(mine) == (15, 0, 0), status
        assert mine.state.breaker(PATH)._window.sum.total == 15, "an answer counts for the breaker"
    mine.state.failed(NotListed("x"))
    assert counted(mine) == (15, 0, 0)


@in_virtual_time
async def test_being_refused_for_the_place_opens_no_breaker() -> None:
    """It is an answer: the endpoint works."""
    transport, _ = transport_to(in_turn(Said(451)))
    mine = route()
    for number in range(15):
        with pytest.raises(Restricted):
            await transport.send(mine, "GET", f"{URL}?n={number}")
    assert counted(mine) == (0, 15, 0)


async def test_a_hung_venue_is_known_as_one_that_hangs(lab: Lab, manager_for: ManagerFor) -> None:
    """Through the manager, whose own limits end at the same moment."""
    xm = manager_for(lab, venues=("okx", "bybit"), **NO_KEYS)
    await xm.get_cross_exchange_ticker("BTCUSDT")
    lab.fault("okx", "hang")
    snap = await xm.get_cross_exchange_ticker("BTCUSDT", deadline=0.2)
    assert snap.answered == ["bybit"]
    await asyncio.sleep(0.01)
    state = xm.exchange_info["okx"]
    assert state.errors["timeout"] >= 1
    assert set(state.errors) == {"timeout"}
    assert state.status in {"degraded", "down"}
    assert xm.exchange_info["bybit"].error_count == 0
    assert state.in_flight == 0
