"""A circuit breaker: who keeps failing is left alone for a while and then asked with a few probes first.

CLOSED lets every call through and counts how they ended. It opens when at least `least` outcomes are in the
window and the share of failures reaches `rate`, or that of slow successes `slow_rate`; this is judged whenever
an outcome comes, a success too, and never because time alone took outcomes out of the window.

OPEN lets nothing through for `open_s`, twice as long after every opening that followed HALF_OPEN without a
close between, `open_most_s` at most. Of that time between a half and the whole is waited (equal jitter): those
who were turned away together do not come back together, and never at once.

HALF_OPEN lets `probes` calls through. When that many have succeeded, slow or not, it closes with an empty
window; the first that fails opens again. A dropped probe leaves its place to another, and so does one that has
not reported after `probe_s`, whose report then counts no more.

A report counts only in the very stretch of CLOSED or HALF_OPEN in which its permit was given: a straggler from
before an opening proves nothing to the probes, nor to the window after them. One word can be taken back later:
a probe's success that is revoked after it closed the breaker opens it again, as if the probe had failed, unless
a call since has succeeded; then it is one failure in the window. Any other success that is revoked becomes a
failure at its own time, and nothing when it has left the window or its stretch is over.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from math import inf, nan

from xex.model.clock import monotonic

# A window is forgotten in so many slices, which is all that is kept of it however many calls there are.
SLICES = 60


class State(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class _End(Enum):
    SUCCEEDED = auto()
    FAILED = auto()
    DROPPED = auto()
    REVOKED = auto()


@dataclass(slots=True, eq=False)
class Permit:
    """Leave for one call, which reports once how it ended; what it reports after that is ignored."""

    _report: Callable[[Permit], None]
    generation: int
    end: _End | None = None
    seconds: float = nan
    counted_at: float | None = None

    def succeeded(self, seconds: float = 0.0) -> None:
        """Report an answer that took `seconds`."""
        self._ended(_End.SUCCEEDED, seconds)

    def failed(self) -> None:
        """Report a failure of the other side."""
        self._ended(_End.FAILED)

    def dropped(self) -> None:
        """Report a call that proves nothing: cancelled, or an error of the caller's own."""
        self._ended(_End.DROPPED)

    def revoke(self) -> None:
        """Take back `succeeded`: what was taken for a success turned out to be a failure."""
        if self.end is _End.SUCCEEDED:
            self.end = _End.REVOKED
            self._report(self)

    def _ended(self, end: _End, seconds: float = nan) -> None:
        if self.end is None:
            self.end, self.seconds = end, seconds
            self._report(self)


@dataclass(slots=True)
class _Slice:
    start: float
    total: int = 0
    failed: int = 0
    slow: int = 0

    def add(self, total: int, failed: int, slow: int) -> None:
        self.total += total
        self.failed += failed
        self.slow += slow


