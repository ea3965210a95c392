"""Which contract a currency code stands for, asked of venues that tell everybody and of those that want a key."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

import xex
from tests.conformance.bodies import needs_recorded
from tests.conformance.worlds import DATA
from tests.conftest import NO_KEYS, VENUES, ManagerFor
from tests.lab import Lab, Token, encode_binance, encode_bybit, encode_htx, encode_okx
from tests.test_ccxt_contract import _entry, ccxt
from tests.test_secrets import CANARIES, ECHOES, assert_clean, assert_error_clean
from tests.test_snapshot import CONNECTORS
from xex.config import ExchangeConfig
from xex.errors import BadPayload, Dropped, NoVenueAnswered, SymbolError
from xex.model.identity import strangers
from xex.model.schema import Columns
from xex.testing import StaticConnector
from xex_connectors.ccxt_adapter import AssetMap
from xex_connectors.mapping import address_columns

KEYED = ("binance", "bybit", "okx")
TELLING = (*KEYED, "htx")
LISTS = {
    "binance": "/sapi/v1/capital/config/getall", "bybit": "/v5/asset/coin/query-info",
    "htx": "/v2/reference/currencies", "okx": "/api/v5/asset/currencies",
}  # fmt: skip
# As each venue writes the networks of the lab's USDT.
NETWORKS = {
    "binance": ["ETH", "TRX"], "bybit": ["ETH", "TRX"], "htx": ["ERC20", "TRC20"], "okx": ["ERC20", "TRC20"],
}  # fmt: skip
USDT = ["0x7a1c9e04d2b85f6e3a0c417d9b28e56f01c3d4a9", "TLab7Nf2cQwXyZ4mKpR9sVtUeHjD3gBa1o"]
ONE, OTHER, THIRD = (f"0x{digit * 40}" for digit in "123")
NO_KEY = "auth: needs a key, one that may only read will do; not set: api_key, secret_key"


def addresses_map(venue: str) -> AssetMap:
    spec: AssetMap = CONNECTORS[venue].asset_map
    return spec


def asked(lab: Lab) -> list[tuple[str, str]]:
    """Return who was asked for currencies, and how often."""
    return sorted(
        (seen.venue, urlsplit(seen.path_qs).path) for seen in lab.seen if "time" not in seen.path_qs.lower()[:25]
    )


# --- the lists ----------------------------------------------------------------------------------------------


def listed(venue: str, rows: Mapping[str, list[tuple[str, Any]]]) -> Any:
    """Return a list of currencies as a venue sends it, with nothing in it but what matters."""

    def chains(network: str, address: str, of: list[tuple[str, Any]]) -> list[dict[str, Any]]:
        return [{network: name} | ({} if given is Ellipsis else {address: given}) for name, given in of]

    if venue == "binance":
        return [{"coin": code, "networkList": chains("network", "contractAddress", of)} for code, of in rows.items()]
    if venue == "bybit":
        coins = [{"coin": code, "chains": chains("chain", "contractAddress", of)} for code, of in rows.items()]
        return {"retCode": 0, "retMsg": "", "result": {"rows": coins}}
    if venue == "htx":
        coins = [
            {"currency": code, "chains": chains("displayName", "contractAddress", of)} for code, of in rows.items()
        ]
        return {"code": 200, "data": coins}
    flat = [{"ccy": code, **one} for code, of in rows.items() for one in chains("chain", "ctAddr", of)]
    return {"code": "0", "msg": "", "data": flat}


def read(venue: str, body: Any) -> Columns:
    return address_columns(msgspec.json.encode(body), addresses_map(venue), venue)


@pytest.mark.parametrize("venue", TELLING)
def test_a_list_becomes_a_row_for_each_network_of_each_code(venue: str) -> None:
    prefix = {"okx": "USDT-"}.get(venue, "")
    given: dict[str, list[tuple[str, Any]]] = {
        "USDT": [
            (f"{prefix}ETH", ONE),
            (f"{prefix}Avalanche C-Chain", ""),
            (f"{prefix}ETH", " "),
            (f"{prefix}X", None),
        ],
        "NOWHERE": [],
        "XBT": [("Bitcoin", ...)],
    }
    found = read(venue, listed(venue, given))
    assert found == {
        "code": ["USDT"] * 4 + ["XBT"],
        "asset": ["USDT"] * 4 + ["BTC"],
        "network": ["ETH", "Avalanche C-Chain", "ETH", "X", "Bitcoin"],
        "address": [ONE, "", "", "", ""],
    }


def test_codes_mean_what_they_mean_on_that_venue() -> None:
    """HTX calls another coin GTC than everybody else does."""
    body = listed("htx", {"gtc": [("ERC20", ONE)], "usdt": [("ERC20", OTHER)]})
    assert read("htx", body)["asset"] == ["GAMECOM", "USDT"]
    assert address_columns(msgspec.json.encode(body), addresses_map("htx"), "okx")["asset"] == ["GTC", "USDT"]
    renamed = address_columns(msgspec.json.encode(body), addresses_map("htx"), "okx", {"GTC": "GITCOIN"})
    assert renamed["asset"] == ["GITCOIN", "USDT"]


@pytest.mark.parametrize("venue", TELLING)
@pytest.mark.parametrize("rows", [None, {}, "none", [], [1], [{"name": "USDT"}]])
def test_what_is_no_list_of_currencies_is_refused(venue: str, rows: Any) -> None:
    body = listed(venue, {})
    if venue == "binance":
        body = rows
    elif venue == "bybit":
        body["result"]["rows"] = rows
    else:
        body["data"] = rows
    with pytest.raises(BadPayload, match="no currencies"):
        read(venue, body)


def recorded(venue: str) -> dict[str, Any]:
    """Return a venue's own rows of currencies by code."""
    kept = json.loads((DATA / "currencies" / f"{venue}.json").read_bytes())
    return {code: row["info"] for code, row in kept.items() if row.get("info")}


