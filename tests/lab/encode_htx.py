"""HTX's wire formats: spot under /v1, /v2 and /market, linear swaps under /linear-swap-*, on one port.

Spot writes numbers. Swaps write the figures of 24 hours as text and everything else as numbers; their sizes are
contracts, and volume, turnover and trades count the buyer's and the seller's side, hence twice what changed hands.
Trades are nested two deep. Only swaps' tickers carry a time per row. The HTTP status of an error stays 200.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.lab.truth import Market, Print, Side, Truth
from tests.lab.wire import Body, Query, Reply, decimals, number, text

LINEAR = "/linear-swap-"
SPOT_DEPTHS = (5, 10, 20)
DEPTH = 150
MOST_TRADES = 2000
COUNT = 265_846


def is_linear(path: str) -> bool:
    """Whether a path belongs to the contracts' host and speaks its kind of errors."""
    return path.startswith((LINEAR, "/swap-", "/api/v1/", "/heartbeat"))


def failure(path: str, code: str | int, message: str, now_ms: int, status: int = 200) -> Reply:
    """Encode an error: with underscores and a number for contracts, with hyphens and a word for spot."""
    if is_linear(path):
        return Reply({"status": "error", "err_code": code, "err_msg": message, "ts": now_ms}, status)
    return Reply({"ts": now_ms, "status": "error", "err-code": code, "err-msg": message}, status)


def price(market: Market, value: Decimal) -> int | float:
    """Write a price as a number."""
    return number(market.wire_price(value))


def size(market: Market, value: Decimal) -> int | float:
    """Write a size as a number: contracts for swaps, coins for spot."""
    return number(market.wire_size(value))


