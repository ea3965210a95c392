"""What a connector must do: one class for each Protocol of the port, inherited by the venues' test files.

What is expected comes from the truth of a world, or was typed by hand; never from the code that is judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import pandas as pd
import pytest

from tests.conformance.worlds import NOW_MS, Venue, World, instrument_of, rows_of, settles
from tests.lab import Market, currency_markets
from tests.lab.truth import Kind
from tests.lab.wire import uuid_of
from xex.access.port import (
    AnswersBooks,
    AnswersMarket,
    AnswersOpenInterest,
    AnswersStatus,
    AnswersTime,
    AnswersTrades,
    ConvertsCurrencies,
    ExchangeConnector,
    ListsInstruments,
)
from xex.errors import BadPayload, NotListed
from xex.model import clock, schema
from xex.model.instruments import SECTIONS, Instrument, Section, kind_of
from xex.model.listings import COLUMNS, Listings
from xex.model.schema import SCHEMAS, Columns

PROTOCOLS = (
    ExchangeConnector, ListsInstruments, AnswersBooks, AnswersTrades, AnswersMarket, AnswersOpenInterest, AnswersTime,
    AnswersStatus, ConvertsCurrencies,
)  # fmt: skip
QUOTE = (
    "bid", "bid_size", "ask", "ask_size", "last", "open", "high", "low", "mark", "index", "base_volume",
    "quote_volume",
)  # fmt: skip
IDENTITY = ("instrument", "group", "kind", "base", "quote", "settle")
SOURCES = {"quote", "trade", "server", "received"}
DTYPES = {schema.NUMBER: "float64", schema.TEXT: "str", schema.FLAG: "bool", schema.TIME: "datetime64[ms, UTC]"}
COVERED = 1_000_000
"""How much quote currency a side of a book shows before nobody asks for a deeper one."""


# --- what any rows must be, wherever they come from -------------------------------------------------------------


def assert_close(found: Any, wanted: Any, what: str, rel: float = 1e-9) -> None:
    """Fail unless two numbers agree, or both are absent."""
    want = math.nan if wanted is None else float(wanted)
    if math.isnan(want):
        assert math.isnan(found), f"{what}: {found!r} where nothing is stated"
    else:
        assert math.isclose(found, want, rel_tol=rel), f"{what}: {found!r}, expected {want!r}"


def assert_schema(columns: Columns, kind: str) -> pd.DataFrame:
    """Fail unless the columns are the schema's, equally long, and make a frame of all its columns and types."""
    checked = schema.checked(columns, kind)
    assert len({len(values) for values in checked.values()}) <= 1
    frame = schema.frame(columns, kind)
    assert list(frame.columns) == list(SCHEMAS[kind])
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        name: DTYPES[wanted] for name, wanted in SCHEMAS[kind].items()
    }
    return frame


def assert_identified(columns: Columns, instrument: Instrument, *, dated: bool = True) -> None:
    """Fail unless every row names its instrument, the rule of its units, what dates it and its response."""
    said = (instrument.symbol, instrument.group, instrument.kind, instrument.base, instrument.quote, instrument.settle)
    for row in rows_of(columns):
        assert tuple(row[name] for name in IDENTITY) == said
        assert row["unit_rule"]
        assert row["response_id"]
        assert row["time_source"] in SOURCES
        assert 1.6e12 < row["received_time"] < 4e12, "milliseconds"
        stated = math.isfinite(row.get("exchange_time", math.nan))
        assert not dated or stated == (row["time_source"] != "received")


