"""Expected values for the tests, computed from the definitions in plain Python.

Nothing here imports the library, numpy or pandas. Every rational number is a `Fraction` from input to
answer; square roots, exponentials and logarithms are taken with 50 decimal digits, so that a result is
rounded to `float` once, at the end.

Numbers may be int, float, str, Decimal or Fraction. None, NaN and infinities are absent. A float means
exactly that float's value, so `0.1` is a little more than a tenth; pass `"0.1"` where a tenth is meant.
The one exception is a lot step, which is decimal by nature: a float lot is read by its shortest text.

Prices are quote per base unit, sizes are base units, notionals and profits are quote units, fees are
fractions of the notional, ages are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from fractions import Fraction

Number = int | float | str | Decimal | Fraction
Row = Mapping[str, object]
Levels = Iterable[Sequence[Number]]

NAN = float("nan")
MAX_AGE_LIMIT_S = 30
MAX_SPREAD = Fraction(5, 100)
NORMAL_MAD = Fraction("1.4826")
OUTLIER_SCALES = Fraction("3.5")
OUTLIER_FLOOR = Fraction(1, 1000)
SUSPECT_DEVIATION = Fraction(3, 100)
UNIT_TOLERANCE = Fraction(3, 100)
MAX_RATE_GAP = Fraction(1, 100)
BOOK_EDGE = Fraction(5, 100)
MAX_COST_BPS = Fraction(1000)
SCORE_NOTIONALS = (1_000, 10_000, 100_000, 1_000_000)
STABLE_COINS = frozenset(
    {"USD", "USDT", "USDC", "DAI", "FDUSD", "TUSD", "BUSD", "USDE"}
    | {"USDS", "USDP", "PYUSD", "GUSD", "USDD", "USD1", "RLUSD", "USDG"}
)
FIAT = frozenset({"USD", "EUR", "GBP"})
COUNTED_IN_VOLUME = frozenset({None, "outlier", "crossed", "wide", "no_quote", "last_only", "no_rate"})
_DIGITS = Context(prec=50)


def exact(value: object) -> Fraction | None:
    """Read `value` without rounding; None when it is absent (None, NaN or infinite)."""
    if value is None:
        return None
    if isinstance(value, str):
        value = Fraction(value) if "/" in value else Decimal(value)
    if isinstance(value, float | Decimal):
        return Fraction(value) if math.isfinite(value) else None
    if isinstance(value, int | Fraction):
        return Fraction(value)
    message = f"not a number: {value!r}"
    raise TypeError(message)


def positive(value: object) -> Fraction | None:
    """Read `value` as `exact` does; zero and negative numbers are absent too."""
    number = exact(value)
    return number if number is not None and number > 0 else None


def required(value: object, name: str) -> Fraction:
    """Read a number that must be there."""
    number = exact(value)
    if number is None:
        message = f"{name} is absent"
        raise ValueError(message)
    return number


def median(values: Iterable[Fraction]) -> Fraction:
    """Take the middle value, or the mean of the two middle ones."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _decimal(value: Fraction) -> Decimal:
    return _DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))


def root(value: Fraction) -> Fraction:
    """Take the square root, to 50 digits."""
    return Fraction(_DIGITS.sqrt(_decimal(value)))


def exponential(value: Fraction) -> Fraction:
    """Raise e to `value`, to 50 digits."""
    return Fraction(_DIGITS.exp(_decimal(value)))


def logarithm(value: Fraction) -> Fraction:
    """Take the natural logarithm, to 50 digits."""
    return Fraction(_DIGITS.ln(_decimal(value)))


def age_s(
    now: Number,
    *,
    received_time: Number,
    time_source: str,
    exchange_time: Number | None = None,
    skew: Number = 0,
) -> Fraction:
    """Age a quote, all times in seconds.

    Only a time of source "quote" ages a quote: now - exchange_time - skew, floored at 0, where `skew` is
    our clock minus the venue's. Any other source counts from the moment of receipt.
    """
    if time_source == "quote":
        at = required(exchange_time, "exchange_time")
        return max(Fraction(0), required(now, "now") - at - required(skew, "skew"))
    return required(now, "now") - required(received_time, "received_time")


def quoted(row: Row) -> tuple[Fraction, Fraction] | None:
    """Give bid and ask; None unless both are there, finite and above 0."""
    bid, ask = positive(row.get("bid")), positive(row.get("ask"))
    return None if bid is None or ask is None else (bid, ask)


def row_age(row: Row) -> Fraction:
    """Give the row's own age; an absent age counts as fresh."""
    return max(Fraction(0), exact(row.get("age_s")) or Fraction(0))


def validity(row: Row, max_age_s: Number = 10, *, any_quote: bool = True) -> str | None:
    """Say why a row makes no price, or None when it does; the first matching reason wins.

    The order is no_quote (or last_only), crossed, wide, stale, no_rate. `any_quote` says whether some
    venue has a valid bid/ask quote; only when none has does a last price stand in, if it is fresh.
    """
    limit = _age_limit(max_age_s)
    quote = quoted(row)
    if quote is None:
        if positive(row.get("last")) is None:
            return "no_quote"
        if any_quote:
            return "last_only"
    elif quote[0] >= quote[1]:
        return "crossed"
    elif (quote[1] - quote[0]) / _mid(quote) > MAX_SPREAD:
        return "wide"
    if row_age(row) > limit:
        return "stale"
    return "no_rate" if row.get("rate_missing") else None


def _age_limit(max_age_s: Number) -> Fraction:
    limit = required(max_age_s, "max_age_s")
    if limit > MAX_AGE_LIMIT_S:
        message = f"max_age_s is above {MAX_AGE_LIMIT_S}"
        raise ValueError(message)
    return limit


def _mid(quote: tuple[Fraction, Fraction]) -> Fraction:
    return (quote[0] + quote[1]) / 2


def _validities(rows: Sequence[Row], max_age_s: Number) -> list[str | None]:
    """Judge all rows together, since a last price counts only when nobody has a quote."""
    reasons = [validity(row, max_age_s) for row in rows]
    if None in reasons:
        return reasons
    return [validity(row, max_age_s, any_quote=False) for row in rows]


def row_price(row: Row) -> Fraction:
    """Give the mid, or the last price of a row without bid and ask."""
    quote = quoted(row)
    return required(row.get("last"), "last") if quote is None else _mid(quote)


