"""`xex doctor`: wrong units show as factors, right ones as nothing, and the key of the other source shows nowhere."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from math import nan
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import xex
from tests.conftest import NO_KEYS, VENUES, Tidy, configured
from tests.expected import assert_close, source
from tests.lab import Lab, Market, default_truth, extra_markets, running_lab
from tests.lab.encode_coinglass import KEY, row
from tests.test_secrets import assert_clean, assert_error_clean
from tests.test_snapshot import CONNECTORS
from xex import cli, doctor
from xex.access import registry
from xex.access.deadline import until
from xex.access.port import ExchangeConnector
from xex.config import recognised
from xex.doctor import Doctor, compare, faulty, reference_from_env
from xex.errors import (
    AuthRejected,
    BadPayload,
    ConfigError,
    ConnectorError,
    HttpError,
    NotListed,
    NoVenueAnswered,
    RateLimited,
    Restricted,
    SchemaError,
    TimedOut,
)
from xex.model import schema, units
from xex.model.instruments import Instrument
from xex.model.listings import Listings
from xex.model.units import Amount, Evidence, Units
from xex_connectors import ccxt_adapter, mapping
from xex_connectors.coinglass import (
    BY_NAME,
    BadParameter,
    IntervalNotInPlan,
    PlanTooLow,
    ServerError,
    UnknownEndpoint,
    contract_columns,
    data_of,
    pairs_markets,
    table,
)

TRUTH = default_truth().adding(extra_markets()).only("BTC", "ETH", "PEPE", "SHIB", "USDT")
CANARY = "CANARY-7f3a91"


def reference(lab: Lab, key: str = KEY) -> Any:
    """Return CoinGlass behind the lab."""
    made = reference_from_env({"COINGLASS_API_KEY": key})
    made.config.base_url = lab.url("coinglass")
    return made


def doctor_for(lab: Lab, *venues: str) -> Doctor:
    made = Doctor(cache=False, deadline=5.0)
    for venue in venues or VENUES:
        made.add_exchange(configured(lab, venue))
    return made


async def examined(lab: Lab, *venues: str, base: str = "BTC", key: str = KEY) -> pd.DataFrame:
    async with doctor_for(lab, *venues) as xm:
        return await xm.examine(reference(lab, key), base)


def units_of(monkeypatch: pytest.MonkeyPatch, exchange: str, kind: str, **fields: Any) -> None:
    """Put a wrong rule in the place of a market's."""
    market = CONNECTORS[exchange].markets[kind]
    wrong = dataclasses.replace(market, units=dataclasses.replace(market.units, **fields))
    monkeypatch.setitem(CONNECTORS[exchange].markets, kind, wrong)


# --- open interest of the venues ---------------------------------------------------------------------------------

AT_LAST = {("binance", "inverse"), ("binance", "linear"), ("okx", "linear")}
"""Whose open interest comes without a price of its own: the last one turns it into the other unit."""


def held(exchange: str, market: Market) -> tuple[Decimal, Decimal]:
    """Return open interest in base and in quote units as it must be stated."""
    mark, coins = market.mark or market.last, market.open_interest or Decimal(0)
    if (exchange, market.kind) not in AT_LAST:
        return coins, coins * mark
    return (coins * mark / market.last, coins * mark) if market.kind == "inverse" else (coins, coins * market.last)


async def open_interest(lab: Lab, exchange: str) -> tuple[pd.DataFrame, list[Any]]:
    """Return an exchange's open interest of all its contracts, and the bodies it was read from."""
    config = configured(lab, exchange)
    connector = CONNECTORS[exchange](config)
    async with xex.ExchangeManager(cache=False) as xm:
        xm.add_exchange(config, connector)
        await xm.connect_all()
        table = await connector.listings([name for name in connector.sections if name != "spot"])
        contracts = [table.listed(place).instrument for place in range(len(table))]
        asked = [instrument for instrument in contracts if instrument.kind != "spot"]
        with heard_bodies() as bodies:
            columns = schema.checked(await connector.open_interest(asked), "open_interest")
    assert len(asked) == schema.length(columns)
    return schema.frame(columns, "open_interest"), bodies


