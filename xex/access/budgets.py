"""Request budgets: never more than a venue's published limit in any window of the venue's own clock.

A ledger holds what was taken from one budget. Weight is taken in order of arrival and comes back one window
after the answer arrived (or the request was given up): however long the request travelled, no window at the
venue ever holds more than the limit, and an idle venue may be asked up to the limit at once. Ledgers are
keyed by (origin, budget, family) and shared by every client in the process, in whatever event loop or thread
it runs: whoever waits is woken in its own loop, and nothing here belongs to one.
"""

from __future__ import annotations

import asyncio
import os
import re
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isinf
from threading import Lock
from urllib.parse import parse_qs, urlsplit

from xex.access.deadline import patience, was_late
from xex.errors import Banned, RateLimited
from xex.model.clock import monotonic

MARGIN_S, DRIFT = 0.002, 1e-4
"""What is added to a window: venues stamp whole milliseconds, timers fire a breath early, and clocks drift apart."""
GIVEN_UP_S = 1.0
"""How much later than it was given up a request may still reach the venue."""
MOST_KNOWN = 4096
"""How many addresses are remembered with their weights."""
BUSY = 0.8
"""The share of a budget above which people want to know."""
_LOOK_S = 0.25
"""How often somebody behind a waiter of another event loop looks whether that loop still runs."""
_ROUNDING = 1e-9
"""What sums of fractions may be off by."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A published budget: at most `weight` per `seconds` for the requests whose path matches.

    `costs` maps a path pattern to its weight, or to a function of the query; other matching paths cost 1.
    `per` names a query parameter whose every value has a budget of its own. `used_header` names the response
    header in which the venue says how much of the window is used, `left_header` the one that says how much is
    left, `most_header` the one that says how large the budget is, where that is the caller's own and `weight` but the
    least. `source` says where the rule stands.
    """

    name: str
    host: str
    weight: float
    seconds: float
    path: str = ""
    costs: Mapping[str, float | Callable[[Mapping[str, str]], float]] = field(default_factory=dict)
    per: str = ""
    used_header: str = ""
    left_header: str = ""
    most_header: str = ""
    source: str = ""

    def cost(self, path: str, query: Mapping[str, str]) -> float | None:
        """Return the weight of a request, None when this budget does not concern it."""
        if not re.search(self.path, path):
            return None
        for pattern, weight in self.costs.items():
            if re.search(pattern, path):
                return weight(query) if callable(weight) else weight
        return 1.0

    def used(self, headers: Mapping[str, str]) -> float | None:
        """Return how much of the budget the venue says is used, None where it says nothing."""
        used = _count(headers.get(self.used_header.lower(), "")) if self.used_header else None
        left = _count(headers.get(self.left_header.lower(), "")) if self.left_header else None
        return used if left is None else max(used or 0.0, self.weight - left)

    def most(self, headers: Mapping[str, str]) -> float | None:
        """Return how large the venue says the budget is, None where it says nothing or that there is none."""
        return _count(headers.get(self.most_header.lower(), "")) or None if self.most_header else None