@dataclass(frozen=True)
class RobustPrice:
    """What `robust` answers; absent numbers are NaN, a row out of the price has weight 0.

    `price`, `price_variance` (a standard deviation) are in quote currency, `price_var_sq` in its square.
    `reasons` tells for each exchange why it was dropped, None when it was not; who may be another asset is in no
    number. `flags` holds any of no_data, single_source, disagree and last_only (made of last prices, because nobody
    had a quote).
    """

    price: float
    weights: dict[str, float]
    reasons: dict[str, str | None]
    price_variance: float
    price_var_sq: float
    dispersion_bps: float
    range_bps: float
    mad_bps: float
    arb_index: float
    n_used: int
    flags: set[str]


def robust(
    rows: Sequence[Row],
    *,
    max_age_s: Number = 10,
    max_disagree: Number = Fraction(1, 100),
    cap: Number = Fraction(2, 5),
    tau_s: Number = 5,
) -> RobustPrice:
    """Aggregate one instrument's quotes, all in base units and one currency, to one price.

    A row has exchange, bid, ask, last, quote_volume, age_s, time_source ("quote" or another) and
    rate_missing.
    """
    _age_limit(max_age_s)
    names = _names(rows)
    reasons = _validities(rows, max_age_s)
    valid = [i for i, reason in enumerate(reasons) if reason is None]
    prices = {i: row_price(rows[i]) for i in valid}
    flags = _flags(rows, prices, required(max_disagree, "max_disagree"))
    strangers = _strangers(rows, reasons, prices, flags, required(max_age_s, "max_age_s"))
    trusted = {i: price for i, price in prices.items() if i not in strangers}
    verdicts = strangers | _deviations(trusted)
    kept = [i for i in trusted if verdicts[i] is None]
    raw = _raw_weights(rows, kept, _weight_ages(rows, list(trusted)), required(tau_s, "tau_s"))
    shares = dict(zip(kept, capped(raw, required(cap, "cap")), strict=True))
    price = sum((share * prices[i] for i, share in shares.items()), Fraction(0)) if kept else None
    return RobustPrice(
        price=NAN if price is None else float(price),
        weights={name: float(shares.get(i, 0)) for i, name in enumerate(names)},
        reasons={name: verdicts.get(i, reasons[i]) for i, name in enumerate(names)},
        n_used=len(kept),
        flags=flags,
        **_dispersion([(shares[i], prices[i]) for i in kept], price),
        range_bps=_range_bps(trusted.values(), price),
        mad_bps=_mad_bps(trusted.values()),
        arb_index=_arb_index(rows[i] for i in trusted),
    )


def _names(rows: Sequence[Row]) -> list[str]:
    names = [str(row["exchange"]) for row in rows]
    if len(set(names)) < len(names):
        message = "one exchange has two rows"
        raise ValueError(message)
    return names


def _flags(rows: Sequence[Row], prices: Mapping[int, Fraction], max_disagree: Fraction) -> set[str]:
    if not prices:
        return {"no_data"}
    flags = set()
    if all(quoted(rows[i]) is None for i in prices):
        flags.add("last_only")
    if len(prices) == 1:
        flags.add("single_source")
    elif 2 * largest_agreement(prices.values(), max_disagree) <= len(prices):
        flags.add("disagree")
    return flags


def largest_agreement(prices: Iterable[Fraction], max_disagree: Fraction) -> int:
    """Count the largest set whose highest price is at most `max_disagree` above its lowest."""
    values = list(prices)
    return max(sum(low <= p <= low * (1 + max_disagree) for p in values) for low in values)


def _strangers(
    rows: Sequence[Row],
    reasons: Sequence[str | None],
    prices: Mapping[int, Fraction],
    flags: set[str],
    max_age_s: Fraction,
) -> dict[int, str | None]:
    """Name the rows that may be another asset: all who have a vote where they disagree, else who is far off.

    Rows without a vote that count in other figures are compared too, by their price nearest to the median.
    """
    if not prices:
        return {}
    if "disagree" in flags:
        return {
            i: "unit_error" if any(_near_power_of_ten(p / other) for other in prices.values()) else "disagree"
            for i, p in prices.items()
        }
    centre = median(prices.values())
    judged = dict(prices)
    for i, row in enumerate(rows):
        if reasons[i] in {"wide", "crossed", "last_only"} and row_age(row) <= max_age_s and not row.get("rate_missing"):
            quote = quoted(row) or (required(row.get("last"), "last"),) * 2
            judged[i] = min(max(centre, min(quote)), max(quote))
    found = {i: identity_reason(price, centre) for i, price in judged.items()}
    return {i: reason for i, reason in found.items() if reason is not None}


def _deviations(prices: Mapping[int, Fraction]) -> dict[int, str | None]:
    """Name the rows too far from the median of the prices; of two rows none is."""
    if len(prices) <= 2:
        return dict.fromkeys(prices)
    centre = median(prices.values())
    scale = NORMAL_MAD * _mad(prices.values())
    bound = max(OUTLIER_SCALES * scale, OUTLIER_FLOOR * centre)
    return {i: None if abs(p - centre) <= bound else "outlier" for i, p in prices.items()}


def _mad(prices: Iterable[Fraction]) -> Fraction:
    values = list(prices)
    centre = median(values)
    return median(abs(p - centre) for p in values)


def identity_reason(price: Fraction, centre: Fraction) -> str | None:
    """Tell a suspect asset and a price off by a power of ten from one that may be honest."""
    if _near_power_of_ten(price / centre):
        return "unit_error"
    return "suspect" if abs(price - centre) > SUSPECT_DEVIATION * centre else None


def _near_power_of_ten(ratio: Fraction) -> bool:
    """Try 10, 100, ... for a ratio (or its inverse, by negative powers) until it is passed by."""
    step = Fraction(10) if ratio > 1 else Fraction(1, 10)
    power = step
    while (power < 2 * ratio) if ratio > 1 else (power > ratio / 2):
        if abs(ratio / power - 1) <= UNIT_TOLERANCE:
            return True
        power *= step
    return False


def _weight_ages(rows: Sequence[Row], valid: Sequence[int]) -> dict[int, Fraction]:
    """Age rows without a quote time as the median of the valid ones that have one."""
    ages = {i: row_age(rows[i]) for i in valid}
    timed = [i for i in valid if rows[i].get("time_source") == "quote"]
    common = median(ages[i] for i in timed) if timed else None
    return {i: age if i in timed or common is None else common for i, age in ages.items()}


