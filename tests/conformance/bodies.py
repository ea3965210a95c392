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
    sole,
)
from tests.conformance.worlds import DATA, Venue, blank, golden, handed, rows_of
from tests.lab.truth import Kind
from xex.errors import BadPayload
from xex.model import schema
from xex.model.instruments import parse_symbol
from xex.model.schema import Columns


async def asked(
    connector: Any, question: str, kind: Kind, symbols: Sequence[str], *, dated: bool = True
) -> list[dict[str, Any]]:
    """Ask one question about symbols and return the rows of the answer."""
    if question == "instruments":
        table = await connector.listings([kind])
        columns: Columns = {"instrument": table.symbols, "group": table.groups, **table.columns}
        assert_schema(columns, question)
        return list(rows_of(columns))
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
        listed = golden(venue.name)["instruments"].get(case["kind"], {})
        return {**listed, **case.get("answers", {})}

    def test_every_question_of_every_market_has_one(self, venue: Venue) -> None:
        cases = {(case["kind"], case["question"]) for case in golden(venue.name)["cases"]}
        questions = ("instruments", "tickers", "books", "trades")
        assert cases == {*((kind, q) for kind in venue.kinds for q in questions), ("", "time"), ("", "status")}

    async def test_a_body_means_these_numbers(self, venue: Venue, case: Any) -> None:
        connector = await handed(venue, self.answers(venue, case))
        if case["question"] == "time":
            assert (await connector.server_time()).server_ms == case["value"]
            return
        if case["question"] == "status":
            assert await connector.status() == case["value"]
            return
        rows = await asked(connector, case["question"], case["kind"], case.get("ask", ()))
        assert len(rows) == len(case["rows"])
        for row, wanted in zip(rows, case["rows"], strict=True):
            for name, value in wanted.items():
                if isinstance(value, str | bool):
                    assert row[name] == value, name
                else:
                    assert_close(row[name], value, name, rel=1e-12)

    async def test_the_same_body_without_numbers_gives_none(self, venue: Venue, case: Any) -> None:
        question = case["question"]
        if question in {"time", "status"}:
            return
        bodies = {**self.answers(venue, case)}
        emptied = golden(venue.name)["instruments"][case["kind"]] if question == "instruments" else case["answers"]
        connector = await handed(venue, {**bodies, **{part: blank(body) for part, body in emptied.items()}})
        if question in {"books", "trades"}:
            with pytest.raises(BadPayload):
                await asked(connector, question, case["kind"], case["ask"])
            return
        try:
            rows = await asked(connector, question, case["kind"], case.get("ask", ()), dated=False)
        except BadPayload:  # a contract of unknown size is left out, and a list must hold something
            assert question == "instruments"
            return
        assert rows
        names = ("tick", "lot", "min_amount", "min_notional") if question == "instruments" else QUOTE
        for row in rows:
            assert all(math.isnan(row.get(name, math.nan)) for name in names)


FETCH = {
    "tickers": "fetchTicker", "books": "fetchOrderBook", "trades": "fetchTrades", "time": "fetchTime",
    "status": "fetchStatus",
}  # fmt: skip
needs_recorded = pytest.mark.skipif(not DATA.is_dir(), reason="needs recorded data: ../shared/data or XEX_DATA")


def responses(venue: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the recorded bodies of a venue by question and description, with what ccxt made of them."""
    path = DATA / "response" / f"{venue}.json"
    methods = json.loads(path.read_bytes())["methods"] if path.exists() else {}
    return {(question, case["description"]): case for question, name in FETCH.items() for case in methods.get(name, ())}


def markets(venue: Venue, kind: Kind) -> dict[str, dict[str, Any]]:
    """Return the recorded instruments of one market: ccxt's reading and, as `info`, the venue's own row."""
    found = json.loads((DATA / "markets" / f"{venue.lab_name(kind)}.json").read_bytes())
    return {
        symbol: market
        for symbol, market in found.items()
        if market["type"] == ("spot" if kind == "spot" else "swap")
        and (kind == "spot" or market["linear"])
        and market.get("info")
    }


@needs_recorded
class RecordedLists(Contract):
    """Real rows of instruments: ccxt's own reading of them, which its authors checked, in base units."""

    def lists(self, venue: Venue, kind: Kind) -> dict[str, Any]:
        """Return the recorded instruments in the envelope of the body typed by hand."""
        ((part, body),) = golden(venue.name)["instruments"][kind].items()
        return {part: with_rows(body, {market["id"]: market["info"] for market in markets(venue, kind).values()})}

    def test_what_was_recorded_is_what_is_tested(self, venue: Venue) -> None:
        assert {(question, name) for _, question, name in venue.recorded} == responses(venue.name).keys()
        assert {kind: len(markets(venue, kind)) for kind in venue.kinds} == venue.listed

    async def test_instruments_have_ccxts_names_sizes_and_steps(self, venue: Venue, kind: Kind) -> None:
        connector = await handed(venue, self.lists(venue, kind))
        table = await connector.listings([kind])
        rows = {table.symbols[row]: row for row in range(len(table))}
        for symbol, market in markets(venue, kind).items():
            coins = 1000 if kind == "linear" and "1000" in market["base"] else 1
            row = rows.pop(symbol.replace("1000", "") if coins > 1 else symbol)
            said = {name: table.columns[name][row] for name in table.columns}
            size = market["contractSize"] or 1
            scale = size * coins if kind in venue.in_contracts else coins
            assert said["id"] == market["id"]
            assert said["active"] is bool(market.get("active", True))
            theirs = {
                "contract_size": size, "multiplier": coins, "tick": market["precision"]["price"] / coins,
                "lot": market["precision"]["amount"] * scale,
                "min_amount": (market["limits"]["amount"].get("min") or math.nan) * scale,
            }  # fmt: skip
            for name, value in theirs.items():
                if name not in venue.otherwise and not math.isnan(value):
                    assert_close(said[name], value, f"{symbol} {name}")
        assert rows == {}


class RecordedBodies(RecordedLists):
    """Real bodies of the other questions as well."""

    async def test_a_real_body_means_what_ccxt_read(self, venue: Venue, body: tuple[Kind | None, str, str]) -> None:
        kind, question, description = body
        case = responses(venue.name)[question, description]
        parsed = case["parsedResponse"]
        lists = self.lists(venue, kind) if kind else {}
        connector = await handed(venue, {**lists, "": case["httpResponse"]})
        if kind is None:
            answer = (await connector.server_time()).server_ms if question == "time" else await connector.status()
            assert answer == (parsed if question == "time" else parsed["status"])
            return
        size = markets(venue, kind)[case["input"][0]]["contractSize"] or 1 if kind in venue.in_contracts else 1
        rows = await asked(connector, question, kind, case["input"][:1])
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
