"""Limits of the venues: counted by hand and by brute force, and enforced as a caller sees it; ids and permissions."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest

from tests.lab import Lab, default_truth, server
from tests.lab.limits import TABLE, Accountant, Key, Rule, charges, optimum
from tests.lab.wire import Permission

BOOK = "/api/v5/market/books?instId=BTC-USDT-SWAP&sz=20"
STATUS = "/api/v5/system/status"
WORLD = default_truth()


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Got(NamedTuple):
    """One answer as it came."""

    status: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


Get = Callable[..., Any]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def lab(clock: Clock) -> AsyncIterator[Lab]:
    async with Lab(WORLD, limits=True) as running:
        running.accountant.clock = clock
        yield running


@pytest.fixture
def get(lab: Lab, http: aiohttp.ClientSession) -> Get:
    return getting(lab, http)


def getting(lab: Lab, http: aiohttp.ClientSession) -> Get:
    async def asked(venue: str, path: str, **headers: str) -> Got:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with http.get(lab.url(venue) + path, headers=names, allow_redirects=False) as response:
            return Got(response.status, response.headers, await response.read())

    return asked


def split(path_qs: str) -> tuple[str, dict[str, str]]:
    """Return the path and the parameters of an address."""
    parts = urlsplit(path_qs)
    return parts.path, dict(parse_qsl(parts.query))


def fill(lab: Lab, venue: str, path_qs: str, times: int) -> None:
    """Let requests arrive that need no answer."""
    for _ in range(times):
        assert lab.accountant.arrive(venue, *split(path_qs)).refusal == ""


# what is asked of whom: the rule, how much it allows in how many seconds, and what this request costs of it
DOCUMENTED = {
    "binance /api/v3/ticker/24hr": "spot 6000 60 80",
    "binance /api/v3/ticker/24hr?symbol=BTCUSDT": "spot 6000 60 2",
    'binance /api/v3/ticker/24hr?symbols=["BTCUSDT","ETHUSDT"]': "spot 6000 60 2",
    "binance /api/v3/depth?symbol=BTCUSDT": "spot 6000 60 5",
    "binance /api/v3/depth?symbol=BTCUSDT&limit=500": "spot 6000 60 25",
    "binance /api/v3/depth?symbol=BTCUSDT&limit=5000": "spot 6000 60 250",
    "binance /sapi/v1/capital/config/getall?timestamp=1": "capital/config/getall 12000 60 10",
    "binance /sapi/v1/account/apiRestrictions?timestamp=1": "account/apiRestrictions 12000 60 1",
    "binance /fapi/v1/depth?symbol=BTCUSDT&limit=50": "fapi 2400 60 2",
    "binance /fapi/v1/depth?symbol=BTCUSDT&limit=1000": "fapi 2400 60 20",
    "binance /fapi/v1/ticker/24hr": "fapi 2400 60 40",
    "binance /fapi/v1/ticker/bookTicker": "fapi 2400 60 5",
    "binance /dapi/v1/ticker/24hr": "dapi 2400 60 40",
    "okx /api/v5/market/tickers?instType=SWAP": "market/tickers 20 2 1",
    "okx /api/v5/market/ticker?instId=BTC-USDT": "market/ticker 20 2 1",
    "okx /api/v5/market/books?instId=BTC-USDT&sz=400": "market/books 40 2 1",
    "okx /api/v5/market/books-full?instId=BTC-USDT&sz=5000": "market/books-full 10 2 1",
    "okx /api/v5/market/trades?instId=BTC-USDT": "market/trades 100 2 1",
    "okx /api/v5/public/instruments?instType=SPOT": "public/instruments 20 2 1",
    "okx /api/v5/public/open-interest?instType=SWAP": "public/open-interest 20 2 1",
    "okx /api/v5/public/time": "public/time 10 2 1",
    "okx /api/v5/system/status": "system/status 1 5 1",
    "okx /api/v5/asset/currencies": "asset/currencies 6 1 1",
    "htx /market/tickers": "spot 10 1 1",
    "htx /market/depth?symbol=btcusdt&type=step0": "spot 10 1 1",
    "htx /v2/reference/currencies": "spot 10 1 1",
    "htx /market/depth?symbol=BTC_CQ&type=step0": "market 800 1 1",
    "htx /linear-swap-ex/market/depth?contract_code=BTC-USDT": "market 800 1 1",
    "htx /v5/market/open_interest?contract_code=BTC-USDT": "market 800 1 1",
    "htx /linear-swap-api/v1/swap_contract_info": "other 240 3 1",
    "htx /api/v1/timestamp": "other 240 3 1",
    "bybit /v5/market/tickers?category=spot": "public 600 5 1",
    "kraken /0/public/AssetPairs": "public 10 10 1",
    "kraken /0/public/Depth?pair=XXBTZUSD": "depth/XXBTZUSD 10 10 1",
    "kraken /0/public/Trades?pair=XETHZUSD": "trades/XETHZUSD 10 10 1",
    "krakenfutures /derivatives/api/v3/tickers": "derivatives 500 10 1",
    "coinglass /api/futures/pairs-markets?symbol=BTC": "key 30 60 1",
    "okx /api/v5/nowhere": "",
    "bitget /api/v2/public/time": "",
}


def told(venue: str, path_qs: str) -> str:
    """Write what the table says of a request as above."""
    return " and ".join(
        f"{'/'.join(key[1:])} {TABLE[key[:2]].weight} {TABLE[key[:2]].seconds:g} {cost}"
        for key, cost in charges(venue, *split(path_qs))
    )


def test_the_table_is_what_the_venues_document() -> None:
    assert {request: told(*request.split(" ")) for request in DOCUMENTED} == DOCUMENTED


def test_a_window_is_half_open(clock: Clock) -> None:
    accountant = Accountant(clock)
    refusals = []
    for at in (0.0, 4.5, 5.0, 9.75, 10.0, 15.0):
        clock.now = 1000 + at
        refusals.append(accountant.arrive("okx", STATUS, {}).refusal)
    # 4.5 is within 5 s of 0; 5.0 is not, but of the refused one at 4.5; 15.0 is exactly 5 s after the last
    assert refusals == ["", "rate_limited", "rate_limited", "rate_limited", "banned", "banned"]
    assert [breach[:4] for breach in accountant.breaches] == [
        (1004.5, "okx", "system/status", 2),
        (1005.0, "okx", "system/status", 2),
        (1009.75, "okx", "system/status", 2),
        (1010.0, "okx", "system/status", 2),
    ]
    assert accountant.worst() == {("okx", "system/status"): (2, 1)}


def test_exactly_what_is_allowed_is_no_breach(clock: Clock) -> None:
    accountant = Accountant(clock)
    for at in (0.0, 1.0, 60.0, 61.0):
        clock.now = 1000 + at
        for _ in range(30):
            assert accountant.arrive("binance", "/fapi/v1/ticker/24hr", {}).refusal == ""
    assert accountant.worst() == {("binance", "fapi"): (2400, 2400)}
    clock.now = 1062.0
    assert accountant.arrive("binance", "/fapi/v1/ticker/24hr", {}).refusal == "rate_limited"
    assert accountant.breaches == [(1062.0, "binance", "fapi", 2440)]


@pytest.mark.parametrize("seed", range(10))
def test_windows_against_brute_force(clock: Clock, seed: int) -> None:
    dice = random.Random(seed)
    accountant, arrived = Accountant(clock), []
    paths = {
        "/0/public/Depth?pair=A": ("depth", "A"),
        "/0/public/Depth?pair=B": ("depth", "B"),
        "/0/public/Ticker": ("public", ""),
    }
    for _ in range(60):
        clock.now += dice.choice([0.0, 0.25, 0.5, 1.0, 2.5])
        path_qs = dice.choice(list(paths))
        accountant.arrive("kraken", *split(path_qs))
        arrived.append((clock.now, paths[path_qs]))
    sums: dict[str, list[int]] = {"depth": [], "public": []}
    breaches = []
    for place, (end, what) in enumerate(arrived):
        sums[what[0]].append(sum(end - 10 < at <= end and other == what for at, other in arrived[: place + 1]))
        if sums[what[0]][-1] > 10:
            breaches.append((end, "kraken", what[0], sums[what[0]][-1]))
    assert [tuple(breach) for breach in accountant.breaches] == breaches
    assert accountant.worst() == {("kraken", name): (max(found), 10) for name, found in sums.items() if found}


# what fills a limit, how often; how the venue refuses what follows, and how much was in the window then
TOO_MANY: dict[str, tuple[int, int, str, Any, int]] = {
    "binance /api/v3/depth?symbol=BTCUSDT&limit=5000": (24, 429, "code", -1003, 6250),
    "binance /fapi/v1/ticker/24hr": (60, 429, "code", -1003, 2440),
    "binance /dapi/v1/ticker/24hr": (60, 429, "code", -1003, 2440),
    "okx /api/v5/market/books?instId=BTC-USDT&sz=20": (40, 200, "code", "50011", 41),
    "htx /market/tickers": (10, 200, "err-code", "rate-too-many-requests", 11),
    "htx /linear-swap-ex/market/detail/batch_merged": (800, 200, "err_code", 1032, 801),
    "htx /linear-swap-api/v1/swap_contract_info": (240, 200, "err_code", 1032, 241),
    "bybit /v5/market/time": (600, 200, "retCode", 10006, 601),
    "kraken /0/public/Time": (10, 200, "error", ["EAPI:Rate limit exceeded"], 11),
    "krakenfutures /derivatives/api/v3/instruments": (500, 200, "error", "apiLimitExceeded", 501),
    "coinglass /api/futures/pairs-markets": (30, 429, "code", "429", 31),
}


def said(got: Got, field: str) -> tuple[int, Any]:
    """Return the status and what the venue wrote in a field."""
    return got.status, got.body.get(field) if isinstance(got.body, dict) else None


@pytest.mark.parametrize("request_", TOO_MANY)
async def test_refusals(lab: Lab, get: Get, clock: Clock, request_: str) -> None:
    venue, path_qs = request_.split(" ")
    allowed, status, field, word, most = TOO_MANY[request_]
    fill(lab, venue, path_qs, allowed - 1)
    last, refused = await get(venue, path_qs), await get(venue, path_qs)
    assert said(last, field) != (status, word)
    assert said(refused, field) == (status, word)
    assert ("Retry-After" in refused.headers) is (venue == "binance")
    ((time_, at, rule, sum_),) = lab.breaches
    assert (time_, at, sum_) == (clock.now, venue, most)
    assert {key: found[0] for key, found in lab.worst().items()} == {(at, rule): most}
    assert lab.bans == []
    clock.now += 61
    assert (await get(venue, path_qs)).raw != refused.raw


async def test_retry_after_is_when_there_is_room(lab: Lab, clock: Clock, get: Get) -> None:
    path = "/fapi/v1/ticker/24hr"
    fill(lab, "binance", path, 1)
    clock.now += 20.25
    fill(lab, "binance", path, 59)
    # the refused one has come on top: when the first has left, 60 s after it was sent, there is no room yet
    assert (await get("binance", path)).headers["Retry-After"] == "60"
    clock.now += 58.25
    late = await get("binance", "/fapi/v1/time")
    assert (late.status, late.headers["Retry-After"], late.headers["X-MBX-USED-WEIGHT-1M"]) == (429, "2", "2401")
    clock.now += 1.75
    assert (await get("binance", path)).status == 200


# how a host shuts out: what is asked and fits how often; status, words and for how long
BANS: dict[str, tuple[int, int, str, float]] = {
    "binance /fapi/v1/ticker/24hr": (60, 418, "banned until 1700000120000", 120),
    "bybit /v5/market/time": (600, 403, "access too frequent", 600),
    "kraken /0/public/Time": (10, 200, "EGeneral:Temporary lockout", 60),
    "okx /api/v5/system/status": (1, 403, "Just a moment", 60),
    "htx /linear-swap-api/v1/swap_contract_info": (240, 403, "Just a moment", 60),
}
OTHER_HOSTS = {"binance": "/api/v3/time", "kraken": "/derivatives/api/v3/instruments", "htx": "/v1/common/timestamp"}


@pytest.mark.parametrize("request_", BANS)
async def test_bans(lab: Lab, get: Get, clock: Clock, request_: str) -> None:
    venue, path_qs = request_.split(" ")
    allowed, status, words, seconds = BANS[request_]
    lab.now_ms = lambda: 1_700_000_000_000
    fill(lab, venue, path_qs, allowed)
    for _ in range(3):
        assert words not in (await get(venue, path_qs)).raw.decode()
    (ban,) = lab.bans
    assert (ban.time, ban.venue, ban.until, ban.hits) == (clock.now, venue, clock.now + seconds, 0)
    shut = await get(venue, path_qs)
    assert shut.status == status
    assert words in shut.raw.decode()
    assert shut.headers.get("Retry-After") == ("120" if venue == "binance" else None)
    assert ban.hits == 1
    if venue in OTHER_HOSTS:
        assert words not in (await get(venue, OTHER_HOSTS[venue])).raw.decode()
    clock.now += seconds - 0.5
    assert (await get(venue, path_qs)).status == status
    clock.now += 0.5
    assert words not in (await get(venue, path_qs)).raw.decode()


async def test_only_three_refusals_in_ten_seconds_shut_out(lab: Lab, get: Get, clock: Clock) -> None:
    fill(lab, "binance", "/fapi/v1/ticker/24hr", 60)
    for pause in (0, 5, 5.25):
        clock.now += pause
        assert (await get("binance", "/fapi/v1/time")).status == 429
    assert lab.bans == []
    clock.now += 4.75
    assert (await get("binance", "/fapi/v1/time")).status == 429
    assert [(ban.time, ban.host) for ban in lab.bans] == [(1015.0, "fapi.binance.com")]
    assert (await get("binance", "/fapi/v1/ticker/bookTicker")).status == 418
    assert (await get("bybit", "/v5/market/time")).status == 200


async def test_limits_stand_before_faults_and_latency(lab: Lab, get: Get, http: aiohttp.ClientSession) -> None:
    lab.latency["bybit"] = 30
    with pytest.raises(TimeoutError):
        await http.get(lab.url("bybit") + "/v5/market/time", timeout=aiohttp.ClientTimeout(total=0.02)).__aenter__()
    assert lab.worst() == {("bybit", "public"): (1, 600)}
    fill(lab, "okx", BOOK, 40)
    fault = lab.fault("okx", "reset")
    assert (await get("okx", BOOK)).body["code"] == "50011"
    assert fault.hits == 0
    with pytest.raises(LookupError):
        lab.sent("okx", "BTC-USDT-SWAP")


async def test_off_by_default(http: aiohttp.ClientSession) -> None:
    async with Lab(WORLD) as lab:
        get = getting(lab, http)
        for _ in range(8):
            assert (await get("okx", STATUS)).body["code"] == "0"
        for _ in range(12):
            spot = await get("htx", "/v1/common/timestamp")
            assert spot.body["status"] == "ok"
            assert "X-HB-RateLimit-Requests-Remain" not in spot.headers
        assert (lab.breaches, lab.bans, lab.worst()) == ([], [], {})


async def test_headers_tell_what_is_left(get: Get, clock: Clock) -> None:
    spot = [(await get("htx", "/market/tickers")).headers for _ in range(2)]
    assert [headers["X-HB-RateLimit-Requests-Remain"] for headers in spot] == ["9", "8"]
    assert "ratelimit-limit" not in spot[0]
    names = ("ratelimit-limit", "ratelimit-interval", "ratelimit-remaining")
    for path, told in {
        "/linear-swap-ex/market/detail/batch_merged": ["800", "1000", "799"],
        "/api/v1/timestamp": ["240", "3000", "239"],
    }.items():
        headers = (await get("htx", path)).headers
        assert [headers[name] for name in names] == told
        assert "X-HB-RateLimit-Requests-Remain" not in headers
    clock.now += 1
    assert (await get("htx", "/market/tickers")).headers["X-HB-RateLimit-Requests-Remain"] == "9"
    glass = [(await get("coinglass", "/api/futures/pairs-markets")).headers for _ in range(2)]
    assert [headers["API-KEY-USE-LIMIT"] for headers in glass] == ["1", "2"]
    assert "X-Bapi-Limit-Status" not in (await get("bybit", "/v5/market/time")).headers


async def test_kept_bodies_are_counted_and_refused_ones_not_kept(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with Lab(WORLD, limits=True, cache_s=60) as lab:
        lab.accountant.clock = clock
        get = getting(lab, http)
        used = [(await get("binance", "/fapi/v1/ticker/24hr")).headers["X-MBX-USED-WEIGHT-1M"] for _ in range(2)]
        assert used == ["40", "80"]
        assert [(await get("okx", STATUS)).body["code"] for _ in range(2)] == ["0", "50011"]
        clock.now += 5
        assert (await get("okx", STATUS)).body["code"] == "0"


def test_as_a_program() -> None:
    command = [sys.executable, "-m", "tests.lab", "--limits"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        try:
            urls = json.loads(program.stdout.readline())

            async def codes() -> list[str]:
                async with aiohttp.ClientSession() as session:
                    got = [await session.get(urls["okx"] + STATUS) for _ in range(2)]
                    return [(await response.json())["code"] for response in got]

            assert asyncio.run(codes()) == ["0", "50011"]
        finally:
            program.terminate()


def soonest(weight: int, seconds: int, costs: Sequence[int], sendings: Sequence[tuple[int, ...]]) -> Fraction | None:
    """Return the least time of the last sending, in the given sendings of half a window's grid, that breach nothing."""

    def kept(times: tuple[int, ...]) -> bool:
        return all(
            sum(cost for at, cost in zip(times, costs, strict=True) if end - 2 < at <= end) <= weight for end in times
        )

    return min((Fraction(max(times) * seconds, 2) for times in sendings if kept(times)), default=None)


