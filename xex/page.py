"""How numbers are written for people, and pages whose columns fit the width there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text


ABSENT = "–"


_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"))


MARKS = "¹²³⁴⁵⁶⁷⁸⁹"


_PLAIN = str.maketrans(
    {
        "–": "-",
        "→": "->",
        "≥": ">=",
        "…": "...",
        "·": "-",
        "─": "-",
        "×": "x",
        "Ⓢ": "S",
        **dict(zip(MARKS, "123456789", strict=True)),
    }
)


GREY = "bright_black"


def decimals(values: Sequence[float], digits: int = 8) -> int:
    """Return the fewest decimal places that write all values as exactly as `digits` significant digits can.

    >>> decimals([96512.4, 96512.45]), decimals([0.335125, 0.3352]), decimals([float("nan")])
    (2, 6, 2)
    """
    known = [value for value in values if math.isfinite(value) and value]
    if not known:
        return 2
    most = max(digits - 1 - math.floor(math.log10(max(abs(value) for value in known))), 0)
    exact = (place for place in range(most) if all(_written(value, place, most) for value in known))
    return next(exact, most)


def _written(value: float, places: int, most: int) -> bool:
    return abs(round(value, places) - value) < 0.5 * 10.0**-most


def fixed(value: float, places: int) -> str:
    """Write a number with `places` decimals and its thousands apart.

    >>> fixed(96512.46, 1), fixed(float("nan"), 2)
    ('96,512.5', '–')
    """
    return f"{value:,.{places}f}" if math.isfinite(value) else ABSENT


def amount(value: float) -> str:
    """Write a quantity with as much as one reads of it.

    >>> amount(14.44e9), amount(150213.48), amount(12.345), amount(0.00123), amount(0), amount(float("nan"))
    ('14.4 B', '150,213', '12.35', '0.00123', '0', '–')
    """
    if not math.isfinite(value):
        return ABSENT
    size = abs(value)
    for unit, letter in _UNITS:
        if size >= unit * 0.99995:
            return f"{value / unit:,.1f} {letter}"
    if size >= 1000 or size == 0:
        return f"{value:,.0f}"
    places = 2 if size >= 1 else 2 - math.floor(math.log10(size))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if size < 1 else text


def exact(value: float) -> str:
    """Write a step or a minimum with every digit it has.

    >>> exact(0.00000001), exact(0.1), exact(5.0), exact(25000.0), exact(0.0), exact(float("nan"))
    ('0.00000001', '0.1', '5', '25,000', '0', '–')
    """
    return fixed(value, decimals([value])) if value else "0"


def bps(value: float, *, signed: bool = False) -> str:
    """Write basis points: two decimals, fewer for what is large, two digits for what is small.

    >>> bps(0.01036), bps(12.3456), bps(-412.34), bps(1.5, signed=True), bps(-0.0, signed=True)
    ('0.01', '12.35', '-412', '+1.50', '0.00')
    """
    if not math.isfinite(value):
        return ABSENT
    size = abs(value)
    places = 0 if size >= 100 else 2 if size >= 0.0095 or size < 5e-6 else 1 - math.floor(math.log10(size))
    text = f"{value:{'+' if signed else ''},.{places}f}"
    return text.lstrip("+-") if float(text.replace(",", "")) == 0 else text


def duration(ms: float) -> str:
    """Write a time span given in milliseconds.

    >>> duration(0.2), duration(6.4), duration(1234), duration(600_000), duration(9e7), duration(float("nan"))
    ('<1 ms', '6 ms', '1.2 s', '10 min', '25 h', '–')
    """
    if not math.isfinite(ms):
        return ABSENT
    if ms < 999.5:
        return "<1 ms" if 0 < ms < 0.5 else f"{ms:.0f} ms"
    for limit, unit, name, places in ((99_950, 1e3, "s", 1), (7.2e6, 6e4, "min", 0), (math.inf, 3.6e6, "h", 0)):
        if ms < limit:
            return f"{ms / unit:,.{places}f} {name}"
    return ABSENT


def percent(value: float, places: int = 1) -> str:
    """Write a share of one as a percentage.

    >>> percent(0.4), percent(float("nan"))
    ('40.0%', '–')
    """
    return f"{100 * value:.{places}f}%" if math.isfinite(value) else ABSENT


@dataclass(slots=True)
class Row:
    """One line of a table, or two; `reason` takes the whole width below, or in place of, the cells."""

    name: str
    cells: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    style: str = ""


@dataclass(slots=True)
class Column:
    """One column: the keys of the cells it stacks, one above the other, and the lines of its head."""

    keys: tuple[str, ...]
    head: tuple[str, ...]
    left: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What is printed: measures the console then, so that `parts` can choose the layout that fits its width."""

    parts: Callable[[int], Iterable[RenderableType]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        from rich.console import Group
        from rich.segment import Segment

        page = Group(*self.parts(options.max_width))
        if options.ascii_only:
            # A terminal, or a file, whose encoding lacks dashes and arrows.
            for line in console.render_lines(page, options, pad=False, new_lines=True):
                yield from (Segment(part.text.translate(_PLAIN), part.style) for part in line)
            return
        yield page


def grey(text: str) -> Text:
    """Return what is said beside the numbers."""
    from rich.text import Text

    return Text(text, style=GREY)


def rate_source(source: str) -> str:
    """Write what a rate is made of, both hops where it goes over another currency.

    >>> rate_source("direct+ratio:spot"), rate_source("EUR→USDT direct; USDT→USD peg")
    ('direct + ratio:spot', 'EUR → USDT direct; USDT → USD at par (peg)')
    """
    hops = (hop.removesuffix(" peg") + " at par (peg)" if hop.endswith(" peg") else hop for hop in source.split("; "))
    return "at par (peg)" if source == "peg" else "; ".join(hops).replace("+", " + ").replace("→", " → ")


def _widths(layout: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    from rich.cells import cell_len

    return [
        max(
            *(cell_len(head) for head in column.head),
            *(cell_len(row.cells.get(key, row.name if key == "name" else "")) for row in rows for key in column.keys),
            0,
        )
        for column in layout
    ]


def _width(layout: Sequence[Column], rows: Sequence[Row], gap: int) -> int:
    return sum(_widths(layout, rows)) + gap * (len(layout) - 1)


def fitted(tries: Sequence[tuple[Sequence[Column], int]], rows: Sequence[Row], width: int) -> Iterator[RenderableType]:
    """Lay rows out by the first pair of columns and gap that the width holds, else by the last."""
    layout, gap = next((pair for pair in tries if _width(pair[0], rows, pair[1]) <= width), tries[-1])
    return _lines_of(layout, rows, gap, width)


def _lines_of(layout: Sequence[Column], rows: Sequence[Row], gap: int, width: int) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    widths = _widths(layout, rows)

    def line(cells: Sequence[str], style: str) -> Text:
        aligned = [
            _aligned(cell, size, left=column.left or column is layout[0])
            for column, cell, size in zip(layout, cells, widths, strict=True)
        ]
        return Text((" " * gap).join(aligned).rstrip(), style=style, no_wrap=True, overflow="ellipsis")

    for head in zip(*(column.head for column in layout), strict=True):
        yield line(head, "bold")
    yield grey("─" * min(_width(layout, rows, gap), width))
    height = max(len(column.keys) for column in layout)
    for row in rows:
        style = GREY if row.reason else row.style
        cells = {"name": row.name, **row.cells}
        if row.cells:
            for level in range(height):
                picked = [cells.get(column.keys[level], "") if level < len(column.keys) else "" for column in layout]
                yield line(picked, style)
            if row.reason:
                yield Padding(grey(row.reason), (0, 0, 0, widths[0] + gap), expand=False)
        else:
            yield _beside(Text(row.name, style=style), grey(row.reason), widths[0], gap)


def _aligned(text: str, size: int, *, left: bool) -> str:
    from rich.cells import cell_len

    fill = " " * (size - cell_len(text))
    return text + fill if left else fill + text


def _beside(name: Text, text: RenderableType, size: int, gap: int) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, gap, 0, 0))
    grid.add_column(width=size, no_wrap=True)
    grid.add_column()
    grid.add_row(name, text)
    return grid


