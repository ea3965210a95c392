"""The merged book as a picture and as tables: what is added up, what is cut, and what crosses."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest

import xex
from tests.conftest import ManagerFor
from tests.lab import Lab
from xex import plot, tables
from xex.errors import ConfigError, MissingExtra


async def ask(lab: Lab, manager_for: ManagerFor, symbol: str = "ADAUSDT", **options: Any) -> xex.CrossExchangeData:
    return await manager_for(lab).get_cross_exchange_ticker(symbol, **options)


def png(ax: Any) -> bytes:
    file = io.BytesIO()
    ax.figure.savefig(file, format="png", dpi=50)
    return file.getvalue()


def labels(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def printed(table: Any, width: int = 120) -> str:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO())
    with console.capture() as text:
        console.print(table)
    return text.get()


def cut(snap: xex.CrossExchangeData, exchange: str) -> None:
    """Mark an exchange's book as cut off by it."""
    for book in snap.books:
        if book and book["exchange"][0] == exchange:
            book["censored"] = np.ones(len(book["price"]), dtype=bool)


async def test_the_curves_hold_what_the_books_hold(lab: Lab, manager_for: ManagerFor) -> None:
    """Far from the price everything has been added up: price times size, venue upon venue."""
    venues = ["binance", "bybit", "okx"]
    ax: Any = plot.depth(await ask(lab, manager_for, venues=venues), within_bps=1000)
    markets = [lab.truth.market(venue, "ADA", "linear") for venue in venues]
    bids, asks = (
        sum(price * size for market in markets for price, size in getattr(market, side)) for side in ("bids", "asks")
    )
    totals = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) > 2]
    assert totals[0][0] == pytest.approx(float(bids), rel=1e-9)
    assert totals[1][-1] == pytest.approx(-float(asks), rel=1e-9)
    assert totals[0][-1] == totals[1][0] == 0
    assert ax.get_xlim() == (-1000, 1000)
    assert sorted(labels(ax)) == venues
    assert png(ax).startswith(b"\x89PNG")


async def test_books_that_cross_are_marked(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = lab.truth.with_premium("okx", "ADA", 20)
    ax = plot.depth(await ask(lab, manager_for, venues=["okx", "binance"]))
    (text,) = ax.texts
    assert "okx bids" in text.get_text()
    assert "more than binance asks" in text.get_text()
    assert not plot.depth(await ask(lab, manager_for, venues=["binance"])).texts


async def test_a_book_that_was_cut_is_a_lower_bound(lab: Lab, manager_for: ManagerFor) -> None:
    snap = await ask(lab, manager_for, venues=["okx", "binance"])
    assert "≥" not in printed(tables.books_table(snap, 5))
    cut(snap, "okx")
    assert labels(plot.depth(snap))[0] == "binance"
    assert labels(plot.depth(snap))[1].startswith("okx, cut at -1")
    row = next(row for row in tables.depths(snap) if row["exchange"] == "okx")
    assert row["censored"]
    assert 100 < row["bid_reach_bps"] < 150
    assert "≥" in printed(tables.books_table(snap, 5)).splitlines()[-1]
    # The book goes further than the table looks: these sums are whole.
    shown = next(line for line in printed(tables.books_table(snap, 1)).splitlines()[::-1] if line.startswith("okx "))
    assert shown.count("≥") <= 1  # the score


async def test_sums_beyond_the_cut_are_marked_in_the_table(lab: Lab, manager_for: ManagerFor) -> None:
    snap = await ask(lab, manager_for, "BTCUSDT", venues=["okx", "binance"])
    cut(snap, "okx")
    lines = printed(tables.books_table(snap, 5)).splitlines()
    rows = {line.split()[0]: line for line in lines if "M" in line and "96," not in line}
    assert rows["okx"].count("≥") == 9  # the score and four sums a side: the book ends within 3 bps
    assert rows["binance"].count("≥") == 0
    assert rows["all"].count("≥") >= 8


async def test_a_venue_that_is_left_out_is_not_in_the_merged_book(lab: Lab, manager_for: ManagerFor) -> None:
    lab.fault("htx", "stale", seconds=600)
    snap = await ask(lab, manager_for, "BTCUSDT")
    shown = printed(tables.books_table(snap, 200))
    ladder = shown.split("depth up to")[0]
    assert "htx" not in ladder
    assert "okx" in ladder
    assert "htx is left out, stale: " in shown
    assert "htx" not in labels(plot.depth(snap))


@pytest.mark.parametrize("case", ["no_books", "disagree", "one", "spot"])
async def test_every_answer_can_be_drawn_and_printed(lab: Lab, manager_for: ManagerFor, case: str) -> None:
    options: dict[str, Any] = {"books": False} if case == "no_books" else {}
    if case == "disagree":
        lab.truth = lab.truth.with_premium("okx", "ADA", 500).with_premium("binance", "ADA", -500)
    if case in {"one", "disagree"}:
        options["venues"] = ["okx"] if case == "one" else ["okx", "binance"]
    snap = await ask(lab, manager_for, "ADA/USDT" if case == "spot" else "ADAUSDT", **options)
    assert png(plot.depth(snap)).startswith(b"\x89PNG")
    if case != "no_books":
        for width in (60, 80, 120):
            assert max(map(len, printed(tables.books_table(snap, 5), width).splitlines())) <= width


async def test_a_distance_is_a_positive_number(lab: Lab, manager_for: ManagerFor) -> None:
    snap = await ask(lab, manager_for, venues=["okx"])
    for within in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="within_bps"):
            plot.depth(snap, within_bps=within)


async def test_without_matplotlib_the_error_names_the_extra(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    snap = await ask(lab, manager_for, venues=["okx"])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"xex\[plot\]"):
        plot.depth(snap)
