"""Inverse and dated contracts as the venues write them, read here by hand and compared with the truth."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.lab import Lab, Market, default_truth
from tests.lab.names import expiry_ms, market_id
from tests.lab.truth import Kind
from tests.lab.world import EXPIRY

NOW = 1_700_000_000_000
DIGITS = Decimal("1e-8")  # which venues write of coins
WORLD = default_truth()
ENDS = 1_798_185_600_000  # 25 December 2026, 08:00 UTC


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(WORLD, now_ms=lambda: NOW) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def get(lab: Lab, http: aiohttp.ClientSession) -> Callable[[str, str], Any]:
    async def asked(venue: str, path: str) -> Any:
        async with http.get(lab.url(venue) + path) as response:
            return json.loads(await response.read(), parse_float=Decimal)

    return asked


def based(market: Market, counted: Any, price: Any) -> Decimal:
    """Turn what a venue counts in into base units, by the meaning of its contracts."""
    if market.kind == "inverse":
        return Decimal(str(counted)) * market.contract_size / Decimal(str(price))
    return Decimal(str(counted)) * market.contract_size * market.multiplier


def near(value: Any) -> Any:
    return pytest.approx(value, rel=Decimal("1e-18"))


# what follows the market's id, and where bids and asks are
BOOKS: dict[tuple[str, str, str], tuple[str, str]] = {
    ("binance", "inverse", ""): ("/dapi/v1/depth?limit=1000&symbol=", "bids asks"),
    ("binance", "inverse", EXPIRY): ("/dapi/v1/depth?limit=1000&symbol=", "bids asks"),
    ("binance", "linear", EXPIRY): ("/fapi/v1/depth?limit=1000&symbol=", "bids asks"),
    ("okx", "inverse", ""): ("/api/v5/market/books?sz=400&instId=", "data.0.bids data.0.asks"),
    ("okx", "inverse", EXPIRY): ("/api/v5/market/books?sz=400&instId=", "data.0.bids data.0.asks"),
    ("okx", "linear", EXPIRY): ("/api/v5/market/books?sz=400&instId=", "data.0.bids data.0.asks"),
    ("bybit", "inverse", ""): ("/v5/market/orderbook?category=inverse&limit=500&symbol=", "result.b result.a"),
    ("bybit", "inverse", EXPIRY): ("/v5/market/orderbook?category=inverse&limit=500&symbol=", "result.b result.a"),
    ("bybit", "linear", EXPIRY): ("/v5/market/orderbook?category=linear&limit=500&symbol=", "result.b result.a"),
    ("htx", "inverse", ""): ("/swap-ex/market/depth?type=step0&contract_code=", "tick.bids tick.asks"),
    ("htx", "inverse", EXPIRY): ("/market/depth?type=step0&symbol=", "tick.bids tick.asks"),
    ("htx", "linear", EXPIRY): ("/linear-swap-ex/market/depth?type=step0&contract_code=", "tick.bids tick.asks"),
    ("krakenfutures", "inverse", ""): ("/derivatives/api/v3/orderbook?symbol=", "orderBook.bids orderBook.asks"),
    ("krakenfutures", "inverse", EXPIRY): ("/derivatives/api/v3/orderbook?symbol=", "orderBook.bids orderBook.asks"),
    ("krakenfutures", "linear", EXPIRY): ("/derivatives/api/v3/orderbook?symbol=", "orderBook.bids orderBook.asks"),
}
SECTIONS = pytest.mark.parametrize("section", BOOKS, ids=lambda section: "-".join(part for part in section if part))


def inside(body: Any, path: str) -> Any:
    """Return what is at a path of names and places."""
    for part in path.split("."):
        body = body[int(part)] if isinstance(body, list) else body[part]
    return body


@SECTIONS
async def test_books(lab: Lab, get: Any, section: tuple[str, Kind, str]) -> None:
    venue, kind, expiry = section
    lab.truth = lab.truth.with_premium(venue, "BTC", 17, kind, expiry).with_depeg("0.9712")
    path, sides = BOOKS[section]
    markets = lab.truth.of(venue, kind, expiry)
    assert {market.base for market in markets} == ({"BTC"} if expiry else {"BTC", "ETH"})
    for market in markets:
        body = await get(venue, path + market.id)
        for where, true in zip(sides.split(), (market.bids, market.asks), strict=True):
            rows = [(Decimal(str(row[0])), row[1]) for row in inside(body, where)]
            assert [price for price, _ in rows] == [price for price, _ in true]
            assert [based(market, size, price) for price, size in rows] == near([size for _, size in true])
            assert kind == "linear" or all(Decimal(str(size)) % 1 == 0 for _, size in rows)


TAPES = {
    ("binance", "inverse"): ("/dapi/v1/aggTrades?symbol={}", "", "p q"),
    ("okx", "inverse"): ("/api/v5/market/trades?instId={}", "data", "px sz"),
    ("bybit", "inverse"): ("/v5/market/recent-trade?category=inverse&symbol={}", "result.list", "price size"),
    ("krakenfutures", "inverse"): ("/derivatives/api/v3/history?symbol={}", "history", "price size"),
    ("htx", "inverse"): ("/swap-ex/market/history/trade?size=20&contract_code={}", "data", "price amount"),
    ("htx", "delivery"): ("/market/history/trade?size=20&symbol={}", "data", "price amount"),
    ("htx", "linear"): ("/linear-swap-ex/market/history/trade?size=20&contract_code={}", "data", "price amount"),
}


@pytest.mark.parametrize("tape", TAPES, ids="-".join)
async def test_trades(lab: Lab, get: Any, tape: tuple[str, str]) -> None:
    venue, family = tape
    path, where, names = TAPES[tape]
    price_name, size_name = names.split()
    kind: Kind = "linear" if family == "linear" else "inverse"
    market = lab.truth.market(venue, "BTC", kind, expiry="" if family == "inverse" else EXPIRY)
    body = await get(venue, path.format(market.id))
    rows = inside(body, where) if where else body
    if venue == "htx":
        rows = [trade for group in rows for trade in group["data"]]
    if venue == "binance":
        rows = rows[::-1]
    both = 2 if venue == "htx" else 1
    assert len(rows) == len(market.trades)
    for row, done in zip(rows, market.trades, strict=True):
        assert Decimal(str(row[price_name])) == done.price
        assert based(market, row[size_name], done.price) == near(both * done.size)
        if venue == "htx":
            assert float(row["quantity"]) == pytest.approx(float(2 * done.size), rel=1e-12)
            assert ("trade_turnover" in row) is (kind == "linear")


# the list of all tickers: its markets' kind and number, its rows, their name, best prices and sizes
TICKERS = {
    "/dapi/v1/ticker/bookTicker": "binance inverse 3 - symbol bidPrice bidQty askPrice askQty",
    "/fapi/v1/ticker/bookTicker": "binance linear 8 - symbol bidPrice bidQty askPrice askQty",
    "/api/v5/market/tickers?instType=SWAP": "okx inverse 2 data instId bidPx bidSz askPx askSz",
    "/api/v5/market/tickers?instType=FUTURES": "okx linear 1 data instId bidPx bidSz askPx askSz",
    "/v5/market/tickers?category=inverse": "bybit inverse 3 result.list symbol bid1Price bid1Size ask1Price ask1Size",
    "/derivatives/api/v3/tickers": "krakenfutures inverse 3 tickers symbol bid bidSize ask askSize",
    "/swap-ex/market/detail/batch_merged": "htx inverse 2 ticks contract_code bid.0 bid.1 ask.0 ask.1",
    "/market/detail/batch_merged": "htx inverse 1 ticks symbol bid.0 bid.1 ask.0 ask.1",
    "/linear-swap-ex/market/detail/batch_merged?business_type=all": (
        "htx linear 8 ticks contract_code bid.0 bid.1 ask.0 ask.1"
    ),
}


@pytest.mark.parametrize("path", TICKERS)
async def test_best_prices_of_all(lab: Lab, get: Any, path: str) -> None:
    venue, kind, count, where, key, *names = TICKERS[path].split()
    body = await get(venue, path)
    turns = {"BTC-USDT-CQ": f"BTC-USDT-{EXPIRY}", "BTC_CQ": f"BTC{EXPIRY}"}
    listed = [(row, turns.get(row[key], row[key])) for row in (body if where == "-" else inside(body, where))]
    found = [(row, lab.truth.find(venue, kind, name)) for row, name in listed]  # type: ignore[arg-type]
    markets = [(row, market) for row, market in found if market is not None]
    assert len(markets) == int(count)
    for row, market in markets:
        bid, bid_size, ask, ask_size = (inside(row, name) for name in names)
        assert [Decimal(str(bid)), Decimal(str(ask))] == [market.top.bid, market.top.ask]
        assert based(market, bid_size, bid) == near(market.top.bid_size)
        assert based(market, ask_size, ask) == near(market.top.ask_size)


async def test_volumes_in_coin_and_in_contracts(lab: Lab, get: Any) -> None:
    for base in ("BTC", "ETH"):
        row = (await get("binance", f"/dapi/v1/ticker/24hr?symbol={base}USD_PERP"))[0]
        check_volumes(lab.truth.market("binance", base, "inverse"), row["baseVolume"], row["volume"])
        row = (await get("okx", f"/api/v5/market/ticker?instId={base}-USD-SWAP"))["data"][0]
        check_volumes(lab.truth.market("okx", base, "inverse"), row["volCcy24h"], row["vol24h"])
        row = (await get("bybit", f"/v5/market/tickers?category=inverse&symbol={base}USD"))["result"]["list"][0]
        market = lab.truth.market("bybit", base, "inverse")
        check_volumes(market, row["turnover24h"], row["volume24h"])
        assert Decimal(row["openInterest"]) == 2 * Decimal(row["singleOpenInterest"])
        assert Decimal(row["singleOpenInterest"]) / (market.mark or 1) == near(market.open_interest)
        row = (await get("htx", f"/swap-ex/market/detail/merged?contract_code={base}-USD"))["tick"]
        check_volumes(lab.truth.market("htx", base, "inverse"), row["amount"], row["vol"], both=2)
        assert "trade_turnover" not in row
    row = (await get("krakenfutures", "/derivatives/api/v3/tickers/PI_XBTUSD"))["ticker"]
    market = lab.truth.market("krakenfutures", "BTC", "inverse")
    check_volumes(market, None, row["vol24h"])
    assert row["volumeQuote"] == row["vol24h"]
    assert row["openInterest"] / (market.mark or 1) == near(market.open_interest)
    assert float(row["fundingRate"]) == pytest.approx(1.25e-5 / float(market.mark or 1), rel=1e-12)


def check_volumes(market: Market, coins: Any, contracts: Any, both: int = 1) -> None:
    """Compare a day's coin and contracts, counted once or for both sides, with the truth."""
    if coins is not None:
        assert Decimal(coins) == pytest.approx(both * market.base_volume, abs=DIGITS)
    assert Decimal(contracts) * market.contract_size == near(both * market.quote_volume)
    assert Decimal(contracts) % 1 == 0


