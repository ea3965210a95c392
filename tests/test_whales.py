"""Large trades, walls and flows: by hand, and against a plain reading of the definition one order after the other."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xex
from xex.analytics.trailing import order_statistics, range_quantiles
from xex.model import schema

FULL = bool(os.environ.get("XEX_FULL"))
START = 1_790_000_000_000
HOUR = 3_600_000


def tape(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return a tape; what a row does not say is a purchase of one bitcoin for 100,000 dollars on venue a."""
    usual: dict[str, Any] = {
        "exchange": "a", "venue": "a", "instrument": "BTC/USD", "base": "BTC", "quote": "USD", "currency": "USD",
        "group": "BTC:spot", "side": "buy", "price": 100_000.0, "size": 1.0, "at": 0, "trade_id": None, "flags": None,
        "response_id": None,
    }  # fmt: skip
    cells = [usual | row for row in rows]
    frame = pd.DataFrame({name: [row[name] for row in cells] for name in cells[0] if name != "at"})
    frame = frame.astype({str(name): "str" for name in frame if name not in {"price", "size"}})
    return frame.assign(exchange_time=pd.to_datetime([START + row["at"] for row in cells], unit="ms", utc=True))


def seen(found: pd.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    return list(found[list(names)].itertuples(index=False, name=None))


def at(found: pd.DataFrame, name: str = "time") -> list[int]:
    return [round(stamp.timestamp() * 1e3) - START for stamp in found[name]]


# --- thresholds ------------------------------------------------------------------------------------------------------


def test_a_million_of_bitcoin_and_ether_a_tenth_of_it_of_others() -> None:
    rows = [
        {"base": base, "instrument": f"{base}/USD", "price": 1.0, "size": size, "at": place * HOUR}
        for place, (base, size) in enumerate([
            ("BTC", 1_000_000.0), ("BTC", 999_999.99), ("ETH", 1_000_000.0), ("ETH", 999_999.0), ("SOL", 100_000.0),
            ("SOL", 99_999.99),
        ])
    ]  # fmt: skip
    found = xex.activity.whales(tape(*rows))
    assert seen(found, "base", "notional", "threshold") == [
        ("SOL", 100_000, 100_000), ("ETH", 1_000_000, 1_000_000), ("BTC", 1_000_000, 1_000_000),
    ]  # fmt: skip
    assert set(found["threshold_by"]) == {"floor: fewer than 10,000 orders before it"}


def test_a_floor_of_one_s_own_for_all_or_for_some() -> None:
    rows: list[dict[str, Any]] = [
        {"size": 2.0},
        {"base": "SOL", "instrument": "SOL/USD", "price": 100.0, "size": 600.0},
    ]
    assert len(xex.activity.whales(tape(*rows))) == 0
    assert list(xex.activity.whales(tape(*rows), floor=100_000)["base"]) == ["BTC"]
    assert list(xex.activity.whales(tape(*rows), floor={"SOL": 60_000})["base"]) == ["SOL"]


def test_the_quantile_is_of_the_orders_before_it_alone() -> None:
    # 99 orders of 1 to 99 thousand dollars, an hour apart each second; then one of 98 and one of 99 thousand.
    rows = [{"price": 1e3, "size": float(size), "at": 1000 * size} for size in range(1, 100)]
    rows += [{"price": 1e3, "size": 98.0, "at": 200_000}, {"price": 1e3, "size": 99.0, "at": 201_000}]
    found = xex.activity.whales(tape(*rows), floor=1_000, quantile=0.99, least=99)
    # The first one: 98 · 0.99 = 97.02 places above 1: 98,020. The second: of 100, with 98 twice, 99 · 0.99 = 98.01
    # places: between 98,000 (place 98) and 99,000 (place 99), 98,010.
    (row,) = (found[found["time"] == pd.Timestamp(START + 201_000, unit="ms", tz="UTC")]).to_dict("records")
    assert row["quantile_usd"] == pytest.approx(98_010)
    assert row["threshold"] == row["quantile_usd"]
    assert row["threshold_by"] == "quantile"
    assert row["prior_trades"] == 100
    assert 200_000 not in at(found)


def test_a_floor_above_the_quantile_decides_and_says_so() -> None:
    rows = [{"size": 0.001, "at": second * 1000} for second in range(20)] + [{"size": 10.0, "at": 60_000}]
    (row,) = xex.activity.whales(tape(*rows), least=20).to_dict("records")
    assert (row["threshold_by"], row["threshold"], row["prior_trades"]) == ("floor", 1_000_000, 20)
    assert row["quantile_usd"] == pytest.approx(100)


def test_what_is_older_than_the_window_does_not_count() -> None:
    rows = [{"size": 50.0, "at": 0}, *({"size": 1.0, "at": 2 * HOUR + 1000 * place} for place in range(10))]
    rows += [{"size": 20.0, "at": 2 * HOUR + 60_000}]
    by_window = {
        window: at(xex.activity.whales(tape(*rows), quantile=0.999, least=5, window=window)) for window in ("1h", "24h")
    }
    # Within a day one order of fifty stands before it, above which it is not; within an hour nothing is near it.
    assert by_window == {"1h": [2 * HOUR + 60_000, 0], "24h": [0]}


def test_the_worth_of_a_currency_is_said_and_never_silent() -> None:
    dollars = {"size": 10.0}
    tethers = {"size": 10.0, "quote": "USDT", "currency": "USDT", "instrument": "BTC/USDT"}
    euros = {"size": 10.0, "quote": "EUR", "currency": "EUR", "instrument": "BTC/EUR"}
    found = xex.activity.whales(tape(dollars, tethers, euros))
    assert sorted(seen(found, "currency", "usd_rate", "usd_source")) == [
        ("USD", 1.0, "identity"), ("USDT", 1.0, "par: no rate was given"),
    ]  # fmt: skip
    assert found.attrs["unjudged"] == {"EUR": 1}
    rates = {"USD": 1.0, "USDT": 0.9, "EUR": 1.1}
    frame = tape(dollars, tethers, euros)
    found = xex.activity.whales(frame.assign(usd_rate=frame["currency"].map(rates)))
    # A million tethers at 0.9 are no million dollars; a million euros at 1.1 are.
    rows = {row["currency"]: row for row in found.to_dict("records")}
    assert set(rows) == {"USD", "EUR"}
    assert rows["EUR"]["usd_source"] == "given"
    assert rows["EUR"]["notional_usd"] == pytest.approx(1_100_000)
    assert rows["EUR"]["threshold"] == pytest.approx(1_000_000 / 1.1)
    assert rows["EUR"]["threshold_usd"] == 1_000_000


# --- orders and duplicates -------------------------------------------------------------------------------------------


def test_an_order_is_put_together_from_what_it_took() -> None:
    parts = [{"price": 100_000.0 + place, "size": 4.0, "at": 25 * place, "trade_id": f"{place}"} for place in range(5)]
    (row,) = xex.activity.whales(tape(*parts)).to_dict("records")
    assert (row["n_trades"], row["quantity"], row["trade_id"]) == (5, 20, "0")
    assert row["notional"] == 4 * (5 * 100_000 + 10)
    assert row["price"] == 100_002
    assert (row["time"] - row["start"]).total_seconds() == 0.1


@pytest.mark.parametrize(
    ("change", "orders"),
    [
        ({"at": 100}, [2]), ({"at": 101}, [1, 1]), ({"side": "sell"}, [1, 1]), ({"venue": "b"}, [1, 1]),
        ({"instrument": "BTC/USDT"}, [1, 1]), ({"at": 0}, [2]),
    ],
)  # fmt: skip
def test_what_belongs_to_one_order(change: dict[str, Any], orders: list[int]) -> None:
    found = xex.activity.whales(tape({"trade_id": "1"}, {"trade_id": "2", **change}), floor=50_000)
    assert found["n_trades"].tolist() == orders


def test_a_busy_minute_is_not_one_order() -> None:
    # A purchase each 50 ms: each order has those of its first 100 ms, three of them.
    rows = [{"at": 50 * place, "trade_id": str(place)} for place in range(12)]
    found = xex.activity.whales(tape(*rows), floor=50_000)
    assert found["n_trades"].tolist() == [3, 3, 3, 3]
    assert at(found, "start") == [450, 300, 150, 0]


def test_what_is_bundled_already_is_joined_within_a_millisecond_alone() -> None:
    rows = [{"at": 0, "price": 100_000.0 + place, "trade_id": str(place), "flags": "bundled"} for place in range(3)]
    rows += [{"at": 50, "trade_id": "9", "flags": "bundled,substitute"}]
    found = xex.activity.whales(tape(*rows), floor=50_000)
    assert seen(found, "n_trades", "quantity") == [(1, 1), (3, 3)]


def test_a_taker_s_order_id_makes_an_order_however_long_it_took() -> None:
    rows = [{"at": 5_000 * place, "trade_id": str(place)} for place in range(4)]
    frame = tape(*rows, {"at": 5_001, "trade_id": "other"}).assign(order_id=[*"xxyx", ""])
    found = xex.activity.whales(frame, floor=50_000)
    assert sorted(seen(found, "n_trades", "trade_id")) == [(1, "2"), (1, "other"), (3, "0")]


def test_a_trade_that_came_twice_counts_once() -> None:
    whale, small = {"size": 12.0, "trade_id": "7", "at": 500}, {"size": 0.1, "trade_id": "8", "at": 900}
    pages = [{**row, "response_id": page} for page in ("new", "old") for row in (whale, small)]
    found = xex.activity.whales(tape(*pages))
    assert seen(found, "quantity", "n_trades") == [(12, 1)]
    assert found.attrs["duplicates"] == 2
    # The same id on another venue is another trade, and so it is of another instrument.
    assert len(xex.activity.whales(tape(whale, {**whale, "venue": "b"}, {**whale, "instrument": "BTC/USDT"}))) == 3


def test_without_ids_twins_of_one_answer_are_two_and_the_same_ones_of_the_next_are_not() -> None:
    twin = {"size": 6.0, "at": 500}
    pages = [{**twin, "response_id": page} for page in ("new", "new", "old", "old")]
    found = xex.activity.whales(tape(*pages))
    assert seen(found, "quantity", "n_trades") == [(12, 2)]
    assert found.attrs["duplicates"] == 2


def test_what_cannot_be_a_trade_is_counted_and_not_judged() -> None:
    bad = [{"price": np.nan}, {"size": 0.0}, {"size": -5.0}]
    found = xex.activity.whales(tape({"size": 11.0}, *bad))
    assert found["quantity"].tolist() == [11]
    assert found.attrs["unusable"] == 3


def test_a_side_that_is_not_told_is_unknown() -> None:
    assert xex.activity.whales(tape({"size": 11.0, "side": None}))["side"].tolist() == ["unknown"]


# --- against the definition ------------------------------------------------------------------------------------------


def plainly(rows: list[dict[str, Any]], floor: int, quantile: Fraction, window: int, least: int) -> set[Any]:
    """Return (venue, side, start, end, size) of what is large, one order after the other, in whole numbers."""
    orders: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: row["at"]):
        lane = (row["venue"], row["side"])
        last = next((order for order in reversed(orders) if order["lane"] == lane), None)
        if last is not None and row["at"] - last["start"] <= 100:
            last["end"], last["size"] = row["at"], last["size"] + row["size"]
        else:
            orders.append({"lane": lane, "start": row["at"], "end": row["at"], "size": row["size"]})
    found = set()
    for order in orders:
        before = sorted(
            other["size"]
            for other in orders
            if other["lane"][0] == order["lane"][0] and order["start"] - window <= other["end"] < order["start"]
        )
        limit = Fraction(floor)
        if len(before) >= least:
            place = (len(before) - 1) * quantile
            low = before[int(place)]
            high = before[min(int(place) + 1, len(before) - 1)]
            limit = max(limit, low + (high - low) * (place - int(place)))
        if order["size"] >= limit:
            found.add((*order["lane"], order["start"], order["end"], order["size"]))
    return found


