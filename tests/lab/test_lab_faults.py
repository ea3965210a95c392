"""What a bare HTTP client sees of every fault, and how the lab begins and ends."""

from __future__ import annotations

import asyncio
import errno
import gzip
import http.client
import json
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.lab import FAULTS, Lab, bitget_markets, default_truth, running_lab
from tests.lab.faults import gzipped_spaces

SHORT = aiohttp.ClientTimeout(total=0.04)
LONG = aiohttp.ClientTimeout(total=5)
BOOK = {
    "binance": "/fapi/v1/depth?symbol=BTCUSDT&limit=20",
    "okx": "/api/v5/market/books?instId=BTC-USDT-SWAP&sz=20",
    "kraken": "/0/public/Depth?pair=XXBTZUSD&count=20",
    "krakenfutures": "/derivatives/api/v3/orderbook?symbol=PF_XBTUSD",
    "bybit": "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=20",
    "htx": "/linear-swap-ex/market/depth?contract_code=BTC-USDT&type=step0",
    "bitget": "/api/v2/mix/market/merge-depth?symbol=BTCUSDT&productType=USDT-FUTURES&limit=20",
}
TICKERS = {
    "binance": "/fapi/v1/ticker/bookTicker",
    "okx": "/api/v5/market/tickers?instType=SWAP",
    "kraken": "/0/public/Ticker",
    "krakenfutures": "/derivatives/api/v3/tickers",
    "bybit": "/v5/market/tickers?category=linear",
    "htx": "/linear-swap-ex/market/detail/batch_merged?business_type=swap",
    "bitget": "/api/v2/mix/market/tickers?productType=USDT-FUTURES",
}
TRADES = {
    "binance": "/fapi/v1/aggTrades?symbol=BTCUSDT",
    "okx": "/api/v5/market/trades?instId=BTC-USDT-SWAP",
    "kraken": "/0/public/Trades?pair=XXBTZUSD",
    "krakenfutures": "/derivatives/api/v3/history?symbol=PF_XBTUSD",
    "bybit": "/v5/market/recent-trade?category=linear&symbol=BTCUSDT",
    "htx": "/linear-swap-ex/market/history/trade?contract_code=BTC-USDT&size=20",
    "bitget": "/api/v2/mix/market/fills?symbol=BTCUSDT&productType=USDT-FUTURES",
}
TIME = {
    "binance": "/fapi/v1/time",
    "okx": "/api/v5/public/time",
    "kraken": "/0/public/Time",
    "bybit": "/v5/market/time",
    "htx": "/v1/common/timestamp",
    "bitget": "/api/v2/public/time",
}
over_venues = pytest.mark.parametrize("venue", BOOK)


class Got(NamedTuple):
    """One answer as it came."""

    status: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Client:
    """A bare client of one lab: no redirects followed, nothing unpacked."""

    def __init__(self, lab: Lab, session: aiohttp.ClientSession) -> None:
        self.lab = lab
        self.session = session

    async def get(self, venue: str, path: str, limit: aiohttp.ClientTimeout = LONG) -> Got:
        url = self.lab.url(venue) + path
        async with self.session.get(url, allow_redirects=False, timeout=limit) as response:
            return Got(response.status, response.headers, await response.read())

    async def book(self, venue: str = "okx", limit: aiohttp.ClientTimeout = LONG) -> Got:
        return await self.get(venue, BOOK[venue], limit)


@pytest.fixture
async def lab(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Lab]:
    async with Lab(default_truth().adding(bitget_markets())) as running:
        yield running
    assert caplog.records == []


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Client(lab, session)


def row(venue: str, body: Any) -> Any:
    """Return the row of BTC in a venue's answer with tickers."""
    if venue == "kraken":
        return body["result"]["XXBTZUSD"]
    if venue == "bybit":
        return body["result"]["list"][0]
    name = {"krakenfutures": "tickers", "htx": "ticks"}.get(venue, "data")
    return (body if venue == "binance" else body[name])[0]


