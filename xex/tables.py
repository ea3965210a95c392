"""How answers look as tables, for terminals and notebooks, and how numbers are written for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from xex.errors import Drop, Dropped
from xex.model.instruments import SECTIONS, STABLE, kind_of, parse_symbol
from xex.model.schema import columns_of, concat, flags, numbers, texts

if TYPE_CHECKING:
    import pandas as pd
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
        **dict(zip(_MARKS, "123456789", strict=True)),
    }
)
_GREY = "bright_black"
_OTHER = Drop(Dropped.OTHER_CURRENCY)


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


# --- the table ----------------------------------------------------------------------------------------------


def snapshot_table(snap: CrossExchangeData) -> RenderableType:
    """Return what a terminal shows of an answer: a row per venue, the totals, the opportunities.

    Venues that are left out are grey and say why. Where the width does not hold all columns (about 100
    characters), each venue takes two lines.
    """
    return _Page(lambda width: _snapshot_parts(snap, width))


@dataclass(slots=True)
class _Row:
    """One line of a table, or two; `reason` takes the whole width below, or in place of, the cells."""

    name: str
    cells: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    style: str = ""


@dataclass(slots=True)
class _Column:
    """One column: the keys of the cells it stacks, one above the other, and the lines of its head."""

    keys: tuple[str, ...]
    head: tuple[str, ...]
    left: bool = False


@dataclass(frozen=True, slots=True)
class _Page:
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


def _snapshot_parts(snap: CrossExchangeData, width: int) -> Iterator[RenderableType]:
    rows, notes = _venue_rows(snap)
    wide, narrow = _layouts(snap)
    yield _title(snap)
    yield ""
    yield from _fitted(((wide, 2), (wide, 1), (narrow, 2), (narrow, 1)), rows, width)
    yield from map(_grey, notes)
    if snap.instrument.kind == "inverse":
        base, quote = snap.instrument.base, snap.instrument.quote
        yield _grey(
            f"inverse: contracts of a fixed amount of {quote}, settled in {base}; volumes are brought to {base}"
        )
    yield ""
    yield _summary(snap)
    if snap.arbitrage_opportunities:
        yield ""
        yield from _opportunity_lines(snap)


def _title(snap: CrossExchangeData) -> Text:
    from rich.text import Text

    asked = f", asked as {snap.symbol}" if snap.symbol != snap.instrument.symbol else ""
    native = "; nothing is converted" if _OTHER in snap.dropped.values() else ""
    return Text.assemble(
        (snap.instrument.description, "bold"), f"{asked}; prices in ", (snap.currency, "bold"), native,
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
    places = price_places(snap)
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
        alone = len(names) == 1
        if source == "peg":
            said = f", taken at par with {snap.currency} (peg): no rate was measured"
        elif math.isfinite(rate):
            said = f"; 1 {quote} = {rate:.6f} {snap.currency} ({_rate_source(source)})"
        elif all(snap.dropped.get(name) == _OTHER for name in names):
            said = f": {'its' if alone else 'their'} numbers are in {quote}"
        else:
            said = f"; there is no rate to {snap.currency}, {'its' if alone else 'their'} numbers are in {quote}"
        converted[f"{', '.join(names)} quote{'s' if alone else ''} {quote}{said}"] = names
    return {**converted, **notes}


def _rate_source(source: str) -> str:
    """Write what a rate is made of, both hops where it goes over another currency.

    >>> _rate_source("direct+ratio:spot"), _rate_source("EUR→USDT direct; USDT→USD peg")
    ('direct + ratio:spot', 'EUR → USDT direct; USDT → USD at par (peg)')
    """
    hops = (hop.removesuffix(" peg") + " at par (peg)" if hop.endswith(" peg") else hop for hop in source.split("; "))
    return "at par (peg)" if source == "peg" else "; ".join(hops).replace("+", " + ").replace("→", " → ")


def price_places(snap: CrossExchangeData) -> int:
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


def _fitted(
    tries: Sequence[tuple[Sequence[_Column], int]], rows: Sequence[_Row], width: int
) -> Iterator[RenderableType]:
    """Lay rows out by the first pair of columns and gap that the width holds, else by the last."""
    layout, gap = next((pair for pair in tries if _width(pair[0], rows, pair[1]) <= width), tries[-1])
    return _lines_of(layout, rows, gap, width)


def _lines_of(layout: Sequence[_Column], rows: Sequence[_Row], gap: int, width: int) -> Iterator[RenderableType]:
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
    yield _grey("─" * min(_width(layout, rows, gap), width))
    height = max(len(column.keys) for column in layout)
    for row in rows:
        style = _GREY if row.reason else row.style
        cells = {"name": row.name, **row.cells}
        if row.cells:
            for level in range(height):
                picked = [cells.get(column.keys[level], "") if level < len(column.keys) else "" for column in layout]
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
    text = Text.assemble((fixed(snap.aggregated_price, price_places(snap)), "bold"))
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
    spread = "" if math.isnan(snap.range_bps) else f"; all trusted quotes span {bps(snap.range_bps)} bps"
    if math.isnan(snap.price_variance):
        return f"{ABSENT}{spread}"
    return f"{amount(snap.price_variance)} {snap.currency} standard deviation, {bps(snap.dispersion_bps)} bps{spread}"


def _volume_text(snap: CrossExchangeData) -> str:
    from xex.analytics.quality import NOT_COUNTED

    # A volume in base units needs no rate: such a venue lacks in the sum of worths alone.
    counted = [
        name for name in snap.volume_partial
        if "disagree" not in snap.flags and snap.dropped.get(name, "") not in NOT_COUNTED
        and math.isfinite(snap.exchanges_data.get(name, {}).get("base_volume", math.nan))
    ]  # fmt: skip
    lacking = [name for name in snap.volume_partial if name not in counted]
    both = f" (without {', '.join(lacking)})" if lacking else ""
    worth = f" (in {snap.currency} without {', '.join(snap.volume_partial)})" if counted else ""
    base = f"{amount(snap.volume_total)} {snap.instrument.base}{both if counted else ''}"
    return f"{base} · {amount(snap.volume_total_quote)} {snap.currency}{worth or both}"


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


# --- tables of single questions -----------------------------------------------------------------------------

DEPTHS_BPS = (10, 25, 50, 100)
"""How far from the price the depth of books is added up."""


def market_name(kind: str, expiry: str = "") -> str:
    """Return what people call a kind of market.

    >>> market_name("linear"), market_name("inverse"), market_name("linear", "261225"), market_name("inverse", "261225")
    ('perp', 'inverse perp', 'future', 'inverse future')
    """
    inverse = "inverse " if kind == "inverse" else ""
    return kind if kind == "spot" else f"{inverse}future" if expiry else f"{inverse}perp"


def day(expiry: str) -> str:
    """Write the day on which a contract expires.

    >>> day("261225"), day("")
    ('2026-12-25', '')
    """
    return f"20{expiry[:2]}-{expiry[2:4]}-{expiry[4:]}" if expiry else ""


SECTION_NAMES = {one: market_name(kind_of(one), "dated" if one.endswith("dated") else "") for one in SECTIONS}
"""What people call the lists of a venue."""
_ABOUT = frozenset({"venue", "market", "key", "priority", "package"})


def venues_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return a row per venue: its markets, the questions it answers, and what it is configured with.

    `rows` are one per venue and market. What is the same everywhere is said once, above.
    """
    from rich.text import Text

    venues: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        venues.setdefault(str(row["venue"]), []).append(row)
    markets = list(dict.fromkeys([*SECTION_NAMES.values(), *(str(row["market"]) for row in rows)]))
    questions = [name for name in (rows[0] if rows else ()) if name not in _ABOUT]
    packages = {str(row["package"]) for row in rows}
    lines = []
    for venue, mine in venues.items():
        has = {str(row["market"]) for row in mine}
        able = {name: any(row[name] for row in mine) for name in questions}
        lines.append(
            _Row(
                venue,
                {
                    **{name: _said(name in has) for name in markets},
                    **{name: _said(able[name]) for name in questions},
                    "markets": ", ".join(name for name in markets if name in has),
                    "answers": ", ".join(name.replace("_", " ") for name in questions if able[name]),
                    **{name: _said(mine[0][name]) for name in ("key", "priority", "package")},
                },
            )
        )
    told = f"installed connectors ({packages.pop()})" if len(packages) == 1 else "installed connectors"
    about = f"{told}; key: whether one is set in the environment, priority: 1 is asked first"
    return _Page(
        lambda width: [
            Text(about),
            *_fitted(_venue_layouts(markets, questions, packaged=bool(packages)), lines, width),
        ]
    )


