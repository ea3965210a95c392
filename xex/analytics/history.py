"""One price from several venues' bars at every time, and what dollars of several kinds make of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics import currency, estimators
from xex.analytics.evaluation import Evaluation, Places, concluded, judge
from xex.analytics.quality import MAX_DISAGREE, Floats, UsualBps, check_milliseconds, duplicates
from xex.errors import ConfigError, Dropped, SchemaError
from xex.model import schema
from xex.model.schema import Columns, length, numbers, take, texts

if TYPE_CHECKING:
    import pandas as pd

DOLLARS = ("USD", "USDT", "USDC")
_TOTALS = ("group", "currency", "price", "price_variance", "dispersion_bps", "range_bps", "n_asked", "n_used", "flags")


def series(
    ohlcv: pd.DataFrame,
    method: str = "robust",
    *,
    price: str = "close",
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
    **parameters: Any,
) -> pd.DataFrame:
    """Aggregate bars to one row per time, group and currency, by time.

    `ohlcv` needs `exchange`, `time` (when the bar opens: time-zone aware, or milliseconds since 1970 in UTC), the
    column that `price` names (quote currency per base unit), `group` or `base` and `kind`, `currency` or `quote`;
    `volume` (base units; `base_volume` is the same) and `quote_volume` count where present, the latter being else
    `volume` · price. A bar without volume repeats an older price and has no part, of
    equal bars of one market the last counts (`flags`: duplicates).

    Returns `price`, `price_variance`, `dispersion_bps`, `range_bps`, `n_asked`, `n_used`, `flags` as `aggregate` does;
    methods and parameters are those of quotes. Raises `ConfigError` and `SchemaError` as `aggregate`.

    >>> import pandas as pd
    >>> bars = pd.DataFrame({"exchange": ["a", "b"] * 2, "time": [0, 0, 60_000, 60_000], "base": "BTC", "quote": "USD",
    ...                      "close": [100.0, 100.2, 101.0, 101.0], "volume": [1.0, 1.0, 1.0, 0.0]})
    >>> series(bars)[["price", "n_used"]].values.tolist()
    [[100.1, 2.0], [101.0, 1.0]]
    """
    columns, times = _bars(ohlcv, price, "pricing.series")
    found, at = _over_time(columns, times, price, method, max_disagree, usual_bps, parameters)
    return schema.frame({"time": at} | {name: found.totals[name] for name in _TOTALS}, "series")


def depeg(
    ohlcv: pd.DataFrame,
    *,
    base: str = "BTC",
    target: str = "USD",
    quotes: Iterable[str] = DOLLARS,
    method: str = "robust",
    price: str = "close",
    max_disagree: float = MAX_DISAGREE,
    **parameters: Any,
) -> pd.DataFrame:
    """Return the price of `base` in `target` by its bars in all `quotes`, each brought over at its rate of the time.

    `ohlcv` as in `series`, with `base` and `quote`; `kind` is "spot" where it is absent. Rates are measured from the
    bars of everything but `base`: books of one currency in another, and prices of other assets in both
    (`xex.analytics.currency`), so that a premium of `base` stays visible. A bar without a rate has no part.

    One row per time: the columns of `series`, and beside `price` `at_par`, the same price with every currency of
    `quotes` taken for one `target`, and `gap_bps`, 1e4 · (at_par / price − 1). `price` is NaN where there is no price,
    as in `aggregate`.
    """
    columns, times = _bars(ohlcv, price, "pricing.depeg")
    schema.check(ohlcv, ("base", "quote"), "pricing.depeg")
    wanted = list(dict.fromkeys(quotes))
    bases, quoted = np.array(texts(columns, "base"), dtype=object), np.array(texts(columns, "quote"), dtype=object)
    spot = np.array([kind == "spot" for kind in texts(columns, "kind", "spot")], dtype=bool)
    rows = np.flatnonzero((bases == base) & np.isin(quoted, wanted) & spot)
    if not len(rows):
        raise ConfigError(f"there are no spot bars of {base} in {', '.join(wanted)}")
    legs, leg_times = take(columns, rows), times[rows]
    rates = _rates(columns, times, base, target, wanted, price)
    keys = zip(texts(legs, "quote"), leg_times.tolist(), strict=True)
    fx = np.array([rates[quote].get(time, np.nan) for quote, time in keys])
    common = legs | {"group": [f"{base}:spot"] * len(rows), "currency": [target] * len(rows)}
    ours, par = (
        _over_time(_scaled(common, factor, price), leg_times, price, method, max_disagree, None, parameters)
        for factor in (fx, np.ones(len(rows)))
    )
    at_par = np.asarray(par[0].totals["price"], dtype=np.float64)
    return schema.frame(
        {"time": ours[1], **{name: ours[0].totals[name] for name in _TOTALS},
         "at_par": at_par, "gap_bps": 1e4 * (at_par / ours[0].totals["price"] - 1)},
        "depeg",
    )  # fmt: skip


def _bars(ohlcv: pd.DataFrame, price: str, what: str) -> tuple[Columns, Floats]:
    schema.check(ohlcv, ("exchange", "time", price), what)
    if "group" not in ohlcv.columns:
        schema.check(ohlcv, ("base",), what)
    columns = schema.columns_of(ohlcv)
    for name in ("time", price):
        if not isinstance(columns[name], np.ndarray):
            raise SchemaError(f"{what}: the column {name} holds {ohlcv[name].dtype}, {_EXPECTED.get(name, 'numbers')}")
    if "volume" not in columns and "base_volume" in columns:
        columns["volume"] = columns["base_volume"]
    times = check_milliseconds(numbers(columns, "time"), what)
    known = np.isfinite(times)
    return take(columns, known), times[known]


_EXPECTED = {"time": "times with their zone or milliseconds since 1970 in UTC are expected"}


def _rates(
    columns: Columns, times: Floats, base: str, target: str, quotes: Iterable[str], price: str
) -> dict[str, dict[float, float]]:
    """Return what one unit of each quote is worth, by time."""
    legs: Columns = {
        name: columns[name] for name in ("exchange", "base", "quote", "kind", "instrument") if name in columns
    }
    legs |= {"time": times, "close": numbers(columns, price)}
    if "volume" in columns:
        legs["base_volume"] = numbers(columns, "volume")
    at = np.unique(times)
    told: dict[str, dict[float, float]] = {}
    for quote in quotes:
        if quote == target:
            told[quote] = dict.fromkeys(at.tolist(), 1.0)
        else:
            found = currency.series(legs, quote, target, asset=base)
            told[quote] = dict(zip(found["time"].tolist(), found["rate"].tolist(), strict=True))
    return told


def _scaled(legs: Columns, factor: Floats, price: str) -> Columns:
    scaled = legs | {price: numbers(legs, price) * factor, "rated": np.isfinite(factor)}
    if "quote_volume" in legs:
        scaled["quote_volume"] = numbers(legs, "quote_volume") * factor
    return scaled


def _over_time(
    columns: Columns,
    times: Floats,
    price: str,
    method: str,
    max_disagree: float,
    usual_bps: UsualBps,
    parameters: dict[str, Any],
) -> tuple[Evaluation, Floats]:
    """Evaluate bars with every time a place of its own; return it with the places' times."""
    known = estimators.checked(method, parameters)
    prices = numbers(columns, price).copy()
    volume = numbers(columns, "volume")
    verdict = np.full(length(columns), "", dtype=object)
    verdict[volume <= 0] = Dropped.STALE.value
    verdict[~(np.isfinite(prices) & (prices > 0))] = Dropped.NO_QUOTE.value
    if "rated" in columns:
        verdict[~columns["rated"]] = Dropped.NO_RATE.value
    turnover = numbers(columns, "quote_volume") if "quote_volume" in columns else volume * prices
    # Of the bars nothing but these is a quote's: their highs and lows are not those of a day.
    rows: Columns = {"quote_volume": turnover}
    places, at = _places(columns, times)
    # The last of equal bars is the one that was downloaded last.
    markets: Columns = {name: columns[name] for name in ("exchange", "quote", "instrument") if name in columns}
    verdict[duplicates(markets, places.of_rows)] = Dropped.DUPLICATE.value
    judged = judge(rows, places, verdict, prices, max_disagree=max_disagree, usual_bps=usual_bps)
    estimate = estimators.ESTIMATORS[method](judged.grid, **known)
    return concluded(rows, judged, estimate, [""] * len(places)), at


def _places(columns: Columns, times: Floats) -> tuple[Places, Floats]:
    """Give each time of each group and currency a place, in the order of times."""
    fixed = Places.of(columns)
    at, when = np.unique(times, return_inverse=True)
    keys, of_rows = np.unique(when * max(len(fixed), 1) + fixed.of_rows, return_inverse=True)
    time, pair = np.divmod(keys, max(len(fixed), 1))
    return (
        Places(
            [fixed.groups[place] for place in pair.tolist()], [fixed.currencies[place] for place in pair.tolist()],
            of_rows.astype(np.intp),
        ),
        at[time],
    )  # fmt: skip


__all__ = ["DOLLARS", "depeg", "series"]
