"""What the analytics make of rows that are there twice, and of values of another type."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from xex.analytics import liquidity, pricing, volume
from xex.errors import ConfigError, SchemaError


def overlapping() -> pd.DataFrame:
    """Two downloads put together: a's and b's rows of both, and c's and d's of the second."""
    return pd.DataFrame(
        {
            "exchange": ["a", "b", "a", "b", "c", "d"], "base": "BTC", "quote": "USD",
            "bid": [90.0, 90.0, 99.0, 101.0, 103.0, 105.0], "ask": [92.0, 92.0, 101.0, 103.0, 105.0, 107.0],
            "age_ms": [3_000.0, 3_000.0, 1.0, 1.0, 1.0, 1.0], "base_volume": 2.0, "quote_volume": 200.0,
        }
    )  # fmt: skip


def test_a_row_that_is_there_twice_counts_once_the_youngest() -> None:
    row = pricing.aggregate(overlapping(), "median", max_disagree=0.2).iloc[0]
    # The mids are 100, 102, 104, 106; with the older rows their median would be 101.
    assert (row["price"], row["n_asked"], row["n_used"], row["flags"]) == (103.0, 4.0, 4.0, "duplicates")
    told = pricing.contributions(overlapping(), "median", max_disagree=0.2)
    assert told["excluded_reason"].fillna("").tolist() == ["duplicate", "duplicate", "", "", "", ""]


def test_a_row_that_is_there_twice_is_one_vote_and_one_volume() -> None:
    frame = overlapping().assign(age_ms=1.0)
    frame.loc[[0, 1, 2, 3], ["bid", "ask"]] = [[90.0, 92.0], [90.0, 92.0], [90.0, 92.0], [100.0, 102.0]]
    # a at 91, b at 101, c at 104, d at 106: three of four agree within 5 %, and a is not outvoted by its repetition.
    row = pricing.aggregate(frame, max_disagree=0.05).iloc[0]
    assert (row["n_asked"], row["n_used"]) == (4.0, 3.0)
    total = volume.total(frame.assign(bid=99.0, ask=101.0)).iloc[0]
    assert (total["base_volume"], total["volume"], total["n_venues"], total["hhi"]) == (8.0, 800.0, 4.0, 0.25)


def test_of_rows_of_equal_age_the_last_one_stands() -> None:
    frame = overlapping().drop(columns="age_ms")
    told = pricing.contributions(frame, "median", max_disagree=0.2)
    assert told["excluded_reason"].fillna("").tolist() == ["duplicate", "duplicate", "", "", "", ""]


def test_an_exchange_that_lists_an_asset_in_two_currencies_or_instruments_is_there_twice_rightly() -> None:
    frame = overlapping().iloc[2:].assign(currency="USD", exchange=["a", "b", "c", "c"])
    for column, values in (("quote", ["USD", "USD", "USD", "USDT"]), ("instrument", ["p", "p", "p", "q"])):
        row = pricing.aggregate(frame.assign(**{column: values}), max_disagree=0.2).iloc[0]
        assert (row["n_asked"], row["n_used"], pd.isna(row["flags"])) == (4.0, 4.0, True)


def test_bars_that_are_there_twice_count_once_the_last() -> None:
    bars = pd.DataFrame(
        {
            "exchange": ["a", "b", "a", "c", "a"], "time": [0, 0, 0, 0, 60_000], "base": "BTC", "quote": "USD",
            "close": [90.0, 100.0, 101.0, 102.0, 103.0], "volume": 1.0,
        }
    )  # fmt: skip
    found = pricing.series(bars, "median", max_disagree=0.5)
    assert found["price"].tolist() == [101.0, 103.0]
    assert found["n_asked"].tolist() == [3.0, 1.0]
    assert found["flags"].tolist() == ["duplicates", "single_source"]


@pytest.mark.parametrize(
    ("question", "given", "named"),
    [
        (pricing.aggregate, {"max_disagree": "x"}, r"max_disagree is .*'x'"),
        (pricing.gaps, {"max_age_s": None}, r"max_age_s is seconds.*None"),
        (pricing.aggregate, {"max_age_s": "5"}, r"max_age_s is seconds.*'5'"),
        (pricing.aggregate, {"method": ["robust"]}, r"unknown method \['robust'\]"),
    ],
)
def test_a_value_of_another_type_is_named(question: Any, given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        question(overlapping(), **given)


@pytest.mark.parametrize("question", [pricing.series, liquidity.amihud])
def test_seconds_are_not_taken_for_milliseconds(question: Any) -> None:
    bars = pd.DataFrame(
        {"exchange": "a", "time": [1_700_000_000, 1_700_000_060], "base": "BTC", "quote": "USD", "close": 100.0,
         "volume": 1.0, "quote_volume": 100.0}
    )  # fmt: skip
    with pytest.raises(SchemaError, match="1700000060 are seconds; milliseconds since 1970 are expected"):
        question(bars)
    question(bars.assign(time=bars["time"] * 1_000))


def test_a_bare_number_is_no_length_of_a_bar() -> None:
    bars = pd.DataFrame(
        {"exchange": "a", "time": [0, 60_000], "base": "BTC", "quote": "USD", "close": 100.0, "volume": 1.0}
    )
    with pytest.raises(ConfigError, match="such as '1h', not the bare number 60"):
        liquidity.amihud(bars, interval=60)  # type: ignore[arg-type]
