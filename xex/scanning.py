"""Opportunities across the venues: over whole markets by their quotes, then through the books of the best alone."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from math import ceil, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xex.access.deadline import patient_for, remaining, until
from xex.access.port import AnswersBooks, able
from xex.analytics import arbitrage
from xex.analytics import currency as currencies
from xex.analytics.funnel import Funnel, funnel
from xex.analytics.gates import GATES, Thresholds
from xex.analytics.lifetimes import Lifetimes
from xex.analytics.quality import MAX_AGE_S, MAX_DISAGREE, SUSPECT, check_number
from xex.analytics.sized import Route, checked_balances
from xex.answer import CrossExchangeData
from xex.catalogue import account
from xex.derivatives import BUDGET_PATIENCE_S, PERPETUAL
from xex.errors import ConfigError, ConnectorError, Drop, Dropped, NoVenueAnswered, SymbolError
from xex.model import clock, schema
from xex.model.instruments import Instrument, parse_symbol
from xex.model.schema import Columns, Text, Words, coded, concat, flags, length, numbers, take, texts
from xex.recording import in_use
from xex.roster import Entry, gathered
from xex.rounds import Rounds
from xex.snapshot import LEG_COLUMNS, Terms, VenueAnswer, assemble

if TYPE_CHECKING:
    import pandas as pd

    from xex.analytics.currency import Rate
    from xex.planning import Plan

log = logging.getLogger("xex.scanning")

DEFAULT_TARGET = "USDT"
"""What profits over whole markets are counted in, unless told otherwise."""
TOP = 20
"""How many groups' books are asked for, unless told otherwise."""
OPEN_QUESTIONS = frozenset({"", "depth", "currency"})
"""The gates that quotes alone may be wrong about: books have more depth, and tell what a conversion costs."""

PLANNED_S = 60.0
"""For so long a watch is planned ahead, to say whose budget is too small for it."""

STRAGGLER_S = MAX_AGE_S / 2
"""How long after the first venue the last is worth waiting for: the quotes that came grow old meanwhile."""
ASSEMBLY_S, MOST_ASSEMBLY = 0.004, 0.4
"""How long a snapshot is taken to be put together before one was, and the share of a deadline kept for that at most."""

MOMENT_S = 0.001
"""What a question is given whose time is over before it has begun: none at all is no deadline."""

