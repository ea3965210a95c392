"""From a question to the requests that ask it, without I/O; what cannot be right is refused before it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote, urlencode

from xex_connectors.coinglass.endpoints import (
    BY_NAME,
    BY_PATH,
    DEPTH_DAYS,
    EXCHANGES,
    LEAST_MINUTES,
    MINUTES,
    OTHERS,
    PLANS,
    VENUES,
    Endpoint,
)
from xex_connectors.coinglass.refusals import BadParameter, IntervalNotInPlan, PlanTooLow, UnknownEndpoint

BASE_URL = "https://open-api-v4.coinglass.com"
DAY_MS = 86_400_000
SLACK_MS = 3_600_000
"""How much further back than a plan reaches a range may begin: nobody says where exactly it ends."""

_NUMBERS = {"limit": 1, "per_page": 1, "page": 1, "current_page": 1, "usd": 0, "min_liquidation_amount": 0}
"""Parameters that are numbers, and the least that each can be."""
_PAIR = re.compile(r"[A-Z0-9]{2,}(USDT|USDC|FDUSD|BUSD)|.*[/_-].*")
"""What is no coin: a pair in a coin's place is answered with nothing, and with no error."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question as it is asked: path and parameters; the key is a header."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address, which holds no key."""
        where = f"{BASE_URL}{quote(self.path)}"
        return f"{where}?{urlencode(self.params)}" if self.params else where


def headers(key: str) -> dict[str, str]:
    """Return the headers that every request needs."""
    return {"CG-API-KEY": key, "Accept": "application/json"}


def pairs_markets(coin: str) -> Request:
    """Ask for every contract of a coin on every exchange."""
    return Request(BY_NAME["pairs_markets"].path, {"symbol": coin})


# --- names and values --------------------------------------------------------------------------------------------


def endpoint_named(name: str) -> Endpoint:
    """Return the endpoint of a method or a path; raises `UnknownEndpoint`, which says what was meant."""
    found = BY_NAME.get(name) or BY_PATH.get(name)
    if found is None:
        nearest = _nearest(name, (*BY_NAME, *BY_PATH, *OTHERS), 5)
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else f"; there are {', '.join(BY_NAME)}"
        raise _unsent(UnknownEndpoint(f"no endpoint {name!r}{hint}", nearest=nearest))
    return found


def _nearest(word: str, words: Iterable[str], most: int = 1) -> list[str]:
    by_lower = {one.lower(): one for one in words}
    return [by_lower[one] for one in get_close_matches(word.lower().replace("-", "_"), by_lower, most, 0.7)] or [
        by_lower[one] for one in get_close_matches(word.lower(), by_lower, most, 0.7)
    ]


def _unsent(error: Any) -> Any:
    """Mark an error as ours: nothing was asked."""
    error.sent = False
    return error


def _bad(message: str, allowed: Iterable[str] = ()) -> BadParameter:
    made: BadParameter = _unsent(BadParameter(message, allowed=allowed))
    return made


def _allowed(what: str, value: object, allowed: Iterable[str]) -> BadParameter:
    """Return an error that names a value, what it may be, and what was meant."""
    words = list(allowed)
    near = _nearest(str(value), words)
    hint = f"did you mean {near[0]}? " if near else ""
    return _bad(f"{what} {value!r}: {hint}allowed: {', '.join(words) or 'none'}", words)


