"""How venues are: outages found and over in time, uptime over what was looked at, levels that do not flicker."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import virtual
from tests.conftest import VENUES, ManagerFor
from tests.lab import Lab
from xex.access import state as states
from xex.access.breaker import State
from xex.access.events import Event
from xex.access.port import ExchangeConnector, ServerTime
from xex.access.state import VenueState
from xex.config import ExchangeConfig
from xex.errors import ConfigError, HttpError, LoopError, NotListed, NoVenueAnswered, RateLimited, TimedOut, Unreachable
from xex.manager import ExchangeManager
from xex.recording import replay


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def state(clock: Hands) -> VenueState:
    return VenueState("mine", "okx", clock=clock)


def answered(state: VenueState, clock: Hands, times: int = 1, *, every: float = 1.0, latency_ms: float = 20.0) -> None:
    for _ in range(times):
        clock.now += every
        state.succeeded(latency_ms)


# --- outages, as a monitor sees them ---------------------------------------------------------------------------------


class Scripted(ExchangeConnector):
    """A venue that is down in some stretches of time."""

    def __init__(self, outages: Sequence[tuple[float, float]]) -> None:
        super().__init__(ExchangeConfig("scripted", "scripted"))
        self.outages = outages

    async def connect(self) -> None:
        """Nothing to do."""

    async def get_ticker(self, symbol: str) -> Mapping[str, Any] | None:
        del symbol
        return None

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time() - 1000.0

    async def server_time(self) -> ServerTime | None:
        await asyncio.sleep(0.02)
        if any(begins <= self.now < ends for begins, ends in self.outages):
            raise Unreachable("it is down")
        return None


def watched(
    outages: Sequence[tuple[float, float]], seconds: float, every: float
) -> tuple[list[tuple[float, str]], float]:
    """Let a monitor watch for a while in virtual time; return the changes of level and the uptime that it tells."""

    async def watch() -> tuple[list[tuple[float, str]], float]:
        loop = asyncio.get_running_loop()
        changes: list[tuple[float, str]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("xex.model.clock.monotonic", loop.time)
            async with ExchangeManager(cache=False, deadline=5) as xm:
                connector = Scripted(outages)
                assert xm.add_exchange(ExchangeConfig("scripted", "scripted"), connector)
                xm.exchange_info["scripted"].clock = loop.time
                xm.on("state", lambda event: changes.append((connector.now, event.facts["after"])))
                xm.start_monitor(every)
                await asyncio.sleep(seconds)
                return changes, xm.get_exchange_status()["scripted"]["uptime_percentage"]

    return virtual.run(watch())


def level_at(changes: Sequence[tuple[float, str]], moment: float) -> str:
    return next((level for at, level in reversed(changes) if at <= moment), "unknown")


@pytest.mark.parametrize("length", [1.0, 10.0, 60.0])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.7])
def test_an_outage_is_found_within_three_probes_and_over_within_two(length: float, shift: float) -> None:
    every = 1.0
    begins = 60.0 + shift
    ends = begins + length
    changes, _ = watched([(begins, ends)], 240.0, every)
    assert level_at(changes, begins - 0.01) == "up"
    found = next((at for at, level in changes if at >= begins and level != "up"), math.inf)
    assert found - begins <= 3 * every
    if length >= 3 * every:
        down = next((at for at, level in changes if at >= begins and level == "down"), math.inf)
        assert down - begins <= 3 * every
    over = next((at for at, level in changes if at >= found and level == "up"), math.inf)
    assert over - ends <= 2 * every + 0.05
    assert level_at(changes, 239.0) == "up"


def test_a_healthy_day_has_no_false_alarm() -> None:
    """With latencies as they are: a long tail, and one answer in a thousand ten times as slow."""
    dice, clock = random.Random(3), Hands()
    state = VenueState("mine", "okx", clock=clock)
    levels = set()
    for _ in range(24 * 120):
        answered(
            state, clock, every=30.0, latency_ms=dice.lognormvariate(4, 0.4) * (10 if dice.random() < 0.001 else 1)
        )
        levels.add(state.status)
    assert levels == {"up"}
    assert state.uptime_percentage == 100


def down_share(outages: Sequence[tuple[float, float]], seconds: float) -> float:
    """Return the share of a time in which something was down, summed in hundredths of a second."""
    fine = np.arange(0, seconds, 0.01)
    down = np.zeros(len(fine), dtype=bool)
    for begins, ends in outages:
        down |= (fine >= begins) & (fine < ends)
    return float(down.mean())


outage_scripts = st.lists(st.tuples(st.floats(10, 3500), st.sampled_from([1.0, 5.0, 10.0, 60.0, 300.0])), max_size=6)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(script=outage_scripts)
def test_uptime_is_that_of_the_script(script: list[tuple[float, float]]) -> None:
    """A look a second over an hour: within 0.1 points of the truth."""
    outages = [(begins, begins + length) for begins, length in script]
    clock = Hands()
    state, start = VenueState("mine", "okx", clock=clock), clock.now
    for second in range(3601):
        clock.now = start + second
        if any(begins <= second < ends for begins, ends in outages):
            state.failed(Unreachable("it is down"))
        else:
            state.succeeded(20)
    assert state.uptime_percentage == pytest.approx(100 * (1 - down_share(outages, 3600)), abs=0.1)


def test_uptime_is_what_the_monitor_saw() -> None:
    outages = [(30.0, 41.0), (100.4, 101.4), (200.0, 260.0)]
    _, told = watched(outages, 900.0, 1.0)
    assert told == pytest.approx(100 * (1 - down_share(outages, 900.0)), abs=0.1)


def test_what_nobody_looked_at_is_unknown_and_counts_as_neither(state: VenueState, clock: Hands) -> None:
    assert state.status == "unknown"
    answered(state, clock, 60)
    assert (state.status, state.uptime_percentage) == ("up", 100)
    clock.now += states.HOLDS_S + 1
    assert state.status == "unknown"
    clock.now += 3600
    state.failed(TimedOut("slow"))
    assert state.status == "degraded", "one failure after a long time says little"
    # 59 s up; the hour in which nothing was asked is no part of it.
    assert state.uptime_percentage == 100
    answered(state, clock, 60)
    known = 59 + 60
    assert state.uptime_percentage == pytest.approx(100 * (59 + 0.5 + 59) / known)
    assert state.row()["probed_s"] == pytest.approx(known)


# --- levels ----------------------------------------------------------------------------------------------------------


def test_levels_go_down_at_once_and_up_when_it_lasts(state: VenueState, clock: Hands) -> None:
    answered(state, clock, 5)
    seen = []
    for good in (False, True, True, False, False, False, True, True):
        clock.now += 1
        if good:
            state.succeeded(20)
        else:
            state.failed(Unreachable("gone"))
        seen.append(state.status)
    assert seen == ["degraded", "degraded", "up", "degraded", "degraded", "down", "down", "up"]
    assert [(before, after) for _, before, after, _ in state.history] == [
        ("unknown", "up"), ("up", "degraded"), ("degraded", "up"), ("up", "degraded"), ("degraded", "down"),
        ("down", "up"),
    ]  # fmt: skip
    assert "gone" in state.history[4][3]


def test_the_first_failure_of_all_is_down(state: VenueState) -> None:
    state.failed(Unreachable("gone"))
    assert state.status == "down"


@pytest.mark.parametrize("error", [NotListed("no"), None])
def test_what_is_no_failure_of_the_venue_changes_nothing(error: Any, state: VenueState, clock: Hands) -> None:
    answered(state, clock, 3)
    if error is not None:
        state.failed(error)
    assert (state.status, state.error_count) == ("up", 0)


def test_answers_that_turn_out_to_be_none_are_failures_once(state: VenueState, clock: Hands) -> None:
    answered(state, clock, 3)
    breaker = state.breaker("/x")
    for number in range(12):
        clock.now += 0.1
        permit = breaker.enter()
        if permit is None:
            break
        permit.succeeded(0.02)
        state.succeeded(20, f"id-{number}", permit)
        state.failed(HttpError("an error body", status=200), f"id-{number}")
    # Ten failures open it; that the tenth was one is known only after it was let through as an answer.
    assert (state.success_count, state.error_count) == (3, 11)
    assert breaker.state == State.OPEN
    assert state.status == "down"


def test_a_venue_three_times_as_slow_is_degraded_for_as_long(state: VenueState, clock: Hands) -> None:
    answered(state, clock, 300, latency_ms=100)
    assert state.status == "up"
    answered(state, clock, 61, latency_ms=350)
    assert state.status == "degraded"
    assert "times as long" in state.why
    answered(state, clock, 61, latency_ms=240)  # better, not good
    assert state.status == "degraded"
    answered(state, clock, 61, latency_ms=110)
    assert state.status == "up"


def test_a_clock_that_is_off_is_a_worry(state: VenueState, clock: Hands) -> None:
    state.note_skew(101_500.0, 100_000.0, 100_020.0)
    answered(state, clock, 3)
    assert state.status == "degraded"
    assert "clock is off by 1490 ms" in state.why
    for _ in range(9):  # nine samples are kept
        state.note_skew(100_010.0, 100_000.0, 100_020.0)
    answered(state, clock, 3)
    assert state.status == "up"


def test_old_data_are_a_worry(state: VenueState, clock: Hands) -> None:
    answered(state, clock, 3)
    state.note_data_age(60_000)
    answered(state, clock, 3)
    assert (state.status, "60000 ms old" in state.why) == ("degraded", True)
    state.note_data_age(7_000)
    answered(state, clock, 3)
    assert state.status == "degraded"
    state.note_data_age(100)
    answered(state, clock, 3)
    assert state.status == "up"


def test_failing_now_and_again_is_a_worry_and_one_outage_is_not(state: VenueState, clock: Hands) -> None:
    answered(state, clock, 10)
    for _ in range(10):
        clock.now += 1
        state.failed(TimedOut("slow"))
    answered(state, clock, 2)
    assert state.status == "up", "one outage, and it is over"
    for _ in range(5):
        clock.now += 1
        state.failed(TimedOut("slow"))
        answered(state, clock, 2)
    assert state.status == "degraded"
    assert "it failed" in state.why
    answered(state, clock, 62)
    assert state.status == "up"


def test_an_endpoint_left_alone_is_a_worry_and_a_proof_tries_it_again(state: VenueState, clock: Hands) -> None:
    answered(state, clock, 3)
    breaker = state.breaker("/books")
    for _ in range(10):
        permit = breaker.enter()
        assert permit is not None
        permit.failed()
        state.failed(TimedOut("slow"))
        clock.now += 0.1
    assert state.left_alone == ("/books",)
    assert state.status == "down"
    state.succeeded(20)  # another endpoint, or a probe
    assert breaker.state == State.HALF_OPEN
    assert not state.left_alone
    answered(state, clock, 2)
    assert state.status == "up"
    permit = breaker.enter()
    assert permit is not None
    permit.failed()
    state.failed(TimedOut("slow"))
    answered(state, clock, 2)
    assert (state.status, "/books" in state.why) == ("degraded", True)


def test_quantiles_are_those_of_the_last_minutes_by_nearest_rank(state: VenueState, clock: Hands) -> None:
    for ms in range(1, 101):
        answered(state, clock, latency_ms=float(ms))
    row = state.row()
    # 1 to 100: the median lies between 50 and 51, and 95 and 99 of a hundred are 95 and 99.
    assert (row["latency_p50"], row["latency_p95"], row["latency_p99"]) == (50.5, 95.0, 99.0)
    answered(state, clock, every=states.LATENCY_S + 1, latency_ms=7)
    assert state.row()["latency_p99"] == 7


def test_errors_are_counted_by_class(state: VenueState, clock: Hands) -> None:
    answered(state, clock, 2)
    for error in (TimedOut("a"), TimedOut("b"), HttpError("HTTP 500", status=500), RateLimited("slow down")):
        state.failed(error)
    assert state.row()["errors"] == "timeout 2, http_error 1, rate_limited 1"
    assert state.row()["error_rate"] == pytest.approx(4 / 6)


def test_a_busy_budget_is_told_once_until_it_has_been_idle(state: VenueState) -> None:
    told: list[Event] = []
    state.events.on("budget", told.append)
    for share in (0.5, 0.79, 0.81, 0.9, 0.7, 0.85, 0.5, 0.95):
        state.note_budget("weight", share)
    assert [round(event.facts["used"], 2) for event in told] == [0.81, 0.95]
    assert "81% of the budget 'weight'" in told[0].text


# --- on the lab -------------------------------------------------------------------------------------------------------


async def test_health_is_a_row_per_exchange_and_a_history(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    before = xm.health()
    assert set(before["exchange"]) == set(VENUES)
    assert set(before["status"]) == {"unknown"}
    assert before["latency_p50"].isna().all()
    lab.fault("okx", "status", code=503)
    await xm.health_check()
    await xm.get_cross_exchange_ticker("BTCUSDT")
    after: dict[str, dict[Any, Any]] = {row["exchange"]: row for row in xm.health().to_dict("records")}
    assert after["okx"]["status"] == "down"
    assert after["okx"]["why"].startswith("http_error: HTTP 503")
    assert after["okx"]["errors"].startswith("http_error")
    assert {name: row["why"] for name, row in after.items() if row["status"] != "up" and name != "okx"} == {}
    assert after["binance"]["latency_p95"] >= after["binance"]["latency_p50"] > 0
    assert after["binance"]["data_age_ms"] >= 0
    lab.heal()
    for _ in range(2):
        await xm.health_check()
    history = xm.health(history=True)
    mine = history[history["exchange"] == "okx"]
    assert mine["before"].tolist()[0] == "unknown"
    assert mine["status"].tolist()[-1] == "up"
    assert (mine["before"].to_numpy()[1:] == mine["status"].to_numpy()[:-1]).all()
    assert history["time"].is_monotonic_increasing


async def test_a_probe_goes_where_questions_do_not(lab: Lab, manager_for: ManagerFor) -> None:
    """What is left alone is probed all the same: the probe is what may show that it is back."""
    xm = manager_for(lab, venues=("okx",))
    await xm.health_check()
    lab.fault("okx", "reset", path="/api/v5/public/time")
    for _ in range(6):
        await xm.health_check()
    assert xm.get_exchange_status()["okx"]["status"] == "down"
    lab.heal()
    await xm.health_check()
    await xm.health_check()
    assert xm.get_exchange_status()["okx"]["status"] == "up"


async def test_the_monitor_asks_until_the_manager_is_closed(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("bybit", "binance"))
    xm.start_monitor(0.03)
    xm.start_monitor(0.02)  # the first one stops
    for _ in range(20):
        await asyncio.sleep(0.02)
        if len(lab.seen) >= 8:
            break
    assert set(xm.health()["status"]) == {"up"}
    xm.stop_monitor()
    await asyncio.sleep(0.02)
    count = len(lab.seen)
    await asyncio.sleep(0.05)
    assert len(lab.seen) == count
    xm.start_monitor(0.02)
    await xm.disconnect_all()
    count = len(lab.seen)
    await asyncio.sleep(0.05)
    assert len(lab.seen) == count


def test_a_monitor_needs_a_loop() -> None:
    with pytest.raises(LoopError, match="inside a coroutine"):
        ExchangeManager(cache=False).start_monitor(30)


async def test_what_a_recording_lacks_is_no_failure_of_a_venue() -> None:
    with replay():
        async with ExchangeManager.from_env(cache=False) as xm:
            with pytest.raises(NoVenueAnswered):
                await xm.books("ETHUSDT")
            assert {state.error_count for state in xm.exchange_info.values()} == {0}


@pytest.mark.parametrize("every", [0, -1, 1e-6, math.inf, math.nan, "soon", None])
async def test_a_monitor_needs_an_interval(every: Any) -> None:
    with pytest.raises(ConfigError, match="every"):
        ExchangeManager(cache=False).start_monitor(every)


# --- selection -------------------------------------------------------------------------------------------------------


async def test_a_quorum_does_not_wait_for_the_slow(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker("BTCUSDT")
    lab.fault("okx", "hang")
    lab.fault("htx", "hang")
    started = asyncio.get_running_loop().time()
    frame = await xm.quorum(3, "ticker", "BTCUSDT", deadline=3)
    assert asyncio.get_running_loop().time() - started < 1.5
    assert set(frame["exchange"]) == {"binance", "bybit", "kraken"}
    assert frame.attrs["answered"] == list(dict.fromkeys(frame["exchange"]))
    assert {name: text.split(":")[0] for name, text in frame.attrs["dropped"].items()} == {
        "okx": "not_needed", "htx": "not_needed",
    }  # fmt: skip


async def test_a_quorum_that_cannot_be_had_names_everybody(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker("BTCUSDT")
    for venue in ("okx", "htx", "bybit"):
        lab.fault(venue, "html")
    lab.fault("kraken", "crossed")
    with pytest.raises(NoVenueAnswered, match="1 of 2") as caught:
        await xm.quorum(2, "ticker", "BTCUSDT", deadline=1)
    assert {name: str(drop) for name, drop in caught.value.dropped.items()} == {
        "okx": "bad_payload", "htx": "bad_payload", "bybit": "bad_payload", "kraken": "crossed",
    }  # fmt: skip


async def test_a_venue_counts_once_in_a_quorum(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("okx", "bybit"))
    assert xm.add_exchange(ExchangeConfig("okx-2", "okx", base_url=lab.url("okx")))
    with pytest.raises(ConfigError, match="1 to the 2"):
        await xm.quorum(3, "order_book", "BTCUSDT")
    frame = await xm.quorum(2, "order_book", "BTCUSDT")
    assert set(frame["venue"]) == {"okx", "bybit"}


@pytest.mark.parametrize("k", [0, 6, "2", None, 1.5])
async def test_a_quorum_is_a_number_of_venues(k: Any, lab: Lab, manager_for: ManagerFor) -> None:
    with pytest.raises(ConfigError, match="quorum"):
        await manager_for(lab).quorum(k, "ticker", "BTCUSDT")
    with pytest.raises(ConfigError, match="funding"):
        await manager_for(lab).quorum(2, "funding", "BTCUSDT")
