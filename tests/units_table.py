"""Write docs/units.md: what each venue's numbers count, by market and question. Run ``python -m tests.units_table``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xex_connectors
from xex.model.instruments import SECTIONS, Section
from xex.model.units import counts_quote
from xex_connectors.mapping import Market

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs/units.md"
GOLDEN = ROOT / "tests/conformance/golden"
VENUES = {
    name.removesuffix("Connector").lower(): getattr(xex_connectors, name)
    for name in sorted(xex_connectors.__all__)
    if hasattr(getattr(xex_connectors, name), "homes")
}
QUESTIONS = ("instruments", "tickers", "books", "trades", "open_interest", "funding")

INTRODUCTION = """\
# What the venues' numbers count

Written by `python -m tests.units_table` from the venues' files; a test compares. Whatever a venue counts, a row of
xex has prices in quote currency per one base unit, sizes and volumes in base units, notionals in quote units; it
names its rule in `unit_rule`, and `snap.raw(exchange)` holds the payload that it came from.

- *base*: units of the base currency, after a multiplier in the name (1000PEPE) has been taken out.
- *contracts*: contracts of so many base units each; the venue's list says how many.
- *quote*, *contracts of quote*: units of the quote currency, or contracts of so many of them, as inverse ones are;
  at the price of their level or trade they are so many base units.
- *base × last*, *base × vwap*, *quote ÷ last*: the venue sends one of the two volumes, the other is derived.
- *halved*: the venue counts a trade once for the buyer and once for the seller, or what is open once for each side.
- *open in …*: what the figure of open contracts counts. *coins as sent*, *worth as sent*: the venue sends the other
  unit beside it; *at mark*, *at last*: it does not, and the mark price, else the last one, turns one into the other.

- *funding*: what longs pay at a settlement, as a fraction of notional; *every … h* where all settle alike, else where
  the interval stands. *settled* is fixed, *predicted* may change until the coming settlement.

Proof is the field of the payload that shows the rule. Evidence: *recorded*, a payload recorded from the venue shows
it; *documented*, the venue's documentation says it; *assumed*, neither. For each line a body typed by hand and the
numbers that it means stand in `tests/conformance/golden`.
"""


def rule_of(market: Market, question: str) -> str:
    """Return in words what the numbers of a question count."""
    units = market.units
    if question == "instruments":
        return f"lots and minimums in {units.lot}"
    if question == "tickers":
        halved = ", both volumes halved" if "volume" in units.two_sided else ""
        return f"sizes in {units.size}, volume in {units.base_volume}, quote volume in {units.quote_volume}{halved}"
    if question == "open_interest":
        return open_rule(market)
    if question == "funding":
        return funding_rule(market)
    return f"sizes in {units.size}" + (", halved" if question == "trades" and "trades" in units.two_sided else "")


def open_rule(market: Market) -> str:
    """Return in words what open interest counts, where its other unit comes from, and what is halved."""
    units, fields = market.units, market.interest.fields if market.interest else {}
    other, sent = ("coins", "oi_base") if counts_quote(units.size) else ("worth", "oi_quote")
    source = "as sent" if sent in fields else "at mark" if "mark" in fields else "at last"
    halved = ""
    if "open_interest" in units.two_sided:
        halved = ", halved unless one side's figure is sent" if "oi_single" in fields else ", both halved"
    return f"open in {units.size}, {other} {source}{halved}"


def funding_rule(market: Market) -> str:
    """Return in words what funding counts and how often it is paid."""
    spec = market.funding
    assert spec is not None
    asked = spec.named or spec.rates
    every = "between the coming settlement and the one after" if "after_time" in asked.fields else "beside the rate"
    if not asked.fields.keys() & {"after_time", "interval_hours"}:
        every = f"every {spec.hours:g} h" if spec.intervals is None else "in a list of its own"
        every += f", {spec.hours:g} h where that has none" if spec.intervals and spec.hours == spec.hours else ""
    return f"{market.units.funding}; {'settled' if spec.settled else 'predicted'}; interval {every}"


def cells() -> Iterator[tuple[str, Section, str, Market]]:
    """Yield every venue, section and question with the market whose rules hold."""
    for venue, connector in VENUES.items():
        for section in SECTIONS:
            if section in connector.homes:
                market = connector.markets[connector.homes[section]]
                for question in QUESTIONS:
                    if asks(market, section, question):
                        yield venue, section, question, market


def asks(market: Market, section: Section, question: str) -> bool:
    """Say whether a question is about a section: spot has nothing open, and what ends pays no funding."""
    if question == "funding":
        return market.funding is not None and not section.endswith("_dated")
    return question != "open_interest" or market.interest is not None


def golden(venue: str) -> dict[str, Any]:
    """Return the bodies typed by hand of a venue, and what it lacks."""
    found: dict[str, Any] = json.loads((GOLDEN / f"{venue}.json").read_bytes())
    return found


def table() -> str:
    """Return the whole document."""
    lines = [INTRODUCTION]
    for venue in VENUES:
        known = golden(venue)
        proven = {(case["section"], case["question"]): case for case in reversed(known["cases"])}
        lines += [f"## {venue.capitalize()}", "", "| market | question | the venue counts | proof | evidence |"]
        lines.append("|---|---|---|---|---|")
        for name, section, question, market in cells():
            if name == venue:
                case = proven[section, question]
                place = (section.replace("_", " "), question.replace("_", " "))
                words = (*place, rule_of(market, question), case["proof"], case["evidence"])
                lines.append(f"| {' | '.join(words)} |")
        lines += ["", "Not to be had, or not asked yet:", ""]
        for row in known["absent"]:
            lines.append(f"- {row['section'].replace('_', ' ')}, {row['question'].replace('_', ' ')}: {row['fact']}")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(table(), encoding="utf-8")
