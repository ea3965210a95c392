"""The manager: who is asked, who answers for a venue, changes while running, deadlines, loops, foreign connectors."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests import oracle
from tests.conftest import VENUES, ManagerFor, configured
from tests.expected import row_of, weight_ages
from tests.lab import Lab, default_truth
from xex.access.port import ExchangeConnector
from xex.answer import CrossExchangeData
from xex.config import FEATURES, ExchangeConfig, ExchangeType
from xex.errors import (
    ConfigError,
    LoopError,
    NoVenueAnswered,
    SymbolError,
    UnknownFeature,
    UnknownSymbol,
    UnknownVenue,
)
from xex.manager import ExchangeManager
from xex.testing import StaticConnector

SYMBOL = "BTCUSDT"
UNIFIED = "BTC/USDT:USDT"
TRUTH = default_truth()
MARKETS = {venue: TRUTH.market(row_of(venue, "linear"), "BTC", "linear") for venue in VENUES}
BINANCE = MARKETS["binance"]
BASE_VOLUME = float(sum(market.base_volume for market in MARKETS.values()))
OTHERS = [venue for venue in VENUES if venue != "okx"]
# What lists instruments, of the markets that these tests ask.
METADATA = (
    "/fapi/v1/exchangeInfo", "/api/v5/public/instruments", "/0/public/AssetPairs", "/derivatives/api/v3/instruments",
    "/v5/market/instruments-info", "/linear-swap-api/v1/swap_contract_info",
)  # fmt: skip
BOOKS = {
    "binance": "/fapi/v1/depth", "okx": "/api/v5/market/books", "kraken": "/derivatives/api/v3/orderbook",
    "bybit": "/v5/market/orderbook", "htx": "/linear-swap-ex/market/depth",
}  # fmt: skip
DEADLINE_S = 0.3


def asked_of(lab: Lab, venue: str) -> list[str]:
    return [seen.path_qs for seen in lab.seen if seen.venue == venue]


def quote(bid: float = 96_500.0, ask: float = 96_520.0, **more: Any) -> dict[str, Any]:
    return {"bid": bid, "ask": ask, "base_volume": 1000.0, "quote_volume": 96_510_000.0, **more}


def own(manager: ExchangeManager, name: str, connector: ExchangeConnector, **settings: Any) -> ExchangeConfig:
    config = ExchangeConfig(name, settings.pop("exchange_type", name), **settings)
    assert manager.add_exchange(config, connector)
    return config


# --- adding and removing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", [ExchangeType.OKX, "okx", "OKX", "okex", "Okex ", ExchangeType.OKEX])
def test_an_installed_connector_is_found_by_type(venue: str) -> None:
    manager = ExchangeManager(cache=False)
    assert manager.add_exchange(ExchangeConfig("mine", venue)) is True
    assert manager.exchange_configs["mine"].venue == "okx"
    assert manager.exchange_info["mine"].status == "unknown"


def test_a_taken_id_and_a_missing_connector_are_false_with_the_fix_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    manager = ExchangeManager(cache=False)
    assert manager.add_exchange(ExchangeConfig("a", "okx"))
    first = manager.exchange_configs["a"]
    with caplog.at_level(logging.WARNING, "xex"):
        assert manager.add_exchange(ExchangeConfig("a", "binance")) is False
        assert manager.add_exchange(ExchangeConfig("b", "nowhere")) is False
        assert manager.add_exchange(ExchangeConfig("c", ExchangeType.COINGLASS)) in {True, False}
    assert manager.exchange_configs["a"] is first
    assert "b" not in manager.exchange_configs
    assert "remove_exchange('a')" in caplog.text
    assert "nowhere" in caplog.text
    assert "xex.connectors" in caplog.text


async def test_an_exchange_can_be_removed_and_added_again(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    assert xm.remove_exchange("okx") is True
    assert xm.remove_exchange("okx") is False
    assert set(xm.exchange_configs) == set(xm.exchange_info) == set(xm.get_exchange_status()) == set(OTHERS)
    lab.seen.clear()
    snap = await xm.get_cross_exchange_ticker(SYMBOL)
    assert snap.asked == OTHERS
    assert asked_of(lab, "okx") == []
    assert xm.add_exchange(configured(lab, "okx"))
    assert "okx" in (await xm.get_cross_exchange_ticker(SYMBOL)).answered


async def test_removing_while_a_question_is_out_is_no_error(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.latency["okx"] = 0.05
    question = asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL))
    await asyncio.sleep(0.01)
    xm.remove_exchange("okx")
    snap = await question
    assert set(OTHERS) <= set(snap.answered)


async def test_adding_does_no_io(lab: Lab, manager_for: ManagerFor) -> None:
    manager_for(lab)
    await asyncio.sleep(0)
    assert lab.seen == []


# --- changes while running ----------------------------------------------------------------------------------------


async def test_enabled_takes_effect_at_the_next_question(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    xm.exchange_configs["okx"].enabled = False
    assert (await xm.get_cross_exchange_ticker(SYMBOL)).asked == OTHERS
    assert asked_of(lab, "okx") == []
    assert await xm.connect_all() == dict.fromkeys(OTHERS, True)
    xm.exchange_configs["okx"].enabled = True
    assert "okx" in (await xm.get_cross_exchange_ticker(SYMBOL)).asked
    for config in xm.exchange_configs.values():
        config.enabled = False
    with pytest.raises(ConfigError, match="no enabled exchange"):
        await xm.get_cross_exchange_ticker(SYMBOL)


async def test_who_was_not_added_is_named_when_nobody_is_left_to_ask() -> None:
    xm = ExchangeManager(cache=False)
    assert not xm.add_exchange(ExchangeConfig("mine", "okxx"))
    with pytest.raises(ConfigError, match="mine was not added, no connector is installed for 'okxx'"):
        await xm.books(SYMBOL)
    with pytest.raises(ConfigError, match="a deadline is a positive number of seconds, not True"):
        ExchangeManager(cache=False, deadline=True)


async def test_features_take_effect_at_the_next_question(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    xm.exchange_configs["okx"].features.append("order_book")
    assert (await xm.get_cross_exchange_ticker(SYMBOL)).asked == OTHERS
    xm.exchange_configs["okx"].features.append("ticker")
    assert (await xm.get_cross_exchange_ticker(SYMBOL)).liquidity_books == (5, 5)
    xm.exchange_configs["okx"].features = ["ticker"]
    lab.seen.clear()
    snap = await xm.get_cross_exchange_ticker(SYMBOL)
    assert "okx" in snap.answered
    assert snap.liquidity_books == (4, 5)
    assert not [path for path in asked_of(lab, "okx") if "/books" in path]


async def test_an_unknown_feature_is_named_whenever_it_is_given(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    with pytest.raises(UnknownFeature, match="order_book"):
        ExchangeConfig("a", "okx", features=["tickers"])
    with pytest.raises(UnknownFeature, match="tickers"):
        xm.exchange_configs["okx"].features = ["tickers"]
    with pytest.raises(UnknownFeature) as caught:
        xm.get_best_exchange("tickers")
    assert caught.value.known == tuple(FEATURES)
    xm.exchange_configs["okx"].features.append("tickers")
    with pytest.raises(UnknownFeature, match="tickers"):
        await xm.get_cross_exchange_ticker(SYMBOL)


async def test_a_bad_assignment_changes_nothing(lab: Lab, manager_for: ManagerFor) -> None:
    config = manager_for(lab).exchange_configs["okx"]
    for name, value in {"priority": 0, "enabled": "perhaps", "timeout_s": -1, "priorty": 2}.items():
        with pytest.raises(ConfigError, match=name):
            setattr(config, name, value)
    assert (config.priority, config.enabled, config.timeout_s) == (1, True, 10.0)


# --- several configurations of one venue --------------------------------------------------------------------------


def with_backup(lab: Lab, manager_for: ManagerFor, **settings: Any) -> ExchangeManager:
    """Return a manager with OKX configured twice, the second behind Kraken's door where nothing of OKX answers."""
    xm = manager_for(lab)
    assert xm.add_exchange(configured(lab, "okx", exchange_id="okx2", **{"priority": 2, **settings}))
    return xm


