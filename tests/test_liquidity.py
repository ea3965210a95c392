"""Scores, depth and proxies: cases computed by hand, the oracle on random ones, and what must always hold.

Properties are tried on 100 examples; ``XEX_FULL=1`` tries 1,000.
"""

from __future__ import annotations

import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xex
from tests import oracle
from tests.expected import assert_close
from xex.errors import ConfigError, SchemaError
from xex.model import schema

often = settings(max_examples=1_000 if os.environ.get("XEX_FULL") else 100, deadline=None, derandomize=True)

Side = list[tuple[float, float]]
Books = dict[str, tuple[Side, Side]]


def frame_of(books: Books, **more: Any) -> pd.DataFrame:
    rows = [
        {"exchange": name, "side": side, "price": price, "size": size}
        for name, sides in books.items()
        for side, levels in zip(("bid", "ask"), sides, strict=True)
        for price, size in levels
    ]
    frame = pd.DataFrame(rows, columns=["exchange", "side", "price", "size"])
    return frame.astype({"price": float, "size": float}).assign(**{"group": "BTC:spot", "currency": "USD", **more})


def scores(books: Books, reference: float = 100.0) -> dict[str, float]:
    found = xex.liquidity.score(frame_of(books), reference)
    return dict(zip(found["exchange"], found["score"], strict=True))


def together(books: Books) -> tuple[Side, Side]:
    return ([level for bids, _ in books.values() for level in bids], [lv for _, asks in books.values() for lv in asks])


# --- the score by hand


def test_the_curve_by_hand() -> None:
    points = xex.liquidity.curve(frame_of({"a": ([(99.9, 1000)], [(100.1, 1000)])}), 100.0)
    assert points["exchange"].tolist() == ["a"] * 4 + ["all"] * 4
    assert points["notional"].tolist() == [1e3, 1e4, 1e5, 1e6] * 2
    # 1 M is 10,000 units: a tenth of them costs 10 bps a side, the rest is missing and costs 500.
    assert points["cost_bps"].tolist() == pytest.approx([20, 20, 20, 2 * (0.1 * 10 + 0.9 * 500)] * 2)
    assert points["score"].tolist()[:4] == pytest.approx([55.932, 55.932, 55.932, 1.492], abs=1e-3)
    assert not points["censored"].any()


@pytest.mark.parametrize(
    ("cost", "want"),
    [(0, 100), (0.2, 97.36), (1, 89.97), (5, 74.07), (10, 65.29), (50, 43.09), (100, 33.20), (500, 10.02), (1000, 0)],
)
def test_what_a_cost_is_worth(cost: float, want: float) -> None:
    half = 100 * cost / 2 / 1e4
    found = xex.liquidity.score(frame_of({"a": ([(100 - half, 1e6)], [(100 + half, 1e6)])}), 100.0)
    assert found["cost_bps"].tolist() == pytest.approx([cost] * 2, abs=1e-9)
    assert found["score"].tolist() == pytest.approx([want] * 2, abs=0.01)


def test_a_book_without_offers_scores_nothing() -> None:
    nothing = [(math.nan, 1.0), (99.0, 0.0), (-1.0, 5.0), (99.0, math.nan)]
    assert scores({"a": (nothing, nothing)}) == {"a": 0.0, "all": 0.0}
    assert xex.liquidity.score(frame_of({"a": ([], [])}), 100.0).empty
    assert xex.liquidity.depth(frame_of({"a": ([], [])}), 100.0).empty


def test_a_side_alone_costs_the_worst_on_the_other() -> None:
    assert scores({"a": ([(100.0, 1e5)], [])})["a"] == pytest.approx(100 * (1 - math.log(501) / math.log(1001)))


