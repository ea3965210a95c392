"""One adapter for every venue that ccxt knows.

ccxt builds URLs, signs, and recognises errors; bytes come through the seam, and the venue's column maps read
them. The only module that imports ccxt.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from math import inf
from typing import Any, ClassVar, cast

import msgspec
import numpy as np

from xex.access.budgets import Limit
from xex.access.cache import MetadataCache
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
    NotListed,
    RateLimited,
    Restricted,
    TimedOut,
    VenueRefused,
)
from xex.model import clock
from xex.model.instruments import STABLE, Instrument, Kind, parse_symbol
from xex.model.listings import Listed, Listings
from xex.model.schema import Columns, Text, concat, flags, numbers, take, texts
from xex.model.units import to_base, trades_to_base
from xex_connectors.mapping import (
    ErrorBody,
    Market,
    TickerMap,
    ValueMap,
    book_columns,
    check_envelope,
    decode,
    dig,
    listings,
    number,
    ticker_columns,
    trade_columns,
    trimmed,
)

log = logging.getLogger("xex.access")

_trim: ContextVar[Callable[[bytes], bytes] | None] = ContextVar("xex_trim", default=None)

PAUSE_S = 2.0
"""How long a venue is left alone that says in a body, without a time, that it is asked too often."""

MOST_PAGES = 50
"""More pages of instruments than this are a venue that never ends, not a market."""

MOST_URLS = 1024
"""How many addresses are remembered: one per endpoint and instrument that is asked for alone."""

COVERED = 1_000_000.0
"""How much of the quote currency, on each side, a book should show before a deeper one is asked for."""

REFRESH_S = 60.0
"""How old a list from the venue must be before a miss is a reason to ask for it again."""

_IDENTITY = ("base", "quote", "settle", "kind")

# The raw response of the one request that an implicit ccxt method makes.
_raw: ContextVar[Response | None] = ContextVar("xex_raw", default=None)


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
        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            signed = self.apiKey is not None and self.apiKey in f"{url}{headers}"
            response = await self.xex_transport.send(
                self.xex_route, method, url, headers, body, signed=signed, trim=_trim.get()
            )
            _raw.set(response)
            if response.status != 200:
                recognise(self, response, url, method, self.xex_words)
            return {}

        async def close(self) -> None:
            """Nothing to close: the session is the seam's."""

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


