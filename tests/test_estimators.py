"""Each rule for one price by hand and by the oracle, what every rule promises, and bars over time."""

from __future__ import annotations

import math
import os
import random
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import xex
from tests import oracle
from xex.errors import ConfigError, SchemaError
from xex.model import schema

FULL = bool(os.environ.get("XEX_FULL"))
TICKER_METHODS = ("robust", "median", "vwap", "clamp", "mad_vwap", "principal_market")
HALF = 1e-5


def frame(
    prices: Sequence[float], volumes: Sequence[float] | None = None, ages_s: Sequence[float] | None = None, **more: Any
) -> pd.DataFrame:
    """Return quotes whose mids are the prices, one venue each."""
    mid = np.array(prices, dtype=np.float64)
    rows = {
        "exchange": [f"v{place}" for place in range(len(mid))], "group": "BTC:spot", "currency": "USD",
        "bid": mid * (1 - HALF), "ask": mid * (1 + HALF),
    }  # fmt: skip
    if volumes is not None:
        rows["quote_volume"] = np.array(volumes, dtype=np.float64)
    if ages_s is not None:
        rows["age_ms"] = 1e3 * np.array(ages_s, dtype=np.float64)
    return pd.DataFrame({**rows, **more})


def total(data: pd.DataFrame, method: str = "robust", **parameters: Any) -> Any:
    (_, row), *others = xex.pricing.aggregate(data, method, **parameters).iterrows()
    assert not others
    return row


def weights(data: pd.DataFrame, method: str = "robust", **parameters: Any) -> list[float]:
    parts: list[float] = xex.pricing.contributions(data, method, **parameters)["weight"].tolist()
    return parts


def reasons(data: pd.DataFrame, method: str = "robust", **parameters: Any) -> list[str]:
    return xex.pricing.contributions(data, method, **parameters)["excluded_reason"].fillna("").tolist()


# --- by hand: prices 100, 100.1 and 101, volumes 1, 2 and 7; 101 is 90 bps off, the others 10

THREE = frame([100.0, 100.1, 101.0], [1.0, 2.0, 7.0])


def test_the_median_is_of_all_valid_prices() -> None:
    assert total(THREE, "median")["price"] == pytest.approx(100.1, rel=1e-12)
    assert weights(THREE, "median") == pytest.approx([1 / 3] * 3)
    assert total(frame([100.0, 100.1, 100.2, 101.0]), "median")["price"] == pytest.approx(100.15, rel=1e-12)


def test_vwap_has_no_guard() -> None:
    assert total(THREE, "vwap")["price"] == pytest.approx((100 + 2 * 100.1 + 7 * 101) / 10, rel=1e-12)
    assert weights(THREE, "vwap") == pytest.approx([0.1, 0.2, 0.7])
    assert total(frame([100.0, 100.2], [math.nan, math.nan]), "vwap")["price"] == pytest.approx(100.1, rel=1e-12)
    assert weights(frame([100.0, 100.2, 100.4], [3.0, math.nan, 1.0]), "vwap") == pytest.approx([0.75, 0, 0.25])


def test_mad_vwap_weighs_what_robust_keeps_by_volume() -> None:
    """|p − 100.1| is 0.1, 0, 0.9: their median 0.1, and 3.5 · 1.4826 · 0.1 = 0.519 < 0.9."""
    assert total(THREE, "mad_vwap")["price"] == pytest.approx((100 + 2 * 100.1) / 3, rel=1e-12)
    assert weights(THREE, "mad_vwap") == pytest.approx([1 / 3, 2 / 3, 0])
    assert reasons(THREE, "mad_vwap") == ["", "", "outlier"]
    # 0.9 is 6.07 scaled MADs, and 90 bps.
    kept = (100 + 2 * 100.1 + 7 * 101) / 10
    for wider in ({"mads": 6.1}, {"floor_bps": 90.0}):
        assert total(THREE, "mad_vwap", **wider)["price"] == pytest.approx(kept, rel=1e-12)


@pytest.mark.parametrize("x", [0.002, 0.005, 0.02])
def test_clamp_moves_prices_to_the_median(x: float) -> None:
    clamped = [max(100.0, 100.1 * (1 - x)), 100.1, min(101.0, 100.1 * (1 + x))]
    by_volume = (clamped[0] + 2 * clamped[1] + 7 * clamped[2]) / 10
    found = total(THREE, "clamp", x=x)
    assert found["price"] == pytest.approx(by_volume, rel=1e-12)
    assert found["range_bps"] == pytest.approx(1e4 / by_volume, rel=1e-9)
    square = sum(w * (p - by_volume) ** 2 for w, p in zip((0.1, 0.2, 0.7), clamped, strict=True))
    assert found["price_variance"] == pytest.approx(math.sqrt(square), rel=1e-9)
    assert total(THREE, "clamp", x=x, weights="equal")["price"] == pytest.approx(sum(clamped) / 3, rel=1e-12)
    assert weights(THREE, "clamp", x=x, weights="equal") == pytest.approx([1 / 3] * 3)


