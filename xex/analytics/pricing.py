"""One price from several venues, and how far they are apart.

The default method, `robust`, centres on the median (equal weights, so that claimed volume buys no influence
over what counts as an outlier), drops what is far from it, and weighs the rest by the square root of volume and
by age, no venue above 40 %. Sources: median centring and MAD rejection as in CoinGecko's aggregation, clamping
and caps as in the Binance, OKX and Deribit index rules.

First of all, rows that may be another asset are left out of every figure: `suspect` beyond 3 % from the median of the
valid mids (less where the pair's usual dispersion is given), `unit_error` at a power of ten from it, all of them where
no strict majority lies within `max_disagree` of one another, and then the price is NaN.

With p the mids of the others and m their median: kept is |p − m| ≤ max(3.5 · 1.4826 · median|p − m|, 10 bps · m); the
price is Σ w·p over the kept, w ∝ √(24 h quote volume) · e^(−age / 5 s), each w ≤ 40 %, equal for one or two; the
dispersion is √(Σ w·(p − price)²).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.quality import (
    MAX_AGE_S,
    MAX_DISAGREE,
    SUSPECT,
    Identity,
    Scatter,
    UsualBps,
    identities,
    medians,
    mids,
    suspect_limits,
    verdicts,
    weight_ages_ms,
)
from xex.errors import ConfigError, Dropped
from xex.model import schema
from xex.model.schema import Columns, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]

METHODS = ("robust", "median", "vwap")
CAP = 0.4
TAU_S = 5.0
OUTLIER_MADS = 3.5
OUTLIER_FLOOR = 0.001
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
    usual_bps: UsualBps = None,
) -> pd.DataFrame:
    """Aggregate quotes to one row per group and currency.

    `tickers` needs `exchange`, `bid` and `ask` (quote currency per base unit), `group` or `base` and `kind`,
    `currency` or `quote`; `last`, `quote_volume`, `age_ms`, `time_source`, `halted` count where present. Returns
    `price` (NaN with the flag `no_data` or `disagree`), `price_variance` (a standard deviation in the currency,
    NaN below two venues) and its square, `dispersion_bps`, `range_bps` and `mad_bps` over all valid venues that are
    surely the same asset, `arb_index` (their highest bid over their lowest ask), `n_asked`, `n_used`, `flags`.
    Methods: robust, median, vwap. `usual_bps` is the pair's usual dispersion, a number or by group: ten times that,
    between 50 bps and 3 %, takes the place of the 3 % beyond which a row is suspect.
    """
    columns = _input(tickers, "pricing.aggregate")
    found = evaluate(columns, method=method, max_age_s=max_age_s, max_disagree=max_disagree, usual_bps=usual_bps)
    return schema.frame(found.totals, "aggregate")


def contributions(
    tickers: pd.DataFrame,
    method: str = "robust",
    *,
    max_age_s: float = MAX_AGE_S,
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
) -> pd.DataFrame:
    """Return what each venue contributed to `aggregate`: `price`, `weight`, `age_ms`, `excluded_reason`."""
    columns = _input(tickers, "pricing.contributions")
    found = evaluate(columns, method=method, max_age_s=max_age_s, max_disagree=max_disagree, usual_bps=usual_bps)
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
    usual_bps: UsualBps = None,
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
    at = Scatter(groups, len(order))
    # Who raises `max_disagree` beyond 3 % suspects nobody nearer than that.
    limits = suspect_limits([group for group, _ in order], usual_bps, max(SUSPECT, max_disagree))
    same = identities(columns, verdict, prices, at, limits=limits, max_disagree=max_disagree, max_age_s=max_age_s)
    trusted = (verdict == "") & (same.reasons == "")
    ages = weight_ages_ms(columns, groups, trusted)
    grid = _Grid(
        price=at.out(np.where(trusted, prices, np.nan)),
        volume=at.out(numbers(columns, "quote_volume")),
        age_s=at.out(ages / 1e3, 0.0),
        bid=at.out(np.where(trusted, numbers(columns, "bid"), np.nan)),
        ask=at.out(np.where(trusted, numbers(columns, "ask"), np.nan)),
    )
    weights, far, totals = _robust(grid, method, same)
    verdict[at.back(far)] = Dropped.OUTLIER.value
    reason = np.where(same.reasons == "", verdict, same.reasons).tolist()
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


def _robust(grid: _Grid, method: str, same: Identity) -> tuple[Floats, np.ndarray[Any, Any], Columns]:
    """Return the weights, which rows are outliers, and the totals."""
    price = grid.price
    valid = np.isfinite(price)
    n = valid.sum(axis=1)
    centre = medians(np.sort(price, axis=1), n)[:, None]
    away = np.abs(price - centre)
    mad = medians(np.sort(away, axis=1), n)[:, None]
    with np.errstate(invalid="ignore"):
        limit = np.maximum(OUTLIER_MADS * MAD_TO_SIGMA * mad, OUTLIER_FLOOR * centre)
        far = valid & (away > limit) & (n > 2)[:, None]
    kept = valid & ~far
    weights = _weights(grid, kept, method)
    value = np.where(kept.any(axis=1), (weights * np.where(kept, price, 0.0)).sum(axis=1), np.nan)
    if method == "median":
        value = medians(np.sort(np.where(kept, price, np.nan), axis=1), kept.sum(axis=1))
    return weights, far, _totals(grid, kept, weights, value, centre[:, 0], mad[:, 0], n, same.disagree)


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
    flag = np.where(disagree, "disagree", np.where(n == 0, "no_data", np.where(n == 1, "single_source", "")))
    return {
        "price": value, "price_variance": deviation, "price_var_sq": square, "dispersion_bps": dispersion,
        "range_bps": range_bps, "mad_bps": mad_bps, "arb_index": arb_index,
        "n_used": used.astype(np.float64), "flags": flag.tolist(),
    }  # fmt: skip


__all__ = ["METHODS", "Evaluation", "aggregate", "contributions", "evaluate"]
