"""Retries: what is asked again, when at the earliest and at the latest, and how often in all."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import inf
from typing import Any

import aiohttp
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import RetryCallState

import xex.errors
from tests import virtual
from tests.lab import Lab
from tests.test_transport import route as real_route
from tests.upstream import PATH, URL, Said, Sent, after, in_turn, never, route, time, transport_to
from xex.access.budgets import Budgets
from xex.access.deadline import until
from xex.access.retry import Allowance, Wait, may_pass, retrying
from xex.access.transport import Transport
from xex.errors import (
    AmbiguousSymbol,
    AuthRejected,
    BadPayload,
    Banned,
    CircuitOpen,
    ConfigError,
    ConnectorError,
    HttpError,
    LoopError,
    Maintenance,
    MissingExtra,
    MissingRow,
    NotListed,
    NotRecorded,
    NoVenueAnswered,
    Overloaded,
    RateLimited,
    ReadOnlyError,
    RecordingError,
    Restricted,
    SchemaError,
    SymbolError,
    TimedOut,
    TooLarge,
    UnitError,
    UnknownFeature,
    UnknownSymbol,
    UnknownVenue,
    Unreachable,
    VenueRefused,
    XexError,
)
from xex.model import clock

PASSING = {408, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 530}
"""The statuses of a venue, or of what stands before it, that is busy or broken for the moment."""


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test without waiting for anything."""

    def wrapped() -> None:
        virtual.run(test())  # type: ignore[arg-type]

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


# --- what is asked again ----------------------------------------------------------------------------------------------

AGAIN: dict[type[BaseException], bool] = {
    XexError: False, ConfigError: False, SymbolError: False, UnknownSymbol: False, AmbiguousSymbol: False,
    UnknownVenue: False, UnknownFeature: False, SchemaError: False, ReadOnlyError: False, UnitError: False,
    LoopError: False, RecordingError: False, MissingExtra: False, NoVenueAnswered: False, ConnectorError: False,
    Unreachable: True, TimedOut: False, HttpError: False, RateLimited: False, Banned: False, CircuitOpen: False,
    Overloaded: False, Restricted: False, AuthRejected: False, Maintenance: False, VenueRefused: False,
    BadPayload: True, TooLarge: False, MissingRow: False, NotListed: False, NotRecorded: False,
}  # fmt: skip
"""Whether an error may pass by itself; an HTTP error only by its status."""
MADE: dict[type[BaseException], BaseException] = {
    UnknownVenue: UnknownVenue("x", ()), UnknownFeature: UnknownFeature("x", ()), MissingExtra: MissingExtra("x", "y"),
    NoVenueAnswered: NoVenueAnswered("x", {}),
}  # fmt: skip


def tree(root: type[BaseException]) -> set[type[BaseException]]:
    return {root}.union(*(tree(kind) for kind in root.__subclasses__() if kind.__module__ == xex.errors.__name__))


def test_every_error_is_in_the_table() -> None:
    assert set(AGAIN) == tree(XexError)


@pytest.mark.parametrize("kind", AGAIN, ids=lambda kind: kind.__name__)
def test_which_errors_may_pass(kind: type[BaseException]) -> None:
    assert may_pass(MADE.get(kind) or kind("x")) is AGAIN[kind]


@pytest.mark.parametrize(
    "error", [TimeoutError(), OSError(), KeyError(), asyncio.CancelledError(), KeyboardInterrupt()]
)
def test_what_is_not_ours_is_never_retried(error: BaseException) -> None:
    assert may_pass(error) is False


@in_virtual_time
async def test_every_status_is_asked_once_or_three_times() -> None:
    """All of them, through the seam: of 4xx only a request that took the venue too long."""
    tries: dict[int, int] = {}
    for status in range(300, 600):
        transport, venue = transport_to(in_turn(Said(status)))
        with suppress(ConnectorError):
            await transport.send(route(), "GET", URL)
        tries[status] = len(venue.sent)
    assert {status for status, count in tries.items() if count == 3} == PASSING
    assert {count for status, count in tries.items() if status not in PASSING} == {1}


