"""Which assets a study should look at: traded on enough venues, with enough volume, and the same thing everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics import pricing
from xex.analytics.currency import Rate
from xex.analytics.quality import NOT_COUNTED, verdicts
from xex.errors import ConfigError
from xex.model.schema import Columns, length, numbers, texts

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]


def select(
    tickers: Columns, rates: Mapping[str, Rate], currency: str, *, min_venues: int = 2, min_quote_volume: float = 0.0
) -> Columns:
    """Return the groups that enough venues trade, as columns of the schema `universe`, the most traded first.

    `tickers` are a whole market's rows in their own currencies, `rates` say what each quote is worth in `currency`.
    A venue counts where its row has a rate, is fresh, and its price is that of the others; one whose price says that
    it is perhaps another asset stands in `excluded` with its reason. Volumes are sums over the venues that count.
    """
    if min_venues < 1 or not min_quote_volume >= 0:
        raise ConfigError(f"min_venues is at least 1, not {min_venues!r}; min_quote_volume at least 0")
    rows = _converted(tickers, rates, currency)
    found = pricing.evaluate(rows, reasons=verdicts(rows))
    groups = texts(rows, "group")
    place = {group: row for row, group in enumerate(dict.fromkeys(groups))}
    at = np.array([place[group] for group in groups], dtype=np.intp)
    counted = np.array([not reason or reason not in _OUT for reason in found.reason], dtype=bool)
    base, quote = (_sums(at, numbers(rows, f"{name}_volume"), counted, len(place)) for name in ("base", "quote"))
    exchanges: list[dict[str, None]] = [{} for _ in place]
    excluded: list[dict[str, None]] = [{} for _ in place]
    for row, exchange in enumerate(texts(rows, "exchange")):
        if counted[row]:
            exchanges[at[row]][exchange] = None
        else:
            excluded[at[row]][f"{exchange}: {found.reason[row]}"] = None
    venues = np.array([len(names) for names in exchanges], dtype=np.float64)
    kept = np.flatnonzero((venues >= min_venues) & (np.nan_to_num(quote) >= min_quote_volume))
    kept = kept[np.argsort(-np.nan_to_num(quote)[kept], kind="stable")]
    names = list(place)
    parts = [([*names[row].split(":"), ""])[:3] for row in kept]
    totals = {group: row for row, group in enumerate(found.totals["group"])}
    of = [totals[names[row]] for row in kept]
    return {
        "group": [names[row] for row in kept], "base": [part[0] for part in parts],
        "kind": [part[1] for part in parts], "expiry": [part[2] for part in parts],
        "n_venues": venues[kept], "exchanges": [",".join(exchanges[row]) for row in kept],
        **{name: np.asarray(found.totals[name])[of] for name in ("price", "dispersion_bps")},
        "base_volume": base[kept], "quote_volume": quote[kept], "currency": [currency] * len(kept),
        "excluded": [", ".join(excluded[row]) for row in kept],
    }  # fmt: skip


_OUT = frozenset({*NOT_COUNTED, "no_rate", "no_quote", "crossed", "wide"})


def _converted(tickers: Columns, rates: Mapping[str, Rate], currency: str) -> Columns:
    rows = dict(tickers)
    quotes = texts(rows, "quote")
    factor = np.array([rates[quote].rate for quote in quotes], dtype=np.float64)
    usable = np.where([isfinite(value) for value in factor], factor, 1.0)
    for name in ("bid", "ask", "last", "high", "low", "quote_volume"):
        if name in rows:
            rows[name] = numbers(rows, name) * usable
    rows["fx_rate"], rows["currency"] = factor, [currency] * length(rows)
    return rows


def _sums(at: np.ndarray[Any, Any], values: Floats, counted: np.ndarray[Any, Any], groups: int) -> Floats:
    """Return the sum of each group's counted values, NaN where none is known."""
    known = counted & np.isfinite(values)
    sums = np.bincount(at[known], weights=values[known], minlength=groups)
    return np.where(np.bincount(at[known], minlength=groups) > 0, sums, np.nan)
