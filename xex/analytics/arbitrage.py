"""Where a price difference survives fees, depth, lots and age.

Buying walks up one venue's asks while another's bids, both after fees, still pay more; the optimum is where the
marginal edge is zero. Of the same spot asset that is an arbitrage: each leg pays its taker fee once. Of
derivatives it is a spread: it pays when the two converge, so entry and exit fees are charged on both legs, four
in all, at the entry prices. Nothing is thrown away: rejected rows name the gate that stopped them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.quality import MAX_AGE_S, ages_ms, check_max_age
from xex.errors import SchemaError
from xex.model import schema
from xex.model.schema import Columns, flags, numbers, take, texts

if TYPE_CHECKING:
    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]
TakerBps = Any
"""A Series by exchange, a dict by exchange or by (venue, kind), or None for the frame's own column."""

GATES = (
    "identity", "market_state", "freshness", "currency", "fees", "depth", "lots", "haircut", "transfer",
)  # fmt: skip
SUSPECT_EDGE = 0.03
HAIRCUT_Z = 3.0
LOT_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Leg:
    """One venue's side of a trade: levels best first in the common currency, and the rules of its market.

    `factor` brings the venue's own prices to the common currency; minimum notionals are in the venue's.
    """

    price: Floats
    size: Floats
    fee: float
    lot: float = 0.0
    min_amount: float = 0.0
    min_notional: float = 0.0
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best quantity and what it earns; `gate` is empty when it is executable."""

    quantity: float
    gross_profit: float
    net_profit: float
    notional: float
    gate: str


def fee_sides(kind: str) -> int:
    """Return how often a leg pays its fee: derivatives pay to get in and to get out."""
    return 1 if kind == "spot" else 2


def crossing(asks: Floats, ask_sizes: Floats, bids: Floats, bid_sizes: Floats) -> float:
    """Return the quantity up to which the n-th cheapest ask is below the n-th dearest bid.

    Prices are after fees, in any order. Since one side only rises and the other only falls, taking every ask
    below every bid until they meet is the optimum, for two books as for any number of them.
    """
    if not len(asks) or not len(bids):
        return 0.0
    buy, sell = np.argsort(asks, kind="stable"), np.argsort(-bids, kind="stable")
    bought, sold = np.cumsum(ask_sizes[buy]), np.cumsum(bid_sizes[sell])
    steps = np.union1d(bought, sold)
    steps = steps[steps <= min(bought[-1], sold[-1])]
    starts = np.concatenate([[0.0], steps[:-1]])
    edge = (
        bids[sell][np.searchsorted(sold, starts, side="right")]
        - asks[buy][np.searchsorted(bought, starts, side="right")]
    )
    paying = int(np.argmin(edge > 0)) if not (edge > 0).all() else len(edge)
    return float(steps[paying - 1]) if paying else 0.0


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


def pair(buy: Leg, sell: Leg, sides: int = 1) -> Optimum:
    """Return the best trade that buys from one leg's asks and sells to the other's bids.

    The quantity is the optimum floored to a common lot; minimum amount and notional hold on both legs, at the
    prices walked, or the gate is "lots". An optimum of 0 is stopped by "fees", an empty side by "depth".
    """
    if not len(buy.price) or not len(sell.price):
        return Optimum(0.0, 0.0, 0.0, 0.0, "depth")
    ask, bid = buy.price * (1 + sides * buy.fee), sell.price * (1 - sides * sell.fee)
    ideal = crossing(ask, buy.size, bid, sell.size)
    if ideal <= 0:
        return Optimum(0.0, 0.0, 0.0, 0.0, "fees")
    step = common_step(buy.lot, sell.lot)
    quantity = math.floor(ideal / step + LOT_SLACK) * step if step else ideal
    paid, earned = walked(buy.price, buy.size, quantity), walked(sell.price, sell.size, quantity)
    gross = earned - paid
    net = walked(bid, sell.size, quantity) - walked(ask, buy.size, quantity)
    enough = (
        quantity >= max(buy.min_amount, sell.min_amount) * (1 - LOT_SLACK)
        and paid / buy.factor >= buy.min_notional * (1 - LOT_SLACK)
        and earned / sell.factor >= sell.min_notional * (1 - LOT_SLACK)
    )
    return Optimum(quantity, gross, net, paid, "" if quantity > 0 and enough else "lots")


def depth(books: pd.DataFrame, *, taker_bps: TakerBps = None) -> pd.DataFrame:
    """Return the optimum over all books of a group at once: one row per group.

    `books` needs `exchange`, `side`, `price`, `size` (base units), all of a group in one currency, and `group` or
    `base` and `kind`. `taker_bps` is in basis points of notional. Returns `quantity` (base), `gross_profit`,
    `net_profit`, `notional` and `fees` (currency), and `clearing_price`, the marginal price after fees at which the
    last unit is worth buying; zeros and NaN where nothing crosses.
    """
    schema.check(books, ("exchange", "side", "price", "size"), "arbitrage.depth")
    columns = schema.columns_of(books)
    fees = taker_fees(columns, taker_bps) * np.array([fee_sides(kind) for kind in texts(columns, "kind", "spot")])
    groups, sides = np.array(texts(columns, "group")), np.array(texts(columns, "side"))
    currencies = np.array(texts(columns, "currency"))
    price, size = numbers(columns, "price"), numbers(columns, "size")
    rows = []
    for group in dict.fromkeys(groups.tolist()):
        inside = groups == group
        if len(set(currencies[inside].tolist())) > 1:
            raise SchemaError(f"the books of {group} are in several currencies; convert them to one first")
        ask, bid = inside & (sides == "ask"), inside & (sides == "bid")
        found = _cleared(
            (price[ask], size[ask], fees[ask]), (price[bid], size[bid], fees[bid]),
        )  # fmt: skip
        rows.append({"group": group, "currency": currencies[inside][0], **found})
    return schema.frame({name: [row[name] for row in rows] for name in schema.SCHEMAS["depth"]}, "depth")


def _cleared(asks: tuple[Floats, Floats, Floats], bids: tuple[Floats, Floats, Floats]) -> dict[str, float]:
    (ask, ask_size, ask_fee), (bid, bid_size, bid_fee) = asks, bids
    dear, cheap = ask * (1 + ask_fee), bid * (1 - bid_fee)
    if len(ask) and len(bid):
        # Only levels beyond the other side's best can take part.
        near, high = dear < cheap.max(), cheap > dear.min()
        ask, ask_size, dear = ask[near], ask_size[near], dear[near]
        bid, bid_size, cheap = bid[high], bid_size[high], cheap[high]
    quantity = crossing(dear, ask_size, cheap, bid_size)
    if quantity <= 0:
        return {
            "quantity": 0.0, "gross_profit": 0.0, "net_profit": 0.0, "notional": 0.0, "fees": 0.0,
            "clearing_price": float("nan"),
        }  # fmt: skip
    buy, sell = np.argsort(dear, kind="stable"), np.argsort(-cheap, kind="stable")
    paid = walked(ask[buy], ask_size[buy], quantity)
    gross = walked(bid[sell], bid_size[sell], quantity) - paid
    net = walked(cheap[sell], bid_size[sell], quantity) - walked(dear[buy], ask_size[buy], quantity)
    last = int(np.searchsorted(np.cumsum(ask_size[buy]), quantity * (1 - 1e-12)))
    return {
        "quantity": quantity, "gross_profit": gross, "net_profit": net, "notional": paid, "fees": gross - net,
        "clearing_price": float(dear[buy][min(last, len(buy) - 1)]),
    }  # fmt: skip


def taker_fees(columns: Columns, taker_bps: TakerBps) -> Floats:
    """Return each row's taker fee as a fraction of notional."""
    if taker_bps is None:
        if "taker_bps" not in columns:
            raise SchemaError("taker_bps is needed: an argument, or a column of the frame")
        fees = numbers(columns, "taker_bps")
    elif isinstance(taker_bps, str) or not (isinstance(taker_bps, (int, float)) or hasattr(taker_bps, "items")):
        raise SchemaError(f"taker_bps is a number, a dict or a Series of basis points, not {taker_bps!r}")
    elif isinstance(taker_bps, (int, float)):
        fees = np.full(schema.length(columns), float(taker_bps))
    else:
        given: Mapping[Any, float] = taker_bps if isinstance(taker_bps, Mapping) else dict(taker_bps.items())
        keys = zip(texts(columns, "exchange"), texts(columns, "venue"), texts(columns, "kind", "spot"), strict=True)
        fees = np.array([_fee(given, exchange, venue or exchange, kind) for exchange, venue, kind in keys])
    if np.isnan(fees).any():
        missing = sorted({name for name, fee in zip(texts(columns, "exchange"), fees, strict=True) if fee != fee})
        raise SchemaError(f"no taker_bps for {', '.join(missing)}")
    return fees / 1e4