@pytest.mark.parametrize(
    ("said", "error", "tries"),
    [
        (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), Unreachable, 3),
        (aiohttp.ServerDisconnectedError(), Unreachable, 3),
        (aiohttp.ClientPayloadError("cut"), BadPayload, 3),
        (OSError(errno.ENETUNREACH, "no network"), Unreachable, 3),
        (Said(body=b"<html>"), BadPayload, 3),
        (Said(body=b" "), BadPayload, 3),
        (TimeoutError(), TimedOut, 1),
        (ValueError("no address"), ConfigError, 1),
    ],
    ids=repr,
)
def test_what_breaks_below_is_asked_again_or_not(said: Any, error: type[XexError], tries: int) -> None:
    async def play() -> int:
        transport, venue = transport_to(in_turn(said))
        with pytest.raises(error):
            await transport.send(route(), "GET", URL)
        return len(venue.sent)

    assert virtual.run(play()) == tries


@pytest.mark.parametrize(
    ("method", "signed", "body", "tries"),
    [
        ("GET", False, None, 3),
        ("GET", True, None, 3),
        ("POST", False, None, 1),
        ("POST", True, "{}", 1),
        ("PUT", True, "{}", 1),
        ("PATCH", False, "{}", 1),
        ("DELETE", True, None, 1),
    ],
)
def test_only_what_changes_nothing_is_asked_again(method: str, signed: bool, body: str | None, tries: int) -> None:
    async def play(said: Any) -> int:
        transport, venue = transport_to(in_turn(said))
        with pytest.raises(ConnectorError):
            await transport.send(route(), method, URL, body=body, signed=signed)
        assert {one.method for one in venue.sent} == {method}
        return len(venue.sent)

    for said in (Said(503), Said(408), Said(body=b" "), aiohttp.ServerDisconnectedError()):
        assert virtual.run(play(said)) == tries, said


@in_virtual_time
async def test_nothing_is_asked_again_of_a_recording() -> None:
    transport, venue = transport_to(in_turn(Said(503)))
    with clock.recorded(lambda: 0, replayed=True), pytest.raises(HttpError):
        await transport.send(route(), "GET", URL)
    assert len(venue.sent) == 1


# --- when -------------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    asked=st.lists(st.sampled_from([None, 0.0, 0.02, 0.4, 1.0, 7.0]), min_size=3, max_size=3),
    seconds=st.sampled_from([0.001, 0.03, 0.3, 0.5, 1.5, 9.0, 60.0, inf]),
    takes=st.sampled_from([0.0, 0.01, 0.3]),
    signed=st.booleans(),
)
def test_never_before_it_was_asked_to_and_never_too_late(
    asked: list[float | None], seconds: float, takes: float, signed: bool
) -> None:
    """And where there is time for the longest wait there may be, it is asked again."""

    async def answer(sent: Sent) -> Said:
        await asyncio.sleep(takes)
        wait = asked[sent.number - 1]
        return Said(503, {} if wait is None else {"Retry-After": str(wait)})

    async def play() -> None:
        transport, venue = transport_to(answer)
        began = time()
        with until(None if seconds == inf else seconds), pytest.raises((HttpError, TimedOut)):
            await transport.send(route(), "GET", URL, signed=signed)
        at = [one.at - began for one in venue.sent]
        # Without a flight, what is under way ends when the venue answers: the limit is that of the whole question.
        ended = time() - began
        assert ended <= seconds + 1e-6 or (signed and ended <= at[-1] + takes + 1e-6)
        assert 1 <= len(at) <= 3
        assert all(moment < seconds for moment in at)
        for number in range(1, len(at)):
            gap = at[number] - at[number - 1] - takes
            assert gap >= (asked[number - 1] or 0.0) - 1e-6
            assert gap <= max(asked[number - 1] or 0.0, 0.05 * 2 ** (number - 1)) + 1e-6
        if len(at) < 3:
            longest = max(asked[len(at) - 1] or 0.0, 0.05 * 2 ** (len(at) - 1))
            assert at[-1] + takes + longest >= seconds - 1e-6, "there was time"

    virtual.run(play())


