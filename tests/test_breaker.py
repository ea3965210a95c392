"""The breaker: in step with a naive model of its rules, exact about probes, deaf to what proves nothing.

The model is walked by the tenth part; ``XEX_FULL=1`` walks all of it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest
import scipy.stats
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from xex.access.breaker import Breaker, Permit, State
from xex.model.clock import monotonic

FULL = bool(os.environ.get("XEX_FULL"))
WALKS = 2800 if FULL else 280
STEPS = 50


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Seen(list[str]):
    """The transitions that were told."""

    def __call__(self, before: State, after: State) -> None:
        self.append(f"{before} > {after}")


def given(breaker: Breaker) -> Permit:
    permit = breaker.enter()
    assert permit is not None
    return permit


def play(breaker: Breaker, outcomes: str) -> str:
    """Make one call after the other, `s`ucceeded or `f`ailed; return the state after each as o, c or h."""
    states = ""
    for outcome in outcomes:
        permit = given(breaker)
        if outcome == "s":
            permit.succeeded()
        else:
            permit.failed()
        states += breaker.state.value[0]
    return states


def opened(clock: Clock, **settings: Any) -> Breaker:
    """Return a breaker that has just opened, to be waited for as long as it may be: 5 s."""
    breaker = Breaker(clock, **{"dice": lambda: 1.0, **settings})
    play(breaker, "f" * breaker.least)
    assert breaker.state is State.OPEN
    return breaker


def sums(parts: Iterable[Any]) -> tuple[int, int, int]:
    counts = [(part.total, part.failed, part.slow) for part in parts]
    return sum(count[0] for count in counts), sum(count[1] for count in counts), sum(count[2] for count in counts)


def counted(breaker: Breaker, now: float) -> tuple[int, int, int]:
    """Return how many outcomes, failures and slow successes are in the window, and change nothing by looking."""
    window = breaker._window
    assert sums([window.sum]) == sums(window.slices)
    return sums(part for part in window.slices if now - part.start < window.seconds)


# --- the model ---------------------------------------------------------------------------------------------------


@dataclass
class Call:
    """One call as the model knows it."""

    permit: Permit
    era: int
    begun: float
    probe: bool
    told: str = ""  # "good", "slow", "bad" or "nothing"
    told_at: float = 0.0
    counts: bool = False
    revoked: bool = False


@dataclass
class Model:
    """The rules, said once more and as plainly as possible: everything is kept and looked through each time."""

    window_s: float
    least: int
    rate: float
    slow_s: float
    slow_rate: float
    open_s: float
    open_most_s: float
    probes: int
    probe_s: float
    now: float = 0.0
    state: str = "closed"
    era: int = 0
    calls: list[Call] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    reopenings: int = 0
    ends: float = 0.0
    dice: float = 0.0

    def turn_to(self, state: str) -> None:
        self.told.append((self.state, state))
        self.state, self.era = state, self.era + 1

    def open(self, reopenings: int) -> None:
        self.reopenings = reopenings
        whole = min(self.open_s * 2**reopenings, self.open_most_s)
        self.ends = self.now + whole / 2 + whole / 2 * self.dice
        self.turn_to("open")

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if self.state == "open" and self.now >= self.ends:
            self.turn_to("half_open")

    def places(self) -> int:
        probes = [call for call in self.calls if call.era == self.era]
        good = [call for call in probes if call.counts]
        under_way = [call for call in probes if not call.told and self.now < call.begun + self.probe_s]
        return self.probes - len(good) - len(under_way)

    def lets_through(self) -> bool:
        return self.state == "closed" or (self.state == "half_open" and self.places() > 0)

    def wait(self) -> float:
        if self.state == "open":
            return self.ends - self.now
        return 0.0 if self.lets_through() else inf

    def window(self) -> list[Call]:
        counted = [call for call in self.calls if call.era == self.era and call.counts]
        kept, start = [], -inf
        for call in sorted(counted, key=lambda call: call.told_at):
            if call.told_at >= start + self.window_s / 60:
                start = call.told_at
            if self.now < start + self.window_s:
                kept.append(call)
        return kept

    def counted(self) -> tuple[int, int, int]:
        kinds = [call.told for call in self.window() if self.state == "closed"]
        return len(kinds), kinds.count("bad"), kinds.count("slow")

    def judge(self) -> None:
        kinds = [call.told for call in self.window()]
        enough = len(kinds) >= self.least
        if enough and (
            kinds.count("bad") >= self.rate * len(kinds) or kinds.count("slow") >= self.slow_rate * len(kinds)
        ):
            self.open(0)

    def tell(self, call: Call, kind: str) -> None:
        if call.told:
            return
        call.told, call.told_at = kind, self.now
        if call.era != self.era or kind == "nothing":
            return
        if self.state == "closed":
            call.counts = True
            self.judge()
        elif self.now < call.begun + self.probe_s:
            self.tell_of_probe(call, kind)

    def tell_of_probe(self, call: Call, kind: str) -> None:
        if kind == "bad":
            self.open(self.reopenings + 1)
            return
        call.counts = True
        if len([other for other in self.calls if other.era == self.era and other.counts]) == self.probes:
            self.turn_to("closed")

    def revoke(self, call: Call) -> None:
        if call.told not in {"good", "slow"} or call.revoked:
            return
        call.revoked = True
        if not call.counts:
            return
        if call.probe and call.era == self.era:
            self.open(self.reopenings + 1)
        elif call.probe and call.era + 1 == self.era and self.state == "closed":
            self.revoke_closing(call)
        elif call.era == self.era:
            inside = call in self.window()
            call.told = "bad"
            if inside:
                self.judge()

    def revoke_closing(self, call: Call) -> None:
        if any(other.told in {"good", "slow"} for other in self.window()):
            self.calls.append(
                Call(call.permit, self.era, self.now, probe=False, told="bad", told_at=self.now, counts=True)
            )
            self.judge()
        else:
            self.open(self.reopenings + 1)


class Boom(Exception):
    """What a listener may raise."""


WALKED: Counter[str] = Counter()


class Walk(RuleBasedStateMachine):
    """The breaker and the model side by side. All times are sums of powers of 2, so that they are exact."""

    @initialize(
        window_s=st.sampled_from([3.75, 7.5, 30.0]),
        least=st.sampled_from([1, 2, 3, 5, 8]),
        rate=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
        slow=st.sampled_from([(inf, 1.0), (inf, 0.5), (2.0, 0.5), (2.0, 1.0)]),
        open_s=st.sampled_from([(2.0, 64.0), (2.0, 4.0), (4.0, 6.0)]),
        probes=st.sampled_from([1, 1, 2, 3]),
        probe_s=st.sampled_from([4.0, 32.0]),
    )
    def begin(
        self,
        window_s: float,
        least: int,
        rate: float,
        slow: tuple[float, float],
        open_s: tuple[float, float],
        probes: int,
        probe_s: float,
    ) -> None:
        self.clock = Clock()
        self.told: list[tuple[str, str]] = []
        self.raises = False
        self.looks = True
        rules: dict[str, Any] = {
            "window_s": window_s,
            "least": least,
            "rate": rate,
            "slow_s": slow[0],
            "slow_rate": slow[1],
            "open_s": open_s[0],
            "open_most_s": open_s[1],
            "probes": probes,
            "probe_s": probe_s,
        }
        self.model = Model(**rules, now=self.clock.now)
        self.breaker = Breaker(self.clock, **rules, dice=lambda: self.model.dice, changed=self.hear)

    def hear(self, before: State, after: State) -> None:
        self.told.append((before.value, after.value))
        if self.raises:
            raise Boom

    def calls(self) -> list[Call]:
        """Return what was let through, the newest first."""
        return self.model.calls[::-1]

    def pending(self) -> list[Call]:
        return [call for call in self.calls() if not call.told]

    def believed(self) -> list[Call]:
        return [call for call in self.calls() if call.told in {"good", "slow"} and not call.revoked]

    def until_something_ends(self, place: int) -> float:
        """Return the seconds until the wait is over, a probe took too long or one of the oldest outcomes leaves."""
        model = self.model
        match model.state:
            case "open":
                ends = [model.ends]
            case "half_open":
                ends = [call.begun + model.probe_s for call in model.calls if call.era == model.era and not call.told]
            case _:
                ends = [call.told_at + model.window_s for call in model.window()]
        return ends[min(place, len(ends) - 1)] - self.clock.now if ends else 0.0

    @rule(
        place=st.integers(0, 3),
        slices=st.sampled_from([-0.5, 0, 0, 0, 0.5]),
        dice=st.sampled_from([0.0, 0.25, 0.5, 0.875]),
        raises=st.booleans(),
        looks=st.sampled_from([True, False, False]),
    )
    def wait_for_an_end(self, place: int, slices: float, dice: float, *, raises: bool, looks: bool) -> None:
        """Go to where something ends, or half a slice beside it."""
        self.move(self.until_something_ends(place) + slices * self.model.window_s / 60)
        self.model.dice, self.raises, self.looks = dice, raises, looks

    @rule(slices=st.sampled_from([0.5, 1.0, 1.0, 2.0, 10.0, 60.0]), looks=st.booleans())
    def pass_time(self, slices: float, *, looks: bool) -> None:
        self.move(slices * self.model.window_s / 60)
        self.looks = looks

    def move(self, seconds: float) -> None:
        if seconds > 0:
            self.clock.now += seconds
            self.model.pass_time(seconds)

    @rule(
        ends=st.lists(
            st.sampled_from(["", "", "", "good", "good", "slow", "bad", "bad", "bad", "false", "nothing"]),
            min_size=1,
            max_size=4,
        )
    )
    def enter(self, ends: list[str]) -> None:
        for end in ends:
            may = self.model.lets_through()
            try:
                permit = self.breaker.enter()
            except Boom:
                assert self.told == self.model.told  # it was time that had to turn the state
                continue
            assert (permit is not None) == may
            WALKED["let through" if may else "turned away"] += 1
            if permit is not None:
                call = Call(permit, self.model.era, self.model.now, probe=self.model.state == "half_open")
                self.model.calls.append(call)
                if end == "false":
                    self.end(call, "good")
                    self.take_back(call)
                elif end:
                    self.end(call, end)

    @precondition(lambda self: self.pending())
    @rule(place=st.integers(0, 5), kind=st.sampled_from(["good", "good", "slow", "bad", "nothing"]))
    def report(self, place: int, kind: str) -> None:
        pending = self.pending()
        self.end(pending[place % len(pending)], kind)

    @precondition(lambda self: self.calls())
    @rule(place=st.integers(0, 20), kind=st.sampled_from(["good", "bad", "nothing", "revoke"]))
    def report_any(self, place: int, kind: str) -> None:
        calls = self.calls()
        if kind == "revoke":
            self.take_back(calls[place % len(calls)])
        else:
            self.end(calls[place % len(calls)], kind)

    def end(self, call: Call, kind: str) -> None:
        WALKED["stragglers"] += call.era != self.model.era
        if kind == "slow" and self.model.slow_s == inf:
            kind = "good"
        self.model.tell(call, kind)
        with suppress(Boom):
            match kind:
                case "good":
                    call.permit.succeeded(1.875)
                case "slow":
                    call.permit.succeeded(2.0)
                case "bad":
                    call.permit.failed()
                case _:
                    call.permit.dropped()

    @precondition(lambda self: self.believed())
    @rule(place=st.integers(0, 2), closing=st.booleans())
    def revoke(self, place: int, *, closing: bool) -> None:
        believed = self.believed()
        closed_it = [call for call in believed if call.probe and call.era + 1 == self.model.era]
        chosen = closed_it if closing and closed_it else believed
        self.take_back(chosen[place % len(chosen)])

    def take_back(self, call: Call) -> None:
        before = len(self.model.told), self.model.state
        self.model.revoke(call)
        if len(self.model.told) > before[0]:
            WALKED[f"revoked when {before[1]} by {'probe' if call.probe else 'call'}"] += 1
        with suppress(Boom):
            call.permit.revoke()

    @precondition(lambda self: self.model.state == "open")
    @rule()
    def prove(self) -> None:
        self.model.turn_to("half_open")
        with suppress(Boom):
            self.breaker.half_open()

    @precondition(lambda self: self.model.state != "open")
    @rule()
    def prove_what_is_known(self) -> None:
        with suppress(Boom):
            self.breaker.half_open()

    @invariant()
    def agree(self) -> None:
        WALKED["steps"] += 1
        looks, self.looks = self.looks, True
        if not looks:
            return
        try:
            state = self.breaker.state
        except Boom:
            state = self.breaker.state
        assert state.value == self.model.state
        assert self.told == self.model.told
        assert self.breaker.wait() == self.model.wait()
        assert counted(self.breaker, self.clock.now) == self.model.counted()

    def teardown(self) -> None:
        WALKED.update(f"{before} > {after}" for before, after in self.told)


def test_the_breaker_and_the_model_agree_at_every_step() -> None:
    WALKED.clear()
    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=WALKS, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert WALKED["steps"] >= (100_000 if FULL else 10_000)
    # The walks went everywhere.
    for place in (
        *("closed > open", "open > half_open", "half_open > open", "half_open > closed"),
        *("let through", "turned away", "stragglers"),
        *("revoked when closed by call", "revoked when closed by probe", "revoked when half_open by probe"),
    ):
        assert WALKED[place] > 0, (place, WALKED)


# --- opening -----------------------------------------------------------------------------------------------------


def test_what_it_starts_with() -> None:
    breaker = Breaker()
    assert breaker.clock is monotonic
    assert breaker.dice is random.random
    assert breaker.state == "closed"
    assert breaker.wait() == 0
    assert [state.value for state in State] == ["closed", "open", "half_open"]


def test_it_opens_at_the_tenth_outcome_and_not_at_the_ninth(clock: Clock) -> None:
    breaker = Breaker(clock)
    assert play(breaker, "f" * 10) == "ccccccccco"
    assert breaker.enter() is None


@pytest.mark.parametrize(
    ("outcomes", "states"),
    [
        ("sf" * 5, "c" * 9 + "o"),  # half of it fails, the last of the ten does
        ("fs" * 5, "c" * 9 + "o"),  # and when the last of the ten succeeds
        ("ssssssffff", "c" * 10),  # four of ten
        ("ssssssfffff", "c" * 11),  # five of eleven
        ("ssssssffffff", "c" * 11 + "o"),  # six of twelve
        ("s" * 30 + "f" * 30, "c" * 59 + "o"),
    ],
)
def test_the_share_of_failures_decides(outcomes: str, states: str, clock: Clock) -> None:
    assert play(Breaker(clock), outcomes) == states


@pytest.mark.parametrize("percent", range(1, 101))
def test_a_share_that_no_float_holds_is_reached_exactly(percent: int, clock: Clock) -> None:
    """Seven of a hundred are 7 %, though 0.07 times 100 is a little more than 7."""
    breaker = Breaker(clock, least=100, rate=percent / 100)
    assert play(breaker, "s" * (100 - percent) + "f" * percent)[-2:] == "co"
    breaker = Breaker(clock, least=100, rate=percent / 100)
    assert play(breaker, "s" * (101 - percent) + "f" * (percent - 1))[-1] == "c"


def test_slow_successes_open_it_too(clock: Clock) -> None:
    breaker = Breaker(clock, slow_s=2.0, slow_rate=0.8)
    took = [2.0, 2.0, 1.999, 2.0, 2.0, 9.0, 0.0, 2.0, 2.0]
    for seconds in took:
        given(breaker).succeeded(seconds)
        assert breaker.state == "closed"
    given(breaker).succeeded(2.0)  # eight of ten
    assert breaker.state == "open"
    breaker = Breaker(clock)
    for _ in range(100):
        given(breaker).succeeded(1e9)
    assert breaker.state == "closed"


def test_slow_successes_leave_the_window_too(clock: Clock) -> None:
    breaker = Breaker(clock, least=4, slow_s=1.0, slow_rate=0.5)
    for _ in range(3):
        given(breaker).succeeded(1.0)
    clock.now += 30
    given(breaker).succeeded(1.0)
    assert play(breaker, "ssss") == "cccc"


def test_a_failure_is_not_slow(clock: Clock) -> None:
    breaker = Breaker(clock, rate=0.9, slow_s=0.0, slow_rate=0.6)
    for _ in range(5):
        given(breaker).failed()
        given(breaker).succeeded(0.0)
    assert breaker.state == "closed"  # five of ten are slow


def test_what_left_the_window_counts_no_more(clock: Clock) -> None:
    breaker = Breaker(clock)
    play(breaker, "f" * 9)
    clock.now += 29.5
    assert play(breaker, "s") == "o"
    breaker = Breaker(clock)
    play(breaker, "f" * 9)
    clock.now += 30.0
    assert play(breaker, "s" + "f" * 8) == "c" * 9  # eight of nine
    assert play(breaker, "s") == "o"


def test_outcomes_leave_the_window_one_by_one(clock: Clock) -> None:
    breaker = Breaker(clock, least=4, rate=1.0)
    for outcome in "fsff":  # one a second
        play(breaker, outcome)
        clock.now += 1
    clock.now += 26  # the first is 30 s old, the success 29
    assert play(breaker, "ff") == "cc"
    clock.now += 1
    assert play(breaker, "f") == "o"


def test_outcomes_that_are_close_leave_together_and_a_sixtieth_early_at_most(clock: Clock) -> None:
    breaker = Breaker(clock, least=10)
    play(breaker, "f")
    clock.now += 0.499
    play(breaker, "f" * 8)
    clock.now += 29.5  # 29.999 since the first
    assert play(breaker, "s") == "o"
    breaker = Breaker(clock, least=10)
    play(breaker, "f")
    clock.now += 0.499
    play(breaker, "f" * 8)
    clock.now += 29.501
    assert play(breaker, "s" * 9) == "c" * 9
    breaker = Breaker(clock, least=10)
    play(breaker, "s")
    clock.now += 0.5  # as far apart as that they leave each in its own time
    play(breaker, "f" * 8)
    clock.now += 29.5
    assert play(breaker, "ss") == "co"  # eight of nine, eight of ten


def test_time_alone_opens_nothing(clock: Clock) -> None:
    """Successes that grow too old leave failures behind; these are judged when the next outcome comes."""
    breaker = Breaker(clock)
    play(breaker, "s" * 11)
    clock.now += 20
    play(breaker, "f" * 10)
    clock.now += 10
    assert breaker.state == "closed"
    assert play(breaker, "s") == "o"


# --- how long it stays open --------------------------------------------------------------------------------------


def fail_the_probe(clock: Clock, breaker: Breaker) -> float:
    """Wait for the probe, let it fail, return how long the breaker says it is open now."""
    clock.now += breaker.wait()
    assert breaker.state == "half_open"
    given(breaker).failed()
    return breaker.wait()


def test_it_opens_for_twice_as_long_after_each_failed_probe_and_a_close_starts_anew(clock: Clock) -> None:
    breaker = opened(clock)
    assert breaker.wait() == 5
    assert [fail_the_probe(clock, breaker) for _ in range(6)] == [10, 20, 40, 60, 60, 60]
    clock.now += 60
    assert play(breaker, "s") == "c"
    assert play(breaker, "f" * 10) == "c" * 9 + "o"
    assert breaker.wait() == 5
    assert fail_the_probe(clock, breaker) == 10


def test_a_wait_is_never_longer_than_the_most(clock: Clock) -> None:
    assert opened(clock, open_s=100.0, open_most_s=60.0).wait() == 60
    breaker = opened(clock)
    for _ in range(3000):  # 5 s doubled as often is more than a float holds
        fail_the_probe(clock, breaker)
    assert breaker.wait() == 60


def test_the_wait_passes_and_ends_on_time(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 3
    assert breaker.wait() == 2
    clock.now += 1.75
    assert breaker.enter() is None
    assert breaker.wait() == 0.25
    clock.now += 0.25
    assert breaker.wait() == 0
    assert breaker.state == "half_open"


def test_the_jitter_is_between_a_half_and_the_whole_and_even(clock: Clock) -> None:
    assert opened(clock, dice=lambda: 0.0).wait() == 2.5
    assert opened(clock, dice=lambda: 0.5).wait() == 3.75
    waits = []
    for seed in range(20):
        breaker = opened(clock, dice=random.Random(seed).random, open_s=60.0)
        waits += [breaker.wait()] + [fail_the_probe(clock, breaker) for _ in range(99)]
    assert 30 <= min(waits) < 30.1
    assert 59.9 < max(waits) <= 60
    assert scipy.stats.kstest(waits, "uniform", args=(30, 30)).pvalue > 0.01


def test_a_proof_from_elsewhere_ends_the_wait(clock: Clock) -> None:
    seen = Seen()
    breaker = opened(clock, changed=seen)
    breaker.half_open()
    assert breaker.wait() == 0
    probe = given(breaker)
    breaker.half_open()  # what is half open stays, with its probe under way
    assert breaker.enter() is None
    probe.succeeded()
    breaker.half_open()
    assert breaker.state == "closed"
    assert seen == ["closed > open", "open > half_open", "half_open > closed"]


def test_a_proof_that_comes_after_the_wait_changes_nothing_more(clock: Clock) -> None:
    seen = Seen()
    breaker = opened(clock, changed=seen)
    clock.now += 5
    breaker.half_open()
    assert seen == ["closed > open", "open > half_open"]


# --- probes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probes", [1, 2, 5])
async def test_of_two_hundred_callers_exactly_the_probes_go_through(probes: int, clock: Clock) -> None:
    breaker = opened(clock, probes=probes)
    clock.now += 5
    asked: list[asyncio.Event] = []
    turned_away = 0

    async def caller() -> None:
        nonlocal turned_away
        permit = breaker.enter()
        if permit is None:
            turned_away += 1
            return
        asked.append(asyncio.Event())
        await asked[-1].wait()
        permit.succeeded()

    callers = [asyncio.create_task(caller()) for _ in range(200)]
    await asyncio.sleep(0)
    assert (len(asked), turned_away) == (probes, 200 - probes)
    assert breaker.wait() == inf
    # While some have answered and the last has not, nobody takes their places.
    for answer in asked[:-1]:
        answer.set()
        callers += [asyncio.create_task(caller()) for _ in range(200)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert breaker.state == "half_open"
    assert len(asked) == probes
    asked[-1].set()
    await asyncio.gather(*callers)
    assert len(asked) == probes
    assert breaker.state == "closed"


def test_it_closes_with_an_empty_window(clock: Clock) -> None:
    breaker = opened(clock, probes=2)
    breaker.half_open()
    assert play(breaker, "ss") == "hc"
    assert play(breaker, "f" * 9) == "c" * 9


def test_one_failed_probe_is_enough(clock: Clock) -> None:
    seen = Seen()
    breaker = opened(clock, probes=3, changed=seen)
    breaker.half_open()
    first, second, third = (given(breaker) for _ in range(3))
    first.succeeded()
    second.failed()
    assert breaker.wait() == 10
    third.failed()  # says nothing new: it is neither told nor waited for twice as long
    assert breaker.wait() == 10
    assert seen == ["closed > open", "open > half_open", "half_open > open"]


def test_a_slow_probe_is_a_success(clock: Clock) -> None:
    breaker = opened(clock, slow_s=1.0)
    breaker.half_open()
    given(breaker).succeeded(30.0)
    assert breaker.state == "closed"


def test_a_dropped_probe_leaves_its_place_to_one_other(clock: Clock) -> None:
    breaker = opened(clock, probes=2)
    breaker.half_open()
    first, second = given(breaker), given(breaker)
    assert breaker.enter() is None
    first.dropped()
    first.dropped()
    assert breaker.wait() == 0
    third = given(breaker)
    assert breaker.enter() is None
    assert breaker.wait() == inf
    second.succeeded()
    assert breaker.state == "half_open"
    third.succeeded()
    assert breaker.state == "closed"


@pytest.mark.parametrize("probe_s", [30.0, 4.0])
def test_a_probe_that_never_reports_locks_nobody_out(probe_s: float, clock: Clock) -> None:
    breaker = opened(clock, **({} if probe_s == 30 else {"probe_s": probe_s}))
    breaker.half_open()
    lost = given(breaker)
    clock.now += probe_s - 0.25
    assert breaker.wait() == inf
    assert breaker.enter() is None
    clock.now += 0.25
    assert breaker.wait() == 0
    other = given(breaker)
    assert breaker.enter() is None
    # What it says after all counts no more, whatever it is, and takes nobody's place.
    lost.failed()
    assert breaker.state == "half_open"
    assert breaker.enter() is None
    other.succeeded()
    assert breaker.state == "closed"


def test_a_probe_that_was_given_up_is_a_straggler_after_the_close(clock: Clock) -> None:
    breaker = opened(clock, least=1)
    breaker.half_open()
    lost = given(breaker)
    clock.now += 30
    given(breaker).succeeded()
    lost.failed()
    assert breaker.state == "closed"


@pytest.mark.parametrize("report", [Permit.succeeded, Permit.failed, Permit.dropped])
def test_a_probe_that_reports_too_late_counts_no_more_though_nobody_took_its_place(
    report: Callable[[Permit], None], clock: Clock
) -> None:
    breaker = opened(clock)
    breaker.half_open()
    lost = given(breaker)
    clock.now += 30
    report(lost)
    lost.revoke()
    assert breaker.state == "half_open"
    given(breaker).succeeded()
    assert breaker.state == "closed"


# --- what does not count -----------------------------------------------------------------------------------------


class Refused(Exception):
    """An error of the caller's own."""


