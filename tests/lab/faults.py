"""What can be wrong with an answer, short of the connection itself: numbers, rows, status and clock.

A fault of numbers changes the truth or the body before it is written; a fault of status takes the
body's place. Clocks and status endpoints keep right numbers: faults of numbers leave them alone.
"""

from __future__ import annotations

import dataclasses
import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.lab import refusals, venues
from tests.lab.refusals import PAGE, Case, retry_after
from tests.lab.truth import Market, Truth, repriced, repriced_side
from tests.lab.wire import Body, Query, Reply

REQUIRED = frozenset(
    {"symbol", "instId", "contract_code", "bidPrice", "askPrice", "lastPrice", "bidPx", "askPx", "last", "bid", "ask"}
    | {"bid1Price", "ask1Price", "bidPr", "askPr", "lastPr", "close", "bids", "asks", "a", "b", "c"}
    | {"price", "px", "p"}
)
CONTENT = ("data", "result", "tickers", "instruments", "ticker", "orderBook", "symbols", "history", "tick", "ticks")
NOT_A_NUMBER = Decimal("NaN")


@dataclass
class Fault:
    """One fault at a venue, on the paths with a prefix, for a number of requests (None: until healed)."""

    venue: str
    kind: str
    path: str | None = None
    times: int | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    hits: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether it may strike a request together with others: a fault of numbers or of the clock."""
        return self.kind in NUMBERS or self.kind == "skew"

    def means(self, socket: str, path: str) -> bool:
        """Whether the fault is not used up and concerns a request."""
        spent = self.times is not None and self.hits >= self.times
        if spent or (self.kind in NUMBERS and venues.is_clock(path)):
            return False
        return venues.covers(self.venue, self.path, socket, path)


@dataclass(frozen=True)
class Answer:
    """A reply, with the truth and the venue's time that it was made from."""

    reply: Reply
    truth: Truth
    now_ms: int


def struck(faults: Iterable[Fault], socket: str, path: str) -> list[Fault]:
    """Return the faults that strike a request, and count it for each.

    Of those that do not add up the first strikes; the others wait, so that they may follow in turn.
    """
    found: list[Fault] = []
    for fault in faults:
        if fault.means(socket, path) and (fault.adds_up or all(other.adds_up for other in found)):
            fault.hits += 1
            found.append(fault)
    return found


def _mean(fault: Fault, market: Market) -> bool:
    """Whether a fault of numbers means a market: of its venue, and the one symbol if it names one."""
    same = market.venue == fault.venue or (fault.venue, market.venue) == ("kraken", "krakenfutures")
    return same and fault.args.get("symbol") in (None, market.id)


def _priced(market: Market, change: Callable[[Decimal], Decimal]) -> Market:
    """Change bids, asks, last and trades, and leave the 24 hour figures."""
    bids, asks = (repriced_side(market, side, change) for side in (market.bids, market.asks))
    trades = repriced(market, change)
    return dataclasses.replace(market, bids=bids, asks=asks, last=change(market.last), trades=trades)


def _crossed(market: Market, args: Mapping[str, Any]) -> Market:
    """Lift the bids above the asks, by `ticks`."""
    lift = market.asks[0][0] - market.bids[0][0] + market.tick * int(args.get("ticks", 10))
    return dataclasses.replace(market, bids=repriced_side(market, market.bids, lambda price: price + lift))


def _stale(market: Market, args: Mapping[str, Any]) -> Market:
    """Make quote and trades `seconds` older."""
    older = round(1000 * float(args.get("seconds", 60)))
    trades = tuple(dataclasses.replace(trade, age_ms=trade.age_ms + older) for trade in market.trades)
    quote_age_ms, trade_age_ms = market.quote_age_ms + older, market.trade_age_ms + older
    return dataclasses.replace(market, quote_age_ms=quote_age_ms, trade_age_ms=trade_age_ms, trades=trades)


