"""`xex health`: one look at every venue, or a watch that goes on until Ctrl-C."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import VENUES
from tests.lab import Lab, running_lab
from tests.test_cli import Result, behind, run, strict
from xex import cli
from xex.access.events import Event
from xex.lists import health_table
from xex.manager import ExchangeManager
from xex.model import schema


@pytest.fixture(scope="module")
def started(loaded: None) -> Iterator[Lab]:  # noqa: ARG001  imports are not its time
    with running_lab() as lab:
        yield lab


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def lab(started: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Give a lab in a thread, behind which the command finds its venues."""
    behind(started, monkeypatch)
    started.seen.clear()
    yield started
    started.heal()


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


# --- one look -----------------------------------------------------------------------------------------------


def test_all_up_is_a_line_each_and_nought(lab: Lab) -> None:
    lines = lines_of(run("health").expect(0).out)
    assert lines[0] == "5 venues: 5 up"
    assert [line.split()[:2] for line in lines[4:]] == [[venue, "up"] for venue in VENUES]
    assert all("100.0%" in line and line.endswith(" 0 ms") for line in lines[4:])
    assert {seen.venue for seen in lab.seen} == set(VENUES)


def test_who_is_down_or_silent_says_why_and_leaves_with_one(lab: Lab) -> None:
    lab.fault("okx", "status", code=503)
    lab.fault("kraken", "hang")
    lab.fault("htx", "status", path="/v2/market-status", code=200, body={"code": 200, "data": {"marketStatus": 2}})
    lab.fault("bybit", "skew", seconds=40)
    lines = lines_of(run("health", "--timeout", "1.5").expect(1).out)
    assert lines[0] == "5 venues: 2 up, 1 degraded, 1 down, 1 unknown"
    table = {line.split()[0]: line for line in lines[4:9]}
    assert table["okx"].split()[1:6] == ["down", "–", "–", "–", "0.0%"]
    assert table["okx"].endswith(" –"), "nobody knows its clock"
    assert table["kraken"].split()[1] == "unknown"
    assert table["bybit"].endswith("+40.0 s")
    notes = "\n".join(lines[9:])
    assert re.search(r"okx is down since \d\d:\d\d:\d\d UTC: http_error: HTTP 503", notes)
    assert re.search(r"bybit is degraded since .*: its clock is off by (?:39|4\d)\d\d\d ms", notes)
    assert "kraken: no answer in time" in notes
    assert "htx says: 2" in notes
    assert re.search(r"failures so far: okx http_error \d", notes)
    assert "binance" not in notes


def test_a_degraded_venue_answers_and_a_silent_one_does_not(lab: Lab) -> None:
    lab.fault("bybit", "skew", seconds=40)
    run("health", "--venues", "bybit,okx").expect(0)
    lab.fault("okx", "hang", path="/api/v5/system/status")
    # Its clock answered: it is up for all that is known, but did not say how it is.
    found = run("health", "--venues", "okx", "--timeout", "0.6", "--json").expect(1)
    assert strict(found.out)["rows"][0]["venue_status"] == "no answer in time"


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_no_line_is_longer_than_the_terminal_is_wide(lab: Lab, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lab.fault("okx", "status", code=503)
    out = run("health").expect(1).out
    assert max(map(len, out.splitlines())) <= int(columns)
    table = out.partition("okx is down")[0]
    assert "…" not in table
    assert all(word in table for word in (*VENUES, "uptime", "p99", "clock", "failed"))


def test_only_those_who_were_named_are_asked(lab: Lab) -> None:
    told = strict(run("health", "--venues", "OKX,bybit", "--json").expect(0).out)
    assert told["asked"] == ["okx", "bybit"]
    assert {seen.venue for seen in lab.seen} == {"okx", "bybit"}
    assert [row.keys() for row in told["rows"]] == [schema.SCHEMAS["health"].keys()] * 2
    assert {row["venue_status"] for row in told["rows"]} == {"ok"}
    assert "unknown venue 'nyse'" in run("health", "--venues", "okx,nyse").expect(2).err
    assert "names none" in run("health", "--venues", ",").expect(2).err


def test_csv_and_parquet_hold_the_schema(lab: Lab, tmp_path: Path) -> None:
    del lab
    rows = list(csv.DictReader(io.StringIO(run("health", "--csv").expect(0).out)))
    assert [row["exchange"] for row in rows] == list(VENUES)
    assert rows[0].keys() == schema.SCHEMAS["health"].keys()
    file = tmp_path / "health.parquet"
    run("health", "--parquet", str(file)).expect(0)
    assert pd.read_parquet(file)["status"].tolist() == ["up"] * 5


def test_the_bundled_recording_answers_too(lab: Lab) -> None:
    done = run("health", "--replay").expect(0)
    assert "SYNTHETIC recording" in done.out
    assert "5 venues: 5 up" in done.out
    assert lab.seen == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--watch", "--json"), "--watch goes without"),
        (("--watch", "--replay"), "--watch goes without"),
        (("--every", "7"), "--every goes with --watch"),
        (("--watch", "--every", "0.5"), "--every"),
        (("--watch", "--every", "soon"), "--every"),
        (("--watch", "--venues", "nyse"), "unknown venue"),
    ],
)
def test_what_does_not_go_together_is_said(lab: Lab, words: tuple[str, ...], said: str) -> None:
    assert said in run("health", *words).expect(2).err
    assert lab.seen == []


