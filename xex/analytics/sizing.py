"""How much to trade: exact optima over order books, as kernels on arrays.

Taking every ask below every bid, after fees, until they meet is the optimum for two books as for any number of
them: one side only rises, the other only falls. Lots make it a problem on a lattice; its values stay concave,
so that an allocation that no exchange of single steps improves is the best one (Murota, Discrete Convex Analysis,
2003, theorem 6.26).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from xex.analytics import chains
from xex.errors import SchemaError

Floats = np.ndarray[Any, np.dtype[np.float64]]

LOT_SLACK = 1e-9
FEE_SIDES = ("quote", "base", "get", "give")
"""What a fee is taken from: always one currency, or what an order brings, or what it pays."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One venue's side of a trade: levels best first in the common currency, and the rules of its market.

    `factor` brings the venue's own prices to the common currency; minimum notionals are in the venue's, and so are
    lots of quote currency, `lot_quote`, which inverse contracts have in place of lots of the base. `fee_side` is one of
    `FEE_SIDES`: from "get" a buyer is credited less of the coin than was ordered.
    """

    price: Floats
    size: Floats
    fee: float
    lot: float = 0.0
    min_amount: float = 0.0
    min_notional: float = 0.0
    factor: float = 1.0
    lot_quote: float = 0.0
    fee_side: str = "quote"

    def passed_on(self, fee: float, *, buying: bool) -> float:
        """Return how many coins one that is ordered stands for elsewhere: 1 but for fees taken from coins."""
        if not in_base(self.fee_side, buying=buying):
            return 1.0
        return 1 - fee if buying else 1 + fee


def in_base(fee_side: str, *, buying: bool) -> bool:
    """Say whether the fee of an order is taken from the coins rather than from the money."""
    if fee_side not in FEE_SIDES:
        raise SchemaError(f"fee_side {fee_side!r}: it is one of {', '.join(FEE_SIDES)}")
    return fee_side in {"base", "get" if buying else "give"}


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best quantity and what it earns; `gate` is empty when it is executable."""

    quantity: float
    gross_profit: float
    net_profit: float
    notional: float
    gate: str


def crossing(asks: Floats, ask_sizes: Floats, bids: Floats, bid_sizes: Floats) -> float:
    """Return the quantity up to which the n-th cheapest ask is below the n-th dearest bid.

    Prices are after fees, in any order. Since one side only rises and the other only falls, taking every ask
    below every bid until they meet is the optimum, for two books as for any number of them.
    """
    if not len(asks) or not len(bids):
        return 0.0
    buy, sell = np.argsort(asks, kind="stable"), np.argsort(-bids, kind="stable")
    return _meeting(asks[buy], np.cumsum(ask_sizes[buy]), bids[sell], np.cumsum(bid_sizes[sell]))


def _meeting(asks: Floats, bought: Floats, bids: Floats, sold: Floats) -> float:
    """Return the quantity at which prices best first, with the sums of their sizes, meet.

    An ask is worth buying while the bid that the coins before it have not used up is above it; that many it is of,
    or as many as are bid above it.
    """
    low, high = 0, min(len(asks), int(np.searchsorted(bought, sold[-1])) + 1)
    while low < high:
        middle = (low + high) // 2
        before = bought[middle - 1] if middle else 0.0
        rival = int(np.searchsorted(sold, before, side="right"))
        if rival < len(bids) and bids[rival] > asks[middle]:
            low = middle + 1
        else:
            high = middle
    if not low:
        return 0.0
    above = int(np.searchsorted(-bids, -asks[low - 1]))
    return float(min(bought[low - 1], sold[above - 1]))


def walked(price: Floats, size: Floats, quantity: float) -> float:
    """Return what `quantity` costs, or brings, taken from the levels in the order given."""
    before = np.cumsum(size) - size
    return float(np.clip(quantity - before, 0.0, size) @ price)