def _raw_weights(
    rows: Sequence[Row], kept: Sequence[int], ages: Mapping[int, Fraction], tau_s: Fraction
) -> list[Fraction]:
    """Weigh by sqrt(volume) and freshness; a row without a volume weighs as the lightest that has one."""
    freshness = {i: exponential(-ages[i] / tau_s) for i in kept}
    volumes = {i: v for i in kept if (v := positive(rows[i].get("quote_volume"))) is not None}
    if not volumes:
        return list(freshness.values())
    known = {i: root(volume) * freshness[i] for i, volume in volumes.items()}
    return [known.get(i, min(known.values())) for i in kept]


def capped(weights: Sequence[Fraction], cap: Fraction) -> list[Fraction]:
    """Normalise to a sum of 1 with no share above `cap`; equal shares when that is impossible.

    The excess of the capped goes to the others in proportion to their weights, again and again until
    none is above the cap.
    """
    if len(weights) * cap < 1:
        return [Fraction(1, len(weights)) for _ in weights]
    total = sum(weights, Fraction(0))
    shares = [w / total for w in weights]
    full: set[int] = set()
    while over := {i for i, share in enumerate(shares) if share > cap}:
        full |= over
        shares = _refill(shares, full, cap)
    return shares


def _refill(shares: Sequence[Fraction], full: set[int], cap: Fraction) -> list[Fraction]:
    rest = sum((s for i, s in enumerate(shares) if i not in full), Fraction(0))
    room = 1 - cap * len(full)
    return [cap if i in full else s * room / rest for i, s in enumerate(shares)]


def _dispersion(used: Sequence[tuple[Fraction, Fraction]], price: Fraction | None) -> dict[str, float]:
    """Give the weighted spread of (weight, price) around `price`, NaN (never 0) below two rows."""
    if price is None or len(used) < 2:
        return {"price_variance": NAN, "price_var_sq": NAN, "dispersion_bps": NAN}
    squared = sum((w * (p - price) ** 2 for w, p in used), Fraction(0))
    deviation = root(squared)
    return {
        "price_variance": float(deviation),
        "price_var_sq": float(squared),
        "dispersion_bps": float(10_000 * deviation / price),
    }


def _range_bps(prices: Iterable[Fraction], price: Fraction | None) -> float:
    values = list(prices)
    return NAN if price is None else float(10_000 * (max(values) - min(values)) / price)


def _mad_bps(prices: Iterable[Fraction]) -> float:
    values = list(prices)
    return float(10_000 * NORMAL_MAD * _mad(values) / median(values)) if values else NAN


def _arb_index(rows: Iterable[Row]) -> float:
    quotes = [quote for row in rows if (quote := quoted(row)) is not None]
    return float(max(bid for bid, _ in quotes) / min(ask for _, ask in quotes)) if quotes else NAN


def volume_totals(
    rows: Sequence[Row], reasons: Mapping[str, str | None], flags: Iterable[str] = ()
) -> tuple[Fraction | None, Fraction | None]:
    """Sum base_volume and quote_volume * fx_rate of the rows that are identified and fresh.

    Here quote_volume is in the venue's own currency; an absent fx_rate means the asked currency. None
    when no row counts. Rows without a rate add to the base total only.
    """
    counted = [row for row in rows if reasons[str(row["exchange"])] in COUNTED_IN_VOLUME]
    if "disagree" in flags:
        counted = []
    base = [v for row in counted if (v := exact(row.get("base_volume"))) is not None]
    rated = [row for row in counted if reasons[str(row["exchange"])] != "no_rate"]
    quote = [
        v * (positive(row.get("fx_rate")) or 1) for row in rated if (v := exact(row.get("quote_volume"))) is not None
    ]
    return (sum(base, Fraction(0)) if base else None, sum(quote, Fraction(0)) if quote else None)


Pool = Number | None | Iterable[Number | None]


def agreed(values: Iterable[Fraction]) -> Fraction | None:
    """Give the median where more than half of the values lie within 1 % (of the lower) of one another."""
    known = list(values)
    return median(known) if known and largest_agreement(known, MAX_RATE_GAP) * 2 > len(known) else None


def pooled_ratio(
    usd_legs: Iterable[Row],
    usdt_legs: Iterable[Row],
    exclude: str | Iterable[str] = (),
    max_age_s: Number = 10,
) -> Fraction | None:
    """Give USD per USDT as the agreed ratio over bases of the venues' agreed mid(b/USD) and mid(b/USDT).

    Legs have exchange, base, bid, ask and optionally age_s. `exclude` names the asked base; currencies and
    stable coins are always left out, and so is every leg that is absent, crossed or stale. A base whose venues
    are apart has no ratio.
    """
    banned = FIAT | STABLE_COINS | ({exclude} if isinstance(exclude, str) else set(exclude))
    dollars, tethers = (_by_base(_leg_mids(legs, banned, max_age_s)) for legs in (usd_legs, usdt_legs))
    sides = [(agreed(mids), agreed(tethers[base])) for base, mids in dollars.items() if base in tethers]
    return agreed(usd / usdt for usd, usdt in sides if usd is not None and usdt is not None)


def direct_mid(books: Iterable[Row], max_age_s: Number = 10) -> Fraction | None:
    """Give USD per USDT as the agreed mid of the direct USDT/USD books that are fresh and uncrossed."""
    return agreed(mid for _, mid in _leg_mids(books, frozenset(), max_age_s))


def _by_base(legs: Iterable[tuple[str, Fraction]]) -> dict[str, list[Fraction]]:
    found: dict[str, list[Fraction]] = {}
    for base, mid in legs:
        found.setdefault(base, []).append(mid)
    return found


def _leg_mids(legs: Iterable[Row], banned: Iterable[str], max_age_s: Number) -> list[tuple[str, Fraction]]:
    """Give (base, mid) of the usable legs; a wide spread does not disqualify one."""
    limit = _age_limit(max_age_s)
    mids = []
    for leg in legs:
        base, quote = str(leg.get("base", "USDT")), quoted(leg)
        if base not in banned and quote is not None and quote[0] < quote[1] and row_age(leg) <= limit:
            mids.append((base, _mid(quote)))
    return mids