@pytest.mark.parametrize("seed", range(15))
def test_optimum_in_order_against_brute_force(seed: int) -> None:
    dice = random.Random(seed)
    weight, seconds = dice.randint(3, 10), dice.choice([1, 2, 3])
    costs = [dice.randint(1, min(weight, 5)) for _ in range(dice.randint(1, 5))]
    in_order = list(itertools.combinations_with_replacement(range(2 * len(costs)), len(costs)))
    rules: dict[Key, Rule] = {("v", "r"): Rule("r", "", weight, seconds)}
    found = optimum(rules, [(("v", "r"), cost) for cost in costs], {"v": 0.5})
    assert found == soonest(weight, seconds, costs, in_order) + Fraction(1, 2)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("weight", "cost", "count"), [(1, 1, 4), (2, 1, 4), (3, 2, 3), (7, 2, 4), (5, 2, 4), (9, 3, 4)]
)
def test_optimum_of_equal_costs_is_that_of_any_order(weight: int, cost: int, count: int) -> None:
    any_order = list(itertools.product(range(2 * count), repeat=count))
    rules: dict[Key, Rule] = {("v", "r"): Rule("r", "", weight, 2)}
    found = optimum(rules, [(("v", "r"), cost)] * count)
    assert found == soonest(weight, 2, [cost] * count, any_order)


