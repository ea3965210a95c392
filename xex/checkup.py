"""Whether xex can work here: what is installed and set, and the way to each venue.

Every check is a row: `what` was looked at, what was `found`, whether that is `good`, and the `fix` where it is not. Of
the environment names are told and never values, of keys what they may do.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, PackageNotFoundError, metadata, requires, version
from math import isfinite, nan
from typing import Any
from urllib.parse import urlsplit

from xex.access import registry
from xex.access.cache import MetadataCache
from xex.access.deadline import until
from xex.access.port import RIGHTS, AnswersHosts, AnswersStatus, able
from xex.access.transport import Response, heard, probing
from xex.config import ignored_proxies, read_environment, recognised
from xex.errors import (
    AuthRejected,
    BadPayload,
    ConfigError,
    ConnectorError,
    HttpError,
    Maintenance,
    NotListed,
    RateLimited,
    Restricted,
    TimedOut,
    Unreachable,
    VenueRefused,
)
from xex.manager import ExchangeManager
from xex.page import duration
from xex.roster import Entry, gathered

SKEWED_MS = 1000.0
"""A clock that is off by more dates quotes wrongly, and venues refuse what is signed by it."""

Row = dict[str, Any]


def _good(what: str, found: str) -> Row:
    return {"what": what, "found": found, "good": True, "fix": ""}


def _bad(what: str, found: str, fix: str) -> Row:
    return {"what": what, "found": found, "good": False, "fix": fix}


# --- what is installed and set ---------------------------------------------------------------------------------


def installation() -> list[Row]:
    """Return what is installed and set here, a row per fact. Nobody is asked."""
    rows = [_python(), *_packages(), _event_loop()]
    points, sources = registry.installed(), registry.references()
    rows += [_loads(f"connector {name}", point, registry.load) for name, point in sorted(points.items())]
    rows += [_loads(f"reference {name}", point, registry.load_reference) for name, point in sorted(sources.items())]
    rows.append(_cache_folder())
    venues = sorted({*points, *sources})
    names = recognised(venues)
    rows.append(_good("environment", ", ".join(names) or "nothing set that xex reads; nothing needs to be"))
    try:
        read_environment(venues)
    except ConfigError as exc:
        rows.append(_bad("environment", str(exc), "set this variable as it should be, or unset it"))
    if proxies := ignored_proxies():
        rows.append(
            _good("proxy", f"{', '.join(proxies)} set, which xex does not read: its own is ExchangeConfig(proxy=…)")
        )
    return rows


def _python() -> Row:
    found, needed = platform.python_version(), ""
    with suppress(PackageNotFoundError):
        needed = metadata("xex")["Requires-Python"] or ""
    if _within(found, needed):
        return _good("python", found)
    return _bad("python", f"{found}; xex needs {needed}", f"install xex in an environment of Python {needed}")


def _packages() -> list[Row]:
    """Return a row for xex and each package that it cannot do without."""
    try:
        rows = [_good("xex", version("xex"))]
        needed = requires("xex") or []
    except PackageNotFoundError:
        return [_bad("xex", "not installed, only its code is here", "pip install . where its pyproject.toml stands")]
    return rows + [_package(text) for text in needed if "extra" not in text.partition(";")[2]]


def _package(requirement: str) -> Row:
    """Return whether what a requirement asks for, such as ``ccxt<5,>=4.5.90``, is installed."""
    wanted = requirement.partition(";")[0].strip()
    name = re.split(r"[\s<>=!~(\[]", wanted, maxsplit=1)[0]
    fix = f"pip install '{wanted}'"
    try:
        found = version(name)
    except PackageNotFoundError:
        return _bad(name, "not installed", fix)
    bounds = wanted.removeprefix(name)
    return _good(name, found) if _within(found, bounds) else _bad(name, f"{found}; xex needs {bounds}", fix)


def _within(found: str, bounds: str) -> bool:
    """Say whether a version lies within lower and upper bounds; other kinds of bounds are pip's to judge.

    >>> _within("4.5.90", ">=4.5.90,<5"), _within("4.5.9", ">=4.5.90"), _within("5.0.0", "<5"), _within("3", ">=3.0")
    (True, False, False, True)
    """
    limits = re.findall(r"(>=|<)\s*([\d.]+)", bounds)
    return all((_numbers(found) >= _numbers(limit)) == (sign == ">=") for sign, limit in limits)


def _numbers(text: str) -> tuple[int, ...]:
    found = [int(part) for part in re.match(r"[\d.]*", text).group().split(".") if part]  # type: ignore[union-attr]
    return tuple([*found, 0, 0, 0, 0][:4])


def _event_loop() -> Row:
    """Return whose event loops are made here: a policy may put others in the place of asyncio's own."""
    loop = asyncio.new_event_loop()
    name = f"{type(loop).__module__}.{type(loop).__qualname__}"
    loop.close()
    where = "; in a notebook, whose own loop runs: await there, or xex.run()" if "ipykernel" in sys.modules else ""
    return _good("event loop", f"{name}{where}")