def _fee(given: Mapping[Any, float], exchange: str, venue: str, kind: str) -> float:
    for key in ((venue, kind), (exchange, kind), exchange, venue):
        if key in given:
            return float(given[key])
    return float("nan")


def haircut_bps(sigma_bps: float | Floats, age_low_ms: Any, age_high_ms: Any, z: float = HAIRCUT_Z) -> Any:
    """Return how far two quotes of these ages may have drifted apart: z · σ · √(age + age), in basis points.

    `sigma_bps` is the standard deviation of returns over one second. It gates; it changes no quantity or profit.
    """
    seconds = (np.asarray(age_low_ms) + np.asarray(age_high_ms)) / 1e3
    return z * np.nan_to_num(sigma_bps) * np.sqrt(np.maximum(seconds, 0.0))


def parkinson_sigma_bps(high: Floats, low: Floats) -> Floats:
    """Return the volatility over one second, in basis points, from the day's range (Parkinson 1980)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        daily = np.log(high / low) / (2.0 * math.sqrt(math.log(2.0)))
    return np.asarray(1e4 * daily / math.sqrt(86_400.0))


def scan(
    tickers: pd.DataFrame,
    *,
    taker_bps: TakerBps = None,
    max_age_s: float = MAX_AGE_S,
    suspect_edge: float = SUSPECT_EDGE,
) -> pd.DataFrame:
    """Pair every ask with every other venue's bid of the same group: the funnel, rejected rows kept.

    `tickers` needs `exchange`, `bid` and `ask`, `group` or `base` and `kind`; `bid_size` and `ask_size` bound the
    quantity, `age_ms`, `halted`, `high` and `low` count where present. Rows of one group in different currencies
    are rejected, not compared. Returns one row per ordered pair, best net edge first: prices, `net_bps` after the
    taker fees of both legs (twice for derivatives), quantity at the touch, profits. `executable` is True where no
    gate stops it, else `gate` is the first that does and `reasons` are all; both are absent (NA) where none does.
    """
    schema.check(tickers, ("exchange", "bid", "ask"), "arbitrage.scan")
    if "group" not in tickers.columns:
        schema.check(tickers, ("base",), "arbitrage.scan")
    columns = schema.columns_of(tickers)
    low, high = _pairs(columns)
    return schema.frame(_funnel(columns, low, high, taker_bps, max_age_s, suspect_edge), "opportunities")


def _pairs(columns: Columns) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the row numbers of every ordered pair of different exchanges in the same group, both quoted."""
    quoted = (numbers(columns, "bid") > 0) & (numbers(columns, "ask") > 0)
    rows = np.flatnonzero(quoted)
    order = {group: place for place, group in enumerate(dict.fromkeys(texts(columns, "group")))}
    groups = np.array([order[group] for group in texts(columns, "group")], dtype=np.intp)[rows]
    rows, groups = rows[np.argsort(groups, kind="stable")], np.sort(groups, kind="stable")
    starts = np.searchsorted(groups, groups)
    counts = np.bincount(groups, minlength=len(order))[groups] if len(rows) else np.zeros(0, dtype=np.intp)
    first = np.repeat(np.arange(len(rows)), counts)
    offset = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    second = starts[first] + offset
    low, high = rows[first], rows[second]
    exchanges = np.array(texts(columns, "exchange"), dtype=object)
    different = exchanges[low] != exchanges[high]
    return low[different], high[different]


