"""Which rows may enter the maths, and why the others may not."""

from __future__ import annotations

from typing import Any

import numpy as np

from xex.errors import ConfigError, Dropped
from xex.model.schema import Columns, flags, length, numbers, texts

Floats = np.ndarray[Any, np.dtype[np.float64]]

MAX_AGE_S = 10.0
HARD_MAX_AGE_S = 30.0
MAX_SPREAD = 0.05

NOT_COUNTED = frozenset({Dropped.STALE, Dropped.HALTED, Dropped.SUSPECT, Dropped.UNIT_ERROR, Dropped.DISAGREE})
"""Reasons for which a row's volume is not counted either: it is old, or it may not be this asset."""


def check_max_age(max_age_s: float) -> float:
    """Return `max_age_s`; beyond the hard limit it raises, since older quotes never enter the maths."""
    if not 0 < max_age_s <= HARD_MAX_AGE_S:
        raise ConfigError(f"max_age_s is {max_age_s:g}; it must be above 0 and at most {HARD_MAX_AGE_S:g}")
    return max_age_s


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
    if "fx_rate" in columns and "quote" in columns:
        converted = np.array(
            [quote != own for quote, own in zip(texts(columns, "quote"), texts(columns, "currency"), strict=True)],
            dtype=bool,
        )
        reasons[converted & np.isnan(numbers(columns, "fx_rate"))] = Dropped.NO_RATE.value
    reasons[ages_ms(columns) > 1e3 * max_age_s] = Dropped.STALE.value
    reasons[quoted & wide] = Dropped.WIDE.value
    reasons[quoted & crossed] = Dropped.CROSSED.value
    reasons[~quoted & np.isfinite(last) & (reasons == "")] = Dropped.LAST_ONLY.value
    reasons[~quoted & ~np.isfinite(last)] = Dropped.NO_QUOTE.value
    reasons[flags(columns, "halted")] = Dropped.HALTED.value
    return reasons


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
    weighed = ages.copy()
    reference = timed & kept
    for group in np.unique(groups[~timed]):
        known = ages[reference & (groups == group)]
        if len(known):
            weighed[~timed & (groups == group)] = np.median(known)
    return weighed


def _positive(values: Floats) -> Floats:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)
