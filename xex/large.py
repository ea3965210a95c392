"""Large trades and walls as tables, with how far back each exchange's trades go."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from xex.model.schema import Columns, columns_of, numbers, texts
from xex.page import ABSENT, Column, Page, Row, amount, bps, decimals, duration, fitted, fixed, grey, left_out

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

_HEADS = {
    "name": ("time", "UTC"), "venue": ("", "venue"), "side": ("taker", "side"), "price": ("", "price"),
    "quantity": ("", "size"), "notional": ("", "notional"), "currency": ("", "in"), "parts": ("trades", "in it"),
    "away": ("from the", "middle"), "usd": ("", "dollars"), "threshold": ("large", "from $"),
}  # fmt: skip
_TRADES = ("name", "venue", "side", "price", "quantity", "notional", "currency", "usd", "threshold", "parts")
_WALLS = ("name", "venue", "side", "price", "quantity", "notional", "currency", "usd", "threshold", "away")
_NARROW = frozenset({"usd", "parts"})
_LEFT = frozenset({"venue", "side", "currency"})


class Found(Protocol):
    """What the table is made of."""

    frame: pd.DataFrame
    coverage: Mapping[str, Mapping[str, Any]]

    @property
    def answered(self) -> Collection[str]: ...

    @property
    def dropped(self) -> Mapping[str, str]: ...


def whales_table(found: Found, symbol: str, most: int) -> RenderableType:
    """Return the latest large trades, the nearest large orders, `most` of each, and what they were looked for in."""
    frame = found.frame
    trades = frame[frame["kind"] == "trade"]
    walls = frame[frame["kind"] == "wall"].sort_values("distance_bps", kind="stable")

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        for rows, names, word in ((trades, _TRADES, "large trades"), (walls, _WALLS, "walls in the books")):
            shown = columns_of(rows.head(most))
            which = f"{most} of {len(rows):,}" if len(rows) > most else f"{len(rows):,}"
            yield Text(f"{symbol}: {which} {word}", style="bold")
            if len(rows):
                layouts = [[_column(name) for name in names if name not in left] for left in (frozenset(), _NARROW)]
                yield from fitted([(layout, gap) for layout in layouts for gap in (2, 1)], _lines(shown), width)
            yield ""
        yield from map(grey, [*_thresholds(frame), *_worths(frame), *covered(found.coverage)])
        yield from map(grey, left_out(found.dropped, found.answered))

    return Page(parts)


def covered(coverage: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say how far back each exchange's trades go, and whose walls are not known."""
    for name, one in coverage.items():
        if one["start"] is None:
            continue
        count = f"{one['trades']:,} {'trade' if one['trades'] == 1 else 'trades'}"
        reach = f"{name}: {count} of the last {duration(1e3 * (one['end'] - one['start']))}"
        yield reach if one["complete"] else f"{reach} alone, {one['why']}"


def _column(name: str) -> Column:
    return Column((name,), _HEADS[name], left=name in _LEFT)


def _lines(shown: Columns) -> list[Row]:
    """Return a row per large order; prices of one currency have the same decimals."""
    names = ("price", "quantity", "notional", "notional_usd", "threshold_usd", "n_trades", "distance_bps", "time")
    cells = {name: numbers(shown, name).tolist() for name in names}
    currencies = texts(shown, "currency")
    places = {
        currency: decimals([price for price, its in zip(cells["price"], currencies, strict=True) if its == currency])
        for currency in dict.fromkeys(currencies)
    }
    sides, venues = texts(shown, "side"), _named(shown)
    return [
        Row(
            f"{datetime.fromtimestamp(cells['time'][row] / 1e3, UTC):%m-%d %H:%M:%S}",
            {
                "venue": venues[row], "side": sides[row], "price": fixed(cells["price"][row], places[currencies[row]]),
                "quantity": amount(cells["quantity"][row]), "notional": fixed(cells["notional"][row], 0),
                "currency": currencies[row], "usd": fixed(cells["notional_usd"][row], 0),
                "threshold": fixed(cells["threshold_usd"][row], 0), "parts": f"{cells['n_trades'][row]:.0f}",
                "away": ABSENT if cells["distance_bps"][row] != cells["distance_bps"][row]
                else f"{bps(cells['distance_bps'][row])} bps",
            },
            style={"buy": "green", "sell": "red"}.get(sides[row], ""),
        )
        for row in range(len(venues))
    ]  # fmt: skip


def _named(shown: Columns) -> list[str]:
    """Return whose each row is: where another source tells of a venue, both."""
    told = zip(texts(shown, "exchange"), texts(shown, "venue"), texts(shown, "source"), strict=True)
    return [exchange if source in {"trades", "book"} else f"{venue} ({exchange})" for exchange, venue, source in told]


def _thresholds(frame: pd.DataFrame) -> Iterator[str]:
    """Say by what the rows are large."""
    counted = frame["threshold_by"].value_counts()
    if len(counted):
        yield f"large by: {', '.join(f'{word} ({count:,})' for word, count in counted.items())}"


def _worths(frame: pd.DataFrame) -> Iterator[str]:
    """Say what each currency was taken to be worth."""
    for currency, rate, source in frame[["currency", "usd_rate", "usd_source"]].drop_duplicates().to_numpy().tolist():
        if currency != "USD":
            yield f"1 {currency} = {rate:.6g} dollars, {source}"


__all__ = ["covered", "whales_table"]
