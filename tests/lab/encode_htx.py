"""HTX's wire formats: spot and three families of contracts, on one port.

Spot is under /v1, /v2 and /market, linear contracts (perpetual and dated, told apart by `business_type`) under
/linear-swap-*, inverse perpetuals under /swap-*, and inverse dated contracts under /api/v1/contract_* and again
/market, where a contract's symbol in capitals tells them from spot (the venue has a host for each).

Spot writes numbers. Contracts write the figures of 24 hours as text and everything else as numbers; their sizes are
contracts, and volume, turnover and trades count the buyer's and the seller's side, hence twice what changed hands.
Overviews name a dated contract by its turn, BTC-USDT-CQ and BTC_CQ, while the lists name it by its day; a request may
use either. Trades are nested two deep. Only contracts' tickers carry a time per row. The HTTP status of an error stays
200.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.lab.names import NETWORKS, expiry_ms
from tests.lab.truth import Forced, Market, Print, Side, Token, Truth
from tests.lab.wire import Body, Query, Reply, decimals, number, text

LINEAR = "/linear-swap-"
INVERSE = "/swap-"
DELIVERY_LIST = "/api/v1/contract_contract_info"
DELIVERY_INTEREST = "/api/v1/contract_open_interest"
DELIVERY_BATCH = ("/market/detail/batch_merged", "/v2/market/detail/batch_merged")
SHARED = ("/market/detail/merged", "/market/depth", "/market/history/trade")
V5_INTEREST = "/v5/market/open_interest"  # of a single linear contract
V5_LIQUIDATIONS = "/v5/market/liquidation_orders"  # of a single linear contract
V3_LIQUIDATIONS = "/swap-api/v3/swap_liquidation_orders"  # of a single inverse one
V5_FUNDING = "/v5/market/funding_rate"  # of a single linear perpetual, with the settlement after the coming one
BATCH_FUNDING = "api/v1/swap_batch_funding_rate"
ELITE = {"api/v1/swap_elite_account_ratio": 1, "api/v1/swap_elite_position_ratio": 2}
RATIO_MS = 300_000
LOCKED = Decimal("0.04")  # of the elite's accounts hold both sides
LISTS = ("api/v1/swap_contract_info", "api/v1/swap_open_interest", "ex/market/detail/batch_merged")
SINGLE = ("ex/market/detail/merged", "ex/market/depth", "ex/market/history/trade")
QUARTER, TURN = "quarter", "CQ"  # of all dated contracts in the lab, hence one of each sort and coin
SPOT_DEPTHS = (5, 10, 20)
DEPTH = 150
MOST_STRUCK, WINDOW_MS = 100, 7_200_000
MOST_STRUCK_COIN = 50
MOST_TRADES = 2000
COUNT = 265_846


def is_delivery(path: str, query: Query) -> bool:
    """Whether a request is about inverse dated contracts."""
    if path in SHARED:
        return query.get("symbol", "") != query.get("symbol", "").lower()
    return path in (DELIVERY_LIST, DELIVERY_INTEREST, *DELIVERY_BATCH)


def is_contract(path: str, query: Query) -> bool:
    """Whether a request belongs to the contracts' host and is answered with its kind of errors."""
    return path.startswith((LINEAR, INVERSE, "/api/v1/", "/v5/", "/heartbeat")) or is_delivery(path, query)


def contract_failure(code: int, message: str, now_ms: int, status: int = 200) -> Reply:
    """Encode an error of the contracts' host: with underscores, and a number."""
    return Reply({"status": "error", "err_code": code, "err_msg": message, "ts": now_ms}, status)


def failure(code: str, message: str, now_ms: int, status: int = 200) -> Reply:
    """Encode an error of the spot host: with hyphens, and a word."""
    return Reply({"ts": now_ms, "status": "error", "err-code": code, "err-msg": message}, status)


def turn(market: Market) -> str:
    """Name of a contract in overviews: a dated one goes by its turn, this quarter's."""
    if not market.expiry:
        return market.id
    return f"{market.wire_base}-{market.quote}-{TURN}" if market.kind == "linear" else f"{market.wire_base}_{TURN}"


