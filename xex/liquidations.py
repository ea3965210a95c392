"""Who was liquidated on all exchanges: by the venue's own word where it has one, else by that of a source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.access.deadline import cut_off, remaining, until
from xex.access.port import AnswersLiquidations, ListsInstruments, Struck, Window, able
from xex.catalogue import Catalogue, account, lines, note_late
from xex.errors import ConfigError, ConnectorError, Drop, Dropped, NotListed, NoVenueAnswered, SymbolError
from xex.model import clock, schema
from xex.model.instruments import Instrument
from xex.model.schema import Columns, Text, concat, length, numbers, take, texts
from xex.roster import Entry, gathered
from xex.snapshot import VenueAnswer

if TYPE_CHECKING:
    import pandas as pd

Begin = Callable[[int], int]
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
SILENT = "it publishes no liquidations to be asked for"


class Liquidations(list[dict[str, Any]]):
    """Liquidations, newest first, as dicts; `frame` has the same rows in the schema `liquidations`.

    `asked`, `answered` and `dropped` (a reason by exchange) say who told. `coverage` has for each exchange that is
    covered, its own answer or a source's, `from` and `to` (Unix seconds), whether all within is here (`complete`), how
    many rows that is (`count`), how many more lack a price, a size or a time (`left_out`), who told (`source`), and
    `reason`: why not the exchange itself.
    """

    def __init__(self, frame: pd.DataFrame, coverage: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(_dicts(frame))
        self.frame = frame
        self.coverage = coverage
        self.asked: list[str] = frame.attrs["asked"]
        self.answered: list[str] = frame.attrs["answered"]
        self.dropped: dict[str, str] = frame.attrs["dropped"]


@dataclass(slots=True)
class _Asked:
    """Whom a question goes to, by venue the best configuration first, and what became of it."""

    groups: list[list[Entry]]
    silent: list[Entry]
    named: frozenset[str] | None
    """The venues and exchanges that were asked for; None for all."""
    failures: dict[str, Drop] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)

    @property
    def venues(self) -> list[list[Entry]]:
        """Who trades, with or without liquidations of its own, and who tells of them."""
        return [*self.groups, *([entry] for entry in self.silent)]


class Forced(Catalogue):
    """A catalogue that knows who was liquidated."""

    if TYPE_CHECKING:  # what the manager brings
        _matched: Callable[[Entry, VenueAnswer, Instrument], Awaitable[Instrument]]

    async def get_cross_exchange_liquidations(
        self,
        symbol: str,
        since: float | datetime | timedelta | None = None,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> Liquidations:
        """Return the liquidations of one contract since `since`: Unix seconds, a datetime, or how long ago.

        The last hour is told by default.

        A list of dicts, newest first: `exchange, symbol, side` ("buy" or "sell", that of the order which closed the
        position), `quantity` (base), `price` (quote per base unit), `notional, timestamp` (Unix seconds),
        `position_side` ("long" or "short"), `source` ("venue", or the name of who told in its place), `price_kind`
        ("fill", "bankruptcy" or "unknown") and `complete`: whether the source leaves none out. A side that cannot be
        told is "unknown". `symbol`, `market`, `venues` and `deadline` as in `get_cross_exchange_ticker`.

        Every exchange counts once: by its own answer, else by what a source tells of it, never by both; each event
        counts once, told apart by its id, without one by its time, order, price and size. Who publishes none and of
        whom no source tells is in `dropped`, as is who fails. Raises `SymbolError` for a spot market, `ConfigError` for
        a `since` that is none, and `NoVenueAnswered` when nobody answered; otherwise as `get_cross_exchange_ticker`.
        """
        self._enter()
        begin = _begin(since)
        asked = self._who_tells(venues)
        with until(self._seconds(deadline)):
            ask, instrument = await self._meant(symbol, market, asked.venues)
            parts = await self._all_told(asked, instrument, begin)
            if not parts and asked.unlisted == asked.failures.keys() and asked.unlisted:
                instrument = await self._other_meaning(ask, instrument, market, asked.groups, asked.failures)
                asked.failures.clear()
                asked.unlisted.clear()
                parts = await self._all_told(asked, instrument, begin)
        told = _Told(asked, parts, {entry.config.venue: entry.id for group in asked.venues for entry in group[::-1]})
        if not told.coverage:
            if asked.unlisted and asked.unlisted == asked.failures.keys():
                raise self._nobody(ask, instrument, asked.failures)
            text = f"no venue told of liquidations of {instrument.description}:{lines(told.failures)}"
            raise NoVenueAnswered(text, told.failures)
        frame = schema.frame(told.rows, "liquidations")
        frame.attrs = {**account(asked.venues, told.answered, told.failures), "coverage": told.coverage}
        return Liquidations(frame, told.coverage)

    def _who_tells(self, venues: Iterable[str] | None) -> _Asked:
        """Return who is asked; a source is asked of the named venues too, and one that is named tells of all."""
        named = self._named(venues)
        groups: dict[str, list[Entry]] = {}
        silent: dict[str, Entry] = {}
        for entry in self._entries.values():
            source = not entry.connector.quotes
            if not source and named is not None and not {entry.id, entry.config.venue} & named:
                continue
            if self._offers(entry, "liquidations"):
                groups.setdefault(entry.config.venue, []).append(entry)
            elif self._would_offer(entry, "liquidations") and not source:
                silent.setdefault(entry.config.venue, entry)
        chosen = [self._ordered(group) for group in groups.values()]
        mute = [entry for venue, entry in silent.items() if venue not in groups]
        if not chosen and not mute:
            raise ConfigError(
                f"no enabled exchange answers 'liquidations'; configured: {', '.join(self._entries) or 'none'}; "
                "add_exchange(ExchangeConfig(…)) or ExchangeManager.from_env()"
            )
        return _Asked(chosen, mute, None if named is None else frozenset(named))

    async def _all_told(self, asked: _Asked, instrument: Instrument, begin: Begin) -> dict[str, Struck]:
        """Ask everybody at once and return what came, by exchange."""
        if instrument.kind == "spot":
            raise SymbolError(
                f"{instrument.description}: only contracts are liquidated; for the perpetual write "
                f"{instrument.base}/{instrument.quote}:{instrument.quote}"
            )
        now_ms = clock.now_ms()
        bounds = None if clock.is_recorded() else (begin(now_ms), now_ms)
        questions = {group[0].id: self._told_in_turn(asked, group, instrument, begin, bounds) for group in asked.groups}
        found = await gathered(questions, self._keep)
        came = dict(one for one in found.values() if one is not None)
        note_late(asked.groups, {name: {} for name in found}, asked.failures)
        return came

    async def _told_in_turn(
        self,
        asked: _Asked,
        group: Sequence[Entry],
        instrument: Instrument,
        begin: Begin,
        bounds: tuple[int, int] | None,
    ) -> tuple[str, Struck] | None:
        """Ask a venue's configurations one after the other until one answers, each for its share of the time."""
        for place, entry in enumerate(group):
            seconds = remaining() / (len(group) - place)
            try:
                with until(seconds), cut_off(seconds):
                    return entry.id, await self._told(asked, entry, instrument, begin, bounds)
            except ConnectorError as exc:
                asked.failures[entry.id] = exc.drop
            except TimeoutError:
                asked.failures[entry.id] = Drop(Dropped.LATE, "no answer in time")
        return None

    async def _told(
        self,
        asked: _Asked,
        entry: Entry,
        instrument: Instrument,
        begin: Begin,
        bounds: tuple[int, int] | None,
    ) -> Struck:
        """Return one exchange's liquidations, dated, and what they cover."""
        connector, venue = entry.connector, entry.config.venue
        assert able(connector, AnswersLiquidations)  # noqa: S101  chosen by ability
        await self._ready(entry)
        mine = instrument
        if able(connector, ListsInstruments):
            try:
                mine = await self._guarded(entry, self._matched(entry, VenueAnswer(entry.id, venue), instrument))
            except NotListed:
                asked.unlisted.add(entry.id)
                raise
        start, end = bounds or _recorded_bounds(begin)

        async def checked() -> Struck:
            found = await connector.liquidations(mine, start, end)
            columns = schema.checked(dict(found) if isinstance(found, Struck) else found, "liquidations")
            if connector.quotes:
                columns["venue"] = Text.same(venue, length(columns))
            if isinstance(found, Struck):
                return Struck(columns, found.windows)
            of = dict.fromkeys(filter(None, texts(columns, "venue"))) or {venue: None}
            return Struck(columns, [Window(name, start, end) for name in of])

        told = await self._guarded(entry, checked())
        return Struck(self._dated(entry, told, mine, substitute=mine.quote != instrument.quote), told.windows)

    def _dated(self, entry: Entry, told: Columns, mine: Instrument, *, substitute: bool) -> Columns:
        count = length(told)
        columns = {"currency": Text.same(mine.quote, count), **told}
        stamps = numbers(columns, "exchange_time") - entry.state.skew_ms
        columns["age_ms"] = np.maximum(clock.now_ms() - stamps, 0.0)
        if "source" not in columns:
            source = "venue" if entry.connector.quotes else entry.config.venue
            columns["source"] = Text.same(source, count)
        if substitute:
            columns["flags"] = Text.same("substitute", count)
        return columns


