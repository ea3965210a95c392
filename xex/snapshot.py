"""From what venues sent to one answer: dating, quality, currency, price, liquidity, arbitrage. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, isnan, nan
from statistics import median
from typing import Any

import numpy as np

from xex.access.transport import Response
from xex.analytics import arbitrage, currency, gates, liquidity, pricing, sized, sizing
from xex.analytics.quality import (
    ABOUT_A_DOLLAR,
    COARSE,
    HARD_MAX_AGE_S,
    IDENTITY,
    NOT_COUNTED,
    SUSPECT,
    ages_ms,
    alike,
    mids,
    verdicts,
)
from xex.answer import CrossExchangeData
from xex.errors import Drop, Dropped
from xex.explained import number_text
from xex.model import identity
from xex.model.instruments import Instrument
from xex.model.listings import Listed, Listings
from xex.model.schema import Columns, concat, flags, length, numbers, take, texts

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
LEG_COLUMNS = (
    "instrument", "kind", "base", "quote", "bid", "ask", "bid_size", "ask_size", "last", "halted", "time_source",
    "exchange_time", "received_time",
)  # fmt: skip
"""What a rate needs to know of a quote."""


@dataclass(frozen=True, slots=True)
class Levels:
    """A book as arrays, best first: price and size of each side, and whether the venue cut it."""

    bid: tuple[Floats, Floats]
    ask: tuple[Floats, Floats]
    cut: tuple[bool, bool]

    @classmethod
    def of(cls, book: Columns) -> Levels | None:
        """Return the levels of one book's columns, None where there are none."""
        if not length(book):
            return None
        side = np.array(texts(book, "side"), dtype=object)
        price, size, cut = numbers(book, "price"), numbers(book, "size"), flags(book, "censored")
        # A connector of somebody's own may send what is no level.
        real = (price > 0) & (size > 0) & np.isfinite(price) & np.isfinite(size)
        bids, asks = real & (side == "bid"), real & (side == "ask")
        return cls((price[bids], size[bids]), (price[asks], size[asks]), (bool(cut[bids].any()), bool(cut[asks].any())))


@dataclass(slots=True)
class VenueAnswer:
    """What one exchange has sent so far; a question cut short, whose time is `over`, keeps what had come."""

    exchange: str
    venue: str
    instrument: Instrument | None = None
    listings: Listings | None = None
    listed: Listed | None = None
    ticker: Columns = field(default_factory=dict)
    legs: Columns = field(default_factory=dict)
    leg_books: Columns = field(default_factory=dict)
    book: Columns = field(default_factory=dict)
    book_failure: Drop | None = None
    failure: Drop | None = None
    rate_failure: Drop | None = None
    skew_ms: float = 0.0
    latency_ms: float = nan
    responses: list[Response] = field(default_factory=list)
    contracts: identity.Addresses = field(default_factory=dict)
    over: bool = False

    def rule(self, name: str) -> float:
        """Return a trading rule of the instrument, 0 where the venue has none."""
        if self.listings is None or self.listed is None:
            return 0.0
        value = float(self.listings.columns[name][self.listed.row])
        return 0.0 if isnan(value) else value