def listed(truth: Truth, path: str, query: Query) -> list[Market]:
    """Return the markets that a path is about, all sorts of contracts together if it asks so."""
    if path.startswith((LINEAR, "/v5/")):
        asked = query.get("business_type", "swap")
        return [market for market in truth.of("htx", "linear", None) if asked in ("all", business(market))]
    if path.startswith(INVERSE):
        return list(truth.of("htx", "inverse"))
    if is_delivery(path, query):
        return [market for market in truth.of("htx", "inverse", None) if market.expiry]
    return list(truth.of("htx", "spot"))


def named(truth: Truth, path: str, query: Query, market_id: str) -> Market | None:
    """Find the market that a name means on a path: about one linear contract the sort need not be said."""
    wide = {"business_type": "all", **query} if "contract_code" in query else query
    ids = {market_id, market_id.upper()} if is_contract(path, query) else {market_id}
    return next((m for m in listed(truth, path, wide) if ids & {m.id, turn(m)}), None)


def business(market: Market) -> str:
    """Sort of a linear contract."""
    return "futures" if market.expiry else "swap"


def price(market: Market, value: Decimal) -> int | float:
    """Write a price as a number."""
    return number(market.wire_price(value))


def size(market: Market, value: Decimal, at: Decimal | None = None) -> int | float:
    """Write a size as a number: coins for spot, else contracts, of which inverse ones depend on the price."""
    return number(market.wire_size(value, at))


def symbol(market: Market) -> Body:
    """Encode one row of the list of spot symbols; steps are digits after the point."""
    least = number(market.wire_least)
    return {
        "base-currency": market.wire_base.lower(),
        "quote-currency": market.quote.lower(),
        "price-precision": decimals(market.wire_price(market.tick)),
        "amount-precision": decimals(market.wire_lot),
        "symbol-partition": "main",
        "symbol": market.id,
        "state": "online" if market.tradable else "suspend",
        "value-precision": 8,
        "min-order-amt": least,
        "max-order-amt": 200_000_000,
        "min-order-value": number(market.min_notional or Decimal(1)),
        "limit-order-min-order-amt": least,
        "limit-order-max-order-amt": 200_000_000,
        "limit-order-max-buy-amt": 200_000_000,
        "limit-order-max-sell-amt": 200_000_000,
        "buy-limit-must-less-than": 1.1,
        "sell-limit-must-greater-than": 0.9,
        "sell-market-min-order-amt": least,
        "sell-market-max-order-amt": 988_576,
        "buy-market-max-order-value": 1_500_000,
        "market-sell-order-rate-must-less-than": 0.01,
        "market-buy-order-rate-must-less-than": 0.01,
        "leverage-ratio": 5,
        "super-margin-leverage-ratio": 3,
        "api-trading": "enabled",
        "tags": "",
    }


def contract(market: Market) -> Body:
    """Encode one row of a list of contracts; `contract_size` is coins, of inverse contracts quote units."""
    ends = str(expiry_ms(market.expiry)) if market.expiry else ""
    row: dict[str, Any] = {
        "symbol": market.wire_base,
        "contract_code": market.id,
        "contract_size": number(market.contract_size),
        "price_tick": price(market, market.tick),
        "delivery_time": ends,
        "create_date": "20201021",
        "contract_status": 1 if market.tradable else 3,
    }
    if market.kind == "linear":
        return row | {"delivery_date": market.expiry and f"20{market.expiry}"} | linear_fields(market, ends)
    if market.expiry:
        days = {"delivery_date": f"20{market.expiry}", "settlement_time": "1780300800000"}
        return row | days | {"contract_type": QUARTER}
    return row | {"settlement_date": "1780300800000", "settlement_period": str(market.funding_hours)}


def linear_fields(market: Market, ends: str) -> Body:
    """Encode what only the list of linear contracts has."""
    return {
        "adjust": [],
        "price_estimated": [],
        "settlement_date": ends or "1780300800000",
        "support_margin_mode": "cross" if market.expiry else "all",
        "open_type": 0,
        "settlement_period": "" if market.expiry else str(market.funding_hours),
        "business_type": business(market),
        "pair": f"{market.wire_base}-{market.quote}",
        "contract_type": QUARTER if market.expiry else "swap",
        "trade_partition": market.quote,
    }


