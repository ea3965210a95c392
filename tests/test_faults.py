"""Every fault of every venue: the others answer in time, the faulty one is named with a reason that fits.

Bodies made at random are tried by the twentieth part; ``XEX_FULL=1`` tries all of them.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any

import aiohttp
import pytest
from tenacity import wait_random_exponential

from tests import oracle
from tests.conftest import VENUES, ManagerFor, configured
from tests.expected import row_of
from tests.lab import FAULTS, Lab, default_truth, running_lab
from xex.access import budgets, registry, retry, state
from xex.access.breaker import Breaker
from xex.access.port import ServerTime
from xex.answer import CrossExchangeData
from xex.config import ExchangeConfig
from xex.errors import Drop, Dropped, NoVenueAnswered
from xex.manager import ExchangeManager
from xex_connectors import OkxConnector

SYMBOL, SPOT = "BTCUSDT", "BTC/USDT"
# What a fault that hangs is waited for; the others are answered at once, however slow the machine is.
HANGING = frozenset({"hang", "hang_body", "slow_drip"})
DEADLINE_S, PLENTY_S = 1.0, 10.0
# Where everything was asked before, so that one request each is all it takes.
WARM_S = 0.4
GRACE_S = 0.15
TRUTH = default_truth()
BTC_MID = TRUTH.market("binance", "BTC").mid
FULL = bool(os.environ.get("XEX_FULL"))

# Kraken lists perpetuals in USD only, so its futures make the row and its spot books only the rate.
PLACES = ("binance", "okx", "kraken", "krakenfutures", "bybit", "htx")

ARGUMENTS: dict[str, dict[str, Any]] = {
    "stale": {"seconds": 600},
    "skew": {"seconds": 30},
    "bomb": {"megabytes": 80},
    "slow_drip": {"chunk": 1, "interval": 0.02},
}

# No answer came: what the reason may be. A venue that says something says it in its own way.
LOST: dict[str, dict[str, set[str]]] = {
    "status": {"": {"http_error"}},
    "html": {"": {"bad_payload"}},
    "empty": {"": {"bad_payload"}},
    "scalar": {"": {"bad_payload"}},
    "truncated": {"": {"bad_payload"}},
    "short": {"": {"bad_payload", "unreachable"}},
    "no_rows": {"": {"bad_payload"}},
    "missing_key": {"": {"bad_payload"}},
    "nan_literal": {"": {"bad_payload"}},
    "reset": {"": {"unreachable"}},
    "close": {"": {"unreachable"}},
    "hang": {"": {"late", "timeout"}},
    "hang_body": {"": {"late", "timeout"}},
    "slow_drip": {"": {"late", "timeout"}},
    "redirect": {"": {"http_error"}},
    "rate_limited": {"": {"rate_limited"}},
    # 418 at Binance; a web page with 403 at the others' doors.
    "banned": {"binance": {"banned"}, "": {"restricted", "banned"}},
    # Binance answers 503, OKX code 50001, Kraken Futures "Unavailable": all of them did answer.
    "venue_error": {"binance": {"http_error", "maintenance", "venue_error"}, "": {"maintenance", "venue_error"}},
}
# An answer came and its row is not used.
UNUSED: dict[str, dict[str, set[str]]] = {
    "crossed": {"": {"crossed"}},
    "empty_book": {"kraken": {"last_only", "no_rate"}, "": {"last_only"}},
    "null": {"": {"no_quote"}},
    "nan": {"": {"no_quote"}},
    "negative": {"": {"no_quote"}},
    "wrong_symbol": {"": {"suspect"}},
    # Kraken Futures dates no quote: only the last trade, which may rightly be hours old.
    "stale": {"kraken": set(), "krakenfutures": set(), "": {"stale"}},
    "skew": {"": set()},
}
# In spot markets Binance and Kraken date no quote; HTX sends all tickers whatever is asked, the others one.
SPOT_REASONS = {
    "stale": {"binance": set(), "kraken": set(), "": {"stale"}},
    "empty_book": {"": {"last_only"}},
    "wrong_symbol": {"htx": {"suspect"}, "": {"bad_payload"}},
    "missing_key": {"kraken": {"no_quote"}, "": {"bad_payload"}},
    # Kraken's spot market locks out in words of its own.
    "banned": {"binance": {"banned"}, "kraken": {"rate_limited", "banned"}, "": {"restricted", "banned"}},
}
# The venue answered, and these say why its row does not count.
OF_A_ROW = {"crossed", "last_only", "no_rate", "no_quote", "suspect", "stale"}
SPOT_KINDS = (
    *("status", "html", "truncated", "no_rows", "missing_key", "reset", "hang", "rate_limited", "banned"),
    *("venue_error", "crossed", "empty_book", "null", "negative", "wrong_symbol", "stale", "skew"),
)
KINDS = sorted(set(LOST) | set(UNUSED))
ALONE = {"bomb"}  # decompressed and packed in one process; it has a test of its own

_installed = cache(registry.installed)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search for connectors once, hardly wait between tries, and spare the collector what the tests before left.

    All this would be most of these tests' time: each of them collects garbage to see that nothing was forgotten.
    """
    gc.freeze()
    monkeypatch.setattr(registry, "installed", _installed)
    monkeypatch.setattr(retry.Wait, "_jitter", wait_random_exponential(multiplier=0.001, max=0.01))
    endlessly(monkeypatch)


def endlessly(patch: pytest.MonkeyPatch) -> None:
    """Let a manager meet dozens of faults in a row: a venue left alone after ten of them would not show the others."""
    patch.setattr(state, "Breaker", partial(Breaker, least=1_000_000))
    patch.setattr(retry.Allowance, "spend", lambda _: True)


def allowed(kind: str, place: str, symbol: str = SYMBOL) -> set[str]:
    """Return the reasons that fit, none where the venue must stay."""
    own = SPOT_REASONS.get(kind) if symbol == SPOT else None
    table = own or LOST.get(kind) or UNUSED[kind]
    return table.get(place, table[""])


def venue_of(place: str) -> str:
    return "kraken" if place == "krakenfutures" else place


@contextmanager
def about(case: str) -> Iterator[None]:
    """Name the case in which an assertion of a loop fails."""
    try:
        yield
    except AssertionError as failure:
        failure.add_note(case)
        raise


