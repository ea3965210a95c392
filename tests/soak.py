"""Ask for a long time and see that nothing grows: `python -m tests.soak [--requests 1000000] [--minutes 30]`.

The lab runs in a process of its own, with a short fault now and then; one manager of all five exchanges asks it
everything, several questions at a time. The connectors' budgets keep their rules, at weights that nothing reaches and
windows of a second. Exit code 1 where memory grows by a MiB per 100,000 requests, or a task or descriptor is left.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import dataclasses
import gc
import json
import logging
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import linear_regression
from typing import Any, NamedTuple

import xex
from tests.lab import Lab, default_truth
from xex.errors import NoVenueAnswered

VENUES = ("binance", "okx", "kraken", "bybit", "htx")
COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "LTC")
MOST_SLOPE = 1.0
"""MiB per 100,000 requests."""
PER = 100_000
WARM_UP = 0.1
"""The share of the run in which caches fill."""
EVERY_S = 5.0
AT_ONCE = 16
M_MMAP_THRESHOLD = -3
"""From glibc's malloc.h."""

Asked = Callable[[xex.ExchangeManager, str], Awaitable[object]]

QUESTIONS: dict[str, tuple[int, Asked]] = {
    "snapshot": (20, lambda xm, coin: xm.get_cross_exchange_ticker(f"{coin}USDT")),
    "spot": (20, lambda xm, coin: xm.get_cross_exchange_ticker(f"{coin}/USDT")),
    "books": (20, lambda xm, coin: xm.books(f"{coin}USDT")),
    "trades": (20, lambda xm, coin: xm.trades(f"{coin}/USDT")),
    "first": (5, lambda xm, coin: xm.first("ticker", f"{coin}USDT")),
    "quorum": (5, lambda xm, coin: xm.quorum(3, "order_book", f"{coin}USDT")),
    "market": (1, lambda xm, _: xm.tickers(market="perp")),
    "health": (60, lambda xm, _: xm.health_check()),
}
"""How often each is asked, and how."""
MILD: tuple[tuple[str, dict[str, Any]], ...] = (
    ("status", {"code": 503}),
    ("reset", {}),
    ("truncated", {}),
    ("hang", {}),
    ("venue_error", {}),
    ("no_rows", {}),
    ("status", {"code": 429, "retry_after": 1}),
)


class Sample(NamedTuple):
    """What was held when so many requests had been answered or had failed."""

    requests: int
    rss_mib: float
    tasks: int
    descriptors: int
    objects: int