@needs_recorded
@pytest.mark.parametrize("venue", TELLING)
def test_recorded_lists_are_read_to_the_last_address(venue: str) -> None:
    rows = recorded(venue)
    flat = [chain for row in rows.values() for chain in (row if venue == "okx" else [row])]
    wrap = {"binance": flat, "bybit": {"retCode": 0, "result": {"rows": flat}}, "okx": {"code": "0", "data": flat}}
    found = read(venue, wrap.get(venue, {"code": 200, "data": flat}))
    if venue == "okx":
        expected = [(row["ccy"], row["chain"].split("-", 1)[1], row["ctAddr"].strip()) for row in flat]
    else:
        code = {"binance": "coin", "bybit": "coin", "htx": "currency"}[venue]
        name = {"binance": "network", "bybit": "chain", "htx": "displayName"}[venue]
        chains = "networkList" if venue == "binance" else "chains"
        expected = [(row[code], one[name], one.get("contractAddress") or "") for row in flat for one in row[chains]]
    assert list(zip(found["code"], found["network"], found["address"], strict=True)) == expected
    assert sum(bool(address) for address in found["address"]) > 20


@needs_recorded
def test_the_lab_s_lists_have_no_field_that_the_venues_lack() -> None:
    token = Token("USDT", "ethereum", ONE)
    made: dict[str, Any] = {
        "binance": encode_binance.currency("USDT", (token,)), "bybit": encode_bybit.currency("USDT", (token,)),
        "htx": encode_htx.currency("USDT", (token,)), "okx": encode_okx.currency(token),
    }  # fmt: skip
    for venue, row in made.items():
        theirs = recorded(venue)["USDT"]
        theirs = theirs[0] if venue == "okx" else theirs
        assert row.keys() <= {*theirs, "instStatus"}, venue
        for chains in ("networkList", "chains"):
            if chains in row:
                assert row[chains][0].keys() <= {key for one in theirs[chains] for key in one}, venue