def beside(venue: str) -> tuple[str, str]:
    """Return a venue and another one, where two are enough."""
    return venue, "binance" if venue == "okx" else "okx"


def heal(lab: Lab) -> None:
    """Take back all faults, and what the venues have noted about us."""
    lab.heal()
    lab._weights.clear()
    budgets.PROCESS._ledgers.clear()
    budgets.PROCESS._pauses.clear()


STEADY = ("bid", "ask", "last", "bid_size", "ask_size", "high", "low", "open", "base_volume", "quote_volume", "fx_rate")


def steady(snap: CrossExchangeData, without: str) -> dict[str, Any]:
    """Return what another venue's fault may not move and time does not."""
    rows = snap.frame[snap.frame["exchange"] != without]
    return {
        "liquidity": snap.liquidity_score,
        "books": snap.liquidity_books[0],
        **{f"{row['exchange']} {name}": row[name] for row in rows.to_dict("records") for name in STEADY},
    }


def judged(snap: CrossExchangeData) -> oracle.RobustPrice:
    """Return the oracle's price of the rows, at their ages."""
    rows: list[dict[Any, Any]] = snap.frame.to_dict("records")
    return oracle.robust(
        [{**row, "age_s": row["age_ms"] / 1e3, "rate_missing": row["fx_rate"] != row["fx_rate"]} for row in rows]
    )


def volumes(snap: CrossExchangeData) -> dict[str, float]:
    return {"base": snap.volume_total, "quote": snap.volume_total_quote}


_baselines: dict[tuple[str, ...], CrossExchangeData] = {}


async def without(venue: str, symbol: str = SYMBOL, *, of: tuple[str, ...] = VENUES) -> CrossExchangeData:
    """Return the answer of the same world asked of the other venues only."""
    key = (symbol, *(name for name in of if name != venue))
    if key not in _baselines:
        async with Lab(TRUTH) as lab, ExchangeManager(cache=False) as xm:
            for name in key[1:]:
                assert xm.add_exchange(ExchangeConfig(name, name, base_url=lab.url(name)))
            _baselines[key] = await xm.get_cross_exchange_ticker(symbol)
    return _baselines[key]


def time_for(kind: str, hanging_s: float = DEADLINE_S) -> float:
    """Return the deadline of a question during a fault."""
    return hanging_s if kind in HANGING else PLENTY_S


async def asked(
    xm: ExchangeManager, symbol: str = SYMBOL, *, deadline: float = PLENTY_S
) -> tuple[CrossExchangeData, float]:
    started = time.perf_counter()
    snap = await xm.get_cross_exchange_ticker(symbol, deadline=deadline)
    return snap, time.perf_counter() - started


def flags_of(snap: CrossExchangeData, exchange: str) -> list[str]:
    row = list(snap.columns["exchange"]).index(exchange)
    return str(snap.columns["flags"][row]).split(",")


def assert_alone(snap: CrossExchangeData, expected: CrossExchangeData, venue: str, reasons: set[str]) -> None:
    """Fail unless a venue's fault cost that venue alone, and all is as if it had not been asked."""
    assert set(snap.dropped) == ({venue} if reasons else set())
    assert {"internal", ""}.isdisjoint(map(str, snap.dropped.values()))
    assert [name for name in snap.answered if name != venue] == expected.answered
    if not reasons:
        assert venue in snap.answered
        assert snap.exchanges_data[venue]["weight"] > 0
        return
    drop = snap.dropped[venue]
    assert str(drop) in reasons, drop.text
    assert drop.detail
    assert "Traceback" not in drop.detail
    assert "127.0.0.1" not in drop.detail
    found, want = steady(snap, venue), steady(expected, venue)
    # A score is what lies near the price, and the price moves with the ages.
    assert found.pop("liquidity") == pytest.approx(want.pop("liquidity"), rel=1e-5)
    assert found == pytest.approx(want, rel=1e-9, nan_ok=True)
    oracle_s = judged(snap)
    assert snap.aggregated_price == pytest.approx(oracle_s.price, rel=1e-9)
    assert snap.price_variance == pytest.approx(oracle_s.price_variance, rel=1e-9)
    assert snap.dispersion_bps == pytest.approx(oracle_s.dispersion_bps, rel=1e-9)
    assert snap.aggregated_price == pytest.approx(expected.aggregated_price, rel=1e-6)
    lost = str(drop) not in OF_A_ROW
    if lost:
        assert venue not in snap.answered
        assert venue in snap.volume_partial
    else:
        assert snap.exchanges_data[venue]["weight"] == 0
    if lost or str(drop) in {"stale", "suspect"}:
        assert volumes(snap) == pytest.approx(volumes(expected), rel=1e-9)


