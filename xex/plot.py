"""How an answer looks: a table for terminals and notebooks, a picture of quotes and depth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from xex.errors import MissingExtra
from xex.model.schema import concat, numbers, texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

    from xex.answer import CrossExchangeData

ABSENT = "–"
SHOWN = 5
"""How many opportunities the table lists."""

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"))
_MARKS = "¹²³⁴⁵⁶⁷⁸⁹"
_PLAIN = str.maketrans({"–": "-", "→": "->", "·": "-", "─": "-", **dict(zip(_MARKS, "123456789", strict=True))})
_GREY = "bright_black"


# --- numbers for people -------------------------------------------------------------------------------------


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


# --- the table ----------------------------------------------------------------------------------------------


def snapshot_table(snap: CrossExchangeData) -> RenderableType:
    """Return what a terminal shows of an answer: a row per venue, the totals, the opportunities.

    Venues that are left out are grey and say why. Where the width does not hold all columns (about 100
    characters), each venue takes two lines.
    """
    return _Rendered(snap)


@dataclass(slots=True)
class _Row:
    """One line of the venue table, or two; `reason` takes the whole width below, or in place of, the cells."""

    name: str
    cells: dict[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(slots=True)
class _Column:
    """One column: the keys of the cells it stacks, one above the other, and its head in two lines."""

    keys: tuple[str, ...]
    head: tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Rendered:
    """Measures the console when it is printed and chooses the layout that fits."""

    snap: CrossExchangeData

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        from rich.console import Group
        from rich.segment import Segment

        rows, notes = _venue_rows(self.snap)
        wide, narrow = _layouts(self.snap)
        tries = ((wide, 2), (wide, 1), (narrow, 2))
        layout, gap = next((pair for pair in tries if _width(pair[0], rows, pair[1]) <= options.max_width), (narrow, 1))
        parts: list[Any] = [_title(self.snap), "", *_venue_lines(layout, rows, gap, options.max_width)]
        parts += [_grey(note) for note in notes]
        parts += ["", _summary(self.snap)]
        if self.snap.arbitrage_opportunities:
            parts += ["", *_opportunity_lines(self.snap)]
        if options.ascii_only:
            # A terminal, or a file, whose encoding lacks dashes and arrows.
            for line in console.render_lines(Group(*parts), options, pad=False, new_lines=True):
                yield from (Segment(part.text.translate(_PLAIN), part.style) for part in line)
            return
        yield Group(*parts)


def _title(snap: CrossExchangeData) -> Text:
    from rich.text import Text

    asked = f", asked as {snap.symbol}" if snap.symbol != snap.instrument.symbol else ""
    return Text.assemble(
        (snap.instrument.description, "bold"), f"{asked}; prices in ", (snap.currency, "bold"),
    )  # fmt: skip


def _grey(text: str) -> Text:
    from rich.text import Text

    return Text(text, style=_GREY)


def _layouts(snap: CrossExchangeData) -> tuple[list[_Column], list[_Column]]:
    base, currency = snap.instrument.base, snap.currency
    one = {
        "name": _Column(("name",), ("", "venue")),
        "price": _Column(("price",), ("", "price")),
        "bid": _Column(("bid",), ("", "bid")),
        "ask": _Column(("ask",), ("", "ask")),
        "spread": _Column(("spread",), ("spread", "bps")),
        "premium": _Column(("premium",), ("premium", "bps")),
        "base": _Column(("base",), ("24h vol", base)),
        "quote": _Column(("quote",), ("24h vol", currency)),
        "age": _Column(("age",), ("", "age")),
        "latency": _Column(("latency",), ("", "latency")),
        "weight": _Column(("weight",), ("", "weight")),
    }
    narrow = [
        one["name"], one["price"], _Column(("bid", "ask"), ("bid", "ask")), one["spread"], one["premium"],
        _Column(("base", "quote"), (f"24h {base}", f"24h {currency}")),
        _Column(("age", "latency"), ("age", "latency")), one["weight"],
    ]  # fmt: skip
    return list(one.values()), narrow


def _venue_rows(snap: CrossExchangeData) -> tuple[list[_Row], list[str]]:
    """Return the rows of all asked venues, and the footnotes their marks stand for."""
    columns = snap.columns
    place = {name: row for row, name in enumerate(texts(columns, "exchange"))}
    notes = _footnotes(snap, place)
    marks = {name: _MARKS[number % len(_MARKS)] for number, names in enumerate(notes.values()) for name in names}
    places = _price_places(snap)
    rows = []
    for name in dict.fromkeys([*snap.asked, *snap.dropped]):
        drop = snap.dropped.get(name)
        mark = f" {marks[name]}" if name in marks else ""
        row = _Row(f"{name}{mark}", reason="" if drop is None else drop.text)
        if name in place:
            row.cells = _cells(snap, name, place[name], places)
        rows.append(row)
    written = [f"{_MARKS[number % len(_MARKS)]} {text}" for number, text in enumerate(notes)]
    return rows, written


def _footnotes(snap: CrossExchangeData, place: dict[str, int]) -> dict[str, list[str]]:
    """Return the remark on each venue that needs one; a remark is said once for all venues it is true of."""
    columns = snap.columns
    notes: dict[str, list[str]] = {}
    rates: dict[tuple[str, float, str], list[str]] = {}
    for name, row in place.items():
        quote, source = texts(columns, "quote")[row], texts(columns, "fx_source")[row]
        if quote != snap.currency:
            rates.setdefault((quote, float(numbers(columns, "fx_rate")[row]), source), []).append(name)
        for flag in texts(columns, "flags")[row].split(","):
            if flag.startswith("no_book:"):
                notes.setdefault(f"no book ({flag.removeprefix('no_book:')}); the quote is the ticker's", []).append(
                    name
                )
    converted = {}
    for (quote, rate, source), names in rates.items():
        if math.isfinite(rate):
            how = source.replace("+", " + ")
            said = f"1 {quote} = {rate:.6f} {snap.currency} ({how})"
        else:
            said = f"there is no rate to {snap.currency}, its numbers are in {quote}"
        converted[f"{', '.join(names)} quote{'s' if len(names) == 1 else ''} {quote}; {said}"] = names
    return {**converted, **notes}


def _price_places(snap: CrossExchangeData) -> int:
    """Return the decimals of prices: what the venues write, as far as their numbers are not converted ones."""
    columns = snap.columns
    own = [quote == snap.currency for quote in texts(columns, "quote")]
    written = [
        float(value)
        for name in ("bid", "ask", "price")
        for value, native in zip(numbers(columns, name), own, strict=True)
        if native
    ]
    if not any(map(math.isfinite, written)):
        return decimals([float(f"{value:.7g}") for value in numbers(columns, "price")], 7)
    return decimals(written)


def _cells(snap: CrossExchangeData, name: str, row: int, places: int) -> dict[str, str]:
    data, columns = snap.exchanges_data[name], snap.columns
    return {
        "price": fixed(data["price"], places),
        "bid": fixed(data["bid"], places),
        "ask": fixed(data["ask"], places),
        "spread": bps(float(numbers(columns, "spread_bps")[row])),
        "premium": bps(float(numbers(columns, "premium_bps")[row]), signed=True),
        "base": amount(data["base_volume"]),
        "quote": amount(data["quote_volume"]),
        "age": duration(data["age_ms"]),
        "latency": duration(data["latency_ms"]),
        "weight": percent(data["weight"]) if data["weight"] else "0",
    }


def _widths(layout: Sequence[_Column], rows: Sequence[_Row]) -> list[int]:
    from rich.cells import cell_len

    return [
        max(
            *(cell_len(head) for head in column.head),
            *(cell_len(row.cells.get(key, row.name if key == "name" else "")) for row in rows for key in column.keys),
            0,
        )
        for column in layout
    ]


def _width(layout: Sequence[_Column], rows: Sequence[_Row], gap: int) -> int:
    return sum(_widths(layout, rows)) + gap * (len(layout) - 1)


def _venue_lines(layout: Sequence[_Column], rows: Sequence[_Row], gap: int, width: int) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    widths = _widths(layout, rows)

    def line(cells: Sequence[str], style: str) -> Text:
        aligned = [
            _aligned(cell, size, left=not place) for place, (cell, size) in enumerate(zip(cells, widths, strict=True))
        ]
        return Text((" " * gap).join(aligned).rstrip(), style=style, no_wrap=True, overflow="ellipsis")

    for head in zip(*(column.head for column in layout), strict=True):
        yield line(head, "bold")
    yield _grey("─" * min(_width(layout, rows, gap), width))
    height = max(len(column.keys) for column in layout)
    for row in rows:
        style = _GREY if row.reason else ""
        cells = {"name": row.name, **row.cells}
        if row.cells:
            for level in range(height):
                picked = [cells[column.keys[level]] if level < len(column.keys) else "" for column in layout]
                yield line(picked, style)
            if row.reason:
                yield Padding(_grey(row.reason), (0, 0, 0, widths[0] + gap), expand=False)
        else:
            yield _beside(Text(row.name, style=style), _grey(row.reason), widths[0], gap)


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


def _summary(snap: CrossExchangeData) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style=_GREY)
    grid.add_column()
    grid.add_row("price", _price_text(snap))
    grid.add_row("price variance", _dispersion_text(snap))
    grid.add_row("24h volume", _volume_text(snap))
    grid.add_row("liquidity", _liquidity_text(snap))
    if not snap.arbitrage_opportunities:
        grid.add_row("opportunities", _rejected_text(snap))
    return grid


def _price_text(snap: CrossExchangeData) -> Text:
    from rich.text import Text

    used = sum(1 for data in snap.exchanges_data.values() if data["weight"] > 0)
    text = Text.assemble((fixed(snap.aggregated_price, _price_places(snap)), "bold"))
    if math.isfinite(snap.aggregated_price):
        text.append(f" {snap.currency}", style="bold")
        text.append(f" from {used} of {len(snap.asked)} venues")
    said = {
        "no_data": "no venue has a usable quote",
        "disagree": "no majority of the venues agrees within 1 %",
        "single_source": "a single source, nothing confirms it",
        "last_only": "made of last prices, no venue has a quote",
    }
    remarks = [said[flag] for flag in snap.flags if flag in said]
    if remarks:
        text.append(f", {', '.join(remarks)}")
    return text


def _dispersion_text(snap: CrossExchangeData) -> str:
    spread = "" if math.isnan(snap.range_bps) else f"; all valid quotes span {bps(snap.range_bps)} bps"
    if math.isnan(snap.price_variance):
        return f"{ABSENT}{spread}"
    return f"{amount(snap.price_variance)} {snap.currency} standard deviation, {bps(snap.dispersion_bps)} bps{spread}"


def _volume_text(snap: CrossExchangeData) -> str:
    partial = f" (without {', '.join(snap.volume_partial)})" if snap.volume_partial else ""
    return (
        f"{amount(snap.volume_total)} {snap.instrument.base} · {amount(snap.volume_total_quote)} "
        f"{snap.currency}{partial}"
    )


def _liquidity_text(snap: CrossExchangeData) -> str:
    used, of = snap.liquidity_books
    if "no_books" in snap.flags:
        return f"{ABSENT}, books were not asked for"
    score = f"{snap.liquidity_score:.1f} of 100" if math.isfinite(snap.liquidity_score) else ABSENT
    return f"{score} from {used} of {of} books{', censored: a venue cut its book' if snap.liquidity_censored else ''}"


def _rejected_text(snap: CrossExchangeData) -> str:
    if not snap.rejected:
        return "none: there is no second venue to trade with"
    best = snap.rejected[0]
    net = best["net_bps"]
    edge = f" (net {bps(net, signed=True)} bps)" if math.isfinite(net) else ""
    return f"none; the nearest, {best['exchange_low']} → {best['exchange_high']}, stops at {best['gate']}{edge}"


def _opportunity_lines(snap: CrossExchangeData) -> Iterator[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    rows = snap.arbitrage_opportunities
    kind = {"arbitrage": "same asset, one taker fee a leg", "spread": "entry and exit fees on both legs"}
    yield Text(f"opportunities ({kind.get(rows[0]['trade'], rows[0]['trade'])})", style="bold")
    grid = Table.grid(padding=(0, 3, 0, 0))
    for justify in ("left", "right", "right", "right"):
        grid.add_column(justify=justify, no_wrap=True)
    grid.add_row("buy on → sell on", "quantity", "net profit", "net", style=_GREY)
    for row in rows[:SHOWN]:
        grid.add_row(
            f"{row['exchange_low']} → {row['exchange_high']}",
            f"{amount(row['quantity'])} {snap.instrument.base}",
            Text(f"{amount(row['net_profit'])} {row['currency']}", style="green"),
            f"{row['net_profit_pct']:+.3f}%",
        )
    yield grid
    if len(rows) > SHOWN:
        yield _grey(f"and {len(rows) - SHOWN} more")


# --- the picture --------------------------------------------------------------------------------------------

_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")
_INK, _FAINT = "#333333", "#999999"
_FURTHEST_BPS = 100.0


def snapshot(snap: CrossExchangeData) -> Axes:
    """Draw each venue's bid, ask and mid in bps around the aggregated price, and below them the depth of the books.

    The area of a dot is the venue's weight, hollow grey dots are left out of the price, the band is one standard
    deviation. The depth is what can be traded up to a distance from the price, in the snapshot's currency,
    venue upon venue. Returns the axes of the quotes; its ``figure`` holds both and can be saved or shown. Needs
    the extra `plot`; no display and no global state of matplotlib is touched.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingExtra("matplotlib", "plot") from exc
    reference = _reference(snap)
    books = _depths(snap, reference)
    rows = len(snap.exchanges_data)
    heights = [0.55 * rows + 1.1, *([2.6] if books else [])]
    figure = Figure(figsize=(8.0, sum(heights) + 0.9), layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    colours = {name: _COLOURS[row % len(_COLOURS)] for row, name in enumerate(snap.exchanges_data)}
    _draw_quotes(axes[0], snap, reference, colours)
    if books:
        _draw_depth(axes[1], snap, books, colours)
    moment = datetime.fromtimestamp(snap.timestamp, UTC)
    figure.suptitle(f"{snap.instrument.description}, {moment:%Y-%m-%d %H:%M:%S} UTC", color=_INK, fontweight="bold")
    quotes: Axes = axes[0]
    return quotes


def _reference(snap: CrossExchangeData) -> float:
    """Return what distances are measured from: the price, or the median mid where there is none."""
    if math.isfinite(snap.aggregated_price):
        return snap.aggregated_price
    known = [data["price"] for data in snap.exchanges_data.values() if math.isfinite(data["price"])]
    return median(known) if known else math.nan


def _draw_quotes(ax: Axes, snap: CrossExchangeData, reference: float, colours: dict[str, str]) -> None:
    def distance(price: float) -> float:
        return 1e4 * (price / reference - 1)

    kept = [abs(distance(data["price"])) for data in snap.exchanges_data.values() if data["weight"] > 0]
    edge = _half_width([abs(distance(data["price"])) for data in snap.exchanges_data.values()], kept)
    if math.isfinite(snap.dispersion_bps):
        ax.axvspan(-snap.dispersion_bps, snap.dispersion_bps, color="#4477AA", alpha=0.08, lw=0)
    ax.axvline(0, color=_INK, lw=1)
    remarks = []
    for y, (name, data) in enumerate(snap.exchanges_data.items()):
        used = data["weight"] > 0
        colour = colours[name] if used else _FAINT
        x = distance(data["price"])
        remarks.append(f"{percent(data['weight'])}" if used else str(snap.dropped.get(name, "weight 0")))
        if not math.isfinite(x):
            continue
        if abs(x) > edge:
            side = math.copysign(1.0, x)
            ax.annotate(
                f"{bps(x, signed=True)} bps", (side * edge, y), (side * edge * 0.8, y), color=_FAINT, va="center",
                ha="center", fontsize=8, arrowprops={"arrowstyle": "->", "color": _FAINT},
            )  # fmt: skip
            continue
        ax.scatter(
            [x], [y], s=30 + 500 * data["weight"], color=colour if used else "white", edgecolors=colour, alpha=0.6
        )
        ax.plot([distance(data["bid"]), distance(data["ask"])], [y, y], color=_INK, lw=1.5, marker="|", ms=9, mew=1.5)
        ax.annotate(
            f"{bps(x, signed=True)}", (x, y), (0, 12), textcoords="offset points", ha="center", fontsize=8, color=_INK
        )
    ax.set_xlim(-edge * 1.08, edge * 1.08)
    _dress_quotes(ax, snap, reference, remarks)


def _half_width(distances: Sequence[float], kept: Sequence[float]) -> float:
    """Return how far the picture reaches: to the furthest venue, unless that hides how the others lie."""
    known = [value for value in distances if math.isfinite(value)]
    inner = max([*kept, 0.5]) * 1.3
    furthest = max([*known, inner]) * 1.1
    return furthest if furthest <= 8 * inner or not kept else inner * 1.5


def _dress_quotes(ax: Axes, snap: CrossExchangeData, reference: float, remarks: Sequence[str]) -> None:
    places = _price_places(snap)
    names = list(snap.exchanges_data)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.8)
    beside = ax.secondary_yaxis("right")
    beside.set_yticks(range(len(names)), remarks)
    beside.tick_params(length=0, labelcolor=_INK)
    beside.spines["right"].set_visible(False)
    if math.isfinite(snap.aggregated_price):
        spread = "" if math.isnan(snap.dispersion_bps) else f" ± {bps(snap.dispersion_bps)} bps"
        head = f"Quotes around the price {fixed(reference, places)} {snap.currency}{spread}"
    elif math.isfinite(reference):
        head = (
            f"No price ({', '.join(snap.flags)}); quotes around the median {fixed(reference, places)} {snap.currency}"
        )
    else:
        head = "No price and no quotes"
    ax.set_title(head, loc="left", fontsize=10, color=_INK)
    ax.set_title("weight", loc="right", fontsize=9, color=_FAINT)
    ax.set_xlabel("distance from the price in bps: bar from bid to ask, dot as large as the weight", fontsize=9)
    _plain(ax)
    ax.grid(axis="x", color="#dddddd", lw=0.6)


