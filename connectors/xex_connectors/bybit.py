"""Bybit: spot and linear contracts in base units, inverse ones in USD. Its tickers carry no time of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xex.access.budgets import Limit, Pause
from xex.model.units import Amount, Evidence, Units
from xex_connectors.ccxt_adapter import AssetMap, FeeMap, FundingMap, HolderRatios, KeyMap, RatioMap
from xex_connectors.mapping import BookMap, Fee, InstrumentMap, Market, TickerMap, TradeMap, ValueMap, says

_OK = ("retCode", "0")
_TICKER = {
    "bid": "bid1Price", "bid_size": "bid1Size", "ask": "ask1Price", "ask_size": "ask1Size", "last": "lastPrice",
    "open": "prevPrice24h", "high": "highPrice24h", "low": "lowPrice24h",
    "base_volume": "volume24h", "quote_volume": "turnover24h",
}  # fmt: skip
_FIELDS = {
    "base": "baseCoin", "quote": "quoteCoin", "tick": "priceFilter.tickSize", "min_amount": "lotSizeFilter.minOrderQty",
}  # fmt: skip
_INSTRUMENTS: dict[str, Any] = {
    "id": "symbol", "rows": "result.list", "ok": _OK, "active": ("status", "Trading"),
    "cursor": ("cursor", "result.nextPageCursor"),
}  # fmt: skip
_TICKERS: dict[str, Any] = {"id": "symbol", "rows": "result.list", "one": "symbol", "ok": _OK}
_BOOK: dict[str, Any] = {
    "id": "symbol", "bids": "result.b", "asks": "result.a", "limit": "limit", "ok": _OK, "time": "result.ts",
}  # fmt: skip
_TRADES: dict[str, Any] = {
    "id": "symbol", "rows": "result.list", "ok": _OK, "buys": "Buy", "sells": "Sell",
    "fields": {"trade_id": "execId", "price": "price", "size": "size", "side": "side", "time": "time"},
}  # fmt: skip
_BOTH = ("open_interest",)  # openInterest is documented as the sum of both sides, singleOpenInterest as one
_SPOT, _LINEAR, _INVERSE = ({"category": name} for name in ("spot", "linear", "inverse"))
_DATED = {
    **_FIELDS, "settle": "settleCoin", "expires": "deliveryTime", "lot": "lotSizeFilter.qtyStep",
    "min_notional": "lotSizeFilter.minNotionalValue",
}  # fmt: skip


def _fee(chain: Mapping[str, Any]) -> Any:
    """Return a fixed fee; one that grows with the amount is no number of coins."""
    return None if float(chain.get("withdrawPercentageFee") or 0) else chain.get("withdrawFee")


def _account(category: dict[str, str]) -> FeeMap:
    return FeeMap("privateGetV5AccountFeeRate", category, rows="result.list", ok=_OK)


def _contracts(kind: str, units: Units, category: dict[str, str], **more: str) -> Market:
    """Return a market of contracts, perpetual and dated ones in the same lists."""
    return Market(
        "bybit", units, Fee(5.5, 2.0, "published: perpetuals and futures, regular tier"),
        InstrumentMap("publicGetV5MarketInstrumentsInfo", **_INSTRUMENTS, params={**category, "limit": "1000"},
            where={"contractType": {f"{kind}Perpetual", f"{kind}Futures"}},
            perpetual=says("contractType", f"{kind}Perpetual"), fields=_DATED),
        (TickerMap("publicGetV5MarketTickers", params=category, **_TICKERS,
            fields={**_TICKER, "mark": "markPrice", "index": "indexPrice", **more}),),
        BookMap("publicGetV5MarketOrderbook", params=category, depths=(500, 1000), **_BOOK),
        TradeMap("publicGetV5MarketRecentTrade", params=category, limit=("limit", 1000), **_TRADES),
        TickerMap("publicGetV5MarketTickers", params=category, **_TICKERS, fields={
            "oi": "openInterest", "oi_single": "singleOpenInterest", "mark": "markPrice", "last": "lastPrice"}),
        FundingMap(TickerMap("publicGetV5MarketTickers", params=category, **_TICKERS, fields={"rate": "fundingRate",
            "next_time": "nextFundingTime", "interval_hours": "fundingIntervalHour", "mark": "markPrice",
            "index": "indexPrice"})),
        RatioMap({"publicGetV5MarketAccountRatio": "accounts"}, {"long_share": "buyRatio", "short_share": "sellRatio",
            "time": "timestamp"}, "result.list", params={**category, "period": "5min", "limit": "1"}, ok=_OK),
        _account(category),
    )  # fmt: skip


class BybitConnector(HolderRatios):
    """Bybit."""

    markets = {
        "linear": _contracts("Linear", Units("bybit.linear", proof="turnover24h / volume24h is a price",
            evidence=Evidence.DOCUMENTED, two_sided=_BOTH), _LINEAR),
        "inverse": _contracts("Inverse", Units("bybit.inverse", size=Amount.QUOTE, lot=Amount.QUOTE, two_sided=_BOTH,
            proof="volume24h / turnover24h is a price: volume24h in USD, turnover24h in coin",
            evidence=Evidence.DOCUMENTED), _INVERSE, base_volume="turnover24h", quote_volume="volume24h"),
        "spot": Market(
            "bybit", Units("bybit.spot", proof="turnover24h / volume24h is a price", evidence=Evidence.DOCUMENTED),
            Fee(10.0, 10.0, "published: spot, regular tier"),
            InstrumentMap("publicGetV5MarketInstrumentsInfo", **_INSTRUMENTS, params={**_SPOT, "limit": "1000"},
                fields={**_FIELDS, "lot": "lotSizeFilter.basePrecision", "min_notional": "lotSizeFilter.minOrderAmt"}),
            (TickerMap("publicGetV5MarketTickers", params=_SPOT, **_TICKERS, fields=_TICKER),),
            BookMap("publicGetV5MarketOrderbook", params=_SPOT, depths=(200, 1000), **_BOOK),
            TradeMap("publicGetV5MarketRecentTrade", params=_SPOT, limit=("limit", 60), **_TRADES),
            account=_account(_SPOT)),
    }  # fmt: skip
    time_map = ValueMap("publicGetV5MarketTime", "time", ok=_OK)
    status_map = ValueMap("publicGetV5SystemStatus", "result.list", each="state", ok=_OK,
        good=("scheduled", "completed", "canceled"))  # fmt: skip
    asset_map = AssetMap("privateGetV5AssetCoinQueryInfo", "coin", "result.rows", ok=_OK, signed=True,
        deposit="chainDeposit", withdraw="chainWithdraw", words=("1", "0"), fee=_fee, least="withdrawMin",
        confirmations="confirmation")  # fmt: skip
    probes = {"api.bybit.com": ("publicGetV5MarketTime", {})}
    key_map = KeyMap("privateGetV5UserQueryApi", ("result.readOnly=0", "result.readOnly=1"), ("result.readOnly=0",),
        ("result.permissions.Wallet=Withdraw",), unless="result.readOnly=1", ok=_OK)  # fmt: skip
    limits = (Limit("public", "api.bybit.com", 600, 5, source="docs v5, rate limit rules: per IP"),)
    pauses = (
        Pause("access too frequent", 600, banned=True, source="docs v5, rate limit rules: at least ten minutes"),
        Pause(r'"retCode":\s*"?(?:10006|10018)\b', 5, source="assumed: the window of the limit per IP"),
    )
