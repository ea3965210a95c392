"""How often the venues say that they may be asked: who kept to it, and how soon all could have been answered.

The table is written from what the venues document and from nothing of the callers that it judges. Every request counts
when it arrives, refused or not, and all that it costs is held against every window that it falls into: a window of T
seconds ends at an arrival t and is (t - T, t], so what came exactly T earlier is out of it.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tests.lab import encode_binance, encode_htx, encode_okx
from tests.lab.wire import Query

PATIENCE, PATIENCE_S = 3, 10.0  # a host that refused so often in so many seconds shuts the caller out
BAN_S = {"binance": 120.0, "bybit": 600.0}
USUAL_BAN_S = 60.0

# (venue, rule), and the value that has a window of its own where the rule counts each value apart
Key: TypeAlias = tuple[str, ...]


def _one(path: str, query: Query) -> int:
    """Every request costs the same."""
    del path, query
    return 1


@dataclass(frozen=True)
class Rule:
    """At most `weight` in any window of `seconds` for the paths that match; with `per`, for each value of that key."""

    name: str
    path: str
    weight: int
    seconds: float
    cost: Callable[[str, Query], int] = _one
    per: str = ""


def _each(prefix: str, rates: Mapping[str, tuple[int, float]], cost: Callable[[str, Query], int] = _one) -> list[Rule]:
    """Return a rule for every endpoint, named as the endpoint is."""
    return [Rule(name, f"^{prefix}{name}$", weight, seconds, cost) for name, (weight, seconds) in rates.items()]


_SAPI = dict.fromkeys(
    ("system/status", "capital/config/getall", "account/apiRestrictions", "asset/tradeFee"), (12_000, 60.0)
)
_OKX = {
    **dict.fromkeys(("market/tickers", "market/ticker", "public/instruments", "public/open-interest"), (20, 2.0)),
    "market/books": (40, 2.0),
    "market/books-full": (10, 2.0),
    "market/trades": (100, 2.0),
    "public/liquidation-orders": (40, 2.0),
    "public/time": (10, 2.0),
    "system/status": (1, 5.0),
    "asset/currencies": (6, 1.0),
    "account/config": (5, 2.0),
    "public/funding-rate": (10, 2.0),
    **dict.fromkeys(encode_okx.RATIOS, (5, 2.0)),
    "account/trade-fee": (5, 2.0),
}
RULES: dict[tuple[str, str], tuple[Rule, ...]] = {
    ("binance", "api.binance.com"): (
        Rule("spot", "^/api/", 6000, 60, encode_binance.weight),
        *_each("/sapi/v1/", _SAPI, encode_binance.weight),
    ),
    ("binance", "fapi.binance.com"): (
        Rule("fapi", "^/fapi/(?!v1/funding(Info|Rate)$)", 2400, 60, encode_binance.weight),
        Rule("fapi data", "^/futures/data/", 1000, 300),
        Rule("fapi funding", "/funding(Info|Rate)$", 500, 300),
    ),
    ("binance", "dapi.binance.com"): (
        Rule("dapi", "^/dapi/(?!v1/funding(Info|Rate)$)", 2400, 60, encode_binance.weight),
        Rule("dapi data", "^/futures/data/", 1000, 300),
        Rule("dapi funding", "/funding(Info|Rate)$", 500, 300),
    ),
    ("okx", "www.okx.com"): (*_each("/api/v5/", _OKX),),
    ("htx", "api.huobi.pro"): (Rule("spot", "", 10, 1),),
    ("htx", "api.hbdm.vn"): (Rule("market", "/market/", 800, 1), Rule("other", "^(?!.*/market/)", 240, 3)),
    ("bybit", "api.bybit.com"): (Rule("public", "", 600, 5),),
    ("kraken", "api.kraken.com"): (
        Rule("public", "^/0/public/(?!(Depth|Trades)$)", 10, 10),
        Rule("depth", "^/0/public/Depth$", 10, 10, per="pair"),
        Rule("trades", "^/0/public/Trades$", 10, 10, per="pair"),
    ),
    ("krakenfutures", "futures.kraken.com"): (Rule("derivatives", "", 500, 10),),
    ("coinglass", "open-api-v4.coinglass.com"): (Rule("key", "", 30, 60),),
    ("bitget", "api.bitget.com"): (),  # nothing is known of it
}
TABLE: dict[Key, Rule] = {(venue, rule.name): rule for (venue, _), rules in RULES.items() for rule in rules}
_ONLY_HOST: dict[str, str] = dict(RULES.keys())


def host_of(venue: str, path: str, query: Query) -> str:
    """Name of the venue's host that a request is for: the lab has one port for all of a venue's hosts."""
    if venue == "binance":
        name = path.split("/")[1]
        if name == "futures":
            return "dapi.binance.com" if "pair" in query else "fapi.binance.com"
        return f"{name}.binance.com" if name in ("fapi", "dapi") else "api.binance.com"
    if venue == "htx":
        return "api.hbdm.vn" if encode_htx.is_contract(path, query) else "api.huobi.pro"
    return _ONLY_HOST[venue]


def charges(venue: str, path: str, query: Query) -> list[tuple[Key, int]]:
    """Return which windows a request falls into, and what it costs there."""
    concerned = [rule for rule in RULES[venue, host_of(venue, path, query)] if re.search(rule.path, path)]
    return [
        ((venue, rule.name, *((query.get(rule.per, ""),) if rule.per else ())), rule.cost(path, query))
        for rule in concerned
    ]


class Window:
    """What one rule holds of its last seconds."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.sum = 0.0
        self._leaving: deque[tuple[float, float]] = deque()

    def add(self, now: float, cost: float) -> None:
        """Count an arrival."""
        while self._leaving and self._leaving[0][0] <= now:
            self.sum -= self._leaving.popleft()[1]
        self._leaving.append((now + self.rule.seconds, cost))
        self.sum += cost

    def ready(self, now: float, cost: float) -> float:
        """Return the first moment from `now` on at which there is room for `cost`; infinity if never."""
        left = self.sum
        for at, leaving in self._leaving:
            if left + cost <= self.rule.weight:
                break
            now, left = max(now, at), left - leaving
        return now if left + cost <= self.rule.weight else float("inf")


