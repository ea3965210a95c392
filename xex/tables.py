"""How one question's answer looks as tables, for terminals and notebooks: a snapshot, books, tapes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from xex.errors import Drop, Dropped
from xex.model.instruments import STABLE
from xex.model.schema import columns_of, concat, flags, numbers, texts
from xex.page import (
    ABSENT,
    GREY,
    MARKS,
    Column,
    Page,
    Row,
    amount,
    bps,
    decimals,
    duration,
    fitted,
    fixed,
    grey,
    left_out,
    percent,
    rate_source,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from xex.answer import CrossExchangeData

SHOWN = 5
"""How many opportunities the table lists."""


_OTHER = Drop(Dropped.OTHER_CURRENCY)


def snapshot_table(snap: CrossExchangeData) -> RenderableType:
    """Return what a terminal shows of an answer: a row per venue, the totals, the opportunities.

    Venues that are left out are grey and say why. Where the width does not hold all columns (about 100
    characters), each venue takes two lines.
    """
    return Page(lambda width: _snapshot_parts(snap, width))


def _snapshot_parts(snap: CrossExchangeData, width: int) -> Iterator[RenderableType]:
    rows, notes = _venue_rows(snap)
    wide, narrow = _layouts(snap)
    yield _title(snap)
    yield ""
    yield from fitted(((wide, 2), (wide, 1), (narrow, 2), (narrow, 1)), rows, width)
    yield from map(grey, notes)
    if snap.instrument.kind == "inverse":
        base, quote = snap.instrument.base, snap.instrument.quote
        yield grey(f"inverse: contracts of a fixed amount of {quote}, settled in {base}; volumes are brought to {base}")
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


def _layouts(snap: CrossExchangeData) -> tuple[list[Column], list[Column]]:
    base, currency = snap.instrument.base, snap.currency
    one = {
        "name": Column(("name",), ("", "venue")),
        "price": Column(("price",), ("", "price")),
        "bid": Column(("bid",), ("", "bid")),
        "ask": Column(("ask",), ("", "ask")),
        "spread": Column(("spread",), ("spread", "bps")),
        "premium": Column(("premium",), ("premium", "bps")),
        "base": Column(("base",), ("24h vol", base)),
        "quote": Column(("quote",), ("24h vol", currency)),
        "age": Column(("age",), ("", "age")),
        "latency": Column(("latency",), ("", "latency")),
        "weight": Column(("weight",), ("", "weight")),
    }
    narrow = [
        one["name"], one["price"], Column(("bid", "ask"), ("bid", "ask")), one["spread"], one["premium"],
        Column(("base", "quote"), (f"24h {base}", f"24h {currency}")),
        Column(("age", "latency"), ("age", "latency")), one["weight"],
    ]  # fmt: skip
    return list(one.values()), narrow


def _venue_rows(snap: CrossExchangeData) -> tuple[list[Row], list[str]]:
    """Return the rows of all asked venues, and the footnotes their marks stand for."""
    columns = snap.columns
    place = {name: row for row, name in enumerate(texts(columns, "exchange"))}
    notes = _footnotes(snap, place)
    marks = _marks(notes)
    places = price_places(snap)
    rows = []
    for name in dict.fromkeys([*snap.asked, *snap.dropped]):
        drop = snap.dropped.get(name)
        mark = f" {marks[name]}" if name in marks else ""
        row = Row(f"{name}{mark}", reason="" if drop is None else drop.text)
        if name in place:
            row.cells = _cells(snap, name, place[name], places)
        rows.append(row)
    written = [f"{MARKS[number % len(MARKS)]} {text}" for number, text in enumerate(notes)]
    return rows, written


def _marks(notes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the marks of each venue that footnotes are about."""
    marks: dict[str, str] = {}
    for number, names in enumerate(notes.values()):
        for name in names:
            marks[name] = marks.get(name, "") + MARKS[number % len(MARKS)]
    return marks


