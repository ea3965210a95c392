"""Kraken's spot wire format under /0/public, inside {"error": [], "result": ...}.

Pairs are keyed by Kraken's own names (XXBTZUSD); a request may also use the altname (XBTUSD) or the
name with a slash. Ticker arrays hold today's figure and the last 24 hours'; `o` is the price at
00:00 UTC. No body but a book's levels carries a time, and those are whole seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.lab.truth import Market, Print, Side, Truth, on_grid
from tests.lab.wire import Body, Query, Reply, decimals, fixed, iso_ms, text

CODES = {
    "BTC": "XXBT",
    "ETH": "XETH",
    "XRP": "XXRP",
    "LTC": "XLTC",
    "DOGE": "XXDG",
    "USD": "ZUSD",
    "EUR": "ZEUR",
}
ALTNAMES = {"BTC": "XBT", "DOGE": "XDG"}
TAKER = [[0, 0.4], [10000, 0.35], [50000, 0.24], [100000, 0.22], [250000, 0.2], [500000, 0.18]]
MAKER = [[0, 0.25], [10000, 0.2], [50000, 0.14], [100000, 0.12], [250000, 0.1], [500000, 0.08]]


def code(asset: str) -> str:
    """Kraken's name of an asset: XXBT for BTC."""
    return CODES.get(asset, asset)


def altname(asset: str) -> str:
    """Kraken's short name of an asset: XBT for BTC."""
    return ALTNAMES.get(asset, asset)


def success(result: Body) -> Reply:
    """Wrap a result in Kraken's envelope."""
    return Reply({"error": [], "result": result})


def failure(*errors: str) -> Reply:
    """Encode Kraken's errors; the HTTP status stays 200."""
    return Reply({"error": list(errors)})


