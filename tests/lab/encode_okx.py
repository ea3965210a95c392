"""OKX's v5 wire format: every number is a string, inside {"code": "0", "msg": "", "data": [...]}.

SWAP lists linear and inverse perpetuals, FUTURES both sorts of dated contracts. Their sizes are contracts, of
`ctVal` base units or quote units; `vol24h` is contracts and `volCcy24h` base units; for spot they are base and
quote. An empty side of a book is an empty string in the ticker. What a key may do is a list in one string.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tests.lab.names import NETWORKS, expiry_ms
from tests.lab.truth import ONE, Forced, Kind, Market, Print, Side, Token, Truth
from tests.lab.wire import Body, Query, Reply, permissions, text

KINDS: dict[str, tuple[Kind, ...]] = {
    "SPOT": ("spot",),
    "SWAP": ("linear", "inverse"),
    "FUTURES": ("linear", "inverse"),
}
ALL_KINDS: tuple[Kind, ...] = ("spot", "linear", "inverse")
LISTED_MS = "1611907686000"
PREOPEN = {"instType": "SWAP", "instId": "ETH-USD_UM-SWAP", "state": "preopen"}  # announced: that is all it says
NO_INSTRUMENT = "Instrument ID, Instrument ID code, or Spread ID doesn't exist."
_EMPTY = (
    *("alias", "auctionEndTime", "expTime", "freq", "longPosRemainingQuota", "maxMktAmt", "method"),
    *("maxPlatOICoinLmt", "maxPlatOILmt", "optType", "posLmtAmt", "posLmtPct", "preMktSwTime", "seriesId"),
    *("shortPosRemainingQuota", "stk"),
)


def success(data: list[Body]) -> Reply:
    """Wrap rows in OKX's envelope."""
    return Reply({"code": "0", "msg": "", "data": data})


def failure(code: str, msg: str, status: int = 200) -> Reply:
    """Encode OKX's error envelope."""
    return Reply({"code": code, "msg": msg, "data": []}, status)


def price(market: Market, value: Decimal) -> str:
    """Write a price."""
    return text(market.wire_price(value))


def size(market: Market, value: Decimal, at: Decimal | None = None) -> str:
    """Write a size: contracts for derivatives (how many inverse ones depends on the price), base units for spot."""
    return text(market.wire_size(value, at))


def instrument_type(market: Market) -> str:
    """Name of the list that a market is in."""
    return "SPOT" if market.kind == "spot" else "FUTURES" if market.expiry else "SWAP"


def listed(truth: Truth, asked: str) -> list[Market]:
    """Return the markets of a list: SPOT, SWAP or FUTURES."""
    markets = (market for kind in KINDS.get(asked, ()) for market in truth.of("okx", kind, None))
    return [market for market in markets if instrument_type(market) == asked]


def named(truth: Truth, instrument_id: str) -> Market | None:
    """Find a market of any kind by its id."""
    found = (truth.find("okx", kind, instrument_id) for kind in ALL_KINDS)
    return next((market for market in found if market is not None), None)


def instrument(market: Market, code: int) -> Body:
    """Encode one row of public/instruments."""
    row: dict[str, Any] = dict.fromkeys(_EMPTY, "")
    row |= {
        "instId": market.id,
        "instIdCode": code,
        "instType": instrument_type(market),
        "category": "1",
        "instCategory": "1",
        "futureSettlement": False,
        "lever": "10" if market.kind == "spot" else "100",
        "listTime": LISTED_MS,
        "lotSz": text(market.wire_lot),
        "minSz": text(market.wire_least),
        "tickSz": price(market, market.tick),
        "maxLmtSz": "100000000",
        "maxMktSz": "1000000",
        "maxLmtAmt": "20000000",
        "maxIcebergSz": "100000000.0000000000000000",
        "maxStopSz": "1000000",
        "maxTriggerSz": "100000000.0000000000000000",
        "maxTwapSz": "100000000.0000000000000000",
        "ruleType": "normal",
        "state": "live" if market.tradable else "suspend",
        "upcChg": [],
    }
    return row | (spot_fields(market) if market.kind == "spot" else contract_fields(market))


