"""How long opportunities live: what look after look has found, and which have been there often enough."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.quality import check_number
from xex.errors import ConfigError
from xex.model import schema

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 1_000
"""So many edges of one pair are kept for its half-life, the latest."""
MOST_PAIRS = 100_000

STILL = 1e-6
"""An edge that has lost less than this share is taken to be as it was."""

Key = tuple[str, str, str]


@dataclass(slots=True)
class _Life:
    symbol: str
    first: float
    last: float
    count: int = 0
    in_a_row: int = 0
    best: float = -math.inf
    latest: float = math.nan
    since: int = 0
    points: list[tuple[float, float]] = field(default_factory=list)


class Lifetimes:
    """What is known of every pair that was ever executable; `update` with each look, in order of time.

    `persistence` is how many looks in a row must have found a pair before it counts as executable.
    """

    def __init__(self, persistence: int = 1) -> None:
        check_number("persistence", persistence, lambda value: value >= 1, "how many looks in a row, from 1")
        self._persistence = persistence
        self._lives: dict[Key, _Life] = {}
        self._looks, self._latest = 0, -math.inf

    def update(self, opportunities: pd.DataFrame, time: float) -> pd.DataFrame:
        """Take one look's opportunities (`arbitrage.scan`) at a Unix time in seconds; return them once more.

        A pair that passed every gate, but not in enough looks in a row, is stopped at the gate "persistence".
        """
        schema.check(opportunities, ("group", "exchange_low", "exchange_high", "executable", "net_bps"), "lifetimes")
        if not time > self._latest:
            raise ConfigError(f"looks come in order of time; {time!r} is not after {self._latest!r}")
        self._looks, self._latest = self._looks + 1, time
        rows = np.flatnonzero(opportunities["executable"].to_numpy(dtype=bool))
        found = opportunities.iloc[rows]
        named = [found[name].tolist() for name in ("group", "exchange_low", "exchange_high")]
        symbols = found["symbol"].tolist() if "symbol" in found.columns else named[0]
        seen: set[Key] = set()
        short: list[int] = []
        for place, key in enumerate(zip(*named, strict=True)):
            life = self._lives.get(key) or self._lives.setdefault(
                key, _Life(str(symbols[place]), time, time, since=self._looks)
            )
            if key not in seen:
                self._note(life, float(found["net_bps"].iloc[place]), time)
            seen.add(key)
            if life.in_a_row < self._persistence:
                short.append(int(rows[place]))
        for key, life in self._lives.items():
            if key not in seen:
                life.in_a_row = 0
        self._forget()
        return _stopped(opportunities, short) if short else opportunities

    def _note(self, life: _Life, net_bps: float, time: float) -> None:
        if life.in_a_row == 0:
            life.points.clear()
        life.count, life.in_a_row, life.last, life.latest = life.count + 1, life.in_a_row + 1, time, net_bps
        life.best = max(life.best, net_bps)
        life.points.append((time, net_bps))
        del life.points[:-MOST_POINTS]

    def _forget(self) -> None:
        """Keep to a number of pairs, however long it goes on: the ones seen last."""
        if len(self._lives) > MOST_PAIRS:
            oldest = sorted(self._lives, key=lambda key: self._lives[key].last)
            for key in oldest[: len(self._lives) - MOST_PAIRS]:
                del self._lives[key]

    def frame(self) -> pd.DataFrame:
        """Return a row per pair that was ever executable, the latest first.

        `looks` since it was first seen, `count` those that found it, `in_a_row` the latest of these without a gap;
        `half_life_s` is how long the edge of its present or last run takes to halve, by least squares of its logarithm
        from the best one on; NaN where it has not shrunk.
        """
        lives = sorted(self._lives.items(), key=lambda item: (-item[1].last, -item[1].latest))
        columns: dict[str, Any] = {
            "symbol": [life.symbol for _, life in lives],
            "group": [key[0] for key, _ in lives],
            "exchange_low": [key[1] for key, _ in lives],
            "exchange_high": [key[2] for key, _ in lives],
            "first_seen": [1e3 * life.first for _, life in lives],
            "last_seen": [1e3 * life.last for _, life in lives],
            "looks": [self._looks - life.since + 1 for _, life in lives],
            "count": [life.count for _, life in lives],
            "in_a_row": [life.in_a_row for _, life in lives],
            "best_net_bps": [life.best for _, life in lives],
            "last_net_bps": [life.latest for _, life in lives],
            "half_life_s": [half_life(life.points) for _, life in lives],
            "alive": [life.in_a_row > 0 for _, life in lives],
        }
        return schema.frame(columns, "lifetimes")


def half_life(points: list[tuple[float, float]]) -> float:
    """Return how many seconds an edge takes to halve, by its (time, edge) from the best one on; NaN if it does not.

    The edge is taken to decay as e^(−k·t); k is the least-squares slope of its logarithm, the half-life ln 2 / k.
    """
    if not points:
        return math.nan
    times, edges = np.array(points, dtype=np.float64).T
    start = int(np.argmax(edges))
    times, edges = times[start:], edges[start:]
    if len(times) < 3 or not (edges > 0).all():
        return math.nan
    away = times - times.mean()
    slope = float(away @ np.log(edges) / (away @ away))
    # What is lost in the last digits is no decay.
    return math.log(2.0) / -slope if slope * (times[-1] - times[0]) < -STILL else math.nan


def _stopped(opportunities: pd.DataFrame, rows: list[int]) -> pd.DataFrame:
    """Return the frame with these rows stopped at "persistence", behind what is executable."""
    frame = opportunities.copy()
    frame.attrs = dict(opportunities.attrs)
    hit = np.zeros(len(frame), dtype=bool)
    hit[rows] = True
    for name, value in (("executable", False), ("gate", "persistence"), ("reasons", "persistence")):
        if name in frame.columns:
            frame[name] = frame[name].mask(hit, value)
    order = np.argsort(~frame["executable"].to_numpy(dtype=bool), kind="stable")
    return frame.iloc[order].reset_index(drop=True)


__all__ = ["Lifetimes", "half_life"]
