"""Exchange rates: every rule by hand, the oracle on random worlds, faults planted in a consistent one, a real depeg."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracle
from xex.analytics import currency
from xex.analytics.currency import canonical, check_peg, executable, needed, rate, series, spellings
from xex.errors import ConfigError

Leg = dict[str, Any]
Lies = Callable[[Leg], bool]
BARS = Path(os.environ.get("XEX_DATA", Path(__file__).parents[2] / "shared" / "data")) / "bars_1m_2023-03_usdc_depeg"
BP = 1e-4
HAIR = 1e-6
"""Half the spread of a leg whose mid is what counts: a quote of bid = ask would be crossed."""


def leg(base: str, quote: str, price: float, exchange: str = "k", kind: str = "spot", **more: Any) -> Leg:
    name = f"{base}/{quote}" + (f":{quote}" if kind == "linear" else "")
    return {
        "exchange": exchange, "instrument": name, "kind": kind, "base": base, "quote": quote,
        "bid": price * (1 - HAIR), "ask": price * (1 + HAIR), "last": price, "age_ms": 10.0, "halted": False, **more,
    }  # fmt: skip


def columns(legs: Iterable[Leg]) -> Any:
    rows = list(legs)
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def found(legs: Iterable[Leg], source: str = "USDT", target: str = "USD", **more: Any) -> currency.Rate:
    return rate(columns(legs), source, target, **{"asset": "BTC", **more})


def ratio(base: str, value: float, kind: str = "spot", exchange: str = "k") -> list[Leg]:
    """Return a base's prices in USD and USDT that make one USDT worth `value` dollars."""
    return [leg(base, "USD", 100 * value, exchange, kind), leg(base, "USDT", 100, exchange, kind)]


# --- pairs and pegs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "listed"),
    [
        (("USD", "USDT"), [("USDT", "USD")]),
        (("USDT", "USDC"), [("USDC", "USDT")]),
        (("USD", "USDC"), [("USDC", "USD")]),
        (("USDT", "FDUSD"), [("FDUSD", "USDT")]),
        (("USD", "EUR"), [("EUR", "USD")]),
        (("USDT", "EUR"), [("EUR", "USDT"), ("USDT", "EUR")]),
        (("USDC", "EUR"), [("EUR", "USDC"), ("USDC", "EUR")]),
        (("BTC", "USDT"), [("BTC", "USDT")]),
    ],
)
def test_a_pair_is_named_as_markets_list_it(pair: tuple[str, str], listed: list[tuple[str, str]]) -> None:
    assert canonical(*pair) == canonical(*pair[::-1]) == listed[0]
    assert list(spellings(*pair)) == list(spellings(*pair[::-1])) == listed


@pytest.mark.parametrize(
    ("quotes", "target", "direct", "more"),
    [
        (["USDT", "USD", "USDC"], "USDT", "USDT/USD USDC/USDT", ""),
        (["USDT", "USD"], "USD", "USDT/USD", ""),
        (["EUR", "BTC"], "USD", "EUR/USD", "EUR/USDT USDT/EUR USDT/USD EUR/USDC USDC/EUR USDC/USD"),
        (["FDUSD"], "USDT", "FDUSD/USDT", "FDUSD/USD USDT/USD FDUSD/USDC USDC/USDT"),
        (["USDC"], "EUR", "EUR/USDC USDC/EUR", "USDC/USDT EUR/USDT USDT/EUR USDC/USD EUR/USD"),
        (["USDT"], "BTC", "", ""),
        (["USDT"], "USDT", "", ""),
        ([], "EUR", "", ""),
    ],
)
def test_what_conversion_needs(quotes: list[str], target: str, direct: str, more: str) -> None:
    books = ["/".join(pair) for pair in needed(quotes, target, pivots=False)]
    assert books == direct.split()
    assert ["/".join(pair) for pair in needed(quotes, target)] == (direct + " " + more).split()


@pytest.mark.parametrize(
    ("peg", "names"),
    [
        ((), ()), (False, ()), (None, ()), (True, ("USDT", "USDC", "FDUSD")), ("USDC", ("USDC",)),
        (" usdt ", ("USDT",)), (["FDUSD", "usdt", "USDT"], ("USDT", "FDUSD")), (iter(["USDC"]), ("USDC",)),
    ],
)  # fmt: skip
def test_pegs_are_named(peg: Any, names: tuple[str, ...]) -> None:
    assert check_peg(peg) == names


