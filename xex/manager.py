"""The manager: asks all venues at once, keeps every answer and every failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from xex.access import registry
from xex.access.cache import MetadataCache
from xex.access.deadline import patient_for, remaining, until
from xex.access.port import (
    AnswersBooks,
    AnswersMarket,
    AnswersStatus,
    AnswersTime,
    ConvertsCurrencies,
    ExchangeConnector,
    ListsInstruments,
    answers,
)
from xex.access.state import VenueState
from xex.access.transport import Route, Transport, heard, scrub
from xex.analytics import currency as currencies
from xex.analytics.quality import MAX_AGE_S
from xex.answer import CrossExchangeData
from xex.config import DEFAULT_DEADLINE_S, ExchangeConfig, check_features, read_environment
from xex.errors import (
    BadPayload,
    ConfigError,
    ConnectorError,
    Drop,
    Dropped,
    LoopError,
    NotListed,
    NoVenueAnswered,
    SymbolError,
    TimedOut,
    UnknownSymbol,
    UnknownVenue,
    Unreachable,
)
from xex.model import clock, schema
from xex.model.instruments import KINDS, USD_LIKE, Ask, Instrument, Kind, parse_symbol
from xex.model.listings import Listings, nearest
from xex.model.schema import Columns, concat, length, numbers, take, texts
from xex.recording import in_use
from xex.snapshot import VenueAnswer, ages, assemble

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("xex.manager")
access_log = logging.getLogger("xex.access")
T = TypeVar("T")

SKEW_FRESH_S = 300.0
SKEW_GRACE_S = 0.25
"""How much longer than for the quotes a question waits for the venues' clocks."""
STRAGGLER_S = MAX_AGE_S / 2
"""How long after the first venue the last is worth waiting for: the quotes that came grow old meanwhile."""
RATE_GRACE_S = 0.5
"""How much longer than for the quotes a question waits for rates at least."""
RATE_PATIENCE_S = 0.2
"""How long a rate waits for a request budget before the last legs, with their age, must do."""


@dataclass(slots=True)
class _Entry:
    config: ExchangeConfig
    connector: ExchangeConnector
    state: VenueState
    connected: bool = False
    shared: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    last_legs: dict[str, VenueAnswer] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.config.exchange_id


