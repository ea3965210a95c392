"""CoinGlass: its figures of the exchanges' contracts, behind one key, to check ours against.

Requests are built and answers are read without I/O; `CoinGlass` alone sends. An error comes as a code inside an
answer with HTTP 200 as often as with a status of its own, numbers come as numbers or as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from xex.access.budgets import Limit
from xex.access.port import Reference
from xex.access.transport import Response, scrub
from xex.errors import (
    AuthRejected,
    BadPayload,
    ConnectorError,
    HttpError,
    NotListed,
    RateLimited,
    VenueRefused,
)
from xex.model.schema import Columns
from xex_connectors.mapping import decode, number

BASE_URL = "https://open-api-v4.coinglass.com"
WINDOW_S = 60.0
"""Requests are counted by the minute."""

VENUES = {"gate.io": "gate", "huobi": "htx", "okex": "okx"}
"""Spellings that are not the venue's name in small letters."""


class PlanTooLow(VenueRefused):
    """The key is good, but its plan does not include the question."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question as it is asked: path and parameters; the key is a header."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address, which holds no key."""
        return f"{BASE_URL}{self.path}?{urlencode(self.params)}" if self.params else f"{BASE_URL}{self.path}"


def headers(key: str) -> dict[str, str]:
    """Return the headers that every request needs."""
    return {"CG-API-KEY": key, "Accept": "application/json"}


def pairs_markets(coin: str) -> Request:
    """Ask for every contract of a coin on every exchange; a pair in the coin's place is answered with nothing."""
    return Request("/api/futures/pairs-markets", {"symbol": coin})


def data_of(body: bytes, status: int = 200) -> Any:
    """Return what an answer holds, None where it holds nothing; raise what its code, else its status, means."""
    try:
        answer = decode(body)
    except BadPayload:
        if status == 200:
            raise
        answer = None
    if isinstance(answer, Mapping) and "code" in answer:
        code, words = str(answer["code"]), str(answer.get("msg") or "no reason given")
        if code == "0" and status == 200:
            return answer.get("data")
        raise _refusal(str(status) if code == "0" else code, words)
    if status == 200:
        raise BadPayload("the answer has no code")
    if status == 401:
        raise AuthRejected(f"HTTP {status}: the key was not accepted")
    raise HttpError(f"HTTP {status}", status=status)


def _refusal(code: str, words: str) -> ConnectorError:
    """Return the error that a code and its text mean; 30001 to 50001 are those of older versions."""
    text, lower = f"code {code}: {' '.join(words.split())[:160]}", words.lower()
    if code == "403" or "upgrade" in lower:
        return PlanTooLow(f"{text}; the key's plan does not include this question")
    if code in {"401", "30001"} or (code == "400" and "api key" in lower):
        return AuthRejected(f"{text}; the key was not accepted")
    if code in {"429", "50001"}:
        return RateLimited(text, retry_after=WINDOW_S)
    return NotListed(text) if "does not exist on the exchange" in lower else VenueRefused(text)


def contract_columns(data: Any) -> Columns:
    """Return the rows of `pairs_markets` as columns of the schema `reference`; rows without a name are left out.

    `volume_usd` (24 h) and `oi_usd` are dollars, `oi_base` coins: the venue's own price times it is `oi_usd`.
    """
    if not isinstance(data, list | None):
        raise BadPayload("no list of contracts")
    rows = [row for row in data or () if isinstance(row, Mapping) and row.get("exchange_name")]
    rows = [row for row in rows if row.get("instrument_id")]
    names = [str(row["exchange_name"]).lower() for row in rows]
    columns: Columns = {
        "venue": [VENUES.get(name, name) for name in names],
        "id": [str(row["instrument_id"]) for row in rows],
        "symbol": [str(row.get("symbol") or "") for row in rows],
    }
    fields = {
        "price": "current_price", "volume_usd": "volume_usd", "oi_base": "open_interest_quantity",
        "oi_usd": "open_interest_usd",
    }  # fmt: skip
    return columns | {name: [number(row.get(cell)) for row in rows] for name, cell in fields.items()}


class CoinGlass(Reference):
    """CoinGlass, API version 4."""

    key_hint = "a key comes with any plan on https://www.coinglass.com/pricing"
    # The least plan allows 30 a minute; the venue's own count of what was used corrects ours.
    limits = (
        Limit("key", "open-api-v4.coinglass.com", 30, WINDOW_S, used_header="API-KEY-USE-LIMIT", source="docs, plans"),
    )

    async def contracts(self, base: str) -> Columns:
        """Return CoinGlass's figures of every contract of an asset."""
        columns = await self._asked(pairs_markets(base), contract_columns)
        if not columns["id"]:
            raise NotListed(f"no contracts of {base}", venue=self._route.venue)
        return columns

    async def _asked(self, request: Request, read: Callable[[Any], Columns]) -> Columns:
        key = self.config.api_key
        if key is None:
            raise AuthRejected("no key is set", venue=self._route.venue)
        response = await self._transport.send(
            self._route, "GET", request.url, headers(key.get_secret_value()), signed=True
        )
        try:
            return read(data_of(response.body, response.status))
        except ConnectorError as exc:
            self._note(exc, response)
            raise

    def _note(self, error: ConnectorError, response: Response) -> None:
        """Name the source of an error and take the key out of its words, which are CoinGlass's own."""
        error.venue = self._route.venue
        error.args = tuple(scrub(str(part), self._route.secrets) for part in error.args)
        self._route.state.failed(error, response.id)
        if isinstance(error, RateLimited):
            self._transport.hush(self._route, response)