def spot_fields(market: Market) -> Body:
    """Encode what only a spot instrument fills."""
    empty = dict.fromkeys(("contTdSwTime", "ctMult", "ctType", "ctVal", "ctValCcy", "instFamily", "settleCcy"), "")
    return empty | {
        "baseCcy": market.wire_base,
        "quoteCcy": market.quote,
        "groupId": "12",
        "openType": "fix_price",
        "maxMktAmt": "1000000",
        "tradeQuoteCcyList": [market.quote],
        "uly": "",
    }


def contract_fields(market: Market) -> Body:
    """Encode what only a contract fills; `ctVal` is units of `ctValCcy` per contract."""
    family = f"{market.wire_base}-{market.quote}"
    counted, settled = market.wire_base, market.quote
    if market.kind == "inverse":
        counted, settled = settled, counted
    ending = {"alias": "quarter", "expTime": str(expiry_ms(market.expiry))} if market.expiry else {}
    return ending | {
        "baseCcy": "",
        "quoteCcy": "",
        "contTdSwTime": "1611916860000",
        "ctMult": "1",
        "ctType": market.kind,
        "ctVal": text(market.contract_size),
        "ctValCcy": counted,
        "groupId": "4",
        "instFamily": family,
        "openType": "call_auction",
        "posLmtAmt": "250000",
        "posLmtPct": "30",
        "settleCcy": settled,
        "tradeQuoteCcyList": [],
        "uly": family,
    }


def ticker(market: Market, now_ms: int) -> Body:
    """Encode one ticker row."""
    top = market.top
    spot = market.kind == "spot"
    coins = f"{market.coin_volume:.8f}" if market.kind == "inverse" else text(market.coin_volume)
    return {
        "instType": instrument_type(market),
        "instId": market.id,
        "last": price(market, market.last),
        "lastSz": text(market.wire_least),
        "askPx": "" if top.ask is None else price(market, top.ask),
        "askSz": "" if top.ask_size is None else size(market, top.ask_size, top.ask or ONE),
        "bidPx": "" if top.bid is None else price(market, top.bid),
        "bidSz": "" if top.bid_size is None else size(market, top.bid_size, top.bid or ONE),
        "open24h": price(market, market.open),
        "high24h": price(market, market.high),
        "low24h": price(market, market.low),
        "volCcy24h": text(market.quote_volume) if spot else coins,
        "vol24h": coins if spot else text(market.wire_volume),
        "ts": str(market.quote_ms(now_ms)),
        "sodUtc0": price(market, market.midnight_open),
        "sodUtc8": price(market, market.open),
    }


def interest(market: Market, now_ms: int) -> Body:
    """Encode the open interest: contracts, coins and dollars."""
    coins = (market.open_interest or Decimal(0)) / market.multiplier
    worth = coins * market.wire_price(market.last if market.mark is None else market.mark)
    return {
        "instType": instrument_type(market),
        "instId": market.id,
        "oi": text(market.wire_interest),
        "oiCcy": f"{coins:.8f}" if market.kind == "inverse" else text(coins),
        "oiUsd": f"{worth:.4f}",
        "ts": str(now_ms),
    }


def funding(market: Market, now_ms: int) -> Body:
    """Encode the funding of a perpetual; `fundingTime` is the coming settlement, `nextFundingTime` the one after."""
    coming = market.settles_ms(now_ms)
    interval = market.funding_hours * 3_600_000
    return {
        "formulaType": "withRate",
        "fundingRate": text(market.funding_rate),
        "fundingTime": str(coming),
        "impactValue": "20000",
        "instId": market.id,
        "instType": "SWAP",
        "interestRate": "0.0001",
        "maxFundingRate": "0.00375",
        "method": "current_period",
        "minFundingRate": "-0.00375",
        "nextFundingRate": "",
        "nextFundingTime": str(coming + interval),
        "premium": "0.0001",
        "settFundingRate": text(market.funding_rate / 2),
        "settState": "settled",
        "ts": str(now_ms),
    }


RATIOS = {
    "rubik/stat/contracts/long-short-account-ratio-contract": 0,
    "rubik/stat/contracts/long-short-account-ratio-contract-top-trader": 1,
    "rubik/stat/contracts/long-short-position-ratio-contract-top-trader": 2,
}
RATIO_MS = 300_000


