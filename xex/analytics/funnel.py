"""The funnel: every ask beside every other venue's bid of the same group, and the gate at which each pair ends.

All pairs of all groups at once, by row numbers; a pair is what two rows make of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xex.analytics.evaluation import Places
from xex.analytics.gates import (
    Flags,
    Thresholds,
    all_gates,
    first_gate,
    haircut_bps,
    insignificant,
    noise_alone,
    parkinson_sigma_bps,
)
from xex.analytics.quality import (
    MAX_SPREAD,
    Floats,
    Scatter,
    UsualBps,
    ages_ms,
    by_group,
    check_max_age,
    duplicates,
    identities,
    medians,
    mids,
    suspect_limits,
    verdicts,
)
from xex.errors import ConfigError, SchemaError
from xex.model import schema
from xex.model.schema import Columns, Text, Words, coded, flags, length, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

TakerBps = Any
"""A number, a Series by exchange, a dict by exchange or by (venue, kind), or None for the frame's own column."""
Rows = np.ndarray[Any, np.dtype[np.intp]]

MOST_BPS = 1_000.0


def fee_sides(kind: str) -> int:
    """Return how often a leg pays its fee: derivatives pay to get in and to get out."""
    return 1 if kind == "spot" else 2


def taker_fees(columns: Columns, taker_bps: TakerBps, *, all_known: bool = True) -> Floats:
    """Return each row's taker fee as a fraction of notional; NaN in the frame's own column where it may be unknown."""
    if taker_bps is None:
        if "taker_bps" not in columns:
            raise SchemaError("taker_bps is needed: an argument, or a column of the frame")
        fees = numbers(columns, "taker_bps")
    elif isinstance(taker_bps, str) or not (isinstance(taker_bps, (int, float)) or hasattr(taker_bps, "items")):
        raise SchemaError(f"taker_bps is a number, a dict or a Series of basis points, not {taker_bps!r}")
    elif isinstance(taker_bps, (int, float)):
        fees = np.full(length(columns), float(taker_bps))
    else:
        given: Mapping[Any, float] = taker_bps if isinstance(taker_bps, Mapping) else dict(taker_bps.items())
        keys = zip(texts(columns, "exchange"), texts(columns, "venue"), texts(columns, "kind", "spot"), strict=True)
        fees = np.array([_fee(given, exchange, venue or exchange, kind) for exchange, venue, kind in keys])
    if (all_known or taker_bps is not None) and np.isnan(fees).any():
        missing = sorted({name for name, fee in zip(texts(columns, "exchange"), fees, strict=True) if fee != fee})
        raise SchemaError(f"no taker_bps for {', '.join(missing)}")
    if (np.abs(fees) > MOST_BPS).any():
        worst = fees[np.argmax(np.abs(np.nan_to_num(fees)))]
        raise SchemaError(f"taker_bps of {worst:g}: basis points are expected, 10 for 0.1 %")
    return fees / 1e4


def _fee(given: Mapping[Any, float], exchange: str, venue: str, kind: str) -> float:
    for key in ((venue, kind), (exchange, kind), exchange, venue):
        if key in given:
            return float(given[key])
    return float("nan")


@dataclass(frozen=True, slots=True)
class Quotes:
    """Rows as the funnel needs them: an entry per row, text as codes."""

    columns: Columns
    places: Places
    names: list[str]
    exchange: Rows
    kind: Rows
    spot: Flags
    currency: Rows
    bid: Floats
    ask: Floats
    fee: Floats
    age_ms: Floats
    sigma_bps: Floats

    @classmethod
    def of(cls, columns: Columns, taker_bps: TakerBps, sigma: UsualBps) -> Quotes:
        """Read what a frame of tickers says."""
        places = Places.of(columns)
        names, exchange = coded(columns, "exchange")
        kinds, kind = coded(columns, "kind")
        sides = np.array([fee_sides(one or "spot") for one in kinds], dtype=np.float64)
        spot = np.array([(one or "spot") == "spot" for one in kinds], dtype=bool)
        return cls(
            columns, places, names, exchange, kind, spot[kind] if len(kind) else spot[:0],
            coded(columns, "currency")[1], numbers(columns, "bid"), numbers(columns, "ask"),
            taker_fees(columns, taker_bps, all_known=False) * (sides[kind] if len(kind) else 1.0),
            ages_ms(columns), _sigma_bps(columns, sigma),
        )  # fmt: skip


