"""Prices of whole books and of trades, as the CME CF indices make them of Bitcoin's.

BRTI is made of a book that all venues' orders stand in, BRR of the trades of an hour. Which venues take part is decided
as for quotes: by age, by a crossed or one-sided book, and by price where one may be another asset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.estimators import Estimate, check_names, check_number
from xex.analytics.evaluation import Evaluation, Judged, Places, concluded, judge
from xex.analytics.quality import (
    HARD_MAX_AGE_S,
    MAX_DISAGREE,
    Floats,
    UsualBps,
    by_group,
    check_milliseconds,
    mids,
    verdicts,
)
from xex.errors import ConfigError, Dropped, SchemaError
from xex.model import schema
from xex.model.schema import Columns, length, numbers, take, texts

if TYPE_CHECKING:
    import pandas as pd

Rows = np.ndarray[Any, np.dtype[np.intp]]
Found = tuple[Columns, Evaluation]

TRADES_MAX_DISAGREE = 0.1
_EXACT = 1e-12
"""Sums of sizes are as good as this, relatively; who reaches a volume but for that reaches it."""


def brti(
    books: pd.DataFrame,
    *,
    spacing: float | Mapping[str, float] = 1.0,
    deviation: float = 0.005,
    levels: int = 50,
    within: float = 0.05,
    trim: float = 0.01,
    sigmas: float = 5.0,
    factor: float = 0.3,
    max_age_s: float = HARD_MAX_AGE_S,
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
    sigma: UsualBps = None,
) -> pd.DataFrame:
    """Return one price per group and currency of all venues' books together, columns as of `pricing.aggregate`.

    `books` needs `exchange`, `side` ("bid" | "ask"), `price` and `size` (base units), `group` or `base` and `kind`,
    `currency` or `quote`; `age_ms` counts where present. Of each venue's side the best `levels` within the fraction
    `within` of its best take part. Each size is cut to C = trimmed mean + `sigmas` · winsorised standard deviation of
    all sizes (⌊`trim` · n⌋ at either end, n − 1 degrees of freedom). With ask(v) and bid(v) the marginal prices at
    volume v of the book of all, mid their mean, the utilised depth V is the largest v of s, 2s, 3s, … where
    ask(v) / mid(v) − 1 ≤ `deviation`, at least s, and the price Σ mid(v)·e^(−λv) / Σ e^(−λv) over v = s, 2s, …, V with
    λ = 1 / (`factor` · V). s is `spacing`, base units, a number or by group: 1 is Bitcoin's, other assets need their
    own. The price is NaN with the flag `thin` where the book does not hold s on both sides. The other columns tell of
    the venues' mids, weighed by their shares of the capped sizes.

    Raises `ConfigError` for a parameter that is none, `SchemaError` for a frame that is no books. Source: CME CF
    Cryptocurrency Real Time Indices, methodology guide.
    """
    given = {name: value for name, value in locals().items() if name != "books" and value is not None}
    return schema.frame(evaluated(books, "brti", given, "pricing.brti")[1].totals, "aggregate")


def vwm_trades(
    trades: pd.DataFrame,
    *,
    window_s: float = 3600.0,
    partitions: int = 12,
    end: datetime | float | None = None,
    max_disagree: float = TRADES_MAX_DISAGREE,
    usual_bps: UsualBps = None,
    sigma: UsualBps = None,
) -> pd.DataFrame:
    """Return one price per group and currency of the trades of a window, columns as of `pricing.aggregate`.

    `trades` needs `exchange`, `price`, `size` (base units), `exchange_time` (time-zone aware, or milliseconds since
    1970 in UTC), `group` or `base` and `kind`, `currency` or `quote`. The window of `window_s` ends with `end`,
    included, which is by default the time of the frame's last trade. It is cut into equal `partitions`; each gives the
    volume-weighted median of all venues' trades in it (where exactly half of the volume lies below, the mean of the two
    prices around), and the price is the plain mean of those: partitions without a trade are left out. A venue whose
    median over the window may be that of another asset is out, beyond `max_disagree` (10 %) as for quotes.

    The flag `partial` says that the frame does not cover the window: some venue's first trade comes after the first
    partition, as of venues that tell no more than their last few hundred trades, or nobody's comes in the last. The
    other columns tell of the venues' medians, weighed by their shares of the volume. Raises `ConfigError`
    and `SchemaError` as `brti` does. Source: CME CF Bitcoin Reference Rate, methodology guide.
    """
    given = {name: value for name, value in locals().items() if name != "trades" and value is not None}
    return schema.frame(evaluated(trades, "vwm_trades", given, "pricing.vwm_trades")[1].totals, "aggregate")


def evaluated(data: pd.DataFrame, method: str, given: Mapping[str, Any], what: str) -> Found:
    """Return one row per venue, and what the method finds, from a frame of what the method needs."""
    public, made, needed = FIXINGS[method]
    known = {**(public.__kwdefaults__ or {})}
    check_names(method, given, known)
    options = _checked(known | dict(given))
    schema.check(data, ("exchange", *needed), what)
    if "group" not in data.columns:
        schema.check(data, ("base",), what)
    return made(schema.columns_of(data), **options)


_LIMITS: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "deviation": (lambda value: value > 0, "a fraction above 0"),
    "levels": (lambda value: value >= 1 and value == int(value), "a number of levels, at least 1"),
    "within": (lambda value: 0 < value < 1, "a fraction between 0 and 1"),
    "trim": (lambda value: 0 <= value < 0.5, "a fraction of at least 0 and below 0.5"),
    "sigmas": (lambda value: value >= 0, "at least 0"),
    "factor": (lambda value: value > 0, "a number above 0"),
    "window_s": (lambda value: value > 0, "seconds, above 0"),
    "partitions": (lambda value: value >= 1 and value == int(value), "a number of partitions, at least 1"),
}


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    for name in options.keys() & _LIMITS.keys():
        options[name] = check_number(name, options[name], *_LIMITS[name])
    return options


# --- books


def _of_books(
    columns: Columns,
    *,
    spacing: float | Mapping[str, float],
    deviation: float,
    levels: float,
    within: float,
    trim: float,
    sigmas: float,
    factor: float,
    max_age_s: float,
    max_disagree: float,
    usual_bps: UsualBps,
    sigma: UsualBps,
) -> Found:
    sides = np.array(texts(columns, "side"), dtype=object)
    if unknown := set(sides.tolist()) - {"bid", "ask"}:
        raise SchemaError(f"a side is 'bid' or 'ask', not {', '.join(map(repr, sorted(unknown)))}")
    price, size, asks = numbers(columns, "price"), numbers(columns, "size"), sides == "ask"
    real = np.isfinite(price) & np.isfinite(size) & (price > 0) & (size > 0)
    venues, of = _venues(columns)
    best = {side: _best(price, of, real & rows, length(venues), side) for side, rows in (("ask", asks), ("bid", ~asks))}
    venues = venues | best
    places = Places.of(venues)
    judged = judge(
        venues, places, verdicts(venues, max_age_s=max_age_s), mids(venues),
        max_age_s=max_age_s, max_disagree=max_disagree, usual_bps=usual_bps,
    )  # fmt: skip
    steps = by_group(spacing, places.groups, "spacing is a number, a dict or a Series of base units by group")
    if not (steps[np.isfinite(steps)] > 0).all():
        raise ConfigError(f"spacing is a number of base units above 0, not {spacing!r}")
    if (lacking := np.isnan(steps)).any():
        raise ConfigError(f"no spacing for the group {places.groups[int(lacking.argmax())]!r}")
    away = np.where(asks, price / best["ask"][of] - 1, 1 - price / best["bid"][of])
    used = np.flatnonzero(real & judged.trusted[of] & (away <= within))
    used = used[_rank(of[used] * 2 + asks[used], away[used]) < levels]
    group = places.of_rows[of[used]]
    order = np.argsort(group, kind="stable")
    used, bounds = used[order], np.searchsorted(group[order], np.arange(len(places) + 1))
    value, taken = np.full(len(places), np.nan), np.zeros(length(venues))
    for place, (start, stop) in enumerate(pairwise(bounds.tolist())):
        rows = used[start:stop]
        if len(rows):
            cut = np.minimum(size[rows], _size_cap(size[rows], trim, sigmas))
            taken += np.bincount(of[rows], weights=cut, minlength=len(taken))
            value[place] = _index(price[rows], cut, asks[rows], steps[place], deviation, factor)
    thin = np.isnan(value) & (judged.grid.n > 0)
    flags = np.where(thin, "thin", "").tolist()
    return venues, concluded(venues, judged, _estimate(judged, value, taken), flags, sigma)


def _venues(columns: Columns) -> tuple[Columns, Rows]:
    """Return the first row of each venue in a group and currency, and to which of those every row belongs."""
    keys = list(zip(*(texts(columns, name) for name in ("group", "currency", "exchange")), strict=True))
    first: dict[tuple[str, ...], int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    place = {key: number for number, key in enumerate(first)}
    return take(columns, list(first.values())), np.array([place[key] for key in keys], dtype=np.intp)


def _best(price: Floats, of: Rows, rows: np.ndarray[Any, Any], count: int, side: str) -> Floats:
    best = np.full(count, np.nan)
    (np.fmin if side == "ask" else np.fmax).at(best, of[rows], price[rows])
    return best


def _rank(owner: Rows, away: Floats) -> Rows:
    """Return each row's place among those of its owner, the nearest first."""
    order = np.lexsort((away, owner))
    rank = np.empty(len(owner), dtype=np.intp)
    rank[order] = np.arange(len(owner)) - np.searchsorted(owner[order], owner[order])
    return rank


