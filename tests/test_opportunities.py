"""Opportunities against the lab: each gate stops a case that nothing else stops; what is planted is found exactly."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

import xex
from tests.conftest import VENUES, ManagerFor
from tests.expected import assert_close, assert_pair, expected, weight_ages
from tests.lab import Lab, Token, Truth, currency_markets, default_truth
from xex import scanning
from xex.analytics.gates import Thresholds
from xex.analytics.sized import Book, Market, Route, found_in
from xex.analytics.sizing import Leg
from xex.errors import ConfigError, NoVenueAnswered, SymbolError, UnknownVenue
from xex.scanning import Progress

PLANTED = default_truth().with_cross("BTC", buy="okx", sell="binance", bps=60)
SPOT = default_truth().with_cross("BTC", buy="okx", sell="binance", bps=60, kind="spot")
WIDE = default_truth().with_cross("BTC", buy="okx", sell="binance", bps=200, kind="spot")
PAIR = ("okx", "binance")


def pair(frame: pd.DataFrame, low: str = "okx", high: str = "binance", **more: str) -> dict[str, Any]:
    """Return the one row of a pair."""
    rows = frame[(frame["exchange_low"] == low) & (frame["exchange_high"] == high)]
    for column, value in more.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, rows
    row = {str(name): None if value is pd.NA or value != value else value for name, value in rows.iloc[0].items()}
    row["reasons"] = str(row["reasons"]).split(",") if row["reasons"] else []
    return row


async def asked(lab: Lab, manager_for: ManagerFor, truth: Truth, *symbols: str, **options: Any) -> pd.DataFrame:
    lab.truth = truth
    return await manager_for(lab).opportunities(symbols, **options)


# --- what is planted


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("kind", ["linear", "spot"])
async def test_what_is_planted_is_found_with_exact_quantity_and_profit(
    lab: Lab, manager_for: ManagerFor, kind: str, whole: bool
) -> None:
    truth = PLANTED if kind == "linear" else SPOT
    symbols = () if whole else ("BTCUSDT" if kind == "linear" else "BTC/USDT",)
    frame = await asked(lab, manager_for, truth, *symbols)
    found = pair(frame, group=f"BTC:{kind}")
    assert found["executable"]
    assert found["gate"] is None
    assert found["trade"] == ("spread" if kind == "linear" else "arbitrage")
    assert found["sized_by"] == "books"
    snap = await manager_for(lab).get_cross_exchange_ticker("BTCUSDT" if kind == "linear" else "BTC/USDT")
    want = expected(truth, weight_ages(snap.frame), "BTC", kind, snap.asked, "").pairs
    assert want[PAIR].net_profit > 0
    for key, best in want.items():
        if whole and kind == "spot" and "kraken" in key:
            continue  # which lists the coin in two currencies, and the one that pays more is looked at
        assert_pair(pair(frame, *key, group=f"BTC:{kind}", sized_by="books"), best, f"{key}")


async def test_the_whole_market_is_asked_for_quotes_and_the_books_of_what_may_pay_alone(
    lab: Lab, manager_for: ManagerFor
) -> None:
    lab.truth = PLANTED
    xm = manager_for(lab)
    await xm.connect_all()
    lab.seen.clear()
    told: list[Progress] = []
    frame = await xm.opportunities(progress=told.append)
    paths = [(seen.venue, seen.path_qs.partition("?")[0].lower()) for seen in lab.seen]
    books = [venue for venue, path in paths if ("depth" in path or "book" in path) and "bookticker" not in path]
    # Kraken's spot book is that of USDT in dollars, for the rate.
    assert sorted(books) == sorted([*VENUES, "kraken"])
    assert [one.stage for one in told] == ["tickers", "scan", *["books"] * 6, "done"]
    assert [(one.done, one.of) for one in told if one.stage == "books"] == [(done, 5) for done in range(6)]
    assert frame.attrs["answered"] == frame.attrs["asked"] == list(VENUES)
    assert frame.attrs["dropped"] == {}
    assert frame.attrs["unsized"] == []
    assert sum(frame.attrs["gates"].values()) + frame["executable"].sum() == len(frame)


async def test_beyond_the_top_nothing_is_called_executable(lab: Lab, manager_for: ManagerFor) -> None:
    truth = PLANTED.with_cross("ETH", buy="okx", sell="bybit", bps=50)
    frame = await asked(lab, manager_for, truth, top=1)
    assert frame[frame["executable"]]["group"].unique().tolist() == ["BTC:linear"]
    assert frame.attrs["unsized"] == ["ETH:linear"]
    row = pair(frame, "okx", "bybit", group="ETH:linear")
    assert (row["gate"], row["reasons"]) == ("depth", ["depth"])
    both = await asked(lab, manager_for, truth, top=2)
    assert set(both[both["executable"]]["group"]) == {"BTC:linear", "ETH:linear"}
    assert both.attrs["unsized"] == []


async def test_what_costs_four_fees_is_a_spread(lab: Lab, manager_for: ManagerFor) -> None:
    """Both take 5 bps of a perpetual's notional and 10 of a coin's."""
    row = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT"))
    low, high = row["price_low"], row["price_high"]
    assert row["net_bps"] == pytest.approx(1e4 * (high * (1 - 2 * 5e-4) - low * (1 + 2 * 5e-4)) / low, rel=1e-9)
    spot = pair(await asked(lab, manager_for, SPOT, "BTC/USDT"))
    low, high = spot["price_low"], spot["price_high"]
    assert spot["net_bps"] == pytest.approx(1e4 * (high * (1 - 1e-3) - low * (1 + 1e-3)) / low, rel=1e-9)


# --- each gate stops what nothing else stops


async def test_identity(lab: Lab, manager_for: ManagerFor) -> None:
    truth = default_truth().with_cross("BTC", buy="okx", sell="binance", bps=400)
    assert pair(await asked(lab, manager_for, truth, "BTCUSDT"))["reasons"] == ["identity"]


async def test_market_state(lab: Lab, manager_for: ManagerFor) -> None:
    truth = default_truth().with_cross("BTC", buy="krakenfutures", sell="binance")
    halted = truth.updating(truth.market("krakenfutures", "BTC"), suspended=True)
    assert pair(await asked(lab, manager_for, truth, "BTCUSDT"), "kraken")["executable"]
    assert pair(await asked(lab, manager_for, halted, "BTCUSDT"), "kraken")["reasons"] == ["market_state"]
    lab.fault("okx", "crossed", ticks=1)
    assert pair(await asked(lab, manager_for, PLANTED, "BTCUSDT"))["reasons"] == ["market_state"]


async def test_kind(lab: Lab, manager_for: ManagerFor) -> None:
    """A frame whose groups put spot and perpetuals together compares what is not the same thing."""
    lab.truth = default_truth().with_premium("binance", "BTC", 80, kind="linear").only("BTC", "USDT")
    tickers = await manager_for(lab, venues=PAIR).tickers(currency="USDT")
    mixed = tickers[tickers["kind"].isin(["spot", "linear"]) & (tickers["quote"] == "USDT")].assign(group="BTC")
    mixed = mixed[~mixed["instrument"].str.contains("-")]
    found = xex.arbitrage.scan(mixed)
    spot = mixed[(mixed["exchange"] == "okx") & (mixed["kind"] == "spot")]["ask"].iloc[0]
    perp = mixed[(mixed["exchange"] == "binance") & (mixed["kind"] == "linear")]["bid"].iloc[0]
    rows = found[(found["price_low"] == spot) & (found["price_high"] == perp)]
    assert rows["reasons"].tolist() == ["kind"]


async def test_freshness(lab: Lab, manager_for: ManagerFor) -> None:
    lab.fault("binance", "stale", seconds=60)
    row = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT"))
    assert row["reasons"] == ["freshness"]


async def test_currency(lab: Lab, manager_for: ManagerFor) -> None:
    """Kraken's perpetual is in dollars, and nobody trades USDT for them: the rate is measured, and not executable."""
    truth = default_truth().with_cross("BTC", buy="krakenfutures", sell="binance", bps=60).without("kraken", "USDT")
    frame = await asked(lab, manager_for, truth, "BTCUSDT")
    assert pair(frame, "kraken")["reasons"] == ["currency"]


