"""What the adapter leans on in ccxt: if a release changes it, this fails and not a user's numbers."""

from __future__ import annotations

import inspect
import logging
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.test_snapshot import CONNECTORS
from xex_connectors import ccxt_adapter
from xex_connectors.ccxt_adapter import _implicit, _seamed, import_ccxt

ccxt = import_ccxt()
CLASSES = [
    (name, kind, market.client) for name, connector in CONNECTORS.items() for kind, market in connector.markets.items()
]


def calls(connector: Any, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return every implicit method that a venue file names for a market, with parameters as they are sent."""
    market = connector.markets[kind]
    maps = [market.instruments, *market.tickers, market.book, market.trades, *filter(None, [market.interest])]
    if market.funding is not None:
        maps += filter(None, [market.funding.rates, market.funding.named, market.funding.intervals])
    others = [(spec.one_call, dict(spec.params)) for spec in market.tickers if spec.one_call]
    if market.ratios is not None:
        others += [(call, dict(market.ratios.params)) for call in market.ratios.calls]
    if market.book.deep_call:
        others.append((market.book.deep_call, dict(market.book.params)))
    return [*((spec.call, dict(spec.params)) for spec in maps), *others]


@pytest.mark.parametrize("name", [name for _, _, name in CLASSES])
def test_only_what_touches_the_network_or_all_markets_is_ours(name: str) -> None:
    theirs, ours = getattr(ccxt, name), _seamed(name)
    # ccxt adds its own second spellings to a class when it is first used, so only what we wrote is compared.
    mine = [one for one in vars(ours).values() if getattr(one, "__module__", "") == ccxt_adapter.__name__]
    written = {one.__name__ for one in mine}
    assert written == {"fetch", "close", "load_markets", "to_array", "filter_by", "group_by"}
    assert ours.sign is theirs.sign
    assert ours.handle_errors is theirs.handle_errors
    parameters = list(inspect.signature(theirs.fetch).parameters)
    assert parameters == ["self", "url", "method", "headers", "body"]
    assert list(inspect.signature(ours.fetch).parameters) == parameters


@pytest.mark.parametrize(("venue", "kind", "name"), CLASSES)
def test_each_implicit_method_is_one_unsigned_request_to_a_host_with_a_budget(venue: str, kind: str, name: str) -> None:
    connector = CONNECTORS[venue]
    client = getattr(ccxt, name)()
    for call, params in calls(connector, kind):
        path, api, method, config = _entry(client, call)
        request = client.sign(path, api, method, params)
        assert request["method"] == "GET"
        assert not request["headers"]
        assert request["body"] is None
        assert "signature" not in request["url"].lower()
        parts = urlsplit(request["url"])
        limits = [limit for limit in connector.limits if limit.host == parts.hostname]
        assert any(limit.cost(parts.path, {}) is not None for limit in limits), f"{parts.hostname}{parts.path}"
        del config


def _entry(client: Any, call: str) -> tuple[str, Any, str, dict[str, Any]]:
    """Return what the implicit method `call` would ask for."""
    asked: list[tuple[str, Any, str]] = []

    def request(path: str, api: Any = "public", method: str = "GET", params: Any = None, *_: Any, **__: Any) -> Any:
        del params
        asked.append((path, api, method))

        async def nothing() -> dict[str, Any]:
            return {}

        return nothing()

    client.request = request
    _implicit(client, call, {}).close()
    return (*asked[0], {})


@pytest.mark.parametrize("venue", CONNECTORS)
def test_time_and_status_methods_exist_on_one_of_the_classes(venue: str) -> None:
    connector = CONNECTORS[venue]
    clients = [getattr(ccxt, each)() for each in {market.client for market in connector.markets.values()}]
    for spec in (connector.time_map, connector.status_map):
        assert spec is None or any(hasattr(client, spec.call) for client in clients)


def test_ccxts_own_debug_lines_never_run() -> None:
    assert logging.getLogger("ccxt.base.exchange").level >= logging.INFO


def test_the_known_exceptions_exist() -> None:
    for name in ("BadSymbol", "RestrictedLocation", "AuthenticationError", "OnMaintenance", "RateLimitExceeded",
                 "DDoSProtection", "RequestTimeout", "BadResponse", "NetworkError", "BaseError"):  # fmt: skip
        assert issubclass(getattr(ccxt, name), ccxt.BaseError)