async def test_dated_tickers_have_no_funding(get: Any) -> None:
    row = (await get("krakenfutures", f"/derivatives/api/v3/tickers/FF_XBTUSD_{EXPIRY}"))["ticker"]
    assert (row["tag"], "fundingRate" in row) == ("quarter", False)
    row = (await get("bybit", "/v5/market/tickers?category=linear&symbol=BTCUSDT-25DEC26"))["result"]["list"][0]
    assert (row["fundingRate"], row["deliveryTime"]) == ("", str(ENDS))


LISTED: dict[tuple[str, str], dict[str, Any]] = {
    ("binance", "/dapi/v1/exchangeInfo symbols BTCUSD_PERP"): {
        "pair": "BTCUSD", "contractType": "PERPETUAL", "deliveryDate": 4_133_404_800_000, "contractStatus": "TRADING",
        "contractSize": 100, "marginAsset": "BTC", "quoteAsset": "USD", "pricePrecision": 1, "status": None,
    },
    ("binance", "/dapi/v1/exchangeInfo symbols BTCUSD_261225"): {
        "pair": "BTCUSD", "contractType": "CURRENT_QUARTER", "deliveryDate": ENDS,
    },
    ("binance", "/fapi/v1/exchangeInfo symbols BTCUSDT_261225"): {
        "pair": "BTCUSDT", "contractType": "CURRENT_QUARTER", "deliveryDate": ENDS, "status": "TRADING",
        "marginAsset": "USDT",
    },
    ("okx", "/api/v5/public/instruments?instType=SWAP data BTC-USD-SWAP"): {
        "ctType": "inverse", "ctVal": "100", "ctValCcy": "USD", "ctMult": "1", "settleCcy": "BTC", "expTime": "",
        "lotSz": "0.1", "minSz": "0.1", "uly": "BTC-USD", "alias": "",
    },
    ("okx", "/api/v5/public/instruments?instType=FUTURES data BTC-USD-261225"): {
        "instType": "FUTURES", "ctType": "inverse", "alias": "quarter", "expTime": str(ENDS), "uly": "BTC-USD",
    },
    ("okx", "/api/v5/public/instruments?instType=FUTURES data BTC-USDT-261225"): {
        "ctType": "linear", "ctVal": "0.01", "ctValCcy": "BTC", "settleCcy": "USDT", "lotSz": "1",
    },
    ("bybit", "/v5/market/instruments-info?category=inverse result.list BTCUSD"): {
        "contractType": "InversePerpetual", "deliveryTime": "0", "settleCoin": "BTC", "quoteCoin": "USD",
        "lotSizeFilter.qtyStep": "1", "lotSizeFilter.minOrderQty": "1",
    },
    ("bybit", "/v5/market/instruments-info?category=inverse result.list BTCUSDZ26"): {
        "contractType": "InverseFutures", "deliveryTime": str(ENDS),
    },
    ("bybit", "/v5/market/instruments-info?category=linear result.list BTCUSDT-25DEC26"): {
        "contractType": "LinearFutures", "deliveryTime": str(ENDS), "settleCoin": "USDT",
    },
    ("htx", "/swap-api/v1/swap_contract_info data BTC-USD"): {
        "symbol": "BTC", "contract_size": 100, "delivery_time": "", "business_type": None, "contract_status": 1,
    },
    ("htx", "/api/v1/contract_contract_info?symbol=BTC data BTC261225"): {
        "symbol": "BTC", "contract_size": 100, "contract_type": "quarter", "delivery_date": "20261225",
        "delivery_time": str(ENDS), "price_tick": Decimal("0.01"),
    },
    ("htx", "/linear-swap-api/v1/swap_contract_info?business_type=all data BTC-USDT-261225"): {
        "business_type": "futures", "pair": "BTC-USDT", "contract_type": "quarter", "delivery_time": str(ENDS),
        "contract_size": Decimal("0.001"), "support_margin_mode": "cross",
    },
    ("krakenfutures", "/derivatives/api/v3/instruments instruments PI_XBTUSD"): {
        "type": "futures_inverse", "contractSize": 1, "tickSize": Decimal("0.5"), "lastTradingTime": None,
        "contractValueTradePrecision": 0, "underlying": "rr_xbtusd",
    },
    ("krakenfutures", "/derivatives/api/v3/instruments instruments FI_XBTUSD_261225"): {
        "type": "futures_inverse", "lastTradingTime": "2026-12-25T16:00:00.000Z", "fundingRateCoefficient": None,
    },
    ("krakenfutures", "/derivatives/api/v3/instruments instruments FF_XBTUSD_261225"): {
        "type": "flexible_futures", "contractSize": 1, "lastTradingTime": "2026-12-25T16:00:00.000Z",
    },
}  # fmt: skip


