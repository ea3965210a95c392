"""Sums of liquidations, against plain addition of fractions."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

import xex
from xex import activity
from xex.errors import ConfigError, SchemaError
from xex.liquidations import Liquidations
from xex.model import schema

HOUR = 3_600_000
START = 1_794_996_000_000
assert START % HOUR == 0

COLUMNS = {"side": "position_side", "exchange": "exchange", "venue": "venue", "source": "source", "bar": "start"}


def rows_of(seed: int, count: int) -> list[dict[str, Any]]:
    """Return liquidations whose sizes are sixteenths, so that floats add exactly."""
    dice = np.random.default_rng(seed)

    def pick(*words: str) -> str:
        return words[int(dice.integers(len(words)))]

    made = []
    for _ in range(count):
        venue = pick("okx", "htx", "binance")
        made.append(
            {
                "exchange": f"{venue}_main", "venue": venue, "group": pick("BTC:linear", "BTC:inverse", "ETH:linear"),
                "currency": pick("USDT", "USD"), "position_side": pick("long", "short", "unknown"),
                "source": pick("venue", "a source"), "size": int(dice.integers(1, 1000)) / 16,
                "notional": int(dice.integers(1, 1000)) / 4, "complete": bool(dice.integers(2)),
                "exchange_time": float(START + int(dice.integers(-3 * HOUR, 3 * HOUR))),
            }
        )  # fmt: skip
    return made


def added(rows: list[dict[str, Any]], by: tuple[str, ...], width: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Add one row after the other."""
    sums: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, Fraction(0), Fraction(0), True])
    for row in rows:
        told = {**row, "start": int(row["exchange_time"]) // width * width}
        cell = sums[row["group"], row["currency"], *(told[COLUMNS[name]] for name in by)]
        cell[0] += 1
        cell[1] += Fraction(row["size"])
        cell[2] += Fraction(row["notional"])
        cell[3] = cell[3] and row["complete"]
    return {key: tuple(cell) for key, cell in sums.items()}


def framed(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    return schema.frame(columns, "liquidations")


BY = [(), *((one,) for one in COLUMNS), *itertools.permutations(("side", "venue", "bar")), tuple(COLUMNS)]


@pytest.mark.parametrize("by", BY, ids=lambda by: "-".join(by) or "nothing")
@pytest.mark.parametrize(("every", "width"), [("1h", HOUR), ("5min", HOUR // 12), ("1d", 24 * HOUR)])
def test_sums_are_what_adding_row_by_row_gives(by: tuple[str, ...], every: str, width: int) -> None:
    rows = rows_of(len(by), 400)
    found = activity.liquidations_by(framed(rows), by=by, every=every)
    assert {name: str(kind) for name, kind in found.dtypes.items()} == dict(schema.SCHEMAS["liquidation_sums"])
    expected = added(rows, by, width)
    told = found.assign(start=found["start"].astype("int64"))
    keys = list(told[["group", "currency", *(COLUMNS[name] for name in by)]].itertuples(index=False, name=None))
    assert keys == sorted(expected)
    cells = found[["count", "base", "notional", "complete"]].itertuples(index=False, name=None)
    assert {key: tuple(cell) for key, cell in zip(keys, cells, strict=True)} == {
        key: (count, float(base), float(notional), complete)
        for key, (count, base, notional, complete) in expected.items()
    }
    assert not found["partial"].any()
    for name, column in COLUMNS.items():
        assert found[column].isna().all() == (name not in by)


def test_sums_of_millions_take_no_loop() -> None:
    rows = framed(rows_of(1, 500))
    many = pd.concat([rows] * 400, ignore_index=True)
    whole, part = activity.liquidations_by(many), activity.liquidations_by(rows)
    np.testing.assert_allclose(whole["base"], 400 * part["base"])
    np.testing.assert_array_equal(whole["count"], 400 * part["count"])


def test_currencies_are_not_added_and_bars_begin_at_whole_hours() -> None:
    rows = [
        {"exchange": "a", "group": "BTC:linear", "currency": currency, "position_side": "long", "size": 1.0,
         "notional": 50_000.0, "exchange_time": float(START + late)}
        for currency, late in (("USDT", 0), ("USDT", HOUR - 1), ("USDT", HOUR), ("USD", 5))
    ]  # fmt: skip
    found = activity.liquidations_by(framed(rows), by="bar")
    assert found[["currency", "count", "notional"]].to_numpy().tolist() == [
        ["USD", 1.0, 50_000.0], ["USDT", 2.0, 100_000.0], ["USDT", 1.0, 50_000.0],
    ]  # fmt: skip
    assert found["start"].tolist() == [pd.Timestamp(START, unit="ms", tz=UTC)] * 2 + [
        pd.Timestamp(START + HOUR, unit="ms", tz=UTC)
    ]


def test_what_is_absent_is_not_zero() -> None:
    rows = [
        {"exchange": "a", "group": "g", "currency": "USD", "position_side": "long", "size": np.nan, "notional": np.nan,
         "exchange_time": np.nan},
        {"exchange": "a", "group": "g", "currency": "USD", "position_side": "short", "size": 2.0, "notional": np.nan,
         "exchange_time": float(START)},
        {"exchange": "a", "group": "g", "currency": "USD", "position_side": "short", "size": 1.0, "notional": 5.0,
         "exchange_time": float(START)},
    ]  # fmt: skip
    found = activity.liquidations_by(framed(rows), by=["side", "bar"])
    assert found["position_side"].tolist() == ["long", "short"]
    np.testing.assert_array_equal(found["base"], [np.nan, 3.0])
    np.testing.assert_array_equal(found["notional"], [np.nan, 5.0])
    assert found["partial"].tolist() == [True, True]
    assert found["start"].isna().tolist() == [True, False]
    assert not found["complete"].any()


def test_no_rows_no_sums_and_an_answer_is_taken_as_it_is() -> None:
    for by in BY:
        empty = activity.liquidations_by(framed([]), by=by)
        assert (len(empty), list(empty.columns)) == (0, list(schema.SCHEMAS["liquidation_sums"]))
    frame = framed(rows_of(2, 20))
    frame.attrs = {"asked": [], "answered": [], "dropped": {}}
    answer = Liquidations(frame, {})
    pd.testing.assert_frame_equal(activity.liquidations_by(answer), activity.liquidations_by(frame))  # type: ignore[arg-type]
    before = frame.copy()
    activity.liquidations_by(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert xex.activity is activity


def test_a_group_is_derived_where_it_is_absent() -> None:
    frame = pd.DataFrame({"base": ["BTC", "BTC"], "kind": ["linear", "inverse"], "quote": ["USDT", "USD"],
        "size": [1.0, 2.0], "notional": [3.0, 4.0]})  # fmt: skip
    found = activity.liquidations_by(frame, by=())
    assert found[["group", "currency", "base"]].to_numpy().tolist() == [
        ["BTC:inverse", "USD", 2.0], ["BTC:linear", "USDT", 1.0],
    ]  # fmt: skip


@pytest.mark.parametrize("every", ["", "soon", "0h", "-1h", "NaT", 3, None, "900d", datetime(2026, 1, 1, tzinfo=UTC)])
def test_a_width_that_is_none_is_refused(every: Any) -> None:
    with pytest.raises(ConfigError, match="the width of a bar is expected, such as 5min, 1h or 1d"):
        activity.liquidations_by(framed(rows_of(3, 3)), every=every)


def test_what_is_missing_is_named() -> None:
    frame = framed(rows_of(4, 3))
    with pytest.raises(
        ConfigError, match="by='colour': liquidations are told apart by side, exchange, venue, source, bar"
    ):
        activity.liquidations_by(frame, by="colour")
    for column, by in (("size", "side"), ("exchange", "exchange"), ("exchange_time", "bar")):
        with pytest.raises(SchemaError, match=column):
            activity.liquidations_by(frame.drop(columns=column), by=by)
    with pytest.raises(SchemaError, match="base"):
        activity.liquidations_by(frame.drop(columns=["group", "base"]), by=())
    with pytest.raises(SchemaError, match="takes a pandas DataFrame, not list"):
        activity.liquidations_by([{"size": 1.0}])  # type: ignore[arg-type]
