"""Which venue answers on which socket and path, and with what format."""

from __future__ import annotations

from collections.abc import Mapping

from tests.lab import (
    encode_binance,
    encode_bitget,
    encode_bybit,
    encode_coinglass,
    encode_htx,
    encode_kraken,
    encode_krakenfutures,
    encode_okx,
)
from tests.lab.truth import Kind, Market, Truth
from tests.lab.wire import Query, Reply

SOCKETS = ("binance", "okx", "kraken", "bybit", "htx", "bitget")
VENUES = (*SOCKETS, "krakenfutures")
SOURCES = ("coinglass",)  # no exchange: it tells of others
HEADERS = {"coinglass": encode_coinglass.HEADER}
FUTURES_PATH = "/derivatives/"
FORMATS = {
    "binance": encode_binance.reply,
    "okx": encode_okx.reply,
    "kraken": encode_kraken.reply,
    "krakenfutures": encode_krakenfutures.reply,
    "bybit": encode_bybit.reply,
    "htx": encode_htx.reply,
    "bitget": encode_bitget.reply,
    "coinglass": encode_coinglass.reply,
}
CLOCKS = (
    *("/time", "/Time", "/status", "/SystemStatus", "/ping"),
    *("/timestamp", "/market-status", "/heartbeat", "/heartbeat/"),
)
METADATA = (
    *("/exchangeInfo", "/instruments", "/AssetPairs", "/Assets", "/instruments-info"),
    *("/common/symbols", "/swap_contract_info", "/contract_contract_info", "/reference/currencies"),
    *("/public/symbols", "/market/contracts", "/public/coins", "/margin/currencies"),
    *("/config/getall", "/asset/currencies", "/coin/query-info"),
    *("/account/apiRestrictions", "/account/config", "/user/query-api"),
    *("/asset/tradeFee", "/commissionRate", "/account/trade-fee", "/account/fee-rate", "/transact-fee-rate"),
)


NAMING = ("symbol", "instId", "pair", "contract_code", "symbols")


def socket_of(venue: str) -> str:
    """Name of the socket that serves a venue; raises ValueError for an unknown venue."""
    if venue not in (*VENUES, *SOURCES):
        raise ValueError(f"no venue {venue!r} in the lab, it has {', '.join(VENUES)}")
    return "kraken" if venue == "krakenfutures" else venue


def shown(socket: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the header that a venue reads as its encoder sees it: beside the parameters."""
    name = HEADERS.get(socket, "")
    return {name: headers[name]} if name in headers else {}


def format_of(socket: str, path: str) -> str:
    """Name of the format spoken on a path: Kraken's port serves two."""
    return "krakenfutures" if path.startswith(FUTURES_PATH) else socket


def covers(venue: str, prefix: str | None, socket: str, path: str) -> bool:
    """Whether something set for a venue (and path prefix) concerns a request.

    `kraken` means its whole port, spot and futures; `krakenfutures` the futures paths alone.
    """
    if venue == "krakenfutures" and not path.startswith(FUTURES_PATH):
        return False
    return socket_of(venue) == socket and path.startswith(prefix or "/")


def is_clock(path: str) -> bool:
    """Whether a path tells time or state, not market data."""
    return path.endswith(CLOCKS)


def is_quote(path: str) -> bool:
    """Whether a path answers with prices."""
    return not path.endswith(CLOCKS + METADATA)


def answer(socket: str, truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Encode the venue's answer to one request."""
    return FORMATS[format_of(socket, path)](truth, path, query, now_ms)


def kinds_of(venue: str, path: str, query: Query) -> tuple[Kind, ...]:
    """Kinds of market that a request can be about."""
    if venue == "binance":
        return ("linear",) if path.startswith("/fapi/") else ("inverse",) if path.startswith("/dapi/") else ("spot",)
    if venue == "okx":
        return encode_okx.KINDS.get(query.get("instType", ""), encode_okx.ALL_KINDS)
    if venue == "bybit":
        return (encode_bybit.KINDS.get(query.get("category", ""), "spot"),)
    if venue == "bitget":
        return ("linear",) if path.startswith(encode_bitget.LINEAR) else ("spot",)
    return encode_krakenfutures.KINDS if venue == "krakenfutures" else ("spot",)


def asked_ids(path: str, query: Query) -> tuple[str, ...]:
    """Ids that a request names; empty when it asks for all markets."""
    if path.startswith(f"{encode_krakenfutures.PREFIX}tickers/"):
        return (path.rsplit("/", 1)[-1].upper(),)
    text = next((query[name] for name in NAMING if query.get(name)), "")
    return tuple(part.strip('"[] ') for part in text.split(",") if part)


def find(venue: str, truth: Truth, path: str, query: Query, market_id: str) -> Market | None:
    """Return the market that an id means in a request to a venue; None too when it is not in the list asked for."""
    if venue == "kraken":
        return encode_kraken.named(truth, market_id)
    if venue == "htx":
        return encode_htx.named(truth, path, query, market_id)
    if venue == "okx" and "instType" in query:
        return next((market for market in encode_okx.listed(truth, query["instType"]) if market.id == market_id), None)
    found = (truth.find(venue, kind, market_id) for kind in kinds_of(venue, path, query))
    return next((market for market in found if market is not None), None)
