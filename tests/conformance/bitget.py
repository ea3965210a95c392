"""Bitget: spot and USDT perpetuals, all in coins. A venue that is no part of xex, in one file of data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from xex.model.units import Evidence, Units
from xex_connectors.ccxt_adapter import CcxtConnector
from xex_connectors.mapping import (
    BookMap,
    Fee,
    InstrumentMap,
    Market,
    TickerMap,
    TradeMap,
    ValueMap,
    per_path,
    step,
)

_OK = ("code", "00000")
_USDT = {"productType": "USDT-FUTURES"}


def _bps(path: str) -> Callable[[Mapping[str, Any]], float]:
    return lambda row: 1e4 * float(row[path])


_FEES = {"taker_bps": _bps("takerFeeRate"), "maker_bps": _bps("makerFeeRate")}
_FIELDS: dict[str, Any] = {"base": "baseCoin", "quote": "quoteCoin", "min_notional": "minTradeUSDT", **_FEES}
_TICKER = {
    "bid": "bidPr", "bid_size": "bidSz", "ask": "askPr", "ask_size": "askSz", "last": "lastPr", "high": "high24h",
    "low": "low24h", "base_volume": "baseVolume", "quote_volume": "quoteVolume",
}  # fmt: skip
_ROWS: dict[str, Any] = {"id": "symbol", "rows": "data", "ok": _OK}
_BOOK: dict[str, Any] = {
    "id": "symbol", "bids": "data.bids", "asks": "data.asks", "limit": "limit", "ok": _OK, "time": "data.ts",
}  # fmt: skip
_TRADES: dict[str, Any] = {
    **_ROWS, "buys": "Buy", "sells": "Sell",
    "fields": {"trade_id": "tradeId", "price": "price", "size": "size", "side": "side", "time": "ts"},
}  # fmt: skip


class BitgetConnector(CcxtConnector):
    """Bitget."""

    markets: ClassVar[Any] = {
        "linear": Market(
            "bitget", Units("bitget.linear", proof="quoteVolume / baseVolume is a price", evidence=Evidence.DOCUMENTED),
            Fee(6.0, 2.0, "published: USDT-M futures, regular tier"),
            InstrumentMap("publicMixGetV2MixMarketContracts", **_ROWS, params=_USDT, active=("symbolStatus", "normal"),
                where={"symbolType": {"perpetual"}},
                fields={**_FIELDS, "settle": "quoteCoin", "lot": "sizeMultiplier", "min_amount": "minTradeNum",
                    "tick": lambda row: float(row["priceEndStep"]) / 10.0 ** int(row["pricePlace"])}),
            (TickerMap("publicMixGetV2MixMarketTickers", **_ROWS, params=_USDT, one="symbol", time="ts",
                one_call="publicMixGetV2MixMarketTicker",
                fields={**_TICKER, "open": "open24h", "mark": "markPrice", "index": "indexPrice"}),),
            BookMap("publicMixGetV2MixMarketMergeDepth", params=_USDT, depths=(100,), **_BOOK),
            TradeMap("publicMixGetV2MixMarketFills", params=_USDT, limit=("limit", 100), **_TRADES),
            TickerMap("publicMixGetV2MixMarketTickers", **_ROWS, params=_USDT, time="ts",
                fields={"oi": "holdingAmount", "mark": "markPrice"})),
        "spot": Market(
            "bitget", Units("bitget.spot", proof="quoteVolume / baseVolume is a price", evidence=Evidence.DOCUMENTED),
            Fee(20.0, 20.0, "published: spot, regular tier"),
            InstrumentMap("publicSpotGetV2SpotPublicSymbols", **_ROWS, active=("status", "online"),
                fields={**_FIELDS, "tick": step("pricePrecision"), "lot": step("quantityPrecision"),
                    "min_amount": "minTradeAmount"}),
            (TickerMap("publicSpotGetV2SpotMarketTickers", **_ROWS, one="symbol", time="ts",
                fields={**_TICKER, "open": "open"}),),
            BookMap("publicSpotGetV2SpotMarketOrderbook", depths=(150,), **_BOOK),
            TradeMap("publicSpotGetV2SpotMarketFills", limit=("limit", 500), **_TRADES)),
    }  # fmt: skip
    time_map = ValueMap("publicCommonGetV2PublicTime", "data.serverTime", ok=_OK)
    limits = per_path("api.bitget.com", {
        "/tickers?$": (20, 1), "/(orderbook|merge-depth)$": (20, 1), "/fills$": (10, 1),
        "/(symbols|contracts|time)$": (20, 1),
    })  # fmt: skip
