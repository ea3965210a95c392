"""Where a price difference survives fees, depth, lots and age.

Buying walks up one venue's asks while another's bids, both after fees, still pay more; the optimum is where the
marginal edge is zero. Of the same spot asset that is an arbitrage: each leg pays its taker fee once. Of
derivatives it is a spread: it pays when the two converge, so entry and exit fees are charged on both legs, four
in all, at the entry prices. Nothing is thrown away: rejected rows name the gate that stopped them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.cycles import cycles
from xex.analytics.funding import carry
from xex.analytics.funnel import TakerBps, fee_sides, funnel, taker_fees
from xex.analytics.gates import (
    FALSE_SHARE,
    GATES,
    HAIRCUT_Z,
    MODES,
    Thresholds,
    haircut_bps,
    parkinson_sigma_bps,
)
from xex.analytics.lifetimes import Lifetimes
from xex.analytics.merged import RULES, cleared, leg_rows
from xex.analytics.quality import MAX_AGE_S, MAX_DISAGREE, SUSPECT, UsualBps
from xex.analytics.routes import best_routes, routes
from xex.analytics.transport import transport
from xex.errors import ConfigError
from xex.model import schema

if TYPE_CHECKING:
    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]
SUSPECT_EDGE = SUSPECT


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

    Taken at its word, a book that pays is out of line, so only what no market can be is left out: a book whose middle
    is more than half away from the others' (`identity`), one that says `halted` (`market_state`), one older by its
    `age_ms` than 10 s (`freshness`). ``attrs["left_out"]`` has these exchanges, each with its group and gates; `scan`
    and the manager's questions look more closely.
    """
    found_in, left_out = cleared(books, taker_bps, rules, "arbitrage.depth")
    rows = [
        {
            "group": group, "currency": currency, "quantity": found.quantity, "gross_profit": found.gross_profit,
            "net_profit": found.net_profit, "notional": found.notional,
            "fees": found.fees, "clearing_price": found.price, "gate": found.gate,
        }
        for group, currency, _, found in found_in
    ]  # fmt: skip
    frame = schema.frame({name: [row[name] for row in rows] for name in schema.SCHEMAS["depth"]}, "depth")
    frame.attrs["left_out"] = left_out
    return frame


def legs(books: pd.DataFrame, *, taker_bps: TakerBps = None, rules: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what the optimum of `depth` buys and sells where: one row per group, exchange and side that takes part.

    `side` is "buy" or "sell", `price` the mean before fees, `worst_price` the last level touched, `notional` and
    `fees` in the group's currency. Input and ``attrs["left_out"]`` as in `depth`.
    """
    found_in, left_out = cleared(books, taker_bps, rules, "arbitrage.legs")
    rows = [
        {"group": group, "currency": currency, **row}
        for group, currency, parts, found in found_in
        for row in leg_rows(parts, found)
    ]
    frame = schema.frame({name: [row[name] for row in rows] for name in schema.SCHEMAS["legs"]}, "legs")
    frame.attrs["left_out"] = left_out
    return frame


def scan(
    tickers: pd.DataFrame,
    *,
    taker_bps: TakerBps = None,
    min_profit_pct: float = 0.0,
    min_notional: float = 0.0,
    max_age_s: float = MAX_AGE_S,
    z: float = HAIRCUT_Z,
    tau_s: float = 0.0,
    sigma: UsualBps = None,
    false_share: float = FALSE_SHARE,
    haircut: bool = True,
    suspect_edge: float = SUSPECT_EDGE,
    max_disagree: float = MAX_DISAGREE,
    usual_bps: UsualBps = None,
    mode: str = "inventory",
    routes: pd.DataFrame | None = None,
    funding: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Pair every ask with every other venue's bid of the same group: the funnel, rejected rows kept.

    `tickers` needs `exchange`, `bid` and `ask`, `group` or `base` and `kind`; `bid_size` and `ask_size` bound the
    quantity, `age_ms`, `halted`, `high` and `low` count where present. Rows of one group in different currencies
    are rejected, not compared. Returns one row per ordered pair, the executable first, then by net edge: prices,
    `net_bps` after the taker fees of both legs (twice for derivatives, which is a "spread" and not an "arbitrage"),
    quantity at the touch, profits. `executable` is True where no gate stops it, else `gate` is the first of `GATES`
    that does and `reasons` are all; both are absent (NA) where none does.

    Thresholds are those of `Thresholds`. `sigma` is the volatility of one second as a fraction, a number or by group,
    else ln(high / low) / √(4 ln 2 · 86400), the venues' median, and of a group without a range that of the liveliest
    twentieth; where no row has a range `haircut_bps` is NaN and that gate stops nothing. `chance` is that of noise
    alone showing such an edge, for what no earlier gate stops. `routes` are those of `arbitrage.routes`: in `mode`
    "transfer" the fixed fee of the cheapest open one is paid and the time it takes is part of the haircut. With
    `funding` (`exchange`, `instrument` or `group`, `rate`, `interval_hours`) `funding_per_day` is what the pair earns a
    day, as a fraction of notional.

    The gate `identity` stops what may not be the same asset: a gross edge beyond `suspect_edge` (a fraction; less
    where `usual_bps`, the pair's usual dispersion, is given), and every pair with a row that `pricing.aggregate`
    would not trust, so with two venues that are more than `max_disagree` apart none.
    """
    schema.check(tickers, ("exchange", "bid", "ask"), "arbitrage.scan")
    if "group" not in tickers.columns:
        schema.check(tickers, ("base",), "arbitrage.scan")
    if not (suspect_edge > 0 and 0 < max_disagree < 1):
        raise ConfigError(f"suspect_edge {suspect_edge!r} and max_disagree {max_disagree!r} are fractions above 0")
    limits = Thresholds(
        min_profit_pct=min_profit_pct, min_notional=min_notional, max_age_s=max_age_s, z=z, tau_s=tau_s,
        false_share=false_share, haircut=haircut, mode=mode,
    )  # fmt: skip
    found = funnel(
        schema.columns_of(tickers), limits, taker_bps=taker_bps, suspect_edge=suspect_edge, max_disagree=max_disagree,
        usual_bps=usual_bps, sigma=sigma, routes=routes, funding=funding,
    )  # fmt: skip
    return schema.frame(found.columns, "opportunities")


__all__ = [
    "GATES",
    "MODES",
    "RULES",
    "SUSPECT_EDGE",
    "Lifetimes",
    "Thresholds",
    "best_routes",
    "carry",
    "cycles",
    "depth",
    "fee_sides",
    "haircut_bps",
    "leg_rows",
    "legs",
    "parkinson_sigma_bps",
    "routes",
    "scan",
    "taker_fees",
    "transport",
]