@pytest.mark.parametrize("venue", TELLING)
def test_each_list_is_one_request_to_a_host_with_a_budget(venue: str) -> None:
    connector, spec = CONNECTORS[venue], addresses_map(venue)
    keys = {"apiKey": "key", "secret": "c2VjcmV0", "password": "word"}
    client = getattr(ccxt, connector.markets["spot"].client)(keys)
    path, api, method, _ = _entry(client, spec.call)
    request = client.sign(path, api, method, {})
    assert (request["method"], request["body"]) == ("GET", None)
    assert spec.signed == (venue in KEYED)
    assert any("key" in str(value) for value in (request["headers"] or {}).values()) == spec.signed
    parts = urlsplit(request["url"])
    assert parts.path == LISTS[venue]
    charged = [limit.cost(parts.path, {}) for limit in connector.limits if limit.host == parts.hostname]
    assert any(cost is not None for cost in charged)


# --- asking -------------------------------------------------------------------------------------------------


async def test_without_keys_one_venue_tells_and_the_others_are_named(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, **NO_KEYS)
    frame = await xm.addresses("USDT")
    assert list(frame.columns) == ["exchange", "venue", "code", "asset", "network", "address", "source"]
    assert frame.to_dict("records") == [
        {"exchange": "htx", "venue": "htx", "code": "usdt", "asset": "USDT", "network": network, "address": address,
         "source": "public: /v2/reference/currencies"}
        for network, address in zip(NETWORKS["htx"], USDT, strict=True)
    ]  # fmt: skip
    assert frame.attrs == {
        "asset": "USDT", "asked": list(VENUES), "answered": ["htx"], "identity": {"htx": {}},
        "dropped": {
            "binance": NO_KEY, "bybit": NO_KEY, "okx": f"{NO_KEY}, passphrase",
            "kraken": "not_listed: it publishes no contract addresses",
        },
    }  # fmt: skip
    json.dumps(frame.attrs)  # as files of frames keep them
    assert asked(lab) == [("htx", LISTS["htx"])]
    assert {one["status"] for name, one in xm.get_exchange_status().items() if name != "htx"} == {"unknown"}

    again = await xm.addresses(" btc ")
    assert again[["code", "network"]].to_dict("records") == [{"code": "btc", "network": "BTC"}]
    assert again["address"].isna().all()
    assert asked(lab) == [("htx", LISTS["htx"])], "the list of all currencies is kept"


async def test_a_list_is_kept_for_an_hour(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("htx",))
    await xm.addresses("USDT")
    connector: Any = xm._entries["htx"].connector
    epoch, at, columns = connector._addresses
    for older_s, asset, requests in ((3500, "USDT", 1), (3700, "USDT", 2), (50, "PEPE", 2), (70, "PEPE", 3)):
        connector._addresses = (epoch, at - older_s, columns)
        if asset == "USDT":
            await xm.addresses(asset)
        else:
            with pytest.raises(NoVenueAnswered, match="no network of PEPE"):
                await xm.addresses(asset)
        assert len(asked(lab)) == requests


async def test_with_keys_all_who_publish_tell(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, **CANARIES)
    frame = await xm.addresses("USDT", deadline=2)
    told = {
        exchange: (rows["network"].tolist(), rows["address"].tolist()) for exchange, rows in frame.groupby("exchange")
    }
    assert told == {venue: (NETWORKS[venue], USDT) for venue in TELLING}
    assert set(frame.attrs["dropped"]) == {"kraken"}
    assert frame.attrs["identity"] == {
        one: {other: "same" for other in frame.attrs["answered"] if other != one} for one in frame.attrs["answered"]
    }
    assert asked(lab) == sorted(LISTS.items())
    sources = frame.groupby("venue")["source"].first().to_dict()
    assert sources == {venue: f"{'public' if venue == 'htx' else 'signed'}: {path}" for venue, path in LISTS.items()}
    carrying = {seen.venue for seen in lab.seen if CANARIES["api_key"] in seen.headers.values()}
    assert carrying == set(KEYED)


async def test_one_exchange_of_several_of_a_venue_needs_the_key(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("okx",), **NO_KEYS)
    assert xm.add_exchange(ExchangeConfig("mine", "okx", base_url=lab.url("okx"), priority=2, **CANARIES))
    frame = await xm.addresses("usdt")
    assert frame["exchange"].unique().tolist() == ["mine"]
    assert frame.attrs["dropped"] == {"okx": f"{NO_KEY}, passphrase"}