def assemble(
    symbol: str,
    instrument: Instrument,
    target: str,
    asked: Sequence[str],
    answers: Sequence[VenueAnswer],
    *,
    now_ms: int,
    with_books: bool,
    recording: str = "",
    terms: Terms | None = None,
    native: bool = False,
    peg: Sequence[str] = (),
) -> CrossExchangeData:
    """Make the answer from what came; with `native` only rows that quote in `target` make its numbers."""
    terms = terms or Terms()
    max_age_s = terms.limits.max_age_s
    came = [answer for answer in answers if length(answer.ticker)]
    rows = concat((_row(answer) for answer in came), "tickers")
    legs = _legs(answers, now_ms)
    skews = [answer.skew_ms for answer in came]
    rows["age_ms"] = ages(rows, skews, now_ms)
    _forget_old_tickers(came, rows, now_ms)
    rates = {
        quote: _unconverted(quote, target)
        if native
        else currency.rate(legs, quote, target, asset=instrument.base, max_age_s=max_age_s, peg=peg)
        for quote in dict.fromkeys(texts(rows, "quote"))
    }
    unconverted = take(rows, np.arange(len(came)))
    # The maths has one currency; a row that could not be converted is left out by its missing rate.
    rows = currency.converted(rows, rates) | {"currency": [target] * len(came)}
    quality = verdicts(rows, max_age_s=max_age_s)
    if native:
        quality[quality == Dropped.NO_RATE.value] = Dropped.OTHER_CURRENCY.value
    # Contracts that are known to differ need no price to tell them apart.
    strangers = identity.strangers({answer.exchange: answer.contracts for answer in came if answer.contracts})
    for row, answer in enumerate(came):
        if answer.exchange in strangers and quality[row] not in NOT_COUNTED:
            quality[row] = strangers[answer.exchange][0].value
    apart = _own_words_apart(came, now_ms, max_age_s)
    for row, answer in enumerate(came):
        if answer.exchange in apart and quality[row] not in NOT_COUNTED:
            quality[row] = Dropped.SUSPECT.value
    found = pricing.evaluate(rows, max_age_s=max_age_s, reasons=quality) if came else None
    total = {name: values[0] for name, values in found.totals.items()} if found else {}
    reasons = found.reason if found else []
    price = float(total.get("price", nan))
    levels = [Levels.of(answer.book) for answer in came]
    dropped = _dropped(answers, rows, unconverted, reasons, rates, strangers, max_age_s)
    dropped |= {
        name: Drop(Dropped.SUSPECT, why) for name, why in apart.items() if dropped.get(name) == Dropped.SUSPECT.value
    }
    scores, score = _liquidity(levels, numbers(rows, "fx_rate"), reasons, price)
    opportunities, rejected, together = _arbitrage(
        instrument, target, came, levels, rows, unconverted, legs, reasons, terms
    )
    split = "disagree" in str(total.get("flags", "")).split(",")
    volume, volume_quote, partial = _volumes(
        asked, rows, reasons, split=split, rated=_rated(reasons, unconverted, target, price)
    )
    _finish(rows, unconverted, found, came, scores, price)
    return CrossExchangeData(
        symbol=symbol,
        instrument=instrument,
        currency=target,
        timestamp=now_ms / 1e3,
        columns=rows,
        exchanges_data=_exchanges_data(rows),
        aggregated_price=price,
        price_variance=float(total.get("price_variance", nan)),
        price_var_sq=float(total.get("price_var_sq", nan)),
        dispersion_bps=float(total.get("dispersion_bps", nan)),
        range_bps=float(total.get("range_bps", nan)),
        mad_bps=float(total.get("mad_bps", nan)),
        arb_index=float(total.get("arb_index", nan)),
        volume_total=volume,
        volume_total_quote=volume_quote,
        volume_partial=partial,
        liquidity_score=score[0],
        liquidity_books=(score[2], len(asked)),
        liquidity_censored=score[1],
        arbitrage_opportunities=opportunities,
        rejected=rejected,
        depth=together,
        asked=list(asked),
        answered=[answer.exchange for answer in came],
        dropped=dropped,
        flags=[flag for flag in str(total.get("flags", "no_data")).split(",") if flag]
        + ([] if with_books else ["no_books"])
        + [f"no_rates:{answer.exchange}" for answer in answers if answer.rate_failure is not None],
        books=[_book(answer, rates, target) for answer in came],
        responses=_responses(answers),
        recording=recording,
    )


# --- rows ---------------------------------------------------------------------------------------------------


def _row(answer: VenueAnswer) -> Columns:
    """Return a venue's ticker row; a book's top replaces its quote, so that there is one quote with one time."""
    row = dict(answer.ticker)
    row["exchange"], row["venue"] = [answer.exchange], [answer.venue]
    notes = list(texts(row, "flags"))
    if length(answer.book):
        row.update(top_of(answer.book))
    elif answer.book_failure is not None:
        notes[0] = ",".join(filter(None, (notes[0], f"no_book:{answer.book_failure}")))
    row["flags"] = notes
    return row


def _own_words_apart(came: Sequence[VenueAnswer], now_ms: int, max_age_s: float) -> dict[str, str]:
    """Return whose book is far from its own fresh ticker, and how far: one of the two is another market's.

    Which one it is nobody can say, and where there is no other exchange nobody else would notice.
    """
    apart = {}
    for answer in came:
        fresh = ages(answer.ticker, [answer.skew_ms], now_ms)[0] <= 1e3 * max_age_s
        if not fresh or not length(answer.book):
            continue
        book, ticker = (mids(part)[0] for part in (top_of(answer.book), answer.ticker))
        if not isfinite(ticker):
            ticker = numbers(answer.ticker, "last")[0]
        if isfinite(book) and ticker > 0 and abs(book / ticker - 1) > SUSPECT:
            told = f"{number_text(float(book))} and {number_text(float(ticker))}"
            apart[answer.exchange] = f"its book and its ticker are of different prices, {told}: perhaps another asset's"
    return apart