def common_step(*lots: float) -> float:
    """Return the smallest quantity that is a whole number of every lot; 0 for none.

    >>> common_step(0.001, 0.0025), common_step(0.0, 0.01)
    (0.005, 0.01)
    """
    steps = [Fraction(repr(float(lot))) for lot in lots if lot > 0 and math.isfinite(lot)]
    if not steps:
        return 0.0
    numerator = math.lcm(*(step.numerator for step in steps))
    return float(Fraction(numerator, math.gcd(*(step.denominator for step in steps))))


def floored(quantity: float, step: float) -> float:
    """Return the largest whole number of steps in `quantity`, forgiving what sums of floats lose; 0 is no step.

    >>> floored(0.30000000000000004 - 0.1, 0.1), floored(7.9, 2.0), floored(1.5, 0.0)
    (0.2, 6.0, 1.5)
    """
    if not step:
        return quantity
    count = quantity / step
    return math.floor(count + min(max(LOT_SLACK, 1e-12 * count), 0.5)) * step


def pair(buy: Leg, sell: Leg, sides: int = 1) -> Optimum:
    """Return the best trade that buys from one leg's asks and sells to the other's bids.

    The quantity is the optimum floored to a common lot; minimum amount and notional hold on both legs, at the
    prices walked, or the gate is "lots". An optimum of 0 is stopped by "fees", an empty side by "depth".
    Lots of quote currency are whole at the best ask. Where a fee is taken from the coins, as many more are bought;
    the quantity is what is sold, and each leg is a whole number of its own lots.
    """
    if not len(buy.price) or not len(sell.price):
        return Optimum(0.0, 0.0, 0.0, 0.0, "depth")
    if buy.lot_quote or sell.lot_quote:
        (buy,), (sell,), scale = _in_quote([buy], [sell])
        found = pair(buy, sell, sides)
        return replace(found, quantity=found.quantity / scale)
    if in_base(buy.fee_side, buying=True) or in_base(sell.fee_side, buying=False):
        return _chained(buy, sell, sides)
    ask, bid = buy.price * (1 + sides * buy.fee), sell.price * (1 - sides * sell.fee)
    if ask.min() >= bid.max():
        return Optimum(0.0, 0.0, 0.0, 0.0, "fees")
    ideal = crossing(ask, buy.size, bid, sell.size)
    step = common_step(buy.lot, sell.lot)
    quantity = floored(ideal, step)
    paid, earned = walked(buy.price, buy.size, quantity), walked(sell.price, sell.size, quantity)
    gross = earned - paid
    net = walked(bid, sell.size, quantity) - walked(ask, buy.size, quantity)
    enough = (
        quantity >= max(buy.min_amount, sell.min_amount) * (1 - LOT_SLACK)
        and paid / buy.factor >= buy.min_notional * (1 - LOT_SLACK)
        and earned / sell.factor >= sell.min_notional * (1 - LOT_SLACK)
    )
    return Optimum(quantity, gross, net, paid, "" if quantity > 0 and enough else "lots")


def _chained(buy: Leg, sell: Leg, sides: int) -> Optimum:
    """Return the best trade of two legs that do not order the same quantity, since a fee is taken from the coins."""
    links = [
        chains.trade(
            leg.price, leg.size, sides * leg.fee, buying=buying, in_base=in_base(leg.fee_side, buying=buying),
            lot=leg.lot, min_amount=leg.min_amount, min_notional=leg.min_notional * leg.factor,
        )
        for leg, buying in ((buy, True), (sell, False))
    ]  # fmt: skip
    if chains.best(links) is chains.NOTHING:
        return Optimum(0.0, 0.0, 0.0, 0.0, "fees")
    found = chains.best_in_lots(links)
    if found is chains.NOTHING:
        return Optimum(0.0, 0.0, 0.0, 0.0, "lots")
    paid, earned = (
        float(np.interp(amount, link.amount, link.worth)) for link, amount in zip(links, found.amounts, strict=True)
    )
    fees = sides * (buy.fee * paid + sell.fee * earned)
    return Optimum(found.amounts[1], found.profit + fees, found.profit, paid, "")


