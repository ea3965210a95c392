"""Opportunities through the books: every pair of venues sized, and the gate at which each ends.

One instrument at a time; the funnel over whole markets is `xex.analytics.funnel`, by quotes alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan
from typing import Any

import numpy as np

from xex.analytics import sizing
from xex.analytics.funnel import fee_sides
from xex.analytics.gates import GATES, Thresholds, haircut_bps, insignificant, noise_alone
from xex.analytics.quality import IDENTITY, SUSPECT, check_number
from xex.analytics.sizing import Leg
from xex.errors import ConfigError, Dropped

UNUSABLE = frozenset({Dropped.HALTED, Dropped.CROSSED, Dropped.WIDE, Dropped.DUPLICATE})

Balances = Mapping[str, Mapping[str, float]]
"""What lies on each exchange: amounts by exchange and currency."""


@dataclass(frozen=True, slots=True)
class Book:
    """One venue's asks to buy from and bids to sell to in the common currency, and what is known of them.

    `reason` is why its row is left out of the price, empty for none; `deep` whether there are more levels than the
    best of a quote.
    """

    exchange: str
    quote: str
    buy: Leg
    sell: Leg
    age_ms: float
    reason: str = ""
    converted: bool = False
    deep: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    """How coins get from one exchange to another: the cheapest way that is known; NaN for unknown.

    `fee` and `least`, the smallest withdrawal, are in coins.
    """

    state: str = "unknown"
    network: str = ""
    minutes: float = nan
    fee: float = nan
    least: float = nan

    @property
    def open(self) -> bool:
        """Whether it is known to be open, at a known fee and for a known time."""
        return self.state == "open" and self.fee >= 0 and self.minutes >= 0


@dataclass(frozen=True, slots=True)
class Market:
    """What is traded, and what else is known of it.

    `sigma_bps` is the volatility of a second, `routes` by (exchange from, exchange to), `daily` the funding of a day by
    exchange as a fraction of notional, `balances` what lies where.
    """

    symbol: str
    group: str
    base: str
    kind: str
    settle: str
    currency: str
    sigma_bps: float = nan
    routes: Mapping[tuple[str, str], Route] = field(default_factory=dict)
    daily: Mapping[str, float] = field(default_factory=dict)
    balances: Balances | None = None


def checked_balances(balances: object) -> Balances | None:
    """Return balances with the currencies in capitals; raise `ConfigError` for what are none."""
    if balances is None:
        return None
    told: dict[str, dict[str, float]] = {}
    for exchange, mine in balances.items() if isinstance(balances, Mapping) else [("", balances)]:
        if not isinstance(mine, Mapping):
            form = "{exchange: {currency: 1000}}"
            raise ConfigError(f"balances are amounts by exchange and currency, such as {form}, not {mine!r}")
        told[str(exchange)] = {
            str(name).upper(): check_number(
                f"the balance of {name} on {exchange}", amount, lambda one: one >= 0, "0 or more"
            )
            for name, amount in mine.items()
        }
    return told


def found_in(
    books: Sequence[Book], market: Market, limits: Thresholds
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what passes every gate, most profit first, and the other pairs, nearest to passing first."""
    pairs = [(low, high) for low in books for high in books if low is not high]
    rows = [_opportunity(low, high, market, limits) for low, high in pairs]
    if limits.haircut:
        _weigh(rows, limits)
    for row in rows:
        stopped = row.pop("stopped")
        row["reasons"] = [gate for gate in GATES if gate in stopped]
        row["executable"], row["gate"] = not stopped, row["reasons"][0] if stopped else ""
    rest = [row for row in rows if not row["executable"]]
    rest.sort(key=lambda row: (-GATES.index(row["gate"]), -_or_least(row["net_bps"])))
    good = [row for row in rows if row["executable"]]
    return sorted(good, key=lambda row: (-row["net_profit"], -row["net_profit_pct"])), rest


