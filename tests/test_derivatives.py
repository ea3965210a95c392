"""Funding, open interest and long/short against the lab's truth: every interval, linear and inverse, all venues."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import xex
from tests.conftest import VENUES, ManagerFor
from tests.expected import assert_close, source
from tests.lab import Lab, Truth, default_truth
from tests.lab.truth import Market
from tests.test_maps import DATA, _get, ccxt_client, recorded
from tests.test_snapshot import CONNECTORS
from xex.access.port import ExchangeConnector
from xex.errors import BadPayload, ConfigError, NoVenueAnswered, SymbolError, UnitError, UnknownSymbol
from xex.model import schema
from xex.model.instruments import Instrument
from xex.model.units import Funding, funding_to_rate
from xex_connectors.mapping import ErrorBody, FundingMap, RatioMap, ratio_columns, ticker_columns

HOUR_MS = 3_600_000
BTC = {"linear": "BTCUSDT", "inverse": "BTC/USD:BTC"}
LONGS = (Decimal("0.62"), Decimal("0.55"), Decimal("0.4375"))
OF_POPULATION = {"accounts": 0, "top accounts": 1, "top positions": 2}
POPULATIONS = {
    "binance": list(OF_POPULATION), "okx": list(OF_POPULATION), "htx": ["top accounts", "top positions"],
    "bybit": ["accounts"],
}  # fmt: skip
LOCKED = {("htx", "top accounts"): Fraction(4, 100)}
"""Of HTX's elite so many hold both sides, and are neither long nor short."""


def carried(hours: int = 8, hourly: str = "0.0000125") -> Truth:
    """Return the world where every perpetual settles every so many hours, Kraken's every hour, as it does."""
    truth = default_truth()
    changed = (
        market if market.funding_hourly is None else dataclasses.replace(
            market, funding_hourly=Decimal(hourly), funding_hours=1 if market.venue == "krakenfutures" else hours,
            long_shares=LONGS,
        )
        for market in truth.markets
    )  # fmt: skip
    return dataclasses.replace(truth, markets=tuple(changed))


def with_market(truth: Truth, wanted: Callable[[Market], bool], **changes: Any) -> Truth:
    """Return the world with some markets changed."""
    markets = tuple(dataclasses.replace(one, **changes) if wanted(one) else one for one in truth.markets)
    return dataclasses.replace(truth, markets=markets)


