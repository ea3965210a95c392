"""Tests of the oracle: numbers worked out by hand, brute force, linear programs and invariants."""

from __future__ import annotations

import ast
import math
import random
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import oracle
from tests.oracle import RobustPrice, pair_optimum, pair_optimum_brute, robust, validity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Side = list[tuple[Fraction, Fraction]]
Books = dict[str, tuple[Side, Side]]
NAN = float("nan")
VENUES = ("binance", "okx", "htx", "bybit", "kraken", "sixth", "seventh")


def quote(exchange: str, price: str, **changes: object) -> dict[str, object]:
    """Make a valid row whose bid and ask lie 0.0001 around `price`."""
    half = Fraction("0.0001")
    row: dict[str, object] = {
        "exchange": exchange,
        "bid": Fraction(price) - half,
        "ask": Fraction(price) + half,
        "last": None,
        "quote_volume": 1_000_000,
        "age_s": 0,
        "time_source": "quote",
    }
    return row | changes


def quotes(*prices: str) -> list[dict[str, object]]:
    """Make one valid row per price, on as many venues."""
    return [quote(name, price) for name, price in zip(VENUES, prices, strict=False)]


def side(*pairs: tuple[str, str]) -> Side:
    """Make book levels from decimal texts."""
    return [(Fraction(price), Fraction(size)) for price, size in pairs]


def test_oracle_needs_the_standard_library_only() -> None:
    """The oracle can share no mistake with code that it does not import."""
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, Fraction(3602879701896397, 36028797018963968)),
        ("0.1", Fraction(1, 10)),
        (Decimal("0.1"), Fraction(1, 10)),
        ("1e-8", Fraction(1, 10**8)),
        ("1/3", Fraction(1, 3)),
        (7, Fraction(7)),
        (None, None),
        (NAN, None),
        ("nan", None),
        (Decimal("NaN"), None),
        (math.inf, None),
    ],
)
def test_exact_reads_without_rounding(value: object, expected: Fraction | None) -> None:
    """A float is its own value, not the decimal it was written as."""
    assert oracle.exact(value) == expected


def test_exact_refuses_what_is_no_number() -> None:
    """A list is a mistake in the test, not an absent number."""
    with pytest.raises(TypeError, match="not a number"):
        oracle.exact([])


def test_roots_and_logarithms_agree_with_math() -> None:
    """Fifty digits rounded to float are what `math` says."""
    assert float(oracle.root(Fraction(2))) == math.sqrt(2)
    assert float(oracle.exponential(Fraction(-1))) == pytest.approx(math.exp(-1), rel=1e-15)
    assert float(oracle.logarithm(Fraction(1001))) == pytest.approx(math.log(1001), rel=1e-15)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"bid": 99, "ask": 101, "age_s": 0}, None),
        ({"bid": 99, "ask": 101, "age_s": 10}, None),
        ({"bid": 99, "ask": 101}, None),
        ({}, "no_quote"),
        ({"bid": None, "ask": NAN, "last": 0}, "no_quote"),
        ({"bid": 99, "ask": None, "last": None}, "no_quote"),
        ({"bid": 99, "ask": math.inf, "last": None}, "no_quote"),
        ({"bid": -99, "ask": 101, "last": None}, "no_quote"),
        ({"bid": None, "ask": None, "last": 100}, "last_only"),
        ({"bid": None, "ask": 101, "last": 100}, "last_only"),
        ({"bid": 101, "ask": 99}, "crossed"),
        ({"bid": 100, "ask": 100}, "crossed"),
        # a spread of exactly 5 % is 97.5 .. 102.5 around 100
        ({"bid": "97.5", "ask": "102.5"}, None),
        ({"bid": "97.49", "ask": "102.51"}, "wide"),
        ({"bid": 99, "ask": 101, "age_s": "10.001"}, "stale"),
        ({"bid": 99, "ask": 101, "rate_missing": True}, "no_rate"),
        # the first reason wins
        ({"bid": 101, "ask": 50, "age_s": 99, "rate_missing": True}, "crossed"),
        ({"bid": 50, "ask": 101, "age_s": 99, "rate_missing": True}, "wide"),
        ({"bid": 99, "ask": 101, "age_s": 99, "rate_missing": True}, "stale"),
    ],
)
def test_validity_names_the_first_reason(row: Mapping[str, object], reason: str | None) -> None:
    """Each gate, its edge and its place in the order."""
    assert validity(row) == reason


def test_validity_lets_a_last_price_stand_in_when_nobody_quotes() -> None:
    """The last price must be fresh and convertible like any other."""
    assert validity({"last": 100}, any_quote=False) is None
    assert validity({"last": 100, "age_s": 11}, any_quote=False) == "stale"
    assert validity({"last": 100, "rate_missing": True}, any_quote=False) == "no_rate"
    assert validity({"last": None}, any_quote=False) == "no_quote"


def test_validity_refuses_a_limit_above_thirty_seconds() -> None:
    """Nothing older than 30 s enters the maths, whatever the caller says."""
    assert validity({"bid": 99, "ask": 101, "age_s": 30}, 30) is None
    with pytest.raises(ValueError, match="above 30"):
        validity({"bid": 99, "ask": 101}, "30.1")
    with pytest.raises(ValueError, match="above 30"):
        robust([], max_age_s=31)


def test_age_is_corrected_by_the_skew_only_for_quote_times() -> None:
    """Worked: 100 - 97 - 0.5 = 2.5; 100 - 101 - 0 < 0; received 100 - 99 = 1."""
    assert oracle.age_s(100, received_time=99, time_source="quote", exchange_time=97, skew="0.5") == Fraction(5, 2)
    assert oracle.age_s(100, received_time=99, time_source="quote", exchange_time=101) == 0
    assert oracle.age_s(100, received_time=99, time_source="trade", exchange_time=50, skew=3) == 1


def test_robust_without_rows_has_no_data() -> None:
    """All numbers are absent."""
    answer = robust([])
    assert answer.flags == {"no_data"}
    assert answer.n_used == 0
    assert answer.weights == {}
    numbers = (answer.price, answer.price_variance, answer.range_bps, answer.mad_bps, answer.arb_index)
    assert all(map(math.isnan, numbers))


def test_robust_keeps_the_reasons_of_rows_that_make_no_price() -> None:
    """A stale and a crossed row leave nothing; both stay in the answer with weight 0."""
    answer = robust([quote("binance", "100", age_s=60), quote("okx", "100", bid=102)])
    assert answer.flags == {"no_data"}
    assert answer.reasons == {"binance": "stale", "okx": "crossed"}
    assert answer.weights == {"binance": 0, "okx": 0}