def test_optimum_by_hand() -> None:
    books = [(("okx", "market/books"), 1)] * 100
    depth = [(("binance", "spot"), 250)] * 25
    pairs = [(("kraken", "depth", pair), 1) for pair in ("A", "B") for _ in range(11)]
    latency = {"okx": 0.25, "binance": 0.5, "kraken": 0.125}
    assert optimum(TABLE, [], latency) == 0
    assert optimum(TABLE, books[:40], latency) == 0.25
    assert optimum(TABLE, books, latency) == 4.25
    assert optimum(TABLE, depth[:24] + books, latency) == 4.25
    assert optimum(TABLE, depth + books, latency) == 60.5
    assert optimum(TABLE, pairs, latency) == 10.125
    assert optimum(TABLE, [*pairs, (("binance", "fapi"), 2401)], latency) == float("inf")
    # in this order 6 waits for 6, and the last 4 for both; the two 4 first would have been faster
    mixed = [(("v", "r"), cost) for cost in (6, 6, 4, 4)]
    assert optimum({("v", "r"): Rule("r", "", 10, 3)}, mixed) == 6


async def test_what_was_asked_can_be_judged(lab: Lab, get: Get) -> None:
    for _ in range(2):
        await get("okx", BOOK)
        await get("kraken", "/0/public/Depth?pair=XXBTZUSD")
    asked = [charge for seen in lab.seen for charge in charges(seen.venue, *split(seen.path_qs))]
    assert asked == [(("okx", "market/books"), 1), (("kraken", "depth", "XXBTZUSD"), 1)] * 2
    assert optimum(TABLE, asked * 6, {"okx": 0.5}) == 10


