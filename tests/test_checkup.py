"""`xex doctor`: what is installed and set, the way to each venue, and for each fault a sentence on what to do."""

from __future__ import annotations

import asyncio
import json
import platform
import re
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from tests.conftest import NO_KEYS, VENUES, Guard, Tidy, configured
from tests.lab import Lab, running_lab
from tests.test_addresses import WRONG
from tests.test_ccxt_contract import _entry, ccxt
from tests.test_keys import TELLING
from tests.test_secrets import CANARIES, assert_clean
from tests.test_snapshot import CONNECTORS
from xex import checkup, cli
from xex.access import budgets, registry
from xex.checkup import Checkup, Row, advice, installation
from xex.config import ExchangeConfig
from xex.doctor import Doctor
from xex.errors import ConfigError, ConnectorError, Maintenance, UnknownVenue, Unreachable, VenueRefused
from xex.testing import StaticConnector

HOSTS = {
    "binance": ["fapi.binance.com", "dapi.binance.com", "api.binance.com"], "okx": ["www.okx.com"],
    "kraken": ["api.kraken.com", "futures.kraken.com"], "bybit": ["api.bybit.com"],
    "htx": ["api.huobi.pro", "api.hbdm.vn"],
}  # fmt: skip
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCXZ+4nXd5YAgEukz
1c6QdLOrP8gwpYEvaDsPggiEEsuhRANCAAT7bs0R2SURf2GdRKt8LlBE8Lf0616y
ZCJIqVnNDGORw98d71bpWajFu16bttS12IRy1D8pnmExJ/kwIUTAYgRG
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUcs77C1PFxlN0JgkCfZZfN6MiZRQwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyNzAwMDIxMloYDzIxMjYxMTAzMDAw
MjEyWjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAT7bs0R2SURf2GdRKt8LlBE8Lf0616yZCJIqVnNDGORw98d71bpWajFu16bttS1
2IRy1D8pnmExJ/kwIUTAYgRGo28wbTAdBgNVHQ4EFgQUA94wF99mBh6IigocmlvK
aPWY41gwHwYDVR0jBBgwFoAUA94wF99mBh6IigocmlvKaPWY41gwDwYDVR0TAQH/
BAUwAwEB/zAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIgX+dKqoFnG/71rrvnzpKDd+4Wh3YpSo0zdp2o1eTO49sCIQDBgee2eHc1
BJfhEXj84ZbBNPPD4HU0isp+SF50htvyYA==
-----END CERTIFICATE-----
"""
"""A certificate that nobody vouches for, of 127.0.0.1, with its key; valid for a hundred years, and for nothing."""


@pytest.fixture
async def checkup_for(tidy: Tidy) -> AsyncIterator[Any]:  # noqa: ARG001  closed before the loop is judged
    """Give a maker of checkups of a lab's venues, closed when the test ends."""
    made: list[Checkup] = []

    def make(lab: Lab, *venues: str, deadline: float = 5.0, **overrides: Any) -> Checkup:
        xm = Checkup(cache=False, deadline=deadline)
        made.append(xm)
        for venue in venues or VENUES:
            assert xm.add_exchange(configured(lab, venue, **overrides))
        return xm

    yield make
    for xm in made:
        await xm.disconnect_all()


def found(rows: list[Row]) -> dict[str, tuple[str, bool, str]]:
    """Return what was found, whether it is good and the fix, by what was looked at."""
    names = [row["what"] for row in rows]
    assert len(set(names)) == len(names)
    assert all(row.keys() == {"what", "found", "good", "fix"} for row in rows)
    assert not [row for row in rows if row["good"] and row["fix"]]
    return {row["what"]: (row["found"], row["good"], row["fix"]) for row in rows}


def bad(rows: list[Row]) -> dict[str, str]:
    return {row["what"]: f"{row['found']} | {row['fix']}" for row in rows if not row["good"]}


# --- the venues' hosts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", VENUES)
def test_every_host_of_a_venue_has_a_small_question_of_its_own(venue: str) -> None:
    connector = CONNECTORS[venue]
    assert list(connector.probes) == HOSTS[venue]
    assert {limit.host for limit in connector.limits} == set(HOSTS[venue])
    for host, (call, params) in connector.probes.items():
        names = [market.client for market in reversed(connector.markets.values())]
        client = next(made for name in names if hasattr(made := getattr(ccxt, name)(), call))
        path, api, method, _ = _entry(client, call)
        request = client.sign(path, api, method, dict(params))
        assert (request["method"], request["body"]) == ("GET", None)
        assert not request["headers"]
        assert urlsplit(request["url"]).hostname == host
        assert any(limit.cost(urlsplit(request["url"]).path, {}) for limit in connector.limits if limit.host == host)


