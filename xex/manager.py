"""The manager: asks all venues at once, keeps every answer and every failure."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from xex.access.deadline import cut_off, patient_for, remaining, until
from xex.access.fanout import TURNS, last_words
from xex.access.port import (
    AnswersBooks,
    AnswersMarket,
    AnswersTrades,
    ConvertsCurrencies,
    ListsInstruments,
    PlansRequests,
    able,
)
from xex.access.transport import heard
from xex.analytics import currency as currencies
from xex.analytics.quality import verdicts
from xex.answer import CrossExchangeData
from xex.catalogue import account, add_failure, lines, note_late, sections_of_market, who, words_of
from xex.derivatives import HAVE, check_has, sections_with
from xex.errors import (
    ConfigError,
    ConnectorError,
    Drop,
    Dropped,
    MissingRow,
    NotListed,
    NoVenueAnswered,
    SymbolError,
    TimedOut,
)
from xex.model import clock, schema
from xex.model.instruments import USD_LIKE, Instrument, Section, kind_of, parse_symbol
from xex.model.listings import Listings
from xex.model.schema import Columns, concat, length, numbers, take, texts
from xex.planning import Asked, Plan, planned
from xex.recording import in_use
from xex.roster import HEALTH, SKEW_FRESH_S, Entry, gathered
from xex.scanning import ASSEMBLY_S, BUDGET_PATIENCE_S, DEFAULT_TARGET, MOST_ASSEMBLY, STRAGGLER_S, TOP, Scanning, Whole
from xex.snapshot import LEG_COLUMNS, Terms, VenueAnswer, ages, assemble, leg_rows, top_of

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("xex.manager")

SKEW_GRACE_S = 0.25
"""How much longer than for the quotes a question waits for the venues' clocks."""
RATE_GRACE_S = 0.5
"""How much longer than for the quotes a question waits for rates at least."""
RATE_PATIENCE_MOST_S = 2.0
"""The longest that a question waits for rates after its quotes."""
RATE_PATIENCE_S = 0.2
"""How long a rate waits for a request budget before the last legs, with their age, must do."""
HEDGE_S = 1.0
"""How long `first` waits for an exchange of unknown latency before it asks the next one as well."""

NATIVE = "native"
"""The currency of who wants nothing converted."""

WHOLE = frozenset({"tickers", "instruments"})
PLANNED = {
    "snapshot": ("ticker", "order_book"), "ticker": ("ticker",), "order_book": ("order_book",), "trades": ("trades",),
    "tickers": ("tickers",), "instruments": ("instruments",), "opportunities": ("tickers",),
    **{feature: (feature,) for feature in HAVE},
}  # fmt: skip
"""What the plan of a question is made of."""
CLOCKED = frozenset({"snapshot", "tickers", "opportunities"})
"""The questions that compare the venues' clocks with ours."""

ANY_QUOTE = Instrument("", "EUR", "spot")
"""Which quotes a whole market will have is not known before: euros stand for all that may come."""

QUESTIONS = {"ticker": "tickers", "order_book": "books", "trades": "trades"}
"""The schema of the rows that answer a feature about one instrument."""


