"""Exchange rates among the currencies that prices are quoted in: USD, USDT, USDC, FDUSD and EUR are five.

A rate never uses the asset that is being priced: a premium of BTC on one venue must stay visible in the
converted price of BTC. It has three sources, each worth one vote however many venues it is made of:

- `direct`: the spot books of the pair itself, in either direction;
- `ratio:spot`: for every other asset, its spot price in one currency over that in the other;
- `ratio:linear`: the same over linear perpetuals.

Within a source each venue's book, or each asset's ratio, is worth one vote (an asset's price in a currency is that
of the venues), and at every level the median counts, but only where a strict majority lies within 1 % of one
another. Venues are pooled first because each source errs in its own way (thin direct books lag, assets carry
premiums from venue to venue, perpetuals carry funding): were every venue's direct book a source, the rate would
depend on how many venues happen to list one. So one bad book, venue, asset or source cannot move a rate, a real
depeg moves them all, and where nobody can say who is wrong there is no rate.

A pair without any source goes over one other currency. Nothing is taken at par unless the caller pegs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan

import numpy as np

from xex.analytics.quality import MAX_AGE_S, ages_ms, mids, verdicts
from xex.errors import ConfigError
from xex.model.instruments import STABLE
from xex.model.schema import Columns, Text, Words, length, numbers, texts

CURRENCIES = ("USDT", "USD", "USDC", "FDUSD", "EUR")
"""What prices are brought to, and from."""
PEGGABLE = ("USDT", "USDC", "FDUSD")
"""What a caller may take at par with the US dollar."""
PIVOTS = ("USDT", "USD", "USDC")
"""Over which currency a pair without a source of its own goes, the first that leads there."""
Peg = bool | str | Iterable[str] | None
"""How a caller says it, see `check_peg`."""
MAX_DISAGREE = 0.01
"""How far apart, as a fraction, those may be who agree."""
RATIO_BASES = ("ETH", "BTC", "SOL", "XRP", "DOGE", "LTC", "ADA")
"""Whose prices are asked for in every currency: ratios of them are sources."""
_CONVERTED = ("bid", "ask", "last", "open", "high", "low", "mark", "index", "quote_volume")
_ORDER = {"USD": 0, "USDT": 1, "USDC": 2, "FDUSD": 3, "EUR": 4}
# Beyond it is no exchange rate but a broken number, whose inverse or product may not even be one.
_LARGEST = 1e15


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of `target` per one `source`; NaN when there is none, `why` then says so.

    `sources` names what voted ("direct+ratio:spot"), both hops of a pivot ("FDUSD→USDT direct; USDT→USD direct+…"),
    "peg" or "identity"; `age_ms` is the age of the oldest quote among them.
    """

    source: str
    target: str
    rate: float
    sources: str = ""
    age_ms: float = nan
    why: str = ""


@dataclass(frozen=True, slots=True)
class Executable:
    """The top of the direct books: what one `source` is sold and bought for, in `target`; sizes are in `source`."""

    bid: float
    ask: float
    bid_size: float
    ask_size: float


def canonical(first: str, second: str) -> tuple[str, str]:
    """Return a pair as most markets quote it, base and quote, whichever way round it is given.

    >>> canonical("USD", "USDT"), canonical("USDT", "USDC"), canonical("USDT", "EUR")
    (('USDT', 'USD'), ('USDC', 'USDT'), ('EUR', 'USDT'))
    """
    ranks = [(_ORDER.get(name, len(_ORDER)), name) for name in (first, second)]
    return (first, second) if ranks[0] > ranks[1] else (second, first)


def spellings(first: str, second: str) -> tuple[tuple[str, str], ...]:
    """Return the ways in which markets list a pair, `canonical` first.

    Euros are bought with stablecoins on one venue (EUR/USDT) and buy them on another (USDT/EUR). Rates count a book in
    either direction; this says what to ask venues for.

    >>> spellings("USD", "USDT"), spellings("USDT", "EUR")
    ((('USDT', 'USD'),), (('EUR', 'USDT'), ('USDT', 'EUR')))
    """
    pair = canonical(first, second)
    return (pair, pair[::-1]) if "EUR" in pair and "USD" not in pair else (pair,)