def checked(endpoint: Endpoint, given: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as they are sent, None left out; raises `BadParameter` for what cannot be.

    The error names the value, what is allowed, and what was likely meant. `filters` are kept among them.
    """
    values = {name: value for name, value in given.items() if value is not None}
    if any(param.name == "limit" and param.required for param in endpoint.params):
        values.setdefault("limit", endpoint.most)
    for name in values:
        if name not in endpoint.known:
            raise _allowed(f"{endpoint.name} has no parameter", name, endpoint.known)
    missing = [param.name for param in endpoint.params if param.required and values.get(param.name, "") == ""]
    if missing:
        asked = ", ".join(f"{param.name}{'' if param.required else ' (optional)'}" for param in endpoint.params)
        raise _bad(f"{endpoint.name} needs {', '.join(missing)}; it takes {asked}", endpoint.known)
    written = {name: _written(endpoint, name, value) for name, value in values.items()}
    start, end = written.get("start_time"), written.get("end_time")
    if start is not None and end is not None and int(end) <= int(start):
        raise _bad(f"end_time {end} is not after start_time {start}; the range holds start_time and not end_time")
    return written


def _written(endpoint: Endpoint, name: str, value: Any) -> str:
    """Return one value as it is sent."""
    allowed = next((param.allowed for param in endpoint.params if param.name == name), ())
    if allowed:
        return _chosen(name, value, allowed)
    if name in {"start_time", "end_time"}:
        return str(_moment(name, value))
    if name in _NUMBERS:
        return _count(name, value, endpoint.most if name == "limit" else None)
    if name == "exchange":
        return _exchange(value)
    if name == "exchange_list":
        if not isinstance(value, str | list | tuple | set | frozenset) or not value:
            raise _bad(f"{name} {value!r}: names of exchanges are expected, in a list or with commas", EXCHANGES)
        names = value.split(",") if isinstance(value, str) else list(value)
        return ",".join("ALL" if str(one).strip().upper() == "ALL" else _exchange(one) for one in names)
    text = str(value).strip()
    if not text:
        raise _bad(f"{name} is empty")
    if name == "symbol" and endpoint.symbol == "coin" and _PAIR.fullmatch(text.upper()):
        raise _bad(f"symbol {text!r}: {endpoint.name} takes a coin, such as BTC, and no pair")
    return text


def _chosen(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value).strip()
    folded = {one.lower(): one for one in allowed}
    found = folded.get(text.lower())
    if found is None:
        raise _allowed(name, value, allowed)
    return found


def _count(name: str, value: Any, most: int | None) -> str:
    try:
        amount = float(value)
    except (TypeError, ValueError):
        amount = float("nan")
    least = _NUMBERS[name]
    whole = amount == amount // 1 or name == "min_liquidation_amount"
    if isinstance(value, bool) or not (least <= amount < 1e15 and whole and (most is None or amount <= most)):
        bounds = f"from {least} to {most}" if most is not None else f"from {least} on"
        raise _bad(f"{name} {value!r}: a number {bounds} is expected")
    return f"{amount:.15g}"


def _exchange(value: Any) -> str:
    """Return an exchange in CoinGlass's spelling; a new one is let through, a slip of the pen is not."""
    text = str(value).strip()
    known = {name.lower(): name for name in EXCHANGES}
    lower = VENUES.get(text.lower(), text.lower())
    if lower in known:
        return known[lower]
    if not text or _nearest(text, EXCHANGES):
        raise _allowed("exchange", value, EXCHANGES)
    return text


def _moment(name: str, value: Any) -> int:
    """Return a time as Unix milliseconds: from as many, a datetime with a zone, or ISO 8601 (UTC without a zone)."""
    try:
        if isinstance(value, str) and not value.strip().lstrip("-").isdigit():
            value = datetime.fromisoformat(value.strip())
            value = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise _bad(f"{name} {value!r}: a time with a zone is expected, such as datetime(…, tzinfo=UTC)")
            value = round(1e3 * value.timestamp())
        moment = int(value)
    except (TypeError, ValueError, OverflowError) as exc:
        if isinstance(exc, BadParameter):
            raise
        raise _bad(f"{name} {value!r}: Unix milliseconds, a datetime or ISO 8601 are expected") from None
    if not 1e11 <= moment < 1e14:
        words = "; were seconds given?" if 1e8 <= moment < 1e11 else ""
        raise _bad(f"{name} {value!r}: Unix milliseconds are expected{words}")
    return moment


# --- plans -------------------------------------------------------------------------------------------------------


def plan_named(word: object) -> str:
    """Return a plan by its name, "" for what is none that is known: nothing is refused for it."""
    lower = str(word).strip().lower()
    return lower if lower in PLANS else ""


def refuse(endpoint: Endpoint, params: Mapping[str, str], plan: str, now_ms: float) -> None:
    """Raise `PlanTooLow` for what a plan does not include; an unknown plan, "", refuses nothing.

    A range that begins earlier than the plan reaches is refused too: it would be cut without a word.
    """
    start, interval = params.get("start_time"), params.get("interval")
    if start is not None and endpoint.keeps_days and int(start) < now_ms - endpoint.keeps_days * DAY_MS - SLACK_MS:
        raise _bad(f"start_time {start}: {endpoint.name} has the last {endpoint.keeps_days} days, whatever the plan")
    check_plan(endpoint.name, endpoint.plan, plan)
    if not (plan and endpoint.gated and interval):
        return
    least = LEAST_MINUTES.get(plan, 0)
    if MINUTES[interval] < least:
        shortest = next(name for name, minutes in MINUTES.items() if minutes >= least)
        needs = next(one for one in PLANS if LEAST_MINUTES.get(one, 0) <= MINUTES[interval])
        raise _unsent(
            IntervalNotInPlan(
                f"interval {interval!r}: the plan {plan.title()} has {shortest} and longer; {needs.title()} has it",
                plan=plan, needs=needs,
            )
        )  # fmt: skip
    days = DEPTH_DAYS.get(plan, {}).get(interval)
    if start is not None and days is not None and int(start) < now_ms - days * DAY_MS - SLACK_MS:
        earliest = datetime.fromtimestamp((now_ms - days * DAY_MS) / 1e3, UTC)
        needs = next((one for one in PLANS if _reaches(one, interval, now_ms - int(start))), "")
        more = f"; {needs.title()} reaches further" if needs else "; longer intervals reach further"
        raise _unsent(
            IntervalNotInPlan(
                f"start_time: the plan {plan.title()} has {interval} of the last {days} days, since "
                f"{earliest:%Y-%m-%d %H:%M} UTC{more}",
                plan=plan, needs=needs,
            )
        )  # fmt: skip


def _reaches(plan: str, interval: str, age_ms: float) -> bool:
    return age_ms <= DEPTH_DAYS.get(plan, {}).get(interval, 0) * DAY_MS + SLACK_MS


def depends_on_plan(endpoint: Endpoint, params: Mapping[str, str]) -> bool:
    """Say whether a plan could refuse a question, so that it is worth knowing."""
    if endpoint.plan != PLANS[0]:
        return True
    interval = params.get("interval")
    if not endpoint.gated or interval is None:
        return False
    return MINUTES[interval] < max(LEAST_MINUTES.values()) or (
        "start_time" in params and any(interval in days for days in DEPTH_DAYS.values())
    )


def check_plan(what: str, needs: str, plan: str) -> None:
    """Raise `PlanTooLow` where a known plan is below the one that is needed."""
    if plan and PLANS.index(plan) < PLANS.index(needs):
        words = f"{what} needs the plan {needs.title()}; the key's is {plan.title()}"
        raise _unsent(PlanTooLow(words, plan=plan, needs=needs))


# --- ranges ------------------------------------------------------------------------------------------------------


def windows(start: int, end: int, interval: str, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges [a, b) that one answer each can hold: together they are [start, end).

    >>> list(windows(0, 150_000, "1m", 2))
    [(0, 120000), (120000, 150000)]
    """
    step = MINUTES[interval] * 60_000 * limit
    for begin in range(start, end, step):
        yield begin, min(begin + step, end)
