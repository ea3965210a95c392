"""One price from several venues, how far they are apart, and both over time.

The default method, `robust`, centres on the median (equal weights, so that claimed volume buys no influence
over what counts as an outlier), drops what is far from it, and weighs the rest by the square root of volume and
by age, no venue above 40 %. Sources: median centring and MAD rejection as in CoinGecko's aggregation, clamping
and caps as in the Binance, OKX and Deribit index rules.

First of all, rows that may be another asset are left out of every figure: `suspect` beyond 3 % from the median of the
valid mids (less where the pair's usual dispersion is given), `unit_error` at a power of ten from it, all of them where
no strict majority lies within `max_disagree` of one another, and then the price is NaN.

With p the mids of the others and m their median: kept is |p − m| ≤ max(3.5 · 1.4826 · median|p − m|, 10 bps · m); the
price is Σ w·p over the kept, w ∝ √(24 h quote volume) · e^(−age / 5 s), each w ≤ 40 %, equal for one or two; the
dispersion is √(Σ w·(p − price)²).

Other methods, each with its parameters, are in `docs/estimators.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xex.analytics import fixings
from xex.analytics.dispersion import gaps, pairwise
from xex.analytics.estimators import ESTIMATORS, check_method
from xex.analytics.evaluation import Evaluation, evaluate
from xex.analytics.fixings import brti, vwm_trades
from xex.analytics.history import depeg, series
from xex.analytics.quality import MAX_AGE_S, MAX_DISAGREE, UsualBps
from xex.model import schema
from xex.model.schema import Columns, texts

if TYPE_CHECKING:
    import pandas as pd

METHODS = (*ESTIMATORS, *fixings.FIXINGS)


def aggregate(
    tickers: pd.DataFrame,
    method: str = "robust",
    *,
    max_age_s: float | None = None,
    max_disagree: float | None = None,
    usual_bps: UsualBps = None,
    sigma: UsualBps = None,
    **parameters: Any,
) -> pd.DataFrame:
    """Aggregate quotes to one row per group and currency.

    `tickers` needs `exchange`, `bid` and `ask` (quote currency per base unit), `group` or `base` and `kind`,
    `currency` or `quote`; `last`, `quote_volume`, `age_ms`, `time_source`, `halted`, `high`, `low` count where present.
    Returns `price` (NaN with the flag `no_data`, `disagree` or `no_volume`), `price_variance` (a standard deviation in
    the currency, NaN below two venues) and its square, `dispersion_bps`, `range_bps` and `mad_bps` over all valid
    venues that are surely the same asset, `arb_index` (their highest bid over their lowest ask), `n_asked`, `n_used`,
    `flags` (`duplicates` where a row repeats another of the same market: the youngest counts). `dispersion_z` is
    `price_variance` in units of √(mean half spread² + (σ·price)² · mean |age − age|): above 3 the venues are apart,
    not merely asked at different moments; σ, the volatility of one second as a fraction, is
    `sigma`, a number or by group, else ln(high / low) / √(4 ln 2 · 86400 s), the venues' median; NaN without either.

    Methods and their `parameters`: robust (cap, tau_s, mads, floor_bps), median, vwap, clamp (x, weights), mad_vwap
    and principal_market (mads, floor_bps). The frame of "brti" holds books and that of "vwm_trades" trades, see there.
    `max_age_s` (10 s; 30 s for books) and `max_disagree` (1 %; 10 % for trades of an hour) are the method's where they
    are None. `usual_bps` is the pair's usual dispersion, a number or by group: ten times that, between 50 bps and 3 %,
    takes the place of the 3 % beyond which a row is suspect. Raises `ConfigError` for a parameter that the method does
    not have or a value that is none, `SchemaError` for a frame without the columns.
    """
    found = _evaluated(tickers, method, max_age_s, max_disagree, usual_bps, sigma, parameters, "pricing.aggregate")[1]
    return schema.frame(found.totals, "aggregate")


def contributions(
    tickers: pd.DataFrame,
    method: str = "robust",
    *,
    max_age_s: float | None = None,
    max_disagree: float | None = None,
    usual_bps: UsualBps = None,
    **parameters: Any,
) -> pd.DataFrame:
    """Return what each venue contributed to `aggregate`: `price`, `weight`, `age_ms`, `excluded_reason`.

    Weights are fractions that add up to 1 where there is a price. For "brti" a venue's price is its mid and its weight
    its share of the capped sizes; for "vwm_trades" its volume-weighted median and its share of the volume used.
    """
    what = "pricing.contributions"
    columns, found = _evaluated(tickers, method, max_age_s, max_disagree, usual_bps, None, parameters, what)
    return schema.frame(
        {
            "exchange": texts(columns, "exchange"), "group": texts(columns, "group"),
            "currency": texts(columns, "currency"), "price": found.price, "weight": found.weight,
            "age_ms": found.age_ms, "excluded_reason": found.reason,
        },
        "contributions",
    )  # fmt: skip


def _evaluated(
    data: pd.DataFrame,
    method: str,
    max_age_s: float | None,
    max_disagree: float | None,
    usual_bps: UsualBps,
    sigma: UsualBps,
    parameters: dict[str, Any],
    what: str,
) -> tuple[Columns, Evaluation]:
    """Return one row per venue and what was found, by whatever method."""
    check_method(method, METHODS)
    options = {"max_age_s": max_age_s, "max_disagree": max_disagree, "usual_bps": usual_bps, "sigma": sigma}
    if method in fixings.FIXINGS:
        given = {name: value for name, value in options.items() if value is not None}
        return fixings.evaluated(data, method, given | parameters, f"{what} by {method!r}")
    columns = schema.quotes_of(data, what)
    found = evaluate(
        columns,
        method=method,
        max_age_s=MAX_AGE_S if max_age_s is None else max_age_s,
        max_disagree=MAX_DISAGREE if max_disagree is None else max_disagree,
        usual_bps=usual_bps,
        sigma=sigma,
        parameters=parameters,
    )
    return columns, found


__all__ = [
    "METHODS", "Evaluation", "aggregate", "brti", "contributions", "depeg", "evaluate", "gaps", "pairwise", "series",
    "vwm_trades",
]  # fmt: skip