def test_robust_passes_a_single_source_through() -> None:
    """One row: its mid, weight 1, and no dispersion to speak of."""
    answer = robust([quote("okx", "100", bid="99.9", ask="100.3")])
    assert answer.price == pytest.approx(100.1)
    assert answer.weights == {"okx": 1}
    assert answer.flags == {"single_source"}
    assert math.isnan(answer.price_variance)
    assert math.isnan(answer.price_var_sq)
    assert math.isnan(answer.dispersion_bps)
    assert (answer.range_bps, answer.mad_bps) == (0, 0)
    assert answer.arb_index == pytest.approx(99.9 / 100.3)


def test_robust_takes_the_mean_of_two_whatever_their_volumes() -> None:
    """Worked: (100 + 100.8) / 2 = 100.4, deviation 0.4, gap 0.8 % is below 1 %."""
    rows = [quote("binance", "100", quote_volume=10**9), quote("okx", "100.8", quote_volume=1)]
    answer = robust(rows)
    assert answer.price == pytest.approx(100.4, rel=1e-15)
    assert answer.weights == {"binance": 0.5, "okx": 0.5}
    assert answer.price_variance == pytest.approx(0.4)
    assert answer.price_var_sq == pytest.approx(0.16)
    assert answer.dispersion_bps == pytest.approx(1e4 * 0.4 / 100.4)
    assert answer.range_bps == pytest.approx(1e4 * 0.8 / 100.4)
    # best bid 100.7999 over best ask 100.0001: a crossed market
    assert answer.arb_index == pytest.approx(100.7999 / 100.0001)
    assert answer.flags == set()


def test_robust_fails_closed_when_two_disagree() -> None:
    """A gap of exactly 1 % of the lower still agrees; more gives no price and no weights."""
    assert robust(quotes("100", "101")).price == pytest.approx(100.5)
    answer = robust(quotes("100", "101.01"))
    assert answer.flags == {"disagree"}
    assert math.isnan(answer.price)
    assert answer.weights == {"binance": 0, "okx": 0}
    assert answer.reasons == {"binance": "disagree", "okx": "disagree"}
    assert answer.n_used == 0
    # Neither may be the asset: nothing is said of how far they are apart.
    assert all(map(math.isnan, (answer.range_bps, answer.mad_bps, answer.arb_index)))


def test_robust_tells_units_from_disagreement() -> None:
    """Two at a ratio of 1,000; of three, one at 3 and one at 100 of the first: only a power of ten is a unit error."""
    answer = robust(quotes("100", "100000"))
    assert (answer.flags, answer.reasons) == ({"disagree"}, {"binance": "unit_error", "okx": "unit_error"})
    three = robust(quotes("100", "300", "10000"))
    assert three.reasons == {"binance": "unit_error", "okx": "disagree", "htx": "unit_error"}


def test_robust_looks_at_rows_without_a_vote_too() -> None:
    """A wide quote that spans the median may be honest; one beside it, or a far last price, is another asset."""
    rows = [*quotes("100", "100.01", "100.02"), quote("bybit", "100", bid=95, ask=106)]
    assert robust(rows).reasons["bybit"] == "wide"
    rows[3] = quote("bybit", "100", bid=104, ask=112)
    assert robust(rows).reasons["bybit"] == "suspect"
    rows[3] = quote("bybit", "100", bid=None, ask=None, last="0.1")
    assert robust(rows).reasons["bybit"] == "unit_error"
    rows[3] = quote("bybit", "100", bid=None, ask=None, last="101")
    assert robust(rows).reasons["bybit"] == "last_only"


def test_robust_needs_a_strict_majority_in_agreement() -> None:
    """Two against two is none; three against two is one; the wider tolerance lets all in."""
    assert robust(quotes("100", "100.1", "105", "105.1")).flags == {"disagree"}
    three = robust(quotes("100", "100.1", "100.2", "105", "105.1"))
    assert three.flags == set()
    assert robust(quotes("100", "100.1", "105", "105.1"), max_disagree="0.06").flags == set()


def test_robust_weighs_equals_equally() -> None:
    """Three equal venues.

    m = 100.02; |p - m| = 0.02, 0, 0.04; MAD = 0.02; s = 0.029652; 3.5 s = 0.103782 keeps all.
    P = (100 + 100.02 + 100.06) / 3 = 100.02666..; squared deviations (0.08/3)^2, (0.02/3)^2, (0.1/3)^2
    sum to 0.0168/9, a third of which is 0.00062222.., its root 0.02494438.
    """
    answer = robust(quotes("100", "100.02", "100.06"))
    assert answer.price == pytest.approx(300.08 / 3, rel=1e-15)
    assert answer.price_var_sq == pytest.approx(0.0168 / 27)
    assert answer.price_variance == pytest.approx(0.024944382578)
    assert answer.dispersion_bps == pytest.approx(2.4937732516)
    assert answer.range_bps == pytest.approx(1e4 * 0.06 / (300.08 / 3))
    assert answer.mad_bps == pytest.approx(1e4 * 0.029652 / 100.02)
    assert answer.n_used == 3


def test_robust_weighs_by_the_root_of_volume_under_a_cap() -> None:
    """Worked: roots 4:2:1:1 give 0.5, 0.25, 0.125, 0.125; 0.1 over the cap goes out as 0.05, 0.025, 0.025."""
    volumes = {"binance": 16, "okx": 4, "htx": 1, "bybit": 1}
    answer = robust([quote(name, "100", quote_volume=v) for name, v in volumes.items()])
    expected = {"binance": 0.4, "okx": 0.3, "htx": 0.15, "bybit": 0.15}
    assert answer.weights == pytest.approx(expected, rel=1e-15)


def test_robust_caps_again_after_the_excess_went_out() -> None:
    """Worked: 0.6, 0.3, 0.05, 0.05 -> 0.4, 0.45, 0.075, 0.075 -> 0.4, 0.4, 0.1, 0.1."""
    volumes = {"binance": 144, "okx": 36, "htx": 1, "bybit": 1}
    answer = robust([quote(name, "100", quote_volume=v) for name, v in volumes.items()])
    expected = {"binance": 0.4, "okx": 0.4, "htx": 0.1, "bybit": 0.1}
    assert answer.weights == pytest.approx(expected, rel=1e-15)


