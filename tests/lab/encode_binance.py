"""Binance's wire format: spot under /api/v3, USD-margined futures under /fapi/v1, coin-margined under /dapi/v1.

Prices and sizes are strings, times and counts are numbers. Futures tickers carry no bid or ask, those
come from bookTicker; spot books and spot bookTicker carry no time. Coin-margined sizes and volumes are contracts,
their tickers are lists even about one symbol, and their list says `contractStatus`. Both futures hosts list dated
contracts beside perpetuals. The used request weight of the running minute is in a header of every answer, counted
per host. A key's restrictions are one yes or no each; only one that is bound to addresses may withdraw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.lab.names import NETWORKS, expiry_ms
from tests.lab.truth import ONE, Kind, Market, Print, Token, Truth
from tests.lab.wire import Body, Query, Reply, decimals, fixed, number, permissions, text

DAY_MS = 86_400_000
FUTURES_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
FOREVER_MS = 4_133_404_800_000


@dataclass(frozen=True)
class Style:
    """How one of the hosts writes a market's numbers."""

    kind: Kind
    price_digits: int | None
    size_digits: int | None

    def price(self, market: Market, value: Decimal) -> str:
        """Write a price; futures use the market's own precision, spot always eight digits."""
        wire = market.wire_price(value)
        return fixed(wire, price_digits(market) if self.price_digits is None else self.price_digits)

    def size(self, market: Market, value: Decimal, price: Decimal | None = None) -> str:
        """Write base units in the venue's own coins, or in the contracts that they are at a price."""
        return self.counted(market, market.wire_size(value, price))

    def counted(self, market: Market, wire: Decimal) -> str:
        """Write coins or contracts."""
        return fixed(wire, decimals(market.wire_lot) if self.size_digits is None else self.size_digits)


SPOT = Style("spot", 8, 8)
FUTURES = Style("linear", None, None)
COIN = Style("inverse", None, None)
HOSTS = {"/fapi/v1/": FUTURES, "/dapi/v1/": COIN, "/api/v3/": SPOT}


def wire_tick(market: Market) -> Decimal:
    """Price step as the venue states it."""
    return market.wire_price(market.tick)


def price_digits(market: Market) -> int:
    """Return the decimals of a futures price, which may be more than its tick has."""
    return decimals(wire_tick(market)) if market.price_digits is None else market.price_digits


def pair(market: Market) -> str:
    """Name of what a contract is on: all contracts of BTCUSD share it."""
    return f"{market.wire_base}{market.quote}"


