"""One price from several venues, and how far they are apart.

The default method, `robust`, centres on the median (equal weights, so that claimed volume buys no influence
over what counts as an outlier), drops what is far from it, and weighs the rest by the square root of volume and
by age, no venue above 40 %. Sources: median centring and MAD rejection as in CoinGecko's aggregation, clamping
and caps as in the Binance, OKX and Deribit index rules.

With p the mids of valid quotes and m their median: kept is |p − m| ≤ max(3.5 · 1.4826 · median|p − m|, 10 bps · m); the
price is Σ w·p over the kept, w ∝ √(24 h quote volume) · e^(−age / 5 s), each w ≤ 40 %, equal for one or two; the
dispersion is √(Σ w·(p − price)²). NaN where no strict majority lies within `max_disagree` of one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.quality import MAX_AGE_S, mids, verdicts, weight_ages_ms
from xex.errors import ConfigError, Dropped
from xex.model import schema
from xex.model.schema import Columns, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]

METHODS = ("robust", "median", "vwap")
CAP = 0.4
TAU_S = 5.0
MAX_DISAGREE = 0.01
OUTLIER_MADS = 3.5
OUTLIER_FLOOR = 0.001
SUSPECT = 0.03
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the kernel finds: one entry per row of the input, one per group in `totals`."""

    price: Floats
    weight: Floats
    reason: list[str]
    age_ms: Floats
    totals: Columns


def aggregate(
    tickers: pd.DataFrame,
    method: str = "robust",
    *,
    max_age_s: float = MAX_AGE_S,
    max_disagree: float = MAX_DISAGREE,
) -> pd.DataFrame:
    """Aggregate quotes to one row per group and currency.

    `tickers` needs `exchange`, `bid` and `ask` (quote currency per base unit), `group` or `base` and `kind`,
    `currency` or `quote`; `last`, `quote_volume`, `age_ms`, `time_source`, `halted` count where present. Returns
    `price` (NaN with the flag `no_data` or `disagree`), `price_variance` (a standard deviation in the currency,
    NaN below two venues) and its square, `dispersion_bps`, `range_bps` and `mad_bps` over all valid venues,
    `arb_index` (highest bid over lowest ask), `n_asked`, `n_used`, `flags`. Methods: robust, median, vwap.
    """
    columns = _input(tickers, "pricing.aggregate")
    found = evaluate(columns, method=method, max_age_s=max_age_s, max_disagree=max_disagree)
    return schema.frame(found.totals, "aggregate")


def contributions(
    tickers: pd.DataFrame,
    method: str = "robust",
    *,
    max_age_s: float = MAX_AGE_S,
    max_disagree: float = MAX_DISAGREE,
) -> pd.DataFrame:
    """Return what each venue contributed to `aggregate`: `price`, `weight`, `age_ms`, `excluded_reason`."""
    columns = _input(tickers, "pricing.contributions")
    found = evaluate(columns, method=method, max_age_s=max_age_s, max_disagree=max_disagree)
    return schema.frame(
        {
            "exchange": texts(columns, "exchange"), "group": texts(columns, "group"),
            "currency": texts(columns, "currency"), "price": found.price, "weight": found.weight,
            "age_ms": found.age_ms, "excluded_reason": found.reason,
        },
        "contributions",
    )  # fmt: skip


def _input(tickers: pd.DataFrame, what: str) -> Columns:
    schema.check(tickers, ("exchange", "bid", "ask"), what)
    if "group" not in tickers.columns:
        schema.check(tickers, ("base",), what)
    return schema.columns_of(tickers)


