"""Kraken Futures' wire format under /derivatives/api/v3: JSON numbers, times as ISO text.

Every envelope has `result` and `serverTime`. A ticker's only time is that of its last trade. Lists of
tickers and instruments hold linear (PF_, FF_) and inverse (PI_, FI_) contracts, perpetual and dated, and index
rows, which are not markets. Inverse sizes, volumes and open interest are contracts of one dollar. Funding is an
absolute amount per hour and base unit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.lab.encode_kraken import altname
from tests.lab.names import expiry_ms
from tests.lab.truth import Forced, Kind, Market, Print, Side, Truth
from tests.lab.wire import Body, Query, Reply, decimals, iso_ms, number, uuid_of

PREFIX = "/derivatives/api/v3/"
KINDS: tuple[Kind, ...] = ("linear", "inverse")
TYPES = {"linear": "flexible_futures", "inverse": "futures_inverse"}
LAST_HOUR = 16


def margins(market: Market) -> list[Body]:
    """Encode the margin levels, counted in contracts or in coins."""
    counted = "contracts" if market.kind == "inverse" else "numNonContractUnits"
    return [
        {counted: 0, "initialMargin": 0.02, "maintenanceMargin": 0.01},
        {counted: 500000, "initialMargin": 0.04, "maintenanceMargin": 0.02},
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
    """Encode one contract of the instruments list: dated ones end, only perpetuals have funding."""
    ending = {"lastTradingTime": iso_ms(expiry_ms(market.expiry, LAST_HOUR))} if market.expiry else {}
    funding = {} if market.expiry else {"fundingRateCoefficient": 24, "maxRelativeFundingRate": 0.0025}
    below = {"underlying": f"rr_{altname(market.base)}{market.quote}".lower()} if market.kind == "inverse" else {}
    return {
        "symbol": market.id,
        "type": TYPES[market.kind],
        **below,
        **ending,
        "tickSize": price(market, market.tick),
        "contractSize": number(market.contract_size),
        "tradeable": market.active,
        "impactMidSize": number(100 * market.wire_least),
        "maxPositionSize": 1_000_000_000.0,
        "openingDate": "2022-03-22T13:15:36.000Z",
        "marginLevels": margins(market),
        **funding,
        "contractValueTradePrecision": precision(market.wire_lot),
        "postOnly": False,
        "feeScheduleUid": "abb50ea3-4fc9-401c-8d83-518610b16d8c",
        "retailMarginLevels": margins(market),
        "category": "Layer 1",
        "tags": [],
    }


def index_names(markets: list[Market]) -> list[str]:
    """Names of the indexes below the first contract: its reference rate and its index."""
    return [f"{prefix}_{altname(m.base)}{m.quote}".lower() for m in markets[:1] for prefix in ("rr", "in")]


def index_instruments(markets: list[Market]) -> list[Body]:
    """Encode the indexes of the instruments list."""
    return [{"symbol": name, "type": "spot index", "tradeable": False} for name in index_names(markets)]


def index_tickers(markets: list[Market], now_ms: int) -> list[Body]:
    """Encode the indexes of the tickers list."""
    values = [price(m, m.last if m.index is None else m.index) for m in markets[:1]] * 2
    named_ = zip(index_names(markets), values, strict=True)
    return [{"symbol": name, "last": last, "lastTime": iso_ms(now_ms // 1000 * 1000)} for name, last in named_]


def ticker(market: Market, now_ms: int) -> Body:
    """Encode one contract's ticker; an empty side of the book has no fields."""
    mark = market.last if market.mark is None else market.mark
    row: dict[str, Any] = {
        "symbol": market.id,
        "last": price(market, market.last),
        "lastTime": iso_ms(now_ms - market.trade_age_ms),
        "lastSize": number(market.wire_least),
        "tag": "quarter" if market.expiry else "perpetual",
        "pair": f"{altname(market.base)}:{market.quote}",
        "markPrice": price(market, mark),
    }
    return (
        row
        | _best(market)
        | {
            "vol24h": number(market.wire_volume),
            "volumeQuote": number(market.quote_volume),
            "openInterest": number(market.wire_interest),
            "open24h": price(market, market.open),
            "high24h": price(market, market.high),
            "low24h": price(market, market.low),
            **_funding(market, mark),
            "indexPrice": price(market, mark if market.index is None else market.index),
            "suspended": market.suspended,
            "postOnly": False,
            "change24h": round(float(100 * (market.last - market.open) / market.open), 2),
        }
    )


