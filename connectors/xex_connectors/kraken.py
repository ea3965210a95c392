"""Kraken: spot through ccxt `kraken`, perpetuals through `krakenfutures`. Perpetuals are quoted in USD."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xex.access.budgets import Limit
from xex.model.units import Amount, Evidence, Units
from xex_connectors.ccxt_adapter import CcxtConnector, SpotCurrencies
from xex_connectors.mapping import KEY, BookMap, Fee, InstrumentMap, TickerMap, ValueMap


def _code(place: int, fallback: str) -> Callable[[Mapping[str, Any]], str]:
    """Read a currency from the websocket name, XBT/USD: the REST codes carry X and Z prefixes."""

    def read(row: Mapping[str, Any]) -> str:
        if "/" in (row.get("wsname") or ""):
            return str(row["wsname"].split("/")[place])
        code = str(row[fallback])
        return code[1:] if len(code) == 4 and code[0] in "XZ" else code

    return read


def _decimals(row: Mapping[str, Any]) -> float:
    return float(10.0 ** -int(row["lot_decimals"]))


def _perpetual_base(row: Mapping[str, Any]) -> str:
    """PF_XBTUSD: no field of the instrument names its currencies in every version of the list."""
    return str(row["symbol"])[len("PF_") : -len("USD")]


class KrakenConnector(SpotCurrencies, CcxtConnector):
    """Kraken, spot and futures."""

    classes = {"linear": "krakenfutures", "spot": "kraken"}
    currency_pairs = (("USDT", "USD"), ("USDC", "USD"), ("USDC", "USDT"))
    units = {
        "linear": Units("kraken.linear", proof="vol24h, volumeQuote; contractSize 1", evidence=Evidence.DOCUMENTED),
        "spot": Units(
            "kraken.spot", quote_volume=Amount.AVERAGED, proof="v.1 in base, p.1 its average price",
            evidence=Evidence.DOCUMENTED,
        ),
    }  # fmt: skip
    fees = {
        "linear": Fee(5.0, 2.0, "published: futures, lowest volume tier"),
        "spot": Fee(40.0, 25.0, "published: spot, lowest volume tier"),
    }
    instrument_maps = {
        "linear": InstrumentMap(
            "publicGetInstruments",
            id="symbol",
            rows="instruments",
            ok=("result", "success"),
            where={"type": {"flexible_futures"}, "lastTradingTime": {"", "None"}},
            active=("tradeable", "True"),
            fields={
                "base": _perpetual_base, "quote": lambda _: "USD", "settle": lambda _: "USD",
                "contract_size": "contractSize", "tick": "tickSize",
                "lot": lambda row: 10.0 ** -int(row["contractValueTradePrecision"]),
                "min_amount": lambda row: 10.0 ** -int(row["contractValueTradePrecision"]),
            },
        ),
        "spot": InstrumentMap(
            "publicGetAssetPairs",
            id=KEY,
            rows="result",
            ok=("error", ""),
            where={"aclass_base": {"currency", ""}},
            active=("status", "online"),
            fields={
                "base": _code(0, "base"), "quote": _code(1, "quote"), "tick": "tick_size", "lot": _decimals,
                "min_amount": "ordermin", "min_notional": "costmin",
                "taker_bps": lambda row: 100 * float(row["fees"][0][1]),
                "maker_bps": lambda row: 100 * float(row["fees_maker"][0][1]),
            },
        ),
    }  # fmt: skip
    ticker_maps = {
        "linear": (
            TickerMap(
                "publicGetTickers", id="symbol", rows="tickers", ok=("result", "success"),
                time="lastTime", time_is_text=True, time_source="trade", halted="suspended",
                fields={
                    "bid": "bid", "bid_size": "bidSize", "ask": "ask", "ask_size": "askSize", "last": "last",
                    "open": "open24h", "high": "high24h", "low": "low24h", "mark": "markPrice",
                    "index": "indexPrice", "base_volume": "vol24h", "quote_volume": "volumeQuote",
                },
            ),
        ),
        # No `open`: Kraken's is today's first trade, not that of 24 hours ago.
        "spot": (
            TickerMap(
                "publicGetTicker", id=KEY, rows="result", many="pair", ok=("error", ""),
                fields={
                    "bid": "b.0", "bid_size": "b.2", "ask": "a.0", "ask_size": "a.2", "last": "c.0",
                    "high": "h.1", "low": "l.1", "base_volume": "v.1", "vwap": "p.1",
                },
            ),
        ),
    }  # fmt: skip
    book_maps = {
        "linear": BookMap(
            "publicGetOrderbook", id="symbol", bids="orderBook.bids", asks="orderBook.asks",
            ok=("result", "success"), time="serverTime", time_source="server",
        ),
        "spot": BookMap(
            "publicGetDepth", id="pair", bids="result.{id}.bids", asks="result.{id}.asks", limit=("count", 500),
            ok=("error", ""),
        ),
    }  # fmt: skip
    time_map = ValueMap("publicGetTime", "result.unixtime", ok=("error", ""), scale=1000.0)
    status_map = ValueMap("publicGetSystemStatus", "result.status", ok=("error", ""), good=("online",))
    limits = (
        Limit("public", "api.kraken.com", 10, 10, path="^/0/public/(?!Depth)"),
        Limit("depth", "api.kraken.com", 10, 10, path="^/0/public/Depth$", per="pair"),
        Limit("derivatives", "futures.kraken.com", 500, 10),
    )