def test_robust_discounts_old_quotes() -> None:
    """Four equal volumes, ages 0, 0, 0 and 5 s: 1 : 1 : 1 : 1/e."""
    rows = [quote(name, "100") for name in VENUES[:3]] + [quote("bybit", "100", age_s=5)]
    total = 3 + math.exp(-1)
    answer = robust(rows)
    assert answer.weights["binance"] == pytest.approx(1 / total)
    assert answer.weights["bybit"] == pytest.approx(math.exp(-1) / total)
    slower = robust(rows, tau_s=10)
    assert slower.weights["bybit"] == pytest.approx(math.exp(-0.5) / (3 + math.exp(-0.5)))


def test_robust_ages_received_rows_as_the_median_of_the_quote_timed() -> None:
    """Quote-timed ages 1 and 3 make 2 for the received row, whose own age 0 would flatter it."""
    rows = [
        quote("binance", "100", age_s=1),
        quote("okx", "100", age_s=3),
        quote("kraken", "100", age_s=0, time_source="received"),
    ]
    raw = [math.exp(-0.2), math.exp(-0.6), math.exp(-0.4)]
    # shares 0.4 (of 0.406), the excess to the others in proportion
    weights = robust(rows).weights
    assert weights["binance"] == pytest.approx(0.4)
    assert weights["kraken"] == pytest.approx(0.6 * raw[2] / (raw[1] + raw[2]))


def test_robust_uses_received_ages_when_no_quote_is_timed() -> None:
    """Ages 0, 0, 0 and 5 s of receipt count as they are."""
    rows = [quote(name, "100", time_source="received") for name in VENUES[:3]]
    rows.append(quote("bybit", "100", age_s=5, time_source="server"))
    assert robust(rows).weights["bybit"] == pytest.approx(math.exp(-1) / (3 + math.exp(-1)))


def test_robust_ignores_the_ages_of_invalid_rows() -> None:
    """A stale quote-timed row does not age the received ones: all four weigh the same."""
    rows = [quote(name, "100", age_s=1) for name in VENUES[:3]]
    rows += [quote("bybit", "100", time_source="received"), quote("kraken", "100", age_s=25)]
    answer = robust(rows)
    assert answer.reasons["kraken"] == "stale"
    assert answer.weights["bybit"] == pytest.approx(0.25)


@pytest.mark.parametrize("volume", [None, NAN, 0, -1])
def test_robust_gives_the_smallest_weight_to_a_row_without_volume(volume: float | None) -> None:
    """Worked: roots 3, 2, 2 and the missing as 2: 3/9, 2/9, 2/9, 2/9."""
    rows = [quote(name, "100", quote_volume=v) for name, v in zip(VENUES, (9, 4, 4, volume), strict=False)]
    shares = list(robust(rows).weights.values())
    assert shares == pytest.approx([3 / 9, 2 / 9, 2 / 9, 2 / 9])


def test_robust_takes_the_smallest_weight_age_included() -> None:
    """Weights 1, 1, 1/e; the venue without a volume takes 1/e although it is fresh."""
    rows = [quote("binance", "100"), quote("okx", "100"), quote("htx", "100", age_s=5)]
    rows.append(quote("bybit", "100", quote_volume=None))
    weights = robust(rows).weights
    assert weights["bybit"] == weights["htx"]
    assert weights["binance"] == pytest.approx(1 / (2 + 2 * math.exp(-1)))


def test_robust_without_any_volume_weighs_by_age_alone() -> None:
    """Ages 0, 0, 0, 5 s and no volume anywhere."""
    rows = [quote(name, "100", quote_volume=None) for name in VENUES[:3]]
    rows.append(quote("bybit", "100", quote_volume=NAN, age_s=5))
    assert robust(rows).weights["bybit"] == pytest.approx(math.exp(-1) / (3 + math.exp(-1)))


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        # m = 100.02, MAD = 0.01, 3.5 s = 0.0519, so the floor of 10 bps = 0.10002 decides
        ("100.12", None),
        ("100.13", "outlier"),
        ("103", "outlier"),
        ("103.1", "suspect"),
        ("97", "suspect"),
        ("50", "suspect"),
        # 102,000 / 100.02 = 1019.8 is within 3 % of 1000, 104,000 is not
        ("102000", "unit_error"),
        ("104000", "suspect"),
        ("0.1", "unit_error"),
        ("1000", "unit_error"),
    ],
)
def test_robust_names_what_is_far_from_the_median(price: str, reason: str | None) -> None:
    """Four venues between 100 and 100.03 and a fifth somewhere; an outlier is in range_bps, another asset is not."""
    at = Fraction(price)
    far = quote("kraken", price, bid=at * Fraction("0.9999"), ask=at * Fraction("1.0001"))
    answer = robust([*quotes("100", "100.01", "100.02", "100.03"), far])
    assert answer.reasons["kraken"] == reason
    assert answer.n_used == (5 if reason is None else 4)
    assert (answer.weights["kraken"] == 0) == (reason is not None)
    if reason is not None:
        assert answer.price == pytest.approx(100.015, rel=1e-15)
        spread = Fraction("0.03")
        if reason == "outlier":
            spread = max(at, Fraction("100.03")) - min(at, Fraction(100))
        assert answer.range_bps == pytest.approx(float(spread / Fraction("100.015") * 10_000))


def test_robust_scales_its_tolerance_with_the_spread_of_the_venues() -> None:
    """Worked: 99.8, 99.9, 100, 100.1, 100.5: MAD 0.1, 3.5 s = 0.519 keeps 0.5; 100.6 is out."""
    assert robust(quotes("99.8", "99.9", "100", "100.1", "100.5")).n_used == 5
    answer = robust(quotes("99.8", "99.9", "100", "100.1", "100.6"))
    assert answer.reasons["kraken"] == "outlier"
    assert answer.range_bps == pytest.approx(1e4 * 0.8 / 99.95)


@pytest.mark.parametrize(
    ("ratio", "reason"),
    [
        ("10", "unit_error"),
        ("10.3", "unit_error"),
        ("10.31", "suspect"),
        ("9.7", "unit_error"),
        ("9.69", "suspect"),
        ("0.1", "unit_error"),
        ("0.0010301", "suspect"),
        ("0.00103", "unit_error"),
        ("1e9", "unit_error"),
        ("1e-9", "unit_error"),
        ("1.03", None),
        ("1.031", "suspect"),
        ("3", "suspect"),
    ],
)
def test_identity_reasons_at_their_edges(ratio: str, reason: str | None) -> None:
    """3 % on either side of every power of ten but the zeroth."""
    assert oracle.identity_reason(Fraction(ratio) * 7, Fraction(7)) == reason


