"""The seam: what is retried, how long, what counts as an answer, and what of a request goes out."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.conftest import Guard, ManagerFor, Tidy
from tests.lab import Lab
from xex.access import budgets
from xex.access.budgets import Budgets, Limit
from xex.access.deadline import remaining, until
from xex.access.state import VenueState
from xex.access.transport import Route, Transport, _retry_after, _through, check_body
from xex.config import ExchangeConfig
from xex.errors import (
    BadPayload,
    Banned,
    ConnectorError,
    HttpError,
    NoVenueAnswered,
    RateLimited,
    Restricted,
    TimedOut,
    Unreachable,
)
from xex.manager import ExchangeManager

URL = "https://www.okx.com/api/v5/public/time"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def route(base_url: str | None, **more: Any) -> Route:
    return Route("mine", "okx", VenueState("mine", "okx"), **{"timeout_s": 0.5, "base_url": base_url, **more})


@pytest.fixture
async def transport(tidy: Tidy) -> AsyncIterator[Transport]:  # noqa: ARG001  closed before the loop is judged
    made = Transport(budgets=Budgets())
    yield made
    await made.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[str]:
    """Serve raw bytes on this machine; gives the address."""
    done: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        done.add(task)
        try:
            await talk(reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in done:
            task.cancel()
        await asyncio.gather(*done, return_exceptions=True)


def saying(*parts: bytes) -> Talk:
    """Return a talk that reads the request and sends these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()

    return talk


# --- retries --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "attempts"),
    [
        ("status", {"code": 500}, HttpError, 3),
        ("status", {"code": 503}, HttpError, 3),
        ("status", {"code": 408}, HttpError, 3),
        ("status", {"code": 301}, HttpError, 1),
        ("status", {"code": 403}, Restricted, 1),
        ("status", {"code": 451}, Restricted, 1),
        ("rate_limited", {"status": 429}, RateLimited, 1),
        ("status", {"code": 418}, Banned, 1),
        ("html", {}, BadPayload, 3),
        ("empty", {}, BadPayload, 3),
        ("scalar", {}, BadPayload, 3),
        ("truncated", {}, BadPayload, 3),
        ("reset", {}, Unreachable, 3),
        ("close", {}, Unreachable, 3),
        ("hang", {}, TimedOut, 1),
        ("redirect", {}, HttpError, 1),
    ],
)
async def test_what_may_pass_is_asked_again_and_nothing_else(
    kind: str, arguments: dict[str, Any], error: type[ConnectorError], attempts: int, lab: Lab, transport: Transport
) -> None:
    fault = lab.fault("okx", kind, **arguments)
    with until(1.5), pytest.raises(error) as caught:
        await transport.send(route(lab.url("okx"), timeout_s=0.2), "GET", URL)
    assert fault.hits == attempts
    assert caught.value.venue == "okx"


@pytest.mark.parametrize("code", [400, 401, 404, 405, 410, 422])
async def test_a_refusal_is_an_answer_for_who_can_read_it(code: int, lab: Lab, transport: Transport) -> None:
    fault = lab.fault("okx", "status", code=code, body='{"code": "50011"}')
    answer = await transport.send(route(lab.url("okx")), "GET", URL)
    assert (answer.status, answer.body) == (code, b'{"code": "50011"}')
    assert fault.hits == 1


async def test_only_what_changes_nothing_is_sent_twice(lab: Lab, transport: Transport) -> None:
    fault = lab.fault("okx", "status", code=500)
    with pytest.raises(HttpError):
        await transport.send(route(lab.url("okx")), "POST", URL, body="{}")
    assert fault.hits == 1


async def test_retries_end_with_the_caller_s_time(lab: Lab, transport: Transport) -> None:
    lab.fault("okx", "status", code=500)
    started = time.perf_counter()
    with until(0.02), pytest.raises(ConnectorError):
        await transport.send(route(lab.url("okx")), "GET", URL)
    assert time.perf_counter() - started < 0.1


