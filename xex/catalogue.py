"""What the venues list: instruments, and what a symbol means there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xex.access.deadline import until
from xex.access.port import AnswersAddresses, AnswersNetworks, ListsInstruments, able
from xex.errors import (
    AmbiguousSymbol,
    ConnectorError,
    Drop,
    Dropped,
    NotListed,
    NoVenueAnswered,
    SymbolError,
    UnknownSymbol,
    UnknownVenue,
)
from xex.model import clock, schema
from xex.model.identity import Addresses, same_address
from xex.model.identity import asset as asset_of
from xex.model.instruments import LONGEST, SECTIONS, Ask, Instrument, Section, parse_symbol
from xex.model.listings import Listings, nearest
from xex.model.schema import Columns, concat, length, take, texts
from xex.roster import Entry, gathered
from xex.watch import Watch

if TYPE_CHECKING:
    import pandas as pd

MARKETS: Mapping[str, tuple[Section, ...]] = {
    "spot": ("spot",), "perp": ("linear",), "perpetual": ("linear",), "swap": ("linear",),
    "linear": ("linear", "linear_dated"), "inverse": ("inverse", "inverse_dated"),
    "dated": ("linear_dated", "inverse_dated"), "future": ("linear_dated", "inverse_dated"),
}  # fmt: skip
"""What the word for a market covers in a question about all instruments."""


def sections_of_market(market: str | None) -> tuple[Section, ...]:
    """Return the sections that a word covers, all for None."""
    if market is None:
        return SECTIONS
    try:
        return MARKETS[market.lower()]
    except (KeyError, AttributeError):
        raise SymbolError(f"unknown market {market!r}; markets are: {', '.join(MARKETS)}") from None


def words_of(section: Section) -> str:
    """Return a section's name for people."""
    return section.replace("_", " ")


