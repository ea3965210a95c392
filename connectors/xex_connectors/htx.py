"""HTX (Huobi): spot, swaps and futures. Contracts are what is counted, and what was traded once for each side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xex.access.budgets import Limit, Pause
from xex.errors import RateLimited
from xex.model.units import Amount, Evidence, Units
from xex_connectors.ccxt_adapter import AssetMap, FeeMap, FundingMap, HolderRatios, RatioMap
from xex_connectors.liquidations import LiquidationMap, PublishesLiquidations
from xex_connectors.mapping import BookMap, Fee, InstrumentMap, Market, TickerMap, TradeMap, ValueMap, part, says, step

_OK, _V2, _IP, _TIER = ("status", "ok"), ("code", "200"), "docs, per IP", "published: swaps and futures, base tier"
_DAY = {"last": "close", "open": "open", "high": "high", "low": "low", "base_volume": "amount"}
_BOOK: dict[str, Any] = {"bids": "tick.bids", "asks": "tick.asks", "depths": (150,), "params": {"type": "step0"},
    "ok": _OK, "time": "tick.ts"}  # fmt: skip
_TRADES: Any = {"rows": "data", "inner": "data", "ok": _OK, "buys": "buy", "sells": "sell", "limit": ("size", 2000)}
_TRADE = {"price": "price", "size": "amount", "side": "direction", "time": "ts"}
_OI: Any = {"id": "contract_code", "rows": "data", "fields": {"oi": "volume", "oi_base": "amount", "oi_quote": "value"}}
_CODE: Any = {"id": "contract_code", "rows": "data", "one": "contract_code"}
_STRUCK: Any = {"row_id": "contract_code", "ok": _V2, "since": "start_time", "until": "end_time", "complete": True}
_FEE, _RATE = Fee(5.0, 2.0, _TIER), {"rate": "funding_rate", "next_time": "funding_time"}
_TERMS = {"this_week": "CW", "next_week": "NW", "quarter": "CQ", "next_quarter": "NQ"}


def _units(name: str, amount: Amount, volume: Amount) -> Units:
    return Units(f"htx.{name}", size=amount, lot=amount, quote_volume=volume, evidence=Evidence.DOCUMENTED,
        two_sided=("volume", "trades", "open_interest"),
        proof="contract_size; amount, vol, trade_turnover, a trade's amount, open interest: both sides")  # fmt: skip


def _held(api: str, batch: str, named: TickerMap | None = None) -> tuple[FundingMap, RatioMap]:
    """Return funding, whose intervals the list of contracts tells, and the ratios, which are the elite's alone."""
    path, told = f"contractPublicGet{api}Swap", {"interval_hours": "settlement_period"}
    return (FundingMap(TickerMap(batch, fields=_RATE, ok=_OK, **_CODE), named,
            TickerMap(f"{path}ContractInfo", fields=told, ok=_OK, **_CODE)),
        RatioMap({f"{path}Elite{what}Ratio": f"top {what.lower()}s" for what in ("Account", "Position")}, {
            "long_share": "buy_ratio", "short_share": "sell_ratio", "time": "ts"}, "data.list", "contract_code",
            params={"period": "5min"}, ok=_OK))  # fmt: skip


def _alias(row: Mapping[str, Any]) -> str:
    """Return the name that tickers use for a dated contract: its term instead of its day."""
    return (f"{row['pair']}-" if row.get("pair") else f"{row['symbol']}_") + _TERMS[row["contract_type"]]


def _contracts(units: Units, paths: str, names: Mapping[str, Any], turnover: str, *open_: Any, **terms: Any) -> Market:
    """Return a market of contracts; `paths` are the lists' path and the start of the others."""
    lists, market = (f"contractPublicGet{path}" for path in paths.split())
    id_ = "contract_code" if terms.pop("by_code", True) else "symbol"
    return Market("htx", units, _FEE, InstrumentMap(
            lists, id="contract_code", rows="data", ok=_OK, active=("contract_status", "1"), **terms,
            fields={**names, "contract_size": "contract_size", "tick": "price_tick", "lot": "=1", "min_amount": "=1"}),
        (TickerMap(f"{market}DetailBatchMerged", id=id_, rows="ticks", ok=_OK, one=id_,
            params=terms.get("params", {}), time="ts", fields={**_DAY, "bid": "bid.0", "bid_size": "bid.1",
                "ask": "ask.0", "ask_size": "ask.1", "quote_volume": turnover}),),
        BookMap(f"{market}Depth", id=id_, **_BOOK),
        TradeMap(f"{market}HistoryTrade", id=id_, fields={**_TRADE, "trade_id": "id"}, **_TRADES),
        *open_)  # fmt: skip


_INVERSE = _units("inverse", Amount.QUOTE_CONTRACTS, Amount.QUOTE_CONTRACTS)
_PAIR = {"base": "symbol", "quote": part("contract_code", 1), "settle": part("contract_code", 1)}
_COIN, _DATED = {"base": "symbol", "quote": "=USD", "settle": "symbol"}, {"expires": "delivery_time", "alias": _alias}


