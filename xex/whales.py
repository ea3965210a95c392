"""Large trades and large resting orders of one instrument on all exchanges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.access.deadline import patient_for, until
from xex.access.port import (
    AnswersBooks,
    AnswersLargeOrders,
    AnswersOlderTrades,
    AnswersTrades,
    ConvertsCurrencies,
    able,
)
from xex.analytics import activity
from xex.analytics import currency as currencies
from xex.analytics.pricing import evaluate
from xex.analytics.quality import IDENTITY, check_number, verdicts
from xex.analytics.whales import floor_of
from xex.catalogue import account, who
from xex.derivatives import Derivatives
from xex.errors import ConfigError, ConnectorError, Drop, Dropped
from xex.model import clock, schema
from xex.model.instruments import USD_LIKE, Instrument, parse_symbol
from xex.model.schema import Columns, Text, concat, length, numbers, take, texts
from xex.roster import Entry, gathered
from xex.snapshot import VenueAnswer, leg_rows, top_of

if TYPE_CHECKING:
    import pandas as pd

HOUR_S = 3600.0
"""How far back is looked, unless told otherwise."""
PAGES = 10
"""How many pages of a venue's tape are asked for at most, unless told otherwise."""
PATIENCE_S = 2.5
"""How long a page may wait for its request budget: those of a minute do not come back while anybody waits."""
ASSEMBLY_S, MOST_ASSEMBLY = 0.25, 0.4
"""How long the judging of the tapes is taken to last, and the share of a deadline kept for that at most."""
AHEAD_MS = 10_000.0
"""How far ahead of ours a venue's clock may be; trades dated later have not happened."""
LATEST_ONLY = "the venue sends its latest trades only"
LISTS: Mapping[str, Any] = {"trades": AnswersTrades, "order book": AnswersBooks, "large orders": AnswersLargeOrders}
"""What a venue is asked for, and who can answer it."""
_ROW = ("venue", "kind", "source", "currency", "notional_usd", "threshold", "threshold_usd", "threshold_by", "usd_rate",
    "usd_source", "prior_trades", "n_trades", "trade_id", "distance_bps")  # fmt: skip


