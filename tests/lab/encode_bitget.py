"""Bitget's v2 wire format: spot under /api/v2/spot, USDT perpetuals under /api/v2/mix.

Everything is text inside {"code": "00000", "msg": "success", "requestTime": ms, "data": ...} but the levels of a
perpetual's book, which are numbers. All sizes are coins. Both kinds share their symbols' names. Errors come
with HTTP status 400.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.lab.truth import Market, Print, Side, Truth
from tests.lab.wire import Body, Query, Reply, decimals, number, text

PREFIX = "/api/v2/"
LINEAR = "/api/v2/mix/"
PRODUCTS = ("USDT-FUTURES", "COIN-FUTURES", "USDC-FUTURES", "SUSDT-FUTURES", "SCOIN-FUTURES", "SUSDC-FUTURES")
LISTS = {
    "spot/public/symbols": "spot",
    "spot/market/tickers": "spot",
    "mix/market/contracts": "linear",
    "mix/market/tickers": "linear",
}
SINGLE = {
    "mix/market/ticker": 1,
    "spot/market/orderbook": 150,
    "mix/market/merge-depth": 100,
    "spot/market/fills": 500,
    "spot/market/fills-history": 1000,
    "mix/market/fills": 100,
    "mix/market/fills-history": 1000,
}


def success(data: Body, now_ms: int) -> Reply:
    """Wrap data in Bitget's envelope."""
    return Reply({"code": "00000", "msg": "success", "requestTime": now_ms, "data": data})


def failure(code: str, message: str, now_ms: int, status: int = 400) -> Reply:
    """Encode Bitget's error envelope."""
    return Reply({"code": code, "msg": message, "requestTime": now_ms, "data": None}, status)


def price(market: Market, value: Decimal) -> str:
    """Write a price."""
    return text(market.wire_price(value))


def size(market: Market, value: Decimal) -> str:
    """Write a size in the venue's own coins."""
    return text(market.wire_size(value))


def symbol(market: Market) -> Body:
    """Encode one row of the spot symbols; steps are digits after the point."""
    return {
        "symbol": market.id,
        "baseCoin": market.wire_base,
        "quoteCoin": market.quote,
        "minTradeAmount": size(market, market.min_amount),
        "maxTradeAmount": "900000000000000000000",
        "takerFeeRate": "0.002",
        "makerFeeRate": "0.002",
        "pricePrecision": str(decimals(market.wire_price(market.tick))),
        "quantityPrecision": str(decimals(market.wire_size(market.lot))),
        "quotePrecision": "8",
        "status": "online" if market.tradable else "halt",
        "minTradeUSDT": text(market.min_notional or Decimal(1)),
        "buyLimitPriceRatio": "0.05",
        "sellLimitPriceRatio": "0.05",
        "areaSymbol": "no",
        "orderQuantity": "200",
        "openTime": "1532454360000",
        "offTime": "",
    }


def contract(market: Market) -> Body:
    """Encode one row of the contracts; the price step is `priceEndStep` at the last of `pricePlace` digits."""
    tick = market.wire_price(market.tick)
    lot = size(market, market.lot)
    return {
        "symbol": market.id,
        "baseCoin": market.wire_base,
        "quoteCoin": market.quote,
        "buyLimitPriceRatio": "0.05",
        "sellLimitPriceRatio": "0.05",
        "feeRateUpRatio": "0.005",
        "makerFeeRate": "0.0002",
        "takerFeeRate": "0.0006",
        "openCostUpRatio": "0.01",
        "supportMarginCoins": [market.quote],
        "minTradeNum": size(market, market.min_amount),
        "priceEndStep": text(tick.scaleb(decimals(tick))),
        "volumePlace": str(decimals(market.wire_size(market.lot))),
        "pricePlace": str(decimals(tick)),
        "sizeMultiplier": lot,
        "symbolType": "perpetual",
        "minTradeUSDT": text(market.min_notional or Decimal(5)),
        "maxSymbolOrderNum": "200",
        "maxProductOrderNum": "1000",
        "maxPositionNum": "150",
        "symbolStatus": "normal" if market.tradable else "maintain",
        "offTime": "-1",
        "limitOpenTime": "-1",
        "deliveryTime": "",
        "deliveryStartTime": "",
        "deliveryPeriod": "",
        "launchTime": "",
        "fundInterval": "8",
        "minLever": "1",
        "maxLever": "125",
        "posLimit": "0.1",
        "maintainTime": "",
    }