def _venue_layouts(
    markets: Sequence[str], questions: Sequence[str], *, packaged: bool
) -> list[tuple[list[_Column], int]]:
    def column(name: str) -> _Column:
        first, _, last = name.replace("_", " ").rpartition(" ")
        return _Column((name,), (first, last), left=True)

    package = ["package"] * packaged
    about = [_Column(("key",), ("", "key"), left=True), _Column(("priority",), ("", "priority"))]
    wide = [_Column(("name",), ("", "venue")), *map(column, [*markets, *questions]), *about, *map(column, package)]
    said = ("markets", "answers", *package)
    blank = [""] * (len(said) - 1)
    narrow = [
        _Column(("name",), ("venue", *blank)), _Column(said, said, left=True),
        _Column(("key",), ("key", *blank), left=True), _Column(("priority",), ("priority", *blank)),
    ]  # fmt: skip
    return [(wide, 3), (wide, 2), (wide, 1), (narrow, 2), (narrow, 1)]


def _said(value: object) -> str:
    return {True: "yes", False: ABSENT}[value] if isinstance(value, bool) else str(value)


def instruments_table(frame: pd.DataFrame, head: str, most: int) -> RenderableType:
    """Return what venues list, a row per instrument, `most` at most."""
    shown = columns_of(frame.head(most))
    rows = _instrument_rows(shown)

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(head, style="bold")
        yield from _fitted(_instrument_layouts(shown), rows, width)
        if len(frame) > most:
            yield Text(f"and {len(frame) - most:,} more: name a symbol to see fewer, --csv or --json shows all")
        yield from map(_grey, _instrument_notes(shown))
        yield from map(_grey, left_out_of(frame))

    return _Page(parts)


