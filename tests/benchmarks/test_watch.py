"""Two hundred looks at the lab, in the venues' documented limits: cadence, overlap, leaks, budgets."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import xex
from tests.conftest import configured
from tests.lab import Lab, default_truth
from tests.soak import sample

LOOKS, EVERY_S, VENUES = 200, 0.5, ("binance", "okx", "bybit", "htx")


async def watched() -> dict[str, float]:
    """Return what two hundred looks were like."""
    async with Lab(default_truth().with_cross("BTC", buy="okx", sell="binance", bps=60), limits=True) as lab:
        async with xex.ExchangeManager(cache=False) as xm:
            for venue in VENUES:
                assert xm.add_exchange(configured(lab, venue, api_key=None, secret_key=None, passphrase=None))
            starts, found, overlaps, ended = [], 0, 0, 0.0
            loop = asyncio.get_running_loop()
            began = loop.time()
            async for look in xm.watch("BTCUSDT", every=EVERY_S, looks=LOOKS):
                starts.append(look.late_s)
                overlaps += int(loop.time() - look.took_s < ended)
                ended = loop.time()
                found += int(look.frame["executable"].any())
                missed = look.missed
                assert missed == 0 or look.number > 0
                if look.number == LOOKS // 10:
                    gc.collect()
                    early = sample()
            took = loop.time() - began
            gc.collect()
            late = sample()
        return {
            "looks": len(starts), "found": found, "overlaps": overlaps, "took_s": took,
            "late_ms": 1e3 * max(starts), "last_late_ms": 1e3 * starts[-1], "breaches": len(lab.breaches),
            "bans": len(lab.bans), "tasks": late.tasks - early.tasks,
            "descriptors": late.descriptors - early.descriptors, "objects": late.objects - early.objects,
        }  # fmt: skip


def test_two_hundred_looks_do_not_drift_overlap_leak_or_break_a_limit(benchmark: Any) -> None:
    told = benchmark.pedantic(lambda: asyncio.run(watched()), rounds=1)
    benchmark.extra_info.update(told)
    drift = abs(told["last_late_ms"]) / (1e3 * EVERY_S)
    print(
        f"\n{told['looks']:.0f} looks, one each {EVERY_S:g} s: {told['found']:.0f} found what is planted, "
        f"{told['overlaps']:.0f} overlaps, {told['late_ms']:.1f} ms late at most and {told['last_late_ms']:.2f} ms at "
        f"last ({100 * drift:.2f} % of the interval); {told['breaches']:.0f} limits broken, {told['bans']:.0f} bans; "
        f"since the tenth part {told['tasks']:+.0f} tasks, {told['descriptors']:+.0f} descriptors, "
        f"{told['objects']:+,.0f} objects"
    )
    assert told["looks"] == LOOKS
    assert told["overlaps"] == told["breaches"] == told["bans"] == 0
    assert drift < 0.01
    assert told["tasks"] <= 0
    assert told["descriptors"] <= 0
    assert told["found"] >= 0.99 * LOOKS
