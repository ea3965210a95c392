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

from tests.lab import Lab, Market, Truth, default_truth
from tests.lab.truth import Kind, Side


class Reader(NamedTuple):
    """A ccxt class and the markets of the truth that it reads."""

    name: str
    venue: str
    kind: Kind
    types: tuple[str, ...] | None = None


READERS = [
    Reader("binanceusdm", "binance", "linear"),
    Reader("binance", "binance", "spot", ("spot", "linear", "inverse")),
    Reader("okx", "okx", "linear", ("spot", "swap", "future", "option")),
    Reader("okx", "okx", "spot", ("spot", "swap", "future", "option")),
    Reader("kraken", "kraken", "spot"),
    Reader("krakenfutures", "krakenfutures", "linear"),
]
over_readers = pytest.mark.parametrize("reader", READERS, ids=lambda r: f"{r.name}-{r.kind}")


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab() as running:
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
        settings["options"] = {"fetchMarkets": {"types": list(reader.types)}}
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
    settle = f":{market.quote}" if market.kind == "linear" else ""
    return f"{market.base}/{market.quote}{settle}"


def counted(market: Market, size: Decimal) -> float:
    """Turn a size into what ccxt returns: contracts where the venue counts contracts."""
    return float(size / market.contract_size)


def levels(market: Market, side: Side) -> list[list[float]]:
    return [[float(price), counted(market, size)] for price, size in side]


