"""Ways round several markets that end with more than they began with: on one venue, and across venues and currencies.

Buying turns the quote currency into the base, selling the base into the quote, each at a rate after its fee. What pays
is looked for on the best prices of whole markets (`graph`), and sized through the books of all its legs (`chains`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics import chains
from xex.analytics.funnel import row_gates, taker_fees
from xex.analytics.gates import haircut_bps, parkinson_sigma_bps
from xex.analytics.graph import STEP, Floats, Graph, Ints, Ways, settled, slack, ways
from xex.analytics.merged import trading_rules
from xex.analytics.quality import MAX_AGE_S, MAX_DISAGREE, SUSPECT, UsualBps, ages_ms
from xex.analytics.sizing import in_base
from xex.errors import ConfigError, SchemaError
from xex.model import schema
from xex.model.instruments import USD_LIKE
from xex.model.schema import Columns, numbers, take, texts

if TYPE_CHECKING:
    import pandas as pd

MOST_LEGS = 8
"""How long the cycles that are enumerated can be; that there is one at all is found at any length."""
MOST_ROWS = 1_000_000
MOVE = -1
Gates = Mapping[str, bool]


def cycles(
    tickers: pd.DataFrame,
    *,
    books: pd.DataFrame | None = None,
    rules: pd.DataFrame | None = None,
    taker_bps: Any = None,
    transfers: pd.DataFrame | None = None,
    currency: str = "USDT",
    most_legs: int = 4,
    top: int = 100,
    least_bps: float = 0.0,
    max_age_s: float = MAX_AGE_S,
    suspect_edge: float = SUSPECT,
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
) -> pd.DataFrame:
    """Return the ways round spot markets that bring more than they take: a row per cycle, the best net edge first.

    `tickers` needs `exchange`, `base`, `quote`, `bid` and `ask`, not converted; `bid_size` and `ask_size` bound the
    quantity, `instrument`, `taker_bps`, `fee_side`, `age_ms`, `halted`, `high` and `low` count where present. `books`
    (`exchange`, `instrument` or `base` and `quote`, `side`, `price`, `size`) take the place of the touch: sizes are
    then the exact optimum through the depth of all legs. `rules` are rows of instruments, as in `depth`: every leg is
    whole lots and reaches its minimums.

    Balances are held everywhere, so that a currency is the same on every exchange (`mode` "inventory"); with
    `transfers` (`currency`, `exchange_from`, `exchange_to`, `bps` and `fixed`, in units of the currency) only where it
    is, and a move is a leg ("transfer"). Every cycle of at most `most_legs` legs, on different currencies, with more
    than `least_bps` net is looked at, and the best `top` are sized. Below 0 near misses are kept. A longer one is shown
    where no other pays. Rows use the same books and cannot be added up.

    `quantity` and `profit` are in the row's `currency`, the one asked where the cycle has it; `amounts` are base units
    of each leg. `net_bps` and `gross_bps` are at the best prices. `gate` and `reasons` are words of `GATES`.
    ``attrs["certificate"]`` has prices under which no edge pays, hence no cycle of any length, with the nearest one
    (`edge`, `slack_bps` at most 0), or is None; ``attrs["left_out"]`` the rows that take no part, each with its gates;
    ``attrs["complete"]`` says whether nothing was left out for its number, ``attrs["markets"]`` which markets (exchange
    and instrument) the rows use.
    """
    schema.check(tickers, ("exchange", "base", "quote", "bid", "ask"), "arbitrage.cycles")
    if most_legs not in range(2, MOST_LEGS + 1):
        raise ConfigError(f"most_legs is {most_legs!r}; it is a whole number from 2 to {MOST_LEGS}")
    if top not in range(1, MOST_ROWS + 1) or not -1e4 < least_bps < 1e4:
        raise ConfigError(f"top {top!r} is a whole number from 1 to {MOST_ROWS}, least_bps {least_bps!r} within 10000")
    if not (suspect_edge > 0 and 0 < max_disagree < 1):
        raise ConfigError(f"suspect_edge {suspect_edge!r} and max_disagree {max_disagree!r} are fractions above 0")
    columns = schema.columns_of(tickers)
    spot = np.array([kind == "spot" for kind in texts(columns, "kind", "spot")], dtype=bool)
    columns = take(columns, spot)
    stopped = row_gates(columns, max_age_s, suspect_edge, max_disagree, usual_bps)
    out = np.any(list(stopped.values()), axis=0) if len(spot) else np.zeros(0, dtype=bool)
    kept = take(columns, ~out)
    market = _Market(kept, taker_fees(kept, taker_bps), transfers)
    middle = market.prices(currency)
    log_prices, cycle = settled(market.graph, middle)
    # Whatever pays does so at any prices; those of the middle of all quotes keep the search short.
    search = bool(cycle) or least_bps < 0
    found = ways(market.graph, middle, most_legs, _below(least_bps), top) if search else Ways([])
    picked = found.cycles
    if cycle and 1e4 * market.gain(cycle) > least_bps and not any(market.gain(one) > STEP for one in picked):
        picked = [cycle, *picked][:top]
    sizes = _Depth(market, books, rules)
    rows = [_row(sizes, one, currency, suspect_edge, max_age_s) for one in picked]
    frame = schema.frame(_ranked(rows), "cycles")
    frame.attrs = {
        "certificate": None if cycle else market.certificate(log_prices, currency),
        "left_out": _left_out(columns, stopped, out),
        "complete": found.complete,
        "markets": sorted({market.named(edge) for one in picked for edge in one if market.row[edge] != MOVE}),
    }
    return frame


def _below(least_bps: float) -> float:
    """Return what the weights of a cycle add up to less than, for it to earn more than `least_bps`."""
    return -math.log1p(least_bps / 1e4) - STEP


@dataclass(frozen=True, slots=True)
class _Moves:
    """Transfers that are possible: from where to where, of what, and what they cost."""

    currency: list[str]
    origin: list[str]
    target: list[str]
    loss: Floats
    fixed: Floats

    @classmethod
    def of(cls, frame: pd.DataFrame | None) -> _Moves:
        if frame is None:
            return cls([], [], [], np.zeros(0), np.zeros(0))
        schema.check(frame, ("currency", "exchange_from", "exchange_to"), "arbitrage.cycles, transfers")
        columns = schema.columns_of(frame)
        loss, fixed = numbers(columns, "bps", 0.0) / 1e4, numbers(columns, "fixed", 0.0)
        if not (((loss >= 0) & (loss < 1)).all() and ((fixed >= 0) & np.isfinite(fixed)).all()):
            raise SchemaError("arbitrage.cycles, transfers: bps and fixed are costs, at least 0 and known")
        origin, target = texts(columns, "exchange_from"), texts(columns, "exchange_to")
        return cls(texts(columns, "currency"), origin, target, loss, fixed)


class _Market:
    """The markets that take part as a graph: an edge to buy, one to sell in each, and one per move."""

    def __init__(self, columns: Columns, fees: Floats, transfers: pd.DataFrame | None) -> None:
        self.columns, self.fees, self.apart = columns, fees, transfers is not None
        self.exchange, self.base, self.quote = (texts(columns, name) for name in ("exchange", "base", "quote"))
        named = texts(columns, "instrument")
        self.name = [name or f"{b}/{q}" for name, b, q in zip(named, self.base, self.quote, strict=True)]
        self.bid, self.ask = numbers(columns, "bid"), numbers(columns, "ask")
        self.age = ages_ms(columns)
        sides = texts(columns, "fee_side", "quote")
        self.in_base = [np.array([in_base(side or "quote", buying=buying) for side in sides], dtype=bool)
                        for buying in (True, False)]  # fmt: skip
        self.moves = _Moves.of(transfers)
        rows = len(self.name)
        own = [
            (where, what) if self.apart else ("", what) for what, where in zip(self.base, self.exchange, strict=True)
        ]
        paid = [(where if self.apart else "", what) for what, where in zip(self.quote, self.exchange, strict=True)]
        begin, end = (
            [*zip(where, self.moves.currency, strict=True)] for where in (self.moves.origin, self.moves.target)
        )
        order = {node: place for place, node in enumerate(dict.fromkeys([*own, *paid, *begin, *end]))}
        self.nodes = list(order)
        bases, quotes, begins, ends = (
            np.array([order[node] for node in nodes], dtype=np.intp) for nodes in (own, paid, begin, end)
        )
        buy = np.log(self.ask) + np.where(self.in_base[0], -np.log1p(-fees), np.log1p(fees))
        sell = np.where(self.in_base[1], np.log1p(fees), -np.log1p(-fees)) - np.log(self.bid)
        self.row = np.concatenate([np.tile(np.arange(rows), 2), np.full(len(begins), MOVE)])
        self.buying = np.arange(len(self.row)) < rows
        self.raw = np.concatenate([np.log(self.ask), -np.log(self.bid), np.zeros(len(begins))])
        weight = np.concatenate([buy, sell, -np.log1p(-self.moves.loss)])
        src, dst = np.concatenate([quotes, bases, begins]), np.concatenate([bases, quotes, ends])
        self.graph = Graph(len(self.nodes), src, dst, weight)

    def prices(self, currency: str) -> Floats:
        """Return the log price of each node by the middle of the quotes, in the currency that most trade against."""
        words = {what: place for place, what in enumerate(dict.fromkeys(what for _, what in self.nodes))}
        base, quote = (np.array([words[name] for name in names], dtype=np.intp) for names in (self.base, self.quote))
        links = np.bincount(np.concatenate([base, quote]), minlength=len(words)).astype(np.float64)
        if currency in words:
            links[words[currency]] = np.inf
        price = _spread(base, quote, (np.log(self.bid) + np.log(self.ask)) / 2, links)
        return price[[words[what] for _, what in self.nodes]] if words else price

    def gain(self, cycle: Sequence[int]) -> float:
        """Return what a cycle brings beyond what it takes, as a fraction at the best prices."""
        return math.expm1(-float(self.graph.weight[list(cycle)].sum()))

    def named(self, edge: int) -> tuple[str, str]:
        """Return the exchange and the instrument that an edge trades."""
        row = int(self.row[edge])
        return self.exchange[row], self.name[row]

    def text(self, edge: int) -> str:
        """Return an edge in words."""
        row = int(self.row[edge])
        if row == MOVE:
            (origin, what), (target, _) = self.nodes[self.graph.src[edge]], self.nodes[self.graph.dst[edge]]
            return f"{what} {origin} to {target}"
        return f"{self.exchange[row]} {self.name[row]} {'buy' if self.buying[edge] else 'sell'}"

    def certificate(self, price: Floats, currency: str) -> dict[str, Any]:
        """Return prices that prove that nothing pays, and the edge that is nearest to."""
        names = [f"{where} {what}".strip() for where, what in self.nodes]
        at = next((place for place, (_, what) in enumerate(self.nodes) if what == currency), None)
        unit = float(price[at]) if at is not None else 0.0
        left = slack(self.graph, price)
        worst = int(np.argmax(left)) if len(left) else None
        return {
            "prices": dict(zip(names, np.exp(price - unit).tolist(), strict=True)),
            "edge": "" if worst is None else self.text(worst),
            "slack_bps": math.nan if worst is None else 1e4 * math.expm1(float(left[worst])),
        }


def _spread(base: Ints, quote: Ints, middle: Floats, links: Floats) -> Floats:
    """Return log prices of currencies: of one nothing, of the others the median of what their markets say."""
    price = np.full(len(links), np.nan)
    while np.isnan(price).any():
        known = np.isfinite(price)
        near = known[base] != known[quote]
        if not near.any():
            price[np.argmax(np.where(known, -1.0, links))] = 0.0
            continue
        up = known[quote[near]]
        node = np.where(up, base[near], quote[near])
        said = np.where(up, middle[near] + price[quote[near]], price[base[near]] - middle[near])
        order = np.lexsort((said, node))
        nodes, first, count = np.unique(node[order], return_index=True, return_counts=True)
        price[nodes] = said[order][first + count // 2]
    return price


def _left_out(columns: Columns, stopped: Mapping[str, Any], out: Any) -> list[dict[str, str]]:
    """Return the rows that take no part, each with the gates that stop it."""
    exchange, base, quote = (texts(columns, name) for name in ("exchange", "base", "quote"))
    named = texts(columns, "instrument")
    return [
        {
            "exchange": exchange[row],
            "instrument": named[row] or f"{base[row]}/{quote[row]}",
            "reasons": ",".join(gate for gate, hit in stopped.items() if hit[row]),
        }
        for row in np.flatnonzero(out).tolist()
    ]


# --- sizes --------------------------------------------------------------------------------------------------------


class _Depth:
    """What can be traded in each market: its book where there is one, else its touch; and its lots and minimums."""

    def __init__(self, market: _Market, books: pd.DataFrame | None, rules: pd.DataFrame | None) -> None:
        self.market = market
        self.touch = [numbers(market.columns, name) for name in ("ask_size", "bid_size")]
        self.sigma = parkinson_sigma_bps(numbers(market.columns, "high"), numbers(market.columns, "low"))
        self.levels: dict[tuple[str, str, str], tuple[Floats, Floats, float]] = {}
        if books is not None:
            self.levels = dict(_levels(books))
        self.rules: Mapping[tuple[str, str], tuple[float, float, float, float]] = {}
        if rules is not None:
            schema.check(rules, ("exchange", "instrument", "lot"), "arbitrage.cycles, rules")
            self.rules = trading_rules(rules, "instrument")

    def side(self, row: int, *, buying: bool) -> tuple[Floats, Floats, float]:
        """Return prices and sizes that an order walks, best first, and how old they are."""
        market = self.market
        book = self.levels.get((market.exchange[row], market.name[row], "ask" if buying else "bid"))
        if book is not None:
            return book
        price = (market.ask if buying else market.bid)[row : row + 1]
        size = self.touch[0 if buying else 1][row : row + 1]
        return (price[size > 0], size[size > 0], float(market.age[row]))

    def link(self, edge: int) -> chains.Link:
        """Return what an edge does to any amount."""
        market, row = self.market, int(self.market.row[edge])
        if row == MOVE:
            place = edge - 2 * len(market.name)
            return chains.move(float(market.moves.loss[place]), float(market.moves.fixed[place]))
        buying = bool(market.buying[edge])
        price, size, _ = self.side(row, buying=buying)
        lot, amount, notional, _ = self.rules.get((market.exchange[row], market.name[row]), (0.0, 0.0, 0.0, 0.0))
        return chains.trade(
            price, size, float(market.fees[row]), buying=buying, in_base=bool(market.in_base[0 if buying else 1][row]),
            lot=lot, min_amount=amount, min_notional=notional,
        )  # fmt: skip


def _levels(books: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], tuple[Floats, Floats, float]]]:
    """Yield prices and sizes, best first, and the age of each side of each book."""
    schema.check(books, ("exchange", "side", "price", "size"), "arbitrage.cycles, books")
    if "instrument" not in books.columns:
        schema.check(books, ("base", "quote"), "arbitrage.cycles, books")
    columns = schema.columns_of(books)
    price, size, age = numbers(columns, "price"), numbers(columns, "size"), ages_ms(columns)
    named, base, quote = (texts(columns, name) for name in ("instrument", "base", "quote"))
    names = [name or f"{b}/{q}" for name, b, q in zip(named, base, quote, strict=True)]
    keys = list(zip(texts(columns, "exchange"), names, texts(columns, "side"), strict=True))
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    of = np.array([order[key] for key in keys], dtype=np.intp)
    usable = (price > 0) & (size > 0) & np.isfinite(price) & np.isfinite(size)
    for key, place in order.items():
        rows = np.flatnonzero(of == place)
        oldest = float(age[rows].max())
        rows = rows[usable[rows]]
        rows = rows[np.argsort(price[rows] if key[2] == "ask" else -price[rows], kind="stable")]
        yield key, (price[rows], size[rows], oldest)


def _row(depth: _Depth, cycle: Sequence[int], currency: str, suspect_edge: float, max_age_s: float) -> dict[str, Any]:
    """Return one cycle as a row: begun at the currency asked, sized, with every gate that stops it."""
    market = depth.market
    edges = _begun_at(market, cycle, currency)
    names = [market.nodes[market.graph.src[edge]] for edge in edges]
    links = [depth.link(edge) for edge in edges]
    trades = [edge for edge in edges if market.row[edge] != MOVE]
    rows = [int(market.row[edge]) for edge in trades]
    sides = [depth.side(row, buying=bool(market.buying[edge])) for row, edge in zip(rows, trades, strict=True)]
    ages = [age for _, _, age in sides]
    gross, net = _edges_bps(market, edges, links)
    drift = float(haircut_bps(np.nanmax([0.0, *depth.sigma[rows]]), math.fsum(ages), 0.0))
    filled = all(len(price) for price, _, _ in sides)
    free = chains.best(links) if filled else chains.NOTHING
    found = chains.best_in_lots(links) if free.profit > 0 else chains.NOTHING
    stopped = {
        "identity": gross > 1e4 * suspect_edge,
        "market_state": any(_crossed(depth, row) for row in rows),
        "freshness": max(ages) > 1e3 * max_age_s,
        "fees": net <= 0 or (filled and free.profit <= 0),
        "depth": not filled,
        "lots": free.profit > 0 and found.profit <= 0,
        "haircut": net <= drift,
    }
    exchanges = dict.fromkeys(market.exchange[row] for row in rows)
    return {
        "legs": " → ".join(map(market.text, edges)),
        "path": " → ".join(what for _, what in (*names, names[0])),
        "n_legs": float(len(edges)), "exchanges": ",".join(exchanges), "gross_bps": gross, "net_bps": net,
        "quantity": found.put_in if filled else math.nan, "profit": found.profit if filled else math.nan,
        "currency": names[0][1], "amounts": ", ".join(f"{amount:.12g}" for amount in found.amounts),
        "age_ms": max(ages), "haircut_bps": drift, "mode": "transfer" if market.apart else "inventory",
        "executable": not any(stopped.values()), **_words(stopped),
    }  # fmt: skip


def _words(stopped: Gates) -> dict[str, str]:
    hit = [gate for gate, stops in stopped.items() if stops]
    return {"gate": hit[0] if hit else "", "reasons": ",".join(hit)}


def _begun_at(market: _Market, cycle: Sequence[int], currency: str) -> list[int]:
    """Return the edges of a cycle from the currency asked, else from a dollar, else from one that pays for another."""
    names = [market.nodes[market.graph.src[edge]] for edge in cycle]

    def rank(place: int) -> tuple[bool, bool, bool, str, str]:
        where, what = names[place]
        return what != currency, what not in USD_LIKE, not market.buying[cycle[place]], what, where

    first = min(range(len(cycle)), key=rank)
    return [*cycle[first:], *cycle[:first]]


def _edges_bps(market: _Market, edges: Sequence[int], links: Sequence[chains.Link]) -> tuple[float, float]:
    """Return what a cycle gains before and after fees in basis points, at the best prices that it is sized on."""
    gross = net = 0.0
    for edge, link in zip(edges, links, strict=True):
        if market.row[edge] == MOVE or len(link.amount) < 2:
            gross, net = gross + float(market.raw[edge]), net + float(market.graph.weight[edge])
            continue
        price = math.log(float(link.worth[1] / link.amount[1]))
        gross += price if market.buying[edge] else -price
        net -= math.log(float(link.got[1] / link.given[1]))
    return 1e4 * math.expm1(-gross), 1e4 * math.expm1(-net)


def _crossed(depth: _Depth, row: int) -> bool:
    """Say whether a market's book, as it was fetched, has a bid at or above its ask."""
    (ask, _, _), (bid, _, _) = (depth.side(row, buying=buying) for buying in (True, False))
    return bool(len(ask) and len(bid)) and bool(bid[0] >= ask[0])


def _ranked(rows: Sequence[dict[str, Any]]) -> Columns:
    """Return rows as columns: what can be traded first, then by net edge."""
    ordered = sorted(rows, key=lambda row: (not row["executable"], -row["net_bps"]))
    return {name: [row[name] for row in ordered] for name in schema.SCHEMAS["cycles"]}
