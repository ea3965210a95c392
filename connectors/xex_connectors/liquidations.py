"""Liquidations that a venue publishes: pages of them, through its map, each event once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import nan
from typing import Any, ClassVar, NamedTuple

import numpy as np

from xex.access.deadline import remaining, until
from xex.access.port import Struck, Window
from xex.errors import BadPayload, ConnectorError, NotListed
from xex.model.instruments import Instrument, Section
from xex.model.schema import Columns, Text, concat, length, numbers, take, texts
from xex.model.units import liquidations_to_base
from xex_connectors.ccxt_adapter import CcxtConnector
from xex_connectors.mapping import LARGEST, SMALLEST, check_envelope, decode, dig, milliseconds, number

MOST_ASKED = 60
"""More requests for one answer than this are not made: what is older is not covered, and the answer says so."""

CLOSING = {"long": "sell", "short": "buy"}
"""The order that closes a position."""
CLOSED = {order: position for position, order in CLOSING.items()}


@dataclass(frozen=True, slots=True)
class LiquidationMap:
    """One endpoint's liquidations.

    `call` is ccxt's implicit method, or an API and a path that it has no method for, with a space between. `fields`
    names `price`, `size` and `time`, and what the venue tells of `order` (the order's side, buy or sell), of `position`
    (long or short) and of `event_id`, its own name of the event. Without a position the order's side tells it, where
    `closes`, a field and its word, says that the order closes one. `inner` leads from a row to the liquidations in it,
    which have the row's fields too; `row_id` is the field that names a row's instrument, where others come along, and
    `where` a field and the word that tells liquidations from what else is in the list. `named` writes an id as the
    parameter `id` takes it.

    `limit` is the parameter of how many rows are asked for, and from how many rows on an answer may be cut. Where there
    is a parameter `since`, ranges of at most `window_ms` are asked, and what is around an answer that may be cut; else
    `until` leads from each answer to what is older, as ISO text with `iso`. `complete` says that the venue leaves none
    out.
    """

    call: str
    id: str
    fields: Mapping[str, str]
    until: str
    limit: tuple[str, int]
    rows: str = "data"
    since: str = ""
    window_ms: int = 7_200_000
    params: Mapping[str, str] = field(default_factory=dict)
    named: Callable[[str], str] = str
    inner: str = ""
    row_id: str = ""
    where: tuple[str, str] | None = None
    closes: tuple[str, str] | None = None
    iso: bool = False
    price_kind: str = "unknown"
    complete: bool = False
    ok: tuple[str, ...] | None = None


class LiquidationPage(NamedTuple):
    """One answer's liquidations, how many rows it had, and from when to when these go (ms, NaN where none has a time).

    `left_out` counts liquidations of the instrument that lack a price, a size or a time.
    """

    columns: Columns
    rows: int
    oldest_ms: float
    newest_ms: float
    left_out: int


def liquidation_columns(body: bytes, spec: LiquidationMap, native_id: str = "") -> LiquidationPage:
    """Return the liquidations of `native_id`: `event_id`, sides, `price`, `size` and time, as sent, in any order.

    Rows without a price, a size or a time are left out. What a row tells of the order and of the position must agree;
    where it does not, or tells nothing, both are "unknown". A body whose liquidations can none of them be understood is
    a `BadPayload`; one without any is an answer.
    """
    data = decode(body)
    check_envelope(data, spec.ok)
    listed = dig(data, spec.rows, native_id)
    if not isinstance(listed, list):
        raise BadPayload(f"no list of liquidations at {spec.rows or 'the top'}")
    if spec.inner:
        listed = [{**row, **one} for row in listed for one in dig(row, spec.inner) or () if isinstance(one, Mapping)]
    path = spec.fields["time"]
    seen = np.array([milliseconds(dig(row, path)) for row in listed], dtype=np.float64)
    mine = [row for row in listed if isinstance(row, Mapping) and _struck(row, spec, native_id)]
    cells = {name: [dig(row, path) for row in mine] for name, path in spec.fields.items()}
    price, size = (np.array([number(cell) for cell in cells[name]], dtype=np.float64) for name in ("price", "size"))
    times = np.array([milliseconds(cell) for cell in cells["time"]], dtype=np.float64)
    usable = [(cell >= SMALLEST) & (cell <= LARGEST) for cell in (price, size)]
    good = np.flatnonzero(usable[0] & usable[1] & np.isfinite(times))
    if mine and not len(good):
        raise BadPayload("no liquidation that can be understood")
    closing = [spec.closes is None or word(dig(row, spec.closes[0])) == spec.closes[1] for row in mine]
    absent = [None] * len(mine)
    told = zip(cells.get("order", absent), cells.get("position", absent), closing, strict=True)
    sides = [_sides(word(order).lower(), word(position).lower(), closes=closes) for order, position, closes in told]
    columns: Columns = {
        "event_id": [word(cells.get("event_id", absent)[row]) for row in good],
        "order_side": [sides[row][0] for row in good], "position_side": [sides[row][1] for row in good],
        "price": price[good], "size": size[good], "exchange_time": times[good],
    }  # fmt: skip
    seen = seen[np.isfinite(seen)]
    oldest, newest = (float(seen.min()), float(seen.max())) if len(seen) else (nan, nan)
    return LiquidationPage(columns, len(listed), oldest, newest, len(mine) - len(good))


def _struck(row: Mapping[str, Any], spec: LiquidationMap, native_id: str) -> bool:
    """Say whether a row is a liquidation of the instrument."""
    if spec.row_id and word(row.get(spec.row_id)).upper() != native_id.upper():
        return False
    return spec.where is None or word(dig(row, spec.where[0])) == spec.where[1]


def _sides(order: str, position: str, *, closes: bool) -> tuple[str, str]:
    """Return the order's side and the position it closed, each from the other where only one is told."""
    if position in CLOSING:
        agree = order in {CLOSING[position], ""}
        return (CLOSING[position], position) if agree else ("unknown", "unknown")
    if order not in CLOSED:
        return "unknown", "unknown"
    return order, CLOSED[order] if closes else "unknown"


class PublishesLiquidations(CcxtConnector):
    """A venue that tells anybody of its liquidations, in the markets that have a map."""

    liquidation_maps: ClassVar[Mapping[Section, LiquidationMap]] = {}

    async def liquidations(self, instrument: Instrument, since_ms: int, until_ms: int) -> Columns:
        """Return liquidations within [since_ms, until_ms), oldest first, each event once, and what they cover.

        An answer that fails after others came costs what is older, not those. The price is the venue's, of the kind
        that `price_kind` says; sizes are base units.
        """
        home = self.homes.get(instrument.section)
        spec = None if home is None else self.liquidation_maps.get(home)
        if spec is None:
            raise NotListed(f"it publishes no liquidations of {instrument.symbol}", venue=self._route.venue)
        pages: list[LiquidationPage] = []
        walk = self._ranges if spec.since else self._backwards
        from_ms = await walk(instrument, spec, since_ms, until_ms, pages)
        found = once([page.columns for page in pages])
        stamps = numbers(found, "exchange_time")
        kept = np.flatnonzero((stamps >= since_ms) & (stamps < until_ms))
        found = take(found, kept[np.argsort(stamps[kept], kind="stable")])
        found["complete"] = np.full(length(found), spec.complete)
        whole = spec.complete and from_ms <= since_ms and not any(page.left_out for page in pages)
        left_out = sum(page.left_out for page in pages)
        return Struck(found, [Window(self._route.venue, from_ms, until_ms, whole, left_out)])

    async def _ranges(
        self,
        instrument: Instrument,
        spec: LiquidationMap,
        since_ms: int,
        until_ms: int,
        pages: list[LiquidationPage],
    ) -> float:
        """Ask range by range, the newest first, and around each answer that may be cut; return how far back it went.

        So it does not matter at which end a venue cuts, only that what it sends lies together.
        """
        todo = list(_windows(since_ms, until_ms, spec.window_ms))
        for _ in range(MOST_ASKED):
            if not todo:
                break
            start, end = todo.pop()
            try:
                with until(_share(pages)):
                    page = await self._page(instrument, spec, {spec.since: start, spec.until: end})
            except ConnectorError:
                if not pages:
                    raise
                return float(end)
            pages.append(page)
            if page.rows < spec.limit[1] or not np.isfinite(page.oldest_ms):
                continue
            oldest, newest = int(page.oldest_ms), int(page.newest_ms)
            if oldest == newest:
                return float(newest)  # more in one millisecond than an answer holds
            todo += [(start, oldest)] * (start < oldest) + [(newest, end)] * (newest < end)
        return float(todo[-1][1] if todo else since_ms)

    async def _backwards(
        self, instrument: Instrument, spec: LiquidationMap, since_ms: int, until_ms: int, pages: list[LiquidationPage]
    ) -> float:
        """Ask for the newest and from there for what is older, answer by answer; return how far back it went."""
        reached = float(until_ms)
        params: dict[str, Any] = {}
        for _ in range(MOST_ASKED):
            try:
                with until(_share(pages)):
                    page = await self._page(instrument, spec, params)
            except ConnectorError:
                if not pages:
                    raise
                break
            pages.append(page)
            if page.rows < spec.limit[1]:
                return float(since_ms)
            if not page.oldest_ms < reached:
                break
            reached = page.oldest_ms
            if reached < since_ms:
                return float(since_ms)
            # The oldest millisecond may have been cut in two: it is asked for again, and counts once.
            following = int(reached) + 1
            params = {spec.until: _iso(following) if spec.iso else following}
        return reached

    async def _page(self, instrument: Instrument, spec: LiquidationMap, bounds: dict[str, Any]) -> LiquidationPage:
        name, most = spec.limit
        params = {**spec.params, **({name: most} if name else {}), **bounds}
        table, found, response = await self._asked(instrument, spec.call, params, spec.id, spec.named, once=True)
        with self._reading(self.homes[instrument.section], response):
            page = liquidation_columns(response.body, spec, found.id)
        columns = self._single(table, found, response, "trade", page.columns, liquidations_to_base)
        same = {"currency": found.instrument.quote, "price_kind": spec.price_kind, "source": "venue"}
        columns |= {"venue": Text.same(self._route.venue, length(columns))}
        columns |= {cell: Text.same(word, length(columns)) for cell, word in same.items()}
        return page._replace(columns=columns)


def _windows(since_ms: int, until_ms: int, most_ms: int) -> Iterator[tuple[int, int]]:
    """Yield a range in parts of at most `most_ms`, the oldest first."""
    for start in range(since_ms, until_ms, most_ms):
        yield start, min(start + most_ms, until_ms)


def _share(pages: Sequence[LiquidationPage]) -> float:
    """Return how long an answer may take: where some have come, one that hangs must not cost these."""
    return remaining() / 2 if pages else remaining()


def _iso(stamp_ms: int) -> str:
    return datetime.fromtimestamp(stamp_ms / 1e3, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def once(pages: Sequence[Columns]) -> Columns:
    """Return the rows of pages that overlap, each event once.

    An event is the venue's `event_id`, where there is one. Else it is its time, order, price and size, and its place
    among the events of its page that are equal in these: two equal ones in one page are two events, and the same two
    in the next page are the same.
    """
    seen: set[tuple[Any, ...]] = set()
    parts = []
    for page in pages:
        names = ("exchange_time", "price", "size")
        ids, sides = texts(page, "event_id"), texts(page, "order_side")
        cells = zip(ids, sides, *(numbers(page, name).tolist() for name in names), strict=True)
        equal: Counter[tuple[Any, ...]] = Counter()
        rows = []
        for row, (event, *rest) in enumerate(cells):
            key: tuple[Any, ...] = (event,) if event else tuple(rest)
            if not event:
                equal[key] += 1
                key = (*key, equal[key])
            if key not in seen:
                seen.add(key)
                rows.append(row)
        parts.append(take(page, rows))
    return concat(parts, "liquidations")


def word(cell: Any) -> str:
    """Return a cell as text, "" for none."""
    return "" if cell is None else str(cell)