_OURS = frozenset({"exchange", "venue", "currency", "fx_rate", "fx_source", "fx_age_ms", "age_ms"})
"""What the manager has added to what a connector told."""
_LIMITS = tuple(one.name for one in fields(Thresholds))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a question over whole markets is: the stage ("tickers", "scan", "books", "done") and its steps."""

    stage: str
    done: int = 0
    of: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """One look of `watch`: its opportunities, who did not answer, and when it was.

    `number` counts from 0, `missed` how many looks were left out because the one before took too long; `time` is Unix
    seconds, `late_s` by how much it began after it was due. `frame` is as `opportunities` returns it, `lifetimes` what
    is known of each pair that was ever executable.
    """

    number: int
    time: float
    late_s: float
    took_s: float
    missed: int
    frame: pd.DataFrame
    lifetimes: pd.DataFrame
    dropped: Mapping[str, str]


class Whole(NamedTuple):
    """Every quote of every market asked for, in one currency and as it came, and what is to be said of it."""

    columns: Columns
    native: Columns
    failures: dict[str, Drop]
    groups: list[list[Entry]]
    rates: Mapping[str, Rate]


class Scanning(Rounds):
    """A catalogue that looks for opportunities."""

    thresholds = Thresholds()

    if TYPE_CHECKING:  # what the manager brings

        async def _market_in(
            self, target: str | None, market: str | None, venues: Iterable[str] | None, peg: Sequence[str]
        ) -> Whole: ...

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
        ) -> CrossExchangeData: ...

        def plan(  # noqa: D102  told there
            self,
            question: str,
            symbols: str | Iterable[str] = (),
            *,
            market: str | None = None,
            venues: Iterable[str] | None = None,
            times: int = 1,
            top: int = TOP,
            deadline: float | None = None,
        ) -> Plan: ...

        async def _asked_book(self, entry: Entry, answer: VenueAnswer, instrument: Instrument) -> None: ...

    def _terms(self, given: Mapping[str, Any]) -> Terms:
        """Return the manager's thresholds with those of a call."""
        known = {name: value for name, value in given.items() if name in _LIMITS}
        if unknown := [name for name in given if name not in {*_LIMITS, "sigma", "balances"}]:
            raise ConfigError(f"{unknown[0]}={given[unknown[0]]!r} is no threshold; they are: {', '.join(_LIMITS)}")
        sigma = given.get("sigma")
        if sigma is not None:
            check_number("sigma", sigma, lambda value: value >= 0, "a fraction per square root of a second, from 0")
        return Terms(
            replace(self.thresholds, **known), nan if sigma is None else sigma,
            balances=checked_balances(given.get("balances")),
        )  # fmt: skip

    async def opportunities(
        self,
        symbols: str | Iterable[str] = (),
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        currency: str | None = None,
        top: int = TOP,
        deadline: float | None = None,
        progress: Callable[[Progress], object] | None = None,
        **thresholds: Any,
    ) -> pd.DataFrame:
        """Return every pair of venues with the gate that stops it, the executable first, most profit first.

        Without `symbols` the whole market is looked at: all venues' tickers, every pair of them (`arbitrage.scan`),
        then the books of the `top` groups that may pay, and of these alone; with `symbols` their books at once.
        Executable is what passes every gate through the books, in lots and above minimums; whatever seemed to pay and
        whose books were not asked for is stopped at "depth". `currency` is what profits are counted in, without symbols
        USDT, else each one's own quote. `thresholds` are the fields of `arbitrage.Thresholds`, else the manager's, with
        `sigma`, the volatility of one second as a fraction, and `balances`, amounts by exchange and currency that cap
        the size. `progress` is called with a `Progress` as the question goes on.

        ``frame.attrs`` holds `asked`, `answered`, `dropped`, `gates` (how many pairs each gate stopped first),
        `unsized` (groups whose books were not asked for) and, over whole markets, `fx`. Raises `ConfigError`,
        `SymbolError`, `NoVenueAnswered`.
        """
        self._enter()
        terms = self._terms(thresholds)
        if top not in range(1, 1_000_001):
            raise ConfigError(f"top is how many groups are looked at through their books, from 1, not {top!r}")
        tell = progress or (lambda _: None)
        wanted = [symbols] if isinstance(symbols, str) else list(symbols)
        with until(self._seconds(deadline)):
            if wanted:
                found = await self._of_symbols(wanted, terms, tell, market=market, venues=venues, currency=currency)
            else:
                found = await self._of_market(market, venues, currency, top, terms, tell)
        tell(Progress("done", text=f"{int(found['executable'].sum())} executable"))
        return found

    async def _of_symbols(
        self, symbols: Sequence[str], terms: Terms, tell: Callable[[Progress], object], **options: Any
    ) -> pd.DataFrame:
        """Look at instruments through their books."""
        tell(Progress("books", 0, len(symbols)))
        came: dict[str, CrossExchangeData] = {}
        failed: dict[str, NoVenueAnswered] = {}

        async def one(symbol: str) -> Columns:
            # Filled while the books are asked for; what has come when they have, counts.
            daily: dict[str, float] = {}
            carried = replace(terms, daily=daily)
            async with self._meanwhile([self._daily_of(symbol, options["market"], options["venues"], daily)]):
                try:
                    left = max(remaining(), MOMENT_S)
                    came[symbol] = await self._snapshot(symbol, carried, books=True, deadline=left, **options)
                except NoVenueAnswered as exc:
                    failed[symbol] = exc
            tell(Progress("books", len(came) + len(failed), len(symbols), symbol))
            return {}

        # Names that are no symbols are the caller's mistake, and his whole question's.
        await asyncio.gather(*(one(symbol) for symbol in dict.fromkeys(symbols)))
        if not came:
            raise next(iter(failed.values()))
        rows = [row for snap in came.values() for row in (*snap.arbitrage_opportunities, *snap.rejected)]
        frame = schema.frame(columns_of_rows(rows), "opportunities")
        # Who answered and is left out of the price is in the pairs, with the gate that stops them.
        unrated = {Dropped.NO_RATE.value, Dropped.OTHER_CURRENCY.value}
        missing = {symbol: {name: drop for name, drop in snap.dropped.items()
                            if name not in snap.answered or drop in unrated}
                   for symbol, snap in came.items()}  # fmt: skip
        missing |= {symbol: dict(error.dropped) for symbol, error in failed.items()}
        dropped = {f"{name} {symbol}": drop.text for symbol, drops in missing.items() for name, drop in drops.items()}
        asked = list(dict.fromkeys(name for snap in came.values() for name in snap.asked))
        answered = list(dict.fromkeys(name for snap in came.values() for name in snap.answered))
        frame.attrs = {"asked": asked, "answered": answered, "dropped": dropped, "unsized": [],
                       "gates": _gates_of(frame)}  # fmt: skip
        return frame

    async def _of_market(
        self,
        market: str | None,
        venues: Iterable[str] | None,
        currency: str | None,
        top: int,
        terms: Terms,
        tell: Callable[[Progress], object],
    ) -> pd.DataFrame:
        """Look at whole markets by their quotes, then at the best through their books."""
        target = (currency or DEFAULT_TARGET).upper()
        if target not in currencies.CURRENCIES:
            raise ConfigError(f"currency {currency!r}: conversion is known among {', '.join(currencies.CURRENCIES)}")
        tell(Progress("tickers"))
        with until(remaining() / 2):  # a venue that hangs must leave time for the books of the others
            whole = await self._market_in(target, market, venues, ())
        tell(Progress("scan", text=f"{length(whole.columns):,} quotes"))
        sigma = None if terms.sigma != terms.sigma else terms.sigma
        pairs = await asyncio.to_thread(
            funnel, whole.columns, terms.limits, suspect_edge=SUSPECT, max_disagree=MAX_DISAGREE, sigma=sigma
        )  # so that the loop is free meanwhile
        moving = {"transfer"} if terms.limits.mode == "transfer" else frozenset[str]()
        chosen, unsized = _best_groups(pairs, top, OPEN_QUESTIONS | moving)
        sized = await self._through_books(whole, chosen, target, terms, tell)
        frame = schema.frame(_merged(pairs, sized), "opportunities")
        frame.attrs = {
            **account(whole.groups, texts(whole.columns, "exchange"), whole.failures), "unsized": unsized,
            "gates": _gates_of(frame), "fx": {quote: rate.sources or rate.why for quote, rate in whole.rates.items()},
        }  # fmt: skip
        frame.attrs["dropped"] |= {name: drop.text for one in sized for name, drop in one.without_book.items()}
        return frame

    async def _through_books(
        self,
        whole: Whole,
        chosen: Mapping[str, Mapping[str, int]],
        target: str,
        terms: Terms,
        tell: Callable[[Progress], object],
    ) -> list[_Sized]:
        """Ask for the books of what may pay, and put each group together from its quotes and them."""
        order = _by_group(whole.columns)
        moved = await self._ways_of([group.partition(":")[0] for group in chosen if group.endswith(":spot")], terms)
        answers: dict[str, dict[str, VenueAnswer]] = {}
        rows: dict[str, set[int]] = {}
        for group in chosen:
            answers[group], rows[group] = self._answers(whole, order[group], target, chosen[group])
        wanted = [answers[group][name] for group in chosen for name in chosen[group] if name in answers[group]]
        came = 0

        async def book(answer: VenueAnswer) -> bool:
            nonlocal came
            await self._book_for(answer)
            came += 1
            tell(Progress("books", came, len(wanted), f"{answer.exchange} {texts(answer.ticker, 'instrument')[0]}"))
            return bool(length(answer.book))

        tell(Progress("books", 0, len(wanted), f"{len(chosen):,} groups"))
        daily: dict[str, dict[str, float]] = {group: {} for group in chosen}
        with until(remaining() - min(MOST_ASSEMBLY * remaining(), ASSEMBLY_S * (1 + len(chosen)))):
            books = {f"{place}": book(answer) for place, answer in enumerate(wanted)}
            async with self._meanwhile(self._daily_questions(wanted, daily)):
                await gathered(books, self._keep, bool, STRAGGLER_S)
        legs = _legs(whole.native)
        sized: list[_Sized] = []
        for group, mine in answers.items():
            await asyncio.sleep(0)
            meant = _meant([mine[name] for name in (*chosen[group], *mine) if name in mine], target)
            ways = moved.get(meant.base, {}) if meant.kind == "spot" else terms.routes
            snap = assemble(
                meant.symbol, meant, target, list(mine), [*mine.values(), *legs],
                now_ms=clock.now_ms(), with_books=True, recording=in_use(),
                terms=replace(terms, daily=daily[group], routes=ways),
            )  # fmt: skip
            failed = {
                f"{name} {answer.instrument.symbol}": answer.book_failure
                for name, answer in mine.items()
                if answer.book_failure is not None and answer.instrument is not None
            }
            sized.append(_Sized([*snap.arbitrage_opportunities, *snap.rejected], rows[group], failed))
        return sized

    def _daily_questions(
        self, wanted: Sequence[VenueAnswer], daily: Mapping[str, dict[str, float]]
    ) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield one question for each exchange, about the funding of all its perpetuals among those wanted."""
        for name in dict.fromkeys(answer.exchange for answer in wanted):
            mine = [one.instrument for one in wanted if one.exchange == name and one.instrument is not None]
            perpetuals = [one for one in mine if one.section in PERPETUAL]
            entry = self._entries.get(name)
            if perpetuals and entry is not None and self._offers(entry, "funding_rates"):
                yield self._daily_rows([entry], perpetuals, {one.symbol: daily[one.group] for one in perpetuals})

    def _answers(
        self, whole: Whole, rows: Sequence[int], target: str, chosen: Mapping[str, int]
    ) -> tuple[dict[str, VenueAnswer], set[int]]:
        """Return a group's quotes as the exchanges' answers, one each, and their rows.

        Of an exchange's several it is the one that may pay, else the one in the quote asked for, else the most traded.
        """
        names = texts(whole.native, "instrument")
        quotes, volumes = texts(whole.native, "quote"), np.nan_to_num(numbers(whole.columns, "quote_volume"))
        exchanges = texts(whole.native, "exchange")
        best: dict[str, int] = {}
        for row in sorted(rows, key=lambda row: (quotes[row] != target, -volumes[row])):
            best.setdefault(exchanges[row], row)
        best |= chosen
        answers: dict[str, VenueAnswer] = {}
        for name, row in best.items():
            entry, instrument = self._entries.get(name), parse_symbol(names[row]).instrument
            if entry is None or instrument is None:
                continue
            answer = VenueAnswer(name, entry.config.venue, instrument, skew_ms=entry.state.skew_ms)
            answer.ticker = {
                column: cells for column, cells in take(whole.native, [row]).items() if column not in _OURS
            }
            table = getattr(entry.connector, "known_listings", lambda _: None)(instrument.section)
            place = None if table is None else table.find(instrument)
            if table is not None and place is not None:
                answer.listings, answer.listed = table, table.listed(place)
            answers[name] = answer
        return answers, {best[name] for name in answers}

    async def _ways_of(
        self, assets: Sequence[str], terms: Terms, venues: Iterable[str] | None = None
    ) -> dict[str, dict[tuple[str, str], Route]]:
        """Return the best known way of each asset from exchange to exchange; nobody is asked where nothing is moved."""
        if terms.limits.mode != "transfer" or not assets:
            return {}
        found = arbitrage.routes(await self.networks(assets, venues=venues, deadline=max(remaining() / 2, MOMENT_S)))
        rank = found["state"].map({"open": 0, "unknown": 1, "closed": 2})
        found = found.assign(rank=rank, untold=found[["withdraw_fee", "minutes"]].isna().any(axis=1))
        ways: dict[str, dict[tuple[str, str], Route]] = {}
        for row in found.sort_values(["rank", "untold", "withdraw_fee"], kind="stable").to_dict("records"):
            way = Route(row["state"], row["network"] or "", row["minutes"], row["withdraw_fee"], row["withdraw_min"])
            ways.setdefault(row["asset"], {}).setdefault((row["exchange_from"], row["exchange_to"]), way)
        return ways

    async def _book_for(self, answer: VenueAnswer) -> None:
        """Ask for the book of one exchange's market; without it its quote alone counts, which is said."""
        entry = self._entries.get(answer.exchange)
        if entry is None or answer.instrument is None:
            return
        if not able(entry.connector, AnswersBooks) or not self._offers(entry, "order_book"):
            answer.book_failure = Drop(Dropped.NOT_LISTED, "it answers no order books")
            return
        answer.book_failure = Drop(Dropped.LATE, "no book before the deadline")
        try:
            with patient_for(BUDGET_PATIENCE_S):
                await self._ready(entry)
                await self._asked_book(entry, answer, answer.instrument)
        except ConnectorError as exc:
            answer.book_failure = exc.drop

    async def watch(
        self,
        symbols: str | Iterable[str] = (),
        *,
        every: float = 1.0,
        looks: int | None = None,
        deadline: float | None = None,
        **options: Any,
    ) -> AsyncIterator[Scan]:
        """Look again and again, every so many seconds: ``async for scan in xm.watch(["BTC/USDT"], every=1.0)``.

        The n-th look is due at n · `every` after the first, however long the others take; one that takes longer than
        that makes the next ones be left out (`missed`), never overlap. Each has `every` seconds, or `deadline` where
        that is less. `looks` ends it after so many. A pair counts as executable once `persistence` looks in a row have
        found it. Whatever fails in a look is in its `dropped`; nobody having answered makes an empty frame. `options`
        are those of `opportunities`.
        """
        check_number("every", every, lambda value: value > 0, "seconds between two looks, above 0")
        if looks is not None:
            check_number("looks", looks, lambda value: value >= 1, "how many looks, from 1")
        self._enter()
        wanted = [symbols] if isinstance(symbols, str) else list(symbols)
        persistence = int(options.pop("persistence", self.thresholds.persistence))
        self._terms({name: value for name, value in options.items() if name in {*_LIMITS, "sigma", "balances"}})
        await self.connect_all()
        self._say_what_would_not_fit(wanted, every, options)
        seen = Lifetimes(persistence)
        started, number, due, missed = clock.monotonic(), 0, 0, 0
        seconds = every if deadline is None else min(every, deadline)
        while looks is None or number < looks:
            await asyncio.sleep(max(started + due * every - clock.monotonic(), 0.0))
            began, now = clock.monotonic(), clock.now_ms() / 1e3
            try:
                frame = await self.opportunities(wanted, deadline=seconds, **options)
            except NoVenueAnswered as exc:
                frame = schema.frame({}, "opportunities")
                frame.attrs = {"dropped": {name: drop.text for name, drop in exc.dropped.items()}}
            frame = seen.update(frame, now)
            frame.attrs["gates"] = _gates_of(frame)
            ended = clock.monotonic()
            yield Scan(
                number, now, began - started - due * every, ended - began, missed, frame, seen.frame(),
                frame.attrs.get("dropped", {}),
            )  # fmt: skip
            number += 1
            following = max(due + 1, ceil((clock.monotonic() - started) / every - 1e-9))
            due, missed = following, following - due - 1

    def _say_what_would_not_fit(self, symbols: Sequence[str], every: float, options: Mapping[str, Any]) -> None:
        """Log which exchanges' budgets are too small for so many looks: they will be missing in some."""
        asked = {name: options[name] for name in ("market", "venues", "top") if name in options}
        looks = max(1, round(PLANNED_S / every))
        with suppress(SymbolError):  # a venue's own id, which no plan is made of
            plan = self.plan("opportunities", symbols, times=looks, deadline=PLANNED_S, **asked)
            if not plan.fits:
                log.warning("looking every %g s is more than the venues' budgets allow, in a minute: %s", every, plan)