@pytest.mark.parametrize(("venue", "place"), LISTED, ids=lambda part: part.rsplit(" ", 1)[-1])
async def test_lists(get: Any, venue: str, place: str) -> None:
    path, where, name = place.split()
    rows = [row for row in inside(await get(venue, path), where) if name in row.values()]
    assert len(rows) == 1
    for key, value in LISTED[venue, place].items():
        assert (inside(rows[0], key) if "." in key else rows[0].get(key)) == value


async def test_every_list_has_its_own(lab: Lab, get: Any) -> None:
    swaps = (await get("okx", "/api/v5/market/tickers?instType=SWAP"))["data"]
    assert {row["instId"].rpartition("-")[2] for row in swaps} == {"SWAP"}
    assert len(swaps) == 9
    announced = (await get("okx", "/api/v5/public/instruments?instType=SWAP"))["data"][-1]
    assert announced == {"instType": "SWAP", "instId": "ETH-USD_UM-SWAP", "state": "preopen"}
    futures = (await get("okx", "/api/v5/market/tickers?instType=FUTURES"))["data"]
    assert [row["instId"] for row in futures] == [f"BTC-USDT-{EXPIRY}", f"BTC-USD-{EXPIRY}"]
    linear = "/linear-swap-ex/market/detail/batch_merged"
    for business, count in (("", 7), ("?business_type=swap", 7), ("?business_type=futures", 1)):
        assert len((await get("htx", linear + business))["ticks"]) == count
    both = (await get("htx", linear + "?business_type=all"))["ticks"]
    assert [(row["contract_code"], row["business_type"]) for row in both][-1] == ("BTC-USDT-CQ", "futures")
    assert len(both) == 8
    assert len((await get("htx", "/swap-ex/market/detail/batch_merged"))["ticks"]) == 2
    for path in ("/market/detail/batch_merged", "/v2/market/detail/batch_merged"):
        assert [row["symbol"] for row in (await get("htx", path))["ticks"]] == ["BTC_CQ"]
    names = [row["symbol"] for row in (await get("krakenfutures", "/derivatives/api/v3/tickers"))["tickers"]]
    assert [name for name in names if not name.startswith(("PF", "PI", "FF", "FI"))] == ["rr_xbtusd", "in_xbtusd"]
    assert len(names) == len([m for m in lab.truth.markets if m.venue == "krakenfutures"]) + 2