async def through(breaker: Breaker, seconds: float, error: Exception | None = None) -> None:
    """Call as a client would that knows which errors are its own."""
    permit = given(breaker)
    try:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
    except (asyncio.CancelledError, Refused):
        permit.dropped()
        raise
    except OSError:
        permit.failed()
    else:
        permit.succeeded()


async def test_cancelled_calls_and_errors_of_the_caller_s_own_never_count(clock: Clock) -> None:
    breaker = Breaker(clock, least=1)
    calls = [asyncio.create_task(through(breaker, 60)) for _ in range(50)]
    calls += [asyncio.create_task(through(breaker, 0, Refused())) for _ in range(50)]
    await asyncio.sleep(0)
    for call in calls[:50]:
        call.cancel()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert Counter(map(type, ends)) == {asyncio.CancelledError: 50, Refused: 50}
    assert breaker.state == "closed"
    assert breaker._window.sum.total == 0
    await through(breaker, 0, ConnectionResetError())
    assert breaker.state == "open"


async def test_a_cancelled_probe_proves_nothing(clock: Clock) -> None:
    seen = Seen()
    breaker = opened(clock, changed=seen)
    breaker.half_open()
    for _ in range(20):
        call = asyncio.create_task(through(breaker, 60))
        await asyncio.sleep(0)
        assert breaker.enter() is None
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(Refused):
            await through(breaker, 0, Refused())
        assert breaker.state == "half_open"
    await through(breaker, 0)
    assert seen == ["closed > open", "open > half_open", "half_open > closed"]


