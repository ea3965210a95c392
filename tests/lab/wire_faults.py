"""What can be wrong with a connection: it hangs, breaks, or sends less than it says."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Exchange:
    """One request and the answer it would have got, with the `headers` that go out however it is spoiled.

    `closing` is set when the lab ends.
    """

    request: web.BaseRequest
    body: bytes
    status: int
    args: Mapping[str, Any]
    closing: asyncio.Event
    headers: Mapping[str, str]

    async def started(self, length: int) -> web.StreamResponse:
        """Send the headers of an answer that claims `length` bytes."""
        headers = {"Content-Type": "application/json", **self.headers}
        response = web.StreamResponse(status=self.status, headers=headers)
        response.content_length = length
        await response.prepare(self.request)
        return response

    def abort(self, *, reset: bool = False) -> None:
        """Drop the connection at once; with `reset` the peer gets RST instead of FIN."""
        transport = self.request.transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if reset and sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def hang_up(self) -> None:
        """Close the connection after what was written."""
        if self.request.transport is not None:
            self.request.transport.close()


async def _hang(case: Exchange) -> web.StreamResponse:
    """Never answer."""
    await case.closing.wait()
    case.abort()
    return web.Response()


async def _hang_body(case: Exchange) -> web.StreamResponse:
    """Send the headers, then nothing."""
    response = await case.started(len(case.body))
    await case.closing.wait()
    case.abort()
    return response


async def _reset(case: Exchange) -> web.StreamResponse:
    """Reset the connection before any header."""
    case.abort(reset=True)
    return web.Response()


async def _close(case: Exchange) -> web.StreamResponse:
    """Close the connection before any header."""
    case.hang_up()
    return web.Response()


async def _truncated(case: Exchange) -> web.StreamResponse:
    """Send half of the body, with the length of that half."""
    half = case.body[: len(case.body) // 2]
    return web.Response(body=half, status=case.status, headers=case.headers, content_type="application/json")


async def _short(case: Exchange) -> web.StreamResponse:
    """Promise more bytes than come, and close."""
    response = await case.started(len(case.body) + 100)
    await response.write(case.body)
    case.hang_up()
    return response


async def _slow_drip(case: Exchange) -> web.StreamResponse:
    """Send the body `chunk` bytes at a time, every `interval` seconds."""
    step, pause = int(case.args.get("chunk", 1)), float(case.args.get("interval", 0.02))
    response = await case.started(len(case.body))
    for at in range(0, len(case.body), step):
        if case.closing.is_set():
            case.abort()
            break
        await response.write(case.body[at : at + step])
        await asyncio.sleep(pause)
    return response


WIRE: dict[str, Callable[[Exchange], Awaitable[web.StreamResponse]]] = {
    "hang": _hang,
    "hang_body": _hang_body,
    "reset": _reset,
    "close": _close,
    "truncated": _truncated,
    "short": _short,
    "slow_drip": _slow_drip,
}
