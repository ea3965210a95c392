"""Bodies in the venues' own formats, typed by hand or recorded, and the numbers in base units that they mean."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from tests.conformance.suite import (
    QUOTE,
    Contract,
    assert_book,
    assert_close,
    assert_identified,
    assert_schema,
    assert_tape,
    own,
    sole,
)
from tests.conformance.worlds import DATA, Venue, blank, golden, handed, rows_of
from xex.errors import BadPayload
from xex.model import schema
from xex.model.instruments import SECTIONS, Section, kind_of, parse_symbol
from xex.model.schema import Columns

QUESTIONS = ("instruments", "tickers", "books", "trades", "open_interest", "funding")
CELLS = 130
"""How many cells of venue, section and question at least have a body typed by hand."""


async def asked(
    connector: Any, question: str, section: Section, symbols: Sequence[str], *, dated: bool = True
) -> list[dict[str, Any]]:
    """Ask one question about symbols, or about all instruments of a section, and return the rows of the answer."""
    if question == "instruments":
        table = await connector.listings([section])
        columns: Columns = {"instrument": table.symbols, "group": table.groups, **table.columns}
        assert_schema(columns, question)
        rows = list(rows_of(columns))
        return [rows[row] for row in own(table, section).values()]
    instruments = [parse_symbol(symbol).instrument for symbol in symbols]
    columns = await getattr(connector, question)(instruments)
    assert_schema(columns, question)
    for row in range(schema.length(columns)):
        one = sole(columns, row)
        instrument = parse_symbol(one["instrument"][0]).instrument
        assert instrument is not None
        assert instrument in instruments
        assert_identified(one, instrument, dated=dated)
    if question == "books":
        assert_book(columns)
    if question == "trades":
        assert_tape(columns)
    return list(rows_of(columns))


class GoldenNumbers(Contract):
    """Bodies in the venue's own format, and the numbers in base units that they mean, both typed by hand."""

    def answers(self, venue: Venue, case: Mapping[str, Any]) -> dict[str, Any]:
        """Return the bodies of a case together with the list of instruments that it needs."""
        listed = golden(venue.name)["instruments"].get(case["section"], {})
        return {**listed, **case.get("answers", {})}

    def test_every_cell_is_filled_or_known_to_be_absent(self, venue: Venue) -> None:
        filled, absent = cells(venue.name)
        assert filled.isdisjoint(absent)
        assert {(section, question) for section in SECTIONS for question in QUESTIONS} <= filled | absent.keys()
        askable = {(section, question) for section in venue.sections for question in QUESTIONS}
        assert filled == askable - absent.keys()
        assert all(absent.values())
        assert {"time", "status"} <= {case["question"] for case in golden(venue.name)["cases"]}

    def test_every_case_says_what_proves_its_units(self, venue: Venue) -> None:
        seen = {(section, question) for section, question, _ in venue.recorded}
        seen |= {(section, "instruments") for section in venue.listed}
        for case in golden(venue.name)["cases"]:
            cell = (case["section"], case["question"])
            assert case["why"], cell
            assert case["proof"], cell
            evidence = {"recorded" if cell in seen else "documented"} if case["section"] else {"recorded", "documented"}
            assert case["evidence"] in evidence, cell

    async def test_a_body_means_these_numbers(self, venue: Venue, case: Any) -> None:
        connector = await handed(venue, self.answers(venue, case))
        if case["question"] == "time":
            assert (await connector.server_time()).server_ms == case["value"]
            return
        if case["question"] == "status":
            assert await connector.status() == case["value"]
            return
        rows = await asked(connector, case["question"], case["section"], case.get("ask", ()))
        assert len(rows) == len(case["rows"])
        for row, wanted in zip(rows, case["rows"], strict=True):
            for name, value in wanted.items():
                if isinstance(value, str | bool):
                    assert row[name] == value, name
                else:
                    assert_close(row[name], value, name, rel=1e-12)

    async def test_the_same_body_without_numbers_gives_none(self, venue: Venue, case: Any) -> None:
        question, section = case["question"], case["section"]
        if question in {"time", "status"}:
            return
        bodies = {**self.answers(venue, case)}
        emptied = golden(venue.name)["instruments"][section] if question == "instruments" else case["answers"]
        connector = await handed(venue, {**bodies, **{part: blank(body) for part, body in emptied.items()}})
        if question in {"books", "trades"}:
            with pytest.raises(BadPayload):
                await asked(connector, question, section, case["ask"])
            return
        try:
            rows = await asked(connector, question, section, case.get("ask", ()), dated=False)
        except BadPayload:  # a contract of unknown size is left out, and a list must hold something
            assert question == "instruments"
            return
        if question == "instruments" and section.endswith("_dated"):
            assert not rows, "a contract of unknown expiry"
            return
        if question in {"open_interest", "funding"}:
            assert not rows, "a contract without a figure"
            return
        assert rows
        names = STEPS if question == "instruments" else QUOTE
        for row in rows:
            assert all(math.isnan(row.get(name, math.nan)) for name in names)