def test_dropped_calls_make_no_ten(clock: Clock) -> None:
    breaker = Breaker(clock)
    play(breaker, "f" * 9)
    for _ in range(100):
        given(breaker).dropped()
    assert breaker.state == "closed"
    assert play(breaker, "f") == "o"


@pytest.mark.parametrize("first", [Permit.succeeded, Permit.dropped])
def test_a_permit_reports_once(first: Callable[[Permit], None], clock: Clock) -> None:
    breaker = Breaker(clock, least=2)
    permit = given(breaker)
    first(permit)
    for _ in range(5):
        permit.failed()
    permit.succeeded()
    assert breaker.state == "closed"
    assert breaker._window.sum.failed == 0
    assert breaker._window.sum.total == (first is Permit.succeeded)


def test_a_straggler_from_before_the_opening_disturbs_nothing(clock: Clock) -> None:
    seen = Seen()
    breaker = Breaker(clock, dice=lambda: 1.0, changed=seen, least=10)
    stragglers = [given(breaker) for _ in range(40)]
    play(breaker, "f" * 10)
    stragglers[0].succeeded()
    stragglers[1].failed()
    assert breaker.wait() == 5
    clock.now += 5
    probe = given(breaker)
    stragglers[2].failed()
    stragglers[3].succeeded()
    stragglers[4].dropped()  # frees no probe's place
    assert breaker.state == "half_open"
    assert breaker.enter() is None
    probe.succeeded()
    for straggler in stragglers[5:]:
        straggler.failed()
    stragglers[0].revoke()
    assert breaker.state == "closed"
    assert play(breaker, "f" * 9) == "c" * 9
    assert seen == ["closed > open", "open > half_open", "half_open > closed"]