def test_robust_never_mixes_last_prices_with_quotes() -> None:
    """One quote suffices to leave the last prices out; without any they make the price."""
    lasts = [quote(name, "100", bid=None, ask=None, last="100.5") for name in VENUES[:3]]
    answer = robust([*lasts, quote("bybit", "100")])
    assert answer.price == 100
    assert answer.reasons == dict.fromkeys(VENUES[:3], "last_only") | {"bybit": None}
    alone = robust(lasts)
    assert alone.price == 100.5
    assert alone.flags == {"last_only"}
    assert alone.reasons == dict.fromkeys(VENUES[:3])
    assert math.isnan(alone.arb_index)


def test_robust_counts_only_valid_quotes_against_last_prices() -> None:
    """A crossed quote does not keep the last prices out."""
    rows = [quote("binance", "100", bid=101), quote("okx", "100", ask=None, last=100)]
    answer = robust(rows)
    assert answer.reasons == {"binance": "crossed", "okx": None}
    assert answer.flags == {"single_source", "last_only"}


def test_robust_refuses_two_rows_of_one_exchange() -> None:
    """One venue is never counted twice."""
    with pytest.raises(ValueError, match="two rows"):
        robust([quote("okx", "100"), quote("okx", "101")])


def test_volume_totals_count_the_identified_and_fresh() -> None:
    """Worked: base 1 + 2 + 4 + 8 = 15; quote 10 * 1 + 20 * 0.5 + 40 * 1 = 60, the unrated not counting."""
    reasons = {"a": None, "b": "outlier", "c": "crossed", "d": "no_rate", "e": "stale", "f": "unit_error"}
    rates = {"b": "0.5"}
    rows: list[dict[str, object]] = [
        {"exchange": name, "base_volume": 2**i, "quote_volume": 10 * 2**i, "fx_rate": rates.get(name)}
        for i, name in enumerate(reasons)
    ]
    assert oracle.volume_totals(rows, reasons) == (Fraction(15), Fraction(60))
    assert oracle.volume_totals(rows, reasons, {"disagree"}) == (None, None)
    assert oracle.volume_totals([{"exchange": "a"}], reasons) == (None, None)


def random_rows(rng: random.Random) -> list[dict[str, object]]:
    """Make rows of which most agree and some are absent, crossed, stale, far off or without volume."""
    centre = Fraction(rng.randint(1, 10**6), 10 ** rng.randint(0, 6))
    rows: list[dict[str, object]] = []
    for name in VENUES[: rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7])]:
        step = rng.choice([2, 2, 2, 2, 20, 100, 1000])
        mid = centre * (1 + Fraction(rng.randint(-step, step), 10_000))
        half = mid * Fraction(rng.randint(-1, 30), 100_000)
        rows.append(
            {
                "exchange": name,
                "bid": rng.choice([mid - half] * 9 + [None]),
                "ask": mid + half,
                "last": rng.choice([None, mid]),
                "quote_volume": rng.choice([None, 0, *(rng.randint(1, 10**9) for _ in range(6))]),
                "age_s": Fraction(rng.randint(0, 12_000), 1000),
                "time_source": rng.choice(["quote", "quote", "received"]),
            }
        )
    return rows


def same(one: RobustPrice, other: RobustPrice, scale: float = 1.0) -> bool:
    """Compare two answers whose prices differ by a factor."""
    pairs = [
        (one.price * scale, other.price),
        (one.price_variance * scale, other.price_variance),
        (one.dispersion_bps, other.dispersion_bps),
        (one.range_bps, other.range_bps),
        (one.mad_bps, other.mad_bps),
        (one.arb_index, other.arb_index),
    ]
    return (
        all(b == pytest.approx(a, rel=1e-12, abs=1e-300, nan_ok=True) for a, b in pairs)
        and one.weights == pytest.approx(other.weights, rel=1e-12)
        and (one.reasons, one.flags, one.n_used) == (other.reasons, other.flags, other.n_used)
    )


@pytest.mark.parametrize("seed", range(300))
def test_robust_invariants(seed: int) -> None:
    """Weights sum to 1 under the cap, the price lies among the kept, the spread obeys Popoviciu."""
    answer = robust(rows := random_rows(random.Random(seed)))
    kept = [row for row in rows if answer.weights[str(row["exchange"])] > 0]
    assert len(kept) == answer.n_used
    if not kept:
        assert math.isnan(answer.price)
        assert answer.flags & {"no_data", "disagree"}
        return
    assert sum(answer.weights.values()) == pytest.approx(1, rel=1e-14)
    assert max(answer.weights.values()) <= max(0.4, 1 / len(kept)) * (1 + 1e-15)
    assert all(answer.reasons[str(row["exchange"])] is None for row in kept)
    prices = [float(oracle.row_price(row)) for row in kept]
    tiny = 1e-12 * answer.price
    assert min(prices) - tiny <= answer.price <= max(prices) + tiny
    if len(kept) >= 2:
        assert answer.price_variance <= (max(prices) - min(prices)) / 2 + tiny
        assert answer.price_var_sq == pytest.approx(answer.price_variance**2)
        assert answer.dispersion_bps == pytest.approx(1e4 * answer.price_variance / answer.price)
    assert answer.mad_bps <= answer.range_bps * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(150))
def test_robust_depends_on_no_order_no_unit_and_no_scale_of_volume(seed: int) -> None:
    """Shuffled rows, prices times 7/3 and volumes times 1000 change nothing but the price's unit."""
    rng = random.Random(seed)
    rows = random_rows(rng)
    answer = robust(rows)
    assert same(answer, robust(rng.sample(rows, len(rows))))
    bigger: list[dict[str, object]] = [
        row | {"quote_volume": None if (v := oracle.exact(row["quote_volume"])) is None else v * 1000} for row in rows
    ]
    assert same(answer, robust(bigger))
    priced: list[dict[str, object]] = [
        row | {k: None if (v := oracle.exact(row[k])) is None else v * 7 / 3 for k in ("bid", "ask", "last")}
        for row in rows
    ]
    assert same(answer, robust(priced), scale=7 / 3)


@pytest.mark.parametrize("seed", range(200))
def test_capped_is_the_water_level(seed: int) -> None:
    """Every share is min(cap, level * weight) with one level for all, and they sum to 1 exactly."""
    rng = random.Random(seed)
    weights = [Fraction(rng.randint(1, 10 ** rng.randint(1, 5))) for _ in range(rng.randint(3, 9))]
    cap = Fraction(2, 5)
    shares = oracle.capped(weights, cap)
    level = max(share / weight for share, weight in zip(shares, weights, strict=True))
    assert sum(shares) == 1
    assert shares == [min(cap, level * weight) for weight in weights]