class _Told:
    """What came, put together: of each venue its own answer, else that of the first source which covers it."""

    def __init__(self, asked: _Asked, parts: Mapping[str, Struck], ids: Mapping[str, str]) -> None:
        own = {name: part for name, part in parts.items() if asked_entry(asked, name).connector.quotes}
        sources = {name: part for name, part in parts.items() if name not in own}
        self.coverage: dict[str, dict[str, Any]] = {}
        self.failures = dict(asked.failures)
        rows: list[Columns] = []
        taken: set[str] = set()
        for name, part in (*own.items(), *sources.items()):
            entry = asked_entry(asked, name)
            everywhere = asked.named is None or bool({name, entry.config.venue} & asked.named)
            for window in part.windows:
                exchange = name if name in own else ids.get(window.venue, window.venue)
                wanted = everywhere or bool({exchange, window.venue} & (asked.named or frozenset()))
                if window.venue in taken or not wanted:
                    continue
                taken.add(window.venue)
                mine = _once(take(part, np.array([one == window.venue for one in texts(part, "venue")], dtype=bool)))
                mine["exchange"] = Text.same(exchange, length(mine))
                rows.append(mine)
                why = self.failures.pop(exchange, None) if name in sources else None
                silent = name in sources and any(one.id == exchange for one in asked.silent)
                source = "venue" if name in own else entry.config.venue
                self.coverage[exchange] = {
                    "from": window.from_ms / 1e3, "to": window.to_ms / 1e3, "complete": window.complete,
                    "count": length(mine), "left_out": window.left_out, "source": source,
                    "reason": why.text if why is not None else SILENT if silent else "",
                }  # fmt: skip
        configured = {entry.id for group in asked.venues for entry in group}
        self.answered = list(dict.fromkeys((*parts, *(name for name in self.coverage if name in configured))))
        failed = [f"{name}: {drop.text}" for name, drop in self.failures.items() if _is_source(asked, name)]
        tells = "; ".join(failed) or "a source that tells of other exchanges would, with a key that its plan allows"
        self.failures |= {
            one.id: Drop(Dropped.NOT_LISTED, f"{SILENT}; {tells}")
            for one in asked.silent
            if one.id not in self.coverage
        }
        joined = concat(rows, "liquidations")
        self.rows = take(joined, np.argsort(-numbers(joined, "exchange_time"), kind="stable"))


