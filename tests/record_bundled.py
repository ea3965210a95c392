"""Make the recordings that come with xex: `python -m tests.record_bundled`, with `--live` from the venues themselves.

Without arguments the loopback lab plays the venues, at a fixed time, and the file is labelled synthetic. `--live` needs
the internet and writes another file, labelled live.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import xex
from tests.lab import Lab, default_truth
from xex.recording import BUNDLED

CASSETTES = Path(__file__).parent.parent / "cassettes"
VENUES = ("binance", "bybit", "htx", "kraken", "okx")
SYMBOLS = ("BTCUSDT", "BTC/USDT")
# The lab's world stands still here; answers take this long there and as long back.
NOW_MS = int(datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp() * 1000)
TRAVEL_MS = 40


async def _ask(urls: dict[str, str]) -> None:
    async with xex.ExchangeManager(cache=False) as xm:
        for venue in VENUES:
            xm.add_exchange(xex.ExchangeConfig(venue, venue, base_url=urls.get(venue)))
        for symbol in SYMBOLS:
            await xm.get_cross_exchange_ticker(symbol)
            await xm.trades(symbol)
        await xm.get_cross_exchange_ticker("BTC/USD:BTC")
        await xm.instruments()
        await xm.health_check()


async def record_synthetic(path: Path) -> None:
    """Record snapshots and tapes of the lab's own world."""
    async with Lab(default_truth(), now_ms=lambda: NOW_MS) as lab:
        lab.latency.update(dict.fromkeys(VENUES, 2e-3 * TRAVEL_MS))
        with xex.record(path, now_ms=lambda: NOW_MS + TRAVEL_MS):
            await _ask({venue: lab.url(venue) for venue in VENUES})


async def record_live(path: Path) -> None:
    """Record snapshots and tapes of the venues."""
    with xex.record(path):
        await _ask({})


def main() -> None:
    """Write the recording that the arguments ask for."""
    live = "--live" in sys.argv[1:]
    path = CASSETTES / (BUNDLED.replace("synthetic", "live") if live else BUNDLED)
    asyncio.run(record_live(path) if live else record_synthetic(path))
    sys.stdout.write(f"{path}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
