"""OKX: spot, swaps and futures. Derivatives count in contracts, but their `volCcy24h` is in coin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from xex.access.budgets import Pause
from xex.model.units import Amount, Evidence, Units
from xex_connectors.ccxt_adapter import AssetMap, FeeMap, FundingMap, HolderRatios, KeyMap, RatioMap
from xex_connectors.liquidations import LiquidationMap, PublishesLiquidations
from xex_connectors.mapping import BookMap, Fee, InstrumentMap, Market, TickerMap, TradeMap, ValueMap, part, per_path

_OK = ("code", "0")


def _contract_size(row: Mapping[str, Any]) -> float:
    """Return what a contract holds: coins if linear, quote currency if inverse; anything else is not understood."""
    if row["ctValCcy"] != row["instId"].split("-")[row["ctType"] == "inverse"]:
        raise ValueError(row["ctValCcy"])
    return float(row["ctVal"]) * float(row.get("ctMult") or 1)


def _tickers(kind: str, **volumes: str) -> tuple[TickerMap, ...]:
    fields = {"bid": "bidPx", "bid_size": "bidSz", "ask": "askPx", "ask_size": "askSz", "last": "last",
        "open": "open24h", "high": "high24h", "low": "low24h", **volumes}  # fmt: skip
    return (TickerMap("publicGetMarketTickers", id="instId", rows="data", one="instId", ok=_OK, time="ts",
        one_call="publicGetMarketTicker", params={"instType": kind}, fields=fields),)  # fmt: skip


_RULES = {"tick": "tickSz", "lot": "lotSz", "min_amount": "minSz"}
_INSTRUMENTS: dict[str, Any] = {"id": "instId", "rows": "data", "ok": _OK, "active": ("state", "live")}
_BOOK = BookMap("publicGetMarketBooks", id="instId", bids="data.0.bids", asks="data.0.asks", limit="sz", ok=_OK,
    depths=(400, 5000), deep_call="publicGetMarketBooksFull", time="data.0.ts")  # fmt: skip
_TRADES = TradeMap("publicGetMarketTrades", id="instId", rows="data", ok=_OK, buys="buy", sells="sell",
    limit=("limit", 500), older=("after", 1, "id"), older_call=("publicGetMarketHistoryTrades", ("limit", 100)),
    fields={"trade_id": "tradeId", "price": "px", "size": "sz", "side": "side", "time": "ts"})  # fmt: skip
_CONTRACTS: dict[str, Any] = {**_RULES, "base": part("instId", 0), "quote": part("instId", 1), "settle": "settleCcy",
    "contract_size": _contract_size}  # fmt: skip
# `fundingTime` is the coming settlement, `nextFundingTime` the one after it.
_FUNDING = FundingMap(TickerMap("publicGetPublicFundingRate", id="instId", rows="data", one="instId", ok=_OK, time="ts",
    params={"instId": "ANY"}, fields={"rate": "fundingRate", "next_time": "fundingTime",
        "after_time": "nextFundingTime"}))  # fmt: skip
_RATIO = "publicGetRubikStatContractsLongShort{}RatioContract{}"
_RATIOS = RatioMap({_RATIO.format("Account", ""): "accounts", _RATIO.format("Account", "TopTrader"): "top accounts",
    _RATIO.format("Position", "TopTrader"): "top positions"}, {"time": "0", "ratio": "1"}, "data", "instId",
    params={"period": "5m", "limit": "1"}, ok=_OK)  # fmt: skip
_CONTRACT_FEE = Fee(5.0, 2.0, "published: perpetual swaps and futures, regular tier")


def _account(type_: str, **quotes: str) -> FeeMap:
    """Return where the account's fees stand, by quote currency; what is charged is below zero."""
    return FeeMap("privateGetAccountTradeFee", {"instType": type_}, ok=_OK, scale=-1e4, quotes={
        quote: (f"data.0.taker{end}", f"data.0.maker{end}") for quote, end in quotes.items()})  # fmt: skip


def _contracts(kind: str, units: Units, type_: str, **more: str) -> Market:
    """Return a market of contracts: linear and inverse ones share their lists."""
    linear = kind == "linear"
    volumes = {"base_volume": "volCcy24h"} if linear else {"base_volume": "volCcy24h", "quote_volume": "vol24h"}
    return Market(
        "okx", units, _CONTRACT_FEE,
        InstrumentMap("publicGetPublicInstruments", **_INSTRUMENTS, params={"instType": type_},
            where={"ctType": {kind}}, fields={**_CONTRACTS, **more}),
        _tickers(type_, **volumes), _BOOK, _TRADES,
        TickerMap("publicGetPublicOpenInterest", id="instId", rows="data", one="instId", ok=_OK, time="ts",
            params={"instType": type_}, fields={"oi": "oi", "oi_base": "oiCcy"}), _FUNDING, _RATIOS,
        _account(type_, USDT="U", USDC="USDC") if linear else _account(type_, USD=""),
    )  # fmt: skip


