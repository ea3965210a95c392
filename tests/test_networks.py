"""Which networks are open and what they cost, over TCP from the lab, and against ccxt's reading of recorded lists."""

from __future__ import annotations

import json
import logging
import math
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

import xex
from tests.conformance.bodies import needs_recorded
from tests.conformance.worlds import DATA
from tests.conftest import NO_KEYS, VENUES, ManagerFor
from tests.lab import Lab, Token
from tests.test_addresses import LISTS, NO_KEY, OTHER, USDT, asked
from tests.test_secrets import CANARIES, ECHOES, assert_clean
from tests.test_snapshot import CONNECTORS
from xex.config import ExchangeConfig
from xex.errors import ConfigError, SymbolError, UnknownVenue
from xex.model import schema
from xex.model.schema import Columns
from xex.testing import StaticConnector
from xex_connectors.mapping import network_columns

KEYED = ("binance", "bybit", "okx")
TELLING = (*KEYED, "htx")
SILENT = "names no network, and tells only what is shut on all of them"
KRAKEN = "/0/public/Assets"


def records(frame: Any, *columns: str) -> list[tuple[Any, ...]]:
    chosen = frame[list(columns)]
    return [tuple(one) for one in chosen.astype(object).where(chosen.notna(), None).itertuples(index=False)]


def by_exchange(frame: Any, *columns: str) -> dict[str, list[tuple[Any, ...]]]:
    return {str(name): records(rows, *columns) for name, rows in frame.groupby("exchange", sort=False)}


# --- what the venues tell -----------------------------------------------------------------------------------


async def test_without_keys_who_tells_everybody_tells_and_the_others_are_unknown(
    lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab, **NO_KEYS)
    frame = await xm.networks("USDT")
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(schema.SCHEMAS["networks"])
    told = by_exchange(frame, "network", "deposit", "withdraw", "source", "reason")
    unknown = {
        name: [(None, "unknown", "unknown", "unknown", NO_KEY + (", passphrase" if name == "okx" else ""))]
        for name in KEYED
    }
    assert told == unknown | {
        "kraken": [(None, "unknown", "unknown", "public", SILENT)],
        "htx": [("ethereum", "open", "open", "public", None), ("tron", "open", "open", "public", None)],
    }
    assert frame.attrs["asked"] == list(VENUES)
    assert set(frame.attrs["answered"]) == {"htx", "kraken"}
    assert frame.attrs["dropped"] == {name: rows[0][4] for name, rows in unknown.items()}
    assert frame.attrs["assets"] == ["USDT"]
    json.dumps(frame.attrs)
    assert asked(lab) == [("htx", LISTS["htx"]), ("kraken", KRAKEN)]
    assert frame[frame["source"] == "unknown"]["received_time"].isna().all()


async def test_with_keys_every_figure_is_the_venue_s(lab: Lab, manager_for: ManagerFor) -> None:
    """The figures are the lab's, each venue's of its own."""
    figures = {"binance": "0.31", "bybit": "0.42", "okx": "0.53", "htx": "0.64"}
    lab.truth = lab.truth.with_tokens(
        *(
            Token(
                "USDT", network, address, venue, deposits=place == 0, withdrawals=place == 1, fee=Decimal(fee),
                least=Decimal(fee) * 10, confirmations=7 + place,
            )
            for venue, fee in figures.items()
            for place, (network, address) in enumerate(zip(("ethereum", "tron"), USDT, strict=True))
        )
    )  # fmt: skip
    xm = manager_for(lab, **CANARIES)
    frame = await xm.networks(["USDT", "btc", "USDT"], deadline=2)
    usdt = frame[frame["asset"] == "USDT"]
    assert frame.attrs["assets"] == ["USDT", "BTC"]
    assert frame.attrs["dropped"] == {}
    states = by_exchange(usdt[usdt["exchange"] != "kraken"], "network", "contract", "deposit", "withdraw")
    assert states == {
        name: [("ethereum", USDT[0], "open", "closed"), ("tron", USDT[1], "closed", "open")] for name in TELLING
    }
    for venue, fee in figures.items():
        mine = usdt[usdt["exchange"] == venue]
        assert mine["withdraw_fee"].tolist() == [float(fee)] * 2
        assert mine["withdraw_min"].tolist() == [pytest.approx(10 * float(fee))] * 2
        assert mine["confirmations"].tolist() == [7.0, 8.0]
        assert set(mine["source"]) == {"public" if venue == "htx" else "account"}
        assert mine["response_id"].str.startswith(f"{venue}-").all()
        age_ms = lab.now_ms() - mine["received_time"].astype("int64")
        assert age_ms.between(0, 5_000).all()
    btc = by_exchange(frame[frame["asset"] == "BTC"], "network", "venue_network", "code", "contract")
    assert btc == {
        "binance": [("bitcoin", "BTC", "BTC", None)], "okx": [("bitcoin", "Bitcoin", "BTC", None)],
        "bybit": [("bitcoin", "BTC", "BTC", None)], "htx": [("bitcoin", "BTC", "btc", None)],
        "kraken": [(None, None, "XBT", None)],
    }  # fmt: skip
    carrying = {seen.venue for seen in lab.seen if CANARIES["api_key"] in seen.headers.values()}
    assert carrying == set(KEYED)