async def test_a_key_set_while_running_counts(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("binance",), **NO_KEYS)
    with pytest.raises(NoVenueAnswered, match="needs a key"):
        await xm.addresses("USDT")
    config: Any = xm.exchange_configs["binance"]
    for name, value in CANARIES.items():
        setattr(config, name, value)
    assert (await xm.addresses("USDT"))["address"].tolist() == USDT
    connector: Any = xm._entries["binance"].connector
    lab.fault("binance", "status", path="/sapi", code=401, body=ECHOES["json"])
    connector._addresses = None
    with pytest.raises(NoVenueAnswered) as caught:
        await xm.addresses("USDT")
    assert_error_clean(caught.value)


async def test_who_signs_goes_by_the_venue_s_clock(lab: Lab, manager_for: ManagerFor) -> None:
    lab.fault("binance", "skew", seconds=40)
    xm = manager_for(lab, venues=("binance",), **CANARIES)
    await xm.addresses("USDT")
    (signed,) = [seen.path_qs for seen in lab.seen if seen.path_qs.startswith("/sapi")]
    stamp = int(signed.split("timestamp=")[1].split("&")[0])
    assert 38_000 < stamp - lab.now_ms() < 42_000


@pytest.mark.parametrize("text", ["", " ", "BTC/USDT", "BTC-USDT", "a b", "A" * 100, None, 7])
async def test_what_is_no_currency_is_refused(text: Any, lab: Lab, manager_for: ManagerFor) -> None:
    with pytest.raises(SymbolError, match="no currency"):
        await manager_for(lab, venues=("htx",)).addresses(text)
    assert not lab.seen


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "hang"}, "late"),
        ({"kind": "status", "code": 200, "body": {"code": 2002, "message": "invalid field value"}}, "bad_payload"),
        ({"kind": "status", "code": 200, "body": {"code": 200, "data": []}}, "bad_payload"),
        ({"kind": "status", "code": 503}, "http_error"),
    ],
)
async def test_what_fails_is_named(fault: dict[str, Any], reason: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("htx", "okx"), okx=CANARIES)
    lab.fault("htx", path=LISTS["htx"], **fault)
    frame = await xm.addresses("USDT", deadline=0.3)
    assert frame.attrs["answered"] == ["okx"]
    assert frame.attrs["dropped"]["htx"].split(":")[0] == reason


class Own(StaticConnector):
    """A connector of somebody's own."""

    def __init__(self, columns: Any) -> None:
        super().__init__({})
        self.columns = columns

    async def addresses(self, asset: str) -> Columns:
        """Return what the test gave."""
        del asset
        if isinstance(self.columns, Exception):
            raise self.columns
        return self.columns  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"code": ["U"], "asset": ["USDT"], "network": ["ETH"], "address": [ONE]}, ""),
        ({"code": ["U"], "price": [1.0]}, "bad_payload"),
        ({"code": ["U", "V"], "network": ["ETH"]}, "bad_payload"),
        ({}, "not_listed"),
        (["U"], "bad_payload"),
        (RuntimeError(f"no {CANARIES['secret_key']}"), "internal"),
    ],
)
async def test_a_connector_of_one_s_own_answers_too(
    columns: Any, reason: str, lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab, venues=("htx",))
    assert xm.add_exchange(ExchangeConfig("own", "own", **CANARIES), Own(columns))
    assert xm.add_exchange(ExchangeConfig("plain", "plain"), StaticConnector({}))
    frame = await xm.addresses("USDT")
    assert frame.attrs["dropped"].get("own", "").split(":")[0] == reason
    assert frame.attrs["dropped"]["plain"] == "not_listed: the connector knows no contract addresses"
    assert_clean(frame.attrs)
    assert frame.attrs["identity"]["htx"] == ({"own": "different"} if not reason else {})


