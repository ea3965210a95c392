"""The optimum over books against the linear program, the search for cycles against the usual ways to find one."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import linprog

from xex.analytics.graph import Graph, settled, ways
from xex.analytics.sizing import Leg, clear

BOOKS, LEVELS = 7, 1000
VENUES, MARKETS, COINS = 6, 2000, 1300
HUBS = ("USDT", "USDC", "BTC", "ETH", "EUR")
ROUNDS = 9


def timed(rounds: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the median of some rounds in milliseconds, and what came out."""
    took, found = [], None
    for _ in range(rounds):
        start = time.perf_counter()
        found = work()
        took.append(1e3 * (time.perf_counter() - start))
    return statistics.median(took), found


def books(apart: float) -> tuple[list[Leg], list[Leg]]:
    """Return deep books whose middles are `apart` (a fraction) from each other."""
    rng = np.random.default_rng(3)
    buys, sells = [], []
    for _ in range(BOOKS):
        middle = 100 * (1 + rng.normal(0, apart))
        steps = np.cumsum(rng.exponential(2e-5, (2, LEVELS)), axis=1) + 1e-5
        buys.append(Leg(middle * (1 + steps[0]), rng.exponential(1, LEVELS), 2e-4))
        sells.append(Leg(middle * (1 - steps[1]), rng.exponential(1, LEVELS), 2e-4))
    return buys, sells


@pytest.mark.parametrize(("kind", "apart"), [("realistic", 5e-4), ("fully crossed", 0.1)])
def test_the_optimum_is_a_thousand_times_faster_than_the_linear_program(
    benchmark: Any, kind: str, apart: float
) -> None:
    buys, sells = books(apart)
    cost = np.concatenate(
        [*(leg.price * (1 + leg.fee) for leg in buys), *(-leg.price * (1 - leg.fee) for leg in sells)]
    )
    balance = np.concatenate([np.ones(BOOKS * LEVELS), -np.ones(BOOKS * LEVELS)])[None, :]
    sizes = np.concatenate([leg.size for leg in (*buys, *sells)])
    bounds = [(0.0, size) for size in sizes.tolist()]

    def measured() -> tuple[float, float]:
        ours, found = timed(101, lambda: clear(buys, sells))
        theirs, done = timed(3, lambda: linprog(cost, A_eq=balance, b_eq=[0.0], bounds=bounds, method="highs"))
        assert math.isclose(found.net_profit, -done.fun, rel_tol=1e-9)
        return ours, theirs

    ours, theirs = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info.update({"ours_ms": ours, "highs_ms": theirs})
    print(
        f"\n{BOOKS} books x {LEVELS} levels, {kind}: {ours:.2f} ms, HiGHS {theirs:.0f} ms (ratio {theirs / ours:.0f})"
    )
    assert theirs / ours >= 1000


def market(venues: int, cross_bps: float) -> tuple[Graph, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return a graph of what some venues trade, with moves between them, and log prices by the middle of the quotes.

    One coin of the first venue is `cross_bps` dearer in one of its markets.
    """
    rng = np.random.default_rng(5)
    worth = np.concatenate([np.log([1.0, 1.0, 64_000.0, 3_200.0, 1.08]), rng.uniform(-9, 5, COINS)])
    src, dst, weight = [], [], []
    for venue in range(venues):
        quote = np.concatenate([np.zeros(COINS, dtype=int), rng.integers(1, len(HUBS), MARKETS - COINS)])
        base = len(HUBS) + np.concatenate([np.arange(COINS), rng.permutation(COINS)[: MARKETS - COINS]])
        middle = worth[base] - worth[quote] + rng.normal(0, 1e-4, MARKETS)
        if venue == 0:
            middle[-1] += cross_bps / 1e4
        half = rng.uniform(0.5e-4, 5e-4, MARKETS)
        at = venue * len(worth)
        src += [at + quote, at + base]
        dst += [at + base, at + quote]
        weight += [middle + half + 1e-3, half + 1e-3 - middle]
    for one in range(venues):
        for other in range(venues):
            if one != other:
                open_ = np.flatnonzero(rng.random(len(worth)) < 0.8)
                src.append(one * len(worth) + open_)
                dst.append(other * len(worth) + open_)
                weight.append(rng.uniform(1e-4, 2e-3, len(open_)))
    graph = Graph(venues * len(worth), np.concatenate(src), np.concatenate(dst), np.concatenate(weight))
    return graph, np.tile(worth, venues)


def search(graph: Graph, prices: Any) -> list[tuple[int, ...]]:
    """Return every cycle that pays, of up to four edges, or what proves that there is none."""
    _, cycle = settled(graph, prices)
    return ways(graph, prices, 4).cycles if cycle else []


def test_the_search_is_fifteen_times_faster_than_networkx(benchmark: Any) -> None:
    """Where nothing pays: in a graph of this size with a cycle networkx had found none after a minute."""
    graph, prices = market(VENUES, 0.0)
    crossed, _ = market(VENUES, 60.0)
    other = nx.DiGraph()
    other.add_weighted_edges_from(zip(graph.src.tolist(), graph.dst.tolist(), graph.weight.tolist(), strict=True))

    def measured() -> tuple[float, float, float, int]:
        ours, found = timed(ROUNDS, lambda: search(graph, prices))
        theirs, there = timed(3, lambda: nx.negative_edge_cycle(other))
        all_of_them, cycles = timed(ROUNDS, lambda: search(crossed, prices))
        assert not found
        assert not there
        assert cycles
        return ours, theirs, all_of_them, len(cycles)

    ours, theirs, all_of_them, count = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info.update({"ours_ms": ours, "networkx_ms": theirs, "crossed_ms": all_of_them, "cycles": count})
    print(f"\n{VENUES} venues x {MARKETS} markets, {graph.nodes:,} nodes, {len(graph.src):,} edges: that nothing pays "
          f"is proved in {ours:.2f} ms, networkx {theirs:.0f} ms (ratio {theirs / ours:.0f}); where one coin crosses, "
          f"all {count} cycles are found in {all_of_them:.1f} ms")  # fmt: skip
    assert theirs / ours >= 15


def test_the_search_is_a_hundred_times_faster_than_all_passes_in_python(benchmark: Any) -> None:
    graph, prices = market(1, 60.0)
    edges = list(zip(graph.src.tolist(), graph.dst.tolist(), graph.weight.tolist(), strict=True))

    def measured() -> tuple[float, float]:
        ours, found = timed(ROUNDS, lambda: search(graph, prices))
        theirs, there = timed(1, lambda: all_passes(graph.nodes, edges))
        assert bool(found) == there
        return ours, theirs

    ours, theirs = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info.update({"ours_ms": ours, "python_ms": theirs})
    print(f"\n1 venue, {graph.nodes:,} nodes, {len(edges):,} edges: {ours:.2f} ms, {graph.nodes - 1:,} passes in plain "
          f"Python {theirs:.0f} ms (ratio {theirs / ours:.0f})")  # fmt: skip
    assert theirs / ours >= 100


def all_passes(nodes: int, edges: list[tuple[int, int, float]]) -> bool:
    """Return whether a cycle pays by Bellman and Ford as in the textbook, without leaving early."""
    distance = [0.0] * nodes
    for _ in range(nodes - 1):
        for src, dst, weight in edges:
            if distance[src] + weight < distance[dst]:  # noqa: PLR1730  as in the textbook, and faster
                distance[dst] = distance[src] + weight
    return any(distance[src] + weight < distance[dst] - 1e-12 for src, dst, weight in edges)
