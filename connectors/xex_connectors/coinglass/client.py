"""The client: asks CoinGlass through the seam, at the pace of the key's plan."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
from pydantic import SecretStr

from xex.access.budgets import Limit
from xex.access.port import Reference
from xex.access.state import VenueState
from xex.access.transport import Response, Route, Transport, scrub
from xex.config import ExchangeConfig, read_environment
from xex.errors import (
    AuthRejected,
    BadPayload,
    ConfigError,
    ConnectorError,
    NotListed,
    RateLimited,
    TimedOut,
    Unreachable,
)
from xex.model import clock
from xex.model.schema import Columns, length, take
from xex_connectors.coinglass.answers import Table, contract_columns, data_of, empty, joined, table
from xex_connectors.coinglass.calls import Calls
from xex_connectors.coinglass.endpoints import (
    BY_PATH,
    ENDPOINTS,
    LEAST_MINUTES,
    MINUTES,
    OTHERS,
    PLANS,
    SUBSCRIPTION,
    Endpoint,
)
from xex_connectors.coinglass.refusals import (
    WINDOW_S,
    BadParameter,
    IntervalNotInPlan,
    PlanTooLow,
    UnknownEndpoint,
)
from xex_connectors.coinglass.requests import (
    Request,
    check_plan,
    checked,
    depends_on_plan,
    endpoint_named,
    headers,
    pairs_markets,
    plan_named,
    refuse,
    windows,
)

log = logging.getLogger(__name__)
NAME = "coinglass"
TIMEOUT_S = 30.0
"""Some answers take four seconds to be made."""


class CoinGlass(Calls, Reference):
    """CoinGlass, API version 4: a method for each market-data endpoint, `get` for the others.

    ::

        async with CoinGlass("the key") as cg:
            rates = await cg.funding_rate_exchange_list(symbol="BTC")
            frame = rates.frame()

    Methods answer with columns of a fixed schema per endpoint: times in Unix milliseconds, numbers as CoinGlass means
    them, in the units that `endpoints()` and docs/coinglass.md tell. A range [start_time, end_time) is asked in as many
    requests as it takes; without `end_time` it ends now. `plan` ("hobbyist", "startup", "standard", "professional",
    "enterprise") is asked for where it matters, once, unless it is given; what it does not include is refused before it
    is sent. `key` may be a whole `ExchangeConfig`; a manager lends its seam with `bind`. Raises `ConnectorError`:
    `AuthRejected`, `PlanTooLow`, `IntervalNotInPlan`, `BadParameter`, `NotListed`, `RateLimited`, `ServerError`, ….
    """

    key_hint = "a key comes with any plan on https://www.coinglass.com/pricing"
    # The least plan allows 30 a minute; the answers say what this key's plan allows, and how much of it is used.
    limits = (
        Limit(
            "key", "open-api-v4.coinglass.com", 30, WINDOW_S, used_header="API-KEY-USE-LIMIT",
            most_header="API-KEY-MAX-LIMIT", source="docs, plans",
        ),
    )  # fmt: skip

    def __init__(
        self,
        key: str | SecretStr | ExchangeConfig | None = None,
        *,
        plan: str | None = None,
        timeout_s: float = TIMEOUT_S,
        rate_share: float = 1.0,
        base_url: str | None = None,
        proxy: str | None = None,
    ) -> None:
        if not isinstance(key, ExchangeConfig):
            bare = key.strip() or None if isinstance(key, str) else key
            settings = {"timeout_s": timeout_s, "rate_share": rate_share, "base_url": base_url, "proxy": proxy}
            key = ExchangeConfig(NAME, NAME, api_key=bare, **settings)
        super().__init__(key)
        if plan is not None and not plan_named(plan):
            raise ConfigError(f"plan {plan!r}: one of {', '.join(PLANS)} is expected, or None to ask for it")
        self._plan = None if plan is None else plan_named(plan)
        self._own: Transport | None = None
        self._asking = asyncio.Lock()

    @classmethod
    def from_env(cls, **settings: Any) -> Self:
        """Return a client with the key of the environment, ``COINGLASS_API_KEY``; raises `ConfigError` without one."""
        (config,) = read_environment([NAME]).configs
        if config.api_key is None:
            raise ConfigError(f"no key: set {NAME.upper()}_API_KEY; {cls.key_hint}")
        return cls(config.api_key, **settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(plan={self._plan or 'unknown'!r})"

    # --- life

    def bind(self, transport: Transport, route: Route) -> None:
        """Take a manager's seam."""
        super().bind(transport, route)
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        config, key = self.config, self.config.api_key
        self._own = Transport()
        self.bind(
            self._own,
            Route(
                config.exchange_id, config.venue, VenueState(config.exchange_id, config.venue), self.limits,
                config.timeout_s, config.rate_share, config.base_url, config.proxy,
                () if key is None else (key.get_secret_value(),),
            ),
        )  # fmt: skip
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own is not None:
            await self._own.close()
            self._own = None

    # --- questions

    async def ask(self, name: str, /, **parameters: Any) -> Table:
        """Ask an endpoint by its method's name or its path; what each method does.

        Times are Unix milliseconds, datetimes with a zone, or ISO 8601. Of a range [start_time, end_time) all rows
        come, each once, oldest first; the running bar is among them.
        """
        endpoint = endpoint_named(name)
        params = checked(endpoint, parameters)
        plan = await self.plan() if depends_on_plan(endpoint, params) else self._plan or ""
        now_ms = clock.now_ms()
        refuse(endpoint, params, plan, now_ms)
        chosen = {one: params.pop(one) for one in endpoint.filters.split() if one in params}
        if "start_time" not in params:
            return _chosen(await self._table(endpoint, params), chosen)
        start, end = int(params["start_time"]), int(params.get("end_time", max(now_ms, int(params["start_time"]) + 1)))
        if endpoint.split:
            return _once(endpoint, await self._halved(endpoint, params, start, end))
        limit = int(params.get("limit", endpoint.most))
        parts = []
        for a, b in windows(start, end, params["interval"], limit):
            part = {**params, "limit": str(limit), "start_time": str(a), "end_time": str(b)}
            parts.append(_within(await self._table(endpoint, part), a, b))
        return _once(endpoint, parts)

    async def get(self, path: str, /, **parameters: Any) -> Any:
        """Ask any path and return what the answer holds, as it comes: the way to the endpoints without a method."""
        path = "/" + "/".join(part for part in path.strip().split("/") if part)
        if not path.startswith("/api/") or set(path) & set("?#:"):
            endpoint_named(path)
            raise UnknownEndpoint(f"no path {path!r}; paths begin with /api/, parameters follow as names and values")
        known = BY_PATH.get(path)
        needs = OTHERS.get(path, PLANS[0]) if known is None else known.plan
        if needs != PLANS[0]:
            check_plan(path, needs, await self.plan())
        request = Request(path, {name: str(value) for name, value in parameters.items() if value is not None})
        return await self._data(request, known, needs)

    async def plan(self) -> str:
        """Return the key's plan in small letters, "" where CoinGlass does not tell; it is asked once."""
        async with self._asking:
            if self._plan is None:
                try:
                    found = await self._data(Request(SUBSCRIPTION), None, "")
                except (RateLimited, TimedOut, Unreachable):
                    return ""  # it may tell later
                except ConnectorError as exc:
                    log.debug("the plan is unknown: %s", exc)
                    found = None
                told = found if isinstance(found, Mapping) and found.get("expired") is not True else {}
                self._plan = plan_named(told.get("level"))
            return self._plan

    async def check_key(self) -> None:
        """Raise what is wrong with the key or on the way; that CoinGlass does not tell the plan is neither."""
        try:
            await self._data(Request(SUBSCRIPTION), None, "")
        except (AuthRejected, RateLimited, TimedOut, Unreachable):
            raise
        except ConnectorError as exc:
            log.debug("the plan is unknown: %s", exc)

    async def contracts(self, base: str) -> Columns:
        """Return CoinGlass's figures of every contract of an asset, in the schema `reference`."""
        endpoint = BY_PATH[pairs_markets(base).path]
        columns = contract_columns(await self._table(endpoint, pairs_markets(base).params))
        if not columns["id"]:
            raise NotListed(f"no contracts of {base}", venue=self._route.venue)
        return columns

    def endpoints(self) -> Columns:
        """Return what can be asked, in the schema `endpoints`: name, path, least plan, parameters, history."""
        return {
            "name": [one.name for one in ENDPOINTS],
            "path": [one.path for one in ENDPOINTS],
            "plan": [one.plan for one in ENDPOINTS],
            "parameters": [_signature(one) for one in ENDPOINTS],
            "intervals": [" ".join(one.intervals) for one in ENDPOINTS],
            "history": [reach(one) for one in ENDPOINTS],
            "about": [one.about for one in ENDPOINTS],
        }

    def schema_of(self, name: str) -> Mapping[str, str]:
        """Return the columns of an endpoint's answers and their types."""
        return endpoint_named(name).schema

    # --- requests

    async def _halved(self, endpoint: Endpoint, params: Mapping[str, str], start: int, end: int) -> list[Table]:
        """Ask a range, in halves where an answer is full: what it cuts off is not told."""
        data = await self._data(
            Request(endpoint.path, {**params, "start_time": str(start), "end_time": str(end)}), endpoint, endpoint.plan
        )
        rows = len(data) if isinstance(data, list) else 0
        if rows < endpoint.most or end - start < 2:
            if rows >= endpoint.most:
                log.warning("%s: %d rows within a millisecond; more may be missing", endpoint.name, rows)
            part = self._read(endpoint, data)
            return [part if endpoint.by else _within(part, start, end)]
        middle = (start + end) // 2
        return [
            *await self._halved(endpoint, params, start, middle),
            *await self._halved(endpoint, params, middle, end),
        ]

    async def _table(self, endpoint: Endpoint, params: Mapping[str, str]) -> Table:
        return self._read(endpoint, await self._data(Request(endpoint.path, params), endpoint, endpoint.plan))

    def _read(self, endpoint: Endpoint, data: Any) -> Table:
        try:
            return table(endpoint, data)
        except BadPayload as exc:
            exc.venue = self._route.venue
            self._route.state.failed(exc)
            raise

    async def _data(self, request: Request, endpoint: Endpoint | None, needs: str) -> Any:
        """Send one request and return what its answer holds."""
        if not hasattr(self, "_route"):
            raise ConfigError("use it as: async with CoinGlass(key) as cg: …")
        key = self.config.api_key
        if key is None:
            error = AuthRejected(f"no key is set; {self.key_hint}", venue=self._route.venue)
            error.sent = False
            raise error
        response = await self._transport.send(
            self._route, "GET", request.url, headers(key.get_secret_value()), signed=True
        )
        try:
            return data_of(response.body, response.status)
        except ConnectorError as exc:
            self._explain(exc, request, endpoint, needs)
            self._note(exc, response)
            raise

    def _explain(self, error: ConnectorError, request: Request, endpoint: Endpoint | None, needs: str) -> None:
        """Add to CoinGlass's words what is known here: plans, parameters, and what a path may have been."""
        if isinstance(error, PlanTooLow):
            interval = MINUTES.get(request.params.get("interval", ""), 0)
            if isinstance(error, IntervalNotInPlan) and interval:
                needs = next(one for one in PLANS if LEAST_MINUTES.get(one, 0) <= interval)
            error.plan, error.needs = self._plan or "", needs
            theirs = f", the key's is {error.plan.title()}" if error.plan else ""
            error.args = (f"{error}: {needs.title()} or higher is needed{theirs}" if needs else str(error),)
        elif isinstance(error, BadParameter) and endpoint is not None:
            error.allowed = endpoint.known
            error.args = (f"{error}; {endpoint.name} takes {_signature(endpoint)}",)
        elif isinstance(error, UnknownEndpoint):
            try:
                endpoint_named(request.path)
            except UnknownEndpoint as exc:
                error.nearest = exc.nearest
            hint = " or ".join(error.nearest)
            error.args = (f"{error}; did you mean {hint}?" if hint else str(error),)

    def _note(self, error: ConnectorError, response: Response) -> None:
        """Name the source of an error and take the key out of its words, which are CoinGlass's own."""
        error.venue = self._route.venue
        error.args = tuple(scrub(str(part), self._route.secrets) for part in error.args)
        self._route.state.failed(error, response.id)
        if isinstance(error, RateLimited):
            self._transport.hush(self._route, response)