def _in_quote(buys: Sequence[Leg], sells: Sequence[Leg]) -> tuple[list[Leg], list[Leg], float]:
    """Return legs whose sizes count the venues' quote currency at the best of all asks, and that price.

    How many base units a contract of so many dollars is depends on its price, and one quantity must hold for all
    legs; so counted, lots are what the venues say, and what sizes and prices make together stays. The price is that of
    the venue itself, before it was brought to the common currency: who converts trades the same contracts.
    """
    asks = [(float(leg.price.min()), leg.factor) for leg in buys if len(leg.price)]
    price, factor = min(asks, default=(1.0, 1.0))
    scale = price / factor

    def counted(leg: Leg) -> Leg:
        lot = leg.lot_quote or leg.lot * scale
        least = leg.min_amount * scale
        return replace(leg, price=leg.price / scale, size=leg.size * scale, lot=lot, min_amount=least, lot_quote=0.0)

    return [counted(leg) for leg in buys], [counted(leg) for leg in sells], scale


@dataclass(frozen=True, slots=True)
class Clearing:
    """What is bought from and sold to each book, and what that earns; `gate` is empty when it is executable.

    `price` is the marginal price after fees at which the last unit is worth buying, NaN for none. Where a fee is
    taken from the coins, more are bought than sold on.
    """

    bought: tuple[float, ...]
    sold: tuple[float, ...]
    gross_profit: float
    net_profit: float
    notional: float
    fees: float
    price: float
    gate: str

    @property
    def quantity(self) -> float:
        """The base units that are bought and sold on."""
        return math.fsum(self.sold)


class _Side:
    """One book's asks, or bids, after fees and best first; what they cost is negative, what they bring positive.

    Quantities are coins that pass from buyers to sellers, `units` for each that is ordered.
    """

    def __init__(self, leg: Leg, *, buying: bool, sides: int) -> None:
        self.leg, self.sign, self.fee = leg, -1.0 if buying else 1.0, sides * leg.fee
        self.units = leg.passed_on(self.fee, buying=buying)
        self.raw, self.size = leg.price, leg.size
        if (np.diff(leg.price) * self.sign > 0).any():
            order = np.argsort(leg.price if buying else -leg.price, kind="stable")
            self.raw, self.size = leg.price[order], leg.size[order]
        if self.units != 1:
            self.raw, self.size = self.raw / self.units, self.size * self.units
        self.price = self.raw if self.units != 1 else self.raw * (1 - self.sign * self.fee)

    @cached_property
    def ends(self) -> Floats:
        """The sizes summed up to each level."""
        return np.cumsum(self.size)

    @cached_property
    def values(self) -> Floats:
        """What the levels are worth after fees, summed up to each."""
        return np.cumsum(self.price * self.size)

    def cut(self, limit: float) -> None:
        """Leave out the levels that are no better than the other side's best price."""
        kept = int(np.searchsorted(-self.sign * self.price, -self.sign * limit))
        self.raw, self.size, self.price = self.raw[:kept], self.size[:kept], self.price[:kept]

    @property
    def total(self) -> float:
        return float(self.ends[-1]) if len(self.ends) else 0.0

    def value(self, quantity: float) -> float:
        """Return what the best `quantity` brings after fees."""
        if quantity <= 0:
            return 0.0
        level = min(int(np.searchsorted(self.ends, quantity)), len(self.ends) - 1)
        beyond = quantity - float(self.ends[level])
        return self.sign * float(self.values[level] + beyond * self.price[level])

    def raw_value(self, quantity: float) -> float:
        """Return the notional of `quantity`, before fees."""
        used = int(np.searchsorted(self.ends, quantity)) + 1
        before = self.ends[:used] - self.size[:used]
        return float(np.minimum(quantity - before, self.size[:used]) @ self.raw[:used]) if quantity > 0 else 0.0

    def least(self, step: float) -> float:
        """Return the smallest whole number of steps that the venue's minimums allow; infinity where none does."""
        leg = self.leg
        least = leg.min_amount * self.units * (1 - LOT_SLACK)
        worth = leg.min_notional * leg.factor * (1 - LOT_SLACK)
        if worth > 0:
            values = np.cumsum(self.raw * self.size)
            level = int(np.searchsorted(values, worth))
            if level >= len(values):
                return math.inf
            least = max(least, float(self.ends[level] - (values[level] - worth) / self.raw[level]))
        count = math.ceil(least / step - LOT_SLACK) if step else 0
        while self.raw_value(count * step) < worth:  # in floats the last step may lack a breath
            count += 1
        return float(count)


