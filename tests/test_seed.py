"""The usage that xex promises: programs written for its names and shapes run as they are, here against the lab."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

import xex
from tests.conftest import Tidy
from tests.expected import EXCHANGES
from tests.lab import Forced, Lab, default_truth
from xex import ExchangeConfig, ExchangeManager, ExchangeType
from xex.access.transport import Route
from xex.roster import Roster

PERPETUALS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"]


@pytest.fixture
async def world(loaded: None, tidy: Tidy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:  # noqa: ARG001
    """Give a lab that stands where the venues would: the programs below know nothing of it."""
    async with Lab(default_truth()) as lab:
        real = Roster._route

        def to_the_lab(manager: Roster, entry: Any) -> Route:
            route = real(manager, entry)
            known = entry.config.venue in EXCHANGES
            return dataclasses.replace(route, base_url=lab.url(entry.config.venue)) if known else route

        monkeypatch.setattr(Roster, "_route", to_the_lab)
        yield lab


async def all_five() -> ExchangeManager:
    manager = ExchangeManager(cache=False)
    for exchange in ("BINANCE", "OKX", "HTX", "BYBIT", "KRAKEN"):
        manager.add_exchange(ExchangeConfig(exchange_id=exchange.lower(), exchange_type=ExchangeType[exchange]))
    await manager.connect_all()
    return manager


async def test_the_first_steps(world: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    manager = ExchangeManager()
    manager.add_exchange(
        ExchangeConfig(
            exchange_id="binance_main",
            exchange_type=ExchangeType.BINANCE,
            api_key="your_binance_key",
            secret_key="your_binance_secret",  # noqa: S106  what the example says
            priority=1,
            features=["liquidations", "whale_activity", "ticker"],
        )
    )
    manager.add_exchange(ExchangeConfig(exchange_id="okx_main", exchange_type=ExchangeType.OKX, priority=2))
    manager.add_exchange(ExchangeConfig(exchange_id="coinglass_main", exchange_type=ExchangeType.HTX, priority=3))

    results = await manager.connect_all()
    for exchange_id, connected in results.items():
        print(f"{exchange_id}: {'connected' if connected else 'failed'}")

    ticker_data = await manager.get_cross_exchange_ticker("BTCUSDT")
    print(f"Aggregated Price: ${ticker_data.aggregated_price:.2f}")
    print(f"Price Variance: ${ticker_data.price_variance:.2f}")
    print(f"Total Volume: {ticker_data.volume_total:,.0f}")
    print(f"Liquidity Score: {ticker_data.liquidity_score:.1f}")
    for opportunity in ticker_data.arbitrage_opportunities:
        print(f"Buy on {opportunity['exchange_low']}, sell on {opportunity['exchange_high']}")
        print(f"Difference: {opportunity['price_difference_pct']:.3f}%")

    assert results == {"binance_main": True, "okx_main": True, "coinglass_main": True}
    said = capsys.readouterr().out
    assert "Aggregated Price: $965" in said
    assert "$nan" not in said.lower()
    assert ": nan" not in said.lower()
    # A key goes nowhere but where its holder is told what it may do and what the account pays.
    keyed = {seen.path_qs.partition("?")[0] for seen in world.seen if "your_binance" in f"{seen.path_qs}{seen.headers}"}
    assert keyed <= {
        "/sapi/v1/account/apiRestrictions", "/sapi/v1/asset/tradeFee", "/fapi/v1/commissionRate",
        "/dapi/v1/commissionRate",
    }  # fmt: skip
    await manager.disconnect_all()


async def test_choosing_and_changing_while_running(world: Lab) -> None:
    del world
    manager = ExchangeManager(cache=False)
    manager.add_exchange(ExchangeConfig("binance_main", ExchangeType.BINANCE, features=["ticker"]))
    manager.add_exchange(ExchangeConfig("okx_main", ExchangeType.OKX, priority=2))

    assert manager.get_best_exchange() == "binance_main"
    assert manager.get_best_exchange("trades") == "okx_main"
    assert manager.get_best_exchange("liquidations") == "okx_main"
    assert manager.get_best_exchange("whale_activity") == "okx_main"

    manager.exchange_configs["binance_main"].enabled = False
    assert manager.get_best_exchange() == "okx_main"
    manager.exchange_configs["binance_main"].enabled = True
    manager.exchange_configs["okx_main"].priority = 1
    manager.exchange_configs["binance_main"].priority = 3
    assert manager.get_best_exchange() == "okx_main"
    manager.exchange_configs["binance_main"].priority = 1
    manager.exchange_configs["binance_main"].features.append("funding_rates")
    assert "funding_rates" in manager.exchange_configs["binance_main"].features
    manager.exchange_configs["binance_main"].features.append("trades")
    manager.exchange_configs["okx_main"].enabled = False
    assert manager.get_best_exchange("trades") == "binance_main"


async def test_whales(world: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    market = world.truth.market("okx", "BTC", "linear")
    whale = dataclasses.replace(market.trades[0], size=Decimal(20), side="sell")
    world.truth = world.truth.replacing(dataclasses.replace(market, trades=(whale, *market.trades[1:])))
    manager = await all_five()
    whale_data = await manager.get_cross_exchange_whale_activity("BTCUSDT")
    print(f"Whale activities: {len(whale_data)}")
    for activity in whale_data[:5]:
        print(f"{activity['exchange']}: {activity['side']} {activity['quantity']} @ ${activity['price']}")
    assert capsys.readouterr().out == f"Whale activities: 1\nokx: sell 20.0 @ ${float(whale.price)}\n"


async def test_who_was_liquidated(world: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    now_ms = time.time_ns() // 1_000_000
    world.truth = dataclasses.replace(
        world.truth,
        forced=(
            Forced("okx", "BTC-USDT-SWAP", "BTC", now_ms - 60_000, Decimal(50_000), Decimal(25_000), "long"),
            Forced("htx", "BTC-USDT", "BTC", now_ms - 90_000, Decimal(50_000), Decimal(12_500), "short"),
        ),
    )
    manager = await all_five()

    liquidations = await manager.get_cross_exchange_liquidations("BTCUSDT")
    for liq in liquidations[:5]:
        print(f"{liq['exchange']}: {liq['side']} {liq['quantity']} @ ${liq['price']}")

    assert capsys.readouterr().out.splitlines() == ["okx: sell 0.5 @ $50000.0", "htx: buy 0.25 @ $50000.0"]
    await manager.disconnect_all()


async def test_watching_the_venues(world: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    world.fault("okx", "status", code=503)
    manager = await all_five()
    await manager.get_cross_exchange_ticker("BTCUSDT")

    for exchange_id, status in manager.get_exchange_status().items():
        print(f"{exchange_id}: {status['status']}")
        print(f"  Latency: {status['latency']:.2f}ms")
        print(f"  Uptime: {status['uptime_percentage']:.1f}%")
        print(f"  Errors: {status['error_count']}, successes: {status['success_count']}")
    for exchange_id, info in manager.exchange_info.items():
        if info.error_count > 0:
            print(f"{exchange_id} failed {info.error_count} times: {info.last_error}")

    said = capsys.readouterr().out
    assert "okx: down" in said
    assert "binance: up" in said
    assert "HTTP 503" in said
    await manager.disconnect_all()


# --- a strategy that acts on what it is told ----------------------------------------------------------------


class Strategy:
    """Executes every opportunity above half a per cent."""

    def __init__(self, manager: ExchangeManager) -> None:
        self.manager = manager
        self.executed: list[tuple[str, str, str]] = []

    async def execute(self, symbol: str, opportunity: dict[str, Any]) -> None:
        self.executed.append((symbol, opportunity["exchange_low"], opportunity["exchange_high"]))

    async def run(self, symbols: list[str]) -> None:
        for symbol in symbols:
            data = await self.manager.get_cross_exchange_ticker(symbol)
            for opportunity in data.arbitrage_opportunities:
                if opportunity["price_difference_pct"] > 0.5:
                    await self.execute(symbol, opportunity)


def poisoned(lab: Lab, kind: str) -> None:
    """Plant what fools scanners: another coin under a known ticker, an old quote, a price of a thousand units."""
    quote = "USDT" if kind == "spot" else None
    eth = lab.truth.market("htx", "ETH", kind, quote)  # type: ignore[arg-type]
    lab.truth = lab.truth.with_collision("ETH", "htx", eth.mid * 111, kind=kind)  # type: ignore[arg-type]
    lab.truth = lab.truth.with_scale("bybit", "DOGE", 1000, kind=kind)  # type: ignore[arg-type]
    # Two per cent dearer, as of ten minutes ago.
    okx = lab.truth.market("okx", "SOL", kind, quote)  # type: ignore[arg-type]
    lab.truth = lab.truth.replacing(dataclasses.replace(okx.scaled(Decimal("1.02")), quote_age_ms=600_000))


@pytest.mark.parametrize("kind", ["linear", "spot"])
async def test_a_strategy_is_fooled_by_none_of_it(world: Lab, kind: str) -> None:
    poisoned(world, kind)
    manager = await all_five()
    strategy = Strategy(manager)
    symbols = PERPETUALS if kind == "linear" else [f"{symbol[:-4]}/USDT" for symbol in PERPETUALS]
    await strategy.run(symbols)
    assert strategy.executed == []

    # It is not that nothing was seen: each of them is there with what stops it.
    rejected = {symbol: (await manager.get_cross_exchange_ticker(symbol)).rejected for symbol in symbols}
    seen = {
        (symbol, row["exchange_high"]): row["gate"]
        for symbol, rows in rejected.items()
        for row in rows
        if row["price_difference_pct"] > 0.5 and row["exchange_low"] == "binance"
    }
    assert seen == {
        (symbols[1], "htx"): "identity",
        (symbols[2], "okx"): "freshness",
        (symbols[3], "bybit"): "identity",
    }
    collision = next(row for row in rejected[symbols[1]] if row["exchange_high"] == "htx")
    assert collision["price_difference_pct"] == pytest.approx(11_000, rel=0.01)
    await manager.disconnect_all()


@pytest.mark.parametrize("kind", ["linear", "spot"])
async def test_a_true_edge_is_executed_once_with_the_right_pair(world: Lab, kind: str) -> None:
    poisoned(world, kind)
    # 45 bps below the others on one venue and above them on another: together more than half a per cent.
    quote: Any = "USDT" if kind == "spot" else None
    for venue, bps in (("bybit", -45), ("okx", 45)):
        world.truth = world.truth.replacing(
            world.truth.market(venue, "BTC", kind, quote).scaled(1 + Decimal(bps) / 10_000)  # type: ignore[arg-type]
        )
    manager = await all_five()
    strategy = Strategy(manager)
    symbols = PERPETUALS if kind == "linear" else [f"{symbol[:-4]}/USDT" for symbol in PERPETUALS]
    await strategy.run(symbols)
    assert strategy.executed == [(symbols[0], "bybit", "okx")]
    await manager.disconnect_all()


async def test_a_risk_score_in_one_line(world: Lab) -> None:
    del world
    manager = await all_five()
    data = await manager.get_cross_exchange_ticker("BTCUSDT")
    score = min(data.price_variance / data.aggregated_price * 100, 10) + max(0, 10 - data.liquidity_score / 10)
    assert 0 <= score < 1
    await manager.disconnect_all()


# --- connectors of one's own ---------------------------------------------------------------------------------


class MyExchange(xex.ExchangeConnector):
    """A connector as its author writes it: two methods."""

    async def connect(self) -> bool:
        return True

    async def get_ticker(self, symbol: str) -> dict[str, float] | None:
        if symbol != "BTC/USDT:USDT":
            return None
        return {"bid": 96_510.0, "ask": 96_511.0, "base_volume": 100.0, "taker_bps": 5}


async def test_a_connector_of_one_s_own_beside_the_others(world: Lab) -> None:
    del world
    manager = await all_five()
    config = ExchangeConfig(exchange_id="mine", exchange_type="my_exchange")
    assert manager.add_exchange(config) is False  # nothing is installed for it
    assert manager.add_exchange(config, connector=MyExchange())
    data = await manager.get_cross_exchange_ticker("BTCUSDT")
    assert data.exchanges_data["mine"]["price"] == 96_510.5
    assert data.exchanges_data["mine"]["weight"] > 0
    assert len(data.answered) == 6
    with pytest.raises(xex.ConfigError, match="ExchangeConnector"):
        manager.add_exchange(ExchangeConfig("other", "other"), connector=object())  # type: ignore[arg-type]
    await manager.disconnect_all()


# --- one manager for a whole program --------------------------------------------------------------------------


async def test_a_program_has_one_manager_per_loop_and_one_configuration(
    world: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    del world
    monkeypatch.setenv("EXCHANGE_PRIORITY_KRAKEN", "7")
    mine = xex.get_exchange_manager()
    assert list(mine.exchange_configs) == ["binance", "bybit", "htx", "kraken", "okx"]
    assert mine.exchange_configs["kraken"].priority == 7
    await mine.get_cross_exchange_ticker("BTCUSDT")
    assert xex.get_exchange_manager() is mine

    async def elsewhere() -> xex.ExchangeManager:
        theirs = xex.get_exchange_manager()
        await theirs.get_cross_exchange_ticker("BTCUSDT")
        assert xex.get_exchange_manager() is theirs
        await theirs.disconnect_all()
        return theirs

    found: list[xex.ExchangeManager] = []
    await asyncio.to_thread(lambda: found.append(asyncio.run(elsewhere())))
    assert found[0] is not mine
    # The very same configurations: a change in one place takes effect everywhere.
    mine.exchange_configs["kraken"].enabled = False
    assert found[0].exchange_configs["kraken"].enabled is False
    await mine.disconnect_all()


async def test_two_loops_that_reach_for_it_at_once_get_one_each(world: Lab) -> None:
    del world
    ready = threading.Barrier(4)

    def reached() -> tuple[ExchangeManager, bool]:
        async def twice() -> tuple[ExchangeManager, bool]:
            ready.wait()
            first = xex.get_exchange_manager()
            await asyncio.sleep(0)
            return first, xex.get_exchange_manager() is first

        return asyncio.run(twice())

    found = await asyncio.gather(*(asyncio.to_thread(reached) for _ in range(4)))
    assert all(same for _, same in found)
