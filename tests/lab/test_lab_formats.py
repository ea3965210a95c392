"""Plain ccxt, which knows the venues' formats and nothing of the lab, must read the truth from it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import ccxt.async_support as ccxt
import pytest

from tests.lab import Lab, Market, bitget_markets, currency_markets, default_truth, extra_markets
from tests.lab.truth import Kind, Side
from tests.lab.wire import uuid_of
from tests.lab.world import EXPIRY


class Reader(NamedTuple):
    """A ccxt class and the markets of the truth that it reads."""

    name: str
    venue: str
    kind: Kind
    types: Any = None


BYBIT_TYPES = ["spot", "linear", "inverse", "option"]
HTX_TYPES = {"spot": True, "linear": True, "inverse": True}
WORLD = default_truth().adding(bitget_markets())
READERS = [
    Reader("binanceusdm", "binance", "linear"),
    Reader("binance", "binance", "spot", ["spot", "linear", "inverse"]),
    Reader("okx", "okx", "linear", ["spot", "swap", "future", "option"]),
    Reader("okx", "okx", "spot", ["spot", "swap", "future", "option"]),
    Reader("kraken", "kraken", "spot"),
    Reader("krakenfutures", "krakenfutures", "linear"),
    Reader("bybit", "bybit", "linear", BYBIT_TYPES),
    Reader("bybit", "bybit", "spot", BYBIT_TYPES),
    Reader("htx", "htx", "linear", HTX_TYPES),
    Reader("htx", "htx", "spot", HTX_TYPES),
    Reader("bitget", "bitget", "linear"),
    Reader("bitget", "bitget", "spot"),
    Reader("binance", "binance", "inverse", ["spot", "linear", "inverse"]),
    Reader("okx", "okx", "inverse", ["spot", "swap", "future"]),
    Reader("krakenfutures", "krakenfutures", "inverse"),
    Reader("bybit", "bybit", "inverse", BYBIT_TYPES),
    Reader("htx", "htx", "inverse", HTX_TYPES),
]
over_readers = pytest.mark.parametrize("reader", READERS, ids=lambda r: f"{r.name}-{r.kind}")


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(WORLD) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def moved(urls: Any, base: str) -> Any:
    """Point every URL at the lab and keep its path."""
    if isinstance(urls, dict):
        return {key: moved(value, base) for key, value in urls.items()}
    return base + urlsplit(urls.replace("{hostname}", "host")).path


@asynccontextmanager
async def reading(reader: Reader, lab: Lab) -> AsyncIterator[Any]:
    """Open a ccxt exchange that asks the lab, with its markets loaded."""
    settings: dict[str, Any] = {"enableRateLimit": False}
    if reader.types:
        settings["options"] = {"fetchMarkets": {"types": reader.types}}
    exchange = getattr(ccxt, reader.name)(settings)
    exchange.timeout_on_exit = 0
    exchange.urls["api"] = moved(exchange.urls["api"], lab.url(reader.venue))
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


def symbol(market: Market) -> str:
    """Return the name that ccxt gives a market."""
    settle = {"spot": "", "linear": f":{market.quote}", "inverse": f":{market.wire_base}"}[market.kind]
    return f"{market.wire_base}/{market.quote}{settle}" + (f"-{market.expiry}" if market.expiry else "")


def counted(market: Market, size: Decimal, price: Decimal) -> float:
    """Turn a size at a price into what ccxt returns: contracts or coins, as the venue counts."""
    if market.kind == "inverse":
        return float(round(size * price / market.contract_size, 9))
    return float(size / market.contract_size / market.multiplier)


def stepped(market: Market, step: Decimal) -> float:
    """Turn a step into what ccxt returns."""
    return float(step / market.contract_size / (1 if market.kind == "inverse" else market.multiplier))


def priced(market: Market, price: Decimal) -> float:
    return float(price * market.multiplier)


def levels(market: Market, side: Side) -> list[list[float]]:
    return [[priced(market, price), counted(market, size, price)] for price, size in side]


def sides(market: Market) -> int:
    """How often a venue counts what changed hands: HTX's contracts for the buyer and for the seller."""
    return 2 if market.venue == "htx" and market.kind != "spot" else 1