class CcxtConnector(ExchangeConnector):
    """A venue whose facts a subclass states as data."""

    markets: ClassVar[Mapping[Kind, Market]] = {}
    time_map: ClassVar[ValueMap | None] = None
    status_map: ClassVar[ValueMap | None] = None
    limits: ClassVar[Sequence[Limit]] = ()
    words: ClassVar[Mapping[str, type[ConnectorError]]] = {}

    def __init__(self, config: ExchangeConfig | None = None) -> None:
        super().__init__(config)
        self.cache = MetadataCache(None)
        self._clients: dict[str, Any] = {}
        self._urls: dict[tuple[Any, ...], str] = {}
        self._listings: dict[Kind, Listings] = {}
        self._loads: dict[Kind, asyncio.Task[Listings]] = {}
        self._loaded_at: dict[Kind, float] = {}
        self._touched: dict[Kind, set[str]] = {kind: set() for kind in self.kinds}
        self._epoch = clock.epoch()
        self._last_legs: dict[Kind, tuple[Listings, tuple[Instrument, ...], list[Listed]]] = {}
        # Per endpoint: the listings and the ids of the last whole market, and which rows of both are the same.
        self._orders: dict[str, tuple[Listings, list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kinds = tuple(cls.markets)

    def bind(self, transport: Transport, route: Route) -> None:
        """Take the manager's seam."""
        super().bind(transport, route)
        self._clients.clear()
        self._urls.clear()
        self._loads.clear()

    async def connect(self) -> None:
        """Build the ccxt objects; nothing is asked of the venue yet."""
        for kind in self.kinds:
            self._client(kind)

    async def disconnect(self) -> None:
        """Stop metadata loads; the session is the manager's."""
        loads = [task for task in self._loads.values() if not task.done()]
        for task in loads:
            task.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        self._loads.clear()

    # --- instruments

    async def listings(self, kinds: Sequence[Kind], *, refresh: bool = False) -> Listings:
        """Return the instruments of these kinds, from memory, from disk while fresh, else from the venue.

        `refresh` asks the venue again unless it did so within the last minute.
        """
        mine = [kind for kind in kinds if kind in self.markets]
        if len(mine) == 1:
            return await self._listings_of(mine[0], refresh=refresh)
        return Listings.joined(await asyncio.gather(*(self._listings_of(kind, refresh=refresh) for kind in mine)))

    def known_listings(self, kind: Kind | None = None) -> Listings | None:
        """Return what is in memory already, of one market or of all; None where nothing is."""
        if kind is not None:
            return self._listings.get(kind)
        return Listings.joined(self._listings.values()) if self._listings else None

    async def _listings_of(self, kind: Kind, *, refresh: bool) -> Listings:
        if self._epoch != clock.epoch():
            # A recording must hold all that its replay will ask for, and a replay knows nothing else.
            self._forget()
        if refresh and clock.monotonic() - self._loaded_at.get(kind, -inf) < REFRESH_S:
            refresh = False
        if not refresh and kind in self._listings:
            return self._listings[kind]
        # Shielded and shared: one caller that gives up must not take the load from the others.
        load = self._loads.get(kind)
        if load is None or load.done():
            load = self._loads[kind] = asyncio.create_task(self._load(kind, refresh=refresh))
            load.add_done_callback(_seen)
        return await asyncio.shield(load)

    def _forget(self) -> None:
        self._epoch = clock.epoch()
        self._listings.clear()
        self._loads.clear()
        self._loaded_at.clear()
        for ids in self._touched.values():
            ids.clear()

    async def _load(self, kind: Kind, *, refresh: bool) -> Listings:
        from xex.access.deadline import until

        key, written_with = f"{self._route.venue}-{kind}", import_ccxt().__version__
        kept = None if self._route.base_url else self.cache.load(key, written_with)
        if kept is not None and kept[1] and not refresh:
            self._listings[kind] = kept[0]
            return kept[0]
        try:
            with until(None):
                found = await self._asked_listings(kind)
        except ConnectorError as exc:
            if kept is None:
                raise
            log.warning("%s: metadata from disk, the venue's own failed: %s", self._route.exchange, exc)
            found = kept[0]
        else:
            self._loaded_at[kind] = clock.monotonic()
            if not self._route.base_url:
                self.cache.save(key, written_with, found)
        self._listings[kind] = found
        return found

    async def _asked_listings(self, kind: Kind) -> Listings:
        """Ask for the instruments, page by page where the venue sends them so."""
        market, pages, params = self.markets[kind], [], dict(self.markets[kind].instruments.params)
        spec = market.instruments
        while True:
            response = await self._call(kind, spec.call, params, (spec.rows, spec.id))
            with self._reading(kind, response):
                pages.append(listings(response.body, market, kind, self._client(kind).commonCurrencies))
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
        kinds = [kind for kind in dict.fromkeys(i.kind for i in instruments) if kind in self.markets]

        def of(kind: Kind) -> Coroutine[Any, Any, Columns]:
            mine, extra = ([i for i in some if i.kind == kind] for some in (instruments, legs))
            return self._tickers_of(kind, mine, extra)

        if len(kinds) == 1:
            return await of(kinds[0])
        return concat(await asyncio.gather(*map(of, kinds)), "tickers")

    async def _tickers_of(self, kind: Kind, instruments: list[Instrument], legs: list[Instrument]) -> Columns:
        table = await self.listings([kind])
        listed = [found for found in (self._listed(table, i) for i in instruments) if found is not None]
        extra = self._leg_rows(kind, table, tuple(legs))
        self._touched[kind].update(found.id for found in (*listed, *extra))
        asked = {found.id for found in listed}
        extra = [found for found in extra if found.id not in asked]
        wanted = [(spec, [*listed, *extra] if spec.quotes else listed) for spec in self.markets[kind].tickers]
        return await self._merged(kind, table, [(spec, group) for spec, group in wanted if group])

    def _leg_rows(self, kind: Kind, table: Listings, legs: tuple[Instrument, ...]) -> list[Listed]:
        """Return which of the legs are listed; the same legs are asked for again and again."""
        if not legs:
            return []
        last = self._last_legs.get(kind)
        if last is None or last[0] is not table or last[1] != legs:
            found = [listed for listed in (self._listed(table, leg) for leg in legs) if listed is not None]
            last = self._last_legs[kind] = (table, legs, found)
        return last[2]

    async def market(self, kinds: Sequence[Kind]) -> Columns:
        """Return every active instrument's ticker, the whole market in one request per endpoint."""
        parts = []
        for kind in kinds:
            if kind in self.markets:
                table = await self.listings([kind])
                parts.append(await self._merged(kind, table, [(spec, None) for spec in self.markets[kind].tickers]))
        return concat(parts, "tickers")

    async def _merged(
        self, kind: Kind, table: Listings, wanted: Sequence[tuple[TickerMap, Sequence[Listed] | None]]
    ) -> Columns:
        """Ask the endpoints at once and join their rows by id; one that fails costs its own columns only."""
        if not wanted:
            return {}
        answers = await settled([self._ticker_rows(kind, table, spec, group) for spec, group in wanted])
        failed = [answer for answer in answers if isinstance(answer, ConnectorError)]
        parts = [answer for answer in answers if not isinstance(answer, ConnectorError)]
        if not parts:
            raise failed[0]
        merged = join_rows(parts)
        if failed:
            merged["flags"] = Text.same("partial", len(merged["row"]))
        return self._described(kind, table, merged)

    async def _ticker_rows(
        self, kind: Kind, table: Listings, spec: TickerMap, group: Sequence[Listed] | None
    ) -> Columns:
        params, call = dict(spec.params), spec.call
        if group is None and clock.is_recorded():
            self._touched[kind].update(table.columns["id"])
        if group is not None and spec.one and len(group) == 1:
            params[spec.one] = group[0].id
            call = spec.one_call or call
        elif group is not None and spec.many:
            ids = [found.id for found in group]
            params[spec.many] = msgspec.json.encode(ids).decode() if spec.as_json else ",".join(ids)
        response = await self._call(kind, call, params, (spec.rows, spec.id))
        with self._reading(kind, response):
            columns = ticker_columns(response.body, spec)
        return self._known(kind, table, columns, response, spec, group)

    def _known(
        self,
        kind: Kind,
        table: Listings,
        columns: Columns,
        response: Response,
        spec: TickerMap,
        group: Sequence[Listed] | None,
    ) -> Columns:
        """Keep the rows that were asked for, in the order of the listings, and date them.

        The column `row` of the result is the instrument's row in the listings.
        """
        ids = columns.pop("id")
        rows, listed = self._places(table, ids, spec, group)
        if not len(rows) and (group is not None or any(table.columns["active"])):
            wanted = "any listed instrument" if group is None else ", ".join(found.id for found in group[:3])
            raise BadPayload(f"no {kind} row for {wanted} in the answer", venue=self._route.venue)
        count = len(rows)
        # A single row that was asked for alone is there as it came.
        kept = columns if count == len(ids) == 1 else take(columns, rows)
        kept["row"] = listed
        kept["received_time"] = np.full(count, float(response.received_at))
        kept["response_id"] = Text.same(response.id, count)
        kept["time_source"] = Text.same(spec.source, count)
        return kept

    def _places(
        self, table: Listings, ids: list[str], spec: TickerMap, group: Sequence[Listed] | None
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return which rows of the body are kept, and the rows of the listings that they are."""
        if group is not None:
            place = {id_: row for row, id_ in enumerate(ids)}
            pairs = [(place[found.id], found.row) for found in group if found.id in place]
            found_rows = np.array(pairs, dtype=np.intp).reshape(-1, 2)
            return found_rows[:, 0], found_rows[:, 1]
        # A market's rows mostly come in the order of the last time.
        last = self._orders.get(spec.call)
        if last is None or last[0] is not table or last[1] != ids:
            place = {id_: row for row, id_ in enumerate(ids)}
            active = table.columns["active"]
            listed = [row for row, id_ in enumerate(table.columns["id"]) if active[row] and id_ in place]
            body_rows = np.array([place[table.columns["id"][row]] for row in listed], dtype=np.intp)
            last = self._orders[spec.call] = (table, ids, body_rows, np.array(listed, dtype=np.intp))
        return last[2], last[3]

    def _described(self, kind: Kind, table: Listings, columns: Columns) -> Columns:
        """Bring rows to base units and say which instrument each is."""
        rows = columns.pop("row")
        numbers_of = table.arrays
        done = to_base(
            columns, self.markets[kind].units, numbers_of["contract_size"][rows], numbers_of["multiplier"][rows]
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
        spec = self.markets[instrument.kind].book
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
        spec = self.markets[instrument.kind].book
        more = {spec.limit: depth} if spec.limit else {}
        table, found, response = await self._asked(instrument, call, {**spec.params, **more}, spec.id)
        with self._reading(instrument.kind, response):
            columns = book_columns(response.body, spec, found.id, depth)
        return self._single(table, found, response, spec.source, columns, to_base)

    async def trades(self, instruments: Sequence[Instrument]) -> Columns:
        """Return the latest public trades of each instrument, oldest first."""
        return concat(await asyncio.gather(*(self._tape(instrument) for instrument in instruments)), "trades")

    async def _tape(self, instrument: Instrument) -> Columns:
        spec = self.markets[instrument.kind].trades
        more = dict([spec.limit]) if spec.limit else {}
        table, found, response = await self._asked(instrument, spec.call, {**spec.params, **more}, spec.id)
        with self._reading(instrument.kind, response):
            columns = trade_columns(response.body, spec, found.id)
        done = self._single(table, found, response, "trade", columns, trades_to_base)
        return done | {"flags": Text.same("bundled" if spec.bundled else "", len(done["price"]))}

    async def _asked(
        self, instrument: Instrument, call: str, params: dict[str, Any], id_name: str
    ) -> tuple[Listings, Listed, Response]:
        """Ask about one listed instrument."""
        kind = instrument.kind
        table = await self.listings([kind])
        found = self._listed(table, instrument)
        if found is None:
            raise NotListed(f"{instrument.symbol} is not listed", venue=self._route.venue)
        self._touched[kind].add(found.id)
        return table, found, await self._call(kind, call, {**params, id_name: found.id})

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
        done = convert(columns, self.markets[found.instrument.kind].units, *scales)
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
        kind = next((kind for kind in reversed(self.kinds) if hasattr(self._client(kind), spec.call)), self.kinds[0])
        response = await self._call(kind, spec.call, {})
        with self._reading(kind, response):
            data = decode(response.body)
            check_envelope(data, spec.ok)
        return response, dig(data, spec.value)

    # --- plumbing

    @staticmethod
    def _listed(table: Listings, instrument: Instrument) -> Listed | None:
        row = table.find(instrument)
        return None if row is None else table.listed(row)

    def _client(self, kind: Kind) -> Any:
        """Return the keyless ccxt object of a market: a wrong key changes nothing about market data."""
        name = self.markets[kind].client
        client = self._clients.get(name)
        if client is None:
            options = dict(self.config.options) if self.config is not None else {}
            client = _seamed(name)({"enableRateLimit": False, "options": options})
            client.enableLastHttpResponse = client.enableLastJsonResponse = False
            client.xex_transport, client.xex_route, client.xex_words = self._transport, self._route, self.words
            self._clients[name] = client
        return client

    async def _call(
        self, kind: Kind, method: str, params: dict[str, Any], rows: tuple[str, str] | None = None
    ) -> Response:
        """Make the one request of an implicit ccxt method and return it as it came.

        `rows` says where a list of instruments stands in the body and what names them, so that a recording can be
        cut down to those that were asked for.
        """
        token = _raw.set(None)
        trim = None if rows is None else partial(trimmed, path=rows[0], id_path=rows[1], keep=self._touched[kind])
        _trim.set(trim)
        client = self._client(kind)
        key = (client.id, method, *params.items())
        url = self._urls.get(key)
        try:
            with translated(self._route.venue, self._route.secrets):
                if url is None:
                    await cast("Awaitable[object]", getattr(client, method)(params))
                else:
                    # The same question without a key has the same address: ccxt need not write it again.
                    await client.fetch(url)
            response = _raw.get()
            if response is not None and response.url and len(self._urls) < MOST_URLS:
                self._urls[key] = response.url
        except RateLimited:
            self._slow_down(_raw.get())
            raise
        finally:
            _raw.reset(token)
        if response is None:
            raise BadPayload("no answer came through", venue=self._route.venue)
        return response

    @contextmanager
    def _reading(self, kind: Kind, response: Response) -> Iterator[None]:
        """Translate what goes wrong while a body is read; an error body is recognised in the venue's words."""
        try:
            with translated(self._route.venue, self._route.secrets):
                try:
                    yield
                except ErrorBody:
                    recognise(self._client(kind), response, words=self.words)
                    raise
        except ConnectorError as exc:
            self._route.state.failed(exc)
            if isinstance(exc, RateLimited):
                self._slow_down(response)
            raise

    def _slow_down(self, response: Response | None) -> None:
        """Pause a venue that asked for it in the body; the seam has heard the statuses itself."""
        if response is not None and not clock.is_replayed():
            self._transport.budgets.pause(response.origin, PAUSE_S)


class SpotCurrencies(CcxtConnector):
    """A venue whose spot books trade currencies against one another."""

    currency_pairs: ClassVar[Sequence[tuple[str, str]]] = ()
    _last_pairs: tuple[Listings, Any, Any, list[Instrument], list[Instrument]] | None = None

    async def currency_legs(
        self, pairs: Sequence[tuple[str, str]], bases: Sequence[str], booked: Sequence[tuple[str, str]]
    ) -> tuple[Columns, Columns]:
        """Return the spot tickers that rates need, in one request, and the books of the direct pairs."""
        table = await self.listings(["spot"])
        direct, ratios = self._spot_legs(table, tuple(pairs), tuple(bases))
        books_of = [instrument for instrument in direct if (instrument.base, instrument.quote) in booked]
        tickers, books = await settled([self.tickers([*direct, *ratios]), self.books(books_of)])
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
            listed = [[one for one in some if table.find(one) is not None] for some in (wanted, ratios)]
            last = self._last_pairs = (table, pairs, bases, listed[0], listed[1])
        return last[3], last[4]


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


def _seen(task: asyncio.Task[Listings]) -> None:
    """Mark a failure as seen: whoever waited has it, and nobody may be waiting any more."""
    if not task.cancelled():
        task.exception()


__all__ = ["CcxtConnector", "SpotCurrencies", "import_ccxt", "join_rows", "recognise", "translated"]