def weights(snap: CrossExchangeData) -> dict[str, float]:
    """Return what each row weighs by the oracle, given its volume and age."""
    ages = weight_ages(snap.frame)
    rows: list[Any] = [{**row, "age_s": ages[row["exchange"]]} for row in snap.frame.to_dict("records")]
    return oracle.robust(rows).weights


async def test_one_venue_is_asked_and_counted_once(lab: Lab, manager_for: ManagerFor) -> None:
    snap = await with_backup(lab, manager_for).get_cross_exchange_ticker(SYMBOL)
    assert sorted(snap.answered) == sorted(VENUES)
    assert "okx2" not in snap.asked
    assert snap.volume_total == pytest.approx(BASE_VOLUME, rel=1e-9)


async def test_the_better_priority_answers_and_may_change(lab: Lab, manager_for: ManagerFor) -> None:
    xm = with_backup(lab, manager_for)
    await xm.get_cross_exchange_ticker(SYMBOL)
    xm.exchange_configs["okx"].priority = 3
    snap = await xm.get_cross_exchange_ticker(SYMBOL)
    assert "okx2" in snap.answered
    assert "okx" not in snap.asked
    assert xm.get_best_exchange("ticker") != "okx"


@pytest.mark.parametrize("kind", ["status", "reset", "html", "hang", "rate_limited", "venue_error"])
async def test_the_backup_answers_for_one_that_fails(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    async with Lab(TRUTH) as other:
        xm = manager_for(lab)
        assert xm.add_exchange(configured(other, "okx", exchange_id="okx2", priority=2))
        lab.fault("okx", kind)
        started = time.perf_counter()
        snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=2.0)
        # Half of the time is the first one's; nobody waits for the clock of who did not answer.
        assert time.perf_counter() - started < 1.6
        assert set(snap.answered) == {*OTHERS, "okx2"}
        assert set(snap.dropped) == {"okx"}
        assert snap.volume_total == pytest.approx(BASE_VOLUME, rel=1e-9)
        assert snap.exchanges_data["okx2"]["weight"] == pytest.approx(weights(snap)["okx2"], rel=1e-9)
        # One that just failed is asked last from now on.
        lab.heal()
        other.seen.clear()
        again = await xm.get_cross_exchange_ticker(SYMBOL, deadline=1.0)
        assert "okx2" in again.answered
        assert "okx" not in again.asked
        await xm.disconnect_all()