ROWS = st.lists(
    st.fixed_dictionaries({
        "venue": st.sampled_from("ab"), "side": st.sampled_from(["buy", "sell"]),
        "at": st.integers(0, 4_000), "size": st.integers(1, 40),
    }),
    min_size=1,
    max_size=60,
)  # fmt: skip


def judged(rows: list[dict[str, Any]], **options: Any) -> set[Any]:
    frame = tape(*({**row, "price": 1.0, "size": float(row["size"])} for row in rows))
    found = xex.activity.whales(frame.assign(trade_id=[str(place) for place in range(len(rows))]), **options)
    starts, ends = at(found, "start"), at(found)
    sizes = [int(size) for size in found["quantity"]]
    return set(zip(found["venue"], found["side"], starts, ends, sizes, strict=True))


@settings(max_examples=2_000 if FULL else 100, deadline=None)
@given(ROWS, st.integers(1, 30), st.sampled_from([Fraction(1, 2), Fraction(3, 4)]), st.integers(50, 3_000))
def test_verdicts_are_those_of_the_definition(
    rows: list[dict[str, Any]], floor: int, quantile: Fraction, window: int
) -> None:
    found = judged(rows, floor=floor, quantile=float(quantile), window=f"{window}ms", least=3)
    assert found == plainly(rows, floor, quantile, window, 3)


