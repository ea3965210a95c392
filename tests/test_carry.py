"""Funding of two perpetuals against each other, each over its own interval."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

import xex
from xex.errors import SchemaError


def rates(*rows: tuple[str, float, float], **more: Any) -> pd.DataFrame:
    return pd.DataFrame([
        {"exchange": name, "base": "BTC", "kind": "linear", "rate": rate, "interval_hours": hours, **more}
        for name, rate, hours in rows
    ])  # fmt: skip


def test_by_hand_each_rate_is_over_its_own_interval() -> None:
    # 4 bps in 8 h are 0.5 an hour, 1 bps in 1 h is 1: short the second, long the first, 0.5 bps an hour.
    found = xex.arbitrage.carry(rates(("a", 0.0004, 8.0), ("b", 0.0001, 1.0)), taker_bps={"a": 5.0, "b": 3.0}).iloc[0]
    assert (found["exchange_long"], found["exchange_short"]) == ("a", "b")
    assert found["per_hour_bps"] == pytest.approx(0.5)
    assert found["per_day_bps"] == pytest.approx(12)
    assert found["apr"] == pytest.approx(0.438)
    assert found["fees_bps"] == pytest.approx(16)  # in and out of both
    assert found["break_even_hours"] == pytest.approx(32)
    assert math.isnan(found["spread_bps"])


def test_by_hand_a_negative_rate_is_paid_by_the_short() -> None:
    # Long where the short pays 2 bps an hour, short where it pays 1: 2 in, 1 out; spreads of 2 and 4 bps.
    frame = rates(("a", -0.0002, 1.0), ("b", -0.0004, 4.0)).assign(bid=[9_999.0, 9_998.0], ask=[10_001.0, 10_002.0])
    found = xex.arbitrage.carry(frame, taker_bps=5.0).iloc[0]
    assert (found["exchange_long"], found["exchange_short"]) == ("a", "b")
    assert found["per_hour_bps"] == pytest.approx(1)
    assert found["spread_bps"] == pytest.approx(6)
    assert found["break_even_hours"] == pytest.approx((20 + 6) / 1)


def test_every_pair_of_exchanges_is_there_once_the_best_first() -> None:
    found = xex.arbitrage.carry(rates(("a", 0.0001, 8.0), ("b", 0.0003, 8.0), ("c", 0.0007, 8.0)), taker_bps=5.0)
    assert list(zip(found["exchange_long"], found["exchange_short"], strict=True)) == [
        ("a", "c"),
        ("b", "c"),
        ("a", "b"),
    ]
    assert list(8 * found["per_hour_bps"]) == pytest.approx([6, 4, 2])
    same = xex.arbitrage.carry(rates(("a", 0.0001, 8.0), ("b", 0.0001, 8.0)), taker_bps=5.0)
    assert same["break_even_hours"][0] == math.inf


def test_only_like_is_compared_with_like() -> None:
    frame = pd.concat([
        rates(("a", 0.0001, 8.0), ("b", 0.0002, 8.0), rate_kind="predicted"),
        rates(("a", 0.0005, 8.0), rate_kind="settled"),
        rates(("c", 0.0009, 8.0), rate_kind="predicted").assign(kind="inverse"),
        rates(("c", 0.0009, 8.0), rate_kind="predicted").assign(base="ETH"),
        rates(("a", 0.0007, 8.0), rate_kind="predicted"),  # the same exchange twice is no pair
    ])  # fmt: skip
    found = xex.arbitrage.carry(frame.iloc[:-1], taker_bps=5.0)
    assert list(zip(found["exchange_long"], found["exchange_short"], strict=True)) == [("a", "b")]
    assert len(xex.arbitrage.carry(frame, taker_bps=5.0)) == 2


def test_an_interval_is_never_assumed() -> None:
    frame = rates(
        ("a", 0.0001, 8.0), ("b", 0.0002, math.nan), ("c", math.nan, 8.0), ("d", 0.0003, 0.0), ("e", 0.0, 8.0)
    )
    found = xex.arbitrage.carry(frame, taker_bps=5.0)
    assert list(found["exchange_long"]) == ["e"]
    assert [row["exchange"] for row in found.attrs["left_out"]] == ["b", "c", "d"]


def left_out(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return [(row["exchange"], row["reasons"]) for row in frame.attrs["left_out"]]


def test_two_coins_of_one_code_are_no_pair() -> None:
    frame = rates(("a", 0.0001, 8.0), ("b", 0.002, 8.0), ("c", 0.0002, 8.0), ("d", 0.0005, 8.0), ("e", math.nan, 8.0))
    frame["mark"] = [60_000.0, 0.06, 60_010.0, math.nan, 60_000.0]
    found = xex.arbitrage.carry(frame, taker_bps=5.0)
    assert list(zip(found["exchange_long"], found["exchange_short"], strict=True)) == [
        ("a", "d"), ("c", "d"), ("a", "c"),
    ]  # fmt: skip
    assert left_out(found) == [("b", "identity"), ("e", "rate")]
    # Of two nobody knows which is meant; 3 % apart they may still be one asset.
    two = rates(("a", 0.0001, 8.0), ("b", 0.002, 8.0))
    assert not len(xex.arbitrage.carry(two.assign(mark=[100.0, 103.1]), taker_bps=5.0))
    assert len(xex.arbitrage.carry(two.assign(mark=[100.0, 102.9]), taker_bps=5.0)) == 1


def test_two_configurations_of_one_venue_are_no_pair() -> None:
    frame = rates(("a", 0.0001, 8.0), ("b", 0.002, 8.0), ("c", 0.001, 8.0)).assign(venue=["one", "one", ""])
    found = xex.arbitrage.carry(frame, taker_bps=5.0)
    assert list(zip(found["exchange_long"], found["exchange_short"], strict=True)) == [("c", "b"), ("a", "c")]


def test_input_that_makes_no_sense_is_refused_by_name() -> None:
    with pytest.raises(SchemaError, match=r"rate of 1\b"):
        xex.arbitrage.carry(rates(("a", 0.0001, 8.0), ("b", 1.0, 8.0)), taker_bps=5.0)
    with pytest.raises(SchemaError, match="interval_hours"):
        xex.arbitrage.carry(rates(("a", 0.0001, 8.0)).drop(columns="interval_hours"), taker_bps=5.0)
    with pytest.raises(SchemaError, match="taker_bps"):
        xex.arbitrage.carry(rates(("a", 0.0001, 8.0)))