def ratios(market: Market, place: int, query: Query, now_ms: int) -> Reply:
    """Encode ratios of long to short as pairs of time and ratio, newest first."""
    long = market.long_shares[place]
    last, count = now_ms // RATIO_MS * RATIO_MS, int(query.get("limit", "100"))
    return success([[str(last - RATIO_MS * back), f"{long / (1 - long):.16f}"] for back in range(count)])


def book(market: Market, now_ms: int, depth: int) -> Body:
    """Encode an order book; a level is price, size, liquidated orders, orders."""

    def levels(side: Side) -> list[list[str]]:
        return [[price(market, at), size(market, amount, at), "0", "1"] for at, amount in side[:depth]]

    return {"asks": levels(market.asks), "bids": levels(market.bids), "ts": str(market.quote_ms(now_ms))}


def trade(market: Market, done: Print, now_ms: int) -> Body:
    """Encode one public trade; `side` is the taker's."""
    return {
        "instId": market.id,
        "side": done.side,
        "sz": size(market, done.size, done.price),
        "source": "0",
        "px": price(market, done.price),
        "tradeId": done.id,
        "ts": str(done.at_ms(now_ms)),
    }


def liquidations(found: Sequence[tuple[Market, Forced]]) -> list[Body]:
    """Encode liquidations, newest first: a row holds all that follow one another in one contract."""
    rows: list[Body] = []
    for market, one in found:
        if not rows or rows[-1]["instId"] != market.id:
            family = contract_fields(market)["instFamily"]
            named_ = {"instFamily": family, "instId": market.id, "instType": instrument_type(market), "uly": family}
            rows.append({"details": [], **named_, "totalLoss": "0"})
        detail = {"bkLoss": "0", "bkPx": price(market, one.price), "ccy": "", "posSide": one.position}
        detail |= {"side": one.side, "sz": size(market, one.size, one.price), "ts": str(one.ms)}
        rows[-1]["details"].append(detail)
    return rows


def currency(token: Token) -> Body:
    """Encode one network of a currency; a network's own coin has an empty address."""
    return {
        "ccy": token.coin,
        "name": token.coin,
        "chain": f"{token.coin}-{NETWORKS[token.network]['okx']}",
        "ctAddr": token.address,
        "burningFeeRate": text(token.share) if token.share else "",
        "canDep": token.deposits,
        "canWd": token.withdrawals,
        "canInternal": True,
        "mainNet": not token.address,
        "needTag": False,
        "fee": text(token.fee),
        "minFee": text(token.fee),
        "maxFee": text(token.fee),
        "minDep": "0.01",
        "minDepArrivalConfirm": str(token.confirmations),
        "minWd": text(token.least),
        "wdTickSz": "6",
    }


def account(may: Sequence[str]) -> Body:
    """Encode the settings of an account, and in `perm` what the key that asks may do."""
    words = {"read": "read_only", "withdraw": "withdraw", "trade": "trade"}
    return {
        "uid": "44705892343619584",
        "mainUid": "44705892343619584",
        "acctLv": "1",
        "posMode": "net_mode",
        "greeksType": "PA",
        "level": "Lv1",
        "kycLv": "3",
        "type": "0",
        "label": "lab",
        "ip": "",
        "perm": ",".join(word for permission, word in words.items() if permission in may),
    }


