"""What was liquidated in all: by side, exchange and bar, in base and in quote units."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.errors import ConfigError
from xex.model import schema
from xex.model.schema import Columns, Text, Words, numbers

if TYPE_CHECKING:
    import pandas as pd

Ints = np.ndarray[Any, np.dtype[np.intp]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

DAY_MS, MOST_DAYS = 86_400_000.0, 366
UNITS_MS = {"s": 1e3, "m": 6e4, "min": 6e4, "h": 3.6e6, "d": DAY_MS}
BY = {"side": "position_side", "exchange": "exchange", "venue": "venue", "source": "source", "bar": "start"}
"""What sums can be told apart by, and the column that says it."""


def liquidations_by(
    liquidations: pd.DataFrame, by: str | Iterable[str] = ("side", "exchange", "bar"), every: str | timedelta = "1h"
) -> pd.DataFrame:
    """Return what was liquidated: a row per group, currency and whatever `by` names, in the order of these.

    `liquidations` is the `frame` of `get_cross_exchange_liquidations`, or that answer itself; it needs `size`,
    `notional` and `group` or `base`. `by` is any of "side" (of the position: "long", "short", "unknown"), "exchange",
    "venue", "source" and "bar", bars of `every` ("5min", "1h", "1d", or a timedelta) that begin at whole multiples of
    it, UTC; bars without a liquidation have no row. `base` is the sum of sizes in base units, `notional` that of
    notionals in `currency`; different currencies are never added. `count` is how many liquidations that is, `partial`
    that some of them lack a size or a notional, `complete` that no source of theirs leaves any out. What `by` does not
    name is absent. Raises `ConfigError` for a word or a width that is none, `SchemaError` for a missing column.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"group": "BTC:linear", "currency": "USDT", "position_side": ["long", "short", "long"],
    ...                      "size": [0.5, 0.25, 1.0], "notional": [30000.0, 15000.0, 60000.0]})
    >>> liquidations_by(rows, by="side")[["position_side", "count", "base", "notional"]].to_numpy().tolist()
    [['long', 2.0, 1.5, 90000.0], ['short', 1.0, 0.25, 15000.0]]
    """
    frame = liquidations if hasattr(liquidations, "columns") else getattr(liquidations, "frame", liquidations)
    names = [by] if isinstance(by, str) else list(by)
    if unknown := [name for name in names if name not in BY]:
        raise ConfigError(f"by={unknown[0]!r}: liquidations are told apart by {', '.join(BY)}")
    keys = ["group", "currency", *dict.fromkeys(BY[name] for name in names)]
    needed = ["exchange_time" if name == "start" else name for name in keys[2:]]
    schema.check(frame, ("size", "notional", *needed), "activity.liquidations_by")
    if "group" not in frame.columns:
        schema.check(frame, ("base",), "activity.liquidations_by")
    width = _width_ms(every)
    told = {name: _bars(frame, width) if name == "start" else _ordered(*schema.codes(frame, name)) for name in keys}
    return schema.frame(_summed(frame, told), "liquidation_sums")


def _summed(frame: pd.DataFrame, told: Mapping[str, tuple[Ints, list[str] | Floats]]) -> Columns:
    """Return the sums of rows that are alike in what is told of them: codes, and what these stand for."""
    table = np.column_stack([codes for codes, _ in told.values()])
    cells, of = np.unique(table, axis=0, return_inverse=True)
    of, count = of.reshape(-1), len(cells)
    columns = schema.columns_of(frame, ["size", "notional", "complete"])
    size, notional = numbers(columns, "size"), numbers(columns, "notional")
    lacking = np.isnan(size) | np.isnan(notional)
    whole = schema.flags(columns, "complete") if "complete" in columns else np.zeros(len(frame), dtype=bool)
    found: Columns = {
        name: Text(Words(words), cells[:, place]) if isinstance(words, list) else words[cells[:, place]]
        for place, (name, (_, words)) in enumerate(told.items())
    }
    return found | {
        "count": np.bincount(of, minlength=count).astype(np.float64),
        "base": _sums(of, size, count), "notional": _sums(of, notional, count),
        "partial": np.bincount(of, lacking, minlength=count) > 0,
        "complete": np.bincount(of, ~whole, minlength=count) == 0,
    }  # fmt: skip


def _bars(frame: pd.DataFrame, width: float) -> tuple[Ints, Floats]:
    """Return the bar of each row, and when bars start; what has no time is in a bar of its own, the last."""
    times = numbers(schema.columns_of(frame, ["exchange_time"]), "exchange_time")
    starts, codes = np.unique(np.floor(times / width) * width, return_inverse=True)
    return codes.reshape(-1), starts


def _ordered(codes: Ints, words: list[str]) -> tuple[Ints, list[str]]:
    """Return codes by the order of their words."""
    order = sorted(range(len(words)), key=words.__getitem__)
    place = np.empty(len(words), dtype=np.intp)
    place[order] = np.arange(len(words))
    return place[codes], [words[code] for code in order]


def _sums(of: Ints, values: Floats, count: int) -> Floats:
    """Return the sum of each cell's known values, NaN where none is."""
    known = np.isfinite(values)
    sums = np.bincount(of[known], values[known], minlength=count)
    return np.where(np.bincount(of[known], minlength=count) > 0, sums, np.nan)


def _width_ms(every: object) -> float:
    """Return how wide bars are, in ms."""
    width = every.total_seconds() * 1e3 if isinstance(every, timedelta) else span_ms(every)
    if not 1 <= width <= MOST_DAYS * DAY_MS:
        raise ConfigError(f"every={every!r}: the width of a bar is expected, such as 5min, 1h or 1d")
    return width


def span_ms(text: object) -> float:
    """Return a span of time in ms, NaN for what is none.

    >>> span_ms("5min"), span_ms("90s"), span_ms("1.5h"), span_ms("2d"), span_ms("soon")
    (300000.0, 90000.0, 5400000.0, 172800000.0, nan)
    """
    found = (
        re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?(s|m|min|h|d)", text.strip().lower()) if isinstance(text, str) else None
    )
    return float(found[1]) * UNITS_MS[found[2]] if found else nan


__all__ = ["liquidations_by"]