class Catalogue(Watch):
    """A roster that knows what its exchanges list."""

    async def instruments(
        self, *, market: str | None = None, venues: Iterable[str] | None = None, deadline: float | None = None
    ) -> pd.DataFrame:
        """Return what every venue lists, a row per instrument.

        `tick` is quote currency per base unit, `lot` and `min_amount` are base units, `lot_quote` and `min_notional`
        quote units: an inverse contract is so many dollars, hence has a `lot_quote` and no `lot`. `contract_size`
        is coins of the venue per contract, of inverse ones quote units; `multiplier` is base units per coin of the
        venue, 1000 for 1000PEPE.
        Fees are basis points of notional, `fee_source` says whose. `market` is "spot", "perp", "linear", "inverse"
        or "dated". What failed stands in ``frame.attrs["dropped"]`` by exchange.
        """
        self._enter()
        sections = sections_of_market(market)
        groups = self._chosen("ticker", venues)
        failures: dict[str, Drop] = {}

        async def listed(entry: Entry, section: Section) -> Columns:
            connector = entry.connector
            assert able(connector, ListsInstruments)  # noqa: S101  chosen by ability
            try:
                await self._ready(entry)
                found = await self._guarded(entry, connector.listings([section]))
            except ConnectorError as exc:
                add_failure(failures, entry.id, exc.reason, f"{words_of(section)}: {exc}")
                return {}
            same = {name: schema.Text.same(cell, len(found)) for name, cell in who(entry).items()}
            columns = {**same, "instrument": found.symbols, "group": found.groups, **found.columns}
            return take(columns, found.of(section))

        asked = []
        for entry in (group[0] for group in groups):
            mine = [section for section in sections if section in entry.connector.sections]
            if not able(entry.connector, ListsInstruments):
                failures[entry.id] = Drop(Dropped.NOT_LISTED, "the connector knows single tickers only")
            elif not mine:
                failures[entry.id] = Drop(Dropped.NOT_LISTED, f"{market} markets are not offered here")
            else:
                asked += [(entry, section) for section in mine]
        with until(self._seconds(deadline)):
            parts = await gathered({f"{entry.id} {one}": listed(entry, one) for entry, one in asked}, self._keep)
        for entry, section in asked:
            if f"{entry.id} {section}" not in parts:
                add_failure(failures, entry.id, Dropped.LATE, f"{words_of(section)}: no answer before the deadline")
        if not any(map(length, parts.values())):
            raise NoVenueAnswered(f"no venue answered:{lines(failures)}", failures)
        came = concat(parts.values(), "instruments")
        frame = schema.frame(came, "instruments")
        frame.attrs = account(groups, texts(came, "exchange"), failures)
        return frame

    async def lookup(
        self,
        text: str,
        *,
        market: str | None = None,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return what a symbol means on every venue: rows of instruments, one per exchange that lists it.

        `text` is written as people or venues write it: BTCUSDT, BTC/USDT, XBTUSD, BTC-USDT-SWAP, PF_XBTUSD,
        1000PEPEUSDT, kraken:XXBTZUSD. Where a venue lists the asset in another dollar alone, that row stands for it.
        ``frame.attrs`` holds `instrument` (the symbol as meant), `asked`, `answered` and `dropped`. Raises
        `AmbiguousSymbol` with the readings, `UnknownSymbol` with the nearest.
        """
        self._enter()
        groups = self._chosen("ticker", venues)
        failures: dict[str, Drop] = {}
        parts = []
        with until(self._seconds(deadline)):
            ask, instrument = await self._meant(text, market, groups)
            entries = [group[0] for group in groups]
            came = await self._all_tables(entries)
            if not any(table.candidates(instrument) for tables, _ in came.values() for table in tables):
                # XXBTZUSD looks like a pair, and is a venue's own name.
                failed = {name: drop or Drop(Dropped.NOT_LISTED, "") for name, (_, drop) in came.items()}
                try:
                    instrument = await self._other_meaning(ask, instrument, market, groups, failed)
                    came = await self._all_tables(entries)
                except UnknownSymbol:  # It may have been listed since.
                    came = await self._all_tables(entries, refresh=True)
        for entry in entries:
            tables, drop = came[entry.id]
            table = Listings.joined(tables)
            rows = table.candidates(instrument)
            if not rows:
                failures[entry.id] = drop or Drop(Dropped.NOT_LISTED, f"{instrument.symbol} is not listed")
                continue
            same = {name: schema.Text.same(cell, len(table)) for name, cell in who(entry).items()}
            columns = {**same, "instrument": table.symbols, "group": table.groups, **table.columns}
            parts.append(take(columns, rows[:1]))
        if not parts:
            raise self._nobody(ask, instrument, failures)
        frame = schema.frame(concat(parts, "instruments"), "instruments")
        frame.attrs = {**account(groups, frame["exchange"], failures), "instrument": instrument.symbol}
        return frame

    async def addresses(
        self, asset: str, *, venues: Iterable[str] | None = None, deadline: float | None = None
    ) -> pd.DataFrame:
        """Return the contracts behind an asset on every venue, a row per code and network.

        `asset` is one currency, as people or venues write it. `address` is absent where a venue names no contract, as
        for a network's own coin; codes and networks are spelled as the venue spells them; `source` says whether
        anybody is told or only holders of a key. A key that may only read will do, and a missing or wrong one costs
        this answer alone. ``frame.attrs`` as in `lookup`, with `asset` and `identity`: "same", "different" or
        "unknown" by exchange and exchange, see `xex.model.identity.same_address`. A snapshot of spot markets asked
        for later knows what is told here. Raises `SymbolError`, `NoVenueAnswered`.
        """
        self._enter()
        name = _one_asset(asset)
        groups = self._chosen("ticker", venues)
        with until(self._seconds(deadline)):
            parts, failures = await self._each_in_turn(groups, lambda entry: self._addresses(entry, name))
        if not any(map(length, parts.values())):
            raise NoVenueAnswered(f"no venue names a network of {name}:{lines(failures)}", failures)
        frame = schema.frame(concat(parts.values(), "addresses"), "addresses")
        told = {
            entry: self._entries[entry].contracts[clock.epoch(), name] for entry in dict.fromkeys(frame["exchange"])
        }
        identity = {
            one: {other: same_address(told[one], told[other]) for other in told if other != one} for one in told
        }
        frame.attrs = {**account(groups, frame["exchange"], failures), "asset": name, "identity": identity}
        return frame

    async def _each_in_turn(
        self, groups: Sequence[Sequence[Entry]], ask: Callable[[Entry], Awaitable[Columns]]
    ) -> tuple[dict[str, Columns], dict[str, Drop]]:
        """Ask all venues at once, each by one configuration after the other, and return what came and what failed."""
        failures: dict[str, Drop] = {}

        async def in_turn(group: Sequence[Entry]) -> Columns:
            for entry in group:
                try:
                    return await ask(entry)
                except ConnectorError as exc:
                    failures[entry.id] = exc.drop
            return {}

        parts = await gathered({group[0].id: in_turn(group) for group in groups}, self._keep)
        note_late(groups, parts, failures)
        return parts, failures

    async def _addresses(self, entry: Entry, name: str) -> Columns:
        """Return what one exchange says of an asset, and remember it."""
        connector = entry.connector
        if not able(connector, AnswersAddresses):
            raise NotListed("the connector knows no contract addresses")
        await self._ready(entry)
        if entry.config.api_key is not None:
            # What is signed is dated, and a venue refuses a date from another clock than its own.
            await self._measure_skew_if_old(entry)

        async def checked() -> Columns:
            return schema.checked(await connector.addresses(name), "addresses")

        # Not guarded: what is wrong with a key is no failure of the venue. The seam notes what is one.
        found = await self._translated(entry, checked())
        if not length(found):
            raise NotListed(f"no network of {name}")
        told: dict[str, list[str | None]] = {}
        for network, address in zip(texts(found, "network"), texts(found, "address"), strict=True):
            told.setdefault(network, []).append(address or None)
        entry.contracts[clock.epoch(), name] = told
        return {**found, **{column: schema.Text.same(cell, length(found)) for column, cell in who(entry).items()}}

    async def networks(
        self, assets: str | Iterable[str], *, venues: Iterable[str] | None = None, deadline: float | None = None
    ) -> pd.DataFrame:
        """Return which networks some assets can be moved by, a row per exchange, asset and network.

        `network` is one name for all venues ("ethereum", "tron", "bsc"), `venue_network` the venue's own. `deposit`
        and `withdraw` are "open", "closed" or "unknown"; `withdraw_fee` and `withdraw_min` are units of the asset,
        `confirmations` those until a deposit can be traded with, all NaN where not told. `source` says who is told:
        "public", "account" (holders of a key, one that may only read will do), or "unknown": an exchange that has not
        answered, or not about an asset, has a row without a network whose `reason` says why, and stands in
        ``frame.attrs["dropped"]``. Nothing is guessed, and no failure of a venue raises. Lists are kept for a minute.
        `xex.arbitrage.routes` makes routes of the frame. Raises `SymbolError`, `ConfigError`, `UnknownVenue`.
        """
        self._enter()
        names = list(dict.fromkeys(_one_asset(one) for one in ([assets] if isinstance(assets, str) else assets)))
        if not names:
            raise SymbolError("networks are of assets; name some: BTC, USDT")
        groups = self._chosen("ticker", venues)
        with until(self._seconds(deadline)):
            parts, failures = await self._each_in_turn(groups, lambda entry: self._networks(entry, names))
        rows = list[Columns]()
        for entry in (group[0] for group in groups):
            part = parts.get(entry.id, {})
            rows.append(part)
            untold = [name for name in names if name not in set(texts(part, "asset"))]
            if untold and length(part):
                add_failure(failures, entry.id, Dropped.NOT_LISTED, f"no network of {', '.join(untold)}")
            if untold:
                rows.append(_untold(entry, untold, failures[entry.id]))
        frame = schema.frame(concat(rows, "networks"), "networks")
        told = [name for part in parts.values() for name in texts(part, "exchange")]
        frame.attrs = {**account(groups, told, failures), "assets": names}
        return frame

    async def _networks(self, entry: Entry, names: Sequence[str]) -> Columns:
        """Return what one exchange says of the networks of some assets."""
        connector = entry.connector
        if not able(connector, AnswersNetworks):
            raise NotListed("the connector does not know which networks are open")
        await self._ready(entry)
        if entry.config.api_key is not None:
            await self._measure_skew_if_old(entry)

        async def checked() -> Columns:
            return schema.checked(await connector.networks(names), "networks")

        # Not guarded, as `addresses` is not: what is wrong with a key is no failure of the venue.
        found = await self._translated(entry, checked())
        if not length(found):
            raise NotListed(f"no network of {', '.join(names)}")
        return {**found, **{column: schema.Text.same(cell, length(found)) for column, cell in who(entry).items()}}

    def _known_contracts(self, entry: Entry, instrument: Instrument) -> Addresses:
        """Return what `addresses` has told of a spot market's base on an exchange's venue; nothing is asked."""
        key = (clock.epoch(), instrument.base)
        mine = (one for one in self._entries.values() if one.config.venue == entry.config.venue)
        return next((one.contracts[key] for one in mine if instrument.kind == "spot" and key in one.contracts), {})

    async def _all_tables(
        self, entries: Sequence[Entry], *, refresh: bool = False
    ) -> dict[str, tuple[list[Listings], Drop | None]]:
        """Return every exchange's lists that can be had in time, and why others could not."""
        knowing = [entry for entry in entries if able(entry.connector, ListsInstruments)]
        came = await gathered({entry.id: self._tables(entry, refresh=refresh) for entry in knowing}, self._keep)
        single: tuple[list[Listings], Drop | None] = ([], Drop(Dropped.NOT_LISTED, "it knows single tickers only"))
        late: tuple[list[Listings], Drop | None] = ([], Drop(Dropped.LATE, "no answer in time"))
        return {entry.id: came.get(entry.id, late) if entry in knowing else single for entry in entries}

    async def _meant(self, text: str, market: str | None, groups: Sequence[Sequence[Entry]]) -> tuple[Ask, Instrument]:
        """Return what a symbol asks for, and the instrument that it means.

        What is no symbol may be some venue's own id: where all venues that know it mean the same by it, that is
        what it means. A pair with a hyphen is never guessed: BTC-USDT is spot here and a perpetual there.
        """
        try:
            ask = parse_symbol(text, market, {entry.config.venue for group in groups for entry in group})
        except SymbolError as error:
            if not _maybe_an_id(text):
                raise
            return await self._by_id(text, market, groups, error)
        return ask, ask.instrument or await self._resolved(ask, groups)

    async def _by_id(
        self, text: str, market: str | None, groups: Sequence[Sequence[Entry]], error: Exception
    ) -> tuple[Ask, Instrument]:
        wanted, entries = sections_of_market(market), [group[0] for group in groups]
        readings = self._readings(text, await self._all_tables(entries), wanted)
        if not readings:
            readings = self._readings(text, await self._all_tables(entries, refresh=True), wanted)
        if not readings:
            raise error
        if len(readings) > 1:
            shown = ", ".join(f"{native} is {meant.description}" for meant, native in readings.items())
            known = [name for meant, native in readings.items() for name in (native, meant.symbol)]
            message = f"{text!r} has several meanings: {shown}; write one of them"
            raise AmbiguousSymbol(message, readings=known) from None
        (instrument,) = readings
        return Ask(text, instrument), instrument

    def _readings(
        self, text: str, tables: Mapping[str, tuple[list[Listings], Drop | None]], wanted: Sequence[Section]
    ) -> dict[Instrument, str]:
        """Return what venues mean by a text that is an id of theirs, and whose id it is."""
        readings: dict[Instrument, str] = {}
        for name, (mine, _) in tables.items():
            for table in mine:
                for row in table.named(text):
                    listed = table.listed(row)
                    if listed.instrument.section in wanted:
                        readings.setdefault(listed.instrument, f"{self.exchange_configs[name].venue}:{listed.id}")
        return readings

    async def _other_meaning(
        self,
        ask: Ask,
        instrument: Instrument,
        market: str | None,
        groups: Sequence[Sequence[Entry]],
        failures: Mapping[str, Drop],
    ) -> Instrument:
        """Return what a text means as a venue's own id that nobody knows as a pair; raise why nobody answered else."""
        error = self._nobody(ask, instrument, failures)
        if not isinstance(error, UnknownSymbol) or not ask.text.isalnum():
            raise error
        return (await self._by_id(ask.text, market, groups, error))[1]

    async def _resolved(self, ask: Ask, groups: Sequence[Sequence[Entry]]) -> Instrument:
        """Find what a venue's own id is."""
        entry = next((group[0] for group in groups if group[0].config.venue == ask.venue), None)
        if entry is None or not able(entry.connector, ListsInstruments):
            raise UnknownVenue(ask.venue, sorted({group[0].config.venue for group in groups}))
        for refresh in (False, True):  # what was listed since the list was read is known to a newer one
            tables, drop = await self._tables(entry, refresh=refresh)
            table = Listings.joined(tables)
            row = table.row_of_id(ask.native_id)
            if row is not None:
                break
        if row is None and drop is not None:
            raise NoVenueAnswered(f"{ask.text!r} needs the instruments of {ask.venue}: {drop.text}", {entry.id: drop})
        if row is None:
            ids = dict.fromkeys(table.columns["id"])  # Spot and perpetuals may share one.
            close = difflib.get_close_matches(ask.native_id.upper(), ids, n=5, cutoff=0.5)
            hint = f"; near: {', '.join(f'{ask.venue}:{name}' for name in close)}" if close else ""
            raise UnknownSymbol(f"{ask.venue} lists no {ask.native_id!r}{hint}{_recorded_only()}", nearest=close)
        return table.listed(row).instrument

    def _nobody(self, ask: Ask, instrument: Instrument, failures: Mapping[str, Drop]) -> Exception:
        known = [
            table
            for name in failures
            if (table := getattr(self._entries[name].connector, "known_listings", lambda *_: None)())
        ]
        if known and all(drop == Dropped.NOT_LISTED.value for drop in failures.values()):
            return _unknown(ask, instrument, known)
        return NoVenueAnswered(f"no venue answered for {instrument.description}:{lines(failures)}", failures)


def _untold(entry: Entry, names: Sequence[str], drop: Drop) -> Columns:
    """Return the rows of assets of which an exchange has told nothing."""
    same = {**who(entry), "deposit": "unknown", "withdraw": "unknown", "source": "unknown", "reason": drop.text}
    return {"asset": list(names), **{name: schema.Text.same(cell, len(names)) for name, cell in same.items()}}


def _one_asset(text: object) -> str:
    """Return the asset that a person means by the name of a currency."""
    plain = text.strip() if isinstance(text, str) else ""
    if not plain or len(plain) > LONGEST or not re.fullmatch(r"[^\W_]+(\.[^\W_]+)?", plain):
        raise SymbolError(
            f"{str(text)[:LONGEST]!r} is no currency; addresses and networks are of assets, write BTC or PEPE"
        )
    return asset_of(plain, "spot")[0]


def _maybe_an_id(text: object) -> bool:
    """Say whether a text that is no symbol may be a venue's id, and one that has a single meaning."""
    plain = text.strip() if isinstance(text, str) else ""
    if len(plain) > LONGEST or not re.search(r"[\d_-]", plain) or not re.fullmatch(r"\w+([_-]\w+)*", plain, re.ASCII):
        return False
    return not re.fullmatch(r"[A-Za-z0-9]+-[A-Za-z]+", plain)


def _unknown(ask: Ask, instrument: Instrument, known: Sequence[Listings]) -> SymbolError:
    near = nearest(instrument, known)
    spelled_alike = [table.symbols[row] for table in known for row in table.spelled(ask.text)]
    near = list(dict.fromkeys([*spelled_alike, *near]))[:5]
    spot = Instrument(instrument.base, instrument.quote, "spot")
    if instrument.kind != "spot" and any(table.candidates(spot) for table in known):
        if spot.symbol not in near:
            near = [spot.symbol, *near]
        message = f"no venue lists {instrument.description}; for spot write {spot.symbol}"
    else:
        message = f"no venue lists {instrument.description}"
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return UnknownSymbol(f"{ask.text!r}: {message}{hint}{_recorded_only()}", nearest=near)


def _recorded_only() -> str:
    return "; the recording in use holds only what was asked for when it was made" if clock.is_replayed() else ""


def lines(failures: Mapping[str, Drop]) -> str:
    """Return a line for each exchange that failed."""
    return "".join(f"\n  {name}: {drop.text}" for name, drop in failures.items())


def who(entry: Entry) -> dict[str, str]:
    """Return the columns that name an exchange."""
    return {"exchange": entry.id, "venue": entry.config.venue}


def account(
    groups: Sequence[Sequence[Entry]], exchanges: Iterable[str], failures: Mapping[str, Drop]
) -> dict[Hashable, Any]:
    """Return what was asked, who answered (the exchange of each row) and who did not."""
    return {
        "asked": [group[0].id for group in groups],
        "answered": list(dict.fromkeys(exchanges)),
        "dropped": {name: drop.text for name, drop in failures.items()},
    }


def add_failure(failures: dict[str, Drop], exchange: str, reason: str, detail: str) -> None:
    """Note why a list of an exchange is missing, beside what is missing already."""
    known = failures.get(exchange)
    failures[exchange] = Drop(reason, detail) if known is None else Drop(known, f"{known.detail}; {detail}")


def note_late(groups: Sequence[Sequence[Entry]], came: Mapping[str, Columns], failures: dict[str, Drop]) -> None:
    """Name who has not answered at all."""
    for group in groups:
        if group[0].id not in came:
            failures[group[0].id] = Drop(Dropped.LATE, "no answer before the deadline")
