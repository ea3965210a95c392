"""How a venue writes a market changes no number that xex answers: contract size, coins by the thousand, quote, kind."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import pandas as pd
import pytest

import xex
from tests.conformance.worlds import instrument_of
from tests.expected import EXCHANGES, assert_close, assert_snapshot, expected, volumes, weight_ages
from tests.lab import Lab, Market, Truth, default_truth
from tests.lab.names import market_id
from tests.lab.truth import COUNTING, SIZED
from tests.lab.venues import answer
from tests.test_conversion import opened
from tests.test_mutations import assert_books, assert_trades
from tests.test_snapshot import CONNECTORS
from tests.test_universe import of_group, worth
from xex.model import schema

CALM = default_truth(levels=5)
LISTS = [
    (venue, kind)
    for venue in ("binance", "bybit", "htx", "krakenfutures", "okx")
    for kind in ("linear", "inverse")
]  # fmt: skip
SIZES = ("0.0001", "0.001", "0.01", "0.25", "1", "5", "10", "100", "1000", "1000000")
# How a name tells how many coins it stands for, and how many these are.
NAMES = {
    "1000{}": 1_000, "10000{}": 10_000, "1000000{}": 1_000_000, "{}1000": 1_000, "{}10000": 10_000, "1M{}": 1_000_000,
    "1K{}": 1_000,
}  # fmt: skip
SIZES_STATED = SIZED - {("krakenfutures", "linear")}
"""Lists with contracts of several sizes; those of Kraken's linear contracts are all 1."""
EACH = 12
"""How many representations each list holds."""


def exchange_of(venue: str) -> str:
    return venue.removesuffix("futures")


def named(market: Market, base: str) -> Market:
    """Return the same market of another coin."""
    found = dataclasses.replace(market, base=base, coin=None)
    return dataclasses.replace(found, id=market_id(market.venue, market.kind, base, market.quote, market.expiry))


def by_the(market: Market, name: str) -> Market:
    """Return the same market in coins that stand for many, as their name says: its truth stays."""
    coins, coin = Decimal(NAMES[name]), name.format(market.base)
    counted = market.kind == "linear" and market.venue in COUNTING
    return dataclasses.replace(
        market,
        id=market_id(market.venue, market.kind, coin, market.quote, market.expiry),
        coin=coin,
        multiplier=coins,
        contract_size=market.contract_size / coins if counted else market.contract_size,
        price_digits=None,
    )


@dataclass(frozen=True)
class Variant:
    """A market in some representation, and the one whose numbers it must have."""

    what: str
    market: Market
    plain: Market

    @property
    def exchange(self) -> str:
        """The exchange that lists it."""
        return exchange_of(self.market.venue)


@cache
def variants() -> dict[str, Variant]:
    """Return representations of one market for each list, by description: the same ones in every run."""
    found: dict[str, Variant] = {}
    for place, (venue, kind) in enumerate(LISTS):
        rng = random.Random(place)
        plain = CALM.market(venue, "DOGE" if kind == "linear" else "ETH", kind)  # type: ignore[arg-type]
        other = CALM.market(venue, "DOGE" if kind == "inverse" else "ETH", "linear" if kind == "inverse" else "inverse")
        for number in range(EACH):
            base = f"{'LI'[kind == 'inverse']}{chr(65 + number)}OIN"
            turned = number % 3 == 2
            market, steps = (other, [f"{other.kind} turned"]) if turned else (plain, [])
            if turned:
                market = market.as_inverse(Decimal(1)) if kind == "inverse" else market.as_linear(Decimal(1))
            market = named(market, base)
            if (venue, kind) in SIZES_STATED:
                steps.append(f"contracts of {(size := rng.choice(SIZES))}")
                market = market.with_contract_size(Decimal(size))
            if number % 3 or (venue, kind) not in SIZES_STATED:
                # Venues write volumes in coin with eight digits at most: of millions of coins few are left.
                steps.append(name := rng.choice([name for name in NAMES if kind == "linear" or NAMES[name] < 10**6]))
                market = by_the(market, name)
            what = f"{venue} {kind} {number}: {', '.join(steps)}"
            found[what] = Variant(what, market, other if turned else plain)
    return found


@dataclass(frozen=True)
class Answers:
    """All that an exchange said."""

    instruments: pd.DataFrame
    tickers: pd.DataFrame
    books: pd.DataFrame
    trades: pd.DataFrame
    now_ms: int

    def of(self, name: str, market: Market) -> Any:
        """Return the rows of an answer about one market, the only one of its coin."""
        frame = getattr(self, name)
        return frame[frame["group"] == instrument_of(market).group].reset_index(drop=True)