def lookup_table(frame: pd.DataFrame, text: str) -> RenderableType:
    """Return what a symbol means on every venue: the instrument there, or why there is none."""
    asked_for, others = frame.attrs["instrument"], dict[str, list[str]]()
    asked = parse_symbol(asked_for).instrument
    columns = columns_of(frame)
    rows = {row.name.removesuffix(_INACTIVE): row for row in _instrument_rows(columns)}
    for name, why in frame.attrs["dropped"].items():
        rows.setdefault(name, _Row(name, reason=why))
    ordered = [rows.pop(name) for name in frame.attrs["asked"] if name in rows]
    meant = asked_for if asked is None else asked.description
    for name, symbol in zip(texts(columns, "exchange"), texts(columns, "instrument"), strict=True):
        if symbol != asked_for:
            others.setdefault(symbol, []).append(name)

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        told = f" means {meant}" if meant.partition(" ")[0] != text else meant.removeprefix(text)
        yield Text.assemble((text, "bold"), told)
        yield from _fitted(_instrument_layouts(columns), [*ordered, *rows.values()], width)
        for symbol, names in others.items():
            yield _grey(f"{symbol} stands for it on {', '.join(names)}, where {asked_for} is not listed")
        yield from map(_grey, _instrument_notes(columns))

    return _Page(parts)


_INACTIVE = " ¹"


def _instrument_rows(shown: dict[str, Any]) -> list[_Row]:
    named = {name: texts(shown, name) for name in ("exchange", "instrument", "id", "kind", "expiry", "base", "quote")}
    counts = {
        name: numbers(shown, name).tolist()
        for name in ("tick", "lot", "lot_quote", "min_amount", "min_notional", "contract_size", "multiplier")
    }
    charged = {name: numbers(shown, f"{name}_bps").tolist() for name in ("taker", "maker")}
    active = flags(shown, "active")
    rows = []
    for row, name in enumerate(named["exchange"]):
        base, quote, kind = named["base"][row], named["quote"][row], named["kind"][row]
        told = {key: values[row] for key, values in counts.items()}
        amount_least, worth_least = _unit(told["min_amount"], base), _unit(told["min_notional"], quote)
        taker, maker = (bps(charged[side][row]) for side in ("taker", "maker"))
        cells = {
            "instrument": named["instrument"][row], "id": named["id"][row],
            "market": market_name(kind, named["expiry"][row]), "expires": day(named["expiry"][row]),
            "tick": exact(told["tick"]), "lot": _unit(told["lot"], base) or _unit(told["lot_quote"], quote) or ABSENT,
            "least": ", ".join(filter(None, (amount_least, worth_least))) or ABSENT,
            "amount": amount_least or worth_least or ABSENT, "worth": worth_least if amount_least else "",
            "contract": _contract(kind, base, quote, told["contract_size"], told["multiplier"]),
            "factor": f"×{exact(told['multiplier'])}" if told["multiplier"] > 1 else "",
            "taker": taker, "maker": maker, "fees": f"{taker}/{maker}",
        }  # fmt: skip
        rows.append(_Row(name, cells) if active[row] else _Row(f"{name}{_INACTIVE}", cells, style=_GREY))
    return rows


def _unit(value: float, unit: str) -> str:
    """Write a step or a minimum with its unit, nothing where the venue has none."""
    return f"{exact(value)} {unit}" if value > 0 else ""


def _contract(kind: str, base: str, quote: str, size: float, multiplier: float) -> str:
    """Write what one contract is worth: the venue's own coins may be so many of ours."""
    if kind == "spot":
        return ABSENT
    return _unit(size, quote) if kind == "inverse" else _unit(size * multiplier, base)


_HEADS = {
    "name": "venue", "instrument": "symbol", "least": "minimum", "amount": "minimum", "worth": "", "n_venues": "venues",
}  # fmt: skip
_TO_THE_LEFT = frozenset({"name", "instrument", "id", "market", "expires", "exchanges"})


def _single(key: str) -> _Column:
    """Return a column of one cell a row, its head on the line above the first."""
    return _Column((key,), ("", _HEADS.get(key, key)), key in _TO_THE_LEFT)