def _size_cap(size: Floats, trim: float, sigmas: float) -> float:
    ordered, n = np.sort(size), len(size)
    k = int(trim * n)
    winsorised = np.clip(ordered, ordered[k], ordered[n - 1 - k])
    spread = float(winsorised.std(ddof=1)) if n > 1 else 0.0
    return float(ordered[k : n - k].mean()) + sigmas * spread


def _index(
    price: Floats, size: Floats, asks: np.ndarray[Any, Any], spacing: float, deviation: float, factor: float
) -> float:
    """Return the price of one book of all, NaN where it does not hold `spacing` on both sides.

    The curve is flat between the volumes at which a level ends, so the sums over v = s, 2s, … are geometric ones: a
    coin of which a book holds a billion steps costs no more than Bitcoin.
    """
    ask, ask_end = _curve(price[asks], size[asks], spacing, 1)
    bid, bid_end = _curve(price[~asks], size[~asks], spacing, -1)
    if not len(ask) or not len(bid):
        return np.nan
    deepest = min(ask_end[-1], bid_end[-1])
    if deepest < 1:
        return np.nan
    ends = np.unique(np.concatenate((ask_end, bid_end)))
    ends = ends[(ends >= 1) & (ends <= deepest)]
    high, low = ask[np.searchsorted(ask_end, ends)], bid[np.searchsorted(bid_end, ends)]
    mid = (high + low) / 2
    near = ends[high / mid - 1 <= deviation]
    utilised = near[-1] if len(near) else 1.0
    parts = np.searchsorted(ends, utilised) + 1
    ends, mid = np.minimum(ends[:parts], utilised), mid[:parts]
    starts = np.concatenate(([0.0], ends[:-1]))
    decay = 1 / (factor * utilised)
    weight = np.exp(-decay * starts) * -np.expm1(-decay * (ends - starts))
    return float((weight * mid).sum() / weight.sum())


