"""Binance: USDⓈ-M perpetuals through ccxt `binanceusdm`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xex.access.budgets import Limit
from xex.model.units import Evidence, Units
from xex_connectors.ccxt_adapter import CcxtConnector
from xex_connectors.mapping import BookMap, Fee, InstrumentMap, TickerMap, ValueMap


def _filter(kind: str, name: str) -> Any:
    """Read a trading rule: Binance keeps them in a list of objects, not in fields."""

    def read(row: Mapping[str, Any]) -> Any:
        return next((rule[name] for rule in row["filters"] if rule["filterType"] == kind), None)

    return read


def _depth_cost(query: Mapping[str, str]) -> float:
    limit = int(query.get("limit", 500))
    return next((cost for most, cost in ((50, 2), (100, 5), (500, 10)) if limit <= most), 20)


class BinanceConnector(CcxtConnector):
    """Binance."""

    classes = {"linear": "binanceusdm"}
    units = {
        "linear": Units("binance.linear", proof="24hr volume, quoteVolume; contract size 1", evidence=Evidence.RECORDED)
    }
    fees = {"linear": Fee(5.0, 2.0, "published: USDⓈ-M futures, regular tier")}
    instrument_maps = {
        "linear": InstrumentMap(
            "fapiPublicGetExchangeInfo",
            id="symbol",
            rows="symbols",
            where={"contractType": {"PERPETUAL"}},
            active=("status", "TRADING"),
            fields={
                "base": "baseAsset", "quote": "quoteAsset", "settle": "marginAsset",
                "tick": _filter("PRICE_FILTER", "tickSize"), "lot": _filter("LOT_SIZE", "stepSize"),
                "min_amount": _filter("LOT_SIZE", "minQty"), "min_notional": _filter("MIN_NOTIONAL", "notional"),
            },
        )
    }  # fmt: skip
    ticker_maps = {
        "linear": (
            TickerMap(
                "fapiPublicGetTickerBookTicker", id="symbol", one="symbol", time="time", time_source="quote",
                fields={"bid": "bidPrice", "bid_size": "bidQty", "ask": "askPrice", "ask_size": "askQty"},
            ),
            TickerMap(
                "fapiPublicGetTicker24hr", id="symbol", one="symbol", quotes=False,
                time="closeTime", time_source="trade",
                fields={
                    "last": "lastPrice", "open": "openPrice", "high": "highPrice", "low": "lowPrice",
                    "base_volume": "volume", "quote_volume": "quoteVolume",
                },
            ),
        )
    }  # fmt: skip
    book_maps = {
        "linear": BookMap(
            "fapiPublicGetDepth", id="symbol", bids="bids", asks="asks", limit=("limit", 500),
            time="T", time_source="quote",
        )
    }  # fmt: skip
    time_map = ValueMap("fapiPublicGetTime", "serverTime")
    status_map = ValueMap("sapiGetSystemStatus", "msg", ok=("status", "0"), good=("normal",))
    limits = (
        Limit(
            "weight", "fapi.binance.com", 2400, 60, used_header="X-MBX-USED-WEIGHT-1M",
            costs={
                "/depth$": _depth_cost,
                "/ticker/24hr$": lambda query: 1 if "symbol" in query else 40,
                "/ticker/bookTicker$": lambda query: 2 if "symbol" in query else 5,
            },
        ),
        Limit("weight", "api.binance.com", 6000, 60, used_header="X-MBX-USED-WEIGHT-1M"),
    )  # fmt: skip