def _footnotes(snap: CrossExchangeData, place: dict[str, int]) -> dict[str, list[str]]:
    """Return the remark on each venue that needs one; a remark is said once for all venues it is true of."""
    columns = snap.columns
    notes: dict[str, list[str]] = {}
    rates: dict[tuple[str, float | None, str], list[str]] = {}
    for name, row in place.items():
        quote, source = texts(columns, "quote")[row], texts(columns, "fx_source")[row]
        if quote != snap.currency:
            rate = float(numbers(columns, "fx_rate")[row])
            rates.setdefault((quote, rate if math.isfinite(rate) else None, source), []).append(name)
        for flag in texts(columns, "flags")[row].split(","):
            if flag.startswith("no_book:"):
                notes.setdefault(f"no book ({flag.removeprefix('no_book:')}); the quote is the ticker's", []).append(
                    name
                )
    converted = {}
    for (quote, known, source), names in rates.items():
        alone = len(names) == 1
        if source == "peg":
            said = f", taken at par with {snap.currency} (peg): no rate was measured"
        elif known is not None:
            said = f"; 1 {quote} = {known:.6f} {snap.currency} ({rate_source(source)})"
        elif all(snap.dropped.get(name) == _OTHER for name in names):
            said = f": {'its' if alone else 'their'} numbers are in {quote}"
        else:
            said = f"; there is no rate to {snap.currency}, {'its' if alone else 'their'} numbers are in {quote}"
        converted[f"{', '.join(names)} quote{'s' if alone else ''} {quote}{said}"] = names
    return {**converted, **notes}


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


def _summary(snap: CrossExchangeData) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style=GREY)
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
    grid.add_row("buy on → sell on", "quantity", "net profit", "net", style=GREY)
    for row in rows[:SHOWN]:
        grid.add_row(
            f"{row['exchange_low']} → {row['exchange_high']}",
            f"{amount(row['quantity'])} {snap.instrument.base}",
            Text(f"{amount(row['net_profit'])} {row['currency']}", style="green"),
            f"{row['net_profit_pct']:+.3f}%",
        )
    yield grid
    if len(rows) > SHOWN:
        yield grey(f"and {len(rows) - SHOWN} more")


DEPTHS_BPS = (10, 25, 50, 100)
"""How far from the price the depth of books is added up."""


def books_table(snap: CrossExchangeData, levels: int) -> RenderableType:
    """Return the venues' books as one, its `levels` best on each side, and how deep each venue's own is.

    The merged book is that of the venues that the price is made of, or of all where there is no price.
    """
    return Page(lambda width: _book_parts(snap, levels, width))


