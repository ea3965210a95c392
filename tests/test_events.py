"""What happens to venues is told once to whoever listens, and whoever listens badly harms nobody."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from tests.conftest import NO_KEYS, ManagerFor
from tests.lab import Lab
from tests.upstream import until_true
from xex.access import registry
from xex.access.budgets import Limit
from xex.access.events import EVENTS, Event, Events
from xex.access.state import HOLDS_S, VenueState
from xex.errors import ConfigError, ConnectorError, HttpError, NoVenueAnswered
from xex.manager import ExchangeManager

SYMBOL = "BTCUSDT"
TIME = "https://www.okx.com/api/v5/public/time"


class Heard(list[Event]):
    """A listener that remembers."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def facts(self, *names: str) -> list[tuple[Any, ...]]:
        """Return these facts of each event."""
        return [tuple(event.facts[name] for name in names) for event in self]


@pytest.fixture
async def xm(lab: Lab, manager_for: ManagerFor) -> AsyncIterator[ExchangeManager]:
    """Give a manager of one connected venue."""
    manager = manager_for(lab, venues=("okx",), **NO_KEYS)
    assert await manager.connect_all() == {"okx": True}
    return manager  # type: ignore[return-value]


async def send(xm: ExchangeManager, count: int, first: int = 0) -> None:
    """Ask one endpoint for different things, whatever comes of it, and with no budget in the way."""
    route = dataclasses.replace(xm._route(xm._entries["okx"]), limits=())
    for number in range(first, first + count):
        try:
            await xm._transport.send(route, "GET", f"{TIME}?n={number}")
        except ConnectorError:
            continue


# --- what is told -----------------------------------------------------------------------------------------------------


async def test_a_venue_goes_down_and_comes_back(lab: Lab, xm: ExchangeManager) -> None:
    heard = Heard()
    xm.on("state", heard)
    lab.fault("okx", "status", code=501)
    await send(xm, 4)
    lab.heal()
    await send(xm, 4, first=10)
    assert heard.facts("before", "after") == [("up", "degraded"), ("degraded", "down"), ("down", "up")]
    for event in heard:
        assert (event.name, event.exchange, event.venue) == ("state", "okx", "okx")
        assert event.text.startswith(f"okx is {event.facts['after']}: ")
        assert abs(event.time - asyncio.get_running_loop().time()) > 0
    assert "HTTP 501" in heard[0].text
    assert [event.time for event in heard] == sorted(event.time for event in heard)


async def test_an_endpoint_is_left_alone_and_tried_again(lab: Lab, xm: ExchangeManager) -> None:
    heard = Heard()
    xm.on("breaker", heard)
    lab.fault("okx", "status", code=501)
    await send(xm, 30)
    endpoint = "/api/v5/public/time"
    assert heard.facts("endpoint", "before", "after") == [(endpoint, "closed", "open")]
    assert endpoint in heard[0].text
    lab.heal()
    xm.exchange_info["okx"].breaker(endpoint).half_open()
    await send(xm, 3, first=50)
    assert heard.facts("before", "after") == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


async def test_a_ban_is_told_with_its_time(lab: Lab, xm: ExchangeManager) -> None:
    heard = Heard()
    xm.on("ban", heard)
    lab.fault("okx", "status", code=418, retry_after=7)
    await send(xm, 3)
    assert heard.facts("seconds") == [(7,)], "what is not sent meanwhile is no other ban"
    assert heard[0].text == "okx asked to stay away for 7 s"


async def test_being_slowed_down_is_no_ban(lab: Lab, xm: ExchangeManager) -> None:
    heard = Heard()
    xm.on("ban", heard)
    lab.fault("okx", "status", code=429, retry_after=7)
    await send(xm, 3)
    assert heard == []