def clear(buys: Sequence[Leg], sells: Sequence[Leg], sides: int = 1) -> Clearing:
    """Return the optimum over all books at once: buy from the asks of `buys`, sell to the bids of `sells`.

    Without lots and minimums, exact for any number of levels, books, fees and ties. `sides` is how often a leg
    pays its fee.
    """
    books = _sides(buys, sells, sides)
    asks, bids = ([float(book.price[0]) for book in books if book.sign == sign and len(book.price)] for sign in (-1, 1))
    if not asks or not bids:
        return _nothing(len(buys), len(sells), "depth")
    lowest, highest = min(asks), max(bids)
    for book in books:
        book.cut(highest if book.sign < 0 else lowest)
    return _evaluated(books, *_walked_books(books)) if lowest < highest else _nothing(len(buys), len(sells), "fees")


def _nothing(buys: int, sells: int, gate: str) -> Clearing:
    return Clearing((0.0,) * buys, (0.0,) * sells, 0.0, 0.0, 0.0, 0.0, math.nan, gate)


def clear_in_lots(buys: Sequence[Leg], sells: Sequence[Leg], sides: int = 1) -> Clearing:
    """Return the optimum in which every leg is a whole number of lots and reaches its venue's minimums.

    All legs are multiples of one step, the least common multiple of the lots that take part; every choice of venues
    up to a lot is tried, since one coarse lot may cost more than its venue brings. Never more is traded than in the
    optimum without lots. The gate says "lots" where that one pays and none of these does. Lots of quote currency are
    whole at the best of all asks. An order whose fee is taken from its coins brings no whole number of them: it is
    rounded at the end, a purchase up, so that each such book is at most one lot from its optimum.
    """
    if any(leg.lot_quote for leg in (*buys, *sells)):
        asks, bids, scale = _in_quote(buys, sells)
        done = clear_in_lots(asks, bids, sides)
        bought, sold = (tuple(amount / scale for amount in taken) for taken in (done.bought, done.sold))
        return replace(done, bought=bought, sold=sold, price=done.price * scale)
    if not _pays(buys, sells, sides):
        gate = "fees" if any(len(leg.price) for leg in buys) and any(len(leg.price) for leg in sells) else "depth"
        return _nothing(len(buys), len(sells), gate)
    if any(book.units != 1 and book.leg.lot for book in _sides(buys, sells, sides)):
        return _rounded(buys, sells, sides)
    books = _sides(buys, sells, sides)
    free = _evaluated(books, *_walked_books(books))
    if free.gate:
        return free
    playing = _playing(books)
    best: tuple[float, dict[int, float]] = (0.0, {})
    for coarsest in sorted({book.leg.lot for book in playing}, reverse=True):
        some = [book for book in books if book.leg.lot <= coarsest]
        step = common_step(*(book.leg.lot for book in _playing(some)))
        fitting = [book for book in some if _divides(book.leg.lot, step)]
        found = _in_lots(fitting, step, free.quantity, best[0], {})
        if found[0] > best[0]:
            best = found
    amounts = [best[1].get(id(book), 0.0) for book in books]
    done = _evaluated(books, amounts[: len(buys)], amounts[len(buys) :])
    return done if done.quantity > 0 else replace(done, gate="lots")