def evaluate(
    columns: Columns,
    *,
    method: str = "robust",
    max_age_s: float = MAX_AGE_S,
    max_disagree: float = MAX_DISAGREE,
    reasons: np.ndarray[Any, Any] | None = None,
) -> Evaluation:
    """Aggregate columns; `reasons` are the rows' verdicts where the caller has them already."""
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}; methods are: {', '.join(METHODS)}")
    if not 0 < max_disagree < 1:
        raise ConfigError(f"max_disagree is a fraction between 0 and 1, not {max_disagree!r}")
    verdict = verdicts(columns, max_age_s=max_age_s) if reasons is None else reasons.copy()
    keys = list(zip(texts(columns, "group"), texts(columns, "currency"), strict=True))
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    groups = np.array([order[key] for key in keys], dtype=np.intp)
    prices = mids(columns)
    flags = _use_last(columns, verdict, prices, groups, len(order))
    valid = verdict == ""
    ages = weight_ages_ms(columns, groups, valid)
    at = _Scatter(groups, len(order))
    grid = _Grid(
        price=at.out(np.where(valid, prices, np.nan)),
        volume=at.out(numbers(columns, "quote_volume")),
        age_s=at.out(ages / 1e3, 0.0),
        bid=at.out(np.where(valid, numbers(columns, "bid"), np.nan)),
        ask=at.out(np.where(valid, numbers(columns, "ask"), np.nan)),
    )
    weights, outcome, totals = _robust(grid, method, max_disagree)
    reason = [found or given for given, found in zip(verdict.tolist(), at.back(outcome).tolist(), strict=True)]
    totals["group"] = [group for group, _ in order]
    totals["currency"] = [currency for _, currency in order]
    totals["n_asked"] = np.bincount(groups, minlength=len(order)).astype(np.float64)
    totals["flags"] = [",".join(filter(None, pair)) for pair in zip(totals["flags"], flags, strict=True)]
    return Evaluation(prices, at.back(weights), reason, ages, totals)