async def test_when_both_fail_both_are_named(lab: Lab, manager_for: ManagerFor) -> None:
    xm = with_backup(lab, manager_for)
    lab.fault("okx", "status")
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=1.0)
    assert {name: str(drop) for name, drop in snap.dropped.items()} == {"okx": "http_error", "okx2": "http_error"}
    assert set(snap.answered) == set(OTHERS)


async def test_what_is_not_listed_is_not_asked_of_the_backup(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = TRUTH.without("okx", "BTC")
    snap = await with_backup(lab, manager_for).get_cross_exchange_ticker(SYMBOL)
    assert str(snap.dropped["okx"]) == "not_listed"
    assert "okx2" not in snap.asked


async def test_a_disabled_backup_does_not_answer(lab: Lab, manager_for: ManagerFor) -> None:
    xm = with_backup(lab, manager_for, enabled=False)
    lab.fault("okx", "status")
    assert set((await xm.get_cross_exchange_ticker(SYMBOL, deadline=1)).dropped) == {"okx"}


# --- who is asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venues", "asked"),
    [
        (["okx"], ["okx"]),
        ("okx", ["okx"]),
        (("kraken", "binance"), ["binance", "kraken"]),
        ({"okx2"}, ["okx2"]),
        (None, list(VENUES)),
    ],
)
async def test_venues_are_ids_or_exchanges(venues: Any, asked: list[str], lab: Lab, manager_for: ManagerFor) -> None:
    snap = await with_backup(lab, manager_for).get_cross_exchange_ticker(SYMBOL, venues=venues)
    assert sorted(snap.asked) == sorted(asked)