def usdt_usd_rate(direct: Pool, ratios_spot: Pool, ratios_linear: Pool) -> tuple[Fraction | None, list[str]]:
    """Give USD per USDT, the agreed value of the sources, and the names of the sources used.

    Each source is one number, several (their median counts, once) or absent. Where no majority of the sources
    lies within 1 % there is no rate and no source: nobody can tell who is wrong.
    """
    pools = {"direct": direct, "ratio:spot": ratios_spot, "ratio:linear": ratios_linear}
    sources = {name: number for name, pool in pools.items() if (number := _pooled(pool)) is not None}
    rate = agreed(sources.values())
    return rate, [] if rate is None else list(sources)


def _pooled(pool: Pool) -> Fraction | None:
    items = [pool] if pool is None or isinstance(pool, Number) else list(pool)
    values = [value for item in items if (value := positive(item)) is not None]
    return median(values) if values else None


WORTH_ORDER = ("USD", "USDT", "USDC", "FDUSD", "EUR")


def exchange_rate(
    legs: Sequence[Row], source: str, target: str, asset: str, par: Iterable[str] = ()
) -> Fraction | None:
    """Give units of `target` per `source` for the maths of `asset`; `par` holds what is worth the same.

    Legs have exchange, kind, base, quote, bid, ask and optionally age_s; one leg of an exchange for a market.
    A pair without any source goes over USDT, USD or USDC, whichever is first to give both hops.
    """
    rate, silent = _own_rate(legs, source, target, asset, set(par))
    if rate is not None or not silent:
        return rate
    for pivot in ("USDT", "USD", "USDC"):
        if pivot not in {source, target, asset}:
            hops = [_own_rate(legs, *ends, asset, set(par))[0] for ends in ((source, pivot), (pivot, target))]
            if hops[0] is not None and hops[1] is not None:
                return hops[0] * hops[1]
    return None


def _own_rate(legs: Sequence[Row], source: str, target: str, asset: str, par: set[str]) -> tuple[Fraction | None, bool]:
    """Give the rate by the pair's own sources, and whether there are no such sources at all."""
    if source == target or {source, target} <= par:
        return Fraction(1), False
    worth, base = sorted((source, target), key=WORTH_ORDER.index)
    sides = {
        (kind, quote): [leg for leg in legs if (leg["kind"], leg["quote"]) == (kind, quote)]
        for kind in ("spot", "linear")
        for quote in (worth, base)
    }
    books = (
        []
        if asset in {source, target}
        else [
            (leg, turned)
            for turned, (over, under) in enumerate(((worth, base), (base, worth)))
            for leg in sides["spot", over]
            if leg["base"] == under
        ]
    )
    direct: dict[object, Fraction] = {}
    for leg, turned in sorted(books, key=lambda book: row_age(book[0])):
        for _, mid in _leg_mids([leg], (), 10):
            direct.setdefault(leg["exchange"], 1 / mid if turned else mid)
    banned = FIAT | STABLE_COINS | {asset}
    ratios, silent = [], not direct
    for kind in ("spot", "linear"):
        ratios.append(pooled_ratio(sides[kind, worth], sides[kind, base], asset))
        over, under = ({name for name, _ in _leg_mids(sides[kind, quote], banned, 10)} for quote in (worth, base))
        silent = silent and not over & under
    rate, _ = usdt_usd_rate(agreed(direct.values()), *ratios)
    return (rate if rate is None or source == base else 1 / rate), silent


def levels(side: Levels) -> list[tuple[Fraction, Fraction]]:
    """Read (price, size) pairs, without those that offer nothing."""
    pairs = [(positive(level[0]), positive(level[1])) for level in side]
    return [(price, size) for price, size in pairs if price is not None and size is not None]


def liquidity_cost(bids: Levels, asks: Levels, ref: Number, notional: Number) -> Fraction:
    """Give the cost in basis points of buying and selling `notional` at once, against price `ref`.

    Each unit costs its distance from `ref`, never less than 0. Levels further than 5 % away and missing
    depth cost 5 %. Between 0 and 1000. For several venues pass all their levels together.
    """
    reference = required(ref, "ref")
    wanted = required(notional, "notional") / reference
    ask_steps = [((p - reference) / reference, size) for p, size in levels(asks)]
    bid_steps = [((reference - p) / reference, size) for p, size in levels(bids)]
    paid = _premium_area(ask_steps, wanted) + _premium_area(bid_steps, wanted)
    return min(MAX_COST_BPS, max(Fraction(0), 10_000 * paid / wanted))


def _premium_area(steps: Iterable[tuple[Fraction, Fraction]], wanted: Fraction) -> Fraction:
    """Integrate the marginal premium over the first `wanted` units, cheapest first."""
    area, left = Fraction(0), wanted
    for premium, size in sorted(steps):
        taken = min(size, left)
        area += taken * min(BOOK_EDGE, max(Fraction(0), premium))
        left -= taken
    return area + left * BOOK_EDGE


def liquidity_score(bids: Levels, asks: Levels, ref: Number | None) -> float:
    """Score a book 0..100: the mean over 1k, 10k, 100k and 1M of 100 * (1 - ln(1 + C) / ln 1001).

    C is `liquidity_cost`. NaN without a reference price.
    """
    reference = positive(ref)
    if reference is None:
        return NAN
    bid_levels, ask_levels = list(bids), list(asks)
    costs = [liquidity_cost(bid_levels, ask_levels, reference, n) for n in SCORE_NOTIONALS]
    scores = [100 * (1 - logarithm(1 + c) / logarithm(1 + MAX_COST_BPS)) for c in costs]
    return float(sum(scores, Fraction(0)) / len(scores))


@dataclass(frozen=True)
class Optimum:
    """The most profitable quantity and what it brings, exactly; all zero when rejected.

    `notional` is what the buys cost before fees. `fees` is gross minus net. `q_star` is the quantity
    before lots and minimums. `rejected` is None, "depth" (one side of the books is empty), "fees" (the
    best effective bid is not above the best effective ask) or "lots" (nothing is left after flooring,
    or a minimum is not met on one of the legs).
    """

    quantity: Fraction
    gross_profit: Fraction
    net_profit: Fraction
    notional: Fraction
    fees: Fraction
    rejected: str | None
    q_star: Fraction


