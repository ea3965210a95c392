"""What holding two perpetuals against each other earns: funding, each market's over its own interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.evaluation import Places
from xex.analytics.funnel import by_venue, taker_fees
from xex.analytics.quality import SUSPECT, Scatter, ages_ms, identities
from xex.errors import Dropped, SchemaError
from xex.model import schema
from xex.model.schema import Columns, coded, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]

HOURS_A_YEAR = 8760.0
LONGEST_HOURS = 24.0
MOST_RATE = 0.5
"""A rate beyond it, as a fraction per interval, is taken for a percentage."""


def per_hour(rate_long: Any, hours_long: Any, rate_short: Any, hours_short: Any) -> Any:
    """Return what being long one perpetual and short another earns in an hour, as a fraction of the notional.

    A rate above 0 is paid by the long to the short: what comes in is the short's, what goes out the long's, each over
    its own interval in hours.
    """
    return np.asarray(rate_short) / np.asarray(hours_short) - np.asarray(rate_long) / np.asarray(hours_long)


def carry(funding: pd.DataFrame, *, taker_bps: Any = None) -> pd.DataFrame:
    """Return what being long one venue's perpetual and short another's earns: a row per pair, the best first.

    `funding` needs `exchange`, `rate` (a fraction per its own interval, paid by longs where above 0), `interval_hours`
    and `group` or `base` and `kind`; `taker_bps` is an argument or a column. Predicted and settled rates (`rate_kind`)
    are not compared with each other. Each pair is held the way that earns: `per_hour_bps`, `per_day_bps` and `apr` (a
    fraction a year, not compounded). `fees_bps` are four taker fees, in and out of both legs, `spread_bps` both spreads
    where `bid` and `ask` are there; `break_even_hours` is how long these rates must last to pay for both. The same
    `venue` twice is no pair. Rows without a rate, or without an interval of at most a day (an interval is never
    assumed), and rows whose `mark` is not that of the others' asset take no part and stand in ``attrs["left_out"]``
    with their `reasons`: "rate", "interval" or "identity".
    """
    schema.check(funding, ("exchange", "rate", "interval_hours"), "arbitrage.carry")
    if "group" not in funding.columns:
        schema.check(funding, ("base", "kind"), "arbitrage.carry")
    columns = schema.columns_of(funding)
    rate, hours = numbers(columns, "rate"), numbers(columns, "interval_hours")
    if (np.abs(rate) > MOST_RATE).any():
        worst = rate[np.nanargmax(np.abs(rate))]
        raise SchemaError(f"a funding rate of {worst:g}: fractions are expected, 0.0001 for 0.01 %")
    stopped = {
        "rate": ~np.isfinite(rate), "interval": ~((hours > 0) & (hours <= LONGEST_HOURS)),
        "identity": _strangers(columns),
    }  # fmt: skip
    out = np.any(list(stopped.values()), axis=0)
    long, short = _pairs(columns, ~out)
    edge = per_hour(rate[long], hours[long], rate[short], hours[short])
    long, short = np.where(edge < 0, short, long), np.where(edge < 0, long, short)
    edge = np.abs(edge)
    fees = 1e4 * taker_fees(columns, taker_bps)
    paid, spread = 2 * (fees[long] + fees[short]), _spreads_bps(columns)[long] + _spreads_bps(columns)[short]
    with np.errstate(divide="ignore"):
        hours_even = (paid + np.nan_to_num(spread)) / (1e4 * edge)
    age = ages_ms(columns)
    found: Columns = {
        "group": _picked(columns, "group", long), "rate_kind": _picked(columns, "rate_kind", long),
        "exchange_long": _picked(columns, "exchange", long), "exchange_short": _picked(columns, "exchange", short),
        "rate_long": rate[long], "interval_hours_long": hours[long],
        "rate_short": rate[short], "interval_hours_short": hours[short],
        "per_hour_bps": 1e4 * edge, "per_day_bps": 24e4 * edge, "apr": HOURS_A_YEAR * edge,
        "fees_bps": paid, "spread_bps": spread, "break_even_hours": hours_even,
        "age_ms": np.maximum(age[long], age[short]),
    }  # fmt: skip
    frame = schema.frame(schema.take(found, np.argsort(-edge, kind="stable")), "carry")
    exchange, group = texts(columns, "exchange"), texts(columns, "group")
    frame.attrs["left_out"] = [
        {
            "exchange": exchange[row], "group": group[row],
            "reasons": ",".join(reason for reason, hit in stopped.items() if hit[row]),
        }
        for row in np.flatnonzero(out).tolist()
    ]  # fmt: skip
    return frame


def _strangers(columns: Columns) -> Any:
    """Return which rows may be of another asset by their mark; what has none is not judged.

    Marks may be as far apart as a suspect's quote: where funding differs most, they do too.
    """
    mark = numbers(columns, "mark")
    mark = np.where(np.isfinite(mark) & (mark > 0), mark, np.nan)
    if np.isnan(mark).all():
        return np.zeros(len(mark), dtype=bool)
    kind = coded(columns, "rate_kind")[1]
    _, place = np.unique(Places.of(columns).of_rows * (kind.max() + 1) + kind, return_inverse=True)
    at = Scatter(place, int(place.max()) + 1)
    verdict = np.where(np.isnan(mark), Dropped.NO_QUOTE.value, "").astype(object)
    found = identities(columns, verdict, mark, at, limits=np.full(at.count, SUSPECT), max_disagree=SUSPECT)
    return found.reasons != ""


def _pairs(columns: Columns, usable: Any) -> tuple[Any, Any]:
    """Return the rows of each pair of different venues with the same group and kind of rate, once."""
    _, group = coded(columns, "group")
    _, kind = coded(columns, "rate_kind") if "rate_kind" in columns else ([], np.zeros(len(group), dtype=np.intp))
    exchange, owner = coded(columns, "exchange")[1], coded(by_venue(columns), "exchange")[1]
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort((kind[rows], group[rows]))]
    key = group[rows] * (kind.max(initial=0) + 1) + kind[rows]
    ends = np.searchsorted(key, key, side="right")
    count = ends - np.arange(len(rows)) - 1
    one = np.repeat(np.arange(len(rows)), count)
    other = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
    different = (exchange[rows[one]] != exchange[rows[other]]) & (owner[rows[one]] != owner[rows[other]])
    return rows[one[different]], rows[other[different]]


def _spreads_bps(columns: Columns) -> Floats:
    """Return each row's spread in basis points of its mid, NaN without two prices that do not cross."""
    bid, ask = numbers(columns, "bid"), numbers(columns, "ask")
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = 2e4 * (ask - bid) / (ask + bid)
    return np.where((bid > 0) & (ask >= bid), spread, np.nan)


def _picked(columns: Columns, name: str, rows: Any) -> list[str]:
    picked: list[str] = np.array(texts(columns, name), dtype=object)[rows].tolist()
    return picked
