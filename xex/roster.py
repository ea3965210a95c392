"""The configured exchanges: added, connected, chosen and closed, and asked so that a failure stays theirs."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from inspect import isawaitable
from math import inf, isinf
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from xex.access import registry
from xex.access.cache import MetadataCache
from xex.access.deadline import until
from xex.access.events import Events
from xex.access.fanout import TURNS, in_time, last_words
from xex.access.lifetime import Lifetime, dismiss
from xex.access.port import AnswersTime, ExchangeConnector, ListsInstruments, OffersClient, able, answers
from xex.access.state import VenueState
from xex.access.transport import CLOSE_S, CLOSED, Route, Transport, scrub
from xex.analytics.gates import Thresholds
from xex.config import DEFAULT_DEADLINE_S, ExchangeConfig, check_features, read_environment
from xex.errors import (
    BadPayload,
    ConfigError,
    ConnectorError,
    Drop,
    Dropped,
    LoopError,
    TimedOut,
    UnknownVenue,
    Unreachable,
)
from xex.model import clock, schema
from xex.model.identity import Addresses
from xex.model.instruments import Section
from xex.model.listings import Listings
from xex.model.schema import Columns
from xex.snapshot import VenueAnswer

log = logging.getLogger("xex.manager")
access_log = logging.getLogger("xex.access")
T = TypeVar("T")

HEALTH = {"up": 0, "degraded": 1, "unknown": 1, "down": 2}
"""Who is asked first: what is not known comes after what is up and before what is down."""

BACKUPS = {"up": 0, "unknown": 0, "degraded": 1, "down": 2}
"""Which of a venue's configurations is asked first: one that is not known yet keeps its place."""

_leaving: ContextVar[object] = ContextVar("xex_leaving", default=None)
"""The manager that is being closed, where something is done for its closing."""

SKEW_FRESH_S = 300.0
"""How long a measurement of a venue's clock holds."""


REMOVED = "the exchange was removed before it answered"


@dataclass(frozen=True, slots=True)
class Home:
    """The event loop that a manager belongs to, with its thread and its process."""

    loop: asyncio.AbstractEventLoop
    thread: str
    process: int

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Home:
        """Return what is said of a loop that runs, or is about to run, in this thread."""
        return cls(loop, threading.current_thread().name, os.getpid())

    @property
    def lives(self) -> bool:
        """Whether anything can still happen there; a loop from before a fork runs in the parent only."""
        return not self.loop.is_closed() and self.process == os.getpid()

    def __str__(self) -> str:
        return f"{id(self.loop):#x} of the thread {self.thread!r}"


@dataclass(slots=True)
class Entry:
    """One configured exchange: its configuration, its connector, and what is known of it."""

    config: ExchangeConfig
    connector: ExchangeConnector
    state: VenueState
    given: bool = False
    connected: bool = False
    said: str = "ok"
    life: Lifetime = field(default_factory=Lifetime)
    shared: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    last_legs: dict[str, VenueAnswer] = field(default_factory=dict)
    contracts: dict[tuple[int, str], Addresses] = field(default_factory=dict)
    warned_of: tuple[str, ...] = ()
    fees_of: int | None = None

    @property
    def id(self) -> str:
        """The configuration's id."""
        return self.config.exchange_id


