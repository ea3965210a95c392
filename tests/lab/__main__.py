"""Run the lab as a program: print one line of JSON with the URLs, then serve until stopped."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json

from tests.lab.server import Lab
from tests.lab.venues import SOCKETS
from tests.lab.world import big_truth


async def serve(latency_ms: float, extra: int, cache_s: float, *, spot: bool, limits: bool) -> None:
    """Serve the default world, with `extra` more markets per venue."""
    async with Lab(big_truth(extra, spot=spot), cache_s=cache_s, limits=limits) as lab:
        lab.latency.update(dict.fromkeys(SOCKETS, latency_ms / 1000))
        print(json.dumps(lab.urls), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="delay of every answer")
    parser.add_argument("--extra", type=int, default=0, metavar="N", help="more markets per venue")
    parser.add_argument("--spot", action="store_true", help="as many of the more markets in spot")
    parser.add_argument("--cache", type=float, default=0, metavar="S", help="send a body again for S seconds")
    parser.add_argument("--limits", action="store_true", help="refuse what is beyond the venues' limits")
    asked = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(asked.latency, asked.extra, asked.cache, spot=asked.spot, limits=asked.limits))


if __name__ == "__main__":
    main()