def _rounded(buys: Sequence[Leg], sells: Sequence[Leg], sides: int) -> Clearing:
    """Return the optimum in which orders with fees in coins are whole lots, rounded where they need not be others'."""
    done = clear_in_lots(_loosened(buys, sides, buying=True), _loosened(sells, sides, buying=False), sides)
    books = _sides(buys, sells, sides)
    amounts = []
    for book, ordered in zip(books, (*done.bought, *done.sold), strict=True):
        if book.units != 1 and book.leg.lot:
            up = book.leg.lot * (1 - 2 * LOT_SLACK) if book.sign < 0 else 0.0
            ordered = floored(ordered + up, book.leg.lot)  # noqa: PLW2901
            short = book.raw_value(ordered * book.units) < book.leg.min_notional * book.leg.factor * (1 - LOT_SLACK)
            if ordered and (short or ordered < book.leg.min_amount * (1 - LOT_SLACK)):
                ordered, done = 0.0, replace(done, gate="lots")  # noqa: PLW2901
        amounts.append(ordered * book.units)
    found = _evaluated(books, amounts[: len(buys)], amounts[len(buys) :])
    if done.gate or found.net_profit <= 0:
        return _nothing(len(buys), len(sells), done.gate or "lots")
    return found


def _loosened(legs: Sequence[Leg], sides: int, *, buying: bool) -> list[Leg]:
    """Return the legs without the lots of those whose fee is taken from coins, as deep as whole lots of them go."""
    found = []
    for leg in legs:
        if leg.lot and leg.passed_on(sides * leg.fee, buying=buying) != 1:
            order = np.argsort(leg.price if buying else -leg.price, kind="stable")
            price, size = leg.price[order], leg.size[order]
            most = floored(float(size.sum()), leg.lot)
            size = np.clip(most - (np.cumsum(size) - size), 0.0, size)
            leg = replace(leg, price=price[size > 0], size=size[size > 0], lot=0.0)  # noqa: PLW2901
        found.append(leg)
    return found


def _pays(buys: Sequence[Leg], sells: Sequence[Leg], sides: int) -> bool:
    """Say whether the cheapest ask of all is below the dearest bid of all, after fees."""
    asks = [_after_fee(float(leg.price.min()), leg, sides, buying=True) for leg in buys if len(leg.price)]
    bids = [_after_fee(float(leg.price.max()), leg, sides, buying=False) for leg in sells if len(leg.price)]
    return bool(asks and bids) and min(asks) < max(bids)


def _after_fee(price: float, leg: Leg, sides: int, *, buying: bool) -> float:
    fee = sides * leg.fee
    units = leg.passed_on(fee, buying=buying)
    return price / units if units != 1 else price * ((1 + fee) if buying else (1 - fee))


def _sides(buys: Sequence[Leg], sells: Sequence[Leg], sides: int) -> list[_Side]:
    return [_Side(leg, buying=buying, sides=sides) for legs, buying in ((buys, True), (sells, False)) for leg in legs]


def _playing(books: Sequence[_Side]) -> list[_Side]:
    """Return the books that the optimum without lots takes something from."""
    bought, sold = _walked_books(books)
    asks, bids = ([book for book in books if book.sign == sign] for sign in (-1.0, 1.0))
    return [book for book, taken in zip((*asks, *bids), (*bought, *sold), strict=True) if taken > 0]


def _divides(lot: float, step: float) -> bool:
    return lot <= 0 or (step > 0 and abs(step / lot - round(step / lot)) < LOT_SLACK * step / lot)


def _walked_books(books: Sequence[_Side], forced: dict[int, float] | None = None) -> tuple[list[float], list[float]]:
    """Return what the optimum takes from each book; `forced` amounts are taken whatever they cost."""
    sides = [
        _merged([book for book in books if book.sign == sign], 1.0 if sign < 0 else -1.0, forced or {})
        for sign in (-1.0, 1.0)
    ]
    asks, bids = sides
    quantity = 0.0
    if len(asks.price) and len(bids.price):
        # Only levels beyond the other side's best can take part.
        near = int(np.searchsorted(asks.price, bids.price[0]))
        high = int(np.searchsorted(-bids.price, -asks.price[0]))
        if near and high:
            quantity = _meeting(asks.price[:near], asks.ends[:near], bids.price[:high], bids.ends[:high])
    bought, sold = (side.taken(quantity) for side in sides)
    return bought, sold