def _weigh(rows: Sequence[dict[str, Any]], limits: Thresholds) -> None:
    """Stop what is too likely to be noise alone, given how many pairs were looked at."""
    barred = {"identity", "market_state", "kind", "freshness"}
    left = [row for row in rows if not row["stopped"]]
    noise = np.array([row["haircut_bps"] for row in left]) / limits.z
    chance = noise_alone(np.array([row["mean_bps"] for row in left]), np.nan_to_num(noise))
    compared = {row["exchange_low"] for row in rows if not row["stopped"] & barred}
    for row, one, doubtful in zip(
        left, chance, insignificant(chance, len(compared) - 1, limits.false_share), strict=True
    ):
        row["chance"] = float(one)
        if doubtful:
            row["stopped"].add("significance")
    for row in rows:
        del row["mean_bps"]


def together(books: Sequence[Book], market: Market, limits: Thresholds) -> tuple[sizing.Clearing, list[Book], str]:
    """Return the optimum over all usable books at once, in lots and above minimums, the books, and its gate."""
    able = [
        book for book in books
        if not _barred(book, limits) and isfinite(book.buy.fee) and isfinite(book.buy.factor)
        and isfinite(book.sell.factor)
    ]  # fmt: skip
    capped = [_within(book, market) for book in able]
    found = sizing.clear_in_lots([book.buy for book in capped], [book.sell for book in capped], fee_sides(market.kind))
    gate = found.gate
    if limits.haircut and found.net_profit > 0:
        cuts = [_haircut(low, high, market, limits) for low in able for high in able if low is not high]
        if 1e4 * found.net_profit / found.notional <= max(filter(isfinite, cuts), default=0.0):
            gate = "haircut"
    return found, able, gate


def _barred(book: Book, limits: Thresholds) -> bool:
    """Say whether a venue's book must not be traded on: another asset perhaps, closed, or old."""
    return bool({book.reason} & {*IDENTITY, *UNUSABLE}) or book.age_ms > 1e3 * limits.max_age_s


def _haircut(low: Book, high: Book, market: Market, limits: Thresholds) -> float:
    waits = limits.tau_s
    if limits.mode == "transfer":
        waits += 60.0 * max(float(np.nan_to_num(_route(low, high, market).minutes)), 0.0)
    if not isfinite(market.sigma_bps):
        return nan
    return float(haircut_bps(market.sigma_bps, low.age_ms, high.age_ms, limits.z, waits))


def _route(low: Book, high: Book, market: Market) -> Route:
    return market.routes.get((low.exchange, high.exchange), Route()) if market.kind == "spot" else Route()


