"""HTX (Huobi): spot, swaps and futures. Contracts are what is counted, and what was traded once for each side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xex.access.budgets import Limit, Pause
from xex.errors import RateLimited
from xex.model.units import Amount, Evidence, Units
from xex_connectors.ccxt_adapter import AssetMap, FeeMap
from xex_connectors.liquidations import LiquidationMap, PublishesLiquidations
from xex_connectors.mapping import BookMap, Fee, InstrumentMap, Market, TickerMap, TradeMap, ValueMap, part, says, step

_OK, _V2 = ("status", "ok"), ("code", "200")
_DAY = {"last": "close", "open": "open", "high": "high", "low": "low", "base_volume": "amount"}
_BOOK: dict[str, Any] = {"bids": "tick.bids", "asks": "tick.asks", "depths": (150,), "params": {"type": "step0"},
    "ok": _OK, "time": "tick.ts"}  # fmt: skip
_TRADES: Any = {"rows": "data", "inner": "data", "ok": _OK, "buys": "buy", "sells": "sell", "limit": ("size", 2000)}
_TRADE = {"price": "price", "size": "amount", "side": "direction", "time": "ts"}
_OI: Any = {"id": "contract_code", "rows": "data", "fields": {"oi": "volume", "oi_base": "amount", "oi_quote": "value"}}
_STRUCK: Any = {"rows": "data", "row_id": "contract_code", "ok": _V2, "since": "start_time", "until": "end_time",
    "window_ms": 7_200_000, "complete": True}  # fmt: skip
_FEE = Fee(5.0, 2.0, "published: swaps and futures, base tier")
_TERMS = {"this_week": "CW", "next_week": "NW", "quarter": "CQ", "next_quarter": "NQ"}


def _units(name: str, amount: Amount, volume: Amount) -> Units:
    proof = "contract_size; amount, vol, trade_turnover, a trade's amount, open interest are sums of both sides"
    return Units(f"htx.{name}", size=amount, lot=amount, quote_volume=volume, proof=proof,
        two_sided=("volume", "trades", "open_interest"), evidence=Evidence.DOCUMENTED)  # fmt: skip


def _alias(row: Mapping[str, Any]) -> str:
    """Return the name that tickers use for a dated contract: its term instead of its day."""
    pair = str(row.get("pair") or "")
    return f"{pair}-{_TERMS[row['contract_type']]}" if pair else f"{row['symbol']}_{_TERMS[row['contract_type']]}"


def _contracts(
    units: Units, paths: str, names: Mapping[str, Any], turnover: str, interest: TickerMap, **terms: Any
) -> Market:
    """Return a market of contracts; `paths` are the lists' path and the start of the others."""
    lists, market = paths.split()
    id_ = "contract_code" if terms.pop("by_code", True) else "symbol"
    return Market(
        "htx", units, _FEE,
        InstrumentMap(f"contractPublicGet{lists}", id="contract_code", rows="data", ok=_OK,
            active=("contract_status", "1"), **terms,
            fields={**names, "contract_size": "contract_size", "tick": "price_tick", "lot": "=1", "min_amount": "=1"}),
        (TickerMap(f"contractPublicGet{market}DetailBatchMerged", id=id_, rows="ticks", ok=_OK, one=id_,
            params=terms.get("params", {}), time="ts", fields={**_DAY, "bid": "bid.0", "bid_size": "bid.1",
                "ask": "ask.0", "ask_size": "ask.1", "quote_volume": turnover}),),
        BookMap(f"contractPublicGet{market}Depth", id=id_, **_BOOK),
        TradeMap(f"contractPublicGet{market}HistoryTrade", id=id_, fields={**_TRADE, "trade_id": "id"}, **_TRADES),
        interest,
    )  # fmt: skip