@dataclasses.dataclass
class Soak:
    """What came of a run."""

    samples: list[Sample]
    baseline: Sample
    closed: Sample
    seconds: float
    failures: Counter[str]

    @property
    def slopes(self) -> dict[str, float]:
        """Growth in MiB per 100,000 requests, by the part of the run; NaN where it was too short to tell."""
        return {
            "after warm-up": slope(self.samples, WARM_UP),
            "second half": slope(self.samples, 0.5),
        }

    @property
    def faults(self) -> list[str]:
        """What is wrong, in words."""
        found = [f"{part}: {value:.2f} MiB per {PER:,}" for part, value in self.slopes.items() if value >= MOST_SLOPE]
        for name in ("tasks", "descriptors"):
            before, after = getattr(self.baseline, name), getattr(self.closed, name)
            if after > before:
                found.append(f"{after - before} {name} left")
        return found + [f"{count} × {name}" for name, count in self.failures.items() if name.startswith("unhandled")]

    def table(self) -> Iterator[str]:
        """Write it as lines."""
        requests = self.samples[-1].requests
        yield f"{requests:,} requests in {self.seconds:.0f} s, {requests / self.seconds:.0f}/s; {dict(self.failures)}"
        yield f"{'requests':>12}{'RSS MiB':>10}{'tasks':>8}{'fds':>8}{'objects':>10}"
        step = max(1, len(self.samples) // 20)
        shown = [("", one) for one in self.samples[::step]]
        for name, one in [("baseline", self.baseline), *shown, ("closed", self.closed)]:
            yield (
                f"{name or format(one.requests, ','):>12}{one.rss_mib:>10.1f}{one.tasks:>8}"
                f"{one.descriptors:>8}{one.objects:>10,}"
            )
        for part, value in self.slopes.items():
            yield f"RSS slope {part}: {value:+.3f} MiB per {PER:,} requests (less than {MOST_SLOPE:g} is good)"
        yield f"wrong: {'; '.join(self.faults) or 'nothing'}"


def slope(samples: Sequence[Sample], skipped: float) -> float:
    """Return how RSS grows (MiB per 100,000 requests), by least squares after a share of the requests."""
    begins = skipped * samples[-1].requests if samples else 0.0
    kept = [one for one in samples if one.requests >= begins]
    if len({one.requests for one in kept}) < 2:
        return float("nan")
    return PER * linear_regression([one.requests for one in kept], [one.rss_mib for one in kept]).slope


def sample(requests: int = 0) -> Sample:
    """Look at this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    rss_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return Sample(requests, rss_kib / 1024, len(asyncio.all_tasks()), descriptors, len(gc.get_objects()))


# --- the lab's side


async def serve(seed: int) -> None:
    """Serve the default world with a mild fault now and then, and forget what was asked."""
    rng = random.Random(seed)
    async with Lab(default_truth(), cache_s=1) as lab:
        print(json.dumps(lab.urls), flush=True)
        while True:
            await asyncio.sleep(rng.uniform(0.5, 1.5))
            lab.seen.clear()
            lab.heal()
            kind, args = rng.choice(MILD)
            lab.fault(rng.choice(VENUES), kind, times=1, **args)


@contextmanager
def serving(seed: int) -> Iterator[dict[str, str]]:
    """Run the lab's side in a process of its own; give its URLs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak", "--serve", str(seed)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        with process.stdout:
            yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait(timeout=10)


# --- our side


def manager_of(urls: dict[str, str]) -> xex.ExchangeManager:
    """Return a manager of the five exchanges, whose budgets never bound anything."""
    made = xex.ExchangeManager(cache=False, deadline=3.0)
    for venue in VENUES:
        assert made.add_exchange(xex.ExchangeConfig(venue, venue, base_url=urls[venue], timeout_s=2.0))
        entry: Any = made._entries[venue]
        entry.connector.limits = tuple(
            dataclasses.replace(limit, weight=1e9, seconds=1.0) for limit in entry.connector.limits
        )
        made._bind(entry)
    return made


def pin_malloc() -> None:
    """Have glibc give large blocks back at once, whatever their size; elsewhere nothing is done.

    It keeps more and more of them once it has seen a larger one, in a heap whose holes no small block fills: memory
    that nobody holds, and that would hide what is really held.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)


def answered(xm: xex.ExchangeManager) -> int:
    """Return how many requests have ended, well or not."""
    return sum(state.success_count + state.error_count for state in xm.exchange_info.values())


async def soaked(urls: dict[str, str], requests: int, seconds: float, *, seed: int, every_s: float = EVERY_S) -> Soak:
    """Ask until so many requests are answered or so much time is over."""
    gc.collect()
    await asyncio.sleep(0)
    baseline = sample()
    started, failures, samples = time.monotonic(), Counter[str](), []
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with manager_of(urls) as xm:
        over = asyncio.Event()
        askers = [asyncio.create_task(_asking(xm, random.Random(f"{seed} {one}"), over, failures))
                  for one in range(AT_ONCE)]  # fmt: skip
        due = time.monotonic()
        while answered(xm) < requests and time.monotonic() - started < seconds:
            await asyncio.sleep(0.05)
            if time.monotonic() >= due:
                due += every_s
                samples.append(sample(answered(xm)))
                logging.getLogger(__name__).info("%s", samples[-1])
        over.set()
        await asyncio.gather(*askers)
        samples.append(sample(answered(xm)))
        ended = time.monotonic() - started
    await asyncio.sleep(0.05)
    gc.collect()
    failures.update(f"unhandled: {context.get('message')}: {context.get('exception')!r:.200}" for context in complaints)
    return Soak(samples, baseline, sample(samples[-1].requests), ended, failures)


async def _asking(xm: xex.ExchangeManager, rng: random.Random, over: asyncio.Event, failures: Counter[str]) -> None:
    """Ask one question after the other; one in fifty is given up in the middle."""
    names, weights = list(QUESTIONS), [weight for weight, _ in QUESTIONS.values()]
    while not over.is_set():
        name = rng.choices(names, weights)[0]
        patience = rng.uniform(0.001, 0.02) if rng.random() < 0.02 else None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await QUESTIONS[name][1](xm, rng.choice(COINS))
        except NoVenueAnswered:
            failures[f"{name}: nobody"] += 1
        except Exception as exc:  # noqa: BLE001  a soak counts what happens and goes on
            failures[f"unhandled in {name}: {exc!r:.200}"] += 1


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=EVERY_S, metavar="S", help="seconds between two looks")
    parser.add_argument("--fragmented", action="store_true", help="leave the allocator as it is by default")
    parser.add_argument("--serve", type=int, default=None, metavar="SEED", help="be the lab's side")
    asked = parser.parse_args()
    if asked.serve is not None:
        with suppress(KeyboardInterrupt):
            asyncio.run(serve(asked.serve))
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for name in ("xex", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what venues did is meant to be logged
    if not asked.fragmented:
        pin_malloc()
    with serving(asked.seed) as urls:
        result = asyncio.run(soaked(urls, asked.requests, 60 * asked.minutes, seed=asked.seed, every_s=asked.every))
    print("\n".join(result.table()))
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
