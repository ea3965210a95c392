"""The lab's CoinGlass: its table against documented bodies, how it refuses, and its liquidations."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Forced, default_truth
from tests.lab import encode_coinglass as glass
from tests.lab.coinglass_fields import ENDPOINTS

DATA = Path(os.environ.get("XEX_DATA", Path(__file__).parents[3] / "shared" / "data")) / "coinglass"
recorded = pytest.mark.skipif(not DATA.is_dir(), reason="needs recorded data: ../shared/data or XEX_DATA")
NOW = 1_795_000_000_000
HOUR = 3_600_000


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield places as the table writes them, and what stands there."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{place}[]")
    else:
        yield place, value


def form(value: Any) -> str:
    return "text" if isinstance(value, str) else "number"


@recorded
@pytest.mark.parametrize("path", [path for path, one in ENDPOINTS.items() if one.keys and one.kind != "by_exchange"])
def test_keys_and_forms_are_those_of_the_documented_bodies(path: str) -> None:
    file = DATA / "doc_examples" / f"{path.removeprefix('/api/').replace('/', '_')}.json"
    body = json.loads(file.read_bytes())["data"]
    rows = body if isinstance(body, list) else [body]
    known = {key: "text" if kind == "str" else "number" for key, kind in ENDPOINTS[path].keys}
    seen = {key: form(value) for row in rows for key, value in leaves(row) if value is not None}
    assert seen
    slips = {"net_flow_usd_1w"} if path == "/api/spot/netflow-list" else set()
    assert {key: kind for key, kind in seen.items() if key not in slips} == {
        key: known[key] for key in seen if key not in slips
    }


def ask(path: str, *, key: str | None = glass.KEY, truth: Any = None, **query: Any) -> Any:
    head = {} if key is None else {glass.HEADER: key}
    given = {name: str(value) for name, value in query.items()}
    return glass.reply(truth or default_truth(), path, {**given, **head}, NOW).body


BARS = {"exchange": "Binance", "symbol": "BTCUSDT", "interval": "1h"}
HISTORY = "/api/futures/price/history"


@pytest.mark.parametrize(
    ("path", "changed", "code", "said"),
    [
        (HISTORY, {"key": None}, "400", "API key missing."),
        (HISTORY, {"key": "other"}, "401", "Invalid API key"),
        (HISTORY, {"key": "the-hobbyist-key-of-the-lab"}, "403", "not available for your current API plan"),
        (HISTORY, {"interval": "2h"}, "500", "Server Error"),
        (HISTORY, {"symbol": "BTC"}, "400", "does not exist on the exchange"),
        (HISTORY, {"limit": 1001}, "400", "at most 1000"),
        ("/api/futures/coins-markets", {"key": "the-startup-key-of-the-lab"}, "401", "Upgrade plan"),
        ("/api/futures/furures", {}, "404", "Endpoint not found"),
    ],
)
def test_refusals_are_coinglass_s(path: str, changed: dict[str, Any], code: str, said: str) -> None:
    body = ask(path, **{**BARS, "limit": 5, **changed})
    assert body["code"] == code
    assert said in body["msg"]


def test_a_missing_parameter_is_named() -> None:
    assert ask(HISTORY, exchange="Binance")["msg"] == "Required String parameter 'symbol' is not present"


def test_a_range_holds_its_start_and_not_its_end() -> None:
    """As the recorded bodies do."""
    begin = NOW // HOUR * HOUR - 3 * HOUR
    rows = ask(HISTORY, **BARS, limit=1000, start_time=begin, end_time=begin + 3 * HOUR)["data"]
    assert [row["time"] for row in rows] == [begin, begin + HOUR, begin + 2 * HOUR]
    later = ask(HISTORY, **BARS, limit=1000, start_time=begin + 1, end_time=begin + 3 * HOUR)["data"]
    assert [row["time"] for row in later] == [begin + HOUR, begin + 2 * HOUR], "it moves forward to a bar"
    assert all(isinstance(row["close"], str) for row in rows)
    seconds = ask("/api/coinbase-premium-index", interval="1h", limit=1000, start_time=begin, end_time=begin + HOUR)
    assert [row["time"] for row in seconds["data"]] == [begin // 1000]


def test_both_conventions_tell_of_the_same_liquidations() -> None:
    struck = (
        Forced("binance", "BTCUSDT", "BTC", NOW - 10_000, Decimal(50_000), Decimal(900), "long"),
        Forced("binance", "BTCUSDC", "BTC", NOW - 20_000, Decimal(50_000), Decimal(70), "short"),
    )
    truth = dataclasses.replace(default_truth(), forced=struck)
    query = {"exchange": "Binance", "symbol": "BTC", "min_liquidation_amount": "100"}
    conventions: tuple[tuple[Any, int], ...] = (("position", 1), ("order", 2))
    for side_is, code in conventions:
        world = dataclasses.replace(truth, side_is=side_is)
        (row,) = ask(glass.ORDERS, truth=world, **query)["data"]
        assert (row["exchange_name"], row["symbol"], row["side"], row["usd_value"]) == ("BINANCE", "BTCUSDT", code, 900)
        pair = ask("/api/futures/liquidation/history", truth=world, **BARS, limit=1)["data"]
        assert [(row["long_liquidation_usd"], row["short_liquidation_usd"]) for row in pair] == [("900", "0")]
        query_: dict[str, Any] = {"exchange_list": "Binance,OKX", "symbol": "BTC", "interval": "1h", "limit": 1}
        (coin,) = ask("/api/futures/liquidation/aggregated-history", truth=world, **query_)["data"]
        assert coin["aggregated_long_liquidation_usd"] == 900
        assert coin["aggregated_short_liquidation_usd"] == 70