@dataclass(frozen=True, slots=True)
class _Merged:
    """The levels of several books as one, best first."""

    books: int
    owner: np.ndarray[Any, np.dtype[np.intp]]
    price: Floats
    size: Floats
    ends: Floats

    def taken(self, quantity: float) -> list[float]:
        """Return what each book has of the best `quantity`."""
        used = int(np.searchsorted(self.ends, quantity)) + 1
        amounts = np.clip(quantity - (self.ends[:used] - self.size[:used]), 0.0, self.size[:used])
        found: list[float] = np.bincount(self.owner[:used], amounts, minlength=self.books).tolist()
        return found


def _merged(books: Sequence[_Side], sign: float, forced: Mapping[int, float]) -> _Merged:
    parts = [_split(book, forced.get(id(book), 0.0)) for book in books]
    owner = np.repeat(np.arange(len(parts)), [len(price) for price, _ in parts])
    price = np.concatenate([price for price, _ in parts]) if parts else np.zeros(0)
    size = np.concatenate([size for _, size in parts]) if parts else np.zeros(0)
    order = np.argsort(sign * price, kind="stable")
    size = size[order]
    return _Merged(len(parts), owner[order], price[order], size, np.cumsum(size))


def _split(book: _Side, forced: float) -> tuple[Floats, Floats]:
    """Return a book's levels after fees, the first `forced` units at a price that nobody refuses."""
    if forced <= 0:
        return book.price, book.size
    first = np.clip(forced - (book.ends - book.size), 0.0, book.size)
    price, size = np.concatenate([book.price, book.price]), np.concatenate([first, book.size - first])
    price[: len(first)] = book.sign * 1e300
    return price[size > 0], size[size > 0]


def _evaluated(books: Sequence[_Side], bought: Sequence[float], sold: Sequence[float]) -> Clearing:
    amounts = [*bought, *sold]
    pairs = list(zip(books, amounts, strict=True))
    net = math.fsum(book.value(amount) for book, amount in pairs)
    worth = [book.raw_value(amount) for book, amount in pairs]
    paid = math.fsum(value for book, value in zip(books, worth, strict=True) if book.sign < 0)
    earned = math.fsum(value for book, value in zip(books, worth, strict=True) if book.sign > 0)
    fees = math.fsum(value * book.fee for book, value in zip(books, worth, strict=True))
    in_coins = math.fsum(value * book.fee for book, value in zip(books, worth, strict=True) if book.units != 1)
    dear = [
        float(book.price[min(int(np.searchsorted(book.ends, amount * (1 - 1e-12))), len(book.ends) - 1)])
        for book, amount in pairs
        if book.sign < 0 and amount > 0
    ]
    has = [any(len(book.ends) for book in books if book.sign == sign) for sign in (-1.0, 1.0)]
    gate = "depth" if not all(has) else "" if dear else "fees"
    ordered = tuple(amount / book.units for book, amount in pairs)
    gross = earned - paid + in_coins
    return Clearing(
        ordered[: len(bought)], ordered[len(bought) :], gross, net, paid, fees, max(dear, default=math.nan), gate
    )


# --- on the lattice of lots ---------------------------------------------------------------------------------


def _in_lots(
    books: Sequence[_Side], step: float, most: float, beat: float, forced: dict[int, float]
) -> tuple[float, dict[int, float]]:
    """Return the best profit on the lattice and what it takes of each book; nothing where none beats `beat`.

    A leg below its venue's minimum is either left out or raised to it: both are tried, and a branch ends where even
    without the other minimums it cannot be better than what is known. `most` bounds the quantity.
    """
    bought, sold = _walked_books(books, forced)
    amounts = dict(zip(map(id, books), (*bought, *sold), strict=True))
    if any(amounts[book] < least * (1 - 1e-12) for book, least in forced.items()):
        return 0.0, {}
    counts = _balanced(books, amounts, step, most, forced)
    if counts is None:
        return 0.0, {}
    taken = {id(book): count * step if step else amounts[id(book)] for book, count in zip(books, counts, strict=True)}
    profit = math.fsum(book.value(taken[id(book)]) for book in books)
    if profit <= beat:
        return 0.0, {}
    for book in books:
        amount, least = taken[id(book)], book.least(step or 1e-12) * (step or 1e-12)
        if 0 < amount < least * (1 - LOT_SLACK):
            without = _in_lots([other for other in books if other is not book], step, most, beat, forced)
            beat = max(beat, without[0])
            if math.isinf(least) or least > book.total * (1 + 1e-12):
                return without
            raised = _in_lots(books, step, most, beat, {**forced, id(book): least})
            return raised if raised[0] > without[0] else without
    return profit, taken