async def test_a_fee_that_grows_with_the_amount_is_no_number_of_coins(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = lab.truth.with_tokens(
        *(Token("USDT", "ethereum", USDT[0], venue, share=Decimal("0.002")) for venue in ("bybit", "htx", "okx"))
    )
    frame = await manager_for(lab, venues=("bybit", "htx", "okx"), **CANARIES).networks("USDT", deadline=2)
    assert frame["withdraw_fee"].isna().all()
    assert frame["withdraw_min"].tolist() == [1.5] * 3


@pytest.mark.parametrize(
    ("word", "deposit", "withdraw"),
    [
        ("enabled", "unknown", "unknown"),
        ("deposit_only", "unknown", "closed"),
        ("withdrawal_only", "closed", "unknown"),
        ("funding_temporarily_disabled", "closed", "closed"),
        ("something_new", "unknown", "unknown"),
    ],
)
async def test_who_names_no_networks_still_tells_what_is_shut(
    word: str, deposit: str, withdraw: str, lab: Lab, manager_for: ManagerFor
) -> None:
    lab.truth = lab.truth.with_halted(BTC=word)
    xm = manager_for(lab, venues=("kraken",), **NO_KEYS)
    frame = await xm.networks(["BTC", "ETH"])
    assert records(frame, "asset", "network", "deposit", "withdraw", "source") == [
        ("BTC", None, deposit, withdraw, "public"), ("ETH", None, "unknown", "unknown", "public"),
    ]  # fmt: skip
    with pytest.raises(xex.NoVenueAnswered, match="publishes no contract addresses"):
        await xm.addresses("BTC")


async def test_an_asset_that_nobody_lists_is_unknown_by_name(lab: Lab, manager_for: ManagerFor) -> None:
    frame = await manager_for(lab, venues=("htx", "kraken")).networks(["USDT", "PEPE"])
    pepe = frame[frame["asset"] == "PEPE"]
    assert records(pepe, "exchange", "deposit", "withdraw", "source", "reason") == [
        (name, "unknown", "unknown", "unknown", "not_listed: no network of PEPE") for name in ("htx", "kraken")
    ]
    assert frame.attrs["dropped"] == dict.fromkeys(("kraken", "htx"), "not_listed: no network of PEPE")
    assert set(frame.attrs["answered"]) == {"htx", "kraken"}


async def test_states_are_kept_for_a_minute_only(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("htx",))
    first = await xm.networks("USDT")
    lab.truth = lab.truth.with_tokens(Token("USDT", "tron", USDT[1], "htx", withdrawals=False))
    again = await xm.networks("BTC")
    assert again["received_time"].iloc[0] == first["received_time"].iloc[0], "what is kept keeps its time"
    assert len(asked(lab)) == 1
    connector: Any = xm._entries["htx"].connector
    epoch, at, columns = connector._addresses
    connector._addresses = (epoch, at - 61, columns)
    later = await xm.networks("USDT")
    assert records(later, "network", "withdraw") == [("tron", "closed")]
    assert len(asked(lab)) == 2
    # The contracts of the same list are good for longer.
    connector._addresses = (epoch, at - 3000, columns)
    await xm.addresses("USDT")
    assert len(asked(lab)) == 2


# --- failures -----------------------------------------------------------------------------------------------


async def test_a_wrong_key_costs_its_own_rows_alone(
    lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lab.accepted = dict.fromkeys(TELLING, "the right one")
    xm = manager_for(lab, **CANARIES)
    frame = await xm.networks("USDT", deadline=2)
    told = by_exchange(frame, "source", "deposit")
    assert {name: told[name] for name in KEYED} == {name: [("unknown", "unknown")] for name in KEYED}
    assert told["htx"] == [("public", "open")] * 2
    assert {name: text.split(":")[0] for name, text in frame.attrs["dropped"].items()} == dict.fromkeys(KEYED, "auth")
    assert {one["error_count"] for one in xm.get_exchange_status().values()} == {0}
    assert (await xm.get_cross_exchange_ticker("BTC/USDT")).dropped == {}
    for shown in (frame.to_csv(), frame.attrs, xm.get_exchange_status(), caplog.text):
        assert_clean(shown)


@pytest.mark.parametrize("echo", ECHOES)
async def test_a_venue_that_echoes_keys_is_scrubbed(
    echo: str, lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    xm = manager_for(lab, venues=KEYED, **CANARIES)
    for code in (200, 401):
        lab.heal()
        for venue in KEYED:
            lab.fault(venue, "status", path=LISTS[venue], code=code, body=ECHOES[echo])
        frame = await xm.networks("USDT", deadline=0.4)
        assert set(frame["source"]) == {"unknown"}
        assert_clean(frame.to_csv())
        assert_clean(frame.attrs)
    assert_clean(caplog.text)


async def test_who_is_late_is_unknown(lab: Lab, manager_for: ManagerFor) -> None:
    lab.fault("htx", "hang", path=LISTS["htx"])
    frame = await manager_for(lab, venues=("htx", "kraken")).networks("USDT", deadline=0.3)
    assert by_exchange(frame, "source")["htx"] == [("unknown",)]
    assert frame.attrs["dropped"]["htx"].startswith("late")


class Own(StaticConnector):
    """A connector of somebody's own."""

    def __init__(self, columns: Any) -> None:
        super().__init__({})
        self.columns = columns

    async def networks(self, assets: Any) -> Columns:
        """Return what the test gave."""
        del assets
        return self.columns  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"asset": ["USDT"], "network": ["tron"], "deposit": ["open"], "withdraw": ["closed"]}, None),
        ({"asset": ["USDT"], "price": [1.0]}, "bad_payload"),
        ({}, "not_listed"),
    ],
)
async def test_a_connector_of_one_s_own_answers_too(
    columns: Any, reason: str | None, lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab, venues=())
    assert xm.add_exchange(ExchangeConfig("own", "own"), Own(columns))
    assert xm.add_exchange(ExchangeConfig("plain", "plain"), StaticConnector({}))
    frame = await xm.networks("USDT")
    told = by_exchange(frame, "network", "withdraw")
    assert told["own"] == ([("tron", "closed")] if reason is None else [(None, "unknown")])
    assert frame.attrs["dropped"].get("own", "").split(":")[0] == (reason or "")
    assert frame.attrs["dropped"]["plain"] == "not_listed: the connector does not know which networks are open"


