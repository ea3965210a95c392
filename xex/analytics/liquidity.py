"""What it costs to trade: a score from order books.

After the Xetra Liquidity Measure: the cost in basis points of buying and selling a notional at once, against a
reference price that the quotes themselves cannot move.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.errors import ConfigError, SchemaError
from xex.model import schema
from xex.model.schema import Columns, flags, numbers, texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]

NOTIONALS = (1e3, 1e4, 1e5, 1e6)
WORST = 0.05
"""Missing depth, and levels further away than this, cost this much a side."""


def curve(books: pd.DataFrame, reference: float | Mapping[str, float]) -> pd.DataFrame:
    """Return the round-trip cost of each notional, per group and exchange and, as exchange "all", merged.

    `books` needs `exchange`, `side` ("bid" | "ask"), `price` and `size` (base units), `group` or `base` and
    `kind`. `reference` is the price, one for all or by group, in the books' currency; the notionals (1 k to 1 M)
    are in that currency too. `cost_bps` lies in [0, 1000], `score` in [0, 100]; `censored` marks a cost that is
    an upper bound because the venue cut the book before the notional was filled.
    """
    schema.check(books, ("exchange", "side", "price", "size"), "liquidity.curve")
    columns = schema.columns_of(books)
    if unknown := set(texts(columns, "side")) - {"bid", "ask"}:
        raise SchemaError(f"a side is 'bid' or 'ask', not {', '.join(map(repr, sorted(unknown)))}")
    rows = [
        {"group": group, "exchange": exchange, **cell}
        for group, exchange, picked in _parts(columns)
        for cell in costs(picked, _reference(reference, group))
    ]
    names = schema.SCHEMAS["liquidity"]
    return schema.frame({name: [row[name] for row in rows] for name in names}, "liquidity")


def score(books: pd.DataFrame, reference: float | Mapping[str, float]) -> pd.DataFrame:
    """Return the mean score over the notionals, per group and exchange and, as exchange "all", merged.

    The formula: cost C in bps of a round trip, S = 100 · (1 − ln(1 + C) / ln 1001), the mean of S over 1 k, 10 k,
    100 k and 1 M. Input as in `curve`; `notional` and `cost_bps` are means too.
    """
    points = curve(books, reference)
    means = points.groupby(["group", "exchange"], sort=False, as_index=False).agg(
        {"notional": "mean", "cost_bps": "mean", "score": "mean", "censored": "any"}
    )
    return means[list(schema.SCHEMAS["liquidity"])]


def _reference(reference: float | Mapping[str, float], group: str) -> float:
    try:
        price = float(reference) if isinstance(reference, (int, float)) else float(reference[group])
    except KeyError:
        raise ConfigError(f"no reference price for the group {group!r}") from None
    if not 0 < price < math.inf:
        raise ConfigError(f"a reference price is a positive number, not {price!r}")
    return price


def _parts(columns: Columns) -> list[tuple[str, str, Depth]]:
    groups = np.array(texts(columns, "group"), dtype=object)
    exchanges, sides = (np.array(texts(columns, name), dtype=object) for name in ("exchange", "side"))
    price, size, cut = numbers(columns, "price"), numbers(columns, "size"), flags(columns, "censored")

    def depth(rows: np.ndarray[Any, Any]) -> Depth:
        bid, ask = rows & (sides == "bid"), rows & (sides == "ask")
        return Depth.of(price[bid], size[bid], price[ask], size[ask], (bool(cut[bid].any()), bool(cut[ask].any())))

    parts = []
    for group in dict.fromkeys(groups.tolist()):
        inside = groups == group
        members = dict.fromkeys(exchanges[inside].tolist())
        parts += [(group, name, depth(inside & (exchanges == name))) for name in members]
        parts.append((group, "all", depth(inside)))
    return parts


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
            np.concatenate([getattr(book, name) for book in books]) for name in ("bid", "bid_size", "ask", "ask_size")
        )
        return cls(
            bid, bid_size, ask, ask_size, (any(book.cut[0] for book in books), any(book.cut[1] for book in books))
        )


def costs(book: Depth, reference: float) -> list[dict[str, Any]]:
    """Return cost and score of each notional."""
    cost, score, censored = _scored(book, reference)
    rows = zip(NOTIONALS, cost.tolist(), score.tolist(), censored.tolist(), strict=True)
    return [dict(zip(("notional", "cost_bps", "score", "censored"), row, strict=True)) for row in rows]


def _scored(book: Depth, reference: float) -> tuple[Floats, Floats, np.ndarray[Any, np.dtype[np.bool_]]]:
    bids = _Side(1.0 - book.bid / reference, book.bid_size, cut=book.cut[0])
    asks = _Side(book.ask / reference - 1.0, book.ask_size, cut=book.cut[1])
    quantities = np.array(NOTIONALS) / reference
    (bid, bid_short), (ask, ask_short) = bids.costs(quantities), asks.costs(quantities)
    cost = np.clip(1e4 * (bid + ask), 0.0, 1000.0)
    return cost, 100.0 * (1.0 - np.log1p(cost) / math.log(1001.0)), bid_short | ask_short


def mean_score(book: Depth, reference: float) -> tuple[float, bool]:
    """Return the mean score and whether it is censored; NaN without a reference or a single level."""
    if not 0 < reference < math.inf or not len(book.bid) + len(book.ask):
        return math.nan, False
    _, score, censored = _scored(book, reference)
    return float(score.sum()) / len(NOTIONALS), bool(censored.any())


class _Side:
    """One side of a book as costs per unit, best first, and cumulative sizes."""

    def __init__(self, away: Floats, size: Floats, *, cut: bool) -> None:
        # A level on the good side of the reference costs nothing, one too far away as much as a missing one.
        cost = np.clip(away, 0.0, WORST)
        order = np.argsort(cost, kind="stable")
        size = size[order]
        self.cut = cut
        # What lies beyond the last level is there without end, and costs the worst.
        self.unit_cost = np.append(cost[order], WORST)
        self.ends = np.concatenate([[0.0], np.cumsum(size)])
        self.values = np.concatenate([[0.0], np.cumsum(size * self.unit_cost[:-1])])

    def costs(self, quantities: Floats) -> tuple[Floats, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Return the mean cost a unit as a fraction, and whether a cut book ended before each quantity."""
        level = np.searchsorted(self.ends, quantities) - 1
        total = self.values[level] + (quantities - self.ends[level]) * self.unit_cost[level]
        return total / quantities, self.cut & (quantities > self.ends[-1])
