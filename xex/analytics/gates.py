"""The gates that an opportunity must pass, their thresholds, and what noise alone would show.

Two quotes are never of the same moment. What the older one has moved since is unknown; that it moved √time · σ at a
time is known, and tells which edges are worth believing in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xex.analytics.quality import MAX_AGE_S, Floats, check_max_age, check_number
from xex.errors import ConfigError
from xex.model.schema import Text, Words

Flags = np.ndarray[Any, np.dtype[np.bool_]]

GATES = (
    "identity", "market_state", "kind", "freshness", "currency", "fees", "depth", "balances", "lots", "haircut",
    "significance", "transfer", "persistence",
)  # fmt: skip
"""In the order in which they are asked; the first that stops an opportunity is its `gate`."""
MODES = ("inventory", "transfer")
HAIRCUT_Z = 3.0
FALSE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What an opportunity must pass beyond being there.

    Its profit after all fees must be above `min_profit_pct` of its notional (gate "fees"), and what can be traded worth
    at least `min_notional` in its currency ("depth"). No quote may be older than `max_age_s` ("freshness"). The edge
    must be above z · σ · √(age + age + `tau_s`), `tau_s` being the seconds until both orders are there ("haircut"), and
    of all that a scan finds no more than `false_share` may be what noise alone shows among so many pairs
    ("significance"); ``haircut=False`` switches these two off. `mode` "inventory" has balances on both venues,
    "transfer" moves the coins and needs an open route. `persistence` is how many scans in a row must have found it.
    """

    min_profit_pct: float = 0.0
    min_notional: float = 0.0
    max_age_s: float = MAX_AGE_S
    z: float = HAIRCUT_Z
    tau_s: float = 0.0
    false_share: float = FALSE_SHARE
    haircut: bool = True
    mode: str = "inventory"
    persistence: int = 1

    def __post_init__(self) -> None:
        check_number("min_profit_pct", self.min_profit_pct, lambda value: value >= 0, "percent of notional, from 0")
        check_number("min_notional", self.min_notional, lambda value: value >= 0, "an amount of the currency, from 0")
        check_max_age(self.max_age_s)
        check_number("z", self.z, lambda value: value > 0, "standard deviations, above 0; haircut=False has none")
        check_number("tau_s", self.tau_s, lambda value: value >= 0, "seconds, from 0")
        check_number("false_share", self.false_share, lambda value: 0 < value < 1, "a fraction between 0 and 1")
        if self.mode not in list(MODES):
            raise ConfigError(f"mode is {' or '.join(MODES)}, not {self.mode!r}")
        check_number("persistence", self.persistence, lambda value: value >= 1 and value % 1 == 0, "a count, from 1")


def haircut_bps(
    sigma_bps: float | Floats, age_low_ms: Any, age_high_ms: Any, z: float = HAIRCUT_Z, more_s: Any = 0.0
) -> Any:
    """Return how far two quotes of these ages may have drifted apart: z · σ · √(age + age + more), in basis points.

    `sigma_bps` is the standard deviation of returns over one second, NaN where nobody knows it: no haircut then. It
    gates; it changes no quantity or profit.
    """
    seconds = (np.asarray(age_low_ms) + np.asarray(age_high_ms)) / 1e3 + more_s
    return z * np.nan_to_num(sigma_bps) * np.sqrt(np.maximum(seconds, 0.0))


def parkinson_sigma_bps(high: Floats, low: Floats) -> Floats:
    """Return the volatility over one second, in basis points, from the day's range (Parkinson 1980)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        daily = np.log(high / low) / (2.0 * math.sqrt(math.log(2.0)))
    return np.asarray(1e4 * daily / math.sqrt(86_400.0))


def noise_alone(edge_bps: Floats, noise_bps: Floats) -> Floats:
    """Return the chance that noise alone adds so much to an edge of 0: 1 − Φ(edge / noise), one-sided.

    `noise_bps` is the standard deviation of what the two quotes have moved since, σ · √(age + age). Without any noise
    an edge is what it is.
    """
    ratio = np.divide(edge_bps, noise_bps, out=np.full(np.shape(edge_bps), np.inf), where=noise_bps > 0)
    return np.array([0.5 * math.erfc(one / math.sqrt(2.0)) for one in ratio.tolist()], dtype=np.float64)


def insignificant(chance: Floats, tests: int, false_share: float) -> Flags:
    """Return which of the best of `tests` are too likely to be noise alone, given how many were looked at.

    `chance` are those of the ones that are left; kept are the k smallest for which the k-th is at most
    k · `false_share` / `tests`. Source: Benjamini and Hochberg, "Controlling the False Discovery Rate", Journal of the
    Royal Statistical Society B 57 (1995) 289-300. The pairs among n quotes are made of n − 1 independent differences,
    and as many tests.
    """
    if not len(chance):
        return np.zeros(0, dtype=bool)
    ordered = np.sort(chance)
    passing = np.flatnonzero(ordered <= np.arange(1, len(chance) + 1) * false_share / max(tests, len(chance)))
    return np.asarray(chance > ordered[passing[-1]] if len(passing) else np.ones(len(chance), dtype=bool), dtype=bool)


def first_gate(stopped: Mapping[str, Flags]) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return by row the place of the first gate that stops it among those asked, −1 where none does."""
    found = np.full(len(next(iter(stopped.values()))), -1, dtype=np.intp)
    for place, hit in reversed(list(enumerate(stopped.values()))):
        found[hit] = place
    return found


def all_gates(stopped: Mapping[str, Flags]) -> Text:
    """Return every gate that stops a row, joined by commas; rows with equal sets share one text."""
    code = np.zeros(len(next(iter(stopped.values()))), dtype=np.int64)
    for place, hit in enumerate(stopped.values()):
        code |= hit.astype(np.int64) << place
    values = np.flatnonzero(np.bincount(code, minlength=1))
    codes = np.searchsorted(values, code)
    words = [",".join(name for place, name in enumerate(stopped) if value >> place & 1) for value in values.tolist()]
    return Text(Words(words), codes)


__all__ = [
    "FALSE_SHARE", "GATES", "HAIRCUT_Z", "MODES", "Thresholds", "all_gates", "first_gate", "haircut_bps",
    "insignificant", "noise_alone", "parkinson_sigma_bps",
]  # fmt: skip
