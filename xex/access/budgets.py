"""Request budgets: never more than a venue's published limit in any window of the venue's own clock.

A ledger holds what was taken from one budget. Weight is taken in order of arrival and comes back one window
after the answer arrived (or the request was given up): however long the request travelled, no window at the
venue ever holds more than the limit, and an idle venue may be asked up to the limit at once. Ledgers are
keyed by (origin, budget, family) and shared by every client in the process; they hold nothing that is bound
to an event loop.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from xex.access.deadline import patience
from xex.errors import Banned, RateLimited
from xex.model.clock import monotonic

# What an answer may travel longer than the one before it; beyond the window, so that jitter cannot breach it.
MARGIN_S = 0.1
# How many addresses are remembered with their weights.
MOST_KNOWN = 4096
# What sums of fractions may be off by.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Limit:
    """A published budget: at most `weight` per `seconds` for the requests whose path matches.

    `costs` maps a path pattern to its weight, or to a function of the query; other matching paths cost 1.
    `per` names a query parameter whose every value has a budget of its own. `used_header` names the response
    header in which the venue says how much of the window is used.
    """

    name: str
    host: str
    weight: float
    seconds: float
    path: str = ""
    costs: Mapping[str, float | Callable[[Mapping[str, str]], float]] = field(default_factory=dict)
    per: str = ""
    used_header: str = ""

    def cost(self, path: str, query: Mapping[str, str]) -> float | None:
        """Return the weight of a request, None when this budget does not concern it."""
        if not re.search(self.path, path):
            return None
        for pattern, weight in self.costs.items():
            if re.search(pattern, path):
                return weight(query) if callable(weight) else weight
        return 1.0


class Ledger:
    """What one budget has given out. Times are monotonic seconds from an injectable clock."""

    def __init__(self, weight: float, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.weight, self.seconds, self.clock = weight, seconds, clock
        self._returns: deque[tuple[float, float]] = deque()
        self._out = 0.0
        self._waiting: deque[object] = deque()

    @property
    def used(self) -> float:
        """The weight that is out now: in flight, or answered less than a window ago."""
        now = self.clock()
        while self._returns and self._returns[0][0] <= now:
            self._out -= self._returns.popleft()[1]
        return self._out

    def wait(self, weight: float) -> float:
        """Return the seconds until `weight` can be taken, 0 when it can be now; infinity if only an answer helps."""
        free = self.weight - self.used
        if weight <= free + _ROUNDING:
            return 0.0
        now = self.clock()
        for due, returned in self._returns:
            free += returned
            if weight <= free + _ROUNDING:
                return max(due - now, 0.0)
        return float("inf")

    async def take(self, weight: float, venue: str) -> None:
        """Take `weight` in order of arrival; raises `RateLimited` when the caller's deadline comes first."""
        weight = min(weight, self.weight)
        ticket = object()
        self._waiting.append(ticket)
        try:
            while self._waiting[0] is not ticket or (wait := self.wait(weight)) > 0:
                if self._waiting[0] is not ticket:
                    # Those in front may live in other event loops, so they are looked for and not awaited.
                    wait = 0.005
                if wait > patience():
                    raise RateLimited(
                        f"the published budget ({self.weight:g} per {self.seconds:g} s) is spent", venue=venue
                    )
                await asyncio.sleep(min(max(wait, 0.001), 0.25))
            self._out += weight
        finally:
            if ticket in self._waiting:  # a forked child has forgotten its parent's
                self._waiting.remove(ticket)

    def give_back(self, weight: float) -> None:
        """Note that the request that took `weight` is over: it comes back one window from now."""
        self._returns.append((self.clock() + self.seconds + MARGIN_S, min(weight, self.weight)))

    def correct(self, used: float) -> None:
        """Raise what is out to what the venue says is used; never lower it."""
        missing = min(used, self.weight) - self.used
        if missing > 0:
            self._out += missing
            self.give_back(missing)

    def inherit(self) -> None:
        """Forget the parent's questions in a forked child: who waits there is not here, and no answer will be."""
        self._waiting.clear()
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
        for limit, cost, value in self._costs(limits, public_url):
            key = (origin, limit.name, value)
            ledger = self._ledgers.get(key)
            if ledger is None:
                ledger = self._ledgers[key] = Ledger(limit.weight, limit.seconds, self.clock)
            yield Charge(ledger, cost / share, limit)

    def _costs(self, limits: Iterable[Limit], public_url: str) -> Iterable[tuple[Limit, float, str]]:
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

    def pause(self, origin: str, seconds: float, *, banned: bool = False) -> None:
        """Send nothing to `origin` for `seconds`."""
        until = self.clock() + seconds
        if until > self._pauses.get(origin, (0.0, False))[0]:
            self._pauses[origin] = (until, banned)

    def check_pause(self, origin: str, venue: str) -> None:
        """Raise `RateLimited` or `Banned` while `origin` asked not to be called."""
        until, banned = self._pauses.get(origin, (0.0, False))
        left = until - self.clock()
        if left > 0:
            error = Banned if banned else RateLimited
            raise error(f"the venue asked to wait; {left:.0f} s are left", venue=venue, retry_after=left)

    def inherit(self) -> None:
        """Go on in a forked child with what is known of the venues' windows, which parent and child share."""
        for ledger in self._ledgers.values():
            ledger.inherit()

    @contextmanager
    def spending(self, charged: Iterable[Charge]) -> Iterator[None]:
        """Give back what was taken when the request is over, however it ended."""
        try:
            yield
        finally:
            for charge in charged:
                charge.ledger.give_back(charge.weight)


PROCESS = Budgets()

if hasattr(os, "register_at_fork"):  # not on Windows, which knows no fork
    os.register_at_fork(after_in_child=PROCESS.inherit)
