"""Every number of a snapshot comes out again from its frames by what `explain()` says, in plain Python."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import pandas as pd
import pytest

import xex
from tests.conftest import ManagerFor
from tests.lab import Lab, default_truth
from xex.answer import CrossExchangeData
from xex.errors import ConfigError, SchemaError

TRUTH = default_truth()


@pytest.fixture
async def snap(lab: Lab, manager_for: ManagerFor) -> CrossExchangeData:
    """Give a snapshot of five venues of which one is an outlier of 40 bps and one has no book."""
    lab.truth = TRUTH.with_premium("okx", "BTC", 40)
    lab.fault("htx", "status", path="/linear-swap-ex/market/depth", code=404)
    return await manager_for(lab).get_cross_exchange_ticker("BTCUSDT")


def rows_of(snap: CrossExchangeData) -> list[dict[str, Any]]:
    return [{str(name): cell for name, cell in row.items()} for row in snap.frame.to_dict("records")]


def capped(shares: list[float]) -> list[float]:
    """Return shares none of which is above 40 %, the excess with the others in proportion."""
    held: set[int] = set()
    while True:
        free = 1 - 0.4 * len(held)
        rest = sum(share for place, share in enumerate(shares) if place not in held)
        now = [0.4 if place in held else share * free / rest for place, share in enumerate(shares)]
        above = {place for place, share in enumerate(now) if share > 0.4 + 1e-12}
        if not above:
            return now
        held |= above


def test_who_is_left_out_is_far_from_the_median(snap: CrossExchangeData) -> None:
    rows = rows_of(snap)
    middle = median(row["price"] for row in rows)
    mad = median(abs(row["price"] - middle) for row in rows)
    limit = max(3.5 * 1.4826 * mad, 1e-3 * middle)
    far = [row["exchange"] for row in rows if abs(row["price"] - middle) > limit]
    assert far == ["okx"]
    assert {name: str(drop) for name, drop in snap.dropped.items()} == {"okx": "outlier"}
    assert [row["exchange"] for row in rows if row["excluded_reason"] == "outlier"] == far
    assert snap.mad_bps == pytest.approx(1e4 * 1.4826 * mad / middle, rel=1e-12)


def test_the_price_is_the_weighted_mean_that_is_told(snap: CrossExchangeData) -> None:
    rows = rows_of(snap)
    dated = [row["age_ms"] for row in rows if row["time_source"] == "quote"]
    kept = [row for row in rows if row["exchange"] != "okx"]
    raw = []
    for row in kept:
        age_s = (row["age_ms"] if row["time_source"] == "quote" else median(dated)) / 1e3
        raw.append(math.sqrt(row["quote_volume"]) * math.exp(-age_s / 5))
    weights = capped([one / sum(raw) for one in raw])
    assert [row["weight"] for row in kept] == pytest.approx(weights, rel=1e-9)
    price = sum(weight * (row["bid"] + row["ask"]) / 2 for weight, row in zip(weights, kept, strict=True))
    assert snap.aggregated_price == pytest.approx(price, rel=1e-12)
    square = sum(weight * (row["price"] - price) ** 2 for weight, row in zip(weights, kept, strict=True))
    assert snap.price_variance == snap.price_std == pytest.approx(math.sqrt(square), rel=1e-9)
    assert snap.price_var_sq == pytest.approx(square, rel=1e-9)
    assert snap.dispersion_bps == pytest.approx(1e4 * math.sqrt(square) / price, rel=1e-9)
    table = snap.explain().table
    assert table["part"].sum() == pytest.approx(price, rel=1e-12)
    assert table["weight"].tolist() == [row["weight"] for row in rows]


def test_how_far_they_are_apart_counts_who_was_left_out(snap: CrossExchangeData) -> None:
    rows = rows_of(snap)
    prices = [row["price"] for row in rows]
    assert snap.range_bps == pytest.approx(1e4 * (max(prices) - min(prices)) / snap.aggregated_price, rel=1e-9)
    index = max(row["bid"] for row in rows) / min(row["ask"] for row in rows)
    assert snap.arb_index == pytest.approx(index, rel=1e-12)
    for row in rows:
        assert row["price"] == pytest.approx((row["bid"] + row["ask"]) / 2, rel=1e-12)
        assert row["spread_bps"] == pytest.approx(1e4 * (row["ask"] - row["bid"]) / row["price"], rel=1e-9)
        assert row["premium_bps"] == pytest.approx(1e4 * (row["price"] / snap.aggregated_price - 1), rel=1e-9, abs=1e-9)


def test_the_volume_is_a_sum(snap: CrossExchangeData) -> None:
    rows = rows_of(snap)
    assert snap.volume_total == pytest.approx(sum(row["base_volume"] for row in rows), rel=1e-12)
    assert snap.volume_total_quote == pytest.approx(sum(row["quote_volume"] for row in rows), rel=1e-12)
    assert snap.volume_partial == []


def test_the_score_is_what_the_books_cost(snap: CrossExchangeData) -> None:
    """One level after the other, against the price; an outlier's book is one that can be traded with."""
    reference, books = snap.aggregated_price, snap.book_frame
    assert sorted(set(books["exchange"])) == ["binance", "bybit", "kraken", "okx"]
    assert snap.liquidity_books == (4, 5)

    def cost(levels: pd.DataFrame, sign: float, amount: float) -> float:
        away = sorted(
            (min(max(sign * (price - reference) / reference, 0.0), 0.05), size)
            for price, size in zip(levels["price"], levels["size"], strict=True)
        )
        left, paid = amount / reference, 0.0
        for unit, size in away:
            part = min(left, size)
            paid, left = paid + part * unit, left - part
        return (paid + left * 0.05) / (amount / reference)

    scores = []
    for amount in (1e3, 1e4, 1e5, 1e6):
        bids, asks = books[books["side"] == "bid"], books[books["side"] == "ask"]
        trip = min(1e4 * (cost(bids, -1, amount) + cost(asks, 1, amount)), 1000.0)
        scores.append(100 * (1 - math.log(1 + trip) / math.log(1001)))
    assert snap.liquidity_score == pytest.approx(sum(scores) / 4, rel=1e-9)