@dataclass(frozen=True)
class ClearedBooks(Optimum):
    """An optimum over several books, with the quantities bought and sold on each exchange."""

    bought: dict[str, Fraction] = field(default_factory=dict)
    sold: dict[str, Fraction] = field(default_factory=dict)


def common_step(*lots: Number | None) -> Fraction:
    """Give the least common multiple of decimal lot steps; 0 or None means that any size goes."""
    steps = [step for lot in lots if (step := positive(repr(float(lot)) if isinstance(lot, float) else lot))]
    common = Fraction(0)
    for step in steps:
        common = step if not common else _least_common_multiple(common, step)
    return common


def _least_common_multiple(a: Fraction, b: Fraction) -> Fraction:
    denominator = math.lcm(a.denominator, b.denominator)
    return Fraction(math.lcm(int(a * denominator), int(b * denominator)), denominator)


def usd_book_in_usdt(
    bids: Levels, asks: Levels, usdt_usd_bid: Number, usdt_usd_ask: Number
) -> tuple[list[tuple[Fraction, Fraction]], list[tuple[Fraction, Fraction]]]:
    """Bring a USD book to USDT on the executable side of the direct USDT/USD book; bids, asks.

    The USD to buy with come from selling USDT at its bid; the USD of a sale buy USDT at its ask.
    """
    usdt_bid, usdt_ask = required(usdt_usd_bid, "bid"), required(usdt_usd_ask, "ask")
    return [(p / usdt_ask, q) for p, q in levels(bids)], [(p / usdt_bid, q) for p, q in levels(asks)]


def usdt_book_in_usd(
    bids: Levels, asks: Levels, usdt_usd_bid: Number, usdt_usd_ask: Number
) -> tuple[list[tuple[Fraction, Fraction]], list[tuple[Fraction, Fraction]]]:
    """Bring a USDT book to USD: the USDT to buy with cost the ask, those of a sale bring the bid."""
    usdt_bid, usdt_ask = required(usdt_usd_bid, "bid"), required(usdt_usd_ask, "ask")
    return [(p * usdt_bid, q) for p, q in levels(bids)], [(p * usdt_ask, q) for p, q in levels(asks)]


@dataclass(frozen=True, order=True)
class _Order:
    """One level on offer: sorts by its price after fees; bids are held with a negative `rank`."""

    rank: Fraction
    price: Fraction
    exchange: str
    size: Fraction


@dataclass(frozen=True)
class _Fill:
    size: Fraction
    ask: _Order
    bid: _Order

    @property
    def net(self) -> Fraction:
        return self.size * (-self.bid.rank - self.ask.rank)

    @property
    def gross(self) -> Fraction:
        return self.size * (self.bid.price - self.ask.price)

    def cut(self, size: Fraction) -> _Fill:
        return _Fill(min(size, self.size), self.ask, self.bid)


def _offers(asks: Levels, fee: Number, sides: int, exchange: str) -> list[_Order]:
    factor = 1 + sides * required(fee, "fee")
    return [_Order(price * factor, price, exchange, size) for price, size in levels(asks)]


def _demands(bids: Levels, fee: Number, sides: int, exchange: str) -> list[_Order]:
    factor = 1 - sides * required(fee, "fee")
    return [_Order(-price * factor, price, exchange, size) for price, size in levels(bids)]


def _merge(asks: Iterable[_Order], bids: Iterable[_Order]) -> list[_Fill]:
    """Match the cheapest ask with the dearest bid, both after fees, while the bid is above the ask."""
    sellers, buyers = sorted(asks, reverse=True), sorted(bids, reverse=True)
    fills: list[_Fill] = []
    ask_left = bid_left = Fraction(0)
    while sellers and buyers and -buyers[-1].rank > sellers[-1].rank:
        ask_left, bid_left = ask_left or sellers[-1].size, bid_left or buyers[-1].size
        fill = _Fill(min(ask_left, bid_left), sellers[-1], buyers[-1])
        fills.append(fill)
        ask_left, bid_left = ask_left - fill.size, bid_left - fill.size
        if not ask_left:
            sellers.pop()
        if not bid_left:
            buyers.pop()
    return fills


def _cut(fills: Iterable[_Fill], quantity: Fraction) -> list[_Fill]:
    """Keep the first `quantity` of the walk."""
    kept, left = [], quantity
    for fill in fills:
        if left > 0:
            kept.append(fill.cut(left))
            left -= kept[-1].size
    return kept


def _quantity(fills: Iterable[_Fill]) -> Fraction:
    return sum((fill.size for fill in fills), Fraction(0))


def _nothing(rejected: str, q_star: Fraction = Fraction(0)) -> Optimum:
    zero = Fraction(0)
    return Optimum(zero, zero, zero, zero, zero, rejected, q_star)


def pair_optimum(
    asks: Levels,
    bids: Levels,
    *,
    fee_buy: Number,
    fee_sell: Number,
    sides: int = 1,
    lot: Number | tuple[Number, Number] = 0,
    min_amount_buy: Number = 0,
    min_amount_sell: Number = 0,
    min_notional_buy: Number = 0,
    min_notional_sell: Number = 0,
) -> Optimum:
    """Buy at one venue's asks and sell at another's bids, as long as each unit pays after fees.

    `sides` is 1 for spot, 2 when both legs are entered and left (priced at the entry). `lot` is the
    common step or the steps of both legs. Minimums are held against the floored quantity: amounts in
    base units, notionals at each leg's own prices.
    """
    offers, demands = _offers(asks, fee_buy, sides, "buy"), _demands(bids, fee_sell, sides, "sell")
    if not offers or not demands:
        return _nothing("depth")
    walk = _merge(offers, demands)
    if not walk:
        return _nothing("fees")
    q_star = _quantity(walk)
    fills = _cut(walk, _floored(q_star, common_step(*(lot if isinstance(lot, tuple) else (lot,)))))
    spent = sum((fill.size * fill.ask.price for fill in fills), Fraction(0))
    earned = sum((fill.size * fill.bid.price for fill in fills), Fraction(0))
    minimums = (min_amount_buy, min_amount_sell, min_notional_buy, min_notional_sell)
    if not fills or not _meets((_quantity(fills), spent, earned), minimums):
        return _nothing("lots", q_star)
    gross, net = earned - spent, sum((fill.net for fill in fills), Fraction(0))
    return Optimum(_quantity(fills), gross, net, spent, gross - net, None, q_star)


