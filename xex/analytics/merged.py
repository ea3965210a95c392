"""The books of a group put together: who buys and sells what where, by the optimum over all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.evaluation import Places
from xex.analytics.funnel import TakerBps, fee_sides, strangers, taker_fees
from xex.analytics.gates import Flags
from xex.analytics.quality import MAX_AGE_S, Floats, ages_ms
from xex.analytics.sizing import Clearing, Leg, clear, clear_in_lots, walked
from xex.errors import SchemaError
from xex.model import schema
from xex.model.schema import Columns, coded, flags, length, numbers, take, texts

if TYPE_CHECKING:
    import pandas as pd

Rows = np.ndarray[Any, np.dtype[np.intp]]
RULES = ("lot", "min_amount", "min_notional", "lot_quote")
"""The trading rules that sizes over books obey."""
ANOTHER = 0.5
"""A book whose middle is further than this from that of the others is another asset's, or counts in another unit."""
Parts = dict[str, tuple[Leg, Leg, int]]
"""Of each exchange what is bought from and sold to, and how often it pays its fee."""


def leg_rows(parts: Mapping[str, tuple[Leg, Leg, int]], found: Clearing) -> list[dict[str, Any]]:
    """Return the legs of a clearing as dicts; `parts` are each exchange's legs and how often they pay the fee."""
    rows = []
    for place, amounts in ((0, found.bought), (1, found.sold)):
        for (exchange, part), quantity in zip(parts.items(), amounts, strict=True):
            leg, sides = (part[0], part[1])[place], part[2]
            if quantity <= 0:
                continue
            order = np.argsort(leg.price if place == 0 else -leg.price, kind="stable")
            notional = walked(leg.price[order], leg.size[order], quantity)
            touched = int(np.searchsorted(np.cumsum(leg.size[order]), quantity * (1 - 1e-12)))
            rows.append({
                "exchange": exchange, "side": ("buy", "sell")[place], "quantity": quantity,
                "price": notional / quantity, "worst_price": float(leg.price[order][min(touched, len(order) - 1)]),
                "notional": notional, "fees": notional * leg.fee * sides,
            })  # fmt: skip
    return rows


def cleared(
    books: pd.DataFrame, taker_bps: TakerBps, rules: pd.DataFrame | None, what: str
) -> tuple[list[tuple[str, str, Parts, Clearing]], list[dict[str, str]]]:
    """Return each group with its currency, the legs of its exchanges and its optimum, and who is left out of which.

    Who is left out is told by the gates that stop it, in the words of `GATES`.
    """
    schema.check(books, ("exchange", "side", "price", "size"), what)
    if rules is not None:
        schema.check(rules, ("exchange", "lot"), f"{what}, rules")
    columns = schema.columns_of(books)
    price, size = numbers(columns, "price"), numbers(columns, "size")
    columns = take(columns, (price > 0) & (size > 0) & np.isfinite(price) & np.isfinite(size))
    currency_of = _check_currencies(columns)
    if taker_bps is None and "taker_bps" not in columns and rules is not None and "taker_bps" in rules.columns:
        columns["taker_bps"] = _fees_of(rules, columns, what)
    everything, fees = columns, taker_fees(columns, taker_bps)
    kept, left_out = _gated(columns)
    columns, fees = take(columns, kept), fees[kept]
    groups, sides = np.array(texts(columns, "group")), np.array(texts(columns, "side"))
    exchanges = np.array(texts(columns, "exchange"))
    kinds, factor = texts(columns, "kind", "spot"), numbers(columns, "fx_rate", 1.0)
    taken = [side or "quote" for side in texts(columns, "fee_side", "quote")]
    price, size = numbers(columns, "price"), numbers(columns, "size")
    key = "instrument" if rules is not None and {"instrument"} <= {*rules.columns} & {*books.columns} else "group"
    known, names = trading_rules(rules, key), texts(columns, key)
    rows = []
    for group in dict.fromkeys(texts(everything, "group")):
        inside = groups == group
        parts: Parts = {}
        for exchange in dict.fromkeys(exchanges[inside].tolist()):
            mine = inside & (exchanges == exchange)
            first = int(np.argmax(mine))
            lot, amount, notional, lot_quote = known.get((exchange, names[first]), (0.0, 0.0, 0.0, 0.0))
            rate = float(factor[first]) if factor[first] == factor[first] else 1.0
            ask, bid = (
                Leg(price[rows], size[rows], float(fees[first]), lot, amount, notional, rate, lot_quote, taken[first])
                for rows in (mine & (sides == "ask"), mine & (sides == "bid"))
            )
            parts[exchange] = (ask, bid, fee_sides(kinds[first]))
        optimum = clear if rules is None else clear_in_lots
        times = max((part[2] for part in parts.values()), default=1)
        found = optimum([part[0] for part in parts.values()], [part[1] for part in parts.values()], times)
        rows.append((group, currency_of[group], parts, found))
    return rows, left_out