async def test_retry_after_of_a_busy_server_is_heard(lab: Lab, transport: Transport) -> None:
    """503 with "come back in 30 seconds" is not asked again after 30 milliseconds."""
    fault = lab.fault("okx", "status", code=503, retry_after=30)
    with until(0.5), pytest.raises(HttpError):
        await transport.send(route(lab.url("okx")), "GET", URL)
    assert fault.hits == 1


async def test_no_time_left_is_said_without_asking(lab: Lab, transport: Transport) -> None:
    with until(0.0), pytest.raises(TimedOut, match="no time was left"):
        await transport.send(route(lab.url("okx")), "GET", URL)
    assert lab.seen == []
    assert remaining() == math.inf


async def test_a_request_never_outlives_the_question(lab: Lab, transport: Transport) -> None:
    lab.fault("okx", "hang")
    started = time.perf_counter()
    with until(0.1), pytest.raises(TimedOut, match="no answer within 0"):
        await transport.send(route(lab.url("okx"), timeout_s=30), "GET", URL)
    assert time.perf_counter() - started < 0.2


# --- limits told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "error"), [(429, RateLimited), (418, Banned)])
async def test_told_to_wait_it_waits_as_long_as_told(
    code: int, error: type[RateLimited], lab: Lab, transport: Transport
) -> None:
    lab.fault("okx", "status", code=code, retry_after=7)
    with pytest.raises(error) as caught:
        await transport.send(route(lab.url("okx")), "GET", URL)
    assert caught.value.retry_after == 7
    lab.heal()
    lab.seen.clear()
    with pytest.raises(error) as again:
        await transport.send(route(lab.url("okx")), "GET", URL)
    assert again.value.retry_after == pytest.approx(7, abs=0.5)
    assert lab.seen == []


async def test_retry_after_may_be_a_date(lab: Lab, transport: Transport) -> None:
    lab.fault("okx", "status", code=429, retry_after=datetime.now(UTC) + timedelta(seconds=40))
    with pytest.raises(RateLimited) as caught:
        await transport.send(route(lab.url("okx")), "GET", URL)
    assert caught.value.retry_after == pytest.approx(40, abs=2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("3", 3), ("2.5", 2.5), ("-5", 0), ("", 9), (None, 9), ("soon", 9), ("Wed, 99 Foo 2026", 9)],
)
def test_retry_after_is_read(text: str | None, seconds: float) -> None:
    assert _retry_after(text, 9) == seconds


@pytest.mark.parametrize("text", ["inf", "nan", "1e308", "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "1_0", "٣"])
def test_retry_after_cannot_silence_a_venue_for_ever(text: str) -> None:
    """The longest ban that a venue publishes is three days."""
    assert 0 <= _retry_after(text, 9) <= 3 * 86_400


def test_retry_after_of_the_past_is_now() -> None:
    assert _retry_after(format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True), 9) == 0


async def test_who_waits_for_its_turn_hears_that_the_door_was_closed(lab: Lab, transport: Transport) -> None:
    """Requests queued for the budget when a ban arrives are not sent into the ban: that would prolong it."""
    mine = route(lab.url("okx"), limits=(Limit("one", "www.okx.com", 1, 0.05),))
    fault = lab.fault("okx", "status", code=418, retry_after=60)
    outcomes = await asyncio.gather(*(transport.send(mine, "GET", URL) for _ in range(4)), return_exceptions=True)
    assert all(isinstance(one, Banned) for one in outcomes)
    assert fault.hits == 1


async def test_pauses_and_budgets_of_one_process_are_shared(lab: Lab, manager_for: ManagerFor) -> None:
    first, second = manager_for(lab, venues=("okx",)), manager_for(lab, venues=("okx",))
    assert first._transport.budgets is second._transport.budgets is budgets.PROCESS


# --- what is an answer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"{}", b"[]", b' {"a": 1}\n', b"[1]\r\n", b'{"a": "<"}', b"\n\n[]"])
def test_bodies_that_may_be_whole(body: bytes) -> None:
    check_body(body, "v")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"<html></html>", "HTML"),
        (b"  <!DOCTYPE html>", "HTML"),
        (b"null", "neither"),
        (b"17", "neither"),
        (b'"text"', "neither"),
        (b"error code: 1020", "neither"),
        (b'{"a": 1', "breaks off"),
        (b"[1, 2", "breaks off"),
        (b'{"a": [1, 2]', "breaks off"),
        (b"[{}", "breaks off"),
        (b"{]", "breaks off"),
        (b"\x1f\x8b\x08", "neither"),
    ],
)
def test_bodies_that_are_no_answer(body: bytes, words: str) -> None:
    with pytest.raises(BadPayload, match=words) as caught:
        check_body(body, "v")
    assert caught.value.venue == "v"