def _empty_book(market: Market, args: Mapping[str, Any]) -> Market:
    """Take the levels of one `side`, "bids" or "asks", or of both."""
    side = args.get("side")
    bids = market.bids if side == "asks" else ()
    return dataclasses.replace(market, bids=bids, asks=market.asks if side == "bids" else ())


def _negative(market: Market, _: Mapping[str, Any]) -> Market:
    return _priced(market, lambda price: -price)


def _unpriced(market: Market, _: Mapping[str, Any]) -> Market:
    return _priced(market, lambda _: NOT_A_NUMBER)


MARKETS: dict[str, Callable[[Market, Mapping[str, Any]], Market]] = {
    "crossed": _crossed,
    "stale": _stale,
    "empty_book": _empty_book,
    "negative": _negative,
    "null": _unpriced,
    "nan": _unpriced,
    "nan_literal": _unpriced,
}


def _walk(body: Body, change: Callable[[Any], Any]) -> Body:
    """Apply `change` to every value of a body that is not a container."""
    if isinstance(body, dict):
        return {key: _walk(value, change) for key, value in body.items()}
    if isinstance(body, list):
        return [_walk(value, change) for value in body]
    return change(body)


def _is_nan(value: Any) -> bool:
    return value == "NaN" or (isinstance(value, float) and math.isnan(value))


def _instead_of_nan(new: Any) -> Callable[[Body, Mapping[str, Any]], Body]:
    """Return a change that writes `new` where a number was none."""

    def swapped(value: Any) -> Any:
        return new if _is_nan(value) else value

    return lambda body, _: _walk(body, swapped)


def _no_rows(body: Body, _: Mapping[str, Any]) -> Body:
    """Empty what the envelope holds, and keep the envelope."""
    if not isinstance(body, dict):
        return []
    held = [key for key in CONTENT if isinstance(body.get(key), dict | list)]
    return body | {key: _emptied(body[key]) for key in held} if held else {}


def _emptied(content: Body) -> Body:
    """Empty a list or an object; an object with a list of rows keeps all but the rows."""
    if isinstance(content, dict) and isinstance(content.get("list"), list):
        return content | {"list": []}
    return type(content)()


def _missing_key(body: Body, args: Mapping[str, Any]) -> Body:
    """Leave `keys` out of every row, the required ones if none are named."""
    keys = frozenset(args.get("keys", REQUIRED))
    if isinstance(body, dict):
        return {key: _missing_key(value, args) for key, value in body.items() if key not in keys}
    return [_missing_key(value, args) for value in body] if isinstance(body, list) else body


BODIES: dict[str, Callable[[Body, Mapping[str, Any]], Body]] = {
    "null": _instead_of_nan(None),
    "nan": _instead_of_nan("NaN"),
    "nan_literal": _instead_of_nan(float("nan")),
    "no_rows": _no_rows,
    "missing_key": _missing_key,
}


def _status(case: Case) -> Reply:
    """Answer with HTTP `code`, a `body` (JSON-able, text or bytes) and `retry_after`."""
    body = case.args.get("body", f"<html><body><h1>{case.args.get('code', 500)}</h1></body></html>")
    plain = isinstance(body, str | bytes)
    raw = body.encode() if isinstance(body, str) else body
    content = "text/html" if plain else "application/json"
    return retry_after(Reply(raw, int(case.args.get("code", 500)), content_type=content), case.args.get("retry_after"))


def _redirect(case: Case) -> Reply:
    """Send the caller to `location`."""
    location = {"Location": str(case.args.get("location", "/elsewhere"))}
    return Reply(b"", int(case.args.get("code", 301)), location, "text/html")


def gzipped_spaces(megabytes: int) -> bytes:
    """Make a small gzip body that expands to `megabytes` of spaces.

    A block that ends in a full flush does not refer to what was before it, so one block may be repeated.
    """
    block = b" " * 1_000_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 0
    for _ in range(megabytes):
        check = zlib.crc32(block, check)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    length = (megabytes * len(block)) & 0xFFFFFFFF
    return header + packed * megabytes + packer.flush() + check.to_bytes(4, "little") + length.to_bytes(4, "little")