def test_a_probe_of_an_earlier_round_is_a_straggler_too(clock: Clock) -> None:
    breaker = opened(clock, probes=2)
    breaker.half_open()
    early, failing = given(breaker), given(breaker)
    failing.failed()
    breaker.half_open()
    early.failed()
    assert breaker.state == "half_open"
    early.dropped()
    assert play(breaker, "ss") == "hc"


# --- what is taken back ------------------------------------------------------------------------------------------


def test_a_success_that_was_none_is_a_failure_at_its_own_time(clock: Clock) -> None:
    breaker = Breaker(clock)
    play(breaker, "ssssffff")
    taken = given(breaker)
    taken.succeeded()
    assert play(breaker, "s") == "c"  # four of ten
    taken.revoke()
    assert breaker.state == "open"  # five of ten


def test_what_is_taken_back_is_counted_once(clock: Clock) -> None:
    breaker = Breaker(clock, least=4)
    play(breaker, "sss")
    taken = given(breaker)
    taken.succeeded()
    for _ in range(5):
        taken.revoke()
        taken.failed()
    assert breaker.state == "closed"
    assert (breaker._window.sum.total, breaker._window.sum.failed) == (4, 1)


def test_only_a_success_can_be_taken_back(clock: Clock) -> None:
    breaker = Breaker(clock, least=1)
    early, dropped = given(breaker), given(breaker)
    early.revoke()
    dropped.dropped()
    dropped.revoke()
    early.succeeded()
    assert breaker.state == "closed"


