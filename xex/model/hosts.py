"""Which hosts are this machine: nobody between here and there can read along."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit


@lru_cache(maxsize=256)
def may_be_plain(address: str) -> bool:
    """Say whether nobody could read along: over https, or to this machine.

    >>> may_be_plain("https://gateway.example"), may_be_plain("http://127.0.0.1:8080"), may_be_plain("http://[::1]/x")
    (True, True, True)
    >>> may_be_plain("http://gateway.example"), may_be_plain("http://127.0.0.1.gateway.example"), may_be_plain("")
    (False, False, False)
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
