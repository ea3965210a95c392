"""The soak's own arithmetic, and a short one."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from tests import soak
from tests.soak import Sample, Soak


def grown(*points: tuple[int, float]) -> list[Sample]:
    return [Sample(requests, rss, 1, 9, 1000) for requests, rss in points]


BEFORE, AFTER = Sample(0, 100.0, 1, 9, 1000), Sample(1_000_000, 150.0, 1, 9, 1000)
STEADY = Soak(grown((0, 100), (500_000, 150), (1_000_000, 150)), BEFORE, AFTER, 600.0, Counter())


@pytest.mark.parametrize(
    ("points", "skipped", "want"),
    [
        # One MiB in every hundred thousand.
        ([(0, 100.0), (100_000, 101.0), (200_000, 102.0)], 0.0, 1.0),
        # By least squares: x − 1.5 is −1.5 −0.5 0.5 1.5, y as it stands; (−1.5·0 −0.5·2 +0.5·1 +1.5·3) / 5 = 0.8.
        ([(0, 0.0), (100_000, 2.0), (200_000, 1.0), (300_000, 3.0)], 0.0, 0.8),
        # What was before the tenth part does not count, what was at it does: two MiB from 100,000 to 1,000,000.
        ([(0, 0.0), (99_999, 50.0), (100_000, 80.0), (1_000_000, 82.0)], 0.1, 2 / 9),
        ([(0, 0.0), (499_999, 90.0), (500_000, 90.0), (1_000_000, 85.0)], 0.5, -1.0),
    ],
)
def test_a_slope_is_mebibytes_per_hundred_thousand_requests(
    points: list[tuple[int, float]], skipped: float, want: float
) -> None:
    assert soak.slope(grown(*points), skipped) == pytest.approx(want, rel=1e-12)


def test_one_look_is_no_slope() -> None:
    assert math.isnan(soak.slope([], 0.1))
    assert math.isnan(soak.slope(grown((10, 1.0)), 0.0))
    assert math.isnan(soak.slope(grown((10, 1.0), (10, 2.0)), 0.0))


def test_what_is_wrong_is_said() -> None:
    assert STEADY.slopes == {"after warm-up": 0.0, "second half": 0.0}
    assert STEADY.faults == []
    assert replace(STEADY, failures=Counter({"books: nobody": 3})).faults == []
    assert replace(STEADY, closed=AFTER._replace(tasks=0, descriptors=8)).faults == []
    assert replace(STEADY, closed=AFTER._replace(tasks=3)).faults == ["2 tasks left"]
    assert replace(STEADY, closed=AFTER._replace(descriptors=10)).faults == ["1 descriptors left"]
    assert replace(STEADY, failures=Counter({"unhandled: x": 3})).faults == ["3 × unhandled: x"]
    leaking = replace(STEADY, samples=grown((0, 100), (500_000, 150), (1_000_000, 155)))
    assert leaking.faults == [
        "after warm-up: 1.00 MiB per 100,000", "second half: 1.00 MiB per 100,000",
    ]  # fmt: skip
    assert "wrong: nothing" in list(STEADY.table())
    assert any("1,000,000 requests in 600 s, 1667/s" in line for line in STEADY.table())


@pytest.mark.usefixtures("loaded")
async def test_a_short_soak_leaves_nothing() -> None:
    """Growth shows only in a long one."""
    with soak.serving(seed=7) as urls:
        result = await soak.soaked(urls, 2_000, 2.5, seed=7, every_s=0.25)
    assert result.samples[-1].requests > 20
    assert len(result.samples) > 1
    left = [text for text in result.faults if "MiB" not in text]
    assert left == []
    assert max(one.tasks for one in result.samples) > result.closed.tasks