def test_capped_shares_equally_when_the_cap_cannot_hold() -> None:
    """Two venues cannot both stay below 40 %; at exactly 1/n all are at the cap."""
    assert oracle.capped([Fraction(9), Fraction(1)], Fraction(2, 5)) == [Fraction(1, 2)] * 2
    assert oracle.capped([Fraction(9), Fraction(1)], Fraction(1, 2)) == [Fraction(1, 2)] * 2
    assert oracle.capped([], Fraction(2, 5)) == []


def leg(exchange: str, base: str, mid: str, **changes: object) -> dict[str, object]:
    """Make a conversion leg one unit wide on either side of `mid`."""
    row: dict[str, object] = {"exchange": exchange, "base": base}
    return row | {"bid": Fraction(mid) - 1, "ask": Fraction(mid) + 1} | changes


USD_LEGS = [leg("kraken", "BTC", "49965"), leg("kraken", "ETH", "1999"), leg("kraken", "USDC", "90")]
USDT_LEGS = [
    leg("binance", "BTC", "50000"),
    leg("binance", "ETH", "2000"),
    leg("okx", "ETH", "1998"),
    leg("okx", "USDC", "10"),
    leg("okx", "SOL", "150"),
]


def test_pooled_ratio_is_the_median_over_bases_of_the_medians_over_venues() -> None:
    """Worked: BTC 49965/50000 = 0.9993, ETH 1999/((2000 + 1998)/2) = 1; USDC and lonely SOL do not count."""
    assert oracle.pooled_ratio(USD_LEGS, USDT_LEGS) == Fraction("0.99965")
    assert oracle.pooled_ratio(USD_LEGS, USDT_LEGS, "ETH") == Fraction("0.9993")
    assert oracle.pooled_ratio(USD_LEGS, USDT_LEGS, {"BTC", "ETH"}) is None
    # without ETH at okx: (0.9993 + 0.9995) / 2
    assert oracle.pooled_ratio(USD_LEGS, USDT_LEGS[:2]) == Fraction("0.9994")


@pytest.mark.parametrize("fault", [{"age_s": 11}, {"bid": 10**6}, {"bid": 1999}, {"ask": None}, {"bid": 0}])
def test_pooled_ratio_leaves_out_stale_and_crossed_legs(fault: dict[str, object]) -> None:
    """With ETH at okx gone the median is that of two."""
    legs = [*USDT_LEGS[:2], leg("okx", "ETH", "1998", **fault)]
    assert oracle.pooled_ratio(USD_LEGS, legs) == Fraction("0.9994")


def test_a_base_listed_on_many_venues_is_one_base() -> None:
    """Worked: ETH 0.999 by four venues, BTC and SOL 1 by one each."""
    usd = [leg("kraken", "ETH", "1998"), leg("kraken", "BTC", "50000"), leg("kraken", "SOL", "150")]
    usdt = [*(leg(name, "ETH", "2000") for name in "abcd"), leg("a", "BTC", "50000"), leg("a", "SOL", "150")]
    assert oracle.pooled_ratio(usd, usdt) == 1


def test_where_no_majority_agrees_there_is_no_ratio() -> None:
    """Two venues 2 % apart make no price of ETH; two bases 2 % apart make no ratio, three make that of two."""
    apart = [*USDT_LEGS[:2], leg("okx", "ETH", "2040")]
    assert oracle.pooled_ratio(USD_LEGS, apart) == Fraction("0.9993")
    assert oracle.pooled_ratio(USD_LEGS, apart, "BTC") is None
    assert oracle.pooled_ratio(USD_LEGS, [USDT_LEGS[0], leg("okx", "ETH", "2040")]) is None
    third = [*USD_LEGS, leg("kraken", "SOL", "149.85")]
    assert oracle.pooled_ratio(third, [USDT_LEGS[0], leg("okx", "ETH", "2040"), USDT_LEGS[4]]) == Fraction("0.999")


def test_direct_mid_is_one_number_for_all_direct_books() -> None:
    """Worked: mids 0.9993, 0.9994 and a crossed book."""
    books: list[dict[str, object]] = [
        {"exchange": "kraken", "bid": "0.9992", "ask": "0.9994"},
        {"exchange": "other", "bid": "0.9993", "ask": "0.9995"},
        {"exchange": "third", "bid": "1.1", "ask": "0.9"},
    ]
    assert oracle.direct_mid(books) == Fraction("0.99935")
    assert oracle.direct_mid(books[2:]) is None


@pytest.mark.parametrize(
    ("sources", "rate", "used"),
    [
        ((None, None, None), None, []),
        (("0.9993", None, None), "0.9993", ["direct"]),
        (("0.9993", NAN, []), "0.9993", ["direct"]),
        ((None, None, "0.9"), "0.9", ["ratio:linear"]),
        # a bad source of three cannot move it
        (("0.9993", "0.9995", "0.5"), "0.9993", ["direct", "ratio:spot", "ratio:linear"]),
        # nor can three sources that are all apart make one
        (("0.9993", "0.95", "0.9"), None, []),
        # a real depeg does
        (("0.9", "0.901", "0.902"), "0.901", ["direct", "ratio:spot", "ratio:linear"]),
        # two: the mean up to 1 % of the lower, 0.9 * 1.01 = 0.909
        (("0.9", "0.909", None), "0.9045", ["direct", "ratio:spot"]),
        ((None, "0.9091", "0.9"), None, []),
        # many ratios of one source count once: 0.99, 0.99, 0.99 against 1 and 1.001
        (("1.001", ["0.99", "0.99", "0.99"], "1"), "1", ["direct", "ratio:spot", "ratio:linear"]),
    ],
)
def test_usdt_usd_rate(sources: Sequence[oracle.Pool], rate: str | None, used: list[str]) -> None:
    """The median of the sources, each one number."""
    expected = None if rate is None else Fraction(rate)
    assert oracle.usdt_usd_rate(*sources) == (expected, used)


def test_liquidity_cost_by_hand() -> None:
    """Worked for 1,000 at 100, so 10 units a side.

    Asks 5 at 1 % and 5 at 2 %, bids the same: 2 * (0.05 + 0.10) / 10 = 3 %. For 2,000 five more a side
    at 2 % and five missing at 5 %: 2 * (0.05 + 0.20 + 0.25) / 20 = 5 %.
    """
    asks, bids = side(("102", "10"), ("101", "5")), side(("98", "10"), ("99", "5"))
    assert oracle.liquidity_cost(bids, asks, 100, 1000) == 300
    assert oracle.liquidity_cost(bids, asks, 100, 2000) == 500
    assert oracle.liquidity_cost(bids, asks, 100, 500) == 200