def test_the_sentences_name_the_figures(snap: CrossExchangeData) -> None:
    told = snap.explain()
    for words in (
        "BTCUSDT was taken to mean BTC/USDT:USDT (linear perpetual); prices are in USDT.",
        f"The price {snap.aggregated_price:,.2f} is the weighted mean of binance",
        "okx is left out of the price, outlier",
        f"({snap.dispersion_bps:.2f} bps)",
        f"span {snap.range_bps:.2f} bps",
        "The liquidity score is made of 4 of 5 books",
    ):
        assert words in told, words
    assert told.splitlines()[-len(snap.frame) - 1].split()[:4] == ["exchange", "price", "weight", "part"]
    assert isinstance(told, str)


def test_a_frame_is_explained_by_any_rule(snap: CrossExchangeData) -> None:
    told = xex.explain(snap.frame)
    assert "BTC:linear: " in told
    assert "Left out: okx (outlier)." in told
    assert told.table["part"].sum() == pytest.approx(snap.aggregated_price, rel=1e-9)
    assert list(told.table.columns) == [
        "exchange", "group", "currency", "price", "weight", "part", "age_ms", "excluded_reason",
    ]  # fmt: skip
    median_of_all = median((snap.frame["bid"] + snap.frame["ask"]) / 2)
    assert f"{median_of_all:,.2f} USDT from" in xex.explain(snap.frame, "median")
    assert "mads=2.0" in xex.explain(snap.frame, "mad_vwap", mads=2.0)
    with pytest.raises(ConfigError, match="robst"):
        xex.explain(snap.frame, "robst")
    with pytest.raises(SchemaError, match="bid"):
        xex.explain(snap.frame.drop(columns="bid"))


def test_of_a_whole_market_the_first_are_told_and_all_are_there() -> None:
    rows = [
        {"exchange": exchange, "base": f"C{coin}", "quote": "USDT", "bid": 99.0 + coin, "ask": 101.0 + coin}
        for coin in range(25)
        for exchange in ("a", "b")
    ]
    told = xex.explain(pd.DataFrame(rows))
    assert told.count(" USDT from 2 of 2") == 20
    assert "And 5 more, which are in the table." in told
    assert len(told.table) == 50
    assert told.table["weight"].tolist() == [0.5] * 50


async def test_without_a_price_the_reason_is_told(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = TRUTH.with_premium("binance", "BTC", 300).with_premium("okx", "BTC", -300)
    snap = await manager_for(lab, venues=("binance", "okx")).get_cross_exchange_ticker("BTCUSDT")
    told = snap.explain()
    assert "No price: no majority of the venues agrees within 1 %." in told
    assert "No venue told a volume that counts." in told
    assert told.table["part"].sum() == 0