@settings(max_examples=1_200 if FULL else 60, deadline=None)
@given(ROWS, ROWS, st.integers(0, 4_000))
def test_nothing_that_follows_changes_a_verdict(
    before: list[dict[str, Any]], after: list[dict[str, Any]], cut: int
) -> None:
    # An order begun 100 ms before the cut is over then; whatever follows is a thousand times as large.
    options: dict[str, Any] = {"floor": 5, "quantile": 0.5, "window": "1s", "least": 3}
    prefix = [row for row in before if row["at"] <= cut] or [before[0] | {"at": 0}]
    others = [row | {"at": row["at"] + cut + 1, "size": row["size"] * 1000} for row in after]
    alone, whole = (
        {verdict for verdict in judged(rows, **options) if verdict[2] + 100 <= cut}
        for rows in (prefix, prefix + others)
    )
    assert alone == whole


@settings(max_examples=2_000 if FULL else 150, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=80),
    st.randoms(use_true_random=False),
    st.sampled_from([0.5, 0.9]),
)
def test_quantiles_of_ranges_are_those_of_sorting_each(values: list[int], random: Any, quantile: float) -> None:
    ranges = [sorted(random.randint(0, len(values)) for _ in range(2)) for _ in range(20)]
    low, high = np.array(ranges, dtype=np.intp).T
    found = range_quantiles(np.array(values, dtype=float), low, high, quantile)
    for value, (first, last) in zip(found, ranges, strict=True):
        part = values[first:last]
        if part:
            assert value == pytest.approx(float(np.quantile(part, quantile)), rel=1e-12, abs=1e-12)
        else:
            assert np.isnan(value)