def test_liquidity_cost_at_its_bounds() -> None:
    """Nothing costs 1,000 bps, as does depth beyond 5 %; levels better than the reference cost nothing."""
    assert oracle.liquidity_cost([], [], 100, 1000) == 1000
    far = oracle.liquidity_cost(side(("90", "1000")), side(("110", "1000")), 100, 1000)
    assert far == 1000
    assert oracle.liquidity_cost(side(("101", "10")), side(("99", "10")), 100, 1000) == 0
    assert oracle.liquidity_cost([], side(("99", "10")), 100, 1000) == 500
    assert oracle.liquidity_cost([("99", NAN)], [("101", -5)], 100, 1000) == 1000


@pytest.mark.parametrize(
    ("cost", "score"),
    [
        ("0", 100),
        ("0.2", 97.4),
        ("1", 90),
        ("5", 74),
        ("10", 65),
        ("50", 43),
        ("100", 33),
        ("500", 10),
        ("1000", 0),
    ],
)
def test_liquidity_score_of_a_deep_book(cost: str, score: float) -> None:
    """A book endless at +-C/2 costs C for every notional: the published table, rounded as printed."""
    half = Fraction(cost) / 20_000
    endless = Fraction(10**9)
    value = oracle.liquidity_score([(100 * (1 - half), endless)], [(100 * (1 + half), endless)], 100)
    assert value == pytest.approx(score, abs=0.05 if cost == "0.2" else 0.5)
    assert value == pytest.approx(100 * (1 - math.log(1 + float(cost)) / math.log(1001)), abs=1e-12)


def test_liquidity_score_is_the_mean_over_four_notionals() -> None:
    """Depth for 1,000 and 10,000 at no cost, nothing beyond.

    100 units at the reference on either side: C = 0, 0, 900 (90 % missing at 2 * 5 %), 990.
    """
    book = [(Fraction(100), Fraction(100))]
    scores = [100, 100, *(100 * (1 - math.log(1 + c) / math.log(1001)) for c in (900, 990))]
    assert oracle.liquidity_score(book, book, 100) == pytest.approx(sum(scores) / 4)
    # 5 units: half of the first notional is missing, 95 % of the second and so on
    thin = [(Fraction(100), Fraction(5))]
    scores = [100 * (1 - math.log(1 + c) / math.log(1001)) for c in (500, 950, 995, 999.5)]
    assert oracle.liquidity_score(thin, thin, 100) == pytest.approx(sum(scores) / 4)
    assert oracle.liquidity_score([], [], 100) == 0
    assert math.isnan(oracle.liquidity_score(book, book, NAN))


def random_side(rng: random.Random, towards: int, deepest: int = 6) -> Side:
    """Make levels on a grid of 0.01 around 100, reaching across the middle now and then."""
    return [
        (Fraction(10_000 + towards * rng.randint(-25, 60), 100), Fraction(rng.randint(1, 80), 10))
        for _ in range(rng.randint(0, deepest))
    ]


@pytest.mark.parametrize("seed", range(150))
def test_liquidity_score_invariants(seed: int) -> None:
    """Another order never lowers it, a wider book never raises it, the unit of price does not matter."""
    rng = random.Random(seed)
    size = Fraction(10) ** rng.randint(-1, 4)
    bids = [(p, s * size) for p, s in random_side(rng, -1)]
    asks = [(p, s * size) for p, s in random_side(rng, 1)]
    before = oracle.liquidity_score(bids, asks, 100)
    assert 0 <= before <= 100
    added = (Fraction(rng.randint(9_000, 11_000), 100), rng.randint(1, 80) * size / 10)
    assert oracle.liquidity_score([*bids, added], asks, 100) >= before
    assert oracle.liquidity_score(bids, [*asks, added], 100) >= before
    shift = Fraction(rng.randint(0, 100), 100)
    wider = oracle.liquidity_score([(p - shift, s) for p, s in bids], [(p + shift, s) for p, s in asks], 100)
    assert wider <= before
    small_bids, small_asks = ([(p / 1000, n * 1000) for p, n in book] for book in (bids, asks))
    assert oracle.liquidity_score(small_bids, small_asks, "0.1") == pytest.approx(before, abs=1e-12)
    assert oracle.liquidity_score(bids[::-1], rng.sample(asks, len(asks)), 100) == before


@pytest.mark.parametrize(
    ("lots", "step"),
    [
        ((), 0),
        ((0, 0), 0),
        ((None, "0.01"), "0.01"),
        (("0.01", "0.001"), "0.01"),
        (("0.02", "0.03"), "0.06"),
        (("0.15", "0.1"), "0.3"),
        ((10, "0.4"), 10),
        ((0.1, 0.01), "0.1"),
        ((1e-8, 3), 3),
    ],
)
def test_common_step(lots: Sequence[oracle.Number | None], step: oracle.Number) -> None:
    """The least common multiple of decimal steps, floats read as they are written."""
    assert oracle.common_step(*lots) == Fraction(step)


ASKS = side(("101", "2"), ("100", "1"))
BIDS = side(("101.5", "1"), ("103", "1.5"))


def test_pair_optimum_without_fees() -> None:
    """Worked: 1 at 100/103, 0.5 at 101/103, 1 at 101/101.5: 3 + 1 + 0.5; spent 100 + 50.5 + 101."""
    best = pair_optimum(ASKS, BIDS, fee_buy=0, fee_sell=0)
    assert (best.quantity, best.q_star, best.rejected) == (Fraction("2.5"), Fraction("2.5"), None)
    assert best.gross_profit == best.net_profit == Fraction("4.5")
    assert best.notional == Fraction("251.5")
    assert best.fees == 0


@pytest.mark.parametrize(
    ("sides", "net", "fees"),
    [
        # effective 100.1, 101.101 | 102.897, 101.3985: 2.797 + 0.5 * 1.796 + 0.2975
        (1, "3.9925", "0.5075"),
        # effective 100.2, 101.202 | 102.794, 101.297: 2.594 + 0.5 * 1.592 + 0.095
        (2, "3.485", "1.015"),
    ],
)
def test_pair_optimum_after_fees(sides: int, net: str, fees: str) -> None:
    """Fees are 0.001 * (251.5 spent + 256 earned) for each time the legs are paid."""
    best = pair_optimum(ASKS, BIDS, fee_buy="0.001", fee_sell="0.001", sides=sides)
    assert best.gross_profit == Fraction("4.5")
    assert best.net_profit == Fraction(net)
    assert best.fees == Fraction(fees)


