"""CoinGlass in a manager, on the command line, and as what holds a key."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import xex
from tests.conftest import configured
from tests.lab import Forced, Lab, default_truth, extra_markets, running_lab
from tests.lab import encode_coinglass as glass
from tests.lab.coinglass_fields import ENDPOINTS
from tests.lab.encode_coinglass import KEY
from tests.test_secrets import assert_clean, assert_error_clean
from xex import cli
from xex.access import registry
from xex.access.port import AnswersFunding, AnswersLiquidations, ServesEndpoints, answers
from xex.config import ExchangeConfig, ExchangeType
from xex.errors import AuthRejected, ConfigError, ConnectorError, NotListed, NoVenueAnswered
from xex.manager import ExchangeManager
from xex.model import schema
from xex.model.instruments import Instrument
from xex_connectors import CoinGlass, CoinGlassConnector
from xex_connectors.coinglass import Table, connector, reconciled

NOW = 1_795_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
BTC = Instrument("BTC", "USDT", "linear", "USDT")
INVERSE = Instrument("BTC", "USD", "inverse", "BTC")
GIVEN = "CANARY-api-7f3a91"


def struck(venue: str, id_: str, back_ms: int, usd: str, position: Any, base: str = "BTC") -> Forced:
    return Forced(venue, id_, base, NOW - back_ms, Decimal(50_000), Decimal(usd), position)


FORCED = (
    struck("binance", "BTCUSDT", 50 * MINUTE, "500000", "long"),
    struck("binance", "BTCUSDT", 40 * MINUTE, "20000", "short"),
    struck("binance", "BTCUSD_PERP", 30 * MINUTE, "7000", "long"),
    struck("binance", "BTCUSDT", 61 * MINUTE, "100", "short"),
    struck("bybit", "BTCUSDT", 20 * MINUTE, "1500", "short"),
    struck("bybit", "BTCUSDT", 10 * MINUTE, "90000", "long"),
    struck("okx", "BTC-USDT-SWAP", 10 * MINUTE, "90000", "long"),
    struck("binance", "ETHUSDT", 10 * MINUTE, "90000", "long", "ETH"),
)
WORLD = dataclasses.replace(default_truth().adding(extra_markets()), forced=FORCED)


@pytest.fixture
async def lab(loaded: None, tidy: object) -> AsyncIterator[Lab]:  # noqa: ARG001  both only set the stage
    async with Lab(WORLD, now_ms=lambda: NOW) as started:
        yield started


@pytest.fixture(autouse=True)
def lab_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xex.model.clock.now_ms", lambda: NOW)


def settings(lab: Lab, key: str | None = KEY, **options: Any) -> ExchangeConfig:
    return ExchangeConfig("glass", ExchangeType.COINGLASS, api_key=key, base_url=lab.url("coinglass"), options=options)


async def with_manager(config: ExchangeConfig) -> tuple[ExchangeManager, CoinGlassConnector]:
    xm = ExchangeManager(cache=False)
    assert xm.add_exchange(config)
    xm._enter()
    found = xm._entries["glass"].connector
    assert isinstance(found, CoinGlassConnector)
    return xm, found


# --- which side a code means ---------------------------------------------------------------------------------------


def orders(*rows: tuple[float, float, float]) -> dict[str, Any]:
    """Return orders of (time, side, dollars)."""
    cells = np.array(rows, dtype=float).reshape(-1, 3).T
    return dict(zip(("time", "side", "usd_value"), cells, strict=True))


def bars(*rows: tuple[float, float, float]) -> dict[str, Any]:
    """Return bars of (time, long, short)."""
    cells = np.array(rows, dtype=float).reshape(-1, 3).T
    return dict(zip(("time", "long_liquidation_usd", "short_liquidation_usd"), cells, strict=True))


HOURS = bars((0, 100, 10), (60, 0, 50), (120, 7, 7))


@pytest.mark.parametrize(
    ("made", "meant"),
    [
        # 1 is long, 2 is short; one bar alone decides
        (orders((5, 1, 100), (6, 2, 10), (70, 2, 50)), ["long", "short", "short"]),
        # the order's side: 1 buys and closes shorts
        (orders((5, 2, 100), (6, 1, 10), (70, 1, 50)), ["long", "short", "short"]),
        # a part of what was liquidated is enough where it is too much for the other side
        (orders((5, 1, 60)), ["long"]),
        (orders((5, 2, 60)), ["long"]),
        # too little to tell: it would fit into either side
        (orders((5, 1, 8)), ["unknown"]),
        # alike on both sides
        (orders((125, 1, 7), (126, 2, 7)), ["unknown", "unknown"]),
        # too much for both
        (orders((5, 1, 1000), (6, 2, 1000)), ["unknown", "unknown"]),
        # each reading is refuted by another bar
        (orders((5, 1, 100), (70, 1, 50)), ["unknown", "unknown"]),
        # outside of all bars, before and after
        (orders((-5, 1, 100), (180, 1, 100)), ["unknown", "unknown"]),
        # what is outside does not decide, and is told by what is inside
        (orders((5, 1, 100), (500, 2, 3)), ["long", "short"]),
        # a code that is none, and no amount
        (orders((5, 1, 100), (6, 3, 10), (7, np.nan, 1)), ["long", "unknown", "unknown"]),
        (orders((5, 1, np.nan)), ["unknown"]),
        (orders((5, 1, 0)), ["unknown"]),
        (orders(), []),
    ],
)
def test_a_side_is_what_the_sums_allow(made: dict[str, Any], meant: list[str]) -> None:
    assert reconciled(made, HOURS) == meant
    backwards = {name: cells[::-1] for name, cells in HOURS.items()}
    assert reconciled(made, backwards) == meant, "the order of the bars does not matter"


def test_rounding_does_not_refute_and_a_gap_in_the_history_does_not_decide() -> None:
    assert reconciled(orders((5, 1, 100.9)), HOURS) == ["long"]
    assert reconciled(orders((5, 1, 100)), bars((0, np.nan, np.nan), (60, 1, 1))) == ["unknown"]
    assert reconciled(orders((5, 1, 100)), {}) == ["unknown"]
    one = bars((0, 100, 10))
    assert reconciled(orders((5, 1, 100)), one) == ["unknown"], "nobody says how long the only bar is"
    assert reconciled(orders((5, 1, 100)), one, step_ms=60) == ["long"]
    assert reconciled(orders((65, 1, 100)), one, step_ms=60) == ["unknown"]


@pytest.mark.parametrize("side_is", ["position", "order"])
async def test_both_conventions_of_the_same_truth_give_the_same_liquidations(lab: Lab, side_is: Any) -> None:
    lab.truth = dataclasses.replace(WORLD, side_is=side_is)
    xm, found = await with_manager(settings(lab))
    async with xm:
        columns = await found.liquidations(BTC, NOW - HOUR, NOW)
    told = schema.frame(schema.checked(columns, "liquidations"), "liquidations")
    rows = told[["venue", "position_side", "order_side", "notional", "size", "price"]].to_numpy().tolist()
    assert rows == [
        ["binance", "long", "sell", 500000.0, 10.0, 50000.0],
        ["binance", "short", "buy", 20000.0, 0.4, 50000.0],
        ["bybit", "short", "buy", 1500.0, 0.03, 50000.0],
        ["bybit", "long", "sell", 90000.0, 1.8, 50000.0],
    ]
    assert set(told["instrument"]) == {"BTC/USDT:USDT"}
    assert (set(told["source"]), set(told["price_kind"])) == ({"coinglass"}, {"unknown"})
    assert not told["complete"].any()
    assert (set(told["currency"]), set(told["time_source"])) == ({"USD"}, {"trade"})
    assert told["exchange_time"].astype("int64").tolist() == [
        NOW - back * MINUTE for back in (50, 40, 20, 10)
    ]  # fmt: skip


async def test_where_the_sums_cannot_tell_the_side_is_unknown(lab: Lab) -> None:
    alike = (
        struck("bybit", "BTCUSDT", 20 * MINUTE, "100", "long"),
        struck("bybit", "BTCUSDT", 20 * MINUTE, "100", "short"),
    )
    lab.truth = dataclasses.replace(WORLD, forced=alike)
    xm, found = await with_manager(settings(lab, exchanges=["Bybit"]))
    async with xm:
        columns = await found.liquidations(BTC, NOW - HOUR, NOW)
    assert columns["position_side"] == columns["order_side"] == ["unknown", "unknown"]
    assert columns["notional"].tolist() == [100.0, 100.0]


async def test_sums_that_are_refused_leave_the_side_unknown_and_old_ones_are_hourly(lab: Lab) -> None:
    xm, found = await with_manager(settings(lab))
    sums = "/api/futures/liquidation/aggregated-history"
    async with xm:
        old = await found.liquidations(BTC, NOW - 6 * 24 * HOUR, NOW)
        assert [side for side in old["position_side"] if side != "unknown"]
        assert all("interval=1h" in seen.path_qs for seen in lab.seen if sums in seen.path_qs)
        lab.fault("coinglass", "status", path=sums, code=200, body={"code": "401", "msg": "Upgrade plan"})
        columns = await found.liquidations(BTC, NOW - HOUR, NOW)
        assert columns["position_side"] == ["unknown"] * 4


async def test_the_instrument_is_found_by_its_currencies_and_not_by_its_name(lab: Lab) -> None:
    xm, found = await with_manager(settings(lab))
    async with xm:
        inverse = await found.liquidations(INVERSE, NOW - HOUR, NOW)
        assert (inverse["venue"], inverse["notional"].tolist()) == (["binance"], [7000.0])
        asked = len(lab.seen)
        none = await found.liquidations(BTC, NOW - 5 * MINUTE, NOW)
        assert schema.length(none) == 0
        assert len(lab.seen) == asked + 2, "pairs are known, and without orders no sums are asked"
        linear = Instrument("BTC", "USD", "linear", "USD")
        with pytest.raises(NotListed, match="no liquidations of BTC/USD:USD"):  # which is no inverse contract
            await found.liquidations(linear, NOW - HOUR, NOW)
        with pytest.raises(NotListed, match="no liquidations of NOSUCH"):
            await found.liquidations(Instrument("NOSUCH", "USDT", "linear", "USDT"), NOW - HOUR, NOW)


async def test_more_than_an_answer_holds_comes_whole(lab: Lab) -> None:
    many = tuple(struck("bybit", "BTCUSDT", 1000 * place + 7, "10", "long") for place in range(1, 1001))
    lab.truth = dataclasses.replace(WORLD, forced=many)
    xm, found = await with_manager(settings(lab, exchanges=["Bybit"]))
    async with xm:
        columns = await found.liquidations(BTC, NOW - HOUR, NOW)
    assert columns["exchange_time"].tolist() == sorted(float(one.ms) for one in many)
    # The last bar is still running, and the convention is told by the others.
    assert set(columns["position_side"]) == {"long"}


# --- funding -------------------------------------------------------------------------------------------------------


async def test_funding_is_a_fraction_of_every_exchange(lab: Lab) -> None:
    rows = [
        {
            "symbol": "BTC",
            "stablecoin_margin_list": [
                {
                    "exchange": "Binance",
                    "funding_rate_interval": 8,
                    "funding_rate": 0.01,
                    "next_funding_time": NOW + HOUR,
                },
                {"exchange": "Gate.io", "funding_rate": "-0.02"},
                {"exchange": "OKX", "funding_rate_interval": 4},
            ],
            "token_margin_list": [{"exchange": "Bybit", "funding_rate_interval": 1, "funding_rate": 0.5}],
        }
    ]
    lab.fault("coinglass", "status", path="/api/futures/", code=200, body={"code": "0", "data": rows})
    xm, found = await with_manager(settings(lab))
    async with xm:
        columns = await found.funding([BTC, INVERSE, Instrument("BTC", "USDT", "linear", "USDT", "261225")])
    told = schema.frame(schema.checked(columns, "funding"), "funding")
    assert told["venue"].tolist() == ["binance", "gate", "okx", "bybit"]
    assert told["kind"].tolist() == ["linear", "linear", "linear", "inverse"]
    np.testing.assert_allclose(told["rate"], [0.0001, -0.0002, np.nan, 0.005])
    np.testing.assert_allclose(told["interval_hours"], [8, np.nan, 4, 1])
    # a year has 8760 hours
    np.testing.assert_allclose(told["apr"], [0.1095, np.nan, np.nan, 43.8])
    assert set(told["rate_kind"]) == {"predicted"}
    assert set(told["flags"]) == {"by_coin"}
    assert told["next_time"].notna().tolist() == [True, False, False, False]
    assert len(lab.seen) == 1


async def test_a_manager_asks_it_for_funding_by_name_and_its_rows_say_whose_they_are(lab: Lab) -> None:
    rates = [
        {"exchange": "Binance", "funding_rate_interval": 8, "funding_rate": 0.01, "next_funding_time": NOW + HOUR},
        {"exchange": "OKX", "funding_rate_interval": 4, "funding_rate": -0.03},
    ]
    body = {"code": "0", "data": [{"symbol": "BTC", "stablecoin_margin_list": rates, "token_margin_list": []}]}
    lab.fault("coinglass", "status", path="/api/futures/", code=200, body=body)
    async with ExchangeManager(cache=False, deadline=5) as xm:
        assert xm.add_exchange(settings(lab))
        with pytest.raises(ConfigError, match="no enabled exchange answers 'funding_rates' of its own; name in venues"):
            await xm.funding("BTC/USDT:USDT")
        assert xm.get_best_exchange("funding_rates") == "glass", "there is no other"
        assert xm.add_exchange(configured(lab, "okx"))
        own = await xm.funding("BTC/USDT:USDT")
        assert own[["exchange", "venue"]].to_numpy().tolist() == [["okx", "okx"]]
        assert own.attrs["asked"] == ["okx"]
        assert not [seen for seen in lab.seen if seen.venue == "coinglass"]
        told = await xm.funding("BTC/USDT:USDT", venues=["glass"])
        assert told[["exchange", "venue", "instrument"]].to_numpy().tolist() == [
            ["glass", "binance", "BTC/USDT:USDT"], ["glass", "okx", "BTC/USDT:USDT"],
        ]  # fmt: skip
        # a percent is a hundredth; 8760 hours a year, paid every 8 and every 4 hours
        np.testing.assert_allclose(told["rate"], [0.0001, -0.0003])
        np.testing.assert_allclose(told["apr"], [0.1095, -0.657])
        assert set(told["flags"]) == {"by_coin"}
        assert set(told["unit_rule"]) == {"coinglass: percent an interval"}
        with pytest.raises(NoVenueAnswered, match="name symbols"):
            await xm.funding(venues=["glass"])


async def test_beside_books_funding_is_asked_of_exchanges_alone(lab: Lab) -> None:
    async with ExchangeManager(cache=False, deadline=5) as xm:
        assert xm.add_exchange(settings(lab))
        assert xm.add_exchange(configured(lab, "okx"))
        assert xm.add_exchange(configured(lab, "bybit"))
        await xm.opportunities(["BTC/USDT:USDT"], venues=["okx", "bybit", "glass"])
    assert [seen for seen in lab.seen if "funding" in seen.path_qs]
    assert not [seen for seen in lab.seen if seen.venue == "coinglass" and "funding" in seen.path_qs]


# --- in a manager --------------------------------------------------------------------------------------------------


async def test_it_answers_liquidations_and_funding_and_never_a_ticker(lab: Lab) -> None:
    xm = ExchangeManager(cache=False, deadline=5)
    async with xm:
        assert xm.add_exchange(settings(lab))
        assert xm.add_exchange(configured(lab, "okx"))
        made = xm._entries["glass"].connector
        assert isinstance(made, AnswersLiquidations)
        assert isinstance(made, AnswersFunding)
        assert [name for name in xex.config.FEATURES if answers(made, name)] == [
            "liquidations", "whale_activity", "funding_rates",
        ]  # fmt: skip
        assert await made.get_ticker("BTC/USDT:USDT") is None
        assert xm.get_best_exchange("liquidations") == "okx", "which tells its own"
        assert xm.get_best_exchange("funding_rates") == "okx", "which tells its own"
        assert xm.get_best_exchange("ticker") == "okx"
        xm.exchange_configs["glass"].features.append("funding_rates")
        assert xm.get_best_exchange("liquidations") == "okx"
        snap = await xm.get_cross_exchange_ticker("BTCUSDT")
        assert list(snap.exchanges_data) == ["okx"]
        assert snap.asked == ["okx"]
        with pytest.raises(ConfigError, match="no enabled exchange answers"):
            await xm.get_cross_exchange_ticker("BTCUSDT", venues=["glass"])
        assert not [seen for seen in lab.seen if seen.venue == "coinglass"]


@pytest.mark.parametrize(("key", "good"), [(KEY, True), ("a-wrong-key", False), (None, False)])
async def test_connecting_tells_whether_the_key_is_good(lab: Lab, key: str | None, good: bool) -> None:
    async with ExchangeManager(cache=False, deadline=5) as xm:
        xm.add_exchange(settings(lab, key))
        assert await xm.connect_all() == {"glass": good}
        health = await xm.health_check()
        assert (health["glass"]["venue_status"] == "ok") is good


async def test_a_plan_that_is_not_told_is_no_reason_not_to_connect(lab: Lab) -> None:
    lab.fault(
        "coinglass", "status", path=glass.SUBSCRIPTION, code=404, body={"code": "404", "msg": "Endpoint not found."}
    )
    async with ExchangeManager(cache=False, deadline=5) as xm:
        xm.add_exchange(settings(lab))
        assert await xm.connect_all() == {"glass": True}


def test_the_environment_adds_it_with_a_key_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COINGLASS_API_KEY", raising=False)
    five = {"binance", "bybit", "htx", "kraken", "okx"}
    assert set(ExchangeManager.from_env(cache=False).exchange_configs) == five
    monkeypatch.setenv("COINGLASS_API_KEY", KEY)
    made = ExchangeManager.from_env(cache=False)
    assert set(made.exchange_configs) == {*five, "coinglass"}
    assert made.exchange_configs["coinglass"].exchange_type == ExchangeType.COINGLASS


def test_the_day_of_a_dated_contract_is_read_from_its_name() -> None:
    assert [connector.expiry_of(name) for name in ("BTCUSDT", "BTC-USDT-SWAP", "BTCUSD_PERP", "BTCUSD_250627")] == [
        "", "", "", "250627",
    ]  # fmt: skip
    assert connector.expiry_of("BTC-USDT-250627") == "250627"
    assert connector.expiry_of("BTC-7MAR25") == "250307"


async def test_lists_that_do_not_say_what_settles_are_read_too(lab: Lab) -> None:
    names = ("instrument_id", "base_asset", "quote_asset")
    listed = [("BTCUSDT", "BTC", "USDT"), ("BTCUSD_PERP", "BTC", "USD"), ("BTCUSD_261225", "BTC", "USD")]
    rows = [dict(zip(names, cells, strict=True)) for cells in listed]
    body = {"code": "0", "data": {"Binance": rows}}
    lab.fault("coinglass", "status", path="/api/futures/supported-exchange-pairs", code=200, body=body)
    xm, found = await with_manager(settings(lab))
    async with xm:
        assert await found._pairs_of(BTC) == {"Binance": {"BTCUSDT"}}
        assert await found._pairs_of(INVERSE) == {"Binance": {"BTCUSD_PERP"}}
        dated = Instrument("BTC", "USD", "inverse", "BTC", "261225")
        assert await found._pairs_of(dated) == {"Binance": {"BTCUSD_261225"}}


def test_the_source_serves_its_endpoints_by_name() -> None:
    kind = registry.load_reference(registry.references()["coinglass"])
    assert kind is CoinGlass
    assert isinstance(CoinGlass("key"), ServesEndpoints)


# --- the key -------------------------------------------------------------------------------------------------------


async def test_the_key_shows_nowhere(lab: Lab, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []
    file = tmp_path / "kept.json"
    echo = {"code": "400", "msg": f"bad key {GIVEN}", "data": GIVEN}
    with xex.record(file):
        async with ExchangeManager(cache=False, deadline=5) as xm:
            xm.add_exchange(configured(lab, "okx", api_key=None, secret_key=None, passphrase=None))
            await xm.health_check()  # for something to record
        async with CoinGlass(GIVEN, base_url=lab.url("coinglass")) as cg:
            with pytest.raises(AuthRejected, match=r"\*\*\*") as caught:
                await cg.pairs_markets(symbol="BTC")
            assert_error_clean(caught.value)
            lab.fault("coinglass", "status", path="/api/spot/", code=200, body=echo)
            with pytest.raises(ConnectorError) as other:
                await cg.spot_pairs_markets(symbol="BTC")
            assert_error_clean(other.value)
            await cg.plan()
            shown += [cg, vars(cg), vars(cg.config), cg._route, vars(cg._transport), cg._route.state.last_error]
            assert_clean([repr(one) for one in shown])
    glasses = [seen for seen in lab.seen if seen.venue == "coinglass"]
    assert {seen.headers["CG-API-KEY"] for seen in glasses} == {GIVEN}
    assert not any(GIVEN in seen.path_qs for seen in lab.seen)
    assert_clean(caplog.text)
    assert_clean(file.read_text())
    assert "coinglass" not in file.read_text(), "what was signed is not recorded"


async def test_the_key_shows_nowhere_in_a_manager_either(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    xm, found = await with_manager(settings(lab, GIVEN))
    async with xm:
        assert await xm.connect_all() == {"glass": False}
        with pytest.raises(AuthRejected) as caught:
            await found.liquidations(BTC, NOW - HOUR, NOW)
        assert_error_clean(caught.value)
        for shown in (found, vars(found), vars(found.client), xm.exchange_configs, xm.get_exchange_status()):
            assert_clean(shown)
    assert_clean(caplog.text)


@pytest.mark.parametrize("wrong", [{"timeout_s": -1}, {"base_url": GIVEN}, {"plan": "x"}, {"rate_share": 2}])
def test_a_bad_setting_does_not_show_the_key(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        CoinGlass(GIVEN, **wrong)
    assert_error_clean(caught.value)


def test_a_client_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGLASS_API_KEY", f" {GIVEN} ")
    made = CoinGlass.from_env(plan="standard")
    assert made.config.api_key is not None
    assert made.config.api_key.get_secret_value() == GIVEN
    assert repr(made) == "CoinGlass(plan='standard')"
    monkeypatch.delenv("COINGLASS_API_KEY")
    with pytest.raises(ConfigError, match="set COINGLASS_API_KEY"):
        CoinGlass.from_env()


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_lab(loaded: None) -> Iterator[Lab]:  # noqa: ARG001  imports are not its time
    with running_lab(WORLD, now_ms=lambda: NOW) as started:
        yield started


@pytest.fixture
def behind(shared_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Let the command find CoinGlass behind the lab."""
    entered = CoinGlass.__aenter__

    async def through_the_lab(self: CoinGlass) -> CoinGlass:
        self.config.base_url = shared_lab.url("coinglass")
        return await entered(self)

    monkeypatch.setattr(CoinGlass, "__aenter__", through_the_lab)
    monkeypatch.setenv("COINGLASS_API_KEY", KEY)
    shared_lab.seen.clear()
    yield shared_lab
    shared_lab.heal()


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.app, ["coinglass", *words], prog_name="xex", catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_without_a_question_it_lists_what_can_be_asked(behind: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COINGLASS_API_KEY")
    code, out, _ = run()
    assert code == 0
    assert "funding_rate_exchange_list" in out
    assert behind.seen == []
    rows = json.loads(run("--json")[1])["rows"]
    assert len(rows) == 85
    assert rows[7]["path"] == "/api/futures/price/history"
    assert rows[0].keys() == schema.SCHEMAS["endpoints"].keys()


def test_an_answer_is_a_table_json_csv_or_parquet(behind: Lab, tmp_path: Path) -> None:
    words = ("price_history", "exchange=Binance", "symbol=BTCUSDT", "interval=4h", "limit=3")
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("price_history")
    rows = json.loads(run(*words, "--json")[1])["rows"]
    raw = glass.data(ENDPOINTS["/api/futures/price/history"], behind.truth, {"interval": "4h", "limit": "3"}, NOW)
    assert [row["close"] for row in rows] == [float(row["close"]) for row in raw]
    cells = list(csv.DictReader(io.StringIO(run(*words, "--csv")[1])))
    assert [float(row["open"]) for row in cells] == [float(row["open"]) for row in raw]
    file = tmp_path / "bars.parquet"
    assert run(*words, "--parquet", str(file))[0] == 0
    import pandas as pd

    assert pd.read_parquet(file)["high"].tolist() == [float(row["high"]) for row in raw]
    shown = run("coins_markets")[1]
    assert "41 more columns: --csv, --json or --parquet FILE" in shown


def test_other_paths_are_answered_as_they_come(behind: Lab) -> None:
    code, out, _ = run(glass.SUBSCRIPTION)
    assert code == 0
    assert json.loads(out)["data"]["level"] == "PROFESSIONAL"
    assert run(glass.SUBSCRIPTION, "--csv")[0] == 2
    assert json.loads(run("/api/futures/pairs-markets", "symbol=BTC", "--json")[1])["rows"]
    del behind


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("price_histroy",), 2, "did you mean price_history"),
        (("pairs_markets",), 2, "pairs_markets needs symbol"),
        (("pairs_markets", "symbl=BTC"), 2, "did you mean symbol"),
        (("pairs_markets", "BTC"), 2, "parameter 1 is not of the form name=value"),
        (("pairs_markets", "symbol=BTC", "symbol=ETH"), 2, "symbol is given twice"),
        (("price_history", "exchange=Binance", "symbol=X", "interval=4h"), 1, "does not exist on the exchange"),
        (("pairs_markets", "symbol=BTC", "--timeout", "-1"), 2, "deadline"),
        (("pairs_markets", "symbol=BTC", "--csv", "--json"), 2, "choose one"),
    ],
)
def test_what_goes_wrong_is_a_line(behind: Lab, words: tuple[str, ...], code: int, said: str) -> None:
    found, out, err = run(*words)
    assert (found, out) == (code, "")
    assert said in err
    assert len(err.splitlines()) == 1
    del behind


def test_a_plan_that_is_too_low_leaves_with_one(behind: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGLASS_API_KEY", "the-hobbyist-key-of-the-lab")
    code, _, err = run("coins_markets")
    assert code == 1
    assert err == "xex: coinglass: coins_markets needs the plan Standard; the key's is Hobbyist\n"
    assert len(behind.seen) == 1


def test_the_command_never_prints_the_key(behind: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGLASS_API_KEY", GIVEN)
    code, out, err = run("pairs_markets", "symbol=BTC")
    assert (code, out) == (1, "")
    assert "the key was not accepted" in err
    assert_clean(err)
    assert_clean(run("pairs_markets", GIVEN))
    assert_clean(run())
    assert behind.seen
    monkeypatch.delenv("COINGLASS_API_KEY")
    code, _, err = run("pairs_markets", "symbol=BTC")
    assert (code, err.startswith("xex: coinglass needs a key: set COINGLASS_API_KEY")) == (2, True)


def test_an_answer_knows_its_frame() -> None:
    from xex_connectors.coinglass import BY_NAME, table

    found = table(BY_NAME["supported_coins"], ["BTC"])
    assert isinstance(found, Table)
    assert found.frame()["symbol"].tolist() == ["BTC"]