def _forget_old_tickers(came: Sequence[VenueAnswer], rows: Columns, now_ms: int) -> None:
    """Blank what comes from a ticker that is old by its own time, even where a fresh book quotes in its place."""
    for row, answer in enumerate(came):
        age = ages(answer.ticker, [answer.skew_ms], now_ms)[0]
        if length(answer.book) and age > 1e3 * HARD_MAX_AGE_S:
            for name in ("last", "open", "high", "low", "mark", "index", "base_volume", "quote_volume"):
                if name in rows:
                    rows[name] = np.array(numbers(rows, name))
                    rows[name][row] = nan
            notes = list(texts(rows, "flags"))
            notes[row] = ",".join(filter(None, (notes[row], f"old_ticker:{age / 1e3:.0f}s")))
            rows["flags"] = notes


def top_of(book: Columns) -> Columns:
    """Return the best bid and ask of a book as a quote, with the book's time."""
    sides, level = np.array(texts(book, "side")), numbers(book, "level")
    top: Columns = {}
    for side in ("bid", "ask"):
        best = np.flatnonzero((sides == side) & (level == 0))
        top[side] = numbers(book, "price")[best[:1]] if len(best) else np.array([nan])
        top[f"{side}_size"] = numbers(book, "size")[best[:1]] if len(best) else np.array([nan])
    for name in ("exchange_time", "received_time", "time_source", "response_id"):
        if name in book:
            top[name] = book[name][:1]
    return top


AHEAD_MS = 5_000.0
"""How far a quote may be ahead of its venue's clock, whose measurement is half a journey off at most."""