def trade_fee(truth: Truth, type_: str, now_ms: int) -> Body:
    """Encode what the asking account pays; what is charged is below zero. Coins are the collateral of inverse ones."""
    kinds: tuple[Kind, ...] = ("spot", "spot", "spot") if type_ == "SPOT" else ("inverse", "linear", "linear")
    ends = (
        (("", "USDT"), ("U", ""), ("USDC", "USDC"))
        if type_ == "SPOT"
        else (("", "USD"), ("U", "USDT"), ("USDC", "USDC"))
    )
    row = {"category": "1", "delivery": "", "exercise": "", "instType": type_, "level": "Lv2", "ts": str(now_ms)}
    for kind, (end, quote) in zip(kinds, ends, strict=True):
        taker, maker = truth.paid("okx", kind, quote)
        row |= {f"taker{end}": text(-taker) if quote else "", f"maker{end}": text(-maker) if quote else ""}
    return row


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as OKX does."""
    name = path.removeprefix("/api/v5/")
    if name == "public/time":
        return success([{"ts": str(now_ms)}])
    if name == "asset/currencies":
        return success([currency(token) for tokens in truth.coins("okx").values() for token in tokens])
    if name == "account/trade-fee":
        if query.get("instType") not in KINDS:
            return failure("51000", "Parameter instType error")
        return success([trade_fee(truth, query["instType"], now_ms)])
    if name == "account/config":
        return success([account(permissions(query))])
    if name == "system/status":
        return success([])
    if name == "public/funding-rate" and query.get("instId") == "ANY":
        return success([funding(market, now_ms) for market in listed(truth, "SWAP")])
    if name in ("public/instruments", "public/open-interest", "market/tickers"):
        return _list_reply(truth, name, query, now_ms)
    if name == "public/liquidation-orders":
        return _liquidations_reply(truth, query)
    singles = ("market/ticker", "market/books", "market/books-full", "market/trades", "market/history-trades")
    if name in (*singles, "public/funding-rate", *RATIOS):
        return _one_reply(truth, name, query, now_ms)
    return Reply({"code": "404", "data": {}, "detailMsg": "", "error_code": "404", "msg": "Not Found"}, 404)


def _list_reply(truth: Truth, name: str, query: Query, now_ms: int) -> Reply:
    asked = query.get("instType", "")
    if asked in ("OPTION", "MARGIN"):
        return success([])
    if asked not in KINDS:
        return failure("51000", "Parameter instType error")
    markets = listed(truth, asked)
    if name == "market/tickers":
        return success([ticker(market, now_ms) for market in markets])
    wanted = query.get("instId")
    if name == "public/open-interest":
        return success([interest(m, now_ms) for m in markets if wanted in (None, m.id) and m.kind != "spot"])
    rows = [instrument(m, 10_000 + n) for n, m in enumerate(markets) if wanted in (None, m.id)]
    rows += [PREOPEN] if (asked, wanted) == ("SWAP", None) else []
    return success(rows) if rows or wanted is None else failure("51001", NO_INSTRUMENT)


def _liquidations_reply(truth: Truth, query: Query) -> Reply:
    """Answer about a family's liquidations: `after` asks for older ones, `before` for newer ones, never both ends."""
    if query.get("instType") not in ("SWAP", "FUTURES") or query.get("state") not in ("filled", "unfilled"):
        return failure("51000", "Parameter instType error")
    family = query.get("instFamily", query.get("uly"))
    if family is None:
        return failure("50015", "Either parameter uly or instFamily is required.", 400)
    markets = [m for m in listed(truth, query["instType"]) if contract_fields(m)["instFamily"] == family]
    if not markets:
        return failure("51014", "Index doesn't exist.")
    start, end = int(query.get("before", "-1")) + 1, int(query.get("after", str(10**15)))
    found = [(market, one) for market in markets for one in truth.struck(market, start, end)]
    found.sort(key=lambda pair: -pair[1].ms)
    return success(liquidations(found[: min(int(query.get("limit", "100")), 100)]))


def _one_reply(truth: Truth, name: str, query: Query, now_ms: int) -> Reply:
    if "instId" not in query:
        return failure("50014", "Parameter instId can not be empty.", 400)
    market = named(truth, query["instId"])
    if market is None:
        return failure("51001", NO_INSTRUMENT)
    if name == "market/ticker":
        return success([ticker(market, now_ms)])
    if name == "public/funding-rate":
        return success([funding(market, now_ms)])
    if name in RATIOS:
        return ratios(market, RATIOS[name], query, now_ms)
    if name == "market/trades":
        limit = min(int(query.get("limit", "100")), 500)
        return success([trade(market, done, now_ms) for done in market.trades[:limit]])
    if name == "market/history-trades":
        before = int(query.get("after", "9" * 18))
        older = [done for done in market.trades if int(done.id) < before]
        return success([trade(market, done, now_ms) for done in older[: min(int(query.get("limit", "100")), 100)]])
    most = 400 if name == "market/books" else 5000
    return success([book(market, now_ms, min(int(query.get("sz", "1")), most))])
