"""The lab: one listening socket per venue on 127.0.0.1, answering from one truth."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiohttp import web

from tests.lab import encode_binance, faults, refusals, venues, wire_faults
from tests.lab.faults import Answer, Fault
from tests.lab.limits import ALLOWED, Accountant, Verdict
from tests.lab.truth import Market, Truth
from tests.lab.wire import MAY, Permission, Query
from tests.lab.world import default_truth

FAULTS = faults.KINDS | frozenset(wire_faults.WIRE)
ID = "X-Lab-Id"
MOST_ANSWERED = 100_000


class Seen(NamedTuple):
    """One request as it arrived."""

    venue: str
    method: str
    path_qs: str
    headers: dict[str, str]


class Answered(NamedTuple):
    """What one answer was about, and the wall clock (Unix ms) when its body was made."""

    socket: str
    path: str
    made_ms: int


class _Sent(NamedTuple):
    """What one answer was made from."""

    path: str
    query: Query
    answer: Answer


class _Made(NamedTuple):
    """A response, with what it was made from and the wall clock at that time."""

    response: web.Response
    answer: Answer
    made_ms: int


class _Cached(NamedTuple):
    """A body that may be sent again for a while."""

    truth: Truth
    since: float
    made: _Made


def wall_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Lab:
    """Serve the venues' REST formats from `truth`, which may be replaced at any time.

    Sockets are named as `venues.SOCKETS` says; Kraken's also serves `krakenfutures`, and wherever a venue
    is named, `kraken` means the whole port and `krakenfutures` its futures paths alone.
    `latency` holds seconds by venue or by (venue, path prefix), the longest prefix first; half of it
    passes before the answer is made and half after. `seen` lists every request. `now_ms` is the world's
    clock. With `cache_s` a body is sent again for that long, which spares encoding in measurements.

    Every answer has a number of its own in the header `X-Lab-Id`; `answered` tells of the last 100,000 by that text.
    `permissions` are what a key may do, by venue, and `accepted` the only key that is one, any by default.
    With `limits` every request is counted on arrival by `accountant`, before any latency or fault; beyond a venue's
    limits it is refused, and who goes on is shut out for a while.
    """

    def __init__(
        self,
        truth: Truth | None = None,
        *,
        now_ms: Callable[[], int] = wall_ms,
        cache_s: float = 0,
        limits: bool = False,
    ) -> None:
        self.truth = default_truth() if truth is None else truth
        self.now_ms = now_ms
        self.latency: dict[str | tuple[str, str], float] = {}
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.answered: dict[str, Answered] = {}
        self.permissions: dict[str, set[Permission]] = {venue: {"read"} for venue, _ in refusals.KEYED}
        self.accepted: dict[str, str] = {}
        self.accountant = Accountant()
        self.breaches, self.bans = self.accountant.breaches, self.accountant.bans
        self._limits = limits
        self._ids = itertools.count(1)
        self._cache_s = cache_s
        self._cache: dict[tuple[str, str], _Cached] = {}
        self._sent: dict[tuple[str, str], _Sent] = {}
        self._weights: Counter[tuple[str, int]] = Counter()
        self._ports: dict[str, int] = {}
        self._runners: list[web.ServerRunner] = []
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._closing.clear()
        for socket in (*venues.SOCKETS, *venues.SOURCES):
            server = web.Server(partial(self._handle, socket), handler_cancellation=True, access_log=None)
            runner = web.ServerRunner(server, shutdown_timeout=0.01)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self._port()).start()
            self._runners.append(runner)
            self._ports[socket] = runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        self._runners.clear()

    def url(self, venue: str) -> str:
        """Return the base URL of a venue, without a slash at the end."""
        return f"http://127.0.0.1:{self._ports[venues.socket_of(venue)]}"

    @property
    def urls(self) -> dict[str, str]:
        """Base URLs by venue."""
        return {venue: self.url(venue) for venue in venues.VENUES}

    def fault(self, venue: str, kind: str, path: str | None = None, times: int | None = None, **args: Any) -> Fault:
        """Let something go wrong at a venue from now on.

        `path` limits it to paths with that prefix, `times` to so many requests. Faults of numbers and
        clocks add up; of the others one strikes at a time, in the order in which they were set, so that
        several with `times` make a sequence. Returns the fault, whose `hits` counts the requests. Raises
        ValueError for an unknown venue, kind or argument.
        """
        made = faults.checked(Fault(venue, kind, path, times, args), FAULTS)
        self.faults.append(made)
        return made

    def heal(self, venue: str | None = None) -> None:
        """Take back all faults, or those of one venue."""
        healed = (
            (*venues.VENUES, *venues.SOURCES)
            if venue is None
            else {venue, "krakenfutures"}
            if venue == "kraken"
            else {venue}
        )
        self.faults = [fault for fault in self.faults if fault.venue not in healed]

    def sent(self, venue: str, symbol: str, path: str | None = None) -> int:
        """Return the time of the quote (Unix ms, the venue's clock) in the last answer about a symbol.

        `symbol` is the venue's id, `path` a prefix that the answer's path must have. It is the time of the
        market's quote even where the venue does not write it, or only in whole seconds. Answers whose body
        was replaced or cut do not count. Raises LookupError when there was none.
        """
        for (socket, _), sent in reversed(list(self._sent.items())):
            if venues.covers(venue, path, socket, sent.path):
                market = _market_in(sent, venues.format_of(socket, sent.path), symbol)
                if market is not None:
                    return market.quote_ms(sent.answer.now_ms)
        raise LookupError(f"{venue} sent nothing about {symbol}")

    def worst(self) -> dict[tuple[str, str], tuple[float, int]]:
        """Return the most that was in any window, and what is allowed, by (venue, rule); of what was asked."""
        return self.accountant.worst()

    def _port(self) -> int:
        """Return the port that the next socket listens at, 0 for any."""
        return 0

    async def _handle(self, socket: str, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(Seen(socket, request.method, request.path_qs, dict(request.headers)))
        verdict = self._judged(socket, request) if self._limits else ALLOWED
        struck = [] if verdict.refusal else faults.struck(tuple(self.faults), socket, request.path)
        half = self._delay(socket, request.path) / 2
        await asyncio.sleep(half)
        made = self._refused(socket, request, verdict) if verdict.refusal else self._respond(socket, request, struck)
        await asyncio.sleep(half)
        response = made.response
        told = {ID: self._numbered(socket, request.path, made), **verdict.headers}
        response.headers.update(told)
        for fault in struck:
            if fault.kind in wire_faults.WIRE:
                return await self._played(fault, request, response, told)
        if venues.is_quote(request.path) and not verdict.refusal and all(fault.adds_up for fault in struck):
            self._sent.pop((socket, request.path_qs), None)
            self._sent[socket, request.path_qs] = _Sent(request.path, dict(request.query), made.answer)
        return response

    async def _played(
        self, fault: Fault, request: web.BaseRequest, response: web.Response, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Let a fault of the connection spoil an answer."""
        body = response.body if isinstance(response.body, bytes) else b""
        case = wire_faults.Exchange(request, body, response.status, fault.args, self._closing, headers)
        try:
            return await wire_faults.WIRE[fault.kind](case)
        except ConnectionError:  # the caller has left meanwhile
            case.abort()
            return web.Response()

    def _numbered(self, socket: str, path: str, made: _Made) -> str:
        """Give an answer its number, and forget the oldest that is known."""
        number = next(self._ids)
        text = str(number)
        self.answered[text] = Answered(socket, path, made.made_ms)
        if number > MOST_ANSWERED:
            self.answered.pop(str(number - MOST_ANSWERED), None)
        return text

    def _judged(self, socket: str, request: web.BaseRequest) -> Verdict:
        """Count a request against the venue's limits."""
        return self.accountant.arrive(venues.format_of(socket, request.path), request.path, request.query)

    def _refused(self, socket: str, request: web.BaseRequest, verdict: Verdict) -> _Made:
        """Refuse a request as the venue does; only Binance says when to come again, in whole seconds."""
        venue, now_ms = venues.format_of(socket, request.path), self.now_ms()
        args = {"retry_after": max(1, math.ceil(verdict.wait))} if venue == "binance" else {}
        case = refusals.Case(venue, request.path, now_ms, args, request.query)
        return self._made(socket, request, Answer(faults.STATUSES[verdict.refusal](case), self.truth, now_ms))

    def _respond(self, socket: str, request: web.BaseRequest, struck: list[Fault]) -> _Made:
        """Make the answer to one request, or take one that is kept."""
        key = (socket, request.path_qs)
        kept = None if struck else self._fresh(key)
        if kept is not None:
            return _Made(_copy(kept.made.response), kept.made.answer, kept.made.made_ms)
        refuse = refusals.refused_key(socket, request.path, request.headers, request.query, self.accepted.get(socket))
        if not struck and refuse is not None:
            now_ms = self.now_ms()
            return self._made(socket, request, Answer(refuse(now_ms), self.truth, now_ms))
        query = {**request.query, **venues.shown(socket, request.headers)}
        keyed = (socket, request.path) in refusals.KEYED
        if keyed:
            query[MAY] = " ".join(self.permissions[socket])
        answer = faults.answered(socket, self.truth, request.path, query, self.now_ms(), struck)
        made = self._made(socket, request, answer)
        if self._cache_s and not struck and not keyed:
            self._cache[key] = _Cached(self.truth, time.monotonic(), made._replace(response=_copy(made.response)))
        return made

    def _made(self, socket: str, request: web.BaseRequest, answer: Answer) -> _Made:
        return _Made(self._written(socket, request, answer), answer, wall_ms())

    def _fresh(self, key: tuple[str, str]) -> _Cached | None:
        """Return the body to send again, if it is young and its truth still holds."""
        cached = self._cache.get(key)
        if cached is None or cached.truth is not self.truth:
            return None
        return cached if time.monotonic() - cached.since < self._cache_s else None

    def _written(self, socket: str, request: web.BaseRequest, answer: Answer) -> web.Response:
        """Turn a reply into bytes and headers, dated by the venue's clock."""
        reply = answer.reply
        headers = {"Date": format_datetime(datetime.fromtimestamp(answer.now_ms / 1000, UTC), usegmt=True)}
        if socket == "binance":
            headers["X-MBX-USED-WEIGHT-1M"] = str(self._weigh(request))
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        return web.Response(
            body=body,
            status=reply.status,
            headers={**headers, **reply.headers},
            content_type=reply.content_type,
        )

    def _weigh(self, request: web.BaseRequest) -> int:
        """Add a request's weight to the running minute of its host, and return the sum."""
        key = (request.path.split("/")[1], self.now_ms() // 60_000)
        self._weights[key] += encode_binance.weight(request.path, request.query)
        return self._weights[key]

    def _delay(self, socket: str, path: str) -> float:
        """Return the latency of a request: that of the longest path prefix, else of the venue."""
        found = [(0, 0.0)]
        for key, seconds in tuple(self.latency.items()):
            venue, prefix = key if isinstance(key, tuple) else (key, "")
            if venues.covers(venue, prefix, socket, path):
                found.append((1 + len(prefix) + (venue != socket), seconds))
        return max(found)[1]


def _market_in(sent: _Sent, venue: str, symbol: str) -> Market | None:
    """Return the market that an answer was about, or None if it was about others."""

    def named(market_id: str) -> Market | None:
        return venues.find(venue, sent.answer.truth, sent.path, sent.query, market_id)

    ids = venues.asked_ids(sent.path, sent.query)
    market = named(symbol)
    return market if not ids or market in map(named, ids) else None


def _copy(response: web.Response) -> web.Response:
    """Return an unsent response with the same content; one object can be sent only once."""
    return web.Response(body=response.body, status=response.status, headers=response.headers)


@contextmanager
def running_lab(truth: Truth | None = None, **options: Any) -> Iterator[Lab]:
    """Run a lab in its own thread, for programs that block; `options` are those of `Lab`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="lab", daemon=True)
    thread.start()

    def wait_for(step: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(step, loop).result()

    try:
        lab = Lab(truth, **options)
        wait_for(lab.__aenter__())
        try:
            yield lab
        finally:
            wait_for(lab.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