def prices(venue: str, body: Any) -> list[Any]:
    """Return best bid and ask from a venue's answer with tickers."""
    found = row(venue, body)
    if venue == "kraken":
        return [found["b"][0], found["a"][0]]
    if venue == "htx":
        return [found["bid"][0], found["ask"][0]]
    keys = {"binance": ("bidPrice", "askPrice"), "okx": ("bidPx", "askPx"), "krakenfutures": ("bid", "ask")}
    keys |= {"bybit": ("bid1Price", "ask1Price"), "bitget": ("bidPr", "askPr")}
    return [found[key] for key in keys[venue]]


def sides(venue: str, body: Any) -> tuple[list[Any], list[Any]]:
    """Return bids and asks from a venue's answer with a book."""
    inside = {"okx": ("data", 0), "kraken": ("result", "XXBTZUSD"), "krakenfutures": ("orderBook",)}
    inside |= {"bybit": ("result",), "htx": ("tick",), "bitget": ("data",)}
    for key in inside.get(venue, ()):
        body = body[key]
    return body["b" if venue == "bybit" else "bids"], body["a" if venue == "bybit" else "asks"]


def tape(venue: str, body: Any) -> list[tuple[int, Any]]:
    """Return time in milliseconds and price of the trades, oldest first."""
    if venue == "kraken":
        return [(round(1000 * trade[2]), trade[0]) for trade in body["result"]["XXBTZUSD"]]
    if venue == "binance":
        return [(trade["T"], trade["p"]) for trade in body]
    if venue == "krakenfutures":
        moments = [datetime.fromisoformat(trade["time"]) for trade in body["history"]]
        prices_ = [trade["price"] for trade in body["history"]]
        return [(round(1000 * moment.timestamp()), price) for moment, price in zip(moments, prices_, strict=True)][::-1]
    rows = body["result"]["list"] if venue == "bybit" else body["data"]
    if venue == "htx":
        rows = [trade for group in rows for trade in group["data"]]
    at, price = {"okx": ("ts", "px"), "bybit": ("time", "price")}.get(venue, ("ts", "price"))
    return [(int(trade[at]), trade[price]) for trade in reversed(rows)]


async def until(true: Callable[[], bool]) -> None:
    """Wait, half a second at most, until something holds."""
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to hold")