def futures_symbol(market: Market) -> Body:
    """Encode one row of the exchangeInfo of USD-margined futures."""
    return {
        "symbol": market.id,
        "pair": pair(market),
        "contractType": "CURRENT_QUARTER" if market.expiry else "PERPETUAL",
        "deliveryDate": expiry_ms(market.expiry) if market.expiry else FOREVER_MS,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING" if market.tradable else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": market.wire_base,
        "quoteAsset": market.quote,
        "marginAsset": market.quote,
        "pricePrecision": price_digits(market),
        "quantityPrecision": decimals(market.wire_lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": futures_filters(market),
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY", "DCA"],
    }


def coin_symbol(market: Market) -> Body:
    """Encode one row of the exchangeInfo of coin-margined futures, whose `contractSize` is quote units."""
    row: dict[str, Any] = futures_symbol(market)
    row["contractStatus"] = row.pop("status")
    row["filters"] = [rule for rule in row["filters"] if rule["filterType"] != "MIN_NOTIONAL"]
    return row | {
        "contractSize": number(market.contract_size),
        "marginAsset": market.wire_base,
        "equalQtyPrecision": 4,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        "permissionSets": ["GRID"],
    }


def futures_filters(market: Market) -> list[Body]:
    """Encode a futures market's price step, size step and minimums."""
    tick, lot = FUTURES.price(market, market.tick), FUTURES.counted(market, market.wire_lot)
    least = FUTURES.counted(market, market.wire_least)
    return [
        {"filterType": "PRICE_FILTER", "tickSize": tick, "minPrice": tick, "maxPrice": "4529764"},
        {"filterType": "LOT_SIZE", "stepSize": lot, "minQty": least, "maxQty": "100000000"},
        {"filterType": "MARKET_LOT_SIZE", "stepSize": lot, "minQty": least, "maxQty": "1000000"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": text(market.min_notional or Decimal(5))},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.0500",
            "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
    ]


def spot_symbol(market: Market) -> Body:
    """Encode one row of the spot exchangeInfo."""
    return {
        "symbol": market.id,
        "status": "TRADING" if market.tradable else "BREAK",
        "baseAsset": market.wire_base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": spot_filters(market),
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def spot_filters(market: Market) -> list[Body]:
    """Encode a spot market's price step, size step and minimums."""
    tick, lot = SPOT.price(market, market.tick), SPOT.counted(market, market.wire_lot)
    least = SPOT.counted(market, market.wire_least)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": "92141578.00000000", "stepSize": lot},
        {"filterType": "ICEBERG_PARTS", "limit": 100},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": "0.00000000",
            "maxQty": "100000.00000000",
            "stepSize": "0.00000000",
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": fixed(market.min_notional or Decimal(5), 8),
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ]


def exchange_info(truth: Truth, style: Style, now_ms: int) -> Body:
    """Encode the list of markets with its limits."""
    row = {"spot": spot_symbol, "linear": futures_symbol, "inverse": coin_symbol}[style.kind]
    budget = 6000 if style.kind == "spot" else 2400
    info: dict[str, Any] = {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": budget},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        ],
        "exchangeFilters": [],
        "symbols": [row(market) for market in truth.of("binance", style.kind, None)],
    }
    if style.kind == "inverse":
        info["futuresType"] = "COIN_MARGINED"
    if style.kind == "linear":
        assets = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}]
        info |= {"futuresType": "U_MARGINED", "assets": assets}
    return info


def ticker_24h(market: Market, style: Style, now_ms: int) -> Body:
    """Encode the 24 hour statistics; only spot adds the best bid and ask."""
    change = market.last - market.open
    row: dict[str, Any] = {
        "symbol": market.id,
        "priceChange": style.price(market, change),
        "priceChangePercent": f"{100 * change / market.open:.3f}",
        "weightedAvgPrice": style.price(market, market.vwap),
        "lastPrice": style.price(market, market.last),
        "lastQty": style.counted(market, market.wire_lot),
    }
    if style.kind == "spot":
        row |= {"prevClosePrice": style.price(market, market.open)} | best(market, style)
    closed = market.quote_ms(now_ms)
    return row | {
        "openPrice": style.price(market, market.open),
        "highPrice": style.price(market, market.high),
        "lowPrice": style.price(market, market.low),
        "volume": style.counted(market, market.wire_volume),
        **turnover(market, style),
        "openTime": closed - DAY_MS,
        "closeTime": closed,
        "firstId": 6_000_000_000,
        "lastId": 6_003_000_000,
        "count": 3_000_001,
    }


def turnover(market: Market, style: Style) -> dict[str, str]:
    """Encode what was traded in the other unit: in coin where the volume is contracts, else in quote currency."""
    if style.kind == "inverse":
        return {"pair": pair(market), "baseVolume": f"{market.coin_volume:.8f}"}
    return {"quoteVolume": fixed(market.quote_volume, style.price_digits or 2)}


def best(market: Market, style: Style) -> dict[str, str]:
    """Encode best bid and ask; an empty side is zero."""
    top, zero = market.top, Decimal(0)
    return {
        "bidPrice": style.price(market, zero if top.bid is None else top.bid),
        "bidQty": style.size(market, top.bid_size or zero, top.bid or ONE),
        "askPrice": style.price(market, zero if top.ask is None else top.ask),
        "askQty": style.size(market, top.ask_size or zero, top.ask or ONE),
    }