PAGE = json.dumps([hashlib.sha256(bytes([n])).hexdigest() for n in range(100)]).encode()
BROKEN: dict[str, tuple[tuple[bytes, ...], set[type[ConnectorError]]]] = {
    "garbage": ((b"HELLO THERE\r\n\r\n",), {BadPayload, Unreachable}),
    "binary": ((bytes(range(256)) * 8,), {BadPayload, Unreachable}),
    "endless header": ((HEAD + b"X-Long: " + b"a" * 100_000 + b"\r\n\r\n{}",), {BadPayload, Unreachable}),
    "half a header": ((b"HTTP/1.1 200 O",), {BadPayload, Unreachable}),
    "bad chunk": ((HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",), {BadPayload, Unreachable}),
    "cut chunk": ((HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{",), {BadPayload, Unreachable}),
    "not gzip": ((HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",), {BadPayload}),
    "cut gzip": (
        (HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(PAGE)[: len(PAGE) // 4],),
        {BadPayload},
    ),
    "two lengths": ((HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",), {BadPayload, Unreachable}),
    "negative length": ((HEAD + b"Content-Length: -1\r\n\r\n{}",), {BadPayload, Unreachable}),
    "nothing": ((), {Unreachable}),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_http_is_a_named_failure(name: str, transport: Transport) -> None:
    parts, errors = BROKEN[name]
    async with serving(saying(*parts)) as address:
        with until(1.0), pytest.raises(ConnectorError) as caught:
            await transport.send(route(address), "GET", URL)
        await transport.close()
    assert type(caught.value) in errors, repr(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert len(str(caught.value)) < 500


async def test_a_body_without_end_is_cut_by_time(transport: Transport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(talk) as address:
        started = time.perf_counter()
        with pytest.raises(TimedOut):
            await transport.send(route(address, timeout_s=0.15), "GET", URL)
        assert time.perf_counter() - started < 0.4
        await transport.close()


async def test_nobody_listens(transport: Transport) -> None:
    async with serving(saying()) as address:
        pass  # gone again
    started = time.perf_counter()
    with pytest.raises(Unreachable, match=r"(?i)refused") as caught:
        await transport.send(route(address), "GET", URL)
    assert caught.value.how == "refused"
    assert "127.0.0.1" not in str(caught.value)
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (None, "http://www.okx.com/api?apikey=CANARY"),
        (None, "ws://127.0.0.1/api"),
        (None, "www.okx.com/api"),
        ("http://gateway.example", URL),
    ],
)
async def test_what_others_could_read_along_is_not_asked(transport: Transport, base: str | None, url: str) -> None:
    """The configuration refuses such a gateway already; a client's own options might name such a host."""
    mine = route(base)
    with pytest.raises(Unreachable, match=r"not asked: .*https") as caught:
        await transport.send(mine, "GET", url)
    assert caught.value.how == "plain"
    assert "CANARY" not in str(caught.value)
    assert mine.state.error_count == 0


@pytest.mark.parametrize("named", ["localhost", "127.0.0.1"])
async def test_this_machine_may_be_asked_plainly(lab: Lab, transport: Transport, named: str) -> None:
    address = lab.url("okx").replace("127.0.0.1", named)
    assert (await transport.send(route(address), "GET", URL)).status == 200


async def test_tls_to_a_plain_port_is_unreachable(lab: Lab, transport: Transport) -> None:
    with until(1.0), pytest.raises((Unreachable, TimedOut)) as caught:
        await transport.send(route(lab.url("okx").replace("http://", "https://")), "GET", URL)
    assert "127.0.0.1" not in str(caught.value)


async def test_a_name_that_does_not_resolve_is_unreachable(transport: Transport, guard: Guard) -> None:
    with until(1.0), pytest.raises(Unreachable) as caught:
        await transport.send(route(None), "GET", URL + "?apikey=CANARY")
    assert caught.value.how == "name"
    assert "CANARY" not in str(caught.value)
    assert set(guard.refused) == {"www.okx.com"}
    guard.refused.clear()


# --- what goes out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "through"),
    [
        (None, "https://h.example/a/b?c=1&d=%2F"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/a/b?c=1&d=%2F"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/a/b?c=1&d=%2F"),
        ("https://gate.example/venue/x/", "https://gate.example/venue/x/a/b?c=1&d=%2F"),
    ],
)
def test_another_host_in_front_keeps_path_and_query(base: str | None, through: str) -> None:
    assert _through(base, "https://h.example/a/b?c=1&d=%2F") == through


async def test_the_address_arrives_as_it_was_written(lab: Lab, transport: Transport) -> None:
    """A signature covers the text of the query: nothing may be encoded anew or put in another order."""
    await transport.send(route(lab.url("okx")), "GET", URL + "?b=%5B%22x%22%5D&a=1+2&c=%2f&d")
    assert lab.seen[-1].path_qs == "/api/v5/public/time?b=%5B%22x%22%5D&a=1+2&c=%2f&d"


async def test_headers_say_little(lab: Lab, transport: Transport) -> None:
    await transport.send(route(lab.url("okx")), "GET", URL, {"X-One": "1"})
    sent = {name.lower(): value for name, value in lab.seen[-1].headers.items()}
    assert sent["x-one"] == "1"
    assert sent["user-agent"] == "xex"
    assert set(sent) <= {"host", "user-agent", "accept", "accept-encoding", "x-one", "connection"}


async def test_cookies_are_not_kept(transport: Transport) -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(HEAD + b"Set-Cookie: track=me; Path=/\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()

    async with serving(talk) as address:
        for _ in range(2):
            await transport.send(route(address), "GET", URL)
        await transport.close()
    assert len(heard) == 2
    assert b"track" not in heard[1].lower()


async def test_the_environment_s_proxy_is_not_used(
    lab: Lab, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await transport.send(route(lab.url("okx")), "GET", URL)).status == 200


async def test_the_configured_proxy_is_used(transport: Transport) -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD + b"Content-Length: 2\r\n\r\n{}")

    async with serving(talk) as address:
        await transport.send(route("http://127.0.0.1:9", proxy=address), "GET", URL)
        await transport.close()
    assert heard[0].startswith(b"GET http://127.0.0.1:9/api/v5/public/time")


async def test_many_at_once_do_not_wait_for_each_other(lab: Lab, transport: Transport) -> None:
    """Waiting for a connection would count as the request's own time."""
    lab.latency["okx"] = 0.05
    started = time.perf_counter()
    answers = await asyncio.gather(*(transport.send(route(lab.url("okx")), "GET", f"{URL}?n={n}") for n in range(100)))
    assert time.perf_counter() - started < 0.6
    assert all(answer.status == 200 for answer in answers)
    assert len({answer.id for answer in answers}) == 100


async def test_latency_and_times_are_those_of_the_way(lab: Lab, transport: Transport) -> None:
    lab.latency["okx"] = 0.04
    mine = route(lab.url("okx"))
    before = time.time_ns() // 1_000_000
    answer = await transport.send(mine, "GET", URL)
    after = time.time_ns() // 1_000_000
    assert before <= answer.sent_at <= answer.received_at <= after
    assert 40 <= answer.latency_ms < 40 + 100
    assert mine.state.latency == answer.latency_ms


async def test_each_question_keeps_its_own_responses(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    btc, eth = await asyncio.gather(xm.get_cross_exchange_ticker("BTCUSDT"), xm.get_cross_exchange_ticker("ETHUSDT"))
    assert btc.raw("binance")["/fapi/v1/ticker/24hr"]["symbol"] == "BTCUSDT"
    assert eth.raw("binance")["/fapi/v1/ticker/24hr"]["symbol"] == "ETHUSDT"
    for snap in (btc, eth):
        ids = {response.id for answers in snap.responses.values() for response in answers}
        assert set(snap.columns["response_id"]) <= ids


async def test_a_closed_transport_stays_closed(lab: Lab, transport: Transport) -> None:
    """Else what was under way would open a session that nobody closes; a manager takes a new one."""
    assert (await transport.send(route(lab.url("okx")), "GET", URL)).status == 200
    for _ in range(2):
        await transport.close()
        lab.seen.clear()
        with pytest.raises(Unreachable, match="the manager was closed"):
            await transport.send(route(lab.url("okx")), "GET", URL)
        assert lab.seen == []


# --- the state of a venue -------------------------------------------------------------------------------------


def test_a_state_before_the_first_request_knows_nothing() -> None:
    state = VenueState("mine", "okx")
    assert state.status == "unknown"
    assert math.isnan(state.latency)
    assert math.isnan(state.uptime_percentage)
    assert state.skew_ms == 0
    assert state.skew_age_s > 1e9


def test_a_state_goes_up_and_down() -> None:
    state = VenueState("mine", "okx")
    state.failed(HttpError("HTTP 500"))
    assert (state.status, state.uptime_percentage) == ("down", 0)
    state.succeeded(10)
    assert (state.status, state.uptime_percentage) == ("down", 50)
    state.succeeded(20)
    assert state.status == "up"
    seen = []
    for _ in range(4):
        state.failed(TimedOut("slow"))
        seen.append(state.status)
    assert seen == ["degraded", "degraded", "down", "down"]
    assert state.last_error == "timeout: slow"
    state.succeeded(30)
    state.succeeded(40)
    assert state.status == "up"
    assert state.latency == 25
    assert (state.success_count, state.error_count) == (4, 5)


def test_the_clock_s_skew_is_that_of_the_shortest_way() -> None:
    state = VenueState("mine", "okx")
    state.note_skew(1030.0, 0.0, 2000.0)
    assert state.skew_ms == 0, "within what the way there and back hides"
    state.note_skew(31_010.0, 1000.0, 1020.0)
    assert state.skew_ms == 30_000
    state.note_skew(40_000.0, 0.0, 10_000.0)
    assert state.skew_ms == 30_000
    state.note_skew(31_009.0, 1000.0, 1016.0)
    assert state.skew_ms == 30_001


def test_a_clock_in_whole_seconds_is_known_to_a_second() -> None:
    state = VenueState("mine", "kraken")
    state.note_skew(5000.0, 5600.0, 5610.0, resolution_ms=1000)
    assert state.skew_ms == 0
    state.note_skew(35_000.0, 5600.0, 5610.0, resolution_ms=1000)
    assert state.skew_ms == 0 or state.skew_ms == pytest.approx(29_895)


@pytest.mark.usefixtures("tidy")
async def test_a_name_that_does_not_resolve_costs_no_budget(guard: Guard) -> None:
    async with ExchangeManager(cache=False) as xm:
        assert xm.add_exchange(ExchangeConfig("kraken", "kraken"))
        with pytest.raises(NoVenueAnswered, match="the name does not resolve"):
            await xm.books("BTC/USD")
    assert guard.refused
    guard.refused.clear()
    ledgers = budgets.PROCESS._ledgers
    assert ledgers
    assert {ledger.used for ledger in ledgers.values()} == {0}