def _funding(market: Market, mark: Decimal) -> dict[str, float]:
    """Encode the funding per hour: in quote currency per coin, of inverse contracts in coin per contract."""
    if market.expiry:
        return {}
    rate = market.funding_hourly or Decimal(0)
    funding = float(rate * market.contract_size / mark if market.kind == "inverse" else rate * market.wire_price(mark))
    return {"fundingRate": funding, "fundingRatePrediction": funding}


def _best(market: Market) -> Body:
    top = market.top
    row: dict[str, Any] = {}
    if top.bid is not None and top.bid_size is not None:
        row |= {"bid": price(market, top.bid), "bidSize": number(market.wire_size(top.bid_size, top.bid))}
    if top.ask is not None and top.ask_size is not None:
        row |= {"ask": price(market, top.ask), "askSize": number(market.wire_size(top.ask_size, top.ask))}
    return row


def book(market: Market) -> Body:
    """Encode the whole order book as pairs of numbers."""

    def levels(side: Side) -> list[list[float]]:
        return [[price(market, at), number(market.wire_size(size, at))] for at, size in side]

    return {"bids": levels(market.bids), "asks": levels(market.asks)}


def trade(done: Print, market: Market, now_ms: int) -> Body:
    """Encode one public trade; `side` is the taker's."""
    return {
        "time": iso_ms(done.at_ms(now_ms)),
        "trade_id": int(done.id),
        "price": price(market, done.price),
        "size": number(market.wire_size(done.size, done.price)),
        "side": done.side,
        "type": "fill",
        "uid": uuid_of(done.id),
    }


def liquidation(one: Forced, place: int, market: Market) -> Body:
    """Encode one trade that closed a position by force: that is the taker's order."""
    return {
        "time": iso_ms(one.ms),
        "trade_id": place + 1,
        "price": price(market, one.price),
        "size": number(market.wire_size(one.size, one.price)),
        "side": one.side,
        "type": "liquidation",
        "uid": uuid_of(str(7_000_000_000 + place)),
    }


def history(truth: Truth, market: Market, query: Query, now_ms: int) -> list[Body]:
    """Encode the last hundred trades, newest first, or the last hundred before `lastTime`."""
    rows = [(done.at_ms(now_ms), trade(done, market, now_ms)) for done in market.trades]
    rows += [(one.ms, liquidation(one, truth.place_of(one), market)) for one in truth.struck(market)]
    end = query.get("lastTime", iso_ms(now_ms + 1))
    ordered = sorted(rows, key=lambda row: -row[0])
    return [row for stamp, row in ordered if iso_ms(stamp) < end][:100]


def named(truth: Truth, symbol: str) -> Market | None:
    """Find a contract of either kind by its symbol, in capitals or not."""
    found = (truth.find("krakenfutures", kind, symbol.upper()) for kind in KINDS)
    return next((market for market in found if market is not None), None)


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as Kraken Futures does."""
    name = path.removeprefix(PREFIX)
    markets = [market for kind in KINDS for market in truth.of("krakenfutures", kind, None)]
    if name == "instruments":
        rows = [instrument(market) for market in markets] + index_instruments(markets)
        return success(now_ms, instruments=rows)
    if name == "tickers":
        rows = [ticker(market, now_ms) for market in markets] + index_tickers(markets, now_ms)
        return success(now_ms, tickers=rows)
    if name not in ("orderbook", "history") and not name.startswith("tickers/"):
        return failure("notFound", now_ms, 404)
    asked = name.removeprefix("tickers/") if name.startswith("tickers/") else query.get("symbol", "")
    market = named(truth, asked)
    if market is None:
        return failure("invalidArgument: symbol", now_ms)
    if name == "orderbook":
        return success(now_ms, orderBook=book(market))
    if name == "history":
        return success(now_ms, history=history(truth, market, query, now_ms))
    return success(now_ms, ticker=ticker(market, now_ms))