class heard_bodies:  # noqa: N801  reads as a function
    """Keeps what is answered inside the block."""

    def __enter__(self) -> list[Any]:
        self.bodies: list[Any] = []
        self.token = xex.access.transport.heard.set(self.bodies)
        return self.bodies

    def __exit__(self, *_: object) -> None:
        xex.access.transport.heard.reset(self.token)


@pytest.mark.parametrize("exchange", VENUES)
async def test_open_interest_is_the_truth_counted_once(lab: Lab, exchange: str) -> None:
    lab.truth = TRUTH
    frame, _ = await open_interest(lab, exchange)
    assert {"linear", "inverse"} <= set(frame["kind"])
    for found in frame.to_dict("records"):
        market = source(TRUTH, exchange, found["instrument"])
        for name, wanted in zip(("oi_base", "oi_quote"), held(exchange, market), strict=True):
            assert_close(found[name], wanted, f"{exchange} {found['instrument']} {name}")


async def test_bybit_and_htx_send_twice_that(lab: Lab) -> None:
    lab.truth = TRUTH
    truth = TRUTH.market("bybit", "BTC", "linear").open_interest
    _, bodies = await open_interest(lab, "bybit")
    rows = [each for body in bodies for each in json.loads(body.body)["result"]["list"] if each["symbol"] == "BTCUSDT"]
    assert truth is not None
    assert Decimal(rows[0]["openInterest"]) == 2 * truth
    market = TRUTH.market("htx", "BTC", "linear")
    _, bodies = await open_interest(lab, "htx")
    body = next(json.loads(body.body) for body in bodies if "contract_code=BTC-USDT&" in f"{body.url}&")
    assert Decimal(body["data"]["volume"]) == 2 * market.wire_interest


async def test_without_the_single_sides_figure_both_are_halved(lab: Lab) -> None:
    lab.truth = TRUTH
    lab.fault("bybit", "missing_key", keys=["singleOpenInterest"])
    frame, _ = await open_interest(lab, "bybit")
    for found in frame.to_dict("records"):
        base, quote = held("bybit", source(TRUTH, "bybit", found["instrument"]))
        assert_close(found["oi_base"], base, found["instrument"])
        assert_close(found["oi_quote"], quote, found["instrument"])
    assert frame["unit_rule"].str.contains("halved: two-sided").all()


async def test_one_contract_that_fails_costs_itself_alone(lab: Lab) -> None:
    lab.truth = TRUTH
    config = configured(lab, "binance")
    connector = CONNECTORS["binance"](config)
    async with xex.ExchangeManager(cache=False) as xm:
        xm.add_exchange(config, connector)
        await xm.connect_all()
        contracts = [Instrument(base, "USDT", "linear", "USDT") for base in ("BTC", "ETH")]
        lab.fault("binance", "status", "/fapi/v1/openInterest", times=1, code=400, body={"code": -1121, "msg": "no"})
        columns = await connector.open_interest(contracts)
    assert schema.length(columns) == 1


RULE = Units("test", proof="", evidence=Evidence.ASSUMED, size=Amount.CONTRACTS, two_sided=("open_interest",))


@pytest.mark.parametrize(
    ("sent", "size", "base", "quote"),
    [
        ({"oi": 40.0, "last": 3.0}, Amount.CONTRACTS, 40 * 0.5 * 10 * 1000, 40 * 0.5 * 10 * 1000 * 0.003),
        ({"oi": 40.0, "oi_single": 20.0, "mark": 3.0, "last": 9.0}, Amount.BASE, 20 * 1000, 20 * 1000 * 0.003),
        ({"oi": 40.0, "oi_base": 7.0}, Amount.QUOTE_CONTRACTS, 7 * 0.5 * 1000, 40 * 0.5 * 10),
        ({"oi": 40.0, "mark": 3.0}, Amount.QUOTE, 20 / 0.003, 20.0),
        ({"oi": 40.0, "oi_quote": 6.0}, Amount.BASE, 20 * 1000, 3.0),
        ({"oi": 40.0}, Amount.BASE, 20 * 1000, nan),
    ],
)
def test_open_interest_by_hand(sent: dict[str, float], size: Amount, base: float, quote: float) -> None:
    import numpy as np

    one = np.ones(1)
    rows = {name: one * value for name, value in sent.items()}
    rule = dataclasses.replace(RULE, size=size)
    done = units.interest_to_base(rows, rule, 10 * one, 1000 * one)
    assert set(done) == {"oi_base", "oi_quote", "unit_rule"}
    assert_close(done["oi_base"][0], base, "base")
    assert_close(done["oi_quote"][0], quote, "quote")
    with pytest.raises(xex.XexError, match="already"):
        units.interest_to_base(done, rule, one, one)


