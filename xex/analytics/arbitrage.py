"""Where a price difference survives fees, depth, lots and age.

Buying walks up one venue's asks while another's bids, both after fees, still pay more; the optimum is where the
marginal edge is zero. Of the same spot asset that is an arbitrage: each leg pays its taker fee once. Of
derivatives it is a spread: it pays when the two converge, so entry and exit fees are charged on both legs, four
in all, at the entry prices. Nothing is thrown away: rejected rows name the gate that stopped them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.cycles import cycles as cycles  # noqa: PLC0414  parts of this module in files of their own
from xex.analytics.funding import carry as carry  # noqa: PLC0414
from xex.analytics.quality import (
    MAX_AGE_S,
    MAX_DISAGREE,
    MAX_SPREAD,
    SUSPECT,
    Scatter,
    UsualBps,
    ages_ms,
    check_max_age,
    identities,
    mids,
    suspect_limits,
    verdicts,
)
from xex.analytics.transport import transport as transport  # noqa: PLC0414
from xex.analytics.sizing import Clearing, Leg, clear, clear_in_lots, walked
from xex.errors import ConfigError, SchemaError
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
SUSPECT_EDGE = SUSPECT
RULES = ("lot", "min_amount", "min_notional", "lot_quote")
"""The trading rules that sizes over books obey."""
MOST_BPS = 1_000.0
HAIRCUT_Z = 3.0


def fee_sides(kind: str) -> int:
    """Return how often a leg pays its fee: derivatives pay to get in and to get out."""
    return 1 if kind == "spot" else 2


def depth(books: pd.DataFrame, *, taker_bps: TakerBps = None, rules: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the optimum over all books of a group at once: one row per group.

    `books` needs `exchange`, `side`, `price`, `size` (base units), all of a group in one currency, and `group` or
    `base` and `kind`. `taker_bps` is in basis points of notional, by default the frame's or the rules' own; of a column
    `fee_side` "get", a buyer pays it in the coins, and fewer arrive ("quote", "base" and "give" likewise). `rules` are
    rows of instruments (`exchange`, `instrument` or `group`, `lot`, `min_amount`, `min_notional`, `lot_quote`): with
    them every leg is a whole number of lots and reaches its venue's minimums. Returns `quantity` (base),
    `gross_profit`, `net_profit`, `notional` and `fees` (currency), `clearing_price`, the marginal price after fees at
    which the last unit is worth buying, and `gate`: "depth" for an empty side, "fees" where nothing pays, "lots" where
    nothing that pays can be traded.
    """
    rows = [
        {
            "group": group, "currency": currency, "quantity": found.quantity, "gross_profit": found.gross_profit,
            "net_profit": found.net_profit, "notional": found.notional,
            "fees": found.fees, "clearing_price": found.price, "gate": found.gate,
        }
        for group, currency, _, found in cleared(books, taker_bps, rules, "arbitrage.depth")
    ]  # fmt: skip
    return schema.frame({name: [row[name] for row in rows] for name in schema.SCHEMAS["depth"]}, "depth")