def _sigma_bps(columns: Columns, sigma: UsualBps) -> Floats:
    """Return the volatility of a second of each row's group: the caller's, else the median of the venues' day ranges.

    In a frame that tells ranges a group without one is taken to be as lively as the liveliest twentieth: what is not
    known of it must not let it pass.
    """
    groups, group = coded(columns, "group")
    if sigma is not None:
        told = by_group(sigma, groups, "sigma is a number, a dict or a Series of fractions by group")
        if (told < 0).any():
            raise ConfigError(f"sigma cannot be negative: {np.nanmin(told):g}")
        return np.asarray(1e4 * told[group]) if len(groups) else np.zeros(0)
    high, low = numbers(columns, "high"), numbers(columns, "low")
    with np.errstate(invalid="ignore"):
        ranged = parkinson_sigma_bps(high, low)
        ranged = np.where((low > 0) & (high >= low) & np.isfinite(ranged), ranged, np.nan)
    if not np.isfinite(ranged).any():
        return np.full(length(columns), np.nan)
    grid = Scatter(group, len(groups)).out(ranged)
    middle = medians(np.sort(grid, axis=1), np.isfinite(grid).sum(axis=1))
    return np.asarray(np.where(np.isfinite(middle), middle, np.nanquantile(middle, 0.95))[group])


def by_venue(columns: Columns) -> Columns:
    """Return columns whose `exchange` is the `venue` where that is told: two exchanges may be configurations of one."""
    if "venue" not in columns:
        return columns
    (venues, venue), (exchanges, exchange) = coded(columns, "venue"), coded(columns, "exchange")
    words = {word: code for code, word in enumerate(dict.fromkeys([*exchanges, *venues]))}
    told = np.array([words[word] if word else -1 for word in venues], dtype=np.intp)[venue]
    named = np.array([words[word] for word in exchanges], dtype=np.intp)[exchange]
    return columns | {"exchange": Text(Words([*words]), np.where(told < 0, named, told))}


def pairs(columns: Columns) -> tuple[Rows, Rows]:
    """Return the row numbers of every ordered pair of different venues in the same group, both quoted."""
    rows = np.flatnonzero((numbers(columns, "bid") > 0) & (numbers(columns, "ask") > 0))
    words, group = coded(columns, "group")
    group = group[rows]
    order = np.argsort(group, kind="stable")
    rows, group = rows[order], group[order]
    starts = np.searchsorted(group, group)
    counts = np.bincount(group, minlength=len(words))[group] if len(rows) else np.zeros(0, dtype=np.intp)
    first = np.repeat(np.arange(len(rows)), counts)
    second = starts[first] + np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    low, high = rows[first], rows[second]
    different = np.ones(len(low), dtype=bool)
    for one in (columns, by_venue(columns)):
        own = coded(one, "exchange")[1]
        different &= own[low] != own[high]
    return low[different], high[different]


def strangers(
    columns: Columns, places: Places, max_age_s: float, suspect_edge: float, max_disagree: float, usual_bps: UsualBps
) -> tuple[Flags, Floats]:
    """Return which rows are not to be trusted, and how far from its group's median each may be."""
    limits = suspect_limits(places.groups, usual_bps, max(suspect_edge, max_disagree))
    verdict = verdicts(columns, max_age_s=max_age_s)
    verdict[duplicates(columns, places.of_rows)] = "duplicate"
    found = identities(
        columns, verdict, mids(columns), Scatter(places.of_rows, len(places)),
        limits=limits, max_disagree=max_disagree, max_age_s=max_age_s,
    )  # fmt: skip
    return np.asarray(found.reasons != "", dtype=bool), limits[places.of_rows] if len(limits) else limits


def converted_apart(columns: Columns, low: Rows, high: Rows) -> Flags:
    """Return which pairs quote in different currencies and were brought to one by a rate that nobody trades at."""
    quote = coded(columns, "quote")[1]
    words, source = coded(columns, "fx_source")
    measured = np.array([word not in {"", "identity"} for word in words], dtype=bool)[source]
    return np.asarray((quote[low] != quote[high]) & (measured[low] | measured[high]), dtype=bool)