def _curve(price: Floats, size: Floats, spacing: float, sign: int) -> tuple[Floats, Floats]:
    """Return a side's prices, the best first, and how many whole steps of volume there are up to each one's end."""
    order = np.argsort(sign * price, kind="stable")
    return price[order], np.floor(np.cumsum(size[order]) / spacing * (1 + _EXACT))


# --- trades


def _of_trades(
    columns: Columns,
    *,
    window_s: float,
    partitions: float,
    end: datetime | float | None,
    max_disagree: float,
    usual_bps: UsualBps,
    sigma: UsualBps,
) -> Found:
    price, size = numbers(columns, "price"), numbers(columns, "size")
    time = _times(columns, "exchange_time")
    venues, of = _venues(columns)
    real = np.isfinite(price) & np.isfinite(size) & np.isfinite(time) & (price > 0) & (size > 0)
    last = _end(end, time[real])
    width = 1e3 * window_s / partitions
    part = np.ceil((time - (last - 1e3 * window_s)) / width) - 1
    inside = real & (part >= 0) & (time <= last)
    rows = np.flatnonzero(inside)
    prices = _weighted_medians(price[rows], size[rows], of[rows], length(venues))
    latest = np.full(length(venues), np.nan)
    np.fmax.at(latest, of[rows], time[rows])
    venues = {name: value for name, value in venues.items() if name not in _QUOTED}
    venues |= {"bid": prices, "ask": prices, "age_ms": last - latest}
    places = Places.of(venues)
    verdict = np.where(np.isfinite(prices), "", Dropped.NO_QUOTE.value).astype(object)
    judged = judge(venues, places, verdict, prices, max_disagree=max_disagree, usual_bps=usual_bps)
    rows = rows[judged.trusted[of[rows]]]
    group, count = places.of_rows[of[rows]], int(partitions)
    cell = group * count + np.minimum(part[rows].astype(np.intp), count - 1)
    middles = _weighted_medians(price[rows], size[rows], cell, len(places) * count).reshape(len(places), count)
    filled = np.isfinite(middles)
    value = np.where(filled, middles, 0.0).sum(axis=1) / np.maximum(filled.sum(axis=1), 1)
    value = np.where(filled.any(axis=1), value, np.nan)
    taken: Floats = np.bincount(of[rows], weights=size[rows], minlength=length(venues)).astype(np.float64)
    begins = np.full(length(venues), np.inf)
    np.fmin.at(begins, of[real], time[real])
    late = judged.trusted & (begins > last - 1e3 * window_s + width)
    partial = np.bincount(places.of_rows[late], minlength=len(places)) > 0
    flags = np.where((partial | ~filled[:, -1]) & filled.any(axis=1), "partial", "").tolist()
    return venues, concluded(venues, judged, _estimate(judged, value, taken), flags, sigma)


