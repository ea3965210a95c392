"""How long opportunities live, by hand."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

import xex
from xex.analytics.lifetimes import Lifetimes, half_life
from xex.errors import ConfigError, SchemaError


def look(*pairs: tuple[str, str, str, float, bool]) -> pd.DataFrame:
    rows = [
        {"symbol": group.split(":", 1)[0], "group": group, "exchange_low": low, "exchange_high": high, "net_bps": net,
         "executable": good, "gate": None if good else "fees", "reasons": None if good else "fees"}
        for group, low, high, net, good in pairs
    ]  # fmt: skip
    columns = ["symbol", "group", "exchange_low", "exchange_high", "net_bps", "executable", "gate", "reasons"]
    return pd.DataFrame(rows, columns=columns).astype({"executable": bool, "gate": "str", "reasons": "str"})


def facts(frame: pd.DataFrame) -> dict[str, Any]:
    (row,) = frame.to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_first_and_last_seen_count_and_looks() -> None:
    seen = Lifetimes()
    good = ("BTC:spot", "a", "b")
    for time, net, passes in ((100.0, 5.0, True), (101.0, 9.0, True), (102.0, 2.0, False), (103.5, 4.0, True)):
        seen.update(look((*good, net, passes)), time)
    row = facts(seen.frame())
    assert (row["first_seen"].timestamp(), row["last_seen"].timestamp()) == (100.0, 103.5)
    assert (row["looks"], row["count"], row["in_a_row"]) == (4, 3, 1)
    assert (row["best_net_bps"], row["last_net_bps"]) == (9.0, 4.0)
    assert row["alive"]
    seen.update(look(), 104.0)
    row = facts(seen.frame())
    assert (row["looks"], row["count"], row["in_a_row"], row["alive"]) == (5, 3, 0, False)


def test_both_ways_and_every_group_have_a_life_of_their_own() -> None:
    seen = Lifetimes()
    seen.update(look(("A:spot", "a", "b", 1.0, True), ("A:spot", "b", "a", 2.0, True)), 1.0)
    seen.update(look(("A:spot", "a", "b", 1.0, True), ("B:spot", "a", "b", 3.0, True)), 2.0)
    found = {(row["group"], row["exchange_low"]): row for row in seen.frame().to_dict("records")}
    assert {key: row["looks"] for key, row in found.items()} == {
        ("A:spot", "a"): 2, ("A:spot", "b"): 2, ("B:spot", "a"): 1,
    }  # fmt: skip
    assert [row["last_net_bps"] for row in seen.frame().to_dict("records")] == [3.0, 1.0, 2.0]


def test_persistence_stops_what_has_not_been_there_often_enough_and_says_so() -> None:
    seen = Lifetimes(persistence=2)
    rows = [("A:spot", "a", "b", 5.0, True), ("A:spot", "b", "a", -5.0, False)]
    first = seen.update(look(*rows), 1.0)
    assert first["executable"].tolist() == [False, False]
    assert first["gate"].tolist() == ["persistence", "fees"]
    second = seen.update(look(*rows), 2.0)
    assert second["executable"].tolist() == [True, False]
    assert pd.isna(second["gate"].iloc[0])
    seen.update(look(), 3.0)
    assert seen.update(look(*rows), 4.0)["gate"].tolist() == ["persistence", "fees"]


def test_a_frame_that_is_given_is_not_changed() -> None:
    given = look(("A:spot", "a", "b", 5.0, True))
    given.attrs["dropped"] = {"x": "late"}
    found = Lifetimes(persistence=3).update(given, 1.0)
    assert given["executable"].tolist() == [True]
    assert found.attrs == {"dropped": {"x": "late"}}


@pytest.mark.parametrize("half", [0.5, 3.0, 40.0])
def test_a_half_life_is_that_of_the_decay_it_was_made_with(half: float) -> None:
    points = [(t, 3.0 + t) for t in range(4)] + [(4.0 + t, 8.0 * 0.5 ** (t / half)) for t in range(9)]
    assert half_life(points) == pytest.approx(half, rel=1e-9)


def test_what_does_not_shrink_has_no_half_life() -> None:
    assert math.isnan(half_life([]))
    assert math.isnan(half_life([(0.0, 5.0), (1.0, 4.0)]))
    assert math.isnan(half_life([(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)]))
    assert math.isnan(half_life([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]))


def test_a_new_run_has_a_half_life_of_its_own() -> None:
    seen = Lifetimes()
    for time in range(3):
        seen.update(look(("A:spot", "a", "b", 8.0 * 0.5**time, True)), float(time))
    assert facts(seen.frame())["half_life_s"] == pytest.approx(1.0)
    seen.update(look(), 3.0)
    seen.update(look(("A:spot", "a", "b", 8.0, True)), 4.0)
    assert math.isnan(facts(seen.frame())["half_life_s"])


def test_a_scan_of_the_public_analytics_is_taken() -> None:
    quotes = pd.DataFrame(
        {"exchange": ["a", "b"], "base": "BTC", "quote": "USDT", "bid": [99.0, 100.5], "ask": [99.1, 100.6],
         "bid_size": 1.0, "ask_size": 1.0, "taker_bps": 10.0}
    )  # fmt: skip
    seen = Lifetimes(persistence=2)
    for time in (1.0, 2.0):
        found = seen.update(xex.arbitrage.scan(quotes, max_disagree=0.05), time)
    assert found["executable"].sum() == 1
    assert facts(seen.frame())["count"] == 2


def test_bad_input_is_named() -> None:
    with pytest.raises(ConfigError, match="persistence is how many looks in a row, from 1, not 0"):
        Lifetimes(0)
    seen = Lifetimes()
    seen.update(look(), 5.0)
    with pytest.raises(ConfigError, match=r"order of time; 5\.0 is not after 5\.0"):
        seen.update(look(), 5.0)
    with pytest.raises(SchemaError, match="net_bps"):
        seen.update(look().drop(columns="net_bps"), 6.0)