def asked_type(reader: Reader) -> dict[str, Any]:
    """Return the parameters that make ccxt ask for the reader's kind of market."""
    if reader.kind == "inverse":
        return {} if reader.name == "krakenfutures" else {"type": "swap", "subType": "inverse"}
    usual = {"okx": "spot", "htx": "spot", "bitget": "spot", "bybit": "linear"}.get(reader.name, reader.kind)
    return {} if usual == reader.kind else {"type": "swap" if reader.kind == "linear" else "spot"}


@over_readers
async def test_markets(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        for market in lab.truth.of(reader.venue, reader.kind, None):
            row = exchange.markets[symbol(market)]
            assert row["id"] == market.id
            assert row["active"]
            assert row["contractSize"] == (None if market.kind == "spot" else float(market.contract_size))
            assert row["inverse"] in ({True} if market.kind == "inverse" else {False, None})
            assert row["precision"]["price"] == float(market.tick)
            assert row["precision"]["amount"] == stepped(market, market.lot)
            least = row["limits"]["cost" if (reader.name, reader.kind) == ("htx", "inverse") else "amount"]["min"]
            if sides(market) == 2:  # which ccxt states in coins or quote units here
                assert least == float(market.min_amount)
            elif reader.name != "krakenfutures":  # its list names no limits
                assert least == stepped(market, market.min_amount)
            if market.min_notional is not None and market.kind != "inverse":  # ccxt leaves Bybit's out
                assert row["limits"]["cost"]["min"] == float(market.min_notional)


@over_readers
async def test_tickers(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        rows = await exchange.fetch_tickers(params=asked_type(reader))
        for market in lab.truth.of(reader.venue, reader.kind):
            check_ticker(reader, market, rows[symbol(market)])


@over_readers
async def test_one_ticker(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        for market in lab.truth.of(reader.venue, reader.kind, None):
            check_ticker(reader, market, await exchange.fetch_ticker(symbol(market)))


def check_ticker(reader: Reader, market: Market, row: dict[str, Any]) -> None:
    """Compare a ccxt ticker with the truth, in the units and gaps that ccxt is known for."""
    assert row["last"] == float(market.last)
    best = levels(market, (market.bids[0], market.asks[0]))
    seen = [row[name] for name in ("bid", "bidVolume", "ask", "askVolume")]
    if reader.venue == "binance" and reader.kind != "spot":
        assert seen == [None] * 4
    else:
        assert seen == best[0] + best[1]
    if market.kind == "inverse":
        check_inverse_volumes(reader, market, row)
        return
    volume = float(2 * market.base_volume) if sides(market) == 2 else counted(market, market.base_volume, market.vwap)
    assert row["baseVolume"] == pytest.approx(volume, rel=1e-15)
    if reader.name == "krakenfutures":
        assert row["high"] is None
        assert row["markPrice"] == float(market.mark or 0)
        assert row["info"]["volumeQuote"] == float(market.quote_volume)
    else:
        assert [row["high"], row["low"]] == [float(market.high), float(market.low)]
    assert row["open"] == float(market.midnight_open if reader.name == "kraken" else market.open)
    if reader.name == "okx" and market.kind == "linear":
        assert row["quoteVolume"] is None
        assert Decimal(row["info"]["volCcy24h"]) == market.base_volume
    elif reader.name != "krakenfutures":
        assert row["quoteVolume"] == pytest.approx(float(sides(market) * market.quote_volume), rel=1e-15)


def check_inverse_volumes(reader: Reader, market: Market, row: dict[str, Any]) -> None:
    """Compare what ccxt makes of an inverse contract's volumes, at some venues the wrong way round, with the truth."""
    coins, dollars = float(sides(market) * market.base_volume), float(sides(market) * market.quote_volume)
    contracts = dollars / float(market.contract_size)
    expected: dict[str, tuple[float | None, float | None]] = {
        "binance": (coins, dollars),
        "okx": (contracts, None),
        "krakenfutures": (None, contracts),
        "bybit": (dollars, coins),
        "htx": (coins, dollars),
    }
    for name, want in zip(("baseVolume", "quoteVolume"), expected[reader.name], strict=True):
        assert row[name] == (None if want is None else pytest.approx(want, rel=1e-9))


@over_readers
async def test_order_book(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        for market in lab.truth.of(reader.venue, reader.kind, None):
            limit = 24 if reader.name == "krakenfutures" or sides(market) == 2 else 5  # those ignore a limit
            book = await exchange.fetch_order_book(symbol(market), 5)
            assert [row[:2] for row in book["bids"]] == levels(market, market.bids[:limit])
            assert [row[:2] for row in book["asks"]] == levels(market, market.asks[:limit])
            if reader.name not in ("kraken", "binance", "krakenfutures"):
                assert book["timestamp"] == lab.sent(reader.venue, market.id)


@over_readers
async def test_trades(lab: Lab, reader: Reader) -> None:
    lab.now_ms = lambda: NOW
    options = {"method": "publicGetHistory"} if reader.name == "krakenfutures" else {}
    async with reading(reader, lab) as exchange:
        await check_trades(exchange, lab.truth.market(reader.venue, "ETH", reader.kind), options)
        for market in lab.truth.of(reader.venue, reader.kind, EXPIRY):
            await check_trades(exchange, market, options)


async def check_trades(exchange: Any, market: Market, options: dict[str, Any]) -> None:
    """Compare the trades that ccxt reads with the truth."""
    rows = await exchange.fetch_trades(symbol(market), None, 100, options)
    assert len(rows) == len(market.trades) == 12
    for row, done in zip(rows, reversed(market.trades), strict=True):
        assert [row["side"], row["price"], row["timestamp"]] == [done.side, float(done.price), NOW - done.age_ms]
        seen = row["info"]["size"] if (market.venue, market.kind) == ("krakenfutures", "inverse") else row["amount"]
        assert seen == sides(market) * counted(market, done.size, done.price)
        assert row["id"] in (done.id, uuid_of(done.id))
        if sides(market) == 2:
            assert row["info"]["quantity"] == float(2 * done.size)
        if sides(market) == 2 and market.kind == "linear":
            assert row["cost"] == pytest.approx(float(2 * done.size * done.price), rel=1e-15)


@pytest.mark.parametrize("reader", [r for r in READERS if r.venue == "binance"], ids=lambda r: f"{r.name}-{r.kind}")
async def test_binance_best_prices(lab: Lab, reader: Reader) -> None:
    hosts = {"linear": "/fapi/v1", "inverse": "/dapi/v1"}
    async with reading(reader, lab) as exchange:
        rows = await exchange.fetch_bids_asks(params=asked_type(reader) if reader.kind == "inverse" else {})
        for market in lab.truth.of(reader.venue, reader.kind, None):
            row = rows[symbol(market)]
            bid, ask = levels(market, (market.bids[0], market.asks[0]))
            assert [row["bid"], row["bidVolume"], row["ask"], row["askVolume"]] == bid + ask
            path = hosts.get(market.kind, "") + "/ticker/bookTicker"
            assert row["timestamp"] == (None if market.kind == "spot" else lab.sent("binance", market.id, path))


@over_readers
async def test_time_and_status(lab: Lab, reader: Reader) -> None:
    lab.now_ms = lambda: 1_700_000_000_000
    async with reading(reader, lab) as exchange:
        if exchange.has["fetchTime"]:
            assert await exchange.fetch_time() == 1_700_000_000_000
        if exchange.has["fetchStatus"]:
            assert (await exchange.fetch_status())["status"] == "ok"


@over_readers
async def test_unknown_symbol(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        asked = symbol(lab.truth.market(reader.venue, "BTC", reader.kind))
        lab.truth = lab.truth.only("ETH")
        with pytest.raises(ccxt.ExchangeError) as caught:
            await exchange.fetch_order_book(asked)
    kind = {"kraken": ccxt.ExchangeError, "krakenfutures": ccxt.BadRequest}.get(reader.name, ccxt.BadSymbol)
    kind = {"bybit": ccxt.BadRequest, "bitget": ccxt.ExchangeError}.get(reader.name, kind)
    assert type(caught.value) is (ccxt.ExchangeError if reader.name == "htx" and reader.kind != "spot" else kind)


@over_readers
async def test_closed_markets(lab: Lab, reader: Reader) -> None:
    market = lab.truth.market(reader.venue, "BTC", reader.kind)
    lab.truth = lab.truth.updating(market, active=False)
    async with reading(reader, lab) as exchange:
        assert exchange.markets[symbol(market)]["active"] is False


async def test_suspended_futures_say_so(lab: Lab, http: aiohttp.ClientSession) -> None:
    lab.truth = lab.truth.updating(lab.truth.market("krakenfutures", "BTC"), suspended=True)
    url = lab.url("krakenfutures") + "/derivatives/api/v3/tickers"
    async with http.get(url) as response:
        rows = (await response.json())["tickers"]
    assert [row["symbol"] for row in rows if row.get("suspended")] == ["PF_XBTUSD"]
    assert rows[-1]["symbol"] == "in_xbtusd"


NOW = 1_700_000_000_000
WRITTEN: dict[tuple[str, str], Any] = {
    ("binance", "/fapi/v1/ticker/24hr?symbol=BTCUSDT"): {
        "symbol": "BTCUSDT",
        "priceChange": "1158.10",
        "priceChangePercent": "1.215",
        "weightedAvgPrice": "96126.40",
        "lastPrice": "96512.40",
        "lastQty": "0.001",
        "openPrice": "95354.30",
        "highPrice": "97960.10",
        "lowPrice": "94678.70",
        "volume": "150213.482",
        "quoteVolume": "14439481256.1248",
        "openTime": NOW - 86_400_500,
        "closeTime": NOW - 500,
        "firstId": 6000000000,
        "lastId": 6003000000,
        "count": 3000001,
    },
    ("binance", "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT"): {
        "symbol": "BTCUSDT",
        "bidPrice": "96512.40",
        "bidQty": "6.214",
        "askPrice": "96512.50",
        "askQty": "5.592",
        "time": NOW - 500,
    },
    ("binance", "/api/v3/ticker/bookTicker?symbol=BTCUSDT"): {
        "symbol": "BTCUSDT",
        "bidPrice": "96482.48000000",
        "bidQty": "3.41200000",
        "askPrice": "96482.49000000",
        "askQty": "3.07000000",
    },
    ("binance", "/fapi/v1/depth?symbol=XRPUSDT&limit=1000"): {"E": NOW - 494, "T": NOW - 500},
    ("okx", "/api/v5/market/ticker?instId=BTC-USDT-SWAP"): {
        "instType": "SWAP",
        "instId": "BTC-USDT-SWAP",
        "last": "96526.8",
        "lastSz": "0.01",
        "askPx": "96526.9",
        "askSz": "433.8",
        "bidPx": "96526.8",
        "bidSz": "482.1",
        "open24h": "95368.6",
        "high24h": "97974.8",
        "low24h": "94692.9",
        "volCcy24h": "60118.734",
        "vol24h": "6011873.4",
        "ts": str(NOW - 500),
        "sodUtc0": "95947.7",
        "sodUtc8": "95368.6",
    },
    ("kraken", "/0/public/Ticker?pair=XXBTZUSD"): {
        "a": ["96416.90000", "1", "0.837"],
        "b": ["96416.80000", "1", "0.931"],
        "c": ["96416.80000", "0.00005000"],
        "v": ["885.73367200", "2214.33418000"],
        "p": ["96224.00000", "96031.20000"],
        "t": [1200, 3100],
        "l": ["95500.90000", "94585.00000"],
        "h": ["97140.00000", "97863.10000"],
        "o": "95838.40000",
    },
    ("kraken", "/0/public/Depth?pair=XXBTZUSD&count=1"): {
        "asks": [["96416.90000", "0.837", 1_699_999_999]],
        "bids": [["96416.80000", "0.931", 1_699_999_999]],
    },
    ("bybit", "/v5/market/tickers?category=linear&symbol=BTCUSDT"): {
        "symbol": "BTCUSDT",
        "bid1Price": "96519.1",
        "bid1Size": "3.418",
        "ask1Price": "96519.2",
        "ask1Size": "3.076",
        "lastPrice": "96519.1",
        "prevPrice24h": "95360.9",
        "price24hPcnt": "0.012145",
        "highPrice24h": "97966.9",
        "lowPrice24h": "94685.3",
        "turnover24h": "7806403115.4403",
        "volume24h": "81204.1130",
        "markPrice": "96519.2",
        "indexPrice": "96490.2",
        "prevPrice1h": "95940.0",
        "openInterest": "54136.076",
        "openInterestValue": "5225170746.66",
        "singleOpenInterest": "27068.038",
        "fundingRate": "0.0001",
        "fundingIntervalHour": "8",
        "nextFundingTime": "1700006400000",
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
    },
    ("bybit", "/v5/market/recent-trade?category=spot&symbol=BTCUSDT&limit=1"): {
        "execId": "432030411",
        "symbol": "BTCUSDT",
        "price": "96486.3",
        "size": "0.042",
        "side": "Sell",
        "time": str(NOW - 200),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": "432030411",
    },
    ("htx", "/market/tickers"): {
        "symbol": "btcusdt",
        "open": 95329.46,
        "high": 97934.62,
        "low": 94654.05,
        "close": 96487.3,
        "count": 265846,
        "amount": 4104.418331,
        "vol": 394440183.61803013,
        "bid": 96487.3,
        "bidSize": 1.312,
        "ask": 96487.31,
        "askSize": 1.18,
    },
    ("htx", "/linear-swap-ex/market/detail/batch_merged"): {
        "contract_code": "BTC-USDT",
        "business_type": "swap",
        "id": 1_699_999_999,
        "open": "95345.7",
        "high": "97951.3",
        "low": "94670.1",
        "close": "96503.7",
        "count": 531692,
        "amount": "42088.236",
        "vol": "42088236",
        "trade_turnover": "4045424441.3772",
        "bid": [96503.7, 1904],
        "ask": [96503.8, 1713],
        "ts": NOW - 500,
    },
    ("htx", "/linear-swap-ex/market/history/trade?contract_code=BTC-USDT&size=1"): {
        "price": 96503.7,
        "direction": "sell",
        "ts": NOW - 200,
        "id": 255767736,
        "amount": 76,
        "quantity": 0.076,
        "trade_turnover": 7334.2812,
    },
    ("okx", "/api/v5/market/trades?instId=BTC-USDT-SWAP&limit=1"): {
        "instId": "BTC-USDT-SWAP",
        "side": "sell",
        "sz": "9.6",
        "source": "0",
        "px": "96526.8",
        "tradeId": "109956161",
        "ts": str(NOW - 200),
    },
    ("binance", "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1"): {
        "a": 198030543,
        "p": "96512.40",
        "q": "0.124",
        "f": 198030543,
        "l": 198030543,
        "T": NOW - 200,
        "m": True,
    },
    ("krakenfutures", "/derivatives/api/v3/history?symbol=PF_XBTUSD"): {
        "time": "2023-11-14T22:13:19.800Z",
        "trade_id": 137348428,
        "price": 96426,
        "size": 0.014,
        "side": "sell",
        "type": "fill",
        "uid": "00000000-082f-c54c-0000-0000082fc54c",
    },
    ("krakenfutures", "/derivatives/api/v3/tickers/PF_XBTUSD"): {
        "symbol": "PF_XBTUSD",
        "last": 96426,
        "lastTime": "2023-11-14T22:11:50.000Z",
        "lastSize": 0.0001,
        "tag": "perpetual",
        "pair": "XBT:USD",
        "markPrice": 96427,
        "bid": 96426,
        "bidSize": 0.742,
        "ask": 96427,
        "askSize": 0.667,
        "vol24h": 5021.4433,
        "volumeQuote": 482264435.9753,
        "openInterest": 1673.8144,
        "open24h": 95269,
        "high24h": 97873,
        "low24h": 94594,
        "fundingRate": 1.2053375,
        "fundingRatePrediction": 1.2053375,
        "indexPrice": 96398,
        "suspended": False,
        "postOnly": False,
        "change24h": 1.21,
    },
}


def content(body: Any) -> Any:
    """Return what is inside an envelope, and the first row of what is a list."""
    if isinstance(body, list):
        return content(body[0])
    names = ("data", "result", "ticker", "list", "ticks", "tick", "history", "XXBTZUSD")
    held = [body[name] for name in names if isinstance(body.get(name), dict | list)]
    return content(held[0]) if held else body


@pytest.mark.parametrize(("venue", "path"), WRITTEN, ids=lambda part: part.rsplit("/", 1)[-1])
async def test_rows_as_the_venues_write_them(lab: Lab, http: aiohttp.ClientSession, venue: str, path: str) -> None:
    lab.now_ms = lambda: NOW
    lab.truth = lab.truth.changed(lambda market: dataclasses.replace(market, quote_age_ms=500))
    async with http.get(lab.url(venue) + path) as response:
        body = await response.json()
    row, expected = content(body), WRITTEN[venue, path]
    written = {key: value for key, value in row.items() if key in expected or "depth" not in path}
    assert json.dumps(written, sort_keys=True) == json.dumps(expected, sort_keys=True)


BOOKS = {
    ("binance", "linear"): ("/fapi/v1/depth?symbol={}", ()),
    ("binance", "spot"): ("/api/v3/depth?symbol={}", ()),
    ("okx", "linear"): ("/api/v5/market/books?instId={}&sz=400", ("data", 0)),
    ("okx", "spot"): ("/api/v5/market/books?instId={}&sz=400", ("data", 0)),
    ("kraken", "spot"): ("/0/public/Depth?pair={0}", ("result", "{0}")),
    ("krakenfutures", "linear"): ("/derivatives/api/v3/orderbook?symbol={}", ("orderBook",)),
    ("bybit", "linear"): ("/v5/market/orderbook?category=linear&symbol={}&limit=1000", ("result",)),
    ("bybit", "spot"): ("/v5/market/orderbook?category=spot&symbol={}&limit=200", ("result",)),
    ("htx", "linear"): ("/linear-swap-ex/market/depth?contract_code={}&type=step0", ("tick",)),
    ("htx", "spot"): ("/market/depth?symbol={}&type=step0", ("tick",)),
    ("bitget", "linear"): ("/api/v2/mix/market/merge-depth?productType=USDT-FUTURES&symbol={}", ("data",)),
    ("bitget", "spot"): ("/api/v2/spot/market/orderbook?symbol={}", ("data",)),
}


@pytest.mark.parametrize("where", BOOKS, ids="-".join)
async def test_books_are_exact(lab: Lab, http: aiohttp.ClientSession, where: tuple[str, Kind]) -> None:
    world = default_truth(levels=60).adding(bitget_markets(60))
    lab.truth = world.with_premium(where[0], "ETH", 17).with_depeg("0.9712")
    path, inside = BOOKS[where]
    for market in lab.truth.of(*where):
        async with http.get(lab.url(where[0]) + path.format(market.id)) as response:
            body = json.loads(await response.read(), parse_float=Decimal)
        for key in inside:
            body = body[key.format(market.id) if isinstance(key, str) else key]
        for side, true in (("bids", market.bids), ("asks", market.asks)):
            rows = body[side] if side in body else body[side[0]]
            read = [(Decimal(row[0]), Decimal(row[1]) * market.contract_size) for row in rows]
            assert tuple(read) == true


async def test_pairs_by_any_name(lab: Lab, http: aiohttp.ClientSession) -> None:
    for name in ("XXBTZUSD", "XBTUSD", "XBT/USD"):
        async with http.get(lab.url("kraken") + "/0/public/Depth", params={"pair": name, "count": "1"}) as response:
            assert list((await response.json())["result"]) == ["XXBTZUSD"]


@pytest.mark.parametrize(
    "reader", [r for r in READERS if r.kind == "spot" and r.venue != "bitget"], ids=lambda r: r.name
)
async def test_pairs_of_other_currencies(lab: Lab, reader: Reader) -> None:
    added = [market for market in currency_markets() if market.venue == reader.venue]
    lab.truth = lab.truth.adding(added)
    async with reading(reader, lab) as exchange:
        assert len(added) == {"binance": 8, "kraken": 8}.get(reader.venue, 1)
        rows = await exchange.fetch_tickers(params=asked_type(reader))
        for market in added:
            assert exchange.markets[symbol(market)]["id"] == market.id
            assert exchange.markets[symbol(market)]["precision"]["price"] == float(market.tick)
            check_ticker(reader, market, rows[symbol(market)])
        book = await exchange.fetch_order_book(symbol(added[0]), 5)
        assert [row[:2] for row in book["bids"]] == levels(added[0], added[0].bids[:5])


THOUSANDS = {
    "binanceusdm": {"1000PEPE", "1000SHIB"},
    "okx": {"PEPE", "SHIB"},
    "krakenfutures": {"PEPE"},
    "bybit": {"1000PEPE", "SHIB1000"},
    "htx": {"PEPE"},
}


@pytest.mark.parametrize(
    "reader", [r for r in READERS if r.name in THOUSANDS and r.kind == "linear"], ids=lambda r: r.name
)
async def test_coins_by_the_thousand(lab: Lab, reader: Reader) -> None:
    lab.truth = lab.truth.adding(extra_markets())
    markets = [m for m in lab.truth.of(reader.venue, "linear") if m.base in ("PEPE", "SHIB")]
    async with reading(reader, lab) as exchange:
        assert {exchange.markets[symbol(market)]["base"] for market in markets} == THOUSANDS[reader.name]
        for market in markets:
            row = exchange.markets[symbol(market)]
            assert row["id"] == market.id
            assert row["contractSize"] == float(market.contract_size)
            steps = [row["precision"]["price"], row["precision"]["amount"]]
            assert steps == [priced(market, market.tick), stepped(market, market.lot)]
            book = await exchange.fetch_order_book(symbol(market), 20)
            assert [level[:2] for level in book["bids"][:5]] == levels(market, market.bids[:5])
            ticker = await exchange.fetch_ticker(symbol(market))
            assert ticker["last"] == priced(market, market.last)
            whole = sides(market) * market.base_volume / market.multiplier
            contracts = market.contract_size if reader.name == "okx" else 1
            assert ticker["baseVolume"] == float(whole / contracts)


@pytest.mark.parametrize(("venue", "kind"), BOOKS, ids=map("-".join, BOOKS))
async def test_a_scale_that_no_name_tells(lab: Lab, venue: str, kind: Kind) -> None:
    plain = lab.truth.market(venue, "ETH", kind)
    lab.truth = lab.truth.with_scale(venue, "ETH", 1000, kind)
    market = lab.truth.find(venue, kind, plain.id)
    assert market is not None
    assert (market.bids, market.base, market.wire_base) == (plain.bids, "ETH", "ETH")
    (reader,) = [r for r in READERS if (r.venue, r.kind) == (venue, kind)][:1]
    async with reading(reader, lab) as exchange:
        row, asked = exchange.markets[symbol(plain)], symbol(plain)
        assert row["precision"]["price"] in (float(1000 * plain.tick), 1)  # some lists have no step above one
        book = await exchange.fetch_order_book(asked, 5)
        price, size = book["bids"][0][:2]
        assert price == float(1000 * plain.bids[0][0])
        assert size * (row["contractSize"] or 1) == pytest.approx(float(plain.bids[0][1] / 1000), rel=1e-2)
        ticker = await exchange.fetch_ticker(asked)
        assert ticker["last"] == float(1000 * plain.last)
        coins = plain.base_volume / (plain.contract_size if venue == "okx" and kind == "linear" else 1000)
        assert ticker["baseVolume"] == pytest.approx(float(sides(plain) * coins), rel=1e-9)


async def test_bybit_lists_its_perpetuals_in_pages(lab: Lab, http: aiohttp.ClientSession) -> None:
    path, pages = lab.url("bybit") + "/v5/market/instruments-info", []
    query = {"category": "linear", "limit": "3"}
    while query.get("cursor") != "":
        async with http.get(path, params=query) as response:
            result = (await response.json())["result"]
        pages.append([row["symbol"] for row in result["list"]])
        query["cursor"] = result["nextPageCursor"]
    assert [len(page) for page in pages] == [3, 3, 2]
    assert [name for page in pages for name in page] == [m.id for m in lab.truth.of("bybit", "linear", None)]
    async with http.get(path, params={"category": "linear", "status": "PreLaunch"}) as response:
        assert (await response.json())["result"] == {"category": "linear", "list": [], "nextPageCursor": ""}
    async with http.get(path, params={"category": "spot", "limit": "3"}) as response:
        assert list((await response.json())["result"]) == ["category", "list"]


async def test_htx_takes_its_own_depths_alone(lab: Lab, http: aiohttp.ClientSession) -> None:
    lab.truth = default_truth(levels=200)
    taken = {"5": 5, "20": 20, "150": 150, "": 150}
    for depth, levels_ in taken.items():
        path = "/market/depth?symbol=btcusdt&type=step0" + (f"&depth={depth}" if depth else "")
        async with http.get(lab.url("htx") + path) as response:
            assert len((await response.json())["tick"]["asks"]) == levels_
    async with http.get(lab.url("htx") + "/market/depth?symbol=btcusdt&type=step0&depth=50") as response:
        assert (await response.json())["err-code"] == "invalid-parameter"
    async with http.get(lab.url("htx") + "/linear-swap-ex/market/depth?contract_code=BTC-USDT&type=step0") as response:
        assert len((await response.json())["tick"]["bids"]) == 150


async def test_used_weight(lab: Lab, http: aiohttp.ClientSession) -> None:
    lab.now_ms = lambda: 1_700_000_000_000
    base = lab.url("binance")
    paths = {
        "/fapi/v1/ticker/24hr": "40",
        "/fapi/v1/ticker/bookTicker": "45",
        "/fapi/v1/depth?symbol=BTCUSDT&limit=1000": "65",
        "/api/v3/ticker/24hr": "80",
        "/fapi/v1/time": "66",
    }
    for path, used in paths.items():
        async with http.get(base + path) as response:
            assert response.headers["X-MBX-USED-WEIGHT-1M"] == used
    lab.now_ms = lambda: 1_700_000_060_000
    async with http.get(base + "/fapi/v1/time") as response:
        assert response.headers["X-MBX-USED-WEIGHT-1M"] == "1"


async def test_what_was_asked_is_seen(lab: Lab, http: aiohttp.ClientSession) -> None:
    async with http.get(lab.url("okx") + "/api/v5/market/ticker?instId=BTC-USDT", headers={"OK-ACCESS-KEY": "k"}):
        pass
    (seen,) = lab.seen
    assert seen[:3] == ("okx", "GET", "/api/v5/market/ticker?instId=BTC-USDT")
    assert seen.headers["OK-ACCESS-KEY"] == "k"