def _book_parts(snap: CrossExchangeData, levels: int, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    yield _title(snap)
    yield ""
    rows, crossed = _ladder(snap, levels)
    yield from fitted(_ladder_layouts(snap), rows, width)
    if crossed:
        yield grey(crossed)
    yield ""
    price = fixed(reference_of(snap), price_places(snap))
    yield Text(f"depth up to a distance from the price {price}, in {snap.currency}", style="bold")
    depth, notes = _depth_rows(snap)
    wide, narrow = _depth_layouts()
    yield from fitted(((wide, 2), (wide, 1), (narrow, 2), (narrow, 1)), depth, width)
    yield from map(grey, notes)
    yield from map(grey, left_out({name: drop.text for name, drop in snap.dropped.items()}))


def _ladder(snap: CrossExchangeData, levels: int) -> tuple[list[Row], str]:
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
        row = Row("")
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


def _ladder_layouts(snap: CrossExchangeData) -> list[tuple[list[Column], int]]:
    base, currency = snap.instrument.base, snap.currency
    heads = {"away": ("from price", "bps"), "sum": ("sum", currency), "size": ("size", base)}

    def layout(*names: str) -> list[Column]:
        bids = [Column((f"bid {name}",), heads[name]) for name in names]
        asks = [Column((f"ask {name}",), heads[name]) for name in reversed(names)]
        return [
            Column(("name",), ("", "bids of")), *bids, Column(("bid price",), ("", "bid")),
            Column(("ask price",), ("", "ask"), left=True), *asks, Column(("ask venue",), ("", "asks of"), left=True),
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


def _depth_rows(snap: CrossExchangeData) -> tuple[list[Row], list[str]]:
    """Return a row per venue, one of all that the price is made of, and the remarks on them."""
    place = {name: row for row, name in enumerate(texts(snap.columns, "exchange"))}
    notes = _footnotes(snap, place)
    marks = _marks(notes)
    found = depths(snap)
    rows = []
    for row in found:
        name = row["exchange"]
        cells = {"spread": bps(row["spread_bps"]), "score": _scored(row["liquidity_score"], cut=row["censored"])}
        for side, _ in SIDES:
            cells[f"{side} side"] = f"{side}s"
            for away, worth in row[side].items():
                cells[f"{side} {away}"] = _at_least(worth, beyond=float(away) > row[f"{side}_reach_bps"])
        style = "" if snap.exchanges_data[name]["weight"] > 0 else GREY
        rows.append(Row(f"{name} {marks[name]}" if name in marks else name, cells, style=style))
    used = [row for row in found if snap.exchanges_data[row["exchange"]]["weight"] > 0]
    if len(used) > 1:
        cells = {"spread": "", "score": _scored(snap.liquidity_score, cut=snap.liquidity_censored)}
        for side, _ in SIDES:
            cells[f"{side} side"] = f"{side}s"
            for away in map(str, DEPTHS_BPS):
                beyond = any(float(away) > row[f"{side}_reach_bps"] for row in used)
                cells[f"{side} {away}"] = _at_least(sum(row[side][away] for row in used), beyond=beyond)
        rows.append(Row("all", cells, style="bold"))
    remarks = [f"{MARKS[number % len(MARKS)]} {text}" for number, text in enumerate(notes)]
    if any(row["censored"] for row in found):
        remarks.append("≥ the venue sends its book only so far: there may be more; a score with ≥ is a lower bound")
    return rows, remarks


def _scored(score: float, *, cut: bool) -> str:
    if not math.isfinite(score):
        return ABSENT
    return f"{'≥ ' if cut else ''}{score:.1f}"


def _at_least(worth: float, *, beyond: bool) -> str:
    return f"≥ {amount(worth)}" if beyond else amount(worth)


def _depth_layouts() -> tuple[list[Column], list[Column]]:
    first = [
        Column(("name",), ("", "venue")), Column(("spread",), ("spread", "bps")),
        Column(("score",), ("score", "of 100")),
    ]  # fmt: skip
    wide = [
        *first,
        *(Column((f"{side} {away}",), (f"{side}s to", f"{away} bps")) for side, _ in SIDES for away in DEPTHS_BPS),
    ]
    narrow = [
        *first, Column(("bid side", "ask side"), ("", "side"), left=True),
        *(Column((f"bid {away}", f"ask {away}"), ("to", f"{away} bps")) for away in DEPTHS_BPS),
    ]  # fmt: skip
    return wide, narrow


def trades_table(frame: pd.DataFrame, symbol: str, last: int) -> RenderableType:
    """Return the end of a tape, its newest trade at the bottom, and what was bought and sold on all of it."""
    shown = columns_of(frame.tail(last))
    rows, days = _trade_rows(shown)
    layout = [
        Column(("name",), ("time", "UTC")), Column(("venue",), ("", "venue"), left=True),
        Column(("side",), ("taker", "side"), left=True), Column(("price",), ("", "price")),
        Column(("size",), ("size", (texts(shown, "base") or ["base"])[0])), Column(("notional",), ("", "notional")),
        Column(("quote",), ("", "in"), left=True),
    ]  # fmt: skip

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        day = f", {days[0]}" if len(days) == 1 else ""
        which = f"the last {len(rows)} of {len(frame):,} trades" if len(frame) > len(rows) else f"{len(rows)} trades"
        yield Text(f"{symbol}: {which}{day}", style="bold")
        yield from fitted(((layout, 2), (layout, 1)), rows, width)
        yield ""
        yield from _tape_summary(frame)
        yield from map(grey, left_out(frame.attrs.get("dropped", {})))

    return Page(parts)


def _trade_rows(shown: dict[str, Any]) -> tuple[list[Row], list[str]]:
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
        rows.append(Row(name, cells, style={"buy": "green", "sell": "red"}.get(sides[row], "")))
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
        yield grey(f"{', '.join(bundled)}: one row adds up what one order took at one price")
    if other := [name for name, words in notes.items() if "substitute" in words]:
        yield grey(f"{', '.join(other)}: the nearest market there has another quote currency")


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