@pytest.mark.parametrize(("seconds", "tries"), [(60.0, 2), (30.0, 1), (None, 1)])
def test_a_date_is_waited_for_as_well(seconds: float | None, tries: int) -> None:
    """The wall clock stands still meanwhile; a date has whole seconds."""
    when = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=42)
    header = {"Retry-After": format_datetime(when, usegmt=True)}

    async def play() -> None:
        transport, venue = transport_to(in_turn(Said(503, header), Said()))
        with until(seconds), suppress(HttpError):
            await transport.send(route(), "GET", URL)
        at = [one.at for one in venue.sent]
        assert len(at) == tries
        if tries == 2:
            assert 40 < at[1] - at[0] <= 42

    virtual.run(play())


@pytest.mark.parametrize(("asked", "tries"), [("29", 2), ("31", 1), ("86400", 1)])
def test_without_a_deadline_nobody_waits_for_an_hour(asked: str, tries: int) -> None:
    """The list of instruments is read without one, and everybody waits for it."""

    async def play() -> None:
        transport, venue = transport_to(in_turn(Said(503, {"Retry-After": asked}), Said()))
        began = time()
        with suppress(HttpError):
            await transport.send(route(), "GET", URL)
        assert len(venue.sent) == tries
        assert time() - began == pytest.approx(29 if tries == 2 else 0)

    virtual.run(play())


@pytest.mark.parametrize("code", [429, 418])
def test_who_is_told_to_wait_is_not_asked_again_by_itself(code: int) -> None:
    async def play() -> None:
        transport, venue = transport_to(in_turn(Said(code, {"Retry-After": "0"}), Said()))
        with until(60), pytest.raises(RateLimited):
            await transport.send(route(), "GET", URL)
        assert len(venue.sent) == 1

    virtual.run(play())


def waits_of(attempt: int, count: int) -> list[float]:
    """Return what is waited after so many tries."""
    state = RetryCallState(retrying(Allowance(), lambda: False), None, (), {})
    state.attempt_number, state.outcome = attempt, None
    wait = Wait()
    return [wait(state) for _ in range(count)]


@pytest.mark.parametrize(
    ("attempt", "most"),
    [(1, 0.05), (2, 0.1), (3, 0.2), (4, 0.4), (5, 0.8), (6, 1.0), (7, 1.0), (12, 1.0), (40, 1.0)],
)
def test_waits_are_even_between_nothing_and_the_most(attempt: int, most: float) -> None:
    """AWS's full jitter: also the seventh wait differs from caller to caller."""
    random.seed(attempt)
    waits = waits_of(attempt, 4000)
    assert scipy.stats.kstest(waits, scipy.stats.uniform(0, most).cdf).pvalue > 0.01
    assert 0 <= min(waits) <= max(waits) <= most


@in_virtual_time
async def test_what_is_waited_in_truth_is_even_too() -> None:
    random.seed(11)
    gaps: tuple[list[float], list[float]] = ([], [])
    for _ in range(200):
        transport, venue = transport_to(in_turn(Said(503)))
        with pytest.raises(HttpError):
            await transport.send(route(), "GET", URL)
        at = [one.at for one in venue.sent]
        gaps[0].append(at[1] - at[0])
        gaps[1].append(at[2] - at[1])
    assert scipy.stats.kstest(gaps[0], scipy.stats.uniform(0, 0.05).cdf).pvalue > 0.01
    assert scipy.stats.kstest(gaps[1], scipy.stats.uniform(0, 0.1).cdf).pvalue > 0.01


