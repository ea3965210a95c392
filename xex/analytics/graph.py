"""Whether any way round a graph of exchanges pays, and which ways do.

An edge says what one unit of a currency brings in another, as −ln of that rate; a way round pays where these weights
add up to less than 0. Prices under which no single edge pays prove that no way round does, of whatever length: they are
the linear program's dual, and relaxing edges (Bellman-Ford) ends with such prices or with a cycle that pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.intp]]

STEP = 1e-13
"""What an edge must gain at least to count: a cycle that pays less than this per edge is rounding."""
LOOK_EVERY = 4
"""After how many passes the way back is looked at for a cycle."""
MOST_PATHS = 1_000_000
"""How many paths of one length are followed at most."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Edges from `src` to `dst` among `nodes` nodes, each with its `weight`: −ln of the rate after fees."""

    nodes: int
    src: Ints
    dst: Ints
    weight: Floats


@dataclass(frozen=True, slots=True)
class Ways:
    """Cycles as tuples of edges, the best first; `complete` where none was left out for their number."""

    cycles: list[tuple[int, ...]]
    complete: bool = True


def settled(graph: Graph, start: Floats) -> tuple[Floats, tuple[int, ...]]:
    """Return log prices under which no edge pays and no cycle, or what was reached and a cycle that pays.

    `start` is a first guess of the prices, the nearer the faster. All edges are relaxed at once in each pass; a node
    that improves in a pass does so by an edge whose source improved in the pass before, so the way back from it has an
    edge per pass, and a node on it twice closes a cycle that pays. As many passes as nodes make one certain.
    """
    if not (slack(graph, start) > STEP).any():
        return start, ()
    order = _ordered(graph.dst, graph.nodes)
    src, weight, dst = graph.src[order], graph.weight[order], graph.dst[order]
    starts = np.flatnonzero(np.diff(dst, prepend=-1))
    into, group = dst[starts], np.cumsum(np.diff(dst, prepend=dst[0]) > 0)
    price = start.copy()
    trail: list[tuple[Ints, Ints]] = []
    while True:
        offer = price[src] + weight
        lowest = np.minimum.reduceat(offer, starts)
        gain = price[into] - lowest
        better = gain > STEP
        if not better.any():
            return price, ()
        hits = np.flatnonzero(better[group] & (offer == lowest[group]))
        improved, first = np.unique(group[hits], return_index=True)
        trail.append((into[improved], hits[first]))
        price[into[improved]] = lowest[improved]
        if len(trail) % LOOK_EVERY == 0:
            cycle = _closed(trail, src, int(into[np.argmax(gain)]))
            if cycle:
                return price, tuple(order[list(cycle)].tolist())


def _ordered(places: Ints, count: int) -> Ints:
    """Return what sorts numbers below `count`; numpy sorts short ones by their digits."""
    return np.argsort(places.astype(np.uint16) if count < 1 << 16 else places, kind="stable")


def _closed(trail: Sequence[tuple[Ints, Ints]], src: Ints, node: int) -> tuple[int, ...]:
    """Return the edges of the first cycle on the way back from a node that the last pass improved."""
    seen, way = {node: 0}, []
    for nodes, edges in reversed(trail):
        edge = int(edges[np.searchsorted(nodes, node)])
        node = int(src[edge])
        way.append(edge)
        if node in seen:
            return tuple(way[seen[node] :][::-1])
        seen[node] = len(way)
    return ()


def slack(graph: Graph, price: Floats) -> Floats:
    """Return ln(rate · π_dst / π_src) of each edge: at most 0 where the prices are a certificate."""
    return np.asarray(price[graph.dst] - price[graph.src] - graph.weight)


def ways(graph: Graph, price: Floats, most: int, below: float = 0.0, top: int = MOST_PATHS) -> Ways:
    """Return the `top` of all simple cycles of at most `most` edges whose weights add up to less than `below`.

    Seen from prices (any; good ones make it fast) a cycle weighs the same, and every cycle below 0 can be begun at a
    place from which all its beginnings are below 0 as well. So only edges that pay at these prices begin a path, and a
    path ends where it no longer pays. `below` above 0 is shared out among the edges, at two to a cycle at least.
    """
    shift = max(below, 0.0) / 2
    reduced = graph.weight - price[graph.dst] + price[graph.src] - shift
    first = np.flatnonzero(reduced < 0)
    paths, totals = first[:, None], reduced[first]
    found: list[tuple[Ints, Floats]] = []
    complete = True
    for length in range(2, most + 1):
        if not len(paths):
            break
        closed = _closing(graph, paths)
        weights = graph.weight[closed].sum(axis=1)
        found.append((closed[weights < below], weights[weights < below]))
        if length < most:
            paths, totals, whole = _longer(graph, reduced, paths, totals)
            complete &= whole
    return Ways(_distinct(found, top), complete)