def _check_currencies(columns: Columns) -> dict[str, str]:
    """Return each group's currency; raise `SchemaError` where one has several."""
    found: dict[str, str] = {}
    for group, currency in dict.fromkeys(zip(texts(columns, "group"), texts(columns, "currency"), strict=True)):
        if found.setdefault(group, currency) != currency:
            raise SchemaError(f"the books of {group} are in several currencies; convert them to one first")
    return found


def _gated(columns: Columns) -> tuple[Flags, list[dict[str, str]]]:
    """Return which levels are of books that can be traded on, and the other books with the gates that stop them.

    A book is judged by its best ask and bid and its oldest level; one with a single side by its best price, where
    others have two. Only what no market can be is left out: a book that is worth trading on is out of line.
    """
    tops, book = _tops(columns)
    if not length(tops):
        return np.zeros(0, dtype=bool), []
    stopped = {
        "identity": strangers(tops, Places.of(tops), MAX_AGE_S, ANOTHER, ANOTHER, None)[0],
        "market_state": flags(tops, "halted"),
        "freshness": ages_ms(tops) > 1e3 * MAX_AGE_S,
    }
    out = np.any(list(stopped.values()), axis=0)
    exchange, group = texts(tops, "exchange"), texts(tops, "group")
    left_out = [
        {
            "exchange": exchange[row], "group": group[row],
            "reasons": ",".join(gate for gate, hit in stopped.items() if hit[row]),
        }
        for row in np.flatnonzero(out).tolist()
    ]  # fmt: skip
    return ~out[book], left_out


def _tops(columns: Columns) -> tuple[Columns, Rows]:
    """Return each book as a ticker, and the book of each level; `last` is the best price of a book of one side."""
    key = np.zeros(length(columns), dtype=np.intp)
    for name in ("group", "exchange", "instrument", "quote"):
        words, code = coded(columns, name)
        key = key * max(len(words), 1) + code
    _, first, book = np.unique(key, return_index=True, return_inverse=True)
    books, price, side = len(first), numbers(columns, "price"), np.array(texts(columns, "side"), dtype=object)
    ask, bid, age = np.full(books, np.inf), np.full(books, -np.inf), np.zeros(books)
    np.minimum.at(ask, book[side == "ask"], price[side == "ask"])
    np.maximum.at(bid, book[side == "bid"], price[side == "bid"])
    np.maximum.at(age, book, ages_ms(columns))
    halted = np.bincount(book, flags(columns, "halted"), books) > 0
    ask, bid = (np.where(np.isfinite(best), best, np.nan) for best in (ask, bid))
    text: Columns = {
        name: columns[name]
        for name in ("group", "exchange", "venue", "instrument", "quote", "currency")
        if name in columns
    }
    last = np.where(np.isnan(ask), bid, np.where(np.isnan(bid), ask, np.nan))
    return take(text, first) | {"bid": bid, "ask": ask, "last": last, "age_ms": age, "halted": halted}, book


def _fees_of(rules: pd.DataFrame, columns: Columns, what: str) -> Floats:
    """Return each row's taker fee as the rules state it, NaN where they do not."""
    schema.check(rules, ("exchange", "taker_bps"), f"{what}, rules")
    given = schema.columns_of(rules)
    key = "instrument" if "instrument" in given and "instrument" in columns else "group"
    names = zip(texts(given, "exchange"), texts(given, key), strict=True)
    known = dict(zip(names, numbers(given, "taker_bps").tolist(), strict=True))
    rows = zip(texts(columns, "exchange"), texts(columns, key), strict=True)
    return np.array([known.get(row, math.nan) for row in rows], dtype=np.float64)


def trading_rules(rules: pd.DataFrame | None, key: str) -> dict[tuple[str, str], tuple[float, float, float, float]]:
    """Return lot, minimum amount and notional, and lot of quote currency, by exchange and `key`; 0 for none."""
    if rules is None:
        return {}
    columns = schema.columns_of(rules)
    cells = [np.nan_to_num(numbers(columns, name)).tolist() for name in RULES]
    keys = zip(texts(columns, "exchange"), texts(columns, key), strict=True)
    return dict(zip(keys, zip(*cells, strict=True), strict=True))


__all__ = ["RULES", "Parts", "cleared", "leg_rows", "trading_rules"]