async def test_a_budget_is_told_above_four_fifths_and_once(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five requests of ten seconds: the fifth is more than four fifths."""
    kind = registry.load(registry.installed()["okx"])
    monkeypatch.setattr(kind, "limits", (Limit("few", "www.okx.com", 5, 10, path="public/time"),))
    xm = manager_for(lab, venues=("okx",))
    heard = Heard()
    xm.on("budget", heard)
    route = xm._route(xm._entries["okx"])
    for number in range(4):
        await xm._transport.send(route, "GET", f"{TIME}?n={number}")
    assert heard == []
    await xm._transport.send(route, "GET", f"{TIME}?n=5")
    assert heard.facts("budget", "used") == [("few", 1.0)]
    assert "100%" in heard[0].text
    assert "few" in heard[0].text


def test_a_budget_is_told_again_after_it_was_well_below() -> None:
    state, heard = VenueState("mine", "okx"), Heard()
    state.events.on("budget", heard)
    for share in (0.5, 0.8, 0.81, 0.95, 0.7, 0.9, 0.59, 0.85, 0.81):
        state.note_budget("few", share)
    state.note_budget("other", 0.9)
    assert heard.facts("budget", "used") == [("few", 0.81), ("few", 0.85), ("other", 0.9)]


@pytest.mark.parametrize(("factor", "reason"), [("1000", "unit_error"), ("1.7", "suspect")])
async def test_a_price_of_another_asset_is_told(factor: str, reason: str, lab: Lab, manager_for: ManagerFor) -> None:
    fair = lab.truth
    lab.truth = fair.changed(
        lambda m: m.priced_at(m.mid * Decimal(factor)) if (m.venue, m.base, m.kind) == ("okx", "BTC", "spot") else m
    )
    xm = manager_for(lab)
    heard = Heard()
    xm.on("quarantine", heard)
    snap = await xm.get_cross_exchange_ticker("BTC/USDT")
    assert str(snap.dropped["okx"]) == reason
    assert [(event.exchange, event.venue) for event in heard] == [("okx", "okx")]
    assert heard.facts("instrument", "reason") == [("BTC/USDT", reason)]
    lab.truth = fair
    await xm.get_cross_exchange_ticker("BTC/USDT")
    assert len(heard) == 1


async def test_a_healthy_venue_is_hardly_worth_a_word(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    heard = Heard()
    for name in EVENTS.keys() - {"budget"}:
        xm.on(name, heard)
    for _ in range(2):
        await xm.get_cross_exchange_ticker(SYMBOL)
    await xm.health_check()
    assert {(event.name, event.facts.get("after")) for event in heard} == {("state", "up")}
    assert sorted(event.exchange for event in heard) == sorted(xm.exchange_configs)


# --- who listens ------------------------------------------------------------------------------------------------------


async def test_whoever_has_enough_hears_no_more(lab: Lab, xm: ExchangeManager) -> None:
    one, other = Heard(), Heard()
    off, _ = xm.on("ban", one), xm.on("ban", other)
    lab.fault("okx", "status", code=418, retry_after=0)
    await send(xm, 1)
    off()
    off()
    await send(xm, 1, first=5)
    assert (len(one), len(other)) == (1, 2)


def test_who_listens_twice_is_told_twice_and_ends_one_at_a_time() -> None:
    events, heard = Events(), Heard()
    off, again = events.on("ban", heard), events.on("ban", heard)
    events.emit("ban", "e", "v", "text")
    assert len(heard) == 2
    off()
    off()
    events.emit("ban", "e", "v", "text")
    assert len(heard) == 3, "the other one still listens"
    again()
    events.emit("ban", "e", "v", "text")
    assert len(heard) == 3


def test_an_event_goes_to_its_own_listeners_in_their_order() -> None:
    events, order = Events(), list[tuple[int, str]]()

    def note(number: int, event: Event) -> None:
        order.append((number, event.text))

    for number in range(3):
        events.on("ban", partial(note, number))
    events.on("state", partial(note, 9))
    events.emit("ban", "e", "v", "one")
    events.emit("budget", "e", "v", "two")
    assert order == [(0, "one"), (1, "one"), (2, "one")]


async def test_a_coroutine_runs_beside_the_question(lab: Lab, xm: ExchangeManager) -> None:
    """It is not waited for, and may ask by itself."""
    done: list[tuple[object, dict[str, dict[str, Any]]]] = []
    go = asyncio.Event()

    async def listener(event: Event) -> None:
        await go.wait()
        done.append((event.facts["seconds"], await xm.health_check()))

    xm.on("ban", listener)
    lab.fault("okx", "status", code=418, retry_after=0, times=1)
    await send(xm, 1)
    assert done == []
    go.set()
    await until_true(lambda: done)
    ((seconds, known),) = done
    assert seconds == 0
    assert known["okx"]["venue_status"] == "ok"
    await asyncio.sleep(0)
    assert not xm._events._running


async def test_closing_ends_coroutines_that_still_run(lab: Lab, xm: ExchangeManager) -> None:
    ends: list[str] = []

    async def listener(_: Event) -> None:
        ends.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("ended")

    xm.on("ban", listener)
    lab.fault("okx", "status", code=418, retry_after=0)
    await send(xm, 2)
    await asyncio.sleep(0)
    assert ends == ["begun", "begun"]
    await xm.disconnect_all()
    assert ends == ["begun", "begun", "ended", "ended"]
    assert not xm._events._running


async def test_a_listener_may_close_the_manager(lab: Lab, xm: ExchangeManager) -> None:
    """Who is banned may want to stop at once."""
    closed = asyncio.Event()

    async def listener(_: Event) -> None:
        await xm.disconnect_all()
        closed.set()

    async def other(_: Event) -> None:
        await asyncio.Event().wait()

    xm.on("ban", other)
    xm.on("ban", listener)
    lab.fault("okx", "status", code=418, retry_after=1)
    await send(xm, 1)
    await asyncio.wait_for(closed.wait(), 1)
    await asyncio.sleep(0)
    assert not xm._events._running


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_listener_that_fails_harms_nobody_and_is_logged(
    kind: str, lab: Lab, xm: ExchangeManager, caplog: pytest.LogCaptureFixture
) -> None:
    def plain(_: Event) -> None:
        raise RuntimeError("a bad listener")

    async def coroutine(_: Event) -> None:
        raise RuntimeError("a bad listener")

    heard = Heard()
    for name in EVENTS:
        xm.on(name, plain if kind == "plain" else coroutine)
        xm.on(name, heard)
    lab.fault("okx", "status", code=501)
    await send(xm, 20)
    lab.heal()
    await xm.health_check()
    snap = await xm.get_cross_exchange_ticker(SYMBOL)
    assert snap.answered == ["okx"]
    await asyncio.sleep(0)
    told = [(event.name, event.facts.get("after")) for event in heard]
    assert told[:3] == [("state", "degraded"), ("state", "down"), ("breaker", "open")]
    logged = [record for record in caplog.records if record.exc_info and "a bad listener" in str(record.exc_info[1])]
    assert len(logged) == len(heard)
    assert {(record.name, record.levelname) for record in logged} == {("xex.access", "ERROR")}


@pytest.mark.parametrize("event", ["", "bans", "BAN", "*", None])
def test_a_wrong_name_is_refused_with_the_right_ones(event: Any) -> None:
    xm = ExchangeManager(cache=False)
    with pytest.raises(ConfigError) as caught:
        xm.on(event, lambda _: None)
    for name in ("state", "breaker", "ban", "budget", "quarantine"):
        assert name in str(caught.value)
    assert repr(event) in str(caught.value)


@pytest.mark.parametrize("callback", [None, "print", 3])
def test_what_cannot_be_called_is_refused(callback: Any) -> None:
    with pytest.raises(ConfigError, match=f"a callback for 'ban' is expected, not {type(callback).__name__}"):
        ExchangeManager(cache=False).on("ban", callback)


def test_an_event_cannot_be_changed() -> None:
    """It goes to others too."""
    event = Event("ban", "e", "v", 0.0, "text")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.text = "other"  # type: ignore[misc]


def test_without_a_loop_a_coroutine_is_not_left_hanging(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads a status may be no coroutine, and time alone has made it unknown."""
    now = [1000.0]
    state, heard = VenueState("mine", "okx", lambda: now[0]), Heard()
    calls: list[Event] = []

    async def listener(event: Event) -> None:
        calls.append(event)

    state.events.on("state", listener)
    state.events.on("state", heard)
    state.failed(HttpError("HTTP 500"))
    now[0] += HOLDS_S + 1
    assert state.status == "unknown"
    assert heard.facts("after") == [("down",), ("unknown",)]
    assert calls == []
    assert sum("no event loop runs" in record.getMessage() for record in caplog.records) == 2
    assert all(record.exc_info is None for record in caplog.records)


async def test_nobody_answering_is_told_for_each(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("okx", "bybit"))
    heard = Heard()
    xm.on("state", heard)
    for venue in ("okx", "bybit"):
        lab.fault(venue, "status", code=451)
    with pytest.raises(NoVenueAnswered):
        await xm.get_cross_exchange_ticker(SYMBOL)
    assert sorted((event.exchange, event.facts["after"]) for event in heard) == [("bybit", "down"), ("okx", "down")]
