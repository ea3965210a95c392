"""Kraken: spot, and Kraken Futures, quoted in USD: linear contracts of coins, inverse ones of one dollar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xex.access.budgets import Limit, Pause
from xex.model.units import Amount, Evidence, Funding, Units
from xex_connectors.ccxt_adapter import AssetMap, FundingMap, SpotCurrencies
from xex_connectors.liquidations import LiquidationMap, PublishesLiquidations
from xex_connectors.mapping import KEY, BookMap, Fee, InstrumentMap, Market, TickerMap, TradeMap, ValueMap, says, step

_OK, _FUTURES_OK = ("error", ""), ("result", "success")


def _code(place: int, fallback: str) -> Callable[[Mapping[str, Any]], str]:
    """Read a currency from the websocket name, XBT/USD: the REST codes carry X and Z prefixes."""

    def read(row: Mapping[str, Any]) -> str:
        if str(row[KEY]).endswith(".d"):
            return ""  # the dark pool is no market of this pair
        if "/" in (row.get("wsname") or ""):
            return str(row["wsname"].split("/")[place])
        return str(row[fallback])

    return read


def _underlying(row: Mapping[str, Any]) -> str:
    """Read the coin from PF_XBTUSD or FF_XBTUSD_261225: no field names it in every version of the list."""
    return str(row["symbol"]).split("_")[1].removesuffix("USD")


def _futures(type_: str, units: Units, settle: Any, **volumes: str) -> Market:
    """Return a market of Kraken Futures, whose kinds share their lists."""
    return Market(
        "krakenfutures", units, Fee(5.0, 2.0, "published: futures, lowest volume tier"),
        InstrumentMap("publicGetInstruments", id="symbol", rows="instruments", ok=_FUTURES_OK,
            active=("tradeable", "True"), where={"type": {type_}},
            perpetual=lambda row: str(row["symbol"]).startswith(("PF_", "PI_")), fields={
                "base": _underlying, "quote": "=USD", "settle": settle, "expires": "lastTradingTime",
                "contract_size": "contractSize", "tick": "tickSize", "lot": step("contractValueTradePrecision"),
                "min_amount": step("contractValueTradePrecision")}),
        (TickerMap("publicGetTickers", id="symbol", rows="tickers", ok=_FUTURES_OK, time="lastTime",
            time_is_text=True, time_source="trade", halted="suspended", fields={
                "bid": "bid", "bid_size": "bidSize", "ask": "ask", "ask_size": "askSize", "last": "last", **volumes,
                "open": "open24h", "high": "high24h", "low": "low24h", "mark": "markPrice", "index": "indexPrice"}),),
        BookMap("publicGetOrderbook", id="symbol", bids="orderBook.bids", asks="orderBook.asks", ok=_FUTURES_OK,
            time="serverTime", time_source="server"),
        TradeMap("publicGetHistory", id="symbol", rows="history", ok=_FUTURES_OK, buys="buy", sells="sell",
            fields={"trade_id": "uid", "price": "price", "size": "size", "side": "side", "time": "time"},
            older=("lastTime", 1, "iso")),
        TickerMap("publicGetTickers", id="symbol", rows="tickers", ok=_FUTURES_OK,
            fields={"oi": "openInterest", "mark": "markPrice", "last": "last"}),
        # An absolute amount, fixed for the running hour and paid at its end.
        FundingMap(TickerMap("publicGetTickers", id="symbol", rows="tickers", ok=_FUTURES_OK, fields={
            "rate": "fundingRate", "mark": "markPrice", "index": "indexPrice"}), hours=1.0, settled=True),
    )  # fmt: skip


class KrakenConnector(PublishesLiquidations, SpotCurrencies):
    """Kraken, spot and futures."""

    currency_pairs = (("USDT", "USD"), ("USDC", "USD"), ("USDC", "USDT"), ("EUR", "USD"), ("USDT", "EUR"),
        ("USDC", "EUR"))  # fmt: skip
    markets = {
        "linear": _futures("flexible_futures",
            Units("kraken.linear", proof="vol24h, volumeQuote; contractSize 1", evidence=Evidence.DOCUMENTED,
                funding=Funding.PER_COIN),
            "=USD", base_volume="vol24h", quote_volume="volumeQuote"),
        "inverse": _futures("futures_inverse",
            Units("kraken.inverse", size=Amount.QUOTE_CONTRACTS, lot=Amount.QUOTE_CONTRACTS,
                base_volume=Amount.QUOTIENT, quote_volume=Amount.QUOTE_CONTRACTS, funding=Funding.PER_CONTRACT,
                proof="contractSize 1 USD; vol24h in contracts, none in coin", evidence=Evidence.DOCUMENTED),
            _underlying, quote_volume="vol24h"),
        "spot": Market(
            "kraken", Units("kraken.spot", quote_volume=Amount.AVERAGED, evidence=Evidence.DOCUMENTED,
                proof="v.1 in base, p.1 its average price"), Fee(40.0, 25.0, "published: spot, lowest volume tier"),
            InstrumentMap("publicGetAssetPairs", id=KEY, rows="result", ok=_OK, active=("status", "online"),
                where={"aclass_base": {"currency", ""}}, fields={
                    "base": _code(0, "base"), "quote": _code(1, "quote"), "tick": "tick_size",
                    "lot": step("lot_decimals"), "min_amount": "ordermin", "min_notional": "costmin",
                    "taker_bps": lambda row: 100 * float(row["fees"][0][1]),
                    "maker_bps": lambda row: 100 * float(row["fees_maker"][0][1])}),
            # No `open`: Kraken's is today's first trade, not that of 24 hours ago.
            (TickerMap("publicGetTicker", id=KEY, rows="result", many="pair", ok=_OK, fields={
                "bid": "b.0", "bid_size": "b.2", "ask": "a.0", "ask_size": "a.2", "last": "c.0",
                "high": "h.1", "low": "l.1", "base_volume": "v.1", "vwap": "p.1"}),),
            BookMap("publicGetDepth", id="pair", bids="result.{id}.bids", asks="result.{id}.asks", limit="count",
                depths=(500,), ok=_OK),
            TradeMap("publicGetTrades", id="pair", rows="result.{id}", ok=_OK, buys="b", sells="s", scale=1e3,
                limit=("count", 1000), fields={"trade_id": "6", "price": "0", "size": "1", "side": "3", "time": "2"})),
    }  # fmt: skip
    liquidation_maps = dict.fromkeys(("linear", "inverse"), LiquidationMap("publicGetHistory", "symbol", {
        "event_id": "uid", "price": "price", "size": "size", "time": "time", "order": "side"}, rows="history",
        where=("type", "liquidation"), ok=_FUTURES_OK, until="lastTime", iso=True, limit=("", 100), price_kind="fill",
        complete=True))  # fmt: skip
    time_map = ValueMap("publicGetTime", "result.unixtime", ok=_OK, scale=1000.0)
    status_map = ValueMap("publicGetSystemStatus", "result.status", ok=_OK, good=("online",))
    # Which networks there are, and what they cost, is told to keys alone that may withdraw.
    asset_map = AssetMap("publicGetAssets", "altname", "result", "", "", ok=_OK, words=("", "True"),
        deposit=says("status", "withdrawal_only", "funding_temporarily_disabled"),
        withdraw=says("status", "deposit_only", "funding_temporarily_disabled"))  # fmt: skip
    probes = {"api.kraken.com": ("publicGetTime", {}),
        "futures.kraken.com": ("publicGetTickersSymbol", {"symbol": "PF_XBTUSD"})}  # fmt: skip
    limits = (Limit("public", "api.kraken.com", 10, 10, path="^/0/public/(?!Depth$|Trades$|OHLC$)",
            source="support pages: about one a second per IP"),
        *(Limit(name.lower(), "api.kraken.com", 10, 10, path=f"^/0/public/{name}$", per="pair",
            source="support pages: about one a second per IP and pair") for name in ("Depth", "Trades", "OHLC")),
        Limit("derivatives", "futures.kraken.com", 500, 10, source="futures docs; public paths are said to be free"),
    )  # fmt: skip
    pauses = (Pause("EService: ?Throttled", 10, source="assumed: the window; the words hold a time of unknown unit"),
        Pause("EAPI:Rate limit|EGeneral:Too many requests|apiLimitExceeded", 10, source="assumed: the window"),
        Pause("Temporary lockout", 900, banned=True, source="support pages: a quarter of an hour"))  # fmt: skip
