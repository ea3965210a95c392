"""One adapter for every venue that ccxt knows.

ccxt builds URLs, signs, and recognises errors; bytes come through the seam, and the venue's column maps read
them. The only module that imports ccxt.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache, partial
from math import inf
from typing import Any, ClassVar, cast

import msgspec
import numpy as np

from xex.access.budgets import Limit, Pause
from xex.access.cache import Kept, MetadataCache, key_of
from xex.access.deadline import remaining, until
from xex.access.fanout import settled
from xex.access.port import ExchangeConnector, ServerTime
from xex.access.transport import Response, Route, Transport, scrub
from xex.config import ExchangeConfig
from xex.errors import (
    AuthRejected,
    BadPayload,
    ConnectorError,
    HttpError,
    Maintenance,
    MissingRow,
    NotListed,
    NotRecorded,
    RateLimited,
    Restricted,
    TimedOut,
    VenueRefused,
)
from xex.model import clock
from xex.model.identity import network_of
from xex.model.instruments import STABLE, Instrument, Section, kind_of, parse_symbol, section_of
from xex.model.listings import Listed, Listings
from xex.model.schema import Columns, Text, concat, flags, length, numbers, take, texts
from xex.model.units import counts_quote, funding_to_rate, interest_to_base, to_base, trades_to_base
from xex_connectors.mapping import (
    AssetMap,
    BookMap,
    ErrorBody,
    FeeMap,
    FundingMap,
    KeyMap,
    Market,
    RatioMap,
    TickerMap,
    ValueMap,
    account_fees,
    book_columns,
    check_envelope,
    decode,
    dig,
    iso_ms,
    key_rights,
    listings,
    network_columns,
    number,
    ratio_columns,
    ticker_columns,
    trade_columns,
    trimmed,
)
from xex_connectors.read_only import ReadOnly
from xex_connectors.warm_markets import Shelf

log = logging.getLogger("xex.access")

_trim: ContextVar[Callable[[bytes], bytes] | None] = ContextVar("xex_trim", default=None)

MOST_PAGES = 50
"""More pages of instruments than this are a venue that never ends, not a market."""

HOUR_MS = 3_600_000.0

MOST_URLS = 1024
"""How many addresses are remembered: one per endpoint and instrument that is asked for alone."""

COVERED = 1_000_000.0
"""How much of the quote currency, on each side, a book should show before a deeper one is asked for."""

ADDRESSES_FRESH_S = 3600.0
"""How long a list of currencies is kept for its contracts, which hardly ever change."""

NETWORKS_FRESH_S = 60.0
"""How long it is kept for what is open: withdrawals are shut and opened at any time."""

CONTRACT_QUESTIONS = frozenset({"funding_rates", "open_interest", "long_short"})
"""Questions about contracts that are asked about several at once where the venue can."""
INTERVALS_FRESH_S = 300.0
"""How long a list of funding intervals is kept: venues change one when funding has reached its bound."""
PERPETUAL: tuple[Section, ...] = ("linear", "inverse")

OLDEST_S = 6 * 3600.0
"""How long a list in memory is believed: contract sizes change, and markets end."""

LEG_BOOKS_S = 0.25
"""How long after the tickers that rates are made of their books are worth waiting for at least."""
REFRESH_S = 60.0
"""How old a list from the venue must be before a miss is a reason to ask for it again."""

_IDENTITY = ("base", "quote", "settle", "kind")
_FIELDS = {"apiKey": "api_key", "secret": "secret_key", "password": "passphrase"}

# The raw response of the one request that an implicit ccxt method makes.
_raw: ContextVar[Response | None] = ContextVar("xex_raw", default=None)


# Whether only the address of a request is wanted.
_addressing: ContextVar[bool] = ContextVar("xex_addressing", default=False)


class _Address(Exception):
    """The address that would have been asked."""


def import_ccxt() -> Any:
    """Import ccxt with the garbage collector paused: its 300 modules are mostly dicts that live for ever."""
    running = gc.isenabled()
    gc.disable()
    try:
        import ccxt.async_support as ccxt
    finally:
        if running:
            gc.enable()
    # ccxt prints signed headers at DEBUG.
    logging.getLogger("ccxt.base.exchange").setLevel(logging.INFO)
    return ccxt


@cache
def _seamed(name: str) -> Any:
    """Return the ccxt class `name` with its one opening to the network replaced by the seam."""
    base = getattr(import_ccxt(), name)

    class Seamed(base):  # type: ignore[misc, valid-type]
        xex_parsed = False
        xex_shelf: Shelf | None = None

        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            if _addressing.get():
                raise _Address(url)
            response = await self.xex_transport.send(
                self.xex_route, method, url, headers, body, signed=bool(self.apiKey), trim=_trim.get()
            )
            _raw.set(response)
            if response.status != 200 or self.xex_parsed:
                recognise(self, response, url, method, self.xex_words)
            return decode(response.body) if self.xex_parsed else {}

        async def close(self) -> None:
            """Nothing to close: the session is the seam's."""

        async def load_markets(self, reload: bool = False, params: Any = None) -> Any:
            """Return the markets, from disk while they are fresh; every unified method comes here first."""
            if self.xex_shelf is None:
                return await super().load_markets(reload, params or {})
            ask = partial(super().load_markets, True, params or {})
            return await self.xex_shelf.markets(self, ask, reload=reload, usual=not params)

        @staticmethod
        def to_array(value: Any) -> Any:
            """Return a dict's values: ccxt itself takes nothing but the very class `dict` for one."""
            return list(value.values()) if isinstance(value, dict) else value

        def filter_by(self, array: Any, key: Any, value: Any = None) -> Any:
            return super().filter_by(self.to_array(array), key, value)

        def group_by(self, array: Any, key: Any) -> Any:
            return super().group_by(self.to_array(array), key)

    Seamed.__name__ = Seamed.__qualname__ = base.__name__
    return Seamed


def recognise(
    client: Any,
    response: Response,
    url: str = "",
    method: str = "GET",
    words: Mapping[str, type[ConnectorError]] | None = None,
) -> None:
    """Raise what ccxt takes the body or the status for; a status that is no answer raises in any case.

    `words` are error codes of the venue that ccxt does not know the meaning of.
    """
    text = response.body.decode(errors="replace")
    try:
        parsed = decode(response.body)
    except BadPayload:
        parsed = None
    headers = dict(response.headers)
    status = response.status
    for value in parsed.values() if words and isinstance(parsed, Mapping) else ():
        if isinstance(value, (str, int)) and (meant := (words or {}).get(str(value))):
            raise meant(_short(text))
    try:
        client.handle_errors(status, "", url, method, headers, text or " ", parsed, {}, None)
    except Exception as exc:
        exc.args = (f"HTTP {status}: {exc}" if status != 200 else str(exc),)
        raise
    if status in {401, 407, 511}:
        raise AuthRejected(f"HTTP {status}: a key was asked for or refused")
    if status == 403:
        raise Restricted(f"HTTP {status}: this place or address is not served")
    if status != 200:
        raise HttpError(f"HTTP {status}", status=status)


@contextmanager
def translated(venue: str, secrets: Sequence[str] = ()) -> Iterator[None]:
    """Turn ccxt's and parsers' exceptions into ours at the one place where they enter."""
    try:
        yield
    except ConnectorError as exc:
        exc.venue = exc.venue or venue
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
        raise BadPayload(f"the answer does not have the expected form ({type(exc).__name__})", venue=venue) from exc
    except Exception as exc:
        ours = _ours(exc)
        if ours is None:
            raise
        # ccxt's texts may hold a key or a signature.
        text = scrub(str(exc), secrets)
        exc.args = (text,)
        raise ours(_short(text), venue=venue) from exc