# --- the comparison ----------------------------------------------------------------------------------------------


def frames(ratios: dict[str, float], **contract: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return contracts that are so many times those of the other source, 1000 coins at 50 each there."""
    facts = {"contract_size": 0.01, "multiplier": 1.0, "quote": "USDT", "price": 50.0, **contract}
    mine, other = [], []
    for name, ratio in ratios.items():
        mine.append(
            {
                "exchange": name, "venue": name, "instrument": "BTC/USDT:USDT", "id": f"{name}-BTC", "last": 50.0,
                **{key: facts[key] for key in ("quote", "contract_size", "multiplier")},
                "base_volume": 1000 * ratio, "quote_volume": 50_000 * ratio, "oi_base": 1000.0, "oi_quote": 50_000.0,
                "unit_rule": "rule", "interest_rule": "rule, halved: two-sided",
            }
        )  # fmt: skip
        other.append(
            {
                "venue": name, "id": f"{name}-btc", "symbol": "BTC/USDT", "price": facts["price"],
                "volume_usd": 50_000.0, "oi_base": 1000.0, "oi_usd": 50_000.0,
            }
        )  # fmt: skip
    return pd.DataFrame(mine), pd.DataFrame(other)


def verdicts(frame: pd.DataFrame, figure: str = "volume") -> dict[str, str]:
    rows = frame[frame["figure"] == figure]
    return dict(zip(rows["exchange"], rows["verdict"], strict=True))


@pytest.mark.parametrize(
    ("ratio", "verdict", "said"),
    [
        (1.0, "fine", ""), (1.35, "fine", ""), (0.75, "fine", ""), (2.0, "two-sided", "both sides"),
        (1.85, "two-sided", "both"), (2.2, "two-sided", "both"), (0.5, "two-sided", "theirs counts both sides"),
        (0.55, "two-sided", "not halved"), (1.6, "differs", "no known factor"), (4.0, "differs", "no known factor"),
        (100.0, "unit", "contract size"), (0.0101, "unit", "contract size"), (50.0, "unit", "the price"),
        (0.02, "unit", "the price"), (5000.0, "unit", "price of a contract"), (1000.0, "unit", r"10\^3"),
        (0.1, "unit", r"10\^-1"), (37.0, "unit", "too far off"), (7e5, "unit", "too far off"),
        (nan, "absent", "not sent"), (0.0, "absent", "not sent"),
    ],
)  # fmt: skip
def test_a_ratio_has_a_meaning(ratio: float, verdict: str, said: str) -> None:
    found = compare(*frames({"a": ratio}))
    assert verdicts(found) == {"a": verdict}
    assert verdicts(found, "open interest") == {"a": "fine"}
    detail = found[found["figure"] == "volume"]["detail"].iloc[0]
    assert pd.isna(detail) if not said else pd.Series([detail]).str.contains(said).all(), detail
    assert faulty(found) == (verdict in {"two-sided", "unit"})


def test_a_multiplier_is_named() -> None:
    found = compare(*frames({"a": 1000.0}, multiplier=1000.0, contract_size=1.0, price=0.05))
    assert "coins in one of the venue's" in found["detail"].dropna().iloc[0]


def test_the_venues_own_coin_there_is_told_by_its_price() -> None:
    ours, theirs = frames({"a": 1.0}, multiplier=1000.0, contract_size=1.0)
    ours["last"], ours["oi_base"], ours["base_volume"] = 0.05, 1e6, 1e6
    found = compare(ours, theirs)
    assert set(found["verdict"]) == {"fine"}
    assert found["theirs_base"].tolist() == [1e6, 1e6]
    # At a price per coin of ours the same numbers are a fault.
    assert set(compare(ours, theirs.assign(price=0.05, volume_usd=50.0))["verdict"]) == {"unit"}


def test_nothing_there_is_absent_and_no_error() -> None:
    ours, theirs = frames({"a": 1.0})
    for name in ("price", "volume_usd", "oi_base", "oi_usd"):
        theirs[name] = 0.0
    assert set(compare(ours, theirs)["verdict"]) == {"absent"}
    assert verdicts(compare(ours, theirs.assign(price=-1.0, volume_usd=50_000.0))) == {"a": "fine"}


def test_dollars_are_judged_as_well_as_coins() -> None:
    ours, theirs = frames({"a": 1.0})
    ours["quote_volume"] *= 2
    found = compare(ours, theirs)
    assert verdicts(found) == {"a": "two-sided"}
    assert "in dollars" in found["detail"].dropna().iloc[0]
    euro = compare(*(ours.assign(quote="EUR"), theirs))
    assert verdicts(euro) == {"a": "fine"}
    assert euro["ours_usd"].isna().all()


def test_what_all_show_is_the_others_way_of_counting() -> None:
    found = compare(*frames({"a": 2.0, "b": 1.95, "c": 2.1, "d": 4.1, "e": 1.0}))
    assert verdicts(found) == {"a": "fine", "b": "fine", "c": "fine", "d": "two-sided", "e": "two-sided"}
    assert found.attrs["convention"] == {"volume": 2.0}
    rows = found[found["figure"] == "volume"].set_index("exchange")
    assert rows.loc["d", "against_median"] == pytest.approx(2.05)
    # Two of five are no convention, and neither is a factor that is not one of sides.
    assert verdicts(compare(*frames({"a": 2.0, "b": 2.0, "c": 1.0, "d": 1.0, "e": 1.0})))["a"] == "two-sided"
    assert verdicts(compare(*frames({"a": 10.0, "b": 10.0, "c": 10.0})))["a"] == "unit"


def test_rows_meet_by_id_and_else_by_pair() -> None:
    ours, theirs = frames({"a": 1.0, "b": 1.0, "c": 1.0})
    theirs["id"] = ["A_BTC", "another", "C.BTC"]
    more = theirs.iloc[[0]].assign(id="A-BTC-261225")
    found = compare(ours, pd.concat([theirs, more, more.assign(venue="elsewhere")], ignore_index=True))
    assert set(verdicts(found).values()) == {"fine"}
    assert found.attrs["unmatched"] == ["a:A-BTC-261225"]
    # Two contracts of one pair: which of them is meant is not guessed.
    both = pd.concat([theirs, theirs.iloc[[1]].assign(id="a third")], ignore_index=True)
    assert verdicts(compare(ours, both))["b"] == "absent"


def test_no_rows_are_no_error_and_a_missing_column_is() -> None:
    ours, theirs = frames({"a": 1.0})
    empty = compare(ours.iloc[:0], theirs.iloc[:0])
    assert list(empty.columns) == list(schema.SCHEMAS["doctor"])
    assert not faulty(empty)
    with pytest.raises(SchemaError, match="oi_base"):
        compare(ours.drop(columns="oi_base"), theirs)


# --- the whole question over TCP ---------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["BTC", "PEPE"])
async def test_in_a_true_world_all_is_fine(lab: Lab, base: str) -> None:
    lab.truth = TRUTH
    found = await examined(lab, base=base)
    assert set(found["verdict"]) == {"fine"}
    assert found["ratio_base"].between(0.99, 1.01).all()
    assert found["ratio_usd"].between(0.99, 1.01).all()
    listed = {(m.venue.removesuffix("futures"), m.id) for m in TRUTH.markets if m.kind != "spot" and m.base == base}
    assert set(zip(found["venue"], found["id"], strict=True)) == {pair for pair in listed if pair[0] in VENUES}
    assert found.attrs["dropped"] == found.attrs["convention"] == {}
    assert found.attrs["unmatched"] == []
    assert found.attrs["reference"] == "coinglass"
    assert found["unit_rule"].notna().all()
    assert len([seen for seen in lab.seen if seen.venue == "coinglass"]) == 1


def judged(found: pd.DataFrame) -> dict[tuple[str, str], set[str]]:
    """Return what is not fine: the verdicts by exchange and figure."""
    wrong = found[found["verdict"] != "fine"]
    keys = zip(wrong["exchange"], wrong["figure"], strict=True)
    result: dict[tuple[str, str], set[str]] = {}
    for key, verdict in zip(keys, wrong["verdict"], strict=True):
        result.setdefault(key, set()).add(verdict)
    return result


@pytest.mark.parametrize("kind", ["linear", "inverse"])
async def test_a_two_sided_figure_that_is_not_halved_shows(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    lab.truth = TRUTH
    units_of(monkeypatch, "htx", kind, two_sided=())
    found = await examined(lab)
    assert judged(found) == {("htx", figure): {"two-sided"} for figure in doctor.FIGURES}
    wrong = found[found["verdict"] == "two-sided"]
    assert wrong["ratio_base"].between(1.98, 2.02).all()
    assert wrong["against_median"].between(1.98, 2.02).all()
    assert wrong["instrument"].str.contains("USDT" if kind == "linear" else "BTC/USD:BTC").all()


async def test_both_sides_of_bybits_open_interest_show(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.truth = TRUTH
    lab.fault("bybit", "missing_key", keys=["singleOpenInterest"])
    units_of(monkeypatch, "bybit", "linear", two_sided=())
    assert judged(await examined(lab)) == {("bybit", "open interest"): {"two-sided"}}


async def test_what_is_halved_and_should_not_be_shows(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.truth = TRUTH
    units_of(monkeypatch, "okx", "linear", two_sided=("volume", "open_interest"))
    found = await examined(lab)
    assert judged(found) == {("okx", figure): {"two-sided"} for figure in doctor.FIGURES}
    assert found[found["verdict"] != "fine"]["detail"].str.contains("ours is halved").all()


async def test_contracts_taken_for_coins_show_as_the_contract_size(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.truth = TRUTH
    units_of(monkeypatch, "okx", "linear", size=Amount.BASE)
    found = await examined(lab)
    assert judged(found) == {("okx", "open interest"): {"unit"}}
    wrong = found[found["verdict"] != "fine"]
    assert wrong["ratio_base"].between(99, 101).all()
    assert wrong["detail"].str.contains("contract size, 0.01").all()


async def test_a_contract_size_that_is_off_by_ten_shows(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.truth = TRUTH
    real = mapping.listings

    def tenfold(*args: Any, **more: Any) -> Listings:
        table = real(*args, **more)
        table.columns["contract_size"] = [10 * cell for cell in table.columns["contract_size"]]
        return table

    monkeypatch.setattr(ccxt_adapter, "listings", tenfold)
    found = await examined(lab, "htx")
    assert ("htx", "open interest") in judged(found)
    assert "unit" in judged(found)["htx", "open interest"]


async def test_coins_taken_for_dollars_show_as_a_price(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.truth = TRUTH
    (tickers,) = CONNECTORS["bybit"].markets["inverse"].tickers
    fields = {**tickers.fields, "base_volume": "volume24h", "quote_volume": "turnover24h"}
    wrong = dataclasses.replace(tickers, fields=fields)
    market = dataclasses.replace(CONNECTORS["bybit"].markets["inverse"], tickers=(wrong,))
    monkeypatch.setitem(CONNECTORS["bybit"].markets, "inverse", market)
    found = await examined(lab, "bybit")
    assert judged(found) == {("bybit", "volume"): {"unit"}}
    assert found[found["verdict"] == "unit"]["detail"].str.contains("the price").all()


async def test_an_exchange_that_the_other_source_lacks_is_absent_and_no_fault(lab: Lab) -> None:
    lab.truth = TRUTH
    rows = [row(market) for market in TRUTH.markets if market.kind != "spot" and market.base == "BTC"]
    rows = [one for one in rows if one["exchange_name"] != "OKX"]
    lab.fault("coinglass", "status", code=200, body={"code": "0", "data": rows})
    found = await examined(lab, "okx", "binance")
    assert judged(found) == {("okx", figure): {"absent"} for figure in doctor.FIGURES}
    assert not faulty(found)


async def test_a_venue_that_fails_is_named_and_the_others_are_compared(lab: Lab) -> None:
    lab.truth = TRUTH
    lab.fault("htx", "html")
    lab.fault("okx", "html", "/api/v5/public/open-interest")
    found = await examined(lab, "htx", "okx", "kraken")
    assert found.attrs["answered"] == ["okx", "kraken"]
    assert found.attrs["dropped"]["htx"].startswith("bad_payload")
    assert found.attrs["dropped"]["okx"].startswith("bad_payload: open interest")
    assert judged(found) == {("okx", "open interest"): {"absent"}}


async def test_nobody_and_nothing_listed(lab: Lab) -> None:
    lab.fault("okx", "html")
    with pytest.raises(NoVenueAnswered, match="okx"):
        await examined(lab, "okx")
    with pytest.raises(NotListed, match="coinglass: no contracts of NOSUCH"):
        await examined(lab, "okx", base="NOSUCH")


# --- the other source's answers ----------------------------------------------------------------------------------

REFUSALS = [
    (200, {"code": "401", "msg": "Upgrade plan"}, PlanTooLow, "plan"),
    (200, {"code": "403", "msg": "The requested interval is not available."}, IntervalNotInPlan, "plan"),
    (200, {"code": "400", "msg": "API key missing."}, AuthRejected, "not accepted"),
    (401, {"code": "401", "msg": "Invalid key"}, AuthRejected, "not accepted"),
    (200, {"code": 401, "msg": None}, AuthRejected, "not accepted"),
    (401, "<html>denied</html>", AuthRejected, "not accepted"),
    (200, {"code": "30001", "msg": "API key missing"}, AuthRejected, "not accepted"),
    (200, {"code": "400", "msg": "Required String parameter 'symbol' is not present"}, BadParameter, "symbol"),
    (200, {"code": "400", "msg": "The requested pair does not exist on the exchange."}, NotListed, "does not exist"),
    (200, {"code": "500", "msg": "Server Error"}, ServerError, "Server Error"),
    (404, {"code": "404", "msg": "Endpoint not found."}, UnknownEndpoint, "not found"),
    (400, {"code": "0"}, BadParameter, "400"),
    (200, {"code": "429", "msg": "Too Many Requests"}, RateLimited, "Too Many"),
    (429, {"code": "429", "msg": "Too Many Requests"}, RateLimited, "429"),
    (403, "<html>denied</html>", Restricted, "403"),
    (404, "no such page", HttpError, "404"),
    (200, "<html>Just a moment</html>", BadPayload, "HTML"),
    (200, {"msg": "success"}, BadPayload, "no code"),
    (200, {"code": "0", "data": {"list": []}}, BadPayload, "instrument_id"),
    (200, {"code": "0", "data": None}, NotListed, "no contracts"),
    (200, {"code": "0", "data": []}, NotListed, "no contracts"),
]


@pytest.mark.parametrize(("status", "body", "error", "said"), REFUSALS)
async def test_a_refusal_has_its_own_error(
    lab: Lab, status: int, body: Any, error: type[ConnectorError], said: str
) -> None:
    lab.fault("coinglass", "status", code=status, body=body)
    with pytest.raises(ConnectorError, match=f"^coinglass: .*{said}") as caught:
        await examined(lab, "okx")
    assert type(caught.value) is error
    assert caught.value.venue == "coinglass"
    # Nobody else is asked while there is nothing to compare with.
    assert {seen.venue for seen in lab.seen} == {"coinglass"}


async def test_after_too_many_requests_it_is_left_alone(lab: Lab) -> None:
    lab.fault("coinglass", "rate_limited", status=200)
    for _ in range(2):
        with pytest.raises(RateLimited):
            await examined(lab, "okx")
    assert len(lab.seen) == 1


def test_numbers_come_as_numbers_or_text_and_what_is_missing_is_absent() -> None:
    good = {
        "exchange_name": "Gate.io", "instrument_id": "BTC_USDT", "symbol": "BTC/USDT", "current_price": "50.5",
        "volume_usd": 7, "open_interest_quantity": "1e3", "open_interest_usd": None,
    }  # fmt: skip
    rows = [good, {"exchange_name": "Huobi", "instrument_id": "BTC-USDT"}, {"exchange_name": "OKX"}, "nonsense", None]
    columns = contract_columns(table(BY_NAME["pairs_markets"], rows))
    assert columns["venue"] == ["gate", "htx"]
    assert columns["id"] == ["BTC_USDT", "BTC-USDT"]
    frame = schema.frame(columns, "reference")
    assert list(frame.loc[0, ["price", "volume_usd", "oi_base"]]) == [50.5, 7.0, 1000.0]
    assert frame.loc[0, ["oi_usd"]].isna().all()
    assert frame.loc[1, ["price", "volume_usd", "oi_base", "oi_usd"]].isna().all()
    assert contract_columns(table(BY_NAME["pairs_markets"], None))["id"] == []


def test_requests_and_answers_need_no_network() -> None:
    assert pairs_markets("BTC").url == "https://open-api-v4.coinglass.com/api/futures/pairs-markets?symbol=BTC"
    assert data_of(b'{"code":"0","data":[1]}') == [1]
    assert data_of(b'{"code":0,"msg":"success"}') is None


# --- the key -----------------------------------------------------------------------------------------------------


async def test_the_key_is_sent_as_a_header_and_shows_nowhere(
    lab: Lab, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    made = reference(lab, CANARY)
    file = tmp_path / "kept.json"
    with pytest.raises(AuthRejected) as caught, xex.record(file):
        async with doctor_for(lab, "okx") as xm:
            await xm.examine(made)
    assert lab.seen[0].headers["CG-API-KEY"] == CANARY
    assert "CANARY" not in lab.seen[0].path_qs
    # The lab's refusal repeats the key.
    assert "***" in str(caught.value)
    assert_error_clean(caught.value)
    assert_clean(caplog.text)
    assert_clean(repr(made.config))
    assert_clean(vars(made)["_route"].state.last_error)
    if file.exists():
        assert_clean(file.read_text())


def test_without_a_key_it_says_how_to_get_on() -> None:
    for environ in ({}, {"COINGLASS_API_KEY": "  "}):
        with pytest.raises(ConfigError, match=r"set COINGLASS_API_KEY; a key comes with .*Without --live"):
            reference_from_env(environ)


def test_a_reference_is_no_venue() -> None:
    assert list(registry.references()) == ["coinglass"]
    assert not issubclass(registry.load_reference(registry.references()["coinglass"]), ExchangeConnector)


def test_names_of_the_environment_are_told_and_no_values() -> None:
    environ = {
        "OKX_API_KEY": CANARY,
        "HUOBI_SECRET_KEY": "x",
        "EXCHANGE_TIMEOUT": "3",
        "OTHER": "y",
        "BYBIT_API_KEY": " ",
    }
    assert recognised(["okx", "htx", "bybit"], environ) == ["OKX_API_KEY", "HUOBI_SECRET_KEY", "EXCHANGE_TIMEOUT"]


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_lab(loaded: None) -> Iterator[Lab]:  # noqa: ARG001  imports are not its time
    with running_lab(TRUTH) as started:
        yield started


@pytest.fixture
def behind(shared_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Let the command find its venues and the other source behind the lab."""

    def from_env(*, deadline: float | None = None) -> Doctor:
        made = doctor_for(shared_lab, "okx", "htx", "kraken")
        made.deadline = deadline or made.deadline
        return made

    def with_base_url() -> Any:
        made = reference_from_env()
        made.config.base_url = shared_lab.url("coinglass")
        return made

    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("COINGLASS_API_KEY", KEY)
    monkeypatch.setattr(Doctor, "from_env", from_env)
    monkeypatch.setattr(doctor, "reference_from_env", with_base_url)
    shared_lab.seen.clear()
    yield shared_lab
    shared_lab.heal()


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.app, ["doctor", *words], prog_name="xex", catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_all_fine_leaves_with_nought(behind: Lab) -> None:
    code, out, err = run("--live")
    assert (code, err) == (0, "")
    assert "BTC contracts in coins, against coinglass" in out
    assert out.count("fine") == sum(
        market.base == "BTC" and market.kind != "spot" and market.venue in {"okx", "htx", "krakenfutures"}
        for market in behind.truth.markets
    )


@pytest.mark.parametrize("columns", ["80", "120"])
def test_a_fault_is_said_once_and_leaves_with_one(behind: Lab, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    assert behind.faults == []
    monkeypatch.setenv("COLUMNS", columns)
    units_of(monkeypatch, "htx", "linear", two_sided=())
    code, out, _ = run("--live")
    assert code == 1
    assert all(len(line) <= int(columns) for line in out.splitlines())
    assert out.count("ours counts both sides") <= 2
    assert "htx, volume: two-sided; in base units ours is 2 × theirs" in " ".join(out.split())


def test_json_is_strict_and_holds_the_rest(behind: Lab) -> None:
    behind.fault("okx", "html", "/api/v5/public/open-interest")
    code, out, _ = run("--live", "--json", "--base", "ETH", "--venues", "okx")

    def refuse(word: str) -> Any:
        raise AssertionError(word)

    told = json.loads(out, parse_constant=refuse)
    assert code == 0
    assert (told["base"], told["reference"], told["faulty"]) == ("ETH", "coinglass", False)
    assert told["dropped"]["okx"]["detail"].startswith("open interest")
    assert {one["verdict"] for one in told["rows"]} == {"fine", "absent"}
    assert told["rows"][0].keys() == schema.SCHEMAS["doctor"].keys()
    code, out, err = run("--live", "--csv")
    assert code == 0
    assert out.splitlines()[0] == ",".join(schema.SCHEMAS["doctor"])
    assert "okx is left out" in err


@pytest.mark.parametrize(
    ("body", "said"),
    [({"code": "401", "msg": "Upgrade plan"}, "plan"), ("<html></html>", "HTML"), ({"code": "0", "data": []}, "BTC")],
)
def test_an_error_of_the_other_source_is_a_line(behind: Lab, body: Any, said: str) -> None:
    behind.fault("coinglass", "status", code=200, body=body)
    code, out, err = run("--live")
    assert (code, out) == (2, "")
    assert err.startswith("xex: coinglass: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_wrong_key_is_not_repeated(behind: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGLASS_API_KEY", CANARY)
    code, out, err = run("--live")
    assert (code, out) == (2, "")
    assert "the key was not accepted" in err
    assert_clean(out + err)
    assert behind.seen[0].headers["CG-API-KEY"] == CANARY


def test_no_key_is_a_line_that_helps(behind: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COINGLASS_API_KEY")
    code, _, err = run("--live")
    assert code == 2
    assert "set COINGLASS_API_KEY" in err
    assert behind.seen == []


def test_offline_the_installation_is_looked_at_and_nobody_asked(behind: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGLASS_API_KEY", CANARY)
    code, out, _ = run("--offline")
    assert code == 0
    for what in ("python", "ccxt", "connector okx", "reference coinglass", "cache folder", "COINGLASS_API_KEY"):
        assert what in out
    assert_clean(out)
    assert behind.seen == []
    assert json.loads(run("--offline", "--json")[1])["rows"][0]["what"] == "python"
    monkeypatch.setenv("EXCHANGE_TIMEOUT", "soon")
    code, out, _ = run("--offline")
    assert code == 1
    assert "wrong:" in out
    code, _, err = run("--base", "ETH")
    assert code == 2
    assert "goes with --live" in err


async def test_a_question_whose_time_is_over_before_it_has_begun_is_nobody_s_complaint(lab: Lab, tidy: Tidy) -> None:
    async with Doctor(cache=False) as xm:
        assert xm.add_exchange(configured(lab, "okx", **NO_KEYS))
        entry = xm._entries["okx"]
        await xm._ready(entry)
        with until(0.0):
            tickers, interest = await xm._asked_both(entry, [Instrument("BTC", "USDT", "linear", "USDT")])
    assert isinstance(tickers, TimedOut)
    assert isinstance(interest, TimedOut)
    del tickers, interest
    gc.collect()
    await tidy.check()