async def _asked(exchange: str, truth: Truth) -> Answers:
    def framed(columns: Any, name: str) -> pd.DataFrame:
        return schema.frame(columns | {"exchange": [exchange] * schema.length(columns)}, name)

    mine = [instrument_of(market) for market in truth.markets if exchange_of(market.venue) == exchange]
    async with Lab(truth) as lab, xex.ExchangeManager(cache=False) as xm:
        config = xex.ExchangeConfig(exchange, exchange, base_url=lab.url(exchange))
        connector = CONNECTORS[exchange](config)
        assert xm.add_exchange(config, connector)
        await xm.connect_all()
        # A list without a single row is no answer, so only those are asked for that have some.
        sections = list(dict.fromkeys(instrument.section for instrument in mine))
        table = await connector.listings(sections)
        listed = framed({"instrument": table.symbols, "group": table.groups, **table.columns}, "instruments")
        tickers = await connector.market(sections)
        books, trades = await asyncio.gather(connector.books(mine), connector.trades(mine))
        return Answers(
            listed, framed(tickers, "tickers"), framed(books, "books"), framed(trades, "trades"), lab.now_ms()
        )


@cache
def answers(exchange: str) -> Answers:
    """Ask an exchange once about all its representations."""
    markets = tuple(variant.market for variant in variants().values() if variant.exchange == exchange)
    return asyncio.run(_asked(exchange, Truth(markets, CALM.usdt_usd)))


@contextmanager
def about(variant: Variant) -> Iterator[None]:
    """Name the representation that a comparison fails for."""
    try:
        yield
    except AssertionError as error:
        error.add_note(variant.what)
        raise


def of_list(venue: str, kind: str) -> list[Variant]:
    return [one for one in variants().values() if (one.market.venue, one.market.kind) == (venue, kind)]


@pytest.mark.parametrize(("venue", "kind"), LISTS)
def test_no_answer_shows_how_a_market_is_written(venue: str, kind: str) -> None:
    exchange, said = exchange_of(venue), answers(exchange_of(venue))
    for variant in of_list(venue, kind):
        plain, market = variant.plain, variant.market
        with about(variant):
            (row,) = said.of("tickers", market).to_dict("records")
            for side in ("bid", "ask"):
                assert_close(row[side], getattr(plain.top, side), f"{side}")
                assert_close(row[f"{side}_size"], getattr(plain.top, f"{side}_size"), f"{side} size")
            for name in ("last", "high", "low", "open"):
                assert_close(row[name], getattr(plain, name), name)
            same_kind = dataclasses.replace(plain, kind=market.kind)  # a venue may leave a volume to its last price
            for name, volume in zip(("base_volume", "quote_volume"), volumes(exchange, same_kind), strict=True):
                assert_close(row[name], volume, name)
            assert_books(said.of("books", market), plain)
            assert_trades(said.of("trades", market), plain, said.now_ms)


@pytest.mark.parametrize(("venue", "kind"), LISTS)
def test_steps_and_minimums_come_out_per_coin(venue: str, kind: str) -> None:
    """A contract is so many coins or dollars; lots are as many contracts as the venue says, whatever they hold."""
    for variant in of_list(venue, kind):
        market = variant.market
        with about(variant):
            (row,) = answers(variant.exchange).of("instruments", market).to_dict("records")
            assert (row["id"], row["base"]) == (market.id, market.base)
            for name in ("multiplier", "contract_size"):
                assert_close(row[name], getattr(market, name), name)
            assert_close(row["tick"], variant.plain.tick, "tick")
            if kind == "inverse":
                assert_close(row["lot_quote"], market.wire_lot * market.contract_size, "lot")
                assert_close(row["lot_quote"], market.lot, "lot")
                assert row["min_notional"] >= float(market.min_amount) * (1 - 1e-9)
            else:
                assert_close(row["lot"], market.wire_lot * market.contract_size * market.multiplier, "lot")
                assert_close(row["lot"], market.lot, "lot")
                assert_close(row["min_amount"], market.min_amount, "minimum")
                if market.min_notional is not None:
                    assert_close(row["min_notional"], market.min_notional, "minimum notional")


def test_there_are_representations_of_every_sort() -> None:
    sorts = [what.partition(": ")[2] for what in variants()]
    assert len(sorts) == EACH * len(LISTS)
    assert {market.multiplier for market in (v.market for v in variants().values())} >= {1, 1000, 10**4, 10**6}
    assert len({v.market.contract_size * v.market.multiplier for v in variants().values()}) >= 8
    assert sum("turned" in sort for sort in sorts) >= 20


# --- a multiplier, everywhere at once ----------------------------------------------------------------------------

THOUSAND = 1000
# What tells one coin from the other, and what no price or size is.
OWN = {"instrument", "group", "base", "id", "alias", "settle", "multiplier", "contract_size", "response_id",
       "exchange_time", "received_time", "age_ms", "trade_id"}  # fmt: skip


