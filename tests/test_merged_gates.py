"""Of books put together another asset's, an old one and a halted one take no part; what is out of line pays."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import xex

Sides = tuple[float, float]


def books(*given: tuple[str, Sides], **columns: Any) -> pd.DataFrame:
    """Return books of one level a side, each a bid and an ask for 5 coins."""
    rows = [
        {"exchange": name, "base": "X", "quote": "USDT", "side": side, "price": price, "size": 5.0}
        for name, prices in given
        for side, price in zip(("bid", "ask"), prices, strict=True)
    ]
    return pd.DataFrame(rows).assign(**columns)


ROUTES = pd.DataFrame([
    {"exchange_low": one, "exchange_high": other} for one in "abc" for other in "abc" if one != other
])  # fmt: skip


def is_left_out(frame: pd.DataFrame, *, exchange: str, reasons: str) -> None:
    """All three functions earn nothing and say who is left out, and why."""
    depth = xex.arbitrage.depth(frame, taker_bps=0)
    legs = xex.arbitrage.legs(frame, taker_bps=0)
    moved = xex.arbitrage.transport(frame, ROUTES, taker_bps=0)
    assert (depth["net_profit"][0], len(legs), len(moved)) == (0, 0, 0)
    for found in (depth, legs, moved):
        assert found.attrs["left_out"] == [{"exchange": exchange, "group": "X:spot", "reasons": reasons}]


def test_three_times_the_price_is_another_coin() -> None:
    is_left_out(books(("a", (0.999, 1.0)), ("b", (0.999, 1.0)), ("c", (2.999, 3.0))), exchange="c", reasons="identity")


def test_two_of_which_nobody_knows_who_is_right_are_both_left_out() -> None:
    found = xex.arbitrage.depth(books(("a", (0.999, 1.0)), ("b", (2.999, 3.0))), taker_bps=0)
    assert (found["gate"][0], found["net_profit"][0]) == ("depth", 0)
    assert [row["exchange"] for row in found.attrs["left_out"]] == ["a", "b"]


def test_a_book_that_pays_is_out_of_line_and_takes_part() -> None:
    # 5 coins bought at 1, sold at 1.1; and of the one that crosses itself 5 bought at 0.996, sold at 1.004.
    assert xex.arbitrage.depth(books(("a", (0.999, 1.0)), ("b", (1.1, 1.101))), taker_bps=0)["net_profit"][0] == (
        pytest.approx(0.5)
    )
    alone = xex.arbitrage.depth(books(("b", (1.004, 0.996))), taker_bps=0)
    assert (alone["net_profit"][0], alone.attrs["left_out"]) == (pytest.approx(0.04), [])


def test_an_old_book_is_left_out_by_its_oldest_level() -> None:
    frame = books(("a", (0.9990, 0.9991)), ("b", (1.0, 1.0001)))
    # 5 coins of a bought at 0.9991 and sold to b at 1.
    assert xex.arbitrage.depth(frame.assign(age_ms=10_000.0), taker_bps=0)["net_profit"][0] == pytest.approx(0.0045)
    is_left_out(frame.assign(age_ms=[0.0, 10_001.0, 5.0, 5.0]), exchange="a", reasons="freshness")


def test_a_halted_one_is_left_out() -> None:
    frame = books(("a", (0.999, 1.0)), ("b", (1.001, 1.002)), halted=[True, True, False, False])
    is_left_out(frame, exchange="a", reasons="market_state")


def test_a_book_of_one_side_is_judged_by_its_best_price() -> None:
    frame = books(("a", (0.999, 1.0)), ("b", (0.999, 1.0)), ("c", (3.0, 3.1))).iloc[:-1]
    is_left_out(frame, exchange="c", reasons="identity")


def test_without_anybody_left_the_group_has_its_row() -> None:
    found = xex.arbitrage.depth(books(("a", (0.99, 1.0)), ("b", (2.99, 3.0))), taker_bps=0)
    assert found[["group", "currency", "gate", "quantity"]].to_numpy().tolist() == [["X:spot", "USDT", "depth", 0.0]]