def currency(name: str, tokens: tuple[Token, ...]) -> Body:
    """Encode one row of the list of currencies; a network's own coin has no address at all."""
    return {"currency": name.lower(), "assetType": 1, "chains": list(map(chain, tokens)), "instStatus": "normal"}


def chain(token: Token) -> Body:
    """Encode one network of a currency."""
    name = NETWORKS[token.network]["htx"]
    row: dict[str, Any] = {"chain": f"{name}{token.coin}".lower(), "displayName": name, "fullName": name}
    if token.address:
        row |= {"baseChain": name, "baseChainProtocol": name, "contractAddress": token.address}
    fees = {"minDepositAmt": "1", "minWithdrawAmt": text(token.least), "withdrawFeeType": "fixed"}
    fees |= {"transactFeeWithdraw": text(token.fee)}
    if token.share:
        fees |= {"withdrawFeeType": "ratio", "transactFeeRateWithdraw": text(token.share)}
        del fees["transactFeeWithdraw"]
    words = {True: "allowed", False: "prohibited"}
    states: dict[str, Any] = {
        "depositStatus": words[token.deposits],
        "withdrawStatus": words[token.withdrawals],
        "numOfConfirmations": token.confirmations,
    }
    return row | states | fees | {"addrWithTag": False, "addrDepositTag": False}


def fee_rate(truth: Truth, market: Market) -> Body:
    """Encode what the asking account pays for one pair: `actual` is with what it is spared."""
    taker, maker = truth.paid("htx", "spot", market.quote)
    rates = {"actualMakerRate": text(maker), "actualTakerRate": text(taker)}
    return {"symbol": market.id, **rates, "takerFeeRate": "0.002", "makerFeeRate": "0.002"}


def statistics(market: Market) -> dict[str, Any]:
    """Return the figures of 24 hours as HTX counts them; those of contracts count both sides."""
    sides = 1 if market.kind == "spot" else 2
    row: dict[str, Any] = {name: price(market, getattr(market, name)) for name in ("open", "high", "low")}
    row |= {"close": price(market, market.last), "count": sides * COUNT}
    coins = sides * market.coin_volume
    if market.kind == "spot":
        return row | {"amount": number(coins), "vol": number(market.quote_volume)}
    contracts, turnover = sides * market.wire_volume, sides * market.quote_volume
    numbers = {name: text(market.wire_price(getattr(market, name))) for name in ("open", "high", "low")}
    volumes = {"amount": text(coins), "vol": text(contracts)}
    if market.kind == "linear":
        volumes["trade_turnover"] = text(turnover)
    return row | numbers | {"close": text(market.wire_price(market.last))} | volumes


def best(market: Market) -> dict[str, list[float] | None]:
    """Encode best bid and ask as pairs; an empty side is null."""
    top = market.top
    sides = (("bid", top.bid, top.bid_size), ("ask", top.ask, top.ask_size))
    return {
        name: None if at is None else [price(market, at), size(market, amount or at, at)] for name, at, amount in sides
    }


def ticker(market: Market) -> Body:
    """Encode one row of the spot tickers, which have no time; an empty side is zero."""
    row: dict[str, Any] = {"symbol": market.id} | statistics(market)
    for name, pair in best(market).items():
        row[name], row[f"{name}Size"] = (0, 0) if pair is None else pair
    return row