def day(expiry: str) -> str:
    """Write the day on which a contract expires.

    >>> day("261225"), day("")
    ('2026-12-25', '')
    """
    return f"20{expiry[:2]}-{expiry[2:4]}-{expiry[4:]}" if expiry else ""


def _said(value: object) -> str:
    return {True: "yes", False: ABSENT}[value] if isinstance(value, bool) else str(value)


_HEADS = {
    "name": "venue", "instrument": "symbol", "least": "minimum", "amount": "minimum", "worth": "", "n_venues": "venues",
}  # fmt: skip


_TO_THE_LEFT = frozenset({"name", "instrument", "id", "market", "expires", "exchanges"})


def single(key: str) -> Column:
    """Return a column of one cell a row, its head on the line above the first."""
    return Column((key,), ("", _HEADS.get(key, key)), key in _TO_THE_LEFT)


def stack(*keys: str, height: int = 2) -> Column:
    """Return a column of cells one above the other, headed by their names in the same places."""
    heads = [_HEADS.get(key, key) for key in keys]
    return Column(keys, (*heads, *[""] * (height - len(heads))), keys[0] in _TO_THE_LEFT)


def left_out(dropped: Mapping[str, str], answered: Collection[str] = ()) -> list[str]:
    """Return a line for each venue that is left out, or that answered for a part of its markets alone."""
    return [f"{name} is left out{' in part' if name in answered else ''}, {why}" for name, why in dropped.items()]


def left_out_of(frame: pd.DataFrame) -> list[str]:
    """Return the lines on venues that a frame of several markets lacks, or lacks in part."""
    return left_out(frame.attrs.get("dropped", {}), frame.attrs.get("answered", ()))