class HtxConnector(PublishesLiquidations, HolderRatios):
    """HTX."""

    markets = {
        "linear": _contracts(_units("linear", Amount.CONTRACTS, Amount.QUOTE),
            "LinearSwapApiV1SwapContractInfo LinearSwapExMarket", {**_PAIR, **_DATED}, "trade_turnover",
            TickerMap("contractPublicGetV5MarketOpenInterest", one="contract_code", each=True, ok=_V2, **_OI),
            *_held("LinearSwapApiV1", "contract public linear-swap-api/v1/swap_batch_funding_rate",
                TickerMap("contractPublicGetV5MarketFundingRate", each=True, ok=_V2, **_CODE,
                    fields={**_RATE, "after_time": "next_funding_time"})),
            params={"business_type": "all"}, perpetual=says("business_type", "swap")),
        "inverse": _contracts(_INVERSE, "SwapApiV1SwapContractInfo SwapExMarket", _COIN, "vol",
            TickerMap("contractPublicGetSwapApiV1SwapOpenInterest", ok=_OK, **_OI),
            *_held("SwapApiV1", "contractPublicGetSwapApiV1SwapBatchFundingRate")),
        "inverse_dated": _contracts(_INVERSE, "ApiV1ContractContractInfo Market", {**_COIN, **_DATED}, "vol",
            TickerMap("contractPublicGetApiV1ContractOpenInterest", ok=_OK, **_OI), by_code=False),
        "spot": Market("htx", Units("htx.spot", proof="amount in base, vol in quote", evidence=Evidence.DOCUMENTED),
            Fee(20.0, 20.0, "published: spot, base tier"), InstrumentMap("spotPublicGetV1CommonSymbols", id="symbol",
                rows="data", ok=_OK, active=("state", "online"), fields={"base": "base-currency",
                    "quote": "quote-currency", "tick": step("price-precision"), "lot": step("amount-precision"),
                    "min_amount": "limit-order-min-order-amt", "min_notional": "min-order-value"}),
            (TickerMap("spotPublicGetMarketTickers", id="symbol", rows="data", ok=_OK, fields={**_DAY, "bid": "bid",
                "bid_size": "bidSize", "ask": "ask", "ask_size": "askSize", "quote_volume": "vol"}),),
            BookMap("spotPublicGetMarketDepth", id="symbol", **_BOOK),
            TradeMap("spotPublicGetMarketHistoryTrade", id="symbol", fields={**_TRADE, "trade_id": "trade-id"},
                **_TRADES), account=FeeMap("spotPrivateGetV2ReferenceTransactFeeRate", {"symbols": "btcusdt"}, ok=_V2,
                quotes={"USDT": ("data.0.actualTakerRate", "data.0.actualMakerRate")}))}  # fmt: skip
    time_map = ValueMap("spotPublicGetV1CommonTimestamp", "data", ok=_OK)
    liquidation_maps = {
        "linear": LiquidationMap("contractPublicGetV5MarketLiquidationOrders", "contract_code", {"event_id": "id",
            "price": "bankrupt_price", "size": "volume", "time": "liquidation_time", "order": "side",
            "position": "position_side"}, **_STRUCK, limit=("limit", 100), price_kind="bankruptcy"),
        "inverse": LiquidationMap("contractPublicGetSwapApiV3SwapLiquidationOrders", "contract", {
            "event_id": "query_id", "price": "price", "size": "volume", "time": "created_at", "order": "direction"},
            **_STRUCK, params={"trade_type": "0"}, closes=("offset", "close"), limit=("", 20))}  # fmt: skip
    status_map = ValueMap("spotPublicGetV2MarketStatus", "data.marketStatus", ok=_V2, good=("1",))
    asset_map = AssetMap("spotPublicGetV2ReferenceCurrencies", "currency", network="displayName", ok=_V2,
        deposit="depositStatus", withdraw="withdrawStatus", words=("allowed", "prohibited"), least="minWithdrawAmt",
        confirmations="numOfConfirmations",
        fee=lambda row: row.get("transactFeeWithdraw") if row.get("withdrawFeeType") == "fixed" else None)  # fmt: skip
    words, probes = {"1032": RateLimited}, {"api.huobi.pro": ("spotPublicGetV1CommonTimestamp", {}),
        "api.hbdm.vn": ("contractPublicGetApiV1Timestamp", {})}  # fmt: skip
    limits = (Limit("public", "api.huobi.pro", 10, 1, left_header="X-HB-RateLimit-Requests-Remain", source=_IP),
        *(Limit(name, "api.hbdm.vn", *cap, path=at, left_header="ratelimit-remaining", source=_IP)
          for name, cap, at in (("market", (800, 1), "/market/"), ("other", (240, 3), "^(?!.*/market/)"))))  # fmt: skip
    pauses = (Pause("rate-too-many-requests|exceeded rate limit", 1, source="docs of spot: the window"),
        Pause(r'"err.code":\s*"?1032\b', 3, source="docs of contracts: the window"))  # fmt: skip