def test_a_slow_success_that_was_none_is_slow_no_more(clock: Clock) -> None:
    breaker = Breaker(clock, least=4, rate=0.75, slow_s=1.0, slow_rate=0.5)
    permits = [given(breaker) for _ in range(3)]
    for permit in permits[:2]:
        permit.succeeded(1.0)
    permits[2].succeeded()
    permits[0].revoke()
    permits[1].revoke()
    assert play(breaker, "s") == "c"  # of four two failed, none was slow
    assert breaker.state == "closed"


def test_what_left_the_window_cannot_be_taken_back(clock: Clock) -> None:
    breaker = Breaker(clock)
    taken = [given(breaker) for _ in range(11)]
    for permit in taken:
        permit.succeeded()
    clock.now += 20
    play(breaker, "f" * 10)
    clock.now += 10
    for permit in taken:
        permit.revoke()
    assert breaker.state == "closed"


def test_slow_successes_that_were_none_leave_no_debt_behind(clock: Clock) -> None:
    breaker = Breaker(clock, least=4, rate=0.9, slow_s=1.0, slow_rate=0.5)
    for _ in range(3):
        permit = given(breaker)
        permit.succeeded(1.0)
        permit.revoke()
    clock.now += 30
    for _ in range(2):
        given(breaker).succeeded(1.0)
    assert play(breaker, "ss") == "co"