async def test_coin_margined_tickers_are_lists(get: Any) -> None:
    for name in ("24hr", "bookTicker"):
        one = await get("binance", f"/dapi/v1/ticker/{name}?symbol=BTCUSD_261225")
        assert [row["symbol"] for row in one] == ["BTCUSD_261225"]
        both = await get("binance", f"/dapi/v1/ticker/{name}?pair=BTCUSD")
        assert [row["symbol"] for row in both] == ["BTCUSD_PERP", "BTCUSD_261225"]
    assert (await get("binance", "/dapi/v1/ticker/24hr?symbol=BTCUSDT"))["code"] == -1121
    assert await get("binance", "/dapi/v1/time") == {"serverTime": NOW}


async def test_a_dated_contract_goes_by_its_day_or_its_turn(get: Any) -> None:
    for path, names in (
        ("/linear-swap-ex/market/depth?type=step0&contract_code=", (f"BTC-USDT-{EXPIRY}", "BTC-USDT-CQ")),
        ("/market/depth?type=step0&symbol=", (f"BTC{EXPIRY}", "BTC_CQ", "BTC_cq")),
    ):
        bodies = [await get("htx", path + name) for name in names]
        assert all(body == bodies[0] for body in bodies)
        assert len(bodies[0]["tick"]["bids"]) == 24