async def test_fees(lab: Lab, manager_for: ManagerFor) -> None:
    row = pair(await asked(lab, manager_for, default_truth(), "BTCUSDT"))
    assert row["reasons"] == ["fees"]
    planted = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT", min_profit_pct=0.5))
    assert planted["reasons"] == ["fees"]
    assert planted["net_profit"] > 0


async def test_depth(lab: Lab, manager_for: ManagerFor) -> None:
    row = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT", min_notional=1e9))
    assert row["reasons"] == ["depth"]
    lab.fault("okx", "empty_book", side="ask")
    assert pair(await asked(lab, manager_for, PLANTED, "BTCUSDT"))["reasons"] == ["depth"]


async def test_balances(lab: Lab, manager_for: ManagerFor) -> None:
    """By hand: 10,000 USDT at okx buy what they cost at its best ask with 10 bps on top, down to a lot of 1e-8."""
    assert pair(await asked(lab, manager_for, SPOT, "BTC/USDT", balances={}))["reasons"] == ["balances"]
    balances = {"okx": {"USDT": 10_000}, "binance": {"btc": 5}}
    row = pair(await asked(lab, manager_for, SPOT, "BTC/USDT", balances=balances))
    assert row["executable"]
    lot = max(SPOT.market(name, "BTC", "spot").lot for name in ("okx", "binance"))
    most = Decimal(10_000) / (Decimal(str(row["price_low"])) * Decimal("1.001"))
    assert row["quantity"] == pytest.approx(float(most // lot * lot), rel=1e-12)
    few = {"okx": {"USDT": 1e9}, "binance": {"BTC": 0.25}}
    assert pair(await asked(lab, manager_for, SPOT, "BTC/USDT", balances=few))["quantity"] == 0.25
    margin = {name: {"USDT": 20_000.0} for name in VENUES}
    perp = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT", balances=margin))
    assert perp["executable"]
    assert 19_000 < perp["notional"] * (1 + 5e-4) <= 20_000


async def test_lots(lab: Lab, manager_for: ManagerFor) -> None:
    truth = PLANTED.updating(PLANTED.market("okx", "BTC"), min_amount=Decimal(5_000))
    assert pair(await asked(lab, manager_for, truth, "BTCUSDT"))["reasons"] == ["lots"]


async def test_haircut(lab: Lab, manager_for: ManagerFor) -> None:
    """By hand: 100 bps per root of a second, 3 deviations, and ages of some milliseconds and 5 s: 671 bps at least."""
    lab.fault("binance", "stale", seconds=5)
    row = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT", sigma=0.01))
    assert row["reasons"] == ["haircut"]
    assert row["haircut_bps"] == pytest.approx(3 * 100 * math.sqrt(5), rel=0.15)
    off = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT", sigma=0.01, haircut=False))
    assert off["executable"]
    assert (off["quantity"], off["net_profit"]) == (row["quantity"], row["net_profit"])
    longer = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT", sigma=1e-9, tau_s=1e12))
    assert longer["reasons"] == ["haircut"]


async def test_significance(lab: Lab, manager_for: ManagerFor) -> None:
    """One deviation is asked for, and one in a hundred may be wrong: an edge of 1.3 is a chance of one in ten."""
    lab.fault("binance", "stale", seconds=4)
    plain = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT"))
    mean = 1e4 * plain["net_profit"] / plain["notional"]
    sigma = mean / 1e4 / 1.3 / 2
    row = pair(await asked(lab, manager_for, PLANTED, "BTCUSDT", sigma=sigma, z=1.0, false_share=0.01))
    assert row["reasons"] == ["significance"]
    assert row["chance"] == pytest.approx(0.097, abs=0.02)


async def test_transfer(lab: Lab, manager_for: ManagerFor) -> None:
    truth = dataclasses.replace(WIDE, tokens=())
    row = pair(await asked(lab, manager_for, truth, "BTC/USDT", mode="transfer"))
    assert row["reasons"] == ["transfer"]
    assert row["transfer"] == "unknown"


async def test_persistence(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = PLANTED
    rows = []
    async for look in manager_for(lab).watch("BTCUSDT", every=0.5, looks=3, persistence=2):
        rows.append(pair(look.frame))
        lab.truth = default_truth() if look.number == 1 else PLANTED
    assert [row["reasons"] for row in rows] == [["persistence"], [], ["fees"]]


# --- what does not answer, and what cannot be meant


async def test_who_does_not_answer_is_named_and_the_others_are_compared(lab: Lab, manager_for: ManagerFor) -> None:
    lab.fault("htx", "html")
    lab.fault("bybit", "hang", path="/v5/market/orderbook")
    frame = await asked(lab, manager_for, PLANTED, deadline=2.0)
    assert pair(frame, group="BTC:linear")["executable"]
    assert "htx" in frame.attrs["dropped"]
    assert any(name.startswith("bybit") for name in frame.attrs["dropped"])
    assert "htx" not in set(frame["exchange_low"])


async def test_nobody_answers(lab: Lab, manager_for: ManagerFor) -> None:
    for venue in VENUES:
        lab.fault(venue, "html")
    with pytest.raises(NoVenueAnswered):
        await manager_for(lab).opportunities()
    with pytest.raises(NoVenueAnswered):
        await manager_for(lab).opportunities(["BTCUSDT", "ETHUSDT"])


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"z": "x"}, ConfigError, "z is .*'x'"),
        ({"zz": 3}, ConfigError, "zz=3 is no threshold; they are: min_profit_pct"),
        ({"mode": "teleport"}, ConfigError, "inventory or transfer, not 'teleport'"),
        ({"balances": {"okx": 5}}, ConfigError, "amounts by exchange and currency.*not 5"),
        ({"balances": {"okx": {"USDT": -1}}}, ConfigError, "balance of USDT on okx is 0 or more, not -1"),
        ({"top": 0}, ConfigError, "top is how many groups"),
        ({"currency": "XYZ"}, ConfigError, "currency 'XYZ'"),
        ({"market": "moon"}, SymbolError, "unknown market 'moon'"),
        ({"venues": ["mtgox"]}, UnknownVenue, "mtgox"),
        ({"symbols": ["BTCUSDTX"]}, SymbolError, "BTCUSDTX"),
        ({"persistence": 0}, ConfigError, "persistence"),
    ],
)
async def test_what_cannot_be_meant_is_named(
    lab: Lab, manager_for: ManagerFor, options: dict[str, Any], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        await manager_for(lab).opportunities(**options)


async def test_thresholds_are_the_manager_s_unless_a_call_has_its_own(lab: Lab) -> None:
    from tests.conftest import configured

    lab.truth = PLANTED
    limits = xex.arbitrage.Thresholds(min_profit_pct=0.5)
    async with xex.ExchangeManager(cache=False, thresholds=limits) as xm:
        for venue in VENUES:
            assert xm.add_exchange(configured(lab, venue))
        assert pair(await xm.opportunities("BTCUSDT"))["reasons"] == ["fees"]
        assert (await xm.get_cross_exchange_ticker("BTCUSDT")).arbitrage_opportunities == []
        assert pair(await xm.opportunities("BTCUSDT", min_profit_pct=0.1))["executable"]
        assert xm.thresholds == limits
        with pytest.raises(ConfigError, match="min_profit_pct"):
            xex.arbitrage.Thresholds(min_profit_pct=-1)


async def test_quotes_in_another_currency_are_brought_over_by_books_that_trade_it(
    lab: Lab, manager_for: ManagerFor
) -> None:
    truth = default_truth().adding(currency_markets()).with_cross("BTC", buy="krakenfutures", sell="binance", bps=60)
    frame = await asked(lab, manager_for, truth)
    row = pair(frame, "kraken", group="BTC:linear", sized_by="books")
    assert row["executable"]
    assert_close(row["fx_rate"], 1 / truth.market("kraken", "USDT", "spot").bids[0][0], "fx rate")


# --- watching


async def test_looks_keep_their_cadence_without_drift_or_overlap(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = PLANTED
    xm = manager_for(lab)
    running, most = 0, 0
    real = xm.opportunities

    async def counted(*args: Any, **options: Any) -> pd.DataFrame:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await real(*args, **options)
        finally:
            running -= 1

    xm.opportunities = counted  # type: ignore[method-assign]
    looks = [look async for look in xm.watch("BTCUSDT", every=0.4, looks=5)]
    assert [look.number for look in looks] == list(range(5))
    assert most == 1
    steps = [later.time - earlier.time for earlier, later in pairwise(looks)]
    for step, look in zip(steps, looks[1:], strict=True):
        # Each is due at a whole number of intervals, however late the one before it was.
        assert step == pytest.approx(0.4 * (1 + look.missed), abs=0.2)
    assert abs(looks[-1].time - looks[0].time - 0.4 * (4 + sum(look.missed for look in looks))) < 0.2


async def test_a_look_that_takes_too_long_leaves_out_the_next(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)

    async def slow(*_: Any, **__: Any) -> pd.DataFrame:
        await asyncio.sleep(0.045)
        raise NoVenueAnswered("nobody", {})

    xm.opportunities = slow  # type: ignore[method-assign]
    looks = [look async for look in xm.watch("BTCUSDT", every=0.02, looks=3)]
    assert all(look.missed >= 1 for look in looks[1:])
    assert all(look.frame.empty for look in looks)
    assert list(looks[0].frame.columns)[:2] == ["symbol", "group"]


async def test_a_look_without_answers_is_empty_and_the_next_one_goes_on(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = PLANTED
    looks = []
    async for look in manager_for(lab).watch("BTCUSDT", every=0.5, looks=3):
        looks.append(look)
        for venue in VENUES if look.number == 0 else ():
            lab.fault(venue, "html")
        if look.number == 1:
            lab.heal()
    assert [bool(look.frame["executable"].any()) for look in looks] == [True, False, True]
    assert set(looks[1].dropped) >= set(VENUES)
    assert looks[2].lifetimes["count"].max() == 2
    assert looks[2].lifetimes["looks"].max() == 3


async def test_who_leaves_a_watch_leaves_nothing_behind(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = PLANTED
    xm = manager_for(lab)
    looks = xm.watch("BTCUSDT", every=0.5)
    async for _ in looks:
        break
    await looks.aclose()  # type: ignore[attr-defined]
    await xm.disconnect_all()
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert {getattr(task.get_coro(), "__qualname__", "") for task in left} <= {"RequestHandler.start"}  # the lab's own


@pytest.mark.parametrize(
    ("options", "named"), [({"every": 0}, "every is"), ({"looks": 0}, "looks is"), ({"z": 0}, "z is")]
)
async def test_a_watch_of_nothing_sensible(lab: Lab, manager_for: ManagerFor, options: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        async for _ in manager_for(lab).watch("BTCUSDT", **options):
            pass


# --- moving coins


def on_ethereum(**more: Any) -> tuple[Token, ...]:
    """Return where BTC may be moved: one wrapped network, at okx for 0.001 BTC, whose blocks binance waits 12 for."""
    return (Token("BTC", "ethereum", "0x11", "okx", fee=Decimal("0.001"), confirmations=5, **more),
            Token("BTC", "ethereum", "0x11", "binance", fee=Decimal("0.5"), confirmations=12))  # fmt: skip


async def test_a_known_open_route_is_taken_and_its_fee_paid(lab: Lab, manager_for: ManagerFor) -> None:
    stays = pair(await asked(lab, manager_for, WIDE, "BTC/USDT"))
    for symbols in (("BTC/USDT",), ()):
        moves = pair(
            await asked(lab, manager_for, WIDE.with_tokens(*on_ethereum()), *symbols, mode="transfer"), group="BTC:spot"
        )
        assert moves["executable"], moves["reasons"]
        assert (moves["transfer"], moves["network"], moves["mode"]) == ("open", "ethereum", "transfer")
        # Twelve blocks of twelve seconds.
        assert moves["transfer_minutes"] == pytest.approx(12 * 12 / 60)
        # A fixed fee changes whether, never how much: 0.001 BTC less arrive, worth what binance pays for them.
        assert moves["quantity"] == stays["quantity"]
        assert moves["net_profit"] == pytest.approx(stays["net_profit"] - 0.001 * stays["price_high"], rel=1e-12)
        assert moves["fees"] == pytest.approx(stays["fees"] + 0.001 * stays["price_high"], rel=1e-12)
        # The edge must be above what the price may do meanwhile.
        assert moves["haircut_bps"] > 10 * stays["haircut_bps"]


async def test_a_route_that_is_shut_or_costs_more_than_is_earned_is_none(lab: Lab, manager_for: ManagerFor) -> None:
    shut = WIDE.with_tokens(*on_ethereum(withdrawals=False))
    row = pair(await asked(lab, manager_for, shut, "BTC/USDT", mode="transfer"))
    assert (row["reasons"], row["transfer"]) == (["transfer"], "closed")
    assert pair(await asked(lab, manager_for, shut, "BTC/USDT"))["executable"]
    tokens = on_ethereum()
    dear = WIDE.with_tokens(dataclasses.replace(tokens[0], fee=Decimal(1000)), tokens[1])
    row = pair(await asked(lab, manager_for, dear, "BTC/USDT", mode="transfer"))
    assert row["reasons"][0] == "fees"
    assert row["net_profit"] < 0


async def test_contracts_cannot_be_moved(lab: Lab, manager_for: ManagerFor) -> None:
    truth = PLANTED.with_tokens(*on_ethereum())
    assert pair(await asked(lab, manager_for, truth, "BTCUSDT", mode="transfer"))["reasons"] == ["transfer"]


def test_a_scan_takes_routes_and_pays_for_the_cheapest_open_one() -> None:
    """By hand: 2 coins bought at 100 and sold at 102, 10 bps each way, 0.01 coins for the network."""
    quotes = pd.DataFrame({
        "exchange": ["a", "b"], "base": "BTC", "quote": "USDT", "bid": [99.9, 102.0], "ask": [100.0, 102.1],
        "bid_size": 2.0, "ask_size": 3.0, "taker_bps": 10.0,
    })  # fmt: skip
    routes = pd.DataFrame({
        "asset": "BTC", "exchange_from": "a", "exchange_to": "b", "network": ["x", "y", "z"],
        "state": ["open", "open", "closed"], "withdraw_fee": [0.05, 0.01, 0.0], "minutes": [1.0, 30.0, 1.0],
    })  # fmt: skip
    plain = pair(xex.arbitrage.scan(quotes, max_disagree=0.05), "a", "b")
    moved = pair(xex.arbitrage.scan(quotes, max_disagree=0.05, mode="transfer", routes=routes), "a", "b")
    assert plain["net_profit"] == pytest.approx(2 * (102 * 0.999 - 100 * 1.001))
    assert moved["net_profit"] == pytest.approx(2 * (102 * 0.999 - 100 * 1.001) - 0.01 * 102)
    assert (moved["network"], moved["transfer_minutes"], moved["executable"]) == ("y", 30.0, True)
    none = pair(xex.arbitrage.scan(quotes, max_disagree=0.05, mode="transfer"), "a", "b")
    assert (none["reasons"], none["transfer"]) == (["transfer"], "unknown")
    back = pair(xex.arbitrage.scan(quotes, max_disagree=0.05, mode="transfer", routes=routes), "b", "a")
    assert "transfer" in back["reasons"]


def test_two_configurations_of_one_venue_are_no_pair() -> None:
    quotes = pd.DataFrame({
        "exchange": ["one", "two", "c"], "venue": ["binance", "binance", "okx"], "base": "BTC", "quote": "USDT",
        "bid": [100.0, 100.8, 100.7], "ask": [100.1, 100.9, 100.8], "bid_size": 1.0, "ask_size": 1.0, "taker_bps": 10.0,
    })  # fmt: skip
    found = xex.arbitrage.scan(quotes)
    ends = set(zip(found["exchange_low"], found["exchange_high"], strict=True))
    assert ends == {("one", "c"), ("c", "one"), ("two", "c"), ("c", "two")}
    # What one says again, the other has said: of equal age the last row counts.
    assert pair(found, "one", "c")["reasons"] == ["market_state"]


def moved_by(size: float = 2.0, **route: Any) -> dict[str, Any]:
    """Return a scan's pair of 100 and 102, `size` coins of it, moved by one route that is open but for `route`."""
    quotes = pd.DataFrame({
        "exchange": ["a", "b"], "base": "BTC", "quote": "USDT", "bid": [99.9, 102.0], "ask": [100.0, 102.1],
        "bid_size": size, "ask_size": size, "taker_bps": 10.0,
    })  # fmt: skip
    told = {"network": "x", "state": "open", "withdraw_fee": 0.001, "minutes": 30.0, "withdraw_min": 0.5} | route
    routes = pd.DataFrame([{"asset": "BTC", "exchange_from": "a", "exchange_to": "b", **told}])
    return pair(xex.arbitrage.scan(quotes, max_disagree=0.05, mode="transfer", routes=routes), "a", "b")


def test_less_than_the_smallest_withdrawal_is_not_moved() -> None:
    assert moved_by(0.5)["executable"]
    assert moved_by(0.499)["reasons"] == ["transfer"]
    assert moved_by(0.499, withdraw_min=math.nan)["executable"]


def test_a_time_and_a_fee_that_nobody_knows_stop_a_transfer() -> None:
    assert moved_by(minutes=math.nan)["reasons"] == ["transfer"]
    paid = moved_by(withdraw_fee=-5.0)
    assert paid["reasons"] == ["transfer"]
    assert paid["net_profit"] == pytest.approx(2 * (102 * 0.999 - 100 * 1.001))  # nothing is earned by moving


def test_of_open_routes_one_that_can_be_judged_is_taken() -> None:
    quotes = pd.DataFrame({
        "exchange": ["a", "b"], "base": "BTC", "quote": "USDT", "bid": [99.9, 102.0], "ask": [100.0, 102.1],
        "bid_size": 2.0, "ask_size": 3.0, "taker_bps": 10.0,
    })  # fmt: skip
    routes = pd.DataFrame({
        "asset": "BTC", "exchange_from": "a", "exchange_to": "b", "network": ["x", "y", "z"], "state": "open",
        "withdraw_fee": [0.0, 0.01, -1.0], "minutes": [math.nan, 30.0, 1.0],
    })  # fmt: skip
    found = pair(xex.arbitrage.scan(quotes, max_disagree=0.05, mode="transfer", routes=routes), "a", "b")
    assert (found["network"], found["executable"]) == ("y", True)


@pytest.mark.parametrize(
    ("size", "route", "reasons"),
    [
        (2.0, Route("open", "x", 30.0, 0.001, 0.5), []),
        (0.5, Route("open", "x", 30.0, 0.001, 0.5), []),
        (0.499, Route("open", "x", 30.0, 0.001, 0.5), ["transfer"]),
        (2.0, Route("open", "x", math.nan, 0.001, 0.5), ["transfer"]),
        (2.0, Route("open", "x", 30.0, -5.0, 0.5), ["transfer"]),
    ],
)
def test_books_are_moved_on_the_same_terms(size: float, route: Route, reasons: list[str]) -> None:
    def book(name: str, bid: float, ask: float) -> Book:
        buy, sell = (Leg(np.array([price]), np.array([size]), 0.001) for price in (ask, bid))
        return Book(name, "USDT", buy, sell, 0.0)

    market = Market("BTC/USDT", "BTC:spot", "BTC", "spot", "", "USDT", routes={("a", "b"): route})
    good, rest = found_in([book("a", 99.9, 100.0), book("b", 102.0, 102.1)], market, Thresholds(mode="transfer"))
    row = next(row for row in [*good, *rest] if row["exchange_low"] == "a")
    assert row["reasons"] == reasons
    assert row["net_profit"] == pytest.approx(size * (102 * 0.999 - 100 * 1.001) - 102 * max(route.fee, 0.0))


@pytest.mark.parametrize("kind", ["inverse", "linear", "spot"])
async def test_a_group_is_named_by_what_is_traded(lab: Lab, manager_for: ManagerFor, kind: str) -> None:
    truth = default_truth().with_cross("BTC", buy="okx", sell="binance", bps=90, kind=kind)  # type: ignore[arg-type]
    frame = await asked(lab, manager_for, truth)
    row = pair(frame, group=f"BTC:{kind}", sized_by="books")
    assert row["executable"], row["reasons"]
    assert row["symbol"] == {"inverse": "BTC/USD:BTC", "linear": "BTC/USDT:USDT", "spot": "BTC/USDT"}[kind]
    assert row["currency"] == "USDT"


async def test_a_question_whose_time_is_over_before_it_began_says_that_nobody_answered(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that is busy for as long as the deadline."""
    xm = manager_for(lab)
    monkeypatch.setattr(scanning, "remaining", lambda: 0.0)
    with pytest.raises(NoVenueAnswered):
        await xm.opportunities("BTC/USDT")