def test_it_is_taken_back_where_it_was_counted(clock: Clock) -> None:
    breaker = Breaker(clock, least=3)
    play(breaker, "s")
    clock.now += 20
    taken = given(breaker)
    taken.succeeded()
    clock.now += 5
    play(breaker, "s")
    taken.revoke()
    clock.now += 20  # the first is 45 s old, what was taken back 25
    play(breaker, "s")
    assert counted(breaker, clock.now) == (3, 1, 0)
    clock.now += 5
    assert counted(breaker, clock.now) == (2, 0, 0)
    assert play(breaker, "f") == "c"  # one of three


def test_it_leaves_the_window_at_the_time_of_the_success(clock: Clock) -> None:
    breaker = Breaker(clock, least=2)
    taken = given(breaker)
    taken.succeeded()
    clock.now += 20
    taken.revoke()
    clock.now += 10
    assert play(breaker, "s") == "c"
    assert breaker._window.sum.failed == 0


def test_a_probe_s_success_can_be_taken_back_before_the_others_have_reported(clock: Clock) -> None:
    breaker = opened(clock, probes=2)
    breaker.half_open()
    probe = given(breaker)
    probe.succeeded()
    probe.revoke()
    assert breaker.wait() == 10


def test_a_breaker_that_closed_on_a_false_word_opens_again_for_longer(clock: Clock) -> None:
    seen = Seen()
    breaker = opened(clock, changed=seen)
    for wait in (10, 20, 40):
        breaker.half_open()
        probe = given(breaker)
        probe.succeeded()
        assert breaker.state == "closed"
        given(breaker).failed()
        probe.revoke()
        probe.revoke()
        assert breaker.wait() == wait
    assert seen == ["closed > open", *["open > half_open", "half_open > closed", "closed > open"] * 3]