async def test_when_all_is_well_nothing_is_wrong(lab: Lab, checkup_for: Any) -> None:
    told = found(await checkup_for(lab, **NO_KEYS).check_ways())
    assert {name for name, (_, good, _) in told.items() if not good} == set()
    for venue, hosts in HOSTS.items():
        for host in hosts:
            assert told.pop(f"{venue} {host}")[0].startswith("answers through base_url in ")
        assert told.pop(f"{venue} clock")[0] == "as this machine's"
        assert told.pop(f"{venue} status")[0] == "ok"
        assert told.pop(f"{venue} key")[0] == "none set; market data needs none"
    assert told == {}


@pytest.mark.parametrize(
    ("fault", "said", "fix"),
    [
        ({"kind": "status", "code": 451, "body": "no"}, "HTTP 451", "from where its terms allow it"),
        ({"kind": "status", "code": 403, "body": "<html>"}, "HTTP 403", "from where its terms allow it"),
        ({"kind": "status", "code": 403, "body": {"code": "1"}}, "HTTP 403", "in its own words"),
        ({"kind": "status", "code": 429, "retry_after": 7}, "asked to wait 7 s", "ask nothing for 7.0 s"),
        ({"kind": "status", "code": 418, "retry_after": 600}, "asked to wait 600 s", "ask nothing for 10 min"),
        ({"kind": "rate_limited", "status": 200}, "Too Many Requests", "EXCHANGE_RATE_LIMIT"),
        ({"kind": "status", "code": 503}, "HTTP 503", "trouble of its own"),
        ({"kind": "venue_error"}, "temporarily unavailable", "until the venue opens again"),
        ({"kind": "redirect", "location": "http://login.example"}, "redirects", "login page"),
        ({"kind": "html"}, "HTML instead of JSON", "login page"),
        ({"kind": "close"}, "", "try again"),
    ],
)
async def test_each_fault_has_its_name_and_its_remedy(
    fault: dict[str, Any], said: str, fix: str, lab: Lab, checkup_for: Any
) -> None:
    lab.fault("okx", **fault)
    rows = await checkup_for(lab, "okx", "kraken").check_ways()
    wrong = bad(rows)
    assert set(wrong) == {"okx www.okx.com"}, wrong
    told, _, remedy = wrong["okx www.okx.com"].partition(" | ")
    assert said in told
    assert fix in remedy
    assert remedy.endswith("it goes through base_url, so look there too")
    assert "vpn" not in remedy.lower()
    assert "okx clock" not in found(rows), "what cannot be reached is not asked about"


async def test_one_host_of_several_that_fails_is_named(lab: Lab, checkup_for: Any) -> None:
    lab.fault("binance", "status", path="/dapi", code=451)
    wrong = bad(await checkup_for(lab, "binance", "okx").check_ways())
    assert list(wrong) == ["binance dapi.binance.com"]


async def test_who_hangs_costs_the_time_and_no_more(lab: Lab, checkup_for: Any) -> None:
    lab.fault("okx", "hang")
    xm = checkup_for(lab, "okx", "kraken")
    await xm.check_ways()  # imports are not its time
    budgets.PROCESS._ledgers.clear()
    started = time.perf_counter()
    rows = await xm.check_ways(deadline=0.4)
    assert time.perf_counter() - started < 1.5
    wrong = bad(rows)
    assert list(wrong) == ["okx www.okx.com"]
    assert re.search(r"no answer within 0\.[34]\d* s", wrong["okx www.okx.com"])
    assert "--timeout 30" in wrong["okx www.okx.com"]
    assert "firewall" in wrong["okx www.okx.com"]


async def test_a_venue_s_own_word_is_told(lab: Lab, checkup_for: Any) -> None:
    body = {"error": [], "result": {"status": "maintenance", "timestamp": "2026-01-01T00:00:00Z"}}
    lab.fault("kraken", "status", path="/0/public/SystemStatus", code=200, body=body)
    wrong = bad(await checkup_for(lab, "okx", "kraken").check_ways())
    assert list(wrong) == ["kraken status"]
    assert wrong["kraken status"].startswith("the venue says: maintenance | wait")


