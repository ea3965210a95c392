"""A unit rule or a contract size that is off by a factor of two makes a comparison with the truth fail: shown here."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import xex
from tests.expected import assert_listings, assert_market, assert_snapshot
from tests.lab import Lab, default_truth
from tests.test_snapshot import CONNECTORS
from xex.model import units
from xex.model.listings import Listings
from xex.model.units import Amount, Units
from xex_connectors import ccxt_adapter, mapping


async def numbers_are_right() -> None:
    """Compare a snapshot, the whole market and the instruments with the truth."""
    truth = default_truth().with_cross("BTC", buy="okx", sell="krakenfutures", bps=60)
    async with Lab(truth) as lab, xex.ExchangeManager(cache=False) as xm:
        for name, connector in CONNECTORS.items():
            config = xex.ExchangeConfig(name, name, base_url=lab.url(name))
            xm.add_exchange(config, connector(config))
        await xm.connect_all()
        for name in CONNECTORS:
            assert_listings(name, xm._entries[name].connector.known_listings(), truth)  # type: ignore[attr-defined]
        assert_market(await xm.tickers(), truth)
        assert_snapshot(await xm.get_cross_exchange_ticker("BTCUSDT"), truth)


async def test_unchanged_it_is_right() -> None:
    await numbers_are_right()


MARKETS = [(name, kind) for name, connector in CONNECTORS.items() for kind in connector.units]
STATIC = ("contract_size", "multiplier", "tick", "lot", "min_amount")
MOVING = {
    "price": ("bid", "ask", "last", "price", "high", "low"), "size": ("size", "bid_size", "ask_size"),
    "base_volume": ("base_volume",), "quote_volume": ("quote_volume",),
}  # fmt: skip


@pytest.mark.parametrize("column", STATIC)
@pytest.mark.parametrize(("venue", "kind"), MARKETS)
async def test_a_doubled_instrument_number_is_noticed(
    monkeypatch: pytest.MonkeyPatch, venue: str, kind: str, column: str
) -> None:
    real = mapping.listings

    def doubled(body: bytes, spec: Any, its_kind: Any, rule: Units, *rest: Any) -> Listings:
        table = real(body, spec, its_kind, rule, *rest)
        if rule.name == f"{venue}.{kind}":
            table.columns[column] = [2 * cell for cell in table.columns[column]]
        return table

    monkeypatch.setattr(ccxt_adapter, "listings", doubled)
    with pytest.raises(AssertionError):
        await numbers_are_right()


@pytest.mark.parametrize("what", MOVING)
@pytest.mark.parametrize(("venue", "kind"), MARKETS)
async def test_a_doubled_unit_rule_is_noticed(
    monkeypatch: pytest.MonkeyPatch, venue: str, kind: str, what: str
) -> None:
    def doubled(raw: Any, rule: Units, *rest: Any) -> Any:
        done = units.to_base(raw, rule, *rest)
        if rule.name == f"{venue}.{kind}":
            done |= {name: 2 * done[name] for name in MOVING[what] if name in done}
        return done

    monkeypatch.setattr(ccxt_adapter, "to_base", doubled)
    with pytest.raises(AssertionError):
        await numbers_are_right()


@pytest.mark.parametrize("field", ["size", "base_volume"])
async def test_coins_taken_for_contracts_are_noticed(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    misread(monkeypatch, "okx", field)
    with pytest.raises(AssertionError):
        await numbers_are_right()


@pytest.mark.parametrize("name", ["binance", "kraken"])
@pytest.mark.parametrize("field", ["size", "base_volume"])
async def test_where_one_contract_is_one_coin_both_readings_agree(
    monkeypatch: pytest.MonkeyPatch, name: str, field: str
) -> None:
    misread(monkeypatch, name, field)
    await numbers_are_right()


def misread(monkeypatch: pytest.MonkeyPatch, name: str, field: str) -> None:
    """Take coins for contracts, or contracts for coins, in one rule."""
    rule = CONNECTORS[name].units["linear"]
    other = Amount.BASE if getattr(rule, field) is Amount.CONTRACTS else Amount.CONTRACTS
    monkeypatch.setitem(CONNECTORS[name].units, "linear", dataclasses.replace(rule, **{field: other}))


async def test_a_rule_is_never_applied_twice() -> None:
    import numpy as np

    rule = CONNECTORS["okx"].units["linear"]
    one = np.ones(1)
    rows = units.to_base({"bid": one, "bid_size": one}, rule, one / 100, one)
    assert rows["bid_size"][0] == 0.01
    with pytest.raises(xex.XexError, match=r"okx\.linear"):
        units.to_base(rows, rule, one / 100, one)
