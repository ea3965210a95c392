"""CoinGlass's client: what it asks, what it makes of the answers, and what it refuses; against the lab over TCP.

Of each kind of body 100 broken ones are tried; ``XEX_FULL=1`` tries 10,000.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import coinglass_table
from tests.lab import Forced, Lab, default_truth
from tests.lab import encode_coinglass as glass
from tests.lab.coinglass_fields import ENDPOINTS as DESCRIBED
from tests.lab.encode_coinglass import KEY
from xex.access.budgets import PROCESS
from xex.errors import (
    AuthRejected,
    BadPayload,
    ConfigError,
    ConnectorError,
    HttpError,
    NotListed,
    RateLimited,
    VenueRefused,
    XexError,
)
from xex.model import schema
from xex_connectors.coinglass import (
    BY_NAME,
    ENDPOINTS,
    BadParameter,
    CoinGlass,
    Endpoint,
    IntervalNotInPlan,
    PlanTooLow,
    ServerError,
    Table,
    UnknownEndpoint,
    data_of,
    table,
)
from xex_connectors.coinglass.answers import milliseconds, sides
from xex_connectors.coinglass.endpoints import BY_PATH, fields_of
from xex_connectors.coinglass.requests import checked, refuse, windows

FULL = bool(os.environ.get("XEX_FULL"))
DATA = Path(os.environ.get("XEX_DATA", Path(__file__).parents[2] / "shared" / "data")) / "coinglass"
recorded = pytest.mark.skipif(not DATA.is_dir(), reason="needs recorded data: ../shared/data or XEX_DATA")
NOW = 1_795_000_000_000
"""The lab's clock, so that bars and their figures can be told beforehand."""
HOUR, DAY = 3_600_000, 86_400_000
HOBBYIST, STARTUP, STANDARD = "the-hobbyist-key-of-the-lab", "the-startup-key-of-the-lab", "the-standard-key-of-the-lab"

NAMES = [one.name for one in ENDPOINTS]
STRUCK = (
    Forced("binance", "BTCUSDT", "BTC", NOW - 5 * HOUR + 1, Decimal("96500.5"), Decimal("205534.2932"), "long"),
    Forced("binance", "BTCUSDT", "BTC", NOW - 2 * HOUR, Decimal(96000), Decimal(1000), "short"),
)
WORLD = dataclasses.replace(default_truth(), forced=STRUCK)


def client(lab: Lab, key: str | None = KEY, **options: Any) -> CoinGlass:
    return CoinGlass(key, base_url=lab.url("coinglass"), **options)


@pytest.fixture
async def lab(loaded: None, tidy: object) -> AsyncIterator[Lab]:  # noqa: ARG001  both only set the stage
    async with Lab(WORLD, now_ms=lambda: NOW) as started:
        yield started


@pytest.fixture
async def cg(lab: Lab) -> AsyncIterator[CoinGlass]:
    async with client(lab, plan="professional") as opened:
        yield opened


def asked(lab: Lab) -> list[str]:
    """Return what CoinGlass was asked for, the plan left out."""
    return [seen.path_qs for seen in lab.seen if not seen.path_qs.startswith(glass.SUBSCRIPTION)]


# --- each endpoint -------------------------------------------------------------------------------------------------

GIVEN: dict[str, Any] = {
    "interval": "1h", "limit": 5, "range": None, "unit": None, "state": 2, "usd": 10_000, "min_liquidation_amount": 0,
    "exchange": "Binance", "exchange_list": "Binance,OKX", "user_address": "0x3fd4", "start_time": None,
    "end_time": None, "page": None, "per_page": None, "current_page": 2,
}  # fmt: skip


def question(path: str) -> dict[str, Any]:
    """Return a good question to an endpoint, from the lab's own table."""
    described, asked_for = DESCRIBED[path], {}
    for param in described.params:
        value = GIVEN.get(param.name)
        if param.name == "symbol":
            value = "BTCUSDT" if "exchange" in described.names and "interval" in described.names else "BTC"
            if "order" in path or "/map" in path or "/heatmap" in path:
                value = "BTCUSDT" if "exchange" in described.names and path != glass.ORDERS else "BTC"
            if path == "/api/borrow-interest-rate/history":
                value = "BTC"
        elif param.allowed and value is None:
            value = param.allowed[-1] if param.required else None
        if param.required and param.name == "start_time":
            value = NOW - 10 * 60_000
        if param.required and param.name == "end_time":
            value = NOW
        if param.required and value is None:
            value = "USD"
        if value is not None:
            asked_for[param.name] = value
    return asked_for


RENAMED = {
    "exchange_name": "exchange", "taker_buy_volume_usd": "buy_volume_usd", "taker_sell_volume_usd": "sell_volume_usd",
    "aggregated_buy_volume_usd": "buy_volume", "aggregated_sell_volume_usd": "sell_volume",
    "aggregated_bids_usd": "bids_usd", "aggregated_bids_quantity": "bids_quantity",
    "aggregated_asks_usd": "asks_usd", "aggregated_asks_quantity": "asks_quantity",
    "aggregated_long_liquidation_usd": "long_liquidation_usd",
    "aggregated_short_liquidation_usd": "short_liquidation_usd",
    "longLiquidation_usd": "long_liquidation_usd", "shortLiquidation_usd": "short_liquidation_usd",
    "taker_buy_vol": "buy_volume", "taker_sell_vol": "sell_volume", "agg_taker_buy_vol": "buy_volume",
    "agg_taker_sell_vol": "sell_volume", "buy_vol_usd": "buy_volume_usd", "sell_vol_usd": "sell_volume_usd",
    "global_account_long_percent": "long_percent", "global_account_short_percent": "short_percent",
    "global_account_long_short_ratio": "long_short_ratio", "top_account_long_percent": "long_percent",
    "top_account_short_percent": "short_percent", "top_account_long_short_ratio": "long_short_ratio",
    "top_position_long_percent": "long_percent", "top_position_short_percent": "short_percent",
    "top_position_long_short_ratio": "long_short_ratio", "global_account_long_count": "long_count",
    "global_account_short_count": "short_count", "global_account_total_count": "total_count",
    "open_interest_volume_radio": "open_interest_volume_ratio", "limit_price": "price",
    "start_usd_value": "start_usd", "current_usd_value": "current_usd", "executed_volume": "executed_quantity",
    "executed_usd_value": "executed_usd", "order_side": "side", "order_state": "state", "order_end_time": "end_time",
    "position_action": "action", "funding_rate_interval": "funding_interval_hours",
    "buy.exchange": "buy_exchange", "buy.open_interest_usd": "buy_open_interest_usd",
    "buy.funding_rate_interval": "buy_funding_interval_hours", "buy.funding_rate": "buy_funding_rate",
    "sell.exchange": "sell_exchange", "sell.open_interest_usd": "sell_open_interest_usd",
    "sell.funding_rate_interval": "sell_funding_interval_hours", "sell.funding_rate": "sell_funding_rate",
    "margin_summary.account_value": "account_value", "margin_summary.total_ntl_pos": "total_ntl_pos",
    "margin_summary.total_raw_usd": "total_raw_usd", "margin_summary.total_margin_used": "total_margin_used",
    "cross_margin_summary.account_value": "cross_account_value",
    "cross_margin_summary.total_ntl_pos": "cross_total_ntl_pos",
    "cross_margin_summary.total_raw_usd": "cross_total_raw_usd",
    "cross_margin_summary.total_margin_used": "cross_total_margin_used",
    "position.szi": "position_size", "position.leverage.type": "leverage_type", "position.leverage.value": "leverage",
    "position.entry_px": "entry_price", "position.coin": "coin", "position.position_value": "position_value",
    "position.unrealized_pnl": "unrealized_pnl", "position.return_on_equity": "return_on_equity",
    "position.max_leverage": "max_leverage", "position.cum_funding.all_time": "funding_all_time",
    "position.cum_funding.since_open": "funding_since_open",
    "position.cum_funding.since_change": "funding_since_change",
}  # fmt: skip
"""The keys that columns have other names than, written down apart from the client's own table."""
WORDS = {
    "side": {1: "sell", 2: "buy"}, "state": {1: "open", 2: "finished", 3: "cancelled"},
    "action": {1: "open", 2: "close"},
}  # fmt: skip