class Breach(NamedTuple):
    """More than a rule allows in the window that ended at `time` (seconds of the accountant's clock)."""

    time: float
    venue: str
    rule: str
    sum: float


@dataclass
class Ban:
    """A caller shut out of a host from `time` to `until`; `hits` counts what it asked nevertheless."""

    time: float
    venue: str
    host: str
    until: float
    hits: int = 0


class Verdict(NamedTuple):
    """What becomes of a request: `refusal` is "", "rate_limited" or "banned", for `wait` seconds more.

    `headers` is what the venue says in every answer about the windows.
    """

    refusal: str
    wait: float
    headers: Mapping[str, str]


ALLOWED = Verdict("", 0, {})


class Accountant:
    """Counts arrivals on its own monotonic clock, which may be replaced."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.breaches: list[Breach] = []
        self.bans: list[Ban] = []
        self._windows: dict[Key, Window] = {}
        self._worst: dict[Key, float] = {}
        self._refused: dict[str, deque[float]] = {}
        self._banned: dict[str, Ban] = {}

    def arrive(self, venue: str, path: str, query: Query) -> Verdict:
        """Count a request and judge it."""
        now, host = self.clock(), host_of(venue, path, query)
        counted = [(self._count(key, now, cost), cost) for key, cost in charges(venue, path, query)]
        ban = self._banned.get(host)
        if ban is not None and now < ban.until:
            ban.hits += 1
            return Verdict("banned", ban.until - now, {})
        headers = {name: value for window, _ in counted for name, value in told(host, window).items()}
        ready = [window.ready(now, cost) for window, cost in counted if window.sum > window.rule.weight]
        if not ready:
            return Verdict("", 0, headers)
        self._refuse(venue, host, now)
        return Verdict("rate_limited", max(ready) - now, headers)

    def worst(self) -> dict[tuple[str, str], tuple[float, int]]:
        """Return the most that was ever in a window, and what is allowed, by venue and rule."""
        return {(key[0], key[1]): (most, TABLE[key].weight) for key, most in self._worst.items()}

    def _count(self, key: Key, now: float, cost: float) -> Window:
        venue, name = key[:2]
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(TABLE[venue, name])
        window.add(now, cost)
        self._worst[venue, name] = max(window.sum, self._worst.get((venue, name), 0))
        if window.sum > window.rule.weight:
            self.breaches.append(Breach(now, venue, name, window.sum))
        return window

    def _refuse(self, venue: str, host: str, now: float) -> None:
        """Note a refusal, and shut out who does not listen."""
        refused = self._refused.setdefault(host, deque(maxlen=PATIENCE))
        refused.append(now)
        if len(refused) == PATIENCE and now - refused[0] <= PATIENCE_S:
            ban = Ban(now, venue, host, now + BAN_S.get(venue, USUAL_BAN_S))
            self._banned[host] = ban
            self.bans.append(ban)


def told(host: str, window: Window) -> dict[str, str]:
    """Return the headers in which a host tells how much of a window is used or left."""
    rule, used = window.rule, f"{window.sum:.0f}"
    left = f"{max(0, rule.weight - window.sum):.0f}"
    if host.endswith(".binance.com"):
        return {"X-SAPI-USED-IP-WEIGHT-1M" if rule.name in _SAPI else "X-MBX-USED-WEIGHT-1M": used}
    if host == "api.huobi.pro":
        return {"X-HB-RateLimit-Requests-Remain": left}
    if host == "api.hbdm.vn":
        interval = f"{1000 * rule.seconds:.0f}"
        return {"ratelimit-limit": str(rule.weight), "ratelimit-interval": interval, "ratelimit-remaining": left}
    if host == "open-api-v4.coinglass.com":
        return {"API-KEY-MAX-LIMIT": str(rule.weight), "API-KEY-USE-LIMIT": used}
    return {}


def optimum(
    rules: Mapping[Key, Rule], requests: Iterable[tuple[Key, float]], latency: Mapping[str, float] | None = None
) -> float:
    """Return the least seconds in which all of `requests`, wanted at once at 0, can be answered.

    `requests` are (key, cost) as from `charges`, `rules` is keyed by (venue, rule), like `TABLE`, and `latency` is the
    round trip in seconds by venue, 0 where it names none. Requests of one key are sent in their order, each as soon
    as every window that it falls into holds no more than its rule allows; no earlier sending in that order exists, and
    with equal costs none in any order. Infinity if a request costs more than its rule ever allows.
    """
    queues: dict[Key, list[float]] = {}
    for key, cost in requests:
        queues.setdefault(key, []).append(cost)
    trips = latency or {}
    return max((_last_sent(rules[key[:2]], costs) + trips.get(key[0], 0) for key, costs in queues.items()), default=0.0)


def _last_sent(rule: Rule, costs: list[float]) -> float:
    """Return when the last of several requests can be sent."""
    window, now = Window(rule), 0.0
    for cost in costs:
        now = window.ready(now, cost)
        window.add(now, cost)
    return now