def unusable(columns: Columns, places: Places) -> Flags:
    """Return which rows nobody can trade on: halted, bid above ask, far apart, or said again by a younger one."""
    bid, ask = numbers(columns, "bid"), numbers(columns, "ask")
    with np.errstate(invalid="ignore", divide="ignore"):
        broken = (bid >= ask) | ((ask - bid) / ((ask + bid) / 2) > MAX_SPREAD)
    return flags(columns, "halted") | broken | duplicates(columns, places.of_rows)


def row_gates(
    columns: Columns, max_age_s: float, suspect_edge: float, max_disagree: float, usual_bps: UsualBps
) -> dict[str, Flags]:
    """Return by gate which rows nobody should trade on, whatever the rest of the trade is."""
    check_max_age(max_age_s)
    places, columns = Places.of(columns), by_venue(columns)
    quoted = (numbers(columns, "bid") > 0) & (numbers(columns, "ask") > 0)
    words, source = coded(columns, "fx_source")
    measured = np.array([word not in {"", "identity"} for word in words], dtype=bool)
    return {
        "identity": strangers(columns, places, max_age_s, suspect_edge, max_disagree, usual_bps)[0],
        "market_state": ~quoted | unusable(columns, places),
        "freshness": ages_ms(columns) > 1e3 * max_age_s,
        "currency": measured[source] if len(source) else measured,
    }


@dataclass(frozen=True, slots=True)
class Moves:
    """How each pair's coins could be moved from where they are bought to where they are sold."""

    state: Text
    network: Text
    minutes: Floats
    fee: Floats
    least: Floats

    @classmethod
    def of(cls, quotes: Quotes, routes: pd.DataFrame | None, low: Rows, high: Rows) -> Moves:
        """Find each pair's route; contracts have none, and without `routes` nothing is known."""
        if routes is None:
            unknown, nobody = Text.same("unknown", len(low)), np.full(len(low), np.nan)
            return cls(unknown, Text.same("", len(low)), nobody, nobody, nobody)
        schema.check(routes, ("asset", "exchange_from", "exchange_to", "state"), "routes")
        told = schema.columns_of(routes)
        ends = (texts(told, name) for name in ("asset", "exchange_from", "exchange_to"))
        fee, minutes = known_cost(numbers(told, "withdraw_fee")), known_cost(numbers(told, "minutes", 0.0))
        untold, ranks = np.isnan(fee) | np.isnan(minutes), np.array(_ranks(texts(told, "state")))
        ranked = np.lexsort((np.nan_to_num(fee, nan=np.inf), untold, ranks))
        keys = list(zip(*ends, strict=True))
        best: dict[tuple[str, str, str], int] = {}
        for row in ranked.tolist():
            best.setdefault(keys[row], row)
        bases, base = coded(quotes.columns, "base")
        assets, names = ({name: code for code, name in enumerate(words)} for words in (bases, quotes.names))
        width = len(names)
        places = {
            (assets[asset] * width + names[one]) * width + names[other]: row
            for (asset, one, other), row in best.items()
            if asset in assets and one in names and other in names
        }
        known = np.array(sorted(places), dtype=np.intp)
        rows = np.array([places[key] for key in known.tolist()] + [-1], dtype=np.intp)
        triple = (base[low] * width + quotes.exchange[low]) * width + quotes.exchange[high]
        at = np.searchsorted(known, triple)
        hit = np.isin(triple, known) & quotes.spot[low]
        row = rows[np.where(hit, at, len(known))]
        return cls(
            Text(Words([*texts(told, "state"), "unknown"]), np.where(row < 0, len(keys), row)),
            Text(Words([*texts(told, "network"), ""]), np.where(row < 0, len(keys), row)),
            *(np.append(cells, np.nan)[row] for cells in (minutes, fee, numbers(told, "withdraw_min"))),
        )  # fmt: skip

    @property
    def open(self) -> Flags:
        """Which routes are known to be open, at a known price and for a known time."""
        words = np.array([word == "open" for word in self.state.words.texts], dtype=bool)
        return np.asarray(words[self.state.codes] & np.isfinite(self.fee) & np.isfinite(self.minutes), dtype=bool)