def legs(books: pd.DataFrame, *, taker_bps: TakerBps = None, rules: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what the optimum of `depth` buys and sells where: one row per group, exchange and side that takes part.

    `side` is "buy" or "sell", `price` the mean before fees, `worst_price` the last level touched, `notional` and
    `fees` in the group's currency. Input as in `depth`.
    """
    rows = [
        {"group": group, "currency": currency, **row}
        for group, currency, parts, found in cleared(books, taker_bps, rules, "arbitrage.legs")
        for row in leg_rows(parts, found)
    ]
    return schema.frame({name: [row[name] for row in rows] for name in schema.SCHEMAS["legs"]}, "legs")


def leg_rows(parts: Mapping[str, tuple[Leg, Leg, int]], found: Clearing) -> list[dict[str, Any]]:
    """Return the legs of a clearing as dicts; `parts` are each exchange's legs and how often they pay the fee."""
    rows = []
    for place, amounts in ((0, found.bought), (1, found.sold)):
        for (exchange, part), quantity in zip(parts.items(), amounts, strict=True):
            leg, sides = (part[0], part[1])[place], part[2]
            if quantity <= 0:
                continue
            order = np.argsort(leg.price if place == 0 else -leg.price, kind="stable")
            notional = walked(leg.price[order], leg.size[order], quantity)
            touched = int(np.searchsorted(np.cumsum(leg.size[order]), quantity * (1 - 1e-12)))
            rows.append({
                "exchange": exchange, "side": ("buy", "sell")[place], "quantity": quantity,
                "price": notional / quantity, "worst_price": float(leg.price[order][min(touched, len(order) - 1)]),
                "notional": notional, "fees": notional * leg.fee * sides,
            })  # fmt: skip
    return rows


def cleared(
    books: pd.DataFrame, taker_bps: TakerBps, rules: pd.DataFrame | None, what: str
) -> Iterator[tuple[str, str, dict[str, tuple[Leg, Leg, int]], Clearing]]:
    """Yield each group with its currency, the legs of its exchanges, and its optimum."""
    schema.check(books, ("exchange", "side", "price", "size"), what)
    if rules is not None:
        schema.check(rules, ("exchange", "lot"), f"{what}, rules")
    columns = schema.columns_of(books)
    price, size = numbers(columns, "price"), numbers(columns, "size")
    columns = take(columns, (price > 0) & (size > 0) & np.isfinite(price) & np.isfinite(size))
    if taker_bps is None and "taker_bps" not in columns and rules is not None and "taker_bps" in rules.columns:
        columns["taker_bps"] = _fees_of(rules, columns, what)
    fees = taker_fees(columns, taker_bps)
    groups, sides = np.array(texts(columns, "group")), np.array(texts(columns, "side"))
    exchanges, currencies = np.array(texts(columns, "exchange")), np.array(texts(columns, "currency"))
    kinds, factor = texts(columns, "kind", "spot"), numbers(columns, "fx_rate", 1.0)
    taken = [side or "quote" for side in texts(columns, "fee_side", "quote")]
    price, size = numbers(columns, "price"), numbers(columns, "size")
    key = "instrument" if rules is not None and {"instrument"} <= {*rules.columns} & {*books.columns} else "group"
    known, names = trading_rules(rules, key), texts(columns, key)
    for group in dict.fromkeys(groups.tolist()):
        inside = groups == group
        if len(set(currencies[inside].tolist())) > 1:
            raise SchemaError(f"the books of {group} are in several currencies; convert them to one first")
        parts: dict[str, tuple[Leg, Leg, int]] = {}
        times = fee_sides(kinds[int(np.argmax(inside))])
        for exchange in dict.fromkeys(exchanges[inside].tolist()):
            mine = inside & (exchanges == exchange)
            first = int(np.argmax(mine))
            lot, amount, notional, lot_quote = known.get((exchange, names[first]), (0.0, 0.0, 0.0, 0.0))
            rate = float(factor[first]) if factor[first] == factor[first] else 1.0
            ask, bid = (
                Leg(price[rows], size[rows], float(fees[first]), lot, amount, notional, rate, lot_quote, taken[first])
                for rows in (mine & (sides == "ask"), mine & (sides == "bid"))
            )
            parts[exchange] = (ask, bid, times)
        optimum = clear if rules is None else clear_in_lots
        found = optimum([part[0] for part in parts.values()], [part[1] for part in parts.values()], times)
        yield group, str(currencies[inside][0]), parts, found


def _fees_of(rules: pd.DataFrame, columns: Columns, what: str) -> Floats:
    """Return each row's taker fee as the rules state it, NaN where they do not."""
    schema.check(rules, ("exchange", "taker_bps"), f"{what}, rules")
    given = schema.columns_of(rules)
    key = "instrument" if "instrument" in given and "instrument" in columns else "group"
    names = zip(texts(given, "exchange"), texts(given, key), strict=True)
    known = dict(zip(names, numbers(given, "taker_bps").tolist(), strict=True))
    rows = zip(texts(columns, "exchange"), texts(columns, key), strict=True)
    return np.array([known.get(row, math.nan) for row in rows], dtype=np.float64)


def trading_rules(rules: pd.DataFrame | None, key: str) -> dict[tuple[str, str], tuple[float, float, float, float]]:
    """Return lot, minimum amount and notional, and lot of quote currency, by exchange and `key`; 0 for none."""
    if rules is None:
        return {}
    columns = schema.columns_of(rules)
    cells = [np.nan_to_num(numbers(columns, name)).tolist() for name in RULES]
    keys = zip(texts(columns, "exchange"), texts(columns, key), strict=True)
    return dict(zip(keys, zip(*cells, strict=True), strict=True))


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
    if (np.abs(fees) > MOST_BPS).any():
        raise SchemaError(f"taker_bps of {fees[np.argmax(np.abs(fees))]:g}: basis points are expected, 10 for 0.1 %")
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
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
) -> pd.DataFrame:
    """Pair every ask with every other venue's bid of the same group: the funnel, rejected rows kept.

    `tickers` needs `exchange`, `bid` and `ask`, `group` or `base` and `kind`; `bid_size` and `ask_size` bound the
    quantity, `age_ms`, `halted`, `high` and `low` count where present. Rows of one group in different currencies
    are rejected, not compared. Returns one row per ordered pair, best net edge first: prices, `net_bps` after the
    taker fees of both legs (twice for derivatives), quantity at the touch, profits. `executable` is True where no
    gate stops it, else `gate` is the first that does and `reasons` are all; both are absent (NA) where none does.

    The gate `identity` stops what may not be the same asset: a gross edge beyond `suspect_edge` (a fraction; less
    where `usual_bps`, the pair's usual dispersion, is given), and every pair with a row that `pricing.aggregate`
    would not trust, so with two venues that are more than `max_disagree` apart none.
    """
    schema.check(tickers, ("exchange", "bid", "ask"), "arbitrage.scan")
    if "group" not in tickers.columns:
        schema.check(tickers, ("base",), "arbitrage.scan")
    if not (suspect_edge > 0 and 0 < max_disagree < 1):
        raise ConfigError(f"suspect_edge {suspect_edge!r} and max_disagree {max_disagree!r} are fractions above 0")
    columns = schema.columns_of(tickers)
    low, high = _pairs(columns)
    strangers, limits = _strangers(columns, max_age_s, suspect_edge, max_disagree, usual_bps)
    edge = numbers(columns, "bid")[high] / numbers(columns, "ask")[low] - 1
    other_asset = strangers[low] | strangers[high] | (np.abs(edge) > np.minimum(limits, suspect_edge)[low])
    return schema.frame(_funnel(columns, low, high, taker_bps, max_age_s, other_asset), "opportunities")