def book_ticker(market: Market, style: Style, now_ms: int) -> Body:
    """Encode best bid and ask; only futures add the time of the quote."""
    row: dict[str, Any] = {"symbol": market.id} | best(market, style)
    if style.kind == "inverse":
        row["pair"] = pair(market)
    return row | ({} if style.kind == "spot" else {"time": market.quote_ms(now_ms)})


def interest(market: Market, style: Style, now_ms: int) -> Body:
    """Encode the open interest: coins, or contracts where sizes are contracts."""
    row = {"symbol": market.id, "openInterest": style.counted(market, market.wire_interest), "time": now_ms}
    if style.kind == "inverse":
        row |= {"pair": pair(market), "contractType": "CURRENT_QUARTER" if market.expiry else "PERPETUAL"}
    return row


def premium(market: Market, style: Style, now_ms: int) -> Body:
    """Encode mark, index and the funding that the coming settlement will have by now; dated contracts have none."""
    mark = market.last if market.mark is None else market.mark
    none = "" if style.kind == "inverse" else "0.00000000"
    row = {
        "symbol": market.id,
        "markPrice": style.price(market, mark),
        "indexPrice": style.price(market, mark if market.index is None else market.index),
        "estimatedSettlePrice": style.price(market, mark),
        "lastFundingRate": none if market.expiry else fixed(market.funding_rate, 8),
        "interestRate": "" if market.expiry else "0.00010000",
        "nextFundingTime": 0 if market.expiry else market.settles_ms(now_ms),
        "time": now_ms,
    }
    return row | ({"pair": pair(market)} if style.kind == "inverse" else {})


def funding_info(truth: Truth, style: Style) -> list[Body]:
    """Encode the intervals of those perpetuals alone that do not settle every eight hours."""
    return [
        {
            "symbol": market.id,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": market.funding_hours,
            "disclaimer": False,
        }
        for market in truth.of("binance", style.kind, "")
        if market.funding_hours != 8
    ]


RATIOS = {"globalLongShortAccountRatio": 0, "topLongShortAccountRatio": 1, "topLongShortPositionRatio": 2}
RATIO_MS = 300_000  # of the shortest period