async def test_every_answer_has_a_number(lab: Lab, get: Get) -> None:
    before = time.time_ns() // 1_000_000
    asked = [("okx", BOOK), ("kraken", "/0/public/Time"), ("krakenfutures", "/derivatives/api/v3/tickers")]
    asked += [("coinglass", "/nowhere"), ("okx", "/api/v5/asset/currencies"), ("okx", STATUS), ("okx", STATUS)]
    numbers = [(await get(*one)).headers["X-Lab-Id"] for one in asked]
    assert numbers == ["1", "2", "3", "4", "5", "6", "7"]
    told = [lab.answered[number] for number in numbers]
    sockets = ["okx", "kraken", "kraken", "coinglass", "okx", "okx", "okx"]
    assert [(one.socket, one.path) for one in told] == [
        (socket, path.split("?")[0]) for socket, (_, path) in zip(sockets, asked, strict=True)
    ]
    assert before <= told[0].made_ms <= told[-1].made_ms <= time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    "kind", ["status", "html", "empty", "truncated", "short", "hang_body", "slow_drip", "bomb", "redirect", "banned"]
)
async def test_faulty_answers_have_numbers_too(lab: Lab, http: aiohttp.ClientSession, kind: str) -> None:
    args: dict[str, Any] = {"slow_drip": {"chunk": 100_000}, "bomb": {"megabytes": 1}}.get(kind, {})
    lab.fault("okx", kind, **args)
    async with http.get(lab.url("okx") + BOOK, allow_redirects=False) as response:
        assert lab.answered[response.headers["X-Lab-Id"]].path == "/api/v5/market/books"