def cells(venue: str) -> tuple[set[tuple[str, str]], dict[tuple[str, str], str]]:
    """Return the (section, question) that a venue's hand-typed bodies fill, and why others cannot be."""
    table = golden(venue)
    filled = {(case["section"], case["question"]) for case in table["cases"] if case["section"]}
    return filled, {(cell["section"], cell["question"]): cell["fact"] for cell in table["absent"]}


STEPS = ("tick", "lot", "lot_quote", "min_amount", "min_notional")
FETCH = {
    "tickers": "fetchTicker", "books": "fetchOrderBook", "trades": "fetchTrades",
    "open_interest": "fetchOpenInterest", "time": "fetchTime", "status": "fetchStatus",
}  # fmt: skip
needs_recorded = pytest.mark.skipif(not DATA.is_dir(), reason="needs recorded data: ../shared/data or XEX_DATA")


def responses(venue: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the recorded bodies of a venue by question and description, with what ccxt made of them."""
    path = DATA / "response" / f"{venue}.json"
    methods = json.loads(path.read_bytes())["methods"] if path.exists() else {}
    return {(question, case["description"]): case for question, name in FETCH.items() for case in methods.get(name, ())}


def markets(venue: Venue, section: Section) -> dict[str, dict[str, Any]]:
    """Return the recorded instruments of one section: ccxt's reading and, as `info`, the venue's own row."""
    kind = kind_of(section)
    found = json.loads((DATA / "markets" / f"{venue.lab_name(kind)}.json").read_bytes())
    wanted = "spot" if kind == "spot" else "future" if section.endswith("_dated") else "swap"
    return {
        market["symbol"]: market
        for market in found.values()
        if market["type"] == wanted and (kind == "spot" or market[kind]) and market.get("info")
    }


def steps(market: Mapping[str, Any], section: Section, coins: int, *, contracts: bool) -> dict[str, float]:
    """Return ccxt's steps and minimums of an instrument: in coins, those of inverse contracts in quote currency."""
    size, least = market["contractSize"] or 1, market["limits"].get("amount", {}).get("min") or math.nan
    said = {"contract_size": size, "multiplier": coins, "tick": market["precision"]["price"] / coins}
    lot = market["precision"]["amount"]
    if kind_of(section) == "inverse":
        worth = market["limits"].get("cost", {}).get("min") or math.nan
        return said | {"lot_quote": lot * size, "min_notional": float(np.fmax(least * size, worth))}
    scale = size * coins if contracts else coins
    return said | {"lot": lot * scale, "min_amount": least * scale}


@needs_recorded
class RecordedLists(Contract):
    """Real rows of instruments: ccxt's own reading of them, which its authors checked, in base units."""

    def lists(self, venue: Venue, section: Section) -> dict[str, Any]:
        """Return the recorded instruments in the envelope of the body typed by hand."""
        ((part, body),) = golden(venue.name)["instruments"][section].items()
        return {part: with_rows(body, {market["id"]: market["info"] for market in markets(venue, section).values()})}

    def test_what_was_recorded_is_what_is_tested(self, venue: Venue) -> None:
        known = {(question, name) for _, question, name in (*venue.recorded, *venue.unasked)}
        assert known == responses(venue.name).keys()
        found = {section: len(markets(venue, section)) for section in venue.sections}
        assert {section: count for section, count in found.items() if count} == venue.listed

    async def test_instruments_have_ccxts_names_sizes_and_steps(self, venue: Venue, listed: Section) -> None:
        connector = await handed(venue, self.lists(venue, listed))
        table = await connector.listings([listed])
        rows = own(table, listed)
        assert len(rows) == len(table)
        for symbol, market in markets(venue, listed).items():
            coins = 1000 if listed == "linear" and "1000" in market["base"] else 1
            row = rows.pop(symbol.replace("1000", "") if coins > 1 else symbol)
            said = {name: table.columns[name][row] for name in table.columns}
            assert said["id"] == market["id"]
            assert said["active"] is bool(market.get("active", True))
            assert_close(said["expiry_time"], market.get("expiry"), f"{symbol} expiry")
            theirs = steps(market, listed, coins, contracts=kind_of(listed) in venue.in_contracts)
            for name, value in theirs.items():
                if name not in venue.otherwise and not math.isnan(value):
                    assert_close(said[name], value, f"{symbol} {name}")
        assert rows == {}


class RecordedBodies(RecordedLists):
    """Real bodies of the other questions as well."""

    async def test_a_real_body_means_what_ccxt_read(self, venue: Venue, body: tuple[Section | None, str, str]) -> None:
        section, question, description = body
        case = responses(venue.name)[question, description]
        parsed = case["parsedResponse"]
        lists = self.lists(venue, section) if section else {}
        connector = await handed(venue, {**lists, "": case["httpResponse"]})
        if section is None:
            answer = (await connector.server_time()).server_ms if question == "time" else await connector.status()
            assert answer == (parsed if question == "time" else parsed["status"])
            return
        listed = markets(venue, section)[case["input"][0]]
        size = listed["contractSize"] or 1 if kind_of(section) in venue.in_contracts else 1
        rows = await asked(connector, question, section, case["input"][:1])
        getattr(self, f"assert_{question}")(rows, parsed, size)

    def assert_tickers(self, rows: list[dict[str, Any]], parsed: Mapping[str, Any], size: float) -> None:
        """Compare a ticker."""
        (row,) = rows
        theirs = {"bid": "bid", "ask": "ask", "last": "last", "open": "open", "high": "high", "low": "low",
                  "base_volume": "baseVolume", "quote_volume": "quoteVolume"}  # fmt: skip
        for name, key in theirs.items():
            assert_close(row[name], parsed[key], name)
        for name, key in {"bid_size": "bidVolume", "ask_size": "askVolume"}.items():
            assert_close(row[name], parsed[key] * size, name)
        assert parsed["timestamp"] is None or row["exchange_time"] == parsed["timestamp"]

    def assert_books(self, rows: list[dict[str, Any]], parsed: Mapping[str, Any], size: float) -> None:
        """Compare a book."""
        found = [(row["side"], row["price"], row["size"]) for row in rows]
        wanted = [(side, level[0], level[1] * size) for side in ("bid", "ask") for level in parsed[f"{side}s"]]
        assert [cells[:2] for cells in found] == [cells[:2] for cells in wanted]
        assert np.allclose([cells[2] for cells in found], [cells[2] for cells in wanted], rtol=1e-12, atol=0)
        for row in rows:
            assert_close(row["exchange_time"], parsed["timestamp"], "time")

    def assert_trades(self, rows: list[dict[str, Any]], parsed: Sequence[Mapping[str, Any]], size: float) -> None:
        """Compare a tape."""
        assert len(rows) == len(parsed)
        for row, done in zip(rows, parsed, strict=True):
            assert (row["trade_id"], row["side"], row["exchange_time"]) == (done["id"], done["side"], done["timestamp"])
            assert_close(row["price"], done["price"], "price")
            assert_close(row["size"], done["amount"] * size, "size")
            assert_close(row["notional"], done["cost"], "notional")

    def assert_open_interest(self, rows: list[dict[str, Any]], parsed: Mapping[str, Any], size: float) -> None:
        """Compare open interest: contracts and coins are one figure; its worth follows from a price elsewhere."""
        (row,) = rows
        assert_close(row["oi_base"], parsed["openInterestAmount"] * size, "contracts")
        assert_close(row["oi_base"], parsed["baseVolume"], "coins")
        assert_close(row["exchange_time"], parsed["timestamp"], "time")


def with_rows(body: Mapping[str, Any], rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return a list of instruments with other rows in its envelope."""
    for key, held in body.items():
        if isinstance(held, list) and held:
            return {**body, key: list(rows.values())}
        if isinstance(held, Mapping) and isinstance(held.get("list"), list):
            return {**body, key: {**held, "list": list(rows.values())}}
        if isinstance(held, Mapping):
            return {**body, key: dict(rows)}
    raise AssertionError("no rows in the envelope")