def asked_entry(asked: _Asked, name: str) -> Entry:
    """Return the entry of an exchange that was asked."""
    return next(entry for group in asked.venues for entry in group if entry.id == name)


def _is_source(asked: _Asked, name: str) -> bool:
    return not asked_entry(asked, name).connector.quotes


def _once(rows: Columns) -> Columns:
    """Return one venue's rows, those of one `event_id` once; who has none has told each once already."""
    ids = texts(rows, "event_id")
    first = {id_: row for row, id_ in reversed(list(enumerate(ids)))}
    return take(rows, np.array([not id_ or first[id_] == row for row, id_ in enumerate(ids)], dtype=bool))


def _begin(since: object) -> Begin:
    """Return what tells the beginning of a window from its end, in ms."""
    if isinstance(since, timedelta) or since is None:
        back_ms = HOUR_MS if since is None else round(since.total_seconds() * 1e3)
        if back_ms <= 0:
            raise ConfigError(f"since={since!r} is no time gone by; write how long ago, as timedelta(hours=4)")
        return lambda end: max(end - back_ms, 0)
    if isinstance(since, datetime):
        if since.tzinfo is None:
            raise ConfigError(f"since={since!r} has no time zone; write datetime(…, tzinfo=UTC), or Unix seconds")
        seconds = since.timestamp()
    elif isinstance(since, bool) or not isinstance(since, (int, float, np.integer, np.floating)):
        raise ConfigError(f"since={since!r}: Unix seconds, a datetime or a timedelta is expected")
    else:
        seconds = float(since)
    if not 0 <= seconds < 1e11:
        raise ConfigError(f"since={since!r} is not in seconds since 1970; were milliseconds given?")
    if 1e3 * seconds > clock.now_ms() and not clock.is_replayed():
        raise ConfigError(f"since={since!r} is yet to come; it is a time gone by")
    return lambda _: round(1e3 * seconds)


def _recorded_bounds(begin: Begin) -> tuple[int, int]:
    """Return whole minutes: what is asked for again in a replay must be the same question."""
    end = (clock.now_ms() // MINUTE_MS + 1) * MINUTE_MS
    return begin(end), end


def _dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows as people take them one by one."""
    columns = schema.columns_of(frame)
    named = {
        "exchange": texts(columns, "exchange"), "symbol": texts(columns, "instrument"),
        "side": texts(columns, "order_side"), "quantity": numbers(columns, "size").tolist(),
        "price": numbers(columns, "price").tolist(), "notional": numbers(columns, "notional").tolist(),
        "timestamp": (numbers(columns, "exchange_time") / 1e3).tolist(),
        "position_side": texts(columns, "position_side"), "source": texts(columns, "source"),
        "price_kind": texts(columns, "price_kind"), "complete": schema.flags(columns, "complete").tolist(),
    }  # fmt: skip
    return [dict(zip(named, cells, strict=True)) for cells in zip(*named.values(), strict=True)]
