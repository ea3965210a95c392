"""Start-up: a cold replayed snapshot against importing ccxt and pandas, and `import xex` against a bare Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

ROUNDS = 9


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - start


def interleaved(first: tuple[str, ...], second: tuple[str, ...], rounds: int) -> tuple[list[float], list[float]]:
    seconds(*first)
    seconds(*second)
    pairs = [(seconds(*first), seconds(*second)) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def test_a_cold_replay_takes_no_longer_than_importing_ccxt_and_pandas(benchmark: Any) -> None:
    replay = ("-m", "xex", "snapshot", "BTCUSDT", "--replay")
    imports = ("-c", "import ccxt.async_support, pandas")
    mine, theirs = benchmark.pedantic(lambda: interleaved(replay, imports, ROUNDS), rounds=1)
    ratio = statistics.median(mine) / statistics.median(theirs)
    benchmark.extra_info["ratio"] = ratio
    print(f"\ncold replay {statistics.median(mine):.3f} s, import of ccxt and pandas "
          f"{statistics.median(theirs):.3f} s; ratio {ratio:.2f}")  # fmt: skip
    assert ratio <= 1.0


def test_importing_xex_adds_three_milliseconds_at_most(benchmark: Any) -> None:
    with_it, without = benchmark.pedantic(lambda: interleaved(("-c", "import xex"), ("-c", ""), 31), rounds=1)
    extra = 1e3 * (statistics.median(with_it) - statistics.median(without))
    benchmark.extra_info["extra_ms"] = extra
    print(f"\nimport xex adds {extra:.2f} ms to a bare Python")
    assert extra <= 3