async def test_refusals(lab: Lab, get: Any) -> None:
    asked = {
        ("htx", f"/market/depth?symbol=BTC{EXPIRY}"): ("err_code", 1004),
        ("htx", "/market/depth?symbol=btcusdt"): ("err-code", "gateway-internal-error"),
        ("htx", "/swap-ex/market/depth?contract_code=BTC-USD"): ("err_code", 1004),
        ("htx", "/market/detail/batch_merged"): ("err_code", 1004),
        ("binance", "/dapi/v1/depth?symbol=BTCUSD_PERP"): ("code", -1001),
    }
    for (venue, path), (key, value) in asked.items():
        lab.fault(venue, "venue_error", path=path.partition("?")[0], times=1)
        assert (await get(venue, path))[key] == value
    unknown = {
        ("htx", "/market/depth?symbol=DOGE261225"): ("err_code", 1332),
        ("htx", "/swap-ex/market/depth?contract_code=DOGE-USD"): ("err_code", 1332),
        ("okx", "/api/v5/market/books?instId=DOGE-USD-SWAP"): ("code", "51001"),
        ("bybit", "/v5/market/orderbook?category=inverse&symbol=BTCUSDT"): ("retCode", 10001),
        ("krakenfutures", "/derivatives/api/v3/orderbook?symbol=PI_DOGEUSD"): ("result", "error"),
    }
    for (venue, path), (key, value) in unknown.items():
        assert (await get(venue, path))[key] == value


