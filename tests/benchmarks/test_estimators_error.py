"""How far off each rule for one price is when venues err: root mean square errors by simulation.

Written into docs/estimators.md by `python -m tests.benchmarks.test_estimators_error`.

A draw has venues with the true price, 2 bps of noise of their own and volumes that are lognormal with σ = 1.2. The
true price moves 5 bps in the root of a second, 27 bps in the half minute that a stale venue is behind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xex.analytics import pricing

PAGE = Path(__file__).parent.parent.parent / "docs" / "estimators.md"
SEEDS = (1, 2, 3, 4, 5)
DRAWS = 20_000
NOISE_BPS = 2.0
BPS_PER_ROOT_S = 5.0
STALE_S = 30.0
VOLUME_SIGMA = 1.2
METHODS = ("robust", "vwap", "median", "clamp", "mad_vwap")
Floats = np.ndarray[Any, np.dtype[np.float64]]


class World:
    """Draws × venues: how far prices are from the true one in basis points, volumes, ages."""

    def __init__(self, rng: np.random.Generator, venues: int) -> None:
        self.rng = rng
        self.off = rng.normal(0, NOISE_BPS, (DRAWS, venues))
        self.volume = rng.lognormal(0, VOLUME_SIGMA, (DRAWS, venues))
        self.age_ms = np.zeros((DRAWS, venues))

    def late(self) -> None:
        """Leave the first venue behind: its price is that of half a minute ago."""
        self.off[:, 0] += self.rng.normal(0, BPS_PER_ROOT_S * np.sqrt(STALE_S), DRAWS)

    def columns(self) -> dict[str, Any]:
        """Return the quotes of all draws, one group each."""
        mid = 100 * (1 + self.off.ravel() / 1e4)
        venues = self.off.shape[1]
        return {
            "exchange": [f"v{number}" for number in range(venues)] * DRAWS,
            "group": [str(number) for number in range(DRAWS) for _ in range(venues)],
            "currency": ["USD"] * len(mid),
            "bid": mid * (1 - 1e-6), "ask": mid * (1 + 1e-6), "quote_volume": self.volume.ravel(),
            "age_ms": self.age_ms.ravel(),
        }  # fmt: skip


def stale(world: World) -> None:
    world.late()
    world.age_ms[:, 0] = 1e3 * STALE_S


def biggest(world: World) -> None:
    world.off[np.arange(DRAWS), world.volume.argmax(axis=1)] += 500


def wash(bps: float) -> Callable[[World], None]:
    def lie(world: World) -> None:
        world.off[:, 0] += bps
        world.volume[:, 0] *= 100

    return lie


def two(world: World) -> None:
    world.off[:, :2] += 300


# What happens, to how many venues, and what robust's error may be.
SCENARIOS: dict[str, tuple[Callable[[World], None], int, float]] = {
    "clean": (lambda _: None, 5, 2.0),
    "one venue 30 s stale, with its time": (stale, 5, 2.0),
    "one venue 30 s stale, without a time": (World.late, 5, 2.0),
    "the biggest venue +5 %": (biggest, 5, 2.0),
    "wash volume x100 at +20 bps": (wash(20), 5, 2.5),
    "wash volume x100 at +9 bps": (wash(9), 5, 4.0),
    "two of five at +3 %": (two, 5, 2.0),
    "two of four at +3 %": (two, 4, np.nan),
}
# As it is used, and without any look at who is stale or may be another asset, to see the rule alone.
GATES: dict[str, dict[str, Any]] = {"as used": {}, "the rule alone": {"max_age_s": 30.0, "max_disagree": 0.2}}


@cache
def errors(scenario: str, gates: str) -> dict[str, Floats]:
    """Return the error of each rule by seed in basis points, NaN where no draw has a price; robust's has a flag."""
    happens, venues, _ = SCENARIOS[scenario]
    found: dict[str, list[float]] = {method: [] for method in METHODS}
    for seed in SEEDS:
        world = World(np.random.default_rng(seed), venues)
        happens(world)
        columns = world.columns()
        for method in METHODS:
            totals = pricing.evaluate(columns, method=method, **GATES[gates]).totals
            price = np.asarray(totals["price"])
            assert np.isfinite(price).all() or set(totals["flags"]) == {"disagree"}
            found[method].append(float(np.sqrt(np.mean((1e4 * (price / 100 - 1)) ** 2))))
    return {method: np.array(values) for method, values in found.items()}


def table(gates: str) -> str:
    """Return the errors over all seeds, and by how much the seeds differ at most, as a table of the page."""
    lines = [f"| {gates} | {' | '.join(METHODS)} |", f"|---|{'---|' * len(METHODS)}"]
    spread = 0.0
    for scenario in SCENARIOS:
        of = errors(scenario, gates)
        cells = [float(np.sqrt(np.mean(of[method] ** 2))) for method in METHODS]
        spread = max(
            spread, *(float(np.ptp(of[m]) / c) if c == c else 0.0 for m, c in zip(METHODS, cells, strict=True))
        )
        told = ["NaN `disagree`" if cell != cell else f"{cell:.2f}" for cell in cells]
        lines.append(f"| {scenario} | {' | '.join(told)} |")
    lines += [
        "",
        f"Seeds {', '.join(map(str, SEEDS))}; between two of them no figure differs by more than {spread:.1%}.",
    ]
    return "\n".join(lines)


def page() -> str:
    """Return the page with the tables as measured now."""
    text = PAGE.read_text(encoding="utf-8")
    for gates in GATES:
        before, start, rest = text.partition(f"<!-- {gates} -->\n")
        text = before + start + table(gates) + "\n" + rest[rest.index("<!-- end -->") :]
    return text


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_robust_is_near_the_true_price(scenario: str) -> None:
    by_seed = errors(scenario, "as used")["robust"]
    bound = SCENARIOS[scenario][2]
    print(f"\n{scenario}: {', '.join(f'{error:.3f}' for error in by_seed)} bps by seed")
    if np.isnan(bound):
        assert np.isnan(by_seed).all()
    else:
        assert (by_seed <= bound).all()


def test_the_page_says_what_is_measured() -> None:
    print("\n" + "\n\n".join(map(table, GATES)))
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write("\n\n".join(map(table, GATES)) + "\n")