def _signature(endpoint: Endpoint) -> str:
    """Return an endpoint's parameters in words; those that may be left out in brackets."""
    told = [param.name if param.required and param.name != "limit" else f"[{param.name}]" for param in endpoint.params]
    return " ".join([*told, *(f"[{name}]" for name in endpoint.filters.split())])


def reach(endpoint: Endpoint) -> str:
    """Return in words how far back an endpoint goes."""
    if endpoint.gated:
        return "by plan and interval"
    return f"{endpoint.keeps_days} d" if endpoint.keeps_days else endpoint.history


def _chosen(found: Table, wanted: Mapping[str, str]) -> Table:
    """Return the rows that have these texts, whatever their case."""
    good = np.ones(length(found), dtype=bool)
    for name, text in wanted.items():
        good &= np.array([cell.lower() == text.lower() for cell in found[name]], dtype=bool)
    return Table(take(found, good), found.endpoint) if wanted else found


def _within(part: Table, start: int, end: int) -> Table:
    """Return the rows of a range [start, end): what an answer has beyond it is another's."""
    times = part["time"]
    return Table(take(part, (times >= start) & (times < end)), part.endpoint)


def _once(endpoint: Endpoint, parts: list[Table]) -> Table:
    """Return the rows of several answers, each once, oldest first."""
    rows = _added_up(endpoint, [_in_order(endpoint, part) for part in parts if length(part)])
    if not rows:
        return empty(endpoint)
    whole = joined(endpoint, rows)
    if endpoint.by:
        _, first = np.unique(np.array(whole[endpoint.by]), return_index=True)
        return _in_order(endpoint, Table(take(whole, np.sort(first)), endpoint))
    return _in_order(endpoint, whole)


def _in_order(endpoint: Endpoint, part: Table) -> Table:
    """Return rows oldest first; of bars that came twice the later one."""
    name = "time" if "time" in part else "start_time"
    part = Table(take(part, np.argsort(part[name], kind="stable")), endpoint)
    if endpoint.shape != "rows" or endpoint.split:
        return part
    times = part["time"]
    return Table(take(part, np.append(times[1:] != times[:-1], True)), endpoint)


def _added_up(endpoint: Endpoint, parts: list[Table]) -> list[Table]:
    """Let each answer's sums go on where those of the one before end."""
    for name in endpoint.sums.split():
        carried = 0.0
        for part in parts:
            part[name] = part[name] + carried
            known = part[name][np.isfinite(part[name])]
            carried = float(known[-1]) if len(known) else carried
    return parts
