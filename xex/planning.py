"""What a question would cost: requests, weight, time, and what would not fit, before the first byte is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from xex.access.budgets import Budgets, Ledger, Limit
from xex.access.transport import Route, origin_of
from xex.errors import Drop
from xex.model import schema
from xex.model.schema import Columns

if TYPE_CHECKING:
    import pandas as pd

LATENCY_S = 0.3
"""How long an answer is taken to travel where none has been measured."""


class Asked(NamedTuple):
    """One request that would be made."""

    route: Route
    url: str


@dataclass(slots=True)
class _Use:
    """What the requests of one exchange take from one budget, in their order; `ledger` is None where none is known."""

    asked: Asked
    limit: Limit | None
    value: str
    ledger: Ledger | None
    paused_s: float
    weights: list[float] = field(default_factory=list)

    def wait_s(self, count: int) -> float:
        """Return the seconds until the last of `count` requests may go."""
        if self.ledger is None:
            return self.paused_s
        ahead = self.ledger.waiting + sum(self.weights[: count - 1])
        return max(self.paused_s, self.ledger.wait(self.weights[count - 1], ahead))

    def ends_s(self, count: int) -> float:
        """Return the seconds until the last of `count` requests is answered."""
        latency = self.asked.route.state.latency
        travels = latency / 1e3 if latency == latency else LATENCY_S
        rounds = 0.0
        if self.ledger is not None:
            # A window begins when an answer is there: each full budget before adds one journey.
            rounds = (sum(self.weights[: count - 1]) + self.ledger.used) // self.ledger.weight
        return self.wait_s(count) + travels * (1 + rounds)

    def fitting(self, deadline_s: float) -> int:
        """Return how many of the requests are answered in time: those before one that is, are."""
        low, high = 0, len(self.weights)
        while low < high:
            middle = (low + high + 1) // 2
            if self.ends_s(middle) <= deadline_s:
                low = middle
            else:
                high = middle - 1
        return low


@dataclass(frozen=True)
class Plan:
    """What a question would cost now.

    `requests` is how many would be made, `duration_s` how long they are expected to take side by side, `fits` whether
    all would be answered within `deadline_s`, `unfit` by exchange how many would not. `frame` has a row per budget:
    `weight` and `limit` in the venue's own units per `window_s` seconds, what is `used` of it now, `wait_s` until the
    last request may go, `of` the value that has a budget of its own. `addresses` are the requests, as exchange and
    address; `dropped` says by exchange why it would not be asked. The first questions of a process also ask for
    instruments and clocks, which are included. Nothing is sent for a plan.
    """

    question: str
    deadline_s: float
    addresses: tuple[tuple[str, str], ...] = field(repr=False)
    columns: Columns = field(repr=False)
    dropped: Mapping[str, Drop] = field(default_factory=dict)

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each exchange and budget, in the schema `plan`."""
        return schema.frame(dict(self.columns), "plan")

    @property
    def requests(self) -> int:
        """How many requests would be made."""
        return len(self.addresses)

    @property
    def duration_s(self) -> float:
        """How long it is expected to take, in seconds."""
        return max(self.columns["duration_s"], default=0.0)

    @property
    def unfit(self) -> dict[str, int]:
        """By exchange, how many requests would not be answered in time."""
        found: dict[str, int] = {}
        for name, count in zip(self.columns["exchange"], self.columns["unfit"], strict=True):
            if count:
                found[name] = found.get(name, 0) + int(count)
        return found

    @property
    def fits(self) -> bool:
        """Whether all would be answered within the deadline; nothing fits where nobody would be asked."""
        return not self.unfit and bool(self.addresses)

    def __str__(self) -> str:
        if not self.addresses:
            return (
                f"{self.question}: nobody would be asked{''.join(f'; {n}: {d.text}' for n, d in self.dropped.items())}"
            )
        left = ", ".join(f"{count:,} of {name}" for name, count in self.unfit.items())
        fits = f"fits into {self.deadline_s:g} s" if self.fits else f"{left} would not fit into {self.deadline_s:g} s"
        without = f"; not asked: {', '.join(self.dropped)}" if self.dropped else ""
        return f"{self.question}: {self.requests:,} requests, about {self.duration_s:,.1f} s; {fits}{without}"


def planned(
    question: str,
    asked: Iterable[Asked],
    budgets: Budgets,
    deadline_s: float,
    dropped: Mapping[str, Drop],
    requests_per_second: float | None = None,
) -> Plan:
    """Return the plan of some requests, in the order in which each exchange would be asked."""
    requests = list(asked)
    uses: dict[tuple[str, str, str, str], _Use] = {}
    known: dict[tuple[str, str], list[tuple[_Use, float]]] = {}
    for one in requests:
        key = (one.route.exchange, one.url)
        if key not in known:  # a job asks the same a thousand times
            known[key] = _charged(one, budgets, uses)
        for use, weight in known[key]:
            use.weights.append(weight)
    paced = _paced(requests, requests_per_second)
    rows = [_row(use, deadline_s, paced.get(use.asked.route.venue, 0.0)) for use in uses.values()]
    columns: Columns = {name: [row[name] for row in rows] for name in schema.SCHEMAS["plan"]}
    addresses = tuple((one.route.exchange, one.url) for one in requests)
    return Plan(question, deadline_s, addresses, columns, dict(dropped))


def _charged(one: Asked, budgets: Budgets, uses: dict[tuple[str, str, str, str], _Use]) -> list[tuple[_Use, float]]:
    """Return what a request takes from each budget; of a host without one that is nothing."""
    origin, host = origin_of(one.route, one.url), urlsplit(one.url).hostname or ""
    charges = list(budgets.charges(one.route.limits, one.url, origin, one.route.rate_share))
    costs = list(budgets.costs(one.route.limits, one.url))
    paused_s, exchange = budgets.paused(origin), one.route.exchange
    if not charges:
        return [(uses.setdefault((exchange, origin, "", host), _Use(one, None, "", None, paused_s)), 0.0)]
    found = []
    for charge, (limit, _, value) in zip(charges, costs, strict=True):
        made = _Use(one, limit, value, charge.ledger, paused_s)
        use = uses.setdefault((exchange, origin, limit.name, value), made)
        found.append((use, min(charge.weight, limit.weight)))
    return found


def _paced(requests: Sequence[Asked], requests_per_second: float | None) -> dict[str, float]:
    """Return by venue how long the caller's own pace takes for all requests."""
    if requests_per_second is None:
        return {}
    venues = [one.route.venue for one in requests]
    return {venue: (venues.count(venue) - 1) / requests_per_second for venue in set(venues)}


def _row(use: _Use, deadline_s: float, paced_s: float) -> dict[str, object]:
    count, route = len(use.weights), use.asked.route
    duration_s = max(use.ends_s(count), paced_s)
    unfit = count - use.fitting(deadline_s)
    if paced_s > deadline_s:
        unfit = max(unfit, count - int(count * deadline_s / paced_s))
    return {
        "exchange": route.exchange, "venue": route.venue, "host": urlsplit(use.asked.url).hostname or "",
        "budget": "" if use.limit is None else use.limit.name, "of": use.value, "requests": float(count),
        "weight": sum(use.weights), "limit": inf if use.limit is None else use.limit.weight,
        "window_s": 0.0 if use.limit is None else use.limit.seconds,
        "used": 0.0 if use.ledger is None else use.ledger.used, "wait_s": use.wait_s(count), "duration_s": duration_s,
        "unfit": float(unfit),
    }  # fmt: skip
