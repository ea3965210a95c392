"""How the exchanges are: asked for, watched in the background, told to who wants to know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any

from xex.access.deadline import patient_for, until
from xex.access.events import Callback
from xex.access.port import RIGHTS, AnswersPermissions, AnswersStatus, LearnsFees, able
from xex.access.transport import probing
from xex.errors import ConfigError, ConnectorError, LoopError, NotListed, RateLimited
from xex.model import clock, schema
from xex.model.schema import Columns
from xex.roster import Entry, Roster, access_log, gathered

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("xex.manager")

LEAST_EVERY_S = 0.01
"""How often the monitor can ask: below that it would begin again before it has found anything."""
EVERY_S = 30.0
"""How often the monitor asks, unless told otherwise."""
HOLDS = 3
"""For how many intervals of the monitor an answer says how a venue is."""
PROBE_PATIENCE_S = 0.2
"""How long a probe waits for a budget or for the end of a pause: that it is waited for is what there is to know."""
NO_ANSWER = "no answer in time"


class Watch(Roster):
    """A roster that knows how its exchanges are."""

    _monitor: asyncio.Task[None] | None = None

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Call `callback` with each `Event` of a kind, and return what ends that.

        Events are "state" (up, degraded, down, unknown), "breaker" (an endpoint is left alone, tried again, or back),
        "ban", "budget" (more than four fifths are used) and "quarantine" (a price is another asset's, or in another
        unit). An `Event` has `name, exchange, venue, time` (Unix seconds), `text`, `facts`. A coroutine function runs
        as a task of the manager's loop; what a callback raises is logged and harms nobody. Raises `ConfigError`.
        """
        return self._events.on(event, callback)

    def get_exchange_status(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each exchange: status, latency (ms), uptime, counts, the last error."""
        return {name: state.as_dict() for name, state in self.exchange_info.items()}

    def health(self, *, history: bool = False) -> pd.DataFrame:
        """Return what is known of each exchange, a row each; with `history` its changes of state, the oldest first.

        Nobody is asked: `health_check` and the monitor do that. Latencies are milliseconds over the last five minutes,
        `uptime_percentage` is over `probed_s`, the seconds that were looked at, `error_rate` the share of requests of
        the last minute that failed, `skew_ms` how far the venue's clock is ahead, `left_alone` the endpoints that are
        not asked after failures, `venue_status` what the venue said of itself last: "ok", its own word, or why nobody
        knows. The history holds at most the last thousand changes of each exchange.
        """
        if not history:
            rows = [state.row() for state in self.exchange_info.values()]
            columns = {name: [row[name] for row in rows] for name in schema.SCHEMAS["health"]}
            return schema.frame(columns, "health")
        changes = sorted(
            (float(stamp), state.exchange, state.venue, before, after, why)
            for state in self.exchange_info.values()
            if state.status  # which notes what is not known any more
            for stamp, before, after, why in state.history
        )
        names = ("time", "exchange", "venue", "before", "status", "why")
        cells = {name: [row[place] for row in changes] for place, name in enumerate(names)}
        return schema.frame(cells, "health_history")

    async def health_check(self, *, deadline: float | None = None) -> dict[str, dict[str, Any]]:
        """Ask every enabled exchange for its status and clock, and return what is known of each.

        As `get_exchange_status`, and `venue_status`: "ok", the venue's own word for why not, or why nobody knows.
        """
        self._enter()
        entries = [entry for entry in self._entries.values() if entry.config.enabled]
        with until(self._seconds(deadline)):
            said = await gathered({entry.id: self._probe(entry) for entry in entries}, self._keep)
        for entry in entries:
            entry.state.word = said.get(entry.id, NO_ANSWER)
        known = self.get_exchange_status()
        for entry in entries:
            if entry.id in known:  # it may have been removed meanwhile
                known[entry.id]["venue_status"] = entry.state.word
        return known

    async def _probe(self, entry: Entry) -> str:
        """Ask one exchange for its clock and its status, also where breakers are open; return its word.

        Some venues may be asked for their status every few seconds only: then the last word stands.
        """
        with probing(), patient_for(PROBE_PATIENCE_S):
            try:
                await self._ready(entry)
                await self._measure_skew(entry)
                if able(entry.connector, AnswersStatus):
                    with patient_for(0.0):
                        entry.said = await self._guarded(entry, entry.connector.status())
            except RateLimited as exc:
                return exc.drop.text if exc.retry_after else entry.said
            except ConnectorError as exc:
                return exc.drop.text
        return entry.said

    async def connect_all(self) -> dict[str, bool]:
        """Make every enabled exchange ready: instruments and clock. Returns who is; who is not may be later.

        Keys are looked at in the background: one that may do more than read is warned of, once, on "xex.access", and
        what the account pays is asked for.
        """
        ready = await super().connect_all()
        keyed = [self._entries[name] for name, good in ready.items() if good and name in self._entries]
        keyed = [entry for entry in keyed if entry.config.api_key is not None]
        if keyed and not clock.is_recorded():
            self._keep(asyncio.create_task(self._warn_of_keys(keyed)))
        for entry in keyed:
            self._learn_fees(entry)
        return ready

    async def _warn_of_keys(self, entries: Sequence[Entry]) -> None:
        """Warn of keys that may do more than xex ever will; what cannot be found out is no matter here."""
        with until(self.deadline):
            await gathered({entry.id: self._warn_of_key(entry) for entry in entries}, self._keep)

    async def _warn_of_key(self, entry: Entry) -> None:
        with suppress(ConnectorError):
            rights = await self._rights(entry)
            beyond = tuple(right for right in RIGHTS if rights[right] and right != "read")
            if beyond and beyond != entry.warned_of:
                access_log.warning(
                    "%s: the configured key may %s, and xex only reads; replace it by a key that may only read, or by "
                    "none: market data needs no key", entry.id, " and ".join(beyond),
                )  # fmt: skip
            entry.warned_of = beyond

    async def _columns(self, entry: Entry, question: Awaitable[Columns], kind: str) -> Columns:
        """Await columns; who has sent tickers is asked for the account's fees, in which the next ones will be."""
        columns = await super()._columns(entry, question, kind)
        if kind == "tickers":
            self._learn_fees(entry)
        return columns

    def _learn_fees(self, entry: Entry) -> None:
        """Ask in the background what an account pays, once for each key and session; nobody waits for it."""
        config, connector = entry.config, entry.connector
        if config.api_key is None or clock.is_recorded() or not able(connector, LearnsFees):
            return
        key = hash((clock.epoch(), config.api_key, config.secret_key, config.passphrase))
        if entry.fees_of != key:
            entry.fees_of = key
            # In a context of its own: it is no part of the question that happened to start it.
            self._keep(asyncio.create_task(self._fees_learnt(entry, connector), context=Context()))

    async def _fees_learnt(self, entry: Entry, connector: LearnsFees) -> None:
        with until(self.deadline), suppress(ConnectorError):
            # What is signed is dated, and a venue refuses a date from another clock than its own.
            await self._measure_skew_if_old(entry)
            failed = await self._translated(entry, connector.learn_fees())
            for market, reason in failed.items():
                access_log.info("%s: %s fees stay the published ones, the account's: %s", entry.id, market, reason)

    async def key_permissions(self, *, deadline: float | None = None) -> dict[str, dict[str, bool] | str]:
        """Ask every enabled exchange what its key may do: "read", "trade", "withdraw"; else say why nobody knows.

        xex only reads, so a key that may do more is better replaced. A key that is missing or wrong costs this
        answer alone, and no key is ever shown.
        """
        self._enter()

        async def asked(entry: Entry) -> dict[str, bool] | str:
            try:
                return await self._rights(entry)
            except ConnectorError as exc:
                return exc.drop.text

        entries = [entry for entry in self._entries.values() if entry.config.enabled]
        with until(self._seconds(deadline)):
            came = await gathered({entry.id: asked(entry) for entry in entries}, self._keep)
        return {entry.id: came.get(entry.id, NO_ANSWER) for entry in entries}

    async def _rights(self, entry: Entry) -> dict[str, bool]:
        connector = entry.connector
        if not able(connector, AnswersPermissions):
            raise NotListed("the connector does not tell what a key may do", venue=entry.config.venue)
        await self._guarded(entry, self._connected(entry))
        if entry.config.api_key is not None:
            # What is signed is dated, and a venue refuses a date from another clock than its own.
            await self._measure_skew_if_old(entry)

        async def checked() -> dict[str, bool]:
            found = await connector.permissions()
            return {right: bool(found[right]) for right in RIGHTS}

        # Not guarded: what is wrong with a key is no failure of the venue. The seam notes what is one.
        return await self._translated(entry, checked())

    def start_monitor(self, every_s: float = EVERY_S) -> None:
        """Ask every enabled exchange for its status and clock every so many seconds, until the manager is closed.

        What is found stands in `health`, `get_exchange_status` and `exchange_info`, and is told to who listens with
        `on`. Starting it again changes the interval. It belongs to the running event loop. Raises `ConfigError`.
        """
        try:
            seconds = float(every_s)
        except (TypeError, ValueError):
            seconds = float("nan")
        if not LEAST_EVERY_S <= seconds < float("inf"):
            raise ConfigError(
                f"a monitor asks every so many seconds, at least {LEAST_EVERY_S:g}, not every {every_s!r}"
            )
        try:
            self._enter()
        except RuntimeError as exc:
            if isinstance(exc, LoopError):
                raise
            raise LoopError(
                "a monitor runs in an event loop: start it inside a coroutine, after `await` or `xex.run`"
            ) from None
        self.stop_monitor()
        self._monitor = asyncio.get_running_loop().create_task(self._monitoring(seconds))
        self._keep(self._monitor)

    def stop_monitor(self) -> None:
        """Ask no more in the background; nothing where no monitor runs."""
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.cancel()

    async def _monitoring(self, every_s: float) -> None:
        """Probe at a fixed rhythm; a round that takes longer than the interval is cut off, and none is made up for."""
        due = clock.monotonic()
        while True:
            for state in self.exchange_info.values():
                state.holds_s = HOLDS * every_s
            try:
                await self.health_check(deadline=min(every_s, self.deadline))
            except Exception:
                log.exception("a round of the monitor failed")
            due = max(due + every_s, clock.monotonic())
            await asyncio.sleep(due - clock.monotonic())