def ages(rows: Columns, skews: Sequence[float], now_ms: int) -> Floats:
    """Return how old each row is, in ms: a quote by its own time on the venue's clock, others by arrival.

    `skews` say how far each venue's clock is ahead of ours. A quote that comes from the future by its venue's clock is
    not younger than it is by ours: whoever answers about the time may lie, or send an old answer.
    """
    quoted = np.array([source == "quote" for source in texts(rows, "time_source")], dtype=bool)
    by_ours = now_ms - numbers(rows, "exchange_time")
    by_quote = by_ours + np.asarray(skews, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        by_quote = np.where(by_quote < -AHEAD_MS, np.maximum(by_quote, by_ours), by_quote)
    by_arrival = now_ms - numbers(rows, "received_time", now_ms)
    return np.maximum(np.where(quoted & np.isfinite(by_quote), by_quote, by_arrival), 0.0)


def _legs(answers: Sequence[VenueAnswer], now_ms: int) -> Columns:
    """Return everything that was sent for rates, dated; books of direct pairs replace their tickers' quotes."""
    return concat((leg_rows(answer, now_ms) for answer in answers if length(answer.legs)), "tickers")


def leg_rows(answer: VenueAnswer, now_ms: int) -> Columns:
    """Return what one exchange sent for rates, dated; a book of a direct pair replaces its ticker's quote."""
    legs = {name: answer.legs[name] for name in LEG_COLUMNS if name in answer.legs}
    legs["exchange"], legs["venue"] = [answer.exchange] * length(legs), [answer.venue] * length(legs)
    booked = texts(answer.leg_books, "instrument")
    for symbol in dict.fromkeys(booked):
        book = take(answer.leg_books, np.array([name == symbol for name in booked]))
        for row, name in enumerate(texts(legs, "instrument")):
            if name == symbol:
                for column, values in top_of(book).items():
                    cells = list(legs.get(column, [nan] * length(legs)))
                    cells[row] = values[0]
                    legs[column] = cells
    legs["age_ms"] = ages(legs, [answer.skew_ms] * length(legs), now_ms)
    return legs


def _unconverted(quote: str, target: str) -> currency.Rate:
    """Return the rate of who converts nothing."""
    if quote == target:
        return currency.Rate(quote, target, 1.0, "identity", 0.0)
    return currency.Rate(quote, target, nan, why=f"it quotes in {quote}, and nothing is converted")


def _book(answer: VenueAnswer, rates: Mapping[str, currency.Rate], target: str) -> Columns:
    if not length(answer.book):
        return {}
    book, count = dict(answer.book), length(answer.book)
    fx = rates[texts(answer.ticker, "quote")[0]].rate
    if not np.isfinite(fx):
        return {}
    book["price"] = numbers(book, "price") * fx
    book["exchange"], book["venue"] = [answer.exchange] * count, [answer.venue] * count
    book["currency"], book["fx_rate"] = [target] * count, np.full(count, fx)
    return book


def _finish(
    rows: Columns,
    native: Columns,
    found: pricing.Evaluation | None,
    came: Sequence[VenueAnswer],
    scores: Sequence[float],
    price: float,
) -> None:
    """Add the columns that only the snapshot has."""
    bid, ask = numbers(rows, "bid"), numbers(rows, "ask")
    mid = found.price if found else np.zeros(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rows["spread_bps"] = 1e4 * (ask - bid) / ((ask + bid) / 2)
        rows["premium_bps"] = 1e4 * (mid / price - 1)
    rows["price"] = mid
    rows["weight"] = found.weight if found else np.zeros(0)
    rows["excluded_reason"] = found.reason if found else []
    rows["latency_ms"] = np.array([answer.latency_ms for answer in came])
    rows["skew_ms"] = np.array([answer.skew_ms for answer in came])
    rows["liquidity_score"] = np.array(scores, dtype=np.float64)
    rows["substitute"] = ["substitute" in note.split(",") for note in texts(rows, "flags")]
    # A row without a rate is not in the snapshot's currency, and must not look as if it were.
    rated = np.isfinite(numbers(rows, "fx_rate"))
    own = zip(rated, texts(rows, "currency"), texts(native, "quote"), strict=True)
    rows["currency"] = [target if known else quote for known, target, quote in own]
    rows.pop("halted", None)


def _exchanges_data(rows: Columns) -> dict[str, dict[str, Any]]:
    """Return the contract's dict per exchange; `timestamp` is when the quote was true, in Unix seconds."""
    stamps = np.where(
        np.isfinite(numbers(rows, "exchange_time")),
        numbers(rows, "exchange_time"),
        numbers(rows, "received_time"),
    )
    names = (
        "price", "bid", "ask", "base_volume", "quote_volume", "age_ms", "latency_ms", "weight", "fx_rate", "fx_age_ms",
    )  # fmt: skip
    cells = {name: numbers(rows, name).tolist() for name in names}
    return {
        exchange: {
            **{name: cells[name][row] for name in names},
            "currency": texts(rows, "currency")[row],
            "fx_source": texts(rows, "fx_source")[row],
            "timestamp": float(stamps[row]) / 1e3,
        }
        for row, exchange in enumerate(texts(rows, "exchange"))
    }


def _responses(answers: Sequence[VenueAnswer]) -> dict[str, tuple[Response, ...]]:
    """Return each exchange's payloads, those of its rates among them."""
    kept: dict[str, tuple[Response, ...]] = {}
    for answer in answers:
        if answer.responses:
            kept[answer.exchange] = (*kept.get(answer.exchange, ()), *answer.responses)
    return kept


# --- what is left out, volume -------------------------------------------------------------------------------


def _dropped(
    answers: Sequence[VenueAnswer],
    rows: Columns,
    native: Columns,
    reasons: Sequence[str],
    rates: Mapping[str, currency.Rate],
    strangers: Mapping[str, tuple[Dropped, str]],
    max_age_s: float,
) -> dict[str, Drop]:
    dropped = {answer.exchange: answer.failure for answer in answers if answer.failure is not None}
    for row, reason in enumerate(reasons):
        if reason:
            exchange = texts(rows, "exchange")[row]
            told, network = strangers.get(exchange, ("", ""))
            by_price = _detail(reason, row, rows, native, rates, max_age_s)
            dropped[exchange] = Drop(reason, f"another contract address on {network}" if told == reason else by_price)
    return dropped


def _detail(
    reason: str,
    row: int,
    rows: Columns,
    native: Columns,
    rates: Mapping[str, currency.Rate],
    max_age_s: float,
) -> str:
    bid, ask = (number_text(float(numbers(native, side)[row])) for side in ("bid", "ask"))
    quote = texts(native, "quote")[row]
    details = {
        Dropped.STALE: f"the quote is {ages_ms(rows)[row] / 1e3:.1f} s old, the limit is {max_age_s:g} s",
        Dropped.CROSSED: f"bid {bid} is not below ask {ask}",
        Dropped.WIDE: f"bid {bid} and ask {ask} are more than 5 % apart",
        Dropped.NO_QUOTE: "no usable bid and ask, no last price",
        Dropped.LAST_ONLY: "no bid and ask; a last price is no quote",
        Dropped.NO_RATE: rates[quote].why,
        Dropped.OTHER_CURRENCY: rates[quote].why,
        Dropped.HALTED: "the venue has suspended the instrument",
        Dropped.OUTLIER: "too far from the median of the venues",
        Dropped.SUSPECT: "more than 3 % from the median: perhaps another asset",
        Dropped.UNIT_ERROR: "a power of ten from the other venues: a unit error",
        Dropped.DISAGREE: "no majority of the venues agrees within 1 %",
    }
    return details.get(Dropped(reason), "")


def _volumes(
    asked: Sequence[str], rows: Columns, reasons: Sequence[str], *, split: bool, rated: Bools
) -> tuple[float, float, list[str]]:
    """Return base and quote volume over the identified venues that reported one, and the ids that are missing.

    Where the venues are `split`, no majority says what the asset is, and nobody is identified; nor is who is not
    `rated`.
    """
    counted = rated & np.array([not split and reason not in NOT_COUNTED for reason in reasons], dtype=bool)
    base, quote = numbers(rows, "base_volume"), numbers(rows, "quote_volume")
    converted = np.isfinite(numbers(rows, "fx_rate"))
    has_base, has_quote = counted & np.isfinite(base), counted & np.isfinite(quote) & converted
    complete = {name for name, whole in zip(texts(rows, "exchange"), has_base & has_quote, strict=True) if whole}
    return (
        float(base[has_base].sum()) if has_base.any() else nan,
        float(quote[has_quote].sum()) if has_quote.any() else nan,
        [name for name in asked if name not in complete],
    )


def _rated(reasons: Sequence[str], native: Columns, target: str, price: float) -> Bools:
    """Return which rows a price identifies: without a rate a rough one, of the others or, without any, their median."""
    apart = np.isin(np.asarray(reasons, dtype=object), [Dropped.NO_RATE.value, Dropped.OTHER_CURRENCY.value])
    if not apart.any():
        return ~apart
    if not isfinite(price):
        # Nobody has a rate: they tell one another.
        middles = mids(native)
        price = float(np.nanmedian(middles)) if np.isfinite(middles).any() else nan
        target = "USD"
    dollars = np.array([{quote, target} <= ABOUT_A_DOLLAR for quote in texts(native, "quote")], dtype=bool)
    return np.asarray(~apart | (dollars & alike(native, np.full(len(apart), price), COARSE)))


# --- liquidity ----------------------------------------------------------------------------------------------


def _liquidity(
    levels: Sequence[Levels | None],
    factors: Floats,
    reasons: Sequence[str],
    price: float,
) -> tuple[list[float], tuple[float, bool, int]]:
    """Return each venue's score, and the merged book's score, whether it is censored, and how many books it has."""
    kept = {Dropped.OUTLIER.value, ""}
    books = {
        row: liquidity.Depth.of(*book.bid, *book.ask, book.cut, factors[row])
        for row, (book, reason) in enumerate(zip(levels, reasons, strict=True))
        # Another coin's book says nothing of this one's price.
        if book is not None and np.isfinite(factors[row]) and reason not in IDENTITY
    }
    merged = [sides for row, sides in books.items() if reasons[row] in kept]
    *own, (score, censored) = liquidity.mean_scores([*books.values(), liquidity.Depth.merged(merged)], price)
    found = dict(zip(books, own, strict=True))
    scores = [found[row][0] if row in found else nan for row in range(len(reasons))]
    return scores, (score, censored, len(merged))


# --- arbitrage ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms opportunities are looked for, and what is known beside the quotes.

    `sigma` is the volatility of a second as a fraction where the caller knows it, `routes` are by (exchange from,
    exchange to), `daily` the funding of a day by exchange as a fraction of notional.
    """

    limits: gates.Thresholds = field(default_factory=gates.Thresholds)
    sigma: float = nan
    routes: Mapping[tuple[str, str], sized.Route] = field(default_factory=dict)
    daily: Mapping[str, float] = field(default_factory=dict)
    balances: sized.Balances | None = None


def _arbitrage(
    instrument: Instrument,
    target: str,
    came: Sequence[VenueAnswer],
    levels: Sequence[Levels | None],
    rows: Columns,
    native: Columns,
    legs: Columns,
    reasons: Sequence[str],
    terms: Terms,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Return what passes every gate, best first, the others with the gates that stop them, and all books' optimum."""
    quotes, limits = texts(native, "quote"), terms.limits
    direct = {
        quote: currency.executable(
            legs, *currency.canonical(quote, target), asset=instrument.base, max_age_s=limits.max_age_s
        )
        for quote in dict.fromkeys(quotes)
        if quote != target
    }
    aged = ages_ms(rows)
    books = []
    for row, answer in enumerate(came):
        book = direct.get(quotes[row])
        buy, sell = (_leg(answer, levels[row], row, native, target, book, buying=buying) for buying in (True, False))
        quote, deep = quotes[row], levels[row] is not None
        books.append(
            sized.Book(answer.exchange, quote, buy, sell, float(aged[row]), reasons[row], quote != target, deep)
        )
    market = sized.Market(
        instrument.symbol, instrument.group, instrument.base, instrument.kind, instrument.settle, target,
        _sigma_bps(rows, terms.sigma), terms.routes, terms.daily, terms.balances,
    )  # fmt: skip
    found, able, gate = sized.together(books, market, limits)
    times = arbitrage.fee_sides(instrument.kind)
    parts = {book.exchange: (book.buy, book.sell, times) for book in able}
    together = {
        "quantity": found.quantity, "gross_profit": found.gross_profit, "net_profit": found.net_profit,
        "notional": found.notional, "fees": found.fees, "currency": target,
        "clearing_price": found.price, "gate": gate, "legs": arbitrage.leg_rows(parts, found),
    }  # fmt: skip
    return *sized.found_in(books, market, limits), together


def _sigma_bps(rows: Columns, given: float) -> float:
    """Return the volatility of a second: the caller's, else the median of the venues' by their day's range."""
    if isfinite(given):
        return 1e4 * given
    sigma = gates.parkinson_sigma_bps(numbers(rows, "high"), numbers(rows, "low"))
    known = sigma[np.isfinite(sigma)].tolist()
    return median(known) if known else nan


def _leg(
    answer: VenueAnswer,
    levels: Levels | None,
    row: int,
    native: Columns,
    target: str,
    direct: currency.Executable | None,
    *,
    buying: bool,
) -> sizing.Leg:
    """Return one leg in the common currency, converted on the side of the direct book that would be hit."""
    side, quote = "ask" if buying else "bid", texts(native, "quote")[row]
    if levels is not None:
        price, size = levels.ask if buying else levels.bid
    else:
        price, size = numbers(native, side)[row : row + 1], numbers(native, f"{side}_size")[row : row + 1]
        known = np.isfinite(price) & (price > 0) & (size > 0)
        price, size = price[known], size[known]
    factor = executable_factor(direct, quote, target, buying=buying)
    leg = sizing.Leg(
        price * factor, size, float(numbers(native, "taker_bps")[row]) / 1e4,
        answer.rule("lot"), answer.rule("min_amount"), answer.rule("min_notional"), factor, answer.rule("lot_quote"),
    )  # fmt: skip
    if direct is None or quote == target or texts(native, "kind")[row] != "spot":
        return leg  # of contracts only what they bring is brought over
    worth = convertible(direct, quote, target, buying=buying)
    # Who sells has the fee less to bring over, not more.
    return sized.affordable(leg, worth=worth if buying else worth * (1 + leg.fee) / (1 - leg.fee))


def convertible(book: currency.Executable, quote: str, target: str, *, buying: bool) -> float:
    """Return how much of `quote` the best price of a direct book brings over; infinity where it tells no size."""
    if currency.canonical(quote, target) == (target, quote):
        price, size = (book.bid, book.bid_size) if buying else (book.ask, book.ask_size)
    else:
        price, size = 1.0, book.ask_size if buying else book.bid_size
    return price * size if isfinite(size) else inf


def executable_factor(book: currency.Executable | None, quote: str, target: str, *, buying: bool) -> float:
    """Return units of `target` per `quote` for who must pay (`buying`) or receives `quote`; NaN without a book.

    The payer sells `target` at the bid of `target` in `quote`; the receiver buys it at the ask.
    """
    if quote == target:
        return 1.0
    if book is None:
        return nan
    if currency.canonical(quote, target) == (target, quote):
        return 1.0 / (book.bid if buying else book.ask)
    return book.ask if buying else book.bid