def needed(quotes: Iterable[str], currency: str, *, pivots: bool = True) -> list[tuple[str, str]]:
    """Return the pairs (base, quote) of direct books that converting `quotes` to `currency` may need, as listed.

    With `pivots` also those over which FDUSD and EUR may have to go; dollars and the two large stablecoins are traded
    against one another. Without, what `executable` can use. What is no currency here is left out.

    >>> needed(["USDT", "USD"], "USDT")
    [('USDT', 'USD')]
    >>> needed(["FDUSD"], "USDT", pivots=False), needed(["EUR"], "USDT", pivots=False)
    ([('FDUSD', 'USDT')], [('EUR', 'USDT'), ('USDT', 'EUR')])
    """
    if currency not in CURRENCIES:
        return []
    others = [quote for quote in dict.fromkeys(quotes) if quote != currency and quote in CURRENCIES]
    pairs = [(quote, currency) for quote in others]
    for quote in others if pivots else ():
        if not {quote, currency} <= set(PIVOTS):
            over = [pivot for pivot in PIVOTS if pivot not in {quote, currency}]
            pairs += [hop for pivot in over for hop in ((quote, pivot), (pivot, currency))]
    return list(dict.fromkeys(listed for pair in pairs for listed in spellings(*pair)))


def check_peg(peg: Peg) -> tuple[str, ...]:
    """Return the currencies that a caller takes at par with the US dollar, none by default.

    True means all of USDT, USDC and FDUSD; else a name or several. Raises `ConfigError` for any other.

    >>> check_peg(True), check_peg("usdt"), check_peg(())
    (('USDT', 'USDC', 'FDUSD'), ('USDT',), ())
    """
    if isinstance(peg, bool) or peg is None:
        return PEGGABLE if peg else ()
    choices = f"pegged to the US dollar can be: {', '.join(PEGGABLE)}"
    try:
        names = [peg] if isinstance(peg, str) else list(peg)
    except TypeError:
        raise ConfigError(f"peg is {peg!r}; {choices}") from None
    pegged = set()
    for name in names:
        clean = str(name).strip().upper()
        if clean not in PEGGABLE:
            raise ConfigError(f"peg names {name!r}; {choices}")
        pegged.add(clean)
    return tuple(name for name in PEGGABLE if name in pegged)


def rate(
    legs: Columns,
    source: str,
    target: str,
    *,
    asset: str,
    max_age_s: float = MAX_AGE_S,
    peg: Peg = (),
) -> Rate:
    """Return the rate from `source` to `target` for the maths of `asset`, from tickers of other things.

    `legs` are rows of the schema of tickers, in their own currencies, with `kind`, `base`, `quote`, `bid`, `ask`,
    `age_ms` and `exchange`; stale, halted, crossed, wide and unquoted legs do not vote, nor do contracts that expire.
    Of one exchange (`venue`, where that column is there) and market only the youngest row counts. `peg` as in
    `check_peg`: those currencies and USD are worth the same.
    """
    if source == target:
        return Rate(source, target, 1.0, "identity", 0.0)
    return _found(_told(legs, max_age_s), source, target, asset, _at_par(peg))


def converted(rows: Columns, rates: Mapping[str, Rate], own: Mapping[str, Mapping[str, Rate]] | None = None) -> Columns:
    """Return tickers with prices and quote volumes brought to the rates' target, and what that took.

    `rates` are by quote; `own` those of bases that have a say in rates, made without them. `fx_rate` (units of the
    target per unit of the row's quote), `fx_source` and `fx_age_ms` tell each row's rate. A row without one keeps
    its numbers and its currency, and its `fx_rate` is NaN.
    """
    special = own or {}
    keys = [
        (base if base in special else "", quote)
        for base, quote in zip(texts(rows, "base"), texts(rows, "quote"), strict=True)
    ]
    place = {key: row for row, key in enumerate(dict.fromkeys(keys))}
    at = np.fromiter(map(place.__getitem__, keys), dtype=np.intp, count=len(keys))
    used = [special.get(base, rates)[quote] for base, quote in place]
    fx = np.array([one.rate for one in used], dtype=np.float64)
    factor, done = np.where(np.isfinite(fx), fx, 1.0)[at], dict(rows)
    for name in _CONVERTED:
        if name in done:
            done[name] = numbers(done, name) * factor
    done["fx_rate"] = fx[at]
    done["fx_age_ms"] = np.array([one.age_ms for one in used], dtype=np.float64)[at]
    done["fx_source"] = Text(Words([one.sources for one in used]), at)
    done["currency"] = Text(Words([one.target if isfinite(one.rate) else one.source for one in used]), at)
    return done


