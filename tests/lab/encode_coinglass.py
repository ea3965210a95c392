"""CoinGlass's format: figures of the exchanges behind one key, inside {"code": "0", "msg": "success", …}.

Errors come as a code with HTTP 200. How it counts is its own affair: here, once, whatever the exchange does. Contracts
and liquidations are those of the truth; every other endpoint has made-up figures, always the same for the same question
(`figure`), with numbers as text where CoinGlass writes text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any
from zlib import crc32

from tests.lab.coinglass_fields import ENDPOINTS, Described
from tests.lab.truth import Forced, Market, Truth
from tests.lab.wire import Body, Query, Reply, number, text

KEY = "the-key-of-the-lab"
KEYS = {
    KEY: "PROFESSIONAL",
    "the-standard-key-of-the-lab": "STANDARD",
    "the-startup-key-of-the-lab": "STARTUP",
    "the-hobbyist-key-of-the-lab": "HOBBYIST",
}
"""The keys that are good, and their plans."""
RANKS = ("HOBBYIST", "STARTUP", "STANDARD", "PROFESSIONAL")
PER_MINUTE = {"HOBBYIST": 30, "STARTUP": 80, "STANDARD": 300, "PROFESSIONAL": 1200}
LEAST_MINUTES = {"HOBBYIST": 240, "STARTUP": 30, "STANDARD": 1, "PROFESSIONAL": 1}
HEADER = "CG-API-KEY"
PAIRS_MARKETS = "/api/futures/pairs-markets"
SUBSCRIPTION = "/api/user/account/subscription"
EXCHANGES = {
    "binance": "Binance",
    "bitget": "Bitget",
    "bybit": "Bybit",
    "htx": "HTX",
    "krakenfutures": "Kraken",
    "okx": "OKX",
}
PLAN = {"API-KEY-MAX-LIMIT": "30", "API-KEY-USE-LIMIT": "1"}
MINUTES = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "6h": 360, "8h": 480, "12h": 720,
    "1d": 1440, "1w": 10_080,
}  # fmt: skip
COINS = ("BTC", "ETH", "SOL")
ORDERS = "/api/futures/liquidation/order"
MOST_ORDERS, MOST_LARGE = 200, 1000
WORDS = {
    "instrument_id": "BTCUSDT", "base_asset": "BTC", "quote_asset": "USDT", "settlement_currency": "USDT",
    "user": "0x3fd4444154242720c0d0c61c74a240d90c127d33", "margin_mode": "cross", "group_name": "Shrimp",
    "bias_remark": "bullish", "date": "250422", "type": "oneWay", "coin": "BTC",
}  # fmt: skip
CODES = {"order_side": 2, "order_state": 3, "position_action": 2, "side": 2}
LIVE = {
    "long_liquidation_usd": "longLiquidation_usd",
    "short_liquidation_usd": "shortLiquidation_usd",
    "price": "limit_price",
}
"""Keys that live bodies spell otherwise than the documentation, on the paths below."""
RENAMED = ("/liquidation/exchange-list", "/large-limit-order", "/large-limit-order-history")


def refusal(code: str, msg: str, status: int = 200) -> Reply:
    """Encode an error."""
    return Reply({"code": code, "msg": msg}, status, PLAN)


def row(market: Market) -> Body:
    """Encode one contract's figures."""
    mark = market.last if market.mark is None else market.mark
    interest = market.open_interest or Decimal(0)
    body: dict[str, Any] = {
        "instrument_id": market.id,
        "exchange_name": EXCHANGES[market.venue],
        "symbol": f"{market.base}/{market.quote}",
        "current_price": number(market.last),
        "index_price": number(mark if market.index is None else market.index),
        "price_change_percent_24h": round(float(100 * (market.last - market.open) / market.open), 2),
        "volume_usd": round(float(market.quote_volume), 4),
        "long_volume_quantity": 1_130_850,
        "short_volume_quantity": 1_162_710,
        "open_interest_quantity": text(interest),
        "open_interest_usd": round(float(interest * mark), 4),
        "open_interest_volume_radio": round(float(interest / market.base_volume), 4),
    }
    return body


# --- made-up figures -----------------------------------------------------------------------------------------------


def figure(path: str, key: str, place: object, kind: str) -> Any:
    """Return the figure of a key in one row: the same each time, text where CoinGlass writes text."""
    name = key.rpartition(".")[2]
    if name in CODES:
        return 1 + crc32(f"{path}{key}{place}".encode()) % CODES[name]
    raw = crc32(f"{path} {key} {place}".encode())
    if "time" in name or name == "onboard_date":
        return 1_700_000_000_000 + 1000 * (raw % 10_000_000)
    if kind == "str":
        return WORDS.get(name) or f"{raw % 1_000_000}.{raw % 97:02d}"
    return raw % 1_000_000 if kind == "int" else (raw % 100_000_000 - 50_000_000) / 1e4


