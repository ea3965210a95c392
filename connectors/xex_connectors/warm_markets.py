"""ccxt's own markets on disk: a ccxt object is ready without a request, and reads each market at its first use.

One JSON file per ccxt class. It holds every market once, as ccxt parsed it, and what `set_markets` adds to it, so
that what is restored equals what `set_markets` would make. Nothing but the names is read at first: of ten thousand
markets a program uses a few. A file from another version of ccxt or of this form, or one that is not whole, counts
as none.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from xex.access.cache import FRESH_MS, MetadataCache, age_ms
from xex.access.deadline import until
from xex.access.transport import scrub
from xex.model import clock

log = logging.getLogger("xex.access")

VERSION = 1

_SUM = b'{"crc32":"%08x",'
_HEAD = len(_SUM % 0)
_PASSING = frozenset({"cachedCurrencies", "timeDifference"})
"""Options that loading markets changes for the moment only."""

_UNREAD = object()
"""What stands for a value that nobody has asked for; nothing writes it as JSON, so that it cannot pass for one."""


class Lazy(dict[str, Any]):
    """A dict whose values are read when they are first asked for; `read` returns the value of a key.

    It has an `__iter__` of its own because of that alone `dict(lazy)`, `{**lazy}`, `|` and `update`, which are C, go
    through `__getitem__`. Copies of any kind are plain dicts. orjson, which knows no such way, refuses what is unread.
    """

    __slots__ = ("_read",)

    def __init__(self, keys: Iterable[str], read: Callable[[str], Any]) -> None:
        super().__init__(dict.fromkeys(keys, _UNREAD))
        self._read: Callable[[str], Any] | None = read

    def __getitem__(self, key: str) -> Any:
        value = dict.__getitem__(self, key)
        if value is _UNREAD and self._read is not None:
            value = self._read(key)
            dict.__setitem__(self, key, value)
        return value

    def _whole(self) -> Lazy:
        if self._read is not None:
            for key in self:
                self[key]
            self._read = None
        return self

    def __iter__(self) -> Any:
        return dict.__iter__(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Lazy):
            other._whole()
        return dict.__eq__(self._whole(), other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        return dict.__repr__(self._whole())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict(self),)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, `default` where there is none."""
        if key not in self:
            return default
        return self[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return a value; where there is none, put `default`."""
        return self[key] if key in self else dict.setdefault(self, key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """Take a value out."""
        self.get(key)
        return dict.pop(self, key, *default)

    def popitem(self) -> Any:
        """Take the last item out."""
        self.get(next(reversed(self), ""))
        return dict.popitem(self)

    def items(self) -> Any:
        """Return all items, every value read."""
        return dict.items(self._whole())

    def values(self) -> Any:
        """Return all values, read."""
        return dict.values(self._whole())


class _Added(msgspec.Struct):
    """What `set_markets` makes of a market: fields put in, as JSON, and fields left out."""

    put: msgspec.Raw
    without: list[str]


class _Part(msgspec.Struct):
    """Some of the currencies, and those of them that have another content here."""

    codes: list[str]
    others: dict[str, msgspec.Raw]


class _File(msgspec.Struct):
    version: int
    written_with: str
    saved_ms: int
    rows: dict[str, msgspec.Raw]  # per id the markets that have it, spot first
    added: list[_Added]
    markets: dict[str, str]  # the id of each symbol
    others: dict[str, tuple[int, int]]  # its place there, and what is added, where they are not the first ones
    currencies: dict[str, msgspec.Raw]
    currency_ids: dict[str, str]
    base_currencies: _Part | None
    quote_currencies: _Part | None
    options: dict[str, Any]
    indexes: dict[str, dict[str, tuple[str, int]]]  # options whose values are markets


class Shelf:
    """Where the markets of one ccxt object are kept; `exchange` and `secrets` are for its log."""

    def __init__(
        self, cache: MetadataCache, key: str, written_with: str, exchange: str = "", secrets: tuple[str, ...] = ()
    ) -> None:
        self._cache, self._key, self._written_with = cache, key, written_with
        self._exchange, self._secrets = exchange, secrets
        self.load: asyncio.Task[None] | None = None

    async def markets(self, client: Any, ask: Callable[[], Awaitable[Any]], *, reload: bool, usual: bool) -> Any:
        """Return the markets of `client`, from memory, from disk while fresh, else as `ask` gets them.

        `reload` asks in any case, and fails where asking does; else an older file stands in for a venue that does
        not answer. What is not `usual` stays off the disk. One who gives up takes the answer from nobody.
        """
        if not reload and (client.markets or (usual and self._restore(client, FRESH_MS))):
            return client.markets
        if self.load is None or self.load.done():
            self.load = asyncio.create_task(self._asked(client, ask, usual=usual))
            self.load.add_done_callback(_seen)
        try:
            await asyncio.shield(self.load)
        except Exception as exc:
            if reload or not usual:
                raise
            if not client.markets:
                if not self._restore(client):
                    raise
                reason = scrub(str(exc), self._secrets)
                log.warning("%s: markets from disk, the venue's own failed: %s", self._exchange, reason)
        return client.markets

    async def _asked(self, client: Any, ask: Callable[[], Awaitable[Any]], *, usual: bool) -> None:
        before, epoch = dict(client.options), clock.epoch()
        with until(None):
            await ask()
        if usual and client.markets and epoch == clock.epoch():
            changed = [name for name, value in client.options.items() if value is not before.get(name)]
            self.save(client, [name for name in changed if name not in _PASSING])

    def save(self, client: Any, options: Iterable[str] = ()) -> None:
        """Keep what `set_markets` made of the venue's answer, and these of the object's options."""
        try:
            fields = msgspec.json.encode(_fields(client, options, self._written_with))[1:]
        except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError) as exc:
            log.info("markets of %s cannot be kept: %r", self._key, exc)
        else:
            self._cache.write(self._key, _SUM % zlib.crc32(fields) + fields)

    def _restore(self, client: Any, younger_ms: float | None = None) -> bool:
        """Give `client` the markets on disk; False where there are none, or none so young."""
        file = _opened(self._cache.read(self._key), self._written_with)
        if file is None or (younger_ms is not None and age_ms(file.saved_ms) >= younger_ms):
            return False
        restore(client, file)
        return True


def restore(client: Any, file: _File) -> None:
    """Set every attribute that `set_markets` sets."""
    rows = Lazy(file.rows, lambda id_: _decoded(file.rows[id_]))

    def market(symbol: str) -> Any:
        place, number = file.others.get(symbol, (0, 0))
        added = file.added[number]
        made = _decoded(file.rows[file.markets[symbol]])[place] | _decoded(added.put)
        for name in added.without:
            del made[name]
        return made

    def currency(code: str) -> Any:
        return _decoded(file.currencies[code])

    def part(some: _Part | None) -> Lazy | None:
        if some is None:
            return None
        texts = some.others
        return Lazy(some.codes, lambda code: _decoded(texts[code]) if code in texts else currency(code))

    currencies = Lazy(file.currencies, currency)
    client.markets, client.markets_by_id, client.currencies = Lazy(file.markets, market), rows, currencies
    client.currencies_by_id = Lazy(file.currency_ids, lambda id_: currencies[file.currency_ids[id_]])
    client.symbols, client.ids, client.codes = sorted(file.markets), sorted(file.rows), sorted(file.currencies)
    client.baseCurrencies, client.quoteCurrencies = part(file.base_currencies), part(file.quote_currencies)
    client.options.update(file.options)
    client.options.update((name, _index(places, rows)) for name, places in file.indexes.items())


def _index(places: Mapping[str, tuple[str, int]], rows: Lazy) -> Lazy:
    return Lazy(places, lambda key: rows[places[key][0]][places[key][1]])


def _decoded(text: msgspec.Raw) -> Any:
    return msgspec.json.decode(text)


def _opened(data: bytes | None, written_with: str) -> _File | None:
    """Return the content of a file; None where it is not whole, or not of this form and version."""
    if data is None or data[:_HEAD] != _SUM % zlib.crc32(memoryview(data)[_HEAD:]):
        return None
    try:
        file = msgspec.json.decode(data, type=_File)
    except (ValueError, msgspec.MsgspecError):
        return None
    return file if (file.version, file.written_with) == (VERSION, written_with) else None


def _fields(client: Any, options: Iterable[str], written_with: str) -> dict[str, Any]:
    changed, rows = {name: client.options[name] for name in options}, client.markets_by_id
    where = {id(row): (id_, place) for id_, mine in rows.items() for place, row in enumerate(mine)}
    indexes = {
        name: {key: where[id(row)] for key, row in value.items()}
        for name, value in changed.items()
        if isinstance(value, dict) and value and all(id(row) in where for row in value.values())
    }
    codes = {id(currency): code for code, currency in client.currencies.items()}
    return {
        "version": VERSION, "written_with": written_with, "saved_ms": clock.now_ms(), "rows": rows,
        **_markets(client), "currencies": client.currencies,
        "currency_ids": {id_: codes[id(currency)] for id_, currency in client.currencies_by_id.items()},
        "base_currencies": _part(client.baseCurrencies, client.currencies),
        "quote_currencies": _part(client.quoteCurrencies, client.currencies),
        "options": {name: value for name, value in changed.items() if name not in indexes}, "indexes": indexes,
    }  # fmt: skip


def _markets(client: Any) -> dict[str, Any]:
    """Return what makes the markets of the rows: their ids, and what is added to almost all of them."""
    places: dict[str, int] = {}
    texts: dict[str, bytes] = {}
    for symbol, market in client.markets.items():
        mine = client.markets_by_id[market["id"]]
        places[symbol] = next(place for place, row in enumerate(mine) if row["symbol"] == symbol)
        texts[symbol] = msgspec.json.encode(_difference(mine[places[symbol]], market))
    numbers = {text: number for number, (text, _) in enumerate(Counter(texts.values()).most_common())}
    others = {symbol: (places[symbol], numbers[text]) for symbol, text in texts.items()}
    return {
        "added": [msgspec.Raw(text) for text in numbers],
        "markets": {symbol: market["id"] for symbol, market in client.markets.items()},
        "others": {symbol: other for symbol, other in others.items() if other != (0, 0)},
    }


def _part(some: Mapping[str, Any] | None, currencies: Mapping[str, Any]) -> dict[str, Any] | None:
    if some is None:
        return None
    return {"codes": list(some), "others": {code: one for code, one in some.items() if one != currencies.get(code)}}


def _difference(row: Mapping[str, Any], market: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes `market` of `row`."""
    put = {name: value for name, value in market.items() if name not in row or row[name] != value}
    return {"put": put, "without": [name for name in row if name not in market]}


def _seen(task: asyncio.Task[Any]) -> None:
    """Mark a failure as seen: whoever waited has it, and nobody may be waiting any more."""
    if not task.cancelled():
        task.exception()
