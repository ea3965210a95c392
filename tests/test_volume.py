"""Volumes, shares and concentration: cases computed by hand, sums made anew in plain Python, and what always holds.

Properties are tried on 100 examples; ``XEX_FULL=1`` tries 1,000.
"""

from __future__ import annotations

import math
import os
import random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xex
from xex.errors import SchemaError
from xex.model import schema

often = settings(max_examples=1_000 if os.environ.get("XEX_FULL") else 100, deadline=None, derandomize=True)


def row(exchange: str, base: float, quote: float, /, **more: Any) -> dict[str, Any]:
    return {
        "exchange": exchange, "group": "BTC:spot", "quote": "USDT", "currency": "USDT", "bid": 99.9, "ask": 100.1,
        "base_volume": base, "quote_volume": quote, **more,
    }  # fmt: skip


def asked(*rows: dict[str, Any], **more: Any) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the shares by exchange and the one group's total."""
    frame = pd.DataFrame(rows)
    shares = {cell["exchange"]: cell for cell in cells(xex.volume.shares(frame, **more))}
    (total,) = cells(xex.volume.total(frame, **more))
    return shares, total


def cells(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in cell.items()} for cell in frame.to_dict("records")]


def absent(value: Any) -> bool:
    return bool(value != value)


def test_shares_and_concentration_by_hand() -> None:
    shares, total = asked(row("a", 1, 100), row("b", 2, 200), row("c", 5, 500))
    assert [shares[name]["share"] for name in "abc"] == pytest.approx([0.125, 0.25, 0.625])
    assert [shares[name]["volume"] for name in "abc"] == [100, 200, 500]
    assert (total["base_volume"], total["volume"], total["currency"], total["n_venues"]) == (8, 800, "USDT", 3)
    assert total["hhi"] == pytest.approx(0.015625 + 0.0625 + 0.390625)
    assert total["top"] == "c"
    assert absent(total["volume_partial"])
    assert absent(total["flags"])


def test_equal_exchanges_have_the_least_index_and_the_first_name_is_on_top() -> None:
    _, total = asked(*(row(name, 1, 100) for name in "dbca"))
    assert total["hhi"] == pytest.approx(0.25)
    assert total["top"] == "a"
    _, total = asked(row("a", 1, 100))
    assert total["hhi"] == 1


@pytest.mark.parametrize(
    "why",
    [
        {}, {"age_ms": 11_000.0}, {"halted": True}, {"bid": math.nan, "ask": math.nan},
        {"quote": "USD", "currency": "USD"},
    ],
    ids=["fresh", "stale", "halted", "last only", "another dollar"],
)  # fmt: skip
def test_another_coin_is_in_no_sum_whatever_the_state_of_its_quote(why: dict[str, Any]) -> None:
    """Three trade one coin at 100, the fourth another at 3,000, a billion of it."""
    rows = [row(name, 10, 1000, age_ms=0.0, halted=False, last=100.0) for name in "abc"]
    stranger = row(
        "d", 1e9, 3e12, **{"bid": 2999.0, "ask": 3001.0, "age_ms": 0.0, "halted": False, "last": 3000.0, **why}
    )
    shares, total = asked(*rows, stranger)
    assert (total["base_volume"], total["volume"], total["n_venues"]) == (30, 3000, 3)
    assert total["hhi"] == pytest.approx(1 / 3)
    assert "suspect" in shares["d"]["flags"].split(",")
    assert "suspect:d" in total["flags"].split(",")


def test_the_same_coin_counts_whatever_the_state_of_its_quote() -> None:
    """Old, halted, crossed, with nothing but a last price, or in another dollar that is 10 % off."""
    rows = [row("a", 10, 1000), row("b", 10, 1000), row("c", 10, 1000, age_ms=3e6), row("d", 10, 1000, halted=True),
            row("e", 10, 1000, bid=100.3, ask=100.1), row("f", 10, 1000, bid=math.nan, ask=math.nan, last=101.0),
            row("g", 10, 900, bid=89.9, ask=90.1, quote="USDC", currency="USDC")]  # fmt: skip
    _, total = asked(*rows)
    assert (total["base_volume"], total["volume"]) == (70, 6000)
    assert total["flags"] == "no_rate:g"


def test_who_reports_nothing_is_named_and_has_no_share() -> None:
    shares, total = asked(row("a", 1, 100), row("b", math.nan, 300), row("c", 3, math.nan), row("d", -1, -1))
    assert shares["a"]["share"] == pytest.approx(0.25)
    assert shares["b"]["share"] == pytest.approx(0.75)
    assert absent(shares["c"]["share"])
    assert (shares["c"]["flags"], shares["d"]["flags"]) == ("no_volume", "no_volume")
    assert (total["base_volume"], total["volume"], total["n_venues"]) == (4, 400, 2)
    assert total["volume_partial"] == "b,c,d"
    _, total = asked(row("a", math.nan, math.nan))
    assert all(absent(total[name]) for name in ("base_volume", "volume", "hhi", "top"))
    assert total["n_venues"] == 0