def _stack(*keys: str, height: int = 2) -> _Column:
    """Return a column of cells one above the other, headed by their names in the same places."""
    heads = [_HEADS.get(key, key) for key in keys]
    return _Column(keys, (*heads, *[""] * (height - len(heads))), keys[0] in _TO_THE_LEFT)


def _instrument_layouts(shown: dict[str, Any]) -> list[tuple[list[_Column], int]]:
    """Return the layouts of instruments in one, two or three lines, without what none of them has."""
    dated, multiplied = any(texts(shown, "expiry")), bool((numbers(shown, "multiplier") > 1).any())
    expires, factor = ["expires"] * dated, ["factor"] * multiplied
    contract = ["contract"] * any(kind != "spot" for kind in texts(shown, "kind"))
    names = ("name", "instrument", "id", "market", *expires, "tick", "lot", "least", *contract, *factor)
    wide = [*map(_single, names), _Column(("fees",), ("taker/maker", "bps"))]
    named = [_stack("name", "market"), _stack("instrument", "id")]
    counted = [_stack("lot", *contract), _stack("amount", "worth"), _stack("taker", "maker")]
    middle = [*named, *map(_stack, expires), _stack("tick", *factor), *counted]
    narrow = [*named, _stack("tick", *(factor or expires)), *counted]
    high = [
        _stack("name", "market", height=3), _stack("instrument", "id", *expires, height=3),
        _stack("tick", "taker", "maker", height=3), _stack("lot", *contract, *factor, height=3),
        _stack("amount", "worth", height=3),
    ]  # fmt: skip
    return [(wide, 2), (middle, 2), (narrow, 2), (narrow, 1), (high, 2), (high, 1)]


_WHOSE = {"published": "as published", "venue": "as the venue lists them", "account": "your account's"}


def _instrument_notes(shown: dict[str, Any]) -> Iterator[str]:
    """Return what needs saying of the instruments shown: whose fees, and words that one may not know."""
    if not flags(shown, "active").all():
        yield f"{_INACTIVE.strip()} not traded at present"
    kinds = set(texts(shown, "kind"))
    if "inverse" in kinds:
        yield "inverse: contracts of a fixed amount of the quote currency, settled in the base"
    if (numbers(shown, "multiplier") > 1).any():
        yield "factor: coins in one unit of the venue's own (1000PEPE: ×1,000); all numbers are per coin"
    fees: dict[str, dict[str, dict[str, dict[str, None]]]] = {}
    names = zip(*(texts(shown, name) for name in ("fee_source", "exchange", "kind", "expiry")), strict=True)
    for source, exchange, kind, expiry in names:
        whose, _, which = source.partition(": ")
        if source:
            fees.setdefault(whose, {}).setdefault(which, {}).setdefault(exchange, {})[market_name(kind, expiry)] = None
    for whose, tiers in fees.items():
        said = []
        for which, owners in tiers.items():
            charged = [f"{name} {', '.join(markets)}" for name, markets in owners.items()]
            said.append(f"{which} ({'; '.join(charged)})")
        yield f"fees in bps of notional, {_WHOSE.get(whose, whose)}: {'; '.join(said)}"


# --- what is worth looking at


def universe_table(frame: pd.DataFrame, head: str, currency: str, most: int) -> RenderableType:
    """Return what is traded on enough venues, a row per asset, kind and expiry, `most` at most."""
    shown = columns_of(frame.head(most))
    named = zip(*(texts(shown, name) for name in ("base", "kind", "expiry", "exchanges")), strict=True)
    told = zip(
        *(numbers(shown, name).tolist() for name in ("n_venues", "price", "dispersion_bps", "quote_volume")),
        numbers(shown, "base_volume").tolist(), strict=True,
    )  # fmt: skip
    rows = [
        _Row(
            base,
            {
                "market": market_name(kind, expiry), "expires": day(expiry), "exchanges": exchanges.replace(",", " "),
                "n_venues": f"{venues:.0f}", "price": _priced(price), "dispersion": bps(dispersion),
                "quote": amount(worth), "base": amount(size),
            },
        )
        for (base, kind, expiry, exchanges), (venues, price, dispersion, worth, size) in zip(named, told, strict=True)
    ]  # fmt: skip
    expires = ["expires"] * any(texts(shown, "expiry"))
    narrow = [
        _Column(("name",), ("", "asset")), *map(_single, ("market", *expires, "n_venues")),
        _Column(("price",), ("price", currency)), _Column(("dispersion",), ("dispersion", "bps")),
        _Column(("quote",), ("24h vol", currency)), _Column(("base",), ("24h vol", "base")),
    ]  # fmt: skip
    wide = [*narrow, _single("exchanges")]

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(head, style="bold")
        if rows:
            yield from _fitted(((wide, 2), (wide, 1), (narrow, 2), (narrow, 1)), rows, width)
        if len(frame) > most:
            yield Text(f"and {len(frame) - most:,} more: --top N shows fewer, --csv or --json all")
        yield from map(_grey, _told_once(shown, "volume_partial", ",", "no volume from"))
        yield from map(_grey, _told_once(shown, "excluded", ", ", "not counted,"))
        for quote, source in frame.attrs.get("fx", {}).items():
            if source != "identity":
                yield _grey(f"{quote} → {currency}: {_rate_source(source)}")
        yield from map(_grey, left_out_of(frame))

    return _Page(parts)


