"""What it costs to trade: a score and depth from order books, and proxies from bars for where there are none.

The score is after the Xetra Liquidity Measure: the cost in basis points of buying and selling a notional at once,
against a reference price that the quotes themselves cannot move. With Q = N / reference and each level's cost
max(0, (ask − reference) / reference), mirrored for bids, at most 5 % a side and 5 % for what is missing,

    C(N) = 10⁴ · (mean cost of the Q cheapest units on the ask side + the same on the bid side)
    S(N) = 100 · (1 − ln(1 + C) / ln 1001), the score the mean of S over 1 k, 10 k, 100 k and 1 M.

Merged books may cross: somebody's ask is below the reference, somebody's bid above it. Such levels cost 0 each, never
less, so what is gained on them pays for no other level, and a crossed book scores 100 only where 1 M can be bought
entirely at or below the reference and sold entirely at or above it, which is then what a round trip costs. Matching the
crossing orders with one another first would be wrong here: they stand on different venues, both can be taken, and an
added bid would take an ask out of the book, so that more resting orders could lower the score. As it is they never do.

Sources: Gomber, Schweickert, Theissen, "Liquidity Dynamics in an Electronic Open Limit Order Book", European Financial
Management 21 (2015) 52-78, for the measure; the scale from 0 to 100 is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.proxies import abdi_ranaldo, amihud, corwin_schultz
from xex.errors import ConfigError, SchemaError
from xex.model import schema

if TYPE_CHECKING:
    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.intp]]

NOTIONALS = (1e3, 1e4, 1e5, 1e6)
WORST = 0.05
"""Missing depth, and levels further away than this, cost this much a side."""
DISTANCES_BPS = (10, 25, 50, 100, 200)
# A price written in decimals may lie a rounding beyond the distance that it is exactly at.
_EDGE = 1e-9


def curve(books: pd.DataFrame, reference: float | Mapping[str, float]) -> pd.DataFrame:
    """Return the round-trip cost of each notional, per group and exchange and, as exchange "all", merged.

    `books` needs `exchange`, `side` ("bid" | "ask"), `price` and `size` (base units), all of a group in one currency,
    and `group` or `base` and `kind`; levels without a positive price and size offer nothing. `reference` is the price,
    one for all or by group, in the books' currency; the notionals (1 k to 1 M) are in that currency too. `cost_bps`
    lies in [0, 1000], `score` in [0, 100]; `censored` marks a cost that is an upper bound because the venue cut the
    book before the notional was filled.
    """
    levels = _Levels(books, reference, "liquidity.curve")
    cost, points, censored = levels.scored()
    return schema.frame(
        {
            **levels.labels(len(NOTIONALS)), "notional": np.tile(NOTIONALS, levels.count), "cost_bps": cost.ravel(),
            "score": points.ravel(), "censored": censored.ravel(),
        },
        "liquidity",
    )  # fmt: skip


def score(books: pd.DataFrame, reference: float | Mapping[str, float]) -> pd.DataFrame:
    """Return the mean score over the notionals, per group and exchange and, as exchange "all", merged.

    The formula: cost C in bps of a round trip, S = 100 · (1 − ln(1 + C) / ln 1001), the mean of S over 1 k, 10 k,
    100 k and 1 M. Input as in `curve`; `notional` and `cost_bps` are means too.
    """
    levels = _Levels(books, reference, "liquidity.score")
    cost, points, censored = levels.scored()
    return schema.frame(
        {
            **levels.labels(1), "notional": np.full(levels.count, np.mean(NOTIONALS)), "cost_bps": cost.mean(axis=1),
            "score": points.mean(axis=1), "censored": censored.any(axis=1),
        },
        "liquidity",
    )  # fmt: skip


def depth(
    books: pd.DataFrame, reference: float | Mapping[str, float], bps: float | Iterable[float] = DISTANCES_BPS
) -> pd.DataFrame:
    """Return what rests within ±`bps` of the reference, per group and exchange and, as exchange "all", merged.

    Input as in `curve`. One row per distance: `bid_base` and `ask_base` in base units, `bid_notional` and
    `ask_notional` in the books' currency, over bids at or above and asks at or below the distance, those on the good
    side of the reference among them. `spread_bps` is ask − bid over their middle, of the venue's own best quotes or of
    the best of all: negative when the merged book is crossed, NaN without both sides. `censored` marks a lower bound:
    a venue cut its book before the distance was reached. Raises ConfigError for a distance that is not above 0.
    """
    try:
        distances = np.array([bps] if isinstance(bps, (int, float)) else list(bps), dtype=np.float64)
    except (TypeError, ValueError):
        distances = np.full(1, np.nan)
    if distances.ndim != 1 or not (np.isfinite(distances) & (distances > 0)).all():
        raise ConfigError(f"distances are positive basis points, such as (10, 25, 50), not {bps!r}")
    levels = _Levels(books, reference, "liquidity.depth")
    away, notional = 1e4 * levels.away, levels.price * levels.size
    base, worth = (np.empty((2 * levels.count, len(distances))) for _ in range(2))
    for column, distance in enumerate(distances.tolist()):
        inside = away <= distance * (1 + _EDGE)
        at = levels.segment[inside]
        base[:, column] = np.bincount(at, levels.size[inside], minlength=2 * levels.count)
        worth[:, column] = np.bincount(at, notional[inside], minlength=2 * levels.count)
    unseen = levels.seen_bps()[:, None] < distances * (1 - _EDGE)
    return schema.frame(
        {
            **levels.labels(len(distances)), "bps": np.tile(distances, levels.count),
            "bid_base": base[0::2].ravel(), "ask_base": base[1::2].ravel(),
            "bid_notional": worth[0::2].ravel(), "ask_notional": worth[1::2].ravel(),
            "spread_bps": np.repeat(levels.spread_bps(), len(distances)),
            "censored": (unseen[0::2] | unseen[1::2]).ravel(),
        },
        "liquidity_depth",
    )  # fmt: skip


def _reference(reference: float | Mapping[str, float], group: str) -> float:
    try:
        price = float(reference) if isinstance(reference, (int, float)) else float(reference[group])
    except KeyError:
        raise ConfigError(f"no reference price for the group {group!r}") from None
    except (TypeError, ValueError):
        raise ConfigError(f"a reference price is a number, or a dict of them by group, not {reference!r}") from None
    if not 0 < price < math.inf:
        raise ConfigError(f"a reference price is a positive number, not {price!r}")
    return price


# --- a frame of books -----------------------------------------------------------------------------------------


class _Levels:
    """The levels of a frame of books by part: each group's exchanges in order of appearance, then all of them merged.

    A part has two segments, 2 · part its bids and 2 · part + 1 its asks. Every level stands here twice, in its
    exchange's segment and in the merged one.
    """

    def __init__(self, books: pd.DataFrame, reference: float | Mapping[str, float], what: str) -> None:
        schema.check(books, ("exchange", "side", "price", "size"), what)
        numbers = schema.columns_of(books, ("price", "size", "censored"))
        group, groups = schema.codes(books, "group")
        exchange, exchanges = schema.codes(books, "exchange")
        side, sides = schema.codes(books, "side")
        if unknown := set(sides) - {"bid", "ask"}:
            raise SchemaError(f"a side is 'bid' or 'ask', not {', '.join(map(repr, sorted(unknown)))}")
        _one_currency(books, group, groups)
        part, merged, self.labelled = _parts(group, groups, exchange, exchanges)
        self.count = len(self.labelled)
        reference_of = {name: _reference(reference, name) for name in groups}
        self.reference = np.array([reference_of[name] for name, _ in self.labelled], dtype=np.float64)
        asks = np.array([name == "ask" for name in sides], dtype=np.intp)[side]
        own, whole = 2 * part + asks, 2 * merged + asks
        self.cut = np.zeros(2 * self.count, dtype=bool)
        cut = schema.flags(numbers, "censored")
        self.cut[own[cut]] = self.cut[whole[cut]] = True
        price, size = schema.numbers(numbers, "price"), schema.numbers(numbers, "size")
        offered = np.flatnonzero(np.isfinite(price) & (price > 0) & np.isfinite(size) & (size > 0))
        self.segment = np.concatenate([own[offered], whole[offered]])
        self.price, self.size = np.tile(price[offered], 2), np.tile(size[offered], 2)
        away = self.price / self.reference[self.segment // 2] - 1.0
        self.away = np.where(self.segment % 2 == 1, away, -away)

    def labels(self, times: int) -> dict[str, list[str]]:
        """Return each part's group and exchange, `times` rows of it."""
        columns = zip(("group", "exchange"), zip(*self.labelled, strict=True), strict=False)
        return {name: [text for text in column for _ in range(times)] for name, column in columns}

    def scored(self) -> tuple[Floats, Floats, Bools]:
        """Return cost in bps, score and whether it is censored, of every part and notional."""
        return _scored(self.segment, self.away, self.size, self.reference, self.cut)

    def spread_bps(self) -> Floats:
        """Return ask − bid of each part's best quotes over their middle."""
        best = np.full(2 * self.count, np.inf)
        np.minimum.at(best, self.segment, np.where(self.segment % 2 == 1, self.price, -self.price))
        bid, ask = -best[0::2], best[1::2]
        with np.errstate(invalid="ignore"):
            spread = 1e4 * (ask - bid) / ((ask + bid) / 2)
        return np.where(np.isfinite(bid) & np.isfinite(ask), spread, np.nan)

    def seen_bps(self) -> Floats:
        """Return how far from the reference each segment was seen: not beyond the last level of a book that was cut."""
        own, whole = np.split(self.segment, 2)
        last = np.full(2 * self.count, -np.inf)
        np.maximum.at(last, own, 1e4 * self.away[: len(own)])
        seen = np.where(self.cut, last, np.inf)
        # A merged side is known as far as the least known of its books.
        seen[whole] = np.inf
        np.minimum.at(seen, whole, seen[own])
        return seen