@pytest.mark.parametrize("name", ["1000{}", "{}1000"])
@pytest.mark.parametrize(("venue", "kind"), LISTS)
def test_a_multiplier_acts_on_every_number_together(venue: str, kind: Any, name: str) -> None:
    """One coin plain and one by the thousand, of the same truth: the wire differs, the frames do not."""
    plain = named(CALM.market(venue, "DOGE" if kind == "linear" else "ETH", kind), "PLAIN")
    if kind == "linear" and venue in {"binance", "bybit"}:
        plain = dataclasses.replace(plain, lot=plain.lot * THOUSAND, min_amount=plain.min_amount * THOUSAND)
    many = by_the(named(plain, "MANY"), name)
    truth = Truth((plain, many), CALM.usdt_usd)
    said = asyncio.run(_asked(exchange_of(venue), truth))
    ours = {name: (said.of(name, plain), said.of(name, many))
            for name in ("instruments", "tickers", "books", "trades")}  # fmt: skip
    compared: set[str] = set()
    for one, other in ours.values():
        assert len(one) == len(other) > 0
        for column in one.columns.difference(list(OWN)):
            if one[column].dtype.kind == "f":
                wanted, found = one[column].to_numpy(), other[column].to_numpy()
                assert found == pytest.approx(wanted, rel=1e-9, nan_ok=True), column
                if not pd.isna(wanted).all():
                    compared.add(column)
            else:
                assert list(one[column].fillna("")) == list(other[column].fillna("")), column
    least = {"lot_quote"} if kind == "inverse" else {"lot", "min_amount"}
    assert compared >= {
        "bid", "ask", "last", "high", "low", "bid_size", "ask_size", "base_volume", "quote_volume", "price", "size",
        "notional", "tick", *least,
    }  # fmt: skip
    rules = [frame.to_dict("records")[0] for frame in ours["instruments"]]
    assert [row["multiplier"] for row in rules] == [1, THOUSAND]
    if kind == "linear":
        assert_close(rules[1]["contract_size"] * THOUSAND / rules[0]["contract_size"],
                     1 if venue in COUNTING else THOUSAND, "contract size")  # fmt: skip
    else:
        assert rules[0]["contract_size"] == rules[1]["contract_size"]
    if venue in {"binance", "bybit"} and kind == "linear":
        assert rules[0]["min_notional"] == rules[1]["min_notional"] == 5
    # The wire did carry a thousand times the price.
    assert many.wire_price(many.last) == THOUSAND * plain.last
    assert _on_the_wire(truth, many) == pytest.approx(THOUSAND * _on_the_wire(truth, plain), rel=1e-12)


def _on_the_wire(truth: Truth, market: Market) -> float:
    """Return the best ask in the body of the market's book."""
    path, query = {
        ("binance", "linear"): ("/fapi/v1/depth", {"symbol": market.id}),
        ("binance", "inverse"): ("/dapi/v1/depth", {"symbol": market.id}),
        ("bybit", "linear"): ("/v5/market/orderbook", {"category": "linear", "symbol": market.id}),
        ("bybit", "inverse"): ("/v5/market/orderbook", {"category": "inverse", "symbol": market.id}),
        ("htx", "linear"): ("/linear-swap-ex/market/depth", {"contract_code": market.id, "type": "step0"}),
        ("htx", "inverse"): ("/swap-ex/market/depth", {"contract_code": market.id, "type": "step0"}),
        ("okx", "linear"): ("/api/v5/market/books", {"instId": market.id}),
        ("okx", "inverse"): ("/api/v5/market/books", {"instId": market.id}),
        ("krakenfutures", "linear"): ("/derivatives/api/v3/orderbook", {"symbol": market.id}),
        ("krakenfutures", "inverse"): ("/derivatives/api/v3/orderbook", {"symbol": market.id}),
    }[market.venue, market.kind]
    body = answer("kraken" if market.venue == "krakenfutures" else market.venue, truth, path, query, 0).body
    for key in ("tick", "orderBook", "result", "data"):
        body = body.get(key, body) if isinstance(body, dict) else body
    body = body[0] if isinstance(body, list) else body
    return float((body.get("asks") or body.get("a"))[0][0])


# --- what is made of the numbers ---------------------------------------------------------------------------------


def rewritten(truth: Truth) -> Truth:
    """Return the world in which every venue writes perpetuals in Bitcoin differently."""

    def change(market: Market) -> Market:
        if (market.base, market.kind, market.expiry) != ("BTC", "linear", ""):
            return market
        if market.venue == "okx":
            sized = market.with_contract_size(Decimal("0.0005"))
            return dataclasses.replace(sized, lot=market.lot, min_amount=market.min_amount)
        return by_the(
            market, {"binance": "1000{}", "bybit": "{}1000", "htx": "1K{}", "krakenfutures": "10000{}"}[market.venue]
        )

    return truth.changed(change)