def _floored(quantity: Fraction, step: Fraction) -> Fraction:
    return quantity // step * step if step else quantity


def _meets(made: tuple[Fraction, Fraction, Fraction], minimums: Sequence[Number | None]) -> bool:
    """Hold (amount, spent, earned) against the minimum amounts and notionals of both legs."""
    amount, spent, earned = made
    needed = [exact(minimum) or Fraction(0) for minimum in minimums]
    return all(have >= need for have, need in zip((amount, amount, spent, earned), needed, strict=True))


def pair_optimum_brute(
    asks: Levels,
    bids: Levels,
    *,
    fee_buy: Number,
    fee_sell: Number,
    sides: int = 1,
    lot: Number | tuple[Number, Number] = 0,
    min_amount_buy: Number = 0,
    min_amount_sell: Number = 0,
    min_notional_buy: Number = 0,
    min_notional_sell: Number = 0,
) -> Optimum:
    """Find the same as `pair_optimum` by trying every quantity that can be best; for small books.

    The profit of a quantity is the value of the dearest bids minus that of the cheapest asks, a line
    between the cumulated sizes of either side, so that its first maximum is at one of these. With lots,
    every multiple up to that maximum is tried.
    """
    offers, demands = sorted(levels(asks)), sorted(levels(bids), reverse=True)
    if not offers or not demands:
        return _nothing("depth")
    cost = 1 + sides * required(fee_buy, "fee_buy")
    income = 1 - sides * required(fee_sell, "fee_sell")

    def net(quantity: Fraction) -> Fraction:
        return income * _value(demands, quantity) - cost * _value(offers, quantity)

    deepest = min(_depth(offers), _depth(demands))
    ends = sorted(q for q in {Fraction(0), *_ends(offers), *_ends(demands)} if q <= deepest)
    q_star = max(ends, key=net)  # the first of equals, hence the smallest
    if not q_star:
        return _nothing("fees")
    step = common_step(*(lot if isinstance(lot, tuple) else (lot,)))
    multiples = [step * k for k in range(1, int(q_star / step) + 1)] if step else ends
    tried = [q for q in multiples if 0 < q <= q_star]
    minimums = (min_amount_buy, min_amount_sell, min_notional_buy, min_notional_sell)
    allowed = [q for q in tried if _meets((q, _value(offers, q), _value(demands, q)), minimums)]
    if not allowed:
        return _nothing("lots", q_star)
    best = max(allowed, key=net)
    gross = _value(demands, best) - _value(offers, best)
    return Optimum(best, gross, net(best), _value(offers, best), gross - net(best), None, q_star)


def _depth(side: Iterable[tuple[Fraction, Fraction]]) -> Fraction:
    return sum((size for _, size in side), Fraction(0))


def _ends(side: Sequence[tuple[Fraction, Fraction]]) -> list[Fraction]:
    """Give the cumulated sizes at which a level of the side ends."""
    return [_depth(side[: i + 1]) for i in range(len(side))]


def _value(side: Sequence[tuple[Fraction, Fraction]], quantity: Fraction) -> Fraction:
    """Value the first `quantity` of a sorted side: each level by what of it lies below `quantity`."""
    starts = [Fraction(0), *_ends(side)]
    pairs = zip(side, starts[:-1], strict=True)
    return sum((price * max(Fraction(0), min(size, quantity - start)) for (price, size), start in pairs), Fraction(0))


def n_book_optimum(
    books: Mapping[str, tuple[Levels, Levels]], fees: Mapping[str, Number], sides: int = 1
) -> ClearedBooks:
    """Clear all books of one instrument against each other at once: {exchange: (bids, asks)}.

    Net profit and quantity are unique. Where effective prices tie at the margin, the lower raw price and
    then the name come first, which decides gross profit, notional and who trades.
    """
    offers = [o for name, (_, asks) in books.items() for o in _offers(asks, fees[name], sides, name)]
    demands = [d for name, (bids, _) in books.items() for d in _demands(bids, fees[name], sides, name)]
    fills = _merge(offers, demands)
    gross = sum((fill.gross for fill in fills), Fraction(0))
    net = sum((fill.net for fill in fills), Fraction(0))
    rejected = None if fills else "fees" if offers and demands else "depth"
    quantity = _quantity(fills)
    return ClearedBooks(
        quantity=quantity,
        gross_profit=gross,
        net_profit=net,
        notional=sum((fill.size * fill.ask.price for fill in fills), Fraction(0)),
        fees=gross - net,
        rejected=rejected,
        q_star=quantity,
        bought=_by_exchange((fill.ask.exchange, fill.size) for fill in fills),
        sold=_by_exchange((fill.bid.exchange, fill.size) for fill in fills),
    )


def _by_exchange(parts: Iterable[tuple[str, Fraction]]) -> dict[str, Fraction]:
    totals: dict[str, Fraction] = {}
    for exchange, size in parts:
        totals[exchange] = totals.get(exchange, Fraction(0)) + size
    return totals


def depth_within(bids: Levels, asks: Levels, ref: Number, bps: Number) -> dict[str, Fraction]:
    """Add up what rests no further than `bps` from `ref`, in base units and as price times size."""
    reference, distance = required(ref, "ref"), required(bps, "bps") / 10_000
    found = {name: Fraction(0) for name in ("bid_base", "ask_base", "bid_notional", "ask_notional")}
    for price, size in levels(bids):
        if price >= reference * (1 - distance):
            found["bid_base"] += size
            found["bid_notional"] += price * size
    for price, size in levels(asks):
        if price <= reference * (1 + distance):
            found["ask_base"] += size
            found["ask_notional"] += price * size
    return found


def spread_in_bps(bids: Levels, asks: Levels) -> Fraction | None:
    """Give the best ask less the best bid over their middle; None without both."""
    buyers, sellers = [price for price, _ in levels(bids)], [price for price, _ in levels(asks)]
    if not buyers or not sellers:
        return None
    bid, ask = max(buyers), min(sellers)
    return 10_000 * (ask - bid) / ((ask + bid) / 2)


def reached(side: Levels, ref: Number, bps: Number, *, bids: bool) -> bool:
    """Say whether some level of the side is at least `bps` worse than `ref`."""
    reference, distance = required(ref, "ref"), required(bps, "bps") / 10_000
    worse = [reference - price if bids else price - reference for price, _ in levels(side)]
    return any(away >= reference * distance for away in worse)