async def test_an_unknown_venue_lists_the_known(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    with pytest.raises(UnknownVenue) as caught:
        await xm.get_cross_exchange_ticker(SYMBOL, venues=["okx", "ftx"])
    assert caught.value.known == tuple(sorted(VENUES))
    assert "'ftx'" in str(caught.value)
    with pytest.raises(UnknownVenue, match="ftx"):
        await xm.tickers(venues="ftx")
    with pytest.raises(ConfigError, match="venues"):
        await xm.get_cross_exchange_ticker(SYMBOL, venues=[])
    assert lab.seen == []


async def test_the_best_exchange_is_up_then_unknown_then_down(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    assert xm.get_best_exchange() in VENUES
    for name in ("bybit", "htx"):
        xm.exchange_configs[name].priority = 3
    await xm.get_cross_exchange_ticker(SYMBOL, venues=["kraken"])
    assert xm.get_best_exchange("ticker") == "kraken"
    lab.fault("kraken", "status")
    with pytest.raises(NoVenueAnswered):
        await xm.get_cross_exchange_ticker(SYMBOL, venues=["kraken"], deadline=1)
    xm.exchange_configs["binance"].priority = 2
    assert xm.get_best_exchange("ticker") == "okx"
    xm.exchange_configs["okx"].enabled = False
    assert xm.get_best_exchange("ticker") == "binance"
    xm.exchange_configs["binance"].features = ["order_book"]
    assert xm.get_best_exchange("ticker") == "bybit"
    xm.exchange_configs["bybit"].enabled = xm.exchange_configs["htx"].enabled = False
    assert xm.get_best_exchange("ticker") == "kraken"
    assert xm.get_best_exchange("order_book") == "binance"
    assert xm.get_best_exchange("liquidations") == "kraken"
    assert xm.get_best_exchange("whale_activity") == "kraken"
    assert ExchangeManager(cache=False).get_best_exchange() is None


async def test_the_status_has_the_promised_shape(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    names = {"status", "latency", "uptime_percentage", "error_count", "success_count", "last_error"}
    before = xm.get_exchange_status()
    assert set(before) == set(VENUES)
    for row in before.values():
        assert names <= set(row)
        assert type(row["status"]) is str
        assert row["status"] == "unknown"
        assert math.isnan(row["latency"])
        assert math.isnan(row["uptime_percentage"])
        assert row["last_error"] is None
    lab.fault("okx", "status", path="/api/v5/market/books")
    await xm.get_cross_exchange_ticker(SYMBOL)
    after = xm.get_exchange_status()
    assert after["binance"]["status"] == "up"
    assert 0 < after["binance"]["latency"] < 1000
    assert after["binance"]["uptime_percentage"] == 100
    assert after["okx"]["error_count"] >= 1
    assert 0 < after["okx"]["uptime_percentage"] < 100
    for name, state in xm.exchange_info.items():
        assert state.as_dict() == after[name]
        assert all(getattr(state, key) == value for key, value in after[name].items() if value == value)


async def test_health_asks_everyone_and_keeps_its_time(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, deadline=DEADLINE_S)
    lab.fault("okx", "hang")
    lab.fault("kraken", "status")
    xm.exchange_configs["binance"].priority = 1
    started = time.perf_counter()
    health = await xm.health_check()
    assert time.perf_counter() - started < DEADLINE_S + 0.1
    assert health["binance"]["venue_status"] == "ok"
    assert health["binance"]["status"] == "up"
    assert health["okx"]["venue_status"] == "no answer in time"
    assert "500" in health["kraken"]["venue_status"]
    lab.heal()
    assert {row["venue_status"] for row in (await xm.health_check()).values()} == {"ok"}


async def test_connecting_says_who_is_ready(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, deadline=DEADLINE_S)
    lab.fault("okx", "hang")
    lab.fault("kraken", "html")
    started = time.perf_counter()
    assert await xm.connect_all() == {**dict.fromkeys(VENUES, True), "okx": False, "kraken": False}
    assert time.perf_counter() - started < DEADLINE_S + 0.1
    lab.heal()
    await xm.disconnect_all()
    assert await xm.connect_all() == dict.fromkeys(VENUES, True)
    lab.seen.clear()
    await xm.get_cross_exchange_ticker(SYMBOL)
    assert not [seen for seen in lab.seen if seen.path_qs.startswith(METADATA)]


# --- currency and market ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "rate"), [("USD", float(TRUTH.usdt_usd)), ("usd", float(TRUTH.usdt_usd)), ("USDT", 1.0)]
)
async def test_prices_are_brought_to_the_currency_asked(
    currency: str, rate: float, lab: Lab, manager_for: ManagerFor
) -> None:
    snap = await manager_for(lab).get_cross_exchange_ticker(SYMBOL, currency=currency)
    assert snap.currency == currency.upper()
    assert snap.dropped == {}
    for venue, market in MARKETS.items():
        data = snap.exchanges_data[venue]
        if venue == "kraken":
            assert data["fx_rate"] == pytest.approx(rate / float(TRUTH.usdt_usd), rel=3e-4)
            continue
        assert data["fx_rate"] == pytest.approx(rate, rel=3e-4)
        assert data["price"] == pytest.approx(float(market.mid) * data["fx_rate"], rel=1e-9)
        assert data["base_volume"] == pytest.approx(float(market.base_volume), rel=1e-9)


async def test_a_currency_without_a_source_leaves_the_row_out_with_its_reason(
    lab: Lab, manager_for: ManagerFor
) -> None:
    lab.truth = TRUTH.without("kraken", "USDC", "spot").without("binance", "USDC", "spot")
    snap = await manager_for(lab).get_cross_exchange_ticker(SYMBOL, currency="USDC")
    assert {str(drop) for drop in snap.dropped.values()} == {"no_rate"}
    assert all("USDC" in drop.detail for drop in snap.dropped.values())
    assert math.isnan(snap.aggregated_price)
    assert snap.exchanges_data["okx"]["currency"] == "USDT"
    assert snap.volume_total == pytest.approx(BASE_VOLUME, rel=1e-9)


@pytest.mark.parametrize("currency", ["GBP", "", "BTC", "US D", 7])
async def test_an_unknown_currency_is_refused_before_anything_is_asked(
    currency: Any, lab: Lab, manager_for: ManagerFor
) -> None:
    with pytest.raises(ConfigError, match="USDT"):
        await manager_for(lab).get_cross_exchange_ticker(SYMBOL, currency=currency)
    assert lab.seen == []


async def test_the_market_decides_where_the_text_does_not(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    spot = await xm.get_cross_exchange_ticker(SYMBOL, market="spot")
    assert spot.instrument.symbol == "BTC/USDT"
    assert spot.answered == list(VENUES)
    assert spot.dropped == {}
    lab.truth = TRUTH.without("okx", "BTC", "spot").without("htx", "BTC", "spot")
    fewer = await manager_for(lab).get_cross_exchange_ticker(SYMBOL, market="spot")
    assert fewer.answered == ["binance", "kraken", "bybit"]
    assert {name: str(drop) for name, drop in fewer.dropped.items()} == {"okx": "not_listed", "htx": "not_listed"}
    with pytest.raises(SymbolError, match="perp"):
        await xm.get_cross_exchange_ticker(SYMBOL, market="futures market")
    with pytest.raises(UnknownSymbol) as caught:
        await xm.get_cross_exchange_ticker("NOSUCHUSDT")
    assert "NOSUCH" in str(caught.value)


@pytest.mark.parametrize("symbol", ["", " ", "BTC", "/", "BTC/", "/USDT", "::", "BTC/USDT:", 7, None])
async def test_a_symbol_that_is_none_is_refused_before_anything_is_asked(
    symbol: Any, lab: Lab, manager_for: ManagerFor
) -> None:
    with pytest.raises((SymbolError, UnknownVenue)) as caught:
        await manager_for(lab).get_cross_exchange_ticker(symbol)
    assert str(caught.value)
    assert lab.seen == []


@pytest.mark.parametrize("deadline", [0, -1, math.nan, math.inf, "soon"])
async def test_a_deadline_is_a_positive_number(deadline: Any, lab: Lab, manager_for: ManagerFor) -> None:
    with pytest.raises(ConfigError, match="deadline"):
        await manager_for(lab).get_cross_exchange_ticker(SYMBOL, deadline=deadline)
    with pytest.raises(ConfigError, match="deadline"):
        ExchangeManager(deadline=deadline)


# --- deadlines, cancellation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("deadline", [0.1, 0.2, 0.3])
async def test_a_hanging_venue_costs_the_deadline_and_no_more(
    deadline: float, lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault("kraken", "hang")
    started = time.perf_counter()
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=deadline)
    assert time.perf_counter() - started <= deadline + 0.1
    assert set(snap.dropped) == {"kraken"}
    assert set(snap.answered) == set(VENUES) - {"kraken"}


async def test_the_request_s_own_limit_is_named_apart_from_the_deadline(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, okx={"timeout_s": 0.1})
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault("okx", "hang")
    started = time.perf_counter()
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=2)
    assert time.perf_counter() - started <= 0.1 + 0.15
    assert str(snap.dropped["okx"]) == "timeout"
    assert "0.1 s" in snap.dropped["okx"].detail


async def test_all_hanging_lists_each_in_time(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    for venue in VENUES:
        lab.fault(venue, "hang")
    started = time.perf_counter()
    with pytest.raises(NoVenueAnswered) as caught:
        await xm.get_cross_exchange_ticker(SYMBOL, deadline=DEADLINE_S)
    assert time.perf_counter() - started <= DEADLINE_S + 0.1
    assert set(caught.value.dropped) == set(VENUES)


async def test_metadata_that_came_too_late_is_there_for_the_next_question(lab: Lab, manager_for: ManagerFor) -> None:
    """A caller that gives up does not take the load from the next."""
    xm = manager_for(lab, venues=("binance", "okx"))
    lab.latency["okx", "/api/v5/public/instruments"] = 0.35
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=0.25)
    assert str(snap.dropped["okx"]) == "late"
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=2)
    assert snap.dropped == {}
    assert len([path for path in asked_of(lab, "okx") if "instruments" in path]) == 1


async def test_twenty_questions_at_once_share_one_load(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    symbols = [SYMBOL, "ETHUSDT", "SOLUSDT", "XRPUSDT"] * 5
    started = time.perf_counter()
    snaps = await asyncio.gather(*(xm.get_cross_exchange_ticker(symbol, deadline=5) for symbol in symbols))
    assert time.perf_counter() - started < 2.5
    assert all(snap.dropped == {} for snap in snaps)
    for path in METADATA:
        assert len([seen for seen in lab.seen if seen.path_qs.startswith(path)]) == 1, path


async def test_one_of_many_askers_that_leaves_takes_nothing_from_the_others(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    lab.latency["okx"] = 0.05
    tasks = [asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL, deadline=5)) for _ in range(5)]
    await asyncio.sleep(0.02)
    tasks[0].cancel()
    tasks[3].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False, False, True, False]
    assert all(one.dropped == {} for one in done if not isinstance(one, BaseException))


