"""Liquidity from bars, for markets and times without order books. Under their own names, never mixed with book scores.

Each takes a window of bars and answers with one row per group, exchange and currency. Two bars are a pair only when
they follow one another; a missing bar is never bridged.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.quality import check_milliseconds
from xex.errors import ConfigError, SchemaError
from xex.model import schema
from xex.model.schema import Columns

if TYPE_CHECKING:
    import pandas as pd

    Interval = pd.Timedelta | str | None

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.intp]]

FEWEST = 12
"""With fewer observations than this, half a month of daily bars, a value carries the flag `short`."""
_GROUPED = 3 - 2 * math.sqrt(2)


def amihud(ohlcv: pd.DataFrame, *, interval: Interval = None) -> pd.DataFrame:
    """Return Amihud's illiquidity per group, exchange and currency: the mean of |return| over quote volume.

    `ohlcv` needs `exchange`, `time`, `open`, `high`, `low`, `close` and `volume` (base units), `group` or `base` and
    `kind`; without `quote_volume` it is volume · close, flagged `volume_at_close`. With r_t = close_t / close_(t−1) − 1
    over bars that follow one another, `amihud` = mean(|r_t| / quote volume_t): a fraction per unit of the currency.
    Bars without volume, for which the ratio is not defined, are left out of the mean, flagged `no_volume`.

    `start` and `end` are the first and last bar's times, `n_bars` how many bars there are, `n_used` the pairs in the
    mean. `interval` is a bar's length ("1h"); by default it is each series' shortest step. Other flags: `short` below
    12 pairs, `gaps` where bars are missing, `bad_bars` for such without positive prices with low <= open and close <=
    high, `duplicates` for a time given twice, of which the last row counts. NaN without a pair.

    Source: Yakov Amihud, "Illiquidity and stock returns", Journal of Financial Markets 5 (2002) 31-56.
    """
    bars = _Bars(ohlcv, interval, "liquidity.amihud")
    volume, flags = bars.quote_volume()
    before, after = bars.pairs()
    traded = np.isfinite(volume[after]) & (volume[after] > 0)
    flags["no_volume"] = bars.any_of(after[~traded])
    before, after = before[traded], after[traded]
    ratio = np.abs(bars.close[after] / bars.close[before] - 1) / volume[after]
    mean, used = bars.mean(ratio, after)
    return bars.answer("amihud", "amihud", mean, used, flags)


def abdi_ranaldo(ohlcv: pd.DataFrame, *, interval: Interval = None) -> pd.DataFrame:
    """Return Abdi and Ranaldo's estimate of the spread per group, exchange and currency, in basis points.

    With c = ln close and η = (ln high + ln low) / 2 over bars that follow one another, `abdi_ranaldo_bps` =
    10⁴ · 2 · √max(mean((c_t − η_t) · (c_t − η_(t+1))), 0): the mean over the window is taken first. A negative mean
    becomes 0, flagged `negative`. Volume is not needed; columns, `interval` and the other flags as in `amihud`.

    Source: Farshid Abdi, Angelo Ranaldo, "A Simple Estimation of Bid-Ask Spreads from Daily Close, High, and Low
    Prices", Review of Financial Studies 30 (2017) 4437-4480.
    """
    bars = _Bars(ohlcv, interval, "liquidity.abdi_ranaldo")
    before, after = bars.pairs()
    close, middle = np.log(bars.close), (np.log(bars.high) + np.log(bars.low)) / 2
    product = (close[before] - middle[before]) * (close[before] - middle[after])
    mean, used = bars.mean(product, after)
    value = 1e4 * 2 * np.sqrt(np.maximum(mean, 0.0))
    return bars.answer("abdi_ranaldo", "abdi_ranaldo_bps", value, used, {"negative": mean < 0})


def corwin_schultz(ohlcv: pd.DataFrame, *, interval: Interval = None) -> pd.DataFrame:
    """Return Corwin and Schultz's estimate of the spread per group, exchange and currency, in basis points.

    For each two bars that follow one another, β = the sum of both ln²(high / low), γ = ln² of the higher high over the
    lower low, α = (√(2β) − √β) / (3 − 2√2) − √(γ / (3 − 2√2)) and S = 2 · (e^α − 1) / (1 + e^α);
    `corwin_schultz_bps` = 10⁴ · mean(S). A pair's negative S counts as 0, as the authors do, flagged `negative`; their
    adjustment for the night is left out, since these markets do not close. Volume is not needed; columns, `interval`
    and the other flags as in `amihud`.

    Source: Shane A. Corwin, Paul Schultz, "A Simple Way to Estimate Bid-Ask Spreads from Daily High and Low Prices",
    Journal of Finance 67 (2012) 719-760.
    """
    bars = _Bars(ohlcv, interval, "liquidity.corwin_schultz")
    before, after = bars.pairs()
    single = np.log(bars.high / bars.low) ** 2
    beta = single[before] + single[after]
    span = np.maximum(bars.high[before], bars.high[after]) / np.minimum(bars.low[before], bars.low[after])
    alpha = (math.sqrt(2) - 1) * np.sqrt(beta) / _GROUPED - np.log(span) / math.sqrt(_GROUPED)
    spread = 2 * np.tanh(alpha / 2)  # (e^α − 1) / (1 + e^α) is tanh(α / 2)
    mean, used = bars.mean(np.maximum(spread, 0.0), after)
    return bars.answer(
        "corwin_schultz", "corwin_schultz_bps", 1e4 * mean, used, {"negative": bars.any_of(after[spread < 0])}
    )


class _Bars:
    """The bars of a frame by series (group, exchange, currency) and time, each time once."""

    def __init__(self, ohlcv: pd.DataFrame, interval: Interval, what: str) -> None:
        needed = ("close",) if what.endswith("amihud") else ("high", "low", "close")
        schema.check(ohlcv, ("exchange", "time", *needed), what)
        columns = _columns(ohlcv, what)
        series, self.labels = _series(ohlcv)
        time = check_milliseconds(schema.numbers(columns, "time"), what)
        order = np.lexsort((time, series))
        order = order[np.isfinite(time[order])]
        series, time = series[order], time[order]
        again = (series[1:] == series[:-1]) & (time[1:] == time[:-1])
        last = np.append(~again, np.ones(min(len(order), 1), dtype=bool))
        self._flags = {"duplicates": self.any_in(series[1:][again])}
        order, self.series, self.time = order[last], series[last], time[last]
        self._columns = schema.take(columns, order)
        self.good = self._sound()
        self._flags["bad_bars"] = self.any_of(np.flatnonzero(~self.good))
        self.high, self.low, self.close = (
            np.where(self.good, schema.numbers(self._columns, name), np.nan) for name in ("high", "low", "close")
        )
        self._follows = self._following(_milliseconds(interval))

    def any_in(self, series: Ints) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return for each series whether it is among those given."""
        return np.bincount(series, minlength=len(self.labels)) > 0

    def any_of(self, rows: Ints) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return for each series whether one of the rows is its own."""
        return self.any_in(self.series[rows])

    def _sound(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        close = schema.numbers(self._columns, "close")
        sound = np.isfinite(close) & (close > 0)
        if "high" in self._columns and "low" in self._columns:
            high, low = schema.numbers(self._columns, "high"), schema.numbers(self._columns, "low")
            opened = schema.numbers(self._columns, "open")
            inside = np.isnan(opened) | ((opened >= low) & (opened <= high))
            sound &= (low > 0) & np.isfinite(high) & (low <= close) & (close <= high) & inside
        return np.asarray(sound)

    def _following(self, interval: float | None) -> Ints:
        """Return the rows that come one bar after the row before, both of them sound."""
        same = self.series[1:] == self.series[:-1]
        step = np.diff(self.time)
        length = np.full(len(self.labels), np.inf if interval is None else interval)
        if interval is None:
            np.minimum.at(length, self.series[1:][same], step[same])
        near = same & (np.abs(step - length[self.series[1:]]) < 0.5)
        self._flags["gaps"] = self.any_in(self.series[1:][same & ~near])
        return np.flatnonzero(near & self.good[1:] & self.good[:-1]) + 1

    def pairs(self) -> tuple[Ints, Ints]:
        """Return the rows of bars that follow one another: the earlier ones, and the later ones."""
        return self._follows - 1, self._follows

    def quote_volume(self) -> tuple[Floats, dict[str, Any]]:
        """Return quote volumes, estimated at the close where there are none, and the flag that says so."""
        given = schema.numbers(self._columns, "quote_volume")
        base = schema.numbers(self._columns, "volume" if "volume" in self._columns else "base_volume")
        estimated = ~np.isfinite(given) & np.isfinite(base)
        flagged = self.any_of(np.flatnonzero(estimated))
        return np.where(estimated, base * self.close, given), {"volume_at_close": flagged}

    def mean(self, values: Floats, rows: Ints) -> tuple[Floats, Floats]:
        """Return the mean of each series' values, given by row, and how many there are."""
        used = np.bincount(self.series[rows], minlength=len(self.labels)).astype(np.float64)
        sums = np.bincount(self.series[rows], values, minlength=len(self.labels))
        return np.divide(sums, used, out=np.full(len(used), np.nan), where=used > 0), used

    def answer(self, kind: str, name: str, values: Floats, used: Floats, flags: dict[str, Any]) -> pd.DataFrame:
        """Return one row per series as a frame of the schema `kind`."""
        count = len(self.labels)
        start, end = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(start, self.series, self.time)
        np.maximum.at(end, self.series, self.time)
        flags = {"short": used < FEWEST, **flags, **self._flags}
        told = [",".join(flag for flag, given in flags.items() if given[row]) for row in range(count)]
        labels = zip(("group", "exchange", "currency"), zip(*self.labels, strict=True), strict=False)
        return schema.frame(
            {
                **{label: list(column) for label, column in labels}, "start": start, "end": end,
                "n_bars": np.bincount(self.series[self.good], minlength=count).astype(np.float64),
                "n_used": used, name: values, "flags": told,
            },
            kind,
        )  # fmt: skip


