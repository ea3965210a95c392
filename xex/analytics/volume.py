"""Who trades how much: volumes over 24 hours as the venues report them, their shares, and how concentrated they are.

Volumes in different currencies are never added: what counts as `volume` is quote volume that is in the one currency, or
was brought to it by a rate. Rows that may be another asset enter no sum: `suspect`, `unit_error` and `disagree` as in
`pricing.contributions`, and those whose price, however old, is not near the others'; between currencies that are worth
about a dollar that is 25 %. How old a quote is does not matter else: the day's volume was traded anyway.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from xex.analytics import pricing
from xex.analytics.quality import IDENTITY, unidentified
from xex.errors import Dropped, SchemaError
from xex.model import schema
from xex.model.schema import Columns, length, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.intp]]
Name = TypeVar("Name")

_LEFT_OUT = (*sorted(IDENTITY), Dropped.NO_RATE)


def shares(tickers: pd.DataFrame, currency: str | None = None) -> pd.DataFrame:
    """Return what each exchange trades of each group, and its share of what all of the group's exchanges trade.

    `tickers` needs `exchange`, `base_volume` or `quote_volume`, and `group` or `base` and `kind`; `bid` and `ask` tell
    which rows are another asset; `quote`, `currency` and `fx_rate` in what quote volumes are. One row per group and
    exchange: `base_volume` in base units, `quote_volume` in the exchange's own `quote` (NaN where it has several),
    `volume` in `currency`, `share` of the group's volume, 0 to 1. `currency` is by default the one that most rows of
    the group are in, the first by name among equals.

    Who has no share stays in the frame, and `flags` says why: `no_rate` (in another currency, without a rate),
    `no_volume` (no quote volume reported), `suspect`, `unit_error` or `disagree` (perhaps another asset, so no base
    volume either). Where that is so of one of an exchange's rows only, the flag stands beside the volume of the others.
    """
    return schema.frame(_Volumes(tickers, currency, "volume.shares").shares(), "volume_shares")


def total(tickers: pd.DataFrame, currency: str | None = None) -> pd.DataFrame:
    """Return what all exchanges together trade of each group.

    Input as in `shares`. `base_volume` in base units and `volume` in `currency`, NaN where nobody reports any;
    `n_venues`, how many exchanges have a share; `hhi`, the Herfindahl-Hirschman index Σ share², from 1 / n_venues where
    all trade the same to 1 where one trades all; `top`, the exchange with the largest share, the first by name among
    equals. `volume_partial` names the exchanges that do not report both volumes; `flags` those that are left out, as
    reason:exchange, the reason `no_rate`, `suspect`, `unit_error` or `disagree`.

    Source of the index: Albert O. Hirschman, "The Paternity of an Index", American Economic Review 54 (1964) 761-762.
    """
    return schema.frame(_Volumes(tickers, currency, "volume.total").totals(), "volume_total")


class _Volumes:
    """The rows of a frame by cell, a group's exchange; groups and cells in order of appearance."""

    def __init__(self, tickers: pd.DataFrame, currency: str | None, what: str) -> None:
        schema.check(tickers, ("exchange",), what)
        reported = [name for name in ("base_volume", "quote_volume") if name in tickers.columns]
        if not reported:
            raise SchemaError(f"{what} needs the column base_volume or quote_volume")
        schema.check(tickers, (*reported, *(() if "group" in tickers.columns else ("base",))), what)
        rows = schema.columns_of(tickers)
        names = list(zip(texts(rows, "group"), texts(rows, "exchange"), strict=True))
        self.cells, self.cell = _ordered(names)
        self.groups, self.group = _ordered([group for group, _ in self.cells])
        reasons = np.array(pricing.evaluate(rows).reason, dtype=object)
        self.stranger = unidentified(rows, reasons)
        self.own = (self.stranger == "") & (reasons != Dropped.DUPLICATE.value)
        self.quotes = texts(rows, "quote") if "quote" in rows else texts(rows, "currency")
        self.base, self.quote = _reported(rows, "base_volume"), _reported(rows, "quote_volume")
        converted = np.array([a != b for a, b in zip(self.quotes, texts(rows, "currency"), strict=True)], dtype=bool)
        rate = np.where(converted, numbers(rows, "fx_rate"), 1.0)
        self.native = self.quote / rate
        self.currencies = self._currencies(texts(rows, "currency"), np.isfinite(rate), currency)
        target = [self.currencies[group] for group in self.group[self.cell].tolist()]
        same = np.array([a == b for a, b in zip(texts(rows, "currency"), target, strict=True)], dtype=bool)
        self.rated = same & np.isfinite(rate)

    def _currencies(self, told: list[str], known: Bools, currency: str | None) -> list[str]:
        """Return each group's currency: the one asked for, else that of most rows."""
        if currency is not None:
            return [currency] * len(self.groups)
        votes: list[Counter[str]] = [Counter() for _ in self.groups]
        of = self.group[self.cell]
        for row in np.flatnonzero(known & self.own).tolist():
            votes[of[row]][told[row]] += 1
        return [min(vote, key=lambda name: (-vote[name], name)) if vote else "" for vote in votes]

    def shares(self) -> Columns:
        """Return one row per cell as columns of the schema `volume_shares`."""
        count = len(self.cells)
        base = _sums(self.cell, self.base, self.own, count)
        volume = _sums(self.cell, self.quote, self.own & self.rated, count)
        whole = np.bincount(self.group, np.nan_to_num(volume), minlength=len(self.groups))[self.group]
        quotes, several = [""] * count, np.zeros(count, dtype=bool)
        for cell, quote in sorted(set(zip(self.cell.tolist(), self.quotes, strict=True))):
            several[cell] = bool(quotes[cell])
            quotes[cell] = ",".join(filter(None, (quotes[cell], quote)))
        native = _sums(self.cell, self.native, self.own, count)
        return {
            "group": [group for group, _ in self.cells], "exchange": [exchange for _, exchange in self.cells],
            "base_volume": base, "quote": quotes, "quote_volume": np.where(several, np.nan, native),
            "currency": [self.currencies[group] for group in self.group.tolist()], "volume": volume,
            "share": np.divide(volume, whole, out=np.full(count, np.nan), where=whole > 0),
            "flags": [",".join(sorted(flags)) for flags in self._flags()],
        }  # fmt: skip

    def _flags(self) -> list[set[str]]:
        found: list[set[str]] = [set() for _ in self.cells]
        other, silent = self.own & ~self.rated, self.own & self.rated & np.isnan(self.quote)
        for flag, rows in ((Dropped.NO_RATE.value, other), ("no_volume", silent)):
            for cell in self.cell[rows].tolist():
                found[cell].add(flag)
        for row in np.flatnonzero(self.stranger != "").tolist():
            found[self.cell[row]].add(str(self.stranger[row]))
        return found

    def totals(self) -> Columns:
        """Return one row per group as columns of the schema `volume_total`."""
        cells, count = self.shares(), len(self.groups)
        volume, share = numbers(cells, "volume"), numbers(cells, "share")
        has = np.isfinite(volume)
        venues = np.bincount(self.group[has], minlength=count).astype(np.float64)
        top, partial = [""] * count, self._partial()
        flags: list[list[str]] = [[] for _ in self.groups]
        ranked = sorted(np.flatnonzero(share > 0).tolist(), key=lambda cell: (-share[cell], self.cells[cell][1]))
        for cell in reversed(ranked):
            top[self.group[cell]] = self.cells[cell][1]
        for cell, told in enumerate(texts(cells, "flags")):
            flags[self.group[cell]] += [
                f"{flag}:{self.cells[cell][1]}" for flag in told.split(",") if flag in _LEFT_OUT
            ]
        return {
            "group": self.groups, "currency": self.currencies,
            "base_volume": _sums(self.group, numbers(cells, "base_volume"), np.ones(len(has), dtype=bool), count),
            "volume": _sums(self.group, volume, has, count), "n_venues": venues,
            "hhi": _sums(self.group, share**2, has, count), "top": top,
            "volume_partial": [",".join(names) for names in partial], "flags": [",".join(told) for told in flags],
        }  # fmt: skip

    def _partial(self) -> list[dict[str, None]]:
        """Return by group who does not report both volumes."""
        found: list[dict[str, None]] = [{} for _ in self.groups]
        for cell in self.cell[self.own & (np.isnan(self.base) | np.isnan(self.quote))].tolist():
            found[self.group[cell]][self.cells[cell][1]] = None
        return found


def _ordered(names: list[Name]) -> tuple[list[Name], Ints]:
    """Return the distinct names in order of appearance, and each one's place among them."""
    place = {name: row for row, name in enumerate(dict.fromkeys(names))}
    return list(place), np.array([place[name] for name in names], dtype=np.intp)


def _reported(rows: Columns, name: str) -> Floats:
    values = numbers(rows, name) if length(rows) else np.zeros(0)
    return np.where(np.isfinite(values) & (values >= 0), values, np.nan)


def _sums(at: Ints, values: Floats, counted: Bools, count: int) -> Floats:
    """Return the sum of each place's counted values, NaN where none is known."""
    known = counted & np.isfinite(values)
    sums = np.bincount(at[known], values[known], minlength=count)
    return np.where(np.bincount(at[known], minlength=count) > 0, sums, np.nan)


__all__ = ["shares", "total"]