def test_the_k_th_smallest_of_every_range_of_a_permutation() -> None:
    values = np.array([5.0, 1.0, 4.0, 1.0, 3.0, 9.0, 2.0])
    asked = [(low, high, k) for low in range(7) for high in range(low + 1, 8) for k in range(high - low)]
    low, high, k = (np.array(column, dtype=np.intp) for column in zip(*asked, strict=True))
    expected = [sorted(values[one:other])[place] for one, other, place in asked]
    assert order_statistics(values, low, high, k).tolist() == expected


def test_a_long_tape_finds_what_was_planted_and_only_that() -> None:
    # 30,000 orders of a dollar to a thousand, two seconds apart; planted are three of a million, one of them in parts.
    random = np.random.default_rng(5)
    rows = 30_000
    frame = pd.DataFrame({
        "exchange": "a", "instrument": "SOL/USD", "base": "SOL", "quote": "USD",
        "side": np.where(random.random(rows) < 0.5, "buy", "sell"), "price": 1.0,
        "size": np.floor(1 + 999 * random.random(rows)), "trade_id": np.arange(rows).astype(str),
        "exchange_time": pd.to_datetime(START + 2_000 * np.arange(rows), unit="ms", utc=True),
    })  # fmt: skip
    frame.loc[[100, 20_000], "size"] = 1_000_000.0
    split = frame.loc[[25_000]].assign(size=250_000.0)
    parts = [
        split.assign(trade_id=f"part{n}", exchange_time=split["exchange_time"] + pd.Timedelta(milliseconds=20 * n))
        for n in range(4)
    ]
    found = xex.activity.whales(pd.concat([frame.drop(25_000), *parts, *parts], ignore_index=True))
    assert seen(found, "trade_id", "n_trades", "prior_trades", "threshold_by") == [
        ("part0", 4, 25_000, "floor"), ("20000", 1, 20_000, "floor"),
        ("100", 1, 100, "floor: fewer than 10,000 orders before it"),
    ]  # fmt: skip


