"""The public analytics against the oracle on random worlds, and on frames that lack what they need not have."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import xex
from tests import oracle
from tests.expected import assert_close
from xex.analytics import currency, quality
from xex.errors import SchemaError
from xex.model import schema

ROUNDS = 150
VENUES = ("a", "b", "c", "d", "e", "f", "g")


def quotes(rng: random.Random, group: str = "BTC:linear") -> list[dict[str, Any]]:
    """Return a random market: mostly honest, with stale, crossed, wide, silent and lying venues."""
    fair, rows = 10 ** rng.uniform(-4, 5), []
    for name in rng.sample(VENUES, rng.randint(1, len(VENUES))):
        price = fair * (1 + rng.gauss(0, rng.choice([1e-5, 1e-4, 3e-4])))
        if rng.random() < 0.15:
            price *= rng.choice([1.002, 0.98, 1.04, 1000, 0.001, 1.5])
        half = price * rng.choice([1e-5, 1e-4, 1e-3, 0.03])
        bid, ask = price - half, price + half
        if rng.random() < 0.05:
            bid, ask = ask, bid
        row: dict[str, Any] = {
            "exchange": name, "group": group, "currency": "USDT", "bid": bid, "ask": ask, "last": price,
            "quote_volume": rng.choice([math.nan, 0.0, 10 ** rng.uniform(3, 9)]) if rng.random() < 0.2
            else 10 ** rng.uniform(3, 9),
            "age_ms": rng.choice([5, 80, 900, 4000, 9999]) if rng.random() < 0.9 else 15_000,
            "time_source": rng.choice(["quote", "quote", "received"]), "kind": "linear", "base": "BTC",
        }  # fmt: skip
        if rng.random() < 0.1:
            row["bid"] = math.nan
        if rng.random() < 0.03:
            row["last"] = math.nan
        rows.append(row)
    return rows


def asked_of_oracle(rows: list[dict[str, Any]]) -> oracle.RobustPrice:
    """Give the oracle the rows with the ages that weigh them."""
    return oracle.robust([{**row, "age_s": row["age_ms"] / 1e3} for row in rows])


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_robust_is_the_oracles(seed: int) -> None:
    rng = random.Random(seed)
    rows = quotes(rng)
    want = asked_of_oracle(rows)
    frame = pd.DataFrame(rows)
    total = xex.pricing.aggregate(frame).iloc[0].to_dict()
    parts = {row["exchange"]: row for row in xex.pricing.contributions(frame).to_dict("records")}
    assert_close(float(total["price"]), want.price, "price")
    for name in ("price_variance", "price_var_sq", "dispersion_bps", "arb_index"):
        assert_close(float(total[name]), getattr(want, name), name)
    if want.n_used >= 2:
        assert_close(float(total["range_bps"]), want.range_bps, "range")
        assert_close(float(total["mad_bps"]), want.mad_bps, "mad", rel=1e-6)
    assert total["n_used"] == want.n_used
    for name, weight in want.weights.items():
        assert_close(float(parts[name]["weight"]), weight, f"{name} weight")
        reason = parts[name]["excluded_reason"]
        if not {reason, want.reasons[name]} & {"stale", "last_only"}:
            assert (reason if isinstance(reason, str) else None) == want.reasons[name], name


def test_many_groups_at_once_equal_each_alone() -> None:
    rng = random.Random(7)
    rows = [row for number in range(60) for row in quotes(rng, f"G{number}:spot")]
    rng.shuffle(rows)
    together = xex.pricing.aggregate(pd.DataFrame(rows)).set_index("group")
    for group in {row["group"] for row in rows}:
        alone = xex.pricing.aggregate(pd.DataFrame([row for row in rows if row["group"] == group])).iloc[0]
        assert_close(float(together.loc[group, "price"]), alone["price"], group)
        assert_close(float(together.loc[group, "mad_bps"]), alone["mad_bps"], group)


def test_only_what_is_needed_need_be_there() -> None:
    frame = pd.DataFrame({"exchange": ["a", "b"], "base": ["BTC"] * 2, "kind": ["spot"] * 2, "quote": ["USDT"] * 2,
                          "bid": [99.0, 99.2], "ask": [101.0, 101.2]})  # fmt: skip
    total = xex.pricing.aggregate(frame).iloc[0]
    assert total["group"] == "BTC:spot"
    assert total["currency"] == "USDT"
    assert total["price"] == pytest.approx(100.1)
    with pytest.raises(SchemaError, match="ask"):
        xex.pricing.aggregate(frame.drop(columns="ask"))
    with pytest.raises(SchemaError, match="base"):
        xex.pricing.aggregate(frame.drop(columns="base"))
    with pytest.raises(SchemaError, match="DataFrame"):
        xex.pricing.aggregate([1, 2])  # type: ignore[arg-type]


def two_rows(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"exchange": ["a", "b"], "base": ["BTC"] * 2, "kind": ["spot"] * 2, "quote": ["USDT"] * 2,
                          "bid": [99.0, 99.8], "ask": [99.1, 99.9], "taker_bps": [1.0] * 2})  # fmt: skip
    return frame.assign(bid_size=[1.0, 2.0], ask_size=[3.0, 4.0]).assign(**columns)


def test_a_flag_means_what_it_says_whatever_pandas_made_of_its_column() -> None:
    """Frames put together have True beside missing, and a column of objects."""
    for halted in ([None, True], [float("nan"), 1.0], pd.array([None, True], dtype="boolean"), [np.False_, np.True_]):
        parts = xex.pricing.contributions(two_rows(halted=halted))
        assert parts["excluded_reason"].fillna("").tolist() == ["", "halted"], halted
        scan = xex.arbitrage.scan(two_rows(halted=halted))
        assert scan["gate"].tolist() == ["market_state"] * 2, halted
    with pytest.raises(SchemaError, match=r"halted holds 'no'; True or False is expected"):
        xex.pricing.aggregate(two_rows(halted=["no", "yes"]))


def test_numbers_may_come_as_objects_and_what_is_none_is_named() -> None:
    plain = xex.arbitrage.scan(two_rows())
    exact = xex.arbitrage.scan(two_rows(bid_size=[Decimal(1), Decimal(2)], age_ms=[None, 0]))
    assert exact["quantity"].tolist() == plain["quantity"].tolist() == [2.0, 1.0]
    for column, cells, words in (
        ("age_ms", pd.to_timedelta([1, 700], unit="s"), "age_ms holds Timedelta.* numbers are expected"),
        ("bid_size", ["1", "2"], "bid_size holds '1'.* numbers are expected"),
        ("exchange_time", pd.to_datetime(["2026-01-01"] * 2), r"without a time zone; tz_localize\('UTC'\)"),
        ("exchange_time", ["2026-01-01"] * 2, "times with a time zone are expected"),
    ):
        with pytest.raises(SchemaError, match=words):
            xex.arbitrage.scan(two_rows(**{column: cells}))
    zoned = pd.Series([pd.Timestamp("2026-01-01", tz="UTC"), None], dtype=object)
    assert len(xex.arbitrage.scan(two_rows(exchange_time=zoned))) == 2


def test_a_column_that_is_there_twice_is_refused() -> None:
    frame = two_rows()
    for ask in (xex.pricing.aggregate, xex.arbitrage.scan, xex.volume.total):
        with pytest.raises(SchemaError, match=r"column\(s\) bid more than once"):
            ask(pd.concat([frame, frame[["bid"]]], axis=1))


@pytest.mark.parametrize("call", [xex.pricing.aggregate, xex.pricing.contributions])
def test_an_empty_frame_keeps_the_schema(call: Any) -> None:
    empty = schema.frame({}, "tickers")
    assert list(call(empty).columns) == list(call(pd.DataFrame(quotes(random.Random(1)))).columns)
    assert len(call(empty)) == 0


def test_currencies_are_never_mixed() -> None:
    rows = [{"exchange": name, "base": "BTC", "kind": "spot", "quote": quote, "bid": 99.0, "ask": 101.0}
            for name, quote in [("a", "USDT"), ("b", "USD"), ("c", "USDT")]]  # fmt: skip
    total = xex.pricing.aggregate(pd.DataFrame(rows))
    assert sorted(total["currency"]) == ["USD", "USDT"]
    assert total.set_index("currency")["n_used"].to_dict() == {"USDT": 2, "USD": 1}
    found = xex.arbitrage.scan(pd.DataFrame(rows), taker_bps=5)
    mixed = found[found["exchange_low"].eq("b") | found["exchange_high"].eq("b")]
    assert set(mixed["gate"]) == {"currency"}
    assert mixed["net_bps"].isna().all()


def book(rng: random.Random, fair: float, levels: int = 6) -> tuple[list[Any], list[Any]]:
    """Return bids and asks with sizes on a grid of 0.001."""
    tick = fair * 1e-4
    shift = rng.gauss(0, 6)

    def side(sign: int) -> list[tuple[float, float]]:
        steps = sorted(rng.sample(range(1, 40), rng.randint(0, levels)))
        return [(fair + (shift + sign * step) * tick, rng.randint(1, 4000) / 1000) for step in steps]

    return side(-1), side(1)


def long_frame(books: dict[str, Any], **more: Any) -> pd.DataFrame:
    rows = [
        {"exchange": name, "side": side, "price": price, "size": size, "base": "BTC", "kind": "spot", "quote": "USDT"}
        for name, sides in books.items()
        for side, levels in zip(("bid", "ask"), sides, strict=True)
        for price, size in levels
    ]
    return pd.DataFrame(rows, columns=["exchange", "side", "price", "size", "base", "kind", "quote"]).assign(**more)


@pytest.mark.parametrize("kind", ["spot", "linear"])
@pytest.mark.parametrize("seed", range(60))
def test_depth_over_many_books_is_the_oracles(seed: int, kind: str) -> None:
    rng = random.Random(seed)
    books = {name: book(rng, 100.0) for name in VENUES[: rng.randint(2, 7)]}
    fees = {name: rng.choice([0.0, 1.0, 5.0, 10.0]) for name in books}
    want = oracle.n_book_optimum(
        books, {name: oracle.exact(bps) / 10_000 for name, bps in fees.items()}, sides=1 if kind == "spot" else 2  # type: ignore[operator]
    )  # fmt: skip
    frame = long_frame(books, kind=kind)
    if frame.empty:
        return
    found = xex.arbitrage.depth(frame, taker_bps=fees).iloc[0]
    assert_close(float(found["quantity"]), want.quantity, "quantity")
    assert_close(float(found["net_profit"]), want.net_profit, "net profit", rel=1e-7)


@pytest.mark.parametrize("seed", range(60))
def test_liquidity_is_the_oracles(seed: int) -> None:
    rng = random.Random(seed)
    books = {name: book(rng, 100.0, 30) for name in VENUES[: rng.randint(1, 4)]}
    frame = long_frame(books)
    if frame.empty:
        return
    found = xex.liquidity.score(frame, 100.0).set_index("exchange")["score"]
    for name, (bids, asks) in books.items():
        if name in found.index:
            assert_close(float(found[name]), oracle.liquidity_score(bids, asks, 100.0), name)
    everything = (
        [level for bids, _ in books.values() for level in bids],
        [lv for _, asks in books.values() for lv in asks],
    )
    assert_close(float(found["all"]), oracle.liquidity_score(*everything, 100.0), "merged")


def test_a_cut_book_is_marked() -> None:
    frame = long_frame({"a": ([(99.9, 50.0)], [(100.1, 50.0)])}, censored=True)
    points = xex.liquidity.curve(frame, 100.0)
    assert points[points["exchange"] == "a"]["censored"].tolist() == [False, True, True, True]


@pytest.mark.parametrize("kind", ["spot", "linear"])
@pytest.mark.parametrize("seed", range(30))
def test_the_scan_is_every_pair_by_hand(seed: int, kind: str) -> None:
    rng = random.Random(seed)
    rows = [row for number in range(4) for row in quotes(rng, f"G{number}")]
    for row in rows:
        row |= {"kind": kind, "bid_size": rng.randint(1, 9) / 10, "ask_size": rng.randint(1, 9) / 10}
    frame = pd.DataFrame(rows)
    fee, sides = 5 / 1e4, 1 if kind == "spot" else 2
    strangers = {
        (group, name)
        for group in {row["group"] for row in rows}
        for name, reason in asked_of_oracle([row for row in rows if row["group"] == group]).reasons.items()
        if reason in {"suspect", "unit_error", "disagree"}
    }
    found = {
        (row["group"], row["exchange_low"], row["exchange_high"]): row
        for row in xex.arbitrage.scan(frame, taker_bps=5.0).to_dict("records")
    }
    wanted = 0
    for low in rows:
        for high in rows:
            if low is high or low["group"] != high["group"]:
                continue
            if any(math.isnan(quote[side]) for quote in (low, high) for side in ("bid", "ask")):
                continue
            wanted += 1
            got = found[low["group"], low["exchange"], high["exchange"]]
            net = high["bid"] * (1 - sides * fee) - low["ask"] * (1 + sides * fee)
            size = min(low["ask_size"], high["bid_size"])
            assert_close(float(got["net_bps"]), 1e4 * net / low["ask"], "net bps", rel=1e-7)
            assert_close(float(got["net_profit"]), net * size, "net profit", rel=1e-7)
            gates = set(str(got["reasons"]).split(",")) if got["gate"] == got["gate"] else set()
            assert ("fees" in gates) == (net <= 0)
            assert ("freshness" in gates) == (max(low["age_ms"], high["age_ms"]) > 10_000)
            trusted = {(row["group"], row["exchange"]) for row in (low, high)}.isdisjoint(strangers)
            assert ("identity" in gates) == (not trusted or abs(high["bid"] / low["ask"] - 1) > 0.03)
            assert got["executable"] == (not gates - {"nan", ""})
    assert wanted == len(found)


def test_fees_by_exchange_by_venue_and_kind_by_series_or_column() -> None:
    rows = [
        {"exchange": "x1", "venue": "x", "base": "BTC", "kind": "spot", "quote": "USDT", "bid": 99.0, "ask": 100.0},
        {"exchange": "y1", "venue": "y", "base": "BTC", "kind": "spot", "quote": "USDT", "bid": 101.0, "ask": 102.0},
    ]
    frame = pd.DataFrame(rows)
    want = 1e4 * (101 * 0.999 - 100 * 1.002) / 100
    for fees in ({"x1": 20, "y1": 10}, {("x", "spot"): 20, ("y", "spot"): 10}, pd.Series({"x1": 20, "y1": 10})):
        assert xex.arbitrage.scan(frame, taker_bps=fees)["net_bps"].max() == pytest.approx(want)
    assert xex.arbitrage.scan(frame.assign(taker_bps=[20, 10]))["net_bps"].max() == pytest.approx(want)
    with pytest.raises(SchemaError, match="taker_bps"):
        xex.arbitrage.scan(frame)
    with pytest.raises(SchemaError, match="y1"):
        xex.arbitrage.scan(frame, taker_bps={"x1": 20})


def leg(base: str, quote: str, mid: float, kind: str = "spot", **more: Any) -> dict[str, Any]:
    return {"exchange": "k", "kind": kind, "base": base, "quote": quote, "bid": mid * 0.9999, "ask": mid * 1.0001,
            "age_ms": 10.0, **more}  # fmt: skip


def columns(*rows: dict[str, Any]) -> Any:
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_a_rate_never_uses_the_asset_that_is_priced() -> None:
    legs = columns(leg("BTC", "USD", 90), leg("BTC", "USDT", 100), leg("ETH", "USD", 99.9), leg("ETH", "USDT", 100))
    assert currency.rate(legs, "USDT", "USD", asset="BTC").rate == pytest.approx(0.999)
    assert currency.rate(legs, "USDT", "USD", asset="ETH").rate == pytest.approx(0.9)
    assert currency.rate(legs, "USD", "USDT", asset="BTC").rate == pytest.approx(1 / 0.999)


def test_two_sources_that_disagree_are_no_rate_and_stale_ones_do_not_vote() -> None:
    direct, eth = leg("USDT", "USD", 0.999), (leg("ETH", "USD", 95), leg("ETH", "USDT", 100))
    found = currency.rate(columns(direct, *eth), "USDT", "USD", asset="BTC")
    assert math.isnan(found.rate)
    assert "disagree" in found.why
    old = {**direct, "age_ms": 600_000.0}
    assert currency.rate(columns(old, *eth), "USDT", "USD", asset="BTC").rate == pytest.approx(0.95)
    assert math.isnan(currency.rate(columns(old), "USDT", "USD", asset="BTC").rate)


def test_older_quotes_than_half_a_minute_cannot_be_asked_for() -> None:
    with pytest.raises(xex.ConfigError, match="30"):
        quality.verdicts({"bid": [1.0], "ask": [2.0]}, max_age_s=31)


@pytest.mark.parametrize("reference", [0, -5, math.nan, math.inf])
def test_a_reference_that_is_no_price_is_refused(reference: float) -> None:
    frame = long_frame({"a": ([(99.9, 50.0)], [(100.1, 50.0)])})
    with pytest.raises(xex.ConfigError, match="reference"):
        xex.liquidity.score(frame, reference)


def test_bad_arguments_are_named() -> None:
    frame = long_frame({"a": ([(99.9, 50.0)], [(100.1, 50.0)])})
    with pytest.raises(SchemaError, match="buy"):
        xex.liquidity.score(frame.replace({"side": {"bid": "buy"}}), 100.0)
    with pytest.raises(SchemaError, match="taker_bps"):
        xex.arbitrage.depth(frame, taker_bps="10")
    with pytest.raises(xex.ConfigError, match="max_disagree"):
        xex.pricing.aggregate(pd.DataFrame(quotes(random.Random(1))), max_disagree=-1)


@pytest.mark.parametrize(("bid", "ask"), [(101.0, 100.9), (97.0, 102.9)])
def test_a_crossed_or_wide_quote_is_no_edge_that_anybody_can_take(bid: float, ask: float) -> None:
    quotes = pd.DataFrame({
        "exchange": ["a", "b", "c"], "base": "BTC", "kind": "spot", "quote": "USDT", "bid": [99.9, 99.9, bid],
        "ask": [100.0, 100.0, ask], "bid_size": 1.0, "ask_size": 1.0,
    })  # fmt: skip
    found = xex.arbitrage.scan(quotes, taker_bps=0.0)
    odd = found[(found["exchange_low"] == "c") | (found["exchange_high"] == "c")]
    assert len(odd) == 4
    assert set(odd["gate"]) <= {"market_state", "identity"}
    assert "market_state" in set(odd["gate"])
    assert not odd["executable"].any()