def _columns(ohlcv: pd.DataFrame, what: str) -> Columns:
    names = [
        name
        for name in ("open", "high", "low", "close", "volume", "base_volume", "quote_volume")
        if name in ohlcv.columns
    ]
    for name in names:
        if ohlcv[name].dtype.kind not in "fiu":
            raise SchemaError(f"{what}: the column {name} holds {ohlcv[name].dtype}, numbers are expected")
    if what.endswith("amihud") and not {"volume", "base_volume", "quote_volume"} & set(names):
        raise SchemaError(f"{what} needs the column volume (base units) or quote_volume")
    columns = schema.columns_of(ohlcv, ("time", *names))
    if not isinstance(columns["time"], np.ndarray):
        raise SchemaError(f"{what}: the column time holds {ohlcv['time'].dtype}; times with a time zone are expected")
    return columns


def _series(ohlcv: pd.DataFrame) -> tuple[Ints, list[tuple[str, str, str]]]:
    """Return which series each row belongs to, in order of appearance, and what they are."""
    parts = [schema.codes(ohlcv, name) for name in ("group", "exchange", "currency")]
    key = np.zeros(len(ohlcv), dtype=np.intp)
    for codes, words in parts:
        key = key * max(len(words), 1) + codes
    _, first, of = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    group, exchange, currency = ([words[code] for code in codes[first[order]].tolist()] for codes, words in parts)
    return place[of], list(zip(group, exchange, currency, strict=True))


def _milliseconds(interval: Interval) -> float | None:
    if interval is None:
        return None
    import pandas as pd

    if isinstance(interval, (int, float)):  # which pandas would take for nanoseconds
        raise ConfigError(f"interval is the length of a bar such as '1h', not the bare number {interval!r}")
    try:
        length = pd.Timedelta(interval).total_seconds() * 1e3
    except ValueError:
        raise ConfigError(f"interval is the length of a bar such as '1h', not {interval!r}") from None
    if not length > 0:
        raise ConfigError(f"interval is the length of a bar such as '1h', not {interval!r}")
    return length


__all__ = ["abdi_ranaldo", "amihud", "corwin_schultz"]