def _balanced(
    books: Sequence[_Side], amounts: Mapping[int, float], step: float, most: float, forced: Mapping[int, float]
) -> list[int] | None:
    """Return whole numbers of steps near `amounts`, as much bought as sold, that no exchange of steps improves."""
    bought = math.fsum(amounts[id(book)] for book in books if book.sign < 0)
    if not step:
        return [0] * len(books) if bought <= most * (1 + 1e-12) else None
    state = _Lattice(books, step, _steps(min(bought, most), step), forced)
    state.count = [
        min(max(_steps(amounts[id(book)], step), low), high)
        for book, low, high in zip(books, state.low, state.high, strict=True)
    ]
    return state.improved()


class _Lattice:
    """Whole numbers of steps, one per book, within bounds."""

    def __init__(self, books: Sequence[_Side], step: float, most: int, forced: Mapping[int, float]) -> None:
        self.books, self.step, self.most = books, step, most
        self.low = [math.ceil(forced.get(id(book), 0.0) / step - LOT_SLACK) for book in books]
        self.high = [_steps(book.total, step) for book in books]
        self.buys = [book.sign < 0 for book in books]
        self.count = list(self.low)

    def gain(self, place: int, by: int) -> float:
        """Return what one step more or less of a book is worth; minus infinity where there is none."""
        after = self.count[place] + by
        if not self.low[place] <= after <= self.high[place]:
            return -math.inf
        book = self.books[place]
        return book.value(after * self.step) - book.value(self.count[place] * self.step)

    def improved(self) -> list[int] | None:
        """Move single steps, the most valuable first: until as much is bought as sold, then while it pays."""
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            return None
        for _ in range(64 * (len(self.books) + 1)):
            bought = sum(count for count, buys in zip(self.count, self.buys, strict=True) if buys)
            excess = 2 * bought - sum(self.count)
            moves = self._balancing(excess) if excess else self._exchanges(bought)
            worth, change = max(moves, default=(-math.inf, ()))
            if worth == -math.inf:
                return None if excess or bought > self.most else self.count
            if not excess and bought <= self.most and worth <= 0:
                return self.count
            for place, by in change:
                self.count[place] += by
        return None

    def _balancing(self, excess: int) -> list[_Move]:
        """Return the single steps that bring bought and sold nearer to each other."""
        less = excess > 0
        return [
            (self.gain(place, by), ((place, by),))
            for place, buys in enumerate(self.buys)
            for by in ((-1 if less else 1) if buys else (1 if less else -1),)
        ]

    def _exchanges(self, bought: int) -> list[_Move]:
        """Return the pairs of steps that keep bought equal to sold, and the quantity within its bound."""
        found: list[_Move] = []
        for one, other in combinations(range(len(self.books)), 2):
            same = self.buys[one] == self.buys[other]
            for by in (-1, 1):
                grows = 0 if same else by
                if (bought > self.most and grows >= 0) or bought + grows > max(self.most, bought):
                    continue
                pair_of = (one, by), (other, -by if same else by)
                found.append((sum(self.gain(*part) for part in pair_of), pair_of))
        return found


_Move = tuple[float, tuple[tuple[int, int], ...]]


def _steps(quantity: float, step: float) -> int:
    """Return how many whole steps `quantity` holds."""
    return round(floored(quantity, step) / step)