@over_readers
async def test_markets(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        for market in lab.truth.of(reader.venue, reader.kind):
            row = exchange.markets[symbol(market)]
            assert row["id"] == market.id
            assert row["active"]
            assert row["contractSize"] == (float(market.contract_size) if market.kind == "linear" else None)
            assert row["precision"]["price"] == float(market.tick)
            assert row["precision"]["amount"] == counted(market, market.lot)
            if reader.name != "krakenfutures":  # its list names no limits
                assert row["limits"]["amount"]["min"] == counted(market, market.min_amount)
            if market.min_notional is not None:
                assert row["limits"]["cost"]["min"] == float(market.min_notional)


@over_readers
async def test_tickers(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        type_ = "swap" if reader.kind == "linear" and reader.name == "okx" else None
        rows = await exchange.fetch_tickers(params={"type": type_} if type_ else {})
        for market in lab.truth.of(reader.venue, reader.kind):
            check_ticker(reader, market, rows[symbol(market)])


@over_readers
async def test_one_ticker(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        for market in lab.truth.of(reader.venue, reader.kind):
            check_ticker(reader, market, await exchange.fetch_ticker(symbol(market)))


def check_ticker(reader: Reader, market: Market, row: dict[str, Any]) -> None:
    """Compare a ccxt ticker with the truth, in the units and gaps that ccxt is known for."""
    assert row["last"] == float(market.last)
    assert row["baseVolume"] == pytest.approx(counted(market, market.base_volume), rel=1e-15)
    top = market.top
    best = [top.bid, top.bid_size and top.bid_size / market.contract_size]
    best += [top.ask, top.ask_size and top.ask_size / market.contract_size]
    seen = [row[name] for name in ("bid", "bidVolume", "ask", "askVolume")]
    if reader.name == "binanceusdm":
        assert seen == [None] * 4
    else:
        assert seen == [float(value) for value in best if value is not None]
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
        assert row["quoteVolume"] == pytest.approx(float(market.quote_volume), rel=1e-15)


@over_readers
async def test_order_book(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        for market in lab.truth.of(reader.venue, reader.kind):
            limit = 5 if reader.name != "krakenfutures" else 24  # which ignores a limit
            book = await exchange.fetch_order_book(symbol(market), 5)
            assert [row[:2] for row in book["bids"]] == levels(market, market.bids[:limit])
            assert [row[:2] for row in book["asks"]] == levels(market, market.asks[:limit])
            if reader.name not in ("kraken", "binance", "krakenfutures"):
                assert book["timestamp"] == lab.sent(reader.venue, market.id)


@pytest.mark.parametrize("reader", READERS[:2], ids=lambda r: r.name)
async def test_binance_best_prices(lab: Lab, reader: Reader) -> None:
    async with reading(reader, lab) as exchange:
        rows = await exchange.fetch_bids_asks()
        for market in lab.truth.of(reader.venue, reader.kind):
            row, top = rows[symbol(market)], market.top
            assert [row["bid"], row["ask"]] == [float(top.bid or 0), float(top.ask or 0)]
            assert [row["bidVolume"], row["askVolume"]] == [
                float(top.bid_size or 0),
                float(top.ask_size or 0),
            ]
            quoted = lab.sent("binance", market.id, "/fapi/v1/ticker/bookTicker") if market.kind == "linear" else None
            assert row["timestamp"] == quoted


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
        lab.truth = lab.truth.only("ETH")
        asked = symbol(default_truth().market(reader.venue, "BTC", reader.kind))
        with pytest.raises(ccxt.ExchangeError) as caught:
            await exchange.fetch_order_book(asked)
    kind = {"kraken": ccxt.ExchangeError, "krakenfutures": ccxt.BadRequest}.get(reader.name, ccxt.BadSymbol)
    assert type(caught.value) is kind


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


@pytest.mark.parametrize(("venue", "path"), WRITTEN, ids=lambda part: part.rsplit("/", 1)[-1])
async def test_rows_as_the_venues_write_them(lab: Lab, http: aiohttp.ClientSession, venue: str, path: str) -> None:
    lab.now_ms = lambda: NOW
    lab.truth = lab.truth.changed(lambda market: dataclasses.replace(market, quote_age_ms=500))
    async with http.get(lab.url(venue) + path) as response:
        body = await response.json()
    row = {"okx": lambda: body["data"][0], "kraken": lambda: body["result"]["XXBTZUSD"]}.get(venue, lambda: body)()
    row = row.get("ticker", row)
    expected = WRITTEN[venue, path]
    written = {key: value for key, value in row.items() if key in expected or "depth" not in path}
    assert json.dumps(written, sort_keys=True) == json.dumps(expected, sort_keys=True)


BOOKS = {
    ("binance", "linear"): ("/fapi/v1/depth?symbol={}", ()),
    ("binance", "spot"): ("/api/v3/depth?symbol={}", ()),
    ("okx", "linear"): ("/api/v5/market/books?instId={}&sz=400", ("data", 0)),
    ("okx", "spot"): ("/api/v5/market/books?instId={}&sz=400", ("data", 0)),
    ("kraken", "spot"): ("/0/public/Depth?pair={0}", ("result", "{0}")),
    ("krakenfutures", "linear"): ("/derivatives/api/v3/orderbook?symbol={}", ("orderBook",)),
}


@pytest.mark.parametrize("where", BOOKS, ids="-".join)
async def test_books_are_exact(lab: Lab, http: aiohttp.ClientSession, where: tuple[str, Kind]) -> None:
    lab.truth = default_truth(levels=60).with_premium(where[0], "ETH", 17).with_depeg("0.9712")
    path, inside = BOOKS[where]
    for market in lab.truth.of(*where):
        async with http.get(lab.url(where[0]) + path.format(market.id)) as response:
            body = json.loads(await response.read(), parse_float=Decimal)
        for key in inside:
            body = body[key.format(market.id) if isinstance(key, str) else key]
        for side, true in (("bids", market.bids), ("asks", market.asks)):
            read = [(Decimal(row[0]), Decimal(row[1]) * market.contract_size) for row in body[side]]
            assert tuple(read) == true


async def test_pairs_by_any_name(lab: Lab, http: aiohttp.ClientSession) -> None:
    for name in ("XXBTZUSD", "XBTUSD", "XBT/USD"):
        async with http.get(lab.url("kraken") + "/0/public/Depth", params={"pair": name, "count": "1"}) as response:
            assert list((await response.json())["result"]) == ["XXBTZUSD"]


async def test_multiplied_coin(lab: Lab, http: aiohttp.ClientSession) -> None:
    lab.truth = with_pepe(lab.truth)
    (market,) = lab.truth.group("PEPE", "linear")
    async with http.get(lab.url("binance") + "/fapi/v1/depth?symbol=1000PEPEUSDT&limit=5") as response:
        price, size = (await response.json())["bids"][0]
    assert Decimal(price) == market.bids[0][0] * 1000
    assert Decimal(size) * 1000 == market.bids[0][1]
    async with reading(READERS[0], lab) as exchange:
        assert exchange.market("1000PEPE/USDT:USDT")["precision"] == {
            **exchange.market("BTC/USDT:USDT")["precision"],
            "price": 1e-7,
            "amount": 1.0,
        }


def with_pepe(truth: Truth) -> Truth:
    """List 1000PEPE on Binance: prices and sizes in the truth stay those of one PEPE."""
    model = truth.market("binance", "DOGE", "linear")
    pepe = dataclasses.replace(
        model.mapped(lambda price: price / 10_000),
        base="PEPE",
        id="1000PEPEUSDT",
        multiplier=Decimal(1000),
        tick=Decimal("1e-10"),
        lot=Decimal(1000),
        min_amount=Decimal(1000),
        bids=((Decimal("0.0000120512"), Decimal(5_412_000)),),
        asks=((Decimal("0.0000120513"), Decimal(1_208_000)),),
    )
    return truth.adding([pepe])


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