# --- rows


@dataclass(frozen=True, slots=True)
class _Sized:
    """One group's pairs through its books, which rows of the market they are of, and whose book did not come."""

    pairs: list[dict[str, Any]]
    rows: set[int]
    without_book: dict[str, Drop]


def _meant(answers: Sequence[VenueAnswer], target: str) -> Instrument:
    """Return the instrument that stands for a group: of those that may pay first, one in the asked currency if any."""
    instruments = [answer.instrument for answer in answers if answer.instrument is not None]
    return next((one for one in instruments if one.quote == target), instruments[0])


def _by_group(columns: Columns) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, group in enumerate(texts(columns, "group")):
        found.setdefault(group, []).append(row)
    return found


def _legs(native: Columns) -> list[VenueAnswer]:
    """Return the markets that one currency is traded in for another, as answers to a question about rates."""
    bases, kinds, names = texts(native, "base"), texts(native, "kind"), texts(native, "exchange")
    spot = [base in currencies.CURRENCIES and kind == "spot" for base, kind in zip(bases, kinds, strict=True)]
    legs = []
    for name in dict.fromkeys(names):
        mine = take(
            native, np.array([one and name == other for one, other in zip(spot, names, strict=True)], dtype=bool)
        )
        if length(mine):
            cells = {column: mine[column] for column in LEG_COLUMNS if column in mine}
            legs.append(VenueAnswer(name, texts(mine, "venue")[0], legs=cells))
    return legs


