"""The seam: the one coroutine through which bytes come from venues.

Session, TLS, proxy, budgets, deadline, Retry-After, retries, strict bodies, scrubbing, latency and recording
live here and nowhere else.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import re
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial, wraps
from itertools import count
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from xex.access.breaker import Permit
from xex.access.budgets import PROCESS, Budgets, Limit, Pause
from xex.access.deadline import remaining, was_late
from xex.access.flights import Flights
from xex.access.lifetime import Lifetime
from xex.access.retry import RETRIED_STATUS, may_pass, retrying
from xex.access.state import VenueState
from xex.errors import (
    BadPayload,
    Banned,
    CircuitOpen,
    ConfigError,
    ConnectorError,
    HttpError,
    Maintenance,
    MissingRow,
    NotRecorded,
    Overloaded,
    RateLimited,
    Restricted,
    TimedOut,
    TooLarge,
    Unreachable,
)
from xex.model import clock
from xex.model.hosts import may_be_plain

if TYPE_CHECKING:
    import aiohttp
    from aiolimiter import AsyncLimiter

log = logging.getLogger("xex.access")
P = ParamSpec("P")
T = TypeVar("T")

MAX_BODY = 64 * 1024 * 1024
LONGEST_PAUSE_S = 3 * 86_400.0
"""The longest ban that a venue announces; a header that asks for more is a fault."""
BANNED_S, PAUSE_S = 120.0, 5.0
"""How long a venue is left alone that says neither how long, nor has a rule for it."""
MOST_AT_ONCE, MOST_WAITING = 128, 4096
"""How many requests to one host are under way at once, and how many may wait to be."""
CLOSED = "the manager was closed before there was an answer"
CLOSE_S = 1.0
"""How long closing waits for what does not let itself be interrupted."""
_ids = count(1)


@dataclass(frozen=True, slots=True)
class Response:
    """What a venue sent. Times are wall-clock milliseconds; `received_at` is when the last byte was there."""

    id: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at: int
    received_at: int
    latency_ms: float
    origin: str
    path: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """How one configured exchange is reached."""

    exchange: str
    venue: str
    state: VenueState
    limits: Sequence[Limit] = ()
    timeout_s: float = 10.0
    rate_share: float = 1.0
    base_url: str | None = None
    proxy: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    pauses: Sequence[Pause] = ()


@dataclass(slots=True)
class InFlight:
    """What the recorder needs to know of a request of ours; others' requests have none."""

    public_url: str
    target_url: str
    signed: bool
    started: float
    secrets: tuple[str, ...] = field(default=(), repr=False)
    trim: Callable[[bytes], bytes] | None = None
    received_at: int | None = None
    latency_ms: float | None = None
    sent: bool = False
    nameless: bool = False


in_flight: ContextVar[InFlight | None] = ContextVar("xex_in_flight", default=None)

heard: ContextVar[list[Response] | None] = ContextVar("xex_heard", default=None)
"""Where the answers to one question are kept, so that a number can be checked against its payload."""


class Bulkhead:
    """The requests to one host that are under way: a host that hangs keeps only its own callers waiting."""

    def __init__(self) -> None:
        self._free = MOST_AT_ONCE
        self._queue: deque[asyncio.Future[None]] = deque()

    async def enter(self, venue: str) -> None:
        """Take a place; raises `Overloaded` at once where the queue is full, or when the caller's time is over."""
        if self._free:
            self._free -= 1
            return
        if len(self._queue) >= MOST_WAITING:
            raise Overloaded(f"{MOST_AT_ONCE} requests are under way and {len(self._queue)} wait", venue=venue)
        place = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            # Whoever joins meanwhile may have more time, so it is looked at again.
            while not place.done() and (left := remaining()) > 0:
                await asyncio.wait((place,), timeout=None if math.isinf(left) else left)
        except asyncio.CancelledError as exc:
            self._give_up(place)
            if not was_late(exc):
                raise
        else:
            if place.done():
                return
            self._give_up(place)
        raise Overloaded(f"{MOST_AT_ONCE} requests before it did not end in time", venue=venue)

    def _give_up(self, place: asyncio.Future[None]) -> None:
        if place.done():
            self.leave()
        else:
            self._queue.remove(place)

    def leave(self) -> None:
        """Give the place to the next."""
        if self._queue:
            self._queue.popleft().set_result(None)
        else:
            self._free += 1


_probing: ContextVar[bool] = ContextVar("xex_probing", default=False)