def merged(market: Market, now_ms: int) -> Body:
    """Encode one market's overview, whose best prices are pairs; those of contracts have a time."""
    quoted = market.quote_ms(now_ms)
    row = {"id": quoted // 1000} | statistics(market) | best(market)
    if market.kind == "spot":
        return row | {"id": quoted, "version": quoted}
    return row | {"ts": quoted}


def batch_row(market: Market, now_ms: int) -> Body:
    """Encode one row of the overviews of all contracts."""
    if market.kind == "linear":
        return {"contract_code": turn(market), "business_type": business(market)} | merged(market, now_ms)
    return {"symbol" if market.expiry else "contract_code": turn(market)} | merged(market, now_ms)


def interest(market: Market) -> Body:
    """Encode the open interest, both sides of it: contracts and coins; of linear ones, as text, their worth as well."""
    write = text if market.kind == "linear" else number
    coins = 2 * (market.open_interest or Decimal(0)) / market.multiplier
    row: dict[str, Any] = {
        "volume": write(2 * market.wire_interest),
        "amount": write(coins),
        "contract_code": market.id,
        "trade_amount": write(2 * market.coin_volume),
        "trade_volume": write(2 * market.wire_volume),
        "trade_turnover": write(2 * market.quote_volume),
    }
    if market.kind == "linear":
        return row | {"value": write(coins * market.wire_price(market.last if market.mark is None else market.mark))}
    return row | {"symbol": market.wire_base} | ({"contract_type": QUARTER} if market.expiry else {})


def funding(market: Market, now_ms: int) -> Body:
    """Encode a perpetual's funding as overviews do: when the next settlement after the coming one is, is not told."""
    return {
        "estimated_rate": None,
        "funding_rate": f"{market.funding_rate:.18f}",
        "contract_code": market.id,
        "symbol": market.wire_base,
        "fee_asset": market.wire_base if market.kind == "inverse" else market.quote,
        "funding_time": str(market.settles_ms(now_ms)),
        "next_funding_time": None,
    } | ({"trade_partition": market.quote} if market.kind == "linear" else {})


def single_funding(market: Market, now_ms: int) -> Body:
    """Encode a linear perpetual's funding with both settlements to come."""
    coming = market.settles_ms(now_ms)
    return {
        "contract_code": market.id,
        "funding_rate": f"{market.funding_rate:.18f}",
        "funding_time": str(coming),
        "next_funding_time": str(coming + 3_600_000 * market.funding_hours),
        "min_funding_rate": "-0.003750000000000000",
        "max_funding_rate": "0.003750000000000000",
    }


def elite(market: Market, tail: str, now_ms: int) -> Reply:
    """Encode the shares of the elite that are long and short, oldest first; of accounts some are both."""
    place = ELITE[tail]
    long, last = market.long_shares[place], now_ms // RATIO_MS * RATIO_MS
    locked = LOCKED if place == 1 else Decimal(0)
    row = {"buy_ratio": number(long * (1 - locked)), "sell_ratio": number((1 - long) * (1 - locked))}
    row |= {"locked_ratio": number(locked)} if place == 1 else {}
    rows = [row | {"ts": last - RATIO_MS * back} for back in reversed(range(30))]
    data = {"list": rows, "symbol": market.wire_base, "contract_code": market.id}
    return Reply({"status": "ok", "data": data, "ts": now_ms})


def book(market: Market, now_ms: int, depth: int) -> Body:
    """Encode an order book, unmerged."""

    def levels(side: Side) -> list[list[float]]:
        return [[price(market, at), size(market, amount, at)] for at, amount in side[:depth]]

    quoted = market.quote_ms(now_ms)
    tick: dict[str, Any] = {"bids": levels(market.bids), "asks": levels(market.asks), "ts": quoted, "version": quoted}
    if market.kind != "spot":
        tick |= {"id": quoted // 1000, "mrid": quoted, "ch": f"market.{turn(market)}.depth.step0"}
    return tick


def trade(market: Market, done: Print, now_ms: int) -> Body:
    """Encode one trade; a contract's amount, quantity and turnover count both sides."""
    row = {"price": price(market, done.price), "direction": done.side, "ts": done.at_ms(now_ms)}
    if market.kind == "spot":
        long_id = int(f"1050{done.id}{done.at_ms(now_ms)}")
        return row | {"id": long_id, "trade-id": int(done.id), "amount": size(market, done.size)}
    both = 2 * done.size
    amounts = {"amount": size(market, both, done.price), "quantity": number(both / market.multiplier)}
    if market.kind == "linear":
        amounts["trade_turnover"] = number(both * done.price)
    return row | {"id": int(done.id)} | amounts


def trades(market: Market, now_ms: int, groups: int) -> list[Body]:
    """Encode the latest trades, newest first, two in each group."""
    pairs = [market.trades[at : at + 2] for at in range(0, len(market.trades), 2)]
    return [
        {"id": int(pair[0].id), "ts": pair[0].at_ms(now_ms), "data": [trade(market, done, now_ms) for done in pair]}
        for pair in pairs[:groups]
    ]


def linear_liquidation(market: Market, one: Forced, place: int) -> Body:
    """Encode one liquidation of a linear contract, as text; `amount` repeats the contracts, not coins."""
    contracts = text(market.wire_size(one.size, one.price))
    return {
        "id": str(150_153_038_758 + place),
        "contract_code": market.id,
        "liquidation_time": str(one.ms),
        "side": one.side,
        "position_side": one.position,
        "volume": contracts,
        "amount": contracts,
        "bankrupt_price": text(market.wire_price(one.price)),
        "trade_turnover": text(one.size * one.price),
    }


def inverse_liquidation(market: Market, one: Forced, place: int) -> Body:
    """Encode one liquidation of an inverse contract, as numbers: contracts and coins, and the order's side alone."""
    return {
        "query_id": 452_057 + place,
        "contract_code": market.id,
        "symbol": market.wire_base,
        "direction": one.side,
        "offset": "close",
        "volume": number(market.wire_size(one.size, one.price)),
        "price": price(market, one.price),
        "created_at": one.ms,
        "amount": number(one.size / market.multiplier),
    }


def _liquidations(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer about one contract's liquidations, newest first; of linear ones two hours at most are told at once."""
    linear = path == V5_LIQUIDATIONS
    market = named(truth, path, query, query.get("contract_code" if linear else "contract", ""))
    if market is None:
        return Reply({"code": 1332, "message": "The contract doesn't exist.", "data": None, "ts": now_ms})
    if not linear and query.get("trade_type") not in ("0", "5", "6"):
        return Reply({"code": 1030, "msg": "Abnormal service. Please try again later.", "data": None, "ts": now_ms})
    end = int(query.get("end_time", str(now_ms)))
    start = int(query.get("start_time", str(end - WINDOW_MS)))
    if linear and end - start > WINDOW_MS:
        return Reply({"code": 1067, "message": "The time span is too long.", "data": None, "ts": now_ms})
    most = min(int(query.get("limit", "100")), MOST_STRUCK) if linear else MOST_STRUCK_COIN
    encode = linear_liquidation if linear else inverse_liquidation
    rows = [encode(market, one, truth.place_of(one)) for one in truth.struck(market, start, end + 1)[:most]]
    return Reply({"code": 200, "message" if linear else "msg": "", "data": rows, "ts": now_ms})


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as HTX does."""
    fixed = _state(truth, path, now_ms)
    if fixed is not None:
        return Reply(fixed)
    if path == "/market/tickers":
        rows = [ticker(market) for market in truth.of("htx", "spot")]
        return Reply({"data": rows, "status": "ok", "ts": now_ms})
    if is_contract(path, query):
        return _contract_reply(truth, path, query, now_ms)
    if path == "/v2/reference/transact-fee-rate":
        found = [market for market in truth.of("htx", "spot") if market.id in query.get("symbols", "").split(",")]
        return Reply({"code": 200, "data": [fee_rate(truth, market) for market in found], "success": True})
    if path not in SHARED:
        return _not_found()
    market = truth.find("htx", "spot", query.get("symbol", ""))
    if market is None:
        return failure("invalid-parameter", "invalid symbol", now_ms)
    depth = int(query.get("depth", str(DEPTH)))
    if path == "/market/depth" and depth not in (*SPOT_DEPTHS, DEPTH):
        return failure("invalid-parameter", "invalid depth", now_ms)
    return _one_reply(market, path, query, now_ms, depth)


def _state(truth: Truth, path: str, now_ms: int) -> Body | None:
    """Encode time, state and lists of markets; None for any other path."""
    if path == "/v1/common/timestamp":
        return {"status": "ok", "data": now_ms}
    if path == "/api/v1/timestamp":
        return {"status": "ok", "ts": now_ms}
    if path == "/v2/market-status":
        return {"code": 200, "message": "success", "data": {"marketStatus": 1}}
    if path in ("/heartbeat", "/heartbeat/"):
        beats = {f"{host}heartbeat": 1 for host in ("", "swap_", "option_", "linear_swap_")}
        ends = {f"{host}estimated_recovery_time": None for host in ("", "swap_", "option_", "linear_swap_")}
        return {"status": "ok", "data": beats | ends, "ts": now_ms}
    if path == "/v1/common/symbols":
        return {"status": "ok", "data": [symbol(market) for market in truth.of("htx", "spot")]}
    if path == "/v2/reference/currencies":
        return {"code": 200, "data": [currency(*row) for row in truth.coins("htx").items()]}
    return None


def _contract_reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer a request about contracts of any family."""
    if path in (V5_LIQUIDATIONS, V3_LIQUIDATIONS):
        return _liquidations(truth, path, query, now_ms)
    if path == V5_INTEREST:
        return _linear_interest(truth, path, query, now_ms)
    tail = path.removeprefix(LINEAR if path.startswith(LINEAR) else INVERSE)
    if path == V5_FUNDING or tail == BATCH_FUNDING or tail in ELITE:
        return _funding_reply(truth, path, tail, query, now_ms)
    single = tail in SINGLE or path in SHARED
    if not (single or tail in LISTS or path in (DELIVERY_LIST, DELIVERY_INTEREST, *DELIVERY_BATCH)):
        return _not_found()
    markets = listed(truth, path, query)
    asked = query.get("contract_code", query.get("symbol"))
    if path == DELIVERY_LIST and "symbol" in query:  # a coin's, not a contract's
        markets, asked = [market for market in markets if market.wire_base == query["symbol"]], None
    if single or asked is not None:
        found = named(truth, path, query, asked or "")
        if found is None:
            return contract_failure(1332, "The contract doesn't exist.", now_ms)
        markets = [found]
    if single:
        return _one_reply(markets[0], path, query, now_ms, DEPTH)
    if path.endswith("contract_info"):
        return Reply({"status": "ok", "data": [contract(market) for market in markets], "ts": now_ms})
    if path.endswith("open_interest"):
        return Reply({"status": "ok", "data": [interest(market) for market in markets], "ts": now_ms})
    return Reply({"status": "ok", "ticks": [batch_row(market, now_ms) for market in markets], "ts": now_ms})


def _funding_reply(truth: Truth, path: str, tail: str, query: Query, now_ms: int) -> Reply:
    """Answer about the funding or the holders of perpetuals, which alone have funding."""
    markets = [market for market in listed(truth, path, query) if not market.expiry]
    asked = query.get("contract_code")
    if asked is not None:
        markets = [market for market in markets if market.id == asked.upper()]
    if path == V5_FUNDING:
        if asked is None or not markets:
            return Reply({"code": 1066, "message": "The contract code is incorrect.", "data": None, "ts": now_ms})
        return Reply({"code": 200, "message": "Success", "data": [single_funding(markets[0], now_ms)], "ts": now_ms})
    if not markets or (tail in ELITE and asked is None):
        return contract_failure(1332, "The contract doesn't exist.", now_ms)
    if tail in ELITE:
        return elite(markets[0], tail, now_ms)
    return Reply({"status": "ok", "data": [funding(market, now_ms) for market in markets], "ts": now_ms})


def _linear_interest(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    market = named(truth, path, query, query.get("contract_code", ""))
    if market is None:
        return Reply({"code": 1332, "message": "The contract doesn't exist.", "data": None, "ts": now_ms})
    return Reply({"code": 200, "message": "Success", "data": interest(market), "ts": now_ms})


def _one_reply(market: Market, path: str, query: Query, now_ms: int, depth: int) -> Reply:
    """Answer about one market's overview, book or trades."""
    if path.endswith("/history/trade"):
        groups = max(1, min(int(query.get("size", "1")), MOST_TRADES))
        channel, content = "trade.detail", {"data": trades(market, now_ms, groups)}
    elif path.endswith("/depth"):
        channel, content = "depth.step0", {"tick": book(market, now_ms, depth)}
    else:
        channel, content = "detail.merged", {"tick": merged(market, now_ms)}
    return Reply({"ch": f"market.{turn(market)}.{channel}", "status": "ok", "ts": now_ms} | content)


def _not_found() -> Reply:
    return Reply(b"<html><head><title>404 Not Found</title></head></html>", 404, content_type="text/html")
