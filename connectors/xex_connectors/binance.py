"""Binance: spot, USDⓈ-M and COIN-M contracts; the bid and ask of contracts stand apart from their statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xex.access.budgets import Limit, Pause
from xex.model.units import Amount, Evidence, Units
from xex_connectors.ccxt_adapter import AssetMap, CcxtConnector, FeeMap, KeyMap, SpotCurrencies
from xex_connectors.mapping import BookMap, Fee, InstrumentMap, Market, TickerMap, TradeMap, ValueMap, says


def _rule(kind: str, name: str) -> Any:
    """Read a trading rule: Binance keeps them in a list of objects, not in fields."""
    return lambda row: next((rule[name] for rule in row["filters"] if rule["filterType"] == kind), None)


def _depth(*tiers: tuple[int, int], usual: int) -> Any:
    """Return the weight of a book, which grows with its depth."""
    return lambda query: next(weight for most, weight in tiers if int(query.get("limit", usual)) <= most)


def _statistics(query: Mapping[str, str]) -> float:
    asked = 1 if "symbol" in query else query["symbols"].count(",") + 1 if "symbols" in query else 1000
    return 2 if asked <= 20 else 40 if asked <= 100 else 80


_FIELDS = {
    "base": "baseAsset", "quote": "quoteAsset", "tick": _rule("PRICE_FILTER", "tickSize"),
    "lot": _rule("LOT_SIZE", "stepSize"), "min_amount": _rule("LOT_SIZE", "minQty"),
}  # fmt: skip
_DATED = {**_FIELDS, "settle": "marginAsset", "expires": "deliveryDate"}
_CONTRACTS: dict[str, Any] = {
    "perpetual": says("contractType", "PERPETUAL"),
    "where": {"contractType": {"PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER"}},
}
_QUOTE = {"bid": "bidPrice", "bid_size": "bidQty", "ask": "askPrice", "ask_size": "askQty"}
_DAY = {"last": "lastPrice", "open": "openPrice", "high": "highPrice", "low": "lowPrice",
    "base_volume": "volume", "quote_volume": "quoteVolume"}  # fmt: skip
_OPEN: Any = {"id": "symbol", "one": "symbol", "each": True, "time": "time", "fields": {"oi": "openInterest"}}
_USED: dict[str, Any] = {"used_header": "X-MBX-USED-WEIGHT-1M", "source": "docs, limits of exchangeInfo: per IP"}
_BOOK: dict[str, Any] = {"id": "symbol", "bids": "bids", "asks": "asks", "limit": "limit"}
_TRADES: dict[str, Any] = {"older": ("fromId", -999, "id"),  # `m` says that the buyer was the maker: the taker sold
    "fields": {"trade_id": "a", "price": "p", "size": "q", "side": "m", "time": "T"}, "buys": "False",
    "sells": "True", "id": "symbol", "rows": "", "limit": ("limit", 1000), "bundled": True,
}  # fmt: skip
_PAID = ("takerCommissionRate", "makerCommissionRate")  # of one contract, alike for those of its quote currency


class BinanceConnector(SpotCurrencies, CcxtConnector):
    """Binance."""

    currency_pairs = (("FDUSD", "USDT"), ("EUR", "USDT"), ("USDC", "USDT"))
    markets = {
        "linear": Market(
            "binanceusdm", Units("binance.linear", proof="24hr volume, quoteVolume", evidence=Evidence.DOCUMENTED),
            Fee(5.0, 2.0, "published: USDⓈ-M futures, regular tier"),
            InstrumentMap("fapiPublicGetExchangeInfo", id="symbol", rows="symbols", active=("status", "TRADING"),
                **_CONTRACTS, fields={**_DATED, "min_notional": _rule("MIN_NOTIONAL", "notional")}),
            (TickerMap("fapiPublicGetTickerBookTicker", id="symbol", one="symbol", time="time", fields=_QUOTE),
             TickerMap("fapiPublicGetTicker24hr", id="symbol", one="symbol", quotes=False, fields=_DAY,
                time="closeTime", time_source="trade")),
            BookMap("fapiPublicGetDepth", depths=(500, 1000), time="T", **_BOOK),
            TradeMap("fapiPublicGetAggTrades", **_TRADES), TickerMap("fapiPublicGetOpenInterest", **_OPEN),
            FeeMap("fapiPrivateGetCommissionRate", {"symbol": "BTCUSDT"}, {"USDT": _PAID})),
        "inverse": Market(
            "binancecoinm",
            Units("binance.inverse", size=Amount.QUOTE_CONTRACTS, lot=Amount.QUOTE_CONTRACTS,
                quote_volume=Amount.QUOTE_CONTRACTS, evidence=Evidence.DOCUMENTED,
                proof="contractSize in quoteAsset; baseVolume in coin, volume in contracts"),
            Fee(5.0, 2.0, "published: COIN-M futures, regular tier"),
            InstrumentMap("dapiPublicGetExchangeInfo", id="symbol", rows="symbols", **_CONTRACTS,
                active=("contractStatus", "TRADING"), fields={**_DATED, "contract_size": "contractSize"}),
            (TickerMap("dapiPublicGetTickerBookTicker", id="symbol", one="symbol", time="time", fields=_QUOTE),
             TickerMap("dapiPublicGetTicker24hr", id="symbol", one="symbol", quotes=False, time="closeTime",
                time_source="trade", fields={**_DAY, "base_volume": "baseVolume", "quote_volume": "volume"})),
            BookMap("dapiPublicGetDepth", depths=(500, 1000), time="T", **_BOOK),
            TradeMap("dapiPublicGetAggTrades", **_TRADES), TickerMap("dapiPublicGetOpenInterest", **_OPEN),
            FeeMap("dapiPrivateGetCommissionRate", {"symbol": "BTCUSD_PERP"}, {"USD": _PAID})),
        "spot": Market(
            "binance", Units("binance.spot", proof="24hr volume, quoteVolume", evidence=Evidence.RECORDED),
            Fee(10.0, 10.0, "published: spot, regular tier"),
            InstrumentMap("publicGetExchangeInfo", id="symbol", rows="symbols", active=("status", "TRADING"),
                params={"symbolStatus": "TRADING", "showPermissionSets": "false"},
                fields={**_FIELDS, "min_notional": _rule("NOTIONAL", "minNotional")}),
            (TickerMap("publicGetTicker24hr", id="symbol", one="symbol", many="symbols", as_json=True,
                time="closeTime", time_source="trade", fields={**_QUOTE, **_DAY}),),
            BookMap("publicGetDepth", depths=(500, 5000), **_BOOK), TradeMap("publicGetAggTrades", **_TRADES),
            account=FeeMap("sapiGetAssetTradeFee", taker="takerCommission", maker="makerCommission")),
    }  # fmt: skip
    time_map = ValueMap("fapiPublicGetTime", "serverTime")
    status_map = ValueMap("sapiGetSystemStatus", "msg", ok=("status", "0", "1"), good=("normal",))
    probes = {f"{api}.binance.com": (call, {}) for api, call in (
        ("fapi", "fapiPublicGetTime"), ("dapi", "dapiPublicGetTime"), ("api", "publicGetTime"))}  # fmt: skip
    key_map = KeyMap("sapiGetAccountApiRestrictions", ["enableReading"], withdraw=["enableWithdrawals"], trade=[
        "enableSpotAndMarginTrading", "enableFutures", "enableMargin", "enableVanillaOptions", "enableFixApiTrade",
        "enablePortfolioMarginTrading", "enableInternalTransfer", "permitsUniversalTransfer"])  # fmt: skip
    asset_map = AssetMap("sapiGetCapitalConfigGetall", "coin", "", "networkList", "network", signed=True,
        deposit="depositEnable", withdraw="withdrawEnable", fee="withdrawFee", least="withdrawMin",
        confirmations="minConfirm")  # fmt: skip
    limits = (
        *(Limit("weight", host, 2400, 60, path="^(?!/futures/data/|.*/funding(Rate|Info)$)", costs={
            "/depth$": _depth((50, 2), (100, 5), (500, 10), (1000, 20), usual=500), "/aggTrades$": 20,
            "/commissionRate$": 20, "/ticker/24hr$": lambda query: 1 if "symbol" in query else 40,
            "/ticker/bookTicker$": lambda query: 2 if "symbol" in query else 5}, **_USED)
          for host in ("fapi.binance.com", "dapi.binance.com")),
        *(Limit(name, host, count, 300, path=path, source="futures docs, per IP")
          for host in ("fapi.binance.com", "dapi.binance.com")
          for name, count, path in (("data", 1000, "^/futures/data/"), ("funding", 500, "/funding(Rate|Info)$"))),
        Limit("weight", "api.binance.com", 6000, 60, **_USED, costs={
            "/depth$": _depth((100, 5), (500, 25), (1000, 50), (5000, 250), usual=100), "/aggTrades$": 4,
            "/ticker/24hr$": _statistics, "/exchangeInfo$": 20, "/config/getall$": 10}),
    )  # fmt: skip
    pauses = (Pause(r"banned until (?P<until>\d{13})", 120, banned=True, source="docs, limits: 418 says until when"),)