def _bomb(case: Case) -> Reply:
    """Answer with a gzip body of `megabytes` of spaces."""
    return Reply(gzipped_spaces(int(case.args.get("megabytes", 200))), headers={"Content-Encoding": "gzip"})


STATUSES: dict[str, Callable[[Case], Reply]] = {
    "status": _status,
    "html": lambda _: Reply(PAGE, content_type="text/html"),
    "empty": lambda _: Reply(b""),
    "scalar": lambda _: Reply(b"null"),
    "venue_error": refusals.venue_error,
    "rate_limited": refusals.rate_limited,
    "banned": refusals.banned,
    "redirect": _redirect,
    "bomb": _bomb,
}
NUMBERS = frozenset(MARKETS) | frozenset(BODIES) | {"wrong_symbol"}
ARGUMENTS: dict[str, str] = {
    "status": "code retry_after body",
    "rate_limited": "retry_after status",
    "banned": "retry_after",
    "redirect": "location code",
    "bomb": "megabytes",
    "crossed": "ticks symbol",
    "stale": "seconds symbol",
    "empty_book": "side symbol",
    "negative": "symbol",
    "null": "symbol",
    "nan": "symbol",
    "nan_literal": "symbol",
    "missing_key": "keys",
    "skew": "seconds",
    "wrong_symbol": "symbol",
    "slow_drip": "interval chunk",
}
KINDS = NUMBERS | frozenset(STATUSES) | {"skew"}


def checked(fault: Fault, kinds: frozenset[str]) -> Fault:
    """Return the fault; raises ValueError for an unknown venue, kind or argument."""
    venues.socket_of(fault.venue)
    if fault.kind not in kinds:
        raise ValueError(f"no fault {fault.kind!r}, there are {', '.join(sorted(kinds))}")
    unknown = set(fault.args) - set(ARGUMENTS.get(fault.kind, "").split())
    if unknown:
        raise ValueError(f"fault {fault.kind!r} does not take {', '.join(sorted(unknown))}")
    return fault


def _redirected(fault: Fault, venue: str, truth: Truth, path: str, query: Query) -> tuple[str, Query]:
    """Turn a request for one symbol into one for another: `symbol`, else the next in the list."""
    ids = venues.asked_ids(path, query)
    asked = venues.find(venue, truth, path, query, ids[0]) if ids else None
    if asked is None:
        return path, query
    listed = truth.of(asked.venue, asked.kind, None)
    other = str(fault.args.get("symbol", listed[(listed.index(asked) + 1) % len(listed)].id))
    old = re.compile(rf"\b{re.escape(ids[0])}\b")
    swapped = {key: old.sub(other, value) for key, value in query.items()}
    return path.replace(f"/tickers/{ids[0]}", f"/tickers/{other}"), swapped


def answered(socket: str, truth: Truth, path: str, query: Query, now_ms: int, faults: list[Fault]) -> Answer:
    """Answer one request from the truth, with all the given faults at work."""
    venue = venues.format_of(socket, path)
    now_ms += sum(round(1000 * float(f.args.get("seconds", 0))) for f in faults if f.kind == "skew")
    for fault in faults:
        if fault.kind in STATUSES:
            return Answer(STATUSES[fault.kind](Case(venue, path, now_ms, fault.args, query)), truth, now_ms)
        if fault.kind == "wrong_symbol":
            path, query = _redirected(fault, venue, truth, path, query)
        if fault.kind in MARKETS:
            truth = _with_fault(truth, fault)
    reply = venues.answer(socket, truth, path, query, now_ms)
    for fault in faults:
        if fault.kind in BODIES and not isinstance(reply.body, bytes):
            reply = dataclasses.replace(reply, body=BODIES[fault.kind](reply.body, fault.args))
    return Answer(reply, truth, now_ms)


def _with_fault(truth: Truth, fault: Fault) -> Truth:
    change = MARKETS[fault.kind]
    return truth.changed(lambda market: change(market, fault.args) if _mean(fault, market) else market)
