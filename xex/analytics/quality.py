"""Which rows may enter the maths, and why the others may not.

A ticker is not an asset: another coin under the same code, or the same coin counted by the thousand, is told by its
price alone, at first sight. `identities` compares each row with the median of its group and says whom not to trust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from xex.errors import ConfigError, Dropped, SchemaError
from xex.model.instruments import USD_LIKE
from xex.model.schema import Columns, coded, flags, length, numbers, texts

Floats = np.ndarray[Any, np.dtype[np.float64]]
UsualBps = Any
"""How far a pair's venues usually are apart, in basis points: a number, a dict or Series by group, or None."""

MAX_AGE_S = 10.0
HARD_MAX_AGE_S = 30.0
MAX_SPREAD = 0.05
MAX_DISAGREE = 0.01
SUSPECT = 0.03
"""A row further than this from the median of its group is perhaps another asset."""
SUSPECT_LEAST = 0.005
"""A pair's usual dispersion makes no row suspect that is nearer than this."""
USUAL_TIMES = 10.0
UNIT_TOLERANCE = 0.03

ABOUT_A_DOLLAR = frozenset({*USD_LIKE, "EUR"})
COARSE = 0.25
"""How far prices in two of these currencies may be apart where no rate is known, and be taken for one asset's."""

IDENTITY = frozenset({Dropped.SUSPECT, Dropped.UNIT_ERROR, Dropped.DISAGREE})
"""Reasons that say: this may not be the same asset."""

NOT_COUNTED = IDENTITY | {Dropped.STALE, Dropped.HALTED, Dropped.NO_QUOTE, Dropped.DUPLICATE}
"""Reasons for which a row's volume is not counted either: it is old, counted already, or may not be this asset."""


def check_max_age(max_age_s: float) -> float:
    """Return `max_age_s`; beyond the hard limit it raises, since older quotes never enter the maths."""
    meaning = f"seconds, above 0 and at most {HARD_MAX_AGE_S:g}"
    return check_number("max_age_s", max_age_s, lambda value: 0 < value <= HARD_MAX_AGE_S, meaning)


def check_number(name: str, value: object, good: Callable[[float], bool], meaning: str) -> float:
    """Return a parameter as a number; raise a `ConfigError` for another value."""
    plain = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not plain or not isfinite(float(value)) or not good(float(value)):  # type: ignore[arg-type]
        raise ConfigError(f"{name} is {meaning}, not {value!r}")
    return float(value)  # type: ignore[arg-type]


def check_milliseconds(times: Floats, what: str) -> Floats:
    """Return times; raise `SchemaError` where they are seconds since 1970, as milliseconds all of that January."""
    known = times[np.isfinite(times)]
    if len(known) and 9e8 < float(known.max()) < 1e11:
        raise SchemaError(
            f"{what}: the times up to {known.max():.0f} are seconds; milliseconds since 1970 are expected"
        )
    return times


def mids(columns: Columns) -> Floats:
    """Return (bid + ask) / 2 where both are there, NaN elsewhere."""
    return (numbers(columns, "bid") + numbers(columns, "ask")) / 2


def ages_ms(columns: Columns) -> Floats:
    """Return the rows' ages; an absent age counts as fresh."""
    ages = numbers(columns, "age_ms")
    return np.where(np.isnan(ages), 0.0, np.maximum(ages, 0.0))


