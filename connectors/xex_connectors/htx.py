"""HTX (Huobi): spot and linear swaps. Swaps count in contracts, and what was traded once for each side."""

from __future__ import annotations

from typing import Any

from xex.access.budgets import Limit
from xex.errors import RateLimited
from xex.model.units import Amount, Evidence, Units
from xex_connectors.ccxt_adapter import CcxtConnector
from xex_connectors.mapping import BookMap, Fee, InstrumentMap, Market, TickerMap, TradeMap, ValueMap, part, step

_OK = ("status", "ok")
_DAY = {"last": "close", "open": "open", "high": "high", "low": "low", "base_volume": "amount"}
_BOOK: dict[str, Any] = {
    "bids": "tick.bids", "asks": "tick.asks", "depths": (150,), "params": {"type": "step0"}, "ok": _OK,
    "time": "tick.ts",
}  # fmt: skip
_TRADES: dict[str, Any] = {
    "rows": "data", "inner": "data", "ok": _OK, "buys": "buy", "sells": "sell", "limit": ("size", 2000),
}  # fmt: skip
_TRADE = {"price": "price", "size": "amount", "side": "direction", "time": "ts"}


class HtxConnector(CcxtConnector):
    """HTX."""

    markets = {
        "linear": Market(
            "htx",
            Units("htx.linear", size=Amount.CONTRACTS, lot=Amount.CONTRACTS, two_sided=("volume", "trades"),
                proof="contract_size; amount, trade_turnover and a trade's amount are sums of both sides",
                evidence=Evidence.DOCUMENTED),
            Fee(5.0, 2.0, "published: USDT-margined swaps, base tier"),
            InstrumentMap("contractPublicGetLinearSwapApiV1SwapContractInfo", id="contract_code", rows="data", ok=_OK,
                params={"business_type": "swap"}, where={"business_type": {"swap"}}, active=("contract_status", "1"),
                fields={"base": "symbol", "quote": part("contract_code", 1), "settle": part("contract_code", 1),
                    "contract_size": "contract_size", "tick": "price_tick", "lot": "=1", "min_amount": "=1"}),
            (TickerMap("contractPublicGetLinearSwapExMarketDetailBatchMerged", id="contract_code", rows="ticks", ok=_OK,
                one="contract_code", params={"business_type": "swap"}, time="ts", fields={**_DAY, "bid": "bid.0",
                    "bid_size": "bid.1", "ask": "ask.0", "ask_size": "ask.1", "quote_volume": "trade_turnover"}),),
            BookMap("contractPublicGetLinearSwapExMarketDepth", id="contract_code", **_BOOK),
            TradeMap("contractPublicGetLinearSwapExMarketHistoryTrade", id="contract_code",
                fields={**_TRADE, "trade_id": "id"}, **_TRADES)),
        "spot": Market(
            "htx", Units("htx.spot", proof="amount in base, vol in quote", evidence=Evidence.DOCUMENTED),
            Fee(20.0, 20.0, "published: spot, base tier"),
            InstrumentMap("spotPublicGetV1CommonSymbols", id="symbol", rows="data", ok=_OK, active=("state", "online"),
                fields={"base": "base-currency", "quote": "quote-currency", "tick": step("price-precision"),
                    "lot": step("amount-precision"), "min_amount": "limit-order-min-order-amt",
                    "min_notional": "min-order-value"}),
            (TickerMap("spotPublicGetMarketTickers", id="symbol", rows="data", ok=_OK, fields={**_DAY, "bid": "bid",
                "bid_size": "bidSize", "ask": "ask", "ask_size": "askSize", "quote_volume": "vol"}),),
            BookMap("spotPublicGetMarketDepth", id="symbol", **_BOOK),
            TradeMap("spotPublicGetMarketHistoryTrade", id="symbol", fields={**_TRADE, "trade_id": "trade-id"},
                **_TRADES)),
    }  # fmt: skip
    time_map = ValueMap("spotPublicGetV1CommonTimestamp", "data", ok=_OK)
    status_map = ValueMap("spotPublicGetV2MarketStatus", "data.marketStatus", ok=("code", "200"), good=("1",))
    words = {"1032": RateLimited}
    limits = (
        Limit("public", "api.huobi.pro", 10, 1),
        Limit("market", "api.hbdm.vn", 800, 1, path="/market/"),
        Limit("other", "api.hbdm.vn", 240, 3, path="^(?!.*/market/)"),
    )
