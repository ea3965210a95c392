"""The command line as a person or a script meets it: output, errors in one line, exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conftest import VENUES, configured
from tests.lab import Lab, default_truth, running_lab
from xex import cli
from xex.manager import ExchangeManager

TRUTH = default_truth()
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


@pytest.fixture
def lab(loaded: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:  # noqa: ARG001  imports are not its time
    """Give a lab in a thread, behind which the command finds its venues."""

    def from_env(*, deadline: float | None = None, cache: bool = True) -> ExchangeManager:  # noqa: ARG001
        manager = ExchangeManager(deadline=10 if deadline is None else deadline, cache=False)
        for venue in VENUES:
            manager.add_exchange(configured(started, venue))
        return manager

    with running_lab(TRUTH) as started:
        monkeypatch.setattr(ExchangeManager, "from_env", from_env)
        yield started


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
        ("snapshot", "--replay", "--venues", "binance, okx ,kraken", "BTCUSDT"),
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
    lab.fault("okx", "status")
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
    assert data["answered"] == ["kraken"]
    assert any("XBTUSDT" in seen.path_qs for seen in lab.seen)


def test_venues_are_a_choice(lab: Lab) -> None:
    data = strict(run("snapshot", "BTCUSDT", "--venues", "okx,kraken", "--json").expect(0).out)
    assert data["asked"] == ["okx", "kraken"]
    assert not [seen for seen in lab.seen if seen.venue == "binance"]


@pytest.mark.parametrize("columns", ["40", "80", "100", "200"])
def test_the_table_fits_a_terminal(columns: str, tmp_path: Path) -> None:
    done = child(tmp_path, "snapshot", "BTCUSDT", "--replay", COLUMNS=columns).expect(0)
    assert all(venue in done.out for venue in VENUES)


def test_a_terminal_without_unicode_is_no_error(tmp_path: Path) -> None:
    done = child(tmp_path, "snapshot", "BTCUSDT", "--replay", "--explain", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
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
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_version_and_help(tmp_path: Path) -> None:
    assert re.fullmatch(r"xex \d+\.\d+\.\d+\S*\n", run("--version").expect(0).out)
    assert "snapshot" in run("--help").expect(0).out
    text = run("snapshot", "--help").expect(0).out
    for option in ("--spot", "--perp", "--venues", "--json", "--csv", "--parquet", "--replay", "--timeout"):
        assert option in text
    bare = child(tmp_path)
    assert bare.code in {0, 2}
    assert "snapshot" in bare.out + bare.err


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
        (("snapshot", "BTCUSDT", "--replay", "--venues", "binance,nowhere"), "binance, kraken, okx"),
        (("snapshot", "BTCUSDT", "--replay", "--venues", ","), "venue"),
        (("snapshot", "BTCUSDT", "--replay", "--currency", "EUR"), "USDT"),
        (("snapshot", "BTCUSDT", "--replay", "absent.json"), "absent.json"),
        (("snapshot", "BTCUSDT", "--replay", __file__), "is no recording"),
        (("snapshot", "BTC-USDT", "--replay"), "BTC-USDT"),
        (("snapshot", "", "--replay"), "symbol"),
        (("snapshot", "BTC/USDT:USDT", "--spot", "--replay"), "BTC/USDT:USDT"),
        (("snapshot", "$$$", "--replay"), "$$$"),
        (("snapshot", "nowhere:BTCUSDT", "--replay"), "nowhere"),
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