def assert_book(columns: Columns) -> dict[str, list[tuple[float, float]]]:
    """Fail unless a book's sides are sorted, numbered from 0 and uncrossed; return them."""
    sides: dict[str, list[tuple[float, float]]] = {"bid": [], "ask": []}
    for row in rows_of(columns):
        assert row["level"] == len(sides[row["side"]])
        sides[row["side"]].append((row["price"], row["size"]))
    bids, asks = ([price for price, _ in sides[side]] for side in ("bid", "ask"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert not bids or not asks or bids[0] < asks[0]
    assert all(size > 0 for side in sides.values() for _, size in side)
    return sides


def assert_tape(columns: Columns) -> list[dict[str, Any]]:
    """Fail unless a tape is oldest first, each trade with the taker's side and its worth; return its rows."""
    rows = list(rows_of(columns))
    times = [row["exchange_time"] for row in rows]
    assert times == sorted(times)
    for row in rows:
        assert row["side"] in {"buy", "sell"}
        assert row["trade_id"]
        assert row["price"] > 0
        assert row["size"] > 0
        assert_close(row["notional"], row["price"] * row["size"], "notional")
    return rows


def ticker_of(venue: Venue, market: Market) -> dict[str, Any]:
    """Return what a ticker must say of a market: numbers per one base unit, None where the venue states none."""
    top = market.top
    turnover = market.base_volume * market.last if market.kind in venue.derived else market.quote_volume
    volume = market.quote_volume / market.last if market.kind in venue.divided else market.base_volume
    said = {
        "bid": top.bid, "bid_size": top.bid_size, "ask": top.ask, "ask_size": top.ask_size, "last": market.last,
        "open": market.open, "high": market.high, "low": market.low, "mark": market.mark, "index": market.index,
        "base_volume": volume, "quote_volume": turnover,
    }  # fmt: skip
    return {name: None if name in venue.absent.get(market.kind, ()) else value for name, value in said.items()}


def assert_tickers(venue: Venue, columns: Columns, markets: Iterable[Market], *, but: Sequence[str] = ()) -> None:
    """Fail unless there is exactly one row of each market, and its numbers are the truth's."""
    found = {row["instrument"]: row for row in rows_of(columns)}
    wanted = {instrument_of(market).symbol: market for market in markets}
    assert found.keys() == wanted.keys()
    assert len(found) == schema.length(columns)
    for symbol, market in wanted.items():
        for name, value in ticker_of(venue, market).items():
            if name not in but:
                assert_close(found[symbol].get(name, math.nan), value, f"{symbol} {name}")


def open_of(venue: Venue, market: Market) -> dict[str, Any]:
    """Return what is open of a contract, each counted once, in base and in quote units."""
    mark, coins = market.mark or market.last, market.open_interest or Decimal(0)
    if market.kind not in venue.open_at_last:
        return {"oi_base": coins, "oi_quote": coins * mark}
    if market.kind == "inverse":  # what was sent is so many dollars
        return {"oi_base": coins * mark / market.last, "oi_quote": coins * mark}
    return {"oi_base": coins, "oi_quote": coins * market.last}


def assert_open(venue: Venue, columns: Columns, markets: Iterable[Market], *, but: Sequence[str] = ()) -> None:
    """Fail unless there is exactly one row of each contract, and what is open of it is the truth's."""
    assert_schema(columns, "open_interest")
    found = {row["instrument"]: row for row in rows_of(columns)}
    wanted = {instrument_of(market).symbol: market for market in markets}
    assert found.keys() == wanted.keys()
    assert len(found) == schema.length(columns)
    for symbol, market in wanted.items():
        for name, value in open_of(venue, market).items():
            assert_close(found[symbol][name], None if name in but else value, f"{symbol} {name}")


def sole(columns: Columns, row: int) -> Columns:
    """Return one row of columns."""
    return schema.take(columns, [row])


def elsewhere(section: Section) -> Instrument:
    """Return what nobody lists."""
    coin, expiry = "NOSUCHCOIN", "261225" if section.endswith("_dated") else ""
    if kind_of(section) == "inverse":
        return Instrument(coin, "USD", "inverse", coin, expiry)
    return Instrument(coin, "USDT", kind_of(section), "USDT" if kind_of(section) == "linear" else "", expiry)


def own(table: Listings, section: Section) -> dict[str, int]:
    """Return the rows of one section by symbol: a venue may list perpetual and dated contracts together."""
    cells = enumerate(zip(table.columns["kind"], table.columns["expiry"], strict=True))
    dated = section.endswith("_dated")
    return {table.symbols[row]: row for row, (kind, day) in cells if kind == kind_of(section) and bool(day) is dated}


def steps_of(market: Market) -> dict[str, Any]:
    """Return what a list must say of steps and minimums: those of inverse contracts are in quote currency."""
    said: dict[str, Any] = {name: getattr(market, name) for name in ("tick", "contract_size", "multiplier")}
    if market.kind == "inverse":
        least = max(market.min_amount, market.min_notional or market.min_amount)
        return said | {"lot": None, "min_amount": None, "lot_quote": market.lot, "min_notional": least}
    said |= {"lot": market.lot, "min_amount": market.min_amount, "lot_quote": None}
    return said if market.min_notional is None else said | {"min_notional": market.min_notional}


def multiplied(market: Market) -> bool:
    """Say whether a market trades by the thousand, or in contracts of many coins."""
    return market.multiplier != 1 or market.contract_size > 1


class Contract:
    """What all contracts have in common."""

    protocol: ClassVar[Any] = None


class AnswersTickers(Contract):
    """`ExchangeConnector`: tickers of chosen instruments."""

    protocol = ExchangeConnector

    def test_every_ability_is_held_to_its_contract(self, venue: Venue, request: pytest.FixtureRequest) -> None:
        kept = {getattr(found, "protocol", None) for found in vars(request.module).values() if isinstance(found, type)}
        assert {p for p in PROTOCOLS if issubclass(venue.connector, p)} <= kept
        assert set(venue.connector.kinds) == set(venue.kinds)
        assert set(venue.connector(None).sections) == set(venue.sections)

    async def test_rows_are_of_the_schema_and_say_what_they_are(self, world: World, section: Section) -> None:
        asked = world.instruments(section)
        before = clock.now_ms()
        columns = await world.tickers(asked)
        assert_schema(columns, "tickers")
        assert sorted(schema.texts(columns, "instrument")) == sorted(i.symbol for i in asked)
        by_symbol = {instrument.symbol: instrument for instrument in asked}
        for row in range(schema.length(columns)):
            one = sole(columns, row)
            assert_identified(one, by_symbol[one["instrument"][0]])
            assert one["time_source"][0] == world.venue.dated[kind_of(section)][0]
            assert world.lab is None or before <= one["received_time"][0] <= clock.now_ms()

    async def test_numbers_are_the_truths_per_base_unit(self, world: World, section: Section) -> None:
        columns = await world.tickers(world.instruments(section))
        assert_tickers(world.venue, columns, world.markets(section))

    async def test_fees_are_the_published_ones(self, world: World, section: Section) -> None:
        columns = await world.tickers(world.instruments(section))
        for fee in columns["taker_bps"]:
            assert_close(fee, world.venue.fees[kind_of(section)][0], "taker_bps")
        assert all(schema.texts(columns, "fee_source"))

    async def test_a_quote_time_is_the_venues(self, live: World, kind: Kind) -> None:
        columns = await live.tickers(live.instruments(kind))
        for source, time in zip(columns["time_source"], schema.numbers(columns, "exchange_time"), strict=True):
            assert source != "quote" or time == NOW_MS
            assert source == "received" or NOW_MS - 100_000 <= time <= NOW_MS

    async def test_several_cost_as_many_requests_as_one(self, live: World, section: Section) -> None:
        asked = live.instruments(section)
        await live.connector.listings([section])
        live.requests()
        await live.tickers(asked[:1])
        one = live.requests()
        await live.tickers(asked)
        assert len(live.requests()) == len(one) > 0

    async def test_all_sections_at_once(self, live: World) -> None:
        sections = live.venue.sections
        markets = [m for section in sections for m in live.markets(section) if m.base in {"BTC", "ETH"}]
        columns = await live.tickers([instrument_of(market) for market in markets])
        assert_tickers(live.venue, columns, markets)

    async def test_what_is_not_listed_has_no_row(self, live: World, section: Section) -> None:
        missing = elsewhere(section)
        assert schema.length(await live.connector.tickers([missing])) == 0
        assert await live.connector.get_ticker(missing.symbol) is None
        known = live.instruments(section)[0]
        columns = await live.connector.tickers([missing, known])
        assert schema.texts(columns, "instrument") == [known.symbol]

    async def test_one_ticker_is_a_dict_of_numbers(self, live: World, section: Section) -> None:
        markets = live.markets(section)
        for market in [*markets[:2], *filter(multiplied, markets[2:])]:
            ticker = await live.connector.get_ticker(instrument_of(market).symbol)
            assert isinstance(ticker, Mapping)
            for name in ("bid", "ask", "last", "bid_size", "ask_size", "base_volume"):
                assert_close(ticker[name], ticker_of(live.venue, market)[name], f"{market.id} {name}")
            assert live.venue.dated[kind_of(section)][0] == "received" or ticker["timestamp"] <= NOW_MS / 1e3

    async def test_a_market_of_one_row(self, live: World, kind: Kind) -> None:
        assert live.lab is not None
        live.lab.truth = live.truth = live.truth.only("BTC")
        columns = await live.tickers(live.instruments(kind))
        assert_schema(columns, "tickers")
        assert_tickers(live.venue, columns, live.markets(kind))

    async def test_an_empty_answer_about_what_is_listed_is_wrong(self, live: World, kind: Kind) -> None:
        asked = live.instruments(kind)
        await live.connector.listings([kind])
        live.fault("no_rows")
        with pytest.raises(BadPayload):
            await live.connector.tickers(asked)
        with pytest.raises(BadPayload):
            await live.connector.tickers(asked[:1])

    async def test_absent_prices_are_absent_and_never_0(self, live: World, kind: Kind) -> None:
        asked = live.instruments(kind)
        await live.connector.listings([kind])
        live.fault("null")
        columns = await live.tickers(asked)
        frame = assert_schema(columns, "tickers")
        assert frame[["bid", "ask", "last"]].isna().all(axis=None)
        gone = ["bid", "ask", "last"]
        gone += ["bid_size", "ask_size"] if kind == "inverse" else []  # counted in what has no size without a price
        gone += ["quote_volume"] if kind in live.venue.derived else []
        gone += ["base_volume"] if kind in live.venue.divided else []
        assert frame[gone].isna().all(axis=None)
        assert_tickers(live.venue, columns, live.markets(kind), but=gone)

    async def test_one_side_of_the_book_may_be_empty(self, live: World, kind: Kind) -> None:
        asked = live.instruments(kind)
        await live.connector.listings([kind])
        live.fault("empty_book", side="bids")
        frame = assert_schema(await live.tickers(asked), "tickers")
        assert frame["bid"].isna().all()
        assert not (frame["bid_size"] > 0).any()
        assert (frame["ask"] > 0).all()


class Lists(Contract):
    """`ListsInstruments`: what is traded, in which steps, at which fees."""

    protocol = ListsInstruments

    async def test_columns_are_of_the_schema(self, world: World, section: Section) -> None:
        table = await world.connector.listings([section])
        assert isinstance(table, Listings)
        assert set(table.columns) == set(COLUMNS) <= set(SCHEMAS["instruments"])
        named = {"instrument": table.symbols, "group": table.groups, **table.columns}
        frame = assert_schema(named, "instruments")
        assert frame[["id", "instrument", "group", "kind", "base", "quote", "fee_source"]].notna().all(axis=None)
        assert set(frame["kind"]) == {kind_of(section)}
        assert frame["id"].is_unique
        assert own(table, section)

    async def test_numbers_are_the_truths_per_base_unit(self, world: World, section: Section) -> None:
        table = await world.connector.listings([section])
        rows = own(table, section)
        markets = {instrument_of(market).symbol: market for market in world.markets(section)}
        assert world.lab is None or rows.keys() == markets.keys()
        for symbol, market in markets.items():
            said = {name: table.columns[name][rows[symbol]] for name in table.columns}
            assert said["id"] == market.id
            assert said["active"]
            assert (said["base"], said["quote"], said["settle"], said["expiry"]) == (
                market.base, market.quote, settles(market), market.expiry,
            )  # fmt: skip
            assert math.isfinite(said["expiry_time"]) is bool(market.expiry)
            for name, value in steps_of(market).items():
                assert_close(said[name], value, f"{symbol} {name}")
            for name, fee in zip(("taker_bps", "maker_bps"), world.venue.fees[kind_of(section)], strict=True):
                assert_close(said[name], fee, f"{symbol} {name}")

    async def test_they_are_asked_for_once(self, live: World, section: Section) -> None:
        first = await live.connector.listings([section])
        assert live.requests()
        assert await live.connector.listings([section]) is first
        await live.connector.listings([section], refresh=True)
        assert live.requests() == []

    async def test_all_sections_at_once_are_the_sections_together(self, live: World) -> None:
        sections = live.venue.sections
        joined = await live.connector.listings(sections)
        assert sorted(joined.symbols) == sorted(i.symbol for section in sections for i in live.instruments(section))

    async def test_an_empty_list_is_wrong_but_of_what_a_venue_may_lack(self, live: World, kind: Kind) -> None:
        live.fault("no_rows")
        if kind == "inverse":
            assert len(await live.connector.listings([kind])) == 0
            return
        with pytest.raises(BadPayload):
            await live.connector.listings([kind])

    async def test_a_list_of_one(self, live: World, kind: Kind) -> None:
        assert live.lab is not None
        live.lab.truth = live.truth.only("ETH")
        table = await live.connector.listings([kind])
        assert set(table.columns["base"]) == {"ETH"}
        named = {"instrument": table.symbols, "group": table.groups, **table.columns}
        assert_schema(named, "instruments")

    async def test_what_is_halted_is_not_active(self, live: World, section: Section) -> None:
        assert live.lab is not None
        halted = live.markets(section)[-1]
        live.lab.truth = live.truth.updating(halted, active=False)
        rows = own(table := await live.connector.listings([section]), section)
        row = rows.pop(instrument_of(halted).symbol, None)
        assert row is None or not table.columns["active"][row]
        assert len(rows) == len(live.markets(section)) - 1
        assert all(table.columns["active"][other] for other in rows.values())


class Books(Contract):
    """`AnswersBooks`: both sides of an instrument's book."""

    protocol = AnswersBooks

    async def test_rows_are_of_the_schema_and_say_what_they_are(self, world: World, section: Section) -> None:
        for instrument in world.instruments(section):
            columns = await world.connector.books([instrument])
            assert_schema(columns, "books")
            assert_identified(columns, instrument)
            assert set(schema.texts(columns, "time_source")) == {world.venue.dated[kind_of(section)][1]}
            assert_book(columns)

    async def test_levels_are_the_truths_in_base_units(self, world: World, section: Section) -> None:
        for market in world.markets(section):
            columns = await world.connector.books([instrument_of(market)])
            sides = assert_book(columns)
            for side, levels in (("bid", market.bids), ("ask", market.asks)):
                assert len(sides[side]) == len(levels)
                for (price, size), (want_price, want_size) in zip(sides[side], levels, strict=True):
                    assert_close(price, want_price, f"{market.id} {side} price")
                    assert_close(size, want_size, f"{market.id} {side} size")
            assert not any(columns["censored"])

    async def test_several_are_one_request_each(self, live: World, kind: Kind) -> None:
        asked = live.instruments(kind)[:3]
        await live.connector.listings([kind])
        live.requests()
        columns = await live.connector.books(asked)
        assert len(live.requests()) == len(asked)
        assert_schema(columns, "books")
        assert set(schema.texts(columns, "instrument")) == {instrument.symbol for instrument in asked}

    async def test_what_is_not_listed_is_said_so(self, live: World, section: Section) -> None:
        with pytest.raises(NotListed):
            await live.connector.books([elsewhere(section)])

    async def asked_deep(self, live: World, kind: Kind, levels: int, lots: int) -> tuple[Columns, Market, int]:
        """Ask for a book of so many levels of so many lots each; return it, the truth and the requests."""
        assert live.lab is not None
        market = next(market for market in live.markets(kind) if market.base == "BTC")
        bid, ask = market.bids[0][0], market.asks[0][0]

        def level(price: Decimal) -> tuple[Decimal, Decimal]:
            return price, market.lot * lots / (price if kind == "inverse" else 1)

        deep = {"bids": tuple(level(bid - n * market.tick) for n in range(levels)),
                "asks": tuple(level(ask + n * market.tick) for n in range(levels))}  # fmt: skip
        live.lab.truth = live.truth.updating(market, **deep)
        await live.connector.listings([kind])
        live.requests()
        columns = await live.connector.books([instrument_of(market)])
        assert_schema(columns, "books")
        return (
            columns,
            live.lab.truth.of(live.venue.lab_name(kind), kind)[live.markets(kind).index(market)],
            len(live.requests()),
        )

    async def test_a_thin_book_that_was_cut_is_asked_for_deeper(self, live: World, kind: Kind) -> None:
        depths = live.venue.depths[kind]
        levels = (depths[0] if depths else 500) + 5
        shown = min(levels, live.venue.most.get(kind, depths[-1] if depths else levels))
        columns, market, requests = await self.asked_deep(live, kind, levels, 1)
        sides = assert_book(columns)
        assert requests == max(1, len(depths))
        for side, truth in (("bid", market.bids), ("ask", market.asks)):
            assert float(sum(price * size for price, size in truth)) < COVERED
            assert len(sides[side]) == shown
            assert_close(sides[side][-1][0], truth[shown - 1][0], "last price")
        assert set(columns["censored"]) == {shown < levels}

    async def test_a_thick_book_that_was_cut_is_enough_and_marked(self, live: World, kind: Kind) -> None:
        depths = live.venue.depths[kind]
        levels = (depths[0] if depths else 500) + 5
        columns, _, requests = await self.asked_deep(live, kind, levels, 10**9)
        assert requests == 1
        assert len(assert_book(columns)["bid"]) == (depths[0] if depths else levels)
        assert set(columns["censored"]) == {bool(depths)}

    async def test_a_book_deeper_than_any_answer_is_marked(self, live: World, kind: Kind) -> None:
        depths = live.venue.depths[kind] or (1000,)
        columns, _, _ = await self.asked_deep(live, kind, depths[-1] + 5, 1)
        assert set(columns["censored"]) == {bool(live.venue.depths[kind])}

    async def test_one_side_may_be_empty(self, live: World, kind: Kind) -> None:
        market = live.markets(kind)[0]
        live.fault("empty_book", side="asks")
        columns = await live.connector.books([instrument_of(market)])
        assert_schema(columns, "books")
        assert set(schema.texts(columns, "side")) == {"bid"}

    @pytest.mark.parametrize("fault", ["empty_book", "no_rows", "null"])
    async def test_an_empty_book_of_what_is_listed_is_wrong(self, live: World, kind: Kind, fault: str) -> None:
        await live.connector.listings([kind])
        live.fault(fault)
        with pytest.raises(BadPayload):
            await live.connector.books(live.instruments(kind)[:1])


class Trades(Contract):
    """`AnswersTrades`: an instrument's latest public trades."""

    protocol = AnswersTrades

    async def test_rows_are_of_the_schema_and_say_what_they_are(self, world: World, section: Section) -> None:
        for instrument in world.instruments(section):
            columns = await world.connector.trades([instrument])
            assert_schema(columns, "trades")
            assert_identified(columns, instrument)
            assert set(schema.texts(columns, "time_source")) == {"trade"}

    async def test_trades_are_the_truths_in_base_units(self, world: World, section: Section) -> None:
        for market in world.markets(section):
            rows = assert_tape(await world.connector.trades([instrument_of(market)]))
            assert len(rows) == len(market.trades)
            for row, done in zip(rows, reversed(market.trades), strict=True):
                assert row["trade_id"] == (uuid_of(done.id) if kind_of(section) in world.venue.uuids else done.id)
                assert row["side"] == done.side
                assert_close(row["price"], done.price, f"{market.id} price")
                assert_close(row["size"], done.size, f"{market.id} size")
                assert_close(row["notional"], done.price * done.size, f"{market.id} notional")
                assert abs(row["exchange_time"] - done.at_ms(world.now_ms)) < 1, "milliseconds"

    async def test_several_are_one_request_each(self, live: World, kind: Kind) -> None:
        asked = live.instruments(kind)[:3]
        await live.connector.listings([kind])
        live.requests()
        columns = await live.connector.trades(asked)
        assert len(live.requests()) == len(asked)
        assert_schema(columns, "trades")
        assert set(schema.texts(columns, "instrument")) == {instrument.symbol for instrument in asked}

    async def test_one_trade(self, live: World, kind: Kind) -> None:
        assert live.lab is not None
        market = live.markets(kind)[0]
        live.lab.truth = live.truth.updating(market, trades=market.trades[:1])
        columns = await live.connector.trades([instrument_of(market)])
        assert_schema(columns, "trades")
        assert [row["side"] for row in assert_tape(columns)] == [market.trades[0].side]

    async def test_what_is_not_listed_is_said_so(self, live: World, section: Section) -> None:
        with pytest.raises(NotListed):
            await live.connector.trades([elsewhere(section)])

    @pytest.mark.parametrize("fault", ["no_rows", "null"])
    async def test_an_empty_tape_of_what_is_listed_is_wrong(self, live: World, kind: Kind, fault: str) -> None:
        await live.connector.listings([kind])
        live.fault(fault)
        with pytest.raises(BadPayload):
            await live.connector.trades(live.instruments(kind)[:1])


class AnswersWholeMarket(Contract):
    """`AnswersMarket`: every ticker of a market at once."""

    protocol = AnswersMarket

    async def test_every_active_instrument_has_a_right_row(self, live: World, section: Section) -> None:
        columns = await live.connector.market([section])
        assert_schema(columns, "tickers")
        assert_tickers(live.venue, columns, live.markets(section))
        instruments = {instrument.symbol: instrument for instrument in live.instruments(section)}
        for row in range(schema.length(columns)):
            assert_identified(sole(columns, row), instruments[columns["instrument"][row]])

    async def test_it_costs_the_same_however_many_there_are(self, live: World, section: Section) -> None:
        assert live.lab is not None
        await live.connector.listings([section])
        live.requests()
        await live.connector.market([section])
        many = live.requests()
        live.lab.truth = live.truth.only("BTC")
        await live.connector.market([section])
        assert len(live.requests()) == len(many) > 0

    async def test_all_sections_at_once(self, live: World) -> None:
        columns = await live.connector.market(live.venue.sections)
        assert_schema(columns, "tickers")
        assert_tickers(live.venue, columns, [m for section in live.venue.sections for m in live.markets(section)])

    async def test_a_section_that_the_venue_lacks_has_no_rows(self, live: World) -> None:
        lacking = [section for section in SECTIONS if section not in live.venue.sections]
        assert schema.length(await live.connector.market(lacking)) == 0

    async def test_what_is_halted_has_no_row(self, live: World, section: Section) -> None:
        assert live.lab is not None
        halted = live.markets(section)[-1]
        live.lab.truth = live.truth.updating(halted, active=False)
        columns = await live.connector.market([section])
        names = set(schema.texts(columns, "instrument"))
        assert instrument_of(halted).symbol not in names
        assert len(names) == len(live.markets(section)) - 1

    async def test_an_empty_market_is_wrong(self, live: World, kind: Kind) -> None:
        await live.connector.listings([kind])
        live.fault("no_rows")
        with pytest.raises(BadPayload):
            await live.connector.market([kind])


class OpenInterest(Contract):
    """`AnswersOpenInterest`: how many contracts are open."""

    protocol = AnswersOpenInterest

    async def test_every_contract_is_counted_once(self, live: World, contracts: Section) -> None:
        asked = {instrument.symbol: instrument for instrument in live.instruments(contracts)}
        columns = await live.connector.open_interest(list(asked.values()))
        assert_open(live.venue, columns, live.markets(contracts))
        for row in range(schema.length(columns)):
            assert_identified(sole(columns, row), asked[columns["instrument"][row]])
            assert columns["time_source"][row] == live.venue.open_dated

    async def test_all_contracts_at_once_and_none_of_spot(self, live: World) -> None:
        sections = live.venue.sections
        markets = [m for section in sections for m in live.markets(section) if m.base in {"BTC", "ETH"}]
        columns = await live.connector.open_interest([instrument_of(market) for market in markets])
        assert_open(live.venue, columns, [market for market in markets if market.kind != "spot"])
        assert schema.length(await live.connector.open_interest(live.instruments("spot"))) == 0

    async def test_what_is_not_listed_has_no_row(self, live: World, derivative: Kind) -> None:
        missing, known = elsewhere(derivative), live.instruments(derivative)[0]
        assert schema.length(await live.connector.open_interest([missing])) == 0
        columns = await live.connector.open_interest([missing, known])
        assert schema.texts(columns, "instrument") == [known.symbol]

    async def test_it_is_one_request_but_where_the_venue_has_one_for_each(self, live: World, derivative: Kind) -> None:
        asked, venue = live.instruments(derivative), live.venue
        await live.connector.listings([derivative])
        live.requests()
        await live.connector.open_interest(asked)
        prices = derivative in venue.open_at_last
        assert len(live.requests()) == (len(asked) if derivative in venue.open_each else 1) + prices

    async def test_an_empty_answer_about_what_is_listed_is_wrong(self, live: World, derivative: Kind) -> None:
        asked = live.instruments(derivative)[:2]
        await live.connector.listings([derivative])
        live.fault("no_rows")
        with pytest.raises(BadPayload):
            await live.connector.open_interest(asked)

    async def test_what_only_a_price_can_tell_is_absent_without_one(self, live: World, derivative: Kind) -> None:
        asked = live.instruments(derivative)
        await live.connector.listings([derivative])
        live.fault("null")
        other = {"linear": ("oi_quote",), "inverse": ("oi_base",)}[derivative]
        columns = await live.connector.open_interest(asked)
        assert_open(
            live.venue, columns, live.markets(derivative), but=other if derivative in live.venue.open_at_last else ()
        )


class KnowsTime(Contract):
    """`AnswersTime`: the venue's clock."""

    protocol = AnswersTime

    async def test_it_is_the_venues_clock(self, world: World) -> None:
        reading = await world.connector.server_time()
        assert reading is not None
        assert 0 <= reading.resolution_ms <= 1000
        assert world.now_ms - reading.resolution_ms <= reading.server_ms <= world.now_ms
        assert reading.sent_ms <= reading.received_ms

    async def test_a_clock_that_is_off_is_told_as_it_is(self, live: World) -> None:
        live.fault("skew", seconds=30)
        reading = await live.connector.server_time()
        assert reading is not None
        assert NOW_MS + 30_000 - reading.resolution_ms <= reading.server_ms <= NOW_MS + 30_000

    async def test_it_is_one_request_and_needs_no_list(self, live: World) -> None:
        await live.connector.server_time()
        assert len(live.requests()) == 1


class KnowsStatus(Contract):
    """`AnswersStatus`: whether the venue is open."""

    protocol = AnswersStatus

    async def test_an_open_venue_is_ok(self, world: World) -> None:
        assert await world.connector.status() == "ok"

    async def test_it_is_one_request_at_most_and_needs_no_list(self, live: World) -> None:
        await live.connector.status()
        assert len(live.requests()) <= 1, "a venue without such an endpoint is asked nothing"


class Converts(Contract):
    """`ConvertsCurrencies`: what rates are made of."""

    protocol = ConvertsCurrencies
    pair: ClassVar[tuple[str, str]] = ("USDT", "USD")

    async def test_pairs_and_ratios_cost_one_request_and_each_book_one(self, live: World) -> None:
        assert live.lab is not None
        live.lab.truth = live.truth = live.truth.adding(currency_markets())
        await live.connector.listings(["spot"])
        live.requests()
        tickers, books = await live.connector.currency_legs([self.pair, ("USDT", "NOSUCHCOIN")], ["ETH"], [self.pair])
        assert len(live.requests()) == 2
        assert_schema(tickers, "tickers")
        ratios = {("ETH", currency) for currency in self.pair}
        wanted = [m for m in live.markets("spot") if (m.base, m.quote) in {self.pair, *ratios}]
        assert len(wanted) == 3
        assert_tickers(live.venue, tickers, wanted)
        assert_schema(books, "books")
        direct = next(m for m in wanted if (m.base, m.quote) == self.pair)
        assert_identified(books, instrument_of(direct))
        assert assert_book(books)["bid"][0] == tuple(map(float, direct.bids[0]))

    async def test_a_lost_book_costs_the_book(self, live: World) -> None:
        assert live.lab is not None
        live.lab.truth = live.truth.adding(currency_markets())
        await live.connector.listings(["spot"])
        live.fault("empty_book")
        tickers, books = await live.connector.currency_legs([self.pair], ["ETH"], [self.pair])
        assert schema.length(tickers) == 3
        assert schema.length(books) == 0