@pytest.mark.parametrize(
    ("peg", "named"), [("EUR", "'EUR'"), (["USDT", "DAI"], "'DAI'"), ("USD", "'USD'"), ("", "''"), (7, "7"), ([7], "7")]
)
def test_a_peg_of_anything_else_is_refused(peg: Any, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_peg(peg)
    assert named in str(caught.value)
    assert "USDT, USDC, FDUSD" in str(caught.value)
    with pytest.raises(ConfigError):
        found([leg("USDT", "USD", 0.999)], peg=peg)


# --- sources ------------------------------------------------------------------------------------------------


def test_a_currency_in_itself_is_one() -> None:
    assert found([], "EUR", "EUR") == currency.Rate("EUR", "EUR", 1.0, "identity", 0.0)


@pytest.mark.parametrize(
    ("books", "value"),
    [
        ([leg("USDT", "USD", 0.998)], 0.998),
        ([leg("USD", "USDT", 1.25)], 0.8),
        ([leg("USDT", "USD", 0.998), leg("USDT", "USD", 0.999, "b"), leg("USDT", "USD", 0.95, "c")], 0.998),
        ([leg("USDT", "USD", 0.8), leg("USD", "USDT", 1.25, "b"), leg("USDT", "USD", 1.0, "c")], 0.8),
        # the mean of two within 1 %
        ([leg("USDT", "USD", 0.998), leg("USDT", "USD", 0.999, "b")], 0.9985),
    ],
)
def test_direct_books_count_in_either_direction(books: list[Leg], value: float) -> None:
    there, back = found(books), found(books, "USD", "USDT")
    assert there.rate == pytest.approx(value, rel=1e-9)
    assert back.rate == pytest.approx(1 / value, rel=1e-9)
    assert there.sources == back.sources == "direct"
    assert there.why == ""


def test_a_ratio_is_the_median_over_bases_of_the_prices_of_the_venues() -> None:
    """Worked: ETH 2 USD (a) over 2, 2.002, 2.5 USDT: 2/2.002; SOL 9.99/10; XRP 1.1: the middle one is 0.999."""
    legs = [
        leg("ETH", "USD", 2.0, "a"), leg("ETH", "USDT", 2.0, "a"), leg("ETH", "USDT", 2.002, "b"),
        leg("ETH", "USDT", 2.5, "c"), leg("SOL", "USD", 9.99, "b"), leg("SOL", "USDT", 10.0, "a"),
        leg("XRP", "USD", 1.1, "a"), leg("XRP", "USDT", 1.0, "c"),
    ]  # fmt: skip
    assert found(legs).rate == pytest.approx(2 / 2.002, rel=1e-9)
    assert found(legs).sources == "ratio:spot"
    perps = [{**one, "kind": "linear", "instrument": f"{one['instrument']}:{one['quote']}"} for one in legs]
    assert found(perps).rate == pytest.approx(2 / 2.002, rel=1e-9)
    assert found(perps).sources == "ratio:linear"


def test_a_base_on_many_venues_is_one_base() -> None:
    """ETH says 0.95 wherever it is listed; three others, listed once each, say 0.999."""
    many = [one for name in "abcdef" for one in ratio("ETH", 0.95, exchange=name)]
    legs = [*many, *ratio("SOL", 0.999), *ratio("XRP", 0.999), *ratio("LTC", 0.999)]
    assert found(legs).rate == pytest.approx(0.999, rel=1e-9)


@pytest.mark.parametrize(
    ("direct", "spot", "linear", "value"),
    [
        (0.999, 0.998, 0.9985, 0.9985),
        (0.999, 0.998, 0.5, 0.998),
        (1.3, 0.998, 0.999, 0.999),
        (0.97, 0.971, 0.972, 0.971),
        (0.999, 0.998, None, 0.9985),
        (None, None, 0.97, 0.97),
        (0.999, None, 0.95, None),
        # three that are all apart: nobody can tell who is right
        (1.0, 0.95, 0.9, None),
    ],
)
def test_the_median_of_the_sources(
    direct: float | None, spot: float | None, linear: float | None, value: float | None
) -> None:
    legs = [leg("USDT", "USD", direct)] if direct else []
    legs += ratio("ETH", spot) if spot else []
    legs += ratio("ETH", linear, "linear") if linear else []
    said = found(legs)
    if value is not None:
        names = {"direct": direct, "ratio:spot": spot, "ratio:linear": linear}
        assert said.rate == pytest.approx(value, rel=1e-9)
        assert said.sources == "+".join(name for name, there in names.items() if there)
        return
    assert math.isnan(said.rate)
    assert said.sources == ""
    assert "the sources for USDT/USD disagree" in said.why
    for name, told in (("direct", direct), ("ratio:spot", spot), ("ratio:linear", linear)):
        assert (f"{name} {told:g} (" in said.why) is (told is not None) if told else name not in said.why


def test_a_source_whose_own_members_are_apart_does_not_vote() -> None:
    """Two venues' books 5 % apart say nothing by themselves; ratios tell which one is right."""
    apart = [leg("USDT", "USD", 0.95, "a"), leg("USDT", "USD", 0.999, "b")]
    assert found(apart).why == "the sources for USDT/USD disagree: direct 0.95 to 0.999 (a, b)"
    assert found([*apart, *ratio("ETH", 0.9991)]).sources == "ratio:spot"
    assert found([*apart, *ratio("ETH", 0.9991)]).rate == pytest.approx(0.9991, rel=1e-9)
    venues = [leg("ETH", "USD", 100), leg("ETH", "USDT", 100, "a"), leg("ETH", "USDT", 105, "b")]
    assert "ratio:spot 0.952381 to 1 (ETH)" in found(venues).why
    assert found([*venues, *ratio("SOL", 0.999)]).rate == pytest.approx(0.999, rel=1e-9)


ELSE = ratio("SOL", 0.95)
"""What votes where the leg in question does not."""


@pytest.mark.parametrize(
    "change",
    [
        {"age_ms": 10_001.0}, {"halted": True}, {"bid": 1.2}, {"ask": 0.9}, {"bid": 0.9}, {"bid": math.nan},
        {"bid": math.nan, "ask": math.nan}, {"kind": "linear"}, {"kind": "inverse"}, {"bid": 1e-320, "ask": 1.01e-320},
        {"bid": 1e300, "ask": 1.01e300},
    ],
)  # fmt: skip
def test_what_is_no_usable_book_does_not_vote(change: Leg) -> None:
    said = found([leg("USDT", "USD", 0.999, **change), *ELSE])
    assert said.rate == pytest.approx(0.95, rel=1e-9)
    assert said.sources == "ratio:spot"
    assert found([leg("USDT", "USD", 0.999, **change)]).why


@pytest.mark.parametrize(
    "legs",
    [
        ratio("BTC", 0.9),  # what is priced
        ratio("DAI", 0.9),  # a stablecoin's premium is not that of an asset
        ratio("EUR", 0.9),
        ratio("ETH", 0.9, "inverse"),  # it is settled in the coin
        ratio("ETH", 0.9)[:1],  # half a ratio
        [*ratio("ETH", 0.9)[:1], *ratio("ETH", 0.9, "linear")[1:]],  # of two kinds
        [{**one, "instrument": f"{one['instrument']}-261225"} for one in ratio("ETH", 0.9, "linear")],  # it expires
    ],
)
def test_what_makes_no_ratio(legs: list[Leg]) -> None:
    assert found([*legs, *ELSE]).rate == pytest.approx(0.95, rel=1e-9)
    assert "no fresh source for USDT/USD" in found(legs).why


def test_a_venue_is_counted_once_and_by_its_youngest_quote() -> None:
    """Two configurations of one venue, or a book and a ticker, are one voice among three."""
    twice = [leg("USDT", "USD", 0.991, "k", age_ms=50), leg("USDT", "USD", 0.99, "k", age_ms=20)]
    others = [leg("USDT", "USD", 0.995, "a"), leg("USD", "USDT", 1 / 0.996, "b")]
    assert found([*twice, *others]).rate == pytest.approx(0.995, rel=1e-9)
    assert found(twice).rate == pytest.approx(0.99, rel=1e-9)
    assert found(twice).age_ms == 20
    backups = [{**one, "exchange": name, "venue": "k"} for one, name in zip(twice, ("k", "k2"), strict=True)]
    assert found([*backups, *({**one, "venue": one["exchange"]} for one in others)]).rate == pytest.approx(0.995)
    assert found(backups).rate == pytest.approx(0.99, rel=1e-9)


def test_a_rate_is_as_old_as_its_oldest_quote() -> None:
    legs = [leg("USDT", "USD", 0.999, age_ms=300.0), *ratio("ETH", 0.999)]
    legs[2]["age_ms"] = 700.0
    assert found(legs).age_ms == 700
    assert found([*legs, leg("ETH", "USDT", 100, "old", age_ms=20_000.0)]).age_ms == 700
    assert found([*legs, leg("USDT", "USD", 0.999, "b", age_ms=800.0)]).age_ms == 800
    assert math.isnan(found([]).age_ms)


# --- pivots and pegs ----------------------------------------------------------------------------------------


def test_a_pair_without_a_source_goes_over_one_pivot() -> None:
    """Worked: 1 FDUSD = 0.999 USDT and 1 USDT = 0.998 USD; in euros at 1.1 USDT each."""
    legs = [leg("FDUSD", "USDT", 0.999, age_ms=40), leg("USDT", "USD", 0.998, age_ms=90), *ratio("ETH", 0.998)]
    said = found(legs, "FDUSD", "USD")
    assert said.rate == pytest.approx(0.999 * 0.998, rel=1e-9)
    assert said.sources == "FDUSD→USDT direct; USDT→USD direct+ratio:spot"
    assert said.age_ms == 90
    back = found(legs, "USD", "FDUSD")
    assert back.rate == pytest.approx(1 / 0.999 / 0.998, rel=1e-9)
    assert back.sources == "USD→USDT direct+ratio:spot; USDT→FDUSD direct"
    euros = found([*legs, leg("EUR", "USDT", 1.1)], "FDUSD", "EUR")
    assert euros.rate == pytest.approx(0.999 / 1.1, rel=1e-9)


def test_the_first_pivot_that_leads_there_is_taken_and_an_own_source_before_any() -> None:
    over_usd = [leg("EUR", "USD", 1.1), leg("FDUSD", "USD", 0.99)]
    over_usdc = [leg("EUR", "USDC", 1.2), leg("FDUSD", "USDC", 0.99)]
    over_usdt = [leg("EUR", "USDT", 1.3), leg("FDUSD", "USDT", 0.99)]
    for legs, dear in ((over_usdc, 1.2), (over_usdc + over_usd, 1.1), (over_usdc + over_usd + over_usdt, 1.3)):
        assert found(legs, "EUR", "FDUSD").rate == pytest.approx(dear / 0.99, rel=1e-9)
    # one hop of it is not enough, nor one whose sources disagree
    assert found([*over_usd, over_usdt[0]], "EUR", "FDUSD").rate == pytest.approx(1.1 / 0.99, rel=1e-9)
    bad = leg("FDUSD", "USDT", 0.9, "b")
    assert found([*over_usd, *over_usdt, bad], "EUR", "FDUSD").rate == pytest.approx(1.1 / 0.99, rel=1e-9)
    own = [*over_usdt, leg("EUR", "FDUSD", 1.5)]
    assert found(own, "EUR", "FDUSD").sources == "direct"


def test_without_any_way_every_hop_that_lacks_is_named() -> None:
    said = found([leg("FDUSD", "USDT", 0.999), leg("FDUSD", "USDC", 0.9, "a"), leg("FDUSD", "USDC", 1)], "FDUSD", "EUR")
    assert math.isnan(said.rate)
    assert said.why == (
        "no fresh source for EUR/FDUSD; over USDT: none for EUR/USDT; over USD: none for FDUSD/USD, none for EUR/USD; "
        "over USDC: the sources for FDUSD/USDC disagree: direct 0.9 to 1 (a, k), none for EUR/USDC"
    )


def test_sources_that_disagree_are_not_gone_around() -> None:
    """USDC/USD has sources and nobody knows which is right: a way over USDT would only hide it."""
    legs = [leg("USDC", "USD", 0.9), leg("USDC", "USD", 1.0, "b"), leg("USDC", "USDT", 1.0), leg("USDT", "USD", 1.0)]
    assert "USDC/USD disagree" in found(legs, "USDC", "USD").why


def test_the_asset_is_no_pivot_and_has_no_say_in_a_rate() -> None:
    legs = [leg("FDUSD", "USDT", 0.999), leg("USDT", "USD", 0.998), leg("FDUSD", "USDC", 0.99), leg("USDC", "USD", 1)]
    assert found(legs, "FDUSD", "USD", asset="BTC").sources.startswith("FDUSD→USDT")
    assert found(legs, "FDUSD", "USD", asset="USDT").rate == pytest.approx(0.99, rel=1e-9)
    # the price of USDT is what is asked: its own book is no witness, other assets are
    assert math.isnan(found(legs, asset="USDT").rate)
    assert found([*legs, *ratio("ETH", 0.97)], asset="USDT").sources == "ratio:spot"
    hops = [*ratio("ETH", 0.97), leg("SOL", "USDT", 100), leg("SOL", "FDUSD", 100)]
    assert found(hops, "FDUSD", "USD").rate == pytest.approx(0.97, rel=1e-9)
    assert math.isnan(found(hops, "FDUSD", "USD", asset="USDT").rate)


def test_nothing_is_pegged_unless_the_caller_says_so() -> None:
    depeg = [leg("USDC", "USD", 0.9), leg("USDT", "USD", 1.01), leg("EUR", "USD", 1.1), leg("FDUSD", "USDT", 0.999)]
    assert found(depeg, "USDC", "USD").rate == pytest.approx(0.9, rel=1e-9)
    pegged = found(depeg, "USDC", "USD", peg="USDC")
    assert pegged == currency.Rate("USDC", "USD", 1.0, "peg", 0.0)
    assert found([], "USDC", "USDT", peg=["USDT", "USDC"]).rate == 1
    # only what was named
    assert found(depeg, peg="USDC").rate == pytest.approx(1.01, rel=1e-9)
    assert found(depeg, "EUR", "USD", peg=True).rate == pytest.approx(1.1, rel=1e-9)
    over = found(depeg, "FDUSD", "USD", peg="USDT")
    assert over.rate == pytest.approx(0.999, rel=1e-9)
    assert over.sources == "FDUSD→USDT direct; USDT→USD peg"


# --- executable ---------------------------------------------------------------------------------------------


def book(
    base: str, quote: str, bid: float, ask: float, exchange: str = "k", sizes: tuple[float, float] = (10, 20)
) -> Leg:
    return {**leg(base, quote, bid, exchange), "bid": bid, "ask": ask, "bid_size": sizes[0], "ask_size": sizes[1]}


def executed(
    legs: list[Leg], source: str = "USDT", target: str = "USD", asset: str = "BTC"
) -> tuple[float, ...] | None:
    top = executable(columns(legs), source, target, asset=asset)
    return (top.bid, top.ask, top.bid_size, top.ask_size) if top else None


def test_executable_is_the_best_of_direct_books_in_either_direction() -> None:
    """Worked: whoever buys USD at 1.25 USDT sells a USDT for 0.8 USD, and 20 USD are offered for 25 USDT."""
    straight, turned = book("USDT", "USD", 0.79, 0.81, "a"), book("USD", "USDT", 1.24, 1.25, "b")
    assert executed([straight]) == (0.79, 0.81, 10, 20)
    assert executed([turned]) == pytest.approx((1 / 1.25, 1 / 1.24, 25, 12.4))
    assert executed([straight, turned]) == pytest.approx((0.8, 1 / 1.24, 25, 12.4))
    assert executed([straight, turned], "USD", "USDT") == pytest.approx((1.24, 1.25, 10, 20))


def test_executable_takes_no_detour_and_no_assets_word() -> None:
    hops = [book("FDUSD", "USDT", 0.99, 1.0), book("USDT", "USD", 0.99, 1.0), *ratio("ETH", 0.99)]
    legs = [{"bid_size": 1.0, "ask_size": 1.0, **one} for one in hops]
    assert executed(legs, "FDUSD", "USD") is None
    assert executed(legs, asset="USDT") is None
    assert executed([]) is None
    stale = {**book("USDT", "USD", 0.99, 1.0), "age_ms": 11_000.0}
    assert executed([stale]) is None
    perpetual = {**book("USDT", "USD", 0.99, 1.0), "kind": "linear"}
    assert executed([perpetual]) is None


def test_executable_leaves_out_a_book_far_from_the_others() -> None:
    """A book 5 % off would make every converted pair look like a profit."""
    good, near, bad = (
        book("USDT", "USD", at, at + 0.001, name) for name, at in (("a", 0.99), ("b", 0.991), ("c", 1.04))
    )
    assert executed([good, near, bad]) == (0.991, 0.991, 10, 20)
    assert executed([good, bad]) is None


# --- over time ----------------------------------------------------------------------------------------------


def test_a_series_is_a_rate_at_every_close() -> None:
    """Bars without volume repeat an older price; a minute in which nobody traded has no rate."""
    bars = [
        (60_000, "k", "USDT", "USD", 0.998, 5.0), (0, "k", "USDT", "USD", 0.999, 1.0),
        (0, "a", "USDT", "USD", 0.9, 0.0), (60_000, "a", "USD", "USDT", 1 / 0.996, 1.0),
        (120_000, "k", "USDT", "USD", 0.998, 0.0), (180_000, "k", "BTC", "USD", 9.0, 1.0),
        (180_000, "k", "BTC", "USDT", 10.0, math.nan), (240_000, "k", "USDT", "USD", math.nan, 1.0),
        (math.nan, "k", "USDT", "USD", 0.9, 1.0),
    ]  # fmt: skip
    names = ("time", "exchange", "base", "quote", "close", "base_volume")
    cells = {name: [bar[place] for bar in bars] for place, name in enumerate(names)}
    said = series(cells, "USDT", "USD", asset="BTC")
    assert said["time"].tolist() == [0, 60_000, 120_000, 180_000, 240_000]
    assert said["rate"] == pytest.approx([0.999, 0.997, math.nan, math.nan, math.nan], nan_ok=True)
    assert said["sources"] == ["direct", "direct", "", "", ""]
    assert [bool(why) for why in said["why"]] == [False, False, True, True, True]
    assert series(cells, "USDT", "USD", asset="ETH")["rate"][3] == pytest.approx(0.9)
    assert series(cells, "USDT", "USD", asset="BTC", peg=True)["rate"].tolist() == [1] * 5
    del cells["base_volume"]
    assert series(cells, "USDT", "USD", asset="BTC")["rate"][2] == pytest.approx(0.998)
    empty = series({}, "USDT", "USD", asset="BTC")
    assert {name: len(values) for name, values in empty.items()} == dict.fromkeys(said, 0)


# --- a consistent world, and faults in it -------------------------------------------------------------------

WORTH = {"USD": 1.0, "USDT": 0.9993, "USDC": 1.0001, "FDUSD": 0.9985, "EUR": 1.0842}
COINS = {"ETH": 3351.27, "BTC": 96512.4, "SOL": 194.83, "XRP": 2.4517, "DOGE": 0.33518, "LTC": 118.46}
DOLLARS = ("USD", "USDT", "USDC")
DIRECT = [
    *(("USDT", "USD"), ("USDC", "USD"), ("USDC", "USDT"), ("FDUSD", "USDT"), ("EUR", "USD"), ("EUR", "USDT")),
    *(("USDT", "EUR"), ("USDC", "EUR")),
]
VENUES = ("a", "b", "c")
SOURCES = ("direct", "ratio:spot", "ratio:linear")
NOISE = BP / 4
"""How far a price is from fair: direct books are then within 0.25 bp of the truth, ratios within 0.5 bp."""


def world(seed: int, worth: dict[str, float] = WORTH) -> list[Leg]:
    """Return what three venues quote of every coin and currency, consistent up to `NOISE`."""
    rng = random.Random(seed)
    coins = [("spot", base, quote, usd) for base, usd in COINS.items() for quote in worth]
    coins += [("linear", base, quote, usd) for base, usd in COINS.items() for quote in DOLLARS]
    pairs = [("spot", base, quote, worth[base]) for base, quote in DIRECT]
    return [
        leg(base, quote, usd / worth[quote] * (1 + rng.uniform(-NOISE, NOISE)), venue, kind, age_ms=rng.uniform(0, 900))
        for kind, base, quote, usd in [*coins, *pairs]
        for venue in VENUES
    ]


def source_of(one: Leg) -> str:
    return "direct" if one["base"] in WORTH else f"ratio:{one['kind']}"


def wrong(legs: list[Leg], lies: Lies, rng: random.Random) -> list[Leg]:
    """Return the world in which the prices that lie are off, each by its own factor."""
    factors = [rng.choice([0.5, 0.95, 0.985, 1.02, 1.05, 3, 1000]) if lies(one) else 1 for one in legs]
    return [
        {**one, "bid": one["bid"] * factor, "ask": one["ask"] * factor}
        for one, factor in zip(legs, factors, strict=True)
    ]


def all_of(column: str, name: str) -> Lies:
    return lambda one: name == (source_of(one) if column == "source" else one[column])


WHO_LIES: dict[str, Lies] = {
    **{name: all_of("source", name) for name in SOURCES},
    **{f"venue {name}": all_of("exchange", name) for name in VENUES},
    **{f"base {name}": all_of("base", name) for name in COINS},
    "a direct book": lambda one: (one["exchange"], one["base"], one["quote"]) == ("b", "USDT", "USD"),
    "a venue and two bases": lambda one: one["exchange"] == "c" or one["base"] in {"SOL", "LTC"},
}
PAIRS = [(source, target) for source in DOLLARS for target in DOLLARS if source != target]


def assert_moved_by_a_basis_point_at_most(honest: list[Leg], lied: list[Leg]) -> None:
    for source, target in PAIRS:
        before, after = found(honest, source, target), found(lied, source, target)
        assert before.sources == "+".join(SOURCES)
        assert before.rate == pytest.approx(WORTH[source] / WORTH[target], rel=BP / 2)
        assert abs(after.rate / before.rate - 1) <= BP, (source, target, after)


@pytest.mark.parametrize("who", WHO_LIES)
def test_who_lies_alone_moves_a_rate_of_three_sources_by_one_basis_point_at_most(who: str) -> None:
    for seed in range(3):
        honest = world(seed)
        assert_moved_by_a_basis_point_at_most(honest, wrong(honest, WHO_LIES[who], random.Random(seed)))


@pytest.mark.parametrize("who", [who for who in WHO_LIES if who not in {"venue a", "a venue and two bases"}])
def test_where_one_venue_alone_has_dollars_the_others_cannot_move_a_rate_either(who: str) -> None:
    honest = [one for one in world(5) if one["exchange"] == "a" or "USD" not in {one["base"], one["quote"]}]
    lies = WHO_LIES[who]
    if who == "a direct book":
        lies = all_of("instrument", "USDT/USD")
    assert_moved_by_a_basis_point_at_most(honest, wrong(honest, lies, random.Random(5)))


@pytest.mark.parametrize("late", [None, *SOURCES])
@pytest.mark.parametrize("coin", ["USDT", "USDC"])
def test_a_true_depeg_moves_a_rate_at_once_also_where_one_source_lags(coin: str, late: str | None) -> None:
    calm, fallen = world(1), world(1, {**WORTH, coin: WORTH[coin] * 0.97})
    legs = columns(old if source_of(old) == late else new for old, new in zip(calm, fallen, strict=True))
    for source, target in PAIRS:
        change = (0.97 if source == coin else 1) / (0.97 if target == coin else 1)
        moved = rate(legs, source, target, asset="BTC").rate / found(calm, source, target).rate
        assert moved == pytest.approx(change, rel=1e-9 if late is None else BP)


# --- random worlds ------------------------------------------------------------------------------------------


def torn(seed: int, share: float, lying: float) -> list[Leg]:
    """Return a world of which only a share is left, with lies and old quotes in it."""
    rng = random.Random(seed)
    legs = wrong([one for one in world(seed % 100) if rng.random() < share], lambda _: rng.random() < lying, rng)
    return [{**one, "age_ms": 60_000.0} if rng.random() < 0.1 else one for one in legs]


worlds = st.tuples(st.integers(0, 10**6), st.sampled_from([0.03, 0.1, 0.3, 1]), st.sampled_from([0, 0.1, 0.5]))
currencies = st.sampled_from(list(WORTH))
assets = st.sampled_from([*COINS, *WORTH, "PEPE"])


@settings(max_examples=80, deadline=None)
@given(worlds, currencies, currencies, assets, st.sampled_from([(), ("USDT",), ("USDC", "FDUSD"), True]))
def test_a_rate_is_the_oracles(
    of: tuple[int, float, float], source: str, target: str, asset: str, peg: bool | tuple[str, ...]
) -> None:
    legs, par = torn(*of), {"USD", *check_peg(peg)} if peg else set()
    rows = [{**one, "age_s": one["age_ms"] / 1000} for one in legs]
    want = oracle.exchange_rate(rows, source, target, asset, par)
    said = found(legs, source, target, asset=asset, peg=peg)
    assert said.rate == pytest.approx(math.nan if want is None else float(want), rel=1e-12, nan_ok=True)
    assert bool(said.why) is (want is None)
    assert bool(said.sources) is (want is not None)
    assert want is None or 0 <= said.age_ms <= 900


@settings(max_examples=60, deadline=None)
@given(worlds, currencies, currencies, assets)
def test_there_and_back_is_one_and_a_pivot_is_its_hops(
    of: tuple[int, float, float], source: str, target: str, asset: str
) -> None:
    legs = torn(*of)
    there, back = (found(legs, *way, asset=asset) for way in ((source, target), (target, source)))
    assert there.rate * back.rate == pytest.approx(1, rel=1e-12) or (math.isnan(there.rate) and math.isnan(back.rate))
    for said in (there, back):
        if ";" in said.sources:
            ways = [hop.split(" ")[0].split("→") for hop in said.sources.split("; ")]
            hops = [found(legs, *way, asset=asset) for way in ways]
            assert (ways[0][0], ways[1][1]) == (said.source, said.target)
            assert said.rate == pytest.approx(hops[0].rate * hops[1].rate, rel=1e-12)
            named = [f"{'→'.join(way)} {hop.sources}" for way, hop in zip(ways, hops, strict=True)]
            assert said.sources == "; ".join(named)
            assert said.age_ms == max(hop.age_ms for hop in hops)


@settings(max_examples=60, deadline=None)
@given(worlds, currencies, currencies, assets)
def test_the_priced_asset_has_no_say(of: tuple[int, float, float], source: str, target: str, asset: str) -> None:
    legs = torn(*of)

    def its_own(one: Leg) -> bool:
        if asset not in {source, target}:
            return asset in {one["base"], one["quote"]}
        # What other assets cost in it makes a rate of the asset itself; its own books do not.
        return one["base"] in WORTH and asset in {one["base"], one["quote"]}

    honest = found(legs, source, target, asset=asset)
    lied = found(wrong(legs, its_own, random.Random(of[0])), source, target, asset=asset)
    assert lied == honest or (lied.why == honest.why != "")


# --- the depeg of March 2023 --------------------------------------------------------------------------------

needs_bars = pytest.mark.skipif(not BARS.is_dir(), reason="needs recorded bars: ../shared/data or XEX_DATA")


@cache
def minutes() -> pd.DataFrame:
    """Return the recorded bars, closes of minutes, with the columns that `series` reads."""
    data = pd.read_csv(next(BARS.glob("*.csv.gz")))
    pair = data["symbol"].str.split("/", expand=True)
    names = {"ts_ms": "time", "venue": "exchange", "volume": "base_volume"}
    return data.rename(columns=names).assign(base=pair[0], quote=pair[1])


def cells_of(bars: pd.DataFrame) -> Any:
    names = ("time", "exchange", "base", "quote", "close", "base_volume")
    return {name: bars[name].to_numpy() if bars[name].dtype.kind in "if" else bars[name].tolist() for name in names}


def gaps_bps(price: pd.Series, reference: pd.Series) -> float:
    return float(1e4 * (price / reference - 1).abs().median())


def kraken(symbol: str) -> pd.Series:
    bars = minutes()
    return bars[(bars["exchange"] == "kraken") & (bars["symbol"] == symbol) & (bars["base_volume"] > 0)].set_index(
        "time"
    )["close"]


@needs_bars
def test_bitcoin_in_usdc_is_bitcoin_in_dollars_at_the_rate_and_not_at_par() -> None:
    """Kraken's own two prices of BTC through the depeg; the rate is made of currencies alone, BTC has no say."""
    found = series(cells_of(minutes()), "USDC", "USD", asset="BTC")
    assert set(found["sources"]) == {"direct", "USDC→USDT direct; USDT→USD direct", ""}
    both = pd.DataFrame(
        {"usdc": kraken("BTC/USDC"), "usd": kraken("BTC/USD"), "rate": pd.Series(found["rate"], found["time"])}
    ).dropna()
    at_par, converted = gaps_bps(both["usdc"], both["usd"]), gaps_bps(both["usdc"] * both["rate"], both["usd"])
    print(f"\nBTC/USDC against BTC/USD over {len(both)} minutes: {at_par:.1f} bps at par, {converted:.1f} converted")
    assert len(both) > 2000
    assert converted <= at_par / 20


@needs_bars
def test_ratios_of_bitcoin_say_what_the_currencies_books_say() -> None:
    """For another asset BTC votes: without any direct book its ratio alone finds what one USDC is worth."""
    bars = minutes()
    coins = bars[bars["base"] == "BTC"]
    found = series(cells_of(coins), "USDC", "USD", asset="ETH")
    assert set(found["sources"]) <= {"ratio:spot", ""}
    both = pd.DataFrame({"book": kraken("USDC/USD"), "rate": pd.Series(found["rate"], found["time"])}).dropna()
    at_par, ratio_gap = gaps_bps(both["book"], both["book"] * 0 + 1), gaps_bps(both["rate"], both["book"])
    print(f"\nUSDC/USD over {len(both)} minutes: {at_par:.1f} bps from par, the ratio of BTC {ratio_gap:.1f} bps off")
    assert len(both) > 2000
    assert ratio_gap <= at_par / 10


@needs_bars
def test_minutes_without_volume_do_not_vote() -> None:
    """Binance.US repeated its last USDC price for more than half of these minutes."""
    bars = minutes()
    thin = bars[(bars["exchange"] == "binanceus") & (bars["symbol"] == "USDC/USDT")]
    found = series(cells_of(thin), "USDC", "USDT", asset="BTC")
    traded = (thin["base_volume"] > 0).to_numpy()
    assert 0.3 < traded.mean() < 0.5
    assert np.isfinite(found["rate"]).tolist() == traded.tolist()
    assert found["rate"][traded].tolist() == thin["close"][traded].tolist()


@needs_bars
def test_a_close_votes_like_a_quote_with_a_hair_of_spread() -> None:
    """What `series` says of a minute is what `rate` says of its closes as quotes."""
    bars = minutes()
    traded = bars[bars["base_volume"] > 0]
    times = sorted(set(bars["time"]))[::240]
    for source, target, asset in (("USDC", "USD", "BTC"), ("USDC", "EUR", "ETH"), ("EUR", "USDT", "BTC")):
        found = series(cells_of(bars[bars["time"].isin(times)]), source, target, asset=asset)
        for place, time in enumerate(times):
            rows = traded[traded["time"] == time]
            legs = [leg(r.base, r.quote, r.close, r.exchange) for r in rows.itertuples()]
            said = rate(columns(legs), source, target, asset=asset)
            assert said.rate == pytest.approx(found["rate"][place], rel=1e-9, nan_ok=True)
            assert said.sources == found["sources"][place]
