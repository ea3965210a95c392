"""How liquidations look as a table, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from xex.analytics.liquidation_sums import liquidations_by
from xex.model.instruments import STABLE
from xex.model.schema import columns_of, numbers, texts
from xex.page import Column, Page, Row, amount, decimals, duration, fitted, fixed, grey, left_out

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

_STYLES = {"long": "red", "short": "green"}


class _Told(Protocol):
    frame: pd.DataFrame
    coverage: Mapping[str, Mapping[str, Any]]
    dropped: dict[str, str]


def liquidations_table(told: _Told, symbol: str, most: int) -> RenderableType:
    """Return the newest liquidations, what all of them sum up to, and what each answer covers."""
    frame = told.frame
    shown = columns_of(frame.head(most))
    rows, days = _rows(shown)
    layout = [
        Column(("name",), ("time", "UTC")), Column(("venue",), ("", "venue"), left=True),
        Column(("position",), ("", "position"), left=True), Column(("side",), ("closed", "by a"), left=True),
        Column(("price",), ("", "price")), Column(("kind",), ("", "which is"), left=True),
        Column(("size",), ("size", (texts(shown, "base") or ["base"])[0])), Column(("notional",), ("", "notional")),
        Column(("currency",), ("", "in"), left=True), Column(("source",), ("", "told by"), left=True),
    ]  # fmt: skip

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        day = f", {days[0]}" if len(days) == 1 else ""
        count = f"the newest {len(rows)} of {len(frame):,}" if len(frame) > len(rows) else str(len(frame))
        word = "liquidation" if len(frame) == 1 else "liquidations"
        yield Text(f"{symbol}: {count} {word}{day}", style="bold")
        if rows:
            yield from fitted(((layout, 2), (layout, 1)), rows, width)
            yield ""
            yield from map(Text, _sums(frame))
        yield from map(grey, (*covered(told.coverage), *left_out(told.dropped)))

    return Page(parts)


def _rows(shown: dict[str, Any]) -> tuple[list[Row], list[str]]:
    """Return a row per liquidation, and the days they fall on."""
    times = [datetime.fromtimestamp(stamp / 1e3, UTC) for stamp in numbers(shown, "exchange_time")]
    days = sorted({f"{moment:%Y-%m-%d}" for moment in times})
    prices, sizes, notionals = (numbers(shown, name).tolist() for name in ("price", "size", "notional"))
    named = {
        "venue": "exchange", "position": "position_side", "side": "order_side", "kind": "price_kind",
        "currency": "currency", "source": "source",
    }  # fmt: skip
    words = {name: texts(shown, column) for name, column in named.items()}
    price_places, size_places = decimals(prices), min(decimals(sizes), 8)
    rows = []
    for row, moment in enumerate(times):
        cells = {name: cell[row] for name, cell in words.items()}
        cells |= {"price": fixed(prices[row], price_places), "size": fixed(sizes[row], size_places)}
        cells["notional"] = fixed(notionals[row], 2 if cells["currency"] in STABLE else 8)
        clock = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
        name = clock if len(days) == 1 else f"{moment:%m-%d} {clock}"
        rows.append(Row(name, cells, style=_STYLES.get(cells["position"], "")))
    return rows, days


def _sums(frame: pd.DataFrame) -> Iterator[str]:
    """Yield what longs, shorts and unknown positions come to, by currency: these are never added."""
    base = frame["base"].iloc[0]
    sums = columns_of(liquidations_by(frame, by="side"))
    parts: dict[str, list[str]] = {}
    cells = zip(*(texts(sums, name) for name in ("position_side", "currency")), strict=True)
    for row, (side, currency) in enumerate(cells):
        count, size, notional = (float(numbers(sums, name)[row]) for name in ("count", "base", "notional"))
        text = f"{amount(size)} {base}, {amount(notional)} {currency}, in {count:,.0f}"
        parts.setdefault(side, []).append(text)
    for side in ("long", "short", "unknown"):
        if side in parts:
            yield f"{side if side == 'unknown' else side + 's'}: {'; '.join(parts[side])}"


def covered(coverage: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each exchange on what its answer covers."""
    lines = []
    for name, window in coverage.items():
        begun = datetime.fromtimestamp(window["from"], UTC)
        span = duration(1e3 * (window["to"] - window["from"]))
        whole = "all of them" if window["complete"] else "perhaps not all"
        lacking = f", {window['left_out']} unusable" if window["left_out"] else ""
        source = "" if window["source"] == "venue" else f", told by {window['source']}"
        why = f": {window['reason']}" if window["reason"] else ""
        lines.append(
            f"{name}: {window['count']} in {span} from {begun:%m-%d %H:%M:%S} on, {whole}{lacking}{source}{why}"
        )
    return lines