def test_the_principal_market_is_the_largest_that_is_no_outlier() -> None:
    found = total(THREE, "principal_market")
    assert found["price"] == pytest.approx(100.1, rel=1e-12)
    assert (found["n_asked"], found["n_used"]) == (3, 1)
    assert math.isnan(found["price_variance"])
    assert found["range_bps"] == pytest.approx(1e4 / 100.1, rel=1e-9)
    assert weights(THREE, "principal_market") == [0, 1, 0]
    assert total(THREE, "principal_market", floor_bps=100)["price"] == pytest.approx(101, rel=1e-12)


def test_without_volumes_nobody_knows_the_principal_market() -> None:
    unknown = total(frame([100.0, 100.1], [math.nan, 0.0]), "principal_market")
    assert math.isnan(unknown["price"])
    assert unknown["flags"] == "no_volume"
    alone = total(frame([100.0]), "principal_market")
    assert alone["price"] == pytest.approx(100, rel=1e-12)
    assert alone["flags"] == "single_source"
    shared = total(frame([100.0, 100.1, 100.05], [5.0, 5.0, 1.0]), "principal_market")
    assert shared["price"] == pytest.approx(100.05, rel=1e-12)
    assert shared["n_used"] == 2


def test_a_stale_venue_is_no_principal_market() -> None:
    data = frame([100.0, 100.1, 100.05], [1.0, 2.0, 100.0], [0, 0, 60])
    assert total(data, "principal_market")["price"] == pytest.approx(100.1, rel=1e-12)


def test_robust_by_its_parameters() -> None:
    """√volume is 1, 2, 3, 6 of 12; e^(−age / τ) is 1 but for the second, where it is e^(−2)."""
    prices, volumes = [100.0, 100.01, 100.02, 100.03], [1.0, 4.0, 9.0, 36.0]
    data = frame(prices, volumes)
    assert weights(data, cap=0.5) == pytest.approx([1 / 12, 2 / 12, 3 / 12, 6 / 12])
    assert weights(data, cap=0.4) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert weights(data, cap=1) == pytest.approx([1 / 12, 2 / 12, 3 / 12, 6 / 12])
    assert weights(data, cap=0.2) == pytest.approx([0.25] * 4)
    aged, old = frame(prices, volumes, [0, 4, 0, 0]), 2 * math.exp(-2)
    assert weights(aged, cap=1, tau_s=2)[1] == pytest.approx(old / (10 + old))
    assert reasons(THREE, mads=6.1) == ["", "", ""]
    assert reasons(THREE, mads=0, floor_bps=10) == ["", "", "outlier"]


def test_ages_far_beyond_tau_still_make_a_price() -> None:
    data = frame([100.0, 100.01, 100.02], [1.0, 1.0, 1.0], [9.0, 9.0, 9.0])
    assert total(data, tau_s=0.01)["price"] == pytest.approx(100.01, rel=1e-12)
    one_fresh = frame([100.0, 100.01, 100.02], [1.0, 1.0, 1.0], [0.0, 9.0, 9.0])
    assert weights(one_fresh, tau_s=0.01) == pytest.approx([0.4, 0.3, 0.3])


@pytest.mark.parametrize("method", TICKER_METHODS)
def test_volumes_that_no_float_can_add_up(method: str) -> None:
    data = frame([100.0, 100.01, 100.02], [1e308, 1e308, 1e308])
    assert total(data, method)["price"] == pytest.approx(100.01, rel=1e-9)


@pytest.mark.parametrize("method", TICKER_METHODS)
def test_who_may_be_another_asset_is_out_of_every_rule(method: str) -> None:
    data = frame([100.0, 100.01, 100.02, 130.0, 1000.0], [1.0, 1.0, 1.0, 1e9, 1e9])
    assert 100 <= total(data, method)["price"] <= 100.02
    assert reasons(data, method)[3:] == ["suspect", "unit_error"]
    split = total(frame([100.0, 100.0, 103.0, 103.0], [1.0] * 4), method)
    assert math.isnan(split["price"])
    assert split["flags"] == "disagree"


@pytest.mark.parametrize("method", TICKER_METHODS)
def test_nothing_is_no_data(method: str) -> None:
    nothing = total(frame([math.nan, math.nan]), method)
    assert math.isnan(nothing["price"])
    assert nothing["flags"] == "no_data"
    assert nothing["n_used"] == 0


