"""What venues list, as tables: instruments, what a symbol means, what is worth looking at, what is installed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xex.model.instruments import SECTIONS, kind_of, parse_symbol
from xex.model.schema import columns_of, flags, numbers, texts
from xex.page import (
    ABSENT,
    GREY,
    Column,
    Page,
    Row,
    _said,
    amount,
    bps,
    day,
    decimals,
    duration,
    exact,
    fitted,
    fixed,
    grey,
    left_out_of,
    percent,
    rate_source,
    single,
    stack,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from xex.planning import Plan


def market_name(kind: str, expiry: str = "") -> str:
    """Return what people call a kind of market.

    >>> market_name("linear"), market_name("inverse"), market_name("linear", "261225"), market_name("inverse", "261225")
    ('perp', 'inverse perp', 'future', 'inverse future')
    """
    inverse = "inverse " if kind == "inverse" else ""
    return kind if kind == "spot" else f"{inverse}future" if expiry else f"{inverse}perp"


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
            Row(
                venue,
                {
                    **{name: _said(name in has) for name in markets},
                    **{name: _said(able[name]) for name in questions},
                    "markets": ", ".join(name for name in markets if name in has),
                    **_in_two_lines([name.replace("_", " ") for name in questions if able[name]]),
                    **{name: _said(mine[0][name]) for name in ("key", "priority", "package")},
                },
            )
        )
    told = f"installed connectors ({packages.pop()})" if len(packages) == 1 else "installed connectors"
    about = f"{told}; key: whether one is set in the environment, priority: 1 is asked first"
    return Page(
        lambda width: [
            Text(about),
            *fitted(_venue_layouts(markets, questions, packaged=bool(packages)), lines, width),
        ]
    )


def _in_two_lines(answered: Sequence[str]) -> dict[str, str]:
    """Return what a venue answers, the few that fit beside its name and the others."""
    return {"answers": ", ".join(answered[:A_LINE]), "and": ", ".join(answered[A_LINE:])}


A_LINE = 4
"""How many questions stand in one line of a narrow table."""


def _venue_layouts(
    markets: Sequence[str], questions: Sequence[str], *, packaged: bool
) -> list[tuple[list[Column], int]]:
    def column(name: str) -> Column:
        first, _, last = name.replace("_", " ").rpartition(" ")
        return Column((name,), (first, last), left=True)

    package = ["package"] * packaged
    about = [Column(("key",), ("", "key"), left=True), Column(("priority",), ("", "priority"))]
    wide = [Column(("name",), ("", "venue")), *map(column, [*markets, *questions]), *about, *map(column, package)]
    said = ("markets", "answers", *["and"] * (len(questions) > A_LINE), *package)
    blank = [""] * (len(said) - 1)
    narrow = [
        Column(("name",), ("venue", *blank)), Column(said, said, left=True),
        Column(("key",), ("key", *blank), left=True), Column(("priority",), ("priority", *blank)),
    ]  # fmt: skip
    return [(wide, 3), (wide, 2), (wide, 1), (narrow, 2), (narrow, 1)]


def instruments_table(frame: pd.DataFrame, head: str, most: int) -> RenderableType:
    """Return what venues list, a row per instrument, `most` at most."""
    shown = columns_of(frame.head(most))
    rows = _instrument_rows(shown)

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(head, style="bold")
        yield from fitted(_instrument_layouts(shown), rows, width)
        if len(frame) > most:
            yield Text(f"and {len(frame) - most:,} more: name a symbol to see fewer, --csv or --json shows all")
        yield from map(grey, _instrument_notes(shown))
        yield from map(grey, left_out_of(frame))

    return Page(parts)


def lookup_table(frame: pd.DataFrame, text: str) -> RenderableType:
    """Return what a symbol means on every venue: the instrument there, or why there is none."""
    asked_for, others = frame.attrs["instrument"], dict[str, list[str]]()
    asked = parse_symbol(asked_for).instrument
    columns = columns_of(frame)
    rows = {row.name.removesuffix(_INACTIVE): row for row in _instrument_rows(columns)}
    for name, why in frame.attrs["dropped"].items():
        rows.setdefault(name, Row(name, reason=why))
    ordered = [rows.pop(name) for name in frame.attrs["asked"] if name in rows]
    meant = asked_for if asked is None else asked.description
    for name, symbol in zip(texts(columns, "exchange"), texts(columns, "instrument"), strict=True):
        if symbol != asked_for:
            others.setdefault(symbol, []).append(name)

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        told = f" means {meant}" if meant.partition(" ")[0] != text else meant.removeprefix(text)
        yield Text.assemble((text, "bold"), told)
        yield from fitted(_instrument_layouts(columns), [*ordered, *rows.values()], width)
        for symbol, names in others.items():
            yield grey(f"{symbol} stands for it on {', '.join(names)}, where {asked_for} is not listed")
        yield from map(grey, _instrument_notes(columns))

    return Page(parts)


_INACTIVE = " ¹"


def _instrument_rows(shown: dict[str, Any]) -> list[Row]:
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
        rows.append(Row(name, cells) if active[row] else Row(f"{name}{_INACTIVE}", cells, style=GREY))
    return rows


def _unit(value: float, unit: str) -> str:
    """Write a step or a minimum with its unit, nothing where the venue has none."""
    return f"{exact(value)} {unit}" if value > 0 else ""


def _contract(kind: str, base: str, quote: str, size: float, multiplier: float) -> str:
    """Write what one contract is worth: the venue's own coins may be so many of ours."""
    if kind == "spot":
        return ABSENT
    return _unit(size, quote) if kind == "inverse" else _unit(size * multiplier, base)