def test_no_volume_at_all_is_zero_and_has_no_shares() -> None:
    shares, total = asked(row("a", 0, 0), row("b", 0, 0))
    assert (total["base_volume"], total["volume"], total["n_venues"]) == (0, 0, 2)
    assert absent(total["hhi"])
    assert absent(total["top"])
    assert absent(shares["a"]["share"])


def test_converted_volumes_are_added_and_the_exchanges_own_are_shown() -> None:
    dollars = {"currency": "USD", "bid": 99.9, "ask": 100.1}
    shares, total = asked(
        row("a", 1, 90, **dollars, fx_rate=0.9), row("b", 2, 210, **dollars, quote="USD", fx_rate=1.0)
    )  # fmt: skip
    assert (total["volume"], total["currency"]) == (300, "USD")
    assert shares["a"]["share"] == pytest.approx(0.3)
    assert (shares["a"]["quote"], shares["a"]["quote_volume"]) == ("USDT", pytest.approx(100))
    assert (shares["b"]["quote"], shares["b"]["quote_volume"]) == ("USD", 210)


def test_a_row_without_a_rate_has_no_share_but_its_coins_count() -> None:
    shares, total = asked(
        row("a", 1, 100, currency="USD", quote="USD", fx_rate=1.0),
        row("b", 2, 300, currency="USDT", quote="USDT", fx_rate=math.nan),
        currency="USD",
    )
    assert (shares["b"]["flags"], absent(shares["b"]["volume"]), absent(shares["b"]["share"])) == (
        "no_rate",
        True,
        True,
    )
    assert shares["b"]["quote_volume"] == 300
    assert (total["volume"], total["base_volume"], total["hhi"], total["n_venues"]) == (100, 3, 1, 1)
    assert total["flags"] == "no_rate:b"
    # Its currency has been changed by hand, its volume has not.
    shares, _ = asked(row("a", 1, 100), row("b", 2, 300, quote="EUR", fx_rate=math.nan))
    assert shares["b"]["flags"] == "no_rate"


def test_currencies_are_never_added_as_they_are() -> None:
    rows = [row("a", 1, 100), row("b", 1, 100, quote="USD", currency="USD"), row("c", 1, 100)]
    shares, total = asked(*rows)
    assert (total["currency"], total["volume"], total["flags"]) == ("USDT", 200, "no_rate:b")
    shares, total = asked(*rows, currency="USD")
    assert (total["volume"], total["flags"]) == (100, "no_rate:a,no_rate:c")
    assert shares["b"]["share"] == 1
    # As many of one as of the other: the first by name, whatever comes first.
    assert asked(*rows[:2])[1]["currency"] == asked(*rows[1::-1])[1]["currency"] == "USD"


def test_an_exchange_with_several_markets_of_a_group_is_one() -> None:
    shares, total = asked(
        row("a", 1, 100, currency="USD", fx_rate=1.0),
        row("b", 3, 300, currency="USD", fx_rate=1.0),
        row("a", 2, 200, currency="USD", quote="USDC", fx_rate=1.0),
        row("a", 4, 400, currency="EUR", quote="EUR", fx_rate=math.nan, bid=90.0, ask=90.1),
    )
    assert list(shares) == ["a", "b"]
    assert (shares["a"]["base_volume"], shares["a"]["volume"], shares["a"]["share"]) == (7, 300, pytest.approx(0.5))
    assert (shares["a"]["quote"], absent(shares["a"]["quote_volume"]), shares["a"]["flags"]) == (
        "EUR,USDC,USDT", True, "no_rate",
    )  # fmt: skip
    assert (total["n_venues"], total["flags"]) == (2, "no_rate:a")


@pytest.mark.parametrize(("bid", "ask", "why"), [(149.9, 150.1, "suspect"), (99_900, 100_100, "unit_error")])
def test_another_asset_is_in_no_sum(bid: float, ask: float, why: str) -> None:
    shares, total = asked(row("a", 1, 100), row("b", 2, 300), row("x", 1e9, 1e9, bid=bid, ask=ask))
    assert (total["base_volume"], total["volume"], total["n_venues"]) == (3, 400, 2)
    assert total["flags"] == f"{why}:x"
    assert absent(total["volume_partial"])
    assert (shares["x"]["flags"], absent(shares["x"]["base_volume"]), absent(shares["x"]["quote_volume"])) == (
        why, True, True,
    )  # fmt: skip


def test_another_asset_without_a_volume_is_not_missed() -> None:
    _, total = asked(row("a", 1, 100), row("b", 2, 300), row("x", math.nan, math.nan, bid=149.9, ask=150.1))
    assert absent(total["volume_partial"])


