"""A plan says what a question asks, before anything is asked: held against what then arrives at the lab."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.conftest import NO_KEYS, VENUES, ManagerFor
from tests.lab import Lab, currency_markets, default_truth, limits
from tests.lab.venues import format_of, is_clock
from xex.access.budgets import Limit
from xex.errors import ConfigError, SymbolError, UnknownVenue
from xex.manager import ExchangeManager
from xex.planning import Plan
from xex_connectors import OkxConnector

Question = Callable[[ExchangeManager], Awaitable[Any]]
QUESTIONS: dict[str, tuple[tuple[Any, ...], dict[str, Any], Question]] = {
    "snapshot": (("snapshot", "BTCUSDT"), {}, lambda xm: xm.get_cross_exchange_ticker("BTCUSDT")),
    "snapshot of spot": (("snapshot", "ETH/USDT"), {}, lambda xm: xm.get_cross_exchange_ticker("ETH/USDT")),
    "books": (("order_book", "BTCUSDT"), {}, lambda xm: xm.books("BTCUSDT")),
    "trades": (("trades", "BTC/USDT"), {}, lambda xm: xm.trades("BTC/USDT")),
    "market": (("tickers",), {}, lambda xm: xm.tickers()),
    "spot market": (("tickers",), {"market": "spot"}, lambda xm: xm.tickers(market="spot")),
    "instruments": (("instruments",), {"market": "perp"}, lambda xm: xm.instruments(market="perp")),
    "opportunities": (("opportunities", "BTCUSDT"), {}, lambda xm: xm.opportunities("BTCUSDT")),
    "funding": (("funding_rates", ["BTCUSDT", "ETHUSDT"]), {}, lambda xm: xm.funding(["BTCUSDT", "ETHUSDT"])),
    "funding of markets": (("funding_rates",), {}, lambda xm: xm.funding()),
    "open interest": (
        ("open_interest", ["BTCUSDT", "ETHUSDT"]), {}, lambda xm: xm.open_interest(["BTCUSDT", "ETHUSDT"]),
    ),
    "open interest of inverse contracts": (
        ("open_interest", "BTCUSD"), {"market": "inverse"}, lambda xm: xm.open_interest("BTCUSD", market="inverse"),
    ),
    "open interest of markets": (("open_interest",), {}, lambda xm: xm.open_interest()),
    "long and short": (("long_short", "BTCUSDT"), {}, lambda xm: xm.long_short("BTCUSDT")),
    "two venues": (
        ("snapshot", "BTCUSDT"), {"venues": ["okx", "binance"]},
        lambda xm: xm.get_cross_exchange_ticker("BTCUSDT", venues=["okx", "binance"]),
    ),
}  # fmt: skip


def arrived(lab: Lab) -> Counter[tuple[str, str]]:
    """Return venues and paths of what the lab has seen; a deeper book is no part of a plan."""
    return Counter((seen.venue, urlsplit(seen.path_qs).path) for seen in lab.seen)


def told(plan: Plan) -> Counter[tuple[str, str]]:
    return Counter((exchange, urlsplit(url).path) for exchange, url in plan.addresses)


def weighed(venue: str, path_qs: str) -> dict[tuple[str, ...], int]:
    """Return what the lab's own table says that a request costs."""
    parts = urlsplit(path_qs)
    charges = limits.charges(format_of(venue, parts.path), parts.path, dict(parse_qsl(parts.query)))
    return {tuple(key[:2]): cost for key, cost in charges}


@pytest.mark.parametrize("name", QUESTIONS)
async def test_what_is_planned_is_what_arrives_cold_and_warm(name: str, lab: Lab, manager_for: ManagerFor) -> None:
    asked, options, question = QUESTIONS[name]
    xm = manager_for(lab, **NO_KEYS)
    for _ in range(2):
        plan = xm.plan(*asked, **options)
        assert lab.seen == []
        await question(xm)
        assert told(plan) == arrived(lab)
        lab.seen.clear()


async def test_a_plan_of_a_whole_market_s_opportunities_has_the_most_books_that_may_be_asked_for(
    lab: Lab, manager_for: ManagerFor
) -> None:
    lab.truth = default_truth().adding(currency_markets()).with_cross("BTC", buy="okx", sell="binance", bps=60)
    xm = manager_for(lab, **NO_KEYS)
    plan = xm.plan("opportunities", top=1, market="perp")
    await xm.opportunities(top=1, market="perp")
    assert told(plan) == arrived(lab)
    one, four = (told(xm.plan("opportunities", top=top, market="perp")) for top in (1, 4))
    assert sum((four - one).values()) == 3 * len(VENUES)


@pytest.mark.parametrize("name", ["snapshot", "books", "market"])
async def test_weights_are_those_that_the_venue_counts(name: str, lab: Lab, manager_for: ManagerFor) -> None:
    asked, options, question = QUESTIONS[name]
    xm = manager_for(lab, **NO_KEYS)
    await question(xm)
    lab.seen.clear()
    plan = xm.plan(*asked, **options)
    await question(xm)
    counted: Counter[str] = Counter()
    assert not any(is_clock(urlsplit(seen.path_qs).path) for seen in lab.seen)
    for seen in lab.seen:
        counted[seen.venue] += sum(weighed(seen.venue, seen.path_qs).values())
    planned: Counter[str] = Counter()
    for exchange, weight in zip(plan.columns["exchange"], plan.columns["weight"], strict=True):
        planned[exchange] += round(weight)
    assert planned == counted