def _count(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None


@dataclass(frozen=True, slots=True)
class Pause:
    """How a venue asks to be left alone in an answer, and for how long where it does not say.

    `words` is a pattern that the body matches; its group `until`, where it has one, is the end of the pause in Unix
    milliseconds. `banned` tells being shut out from being asked to slow down.
    """

    words: str
    seconds: float
    banned: bool = False
    source: str = ""

    def asked(self, text: str, now_ms: float) -> float | None:
        """Return the seconds that a body asks for, None where it does not."""
        found = re.search(self.words, text)
        if found is None:
            return None
        if until := found.groupdict().get("until"):
            return max(0.0, (float(until) - now_ms) / 1e3)
        return self.seconds


class _Ticket:
    """A place in the queue of a ledger: what is wanted, and how its owner is woken."""

    __slots__ = ("loop", "weight", "woken")

    def __init__(self, weight: float) -> None:
        self.weight, self.loop = weight, asyncio.get_running_loop()
        self.woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Let the owner look again, from whatever thread."""
        if self.alive:
            self.loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)

    @property
    def alive(self) -> bool:
        """Whether its event loop can still take its turn."""
        return self.loop.is_running() and not self.loop.is_closed()

    async def nap(self, seconds: float) -> None:
        """Wait to be woken, for some seconds at most."""
        self.woken = self.loop.create_future()
        handle = None if isinf(seconds) else self.loop.call_later(seconds, self._ring)
        try:
            await self.woken
        finally:
            self.woken = None
            if handle is not None:
                handle.cancel()


class Ledger:
    """What one budget has given out. Times are monotonic seconds from an injectable clock."""

    def __init__(self, weight: float, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.weight, self.seconds, self.clock = weight, seconds, clock
        self._largest = weight
        self.back_s = seconds * (1 + DRIFT) + MARGIN_S
        self._lock = Lock()
        self._returns: list[tuple[float, float]] = []
        self._out = 0.0
        self._queue: deque[_Ticket] = deque()
        self._queued = 0.0

    @property
    def used(self) -> float:
        """The weight that is out now: in flight, or answered less than a window ago."""
        with self._lock:
            return self._used()

    def _used(self) -> float:
        now, returned = self.clock(), 0
        for due, weight in self._returns:
            if due > now:
                break
            self._out -= weight
            returned += 1
        if returned:
            del self._returns[:returned]
        return self._out

    @property
    def waiting(self) -> float:
        """The weight that is waited for."""
        return self._queued

    def wait(self, weight: float, ahead: float = 0.0) -> float:
        """Return the least seconds until `weight` can be taken behind what others wait for, 0 when it can be now.

        It is exact where all that is out has been answered and nobody waits; what is in flight comes back one window
        from now at the earliest.
        """
        with self._lock:
            return self._wait(min(weight, self.weight), ahead)

    def _wait(self, weight: float, ahead: float = 0.0) -> float:
        needed = ahead + weight - (self.weight - self._used())
        if needed <= _ROUNDING:
            return 0.0
        # Whatever is given out comes back a window later: beyond one budget, each round is as long as a window.
        rounds = max(0.0, -(-(needed - _ROUNDING) // self.weight) - 1)
        needed -= rounds * self.weight
        now = self.clock()
        for due, returned in self._returns:
            needed -= returned
            if needed <= _ROUNDING:
                return rounds * self.seconds + max(due - now, 0.0)
        return rounds * self.seconds + self.back_s

    async def take(self, weight: float, venue: str) -> float:
        """Take `weight`, all there is where it is more, in order of arrival, and return what was taken.

        Raises `RateLimited` when the caller's patience ends first.
        """
        weight = min(weight, self.weight)
        with self._lock:
            if not self._queue and self._wait(weight) <= 0:
                self._out += weight
                return weight
            ahead, ticket = self._queued, _Ticket(weight)
            self._queue.append(ticket)
            self._queued += weight
        taken = False
        try:
            taken = self.wait(weight, ahead) <= patience() and await self._queued_up(ticket)
        except asyncio.CancelledError as exc:
            if not was_late(exc):
                raise
        finally:
            if not taken:
                self._leave(ticket)
        if not taken:
            words = f"the published budget ({self.weight:g} per {self.seconds:g} s) is spent"
            raise RateLimited(words, venue=venue)
        return ticket.weight

    async def _queued_up(self, ticket: _Ticket) -> bool:
        """Wait for a ticket's turn and take what it wants; False when the caller's patience ends first."""
        while (wait := self._turn(ticket)) > 0:
            left = patience()
            if left <= 0 or (wait > left and not isinf(wait)):
                return False
            await ticket.nap(min(left, self._look_after(ticket) if isinf(wait) else wait))
        return True

    def _look_after(self, ticket: _Ticket) -> float:
        """Return when somebody behind others looks again unasked: never where the first one will wake the next."""
        with self._lock:
            return inf if not self._queue or self._queue[0].loop is ticket.loop else _LOOK_S

    def _turn(self, ticket: _Ticket) -> float:
        """Take what a ticket wants and return 0 where it is its turn; else the seconds to wait, or infinity."""
        with self._lock:
            self._skip_the_dead(ticket)
            if self._queue[0] is not ticket:
                return inf
            weight = min(ticket.weight, self.weight)
            wait = self._wait(weight)
            if wait > 0:
                return wait
            self._queue.popleft()
            self._queued = self._queued - ticket.weight if self._queue else 0.0
            ticket.weight = weight  # the budget may have become smaller meanwhile
            self._out += weight
            following = self._queue[0] if self._queue else None
        if following is not None:
            following.wake()
        return 0.0

    def _skip_the_dead(self, me: _Ticket) -> None:
        """Take those out of the queue whose event loop has stopped: they would hold up everybody for ever."""
        while self._queue and self._queue[0] is not me and not self._queue[0].alive:
            self._queued -= self._queue.popleft().weight
        if me not in self._queue:
            self._queue.append(me)
            self._queued += me.weight

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket not in self._queue:
                return
            first = self._queue[0] is ticket
            self._queue.remove(ticket)
            self._queued = self._queued - ticket.weight if self._queue else 0.0
            following = self._queue[0] if first and self._queue else None
        if following is not None:
            following.wake()

    def give_back(self, weight: float, *, late_s: float = 0.0) -> None:
        """Note that the request that took `weight` is over: it comes back one window from now, or `late_s` later."""
        with self._lock:
            self._return(min(weight, self._largest), self.back_s + late_s)
            first = self._queue[0] if self._queue else None
        if first is not None:
            first.wake()

    def undo(self, weight: float) -> None:
        """Put back what was taken for a request that was never sent."""
        with self._lock:
            self._out -= min(weight, self._largest)
            first = self._queue[0] if self._queue else None
        if first is not None:
            first.wake()

    def correct(self, used: float) -> None:
        """Raise what is out to what the venue says is used; never lower it."""
        with self._lock:
            missing = min(used, self.weight) - self._used()
            if missing > 0:
                self._out += missing
                self._return(missing, self.back_s)

    def resize(self, weight: float) -> None:
        """Let the budget be as large as the venue says it is; who waits looks again."""
        with self._lock:
            if weight == self.weight:
                return
            self.weight, self._largest = weight, max(weight, self._largest)
            first = self._queue[0] if self._queue else None
        if first is not None:
            first.wake()

    def _return(self, weight: float, seconds: float) -> None:
        insort(self._returns, (self.clock() + seconds, weight))

    def inherit(self) -> None:
        """Forget the parent's questions in a forked child: who waits there is not here, and no answer will be."""
        self._lock = Lock()  # another thread of the parent may have held it
        self._queue.clear()
        self._queued = 0.0
        under_way = self.used - sum(weight for _, weight in self._returns)
        if under_way > 0:
            self.give_back(under_way)


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request takes from one ledger."""

    ledger: Ledger
    weight: float
    limit: Limit


class Budgets:
    """The ledgers of one process, and the pauses that venues have asked for."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._ledgers: dict[tuple[str, str, str], Ledger] = {}
        self._pauses: dict[str, tuple[float, bool]] = {}
        self._known: dict[tuple[int, str], tuple[Iterable[Limit], list[tuple[Limit, float, str]]]] = {}

    def charges(self, limits: Iterable[Limit], public_url: str, origin: str, share: float = 1.0) -> Iterator[Charge]:
        """Yield what a request to `public_url` takes; a caller with a `share` of the budget pays dearer."""
        for limit, cost, value in self.costs(limits, public_url):
            key = (origin, limit.name, value)
            ledger = self._ledgers.get(key)
            if ledger is None:
                made = Ledger(limit.weight, limit.seconds, self.clock)
                ledger = self._ledgers.setdefault(key, made)  # another thread may have been first
            yield Charge(ledger, cost / share, limit)

    def costs(self, limits: Iterable[Limit], public_url: str) -> Iterable[tuple[Limit, float, str]]:
        """Return which limits a request concerns, its weight in each, and the value that has a budget of its own."""
        # The same few addresses are asked again and again, and taking one apart costs as much as a small body.
        known = self._known.get((id(limits), public_url))
        if known is None or known[0] is not limits:
            parts = urlsplit(public_url)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            costs = [
                (limit, cost, query.get(limit.per, "") if limit.per else "")
                for limit in limits
                if limit.host == parts.hostname and (cost := limit.cost(parts.path, query)) is not None
            ]
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[id(limits), public_url] = (limits, costs)
        return known[1]

    async def admit(self, charges: Iterable[Charge], origin: str, venue: str) -> list[Charge]:
        """Wait until a request may go and return what it took; nothing is taken where it may not.

        Raises `Banned` or `RateLimited` where a pause, or a budget, lasts longer than the caller waits.
        """
        await self._pause_over(origin, venue)
        taken: list[Charge] = []
        try:
            for charge in charges:
                # What was taken is what goes back: the budget may have another size by then.
                weight = await charge.ledger.take(charge.weight, venue)
                taken.append(Charge(charge.ledger, weight, charge.limit))
            # The door may have been closed while we waited for our turn.
            self.check_pause(origin, venue)
        except BaseException:
            self.undo(taken)
            raise
        return taken

    @staticmethod
    def undo(taken: Iterable[Charge]) -> None:
        """Put back what was taken for a request that was not sent."""
        for charge in taken:
            charge.ledger.undo(charge.weight)

    @staticmethod
    def settle(taken: Iterable[Charge], headers: Mapping[str, str] | None) -> None:
        """Note that a request is over, and what the venue's answer says of the budgets; None for no answer."""
        for charge in taken:
            charge.ledger.give_back(charge.weight, late_s=GIVEN_UP_S if headers is None else 0.0)
            if headers is None:
                continue
            if (most := charge.limit.most(headers)) is not None:
                charge.ledger.resize(most)
            if (used := charge.limit.used(headers)) is not None:
                charge.ledger.correct(used)

    def pause(self, origin: str, seconds: float, *, banned: bool = False) -> None:
        """Send nothing to `origin` for `seconds`."""
        until = self.clock() + seconds
        if until > self._pauses.get(origin, (0.0, False))[0]:
            self._pauses[origin] = (until, banned)

    def paused(self, origin: str) -> float:
        """Return the seconds for which nothing is sent to `origin`, 0 for none."""
        return max(0.0, self._pauses.get(origin, (0.0, False))[0] - self.clock())

    def check_pause(self, origin: str, venue: str) -> None:
        """Raise `RateLimited` or `Banned` while `origin` asked not to be called."""
        left = self.paused(origin)
        if left > 0:
            error = Banned if self._pauses[origin][1] else RateLimited
            raise error(f"the venue asked to wait; {left:.0f} s are left", venue=venue, retry_after=left)

    async def _pause_over(self, origin: str, venue: str) -> None:
        """Wait for the end of a pause where the caller said that it waits that long."""
        while (left := self.paused(origin)) > 0:
            waits = patience()
            if isinf(waits) or left > waits:
                self.check_pause(origin, venue)
            await asyncio.sleep(left + 1e-3)

    def inherit(self) -> None:
        """Go on in a forked child with what is known of the venues' windows, which parent and child share."""
        for ledger in self._ledgers.values():
            ledger.inherit()


PROCESS = Budgets()

if hasattr(os, "register_at_fork"):  # not on Windows, which knows no fork
    os.register_at_fork(after_in_child=PROCESS.inherit)