@contextmanager
def probing() -> Iterator[None]:
    """Ask inside the block whether breakers are open or not: the answer is what may close them."""
    token = _probing.set(True)
    try:
        yield
    finally:
        _probing.reset(token)


def until_closed(
    method: Callable[Concatenate[Transport, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Transport, P], Coroutine[Any, Any, T]]:
    """End a method of the seam when the seam is closed, whether it waits for a budget, a retry or a venue."""

    @wraps(method)
    async def bounded(seam: Transport, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await seam.life.within(method(seam, *args, **kwargs))

    return bounded


class Transport:
    """One session for all venues of a manager, bound to the loop that first uses it, until it is closed."""

    def __init__(
        self, *, budgets: Budgets = PROCESS, requests_per_second: float | None = None, reuse_s: float = 0.0
    ) -> None:
        self.budgets = budgets
        self.requests_per_second = requests_per_second
        self.life = Lifetime()
        self._session: aiohttp.ClientSession | None = None
        self._keeper: AsyncGenerator[None] | None = None
        self._farewell: weakref.finalize[..., Transport] | None = None
        self._paces: dict[str, AsyncLimiter] = {}
        self._bulkheads: dict[str, Bulkhead] = {}
        self._flights: Flights[Response] = Flights(reuse_s, lambda response: response.status == 200)

    @until_closed
    async def send(
        self,
        route: Route,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
        *,
        signed: bool = False,
        trim: Callable[[bytes], bytes] | None = None,
    ) -> Response:
        """Send one request and return the venue's answer, whatever its status below 500 but 429 and 418.

        A GET is tried again after a failure that may pass, within the deadline; unsigned, it is one request for all
        who ask the same at the same time. `trim` cuts a body down to what was asked for, in case it is recorded.
        Raises `ConnectorError`.
        """
        if remaining() <= 0:
            raise _unsent(TimedOut("no time was left to ask", venue=route.venue))
        if not may_be_plain(route.base_url or _bare(url)):
            words = "not asked: the address is no https:// one, and others could read along"
            raise _unsent(Unreachable(words, venue=route.venue, how="plain"))
        ask = partial(self._patiently, route, method, url, headers, body, signed=signed, trim=trim)
        if method == "GET" and not signed and body is None:
            key = (clock.epoch(), route.exchange, route.base_url, url, _probing.get())
            response = await self._flights.share(key, ask, route.venue)
        else:
            response = await ask()
        kept = heard.get()
        if kept is not None and response not in kept:
            kept.append(response)
        return response

    async def _patiently(
        self,
        route: Route,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | str | None,
        *,
        signed: bool,
        trim: Callable[[bytes], bytes] | None,
    ) -> Response:
        """Send a request, again after a failure that may pass."""
        once = partial(self._once, route, method, url, headers, body, signed=signed, trim=trim)
        route.state.allowance.asked()
        try:
            return await once(attempt=1)
        except ConnectorError as exc:
            # A probe is there to see how a venue is: that it answers at the third try would be the wrong news.
            if method != "GET" or clock.is_recorded() or _probing.get() or not may_pass(exc):
                raise
            first = exc
        breaker = route.state.breaker(urlsplit(url).path)
        async for attempt in retrying(route.state.allowance, lambda: breaker.wait() > 0):
            with attempt:
                number = attempt.retry_state.attempt_number
                if number == 1:
                    raise first  # the try above; only failures pay for the machinery
                try:
                    return await once(attempt=number)
                except CircuitOpen:
                    raise first from None  # what it met says more than that others met it too
        raise AssertionError("unreachable: tenacity re-raises")

    async def _once(
        self,
        route: Route,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | str | None,
        *,
        signed: bool,
        trim: Callable[[bytes], bytes] | None,
        attempt: int,
    ) -> Response:
        target = _through(route.base_url, url)
        origin = _origin(target, url)
        exchange = InFlight(url, target, signed, clock.monotonic(), route.secrets, trim)
        token = in_flight.set(exchange)
        route.state.in_flight += 1
        permit = None
        try:
            self._check_breaker(route, url)
            async with self._admitted(route, url, origin, exchange) as settle:
                # Who failed while we waited may have opened it.
                permit = self._permitted(route, url)
                response = await self._exchange(route, method, target, headers, body, exchange)
                settle(response.headers)
            self._judge(route, response)
            if permit is not None:
                permit.succeeded(response.latency_ms / 1e3)
        except ConnectorError as error:
            self._failed(route, url, error, attempt, exchange, permit)
            raise
        finally:
            if permit is not None:
                permit.dropped()  # unless it has reported: who gives up has learned nothing
            route.state.in_flight -= 1
            in_flight.reset(token)
        route.state.succeeded(response.latency_ms, response.id, permit)
        return response

    def _permitted(self, route: Route, url: str) -> Permit | None:
        """Return the leave of an endpoint's breaker to ask; None where none is needed. Raises `CircuitOpen`."""
        if clock.is_recorded():
            return None
        breaker = route.state.breaker(urlsplit(url).path)
        if _probing.get():
            breaker.half_open()
        permit = breaker.enter()
        if permit is None and not _probing.get():
            raise _left_alone(route, url)
        return permit

    @staticmethod
    def _check_breaker(route: Route, url: str) -> None:
        """Raise `CircuitOpen` at once where there is nothing to wait for."""
        if not (clock.is_recorded() or _probing.get()) and route.state.breaker(urlsplit(url).path).wait() > 0:
            raise _left_alone(route, url)

    def _failed(
        self, route: Route, url: str, error: ConnectorError, attempt: int, exchange: InFlight, permit: Permit | None
    ) -> None:
        """Note a failure with its venue, and say so once."""
        # What was not sent, or is not in a recording, says nothing about the venue.
        error.sent = exchange.sent and not isinstance(error, NotRecorded)
        if error.sent:
            if permit is not None and is_outage(error):
                permit.failed()
            route.state.failed(error)
        level = logging.DEBUG if isinstance(error, CircuitOpen) else logging.WARNING
        log.log(
            level, "%s %s: %s on attempt %d after %.0f ms: %s",
            route.exchange, urlsplit(url).path, type(error).__name__, attempt,
            1e3 * (clock.monotonic() - exchange.started), error,
        )  # fmt: skip

    @asynccontextmanager
    async def _admitted(
        self, route: Route, url: str, origin: str, exchange: InFlight
    ) -> AsyncIterator[Callable[[Mapping[str, str]], None]]:
        """Wait for the caller's pace, the venue's budgets and a place among the requests under way."""
        if clock.is_recorded():
            yield lambda _: None
            return
        await self._pace(route)
        charges = self.budgets.charges(route.limits, url, origin, route.rate_share)
        taken = await self.budgets.admit(charges, origin, route.venue)
        for charge in taken:
            route.state.note_budget(charge.limit.name, charge.ledger.used / charge.ledger.weight)
        bulkhead = self._bulkheads.setdefault(origin, Bulkhead())
        try:
            await bulkhead.enter(route.venue)
        except BaseException:
            self.budgets.undo(taken)
            raise
        answered: list[Mapping[str, str]] = []
        try:
            # The door may have been closed while we waited for a place.
            self.budgets.check_pause(origin, route.venue)
            yield answered.append
        finally:
            bulkhead.leave()
            if exchange.sent and not exchange.nameless:
                self.budgets.settle(taken, answered[0] if answered else None)
            else:
                self.budgets.undo(taken)

    async def _exchange(
        self,
        route: Route,
        method: str,
        target: str,
        headers: Mapping[str, str] | None,
        body: bytes | str | None,
        exchange: InFlight,
    ) -> Response:
        import aiohttp
        import yarl

        if remaining() <= 0:
            raise TimedOut("no time was left to ask", venue=route.venue)
        # Who joins this request may have more time than who began it: their own waits are bounded where they join.
        joined = method == "GET" and not exchange.signed and body is None
        seconds = route.timeout_s if joined else min(route.timeout_s, remaining())
        sent_at, started = clock.now_ms(), clock.monotonic()
        exchange.started, exchange.sent = started, True
        try:
            async with self.session.request(
                method,
                yarl.URL(target, encoded=True),
                headers=dict(headers or {}),
                data=body.encode() if isinstance(body, str) else body,
                timeout=aiohttp.ClientTimeout(total=seconds, ceil_threshold=math.inf),
                proxy=route.proxy,
                allow_redirects=False,
            ) as answer:
                content = await _read(answer, route.venue)
                status = answer.status
                found = {name.lower(): value for name, value in answer.headers.items()}
        except TimeoutError:
            raise TimedOut(f"no answer within {seconds:.3g} s", venue=route.venue) from None
        except asyncio.CancelledError as exc:
            if not was_late(exc):
                raise
            waited = clock.monotonic() - started
            raise TimedOut(f"no answer within {waited:.3g} s", venue=route.venue) from None
        except aiohttp.ClientHttpProxyError as exc:
            raise Unreachable(f"the proxy answers HTTP {exc.status}", venue=route.venue, how="proxy") from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as exc:
            # The exception's own text repeats the address.
            what = " ".join(str(getattr(exc, "message", "") or type(exc).__name__).split())[:160]
            raise BadPayload(_scrubbed(f"the answer broke off: {what}", route), venue=route.venue) from None
        except (aiohttp.ClientError, OSError) as exc:
            how = _how(exc)
            exchange.nameless = how == "name"  # which has cost the venue nothing
            if how == "name" and route.proxy is not None:
                how = "proxy"  # which looks up the venue's name itself
            raise Unreachable(_scrubbed(_why(exc), route), venue=route.venue, how=how) from None
        except ValueError as exc:
            raise ConfigError(_scrubbed(f"{route.exchange}: {exc}", route)) from None
        except Exception as exc:
            if type(exc).__name__ == "CannotOverwriteExistingCassetteException":
                path = urlsplit(exchange.public_url)
                raise NotRecorded(
                    f"the recording has no {path.hostname}{path.path} for this question", venue=route.venue
                ) from None
            raise
        received = exchange.received_at if exchange.received_at is not None else clock.now_ms()
        latency = exchange.latency_ms if exchange.latency_ms is not None else 1e3 * (clock.monotonic() - started)
        if exchange.received_at is not None:
            sent_at = received - round(latency)
        return Response(
            f"{route.exchange}-{next(_ids)}",
            status,
            found,
            content,
            sent_at,
            received,
            latency,
            _origin(target, exchange.public_url),
            urlsplit(exchange.public_url).path,
            # What a signed address carries besides is a key or a signature, and answers are shown to people.
            exchange.public_url.partition("?")[0] if exchange.signed else exchange.public_url,
        )

    def _judge(self, route: Route, response: Response) -> None:
        """Raise for statuses that are no answer, and for bodies that cannot be one."""
        status = response.status
        if status in {418, 429}:
            raise self.hush(route, response, banned=status == 418)
        if status >= 500 or status == 408:
            asked = _retry_after(response.headers.get("retry-after"), 0.0)
            raise HttpError(f"HTTP {status}", venue=route.venue, status=status, retry_after=asked or None)
        if 300 <= status < 400:
            raise HttpError(f"HTTP {status}: redirects are not followed", venue=route.venue, status=status)
        if status == 403 and any(pause.asked(_text(response), 0.0) is not None for pause in route.pauses):
            raise self.hush(route, response)
        if status == 451 or (status == 403 and response.body.lstrip()[:1] != b"{"):
            raise Restricted(f"HTTP {status}: this place or address is not served", venue=route.venue)
        if status == 200:
            check_body(response.body, route.venue)

    def hush(self, route: Route, response: Response, *, banned: bool = False) -> RateLimited:
        """Leave a venue alone that asked for it, and return the error that says so.

        For as long as its Retry-After says, else as its words mean, else for a window of the budget that was charged.
        """
        text, now_ms = _text(response), clock.now_ms()
        rules = [(pause, asked) for pause in route.pauses if (asked := pause.asked(text, now_ms)) is not None]
        banned = banned or any(pause.banned for pause, _ in rules)
        windows = [limit.seconds for limit, _, _ in self.budgets.costs(route.limits, response.url)]
        usual = BANNED_S if banned else max(windows, default=PAUSE_S)
        ruled = max((asked for _, asked in rules), default=usual)
        wait = min(_retry_after(response.headers.get("retry-after"), ruled), LONGEST_PAUSE_S)
        if not clock.is_replayed():
            self.budgets.pause(response.origin, wait, banned=banned)
            route.state.note_pause(wait, banned=banned)
        error = Banned if banned else RateLimited
        words = f"HTTP {response.status}; " if response.status != 200 else ""
        return error(f"{words}asked to wait {wait:.0f} s", venue=route.venue, retry_after=wait)

    async def _pace(self, route: Route) -> None:
        if self.requests_per_second is None:
            return
        pace = self._paces.get(route.venue)
        if pace is None:
            from aiolimiter import AsyncLimiter

            pace = self._paces[route.venue] = AsyncLimiter(1, 1 / self.requests_per_second)
        await pace.acquire()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, opened at the first request."""
        if self._session is None:
            import aiohttp

            from xex.access.names import Resolver

            # No limit on connections: budgets and bulkheads bound what is sent, and a wait for a connection
            # would count against the time of the request.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, resolver=Resolver()),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "xex", "Accept-Encoding": "gzip, deflate"},
            )
            # aiohttp would send a request again by itself, uncharged; retries are ours.
            self._session._retry_connection = False  # noqa: SLF001
            self._keeper = _kept(self._session)
            loop = asyncio.get_running_loop()
            self._farewell = weakref.finalize(self, _forsaken, self._session, self._keeper, loop, os.getpid())
        return self._session

    def forget(self, response: Response) -> None:
        """Give an answer to nobody any more: read, it turned out to be none."""
        self._flights.forget(response)

    async def close(self) -> None:
        """End what is being sent, close the session and let its sockets go; nothing is sent afterwards."""
        self.life.end(CLOSED)
        await self._flights.close()
        await self.life.over(CLOSE_S)
        keeper, self._keeper, self._session = self._keeper, None, None
        self._paces.clear()
        self._bulkheads.clear()
        if keeper is not None:
            await keeper.aclose()
        if self._farewell is not None:
            self._farewell.detach()

    def forsake(self) -> None:
        """Let go of the session where nothing can be awaited for it: its loop has ended, or was left in a fork."""
        self.life.why = CLOSED
        self._keeper = self._session = None
        if self._farewell is not None:
            self._farewell()


def _kept(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """Return what closes a session when its event loop ends: loops end the generators that were started in them.

    So does `asyncio.run`, the loop of a test and that of `xex.run`, for a manager that nobody closed.
    """

    async def until_the_loop_ends() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await session.close()
            await asyncio.sleep(0)  # the sockets go in the loop's next turn

    keeper = until_the_loop_ends()
    with suppress(StopIteration):
        keeper.__anext__().send(None)  # starts it without waiting: it comes to its yield at once
    return keeper


_kept_for_the_parent: list[object] = []
"""Sessions that a forked child has inherited: their sockets are the parent's, and closing them would be heard."""


def _forsaken(
    session: aiohttp.ClientSession, keeper: AsyncGenerator[None], loop: asyncio.AbstractEventLoop, process: int
) -> None:
    """Close a session whose owner is gone without having closed it, as well as its loop's state allows.

    Called when the owner is collected, when the process ends, and for an owner that moves to another loop.
    """
    connector = session.connector
    if connector is None or session.closed:
        return
    if os.getpid() != process:
        _kept_for_the_parent.append((connector, keeper, loop))
    elif loop.is_running():
        loop.call_soon_threadsafe(_closing, loop, keeper)
        return
    elif not loop.is_closed():
        with suppress(RuntimeError):  # another loop runs in this thread
            loop.run_until_complete(keeper.aclose())
    else:
        # A connector of a closed loop only forgets; its sockets end when they are collected.
        next(connector.close().__await__(), None)
    session.detach()


def _closing(loop: asyncio.AbstractEventLoop, keeper: AsyncGenerator[None]) -> None:
    task = loop.create_task(keeper.aclose())
    _closings.add(task)
    task.add_done_callback(_closings.discard)


_closings: set[asyncio.Task[None]] = set()


def check_body(body: bytes, venue: str) -> None:
    """Raise `BadPayload` for a body that cannot be whole JSON: empty, HTML, a bare value, cut off."""
    start, end = body[:64].lstrip()[:1], body[-64:].rstrip()[-1:]
    if not body.strip():
        raise BadPayload("an empty body", venue=venue)
    if start == b"<":
        raise BadPayload("HTML instead of JSON", venue=venue)
    if start not in {b"{", b"["}:
        raise BadPayload("neither a JSON object nor a list", venue=venue)
    if end != {b"{": b"}", b"[": b"]"}[start]:
        raise BadPayload("JSON that breaks off", venue=venue)


async def _read(answer: aiohttp.ClientResponse, venue: str) -> bytes:
    """Read the body, but not without bound: a small compressed answer may unpack to gigabytes."""
    plain = "Content-Encoding" not in answer.headers and (answer.content_length or MAX_BODY + 1) <= MAX_BODY
    if plain or clock.is_recorded():
        return await answer.read()
    chunks, size = [], 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY:
            answer.close()
            raise TooLarge(f"an answer of more than {MAX_BODY >> 20} MiB", venue=venue)
        chunks.append(chunk)
    return b"".join(chunks)


def _unsent(error: ConnectorError) -> ConnectorError:
    """Mark an error as one of ours: nothing was asked, so it says nothing about the venue."""
    error.sent = False
    return error


def is_outage(error: ConnectorError) -> bool:
    """Say whether an error means that an endpoint does not work: refusals and limits are answers, not outages."""
    if isinstance(error, HttpError):
        return error.status in RETRIED_STATUS or error.status >= 500
    return isinstance(error, (Unreachable, TimedOut, BadPayload, Maintenance)) and not isinstance(error, MissingRow)


def _left_alone(route: Route, url: str) -> CircuitOpen:
    """Return the error that says that an endpoint is not asked, and until when."""
    endpoint = urlsplit(url).path
    wait = route.state.breaker(endpoint).wait()
    due = math.isfinite(wait)
    left = f"; the next try is due in {wait:.0f} s" if due else ""
    last = f" (last: {route.state.last_error})" if route.state.last_error else ""
    words = f"{endpoint} kept failing and is left alone{left}{last}"
    return CircuitOpen(words, venue=route.venue, retry_after=wait if due else None)


def _text(response: Response) -> str:
    """Return the beginning of a body, where a refusal says what it is."""
    return response.body[:2048].decode(errors="replace")


_HOST = re.compile(r"[^/?#]*//[^/?#]*")


def _host(url: str) -> str:
    """Return scheme and host of an address."""
    found = _HOST.match(url)
    return found[0] if found else ""


def _through(base_url: str | None, url: str) -> str:
    """Return `url` on another host, with the path prefix that host wants."""
    return url if base_url is None else base_url.rstrip("/") + url[len(_host(url)) :]


def origin_of(route: Route, url: str) -> str:
    """Return what budgets and pauses of a request are kept by."""
    return _origin(_through(route.base_url, url), url)


def _origin(target: str, public_url: str) -> str:
    """Return what budgets and pauses are kept by: where a request goes, and for which of the venue's hosts."""
    if target == public_url:
        return _host(target)
    return f"{_host(target)} for {_host(public_url).partition('//')[2]}"


def _retry_after(text: str | None, default: float) -> float:
    """Return the seconds that a Retry-After header, in seconds or as a date, asks for; three days at most."""
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return default
    return min(max(0.0, seconds), LONGEST_PAUSE_S) if math.isfinite(seconds) else default


def _bare(url: str) -> str:
    """Return an address without what may be a key: it is remembered."""
    return url.partition("?")[0]


_NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


def _how(error: BaseException) -> str:
    """Say what stood in the way of a connection, as `Unreachable.how` has it."""
    import ssl

    import aiohttp

    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (aiohttp.ClientConnectorCertificateError, "certificate"), (aiohttp.ClientConnectorDNSError, "name"),
        (aiohttp.ClientProxyConnectionError, "proxy"), (aiohttp.ClientSSLError, "tls"), (ssl.SSLError, "tls"),
    )  # fmt: skip
    named = next((how for kind, how in kinds if isinstance(error, kind)), "")
    number = getattr(getattr(error, "os_error", None) or error, "errno", None)
    return named or ("refused" if number == errno.ECONNREFUSED else "network" if number in _NO_WAY else "")


_HOW = {"name": "the name does not resolve", "proxy": "no way to the proxy", "tls": "no TLS as it should be"}


def _why(error: BaseException) -> str:
    """Say what broke in a few words, without the address: it may hold a key."""
    how, inner = _how(error), getattr(error, "os_error", None) or error
    if how == "certificate":
        said = getattr(getattr(error, "certificate_error", None), "verify_message", "") or "no reason given"
        reason = re.sub(r" for '[^']*'", "", said)
        return f"its certificate is not accepted ({reason})"
    name = _HOW.get(how) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    number = getattr(inner, "errno", None)
    if how == "tls":
        text = (getattr(inner, "reason", None) or "").replace("_", " ").lower()
    elif isinstance(number, int) and number > 0:
        text = os.strerror(number)
    else:
        text = getattr(inner, "strerror", None) or ""
    return f"{name} ({text})" if text else name


_SIGNED = re.compile(r"((?:signature|AccessKeyId|apikey|api_key|listenKey|passphrase)=)[^&\s'\"]+", re.IGNORECASE)


def _scrubbed(text: str, route: Route) -> str:
    return scrub(text, route.secrets)


def scrub(text: str, secrets: Sequence[str] = ()) -> str:
    """Return `text` without secrets and without what a signed address carries."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _SIGNED.sub(r"\1***", text)