def _instrument_layouts(shown: dict[str, Any]) -> list[tuple[list[Column], int]]:
    """Return the layouts of instruments in one, two or three lines, without what none of them has."""
    dated, multiplied = any(texts(shown, "expiry")), bool((numbers(shown, "multiplier") > 1).any())
    expires, factor = ["expires"] * dated, ["factor"] * multiplied
    contract = ["contract"] * any(kind != "spot" for kind in texts(shown, "kind"))
    names = ("name", "instrument", "id", "market", *expires, "tick", "lot", "least", *contract, *factor)
    wide = [*map(single, names), Column(("fees",), ("taker/maker", "bps"))]
    named = [stack("name", "market"), stack("instrument", "id")]
    counted = [stack("lot", *contract), stack("amount", "worth"), stack("taker", "maker")]
    middle = [*named, *map(stack, expires), stack("tick", *factor), *counted]
    narrow = [*named, stack("tick", *(factor or expires)), *counted]
    high = [
        stack("name", "market", height=3), stack("instrument", "id", *expires, height=3),
        stack("tick", "taker", "maker", height=3), stack("lot", *contract, *factor, height=3),
        stack("amount", "worth", height=3),
    ]  # fmt: skip
    return [(wide, 2), (middle, 2), (narrow, 2), (narrow, 1), (high, 2), (high, 1)]


_WHOSE = {"published": "as published", "given": "as the connector gives them", "account": "your account's"}


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


