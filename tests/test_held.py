"""`xex funding` and `xex oi` as a person or a script meets them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import VENUES
from tests.lab import Lab, running_lab
from tests.test_cli import behind, lines_of, run, strict
from tests.test_derivatives import carried, crossed
from xex.held import signed

TRUTH = crossed()


@pytest.fixture(scope="module")
def started(loaded: None) -> Iterator[Lab]:  # noqa: ARG001  imports are not its time
    """Give one lab for all tests that change nothing for good."""
    with running_lab(TRUTH) as lab:
        yield lab


@pytest.fixture
def lab(started: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Give that lab as it was at first."""
    monkeypatch.delenv("COLUMNS", raising=False)
    behind(started, monkeypatch)
    yield started
    started.truth = TRUTH
    started.heal()


def test_the_funding_of_one_instrument(lab: Lab) -> None:
    lab.truth = carried(4, "-0.000015")
    shown = lines_of(run("funding", "BTCUSDT").expect(0).out)
    assert shown[0] == "funding of BTCUSDT"
    wanted = {"binance": ("4 h", "-0.0060%", "predicted"), "kraken": ("1 h", "-0.0015%", "settled")}
    for venue, (hours, rate, kind) in wanted.items():
        (line,) = (line for line in shown if f" {venue} " in line)
        assert f"{venue} {rate} {hours} -13.1% " in line  # -0.000015 · 8760
        assert kind in line


@pytest.mark.parametrize("words", [("funding", "BTCUSDT"), ("funding",), ("oi", "BTCUSDT", "BTC/USD:BTC"), ("oi",)])
@pytest.mark.usefixtures("lab")
def test_json_csv_and_parquet_hold_the_same_rows(words: tuple[str, ...], tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    data = strict(run(*words, "--json").expect(0).out)
    rows = list(csv.DictReader(io.StringIO(run(*words, "--csv").expect(0).out)))
    assert run(*words, "--parquet", str(tmp_path / "x.parquet")).expect(0).out == ""
    frame = pd.read_parquet(tmp_path / "x.parquet")
    assert data["asked"] == list(VENUES)
    assert data["symbols"] == list(words[1:])
    assert len(rows) == len(frame) == len(data["rows"]) > 4
    assert list(rows[0]) == list(frame.columns) == list(data["rows"][0])
    number = "rate" if words[0] == "funding" else "oi_quote"
    key = ("exchange", "instrument")
    plain = {tuple(row[name] for name in key): row[number] for row in data["rows"]}
    assert {tuple(row[name] for name in key): float(row[number]) for row in rows} == pytest.approx(plain)


@pytest.mark.usefixtures("lab")
def test_of_whole_markets_the_largest_come_first() -> None:
    rows = strict(run("funding", "--json").expect(0).out)["rows"]
    sizes = [abs(row["apr"]) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert rows[0]["exchange"] == "binance"
    shown = run("funding", "--top", "3").expect(0).out
    assert f"and {len(rows) - 3} more" in shown
    worth = [row["oi_quote"] for row in strict(run("oi", "--market", "inverse", "--json").expect(0).out)["rows"]]
    assert worth == sorted(worth, reverse=True)


def test_open_interest_has_a_total_of_each_sort(lab: Lab) -> None:
    shown = run("oi", "BTC/USD:BTC").expect(0).out
    coins = sum(
        Fraction(lab.truth.market(venue, "BTC", "inverse").open_interest or 0)
        for venue in ("okx", "htx", "bybit", "krakenfutures")
    )
    market = lab.truth.market("binance", "BTC", "inverse")
    assert market.mark is not None
    coins += Fraction(market.open_interest or 0) * Fraction(market.mark) / Fraction(market.last)  # turned at the last
    assert f"BTC:inverse: {float(coins):,.0f} BTC on 5 venues" in shown
    assert "binance is left out" in run("oi").expect(0).out


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("words", [("funding", "BTCUSDT"), ("funding",), ("oi", "BTCUSDT"), ("oi",)])
@pytest.mark.usefixtures("lab")
def test_every_table_fits(words: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = run(*words).expect(0).out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "nan" not in " ".join(lines).lower().split()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("funding", "BTC/USDT"), "only perpetuals have funding; write BTC/USDT:USDT"),
        (("funding", "NOPEUSDT"), "no venue lists NOPE/USDT:USDT"),
        (("funding", "--market", "spot"), "spot markets have none"),
        (("oi", "BTC/USDT"), "only contracts are open"),
        (("funding", "--venues", "mars"), "mars"),
        (("funding", "--json", "--csv"), "choose one of"),
        (("oi", "--top", "0"), "--top"),
    ],
)
@pytest.mark.usefixtures("lab")
def test_errors_are_one_line_and_a_code(words: tuple[str, ...], said: str) -> None:
    done = run(*words).expect(2)
    assert said in done.err
    assert done.out == ""


def test_who_failed_is_said_and_nobody_is_a_code(lab: Lab) -> None:
    lab.fault("okx", "status", "/api/v5/public/funding-rate", code=404)
    assert "okx is left out" in run("funding", "BTCUSDT").expect(0).out
    lab.fault("binance", "status", "/fapi/v1/fundingInfo", code=404)
    assert "the venue has not told it" in run("funding", "BTCUSDT").expect(0).out
    assert "okx" in run("funding", "BTCUSDT", "--venues", "okx").expect(1).err


def test_a_share_with_its_sign() -> None:
    assert [signed(one, 2) for one in (0.01, -0.01, 0.0, -1e-9, math.inf)] == [
        "+1.00%",
        "-1.00%",
        "0.00%",
        "0.00%",
        "–",
    ]
