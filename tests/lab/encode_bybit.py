"""Bybit's v5 wire format: one set of paths for spot, linear and inverse, told apart by `category`.

Prices and sizes are strings inside {"retCode": 0, "retMsg": "OK", "result": ..., "retExtInfo": {}, "time": ms}.
Tickers carry no time but the envelope's. Both lists of contracts hold perpetuals and dated ones and come in pages;
that of spot does not. Inverse sizes and volumes are quote units and the turnover is coin. `openInterest` counts
both sides of every contract. A multiplied coin may have its factor behind its
name (SHIB1000). The HTTP status of an error stays 200. A key has scopes, and `readOnly` says whether it may only read
in them: a key that cannot trade lists SpotTrade all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from tests.lab.names import NETWORKS, expiry_ms
from tests.lab.truth import ONE, Kind, Market, Print, Side, Token, Truth
from tests.lab.wire import Body, Query, Reply, decimals, fixed, permissions, text, uuid_of

KINDS: dict[str, Kind] = {"spot": "spot", "linear": "linear", "inverse": "inverse"}
UNSERVED = ("option",)
NO_SYMBOL = "params error: symbol invalid"
DEPTHS = {"spot": (1, 200), "linear": (25, 1000), "inverse": (25, 1000)}
RECENT = {"spot": (60, 60), "linear": (500, 1000), "inverse": (500, 1000)}
RATIO_MS = 300_000
LISTED_MS = "1584230400000"
PAGE, LARGEST_PAGE = 500, 1000


def success(result: Body, now_ms: int) -> Reply:
    """Wrap a result in Bybit's envelope."""
    return Reply({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms})


def failure(code: int, message: str, now_ms: int, status: int = 200) -> Reply:
    """Encode Bybit's error envelope."""
    return Reply({"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": now_ms}, status)


def price(market: Market, value: Decimal) -> str:
    """Write a price with the decimals of the tick; an odd value keeps its own."""
    return fixed(market.wire_price(value), decimals(market.wire_price(market.tick)))


def size(market: Market, value: Decimal, at: Decimal | None = None) -> str:
    """Write a size in the venue's own coins, of inverse contracts in the quote units that it is at a price."""
    return counted(market, market.wire_size(value, at))


def counted(market: Market, wire: Decimal) -> str:
    """Write what the venue counts in: contracts with the decimals of the step, spot as it comes."""
    return text(wire) if market.kind == "spot" else fixed(wire, decimals(market.wire_lot))


def delivery(market: Market) -> str:
    """Time at which a dated contract ends, 0 for a perpetual."""
    return str(expiry_ms(market.expiry)) if market.expiry else "0"


def spot_instrument(market: Market, number: int) -> Body:
    """Encode one spot row of instruments-info."""
    return {
        "symbolId": number,
        "symbol": market.id,
        "baseCoin": market.wire_base,
        "quoteCoin": market.quote,
        "innovation": "0",
        "status": status(market),
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": text(market.wire_lot),
            "quotePrecision": "0.0000001",
            "minOrderQty": text(market.wire_least),
            "maxOrderQty": "14000000",
            "minOrderAmt": text(market.min_notional or Decimal(5)),
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": "14000000",
            "maxMarketOrderQty": "6800000",
            "postOnlyMaxLimitOrderSize": "70000000",
        },
        "priceFilter": {"tickSize": text(market.wire_price(market.tick))},
        "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"},
        "symbolType": "",
        "xstockMultiplier": "1",
    }