def _funnel(
    columns: Columns,
    low: np.ndarray[Any, Any],
    high: np.ndarray[Any, Any],
    taker_bps: TakerBps,
    max_age_s: float,
    suspect_edge: float,
) -> Columns:
    check_max_age(max_age_s)
    kinds = np.array(texts(columns, "kind", "spot"), dtype=object)
    sides = np.array([fee_sides(kind) for kind in kinds])
    fees = taker_fees(columns, taker_bps) * sides
    ask, bid = numbers(columns, "ask")[low], numbers(columns, "bid")[high]
    ages, halted = ages_ms(columns), flags(columns, "halted")
    currency = np.array(texts(columns, "currency"), dtype=object)
    sizes = np.fmin(numbers(columns, "ask_size")[low], numbers(columns, "bid_size")[high])
    sigma = parkinson_sigma_bps(numbers(columns, "high"), numbers(columns, "low"))
    drift = haircut_bps(np.fmax(sigma[low], sigma[high]), ages[low], ages[high])
    net = bid * (1 - fees[high]) - ask * (1 + fees[low])
    net_bps, gross = 1e4 * net / ask, bid / ask - 1
    same = currency[low] == currency[high]
    stopped = {
        "identity": same & (np.abs(gross) > suspect_edge),
        "market_state": halted[low] | halted[high],
        "freshness": np.maximum(ages[low], ages[high]) > 1e3 * max_age_s,
        "currency": ~same,
        "fees": same & (net <= 0),
        "depth": ~(sizes > 0),
        "haircut": net_bps <= drift,
    }
    gates = _first_gate(stopped)
    quantity = np.where(sizes > 0, sizes, np.nan)
    ranked = np.lexsort((-net_bps, gates != "", ~same))
    found: Columns = {
        "symbol": _picked(columns, "instrument" if "instrument" in columns else "group", low),
        "group": _picked(columns, "group", low),
        "trade": np.where(kinds[low] == "spot", "arbitrage", "spread").tolist(),
        "exchange_low": _picked(columns, "exchange", low), "exchange_high": _picked(columns, "exchange", high),
        "price_low": ask, "price_high": bid, "price_difference": np.where(same, bid - ask, np.nan),
        "price_difference_pct": np.where(same, 100 * gross, np.nan), "net_bps": np.where(same, net_bps, np.nan),
        "gross_profit": np.where(same, quantity * (bid - ask), np.nan),
        "net_profit": np.where(same, quantity * net, np.nan),
        "net_profit_pct": np.where(same, 100 * net / ask, np.nan),
        "quantity": quantity, "notional": quantity * ask,
        "fees": np.where(same, quantity * (bid - ask - net), np.nan),
        "currency": currency[low].tolist(), "fx_rate": np.where(same, 1.0, np.nan),
        "age_ms": np.maximum(ages[low], ages[high]), "haircut_bps": drift,
        "mode": ["inventory"] * len(low), "transfer": ["unknown"] * len(low),
        "executable": gates == "", "gate": gates.tolist(), "reasons": _all_gates(stopped, gates),
    }  # fmt: skip
    return take(found, ranked)


def _picked(columns: Columns, name: str, rows: np.ndarray[Any, Any]) -> list[str]:
    picked: list[str] = np.array(texts(columns, name), dtype=object)[rows].tolist()
    return picked


def _first_gate(stopped: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    names = list(stopped)
    gates = np.full(len(next(iter(stopped.values()))), "", dtype=object)
    for name in reversed(names):
        gates[stopped[name]] = name
    return gates


def _all_gates(stopped: Mapping[str, np.ndarray[Any, Any]], gates: np.ndarray[Any, Any]) -> list[str]:
    """Return every gate that stops a row, joined; rows with equal sets share one text."""
    code = np.zeros(len(gates), dtype=np.int64)
    for place, hit in enumerate(stopped.values()):
        code |= hit.astype(np.int64) << place
    words = {
        value: ",".join(name for place, name in enumerate(stopped) if value >> place & 1)
        for value in np.unique(code).tolist()
    }
    return [words[value] for value in code.tolist()]


def best_first(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return opportunities with the highest net profit first, ties by the higher net percentage."""
    return sorted(found, key=lambda row: (-row["net_profit"], -row["net_profit_pct"]))
