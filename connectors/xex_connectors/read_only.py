"""A ccxt object that can only read: what orders, transfers or changes anything is not there."""

from __future__ import annotations

import re
from typing import Any

from xex.errors import ReadOnlyError

_PLAIN = frozenset({
    "id", "name", "version", "countries", "has", "symbols", "ids", "codes", "markets", "markets_by_id", "market",
    "market_id", "market_ids", "currencies", "currencies_by_id", "currency", "load_markets", "loadMarkets",
    "timeframes", "precisionMode", "rateLimit", "fees", "features", "describe", "iso8601", "milliseconds", "seconds",
})  # fmt: skip
_UNIFIED = re.compile(
    r"(fetch|parse|safe)(_[a-z0-9]|[A-Z])\w*|(price|amount|cost|fee|currency)(_to_precision|ToPrecision)"
)
_PUBLIC_GET = re.compile(
    r"(?!\w*([pP]rivate|[pP]ost|[dD]elete))\w*([pP]ublic|[dD]ata|charts|history)([vV]\d)?(Get[A-Z]|_get_)\w*"
)


def readable(name: str) -> bool:
    """Say whether an attribute of a ccxt object only reads: what is not known to is refused.

    >>> readable("fetch_ticker"), readable("fapiPublicGetDepth"), readable("create_order"), readable("privatePostOrder")
    (True, True, False, False)
    """
    return name in _PLAIN or bool(_UNIFIED.fullmatch(name) or _PUBLIC_GET.fullmatch(name))


class ReadOnly:
    """A view of a keyless ccxt object whose requests go through the manager; see `xex.ExchangeManager.ccxt`."""

    __slots__ = ("_client",)

    def __init__(self, client: Any) -> None:
        object.__setattr__(self, "_client", client)

    def __getattr__(self, name: str) -> Any:
        if not readable(name):
            raise ReadOnlyError(
                f"{name!r} is not to be had here: this ccxt object has no keys and only reads market data; "
                "for anything else make a ccxt object of your own"
            )
        return getattr(self._client, name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise ReadOnlyError(f"{name!r} cannot be set: this ccxt object is the manager's, and only reads")

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._client) if readable(name)]

    def __repr__(self) -> str:
        return f"<read-only ccxt {self._client.id}>"
