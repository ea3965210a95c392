"""How far venues are apart, two by two, and how far their own reference prices are from ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.evaluation import Places, evaluate
from xex.analytics.quality import MAX_AGE_S, MAX_DISAGREE, Scatter, UsualBps
from xex.model import schema
from xex.model.schema import numbers, texts

if TYPE_CHECKING:
    import pandas as pd


def pairwise(
    tickers: pd.DataFrame,
    *,
    max_age_s: float = MAX_AGE_S,
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
) -> pd.DataFrame:
    """Return the matrix of venues as rows: `group`, `currency`, `exchange`, `other`, `gap_bps`.

    `gap_bps` is 1e4 · (mid of `exchange` / mid of `other` − 1), both ways round for every two rows of a group and
    currency that `contributions` by "robust" has no `excluded_reason` for; none for a group with fewer than two.
    Input and errors as in `aggregate`.
    """
    columns = schema.quotes_of(tickers, "pricing.pairwise")
    found = evaluate(columns, max_age_s=max_age_s, max_disagree=max_disagree, usual_bps=usual_bps)
    kept = np.array([not reason for reason in found.reason], dtype=bool)
    places = Places.of(columns)
    at = Scatter(places.of_rows, len(places))
    price = at.out(np.where(kept, found.price, np.nan))
    rows = at.out(np.arange(len(kept), dtype=np.float64))
    two = np.isfinite(price)[:, :, None] & np.isfinite(price)[:, None, :]
    place, first, second = np.nonzero(two & ~np.eye(at.width, dtype=bool))
    exchanges = texts(columns, "exchange")
    return schema.frame(
        {
            "group": _names(places.groups, place),
            "currency": _names(places.currencies, place),
            "exchange": _names(exchanges, rows[place, first]), "other": _names(exchanges, rows[place, second]),
            "gap_bps": 1e4 * (price[place, first] / price[place, second] - 1),
        },
        "pairwise",
    )  # fmt: skip


def gaps(
    tickers: pd.DataFrame,
    method: str = "robust",
    *,
    max_age_s: float = MAX_AGE_S,
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
    **parameters: Any,
) -> pd.DataFrame:
    """Return how far each row's `mark` and `index` are from our price of its group and currency.

    One row per row: `exchange`, `group`, `currency`, `price` (ours), `mark_gap_bps` and `index_gap_bps`,
    1e4 · (mark / price − 1), NaN where the row has no such number or the group no price, and `excluded_reason`, which
    says that the row itself has no part in the price. Input, parameters and errors as in `aggregate` for quotes.
    """
    columns = schema.quotes_of(tickers, "pricing.gaps")
    found = evaluate(
        columns,
        method=method,
        max_age_s=max_age_s,
        max_disagree=max_disagree,
        usual_bps=usual_bps,
        parameters=parameters,
    )
    price = np.asarray(found.totals["price"], dtype=np.float64)[Places.of(columns).of_rows]
    told = {name: numbers(columns, name) for name in ("mark", "index")}
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = {
            f"{name}_gap_bps": np.where(values > 0, 1e4 * (values / price - 1), np.nan) for name, values in told.items()
        }
    return schema.frame(
        {
            "exchange": texts(columns, "exchange"), "group": texts(columns, "group"),
            "currency": texts(columns, "currency"), "price": price, **apart, "excluded_reason": found.reason,
        },
        "gaps",
    )  # fmt: skip


def _names(names: Sequence[str], rows: np.ndarray[Any, Any]) -> list[str]:
    return [names[int(row)] for row in rows]
