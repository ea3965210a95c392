"""Trades in a row, each paid with what the one before brought: how much to put in at the front.

What a market gives for more of a currency only falls from level to level, and trades in a row keep that: the whole
chain is one concave broken line from what is put in to what comes out, and the best amount is at one of its corners.
That is the linear program over all levels of all legs, solved without one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

SLACK = 1e-9
"""What a number of lots may lack, relative to one, for what sums of floats lose."""
MOST_COUNTS = 100_000
"""How many numbers of lots below the optimum without lots are tried at most."""


@dataclass(frozen=True, slots=True)
class Link:
    """One trade, or a move between venues, level by level: cumulative sums that start at 0.

    `given` is in the currency paid, `got` in the one received, fees included; `amount` is base units ordered, which
    lots and `min_amount` count in, and `worth` their notional. A move has an `amount` and a `worth` like a trade, and
    no lot; `fixed` is taken from what arrives.
    """

    given: Floats
    got: Floats
    amount: Floats
    worth: Floats
    lot: float = 0.0
    min_amount: float = 0.0
    min_notional: float = 0.0
    fixed: float = 0.0


@dataclass(frozen=True, slots=True)
class Sized:
    """What a chain is best given: `amounts` ordered per link, what is put in and what comes out at the end."""

    amounts: tuple[float, ...]
    put_in: float
    got: float

    @property
    def profit(self) -> float:
        """What is left over, in the currency of the front."""
        return self.got - self.put_in


NOTHING = Sized((), 0.0, 0.0)


def trade(price: Floats, size: Floats, fee: float, *, buying: bool, in_base: bool = False, **rules: float) -> Link:
    """Return the link of a market order that walks `price` and `size`, best first; `in_base`: so the fee is taken."""
    amount, worth = _sums(size), _sums(price * size)
    if buying:
        given, got = (worth, amount * (1 - fee)) if in_base else (worth * (1 + fee), amount)
    else:
        given, got = (amount * (1 + fee), worth) if in_base else (amount, worth * (1 - fee))
    return Link(given, got, amount, worth, **rules)


def move(loss: float, fixed: float = 0.0) -> Link:
    """Return the link of a transfer that loses the fraction `loss` of any amount, and `fixed` units on top."""
    line = np.array([0.0, 1e300])
    return Link(line, line * (1 - loss), line, line, fixed=fixed)


def _sums(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)])


def profile(links: Sequence[Link]) -> tuple[Floats, Floats]:
    """Return the corners of the whole chain: what is put in, and what comes out for it."""
    given, got = _less(links[0].given, links[0].got, links[0].fixed)
    for link in links[1:]:
        given, got = _less(*_joined(given, got, link), link.fixed)
    return given, got


def _joined(given: Floats, got: Floats, link: Link) -> tuple[Floats, Floats]:
    """Return the corners of a chain that goes on with one more link, as far as both reach."""
    most = min(got[-1], link.given[-1])
    corners = np.unique(np.concatenate([got[got <= most], link.given[link.given <= most], [most]]))
    return np.interp(corners, got, given), np.interp(corners, link.given, link.got)


def _less(given: Floats, got: Floats, fixed: float) -> tuple[Floats, Floats]:
    """Return the corners when `fixed` is taken from what comes out; what does not cover it is no trade."""
    if not fixed:
        return given, got
    if got[-1] <= fixed:
        return np.zeros(1), np.zeros(1)
    first = float(np.interp(fixed, got, given))
    beyond = got > fixed
    return np.concatenate([[first], given[beyond]]), np.concatenate([[0.0], got[beyond] - fixed])


def best(links: Sequence[Link]) -> Sized:
    """Return the most profitable amount without lots and minimums; `NOTHING` where none pays."""
    given, got = profile(links)
    corner = int(np.argmax(got - given))
    if got[corner] <= given[corner]:
        return NOTHING
    amounts, flow = [], float(given[corner])
    for link in links:
        amounts.append(float(np.interp(flow, link.given, link.amount)))
        flow = float(np.interp(flow, link.given, link.got)) - link.fixed
    return Sized(tuple(amounts), float(given[corner]), float(got[corner]))


def best_in_lots(links: Sequence[Link]) -> Sized:
    """Return the most profitable amounts in whole lots that reach every minimum; `NOTHING` where none pays.

    The last link sells a whole number of its lots, at most those of the optimum without lots, and every link before
    orders the fewest lots that pay for the next one: for so many lots at the end nothing costs less. All numbers of
    lots that could beat the best are tried (up to `MOST_COUNTS`), so that it is the optimum of these. What is left
    over on the way counts for nothing. Where the last link has no lot, what the first can pay is handed on instead.
    """
    free = best(links)
    if free.profit <= 0:
        return NOTHING
    if not any(link.lot for link in links):
        return free if _enough(links, np.array(free.amounts)[:, None])[0] else NOTHING
    if not links[-1].lot:
        return _chosen(links, np.array([_handed_on(links, free)]))
    count = _whole(np.array([free.amounts[-1]]), links[-1].lot)[0]
    if count < 1:
        return NOTHING
    near = _chosen(links, np.arange(max(1.0, count - 64), count + 1) * links[-1].lot)
    lowest = _lowest(links, near.profit, count)
    if near is NOTHING or lowest >= count - 64:
        return near
    wide = _chosen(links, np.arange(max(lowest, count - MOST_COUNTS), count + 1) * links[-1].lot)
    return wide if wide.profit > near.profit else near


def _lowest(links: Sequence[Link], beaten: float, count: float) -> float:
    """Return the fewest lots at the end that earn more than `beaten` even where nothing has to be whole."""
    given, got = profile(links)
    link = links[-1]
    low, high = 0.0, count
    while high - low > 1:
        middle = math.floor((low + high) / 2)
        brings = float(np.interp(middle * link.lot, link.amount, link.got)) - link.fixed
        if brings - float(np.interp(brings, got, given)) > beaten:
            high = middle
        else:
            low = middle
    return max(high, 1.0)


def _handed_on(links: Sequence[Link], free: Sized) -> float:
    """Return what the last link orders when each before it orders whole lots of what the one before brought."""
    amount, flow = 0.0, free.put_in
    for link in links:
        amount = float(np.interp(flow, link.given, link.amount))
        if link.lot:
            amount = float(_whole(np.array([amount]), link.lot)[0]) * link.lot
        flow = max(float(np.interp(amount, link.amount, link.got)) - link.fixed, 0.0)
    return amount


def _whole(amounts: Floats, lot: float) -> Floats:
    """Return how many whole lots amounts hold, forgiving what sums of floats lose."""
    counts = amounts / lot
    return np.asarray(np.floor(counts + np.minimum(np.maximum(SLACK, 1e-12 * counts), 0.5)))


def _chosen(links: Sequence[Link], last: Floats) -> Sized:
    """Return the best of several amounts of the last link, each paid for by as little as can be."""
    ordered, flow = [last], np.interp(last, links[-1].amount, links[-1].given)
    for link in reversed(links[:-1]):
        needed = flow + link.fixed
        amount = np.interp(needed, link.got, link.amount)
        amount[needed > link.got[-1] * (1 + 1e-12)] = np.inf
        if link.lot:
            counts = amount / link.lot
            amount = np.ceil(counts - np.minimum(np.maximum(SLACK, 1e-12 * counts), 0.5)) * link.lot
        amount[amount > link.amount[-1] * (1 + 1e-12)] = np.inf
        ordered.append(amount)
        flow = np.interp(amount, link.amount, link.given)
    amounts = np.array(ordered[::-1])
    got = np.interp(last, links[-1].amount, links[-1].got) - links[-1].fixed
    profits = np.where(np.isfinite(amounts).all(axis=0) & _enough(links, amounts), got - flow, -np.inf)
    place = int(np.argmax(profits))
    if profits[place] <= 0:
        return NOTHING
    return Sized(tuple(amounts[:, place].tolist()), float(flow[place]), float(got[place]))


def _enough(links: Sequence[Link], amounts: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which amounts, a row per link, reach every minimum."""
    fits = np.ones(amounts.shape[1], dtype=bool)
    for link, amount in zip(links, amounts, strict=True):
        worth = np.interp(amount, link.amount, link.worth)
        fits &= (amount >= link.min_amount * (1 - SLACK)) & (worth >= link.min_notional * (1 - SLACK))
    return fits
