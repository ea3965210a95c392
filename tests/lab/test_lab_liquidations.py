"""The lab's liquidations: what it sends is what the venues document, worked out by hand."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

from tests.lab import Forced, default_truth, encode_htx, encode_krakenfutures, encode_okx, extra_markets

NOW = 1_795_000_000_000
FORCED = (
    Forced("okx", "BTC-USDT-SWAP", "BTC", NOW - 1000, Decimal(50_000), Decimal(25_000), "long"),
    Forced("okx", "BTC-USDT-SWAP", "BTC", NOW - 3000, Decimal(50_000), Decimal(5_000), "short"),
    Forced("okx", "BTC-USD-SWAP", "BTC", NOW - 2000, Decimal(50_000), Decimal(5_000), "short"),
    Forced("htx", "BTC-USDT", "BTC", NOW - 1000, Decimal(50_000), Decimal(25_000), "long"),
    Forced("htx", "BTC-USD", "BTC", NOW - 1000, Decimal(50_000), Decimal(25_000), "short"),
    Forced("krakenfutures", "PI_XBTUSD", "BTC", NOW - 5, Decimal(50_000), Decimal(25_000), "long"),
)
TRUTH = dataclasses.replace(default_truth().adding(extra_markets()), forced=FORCED)


def okx(**query: str) -> Any:
    asked = {"instType": "SWAP", "state": "filled", "instFamily": "BTC-USDT", **query}
    return encode_okx.reply(TRUTH, "/api/v5/public/liquidation-orders", asked, NOW).body


def test_okx_counts_contracts_and_tells_both_sides() -> None:
    (row,) = okx()["data"]
    assert (row["instId"], row["instFamily"]) == ("BTC-USDT-SWAP", "BTC-USDT")
    told = [(one["bkPx"], one["sz"], one["side"], one["posSide"], one["ts"]) for one in row["details"]]
    # 25,000 dollars at 50,000 are half a coin, 50 contracts of a hundredth.
    assert told == [
        ("50000", "50", "sell", "long", str(NOW - 1000)), ("50000", "10", "buy", "short", str(NOW - 3000)),
    ]  # fmt: skip
    (inverse,) = okx(instFamily="BTC-USD")["data"]
    assert inverse["details"][0]["sz"] == "50", "contracts of 100 dollars"


def test_okx_pages_by_time_and_needs_a_family() -> None:
    assert [one["ts"] for one in okx(limit="1")["data"][0]["details"]] == [str(NOW - 1000)]
    assert [one["ts"] for one in okx(after=str(NOW - 1000))["data"][0]["details"]] == [str(NOW - 3000)]
    assert [one["ts"] for one in okx(before=str(NOW - 3000))["data"][0]["details"]] == [str(NOW - 1000)]
    assert okx(after=str(NOW - 3000))["data"] == []
    lacking = {"instType": "SWAP", "state": "filled"}
    assert encode_okx.reply(TRUTH, "/api/v5/public/liquidation-orders", lacking, NOW).body["code"] == "50015"
    assert okx(state="any")["code"] == "51000"
    assert okx(instFamily="NO-SUCH")["code"] == "51014"


def test_htx_writes_text_for_linear_and_numbers_for_inverse_contracts() -> None:
    body = encode_htx.reply(TRUTH, "/v5/market/liquidation_orders", {"contract_code": "BTC-USDT"}, NOW).body
    (row,) = body["data"]
    assert (body["code"], row["side"], row["position_side"]) == (200, "sell", "long")
    # Half a coin is 500 contracts of a thousandth; the amount repeats them.
    assert (row["volume"], row["amount"], row["bankrupt_price"]) == ("500", "500", "50000")
    assert row["trade_turnover"] == "25000"
    query = {"contract": "BTC-USD", "trade_type": "0"}
    (row,) = encode_htx.reply(TRUTH, "/swap-api/v3/swap_liquidation_orders", query, NOW).body["data"]
    assert (row["direction"], row["offset"], row["volume"], row["amount"]) == ("buy", "close", 250, 0.5)
    assert (row["price"], row["created_at"]) == (50_000, NOW - 1000)


def test_htx_refuses_what_is_too_long_or_unknown() -> None:
    path, query = "/v5/market/liquidation_orders", {"contract_code": "BTC-USDT"}
    long = {**query, "start_time": str(NOW - 7_200_001), "end_time": str(NOW)}
    assert encode_htx.reply(TRUTH, path, long, NOW).body["code"] == 1067
    assert encode_htx.reply(TRUTH, path, {"contract_code": "NO-SUCH"}, NOW).body["code"] == 1332
    late = {**query, "start_time": str(NOW - 999), "end_time": str(NOW)}
    assert encode_htx.reply(TRUTH, path, late, NOW).body["data"] == []


def test_kraken_s_tape_holds_liquidations_among_the_trades() -> None:
    path = "/derivatives/api/v3/history"
    rows = encode_krakenfutures.reply(TRUTH, path, {"symbol": "PI_XBTUSD"}, NOW).body["history"]
    (row,) = [one for one in rows if one["type"] == "liquidation"]
    assert rows[0] == row, "newest first"
    assert (row["side"], row["size"], row["price"]) == ("sell", 25_000, 50_000), "contracts of a dollar"
    assert len(rows) > 1
    earlier = {"symbol": "PI_XBTUSD", "lastTime": row["time"]}
    assert encode_krakenfutures.reply(TRUTH, path, earlier, NOW).body["history"] == rows[1:]
