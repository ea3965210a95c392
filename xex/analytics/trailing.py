"""Order statistics of many ranges of one array: what a trailing quantile without look-ahead is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.intp]]


def order_statistics(values: Floats, low: Ints, high: Ints, k: Ints) -> Floats:
    """Return the k-th smallest, from 0, of ``values[low:high]`` for each query; every k must lie in its range.

    A wavelet matrix, built and asked one bit of the ranks at a time: O((n + queries) · log n), no loop over either.

    Source: Francisco Claude, Gonzalo Navarro and Alberto Ordóñez, "The wavelet matrix", Information Systems 47 (2015).
    """
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), dtype=np.intp)
    ranks[order] = np.arange(len(values))
    low, high, k = low.copy(), high.copy(), k.copy()
    found = np.zeros(len(k), dtype=np.intp)
    before = np.zeros(len(values) + 1, dtype=np.intp)
    for bit in reversed(range(len(values).bit_length())):
        upper = (ranks >> bit & 1).astype(bool)
        np.cumsum(~upper, out=before[1:])
        lower_low, lower_high = before[low], before[high]
        inside = lower_high - lower_low
        up = k >= inside
        k -= np.where(up, inside, 0)
        low = np.where(up, before[-1] + low - lower_low, lower_low)
        high = np.where(up, before[-1] + high - lower_high, lower_high)
        found |= up.astype(np.intp) << bit
        ranks = np.concatenate([ranks[~upper], ranks[upper]])
    return values[order][found]


def range_quantiles(values: Floats, low: Ints, high: Ints, quantile: float) -> Floats:
    """Return the quantile of ``values[low:high]`` for each query, linear between neighbours, NaN of none."""
    found = np.full(len(low), np.nan)
    asked = np.flatnonzero(high > low)
    if not len(asked):
        return found
    low, high = low[asked], high[asked]
    place = (high - low - 1) * quantile
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, high - low - 1)
    both = order_statistics(values, np.tile(low, 2), np.tile(high, 2), np.concatenate([below, above]))
    first, second = both[: len(asked)], both[len(asked) :]
    found[asked] = first + (second - first) * (place - below)
    return found
