"""Who asks all it can, of five exchanges that count and ban as the venues do, is never refused."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from typing import Any

from tests.conftest import VENUES, configured
from tests.lab import Lab, big_truth
from tests.lab.limits import TABLE
from xex.answer import CrossExchangeData
from xex.errors import NoVenueAnswered
from xex.manager import ExchangeManager

SECONDS = 4.0
BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE", "LTC", "ADA")


async def test_a_greedy_job_is_never_refused(loaded: None, tidy: Any) -> None:  # noqa: ARG001
    """Snapshots, books, tapes and whole markets without a pause, a few hundred at once, four seconds long."""
    reasons: Counter[str] = Counter()
    async with Lab(big_truth(20), limits=True) as lab, ExchangeManager(cache=False, deadline=SECONDS) as xm:
        for venue in VENUES:
            assert xm.add_exchange(configured(lab, venue))
        ends = time.monotonic() + SECONDS

        async def job(asked: list[Any]) -> None:
            for question in asked:
                if (left := ends - time.monotonic()) < 0.1:
                    return
                try:
                    answer = await question(left)
                except NoVenueAnswered as exc:
                    reasons.update(map(str, exc.dropped.values()))
                else:
                    dropped = answer.dropped if isinstance(answer, CrossExchangeData) else answer.attrs["dropped"]
                    reasons.update(str(why).partition(":")[0] for why in dropped.values())

        def about(symbol: str) -> list[Any]:
            return [
                lambda left: xm.get_cross_exchange_ticker(symbol, deadline=left),
                lambda left: xm.books(symbol, deadline=left),
                lambda left: xm.trades(symbol, deadline=left),
            ]

        jobs: list[Awaitable[None]] = [job(about(f"{base}USDT") * 20) for base in BASES]
        jobs += [job(about(f"{base}/USDT") * 20) for base in BASES]
        jobs += [job(about(f"C{rank:04d}USDT") * 20) for rank in range(20)]
        jobs += [job([lambda left: xm.tickers(deadline=left)] * 20)]
        await asyncio.gather(*jobs)
        worst = lab.worst()
    assert lab.bans == []
    assert lab.breaches == []
    assert len(lab.seen) > 300
    # That it was greedy: the scarcest budgets were used up, and those that had to wait too long were told so.
    full = [key for key, (most, weight) in worst.items() if most >= 0.9 * weight]
    assert ("okx", "market/tickers") in full or ("kraken", "public") in full, worst
    assert all(most <= TABLE[key].weight for key, (most, _) in worst.items() if key in TABLE)
    assert "internal" not in reasons
