"""How each venue refuses: trouble of its own, too many requests, a caller shut out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from tests.lab import encode_binance as binance
from tests.lab import encode_bitget as bitget
from tests.lab import encode_bybit as bybit
from tests.lab import encode_coinglass as coinglass
from tests.lab import encode_htx as htx
from tests.lab import encode_kraken as kraken
from tests.lab import encode_krakenfutures as krakenfutures
from tests.lab import encode_okx as okx
from tests.lab.wire import Query, Reply

PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Please wait.</body></html>"
TOO_FREQUENT = b"access too frequent, please try again in 5 minutes"


@dataclass(frozen=True)
class Case:
    """The request that a fault of status refuses: the venue's format, path, time and query, the fault's arguments."""

    venue: str
    path: str
    now_ms: int
    args: Mapping[str, Any]
    query: Query

    def status(self, usual: int) -> int:
        """HTTP status of the refusal, if the fault names one, else the venue's usual."""
        return int(self.args.get("status", usual))


def _htx_trouble(case: Case) -> Reply:
    if htx.is_contract(case.path, case.query):
        return htx.contract_failure(1004, "System busy. Please try again later.", case.now_ms)
    return htx.failure("gateway-internal-error", "Failed to load data. Try again later.", case.now_ms)


TROUBLE: dict[str, Callable[[Case], Reply]] = {
    "binance": lambda _: binance.error(-1001, "Internal error; unable to process your request. Please try again.", 503),
    "okx": lambda _: okx.failure("50001", "Service temporarily unavailable. Try again later"),
    "kraken": lambda _: kraken.failure("EService:Unavailable"),
    "krakenfutures": lambda case: krakenfutures.failure("Unavailable", case.now_ms),
    "bybit": lambda case: bybit.failure(10016, "Server error.", case.now_ms),
    "htx": _htx_trouble,
    "bitget": lambda case: bitget.failure("40015", "System is abnormal, please try again later", case.now_ms),
    "coinglass": lambda _: coinglass.refusal("500", "Server Error"),
}


def venue_error(case: Case) -> Reply:
    """Report trouble inside the venue, the way that venue does."""
    return TROUBLE[case.venue](case)


def _htx_too_many(case: Case) -> Reply:
    if htx.is_contract(case.path, case.query):
        words = "The number of access exceeded the limit."
        return htx.contract_failure(1032, words, case.now_ms, case.status(200))
    return htx.failure("rate-too-many-requests", "exceeded rate limit", case.now_ms, case.status(200))


TOO_MANY: dict[str, Callable[[Case], Reply]] = {
    "binance": lambda case: retry_after(
        binance.error(-1003, "Too many requests; current limit is 2400 requests per minute.", 429),
        case.args.get("retry_after", 5),
    ),
    "okx": lambda case: okx.failure("50011", "Too Many Requests", case.status(200)),
    "kraken": lambda _: kraken.failure("EAPI:Rate limit exceeded"),
    "krakenfutures": lambda case: krakenfutures.failure("apiLimitExceeded", case.now_ms),
    "bybit": lambda case: bybit.failure(10006, "Too many visits!", case.now_ms, case.status(200)),
    "htx": _htx_too_many,
    "bitget": lambda case: bitget.failure("429", "Too Many Requests", case.now_ms, case.status(429)),
    "coinglass": lambda case: coinglass.refusal("429", "Too Many Requests", case.status(429)),
}


def rate_limited(case: Case) -> Reply:
    """Refuse for too many requests; OKX, Bybit, HTX and Bitget with the HTTP `status` that is asked for."""
    when = None if case.venue in ("kraken", "krakenfutures", "binance") else case.args.get("retry_after")
    return retry_after(TOO_MANY[case.venue](case), when)


def banned(case: Case) -> Reply:
    """Shut the caller out for `retry_after` seconds."""
    seconds = case.args.get("retry_after", 120)
    if case.venue == "binance":
        until = case.now_ms + round(1000 * float(seconds))
        words = f"Way too many requests; IP banned until {until}. Please use the websocket for live updates."
        return retry_after(binance.error(-1003, words, 418), seconds)
    if case.venue == "kraken":
        return kraken.failure("EGeneral:Temporary lockout")
    page = TOO_FREQUENT if case.venue == "bybit" else PAGE
    return retry_after(Reply(page, 403, content_type="text/html"), case.args.get("retry_after"))


# what only holders of a key are told, and the header that carries the key; nobody looks at the signature
KEYED = {
    ("binance", "/sapi/v1/capital/config/getall"): "X-MBX-APIKEY",
    ("binance", "/sapi/v1/account/apiRestrictions"): "X-MBX-APIKEY",
    ("okx", "/api/v5/asset/currencies"): "OK-ACCESS-KEY",
    ("okx", "/api/v5/account/config"): "OK-ACCESS-KEY",
    ("bybit", "/v5/asset/coin/query-info"): "X-BAPI-API-KEY",
    ("bybit", "/v5/user/query-api"): "X-BAPI-API-KEY",
    **dict.fromkeys(
        (
            ("binance", path)
            for path in ("/sapi/v1/asset/tradeFee", "/fapi/v1/commissionRate", "/dapi/v1/commissionRate")
        ),
        "X-MBX-APIKEY",
    ),
    ("okx", "/api/v5/account/trade-fee"): "OK-ACCESS-KEY",
    ("bybit", "/v5/account/fee-rate"): "X-BAPI-API-KEY",
    ("htx", "/v2/reference/transact-fee-rate"): "AccessKeyId",
}
WRONG_KEY: dict[str, Callable[[int], Reply]] = {
    "binance": lambda _: binance.error(-2015, "Invalid API-key, IP, or permissions for action.", 401),
    "okx": lambda _: okx.failure("50111", "Invalid OK-ACCESS-KEY", 401),
    "bybit": lambda now_ms: bybit.failure(10003, "API key is invalid.", now_ms),
    "htx": lambda _: Reply({"code": 1003, "message": "invalid signature"}),
}
NO_KEY: dict[str, Callable[[int], Reply]] = {
    "binance": lambda _: binance.error(-2014, "API-key format invalid.", 401),
    "okx": lambda _: okx.failure("50103", "Request header OK-ACCESS-KEY can not be empty.", 401),
    "bybit": lambda now_ms: bybit.failure(10003, "API key is invalid.", now_ms),
    "htx": lambda _: Reply({"code": 1002, "message": "unauthorized"}),
}


def refused_key(
    venue: str, path: str, headers: Mapping[str, str], query: Query, accepted: str | None
) -> Callable[[int], Reply] | None:
    """Return how the venue refuses a key that is missing or is not the one `accepted`; None where all is well.

    HTX alone takes the key as a parameter.
    """
    name = KEYED.get((venue, path))
    if name is None:
        return None
    key = headers.get(name) or query.get(name)
    if not key:
        return NO_KEY[venue]
    return None if accepted in (None, key) else WRONG_KEY[venue]


def retry_after(reply: Reply, when: float | str | datetime | None) -> Reply:
    """Add Retry-After: seconds, or a moment as HTTP writes dates."""
    if when is None:
        return reply
    stamp = format_datetime(when.astimezone(UTC), usegmt=True) if isinstance(when, datetime) else str(when)
    return dataclasses.replace(reply, headers={**reply.headers, "Retry-After": stamp})
