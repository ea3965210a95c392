"""Column maps: from a venue's body to columns, as data. No I/O, no ccxt; a recorded body tests it.

A path names a field of the payload: ``"last"``, ``"b.0"`` the first entry of a list, ``"result.{id}.bids"`` the one
under the instrument's id; ``"=USD"`` is the text itself, for what no field says. Numbers may come as numbers or as
text. A cell that is empty, not a number or not finite is absent; a price that is not positive is absent too, since
no venue trades at it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from math import nan
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from xex.access.budgets import Limit
from xex.errors import BadPayload
from xex.model.identity import SPOT, asset
from xex.model.instruments import Section, kind_of
from xex.model.listings import COLUMNS, Listings
from xex.model.schema import Columns, Text, Words
from xex.model.units import Units, counts_quote, factor

KEY = "<key>"
"""The id is the key of the row, not a field of it."""

LARGEST, SMALLEST = 1e30, 1e-30
"""What lies beyond is no market's number, and would overflow where numbers meet."""

FEW = 64
_SIGNED = frozenset({"rate"})
"""What may be negative."""
_PRICES = frozenset({"bid", "ask", "last", "open", "high", "low", "mark", "index", "vwap"})


class ErrorBody(BadPayload):
    """The envelope says that this is an error, in the venue's own words."""


@dataclass(frozen=True, slots=True)
class Fee:
    """A venue's published base tier, in basis points of notional."""

    taker_bps: float
    maker_bps: float
    source: str


@dataclass(frozen=True, slots=True)
class TickerMap:
    """One endpoint's tickers.

    `call` is ccxt's implicit method, `one` the parameter that asks for a single id, `many` the one that takes
    several ids, joined by commas or `as_json`; without either the whole market comes. `one_call` is the method for
    a single id where that is another. `ok` is the envelope's field and its value
    in an answer. `time` dates the row, in milliseconds or as ISO text; `time_source` says whether that is a quote's
    or a trade's time. `quotes` marks the endpoint whose bid and ask count, `each` one that answers about a single
    id and no more.
    """

    call: str
    id: str
    fields: Mapping[str, str]
    rows: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    one: str = ""
    one_call: str = ""
    many: str = ""
    as_json: bool = False
    ok: tuple[str, ...] | None = None
    time: str = ""
    time_is_text: bool = False
    time_source: str = "quote"
    halted: str = ""
    quotes: bool = True
    each: bool = False

    @property
    def source(self) -> str:
        """What dates the rows."""
        return self.time_source if self.time else "received"

    def __hash__(self) -> int:
        return id(self)


@dataclass(frozen=True, slots=True)
class BookMap:
    """One endpoint's order book: `bids` and `asks` lead to lists of (price, size, …).

    `depths` are how many levels a side are asked for through the parameter `limit`, first and where the first answer
    was cut too early; `deep_call` is the method for the latter where that is another. Without `limit` the
    only depth is what the venue sends at most; without depths it sends the whole book.
    """

    call: str
    id: str
    bids: str
    asks: str
    limit: str = ""
    depths: tuple[int, ...] = ()
    deep_call: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    ok: tuple[str, ...] | None = None
    time: str = ""
    time_source: str = "quote"

    @property
    def source(self) -> str:
        """What dates the rows."""
        return self.time_source if self.time else "received"


@dataclass(frozen=True, slots=True)
class TradeMap:
    """One endpoint's latest public trades.

    `fields` names `trade_id`, `price`, `size`, `side` and `time`. `buys` and `sells` are what `side` says where the
    taker bought or sold; whoever states the maker's side swaps them. `inner` leads from a row to the trades in it,
    where they come in bundles. `scale` brings times to milliseconds. `bundled` marks a venue that adds up what one
    order took at one price. `older` asks for the page that ends with the first
    trade of the one at hand, where the venue has pages: a parameter, what is added, and to what: the trade's number
    ("id") or its time ("iso", ms). `older_call` is a call of its own for that and its limit; its answers are alike.
    """

    call: str
    id: str
    fields: Mapping[str, str]
    rows: str
    buys: str
    sells: str
    inner: str = ""
    limit: tuple[str, int] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    ok: tuple[str, ...] | None = None
    scale: float = 1.0
    bundled: bool = False
    older: tuple[str, int, str] | None = None
    older_call: tuple[str, tuple[str, int]] | None = None


@dataclass(frozen=True, slots=True)
class InstrumentMap:
    """One endpoint's instruments.

    A field is a path or a function of the row. `where` keeps rows whose field has one of the values; `active`
    is the field and the value it has while the instrument trades. `cursor` is the parameter that asks for the next
    page, and where a page names it. A list with the field `expires` (ms or ISO text) holds dated contracts;
    `perpetual` tells which of its rows never expire, if any do not. `alias` in the fields is another name under
    which the venue's tickers know an instrument.
    """

    call: str
    id: str
    fields: Mapping[str, str | Callable[[Mapping[str, Any]], Any]]
    rows: str
    active: tuple[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, Collection[str]] = field(default_factory=dict)
    ok: tuple[str, ...] | None = None
    cursor: tuple[str, str] | None = None
    perpetual: Callable[[Mapping[str, Any]], bool] | None = None