async def test_a_clock_is_the_venue_s_where_others_agree_with_ours(lab: Lab, checkup_for: Any) -> None:
    lab.fault("okx", "skew", seconds=-40)
    lab.fault("bybit", "skew", seconds=0.7)
    rows = await checkup_for(lab, "okx", "bybit", "htx").check_ways()
    wrong = bad(rows)
    assert list(wrong) == ["okx clock"]
    assert wrong["okx clock"].startswith(("40.0 s behind", "39.9 s behind", "40.1 s behind"))
    assert "other venues' clocks agree" in wrong["okx clock"]
    ahead, good, _ = found(rows)["bybit clock"]
    assert good
    assert ahead.endswith("ahead of this machine's")


async def test_a_clock_that_all_venues_differ_from_is_ours(lab: Lab, checkup_for: Any) -> None:
    for venue in ("okx", "bybit", "htx"):
        lab.fault(venue, "skew", seconds=3)
    wrong = bad(await checkup_for(lab, "okx", "bybit", "htx").check_ways())
    assert list(wrong) == ["okx clock", "bybit clock", "htx clock"]
    assert all("synchronise this machine's clock" in text for text in wrong.values())


# --- the network ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(answer: bytes = b"", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen on a port that says one thing to everybody."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer:
            await reader.read(65536)
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    (tmp_path / "server.pem").write_text(CERTIFICATE)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tmp_path / "server.pem")
    return made


async def test_a_certificate_that_nobody_vouches_for_is_named(
    lab: Lab, checkup_for: Any, self_signed: ssl.SSLContext
) -> None:
    async with listening(tls=self_signed) as port:
        xm = checkup_for(lab, "okx", "kraken", okx={"base_url": f"https://127.0.0.1:{port}"})
        wrong = bad(await xm.check_ways())
    assert list(wrong) == ["okx www.okx.com"]
    assert "its certificate is not accepted (self-signed certificate)" in wrong["okx www.okx.com"]
    assert "SSL_CERT_FILE" in wrong["okx www.okx.com"]
    assert "127.0.0.1" not in wrong["okx www.okx.com"]


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("certificate has expired", "set this machine's clock"),
        ("certificate is not yet valid", "set this machine's clock"),
        ("Hostname mismatch, certificate is not valid", "another server answers under this name"),
        ("self-signed certificate in certificate chain", "SSL_CERT_FILE"),
        ("unable to get local issuer certificate", "ca-certificates"),
    ],
)
def test_each_trouble_with_a_certificate_has_its_own_remedy(said: str, fix: str) -> None:
    assert fix in advice(Unreachable(f"its certificate is not accepted ({said})", how="certificate"))


async def test_what_speaks_no_tls_is_told_from_a_bad_certificate(lab: Lab, checkup_for: Any) -> None:
    async with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        xm = checkup_for(lab, "okx", "kraken", okx={"base_url": f"https://127.0.0.1:{port}"}, deadline=2)
        wrong = bad(await xm.check_ways())
    assert list(wrong) == ["okx www.okx.com"]
    assert "certificate" not in wrong["okx www.okx.com"]
    assert wrong["okx www.okx.com"].startswith("no TLS as it should be (wrong version number) through base_url | ")
    assert "does not speak TLS as it should" in wrong["okx www.okx.com"]


async def test_where_nobody_listens_it_is_refused(lab: Lab, checkup_for: Any) -> None:
    async with listening() as port:
        pass  # gone again
    xm = checkup_for(lab, "okx", "kraken", okx={"base_url": f"http://127.0.0.1:{port}"})
    wrong = bad(await xm.check_ways())
    assert list(wrong) == ["okx www.okx.com"]
    assert "Connection refused" in wrong["okx www.okx.com"]
    assert "a firewall refuses" in wrong["okx www.okx.com"]


async def test_a_name_that_does_not_resolve_is_one_venue_s_trouble(lab: Lab, checkup_for: Any, guard: Guard) -> None:
    xm = checkup_for(lab, "okx", "kraken", okx={"base_url": "https://okx.invalid"})
    wrong = bad(await xm.check_ways())
    assert list(wrong) == ["okx www.okx.com"]
    assert "the name does not resolve" in wrong["okx www.okx.com"]
    assert "name server" in wrong["okx www.okx.com"]
    assert set(guard.refused) == {"okx.invalid"}
    guard.refused.clear()


