"""What the breaker adds to a call while it is closed: leave, and the report of how it went."""

from __future__ import annotations

import statistics
import time
from typing import Any

from xex.access.breaker import Breaker

ROUNDS = 15
CALLS = 20_000


def per_call_us(breaker: Breaker, every: int) -> float:
    """Time calls of which one in `every` fails, the loop itself included."""
    start = time.process_time()
    for number in range(CALLS):
        permit = breaker.enter()
        assert permit is not None
        if (number + 1) % every:
            permit.succeeded(0.1)
        else:
            permit.failed()
    return 1e6 * (time.process_time() - start) / CALLS


def measured() -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"all succeed": [], "a tenth fails": [], "in a full window": []}
    for _ in range(ROUNDS):
        took["all succeed"].append(per_call_us(Breaker(), CALLS + 1))
        took["a tenth fails"].append(per_call_us(Breaker(), 10))
        # Slices so short that every call begins one and forgets one.
        took["in a full window"].append(per_call_us(Breaker(window_s=1e-4), CALLS + 1))
    return took


def test_a_closed_breaker_costs_less_than_five_microseconds_a_call(benchmark: Any) -> None:
    took = benchmark.pedantic(measured, rounds=1)
    medians = {name: statistics.median(times) for name, times in took.items()}
    benchmark.extra_info.update(medians)
    print("\nclosed breaker, leave and report: "
          + ", ".join(f"{name} {microseconds:.2f} us" for name, microseconds in medians.items()))  # fmt: skip
    assert max(medians.values()) < 5