def _best_groups(
    pairs: Funnel, top: int, open_questions: AbstractSet[str]
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Return the groups whose books are worth asking for, with the exchanges and their rows, and those beyond `top`.

    The first of an exchange's rows in a group is that of its best pair.
    """
    words, codes = coded(pairs.columns, "reasons")
    open_ = np.array([not set(word.split(",")) - open_questions for word in words], dtype=bool)[codes]
    net = numbers(pairs.columns, "net_bps")
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(open_ & (net > 0))
    chosen: dict[str, dict[str, int]] = {}
    group, low, high = (pairs.columns[name] for name in ("group", "exchange_low", "exchange_high"))
    for row in rows[np.argsort(-net[rows], kind="stable")].tolist():
        mine = chosen.setdefault(group[row], {})
        mine.setdefault(low[row], int(pairs.low[row]))
        mine.setdefault(high[row], int(pairs.high[row]))
    names = list(chosen)
    return {name: chosen[name] for name in names[:top]}, names[top:]


def _merged(pairs: Funnel, sized: Sequence[_Sized]) -> Columns:
    """Return the pairs through the books in place of what quotes alone say of them, and the others behind them.

    What seems to pay and was not looked at through its books is stopped at "depth".
    """
    rows = np.array(sorted(row for one in sized for row in one.rows), dtype=np.intp)
    others = np.flatnonzero(~(np.isin(pairs.low, rows) & np.isin(pairs.high, rows)))
    rest = take(pairs.columns, others)
    open_ = flags(rest, "executable")
    for name in ("gate", "reasons"):
        column: Text = rest[name]
        told = [*column.words.texts, "depth"]
        rest[name] = Text(Words(told), np.where(open_, len(told) - 1, column.codes))
    rest["executable"] = np.zeros(len(others), dtype=bool)
    found = columns_of_rows([pair for one in sized for pair in one.pairs])
    return concat([found, rest], "opportunities")


def columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Return opportunities, which are dicts, as columns: the executable first, most profit first."""
    ordered = sorted(rows, key=lambda row: (not row["executable"], -np.nan_to_num(row["net_profit"])))
    found: Columns = {}
    for name, dtype in schema.SCHEMAS["opportunities"].items():
        cells = [row[name] for row in ordered]
        if name == "reasons":
            cells = [",".join(cell) for cell in cells]
        found[name] = (
            np.array(cells, dtype=bool if dtype == schema.FLAG else np.float64) if dtype != schema.TEXT else cells
        )
    return found


def _gates_of(frame: pd.DataFrame) -> dict[str, int]:
    """Return how many pairs each gate stopped first, in the order of the gates."""
    counted = Counter(frame["gate"].dropna())
    return {gate: counted[gate] for gate in GATES if counted[gate]}


__all__ = ["BUDGET_PATIENCE_S", "Progress", "Scan", "Scanning", "Whole"]