@pytest.mark.parametrize("seed", range(40))
def test_rules_by_volume_are_the_oracles(seed: int) -> None:
    rng = random.Random(seed)
    prices = [100 * (1 + rng.gauss(0, 4e-4)) for _ in range(rng.randint(3, 8))]
    volumes = [10 ** rng.uniform(0, 9) if rng.random() < 0.9 else math.nan for _ in prices]
    if all(math.isnan(volume) for volume in volumes):
        volumes[0] = 1.0
    data = frame(prices, volumes)
    mids = ((data["bid"] + data["ask"]) / 2).tolist()
    assert total(data, "vwap")["price"] == pytest.approx(float(oracle.volume_mean(mids, volumes)), rel=1e-12)
    exact = [Fraction(mid) for mid in mids]
    middle, x = oracle.median(exact), Fraction(1, 2500)
    clamped = [min(max(price, middle * (1 - x)), middle * (1 + x)) for price in exact]
    want = oracle.volume_mean(clamped, volumes)
    assert total(data, "clamp", x=float(x))["price"] == pytest.approx(float(want), rel=1e-12)
    bound = max(Fraction("3.5") * Fraction("1.4826") * oracle.median(abs(p - middle) for p in exact), middle / 1000)
    near = [place for place, price in enumerate(exact) if abs(price - middle) <= bound]
    with_volume = [place for place in near if volumes[place] > 0]
    if with_volume:
        want = oracle.volume_mean([exact[p] for p in near], [volumes[p] for p in near])
        assert total(data, "mad_vwap")["price"] == pytest.approx(float(want), rel=1e-12)
        largest = max(with_volume, key=lambda place: volumes[place])
        assert total(data, "principal_market")["price"] == pytest.approx(mids[largest], rel=1e-12)


@pytest.mark.parametrize(
    ("method", "parameters", "says"),
    [
        ("mean", {}, "'mean'; methods are: robust, median, .*vwm_trades"),
        ("vwap", {"x": 0.02}, "x=0.02 .*'vwap'; it takes none"),
        ("clamp", {"cap": 0.5}, "cap=0.5 .*'clamp'; it takes x, weights"),
        ("robust", {"weights": "equal"}, "weights='equal' .*cap, tau_s, mads, floor_bps"),
        ("clamp", {"weights": "root"}, "'volume' or 'equal', not 'root'"),
        ("clamp", {"x": 2}, "x is a fraction .* not 2"),
        ("clamp", {"x": True}, "not True"),
        ("robust", {"cap": 0}, "cap is a fraction .* not 0"),
        ("robust", {"tau_s": math.nan}, "tau_s is seconds.* not nan"),
        ("mad_vwap", {"mads": "3"}, "mads is at least 0, not '3'"),
        ("principal_market", {"floor_bps": -1}, "floor_bps .* not -1"),
    ],
)
def test_what_a_method_does_not_take_is_named(method: str, parameters: dict[str, Any], says: str) -> None:
    for call in (xex.pricing.aggregate, xex.pricing.contributions):
        with pytest.raises(ConfigError, match=says):
            call(THREE, method, **parameters)


# --- what holds whatever the prices are

