"""What people see of an answer: the table at several widths, and the picture."""

from __future__ import annotations

import io
import math
import re
import sys
from typing import Any

import pandas as pd
import pytest

import xex
from tests.conftest import VENUES, ManagerFor
from tests.lab import Lab, Truth, default_truth
from xex import plot
from xex.errors import MissingExtra, SchemaError
from xex.model import schema


def printed(snap: xex.CrossExchangeData, width: int, encoding: str = "utf-8") -> list[str]:
    from rich.console import Console

    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, legacy_windows=False).print(snap)
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def of(lines: list[str], start: str) -> str:
    return next(line for line in lines if line.startswith(start))


def scattered(truth: Truth) -> Truth:
    """Return a world of five prices of which no two agree."""
    far = {"okx": 500, "binance": -500, "bybit": 250, "htx": -250}
    for venue, bps in far.items():
        truth = truth.with_premium(venue, "BTC", bps)
    return truth


async def ask(lab: Lab, manager_for: ManagerFor, symbol: str = "BTCUSDT", **options: Any) -> xex.CrossExchangeData:
    return await manager_for(lab).get_cross_exchange_ticker(symbol, **options)


@pytest.mark.parametrize("width", [100, 80, 60])
async def test_the_table_fits_its_width_and_shows_every_number(lab: Lab, manager_for: ManagerFor, width: int) -> None:
    snap = await ask(lab, manager_for)
    lines = printed(snap, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert text.startswith("BTC/USDT:USDT (linear perpetual), asked as BTCUSDT; prices")
    for shown in ("96,512.45", "96,512.40", "96,512.50", "150,213", "14.4 B", "0.82 bps"):
        assert shown in text
    if width >= 80:
        assert "1 kraken quotes USD; 1 USD = 1.000784 USDT" in text.replace("¹", "1")
        assert f"{100 * snap.exchanges_data['binance']['weight']:.1f}%" in text


async def test_a_dropped_venue_says_why(lab: Lab, manager_for: ManagerFor) -> None:
    lab.fault("okx", "status", code=403)
    lab.fault("binance", "stale", seconds=600)
    lab.fault("htx", "html")
    lab.fault("bybit", "html")
    lines = printed(await ask(lab, manager_for), 100)
    assert of(lines, "okx").split()[1].startswith("restricted")
    stale = next(place for place, line in enumerate(lines) if line.startswith("binance"))
    assert "96,512.45" in lines[stale]
    assert any("stale: the quote is 600" in line for line in lines[stale + 1 : stale + 3])
    assert of(lines, "htx").split()[1].startswith("bad_payload")
    assert "without binance, okx, bybit, htx" in of(lines, "24h volume")
    assert "single source" in of(lines, "price ")


async def test_no_price_is_a_dash_and_never_nan(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = scattered(lab.truth)
    snap = await ask(lab, manager_for)
    assert math.isnan(snap.aggregated_price)
    text = "\n".join(printed(snap, 100))
    assert not re.search(r"\bnan\b", text.lower())
    assert of(text.splitlines(), "price ").split()[1] == "–,"


async def test_opportunities_are_listed_with_their_profit(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = default_truth().with_cross("BTC", buy="binance", sell="okx")
    lines = printed(await ask(lab, manager_for), 80)
    assert "opportunities (entry and exit fees on both legs)" in lines
    assert "USDT" in of(lines, "binance → okx")


async def test_without_dashes_and_arrows_where_the_encoding_has_none(lab: Lab, manager_for: ManagerFor) -> None:
    lines = printed(await ask(lab, manager_for), 100, "ascii")
    assert any("->" in line for line in lines)
    assert not any("?" in line for line in lines)


async def test_the_picture_shows_quotes_and_depth_without_a_display(lab: Lab, manager_for: ManagerFor) -> None:
    before = set(sys.modules)
    ax = (await ask(lab, manager_for)).plot()
    assert "matplotlib.pyplot" not in set(sys.modules) - before
    assert [text.get_text() for text in ax.get_yticklabels()] == list(VENUES)
    assert "96,515.49 USDT" in ax.get_title(loc="left")
    assert len(ax.figure.axes) == 2
    file = io.BytesIO()
    ax.figure.savefig(file, format="png", dpi=50)
    assert file.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("case", ["no_books", "disagree", "suspect", "one"])
async def test_every_answer_can_be_drawn(lab: Lab, manager_for: ManagerFor, case: str) -> None:
    options: dict[str, Any] = {"books": False} if case == "no_books" else {}
    if case == "suspect":
        lab.truth = lab.truth.with_premium("okx", "BTC", 500)
    if case == "disagree":
        lab.truth = scattered(lab.truth)
    if case == "one":
        options["venues"] = ["okx"]
    ax = (await ask(lab, manager_for, **options)).plot()
    ax.figure.savefig(io.BytesIO(), format="png", dpi=50)


async def test_without_matplotlib_the_error_names_the_extra(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    snap = await ask(lab, manager_for)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"xex\[plot\]"):
        plot.snapshot(snap)


def test_a_funnel_shows_what_is_left_after_each_gate() -> None:
    frame = pd.DataFrame({
        "gate": [None, *["fees"] * 90, *["identity"] * 6, *["haircut"] * 3],
        "executable": [True, *[False] * 99],
    })  # fmt: skip
    ax: Any = plot.funnel(frame, title="synthetic")
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "pairs compared", "past identity", "past fees", "past haircut",
    ]  # fmt: skip
    told = [text.get_text() for text in ax.texts]
    assert told == ["100", "94  (−6)", "4  (−90)", "1  (−3)"]
    ax.figure.savefig(io.BytesIO(), format="png", dpi=50)


def test_a_funnel_of_nothing_can_be_drawn_and_a_frame_without_gates_is_named() -> None:
    empty: Any = plot.funnel(schema.frame({}, "opportunities"))
    empty.figure.savefig(io.BytesIO(), format="png", dpi=50)
    with pytest.raises(SchemaError, match="gate"):
        plot.funnel(pd.DataFrame({"executable": [True]}))