async def test_numbers_lead_to_when_the_body_was_made(http: aiohttp.ClientSession, monkeypatch: Any) -> None:
    wall = itertools.count(1_700_000_000_000, 1000)
    monkeypatch.setattr(server, "wall_ms", lambda: next(wall))
    async with Lab(WORLD, cache_s=60, now_ms=lambda: 1) as lab:
        get = getting(lab, http)
        first, again, other = [(await get("okx", path)).headers["X-Lab-Id"] for path in (BOOK, BOOK, STATUS)]
        assert (first, again, other) == ("1", "2", "3")
        assert [lab.answered[number].made_ms % 1_000_000 for number in (first, again, other)] == [0, 0, 1000]
        lab.truth = lab.truth.with_depeg("0.98")
        assert lab.answered[(await get("okx", BOOK)).headers["X-Lab-Id"]].made_ms % 1_000_000 == 2000


async def test_old_numbers_are_forgotten(lab: Lab, get: Get, monkeypatch: Any) -> None:
    monkeypatch.setattr(server, "MOST_ANSWERED", 3)
    for _ in range(5):
        await get("okx", BOOK)
    assert list(lab.answered) == ["3", "4", "5"]


# what is asked, and the header that carries the key
RIGHTS = {
    "binance": ("/sapi/v1/account/apiRestrictions?timestamp=1&signature=s", "X_MBX_APIKEY"),
    "okx": ("/api/v5/account/config", "OK_ACCESS_KEY"),
    "bybit": ("/v5/user/query-api", "X_BAPI_API_KEY"),
}
SETS: dict[str, set[Permission]] = {
    "reads": {"read"},
    "trades": {"read", "trade"},
    "withdraws": {"read", "withdraw"},
    "all": {"read", "trade", "withdraw"},
}