# --- flows -----------------------------------------------------------------------------------------------------------


def test_net_flow_is_bought_less_sold() -> None:
    begun = -START % 60_000  # a whole minute
    rows: list[dict[str, Any]] = [
        {"at": begun, "size": 3.0}, {"at": begun + 59_999, "side": "sell", "size": 1.0},
        {"at": begun + 60_000, "side": "sell", "size": 2.0}, {"at": begun + 60_001, "side": None, "size": 0.5},
        {"at": begun + 60_002, "venue": "b", "exchange": "b", "size": 7.0},
    ]  # fmt: skip
    found = xex.activity.net_flow(tape(*rows))
    assert seen(found, "exchange", "buy", "sell", "unknown", "net", "net_usd", "n_trades") == [
        ("a", 300_000, 100_000, 0, 200_000, 200_000, 2), ("a", 0, 200_000, 50_000, -200_000, -200_000, 2),
        ("b", 700_000, 0, 0, 700_000, 700_000, 1),
    ]  # fmt: skip
    assert at(found) == [begun, begun + 60_000, begun + 60_000]
    twice = tape(*rows).assign(trade_id=list("12345"))
    pd.testing.assert_frame_equal(xex.activity.net_flow(pd.concat([twice, twice], ignore_index=True)), found)
    assert xex.activity.net_flow(tape(*rows), every="1h")["n_trades"].sum() == 5


# --- walls -----------------------------------------------------------------------------------------------------------


def book(*levels: tuple[str, float, float], **more: Any) -> pd.DataFrame:
    cells = {"exchange": "a", "venue": "a", "instrument": "SOL/USD", "base": "SOL", "quote": "USD", **more}
    return pd.DataFrame(levels, columns=["side", "price", "size"]).assign(**cells).astype({"side": "str"})


BIDS = [("bid", 99.5, 1_000.0), ("bid", 99.4, 1_000.0), ("bid", 99.3, 1_000.0), ("bid", 99.2, 10_100.0)]
ASKS = [("ask", 100.5, 100.0), ("ask", 100.6, 90.0), ("ask", 100.8, 110.0), ("ask", 100.9, 995.0)]
FAR = ("ask", 105.0, 1_010.0)


def test_walls_by_hand() -> None:
    # The middle is 100. Bids: 99,500, 99,400, 99,300 and 1,001,920, the median of them 99,450. Asks within 1 %: 10,050,
    # 9,054, 11,088 and 100,395.5, the median 10,569; the one at 105 is too far to count in it, and large all the same.
    found = xex.activity.walls(book(*BIDS, *ASKS, FAR))
    assert seen(found, "side", "price", "quantity", "kind") == [
        ("buy", 99.2, 10_100, "wall"),
        ("sell", 105, 1_010, "wall"),
    ]
    bid, far = found.to_dict("records")
    assert bid["median_usd"] == pytest.approx(99_450)
    assert bid["threshold"] == pytest.approx(994_500)
    assert bid["threshold_by"] == "10 times the median level"
    assert bid["distance_bps"] == pytest.approx(80)
    assert far["threshold"] == pytest.approx(105_690)
    assert far["distance_bps"] == pytest.approx(500)