def test_a_false_word_is_one_failure_where_another_has_succeeded_since(clock: Clock) -> None:
    breaker = opened(clock, least=3)
    breaker.half_open()
    probe = given(breaker)
    probe.succeeded()
    clock.now += 1
    play(breaker, "s")
    probe.revoke()
    assert breaker.state == "closed"
    assert play(breaker, "f") == "o"  # two of three
    assert breaker.wait() == 5  # from a window, so from the beginning


def test_a_false_word_can_be_the_failure_that_opens(clock: Clock) -> None:
    breaker = opened(clock, least=2)
    breaker.half_open()
    probe = given(breaker)
    probe.succeeded()
    play(breaker, "s")
    probe.revoke()
    assert breaker.wait() == 5  # one of two


def test_a_success_that_left_the_window_speaks_for_nobody(clock: Clock) -> None:
    breaker = opened(clock)
    breaker.half_open()
    probe = given(breaker)
    probe.succeeded()
    play(breaker, "s")
    clock.now += 30
    probe.revoke()
    assert breaker.wait() == 10


def test_a_success_from_before_the_opening_cannot_be_taken_back(clock: Clock) -> None:
    seen = Seen()
    breaker = Breaker(clock, dice=lambda: 1.0, changed=seen)
    taken = [given(breaker) for _ in range(3)]
    for permit in taken:
        permit.succeeded()
    play(breaker, "f" * 7)
    taken[0].revoke()
    assert breaker.wait() == 5
    breaker.half_open()
    taken[1].revoke()
    play(breaker, "s")
    taken[2].revoke()
    assert breaker.state == "closed"
    assert seen == ["closed > open", "open > half_open", "half_open > closed"]


