"""The ccxt objects that a manager hands out: they read what the venue sends, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import ccxt.async_support as ccxt
import pytest

import xex
from tests.conftest import ManagerFor
from tests.lab import Lab, default_truth
from xex_connectors.read_only import readable

CLASSES = ("binance", "binanceusdm", "bybit", "htx", "kraken", "krakenfutures", "okx")
# Every word by which a method of ccxt changes, moves or signs something.
WRITES = re.compile(
    r"create|cancel|edit|withdraw|transfer|borrow|repay|(^|_)set|close|modify|redeem|convert|sign|mint|upgrade|"
    r"addMargin|add_margin|reduce|private|post|put_|delete|apiKey|secret|password|request$|fetch2|throttle|session",
    re.IGNORECASE,
)


@pytest.mark.parametrize("name", CLASSES)
def test_no_method_that_changes_anything_is_readable(name: str) -> None:
    methods = [method for method in dir(getattr(ccxt, name)()) if not method.startswith("__")]
    offered = [method for method in methods if readable(method)]
    # What reads may have such a word in its own name: a history of transfers, a public list of settings.
    reads = re.compile(r"(fetch|parse|safe)(_|[A-Z])|\w*public(v2)?(Get|_get)", re.IGNORECASE)
    assert [one for one in offered if WRITES.search(one) and not reads.match(one)] == []
    assert not {"fetch", "fetch2", "request", "sign", "apiKey", "secret", "session"} & set(offered)
    assert {"fetch_ticker", "fetch_order_book", "load_markets", "parse_ticker"} <= set(offered)


async def test_it_reads_what_the_venue_sends_in_ccxts_units(lab: Lab, manager_for: ManagerFor) -> None:
    market = default_truth().market("okx", "BTC", "linear")
    xm = manager_for(
        lab,
        venues=(
            "okx",
            "binance",
            "kraken",
        ),
    )
    client = xm.ccxt("okx")
    ticker = await client.fetch_ticker("BTC/USDT:USDT")
    assert ticker["bid"] == float(market.bids[0][0])
    assert ticker["bidVolume"] == pytest.approx(float(market.bids[0][1] / market.contract_size))  # contracts
    raw = await client.publicGetMarketTickers({"instType": "SWAP"})
    assert raw["code"] == "0"
    spot = await xm.ccxt("binance", "spot").fetch_order_book("BTC/USDT", 5)
    assert spot["bids"][0][0] == float(default_truth().market("binance", "BTC", "spot").bids[0][0])
    # The manager's own answers are what they were.
    snap = await xm.get_cross_exchange_ticker("BTCUSDT")
    assert set(snap.answered) == {"okx", "binance", "kraken"}


@pytest.mark.parametrize(
    "name", ["create_order", "privatePostTradeOrder", "withdraw", "apiKey", "sign", "request", "close"]
)
async def test_what_is_not_there_says_why(lab: Lab, manager_for: ManagerFor, name: str) -> None:
    client = manager_for(lab, venues=("okx",)).ccxt("okx")
    with pytest.raises(xex.ReadOnlyError, match=name):
        getattr(client, name)
    assert not hasattr(client, name)
    assert name not in dir(client)


async def test_nothing_can_be_put_into_it(lab: Lab, manager_for: ManagerFor) -> None:
    client = manager_for(lab, venues=("okx",)).ccxt("okx")
    with pytest.raises(xex.ReadOnlyError, match="apiKey"):
        client.apiKey = "k"
    assert repr(client) == "<read-only ccxt okx>"


async def test_an_error_of_the_venue_is_ccxts_own(lab: Lab, manager_for: ManagerFor) -> None:
    client: Any = manager_for(lab, venues=("okx",)).ccxt("okx")
    with pytest.raises(ccxt.BadSymbol):
        await client.fetch_ticker("NOPE/USDT:USDT")
    lab.fault("okx", "html")
    with pytest.raises((ccxt.BaseError, xex.XexError)):
        await client.publicGetMarketTickers({"instType": "SWAP"})


async def test_who_is_not_there_is_named(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("kraken",))
    with pytest.raises(xex.UnknownVenue, match="okx"):
        xm.ccxt("okx")
    with pytest.raises(xex.ConfigError, match="options"):
        xm.ccxt("kraken", "options")  # type: ignore[arg-type]