def series(bars: Columns, source: str, target: str, *, asset: str, peg: Peg = ()) -> Columns:
    """Return the rate at the close of every bar: `time` (ascending), `rate`, `sources`, `why`, as in `Rate`.

    `bars` are columns with `time`, `exchange`, `base`, `quote`, `close`, optionally `kind` (else spot), `instrument`
    and `base_volume`: a bar without volume repeats an older price and does not vote.
    """
    par, times = _at_par(peg), numbers(bars, "time")
    close, volume = numbers(bars, "close"), numbers(bars, "base_volume")
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((close > 0) & np.isfinite(close) & ~(volume <= 0) & np.isfinite(times))
    votes: dict[float, _Prices] = {time: {} for time in np.unique(times[np.isfinite(times)]).tolist()}
    cells = _Cells(bars)
    for row, time, price in zip(rows.tolist(), times[rows].tolist(), close[rows].tolist(), strict=True):
        cells.add(votes[time], row, price, 0.0)
    rates = [_found(prices, source, target, asset, par) for prices in votes.values()]
    return {
        "time": np.array(list(votes), dtype=np.float64), "rate": np.array([found.rate for found in rates]),
        "sources": [found.sources for found in rates], "why": [found.why for found in rates],
    }  # fmt: skip


def executable(
    legs: Columns, source: str, target: str, *, asset: str, max_age_s: float = MAX_AGE_S
) -> Executable | None:
    """Return the best direct, fresh bid and ask of `source` in `target`; None without one, or for `asset` itself.

    Books in either direction count; nothing is pegged and nothing goes over a third currency, since that is no
    trade in this pair. Books away from where most are do not count: their gap would look like a profit. None where no
    majority of them lies within 1 %.
    """
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
    middle = _agreed([(offer[0] + offer[1]) / 2 for offer in offers])
    near = [offer for offer in offers if abs((offer[0] + offer[1]) / 2 - middle) <= MAX_DISAGREE * middle]
    if not near:
        return None
    high = max(near, key=lambda offer: offer[0])
    low = min(near, key=lambda offer: offer[1])
    return Executable(float(high[0]), float(low[1]), float(high[2]), float(low[3]))


# --- what venues say ----------------------------------------------------------------------------------------

_Told = dict[str, tuple[float, float]]
"""Price and age by who says it: one venue has one voice about a market."""
_Prices = dict[tuple[str, str], dict[str, _Told]]
"""What is told by kind and quote, then by base."""


class _Cells:
    """Who says what about which market, row by row."""

    __slots__ = ("bases", "kinds", "names", "quotes", "who")

    def __init__(self, columns: Columns) -> None:
        self.bases, self.quotes = texts(columns, "base"), texts(columns, "quote")
        self.kinds, self.names = texts(columns, "kind", "spot"), texts(columns, "instrument")
        self.who = texts(columns, "venue" if "venue" in columns else "exchange")

    def add(self, prices: _Prices, row: int, price: float, age: float) -> None:
        """Note a row's price, unless it expires: such a contract's premium is its own."""
        if "-" in self.names[row]:
            return
        told = prices.setdefault((self.kinds[row], self.quotes[row]), {}).setdefault(self.bases[row], {})
        _say(told, self.who[row] or str(row), price, age)


def _say(told: _Told, who: str, price: float, age: float) -> None:
    """Note a price unless the same one has said another that is younger."""
    if who not in told or age < told[who][1]:
        told[who] = price, age


def _told(legs: Columns, max_age_s: float) -> _Prices:
    """Return the mids of the rows that may vote."""
    prices: _Prices = {}
    if length(legs):
        cells, mid, age = _Cells(legs), mids(legs).tolist(), ages_ms(legs).tolist()
        for row in np.flatnonzero(verdicts(legs, max_age_s=max_age_s) == "").tolist():
            cells.add(prices, row, mid[row], age[row])
    return prices


# --- what is made of it -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Vote:
    """What a source says and who it is made of; NaN where these are apart, from `low` to `high`."""

    name: str
    value: float
    age_ms: float
    low: float
    high: float
    members: Sequence[str]

    def __str__(self) -> str:
        said = f"{self.low:.6g} to {self.high:.6g}" if isnan(self.value) else f"{self.value:.6g}"
        return f"{self.name} {said} ({', '.join(self.members)})"


