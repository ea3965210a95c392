"""Large trades of a day's tape: a million trades of three venues, a quantile without look-ahead."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

import xex

DAY_MS = 86_400_000


def tape(rows: int) -> pd.DataFrame:
    """Return a day's trades, of sizes over several powers of ten."""
    rng = np.random.default_rng(1)
    at = np.sort(rng.integers(0, DAY_MS, rows)) + 1_790_000_000_000
    words = {"exchange": rng.choice(list("abc"), rows), "side": rng.choice(["buy", "sell"], rows),
        "trade_id": np.arange(rows).astype(str), "instrument": "SOL/USDT", "base": "SOL", "quote": "USDT"}  # fmt: skip
    frame = pd.DataFrame({name: pd.Series(cells, index=range(rows), dtype="str") for name, cells in words.items()})
    times = pd.to_datetime(at, unit="ms", utc=True)
    return frame.assign(price=180.0, size=np.exp(rng.normal(2, 2, rows)), exchange_time=times)


def test_a_million_trades_take_seconds_and_ten_times_as_many_ten_times_as_long() -> None:
    took = {}
    for rows in (100_000, 1_000_000):
        frame = tape(rows)
        began = time.process_time()
        found = xex.activity.whales(frame, floor=1_000)
        took[rows] = time.process_time() - began
        judged = found["quantile_usd"].count()
        print(f"{rows:,} trades: {took[rows]:.2f} s, {len(found):,} large, {judged:,} of them held to a quantile")
    assert took[1_000_000] < 10
    assert took[1_000_000] < 30 * took[100_000]