def row_gates(
    columns: Columns, max_age_s: float, suspect_edge: float, max_disagree: float, usual_bps: UsualBps
) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return by gate which rows nobody should trade on, whatever the rest of the trade is."""
    check_max_age(max_age_s)
    quoted = (numbers(columns, "bid") > 0) & (numbers(columns, "ask") > 0)
    measured = np.array([source not in {"", "identity"} for source in texts(columns, "fx_source")], dtype=np.bool_)
    return {
        "identity": _strangers(columns, max_age_s, suspect_edge, max_disagree, usual_bps)[0],
        "market_state": ~quoted | _unusable(columns),
        "freshness": ages_ms(columns) > 1e3 * max_age_s,
        "currency": measured,
    }


def _strangers(
    columns: Columns, max_age_s: float, suspect_edge: float, max_disagree: float, usual_bps: UsualBps
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], Floats]:
    """Return which rows are not to be trusted, and how far from its group's median each may be."""
    keys = list(zip(texts(columns, "group"), texts(columns, "currency"), strict=True))
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    groups = np.array([order[key] for key in keys], dtype=np.intp)
    limits = suspect_limits([group for group, _ in order], usual_bps, max(suspect_edge, max_disagree))
    verdict = verdicts(columns, max_age_s=max_age_s)
    found = identities(
        columns, verdict, mids(columns), Scatter(groups, len(order)),
        limits=limits, max_disagree=max_disagree, max_age_s=max_age_s,
    )  # fmt: skip
    return np.asarray(found.reasons != "", dtype=bool), limits[groups]


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
    other_asset: np.ndarray[Any, np.dtype[np.bool_]],
) -> Columns:
    check_max_age(max_age_s)
    kinds = np.array(texts(columns, "kind", "spot"), dtype=object)
    sides = np.array([fee_sides(kind) for kind in kinds])
    fees = taker_fees(columns, taker_bps) * sides
    ask, bid = numbers(columns, "ask")[low], numbers(columns, "bid")[high]
    ages, unusable = ages_ms(columns), _unusable(columns)
    currency = np.array(texts(columns, "currency"), dtype=object)
    sizes = np.fmin(numbers(columns, "ask_size")[low], numbers(columns, "bid_size")[high])
    sigma = parkinson_sigma_bps(numbers(columns, "high"), numbers(columns, "low"))
    drift = haircut_bps(np.fmax(sigma[low], sigma[high]), ages[low], ages[high])
    net = bid * (1 - fees[high]) - ask * (1 + fees[low])
    net_bps, gross = 1e4 * net / ask, bid / ask - 1
    same = currency[low] == currency[high]
    stopped = {
        "identity": same & other_asset,
        "market_state": unusable[low] | unusable[high],
        "freshness": np.maximum(ages[low], ages[high]) > 1e3 * max_age_s,
        "currency": ~same | _converted_apart(columns, low, high),
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


def _converted_apart(
    columns: Columns, low: np.ndarray[Any, Any], high: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which pairs quote in different currencies and were brought to one by a rate that nobody trades at."""
    quotes = np.array(texts(columns, "quote"), dtype=object)
    measured = np.array([source not in {"", "identity"} for source in texts(columns, "fx_source")], dtype=bool)
    apart = np.array(quotes[low] != quotes[high], dtype=np.bool_)
    converted = np.array(measured[low] | measured[high], dtype=np.bool_)
    return apart & converted


def _unusable(columns: Columns) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which rows nobody can trade on: halted, bid above ask, or far apart."""
    bid, ask = numbers(columns, "bid"), numbers(columns, "ask")
    with np.errstate(invalid="ignore", divide="ignore"):
        return flags(columns, "halted") | (bid >= ask) | ((ask - bid) / ((ask + bid) / 2) > MAX_SPREAD)


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
