"""The command line as a person or a script meets it: output, errors in one line, exit codes."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conftest import VENUES, configured
from tests.lab import Lab, currency_markets, default_truth, extra_markets, running_lab
from xex import cli
from xex.access import budgets
from xex.manager import ExchangeManager

TRUTH = default_truth()
WIDE = TRUTH.adding(extra_markets()).adding(currency_markets())
CASSETTE = Path(__file__).parent.parent / "cassettes" / "snapshot-btcusdt-synthetic.json"
# Put before everything else in a child process: it may reach this machine only.
OFFLINE = """
import socket
def refuse(host, *args, **kwargs):
    raise socket.gaierror(socket.EAI_NONAME, "no network in tests")
socket.getaddrinfo = refuse
"""


class Result:
    """What came out of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def expect(self, code: int) -> Result:
        """Fail unless it left with this code, and in any case when a traceback shows."""
        assert "Traceback" not in self.out + self.err, self.err
        assert self.code == code, f"exit {self.code}\n{self.out}\n{self.err}"
        return self


def run(*words: str) -> Result:
    """Run the command in this process."""
    done = CliRunner().invoke(cli.app, cli._arguments(list(words)), prog_name="xex", catch_exceptions=False)
    return Result(done.exit_code, done.stdout, done.stderr)


