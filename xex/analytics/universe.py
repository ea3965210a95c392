"""Which assets a study should look at: traded on enough venues, with enough volume, and the same thing everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics import pricing
from xex.analytics.quality import NOT_COUNTED, verdicts
from xex.errors import ConfigError, Dropped
from xex.model.schema import Columns, length, numbers, texts

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]


def select(rows: Columns, currency: str, *, min_venues: int = 2, min_quote_volume: float = 0.0) -> Columns:
    """Return the groups that enough venues trade, as columns of the schema `universe`, the most traded first.

    `rows` are a whole market's tickers brought to `currency` (`currency.converted`). A venue counts where its row has a
    rate, is fresh, and its price is that of the others; one whose price says that it is perhaps another asset stands
    in `excluded` with its reason. Volumes are sums over the venues that count; `volume_partial` names those of them
    without one.
    """
    check_limits(min_venues, min_quote_volume)
    rows = rows | {"currency": [currency] * length(rows)}
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
    silent = counted & ~np.isfinite(numbers(rows, "quote_volume"))
    partial: list[dict[str, None]] = [{} for _ in place]
    named = texts(rows, "exchange")
    for row in np.flatnonzero(silent).tolist():
        partial[at[row]][named[row]] = None
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
        "volume_partial": [",".join(partial[row]) for row in kept],
        "excluded": [", ".join(excluded[row]) for row in kept],
    }  # fmt: skip


def check_limits(min_venues: int, min_quote_volume: float) -> None:
    """Refuse limits that are none."""
    if not min_venues >= 1 or not min_quote_volume >= 0:
        raise ConfigError(
            f"min_venues is at least 1 and min_quote_volume at least 0, not {min_venues!r} and {min_quote_volume!r}"
        )


_OUT = frozenset({*NOT_COUNTED, Dropped.NO_RATE, Dropped.NO_QUOTE, Dropped.CROSSED, Dropped.WIDE})


def _sums(at: np.ndarray[Any, Any], values: Floats, counted: np.ndarray[Any, Any], groups: int) -> Floats:
    """Return the sum of each group's counted values, NaN where none is known."""
    known = counted & np.isfinite(values)
    sums = np.bincount(at[known], weights=values[known], minlength=groups)
    return np.where(np.bincount(at[known], minlength=groups) > 0, sums, np.nan)
