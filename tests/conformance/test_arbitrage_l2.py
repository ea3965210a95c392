"""Optima on recorded books of two exchanges, second by second for an hour, against a plain walk in exact numbers."""

from __future__ import annotations

import csv
import gzip
import os
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from xex.analytics.sizing import Leg, clear, pair

DATA = Path(os.environ.get("XEX_DATA", Path(__file__).parent.parent.parent.parent / "shared" / "data"))
BOOKS = DATA / "l2_1s_2021-08-20_linkusdt"
LEVELS = 10
TOTAL_BPS = (0, 2, 5, 10)
"""What both legs cost together, half of it on each."""

needs_recorded = pytest.mark.skipif(not BOOKS.is_dir(), reason="needs recorded data: ../shared/data or XEX_DATA")

Side = list[tuple[Fraction, Fraction]]


@cache
def recorded() -> list[tuple[tuple[Side, Side], tuple[Side, Side]]]:
    """Return bids and asks of both exchanges for each second."""
    seconds = []
    for rows in zip(*(read(name) for name in ("binance", "htx")), strict=True):
        assert rows[0]["timestamp"] == rows[1]["timestamp"]
        seconds.append((sides(rows[0]), sides(rows[1])))
    return seconds


def read(name: str) -> list[dict[str, str]]:
    with gzip.open(BOOKS / f"orderbook_{name}.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def sides(row: dict[str, str]) -> tuple[Side, Side]:
    bids, asks = (
        [(Fraction(row[f"{side}{n}"]), Fraction(row[f"{side}v{n}"])) for n in range(1, LEVELS + 1)] for side in "ba"
    )
    return bids, asks


def walk(asks: Side, bids: Side, fee: Fraction) -> tuple[Fraction, Fraction, Fraction]:
    """Return quantity, gross and net profit of buying and selling level by level while it pays."""
    asks, bids = [*asks], [*bids]
    quantity = gross = net = Fraction(0)
    while asks and bids and bids[0][0] * (1 - fee) > asks[0][0] * (1 + fee):
        (ask, offered), (bid, wanted) = asks[0], bids[0]
        taken = min(offered, wanted)
        quantity, gross = quantity + taken, gross + taken * (bid - ask)
        net += taken * (bid * (1 - fee) - ask * (1 + fee))
        asks[0], bids[0] = (ask, offered - taken), (bid, wanted - taken)
        asks, bids = ([level for level in side if level[1]] for side in (asks, bids))
    return quantity, gross, net


def leg(side: Side, fee: Fraction) -> Leg:
    price, size = (np.array([float(level[place]) for level in side]) for place in (0, 1))
    return Leg(price, size, float(fee))


@needs_recorded
@pytest.mark.parametrize("total_bps", TOTAL_BPS)
def test_every_second_has_the_optimum_of_a_plain_walk(total_bps: int) -> None:
    fee = Fraction(total_bps, 20_000)
    crossed, ours, profit = 0, 0, Fraction(0)
    for second, (one, other) in enumerate(recorded()):
        nets, found_nets = [], []
        for (_, asks), (bids, _) in ((one, other), (other, one)):
            quantity, gross, net = walk(asks, bids, fee)
            found = pair(leg(asks, fee), leg(bids, fee))
            assert found.quantity == pytest.approx(float(quantity), rel=1e-9, abs=1e-12), second
            assert found.gross_profit == pytest.approx(float(gross), rel=1e-9, abs=1e-9), second
            assert found.net_profit == pytest.approx(float(net), rel=1e-9, abs=1e-9), second
            nets.append(net)
            found_nets.append(found.net_profit)
            profit += net
        # What crosses is counted by the best prices alone, which the walk has no say in.
        crossed += any(bids[0][0] * (1 - fee) > asks[0][0] * (1 + fee)
                       for (_, asks), (bids, _) in ((one, other), (other, one)))  # fmt: skip
        ours += any(net > 0 for net in found_nets)
        both = clear([leg(asks, fee) for _, asks in (one, other)], [leg(bids, fee) for bids, _ in (one, other)])
        assert both.net_profit == pytest.approx(float(sum(nets)), rel=1e-9, abs=1e-9), second
    assert ours == crossed
    print(f"\n{total_bps} bps in all: {crossed} of {len(recorded())} seconds cross, {float(profit):.2f} USDT if each "
          f"were taken")  # fmt: skip