def test_what_nobody_knows_yet_is_a_dash() -> None:
    xm = ExchangeManager(cache=False)
    xm.add_exchange(cli_config())
    text = "\n".join(lines_of(printed(xm.health())))
    assert "1 venue: 1 unknown" in text
    assert "okx unknown – – – – 0 ms – –" in text


def cli_config() -> Any:
    from xex.config import ExchangeConfig

    return ExchangeConfig("okx", "okx")


def printed(frame: pd.DataFrame) -> str:
    from rich.console import Console

    console = Console(width=120, file=io.StringIO())
    with console.capture() as captured:
        console.print(health_table(frame))
    return captured.get()


def test_ages_and_what_is_left_alone_have_columns_where_they_are_known() -> None:
    xm = ExchangeManager(cache=False)
    xm.add_exchange(cli_config())
    row = dict(xm.exchange_info["okx"].row())
    row |= {"status": "degraded", "why": "it failed", "data_age_ms": 1234.0, "left_alone": "/a, /b", "since": 0.0}
    frame = schema.frame({name: [cell] for name, cell in row.items()}, "health")
    lines = lines_of(printed(frame))
    assert lines[2].endswith("ahead age alone")
    assert lines[4].endswith("1.2 s 2")
    assert "okx: left alone after failures: /a, /b" in lines
    assert "okx is degraded since 00:00:00 UTC: it failed" in lines


# --- the watch ----------------------------------------------------------------------------------------------

PROGRAM = """
import json, sys
from xex import cli
from xex.config import ExchangeConfig
from xex.manager import ExchangeManager
URLS = json.loads(sys.argv.pop(1))
def from_env(*, deadline=None, cache=True):
    made = ExchangeManager(deadline=10 if deadline is None else deadline, cache=False)
    for venue, url in URLS.items():
        made.add_exchange(ExchangeConfig(venue, venue, base_url=url))
    return made
ExchangeManager.from_env = from_env
cli.main()
"""


def watched(
    lab: Lab, until: str, *, terminal: bool, also: Any = None, command: tuple[str, ...] = ("health", "--watch")
) -> Result:
    """Run a watch until a text shows, then press Ctrl-C; `also` happens in between."""
    urls = json.dumps({venue: lab.url(venue) for venue in VENUES})
    more = ("--every", "1") if command[0] == "health" else ()
    words = [sys.executable, "-c", PROGRAM, urls, *command, *more]
    ours, theirs = pty.openpty() if terminal else os.pipe()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(words, stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    out, ends, pressed = b"", time.monotonic() + 45, False
    try:
        while time.monotonic() < ends:
            if select.select([ours], [], [], 0.05)[0]:
                try:
                    came = os.read(ours, 65536)
                except OSError:  # the other end of a terminal is gone
                    break
                if not came:
                    break
                out += came
            if not pressed and until.encode() in out:
                if also is not None:
                    also()
                    also, until = None, "is down"
                    continue
                pressed = True
                process.send_signal(signal.SIGINT)
        code = process.wait(timeout=10)
    finally:
        process.kill()
        os.close(ours)
    assert process.stderr is not None
    with process.stderr as stream:
        return Result(code, out.decode(), stream.read().decode())


def test_in_a_terminal_the_table_is_redrawn_until_ctrl_c(lab: Lab) -> None:
    done = watched(lab, "5 venues: 5 up", terminal=True).expect(0)
    frames = done.out.split("\x1b[2K")
    assert "Ctrl-C ends it" in done.out
    assert len([frame for frame in frames if "binance" in frame]) > 1
    assert done.out.rstrip().endswith("\x1b[?25h"), "the cursor is back"
    assert done.err == ""


def test_elsewhere_each_change_is_a_line(lab: Lab) -> None:
    def break_okx() -> None:
        lab.fault("okx", "html")

    done = watched(lab, "htx is up", terminal=False, also=break_okx).expect(0)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert all(re.fullmatch(rf"{stamp} \w+ is \w+: .+", line) for line in done.out.splitlines())
    for venue in VENUES:
        assert re.search(rf"^{stamp} {venue} is up: it answers$", done.out, re.MULTILINE)
    assert re.search(rf"^{stamp} okx is down: bad_payload: HTML instead of JSON$", done.out, re.MULTILINE)
    assert "asked every 1 s; Ctrl-C ends it" in done.err


async def test_a_change_is_written_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    changes: asyncio.Queue[Event] = asyncio.Queue()
    changes.put_nowait(Event("ban", "okx", "okx", 1_700_000_000.5, "okx asked to stay away for 60 s"))
    xm = ExchangeManager(cache=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(cli._told_line_by_line(xm, changes, None, "hint"), 0.02)  # type: ignore[arg-type]
    assert capsys.readouterr().out == "2023-11-14T22:13:20Z okx asked to stay away for 60 s\n"
