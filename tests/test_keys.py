"""What a key may do, asked where venues tell: one that may do more than read is warned of, and none is ever shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

import xex
from tests.conftest import NO_KEYS, VENUES, ManagerFor
from tests.lab import Lab
from tests.test_addresses import WRONG
from tests.test_ccxt_contract import _entry, ccxt
from tests.test_secrets import CANARIES, ECHOES, assert_clean
from tests.test_snapshot import CONNECTORS
from xex.config import ExchangeConfig
from xex.errors import BadPayload
from xex.manager import ExchangeManager
from xex.testing import StaticConnector
from xex_connectors.mapping import KeyMap, key_rights

TELLING = {
    "binance": "/sapi/v1/account/apiRestrictions", "okx": "/api/v5/account/config", "bybit": "/v5/user/query-api",
}  # fmt: skip
NO_KEY = "auth: needs a key, one that may only read will do; not set: api_key, secret_key"
UNTOLD = "not_listed: it does not tell what a key may do"


def rights(text: str) -> dict[str, bool]:
    return {"read": "r" in text, "trade": "t" in text, "withdraw": "w" in text}


def asked(lab: Lab) -> list[str]:
    """Return who was asked what a key may do."""
    return sorted(seen.venue for seen in lab.seen if urlsplit(seen.path_qs).path == TELLING.get(seen.venue))


def warnings(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    found = [record.getMessage() for record in caplog.records if "the configured key may" in record.getMessage()]
    assert all(record.name == "xex.access" for record in caplog.records if "configured key" in record.getMessage())
    names = [text.partition(":")[0] for text in found]
    assert len(set(names)) == len(names), "each exchange once"
    return dict(zip(names, found, strict=True))


async def settled(xm: ExchangeManager) -> None:
    """Let what runs in the background end."""
    await asyncio.gather(*xm._background)


# --- what bodies say ----------------------------------------------------------------------------------------


def read(venue: str, body: Any) -> Mapping[str, bool]:
    spec: KeyMap = CONNECTORS[venue].key_map
    return key_rights(msgspec.json.encode(body), spec)


BINANCE = {"ipRestrict": True, "enableReading": True, "enableWithdrawals": False, "enableFutures": False}


@pytest.mark.parametrize(
    ("venue", "body", "may"),
    [
        ("binance", BINANCE, "r"),
        ("binance", {**BINANCE, "enableReading": False}, ""),
        ("binance", {**BINANCE, "enableWithdrawals": True}, "rw"),
        *(
            ("binance", {**BINANCE, name: True}, "rt")
            for name in (
                "enableSpotAndMarginTrading", "enableFutures", "enableMargin", "enableVanillaOptions",
                "enablePortfolioMarginTrading", "enableInternalTransfer", "permitsUniversalTransfer",
                "enableFixApiTrade",
            )
        ),
        ("binance", {**BINANCE, "enableFixReadOnly": True, "createTime": 1}, "r"),
        ("okx", {"code": "0", "data": [{"perm": "read_only"}]}, "r"),
        ("okx", {"code": "0", "data": [{"perm": "read_only, trade"}]}, "rt"),
        ("okx", {"code": "0", "data": [{"perm": "read_only,withdraw,trade"}]}, "rtw"),
        ("okx", {"code": "0", "data": [{"perm": ""}]}, ""),
        ("bybit", {"retCode": 0, "result": {"readOnly": 1, "permissions": {"Wallet": ["Withdraw"]}}}, "r"),
        ("bybit", {"retCode": 0, "result": {"readOnly": 0, "permissions": {"Wallet": []}}}, "rt"),
        ("bybit", {"retCode": 0, "result": {"readOnly": 0, "permissions": {"Wallet": ["Withdraw"]}}}, "rtw"),
    ],
)  # fmt: skip
def test_what_each_venue_s_words_mean(venue: str, body: Any, may: str) -> None:
    assert read(venue, body) == rights(may)


@pytest.mark.parametrize(
    ("venue", "body"),
    [
        ("binance", {}),
        ("binance", []),
        ("binance", {"enableReading": True, "enableWithdrawals": False}),
        ("binance", {"enableReading": True, "enableFutures": False}),
        ("okx", {"code": "0", "data": []}),
        ("okx", {"code": "50111", "data": [{"perm": "read_only"}]}),
        ("bybit", {"retCode": 0, "result": {"permissions": {"Wallet": []}}}),
        ("bybit", {"retCode": 0, "result": {"readOnly": 0}}),
    ],
)
def test_what_is_not_said_is_not_taken_for_no(venue: str, body: Any) -> None:
    with pytest.raises(BadPayload):
        read(venue, body)


@pytest.mark.parametrize("venue", TELLING)
def test_asking_is_one_signed_get_to_a_host_with_a_budget(venue: str) -> None:
    connector, spec = CONNECTORS[venue], CONNECTORS[venue].key_map
    client = getattr(ccxt, connector.markets["spot"].client)({"apiKey": "k", "secret": "c2Vj", "password": "w"})
    path, api, method, _ = _entry(client, spec.call)
    request = client.sign(path, api, method, {})
    assert (request["method"], request["body"]) == ("GET", None)
    parts = urlsplit(request["url"])
    assert parts.path == TELLING[venue]
    charged = [limit.cost(parts.path, {}) for limit in connector.limits if limit.host == parts.hostname]
    assert any(cost is not None for cost in charged)


# --- asking -------------------------------------------------------------------------------------------------


async def test_who_has_no_key_is_told_so_and_nobody_is_asked(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, **NO_KEYS)
    assert await xm.key_permissions() == {
        "binance": NO_KEY, "okx": f"{NO_KEY}, passphrase", "bybit": NO_KEY, "kraken": UNTOLD, "htx": UNTOLD,
    }  # fmt: skip
    assert lab.seen == []
    assert {one["status"] for one in xm.get_exchange_status().values()} == {"unknown"}


@pytest.mark.parametrize(
    ("may", "binance", "okx", "bybit"),
    [
        ({"read"}, "r", "r", "r"),
        ({"read", "trade"}, "rt", "rt", "rt"),
        # Who may write at Bybit may at least move money between accounts.
        ({"read", "withdraw"}, "rw", "rw", "rtw"),
        ({"read", "trade", "withdraw"}, "rtw", "rtw", "rtw"),
    ],
)
async def test_what_a_key_may_do(
    may: set[Any], binance: str, okx: str, bybit: str, lab: Lab, manager_for: ManagerFor
) -> None:
    lab.permissions = {venue: set(may) for venue in TELLING}
    xm = manager_for(lab, **CANARIES)
    told = await xm.key_permissions()
    assert told == {
        "binance": rights(binance), "okx": rights(okx), "bybit": rights(bybit), "kraken": UNTOLD, "htx": UNTOLD,
    }  # fmt: skip
    assert asked(lab) == sorted(TELLING)
    for seen in lab.seen:
        assert (CANARIES["api_key"] in seen.headers.values()) == (urlsplit(seen.path_qs).path in TELLING.values())


async def test_who_signs_goes_by_the_venue_s_clock(lab: Lab, manager_for: ManagerFor) -> None:
    lab.fault("binance", "skew", seconds=40)
    await manager_for(lab, venues=("binance",), **CANARIES).key_permissions()
    (signed,) = [seen.path_qs for seen in lab.seen if seen.path_qs.startswith(TELLING["binance"])]
    stamp = int(signed.split("timestamp=")[1].split("&")[0])
    assert 38_000 < stamp - lab.now_ms() < 42_000


async def test_a_venue_that_hangs_costs_its_own_answer(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=tuple(TELLING), **CANARIES)
    lab.fault("okx", "hang", path=TELLING["okx"])
    told = await xm.key_permissions(deadline=0.4)
    assert told["binance"] == told["bybit"] == rights("r")
    assert isinstance(told["okx"], str)
    assert "no answer" in told["okx"]


class Own(StaticConnector):
    """A connector of somebody's own."""

    def __init__(self, told: Any) -> None:
        super().__init__({})
        self.told = told

    async def permissions(self) -> Any:
        """Return what the test gave."""
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"read": 1, "trade": 0, "withdraw": False, "more": True}, rights("r")),
        ({"read": True}, "bad_payload"),
        (None, "bad_payload"),
        (RuntimeError(f"no {CANARIES['secret_key']}"), "internal"),
    ],
)
async def test_a_connector_of_one_s_own_tells_too(
    told: Any, expected: Any, lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    xm = manager_for(lab, venues=())
    assert xm.add_exchange(ExchangeConfig("own", "own", **CANARIES), Own(told))
    assert xm.add_exchange(ExchangeConfig("plain", "plain"), StaticConnector({}))
    found = await xm.key_permissions()
    assert found["plain"] == "not_listed: the connector does not tell what a key may do"
    own = found["own"]
    assert (own.split(":")[0] if isinstance(own, str) else own) == expected
    assert_clean(found)
    assert_clean(caplog.text)


# --- the warning --------------------------------------------------------------------------------------------


async def test_a_key_that_may_more_than_read_is_warned_of_once(
    lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    lab.permissions = {"binance": {"read", "trade"}, "okx": {"read", "withdraw", "trade"}, "bybit": {"read"}}
    xm = manager_for(lab, **CANARIES)
    for _ in range(2):
        assert await xm.connect_all() == dict.fromkeys(VENUES, True)
        await settled(xm)
        found = warnings(caplog)
        assert set(found) == {"binance", "okx"}
        assert "may trade, and" in found["binance"]
        assert "may trade and withdraw, and" in found["okx"]
        assert all("a key that may only read" in text and "needs no key" in text for text in found.values())
    assert_clean(caplog.text)


@pytest.mark.parametrize("given", [NO_KEYS, {"enabled": False, **CANARIES}])
async def test_without_keys_or_venues_nobody_is_asked_about_any(
    given: dict[str, Any], lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab, **given)
    await xm.connect_all()
    await settled(xm)
    assert asked(lab) == []


@pytest.mark.parametrize("fault", [{"kind": "hang"}, {"kind": "status", "code": 503}, {"kind": "html"}])
async def test_asking_changes_nothing_about_being_ready(
    fault: dict[str, Any], lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    for venue, path in TELLING.items():
        lab.fault(venue, path=path, **fault)
    xm = manager_for(lab, deadline=2, **CANARIES)
    assert await xm.connect_all() == dict.fromkeys(VENUES, True)
    assert warnings(caplog) == {}
    await xm.disconnect_all()
    assert_clean(caplog.text)


@pytest.mark.parametrize("venues", [tuple(TELLING)])
async def test_a_wrong_key_costs_nothing_else(
    venues: Sequence[str], lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for venue, (code, body) in WRONG.items():
        lab.fault(venue, "status", path=TELLING[venue], code=code, body=body)
    xm = manager_for(lab, **CANARIES)
    assert await xm.connect_all() == dict.fromkeys(VENUES, True)
    await settled(xm)
    assert asked(lab) == sorted(venues)
    told = await xm.key_permissions()
    assert {name: text.split(":")[0] for name, text in told.items() if isinstance(text, str)} == {
        **dict.fromkeys(venues, "auth"), "kraken": "not_listed", "htx": "not_listed",
    }  # fmt: skip
    status = xm.get_exchange_status()
    assert {(one["status"], one["error_count"]) for one in status.values()} == {("up", 0)}
    snap = await xm.get_cross_exchange_ticker("BTC/USDT")
    assert snap.dropped == {}
    assert warnings(caplog) == {}
    for shown in (told, status, xm.exchange_info, caplog.text):
        assert_clean(shown)


@pytest.mark.parametrize("echo", ECHOES)
async def test_a_venue_that_echoes_keys_is_scrubbed(
    echo: str, lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    xm = manager_for(lab, venues=tuple(TELLING), **CANARIES)
    for code in (200, 400, 403):
        lab.heal()
        for venue, path in TELLING.items():
            lab.fault(venue, "status", path=path, code=code, body=ECHOES[echo])
        told = await xm.key_permissions(deadline=0.4)
        assert all(isinstance(reason, str) for reason in told.values())
        assert_clean(told)
    assert_clean(xm.get_exchange_status())
    assert_clean(caplog.text)


async def test_nothing_that_could_sign_is_kept(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=tuple(TELLING), **CANARIES)
    await xm.key_permissions()
    for venue in TELLING:
        connector: Any = xm._entries[venue].connector
        assert all(client.apiKey is None for client in connector._clients.values())
        assert_clean({name: value for name, value in vars(connector).items() if name not in {"_route", "_clients"}})


async def test_a_recording_holds_nothing_of_it(lab: Lab, manager_for: ManagerFor, tmp_path: Any) -> None:
    lab.permissions["okx"] = {"read", "trade"}
    xm = manager_for(lab, venues=("okx",), **CANARIES)
    with xex.record(tmp_path / "kept.json"):
        await xm.connect_all()
        await settled(xm)
        assert asked(lab) == []
        await xm.key_permissions()
        await xm.disconnect_all()
    assert asked(lab) == ["okx"]
    text = (tmp_path / "kept.json").read_text()
    assert_clean(text)
    assert "account/config" not in text
    with xex.replay(tmp_path / "kept.json"):
        told = await xm.key_permissions()
        await xm.disconnect_all()
    assert str(told["okx"]).startswith("not_recorded")