@pytest.mark.parametrize("after", [0.0, 0.005, 0.02, 0.05])
async def test_a_cancelled_question_leaves_nothing_behind(after: float, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    lab.latency["okx"] = 0.05
    lab.fault("kraken", "hang")
    before = {task for task in asyncio.all_tasks() if "_handle" not in repr(task)}
    question = asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL, deadline=5))
    await asyncio.sleep(after)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    await xm.disconnect_all()
    for _ in range(5):
        await asyncio.sleep(0)
    mine = {task for task in asyncio.all_tasks() - before if "xex" in repr(task)}
    assert mine == set()
    lab.heal()
    lab.latency.clear()
    assert (await xm.get_cross_exchange_ticker(SYMBOL)).dropped == {}


async def test_a_timeout_around_the_question_is_the_caller_s(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    lab.fault("okx", "hang")
    started = time.perf_counter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await xm.get_cross_exchange_ticker(SYMBOL, deadline=5)
    assert time.perf_counter() - started < 0.25


async def test_closing_with_questions_out_is_quick_and_complete(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    for venue in VENUES:
        lab.fault(venue, "hang")
    question = asyncio.create_task(xm.get_cross_exchange_ticker(SYMBOL, deadline=DEADLINE_S))
    await asyncio.sleep(0.02)
    started = time.perf_counter()
    await xm.disconnect_all()
    assert time.perf_counter() - started < 0.2
    with pytest.raises(NoVenueAnswered):
        await question


# --- loops --------------------------------------------------------------------------------------------------------


async def test_another_live_loop_is_refused_with_the_way_out(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    caught: list[BaseException] = []

    def elsewhere() -> None:
        for call in (xm.get_cross_exchange_ticker(SYMBOL), xm.health_check(), xm.connect_all(), xm.tickers()):
            try:
                asyncio.run(call)
            except LoopError as exc:
                caught.append(exc)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(caught) == 4
    assert "one manager per loop" in str(caught[0])
    assert "disconnect_all" in str(caught[0])
    assert (await xm.get_cross_exchange_ticker(SYMBOL)).dropped == {}


async def test_closing_from_another_loop_is_refused_too(lab: Lab, manager_for: ManagerFor) -> None:
    """It would end tasks and sessions of a loop that is running elsewhere."""
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(xm.disconnect_all())
        except LoopError as exc:
            caught.append(exc)

    await asyncio.to_thread(elsewhere)
    assert len(caught) == 1
    assert (await xm.get_cross_exchange_ticker(SYMBOL)).dropped == {}


@pytest.mark.usefixtures("loaded")
def test_a_manager_follows_from_one_closed_loop_to_the_next() -> None:
    """Like a script with several asyncio.run, or a notebook whose kernel made a new loop."""
    from tests.lab import running_lab

    with running_lab(TRUTH) as lab:
        manager = ExchangeManager(cache=False, deadline=5)
        for venue in VENUES:
            manager.add_exchange(configured(lab, venue))

        async def ask(*, close: bool) -> dict[str, Any]:
            snap = await manager.get_cross_exchange_ticker(SYMBOL)
            if close:
                await manager.disconnect_all()
            return snap.as_dict()

        first = asyncio.run(ask(close=True))
        lab.seen.clear()
        second = asyncio.run(ask(close=True))
        assert first["dropped"] == second["dropped"] == {}
        assert first["aggregated_price"] == pytest.approx(second["aggregated_price"], rel=1e-6)
        assert not [seen for seen in lab.seen if seen.path_qs.startswith(METADATA)], "instruments are kept"


async def test_a_manager_can_be_used_again_after_closing(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    for _ in range(3):
        async with xm:
            assert (await xm.get_cross_exchange_ticker(SYMBOL)).dropped == {}
    await xm.disconnect_all()
    await xm.disconnect_all()


# --- connectors of others -----------------------------------------------------------------------------------------


class Odd(ExchangeConnector):
    """Does what it is told, in place of an answer."""

    def __init__(self, answer: Any = None, *, connect: Any = None) -> None:
        super().__init__()
        self.answer, self.connecting = answer, connect

    async def _do(self, what: Any) -> Any:
        if isinstance(what, BaseException):
            raise what
        return await what() if callable(what) else what

    async def connect(self) -> object:
        return await self._do(self.connecting)

    async def get_ticker(self, symbol: str) -> Mapping[str, Any] | None:  # noqa: ARG002  it answers anything
        return await self._do(self.answer)  # type: ignore[no-any-return]


def named(case: object) -> str:
    """Name a case alike in every process."""
    if isinstance(case, set):
        return "|".join(sorted(case))
    return getattr(case, "__name__", repr(case))


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_connector_of_one_s_own_joins_the_aggregate(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    ticker = quote(float(BINANCE.mid) - 1, float(BINANCE.mid) + 1)
    own(xm, "dex", StaticConnector({UNIFIED: ticker}))
    snap = await xm.get_cross_exchange_ticker(SYMBOL)
    assert set(snap.answered) == {*VENUES, "dex"}
    assert snap.dropped == {}
    assert snap.exchanges_data["dex"]["price"] == pytest.approx(float(BINANCE.mid))
    assert 0 < snap.exchanges_data["dex"]["weight"] < 0.4
    assert snap.volume_total == pytest.approx(BASE_VOLUME + 1000, rel=1e-9)
    assert snap.liquidity_books == (5, 6)
    status = xm.get_exchange_status()["dex"]
    assert status["status"] == "up"
    assert status["success_count"] >= 1


async def test_a_connector_alone_is_enough() -> None:
    async with ExchangeManager(cache=False) as xm:
        own(xm, "dex", StaticConnector({UNIFIED: quote(99, 101, timestamp=time.time())}))
        snap = await xm.get_cross_exchange_ticker(SYMBOL)
        assert snap.aggregated_price == 100
        assert "single_source" in snap.flags
        with pytest.raises((NoVenueAnswered, SymbolError), match="ETH"):
            await xm.get_cross_exchange_ticker("ETHUSDT")


@pytest.mark.parametrize("seconds", [-600, 600])
async def test_a_connector_s_quote_time_counts(seconds: float) -> None:
    async with ExchangeManager(cache=False) as xm:
        own(xm, "a", StaticConnector({UNIFIED: quote(99, 101)}))
        own(xm, "b", StaticConnector({UNIFIED: quote(199, 201, timestamp=time.time() + seconds)}))
        snap = await xm.get_cross_exchange_ticker(SYMBOL)
        assert ("b" in snap.dropped) == (seconds < 0 or str(snap.dropped.get("b")) == "disagree")
        if seconds < 0:
            assert str(snap.dropped["b"]) == "stale"
            assert snap.aggregated_price == 100


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        (ValueError("x"), {"bad_payload"}),
        (KeyError("last"), {"bad_payload"}),
        (TypeError("x"), {"bad_payload"}),
        (RuntimeError("x"), {"internal"}),
        (ZeroDivisionError("x"), {"internal"}),
        (ExceptionGroup("several", [ValueError("a"), OSError("b")]), {"internal"}),
        (ConnectionResetError("x"), {"unreachable", "internal"}),
        (TimeoutError(), {"timeout"}),
        (NotImplementedError(), {"internal"}),
        (asyncio.CancelledError(), {"late", "internal"}),
        (StopAsyncIteration(), {"internal"}),
        (forever, {"late"}),
        (None, {"not_listed"}),
        ([1, 2], {"bad_payload"}),
        ("ticker", {"bad_payload"}),
        ({}, {"no_quote"}),
        ({"bid": "abc", "ask": 2}, {"bad_payload"}),
        ({"bid": None, "ask": None, "last": None}, {"no_quote"}),
        ({"bid": [1], "ask": 2}, {"bad_payload"}),
        ({"bid": math.nan, "ask": math.inf}, {"no_quote"}),
        ({"bid": -1, "ask": 1}, {"no_quote"}),
        ({"bid": 96_600, "ask": 96_500}, {"crossed"}),
        ({"bid": 90_000, "ask": 100_000}, {"wide"}),
        ({"last": 96_500}, {"last_only"}),
        ({"bid": 1.0, "ask": 1.0001}, {"suspect", "unit_error"}),
        ({"bid": 96.51, "ask": 96.52}, {"unit_error"}),
        ({"bid": 96_500, "ask": 96_501, "timestamp": "yesterday"}, {"bad_payload"}),
        ({"bid": 96_500, "ask": 96_501, "timestamp": 0}, {"stale"}),
    ],
    ids=named,
)
async def test_a_connector_that_misbehaves_is_its_own_loss(
    answer: Any, reasons: set[str], lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab)
    expected = await xm.get_cross_exchange_ticker(SYMBOL)
    own(xm, "odd", Odd(answer))
    started = time.perf_counter()
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=DEADLINE_S)
    assert time.perf_counter() - started <= DEADLINE_S + 0.1
    assert set(snap.dropped) == {"odd"}
    assert str(snap.dropped["odd"]) in reasons, snap.dropped["odd"].text
    assert set(VENUES) <= set(snap.answered)
    assert snap.aggregated_price == pytest.approx(expected.aggregated_price, rel=1e-6)
    assert snap.volume_total == pytest.approx(expected.volume_total, rel=1e-9)
    if snap.dropped["odd"] in {"bad_payload", "internal", "timeout"}:
        assert xm.get_exchange_status()["odd"]["error_count"] >= 1
        assert xm.get_exchange_status()["odd"]["last_error"]


@pytest.mark.parametrize(
    ("connect", "reasons"),
    [
        (False, {"unreachable"}),
        (OSError("no route"), {"unreachable", "internal"}),
        (ValueError("x"), {"bad_payload", "internal"}),
        (forever, {"late"}),
    ],
    ids=named,
)
async def test_a_connector_that_cannot_connect_is_named(
    connect: Any, reasons: set[str], lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab)
    connector = Odd(quote(), connect=connect)
    own(xm, "odd", connector)
    # The others are asked for the first time: they read their lists.
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=1.0)
    assert set(snap.dropped) == {"odd"}
    assert str(snap.dropped["odd"]) in reasons
    assert (await xm.connect_all())["odd"] is False if connect is not forever else True
    connector.connecting = None
    assert "odd" in (await xm.get_cross_exchange_ticker(SYMBOL, deadline=2)).answered


ROW = {"instrument": [UNIFIED], "base": ["BTC"], "quote": ["USDT"], "kind": ["linear"]}
COLUMNS: dict[str, Any] = {
    "none": None,
    "a list": [1, 2],
    "empty": {},
    "no instrument": {"bid": [1.0], "ask": [2.0]},
    "unequal": {**ROW, "bid": [96_500.0, 1.0], "ask": [96_510.0]},
    "a table": {**ROW, "bid": np.array([[96_500.0, 1.0]]), "ask": [96_510.0]},
    "a number": {**ROW, "bid": 96_500.0, "ask": 96_510.0},
    "words": {**ROW, "bid": ["much"], "ask": ["more"]},
    "another": {**ROW, "instrument": ["ETH/USDT:USDT"], "bid": [1.0], "ask": [2.0]},
    "no text": {**ROW, "instrument": [7], "bid": [96_500.0], "ask": [96_510.0]},
    "odd times": {**ROW, "bid": [96_500.0], "ask": [96_510.0], "exchange_time": ["now"], "time_source": ["quote"]},
}


@pytest.mark.parametrize("name", COLUMNS)
async def test_columns_of_a_wrong_form_are_their_connector_s_loss(name: str, lab: Lab, manager_for: ManagerFor) -> None:
    """A connector that answers whole columns may get them wrong in more ways than one that answers a dict."""

    class Columnar(Odd):
        async def tickers(self, instruments: Any, legs: Any = ()) -> Any:  # noqa: ARG002
            return COLUMNS[name]

    xm = manager_for(lab)
    own(xm, "odd", Columnar())
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=2)
    assert set(snap.dropped) == {"odd"}
    assert str(snap.dropped["odd"]) in {"bad_payload", "not_listed"}, snap.dropped["odd"].text
    assert set(snap.answered) == set(VENUES)