def _one_currency(books: pd.DataFrame, group: Ints, groups: Sequence[str]) -> None:
    currency, currencies = schema.codes(books, "currency")
    pairs = np.unique(group * len(currencies) + currency)
    if len(pairs) > len(groups):
        of = pairs // len(currencies)
        mixed = groups[int(of[:-1][of[1:] == of[:-1]][0])]
        raise SchemaError(f"the books of {mixed} are in several currencies; convert them to one first")


def _parts(
    group: Ints, groups: Sequence[str], exchange: Ints, exchanges: Sequence[str]
) -> tuple[Ints, Ints, list[tuple[str, str]]]:
    """Return of each row its exchange's part and the merged part, and of each part its group and exchange."""
    width = max(len(exchanges), 1)
    pairs, first, of = np.unique(group * width + exchange, return_index=True, return_inverse=True)
    order = np.lexsort((first, pairs // width))
    owner = pairs[order] // width
    # Before each part stand those of the groups before, which have one merged part each.
    place = np.empty(len(pairs), dtype=np.intp)
    place[order] = np.arange(len(pairs)) + owner
    merged = np.cumsum(np.bincount(owner, minlength=len(groups))) + np.arange(len(groups))
    labels = [("", "all")] * (len(pairs) + len(groups))
    for at, pair in zip(place.tolist(), pairs.tolist(), strict=True):
        labels[at] = (groups[pair // width], exchanges[pair % width])
    for at, name in zip(merged.tolist(), groups, strict=True):
        labels[at] = (name, "all")
    return place[of], merged[group], labels


# --- single books ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Depth:
    """The levels of one book, or of several taken together, in any order."""

    bid: Floats
    bid_size: Floats
    ask: Floats
    ask_size: Floats
    cut: tuple[bool, bool]

    @classmethod
    def of(
        cls, bid: Floats, bid_size: Floats, ask: Floats, ask_size: Floats, cut: tuple[bool, bool], factor: float = 1.0
    ) -> Depth:
        """Return levels with their prices brought to another currency by `factor`."""
        return cls(bid * factor, bid_size, ask * factor, ask_size, cut)

    @classmethod
    def merged(cls, books: Sequence[Depth]) -> Depth:
        """Return the levels of all books as one."""
        bid, bid_size, ask, ask_size = (
            np.concatenate([np.zeros(0), *(getattr(book, name) for book in books)])
            for name in ("bid", "bid_size", "ask", "ask_size")
        )
        return cls(
            bid, bid_size, ask, ask_size, (any(book.cut[0] for book in books), any(book.cut[1] for book in books))
        )


def mean_scores(books: Sequence[Depth], reference: float) -> list[tuple[float, bool]]:
    """Return each book's mean score and whether it is censored; NaN without a reference or a single level."""
    lengths = [len(side) for book in books for side in (book.bid, book.ask)]
    some = [bid + ask > 0 for bid, ask in zip(lengths[0::2], lengths[1::2], strict=True)]
    if not 0 < reference < math.inf or not any(some):
        return [(math.nan, False)] * len(books)
    away = [side for book in books for side in (1.0 - book.bid / reference, book.ask / reference - 1.0)]
    size = [side for book in books for side in (book.bid_size, book.ask_size)]
    segment = np.repeat(np.arange(len(lengths)), lengths)
    cut = np.array([side for book in books for side in book.cut])
    at = np.full(len(books), reference)
    _, points, censored = _scored(segment, np.concatenate(away), np.concatenate(size), at, cut)
    means: list[float] = points.mean(axis=1).tolist()
    short: list[bool] = np.asarray(censored.any(axis=1)).tolist()
    found = zip(means, short, some, strict=True)
    return [(score, ended) if known else (math.nan, False) for score, ended, known in found]


# --- the kernel -----------------------------------------------------------------------------------------------


def _scored(segment: Ints, away: Floats, size: Floats, reference: Floats, cut: Bools) -> tuple[Floats, Floats, Bools]:
    """Return cost in bps, score and whether a cut book ended before it, of every part and notional.

    Levels, in any order: whose `segment` each is, how far beyond the reference as a fraction, and its size.
    """
    quantities = np.array(NOTIONALS) / reference[:, None]
    unit, short = _unit_costs(segment, away, size, np.repeat(quantities, 2, axis=0))
    cost = np.clip(1e4 * (unit[0::2] + unit[1::2]), 0.0, 1000.0)
    censored = short & cut[:, None]
    return cost, 100.0 * (1.0 - np.log1p(cost) / math.log(1001.0)), censored[0::2] | censored[1::2]


def _unit_costs(segment: Ints, away: Floats, size: Floats, quantities: Floats) -> tuple[Floats, Bools]:
    """Return the mean cost a unit of each segment's `quantities` as a fraction, and whether there is less than that."""
    # A level on the good side of the reference costs nothing, one too far away as much as a missing one.
    cost = np.clip(away, 0.0, WORST)
    order = np.lexsort((cost, segment))
    segment, cost, size = segment[order], cost[order], size[order]
    begins, ends = _running(size, segment, len(quantities))
    total = np.zeros(len(quantities))
    np.maximum.at(total, segment, ends)
    unit = np.empty(quantities.shape)
    for column, wanted in enumerate(quantities.T):
        taken = np.clip(wanted[segment] - begins, 0.0, size)
        paid = np.bincount(segment, taken * cost, minlength=len(quantities))
        # What lies beyond the last level is there without end, and costs the worst.
        unit[:, column] = (paid + np.maximum(wanted - total, 0.0) * WORST) / wanted
    return unit, quantities > total[:, None]


def _running(size: Floats, segment: Ints, count: int) -> tuple[Floats, Floats]:
    """Return where each level begins and ends in its own segment; rows come by segment.

    Sums over ever longer stretches, and not the difference of two sums over the whole frame, in which the small sizes
    of one instrument would drown in the large ones of another.
    """
    lengths = np.bincount(segment, minlength=count)
    place = np.arange(len(segment)) - (np.cumsum(lengths) - lengths)[segment]
    ends, step = size.copy(), 1
    while step < lengths.max(initial=0):
        ends[step:] += np.where(place[step:] >= step, ends[:-step], 0.0)
        step *= 2
    begins = np.zeros(len(size))
    begins[1:] = np.where(place[1:] > 0, ends[:-1], 0.0)
    return begins, ends


__all__ = ["abdi_ranaldo", "amihud", "corwin_schultz", "curve", "depth", "score"]