# --- how often in all -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_second", [0.5, 5, 15])
def test_a_venue_that_only_fails_is_asked_hardly_more_often(
    per_second: float, caplog: pytest.LogCaptureFixture
) -> None:
    """For a minute, with no breaker in the way."""
    caplog.set_level(logging.ERROR, "xex.access")

    async def play() -> tuple[int, int]:
        transport, venue = transport_to(in_turn(Said(503)))
        mine = route()
        mine.state.breaker(PATH).least = 10**9

        async def ask(number: int) -> None:
            await asyncio.sleep(number / per_second)
            with pytest.raises(HttpError):
                await transport.send(mine, "GET", f"{URL}?n={number}")

        firsts = round(60 * per_second)
        await asyncio.gather(*map(ask, range(firsts)))
        return firsts, len(venue.sent)

    firsts, sent = virtual.run(play())
    assert sent <= 1.2 * firsts + 10 * 60
    assert sent <= 1.2 * firsts + 20 + 2 * 60.5
    assert sent >= min(3 * firsts, 1.2 * firsts + 2 * 60) - 1, "it may be asked as often as that"


class Hand:
    """A clock that is moved by hand."""

    now = 50.0

    def __call__(self) -> float:
        return self.now


def spent(allowance: Allowance) -> int:
    count = 0
    while allowance.spend():
        count += 1
    return count


def test_the_allowance_is_twenty_two_a_second_and_a_fifth() -> None:
    hand = Hand()
    allowance = Allowance(hand)
    assert spent(allowance) == 20
    hand.now += 3
    assert spent(allowance) == 6
    hand.now += 1000
    assert spent(allowance) == 20, "what was not used is not saved for ever"
    for _ in range(36):
        allowance.asked()
    assert spent(allowance) == 7
    for _ in range(5000):
        allowance.asked()
    assert spent(allowance) == 100
    hand.now += 0.5
    assert spent(allowance) == 1


@in_virtual_time
async def test_a_retry_that_is_not_allowed_raises_what_it_would_have_mended() -> None:
    transport, venue = transport_to(in_turn(Said(503, {"Retry-After": "0.125"})))
    mine = route()
    spent(mine.state.allowance)
    with pytest.raises(HttpError) as caught:
        await transport.send(mine, "GET", URL)
    assert (caught.value.status, caught.value.retry_after) == (503, 0.125)
    assert len(venue.sent) == 1


@in_virtual_time
async def test_of_two_failures_the_last_is_told() -> None:
    transport, venue = transport_to(in_turn(Said(503), Said(502)))
    mine = route()
    allowance = mine.state.allowance
    while allowance._given >= 2:
        allowance.spend()
    with pytest.raises(HttpError) as caught:
        await transport.send(mine, "GET", URL)
    assert (caught.value.status, len(venue.sent)) == (502, 2)


@in_virtual_time
async def test_what_is_not_made_is_not_paid_for() -> None:
    """Neither where time is short, nor where the endpoint is left alone, nor after the last try."""
    transport, _ = transport_to(in_turn(Said(503, {"Retry-After": "10"})))
    mine = route()
    for _ in range(5):
        with until(1), pytest.raises(HttpError):
            await transport.send(mine, "GET", URL)
    assert spent(mine.state.allowance) == 20 + 1

    transport, venue = transport_to(in_turn(Said(503)))
    mine = route()
    with pytest.raises(HttpError):
        await transport.send(mine, "GET", URL)
    assert len(venue.sent) == 3
    assert mine.state.allowance._given == pytest.approx(18, abs=0.5)


# --- and the breaker --------------------------------------------------------------------------------------------------


def fail(mine: Any, count: int = 10) -> None:
    """Let calls of others fail."""
    for _ in range(count):
        permit = mine.state.breaker(PATH).enter()
        assert permit is not None
        permit.failed()


@in_virtual_time
async def test_a_retry_that_meets_an_open_breaker_raises_the_first_error() -> None:
    """It opened while the caller waited for the second try."""
    transport, venue = transport_to(in_turn(Said(503, {"Retry-After": "0.5"}), Said()))
    mine = route()
    began = time()
    asyncio.get_running_loop().call_later(0.2, fail, mine)
    with pytest.raises(HttpError) as caught:
        await transport.send(mine, "GET", URL)
    assert (caught.value.status, caught.value.retry_after) == (503, 0.5)
    assert caught.value.__cause__ is None
    assert len(venue.sent) == 1
    assert time() - began == pytest.approx(0.5)


