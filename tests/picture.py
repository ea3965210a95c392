"""Draw the README's picture of the terminal from the bundled recording: `python -m tests.picture`."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from rich.console import Console

import xex
from xex.cli import notice

TARGET = Path(__file__).parent.parent / "docs" / "snapshot.svg"
COMMAND = "xex snapshot BTCUSDT --replay"


async def snapshot() -> xex.CrossExchangeData:
    """Ask the bundled recording."""
    async with xex.ExchangeManager.from_env(cache=False) as xm:
        return await xm.get_cross_exchange_ticker("BTCUSDT")


def main() -> None:
    """Write the picture."""
    console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True)
    with xex.replay() as recording:
        console.print(f"$ {COMMAND}", style="bold")
        console.print(notice(recording), style="bold yellow")
        console.print(asyncio.run(snapshot()))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(console.export_svg(title="xex"), encoding="utf-8")


if __name__ == "__main__":
    main()
