"""What the account pays: asked for once in the background with a read-only key, in place of what is published."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

import xex
from tests.conftest import NO_KEYS, VENUES, ManagerFor
from tests.lab import Lab, Paid
from tests.test_ccxt_contract import _entry, ccxt
from tests.test_secrets import CANARIES, ECHOES, FEES, assert_clean
from tests.test_snapshot import CONNECTORS
from xex.access.cache import MetadataCache
from xex.config import ExchangeConfig
from xex.errors import BadPayload
from xex.manager import ExchangeManager
from xex.testing import StaticConnector
from xex_connectors.mapping import FeeMap, account_fees

TELLING = ("binance", "okx", "bybit", "htx")
# What the lab's account pays, in basis points, and the venues' published base tiers: by hand.
SPOT, LINEAR, INVERSE = (8.1, 7.2), (4.3, 1.4), (4.7, 1.3)
PUBLISHED = {
    ("binance", "linear"): 5.0, ("binance", "inverse"): 5.0, ("binance", "spot"): 10.0,
    ("okx", "linear"): 5.0, ("okx", "inverse"): 5.0, ("okx", "spot"): 10.0,
    ("bybit", "linear"): 5.5, ("bybit", "inverse"): 5.5, ("bybit", "spot"): 10.0,
    ("htx", "linear"): 5.0, ("htx", "inverse"): 5.0, ("htx", "spot"): 20.0,
    ("kraken", "linear"): 5.0, ("kraken", "inverse"): 5.0, ("kraken", "spot"): 40.0,
}  # fmt: skip
ACCOUNT = {
    (venue, kind): fee
    for venue in ("binance", "okx", "bybit")
    for kind, fee in (("linear", LINEAR[0]), ("inverse", INVERSE[0]), ("spot", SPOT[0]))
} | {("htx", "spot"): SPOT[0]}  # fmt: skip
MAPS = [
    (name, kind, market.account)
    for name, connector in CONNECTORS.items()
    for kind, market in connector.markets.items()
    if market.account is not None
]


async def settled(xm: ExchangeManager) -> None:
    """Let what runs in the background end."""
    while xm._background:
        await asyncio.gather(*xm._background, return_exceptions=True)


def asked(lab: Lab) -> list[str]:
    """Return the paths at which fees were asked for."""
    paths = [urlsplit(seen.path_qs).path for seen in lab.seen]
    return sorted(path for path in paths if path in FEES)


def charged(frame: Any) -> dict[tuple[str, str], float]:
    """Return the one taker fee of each venue and kind."""
    found = frame.groupby(["venue", "kind"])["taker_bps"].agg(["min", "max"])
    assert (found["max"] - found["min"]).max() == 0
    return {(str(venue), str(kind)): float(fee) for (venue, kind), fee in found["min"].items()}


def sources(frame: Any) -> dict[tuple[str, str], set[str]]:
    told = frame.assign(word=frame["fee_source"].str.partition(":")[0])
    return {(str(venue), str(kind)): set(words) for (venue, kind), words in told.groupby(["venue", "kind"])["word"]}


# --- what bodies say ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "kind", "spec"), MAPS)
def test_asking_is_one_signed_get_to_a_host_with_a_budget(venue: str, kind: str, spec: FeeMap) -> None:
    connector = CONNECTORS[venue]
    client = getattr(ccxt, connector.markets[kind].client)({"apiKey": "key", "secret": "c2Vj", "password": "w"})
    path, api, method, _ = _entry(client, spec.call)
    request = client.sign(path, api, method, dict(spec.params))
    assert (request["method"], request["body"]) == ("GET", None)
    assert "key" in f"{request['headers']} {request['url']}"
    parts = urlsplit(request["url"])
    assert parts.path in FEES
    charges = [limit.cost(parts.path, {}) for limit in connector.limits if limit.host == parts.hostname]
    assert any(cost is not None for cost in charges)


def test_no_other_venue_tells_a_key_that_reads() -> None:
    assert {name for name, _, _ in MAPS} == set(TELLING)


def read(venue: str, kind: str, body: Any) -> dict[str, tuple[float, float]]:
    (spec,) = (spec for name, one, spec in MAPS if (name, one) == (venue, kind))
    return account_fees(msgspec.json.encode(body), spec)


def close(fee: tuple[float, float]) -> Any:
    return pytest.approx(fee)


def test_what_each_venue_s_words_mean() -> None:
    """A rate of 0.0006 is 6 basis points; OKX writes what it charges below zero, and what it pays above."""
    commission = {"symbol": "BTCUSDT", "makerCommissionRate": "0.0002", "takerCommissionRate": "0.0004"}
    assert read("binance", "linear", commission) == {"USDT": close((4, 2))}
    spot = [{"symbol": "BTCUSDT", "makerCommission": "0.00075", "takerCommission": "0.001"}]
    assert read("binance", "spot", spot) == {"BTCUSDT": close((10, 7.5))}
    okx = {
        "taker": "-0.0005",
        "maker": "0.0001",
        "takerU": "-0.0004",
        "makerU": "-0.0002",
        "takerUSDC": "",
        "makerUSDC": "",
    }
    assert read("okx", "inverse", {"code": "0", "data": [okx]}) == {"USD": close((5, -1))}
    assert read("okx", "linear", {"code": "0", "data": [okx]}) == {"USDT": close((4, 2))}
    assert read("okx", "spot", {"code": "0", "data": [okx]}) == {"USDT": close((5, -1))}
    bybit = {"retCode": 0, "result": {"list": [{"symbol": "ETHUSDT", "takerFeeRate": "0.0006", "makerFeeRate": "0"}]}}
    assert read("bybit", "linear", bybit) == {"ETHUSDT": close((6, 0))}
    htx = {"symbol": "btcusdt", "actualMakerRate": "0.0015", "actualTakerRate": "0.0016", "takerFeeRate": "0.002"}
    assert read("htx", "spot", {"code": 200, "data": [htx]}) == {"USDT": close((16, 15))}


@pytest.mark.parametrize(("venue", "kind", "spec"), MAPS)
@pytest.mark.parametrize("body", [{}, [], {"code": "0", "data": []}, {"retCode": 0, "result": {"list": []}}, [7]])
def test_what_is_no_fee_is_not_taken_for_one(venue: str, kind: str, spec: FeeMap, body: Any) -> None:
    del spec
    with pytest.raises(BadPayload):
        read(venue, kind, body)


def test_a_percentage_is_no_fraction() -> None:
    """0.15 would be 1,500 basis points."""
    with pytest.raises(BadPayload, match="no fee"):
        read("binance", "linear", {"symbol": "BTCUSDT", "makerCommissionRate": "0.1", "takerCommissionRate": "0.15"})


# --- over TCP -----------------------------------------------------------------------------------------------


async def test_without_keys_fees_are_the_published_ones_and_nobody_is_asked(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, **NO_KEYS)
    await xm.connect_all()
    market = await xm.tickers()
    await settled(xm)
    assert asked(lab) == []
    for frame in (market, await xm.instruments()):
        assert charged(frame) == PUBLISHED
        assert set().union(*sources(frame).values()) == {"published"}


async def test_with_a_key_the_account_s_fees_stand_in_their_place(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, **CANARIES)
    await xm.connect_all()
    await settled(xm)
    # OKX tells perpetuals and dated contracts apart, Bybit has a list for each kind.
    assert asked(lab) == sorted([
        "/sapi/v1/asset/tradeFee", "/fapi/v1/commissionRate", "/dapi/v1/commissionRate",
        *["/api/v5/account/trade-fee"] * 5, *["/v5/account/fee-rate"] * 3, "/v2/reference/transact-fee-rate",
    ])  # fmt: skip
    for frame in (await xm.tickers(), await xm.instruments()):
        assert charged(frame) == pytest.approx(PUBLISHED | ACCOUNT)
        assert sources(frame) == {key: {"account" if key in ACCOUNT else "published"} for key in PUBLISHED}
    makers = (await xm.instruments()).groupby(["venue", "kind"])["maker_bps"].first()
    assert makers["okx"].to_dict() == pytest.approx({"spot": SPOT[1], "linear": LINEAR[1], "inverse": INVERSE[1]})
    snap = await xm.get_cross_exchange_ticker("BTCUSDT")
    told = dict(
        zip(snap.frame["exchange"], zip(snap.frame["taker_bps"], snap.frame["fee_source"], strict=True), strict=True)
    )
    assert told["binance"] == (pytest.approx(LINEAR[0]), "account: /fapi/v1/commissionRate")
    assert told["kraken"] == (5.0, "published: futures, lowest volume tier")
    await xm.tickers()
    await settled(xm)
    assert len(asked(lab)) == 12, "once for a session"


async def test_a_tier_told_of_one_quote_currency_is_not_taken_for_another_s(lab: Lab, manager_for: ManagerFor) -> None:
    """Contracts in USDC have fees of their own: what Binance is asked is about USDT, OKX tells both."""
    paid = (("okx", "USDT", "0.0003"), ("okx", "USDC", "0.0002"))
    lab.truth = lab.truth.with_account(
        *(Paid(venue, "spot", Decimal(taker), Decimal("0.0001"), quote) for venue, quote, taker in paid)
    )
    from tests.lab import currency_markets

    lab.truth = lab.truth.adding(currency_markets())
    xm = manager_for(lab, venues=("okx", "htx"), **CANARIES)
    await xm.connect_all()
    await settled(xm)
    spot = await xm.instruments(market="spot")
    fees = spot.groupby(["venue", "quote"])["taker_bps"].first()
    assert fees["okx"].to_dict() == pytest.approx({"USDT": 3.0, "USDC": 2.0})
    assert fees["htx"].to_dict() == pytest.approx({"USDT": SPOT[0], "USDC": 20.0})


async def test_a_snapshot_is_not_delayed_and_the_next_one_knows(lab: Lab, manager_for: ManagerFor) -> None:
    for path in FEES:
        lab.latency.update(dict.fromkeys(((venue, path) for venue in TELLING), 0.3))
    xm = manager_for(lab, venues=("okx", "bybit"), **CANARIES)
    first = await xm.get_cross_exchange_ticker("BTCUSDT", deadline=5)
    assert first.frame["fee_source"].str.startswith("published").all()
    assert sum("_fees_learnt" in repr(task) for task in xm._background) == 2, "still under way"
    await settled(xm)
    second = await xm.get_cross_exchange_ticker("BTCUSDT", deadline=5)
    assert second.frame["fee_source"].str.startswith("account").all()
    assert second.frame["taker_bps"].tolist() == [pytest.approx(LINEAR[0])] * 2
    shown = [one.path for several in first.responses.values() for one in several]
    assert not FEES & set(shown), "what was asked besides is no part of the answer"


async def test_a_wrong_key_changes_nothing_but_the_note(
    lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lab.accepted = dict.fromkeys(TELLING, "the right one")
    xm = manager_for(lab, **CANARIES)
    assert await xm.connect_all() == dict.fromkeys(VENUES, True)
    await settled(xm)
    assert len(asked(lab)) == 12
    market = await xm.tickers()
    assert charged(market) == PUBLISHED
    noted = market[market["fee_source"].str.endswith("; the account's is unknown: auth")]
    assert set(zip(noted["venue"], noted["kind"], strict=True)) == set(ACCOUNT)
    assert {(one["status"], one["error_count"]) for one in xm.get_exchange_status().values()} == {("up", 0)}
    assert (await xm.get_cross_exchange_ticker("BTC/USDT")).dropped == {}
    await settled(xm)
    assert len(asked(lab)) == 12, "a wrong key is not tried again and again"
    for shown in (market.to_csv(), caplog.text, xm.get_exchange_status()):
        assert_clean(shown)


@pytest.mark.parametrize(
    "fault", [{"kind": "hang"}, {"kind": "status", "code": 503}, {"kind": "html"}, {"kind": "reset"}]
)
async def test_a_failure_costs_no_more_than_the_note(fault: dict[str, Any], lab: Lab, manager_for: ManagerFor) -> None:
    for venue in TELLING:
        for path in FEES:
            lab.fault(venue, path=path, **fault)
    # What hangs is waited for; anything else has the time that a busy machine needs.
    xm = manager_for(lab, deadline=1.0 if fault["kind"] == "hang" else 10.0, **CANARIES)
    assert await xm.connect_all() == dict.fromkeys(VENUES, True)
    await settled(xm)
    lab.heal()
    market = await xm.tickers(deadline=3)
    assert charged(market) == PUBLISHED
    assert market.attrs["dropped"] == {}


@pytest.mark.parametrize("echo", ECHOES)
async def test_a_venue_that_echoes_keys_is_scrubbed(
    echo: str, lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for venue in TELLING:
        for path in FEES:
            lab.fault(venue, "status", path=path, code=401, body=ECHOES[echo])
    xm = manager_for(lab, venues=TELLING, deadline=1, **CANARIES)
    await xm.connect_all()
    await settled(xm)
    frame = await xm.instruments()
    for shown in (frame.to_csv(), frame.attrs, xm.get_exchange_status(), caplog.text):
        assert_clean(shown)
    assert "Signature=" not in caplog.text


async def test_a_new_key_is_asked_about_anew(lab: Lab, manager_for: ManagerFor) -> None:
    lab.accepted["bybit"] = "the right one"
    xm = manager_for(lab, venues=("bybit",), **CANARIES)
    await xm.tickers()
    await settled(xm)
    assert set().union(*sources(await xm.tickers()).values()) == {"published"}
    config: Any = xm.exchange_configs["bybit"]
    config.api_key = "the right one"
    await xm.tickers()
    await settled(xm)
    assert charged(await xm.tickers()) == pytest.approx({key: fee for key, fee in ACCOUNT.items() if key[0] == "bybit"})


async def test_nothing_that_could_sign_is_kept(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=TELLING, **CANARIES)
    await xm.connect_all()
    await settled(xm)
    for venue in TELLING:
        entry = xm._entries[venue]
        connector: Any = entry.connector
        assert all(client.apiKey is None for client in connector._clients.values())
        held = {name: value for name, value in vars(connector).items() if name not in {"_route", "_clients"}}
        assert_clean(held)
        assert "ignature" not in str(held)
        assert_clean(str(entry.fees_of))


async def test_disks_and_recordings_hold_the_published_fees_alone(
    lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    cache = MetadataCache(tmp_path / "cache")
    xm = manager_for(lab, venues=("okx",), **CANARIES)
    xm._entries["okx"].connector.cache = cache  # type: ignore[attr-defined]
    await xm.connect_all()
    await settled(xm)
    assert charged(await xm.tickers()) == pytest.approx({key: fee for key, fee in ACCOUNT.items() if key[0] == "okx"})
    published = {key: fee for key, fee in PUBLISHED.items() if key[0] == "okx"}
    lab.seen.clear()
    other = manager_for(lab, venues=("okx",), **NO_KEYS)
    other._entries["okx"].connector.cache = cache  # type: ignore[attr-defined]
    kept = await other.instruments()
    assert charged(kept) == published
    assert lab.seen == [], "it is read from the disk"
    with xex.record(tmp_path / "run.json"):
        recorded = await xm.tickers()
        await settled(xm)
        await xm.disconnect_all()
    assert charged(recorded) == published
    assert asked(lab) == []
    assert_clean((tmp_path / "run.json").read_text())
    with xex.replay(tmp_path / "run.json"):
        again = await xm.tickers()
        await xm.disconnect_all()
    assert charged(again) == published
    assert charged(await xm.tickers()) == published, "asked for anew after a recording"
    await settled(xm)
    assert charged(await xm.tickers()) == pytest.approx({key: fee for key, fee in ACCOUNT.items() if key[0] == "okx"})


async def test_what_a_connector_of_one_s_own_says_is_given(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=())
    quote = {"bid": 99.0, "ask": 101.0, "bid_size": 1.0, "ask_size": 1.0}
    with_fee, without = StaticConnector({"BTC/USDT": {**quote, "taker_bps": 7}}), StaticConnector({"BTC/USDT": quote})
    for name, connector in (("told", with_fee), ("untold", without)):
        assert xm.add_exchange(ExchangeConfig(name, name), connector)
    snap = await xm.get_cross_exchange_ticker("BTC/USDT")
    rows = snap.frame.set_index("exchange")
    assert rows.loc["told", "fee_source"] == "given: by the connector"
    assert rows.loc["told", "taker_bps"] == 7
    assert rows["fee_source"].isna().to_dict() == {"told": False, "untold": True}