def _opportunity(low: Book, high: Book, market: Market, limits: Thresholds) -> dict[str, Any]:
    buy, sell, times = low.buy, high.sell, fee_sides(market.kind)
    ask = float(buy.price[0]) if len(buy.price) else nan
    bid = float(sell.price[0]) if len(sell.price) else nan
    route, moving, haircut = _route(low, high, market), limits.mode == "transfer", _haircut(low, high, market, limits)
    net = bid * (1 - times * sell.fee) - ask * (1 + times * buy.fee)
    priced = all(map(isfinite, (ask, bid, buy.fee, sell.fee)))
    gate = "fees" if priced else "depth"
    # Levels come best first: where the first does not pay, nothing does.
    best = free = sizing.Optimum(0.0, 0.0, 0.0, 0.0, gate)
    if priced and net > 0:
        free = sizing.pair(buy, sell, times)
        mine, theirs = (_within(book, market) for book in (low, high))
        best = free if market.balances is None else sizing.pair(mine.buy, theirs.sell, times)
    # A fee for moving coins is the same for any quantity: it decides whether, not how much.
    lost = route.fee * bid if moving and route.fee >= 0 and best.net_profit > 0 else 0.0
    earned = best.net_profit - lost
    mean_bps = 1e4 * earned / best.notional if best.notional > 0 else nan
    short_of_funds = free.quantity > 0 and not free.gate and (best.quantity <= 0 or bool(best.gate))
    given = {Dropped(book.reason) for book in (low, high) if book.reason}
    age = max(low.age_ms, high.age_ms)
    stopped = {
        "identity": bool(given & IDENTITY) or abs(bid / ask - 1) > SUSPECT,
        "market_state": bool(given & UNUSABLE),
        "freshness": age > 1e3 * limits.max_age_s,
        "currency": not (isfinite(buy.factor) and isfinite(sell.factor)),
        "fees": not (isfinite(buy.fee) and isfinite(sell.fee)) or (priced and net <= 0)
        or (best.quantity > 0 and not 100 * earned / best.notional > limits.min_profit_pct),
        # Without a rate there is no price to look at, whatever the depth.
        "depth": (isfinite(buy.factor) and isfinite(sell.factor) and not (isfinite(ask) and isfinite(bid)))
        or (free.gate == "depth" and priced)
        or (best.quantity > 0 and best.notional < limits.min_notional),
        "balances": short_of_funds,
        "lots": best.gate == "lots" and not short_of_funds,
        "haircut": limits.haircut and best.net_profit > 0 and mean_bps <= haircut,
        # An open network whose fee nobody tells may cost more than is earned, one whose time nobody tells take longer.
        "transfer": moving and (not route.open or 0 < best.quantity < route.least),
    }  # fmt: skip
    return {
        "symbol": market.symbol, "group": market.group, "trade": "arbitrage" if times == 1 else "spread",
        "exchange_low": low.exchange, "exchange_high": high.exchange, "price_low": ask, "price_high": bid,
        "price_difference": bid - ask, "price_difference_pct": 100 * (bid - ask) / ask, "net_bps": 1e4 * net / ask,
        "gross_profit": best.gross_profit, "net_profit": earned,
        "net_profit_pct": 100 * earned / best.notional if best.notional > 0 else nan,
        "quantity": best.quantity, "notional": best.notional,
        "fees": times * (best.notional * buy.fee + (best.notional + best.gross_profit) * sell.fee) + lost,
        "currency": market.currency, "fx_rate": _rate_of(low, high), "age_ms": float(age), "haircut_bps": haircut,
        "chance": nan, "funding_per_day": market.daily.get(high.exchange, nan) - market.daily.get(low.exchange, nan),
        "mode": limits.mode, "transfer": route.state, "network": route.network, "transfer_minutes": route.minutes,
        "sized_by": "books" if low.deep and high.deep else "quotes", "executable": False, "gate": "",
        "mean_bps": mean_bps,
        "stopped": {name for name, hit in stopped.items() if hit},
    }  # fmt: skip


def _rate_of(low: Book, high: Book) -> float:
    return low.buy.factor if low.converted else high.sell.factor if high.converted else 1.0


def _or_least(value: float) -> float:
    return value if value == value else -1e18


# --- balances


def _within(book: Book, market: Market) -> Book:
    """Return a book cut to what the balances on its exchange pay for; contracts are paid for in full."""
    if market.balances is None:
        return book
    mine = market.balances.get(book.exchange, {})
    if market.kind == "spot":
        return replace(
            book, buy=affordable(book.buy, worth=mine.get(book.quote, 0.0)),
            sell=affordable(book.sell, amount=mine.get(market.base, 0.0)),
        )  # fmt: skip
    held = mine.get(market.settle, 0.0)
    cap = {"amount": held} if market.settle == market.base else {"worth": held}
    return replace(book, buy=affordable(book.buy, **cap), sell=affordable(book.sell, **cap))


def affordable(leg: Leg, *, amount: float = inf, worth: float = inf) -> Leg:
    """Return a leg's best levels up to `amount` base units that cost no more than `worth`, the fee with it.

    `worth` is in the venue's own currency; a level may be cut in two.
    """
    cost = leg.price / leg.factor * (1 + leg.fee)
    before, paid = np.cumsum(leg.size) - leg.size, np.cumsum(leg.size * cost) - leg.size * cost
    with np.errstate(invalid="ignore"):
        size = np.minimum(np.clip(amount - before, 0.0, leg.size), np.clip((worth - paid) / cost, 0.0, leg.size))
    some = size > 0
    return replace(leg, price=leg.price[some], size=size[some])


__all__ = [
    "Balances", "Book", "Market", "Route", "affordable", "checked_balances", "found_in", "together",
]  # fmt: skip