def cycles_table(frame: pd.DataFrame) -> RenderableType:
    """Return ways round markets, one to a paragraph: what it earns, what stops it, and its legs."""
    shown = columns_of(frame)
    named = zip(*(texts(shown, name) for name in ("currency", "gate", "legs", "amounts")), strict=True)
    told = zip(*(numbers(shown, name).tolist() for name in ("net_bps", "quantity", "profit", "age_ms")), strict=True)

    def parts(width: int) -> Iterator[RenderableType]:  # noqa: ARG001  text folds by itself
        from rich.text import Text

        yield Text(
            _certified(frame) if not len(frame) else f"{_some(len(frame), 'way')} round spot markets", style="bold"
        )
        for (currency, gate, legs, amounts), (net, quantity, profit, age) in zip(named, told, strict=True):
            stopped = f", stopped by {gate}" if gate else ""
            yield Text(
                f"{bps(net)} bps net, {amount(profit)} {currency} on {amount(quantity)}, {age / 1e3:.1f} s old{stopped}"
            )
            yield Text(f"  {legs}")
            if amounts:
                yield grey(f"  {amounts}")
        left = frame.attrs.get("left_out", [])
        if left:
            yield grey(f"left out: {_some(len(left), 'market')}, " + _counted(row["reasons"] for row in left))
        yield from map(grey, (f"no book: {name}: {why}" for name, why in frame.attrs.get("books_dropped", {}).items()))
        yield from map(grey, left_out_of(frame))

    return Page(parts)


def _certified(frame: pd.DataFrame) -> str:
    proof = frame.attrs.get("certificate")
    if proof is None:
        return "no way round spot markets pays as much"
    lost = f"{-proof['slack_bps']:.1f} bps"
    return (
        f"no way round spot markets pays: there are prices at which the best trade, {proof['edge']}, still loses {lost}"
    )