def test_the_tables_name_every_fault() -> None:
    assert set(LOST) | set(UNUSED) | ALONE == set(FAULTS)
    assert set(SPOT_KINDS) <= set(KINDS)
    names = {str(reason) for reason in Dropped} - {"internal"}
    assert all(
        reasons <= names for table in (LOST, UNUSED, SPOT_REASONS) for by in table.values() for reasons in by.values()
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
async def test_one_faulty_venue_costs_itself_only(kind: str, place: str, lab: Lab, manager_for: ManagerFor) -> None:
    """Asked for the first time, instruments and clock included."""
    venue = venue_of(place)
    three = (*beside(venue), "binance" if venue == "kraken" else "kraken")
    expected = await without(venue, of=three)
    lab.fault(place, kind, **ARGUMENTS.get(kind, {}))
    snap, seconds = await asked(manager_for(lab, venues=three), deadline=time_for(kind))
    assert seconds <= time_for(kind) + GRACE_S
    assert_alone(snap, expected, venue, allowed(kind, place))


@pytest.mark.parametrize("place", PLACES)
async def test_a_venue_that_answered_may_fail_in_any_way_and_comes_back(
    place: str, lab: Lab, manager_for: ManagerFor
) -> None:
    expected, xm = await without(venue_of(place)), manager_for(lab)
    for kind in KINDS:
        with about(f"before {kind}"):
            assert (await asked(xm, deadline=PLENTY_S))[0].dropped == {}
        lab.fault(place, kind, **ARGUMENTS.get(kind, {}))
        snap, seconds = await asked(xm, deadline=time_for(kind, WARM_S))
        with about(kind):
            assert seconds <= time_for(kind, WARM_S) + GRACE_S
            assert_alone(snap, expected, venue_of(place), allowed(kind, place))
        heal(lab)


@pytest.mark.parametrize("venue", VENUES)
async def test_so_it_is_with_spot_markets(venue: str, lab: Lab, manager_for: ManagerFor) -> None:
    expected, xm = await without(venue, SPOT), manager_for(lab)
    for kind in SPOT_KINDS:
        with about(f"before {kind}"):
            assert (await asked(xm, SPOT, deadline=PLENTY_S))[0].dropped == {}
        lab.fault(venue, kind, **ARGUMENTS.get(kind, {}))
        snap, seconds = await asked(xm, SPOT, deadline=time_for(kind, WARM_S))
        with about(kind):
            assert seconds <= time_for(kind, WARM_S) + GRACE_S
            assert_alone(snap, expected, venue, allowed(kind, venue, SPOT))
        heal(lab)


ROW_KINDS = ("status", "hang", "no_rows", "venue_error", "rate_limited", "null")


@pytest.mark.parametrize("question", ["books", "trades"])
@pytest.mark.parametrize("symbol", [SYMBOL, SPOT])
async def test_books_and_tapes_hold_the_other_venues_rows(
    symbol: str, question: str, lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab)
    names = ["exchange", "side", "price", "size"]
    whole = (await getattr(xm, question)(symbol, deadline=PLENTY_S))[names]
    for venue in VENUES:
        want = sorted(whole[whole["exchange"] != venue].itertuples(index=False, name=None))
        for kind in ROW_KINDS:
            lab.fault(venue, kind)
            frame = await getattr(xm, question)(symbol, deadline=time_for(kind, WARM_S))
            with about(f"{venue} {kind}"):
                assert frame.attrs["asked"] == list(VENUES)
                assert set(frame.attrs["dropped"]) == {venue}
                reason = frame.attrs["dropped"][venue].partition(":")[0]
                assert reason in (allowed(kind, venue) if kind in LOST else {"bad_payload"})
                assert sorted(frame[names].itertuples(index=False, name=None)) == want
            heal(lab)


@pytest.mark.parametrize("kind", KINDS)
async def test_faults_of_the_rate_source_cost_a_source(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    """Kraken's spot books only convert; the perpetuals of the others give the rate without them."""
    xm = manager_for(lab)
    lab.fault("kraken", kind, path="/0/", **ARGUMENTS.get(kind, {}))
    snap, seconds = await asked(xm, deadline=time_for(kind))
    assert seconds <= time_for(kind) + GRACE_S
    assert snap.dropped == {}
    assert set(snap.answered) == set(VENUES)
    source = str(snap.columns["fx_source"][list(snap.columns["exchange"]).index("kraken")])
    assert "ratio:linear" in source
    # The world's one rate, from which no source of the lab is further than the ticks of its books.
    assert snap.exchanges_data["kraken"]["fx_rate"] == pytest.approx(1 / float(TRUTH.usdt_usd), rel=3e-4)


# --- one endpoint of a venue ---------------------------------------------------------------------------------

ENDPOINT_FAULTS = ("hang", "slow_drip", "status", "html", "truncated", "no_rows", "venue_error", "reset", "nan_literal")
BOOKS = {
    "binance": "/fapi/v1/depth", "okx": "/api/v5/market/books", "kraken": "/derivatives/api/v3/orderbook",
    "bybit": "/v5/market/orderbook", "htx": "/linear-swap-ex/market/depth",
}  # fmt: skip
CLOCKS = {
    "binance": "/fapi/v1/time", "okx": "/api/v5/public/time", "kraken": "/0/public/Time", "bybit": "/v5/market/time",
    "htx": "/v1/common/timestamp",
}  # fmt: skip
INSTRUMENTS = {
    "binance": "/fapi/v1/exchangeInfo", "okx": "/api/v5/public/instruments",
    "kraken": "/derivatives/api/v3/instruments", "bybit": "/v5/market/instruments-info",
    "htx": "/linear-swap-api/v1/swap_contract_info",
}  # fmt: skip


@pytest.mark.parametrize("venue", VENUES)
async def test_without_a_book_the_ticker_counts(venue: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await asked(xm, deadline=PLENTY_S)
    for kind in ENDPOINT_FAULTS:
        fault = lab.fault(venue, kind, path=BOOKS[venue])
        snap, seconds = await asked(xm, deadline=time_for(kind, WARM_S))
        with about(kind):
            assert fault.hits
            assert seconds <= time_for(kind, WARM_S) + GRACE_S
            assert snap.dropped == {}
            assert snap.exchanges_data[venue]["weight"] > 0
            assert any(flag.startswith("no_book:") for flag in flags_of(snap, venue))
            assert "no_book:internal" not in flags_of(snap, venue)
            assert snap.liquidity_books == (4, 5)
        heal(lab)


@pytest.mark.parametrize("kind", ENDPOINT_FAULTS)
@pytest.mark.parametrize("path", ["/fapi/v1/ticker/24hr", "/fapi/v1/ticker/bookTicker"])
async def test_half_of_a_ticker_is_flagged(path: str, kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    """Binance gives quotes and 24 hour figures by two endpoints; the book has the quote as well."""
    xm = manager_for(lab)
    lab.fault("binance", kind, path=path)
    snap, seconds = await asked(xm, deadline=time_for(kind))
    assert seconds <= time_for(kind) + GRACE_S
    assert snap.dropped == {}
    assert snap.exchanges_data["binance"]["weight"] > 0
    assert "partial" in flags_of(snap, "binance")
    assert snap.volume_partial == (["binance"] if path.endswith("24hr") else [])


@pytest.mark.parametrize("kind", [kind for kind in ENDPOINT_FAULTS if kind not in {"no_rows", "nan_literal"}])
@pytest.mark.parametrize("venue", VENUES)
async def test_a_clock_that_cannot_be_read_costs_nothing(
    venue: str, kind: str, lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab, venues=beside(venue))
    fault = lab.fault(venue, kind, path=CLOCKS[venue])
    snap, seconds = await asked(xm, deadline=time_for(kind))
    assert fault.hits
    assert seconds <= time_for(kind) + GRACE_S
    assert snap.dropped == {}
    assert snap.aggregated_price == snap.aggregated_price


@pytest.mark.parametrize("kind", [kind for kind in ENDPOINT_FAULTS if kind != "nan_literal"])  # holds no prices
@pytest.mark.parametrize("venue", VENUES)
async def test_without_instruments_a_venue_is_named_and_later_recovers(
    venue: str, kind: str, lab: Lab, manager_for: ManagerFor
) -> None:
    """Also: once the instruments are known, their list may fail."""
    xm = manager_for(lab, venues=beside(venue), timeout_s=0.125)
    lab.fault(venue, kind, path=INSTRUMENTS[venue])
    snap, seconds = await asked(xm, deadline=time_for(kind))
    assert seconds <= time_for(kind) + GRACE_S
    assert set(snap.dropped) == {venue}
    assert str(snap.dropped[venue]) in allowed(kind, "krakenfutures" if venue == "kraken" else venue)
    lab.heal()
    healed, _ = await asked(xm, deadline=PLENTY_S)
    assert healed.dropped == {}
    fault = lab.fault(venue, kind, path=INSTRUMENTS[venue])
    again, _ = await asked(xm)
    assert again.dropped == {}
    assert not fault.hits


@pytest.mark.parametrize("kind", ENDPOINT_FAULTS)
async def test_books_of_the_rate_may_fail(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    """The spot tickers came: they are sources of their own."""
    xm = manager_for(lab)
    lab.fault("kraken", kind, path="/0/public/Depth")
    snap, _ = await asked(xm, deadline=time_for(kind))
    assert snap.dropped == {}
    source = str(snap.columns["fx_source"][list(snap.columns["exchange"]).index("kraken")])
    assert "ratio:spot" in source


async def test_a_book_of_another_pair_is_no_rate(lab: Lab, manager_for: ManagerFor) -> None:
    """Kraken names the pair in the body: USDC/USD in place of USDT/USD would be a silent error of some bps."""
    # Nothing but the direct pair can give the rate.
    lab.truth = TRUTH.only("BTC", "USDT", "USDC")
    direct = TRUTH.market("kraken", "USDT", "spot", "USD")
    truthful, _ = await asked(manager_for(lab))
    assert truthful.exchanges_data["kraken"]["fx_rate"] == pytest.approx(float(1 / direct.mid), rel=1e-9)
    lab.fault("kraken", "wrong_symbol", path="/0/public/Depth", symbol="USDCUSD")
    lied_to, _ = await asked(manager_for(lab))
    rate = lied_to.exchanges_data["kraken"]["fx_rate"]
    assert rate != rate or rate == pytest.approx(float(1 / direct.mid), rel=1e-9)


# --- lies ----------------------------------------------------------------------------------------------------


DATED = tuple(venue for venue in VENUES if venue != "kraken")


@pytest.mark.parametrize("seconds", [-30, 30, 3600, -3600])
@pytest.mark.parametrize("venue", VENUES)
async def test_a_clock_that_is_off_is_corrected(venue: str, seconds: int, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=beside(venue))
    lab.fault(venue, "skew", seconds=seconds)
    for _ in range(2):
        snap, _ = await asked(xm, deadline=PLENTY_S)
        assert snap.dropped == {}
        # Right within the trip there and back; Kraken's clock reads whole seconds.
        assert 0 <= snap.exchanges_data[venue]["age_ms"] < 1500
        assert snap.exchanges_data[venue]["weight"] > 0


@pytest.mark.parametrize("venue", DATED)
async def test_quotes_of_the_future_are_not_older_than_now(venue: str, lab: Lab, manager_for: ManagerFor) -> None:
    """The quote is dated a minute ahead, the venue's clock is right."""
    xm = manager_for(lab)
    lab.fault(venue, "stale", seconds=-60)
    snap, _ = await asked(xm)
    assert snap.exchanges_data[venue]["age_ms"] == 0
    assert snap.aggregated_price == snap.aggregated_price
    assert "internal" not in map(str, snap.dropped.values())


@pytest.mark.parametrize("lie", ["the answer of a quarter of an hour ago", "seconds"])
async def test_a_clock_that_lies_makes_no_old_quote_young(
    lie: str, lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes old by our clock; by what OKX says of the time it would come from the future."""

    async def server_time(_: OkxConnector) -> ServerTime:
        now = 1000.0 * time.time()
        return ServerTime(now - 900_000 if lie != "seconds" else now / 1000, now - 1, now, 0.0)

    monkeypatch.setattr(OkxConnector, "server_time", server_time)
    xm = manager_for(lab)
    await xm.connect_all()
    lab.fault("okx", "stale", seconds=600)
    snap, _ = await asked(xm, deadline=PLENTY_S)
    assert [(name, str(reason)) for name, reason in snap.dropped.items()] == [("okx", "stale")]
    assert snap.exchanges_data["okx"]["age_ms"] == pytest.approx(600_000, abs=1000)


@pytest.mark.parametrize("venue", DATED)
@pytest.mark.parametrize(("seconds", "dropped"), [(9, False), (11, True), (600, True), (86_400, True)])
async def test_old_quotes_and_their_volume_do_not_count(
    venue: str, seconds: int, dropped: bool, lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab)
    await xm.connect_all()  # quotes that wait for other venues' lists grow older meanwhile
    lab.fault(venue, "stale", seconds=seconds)
    snap, _ = await asked(xm, deadline=PLENTY_S)
    assert snap.exchanges_data[venue]["age_ms"] == pytest.approx(1000 * seconds, abs=300)
    assert [str(reason) for reason in snap.dropped.values()] == (["stale"] if dropped else [])
    counted = [name for name in VENUES if not dropped or name != venue]
    volume = sum(TRUTH.market(row_of(name, "linear"), "BTC", "linear").base_volume for name in counted)
    if dropped:
        assert f"{seconds}" in snap.dropped[venue].detail
    assert snap.volume_total == pytest.approx(float(volume), rel=1e-9)


async def test_a_stale_majority_is_no_price(lab: Lab, manager_for: ManagerFor) -> None:
    """All dated venues are frozen: what is left is one venue, and the answer says so."""
    xm = manager_for(lab)
    for venue in DATED:
        lab.fault(venue, "stale", seconds=600)
    snap, _ = await asked(xm)
    assert {name: str(drop) for name, drop in snap.dropped.items()} == dict.fromkeys(DATED, "stale")
    assert "single_source" in snap.flags
    assert snap.exchanges_data["kraken"]["weight"] == 1


async def test_liars_cannot_outvote_their_own_disagreement(lab: Lab, manager_for: ManagerFor) -> None:
    """Five prices far apart have no majority: no price is better than any of them."""
    xm = manager_for(lab)
    lab.truth = TRUTH.with_premium("binance", "BTC", 500).with_premium("okx", "BTC", -500)
    lab.truth = lab.truth.with_premium("bybit", "BTC", 250).with_premium("htx", "BTC", -250)
    snap, _ = await asked(xm)
    assert "disagree" in snap.flags
    assert snap.aggregated_price != snap.aggregated_price
    assert {str(drop) for drop in snap.dropped.values()} == {"disagree"}
    assert snap.arbitrage_opportunities == []


async def test_two_liars_are_outvoted(lab: Lab, manager_for: ManagerFor) -> None:
    """Three of five agree, and nobody earns from the other two."""
    xm = manager_for(lab)
    lab.truth = TRUTH.with_premium("binance", "BTC", 500).with_premium("okx", "BTC", -500)
    snap, _ = await asked(xm)
    assert {name: str(drop) for name, drop in snap.dropped.items()} == {"binance": "suspect", "okx": "suspect"}
    others = [float(TRUTH.market(name, "BTC").mid) for name in ("bybit", "htx")]
    assert min(others) * 0.9995 < snap.aggregated_price < max(others)
    assert snap.arbitrage_opportunities == []


async def test_one_exchange_alone_whose_book_and_ticker_are_of_different_markets_is_not_believed(
    lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab, venues=("binance",))
    lab.fault("binance", "wrong_symbol", path="/fapi/v1/depth", symbol="ETHUSDT")
    snap, _ = await asked(xm)
    assert str(snap.dropped["binance"]) == "suspect"
    assert "its book and its ticker are of different prices, 3,35" in snap.dropped["binance"].text
    assert snap.aggregated_price != snap.aggregated_price
    assert snap.volume_total != snap.volume_total


@pytest.mark.parametrize("kind", ["crossed", "wrong_symbol", "stale", "negative", "null"])
async def test_lies_make_no_opportunity(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    for venue in VENUES:
        lab.fault(venue, kind, **ARGUMENTS.get(kind, {}))
        snap, _ = await asked(xm)
        with about(venue):
            assert snap.arbitrage_opportunities == []
        heal(lab)


# --- more than one ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hang", "status", "reset", "html", "null", "banned"])
async def test_four_faulty_venues_leave_one_that_says_so(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    others = [venue for venue in VENUES if venue != "okx"]
    for venue in others:
        lab.fault(venue, kind)
    snap, seconds = await asked(xm, deadline=time_for(kind))
    assert seconds <= time_for(kind) + GRACE_S
    assert set(snap.dropped) == set(others)
    assert "single_source" in snap.flags
    assert snap.aggregated_price == pytest.approx(float(TRUTH.market("okx", "BTC").mid), rel=1e-12)
    assert snap.price_variance != snap.price_variance


@pytest.mark.parametrize("kind", sorted(LOST))
async def test_no_venue_at_all_names_each(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    for venue in VENUES:
        lab.fault(venue, kind, **ARGUMENTS.get(kind, {}))
    started = time.perf_counter()
    with pytest.raises(NoVenueAnswered) as caught:
        await xm.get_cross_exchange_ticker(SYMBOL, deadline=DEADLINE_S)
    assert time.perf_counter() - started <= DEADLINE_S + GRACE_S
    assert set(caught.value.dropped) == set(VENUES)
    for venue in VENUES:
        assert str(caught.value.dropped[venue]) in allowed(kind, venue)
        assert f"{venue}: " in str(caught.value)


@pytest.mark.parametrize("kind", ["null", "negative", "crossed", "nan"])
async def test_answers_without_a_usable_quote_are_no_price(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    """Every venue answered, and none can be used: an answer without a price, not an error."""
    xm = manager_for(lab)
    for venue in VENUES:
        lab.fault(venue, kind)
    snap, _ = await asked(xm)
    assert set(snap.dropped) == set(VENUES)
    assert snap.aggregated_price != snap.aggregated_price
    assert "no_data" in snap.flags
    assert snap.arbitrage_opportunities == []


async def test_last_prices_speak_only_when_nobody_quotes(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    others = [venue for venue in VENUES if venue != "kraken"]
    for venue in others:
        lab.fault(venue, "empty_book")
    one_quotes, _ = await asked(xm)
    assert {name: str(drop) for name, drop in one_quotes.dropped.items()} == dict.fromkeys(others, "last_only")
    lab.fault("kraken", "empty_book", path="/derivatives/")
    nobody, _ = await asked(xm)
    assert nobody.dropped == {}
    assert "last_only" in nobody.flags
    lasts = [float(TRUTH.market(venue, "BTC").last) for venue in others]
    assert min(lasts) * 0.999 < nobody.aggregated_price < max(lasts) * 1.001
    assert nobody.arbitrage_opportunities == []


# --- recovery, retries, pauses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", VENUES)
async def test_one_hiccup_is_asked_again(venue: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await asked(xm, deadline=PLENTY_S)
    for kind in ("status", "html", "truncated", "reset", "close", "empty", "short"):
        fault = lab.fault(venue, kind, times=1)
        snap, _ = await asked(xm, deadline=PLENTY_S)
        with about(kind):
            assert fault.hits == 1
            assert snap.dropped == {}
            assert all(not flag.startswith(("no_book", "partial")) for flag in flags_of(snap, venue))
        heal(lab)


@pytest.mark.parametrize("kind", ["rate_limited", "banned"])
async def test_who_was_told_to_wait_sends_nothing(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault("binance", kind, retry_after=60)
    before, _ = await asked(xm)
    lab.heal()
    lab.seen.clear()
    after, seconds = await asked(xm)
    expected = "banned" if kind == "banned" else "rate_limited"
    for snap in (before, after):
        assert str(snap.dropped["binance"]) == expected
    assert [seen for seen in lab.seen if seen.venue == "binance"] == []
    assert seconds < DEADLINE_S


async def test_a_pause_ends_when_the_venue_said(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault("binance", "rate_limited", retry_after="0.03")
    dropped, _ = await asked(xm)
    assert str(dropped.dropped["binance"]) == "rate_limited"
    lab.heal()
    await asyncio.sleep(0.04)
    healed, _ = await asked(xm)
    assert healed.dropped == {}


@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue != "binance"])
async def test_a_limit_told_in_the_body_pauses_as_well(venue: str, lab: Lab, manager_for: ManagerFor) -> None:
    """OKX answers 50011, Kraken "Rate limit exceeded", Bybit 10006, HTX 1032, with status 200."""
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault(venue, "rate_limited")
    await asked(xm)
    lab.heal()
    lab.seen.clear()
    snap, _ = await asked(xm, deadline=DEADLINE_S)  # less than the shortest pause: there is no waiting for its end
    assert str(snap.dropped[venue]) == "rate_limited"
    assert [seen for seen in lab.seen if seen.venue == venue] == []


async def test_a_limit_is_no_reason_to_ask_again_at_once(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.seen.clear()
    fault = lab.fault("binance", "rate_limited", path="/fapi/v1/depth", retry_after=30)
    await asked(xm)
    assert fault.hits == 1


async def test_redirects_are_not_followed(lab: Lab, manager_for: ManagerFor) -> None:
    """A redirect may lead anywhere, with whatever the request carries."""
    xm = manager_for(lab)
    lab.fault("binance", "redirect", location=f"{lab.url('okx')}/elsewhere")
    snap, _ = await asked(xm)
    assert str(snap.dropped["binance"]) == "http_error"
    assert not [seen for seen in lab.seen if "elsewhere" in seen.path_qs]


STATUSES = {
    400: {"http_error", "venue_error"},
    401: {"auth", "http_error", "venue_error"},
    403: {"restricted", "venue_error"},
    404: {"http_error", "venue_error"},
    408: {"http_error", "timeout"},
    413: {"http_error", "venue_error"},
    418: {"banned"},
    429: {"rate_limited"},
    # Whatever it says: 451 means that this place is not served.
    451: {"restricted"},
    500: {"http_error"},
    502: {"http_error"},
    503: {"http_error", "maintenance"},
    520: {"http_error"},
    529: {"http_error"},
    599: {"http_error"},
}


async def refused(xm: ExchangeManager, *, deadline: float = 2) -> dict[str, Drop]:
    """Return why nobody answers."""
    with pytest.raises(NoVenueAnswered) as caught:
        await xm.get_cross_exchange_ticker(SYMBOL, deadline=deadline)
    return caught.value.dropped


@pytest.mark.parametrize("code", STATUSES)
@pytest.mark.parametrize("venue", VENUES)
async def test_every_status_has_its_reason(venue: str, code: int, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=(venue,))
    for body in ("<html>no</html>", '{"what": "no"}', "{}", "[]", ""):
        lab.fault(venue, "status", code=code, body=body)
        drop = (await refused(xm))[venue]
        with about(body):
            assert str(drop) in STATUSES[code], drop.text
            assert str(code) in drop.detail, drop.text
        heal(lab)


WORDS: list[tuple[str, int, str, set[str]]] = [
    ("binance", 451, '{"code": 0, "msg": "Service unavailable from a restricted location"}', {"restricted"}),
    ("binance", 400, '{"code": -1121, "msg": "Invalid symbol."}', {"not_listed"}),
    ("binance", 400, '{"code": -1021, "msg": "Timestamp for this request is outside"}', {"venue_error"}),
    ("binance", 401, '{"code": -2015, "msg": "Invalid API-key, IP, or permissions"}', {"auth"}),
    ("binance", 403, "<html>CloudFront</html>", {"restricted"}),
    ("okx", 200, '{"code": "50001", "msg": "Service temporarily unavailable", "data": []}', {"maintenance"}),
    ("okx", 200, '{"code": "51001", "msg": "Instrument ID does not exist", "data": []}', {"not_listed"}),
    ("okx", 200, '{"code": "50011", "msg": "Too Many Requests", "data": []}', {"rate_limited"}),
    ("okx", 401, '{"code": "50111", "msg": "Invalid OK-ACCESS-KEY", "data": []}', {"auth"}),
    ("okx", 200, '{"code": "1", "msg": "All operations failed", "data": []}', {"venue_error"}),
    ("krakenfutures", 200, '{"result": "error", "error": "apiLimitExceeded"}', {"rate_limited"}),
    ("krakenfutures", 200, '{"result": "error", "error": "Unavailable"}', {"maintenance", "venue_error"}),
    ("krakenfutures", 200, '{"result": "error", "error": "authenticationError"}', {"auth"}),
    ("bybit", 200, '{"retCode": 10006, "retMsg": "Too many visits!"}', {"rate_limited"}),
    ("bybit", 200, '{"retCode": 10016, "retMsg": "Server error."}', {"maintenance", "venue_error"}),
    ("bybit", 200, '{"retCode": 10003, "retMsg": "API key is invalid."}', {"auth"}),
    ("bybit", 403, "<html>The Amazon CloudFront distribution is configured to block access</html>", {"restricted"}),
    ("htx", 200, '{"status": "error", "err_code": 1032, "err_msg": "The number of access exceeded the limit."}',
     {"rate_limited"}),
    ("htx", 200, '{"status": "error", "err-code": "gateway-internal-error", "err-msg": "Failed to load data."}',
     {"maintenance", "venue_error"}),
    ("htx", 200, '{"status": "error", "err-code": "api-signature-not-valid", "err-msg": "Incorrect key"}', {"auth"}),
]  # fmt: skip


@pytest.mark.parametrize(("place", "code", "body", "reasons"), WORDS)
async def test_the_venues_own_words_decide(
    place: str, code: int, body: str, reasons: set[str], lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab, venues=beside(venue_of(place)))
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault(place, "status", code=code, body=body)
    drop = (await asked(xm))[0].dropped[venue_of(place)]
    assert str(drop) in reasons, drop.text
    assert drop.detail


SHAPES = ("{}", "[]", '{"data": {}}', '{"code": "0"}', "[[]]", '{"result": null}', "[1, 2]", '"x"', '{"status": "ok"}',
          '{"retCode": 0, "result": {"list": 1}}', '{"status": "ok", "tick": [], "ticks": {}}')  # fmt: skip


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_json_of_another_shape_is_no_answer(warm: bool, venue: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=(venue,))
    if warm:
        await xm.get_cross_exchange_ticker(SYMBOL)
    for body in SHAPES:
        lab.fault(venue, "status", code=200, body=body)
        dropped = await refused(xm)
        with about(body):
            assert str(dropped[venue]) in {"bad_payload", "venue_error"}, dropped[venue].text
        heal(lab)


@pytest.mark.usefixtures("loaded")
async def test_a_bomb_is_stopped_once_and_harms_nobody(manager_for: ManagerFor) -> None:
    """A small body that unpacks beyond every bound: read no further than the bound, and not asked for again."""
    with running_lab(TRUTH) as lab:
        xm = manager_for(lab)
        await xm.get_cross_exchange_ticker(SYMBOL)
        fault = lab.fault("okx", "bomb", path="/api/v5/market/books", megabytes=80)
        snap, _ = await asked(xm, deadline=5.0)
        assert snap.dropped == {}
        assert "no_book:bad_payload" in flags_of(snap, "okx")
        assert fault.hits == 1
        await xm.disconnect_all()


async def test_state_follows_the_faults(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    assert xm.get_exchange_status()["okx"]["status"] == "unknown"
    await xm.get_cross_exchange_ticker(SYMBOL)
    assert xm.get_exchange_status()["okx"]["status"] == "up"
    lab.fault("okx", "status")
    await asked(xm)
    state = xm.get_exchange_status()["okx"]
    assert state["status"] == "down"
    assert state["error_count"] > 0
    assert 0 < state["uptime_percentage"] < 100
    assert "HTTP 500" in str(state["last_error"])
    lab.heal()
    await asked(xm, deadline=PLENTY_S)
    assert xm.get_exchange_status()["okx"]["status"] == "up"
    assert budgets.PROCESS._pauses == {}


# --- odd bodies ------------------------------------------------------------------------------------------------

# What a field may hold that it should not. Integers beyond any float are legal JSON.
ODD: list[Any] = [
    None, "", "abc", [], {}, -1, 0, True, False, "NaN", "inf", "1e999", "-5", 1e308, -1e308, 10**400, [[]], [None],
    {"a": 1}, "0", "  ", "١٢٣", 1e-320, "0x10", [1, 2, 3, 4], "null", "2026-13-45T99:00:00Z", 10**20, -(10**14),
]  # fmt: skip


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value of a body."""
    cells = body.items() if isinstance(body, dict) else enumerate(body[:30]) if isinstance(body, list) else ()
    for key, value in cells:
        yield (*path, key)
        yield from places(value, (*path, key))


def everywhere(body: Any, key: str, odd: Any) -> None:
    """Set every field of this name."""
    for name, value in list(body.items()) if isinstance(body, dict) else list(enumerate(body)):
        if name == key:
            body[name] = copy.deepcopy(odd)
        elif isinstance(value, dict | list):
            everywhere(value, key, odd)


def distorted(body: Any, dice: random.Random) -> Any:
    """Return a body with some fields missing or holding something odd."""
    made, paths = copy.deepcopy(body), list(places(body))
    for _ in range(dice.choice([1, 1, 1, 2, 5, 40])):
        *above, last = dice.choice(paths)
        holder, odd, way = made, dice.choice(ODD), dice.random()
        with suppress(KeyError, IndexError, TypeError):
            for key in above:
                holder = holder[key]
            if not isinstance(holder, dict | list):
                continue
            if way < 0.25:
                del holder[last]
            elif way < 0.35 and isinstance(last, str):
                everywhere(made, last, odd)
            else:
                holder[last] = copy.deepcopy(odd)
    return made


async def bodies_of(lab: Lab) -> dict[tuple[str, str], Any]:
    """Return what a question hears, by venue and path."""
    async with ExchangeManager(cache=False) as xm:
        for venue in VENUES:
            assert xm.add_exchange(configured(lab, venue))
        await xm.get_cross_exchange_ticker(SYMBOL)
    found = {}
    async with aiohttp.ClientSession() as session:
        for seen in list(lab.seen):
            async with session.get(lab.url(seen.venue) + seen.path_qs) as answer:
                found[seen.venue, seen.path_qs.partition("?")[0]] = await answer.json()
    return found


async def asked_of_odd(lab: Lab, venue: str, path: str, text: str) -> CrossExchangeData:
    """Ask as if for the first time while one endpoint holds `text`."""
    budgets.PROCESS._ledgers.clear()
    budgets.PROCESS._pauses.clear()
    lab._weights.clear()
    lab.heal()
    lab.fault(venue, "status", path=path, code=200, body=text)
    async with ExchangeManager(cache=False) as xm:
        for name in VENUES:
            assert xm.add_exchange(configured(lab, name))
        return await xm.get_cross_exchange_ticker(SYMBOL, deadline=PLENTY_S)


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what xex logged with a traceback; the lab may well stumble over what it is asked then."""
    return [record.getMessage() for record in caplog.records if record.exc_info and record.name.startswith("xex")]


@pytest.mark.parametrize("batch", range(16 if FULL else 4))
async def test_odd_bodies_cost_their_venue_at_most(batch: int, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an endpoint holds, nothing raises, nobody else is dropped, the price stays."""
    bodies = await bodies_of(lab)
    right = float(BTC_MID)
    worlds = 25 if FULL else 5
    for seed in range(worlds * batch, worlds * batch + worlds):
        dice = random.Random(seed)
        venue, path = dice.choice(sorted(bodies))
        text = json.dumps(distorted(bodies[venue, path], dice))
        snap = await asked_of_odd(lab, venue, path, text)
        where = f"seed {seed}: {venue} {path}"
        assert set(snap.dropped) <= {venue}, f"{where}: {snap.dropped}"
        assert "internal" not in map(str, snap.dropped.values()), f"{where}: {snap.dropped[venue].text}"
        assert snap.aggregated_price == pytest.approx(right, rel=5e-4), where
        assert snap.arbitrage_opportunities == [], where
        json.dumps(snap.as_dict(), allow_nan=False)
        assert len(snap.frame) == len(snap.answered)
        assert tracebacks(caplog) == [], where
        caplog.clear()


ODD_FIELDS = [
    ("binance", "/fapi/v1/ticker/bookTicker", "time"),
    ("binance", "/fapi/v1/ticker/bookTicker", "askQty"),
    ("binance", "/fapi/v1/ticker/24hr", "closeTime"),
    ("okx", "/api/v5/market/tickers", "ts"),
    ("okx", "/api/v5/market/tickers", "bidPx"),
    ("okx", "/api/v5/market/tickers", "volCcy24h"),
    ("okx", "/api/v5/market/books", "bids"),
    ("okx", "/api/v5/public/instruments", "ctVal"),
    ("okx", "/api/v5/public/time", "ts"),
    ("kraken", "/derivatives/api/v3/tickers", "lastTime"),
    ("kraken", "/derivatives/api/v3/tickers", "suspended"),
    ("kraken", "/derivatives/api/v3/orderbook", "serverTime"),
    ("kraken", "/0/public/Ticker", "b"),
    ("kraken", "/0/public/AssetPairs", "wsname"),
    ("bybit", "/v5/market/tickers", "bid1Price"),
    ("bybit", "/v5/market/tickers", "volume24h"),
    ("bybit", "/v5/market/orderbook", "b"),
    ("bybit", "/v5/market/orderbook", "ts"),
    ("bybit", "/v5/market/instruments-info", "lotSizeFilter"),
    ("bybit", "/v5/market/instruments-info", "nextPageCursor"),
    ("bybit", "/v5/market/time", "time"),
    ("htx", "/linear-swap-ex/market/detail/batch_merged", "bid"),
    ("htx", "/linear-swap-ex/market/detail/batch_merged", "amount"),
    ("htx", "/linear-swap-ex/market/depth", "tick"),
    ("htx", "/linear-swap-ex/market/depth", "asks"),
    ("htx", "/linear-swap-api/v1/swap_contract_info", "contract_size"),
    ("htx", "/linear-swap-api/v1/swap_contract_info", "contract_code"),
    ("htx", "/v1/common/timestamp", "data"),
]


@pytest.mark.parametrize(("venue", "path", "key"), ODD_FIELDS)
async def test_an_odd_field_in_every_row_is_the_venue_s_own_loss(
    venue: str, path: str, key: str, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    body = (await bodies_of(lab))[venue, path]
    for odd in ODD if FULL else random.Random(f"{path} {key}").sample(ODD, 3):
        made = copy.deepcopy(body)
        everywhere(made, key, odd)
        snap = await asked_of_odd(lab, venue, path, json.dumps(made))
        where = f"{key} = {odd!r:.30}"
        assert set(snap.dropped) <= {venue}, where
        assert "internal" not in map(str, snap.dropped.values()), f"{where}: {snap.dropped[venue].text}"
        assert snap.aggregated_price == pytest.approx(float(BTC_MID), rel=5e-4), where
        assert tracebacks(caplog) == [], where


@pytest.mark.parametrize("rule", ["PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL"])
async def test_one_instrument_without_a_rule_costs_nobody_else(rule: str, lab: Lab, manager_for: ManagerFor) -> None:
    """Binance keeps trading rules in a list; not every symbol has every rule."""
    path = INSTRUMENTS["binance"]
    async with aiohttp.ClientSession() as session, session.get(lab.url("binance") + path) as answer:
        body = await answer.json()
    odd = next(row for row in body["symbols"] if row["symbol"] == "ADAUSDT")
    odd["filters"] = [one for one in odd["filters"] if one["filterType"] != rule]
    lab.fault("binance", "status", path=path, code=200, body=json.dumps(body))
    xm = manager_for(lab)
    assert (await asked(xm, deadline=PLENTY_S))[0].dropped == {}
    ada = await xm.get_cross_exchange_ticker("ADAUSDT", deadline=PLENTY_S)
    assert "internal" not in map(str, ada.dropped.values())
    assert set(ada.answered) >= set(VENUES) - {"binance"}


async def test_without_a_single_pair_for_rates_there_is_no_rate_and_no_noise(
    lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    """Kraken's spot market lists a pair that is no source of a rate."""
    spot = [market for market in TRUTH.markets if (market.venue, market.kind) == ("kraken", "spot")]
    lab.truth = TRUTH.without("kraken").adding([next(one for one in spot if one.base == "BTC")])
    snap, _ = await asked(manager_for(lab), deadline=PLENTY_S)
    assert set(snap.dropped) <= {"kraken"}
    assert "internal" not in map(str, snap.dropped.values())
    assert snap.aggregated_price == pytest.approx(float(BTC_MID), rel=5e-4)
    assert tracebacks(caplog) == []


# --- nothing is left behind ------------------------------------------------------------------------------------

HANDFUL = ("status", "short", "reset", "hang", "null")


async def _compact_matrix() -> None:
    """Ask about every venue with a handful of faults; once somebody gives up in the middle."""
    asyncio.get_running_loop().slow_callback_duration = 60
    async with Lab(TRUTH) as lab, ExchangeManager(cache=False) as xm:
        for name in VENUES:
            assert xm.add_exchange(configured(lab, name))
        for symbol in (SYMBOL, SPOT):
            await xm.get_cross_exchange_ticker(symbol, deadline=10)
        for symbol, venue, kind in [
            (SPOT, "okx", "status"),
            *((SYMBOL, one, two) for one in VENUES for two in HANDFUL),
        ]:
            fault = lab.fault(venue, kind)
            # More time than others have: a process that checks everything is slow.
            snap = await xm.get_cross_exchange_ticker(symbol, deadline=1.0)
            assert fault.hits, (venue, kind)
            assert "internal" not in map(str, snap.dropped.values()), snap.dropped
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await xm.trades(symbol, deadline=1)
            heal(lab)


def test_nothing_is_left_behind_in_a_process_that_says_all() -> None:
    """No exception that nobody retrieved, no session left open, no warning of any kind."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-m", __name__],
        capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0


if __name__ == "__main__":
    logging.getLogger("xex").addHandler(logging.NullHandler())
    logging.getLogger("xex").propagate = False  # what venues did is meant to be logged
    with pytest.MonkeyPatch.context() as patched:
        endlessly(patched)
        asyncio.run(_compact_matrix())