def _loads(what: str, point: EntryPoint, load: Callable[[EntryPoint], type]) -> Row:
    try:
        found = load(point)
    except ConfigError as exc:
        dist = point.dist.name if point.dist is not None else "the package it comes from"
        return _bad(what, str(exc), f"install {dist} anew, or remove it")
    return _good(what, f"{found.__module__}.{found.__qualname__}")


def _cache_folder() -> Row:
    folder = MetadataCache.default().folder
    assert folder is not None  # noqa: S101  the default is a folder
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    if nearest.is_dir() and os.access(nearest, os.W_OK):
        return _good("cache folder", str(folder))
    return _bad(
        "cache folder",
        f"{folder} cannot be written: instruments are read anew each time",
        f"make {nearest} writable for this user, or name another folder (XDG_CACHE_HOME on Linux)",
    )


# --- the way to the venues -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Way:
    """What was found out on the way to one exchange; what did not come in time is None, or missing."""

    exchange: str
    venue: str
    hosts: dict[str, float | ConnectorError | None] = field(default_factory=dict)
    through: str = ""
    keyed: bool = False
    skew_ms: float = nan
    word: str | None = None
    rights: Mapping[str, bool] | ConnectorError | None = None

    @property
    def reached(self) -> bool:
        """Whether any of its hosts answered."""
        return any(isinstance(found, float) for found in self.hosts.values())


class Checkup(ExchangeManager):
    """A manager that looks at the way to its venues: what it checks is what it would use."""

    async def check_ways(self, *, venues: Iterable[str] | None = None, deadline: float | None = None) -> list[Row]:
        """Return rows on every host, clock and key of the venues, and what they say of themselves.

        `deadline` bounds the asking; what it takes to load the connectors before is no venue's time. Nothing that fails
        is raised. Raises `UnknownVenue` and `ConfigError` for `venues`.
        """
        self._enter()
        entries = [entry for group in self._chosen("ticker", venues) for entry in group]
        ways = {entry.id: _way(entry) for entry in entries}
        seconds = self._seconds(deadline)
        for step in (self._connect, self._look):
            with until(seconds), probing():
                await gathered({entry.id: step(entry, ways[entry.id]) for entry in entries}, self._keep)
        return rows_of(list(ways.values()), seconds)

    async def _connect(self, entry: Entry, way: Way) -> None:
        try:
            await self._guarded(entry, self._connected(entry))
        except ConnectorError as exc:
            way.hosts = dict.fromkeys(way.hosts, exc)

    async def _look(self, entry: Entry, way: Way) -> None:
        """Look at everything of one exchange at once; each finding stands as soon as it is there."""
        if not entry.connected:
            return
        checks = {host: self._reach(entry, way, host) for host in way.hosts}
        checks["the clock"] = self._compare_clocks(entry, way)
        await gathered(checks, self._keep)

    async def _reach(self, entry: Entry, way: Way, host: str) -> None:
        """Ask one host for something small, and note how long that took or why there was no answer."""
        answers: list[Response] = []
        heard.set(answers)
        try:
            if able(entry.connector, AnswersHosts):
                await self._guarded(entry, entry.connector.reach(host))
            else:
                await self._measure_skew(entry)
        except ConnectorError as exc:
            way.hosts[host] = exc
        else:
            way.hosts[host] = answers[0].latency_ms if answers else nan

    async def _compare_clocks(self, entry: Entry, way: Way) -> None:
        """Compare clocks, and then ask what is dated by them: what a key may do. The venue's own word comes beside."""

        async def keys() -> None:
            with suppress(ConnectorError):
                await self._measure_skew(entry)
            if entry.state.skew_known:
                way.skew_ms = entry.state.skew_ms
            if way.keyed:
                try:
                    way.rights = await self._rights(entry)
                except ConnectorError as exc:
                    way.rights = exc

        async def word() -> None:
            with suppress(ConnectorError):
                if able(entry.connector, AnswersStatus):
                    way.word = await self._guarded(entry, entry.connector.status())

        await gathered({"keys": keys(), "word": word()}, self._keep)