def child(cwd: Path, *words: str, timeout: float = 30, **environment: str) -> Result:
    """Run the command in a process of its own that cannot reach the network."""
    (cwd / "offline").mkdir(exist_ok=True)
    (cwd / "offline" / "sitecustomize.py").write_text(OFFLINE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXCHANGE_")}
    given = {**kept, "PYTHONPATH": str(cwd / "offline"), "XDG_CACHE_HOME": str(cwd / "cache"), **environment}
    done = subprocess.run(
        [sys.executable, "-m", "xex", *words], cwd=cwd, env=given, capture_output=True, timeout=timeout, check=False
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def strict(text: str) -> Any:
    """Read JSON that is really JSON."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print as into a file, however wide the terminal is that the tests run in."""
    monkeypatch.delenv("COLUMNS", raising=False)


def behind(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command find its venues behind a lab."""

    def from_env(*, deadline: float | None = None, cache: bool = True) -> ExchangeManager:  # noqa: ARG001
        # Every command is a process of its own to a venue's budget.
        budgets.PROCESS._ledgers.clear()
        manager = ExchangeManager(deadline=10 if deadline is None else deadline, cache=False)
        for venue in VENUES:
            manager.add_exchange(configured(lab, venue))
        return manager

    monkeypatch.setattr(ExchangeManager, "from_env", from_env)


@pytest.fixture
def lab(loaded: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:  # noqa: ARG001  imports are not its time
    """Give a lab in a thread, behind which the command finds its venues."""
    with running_lab(TRUTH) as started:
        behind(started, monkeypatch)
        yield started


@pytest.fixture(scope="module")
def started(loaded: None) -> Iterator[Lab]:  # noqa: ARG001
    """Give one lab for all tests that change nothing for good, with coins by the thousand and more currencies."""
    with running_lab(WIDE) as lab:
        yield lab


@pytest.fixture
def wide(started: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Give that lab as it was at first."""
    behind(started, monkeypatch)
    started.seen.clear()
    yield started
    started.truth = WIDE
    started.heal()


def lines_of(text: str) -> list[str]:
    """Return lines with single spaces between words."""
    return [" ".join(line.split()) for line in text.splitlines()]


# --- answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("snapshot", "BTCUSDT", "--replay"),
        ("snapshot", "--replay", "BTCUSDT"),
        ("snapshot", "--replay", str(CASSETTE), "BTCUSDT"),
        ("snapshot", "BTCUSDT", "--replay", str(CASSETTE)),
        ("snapshot", "BTCUSDT", f"--replay={CASSETTE}"),
        ("snapshot", "btcusdt", "--replay", "--perp"),
        ("snapshot", "BTC/USDT:USDT", "--replay", "--explain"),
        ("snapshot", "--replay", "--venues", "binance, okx ,kraken,bybit,htx", "BTCUSDT"),
    ],
)
def test_a_snapshot_shows_every_venue_and_that_it_is_a_recording(words: tuple[str, ...]) -> None:
    done = run(*words).expect(0)
    for venue in VENUES:
        assert venue in done.out
    assert "SYNTHETIC" in done.out
    assert "linear perpetual" in done.out
    assert done.err == ""


def test_a_snapshot_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = child(tmp_path, "snapshot", "BTCUSDT", "--replay").expect(0)
    assert all(venue in done.out for venue in VENUES)
    assert done.err == ""
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_json_is_json_and_says_what_it_was_made_from() -> None:
    done = run("snapshot", "BTCUSDT", "--replay", "--json").expect(0)
    data = strict(done.out)
    assert set(data["exchanges_data"]) == set(VENUES)
    assert "synthetic" in data["recording"]["made_from"]
    assert data["aggregated_price"] > 0
    assert done.err == ""


def test_json_of_an_answer_with_holes_is_json(lab: Lab) -> None:
    """A venue without numbers, one that is not there: null, never NaN."""
    lab.fault("binance", "null")
    for venue in ("okx", "bybit", "htx"):
        lab.fault(venue, "status")
    data = strict(run("snapshot", "BTCUSDT", "--json").expect(0).out)
    assert data["exchanges_data"]["binance"]["price"] is None
    assert data["dropped"]["okx"]["reason"] == "http_error"
    assert data["price_variance"] is None
    assert data["recording"] is None


def test_csv_has_a_row_per_venue_and_nothing_else() -> None:
    done = run("snapshot", "BTCUSDT", "--replay", "--csv").expect(0)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert sorted(row["exchange"] for row in rows) == sorted(VENUES)
    assert all(float(row["bid"]) < float(row["ask"]) for row in rows)
    assert sum(float(row["weight"]) for row in rows) == pytest.approx(1)
    assert "SYNTHETIC" in done.err


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    path = tmp_path / "snap.parquet"
    done = run("snapshot", "BTCUSDT", "--replay", "--parquet", str(path)).expect(0)
    assert done.out == ""
    frame = pd.read_parquet(path)
    rows = list(csv.DictReader(io.StringIO(run("snapshot", "BTCUSDT", "--replay", "--csv").out)))
    assert list(frame["exchange"]) == [row["exchange"] for row in rows]
    assert list(frame.columns) == list(rows[0])
    assert list(frame["bid"]) == [float(row["bid"]) for row in rows]


def test_currency_converts() -> None:
    usdt = strict(run("snapshot", "BTCUSDT", "--replay", "--json").out)
    usd = strict(run("snapshot", "BTCUSDT", "--replay", "--json", "--currency", "usd").expect(0).out)
    assert usd["currency"] == "USD"
    assert usd["aggregated_price"] == pytest.approx(usdt["aggregated_price"] * float(TRUTH.usdt_usd), rel=3e-4)


def test_spot_is_another_market(lab: Lab) -> None:
    data = strict(run("snapshot", "BTCUSDT", "--spot", "--json").expect(0).out)
    assert "spot" in data["instrument"]
    assert data["instrument"] == "BTC/USDT (spot)"
    assert set(data["answered"]) == set(VENUES)
    assert any("XBTUSDT" in seen.path_qs for seen in lab.seen)


def test_the_bundled_recording_holds_spot_too() -> None:
    data = strict(run("snapshot", "BTC/USDT", "--replay", "--json").expect(0).out)
    mids = [float(TRUTH.market(venue, "BTC", "spot", "USDT").mid) for venue in VENUES]
    assert set(data["answered"]) == set(VENUES)
    assert min(mids) < data["aggregated_price"] < max(mids)


def test_venues_are_a_choice(lab: Lab) -> None:
    data = strict(run("snapshot", "BTCUSDT", "--venues", "okx,kraken", "--json").expect(0).out)
    assert data["asked"] == ["okx", "kraken"]
    assert not [seen for seen in lab.seen if seen.venue == "binance"]


@pytest.mark.parametrize("columns", ["40", "80", "100", "200"])
def test_the_table_fits_a_terminal(columns: str, tmp_path: Path) -> None:
    done = child(tmp_path, "snapshot", "BTCUSDT", "--replay", COLUMNS=columns).expect(0)
    assert all(venue in done.out for venue in VENUES)


@pytest.mark.parametrize("words", [("snapshot", "BTCUSDT", "--explain"), ("instruments", "BTC")])
def test_a_terminal_without_unicode_is_no_error(words: tuple[str, ...], tmp_path: Path) -> None:
    done = child(tmp_path, *words, "--replay", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    done.expect(0)
    assert all(venue in done.out for venue in VENUES)


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """Like `xex snapshot … | head -1`."""
    (tmp_path / "sitecustomize.py").write_text(OFFLINE)
    with subprocess.Popen(
        [sys.executable, "-m", "xex", "snapshot", "BTCUSDT", "--replay", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read().decode()
        process.wait(timeout=30)
    assert err == ""
    assert process.returncode == 0


@pytest.mark.parametrize("words", [("--json",), ()])
def test_a_full_disk_is_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(OFFLINE)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "xex", "snapshot", "BTCUSDT", "--replay", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "SYNTHETIC" not in line]
    assert lines == ["xex: the output cannot be written: No space left on device"]


def test_version_and_help(tmp_path: Path) -> None:
    assert re.fullmatch(r"xex \d+\.\d+\.\d+\S*\n", run("--version").expect(0).out)
    overview = run("--help").expect(0).out
    for command in ("snapshot", "books", "trades", "instruments", "lookup", "networks", "universe", "venues", "record"):
        assert re.search(rf"^ *{command}  ", overview, re.MULTILINE)
    text = run("snapshot", "--help").expect(0).out
    for option in ("--spot", "--perp", "--venues", "--json", "--csv", "--parquet", "--replay", "--timeout"):
        assert option in text
    bare = child(tmp_path)
    assert bare.code in {0, 2}
    assert "snapshot" in bare.out + bare.err


# --- books, trades and instruments -------------------------------------------------------------------------------

QUESTIONS = {
    "books": ("BTCUSDT",), "trades": ("BTCUSDT",), "instruments": ("BTC",), "snapshot": ("BTCUSDT",),
    "lookup": ("XBTUSDT",), "universe": ("--kind", "perp", "--currency", "USDT"),
    "whales": ("BTCUSDT", "--floor", "1000", "--venues", "binance,okx,htx,bybit,kraken"),
}  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_takes_a_bare_replay_anywhere(question: str) -> None:
    symbol = QUESTIONS[question]
    first = run(question, "--replay", *symbol).expect(0).out
    assert run(question, *symbol, "--replay").expect(0).out == first
    assert run(question, *symbol, "--replay", str(CASSETTE)).expect(0).out == first
    assert run(question, "--replay", str(CASSETTE), *symbol).expect(0).out == first
    assert all(venue in first for venue in VENUES)
    assert "SYNTHETIC" in first


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("question", [*QUESTIONS, "venues"])
def test_every_table_fits_and_cuts_nothing_off(question: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    replay = () if question == "venues" else (*QUESTIONS[question], "--replay")
    lines = run(question, *replay).expect(0).out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert not re.search(r"\bnan\b", "\n".join(lines), re.IGNORECASE)
    if width >= 80:
        assert not any(line.endswith("…") for line in lines)


@pytest.mark.parametrize("question", ["books", "trades", "instruments", "lookup", "universe", "whales"])
def test_json_csv_and_parquet_hold_the_same_rows(question: str, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    words = (question, *QUESTIONS[question], "--replay")
    data = strict(run(*words, "--json").expect(0).out)
    done = run(*words, "--csv").expect(0)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert "SYNTHETIC" in done.err
    assert run(*words, "--parquet", str(tmp_path / "x.parquet")).expect(0).out == ""
    frame = pd.read_parquet(tmp_path / "x.parquet")
    named = {name for row in rows for name in row.get("exchange", row.get("exchanges", "")).split(",")}
    assert set(data["asked"]) == set(data["answered"]) == named == set(VENUES)
    assert "synthetic" in data["recording"]["made_from"]
    assert len(rows) == len(frame) == len(data["rows"])
    assert list(rows[0]) == list(frame.columns) == list(data["rows"][0])
    number = {"books": "size", "trades": "notional", "universe": "quote_volume", "whales": "notional"}.get(
        question, "taker_bps"
    )
    for row, plain, value in zip(rows, data["rows"], frame[number], strict=True):
        assert float(row[number]) == plain[number] == value


def test_the_books_are_those_of_the_venues(lab: Lab) -> None:
    """Sums up to a distance from the price, which is the only venue's mid here, by hand."""
    market = lab.truth.market("okx", "ADA", "linear")
    data = strict(run("books", "ADAUSDT", "--venues", "okx", "--json").expect(0).out)
    for side, levels in (("bid", market.bids), ("ask", market.asks)):
        rows = [row for row in data["rows"] if row["side"] == side]
        assert [row["price"] for row in rows] == [float(price) for price, _ in levels]
        assert [row["size"] for row in rows] == pytest.approx([float(size) for _, size in levels], rel=1e-12)
        for away, worth in data["venues"][0][side].items():
            near = [price * size for price, size in levels if abs(price / market.mid - 1) * 10_000 <= int(away)]
            assert worth == pytest.approx(float(sum(near)), rel=1e-9)
    assert data["venues"][0]["bid"]["10"] < data["venues"][0]["bid"]["50"] < data["venues"][0]["bid"]["100"]
    assert data["venues"][0]["spread_bps"] == pytest.approx(float(market.tick / market.mid) * 1e4)
    assert data["venues"][0]["censored"] is False
    assert data["venues"][0]["bid_reach_bps"] is None


def test_the_ladder_is_the_best_of_all_venues() -> None:
    lines = run("books", "BTCUSDT", "--replay", "--levels", "3").expect(0).out.splitlines()
    top = next(place for place, line in enumerate(lines) if line.startswith("─")) + 1
    assert [line.split()[0] for line in lines[top : top + 3]] == ["okx", "okx", "okx"]
    for shown in ("96,526.8", "4.82", "96,502.6", "kraken"):
        assert shown in lines[top]
    assert lines[top + 3] == "the books cross by 2.51 bps before fees: okx bids 96,526.8, kraken asks 96,502.6"


def test_books_in_another_currency() -> None:
    usd = strict(run("books", "BTCUSDT", "--replay", "--json", "--currency", "USD").expect(0).out)
    assert {row["currency"] for row in usd["rows"]} == {"USD"}
    best = next(row["price"] for row in usd["rows"] if row["exchange"] == "okx" and row["side"] == "bid")
    assert best == pytest.approx(96526.8 * float(TRUTH.usdt_usd), rel=3e-4)


def test_a_venue_without_a_book_and_none_with_one(lab: Lab) -> None:
    lab.fault("okx", "status", path="/api/v5/market/books")
    done = run("books", "BTCUSDT", "--venues", "okx,bybit").expect(0)
    assert "no book (http_error)" in done.out
    alone = run("books", "BTCUSDT", "--venues", "okx").expect(1)
    assert "okx: http_error" in alone.err
    assert alone.out == ""


def test_the_tape_is_the_venues_trades_newest_last(lab: Lab) -> None:
    data = strict(run("trades", "BTCUSDT", "--json").expect(0).out)
    for venue in VENUES:
        rows = [row for row in data["rows"] if row["exchange"] == venue]
        known = reversed(lab.truth.market("krakenfutures" if venue == "kraken" else venue, "BTC", "linear").trades)
        assert [(row["price"], row["side"]) for row in rows] == [(float(one.price), one.side) for one in known]
    times = [row["exchange_time"] for row in data["rows"]]
    assert times == sorted(times)


def test_only_the_last_trades() -> None:
    every = list(csv.DictReader(io.StringIO(run("trades", "BTCUSDT", "--replay", "--csv").expect(0).out)))
    last = list(csv.DictReader(io.StringIO(run("trades", "BTCUSDT", "--replay", "--csv", "--last", "7").out)))
    assert len(every) == 60
    assert [(row["exchange"], row["trade_id"]) for row in last] == [
        (row["exchange"], row["trade_id"]) for row in every[-7:]
    ]
    shown = run("trades", "BTCUSDT", "--replay", "--last", "7").expect(0).out
    assert "BTCUSDT: the last 7 of 60 trades, 2026-11-22" in shown
    assert len([line for line in shown.splitlines() if line.startswith("11:59:")]) == 7
    assert "11:59:59.800  okx      sell   96,526.8" in shown
    assert "the last 20 of 60 trades" in run("trades", "BTCUSDT", "--replay").expect(0).out


@pytest.mark.parametrize(
    ("text", "venue", "ids"),
    [
        ("BTC", "okx", {"BTC-USDT", "BTC-USDT-SWAP", "BTC-USD-SWAP", "BTC-USDT-261225"}),
        ("btcusdt", "htx", {"btcusdt", "BTC-USDT"}),
        ("BTC/USDT", "kraken", {"XBTUSDT"}),
        ("BTC/USDT:USDT", "bybit", {"BTCUSDT"}),
        ("xbt", "kraken", {"XXBTZUSD", "XBTUSDT", "PF_XBTUSD", "PI_XBTUSD"}),
        ("PF_XBTUSD", "kraken", {"PF_XBTUSD"}),
        ("okx:BTC-USDT-SWAP", "okx", {"BTC-USDT-SWAP"}),
        ("kraken:", "kraken", set()),
    ],
)
def test_instruments_are_found_by_what_people_type(text: str, venue: str, ids: set[str]) -> None:
    rows = strict(run("instruments", text, "--replay", "--json").expect(0).out)["rows"]
    found = {row["id"] for row in rows if row["exchange"] == venue}
    assert found == ids if ids else len(found) == 24
    if ":" in text and not text.startswith("BTC"):
        assert {row["exchange"] for row in rows} == {venue}


def test_the_rules_of_an_instrument_are_the_venues() -> None:
    market = TRUTH.market("okx", "DOGE", "linear")
    (row,) = strict(run("instruments", "DOGE-USDT-SWAP", "--replay", "--perp", "--json").expect(0).out)["rows"]
    assert (row["tick"], row["lot"], row["contract_size"]) == (0.00001, 10, 1000)
    assert (row["tick"], row["lot"], row["contract_size"]) == tuple(
        map(float, (market.tick, market.lot, market.contract_size))
    )
    assert row["active"] is True
    shown = run("instruments", "DOGE-USDT-SWAP", "--replay").expect(0).out
    for text in (
        "0.00001",
        "1,000",
        "perp",
        "5.00",
        "as published: perpetual swaps and futures, regular tier (okx perp)",
    ):
        assert text in shown


def test_a_long_list_is_cut_in_the_table_alone() -> None:
    shown = run("instruments", "--replay").expect(0).out
    assert "86 instruments" in shown
    assert "and 46 more" in shown
    assert len(list(csv.DictReader(io.StringIO(run("instruments", "--replay", "--csv").out)))) == 86
    assert "more:" not in run("instruments", "--replay", "--spot", "--venues", "okx").expect(0).out


@pytest.mark.parametrize("question", ["books", "trades", "instruments", "universe"])
def test_a_venue_that_fails_is_named_whatever_the_output(question: str, lab: Lab) -> None:
    lab.fault("htx", "status")
    words = (question, *QUESTIONS[question])
    for shown in (run(*words).expect(0).out, run(*words, "--csv").expect(0).err):
        assert "htx is left out, http_error" in shown.replace("\n", " ")
    data = strict(run(*words, "--json").expect(0).out)
    assert data["dropped"]["htx"]["reason"] == "http_error"
    assert not [row for row in data["rows"] if "htx" in row.get("exchange", row.get("exchanges", "")).split(",")]


@pytest.mark.parametrize("question", ["books", "trades", "instruments", "lookup", "universe"])
def test_when_nobody_answers_each_question_says_so(question: str, lab: Lab) -> None:
    for venue in VENUES:
        lab.fault(venue, "status")
    done = run(question, *QUESTIONS[question], "--csv").expect(1)
    for venue in VENUES:
        assert f"  {venue}: " in done.err
    assert done.out == ""


def test_json_can_hold_the_explanation() -> None:
    told = strict(run("snapshot", "BTCUSDT", "--replay", "--json", "--explain").expect(0).out)["explanation"]
    assert "BTCUSDT was taken to mean BTC/USDT:USDT (linear perpetual)" in told
    assert "explanation" not in strict(run("snapshot", "BTCUSDT", "--replay", "--json").expect(0).out)
    assert "BTCUSDT was taken to mean" in run("snapshot", "BTCUSDT", "--replay", "--csv", "--explain").expect(0).err


# --- instruments of every kind ------------------------------------------------------------------------------------


def test_an_instrument_is_shown_with_its_units(wide: Lab, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Steps and minimums as the world has them, by hand: base units, of inverse contracts quote currency."""
    words = ("instruments", "BTC", "--venues", "okx,kraken,bybit")
    expected = {
        80: {
            "dated": [
                "okx BTC/USD:BTC-261225 0.1 100 USD 100 USD 5.00",
                "inverse future BTC-USD-261225 2026-12-25 100 USD 2.00",
                "okx BTC/USDT:USDT-261225 0.1 0.01 BTC 0.01 BTC 5.00",
                "future BTC-USDT-261225 2026-12-25 0.01 BTC 2.00",
                "bybit BTC/USD:BTC-261225 0.5 1 USD 5 USD 5.50",
                "future BTCUSDT-25DEC26 2026-12-25 1 BTC 5 USDT 2.00",
            ],
            "inverse": ["okx BTC/USD:BTC 0.1 10 USD 10 USD 5.00", "inverse perp BTC-USD-SWAP 100 USD 2.00"],
        },
        120: {
            "perp": ["bybit BTC/USDT:USDT BTCUSDT perp 0.1 0.001 BTC 0.001 BTC, 5 USDT 1 BTC 5.50/2.00"],
            "spot": ["kraken BTC/USD XXBTZUSD spot 0.1 0.00000001 BTC 0.00005 BTC, 0.5 USD 40.00/25.00"],
        },
    }
    for width, markets in expected.items():
        monkeypatch.setenv("COLUMNS", str(width))
        for market, rows in markets.items():
            shown = lines_of(run(*words, "--market", market).expect(0).out)
            assert [row for row in rows if row not in shown] == []
    told = "spot, regular tier (okx spot; bybit spot); first tier of the instrument list (kraken spot)"
    assert f"fees in bps of notional, as published: {told}" in " ".join(shown)


@pytest.mark.usefixtures("wide")
def test_coins_by_the_thousand_have_a_factor() -> None:
    shown = lines_of(run("instruments", "1000PEPE").expect(0).out)
    for row in (
        "5 of 129 instruments match '1000PEPE'",
        "binance PEPE/USDT:USDT 0.0000000001 1,000 PEPE 1,000 PEPE 5.00",
        "perp 1000PEPEUSDT ×1,000 1,000 PEPE 5 USDT 2.00",
        "okx PEPE/USDT:USDT 0.000000001 1,000,000 PEPE 1,000,000 PEPE 5.00",
        "perp PEPE-USDT-SWAP 10,000,000 PEPE 2.00",
    ):
        assert row in shown
    assert not any("×" in line for line in lines_of(run("instruments", "DOGE").expect(0).out))


def test_the_columns_of_every_kind_are_in_json(wide: Lab) -> None:
    data = strict(run("instruments", "--market", "inverse", "--venues", "okx", "--json").expect(0).out)
    rows = {row["id"]: row for row in data["rows"]}
    dated = wide.truth.market("okx", "BTC", "inverse", expiry="261225")
    assert set(rows) == {"BTC-USD-SWAP", "ETH-USD-SWAP", dated.id}
    row = rows[dated.id]
    assert (row["lot"], row["min_amount"]) == (None, None)
    assert (row["tick"], row["lot_quote"], row["min_notional"]) == (0.1, 100, 100)
    assert (row["contract_size"], row["multiplier"]) == (float(dated.contract_size), 1)
    assert (row["kind"], row["expiry"], row["alias"]) == ("inverse", "261225", None)
    assert row["expiry_time"].startswith("2026-12-25T08:00:00")
    assert rows["BTC-USD-SWAP"]["expiry"] is None


def test_what_is_not_traded_is_marked(wide: Lab) -> None:
    wide.truth = WIDE.updating(WIDE.market("okx", "DOGE", "linear"), active=False)
    shown = lines_of(run("instruments", "DOGE", "--perp").expect(0).out)
    assert "¹ not traded at present" in shown
    assert [line.split()[2] for line in shown if line.startswith("okx ¹")] == ["DOGE/USDT:USDT"]
    assert not any("¹" in line for line in shown if line.startswith("binance"))


@pytest.mark.usefixtures("wide")
def test_what_is_found_stands_together_by_instrument() -> None:
    rows = strict(run("instruments", "BTC", "--json").expect(0).out)["rows"]
    found = list(dict.fromkeys(row["instrument"] for row in rows))
    assert found[:6] == ["BTC/USDT:USDT", "BTC/USD:USD", "BTC/USDT", "BTC/USD", "BTC/USDC", "BTC/FDUSD"]
    assert found[-3:] == ["BTC/USDT:USDT-261225", "BTC/USD:USD-261225", "BTC/USD:BTC-261225"]
    assert [row["exchange"] for row in rows[:5]] == ["binance", "okx", "bybit", "htx", "kraken"]
    assert [name for name, _ in groupby(rows, key=itemgetter("instrument"))] == found


KRAKEN_XBT = {"PF_XBTUSD", "PI_XBTUSD", "FF_XBTUSD_261225", "FI_XBTUSD_261225"}


@pytest.mark.parametrize(
    ("text", "venue", "ids"),
    [
        ("XBT", "kraken", {*KRAKEN_XBT, "XXBTZUSD", "XXBTZEUR", "XBTUSDT", "XBTUSDC"}),
        ("XBT", "bybit", {"BTCUSDT", "BTCUSDC", "BTCUSD", "BTCUSDT-25DEC26", "BTCUSDZ26"}),
        ("XXBTZUSD", "kraken", {"XXBTZUSD"}),
        ("pf_xbtusd", "kraken", {"PF_XBTUSD"}),
        ("BTC_CQ", "htx", {"BTC261225"}),
        ("btcusdz26", "bybit", {"BTCUSDZ26"}),
        ("kPEPEUSDT", "htx", {"PEPE-USDT"}),
        ("1000PEPE", "kraken", {"PF_PEPEUSD"}),
        ("SHIB1000", "okx", {"SHIB-USDT-SWAP"}),
        ("XBTUSD", "binance", {"BTCUSD_PERP"}),
        ("XBTUSD", "kraken", {*KRAKEN_XBT, "XXBTZUSD", "XBTUSDT", "XBTUSDC"}),
        ("kraken:XXBTZUSD", "kraken", {"XXBTZUSD"}),
    ],
)
@pytest.mark.usefixtures("wide")
def test_instruments_are_found_in_every_spelling(text: str, venue: str, ids: set[str]) -> None:
    rows = strict(run("instruments", text, "--venues", venue, "--json").expect(0).out)["rows"]
    assert {row["id"] for row in rows} == ids


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize(
    "words",
    [
        ("instruments",), ("lookup", "PEPEUSDT"), ("universe",), ("universe", "--kind", "dated"),
        ("snapshot", "BTC/USD:BTC-261225"), ("snapshot", "BTC/EUR", "--currency", "USDC"),
        ("books", "BTC/USD:BTC"), ("trades", "BTC/USD:BTC-261225"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("wide")
def test_tables_of_every_kind_fit(words: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(cli, "INSTRUMENTS_SHOWN", 200)
    lines = run(*words).expect(0).out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert not any(line.endswith("…") for line in lines)
    assert not re.search(r"\bnan\b", "\n".join(lines), re.IGNORECASE)


# --- lookup ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("wide")
def test_a_lookup_says_what_a_symbol_means_on_every_venue() -> None:
    data = strict(run("lookup", "XBTUSD", "--json").expect(0).out)
    assert (data["text"], data["instrument"]) == ("XBTUSD", "BTC/USD:USD")
    assert {row["exchange"]: (row["instrument"], row["id"]) for row in data["rows"]} == {
        "binance": ("BTC/USDT:USDT", "BTCUSDT"), "okx": ("BTC/USDT:USDT", "BTC-USDT-SWAP"),
        "kraken": ("BTC/USD:USD", "PF_XBTUSD"), "bybit": ("BTC/USDT:USDT", "BTCUSDT"),
        "htx": ("BTC/USDT:USDT", "BTC-USDT"),
    }  # fmt: skip
    shown = lines_of(run("lookup", "XBTUSD").expect(0).out)
    assert shown[0] == "XBTUSD means BTC/USD:USD (linear perpetual)"
    assert "kraken BTC/USD:USD PF_XBTUSD perp 1 0.0001 BTC 0.0001 BTC 1 BTC 5.00/2.00" in shown
    assert "BTC/USDT:USDT stands for it on binance, okx, bybit, htx, where BTC/USD:USD is not listed" in shown


@pytest.mark.usefixtures("wide")
def test_a_lookup_names_who_does_not_list_it() -> None:
    done = run("lookup", "SHIB1000USDT", "--json").expect(0)
    data = strict(done.out)
    assert set(data["answered"]) == {"binance", "okx", "bybit"}
    assert {name: drop["reason"] for name, drop in data["dropped"].items()} == dict.fromkeys(
        ("kraken", "htx"), "not_listed"
    )
    shown = lines_of(run("lookup", "SHIB1000USDT").expect(0).out)
    assert "kraken not_listed: SHIB/USDT:USDT is not listed" in shown
    assert [line.split()[0] for line in shown if line.split()[0] in VENUES] == list(data["asked"])
    assert "kraken is left out, not_listed" in run("lookup", "SHIB1000USDT", "--csv").expect(0).err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("BTC_CQ",), "BTC_CQ means BTC/USD:BTC-261225 (inverse future, expires 2026-12-25)"),
        (("BTC/USD:BTC",), "BTC/USD:BTC (inverse perpetual)"),
        (("BTCUSD", "--market", "inverse"), "BTCUSD means BTC/USD:BTC (inverse perpetual)"),
        (("XBTUSDT", "--spot"), "XBTUSDT means BTC/USDT (spot)"),
    ],
)
@pytest.mark.usefixtures("wide")
def test_a_lookup_begins_with_what_is_meant(words: tuple[str, ...], meant: str) -> None:
    assert run("lookup", *words).expect(0).out.splitlines()[0] == meant


# --- networks ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("wide")
def test_networks_say_who_is_open_and_who_does_not_tell() -> None:
    words = ("networks", "usdt", "BTC", "--venues", "htx,kraken")
    data = strict(run(*words, "--json").expect(0).out)
    assert (data["assets"], data["asked"], data["answered"]) == (["USDT", "BTC"], ["kraken", "htx"], ["kraken", "htx"])
    rows = {(row["exchange"], row["asset"], row["network"]): row for row in data["rows"]}
    assert set(rows) == {
        ("kraken", "USDT", None), ("kraken", "BTC", None), ("htx", "USDT", "ethereum"), ("htx", "USDT", "tron"),
        ("htx", "BTC", "bitcoin"),
    }  # fmt: skip
    tron = rows["htx", "USDT", "tron"]
    assert (tron["deposit"], tron["withdraw"], tron["withdraw_fee"], tron["source"]) == ("open", "open", 0.1, "public")
    silent = rows["kraken", "BTC", None]
    assert (silent["deposit"], silent["withdraw"], silent["withdraw_fee"]) == ("unknown", "unknown", None)
    shown = run(*words).expect(0).out
    assert re.search(r"^ *USDT htx +tron +open +open +0\.1 *$", shown, re.MULTILINE)
    assert re.search(r"^ *BTC kraken +unknown +unknown +– *$", shown, re.MULTILINE)
    parsed = list(csv.DictReader(io.StringIO(run(*words, "--csv").expect(0).out)))
    assert len(parsed) == 5
    assert "no currency" in run("networks", "BTC/USDT").expect(2).err


# --- the universe ------------------------------------------------------------------------------------------------


def test_the_universe_is_what_enough_venues_trade(wide: Lab) -> None:
    data = strict(run("universe", "--currency", "usdt", "--json").expect(0).out)
    assert (data["kind"], data["min_venues"], data["currency"]) == ("linear", 2, "USDT")
    assert data["fx"]["USDT"] == "identity"
    rows = {row["group"]: row for row in data["rows"]}
    shib = rows["SHIB:linear"]
    assert shib["exchanges"].split(",") == ["binance", "okx", "bybit"]
    known = [wide.truth.market(venue, "SHIB", "linear") for venue in ("binance", "okx", "bybit")]
    assert shib["base_volume"] == pytest.approx(float(sum(market.base_volume for market in known)), rel=1e-9)
    volumes = [row["quote_volume"] for row in data["rows"]]
    assert volumes == sorted(volumes, reverse=True)
    every = strict(run("universe", "--min-venues", "4", "--min-volume", "1e9", "--json").expect(0).out)["rows"]
    assert {row["group"] for row in every} == {
        f"{base}:linear" for base in ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "LTC")
    }


@pytest.mark.usefixtures("wide")
def test_the_universe_as_a_table() -> None:
    shown = lines_of(run("universe", "--top", "2", "--min-volume", "2e9").expect(0).out)
    assert shown[0] == "the first 2 of 5 linear markets traded on 2 or more venues for 2.0 B USD a day or more"
    assert [line.split()[:3] for line in shown if line.startswith(("BTC", "ETH", "SOL"))] == [
        ["BTC", "perp", "5"], ["ETH", "perp", "5"],
    ]  # fmt: skip
    assert any(line.startswith("USDT → USD: direct + ratio:spot") for line in shown)
    dated = lines_of(run("universe", "--kind", "dated").expect(0).out)
    assert [line.split()[:4] for line in dated if line.startswith("BTC")] == [
        ["BTC", "future", "2026-12-25", "5"], ["BTC", "inverse", "future", "2026-12-25"],
    ]  # fmt: skip
    none = run("universe", "--min-venues", "6").expect(0).out.splitlines()
    assert none[0] == "no linear market is traded on 6 or more venues"


def test_who_does_not_count_is_named(wide: Lab) -> None:
    wide.truth = WIDE.with_collision("LTC", "okx", "3.5")
    done = run("universe", "--kind", "perp")
    assert "not counted, okx: suspect: LTC" in lines_of(done.expect(0).out)
    (row,) = [row for row in strict(run("universe", "--kind", "perp", "--json").out)["rows"] if row["base"] == "LTC"]
    assert row["excluded"] == "okx: suspect"
    assert "okx" not in row["exchanges"]


# --- currencies --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("wide")
def test_a_peg_is_asked_for_and_said() -> None:
    words = ("snapshot", "BTC/USDT", "--currency", "USD", "--venues", "binance,okx")
    measured, pegged, plain = (
        strict(run(*given, "--json").expect(0).out)
        for given in (words, (*words, "--peg", "usdt,usdc"), ("snapshot", "BTC/USDT", "--venues", "binance,okx"))
    )
    assert {row["fx_rate"] for row in pegged["exchanges_data"].values()} == {1.0}
    assert pegged["aggregated_price"] == pytest.approx(plain["aggregated_price"], rel=1e-6)
    assert measured["aggregated_price"] == pytest.approx(pegged["aggregated_price"] * float(WIDE.usdt_usd), rel=1e-4)
    shown = run(*words, "--peg", "all").expect(0).out
    assert "¹ binance, okx quote USDT, taken at par with USD (peg): no rate was measured" in shown
    assert "peg" not in run(*words).expect(0).out


def test_a_rate_over_another_currency_names_both_hops(wide: Lab) -> None:
    wide.fault("kraken", "status")  # who alone trades euros for dollars
    shown = run("snapshot", "BTC/EUR", "--currency", "USD", "--peg", "USDT").expect(0).out
    assert "binance quotes EUR; 1 EUR = " in shown
    assert "USD (EUR → USDT direct + ratio:spot; USDT → USD at par (peg))" in " ".join(lines_of(shown))


@pytest.mark.usefixtures("wide")
def test_native_converts_nothing_and_says_so() -> None:
    shown = run("snapshot", "BTCUSDT", "--currency", "native").expect(0).out
    assert "prices in USDT; nothing is converted" in shown
    assert "¹ kraken quotes USD: its numbers are in USD" in shown
    assert "other_currency" in shown
    # What kraken traded is as many coins, whatever they cost.
    assert "USDT (in USDT without kraken)" in shown
    data = strict(run("snapshot", "BTCUSDT", "--currency", "native", "--json").expect(0).out)
    assert data["currency"] == "USDT"
    assert data["dropped"]["kraken"]["reason"] == "other_currency"
    assert {row["currency"] for name, row in data["exchanges_data"].items() if name != "kraken"} == {"USDT"}
    books = strict(run("books", "BTCUSDT", "--currency", "native", "--json").expect(0).out)["rows"]
    assert {row["exchange"] for row in books} == set(VENUES) - {"kraken"}


@pytest.mark.usefixtures("wide")
def test_a_snapshot_says_what_kind_of_contract_it_is_of() -> None:
    shown = run("snapshot", "BTCUSD", "--market", "inverse").expect(0).out
    assert shown.startswith("BTC/USD:BTC (inverse perpetual), asked as BTCUSD; prices in USD\n")
    assert "inverse: contracts of a fixed amount of USD, settled in BTC; volumes are brought to BTC" in shown
    dated = run("snapshot", "BTC/USDT:USDT-261225").expect(0).out
    assert dated.startswith("BTC/USDT:USDT-261225 (linear future, expires 2026-12-25); prices in USDT\n")
    assert "inverse" not in dated


# --- venues ------------------------------------------------------------------------------------------------------


def test_venues_are_the_installed_ones_and_nobody_is_asked(tmp_path: Path) -> None:
    done = child(tmp_path, "venues", "--json").expect(0)
    data = strict(done.out)
    pairs = [(row["venue"], row["market"]) for row in data["rows"]]
    markets = ("perp", "spot", "inverse perp", "future", "inverse future")
    figures = [("coinglass", "perp"), ("coinglass", "inverse perp")]
    assert sorted(pairs) == sorted([*((venue, market) for venue in VENUES for market in markets), *figures])
    for row in data["rows"]:
        exchange = row["venue"] in VENUES
        assert {row[name] for name in ("ticker", "order_book", "trades", "open_interest")} == {exchange}, row["venue"]
        # Binance and Bybit publish none that can be asked for.
        assert row["liquidations"] is (row["venue"] in {"okx", "htx", "kraken", "coinglass"})
        assert row["funding_rates"]
    assert {row["package"].split()[0] for row in data["rows"]} == {"xex"}
    assert not list((tmp_path / "cache").rglob("*"))


def test_venues_say_whether_a_key_is_set_and_never_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OKX_API_KEY", "very-secret")
    monkeypatch.setenv("EXCHANGE_PRIORITY_HTX", "7")
    path = tmp_path / "venues.parquet"
    written = [run("venues", *words).expect(0).out for words in ((), ("--json",), ("--csv",))]
    run("venues", "--parquet", str(path)).expect(0)
    assert not any("very-secret" in text for text in written)
    assert b"very-secret" not in path.read_bytes()
    rows = strict(written[1])["rows"]
    assert {row["venue"] for row in rows if row["key"]} == {"okx"}
    assert {row["priority"] for row in rows if row["venue"] == "htx"} == {7}
    assert f"okx {'yes ' * 14}1" in lines_of(written[0])
    assert f"htx {'yes ' * 13}– 7" in lines_of(written[0])
    assert len(list(csv.DictReader(io.StringIO(written[2])))) == len(rows)


def test_a_connector_that_cannot_be_loaded_is_named_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from xex.access import registry

    points = {**registry.installed(), "acme": EntryPoint("acme", "acme_connector:Acme", registry.GROUP)}
    monkeypatch.setattr(registry, "installed", lambda: points)
    done = run("venues").expect(0)
    assert "the connector 'acme' (acme_connector:Acme) cannot be imported" in done.out.replace("\n", " ")
    assert all(venue in done.out for venue in VENUES)


def test_venues_say_their_markets_side_by_side_and_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connector of somebody else's: fewer markets, another package, one more column."""
    ours, _ = cli._installed()
    theirs = {**ours[0], "venue": "acme", "market": "spot", "order_book": False, "package": "acme-xex 2.1"}
    monkeypatch.setattr(cli, "_installed", lambda: ([*ours, theirs], {}))
    for width, line in (
        ("145", "acme yes – – – – yes – yes yes yes yes – yes – 1 acme-xex 2.1"),
        ("80", "acme spot – 1"),
    ):
        monkeypatch.setenv("COLUMNS", width)
        shown = lines_of(run("venues").expect(0).out)
        assert line in shown
        assert len([one for one in shown if one.startswith("okx")]) == 1
    assert shown[-3:] == ["ticker, trades, funding rates, open interest", "long short, whale activity", "acme-xex 2.1"]
    assert "spot, perp, inverse perp, future, inverse future" in " ".join(shown)


# --- recording ---------------------------------------------------------------------------------------------------


def test_what_is_recorded_can_be_replayed(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "my run.json"
    done = run("record", "ADAUSDT", "BTC/USDT", "ADAUSDT", "--out", str(path)).expect(0)
    count = len(json.loads(path.read_text())["interactions"])
    assert f"{path}: {count} requests, " in done.out
    assert f"  xex snapshot ADAUSDT --replay '{path}'" in done.out.splitlines()
    assert len(lab.seen) == count
    lab.seen.clear()
    for symbol in ("ADAUSDT", "BTC/USDT"):
        for question in ("snapshot", "books", "trades"):
            data = strict(run(question, symbol, "--json", "--replay", str(path)).expect(0).out)
            assert set(data["answered"]) == set(VENUES)
    assert not lab.seen


@pytest.mark.usefixtures("wide")
def test_an_inverse_contract_is_recorded_and_replayed(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    words = ("BTCUSD", "--market", "inverse")
    done = run("record", *words, "--venues", "okx,kraken", "--out", str(path)).expect(0)
    assert f"  xex snapshot BTCUSD --market inverse --replay {path}" in done.out.splitlines()
    for question in ("snapshot", "trades", "lookup"):
        data = strict(run(question, *words, "--venues", "okx,kraken", "--json", "--replay", str(path)).expect(0).out)
        assert set(data["answered"]) == {"okx", "kraken"}


def test_a_recording_is_not_overwritten_unless_asked(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("mine")
    assert "--force" in run("record", "BTCUSDT", "--out", str(path)).expect(2).err
    assert path.read_text() == "mine"
    assert not lab.seen
    lab.fault("htx", "status")
    done = run("record", "BTCUSDT", "--spot", "--force", "--out", str(path)).expect(0)
    assert "BTCUSDT: htx is left out, http_error: HTTP 500" in done.out
    assert f"  xex snapshot BTCUSDT --spot --replay {path}" in done.out
    assert strict(run("snapshot", "BTCUSDT", "--spot", "--json", "--replay", str(path)).out)["recording"]


def test_where_nobody_answers_no_recording_is_left(lab: Lab, tmp_path: Path) -> None:
    for venue in VENUES:
        lab.fault(venue, "status")
    done = run("record", "BTCUSDT", "--out", str(tmp_path / "run.json")).expect(1)
    assert "okx: http_error" in done.err
    assert "run.json was not written" in done.err
    run("record", "NOSUCHUSDT", "--out", str(tmp_path / "run.json"), "--venues", "nowhere").expect(2)
    assert not list(tmp_path.iterdir())


def test_a_recording_that_cannot_be_written_is_named(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    done = run("record", "BTCUSDT", "--venues", "okx", "--out", str(tmp_path / "run.json")).expect(2)
    assert "run.json cannot be written: No space left on device" in done.err
    assert lab.seen
    assert not list(tmp_path.iterdir())


# --- bad usage: exit 2, one line that helps ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("snapshot", "BTCUSDT", "--spot", "--perp"), "--spot and --perp"),
        (("snapshot", "BTCUSDT", "--json", "--csv"), "--json, --csv and --parquet"),
        (("snapshot", "BTCUSDT", "--csv", "--parquet", "x"), "--json, --csv and --parquet"),
        (("snapshot", "BTCUSDT", "--replay", "--timeout", "0"), "0"),
        (("snapshot", "BTCUSDT", "--replay", "--timeout", "-1"), "-1"),
        (("snapshot", "BTCUSDT", "--replay", "--timeout", "nan"), "nan"),
        (("snapshot", "BTCUSDT", "--replay", "--timeout", "inf"), "inf"),
        (("snapshot", "BTCUSDT", "--replay", "--timeout", "soon"), "--timeout"),
        (("snapshot", "BTCUSDT", "--replay", "--venues", "binance,nowhere"), "binance, bybit, htx, kraken, okx"),
        (("snapshot", "BTCUSDT", "--replay", "--venues", ","), "venue"),
        (("snapshot", "BTCUSDT", "--replay", "--currency", "GBP"), "USDT"),
        (("snapshot", "BTCUSDT", "--replay", "absent.json"), "absent.json"),
        (("snapshot", "BTCUSDT", "--replay", __file__), "is no recording"),
        (("snapshot", "BTC-USDT", "--replay"), "BTC-USDT"),
        (("snapshot", "", "--replay"), "symbol"),
        (("snapshot", "BTC/USDT:USDT", "--spot", "--replay"), "BTC/USDT:USDT"),
        (("snapshot", "$$$", "--replay"), "$$$"),
        (("snapshot", "nowhere:BTCUSDT", "--replay"), "nowhere"),
        (("books", "BTCUSDT", "--replay", "--levels", "0"), "--levels"),
        (("books", "BTCUSDT", "--json", "--parquet", "x"), "--json, --csv and --parquet"),
        (("trades", "BTCUSDT", "--replay", "--last", "-3"), "--last"),
        (("trades", "BTCUSDT", "--spot", "--perp"), "--spot and --perp"),
        (("trades", "BTC-USDT", "--replay"), "BTC-USDT"),
        (("instruments", "--replay", "absent.json"), "absent.json"),
        (("instruments", "BTX", "--replay"), "near: BTC"),
        (("instruments", "ETH/USTD", "--replay"), "ETH/USDT"),
        (("instruments", "???", "--replay"), "???"),
        (("instruments", "--replay", "--venues", "nowhere"), "nowhere"),
        (("instruments", "BTC", "--market", "moon", "--replay"), "spot, perp"),
        (("instruments", "BTC", "--market", "dated", "--perp"), "--market"),
        (("snapshot", "BTCUSDT", "--market", "dated", "--replay"), "inverse"),
        (("snapshot", "BTCUSDT", "--peg", "EUR", "--replay"), "USDT, USDC, FDUSD"),
        (("snapshot", "BTCUSDT", "--peg", "", "--replay"), "USDT, USDC, FDUSD"),
        (("lookup", "BTC-USDT", "--replay"), "okx:BTC-USDT"),
        (("lookup", "PEPE", "--replay"), "PEPEUSDT"),
        (("lookup", "nowhere:BTCUSDT", "--replay"), "nowhere"),
        (("lookup", "BTC/USDT:USDT", "--market", "inverse", "--replay"), "linear"),
        (("lookup",), "TEXT"),
        (("universe", "--kind", "moon", "--replay"), "spot, perp"),
        (("universe", "--currency", "GBP", "--replay"), "USDT"),
        (("universe", "--currency", "native", "--replay"), "USDT"),
        (("universe", "--min-venues", "0", "--replay"), "--min-venues"),
        (("universe", "--min-volume", "-1", "--replay"), "--min-volume"),
        (("universe", "--min-volume", "nan", "--replay"), "--min-volume"),
        (("universe", "--top", "0", "--replay"), "--top"),
        (("universe", "--csv", "--parquet", "x"), "--json, --csv and --parquet"),
        (("venues", "--json", "--csv"), "--json, --csv and --parquet"),
        (("record", "BTCUSDT"), "--out"),
        (("record", "--out", "x.json"), "SYMBOL"),
        (("record", "BTCUSDT", "--out", __file__), "--force"),
        (("snapshot",), "SYMBOL"),
        (("snapshot", "BTCUSDT", "--nonsense"), "--nonsense"),
        (("nonsense",), "nonsense"),
    ],
)
def test_bad_usage_leaves_with_2_and_says_what(words: tuple[str, ...], expected: str) -> None:
    done = run(*words).expect(2)
    assert expected.lower() in done.err.lower()
    assert done.out == ""


@pytest.mark.usefixtures("lab")
def test_an_unknown_symbol_names_its_neighbours() -> None:
    assert "BTC/USDT:USDT" in run("snapshot", "BTXUSDT").expect(2).err
    assert "BTC/USDT" in run("snapshot", "BTC/USTD").expect(2).err
    assert "binance:BTCUSDT" in run("snapshot", "binance:BTCUSD").expect(2).err
    assert "quote currency" in run("snapshot", "BTCUSDD").expect(2).err
    assert "nearest: BTC/USDT:USDT" in run("lookup", "BTXUSDT").expect(2).err


def test_a_symbol_with_two_readings_names_both() -> None:
    done = run("snapshot", "BTC-USDT", "--replay").expect(2)
    assert "BTC/USDT" in done.err
    assert "BTC/USDT:USDT" in done.err
    assert "okx:BTC-USDT" in done.err


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pyarrow" else found(name, *a))
    done = run("snapshot", "BTCUSDT", "--replay", "--parquet", str(tmp_path / "x.parquet")).expect(2)
    assert "xex[parquet]" in done.err
    assert not (tmp_path / "x.parquet").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no" / "folder" / "x.parquet"
    done = run("snapshot", "BTCUSDT", "--replay", "--parquet", str(path)).expect(2)
    assert str(path) in done.err
    run("snapshot", "BTCUSDT", "--replay", "--parquet", str(tmp_path)).expect(2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("EXCHANGE_TIMEOUT", "soon"), ("EXCHANGE_RATE_LIMIT", "-3"), ("EXCHANGE_PRIORITY_OKX", "1.5")],
)
def test_a_bad_environment_is_bad_usage(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert name in run("snapshot", "BTCUSDT", "--replay").expect(2).err


# --- nobody answered: exit 1, a line per venue -----------------------------------------------------------------------


def test_without_a_network_it_says_so_in_time_and_what_to_try(tmp_path: Path) -> None:
    started = time.perf_counter()
    done = child(tmp_path, "snapshot", "BTCUSDT", "--timeout", "3").expect(1)
    seconds = time.perf_counter() - started
    lines = done.err.splitlines()
    for venue in VENUES:
        assert [line for line in lines if line.strip().startswith(f"{venue}: unreachable")]
    assert "--replay" in lines[-1]
    assert done.out == ""
    assert seconds < 3 + 4  # the process itself starts and imports


@pytest.mark.parametrize("kind", ["hang", "status", "html", "reset", "rate_limited", "venue_error"])
def test_when_every_venue_fails_each_has_a_line(kind: str, lab: Lab) -> None:
    for venue in VENUES:
        lab.fault(venue, kind)
    done = run("snapshot", "BTCUSDT", "--timeout", "0.3", "--json").expect(1)
    for venue in VENUES:
        assert [line for line in done.err.splitlines() if line.strip().startswith(f"{venue}: ")]
    assert done.out == ""


def test_one_venue_that_fails_is_no_failure(lab: Lab) -> None:
    lab.fault("okx", "hang")
    done = run("snapshot", "BTCUSDT", "--timeout", "0.3").expect(0)
    assert "okx" in done.out
    assert "late" in done.out


def test_a_recording_that_lacks_the_question_says_so(tmp_path: Path) -> None:
    data = json.loads(CASSETTE.read_text())
    data["interactions"] = [entry for entry in data["interactions"] if "exchangeInfo" in entry["request"]["uri"]]
    path = tmp_path / "part.json"
    path.write_text(json.dumps(data))
    done = run("snapshot", "BTCUSDT", "--replay", str(path)).expect(1)
    for venue in VENUES:
        assert f"{venue}: not_recorded" in done.err
    assert "try the bundled" not in done.err
