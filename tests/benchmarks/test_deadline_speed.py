"""Deadlines with hung venues: how much later than asked the last of many calls returns, against a bare timeout's.

Three hundred snapshots at 0.3 s, twenty at a time, while one to all of the sources hang. The bare timeouts run in the
same loop at the same time, so both suffer alike from what the machine and the other calls do.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

from tests.conftest import VENUES, configured
from tests.lab import Lab, running_lab
from xex.access import budgets
from xex.errors import NoVenueAnswered
from xex.manager import ExchangeManager

DEADLINE_S, CALLS, AT_ONCE = 0.3, 300, 20
SOURCES = (("okx", None), ("bybit", None), ("htx", None), ("krakenfutures", None), ("kraken", "/0/"), ("binance", None))
TICKERS = ("/ticker/bookTicker", "/market/ticker", "/tickers", "batch_merged")
BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE", "LTC", "ADA")


async def bare() -> float:
    """Return how much later than asked a plain timeout ends."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.Event().wait()
    except TimeoutError:
        pass
    return time.perf_counter() - started - DEADLINE_S


async def call(xm: ExchangeManager, number: int, lost: list[str]) -> tuple[float, int]:
    """Return how much later than asked a snapshot came, and how many venues it kept."""
    started, began_ms = time.perf_counter(), time.time() * 1e3
    try:
        snap = await xm.get_cross_exchange_ticker(f"{BASES[number % len(BASES)]}USDT", deadline=DEADLINE_S)
    except NoVenueAnswered:
        return time.perf_counter() - started - DEADLINE_S, 0
    over = time.perf_counter() - started - DEADLINE_S
    for exchange, responses in snap.responses.items():
        # What came in time is kept: whose ticker was there when half of the time was over has a row.
        tickers = [one for one in responses if any(word in one.path for word in TICKERS)]
        if exchange not in snap.answered and any(one.received_at - began_ms < 500 * DEADLINE_S for one in tickers):
            lost.append(f"{exchange}: {snap.dropped[exchange].text}")
    return over, len(snap.answered)


async def measured(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = {"xex": [], "bare": [], "kept": {}, "lost": []}
    async with ExchangeManager(cache=False, deadline=10) as xm:
        for venue in VENUES:
            assert xm.add_exchange(configured(lab, venue))
        for base in BASES:
            await xm.get_cross_exchange_ticker(f"{base}USDT")
        gc.collect()
        gc.freeze()
        for count in range(1, len(SOURCES) + 1):
            for venue, path in SOURCES[:count]:
                lab.fault(venue, "hang", path=path)
            for batch in range(0, CALLS // len(SOURCES), AT_ONCE):
                budgets.PROCESS._ledgers.clear()
                for state in xm.exchange_info.values():
                    state._breakers.clear()  # who is left alone costs no time, which would flatter the figure
                calls = [call(xm, batch + number, found["lost"]) for number in range(AT_ONCE)]
                timeouts = [bare() for _ in range(AT_ONCE)]
                came, plain = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*timeouts))
                found["xex"] += [over for over, _ in came]
                found["bare"] += plain
                found["kept"].setdefault(count, []).extend(kept for _, kept in came)
            lab.heal()
    gc.unfreeze()
    return found


def test_the_last_call_is_hardly_later_than_a_bare_timeout(benchmark: Any) -> None:
    with running_lab() as lab:
        found = benchmark.pedantic(lambda: asyncio.run(measured(lab)), rounds=1)
    worst, plain = 1e3 * max(found["xex"]), 1e3 * max(found["bare"])
    benchmark.extra_info.update(worst_ms=worst, bare_ms=plain, calls=len(found["xex"]))
    asked = f"{len(found['xex'])} snapshots at {DEADLINE_S} s, {AT_ONCE} at a time, 1 to {len(SOURCES)} sources hung"
    print(f"\n{asked}: at most {worst:.0f} ms late, a bare timeout in the same loop {plain:.0f} ms; "
          f"{len(found['lost'])} tickers that came in time lost")  # fmt: skip
    assert worst <= plain + 50
    assert found["lost"] == []