def test_pair_optimum_stops_where_the_marginal_edge_ends() -> None:
    """Worked: at 0.3 % a leg 101 * 1.003 = 101.303 is above 101.5 * 0.997 = 101.1955, so 1.5 units.

    Net (102.691 - 100.3) + 0.5 * (102.691 - 101.303) = 2.391 + 0.694.
    """
    best = pair_optimum(ASKS, BIDS, fee_buy="0.003", fee_sell="0.003")
    assert best.quantity == Fraction("1.5")
    assert best.net_profit == Fraction("3.085")
    assert best.gross_profit == 4


@pytest.mark.parametrize("lot", ["0.4", ("0.4", "0.3"), ("1.2", 0), 0.4, (0.4, 0.6)])
def test_pair_optimum_floors_to_the_common_lot(
    lot: oracle.Number | tuple[oracle.Number, oracle.Number],
) -> None:
    """Worked: 2.5 is floored to 2.4 by steps of 0.4 as by 1.2; 0.1 less at 101/101.5."""
    best = pair_optimum(ASKS, BIDS, fee_buy="0.001", fee_sell="0.001", lot=lot)
    assert (best.quantity, best.q_star) == (Fraction("2.4"), Fraction("2.5"))
    assert best.net_profit == Fraction("3.9925") - Fraction("0.02975")
    assert best.gross_profit == Fraction("4.45")
    assert best.notional == Fraction("241.4")


def test_pair_optimum_says_what_rejected() -> None:
    """Empty books, no edge after fees, lots and the minimums of either leg."""
    free: dict[str, Any] = {"fee_buy": 0, "fee_sell": 0}
    assert pair_optimum([], BIDS, **free).rejected == "depth"
    assert pair_optimum(ASKS, [("103", 0)], **free).rejected == "depth"
    assert pair_optimum(ASKS, BIDS, fee_buy="0.02", fee_sell="0.02").rejected == "fees"
    assert pair_optimum(side(("100", "1")), side(("100", "1")), **free).rejected == "fees"
    assert pair_optimum(ASKS, BIDS, lot=3, **free).rejected == "lots"
    nothing = pair_optimum(ASKS, BIDS, lot=3, **free)
    assert not any((nothing.quantity, nothing.gross_profit, nothing.net_profit, nothing.notional))
    assert nothing.fees == 0
    assert nothing.q_star == Fraction("2.5")


@pytest.mark.parametrize(
    ("name", "met", "missed"),
    [
        ("min_amount_buy", "2.5", "2.6"),
        ("min_amount_sell", "2.5", "2.6"),
        ("min_notional_buy", "251.5", "251.6"),
        ("min_notional_sell", "256", "256.1"),
    ],
)
def test_pair_optimum_holds_minimums_on_both_legs(name: str, met: str, missed: str) -> None:
    """Exactly the minimum is enough."""
    for find in (pair_optimum, pair_optimum_brute):
        enough: dict[str, Any] = {"fee_buy": 0, "fee_sell": 0, name: met}
        assert find(ASKS, BIDS, **enough).rejected is None
        assert find(ASKS, BIDS, **enough | {name: missed}).rejected == "lots"


def test_pair_optimum_holds_minimums_after_flooring() -> None:
    """2.5 would do, but 2 is what a lot of 1 leaves."""
    best = pair_optimum(ASKS, BIDS, fee_buy=0, fee_sell=0, lot=1, min_amount_sell="2.4")
    assert best.rejected == "lots"


def test_conversion_takes_the_executable_side() -> None:
    """Buying with USDT sells them at the bid, so costs more; a sale buys USDT at the ask, so brings less."""
    bids, asks = oracle.usd_book_in_usdt(side(("100", "1")), side(("101", "2")), "0.8", "1.25")
    assert bids == side(("80", "1"))
    assert asks == side(("126.25", "2"))
    back_bids, back_asks = oracle.usdt_book_in_usd(side(("100", "1")), side(("101", "2")), "0.8", "1.25")
    assert back_bids == side(("80", "1"))
    assert back_asks == side(("126.25", "2"))


@pytest.mark.parametrize("seed", range(400))
def test_merge_equals_brute_force(seed: int) -> None:
    """The walk and the enumeration of every quantity agree exactly, reasons included."""
    rng = random.Random(seed)
    minimums = [rng.choice([0, 0, 0, rng.randint(1, 100)]) for _ in range(4)]
    options: dict[str, Any] = {
        "fee_buy": rng.choice(["0", "0.0001", "0.0005", "0.001", "-0.0001"]),
        "fee_sell": rng.choice(["0", "0.0002", "0.0006"]),
        "sides": rng.choice([1, 2]),
        "lot": rng.choice([0, "0.1", ("0.2", "0.3"), ("0.5", 0), 2]),
        "min_amount_buy": Fraction(minimums[0], 10),
        "min_amount_sell": Fraction(minimums[1], 10),
        "min_notional_buy": 10 * minimums[2],
        "min_notional_sell": 10 * minimums[3],
    }
    asks, bids = random_side(rng, 1), random_side(rng, -1)
    answers = [find(asks, bids, **options) for find in (pair_optimum, pair_optimum_brute)]
    assert answers[0] == answers[1]
    assert answers[0].net_profit >= 0
    assert answers[0].quantity <= answers[0].q_star


def test_n_book_optimum_by_hand() -> None:
    """Worked: 1 at 100/103, 0.5 at 100/102, 0.5 at 101/102: 3 + 1 + 0.5; spent 150 + 50.5."""
    books: Books = {
        "a": (side(("103", "1")), side(("104", "9"))),
        "b": (side(("102", "1")), []),
        "c": (side(("99", "9")), side(("100", "1.5"))),
        "d": ([], side(("101", "5"))),
    }
    best = oracle.n_book_optimum(books, dict.fromkeys(books, 0))
    assert best.quantity == 2
    assert (best.net_profit, best.notional) == (Fraction("4.5"), Fraction("200.5"))
    assert best.bought == {"c": Fraction("1.5"), "d": Fraction("0.5")}
    assert best.sold == {"a": 1, "b": 1}
    assert best.rejected is None
    # at 1 % on b its bid is worth 100.98, which still takes the rest of 100 but not 101
    dear = oracle.n_book_optimum(books, dict.fromkeys(books, 0) | {"b": "0.01"})
    assert (dear.quantity, dear.net_profit) == (Fraction("1.5"), 3 + Fraction("0.49"))
    assert dear.fees == Fraction("0.51")


