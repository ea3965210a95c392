"""Liquidity of a whole market at once: 2,000 groups on five venues with twenty levels a side."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import xex

GROUPS, VENUES, LEVELS = 2000, 5, 20


@pytest.fixture(scope="module")
def market() -> tuple[pd.DataFrame, dict[str, float]]:
    """Return 400,000 levels around prices from a thousandth to ten thousand, and these prices."""
    rng = np.random.default_rng(7)
    group, venue, side, level = (axis.ravel() for axis in np.indices((GROUPS, VENUES, 2, LEVELS)))
    fair = 10 ** rng.uniform(-3, 4, GROUPS)
    away = (2 * side - 1) * (level + 1) * 1e-4 * rng.uniform(0.8, 1.2, len(level))
    names = np.array([f"C{number}:linear" for number in range(GROUPS)])
    frame = pd.DataFrame({
        "group": names[group], "currency": "USDT", "exchange": np.array(list("abcde"))[venue],
        "side": np.array(["bid", "ask"])[side], "price": fair[group] * (1 + away),
        "size": 10 ** rng.uniform(0, 4, len(level)) / fair[group],
    })  # fmt: skip
    return frame, dict(zip(names.tolist(), fair.tolist(), strict=True))


def seconds(question: Callable[..., Any], *asked: Any) -> float:
    """Return the processor's time of the fastest of three runs; other processes do not count."""
    took = []
    for _ in range(3):
        began = time.process_time()
        question(*asked)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize("question", [xex.liquidity.curve, xex.liquidity.score, xex.liquidity.depth])
def test_a_whole_market_takes_well_under_a_second_and_grows_with_its_rows(
    market: tuple[pd.DataFrame, dict[str, float]], question: Callable[..., Any]
) -> None:
    frame, reference = market
    tenth = frame.head(len(frame) // 10)
    names = set(tenth["group"])
    part = seconds(question, tenth, {name: price for name, price in reference.items() if name in names})
    whole = seconds(question, frame, reference)
    print(f"{question.__name__}: {whole:.2f} s for {len(frame):,} levels, {part:.3f} s for a tenth")
    assert whole < 0.8
    # Ten times the rows; what looked through all rows for each group would take a hundred times as long.
    assert whole < 30 * part