class Window:
    """How many outcomes of the last `seconds` there are, of each sort.

    Every outcome is counted until its slice is `seconds` old. A slice begins with an outcome and takes in those of
    the next sixtieth of the window: outcomes further apart than that leave exactly on time, denser ones up to a
    sixtieth early.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.slices: deque[_Slice] = deque()
        self.sum = _Slice(nan)

    def add(self, now: float, *, failed: bool, slow: bool = False) -> None:
        """Count one outcome."""
        self.forget(now)
        if not self.slices or now - self.slices[-1].start >= self.seconds / SLICES:
            self.slices.append(_Slice(now))
        self.slices[-1].add(1, failed, slow)
        self.sum.add(1, failed, slow)

    def turn(self, now: float, at: float, *, slow: bool) -> bool:
        """Make a failure of the success that was counted `at`; say whether it was still in the window."""
        self.forget(now)
        part = next((part for part in reversed(self.slices) if part.start <= at), None)
        if part is not None:
            part.add(0, 1, -slow)
            self.sum.add(0, 1, -slow)
        return part is not None

    def forget(self, now: float) -> None:
        """Let go of what is too old."""
        while self.slices and now - self.slices[0].start >= self.seconds:
            gone = self.slices.popleft()
            self.sum.add(-gone.total, -gone.failed, -gone.slow)


class Breaker:
    """Decides whether a call may go now. Times are monotonic seconds from an injectable clock.

    `dice` gives numbers from 0 to 1. `changed` is told each transition once, the old state and the new, after it
    was made; one that time makes is made when somebody next looks. What `changed` raises goes to whoever caused the
    transition, which stands. A breaker takes no lock: it belongs to one event loop.
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        *,
        window_s: float = 30.0,
        least: int = 10,
        rate: float = 0.5,
        slow_s: float = inf,
        slow_rate: float = 1.0,
        open_s: float = 5.0,
        open_most_s: float = 60.0,
        probes: int = 1,
        probe_s: float = 30.0,
        dice: Callable[[], float] = random.random,
        changed: Callable[[State, State], None] | None = None,
    ) -> None:
        self.clock, self.dice, self.changed = clock, dice, changed
        self.least, self.rate, self.slow_s, self.slow_rate = least, rate, slow_s, slow_rate
        self.open_s, self.open_most_s, self.probes, self.probe_s = open_s, open_most_s, probes, probe_s
        self._state = State.CLOSED
        self._generation = 0
        self._window = Window(window_s)
        self._open_for = self._until = 0.0
        self._out: dict[Permit, float] = {}
        self._passed = 0

    @property
    def state(self) -> State:
        """The state as of now."""
        if self._state is State.OPEN and self.clock() >= self._until:
            self._go(State.HALF_OPEN)
        return self._state

    def enter(self) -> Permit | None:
        """Return leave for one call, None when it must not go now."""
        state = self.state
        if state is State.CLOSED:
            return Permit(self._heard, self._generation)
        if state is State.OPEN or not self._places():
            return None
        probe = Permit(self._heard, self._generation)
        self._out[probe] = self.clock()
        return probe

    def wait(self) -> float:
        """Return the seconds until `enter` may give leave, 0 when it does now; infinity if only a probe decides."""
        state = self.state
        if state is State.OPEN:
            return max(self._until - self.clock(), 0.0)
        return 0.0 if state is State.CLOSED or self._places() else inf

    def half_open(self) -> None:
        """Let probes through before the time: something else has shown that the other side is back."""
        if self._state is State.OPEN:
            self._go(State.HALF_OPEN)

    def _places(self) -> int:
        """Return how many probes may go, those that took too long forgotten."""
        now = self.clock()
        for probe in [probe for probe, since in self._out.items() if now - since >= self.probe_s]:
            del self._out[probe]
        return self.probes - self._passed - len(self._out)

    def _heard(self, permit: Permit) -> None:
        if permit.end is _End.REVOKED:
            self._take_back(permit)
        elif permit.generation != self._generation:
            return
        elif self._state is State.CLOSED:
            self._count(permit)
        else:
            self._judge_probe(permit)

    def _count(self, permit: Permit) -> None:
        if permit.end is not _End.DROPPED:
            permit.counted_at = now = self.clock()
            self._window.add(now, failed=permit.end is _End.FAILED, slow=permit.seconds >= self.slow_s)
            self._judge()

    def _judge(self) -> None:
        """Open when too much of the window failed or was slow."""
        seen = self._window.sum
        if seen.total >= self.least and (
            seen.failed / seen.total >= self.rate or seen.slow / seen.total >= self.slow_rate
        ):
            self._open(self.open_s)

    def _judge_probe(self, probe: Permit) -> None:
        self._places()
        if self._out.pop(probe, None) is None:
            return
        if probe.end is _End.FAILED:
            self._open(2 * self._open_for)
        elif probe.end is _End.SUCCEEDED:
            probe.counted_at = self.clock()
            self._passed += 1
            if self._passed == self.probes:
                self._go(State.CLOSED)

    def _take_back(self, permit: Permit) -> None:
        """Make a failure of a success that was counted."""
        since, now = self._generation - permit.generation, self.clock()
        if permit.counted_at is None:
            return
        if since == 0 and self._state is State.CLOSED:
            if self._window.turn(now, permit.counted_at, slow=permit.seconds >= self.slow_s):
                self._judge()
        elif since == 0:
            self._open(2 * self._open_for)
        elif since == 1 and self._state is State.CLOSED:
            self._take_back_closing(now)

    def _take_back_closing(self, now: float) -> None:
        """Open again, because a probe that closed the breaker had failed, unless others have succeeded since."""
        self._window.forget(now)
        if self._window.sum.total == self._window.sum.failed:
            self._open(2 * self._open_for)
        else:
            self._window.add(now, failed=True)
            self._judge()

    def _open(self, seconds: float) -> None:
        self._open_for = min(seconds, self.open_most_s)
        self._until = self.clock() + self._open_for * (1 + self.dice()) / 2
        self._go(State.OPEN)

    def _go(self, state: State) -> None:
        """Make a transition; each state begins with nothing counted and no probe out."""
        before, self._state = self._state, state
        self._generation += 1
        self._window = Window(self._window.seconds)
        self._out.clear()
        self._passed = 0
        if self.changed is not None:
            self.changed(before, state)