def verdicts(columns: Columns, *, max_age_s: float = MAX_AGE_S) -> np.ndarray[Any, Any]:
    """Return each row's reason to be left out as text, empty for the kept ones; the first that applies wins.

    Rows need `bid` and `ask`; `last`, `age_ms` and `halted` count where they are there, and an `fx_rate` of NaN
    where `currency` is not `quote` means that no rate was found.
    """
    check_max_age(max_age_s)
    bid, ask = _positive(numbers(columns, "bid")), _positive(numbers(columns, "ask"))
    last = _positive(numbers(columns, "last"))
    quoted = np.isfinite(bid) & np.isfinite(ask)
    with np.errstate(invalid="ignore", divide="ignore"):
        wide = (ask - bid) / ((ask + bid) / 2) > MAX_SPREAD
        crossed = bid >= ask
    reasons = np.full(length(columns), "", dtype=object)
    # From the last gate to the first, so that the first one that applies is what remains.
    reasons[_without_rate(columns)] = Dropped.NO_RATE.value
    reasons[ages_ms(columns) > 1e3 * max_age_s] = Dropped.STALE.value
    reasons[quoted & wide] = Dropped.WIDE.value
    reasons[quoted & crossed] = Dropped.CROSSED.value
    reasons[~quoted & np.isfinite(last) & (reasons == "")] = Dropped.LAST_ONLY.value
    reasons[~quoted & ~np.isfinite(last)] = Dropped.NO_QUOTE.value
    reasons[flags(columns, "halted")] = Dropped.HALTED.value
    return reasons