@in_virtual_time
async def test_no_retry_waits_for_an_endpoint_that_is_left_alone() -> None:
    """The failure itself is the tenth: nothing is waited for, and nothing paid."""
    transport, venue = transport_to(in_turn(Said(503)))
    mine = route()
    fail(mine, 9)
    began = time()
    with pytest.raises(HttpError):
        await transport.send(mine, "GET", URL)
    assert (len(venue.sent), time()) == (1, began)
    assert spent(mine.state.allowance) == 20
    with pytest.raises(CircuitOpen):
        await transport.send(mine, "GET", URL)
    assert len(venue.sent) == 1


# --- what is told -----------------------------------------------------------------------------------------------------

CANARY = "CANARYvalue"


@pytest.mark.parametrize(
    "said",
    [
        Said(503), Said(418), Said(429), Said(451), Said(301, {"Location": f"/{CANARY}"}), Said(body=b" "),
        aiohttp.ClientOSError(errno.ECONNRESET, f"to {CANARY}"), aiohttp.ClientPayloadError(f"apikey={CANARY}"),
        aiohttp.InvalidURL(f"http://x/?signature={CANARY}"), TimeoutError(CANARY),
    ],
    ids=lambda said: f"{type(said).__name__} {getattr(said, 'status', '')}",
)  # fmt: skip
def test_no_log_line_holds_what_was_asked(said: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def play(signed: bool) -> str:
        transport, _ = transport_to(in_turn(said))
        mine = route(secrets=(CANARY,))
        with until(5), pytest.raises(XexError) as caught:
            await transport.send(
                mine, "GET", f"{URL}?instId=ASKED-{CANARY}&apikey={CANARY}", {"X-Key": CANARY}, signed=signed
            )
        return str(caught.value)

    for signed in (False, True):
        assert CANARY not in virtual.run(play(signed))
    seen = [record for record in caplog.records if record.name.startswith("xex")]
    assert seen or isinstance(said, aiohttp.InvalidURL), "nothing was said at all"
    for record in caplog.records:
        whole = f"{record.getMessage()} {record.args} {record.exc_text} {record.exc_info}"
        assert CANARY not in whole
        assert "ASKED" not in whole


async def test_on_sockets_too_no_log_line_holds_what_was_asked(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = Transport(budgets=Budgets())
    for kind in ("reset", "close", "short", "html"):
        lab.fault("okx", kind, times=3)
        with until(2), pytest.raises(ConnectorError):
            await transport.send(real_route(lab.url("okx")), "GET", f"{URL}?instId={CANARY}", {"X-Key": CANARY})
    assert sum(CANARY in one.path_qs for one in lab.seen) == 12
    await transport.close()
    said = [record for record in caplog.records if record.name == "xex.access"]
    assert [record.args[3] for record in said] == [1, 2, 3] * 4  # type: ignore[index]
    assert not [record for record in caplog.records if CANARY in f"{record.getMessage()} {record.args}"]


@in_virtual_time
async def test_a_caller_that_gives_up_during_a_wait_asks_no_more() -> None:
    transport, venue = transport_to(in_turn(Said(503, {"Retry-After": "1"}), Said()))
    for signed in (False, True):
        task = asyncio.ensure_future(transport.send(route(), "GET", URL, signed=signed))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(5)
        assert len(venue.sent) == 1
        venue.sent.clear()


@in_virtual_time
async def test_a_hung_request_is_not_asked_again() -> None:
    """It took all the time there was."""
    transport, venue = transport_to(never)
    began = time()
    with pytest.raises(TimedOut):
        await transport.send(route(timeout_s=3.0), "GET", URL)
    assert len(venue.sent) == 1
    assert time() - began == pytest.approx(3)
    slow, seen = transport_to(after(2.5))
    await slow.send(route(timeout_s=3.0), "GET", URL)
    assert seen.ends == ["answered"]