def ratios(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Encode the latest ratios of long to short, oldest first; those of coin-margined contracts are of a pair.

    Both hosts have them under one path, but ask for the pair or for the symbol.
    """
    key, name = "pair" if "pair" in query else "symbol", path.rsplit("/", 1)[-1]
    style = COIN if key == "pair" else FUTURES
    listed = truth.of("binance", style.kind, "")
    market = next((one for one in listed if query.get(key) == (pair(one) if key == "pair" else one.id)), None)
    if market is None or "period" not in query:
        return error(-1102, f"Mandatory parameter '{key}' was not sent, was empty/null, or malformed.")
    long = market.long_shares[RATIOS[name]]
    held = ("longPosition", "shortPosition") if (key, name[-13:]) == ("pair", "PositionRatio") else None
    long_name, short_name = held or ("longAccount", "shortAccount")
    row = {key: query[key], long_name: f"{long:.4f}", short_name: f"{1 - long:.4f}"}
    row["longShortRatio"] = f"{long / (1 - long):.4f}"
    last, count = now_ms // RATIO_MS * RATIO_MS, int(query.get("limit", "30"))
    return Reply([row | {"timestamp": last - RATIO_MS * back} for back in reversed(range(count))])


def depth(market: Market, style: Style, now_ms: int, limit: int) -> Body:
    """Encode the order book; only futures add the transaction time T and the event time E."""
    sides = {
        name: [[style.price(market, price), style.size(market, size, price)] for price, size in side[:limit]]
        for name, side in (("bids", market.bids), ("asks", market.asks))
    }
    quoted = market.quote_ms(now_ms)
    times = {} if style.kind == "spot" else {"E": min(now_ms, quoted + 6), "T": quoted}
    names = {"symbol": market.id, "pair": pair(market)} if style.kind == "inverse" else {}
    return {"lastUpdateId": quoted} | names | times | sides


def trades(market: Market, style: Style, now_ms: int, limit: int) -> list[Body]:
    """Encode the latest trades, oldest first; `m` says that the buyer was the maker, so that the taker sold."""

    def row(trade: Print) -> Body:
        number = int(trade.id)
        body: dict[str, Any] = {
            "a": number,
            "p": style.price(market, trade.price),
            "q": style.size(market, trade.size, trade.price),
            "f": number,
            "l": number,
            "T": trade.at_ms(now_ms),
            "m": trade.side == "sell",
        }
        return body | ({"M": True} if style.kind == "spot" else {})

    return [row(trade) for trade in reversed(market.trades[:limit])]


def currency(name: str, tokens: tuple[Token, ...]) -> Body:
    """Encode one currency with its networks; what the asking account holds stands beside them."""
    held = dict.fromkeys(("free", "locked", "freeze", "withdrawing", "ipoing", "ipoable", "storage"), "0")
    states = {"depositAllEnable": True, "withdrawAllEnable": True, "trading": True, "isLegalMoney": False}
    return {"coin": name, "name": name, **states, **held, "networkList": list(map(network, tokens))}


def network(token: Token) -> Body:
    """Encode one network of a currency; a network's own coin has an empty address."""
    name = NETWORKS[token.network]["binance"]
    fees: dict[str, Any] = {
        "withdrawFee": text(token.fee),
        "withdrawMin": text(token.least),
        "withdrawMax": "310000000",
    }
    fees |= {"minConfirm": token.confirmations}
    states = {"depositEnable": token.deposits, "withdrawEnable": token.withdrawals, "isDefault": False, "busy": False}
    return {"network": name, "coin": token.coin, "name": name, "contractAddress": token.address, **states, **fees}


def trade_fee(truth: Truth, market: Market) -> Body:
    """Encode what the asking account pays for one spot pair."""
    taker, maker = truth.paid("binance", "spot", market.quote)
    return {"symbol": market.id, "makerCommission": text(maker), "takerCommission": text(taker)}


def commission(truth: Truth, market: Market) -> Body:
    """Encode what the asking account pays for one contract."""
    taker, maker = truth.paid("binance", market.kind, market.quote)
    return {"symbol": market.id, "makerCommissionRate": text(maker), "takerCommissionRate": text(taker)}


def error(code: int, msg: str, status: int = 400) -> Reply:
    """Encode Binance's error body."""
    return Reply({"code": code, "msg": msg}, status)


def restrictions(may: Sequence[str]) -> Body:
    """Encode what a key may do."""
    trade, withdraw = "trade" in may, "withdraw" in may
    return {
        "ipRestrict": withdraw,
        "createTime": 1_698_645_219_000,
        "enableReading": "read" in may,
        "enableWithdrawals": withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": trade,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": "read" in may,
        "enableSpotAndMarginTrading": trade,
        "enablePortfolioMarginTrading": False,
    }


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as Binance does."""
    if path == "/sapi/v1/system/status":
        return Reply({"status": 0, "msg": "normal"})
    if path == "/sapi/v1/capital/config/getall":
        return Reply([currency(*row) for row in truth.coins("binance").items()])
    if path == "/sapi/v1/asset/tradeFee":
        return Reply([trade_fee(truth, market) for market in truth.of("binance", "spot")])
    if path == "/sapi/v1/account/apiRestrictions":
        return Reply(restrictions(permissions(query)))
    if path.rsplit("/", 1)[-1] in RATIOS:
        return ratios(truth, path, query, now_ms)
    for prefix, style in HOSTS.items():
        if path.startswith(prefix):
            return _host_reply(truth, style, path.removeprefix(prefix), query, now_ms)
    return Reply(b"<html><body><h2>404 Not found</h2></body></html>", 404, content_type="text/html")


def _host_reply(truth: Truth, style: Style, name: str, query: Query, now_ms: int) -> Reply:
    if name == "time":
        return Reply({"serverTime": now_ms})
    if name == "ping":
        return Reply({})
    if name == "exchangeInfo":
        return Reply(exchange_info(truth, style, now_ms))
    contract_only = name in ("openInterest", "commissionRate") and style.kind != "spot"
    if name in ("depth", "aggTrades") or contract_only:
        return _market_reply(truth, style, name, query, now_ms)
    if name == "fundingInfo" and style.kind != "spot":
        return Reply(funding_info(truth, style))
    rows = {"ticker/24hr": ticker_24h, "ticker/bookTicker": book_ticker}
    if style.kind != "spot":
        rows["premiumIndex"] = premium
    if name not in rows:
        return Reply(b"<html><body><h2>404 Not found</h2></body></html>", 404, content_type="text/html")
    markets, single = _asked(truth, style, query)
    if markets is None:
        return error(-1121, "Invalid symbol.")
    body = [rows[name](market, style, now_ms) for market in markets]
    return Reply(body[0] if single and style.kind != "inverse" else body)


def _asked(truth: Truth, style: Style, query: Query) -> tuple[list[Market] | None, bool]:
    """Return the markets a request names (None if one is unknown) and whether it names just one."""
    if "symbol" not in query and not (style.kind == "spot" and "symbols" in query):
        listed = truth.of("binance", style.kind, None)
        asked = query.get("pair") if style.kind == "inverse" else None
        return [market for market in listed if asked in (None, pair(market))], False
    single = "symbol" in query
    ids = [query["symbol"]] if single else json.loads(query["symbols"])
    found = [truth.find("binance", style.kind, market_id) for market_id in ids]
    known = [market for market in found if market is not None]
    return (known if len(known) == len(found) else None), single


def _market_reply(truth: Truth, style: Style, name: str, query: Query, now_ms: int) -> Reply:
    if "symbol" not in query:
        return error(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    market = truth.find("binance", style.kind, query["symbol"])
    if market is None:
        return error(-1121, "Invalid symbol.")
    if name == "commissionRate":
        return Reply(commission(truth, market))
    if name == "openInterest":
        return Reply(interest(market, style, now_ms))
    if name == "aggTrades":
        return Reply(trades(market, style, now_ms, min(int(query.get("limit", "500")), 1000)))
    limit = int(query.get("limit", "100" if style.kind == "spot" else "500"))
    if style.kind != "spot" and limit not in FUTURES_DEPTHS:
        return error(-4021, f"{limit} is not valid depth limit.")
    return Reply(depth(market, style, now_ms, limit))


def weight(path: str, query: Query) -> int:
    """Request weight that Binance charges."""
    if path.startswith("/sapi/"):
        return 10 if path.endswith("/config/getall") else 1
    spot = path.startswith("/api/")
    name = path.rsplit("/v3/" if spot else "/v1/", 1)[-1]
    if name == "depth":
        limit = int(query.get("limit", "100" if spot else "500"))
        steps = ((100, 5), (500, 25), (1000, 50)) if spot else ((50, 2), (100, 5), (500, 10))
        return next((charge for most, charge in steps if limit <= most), 250 if spot else 20)
    one, several = "symbol" in query, query.get("symbols", "," * 100).count(",") + 1
    statistics = 2 if one or several <= 20 else 40 if several <= 100 else 80
    spot_weights = {"exchangeInfo": 20, "ticker/24hr": statistics, "ticker/bookTicker": 2 if one else 4, "aggTrades": 4}
    one = one or "pair" in query
    futures_weights = {"ticker/24hr": 1 if one else 40, "ticker/bookTicker": 2 if one else 5, "aggTrades": 20}
    futures_weights |= {"premiumIndex": 1 if one else 10, "commissionRate": 20}
    return (spot_weights if spot else futures_weights).get(name, 1)