def _plain(ax: Axes) -> None:
    ax.set_axisbelow(True)
    ax.tick_params(colors=_INK, labelsize=9)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _depths(snap: CrossExchangeData, reference: float) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Return per venue and side the distance of each level in bps, rising, and what has added up there."""
    import numpy as np

    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    books = concat(snap.books, "books")
    if not books or not math.isfinite(reference):
        return found
    owners, sides = np.array(texts(books, "exchange")), np.array(texts(books, "side"))
    price, size = numbers(books, "price"), numbers(books, "size")
    for name, data in snap.exchanges_data.items():
        if data["weight"] <= 0:
            continue
        for side, sign in (("bid", -1.0), ("ask", 1.0)):
            mine = (owners == name) & (sides == side)
            away = sign * 1e4 * (price[mine] / reference - 1)
            order = np.argsort(away, kind="stable")
            worth = np.cumsum((price[mine] * size[mine])[order])
            if len(worth):
                found.setdefault(name, {})[side] = (away[order], worth)
    return found


def _draw_depth(
    ax: Axes, snap: CrossExchangeData, books: dict[str, dict[str, tuple[Any, Any]]], colours: dict[str, str]
) -> None:
    import numpy as np
    from matplotlib.ticker import FuncFormatter

    reach = min(max(float(away[-1]) for sides in books.values() for away, _ in sides.values()), _FURTHEST_BPS)
    reach = max(reach, 0.5)
    at = np.linspace(0.0, reach, 800)
    for side, sign in (("bid", -1.0), ("ask", 1.0)):
        below = np.zeros_like(at)
        for name, sides in books.items():
            away, worth = sides.get(side, (np.zeros(0), np.zeros(0)))
            sums = np.concatenate([[0.0], worth])[np.searchsorted(away, at, side="right")]
            label = name if side == "bid" or "bid" not in sides else None
            ax.fill_between(
                sign * at, below, below + sums, step="post" if sign > 0 else "pre", color=colours[name], alpha=0.75,
                lw=0, label=label,
            )  # fmt: skip
            below = below + sums
    ax.axvline(0, color=_INK, lw=1)
    ax.set_xlim(-reach, reach)
    # Room for the legend above the highest column.
    ax.set_ylim(0, ax.get_ylim()[1] * 1.15)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))
    ax.set_title(
        f"Depth of the books as received, {snap.currency}: bids left, asks right", loc="left", fontsize=10, color=_INK
    )
    ax.set_xlabel("distance from the price in bps", fontsize=9)
    ax.legend(frameon=False, fontsize=9, loc="upper center", ncols=len(books))
    _plain(ax)
    ax.grid(axis="y", color="#dddddd", lw=0.6)