def made(found: Described, place: object, fixed: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return one row with all keys of an endpoint that begin with a prefix; `fixed` are those that are known."""
    body: dict[str, Any] = {}
    for key, kind in found.keys:
        if key.startswith(prefix) and "[]" not in key[len(prefix) :]:
            *parents, last = key[len(prefix) :].split(".")
            inner = body
            for parent in parents:
                inner = inner.setdefault(parent, {})
            known = ".".join([*parents, last])
            inner[last] = fixed[known] if known in fixed else figure(found.path, key, place, kind)
    return _spelled(found.path, body)


def _spelled(path: str, body: dict[str, Any]) -> dict[str, Any]:
    return {LIVE.get(key, key): value for key, value in body.items()} if path.endswith(RENAMED) else body


def bars(query: Query, now_ms: int) -> Iterator[int]:
    """Yield the starts of the bars that a question asks for: [start, end), from the first whole one on."""
    step = 60_000 * MINUTES[query.get("interval", "1h")]
    limit = int(query.get("limit", 1000))
    end = min(int(query.get("end_time", now_ms)), now_ms)
    start = int(query.get("start_time", end - step * limit))
    if "start_time" in query and "end_time" not in query:
        end = min(start + step * limit, now_ms)
    first = -(-start // step) * step
    yield from range(first, end, step)[:limit]


def _rows(found: Described, truth: Truth, query: Query, now_ms: int) -> Body:
    """Return the rows of an endpoint without a shape of its own."""
    exchanges = sorted(set(EXCHANGES.values()))
    names = [key for key, _ in found.keys]
    if "interval" in found.names:
        times = bars(query, now_ms)
        scale = 1000 if found.seconds else 1
        return [made(found, time, {"time": time // scale}) for time in times]
    if "order_state" in names:
        return _large(found, query)
    if "exchange" in names or "exchange_name" in names:
        all_ = ["All", *exchanges]
        return [
            made(found, name, {"exchange": name, "exchange_name": name, "symbol": query.get("symbol", "BTC")})
            for name in all_
        ]
    if "buy.exchange" in names:
        fixed = {"symbol": "BTC", "buy.exchange": "Binance", "sell.exchange": "Gate.io"}
        return [made(found, coin, {**fixed, "symbol": coin}) for coin in COINS]
    coins = COINS if int(query.get("page", 1)) == 1 else ()
    del truth
    return [made(found, coin, {"symbol": coin}) for coin in coins]


def _large(found: Described, query: Query) -> Body:
    """Return large orders, newest first: one a minute, at most a thousand, as recorded."""
    fixed = {"exchange_name": query["exchange"], "symbol": query["symbol"]}
    start = int(query.get("start_time", 1_700_000_000_000))
    end = int(query.get("end_time", start + 5 * 60_000))
    times = range(-(-start // 60_000) * 60_000, end, 60_000)
    newest = reversed(times[-MOST_LARGE:])
    return [made(found, time, {**fixed, "id": time // 60_000, "start_time": time}) for time in newest]


def _by_exchange(found: Described, truth: Truth, query: Query) -> Body:
    kinds = {"spot"} if found.path.startswith("/api/spot/") else {"linear", "inverse"}
    body: dict[str, list[Any]] = {}
    for market in truth.markets:
        name = EXCHANGES.get(market.venue)
        if market.kind in kinds and name and query.get("exchange", name) == name and "delisted" not in found.path:
            fixed = {"instrument_id": market.id, "base_asset": market.base, "quote_asset": market.quote}
            fixed["settlement_currency"] = market.base if market.kind == "inverse" else market.quote
            body.setdefault(name, []).append(made(found, market.id, fixed))
    return body or {"Binance": [made(found, "BTCUSD_250627", {"instrument_id": "BTCUSD_250627", "quote_asset": "USD"})]}


def _margins(found: Described) -> Body:
    def listed(coin: str, margin: str) -> list[Body]:
        prefix = f"{margin}_margin_list[]."
        names = ("Binance", "Bybit", "HTX") if margin == "stablecoin" else ("Binance",)
        return [made(found, f"{coin} {name}", {"exchange": name, "funding_rate_interval": 8}, prefix) for name in names]

    return [
        {
            "symbol": coin,
            "stablecoin_margin_list": listed(coin, "stablecoin"),
            "token_margin_list": listed(coin, "token"),
        }
        for coin in COINS
    ]


def _chart(found: Described, now_ms: int) -> Body:
    times = [now_ms // 3_600_000 * 3_600_000 - 3_600_000 * back for back in (2, 1, 0)]
    values = {name: [figure(found.path, name, time, "float") for time in times] for name in ("Binance", "CME")}
    chart = {
        "time_list": times, "price_list": [figure(found.path, "price", time, "float") for time in times],
        "data_map": values,
    }  # fmt: skip
    return [chart] if found.path.startswith("/api/option/") else chart


def _heatmap(found: Described, now_ms: int) -> Body:
    begin = now_ms // 60_000 * 60 - 180
    candles = [[begin + 60 * x, *(f"{1000 + x}.{place}" for place in range(5))] for x in range(3)]
    cells = [[x, y, figure(found.path, f"{x}", y, "float")] for x in range(3) for y in range(4) if (x + y) % 2]
    return {
        "y_axis": [47968.54 + 10 * y for y in range(4)], "liquidation_leverage_data": cells,
        "price_candlesticks": candles,
    }  # fmt: skip


def _map(found: Described) -> Body:
    split = "aggregated" not in found.path
    levels = {
        f"{price}": [[price, figure(found.path, f"{price}", times, "float"), times if split else None, None]]
        for price, times in ((48935, 25), (49120, 50), (50010, 100))
    }
    return {"data": levels}


def _book(query: Query, now_ms: int) -> Body:
    bids, asks = [[56420, 4.777], [40300, 2.191]], [[56430, 1.5], [60000, 12]]
    return [[time // 1000, bids, asks] for time in bars(query, now_ms)]


def _footprint(found: Described, query: Query, now_ms: int) -> Body:
    def bucket(time: int, low: int) -> list[Any]:
        return [low, low + 5, *(figure(found.path, f"{place}", time + low, "int") for place in range(8))]

    return [[time // 1000, [bucket(time, low) for low in (115765, 115770)]] for time in bars(query, now_ms)]


def _totals(found: Described, query: Query) -> Body:
    symbol = query["symbol"]
    listed = [made(found, name, {"exchange": name}, "exchange_list[].") for name in ("Binance", "OKX")]
    return {**made(found, "All", {"symbol": symbol}), "exchange_list": listed}


def _paged(found: Described, query: Query) -> Body:
    page = int(query.get("current_page", 1))
    rows = [made(found, f"{page} {place}", {"symbol": query["symbol"]}, "list[].") for place in (1, 2)]
    return {"total_pages": 10, "current_page": page, "list": rows}


def _wallet(found: Described) -> Body:
    held = [made(found, coin, {"position.coin": coin}, "asset_positions[].") for coin in COINS[:2]]
    return {**made(found, "account", {}), "asset_positions": held}


# --- liquidations of the truth -------------------------------------------------------------------------------------


def _struck(truth: Truth, exchanges: Iterable[str], base: str, start: int, end: int) -> list[Forced]:
    wanted = {name.lower() for name in exchanges}
    return [
        one
        for one in truth.forced
        if one.base == base and EXCHANGES[one.venue].lower() in wanted and start <= one.ms < end
    ]


def liquidation_orders(truth: Truth, query: Query, now_ms: int) -> Body:
    """Return single liquidations, newest first, 200 at most; what `side` means is the truth's to say."""
    week = 7 * 86_400_000
    start = max(int(query.get("start_time", now_ms - week)), now_ms - week)
    found = _struck(truth, [query["exchange"]], query["symbol"], start, int(query.get("end_time", now_ms + 1)))
    codes = {"position": {"long": 1, "short": 2}, "order": {"long": 2, "short": 1}}[truth.side_is]
    rows = [
        {
            "exchange_name": EXCHANGES[one.venue].upper(), "symbol": one.id, "base_asset": one.base,
            "price": number(one.price), "usd_value": number(one.usd), "side": codes[one.position], "time": one.ms,
        }
        for one in sorted(found, key=lambda one: -one.ms)
        if one.usd >= Decimal(query["min_liquidation_amount"])
    ]  # fmt: skip
    return rows[:MOST_ORDERS]


def liquidation_bars(found: Described, truth: Truth, query: Query, now_ms: int) -> Body:
    """Return what was liquidated per bar, as text for a pair and as numbers for a coin."""
    step, rows = 60_000 * MINUTES[query["interval"]], []
    whole = "aggregated" in found.path
    exchanges = query["exchange_list"].split(",") if whole else [query["exchange"]]
    for time in bars(query, now_ms):
        bases = [query["symbol"]] if whole else sorted({one.base for one in truth.forced if one.id == query["symbol"]})
        struck = [one for base in bases for one in _struck(truth, exchanges, base, time, time + step)]
        struck = struck if whole else [one for one in struck if one.id == query["symbol"]]
        sums = {
            side: sum((one.usd for one in struck if one.position == side), Decimal(0)) for side in ("long", "short")
        }
        names = {side: f"{'aggregated_' if whole else ''}{side}_liquidation_usd" for side in sums}
        rows.append({"time": time, **{names[side]: number(v) if whole else text(v) for side, v in sums.items()}})
    return rows


# --- requests ------------------------------------------------------------------------------------------------------


def _wrong(found: Described, query: Query, plan: str) -> Reply | None:
    """Return how a question is refused, None where it is not."""
    if RANKS.index(plan) < RANKS.index(found.plan.upper()):
        return refusal("401", "Upgrade plan")
    for param in found.params:
        if param.required and param.name not in query:
            return refusal("400", f"Required String parameter '{param.name}' is not present")
    for param in found.params:
        value = query.get(param.name)
        if value is not None and param.allowed and value not in param.allowed:
            return refusal("500", "Server Error")
        if value is not None and param.most is not None and not 1 <= int(value) <= param.most:
            return refusal("400", f"{param.name} must be at most {param.most}")
    if found.gated and MINUTES[query["interval"]] < LEAST_MINUTES[plan]:
        return refusal("403", "The requested interval is not available for your current API plan.")
    return None


def _unlisted(found: Described, truth: Truth, query: Query) -> bool:
    """Whether a question names a pair that its exchange does not have."""
    if not {"exchange", "interval"} <= set(found.names) or found.path == "/api/borrow-interest-rate/history":
        return False
    venues = {venue for venue, name in EXCHANGES.items() if name == query["exchange"]}
    spot = found.path.startswith("/api/spot/")
    return not any(
        market.id == query["symbol"] and market.venue in venues and (market.kind == "spot") is spot
        for market in truth.markets
    )


def data(found: Described, truth: Truth, query: Query, now_ms: int) -> Body:
    """Return what the answer to a good question holds."""
    if found.path == PAIRS_MARKETS:
        return [row(market) for market in truth.markets if market.kind != "spot" and market.base == query["symbol"]]
    if found.path == ORDERS:
        return liquidation_orders(truth, query, now_ms)
    if truth.forced and found.path.startswith("/api/futures/liquidation/") and found.path.endswith("history"):
        return liquidation_bars(found, truth, query, now_ms)
    answers: dict[str, Any] = {
        "rows": lambda: _rows(found, truth, query, now_ms), "by_exchange": lambda: _by_exchange(found, truth, query),
        "words": lambda: list(COINS) if found.path.endswith("coins") else sorted(EXCHANGES.values()),
        "margins": lambda: _margins(found), "chart": lambda: _chart(found, now_ms), "map": lambda: _map(found),
        "heatmap": lambda: _heatmap(found, now_ms), "book": lambda: _book(query, now_ms),
        "footprint": lambda: _footprint(found, query, now_ms), "totals": lambda: _totals(found, query),
        "paged": lambda: _paged(found, query), "wallet": lambda: _wallet(found),
        "object": lambda: made(found, "one", {"symbol": query.get("symbol", "BTC")}),
    }  # fmt: skip
    return answers[found.kind]()


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as CoinGlass does; `query` also holds the header with the key."""
    found = ENDPOINTS.get(path)
    if found is None and path != SUBSCRIPTION:
        return refusal("404", "Endpoint not found. Please refer to the API documentation.", 404)
    if not query.get(HEADER):
        return refusal("400", "API key missing.")
    plan = KEYS.get(query[HEADER])
    if plan is None:
        return refusal("401", f"Invalid API key {query[HEADER]}.")
    told = {"API-KEY-MAX-LIMIT": str(PER_MINUTE[plan]), "API-KEY-USE-LIMIT": "1"}
    if found is None:
        account = {"level": plan, "expire_time": now_ms + 86_400_000, "expired": False}
        return Reply({"code": "0", "data": account}, headers=told)
    refused = _wrong(found, query, plan)
    if refused is None and _unlisted(found, truth, query):
        words = (
            "The requested pair does not exist on the exchange. Please check the documentation to view supported pairs."
        )
        refused = refusal("400", words)
    if refused is not None:
        return Reply(refused.body, refused.status, told)
    body = {"code": "0", "data": data(found, truth, query, now_ms)}
    return Reply(body if found.gated else {**body, "msg": "success"}, headers=told)