async def test_a_failure_of_a_foreign_connector_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with ExchangeManager(cache=False) as xm:
        own(xm, "odd", Odd(RuntimeError("the cause")))
        own(xm, "fine", StaticConnector({UNIFIED: quote()}))
        with caplog.at_level(logging.ERROR, "xex.access"):
            await xm.get_cross_exchange_ticker(SYMBOL)
    records = [record for record in caplog.records if record.name == "xex.access"]
    assert len(records) == 1
    assert records[0].exc_info is not None
    assert "odd" in records[0].getMessage()


async def test_a_connector_that_cannot_close_does_not_keep_the_others_open(lab: Lab, manager_for: ManagerFor) -> None:
    class Stubborn(StaticConnector):
        async def disconnect(self) -> None:
            raise RuntimeError("no")

    xm = manager_for(lab)
    own(xm, "stubborn", Stubborn({UNIFIED: quote()}))
    await xm.get_cross_exchange_ticker(SYMBOL)
    await xm.disconnect_all()


async def test_the_market_of_every_venue_in_one_frame(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    own(xm, "single", StaticConnector({UNIFIED: quote()}))
    lab.fault("okx", "status")
    frame = await xm.tickers(deadline=2)
    assert set(frame["exchange"]) == set(OTHERS)
    assert set(frame.attrs["dropped"]) == {"okx", "single"}
    rows = {(row.exchange, row.instrument): row for row in frame.itertuples()}
    row = rows["binance", UNIFIED]
    assert row.base_volume == pytest.approx(float(BINANCE.base_volume), rel=1e-9)
    assert row.bid == pytest.approx(float(BINANCE.bids[0][0]), rel=1e-12)
    lab.heal()
    lab.fault("okx", "hang")
    started = time.perf_counter()
    frame = await xm.tickers(deadline=DEADLINE_S)
    assert time.perf_counter() - started < DEADLINE_S + 0.1
    assert "okx" in frame.attrs["dropped"]
    for venue in VENUES:
        lab.fault(venue, "hang")
    with pytest.raises(NoVenueAnswered):
        await xm.tickers(deadline=0.1)


async def test_a_hanging_venue_does_not_let_the_others_quotes_grow_stale(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for the last venue ends long before the limit of ages; here both are scaled down."""
    import xex.manager

    monkeypatch.setattr(xex.manager, "STRAGGLER_S", 0.3)
    xm = manager_for(lab)
    await xm.connect_all()
    lab.fault("okx", "hang")
    started = time.perf_counter()
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=20)
    assert time.perf_counter() - started < 1.5
    assert set(snap.dropped) == {"okx"}
    assert snap.dropped["okx"] == "late"
    assert snap.aggregated_price == snap.aggregated_price
    assert max(data["age_ms"] for data in snap.exchanges_data.values()) < 1500


async def test_books_that_hang_everywhere_do_not_let_the_tickers_grow_stale(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tickers are there although no venue is done: they must be used while they are fresh."""
    import xex.manager

    monkeypatch.setattr(xex.manager, "STRAGGLER_S", 0.3)
    xm = manager_for(lab)
    await xm.connect_all()
    for venue, path in BOOKS.items():
        lab.fault(venue, "hang", path=path)
    started = time.perf_counter()
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=20)
    assert time.perf_counter() - started < 1.5
    assert snap.dropped == {}
    assert snap.aggregated_price == snap.aggregated_price
    assert max(data["age_ms"] for data in snap.exchanges_data.values()) < 1500