def _some(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"


def _counted(words: Iterable[str]) -> str:
    """Return words with how often each is there, the most frequent first."""
    return ", ".join(f"{count:,} {word}" for word, count in Counter(words).most_common())


def universe_table(frame: pd.DataFrame, head: str, currency: str, most: int) -> RenderableType:
    """Return what is traded on enough venues, a row per asset, kind and expiry, `most` at most."""
    shown = columns_of(frame.head(most))
    named = zip(*(texts(shown, name) for name in ("base", "kind", "expiry", "exchanges")), strict=True)
    told = zip(
        *(numbers(shown, name).tolist() for name in ("n_venues", "price", "dispersion_bps", "quote_volume")),
        numbers(shown, "base_volume").tolist(), strict=True,
    )  # fmt: skip
    rows = [
        Row(
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
        Column(("name",), ("", "asset")), *map(single, ("market", *expires, "n_venues")),
        Column(("price",), ("price", currency)), Column(("dispersion",), ("dispersion", "bps")),
        Column(("quote",), ("24h vol", currency)), Column(("base",), ("24h vol", "base")),
    ]  # fmt: skip
    wide = [*narrow, single("exchanges")]

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(head, style="bold")
        if rows:
            yield from fitted(((wide, 2), (wide, 1), (narrow, 2), (narrow, 1)), rows, width)
        if len(frame) > most:
            yield Text(f"and {len(frame) - most:,} more: --top N shows fewer, --csv or --json all")
        yield from map(grey, _told_once(shown, "volume_partial", ",", "no volume from"))
        yield from map(grey, _told_once(shown, "excluded", ", ", "not counted,"))
        for quote, source in frame.attrs.get("fx", {}).items():
            if source != "identity":
                yield grey(f"{quote} → {currency}: {rate_source(source)}")
        yield from map(grey, left_out_of(frame))

    return Page(parts)


def networks_table(frame: pd.DataFrame) -> RenderableType:
    """Return which networks assets can be moved by, a row per asset, exchange and network that is told of."""
    shown = columns_of(frame)
    names = ("asset", "exchange", "network", "deposit", "withdraw", "source")
    told = zip(*(texts(shown, name) for name in names), numbers(shown, "withdraw_fee").tolist(), strict=True)
    rows = [
        Row(
            f"{asset} {exchange}",
            {"network": network, "deposit": into, "withdraw": out, "fee": ABSENT if fee != fee else exact(fee)},
        )
        for asset, exchange, network, into, out, source, fee in sorted(told, key=lambda row: row[:3])
        if source != "unknown"
    ]
    heads = {"network": "network", "deposit": "deposits", "withdraw": "withdrawals", "fee": "fee"}
    layout = [Column(("name",), ("asset",), left=True), *(Column((key,), (head,)) for key, head in heads.items())]

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(f"networks of {', '.join(frame.attrs['assets'])}", style="bold")
        if rows:
            yield from fitted([(layout, 2), (layout, 1)], rows, width)
        yield from map(grey, left_out_of(frame))

    return Page(parts)


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


_LEVELS = {"up": "", "degraded": "yellow", "down": "red", "unknown": GREY}


def health_table(frame: pd.DataFrame) -> RenderableType:
    """Return a line per exchange of the schema `health`; what is not as it should be says why below."""
    words = ("why", "errors", "last_error", "left_alone", "venue_status")
    records = frame.fillna(dict.fromkeys(words, "")).to_dict("records")
    rows = [Row(one["exchange"], _health_cells(one), style=_LEVELS[one["status"]]) for one in records]
    aged = ["age"] * any(one["data_age_ms"] == one["data_age_ms"] for one in records)
    alone = ["alone"] * any(one["left_alone"] for one in records)
    counts = [f"{count} {level}" for level in _LEVELS if (count := sum(one["status"] == level for one in records))]

    def parts(width: int) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text(f"{len(records)} venue{'s' * (len(records) != 1)}: {', '.join(counts)}", style="bold")
        yield from fitted(_health_layouts(aged, alone), rows, width)
        for one in records:
            yield from (Text(note) for note in _health_notes(one))
        if failed := [f"{one['exchange']} {one['errors']}" for one in records if one["errors"]]:
            yield grey(f"failures so far: {'; '.join(failed)}")

    return Page(parts)


def _health_cells(one: Mapping[Any, Any]) -> dict[str, str]:
    skew = one["skew_ms"]
    return {
        "status": one["status"], **{name: duration(one[f"latency_{name}"]) for name in ("p50", "p95", "p99")},
        "uptime": percent(one["uptime_percentage"] / 100), "probed": duration(1e3 * one["probed_s"]),
        "failing": percent(one["error_rate"]), "age": duration(one["data_age_ms"]),
        "skew": f"{'+' if skew > 0 else '-' if skew < 0 else ''}{duration(abs(skew))}",
        "alone": str(len(one["left_alone"].split(", "))) if one["left_alone"] else ABSENT,
    }  # fmt: skip


def _health_layouts(aged: list[str], alone: list[str]) -> list[tuple[list[Column], int]]:
    heads = {
        "name": ("", "venue"), "status": ("", "status"), "p50": ("latency", "p50"), "p95": ("", "p95"),
        "p99": ("", "p99"), "uptime": ("", "uptime"), "probed": ("looked", "at for"), "failing": ("failed", "in 1 min"),
        "skew": ("clock", "ahead"), "age": ("data", "age"), "alone": ("left", "alone"),
    }  # fmt: skip
    names = ("name", "status", "p50", "p95", "p99", "uptime", "probed", "failing", "skew", *aged, *alone)
    wide = [Column((name,), heads[name], left=name == "status") for name in names]
    narrow = [
        Column(("name", "status"), ("venue", "status")), Column(("p50", "p95"), ("p50", "p95")),
        Column(("p99", "failing"), ("p99", "failed")), Column(("uptime", "probed"), ("uptime", "over")),
        Column(("skew", *aged), ("clock", *(["data age"] * bool(aged) or [""]))),
        *[Column((name,), ("left", "alone")) for name in alone],
    ]  # fmt: skip
    return [(wide, 3), (wide, 2), (wide, 1), (narrow, 2), (narrow, 1)]


def _health_notes(one: Mapping[Any, Any]) -> Iterator[str]:
    """Say why an exchange is not up, what is left alone of it, and what it says itself."""
    name, word = one["exchange"], one["venue_status"]
    if one["status"] not in {"up", "unknown"}:
        yield f"{name} is {one['status']} since {one['since']:%H:%M:%S} UTC: {one['why']}"
    if one["left_alone"] and one["left_alone"] not in one["why"]:
        yield f"{name}: left alone after failures: {one['left_alone']}"
    if word not in {"", "ok", *(one[text] for text in ("why", "last_error"))}:
        yield f"{name} says: {word}" if word != "no answer in time" else f"{name}: {word}"


def doctor_table(frame: pd.DataFrame, base: str) -> RenderableType:
    """Return a line per contract: its figures, how many times those of the other source they are, the verdict.

    What is not fine says why below.
    """
    from rich.text import Text

    source = str(frame.attrs.get("reference", "the other source"))
    records = frame.to_dict("records")
    lines = [_doctor_row(volume, interest) for volume, interest in zip(records[::2], records[1::2], strict=True)]
    layout = [
        Column(("name",), ("", "exchange")), Column(("instrument",), ("", "contract"), left=True),
        Column(("volume",), ("volume", "24 h")), Column(("volume_ratio",), ("ours /", "theirs")),
        Column(("interest",), ("open", "interest")), Column(("interest_ratio",), ("ours /", "theirs")),
        Column(("verdict",), ("", "verdict"), left=True),
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
        yield from fitted(((layout, 2), (layout, 1)), lines, width)
        yield from (Text(note) for note in notes)
        yield from map(grey, [*small, *left_out_of(frame)])

    return Page(parts)


def _doctor_row(volume: Mapping[Any, Any], interest: Mapping[Any, Any]) -> Row:
    """Return the line of one contract; the worse verdict of its two figures stands for it."""
    worst = min((volume["verdict"], interest["verdict"]), key=("two-sided", "unit", "differs", "absent", "fine").index)
    cells = {
        "instrument": volume["instrument"], "verdict": worst,
        "volume": amount(volume["ours_base"]), "volume_ratio": _times(volume["ratio_base"]),
        "interest": amount(interest["ours_base"]), "interest_ratio": _times(interest["ratio_base"]),
    }  # fmt: skip
    return Row(volume["exchange"], cells, style="bold" if worst in {"two-sided", "unit"} else "")


def _times(ratio: float) -> str:
    if not math.isfinite(ratio):
        return ABSENT
    return f"{ratio:.2f}" if 0.095 < ratio < 99.5 else f"{ratio:.2g}"


def checkup_table(rows: Sequence[Mapping[str, object]]) -> RenderableType:
    """Return a line per check, what is not good marked, and below them what to do, each thing once."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    fixes: dict[str, list[str]] = {}
    for row in rows:
        what, good, found = str(row["what"]), bool(row["good"]), Text(str(row["found"]), overflow="fold")
        table.add_row(Text(what, style="" if good else "bold"), Text("" if good else "wrong:", style="red"), found)
        if row["fix"]:
            fixes.setdefault(str(row["fix"]), []).append(what)
    count = sum(not row["good"] for row in rows)
    told = [Text.assemble((f"{', '.join(names)}: ", "bold"), fix) for fix, names in fixes.items()]
    head = [Text(f"{count} of {len(rows)} checks found something wrong. What to do:", style="bold")] if count else []
    return Group(table, *([Text("")] if count else []), *head, *told)


_COLUMNS_SHOWN = 9
"""How many columns of a source's answer a terminal shows; the other forms have all."""


def endpoints_table(rows: Sequence[Mapping[str, str]]) -> RenderableType:
    """Return a line per endpoint of a source: its name, the least plan, and its parameters, in brackets if optional."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("endpoint", "plan", "parameters"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(Text(row["name"]), Text(row["plan"]), Text(row["parameters"]))
    return table


def source_table(frame: pd.DataFrame, head: str, most: int) -> RenderableType:
    """Return the first rows and columns of a source's answer, and how many more there are."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    names = list(frame.columns[:_COLUMNS_SHOWN])
    table = Table(box=None, pad_edge=False, header_style="bold", title=head, title_justify="left")
    for name in names:
        table.add_column(name, justify="right" if frame[name].dtype.kind == "f" else "left", overflow="fold")
    for cells in frame[names].head(most).itertuples(index=False):
        table.add_row(*(Text(_plain(cell)) for cell in cells))
    rows, columns = max(0, len(frame) - most), len(frame.columns) - len(names)
    parts = [f"{count:,} more {what}" for count, what in ((rows, "rows"), (columns, "columns")) if count]
    more = [Text(f"{' and '.join(parts)}: --csv, --json or --parquet FILE", style="dim")] if parts else []
    empty = [] if len(frame) else [Text("nothing", style="dim")]
    return Group(table, *empty, *more)


def _plain(cell: object) -> str:
    """Return one cell for people: numbers with their digits, times in UTC, an absent one as such."""
    if cell is None or cell != cell:
        return ABSENT
    if isinstance(cell, float):
        return f"{cell:,.10g}"
    return f"{cell:%Y-%m-%d %H:%M:%S}" if hasattr(cell, "strftime") else str(cell)


def plan_table(plan: Plan) -> RenderableType:
    """Return what a question would cost: the sum in a line, then a row per exchange and budget."""
    from rich.text import Text

    columns, spread = plan.columns, _budgets_together(plan.columns)
    lines = []
    for place, exchange in enumerate(columns["exchange"]):
        if place not in spread:
            continue
        weight, limit = columns["weight"][place], columns["limit"][place]
        own = f", {spread[place]} of them" if spread[place] > 1 else ""
        rule = f"{limit:g} in {columns['window_s'][place]:g} s{own}" if math.isfinite(limit) else "none known"
        cells = {
            "host": columns["host"][place], "budget": columns["budget"][place].rstrip("$"), "limit": rule,
            "requests": f"{columns['requests'][place]:,.0f}", "weight": f"{weight:,.0f}",
            "used": f"{columns['used'][place]:,.0f}", "wait": _seconds_of(columns["wait_s"][place]),
            "ends": _seconds_of(columns["duration_s"][place]),
            "unfit": f"{columns['unfit'][place]:,.0f}" if columns["unfit"][place] else "",
        }  # fmt: skip
        lines.append(Row(exchange, cells, style="yellow" if columns["unfit"][place] else ""))
    names = {
        "requests": ("", "requests"), "weight": ("", "weight"), "used": ("used", "now"), "limit": ("", "limit"),
        "wait": ("last", "waits"), "ends": ("all", "done"), "unfit": ("too", "late"),
    }  # fmt: skip
    figures = [Column((key,), head, left=key == "limit") for key, head in names.items()]
    who, host, budget = (
        Column((key,), ("", head), left=True)
        for key, head in (("name", "exchange"), ("host", "host"), ("budget", "budget"))
    )
    tries = [([who, host, budget, *figures], 2), ([who, host, *figures], 2), ([who, *figures], 2), ([who, *figures], 1)]
    notes = [f"{exchange} would not be asked, {drop.text}" for exchange, drop in plan.dropped.items()]
    style = "" if plan.fits else "yellow"
    return Page(lambda width: [Text(str(plan), style=style), *fitted(tries, lines, width), *map(Text, notes)])


def _budgets_together(columns: Mapping[str, Sequence[Any]]) -> dict[int, int]:
    """Return which rows are shown: of budgets that each value has for itself, the slowest stands for all."""
    best: dict[tuple[str, str, str], int] = {}
    count: dict[tuple[str, str, str], int] = {}
    for place, key in enumerate(zip(columns["exchange"], columns["host"], columns["budget"], strict=True)):
        count[key] = count.get(key, 0) + 1
        if key not in best or columns["duration_s"][place] > columns["duration_s"][best[key]]:
            best[key] = place
    return {place: count[key] for key, place in best.items()}


def _seconds_of(seconds: float) -> str:
    return f"{seconds:,.1f} s" if seconds >= 0.05 else "0"