def _way(entry: Entry) -> Way:
    config, connector = entry.config, entry.connector
    hosts = connector.hosts() if able(connector, AnswersHosts) else ()
    keys = (config.api_key, config.secret_key, config.futures_api_key, config.futures_secret_key)
    front = "base_url" if config.base_url is not None and urlsplit(config.base_url).hostname else ""
    through = " and ".join(filter(None, (front, "the proxy" if config.proxy is not None else "")))
    return Way(
        entry.id, config.venue, dict.fromkeys(hosts or ("",)), through, keyed=any(key is not None for key in keys)
    )


# --- from findings to rows -------------------------------------------------------------------------------------


def rows_of(ways: Sequence[Way], seconds: float) -> list[Row]:
    """Return what was found as rows; what keeps every venue away is said once, at the end."""
    late = TimedOut(f"no answer within {seconds:.3g} s")
    failures = [late if found is None else found for way in ways for found in way.hosts.values()]
    common = _common([found for found in failures if isinstance(found, ConnectorError)]) if len(ways) > 1 else ""
    nobody = bool(common) and not any(way.reached for way in ways)
    ours = _is_ours([way.skew_ms for way in ways])
    rows = []
    for way in ways:
        rows += _host_rows(way, late, said_below=nobody)
        if way.reached:
            rows += [*_clock_rows(way, ours=ours), *_word_rows(way), _key_row(way, late)]
    if nobody:
        rows.append(_nobody(common, next(found for found in failures if isinstance(found, ConnectorError))))
    return rows


def _kind(error: ConnectorError) -> str:
    """Return what kind of obstacle an error is: of one kind are those that one thing is done about."""
    how = getattr(error, "how", "")
    return {"name": "network", "": type(error).__name__}.get(how, how)


def _common(errors: Sequence[ConnectorError]) -> str:
    """Return the kind that all errors are of, where it is one that lies between here and anybody; else nothing."""
    kinds = {_kind(error) for error in errors}
    between = {"network", "refused", "proxy", "certificate", "tls", TimedOut.__name__, BadPayload.__name__}
    return kinds.pop() if len(kinds) == 1 and kinds <= between else ""


def _nobody(kind: str, error: ConnectorError) -> Row:
    if kind != "network":
        return _bad("network", f"no venue can be reached, all for the same reason: {error}", advice(error))
    fix = "connect this machine to a network whose name server (DNS) answers"
    return _bad(
        "network",
        "no venue can be reached: this machine has no network, or its name server does not answer",
        f"{fix}{_proxy_hint()}; without one, --replay answers from a recording",
    )


def _proxy_hint() -> str:
    names = ignored_proxies()
    return f"; {', '.join(names)} is set, which xex does not read: give ExchangeConfig(proxy=…)" if names else ""


def _host_rows(way: Way, late: ConnectorError, *, said_below: bool) -> list[Row]:
    rows = []
    through = f" through {way.through}" if way.through else ""
    for host, found in way.hosts.items():
        what = f"{way.exchange} {host}".strip()
        if isinstance(found, float):
            told = f"answers{through} in {duration(found)}" if isfinite(found) else f"connected{through}"
            rows.append(_good(what, told))
        else:
            error = late if found is None else found
            rows.append(_bad(what, f"{error}{through}", "" if said_below else advice(error, way.through)))
    return rows


def _is_ours(skews: Sequence[float]) -> bool:
    """Say whether it is this machine's clock that is off: all venues' clocks differ from it, or the only one's."""
    known = [skew for skew in skews if isfinite(skew)]
    return bool(known) and all(abs(skew) > SKEWED_MS for skew in known)


def _clock_rows(way: Way, *, ours: bool) -> list[Row]:
    if not isfinite(way.skew_ms):
        return []
    what, ahead = f"{way.exchange} clock", "ahead of" if way.skew_ms > 0 else "behind"
    found = f"{duration(abs(way.skew_ms))} {ahead} this machine's" if way.skew_ms else "as this machine's"
    if abs(way.skew_ms) <= SKEWED_MS:
        return [_good(what, found)]
    if ours:
        fix = (
            "synchronise this machine's clock (NTP): timedatectl set-ntp true on Linux, date and time in the settings "
            "of Windows and macOS"
        )
    else:
        fix = "other venues' clocks agree with this machine's, so this is the venue's; xex corrects ages by it"
    return [_bad(what, found, fix)]


def _word_rows(way: Way) -> list[Row]:
    if way.word is None:
        return []
    what = f"{way.exchange} status"
    if way.word == "ok":
        return [_good(what, "ok")]
    return [_bad(what, f"the venue says: {way.word}", "wait until the venue is done, or leave it out with --venues")]


