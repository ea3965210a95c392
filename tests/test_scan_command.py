"""`xex scan` as a person or a script meets it: tables, files, errors, and a watch until Ctrl-C."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.lab import Lab, default_truth, running_lab
from tests.test_cli import behind, run, strict
from tests.test_health_command import watched
from xex.model.schema import SCHEMAS

PLANTED = default_truth().with_cross("BTC", buy="okx", sell="binance", bps=60)


@pytest.fixture
def lab(loaded: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:  # noqa: ARG001  imports are not its time
    with running_lab(PLANTED) as started:
        behind(started, monkeypatch)
        yield started


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("width", [80, 100, 140, 200])
@pytest.mark.parametrize(
    "words", [("scan",), ("scan", "--all"), ("scan", "BTCUSDT", "BTC/USDT"), ("scan", "--top", "1")]
)
def test_tables_fit(words: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = run(*words).expect(0).out
    assert max(map(len, out.splitlines())) <= width
    assert "okx" in out
    assert "4 pass" in out


@pytest.mark.usefixtures("lab")
def test_what_passes_stands_alone_unless_all_is_asked_for() -> None:
    few, everything = (strict(run("scan", *more, "--json").expect(0).out) for more in ((), ("--all",)))
    assert few["gates"] == everything["gates"]
    assert [row["executable"] for row in few["rows"]] == [True] * 4
    assert len(everything["rows"]) == 4 + sum(few["gates"].values())
    assert {row["gate"] for row in everything["rows"]} == {None, *few["gates"]}
    assert list(few["rows"][0]) == list(SCHEMAS["opportunities"])
    assert few["dropped"] == {}


@pytest.mark.usefixtures("lab")
def test_nothing_passes_and_the_nearest_are_shown_with_their_gates() -> None:
    out = run("scan", "BTCUSDT", "--min-net-bps", "60").expect(0).out
    assert "nothing passes every gate; the nearest are:" in out
    assert "0 pass" in out
    assert strict(run("scan", "BTCUSDT", "--min-net-bps", "60", "--json").expect(0).out)["rows"] == []


@pytest.mark.usefixtures("lab")
def test_csv_and_parquet_have_what_passes(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("scan", "BTCUSDT", "--csv").expect(0).out)))
    assert [row["exchange_high"] for row in rows] == ["binance"] * 4
    file = tmp_path / "found.parquet"
    run("scan", "BTCUSDT", "--parquet", str(file)).expect(0)
    assert pd.read_parquet(file)["executable"].tolist() == [True] * 4


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("BTCUSDX",), "BTCUSDX"),
        (("--market", "moon"), "unknown market 'moon'"),
        (("--z", "0"), "z is standard deviations"),
        (("--max-age", "60"), "max_age_s is seconds, above 0 and at most 30"),
        (("--venues", "mtgox"), "mtgox"),
        (("--currency", "XYZ"), "currency 'XYZ'"),
        (("--persistence", "2"), "--persistence goes with --watch"),
        (("--watch", "1", "--csv"), "--watch goes without --csv"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_line(words: tuple[str, ...], said: str) -> None:
    done = run("scan", *words).expect(2)
    assert said in done.err
    assert done.err.count("\n") == 1


def test_nobody_answers(lab: Lab) -> None:
    for venue in ("binance", "okx", "kraken", "bybit", "htx"):
        lab.fault(venue, "html")
    done = run("scan").expect(1)
    assert "no venue answered" in done.err
    assert run("scan", "BTCUSDT").expect(1).out == ""


def test_the_bundled_recording_answers_for_what_it_holds(loaded: None) -> None:  # noqa: ARG001
    done = run("scan", "BTCUSDT", "--replay").expect(0)
    assert "SYNTHETIC" in done.out
    assert "20 pairs: 0 pass, 20 stopped at fees" in done.out


def test_a_watch_writes_a_line_for_each_look_until_ctrl_c(lab: Lab) -> None:
    done = watched(lab, "Z 20 pairs: 4 pass", terminal=False, command=("scan", "BTCUSDT", "--watch", "0.3")).expect(0)
    lines = done.out.splitlines()
    assert len(lines) >= 1
    assert all(
        "Z 20 pairs: 4 pass, 16 stopped at fees; BTC/USDT:USDT " in line for line in lines if "without" not in line
    )
    assert "Traceback" not in done.err


def test_a_watch_writes_json_for_each_look_and_persistence_counts(lab: Lab) -> None:
    command = ("scan", "BTCUSDT", "--watch", "0.4", "--json", "--persistence", "2")
    done = watched(lab, '"number": 1', terminal=False, command=command).expect(0)
    looks: list[Any] = [json.loads(line) for line in done.out.splitlines()]
    assert [look["number"] for look in looks] == list(range(len(looks)))
    assert looks[0]["rows"] == []
    assert looks[0]["gates"]["persistence"] == 4
    assert len(looks[1]["rows"]) == 4


def test_in_a_terminal_the_table_is_redrawn(lab: Lab) -> None:
    done = watched(lab, "look 2, every 0.3 s", terminal=True, command=("scan", "BTCUSDT", "--watch", "0.3")).expect(0)
    assert "okx → binance" in done.out
    assert "Traceback" not in done.out + done.err


def test_a_venue_that_fails_is_named_with_the_reason_in_each_line(lab: Lab) -> None:
    lab.fault("htx", "html")
    done = watched(lab, "without", terminal=False, command=("scan", "BTCUSDT", "--watch", "0.5")).expect(0)
    assert "htx (bad_payload)" in done.out


@pytest.mark.usefixtures("lab")
def test_one_venue_makes_no_pair_and_a_currency_without_a_rate_is_said() -> None:
    assert "a pair needs two venues that answer" in run("scan", "BTCUSDT", "--venues", "okx").expect(0).out
    out = run("scan", "BTCUSDT", "--venues", "okx,binance", "--currency", "EUR").expect(0).out
    assert "2 stopped at currency" in out
    assert "no_rate" in out