def known_cost(values: Floats) -> Floats:
    """Return what is paid or waited; below 0 it is no cost, and as good as not told."""
    return np.where(values >= 0, values, np.nan)


def _ranks(states: list[str]) -> list[int]:
    return [0 if state == "open" else 1 if state == "closed" else 2 for state in states]


def carried(quotes: Quotes, funding: pd.DataFrame | None, low: Rows, high: Rows) -> Floats:
    """Return what the pair earns a day by funding, a fraction of notional: short where it is dear, long where cheap.

    That is 24 · (rate / hours of the dear one − rate / hours of the cheap one), each by its own interval; NaN where
    nobody knows.
    """
    if funding is None:
        return np.full(len(low), np.nan)
    schema.check(funding, ("exchange", "rate", "interval_hours"), "funding")
    told = schema.columns_of(funding)
    if "instrument" not in told or "instrument" not in quotes.columns:
        schema.check(funding, ("base",) if "group" not in funding.columns else (), "funding")
        key = "group"
    else:
        key = "instrument"
    daily = 24.0 * numbers(told, "rate") / numbers(told, "interval_hours")
    names = zip(texts(told, "exchange"), texts(told, key), strict=True)
    known = dict(zip(names, daily.tolist(), strict=True))
    rows = zip(texts(quotes.columns, "exchange"), texts(quotes.columns, key), strict=True)
    mine = np.array([known.get(row, np.nan) for row in rows], dtype=np.float64)
    return np.where(quotes.spot[low], np.nan, mine[high] - mine[low])


class Funnel(NamedTuple):
    """Every pair as columns of opportunities, and the rows of the quotes that it is made of."""

    columns: Columns
    low: Rows
    high: Rows