async def test_a_plan_of_a_job_says_how_long_and_what_does_not_fit(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten in a fifth of a second: thirty-five books wait for three windows; by hand 0.6 s and a journey each."""
    monkeypatch.setattr(OkxConnector, "limits", (Limit("all", "www.okx.com", 10, 0.2, path="/market/books$"),))
    xm = manager_for(lab, venues=("okx",))
    await xm.books("BTCUSDT")
    await asyncio.sleep(0.05)
    plan = xm.plan("order_book", "BTCUSDT", times=35, deadline=0.5)
    assert (plan.requests, plan.fits) == (35, False)
    # One is out already: nine fit at once, ten more after each window.
    assert 0.55 <= plan.duration_s <= 1.2
    assert plan.unfit["okx"] in range(5, 17)
    started = time.perf_counter()
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT"]  # one after the other, since equal ones are one
    for _ in range(7):
        await asyncio.gather(*(xm.books(symbol) for symbol in symbols))
    assert plan.duration_s == pytest.approx(time.perf_counter() - started, rel=0.5)
    assert xm.plan("order_book", "BTCUSDT", times=35, deadline=30).fits


async def test_what_is_spent_already_counts(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("kraken",))
    await xm.get_cross_exchange_ticker("BTC/USD", books=False)
    before = xm.plan("ticker", "BTC/USD", times=5)
    for _ in range(5):
        await xm.get_cross_exchange_ticker("BTC/USD", books=False)
    after = xm.plan("ticker", "BTC/USD", times=5)
    used = [dict(zip(plan.columns["budget"], plan.columns["used"], strict=True))["public"] for plan in (before, after)]
    assert used[1] == used[0] + 5
    assert after.duration_s > 8 > before.duration_s


async def test_the_caller_s_own_pace_counts(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("bybit",), requests_per_second=2)
    plan = xm.plan("trades", "BTCUSDT", times=20, deadline=5)
    assert plan.duration_s == pytest.approx((plan.requests - 1) / 2)
    assert 8 <= plan.unfit["bybit"] <= 14


async def test_a_pause_counts(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("okx",))
    await xm.books("BTCUSDT")
    lab.fault("okx", "status", code=429, retry_after=30)
    with pytest.raises(Exception, match="asked to wait"):
        await xm.books("BTCUSDT", deadline=0.3)
    plan = xm.plan("order_book", "BTCUSDT")
    assert 29 <= plan.duration_s <= 31
    assert plan.unfit == {"okx": 1}


async def test_who_does_not_list_it_is_named(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.connect_all()
    lab.seen.clear()
    plan = xm.plan("order_book", ["BTCUSDT", "FDUSD/USDT"])
    assert str(plan.dropped["kraken"]) == "not_listed"
    assert "FDUSD/USDT" in plan.dropped["kraken"].detail
    assert lab.seen == []


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (("snapshto", "BTCUSDT"), ConfigError, "it plans snapshot"),
        (("order_book",), ConfigError, "needs their symbols"),
        (("order_book", None), ConfigError, "needs their symbols"),
        (("order_book", "okx:BTC-USDT-SWAP"), SymbolError, "venue's own id"),
        (("order_book", "BTC-USDT"), SymbolError, "BTC-USDT"),
        (("funding_rates", "BTC/USDT"), SymbolError, "only perpetuals have funding; write BTC/USDT:USDT"),
        (("long_short",), ConfigError, "needs their symbols"),
    ],
)
def test_a_plan_of_nothing_is_refused(call: tuple[Any, ...], error: type[Exception], words: str) -> None:
    xm = ExchangeManager.from_env(cache=False)
    with pytest.raises(error, match=words):
        xm.plan(*call)
    with pytest.raises(ConfigError, match="times"):
        xm.plan("tickers", times=0)
    with pytest.raises(UnknownVenue):
        xm.plan("tickers", venues="ftx")


async def test_who_tells_of_one_contract_at_a_time_is_asked_nothing_about_all(
    lab: Lab, manager_for: ManagerFor
) -> None:
    plan = manager_for(lab).plan("open_interest", market="perp")
    assert {name for name, _ in plan.addresses} == {"okx", "bybit", "kraken"}
    assert {name: drop.text for name, drop in plan.dropped.items()} == dict.fromkeys(
        ("binance", "htx"), "not_listed: it publishes none of these, or of one contract at a time"
    )
    with pytest.raises(SymbolError, match="spot markets have none"):
        manager_for(lab).plan("funding_rates", market="spot")


async def test_what_nobody_lists_does_not_fit(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.connect_all()
    plan = xm.plan("order_book", "NOSUCHUSDT")
    assert (plan.requests, plan.fits, set(plan.dropped)) == (0, False, set(VENUES))
    assert "nobody would be asked" in str(plan)
    assert "NOSUCH/USDT:USDT is not listed" in str(plan)


def test_a_big_job_is_planned_like_a_small_one() -> None:
    xm = ExchangeManager.from_env(cache=False)
    one, many = (xm.plan("order_book", "BTCUSDT", times=times, deadline=1e9) for times in (1, 20_000))
    assert many.requests - one.requests == 5 * 19_999
    assert many.fits
    # A book of 500 levels weighs 10 of Binance's 2400 a minute, which is the slowest of the five.
    assert many.duration_s == pytest.approx(20_000 * 10 / 2400 * 60, rel=0.02)
    assert "https" not in repr(many)


def test_a_plan_needs_no_loop_and_can_be_read() -> None:
    plan = ExchangeManager.from_env(cache=False).plan("snapshot", "BTCUSDT")
    assert set(plan.frame["exchange"]) == set(VENUES)
    assert f"{plan.requests} requests" in str(plan)
    assert all(url.startswith("https://") for _, url in plan.addresses)
    json.dumps(dict(plan.unfit))