def test_parts_come_in_order_of_appearance_and_references_by_group() -> None:
    one = frame_of({"z": ([(9.0, 1)], [(11.0, 1)]), "a": ([(9.5, 1)], [(10.5, 1)])}, group="ETH:spot")
    two = frame_of({"m": ([(99.0, 1e5)], [(101.0, 1e5)])}, group="BTC:spot")
    frame = pd.concat([one.iloc[:2], two, one.iloc[2:]])
    found = xex.liquidity.score(frame, {"ETH:spot": 10.0, "BTC:spot": 100.0})
    assert list(zip(found["group"], found["exchange"], strict=True)) == [
        ("ETH:spot", "z"), ("ETH:spot", "a"), ("ETH:spot", "all"), ("BTC:spot", "m"), ("BTC:spot", "all"),
    ]  # fmt: skip
    assert found["cost_bps"].tolist()[3:] == pytest.approx([200, 200])
    with pytest.raises(ConfigError, match="ETH:spot"):
        xex.liquidity.curve(frame, {"BTC:spot": 100.0})
    for wrong in (None, "much", [100.0]):
        with pytest.raises(ConfigError, match="a number, or a dict"):
            xex.liquidity.curve(frame, wrong)  # type: ignore[arg-type]
    alone = xex.liquidity.depth(frame, {"BTC:spot": 100.0, "ETH:spot": 100.0}, 10)
    assert set(alone["bps"]) == {10}


def test_a_group_is_derived_as_everywhere() -> None:
    frame = frame_of({"a": ([(99.0, 1)], [(101.0, 1)])}).drop(columns="group")
    for more, want in (
        ({"base": "BTC", "kind": "linear"}, "BTC:linear"),
        ({"base": "BTC"}, "BTC:spot"),
        ({"base": "BTC", "kind": "linear", "expiry": "261225"}, "BTC:linear:261225"),
    ):
        assert xex.liquidity.score(frame.assign(**more), 100.0)["group"].unique().tolist() == [want]


def test_books_in_several_currencies_are_no_book() -> None:
    frame = frame_of({"a": ([(99.0, 1)], [(101.0, 1)])}).assign(currency=["USD", "USDT"])
    for question in (xex.liquidity.curve, xex.liquidity.score, xex.liquidity.depth):
        with pytest.raises(SchemaError, match="currencies"):
            question(frame, 100.0)