@dataclass(frozen=True, slots=True)
class ValueMap:
    """One endpoint's single value: a clock reading (`scale` brings it to ms) or a status word.

    Where a list of notices stands in its place, `each` names the word in every one of them.
    """

    call: str
    value: str
    each: str = ""
    ok: tuple[str, ...] | None = None
    scale: float = 1.0
    good: Collection[str] = ()


Cell = str | Callable[[Mapping[str, Any]], Any]
"""Where a value stands in a row: a path, or a function of the row; an empty path for nowhere."""


@dataclass(frozen=True, slots=True)
class AssetMap:
    """One endpoint's currencies and the networks that each is on.

    `code` names a currency; its networks stand at `chains`, or, without it, every row is one network of a currency.
    `network` and `address` are fields of a network; the network's name begins behind the first `sep`, where that is
    given, and a list without the field `network` speaks for all networks of a currency at once. `signed` marks an
    endpoint that answers holders of a key only. `deposit` and `withdraw` say of a network whether coins go in and out,
    `words` what means open and what closed there; any other word is unknown. `fee` is what a withdrawal costs, `least`
    the smallest one, in the currency, and `confirmations` are those until a deposit can be traded with.
    """

    call: str
    code: str
    rows: str = "data"
    chains: str = "chains"
    network: str = "chain"
    address: str = "contractAddress"
    sep: str = ""
    ok: tuple[str, ...] | None = None
    signed: bool = False
    deposit: Cell = ""
    withdraw: Cell = ""
    words: tuple[str, str] = ("True", "False")
    fee: Cell = ""
    least: Cell = ""
    confirmations: Cell = ""


@dataclass(frozen=True, slots=True)
class KeyMap:
    """One endpoint that tells the holder of a key what it may do.

    `read`, `trade` and `withdraw` name places that grant it, any of them: `path`, whose cell must be true, or
    `path=word`, whose cell must be that word, or have it in its list or among words with commas between. What changes
    an account without taking money out of it counts as trade. Where the place `unless` has its word, the key reads and
    no more, whatever else is listed.
    """

    call: str
    read: Sequence[str]
    trade: Sequence[str]
    withdraw: Sequence[str]
    unless: str = ""
    ok: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class FundingMap:
    """A market's funding: `rates` is read as tickers are, `named` instead where single instruments are asked for.

    Their fields are `rate`, in what `Units.funding` says; `next_time`, the coming settlement (ms), without which it is
    the next whole multiple of the interval in UTC; `after_time`, the settlement after that; `interval_hours`; `mark`,
    `index`. An interval is the field's, else what lies between the two times, else what the list `intervals` (a field
    `interval_hours`) says, else, of those that this list leaves out or where there is none, `hours`. `settled` marks a
    rate that is fixed; any other is the venue's estimate of what will be paid at the coming settlement.
    """

    rates: TickerMap
    named: TickerMap | None = None
    intervals: TickerMap | None = None
    hours: float = nan
    settled: bool = False

    def of(self, *, whole: bool) -> TickerMap:
        """Return what is asked about whole markets, or about some contracts."""
        return self.rates if whole or self.named is None else self.named


@dataclass(frozen=True, slots=True)
class RatioMap:
    """Endpoints of one form that tell the ratio of long to short, each among a population of its own (by call).

    The latest row counts. `fields` names `ratio`, `long_share` or `short_share`, and `time` (ms). `named` turns an
    instrument's id into what the parameter `id` takes; `flags` says what else a row is.
    """

    calls: Mapping[str, str]
    fields: Mapping[str, str]
    rows: str = ""
    id: str = "symbol"
    named: Callable[[str], str] = str
    params: Mapping[str, str] = field(default_factory=dict)
    ok: tuple[str, ...] | None = None
    flags: str = ""


@dataclass(frozen=True, slots=True)
class FeeMap:
    """One endpoint that tells the holder of a key what the account pays; `scale` brings a rate to basis points.

    Either a list at `rows` with `id`, `taker` and `maker` of each instrument, or one answer for all instruments of a
    quote currency: where taker and maker stand in it, by quote.
    """

    call: str
    params: Mapping[str, str] = field(default_factory=dict)
    quotes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    rows: str = ""
    id: str = "symbol"
    taker: str = "takerFeeRate"
    maker: str = "makerFeeRate"
    ok: tuple[str, ...] | None = None
    scale: float = 1e4