async def test_faults_of_numbers_keep_the_contracts(lab: Lab, get: Any) -> None:
    path = "/dapi/v1/depth?symbol=BTCUSD_PERP&limit=5"
    fair = (await get("binance", path))["bids"]
    lab.fault("binance", "crossed", symbol="BTCUSD_PERP", times=1)
    crossed = (await get("binance", path))["bids"]
    lab.fault("binance", "negative", symbol="BTCUSD_PERP", times=1)
    negative = (await get("binance", path))["bids"]
    assert [size for _, size in crossed] == [size for _, size in negative] == [size for _, size in fair]
    assert [Decimal(price) for price, _ in negative] == [-Decimal(price) for price, _ in fair]
    assert Decimal(crossed[0][0]) > Decimal(fair[0][0])
    lab.fault("binance", "null", symbol="BTCUSD_PERP", times=1)
    assert {price for price, _ in (await get("binance", path))["bids"]} == {None}


@pytest.mark.parametrize(
    ("venue", "path", "symbol", "other"),
    [
        ("binance", "/dapi/v1/depth?symbol=BTCUSD_PERP", "BTCUSD_PERP", '"symbol": "ETHUSD_PERP"'),
        ("okx", "/api/v5/market/ticker?instId=BTC-USD-SWAP", "BTC-USD-SWAP", '"instId": "ETH-USD-SWAP"'),
        ("okx", "/api/v5/market/ticker?instId=BTC-USDT-261225", "BTC-USDT-261225", '"instId": "BTC-USDT-SWAP"'),
        ("bybit", "/v5/market/orderbook?category=inverse&symbol=BTCUSD", "BTCUSD", '"s": "ETHUSD"'),
        ("htx", "/swap-ex/market/depth?contract_code=BTC-USD", "BTC-USD", "market.ETH-USD.depth"),
        ("htx", "/market/depth?symbol=BTC_CQ", "BTC261225", "The contract doesn't exist."),
        ("krakenfutures", "/derivatives/api/v3/tickers/PI_XBTUSD", "PI_XBTUSD", '"symbol": "PI_ETHUSD"'),
    ],
)
async def test_ages_and_wrong_symbols(
    lab: Lab, http: aiohttp.ClientSession, get: Any, venue: str, path: str, symbol: str, other: str
) -> None:
    lab.fault(venue, "stale", seconds=42, times=1)
    await get(venue, path)
    assert lab.sent(venue, symbol) == NOW - 42_000
    lab.fault(venue, "wrong_symbol", times=1)
    async with http.get(lab.url(venue) + path) as response:
        assert other in await response.text()


async def test_what_a_list_did_not_hold_was_not_sent(http: aiohttp.ClientSession) -> None:
    async with Lab(WORLD) as fresh:
        for venue, path in (
            ("okx", "/api/v5/market/tickers?instType=SWAP"),
            ("htx", "/linear-swap-ex/market/detail/batch_merged?business_type=swap"),
        ):
            async with http.get(fresh.url(venue) + path):
                pass
        for venue, symbol in (("okx", f"BTC-USDT-{EXPIRY}"), ("okx", "BTC-USDT"), ("htx", f"BTC-USDT-{EXPIRY}")):
            with pytest.raises(LookupError):
                fresh.sent(venue, symbol)
        assert fresh.sent("okx", "BTC-USD-SWAP")
        assert fresh.sent("htx", "BTC-USDT")