class ExchangeManager:
    """Several exchanges behind one interface.

    Use it as ``async with ExchangeManager.from_env() as xm`` or add exchanges one by one. It belongs to the event
    loop of its first question; from another live loop it raises `LoopError`, and after its own loop is closed
    it binds to the next one. `deadline` (seconds) bounds each question that names none of its own, `cache` keeps
    instruments on disk between runs.
    """

    def __init__(
        self,
        *,
        deadline: float = DEFAULT_DEADLINE_S,
        cache: bool = True,
        requests_per_second: float | None = None,
    ) -> None:
        self.deadline = _checked_deadline(deadline)
        self.exchange_configs: dict[str, ExchangeConfig] = {}
        self.exchange_info: dict[str, VenueState] = {}
        self._entries: dict[str, _Entry] = {}
        self._cache = MetadataCache.default() if cache else MetadataCache(None)
        self._requests_per_second = requests_per_second
        self._transport = Transport(requests_per_second=requests_per_second)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._background: set[asyncio.Task[Any]] = set()

    @classmethod
    def from_env(cls, *, deadline: float | None = None, cache: bool = True) -> ExchangeManager:
        """Return a manager of every installed venue, with keys, priorities and limits from the environment."""
        points = registry.installed()
        environment = read_environment(sorted(points))
        manager = cls(
            deadline=environment.deadline_s if deadline is None else deadline,
            cache=cache,
            requests_per_second=environment.requests_per_second,
        )
        for config in environment.configs:
            manager._add(config, None, points)
        return manager

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
        name = config.exchange_id
        if name in self._entries:
            log.warning("exchange id %r is taken; remove_exchange(%r) first, or choose another id", name, name)
            return False
        if connector is None:
            points = registry.installed() if points is None else points
            point = points.get(config.venue)
            if point is None:
                log.warning(
                    "no connector is installed for %r (installed: %s); pass connector=… or install a package with "
                    "the entry point group %r", config.venue, ", ".join(sorted(points)), registry.GROUP,
                )  # fmt: skip
                return False
            connector = registry.load(point)(config)
        if getattr(connector, "cache", None) is not None:
            connector.cache = self._cache  # type: ignore[attr-defined]
        state = VenueState(name, config.venue)
        entry = _Entry(config, connector, state)
        self._entries[name], self.exchange_configs[name], self.exchange_info[name] = entry, config, state
        self._bind(entry)
        return True

    def remove_exchange(self, exchange_id: str) -> bool:
        """Forget an exchange; False where there is none of this id."""
        entry = self._entries.pop(exchange_id, None)
        if entry is None:
            return False
        del self.exchange_configs[exchange_id], self.exchange_info[exchange_id]
        with suppress(RuntimeError):
            self._keep(asyncio.get_running_loop().create_task(entry.connector.disconnect()))
        return True

    def _bind(self, entry: _Entry) -> None:
        bind = getattr(entry.connector, "bind", None)
        if bind is not None:
            bind(self._transport, self._route(entry))

    def _route(self, entry: _Entry) -> Route:
        config = entry.config
        keys = (config.api_key, config.secret_key, config.passphrase)
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
        if self._loop is loop:
            return
        self._loop = loop
        self._background.clear()
        self._transport = Transport(requests_per_second=self._requests_per_second)
        for entry in self._entries.values():
            entry.connected = False
            entry.shared.clear()
            self._bind(entry)

    def _checked_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop and not self._loop.is_closed():
            raise LoopError(
                f"this manager belongs to the event loop {id(self._loop):#x}, and was used from {id(loop):#x}; "
                "make one manager per loop, or disconnect_all() in its own loop first"
            )
        return loop

    async def connect_all(self) -> dict[str, bool]:
        """Make every enabled exchange ready: instruments and clock. Returns who is; who is not may be later."""
        self._enter()
        entries = [entry for entry in self._entries.values() if entry.config.enabled]

        async def ready(entry: _Entry) -> bool:
            try:
                await self._guarded(entry, self._connected(entry))
                if isinstance(entry.connector, ListsInstruments):
                    await self._guarded(entry, entry.connector.listings(entry.connector.kinds))
                with suppress(ConnectorError):
                    await self._measure_skew(entry)
            except ConnectorError:
                return False
            return True

        with until(self.deadline):
            done = await _gathered({entry.id: ready(entry) for entry in entries}, self._keep)
        return {entry.id: bool(done.get(entry.id, False)) for entry in entries}

    async def disconnect_all(self) -> None:
        """Cancel what still runs and close every connection. The manager can be used again afterwards."""
        self._checked_loop()
        tasks = list(self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._background.clear()
        for entry in self._entries.values():
            entry.connected = False
            with suppress(Exception):
                await entry.connector.disconnect()
        await self._transport.close()
        self._loop = None

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Hold on to a task until it is over, so that closing can end it."""
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(_observed)

    # --- state

    def get_exchange_status(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each exchange: status, latency (ms), uptime, counts, the last error."""
        return {name: state.as_dict() for name, state in self.exchange_info.items()}

    async def health_check(self) -> dict[str, dict[str, Any]]:
        """Ask every enabled exchange for its status and clock, and return what is known of each."""
        self._enter()

        async def probe(entry: _Entry) -> str:
            try:
                await self._guarded(entry, self._connected(entry))
                await self._measure_skew(entry)
                if isinstance(entry.connector, AnswersStatus):
                    return await self._guarded(entry, entry.connector.status())
            except ConnectorError as exc:
                return exc.drop.text
            return "ok"

        entries = [entry for entry in self._entries.values() if entry.config.enabled]
        with until(self.deadline):
            said = await _gathered({entry.id: probe(entry) for entry in entries}, self._keep)
        known = self.get_exchange_status()
        for entry in entries:
            known[entry.id]["venue_status"] = said.get(entry.id, "no answer in time")
        return known

    def get_best_exchange(self, feature: str | None = None) -> str | None:
        """Return the exchange to ask for `feature`: up before unknown before down, then priority, then latency."""
        check_features([feature] if feature else [])
        order = {"up": 0, "degraded": 1, "unknown": 1, "down": 2}
        chosen = [entry for entry in self._entries.values() if self._offers(entry, feature)]
        chosen.sort(
            key=lambda entry: (
                order[entry.state.status], entry.config.priority, np.nan_to_num(entry.state.latency, nan=1e9),
            )
        )  # fmt: skip
        return chosen[0].id if chosen else None

    def _offers(self, entry: _Entry, feature: str | None) -> bool:
        config = entry.config
        check_features(config.features)
        if not config.enabled:
            return False
        if feature is None:
            return True
        return (not config.features or feature in config.features) and answers(entry.connector, feature)

    def _chosen(self, feature: str, venues: Iterable[str] | None) -> list[list[_Entry]]:
        """Return who is asked: per venue its configurations, the best first, the others as backups."""
        given = None if venues is None else [venues] if isinstance(venues, str) else list(venues)
        wanted = None if given is None else [name if name in self._entries else str(name).lower() for name in given]
        if wanted is not None and not wanted:
            raise ConfigError(f"venues names none; leave it out, or name some of: {', '.join(self._entries)}")
        if wanted is not None:
            known = {*self._entries, *(entry.config.venue for entry in self._entries.values())}
            for name in wanted:
                if name not in known:
                    raise UnknownVenue(name, sorted(known))
        groups: dict[str, list[_Entry]] = {}
        for entry in self._entries.values():
            named = wanted is None or entry.id in wanted or entry.config.venue in wanted
            if named and self._offers(entry, feature):
                groups.setdefault(entry.config.venue, []).append(entry)
        order = {"up": 0, "unknown": 0, "degraded": 1, "down": 2}
        for group in groups.values():
            group.sort(key=lambda entry: (order[entry.state.status], entry.config.priority))
        if not groups:
            raise ConfigError(
                f"no enabled exchange answers {feature!r}; configured: {', '.join(self._entries) or 'none'}; "
                "add_exchange(ExchangeConfig(…)) or ExchangeManager.from_env()"
            )
        return list(groups.values())

    # --- questions

    async def get_cross_exchange_ticker(
        self,
        symbol: str,
        *,
        currency: str | None = None,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        books: bool = True,
        deadline: float | None = None,
    ) -> CrossExchangeData:
        """Return one instrument's price, dispersion, volume, liquidity and arbitrage across the venues.

        `symbol` is BTCUSDT (the perpetual), BTC/USDT (spot), BTC/USDT:USDT or venue:ID; `market` ("spot", "perp")
        decides where the text does not. `currency` is what prices are brought to, by default the quote asked.
        `deadline` bounds the call in seconds. A venue that fails is dropped with its reason. Raises `SymbolError`
        for a symbol without one meaning, `UnknownVenue`, and `NoVenueAnswered` when not one did.
        """
        self._enter()
        seconds = self.deadline if deadline is None else _checked_deadline(deadline)
        groups = self._chosen("ticker", venues)
        ask = parse_symbol(symbol, market, {entry.config.venue for group in groups for entry in group})
        with until(seconds):
            instrument = ask.instrument or await self._resolved(ask, groups)
            target = _checked_currency(currency, instrument)
            answered = await self._asked_all(groups, instrument, target, books=books)
        asked = list(dict.fromkeys(answer.exchange for answer in answered if answer.instrument is not None))
        if not any(length(answer.ticker) for answer in answered):
            raise self._nobody(ask, instrument, answered)
        return assemble(
            symbol, instrument, target, asked, answered, now_ms=_now(answered), with_books=books, recording=in_use()
        )

    async def tickers(
        self, *, market: str | None = None, venues: Iterable[str] | None = None, deadline: float | None = None
    ) -> pd.DataFrame:
        """Return every active instrument of every venue in one frame, in native currencies and base units.

        What failed stands in ``frame.attrs["dropped"]`` by exchange; the markets of an exchange fail one by one.
        """
        self._enter()
        kinds: Sequence[Kind] = KINDS if market is None else (_kind(market),)
        groups = self._chosen("ticker", venues)
        failures: dict[str, Drop] = {}

        async def whole(entry: _Entry, kind: Kind) -> Columns:
            try:
                if not isinstance(entry.connector, AnswersMarket):
                    raise NotListed("the connector knows single tickers only")
                await self._guarded(entry, self._connected(entry))
                columns = await self._columns(entry, entry.connector.market([kind]), "tickers")
                await self._measure_skew_if_old(entry)
            except ConnectorError as exc:
                failures[entry.id] = Drop(exc.reason, f"{kind}: {exc}")
                return {}
            count = length(columns)
            if not count:
                return {}
            columns["exchange"] = schema.Text.same(entry.id, count)
            columns["venue"] = schema.Text.same(entry.config.venue, count)
            columns["currency"] = columns["quote"]
            columns["fx_rate"], columns["fx_source"] = np.ones(count), schema.Text.same("identity", count)
            await asyncio.sleep(0)
            return columns

        asked = [(group[0], kind) for group in groups for kind in kinds if kind in group[0].connector.kinds]
        for entry in (group[0] for group in groups):
            if not any(entry is one for one, _ in asked):
                failures[entry.id] = Drop(Dropped.NOT_LISTED, f"{market} markets are not offered here")
        with until(self.deadline if deadline is None else _checked_deadline(deadline)):
            parts = await _gathered({f"{entry.id} {kind}": whole(entry, kind) for entry, kind in asked}, self._keep)
        now_ms, came = clock.now_ms(), []
        for entry, kind in asked:
            part = parts.get(f"{entry.id} {kind}")
            if part is None:
                failures[entry.id] = Drop(Dropped.LATE, f"{kind}: no answer before the deadline")
            elif length(part):
                part["age_ms"] = ages(part, [entry.state.skew_ms] * length(part), now_ms)
                came.append(part)
        if not came:
            raise NoVenueAnswered(f"no venue answered:{_lines(failures)}", failures)
        frame = schema.frame(concat(came, "tickers"), "tickers")
        frame.attrs["dropped"] = {name: drop.text for name, drop in failures.items()}
        return frame

    # --- asking one question of all venues

    async def _asked_all(
        self, groups: Sequence[Sequence[_Entry]], instrument: Instrument, target: str, *, books: bool
    ) -> list[VenueAnswer]:
        """Ask every venue at once; answers that came are kept, the late are dropped by name."""
        legs = self._legs(groups, instrument, target)
        tries: list[VenueAnswer] = []
        tasks = [
            asyncio.create_task(self._asked_venue(group, instrument, legs, tries, books=books)) for group in groups
        ]
        rates = [
            asyncio.create_task(self._asked_rates(entry, instrument, target, tries))
            for entry in self._entries.values()
            # Whoever trades currencies votes on the rate, also where other venues were asked for the instrument.
            if legs and isinstance(entry.connector, ConvertsCurrencies) and self._offers(entry, "ticker")
        ]
        skews = [
            asyncio.create_task(self._skew_measured(group[0]))
            for group in groups
            if group[0].state.skew_age_s > SKEW_FRESH_S
        ]
        started = clock.monotonic()
        try:
            await self._all_or_stale(tasks, tries)
            if rates:
                # The votes of a rate are worth as long again as the quotes took, not the whole deadline.
                patience = min(max(RATE_GRACE_S, clock.monotonic() - started), remaining())
                await asyncio.wait(rates, timeout=patience)
            pending = [task for task in skews if not task.done()]
            if pending:
                grace = min(0.05 + clock.monotonic() - started, SKEW_GRACE_S, remaining())
                await asyncio.wait(pending, timeout=grace)
        finally:
            for task in [*tasks, *rates, *skews]:
                if not task.done():
                    task.cancel()
                    self._keep(task)
        for task in [*tasks, *rates, *skews]:
            if task.done() and not task.cancelled():
                task.result()
        for answer in tries:
            answer.skew_ms = self._entries[answer.exchange].state.skew_ms if answer.exchange in self._entries else 0.0
            if not length(answer.ticker) and answer.failure is None and answer.instrument is not None:
                answer.failure = Drop(Dropped.LATE, "no answer while the others' quotes were fresh, or by the deadline")
        return tries

    @staticmethod
    async def _all_or_stale(tasks: Sequence[asyncio.Task[None]], tries: Sequence[VenueAnswer]) -> None:
        """Wait for the venues, but not until the quotes that came are too old to be compared with a late one."""
        pending, worth_waiting = set(tasks), float("inf")
        while pending and (left := min(remaining(), worth_waiting - clock.monotonic())) > 0:
            # In steps, since a ticker may be there although its venue is not done: its book may hang.
            step = min(left, STRAGGLER_S / 10)
            _, pending = await asyncio.wait(pending, timeout=step, return_when=asyncio.FIRST_COMPLETED)
            if worth_waiting == float("inf") and any(length(answer.ticker) for answer in tries):
                worth_waiting = clock.monotonic() + STRAGGLER_S

    def _legs(self, groups: Sequence[Sequence[_Entry]], instrument: Instrument, target: str) -> list[Instrument]:
        """Return the instruments that rates may need; none where every venue is known to list the asked quote."""
        if target == instrument.quote and all(self._lists(group[0], instrument) for group in groups):
            return []
        if target not in USD_LIKE:
            return []
        quotes = dict.fromkeys((target, *USD_LIKE[:3], instrument.quote))
        return [
            Instrument(base, quote, instrument.kind, "" if instrument.kind == "spot" else quote)
            for base in currencies.RATIO_BASES
            if base != instrument.base
            for quote in quotes
            if quote in USD_LIKE
        ]

    @staticmethod
    def _lists(entry: _Entry, instrument: Instrument) -> bool:
        """Say whether a venue is already known to list exactly this instrument."""
        table: Listings | None = getattr(entry.connector, "known_listings", lambda _: None)(instrument.kind)
        if table is None:
            return False
        row = table.find(instrument)
        return row is not None and bool(table.columns["active"][row])

    async def _asked_venue(
        self,
        group: Sequence[_Entry],
        instrument: Instrument,
        legs: Sequence[Instrument],
        tries: list[VenueAnswer],
        *,
        books: bool,
    ) -> None:
        """Ask a venue's configurations one after the other until one answers; each try is kept."""
        for place, entry in enumerate(group):
            answer = VenueAnswer(entry.id, entry.config.venue, instrument)
            tries.append(answer)
            heard.set(answer.responses)
            # A backup must have its share of the time, whatever the one before it does.
            seconds = remaining() / (len(group) - place)
            try:
                with until(seconds):
                    async with asyncio.timeout(seconds):
                        await self._asked_one(entry, answer, instrument, legs, books=books)
            except ConnectorError as exc:
                answer.failure = exc.drop
                if isinstance(exc, NotListed):
                    return
            except TimeoutError:
                if length(answer.ticker):
                    return
                answer.failure = Drop(Dropped.LATE, f"no answer in {seconds:.3g} s")
                entry.state.failed(TimedOut(answer.failure.detail, venue=answer.venue))
            else:
                return

    async def _asked_one(
        self,
        entry: _Entry,
        answer: VenueAnswer,
        instrument: Instrument,
        legs: Sequence[Instrument],
        *,
        books: bool,
    ) -> None:
        connector = entry.connector
        await self._guarded(entry, self._connected(entry))
        mine, substitute = instrument, False
        if isinstance(connector, ListsInstruments):
            mine = await self._guarded(entry, self._matched(entry, answer, instrument))
            substitute = mine.quote != instrument.quote
        answer.instrument = mine
        wants_book = books and self._offers(entry, "order_book")
        book = asyncio.create_task(self._asked_book(entry, answer, mine)) if wants_book else None
        try:
            started = clock.monotonic()
            columns = await self._columns(entry, connector.tickers([mine], legs), "tickers")
            names = texts(columns, "instrument")
            if mine.symbol not in names:
                if not isinstance(connector, ListsInstruments) and not names:
                    raise NotListed(f"{mine.symbol} is not listed")
                raise BadPayload(f"no row for {mine.symbol}, which is listed and active", venue=answer.venue)
            answer.legs = take(columns, np.array([name != mine.symbol for name in names]))
            ticker = take(columns, [names.index(mine.symbol)])
            notes = [texts(ticker, "flags")[0], "substitute" if substitute else ""]
            ticker["flags"] = [",".join(filter(None, notes))]
            answer.latency_ms = _latency(answer, ticker, 1e3 * (clock.monotonic() - started))
            if book is not None and not book.done():
                # Noted at once: the deadline may come while the book is still awaited, and the ticker counts then.
                answer.book_failure = Drop(Dropped.LATE, "no book before the deadline")
            answer.ticker = ticker
            if book is not None:
                await asyncio.wait([book])
        finally:
            if book is not None and not book.done():
                book.cancel()
                self._keep(book)

    async def _asked_book(self, entry: _Entry, answer: VenueAnswer, instrument: Instrument) -> None:
        connector = entry.connector
        assert isinstance(connector, AnswersBooks)  # noqa: S101  chosen by ability
        try:
            answer.book = await self._columns(entry, connector.books([instrument]), "books")
            answer.book_failure = None
        except ConnectorError as exc:
            answer.book_failure = exc.drop

    async def _matched(self, entry: _Entry, answer: VenueAnswer, instrument: Instrument) -> Instrument:
        """Return the one instrument that stands for the asked one on this venue."""
        connector = entry.connector
        assert isinstance(connector, ListsInstruments)  # noqa: S101  chosen by ability
        if instrument.kind not in entry.connector.kinds:
            raise NotListed(f"{instrument.kind} markets are not offered here")
        table = await connector.listings([instrument.kind])
        rows = table.candidates(instrument)
        if not rows:
            table = await connector.listings([instrument.kind], refresh=True)
            rows = table.candidates(instrument)
        if not rows:
            raise NotListed(f"{instrument.symbol} is not listed")
        if len(rows) > 1:
            rows = [await self._most_traded(entry, table, rows)]
        answer.listings, answer.listed = table, table.listed(rows[0])
        return answer.listed.instrument

    async def _most_traded(self, entry: _Entry, table: Listings, rows: Sequence[int]) -> int:
        """Return the row with the highest volume; a dollar is a dollar near enough to rank by."""
        columns = await entry.connector.tickers([table.listed(row).instrument for row in rows])
        volume = dict(zip(texts(columns, "instrument"), numbers(columns, "quote_volume"), strict=True))
        return max(rows, key=lambda row: np.nan_to_num(volume.get(table.symbols[row], 0.0), nan=-1.0))

    async def _asked_rates(self, entry: _Entry, instrument: Instrument, target: str, tries: list[VenueAnswer]) -> None:
        """Ask a venue's spot books for what rates need; a failure costs a source, not the venue.

        Questions at the same time share one request. Where the budget is spent the last legs serve, as old as they
        are: stale ones do not vote.
        """
        pairs = currencies.needed([*USD_LIKE[:3], instrument.quote], target)
        booked = currencies.needed([*USD_LIKE[:2], instrument.quote], target)
        key = f"legs {pairs} {booked} {clock.epoch()}"
        try:
            answer = await self._shared(entry, key, lambda: self._fetched_legs(entry, pairs, booked))
        except ConnectorError:
            if key in entry.last_legs:
                tries.append(entry.last_legs[key])
        else:
            entry.last_legs = {key: answer}
            tries.append(answer)

    async def _fetched_legs(
        self, entry: _Entry, pairs: Sequence[tuple[str, str]], booked: Sequence[tuple[str, str]]
    ) -> VenueAnswer:
        connector = entry.connector
        assert isinstance(connector, ConvertsCurrencies)  # noqa: S101  chosen by ability
        answer = VenueAnswer(entry.id, entry.config.venue)
        heard.set(answer.responses)
        with patient_for(RATE_PATIENCE_S):
            await self._guarded(entry, self._connected(entry))
            legs, books = await self._guarded(entry, connector.currency_legs(pairs, currencies.RATIO_BASES, booked))
            answer.legs, answer.leg_books = schema.checked(legs, "tickers"), schema.checked(books, "books")
        return answer

    async def _shared(self, entry: _Entry, key: str, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await a question that others may be asking at this moment; who gives up takes it from nobody."""
        task = entry.shared.get(key)
        if task is None or task.done():
            task = entry.shared[key] = asyncio.create_task(question())
            self._keep(task)
        return await asyncio.shield(task)

    # --- one venue

    async def _connected(self, entry: _Entry) -> None:
        if not entry.connected:
            if await entry.connector.connect() is False:
                raise Unreachable("connect() returned False", venue=entry.config.venue)
            entry.connected = True

    async def _columns(self, entry: _Entry, question: Awaitable[Columns], kind: str) -> Columns:
        """Await columns and see that they are: what is assembled later is outside any guard."""

        async def checked() -> Columns:
            return schema.checked(await question, kind)

        return await self._guarded(entry, checked())

    async def _guarded(self, entry: _Entry, question: Awaitable[T]) -> T:
        """Await a connector; whatever comes out of it but an answer is this venue's failure."""
        started, known = clock.monotonic(), entry.state.success_count + entry.state.error_count
        try:
            answer = await self._translated(entry, question)
        except ConnectorError as exc:
            exc.venue = exc.venue or entry.config.venue
            if known == entry.state.success_count + entry.state.error_count:
                entry.state.failed(exc)
            raise
        if known == entry.state.success_count + entry.state.error_count and not isinstance(
            entry.connector, ListsInstruments
        ):
            # A connector that does not use the seam: what it took is all that is known of its venue.
            entry.state.succeeded(1e3 * (clock.monotonic() - started))
        return answer

    async def _translated(self, entry: _Entry, question: Awaitable[T]) -> T:
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

    def _scrub(self, entry: _Entry, error: Exception) -> None:
        """Take keys out of a stranger's exception before anybody prints it."""
        secrets = self._route(entry).secrets
        error.args = tuple(scrub(str(part), secrets) for part in error.args)

    async def _measure_skew_if_old(self, entry: _Entry) -> None:
        if entry.state.skew_age_s > SKEW_FRESH_S:
            with suppress(ConnectorError):
                await self._measure_skew(entry)

    async def _skew_measured(self, entry: _Entry) -> None:
        async def measured() -> None:
            await self._guarded(entry, self._connected(entry))
            await self._measure_skew(entry)

        with suppress(ConnectorError):
            await self._shared(entry, f"skew {clock.epoch()}", measured)

    async def _measure_skew(self, entry: _Entry) -> None:
        if isinstance(entry.connector, AnswersTime):
            reading = await self._guarded(entry, entry.connector.server_time())
            if reading is not None and np.isfinite(reading.server_ms):
                entry.state.note_skew(reading.server_ms, reading.sent_ms, reading.received_ms, reading.resolution_ms)

    # --- symbols

    async def _resolved(self, ask: Ask, groups: Sequence[Sequence[_Entry]]) -> Instrument:
        """Find what a venue's own id is."""
        entry = next((group[0] for group in groups if group[0].config.venue == ask.venue), None)
        if entry is None or not isinstance(entry.connector, ListsInstruments):
            raise UnknownVenue(ask.venue, sorted({group[0].config.venue for group in groups}))
        await self._guarded(entry, self._connected(entry))
        try:
            table = await asyncio.wait_for(
                self._guarded(entry, entry.connector.listings(entry.connector.kinds)), remaining()
            )
        except (ConnectorError, TimeoutError) as exc:
            drop = exc.drop if isinstance(exc, ConnectorError) else Drop(Dropped.LATE, "no answer in time")
            raise NoVenueAnswered(
                f"{ask.text!r} needs the instruments of {ask.venue}: {drop.text}", {entry.id: drop}
            ) from exc
        row = table.row_of_id(ask.native_id)
        if row is None:
            import difflib

            close = difflib.get_close_matches(ask.native_id.upper(), table.columns["id"], n=5, cutoff=0.5)
            hint = f"; near: {', '.join(f'{ask.venue}:{name}' for name in close)}" if close else ""
            raise UnknownSymbol(f"{ask.venue} lists no {ask.native_id!r}{hint}{_recorded_only()}", nearest=close)
        return table.listed(row).instrument

    def _nobody(self, ask: Ask, instrument: Instrument, answered: Sequence[VenueAnswer]) -> Exception:
        failures = {answer.exchange: answer.failure for answer in answered if answer.failure is not None}
        known = [
            table
            for answer in answered
            if (table := getattr(self._entries[answer.exchange].connector, "known_listings", lambda *_: None)())
        ]
        if known and all(drop == Dropped.NOT_LISTED.value for drop in failures.values()):
            return _unknown(ask, instrument, known)
        return NoVenueAnswered(f"no venue answered for {instrument.description}:{_lines(failures)}", failures)


def _unknown(ask: Ask, instrument: Instrument, known: Sequence[Listings]) -> SymbolError:
    near = nearest(instrument, known)
    spot = Instrument(instrument.base, instrument.quote, "spot")
    if instrument.kind != "spot" and any(table.candidates(spot) for table in known):
        if spot.symbol not in near:
            near = [spot.symbol, *near]
        message = f"no venue lists {instrument.description}; for spot write {spot.symbol}"
    else:
        message = f"no venue lists {instrument.description}"
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return UnknownSymbol(f"{ask.text!r}: {message}{hint}{_recorded_only()}", nearest=near)


def _recorded_only() -> str:
    return "; the recording in use holds only what was asked for when it was made" if clock.is_replayed() else ""


def _lines(failures: Mapping[str, Drop]) -> str:
    return "".join(f"\n  {name}: {drop.text}" for name, drop in failures.items())


def _latency(answer: VenueAnswer, ticker: Columns, elapsed_ms: float) -> float:
    """Return how long the request took that the row came from."""
    wanted = texts(ticker, "response_id")[0]
    return next((heard.latency_ms for heard in answer.responses if heard.id == wanted), elapsed_ms)


def _now(answered: Sequence[VenueAnswer]) -> int:
    """Return the time of the answer; in a recording, when the last of its own responses had come.

    So an answer has the same ages while it is recorded and whenever it is replayed.
    """
    if not clock.is_recorded():
        return clock.now_ms()
    return max((heard.received_at for answer in answered for heard in answer.responses), default=clock.now_ms())


def _kind(market: str) -> Kind:
    found = parse_symbol("BTCUSDT", market).instrument
    assert found is not None  # noqa: S101  an id always names an instrument
    return found.kind


def _checked_deadline(seconds: float) -> float:
    try:
        value = float(seconds)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 < value < float("inf"):
        raise ConfigError(f"a deadline is a positive number of seconds, not {seconds!r}")
    return value


def _checked_currency(currency: str | None, instrument: Instrument) -> str:
    if currency is None:
        return instrument.quote
    name = str(currency).strip().upper()
    if name != instrument.quote and name not in USD_LIKE:
        raise ConfigError(f"currency {currency!r}: conversion is known among {', '.join(USD_LIKE)}")
    return name


async def _gathered(
    questions: Mapping[str, Coroutine[Any, Any, T]], keep: Callable[[asyncio.Task[Any]], None]
) -> dict[str, T]:
    """Await all within the deadline and return what came; the late are cancelled and kept until they end."""
    if not questions:
        return {}
    tasks = {name: asyncio.create_task(question) for name, question in questions.items()}
    try:
        await asyncio.wait(tasks.values(), timeout=remaining())
    finally:
        for task in tasks.values():
            if not task.done():
                task.cancel()
                keep(task)
    return {name: task.result() for name, task in tasks.items() if task.done() and not task.cancelled()}


def _observed(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