def _neighbours(bars: Iterable[Row], step_ms: Number) -> list[tuple[Row, Row]]:
    """Pair each bar with the one that begins exactly one step later."""
    by_time = {required(bar["time"], "time"): bar for bar in bars}
    step = required(step_ms, "step_ms")
    return [(by_time[time], by_time[time + step]) for time in sorted(by_time) if time + step in by_time]


def _of(bar: Row, name: str) -> Fraction:
    return required(bar[name], name)


def _mean(values: Sequence[Fraction]) -> Fraction | None:
    return sum(values, Fraction(0)) / len(values) if values else None


def amihud(bars: Iterable[Row], step_ms: Number) -> float:
    """Average |close / close before - 1| / quote volume over neighbouring bars; bars without volume do not count."""
    ratios = []
    for before, after in _neighbours(bars, step_ms):
        volume = positive(after["quote_volume"])
        if volume is not None:
            ratios.append(abs(_of(after, "close") / _of(before, "close") - 1) / volume)
    mean = _mean(ratios)
    return NAN if mean is None else float(mean)


def abdi_ranaldo_bps(bars: Iterable[Row], step_ms: Number) -> float:
    """Give 2 * sqrt(max(mean[(c - h)(c - h of the next bar)], 0)), c = ln close, h = (ln high + ln low) / 2."""

    def middle(bar: Row) -> Fraction:
        return (logarithm(_of(bar, "high")) + logarithm(_of(bar, "low"))) / 2

    products = []
    for before, after in _neighbours(bars, step_ms):
        close = logarithm(_of(before, "close"))
        products.append((close - middle(before)) * (close - middle(after)))
    mean = _mean(products)
    return NAN if mean is None else float(10_000 * 2 * root(max(mean, Fraction(0))))


def corwin_schultz_bps(bars: Iterable[Row], step_ms: Number) -> float:
    """Average 2(e^a - 1) / (1 + e^a) over neighbouring bars, a negative one as 0.

    a = (sqrt(2B) - sqrt(B)) / (3 - 2 sqrt 2) - sqrt(G / (3 - 2 sqrt 2)); B is the sum of both bars' squared
    ln(high / low), G the squared ln of the higher high over the lower low.
    """
    spreads = []
    scale = 3 - 2 * root(Fraction(2))
    for before, after in _neighbours(bars, step_ms):
        beta = sum((logarithm(_of(bar, "high") / _of(bar, "low")) ** 2 for bar in (before, after)), Fraction(0))
        high = max(_of(before, "high"), _of(after, "high"))
        low = min(_of(before, "low"), _of(after, "low"))
        gamma = logarithm(high / low) ** 2
        alpha = (root(2 * beta) - root(beta)) / scale - root(gamma / scale)
        grown = exponential(alpha)
        spreads.append(max(Fraction(0), 2 * (grown - 1) / (1 + grown)))
    mean = _mean(spreads)
    return NAN if mean is None else float(10_000 * mean)


def volume_mean(prices: Sequence[Number], volumes: Sequence[Number]) -> Fraction:
    """Weigh prices by their volumes; a volume that is absent or not above 0 weighs nothing."""
    shares = [positive(volume) or Fraction(0) for volume in volumes]
    values = [required(price, "price") for price in prices]
    return sum((w * p for w, p in zip(shares, values, strict=True)), Fraction(0)) / sum(shares, Fraction(0))


def weighted_median(pairs: Iterable[tuple[Fraction, Fraction]]) -> Fraction:
    """Take the price of (price, weight) at which half of the weight is reached; the mean of two at exactly half."""
    ordered = sorted(pairs)
    half, reached = sum((weight for _, weight in ordered), Fraction(0)) / 2, Fraction(0)
    for place, (price, weight) in enumerate(ordered):
        reached += weight
        if reached == half:
            return (price + ordered[place + 1][0]) / 2
        if reached > half:
            return price
    message = "nothing to take the median of"
    raise ValueError(message)


def trades_price(
    trades: Iterable[Sequence[Number]], end: Number, window: Number = 3600, partitions: int = 12
) -> tuple[Fraction, list[Fraction | None]]:
    """Price (time, price, size) trades of the window up to `end`, included; also the median of each partition.

    The mean of the partitions' volume-weighted medians, of those that have a trade. Times are in the unit of `window`.
    """
    last, width = required(end, "end"), required(window, "window") / partitions
    rows = [(required(t, "time"), required(p, "price"), required(q, "size")) for t, p, q in trades]
    middles: list[Fraction | None] = []
    for number in range(partitions):
        start = last - width * (partitions - number)
        inside = [(price, size) for time, price, size in rows if start < time <= start + width]
        middles.append(weighted_median(inside) if inside else None)
    known = [middle for middle in middles if middle is not None]
    return sum(known, Fraction(0)) / len(known), middles


def size_cap(sizes: Iterable[Fraction], trim: Number, sigmas: Number) -> Fraction:
    """Give the trimmed mean and so many winsorised sample deviations above it."""
    ordered = sorted(sizes)
    n, cut = len(ordered), math.floor(required(trim, "trim") * len(ordered))
    inner = ordered[cut : n - cut]
    winsorised = [inner[0]] * cut + inner + [inner[-1]] * cut
    centre = sum(winsorised, Fraction(0)) / n
    variance = sum(((size - centre) ** 2 for size in winsorised), Fraction(0)) / max(n - 1, 1)
    return sum(inner, Fraction(0)) / len(inner) + required(sigmas, "sigmas") * root(variance)


