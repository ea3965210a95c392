"""What happens to venues, told to whoever wants to know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable, iscoroutine
from typing import Any, Literal

from xex.errors import ConfigError
from xex.model import clock

log = logging.getLogger("xex.access")

EventName = Literal["state", "breaker", "ban", "budget", "quarantine"]
EVENTS: Mapping[str, str] = {
    "state": "a venue is up, degraded, down or unknown, and was not before",
    "breaker": "an endpoint is left alone after failures, tried again, or back",
    "ban": "a venue asked to be left alone for a while",
    "budget": "more than four fifths of a request budget are used",
    "quarantine": "a venue's price says that it is another asset, or in another unit",
}
"""What can be listened to."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `time` in Unix seconds, and `facts` by name, which differ by kind of event."""

    name: str
    exchange: str
    venue: str
    time: float
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


Callback = Callable[[Event], object]


class Events:
    """Who listens to what. A callback may be a coroutine function; what it raises is logged and goes nowhere else."""

    def __init__(self) -> None:
        self._callbacks: dict[str, dict[object, Callback]] = {}
        self._running: set[asyncio.Task[Any]] = set()

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Call `callback` with each `Event` of a name; returns what ends that. Raises `ConfigError`."""
        if event not in EVENTS:
            raise ConfigError(f"no event {event!r}; events are: {', '.join(EVENTS)}")
        if not callable(callback):
            raise ConfigError(f"a callback for {event!r} is expected, not {type(callback).__name__}")
        listeners, mine = self._callbacks.setdefault(event, {}), object()
        listeners[mine] = callback

        def off() -> None:
            listeners.pop(mine, None)

        return off

    def emit(self, name: EventName, exchange: str, venue: str, text: str, **facts: Any) -> None:
        """Tell the listeners now; coroutines run as tasks."""
        listeners = self._callbacks.get(name)
        if not listeners:
            return
        event = Event(name, exchange, venue, clock.now_ms() / 1e3, text, facts)
        for callback in tuple(listeners.values()):
            try:
                told = callback(event)
                if isawaitable(told):
                    self._run(told)
            except Exception:
                log.exception("a listener to %r failed", name)

    def _run(self, told: Any) -> None:
        async def heard() -> None:
            try:
                await told
            except Exception:
                log.exception("a listener failed")

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            if iscoroutine(told):
                told.close()
            log.warning("a listener is a coroutine and no event loop runs, so it was not called")
            return
        task = loop.create_task(heard())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self, spared: asyncio.Task[Any] | None = None) -> None:
        """End the listeners that still run, but for one that asked for it."""
        tasks = [task for task in self._running if task not in {spared, asyncio.current_task()}]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