def pair(market: Market) -> Body:
    """Encode one row of AssetPairs."""
    base, quote = altname(market.base), altname(market.quote)
    return {
        "altname": f"{base}{quote}",
        "wsname": f"{base}/{quote}",
        "aclass_base": "currency",
        "base": code(market.base),
        "aclass_quote": "currency",
        "quote": code(market.quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": decimals(market.wire_price(market.tick)),
        "lot_decimals": decimals(market.wire_lot),
        "lot_multiplier": 1,
        "leverage_buy": [2, 3],
        "leverage_sell": [2, 3],
        "fees": TAKER,
        "fees_maker": MAKER,
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": text(market.wire_least),
        "costmin": text(market.min_notional or Decimal("0.5")),
        "tick_size": text(market.wire_price(market.tick)),
        "status": "online" if market.tradable else "cancel_only",
        "long_position_limit": 300,
        "short_position_limit": 240,
    }


def assets(truth: Truth) -> Body:
    """Encode Assets: every base and quote of the listed pairs."""
    names = {name for market in truth.of("kraken", "spot") for name in (market.base, market.quote)}
    return {code(name): asset(name, truth.halted.get(name, "enabled")) for name in sorted(names)}


def asset(name: str, status: str = "enabled") -> Body:
    """Encode one row of Assets; fiat money has four decimals, coins eight or ten."""
    digits = 4 if code(name).startswith("Z") else 10 if name in CODES else 8
    return {
        "aclass": "currency",
        "altname": altname(name),
        "decimals": digits,
        "display_decimals": 2 if digits == 4 else 5,
        "status": status,
    }


def ticker(market: Market) -> Body:
    """Encode one ticker: a ask, b bid, c last, v volume, p vwap, t trades, l low, h high, o open."""

    def price(value: Decimal) -> str:
        return fixed(market.wire_price(value), 5)

    def both(today: Decimal, day: Decimal) -> list[str]:
        return [price(today), price(day)]

    top = market.top
    today = _today(market)
    return {
        "a": _best(market, top.ask, top.ask_size),
        "b": _best(market, top.bid, top.bid_size),
        "c": [price(market.last), fixed(market.wire_least, 8)],
        "v": [fixed(market.wire_size(volume), 8) for volume in (today["volume"], market.base_volume)],
        "p": both(today["vwap"], market.vwap),
        "t": [1200, 3100],
        "l": both(today["low"], market.low),
        "h": both(today["high"], market.high),
        "o": price(market.midnight_open),
    }


def _best(market: Market, price: Decimal | None, size: Decimal | None) -> list[str]:
    """Encode price, whole lots, lots; an empty side is zero."""
    if price is None or size is None:
        return ["0.00000", "0", "0.000"]
    amount = market.wire_size(size)
    return [fixed(market.wire_price(price), 5), str(max(1, int(amount))), fixed(amount, 3)]


def _today(market: Market) -> dict[str, Decimal]:
    """Figures since midnight: less volume, and a narrower range than the 24 hours'."""
    tick, last = market.tick, market.last
    return {
        "volume": on_grid(market.base_volume * Decimal("0.4"), market.lot),
        "vwap": on_grid((market.vwap + last) / 2, tick),
        "low": on_grid((market.low + last) / 2, tick),
        "high": on_grid((market.high + last) / 2, tick),
    }


def book(market: Market, now_ms: int, count: int) -> Body:
    """Encode a book; each level has the whole second in which it was last changed."""
    second = market.quote_ms(now_ms) // 1000
    digits = max(decimals(market.wire_price(market.tick)), 5)

    def levels(side: Side) -> list[list[Any]]:
        wire = ((market.wire_price(price), market.wire_size(size)) for price, size in side[:count])
        return [[fixed(price, digits), fixed(size, 3), second] for price, size in wire]

    return {"asks": levels(market.asks), "bids": levels(market.bids)}


def trades(market: Market, now_ms: int, count: int) -> Body:
    """Encode the latest trades, oldest first, and `last`: nanoseconds of the newest."""
    newest_first = market.trades[:count]
    last = newest_first[0].at_ms(now_ms) if newest_first else now_ms
    return {market.id: [trade(market, done, now_ms) for done in reversed(newest_first)], "last": str(last * 1_000_000)}


def trade(market: Market, done: Print, now_ms: int) -> list[Any]:
    """Encode a trade: price, volume, seconds, taker's side, market or limit order, nothing, id."""
    price = fixed(market.wire_price(done.price), max(decimals(market.wire_price(market.tick)), 5))
    order = "m" if int(done.id) % 2 else "l"
    size = fixed(market.wire_size(done.size), 8)
    return [price, size, done.at_ms(now_ms) / 1000, done.side[0], order, "", int(done.id)]


def time_body(now_ms: int) -> Body:
    """Encode the server's time, in whole seconds."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    return {"unixtime": now_ms // 1000, "rfc1123": f"{moment:%a, %d %b %y %H:%M:%S} +0000"}


def named(truth: Truth, name: str) -> Market | None:
    """Find a pair by any of the names Kraken takes."""
    found = truth.find("kraken", "spot", name)
    if found is not None:
        return found
    return next((m for m in truth.of("kraken", "spot") if name in _names(m)), None)


def _names(market: Market) -> tuple[str, str]:
    base, quote = altname(market.base), altname(market.quote)
    return f"{base}{quote}", f"{base}/{quote}"


def _asked(truth: Truth, query: Query) -> list[Market] | None:
    """Return the pairs a request names, all when it names none, None when one is unknown."""
    if "pair" not in query:
        return list(truth.of("kraken", "spot"))
    found = [named(truth, name) for name in query["pair"].split(",")]
    known = [market for market in found if market is not None]
    return known if len(known) == len(found) else None


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as Kraken's spot host does."""
    name = path.removeprefix("/0/public/")
    if name == "Time":
        return success(time_body(now_ms))
    if name == "SystemStatus":
        return success({"status": "online", "timestamp": iso_ms(now_ms)[:19] + "Z"})
    if name == "Assets":
        return success(assets(truth))
    if name not in ("AssetPairs", "Ticker", "Depth", "Trades"):
        return failure("EGeneral:Unknown method")
    markets = _asked(truth, query)
    if markets is None:
        return failure("EQuery:Unknown asset pair")
    return _pairs_reply(name, markets, query, now_ms)


def _pairs_reply(name: str, markets: list[Market], query: Query, now_ms: int) -> Reply:
    if name == "AssetPairs":
        return success({market.id: pair(market) for market in markets})
    if name == "Ticker":
        return success({market.id: ticker(market) for market in markets})
    if "pair" not in query or len(markets) != 1:
        return failure("EGeneral:Invalid arguments")
    if name == "Trades":
        return success(trades(markets[0], now_ms, min(int(query.get("count", "1000")), 1000)))
    count = min(int(query.get("count", "100")), 500)
    return success({markets[0].id: book(markets[0], now_ms, count)})