def contract(market: Market, number: int) -> Body:
    """Encode one linear or inverse row of instruments-info."""
    return {
        "symbol": market.id,
        "contractType": f"{market.kind.capitalize()}{'Futures' if market.expiry else 'Perpetual'}",
        "status": status(market),
        "baseCoin": market.wire_base,
        "quoteCoin": market.quote,
        "launchTime": LISTED_MS,
        "deliveryTime": delivery(market),
        "deliveryFeeRate": "",
        "priceScale": str(decimals(market.wire_price(market.tick))),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": price(market, market.tick), "maxPrice": "1999999.80"}
        | {"tickSize": price(market, market.tick)},
        "lotSizeFilter": {
            "maxOrderQty": "43678900",
            "minOrderQty": counted(market, market.wire_least),
            "qtyStep": counted(market, market.wire_lot),
            "postOnlyMaxOrderQty": "43678900",
            "maxMktOrderQty": "5991100",
            "minNotionalValue": text(market.min_notional or Decimal(5)),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 60 * market.funding_hours,
        "settleCoin": market.wire_base if market.kind == "inverse" else market.quote,
        "copyTrading": "both",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "displayName": "",
        "symbolType": "",
        "forbidUplWithdrawal": False,
        "symbolId": number,
    }


def status(market: Market) -> str:
    """State of a market as Bybit names it."""
    return "Trading" if market.tradable else "Closed"


def ticker(market: Market, now_ms: int) -> Body:
    """Encode one ticker; an empty side of the book is an empty string."""
    top = market.top
    row: dict[str, Any] = {
        "symbol": market.id,
        "bid1Price": "" if top.bid is None else price(market, top.bid),
        "bid1Size": "" if top.bid_size is None else size(market, top.bid_size, top.bid or ONE),
        "ask1Price": "" if top.ask is None else price(market, top.ask),
        "ask1Size": "" if top.ask_size is None else size(market, top.ask_size, top.ask or ONE),
        "lastPrice": price(market, market.last),
        "prevPrice24h": price(market, market.open),
        "price24hPcnt": f"{(market.last - market.open) / market.open:.6f}",
        "highPrice24h": price(market, market.high),
        "lowPrice24h": price(market, market.low),
        **volumes(market),
    }
    return row | ({"usdIndexPrice": ""} if market.kind == "spot" else derivative(market, now_ms))


def volumes(market: Market) -> dict[str, str]:
    """Encode the volumes of 24 hours: coin and quote currency, but the other way round for inverse contracts."""
    if market.kind == "inverse":
        return {"turnover24h": f"{market.coin_volume:.8f}", "volume24h": counted(market, market.wire_volume)}
    coins = fixed(market.coin_volume, 4 if market.kind == "linear" else 0)
    return {"turnover24h": fixed(market.quote_volume, 4), "volume24h": coins}


def derivative(market: Market, now_ms: int) -> Body:
    """Encode what only a contract's ticker has; only a perpetual has funding."""
    mark = market.last if market.mark is None else market.mark
    interest = market.open_interest or Decimal(0)
    worth = interest / market.multiplier if market.kind == "inverse" else interest * mark
    return {
        "markPrice": price(market, mark),
        "indexPrice": price(market, mark if market.index is None else market.index),
        "prevPrice1h": price(market, market.midnight_open),
        "openInterest": counted(market, 2 * market.wire_interest),
        "openInterestValue": f"{2 * worth:.2f}",
        "singleOpenInterest": counted(market, market.wire_interest),
        "fundingRate": "" if market.expiry else text(market.funding_rate),
        "fundingIntervalHour": "" if market.expiry else str(market.funding_hours),
        "nextFundingTime": "0" if market.expiry else str(market.settles_ms(now_ms)),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": delivery(market),
    }


def ratios(truth: Truth, query: Query, now_ms: int) -> Reply:
    """Answer with the shares of accounts that are long and short, newest first."""
    kind = KINDS.get(query.get("category", ""), "spot")
    market = None if kind == "spot" else truth.find("bybit", kind, query.get("symbol", ""))
    if market is None or "period" not in query:
        return failure(10001, NO_SYMBOL, now_ms)
    long, last = market.long_shares[0], now_ms // RATIO_MS * RATIO_MS
    row = {"symbol": market.id, "buyRatio": f"{long:.4f}", "sellRatio": f"{1 - long:.4f}"}
    rows = [row | {"timestamp": str(last - RATIO_MS * back)} for back in range(int(query.get("limit", "50")))]
    return success({"list": rows, "nextPageCursor": ""}, now_ms)


def book(market: Market, now_ms: int, depth: int) -> Body:
    """Encode an order book: `ts` when it was made, `cts` when the engine last changed it."""

    def levels(side: Side) -> list[list[str]]:
        return [[price(market, at), size(market, amount, at)] for at, amount in side[:depth]]

    quoted = market.quote_ms(now_ms)
    numbers = {"ts": quoted, "u": quoted // 10, "seq": quoted, "cts": quoted - 3}
    return {"s": market.id, "b": levels(market.bids), "a": levels(market.asks)} | numbers


def trade(market: Market, done: Print, now_ms: int) -> Body:
    """Encode one public trade; `side` is the taker's."""
    return {
        "execId": done.id if market.kind == "spot" else uuid_of(done.id),
        "symbol": market.id,
        "price": price(market, done.price),
        "size": size(market, done.size, done.price),
        "side": done.side.capitalize(),
        "time": str(done.at_ms(now_ms)),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": done.id,
    }


def currency(name: str, tokens: tuple[Token, ...]) -> Body:
    """Encode one currency with its networks; a network's own coin has an empty address."""
    return {"name": name, "coin": name, "remainAmount": "-1", "chains": list(map(chain, tokens))}


def chain(token: Token) -> Body:
    """Encode one network of a currency."""
    name = NETWORKS[token.network]["bybit"]
    fees = {"withdrawFee": text(token.fee), "withdrawPercentageFee": text(token.share), "depositMin": "0.005"}
    fees |= {"withdrawMin": text(token.least), "confirmation": str(token.confirmations), "safeConfirmNumber": "64"}
    states = {"chainDeposit": str(int(token.deposits)), "chainWithdraw": str(int(token.withdrawals))}
    return {"chain": name, "chainType": name, "contractAddress": token.address, "minAccuracy": "4", **fees, **states}


def fee_rate(truth: Truth, market: Market) -> Body:
    """Encode what the asking account pays for one instrument."""
    taker, maker = truth.paid("bybit", market.kind, market.quote)
    return {"symbol": market.id, "takerFeeRate": text(taker), "makerFeeRate": text(maker)}


def key(may: Sequence[str]) -> Body:
    """Encode the scopes of a key and whether it may write in them."""
    writes = {"trade", "withdraw"} & set(may)
    trades = not writes or "trade" in may
    return {
        "id": "13770661",
        "note": "lab",
        "apiKey": "the-key-of-the-lab",
        "readOnly": 0 if writes else 1,
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"] if trades else [],
            "Spot": ["SpotTrade"] if trades else [],
            "Wallet": ["AccountTransfer", "Withdraw"] if "withdraw" in may else ["AccountTransfer"],
            "Options": [],
            "Derivatives": ["DerivativesTrade"] if trades else [],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": ["ExchangeHistory"],
            "NFT": [],
            "Affiliate": [],
        },
        "ips": ["*"],
        "type": 1,
        "uta": 1,
        "userID": 24617703,
        "vipLevel": "No VIP",
        "isMaster": True,
        "parentUid": "0",
    }


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as Bybit does."""
    name = path.removeprefix("/v5/")
    if name == "market/time":
        return success({"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}, now_ms)
    if name == "system/status":
        return success({"list": []}, now_ms)
    if name == "user/query-api":
        return success(key(permissions(query)), now_ms)
    if name == "asset/coin/query-info":
        return success({"rows": [currency(*row) for row in truth.coins("bybit").items()]}, now_ms)
    if name == "market/account-ratio":
        return ratios(truth, query, now_ms)
    if name == "account/fee-rate":
        kind = KINDS.get(query.get("category", ""))
        if kind is None:
            return failure(10001, "Illegal category", now_ms)
        return success({"list": [fee_rate(truth, market) for market in truth.of("bybit", kind, None)]}, now_ms)
    if name not in ("market/instruments-info", "market/tickers", "market/orderbook", "market/recent-trade"):
        return Reply(b"<html><head><title>404 Not Found</title></head></html>", 404, content_type="text/html")
    category = query.get("category", "")
    if category in UNSERVED:
        return success({"category": category, "list": [], "nextPageCursor": ""}, now_ms)
    if category not in KINDS:
        return failure(10001, "Illegal category", now_ms)
    if name in ("market/orderbook", "market/recent-trade"):
        return _one_reply(truth, name, query, now_ms)
    return _list_reply(truth, name, query, now_ms)


def _list_reply(truth: Truth, name: str, query: Query, now_ms: int) -> Reply:
    """Answer with rows of all markets of a category, or of one symbol."""
    category = query["category"]
    markets = truth.of("bybit", KINDS[category], None)
    if "symbol" in query:
        markets = tuple(market for market in markets if market.id == query["symbol"])
        if not markets:
            return failure(10001, NO_SYMBOL, now_ms)
    if name == "market/tickers":
        return success({"category": category, "list": [ticker(m, now_ms) for m in markets]}, now_ms)
    wanted = query.get("status")
    rows = [(m, number) for number, m in enumerate(markets, 1) if wanted in (None, status(m))]
    if category == "spot":
        return success({"category": category, "list": [spot_instrument(*row) for row in rows]}, now_ms)
    page, cursor = _page(rows, query)
    body = {"category": category, "list": [contract(*row) for row in page], "nextPageCursor": cursor}
    return success(body, now_ms)


def _page(rows: list[tuple[Market, int]], query: Query) -> tuple[list[tuple[Market, int]], str]:
    """Return the page that a request asks for and the cursor of the next, empty when there is none."""
    limit = max(1, min(int(query.get("limit", str(PAGE))), LARGEST_PAGE))
    cursor = query.get("cursor", "")
    while "%" in cursor:
        cursor = unquote(cursor)
    after = cursor.rpartition("last=")[2]
    start = next((at for at, (market, _) in enumerate(rows, 1) if market.id == after), 0)
    page = rows[start : start + limit]
    if start + limit >= len(rows):
        return page, ""
    return page, f"first%3D{page[0][0].id}%26last%3D{page[-1][0].id}"


def _one_reply(truth: Truth, name: str, query: Query, now_ms: int) -> Reply:
    """Answer about one market's book or trades."""
    category = query["category"]
    market = truth.find("bybit", KINDS[category], query.get("symbol", ""))
    if market is None:
        return failure(10001, NO_SYMBOL, now_ms)
    usual, most = (DEPTHS if name == "market/orderbook" else RECENT)[category]
    limit = max(1, min(int(query.get("limit", str(usual))), most))
    if name == "market/orderbook":
        return success(book(market, now_ms, limit), now_ms)
    rows = [trade(market, done, now_ms) for done in market.trades[:limit]]
    return success({"category": category, "list": rows}, now_ms)
