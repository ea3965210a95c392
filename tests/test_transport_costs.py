"""With costs from place to place the optimum is the transportation problem's, what a route costs once included."""

from __future__ import annotations

import itertools
import random
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import xex
from xex.errors import MissingExtra, SchemaError

Books = dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]], float]]
Costs = dict[tuple[str, str], tuple[float, float, float]]


def world(rng: random.Random, *, fixed: bool) -> tuple[Books, Costs]:
    """Return a few books that cross, and what it costs to bring a coin from one to another."""
    books: Books = {}
    for name in "abcd"[: rng.randint(2, 4)]:
        middle = 100 + rng.uniform(-3, 3)
        sides: list[list[tuple[float, float]]] = [
            sorted(((middle + away * rng.uniform(0.05, 3), rng.uniform(0.1, 5)) for _ in range(rng.randint(0, 5))),
                   reverse=away < 0)
            for away in (1, -1)
        ]  # fmt: skip
        books[name] = (sides[0], sides[1], rng.choice([0.0, 0.0005, 0.001]))
    costs: Costs = {
        pair: (rng.choice([0.0, 0.2, 1.0]), rng.choice([0.0, 0.0, 30.0]), rng.choice([0.0, 0.5, 4.0]) if fixed else 0.0)
        for pair in itertools.permutations(books, 2)
        if rng.random() < 0.8
    }
    return books, costs


def frames(books: Books, costs: Costs) -> tuple[pd.DataFrame, pd.DataFrame]:
    levels = [
        {"exchange": name, "base": "X", "quote": "USDT", "side": side, "price": price, "size": size,
         "taker_bps": 1e4 * fee}
        for name, (asks, bids, fee) in books.items()
        for side, rows in (("ask", asks), ("bid", bids))
        for price, size in rows
    ]  # fmt: skip
    routes = [(*pair, *cost) for pair, cost in costs.items()]
    return pd.DataFrame(levels), pd.DataFrame(
        routes, columns=["exchange_low", "exchange_high", "per_unit", "bps", "fixed"]
    )


def level_to_level(books: Books, costs: Costs) -> float:
    """Return the best profit with a variable for each ask, bid and way between them: another program than ours."""
    gain, limits, sizes = [], [], []
    asks = [(name, price * (1 + fee), size) for name, (rows, _, fee) in books.items() for price, size in rows]
    bids = [(name, price * (1 - fee), size) for name, (_, rows, fee) in books.items() for price, size in rows]
    for (one, (low, ask, _)), (other, (high, bid, _)) in itertools.product(enumerate(asks), enumerate(bids)):
        if low != high and (low, high) not in costs:
            continue
        per_unit, bps, _ = costs.get((low, high), (0.0, 0.0, 0.0))
        gain.append(bid * (1 - bps / 1e4) - ask - per_unit)
        row = np.zeros(len(asks) + len(bids))
        row[one], row[len(asks) + other] = 1.0, 1 - bps / 1e4
        limits.append(row)
    sizes = [size for *_, size in asks] + [size for *_, size in bids]
    if not gain:
        return 0.0
    done = linprog(-np.array(gain), A_ub=np.array(limits).T, b_ub=sizes, bounds=(0, None), method="highs",
                   options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10})  # fmt: skip
    assert done.fun is not None
    return -float(done.fun)


def every_choice(books: Books, costs: Costs) -> float:
    """Return the best profit over every choice of routes that are paid for."""
    once = [pair for pair, cost in costs.items() if cost[2]]
    free = {pair: cost for pair, cost in costs.items() if not cost[2]}
    best = 0.0
    for count in range(len(once) + 1):
        for chosen in itertools.combinations(once, count):
            paid = sum(costs[pair][2] for pair in chosen)
            best = max(best, level_to_level(books, free | {pair: costs[pair] for pair in chosen}) - paid)
    return best


