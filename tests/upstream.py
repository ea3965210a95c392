"""A venue below the seam without a socket: a coroutine answers, in whatever time the loop has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from xex.access.budgets import Budgets
from xex.access.state import VenueState
from xex.access.transport import Route, Transport

URL = "https://www.okx.com/api/v5/public/time"
PATH = "/api/v5/public/time"


def time() -> float:
    """Return the loop's own time."""
    return asyncio.get_running_loop().time()


@dataclass
class Sent:
    """A request as it went out, and how it ended."""

    number: int
    method: str
    url: str
    at: float
    end: Literal["under way", "answered", "failed", "cancelled"] = "under way"


@dataclass
class Said:
    """What a venue says: as much of an aiohttp answer as the seam looks at."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"

    @property
    def content_length(self) -> int:
        return len(self.body)

    async def read(self) -> bytes:
        return self.body


Answer = Callable[[Sent], Awaitable[Said]]


class Venue:
    """Stands for the session of a `Transport`: `answer` is awaited for each request, `sent` holds them all."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.sent: list[Sent] = []

    @asynccontextmanager
    async def request(self, method: str, url: object, **more: Any) -> AsyncIterator[Said]:
        """Play one request, within the time that the seam gives it."""
        one = Sent(len(self.sent) + 1, method, str(url), time())
        self.sent.append(one)
        try:
            async with asyncio.timeout(more["timeout"].total):
                said = await self.answer(one)
        except asyncio.CancelledError:
            one.end = "cancelled"
            raise
        except BaseException:
            one.end = "failed"
            raise
        one.end = "answered"
        yield said

    @property
    def ends(self) -> list[str]:
        """How the requests ended."""
        return [one.end for one in self.sent]

    async def close(self) -> None:
        """Nothing to close."""


def transport_to(answer: Answer, **settings: Any) -> tuple[Transport, Venue]:
    """Return a seam on the loop's own clock, and the venue below it."""
    made, venue = Transport(budgets=Budgets(time), **settings), Venue(answer)
    made._session = cast("Any", venue)
    return made, venue


def route(name: str = "mine", **more: Any) -> Route:
    """Return a route on the loop's own clock."""
    return Route(name, "okx", VenueState(name, "okx", time), **more)


def in_turn(*answers: Said | Exception) -> Answer:
    """Give these answers one after the other, the last one again and again."""

    async def answer(sent: Sent) -> Said:
        await asyncio.sleep(0)
        said = answers[min(sent.number, len(answers)) - 1]
        if isinstance(said, Exception):
            raise said
        return said

    return answer


def after(seconds: float, said: Said | None = None) -> Answer:
    """Answer that late."""

    async def answer(_: Sent) -> Said:
        await asyncio.sleep(seconds)
        return said or Said()

    return answer


async def until_true(said: Callable[[], object]) -> None:
    """Wait until something is so, for a second of a test on sockets at most."""
    for _ in range(1000):
        if said():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


async def never(_: Sent) -> Said:
    """Take a request and keep silent."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")
