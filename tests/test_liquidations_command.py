"""xex liquidations, as a person or a script meets it."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import configured
from tests.lab import Forced, Lab, default_truth, running_lab
from tests.lab.encode_coinglass import KEY
from tests.test_cli import run, strict
from xex.config import ExchangeConfig, ExchangeType
from xex.manager import ExchangeManager

MINUTE = 60_000


@pytest.fixture
def lab(loaded: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:  # noqa: ARG001  the stage
    now = time.time_ns() // 1_000_000
    rows = (("okx", "BTC-USDT-SWAP", 10, "50000", "25000", "long"),
        ("okx", "BTC-USDT-SWAP", 200, "50000", "5000", "long"),
        ("htx", "BTC-USDT", 20, "50100", "10020", "short"), ("krakenfutures", "PF_XBTUSD", 30, "50050", "1001", "long"),
        ("binance", "BTCUSDT", 40, "50000", "500", "long"))  # fmt: skip
    forced = tuple(
        Forced(venue, id_, "BTC", now - back * MINUTE, Decimal(price), Decimal(usd), position)  # type: ignore[arg-type]
        for venue, id_, back, price, usd, position in rows
    )
    with running_lab(dataclasses.replace(default_truth(), forced=forced)) as started:

        def from_env(cls: type[ExchangeManager], *, deadline: float | None = None) -> ExchangeManager:
            xm = cls(cache=False, deadline=5 if deadline is None else deadline)
            for venue in ("okx", "htx", "kraken", "binance", "bybit"):
                xm.add_exchange(configured(started, venue))
            return xm

        monkeypatch.setattr(ExchangeManager, "from_env", classmethod(from_env))
        yield started


def test_the_table_has_the_newest_first_and_says_what_is_covered(lab: Lab) -> None:
    del lab
    out = run("liquidations", "BTCUSDT").expect(0).out
    lines = out.splitlines()
    assert lines[0].startswith("BTCUSDT: 3 liquidations")
    rows = [line.split()[1:] for line in lines if line.endswith("venue") and ":" in line]
    assert rows == [
        ["okx", "long", "sell", "50,000", "bankruptcy", "0.50", "25,000.00", "USDT", "venue"],
        ["htx", "short", "buy", "50,100", "bankruptcy", "0.20", "10,020.00", "USDT", "venue"],
        ["kraken", "long", "sell", "50,050", "fill", "0.02", "1,001.00", "USD", "venue"],
    ]
    assert "longs: 0.02 BTC, 1,001 USD, in 1; 0.5 BTC, 25,000 USDT, in 1" in out
    assert "shorts: 0.2 BTC, 10,020 USDT, in 1" in out
    assert "perhaps not all" in next(line for line in lines if line.startswith("okx: 1 in 60 min"))
    assert "all of them" in next(line for line in lines if line.startswith("htx: 1 in 60 min"))
    assert "binance is left out, not_listed: it publishes no liquidations" in out
    assert "bybit is left out" in out


def test_further_back_and_fewer_rows(lab: Lab) -> None:
    del lab
    out = run("liquidations", "BTCUSDT", "--since", "4h", "--venues", "okx,htx", "--last", "2").expect(0).out
    assert out.startswith("BTCUSDT: the newest 2 of 3 liquidations")
    assert "okx: 2 in 4 h from" in out
    assert "0.6 BTC, 30,000 USDT, in 2" in out, "sums are of all of them"


def test_json_csv_and_parquet_hold_all(lab: Lab, tmp_path: Path) -> None:
    del lab
    words = ("liquidations", "BTCUSDT", "--since", "300m", "--last", "1")
    data = strict(run(*words, "--json").expect(0).out)
    assert [row["exchange"] for row in data["rows"]] == ["okx", "htx", "kraken", "okx"]
    assert [row["size"] for row in data["rows"]] == pytest.approx([0.5, 0.2, 0.02, 0.1], rel=1e-12)
    assert data["coverage"]["okx"]["count"] == 2
    assert data["coverage"]["htx"]["complete"] is True
    assert data["dropped"]["binance"]["reason"] == "not_listed"
    assert (sorted(data["answered"]), data["symbol"]) == (["htx", "kraken", "okx"], "BTCUSDT")
    done = run(*words, "--csv").expect(0)
    told = list(csv.DictReader(io.StringIO(done.out)))
    assert [float(row["notional"]) for row in told] == pytest.approx([25000, 10020, 1001, 5000])
    assert "binance is left out" in done.err
    assert "okx: 2 in" in done.err
    pytest.importorskip("pyarrow")
    import pandas as pd

    run(*words, "--parquet", str(tmp_path / "x.parquet")).expect(0)
    kept = pd.read_parquet(tmp_path / "x.parquet")
    assert kept["position_side"].tolist() == ["long", "short", "long", "long"]


def test_a_source_is_named_in_the_table(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def from_env(cls: type[ExchangeManager], *, deadline: float | None = None) -> ExchangeManager:
        xm = cls(cache=False, deadline=5 if deadline is None else deadline)
        xm.add_exchange(configured(lab, "binance"))
        xm.add_exchange(ExchangeConfig("cg", ExchangeType.COINGLASS, api_key=KEY, base_url=lab.url("coinglass")))
        return xm

    monkeypatch.setattr(ExchangeManager, "from_env", classmethod(from_env))
    out = run("liquidations", "BTCUSDT").expect(0).out
    assert "told by coinglass: it publishes no liquidations to be asked for" in " ".join(out.split())
    assert "bybit: 0 in 60 min" in out
    assert "longs: 0.01 BTC, 500.00 USD, in 1" in out
    assert KEY not in out


def test_none_at_all_is_an_answer(lab: Lab) -> None:
    lab.truth = default_truth()
    out = run("liquidations", "BTCUSDT").expect(0).out
    assert out.startswith("BTCUSDT: 0 liquidations")
    assert "htx: 0 in 60 min" in out
    assert strict(run("liquidations", "BTCUSDT", "--json").expect(0).out)["rows"] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("BTCUSDT", "--since", "soon"), 2, "--since 'soon': 90s, 30m, 4h, 2d"),
        (("BTCUSDT", "--since", "1795000000000"), 2, "milliseconds"),
        (("BTCUSDT", "--since", "2099-01-01"), 2, "yet to come"),
        (("BTCUSDT", "--since", "0h"), 2, "no time gone by"),
        (("BTC/USDT",), 2, "only contracts are liquidated"),
        (("BTCUSDT", "--json", "--csv"), 2, "--json, --csv and --parquet"),
        (("BTCUSDT", "--venues", "nowhere"), 2, "nowhere"),
        (("BTCUSDT", "--venues", "binance"), 1, "publishes no liquidations"),
        (("BTCUSDT", "--last", "0"), 2, "--last"),
    ],
)
def test_what_is_wrong_is_one_line(lab: Lab, words: tuple[str, ...], code: int, said: str) -> None:
    del lab
    done = run("liquidations", *words).expect(code)
    assert said in done.err
    assert not done.out


@pytest.mark.parametrize("since", ["2026-01-01T00:00:00+02:00", "2026-01-01", "1767225600", "1767225600.5"])
def test_times_are_read_as_they_are_written(lab: Lab, since: str) -> None:
    lab.truth = default_truth()
    data = strict(run("liquidations", "BTCUSDT", "--venues", "okx", "--since", since, "--json").expect(0).out)
    begun = {"2026-01-01T00:00:00+02:00": 1767218400.0, "1767225600.5": 1767225600.5}.get(since, 1767225600.0)
    assert data["coverage"]["okx"]["from"] == begun