def _key_row(way: Way, late: ConnectorError) -> Row:
    what = f"{way.exchange} key"
    names = ", ".join(name for name in recognised([way.venue]) if not name.startswith("EXCHANGE_"))
    where = f" in {names}" if names else ""
    if not way.keyed:
        return _good(what, "none set; market data needs none")
    rights = late if way.rights is None else way.rights
    if isinstance(rights, NotListed):
        return _good(what, "set; the venue does not tell what it may do, so see there that it may only read")
    if isinstance(rights, AuthRejected):
        return _bad(
            what, f"not accepted: {rights}",
            f"look whether what is set{where} is whole, still valid, and bound to this machine's address if to any; or "
            "unset it: market data needs no key",
        )  # fmt: skip
    if isinstance(rights, ConnectorError):
        return _bad(what, f"set, but what it may do did not come: {rights}", advice(rights))
    may = " and ".join(right for right in RIGHTS if rights[right]) or "do nothing"
    if rights["trade"] or rights["withdraw"]:
        return _bad(
            what, f"accepted; it may {may}",
            f"make a key that may only read, put it{where or ' in its place'}, and delete this one at the venue: xex "
            "only reads, and market data needs no key",
        )  # fmt: skip
    return _good(what, f"accepted; it may {may}")


_CERTIFICATES = {
    "expired": "set this machine's clock; where it is right, somebody else answers in the venue's place",
    "not yet valid": "set this machine's clock; where it is right, somebody else answers in the venue's place",
    "mismatch": "another server answers under this name, such as a network's login page: log in there, or use another "
    "network",
}
_SIGNER = (
    "whoever signed it is unknown here: a company's proxy or a virus scanner that reads along (name the file with its "
    "CA in SSL_CERT_FILE), or the system's CA certificates are missing or old (install ca-certificates)"
)
_LOGIN = "such as a network's login page: open a web browser and log in"
_HOW = {
    "name": "look whether this machine has a network and a name server (DNS) that answers, and knows this name",
    "network": "connect this machine to a network, or look at its routes and its firewall",
    "refused": "nobody listens there, or a firewall refuses: look at the firewall, or try another network",
    "proxy": "start the configured proxy, correct its address and its user, or take `proxy` out of the ExchangeConfig",
    "tls": "what answers does not speak TLS as it should: look at proxies and virus scanners on the way",
    "plain": "write https:// in front of the address",
}
_ELSEWHERE = (
    "the venue does not serve the place or the network that this is asked from: ask from where its terms allow it "
    "(another network, or a base_url or proxy there), or leave it out with --venues"
)
_SLOW = (
    "allow more time (--timeout 30); where that does not help, a firewall drops what is sent, or the venue hangs: try "
    "another network"
)
_STRANGER = f"something else answers in the venue's place, {_LOGIN}"
_KINDS: tuple[tuple[type[ConnectorError], str], ...] = (
    (Restricted, _ELSEWHERE),
    (Maintenance, "wait until the venue opens again"),
    (AuthRejected, "what stands in front of the venue wants a key of its own"),
    (TimedOut, _SLOW),
    (BadPayload, _STRANGER),
    (VenueRefused, "the venue refuses in its own words: try again later, or look them up in its documents"),
)


def advice(error: ConnectorError, through: str = "") -> str:
    """Return what can be done about a failure, in a sentence; `through` is what stands in front of the venue."""
    return _remedy(error) + (f"; it goes through {through}, so look there too" if through else "")


def _remedy(error: ConnectorError) -> str:
    if isinstance(error, Unreachable) and error.how == "certificate":
        return next((fix for word, fix in _CERTIFICATES.items() if word in str(error)), _SIGNER)
    if isinstance(error, Unreachable) and error.how:
        return _HOW[error.how] + (_proxy_hint() if error.how in {"name", "network", "refused"} else "")
    if isinstance(error, RateLimited):
        wait = (
            f"ask nothing for {duration(1e3 * error.retry_after)}" if error.retry_after else "ask nothing for a while"
        )
        return f"{wait}, then less (EXCHANGE_RATE_LIMIT): all that is asked from this address counts together"
    if isinstance(error, HttpError):
        redirected = 300 <= error.status < 400
        return f"somebody redirects, {_LOGIN}" if redirected else "the venue has trouble of its own: try again later"
    return next(
        (fix for kind, fix in _KINDS if isinstance(error, kind)), "try again; if it stays, report it with the log"
    )