@dataclass(frozen=True, slots=True)
class Market:
    """One market of a venue: its ccxt class, how it counts, what it charges, and where its answers stand.

    `interest` is the endpoint of open interest, read as tickers are, with the fields of `units.interest_to_base`;
    `account` tells the holder of a key what it pays here.
    """

    client: str
    units: Units
    fee: Fee
    instruments: InstrumentMap
    tickers: tuple[TickerMap, ...]
    book: BookMap
    trades: TradeMap
    interest: TickerMap | None = None
    funding: FundingMap | None = None
    ratios: RatioMap | None = None
    account: FeeMap | None = None


def per_path(
    host: str, rules: Mapping[str, tuple[float, float]], *, other: tuple[float, float] | None = None, source: str = ""
) -> tuple[Limit, ...]:
    """Return one budget for each pattern of paths, and one for all `other` paths: requests and seconds."""
    named = [Limit(path, host, count, seconds, path=path, source=source) for path, (count, seconds) in rules.items()]
    if other is None:
        return tuple(named)
    return (*named, Limit("other", host, *other, path=f"^(?!.*(?:{'|'.join(rules)}))", source="assumed: a strict one"))


def step(path: str) -> Callable[[Mapping[str, Any]], float]:
    """Read a step that a venue states as a number of decimals."""
    return lambda row: float(10.0 ** -int(row[path]))


def says(path: str, *values: str) -> Callable[[Mapping[str, Any]], bool]:
    """Tell rows by what a field says."""
    return lambda row: str(row.get(path, "")) in values


def part(path: str, place: int, separator: str = "-") -> Callable[[Mapping[str, Any]], str]:
    """Read one part of a compound name."""
    return lambda row: str(row[path]).split(separator)[place]


def dig(data: Any, path: str, native_id: str = "") -> Any:
    """Follow a path into decoded JSON, ``{id}`` being `native_id`; None where it leads nowhere."""
    for part in path.split(".") if path else ():
        if isinstance(data, Mapping):
            data = data.get(native_id if part == "{id}" else part)
        elif isinstance(data, list) and part.isdigit():
            data = data[int(part)] if int(part) < len(data) else None
        else:
            return None
    return data


def number(cell: Any) -> float:
    """Return a cell as a finite float, NaN for whatever is none.

    >>> number("12.5"), number(""), number(None), number(True), number("inf")
    (12.5, nan, nan, nan, nan)
    """
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        return float("nan")
    try:
        value = float(cell)
    except (OverflowError, ValueError):
        return nan
    return value if abs(value) <= LARGEST else nan


def decode(body: bytes) -> Any:
    """Decode a body; what is not JSON is a `BadPayload`."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as exc:
        raise BadPayload(f"not JSON: {exc}") from None
    except RecursionError:
        raise BadPayload("not JSON that anybody sends: it is nested too deeply") from None


def check_envelope(data: Any, ok: tuple[str, ...] | None) -> None:
    """Raise `ErrorBody` unless the envelope's field has one of the values of an answer."""
    if ok is not None and (not isinstance(data, Mapping) or _word(data.get(ok[0])) not in ok[1:]):
        raise ErrorBody(f"the body does not say {ok[0]} = {ok[1] or 'nothing'}")


def _word(value: Any) -> str:
    """Return an envelope's field as text; an empty list (no errors) is empty."""
    return "" if value in (None, []) else str(value)


def key_rights(body: bytes, spec: KeyMap) -> dict[str, bool]:
    """Return whether a key may read, trade and withdraw; raises `BadPayload` where one of them is not told."""
    data = decode(body)
    check_envelope(data, spec.ok)
    rights = {}
    for right, places in {"read": spec.read, "trade": spec.trade, "withdraw": spec.withdraw}.items():
        told = [grant for place in places if (grant := _grants(data, place)) is not None]
        if not told:
            raise BadPayload(f"the answer does not say whether the key may {right}")
        rights[right] = any(told)
    if spec.unless and _grants(data, spec.unless):
        rights |= {"trade": False, "withdraw": False}
    return rights


def _grants(data: Any, place: str) -> bool | None:
    """Say whether a place has its word; None where there is no such place."""
    path, _, word = place.partition("=")
    cell = dig(data, path)
    if cell is None:
        return None
    words = cell if isinstance(cell, list) else str(cell).split(",")
    return (word or "true").lower() in {str(one).strip().lower() for one in words}


def trimmed(body: bytes, path: str, id_path: str, keep: Collection[str]) -> bytes:
    """Return a body with only the rows of the ids in `keep`; with its first where that would leave none."""
    data = decode(body)
    *parents, last = path.split(".") if path else [""]
    holder = dig(data, ".".join(parents)) if path else {"": data}
    rows = holder[last]
    if id_path == KEY:
        kept: Any = {key: row for key, row in rows.items() if key in keep} or dict(list(rows.items())[:1])
    elif isinstance(rows, list):
        kept = [row for row in rows if row.get(id_path) in keep] or rows[:1]
    elif isinstance(rows, dict):
        kept = {key: row for key, row in rows.items() if row.get(id_path) in keep} or dict(list(rows.items())[:1])
    else:
        return body
    holder[last] = kept
    return msgspec.json.encode(data if path else kept)