def test_where_nobody_can_say_which_asset_it_is_nothing_is_added() -> None:
    _, total = asked(row("a", 1, 100), row("b", 2, 300, bid=110.0, ask=110.2))
    assert absent(total["volume"])
    assert total["flags"] == "disagree:a,disagree:b"


@pytest.mark.parametrize(
    "more",
    [
        {"age_ms": 60_000.0}, {"age_ms": 3e8}, {"bid": 100.2, "ask": 100.0}, {"bid": 97.0, "ask": 103.0},
        {"bid": math.nan, "ask": math.nan}, {"halted": True}, {"bid": 100.4, "ask": 100.6},
    ],
    ids=["stale", "very stale", "crossed", "wide", "no quote", "halted", "outlier"],
)  # fmt: skip
def test_a_quote_that_makes_no_price_still_counts_with_its_volume(more: dict[str, Any]) -> None:
    rows = [{"halted": False, "age_ms": 5.0, **row(name, 1, 100)} for name in "abc"]
    _, total = asked(*rows, {"halted": False, "age_ms": 5.0, **row("d", 5, 500), **more})
    assert (total["base_volume"], total["volume"], total["n_venues"]) == (8, 800, 4)


def test_groups_do_not_touch_one_another() -> None:
    frame = pd.DataFrame([
        row("a", 1, 100), row("a", 7, 70, group="ETH:spot", currency="USD", quote="USD"), row("b", 3, 300),
        row("b", 1, 30, group="ETH:spot", currency="USD", quote="USD"),
    ])  # fmt: skip
    total = xex.volume.total(frame)
    assert total["group"].tolist() == ["BTC:spot", "ETH:spot"]
    assert total["currency"].tolist() == ["USDT", "USD"]
    assert total["volume"].tolist() == [400, 100]
    assert total["hhi"].tolist() == pytest.approx([0.0625 + 0.5625, 0.49 + 0.09])
    assert total["top"].tolist() == ["b", "a"]


def test_only_what_is_needed_need_be_there() -> None:
    frame = pd.DataFrame({"exchange": ["a", "b"], "base": "BTC", "quote": "USDT", "quote_volume": [1.0, 3.0]})
    total = xex.volume.total(frame).iloc[0]
    assert (total["group"], total["volume"], total["hhi"]) == ("BTC:spot", 4, pytest.approx(0.625))
    with pytest.raises(SchemaError, match="base_volume or quote_volume"):
        xex.volume.shares(frame.drop(columns="quote_volume"))
    with pytest.raises(SchemaError, match="base"):
        xex.volume.shares(frame.drop(columns="base"))
    with pytest.raises(SchemaError, match="numbers"):
        xex.volume.shares(frame.astype({"quote_volume": str}))
    for name, question in (("volume_shares", xex.volume.shares), ("volume_total", xex.volume.total)):
        assert list(question(schema.frame({}, "tickers")).columns) == list(schema.SCHEMAS[name])


volumes = st.one_of(st.just(math.nan), st.floats(0, 1e12))
worlds = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from(["BTC:spot", "ETH:spot"]), volumes, volumes),
    min_size=1,
    max_size=12,
)


@often
@given(worlds, st.randoms(use_true_random=False))
def test_totals_are_plain_sums_whatever_the_order(
    world: list[tuple[str, str, float, float]], rng: random.Random
) -> None:
    rows = [row(name, base, quote, group=group) for name, group, base, quote in world]
    frame = pd.DataFrame(rows, columns=list(row("a", 1, 1))).assign(
        instrument=[f"market {n}" for n in range(len(rows))]
    )
    frame = frame.sample(frac=1, random_state=rng.randint(0, 999))
    shares, totals = xex.volume.shares(frame), xex.volume.total(frame)
    for total in cells(totals):
        mine = [cell for cell in world if cell[1] == total["group"]]
        known: dict[str, float] = {}
        for name, _, _, quote in mine:
            if not math.isnan(quote):
                known[name] = known.get(name, 0.0) + quote
        whole = sum(known.values())
        assert total["n_venues"] == len(known)
        assert total["volume"] == pytest.approx(whole if known else math.nan, nan_ok=True)
        bases = [base for _, _, base, _ in mine if not math.isnan(base)]
        assert total["base_volume"] == pytest.approx(sum(bases) if bases else math.nan, nan_ok=True)
        if whole > 0:
            squares = sum((volume / whole) ** 2 for volume in known.values())
            assert total["hhi"] == pytest.approx(squares, rel=1e-9)
            assert 1 / len(known) - 1e-9 <= total["hhi"] <= 1 + 1e-9
            assert known[total["top"]] == max(known.values())
            of_group = shares[shares["group"] == total["group"]]
            assert of_group["share"].sum() == pytest.approx(1)
