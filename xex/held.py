"""What contracts cost and how many are open, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from xex.model.schema import columns_of, numbers, texts
from xex.page import ABSENT, Column, Page, Row, amount, decimals, fitted, fixed, grey, left_out_of

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType


def funding_table(frame: pd.DataFrame, head: str, most: int) -> RenderableType:
    """Return a row per exchange and perpetual, in the order of the frame, `most` at most."""
    shown = columns_of(frame.head(most))
    layout = [
        Column(("name",), ("", "symbol"), left=True), Column(("exchange",), ("", "venue"), left=True),
        Column(("rate",), ("", "rate")), Column(("every",), ("paid", "every")), Column(("apr",), ("a", "year")),
        Column(("next",), ("next", "(UTC)")), Column(("kind",), ("", "which is"), left=True),
        Column(("mark",), ("mark", "price")), Column(("quote",), ("", "in"), left=True),
    ]  # fmt: skip
    narrow = [column for column in layout if column.keys[0] not in {"mark", "quote", "kind"}]

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(head, style="bold")
        yield from fitted(((layout, 2), (layout, 1), (narrow, 2), (narrow, 1)), _funding_rows(shown), width)
        if len(frame) > most:
            yield Text(f"and {len(frame) - most:,} more: --top N shows more, --csv or --json all")
        yield grey("longs pay a positive rate, shorts a negative one; a year: as often as it is paid, not compounded")
        if "partial" in ",".join(texts(columns_of(frame), "flags")):
            yield grey("where no interval is shown the venue has not told it, and a year cannot be said")
        yield from map(grey, left_out_of(frame))

    return Page(parts)


def _funding_rows(shown: dict[str, Any]) -> list[Row]:
    named = {name: texts(shown, name) for name in ("instrument", "exchange", "rate_kind", "quote")}
    counts = {name: numbers(shown, name).tolist() for name in ("rate", "interval_hours", "apr", "next_time", "mark")}
    rows = []
    for row, symbol in enumerate(named["instrument"]):
        hours, mark = counts["interval_hours"][row], counts["mark"][row]
        cells = {
            "exchange": named["exchange"][row], "rate": signed(counts["rate"][row], 4),
            "every": f"{hours:g} h" if math.isfinite(hours) else ABSENT, "apr": signed(counts["apr"][row], 1),
            "next": _clock(counts["next_time"][row]), "kind": named["rate_kind"][row],
            "mark": fixed(mark, decimals([float(f"{mark:.7g}")], 8) if math.isfinite(mark) else 0),
            "quote": named["quote"][row],
        }  # fmt: skip
        rows.append(Row(symbol, cells))
    return rows


def signed(share: float, places: int) -> str:
    """Write a share of one as a percentage with its sign.

    >>> signed(0.0001, 4), signed(-0.1094, 1), signed(0.0, 1), signed(float("nan"), 1)
    ('+0.0100%', '-10.9%', '0.0%', '–')
    """
    if not math.isfinite(share):
        return ABSENT
    text = f"{100 * share:+.{places}f}%"
    return text if float(text[:-1]) else text[1:]


def _clock(stamp_ms: float) -> str:
    """Return the time of day in UTC, hours and minutes."""
    return f"{datetime.fromtimestamp(stamp_ms / 1e3, UTC):%H:%M}" if math.isfinite(stamp_ms) else ABSENT


def interest_table(frame: pd.DataFrame, head: str, most: int) -> RenderableType:
    """Return a row per exchange and contract, in the order of the frame, `most` at most, and what is open in all."""
    shown = columns_of(frame.head(most))
    layout = [
        Column(("name",), ("", "symbol"), left=True), Column(("exchange",), ("", "venue"), left=True),
        Column(("oi_base",), ("", "open")), Column(("base",), ("", ""), left=True),
        Column(("oi_quote",), ("", "worth")),
        Column(("quote",), ("", "in"), left=True),
    ]  # fmt: skip
    named = {name: texts(shown, name) for name in ("instrument", "exchange", "base", "quote")}
    counts = {name: numbers(shown, name).tolist() for name in ("oi_base", "oi_quote")}
    rows = [
        Row(symbol, {
            "exchange": named["exchange"][row], "base": named["base"][row], "quote": named["quote"][row],
            **{name: amount(values[row]) for name, values in counts.items()},
        })
        for row, symbol in enumerate(named["instrument"])
    ]  # fmt: skip
    groups = frame.groupby("group", sort=False)

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(head, style="bold")
        yield from fitted(((layout, 2), (layout, 1)), rows, width)
        if len(frame) > most:
            yield Text(f"and {len(frame) - most:,} more: --top N shows more, --csv or --json all")
        if len(groups) <= FEW_GROUPS:
            for group, mine in groups:
                venues = mine["exchange"].nunique()
                total = f"{amount(float(mine['oi_base'].sum()))} {mine['base'].iloc[0]}"
                yield Text(f"{group}: {total} on {venues} venue{'s' if venues > 1 else ''}")
        yield grey("every contract counts once, also where a venue counts it for both of its sides")
        yield from map(grey, left_out_of(frame))

    return Page(parts)


FEW_GROUPS = 5
"""Of no more groups than this the total is said."""