# --- tickers -----------------------------------------------------------------------------------------------


def ticker_columns(body: bytes, spec: TickerMap) -> Columns:
    """Return `id` and the raw columns of a ticker body, in the venue's units.

    The fast path decodes only the mapped fields, straight to floats. A body that does not fit it is read
    again cell by cell, so that one odd cell costs that cell and not the market.
    """
    try:
        ids, rows = _typed_rows(body, spec)
    except msgspec.ValidationError:
        ids, rows = _loose_rows(body, spec)
    except msgspec.DecodeError as exc:
        raise BadPayload(f"not JSON: {exc}") from None
    columns: Columns = {"id": ids}
    if len(ids) > FEW:
        for name, path in spec.fields.items():
            columns[name] = _cleaned(_numbers(rows, path), _least(name))
    else:
        # For a few rows the calls cost more than the numbers: all columns are cleaned as one table.
        table = np.array([_few_numbers(rows, path) for path in spec.fields.values()], dtype=np.float64)
        least = np.array([[_least(name)] for name in spec.fields])
        table[~((table <= LARGEST) & (table >= least))] = np.nan
        columns.update(zip(spec.fields, table, strict=True))
    if spec.time:
        columns["exchange_time"] = _times(_cells(rows, spec.time), text=spec.time_is_text)
    if spec.halted:
        columns["halted"] = [cell is True for cell in _cells(rows, spec.halted)]
    return columns


def _typed_rows(body: bytes, spec: TickerMap) -> tuple[list[str], list[Any]]:
    single = not spec.rows and body.lstrip()[:1] == b"{"
    if single:
        check_envelope_absent(body)
    data = _decoder(spec, single).decode(body)
    if spec.ok is not None and _word(getattr(data, spec.ok[0])) not in spec.ok[1:]:
        raise ErrorBody(f"the body does not say {spec.ok[0]} = {spec.ok[1] or 'nothing'}")
    rows: Any = [data] if single else data
    for part in spec.rows.split(".") if spec.rows else ():
        rows = getattr(rows, part, None)
    if rows is None:
        raise ErrorBody(f"the body has no {spec.rows}")
    if spec.id == KEY:
        return list(rows), list(rows.values())
    return list(map(attrgetter(_attribute(spec.id)), rows)), rows


def check_envelope_absent(body: bytes) -> None:
    """Raise `ErrorBody` where a single row was expected and an error object came."""
    if b'"code"' in body[:64] and b'"msg"' in body[:512]:
        raise ErrorBody("an error object instead of a ticker")


@cache
def _decoder(spec: TickerMap, single: bool) -> msgspec.json.Decoder[Any]:
    row = _row_type(spec)
    if single:
        return msgspec.json.Decoder(row, strict=False)
    rows: Any = dict[str, row] if spec.id == KEY else list[row]  # type: ignore[valid-type]
    for part in reversed(spec.rows.split(".")) if spec.rows else ():
        fields: list[Any] = [(part, rows | None, None)]
        if spec.ok is not None and part == spec.rows.split(".")[0]:
            fields.append((spec.ok[0], Any, None))
        rows = msgspec.defstruct("Envelope", fields, gc=False)
    return msgspec.json.Decoder(rows, strict=False)


def _row_type(spec: TickerMap) -> Any:
    """Make the struct that holds the mapped fields of a row and skips all others."""
    fields: dict[str, Any] = {}
    for path in spec.fields.values():
        key, _, rest = path.partition(".")
        fields[key] = (key, list[float | None] | None, None) if rest else (key, float | None, nan)
    if spec.time:
        fields[spec.time] = (spec.time, str | None if spec.time_is_text else float | None, None)
    if spec.halted:
        fields[spec.halted] = (spec.halted, bool | None, None)
    if spec.id != KEY:
        fields[spec.id] = (spec.id, str, "")
    names = {key: _attribute(key) for key in fields}
    return msgspec.defstruct(
        "Row",
        [(names[key], kind, default) for key, kind, default in fields.values()],
        rename={attribute: key for key, attribute in names.items()},
        gc=False,
    )


def _attribute(key: str) -> str:
    return f"f_{key}"


def _cells(rows: Sequence[Any], path: str) -> list[Any]:
    key, _, rest = path.partition(".")
    if rows and isinstance(rows[0], Mapping):
        return [dig(row, path) for row in rows]
    cells = list(map(attrgetter(_attribute(key)), rows))
    if not rest:
        return cells
    place = int(rest)
    return [cell[place] if cell and len(cell) > place else None for cell in cells]