def rights(venue: str, body: Any) -> Any:
    """Return what a venue says of a key, without what it says of the account."""
    if venue == "okx":
        return body["data"][0]["perm"]
    if venue == "bybit":
        given = body["result"]["permissions"]
        return body["result"]["readOnly"], given["Spot"], given["ContractTrade"], "Withdraw" in given["Wallet"]
    return {name for name, given in body.items() if given is True}


@pytest.mark.parametrize(
    ("name", "binance", "okx", "bybit"),
    [
        ("reads", "", "read_only", (1, ["SpotTrade"], ["Order", "Position"], False)),
        ("trades", "enableSpotAndMarginTrading enableFutures", "read_only,trade",
            (0, ["SpotTrade"], ["Order", "Position"], False)),
        ("withdraws", "enableWithdrawals ipRestrict", "read_only,withdraw", (0, [], [], True)),
        ("all", "enableWithdrawals ipRestrict enableSpotAndMarginTrading enableFutures", "read_only,withdraw,trade",
            (0, ["SpotTrade"], ["Order", "Position"], True)),
    ],
)  # fmt: skip
async def test_what_a_key_may_do(lab: Lab, get: Get, name: str, binance: str, okx: str, bybit: Any) -> None:
    if name != "reads":  # which is how it begins
        lab.permissions = dict.fromkeys(RIGHTS, SETS[name])
    want = {"binance": {"enableReading", "enableFixReadOnly", *binance.split()}, "okx": okx, "bybit": bybit}
    for venue, (path, header) in RIGHTS.items():
        assert rights(venue, (await get(venue, path, **{header: "k"})).body) == want[venue]