# --- keys ---------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[int, Any]] = {
    "binance": (401, {"code": -2015, "msg": f"Invalid API-key {CANARIES['api_key']}, IP, or permissions for action."}),
    "okx": (401, {"code": "50111", "msg": f"Invalid OK-ACCESS-KEY {CANARIES['api_key']}", "data": []}),
    "bybit": (200, {"retCode": 10003, "retMsg": f"API key {CANARIES['api_key']} is invalid.", "result": {}}),
}


async def test_a_wrong_key_costs_this_answer_alone(
    lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for venue, (code, body) in WRONG.items():
        lab.fault(venue, "status", path=LISTS[venue], code=code, body=body)
    xm = manager_for(lab, **CANARIES)
    await xm.connect_all()
    frame = await xm.addresses("USDT")
    assert frame.attrs["answered"] == ["htx"]
    assert {name: text.split(":")[0] for name, text in frame.attrs["dropped"].items()} == {
        **dict.fromkeys(KEYED, "auth"), "kraken": "not_listed",
    }  # fmt: skip
    status = xm.get_exchange_status()
    assert {venue: (one["status"], one["error_count"]) for venue, one in status.items()} == dict.fromkeys(
        VENUES, ("up", 0)
    )
    snap = await xm.get_cross_exchange_ticker("BTC/USDT")
    assert snap.dropped == {}
    for shown in (frame.to_csv(), frame.attrs, xm.get_exchange_status(), xm.exchange_info, caplog.text):
        assert_clean(shown)


@pytest.mark.parametrize("echo", ECHOES)
async def test_a_venue_that_echoes_keys_is_scrubbed(
    echo: str, lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    xm = manager_for(lab, venues=KEYED, **CANARIES)
    for code in (200, 400, 403):
        lab.heal()
        for venue in KEYED:
            lab.fault(venue, "status", path=LISTS[venue], code=code, body=ECHOES[echo])
        with pytest.raises(NoVenueAnswered) as caught:
            await xm.addresses("USDT", deadline=0.4)
        assert set(caught.value.dropped) == set(KEYED)
        assert_error_clean(caught.value)
        assert_clean({name: drop.text for name, drop in caught.value.dropped.items()})
    assert_clean(xm.get_exchange_status())
    assert_clean(caplog.text)


@pytest.mark.parametrize("kind", ["reset", "short", "redirect"])
async def test_what_breaks_repeats_no_signed_address(
    kind: str, lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    xm = manager_for(lab, venues=("binance",), **CANARIES)
    lab.fault("binance", kind, path=LISTS["binance"])
    with pytest.raises(NoVenueAnswered) as caught:
        await xm.addresses("USDT", deadline=0.3)
    assert_error_clean(caught.value)
    for shown in (caplog.text, str(caught.value), str(xm.get_exchange_status())):
        assert_clean(shown)
        assert "signature" not in shown


async def test_nothing_that_could_sign_is_kept(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=KEYED, **CANARIES)
    frame = await xm.addresses("USDT")
    assert_clean(frame.to_csv())
    for venue in KEYED:
        connector: Any = xm._entries[venue].connector
        assert all(client.apiKey is None for client in connector._clients.values())
        held = {name: value for name, value in vars(connector).items() if name not in {"_route", "_clients"}}
        assert_clean(held)
        assert "signature" not in str(held)


async def test_recordings_hold_the_public_list_cut_down_and_nothing_signed(
    lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    with xex.record(path):
        xm = manager_for(lab, **CANARIES)
        first = await xm.addresses("USDT", deadline=2)
        await xm.disconnect_all()
    assert first.attrs["answered"] == ["binance", "okx", "bybit", "htx"]
    text = path.read_text()
    assert_clean(text)
    kept = {urlsplit(entry["request"]["uri"]).path: entry for entry in json.loads(text)["interactions"]}
    assert not {LISTS[venue] for venue in KEYED} & set(kept)
    rows = json.loads(kept[LISTS["htx"]]["response"]["body"]["string"])["data"]
    assert [row["currency"] for row in rows] == ["usdt"]

    lab.seen.clear()
    with xex.replay(path):
        xm = manager_for(lab, **CANARIES)
        again = await xm.addresses("USDT", deadline=2)
        await xm.disconnect_all()
    assert again.to_dict("records") == first[first["exchange"] == "htx"].to_dict("records")
    assert {name: text.split(":")[0] for name, text in again.attrs["dropped"].items()} == {
        **dict.fromkeys(KEYED, "not_recorded"), "kraken": "not_listed",
    }  # fmt: skip
    assert not lab.seen, "a replay asks nobody, with keys or without"


# --- verdicts -----------------------------------------------------------------------------------------------


async def test_each_pair_of_exchanges_gets_a_verdict(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = lab.truth.with_tokens(
        Token("DOGE", "bsc", ONE), Token("DOGE", "ethereum", OTHER),
        Token("DOGE", "ethereum", THIRD, "htx"), Token("DOGE", "solana", "So1", "okx"),
    )  # fmt: skip
    xm = manager_for(lab, **CANARIES)
    said = (await xm.addresses("doge", deadline=2)).attrs["identity"]
    assert said == {
        "binance": {"bybit": "same", "htx": "different", "okx": "unknown"},
        "bybit": {"binance": "same", "htx": "different", "okx": "unknown"},
        "htx": {"binance": "different", "bybit": "different", "okx": "unknown"},
        "okx": {"binance": "unknown", "bybit": "unknown", "htx": "unknown"},
    }
    # Coins of networks of their own name no contract, and nothing is known of them.
    coins = (await xm.addresses("BTC", deadline=2)).attrs["identity"]
    assert {verdict for pairs in coins.values() for verdict in pairs.values()} == {"unknown"}


SUSPECT, DISAGREE = (Dropped.SUSPECT, "ethereum"), (Dropped.DISAGREE, "ethereum")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {}),
        ({"a": ONE}, {}),
        ({"a": ONE, "b": ONE}, {}),
        ({"a": ONE, "b": OTHER}, {"a": DISAGREE, "b": DISAGREE}),
        ({"a": ONE, "b": ONE, "c": OTHER}, {"c": SUSPECT}),
        ({"a": ONE, "b": ONE, "c": OTHER, "d": THIRD, "e": ONE}, {"c": SUSPECT, "d": SUSPECT}),
        ({"a": ONE, "b": ONE, "c": OTHER, "d": OTHER}, dict.fromkeys("abcd", DISAGREE)),
        ({"a": ONE, "b": OTHER, "c": THIRD}, dict.fromkeys("abc", DISAGREE)),
        # Who names no contract, or none on a network of the others, has no vote and is not judged.
        ({"a": ONE, "b": ONE, "c": OTHER, "d": None, "e": ""}, {"c": SUSPECT}),
        ({"a": ONE, "b": OTHER, "d": None, "e": None, "f": None}, {"a": DISAGREE, "b": DISAGREE}),
    ],
)
def test_the_majority_of_those_that_name_contracts_decides(
    given: dict[str, Any], found: dict[str, tuple[Dropped, str]]
) -> None:
    assert strangers({name: {"ERC20": address} for name, address in given.items()}) == found
    spelled = {name: {"ETH" if name < "c" else "Ethereum": address} for name, address in given.items()}
    assert strangers(spelled) == found
    assert strangers({**spelled, "z": {"Solana": "So1"}, "y": {}}) == found


def test_a_majority_that_is_not_all_known_to_be_the_same() -> None:
    """The second of them is the same as both others, which share no network."""
    given = {
        "a": {"ERC20": ONE}, "b": {"ERC20": ONE, "BEP20": OTHER}, "c": {"BSC": OTHER}, "d": {"BSC": THIRD},
    }  # fmt: skip
    assert strangers(given) == {"d": (Dropped.SUSPECT, "bsc")}


# --- in a snapshot ------------------------------------------------------------------------------------------

COLLIDING = ("binance", "bybit", "htx", "okx")


def doge(**elsewhere: str) -> tuple[Token, ...]:
    """Return what DOGE stands for: one contract, another one on some venues."""
    others = (Token("DOGE", "ethereum", address, venue) for venue, address in elsewhere.items())
    return Token("DOGE", "ethereum", ONE), *others


@pytest.mark.parametrize("books", [True, False])
async def test_a_collision_is_decided_by_address_although_prices_are_alike(
    books: bool, lab: Lab, manager_for: ManagerFor
) -> None:
    lab.truth = lab.truth.with_tokens(*doge(htx=OTHER))
    xm = manager_for(lab, **CANARIES)
    before = await xm.get_cross_exchange_ticker("DOGE/USDT", books=books)
    assert before.dropped == {}, "what nobody asked for is not known"
    await xm.addresses("DOGE", deadline=2)
    lab.seen.clear()
    snap = await xm.get_cross_exchange_ticker("DOGE/USDT", books=books)
    assert {name: (str(drop), drop.detail) for name, drop in snap.dropped.items()} == {
        "htx": ("suspect", "another contract address on ethereum")
    }
    assert not {urlsplit(seen.path_qs).path for seen in lab.seen} & set(LISTS.values())
    honest = [lab.truth.market(venue, "DOGE", "spot", "USDT") for venue in (*KEYED, "kraken")]
    assert snap.volume_total == pytest.approx(float(sum(market.base_volume for market in honest)))
    assert snap.volume_partial == ["htx"]
    assert snap.exchanges_data["htx"]["weight"] == 0
    assert all(
        row["gate"] == "identity" for row in snap.rejected if "htx" in {row["exchange_low"], row["exchange_high"]}
    )
    assert (await xm.get_cross_exchange_ticker("DOGEUSDT", books=books)).dropped == {}, "perpetuals have no contract"
    assert (await xm.get_cross_exchange_ticker("ETH/USDT", books=books)).dropped == {}


async def test_unknown_stays_unknown_and_price_decides(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = lab.truth.with_tokens(*doge()).with_collision("DOGE", "htx", "1.7", "spot")
    lab.truth = lab.truth.with_tokens(Token("DOGE", "solana", "So1", "htx"))
    xm = manager_for(lab, **CANARIES)
    said = (await xm.addresses("DOGE", deadline=2)).attrs["identity"]
    assert set(said["htx"].values()) == {"unknown"}
    snap = await xm.get_cross_exchange_ticker("DOGE/USDT")
    assert {name: (str(drop), drop.detail[:12]) for name, drop in snap.dropped.items()} == {
        "htx": ("suspect", "more than 3 ")
    }


async def test_an_address_does_not_vouch_for_a_price(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = lab.truth.with_tokens(*doge()).with_collision("DOGE", "htx", "1.7", "spot")
    xm = manager_for(lab, **CANARIES)
    assert set((await xm.addresses("DOGE", deadline=2)).attrs["identity"]["htx"].values()) == {"same"}
    assert (await xm.get_cross_exchange_ticker("DOGE/USDT")).dropped == {"htx": "suspect"}


async def test_where_addresses_are_split_nobody_of_those_is_trusted(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = lab.truth.with_tokens(*doge(htx=OTHER, okx=OTHER))
    xm = manager_for(lab, venues=COLLIDING, **CANARIES)
    await xm.addresses("DOGE", deadline=2)
    snap = await xm.get_cross_exchange_ticker("DOGE/USDT")
    assert snap.dropped == dict.fromkeys(COLLIDING, "disagree")
    assert {drop.detail for drop in snap.dropped.values()} == {"another contract address on ethereum"}
    assert snap.aggregated_price != snap.aggregated_price
    assert snap.arbitrage_opportunities == []


async def test_what_was_told_does_not_reach_into_a_recording(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    """A replay knows nothing but what was asked within it, so the recording must not either."""
    lab.truth = lab.truth.with_tokens(*doge(htx=OTHER))
    xm = manager_for(lab, venues=("binance", "htx"), binance=CANARIES)
    await xm.addresses("DOGE", deadline=2)
    assert (await xm.get_cross_exchange_ticker("DOGE/USDT")).dropped == dict.fromkeys(("binance", "htx"), "disagree")
    with xex.record(tmp_path / "run.json"):
        assert (await xm.get_cross_exchange_ticker("DOGE/USDT")).dropped == {}