_LINEAR = Units("okx.linear", size=Amount.CONTRACTS, lot=Amount.CONTRACTS, quote_volume=Amount.DERIVED,
    proof="ctVal; vol24h = volCcy24h / ctVal", evidence=Evidence.DOCUMENTED)  # fmt: skip
_INVERSE = Units("okx.inverse", size=Amount.QUOTE_CONTRACTS, lot=Amount.QUOTE_CONTRACTS, evidence=Evidence.DOCUMENTED,
    quote_volume=Amount.QUOTE_CONTRACTS, proof="ctVal in ctValCcy USD; volCcy24h in coin")  # fmt: skip


class OkxConnector(PublishesLiquidations, HolderRatios):
    """OKX."""

    markets = {
        "linear": _contracts("linear", _LINEAR, "SWAP"),
        "inverse": _contracts("inverse", _INVERSE, "SWAP"),
        "linear_dated": _contracts("linear", _LINEAR, "FUTURES", expires="expTime"),
        "inverse_dated": _contracts("inverse", _INVERSE, "FUTURES", expires="expTime"),
        "spot": Market(
            "okx", Units("okx.spot", proof="vol24h in base, volCcy24h in quote", evidence=Evidence.RECORDED),
            Fee(10.0, 8.0, "published: spot, regular tier"),
            InstrumentMap("publicGetPublicInstruments", **_INSTRUMENTS, params={"instType": "SPOT"},
                fields={"base": "baseCcy", "quote": "quoteCcy", **_RULES}),
            _tickers("SPOT", base_volume="vol24h", quote_volume="volCcy24h"), _BOOK, _TRADES,
            account=_account("SPOT", USDT="", USDC="USDC")),
    }  # fmt: skip
    liquidation_maps: ClassVar[Any] = {f"{kind}{dated}": LiquidationMap("public public/liquidation-orders",
        "instFamily", {"price": "bkPx", "size": "sz", "time": "ts", "order": "side", "position": "posSide"}, ok=_OK,
        params={"instType": type_, "state": "filled"}, named=lambda id_: id_.rpartition("-")[0], row_id="instId",
        inner="details", until="after", limit=("limit", 100), price_kind="bankruptcy") for kind in ("linear", "inverse")
        for dated, type_ in (("", "SWAP"), ("_dated", "FUTURES"))}  # fmt: skip
    time_map = ValueMap("publicGetPublicTime", "data.0.ts", ok=_OK)
    status_map = ValueMap("publicGetSystemStatus", "data", each="state", ok=_OK,
        good=("scheduled", "completed", "canceled"))  # fmt: skip
    asset_map = AssetMap("privateGetAssetCurrencies", "ccy", chains="", address="ctAddr", sep="-", ok=_OK, signed=True,
        deposit="canDep", withdraw="canWd", least="minWd", confirmations="minDepArrivalConfirm",
        fee=lambda row: None if row.get("burningFeeRate") else row.get("fee"))  # fmt: skip
    probes = {"www.okx.com": ("publicGetPublicTime", {})}
    key_map = KeyMap("privateGetAccountConfig", ("data.0.perm=read_only",), ("data.0.perm=trade",),
        ("data.0.perm=withdraw",), ok=_OK)  # fmt: skip
    limits = per_path("www.okx.com", {"/market/tickers$": (20, 2), "/market/ticker$": (20, 2),
        "/market/books$": (40, 2), "/market/books-full$": (10, 2), "/market/trades$": (100, 2),
        "/market/candles$": (40, 2), "/market/history-candles$": (20, 2), "/public/instruments$": (20, 2),
        "/public/open-interest$": (20, 2), "/public/funding-rate$": (10, 2), "account-ratio-contract$": (5, 2),
        "account-ratio-contract-top-trader$": (5, 2), "position-ratio-contract-top-trader$": (5, 2),
        "/public/time$": (10, 2), "/system/status$": (1, 5), "/asset/currencies$": (6, 1), "/trade-fee$": (5, 2),
        "/public/liquidation-orders$": (20, 2)}, other=(5, 2), source="docs v5, each endpoint's, per IP")  # fmt: skip
    pauses = (Pause(r'"code":\s*"?(?:50011|50061)\b', 2, source="docs v5: the window of most endpoints"),)
