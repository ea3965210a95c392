"""What every test stands on: no traffic but to this machine, no state from the test before, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import cache
from importlib.metadata import EntryPoint
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.lab import Lab, default_truth
from xex import manager as managers
from xex.access import budgets, registry
from xex.config import ExchangeConfig
from xex.manager import ExchangeManager

VENUES = ("binance", "okx", "kraken", "bybit", "htx")
LOCAL = frozenset({"127.0.0.1", "::1", "localhost", ""})


class Guard:
    """Refuses every connection that leaves this machine, and remembers it."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def check(self, host: object) -> None:
        """Raise OSError for a host that is not this machine."""
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        if name not in LOCAL:
            self.refused.append(name)
            raise socket.gaierror(socket.EAI_NONAME, f"tests may not reach {name}")

    def connect(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `socket.connect` or `connect_ex`."""

        def guarded(sock: socket.socket, address: Any) -> Any:
            if sock.family in {socket.AF_INET, socket.AF_INET6}:
                self.check(address[0])
            return original(sock, address)

        return guarded

    def getaddrinfo(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the look-up of names: a name server is another machine too."""

        def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
            self.check(host)
            return original(host, *args, **kwargs)

        return guarded


_GUARD = Guard()
_count = count()


def pytest_configure(config: pytest.Config) -> None:
    """Put the guard in place before any test module is imported."""
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _GUARD.connect(socket.socket.connect))
    patch.setattr(socket.socket, "connect_ex", _GUARD.connect(socket.socket.connect_ex))
    patch.setattr(socket, "getaddrinfo", _GUARD.getaddrinfo(socket.getaddrinfo))
    config.add_cleanup(patch.undo)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a shell runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)


CANARY = "CANARY"
"""What the keys that tests configure have in common: in the whole suite it is in no output, log or file of a test."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that passed while a key showed in what it printed, logged or wrote."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path") if report.when == "call" else None
    files = [path for path in folder.rglob("*") if path.is_file()] if isinstance(folder, Path) else []
    shown = [text for _, text in report.sections] + [path.read_text(errors="replace") for path in files]
    if report.passed and any(CANARY in text for text in shown):
        report.outcome, report.longrepr = "failed", "a key that was configured shows in an output, a log or a file"
    return report


@pytest.fixture(autouse=True)
def guard() -> Iterator[Guard]:
    """Fail a test whose code tried to leave this machine; a test that means to clears `refused` itself."""
    _GUARD.refused.clear()
    yield _GUARD
    refused, _GUARD.refused = _GUARD.refused, []
    assert not refused, f"tried to reach {sorted(set(refused))}"


_look_up = registry.installed


@cache
def _installed(path: tuple[str, ...]) -> dict[str, EntryPoint]:
    del path
    return _look_up()


@pytest.fixture(autouse=True)
def fresh_process(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget budgets and pauses, and keep the user's own settings and cache folder out."""
    # What is installed changes only with where Python looks; looking it up takes 5 ms, five times a manager.
    monkeypatch.setattr(registry, "installed", lambda: dict(_installed(tuple(sys.path))))
    budgets.PROCESS._ledgers.clear()
    budgets.PROCESS._pauses.clear()
    managers._managers.clear()
    # One a test, made only when something is kept: the next lab may have the port of this one.
    folder = tmp_path_factory.getbasetemp() / f"cache{next(_count)}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    for name in ("EXCHANGE_TIMEOUT", "EXCHANGE_RATE_LIMIT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def loaded() -> None:
    """Pay for imports once, outside every deadline, and spare the collector what they leave."""
    import pandas as pd

    from xex_connectors import ccxt_adapter

    for name in ("binance", "binanceusdm", "bybit", "htx", "kraken", "krakenfutures", "okx"):
        ccxt_adapter._seamed(name)({"enableRateLimit": False})
    assert pd.DataFrame({"a": [1.0]}).shape == (1, 1)
    gc.collect()
    gc.freeze()


class Tidy:
    """Watches an event loop for what nobody looked after."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.complaints: list[str] = []
        loop.set_exception_handler(self._complain)

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    async def check(self) -> None:
        """Fail for tasks that still run, exceptions never retrieved, sessions and connections never closed."""
        for _ in range(3):
            await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks left behind: {left}"
        gc.collect()
        await asyncio.sleep(0)
        assert not self.complaints, self.complaints


@pytest.fixture
async def tidy() -> AsyncIterator[Tidy]:
    """Check at the end of the test that its loop is as clean as it was."""
    # What the tests before left is not this one's: to collect it again after each test is most of the time they take.
    gc.freeze()
    watch = Tidy(asyncio.get_running_loop())
    yield watch
    await watch.check()


@pytest.fixture
async def lab(loaded: None, tidy: Tidy) -> AsyncIterator[Lab]:  # noqa: ARG001  both only set the stage
    """Give a started loopback lab with its own world."""
    async with Lab(default_truth()) as started:
        yield started


class ManagerFor(Protocol):
    """What `manager_for` is."""

    def __call__(
        self,
        lab: Lab,
        *,
        venues: tuple[str, ...] = VENUES,
        deadline: float = 5.0,
        requests_per_second: float | None = None,
        **overrides: Any,
    ) -> ExchangeManager: ...


KEYS: dict[str, Any] = {
    "api_key": f"{CANARY}-api-41d8",
    "secret_key": f"{CANARY}-secret-9c2e",
    "passphrase": f"{CANARY}-phrase-b073",
}
"""What every exchange of the lab is configured with, whether the test is about keys or not."""
NO_KEYS: dict[str, Any] = dict.fromkeys(KEYS)


def configured(lab: Lab, venue: str, **overrides: Any) -> ExchangeConfig:
    """Return the configuration of a venue behind the lab; an override named like the venue is its own dict."""
    own = overrides.pop(venue, {})
    common = {name: value for name, value in overrides.items() if name not in VENUES}
    settings: dict[str, Any] = {"exchange_id": venue, "base_url": lab.url(venue), **KEYS, **common, **own}
    return ExchangeConfig(exchange_type=venue, **settings)


@pytest.fixture
async def manager_for(tidy: Tidy) -> AsyncIterator[ManagerFor]:  # noqa: ARG001  closed before the loop is judged
    """Give a maker of managers of the lab's venues, without a disk cache, closed when the test ends."""
    made: list[ExchangeManager] = []

    def make(
        lab: Lab,
        *,
        venues: tuple[str, ...] = VENUES,
        deadline: float = 5.0,
        requests_per_second: float | None = None,
        **overrides: Any,
    ) -> ExchangeManager:
        manager = ExchangeManager(cache=False, deadline=deadline, requests_per_second=requests_per_second)
        made.append(manager)
        for venue in venues:
            assert manager.add_exchange(configured(lab, venue, **overrides))
        return manager

    yield make
    for manager in made:
        await manager.disconnect_all()