def test_the_page_says_what_the_code_does() -> None:
    page = (Path(__file__).parent.parent / "docs/liquidity.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([0-9.]+)[^|]* \| ([0-9.]+) \|$", page, re.MULTILINE)
    assert len(rows) == 9
    for cost, told in rows:
        assert float(told) == pytest.approx(100 * (1 - math.log1p(float(cost)) / math.log(1001)), abs=0.05)
    (code,), (printed,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "text"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == printed.split()


# --- crossed books


def test_what_is_gained_on_a_crossing_level_pays_for_no_other() -> None:
    # 10 units: 5 on the good side of the reference by 100 bps, 5 on the bad side by as much. Their sum is 0.
    crossed: Books = {"a": ([(99.0, 1e5)], [(99.0, 5)]), "b": ([(101.0, 5)], [(101.0, 1e5)])}
    points = xex.liquidity.curve(frame_of(crossed), 100.0)
    cost = points[points["exchange"] == "all"]["cost_bps"].tolist()
    assert cost == pytest.approx([100, 190, 199, 199.9])
    assert scores(crossed)["all"] < 34


def test_a_crossed_book_that_holds_the_largest_notional_really_costs_nothing() -> None:
    crossed: Books = {"a": ([], [(99.9, 1e4)]), "b": ([(100.1, 1e4)], [])}
    assert scores(crossed)["all"] == 100
    # One unit less, and the last one is missing.
    assert scores({"a": ([], [(99.9, 1e4 - 1)]), "b": ([(100.1, 1e4)], [])})["all"] < 99.9


def test_matching_what_crosses_first_would_let_an_added_order_lower_the_score() -> None:
    asks, bid = [(99.9, 1e4)], (100.1, 1e4)
    before = oracle.liquidity_score([], asks, 100)
    matched = oracle.liquidity_score([], [], 100)
    assert matched < before < oracle.liquidity_score([bid], asks, 100)
    assert_close(scores({"a": ([], asks), "b": ([bid], [])})["all"], oracle.liquidity_score([bid], asks, 100), "merged")


# --- what always holds

prices = st.integers(8_500, 11_500).map(lambda ticks: ticks / 100)
sizes = st.one_of(st.integers(1, 4_000).map(lambda lots: lots / 1000), st.integers(1, 20_000).map(float))
levels = st.lists(st.tuples(prices, sizes), max_size=12)
worlds = st.dictionaries(st.sampled_from("abcd"), st.tuples(levels, levels), min_size=1, max_size=4)


@often
@given(worlds)
def test_scores_and_costs_are_the_oracles(books: Books) -> None:
    points = xex.liquidity.curve(frame_of(books), 100.0)
    assert points["score"].between(0, 100).all()
    assert points["cost_bps"].between(0, 1000).all()
    for exchange, notional, cost in zip(points["exchange"], points["notional"], points["cost_bps"], strict=True):
        bids, asks = together(books) if exchange == "all" else books[exchange]
        assert cost == pytest.approx(float(oracle.liquidity_cost(bids, asks, 100, notional)), rel=1e-9, abs=1e-9)


@often
@given(worlds, st.sampled_from("abcde"), st.sampled_from([0, 1]), prices, sizes)
def test_an_added_order_never_lowers_a_score(books: Books, name: str, side: int, price: float, size: float) -> None:
    before = scores(books)
    bids, asks = books.get(name, ([], []))
    added = ([*bids, (price, size)], asks) if side == 0 else (bids, [*asks, (price, size)])
    after = scores({**books, name: added})
    assert all(after[part] >= score - 1e-9 for part, score in before.items())


@often
@given(worlds, st.floats(1e-9, 1e9))
def test_the_unit_of_price_does_not_matter(books: Books, factor: float) -> None:
    scaled = {
        name: tuple([(price * factor, size / factor) for price, size in side] for side in sides)
        for name, sides in books.items()
    }
    assert scores(scaled, 100.0 * factor) == pytest.approx(scores(books), rel=1e-9, abs=1e-6)  # type: ignore[arg-type]


@often
@given(worlds, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(books: Books, rng: random.Random) -> None:
    frame = frame_of(books)
    mixed = frame.iloc[rng.sample(range(len(frame)), len(frame))]
    for question in (xex.liquidity.score, xex.liquidity.depth):
        keys = ["exchange"] + (["bps"] if question is xex.liquidity.depth else [])
        want, found = (question(rows, 100.0).sort_values(keys, ignore_index=True) for rows in (frame, mixed))
        pd.testing.assert_frame_equal(want, found, rtol=1e-12)


@often
@given(worlds)
def test_a_full_score_means_that_the_largest_notional_fills_at_the_reference_or_better(books: Books) -> None:
    found = scores(books)
    for name, score in found.items():
        bids, asks = together(books) if name == "all" else books[name]
        good = (sum(size for price, size in bids if price >= 100), sum(size for price, size in asks if price <= 100))
        assert (score == 100) == (min(good) >= 10_000)


def test_a_full_score_is_met_in_the_property() -> None:
    assert scores({"a": ([(100.0, 6e3), (101.0, 4e3)], [(99.0, 1e4)])})["a"] == 100


# --- depth


def test_depth_by_hand() -> None:
    books: Books = {"a": ([(99.9, 1), (99.75, 2), (99.0, 4)], [(100.1, 1), (100.3, 2)]), "b": ([(100.2, 8)], [])}
    found = xex.liquidity.depth(frame_of(books), 100.0)
    assert found["bps"].tolist() == [10, 25, 50, 100, 200] * 3
    a, b, both = (found[found["exchange"] == name] for name in ("a", "b", "all"))
    # 99.9, 99.75 and 99.0 lie exactly 10, 25 and 100 bps below.
    assert a["bid_base"].tolist() == [1, 3, 3, 7, 7]
    assert a["ask_base"].tolist() == [1, 1, 3, 3, 3]
    assert a["bid_notional"].tolist() == pytest.approx([99.9, 299.4, 299.4, 695.4, 695.4])
    assert a["ask_notional"].tolist() == pytest.approx([100.1, 100.1, 300.7, 300.7, 300.7])
    assert a["spread_bps"].tolist() == pytest.approx([20] * 5)
    assert b["bid_base"].tolist() == [8] * 5
    assert b["ask_base"].tolist() == [0] * 5
    assert b["spread_bps"].isna().all()
    assert both["bid_base"].tolist() == [9, 11, 11, 15, 15]
    assert both["ask_notional"].tolist() == a["ask_notional"].tolist()
    # Crossed: 100.2 is bid, 100.1 asked.
    assert both["spread_bps"].tolist() == pytest.approx([1e4 * -0.1 / 100.15] * 5)
    assert not found["censored"].any()


def test_depth_is_a_lower_bound_beyond_where_the_book_was_cut() -> None:
    cut = frame_of({"a": ([(99.9, 1), (99.5, 1)], [(100.1, 1), (101.0, 1)])}, censored=True)
    whole = frame_of({"b": ([(99.9, 1)], [(100.1, 1)])}, censored=False)
    found = xex.liquidity.depth(pd.concat([cut, whole]), 100.0)
    flagged = {name: rows["censored"].tolist() for name, rows in found.groupby("exchange")}
    # The bids of a were seen as far as 50 bps.
    assert flagged == {"a": [False] * 3 + [True] * 2, "b": [False] * 5, "all": [False] * 3 + [True] * 2}
    one_side = cut.assign(censored=cut["side"] == "ask")
    assert xex.liquidity.depth(one_side, 100.0)["censored"].tolist() == [*[False] * 4, True] * 2


def test_a_book_cut_on_the_good_side_of_the_reference_says_nothing_of_the_other() -> None:
    assert xex.liquidity.depth(frame_of({"a": ([(101.0, 1)], [])}, censored=True), 100.0)["censored"].all()


@pytest.mark.parametrize("bps", [[0], [-1], [10, math.nan], [math.inf], [[1, 2]], -1, None, ["a"]])
def test_distances_are_positive(bps: Any) -> None:
    with pytest.raises(ConfigError, match="distances"):
        xex.liquidity.depth(frame_of({"a": ([(99.0, 1)], [])}), 100.0, bps)


@often
@given(worlds, st.sampled_from(["100", "99.95", "103.5"]), st.sets(st.sampled_from("abcd")))
def test_depth_is_the_oracles(books: Books, reference: str, cut: set[str]) -> None:
    frame = frame_of(books)
    found = xex.liquidity.depth(frame.assign(censored=frame["exchange"].isin(cut)), float(reference), (10, 50, 1000))
    # A price is the decimal that it is written as.
    exact: Any = {
        name: tuple([(str(price), size) for price, size in side] for side in sides) for name, sides in books.items()
    }
    for row in found.to_dict("records"):
        bids, asks = together(exact) if row["exchange"] == "all" else exact[row["exchange"]]
        for name, want in oracle.depth_within(bids, asks, reference, row["bps"]).items():
            assert row[name] == pytest.approx(float(want), rel=1e-9, abs=1e-12), name
        spread = oracle.spread_in_bps(bids, asks)
        assert row["spread_bps"] == pytest.approx(math.nan if spread is None else float(spread), rel=1e-9, abs=1e-9,
                                                  nan_ok=True)  # fmt: skip
        members = cut & set(books) if row["exchange"] == "all" else cut & {row["exchange"]}
        assert row["censored"] == any(
            bool(side) and not oracle.reached(side, reference, row["bps"], bids=which == 0)
            for name in members
            for which, side in enumerate(exact[name])
        )


# --- proxies

HOUR = 3_600_000
PROXIES = {
    "amihud": ("amihud", oracle.amihud),
    "abdi_ranaldo": ("abdi_ranaldo_bps", oracle.abdi_ranaldo_bps),
    "corwin_schultz": ("corwin_schultz_bps", oracle.corwin_schultz_bps),
}


def bars_of(rows: list[dict[str, Any]], **more: Any) -> pd.DataFrame:
    """Return bars; `time` counts hours."""
    made = [
        {
            "exchange": "a", "group": "BTC:spot", "currency": "USDT", "volume": 1.0, "quote_volume": 1.0,
            "open": row["close"], "high": row["close"], "low": row["close"], **row,
            "time": pd.Timestamp(row["time"] * HOUR, unit="ms", tz="UTC"),
        }
        for row in rows
    ]  # fmt: skip
    return pd.DataFrame(made).assign(**more)


def one(found: pd.DataFrame) -> dict[str, Any]:
    (cells,) = found.to_dict("records")
    row = {str(name): value for name, value in cells.items()}
    return {**row, "flags": set(row["flags"].split(",")) if isinstance(row["flags"], str) else set()}


def test_amihud_by_hand() -> None:
    closes, volumes = (100.0, 110.0, 99.0), (7.0, 1000.0, 500.0)
    rows = [{"time": i, "close": c, "quote_volume": v} for i, (c, v) in enumerate(zip(closes, volumes, strict=True))]
    found = one(xex.liquidity.amihud(bars_of(rows)))
    assert found["amihud"] == pytest.approx((0.1 / 1000 + 0.1 / 500) / 2)
    assert (found["n_bars"], found["n_used"], found["flags"]) == (3, 2, {"short"})
    assert (found["group"], found["exchange"], found["currency"]) == ("BTC:spot", "a", "USDT")
    assert found["end"] - found["start"] == pd.Timedelta("2h")


def test_amihud_estimates_a_quote_volume_that_is_not_there_and_leaves_out_bars_without_any() -> None:
    rows = [{"time": i, "close": c, "volume": v} for i, (c, v) in enumerate([(100.0, 1), (110.0, 10), (99.0, 0)])]
    found = one(xex.liquidity.amihud(bars_of(rows).drop(columns=["quote_volume", "open", "high", "low"])))
    assert found["amihud"] == pytest.approx(0.1 / 1100)
    assert (found["n_used"], found["flags"]) == (1, {"short", "no_volume", "volume_at_close"})


def test_of_two_bars_of_one_time_the_last_row_counts() -> None:
    rows = [(1, 150.0, 7.0), (0, 100.0, 7.0), (1, 110.0, 1000.0)]
    bars = bars_of([{"time": time, "close": close, "quote_volume": volume} for time, close, volume in rows])
    assert one(xex.liquidity.amihud(bars))["amihud"] == pytest.approx(0.1 / 1000)


def test_abdi_ranaldo_by_hand() -> None:
    span = {"high": 100 * math.exp(0.01), "low": 100 * math.exp(-0.01)}
    rows = [{"time": 0, "close": span["high"], **span}, {"time": 1, "close": 100.0, **span}]
    found = one(xex.liquidity.abdi_ranaldo(bars_of(rows)))
    # c − η is 0.01 against both middles: 2 · √(0.01 · 0.01).
    assert found["abdi_ranaldo_bps"] == pytest.approx(200)
    higher = {"high": 100 * math.exp(0.04), "low": 100 * math.exp(0.02)}
    rows[1] = {"time": 1, "close": higher["high"], **higher}
    found = one(xex.liquidity.abdi_ranaldo(bars_of(rows)))
    assert found["abdi_ranaldo_bps"] == 0
    assert found["flags"] == {"short", "negative"}


def test_corwin_schultz_by_hand() -> None:
    # Two bars of one range r have β = 2r² and γ = r², and then α = r: S = 2 · (1.02 − 1) / (1.02 + 1).
    rows = [{"time": i, "close": 101.0, "high": 102.0, "low": 100.0} for i in range(2)]
    found = one(xex.liquidity.corwin_schultz(bars_of(rows)))
    assert found["corwin_schultz_bps"] == pytest.approx(1e4 * 0.04 / 2.02)
    assert found["flags"] == {"short"}
    # A jump between the bars: that pair's estimate is negative, counts as 0, and halves the mean.
    rows += [{"time": 2, "close": 151.0, "high": 153.0, "low": 150.0}]
    found = one(xex.liquidity.corwin_schultz(bars_of(rows)))
    assert found["corwin_schultz_bps"] == pytest.approx(1e4 * 0.02 / 2.02)
    assert found["flags"] == {"short", "negative"}
    assert found["n_used"] == 2


@pytest.mark.parametrize("name", PROXIES)
def test_a_missing_or_broken_bar_is_not_bridged(name: str) -> None:
    def asked(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return one(getattr(xex.liquidity, name)(bars_of(rows), **more))

    bars = [{"time": i, "close": 100.0 + i % 3, "high": 103.0, "low": 99.0} for i in range(5)]
    gone = asked([bars[0], bars[1], bars[3], bars[4]])
    assert (gone["n_bars"], gone["n_used"], gone["flags"] & {"gaps", "bad_bars"}) == (4, 2, {"gaps"})
    for broken in ({"close": -1.0}, {"close": math.nan}, {"high": 98.0}, {"low": 0.0}, {"open": 104.0}):
        bad = asked([*bars[:2], bars[2] | broken, *bars[3:]])
        assert (bad["n_bars"], bad["n_used"], bad["flags"] & {"gaps", "bad_bars"}) == (4, 2, {"bad_bars"}), broken
    twice = asked([*bars[:2], bars[1] | {"close": 100.5}, *bars[2:]])
    assert (twice["n_bars"], twice["n_used"], twice["flags"] & {"duplicates"}) == (5, 4, {"duplicates"})
    # Every second bar: only who is told how long a bar is can know.
    sparse = [bars[0], bars[2], bars[4]]
    assert asked(sparse)["n_used"] == 2
    told = asked(sparse, interval="1h")
    assert told["n_used"] == 0
    value = told[PROXIES[name][0]]
    assert value != value
    assert asked(bars[:1])["n_used"] == 0


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("seed", range(20))
def test_proxies_are_the_oracles(name: str, seed: int) -> None:
    rng = random.Random(seed)
    frames, wanted = [], {}
    for exchange in "abc":
        middle, rows = 10 ** rng.uniform(-4, 5), []
        for hour in range(60):
            # Trades at the bid or the ask of a middle that walks: what both spreads are estimated from.
            trades = []
            for _ in range(20):
                middle *= math.exp(rng.gauss(0, 0.001))
                trades.append(middle * rng.choice([0.99, 1.01]))
            if rng.random() < 0.85:
                rows.append({
                    "time": hour, "open": trades[0], "high": max(trades), "low": min(trades), "close": trades[-1],
                    "quote_volume": rng.choice([0.0, 10 ** rng.uniform(0, 9)]),
                })  # fmt: skip
        frames.append(bars_of(rows, exchange=exchange))
        wanted[exchange] = PROXIES[name][1](rows, 1)
    found = getattr(xex.liquidity, name)(pd.concat(frames).sample(frac=1, random_state=seed))
    assert sorted(found["exchange"]) == list("abc")
    for exchange, value in zip(found["exchange"], found[PROXIES[name][0]], strict=True):
        assert value > 0
        assert value == pytest.approx(wanted[exchange], rel=1e-9, abs=0)


@pytest.mark.parametrize("name", PROXIES)
def test_bars_that_are_none_are_refused_by_name(name: str) -> None:
    question = getattr(xex.liquidity, name)
    bars = bars_of([{"time": 0, "close": 100.0}, {"time": 1, "close": 101.0}])
    with pytest.raises(SchemaError, match="close"):
        question(bars.drop(columns="close"))
    with pytest.raises(SchemaError, match="close"):
        question(bars.astype({"close": str}))
    with pytest.raises(SchemaError, match="time zone"):
        question(bars.assign(time=bars["time"].dt.tz_localize(None)))
    for interval in ("soon", "0s", "-1h"):
        with pytest.raises(ConfigError, match="interval"):
            question(bars, interval=interval)
    assert list(question(bars.head(0)).columns) == list(schema.SCHEMAS[name])
    assert question(bars.assign(time=np.array([0.0, HOUR])))["n_used"].tolist() == [1]


def test_amihud_needs_a_volume() -> None:
    bars = bars_of([{"time": 0, "close": 100.0}]).drop(columns=["volume", "quote_volume"])
    with pytest.raises(SchemaError, match="volume"):
        xex.liquidity.amihud(bars)
