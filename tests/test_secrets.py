"""Keys are nowhere that a person, a log file or a recording could show them."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from tenacity import wait_none

import xex
from tests.conftest import VENUES, ManagerFor
from tests.lab import Lab
from xex.access import retry
from xex.access.transport import scrub
from xex.config import ExchangeConfig, read_environment
from xex.errors import ConfigError, ConnectorError, NoVenueAnswered
from xex.manager import ExchangeManager
from xex.testing import StaticConnector

CANARIES: dict[str, Any] = {
    "api_key": "CANARY-api-7f3a91",
    "secret_key": "CANARY+secret/5b20==",
    "passphrase": "CANARY pass phrase 88",
}
# What only the account itself is told: its fees.
FEES = {
    "/sapi/v1/asset/tradeFee", "/fapi/v1/commissionRate", "/dapi/v1/commissionRate", "/api/v5/account/trade-fee",
    "/v5/account/fee-rate", "/v2/reference/transact-fee-rate",
}  # fmt: skip
# What of a canary would give it away, also when a URL or JSON has encoded it.
TELLTALES = ("CANARY", "7f3a91", "5b20", "phrase 88", "phrase%2088", "phrase+88")


def assert_clean(what: object) -> None:
    text = what if isinstance(what, str) else repr(what)
    for telltale in TELLTALES:
        assert telltale not in text, f"{telltale!r} shows in {text[:300]}"


def chain(error: BaseException) -> Iterable[BaseException]:
    """Yield an error and all that it stands on."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def assert_error_clean(error: BaseException) -> None:
    for one in chain(error):
        assert_clean(str(one))
        assert_clean(one.args)
        assert_clean(getattr(one, "__dict__", {}))
        assert_clean(getattr(one, "__notes__", []))
    assert_clean("".join(traceback.format_exception(error)))


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Listen to every logger there is, as loudly as it goes."""
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        if name != "ccxt.base.exchange":  # its own guard is tested below
            caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def keyed(lab: Lab, manager_for: ManagerFor) -> ExchangeManager:
    return manager_for(lab, **CANARIES)


def config(**overrides: Any) -> ExchangeConfig:
    return ExchangeConfig(**{"exchange_id": "okx", "exchange_type": "okx", **CANARIES, **overrides})


def test_configuration_does_not_show_keys() -> None:
    made = config()
    for shown in (repr(made), str(made), f"{made}", repr([made]), repr(vars(made)), repr(copy.copy(made))):
        assert_clean(shown)
    assert made.api_key is not None
    assert made.api_key.get_secret_value() == CANARIES["api_key"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 0},
        {"timeout_s": -1},
        {"rate_share": 2},
        {"base_url": "CANARY-api-7f3a91"},
        {"proxy": "CANARY-api-7f3a91"},
        {"api_key": ["CANARY-api-7f3a91"]},
        {"secret_key": {"key": "CANARY-api-7f3a91"}},
        {"passphrase": 12.5, "priority": "CANARY-api-7f3a91"},
        {"enabled": "CANARY-api-7f3a91"},
        {"exchange_id": "CANARY api 7f3a91"},
        {"exchange_type": ""},
        {"options": "CANARY-api-7f3a91"},
        {"nonsense": "CANARY-api-7f3a91"},
    ],
)
def test_a_bad_setting_shows_its_name_and_no_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**wrong)
    assert_error_clean(caught.value)
    assert any(name in str(caught.value) for name in wrong)


@pytest.mark.parametrize(("field", "value"), [("api_key", 7), ("priority", "CANARY"), ("base_url", "CANARY")])
def test_a_bad_assignment_shows_its_name_and_no_value(field: str, value: Any) -> None:
    made = config()
    with pytest.raises(ConfigError, match=field) as caught:
        setattr(made, field, value)
    assert_error_clean(caught.value)


def test_the_environment_s_errors_do_not_show_keys() -> None:
    differing = {"OKX_API_KEY": CANARIES["api_key"], "OKEX_API_KEY": CANARIES["secret_key"]}
    with pytest.raises(ConfigError) as caught:
        read_environment(["okx"], differing)
    assert_error_clean(caught.value)
    read = read_environment(["okx"], {"OKX_API_KEY": CANARIES["api_key"], "OKX_SECRET_KEY": CANARIES["secret_key"]})
    assert_clean(read)


async def test_a_manager_does_not_show_keys(
    lab: Lab, manager_for: ManagerFor, everything_logged: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    xm = keyed(lab, manager_for)
    snap = await xm.get_cross_exchange_ticker("BTCUSDT", deadline=2)
    health = await xm.health_check()
    market = await xm.tickers()
    for shown in (
        xm,
        xm.exchange_configs,
        xm.exchange_info,
        xm.get_exchange_status(),
        health,
        snap,
        snap.as_dict(),
        snap.explain(),
        snap.frame.to_csv(),
        snap.book_frame.to_csv(),
        snap._repr_html_(),
        snap.responses,
        market.to_csv(),
        market.attrs,
    ):
        assert_clean(shown)
    for venue in VENUES:
        assert_clean(json.dumps(snap.raw(venue)))
    assert_clean(everything_logged.text)
    printed = capfd.readouterr()
    assert_clean(printed.out + printed.err)


async def test_market_data_is_asked_for_without_keys(lab: Lab, manager_for: ManagerFor) -> None:
    xm = keyed(lab, manager_for)
    await xm.get_cross_exchange_ticker("BTCUSDT", deadline=2)
    await xm.health_check()
    await xm.tickers()
    await asyncio.gather(*xm._background, return_exceptions=True)
    public = [seen for seen in lab.seen if urlsplit(seen.path_qs).path not in FEES]
    assert public
    for seen in public:
        assert_clean(seen.path_qs)
        assert_clean(seen.headers)
        assert "signature" not in seen.path_qs.lower()


ECHOES = {
    "json": {
        "code": -2015,
        "msg": "Invalid API-key CANARY-api-7f3a91 or CANARY+secret/5b20== or CANARY pass phrase 88",
    },
    "words": "<html>no such key: CANARY-api-7f3a91 CANARY+secret/5b20== CANARY pass phrase 88</html>",
    "okx": {"code": "50111", "msg": "Invalid OK-ACCESS-KEY CANARY-api-7f3a91", "data": ["CANARY pass phrase 88"]},
    "kraken": {"result": "error", "error": "authenticationError CANARY-api-7f3a91", "errors": ["CANARY+secret/5b20=="]},
    "bybit": {"retCode": 10003, "retMsg": "API key is invalid: CANARY-api-7f3a91", "result": "CANARY pass phrase 88"},
    "htx": {
        "status": "error",
        "err-code": "api-signature-not-valid",
        "err-msg": "CANARY+secret/5b20== signature=CANARY7f3a91",
    },
    "spot": {"error": ["EAPI:Invalid key CANARY-api-7f3a91 CANARY+secret/5b20=="]},
    "signed": {"code": 1, "msg": "bad signature=CANARY7f3a91 AccessKeyId=CANARY5b20&x=1"},
    "encoded": "<html>CANARY%2Bsecret%2F5b20%3D%3D CANARY%20pass%20phrase%2088 CANARY+pass+phrase+88</html>",
}


@pytest.mark.parametrize("code", [200, 400, 401, 403, 404, 418, 429, 451, 500, 503])
@pytest.mark.parametrize("echo", ECHOES)
async def test_a_venue_that_echoes_keys_is_scrubbed(
    echo: str,
    code: int,
    lab: Lab,
    manager_for: ManagerFor,
    everything_logged: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry.Wait, "_jitter", wait_none())
    xm = keyed(lab, manager_for)
    for venue in VENUES:
        lab.fault(venue, "status", code=code, body=ECHOES[echo])
    with pytest.raises(NoVenueAnswered) as caught:
        await xm.get_cross_exchange_ticker("BTCUSDT", deadline=1)
    assert_error_clean(caught.value)
    assert_clean({name: drop.text for name, drop in caught.value.dropped.items()})
    assert_clean(xm.get_exchange_status())
    assert_clean(xm.exchange_info)
    assert_clean(await xm.health_check())
    assert_clean(everything_logged.text)


async def test_the_error_of_one_question_is_scrubbed_down_to_its_cause(lab: Lab, manager_for: ManagerFor) -> None:
    xm = keyed(lab, manager_for)
    await xm.get_cross_exchange_ticker("BTCUSDT", deadline=2)
    for venue in VENUES:
        said = (200, ECHOES["kraken"]) if venue == "kraken" else (400, ECHOES["json"])
        lab.fault(venue, "status", code=said[0], body=said[1])
    for venue in VENUES:
        connector = xm._entries[venue].connector
        with pytest.raises(ConnectorError) as caught:
            await connector.get_ticker("BTC/USD:USD" if venue == "kraken" else "BTC/USDT:USDT")
        assert_error_clean(caught.value)


@pytest.mark.parametrize("kind", ["reset", "hang", "close", "short", "redirect", "html"])
async def test_a_key_in_the_address_is_scrubbed_from_what_breaks(
    kind: str, lab: Lab, manager_for: ManagerFor, everything_logged: pytest.LogCaptureFixture
) -> None:
    """Signed addresses carry keys; whatever breaks, the address is not repeated with them."""
    xm = keyed(lab, manager_for)
    await xm.get_cross_exchange_ticker("BTCUSDT", deadline=2)
    entry = xm._entries["okx"]
    lab.fault("okx", kind)
    with pytest.raises(ConnectorError) as caught:
        await xm._transport.send(
            type(xm._route(entry))(
                "okx", "okx", entry.state, timeout_s=0.1, base_url=lab.url("okx"), secrets=tuple(CANARIES.values())
            ),
            "GET",
            f"https://www.okx.com/api/v5/account/balance?AccessKeyId={CANARIES['api_key']}&signature=CANARY5b20",
            {"OK-ACCESS-KEY": CANARIES["api_key"], "OK-ACCESS-PASSPHRASE": CANARIES["passphrase"]},
            signed=True,
        )
    assert_error_clean(caught.value)
    assert_clean(everything_logged.text)
    assert_clean(xm.get_exchange_status())


async def test_a_proxy_s_password_is_not_shown(lab: Lab, manager_for: ManagerFor) -> None:
    """Nobody listens there: the failure names the proxy at most, not who logs in."""
    xm = manager_for(lab, venues=("okx",), okx={"proxy": "http://user:CANARY5b20@127.0.0.1:9"})
    assert_clean(xm.exchange_configs)
    with pytest.raises(NoVenueAnswered) as caught:
        await xm.get_cross_exchange_ticker("BTCUSDT", deadline=0.5)
    assert_error_clean(caught.value)
    assert_clean(xm.get_exchange_status())


async def test_a_connector_of_one_s_own_that_shows_a_key_is_scrubbed(
    lab: Lab, manager_for: ManagerFor, everything_logged: pytest.LogCaptureFixture
) -> None:
    xm = manager_for(lab, venues=("binance", "okx"))
    for number, error in enumerate(
        [
            ValueError(f"bad {CANARIES['api_key']}"),
            RuntimeError(f"GET /x?signature={CANARIES['secret_key']}"),
            KeyError(CANARIES["passphrase"]),
        ]
    ):
        name = f"own{number}"
        settings = ExchangeConfig(name, name, **CANARIES)
        assert xm.add_exchange(settings, StaticConnector({"BTC/USDT:USDT": error}, settings))
    snap = await xm.get_cross_exchange_ticker("BTCUSDT", deadline=2)
    assert set(snap.dropped) == {"own0", "own1", "own2"}
    assert_clean({name: drop.text for name, drop in snap.dropped.items()})
    assert_clean(snap.as_dict())
    assert_clean(everything_logged.text)


async def test_recordings_hold_no_key(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    # One venue answers its question with the key in the body, one with an error that repeats it.
    lab.fault("binance", "status", path="/fapi/v1/time", code=200, body={"serverTime": 1, "key": CANARIES["api_key"]})
    lab.fault("okx", "status", path="/api/v5/market/books", code=400, body=ECHOES["json"])
    with xex.record(path):
        xm = keyed(lab, manager_for)
        await xm.get_cross_exchange_ticker("BTCUSDT", deadline=2)
        await xm.health_check()
        await xm.disconnect_all()
    assert_clean(path.read_text())
    kept = json.loads(path.read_text())
    assert all(not entry["request"]["headers"] for entry in kept["interactions"])


async def test_signed_requests_are_not_recorded(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with xex.record(path):
        xm = keyed(lab, manager_for)
        await xm.get_cross_exchange_ticker("BTCUSDT", deadline=2)
        route = xm._route(xm._entries["okx"])
        url = f"https://www.okx.com/api/v5/public/time?key={CANARIES['api_key']}"
        answer = await xm._transport.send(route, "GET", url, {"OK-ACCESS-KEY": CANARIES["api_key"]}, signed=True)
        assert answer.status == 200
        await xm.disconnect_all()
    assert_clean(path.read_text())
    uris = [entry["request"]["uri"] for entry in json.loads(path.read_text())["interactions"]]
    assert not [uri for uri in uris if "?key=" in uri]


async def test_a_snapshot_can_be_pickled_without_keys(lab: Lab, manager_for: ManagerFor) -> None:
    """What a worker process would be sent."""
    xm = keyed(lab, manager_for)
    lab.fault("okx", "status", code=401, body=ECHOES["json"])
    snap = await xm.get_cross_exchange_ticker("BTCUSDT", deadline=1)
    sent = pickle.dumps(dict(snap.as_dict(), dropped=snap.dropped))
    assert_clean(sent.decode("latin-1"))
    assert pickle.loads(sent)["dropped"]["okx"] == snap.dropped["okx"]  # noqa: S301  made a line above


@pytest.mark.usefixtures("loaded")
def test_ccxt_s_own_debug_lines_never_run() -> None:
    """They print signed headers."""
    logging.getLogger("ccxt").setLevel(logging.DEBUG)
    try:
        assert not logging.getLogger("ccxt.base.exchange").isEnabledFor(logging.DEBUG)
    finally:
        logging.getLogger("ccxt").setLevel(logging.NOTSET)


async def test_no_way_to_an_order(lab: Lab, manager_for: ManagerFor) -> None:
    """No method that a person can reach spends money."""
    xm = keyed(lab, manager_for)
    await xm.connect_all()
    words = ("order", "withdraw", "transfer", "leverage", "margin")
    reachable = {name for name in dir(xm) if not name.startswith("_")}
    assert not [name for name in reachable if any(word in name.lower() for word in words)]
    for entry in xm._entries.values():
        for client in entry.connector._clients.values():  # type: ignore[attr-defined]
            assert client.apiKey in {None, ""}
            assert client.secret in {None, ""}
            assert client.password in {None, ""}


def test_scrub_takes_out_secrets_and_what_signed_addresses_carry() -> None:
    assert scrub("a KEY b", ["KEY"]) == "a *** b"
    assert scrub("a b", ["", "zz"]) == "a b"
    assert "1234" not in scrub("https://x/y?signature=1234&AccessKeyId=1234&apiKey=1234 end")
    assert scrub("https://x/y?symbol=BTC&limit=5") == "https://x/y?symbol=BTC&limit=5"
    assert_clean(scrub(json.dumps(CANARIES), list(CANARIES.values())))


async def test_other_sessions_keep_their_own_ways(lab: Lab) -> None:
    """Outside recordings xex patches nothing of aiohttp."""
    async with aiohttp.ClientSession() as session, session.get(lab.url("okx") + "/api/v5/public/time") as answer:
        assert (await answer.json())["code"] == "0"