_PAIR = {"base": "symbol", "quote": part("contract_code", 1), "settle": part("contract_code", 1)}
_COIN = {"base": "symbol", "quote": "=USD", "settle": "symbol"}
_DATED = {"expires": "delivery_time", "alias": _alias}
_INVERSE = _units("inverse", Amount.QUOTE_CONTRACTS, Amount.QUOTE_CONTRACTS)


class HtxConnector(PublishesLiquidations):
    """HTX."""

    markets = {
        "linear": _contracts(_units("linear", Amount.CONTRACTS, Amount.QUOTE),
            "LinearSwapApiV1SwapContractInfo LinearSwapExMarket", {**_PAIR, **_DATED}, "trade_turnover",
            TickerMap("contractPublicGetV5MarketOpenInterest", one="contract_code", each=True, ok=_V2, **_OI),
            params={"business_type": "all"}, perpetual=says("business_type", "swap")),
        "inverse": _contracts(_INVERSE, "SwapApiV1SwapContractInfo SwapExMarket", _COIN, "vol",
            TickerMap("contractPublicGetSwapApiV1SwapOpenInterest", ok=_OK, **_OI)),
        "inverse_dated": _contracts(_INVERSE, "ApiV1ContractContractInfo Market", {**_COIN, **_DATED}, "vol",
            TickerMap("contractPublicGetApiV1ContractOpenInterest", ok=_OK, **_OI), by_code=False),
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
                **_TRADES),
            account=FeeMap("spotPrivateGetV2ReferenceTransactFeeRate", {"symbols": "btcusdt"}, ok=_V2,
                quotes={"USDT": ("data.0.actualTakerRate", "data.0.actualMakerRate")})),
    }  # fmt: skip
    liquidation_maps = {  # Of inverse contracts nobody says how long a page is: 20 rows may be all of one.
        "linear": LiquidationMap("contractPublicGetV5MarketLiquidationOrders", id="contract_code", **_STRUCK,
            limit=("limit", 100), price_kind="bankruptcy", fields={"event_id": "id", "price": "bankrupt_price",
                "size": "volume", "time": "liquidation_time", "order": "side", "position": "position_side"}),
        "inverse": LiquidationMap("contractPublicGetSwapApiV3SwapLiquidationOrders", id="contract", **_STRUCK,
            limit=("", 20), params={"trade_type": "0"}, closes=("offset", "close"), fields={"event_id": "query_id",
                "price": "price", "size": "volume", "time": "created_at", "order": "direction"}),
    }  # fmt: skip
    time_map = ValueMap("spotPublicGetV1CommonTimestamp", "data", ok=_OK)
    status_map = ValueMap("spotPublicGetV2MarketStatus", "data.marketStatus", ok=_V2, good=("1",))
    asset_map = AssetMap("spotPublicGetV2ReferenceCurrencies", "currency", network="displayName", ok=_V2,
        deposit="depositStatus", withdraw="withdrawStatus", words=("allowed", "prohibited"), least="minWithdrawAmt",
        confirmations="numOfConfirmations",
        fee=lambda row: row.get("transactFeeWithdraw") if row.get("withdrawFeeType") == "fixed" else None)  # fmt: skip
    words, probes = {"1032": RateLimited}, {"api.huobi.pro": ("spotPublicGetV1CommonTimestamp", {}),
        "api.hbdm.vn": ("contractPublicGetApiV1Timestamp", {})}  # fmt: skip
    limits = (
        Limit("public", "api.huobi.pro", 10, 1, left_header="X-HB-RateLimit-Requests-Remain", source="docs, per IP"),
        *(Limit(name, "api.hbdm.vn", *rate, path=path, left_header="ratelimit-remaining", source="docs, per IP")
          for name, rate, path in (("market", (800, 1), "/market/"), ("other", (240, 3), "^(?!.*/market/)")))
    )  # fmt: skip
    pauses = (Pause("rate-too-many-requests|exceeded rate limit", 1, source="docs of spot: the window"),
        Pause(r'"err.code":\s*"?1032\b', 3, source="docs of contracts: the window"))  # fmt: skip