def _loose_rows(body: bytes, spec: TickerMap) -> tuple[list[str], list[Any]]:
    data = decode(body)
    check_envelope(data, spec.ok)
    rows = dig(data, spec.rows)
    if isinstance(rows, Mapping):
        keyed = rows.items() if spec.id == KEY else [("", rows)]
        pairs = [(key, row) for key, row in keyed if isinstance(row, Mapping)]
    elif isinstance(rows, list):
        pairs = [("", row) for row in rows if isinstance(row, Mapping)]
    else:
        raise BadPayload(f"no rows at {spec.rows or 'the top'}")
    if spec.id == KEY:
        return [key for key, _ in pairs], [row for _, row in pairs]
    return [str(row.get(spec.id, "")) for _, row in pairs], [row for _, row in pairs]


def _numbers(rows: Sequence[Any], path: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    if rows and isinstance(rows[0], Mapping):
        return np.array([number(dig(row, path)) for row in rows], dtype=np.float64)
    if "." not in path:
        try:
            return np.fromiter(map(attrgetter(_attribute(path)), rows), dtype=np.float64, count=len(rows))
        except TypeError:  # a null among the numbers
            pass
    cells = _cells(rows, path)
    try:
        values = np.array(cells, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.empty(0)
    if values.shape != (len(cells),):
        # Cells that are lists would become a table of their own.
        values = np.array([number(cell) for cell in cells], dtype=np.float64)
    return values


def _few_numbers(rows: Sequence[Any], path: str) -> list[float]:
    return [cell if isinstance(cell, float) else number(cell) for cell in _cells(rows, path)]


def _least(name: str) -> float:
    """Return the least that a number may be: there are no prices of nothing, and no negative amounts."""
    return SMALLEST if name in _PRICES else -LARGEST if name in _SIGNED else 0.0


def _cleaned(values: np.ndarray[Any, np.dtype[np.float64]], least: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    bad = ~((values <= LARGEST) & (values >= least))
    if bad.any():
        values[bad] = np.nan
    return values


def _times(cells: Sequence[Any], *, text: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        if text:
            known = [cell[:-1] if cell else "NaT" for cell in cells]
            stamps = np.array(known, dtype="datetime64[ms]")
            stamps_ms = np.where(np.isnat(stamps), np.nan, stamps.astype("int64"))
        else:
            stamps_ms = np.array(cells, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        stamps_ms = np.empty(0)
    if stamps_ms.shape != (len(cells),):
        stamps_ms = np.array([milliseconds(cell) for cell in cells], dtype=np.float64)
    return np.where((stamps_ms > 0) & (stamps_ms < LATEST_MS), stamps_ms, np.nan)


LATEST_MS = 4_102_444_800_000.0
"""The year 2100: what is dated later is not in milliseconds."""


def milliseconds(cell: Any, scale: float = 1.0) -> float:
    """Return a time as milliseconds since 1970: a number, digits as text, or ISO 8601 in UTC.

    What `scale` would bring beyond the year 2100 is no time.

    >>> milliseconds("1700000000000"), milliseconds("2023-11-14T22:13:20.500Z"), milliseconds(None)
    (1700000000000.0, 1700000000500.0, nan)
    """
    value = number(cell)
    if value == value or not isinstance(cell, str):
        return value if 0 < value * scale < LATEST_MS else nan
    try:
        stamp = np.datetime64(cell.rstrip("Z"), "ms")
    except ValueError:
        return nan
    return nan if np.isnat(stamp) else float(stamp.astype("int64"))


# --- books -------------------------------------------------------------------------------------------------

_SIDES = Words(["bid", "ask"])


def book_columns(body: bytes, spec: BookMap, native_id: str = "", depth: int | None = None) -> Columns:
    """Return the book of `native_id` as rows of `side`, `level`, `price`, `size`, `censored` and time, best first.

    Sizes are in the venue's units; a side with `depth` levels (by default the map's first) was cut. A book without
    a single usable level is a `BadPayload`: a listed market has one, so the answer is wrong and not the market.
    """
    data = decode(body)
    check_envelope(data, spec.ok)
    bids, asks = (_levels(dig(data, path, native_id), path) for path in (spec.bids, spec.asks))
    if not len(bids) and not len(asks):
        raise BadPayload("an empty book")
    bids, asks = bids[np.argsort(-bids[:, 0], kind="stable")], asks[np.argsort(asks[:, 0], kind="stable")]
    most = depth or next(iter(spec.depths), None)
    cut = [most is not None and len(side) >= most for side in (bids, asks)]
    rows = len(bids) + len(asks)
    return {
        "side": Text(_SIDES, np.repeat([0, 1], [len(bids), len(asks)])),
        "level": np.concatenate([np.arange(len(bids)), np.arange(len(asks))]).astype(np.float64),
        "price": np.concatenate([bids[:, 0], asks[:, 0]]),
        "size": np.concatenate([bids[:, 1], asks[:, 1]]),
        "censored": np.repeat(cut, [len(bids), len(asks)]),
        "exchange_time": np.full(rows, milliseconds(dig(data, spec.time)) if spec.time else np.nan),
    }


def _levels(levels: Any, path: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not isinstance(levels, list):
        raise BadPayload(f"no list of levels at {path}")
    try:
        pairs = np.array([(level[0], level[1]) for level in levels], dtype=np.float64).reshape(-1, 2)
    except (IndexError, KeyError, OverflowError, TypeError, ValueError):
        raise BadPayload(f"a level at {path} is not a price and a size") from None
    return pairs[((pairs >= SMALLEST) & (pairs <= LARGEST)).all(axis=1)]


# --- trades ------------------------------------------------------------------------------------------------


def iso_ms(time_ms: int) -> str:
    """Return a time as ISO text, in UTC.

    >>> iso_ms(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    return f"{datetime.fromtimestamp(time_ms / 1e3, UTC):%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def trade_columns(body: bytes, spec: TradeMap, native_id: str = "") -> Columns:
    """Return a tape as rows of `trade_id`, `side` (the taker's), `price`, `size` and time, oldest first.

    Sizes are in the venue's units. Rows without a price, a size or a time are left out; a tape without
    any usable row is a `BadPayload`: a listed market has traded.
    """
    data = decode(body)
    check_envelope(data, spec.ok)
    rows = dig(data, spec.rows, native_id)
    if isinstance(rows, list) and spec.inner:
        rows = [row for bundle in rows for row in dig(bundle, spec.inner) or ()]
    if not isinstance(rows, list):
        raise BadPayload(f"no list of trades at {spec.rows or 'the top'}")
    cells = {name: [dig(row, path) for row in rows] for name, path in spec.fields.items()}
    price, size = (
        _cleaned(np.array([number(cell) for cell in cells[name]], dtype=np.float64), SMALLEST)
        for name in ("price", "size")
    )
    times = spec.scale * np.array([milliseconds(cell, spec.scale) for cell in cells["time"]], dtype=np.float64)
    good = np.flatnonzero(np.isfinite(price) & np.isfinite(size) & np.isfinite(times))
    if not len(good):
        raise BadPayload("a tape without a trade")
    order = good[np.argsort(times[good], kind="stable")]
    if len(good) > 1 and times[good[0]] > times[good[-1]]:
        # Newest first as sent: trades of the same millisecond are turned round with the rest.
        order = good[::-1][np.argsort(times[good[::-1]], kind="stable")]
    words = {spec.buys: "buy", spec.sells: "sell"}
    return {
        "trade_id": [_word(cells["trade_id"][row]) for row in order],
        "side": [words.get(_word(cells["side"][row]), "") for row in order],
        "price": price[order], "size": size[order], "exchange_time": times[order],
    }  # fmt: skip


# --- long and short ----------------------------------------------------------------------------------------


def ratio_columns(body: bytes, spec: RatioMap) -> Columns:
    """Return one row: the latest `ratio`, `long_share`, `short_share` and time of a body.

    What is not sent follows from the rest: the ratio is the quotient of the shares, and shares of which none is sent
    add up to one. A body without any usable ratio is a `BadPayload`.
    """
    data = decode(body)
    check_envelope(data, spec.ok)
    rows = dig(data, spec.rows)
    if not isinstance(rows, list):
        raise BadPayload(f"no list of ratios at {spec.rows or 'the top'}")
    dated = [(milliseconds(dig(row, spec.fields["time"])), *_shares(row, spec)) for row in rows]
    usable = [row for row in dated if all(cell == cell for cell in row[:2])]
    if not usable:
        raise BadPayload("no ratio")
    time, ratio, long, short = max(usable)
    names = ("exchange_time", "ratio", "long_share", "short_share")
    return {name: np.array([cell]) for name, cell in zip(names, (time, ratio, long, short), strict=True)}


def _shares(row: Any, spec: RatioMap) -> tuple[float, float, float]:
    """Return ratio, long and short share of one row; NaN for what is negative or above one where it cannot be."""
    ratio, long, short = (
        number(dig(row, spec.fields[name])) if name in spec.fields else nan
        for name in ("ratio", "long_share", "short_share")
    )
    ratio = ratio if ratio >= 0 else nan
    long, short = (share if 0 <= share <= 1 else nan for share in (long, short))
    if ratio != ratio and short > 0:
        ratio = long / short
    if long != long and short != short:
        long, short = ratio / (1 + ratio), 1 / (1 + ratio)
    return ratio, long, short


# --- instruments -------------------------------------------------------------------------------------------


def listings(
    body: bytes,
    market: Market,
    section: Section,
    venue: str,
    names: Mapping[str, str] | None = None,
    *,
    more: bool = False,
) -> Listings:
    """Return the instruments of `venue`, whose codes mean assets by `identity.asset`, else by `names`.

    Rows that cannot be understood are left out: an instrument with an unknown contract size must not trade
    at a guessed one. Not one understood row in a body that has rows is a `BadPayload`, and so is an empty list of
    spot or linear perpetuals; a venue may have none of the others, and the last of several pages (`more`) none at all.
    """
    data, spec = decode(body), market.instruments
    check_envelope(data, spec.ok)
    rows = dig(data, spec.rows)
    if isinstance(rows, Mapping):
        rows = [{KEY: key, **row} for key, row in rows.items() if isinstance(row, Mapping)]
    if not isinstance(rows, list) or (not rows and section in {"spot", "linear"} and not more):
        raise BadPayload(f"no instruments at {spec.rows or 'the top'}")
    rows = [row for row in rows if isinstance(row, Mapping)]
    kept = [row for row in rows if _wanted(row, spec)]
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in kept:
        entry = _entry(row, market, section, venue, names or {})
        if entry is not None:
            for name, cells in columns.items():
                cells.append(entry[name])
    if kept and not columns["id"]:
        raise BadPayload("no instrument that can be understood")
    return Listings(columns, {str(row.get(spec.id, "")) for row in rows}.difference(columns["id"]))


def _wanted(row: Mapping[str, Any], spec: InstrumentMap) -> bool:
    return all(str(row.get(name, "")) in values for name, values in spec.where.items())


def _entry(
    row: Mapping[str, Any], market: Market, section: Section, venue: str, names: Mapping[str, str]
) -> dict[str, Any] | None:
    spec, fee, kind = market.instruments, market.fee, kind_of(section)

    def cell(name: str, default: Any = None) -> Any:
        source = spec.fields.get(name)
        if source is None:
            return default
        try:
            if callable(source):
                return source(row)
            return source[1:] if source.startswith("=") else dig(row, source)
        except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError):
            return default

    def code(name: str, kind: str) -> tuple[str, int]:
        return meaning(str(cell(name, "") or ""), kind, venue, names)

    base, multiplier = code("base", kind)
    # An inverse contract settles in what it trades, under the same name.
    quote, settle = code("quote", "spot")[0], code("settle", kind if kind == "inverse" else "spot")[0]
    # Where the venue names no contract size a contract is one coin; a size that cannot be read is not guessed.
    size = number(cell("contract_size")) if "contract_size" in spec.fields else 1.0
    # A perpetual that is about to be delisted has a date as well, and is a perpetual to the end.
    endless = "expires" not in spec.fields or (spec.perpetual is not None and spec.perpetual(row))
    expires = nan if endless else milliseconds(cell("expires"))
    if not row.get(spec.id) or (expires != expires and not endless):
        return None
    if not base or not quote or not size > 0:
        return None
    taker, maker = number(cell("taker_bps")), number(cell("maker_bps"))
    own = taker == taker
    steps = (number(cell(name)) for name in ("lot", "min_amount", "min_notional"))
    return {
        "id": str(row.get(spec.id, "")), "alias": str(cell("alias", "") or ""),
        "base": base, "quote": quote, "settle": settle,
        "kind": kind, "expiry": expiry_text(expires), "expiry_time": expires,
        "multiplier": float(multiplier), "contract_size": size, "tick": number(cell("tick")) / multiplier,
        **_steps(market.units, size, multiplier, *steps),
        "taker_bps": taker if own else fee.taker_bps, "maker_bps": maker if own else fee.maker_bps,
        "fee_source": "published: first tier of the instrument list" if own else fee.source,
        "active": str(row.get(spec.active[0], "")) == spec.active[1],
    }  # fmt: skip


def _steps(units: Units, size: float, multiplier: int, lot: float, amount: float, notional: float) -> dict[str, float]:
    """Return lots and minimums; what counts quote currency has no size in base units but at a price."""
    scale = float(factor(units.lot, np.array(size), np.array(float(multiplier))))
    if not counts_quote(units.lot):
        return {"lot": lot * scale, "lot_quote": nan, "min_amount": amount * scale, "min_notional": notional}
    least = float(np.fmax(amount * scale, notional))
    return {"lot": nan, "lot_quote": lot * scale, "min_amount": nan, "min_notional": least}


def expiry_text(expires: float) -> str:
    """Return the day of a time in ms as symbols write it, YYMMDD in UTC; empty for none.

    >>> expiry_text(1798185600000.0), expiry_text(float("nan"))
    ('261225', '')
    """
    if expires != expires:
        return ""
    return str(np.datetime64(int(expires), "ms").astype("datetime64[D]")).replace("-", "")[2:]


# --- currencies --------------------------------------------------------------------------------------------


def meaning(code: str, kind: str, venue: str, names: Mapping[str, str]) -> tuple[str, int]:
    """Return the asset that a code means, by `identity.asset`, else by `names`, and its units per unit of the code."""
    found, coins = asset(code, kind, venue)
    return (names.get(found, found) if found == code.upper() else found), coins


def address_columns(body: bytes, spec: AssetMap, venue: str, names: Mapping[str, str] | None = None) -> Columns:
    """Return `code`, `asset`, `network` and `address` of every currency, a row per network.

    Codes and networks are written as the venue does; an address is empty where the venue names no contract, as for a
    network's own coin. A list without any currency is a `BadPayload`.
    """
    return _contracts_of(_chains(body, spec), spec, venue, names or {})


def network_columns(body: bytes, spec: AssetMap, venue: str, names: Mapping[str, str] | None = None) -> Columns:
    """Return `address_columns` and whether each network is open: `deposit`, `withdraw`, what it costs and asks for.

    `withdraw_fee` and `withdraw_min` are units of the asset, `confirmations` those until a deposit can be traded with.
    """
    found = _chains(body, spec)
    told = _contracts_of(found, spec, venue, names or {})
    coins = {code: float(meaning(code, SPOT, venue, names or {})[1]) for code in set(told["code"])}
    scale = np.array([coins[code] for code in told["code"]], dtype=np.float64)
    chains = [chain for _, chain in found]

    def amounts(source: Cell) -> np.ndarray[Any, np.dtype[np.float64]]:
        cells = [number(_cell(chain, source)) for chain in chains]
        return _cleaned(np.array(cells, dtype=np.float64), 0.0)

    return {
        **told,
        "deposit": [_open(chain, spec.deposit, spec.words) for chain in chains],
        "withdraw": [_open(chain, spec.withdraw, spec.words) for chain in chains],
        "withdraw_fee": amounts(spec.fee) * scale, "withdraw_min": amounts(spec.least) * scale,
        "confirmations": amounts(spec.confirmations),
    }  # fmt: skip


def _chains(body: bytes, spec: AssetMap) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the codes of a list of currencies, each with every network that it is on."""
    data = decode(body)
    check_envelope(data, spec.ok)
    rows = dig(data, spec.rows)
    rows = list(rows.values()) if isinstance(rows, Mapping) and not spec.network else rows
    currencies = (
        [row for row in rows if isinstance(row, Mapping) and row.get(spec.code)] if isinstance(rows, list) else []
    )
    if not currencies:
        raise BadPayload(f"no currencies at {spec.rows or 'the top'}")
    return [
        (str(row[spec.code]), chain)
        for row in currencies
        for chain in (dig(row, spec.chains) or () if spec.chains else (row,))
        if isinstance(chain, Mapping)
    ]


def _contracts_of(
    found: Sequence[tuple[str, Mapping[str, Any]]], spec: AssetMap, venue: str, names: Mapping[str, str]
) -> Columns:
    codes = [code for code, _ in found]
    meant = {code: meaning(code, SPOT, venue, names)[0] for code in set(codes)}
    networks = [_network(chain, spec) if spec.network else "" for _, chain in found]
    addresses = [_plain(dig(chain, spec.address)) if spec.network else "" for _, chain in found]
    return {"code": codes, "asset": [meant[code] for code in codes], "network": networks, "address": addresses}


def _cell(row: Mapping[str, Any], source: Cell) -> Any:
    if callable(source):
        return source(row)
    return dig(row, source) if source else None


def _open(chain: Mapping[str, Any], source: Cell, words: tuple[str, str]) -> str:
    """Return what a venue's word means: "open", "closed", or "unknown" for a word that nobody has explained."""
    word = str(_cell(chain, source))
    return "open" if word == words[0] else "closed" if word == words[1] else "unknown"


def account_fees(body: bytes, spec: FeeMap) -> dict[str, tuple[float, float]]:
    """Return an account's taker and maker fees in basis points of notional, by id or by quote currency.

    What is absent, or so large that it cannot be a rate, is left out. A body without any fee is a `BadPayload`.
    """
    data = decode(body)
    check_envelope(data, spec.ok)
    if spec.quotes:
        cells = {quote: (dig(data, taker), dig(data, maker)) for quote, (taker, maker) in spec.quotes.items()}
    else:
        rows = dig(data, spec.rows)
        listed = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
        cells = {str(row.get(spec.id, "")): (dig(row, spec.taker), dig(row, spec.maker)) for row in listed}
    fees = {name: (spec.scale * number(taker), spec.scale * number(maker)) for name, (taker, maker) in cells.items()}
    found = {name: fee for name, fee in fees.items() if name and abs(fee[0]) <= MOST_BPS}
    if not found:
        raise BadPayload("no fee in the answer")
    return found


MOST_BPS = 1_000.0
"""A taker fee of more than a tenth is in another unit than it was taken for."""


def _network(chain: Mapping[str, Any], spec: AssetMap) -> str:
    name = _plain(dig(chain, spec.network))
    return (name.partition(spec.sep)[2] or name) if spec.sep else name


def _plain(cell: Any) -> str:
    return cell.strip() if isinstance(cell, str) else ""