def fetch(base: str, path: str) -> Got:
    """Ask without an event loop."""
    with closing(http.client.HTTPConnection(urlsplit(base).netloc, timeout=5)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Got(answer.status, answer.headers, answer.read())


async def test_status(lab: Lab, client: Client) -> None:
    lab.fault("okx", "status", code=503, retry_after=7, times=1)
    got = await client.book()
    assert (got.status, got.headers["Retry-After"]) == (503, "7")
    assert (await client.book()).status == 200


async def test_status_with_a_date_and_a_body(lab: Lab, client: Client) -> None:
    moment = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    lab.fault("okx", "status", code=451, retry_after=moment, body={"why": "here"})
    got = await client.book()
    assert parsedate_to_datetime(got.headers["Retry-After"]) == moment
    assert (got.status, got.body) == (451, {"why": "here"})


@pytest.mark.parametrize("kind", ["hang", "hang_body"])
async def test_hanging(lab: Lab, client: Client, kind: str) -> None:
    lab.fault("okx", kind)
    async with client.session.get(lab.url("binance") + BOOK["binance"]) as response:
        assert response.status == 200
    with pytest.raises(TimeoutError):
        await client.book(limit=SHORT)


async def test_hang_body_sends_headers(lab: Lab, client: Client) -> None:
    lab.fault("okx", "hang_body")
    async with client.session.get(lab.url("okx") + BOOK["okx"]) as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 100


async def test_reset(lab: Lab, client: Client) -> None:
    lab.fault("okx", "reset", times=1)
    with pytest.raises(aiohttp.ClientOSError) as caught:
        await client.session.post(lab.url("okx"))  # a GET is tried again by aiohttp itself
    assert caught.value.errno == errno.ECONNRESET


async def test_close(lab: Lab, client: Client) -> None:
    lab.fault("okx", "close", times=1)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.session.post(lab.url("okx"))


async def test_truncated(lab: Lab, client: Client) -> None:
    whole = (await client.book()).raw
    lab.fault("okx", "truncated")
    got = await client.book()
    assert int(got.headers["Content-Length"]) == len(got.raw) == len(whole) // 2
    with pytest.raises(json.JSONDecodeError):
        got.body  # noqa: B018


async def test_short(lab: Lab, client: Client) -> None:
    lab.fault("okx", "short")
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.book()


async def test_slow_drip(lab: Lab, client: Client) -> None:
    lab.fault("okx", "slow_drip", chunk=50, interval=0.001)
    assert len(sides("okx", (await client.book()).body)[0]) == 20
    lab.heal()
    lab.fault("okx", "slow_drip")
    with pytest.raises(TimeoutError):
        await client.book(limit=SHORT)


async def test_html_empty_and_scalar(lab: Lab, client: Client) -> None:
    for kind in ("html", "empty", "scalar"):
        lab.fault("okx", kind, times=1)
    page, empty, scalar = [await client.book() for _ in range(3)]
    assert page.status == empty.status == scalar.status == 200
    assert page.raw.startswith(b"<!DOCTYPE html>")
    assert page.headers["Content-Type"].startswith("text/html")
    assert (empty.raw, scalar.raw) == (b"", b"null")


async def test_venue_error(lab: Lab, client: Client) -> None:
    seen = {}
    for venue in BOOK:
        lab.fault(venue, "venue_error", times=1)
        seen[venue] = await client.book(venue)
    usual = dict.fromkeys(BOOK, 200) | {"binance": 503, "bitget": 400}
    assert {venue: got.status for venue, got in seen.items()} == usual
    assert seen["binance"].body["code"] == -1001
    assert seen["okx"].body["code"] == "50001"
    assert seen["kraken"].body["error"] == ["EService:Unavailable"]
    assert seen["krakenfutures"].body["result"] == "error"
    assert seen["bybit"].body["retCode"] == 10016
    assert (seen["htx"].body["status"], seen["htx"].body["err_code"]) == ("error", 1004)
    assert seen["bitget"].body["code"] == "40015"


async def test_htx_spot_errs_in_words(lab: Lab, client: Client) -> None:
    words = {"venue_error": "gateway-internal-error", "rate_limited": "rate-too-many-requests"}
    for kind, code in words.items():
        lab.fault("htx", kind, times=1)
        body = (await client.get("htx", "/market/tickers")).body
        assert (body["status"], body["err-code"]) == ("error", code)


async def test_rate_limited(lab: Lab, client: Client) -> None:
    seen = {}
    for venue in BOOK:
        lab.fault(venue, "rate_limited", times=1)
        seen[venue] = await client.book(venue)
    assert (seen["binance"].status, seen["binance"].headers["Retry-After"]) == (429, "5")
    assert (seen["okx"].status, seen["okx"].body["code"]) == (200, "50011")
    assert seen["kraken"].body == {"error": ["EAPI:Rate limit exceeded"]}
    assert seen["krakenfutures"].body["error"] == "apiLimitExceeded"
    assert (seen["bybit"].status, seen["bybit"].body["retCode"]) == (200, 10006)
    assert (seen["htx"].status, seen["htx"].body["err_code"]) == (200, 1032)
    assert (seen["bitget"].status, seen["bitget"].body["code"]) == (429, "429")
    for venue in ("okx", "bybit", "htx"):
        lab.fault(venue, "rate_limited", status=429, retry_after=3)
        got = await client.book(venue)
        assert (got.status, got.headers["Retry-After"]) == (429, "3")


async def test_banned(lab: Lab, client: Client) -> None:
    lab.now_ms = lambda: 1_700_000_000_000
    lab.fault("binance", "banned", retry_after=30)
    got = await client.book("binance")
    assert (got.status, got.headers["Retry-After"]) == (418, "30")
    assert "banned until 1700000030000" in got.body["msg"]
    lab.fault("kraken", "banned")
    assert (await client.book("kraken")).body == {"error": ["EGeneral:Temporary lockout"]}
    for venue in ("okx", "bybit", "htx", "bitget"):
        lab.fault(venue, "banned")
        assert (await client.book(venue)).status == 403


@over_venues
async def test_stale(lab: Lab, client: Client, venue: str) -> None:
    lab.now_ms = lambda: 1_700_000_000_000
    lab.fault(venue, "stale", seconds=42)
    tickers, book = (await client.get(venue, TICKERS[venue])).body, (await client.book(venue)).body
    symbol = lab.truth.of(venue, "spot" if venue == "kraken" else "linear")[0].id
    assert lab.sent(venue, symbol) == 1_699_999_958_000
    if venue == "binance":
        assert row(venue, tickers)["time"] == book["T"] == 1_699_999_958_000
    elif venue == "okx":
        assert row(venue, tickers)["ts"] == book["data"][0]["ts"] == "1699999958000"
    elif venue == "bybit":
        assert book["result"]["ts"] == 1_699_999_958_000
        assert not {"time", "ts"} & set(row(venue, tickers))
        assert book["time"] == 1_700_000_000_000
    elif venue == "htx":
        assert row(venue, tickers)["ts"] == book["tick"]["ts"] == 1_699_999_958_000
    elif venue == "bitget":
        assert row(venue, tickers)["ts"] == book["data"]["ts"] == "1699999958000"
    elif venue == "kraken":
        assert {level[2] for level in book["result"]["XXBTZUSD"]["bids"]} == {1_699_999_958}
    else:
        assert row(venue, tickers)["lastTime"] == "2023-11-14T22:11:08.000Z"
        assert book["serverTime"] == "2023-11-14T22:13:20.000Z"


@over_venues
async def test_crossed(lab: Lab, client: Client, venue: str) -> None:
    lab.fault(venue, "crossed", ticks=3)
    bid, ask = prices(venue, (await client.get(venue, TICKERS[venue])).body)
    assert float(bid) > float(ask)
    bids, asks = sides(venue, (await client.book(venue)).body)
    assert float(bids[0][0]) > float(asks[0][0])


@over_venues
@pytest.mark.parametrize(("kind", "literal"), [("null", "null"), ("nan", '"NaN"'), ("nan_literal", "NaN")])
async def test_numbers_that_are_none(lab: Lab, client: Client, venue: str, kind: str, literal: str) -> None:
    lab.fault(venue, kind)
    tickers, book = await client.get(venue, TICKERS[venue]), await client.book(venue)
    found = [*prices(venue, tickers.body), *(level[0] for side in sides(venue, book.body) for level in side)]
    assert {json.dumps(value) for value in found} == {literal}
    volumes = row(venue, tickers.body)
    assert not any(isinstance(v, float) and math.isnan(v) for v in volumes.values()) or kind == "nan_literal"


@over_venues
async def test_negative(lab: Lab, client: Client, venue: str) -> None:
    lab.fault(venue, "negative")
    found = prices(venue, (await client.get(venue, TICKERS[venue])).body)
    assert all(float(value) < 0 for value in found)


@over_venues
async def test_empty_book(lab: Lab, client: Client, venue: str) -> None:
    lab.fault(venue, "empty_book")
    assert sides(venue, (await client.book(venue)).body) == ([], [])
    found = row(venue, (await client.get(venue, TICKERS[venue])).body)
    if venue == "krakenfutures":
        assert "bid" not in found
    lab.heal()
    lab.fault(venue, "empty_book", side="asks")
    bids, asks = sides(venue, (await client.book(venue)).body)
    assert bids
    assert asks == []


@over_venues
async def test_no_rows(lab: Lab, client: Client, venue: str) -> None:
    lab.fault(venue, "no_rows")
    empty = {
        "binance": [],
        "okx": {"code": "0", "msg": "", "data": []},
        "kraken": {"error": [], "result": {}},
    }
    got = (await client.get(venue, TICKERS[venue])).body
    held = {"krakenfutures": ("result", "success", "tickers"), "htx": ("status", "ok", "ticks")}
    held["bitget"] = ("code", "00000", "data")
    if venue in held:
        state, fine, rows = held[venue]
        assert (got[state], got[rows]) == (fine, [])
    elif venue == "bybit":
        assert (got["retCode"], got["result"]) == (0, {"category": "linear", "list": []})
    else:
        assert got == empty[venue]


@over_venues
async def test_missing_key(lab: Lab, client: Client, venue: str) -> None:
    lab.fault(venue, "missing_key")
    found = row(venue, (await client.get(venue, TICKERS[venue])).body)
    names = {"symbol", "instId", "contract_code", "bidPrice", "bidPx", "bid", "b", "bid1Price", "bidPr", "lastPr"}
    assert not names & set(found)
    lab.heal()
    lab.fault(venue, "missing_key", keys=["v", "vol24h", "askQty"])
    found = row(venue, (await client.get(venue, TICKERS[venue])).body)
    assert not {"v", "vol24h", "askQty"} & set(found)
    assert prices(venue, (await client.get(venue, TICKERS[venue])).body)


@over_venues
async def test_faults_of_numbers_reach_the_trades(lab: Lab, client: Client, venue: str) -> None:
    lab.now_ms = lambda: 1_700_000_000_000
    fair = tape(venue, (await client.get(venue, TRADES[venue])).body)
    assert (len(fair), fair[-1][0]) == (12, 1_699_999_999_800)
    assert sorted(fair) == fair
    lab.fault(venue, "stale", seconds=42, times=1)
    lab.fault(venue, "null", path=TRADES[venue].partition("?")[0])
    late = tape(venue, (await client.get(venue, TRADES[venue])).body)
    assert late == [(at - 42_000, None) for at, _ in fair]
    lab.heal()
    lab.fault(venue, "no_rows")
    empty = (await client.get(venue, TRADES[venue])).body
    assert empty == {"error": [], "result": {}} if venue == "kraken" else tape(venue, empty) == []


@pytest.mark.parametrize(
    ("venue", "path", "other"),
    [
        ("binance", "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT", '"symbol": "ETHUSDT"'),
        ("okx", "/api/v5/market/ticker?instId=BTC-USDT-SWAP", '"instId": "ETH-USDT-SWAP"'),
        ("kraken", "/0/public/Ticker?pair=XXBTZUSD", '"XETHZUSD": {'),
        ("kraken", "/0/public/Ticker?pair=XXBTZUSD,USDTZUSD", '"XETHZUSD": {'),
        ("krakenfutures", "/derivatives/api/v3/tickers/PF_XBTUSD", '"symbol": "PF_ETHUSD"'),
        ("krakenfutures", "/derivatives/api/v3/orderbook?symbol=PF_XBTUSD", '"bids": [[33'),
        ("bybit", "/v5/market/tickers?category=linear&symbol=BTCUSDT", '"symbol": "ETHUSDT"'),
        ("bybit", "/v5/market/orderbook?category=spot&symbol=BTCUSDT", '"s": "ETHUSDT"'),
        ("htx", "/linear-swap-ex/market/detail/merged?contract_code=BTC-USDT", '"ch": "market.ETH-USDT.detail.merged"'),
        ("htx", "/market/history/trade?symbol=btcusdt&size=5", '"ch": "market.ethusdt.trade.detail"'),
        ("bitget", "/api/v2/mix/market/fills?productType=USDT-FUTURES&symbol=BTCUSDT", '"symbol": "ETHUSDT"'),
    ],
)
async def test_wrong_symbol(lab: Lab, client: Client, venue: str, path: str, other: str) -> None:
    lab.fault(venue, "wrong_symbol")
    assert other in (await client.get(venue, path)).raw.decode()


async def test_skew(lab: Lab, client: Client) -> None:
    lab.now_ms = lambda: 1_700_000_000_000
    for venue in TIME:
        lab.fault(venue, "skew", seconds=-30)
    clocks = {venue: await client.get(venue, path) for venue, path in TIME.items()}
    assert clocks["binance"].body == {"serverTime": 1_699_999_970_000}
    assert clocks["okx"].body["data"] == [{"ts": "1699999970000"}]
    assert clocks["kraken"].body["result"]["unixtime"] == 1_699_999_970
    assert clocks["bybit"].body["time"] == 1_699_999_970_000
    assert clocks["htx"].body == {"status": "ok", "data": 1_699_999_970_000}
    assert clocks["bitget"].body["data"] == {"serverTime": "1699999970000"}
    assert parsedate_to_datetime(clocks["okx"].headers["Date"]).timestamp() == 1_699_999_970
    assert (await client.book("binance")).body["T"] == lab.sent("binance", "BTCUSDT") == 1_699_999_970_000
    assert (await client.book("krakenfutures")).body["serverTime"] == "2023-11-14T22:12:50.000Z"


async def test_redirect(lab: Lab, client: Client) -> None:
    lab.fault("okx", "redirect", location="http://127.0.0.1:1/gone")
    got = await client.book()
    assert (got.status, got.headers["Location"]) == (301, "http://127.0.0.1:1/gone")


async def test_bomb(lab: Lab, client: Client) -> None:
    lab.fault("okx", "bomb", megabytes=4)
    got = await client.book()
    assert got.headers["Content-Encoding"] == "gzip"
    assert len(got.raw) < 10_000
    assert gzip.decompress(got.raw) == b" " * 4_000_000
    assert len(gzipped_spaces(200)) < 500_000


def test_every_fault_has_its_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [kind for kind in FAULTS if f'"{kind}"' not in source] == []


async def test_faults_are_checked(lab: Lab) -> None:
    wrong: list[tuple[str, str, dict[str, Any]]]
    wrong = [("ftx", "html", {}), ("okx", "fire", {}), ("okx", "html", {"seconds": 1})]
    for venue, kind, args in wrong:
        with pytest.raises(ValueError, match=r"venue|fault"):
            lab.fault(venue, kind, **args)


async def test_faults_keep_to_their_path_and_symbol(lab: Lab, client: Client) -> None:
    lab.fault("krakenfutures", "html")
    lab.fault("okx", "html", path="/api/v5/market/ticker")
    lab.fault("binance", "null", symbol="ETHUSDT")
    assert (await client.book("kraken")).body["error"] == []
    assert (await client.book("okx")).body["code"] == "0"
    assert (await client.book("krakenfutures")).raw.startswith(b"<!DOCTYPE")
    assert (await client.get("okx", TICKERS["okx"])).raw.startswith(b"<!DOCTYPE")
    rows = (await client.get("binance", TICKERS["binance"])).body
    assert [r["symbol"] for r in rows if r["bidPrice"] is None] == ["ETHUSDT"]
    lab.heal("kraken")
    assert (await client.book("krakenfutures")).body["result"] == "success"
    assert (await client.get("okx", TICKERS["okx"])).raw.startswith(b"<!DOCTYPE")
    lab.heal()
    assert lab.faults == []


async def test_numbers_are_wrong_only_in_market_data(lab: Lab, client: Client) -> None:
    fault = lab.fault("okx", "no_rows", times=1)
    assert (await client.get("okx", TIME["okx"])).body["data"]
    assert fault.hits == 0
    assert (await client.book()).body["data"] == []
    assert (await client.book()).body["data"]
    assert fault.hits == 1


async def test_latency_by_venue_and_path(lab: Lab, client: Client) -> None:
    lab.latency |= {"okx": 5.0, ("okx", "/api/v5/public/"): 0.0, "krakenfutures": 5.0, "kraken": 0.0}
    assert (await client.get("okx", TIME["okx"])).status == 200
    assert (await client.book("kraken")).status == 200
    for venue in ("okx", "krakenfutures"):
        with pytest.raises(TimeoutError):
            await client.book(venue, SHORT)


async def test_answers_are_made_half_way(lab: Lab, client: Client) -> None:
    lab.latency["okx"] = 0.03
    moments: list[float] = []

    def now_ms() -> int:
        moments.append(time.monotonic())
        return 0

    lab.now_ms = now_ms
    begun = time.monotonic()
    await client.get("okx", TIME["okx"])
    assert moments[0] - begun > 0.0149
    assert time.monotonic() - moments[0] > 0.0149


async def test_truth_may_be_replaced(lab: Lab, client: Client) -> None:
    before = prices("okx", (await client.get("okx", TICKERS["okx"])).body)
    lab.truth = lab.truth.with_premium("okx", "BTC", 100)
    after = prices("okx", (await client.get("okx", TICKERS["okx"])).body)
    assert float(after[0]) / float(before[0]) == pytest.approx(1.01)


async def test_sent_knows_the_quote_time(lab: Lab, client: Client) -> None:
    times = iter(range(1_700_000_000_000, 1_700_000_000_900, 100))
    lab.now_ms = lambda: next(times)
    lab.truth = lab.truth.updating(lab.truth.market("okx", "BTC"), quote_age_ms=250)
    ticker = (await client.get("okx", TICKERS["okx"])).body
    book = (await client.book("okx")).body
    assert lab.sent("okx", "BTC-USDT-SWAP", "/api/v5/market/tickers") == int(ticker["data"][0]["ts"])
    assert lab.sent("okx", "BTC-USDT-SWAP") == int(book["data"][0]["ts"]) == 1_699_999_999_850
    assert lab.sent("okx", "ETH-USDT-SWAP") == 1_700_000_000_000
    lab.fault("okx", "html")
    await client.book("okx")
    assert lab.sent("okx", "BTC-USDT-SWAP") == 1_699_999_999_850
    await client.get("kraken", "/0/public/Ticker?pair=XBTUSD")
    assert lab.sent("kraken", "XXBTZUSD") == 1_700_000_000_300
    await client.get("kraken", "/0/public/AssetPairs")
    for venue, symbol in (("binance", "BTCUSDT"), ("kraken", "XETHZUSD")):
        with pytest.raises(LookupError):
            lab.sent(venue, symbol)


async def test_faults_follow_each_other(lab: Lab, client: Client) -> None:
    lab.fault("okx", "hang", times=1)
    lab.fault("okx", "rate_limited", times=2)
    lab.fault("okx", "crossed")
    with pytest.raises(TimeoutError):
        await client.book(limit=SHORT)
    assert [(await client.book()).body["code"] for _ in range(3)] == ["50011", "50011", "0"]


async def test_end_is_quick_and_clean() -> None:
    before = asyncio.all_tasks()
    assert min([await ending_busy() for _ in range(3)]) < 0.05
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def ending_busy() -> float:
    """Measure the seconds that a lab takes to end while all its callers wait."""
    lab = Lab()
    async with aiohttp.ClientSession() as session:
        async with lab:
            for venue, kind in (("okx", "hang"), ("binance", "hang_body"), ("kraken", "slow_drip")):
                lab.fault(venue, kind)
            asked = [asyncio.ensure_future(session.get(lab.url(venue) + path)) for venue, path in BOOK.items()]
            await until(lambda: len(lab.seen) == len(BOOK))
            begun = time.perf_counter()
        took = time.perf_counter() - begun
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(results[1], aiohttp.ClientError)
        for result in results:
            if isinstance(result, aiohttp.ClientResponse):
                result.close()
    return took


async def test_a_caller_that_leaves_frees_its_handler(lab: Lab, client: Client) -> None:
    lab.fault("okx", "hang")
    before = len(asyncio.all_tasks())
    with pytest.raises(TimeoutError):
        await client.book(limit=SHORT)
    await until(lambda: len(asyncio.all_tasks()) == before)


async def test_bodies_may_be_kept() -> None:
    truth = default_truth()
    async with Lab(truth, cache_s=60) as lab, aiohttp.ClientSession() as session:
        client = Client(lab, session)
        first, second = (await client.book()).raw, (await client.book()).raw
        assert first == second
        lab.truth = truth.with_premium("okx", "BTC", 5)
        assert (await client.book()).raw != first


def test_in_a_thread() -> None:
    with running_lab() as lab:
        for _ in range(2):
            assert fetch(lab.url("kraken"), TIME["kraken"]).body["error"] == []
        lab.fault("kraken", "status", code=500)
        assert fetch(lab.url("kraken"), TIME["kraken"]).status == 500
    assert len(lab.seen) == 3


def test_as_a_program() -> None:
    command = [sys.executable, "-m", "tests.lab", "--latency", "1", "--extra", "3"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        try:
            urls = json.loads(program.stdout.readline())
            assert sorted(urls) == ["binance", "bitget", "bybit", "htx", "kraken", "krakenfutures", "okx"]
            assert len(fetch(urls["okx"], TICKERS["okx"]).body["data"]) == 12
        finally:
            program.terminate()