def test_a_false_word_from_before_the_last_opening_is_a_straggler(clock: Clock) -> None:
    breaker = opened(clock)
    breaker.half_open()
    probe = given(breaker)
    probe.succeeded()
    play(breaker, "f" * 10)
    probe.revoke()
    assert breaker.wait() == 5
    breaker.half_open()
    probe.revoke()
    assert play(breaker, "s") == "c"


# --- who listens -------------------------------------------------------------------------------------------------


def test_a_listener_that_raises_changes_nothing_but_who_hears_of_it(clock: Clock) -> None:
    seen: list[State] = []

    def changed(_: State, after: State) -> None:
        seen.append(after)
        raise LookupError

    breaker = Breaker(clock, dice=lambda: 1.0, changed=changed)
    play(breaker, "f" * 9)
    permit = given(breaker)
    with pytest.raises(LookupError):
        permit.failed()
    permit.failed()
    assert breaker.wait() == 5
    clock.now += 5
    with pytest.raises(LookupError):
        breaker.enter()
    assert breaker.wait() == 0  # no place went with the call that was not made
    probe = given(breaker)
    with pytest.raises(LookupError):
        probe.succeeded()
    assert breaker.state == "closed"
    with pytest.raises(LookupError):
        probe.revoke()
    assert breaker.wait() == 10
    with pytest.raises(LookupError):
        breaker.half_open()
    assert breaker.state == "half_open"
    assert seen == ["open", "half_open", "closed", "open", "half_open"]


def test_a_listener_may_use_the_breaker(clock: Clock) -> None:
    """A probe that is sent as soon as it may be is the only one."""
    probes: list[Permit | None] = []

    def changed(_: State, after: State) -> None:
        assert breaker.state is after
        if after is State.HALF_OPEN:
            probes.append(breaker.enter())

    breaker = Breaker(clock, dice=lambda: 1.0, changed=changed)
    play(breaker, "f" * 10)
    clock.now += 5
    assert breaker.enter() is None
    assert len(probes) == 1
    assert probes[0] is not None
    probes[0].succeeded()
    assert breaker.state == "closed"


LOOKS: list[Callable[[Breaker], object]] = [
    lambda breaker: breaker.state,
    Breaker.wait,
    Breaker.enter,
    Breaker.half_open,
]


@pytest.mark.parametrize("look", LOOKS, ids=["state", "wait", "enter", "half_open"])
def test_what_time_does_is_told_once_when_somebody_looks(look: Callable[[Breaker], object], clock: Clock) -> None:
    seen = Seen()
    breaker = opened(clock, changed=seen)
    clock.now += 100
    assert seen == ["closed > open"]
    for _ in range(3):
        look(breaker)
    assert seen == ["closed > open", "open > half_open"]


# --- memory ------------------------------------------------------------------------------------------------------


def test_a_million_outcomes_in_a_window_are_sixty_numbers(clock: Clock) -> None:
    count = 1_000_000 if FULL else 100_000  # thousands a second in either case
    breaker = Breaker(clock, least=2_000_000)
    longest = 0
    for number in range(count):
        permit = given(breaker)
        if number % 4:
            permit.succeeded()
        else:
            permit.failed()
        clock.now = 1000 + 29 * number / count
        longest = max(longest, len(breaker._window.slices))
    assert (breaker._window.sum.total, breaker._window.sum.failed) == (count, count // 4)
    assert 50 <= longest <= 60
    assert len(breaker._out) == 0
    # All of it goes, and not a slice is left behind.
    clock.now += 30
    given(breaker).failed()
    assert (breaker._window.sum.total, breaker._window.sum.failed, len(breaker._window.slices)) == (1, 1, 1)


def test_a_window_that_slides_for_long_keeps_what_it_counts(clock: Clock) -> None:
    breaker = Breaker(clock, least=10**9)
    longest = 0
    for _ in range(60_000):  # 5 minutes at 200 a second
        given(breaker).succeeded()
        clock.now += 1 / 256
        longest = max(longest, len(breaker._window.slices))
    assert longest <= 60
    assert 29.5 * 256 <= breaker._window.sum.total <= 30 * 256


def test_those_turned_away_leave_nothing(clock: Clock) -> None:
    breaker = opened(clock, probes=2)
    assert not any(breaker.enter() for _ in range(10_000))
    breaker.half_open()
    for _ in range(1000):  # probes that never report
        assert [breaker.enter() is not None for _ in range(3)] == [True, True, False]
        assert len(breaker._out) == 2
        clock.now += 30