class ExchangeManager(Scanning):
    """Several exchanges behind one interface.

    Use it as ``async with ExchangeManager.from_env() as xm`` or add exchanges one by one. It belongs to the event
    loop of its first question; from another live loop it raises `LoopError`, and after its own loop is closed
    it binds to the next one. `deadline` (seconds) bounds each question that names none of its own, `cache` keeps
    instruments on disk between runs.
    """

    _asking, _assembly_s = 0, ASSEMBLY_S

    # --- questions

    async def get_cross_exchange_ticker(
        self,
        symbol: str,
        *,
        currency: str | None = None,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        books: bool = True,
        deadline: float | None = None,
        peg: currencies.Peg = (),
    ) -> CrossExchangeData:
        """Return one instrument's price, dispersion, volume, liquidity and arbitrage across the venues.

        `symbol` is BTCUSDT (the perpetual), BTC/USDT (spot), BTC/USDT:USDT or venue:ID; `market` ("spot", "perp",
        "inverse") decides where the text does not. `currency` is what prices are brought to, by default the quote
        asked; "native" converts nothing: only venues that quote as asked make the numbers, the others keep their own
        currency. Rates are measured in the same question; `peg` takes USDT, USDC or FDUSD (names, or True for all)
        at par with the dollar instead, which the rows then say; opportunities are never pegged. `deadline` bounds the
        call in seconds. A venue that fails is dropped with its reason. Raises `SymbolError` for a symbol without one
        meaning, `UnknownVenue`, `ConfigError`, and `NoVenueAnswered` when not one did.
        """
        return await self._snapshot(
            symbol, Terms(self.thresholds), currency=currency, market=market, venues=venues, books=books,
            deadline=deadline, peg=peg,
        )  # fmt: skip

    async def _snapshot(
        self,
        symbol: str,
        terms: Terms,
        *,
        currency: str | None = None,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        books: bool = True,
        deadline: float | None = None,
        peg: currencies.Peg = (),
    ) -> CrossExchangeData:
        self._enter()
        pegged = currencies.check_peg(peg)
        groups = self._chosen("ticker", venues)
        async with self._time_to_ask(self._seconds(deadline)):
            ask, instrument = await self._meant(symbol, market, groups)
            target = _checked_currency(currency, instrument)
            if instrument.kind == "spot":
                ways = await self._ways_of([instrument.base], terms, venues)
                terms = replace(terms, routes=ways.get(instrument.base, {}))
            answered = await self._asked_all(groups, instrument, target, books=books)
            if not any(length(answer.ticker) for answer in answered):
                failures = {answer.exchange: answer.failure for answer in answered if answer.failure is not None}
                instrument = await self._other_meaning(ask, instrument, market, groups, failures)
                target = _checked_currency(currency, instrument)
                answered = await self._asked_all(groups, instrument, target, books=books)
        asked = list(dict.fromkeys(answer.exchange for answer in answered if answer.instrument is not None))
        if not any(length(answer.ticker) for answer in answered):
            failures = {answer.exchange: answer.failure for answer in answered if answer.failure is not None}
            raise self._nobody(ask, instrument, failures)
        started = clock.monotonic()
        snap = assemble(
            symbol, instrument, instrument.quote if target == NATIVE else target, asked, answered,
            now_ms=_now(answered), with_books=books, recording=in_use(), terms=terms, native=target == NATIVE,
            peg=pegged,
        )  # fmt: skip
        self._assembly_s += 0.2 * (clock.monotonic() - started - self._assembly_s)
        self._note(snap)
        return snap

    @asynccontextmanager
    async def _time_to_ask(self, seconds: float) -> AsyncIterator[None]:
        """Bound the asking so that there is time left to put together what came.

        Snapshots of one loop are put together one after the other: of many at once each must leave time for all.
        """
        started = clock.monotonic()
        self._asking += 1
        try:
            await asyncio.sleep(0)  # those that are asked together are all there when the time is shared out
            seconds = max(seconds - (clock.monotonic() - started), 0.0)
            with until(seconds - min(MOST_ASSEMBLY * seconds, self._asking * self._assembly_s)):
                yield
        finally:
            self._asking -= 1

    def _note(self, snap: CrossExchangeData) -> None:
        """Keep what a snapshot tells of the venues: how old their data are, and whose price is another asset's."""
        rows = zip(
            texts(snap.columns, "exchange"), numbers(snap.columns, "age_ms"), texts(snap.columns, "excluded_reason"),
            strict=True,
        )  # fmt: skip
        for exchange, age_ms, reason in rows:
            state = self.exchange_info.get(exchange)
            if state is None:
                continue
            state.note_data_age(float(age_ms))
            if reason in {Dropped.SUSPECT.value, Dropped.UNIT_ERROR.value}:
                state.note_quarantine(snap.instrument.symbol, reason)

    async def tickers(
        self,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        currency: str | None = None,
        peg: currencies.Peg = (),
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return every active instrument of every venue in one frame, in base units.

        `market` is "spot", "perp", "linear", "inverse" or "dated". Prices are in the currency of each row's quote;
        with `currency` (and `peg`, as in `get_cross_exchange_ticker`) in that one, by rates of the same moment, so
        that `pricing.aggregate` and `arbitrage.scan` compare venues that quote in different dollars. A row without
        a rate keeps its own currency. A venue that lists an asset in several currencies has a row for each. What failed
        stands in ``frame.attrs["dropped"]`` by exchange, the markets of an exchange fail one by one; `fx` is what each
        quote's rate is made of, or why there is none.
        """
        self._enter()
        target, pegged = _checked_target(currency), currencies.check_peg(peg)
        with until(self._seconds(deadline)):
            whole = await self._market_in(target, market, venues, pegged)
        frame = schema.frame(whole.columns, "tickers")
        frame.attrs = account(whole.groups, texts(whole.columns, "exchange"), whole.failures)
        frame.attrs["fx"] = {quote: rate.sources or rate.why for quote, rate in whole.rates.items()}
        return frame

    async def universe(
        self,
        kind: str = "linear",
        *,
        min_venues: int = 2,
        min_quote_volume: float = 0.0,
        currency: str = "USD",
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return what a study should look at: a row per asset, kind and expiry, the most traded first.

        `kind` is "spot", "perp", "linear", "inverse" or "dated". Kept is what at least `min_venues` trade, with at
        least `min_quote_volume` (in `currency`, 24 h) in all. Columns: `n_venues` and `exchanges` that count, `price`
        and `dispersion_bps` over them, `base_volume` and `quote_volume`, which lack the exchanges in `volume_partial`,
        and `excluded`: who lists it but does not count, with the reason, for instance a price that says it is another
        asset. ``frame.attrs`` as in `books`, and `fx`: what each rate is made of.
        """
        self._enter()
        from xex.analytics.universe import check_limits, select

        target = _checked_target(currency)
        if target is None:
            raise ConfigError(f"currency {currency!r}: volumes are added in {', '.join(currencies.CURRENCIES)}")
        check_limits(min_venues, min_quote_volume)
        with until(self._seconds(deadline)):
            columns, _, failures, groups, rates = await self._market_in(target, kind, venues, ())
        found = select(columns, target, min_venues=min_venues, min_quote_volume=min_quote_volume)
        frame = schema.frame(found, "universe")
        frame.attrs = {
            "asked": [group[0].id for group in groups], "answered": list(dict.fromkeys(texts(columns, "exchange"))),
            "dropped": {name: drop.text for name, drop in failures.items()},
            "fx": {quote: rate.sources or rate.why for quote, rate in rates.items()},
        }  # fmt: skip
        return frame

    async def _market_in(
        self, target: str | None, market: str | None, venues: Iterable[str] | None, peg: Sequence[str]
    ) -> Whole:
        """Return the tickers of every market asked for, in `target` if there is one, and what converted them."""
        whole = asyncio.create_task(self._whole_market(market, venues))
        tries: list[VenueAnswer] = []
        rates = [
            asyncio.create_task(self._asked_rates(entry, ANY_QUOTE, target, tries))
            for entry in self._entries.values()
            if target is not None and able(entry.connector, ConvertsCurrencies) and self._offers(entry, "ticker")
        ]
        try:
            came, failures, groups = await whole
            if rates:
                await asyncio.wait(rates, timeout=min(RATE_GRACE_S, remaining()))
        finally:
            for task in [whole, *rates]:
                task.cancel()
                self._keep(task)  # also what has just failed, while the caller gave up
        columns = concat(came, "tickers")
        if target is None:
            return Whole(columns, columns, failures, groups, {})
        now_ms = clock.now_ms()
        parts = [_ratio_legs(columns), *(leg_rows(answer, now_ms) for answer in tries if length(answer.legs))]
        legs = concat(parts, "tickers")
        quotes = list(dict.fromkeys(texts(columns, "quote")))

        def rates_for(asset: str) -> dict[str, currencies.Rate]:
            return {quote: currencies.rate(legs, quote, target, asset=asset, peg=peg) for quote in quotes}

        # Whatever has a say in the rates is priced by rates in which it has none.
        voices, worth = dict.fromkeys(texts(legs, "base")), rates_for("")
        own = {base: rates_for(base) for base in voices} if any(quote != target for quote in quotes) else {}
        return Whole(currencies.converted(columns, worth, own), columns, failures, groups, worth)

    async def _whole_market(
        self, market: str | None, venues: Iterable[str] | None
    ) -> tuple[list[Columns], dict[str, Drop], list[list[Entry]]]:
        """Return the tickers of every market asked for, dated, with who failed and who was asked."""
        sections = sections_of_market(market)
        groups = self._chosen("ticker", venues)
        failures: dict[str, Drop] = {}

        async def whole(entry: Entry, section: Section) -> Columns:
            try:
                if not able(entry.connector, AnswersMarket):
                    raise NotListed("the connector knows single tickers only")
                await self._ready(entry)
                columns = await self._columns(entry, entry.connector.market([section]), "tickers")
                await self._measure_skew_if_old(entry)
            except ConnectorError as exc:
                add_failure(failures, entry.id, exc.reason, f"{words_of(section)}: {exc}")
                return {}
            count = length(columns)
            if not count:
                return {}
            columns["exchange"] = schema.Text.same(entry.id, count)
            columns["venue"] = schema.Text.same(entry.config.venue, count)
            columns["currency"] = columns["quote"]
            columns["fx_rate"], columns["fx_source"] = np.ones(count), schema.Text.same("identity", count)
            await asyncio.sleep(0)
            return columns

        asked = [(group[0], one) for group in groups for one in sections if one in group[0].connector.sections]
        for entry in (group[0] for group in groups):
            if not any(entry is one for one, _ in asked):
                failures[entry.id] = Drop(Dropped.NOT_LISTED, f"{market} markets are not offered here")
        parts = await gathered({f"{entry.id} {one}": whole(entry, one) for entry, one in asked}, self._keep)
        now_ms, came = clock.now_ms(), []
        for entry, section in asked:
            part = parts.get(f"{entry.id} {section}")
            if part is None:
                add_failure(failures, entry.id, Dropped.LATE, f"{words_of(section)}: no answer before the deadline")
            elif length(part):
                part["age_ms"] = ages(part, [entry.state.skew_ms] * length(part), now_ms)
                came.append(part)
        if not came:
            raise NoVenueAnswered(f"no venue answered:{lines(failures)}", failures)
        return came, failures, groups

    async def books(
        self,
        symbol: str,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return every venue's order book of one instrument: a row per level, best first, in native currencies.

        Prices are per one base unit, sizes base units; `censored` marks a side that the venue cut. ``frame.attrs``
        holds `asked`, `answered` and `dropped` (a reason per exchange). Raises as `get_cross_exchange_ticker` does.
        """
        return await self._asked_each("order_book", symbol, market, venues, deadline)

    async def trades(
        self,
        symbol: str,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return the venues' latest public trades of one instrument as one tape, oldest first, in native currencies.

        `side` is the taker's, sizes are base units, notionals quote units; the flag `bundled` marks venues that add
        up what one order took at one price. How far back each venue's part goes is the venue's choice.
        ``frame.attrs`` as in `books`.
        """
        frame = await self._asked_each("trades", symbol, market, venues, deadline)
        attrs = frame.attrs
        frame = frame.sort_values("exchange_time", kind="stable", ignore_index=True)
        frame.attrs = attrs
        return frame

    async def first(
        self,
        question: str,
        symbol: str,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return one exchange's answer, of the best one that has any: health, then priority, then load and latency.

        `question` is "ticker", "order_book" or "trades". One exchange is asked at a time; the next one is asked as
        well where one fails, sends a quote that is old or crossed, or is slower than it usually is. The column
        `exchange` and ``frame.attrs["answered"]`` name who answered, ``frame.attrs["dropped"]`` who was asked in vain.
        Raises `NoVenueAnswered` where nobody did.
        """
        self._enter()
        _check_question(question, "first")
        seconds = self._seconds(deadline)
        groups = self._chosen(question, venues)
        failures: dict[str, Drop] = {}
        with until(seconds):
            ask, instrument = await self._meant(symbol, market, groups)
            entries = sorted((entry for group in groups for entry in group), key=_load)
            came = await self._hedged(entries, question, instrument, failures)
            if came is None:
                instrument = await self._other_meaning(ask, instrument, market, groups, failures)
                failures.clear()
                came = await self._hedged(entries, question, instrument, failures)
        if came is None:
            raise self._nobody(ask, instrument, failures)
        frame = schema.frame(came, QUESTIONS[question])
        frame.attrs = account(groups, texts(came, "exchange"), failures)
        return frame

    async def quorum(
        self,
        k: int,
        question: str,
        symbol: str,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return the answers of the first `k` venues that have one, without waiting for the others.

        All are asked at once, and a venue counts once however many configurations it has. `question` is "ticker",
        "order_book" or "trades"; a quote that is old or crossed is no answer. ``frame.attrs`` as in `books`: who was
        not waited for stands in `dropped` as "not_needed". Raises `ConfigError` where there are fewer than `k` venues,
        and `NoVenueAnswered` where fewer answer.
        """
        self._enter()
        _check_question(question, "quorum")
        groups = self._chosen(question, venues)
        if k not in range(1, len(groups) + 1):
            raise ConfigError(f"a quorum is a number of venues, from 1 to the {len(groups)} that are asked, not {k!r}")
        failures: dict[str, Drop] = {}
        with until(self._seconds(deadline)):
            ask, instrument = await self._meant(symbol, market, groups)
            came = await self._first_of(k, groups, question, instrument, failures)
            if not came:
                instrument = await self._other_meaning(ask, instrument, market, groups, failures)
                failures.clear()
                came = await self._first_of(k, groups, question, instrument, failures)
        if len(came) < k:
            note_late([group for group in groups if group[0].id not in failures], came, failures)
            raise NoVenueAnswered(f"{len(came)} of {k} venues answered for {symbol!r}:{lines(failures)}", failures)
        rows = concat(came.values(), QUESTIONS[question])
        frame = schema.frame(rows, QUESTIONS[question])
        spared = {group[0].id for group in groups} - came.keys() - failures.keys()
        failures |= {name: Drop(Dropped.SPARED, f"{k} others had answered") for name in spared}
        frame.attrs = account(groups, texts(rows, "exchange"), failures)
        return frame

    async def _first_of(
        self,
        k: int,
        groups: Sequence[Sequence[Entry]],
        question: str,
        instrument: Instrument,
        failures: dict[str, Drop],
    ) -> dict[str, Columns]:
        """Ask all venues and return the first `k` usable answers, fewer where no more come in time."""
        tasks = {
            asyncio.create_task(self._in_turn(group, question, instrument, failures)): group[0].id for group in groups
        }
        came: dict[str, Columns] = {}
        pending = set(tasks)
        try:
            while pending and len(came) < k and (left := remaining()) > 0:
                done, pending = await asyncio.wait(
                    pending, timeout=None if left == inf else left, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    columns, name = task.result(), tasks[task]
                    unusable = _unusable(question, columns) if length(columns) else None
                    if unusable is not None:
                        failures[name] = unusable
                    elif length(columns) and len(came) < k:
                        came[name] = columns
        finally:
            for task in pending:
                task.cancel()
                self._keep(task)
        return came

    def plan(
        self,
        question: str,
        symbols: str | Iterable[str] = (),
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        times: int = 1,
        top: int = TOP,
        deadline: float | None = None,
    ) -> Plan:
        """Return what a question would cost, without asking anybody: requests, weight, time, and what would not fit.

        `question` is "snapshot" (`get_cross_exchange_ticker`), "ticker", "order_book" or "trades" about each of the
        `symbols`, "tickers" and "instruments" about whole markets, "funding_rates" and "open_interest" about either,
        "long_short" about symbols, or "opportunities" about either: over whole markets the tickers and then `top` books
        of every exchange, which is the most. `times` is how often it would be asked. What budgets have given out
        already counts, and so do instruments, clocks and rates where they would be asked for too; books that the venue
        cuts may be asked for deeper, and with a key what its account pays, once, which do not. How many pages
        liquidations and trades of a span take only the venue knows: they cannot be planned. Raises `ConfigError`,
        `SymbolError` and `UnknownVenue`.
        """
        seconds = self._seconds(deadline)
        if question not in PLANNED:
            raise ConfigError(f"plan() knows no {question!r}; it plans {', '.join(PLANNED)}")
        if times not in range(1, 1_000_001):
            raise ConfigError(f"times is how often a question would be asked, a whole number from 1, not {times!r}")
        symbols = [symbols] if isinstance(symbols, str) else list(symbols or ())
        of_snapshots = question == "snapshot" or (question == "opportunities" and bool(symbols))
        parts = PLANNED["snapshot" if of_snapshots else question]
        dropped: dict[str, Drop] = {}
        if question in HAVE:
            asked = self._contracts_planned(question, symbols, market, venues, times, dropped)
            return planned(question, asked, self._transport.budgets, seconds, dropped, self._requests_per_second)
        whole = parts[0] in WHOLE
        groups = self._chosen(parts[-1] if parts[-1] in QUESTIONS else "ticker", venues)
        wanted = [] if whole else self._planned_symbols(symbols, market, groups)
        asked = []
        for entry, connector in _planning(groups, dropped):
            if whole:
                mine = [_any_of(one) for one in sections_of_market(market) if one in entry.connector.sections]
                again = _planned_whole(connector, question, mine, top)
            else:
                mine = self._listed_there(entry, wanted, dropped)
                legs = {one: self._legs_planned(groups, one) if of_snapshots else () for one in mine}
                about = (*parts, "funding_rates") if question == "opportunities" else parts
                again = _planned_each(connector, about, legs)
            once = connector.requests("instruments", mine)
            if question in CLOCKED and entry.state.skew_age_s > SKEW_FRESH_S:
                once += connector.requests("clock", [])
            each = [url for url in again if url not in once] * times
            asked += [Asked(self._route(entry), url) for url in (*once, *each)]
        wanted_rates: list[tuple[Instrument, str, list[str]]] = []
        if of_snapshots:
            needing = [one for one in wanted if self._needs_rates(groups, one, one.quote)]
            wanted_rates = [(one, one.quote, self._quotes_coming(groups, one)) for one in needing]
        elif question == "opportunities":
            wanted_rates = [(ANY_QUOTE, DEFAULT_TARGET, [])]
        known = {(one.route.exchange, one.url) for one in asked}
        asked += [one for one in self._rates_planned(wanted_rates) if (one.route.exchange, one.url) not in known]
        return planned(question, asked, self._transport.budgets, seconds, dropped, self._requests_per_second)

    def _contracts_planned(
        self,
        question: str,
        symbols: Sequence[str],
        market: str | None,
        venues: Iterable[str] | None,
        times: int,
        dropped: dict[str, Drop],
    ) -> list[Asked]:
        """Return the requests of a question about some contracts together, or, without symbols, about whole markets."""
        groups = self._tellers(question, venues)
        whole = not symbols and question != "long_short"  # of which there are no lists
        wanted = [] if whole else self._planned_symbols(symbols, market, groups)
        for one in wanted:
            check_has(question, one)
        sections = sections_with(question, market) if whole else []
        asked = []
        for entry, connector in _planning(groups, dropped):
            lists = [[_any_of(one)] for one in sections if one in entry.connector.sections]
            once: list[str] = []
            each: list[str] = []
            for mine in lists if whole else [self._listed_there(entry, wanted, dropped)]:
                known = connector.requests("instruments", mine)
                about = connector.requests(question, mine)[len(known) :]
                once += known if about else []  # what tells of one contract at a time is not asked about a list
                each += about
            if whole and each and entry.state.skew_age_s > SKEW_FRESH_S:
                once += connector.requests("clock", [])
            if not each and entry.id not in dropped:
                dropped[entry.id] = Drop(Dropped.NOT_LISTED, "it publishes none of these, or of one contract at a time")
            asked += [
                Asked(self._route(entry), url) for url in (*dict.fromkeys(once), *list(dict.fromkeys(each)) * times)
            ]
        return asked

    def _planned_symbols(
        self, symbols: str | Iterable[str], market: str | None, groups: Sequence[Sequence[Entry]]
    ) -> list[Instrument]:
        """Return what symbols mean, as far as that is known without asking."""
        texts_ = [symbols] if isinstance(symbols, str) else list(symbols)
        if not texts_:
            raise ConfigError("a plan of a question about instruments needs their symbols")
        venues = {entry.config.venue for group in groups for entry in group}
        found = []
        for text in texts_:
            ask = parse_symbol(text, market, venues)
            if ask.instrument is None:
                raise SymbolError(f"{text!r} is a venue's own id; a plan needs a symbol such as BTCUSDT or BTC/USDT")
            found.append(ask.instrument)
        return found

    def _listed_there(self, entry: Entry, wanted: Sequence[Instrument], dropped: dict[str, Drop]) -> list[Instrument]:
        """Return what stands for each instrument on a venue; one whose list is not known is taken to be listed."""
        mine = []
        for one in wanted:
            if one.section not in entry.connector.sections:
                add_failure(
                    dropped, entry.id, Dropped.NOT_LISTED, f"{words_of(one.section)} markets are not offered here"
                )
                continue
            table: Listings | None = getattr(entry.connector, "known_listings", lambda _: None)(one.section)
            rows = [] if table is None else table.candidates(one)
            if table is not None and not rows:
                add_failure(dropped, entry.id, Dropped.NOT_LISTED, f"{one.symbol} is not listed")
                continue
            mine.append(one if table is None else table.listed(rows[0]).instrument)
        return mine

    def _legs_planned(self, groups: Sequence[Sequence[Entry]], instrument: Instrument) -> Sequence[Instrument]:
        """Return what comes with an instrument's tickers for the sake of rates."""
        return (
            self._legs(instrument, instrument.quote) if self._needs_rates(groups, instrument, instrument.quote) else ()
        )

    def _rates_planned(self, wanted: Sequence[tuple[Instrument, str, Sequence[str]]]) -> list[Asked]:
        """Return what rates would ask for: questions at the same time share it."""
        found: dict[tuple[str, str], Asked] = {}
        for one, target, coming in wanted:
            _, booked, sure = _wanted_rates(one, target, coming)
            books = [Instrument(base, quote, "spot") for base, quote in booked]
            for entry in self._entries.values():
                offered = set(getattr(entry.connector, "currency_pairs", ()))
                if offered & sure and able(entry.connector, PlansRequests) and self._offers(entry, "ticker"):
                    urls = entry.connector.requests("rates", books)
                    found |= {(entry.id, url): Asked(self._route(entry), url) for url in urls}
        return list(found.values())

    # --- asking one question of all venues

    async def _asked_each(
        self,
        question: str,
        symbol: str,
        market: str | None,
        venues: Iterable[str] | None,
        deadline: float | None,
    ) -> pd.DataFrame:
        """Ask every venue one question about an instrument and put the rows below one another."""
        self._enter()
        seconds = self._seconds(deadline)
        groups = self._chosen(question, venues)
        failures: dict[str, Drop] = {}

        # What goes through the seam lets itself be interrupted; a stranger's connector may not, and needs a task.
        alone = len(groups) == 1 and all(able(entry.connector, ListsInstruments) for entry in groups[0])

        async def everybody(instrument: Instrument) -> dict[str, Columns]:
            if alone:
                return {groups[0][0].id: await self._in_turn(groups[0], question, instrument, failures)}
            asked = {group[0].id: self._in_turn(group, question, instrument, failures) for group in groups}
            return await gathered(asked, self._keep, length, STRAGGLER_S)

        with until(seconds):
            ask, instrument = await self._meant(symbol, market, groups)
            parts = await everybody(instrument)
            if not any(map(length, parts.values())):
                note_late(groups, parts, failures)
                instrument = await self._other_meaning(ask, instrument, market, groups, failures)
                failures.clear()
                parts = await everybody(instrument)
        note_late(groups, parts, failures)
        came = concat(parts.values(), QUESTIONS[question])
        if not length(came):
            raise self._nobody(ask, instrument, failures)
        frame = schema.frame(came, QUESTIONS[question])
        frame.attrs = account(groups, texts(came, "exchange"), failures)
        return frame

    async def _in_turn(
        self, group: Sequence[Entry], question: str, instrument: Instrument, failures: dict[str, Drop]
    ) -> Columns:
        """Ask a venue's configurations one after the other until one answers, each for its share of the time."""
        for place, entry in enumerate(group):
            with until(remaining() / (len(group) - place)):
                try:
                    with cut_off(remaining()):
                        return await self._rows(entry, question, instrument)
                except ConnectorError as exc:
                    failures[entry.id] = exc.drop
                except TimeoutError:
                    failures[entry.id] = Drop(Dropped.LATE, "no answer in time")
        return {}

    async def _rows(self, entry: Entry, question: str, instrument: Instrument) -> Columns:
        """Return one exchange's rows about an instrument, named and dated, in its native currency."""
        connector, kind = entry.connector, QUESTIONS[question]
        await self._ready(entry)
        mine = instrument
        if able(connector, ListsInstruments):
            answer = VenueAnswer(entry.id, entry.config.venue, instrument)
            mine = await self._guarded(entry, self._matched(entry, answer, instrument))
        asked: Awaitable[Columns]
        if question == "order_book" and able(connector, AnswersBooks):
            asked = connector.books([mine])
        elif question == "trades" and able(connector, AnswersTrades):
            asked = connector.trades([mine])
        else:
            asked = connector.tickers([mine])
        columns = await self._columns(entry, asked, kind)
        count = length(columns)
        if not count:
            raise NotListed(f"{mine.symbol} is not listed", venue=entry.config.venue)
        same = {**who(entry), "currency": mine.quote, "fx_source": "identity"}
        columns |= {name: schema.Text.same(cell, count) for name, cell in same.items()}
        columns |= {"fx_rate": np.ones(count), "fx_age_ms": np.zeros(count)}
        dated = columns
        if question == "trades":
            # A trade is as old as its own time says, whatever the venue calls that.
            dated = {**columns, "time_source": schema.Text.same("quote", count)}
        columns["age_ms"] = ages(dated, [entry.state.skew_ms] * count, clock.now_ms())
        if mine.quote != instrument.quote:
            columns["flags"] = [",".join(filter(None, (note, "substitute"))) for note in texts(columns, "flags")]
        return columns

    async def _hedged(
        self, entries: Sequence[Entry], question: str, instrument: Instrument, failures: dict[str, Drop]
    ) -> Columns | None:
        """Ask one exchange after the other, without waiting for a slow one alone; return the first answer."""
        waiting = list(entries)
        tasks: dict[asyncio.Task[Columns], Entry] = {}
        try:
            while (waiting or tasks) and remaining() > 0:
                if waiting:
                    entry = waiting.pop(0)
                    tasks[asyncio.create_task(self._rows(entry, question, instrument))] = entry
                    usual = 4e-3 * entry.state.latency
                    patience = min(HEDGE_S, usual) if usual == usual else HEDGE_S
                    patience = min(max(patience, 0.05), remaining() / (len(waiting) + 1))
                else:
                    patience = remaining()
                done, _ = await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    entry = tasks.pop(task)
                    try:
                        columns = task.result()
                    except ConnectorError as exc:
                        failures[entry.id] = exc.drop
                        continue
                    unusable = _unusable(question, columns)
                    if unusable is None:
                        return columns
                    failures[entry.id] = unusable
            for entry in tasks.values():
                failures[entry.id] = Drop(Dropped.LATE, "no answer in time")
        finally:
            for task in tasks:
                task.cancel()
                self._keep(task)
        return None

    async def _asked_all(
        self, groups: Sequence[Sequence[Entry]], instrument: Instrument, target: str, *, books: bool
    ) -> list[VenueAnswer]:
        """Ask every venue at once; answers that came are kept, the late are dropped by name."""
        converts = self._needs_rates(groups, instrument, target)
        legs = self._legs(instrument, target) if converts else []
        coming = self._quotes_coming(groups, instrument) if converts else []
        tries: list[VenueAnswer] = []
        tasks = [
            asyncio.create_task(
                self._asked_venue(
                    group,
                    instrument,
                    legs,
                    tries,
                    books=books,
                    patience_s=BUDGET_PATIENCE_S if len(groups) > 1 else inf,
                )
            )
            for group in groups
        ]
        rates = [
            asyncio.create_task(self._asked_rates(entry, instrument, target, tries, coming))
            for entry in self._entries.values()
            # Whoever trades currencies votes on the rate, also where other venues were asked for the instrument.
            if converts and able(entry.connector, ConvertsCurrencies) and self._offers(entry, "ticker")
        ]
        skews = [
            asyncio.create_task(self._skew_measured(group[0]))
            for group in groups
            if group[0].state.skew_age_s > SKEW_FRESH_S
        ]
        started = clock.monotonic()
        try:
            await self._all_or_stale(tasks, tries)
            for answer in tries:
                answer.over = True
            await last_words([task for task in tasks if not task.done()], 2 * TURNS)
            if rates:
                # The votes of a rate are worth as long again as the quotes took, but not that these grow old.
                patience = min(max(RATE_GRACE_S, clock.monotonic() - started), RATE_PATIENCE_MOST_S, remaining())
                await asyncio.wait(rates, timeout=patience)
            pending = [task for task in skews if not task.done()]
            if pending:
                grace = min(0.05 + clock.monotonic() - started, SKEW_GRACE_S, remaining())
                await asyncio.wait(pending, timeout=grace)
        finally:
            for task in [*tasks, *rates, *skews]:
                if not task.done():
                    task.cancel()
                    self._keep(task)
        for task in [*tasks, *rates, *skews]:
            if task.done() and not task.cancelled():
                task.result()
        for answer in tries:
            answer.skew_ms = self._entries[answer.exchange].state.skew_ms if answer.exchange in self._entries else 0.0
            if not length(answer.ticker) and answer.failure is None and answer.instrument is not None:
                answer.failure = Drop(Dropped.LATE, "no answer while the others' quotes were fresh, or by the deadline")
        return tries

    @staticmethod
    async def _all_or_stale(tasks: Sequence[asyncio.Task[None]], tries: Sequence[VenueAnswer]) -> None:
        """Wait for the venues, but not until the quotes that came are too old to be compared with a late one."""
        pending, worth_waiting = set(tasks), float("inf")
        while pending and (left := min(remaining(), worth_waiting - clock.monotonic())) > 0:
            # In steps, since a ticker may be there although its venue is not done: its book may hang.
            _, pending = await asyncio.wait(pending, timeout=min(left, STRAGGLER_S / 10))
            if worth_waiting == float("inf") and any(length(answer.ticker) for answer in tries):
                worth_waiting = clock.monotonic() + STRAGGLER_S

    def _needs_rates(self, groups: Sequence[Sequence[Entry]], instrument: Instrument, target: str) -> bool:
        """Say whether rates may be needed: not where every venue is known to list the asked quote.

        In a recording they always belong to the question, so that it is the same one however often it is asked.
        """
        if target == NATIVE or target not in currencies.CURRENCIES:
            return False
        if target != instrument.quote or clock.is_recorded():
            return True
        return not all(self._lists(group[0], instrument) for group in groups)

    @staticmethod
    def _legs(instrument: Instrument, target: str) -> list[Instrument]:
        """Return the instruments that come with the asked one's tickers and that rates are made of."""
        kind = instrument.kind
        if kind == "inverse" or instrument.quote not in currencies.CURRENCIES:
            return []
        return [
            Instrument(base, quote, kind, "" if kind == "spot" else quote)
            for base in currencies.RATIO_BASES
            if base != instrument.base
            for quote in dict.fromkeys((target, *USD_LIKE[:3], instrument.quote))
        ]

    @staticmethod
    def _lists(entry: Entry, instrument: Instrument) -> bool:
        """Say whether a venue is already known to list exactly this instrument."""
        table: Listings | None = getattr(entry.connector, "known_listings", lambda _: None)(instrument.section)
        if table is None:
            return False
        row = table.find(instrument)
        return row is not None and bool(table.columns["active"][row])

    async def _asked_venue(
        self,
        group: Sequence[Entry],
        instrument: Instrument,
        legs: Sequence[Instrument],
        tries: list[VenueAnswer],
        *,
        books: bool,
        patience_s: float,
    ) -> None:
        """Ask a venue's configurations one after the other until one answers; each try is kept."""
        for place, entry in enumerate(group):
            answer = VenueAnswer(entry.id, entry.config.venue, instrument)
            tries.append(answer)
            heard.set(answer.responses)
            # A backup must have its share of the time, whatever the one before it does.
            seconds = remaining() / (len(group) - place)
            try:
                with until(seconds), patient_for(patience_s), cut_off(seconds):
                    await self._asked_one(entry, answer, instrument, legs, books=books)
            except ConnectorError as exc:
                answer.failure = exc.drop
                if answer.over or isinstance(exc, NotListed):
                    return
            except TimeoutError:
                if length(answer.ticker):
                    return
                answer.failure = Drop(Dropped.LATE, f"no answer in {seconds:.3g} s")
                entry.state.failed(TimedOut(answer.failure.detail, venue=answer.venue))
            else:
                return

    async def _asked_one(
        self,
        entry: Entry,
        answer: VenueAnswer,
        instrument: Instrument,
        legs: Sequence[Instrument],
        *,
        books: bool,
    ) -> None:
        connector = entry.connector
        await self._ready(entry)
        mine, substitute = instrument, False
        if able(connector, ListsInstruments):
            mine = await self._guarded(entry, self._matched(entry, answer, instrument))
            substitute = mine.quote != instrument.quote
        answer.instrument, answer.contracts = mine, self._known_contracts(entry, mine)
        wants_book = books and self._offers(entry, "order_book")
        book = asyncio.create_task(self._asked_book(entry, answer, mine)) if wants_book else None
        try:
            started = clock.monotonic()
            columns = await self._ticker_columns(entry, mine, legs)
            names = texts(columns, "instrument")
            ticker = columns
            if len(names) > 1:
                needed = {name: columns[name] for name in LEG_COLUMNS if name in columns}
                answer.legs = take(needed, np.array([name != mine.symbol for name in names]))
                ticker = take(columns, [names.index(mine.symbol)])
            notes = [texts(ticker, "flags")[0], "substitute" if substitute else ""]
            ticker["flags"] = [",".join(filter(None, notes))]
            answer.latency_ms = _latency(answer, ticker, 1e3 * (clock.monotonic() - started))
            if book is not None and not book.done():
                # Noted at once: the deadline may come while the book is still awaited, and the ticker counts then.
                answer.book_failure = Drop(Dropped.LATE, "no book before the deadline")
            answer.ticker = ticker
            if book is not None and not answer.over:
                await book
        finally:
            if book is not None and not book.done():
                book.cancel()
                self._keep(book)

    async def _ticker_columns(self, entry: Entry, mine: Instrument, legs: Sequence[Instrument]) -> Columns:
        """Return the rows of an instrument and of its legs; where the instrument's lacks, find out why."""
        connector = entry.connector
        columns: Columns = {}
        missing = MissingRow(f"no row for {mine.symbol}, which is listed and active", venue=entry.config.venue)
        try:
            columns = await self._columns(entry, connector.tickers([mine], legs), "tickers")
        except MissingRow as exc:
            missing = exc
        names = texts(columns, "instrument")
        if mine.symbol in names:
            return columns
        if not able(connector, ListsInstruments):
            raise missing if names else NotListed(f"{mine.symbol} is not listed")
        # The list in memory may be older than the end of the market.
        table = await self._guarded(entry, connector.listings([mine.section], refresh=True))
        row = table.find(mine)
        if row is None or not table.columns["active"][row]:
            raise NotListed(f"{mine.symbol} is not listed any more")
        raise missing

    async def _asked_book(self, entry: Entry, answer: VenueAnswer, instrument: Instrument) -> None:
        connector = entry.connector
        assert able(connector, AnswersBooks)  # noqa: S101  chosen by ability
        try:
            answer.book = await self._columns(entry, connector.books([instrument]), "books")
            answer.book_failure = None
        except ConnectorError as exc:
            answer.book_failure = exc.drop

    async def _matched(self, entry: Entry, answer: VenueAnswer, instrument: Instrument) -> Instrument:
        """Return the one instrument that stands for the asked one on this venue."""
        connector = entry.connector
        assert able(connector, ListsInstruments)  # noqa: S101  chosen by ability
        section = instrument.section
        if section not in entry.connector.sections:
            raise NotListed(f"{words_of(section)} markets are not offered here")
        table = await connector.listings([section])
        rows = table.candidates(instrument)
        if not rows:
            table = await connector.listings([section], refresh=True)
            rows = table.candidates(instrument)
        if not rows:
            raise NotListed(f"{instrument.symbol} is not listed")
        if len(rows) > 1:
            rows = [await self._most_traded(entry, table, rows)]
        answer.listings, answer.listed = table, table.listed(rows[0])
        return answer.listed.instrument

    async def _most_traded(self, entry: Entry, table: Listings, rows: Sequence[int]) -> int:
        """Return the row with the highest volume; a dollar is a dollar near enough to rank by."""
        columns = await entry.connector.tickers([table.listed(row).instrument for row in rows])
        volume = dict(zip(texts(columns, "instrument"), numbers(columns, "quote_volume"), strict=True))
        return max(rows, key=lambda row: np.nan_to_num(volume.get(table.symbols[row], 0.0), nan=-1.0))

    @staticmethod
    def _quotes_coming(groups: Sequence[Sequence[Entry]], instrument: Instrument) -> list[str]:
        """Return the currencies in which venues list the asset for want of the asked one, as far as is known."""
        found: dict[str, None] = {}
        for group in groups:
            table: Listings | None = getattr(group[0].connector, "known_listings", lambda _: None)(instrument.section)
            rows = table.candidates(instrument) if table is not None else []
            found |= dict.fromkeys(table.columns["quote"][row] for row in rows if table is not None)
        return list(found)

    async def _asked_rates(
        self,
        entry: Entry,
        instrument: Instrument,
        target: str,
        tries: list[VenueAnswer],
        coming: Sequence[str] = (),
    ) -> None:
        """Ask a venue's spot books for what rates need; a failure costs a source, not the venue.

        Questions at the same time share one request. Where the budget is spent the last legs serve, as old as they
        are: stale ones do not vote.
        """
        pairs, booked, sure = _wanted_rates(instrument, target, coming)
        offered = getattr(entry.connector, "currency_pairs", None)
        if offered is not None and not sure & set(offered):
            return
        key = f"legs {pairs} {booked} {clock.epoch()}"
        try:
            answer = await self._shared(entry, key, lambda: self._fetched_legs(entry, pairs, booked))
        except ConnectorError as exc:
            if key in entry.last_legs:
                tries.append(entry.last_legs[key])
            else:
                tries.append(VenueAnswer(entry.id, entry.config.venue, rate_failure=exc.drop))
        else:
            entry.last_legs = {key: answer}
            tries.append(answer)

    async def _fetched_legs(
        self, entry: Entry, pairs: Sequence[tuple[str, str]], booked: Sequence[tuple[str, str]]
    ) -> VenueAnswer:
        connector = entry.connector
        assert able(connector, ConvertsCurrencies)  # noqa: S101  chosen by ability
        answer = VenueAnswer(entry.id, entry.config.venue)
        heard.set(answer.responses)
        with patient_for(RATE_PATIENCE_S):
            await self._ready(entry)
            legs, books = await self._guarded(entry, connector.currency_legs(pairs, currencies.RATIO_BASES, booked))
            answer.legs, answer.leg_books = schema.checked(legs, "tickers"), schema.checked(books, "books")
        return answer

    # --- symbols


def _wanted_rates(
    instrument: Instrument, target: str, coming: Sequence[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], set[tuple[str, str]]]:
    """Return the pairs that rates may need, those whose books are read, and those that are needed for certain."""
    others = [quote for quote in coming if quote not in USD_LIKE[:3]]
    quotes = [*USD_LIKE[:3], instrument.quote, *others]
    # Where the target is neither the dollar nor its stand-in, either may be what the way to it goes over.
    hops = [] if target in USD_LIKE[:2] else currencies.needed(["USDT"], "USD")
    pairs = list(dict.fromkeys([*currencies.needed(quotes, target), *hops]))
    booked = currencies.needed([*USD_LIKE[:2], instrument.quote], target, pivots=False)
    # A pair that only may be needed is no reason to ask a venue of its own.
    sure = {*currencies.needed([*USD_LIKE[:2], instrument.quote, *others], target), *hops}
    return pairs, booked, sure


def _any_of(section: Section) -> Instrument:
    """Return an instrument that stands for a whole section."""
    return Instrument("", "", kind_of(section), "", "991231" if section.endswith("dated") else "")


def _planning(groups: Sequence[Sequence[Entry]], dropped: dict[str, Drop]) -> Iterator[tuple[Entry, PlansRequests]]:
    """Yield each venue's first exchange, and its connector, that knows what it would ask; the others are noted."""
    for entry in (group[0] for group in groups):
        if able(entry.connector, PlansRequests):
            yield entry, entry.connector
        else:
            dropped[entry.id] = Drop(Dropped.NOT_LISTED, "its connector does not say what it would ask")


def _planned_whole(connector: PlansRequests, question: str, sections: list[Instrument], top: int) -> list[str]:
    """Return what a question about whole markets would ask of an exchange."""
    if question != "opportunities":
        return connector.requests(question, sections)
    found, some = connector.requests("tickers", sections), [_some_market(sections)]
    if able(connector, AnswersBooks):
        found += top * connector.requests("order_book", some) + connector.requests("funding_rates", some)
    return found


def _planned_each(
    connector: PlansRequests, parts: Sequence[str], legs: Mapping[Instrument, Sequence[Instrument]]
) -> list[str]:
    """Return what a question about instruments, each with the legs of its rates, would ask of an exchange."""
    # Two parts that have one address, at the same time, are one request.
    return [
        url
        for one, mine in legs.items()
        for url in dict.fromkeys(url for part in parts for url in connector.requests(part, [one], mine))
    ]


def _some_market(sections: Sequence[Instrument]) -> Instrument:
    """Return an instrument that stands for any whose book may be asked for."""
    kind = sections[0].kind
    return Instrument(
        "BTC", "USD" if kind == "inverse" else "USDT", kind, {"inverse": "BTC", "linear": "USDT"}.get(kind, "")
    )


def _ratio_legs(market: Columns) -> Columns:
    """Return the rows of a market that rates are made of."""
    bases = {*currencies.RATIO_BASES, *currencies.CURRENCIES}
    legs = take(market, np.array([base in bases for base in texts(market, "base")], dtype=bool))
    return {name: legs[name] for name in (*LEG_COLUMNS, "exchange", "venue", "age_ms") if name in legs}


def _latency(answer: VenueAnswer, ticker: Columns, elapsed_ms: float) -> float:
    """Return how long the request took that the row came from."""
    wanted = texts(ticker, "response_id")[0]
    return next((heard.latency_ms for heard in answer.responses if heard.id == wanted), elapsed_ms)


def _now(answered: Sequence[VenueAnswer]) -> int:
    """Return the time of the answer; in a recording, when the last of its own responses had come.

    So an answer has the same ages while it is recorded and whenever it is replayed.
    """
    if not clock.is_recorded():
        return clock.now_ms()
    return max((heard.received_at for answer in answered for heard in answer.responses), default=clock.now_ms())


UNUSABLE = {
    "last_only": "a last price came, and neither bid nor ask", "no_quote": "neither bid nor ask came",
    "stale": "its quote is too old", "crossed": "its bid is not below its ask", "wide": "bid and ask are too far apart",
    "halted": "the market is halted",
}  # fmt: skip
"""Why an answer that came is nobody's to act on."""


def _unusable(question: str, columns: Columns) -> Drop | None:
    """Say why nobody should act on an exchange's quote or book: old, crossed, without a side, halted."""
    if question == "trades":
        return None
    top = columns if question == "ticker" else top_of(columns)
    top = {**top, "age_ms": numbers(columns, "age_ms")[:1]}
    reason = verdicts(top)[0]
    return Drop(reason, UNUSABLE.get(reason, "its answer came, and is not used")) if reason else None


def _check_question(question: str, asker: str) -> None:
    if question not in QUESTIONS:
        raise ConfigError(f"{asker}() knows no {question!r}; it answers {', '.join(QUESTIONS)}")


def _load(entry: Entry) -> tuple[int, int, int, float]:
    """Return what decides who is asked first: health, priority, what is under way there already, latency."""
    state = entry.state
    return HEALTH[state.status], entry.config.priority, state.in_flight, float(np.nan_to_num(state.latency, nan=1e9))


def _checked_target(currency: str | None) -> str | None:
    """Return the currency that a whole market is brought to, None for none."""
    name = None if currency in {None, NATIVE} else str(currency).strip().upper()
    if name is not None and name not in currencies.CURRENCIES:
        raise ConfigError(f"currency {currency!r}: conversion is known among {', '.join(currencies.CURRENCIES)}")
    return name


def _checked_currency(currency: str | None, instrument: Instrument) -> str:
    if currency is None:
        return instrument.quote
    name = str(currency).strip().upper()
    if name == NATIVE.upper():
        return NATIVE
    if name != instrument.quote and name not in currencies.CURRENCIES:
        known = ", ".join(currencies.CURRENCIES)
        raise ConfigError(f"currency {currency!r}: conversion is known among {known}; {NATIVE!r} converts nothing")
    return name


# --- one manager for a whole program

_managers: list[ExchangeManager] = []
_managers_lock = threading.Lock()


def get_exchange_manager() -> ExchangeManager:
    """Return the program's manager: one per event loop, all of one configuration.

    The first call reads the environment as `ExchangeManager.from_env` does; managers made later, for other event
    loops, share its very configurations, so that a change takes effect everywhere. Close it with
    ``await manager.disconnect_all()`` before its loop ends.
    """
    try:
        loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    with _managers_lock:
        mine = next((manager for manager in _managers if loop is not None and manager.claimed_by() is loop), None)
        if mine is None:
            mine = next((manager for manager in _managers if manager.claimed_by() is None), None)
        if mine is None and loop is None and _managers:
            # Asked outside any loop: whoever holds the first one decides where it is used.
            mine = _managers[0]
        if mine is None:
            mine = _managers[0].sibling() if _managers else ExchangeManager.from_env()
            _managers.append(mine)
        if loop is not None:
            mine.claim(loop)
        return mine