def books_price(
    books: Mapping[str, tuple[Levels, Levels]],
    *,
    spacing: Number = 1,
    deviation: Number = Fraction(1, 200),
    deepest: int = 50,
    within: Number = Fraction(1, 20),
    trim: Number = Fraction(1, 100),
    sigmas: Number = 5,
    factor: Number = Fraction(3, 10),
) -> tuple[Fraction | None, dict[str, Fraction]]:
    """Price {exchange: (bids, asks)} as one book, step by step; also each exchange's share of the capped sizes.

    The price is None where the book does not hold one step on both sides.
    """
    bids: list[tuple[Fraction, Fraction, str]] = []
    asks: list[tuple[Fraction, Fraction, str]] = []
    for name, (bid_levels, ask_levels) in books.items():
        low = sorted(levels(bid_levels), reverse=True)[:deepest]
        high = sorted(levels(ask_levels))[:deepest]
        bids += [(p, q, name) for p, q in low if 1 - p / low[0][0] <= required(within, "within")]
        asks += [(p, q, name) for p, q in high if p / high[0][0] - 1 <= required(within, "within")]
    cap = size_cap([size for _, size, _ in bids + asks], trim, sigmas)
    bids = [(price, min(size, cap), name) for price, size, name in sorted(bids, reverse=True)]
    asks = [(price, min(size, cap), name) for price, size, name in sorted(asks)]
    total = sum((size for _, size, _ in bids + asks), Fraction(0))
    shares = {name: sum((q for _, q, who in bids + asks if who == name), Fraction(0)) / total for name in books}
    step = required(spacing, "spacing")
    curve: list[tuple[Fraction, Fraction]] = []
    while (ask := _marginal(asks, step * (len(curve) + 1))) and (bid := _marginal(bids, step * (len(curve) + 1))):
        curve.append((ask, (ask + bid) / 2))
    if not curve:
        return None, shares
    near = [place for place, (ask, mid) in enumerate(curve) if ask / mid - 1 <= required(deviation, "deviation")]
    steps = max(near) + 1 if near else 1
    decay = 1 / (required(factor, "factor") * step * steps)
    weights = [exponential(-decay * step * (place + 1)) for place in range(steps)]
    priced = sum((weight * mid for weight, (_, mid) in zip(weights, curve, strict=False)), Fraction(0))
    return priced / sum(weights, Fraction(0)), shares


def _marginal(side: Sequence[tuple[Fraction, Fraction, str]], volume: Fraction) -> Fraction | None:
    """Give the price of the unit at `volume` of a sorted side, None beyond its end."""
    reached = Fraction(0)
    for price, size, _ in side:
        reached += size
        if reached >= volume:
            return price
    return None


# --- ways round several markets ----------------------------------------------------------------------------------

Edge = tuple[str, str, str]
"""Exchange, market as BASE/QUOTE, and "buy" or "sell"."""


def in_coins(fee_side: object, *, buying: bool) -> bool:
    """Say whether a fee is taken from the base: always, or since an order brings ("get") or pays ("give") it."""
    return fee_side in {"base", "get" if buying else "give"}


def edges(rows: Iterable[Row]) -> dict[Edge, tuple[str, str, Fraction]]:
    """Give by edge the currency paid, the one received and how much of it one unit brings, after the fee."""
    found: dict[Edge, tuple[str, str, Fraction]] = {}
    for row in rows:
        base, quote, fee = str(row["base"]), str(row["quote"]), required(row["fee"], "fee")
        name, where = f"{base}/{quote}", str(row["exchange"])
        after = {
            buying: (1 - fee if buying else 1 / (1 + fee))
            if in_coins(row.get("fee_side", "quote"), buying=buying)
            else (1 / (1 + fee) if buying else 1 - fee)
            for buying in (True, False)
        }
        found[where, name, "buy"] = (quote, base, after[True] / required(row["ask"], "ask"))
        found[where, name, "sell"] = (base, quote, after[False] * required(row["bid"], "bid"))
    return found


def ways_round(rows: Iterable[Row], most: int) -> dict[tuple[Edge, ...], Fraction]:
    """Give what every way round of at most `most` edges, no currency twice, makes of one unit; the first edge first."""
    known = edges(rows)
    found: dict[tuple[Edge, ...], Fraction] = {}

    def follow(path: tuple[Edge, ...], seen: tuple[str, ...], made: Fraction) -> None:
        for edge, (paid, got, rate) in known.items():
            if paid != seen[-1]:
                continue
            if got == seen[0] and path:
                whole = (*path, edge)
                first = whole.index(min(whole))
                found[(*whole[first:], *whole[:first])] = made * rate
            elif got not in seen and len(path) + 1 < most:
                follow((*path, edge), (*seen, got), made * rate)

    for currency in {paid for paid, _, _ in known.values()}:
        follow((), (currency,), Fraction(1))
    return found


@dataclass(frozen=True)
class Order:
    """One leg of a way round: a book's side, best first, the fee, and what the market asks of an order."""

    side: Sequence[tuple[Fraction, Fraction]]
    buying: bool
    fee: Fraction
    coins: bool = False
    lot: Fraction = Fraction(0)
    min_amount: Fraction = Fraction(0)
    min_notional: Fraction = Fraction(0)

    def given(self, amount: Fraction) -> Fraction:
        """Give what an order of `amount` base units costs, in what it pays with."""
        if self.buying:
            return _value(self.side, amount) * (1 if self.coins else 1 + self.fee)
        return amount * (1 + self.fee if self.coins else 1)

    def got(self, amount: Fraction) -> Fraction:
        """Give what an order of `amount` base units brings."""
        if self.buying:
            return amount * (1 - self.fee if self.coins else 1)
        return _value(self.side, amount) * (1 if self.coins else 1 - self.fee)

    def allowed(self, amount: Fraction) -> bool:
        """Say whether the market takes an order of `amount`."""
        return amount >= self.min_amount and _value(self.side, amount) >= self.min_notional

    def multiples(self) -> list[Fraction]:
        """Give every whole number of lots in the book."""
        return [self.lot * count for count in range(1, int(_depth(self.side) / self.lot) + 1)]


def round_in_lots(orders: Sequence[Order], most: Fraction) -> Fraction:
    """Give the best profit of all orders in whole lots, each paid with what the one before brought; 0 for none.

    The last order is of at most `most` base units. What one brings beyond what the next one takes counts for nothing.
    """
    ways = {orders[0].given(amount): [orders[0].got(amount)] for amount in _taken(orders[0])}
    for order in orders[1:-1]:
        amounts = _taken(order)
        ways = {
            paid: [order.got(amount) for made in brought for amount in amounts if order.given(amount) <= made]
            for paid, brought in ways.items()
        }
    last = [amount for amount in _taken(orders[-1]) if amount <= most]
    profits = [
        orders[-1].got(amount) - paid
        for paid, brought in ways.items()
        for amount in last
        if any(orders[-1].given(amount) <= made for made in brought)
    ]
    return max([Fraction(0), *profits])


def _taken(order: Order) -> list[Fraction]:
    return [amount for amount in order.multiples() if order.allowed(amount)]
