"""How many opportunities a scan finds that are none, and how many of those that are: a market whose truth is known.

Every venue quotes one price that moves 5 bps per √s, each quote as old as it happens to be, a second on average; the
day's range is that of a path of the same volatility. What is planted is an edge between two venues that is there
whatever the age of their quotes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

import xex

GROUPS, VENUES, SCANS, PLANTED_SCANS, PLANTED = 2000, 7, 100, 40, 20
SIGMA, MEAN_AGE_S, HALF_SPREAD, TAKER_BPS, STEPS = 5e-4, 1.0, 0.5e-4, 10.0, 1440
OLDEST_S = 9.9

Floats = np.ndarray[Any, np.dtype[np.float64]]


class World:
    """One moment: ages and quotes by group and venue, and each group's range of the day."""

    def __init__(self, rng: np.random.Generator, groups: int = GROUPS, venues: int = VENUES) -> None:
        self.age_s = np.minimum(rng.exponential(MEAN_AGE_S, (groups, venues)), OLDEST_S)
        moved = rng.standard_normal((groups, venues)) * SIGMA * np.sqrt(self.age_s)
        self.mid = 100.0 * np.exp(moved)
        self.bid, self.ask = self.mid * (1 - HALF_SPREAD), self.mid * (1 + HALF_SPREAD)
        self.high, self.low = np.empty(groups), np.empty(groups)
        step = SIGMA * math.sqrt(86_400 / STEPS)
        for start in range(0, groups, 200):
            path = np.cumsum(rng.standard_normal((len(self.high[start : start + 200]), STEPS)) * step, axis=1)
            self.high[start : start + 200] = 100 * np.exp(np.maximum(path.max(axis=1), 0.0))
            self.low[start : start + 200] = 100 * np.exp(np.minimum(path.min(axis=1), 0.0))

    def plant(self, group: int, high: int, net_bps: float) -> None:
        """Raise a venue's quotes so that, but for what the prices have moved, selling there earns so much."""
        fee = TAKER_BPS / 1e4
        factor = (1 + fee + net_bps / 1e4) / (1 - fee) * (1 + HALF_SPREAD) / (1 - HALF_SPREAD)
        self.bid[group, high] *= factor
        self.ask[group, high] *= factor

    def haircut_bps(self, group: int, low: int, high: int) -> float:
        """Return three deviations of what two quotes have moved since, by the group's range of the day."""
        sigma = 1e4 * math.log(self.high[group] / self.low[group]) / math.sqrt(4 * math.log(2) * 86_400)
        return 3 * sigma * math.sqrt(self.age_s[group, low] + self.age_s[group, high])

    def frame(self) -> pd.DataFrame:
        """Return the quotes as a frame of tickers."""
        groups, venues = self.mid.shape
        names = [f"C{number}" for number in range(groups)]
        return pd.DataFrame({
            "exchange": np.tile([f"v{number}" for number in range(venues)], groups),
            "group": np.repeat([f"{name}:spot" for name in names], venues), "base": np.repeat(names, venues),
            "kind": "spot", "quote": "USDT", "currency": "USDT", "bid": self.bid.ravel(), "ask": self.ask.ravel(),
            "bid_size": 10.0, "ask_size": 10.0, "age_ms": 1e3 * self.age_s.ravel(), "time_source": "quote",
            "high": np.repeat(self.high, venues), "low": np.repeat(self.low, venues), "taker_bps": TAKER_BPS,
        })  # fmt: skip


def planted(rng: np.random.Generator, count: int, net_bps: float | None) -> tuple[int, int, int]:
    """Plant edges of `net_bps`, or of twice their haircut; return how many were found, planted, and found elsewhere."""
    world = World(rng)
    keys = set()
    for group in rng.choice(GROUPS, count, replace=False).tolist():
        low, high = rng.choice(VENUES, 2, replace=False).tolist()
        edge = 2 * world.haircut_bps(group, low, high) if net_bps is None else net_bps
        world.plant(group, high, edge)
        keys.add((f"C{group}:spot", f"v{low}", f"v{high}"))
    found = xex.arbitrage.scan(world.frame())
    found = found[found["executable"]]
    got = set(zip(found["group"], found["exchange_low"], found["exchange_high"], strict=True))
    return len(keys & got), len(keys), int((~found["group"].isin({key[0] for key in keys})).sum())


def test_what_is_found_is_there_and_what_is_there_is_found(benchmark: Any) -> None:
    rng = np.random.default_rng(2026)

    def measured() -> dict[str, float]:
        naive = after_fees = false = 0
        for _ in range(SCANS):
            quotes = World(rng).frame()
            found = xex.arbitrage.scan(quotes)
            naive += int((found["price_difference"] > 0).sum())
            after_fees += int((found["net_bps"] > 0).sum())
            false += int(found["executable"].sum())
        hits, count = np.sum([planted(rng, PLANTED, None)[:2] for _ in range(PLANTED_SCANS)], axis=0)
        alone, single = np.sum([planted(rng, 1, None)[:2] for _ in range(PLANTED_SCANS)], axis=0)
        losing, losers = np.sum([planted(rng, PLANTED, -5.0)[:2] for _ in range(PLANTED_SCANS)], axis=0)
        return {
            "touch": naive / SCANS, "after_fees": after_fees / SCANS, "false": false / SCANS, "found": hits / count,
            "found_alone": alone / single, "losing": float(losing), "planted": float(count), "losers": float(losers),
        }  # fmt: skip

    told = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info.update(told)
    print(
        f"\n{GROUPS} symbols x {VENUES} venues, quotes {MEAN_AGE_S:g} s old on average, {SCANS} scans of a market "
        f"without edges: at the touch {told['touch']:,.0f} a scan, after fees {told['after_fees']:.0f}, executable "
        f"{told['false']:.3f}; of {told['planted']:.0f} planted edges of twice the haircut {100 * told['found']:.1f} % "
        f"are found, {100 * told['found_alone']:.1f} % where there is one alone; of {told['losers']:.0f} of -5 bps "
        f"{told['losing']:.0f}"
    )
    assert told["after_fees"] >= 24
    assert told["false"] <= 0.1
    assert told["found"] >= 0.95
    assert told["losing"] == 0