def _ours(exc: Exception) -> type[ConnectorError] | None:
    """Return our class for a ccxt exception, the most specific first."""
    ccxt = import_ccxt()
    table: tuple[tuple[Any, type[ConnectorError]], ...] = (
        (ccxt.BadSymbol, NotListed),
        (ccxt.RestrictedLocation, Restricted),
        (ccxt.AuthenticationError, AuthRejected),
        (ccxt.OnMaintenance, Maintenance),
        (ccxt.RateLimitExceeded, RateLimited),
        (ccxt.DDoSProtection, RateLimited),
        (ccxt.RequestTimeout, TimedOut),
        (ccxt.BadResponse, BadPayload),
        # Nothing reaches ccxt from the network itself, so this is the venue's own "unavailable".
        (ccxt.NetworkError, VenueRefused),
        (ccxt.BaseError, VenueRefused),
    )
    return next((ours for theirs, ours in table if isinstance(exc, theirs)), None)


def _short(text: str, most: int = 200) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= most else f"{one_line[: most - 1]}…"


@dataclass(frozen=True, slots=True)
class AccountFees:
    """What an account pays in a market: taker and maker in basis points, by quote currency or by id."""

    source: str
    fees: Mapping[str, tuple[float, float]]
    by_quote: bool


class CcxtConnector(ExchangeConnector):
    """A venue whose facts a subclass states as data."""

    markets: ClassVar[Mapping[Section, Market]] = {}
    homes: ClassVar[Mapping[Section, Section]] = {}
    time_map: ClassVar[ValueMap | None] = None
    status_map: ClassVar[ValueMap | None] = None
    asset_map: ClassVar[AssetMap | None] = None
    key_map: ClassVar[KeyMap | None] = None
    probes: ClassVar[Mapping[str, tuple[str, Mapping[str, str]]]] = {}
    limits: ClassVar[Sequence[Limit]] = ()
    pauses: ClassVar[Sequence[Pause]] = ()
    words: ClassVar[Mapping[str, type[ConnectorError]]] = {}

    def __init__(self, config: ExchangeConfig | None = None) -> None:
        super().__init__(config)
        self.cache = MetadataCache(None)
        self._clients: dict[tuple[str, int | None], Any] = {}
        self._urls: dict[tuple[Any, ...], str] = {}
        self._listings: dict[Section, Listings] = {}
        self._published: dict[Section, Listings] = {}
        self._fees: tuple[int, dict[Section, AccountFees | ConnectorError]] = (-1, {})
        self._loads: dict[Section, asyncio.Task[Listings]] = {}
        self._loaded_at: dict[Section, float] = {}
        # When a list was put into memory, when the first of its contracts ends (ms), and when it was last tried.
        self._taken: dict[Section, tuple[float, float]] = {}
        self._tried: dict[Section, float] = {}
        self._touched: set[str] = set()
        self._strangers: dict[Section, set[str]] = {}
        self._epoch = clock.epoch()
        self._last_legs: dict[Section, tuple[Listings, tuple[Instrument, ...], list[Listed]]] = {}
        self._addresses: tuple[int, float, Columns] | None = None
        self._intervals: dict[Section, tuple[int, float, dict[str, float]]] = {}
        # Per section and endpoint: the listings and the ids of the last whole market, and which rows are the same.
        self._orders: dict[
            tuple[Section, str], tuple[Listings, list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]
        ] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.homes = {section: home for home, market in cls.markets.items() for section in _sections(home, market)}
        cls.kinds = tuple(dict.fromkeys(map(kind_of, cls.homes)))

    @property
    def sections(self) -> Sequence[Section]:
        """The lists that this venue keeps."""
        return tuple(self.homes)

    def bind(self, transport: Transport, route: Route) -> None:
        """Take the manager's seam."""
        super().bind(transport, route)
        self._clients.clear()
        self._urls.clear()
        self._loads.clear()

    async def connect(self) -> None:
        """Build the ccxt objects; nothing is asked of the venue yet."""
        self._client(next(iter(self.markets)))

    async def disconnect(self) -> None:
        """Stop metadata loads; the session is the manager's."""
        shelves = [client.xex_shelf for client in self._clients.values() if client.xex_shelf is not None]
        mine = (*self._loads.values(), *(shelf.load for shelf in shelves))
        loads = [task for task in mine if task is not None and not task.done()]
        for task in loads:
            task.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        self._loads.clear()

    # --- instruments

    async def listings(self, sections: Sequence[Section], *, refresh: bool = False) -> Listings:
        """Return the instruments of these sections, from memory, from disk while fresh, else from the venue.

        Where the venue lists sections together, all of them come. `refresh` asks the venue again unless it did
        so within the last minute.
        """
        mine = list(dict.fromkeys(self.homes[section] for section in sections if section in self.homes))
        if len(mine) == 1:
            return await self._listings_of(mine[0], refresh=refresh)
        return Listings.joined(await asyncio.gather(*(self._listings_of(home, refresh=refresh) for home in mine)))

    def known_listings(self, section: Section | None = None) -> Listings | None:
        """Return what is in memory already, of one section or of all; None where nothing is."""
        if section is not None:
            return self._listings.get(self.homes.get(section, section))
        return Listings.joined(self._listings.values()) if self._listings else None

    async def _listings_of(self, home: Section, *, refresh: bool) -> Listings:
        if self._epoch != clock.epoch():
            # A recording must hold all that its replay will ask for, and a replay knows nothing else.
            self._forget()
        if refresh and clock.monotonic() - self._loaded_at.get(home, -inf) < REFRESH_S:
            refresh = False
        if not refresh and (home in self._listings or self._restored(home)):
            known = self._listings[home]
            if self._outdated(home):
                with suppress(ConnectorError):  # an old list is better than none
                    known = await asyncio.shield(self._start_load(home))
            return known
        # Shielded and shared: one caller that gives up must not take the load from the others.
        return await asyncio.shield(self._start_load(home))

    def _restored(self, home: Section) -> bool:
        """Take a list from disk where it may be used at once; one that is not fresh is read again meanwhile."""
        load = self._loads.get(home)
        kept = self._kept(home) if load is None or load.done() else None
        if kept is None or kept.age_ms > 1e3 * OLDEST_S or not kept.complete:
            return False
        self._take(home, kept.listings, kept.age_ms)
        if not kept.fresh:
            self._start_load(home)
        return True

    def _outdated(self, home: Section) -> bool:
        """Say whether a list in memory must be read again: it is old, or a contract of it has ended since.

        What ended, another contract may have taken the name of: this week's is next week's.
        """
        taken, ends = self._taken.get(home, (inf, inf))
        if clock.is_recorded() or clock.monotonic() - self._tried.get(home, -inf) < REFRESH_S:
            return False
        return clock.monotonic() - taken > OLDEST_S or clock.now_ms() >= ends

    def _take(self, home: Section, found: Listings, age_ms: float = 0.0) -> Listings:
        """Put a list into memory that was read from the venue `age_ms` ago."""
        now_ms = clock.now_ms()
        ends = min((end for end in found.columns["expiry_time"] if end > now_ms), default=inf)
        # What is kept on disk is what anybody is told.
        self._published[home], self._taken[home] = found, (clock.monotonic() - age_ms / 1e3, ends)
        self._listings[home] = self._charged(home, found)
        return self._listings[home]

    def _start_load(self, home: Section) -> asyncio.Task[Listings]:
        """Return the task that asks the venue, one at a time for all who wait for it."""
        load = self._loads.get(home)
        if load is None or load.done():
            self._tried[home] = clock.monotonic()
            load = self._loads[home] = asyncio.create_task(self._load(home))
            load.add_done_callback(_seen)
        return load

    def _forget(self) -> None:
        self._epoch = clock.epoch()
        self._listings.clear()
        self._published.clear()
        self._loads.clear()
        self._loaded_at.clear()
        self._taken.clear()
        self._tried.clear()
        self._touched.clear()

    def _kept(self, home: Section) -> Kept | None:
        return self.cache.load(self._key(home), import_ccxt().__version__)

    def _key(self, home: Section) -> str:
        return key_of(f"{self._route.venue}-{home}", self._route.base_url)

    async def _load(self, home: Section) -> Listings:
        """Ask the venue; where that fails, what is in memory or on disk serves, however old."""
        epoch = clock.epoch()
        try:
            with until(None):
                found = await self._asked_listings(home)
        except ConnectorError as exc:
            kept = self._kept(home)
            if kept is None:
                raise
            log.warning("%s: metadata from disk, the venue's own failed: %s", self._route.exchange, exc)
            if home in self._listings:
                return self._listings[home]
            return self._take(home, kept.listings, kept.age_ms)
        if epoch != clock.epoch():
            return found
        self._loaded_at[home] = clock.monotonic()
        self.cache.save(self._key(home), import_ccxt().__version__, found)
        return self._take(home, found)

    async def _asked_listings(self, home: Section) -> Listings:
        """Ask for the instruments, page by page where the venue sends them so."""
        market, pages = self.markets[home], list[Listings]()
        spec, params = market.instruments, dict(market.instruments.params)
        while True:
            response = await self._call(home, spec.call, params, (spec.rows, spec.id))
            with self._reading(home, response):
                names = self._client(home).commonCurrencies
                pages.append(listings(response.body, market, home, self._route.venue, names, more=bool(pages)))
                following = dig(decode(response.body), spec.cursor[1]) if spec.cursor else None
            if spec.cursor is None or not following or following == params.get(spec.cursor[0]):
                return pages[0] if len(pages) == 1 else Listings.joined(pages)
            if len(pages) >= MOST_PAGES:
                raise BadPayload(f"more than {MOST_PAGES} pages of instruments", venue=self._route.venue)
            params[spec.cursor[0]] = str(following)

    # --- questions

    async def get_ticker(self, symbol: str) -> Mapping[str, Any] | None:
        """Return one ticker in base units, None where it is not listed."""
        instrument = parse_symbol(symbol).instrument
        if instrument is None:
            return None
        columns = await self.tickers([instrument])
        if not columns:
            return None
        row = {name: values[0] for name, values in columns.items()}
        stamp = row.get("exchange_time")
        if stamp is not None and np.isfinite(stamp):
            row["timestamp"] = stamp / 1e3
        return row

    async def tickers(self, instruments: Sequence[Instrument], legs: Sequence[Instrument] = ()) -> Columns:
        """Return tickers, one request per endpoint whatever the number of instruments."""
        homes = list(dict.fromkeys(self.homes[i.section] for i in instruments if i.section in self.homes))

        def of(home: Section) -> Coroutine[Any, Any, Columns]:
            mine, extra = ([i for i in some if self.homes.get(i.section) == home] for some in (instruments, legs))
            return self._tickers_of(home, mine, extra)

        if len(homes) == 1:
            return await of(homes[0])
        return concat(await asyncio.gather(*map(of, homes)), "tickers")

    async def _tickers_of(self, home: Section, instruments: list[Instrument], legs: list[Instrument]) -> Columns:
        table = await self._listings_of(home, refresh=False)
        listed = [found for found in (self._listed(table, i) for i in instruments) if found is not None]
        extra = self._leg_rows(home, table, tuple(legs))
        self._touched.update(name for found in (*listed, *extra) for name in _names(table, found))
        asked = {found.id for found in listed}
        extra = [found for found in extra if found.id not in asked]
        wanted = [(spec, [*listed, *extra] if spec.quotes else listed) for spec in self.markets[home].tickers]
        try:
            return await self._merged(home, table, [(spec, group) for spec, group in wanted if group])
        except (NotListed, VenueRefused):
            if not extra:
                raise
            # One leg that has ended must not cost the instrument that was asked for.
            self._start_load(home)
            return await self._merged(home, table, [(spec, listed) for spec, _ in wanted if listed])

    def _leg_rows(self, home: Section, table: Listings, legs: tuple[Instrument, ...]) -> list[Listed]:
        """Return which of the legs are listed; the same legs are asked for again and again."""
        if not legs:
            return []
        last = self._last_legs.get(home)
        if last is None or last[0] is not table or last[1] != legs:
            found = [
                listed for listed in (self._listed(table, leg) for leg in legs) if listed is not None and listed.active
            ]
            last = self._last_legs[home] = (table, legs, found)
        return last[2]

    async def market(self, sections: Sequence[Section]) -> Columns:
        """Return every active instrument's ticker, the whole market in one request per endpoint."""
        wanted = [section for section in sections if section in self.homes]
        return concat(await asyncio.gather(*map(self._market_of, wanted)), "tickers")

    async def _market_of(self, section: Section) -> Columns:
        home = self.homes[section]
        table = await self._listings_of(home, refresh=False)
        if not table.of(section, active=True):
            return {}
        return await self._merged(home, table, [(spec, section) for spec in self.markets[home].tickers])

    async def _merged(self, home: Section, table: Listings, wanted: Sequence[tuple[TickerMap, Wanted]]) -> Columns:
        """Ask the endpoints at once and join their rows by id; one that fails costs its own columns only."""
        if not wanted:
            return {}
        answers = await settled([self._ticker_rows(home, table, spec, group) for spec, group in wanted])
        failed = [answer for answer in answers if isinstance(answer, ConnectorError)]
        parts = [answer for answer in answers if not isinstance(answer, ConnectorError)]
        if not parts:
            raise failed[0]
        merged = join_rows(parts)
        if failed:
            merged["flags"] = Text.same("partial", len(merged["row"]))
        return self._described(home, table, merged)

    async def _ticker_rows(self, home: Section, table: Listings, spec: TickerMap, group: Wanted) -> Columns:
        if isinstance(group, str) and clock.is_recorded():
            self._touched.update(table.known)
        call, params = _ticker_question(spec, [] if isinstance(group, str) else [found.id for found in group])
        response = await self._call(home, call, params, (spec.rows, spec.id))
        with self._reading(home, response):
            columns = ticker_columns(response.body, spec)
        return self._known(home, table, columns, response, spec, group)

    def _known(
        self, home: Section, table: Listings, columns: Columns, response: Response, spec: TickerMap, group: Wanted
    ) -> Columns:
        """Keep the rows that were asked for, in the order of the listings, and date them.

        The column `row` of the result is the instrument's row in the listings.
        """
        ids = columns.pop("id")
        rows, listed = self._places(home, table, ids, spec, group)
        if not len(rows) and (not isinstance(group, str) or any(table.columns["active"])):
            wanted = "any listed instrument" if isinstance(group, str) else ", ".join(found.id for found in group[:3])
            self._transport.forget(response)
            raise MissingRow(f"no {home} row for {wanted} in the answer", venue=self._route.venue)
        count = len(rows)
        # A single row that was asked for alone is there as it came.
        kept = columns if count == len(ids) == 1 else take(columns, rows)
        kept["row"] = listed
        kept["received_time"] = np.full(count, float(response.received_at))
        kept["response_id"] = Text.same(response.id, count)
        kept["time_source"] = Text.same(spec.source, count)
        return kept

    def _places(
        self, home: Section, table: Listings, ids: list[str], spec: TickerMap, group: Wanted
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return which rows of the body are kept, and the rows of the listings that they are."""
        if not isinstance(group, str):
            place = {id_: row for row, id_ in enumerate(ids)}
            pairs = [
                (place[name], found.row)
                for found in group
                for name in [next((name for name in _names(table, found) if name in place), None)]
                if name is not None
            ]
            found_rows = np.array(pairs, dtype=np.intp).reshape(-1, 2)
            return found_rows[:, 0], found_rows[:, 1]
        # A market's rows mostly come in the order of the last time.
        last = self._orders.get((group, spec.call))
        if last is None or last[0] is not table or last[1] != ids:
            place = {id_: row for row, id_ in enumerate(ids)}
            names = zip(table.columns["id"], table.columns["alias"], strict=True)
            rows_of = [place.get(id_, place.get(alias, -1) if alias else -1) for id_, alias in names]
            listed = [row for row in table.of(group, active=True) if rows_of[row] >= 0]
            body_rows = np.array([rows_of[row] for row in listed], dtype=np.intp)
            last = self._orders[group, spec.call] = (table, ids, body_rows, np.array(listed, dtype=np.intp))
            self._look_for_news(home, table, ids)
        return last[2], last[3]

    def _look_for_news(self, home: Section, table: Listings, ids: Sequence[str]) -> None:
        """Read the instruments again where tickers name some that they lack; until then those are left out."""
        strangers = self._strangers.setdefault(home, set())
        news = set(ids) - table.known - strangers
        if not news or clock.is_recorded():
            return
        # What the list does not name even when it is new is no instrument: an index, say.
        strangers |= news
        shown = ", ".join(sorted(news)[:5])
        log.info("%s: %d not in the list of instruments yet, left out: %s", self._route.exchange, len(news), shown)
        self._start_load(home)

    def _described(self, home: Section, table: Listings, columns: Columns) -> Columns:
        """Bring rows to base units and say which instrument each is."""
        rows = columns.pop("row")
        numbers_of = table.arrays
        done = to_base(
            columns, self.markets[home].units, numbers_of["contract_size"][rows], numbers_of["multiplier"][rows]
        )
        for name in (*_IDENTITY, "fee_source", "instrument", "group"):
            done[name] = Text(table.words[name], rows)
        done["taker_bps"] = numbers_of["taker_bps"][rows]
        return done

    async def books(self, instruments: Sequence[Instrument]) -> Columns:
        """Return both sides of each instrument's book."""
        if len(instruments) == 1:
            return await self._book(instruments[0])
        return concat(await asyncio.gather(*(self._book(instrument) for instrument in instruments)), "books")

    async def _book(self, instrument: Instrument) -> Columns:
        """Return one book; where it was cut before it shows enough, the deeper one if that can be had in time."""
        spec = self._market(instrument).book
        book = await self._book_of(instrument, spec.call, spec.depths[0] if spec.depths else None)
        if len(spec.depths) < 2 or instrument.quote not in STABLE or not _ends_early(book):
            return book
        try:
            deeper = await self._book_of(instrument, spec.deep_call or spec.call, spec.depths[-1])
        except ConnectorError as exc:
            log.info("%s: the deeper book of %s was not to be had: %s", self._route.exchange, instrument, exc)
            return book
        # A venue that sends no more than before has cut this one too, only at another depth than was asked for.
        return deeper if len(deeper["price"]) > len(book["price"]) else book

    async def _book_of(self, instrument: Instrument, call: str, depth: int | None) -> Columns:
        spec = self._market(instrument).book
        table, found, response = await self._asked(instrument, call, _book_params(spec, depth), spec.id)
        with self._reading(self.homes[instrument.section], response):
            columns = book_columns(response.body, spec, found.id, depth)
        return self._single(table, found, response, spec.source, columns, to_base)

    async def trades(self, instruments: Sequence[Instrument]) -> Columns:
        """Return the latest public trades of each instrument, oldest first."""
        return concat(await asyncio.gather(*(self._tape(instrument) for instrument in instruments)), "trades")

    async def older_trades(self, instrument: Instrument, page: Columns, since_ms: float) -> Columns:
        """Return the trades up to the first one of a page, that one included; empty where the venue has no pages."""
        del since_ms
        spec, first = self._market(instrument).trades, int(np.argmin(numbers(page, "exchange_time")))
        id_, time_ms = texts(page, "trade_id")[first], int(numbers(page, "exchange_time")[first])
        if spec.older is None or (spec.older[2] == "id" and not id_.isdigit()):
            return {}
        name, more, kind = spec.older
        params = {name: str(int(id_) + more) if kind == "id" else iso_ms(time_ms + more)}
        call, limit = spec.older_call or (spec.call, None)
        return await self._tape(instrument, {**params, **dict([limit] if limit else [])}, call)

    async def _tape(self, instrument: Instrument, more: Mapping[str, Any] | None = None, call: str = "") -> Columns:
        spec = self._market(instrument).trades
        params = {**spec.params, **dict([spec.limit] if spec.limit else []), **(more or {})}
        table, found, response = await self._asked(instrument, call or spec.call, params, spec.id)
        with self._reading(self.homes[instrument.section], response):
            columns = trade_columns(response.body, spec, found.id)
        done = self._single(table, found, response, "trade", columns, trades_to_base)
        return done | {"flags": Text.same("bundled" if spec.bundled else "", len(done["price"]))}

    async def open_interest(self, instruments: Sequence[Instrument]) -> Columns:
        """Return the open interest of each listed contract, in base and in quote units, every contract once.

        A list whose request fails is missing; where all fail the first failure is raised.
        """
        return await self._by_list(instruments, self._interest_of, "open_interest")

    async def market_interest(self, sections: Sequence[Section]) -> Columns:
        """Return the open interest of all active contracts, one request per list; some venues have none for all."""
        wanted = [section for section in sections if section in self.homes and section != "spot"]
        single = [one for one in wanted if (spec := self.markets[self.homes[one]].interest) is None or spec.each]
        if single and len(single) == len(wanted):
            raise NotListed("it tells of one contract at a time; name symbols", venue=self._route.venue)
        return await _all_of(
            [self._interest_of(self.homes[one], one) for one in wanted if one not in single], "open_interest"
        )

    async def _by_list(
        self,
        instruments: Sequence[Instrument],
        ask: Callable[[Section, list[Instrument]], Coroutine[Any, Any, Columns]],
        kind: str,
    ) -> Columns:
        """Ask about the instruments of each list of the venue together."""
        homes = list(dict.fromkeys(self.homes[i.section] for i in instruments if i.section in self.homes))
        return await _all_of(
            [ask(home, [i for i in instruments if self.homes.get(i.section) == home]) for home in homes], kind
        )

    def _wanted(self, table: Listings, asked: Section | list[Instrument]) -> Wanted:
        """Return the listed ones of what is asked for; a section where it has active rows, else nothing."""
        if isinstance(asked, str):
            return asked if table.of(asked, active=True) else []
        listed = [found for found in (self._listed(table, i) for i in asked) if found is not None]
        self._touched.update(name for found in listed for name in _names(table, found))
        return listed

    async def _interest_of(self, home: Section, asked: Section | list[Instrument]) -> Columns:
        spec = self.markets[home].interest
        table = await self._listings_of(home, refresh=False)
        listed = self._wanted(table, asked)
        if spec is None or not listed:
            return {}
        wanted: list[tuple[TickerMap, Wanted]] = [(spec, group) for group in _groups(spec, listed)]
        wanted += [(priced, listed) for priced in self._interest_prices(home)]
        answers = await settled([self._ticker_rows(home, table, *question) for question in wanted])
        failed = [answer for answer in answers if isinstance(answer, ConnectorError)]
        parts = [answer for answer in answers if not isinstance(answer, ConnectorError)]
        if not any("oi" in part for part in parts):
            raise failed[0]
        kept = {"row", "exchange_time", "received_time", "response_id", "time_source", "mark", "last"}
        kept |= {"oi", "oi_single", "oi_base", "oi_quote"}
        joined = join_rows([{name: cells for name, cells in part.items() if name in kept} for part in parts])
        return self._open(home, table, take(joined, np.isfinite(numbers(joined, "oi"))))

    def _interest_prices(self, home: Section) -> list[TickerMap]:
        """Return whose prices say the other unit of an open interest, where its endpoint has neither."""
        spec = self.markets[home].interest
        other = "oi_base" if counts_quote(self.markets[home].units.size) else "oi_quote"
        if spec is None or spec.fields.keys() & {"mark", other}:
            return []
        return [priced for priced in self.markets[home].tickers if "last" in priced.fields]

    async def funding(self, instruments: Sequence[Instrument]) -> Columns:
        """Return the funding of each listed perpetual, a fraction per its own interval.

        A list whose request fails is missing; where all fail the first failure is raised.
        """
        perpetuals = [one for one in instruments if one.section in PERPETUAL]
        return await self._by_list(perpetuals, self._funding_of, "funding")

    async def market_funding(self, sections: Sequence[Section]) -> Columns:
        """Return the funding of all active perpetuals, one request per list."""
        wanted = [section for section in sections if section in self.homes and section in PERPETUAL]
        return await _all_of([self._funding_of(self.homes[one], one) for one in wanted], "funding")

    async def _funding_of(self, home: Section, asked: Section | list[Instrument]) -> Columns:
        spec = self.markets[home].funding
        if spec is None:
            raise NotListed("it publishes no funding of these", venue=self._route.venue)
        table = await self._listings_of(home, refresh=False)
        wanted = self._wanted(table, asked)
        if not wanted:
            return {}
        rates = spec.of(whole=isinstance(wanted, str))
        questions: list[Coroutine[Any, Any, Any]] = [
            self._ticker_rows(home, table, rates, group) for group in _groups(rates, wanted)
        ]
        *answers, hours = await settled([*questions, self._interval_hours(home, self._intervals_of(home, rates))])
        parts = [answer for answer in answers if not isinstance(answer, ConnectorError)]
        if not parts:
            raise cast("ConnectorError", answers[0])
        joined = join_rows(parts)
        joined = take(joined, np.isfinite(numbers(joined, "rate")))
        known = hours if isinstance(hours, dict) else None
        return self._funded(home, table, joined, spec, known)

    def _intervals_of(self, home: Section, rates: TickerMap) -> TickerMap | None:
        """Return the list that says how far the settlements of rates are apart; None where they say so themselves."""
        spec = self.markets[home].funding
        return None if spec is None or {"after_time", "interval_hours"} & set(rates.fields) else spec.intervals

    def _intervals_known(self, home: Section) -> bool:
        kept = self._intervals.get(home)
        return kept is not None and kept[0] == clock.epoch() and clock.monotonic() - kept[1] <= INTERVALS_FRESH_S

    async def _interval_hours(self, home: Section, listed: TickerMap | None) -> dict[str, float]:
        """Return the intervals that the venue lists, by id; they are kept for a few minutes."""
        if listed is None:
            return {}
        if not self._intervals_known(home):
            response = await self._call(home, listed.call, dict(listed.params), (listed.rows, listed.id))
            with self._reading(home, response):
                columns = ticker_columns(response.body, listed)
            hours = dict(zip(columns["id"], columns["interval_hours"].tolist(), strict=True))
            self._intervals[home] = (clock.epoch(), clock.monotonic(), hours)
        return self._intervals[home][2]

    def _funded(
        self, home: Section, table: Listings, columns: Columns, spec: FundingMap, listed: dict[str, float] | None
    ) -> Columns:
        """Say what each rate is of and for how long; where the list of intervals is missing, an interval is too."""
        rows, scales = columns.pop("row"), (table.arrays[name] for name in ("contract_size", "multiplier"))
        count, ids = len(rows), table.columns["id"]
        # A time of 0 is none.
        coming, after = (np.where(times > 0, times, np.nan) for times in (
            numbers(columns, name) for name in ("next_time", "after_time")
        ))  # fmt: skip
        # Which is usual says nothing where the list of the others is missing.
        usual = [np.nan if listed is None else listed.get(ids[row], spec.hours) for row in rows.tolist()]
        if listed is None:
            columns["flags"] = Text.same("partial", count)
        hours = np.full(count, np.nan)
        for said in (np.array(usual, dtype=np.float64), (after - coming) / HOUR_MS, numbers(columns, "interval_hours")):
            hours = np.where(said > 0, said, hours)
        if "next_time" not in columns:
            interval_ms = hours * HOUR_MS
            coming = (np.floor(columns["received_time"] / interval_ms) + 1.0) * interval_ms
        columns.pop("after_time", None)
        columns |= {"interval_hours": hours, "next_time": coming}
        done = funding_to_rate(columns, self.markets[home].units, *(scale[rows] for scale in scales))
        done["rate_kind"] = Text.same("settled" if spec.settled else "predicted", count)
        return done | {name: Text(table.words[name], rows) for name in (*_IDENTITY, "instrument", "group")}

    def _open(self, home: Section, table: Listings, columns: Columns) -> Columns:
        """Bring open interest to base units and say which instrument each row is."""
        rows, scales = columns.pop("row"), (table.arrays[name] for name in ("contract_size", "multiplier"))
        done = interest_to_base(columns, self.markets[home].units, *(scale[rows] for scale in scales))
        return done | {name: Text(table.words[name], rows) for name in (*_IDENTITY, "instrument", "group")}

    async def _asked(
        self,
        instrument: Instrument,
        call: str,
        params: dict[str, Any],
        id_name: str,
        named: Callable[[str], str] = str,
        *,
        once: bool = False,
    ) -> tuple[Listings, Listed, Response]:
        """Ask about one listed instrument, whose id is `named` as the parameter takes it."""
        home = self.homes.get(instrument.section)
        table = None if home is None else await self._listings_of(home, refresh=False)
        found = None if table is None else self._listed(table, instrument)
        if home is None or table is None or found is None:
            raise NotListed(f"{instrument.symbol} is not listed", venue=self._route.venue)
        self._touched.update(_names(table, found))
        return table, found, await self._call(home, call, {**params, id_name: named(found.id)}, once=once)

    def _single(
        self,
        table: Listings,
        found: Listed,
        response: Response,
        time_source: str,
        columns: Columns,
        convert: Callable[..., Columns],
    ) -> Columns:
        """Bring rows of one instrument to base units and say what they are."""
        count, static, row = len(columns["price"]), table.columns, found.row
        scales = (np.full(count, float(static[name][row])) for name in ("contract_size", "multiplier"))
        done = convert(columns, self._market(found.instrument).units, *scales)
        done["received_time"] = np.full(count, float(response.received_at))
        same = {"response_id": response.id, "time_source": time_source, "group": found.instrument.group}
        same |= {"instrument": found.instrument.symbol, **{name: static[name][row] for name in _IDENTITY}}
        return done | {name: Text.same(cell, count) for name, cell in same.items()}

    async def server_time(self) -> ServerTime | None:
        """Return the venue's clock reading."""
        spec = self.time_map
        if spec is None:
            return None
        response, value = await self._value(spec)
        resolution = spec.scale if spec.scale > 1 else 0.0
        return ServerTime(number(value) * spec.scale, response.sent_at, response.received_at, resolution)

    async def status(self) -> str:
        """Return "ok", or the venue's own word for why not."""
        spec = self.status_map
        if spec is None:
            return "ok"
        _, value = await self._value(spec)
        notices = [dig(row, spec.each) for row in value] if spec.each and isinstance(value, list) else [value]
        bad = [str(word) for word in notices if word not in {None, ""} and str(word) not in spec.good]
        return scrub(_short(bad[0]), self._route.secrets) if bad else "ok"

    async def _value(self, spec: ValueMap) -> tuple[Response, Any]:
        home = self._home_of(spec.call)
        response = await self._call(home, spec.call, {})
        with self._reading(home, response):
            data = decode(response.body)
            check_envelope(data, spec.ok)
        return response, dig(data, spec.value)

    def hosts(self) -> Sequence[str]:
        """Return the hosts that market data come from."""
        return tuple(self.probes)

    async def reach(self, host: str) -> None:
        """Ask one host for something small; what it says does not matter unless it is a refusal."""
        call, params = self.probes[host]
        home = self._home_of(call)
        response = await self._call(home, call, dict(params))
        with self._reading(home, response):
            recognise(self._client(home), response, words=self.words)

    async def addresses(self, asset: str) -> Columns:
        """Return the contracts behind an asset; the venue's list of all currencies is kept for an hour."""
        spec, kept = self.asset_map, self._addresses
        if spec is None or not spec.network:
            raise NotListed("it publishes no contract addresses", venue=self._route.venue)
        enough_s = ADDRESSES_FRESH_S if kept is not None and asset in kept[2]["asset"] else REFRESH_S
        found = await self._currencies([asset], enough_s)
        return {name: found[name] for name in ("code", "asset", "network", "address", "source")}

    async def networks(self, assets: Sequence[str]) -> Columns:
        """Return whether each network of some assets is open, and what it costs; the list is kept for a minute."""
        if self.asset_map is None:
            raise NotListed("it does not tell which networks are open", venue=self._route.venue)
        found = await self._currencies(assets, NETWORKS_FRESH_S)
        told, contracts = found.pop("network"), found.pop("address")
        source = "account" if self.asset_map.signed else "public"
        silent = "" if self.asset_map.network else "names no network, and tells only what is shut on all of them"
        return {
            **found, "venue_network": told, "network": list(map(network_of, told)), "contract": contracts,
            "source": [source] * len(told), "reason": [silent] * len(told),
        }  # fmt: skip

    async def _currencies(self, assets: Sequence[str], fresh_s: float) -> Columns:
        """Return the rows of some assets in the venue's list of currencies, which is asked for where it is old."""
        kept, epoch = self._addresses, clock.epoch()
        if kept is None or kept[0] != epoch or clock.monotonic() - kept[1] > fresh_s:
            kept = self._addresses = (epoch, clock.monotonic(), await self._asked_currencies())
        wanted = set(assets)
        found = take(kept[2], np.array([name in wanted for name in kept[2]["asset"]], dtype=bool))
        if not length(found):
            named = ", ".join(assets)
            raise NotListed(f"its list of currencies names no network of {named}", venue=self._route.venue)
        self._touched.update(found["code"])
        return found

    async def _asked_currencies(self) -> Columns:
        spec, home = self.asset_map, self._account_home()
        assert spec is not None  # noqa: S101  who has none has been refused
        response = await self._call(home, spec.call, {}, (spec.rows, spec.code), signed=spec.signed)
        with self._reading(home, response, counted=not spec.signed):
            found = network_columns(response.body, spec, self._route.venue, self._client(home).commonCurrencies)
        count = len(found["code"])
        source = f"{'signed' if spec.signed else 'public'}: {response.path}"
        return found | {
            "source": [source] * count, "response_id": [response.id] * count,
            "received_time": np.full(count, float(response.received_at)),
        }  # fmt: skip

    async def learn_fees(self) -> Mapping[str, str]:
        """Ask what the account pays, and have it stand in place of the published fees for the rest of the session.

        Returns why that is not known, by market; there the published fees stay, and say so.
        """
        epoch = clock.epoch()
        homes = [home for home, market in self.markets.items() if market.account is not None]
        answers = await settled([self._asked_fees(home) for home in homes])
        if epoch != clock.epoch():
            return {}
        self._fees = (epoch, dict(zip(homes, answers, strict=True)))
        for home in homes:
            if home in self._listings:
                self._listings[home] = self._charged(home, self._published[home])
        return {home: answer.drop.text for home, answer in self._fees[1].items() if isinstance(answer, ConnectorError)}

    async def _asked_fees(self, home: Section) -> AccountFees:
        spec = self.markets[home].account
        assert spec is not None  # noqa: S101  chosen for having one
        response = await self._call(home, spec.call, dict(spec.params), signed=True)
        with self._reading(home, response, counted=False):
            return AccountFees(f"account: {response.path}", account_fees(response.body, spec), bool(spec.quotes))

    def _charged(self, home: Section, found: Listings) -> Listings:
        """Return instruments with the account's fees, where they are known."""
        told = self._fees[1].get(home) if self._fees[0] == clock.epoch() else None
        if told is None:
            return found
        columns = dict(found.columns)
        if isinstance(told, ConnectorError):
            columns["fee_source"] = [
                f"{text}; the account's is unknown: {told.reason}" for text in columns["fee_source"]
            ]
            return Listings(columns, found.left_out)
        names = columns["quote" if told.by_quote else "id"]
        fees = [told.fees.get(name) for name in names]
        for place, name in enumerate(("taker_bps", "maker_bps")):
            columns[name] = [old if fee is None else fee[place] for old, fee in zip(columns[name], fees, strict=True)]
        published = zip(columns["fee_source"], fees, strict=True)
        columns["fee_source"] = [old if fee is None else told.source for old, fee in published]
        return Listings(columns, found.left_out)

    async def permissions(self) -> Mapping[str, bool]:
        """Return what the configured key may do; HTX and Kraken tell nobody by one request that only reads."""
        spec = self.key_map
        if spec is None:
            raise NotListed("it does not tell what a key may do", venue=self._route.venue)
        home = self._account_home()
        response = await self._call(home, spec.call, {}, signed=True)
        with self._reading(home, response, counted=False):
            return key_rights(response.body, spec)

    # --- what would be asked

    def requests(self, question: str, instruments: Sequence[Instrument], legs: Sequence[Instrument] = ()) -> list[str]:
        """Return the addresses that a question would ask now, in their order; nothing is asked."""
        if question == "clock":
            clock_of = self.time_map
            return [] if clock_of is None else [self._address(self._home_of(clock_of.call), clock_of.call, {})]
        homes = list(dict.fromkeys(self.homes[i.section] for i in instruments if i.section in self.homes))
        lists = [(home, self.markets[home].instruments) for home in homes if not self._at_hand(home)]
        known = [self._address(home, spec.call, dict(spec.params)) for home, spec in lists]
        found: list[str] = []
        if question == "tickers":
            specs = [(home, spec) for home in homes for spec in self.markets[home].tickers]
            found += [self._address(home, *_ticker_question(spec, ())) for home, spec in specs]
        elif question in CONTRACT_QUESTIONS:
            found += [url for home in homes for url in self._about_contracts(question, home, instruments)]
        elif question != "instruments":
            mine = [one for one in instruments if one.section in self.homes]
            found += [url for one in mine for url in self._about(question, one, legs)]
        if question not in CONTRACT_QUESTIONS:
            # A list of contracts that says how long their intervals are is asked for again, for these.
            found = [url for url in found if url not in known]
        return list(dict.fromkeys(known)) + list(dict.fromkeys(found))

    def _about(self, question: str, instrument: Instrument, legs: Sequence[Instrument] = ()) -> list[str]:
        """Return what is asked about one instrument; one that is not known yet is named by its pair."""
        home, market = self.homes[instrument.section], self._market(instrument)
        table = self._listings.get(home)
        listed = None if table is None else self._listed(table, instrument)
        id_ = f"{instrument.base}{instrument.quote}" if listed is None else listed.id
        if question == "ticker":
            extra = [one.base for one in legs] if table is None else [
                one.id for one in self._leg_rows(home, table, tuple(legs)) if one.id != id_
            ]  # fmt: skip
            asked = [(spec, [id_, *extra] if spec.quotes else [id_]) for spec in market.tickers]
            return [self._address(home, *_ticker_question(spec, ids)) for spec, ids in asked]
        if question == "order_book":
            depth = market.book.depths[0] if market.book.depths else None
            return [self._address(home, market.book.call, {**_book_params(market.book, depth), market.book.id: id_})]
        tape = market.trades
        params = {**tape.params, **dict([tape.limit] if tape.limit else []), tape.id: id_}
        return [self._address(home, tape.call, params)]

    def _about_contracts(self, question: str, home: Section, instruments: Sequence[Instrument]) -> list[str]:
        """Return what is asked about some contracts of one list, which are asked for together where that can be.

        A contract without a base stands for all that are active.
        """
        market, table = self.markets[home], self._listings.get(home)
        asked = [one for one in instruments if self.homes.get(one.section) == home]
        if question == "funding_rates":
            asked = [one for one in asked if one.section in PERPETUAL]
        named = [one for one in asked if one.base]
        whole = [one for one in asked if not one.base and (table is None or table.of(one.section, active=True))]
        if not named and not whole:
            return []
        known = [None if table is None else self._listed(table, one) for one in named]
        ids = [f"{one.base}{one.quote}" if it is None else it.id for one, it in zip(named, known, strict=True)]
        if question == "long_short":
            spec = market.ratios
            calls = [] if spec is None else [(spec, id_, call) for id_ in ids for call in spec.calls]
            return [self._address(home, call, {**one.params, one.id: one.named(id_)}) for one, id_, call in calls]
        specs: Sequence[TickerMap] = ()
        if question == "open_interest" and market.interest is not None and not (whole and market.interest.each):
            specs = (market.interest, *self._interest_prices(home))
        elif question == "funding_rates" and market.funding is not None:
            specs = (market.funding.of(whole=bool(whole)),)
        groups = [(spec, group) for spec in specs for group in ([[id_] for id_ in ids] if spec.each and ids else [ids])]
        found = [self._address(home, *_ticker_question(spec, group)) for spec, group in groups]
        listed = self._intervals_of(home, specs[0]) if question == "funding_rates" and specs else None
        if listed is not None and not self._intervals_known(home):
            found.append(self._address(home, listed.call, dict(listed.params)))
        return found

    def _at_hand(self, home: Section) -> bool:
        """Say whether a list of instruments is in memory, or fresh on disk, from where it is taken."""
        return home in self._listings or self._restored(home)

    def _address(self, home: Section, method: str, params: dict[str, Any]) -> str:
        """Return the address of an implicit ccxt method's request, as ccxt writes it."""
        client = self._client(home)
        key = (client.id, method, *params.items())
        if key not in self._urls:
            token = _addressing.set(True)
            try:
                _implicit(client, method, params).send(None)  # nothing is awaited before the request
            except _Address as found:
                if len(self._urls) >= MOST_URLS:
                    return str(found)
                self._urls[key] = str(found)
            finally:
                _addressing.reset(token)
        return self._urls[key]

    # --- plumbing

    def _home_of(self, call: str) -> Section:
        """Return the market whose ccxt class has an implicit method."""
        homes = tuple(self.markets)
        return next((home for home in reversed(homes) if hasattr(self._client(home), call)), homes[0])

    def _account_home(self) -> Section:
        """Return the market whose ccxt class knows what belongs to no market."""
        return "spot" if "spot" in self.markets else next(iter(self.markets))

    def _market(self, instrument: Instrument) -> Market:
        """Return where the answers about an instrument stand."""
        home = self.homes.get(instrument.section)
        if home is None:
            raise NotListed(f"{instrument.symbol} is not listed", venue=self._route.venue)
        return self.markets[home]

    @staticmethod
    def _listed(table: Listings, instrument: Instrument) -> Listed | None:
        row = table.find(instrument)
        return None if row is None else table.listed(row)

    def client(self, section: Section | None = None) -> ReadOnly:
        """Return the ccxt object of a section, of the first one by default, to read with: keyless, through the seam."""
        home = next(iter(self.markets)) if section is None else self.homes.get(section)
        if home is None:
            raise NotListed(f"{section} markets are not offered here", venue=self._route.venue)
        return ReadOnly(self._client(home, parsed=True))

    def _client(self, home: Section, *, parsed: bool = False) -> Any:
        """Return the keyless ccxt object of a market: a wrong key changes nothing about market data.

        Our own requests need no answer that ccxt has read; `parsed` is for who calls its methods.
        """
        name = self.markets[home].client
        # Markets that were read outside of a recording are nothing to one in it.
        key = (name, clock.epoch() if parsed else None)
        client = self._clients.get(key)
        if client is None:
            options = dict(self.config.options) if self.config is not None else {}
            client = self._clients[key] = _seamed(name)({"enableRateLimit": False, "options": options})
            client.xex_parsed = parsed
            if parsed:
                client.xex_shelf = self._shelf(client.id, options)
            self._equipped(client, self._route)
        return client

    def _shelf(self, name: str, options: dict[str, Any]) -> Shelf:
        """Return where the markets of a ccxt class are kept: they depend on the options and the address as well."""
        route, key = self._route, key_of(f"ccxt-{name}", self._route.base_url, options)
        return Shelf(self.cache, key, import_ccxt().__version__, route.exchange, route.secrets)

    def _keyed(self, home: Section) -> Any:
        """Return a ccxt object with the configured keys, for one question that needs them.

        None is kept: keys may change, and nothing that could sign is within reach. Raises `AuthRejected` without keys.
        """
        if clock.is_replayed():
            raise NotRecorded("what a key is needed for is never recorded", venue=self._route.venue)
        config, base = self.config, _seamed(self.markets[home].client)
        given = {"apiKey": config.api_key, "secret": config.secret_key, "password": config.passphrase} if config else {}
        keys = {name: key.get_secret_value() for name, key in given.items() if key is not None}
        skew = {"timeDifference": -round(self._route.state.skew_ms)}
        client = base({**keys, "enableRateLimit": False, "options": {**skew, **(config.options if config else {})}})
        if missing := [name for name, needed in client.requiredCredentials.items() if needed and not keys.get(name)]:
            words = ", ".join(_FIELDS.get(name, name) for name in missing)
            raise AuthRejected(
                f"needs a key, one that may only read will do; not set: {words}", venue=self._route.venue
            )
        # Who changes a key while running changes what must not be shown.
        secrets = (*self._route.secrets, *keys.values())
        return self._equipped(client, replace(self._route, secrets=secrets))

    def _equipped(self, client: Any, route: Route) -> Any:
        """Return a ccxt object whose bytes come through the seam."""
        client.enableLastHttpResponse = client.enableLastJsonResponse = False
        client.xex_transport, client.xex_route, client.xex_words = self._transport, route, self.words
        return client

    async def _call(
        self,
        home: Section,
        method: str,
        params: dict[str, Any],
        rows: tuple[str, str] | None = None,
        *,
        signed: bool = False,
        once: bool = False,
    ) -> Response:
        """Make the one request of an implicit ccxt method, or of a path it has none for, and return it as it came.

        `rows` says where a list of instruments stands in the body and what names them, so that a recording can be
        cut down to those that were asked for. What is asked `once`, as any time is, is not worth remembering.
        """
        token = _raw.set(None)
        trim = None if rows is None else partial(trimmed, path=rows[0], id_path=rows[1], keep=self._touched)
        _trim.set(trim)
        client = self._keyed(home) if signed else self._client(home)
        key = (client.id, method, *params.items())
        url = None if signed else self._urls.get(key)
        try:
            with translated(self._route.venue, client.xex_route.secrets):
                if url is None:
                    await _implicit(client, method, params)
                else:
                    # The same question without a key has the same address: ccxt need not write it again.
                    await client.fetch(url)
            response = _raw.get()
            if response is not None and response.url and not (signed or once) and len(self._urls) < MOST_URLS:
                self._urls[key] = response.url
        except RateLimited:
            # The seam has heard the statuses itself; what a body says in words it has not.
            if (said := _raw.get()) is not None:
                self._transport.hush(client.xex_route, said)
            raise
        finally:
            _raw.reset(token)
        if response is None:
            raise BadPayload("no answer came through", venue=self._route.venue)
        return response

    @contextmanager
    def _reading(self, home: Section, response: Response, *, counted: bool = True) -> Iterator[None]:
        """Translate what goes wrong while a body is read; an error body is recognised in the venue's words.

        What is wrong with a key is not `counted` as a failure of the venue.
        """
        try:
            with translated(self._route.venue, self._route.secrets):
                try:
                    yield
                except ErrorBody:
                    recognise(self._client(home), response, words=self.words)
                    raise
        except ConnectorError as exc:
            if counted or not isinstance(exc, AuthRejected):
                self._route.state.failed(exc, response.id)
            self._transport.forget(response)
            if isinstance(exc, RateLimited):
                self._transport.hush(self._route, response)
            raise


class HolderRatios(CcxtConnector):
    """A venue that tells how its customers are divided into long and short."""

    async def long_short(self, instruments: Sequence[Instrument]) -> Columns:
        """Return the latest ratio of long to short of each instrument, a row for each population.

        A population whose request fails is missing, which the others' flag `partial` says; where all fail the first
        failure is raised.
        """
        asked = [
            self._ratio(one, spec, call)
            for one in instruments
            if (spec := self._market(one).ratios) is not None
            for call in spec.calls
        ]
        if instruments and not asked:
            raise NotListed("it publishes no long/short ratios of these", venue=self._route.venue)
        rows = await _all_of(asked, "long_short")
        if length(rows) < len(asked):
            rows["flags"] = [",".join(filter(None, (flag, "partial"))) for flag in texts(rows, "flags")]
        return rows

    async def _ratio(self, instrument: Instrument, spec: RatioMap, call: str) -> Columns:
        table, found, response = await self._asked(instrument, call, dict(spec.params), spec.id, spec.named)
        with self._reading(self.homes[instrument.section], response):
            columns = ratio_columns(response.body, spec)
        columns["received_time"] = np.array([float(response.received_at)])
        same = {"population": spec.calls[call], "unit_rule": self._market(instrument).units.ratio_rule}
        same |= {"response_id": response.id, "time_source": "server", "flags": spec.flags}
        same |= {"instrument": found.instrument.symbol, "group": found.instrument.group}
        same |= {name: table.columns[name][found.row] for name in _IDENTITY}
        return columns | {name: Text.same(cell, 1) for name, cell in same.items()}


class SpotCurrencies(CcxtConnector):
    """A venue whose spot books trade currencies against one another."""

    currency_pairs: ClassVar[Sequence[tuple[str, str]]] = ()

    def requests(self, question: str, instruments: Sequence[Instrument], legs: Sequence[Instrument] = ()) -> list[str]:
        """Return the addresses that a question would ask now; of "rates" all tickers are one, each book is another."""
        if question != "rates":
            return super().requests(question, instruments, legs)
        mine = [one for one in instruments if (one.base, one.quote) in self.currency_pairs]
        found = super().requests("instruments", mine)
        if mine:
            spec = self.markets["spot"].tickers[0]
            found.append(self._address("spot", *_ticker_question(spec, [f"{one.base}{one.quote}" for one in mine])))
        return [*found, *(url for one in mine for url in self._about("order_book", one))]

    _last_pairs: tuple[Listings, Any, Any, list[Instrument], list[Instrument]] | None = None

    async def currency_legs(
        self, pairs: Sequence[tuple[str, str]], bases: Sequence[str], booked: Sequence[tuple[str, str]]
    ) -> tuple[Columns, Columns]:
        """Return the spot tickers that rates need, in one request, and the books of the direct pairs."""
        try:
            return await self._legs_of(await self.listings(["spot"]), pairs, bases, booked)
        except (NotListed, VenueRefused):
            # One pair that has ended makes the venue refuse all of them.
            return await self._legs_of(await self.listings(["spot"], refresh=True), pairs, bases, booked)

    async def _legs_of(
        self,
        table: Listings,
        pairs: Sequence[tuple[str, str]],
        bases: Sequence[str],
        booked: Sequence[tuple[str, str]],
    ) -> tuple[Columns, Columns]:
        direct, ratios = self._spot_legs(table, tuple(pairs), tuple(bases))
        books_of = [instrument for instrument in direct if (instrument.base, instrument.quote) in booked]
        asked = [self.tickers([*direct, *ratios]), self.books(books_of)]
        tickers, books = await settled(asked, min(LEG_BOOKS_S, remaining() / 2))
        if isinstance(tickers, ConnectorError):
            raise tickers
        return tickers, {} if isinstance(books, ConnectorError) else books

    def _spot_legs(
        self, table: Listings, pairs: tuple[tuple[str, str], ...], bases: tuple[str, ...]
    ) -> tuple[list[Instrument], list[Instrument]]:
        """Return the listed direct pairs and ratios; the same ones are asked for again and again."""
        last = self._last_pairs
        if last is None or last[0] is not table or last[1:3] != (pairs, bases):
            wanted = [Instrument(base, quote, "spot") for base, quote in pairs if (base, quote) in self.currency_pairs]
            quotes = sorted({currency for pair in pairs for currency in pair})
            ratios = [Instrument(base, quote, "spot") for base in bases for quote in quotes]
            listed = [[one for one in some if table.lists(one)] for some in (wanted, ratios)]
            last = self._last_pairs = (table, pairs, bases, listed[0], listed[1])
        return last[3], last[4]


Wanted = Section | Sequence[Listed]
"""Whose tickers are wanted: a whole section's, or those of some instruments."""


def _groups(spec: TickerMap, wanted: Wanted) -> list[Wanted]:
    """Return who is asked for together: each alone where the endpoint answers about a single id and no more."""
    return [[found] for found in wanted] if spec.each and not isinstance(wanted, str) else [wanted]


async def _all_of(questions: Sequence[Coroutine[Any, Any, Columns]], kind: str) -> Columns:
    """Return the rows of all that came, one below the other; where nothing came the first failure is raised."""
    answers = await settled(questions)
    parts = [answer for answer in answers if not isinstance(answer, ConnectorError)]
    if answers and not parts:
        raise cast("ConnectorError", answers[0])
    return concat(parts, kind)


def _sections(home: Section, market: Market) -> tuple[Section, ...]:
    """Return what a list holds: where its rows have expiries, the dated contracts of its kind as well."""
    if "expires" not in market.instruments.fields or market.instruments.perpetual is None:
        return (home,)
    return (home, section_of(kind_of(home), "dated"))


def _ticker_question(spec: TickerMap, ids: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return method and parameters that ask for the tickers of some ids, or of the whole market where none is given."""
    params = dict(spec.params)
    if spec.one and len(ids) == 1:
        params[spec.one] = ids[0]
        return spec.one_call or spec.call, params
    if spec.many and ids:
        params[spec.many] = msgspec.json.encode(list(ids)).decode() if spec.as_json else ",".join(ids)
    return spec.call, params


def _implicit(client: Any, call: str, params: dict[str, Any]) -> Coroutine[Any, Any, object]:
    """Ask by ccxt's implicit method, or, where `call` is an API and a path with a space between, as one would."""
    api, _, path = call.rpartition(" ")
    asked = client.request(path, api.split(), "GET", params) if api else getattr(client, call)(params)
    return cast("Coroutine[Any, Any, object]", asked)


def _book_params(spec: BookMap, depth: int | None) -> dict[str, Any]:
    return {**spec.params, **({spec.limit: depth} if spec.limit else {})}


def _names(table: Listings, found: Listed) -> list[str]:
    """Return the names under which a venue's answers may know an instrument."""
    alias = table.columns["alias"][found.row]
    return [found.id, alias] if alias else [found.id]


def join_rows(parts: Sequence[Columns]) -> Columns:
    """Join rows of several endpoints by `row`; the first part that has a cell provides it.

    Times and the response are those of the first part, which is the one that quotes.
    """
    if len(parts) == 1:
        return dict(parts[0])
    if all(np.array_equal(part["row"], parts[0]["row"]) for part in parts[1:]):
        return {name: values for part in reversed(parts) for name, values in part.items()}
    rows = np.unique(np.concatenate([part["row"] for part in parts]))
    joined: Columns = {}
    for part in parts:
        place = np.full(int(rows[-1]) + 1, -1, dtype=np.intp)
        place[part["row"]] = np.arange(len(part["row"]))
        at = place[rows]
        for name, values in part.items():
            cells = _picked(values, at)
            have = joined.get(name)
            joined[name] = cells if have is None else _filled(have, cells)
    joined["row"] = rows
    return joined


def _picked(values: Any, at: np.ndarray[Any, Any]) -> Any:
    if isinstance(values, np.ndarray):
        return np.where(at >= 0, values[at], np.nan)
    cells = values.tolist() if isinstance(values, Text) else values
    absent: Any = False if cells and isinstance(cells[0], bool) else ""
    return [cells[row] if row >= 0 else absent for row in at.tolist()]


def _filled(have: Any, cells: Any) -> Any:
    """Fill only what no earlier part had."""
    if isinstance(have, np.ndarray):
        return np.where(np.isnan(have), cells, have)
    return [old or new for old, new in zip(have, cells, strict=True)]


def _ends_early(book: Columns) -> bool:
    """Say whether a side was cut by the venue before it showed enough quote currency."""
    asks = np.array(texts(book, "side"), dtype=object) == "ask"
    worth = numbers(book, "price") * numbers(book, "size")
    return any(
        bool(flags(book, "censored")[side].any()) and float(worth[side].sum()) < COVERED for side in (asks, ~asks)
    )


def _seen(task: asyncio.Task[Any]) -> None:
    """Mark a failure as seen: whoever waited has it, and nobody may be waiting any more."""
    if not task.cancelled():
        task.exception()


__all__ = [
    "AssetMap",
    "CcxtConnector",
    "FeeMap",
    "FundingMap",
    "HolderRatios",
    "KeyMap",
    "RatioMap",
    "SpotCurrencies",
    "import_ccxt",
    "join_rows",
    "recognise",
    "translated",
]