def renamed(path: str, key: str) -> str:
    """Return the column that a key stands in."""
    for verb in ("buy", "sell"):
        key = key.replace(f"taker_{verb}_volume_usd_", f"{verb}_volume_usd_")
    if key.endswith("_market_cap_ratio") and key.startswith("net_flow_usd_"):
        span = key.removeprefix("net_flow_usd_").removesuffix("_market_cap_ratio")
        return f"net_flow_usd_market_cap_ratio_{span}"
    if path == "/api/spot/pairs-markets" and key.startswith("volume_change_") and key[14].isdigit():
        return key.replace("volume_change_", "volume_change_usd_")
    if path == glass.ORDERS and key in {"side", "price"}:
        return key
    return RENAMED.get(key, key)


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a row whose inner objects' keys are written with dots."""
    made: dict[str, Any] = {}
    for key, value in row.items():
        inner = isinstance(value, dict)
        made |= flat(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return made


def expected(path: str, data: Any) -> list[dict[str, Any]]:
    """Return the rows that a body means, by column: a second way to read it, from the documentation's shapes alone."""
    kind = DESCRIBED[path].kind
    if kind == "words":
        return [{"symbol" if path.endswith("coins") else "exchange": word} for word in data]
    if kind == "by_exchange":
        rows = [{**row, "exchange": name} for name, listed in data.items() for row in listed]
    elif kind == "totals":
        whole = {key: value for key, value in data.items() if key != "exchange_list"}
        rows = [{**whole, "exchange": "All"}, *({**row, "symbol": whole["symbol"]} for row in data["exchange_list"])]
    elif kind == "margins":
        rows = []
        for row in data:
            rows += [{"symbol": row["symbol"], "margin": "stablecoin", **one} for one in row["stablecoin_margin_list"]]
            rows += [{"symbol": row["symbol"], "margin": "token", **one} for one in row.get("token_margin_list", [])]
    elif kind == "chart":
        charts = data if isinstance(data, list) else [data]
        return [
            {"time": time, "price": price, "exchange": name, "value": value}
            for chart in charts
            for name, values in chart["data_map"].items()
            for time, price, value in zip(chart["time_list"], chart["price_list"], values, strict=True)
        ]
    elif kind == "map":
        cells = [cell for listed in data["data"].values() for cell in listed]
        return [{"price": cell[0], "value": cell[1], "leverage": cell[2]} for cell in cells]
    elif kind == "heatmap":
        candles, prices = data["price_candlesticks"], data["y_axis"]
        bar = ("open", "high", "low", "close", "volume_usd")
        return [
            {"time": candles[x][0], "price": prices[y], "value": value, **dict(zip(bar, candles[x][1:], strict=True))}
            for x, y, value in data["liquidation_leverage_data"]
        ]
    elif kind == "book":
        return [
            {"time": time, "side": side, "price": price, "quantity": size}
            for time, first, second in data
            for side, levels in zip(("bid", "ask"), (first, second), strict=True)
            for price, size in levels
        ]
    elif kind == "footprint":
        names = (
            "price_from", "price_to", "buy_volume", "sell_volume", "buy_volume_quote", "sell_volume_quote",
            "buy_volume_usd", "sell_volume_usd", "buy_count", "sell_count",
        )  # fmt: skip
        return [{"time": bar[0], **dict(zip(names, one, strict=True))} for bar in data for one in bar[1]]
    elif kind == "paged":
        pages = {"total_pages": data["total_pages"], "current_page": data["current_page"]}
        rows = [{**row, **pages} for row in data["list"]]
    elif kind == "wallet":
        account = {key: value for key, value in data.items() if key != "asset_positions"}
        rows = [{**account, **row} for row in data["asset_positions"]]
    else:
        rows = data if isinstance(data, list) else [data]
    return [{renamed(path, key): value for key, value in flat(row).items()} for row in rows]


def cell_of(column: str, dtype: str, path: str, raw: Any) -> Any:
    """Return what a cell must be for what a body says: a number, Unix milliseconds or text."""
    if dtype == schema.TEXT:
        words: dict[Any, str] = {} if path == glass.ORDERS else dict(WORDS.get(column, {}))
        return words.get(raw, str(raw)) if isinstance(raw, str | int) else ""
    number = nan if raw is None else float(raw)
    if dtype != schema.TIME:
        return number
    if not number > 0:
        return nan
    return number * 1000 if number < 1e11 else number


ODD = {"/api/spot/netflow-list": {"net_flow_usd_1w"}}
"""Keys of the documentation's examples that are slips: there is `taker_buy_volume_usd_7d` beside this one."""


def compare(path: str, found: Table, data: Any, *, reverse: bool = False) -> None:
    """Compare an answer's columns with what the body means."""
    rows = expected(path, data)
    rows = rows[::-1] if reverse else rows
    assert schema.length(found) == len(rows)
    types = BY_PATH[path].schema
    assert list(found) == list(types)
    told = {column for row in rows for column in row} - ODD.get(path, set())
    assert told <= set(types), told - set(types)
    for column, dtype in types.items():
        wanted = [cell_of(column, dtype, path, row.get(column)) for row in rows]
        if dtype == schema.TEXT:
            assert found[column] == wanted, column
        else:
            assert isinstance(found[column], np.ndarray)
            np.testing.assert_array_equal(found[column], np.array(wanted), err_msg=column)


@pytest.mark.parametrize("name", NAMES)
async def test_every_endpoint_is_asked_and_read(name: str, lab: Lab, cg: CoinGlass) -> None:
    path = BY_NAME[name].path
    asked_for = question(path)
    found = await getattr(cg, name)(**asked_for)
    (seen,) = lab.seen
    assert seen.path_qs.partition("?")[0] == path
    assert seen.headers["CG-API-KEY"] == KEY
    query = {key: str(value) for key, value in asked_for.items()}
    reply = glass.reply(lab.truth, path, {**query, glass.HEADER: KEY}, NOW)
    assert reply.body["code"] == "0"
    assert reply.body["data"]
    whole_range = "start_time" in asked_for
    compare(path, found, reply.body["data"], reverse=whole_range)
    frame = found.frame()
    assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == BY_NAME[name].schema
    assert len(frame) == schema.length(found) > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_answer_has_every_column(name: str) -> None:
    endpoint = BY_NAME[name]
    empty: tuple[Any, ...] = (None, [], {})
    for data in empty:
        found = table(endpoint, data)
        assert list(found) == list(endpoint.schema)
        assert schema.length(found) == 0
        assert {str(dtype) for dtype in found.frame().dtypes} <= {schema.TIME, schema.TEXT, schema.NUMBER}


def test_the_endpoints_are_those_of_the_facts() -> None:
    """The lab's table was made from the facts, the client's by hand."""
    assert {one.path for one in ENDPOINTS} == set(DESCRIBED)
    for path, described in DESCRIBED.items():
        endpoint = BY_PATH[path]
        assert (endpoint.plan, endpoint.gated) == (described.plan, described.gated), path
        ours = {one.name: (one.required, one.allowed) for one in endpoint.params}
        assert ours == {one.name: (one.required, one.allowed) for one in described.params}, path
        assert {one.most for one in described.params if one.name == "limit"} <= {endpoint.most}, path


def test_methods_and_document_are_those_of_the_endpoints() -> None:
    command = "run `python -m tests.coinglass_table`"
    assert coinglass_table.CALLS.read_text(encoding="utf-8") == coinglass_table.calls(), command
    assert coinglass_table.DOCUMENT.read_text(encoding="utf-8") == coinglass_table.document(), command


@pytest.mark.parametrize("name", NAMES)
def test_every_endpoint_has_a_method_with_its_parameters(name: str) -> None:
    method = getattr(CoinGlass, name)
    names = set(inspect.signature(method).parameters) - {"self"}
    assert names == set(BY_NAME[name].known)
    assert inspect.getdoc(method)


@recorded
@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_s_examples_are_read(name: str) -> None:
    path = BY_NAME[name].path
    file = DATA / "doc_examples" / f"{path.removeprefix('/api/').replace('/', '_')}.json"
    body = json.loads(file.read_bytes())
    data = body["data"]
    if DESCRIBED[path].kind == "heatmap":
        # The example is cut so short that its one cell lies outside.
        with pytest.raises(BadPayload, match="no cell"):
            table(BY_NAME[name], data_of(file.read_bytes()))
        return
    found = table(BY_NAME[name], data_of(file.read_bytes()))
    assert schema.length(found) > 0
    if DESCRIBED[path].kind == "book":
        # The example has the same levels on both sides, which tell nothing.
        assert set(found["side"]) == {"unknown"}
        return
    if DESCRIBED[path].kind == "chart":
        charts = data if isinstance(data, list) else [data]
        assert set(found["exchange"]) == {name for one in charts for name in one["data_map"]}
        return
    compare(path, found, data)


# --- recorded bodies -----------------------------------------------------------------------------------------------


def kept(file: str) -> bytes:
    return (DATA / "recorded" / file).read_bytes()


@recorded
def test_recorded_bars_are_read() -> None:
    basis = table(BY_NAME["basis_history"], data_of(kept("futures_basis_history__Binance_BTCUSDT_1h.json")))
    assert basis["time"].tolist() == [1758805200000.0, 1758808800000.0, 1758812400000.0]
    assert basis["close_basis"].tolist() == [0.0374, 0.0511, 0.038]
    pair = table(BY_NAME["liquidation_history"], data_of(kept("futures_liquidation_history__Binance_BTCUSDT_1d.json")))
    assert pair["long_liquidation_usd"].tolist() == [2125001.27718, 4545051.958]
    file = "futures_liquidation_aggregated-history__Binance_BTC_1d_2023-02-01.json"
    coin = table(BY_NAME["liquidation_aggregated_history"], data_of(kept(file)))
    assert coin["short_liquidation_usd"].tolist() == [5710995.22223, 5898839.1639]
    accounts = "futures_global-long-short-account-ratio_history__Binance_BTCUSDT_h1.json"
    ratio = table(BY_NAME["global_long_short_account_ratio_history"], data_of(kept(accounts)))
    assert ratio["long_short_ratio"].tolist() == [1.62, 1.62]


@recorded
def test_recorded_orders_have_their_live_key() -> None:
    body = data_of(kept("spot_orderbook_large-limit-order__Binance_BTCUSDT.json"))
    found = table(BY_NAME["spot_orderbook_large_limit_order"], body)
    assert schema.length(found) == 175
    assert (found["id"][0], found["price"][0], found["side"][0]) == ("5114239311", 22222.0, "buy")
    assert np.isfinite(found["price"]).all()
    # By the price ladder, bids lie below asks.
    is_buy = np.array(found["side"]) == "buy"
    assert np.median(found["price"][is_buy]) < np.median(found["price"][~is_buy])


@recorded
def test_recorded_mixed_rows_and_mocks_are_read() -> None:
    row = json.loads(kept("mixed_types_open-interest.row2.json"))[0]
    found = table(BY_NAME["open_interest_history"], [{"time": 1768550400000, **row}])
    assert [found[name][0] for name in ("open", "high", "low", "close")] == [
        45714242.0, 45740423.0381, 45714242.0, 45740423.0381,
    ]  # fmt: skip
    mocks = json.loads(kept("mocks_from_real_2026-03-19.json"))
    rates = table(BY_NAME["funding_rate_exchange_list"], mocks["/api/futures/funding-rate/exchange-list"]["data"])
    first = (rates["symbol"][0], rates["margin"][0], rates["exchange"][0], rates["funding_rate"][0])
    assert first == ("BTC", "stablecoin", "Binance", 0.001225)


# --- numbers, times, sides -----------------------------------------------------------------------------------------


def test_both_spellings_of_a_key_are_read() -> None:
    for rest in ("_liquidation_usd", "Liquidation_usd"):
        row = {"exchange": "All", "liquidation_usd": 3, f"long{rest}": 1, f"short{rest}": "2"}
        found = table(BY_NAME["liquidation_exchange_list"], [row])
        assert (found["long_liquidation_usd"][0], found["short_liquidation_usd"][0]) == (1.0, 2.0)
    for key in ("price", "limit_price"):
        found = table(BY_NAME["orderbook_large_limit_order"], [{"id": 1, key: 5}])
        assert (found["id"], found["price"].tolist()) == (["1"], [5.0])


def test_numbers_come_in_all_forms_and_what_is_none_is_absent() -> None:
    row = {"time": 1768550400000, "open": "63337761090", "high": 63414094305, "low": None, "close": "-"}
    found = table(BY_NAME["open_interest_history"], [row, {"time": "1768550460000", "open": "NaN", "close": True}])
    assert found["open"].tolist()[0] == 63337761090.0
    assert found["high"].tolist()[0] == 63414094305.0
    assert all(isnan(found[name][place]) for name, place in (("low", 0), ("close", 0), ("open", 1), ("close", 1)))
    assert found["time"].tolist() == [1768550400000.0, 1768550460000.0]


def test_times_are_told_by_their_size() -> None:
    given_ = np.array([1762645860, 1762254000000, 1762254000000123, 1762254000000123456, 0, -5, nan])
    found = milliseconds(given_)
    assert found[:3].tolist() == [1762645860000.0, 1762254000000.0, 1762254000000.0]
    assert abs(found[3] - 1762254000000.0) <= 1
    assert np.isnan(found[4:]).all()


@pytest.mark.parametrize(
    ("first", "second", "meant"),
    [
        ([(99.0, 1.0), (98.0, 1.0)], [(100.0, 1.0)], ("bid", "ask")),
        ([(100.0, 1.0), (101.0, 2.0)], [(99.0, 1.0)], ("ask", "bid")),
        ([(100.0, 1.0)], [(100.0, 1.0)], ("unknown", "unknown")),
        ([(99.0, 1.0), (102.0, 1.0)], [(100.0, 1.0)], ("unknown", "unknown")),
        ([], [(100.0, 1.0)], ("unknown", "unknown")),
    ],
)
def test_the_sides_of_a_book_are_told_by_its_prices(first: Any, second: Any, meant: tuple[str, str]) -> None:
    assert sides(first, second) == meant


def test_a_wallet_without_positions_is_one_row() -> None:
    data = {"margin_summary": {"account_value": 12.5}, "withdrawable": "3", "asset_positions": []}
    found = table(BY_NAME["hyperliquid_user_position"], data)
    assert (found["coin"], found["account_value"].tolist(), found["withdrawable"].tolist()) == ([""], [12.5], [3.0])


# --- bodies that are not as they should be -------------------------------------------------------------------------


def test_rows_without_what_tells_them_apart_are_left_out() -> None:
    rows = [{"time": 1768550400000, "open": 1}, {"open": 2}, {"time": 0, "open": 3}, "nonsense", None, 7]
    assert table(BY_NAME["price_history"], rows)["open"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("price_history", [{"timestamp": 1768550400000, "open": 1}]),
        ("price_history", "rows"),
        ("price_history", 5),
        ("price_history", ["nonsense"]),
        ("supported_exchange_pairs", [1, 2]),
        ("supported_exchange_pairs", {"Binance": "BTCUSDT"}),
        ("open_interest_exchange_history_chart", {"time_list": 5, "price_list": [], "data_map": {}}),
        ("liquidation_map", {"data": [1, 2]}),
        (
            "liquidation_heatmap_model1",
            {"y_axis": [1], "price_candlesticks": [], "liquidation_leverage_data": [[0, 0, 1]]},
        ),
        ("liquidation_heatmap_model1", [1]),
        ("hyperliquid_position", "x"),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(name: str, data: Any) -> None:
    with pytest.raises(BadPayload):
        table(BY_NAME[name], data)


JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 10**30, 1.5, float("nan"), float("inf"), -1e308, "", "x", "12.5", "nan", "1e400",
    [], {}, [1, 2], [[]], {"a": 1}, [None], "2026-01-01", 1_768_550_400,
)  # fmt: skip


def broken(body: Any, chance: random.Random, odds: int) -> Any:
    """Return a body with keys dropped, renamed or retyped: one part in `odds`."""
    if chance.randrange(odds) == 0:
        return chance.choice(JUNK)
    if isinstance(body, dict):
        made = {}
        for key, value in body.items():
            fate = chance.randrange(odds)
            if fate == 0:
                continue
            name = chance.choice([key.upper(), f"{key}x", key[:-1] or "k"]) if fate == 1 else key
            made[name] = broken(value, chance, odds)
        return made
    return [broken(one, chance, odds) for one in body] if isinstance(body, list) else body


SAMPLES = {
    name: glass.data(
        DESCRIBED[BY_NAME[name].path], WORLD,
        {key: str(value) for key, value in question(BY_NAME[name].path).items()}, NOW,
    )
    for name in NAMES
}  # fmt: skip


OF_KIND: dict[str, list[str]] = {}
for _name in NAMES:
    OF_KIND.setdefault(DESCRIBED[BY_NAME[_name].path].kind, []).append(_name)


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_broken_body_is_a_typed_error_or_the_fixed_schema(kind: str) -> None:
    outcomes = Counter[bool]()

    @settings(max_examples=10_000 if FULL else 100, deadline=None, database=None, derandomize=not FULL)
    @given(st.sampled_from(OF_KIND[kind]), st.integers(0, 2**32), st.sampled_from([3, 8, 20, 60]))
    def tried(name: str, seed: int, odds: int) -> None:
        endpoint = BY_NAME[name]
        body = broken(SAMPLES[name], random.Random(seed), odds)
        try:
            found = table(endpoint, body)
        except ConnectorError:
            outcomes[False] += 1
            return
        outcomes[True] += 1
        assert list(found) == list(endpoint.schema)
        assert len({len(column) for column in found.values()}) == 1
        for column, dtype in endpoint.schema.items():
            if dtype == schema.TEXT:
                assert all(isinstance(cell, str) for cell in found[column])
            else:
                assert found[column].dtype == np.float64
                assert not np.isinf(found[column]).any()

    tried()
    assert min(outcomes[True], outcomes[False]) > 0, "both ends are reached"


# --- errors --------------------------------------------------------------------------------------------------------

UPGRADE = {"code": "401", "msg": "Upgrade plan"}
INTERVAL = {"code": "403", "msg": "The requested interval is not available for your current API plan."}
PAIR = {"code": "400", "msg": "The requested pair does not exist on the exchange. Please check the documentation."}
ABSENT = {"code": "400", "msg": "Required String parameter 'exchange_list' is not present"}
NOWHERE = {"code": "404", "msg": "Endpoint not found. Please refer to the API documentation."}
ERRORS: list[tuple[int, Any, type[ConnectorError], str]] = [
    (200, UPGRADE, PlanTooLow, "Startup or higher is needed, the key's is Hobbyist"),
    (200, INTERVAL, IntervalNotInPlan, "Hobbyist or higher is needed"),
    (200, {"code": "400", "msg": "API key missing."}, AuthRejected, "not accepted"),
    (401, {"code": "401", "msg": "Invalid key"}, AuthRejected, "not accepted"),
    (200, ABSENT, BadParameter, "net_position_history takes exchange symbol interval"),
    (422, {"code": "422", "msg": "no"}, BadParameter, "takes"),
    (200, PAIR, NotListed, "does not exist"),
    (200, {"code": "500", "msg": "Server Error"}, ServerError, "a parameter that it did not understand"),
    (404, NOWHERE, UnknownEndpoint, "code 404"),
    (200, {"code": "429", "msg": "Too Many Requests"}, RateLimited, "Too Many"),
    (429, {"code": "429", "msg": "Too Many Requests"}, RateLimited, "429"),
    (200, {"code": "50001", "msg": "limit"}, RateLimited, "50001"),
    (200, {"code": "40001", "msg": "odd"}, VenueRefused, "40001"),
    (404, "no such page", HttpError, "404"),
    (200, "<html>Just a moment</html>", BadPayload, "HTML"),
    (200, {"msg": "success"}, BadPayload, "no code"),
    (200, {"code": "0", "data": "rows"}, BadPayload, "list of rows"),
]


@pytest.mark.parametrize(("status", "body", "error", "said"), ERRORS)
async def test_an_error_in_whatever_place_is_typed(
    lab: Lab, status: int, body: Any, error: type[ConnectorError], said: str
) -> None:
    lab.fault("coinglass", "status", path="/api/futures/", code=status, body=body)
    async with client(lab, HOBBYIST) as cg:
        cg._plan = ""  # nothing is refused before it is asked
        if error is PlanTooLow:
            cg._plan = "hobbyist"
        asked_for = {"exchange": "Binance", "symbol": "BTCUSDT", "interval": "4h"}
        with pytest.raises(ConnectorError, match=said) as caught:
            await cg._table(BY_NAME["net_position_history"], asked_for)
    assert type(caught.value) is error
    assert isinstance(caught.value, XexError)
    assert caught.value.venue == "coinglass"


WHAT_IT_IS: dict[str, type[ConnectorError]] = {
    "plan too low": PlanTooLow, "interval below the plan": IntervalNotInPlan, "no key header": AuthRejected,
    "missing parameter": BadParameter, "missing parameter (range)": BadParameter,
    "unknown pair on this exchange (message cut at 100 characters in the source)": NotListed,
    "server error (often a bad or missing parameter)": ServerError, "unknown path": UnknownEndpoint,
}  # fmt: skip


@recorded
def test_every_recorded_error_has_its_type() -> None:
    cases = json.loads(kept("errors.json"))["cases"]
    assert {case["case"] for case in cases} == set(WHAT_IT_IS)
    for case in cases:
        with pytest.raises(ConnectorError) as caught:
            data_of(json.dumps(case["body"]).encode(), case["http"] or 200)
        assert type(caught.value) is WHAT_IT_IS[case["case"]], case


async def test_the_lab_s_own_refusals(lab: Lab) -> None:
    async with client(lab, "a-wrong-key") as cg:
        with pytest.raises(AuthRejected, match="not accepted"):
            await cg.pairs_markets(symbol="BTC")
    async with client(lab) as cg:
        with pytest.raises(NotListed, match="does not exist"):
            await cg.price_history(exchange="Binance", symbol="NOSUCH", interval="4h")
        with pytest.raises(UnknownEndpoint, match="did you mean /api/futures/coin/netflow"):
            await cg.get("/api/furures/coin/netflow", symbol="BTC")


async def test_without_a_key_nothing_is_sent(lab: Lab) -> None:
    async with client(lab, None) as cg:
        with pytest.raises(AuthRejected, match="no key is set") as caught:
            await cg.pairs_markets(symbol="BTC")
    assert not caught.value.sent
    assert lab.seen == []


async def test_unopened_it_says_how_to_open_it() -> None:
    with pytest.raises(ConfigError, match="async with CoinGlass"):
        await CoinGlass("key").pairs_markets(symbol="BTC")


# --- plans ---------------------------------------------------------------------------------------------------------


async def test_what_the_plan_lacks_is_refused_before_it_is_asked(lab: Lab) -> None:
    async with client(lab, HOBBYIST) as cg:
        with pytest.raises(PlanTooLow, match="netflow_list needs the plan Startup; the key's is Hobbyist") as caught:
            await cg.netflow_list()
        assert (caught.value.plan, caught.value.needs, caught.value.sent) == ("hobbyist", "startup", False)
        with pytest.raises(IntervalNotInPlan, match="'1h': the plan Hobbyist has 4h and longer; Startup has it"):
            await cg.price_history(exchange="Binance", symbol="BTCUSDT", interval="1h")
        with pytest.raises(PlanTooLow, match="Professional"):
            await cg.liquidation_aggregated_map(symbol="BTC", range="1d")
        with pytest.raises(PlanTooLow, match="Standard"):
            await cg.get("/api/futures/rsi/list")
        assert asked(lab) == []
        assert len(lab.seen) == 1, "the plan is asked for once"
        await cg.price_history(exchange="Binance", symbol="BTCUSDT", interval="4h")
    assert len(asked(lab)) == 1


@pytest.mark.parametrize(
    ("key", "name", "interval", "good"),
    [
        (HOBBYIST, "price_history", "4h", True), (HOBBYIST, "price_history", "30m", False),
        (STARTUP, "price_history", "30m", True), (STARTUP, "price_history", "15m", False),
        (STANDARD, "price_history", "1m", True), (KEY, "price_history", "1m", True),
        (STARTUP, "cvd_history", "1m", True), (HOBBYIST, "borrow_interest_rate_history", "1m", True),
    ],
)  # fmt: skip
async def test_client_and_coinglass_refuse_the_same(lab: Lab, key: str, name: str, interval: str, good: bool) -> None:
    symbol = "BTC" if name.startswith("borrow") else "BTCUSDT"
    for plan in ("asked", "unknown"):
        async with client(lab, key) as cg:
            if plan == "unknown":
                cg._plan = ""
            if good:
                assert schema.length(await cg.ask(name, exchange="Binance", symbol=symbol, interval=interval))
            else:
                with pytest.raises(IntervalNotInPlan) as caught:
                    await cg.ask(name, exchange="Binance", symbol=symbol, interval=interval)
                assert caught.value.sent == (plan == "unknown")


@pytest.mark.parametrize("key", [HOBBYIST, STARTUP, STANDARD, KEY])
async def test_the_plans_of_all_endpoints_are_coinglass_s(lab: Lab, key: str) -> None:
    """Whatever the client refuses the lab refuses, and the other way round: two tables, one of which is asked."""
    refused = Counter[bool]()
    async with client(lab, key) as knowing, client(lab, key) as ignorant:
        ignorant._plan = ""
        for name in NAMES:
            asked_for = question(BY_NAME[name].path)
            outcomes = []
            for one in (knowing, ignorant):
                PROCESS._ledgers.clear()  # a plan's pace is another test's
                try:
                    outcomes.append(schema.length(await one.ask(name, **asked_for)) > 0)
                except PlanTooLow:
                    outcomes.append(False)
            assert outcomes[0] == outcomes[1], name
            refused[outcomes[0]] += 1
    assert refused[False] == {HOBBYIST: 14 + 14 + 11 + 25, STARTUP: 14 + 11, STANDARD: 11, KEY: 0}[key]


@pytest.mark.parametrize(
    "body",
    [
        NOWHERE, {"code": "0", "data": {"level": "SECRET", "expired": False}}, {"code": "0", "data": None},
        {"code": "0", "data": {"level": "HOBBYIST", "expired": True}}, {"code": "0", "data": ["HOBBYIST"]}, "<html>",
    ],
)  # fmt: skip
async def test_an_unknown_plan_refuses_nothing(lab: Lab, body: Any) -> None:
    lab.fault("coinglass", "status", path=glass.SUBSCRIPTION, code=404 if body is NOWHERE else 200, body=body)
    async with client(lab) as cg:
        assert schema.length(await cg.netflow_list()) == 3
        before = len(lab.seen)
        assert await cg.plan() == ""
        assert schema.length(await cg.netflow_list()) == 3
    assert len(lab.seen) == before + 1, "the plan is not asked for again"


async def test_a_plan_can_be_given_and_is_then_not_asked_for(lab: Lab) -> None:
    async with client(lab, plan="Startup") as cg:
        await cg.netflow_list()
        with pytest.raises(PlanTooLow):
            await cg.coins_markets()
    assert len(lab.seen) == 1
    with pytest.raises(ConfigError, match="'gold': one of hobbyist, startup"):
        CoinGlass("key", plan="gold")


async def test_many_at_once_ask_for_the_plan_once(lab: Lab) -> None:
    async with client(lab) as cg:
        await asyncio.gather(*(cg.netflow_list() for _ in range(5)))
    assert len(lab.seen) == 6


def test_history_that_a_plan_does_not_reach_is_refused() -> None:
    """Days by hand from the table of plans."""
    bars = BY_NAME["price_history"]

    def start(days: float, interval: str, plan: str) -> None:
        refuse(bars, {"interval": interval, "start_time": str(NOW - round(days * DAY))}, plan, NOW)

    for plan, interval, days in [
        ("hobbyist", "4h", 180), ("hobbyist", "12h", 360), ("startup", "30m", 90), ("startup", "1h", 180),
        ("standard", "1m", 6), ("standard", "3m", 20), ("standard", "5m", 30), ("standard", "30m", 180),
        ("professional", "1m", 12), ("professional", "12h", 720),
    ]:  # fmt: skip
        start(days, interval, plan)
        with pytest.raises(IntervalNotInPlan, match=f"{interval} of the last {days} days"):
            start(days + 1, interval, plan)
        start(9999, interval, "")
        start(9999, interval, "enterprise")
        start(9999, "1d", plan)
    with pytest.raises(IntervalNotInPlan, match="Standard reaches further") as caught:
        start(300, "4h", "startup")
    assert caught.value.needs == "standard"
    with pytest.raises(BadParameter, match="last 7 days, whatever the plan"):
        refuse(BY_NAME["liquidation_order"], {"start_time": str(NOW - 8 * DAY)}, "", NOW)


# --- parameters ----------------------------------------------------------------------------------------------------

BARS: dict[str, Any] = {"exchange": "Binance", "symbol": "BTCUSDT", "interval": "4h"}


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("price_history", {**BARS, "intervall": "4h"}, "no parameter 'intervall': did you mean interval"),
        ("price_history", {"exchange": "Binance"}, "needs symbol, interval; it takes exchange"),
        ("price_history", {**BARS, "interval": "2h"}, "interval '2h': .*allowed: 1m, 3m"),
        ("price_history", {**BARS, "exchange": "Binnance"}, "exchange 'Binnance': did you mean Binance"),
        ("price_history", {**BARS, "limit": 1001}, "limit 1001: a number from 1 to 1000"),
        ("price_history", {**BARS, "limit": "many"}, "limit 'many'"),
        ("price_history", {**BARS, "limit": True}, "limit True"),
        ("price_history", {**BARS, "limit": 2.5}, "limit 2.5"),
        ("price_history", {**BARS, "start_time": 1795000000}, "start_time 1795000000: .*were seconds given"),
        ("price_history", {**BARS, "start_time": "yesterday"}, "start_time 'yesterday': Unix milliseconds, a datetime"),
        ("price_history", {**BARS, "start_time": datetime(2026, 1, 1)}, "a time with a zone"),  # noqa: DTZ001
        ("price_history", {**BARS, "start_time": nan}, "start_time nan"),
        ("price_history", {**BARS, "start_time": NOW, "end_time": NOW}, "is not after start_time"),
        ("coin_netflow", {"symbol": "BTC", "exchange_list": 5}, "exchange_list 5: names of exchanges"),
        ("coin_netflow", {"symbol": "BTC", "exchange_list": []}, r"exchange_list \[\]: names of exchanges"),
        ("coin_netflow", {"symbol": "BTC", "exchange_list": "OKX,"}, "exchange '': .*allowed: OKX"),
        ("price_history", {**BARS, "symbol": " "}, "symbol is empty"),
        ("pairs_markets", {"symbol": "BTCUSDT"}, "takes a coin, such as BTC"),
        ("pairs_markets", {"symbol": "BTC/USDT"}, "takes a coin"),
        ("liquidation_exchange_list", {"range": "2h"}, "range '2h': .*allowed: 1h, 4h, 12h, 24h"),
        ("orderbook_ask_bids_history", {**BARS, "range": 4}, "range 4: .*allowed: 0.25"),
        ("orderbook_large_limit_order_history", {**BARS, "state": 4}, "no parameter 'interval'"),
        ("bitfinex_margin_long_short", {"symbol": "SOL", "interval": "4h"}, "symbol 'SOL': .*allowed: BTC, ETH"),
        ("funding_rate_exchange_list", {"coin": "BTC"}, "no parameter 'coin': .*allowed: symbol, exchange"),
        ("supported_coins", {"symbol": "BTC"}, "no parameter 'symbol': allowed: none"),
    ],
)  # fmt: skip
async def test_what_cannot_be_right_is_named_with_what_can(
    lab: Lab, cg: CoinGlass, name: str, wrong: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(BadParameter, match=said) as caught:
        await getattr(cg, name)(**wrong)
    assert isinstance(caught.value, ValueError)
    assert not caught.value.sent
    assert lab.seen == []


async def test_parameters_are_given_by_name(cg: CoinGlass) -> None:
    with pytest.raises(BadParameter, match="by name"):
        await cg.pairs_markets("BTC")  # type: ignore[call-arg]


async def test_an_endpoint_s_name_may_be_its_path_and_a_slip_is_told(lab: Lab, cg: CoinGlass) -> None:
    by_path = await cg.ask("/api/futures/pairs-markets", symbol="BTC")
    assert by_path["instrument_id"] == (await cg.pairs_markets(symbol="BTC"))["instrument_id"]
    with pytest.raises(UnknownEndpoint, match="did you mean price_history") as caught:
        await cg.ask("price_histroy")
    assert "price_history" in caught.value.nearest
    assert len(lab.seen) == 2


def test_values_are_written_as_coinglass_has_them() -> None:
    def written(name: str, **given_: Any) -> dict[str, str]:
        return checked(BY_NAME[name], given_)

    bars = written("price_history", exchange="huobi", symbol="BTC-USDT", interval="4H", start_time="2026-01-01")
    assert bars == {
        "exchange": "HTX", "symbol": "BTC-USDT", "interval": "4h", "limit": "1000", "start_time": "1767225600000",
    }  # fmt: skip
    same = (datetime(2026, 1, 1, tzinfo=UTC), pd.Timestamp("2026-01-01", tz="UTC"), "1767225600000", 1767225600000.0)
    for moment in same:
        assert written("price_history", **BARS, start_time=moment)["start_time"] == "1767225600000"
    assert written("price_history", exchange="NewVenue", symbol="x", interval="1d")["exchange"] == "NewVenue"
    lists = written("coin_netflow", symbol="BTC", exchange_list=["binance", "gate.io"])
    assert lists["exchange_list"] == "Binance,Gate"
    assert written("coin_netflow", symbol="BTC", exchange_list="all")["exchange_list"] == "ALL"
    assert written("orderbook_ask_bids_history", **BARS, range=0.5)["range"] == "0.5"
    assert written("orderbook_ask_bids_history", **BARS, range=1)["range"] == "1"
    order = written("liquidation_order", exchange="Binance", symbol="BTC", min_liquidation_amount=12.5)
    assert order["min_liquidation_amount"] == "12.5"
    assert "limit" not in written("open_interest_history", **BARS)


def test_the_notation_of_columns_refuses_what_it_cannot_read() -> None:
    with pytest.raises(ValueError, match="is no column"):
        fields_of("time!@ a-b")


# --- ranges --------------------------------------------------------------------------------------------------------


@settings(max_examples=2_000 if FULL else 100, deadline=None, database=None, derandomize=True)
@given(
    start=st.integers(10**12, 2 * 10**12), bars=st.floats(0.01, 50), limit=st.integers(1, 20),
    interval=st.sampled_from(["1m", "5m", "4h", "1d"]),
)  # fmt: skip
def test_the_parts_of_a_range_are_the_range(start: int, bars: float, limit: int, interval: str) -> None:
    step = {"1m": 60_000, "5m": 300_000, "4h": 14_400_000, "1d": 86_400_000}[interval]
    end = start + max(1, round(bars * step))
    parts = list(windows(start, end, interval, limit))
    assert parts[0][0] == start
    assert parts[-1][1] == end
    assert all(before[1] == after[0] for before, after in pairwise(parts))
    assert all(0 < b - a <= step * limit for a, b in parts)


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
@pytest.mark.parametrize("odd", [0, 1, 1_234_567])
async def test_a_range_comes_whole_each_bar_once(lab: Lab, cg: CoinGlass, limit: int, odd: int) -> None:
    start, end = NOW - 20 * HOUR + odd, NOW - 3 * HOUR
    found = await cg.price_history(**BARS | {"interval": "1h"}, limit=limit, start_time=start, end_time=end)
    wanted = list(range(-(-start // HOUR) * HOUR, end, HOUR))
    assert found["time"].tolist() == wanted
    spans = [dict(pair.split("=") for pair in path.partition("?")[2].split("&")) for path in asked(lab)]
    assert len(spans) == -(-(end - start) // (HOUR * limit))
    assert all(int(one["end_time"]) - int(one["start_time"]) <= HOUR * limit for one in spans)


async def test_a_range_of_an_endpoint_in_seconds_is_asked_in_milliseconds(lab: Lab, cg: CoinGlass) -> None:
    start = NOW // HOUR * HOUR - 9 * HOUR
    found = await cg.coinbase_premium_index(interval="1h", limit=4, start_time=start, end_time=start + 9 * HOUR)
    assert found["time"].tolist() == [start + HOUR * place for place in range(9)]
    assert f"start_time={start}" in asked(lab)[0]
    assert len(lab.seen) == 3


async def test_without_an_end_a_range_ends_now(cg: CoinGlass, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xex.model.clock.now_ms", lambda: NOW)
    found = await cg.price_history(**BARS, limit=2, start_time=NOW - 30 * HOUR)
    assert found["time"][-1] == NOW // (4 * HOUR) * 4 * HOUR, "the running bar is the last"
    assert (np.diff(found["time"]) == 4 * HOUR).all()


async def test_a_venue_that_sends_bars_beyond_the_range_or_twice_is_cut(lab: Lab, cg: CoinGlass) -> None:
    start = NOW // HOUR * HOUR - 2 * HOUR
    rows = [{"time": start + HOUR * place, "open": place} for place in (1, 0, -1, 2, 1)]
    lab.fault("coinglass", "status", code=200, body={"code": "0", "data": rows})
    for limit in (1000, 1):
        whole = {**BARS, "interval": "1h", "limit": limit, "start_time": start, "end_time": start + 2 * HOUR}
        found = await cg.price_history(**whole)
        assert found["time"].tolist() == [start, start + HOUR]
        assert found["open"].tolist() == [0.0, 1.0]


async def test_a_range_without_bars_is_empty(lab: Lab, cg: CoinGlass) -> None:
    lab.fault("coinglass", "status", code=200, body={"code": "0", "data": []})
    found = await cg.price_history(**BARS, start_time=NOW - 20 * HOUR, end_time=NOW)
    assert list(found) == list(BY_NAME["price_history"].schema)
    assert schema.length(found) == 0


async def test_sums_go_on_over_the_parts_of_a_range(lab: Lab, cg: CoinGlass) -> None:
    """CoinGlass sums from the start of each request; over four requests of two bars each it is one sum."""
    start = NOW // HOUR * HOUR - 8 * HOUR

    def body(first: int) -> dict[str, Any]:
        flows = [(1.0, 5.0, -4.0), (2.0, 3.0, -5.0)]
        names = ("time", "taker_buy_vol", "taker_sell_vol", "cum_vol_delta")
        times = (start + HOUR * first, start + HOUR * (first + 1))
        rows = [dict(zip(names, (time, *flow), strict=True)) for time, flow in zip(times, flows, strict=True)]
        return {"code": "0", "data": rows}

    for first in (0, 2, 4, 6):
        lab.fault("coinglass", "status", times=1, code=200, body=body(first))
    found = await cg.cvd_history(**BARS | {"interval": "1h"}, limit=2, start_time=start, end_time=start + 8 * HOUR)
    assert found["cum_vol_delta"].tolist() == [-4.0, -5.0, -9.0, -10.0, -14.0, -15.0, -19.0, -20.0]
    assert found["buy_volume"].tolist() == [1.0, 2.0] * 4


async def test_a_full_answer_of_orders_is_asked_again_in_halves(lab: Lab, cg: CoinGlass) -> None:
    minutes = 3_500
    start = NOW // 60_000 * 60_000 - minutes * 60_000
    found = await cg.orderbook_large_limit_order_history(
        exchange="Binance", symbol="BTCUSDT", state=2, start_time=start, end_time=start + minutes * 60_000
    )
    assert found["start_time"].tolist() == [start + 60_000 * place for place in range(minutes)]
    assert len(set(found["id"])) == minutes
    assert len(lab.seen) == 7  # 3500 → 2 × 1750 → 4 × 875


# --- the rest ------------------------------------------------------------------------------------------------------


async def test_any_path_can_be_asked_and_comes_as_it_is(lab: Lab) -> None:
    async with client(lab) as cg:
        assert await cg.get("/api/futures/supported-coins") == list(glass.COINS)
        assert await cg.get(" //api/futures//supported-coins/ ") == list(glass.COINS)
        assert (await cg.get(glass.SUBSCRIPTION))["level"] == "PROFESSIONAL"
        body = {"code": "0", "data": {"a": [1]}}
        lab.fault("coinglass", "status", path="/api/index/new", times=1, code=200, body=body)
        assert await cg.get("/api/index/new", window=3, nothing=None) == {"a": [1]}
        assert lab.seen[-1].path_qs == "/api/index/new?window=3"
        for wrong in ("https://elsewhere.example/api/futures/supported-coins", "futures/coins", "/api/x?key=1", ""):
            with pytest.raises(UnknownEndpoint):
                await cg.get(wrong)


async def test_coins_are_chosen_here_where_coinglass_sends_all(lab: Lab, cg: CoinGlass) -> None:
    found = await cg.funding_rate_exchange_list(symbol="eth", exchange="binance")
    assert (found["symbol"], found["margin"]) == (["ETH", "ETH"], ["stablecoin", "token"])
    assert asked(lab) == ["/api/futures/funding-rate/exchange-list"]
    none = await cg.funding_rate_exchange_list(symbol="NOSUCH")
    assert schema.length(none) == 0
    assert list(none) == list(found)


async def test_the_budget_is_what_coinglass_says(lab: Lab) -> None:
    def ledger() -> Any:
        (found,) = (book for (_, name, _), book in PROCESS._ledgers.items() if name == "key")
        return found

    for key, allowed in ((HOBBYIST, 30), (STANDARD, 300), (KEY, 1200), (STARTUP, 80)):
        PROCESS._ledgers.clear()
        async with client(lab, key) as cg:
            await cg.pairs_markets(symbol="BTC")
        assert ledger().weight == allowed
        assert ledger().used == 1
    told = {"API-KEY-MAX-LIMIT": "80", "API-KEY-USE-LIMIT": "77"}
    (limit,) = CoinGlass.limits
    lowered = {name.lower(): value for name, value in told.items()}
    assert (limit.most(lowered), limit.used(lowered)) == (80.0, 77.0)
    assert limit.most({}) is None
    assert limit.most({"api-key-max-limit": "0"}) is None


async def test_a_spent_budget_is_not_overdrawn(lab: Lab) -> None:
    from xex.access.deadline import until

    async with client(lab, HOBBYIST) as cg:
        await asyncio.gather(*(cg.pairs_markets(symbol="BTC") for _ in range(30)))
        with until(0.04), pytest.raises(RateLimited, match=r"\(30 per 60 s\) is spent"):
            await cg.pairs_markets(symbol="BTC")
    assert len(lab.seen) == 30


async def test_the_list_of_what_can_be_asked(cg: CoinGlass) -> None:
    frame = schema.frame(cg.endpoints(), "endpoints")
    assert frame["name"].tolist() == NAMES
    row = frame.set_index("name").loc["price_history"]
    assert row["parameters"] == "exchange symbol interval [limit] [start_time] [end_time]"
    assert (row["plan"], row["history"], row["intervals"].split()[0]) == ("hobbyist", "by plan and interval", "1m")
    assert cg.schema_of("/api/futures/price/history") == cg.schema_of("price_history")


def test_every_number_has_a_unit_or_is_a_plain_one() -> None:
    plain = {"bias_score", "trade_count"}
    for endpoint in ENDPOINTS:
        for field in endpoint.fields:
            assert field.unit or field.dtype == schema.TEXT or field.name in plain, (endpoint.name, field.name)


def test_an_endpoint_is_described_once() -> None:
    assert max(Counter(one.path for one in ENDPOINTS).values()) == 1
    assert max(Counter(NAMES).values()) == 1
    assert all(isinstance(one, Endpoint) for one in ENDPOINTS)
