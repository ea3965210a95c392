"""Opportunities as tables: what passes every gate, what does not, and where the others end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from xex.model.schema import columns_of, flags, numbers, texts
from xex.page import ABSENT, GREY, Column, Page, Row, amount, bps, decimals, duration, fitted, fixed, grey, left_out_of

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

NEAREST = 5
"""How many of the rejected are shown where nothing passes."""


def opportunities_table(frame: pd.DataFrame, head: str, most: int, *, rejected: bool = False) -> RenderableType:
    """Return what passes every gate, `most` rows at most; with `rejected` also what does not, with its gate.

    Where nothing passes, the few that came nearest stand in its place.
    """
    passed = int(frame["executable"].sum())
    rows = frame if rejected else frame[frame["executable"]] if passed else nearest(frame).head(NEAREST)
    shown = columns_of(rows.head(most))
    lines = _lines(shown)

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(head, style="bold")
        yield grey(funnel_text(frame))
        if not len(frame):
            yield Text("a pair needs two venues that answer")
        if not passed and lines and not rejected:
            yield Text("nothing passes every gate; the nearest are:")
        if lines:
            yield from fitted(_layouts(shown), lines, width)
        if len(rows) > most:
            yield Text(f"and {len(rows) - most:,} more: --top N shows more, --csv or --json all")
        yield from map(grey, [*_notes(shown), *_unsized(frame), *left_out_of(frame)])

    return Page(parts)


def nearest(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs, those first that pass most gates, then by net edge."""
    from xex.analytics.gates import GATES

    rejected = frame[~frame["executable"] & frame["net_bps"].notna()]
    rank = rejected["gate"].map({gate: len(GATES) - place for place, gate in enumerate(GATES)})
    return rejected.assign(rank=rank).sort_values(["rank", "net_bps"], ascending=[True, False]).drop(columns="rank")


def funnel_text(frame: pd.DataFrame) -> str:
    """Say how many pairs were compared, and at which gate how many of them ended.

    >>> import pandas as pd
    >>> funnel_text(pd.DataFrame({"executable": [True, False, False], "gate": [None, "fees", "fees"]}))
    '3 pairs: 1 passes, 2 stopped at fees'
    """
    from xex.analytics.gates import GATES

    counted = frame["gate"].value_counts()
    stopped = [f"{counted[gate]:,} stopped at {gate.replace('_', ' ')}" for gate in GATES if counted.get(gate, 0)]
    passed = int(frame["executable"].sum())
    first = f"{passed:,} {'passes' if passed == 1 else 'pass'}"
    return f"{len(frame):,} pairs: {', '.join([first, *stopped])}"


def _lines(shown: dict[str, Any]) -> list[Row]:
    named = {
        name: texts(shown, name) for name in (
            "symbol", "trade", "exchange_low", "exchange_high", "currency", "gate", "reasons", "transfer", "network",
        )
    }  # fmt: skip
    counts = {
        name: numbers(shown, name).tolist() for name in (
            "price_low", "price_high", "net_bps", "net_profit", "quantity", "notional", "age_ms", "haircut_bps",
            "price_difference_pct", "funding_per_day",
        )
    }  # fmt: skip
    passed = flags(shown, "executable")
    rows = []
    for row, symbol in enumerate(named["symbol"]):
        told: Mapping[str, float] = {name: values[row] for name, values in counts.items()}
        known = [one for one in (told["price_low"], told["price_high"]) if math.isfinite(one)]
        places = decimals([float(f"{one:.7g}") for one in known], 8)
        cells = {
            "trade": named["trade"][row], "low": named["exchange_low"][row], "high": named["exchange_high"][row],
            "way": f"{named['exchange_low'][row]} → {named['exchange_high'][row]}",
            "ask": fixed(told["price_low"], places), "bid": fixed(told["price_high"], places),
            "gross": bps(100 * told["price_difference_pct"], signed=True), "net": bps(told["net_bps"], signed=True),
            "haircut": bps(told["haircut_bps"]), "quantity": amount(told["quantity"]),
            "notional": amount(told["notional"]), "profit": _profit(told["net_profit"], passed=bool(passed[row])),
            "currency": named["currency"][row], "age": duration(told["age_ms"]),
            "funding": bps(1e4 * told["funding_per_day"], signed=True), "transfer": named["transfer"][row],
            "network": named["network"][row] or ABSENT, "gate": named["reasons"][row].replace(",", ", "),
        }  # fmt: skip
        rows.append(Row(symbol, cells, style="" if passed[row] else GREY))
    return rows


def _profit(value: float, *, passed: bool) -> str:
    return amount(value) if passed or value > 0 else ABSENT


def _layouts(shown: dict[str, Any]) -> list[tuple[list[Column], int]]:
    """Return layouts in one line, or two above one another, without what none of the rows has."""
    carried = ["funding"] * bool((numbers(shown, "funding_per_day") == numbers(shown, "funding_per_day")).any())
    moved = ["network"] * any(texts(shown, "network"))
    stopped = ["gate"] * any(texts(shown, "gate"))
    heads = {
        "name": ("", "symbol"), "trade": ("", "trade"), "way": ("buy on →", "sell on"), "ask": ("", "buy at"),
        "bid": ("", "sell at"), "gross": ("gross", "bps"), "net": ("net", "bps"), "haircut": ("haircut", "bps"),
        "quantity": ("", "quantity"), "notional": ("", "notional"), "profit": ("net", "profit"),
        "currency": ("", ""), "age": ("", "age"), "funding": ("funding", "bps a day"), "network": ("", "network"),
        "gate": ("stopped", "at"),
    }  # fmt: skip
    left = {"name", "trade", "way", "gate", "network", "currency"}
    names = (
        "name", "trade", "way", "ask", "bid", "gross", "net", "haircut", "quantity", "notional", "profit", "currency",
        "age", *carried, *moved, *stopped,
    )  # fmt: skip
    wide = [Column((name,), heads[name], left=name in left) for name in names]
    middle = [column for column in wide if column.keys[0] not in {"trade", "gross", "haircut", "age"}]
    narrow = [
        Column(("name", "way"), ("symbol", "buy on → sell on")), Column(("ask", "bid"), ("buy at", "sell at")),
        Column(("net", "haircut"), ("net bps", "haircut")), Column(("quantity", "notional"), ("quantity", "notional")),
        Column(("profit", "age"), ("profit", "age")),
        *[Column((name,), ("stopped", "at"), left=True) for name in stopped],
    ]  # fmt: skip
    return [(wide, 2), (middle, 2), (middle, 1), (narrow, 2), (narrow, 1)]


def _notes(shown: dict[str, Any]) -> Iterator[str]:
    if "spread" in texts(shown, "trade"):
        yield "spread: pays when the two prices meet; entry and exit fees on both legs, at the entry prices"
    if any("haircut" in reasons for reasons in texts(shown, "reasons")):
        yield "haircut: what quotes of these ages may have moved meanwhile; the net edge must be above it"


def _unsized(frame: pd.DataFrame) -> Iterator[str]:
    if unsized := frame.attrs.get("unsized"):
        names = ", ".join(unsized[:5]) + (", …" if len(unsized) > 5 else "")
        yield f"{len(unsized)} more may pay by their quotes, and their books were not asked for: {names}"