async def test_coin_margined_weight_is_counted_apart(http: aiohttp.ClientSession) -> None:
    async with Lab(WORLD, now_ms=lambda: NOW) as fresh:
        seen = []
        for path in ("/fapi/v1/ticker/24hr", "/dapi/v1/ticker/24hr?pair=BTCUSD", "/dapi/v1/ticker/bookTicker"):
            async with http.get(fresh.url("binance") + path) as response:
                seen.append(response.headers["X-MBX-USED-WEIGHT-1M"])
    assert seen == ["40", "1", "6"]


@pytest.mark.parametrize("expiry", ["", EXPIRY])
@pytest.mark.parametrize("venue", ["binance", "okx", "bybit", "htx", "krakenfutures"])
async def test_another_wire_for_the_same_truth(lab: Lab, get: Any, venue: str, expiry: str) -> None:
    plain = lab.truth.market(venue, "BTC", "linear", expiry=expiry)
    size = Decimal(1) if venue == "bybit" else Decimal(7)
    inverse = plain.as_inverse(size)
    for name in ("bids", "asks", "trades", "base_volume", "vwap", "tick", "open_interest", "last"):
        assert getattr(inverse, name) == getattr(plain, name)
    assert (inverse.kind, inverse.quote, inverse.contract_size, inverse.lot) == ("inverse", "USD", size, size)
    assert inverse.id == lab.truth.market(venue, "BTC", "inverse", expiry=expiry).id
    back = inverse.as_linear()
    assert (back.id, back.quote, back.bids) == (plain.id, plain.quote, plain.bids)
    lab.truth = lab.truth.replacing(inverse)
    path, sides = BOOKS[venue, "inverse", expiry]
    rows = inside(await get(venue, path + inverse.id), sides.split()[0])
    read = [based(inverse, row[1], row[0]) for row in rows]
    assert read == pytest.approx([size for _, size in plain.bids], rel=Decimal("1e-9"))


def test_contract_sizes_change_the_wire_alone() -> None:
    plain = WORLD.market("okx", "ETH", "inverse")
    other = plain.with_contract_size(Decimal(3))
    assert (other.bids, other.base_volume, other.lot) == (plain.bids, plain.base_volume, plain.lot * 3 / 10)
    price, size = plain.bids[0]
    assert other.wire_size(size, price) == pytest.approx(plain.wire_size(size, price) * 10 / 3, abs=Decimal("1e-11"))
    for venue, kind in (("binance", "linear"), ("bybit", "inverse"), ("okx", "spot")):
        with pytest.raises(ValueError, match="states no size"):
            WORLD.market(venue, "ETH", kind).with_contract_size(Decimal(3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at a price"):
        plain.wire_size(Decimal(1))


def test_inverse_coins_by_the_thousand() -> None:
    plain = WORLD.market("binance", "ETH", "inverse")
    coin = dataclasses.replace(plain, multiplier=Decimal(1000))
    price, size = plain.bids[0]
    assert (coin.wire_base, coin.wire_price(price)) == ("1000ETH", 1000 * price)
    assert coin.wire_size(size, price) == plain.wire_size(size, price)
    assert 1000 * coin.coin_volume == plain.base_volume
    assert coin.as_linear().id == "1000ETHUSDT"


def test_names_and_ends() -> None:
    assert expiry_ms(EXPIRY) == ENDS
    assert expiry_ms(EXPIRY, 16) - ENDS == 8 * 3_600_000
    assert market_id("bybit", "inverse", "ETH", "USD", "270326") == "ETHUSDH27"
    assert market_id("bybit", "linear", "ETH", "USDT", "270604") == "ETHUSDT-4JUN27"
    assert market_id("krakenfutures", "linear", "ETH", "USD", "270326") == "FF_ETHUSD_270326"
    assert market_id("htx", "inverse", "ETH", "USD", "270326") == "ETH270326"
