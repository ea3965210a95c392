"""What is known of a venue from the requests that were made to it.

One object holds it all: latencies, uptime over the time that was looked at, what went wrong, the venue's clock, the
age of its data, and which endpoints are left alone. Whatever is told, and decided, about a venue reads it here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, takewhile
from math import ceil, inf, nan
from statistics import median
from typing import Any

from xex.access.breaker import Breaker, State
from xex.access.events import Events
from xex.access.retry import Allowance
from xex.errors import ConnectorError, NotListed
from xex.model import clock as clocks
from xex.model.clock import epoch, monotonic

KEPT = 512
"""How many outcomes are remembered."""
RECENT_S, BASELINE_S = 60.0, 3600.0
"""What counts as now, and what it is compared with."""
LATENCY_S = 300.0
"""How far back the quantiles of latency reach."""
HOLDS_S = 90.0
"""How long an answer, or a failure, says how a venue is: three intervals of the monitor."""
DOWN_AFTER, UP_AFTER = 3, 2
"""Failures in a row that make a venue down, answers in a row that make it up again."""
EPISODES = 3
"""More separate failures than this within `RECENT_S` are no hiccups."""
SLOW = (3.0, 2.0)
"""The 95th percentile of latency, over its usual one, from which a venue is degraded, and below which it is no more."""
SKEWED_MS = (1000.0, 500.0)
OLD_MS = (10_000.0, 5_000.0)
LEAST = 20
"""So many latencies are needed for a 95th percentile."""
JUDGED_S = 1.0
"""How often a venue that answers is looked at closely: it costs more than to note an answer."""

LEVELS = ("up", "degraded", "down", "unknown")


@dataclass(slots=True)
class Outcome:
    """How one request ended."""

    at: float
    good: bool
    latency_ms: float = nan
    id: str = ""
    report: Any = None
    bad_before: int = 0


@dataclass(slots=True)
class VenueState:
    """Latency, successes, failures and clock skew of one configured exchange.

    `status` is "unknown" before the first request and when none was made for a while. A failure makes a venue
    "degraded", three in a row, or the first request of all, "down"; two answers in a row make it "up" again. Answers
    that are three times as slow as usual, data older than 10 s, a clock that is off by more than a second, an endpoint
    that is left alone and failures now and again keep it "degraded". `in_flight` counts the requests under way, and
    `word` is what the venue says of itself.
    """

    exchange: str
    venue: str
    clock: Callable[[], float] = field(default=monotonic, repr=False)
    events: Events = field(default_factory=Events, repr=False)
    success_count: int = 0
    error_count: int = 0
    last_error: str | None = None
    in_flight: int = 0
    word: str = ""
    holds_s: float = HOLDS_S
    data_age_ms: float = nan
    since_ms: int = field(default_factory=clocks.now_ms)
    errors: Counter[str] = field(default_factory=Counter)
    history: deque[tuple[int, str, str, str]] = field(default_factory=lambda: deque(maxlen=1000), repr=False)
    allowance: Allowance = field(init=False, repr=False)
    _level: str = "unknown"
    _why: str = "nothing was asked yet"
    _causes: dict[str, str] = field(default_factory=dict)
    _bad_in_row: int = 0
    _good_in_row: int = 0
    _outcomes: deque[Outcome] = field(default_factory=lambda: deque(maxlen=KEPT), repr=False)
    _usual: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=4 * KEPT), repr=False)
    _breakers: dict[str, Breaker] = field(default_factory=dict, repr=False)
    _busy: dict[str, bool] = field(default_factory=dict, repr=False)
    _judged_at: float = -inf
    _baseline: tuple[float, float] = (-inf, nan)
    _known_s: float = 0.0
    _up_s: float = 0.0
    _skews: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=9))
    _skew_at: float = -1e18
    _epoch: int = 0

    def __post_init__(self) -> None:
        self.allowance = Allowance(self.clock)

    # --- what happens

    def succeeded(self, latency_ms: float, id_: str = "", report: Any = None) -> None:
        """Note an answer; `id_` names it and `report` is its breaker's, in case it turns out to be none."""
        self.success_count += 1
        now = self.clock()
        self._usual.append((now, latency_ms))
        self._note(Outcome(now, True, latency_ms, id_, report))

    def failed(self, error: ConnectorError, about: str = "") -> None:
        """Note a failure. What was not listed is no failure of the venue.

        `about` is the id of an answer that was noted as one, and turned out to be none when it was read.
        """
        if isinstance(error, NotListed):
            return
        self.error_count += 1
        self.errors[str(error.reason)] += 1
        self.last_error = f"{error.reason}: {error}"
        answer = next((one for one in islice(reversed(self._outcomes), 64) if one.id == about), None) if about else None
        if answer is None or not answer.good:
            self._note(Outcome(self.clock(), False))
            return
        answer.good = False
        self.success_count -= 1
        if answer.report is not None:
            answer.report.revoke()
        last = answer is self._outcomes[-1]
        self._bad_in_row = (answer.bad_before if last else self._bad_in_row) + 1
        self._good_in_row = 0
        self._decide()

    def _note(self, outcome: Outcome) -> None:
        before = self._outcomes[-1] if self._outcomes else None
        if before is not None and (gap := outcome.at - before.at) <= self.holds_s:
            self._known_s += gap
            # Where two looks differ, it changed somewhere between them.
            self._up_s += gap * (before.good + outcome.good) / 2
        if before is not None and outcome.at - before.at > self.holds_s:
            self._bad_in_row = self._good_in_row = 0
            self._move("unknown", f"nothing was asked for {outcome.at - before.at:.0f} s")
        outcome.bad_before = self._bad_in_row
        self._outcomes.append(outcome)
        if outcome.good:
            self._good_in_row, self._bad_in_row = self._good_in_row + 1, 0
        else:
            self._bad_in_row, self._good_in_row = self._bad_in_row + 1, 0
        self._decide()

    def _decide(self) -> None:
        """Settle on a level: worse at once, better only when it lasts."""
        never = not self.success_count
        if self._bad_in_row >= DOWN_AFTER or (self._bad_in_row and never):
            self._move("down", self.last_error or "it fails")
        elif self._bad_in_row:
            self._move("down" if self._level == "down" else "degraded", self.last_error or "it failed")
        elif self._level in {"down", "degraded"} and self._good_in_row < UP_AFTER:
            # One answer may turn out to be none when it is read; but what is left alone may be tried.
            for one in self._breakers.values() if self._level == "down" else ():
                one.half_open()
        elif self._level == "up" and self.clock() - self._judged_at < JUDGED_S:
            return
        elif causes := self._worries():
            self._move("degraded", "; ".join(causes))
        else:
            self._move("up", "it answers")

    def _worries(self) -> list[str]:
        """Return why a venue that answers is not as it should be; what was a worry stays one a little longer."""
        self._judged_at = self.clock()
        found = {
            "slow": (self._slowness(), SLOW, "answers take {:.1f} times as long as usual"),
            "skew": (abs(self.skew_ms), SKEWED_MS, "its clock is off by {:.0f} ms"),
            "old": (self.data_age_ms, OLD_MS, "its data are {:.0f} ms old"),
            "flapping": (
                float(self._episodes()),
                (EPISODES + 0.5, EPISODES - 0.5),
                "it failed {:.0f} times in a minute",
            ),
        }
        causes = {
            name: words.format(value)
            for name, (value, (enter, leave), words) in found.items()
            if value > (leave if name in self._causes else enter)
        }
        if self.left_alone:
            causes["breaker"] = f"left alone after failures: {', '.join(self.left_alone)}"
        self._causes = causes
        return list(causes.values())

    def _slowness(self) -> float:
        """Return the recent 95th percentile of latency over the usual one, NaN where too few are known.

        Usual is what the hour before was like; while a venue is slow that stays what it was, for an hour at most.
        """
        now = self.clock()
        began, usually = self._baseline
        if now - began > (BASELINE_S if "slow" in self._causes else RECENT_S):
            usual = [ms for at, ms in self._usual if RECENT_S < now - at <= BASELINE_S]
            usually = _quantile(usual, 0.95) if len(usual) >= LEAST else nan
            self._baseline = (now, usually)
        newest = takewhile(lambda one: now - one[0] <= RECENT_S, reversed(self._usual))
        recent = [ms for _, ms in islice(newest, KEPT)]
        return _quantile(recent, 0.95) / max(usually, 1.0) if len(recent) >= LEAST and usually == usually else nan

    def _episodes(self) -> int:
        """Return how often it began to fail lately."""
        now, count, after = self.clock(), 0, True
        for outcome in reversed(self._outcomes):
            if now - outcome.at > RECENT_S:
                break
            count += after and not outcome.good
            after = outcome.good
        return count

    def _move(self, level: str, why: str) -> None:
        if level == self._level:
            self._why = why
            return
        before, self._level, self._why = self._level, level, why
        self.since_ms = clocks.now_ms()
        self.history.append((self.since_ms, before, level, why))
        self.events.emit(
            "state", self.exchange, self.venue, f"{self.exchange} is {level}: {why}", before=before, after=level
        )

    def note_data_age(self, age_ms: float) -> None:
        """Note how old the venue's data were when they were used."""
        self.data_age_ms = age_ms

    def note_budget(self, name: str, share: float) -> None:
        """Note how much of a request budget is used; told once, until it has been well below again."""
        if share > 0.8 and not self._busy.get(name):
            self._busy[name] = True
            self.events.emit(
                "budget", self.exchange, self.venue, f"{self.exchange}: {share:.0%} of the budget {name!r} are used",
                budget=name, used=share,
            )  # fmt: skip
        elif share < 0.6:
            self._busy[name] = False

    def note_pause(self, seconds: float, *, banned: bool) -> None:
        """Note that the venue asked to be left alone."""
        if banned:
            text = f"{self.exchange} asked to stay away for {seconds:.0f} s"
            self.events.emit("ban", self.exchange, self.venue, text, seconds=seconds)

    def note_quarantine(self, instrument: str, reason: str) -> None:
        """Note that the venue's price of an instrument was kept out as another asset's, or in another unit."""
        text = f"{self.exchange}: {instrument} is kept out, {reason}"
        self.events.emit("quarantine", self.exchange, self.venue, text, instrument=instrument, reason=reason)

    def note_skew(self, server_ms: float, sent_ms: float, received_ms: float, resolution_ms: float = 0.0) -> None:
        """Note what the venue's clock said, cut off to `resolution_ms`, between sending and receiving."""
        if self._epoch != epoch():
            self._skews.clear()
        self._epoch = epoch()
        middle = server_ms + resolution_ms / 2
        uncertainty = (received_ms - sent_ms + resolution_ms) / 2
        self._skews.append((middle - (sent_ms + received_ms) / 2, uncertainty))
        self._skew_at = monotonic()
        if abs(self.skew_ms) > SKEWED_MS[0]:
            self._judged_at = -inf  # the next answer is looked at closely, however soon it comes

    def breaker(self, endpoint: str) -> Breaker:
        """Return the breaker of an endpoint: one path of the venue, whatever is asked there."""
        found = self._breakers.get(endpoint)
        if found is None:
            found = Breaker(self.clock, changed=partial(self._switched, endpoint))
            self._breakers[endpoint] = found
        return found

    def _switched(self, endpoint: str, before: State, after: State) -> None:
        words = {
            State.OPEN: "is left alone after failures", State.HALF_OPEN: "is tried again", State.CLOSED: "is back",
        }  # fmt: skip
        text = f"{self.exchange}: {endpoint} {words[after]}"
        self.events.emit(
            "breaker", self.exchange, self.venue, text, endpoint=endpoint, before=str(before), after=str(after)
        )

    # --- what is known

    @property
    def status(self) -> str:
        """The state in one word."""
        last = self._outcomes[-1] if self._outcomes else None
        if last is not None and self.clock() - last.at > self.holds_s and self._level != "unknown":
            self._bad_in_row = self._good_in_row = 0
            self._move("unknown", f"nothing was asked for {self.holds_s:.0f} s")
        return self._level

    @property
    def why(self) -> str:
        """What made it so."""
        return self._why

    @property
    def latency(self) -> float:
        """The median latency of recent answers in ms, NaN before the first."""
        known = self._latencies()
        return median(known) if known else nan

    def latency_quantile(self, share: float) -> float:
        """Return the latency in ms that this share of recent answers did not exceed, NaN before the first."""
        known = self._latencies()
        return _quantile(known, share) if known else nan

    def _latencies(self) -> list[float]:
        """Return the latencies of the last minutes, or where nothing was asked in them, of the last answers."""
        now = self.clock()
        recent = [ms for at, ms in self._usual if now - at <= LATENCY_S]
        return recent or [ms for _, ms in islice(reversed(self._usual), KEPT)]

    @property
    def uptime_percentage(self) -> float:
        """The share of the time that was looked at in which the venue answered, NaN before the first request.

        A request says how it is until the next one, for `holds_s` at most; what nobody looked at counts as neither.
        Before any such time has passed it is the share of the requests.
        """
        total = self.success_count + self.error_count
        if not total:
            return nan
        if self._known_s < 1.0:
            return 100.0 * self.success_count / total
        return 100.0 * self._up_s / self._known_s

    @property
    def error_rate(self) -> float:
        """The share of the requests of the last minute that failed, NaN without any."""
        now = self.clock()
        recent = [one.good for one in self._outcomes if now - one.at <= RECENT_S]
        return 1.0 - sum(recent) / len(recent) if recent else nan

    @property
    def left_alone(self) -> tuple[str, ...]:
        """The endpoints that are not asked after failures."""
        return tuple(path for path, one in self._breakers.items() if one.state == State.OPEN)

    @property
    def skew_known(self) -> bool:
        """Whether the clocks were ever compared."""
        return bool(self._skews) and self._epoch == epoch()

    @property
    def skew_age_s(self) -> float:
        """Seconds since the clock was last compared."""
        return monotonic() - self._skew_at if self._epoch == epoch() else inf

    @property
    def skew_ms(self) -> float:
        """How far the venue's clock is ahead of ours; 0 while it is within what the way there and back hides.

        The midpoint of sending and receiving is known only to half the round trip, so a smaller difference
        is no evidence of skew. Of several samples the one with the shortest trip counts.
        """
        if not self.skew_known:
            return 0.0
        skew, uncertainty = min(self._skews, key=lambda sample: sample[1])
        return skew if abs(skew) > uncertainty + 1.0 else 0.0

    def as_dict(self) -> dict[str, object]:
        """Return the state as plain values."""
        return {
            "status": self.status,
            "latency": self.latency,
            "uptime_percentage": self.uptime_percentage,
            "error_count": self.error_count,
            "success_count": self.success_count,
            "last_error": self.last_error,
        }

    def row(self) -> Mapping[str, object]:
        """Return the state as a row of the schema `health`."""
        return {
            "exchange": self.exchange, "venue": self.venue, "status": self.status, "why": self.why,
            "since": float(self.since_ms), "latency_p50": self.latency,
            "latency_p95": self.latency_quantile(0.95), "latency_p99": self.latency_quantile(0.99),
            "uptime_percentage": self.uptime_percentage, "probed_s": self._known_s, "error_rate": self.error_rate,
            "error_count": float(self.error_count), "success_count": float(self.success_count),
            "errors": ", ".join(f"{name} {count}" for name, count in self.errors.most_common()),
            "last_error": self.last_error or "", "skew_ms": self.skew_ms if self.skew_known else nan,
            "data_age_ms": self.data_age_ms, "left_alone": ", ".join(self.left_alone),
            "in_flight": float(self.in_flight), "venue_status": self.word,
        }  # fmt: skip


def _quantile(values: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