async def test_no_network_is_said_once_at_the_end(
    lab: Lab, checkup_for: Any, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://user:CANARY@proxy.example")
    rows = await checkup_for(lab, base_url=None).check_ways()
    assert [row["what"] for row in rows] == [f"{one} {host}" for one in VENUES for host in HOSTS[one]] + ["network"]
    assert not any(row["good"] for row in rows)
    assert [row["fix"] for row in rows[:-1]] == [""] * (len(rows) - 1)
    assert rows[-1]["found"].startswith("no venue can be reached: this machine has no network")
    assert "--replay" in rows[-1]["fix"]
    assert "https_proxy is set, which xex does not read" in rows[-1]["fix"]
    assert_clean(rows)
    assert set(guard.refused) == {host for hosts in HOSTS.values() for host in hosts}
    guard.refused.clear()


async def test_one_obstacle_before_all_venues_is_said_once(lab: Lab, checkup_for: Any) -> None:
    for venue in ("okx", "kraken"):
        lab.fault(venue, "html")
    rows = await checkup_for(lab, "okx", "kraken").check_ways()
    assert [row["fix"] != "" for row in rows] == [False, False, False, True]
    assert "all for the same reason: HTML instead of JSON" in rows[-1]["found"]
    assert "log in" in rows[-1]["fix"]
    budgets.PROCESS._ledgers.clear()
    alone = await checkup_for(lab, "okx").check_ways()
    assert [row["what"] for row in alone] == ["okx www.okx.com"]
    assert "log in" in alone[0]["fix"]


async def test_what_venues_refuse_by_themselves_is_said_of_each(lab: Lab, checkup_for: Any) -> None:
    for venue in ("okx", "bybit"):
        lab.fault(venue, "status", code=451)
    rows = await checkup_for(lab, "okx", "bybit").check_ways()
    assert [row["what"] for row in rows] == ["okx www.okx.com", "bybit api.bybit.com"]
    assert all("terms" in row["fix"] for row in rows)


async def test_a_proxy_that_does_not_answer_is_named_and_not_its_user(lab: Lab, checkup_for: Any) -> None:
    async with listening() as port:
        pass
    proxy = f"http://user:CANARY5b20@127.0.0.1:{port}"
    wrong = bad(await checkup_for(lab, "okx", "kraken", okx={"proxy": proxy}).check_ways())
    assert list(wrong) == ["okx www.okx.com"]
    assert "through base_url and the proxy" in wrong["okx www.okx.com"]
    assert "start the configured proxy" in wrong["okx www.okx.com"]
    assert_clean(wrong)


async def test_a_proxy_s_own_name_is_the_proxy_s_trouble(lab: Lab, checkup_for: Any, guard: Guard) -> None:
    xm = checkup_for(lab, "okx", "kraken", okx={"proxy": "http://user:CANARY5b20@proxy.invalid:3128"})
    wrong = bad(await xm.check_ways())
    assert list(wrong) == ["okx www.okx.com"]
    assert "correct its address" in wrong["okx www.okx.com"]
    assert_clean(wrong)
    assert set(guard.refused) == {"proxy.invalid"}
    guard.refused.clear()


async def test_an_endpoint_that_is_left_alone_is_asked_all_the_same(lab: Lab, checkup_for: Any) -> None:
    xm = checkup_for(lab, "okx", "kraken")
    breaker = xm.exchange_info["okx"].breaker("/api/v5/public/time")
    while (permit := breaker.enter()) is not None:
        permit.failed()
    assert bad(await xm.check_ways()) == {}


async def test_a_proxy_that_wants_another_user_is_named(lab: Lab, checkup_for: Any) -> None:
    async with listening(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as port:
        settings = {"base_url": None, "proxy": f"http://user:CANARY5b20@127.0.0.1:{port}"}
        wrong = bad(await checkup_for(lab, "okx", "kraken", okx=settings).check_ways())
    assert list(wrong) == ["okx www.okx.com"]
    assert wrong["okx www.okx.com"].startswith("the proxy answers HTTP 407 through the proxy | ")
    assert "its user" in wrong["okx www.okx.com"]
    assert_clean(wrong)


# --- keys ----------------------------------------------------------------------------------------------------


async def test_a_key_that_only_reads_is_good(lab: Lab, checkup_for: Any) -> None:
    told = found(await checkup_for(lab, **CANARIES).check_ways())
    for venue in TELLING:
        assert told[f"{venue} key"] == ("accepted; it may read", True, "")
    for venue in ("htx", "kraken"):
        assert told[f"{venue} key"][1]
        assert "does not tell what it may do" in told[f"{venue} key"][0]
    assert_clean(told)


async def test_a_key_that_may_more_is_to_be_replaced(lab: Lab, checkup_for: Any) -> None:
    lab.permissions = {"binance": {"read", "withdraw"}, "okx": {"read", "trade"}, "bybit": {"read"}}
    wrong = bad(await checkup_for(lab, **CANARIES).check_ways())
    assert list(wrong) == ["binance key", "okx key"]
    assert wrong["binance key"].startswith("accepted; it may read and withdraw | make a key that may only read")
    assert wrong["okx key"].startswith("accepted; it may read and trade | make a key that may only read")
    assert_clean(wrong)


async def test_a_wrong_key_is_told_and_nothing_else_suffers(
    lab: Lab, checkup_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for venue, (code, body) in WRONG.items():
        lab.fault(venue, "status", path=TELLING[venue], code=code, body=body)
    monkeypatch.setenv("OKX_API_KEY", CANARIES["api_key"])
    monkeypatch.setenv("OKEX_PASSPHRASE", CANARIES["passphrase"])
    wrong = bad(await checkup_for(lab, **CANARIES).check_ways())
    assert sorted(wrong) == sorted(f"{venue} key" for venue in TELLING)
    assert all(text.startswith("not accepted: ") and "needs no key" in text for text in wrong.values())
    assert "OKX_API_KEY, OKEX_PASSPHRASE" in wrong["okx key"]
    assert_clean(wrong)


async def test_half_a_key_names_the_other_half(lab: Lab, checkup_for: Any) -> None:
    wrong = bad(await checkup_for(lab, "okx", "kraken", **NO_KEYS, okx={"api_key": CANARIES["api_key"]}).check_ways())
    assert list(wrong) == ["okx key"]
    assert "not set: secret_key, passphrase" in wrong["okx key"]
    assert_clean(wrong)


async def test_what_a_key_may_do_is_not_guessed(lab: Lab, checkup_for: Any) -> None:
    lab.fault("okx", "hang", path=TELLING["okx"])
    lab.fault("bybit", "status", path=TELLING["bybit"], code=503)
    wrong = bad(await checkup_for(lab, "okx", "bybit", deadline=1.0, **CANARIES).check_ways())
    assert list(wrong) == ["okx key", "bybit key"]
    assert re.search(r"did not come: no answer within (1|0\.9\d*) s", wrong["okx key"])
    assert "did not come: HTTP 503" in wrong["bybit key"]


async def test_who_signs_goes_by_the_venue_s_clock(lab: Lab, checkup_for: Any) -> None:
    lab.fault("binance", "skew", seconds=40)
    await checkup_for(lab, "binance", **CANARIES).check_ways()
    (signed,) = [seen.path_qs for seen in lab.seen if seen.path_qs.startswith(TELLING["binance"])]
    stamp = int(signed.split("timestamp=")[1].split("&")[0])
    assert 38_000 < stamp - lab.now_ms() < 42_000


# --- connectors of one's own -----------------------------------------------------------------------------------


class Own(StaticConnector):
    """A connector of somebody's own that stands on hosts."""

    def __init__(self, raised: Exception | None, *, connects: bool = True) -> None:
        super().__init__({})
        self.raised, self.connects = raised, connects

    async def connect(self) -> None:
        """Fail where the test says so."""
        if not self.connects:
            raise RuntimeError(f"no {CANARIES['secret_key']}")

    def hosts(self) -> list[str]:
        """Return one host."""
        return ["own.example"]

    async def reach(self, host: str) -> None:
        """Answer, or raise what the test gave."""
        assert host == "own.example"
        if self.raised is not None:
            raise self.raised


async def test_no_check_that_fails_is_raised(lab: Lab, checkup_for: Any) -> None:
    xm = checkup_for(lab, "okx")
    given = {
        "plain": StaticConnector({}), "fine": Own(None), "odd": Own(KeyError(CANARIES["api_key"])),
        "broken": Own(None, connects=False), "closed": Own(Maintenance("closed")), "own": Own(VenueRefused("no")),
    }  # fmt: skip
    for name, connector in given.items():
        assert xm.add_exchange(ExchangeConfig(name, name, **CANARIES), connector)
    rows = await xm.check_ways()
    told = found(rows)
    assert told["plain"][:2] == ("connected", True)
    assert told["fine own.example"][:2] == ("connected", True)
    assert "wait until the venue opens again" in told["closed own.example"][2]
    assert told["own own.example"][0] == "no"
    for name in ("odd", "broken"):
        assert not told[f"{name} own.example"][1]
        assert told[f"{name} own.example"][2]
    assert_clean(rows)


async def test_only_those_who_were_named_are_looked_at(lab: Lab, checkup_for: Any) -> None:
    xm = checkup_for(lab)
    rows = await xm.check_ways(venues=["okx"])
    assert {row["what"].split()[0] for row in rows} == {"okx"}
    assert {seen.venue for seen in lab.seen} == {"okx"}
    with pytest.raises(UnknownVenue):
        await xm.check_ways(venues=["nyse"])
    with pytest.raises(ConfigError):
        await xm.check_ways(deadline=-1)


@pytest.mark.parametrize("error", [ConnectorError("?"), Unreachable("broke"), Unreachable("x", how="plain")])
def test_whatever_fails_has_some_advice(error: ConnectorError) -> None:
    assert advice(error)


# --- what is installed and set -----------------------------------------------------------------------------------


def test_the_installation_of_these_tests_is_good() -> None:
    told = found(installation())
    assert [name for name, (_, good, _) in told.items() if not good] == []
    for name in ("python", "xex", "ccxt", "pandas", "vcrpy", "event loop", "connector okx", "cache folder"):
        assert name in told
    assert "pyarrow" not in told, "what only an extra wants is no need"


@pytest.mark.parametrize(
    ("installed", "said", "fix"),
    [
        ("4.5.89", "4.5.89; xex needs ", "pip install 'ccxt"),
        ("5.0.0", "5.0.0; xex needs ", "pip install 'ccxt"),
        (None, "not installed", "pip install 'ccxt"),
    ],
)
def test_a_package_out_of_bounds_is_named(
    installed: str | None, said: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name != "ccxt":
            return installed_version(name)
        if installed is None:
            raise PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(checkup, "version", version)
    wrong = {row["what"]: row for row in installation() if not row["good"]}
    assert list(wrong) == ["ccxt"]
    assert wrong["ccxt"]["found"].startswith(said)
    assert wrong["ccxt"]["fix"].startswith(fix)
    assert "4.5.90" in wrong["ccxt"]["fix"]


def test_an_old_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.14")
    (row,) = [row for row in installation() if not row["good"]]
    assert row["found"] == "3.10.14; xex needs >=3.11"


def test_code_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Any:
        raise PackageNotFoundError(name)

    for name in ("version", "requires", "metadata"):
        monkeypatch.setattr(checkup, name, nothing)
    wrong = {row["what"]: row["fix"] for row in installation() if not row["good"]}
    assert list(wrong) == ["xex"]
    assert "pip install ." in wrong["xex"]


def test_a_cache_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (row,) = [row for row in installation() if not row["good"]]
    assert row["what"] == "cache folder"
    assert str(tmp_path / "file") in row["fix"]


def test_a_connector_that_cannot_be_loaded_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(point: Any) -> Any:
        raise ConfigError(f"{point.name} cannot be imported")

    monkeypatch.setattr(registry, "load", broken)
    wrong = {row["what"]: row["fix"] for row in installation() if not row["good"]}
    assert sorted(wrong) == sorted(f"connector {venue}" for venue in (*VENUES, "coinglass"))
    assert set(wrong.values()) == {"install xex anew, or remove it"}


def test_a_notebook_and_another_loop_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop(asyncio.SelectorEventLoop):
        """Somebody else's loop."""

    Loop.__module__, Loop.__qualname__ = "uvloop", "Loop"
    monkeypatch.setattr(asyncio, "new_event_loop", Loop)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    told, good, _ = found(installation())["event loop"]
    assert good
    assert told.startswith("uvloop.Loop; in a notebook")
    monkeypatch.delitem(sys.modules, "ipykernel")
    assert found(installation())["event loop"][0] == "uvloop.Loop"


def test_a_proxy_of_the_environment_is_named_without_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert "proxy" not in found(installation())
    monkeypatch.setenv("HTTPS_PROXY", "http://user:CANARY5b20@proxy.example")
    monkeypatch.setenv("ALL_PROXY", " ")
    rows = installation()
    assert found(rows)["proxy"][0].startswith("HTTPS_PROXY set, which xex does not read")
    assert_clean(rows)


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_lab(loaded: None) -> Iterator[Lab]:  # noqa: ARG001  imports are not its time
    with running_lab() as started:
        yield started


@pytest.fixture
def behind(shared_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Let the command find its venues behind the lab."""

    def from_env(*, deadline: float | None = None) -> Doctor:
        made = Doctor(cache=False, deadline=deadline or 5.0)
        for venue in ("okx", "kraken", "bybit"):
            made.add_exchange(configured(shared_lab, venue, okx=CANARIES))
        return made

    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(Doctor, "from_env", from_env)
    shared_lab.seen.clear()
    yield shared_lab
    shared_lab.heal()
    shared_lab.permissions["okx"] = {"read"}


def run(*words: str) -> tuple[int, str, str]:
    budgets.PROCESS._ledgers.clear()  # each is a process of its own, and OKX tells its status once in five seconds
    done = CliRunner().invoke(cli.app, ["doctor", *words], prog_name="xex", catch_exceptions=False)
    assert "Traceback" not in done.stdout + done.stderr
    assert_clean(done.stdout + done.stderr)
    return done.exit_code, done.stdout, done.stderr


def test_all_well_leaves_with_nought(behind: Lab) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "wrong:" not in out
    assert "What to do" not in out
    for what in ("ccxt", "okx www.okx.com", "kraken futures.kraken.com", "bybit clock", "accepted; it may read"):
        assert what in out
    assert {seen.venue for seen in behind.seen} == {"okx", "kraken", "bybit"}


def test_offline_asks_nobody(behind: Lab) -> None:
    code, out, _ = run("--offline")
    assert code == 0
    assert behind.seen == []
    assert "okx www.okx.com" not in out


@pytest.mark.parametrize("columns", ["80", "120"])
def test_what_is_wrong_is_marked_and_each_remedy_said_once(
    behind: Lab, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    behind.fault("kraken", "status", code=451)
    behind.permissions["okx"] = {"read", "trade"}
    code, out, _ = run()
    assert code == 1
    assert all(len(line) <= int(columns) for line in out.splitlines())
    text = " ".join(out.split())
    assert text.count("wrong:") == 3
    assert "3 of" in text
    assert text.count("from where its terms allow it") == 1
    assert "kraken api.kraken.com, kraken futures.kraken.com: the venue does not serve" in text
    assert "okx key: make a key that may only read" in text


def test_json_and_csv_hold_every_check(behind: Lab) -> None:
    behind.fault("kraken", "status", code=451)
    code, out, _ = run("--json", "--venues", "okx,kraken")
    told = json.loads(out)
    assert (code, told["good"]) == (1, False)
    assert told["rows"][0].keys() == {"what", "found", "good", "fix"}
    assert {row["what"] for row in told["rows"] if not row["good"]} == {
        "kraken api.kraken.com", "kraken futures.kraken.com",
    }  # fmt: skip
    assert not any(row["what"].startswith("bybit ") for row in told["rows"])
    code, out, _ = run("--csv")
    assert code == 1
    assert out.splitlines()[0] == "what,found,good,fix"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--base", "ETH"), "--base goes with --live"),
        (("--live", "--offline"), "--offline asks nobody"),
        (("--offline", "--venues", "okx"), "go without --offline"),
        (("--offline", "--timeout", "3"), "go without --offline"),
        (("--venues", "nyse"), "unknown venue"),
        (("--json", "--csv"), "choose one of"),
    ],
)
def test_what_does_not_go_together_is_said(behind: Lab, words: tuple[str, ...], said: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert behind.seen == []


def test_settings_that_cannot_be_read_are_told_and_nobody_is_asked(
    behind: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_env(*, deadline: float | None = None) -> Doctor:
        raise ConfigError(f"{deadline}")

    monkeypatch.setattr(Doctor, "from_env", from_env)
    monkeypatch.setenv("EXCHANGE_TIMEOUT", "soon")
    code, out, _ = run()
    assert code == 1
    assert "EXCHANGE_TIMEOUT: 'soon' is not a number" in out
    assert "set this variable as it should be" in out
    assert behind.seen == []