def duplicates(columns: Columns, places: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which rows say again what another says: the same instrument of one exchange twice at one of `places`.

    The youngest of them is none, the last where ages are equal. Rows of one exchange in different quotes, or of
    different instruments, are different markets.
    """
    keys = _keys(coded(columns, "exchange")[1], places)
    found = np.zeros(len(keys), dtype=bool)
    again = np.flatnonzero(np.bincount(keys)[keys] > 1) if len(keys) else keys
    if not len(again):
        return found
    for name in ("quote", "instrument"):
        keys = _keys(keys, coded(columns, name)[1])
    # By key, the youngest first, and of equal ages the last row.
    order = again[np.lexsort((-again, ages_ms(columns)[again], keys[again]))]
    found[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return found


def _keys(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return a small number for every pair of two rows of small numbers."""
    pairs = first * (int(second.max(initial=0)) + 1) + second
    return np.unique(pairs, return_inverse=True)[1]


def _without_rate(columns: Columns) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which rows are still in a currency of their own, for want of a rate."""
    if "fx_rate" not in columns or "quote" not in columns:
        return np.zeros(length(columns), dtype=bool)
    pairs = zip(texts(columns, "quote"), texts(columns, "currency"), strict=True)
    converted = np.array([quote != own for quote, own in pairs], dtype=bool)
    return np.asarray(converted & np.isnan(numbers(columns, "fx_rate")))


def weight_ages_ms(columns: Columns, groups: np.ndarray[Any, Any], kept: np.ndarray[Any, Any]) -> Floats:
    """Return the age that weighs each row.

    Only a quote time says how old a quote is; the other rows take the median age of the kept quote-timed rows
    of their group, so that a venue without times is neither favoured nor punished for it.
    """
    ages = ages_ms(columns)
    if "time_source" not in columns:
        return ages
    timed = np.array([source == "quote" for source in texts(columns, "time_source")], dtype=bool)
    if timed.all():
        return ages
    at = Scatter(groups, int(groups.max(initial=-1)) + 1)
    known = at.out(np.where(timed & kept, ages, np.nan))
    middle = medians(np.sort(known, axis=1), np.isfinite(known).sum(axis=1))[groups]
    return np.where(timed | np.isnan(middle), ages, middle)


class Scatter:
    """Moves rows to a grid of groups × venues and back; `groups` are the rows' groups, from 0 to `count` - 1."""

    def __init__(self, groups: np.ndarray[Any, Any], count: int) -> None:
        rows = len(groups)
        order = np.argsort(groups, kind="stable")
        starts = np.searchsorted(groups[order], np.arange(count))
        place = np.empty(rows, dtype=np.intp)
        place[order] = np.arange(rows) - starts[groups[order]] if rows else 0
        self.groups, self.place, self.count = groups, place, count
        self.width = int(place.max()) + 1 if rows else 1

    def out(self, values: Floats, absent: float = np.nan) -> Floats:
        """Return the grid; cells without a row are `absent`."""
        grid = np.full((self.count, self.width), absent)
        grid[self.groups, self.place] = values
        return grid

    def back(self, grid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the grid's cells by row."""
        return np.asarray(grid[self.groups, self.place])


def medians(ordered: Floats, n: np.ndarray[Any, Any]) -> Floats:
    """Return the median of each row; `ordered` is sorted with NaN last, `n` counts what is not NaN."""
    rows = np.arange(len(ordered))
    low, high = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, ordered.shape[1] - 1)
    return np.asarray((ordered[rows, low] + ordered[rows, high]) / 2)


def by_group(given: UsualBps, groups: Sequence[str], what: str) -> Floats:
    """Return a number, or what a dict or a Series says of each group, as an array; NaN for groups it lacks."""
    if isinstance(given, (int, float)):
        return np.full(len(groups), float(given))
    if hasattr(given, "items") and not isinstance(given, str):
        told: Mapping[Any, Any] = given if isinstance(given, Mapping) else dict(given.items())
        return np.array([told.get(group, np.nan) for group in groups], dtype=np.float64)
    raise ConfigError(f"{what}, not {given!r}")


def suspect_limits(groups: Sequence[str], usual_bps: UsualBps = None, widest: float = SUSPECT) -> Floats:
    """Return for each group how far a row may be from the median, as a fraction.

    That is `widest`, and less where the group's usual dispersion is known: ten times that, at least 50 bps.
    """
    limits = np.full(len(groups), widest)
    if usual_bps is None:
        return limits
    usual = by_group(usual_bps, groups, "usual_bps is a number, a dict or a Series of basis points by group")
    if (usual < 0).any():
        raise ConfigError(f"usual_bps cannot be negative: {np.nanmin(usual):g}")
    return np.asarray(np.fmin(limits, np.maximum(USUAL_TIMES * usual / 1e4, SUSPECT_LEAST)))


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom not to trust: a reason per row, empty for the trusted, and the groups in which nobody is."""

    reasons: np.ndarray[Any, Any]
    disagree: np.ndarray[Any, np.dtype[np.bool_]]


def identities(
    columns: Columns,
    verdict: np.ndarray[Any, Any],
    prices: Floats,
    at: Scatter,
    *,
    limits: Floats,
    max_disagree: float = MAX_DISAGREE,
    max_age_s: float = MAX_AGE_S,
) -> Identity:
    """Tell by price which rows may be another asset than the others of their group, or in other units.

    Rows with an empty `verdict` have a vote; `prices` are theirs, `limits` those of the groups. Where no strict
    majority of the voters lies within `max_disagree` (or the group's limit, where that is less), nobody is trusted:
    `disagree`, and `unit_error` for those a power of ten apart from somebody. Else a row is `unit_error` at a power
    of ten from the median, within 3 %, and `suspect` beyond the limit. Fresh rows without a vote (crossed, wide or
    with nothing but a last price) are compared as well, by the price of their quote that is nearest to the median,
    since they count in other figures.
    """
    votes = verdict == ""
    voters = at.out(np.where(votes, prices, np.nan))
    valid = np.isfinite(voters)
    n = valid.sum(axis=1)
    ordered = np.sort(voters, axis=1)
    centre = medians(ordered, n)
    agree = 1 + np.minimum(max_disagree, limits)
    with np.errstate(invalid="ignore"):
        within = ordered[:, None, :] <= ordered[:, :, None] * agree[:, None, None]
        together = (within & (ordered[:, None, :] >= ordered[:, :, None])).sum(axis=2).max(axis=1)
    disagree = (n >= 2) & (2 * together <= n)
    reasons = np.full(len(prices), "", dtype=object)
    if disagree.any():
        grid = np.full(voters.shape, "", dtype=object)
        grid[valid & disagree[:, None]] = Dropped.DISAGREE.value
        split = voters[disagree]
        apart = _tenfold(split[:, :, None], split[:, None, :]).any(axis=2)
        grid[disagree] = np.where(apart, Dropped.UNIT_ERROR.value, grid[disagree])
        reasons = at.back(grid)
    middle = centre[at.groups]
    judged = prices if votes.all() else _nearest(columns, verdict, prices, middle, max_age_s)
    with np.errstate(invalid="ignore"):
        away = np.where(disagree[at.groups], 0.0, np.abs(judged / middle - 1))
        reasons[away > limits[at.groups]] = Dropped.SUSPECT.value
        odd = np.flatnonzero(away > 0.5)
    if len(odd):
        reasons[odd[_tenfold(judged[odd], middle[odd])]] = Dropped.UNIT_ERROR.value
    return Identity(reasons, disagree)


def _tenfold(price: Floats, other: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return where one price is ten, a hundred, … times the other, or a tenth, …, within 3 %."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = price / other
        power = np.round(np.log10(ratio))
        return np.asarray((power != 0) & (np.abs(ratio / 10.0**power - 1) <= UNIT_TOLERANCE))


def _nearest(
    columns: Columns, verdict: np.ndarray[Any, Any], prices: Floats, centre: Floats, max_age_s: float
) -> Floats:
    """Return the price by which each row is judged, NaN for rows that are out of every figure anyway."""
    bid, ask = _positive(numbers(columns, "bid")), _positive(numbers(columns, "ask"))
    quoted = np.clip(centre, np.fmin(bid, ask), np.fmax(bid, ask))
    usable = (ages_ms(columns) <= 1e3 * max_age_s) & ~_without_rate(columns)
    judged = np.where(verdict == "", prices, np.nan)
    for reason in (Dropped.WIDE, Dropped.CROSSED):
        judged = np.where((verdict == reason.value) & usable, quoted, judged)
    last = _positive(numbers(columns, "last"))
    return np.where((verdict == Dropped.LAST_ONLY.value) & usable, last, judged)


def alike(columns: Columns, reference: Floats, within: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Say which rows' price, that of their quote which is nearest, is so near to a reference; without one none is."""
    bid, ask = _positive(numbers(columns, "bid")), _positive(numbers(columns, "ask"))
    price = np.clip(reference, np.fmin(bid, ask), np.fmax(bid, ask))
    price = np.where(np.isnan(bid) & np.isnan(ask), _positive(numbers(columns, "last")), price)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(price / reference - 1) <= within)


def unidentified(columns: Columns, reasons: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return why a row's volume may be another asset's, empty where it may not; `reasons` are those for the price.

    What was traded today counts however old, halted or undated the quote is, so rows that had no part in the price are
    compared here: with the trusted of their own currency, and those of all currencies that are worth about a dollar
    with one another. A row without any price is believed: nothing speaks against it.
    """
    group, worth = coded(columns, "group")[1], coded(columns, "currency")
    trusted = np.where(reasons == "", mids(columns), np.nan)
    own = _typical(np.unique(group * (len(worth[0]) + 1) + worth[1], return_inverse=True)[1], trusted)
    dollars = np.array([word in ABOUT_A_DOLLAR for word in worth[0]], dtype=bool)[worth[1]]
    rough = np.where(dollars, _typical(group, np.where(dollars, trusted, np.nan)), np.nan)
    told = np.full(len(reasons), "", dtype=object)
    unlike = np.isfinite(own) & (reasons != "") & ~alike(columns, own, SUSPECT)
    unlike |= np.isfinite(rough) & ~alike(columns, rough, COARSE)
    told[unlike & (reasons != Dropped.NO_QUOTE.value)] = Dropped.SUSPECT.value
    known = np.isin(reasons, [reason.value for reason in IDENTITY])
    return np.where(known, reasons, np.where(reasons == Dropped.DUPLICATE.value, "", told))


def _typical(place: np.ndarray[Any, Any], values: Floats) -> Floats:
    """Return the median of each row's place, NaN where it has none."""
    at = Scatter(place, int(place.max(initial=-1)) + 1)
    grid = at.out(values)
    return np.asarray(medians(np.sort(grid, axis=1), np.isfinite(grid).sum(axis=1))[place])


def _positive(values: Floats) -> Floats:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)