_QUOTED = ("high", "low", "last", "bid", "ask", "quote_volume", "time_source")


def _times(columns: Columns, name: str) -> Floats:
    values = columns[name]
    if not isinstance(values, np.ndarray):
        raise SchemaError(f"{name} is a time with its zone, or milliseconds since 1970 in UTC")
    return check_milliseconds(numbers(columns, name), name)


def _end(end: datetime | float | None, time: Floats) -> float:
    if end is None:
        return float(time.max()) if len(time) else 0.0
    if isinstance(end, datetime):
        if end.tzinfo is None:
            raise ConfigError(f"end needs a time zone: {end}")
        return 1e3 * end.timestamp()
    return check_number("end", end, lambda _: True, "a time with its zone, or milliseconds since 1970 in UTC")


def _weighted_medians(price: Floats, size: Floats, owner: Rows, count: int) -> Floats:
    """Return each owner's price below and above which lies half of its volume, NaN where it has none."""
    order = np.lexsort((price, owner))
    price, owner = price[order], owner[order]
    total = np.bincount(owner, weights=size[order], minlength=count)
    # Shares, since sums over owners of different sizes would lose the small ones.
    reached = np.cumsum(size[order] / total[owner])
    known = np.flatnonzero(total > 0)
    ends = np.searchsorted(owner, known, side="right")
    before = np.concatenate(([0.0], reached))[np.searchsorted(owner, known)]
    slack = _EXACT * max(len(known), 1)
    place = np.searchsorted(reached, before + 0.5 - slack)
    even = (reached[place] - before <= 0.5 + slack) & (place + 1 < ends) if len(known) else np.zeros(0, dtype=bool)
    found = np.full(count, np.nan)
    found[known] = np.where(even, (price[place] + price[np.minimum(place + 1, len(price) - 1)]) / 2, price[place])
    return found


def _estimate(judged: Judged, value: Floats, taken: Floats) -> Estimate:
    """Return an estimate that was made elsewhere, of venues that each had so much part in it."""
    weight = judged.at.out(np.where(judged.trusted, taken, 0.0), 0.0)
    total = weight.sum(axis=1, keepdims=True)
    kept = np.isfinite(judged.grid.price)
    none = np.zeros(kept.shape, dtype=bool)
    return Estimate(value, weight / np.where(total > 0, total, 1.0), kept, none, judged.grid.price)


FIXINGS: Mapping[str, tuple[Callable[..., Any], Callable[..., Found], tuple[str, ...]]] = {
    "brti": (brti, _of_books, ("side", "price", "size")),
    "vwm_trades": (vwm_trades, _of_trades, ("price", "size", "exchange_time")),
}
"""The public function, what it does, and the columns that the method needs."""

__all__ = ["FIXINGS", "brti", "evaluated", "vwm_trades"]