class Roster:
    """What a manager knows of its exchanges. It belongs to the event loop of its first question."""

    def __init__(
        self,
        *,
        deadline: float = DEFAULT_DEADLINE_S,
        cache: bool = True,
        requests_per_second: float | None = None,
        reuse_s: float = 0.0,
        thresholds: Thresholds | None = None,
    ) -> None:
        self.deadline = checked_deadline(deadline)
        if not 0 <= reuse_s < inf:
            raise ConfigError(f"reuse_s is a number of seconds, 0 to ask anew each time, not {reuse_s!r}")
        self._reuse_s = float(reuse_s)
        self.thresholds = thresholds or Thresholds()
        self.exchange_configs: dict[str, ExchangeConfig] = {}
        self.exchange_info: dict[str, VenueState] = {}
        self._entries: dict[str, Entry] = {}
        self._unknown: dict[str, str] = {}
        self._events = Events()
        self._cache = MetadataCache.default() if cache else MetadataCache(None)
        self._requests_per_second = requests_per_second
        self._transport = self._new_transport()
        self._home: Home | None = None
        self._claim: Home | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    def from_env(cls, *, deadline: float | None = None, cache: bool = True) -> Self:
        """Return a manager of every installed venue, with keys, priorities and limits from the environment.

        Nothing needs to be set; what answers nothing without a key is added only with one. Read are
        ``<VENUE>_API_KEY``, ``_SECRET_KEY`` and ``_PASSPHRASE``, ``EXCHANGE_PRIORITY_<VENUE>`` (1 is the best),
        ``EXCHANGE_TIMEOUT`` (seconds) and ``EXCHANGE_RATE_LIMIT`` (requests a second to any one venue). Raises
        `ConfigError`.
        """
        points = registry.installed()
        environment = read_environment(sorted(points))
        manager = cls(
            deadline=environment.deadline_s if deadline is None else deadline,
            cache=cache,
            requests_per_second=environment.requests_per_second,
        )
        for config in environment.configs:
            if config.api_key is not None or not registry.load(points[config.venue]).needs_key:
                manager._add(config, None, points)
        return manager

    def sibling(self) -> Self:
        """Return a manager for another event loop, of the same configurations; custom connectors stay here."""
        made = type(self)(
            deadline=self.deadline, cache=self._cache.folder is not None,
            requests_per_second=self._requests_per_second, reuse_s=self._reuse_s,
            thresholds=self.thresholds,
        )  # fmt: skip
        points = registry.installed()
        for entry in self._entries.values():
            if entry.given:
                log.warning("exchange %r has a connector of its own, add it to each manager", entry.id)
            else:
                made._add(entry.config, None, points)  # noqa: SLF001  one of its own kind
        return made

    def claim(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep this manager for `loop`, which will ask its first question: two loops may reach for it at once."""
        self._claim = Home.of(loop)

    def claimed_by(self) -> asyncio.AbstractEventLoop | None:
        """Return the live loop that this manager belongs to or is kept for; None for none."""
        return next((home.loop for home in (self._home, self._claim) if home is not None and home.lives), None)

    # --- configuration

    def add_exchange(self, config: ExchangeConfig, connector: ExchangeConnector | None = None) -> bool:
        """Add an exchange, without any I/O; False where the id is taken or no connector is installed for it."""
        return self._add(config, connector, None)

    def _add(
        self,
        config: ExchangeConfig,
        connector: ExchangeConnector | None,
        points: Mapping[str, EntryPoint] | None,
    ) -> bool:
        if not isinstance(config, ExchangeConfig):
            raise ConfigError(f"add_exchange takes an ExchangeConfig, not {type(config).__name__}")
        name = config.exchange_id
        if name in self._entries:
            log.warning("exchange id %r is taken; remove_exchange(%r) first, or choose another id", name, name)
            return False
        given = connector is not None
        if connector is None:
            points = registry.installed() if points is None else points
            point = points.get(config.venue)
            if point is None:
                log.warning(
                    "no connector is installed for %r (installed: %s); pass connector=… or install a package with "
                    "the entry point group %r", config.venue, ", ".join(sorted(points)), registry.GROUP,
                )  # fmt: skip
                self._unknown[name] = config.venue
                return False
            connector = registry.load(point)(config)
        if not isinstance(connector, ExchangeConnector):
            raise ConfigError(f"connector={type(connector).__name__}: a subclass of ExchangeConnector is expected")
        if getattr(connector, "cache", None) is not None:
            connector.cache = self._cache  # type: ignore[attr-defined]
        state = VenueState(name, config.venue, events=self._events)
        entry = Entry(config, connector, state, given)
        self._entries[name], self.exchange_configs[name], self.exchange_info[name] = entry, config, state
        self._bind(entry)
        return True

    def remove_exchange(self, exchange_id: str) -> bool:
        """Forget an exchange; False where there is none of this id. Questions under way go on without it."""
        entry = self._entries.pop(exchange_id, None)
        if entry is None:
            return False
        del self.exchange_configs[exchange_id], self.exchange_info[exchange_id]
        if self._home is not None and self._home.lives:
            if _running_loop() is self._home.loop:
                self._let_go(entry)
            else:
                with suppress(RuntimeError):  # the loop has ended this very moment
                    self._home.loop.call_soon_threadsafe(self._let_go, entry)
        return True

    def _let_go(self, entry: Entry) -> None:
        """End what a removed exchange is being asked, and have its connector let go of what it holds."""
        entry.life.end(REMOVED)
        self._keep(asyncio.get_running_loop().create_task(_disconnected(entry)))

    def _bind(self, entry: Entry) -> None:
        bind = getattr(entry.connector, "bind", None)
        if bind is not None:
            bind(self._transport, self._route(entry))

    def _route(self, entry: Entry) -> Route:
        config = entry.config
        keys = (
            config.api_key, config.secret_key, config.passphrase, config.futures_api_key, config.futures_secret_key,
        )  # fmt: skip
        return Route(
            exchange=entry.id,
            venue=config.venue,
            state=entry.state,
            limits=getattr(entry.connector, "limits", ()),
            timeout_s=config.timeout_s,
            rate_share=config.rate_share,
            base_url=config.base_url,
            proxy=config.proxy,
            secrets=tuple(key.get_secret_value() for key in keys if key is not None),
            pauses=getattr(entry.connector, "pauses", ()),
        )

    # --- life

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect_all()

    def _enter(self) -> None:
        """Bind to the running loop, or say why that cannot be."""
        loop = self._checked_loop()
        if self._home is not None and self._home.loop is loop and not self._transport.life.why:
            return
        if self._closing is not None and self._closing.get_loop() is not loop:
            self._closing = None
        if self._home is not None and not self._home.lives:
            self._transport.forsake()
        self._home, self._background = Home.of(loop), set()
        self._transport = self._new_transport()
        for entry in self._entries.values():
            entry.connected, entry.life = False, Lifetime()
            entry.shared.clear()
            self._bind(entry)

    def _new_transport(self) -> Transport:
        return Transport(requests_per_second=self._requests_per_second, reuse_s=self._reuse_s)

    def _checked_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._home is not None and self._home.loop is not loop and self._home.lives:
            raise LoopError(
                f"this manager belongs to the event loop {self._home}, and was used from {Home.of(loop)}; "
                "make one manager per loop (with one manager either await or xex.run(), not both), "
                "or disconnect_all() in its own loop first"
            )
        return loop

    async def connect_all(self) -> dict[str, bool]:
        """Make every enabled exchange ready: instruments and clock. Returns who is; who is not may be later."""
        self._enter()
        entries = [entry for entry in self._entries.values() if entry.config.enabled]

        async def ready(entry: Entry) -> bool:
            try:
                await self._ready(entry)
                if able(entry.connector, ListsInstruments):
                    tables, drop = await self._tables(entry)
                    if not tables and drop is not None:
                        return False
                with suppress(ConnectorError):
                    await self._measure_skew(entry)
            except ConnectorError:
                return False
            return True

        with until(self.deadline):
            done = await gathered({entry.id: ready(entry) for entry in entries}, self._keep)
        return {entry.id: bool(done.get(entry.id, False)) for entry in entries}

    async def disconnect_all(self) -> None:
        """Cancel what still runs and close every connection. The manager can be used again afterwards.

        Questions under way end at once, without the exchanges that have not answered. It may be called at any moment,
        also twice at the same time or by a connector that is being asked.
        """
        self._checked_loop()
        if _leaving.get() is self:
            return  # a connector that is being let go of wants everything closed, which is what happens
        closing = self._next_closing()
        if closing is not None:
            # Shielded: whoever is interrupted here, and may be part of what ends, must not leave it half closed.
            await asyncio.shield(closing)

    def _next_closing(self) -> asyncio.Task[None] | None:
        """Return the closing of what is open now: a new one, or the one under way; None where nothing is."""
        if self._home is None:
            return None
        under_way = self._closing if self._home.lives and self._closing is not None else None
        if under_way is not None and not under_way.done() and self._transport.life.why:
            return under_way
        self._enter()  # where its loop is gone, what was left there is let go of
        lives = {entry.life: entry for entry in self._entries.values()}
        for life in (*lives, self._transport.life):
            life.end(CLOSED)
        left = self._closed(self._transport, lives, self._background, asyncio.current_task(), under_way)
        self._closing = asyncio.create_task(left)
        self._closing.add_done_callback(_observed)
        return self._closing

    async def _closed(
        self,
        transport: Transport,
        lives: Mapping[Lifetime, Entry],
        tasks: Iterable[asyncio.Task[Any]],
        spared: asyncio.Task[Any] | None,
        before: asyncio.Task[None] | None,
    ) -> None:
        """Wait until everything has ended but `spared`, who asked for it; then let go of all that is open."""
        _leaving.set(self)
        try:
            if before is not None:
                await asyncio.wait([before])
            ends = clock.monotonic() + CLOSE_S
            await _cancelled([task for task in tasks if task is not spared])
            for life, entry in lives.items():
                if not await life.over(max(0.0, ends - clock.monotonic()), spared):
                    access_log.warning("%s: the connector does not let itself be interrupted", entry.id)
            leaving = [asyncio.create_task(_disconnected(entry)) for entry in lives.values()]
            if leaving:
                _, late = await asyncio.wait(leaving, timeout=CLOSE_S)
                await _cancelled(late)
        finally:
            await transport.close()
            if self._transport is transport:
                await self._events.close(spared)
                self._home = None

    def _seconds(self, deadline: float | None) -> float:
        """Return how long a question may take."""
        return self.deadline if deadline is None else checked_deadline(deadline)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Hold on to a task until it is over, so that closing can end it."""
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(_observed)

    def ccxt(self, exchange: str, market: Section | None = None) -> Any:
        """Return an exchange's ccxt object to check numbers with: without keys, within the manager's budgets.

        What ccxt answers is in ccxt's units, see ``docs/units.md``. It reads and nothing else: any method that orders,
        transfers or signs raises `ReadOnlyError`. `market` is "spot", "linear" or "inverse" where a venue has an
        object for each. Its markets come from disk while they are fresh; ``load_markets(reload=True)`` asks the venue.
        Raises `UnknownVenue`, and `ConfigError` for a connector that is not built on ccxt.
        """
        self._enter()
        entry = self._entries.get(exchange)
        if entry is None:
            raise UnknownVenue(exchange, sorted(self._entries))
        if not able(entry.connector, OffersClient):
            raise ConfigError(f"{exchange!r} is not built on ccxt")
        try:
            return entry.connector.client(market)
        except ConnectorError as exc:
            raise ConfigError(f"{exchange!r}: {exc}; lists: {', '.join(entry.connector.sections)}") from None

    # --- state

    def get_best_exchange(self, feature: str | None = None) -> str | None:
        """Return the exchange to ask for `feature`: up before unknown before down, then priority, then latency.

        Who is no exchange comes after all that are, and is what to ask only for what none of them tells.
        """
        check_features([feature] if feature else [])
        chosen = [entry for entry in self._entries.values() if self._offers(entry, feature)]
        chosen.sort(
            key=lambda entry: (
                not entry.connector.quotes, HEALTH[entry.state.status], entry.config.priority,
                np.nan_to_num(entry.state.latency, nan=1e9),
            )
        )  # fmt: skip
        return chosen[0].id if chosen else None

    def _offers(self, entry: Entry, feature: str | None) -> bool:
        config = entry.config
        check_features(config.features)
        if not config.enabled:
            return False
        return feature is None or (self._would_offer(entry, feature) and answers(entry.connector, feature))

    @staticmethod
    def _would_offer(entry: Entry, feature: str) -> bool:
        """Say whether a configuration allows a question, which its connector may not be able to answer."""
        features = entry.config.features
        return entry.config.enabled and (not features or feature in features)

    def _named(self, venues: Iterable[str] | None) -> set[str] | None:
        """Return the exchanges and venues that are named, None for all; raises `UnknownVenue` and `ConfigError`."""
        if venues is None:
            return None
        given = [venues] if isinstance(venues, str) else list(venues)
        wanted = [name if name in self._entries else str(name).lower() for name in given]
        if not wanted:
            raise ConfigError(f"venues names none; leave it out, or name some of: {', '.join(self._entries)}")
        known = {*self._entries, *(entry.config.venue for entry in self._entries.values())}
        for name in wanted:
            if name not in known:
                raise UnknownVenue(name, sorted(known))
        return set(wanted)

    @staticmethod
    def _ordered(group: list[Entry]) -> list[Entry]:
        """Return a venue's configurations, the best first."""
        return sorted(group, key=lambda entry: (BACKUPS[entry.state.status], entry.config.priority))

    def _chosen(self, feature: str, venues: Iterable[str] | None) -> list[list[Entry]]:
        """Return who is asked: per venue its configurations, the best first, the others as backups."""
        wanted = self._named(venues)
        groups: dict[str, list[Entry]] = {}
        for entry in self._entries.values():
            named = wanted is None or entry.id in wanted or entry.config.venue in wanted
            if named and self._offers(entry, feature):
                groups.setdefault(entry.config.venue, []).append(entry)
        if not groups:
            without = [f"{name} was not added, no connector is installed for {venue!r}"
                       for name, venue in self._unknown.items()]  # fmt: skip
            raise ConfigError(
                f"no enabled exchange answers {feature!r}; configured: {', '.join(self._entries) or 'none'}; "
                f"{'; '.join([*without, 'add_exchange(ExchangeConfig(…)) or ExchangeManager.from_env()'])}"
            )
        return [self._ordered(group) if len(group) > 1 else group for group in groups.values()]

    # --- one venue

    async def _shared(self, entry: Entry, key: str, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await a question that others may be asking at this moment; who gives up takes it from nobody."""
        task = entry.shared.get(key)
        if task is None or task.done():
            task = entry.shared[key] = asyncio.create_task(question())
            self._keep(task)
        return await asyncio.shield(task)

    async def _ready(self, entry: Entry) -> None:
        """Connect an exchange where that has not been done; who is connected is asked nothing for it."""
        if not entry.connected:
            await self._guarded(entry, self._connected(entry))

    async def _connected(self, entry: Entry) -> None:
        if not entry.connected:
            connecting = entry.connector.connect()
            if not isawaitable(connecting):
                raise BadPayload("connect is no coroutine; write `async def connect`", venue=entry.config.venue)
            if await connecting is False:
                raise Unreachable("connect() returned False", venue=entry.config.venue)
            entry.connected = True

    async def _tables(self, entry: Entry, *, refresh: bool = False) -> tuple[list[Listings], Drop | None]:
        """Return all lists of a venue that can be had in time, and why another one could not."""
        connector, drop = entry.connector, None
        assert able(connector, ListsInstruments)  # noqa: S101  chosen by ability

        async def one(section: Section) -> Listings | ConnectorError:
            try:
                return await self._guarded(entry, connector.listings([section], refresh=refresh))
            except ConnectorError as exc:
                return exc

        try:
            await self._ready(entry)
        except ConnectorError as exc:
            return [], exc.drop
        came = await gathered({section: one(section) for section in connector.sections}, self._keep)
        if len(came) < len(connector.sections):
            drop = Drop(Dropped.LATE, "no answer in time")
        failed = [found.drop for found in came.values() if isinstance(found, ConnectorError)]
        tables = {id(found): found for found in came.values() if isinstance(found, Listings)}
        return list(tables.values()), failed[0] if failed else drop

    async def _columns(self, entry: Entry, question: Awaitable[Columns], kind: str) -> Columns:
        """Await columns and see that they are: what is assembled later is outside any guard."""

        async def checked() -> Columns:
            return schema.checked(await question, kind)

        try:
            return await self._guarded(entry, checked())
        finally:
            dismiss(question)

    async def _guarded(self, entry: Entry, question: Awaitable[T]) -> T:
        """Await a connector; whatever comes out of it but an answer is this venue's failure."""
        life = entry.life
        if self._closing is not None and not self._closing.done() and not life.why:
            await _after(self._closing, question)
        started, known = clock.monotonic(), entry.state.success_count + entry.state.error_count
        try:
            answer = await self._translated(entry, life.within(question))
        except ConnectorError as exc:
            exc.venue = exc.venue or entry.config.venue
            # What was not sent, or was cut off by ourselves, is no failure of the venue.
            counted = exc.sent and not life.why
            if counted and known == entry.state.success_count + entry.state.error_count:
                entry.state.failed(exc)
            raise
        if known == entry.state.success_count + entry.state.error_count and not able(entry.connector, ListsInstruments):
            # A connector that does not use the seam: what it took is all that is known of its venue.
            entry.state.succeeded(1e3 * (clock.monotonic() - started))
        return answer

    async def _translated(self, entry: Entry, question: Awaitable[T]) -> T:
        try:
            return await question
        except ConnectorError:
            raise
        except TimeoutError as exc:
            raise TimedOut("the connector gave up waiting", venue=entry.config.venue) from exc
        except (LookupError, OverflowError, TypeError, ValueError) as exc:
            self._scrub(entry, exc)
            access_log.exception("%s: an answer of an unexpected form", entry.id)
            raise BadPayload(f"an unexpected form ({type(exc).__name__}: {exc})", venue=entry.config.venue) from exc
        except Exception as exc:
            self._scrub(entry, exc)
            access_log.exception("%s: the connector failed", entry.id)
            raise ConnectorError(f"{type(exc).__name__}: {exc}", venue=entry.config.venue) from exc

    def _scrub(self, entry: Entry, error: Exception) -> None:
        """Take keys out of a stranger's exception before anybody prints it."""
        secrets = self._route(entry).secrets
        error.args = tuple(scrub(str(part), secrets) for part in error.args)

    async def _measure_skew_if_old(self, entry: Entry) -> None:
        if entry.state.skew_age_s > SKEW_FRESH_S:
            with suppress(ConnectorError):
                await self._measure_skew(entry)

    async def _skew_measured(self, entry: Entry) -> None:
        async def measured() -> None:
            await self._ready(entry)
            await self._measure_skew(entry)

        with suppress(ConnectorError):
            await self._shared(entry, f"skew {clock.epoch()}", measured)

    async def _measure_skew(self, entry: Entry) -> None:
        if able(entry.connector, AnswersTime):
            reading = await self._guarded(entry, entry.connector.server_time())
            if reading is not None and np.isfinite(reading.server_ms):
                entry.state.note_skew(reading.server_ms, reading.sent_ms, reading.received_ms, reading.resolution_ms)


def checked_deadline(seconds: float) -> float:
    """Return a deadline in seconds, or raise `ConfigError`."""
    try:
        value = float("nan") if isinstance(seconds, bool) else float(seconds)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 < value < float("inf"):
        raise ConfigError(f"a deadline is a positive number of seconds, not {seconds!r}")
    return value


async def gathered(
    questions: Mapping[str, Coroutine[Any, Any, T]],
    keep: Callable[[asyncio.Task[Any]], None],
    came: Callable[[T], object] = bool,
    straggler_s: float = inf,
) -> dict[str, T]:
    """Await all within the deadline and return what came; the late are cancelled and kept until they end.

    Once something `came`, the others are waited for at most `straggler_s` longer.
    """
    if not questions:
        return {}
    tasks = {name: asyncio.create_task(question) for name, question in questions.items()}
    patience = None if isinf(straggler_s) else lambda _: straggler_s
    try:
        await in_time(tasks.values(), lambda task: came(task.result()), patience)
        await last_words([task for task in tasks.values() if not task.done()], 2 * TURNS)
    finally:
        for task in tasks.values():
            if not task.done():
                task.cancel()
                keep(task)
    return {name: task.result() for name, task in tasks.items() if task.done() and not task.cancelled()}


async def _after(closing: asyncio.Task[None], question: Awaitable[object]) -> None:
    """Wait for a closing before a question begins: connectors let go of all that they hold, new or old."""
    try:
        await asyncio.wait([closing])
    except BaseException:
        dismiss(question)
        raise


async def _disconnected(entry: Entry) -> None:
    try:
        leaving: object = entry.connector.disconnect()
        if isawaitable(leaving):
            await leaving
    except Exception as exc:  # noqa: BLE001  a stranger's connector; everybody else is closed all the same
        access_log.warning("%s: disconnecting failed: %s", entry.id, type(exc).__name__)


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end, but not for ever."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_S)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _observed(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