many = settings(
    max_examples=1000 if FULL else 100, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
fair = st.floats(1e-6, 1e6)
noises = st.lists(st.floats(-0.004, 0.004), min_size=1, max_size=9)
seeds = st.integers(0, 10**6)


def market(price: float, noise: Sequence[float], seed: int) -> tuple[list[float], list[float], list[float]]:
    rng = random.Random(seed)
    return (
        [price * (1 + off) for off in noise],
        [10 ** rng.uniform(0, 9) for _ in noise],
        [rng.uniform(0, 9.9) for _ in noise],
    )


@many
@given(fair, noises, seeds, st.sampled_from(TICKER_METHODS))
def test_a_price_is_among_those_it_is_made_of(price: float, noise: list[float], seed: int, method: str) -> None:
    prices, volumes, ages = market(price, noise, seed)
    data = frame(prices, volumes, ages)
    found, parts = total(data, method), weights(data, method)
    mids = ((data["bid"] + data["ask"]) / 2).tolist()
    used = [mid for mid, weight in zip(mids, parts, strict=True) if weight > 0]
    assert min(used) * (1 - 1e-12) <= found["price"] <= max(used) * (1 + 1e-12)
    assert math.fsum(parts) == pytest.approx(1, abs=1e-12)


@many
@given(fair, noises, seeds, st.sampled_from(("robust", "vwap", "clamp", "mad_vwap")))
def test_a_deviation_is_at_most_half_of_the_range(price: float, noise: list[float], seed: int, method: str) -> None:
    data = frame(*market(price, noise, seed))
    found = total(data, method)
    mids = (data["bid"] + data["ask"]) / 2
    if len(noise) == 1 or found["n_used"] < 2:
        assert math.isnan(found["price_variance"])
    else:
        assert 0 <= found["price_variance"] <= (mids.max() - mids.min()) / 2 + 1e-12 * price


@many
@given(fair, noises, seeds, st.sampled_from(TICKER_METHODS), st.sampled_from([1e-6, 0.37, 1e5]))
def test_order_scale_and_names_change_nothing(
    price: float, noise: list[float], seed: int, method: str, scale: float
) -> None:
    prices, volumes, ages = market(price, noise, seed)
    # Exactly at the limit of what is an outlier the last bit decides.
    centre = statistics.median(prices)
    away = [abs(one - centre) for one in prices]
    limit = max(3.5 * 1.4826 * statistics.median(away), 1e-3 * centre)
    assume(all(abs(one - limit) > 1e-9 * limit for one in away))
    plain = total(frame(prices, volumes, ages), method)
    order = random.Random(seed).sample(range(len(prices)), len(prices))
    again = {
        "order": (frame(prices, volumes, ages).iloc[order].reset_index(drop=True), 1.0),
        "price": (frame([scale * one for one in prices], volumes, ages), scale),
        "volume": (frame(prices, [scale * one for one in volumes], ages), 1.0),
        "name": (frame(prices, volumes, ages, currency="KRW"), 1.0),
    }
    for what, (data, factor) in again.items():
        other = total(data, method)
        assert other["price"] == pytest.approx(factor * plain["price"], rel=1e-9), what
        for name in ("dispersion_bps", "range_bps", "mad_bps", "n_used"):
            assert other[name] == pytest.approx(plain[name], rel=1e-6, abs=1e-6, nan_ok=True), (what, name)


@many
@given(fair, st.lists(st.floats(-0.004, 0.004), min_size=2, max_size=6), st.data())
def test_a_strict_minority_moves_robust_little(price: float, noise: list[float], data: st.DataObject) -> None:
    """They may say any price, any volume and any age; the honest ones have theirs."""
    prices, volumes, ages = market(price, noise, data.draw(seeds))
    liars = data.draw(st.integers(1, len(noise) - 1))
    factors = st.one_of(st.floats(-12, 12).map(lambda power: 10**power), st.floats(0.95, 1.05))
    lies = [price * data.draw(factors) for _ in range(liars)]
    claims = [data.draw(st.sampled_from([0.0, 1.0, 1e18, math.nan])) for _ in range(liars)]
    honest = frame(prices, volumes, ages)
    mids = (honest["bid"] + honest["ask"]) / 2
    found = total(frame(prices + lies, volumes + claims, ages + [0.0] * liars))["price"]
    bound = max(5.19 * (mids.max() - mids.min()), 1e-3 * price) + 1e-9 * price
    assert mids.min() - bound <= found <= mids.max() + bound


# --- books

BOOKS_HEAD = ["exchange", "side", "price", "size", "group", "currency"]


def books_frame(books: dict[str, Any], **more: Any) -> pd.DataFrame:
    rows = [
        (name, side, price, size, "BTC:spot", "USD")
        for name, sides in books.items()
        for side, levels in zip(("bid", "ask"), sides, strict=True)
        for price, size in levels
    ]
    return pd.DataFrame(rows, columns=BOOKS_HEAD).assign(**more)


def random_books(rng: random.Random) -> dict[str, Any]:
    fair_price = 10 ** rng.uniform(-3, 5)

    def side(sign: int) -> list[tuple[float, float]]:
        steps = sorted(rng.sample(range(1, 500), rng.randint(1, 60)))
        shift = rng.gauss(0, 3)
        return [(fair_price * (1 + sign * (step + shift + 5) * 1e-4), 10 ** rng.uniform(-2, 0.7)) for step in steps]

    # An honest top near the price, so that every venue is trusted.
    def with_top(sign: int) -> list[tuple[float, float]]:
        return [(fair_price * (1 + sign * rng.uniform(1e-5, 3e-4)), rng.uniform(0.1, 3)), *side(sign)]

    return {f"v{number}": (with_top(-1), with_top(1)) for number in range(rng.randint(1, 5))}


@pytest.mark.parametrize("seed", range(60))
def test_brti_is_the_oracles(seed: int) -> None:
    rng = random.Random(seed)
    books = random_books(rng)
    spacing = rng.choice([0.3, 1.0, 4.0])
    options: dict[str, Any] = rng.choice(
        [{}, {"deviation": 0.001}, {"trim": 0.25, "sigmas": 3.0}, {"factor": 0.37}, {"levels": 7}, {"within": 0.01}]
    )
    renamed = {"deepest" if name == "levels" else name: value for name, value in options.items()}
    want, shares = oracle.books_price(books, spacing=spacing, **renamed)
    data = books_frame(books)
    found = total(data, "brti", spacing=spacing, **options)
    direct = xex.pricing.brti(data, spacing=spacing, **options).iloc[0]
    assert direct["price"] == found["price"] or want is None
    parts = xex.pricing.contributions(data, "brti", spacing=spacing, **options).set_index("exchange")
    if want is None:
        assert math.isnan(found["price"])
        assert "thin" in found["flags"]
    else:
        assert found["price"] == pytest.approx(float(want), rel=1e-9)
    for name, share in shares.items():
        assert parts["weight"][name] == pytest.approx(float(share), rel=1e-9)
    assert found["n_used"] == len(books)


def test_brti_by_hand() -> None:
    """Steps of 1: mids 100 and (102 + 99) / 2 = 100.5; ask / mid − 1 is 100 bps, then 149: with 1.2 % one step is used.

    With 2 % two are: λ = 1 / 0.6, weights e^(−1/0.6) and e^(−2/0.6), that is 1 and e^(−1/0.6).
    """
    data = books_frame({"a": ([(99.0, 2.0)], [(101.0, 1.0), (102.0, 1.0)])})
    assert total(data, "brti", deviation=0.012)["price"] == pytest.approx(100, rel=1e-12)
    second = math.exp(-1 / 0.6)
    want = (100 + 100.5 * second) / (1 + second)
    assert total(data, "brti", deviation=0.02)["price"] == pytest.approx(want, rel=1e-12)
    assert total(data, "brti", deviation=1e-6)["price"] == pytest.approx(100, rel=1e-12)


def test_a_giant_order_is_cut() -> None:
    """One of twenty-two orders is 10,000 times the others: trimmed away at 10 %, so that all count as 1."""
    small: list[tuple[float, float]] = [(100 - 0.01 * step, 1.0) for step in range(1, 12)]
    large = [(100 + 0.01 * step, 1.0 if step > 1 else 10_000.0) for step in range(1, 12)]
    data = books_frame({"a": (small, large)})
    same = books_frame({"a": (small, [(price, 1.0) for price, _ in large])})
    assert total(data, "brti", trim=0.1)["price"] == pytest.approx(total(same, "brti", trim=0.1)["price"], rel=1e-12)


def test_a_coin_with_a_billion_steps_costs_no_more() -> None:
    books = {"a": ([(0.99e-5, 3e11), (0.98e-5, 9e11)], [(1.0e-5, 2e11), (1.01e-5, 8e11)])}
    assert 0.98e-5 < total(books_frame(books), "brti", deviation=0.03)["price"] < 1.01e-5


def test_books_that_are_none_are_out() -> None:
    level = [(99.99, 5.0)], [(100.01, 5.0)]
    books = {
        "fine": level, "crossed": ([(100.02, 5.0)], [(100.0, 5.0)]), "empty_side": ([(99.99, 5.0)], []),
        "other": ([(119.9, 500.0)], [(120.1, 500.0)]), "twin": level, "third": level,
    }  # fmt: skip
    data = books_frame(books)
    data["age_ms"] = np.where(data["exchange"] == "twin", 31_000.0, 12_000.0)
    parts = xex.pricing.contributions(data, "brti").set_index("exchange")
    told = parts["excluded_reason"].fillna("").to_dict()
    assert told == {
        "fine": "", "crossed": "crossed", "empty_side": "no_quote", "other": "suspect", "twin": "stale", "third": "",
    }  # fmt: skip
    assert total(data, "brti")["price"] == pytest.approx(100, rel=1e-12)
    assert set(xex.pricing.contributions(data, "brti", max_age_s=10)["weight"]) == {0}


def test_spacing_by_group() -> None:
    one = books_frame({"a": ([(99.0, 2.0)], [(101.0, 2.0)])})
    data = pd.concat([one, one.assign(group="DOGE:spot")])
    found = xex.pricing.brti(data, spacing={"BTC:spot": 1.0, "DOGE:spot": 100.0}).set_index("group")
    assert found["price"]["BTC:spot"] == pytest.approx(100)
    assert found["flags"].fillna("")["DOGE:spot"] == "single_source,thin"
    with pytest.raises(ConfigError, match="DOGE:spot"):
        xex.pricing.brti(data, spacing={"BTC:spot": 1.0})


# --- trades

END = 1_700_000_000_000.0


def trades_frame(rows: Sequence[tuple[str, float, float, float]], **more: Any) -> pd.DataFrame:
    """Return (exchange, seconds before the end, price, size) as a frame."""
    return pd.DataFrame(
        {
            "exchange": [row[0] for row in rows], "exchange_time": [END - 1e3 * row[1] for row in rows],
            "price": [row[2] for row in rows], "size": [row[3] for row in rows],
            "group": "BTC:spot", "currency": "USD", **more,
        }
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_trades_are_the_oracles(seed: int) -> None:
    rng = random.Random(seed)
    rows = [
        (f"v{rng.randint(0, 3)}", float(rng.randint(0, 4500)), 100 * (1 + rng.gauss(0, 1e-3)), 10 ** rng.uniform(-4, 3))
        for _ in range(rng.randint(1, 120))
    ]
    rows = [*rows, ("v0", 0.0, 100.0, 0.01)]
    partitions = rng.choice([1, 5, 12])
    want, middles = oracle.trades_price(
        [(END - 1e3 * age, price, size) for _, age, price, size in rows], END, 3_600_000, partitions
    )
    data = trades_frame(rows)
    found = total(data, "vwm_trades", partitions=partitions)
    assert found["price"] == pytest.approx(float(want), rel=1e-9)
    assert xex.pricing.vwm_trades(data, partitions=partitions)["price"].tolist() == [found["price"]]
    inside = [row for row in rows if row[1] < 3600]
    names = {row[0] for row in inside}
    volume = {name: math.fsum(size for who, _, _, size in inside if who == name) for name in names}
    parts = xex.pricing.contributions(data, "vwm_trades", partitions=partitions).set_index("exchange")
    for name, size in volume.items():
        assert parts["weight"][name] == pytest.approx(size / math.fsum(volume.values()), rel=1e-9)
    first = {name: max(row[1] for row in rows if row[0] == name) for name in names}
    covers = all(age >= 3600 - 3600 / partitions for age in first.values()) and middles[-1] is not None
    assert ("partial" in str(found["flags"])) == (not covers)


def test_trades_by_hand() -> None:
    """Three windows of 20 minutes, the middle one empty: 101 at exactly half (100, 102), then 103 of 103 and 99."""
    rows = [("a", 3500.0, 100.0, 1.0), ("b", 3400.0, 102.0, 1.0), ("a", 10.0, 99.0, 1.0), ("b", 0.0, 103.0, 1.5)]
    found = total(trades_frame(rows), "vwm_trades", partitions=3)
    assert found["price"] == pytest.approx((101 + 103) / 2, rel=1e-12)
    assert found["n_used"] == 2
    assert not isinstance(found["flags"], str)
    late = total(trades_frame(rows[1:]), "vwm_trades", partitions=3)
    assert late["flags"] == "partial"
    stale = total(trades_frame(rows), "vwm_trades", partitions=3, end=END + 1.3e6)
    assert stale["price"] == pytest.approx(103, rel=1e-12)
    assert "partial" in stale["flags"]


def test_the_end_of_a_window_and_its_times() -> None:
    rows = [("a", 100.0, 100.0, 1.0), ("a", 50.0, 101.0, 1.0), ("a", 0.0, 102.0, 1.0)]
    moment = datetime.fromtimestamp((END - 50_000) / 1e3, UTC)
    for end in (moment, END - 50_000):
        assert total(trades_frame(rows), "vwm_trades", partitions=1, end=end)["price"] == pytest.approx(100.5)
    data = trades_frame(rows)
    aware = data.assign(exchange_time=pd.to_datetime(data["exchange_time"], unit="ms", utc=True))
    assert total(aware, "vwm_trades")["price"] == total(data, "vwm_trades")["price"]
    with pytest.raises(ConfigError, match="time zone"):
        xex.pricing.vwm_trades(data, end=datetime(2024, 1, 1))  # noqa: DTZ001  what is refused
    naive = data.assign(exchange_time=pd.to_datetime(data["exchange_time"], unit="ms"))
    with pytest.raises(SchemaError, match="exchange_time"):
        xex.pricing.vwm_trades(naive)


def test_trades_of_another_asset_have_no_part() -> None:
    rows = [(name, age, 100.0, 1.0) for name in "abc" for age in (0.0, 3500.0)]
    data = trades_frame([*rows, ("d", 0.0, 1000.0, 1e9), ("d", 3500.0, 1000.0, 1e9)])
    assert total(data, "vwm_trades")["price"] == pytest.approx(100)
    assert reasons(data, "vwm_trades") == ["", "", "", "unit_error"]


@pytest.mark.parametrize(
    ("method", "data", "parameters", "error", "says"),
    [
        ("brti", THREE, {}, SchemaError, "side, price, size"),
        ("vwm_trades", THREE, {}, SchemaError, "price, size, exchange_time"),
        ("robust", trades_frame([("a", 0.0, 1.0, 1.0)]), {}, SchemaError, "bid, ask"),
        ("brti", books_frame({"a": ([(1.0, 1.0)], [])}).assign(side="buy"), {}, SchemaError, "'buy'"),
        ("brti", books_frame({}), {"cap": 1}, ConfigError, "cap=1 .*it takes spacing, deviation, levels"),
        ("brti", books_frame({"a": ([(1.0, 1.0)], [])}), {"spacing": 0}, ConfigError, "spacing"),
        ("brti", books_frame({}), {"trim": 0.5}, ConfigError, "trim"),
        ("brti", books_frame({}), {"levels": 1.5}, ConfigError, "levels"),
        ("vwm_trades", trades_frame([]), {"max_age_s": 5}, ConfigError, "max_age_s"),
        ("vwm_trades", trades_frame([]), {"partitions": 0}, ConfigError, "partitions"),
    ],
)
def test_a_frame_of_the_wrong_kind_is_named(
    method: str, data: pd.DataFrame, parameters: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        xex.pricing.aggregate(data, method, **parameters)


@pytest.mark.parametrize("method", ["brti", "vwm_trades"])
def test_nothing_at_all_has_the_columns(method: str) -> None:
    data = schema.frame({}, "books" if method == "brti" else "trades")
    assert list(xex.pricing.aggregate(data, method).columns) == list(xex.pricing.aggregate(THREE).columns)
    assert len(xex.pricing.contributions(data, method)) == 0


# --- how far apart


def test_dispersion_z_by_hand() -> None:
    """Two equal weights at 100 and 100.2: deviation 0.1; half spreads 1e-5 of each; ages 0 and 4 s, σ 1e-4."""
    data = frame([100.0, 100.2], [1.0, 1.0], [0.0, 4.0])
    spread = ((100 * HALF) ** 2 + (100.2 * HALF) ** 2) / 2
    want = 0.1 / math.sqrt(spread + (1e-4 * 100.1) ** 2 * 4)
    assert total(data, sigma=1e-4)["dispersion_z"] == pytest.approx(want, rel=1e-9)
    assert total(data, sigma={"BTC:spot": 1e-4})["dispersion_z"] == pytest.approx(want, rel=1e-9)
    assert math.isnan(total(data)["dispersion_z"])
    ranged = data.assign(low=[90.0, 95.0], high=[99.0, 95.0 * 1.3])
    sigma = (math.log(1.1) + math.log(1.3)) / 2 / math.sqrt(4 * math.log(2) * 86_400)
    want = 0.1 / math.sqrt(spread + (sigma * 100.1) ** 2 * 4)
    assert total(ranged)["dispersion_z"] == pytest.approx(want, rel=1e-9)


def test_dispersion_z_counts_every_pair_of_the_kept() -> None:
    ages = [0.0, 1.0, 3.0, 8.0, 5.0]
    data = frame([100.0, 100.01, 100.02, 100.03, 102.0], [1.0] * 5, ages)
    pairs = [abs(a - b) for place, a in enumerate(ages[:4]) for b in ages[:place]]
    found = total(data, sigma=2e-4)
    half = [100 * HALF, 100.01 * HALF, 100.02 * HALF, 100.03 * HALF]
    noise = sum(one**2 for one in half) / 4 + (2e-4 * found["price"]) ** 2 * sum(pairs) / 6
    assert reasons(data)[4] == "outlier"
    assert found["dispersion_z"] == pytest.approx(found["price_variance"] / math.sqrt(noise), rel=1e-9)
    with pytest.raises(ConfigError, match="sigma"):
        total(data, sigma=-1)


def test_pairs_are_of_rows_that_count() -> None:
    data = frame([100.0, 101.0 / 1.0099, 100.02, 150.0])
    found = xex.pricing.pairwise(data)
    assert len(found) == 6
    assert set(found["exchange"]) == {"v0", "v1", "v2"}
    gap = found[(found["exchange"] == "v2") & (found["other"] == "v0")]["gap_bps"].iloc[0]
    assert gap == pytest.approx(2.0, rel=1e-9)
    assert found[(found["exchange"] == "v0") & (found["other"] == "v2")]["gap_bps"].iloc[0] == pytest.approx(
        1e4 * (100 / 100.02 - 1), rel=1e-9
    )
    assert len(xex.pricing.pairwise(data.iloc[:1])) == 0
    assert list(xex.pricing.pairwise(data.iloc[:0]).columns) == list(found.columns)
    two = xex.pricing.pairwise(pd.concat([data, data.assign(currency="EUR")]))
    assert len(two) == 12


def test_gaps_of_marks_and_indices() -> None:
    data = frame([100.0, 100.0, 100.0], mark=[100.1, math.nan, 99.0])
    found = xex.pricing.gaps(data)
    assert found["mark_gap_bps"].tolist() == pytest.approx([10.0, math.nan, -100.0], nan_ok=True)
    assert found["index_gap_bps"].isna().all()
    assert found["price"].tolist() == pytest.approx([100.0] * 3)
    split = xex.pricing.gaps(frame([100.0, 103.0], mark=[100.0, 103.0]))
    assert split["mark_gap_bps"].isna().all()
    assert xex.pricing.gaps(THREE.assign(index=101.0), "vwap")["index_gap_bps"].tolist() == pytest.approx(
        [1e4 * (101 / 100.72 - 1)] * 3
    )


# --- over time


def bars_frame(rng: random.Random, times: int = 30) -> pd.DataFrame:
    rows = []
    for minute in range(times):
        for group, level in (("BTC:spot", 100.0), ("ETH:spot", 7.0)):
            for name in "abcde":
                if rng.random() < 0.9:
                    close = level * (1 + rng.gauss(0, 3e-4) + (0.2 if rng.random() < 0.03 else 0))
                    volume = 0.0 if rng.random() < 0.1 else 10 ** rng.uniform(-1, 3)
                    rows.append((name, 60_000.0 * minute, group, "USD", close, volume))
    return pd.DataFrame(rows, columns=["exchange", "time", "group", "currency", "close", "volume"])


@pytest.mark.parametrize("method", TICKER_METHODS)
def test_a_series_is_the_aggregate_of_every_time(method: str) -> None:
    bars = bars_frame(random.Random(3)).sample(frac=1, random_state=1)
    found = xex.pricing.series(bars, method)
    assert found["time"].is_monotonic_increasing
    assert found["time"].dt.tz is not None
    assert len(found) == bars.groupby(["time", "group"]).ngroups
    traded = bars[bars["volume"] > 0]
    for row in found.itertuples():
        time = (row.time - pd.Timestamp(0, tz="UTC")) / pd.Timedelta("1ms")  # type: ignore[operator]
        of = traded[(traded["time"] == time) & (traded["group"] == row.group)]
        asked = bars[(bars["time"] == time) & (bars["group"] == row.group)]
        want = total(frame(of["close"].tolist(), (of["volume"] * of["close"]).tolist()), method)
        for name in ("price", "price_variance", "range_bps", "n_used"):
            assert getattr(row, name) == pytest.approx(want[name], rel=1e-9, abs=1e-7, nan_ok=True)
        assert row.n_asked == len(asked)


def test_a_series_of_what_one_asks_for() -> None:
    bars = bars_frame(random.Random(4)).assign(open=50.0)
    assert set(xex.pricing.series(bars, price="open")["price"].dropna().round(9)) == {50.0}
    aware = bars.assign(time=pd.to_datetime(bars["time"], unit="ms", utc=True))
    pd.testing.assert_frame_equal(xex.pricing.series(aware), xex.pricing.series(bars))
    renamed = bars.rename(columns={"volume": "base_volume"})
    pd.testing.assert_frame_equal(xex.pricing.series(renamed), xex.pricing.series(bars))
    assert len(xex.pricing.series(bars.iloc[:0])) == 0
    with pytest.raises(SchemaError, match="time"):
        xex.pricing.series(bars.assign(time=pd.to_datetime(bars["time"], unit="ms")))
    with pytest.raises(SchemaError, match="typical"):
        xex.pricing.series(bars, price="typical")
    with pytest.raises(ConfigError, match="brti"):
        xex.pricing.series(bars, "brti")
    with pytest.raises(ConfigError, match="x=1"):
        xex.pricing.series(bars, x=1)


def test_a_depeg_is_seen_in_the_rate_and_not_in_the_price() -> None:
    """One USDC is 0.9 USD by its own book: 100 USD are 111.1 USDC, and at par BTC would have two prices."""
    rows = [
        ("a", "BTC", "USD", 100.0), ("b", "BTC", "USDC", 100 / 0.9), ("c", "BTC", "USDC", 100 / 0.9),
        ("d", "USDC", "USD", 0.9), ("e", "BTC", "USDT", 100.0), ("a", "ETH", "USD", 5.0), ("e", "ETH", "USDT", 5.0),
    ]  # fmt: skip
    bars = pd.DataFrame(rows, columns=["exchange", "base", "quote", "close"]).assign(time=0.0, volume=1.0)
    found = xex.pricing.depeg(bars).iloc[0]
    assert found["price"] == pytest.approx(100, rel=1e-12)
    assert (found["n_asked"], found["n_used"], found["currency"]) == (4, 4, "USD")
    assert math.isnan(found["at_par"])
    # A premium of BTC on every venue of one currency is no rate.
    dear = bars.assign(close=np.where((bars["base"] == "BTC") & (bars["quote"] == "USDT"), 100.5, bars["close"]))
    assert xex.pricing.depeg(dear, quotes=["USDT"])["price"].tolist() == pytest.approx([100.5])
    without = xex.pricing.depeg(bars[bars["exchange"] != "d"], quotes=["USD", "USDC"]).iloc[0]
    assert (without["price"], without["n_used"]) == (pytest.approx(100), 1)
    with pytest.raises(ConfigError, match="DOGE"):
        xex.pricing.depeg(bars, base="DOGE")