def _priced(value: float) -> str:
    """Write a price of whatever size with seven digits at most."""
    return fixed(value, decimals([float(f"{value:.6g}")], 7))


def _told_once(shown: dict[str, Any], column: str, separator: str, words: str) -> Iterator[str]:
    """Say what a column says of venues, once for all assets that it is true of."""
    found: dict[str, list[str]] = {}
    for base, text in zip(texts(shown, "base"), texts(shown, column), strict=True):
        for one in filter(None, text.split(separator)):
            if base not in found.setdefault(one, []):
                found[one].append(base)
    for one, bases in found.items():
        yield f"{words} {one}: {', '.join(bases)}"


def left_out(dropped: Mapping[str, str], answered: Collection[str] = ()) -> list[str]:
    """Return a line for each venue that is left out, or that answered for a part of its markets alone."""
    return [f"{name} is left out{' in part' if name in answered else ''}, {why}" for name, why in dropped.items()]


def left_out_of(frame: pd.DataFrame) -> list[str]:
    """Return the lines on venues that a frame of several markets lacks, or lacks in part."""
    return left_out(frame.attrs.get("dropped", {}), frame.attrs.get("answered", ()))


def books_table(snap: CrossExchangeData, levels: int) -> RenderableType:
    """Return the venues' books as one, its `levels` best on each side, and how deep each venue's own is.

    The merged book is that of the venues that the price is made of, or of all where there is no price.
    """
    return _Page(lambda width: _book_parts(snap, levels, width))