def funnel(
    columns: Columns,
    limits: Thresholds,
    *,
    taker_bps: TakerBps = None,
    suspect_edge: float,
    max_disagree: float,
    usual_bps: UsualBps = None,
    sigma: UsualBps = None,
    routes: pd.DataFrame | None = None,
    funding: pd.DataFrame | None = None,
) -> Funnel:
    """Return every pair with the gates that stop it, the executable first, then by net edge."""
    quotes = Quotes.of(columns, taker_bps, sigma)
    low, high = pairs(columns)
    owned = by_venue(columns)
    stranger, apart = strangers(owned, quotes.places, limits.max_age_s, suspect_edge, max_disagree, usual_bps)
    closed = unusable(owned, quotes.places)
    ask, bid = quotes.ask[low], quotes.bid[high]
    age = np.maximum(quotes.age_ms[low], quotes.age_ms[high])
    moves = Moves.of(quotes, routes, low, high)
    moving = limits.mode == "transfer"
    waits = limits.tau_s + (60.0 * np.nan_to_num(moves.minutes) if moving else 0.0)
    sigma_bps = quotes.sigma_bps[low]
    drift = haircut_bps(sigma_bps, quotes.age_ms[low], quotes.age_ms[high], limits.z, waits)
    quantity = np.minimum(numbers(columns, "ask_size")[low], numbers(columns, "bid_size")[high])
    quantity = np.where(quantity > 0, quantity, np.nan)
    net = bid * (1 - quotes.fee[high]) - ask * (1 + quotes.fee[low])
    lost = np.nan_to_num(moves.fee) * bid if moving else np.zeros(len(low))
    with np.errstate(invalid="ignore", divide="ignore"):
        net_bps, gross = 1e4 * net / ask, bid / ask - 1
        earned = quantity * net - lost
        earned_pct = np.where(np.isfinite(quantity), 100 * earned / (quantity * ask), 100 * net / ask)
    same = quotes.currency[low] == quotes.currency[high]
    stopped: dict[str, Flags] = {
        "identity": same & (stranger[low] | stranger[high] | (np.abs(gross) > np.minimum(apart, suspect_edge)[low])),
        "market_state": closed[low] | closed[high],
        "kind": quotes.kind[low] != quotes.kind[high],
        "freshness": age > 1e3 * limits.max_age_s,
        "currency": ~same | converted_apart(columns, low, high),
        "fees": same & ~(earned_pct > limits.min_profit_pct),
        "depth": ~(quantity * ask >= max(limits.min_notional, 1e-300)),
        "haircut": limits.haircut & (net_bps <= drift) & np.isfinite(sigma_bps),
        "transfer": moving & (~moves.open | (quantity < moves.least)),
    }
    chance = np.full(len(low), np.nan)
    if limits.haircut:
        barred = stopped["identity"] | stopped["market_state"] | stopped["kind"] | stopped["freshness"]
        left = np.flatnonzero(first_gate(stopped) < 0)
        chance[left] = noise_alone(net_bps[left], drift[left] / limits.z)
        doubtful = np.zeros(len(low), dtype=bool)
        doubtful[left] = insignificant(chance[left], _differences(quotes, low[~barred]), limits.false_share)
        stopped = _after(stopped, "haircut", "significance", doubtful)
    place = first_gate(stopped)
    # Sorted as row numbers, before there are columns.
    order = np.lexsort((-net_bps, 2 * ~same + (place >= 0)))
    low, high, place = low[order], high[order], place[order]
    ask, bid, net, same = quotes.ask[low], quotes.bid[high], net[order], same[order]
    quantity = quantity[order]

    def known(values: Floats) -> Floats:
        """Return values in the order of the rows; between two currencies they mean nothing."""
        return np.where(same, values, np.nan)

    found: Columns = {
        "symbol": _picked(columns, "instrument" if "instrument" in columns else "group", low),
        "group": _picked(columns, "group", low),
        "trade": Text(Words(["spread", "arbitrage"]), quotes.spot[low].astype(np.intp)),
        "exchange_low": Text(Words(quotes.names), quotes.exchange[low]),
        "exchange_high": Text(Words(quotes.names), quotes.exchange[high]),
        "price_low": ask, "price_high": bid, "price_difference": known(bid - ask),
        "price_difference_pct": known(100 * gross[order]), "net_bps": known(net_bps[order]),
        "gross_profit": known(quantity * (bid - ask)), "net_profit": known(earned[order]),
        "net_profit_pct": known(earned_pct[order]), "quantity": quantity, "notional": quantity * ask,
        "fees": known(quantity * (bid - ask - net) + lost[order]),
        "currency": _picked(columns, "currency", low), "fx_rate": np.where(same, 1.0, np.nan),
        "age_ms": age[order], "haircut_bps": np.where(np.isfinite(quotes.sigma_bps[low]), drift[order], np.nan),
        "chance": chance[order], "funding_per_day": carried(quotes, funding, low, high),
        "mode": Text.same(limits.mode, len(low)), "transfer": moves.state[order], "network": moves.network[order],
        "transfer_minutes": moves.minutes[order], "sized_by": Text.same("quotes", len(low)), "executable": place < 0,
        "gate": Text(Words([*stopped, ""]), np.where(place < 0, len(stopped), place)),
        "reasons": all_gates(stopped)[order],
    }  # fmt: skip
    return Funnel(found, low, high)


def _differences(quotes: Quotes, compared: Rows) -> int:
    """Return how many independent differences there are among the quotes that were compared: n − 1 of n in a group."""
    rows = np.unique(compared)
    return len(rows) - len(np.unique(quotes.places.of_rows[rows]))


def _after(stopped: Mapping[str, Flags], gate: str, new: str, hit: Flags) -> dict[str, Flags]:
    """Return the gates with one more, behind another."""
    told: dict[str, Flags] = {}
    for name, rows in stopped.items():
        told[name] = rows
        if name == gate:
            told[new] = hit
    return told


def _picked(columns: Columns, name: str, rows: Rows) -> Text:
    words, codes = coded(columns, name)
    return Text(Words(words), codes[rows])


__all__ = [
    "MOST_BPS", "Funnel", "Moves", "Quotes", "TakerBps", "by_venue", "carried", "converted_apart", "fee_sides",
    "funnel", "pairs", "row_gates", "strangers", "taker_fees", "unusable",
]  # fmt: skip
