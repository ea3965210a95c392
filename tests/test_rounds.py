"""Ways round the lab's spot markets: ranked on tickers, sized on the books of what is left."""

from __future__ import annotations

import dataclasses
import io
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import xex
from tests.conftest import ManagerFor
from tests.lab import Lab
from tests.lab.truth import Truth
from tests.test_cli import run, strict
from xex.lists import cycles_table


def side(*levels: tuple[str, str]) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(price), Decimal(size)) for price, size in levels)


def with_cheap_ether(truth: Truth) -> Truth:
    """Return the world in which OKX also trades ETH/BTC, 0.9 % and 0.35 % below what both are in USDT, and dearer."""
    usual = truth.market("okx", "ETH", "spot", "USDT").priced_at(Decimal("0.0347"))
    return truth.adding([
        dataclasses.replace(
            usual, quote="BTC", id="ETH-BTC", tick=Decimal("0.00001"), bids=side(("0.0343", "9")),
            asks=side(("0.0344", "2"), ("0.0346", "3"), ("0.0348", "50")),
        )
    ])  # fmt: skip


async def test_a_planted_triangle_by_hand(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = with_cheap_ether(lab.truth)
    xm = manager_for(lab, venues=("okx",))
    found = await xm.cycles()
    row: Any = found.iloc[0]
    assert row["legs"] == "okx BTC/USDT buy → okx ETH/BTC buy → okx ETH/USDT sell"
    # At 10 bps a leg the third level, 0.0348, no longer pays: 3350.56 · 0.999 < 0.0348 · 96489.3 · 1.001². The first
    # two are 5 ETH for 0.1726 BTC and 0.0001726 of fee, which the best levels of BTC/USDT and ETH/USDT have.
    paid = 0.1727726 * 96_489.3 * 1.001
    assert row["amounts"] == "0.1727726, 5, 5"
    assert row["quantity"] == pytest.approx(paid, rel=1e-9)
    assert row["profit"] == pytest.approx(5 * 3_350.56 * 0.999 - paid, rel=1e-6)
    assert row["currency"] == "USDT"
    assert row["executable"]
    assert found.attrs["answered"] == ["okx"]
    assert found.attrs["books_dropped"] == {}
    assert found.attrs["certificate"] is None
    # The whole market is one request, and of all markets three have been asked for a book.
    assert sorted(found.attrs["markets"]) == [("okx", "BTC/USDT"), ("okx", "ETH/BTC"), ("okx", "ETH/USDT")]


async def test_where_nothing_pays_prices_prove_it(lab: Lab, manager_for: ManagerFor) -> None:
    found = await manager_for(lab, venues=("okx", "binance")).cycles()
    assert not len(found)
    certificate = found.attrs["certificate"]
    assert certificate["prices"]["USDT"] == 1
    assert 96_000 < certificate["prices"]["BTC"] < 97_000
    assert certificate["slack_bps"] <= 0
    assert found.attrs["dropped"] == {}


async def test_an_exchange_that_fails_is_named_and_the_others_answer(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = with_cheap_ether(lab.truth)
    lab.fault("binance", "html")
    found = await manager_for(lab, venues=("okx", "binance")).cycles(most_legs=3, top=1)
    assert "binance" in found.attrs["dropped"]
    assert list(found["exchanges"]) == ["okx"]


async def test_a_book_that_does_not_come_is_named_and_the_touch_stands_for_it(
    lab: Lab, manager_for: ManagerFor
) -> None:
    lab.truth = with_cheap_ether(lab.truth)
    lab.fault("okx", "html", path="/api/v5/market/books")
    found = await manager_for(lab, venues=("okx",)).cycles()
    assert set(found.attrs["books_dropped"]) == {"okx BTC/USDT", "okx ETH/BTC", "okx ETH/USDT"}
    assert found["amounts"][0] == "0.0688688, 2, 2"  # 2 ETH at 0.0344 and the fee of 0.0000688


def test_the_command_says_what_pays_or_what_proves_that_nothing_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("cycles", "--replay").expect(0).out
    assert "no way round spot markets pays: there are prices at which the best trade, " in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
    near = run("cycles", "--least-bps", "-40", "--top", "3", "--replay").expect(0).out
    assert near.count("stopped by fees") == 3
    data = strict(run("cycles", "--least-bps", "-40", "--top", "3", "--replay", "--json").expect(0).out)
    assert len(data["rows"]) == 3
    assert data["certificate"]["slack_bps"] < 0
    assert [row["net_bps"] for row in data["rows"]] == sorted((row["net_bps"] for row in data["rows"]), reverse=True)
    assert "--legs" in run("cycles", "--legs", "9", "--replay").expect(2).err


def test_a_row_as_text_says_what_it_earns_and_what_it_trades() -> None:
    frame = xex.arbitrage.cycles(pd.DataFrame([
        {"exchange": "a", "base": "BTC", "quote": "USDT", "bid": 99_900.0, "ask": 100_000.0, "ask_size": 1.0},
        {"exchange": "b", "base": "BTC", "quote": "USDT", "bid": 101_000.0, "ask": 101_100.0, "bid_size": 1.0},
        {"exchange": "c", "base": "BTC", "quote": "USDT", "bid": 101_000.0, "ask": 100_900.0},
    ]), taker_bps=10.0, max_disagree=0.5)  # fmt: skip
    console = Console(width=100, file=io.StringIO())
    with console.capture() as text:
        console.print(cycles_table(frame))
    head, *lines = text.get().splitlines()
    assert head.strip() == "1 way round spot markets"
    # 101,000 less 101 for 100,000 and 100: 799 are 79.82 bps of 100,100.
    assert [line.rstrip() for line in lines] == [
        "79.82 bps net, 799.00 USDT on 100,100, 0.0 s old",
        "  a BTC/USDT buy → b BTC/USDT sell",
        "  1, 1",
        "left out: 1 market, 1 market_state",
    ]