def _closing(graph: Graph, paths: Ints) -> Ints:
    """Return the paths with each edge that leads from their end to their beginning."""
    ends, begins = graph.dst[paths[:, -1]], graph.src[paths[:, 0]]
    edges = np.flatnonzero(_marked(graph, ends)[graph.src] & _marked(graph, begins)[graph.dst])
    keys = graph.src[edges] * graph.nodes + graph.dst[edges]
    order = np.argsort(keys, kind="stable")
    asked = ends * graph.nodes + begins
    which, places = _ranges(np.searchsorted(keys[order], asked, "left"), np.searchsorted(keys[order], asked, "right"))
    return np.column_stack([paths[which], edges[order[places]]])


def _marked(graph: Graph, nodes: Ints) -> np.ndarray[Any, np.dtype[np.bool_]]:
    marked = np.zeros(graph.nodes, dtype=bool)
    marked[nodes] = True
    return marked


def _longer(graph: Graph, reduced: Floats, paths: Ints, totals: Floats) -> tuple[Ints, Floats, bool]:
    """Return every path with one more edge that still pays and visits no node twice."""
    ends = graph.dst[paths[:, -1]]
    edges = np.flatnonzero(_marked(graph, ends)[graph.src] & (reduced < -totals.min()))
    edges = edges[np.lexsort((reduced[edges], graph.src[edges]))]
    begin, end = _below(graph.src[edges], reduced[edges], ends, -totals)
    whole = int((end - begin).sum()) <= MOST_PATHS
    if not whole:
        order = np.argsort(totals, kind="stable")
        order = order[np.cumsum((end - begin)[order]) <= MOST_PATHS]
        paths, totals, begin, end = paths[order], totals[order], begin[order], end[order]
    which, places = _ranges(begin, end)
    last = edges[places]
    longer, sums = np.column_stack([paths[which], last]), totals[which] + reduced[last]
    fresh = (graph.dst[last][:, None] != graph.src[longer]).all(axis=1)
    return longer[fresh], sums[fresh], whole


def _below(src: Ints, reduced: Floats, nodes: Ints, limit: Floats) -> tuple[Ints, Ints]:
    """Return where the edges out of each node begin and those below its limit end; `reduced` rises within a node."""
    begin, high = np.searchsorted(src, nodes, "left"), np.searchsorted(src, nodes, "right")
    low = begin
    while (low < high).any():
        middle = np.minimum((low + high) // 2, len(reduced) - 1)
        below = (low < high) & (reduced[middle] < limit)
        high = np.where(below | (low >= high), high, middle)
        low = np.where(below, middle + 1, low)
    return begin, low


def _ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Return each number of several ranges, and which range it is of."""
    counts = high - low
    which = np.repeat(np.arange(len(low)), counts)
    offset = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    return which, low[which] + offset


def _distinct(found: Sequence[tuple[Ints, Floats]], top: int) -> list[tuple[int, ...]]:
    """Return the best cycles begun at their first edge, each once, the lowest weight first."""
    best: list[tuple[float, tuple[int, ...]]] = []
    for cycles, weights in found:
        if not len(cycles):
            continue
        many = top * cycles.shape[1]  # each is there once per place that it can be begun at, at most
        if len(cycles) > many:
            kept = np.argpartition(weights, many - 1)[:many]
            cycles, weights = cycles[kept], weights[kept]  # noqa: PLW2901
        turn = (np.argmin(cycles, axis=1)[:, None] + np.arange(cycles.shape[1])) % cycles.shape[1]
        _, once = np.unique(np.take_along_axis(cycles, turn, axis=1), axis=0, return_index=True)
        turned = np.take_along_axis(cycles, turn, axis=1)[once].tolist()
        best += zip(weights[once].tolist(), map(tuple, turned), strict=True)
    return [cycle for _, cycle in sorted(best)[:top]]
