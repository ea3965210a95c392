"""How a strategy is tested: without a network, always with the same numbers, failures included.

Copy it, put your own strategy in place of `where_to_buy`, and run `pytest`. It needs pytest and pytest-asyncio, and in
pyproject.toml::

    [tool.pytest.ini_options]
    asyncio_mode = "auto"
    asyncio_default_fixture_loop_scope = "function"

Every test has an event loop of its own, hence a manager of its own: a manager belongs to one loop.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

import xex
from xex.testing import StaticConnector


async def where_to_buy(xm: xex.ExchangeManager, symbol: str) -> str:
    """Return the exchange with the lowest ask; the strategy that is tested here."""
    snap = await xm.get_cross_exchange_ticker(symbol)
    used = snap.frame[snap.frame["weight"] > 0]  # not one that is stale, or quotes another price than the others
    return str(used.sort_values("ask")["exchange"].iloc[0])


@pytest.fixture
async def xm() -> AsyncIterator[xex.ExchangeManager]:
    """Give a manager that answers from the recording that comes with xex; `xex.record` makes one of your own."""
    with xex.replay():
        async with xex.ExchangeManager.from_env() as manager:
            yield manager


async def test_it_buys_where_the_recording_is_cheapest(xm: xex.ExchangeManager) -> None:
    assert await where_to_buy(xm, "BTCUSDT") == "kraken"


async def test_a_symbol_that_nobody_lists_is_no_trade(xm: xex.ExchangeManager) -> None:
    with pytest.raises(xex.SymbolError):
        await where_to_buy(xm, "NOSUCHCOINUSDT")


async def test_an_exchange_that_fails_is_no_reason_to_stop() -> None:
    """In a world of one's own the exchanges say what the test wants."""
    worlds: Mapping[str, Mapping[str, Mapping[str, Any] | Exception]] = {
        "dear": {"BTC/USDT": {"bid": 100.2, "ask": 100.3}},
        "cheap": {"BTC/USDT": {"bid": 100.0, "ask": 100.1}},
        "broken": {"BTC/USDT": TimeoutError()},
    }
    async with xex.ExchangeManager() as manager:
        for name, tickers in worlds.items():
            manager.add_exchange(xex.ExchangeConfig(name, name), StaticConnector(tickers))
        assert await where_to_buy(manager, "BTC/USDT") == "cheap"