class WhaleActivity(list[dict[str, Any]]):
    """Large orders, newest first, as dicts; `frame` has the same rows in the schema `whales`.

    `asked`, `answered` and `dropped` (a reason by exchange) say who told; an exchange that failed at one of two lists
    is in both. `coverage` has for each exchange that answered the window of its trades, `start` and `end` (Unix
    seconds), whether it is `complete` or begins later than was asked for, `why`, how many `trades` it holds, and
    `walls`: whether they are from its book, or why there are none.
    """

    def __init__(self, frame: pd.DataFrame, coverage: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(_dicts(frame))
        self.frame = frame
        self.coverage = coverage
        self.asked: list[str] = frame.attrs["asked"]
        self.answered: list[str] = frame.attrs["answered"]
        self.dropped: dict[str, str] = frame.attrs["dropped"]


@dataclass
class _Part:
    """What one venue has told so far, page by page, so that a deadline loses nothing that came."""

    pages: list[Columns] = field(default_factory=list)
    book: Columns = field(default_factory=dict)
    orders: Columns = field(default_factory=dict)
    short: str = ""
    failures: dict[str, Drop] = field(default_factory=dict)

    @property
    def came(self) -> bool:
        """Whether anything was told, if only that there are no large orders."""
        return bool(self.pages or length(self.book)) or not self.failures

    @property
    def drop(self) -> Drop:
        """What is missing and why."""
        told = "; ".join(f"{name}: {drop.detail or drop}" for name, drop in self.failures.items())
        return Drop(next(iter(self.failures.values())), told)

    @property
    def exchange(self) -> str:
        """Whose rows these are: a backup's where it answered."""
        rows = next(filter(length, (*self.pages, self.book)), {})
        return texts(rows, "exchange")[0] if rows else ""

    def forget(self, drop: Drop) -> None:
        """Leave out all that was told, because it is about something else."""
        self.pages, self.book, self.failures = [], {}, {"prices": drop}


class Whales(Derivatives):
    """A catalogue that knows who trades much at a time."""

    if TYPE_CHECKING:  # what the manager brings
        _needs_rates: Callable[[Sequence[Sequence[Entry]], Instrument, str], bool]
        _asked_rates: Callable[[Entry, Instrument, str, list[VenueAnswer]], Coroutine[Any, Any, None]]
        _in_turn: Callable[[Sequence[Entry], str, Instrument, dict[str, Drop]], Coroutine[Any, Any, Columns]]

    async def get_cross_exchange_whale_activity(
        self,
        symbol: str,
        since: float | None = None,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        floor: float | None = None,
        pages: int = PAGES,
        deadline: float | None = None,
    ) -> WhaleActivity:
        """Return the large trades of one instrument since `since`, and the large orders that rest in the books now.

        A list of dicts, newest first: `exchange, symbol, side` ("buy" or "sell", the taker's or the resting order's;
        "unknown" where not told), `quantity` (base), `price, notional, threshold` (in `currency`), `timestamp` (Unix
        seconds), `kind` ("trade" or "wall"), `trade_id`, and what else `xex.activity.whales` and `xex.activity.walls`
        tell, which also say what is large; `floor` is dollars. `since` is Unix seconds, by default an hour ago.

        Every exchange is asked for its latest trades, back to `since` where it has older ones, in at most `pages`
        requests, and for its book; how far each part goes back is in `coverage`. Dollars are measured in the same
        question; a currency without a rate is taken at par, which `usd_source` then says. Large orders that another
        source knows of stand only for venues whose own book is not here. Who fails, or is priced like another asset, is
        in `dropped`. Raises as `get_cross_exchange_ticker` does.
        """
        self._enter()
        since_ms = _since(since)
        if pages not in range(1, 1001):
            raise ConfigError(f"pages is how many requests a tape may take, a whole number from 1, not {pages!r}")
        if floor is not None:
            check_number("floor", floor, lambda value: value > 0, "dollars from which on a trade is large, above 0")
        seconds = self._seconds(deadline)
        groups = self._chosen("whale_activity", venues)
        with until(seconds - min(MOST_ASSEMBLY * seconds, ASSEMBLY_S)):
            ask, instrument = await self._meant(symbol, market, groups)
            parts, legs = await self._whale_parts(groups, instrument, since_ms, pages)
            if not any(part.came for part in parts.values()):
                failed = {name: part.drop for name, part in parts.items()}
                instrument = await self._other_meaning(ask, instrument, market, groups, failed)
                parts, legs = await self._whale_parts(groups, instrument, since_ms, pages)
        if not any(part.came for part in parts.values()):
            raise self._nobody(ask, instrument, {name: part.drop for name, part in parts.items()})
        # The quantiles of many trades take a while, in which the loop has others to serve.
        found, coverage = await asyncio.to_thread(_judged, parts, legs, instrument, (since_ms, clock.now_ms()), floor)
        failures = {name: part.drop for name, part in parts.items() if part.failures}
        frame = schema.frame(found, "whales")
        frame.attrs = account(groups, coverage, failures)
        return WhaleActivity(frame, coverage)

    async def _whale_parts(
        self, groups: Sequence[Sequence[Entry]], instrument: Instrument, since_ms: float, pages: int
    ) -> tuple[dict[str, _Part], Columns]:
        """Return what every venue tells, and what rates are made of."""
        parts = {group[0].id: _Part() for group in groups}
        tries: list[VenueAnswer] = []
        asked: dict[str, Coroutine[Any, Any, None]] = {}
        for group in groups:
            part = parts[group[0].id]
            for name, protocol in LISTS.items():
                able_ones = [entry for entry in group if able(entry.connector, protocol)]
                if able_ones:
                    part.failures[name] = Drop(Dropped.LATE, "no answer before the deadline")
                    question = self._large_told(name, part, able_ones, instrument, since_ms, pages)
                    asked[f"{group[0].id} {name}"] = question
        if self._needs_rates(groups, instrument, "USD"):
            for entry in self._entries.values():
                if able(entry.connector, ConvertsCurrencies) and self._offers(entry, "ticker"):
                    asked[f"{entry.id} rates"] = self._asked_rates(entry, instrument, "USD", tries)
        await gathered(asked, self._keep)
        now_ms = clock.now_ms()
        return parts, concat((leg_rows(one, now_ms) for one in tries if length(one.legs)), "tickers")

    async def _large_told(
        self, name: str, part: _Part, group: Sequence[Entry], instrument: Instrument, since_ms: float, pages: int
    ) -> None:
        """Ask a venue for one of its lists, and note what came or why it did not."""
        ask = {"trades": self._tape, "order book": self._own_book, "large orders": self._large_orders}[name]
        failure = await ask(part, group, instrument)
        if failure is not None:
            part.failures[name] = failure
            return
        del part.failures[name]
        if name == "trades":
            await self._older_pages(part, since_ms, pages)

    async def _tape(self, part: _Part, group: Sequence[Entry], instrument: Instrument) -> Drop | None:
        """Take a venue's latest trades; return why there are none."""
        failures: dict[str, Drop] = {}
        rows = await self._in_turn(group, "trades", instrument, failures)
        if not length(rows):
            return next(iter(failures.values()))
        part.pages.append(rows)
        return None

    async def _own_book(self, part: _Part, group: Sequence[Entry], instrument: Instrument) -> Drop | None:
        """Take a venue's book; return why there is none that anybody should act on."""
        failures: dict[str, Drop] = {}
        rows = await self._in_turn(group, "order_book", instrument, failures)
        if not length(rows):
            return next(iter(failures.values()))
        reason = verdicts({**top_of(rows), "age_ms": numbers(rows, "age_ms")[:1]})[0]
        if reason:
            return Drop(reason, "its best bid and ask are not to be acted on")
        part.book = rows
        return None

    async def _large_orders(self, part: _Part, group: Sequence[Entry], instrument: Instrument) -> Drop | None:
        """Take what another source knows of the venues' books; return why it does not tell."""
        entry, connector = group[0], group[0].connector
        assert able(connector, AnswersLargeOrders)  # noqa: S101  chosen by ability
        try:
            await self._ready(entry)
            found = await self._columns(entry, connector.large_orders(instrument), "whales")
        except ConnectorError as exc:
            return exc.drop
        part.orders = {**found, "exchange": Text.same(entry.id, length(found))}
        return None

    async def _older_pages(self, part: _Part, since_ms: float, pages: int) -> None:
        """Ask for the pages before the one that came, as long as each joins the next."""
        page = part.pages[0]
        entry, mine = self._entries[texts(page, "exchange")[0]], parse_symbol(texts(page, "instrument")[0]).instrument
        assert mine is not None  # noqa: S101  made by an instrument
        same = {**who(entry), "currency": mine.quote}
        part.short = "no older page before the deadline"
        while numbers(page, "exchange_time").min() > since_ms:
            if not able(entry.connector, AnswersOlderTrades):
                part.short = LATEST_ONLY
                return
            if len(part.pages) >= pages:
                part.short = f"and no more pages were to be asked for than {pages}"
                return
            try:
                with patient_for(PATIENCE_S):
                    older = await self._columns(entry, entry.connector.older_trades(mine, page, since_ms), "trades")
            except ConnectorError as exc:
                part.short = exc.drop.text
                return
            part.short = _gap(older, page)
            if part.short:
                return
            count = length(older)
            page = {**older, **{name: Text.same(cell, count) for name, cell in same.items()}}
            part.pages.append(page)
        part.short = ""


def _since(since: float | None) -> float:
    """Return from when on trades are wanted, in ms."""
    now_s = clock.now_ms() / 1e3
    if since is None:
        return 1e3 * (now_s - HOUR_S)
    check_number("since", since, lambda value: 0 < value <= now_s, "Unix seconds, not in the future")
    return 1e3 * since


def _gap(older: Columns, page: Columns) -> str:
    """Say why a page does not reach back from the next one: it has to hold its first trade, and older ones."""
    if not length(older):
        return LATEST_ONLY
    times, next_times = numbers(older, "exchange_time"), numbers(page, "exchange_time")
    first = int(np.argmin(next_times))
    id_ = texts(page, "trade_id")[first]
    if not (id_ in texts(older, "trade_id") if id_ else float(times.max()) >= float(next_times[first])):
        return "the page before does not join"
    return "" if float(times.min()) < float(next_times[first]) else "the venue sends no older trades"


# --- judging


def _judged(
    parts: Mapping[str, _Part], legs: Columns, instrument: Instrument, window: tuple[float, float], floor: float | None
) -> tuple[Columns, dict[str, dict[str, Any]]]:
    """Return what is large, newest first, and what was looked at of each exchange."""
    tapes = [page for part in parts.values() for page in part.pages]
    books = [part.book for part in parts.values()]
    quotes = dict.fromkeys(name for rows in (*tapes, *books) for name in texts(rows, "currency"))
    worth = {quote: _worth(legs, quote, instrument.base) for quote in quotes}
    _forget_strangers(parts, worth)
    trades = _in_dollars([page for part in parts.values() for page in part.pages], "trades", worth)
    large = schema.columns_of(activity.whales(trades, floor=floor))
    times = numbers(large, "time")
    large = take(large, (times >= window[0]) & (times <= window[1] + AHEAD_MS))
    walls = activity.walls(_in_dollars([part.book for part in parts.values()], "books", worth), floor=floor)
    seen = {name for part in parts.values() for name in texts(part.book, "venue")[:1]}
    floors = floor_of(instrument.base, floor)
    told = [_others_orders(part.orders, seen, floors) for part in parts.values()]
    found = concat([large, schema.columns_of(walls), *told], "whales")
    coverage = {part.exchange or name: _covered(part, window) for name, part in parts.items() if part.came}
    return take(found, np.argsort(-numbers(found, "time"), kind="stable")) if length(found) else {}, coverage


def _worth(legs: Columns, quote: str, base: str) -> tuple[float, str]:
    """Return what a unit of a currency is worth in dollars, and who says so."""
    rate = currencies.rate(legs, quote, "USD", asset=base)
    if np.isfinite(rate.rate):
        return rate.rate, rate.sources
    return (1.0, f"par: {rate.why}") if quote in USD_LIKE else (np.nan, rate.why)


def _in_dollars(rows: Sequence[Columns], kind: str, worth: Mapping[str, tuple[float, str]]) -> pd.DataFrame:
    """Return rows as a frame that says what their currencies are worth."""
    import pandas as pd

    frame = schema.frame(concat(rows, kind), kind)
    told = [worth[name] for name in frame["currency"]]
    sources = pd.array([source for _, source in told], dtype="str")
    return frame.assign(usd_rate=np.array([rate for rate, _ in told], dtype=np.float64), usd_source=sources)


def _forget_strangers(parts: Mapping[str, _Part], worth: Mapping[str, tuple[float, str]]) -> None:
    """Leave out by name who is priced like another asset, or in other units: all its trades would seem large."""
    priced = {name: price for name, part in parts.items() if (price := _price(part, worth)) == _price(part, worth)}
    values = np.array(list(priced.values()))
    rows = {"exchange": list(priced), "group": [""] * len(priced), "currency": ["USD"] * len(priced),
        "bid": values * (1 - 1e-6), "ask": values * (1 + 1e-6)}  # fmt: skip
    for name, reason in zip(priced, evaluate(rows).reason if priced else (), strict=True):
        if reason in IDENTITY:
            parts[name].forget(Drop(reason, f"its price of {priced[name]:,.8g} dollars is not the others'"))


def _price(part: _Part, worth: Mapping[str, tuple[float, str]]) -> float:
    """Return the price on one venue in dollars: the middle of its book, else its last trade's."""
    if length(part.book):
        top = top_of(part.book)
        middle = float(numbers(top, "bid")[0] + numbers(top, "ask")[0]) / 2
        return middle * worth[texts(part.book, "currency")[0]][0]
    if not part.pages:
        return float("nan")
    page = part.pages[0]
    last = int(np.argmax(numbers(page, "exchange_time")))
    return float(numbers(page, "price")[last]) * worth[texts(page, "currency")[0]][0]


def _others_orders(orders: Columns, seen: Collection[str], floor: float) -> Columns:
    """Return another source's large orders of the venues whose own book is not here: each wall counts once."""
    if not length(orders):
        return {}
    wanted = np.array([venue not in seen for venue in texts(orders, "venue")], dtype=bool)
    kept = take(orders, wanted & (numbers(orders, "notional_usd") >= floor))
    same = np.full(length(kept), floor)
    by = Text.same("floor", length(kept))
    return {**kept, "threshold": same / numbers(kept, "usd_rate"), "threshold_usd": same, "threshold_by": by}


def _covered(part: _Part, window: tuple[float, float]) -> dict[str, Any]:
    """Return which trades and whose walls were looked at on one exchange."""
    walls = "book" if length(part.book) else "large orders" if length(part.orders) else ""
    failed = [part.failures[name] for name in ("order book", "large orders") if name in part.failures]
    told: dict[str, Any] = {"walls": walls or next((drop.text for drop in failed), "none")}
    if not part.pages:
        why = part.failures.get("trades", Drop(Dropped.NOT_LISTED, "it answers no trades")).text
        return {"start": None, "end": None, "complete": False, "why": why, "trades": 0, **told}
    times = np.concatenate([numbers(page, "exchange_time") for page in part.pages])
    start = max(float(times.min()), window[0]) if part.short else window[0]
    inside = int(np.count_nonzero((times >= window[0]) & (times <= window[1] + AHEAD_MS)))
    return {
        "start": start / 1e3, "end": window[1] / 1e3, "complete": not part.short, "why": part.short, "trades": inside,
        **told,
    }  # fmt: skip


def _dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for row in frame.to_dict("records"):
        plain = {str(name): None if value != value else value for name, value in row.items()}
        own = {name: plain[name] for name in _ROW}
        first = {"exchange": plain["exchange"], "symbol": plain["instrument"]}
        first |= {name: plain[name] for name in ("side", "quantity", "price", "notional")}
        found.append({**first, "timestamp": row["time"].timestamp(), **own})
    return found


__all__ = ["WhaleActivity", "Whales"]
