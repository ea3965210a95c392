"""From rows to one price per group and currency: who may take part, the estimate, and what is said beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xex.analytics import estimators
from xex.analytics.estimators import MAD_TO_SIGMA, Estimate, Grid, Parameters
from xex.analytics.quality import (
    MAX_AGE_S,
    MAX_DISAGREE,
    SUSPECT,
    Floats,
    Identity,
    Scatter,
    UsualBps,
    by_group,
    check_number,
    duplicates,
    identities,
    medians,
    mids,
    suspect_limits,
    verdicts,
    weight_ages_ms,
)
from xex.errors import ConfigError, Dropped
from xex.model.schema import Columns, coded, numbers

Texts = np.ndarray[Any, Any]

SIGMA_OF_RANGE = float(1 / np.sqrt(4 * np.log(2) * 86_400))
"""From ln(high / low) of a day to the volatility of a second: Parkinson's estimator."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the kernel finds: one entry per row of the input, one per group in `totals`."""

    price: Floats
    weight: Floats
    reason: list[str]
    age_ms: Floats
    totals: Columns


@dataclass(frozen=True, slots=True)
class Places:
    """The group and currency of every place, and the place of every row."""

    groups: Sequence[str]
    currencies: Sequence[str]
    of_rows: np.ndarray[Any, np.dtype[np.intp]]

    @classmethod
    def of(cls, columns: Columns) -> Places:
        """Give each pair of group and currency a place, in the order of the rows."""
        groups, group = coded(columns, "group")
        currencies, currency = coded(columns, "currency")
        pairs, first, place = np.unique(group * len(currencies) + currency, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty(len(order), dtype=np.intp)
        rank[order] = np.arange(len(order))
        pair = [divmod(key, len(currencies)) for key in pairs[order].tolist()]
        return cls([groups[one] for one, _ in pair], [currencies[other] for _, other in pair], rank[place])

    def __len__(self) -> int:
        return len(self.groups)


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows of which it is known who may take part, and those who may as a grid."""

    places: Places
    at: Scatter
    prices: Floats
    verdict: Texts
    same: Identity
    ages_ms: Floats
    trusted: np.ndarray[Any, np.dtype[np.bool_]]
    grid: Grid


def evaluate(
    columns: Columns,
    *,
    method: str = "robust",
    max_age_s: float = MAX_AGE_S,
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
    sigma: UsualBps = None,
    reasons: Texts | None = None,
    parameters: Parameters | None = None,
) -> Evaluation:
    """Aggregate columns; `reasons` are the rows' verdicts where the caller has them already."""
    known = estimators.checked(method, parameters or {})
    verdict = verdicts(columns, max_age_s=max_age_s) if reasons is None else reasons.copy()
    places, prices = Places.of(columns), mids(columns)
    verdict[duplicates(columns, places.of_rows)] = Dropped.DUPLICATE.value
    flags = _use_last(columns, verdict, prices, places)
    judged = judge(
        columns, places, verdict, prices, max_age_s=max_age_s, max_disagree=max_disagree, usual_bps=usual_bps
    )
    estimate = estimators.ESTIMATORS[method](judged.grid, **known)
    return concluded(columns, judged, estimate, flags, sigma)


def judge(
    columns: Columns,
    places: Places,
    verdict: Texts,
    prices: Floats,
    *,
    max_age_s: float = MAX_AGE_S,
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
) -> Judged:
    """Tell rows that may be another asset from the others; `verdict` is empty for the rows that have a price."""
    check_number("max_disagree", max_disagree, lambda value: 0 < value < 1, "a fraction between 0 and 1")
    at = Scatter(places.of_rows, len(places))
    # Who raises `max_disagree` beyond 3 % suspects nobody nearer than that.
    limits = suspect_limits(places.groups, usual_bps, max(SUSPECT, max_disagree))
    same = identities(columns, verdict, prices, at, limits=limits, max_disagree=max_disagree, max_age_s=max_age_s)
    trusted = (verdict == "") & (same.reasons == "")
    ages = weight_ages_ms(columns, places.of_rows, trusted)
    grid = Grid.of(
        at.out(np.where(trusted, prices, np.nan)), at.out(numbers(columns, "quote_volume")), at.out(ages / 1e3, 0.0)
    )
    return Judged(places, at, prices, verdict, same, ages, trusted, grid)


def concluded(
    columns: Columns, judged: Judged, estimate: Estimate, flags: Sequence[str], sigma: UsualBps = None
) -> Evaluation:
    """Return an estimate by row and, with what is said beside it, by group; `flags` are added to the groups' own."""
    verdict = judged.verdict.copy()
    verdict[judged.at.back(estimate.far)] = Dropped.OUTLIER.value
    reason = np.where(judged.same.reasons == "", verdict, judged.same.reasons).tolist()
    totals = _totals(columns, judged, estimate, sigma)
    totals["flags"] = _joined(totals["flags"], flags)
    return Evaluation(judged.prices, judged.at.back(estimate.weight), reason, judged.ages_ms, totals)


def _use_last(columns: Columns, verdict: Texts, prices: Floats, places: Places) -> list[str]:
    """Let last prices speak in groups where no venue has a quote at all; changes `verdict` and `prices`."""
    quoted, groups = np.zeros(len(places), dtype=bool), places.of_rows
    quoted[groups[verdict == ""]] = True
    usable = (verdict == Dropped.LAST_ONLY.value) & ~quoted[groups]
    prices[usable] = numbers(columns, "last")[usable]
    verdict[usable] = ""
    alone = np.zeros(len(places), dtype=bool)
    alone[groups[usable]] = True
    return ["last_only" if flag else "" for flag in alone]


def _totals(columns: Columns, judged: Judged, estimate: Estimate, sigma: UsualBps) -> Columns:
    grid, value, n = judged.grid, estimate.price, judged.grid.n
    used = estimate.kept.sum(axis=1)
    away = np.where(estimate.kept, estimate.entered - value[:, None], 0.0)
    square = np.where((used >= 2) & np.isfinite(value), (estimate.weight * away**2).sum(axis=1), np.nan)
    deviation = np.sqrt(square)
    bid, ask = (judged.at.out(np.where(judged.trusted, numbers(columns, name), np.nan)) for name in ("bid", "ask"))
    highest, lowest = _extremes(grid.price, grid.price)
    best_bid, best_ask = _extremes(bid, ask)
    with np.errstate(invalid="ignore", divide="ignore"):
        reference = np.where(np.isfinite(value), value, grid.centre)
        range_bps = np.where(n >= 2, 1e4 * (highest - lowest) / reference, np.nan)
        mad_bps = np.where(n >= 2, 1e4 * MAD_TO_SIGMA * grid.mad / grid.centre, np.nan)
        arb_index = np.where((n >= 1) & np.isfinite(best_ask), best_bid / best_ask, np.nan)
        dispersion = 1e4 * deviation / value
    flag = np.where(judged.same.disagree, "disagree", _counted(n))
    if estimate.unknown is not None:
        flag = np.where(estimate.unknown, "no_volume", flag)
    twice = judged.verdict == Dropped.DUPLICATE.value
    repeated = np.bincount(judged.places.of_rows, twice, len(judged.places)) > 0
    per_s = _sigmas(columns, judged, sigma)
    return {
        "group": list(judged.places.groups), "currency": list(judged.places.currencies),
        "price": value, "price_variance": deviation, "price_var_sq": square, "dispersion_bps": dispersion,
        "dispersion_z": _z(deviation, value, (ask - bid) / 2, grid.age_s, estimate.kept, per_s),
        "range_bps": range_bps, "mad_bps": mad_bps, "arb_index": arb_index,
        "n_asked": np.bincount(judged.places.of_rows, np.where(twice, 0.0, 1.0), len(judged.places)),
        "n_used": used.astype(np.float64),
        "flags": _joined(flag.tolist(), np.where(repeated, "duplicates", "").tolist()),
    }  # fmt: skip


def _joined(flags: Sequence[str], more: Sequence[str]) -> list[str]:
    return [",".join(filter(None, pair)) for pair in zip(flags, more, strict=True)]


def _counted(n: np.ndarray[Any, Any]) -> Texts:
    return np.where(n == 0, "no_data", np.where(n == 1, "single_source", ""))


def _extremes(high: Floats, low: Floats) -> tuple[Floats, Floats]:
    """Return the highest of one grid and the lowest of another by group, infinite where there is nothing."""
    return (
        np.where(np.isfinite(high), high, -np.inf).max(axis=1),
        np.where(np.isfinite(low), low, np.inf).min(axis=1),
    )


def _sigmas(columns: Columns, judged: Judged, sigma: UsualBps) -> Floats:
    """Return the volatility of a second by group: the caller's, else the median of the venues' by their day's range."""
    if sigma is not None:
        told = by_group(sigma, judged.places.groups, "sigma is a number, a dict or a Series of fractions by group")
        if (told < 0).any():
            raise ConfigError(f"sigma cannot be negative: {np.nanmin(told):g}")
        return told
    if "high" not in columns or "low" not in columns:
        return np.full(len(judged.places), np.nan)
    high, low = numbers(columns, "high"), numbers(columns, "low")
    with np.errstate(invalid="ignore", divide="ignore"):
        ranges = np.log(high / low)
        known = judged.trusted & (low > 0) & (high >= low) & np.isfinite(ranges)
    grid = judged.at.out(np.where(known, ranges, np.nan))
    n = np.isfinite(grid).sum(axis=1)
    middle = np.sort(grid, axis=1)
    return SIGMA_OF_RANGE * medians(middle, n)


def _z(
    deviation: Floats, price: Floats, half: Floats, age_s: Floats, kept: np.ndarray[Any, Any], sigma: Floats
) -> Floats:
    """Return the dispersion in units of what spreads and asynchrony alone would make."""
    quoted = kept & np.isfinite(half)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.where(quoted, half, 0.0) ** 2
        noise = spread.sum(axis=1) / quoted.sum(axis=1)
        # Over all pairs, by the sorted ages: the k-th of n is the older one k times, the younger one n − 1 − k times.
        ordered, n = np.sort(np.where(kept, age_s, np.inf), axis=1), kept.sum(axis=1)[:, None]
        rank = np.arange(kept.shape[1])
        pairs = np.where(rank < n, np.where(np.isfinite(ordered), ordered, 0.0) * (2 * rank - n + 1), 0.0).sum(axis=1)
        apart = pairs / (n[:, 0] * (n[:, 0] - 1) / 2)
        return np.asarray(deviation / np.sqrt(noise + (sigma * price) ** 2 * apart))


__all__ = ["Evaluation", "Judged", "Places", "concluded", "evaluate", "judge"]
