"""The books of a group put together: who buys and sells what where, by the optimum over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.funnel import TakerBps, fee_sides, taker_fees
from xex.analytics.quality import Floats
from xex.analytics.sizing import Clearing, Leg, clear, clear_in_lots, walked
from xex.errors import SchemaError
from xex.model import schema
from xex.model.schema import Columns, numbers, take, texts

if TYPE_CHECKING:
    import pandas as pd

RULES = ("lot", "min_amount", "min_notional", "lot_quote")
"""The trading rules that sizes over books obey."""


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
) -> Iterator[tuple[str, str, dict[str, tuple[Leg, Leg, int]], Clearing]]:
    """Yield each group with its currency, the legs of its exchanges, and its optimum."""
    schema.check(books, ("exchange", "side", "price", "size"), what)
    if rules is not None:
        schema.check(rules, ("exchange", "lot"), f"{what}, rules")
    columns = schema.columns_of(books)
    price, size = numbers(columns, "price"), numbers(columns, "size")
    columns = take(columns, (price > 0) & (size > 0) & np.isfinite(price) & np.isfinite(size))
    if taker_bps is None and "taker_bps" not in columns and rules is not None and "taker_bps" in rules.columns:
        columns["taker_bps"] = _fees_of(rules, columns, what)
    fees = taker_fees(columns, taker_bps)
    groups, sides = np.array(texts(columns, "group")), np.array(texts(columns, "side"))
    exchanges, currencies = np.array(texts(columns, "exchange")), np.array(texts(columns, "currency"))
    kinds, factor = texts(columns, "kind", "spot"), numbers(columns, "fx_rate", 1.0)
    taken = [side or "quote" for side in texts(columns, "fee_side", "quote")]
    price, size = numbers(columns, "price"), numbers(columns, "size")
    key = "instrument" if rules is not None and {"instrument"} <= {*rules.columns} & {*books.columns} else "group"
    known, names = trading_rules(rules, key), texts(columns, key)
    for group in dict.fromkeys(groups.tolist()):
        inside = groups == group
        if len(set(currencies[inside].tolist())) > 1:
            raise SchemaError(f"the books of {group} are in several currencies; convert them to one first")
        parts: dict[str, tuple[Leg, Leg, int]] = {}
        times = fee_sides(kinds[int(np.argmax(inside))])
        for exchange in dict.fromkeys(exchanges[inside].tolist()):
            mine = inside & (exchanges == exchange)
            first = int(np.argmax(mine))
            lot, amount, notional, lot_quote = known.get((exchange, names[first]), (0.0, 0.0, 0.0, 0.0))
            rate = float(factor[first]) if factor[first] == factor[first] else 1.0
            ask, bid = (
                Leg(price[rows], size[rows], float(fees[first]), lot, amount, notional, rate, lot_quote, taken[first])
                for rows in (mine & (sides == "ask"), mine & (sides == "bid"))
            )
            parts[exchange] = (ask, bid, times)
        optimum = clear if rules is None else clear_in_lots
        found = optimum([part[0] for part in parts.values()], [part[1] for part in parts.values()], times)
        yield group, str(currencies[inside][0]), parts, found


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


__all__ = ["RULES", "cleared", "leg_rows", "trading_rules"]