def _at_par(peg: Peg) -> frozenset[str]:
    return frozenset(("USD", *names)) if (names := check_peg(peg)) else frozenset()


def _found(prices: _Prices, source: str, target: str, asset: str, par: frozenset[str]) -> Rate:
    """Return a rate by its own sources, or where it has none at all over the first pivot that leads there."""
    own = _own(prices, source, target, asset, par)
    if own is not None:
        return own
    pair = canonical(source, target)
    why = [f"no fresh source for {'/'.join(pair)}"]
    for pivot in (name for name in PIVOTS if name not in pair and name != asset):
        hops = [
            _own(prices, *ends, asset, par) or Rate(*ends, nan, why=f"none for {'/'.join(canonical(*ends))}")
            for ends in ((source, pivot), (pivot, target))
        ]
        over = hops[0].rate * hops[1].rate
        if not isnan(over):
            sources = "; ".join(f"{hop.source}→{hop.target} {hop.sources}" for hop in hops)
            return Rate(source, target, over, sources, max(hop.age_ms for hop in hops))
        why.append(f"over {pivot}: {', '.join(hop.why for hop in hops if hop.why)}")
    return Rate(source, target, nan, why="; ".join(why))


def _own(prices: _Prices, source: str, target: str, asset: str, par: frozenset[str]) -> Rate | None:
    """Return a rate from the sources of the pair itself, NaN where they disagree; None where there is none."""
    if source == target:
        return Rate(source, target, 1.0, "identity", 0.0)
    if source in par and target in par:
        return Rate(source, target, 1.0, "peg", 0.0)
    pair = canonical(source, target)
    votes = _votes(prices, pair, asset)
    if not votes:
        return None
    voting = [vote for vote in votes if not isnan(vote.value)]
    middle = _agreed([vote.value for vote in voting])
    if isnan(middle):
        said = ", ".join(map(str, votes))
        return Rate(source, target, nan, why=f"the sources for {'/'.join(pair)} disagree: {said}")
    return Rate(
        source,
        target,
        middle if source == pair[0] else 1.0 / middle,
        "+".join(vote.name for vote in voting),
        max(vote.age_ms for vote in voting),
    )


def _votes(prices: _Prices, pair: tuple[str, str], asset: str) -> list[_Vote]:
    """Return what each source says about a pair, units of its quote per base, leaving out the prices of `asset`."""
    votes = []
    books = dict(prices.get(("spot", pair[1]), {}).get(pair[0], {}))
    for who, (price, age) in prices.get(("spot", pair[0]), {}).get(pair[1], {}).items():
        _say(books, who, 1 / price, age)
    if books and asset not in pair:
        values = _values(books)
        votes.append(_Vote("direct", _agreed(values), _oldest(books), min(values), max(values), list(books)))
    for kind in ("spot", "linear"):
        over, under = prices.get((kind, pair[1]), {}), prices.get((kind, pair[0]), {})
        bases = [base for base in over if base in under and base != asset and base not in STABLE]
        if bases:
            sides = [(_values(over[base]), _values(under[base])) for base in bases]
            votes.append(
                _Vote(
                    f"ratio:{kind}",
                    _agreed([_agreed(above) / _agreed(below) for above, below in sides]),
                    max(_oldest(told[base]) for told in (over, under) for base in bases),
                    min(min(above) / max(below) for above, below in sides),
                    max(max(above) / min(below) for above, below in sides),
                    bases,
                )
            )
    return votes


def _oldest(told: _Told) -> float:
    return max(age for _, age in told.values())


def _values(told: _Told) -> list[float]:
    return [price for price, _ in told.values()]


def _agreed(values: Sequence[float]) -> float:
    """Return the median where a strict majority of the values lies within 1 % of one another, else NaN."""
    known = sorted(value for value in values if 1 / _LARGEST < value < _LARGEST)
    most = len(known) // 2 + 1
    near = (high <= low * (1 + MAX_DISAGREE) for low, high in zip(known, known[most - 1 :], strict=False))
    return (known[len(known) // 2] + known[-1 - len(known) // 2]) / 2 if any(near) else nan
