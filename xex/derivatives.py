"""What contracts cost and who holds them: funding, open interest, and the ratio of long to short, over all venues."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.access.deadline import cut_off, patient_for, remaining, until
from xex.access.fanout import TURNS, in_turns
from xex.access.port import (
    AnswersFunding,
    AnswersLongShort,
    AnswersMarketFunding,
    AnswersMarketInterest,
    AnswersOpenInterest,
    ListsInstruments,
    able,
)
from xex.catalogue import account, add_failure, lines, sections_of_market, who, words_of
from xex.errors import (
    ConfigError,
    ConnectorError,
    Drop,
    Dropped,
    MissingRow,
    NotListed,
    NoVenueAnswered,
    SymbolError,
    UnknownSymbol,
    XexError,
)
from xex.liquidations import Forced
from xex.model import clock, schema
from xex.model.instruments import Instrument, Section
from xex.model.schema import Columns, Text, concat, length, numbers, texts
from xex.roster import Entry, gathered
from xex.snapshot import VenueAnswer, ages

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("xex.derivatives")

BUDGET_PATIENCE_S = 2.5
"""How long one of several venues may wait for its request budget: the others' quotes grow old meanwhile.

Budgets by the second or two come back within it, budgets of ten seconds and more do not."""

HOURS_A_YEAR = 8760.0
PERPETUAL: tuple[Section, ...] = ("linear", "inverse")
CONTRACTS: tuple[Section, ...] = (*PERPETUAL, "linear_dated", "inverse_dated")
SCHEMAS = {"funding_rates": "funding", "open_interest": "open_interest", "long_short": "long_short"}
"""The schema of the rows that answer a feature."""
HAVE = {
    "funding_rates": (PERPETUAL, "perpetuals have funding"), "open_interest": (CONTRACTS, "contracts are open"),
    "long_short": (CONTRACTS, "contracts are held long and short"),
}  # fmt: skip
"""What a feature is about."""


class Derivatives(Forced):
    """A catalogue that asks what contracts cost and who holds them."""

    if TYPE_CHECKING:  # what the manager brings

        async def _matched(self, entry: Entry, answer: VenueAnswer, instrument: Instrument) -> Instrument: ...

    async def funding(
        self,
        symbols: str | Iterable[str] | None = None,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return the funding of perpetuals, a row per exchange and instrument; without `symbols` that of whole markets.

        `rate` is a fraction of notional per `interval_hours`, the market's own interval; longs pay a positive one.
        `rate_kind` is "predicted" where it may change until `next_time`, the coming settlement, else "settled". `apr`
        is rate · 8760 / interval_hours, a fraction a year, not compounded. `mark` and `index` are quote currency per
        base unit. What a venue does not tell is absent, its interval too.
        Who is no exchange, and tells of those that are, is asked only where `venues` names it: in its rows `exchange`
        is who told and `venue` whose contract it is.
        ``frame.attrs`` holds `asked`, `answered` and `dropped`, by exchange, of several symbols by exchange and symbol.
        Raises `SymbolError` for what has no funding, `NoVenueAnswered`.
        """
        frame = await self._of_contracts("funding_rates", symbols, market, venues, deadline)
        frame["apr"] = frame["rate"] * HOURS_A_YEAR / frame["interval_hours"]
        return frame

    async def open_interest(
        self,
        symbols: str | Iterable[str] | None = None,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return how many contracts are open, a row per exchange and instrument; without `symbols` of whole markets.

        `oi_base` is base units, `oi_quote` quote units, every contract counted once: what a venue counts for both
        sides is halved, as `unit_rule` says. Venues that tell of one contract at a time are left out of whole markets.
        ``frame.attrs`` and errors as in `funding`.
        """
        return await self._of_contracts("open_interest", symbols, market, venues, deadline)

    async def long_short(
        self,
        symbols: str | Iterable[str],
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return how customers are divided into long and short, a row per exchange, instrument and population.

        `ratio` is long / short, `long_share` and `short_share` are fractions. `population` says of whom: "accounts" are
        all that hold anything, each counting as one; "top accounts" are a venue's largest; "top positions" are what
        these hold, by size. They are different people by different definitions and have no common mean. The flag
        `pair` marks figures of all contracts of a pair. ``frame.attrs`` and errors as in `funding`.
        """
        if symbols is None:
            raise ConfigError("long/short ratios are asked for by instrument; name symbols")
        return await self._of_contracts("long_short", symbols, market, venues, deadline)

    async def _of_contracts(
        self,
        feature: str,
        symbols: str | Iterable[str] | None,
        market: str | None,
        venues: Iterable[str] | None,
        deadline: float | None,
    ) -> pd.DataFrame:
        self._enter()
        wanted = None if symbols is None else [symbols] if isinstance(symbols, str) else list(dict.fromkeys(symbols))
        if wanted is not None and not wanted:
            raise ConfigError("symbols names none; leave it out for whole markets, or name some, such as BTCUSDT")
        groups = self._tellers(feature, venues)
        failures: dict[str, Drop] = {}
        with until(self._seconds(deadline)):
            if wanted is None:
                parts = await self._whole_lists(feature, market, groups, failures)
            else:
                parts = await self._of_named(feature, wanted, market, groups, failures)
        came = concat(parts, SCHEMAS[feature])
        if not length(came):
            raise NoVenueAnswered(f"no venue answered:{lines(failures)}", failures)
        frame = schema.frame(came, SCHEMAS[feature])
        frame.attrs = account(groups, texts(came, "exchange"), failures)
        return frame

    def _tellers(self, feature: str, venues: Iterable[str] | None) -> list[list[Entry]]:
        """Return who is asked about contracts: exchanges, and who only tells of them where it is named."""
        groups = self._chosen(feature, venues)
        if venues is None:
            groups = [group for group in groups if group[0].connector.quotes]
            if not groups:
                raise ConfigError(
                    f"no enabled exchange answers {feature!r} of its own; name in venues who tells of others', "
                    "or add_exchange(ExchangeConfig(…))"
                )
        return groups

    async def _whole_lists(
        self, feature: str, market: str | None, groups: Sequence[Sequence[Entry]], failures: dict[str, Drop]
    ) -> list[Columns]:
        """Return the rows of every list of every venue, each asked for by itself."""
        sections = sections_with(feature, market)

        async def whole(entry: Entry, section: Section) -> Columns:
            try:
                await self._ready(entry)
                rows = await self._columns(entry, _of_list(entry, feature, section), SCHEMAS[feature])
                await self._measure_skew_if_old(entry)
            except ConnectorError as exc:
                add_failure(failures, entry.id, exc.reason, f"{words_of(section)}: {exc}")
                return {}
            return self._named_rows(entry, rows)

        asked = [(group[0], one) for group in groups for one in sections if one in group[0].connector.sections]
        for entry in (group[0] for group in groups):
            if not any(entry is one for one, _ in asked):
                failures[entry.id] = Drop(Dropped.NOT_LISTED, f"{market or 'such'} markets are not offered here")
        parts = await gathered({f"{entry.id} {one}": whole(entry, one) for entry, one in asked}, self._keep)
        for entry, section in asked:
            if f"{entry.id} {section}" not in parts:
                add_failure(failures, entry.id, Dropped.LATE, f"{words_of(section)}: no answer before the deadline")
        return list(parts.values())

    async def _of_named(
        self,
        feature: str,
        symbols: Sequence[str],
        market: str | None,
        groups: Sequence[Sequence[Entry]],
        failures: dict[str, Drop],
    ) -> list[Columns]:
        """Return the rows of some instruments, all of them asked of a venue at once."""
        meant = [await self._meant(symbol, market, groups) for symbol in symbols]
        for _, instrument in meant:
            check_has(feature, instrument)
        instruments = list(dict.fromkeys(instrument for _, instrument in meant))
        missing: dict[Instrument, dict[str, Drop]] = {one: {} for one in instruments}
        answered: set[Instrument] = set()

        async def in_turn(group: Sequence[Entry]) -> Columns:
            """Ask a venue's configurations one after the other until one answers, each for its share of the time."""
            for place, entry in enumerate(group):
                with until(remaining() / (len(group) - place)):
                    try:
                        with cut_off(remaining()):
                            found, absent = await self._contract_rows(entry, feature, instruments)
                    except ConnectorError as exc:
                        found, absent = {}, dict.fromkeys(instruments, exc.drop)
                    except TimeoutError:
                        found, absent = {}, dict.fromkeys(instruments, Drop(Dropped.LATE, "no answer in time"))
                for instrument, drop in absent.items():
                    missing[instrument][entry.id] = drop
                if length(found):
                    answered.update(one for one in instruments if one not in absent)
                    return found
            return {}

        parts = await gathered({group[0].id: in_turn(group) for group in groups}, self._keep)
        for group in groups:
            if group[0].id not in parts:
                for drops in missing.values():
                    drops[group[0].id] = Drop(Dropped.LATE, "no answer before the deadline")
        for ask, instrument in meant:
            if instrument not in answered:
                error = self._nobody(ask, instrument, missing[instrument])
                if isinstance(error, UnknownSymbol) or len(instruments) == 1:
                    raise error
        for instrument, drops in missing.items():
            for name, drop in drops.items():
                failures[name if len(instruments) == 1 else f"{name} {instrument.symbol}"] = drop
        return list(parts.values())

    async def _contract_rows(
        self, entry: Entry, feature: str, instruments: Sequence[Instrument]
    ) -> tuple[Columns, dict[Instrument, Drop]]:
        """Return one exchange's rows about some instruments, and why those that have none have none."""
        await self._ready(entry)
        absent: dict[Instrument, Drop] = {}
        standing: dict[Instrument, Instrument] = {}
        for instrument in instruments:
            try:
                standing[instrument] = await self._stand_in(entry, instrument)
            except NotListed as exc:
                absent[instrument] = exc.drop
        if not standing:
            return {}, absent
        mine = list(dict.fromkeys(standing.values()))
        failed: dict[Section, Drop] = {}

        async def of(section: Section) -> Columns:
            """Ask about those of one list: what is wrong with it is nothing against the others."""
            some = [one for one in mine if one.section == section]
            try:
                return await self._columns(entry, _of_some(entry, feature, some), SCHEMAS[feature])
            except ConnectorError as exc:
                failed[section] = exc.drop
                return {}

        parts = await asyncio.gather(*map(of, dict.fromkeys(one.section for one in mine)))
        rows = self._named_rows(entry, concat(parts, SCHEMAS[feature]))
        came = texts(rows, "instrument")
        for instrument, one in standing.items():
            if one.symbol not in came:
                nothing = MissingRow(f"{one.symbol} is listed, and no figure of it came").drop
                absent[instrument] = failed.get(one.section, nothing)
        if not set(came) <= {one.symbol for one in instruments}:
            asked = {one.symbol for one in instruments}
            notes = zip(texts(rows, "flags"), came, strict=True)
            rows["flags"] = [
                ",".join(filter(None, (note, "" if one in asked else "substitute"))) for note, one in notes
            ]
        return rows, absent

    async def _stand_in(self, entry: Entry, instrument: Instrument) -> Instrument:
        """Return the instrument that stands for the asked one on an exchange."""
        if not able(entry.connector, ListsInstruments):
            return instrument
        answer = VenueAnswer(entry.id, entry.config.venue, instrument)
        return await self._guarded(entry, self._matched(entry, answer, instrument))

    # --- beside the books of what may pay

    @asynccontextmanager
    async def _meanwhile(self, questions: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Ask while something else is awaited, and no longer than that but for a moment in which answers are read."""
        tasks = [asyncio.create_task(question) for question in questions]
        try:
            yield
            await in_turns(tasks, 2 * TURNS)
        finally:
            for task in tasks:
                task.cancel()
                self._keep(task)

    async def _daily_of(
        self, symbol: str, market: str | None, venues: Iterable[str] | None, into: dict[str, float]
    ) -> None:
        """Note what longs of a perpetual pay a day, by exchange, as a fraction of notional; of what fails, nothing."""
        try:
            groups = [group for group in self._chosen("funding_rates", venues) if group[0].connector.quotes]
            _, instrument = await self._meant(symbol, market, groups)
        except XexError:
            return  # the question about the books says why
        if instrument.section in PERPETUAL:
            await asyncio.gather(*(self._daily_in(group, instrument, into) for group in groups))

    async def _daily_in(self, group: Sequence[Entry], instrument: Instrument, into: dict[str, float]) -> None:
        try:
            await self._ready(group[0])
            mine = await self._stand_in(group[0], instrument)
        except ConnectorError:
            return
        await self._daily_rows(group, [mine], {mine.symbol: into})

    async def _daily_rows(
        self, group: Sequence[Entry], instruments: Sequence[Instrument], into: Mapping[str, dict[str, float]]
    ) -> None:
        """Note the funding of a day by instrument, in the name of each of a venue's exchanges; the first answers."""
        entry = group[0]
        try:
            with patient_for(BUDGET_PATIENCE_S):
                rows = await self._columns(entry, _of_some(entry, "funding_rates", instruments), "funding")
        except ConnectorError as exc:
            log.info("%s: no funding beside its books: %s", entry.id, exc)
            return
        daily = 24.0 * numbers(rows, "rate") / numbers(rows, "interval_hours")
        for symbol, paid in zip(texts(rows, "instrument"), daily.tolist(), strict=True):
            if symbol in into:
                into[symbol].update(dict.fromkeys((one.id for one in group), paid))

    def _named_rows(self, entry: Entry, rows: Columns) -> Columns:
        """Say whose rows these are, in their native currency, and how old."""
        count = length(rows)
        if not count:
            return {}
        same = {**who(entry), "fx_source": "identity"}
        if not entry.connector.quotes and "venue" in rows:
            del same["venue"]  # whose contracts these are: another's, which the row names
        named = {**rows, **{name: Text.same(cell, count) for name, cell in same.items()}}
        named |= {
            "currency": rows.get("quote", Text.same("", count)),
            "fx_rate": np.ones(count),
            "fx_age_ms": np.zeros(count),
        }
        named["age_ms"] = ages(named, [entry.state.skew_ms] * count, clock.now_ms())
        return named


def sections_with(feature: str, market: str | None) -> list[Section]:
    """Return what a word for a market covers that has a feature; raises `SymbolError` where nothing has."""
    sections = [one for one in sections_of_market(market) if one in HAVE[feature][0]]
    if not sections:
        raise SymbolError(f"{HAVE[feature][1]}, {market} markets have none; leave market out, or write perp or inverse")
    return sections


def check_has(feature: str, instrument: Instrument) -> None:
    """Raise `SymbolError` for an instrument that cannot have a feature."""
    if instrument.section not in HAVE[feature][0]:
        instead = Instrument(instrument.base, instrument.quote, "linear", instrument.quote)
        raise SymbolError(f"{instrument.description}: only {HAVE[feature][1]}; write {instead}")


def _of_list(entry: Entry, feature: str, section: Section) -> Awaitable[Columns]:
    """Ask an exchange about a whole list; raises `NotListed` where it knows single contracts only."""
    connector = entry.connector
    if feature == "funding_rates" and able(connector, AnswersMarketFunding):
        return connector.market_funding([section])
    if feature == "open_interest" and able(connector, AnswersMarketInterest):
        return connector.market_interest([section])
    raise NotListed("the connector knows single contracts only; name symbols")


def _of_some(entry: Entry, feature: str, instruments: Sequence[Instrument]) -> Awaitable[Columns]:
    """Ask an exchange about some contracts."""
    connector = entry.connector
    if feature == "funding_rates" and able(connector, AnswersFunding):
        return connector.funding(instruments)
    if feature == "open_interest" and able(connector, AnswersOpenInterest):
        return connector.open_interest(instruments)
    assert able(connector, AnswersLongShort)  # noqa: S101  chosen by ability
    return connector.long_short(instruments)