def test_n_book_optimum_says_why_there_is_none() -> None:
    """Books that do not cross after fees, and books without one side."""
    books: Books = {"a": (side(("99", "1")), side(("100", "1"))), "b": (side(("100.1", "1")), [])}
    assert oracle.n_book_optimum(books, {"a": "0.001", "b": "0.001"}).rejected == "fees"
    assert oracle.n_book_optimum(books, {"a": "0", "b": "0"}).net_profit == Fraction("0.1")
    assert oracle.n_book_optimum(books, {"a": "0.0005", "b": "0"}, sides=2).net_profit == 0
    assert oracle.n_book_optimum({"a": ([], side(("100", "1")))}, {"a": 0}).rejected == "depth"
    assert oracle.n_book_optimum({}, {}).rejected == "depth"


def random_books(rng: random.Random) -> tuple[Books, dict[str, str]]:
    """Draw two to six venues with up to eight levels a side and fees of 0 to 10 bps."""
    names = VENUES[: rng.randint(2, 6)]
    books = {name: (random_side(rng, -1, 8), random_side(rng, 1, 8)) for name in names}
    return books, {name: rng.choice(["0", "0.0002", "0.0005", "0.001"]) for name in names}


@pytest.mark.parametrize("seed", range(100))
def test_n_book_optimum_invariants(seed: int) -> None:
    """One clearing price, no order of the venues, and another order or a lower fee never hurts."""
    rng = random.Random(seed)
    books, fees = random_books(rng)
    best = oracle.n_book_optimum(books, fees)
    assert sum(best.bought.values()) == sum(best.sold.values()) == best.quantity
    names = rng.sample(sorted(books), len(books))
    shuffled: Books = {n: (books[n][0][::-1], rng.sample(books[n][1], len(books[n][1]))) for n in names}
    assert oracle.n_book_optimum(shuffled, fees) == best
    lucky = names[0]
    more: Books = books | {lucky: ([*books[lucky][0], (Fraction(101), Fraction(3))], books[lucky][1])}
    assert oracle.n_book_optimum(more, fees).net_profit >= best.net_profit
    assert oracle.n_book_optimum(books, fees | {lucky: "0"}).net_profit >= best.net_profit
    assert oracle.n_book_optimum(books, fees, sides=2).net_profit <= best.net_profit


@pytest.mark.parametrize("seed", range(100))
def test_n_books_of_one_direction_are_a_pair(seed: int) -> None:
    """Asks of one venue and bids of another: the pair's optimum."""
    rng = random.Random(seed)
    asks, bids = random_side(rng, 1), random_side(rng, -1)
    pair = pair_optimum(asks, bids, fee_buy="0.0005", fee_sell="0.0002", sides=2)
    both = oracle.n_book_optimum({"x": ([], asks), "y": (bids, [])}, {"x": "0.0005", "y": "0.0002"}, sides=2)
    assert (pair.quantity, pair.net_profit, pair.gross_profit) == (
        both.quantity,
        both.net_profit,
        both.gross_profit,
    )
    assert (pair.notional, pair.fees, pair.rejected) == (both.notional, both.fees, both.rejected)


def effective(books: Mapping[str, tuple[Side, Side]], fees: Mapping[str, str], sides: int) -> tuple[Side, Side]:
    """List all bids and asks with their prices after fees."""
    bids = [(p * (1 - sides * Fraction(fees[n])), s) for n, (side_, _) in books.items() for p, s in side_]
    asks = [(p * (1 + sides * Fraction(fees[n])), s) for n, (_, side_) in books.items() for p, s in side_]
    return bids, asks


def n_book_lp(books: Mapping[str, tuple[Side, Side]], fees: Mapping[str, str], sides: int = 1) -> float:
    """Give the net profit as a linear program: what is bought is sold, no more than is offered.

    Prices are taken from the lowest bid and in units of their range, which the balance of bought and sold
    allows; so the solver's tolerances do not swallow an edge.
    """
    optimize = pytest.importorskip("scipy.optimize")
    bids, asks = effective(books, fees, sides)
    if not bids or not asks:
        return 0.0
    prices = [p for p, _ in bids + asks]
    low, span = min(prices), max(prices) - min(prices) or Fraction(1)
    gains = [(p - low) / span for p, _ in bids] + [(low - p) / span for p, _ in asks]
    answer = optimize.linprog(
        [-float(gain) for gain in gains],
        A_eq=[[1.0] * len(bids) + [-1.0] * len(asks)],
        b_eq=[0.0],
        bounds=[(0.0, float(size)) for _, size in bids + asks],
        method="highs",
    )
    assert answer.status == 0
    return -float(answer.fun) * float(span)


def pair_lp(asks: Side, bids: Side, fee_buy: Fraction, fee_sell: Fraction, sides: int) -> float:
    """Give the net profit as a transportation problem: one flow from every ask to every bid."""
    optimize = pytest.importorskip("scipy.optimize")
    if not asks or not bids:
        return 0.0
    edges = [[b * (1 - sides * fee_sell) - a * (1 + sides * fee_buy) for b, _ in bids] for a, _ in asks]
    flat = [edge for row in edges for edge in row]
    widest = max(map(abs, flat)) or Fraction(1)
    rows = [[float(i == k) for i in range(len(asks)) for _ in bids] for k in range(len(asks))]
    columns = [[float(j == k) for _ in asks for j in range(len(bids))] for k in range(len(bids))]
    answer = optimize.linprog(
        [-float(edge / widest) for edge in flat],
        A_ub=rows + columns,
        b_ub=[float(size) for _, size in asks + bids],
        bounds=(0.0, None),
        method="highs",
    )
    assert answer.status == 0
    return -float(answer.fun) * float(widest)


@pytest.mark.parametrize("seed", range(250))
def test_n_book_optimum_equals_the_linear_program(seed: int) -> None:
    """Greedy merge against HiGHS, to 1e-9 of the profit."""
    rng = random.Random(seed)
    books, fees = random_books(rng)
    sides = rng.choice([1, 2])
    best = oracle.n_book_optimum(books, fees, sides)
    assert n_book_lp(books, fees, sides) == pytest.approx(float(best.net_profit), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(250))
def test_pair_optimum_equals_the_linear_program(seed: int) -> None:
    """The pair without lots against HiGHS, to 1e-9 of the profit."""
    rng = random.Random(seed)
    asks, bids = random_side(rng, 1, 8), random_side(rng, -1, 8)
    fee_buy, fee_sell = Fraction(rng.randint(0, 10), 10_000), Fraction(rng.randint(0, 10), 10_000)
    sides = rng.choice([1, 2])
    best = pair_optimum(asks, bids, fee_buy=fee_buy, fee_sell=fee_sell, sides=sides)
    solved = pair_lp(asks, bids, fee_buy, fee_sell, sides)
    assert solved == pytest.approx(float(best.net_profit), rel=1e-9, abs=1e-12)