async def test_what_cannot_be_meant_is_refused(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("htx",))
    for bad in ("BTC/USDT", "", ["BTC", "a b"], [None], [7]):
        with pytest.raises(SymbolError, match="no currency"):
            await xm.networks(bad)  # type: ignore[arg-type]
    with pytest.raises(SymbolError, match="name some"):
        await xm.networks([])
    with pytest.raises(UnknownVenue):
        await xm.networks("BTC", venues=["nowhere"])
    with pytest.raises(ConfigError):
        await xm.networks("BTC", venues=[])
    assert not lab.seen


async def test_a_recording_holds_the_public_lists_cut_down(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with xex.record(path):
        xm = manager_for(lab, **CANARIES)
        first = await xm.networks("BTC", deadline=2)
        await xm.disconnect_all()
    text = path.read_text()
    assert_clean(text)
    kept = {urlsplit(entry["request"]["uri"]).path: entry for entry in json.loads(text)["interactions"]}
    assert LISTS["htx"] in kept
    assert not {LISTS[venue] for venue in KEYED} & set(kept)
    assert list(json.loads(kept[KRAKEN]["response"]["body"]["string"])["result"]) == ["XXBT"]
    lab.seen.clear()
    with xex.replay(path):
        xm = manager_for(lab, **CANARIES)
        again = await xm.networks("BTC", deadline=2)
        await xm.disconnect_all()
    assert not lab.seen
    public = first[first["source"] == "public"].reset_index(drop=True)
    assert again[again["source"] == "public"].reset_index(drop=True).drop(columns="response_id").equals(
        public.drop(columns="response_id")
    )  # fmt: skip
    assert {name: text.split(":")[0] for name, text in again.attrs["dropped"].items()} == dict.fromkeys(
        KEYED, "not_recorded"
    )


# --- routes over what the lab tells -------------------------------------------------------------------------


def ways(frame: Any) -> dict[tuple[str, str, str], tuple[str, str | None]]:
    found = xex.arbitrage.routes(frame)
    return {
        (one[0], one[1], one[2]): (one[3], one[4])
        for one in records(found, "exchange_from", "exchange_to", "network", "state", "reason")
    }


async def test_routes_over_closed_one_sided_and_differing_networks(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = lab.truth.with_tokens(
        # Binance lets USDT in and out on both networks, OKX not out on tron, HTX knows one under another contract.
        Token("USDT", "ethereum", USDT[0], "binance", fee=Decimal(4)), Token("USDT", "tron", USDT[1], "binance"),
        Token("USDT", "ethereum", USDT[0], "okx"), Token("USDT", "tron", USDT[1], "okx", withdrawals=False),
        Token("USDT", "ethereum", OTHER, "htx"),
    )  # fmt: skip
    xm = manager_for(lab, venues=("binance", "okx", "htx"), **CANARIES)
    frame = await xm.networks("USDT", deadline=2)
    other, none = "another contract address on ethereum", "htx: not on tron"
    assert ways(frame) == {
        ("binance", "okx", "ethereum"): ("open", None), ("binance", "okx", "tron"): ("open", None),
        ("okx", "binance", "ethereum"): ("open", None),
        ("okx", "binance", "tron"): ("closed", "withdraw closed at okx on tron"),
        ("binance", "htx", "ethereum"): ("closed", other), ("htx", "binance", "ethereum"): ("closed", other),
        ("okx", "htx", "ethereum"): ("closed", other), ("htx", "okx", "ethereum"): ("closed", other),
        ("binance", "htx", "tron"): ("closed", none), ("htx", "binance", "tron"): ("closed", none),
        ("okx", "htx", "tron"): ("closed", f"withdraw closed at okx on tron; {none}"),
        ("htx", "okx", "tron"): ("closed", none),
    }  # fmt: skip
    chosen = xex.arbitrage.best_routes(xex.arbitrage.routes(frame))
    assert records(chosen, "exchange_from", "exchange_to", "network", "withdraw_fee", "minutes") == [
        # 12 confirmations: of 3 s on tron, of 12 s on ethereum.
        ("binance", "okx", "tron", 0.1, pytest.approx(0.6)), ("okx", "binance", "ethereum", 0.1, pytest.approx(2.4)),
    ]  # fmt: skip


async def test_what_a_key_would_tell_is_unknown_without_one(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("binance", "htx"), **NO_KEYS)
    frame = await xm.networks("BTC")
    assert ways(frame) == {
        ("binance", "htx", "bitcoin"): ("unknown", f"binance: {NO_KEY}"),
        ("htx", "binance", "bitcoin"): ("unknown", f"binance: {NO_KEY}"),
    }


# --- what is recorded ---------------------------------------------------------------------------------------


@needs_recorded
@pytest.mark.parametrize("venue", TELLING)
def test_recorded_lists_say_what_ccxt_reads_in_them(venue: str) -> None:
    """Every state, fee and minimum of the recorded lists is what ccxt's own parser took it for."""
    kept = json.loads((DATA / "currencies" / f"{venue}.json").read_bytes())
    infos = [row["info"] for row in kept.values() if row.get("info")]
    flat = [chain for info in infos for chain in (info if venue == "okx" else [info])]
    wrap = {"binance": flat, "bybit": {"retCode": 0, "result": {"rows": flat}}, "okx": {"code": "0", "data": flat}}
    body = msgspec.json.encode(wrap.get(venue, {"code": 200, "data": flat}))
    ours = network_columns(body, CONNECTORS[venue].asset_map, venue)
    name = {"binance": "network", "bybit": "chain", "okx": "chain", "htx": "displayName"}[venue]
    theirs = {}
    for row in kept.values():
        for network in (row.get("networks") or {}).values():
            info = network["info"]
            code = info["ccy"] if venue == "okx" else row["id"]
            called = info[name].partition("-")[2] if venue == "okx" else info[name]
            theirs[code, called, info.get("contractAddress") or info.get("ctAddr") or ""] = network
    keys = zip(ours["code"], ours["network"], ours["address"], strict=True)
    compared = 0
    for place, key in enumerate(keys):
        network = theirs.get(key)
        if network is None:
            continue
        compared += 1
        words = {True: "open", False: "closed"}
        assert ours["deposit"][place] == words[network["deposit"]]
        assert ours["withdraw"][place] == words[network["withdraw"]]
        fee, least = network["fee"], network["limits"]["withdraw"]["min"]
        assert ours["withdraw_fee"][place] == pytest.approx(math.nan if fee is None else fee, nan_ok=True)
        assert ours["withdraw_min"][place] == pytest.approx(math.nan if least is None else least, nan_ok=True)
    assert compared > 25
    assert {"open", "closed"} >= set(ours["deposit"]) | set(ours["withdraw"])