def assert_funded(frame: pd.DataFrame, truth: Truth, before_ms: int, after_ms: int) -> None:
    """Compare every row's numbers with the truth's, worked out as fractions."""
    assert len(frame)
    for row in frame.to_dict("records"):
        market = source(truth, row["exchange"], row["instrument"])
        what = f"{row['exchange']} {row['instrument']}"
        assert market.funding_hourly is not None
        hours = 1 if row["exchange"] == "kraken" else market.funding_hours
        rate = Fraction(market.funding_hourly) * hours
        assert_close(row["rate"], rate, f"{what} rate")
        assert_close(row["interval_hours"], hours, f"{what} interval")
        assert_close(row["apr"], rate * 8760 / hours, f"{what} apr")
        assert row["rate_kind"] == ("settled" if row["exchange"] == "kraken" else "predicted")
        interval = hours * HOUR_MS
        coming = {(now // interval + 1) * interval for now in (before_ms, after_ms)}
        assert row["next_time"].value // 1_000_000 in coming, what
        for name in ("mark", "index"):
            absent = row["exchange"] in {"okx", "htx"}
            assert_close(row[name], math.nan if absent else getattr(market, name), f"{what} {name}")


# --- funding


@pytest.mark.parametrize("hours", [1, 2, 4, 8])
@pytest.mark.parametrize("hourly", ["0.0000125", "-0.0000321"])
async def test_the_whole_markets_funding_is_the_truths(
    lab: Lab, manager_for: ManagerFor, hours: int, hourly: str
) -> None:
    lab.truth = carried(hours, hourly)
    before = lab.now_ms()
    frame = await manager_for(lab).funding()
    assert_funded(frame, lab.truth, before, lab.now_ms())
    perpetuals = [one for one in lab.truth.markets if one.funding_hourly is not None and one.venue != "bitget"]
    assert len(frame) == len(perpetuals)
    assert set(frame["kind"]) == {"linear", "inverse"}
    assert frame.attrs["dropped"] == {}
    assert frame.attrs["answered"] == frame.attrs["asked"] == list(VENUES)


@pytest.mark.parametrize("hours", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", BTC)
async def test_one_instruments_funding_is_the_truths(lab: Lab, manager_for: ManagerFor, kind: str, hours: int) -> None:
    lab.truth = carried(hours, "-0.0000321")
    before = lab.now_ms()
    frame = await manager_for(lab).funding(BTC[kind])
    assert_funded(frame, lab.truth, before, lab.now_ms())
    assert sorted(frame["exchange"]) == sorted(VENUES)
    assert set(frame["kind"]) == {kind}
    flagged = dict(zip(frame["exchange"], frame["flags"].fillna(""), strict=True))
    assert flagged == {name: "substitute" if (name, kind) == ("kraken", "linear") else "" for name in VENUES}


async def test_each_market_has_its_own_interval(lab: Lab, manager_for: ManagerFor) -> None:
    """One coin of each venue settles every hour, another every four, and the rest every eight."""
    own = {"ETH": 1, "SOL": 4}
    truth = default_truth()
    for base, hours in own.items():
        truth = with_market(
            truth, lambda one, base=base: one.base == base and one.kind == "linear" and one.venue != "krakenfutures",  # type: ignore[misc]
            funding_hours=hours,
        )  # fmt: skip
    lab.truth = truth
    xm = manager_for(lab, venues=("binance", "okx", "htx", "bybit"))
    before = lab.now_ms()
    frame = await xm.funding(["BTCUSDT", "ETHUSDT", "SOLUSDT", "BTC/USD:BTC"])
    assert_funded(frame, truth, before, lab.now_ms())
    found = frame.groupby("instrument")["interval_hours"].agg(set).to_dict()
    assert found == {"BTC/USDT:USDT": {8}, "ETH/USDT:USDT": {1}, "SOL/USDT:USDT": {4}, "BTC/USD:BTC": {8}}
    assert len(frame) == 16


async def test_several_instruments_are_one_request_where_the_venue_allows(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("binance", "okx", "bybit", "kraken"))
    await xm.funding(["BTCUSDT", "ETHUSDT"])
    first = len(lab.seen)
    await xm.funding(["BTCUSDT", "ETHUSDT"])
    asked = sorted(seen.path_qs for seen in lab.seen[first:])
    assert asked == [
        "/api/v5/public/funding-rate?instId=ANY", "/derivatives/api/v3/tickers", "/fapi/v1/premiumIndex",
        "/v5/market/tickers?category=linear",
    ]  # fmt: skip


async def test_an_interval_that_cannot_be_had_is_absent_not_eight_hours(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = carried(4)
    lab.fault("binance", "status", "/fapi/v1/fundingInfo", code=404)
    frame = await manager_for(lab, venues=("binance",)).funding(["BTCUSDT", "BTC/USD:BTC"])
    rows = {row["kind"]: row for row in frame.to_dict("records")}
    assert rows["linear"]["rate"] == pytest.approx(0.00005)
    assert math.isnan(rows["linear"]["interval_hours"])
    assert math.isnan(rows["linear"]["apr"])
    assert rows["linear"]["flags"] == "partial"
    assert rows["inverse"]["interval_hours"] == 4  # the other host has answered


async def test_a_multiplied_coin_has_the_same_rate_and_the_mark_of_one_coin(lab: Lab, manager_for: ManagerFor) -> None:
    ids = {"binance": "1000PEPEUSDT", "krakenfutures": "PF_1000PEPEUSD"}
    for venue, id_ in ids.items():
        lab.truth = with_market(
            lab.truth, lambda one, venue=venue: (one.venue, one.kind, one.base) == (venue, "linear", "DOGE"),  # type: ignore[misc]
            base="PEPE", id=id_, multiplier=Decimal(1000),
        )  # fmt: skip
    xm = manager_for(lab, venues=("binance", "kraken"))
    before = lab.now_ms()
    frame = await xm.funding("PEPEUSDT")
    assert sorted(frame["exchange"]) == ["binance", "kraken"]
    assert_funded(frame, lab.truth, before, lab.now_ms())
    assert_open(await xm.open_interest("PEPEUSDT"), lab.truth)


async def test_who_fails_is_named_and_the_others_answer(lab: Lab, manager_for: ManagerFor) -> None:
    lab.fault("okx", "status", "/api/v5/public/funding-rate", code=503)
    lab.fault("htx", "empty", "/v5/market/funding_rate")
    frame = await manager_for(lab).funding("BTCUSDT", deadline=1.0)
    assert sorted(frame["exchange"]) == ["binance", "bybit", "kraken"]
    assert set(frame.attrs["dropped"]) == {"okx", "htx"}
    several = await manager_for(lab).funding(["BTCUSDT", "ETHUSDT"], deadline=1.0)
    assert set(several.attrs["dropped"]) == {
        f"{name} {coin}/USDT:USDT" for name in ("okx", "htx") for coin in ("BTC", "ETH")
    }
    for venue in VENUES:
        lab.fault(venue, "status", code=503)
    lab.fault("kraken", "status", code=503)
    with pytest.raises(NoVenueAnswered):
        await manager_for(lab).funding("BTCUSDT", deadline=1.0)
    with pytest.raises(NoVenueAnswered):
        await manager_for(lab).funding(deadline=1.0)


async def test_a_failure_of_one_list_names_itself_and_spares_the_other(lab: Lab, manager_for: ManagerFor) -> None:
    lab.fault("binance", "status", "/dapi/v1/premiumIndex", code=451)
    frame = await manager_for(lab, venues=("binance",)).funding(["BTCUSDT", "BTC/USD:BTC"])
    assert list(frame["instrument"]) == ["BTC/USDT:USDT"]
    assert list(frame.attrs["dropped"]) == ["binance BTC/USD:BTC"]
    assert "451" in frame.attrs["dropped"]["binance BTC/USD:BTC"]


async def test_what_hangs_is_late_and_the_rest_is_kept(lab: Lab, manager_for: ManagerFor) -> None:
    lab.latency["okx", "/api/v5/public/funding-rate"] = 2.0
    xm = manager_for(lab)
    await xm.instruments(market="perp")
    started = time.monotonic()
    frame = await xm.funding("BTCUSDT", deadline=0.4)
    assert time.monotonic() - started < 1.0
    assert "okx" not in set(frame["exchange"])
    assert frame.attrs["dropped"]["okx"].startswith(("late", "timeout"))


async def test_a_backup_answers_for_its_venue(lab: Lab, manager_for: ManagerFor) -> None:
    from tests.conftest import configured

    xm = manager_for(lab, venues=("okx",))
    xm.add_exchange(configured(lab, "okx", exchange_id="spare", priority=2))
    lab.fault("okx", "status", "/api/v5/public/funding-rate", times=1, code=404)
    frame = await xm.funding("BTCUSDT")
    assert list(frame["exchange"]) == ["spare"]
    assert list(frame["venue"]) == ["okx"]


async def test_features_narrow_who_is_asked(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("okx", "bybit"), okx={"features": ["ticker"]})
    assert list((await xm.funding("BTCUSDT"))["exchange"]) == ["bybit"]
    assert xm.get_best_exchange("long_short") == "bybit"
    with pytest.raises(ConfigError, match="funding_rates"):
        await manager_for(lab, venues=("okx",), okx={"features": ["ticker"]}).funding("BTCUSDT")


@pytest.mark.parametrize(
    ("question", "options", "error", "words"),
    [
        ("funding", {"symbols": "BTC/USDT"}, SymbolError, "perpetuals have funding; write BTC/USDT:USDT"),
        ("funding", {"symbols": "BTC/USDT:USDT-261225"}, SymbolError, "perpetuals have funding"),
        ("funding", {"market": "spot"}, SymbolError, "spot markets have none"),
        ("funding", {"market": "dated"}, SymbolError, "perpetuals have funding"),
        ("funding", {"market": "moon"}, SymbolError, "unknown market"),
        ("funding", {"symbols": []}, ConfigError, "names none"),
        ("funding", {"symbols": "NOPEUSDT"}, UnknownSymbol, "NOPE"),
        ("funding", {"symbols": ["BTCUSDT", "NOPEUSDT"]}, UnknownSymbol, "NOPE"),
        ("open_interest", {"symbols": "BTC/USDT"}, SymbolError, "contracts are open; write BTC/USDT:USDT"),
        ("open_interest", {"market": "spot"}, SymbolError, "contracts are open"),
        ("long_short", {"symbols": "BTC/USDT"}, SymbolError, "held long and short"),
        ("long_short", {"symbols": None}, ConfigError, "name symbols"),
    ],
)
async def test_what_has_no_answer_says_so(
    lab: Lab, manager_for: ManagerFor, question: str, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await getattr(manager_for(lab), question)(**options)


# --- open interest


@pytest.mark.parametrize("symbol", [*BTC.values(), "BTC/USDT:USDT-{expiry}", "BTC/USD:BTC-{expiry}"])
async def test_open_interest_is_the_truths_each_contract_once(lab: Lab, manager_for: ManagerFor, symbol: str) -> None:
    expiry = next(one.expiry for one in lab.truth.markets if one.expiry)
    frame = await manager_for(lab).open_interest(symbol.format(expiry=expiry))
    assert len(frame) >= 4
    assert_open(frame, lab.truth)


AT_LAST = {("binance", "linear"), ("binance", "inverse"), ("okx", "linear")}
"""Who sends neither the other unit nor a mark: the last price turns one into the other."""


def assert_open(frame: pd.DataFrame, truth: Truth) -> None:
    """Compare open interest with the truth, which counts contracts once and inverse ones at their mark."""
    for row in frame.to_dict("records"):
        market = source(truth, row["exchange"], row["instrument"])
        what = f"{row['exchange']} {row['instrument']}"
        coins, mark, last = (Fraction(one or 0) for one in (market.open_interest, market.mark, market.last))
        at_last = (row["exchange"], market.kind) in AT_LAST
        inverse = market.kind == "inverse"
        base = coins * mark / last if inverse and at_last else coins
        quote = coins * last if at_last and not inverse else coins * mark
        # Venues write coins with eight decimals, and Bybit whole dollars.
        assert_close(row["oi_base"], base, f"{what} base", rel=1e-9)
        assert_close(row["oi_quote"], quote, f"{what} quote", rel=1e-9)
        halved = row["exchange"] in {"htx", "bybit"}
        assert ("halved: two-sided" in row["unit_rule"]) is halved


async def test_open_interest_of_whole_markets_comes_from_who_tells_it_at_once(
    lab: Lab, manager_for: ManagerFor
) -> None:
    frame = await manager_for(lab).open_interest()
    assert_open(frame, lab.truth)
    assert set(frame["exchange"]) == {"okx", "htx", "bybit", "kraken"}
    assert "name symbols" in frame.attrs["dropped"]["binance"]
    assert "linear: it tells of one contract at a time" in frame.attrs["dropped"]["htx"]
    assert set(frame.loc[frame["exchange"] == "htx", "kind"]) == {"inverse"}
    perps = await manager_for(lab, venues=("okx",)).open_interest(market="perp")
    wanted = [one for one in lab.truth.of("okx", "linear") if one.funding_hourly is not None]
    assert sorted(perps["base"]) == sorted(one.base for one in wanted)


# --- long and short


@pytest.mark.parametrize("kind", BTC)
async def test_each_population_has_a_row_of_its_own(lab: Lab, manager_for: ManagerFor, kind: str) -> None:
    lab.truth = carried()
    frame = await manager_for(lab).long_short(BTC[kind])
    found = frame.groupby("exchange")["population"].agg(list).to_dict()
    assert found == POPULATIONS
    assert sorted(frame.attrs["asked"]) == sorted(POPULATIONS)  # Kraken publishes none, and is not asked
    assert frame.attrs["dropped"] == {}
    assert_held(frame)
    pairs = set(frame.loc[frame["flags"] == "pair", "exchange"])
    assert pairs == ({"binance"} if kind == "inverse" else set())


def assert_held(frame: pd.DataFrame) -> None:
    """Compare ratios and shares with the truth's, worked out as fractions."""
    for row in frame.to_dict("records"):
        what = f"{row['exchange']} {row['population']}"
        long = Fraction(LONGS[OF_POPULATION[row["population"]]])
        free = 1 - LOCKED.get((row["exchange"], row["population"]), Fraction(0))
        # Binance writes its ratios with four decimals.
        rel = 1e-4 if row["exchange"] == "binance" else 1e-9
        assert_close(row["ratio"], long / (1 - long), f"{what} ratio", rel=rel)
        assert_close(row["long_share"], long * free, f"{what} long", rel=rel)
        assert_close(row["short_share"], (1 - long) * free, f"{what} short", rel=rel)
        assert row["currency"] == row["quote"]


async def test_a_population_that_is_missing_is_said(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = carried()
    lab.fault("binance", "status", "/futures/data/topLongShortAccountRatio", code=404)
    frame = await manager_for(lab, venues=("binance",)).long_short("BTCUSDT")
    assert_held(frame)
    assert list(frame["population"]) == ["accounts", "top positions"]
    assert list(frame["flags"]) == ["partial", "partial"]


RATIO = RatioMap({"x": "accounts"}, {"long_share": "l", "short_share": "s", "time": "t"}, "d", ok=("code", "0"))
ONLY_RATIO = RatioMap({"x": "accounts"}, {"ratio": "1", "time": "0"}, "d")


def test_the_latest_ratio_counts_whatever_the_order() -> None:
    rows = [{"l": "0.5", "s": "0.5", "t": "1700000000000"}, {"l": "0.6", "s": "0.4", "t": "1700000300000"}]
    for given in (rows, rows[::-1]):
        columns = ratio_columns(json.dumps({"code": "0", "d": given}).encode(), RATIO)
        assert columns["exchange_time"].tolist() == [1700000300000]
        assert columns["ratio"].tolist() == [pytest.approx(1.5)]
        assert columns["long_share"].tolist() == [0.6]
    derived = ratio_columns(b'{"d":[["1700000000000","3"]]}', ONLY_RATIO)
    assert [derived[name][0] for name in ("ratio", "long_share", "short_share")] == [3, 0.75, 0.25]


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":"0","d":[]}', b'{"code":"0"}', b'{"code":"0","d":[{}]}', b'{"code":"0","d":[{"l":"0.5","s":"0.5"}]}',
        b'{"code":"0","d":[{"l":"","s":"0.4","t":"1700000000000"}]}',
        b'{"code":"0","d":[{"l":"0.6","s":"0","t":"1700000000000"}]}',
        b'{"code":"0","d":[{"l":"-0.6","s":"0.4","t":"1700000000000"}]}',
        b'{"code":"0","d":[{"l":"60","s":"40","t":"1700000000000"}]}', b"<html>",
    ],
)  # fmt: skip
def test_a_body_without_a_usable_ratio_is_an_error(body: bytes) -> None:
    with pytest.raises(BadPayload):
        ratio_columns(body, RATIO)
    with pytest.raises(ErrorBody):
        ratio_columns(b'{"code":"1","d":[]}', RATIO)


# --- the maps


FUNDED = [
    (venue, kind) for venue, connector in CONNECTORS.items() for kind in ("linear", "inverse")
    if connector.markets[kind].funding is not None
]  # fmt: skip


def test_all_venues_have_funding_of_both_kinds() -> None:
    assert sorted(FUNDED) == sorted((venue, kind) for venue in VENUES for kind in BTC)


def enveloped(spec: Any, rows: list[dict[str, Any]]) -> bytes:
    """Return a body that holds rows where a map looks for them."""
    if not spec.rows:
        return json.dumps(rows).encode()
    body: dict[str, Any] = {spec.ok[0]: spec.ok[1]} if spec.ok else {}
    inner = body
    *outer, last = spec.rows.split(".")
    for part in outer:
        inner = inner.setdefault(part, {})
    inner[last] = rows
    return json.dumps(body).encode()


@pytest.mark.parametrize(("venue", "kind"), FUNDED)
def test_empty_one_row_and_all_absent(venue: str, kind: Any) -> None:
    funding = CONNECTORS[venue].markets[kind].funding
    assert funding is not None
    for spec in filter(None, (funding.rates, funding.named)):
        assert ticker_columns(enveloped(spec, []), spec)["id"] == []
        one = {
            spec.id: "X",
            **{path: "-0.5" if name == "rate" else "1700000000000" for name, path in spec.fields.items()},
        }
        columns = ticker_columns(enveloped(spec, [one]), spec)
        assert columns["id"] == ["X"]
        assert columns["rate"].tolist() == [-0.5]
        assert all(columns[name].tolist() == [1700000000000] for name in spec.fields if name != "rate")
        nothings: tuple[Any, ...] = ("", None, "abc", "NaN", True, {})
        for nothing in nothings:
            absent = ticker_columns(enveloped(spec, [one | dict.fromkeys(spec.fields.values(), nothing)]), spec)
            assert all(np.isnan(absent[name]).all() for name in spec.fields)


async def test_an_interval_or_a_time_of_nothing_is_absent(lab: Lab, manager_for: ManagerFor) -> None:
    """A market that has not begun to settle says 0 for both."""
    lab.truth = carried(0)
    frame = await manager_for(lab, venues=("bybit",)).funding("BTCUSDT")
    assert frame["interval_hours"].isna().all()
    assert frame["apr"].isna().all()
    assert frame["next_time"].isna().all()


@pytest.mark.parametrize("question", ["funding", "open_interest", "long_short"])
def test_a_frame_has_all_its_columns_whatever_came(question: str) -> None:
    empty = schema.frame({}, question)
    assert list(empty.columns) == list(schema.SCHEMAS[question])
    assert len(empty) == 0
    one = schema.frame({"exchange": ["a"], "instrument": ["BTC/USDT:USDT"]}, question)
    assert list(one.dtypes.astype(str)) == list(empty.dtypes.astype(str))
    assert one.isna().iloc[0].drop(["exchange", "instrument"]).all()


def test_a_rate_by_hand_of_each_way_of_counting() -> None:
    """0.9 USD an hour per coin at a mark of 90,000 USD, and 2.5e-10 coins per dollar at 80,000 USD, are fractions."""
    units = {kind: CONNECTORS["kraken"].markets[kind].units for kind in ("linear", "inverse")}
    one = np.ones(1)
    linear = funding_to_rate({"rate": 0.9 * one, "mark": 90_000 * one}, units["linear"], one, one)
    assert linear["rate"].tolist() == [pytest.approx(1e-5, rel=1e-12)]
    inverse = funding_to_rate({"rate": 2.5e-10 * one, "mark": 80_000 * one}, units["inverse"], one, one)
    assert inverse["rate"].tolist() == [pytest.approx(2e-5, rel=1e-12)]
    large = funding_to_rate({"rate": -2.5e-9 * one, "mark": 80_000 * one}, units["inverse"], 10 * one, one)
    assert large["rate"].tolist() == [pytest.approx(-2e-5, rel=1e-12)]
    plain = CONNECTORS["binance"].markets["linear"].units
    thousand = funding_to_rate({"rate": 1e-4 * one, "mark": 12.5 * one, "index": 12 * one}, plain, one, 1000 * one)
    assert (thousand["rate"][0], thousand["mark"][0], thousand["index"][0]) == (1e-4, 0.0125, 0.012)
    with pytest.raises(UnitError):
        funding_to_rate(thousand, plain, one, one)


CCXT_NAMES = {"binance": "binanceusdm", "okx": "okx", "htx": "htx", "bybit": "bybit", "kraken": "krakenfutures"}


@pytest.mark.parametrize("venue", CCXT_NAMES)
async def test_a_funding_map_equals_ccxts_own_parse(venue: str) -> None:
    """Of linear perpetuals, where ccxt is right; it divides what inverse ones of Kraken pay, and must multiply."""
    name, spec = CCXT_NAMES[venue], CONNECTORS[venue].markets["linear"].funding
    assert spec is not None
    asked = spec.named or spec.rates
    async with Lab(carried(4, "-0.0000321")) as lab:
        params = {**asked.params, **({"contract_code": "BTC-USDT"} if asked.each else {})}
        body = await _get(lab, venue, name, asked.call, params)
    columns = ticker_columns(body, asked)
    one = np.ones(len(columns["id"]))
    done = funding_to_rate(
        {n: v for n, v in columns.items() if n != "id"}, CONNECTORS[venue].markets["linear"].units, one, one
    )
    rows: Any = json.loads(body)
    for part in asked.rows.split(".") if asked.rows else ():
        rows = rows[part]
    with ccxt_client(name) as client:
        # Its unified names need markets, which are another test's; the numbers do not.
        client.safe_symbol = client.symbol = lambda id_, *_: id_
        client.safe_market = lambda *_: {"info": {"fundingInterval": 240}}
        theirs = {row[asked.id]: client.parse_funding_rate(row) for row in rows}
    checked = 0
    for place, id_ in enumerate(columns["id"]):
        if np.isnan(done["rate"][place]) or not str(id_).startswith(("PF_", "BTC", "ETH", "SOL")):
            continue
        want = theirs[id_]
        assert done["rate"][place] == pytest.approx(want["fundingRate"], rel=1e-12)
        if want["fundingTimestamp"] is not None:
            assert done["next_time"][place] == want["fundingTimestamp"]
        if "after_time" in columns:
            apart = (columns["after_time"][place] - columns["next_time"][place]) / HOUR_MS
            assert f"{apart:.0f}h" == want["interval"] == "4h"
        checked += 1
    assert checked >= 1


@recorded
@pytest.mark.parametrize("case", ["fetchFundingRates", "fetchFundingRate"])
def test_recorded_funding_of_bybit(case: str) -> None:
    methods = json.loads((DATA / "ccxt_static" / "response" / "bybit.json").read_bytes())["methods"]
    spec = CONNECTORS["bybit"].markets["linear"].funding
    assert spec is not None
    for one in methods[case]:
        columns = ticker_columns(json.dumps(one["httpResponse"]).encode(), spec.rates)
        parsed = one["parsedResponse"]
        wanted = {row["info"]["symbol"]: row for row in (parsed.values() if "info" not in parsed else [parsed])}
        assert wanted
        place = {id_: at for at, id_ in enumerate(columns["id"])}
        for id_, row in wanted.items():
            assert columns["rate"][place[id_]] == pytest.approx(row["fundingRate"], nan_ok=row["fundingRate"] is None)
            assert columns["next_time"][place[id_]] == row["fundingTimestamp"]


# --- beside the books of what may pay


CROSSED = default_truth().with_cross("BTC", buy="okx", sell="binance", bps=60)


def crossed() -> Truth:
    """Return a world with an opportunity in BTC, where venues pay funding that differs."""
    truth = CROSSED
    hourly = {
        "binance": "0.00004",
        "okx": "-0.00001",
        "htx": "0.00002",
        "bybit": "0.000015",
        "krakenfutures": "0.00003",
    }
    for venue, rate in hourly.items():
        truth = with_market(
            truth, lambda one, venue=venue: one.venue == venue and one.funding_hourly is not None,  # type: ignore[misc]
            funding_hourly=Decimal(rate), funding_hours=1 if venue == "krakenfutures" else 4,
        )  # fmt: skip
    return truth


def daily(truth: Truth, exchange: str) -> Fraction:
    """Return what longs of BTC pay a day on an exchange, as a fraction of notional."""
    symbol = "BTC/USD:USD" if exchange == "kraken" else "BTC/USDT:USDT"
    return 24 * Fraction(source(truth, exchange, symbol).funding_hourly or 0)


@pytest.mark.parametrize("symbols", [(), ("BTCUSDT",)])
async def test_opportunities_carry_the_funding_of_a_day(
    lab: Lab, manager_for: ManagerFor, symbols: tuple[str, ...]
) -> None:
    lab.truth = crossed()
    xm = manager_for(lab)
    frame = await xm.opportunities(symbols)
    rows = frame[(frame["group"] == "BTC:linear") & (frame["sized_by"] == "books")]
    assert len(rows) == 20
    for row in rows.to_dict("records"):
        want = daily(lab.truth, row["exchange_high"]) - daily(lab.truth, row["exchange_low"])
        assert_close(row["funding_per_day"], want, f"{row['exchange_low']} → {row['exchange_high']}")
    others = frame[frame["group"] != "BTC:linear"]
    assert others["funding_per_day"].isna().all()
    # Of what is looked at through its books alone, and of one instrument.
    asked = [seen.path_qs for seen in lab.seen if "/premiumIndex" in seen.path_qs or "/funding-rate" in seen.path_qs]
    assert sorted(asked) == [
        "/api/v5/public/funding-rate?instId=BTC-USDT-SWAP", "/fapi/v1/premiumIndex?symbol=BTCUSDT",
    ]  # fmt: skip


@pytest.mark.parametrize("symbols", [(), ("BTCUSDT",)])
async def test_funding_that_fails_or_hangs_costs_its_own_figure_only(
    lab: Lab, manager_for: ManagerFor, symbols: tuple[str, ...]
) -> None:
    lab.truth = crossed()
    xm = manager_for(lab)
    await xm.opportunities(symbols)
    lab.fault("okx", "status", "/api/v5/public/funding-rate", code=404)
    lab.latency["binance", "/fapi/v1/premiumIndex"] = 4.0
    started = time.monotonic()
    frame = await xm.opportunities(symbols)
    assert time.monotonic() - started < 2.0
    rows = frame[(frame["group"] == "BTC:linear") & (frame["sized_by"] == "books")]
    known = rows[rows["funding_per_day"].notna()]
    assert set(known["exchange_low"]) | set(known["exchange_high"]) == {"bybit", "htx", "kraken"}
    assert rows["executable"].any()
    assert not [name for name in frame.attrs["dropped"] if name.startswith(("okx", "binance"))]


async def test_each_look_has_the_funding_of_its_time(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = crossed()
    xm = manager_for(lab, venues=("okx", "bybit"))
    await xm.opportunities("BTCUSDT")
    found = []
    async for look in xm.watch("BTCUSDT", every=0.3, looks=2):
        (row,) = look.frame[look.frame["exchange_low"] == "okx"].to_dict("records")
        found.append((row["funding_per_day"], daily(lab.truth, "bybit") - daily(lab.truth, "okx")))
        lab.truth = with_market(
            lab.truth, lambda one: one.venue == "bybit" and one.funding_hourly is not None,
            funding_hourly=Decimal("0.00005"),
        )  # fmt: skip
    assert found[0][1] != found[1][1]
    for got, want in found:
        assert_close(got, want, "a look")


async def test_spot_and_a_snapshot_ask_for_no_funding(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.opportunities("BTC/USDT")
    await xm.get_cross_exchange_ticker("BTCUSDT")
    assert not [seen for seen in lab.seen if "premiumIndex" in seen.path_qs or "unding" in seen.path_qs]


# --- what is wrong in a venue's file is noticed


def file_of(monkeypatch: pytest.MonkeyPatch, exchange: str, kind: str, **fields: Any) -> None:
    """Put something else in place of what a venue's file says of a market."""
    market = dataclasses.replace(CONNECTORS[exchange].markets[kind], **fields)
    monkeypatch.setitem(CONNECTORS[exchange].markets, kind, market)


def renamed(spec: Any, **fields: str) -> Any:
    """Return a map that reads other fields, and no longer those that are named empty."""
    kept = {name: path for name, path in {**spec.fields, **fields}.items() if path}
    return dataclasses.replace(spec, fields=kept)


def other_hours(funding: FundingMap) -> FundingMap:
    """Return a map that takes every market for one that settles every eight hours."""
    rates = renamed(funding.rates, after_time="", interval_hours="")
    return dataclasses.replace(funding, rates=rates, named=None, intervals=None, hours=8.0)


WRONG: dict[str, Callable[[Any], dict[str, Any]]] = {
    "counted otherwise": lambda market: {
        "units": dataclasses.replace(
            market.units, funding=Funding.PER_COIN if market.units.funding is not Funding.PER_COIN else Funding.RATE
        )
    },
    "eight hours everywhere": lambda market: {"funding": other_hours(market.funding)},
    "the other sort of rate": lambda market: {
        "funding": dataclasses.replace(market.funding, settled=not market.funding.settled)
    },
    "no time": lambda market: {
        "funding": dataclasses.replace(
            market.funding, rates=renamed(market.funding.rates, next_time="nothing"),
            named=market.funding.named and renamed(market.funding.named, next_time="nothing"),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize(("venue", "kind"), FUNDED)
async def test_a_wrong_rule_of_funding_is_noticed(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch, venue: str, kind: str, what: str
) -> None:
    lab.truth = carried(2)
    symbol = "BTC/USD:USD" if (venue, kind) == ("kraken", "linear") else BTC[kind]
    file_of(monkeypatch, venue, kind, **WRONG[what](CONNECTORS[venue].markets[kind]))
    before = lab.now_ms()
    with pytest.raises((AssertionError, NoVenueAnswered)):
        assert_funded(await manager_for(lab, venues=(venue,)).funding(symbol), lab.truth, before, lab.now_ms())


@pytest.mark.parametrize("venue", ["htx", "bybit"])
@pytest.mark.parametrize("kind", BTC)
async def test_open_interest_that_is_not_halved_or_twice_is_noticed(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch, venue: str, kind: str
) -> None:
    market = CONNECTORS[venue].markets[kind]
    assert market.interest is not None
    # What counts one side already must not be halved again, and without it both sides must be.
    interest = renamed(market.interest, oi_single="")
    file_of(monkeypatch, venue, kind, interest=interest)
    assert_open(await manager_for(lab, venues=(venue,)).open_interest(BTC[kind]), lab.truth)
    file_of(monkeypatch, venue, kind, interest=interest, units=dataclasses.replace(market.units, two_sided=()))
    with pytest.raises(AssertionError):
        assert_open(await manager_for(lab, venues=(venue,)).open_interest(BTC[kind]), lab.truth)


@pytest.mark.parametrize("venue", POPULATIONS)
async def test_shares_that_are_exchanged_are_noticed(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch, venue: str
) -> None:
    lab.truth = carried()
    ratios = CONNECTORS[venue].markets["linear"].ratios
    assert ratios is not None
    fields = dict(ratios.fields)
    if "long_share" in fields:
        fields["long_share"], fields["short_share"] = fields["short_share"], fields["long_share"]
    else:
        fields["short_share"] = fields.pop("ratio")
    file_of(monkeypatch, venue, "linear", ratios=dataclasses.replace(ratios, fields=fields))
    with pytest.raises((AssertionError, NoVenueAnswered)):
        assert_held(await manager_for(lab, venues=(venue,)).long_short("BTCUSDT"))


# --- together with the rest


async def test_a_scan_takes_the_frame(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = crossed()
    xm = manager_for(lab)
    frame = xex.arbitrage.scan(await xm.tickers(market="perp"), funding=await xm.funding(market="perp"))
    rows = frame[frame["symbol"] == "BTC/USDT:USDT"]
    assert len(rows) == 16  # from each of the four venues that quote it in USDT to the others and Kraken
    for row in rows.to_dict("records"):
        want = daily(lab.truth, row["exchange_high"]) - daily(lab.truth, row["exchange_low"])
        assert_close(row["funding_per_day"], want, f"{row['exchange_low']} → {row['exchange_high']}")


async def test_what_was_recorded_is_answered_again(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    lab.truth = with_market(crossed(), lambda one: one.base == "ETH" and one.kind == "linear", funding_hours=2)

    async def asked(xm: xex.ExchangeManager) -> list[pd.DataFrame]:
        return [
            await xm.funding(["BTCUSDT", "ETHUSDT", "BTC/USD:BTC"]), await xm.funding(),
            await xm.open_interest("BTCUSDT"), await xm.long_short("BTCUSDT"),
        ]  # fmt: skip

    path = tmp_path / "run.json"
    with xex.record(path):
        then = await asked(manager_for(lab))
    before = len(lab.seen)
    with xex.replay(path):
        again = await asked(manager_for(lab))
    assert len(lab.seen) == before
    for one, other in zip(then, again, strict=True):
        key = ["exchange", "instrument"]
        wanted = one[one["base"].isin(["BTC", "ETH"])].sort_values(key, kind="stable", ignore_index=True)
        found = other[other["base"].isin(["BTC", "ETH"])].sort_values(key, kind="stable", ignore_index=True)
        numbers = [name for name in one.columns if name not in {"age_ms", "response_id"}]
        pd.testing.assert_frame_equal(found[numbers], wanted[numbers])


@pytest.mark.usefixtures("loaded")
async def test_the_published_limits_are_kept(manager_for: ManagerFor) -> None:
    """OKX answers five questions about a population in two seconds: a sixth at once would be refused."""
    async with Lab(default_truth(), limits=True) as lab:
        xm = manager_for(lab)
        for _ in range(2):
            await xm.funding()
            await xm.funding(["BTCUSDT", "ETHUSDT"])
            await xm.open_interest(["BTCUSDT", "ETHUSDT"])
        for coin in ("BTC", "ETH", "SOL", "XRP", "DOGE", "LTC"):
            await xm.long_short(f"{coin}USDT", deadline=0.5)
        assert lab.breaches == []
        assert lab.bans == []


class Own(ExchangeConnector):
    """A connector of somebody's own, which knows the funding of one perpetual and nothing of lists."""

    rows: ClassVar[Any] = {"instrument": ["BTC/USDT:USDT"], "rate": [0.0002], "interval_hours": [4]}

    async def connect(self) -> None:
        """Nothing to do."""

    async def get_ticker(self, symbol: str) -> None:
        """Know no ticker."""

    async def funding(self, instruments: Sequence[Instrument]) -> Any:
        """Return the rows."""
        assert [one.symbol for one in instruments] == ["BTC/USDT:USDT"]
        return self.rows


async def test_a_connector_of_ones_own_answers_with_three_columns(
    manager_for: ManagerFor, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    xm = manager_for(lab, venues=("bybit",))
    xm.add_exchange(xex.ExchangeConfig("mine", "mine"), Own())
    rows = {row["exchange"]: row for row in (await xm.funding("BTCUSDT")).to_dict("records")}
    assert rows.keys() == {"mine", "bybit"}
    assert_close(rows["mine"]["apr"], Fraction(2, 10_000) * 8760 / 4, "apr")
    whole = await xm.funding()
    assert "single contracts only" in whole.attrs["dropped"]["mine"]
    for wrong in ({**Own.rows, "rate": ["much"]}, {"rate": [1.0]}, {**Own.rows, "color": ["red"]}, None):
        monkeypatch.setattr(Own, "rows", wrong)
        frame = await xm.funding("BTCUSDT")
        assert list(frame["exchange"]) == ["bybit"]
        assert "mine" in frame.attrs["dropped"]
