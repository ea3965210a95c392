"""Bitget, a venue from outside: one file of data passes the suite, joins a manager, and is found when installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import suite
from tests.conformance.bitget import BitgetConnector
from tests.conformance.worlds import Venue
from tests.conftest import VENUES, ManagerFor, configured
from tests.lab import Lab, Truth
from xex import ExchangeManager

VENUE = Venue(
    name="bitget",
    connector=BitgetConnector,
    fees={"linear": (6, 2), "spot": (20, 20)},
    depths={"linear": (100,), "spot": (150,)},
    dated={"linear": ("quote", "quote"), "spot": ("quote", "quote")},
    open_dated="quote",
    sections=("linear", "spot"),
    worlds=("lab",),
)


class TestTickers(suite.AnswersTickers):
    pass


class TestInstruments(suite.Lists):
    pass


class TestBooks(suite.Books):
    pass


class TestTrades(suite.Trades):
    pass


class TestMarket(suite.AnswersWholeMarket):
    pass


class TestOpenInterest(suite.OpenInterest):
    pass


class TestTime(suite.KnowsTime):
    pass


class TestStatus(suite.KnowsStatus):
    pass


async def six_answer(manager: ExchangeManager, truth: Truth) -> None:
    """Fail unless a snapshot counts the venue as one of six."""
    snap = await manager.get_cross_exchange_ticker("BTCUSDT")
    assert sorted(snap.answered) == sorted((*VENUES, "bitget"))
    assert snap.dropped == {}
    market = truth.market("bitget", "BTC", "linear")
    row = snap.frame.set_index("exchange").loc["bitget"]
    assert (row["bid"], row["ask"]) == (float(market.bids[0][0]), float(market.asks[0][0]))
    assert row["weight"] > 0
    everywhere = [market for market in truth.group("BTC", "linear") if market.quote in {"USDT", "USD"}]
    assert len(everywhere) == 6
    assert snap.volume_total == pytest.approx(float(sum(market.base_volume for market in everywhere)), rel=1e-9)


async def test_it_joins_a_manager(lab: Lab, everything: Truth, manager_for: ManagerFor) -> None:
    lab.truth = everything
    manager = manager_for(lab)
    config = configured(lab, "bitget")
    assert manager.add_exchange(config, connector=BitgetConnector(config))
    await six_answer(manager, everything)


async def test_it_is_found_by_its_entry_point(
    lab: Lab, everything: Truth, manager_for: ManagerFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.truth = everything
    manager = manager_for(lab)
    assert not manager.add_exchange(configured(lab, "bitget"))
    installed = tmp_path / "xex_bitget-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: xex-bitget\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[xex.connectors]\nbitget = tests.conformance.bitget:BitgetConnector\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "bitget" in ExchangeManager.from_env().exchange_configs
    assert manager.add_exchange(configured(lab, "bitget"))
    await six_answer(manager, everything)