def test_the_floor_is_the_least_of_a_wall() -> None:
    found = xex.activity.walls(book(*BIDS, *ASKS), k=1)
    # Once the median is 99,450 on one side and 10,569 on the other: 100,000 decides on both.
    assert seen(found, "price", "threshold", "threshold_by") == [(99.2, 1e5, "floor"), (100.9, 1e5, "floor")]
    # Below it the median does: 99,500 are more than 99,450, and no other ask is as much as half the floor.
    assert xex.activity.walls(book(*BIDS, *ASKS), k=1, floor=50_000)["price"].tolist() == [99.2, 100.9, 99.5]


def test_each_book_has_its_own_middle_and_median() -> None:
    one, other = book(*BIDS, *ASKS, FAR), book(*BIDS, *ASKS, FAR, exchange="b", venue="b")
    cheap = other.assign(price=other["price"] / 2)
    found = xex.activity.walls(pd.concat([one, cheap], ignore_index=True))
    # At half the price 1,010 · 52.5 are below the floor, and the bid's 500,960 are above its own 497,250.
    assert seen(found, "exchange", "price") == [("a", 99.2), ("b", 49.6), ("a", 105.0)]


def test_a_book_without_a_side_has_no_middle() -> None:
    found = xex.activity.walls(book(*BIDS))
    assert len(found) == 0
    assert found.attrs["unjudged"] == {"no_mid": 1}


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_nothing_one_row_and_rows_of_nothing() -> None:
    for kind, asked in (
        ("trades", xex.activity.whales),
        ("books", xex.activity.walls),
        ("trades", xex.activity.net_flow),
    ):
        wanted = "net_flow" if asked is xex.activity.net_flow else "whales"
        empty = asked(schema.frame({}, kind))
        assert dict(empty.dtypes.astype(str)) == dict(schema.frame({}, wanted).dtypes.astype(str))
        assert len(empty) == 0
        absent = schema.frame({"exchange": ["a"], "instrument": ["BTC/USDT"]}, kind)
        assert len(asked(absent)) == 0
    (row,) = xex.activity.whales(tape({"size": 10.0})).to_dict("records")
    assert (row["notional"], row["prior_trades"], row["n_trades"]) == (1_000_000, 0, 1)
    assert pd.isna(row["trade_id"])


def test_columns_that_a_caller_lacks_are_derived() -> None:
    bare = tape({"size": 10.0}).drop(columns=["venue", "base", "group", "currency", "flags", "response_id", "trade_id"])
    (row,) = xex.activity.whales(bare).to_dict("records")
    assert (row["venue"], row["base"], row["threshold"], row["currency"]) == ("a", "BTC", 1_000_000, "USD")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"floor": 0}, "floor"), ({"floor": "much"}, "floor"), ({"floor": {"SOL": -1}}, "floor"),
        ({"quantile": 1}, "quantile"), ({"window": "soon"}, "window"), ({"window": "-1h"}, "window"),
        ({"least": 0}, "least"), ({"gap_ms": -1}, "gap_ms"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(xex.ConfigError, match=word):
        xex.activity.whales(tape({}), **options)


def test_a_frame_without_what_is_needed_is_named() -> None:
    with pytest.raises(xex.SchemaError, match="exchange_time"):
        xex.activity.whales(tape({}).drop(columns="exchange_time"))
    seconds = tape({}).assign(exchange_time=1_767_225_600)
    for question in (xex.activity.whales, xex.activity.net_flow):
        with pytest.raises(xex.SchemaError, match="exchange_time: the times up to 1767225600 are seconds"):
            question(seconds)
    with pytest.raises(xex.SchemaError, match="size"):
        xex.activity.walls(book(*BIDS).drop(columns="size"))
    with pytest.raises(xex.ConfigError, match="every"):
        xex.activity.net_flow(tape({}), every="now and then")