@pytest.mark.parametrize("fixed", [False, True])
def test_the_optimum_is_that_of_every_choice_of_routes(fixed: bool) -> None:
    moved = 0
    for case in range(25 if fixed else 120):
        books, costs = world(random.Random(case), fixed=fixed)
        if fixed:  # every choice is tried: of five at most
            many = [pair for pair, cost in costs.items() if cost[2]][5:]
            costs = {pair: cost for pair, cost in costs.items() if pair not in many}
        levels, routes = frames(books, costs)
        if not len(levels):
            continue
        found = xex.arbitrage.transport(levels, routes)
        assert found["net_profit"].sum() == pytest.approx(every_choice(books, costs), rel=1e-8, abs=1e-7), case
        moved += bool((found["exchange_low"] != found["exchange_high"]).any())
        net = found["arriving"] * found["price_high"] - found["notional"] - found["fees"] - found["transfer_cost"]
        assert list(net) == pytest.approx(list(found["net_profit"]), abs=1e-9)
    assert moved > (8 if fixed else 40)


def test_without_costs_it_is_the_clearing_of_all_books() -> None:
    for case in range(40):
        books, _ = world(random.Random(case), fixed=False)
        levels, routes = frames(books, dict.fromkeys(itertools.permutations(books, 2), (0.0, 0.0, 0.0)))
        if len(levels):
            want = xex.arbitrage.depth(levels)["net_profit"].sum()
            assert xex.arbitrage.transport(levels, routes)["net_profit"].sum() == pytest.approx(
                want, rel=1e-9, abs=1e-9
            )


def two(fee_side: str = "quote") -> pd.DataFrame:
    return pd.DataFrame([
        {"exchange": name, "base": "X", "quote": "USDT", "side": side, "price": price, "size": 2.0,
         "fee_side": fee_side}
        for name, side, price in (("a", "ask", 100.0), ("a", "ask", 104.0), ("b", "bid", 106.0), ("b", "bid", 103.0))
    ])  # fmt: skip


def way(**costs: Any) -> pd.DataFrame:
    return pd.DataFrame([{"exchange_low": "a", "exchange_high": "b", **costs}])


def test_by_hand_what_a_route_costs_once_is_go_or_no_go() -> None:
    # 2 coins at 100 go for 106; at 1.5 a coin the next, at 104 for 103, do not. 12 less 3.
    found = xex.arbitrage.transport(two(), way(per_unit=1.5), taker_bps=0.0).iloc[0]
    assert (found["quantity"], found["net_profit"]) == (pytest.approx(2), pytest.approx(9))
    dear = xex.arbitrage.transport(two(), way(per_unit=1.5, fixed=8.9), taker_bps=0.0).iloc[0]
    assert (dear["quantity"], dear["net_profit"]) == (pytest.approx(2), pytest.approx(0.1))
    assert dear["transfer_cost"] == pytest.approx(11.9)
    assert not len(xex.arbitrage.transport(two(), way(per_unit=1.5, fixed=9.1), taker_bps=0.0))
    assert not len(xex.arbitrage.transport(two(), way(per_unit=6.1), taker_bps=0.0))
    assert not len(xex.arbitrage.transport(two(), way().assign(exchange_low="b", exchange_high="a"), taker_bps=0.0))


def test_by_hand_coins_lost_on_the_way_and_to_fees() -> None:
    # Of 2 bought 1.98 arrive after the fee, 1.9602 after 1 % is lost on the way; they bring 207.7812 less 1 %.
    found = xex.arbitrage.transport(two("get"), way(bps=100.0), taker_bps=100.0).iloc[0]
    assert found["quantity"] == pytest.approx(1.98)
    assert found["arriving"] == pytest.approx(1.9602)
    assert found["net_profit"] == pytest.approx(1.9602 * 106 * 0.99 - 200)


def test_costs_that_are_not_known_are_refused() -> None:
    for costs in ({"per_unit": -1.0}, {"fixed": float("nan")}, {"bps": 10_000.0}):
        with pytest.raises(SchemaError, match=next(iter(costs))):
            xex.arbitrage.transport(two(), way(**costs), taker_bps=0.0)
    with pytest.raises(SchemaError, match="exchange_high"):
        xex.arbitrage.transport(two(), way().drop(columns="exchange_high"), taker_bps=0.0)


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtra, match=r"xex\[lp\]"):
        xex.arbitrage.transport(two(), way(), taker_bps=0.0)