def _use_last(
    columns: Columns, verdict: np.ndarray[Any, Any], prices: Floats, groups: np.ndarray[Any, Any], count: int
) -> list[str]:
    """Let last prices speak in groups where no venue has a quote at all; changes `verdict` and `prices`."""
    quoted = np.zeros(count, dtype=bool)
    quoted[groups[verdict == ""]] = True
    usable = (verdict == Dropped.LAST_ONLY.value) & ~quoted[groups]
    prices[usable] = numbers(columns, "last")[usable]
    verdict[usable] = ""
    alone = np.zeros(count, dtype=bool)
    alone[groups[usable]] = True
    return ["last_only" if flag else "" for flag in alone]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Groups × venues; NaN where a group has no such row."""

    price: Floats
    volume: Floats
    age_s: Floats
    bid: Floats
    ask: Floats


class _Scatter:
    """Moves rows to a grid of groups × venues and back."""

    def __init__(self, groups: np.ndarray[Any, Any], count: int) -> None:
        rows = len(groups)
        order = np.argsort(groups, kind="stable")
        starts = np.searchsorted(groups[order], np.arange(count))
        place = np.empty(rows, dtype=np.intp)
        place[order] = np.arange(rows) - starts[groups[order]] if rows else 0
        self.groups, self.place, self.count = groups, place, count
        self.width = int(place.max()) + 1 if rows else 1

    def out(self, values: Floats, absent: float = np.nan) -> Floats:
        grid = np.full((self.count, self.width), absent)
        grid[self.groups, self.place] = values
        return grid

    def back(self, grid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(grid[self.groups, self.place])


def _median(ordered: Floats, n: np.ndarray[Any, Any]) -> Floats:
    """Return the median of each row; `ordered` is sorted with NaN last, `n` counts what is not NaN."""
    rows = np.arange(len(ordered))
    low, high = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, ordered.shape[1] - 1)
    return np.asarray((ordered[rows, low] + ordered[rows, high]) / 2)


def _robust(grid: _Grid, method: str, max_disagree: float) -> tuple[Floats, np.ndarray[Any, Any], Columns]:
    price = grid.price
    valid = np.isfinite(price)
    n = valid.sum(axis=1)
    ordered = np.sort(price, axis=1)
    centre = _median(ordered, n)[:, None]
    away = np.abs(price - centre)
    mad = _median(np.sort(away, axis=1), n)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        within = ordered[:, None, :] <= ordered[:, :, None] * (1 + max_disagree)
        together = (within & (ordered[:, None, :] >= ordered[:, :, None])).sum(axis=2).max(axis=1)
        disagree = (n >= 2) & (2 * together <= n)
        limit = np.maximum(OUTLIER_MADS * MAD_TO_SIGMA * mad, OUTLIER_FLOOR * centre)
        far = valid & (away > limit) & (n > 2)[:, None]
        decades = np.log10(price / centre)
    outcome = np.full(price.shape, "", dtype=object)
    outcome[far] = Dropped.OUTLIER.value
    outcome[far & (away > SUSPECT * centre)] = Dropped.SUSPECT.value
    whole = np.abs(decades - np.round(decades)) < np.log10(1 + SUSPECT)
    outcome[far & whole & (np.round(decades) != 0)] = Dropped.UNIT_ERROR.value
    outcome[valid & disagree[:, None]] = Dropped.DISAGREE.value
    kept = valid & ~far & ~disagree[:, None]
    weights = _weights(grid, kept, method)
    value = np.where(kept.any(axis=1), (weights * np.where(kept, price, 0.0)).sum(axis=1), np.nan)
    if method == "median":
        value = np.where(disagree, np.nan, _median(np.sort(np.where(kept, price, np.nan), axis=1), kept.sum(axis=1)))
    return weights, outcome, _totals(grid, kept, weights, value, centre[:, 0], mad[:, 0], n, disagree)


def _weights(grid: _Grid, kept: np.ndarray[Any, Any], method: str) -> Floats:
    """Return normalised weights over the kept venues of each group."""
    count = kept.sum(axis=1)[:, None]
    equal = np.where(kept, 1.0 / np.maximum(count, 1), 0.0)
    if method == "median":
        return equal
    has = kept & np.isfinite(grid.volume) & (grid.volume > 0)
    volume = np.where(has, grid.volume, 1.0)
    if method == "vwap":
        raw = np.where(has, volume, 0.0)
        total = raw.sum(axis=1, keepdims=True)
        return np.where(total > 0, raw / np.where(total > 0, total, 1.0), equal)
    some = has.any(axis=1, keepdims=True)
    raw = np.where(has | (kept & ~some), np.sqrt(volume) * np.exp(-grid.age_s / TAU_S), np.inf)
    least = raw.min(axis=1, keepdims=True)
    raw = np.where(kept, np.where(np.isinf(raw), least, raw), 0.0)
    total = raw.sum(axis=1, keepdims=True)
    shares = raw / np.where(total > 0, total, 1.0)
    return np.where(count * CAP < 1, equal, _capped(shares))


def _capped(shares: Floats) -> Floats:
    """Cap each share at 40 % and pass the excess to the others in proportion to theirs."""
    capped = np.zeros(shares.shape, dtype=bool)
    filled = shares
    # Two can be at the cap and a third cannot reach it, so the third round changes nothing.
    for _ in range(3):
        capped |= filled > CAP
        free = 1.0 - CAP * capped.sum(axis=1, keepdims=True)
        rest = np.where(capped, 0.0, shares)
        total = rest.sum(axis=1, keepdims=True)
        filled = np.where(capped, CAP, rest * free / np.where(total > 0, total, 1.0))
    return filled


def _totals(
    grid: _Grid,
    kept: np.ndarray[Any, Any],
    weights: Floats,
    value: Floats,
    centre: Floats,
    mad: Floats,
    n: np.ndarray[Any, Any],
    disagree: np.ndarray[Any, Any],
) -> Columns:
    used = kept.sum(axis=1)
    away = np.where(kept, grid.price - value[:, None], 0.0)
    square = np.where(used >= 2, (weights * away**2).sum(axis=1), np.nan)
    deviation = np.sqrt(square)
    highest = np.where(np.isfinite(grid.price), grid.price, -np.inf).max(axis=1)
    lowest = np.where(np.isfinite(grid.price), grid.price, np.inf).min(axis=1)
    best_bid = np.where(np.isfinite(grid.bid), grid.bid, -np.inf).max(axis=1)
    best_ask = np.where(np.isfinite(grid.ask), grid.ask, np.inf).min(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        reference = np.where(np.isfinite(value), value, centre)
        range_bps = np.where(n >= 2, 1e4 * (highest - lowest) / reference, np.nan)
        mad_bps = np.where(n >= 2, 1e4 * MAD_TO_SIGMA * mad / centre, np.nan)
        arb_index = np.where((n >= 1) & np.isfinite(best_ask), best_bid / best_ask, np.nan)
        dispersion = 1e4 * deviation / value
    flag = np.where(n == 0, "no_data", np.where(disagree, "disagree", np.where(n == 1, "single_source", "")))
    return {
        "price": value, "price_variance": deviation, "price_var_sq": square, "dispersion_bps": dispersion,
        "range_bps": range_bps, "mad_bps": mad_bps, "arb_index": arb_index,
        "n_used": used.astype(np.float64), "flags": flag.tolist(),
    }  # fmt: skip


__all__ = ["METHODS", "Evaluation", "aggregate", "contributions", "evaluate"]