@pytest.mark.parametrize("crossed", [False, True])
async def test_a_snapshot_and_the_universe_stay_as_they_are(crossed: bool) -> None:
    truth = default_truth(levels=12)
    if crossed:
        truth = truth.with_cross("BTC", buy="okx", sell="binance", bps=60)
    async with opened(rewritten(truth)) as (_, xm):
        snap = await xm.get_cross_exchange_ticker("BTCUSDT")
        universe = await xm.universe("perp", currency="USDT")
    want = assert_snapshot(snap, truth)
    assert want.volume_total == expected(rewritten(truth), weight_ages(snap.frame)).volume_total
    assert bool(snap.arbitrage_opportunities) is crossed
    (row,) = universe[universe["group"] == "BTC:linear"].to_dict("records")
    assert row["exchanges"] == ",".join(EXCHANGES)
    assert_close(row["base_volume"], want.volume_total, "volume")
    assert_close(row["quote_volume"], worth(truth, of_group(truth, "BTC", "linear"), "USDT")[1], "turnover")
    assert row["price"] == pytest.approx(want.price.price, rel=1e-4)


RATE = Decimal("0.8")
"""Dollars per USDT in a world in which nothing but the currencies' own book says so, hence exactly."""


def in_dollars(market: Market) -> Market:
    """Return the same market quoted in dollars, at the exact rate."""
    moved = market.mapped(lambda price: price * RATE)
    name = market_id(market.venue, market.kind, market.base, "USD", market.expiry)
    return dataclasses.replace(moved, quote="USD", id=name, tick=market.tick * RATE, price_digits=None)


def dollar_book() -> Market:
    book = CALM.market("kraken", "USDT", "spot", "USD")
    return book.mapped(lambda price: RATE + (price - book.mid))


MONEY = ("bid", "ask", "last", "high", "low", "price", "quote_volume")
COINS = ("bid_size", "ask_size", "base_volume")


@pytest.mark.parametrize("target", ["USDT", "USD"])
async def test_the_currency_of_a_quote_changes_nothing_after_conversion(target: str) -> None:
    tether = CALM.market("kraken", "BTC", "spot", "USDT")
    snaps, universes = [], []
    for quoted in (tether, in_dollars(tether)):
        async with opened(Truth((quoted, dollar_book()), RATE), ["kraken"]) as (_, xm):
            snaps.append(await xm.get_cross_exchange_ticker(f"BTC/{quoted.quote}", currency=target))
            universes.append(await xm.universe("spot", currency=target, min_venues=1))
    one, other = (snap.frame.to_dict("records")[0] for snap in snaps)
    assert {one["fx_source"], other["fx_source"]} == {"identity", "direct"}
    for name in (*MONEY, *COINS):
        assert_close(other[name], one[name], name)
    for name in ("aggregated_price", "volume_total", "volume_total_quote", "liquidity_score"):
        assert_close(getattr(snaps[1], name), getattr(snaps[0], name), name)
    rows = [frame[frame["group"] == "BTC:spot"].to_dict("records")[0] for frame in universes]
    for name in ("price", "base_volume", "quote_volume"):
        assert_close(rows[1][name], rows[0][name], name)
    factor = 1 if target == "USDT" else RATE
    assert_close(one["bid"], (tether.top.bid or 0) * factor, "bid")


async def test_venues_that_quote_the_same_truth_in_two_currencies_say_the_same() -> None:
    """OKX in contracts and USDT, Kraken in coins by the thousand and dollars: two rows of one truth are one row."""
    okx = CALM.market("okx", "BTC", "linear")
    twin = dataclasses.replace(
        okx, venue="krakenfutures", contract_size=Decimal(1), lot=Decimal("0.001"), min_amount=Decimal("0.001")
    )
    kraken = by_the(in_dollars(twin), "1000{}")
    async with opened(Truth((okx, kraken, dollar_book()), RATE), ["okx", "kraken"]) as (_, xm):
        snap = await xm.get_cross_exchange_ticker("BTCUSDT")
        market = await xm.tickers(market="perp", currency="USDT")
    for frame in (snap.frame, market):
        one, other = frame.set_index("exchange").loc[["okx", "kraken"]].to_dict("records")
        for name in ("bid", "ask", "last", "high", "low", *COINS):
            assert_close(other[name], one[name], name)
    assert_close(snap.aggregated_price, okx.mid, "price")
    assert_close(snap.dispersion_bps, 0, "dispersion")
    assert_close(snap.volume_total, 2 * okx.base_volume, "volume")
    scores = snap.frame.set_index("exchange")["liquidity_score"]
    assert_close(scores["kraken"], scores["okx"], "liquidity")