def ticker(market: Market, now_ms: int) -> Body:
    """Encode one ticker; an empty side of the book is an empty string."""
    top = market.top
    turnover = text(market.quote_volume)
    row: dict[str, Any] = {
        "symbol": market.id,
        "lastPr": price(market, market.last),
        "askPr": "" if top.ask is None else price(market, top.ask),
        "bidPr": "" if top.bid is None else price(market, top.bid),
        "bidSz": "" if top.bid_size is None else size(market, top.bid_size),
        "askSz": "" if top.ask_size is None else size(market, top.ask_size),
        "high24h": price(market, market.high),
        "low24h": price(market, market.low),
        "ts": str(market.quote_ms(now_ms)),
        "change24h": f"{(market.last - market.open) / market.open:.5f}",
        "baseVolume": size(market, market.base_volume),
        "quoteVolume": turnover,
        "usdtVolume": turnover,
        "openUtc": price(market, market.midnight_open),
        "changeUtc24h": f"{(market.last - market.midnight_open) / market.midnight_open:.5f}",
    }
    if market.kind == "spot":
        return row | {"open": price(market, market.open)}
    return row | perpetual(market)


def perpetual(market: Market) -> Body:
    """Encode what only a perpetual's ticker has."""
    mark = market.last if market.mark is None else market.mark
    return {
        "indexPrice": price(market, mark if market.index is None else market.index),
        "markPrice": price(market, mark),
        "fundingRate": text(8 * (market.funding_hourly or Decimal(0))),
        "holdingAmount": size(market, market.open_interest or Decimal(0)),
        "open24h": price(market, market.open),
        "deliveryStartTime": None,
        "deliveryTime": None,
        "deliveryStatus": "",
    }


def book(market: Market, now_ms: int, depth: int) -> Body:
    """Encode an order book: text for spot, numbers for perpetuals."""

    def level(at: Decimal, amount: Decimal) -> list[Any]:
        if market.kind == "spot":
            return [price(market, at), size(market, amount)]
        return [number(market.wire_price(at)), number(market.wire_size(amount))]

    def levels(side: Side) -> list[list[Any]]:
        return [level(at, amount) for at, amount in side[:depth]]

    sides = {"asks": levels(market.asks), "bids": levels(market.bids), "ts": str(market.quote_ms(now_ms))}
    if market.kind == "spot":
        return sides
    step = price(market, market.tick)
    return sides | {"precision": "scale0", "scale": step, "isMaxPrecision": "NO"}


def trade(market: Market, done: Print, now_ms: int) -> Body:
    """Encode one public trade; `side` is the taker's."""
    return {
        "symbol": market.id,
        "tradeId": done.id,
        "side": done.side.capitalize(),
        "price": price(market, done.price),
        "size": size(market, done.size),
        "ts": str(done.at_ms(now_ms)),
    }


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as Bitget does."""
    name = path.removeprefix(PREFIX)
    if name == "public/time":
        return success({"serverTime": str(now_ms)}, now_ms)
    if name == "spot/public/coins":
        names = {coin for market in truth.of("bitget", "spot") for coin in (market.wire_base, market.quote)}
        return success([{"coin": coin, "transfer": "true", "chains": []} for coin in sorted(names)], now_ms)
    if name == "margin/currencies":
        return success([], now_ms)
    if name not in LISTS and name not in SINGLE:
        return failure("40404", "Request URL NOT FOUND", now_ms, 404)
    product = query.get("productType", "").upper()
    if name.startswith("mix/") and product not in PRODUCTS:
        return failure("400172", "Parameter verification failed", now_ms)
    markets = truth.of("bitget", "linear" if name.startswith("mix/") else "spot")
    if product in PRODUCTS[1:]:
        markets = ()
    if "symbol" in query or name in SINGLE:
        markets = tuple(market for market in markets if market.id == query.get("symbol"))
        if not markets:
            return failure("40034", f"Parameter {query.get('symbol')} does not exist", now_ms)
    return _list_reply(name, markets, now_ms) if name in LISTS else _one_reply(name, markets[0], query, now_ms)


def _list_reply(name: str, markets: tuple[Market, ...], now_ms: int) -> Reply:
    """Answer with a row of each market."""
    if name.endswith("/tickers"):
        return success([ticker(market, now_ms) for market in markets], now_ms)
    row = symbol if LISTS[name] == "spot" else contract
    return success([row(market) for market in markets], now_ms)


def _one_reply(name: str, market: Market, query: Query, now_ms: int) -> Reply:
    """Answer about one market's ticker, book or trades."""
    if name == "mix/market/ticker":
        return success([ticker(market, now_ms)], now_ms)
    asked = query.get("limit", "100")
    limit = SINGLE[name] if asked == "max" else min(int(asked), SINGLE[name])
    if "fills" in name:
        return success([trade(market, done, now_ms) for done in market.trades[:limit]], now_ms)
    return success(book(market, now_ms, limit), now_ms)
