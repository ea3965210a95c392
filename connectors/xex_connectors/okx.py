"""OKX: perpetual swaps through ccxt `okx`. Swaps count in contracts, but their `volCcy24h` is in coin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xex.access.budgets import Limit
from xex.model.units import Amount, Evidence, Units
from xex_connectors.ccxt_adapter import CcxtConnector
from xex_connectors.mapping import BookMap, Fee, InstrumentMap, TickerMap, ValueMap


def _contract_size(row: Mapping[str, Any]) -> float:
    """Return coins per contract; a linear contract counted in anything but its base coin is not understood."""
    if row["ctValCcy"] != row["instId"].split("-")[0]:
        raise ValueError(row["ctValCcy"])
    return float(row["ctVal"]) * float(row.get("ctMult") or 1)


class OkxConnector(CcxtConnector):
    """OKX."""

    classes = {"linear": "okx"}
    units = {
        "linear": Units(
            "okx.linear", size=Amount.CONTRACTS, lot=Amount.CONTRACTS, quote_volume=Amount.DERIVED,
            proof="ctVal; vol24h = volCcy24h / ctVal", evidence=Evidence.RECORDED,
        )
    }  # fmt: skip
    fees = {"linear": Fee(5.0, 2.0, "published: perpetual swaps, regular tier")}
    instrument_maps = {
        "linear": InstrumentMap(
            "publicGetPublicInstruments",
            id="instId",
            rows="data",
            params={"instType": "SWAP"},
            ok=("code", "0"),
            where={"ctType": {"linear"}},
            active=("state", "live"),
            fields={
                "base": lambda row: row["instId"].split("-")[0], "quote": lambda row: row["instId"].split("-")[1],
                "settle": "settleCcy", "contract_size": _contract_size,
                "tick": "tickSz", "lot": "lotSz", "min_amount": "minSz",
            },
        )
    }  # fmt: skip
    ticker_maps = {
        "linear": (
            TickerMap(
                "publicGetMarketTickers", id="instId", rows="data", params={"instType": "SWAP"}, ok=("code", "0"),
                time="ts", time_source="quote",
                fields={
                    "bid": "bidPx", "bid_size": "bidSz", "ask": "askPx", "ask_size": "askSz", "last": "last",
                    "open": "open24h", "high": "high24h", "low": "low24h", "base_volume": "volCcy24h",
                },
            ),
        )
    }  # fmt: skip
    book_maps = {
        "linear": BookMap(
            "publicGetMarketBooks", id="instId", bids="data.0.bids", asks="data.0.asks", limit=("sz", 400),
            ok=("code", "0"), time="data.0.ts", time_source="quote",
        )
    }  # fmt: skip
    time_map = ValueMap("publicGetPublicTime", "data.0.ts", ok=("code", "0"))
    status_map = ValueMap("publicGetSystemStatus", "data.0.state", ok=("code", "0"), good=("completed", "canceled", ""))
    limits = (
        Limit("tickers", "www.okx.com", 20, 2, path="/market/tickers$"),
        Limit("books", "www.okx.com", 40, 2, path="/market/books$"),
        Limit("instruments", "www.okx.com", 20, 2, path="/public/instruments$"),
        Limit("time", "www.okx.com", 10, 2, path="/public/time$"),
        Limit("status", "www.okx.com", 1, 5, path="/system/status$"),
    )
