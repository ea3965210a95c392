"""Binance: spot, USDⓈ-M and COIN-M contracts; the bid and ask of contracts stand apart from their statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xex.access.budgets import Limit, Pause
from xex.model.units import Amount, Evidence, Units
from xex_connectors.ccxt_adapter import AssetMap, FeeMap, FundingMap, HolderRatios, KeyMap, RatioMap, SpotCurrencies
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


_FIELDS = {"base": "baseAsset", "quote": "quoteAsset", "tick": _rule("PRICE_FILTER", "tickSize"),
    "lot": _rule("LOT_SIZE", "stepSize"), "min_amount": _rule("LOT_SIZE", "minQty")}  # fmt: skip
_QUOTE = {"bid": "bidPrice", "bid_size": "bidQty", "ask": "askPrice", "ask_size": "askQty"}
_DAY = {"last": "lastPrice", "open": "openPrice", "high": "highPrice", "low": "lowPrice",
    "base_volume": "volume", "quote_volume": "quoteVolume"}  # fmt: skip
_USED: dict[str, Any] = {"used_header": "X-MBX-USED-WEIGHT-1M", "source": "docs, limits of exchangeInfo: per IP"}
_PREMIUM = {"rate": "lastFundingRate", "next_time": "nextFundingTime", "mark": "markPrice", "index": "indexPrice"}
_ONE: Any = {"id": "symbol", "one": "symbol"}
_BOOK: dict[str, Any] = {"id": "symbol", "bids": "bids", "asks": "asks", "limit": "limit"}
# `m` says that the buyer was the maker: the taker sold.
_TRADES: Any = {"id": "symbol", "rows": "", "limit": ("limit", 1000), "bundled": True, "buys": "False", "sells": "True",
    "fields": {"trade_id": "a", "price": "p", "size": "q", "side": "m", "time": "T"}}  # fmt: skip
_PAID = ("takerCommissionRate", "makerCommissionRate")  # of one contract, alike for those of its quote currency


def _contracts(names: str, fee: Fee, units: Units, active: Any, day: Any, whose: Any, **own: Any) -> Market:
    """Return a market of contracts; `names` are its host, kind, and which contract tells the fees of a quote."""
    api, kind, told, quote = names.split()
    get, data = f"{api}PublicGet", f"{api}DataGet"
    return Market(
        f"binance{kind}", units, fee,
        InstrumentMap(f"{get}ExchangeInfo", id="symbol", rows="symbols", active=active,
            perpetual=says("contractType", "PERPETUAL"),
            where={"contractType": {"PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER"}},
            fields={**_FIELDS, "settle": "marginAsset", "expires": "deliveryDate", **own}),
        (TickerMap(f"{get}TickerBookTicker", time="time", fields=_QUOTE, **_ONE),
         TickerMap(f"{get}Ticker24hr", quotes=False, fields=day, time="closeTime", time_source="trade", **_ONE)),
        BookMap(f"{get}Depth", depths=(500, 1000), time="T", **_BOOK), TradeMap(f"{get}AggTrades", **_TRADES),
        TickerMap(f"{get}OpenInterest", each=True, time="time", fields={"oi": "openInterest"}, **_ONE),
        FundingMap(TickerMap(f"{get}PremiumIndex", time="time", fields=_PREMIUM, **_ONE), hours=8.0,  # if not listed:
            intervals=TickerMap(f"{get}FundingInfo", id="symbol", fields={"interval_hours": "fundingIntervalHours"})),
        RatioMap({f"{data}GlobalLongShortAccountRatio": "accounts", f"{data}TopLongShortAccountRatio": "top accounts",
            f"{data}TopLongShortPositionRatio": "top positions"}, {"ratio": "longShortRatio", "time": "timestamp"},
            params={"period": "5m", "limit": "1"}, **whose),
        FeeMap(f"{api}PrivateGetCommissionRate", {"symbol": told}, {quote: _PAID}),
    )  # fmt: skip


class BinanceConnector(SpotCurrencies, HolderRatios):
    """Binance."""

    currency_pairs = (("FDUSD", "USDT"), ("EUR", "USDT"), ("USDC", "USDT"))
    markets = {
        "linear": _contracts("fapi usdm BTCUSDT USDT", Fee(5.0, 2.0, "published: USDⓈ-M futures, regular tier"),
            Units("binance.linear", proof="24hr volume, quoteVolume", evidence=Evidence.DOCUMENTED),
            ("status", "TRADING"), _DAY, {}, min_notional=_rule("MIN_NOTIONAL", "notional")),
        "inverse": _contracts("dapi coinm BTCUSD_PERP USD", Fee(5.0, 2.0, "published: COIN-M futures, regular tier"),
            Units("binance.inverse", size=Amount.QUOTE_CONTRACTS, lot=Amount.QUOTE_CONTRACTS,
                quote_volume=Amount.QUOTE_CONTRACTS, evidence=Evidence.DOCUMENTED,
                proof="contractSize in quoteAsset; baseVolume in coin, volume in contracts"),
            ("contractStatus", "TRADING"), {**_DAY, "base_volume": "baseVolume", "quote_volume": "volume"},
            {"id": "pair", "named": lambda id_: id_.split("_")[0], "flags": "pair"}, contract_size="contractSize"),
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
            "/ticker/bookTicker$": lambda query: 2 if "symbol" in query else 5,
            "/premiumIndex$": lambda query: 1 if "symbol" in query else 10}, **_USED)
          for host in ("fapi.binance.com", "dapi.binance.com")),
        *(Limit(name, host, count, 300, path=path, source="futures docs, per IP")
          for host in ("fapi.binance.com", "dapi.binance.com")
          for name, count, path in (("data", 1000, "^/futures/data/"), ("funding", 500, "/funding(Rate|Info)$"))),
        Limit("weight", "api.binance.com", 6000, 60, **_USED, costs={
            "/depth$": _depth((100, 5), (500, 25), (1000, 50), (5000, 250), usual=100), "/aggTrades$": 4,
            "/ticker/24hr$": _statistics, "/exchangeInfo$": 20, "/config/getall$": 10}))  # fmt: skip
    pauses = (Pause(r"banned until (?P<until>\d{13})", 120, banned=True, source="docs, limits: 418 says until when"),)