def symbol(market: Market) -> Body:
    """Encode one row of the list of spot symbols; steps are digits after the point."""
    least = size(market, market.min_amount)
    return {
        "base-currency": market.wire_base.lower(),
        "quote-currency": market.quote.lower(),
        "price-precision": decimals(market.wire_price(market.tick)),
        "amount-precision": decimals(market.wire_size(market.lot)),
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
    """Encode one row of swap_contract_info; `contract_size` is coins per contract."""
    return {
        "symbol": market.wire_base,
        "contract_code": market.id,
        "contract_size": number(market.contract_size),
        "price_tick": price(market, market.tick),
        "delivery_date": "",
        "delivery_time": "",
        "create_date": "20201021",
        "contract_status": 1 if market.tradable else 3,
        "adjust": [],
        "price_estimated": [],
        "settlement_date": "1780300800000",
        "support_margin_mode": "all",
        "open_type": 0,
        "settlement_period": "8",
        "business_type": "swap",
        "pair": market.id,
        "contract_type": "swap",
        "trade_partition": market.quote,
    }


def currency(name: str) -> Body:
    """Encode one row of the list of currencies, without its chains."""
    return {"currency": name, "assetType": 1, "chains": [], "instStatus": "normal"}


def statistics(market: Market) -> dict[str, Any]:
    """Return the figures of 24 hours as HTX counts them; those of swaps count both sides."""
    sides = 2 if market.kind == "linear" else 1
    row: dict[str, Any] = {name: price(market, getattr(market, name)) for name in ("open", "high", "low")}
    row |= {"close": price(market, market.last), "count": sides * COUNT}
    coins = sides * market.base_volume / market.multiplier
    if market.kind == "spot":
        return row | {"amount": number(coins), "vol": number(market.quote_volume)}
    contracts, turnover = sides * market.wire_size(market.base_volume), sides * market.quote_volume
    numbers = {name: text(market.wire_price(getattr(market, name))) for name in ("open", "high", "low")}
    volumes = {"amount": text(coins), "vol": text(contracts), "trade_turnover": text(turnover)}
    return row | numbers | {"close": text(market.wire_price(market.last))} | volumes


def best(market: Market) -> dict[str, list[float] | None]:
    """Encode best bid and ask as pairs; an empty side is null."""
    top = market.top
    sides = (("bid", top.bid, top.bid_size), ("ask", top.ask, top.ask_size))
    return {name: None if at is None else [price(market, at), size(market, amount or at)] for name, at, amount in sides}


def ticker(market: Market) -> Body:
    """Encode one row of the spot tickers, which have no time; an empty side is zero."""
    row: dict[str, Any] = {"symbol": market.id} | statistics(market)
    for name, pair in best(market).items():
        row[name], row[f"{name}Size"] = (0, 0) if pair is None else pair
    return row


def merged(market: Market, now_ms: int) -> Body:
    """Encode one market's overview, whose best prices are pairs; those of swaps have a time."""
    quoted = market.quote_ms(now_ms)
    row = {"id": quoted // 1000} | statistics(market) | best(market)
    if market.kind == "spot":
        return row | {"id": quoted, "version": quoted}
    return row | {"ts": quoted}


def batch_row(market: Market, now_ms: int) -> Body:
    """Encode one row of the overviews of all swaps."""
    return {"contract_code": market.id, "business_type": "swap"} | merged(market, now_ms)


def book(market: Market, now_ms: int, depth: int) -> Body:
    """Encode an order book, unmerged."""

    def levels(side: Side) -> list[list[float]]:
        return [[price(market, at), size(market, amount)] for at, amount in side[:depth]]

    quoted = market.quote_ms(now_ms)
    tick: dict[str, Any] = {"bids": levels(market.bids), "asks": levels(market.asks), "ts": quoted, "version": quoted}
    if market.kind == "linear":
        tick |= {"id": quoted // 1000, "mrid": quoted, "ch": f"market.{market.id}.depth.step0"}
    return tick


def trade(market: Market, done: Print, now_ms: int) -> Body:
    """Encode one trade; a swap's amount, quantity and turnover count both sides."""
    row = {"price": price(market, done.price), "direction": done.side, "ts": done.at_ms(now_ms)}
    if market.kind == "spot":
        long_id = int(f"1050{done.id}{done.at_ms(now_ms)}")
        return row | {"id": long_id, "trade-id": int(done.id), "amount": size(market, done.size)}
    both = 2 * done.size
    coins, turnover = number(both / market.multiplier), number(both * done.price)
    amounts = {"amount": size(market, both), "quantity": coins, "trade_turnover": turnover}
    return row | {"id": int(done.id)} | amounts


def trades(market: Market, now_ms: int, groups: int) -> list[Body]:
    """Encode the latest trades, newest first, two in each group."""
    pairs = [market.trades[at : at + 2] for at in range(0, len(market.trades), 2)]
    return [
        {"id": int(pair[0].id), "ts": pair[0].at_ms(now_ms), "data": [trade(market, done, now_ms) for done in pair]}
        for pair in pairs[:groups]
    ]


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as HTX does."""
    fixed = _state(truth, path, now_ms)
    if fixed is not None:
        return Reply(fixed)
    if path.startswith(LINEAR):
        return _linear_reply(truth, path, query, now_ms)
    if path == "/market/tickers":
        rows = [ticker(market) for market in truth.of("htx", "spot")]
        return Reply({"data": rows, "status": "ok", "ts": now_ms})
    if path not in ("/market/detail/merged", "/market/depth", "/market/history/trade"):
        return _not_found()
    market = truth.find("htx", "spot", query.get("symbol", ""))
    if market is None:
        return failure(path, "invalid-parameter", "invalid symbol", now_ms)
    depth = int(query.get("depth", str(DEPTH)))
    if path == "/market/depth" and depth not in (*SPOT_DEPTHS, DEPTH):
        return failure(path, "invalid-parameter", "invalid depth", now_ms)
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
        names = {name.lower() for market in truth.of("htx", "spot") for name in (market.wire_base, market.quote)}
        return {"code": 200, "data": [currency(name) for name in sorted(names)]}
    return None


def _linear_reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer a request about linear swaps."""
    name = path.removeprefix(LINEAR)
    markets = truth.of("htx", "linear") if query.get("business_type", "swap") in ("swap", "all") else ()
    lists = ("api/v1/swap_contract_info", "ex/market/detail/batch_merged")
    single = ("ex/market/detail/merged", "ex/market/depth", "ex/market/history/trade")
    if name not in lists + single:
        return _not_found()
    if "contract_code" in query or name in single:
        markets = tuple(market for market in markets if market.id == query.get("contract_code"))
        if not markets:
            return failure(path, 1332, "The contract doesn't exist.", now_ms)
    if name == lists[0]:
        return Reply({"status": "ok", "data": [contract(market) for market in markets], "ts": now_ms})
    if name == lists[1]:
        return Reply({"status": "ok", "ticks": [batch_row(market, now_ms) for market in markets], "ts": now_ms})
    return _one_reply(markets[0], path, query, now_ms, DEPTH)


def _one_reply(market: Market, path: str, query: Query, now_ms: int, depth: int) -> Reply:
    """Answer about one market's overview, book or trades."""
    if path.endswith("/history/trade"):
        groups = max(1, min(int(query.get("size", "1")), MOST_TRADES))
        channel, content = "trade.detail", {"data": trades(market, now_ms, groups)}
    elif path.endswith("/depth"):
        channel, content = "depth.step0", {"tick": book(market, now_ms, depth)}
    else:
        channel, content = "detail.merged", {"tick": merged(market, now_ms)}
    return Reply({"ch": f"market.{market.id}.{channel}", "status": "ok", "ts": now_ms} | content)


def _not_found() -> Reply:
    return Reply(b"<html><head><title>404 Not Found</title></head></html>", 404, content_type="text/html")