async def test_without_a_key_nothing_is_told(get: Get, lab: Lab) -> None:
    refused = {venue: await get(venue, path) for venue, (path, _) in RIGHTS.items()}
    assert {venue: got.status for venue, got in refused.items()} == {"binance": 401, "okx": 401, "bybit": 200}
    assert refused["binance"].body["code"] == -2014
    assert refused["okx"].body["code"] == "50103"
    assert refused["bybit"].body["retCode"] == 10003
    for venue, (path, header) in RIGHTS.items():
        await get(venue, path, **{header: "k"})
        with pytest.raises(LookupError):
            lab.sent(venue, "BTCUSDT")


async def test_rights_are_never_kept(http: aiohttp.ClientSession) -> None:
    async with Lab(WORLD, cache_s=60) as lab:
        get = getting(lab, http)
        assert (await get("okx", "/api/v5/account/config", OK_ACCESS_KEY="k")).body["code"] == "0"
        lab.permissions["okx"].add("trade")
        assert rights("okx", (await get("okx", "/api/v5/account/config", OK_ACCESS_KEY="k")).body) == "read_only,trade"
        assert (await get("okx", "/api/v5/account/config")).status == 401


async def test_these_are_the_paths_that_ccxt_calls(lab: Lab) -> None:
    import ccxt.async_support as ccxt

    keys = {"apiKey": "k", "secret": "s", "password": "p", "enableRateLimit": False}
    calls = {
        "binance": ("sapi", "/sapi/v1", "sapiGetAccountApiRestrictions"),
        "okx": ("rest", "", "privateGetAccountConfig"),
        "bybit": ("private", "", "privateGetV5UserQueryApi"),
    }
    for venue, (place, prefix, method) in calls.items():
        client = getattr(ccxt, venue)(keys)
        client.timeout_on_exit = 0
        client.urls["api"][place] = lab.url(venue) + prefix
        try:
            assert rights(venue, await getattr(client, method)())
        finally:
            await client.close()