def _book_parts(snap: CrossExchangeData, levels: int, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    yield _title(snap)
    yield ""
    rows, crossed = _ladder(snap, levels)
    yield from _fitted(_ladder_layouts(snap), rows, width)
    if crossed:
        yield _grey(crossed)
    yield ""
    price = fixed(reference_of(snap), price_places(snap))
    yield Text(f"depth up to a distance from the price {price}, in {snap.currency}", style="bold")
    depth, notes = _depth_rows(snap)
    wide, narrow = _depth_layouts()
    yield from _fitted(((wide, 2), (wide, 1), (narrow, 2), (narrow, 1)), depth, width)
    yield from map(_grey, notes)
    yield from map(_grey, left_out({name: drop.text for name, drop in snap.dropped.items()}))


def _ladder(snap: CrossExchangeData, levels: int) -> tuple[list[_Row], str]:
    """Return the best levels of all venues, bids beside asks, and a remark where they cross."""
    import numpy as np

    books = concat(snap.books, "books")
    used = {name for name, data in snap.exchanges_data.items() if data["weight"] > 0} or set(snap.exchanges_data)
    owners, sides = np.array(texts(books, "exchange")), np.array(texts(books, "side"))
    price, size = numbers(books, "price"), numbers(books, "size")
    merged: dict[str, list[tuple[str, float, float, float, float]]] = {}
    reference = reference_of(snap)
    for side, sign in SIDES:
        mine = np.flatnonzero((sides == side) & np.isin(owners, list(used)))
        best = mine[np.argsort(sign * price[mine], kind="stable")][:levels]
        sums = np.cumsum(price[best] * size[best])
        away = 1e4 * (price[best] / reference - 1)
        columns = (price[best].tolist(), size[best].tolist(), sums.tolist(), away.tolist())
        merged[side] = list(zip(owners[best].tolist(), *columns, strict=True))
    sizes = [row[2] for rows in merged.values() for row in rows]
    converted = {name for name, data in snap.exchanges_data.items() if data["fx_rate"] != 1}
    native = [row[1] for rows in merged.values() for row in rows if row[0] not in converted]
    places = (
        decimals(native) if native else price_places(snap),
        decimals([float(f"{value:.4g}") for value in sizes], 4),
    )
    rows = []
    for level in range(max(map(len, merged.values()))):
        row = _Row("")
        for side, _ in SIDES:
            cells = merged[side][level] if level < len(merged[side]) else None
            written = ("", "", "", "", "") if cells is None else (
                cells[0], fixed(cells[1], places[0]), fixed(cells[2], places[1]), amount(cells[3]),
                bps(cells[4], signed=True),
            )  # fmt: skip
            names = ("venue", "price", "size", "sum", "away")
            row.cells |= {f"{side} {name}": text for name, text in zip(names, written, strict=True)}
        row.name = row.cells["bid venue"]
        rows.append(row)
    return rows, _crossing(merged, places[0])


def _crossing(merged: Mapping[str, Sequence[tuple[str, float, float, float, float]]], places: int) -> str:
    if not merged["bid"] or not merged["ask"]:
        return ""
    bid, ask = merged["bid"][0], merged["ask"][0]
    if bid[1] <= ask[1]:
        return ""
    return (
        f"the books cross by {bps(1e4 * (bid[1] / ask[1] - 1))} bps before fees: "
        f"{bid[0]} bids {fixed(bid[1], places)}, {ask[0]} asks {fixed(ask[1], places)}"
    )


def _ladder_layouts(snap: CrossExchangeData) -> list[tuple[list[_Column], int]]:
    base, currency = snap.instrument.base, snap.currency
    heads = {"away": ("from price", "bps"), "sum": ("sum", currency), "size": ("size", base)}

    def layout(*names: str) -> list[_Column]:
        bids = [_Column((f"bid {name}",), heads[name]) for name in names]
        asks = [_Column((f"ask {name}",), heads[name]) for name in reversed(names)]
        return [
            _Column(("name",), ("", "bids of")), *bids, _Column(("bid price",), ("", "bid")),
            _Column(("ask price",), ("", "ask"), left=True), *asks, _Column(("ask venue",), ("", "asks of"), left=True),
        ]  # fmt: skip

    wide, middle, narrow = layout("away", "sum", "size"), layout("sum", "size"), layout("size")
    return [(wide, 2), (middle, 2), (middle, 1), (narrow, 2), (narrow, 1)]


def depths(snap: CrossExchangeData) -> list[dict[str, Any]]:
    """Return per venue with a book its spread, its score, and what its book holds near the price.

    `bid` and `ask` are sums in the snapshot's currency by distance from the price in bps. A side that the venue cut
    is known as far as `bid_reach_bps` or `ask_reach_bps`: sums further away are at least that large.
    """
    curves = depth_curves(snap, reference_of(snap), all_books=True)
    place = {name: row for row, name in enumerate(texts(snap.columns, "exchange"))}
    rows = []
    for name, sides in curves.items():
        row: dict[str, Any] = {
            "exchange": name,
            "spread_bps": float(numbers(snap.columns, "spread_bps")[place[name]]),
            "liquidity_score": float(numbers(snap.columns, "liquidity_score")[place[name]]),
            "censored": any(curve.cut for curve in sides.values()),
        }
        for side, _ in SIDES:
            curve = sides.get(side)
            sums = [0.0] * len(DEPTHS_BPS) if curve is None else curve.within(DEPTHS_BPS).tolist()
            row[side] = dict(zip(map(str, DEPTHS_BPS), sums, strict=True))
            row[f"{side}_reach_bps"] = float(curve.away[-1]) if curve is not None and curve.cut else math.inf
        rows.append(row)
    return rows


def _depth_rows(snap: CrossExchangeData) -> tuple[list[_Row], list[str]]:
    """Return a row per venue, one of all that the price is made of, and the remarks on them."""
    place = {name: row for row, name in enumerate(texts(snap.columns, "exchange"))}
    notes = _footnotes(snap, place)
    marks = {name: _MARKS[number % len(_MARKS)] for number, names in enumerate(notes.values()) for name in names}
    found = depths(snap)
    rows = []
    for row in found:
        name = row["exchange"]
        cells = {"spread": bps(row["spread_bps"]), "score": _scored(row["liquidity_score"], cut=row["censored"])}
        for side, _ in SIDES:
            cells[f"{side} side"] = f"{side}s"
            for away, worth in row[side].items():
                cells[f"{side} {away}"] = _at_least(worth, beyond=float(away) > row[f"{side}_reach_bps"])
        style = "" if snap.exchanges_data[name]["weight"] > 0 else _GREY
        rows.append(_Row(f"{name} {marks[name]}" if name in marks else name, cells, style=style))
    used = [row for row in found if snap.exchanges_data[row["exchange"]]["weight"] > 0]
    if len(used) > 1:
        cells = {"spread": "", "score": _scored(snap.liquidity_score, cut=snap.liquidity_censored)}
        for side, _ in SIDES:
            cells[f"{side} side"] = f"{side}s"
            for away in map(str, DEPTHS_BPS):
                beyond = any(float(away) > row[f"{side}_reach_bps"] for row in used)
                cells[f"{side} {away}"] = _at_least(sum(row[side][away] for row in used), beyond=beyond)
        rows.append(_Row("all", cells, style="bold"))
    remarks = [f"{_MARKS[number % len(_MARKS)]} {text}" for number, text in enumerate(notes)]
    if any(row["censored"] for row in found):
        remarks.append("≥ the venue sends its book only so far: there may be more; a score with ≥ is a lower bound")
    return rows, remarks


def _scored(score: float, *, cut: bool) -> str:
    if not math.isfinite(score):
        return ABSENT
    return f"{'≥ ' if cut else ''}{score:.1f}"


def _at_least(worth: float, *, beyond: bool) -> str:
    return f"≥ {amount(worth)}" if beyond else amount(worth)


def _depth_layouts() -> tuple[list[_Column], list[_Column]]:
    first = [
        _Column(("name",), ("", "venue")), _Column(("spread",), ("spread", "bps")),
        _Column(("score",), ("score", "of 100")),
    ]  # fmt: skip
    wide = [
        *first,
        *(_Column((f"{side} {away}",), (f"{side}s to", f"{away} bps")) for side, _ in SIDES for away in DEPTHS_BPS),
    ]
    narrow = [
        *first, _Column(("bid side", "ask side"), ("", "side"), left=True),
        *(_Column((f"bid {away}", f"ask {away}"), ("to", f"{away} bps")) for away in DEPTHS_BPS),
    ]  # fmt: skip
    return wide, narrow


def trades_table(frame: pd.DataFrame, symbol: str, last: int) -> RenderableType:
    """Return the end of a tape, its newest trade at the bottom, and what was bought and sold on all of it."""
    shown = columns_of(frame.tail(last))
    rows, days = _trade_rows(shown)
    layout = [
        _Column(("name",), ("time", "UTC")), _Column(("venue",), ("", "venue"), left=True),
        _Column(("side",), ("taker", "side"), left=True), _Column(("price",), ("", "price")),
        _Column(("size",), ("size", (texts(shown, "base") or ["base"])[0])), _Column(("notional",), ("", "notional")),
        _Column(("quote",), ("", "in"), left=True),
    ]  # fmt: skip

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        day = f", {days[0]}" if len(days) == 1 else ""
        which = f"the last {len(rows)} of {len(frame):,} trades" if len(frame) > len(rows) else f"{len(rows)} trades"
        yield Text(f"{symbol}: {which}{day}", style="bold")
        yield from _fitted(((layout, 2), (layout, 1)), rows, width)
        yield ""
        yield from _tape_summary(frame)
        yield from map(_grey, left_out(frame.attrs.get("dropped", {})))

    return _Page(parts)


def _trade_rows(shown: dict[str, Any]) -> tuple[list[_Row], list[str]]:
    """Return a row per trade, and the days they fall on."""
    times = [datetime.fromtimestamp(stamp / 1e3, UTC) for stamp in numbers(shown, "exchange_time")]
    days = sorted({f"{moment:%Y-%m-%d}" for moment in times})
    prices, sizes, notionals = (numbers(shown, name).tolist() for name in ("price", "size", "notional"))
    quotes, venues, sides = (texts(shown, name) for name in ("quote", "exchange", "side"))
    places = {
        quote: decimals([price for price, its in zip(prices, quotes, strict=True) if its == quote])
        for quote in dict.fromkeys(quotes)
    }
    size_places = min(decimals(sizes), 8)
    rows = []
    for row, moment in enumerate(times):
        cells = {
            "venue": venues[row], "side": sides[row], "price": fixed(prices[row], places[quotes[row]]),
            "size": fixed(sizes[row], size_places), "quote": quotes[row],
            "notional": fixed(notionals[row], 2 if quotes[row] in STABLE else 8),
        }  # fmt: skip
        clock = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
        name = clock if len(days) == 1 else f"{moment:%m-%d} {clock}"
        rows.append(_Row(name, cells, style={"buy": "green", "sell": "red"}.get(sides[row], "")))
    return rows, days


def _tape_summary(frame: pd.DataFrame) -> Iterator[RenderableType]:
    from rich.text import Text

    base = frame["base"].iloc[0]
    told = []
    for side, word in (("buy", "bought"), ("sell", "sold")):
        mine = frame[frame["side"] == side]
        told.append(f"{amount(float(mine['size'].sum()))} {base} {word} in {len(mine):,} trades")
    counts = ", ".join(f"{name} {count:,}" for name, count in frame["exchange"].value_counts(sort=False).items())
    yield Text(f"takers on the whole tape: {', '.join(told)}; trades by venue: {counts}")
    notes = {
        name: set(str(flags or "").split(",")) for name, flags in zip(frame["exchange"], frame["flags"], strict=True)
    }
    if bundled := [name for name, words in notes.items() if "bundled" in words]:
        yield _grey(f"{', '.join(bundled)}: one row adds up what one order took at one price")
    if other := [name for name, words in notes.items() if "substitute" in words]:
        yield _grey(f"{', '.join(other)}: the nearest market there has another quote currency")


# --- books of all venues as one ----------------------------------------------------------------------------

SIDES = (("bid", -1.0), ("ask", 1.0))


def reference_of(snap: CrossExchangeData) -> float:
    """Return what distances are measured from: the price, or the median mid where there is none."""
    if math.isfinite(snap.aggregated_price):
        return snap.aggregated_price
    known = [data["price"] for data in snap.exchanges_data.values() if math.isfinite(data["price"])]
    return median(known) if known else math.nan


@dataclass(frozen=True, slots=True)
class Curve:
    """One side of a book: each level's distance from the price in bps, rising, and what has added up there."""

    away: Any
    worth: Any
    cut: bool

    def within(self, distances: Any) -> Any:
        """Return what the side holds up to each distance, as an array."""
        import numpy as np

        return np.concatenate([[0.0], self.worth])[np.searchsorted(self.away, distances, side="right")]


def depth_curves(snap: CrossExchangeData, reference: float, *, all_books: bool = False) -> dict[str, dict[str, Curve]]:
    """Return the curves of both sides of the books that the price is made of, or of all."""
    import numpy as np

    found: dict[str, dict[str, Curve]] = {}
    books = concat(snap.books, "books")
    if not books or not math.isfinite(reference):
        return found
    owners, sides = np.array(texts(books, "exchange")), np.array(texts(books, "side"))
    price, size, cut = numbers(books, "price"), numbers(books, "size"), flags(books, "censored")
    for name, data in snap.exchanges_data.items():
        if data["weight"] <= 0 and not all_books:
            continue
        for side, sign in SIDES:
            mine = (owners == name) & (sides == side)
            away = sign * 1e4 * (price[mine] / reference - 1)
            order = np.argsort(away, kind="stable")
            worth = np.cumsum((price[mine] * size[mine])[order])
            if len(worth):
                found.setdefault(name, {})[side] = Curve(away[order], worth, bool(cut[mine].any()))
    return found


def doctor_table(frame: pd.DataFrame, base: str) -> RenderableType:
    """Return a line per contract: its figures, how many times those of the other source they are, the verdict.

    What is not fine says why below.
    """
    from rich.text import Text

    source = str(frame.attrs.get("reference", "the other source"))
    records = frame.to_dict("records")
    lines = [_doctor_row(volume, interest) for volume, interest in zip(records[::2], records[1::2], strict=True)]
    layout = [
        _Column(("name",), ("", "exchange")), _Column(("instrument",), ("", "contract"), left=True),
        _Column(("volume",), ("volume", "24 h")), _Column(("volume_ratio",), ("ours /", "theirs")),
        _Column(("interest",), ("open", "interest")), _Column(("interest_ratio",), ("ours /", "theirs")),
        _Column(("verdict",), ("", "verdict"), left=True),
    ]  # fmt: skip
    causes: dict[str, list[str]] = {}
    for row in records:
        if row["verdict"] not in {"fine", "absent"}:
            cause = f"{row['verdict']}; {row['detail']}"
            causes.setdefault(f"{row['exchange']}, {row['figure']}: {cause}", []).append(row["instrument"])
    notes = [f"{cause} ({', '.join(contracts)})" for cause, contracts in causes.items()]
    small = [
        f"{source} counts {figure} {'half of what the venues count' if ratio > 1 else 'once for each side'}: "
        f"all are about {ratio:.2g} × theirs, and each is compared with the others"
        for figure, ratio in frame.attrs.get("convention", {}).items()
    ]
    if unmatched := frame.attrs.get("unmatched"):
        small.append(f"only at {source}: {', '.join(unmatched)}")

    def parts(width: int) -> Iterator[RenderableType]:
        yield Text(f"{base} contracts in coins, against {source}", style="bold")
        yield from _fitted(((layout, 2), (layout, 1)), lines, width)
        yield from (Text(note) for note in notes)
        yield from map(_grey, [*small, *left_out_of(frame)])

    return _Page(parts)


def _doctor_row(volume: Mapping[Any, Any], interest: Mapping[Any, Any]) -> _Row:
    """Return the line of one contract; the worse verdict of its two figures stands for it."""
    worst = min((volume["verdict"], interest["verdict"]), key=("two-sided", "unit", "differs", "absent", "fine").index)
    cells = {
        "instrument": volume["instrument"], "verdict": worst,
        "volume": amount(volume["ours_base"]), "volume_ratio": _times(volume["ratio_base"]),
        "interest": amount(interest["ours_base"]), "interest_ratio": _times(interest["ratio_base"]),
    }  # fmt: skip
    return _Row(volume["exchange"], cells, style="bold" if worst in {"two-sided", "unit"} else "")


def _times(ratio: float) -> str:
    if not math.isfinite(ratio):
        return ABSENT
    return f"{ratio:.2f}" if 0.095 < ratio < 99.5 else f"{ratio:.2g}"


def installation_table(rows: Sequence[Mapping[str, object]]) -> RenderableType:
    """Return a line per fact about the installation, what is not good marked."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(str(row["what"]), Text("" if row["good"] else "wrong:"), Text(str(row["found"]), overflow="fold"))
    return table
