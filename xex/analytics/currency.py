"""Exchange rates among dollars: USD, USDT, USDC are three currencies.

A rate never uses the asset that is being priced: a premium of BTC on one venue must stay visible in the
converted price of BTC. Sources, each worth one vote: direct books (USDT/USD), the ratios of other assets'
spot prices in both currencies, and the same over linear perpetuals, each pooled by the median. The rate is the
median of the votes: one bad source cannot move it, a real depeg moves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from statistics import median

import numpy as np

from xex.analytics.quality import MAX_AGE_S, ages_ms, mids, verdicts
from xex.model.instruments import STABLE, USD_LIKE
from xex.model.schema import Columns, length, numbers, texts

MAX_DISAGREE = 0.01
_ORDER = {"USD": 0, "USDT": 1, "USDC": 2, "FDUSD": 3}
RATIO_BASES = ("ETH", "BTC", "SOL", "XRP", "DOGE", "LTC", "ADA")


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of `target` per one `source`; NaN when there is none, `why` then says so."""

    source: str
    target: str
    rate: float
    sources: str = ""
    age_ms: float = nan
    why: str = ""


@dataclass(frozen=True, slots=True)
class Executable:
    """The top of the direct books: what one `source` is sold and bought for, in `target`."""

    bid: float
    ask: float
    bid_size: float
    ask_size: float


def canonical(first: str, second: str) -> tuple[str, str]:
    """Return the pair as markets quote it, the stable coin in dollars.

    >>> canonical("USD", "USDT"), canonical("USDC", "USDT")
    (('USDT', 'USD'), ('USDC', 'USDT'))
    """
    return (first, second) if _ORDER.get(first, 9) > _ORDER.get(second, 9) else (second, first)


def rate(legs: Columns, source: str, target: str, *, asset: str, max_age_s: float = MAX_AGE_S) -> Rate:
    """Return the rate from `source` to `target` for the maths of `asset`, from tickers of other things.

    `legs` are rows of the schema of tickers, in their own currencies, with `kind`, `base`, `quote`, `bid`, `ask`,
    `age_ms` and `exchange`; stale, crossed and unquoted legs do not vote.
    """
    if source == target:
        return Rate(source, target, 1.0, "identity", 0.0)
    pair = canonical(source, target)
    votes = _votes(legs, pair, asset, max_age_s) if length(legs) else []
    if not votes:
        return Rate(source, target, nan, why=f"no fresh source for {pair[0]}/{pair[1]}")
    values = [vote.value for vote in votes]
    if len(values) == 2 and max(values) > min(values) * (1 + MAX_DISAGREE):
        return Rate(source, target, nan, why=f"two sources for {pair[0]}/{pair[1]} disagree: {values}")
    middle = median(values)
    return Rate(
        source,
        target,
        middle if (source, target) == pair else 1.0 / middle,
        "+".join(vote.name for vote in votes),
        max(vote.age_ms for vote in votes),
    )


@dataclass(frozen=True, slots=True)
class _Vote:
    name: str
    value: float
    age_ms: float


def _votes(legs: Columns, pair: tuple[str, str], asset: str, max_age_s: float) -> list[_Vote]:
    mid, age = mids(legs), ages_ms(legs)
    good = verdicts(legs, max_age_s=max_age_s) == ""
    bases, quotes = (np.array(texts(legs, name), dtype=object) for name in ("base", "quote"))
    kinds = np.array(texts(legs, "kind", "spot"), dtype=object)
    votes = []
    if asset not in pair:
        direct = good & (kinds == "spot") & (bases == pair[0]) & (quotes == pair[1])
        if direct.any():
            votes.append(_Vote("direct", median(mid[direct].tolist()), float(age[direct].max())))
    for kind in ("spot", "linear"):
        ratios, oldest = [], 0.0
        for base in dict.fromkeys(bases[good & (kinds == kind)].tolist()):
            if base == asset or base in STABLE:
                continue
            here = good & (kinds == kind) & (bases == base)
            over, under = here & (quotes == pair[1]), here & (quotes == pair[0])
            if over.any() and under.any():
                ratios += (mid[over][:, None] / mid[under][None, :]).ravel().tolist()
                oldest = max(oldest, float(age[over | under].max()))
        if ratios:
            votes.append(_Vote(f"ratio:{kind}", median(ratios), oldest))
    return votes


def executable(
    legs: Columns, source: str, target: str, *, asset: str, max_age_s: float = MAX_AGE_S
) -> Executable | None:
    """Return the best direct, fresh bid and ask of `source` in `target`; None without one, or for `asset` itself."""
    if not length(legs) or asset in {source, target}:
        return None
    bases, quotes = texts(legs, "base"), texts(legs, "quote")
    kinds, good = texts(legs, "kind", "spot"), verdicts(legs, max_age_s=max_age_s) == ""
    bid, ask = numbers(legs, "bid"), numbers(legs, "ask")
    bid_size, ask_size = numbers(legs, "bid_size"), numbers(legs, "ask_size")
    offers = []
    for row in np.flatnonzero(good).tolist():
        if kinds[row] != "spot":
            continue
        if (bases[row], quotes[row]) == (source, target):
            offers.append((bid[row], ask[row], bid_size[row], ask_size[row]))
        elif (bases[row], quotes[row]) == (target, source):
            offers.append((1 / ask[row], 1 / bid[row], ask_size[row] * ask[row], bid_size[row] * bid[row]))
    if not offers:
        return None
    high = max(offers, key=lambda offer: offer[0])
    low = min(offers, key=lambda offer: offer[1])
    return Executable(float(high[0]), float(low[1]), float(high[2]), float(low[3]))


def needed(quotes: Sequence[str], currency: str) -> list[tuple[str, str]]:
    """Return the direct pairs that convert `quotes` to `currency`."""
    others = dict.fromkeys(quote for quote in quotes if quote != currency and quote in USD_LIKE)
    return [canonical(quote, currency) for quote in others] if currency in USD_LIKE else []
