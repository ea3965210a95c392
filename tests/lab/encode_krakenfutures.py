"""Kraken Futures' wire format under /derivatives/api/v3: JSON numbers, times as ISO text.

Every envelope has `result` and `serverTime`. A ticker's only time is that of its last trade. Lists of
tickers and instruments also hold index rows, which are not markets. Funding is an absolute amount per
hour and base unit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.lab.encode_kraken import altname
from tests.lab.truth import Market, Print, Side, Truth
from tests.lab.wire import Body, Query, Reply, decimals, iso_ms, number, uuid_of

PREFIX = "/derivatives/api/v3/"
LEVELS = [
    {"numNonContractUnits": 0, "initialMargin": 0.02, "maintenanceMargin": 0.01},
    {"numNonContractUnits": 500000, "initialMargin": 0.04, "maintenanceMargin": 0.02},
]


def success(now_ms: int, **content: Body) -> Reply:
    """Wrap content in the venue's envelope."""
    return Reply({"result": "success", **content, "serverTime": iso_ms(now_ms)})


def failure(message: str, now_ms: int, status: int = 200) -> Reply:
    """Encode the venue's error envelope."""
    return Reply({"result": "error", "error": message, "serverTime": iso_ms(now_ms)}, status)


def price(market: Market, value: Decimal) -> int | float:
    """Write a price as a number."""
    return number(market.wire_price(value))


def precision(lot: Decimal) -> int:
    """Digits of the size step; negative when it is ten or more."""
    exponent = lot.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else decimals(lot)


def instrument(market: Market) -> Body:
    """Encode one perpetual of the instruments list."""
    return {
        "symbol": market.id,
        "type": "flexible_futures",
        "tickSize": price(market, market.tick),
        "contractSize": number(market.contract_size),
        "tradeable": market.active,
        "impactMidSize": number(100 * market.wire_size(market.min_amount)),
        "maxPositionSize": 1_000_000_000.0,
        "openingDate": "2022-03-22T13:15:36.000Z",
        "marginLevels": LEVELS,
        "fundingRateCoefficient": 24,
        "maxRelativeFundingRate": 0.0025,
        "contractValueTradePrecision": precision(market.wire_size(market.lot)),
        "postOnly": False,
        "feeScheduleUid": "abb50ea3-4fc9-401c-8d83-518610b16d8c",
        "retailMarginLevels": LEVELS,
        "category": "Layer 1",
        "tags": [],
    }


def index_name(market: Market) -> str:
    """Name of the index below a perpetual: in_xbtusd."""
    return f"in_{altname(market.base)}{market.quote}".lower()


def index_instrument(market: Market) -> Body:
    """Encode one index of the instruments list."""
    return {"symbol": index_name(market), "type": "spot index", "tradeable": False}


def index_ticker(market: Market, now_ms: int) -> Body:
    """Encode one index of the tickers list."""
    value = market.last if market.index is None else market.index
    return {"symbol": index_name(market), "last": price(market, value), "lastTime": iso_ms(now_ms // 1000 * 1000)}


def ticker(market: Market, now_ms: int) -> Body:
    """Encode one perpetual's ticker; an empty side of the book has no fields."""
    mark = market.last if market.mark is None else market.mark
    funding = market.wire_price(mark) * (market.funding_hourly or Decimal(0))
    row: dict[str, Any] = {
        "symbol": market.id,
        "last": price(market, market.last),
        "lastTime": iso_ms(now_ms - market.trade_age_ms),
        "lastSize": number(market.wire_size(market.min_amount)),
        "tag": "perpetual",
        "pair": f"{altname(market.base)}:{market.quote}",
        "markPrice": price(market, mark),
    }
    return (
        row
        | _best(market)
        | {
            "vol24h": number(market.wire_size(market.base_volume)),
            "volumeQuote": number(market.quote_volume),
            "openInterest": number(market.wire_size(market.open_interest or Decimal(0))),
            "open24h": price(market, market.open),
            "high24h": price(market, market.high),
            "low24h": price(market, market.low),
            "fundingRate": float(funding),
            "fundingRatePrediction": float(funding),
            "indexPrice": price(market, mark if market.index is None else market.index),
            "suspended": market.suspended,
            "postOnly": False,
            "change24h": round(float(100 * (market.last - market.open) / market.open), 2),
        }
    )


def _best(market: Market) -> Body:
    top = market.top
    row: dict[str, Any] = {}
    if top.bid is not None and top.bid_size is not None:
        row |= {"bid": price(market, top.bid), "bidSize": number(market.wire_size(top.bid_size))}
    if top.ask is not None and top.ask_size is not None:
        row |= {"ask": price(market, top.ask), "askSize": number(market.wire_size(top.ask_size))}
    return row


def book(market: Market) -> Body:
    """Encode the whole order book as pairs of numbers."""

    def levels(side: Side) -> list[list[float]]:
        return [[price(market, at), number(market.wire_size(size))] for at, size in side]

    return {"bids": levels(market.bids), "asks": levels(market.asks)}


def trade(done: Print, market: Market, now_ms: int) -> Body:
    """Encode one public trade; `side` is the taker's."""
    return {
        "time": iso_ms(done.at_ms(now_ms)),
        "trade_id": int(done.id),
        "price": price(market, done.price),
        "size": number(market.wire_size(done.size)),
        "side": done.side,
        "type": "fill",
        "uid": uuid_of(done.id),
    }


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as Kraken Futures does."""
    name = path.removeprefix(PREFIX)
    markets = truth.of("krakenfutures", "linear")
    if name == "instruments":
        rows = [instrument(market) for market in markets] + [index_instrument(m) for m in markets[:1]]
        return success(now_ms, instruments=rows)
    if name == "tickers":
        rows = [ticker(market, now_ms) for market in markets] + [index_ticker(m, now_ms) for m in markets[:1]]
        return success(now_ms, tickers=rows)
    if name not in ("orderbook", "history") and not name.startswith("tickers/"):
        return failure("notFound", now_ms, 404)
    asked = name.removeprefix("tickers/") if name.startswith("tickers/") else query.get("symbol", "")
    market = truth.find("krakenfutures", "linear", asked.upper())
    if market is None:
        return failure("invalidArgument: symbol", now_ms)
    if name == "orderbook":
        return success(now_ms, orderBook=book(market))
    if name == "history":
        return success(now_ms, history=[trade(done, market, now_ms) for done in market.trades[:100]])
    return success(now_ms, ticker=ticker(market, now_ms))
