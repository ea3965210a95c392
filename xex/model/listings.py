"""A venue's instruments as columns, and how to find one among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xex.model.instruments import USD_LIKE, Instrument, Section, group_key, section_of
from xex.model.schema import Words

# One entry per instrument; lots and minimums in base units, `lot_quote` and `min_notional` in quote units, the
# time of expiry in ms, fees in basis points of notional.
NUMBERS = (
    "multiplier", "contract_size", "tick", "lot", "lot_quote", "min_amount", "min_notional", "expiry_time",
    "taker_bps", "maker_bps",
)  # fmt: skip
TEXTS = ("id", "alias", "base", "quote", "settle", "kind", "expiry", "fee_source")
COLUMNS = (*TEXTS, *NUMBERS, "active")


MEANT_FIRST: tuple[Section, ...] = ("linear", "spot", "inverse", "linear_dated", "inverse_dated")
"""What a spelling means of several instruments that share it."""


def spelled(text: str) -> str:
    """Return a spelling without case and separators.

    >>> spelled("btc-usdt-swap"), spelled("BTC/USD:BTC-261225")
    ('BTCUSDTSWAP', 'BTCUSDBTC261225')
    """
    return "".join(filter(str.isalnum, text)).upper()


@dataclass(frozen=True, slots=True)
class Listed:
    """One instrument as one venue lists it."""

    row: int
    id: str
    instrument: Instrument
    active: bool


class Listings:
    """The instruments of one venue: equally long lists named by the schema of instruments.

    Numbers are floats with NaN for absent, `active` is bool. `left_out` are the ids of rows that were not
    understood or are no instrument of ours: they are known, hence no news. Nothing but the columns is built until
    it is asked for.
    """

    def __init__(self, columns: dict[str, list[Any]], left_out: Iterable[str] = ()) -> None:
        self.columns = columns
        self.left_out = frozenset(left_out)

    def __len__(self) -> int:
        return len(self.columns["id"])

    @classmethod
    def joined(cls, parts: Iterable[Listings]) -> Listings:
        """Return the instruments of several markets of one venue in one table."""
        given = list(parts)
        columns = {name: [cell for part in given for cell in part.columns[name]] for name in COLUMNS}
        place = {key: row for row, key in enumerate(zip(columns["id"], columns["kind"], strict=True))}
        if len(place) < len(columns["id"]):  # pages may overlap
            columns = {name: [cells[row] for row in place.values()] for name, cells in columns.items()}
        return cls(columns, (id_ for part in given for id_ in part.left_out))

    @cached_property
    def known(self) -> frozenset[str]:
        """Every id of the venue's list, also of rows that are none of ours."""
        return self.left_out.union(self.columns["id"], self.columns["alias"])

    @cached_property
    def _by_spelling(self) -> dict[str, list[int]]:
        """Rows by everything that they are called, the one that is meant first."""
        rows: dict[str, list[int]] = {}
        columns = self.columns
        names = zip(*(columns[name] for name in ("id", "alias", "base", "quote")), self.symbols, strict=True)
        for row, (id_, alias, base, quote, symbol) in enumerate(names):
            for text in {spelled(name) for name in (id_, alias, base + quote, symbol) if name}:
                rows.setdefault(text, []).append(row)
        for found in rows.values():
            if len(found) > 1:
                found.sort(key=self._rank)
        return rows

    def _rank(self, row: int) -> tuple[bool, int, int, str]:
        """Order rows of one spelling: active, perpetual before spot before dated, linear first, dollars first."""
        columns = self.columns
        section = section_of(columns["kind"][row], columns["expiry"][row])
        quote = columns["quote"][row]
        dollars = USD_LIKE.index(quote) if quote in USD_LIKE else len(USD_LIKE)
        return not columns["active"][row], MEANT_FIRST.index(section), dollars, columns["expiry"][row]

    def spelled(self, text: str) -> list[int]:
        """Return the rows that a spelling may mean, best first.

        A spelling is an id of the venue's, the unified symbol or base and quote, in any case and with any
        separators. Of several rows an active one comes before a dead one, then the linear perpetual, spot, the
        inverse perpetual, dated contracts. An exact id or symbol comes before what is only spelled alike.
        """
        rows = self._by_spelling.get(spelled(text), [])
        exact = [row for row in rows if text.upper() == self.symbols[row] or row in self.named(text)]
        return exact + [row for row in rows if row not in exact]

    def named(self, text: str) -> list[int]:
        """Return the rows whose own id, or other name at the venue, a text is."""
        columns, upper = self.columns, text.strip().upper()
        rows = self._by_spelling.get(spelled(text), [])
        return [row for row in rows if upper in (columns["id"][row].upper(), columns["alias"][row].upper())]

    @cached_property
    def _by_id(self) -> dict[tuple[str, str], int]:
        """Rows by (id in upper case, kind): venues reuse ids between spot and derivatives."""
        columns = self.columns
        rows: dict[tuple[str, str], int] = {}
        for name in ("alias", "id"):
            cells = zip(columns[name], columns["kind"], strict=True)
            rows |= {(id_.upper(), kind): row for row, (id_, kind) in enumerate(cells) if id_}
        return rows

    @cached_property
    def _by_group(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        columns = self.columns
        for row, (base, kind, expiry) in enumerate(
            zip(columns["base"], columns["kind"], columns["expiry"], strict=True)
        ):
            rows.setdefault(group_key(base, kind, expiry), []).append(row)
        return rows

    @cached_property
    def words(self) -> dict[str, Words]:
        """What rows that come from this table refer to."""
        named = {name: self.columns[name] for name in ("base", "quote", "settle", "kind", "fee_source")}
        return {
            name: Words(cells) for name, cells in {**named, "instrument": self.symbols, "group": self.groups}.items()
        }

    @cached_property
    def arrays(self) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        """The numbers that rows are brought to base units with."""
        return {name: np.array(self.columns[name], dtype=np.float64) for name in NUMBERS}

    def of(self, section: Section, *, active: bool = False) -> list[int]:
        """Return the rows of one section, or the active ones alone."""
        cells = zip(*(self.columns[name] for name in ("kind", "expiry", "active")), strict=True)
        return [
            row for row, (kind, expiry, trading) in enumerate(cells)
            if section_of(kind, expiry) == section and (trading or not active)
        ]  # fmt: skip

    def listed(self, row: int) -> Listed:
        """Return one row as an object."""
        columns = self.columns
        instrument = Instrument(
            columns["base"][row], columns["quote"][row], columns["kind"][row],
            columns["settle"][row], columns["expiry"][row],
        )  # fmt: skip
        return Listed(row, columns["id"][row], instrument, bool(columns["active"][row]))

    def row_of_id(self, native_id: str, kinds: Sequence[str] = ("linear", "spot", "inverse")) -> int | None:
        """Return the row of a venue's own id; of several kinds the first listed one."""
        for kind in kinds:
            row = self._by_id.get((native_id.upper(), kind))
            if row is not None:
                return row
        return None

    def find(self, instrument: Instrument) -> int | None:
        """Return the row of exactly this instrument, an active one before a dead one."""
        rows = [
            row for row in self._by_group.get(instrument.group, ()) if self.columns["quote"][row] == instrument.quote
        ]
        return min(rows, key=lambda row: not self.columns["active"][row], default=None)

    def lists(self, instrument: Instrument) -> bool:
        """Say whether exactly this instrument is listed and active."""
        row = self.find(instrument)
        return row is not None and bool(self.columns["active"][row])

    def candidates(self, instrument: Instrument, quotes: Sequence[str] = USD_LIKE) -> list[int]:
        """Return the rows that may stand for `instrument` on this venue.

        The instrument itself alone where it is listed and active; else the active ones of the same asset,
        kind and expiry in another USD-like quote, in the order of `quotes`.
        """
        exact = self.find(instrument)
        if exact is not None and self.columns["active"][exact]:
            return [exact]
        if instrument.quote not in quotes:
            return []
        others = [
            row
            for row in self._by_group.get(instrument.group, ())
            if self.columns["active"][row] and self.columns["quote"][row] in quotes
        ]
        return sorted(others, key=lambda row: quotes.index(self.columns["quote"][row]))

    @cached_property
    def symbols(self) -> list[str]:
        """The unified symbol of every row."""
        return [self.listed(row).instrument.symbol for row in range(len(self))]

    @cached_property
    def groups(self) -> list[str]:
        """The aggregates' key of every row."""
        return [self.listed(row).instrument.group for row in range(len(self))]


def nearest(instrument: Instrument, listings: Iterable[Listings], most: int = 5) -> list[str]:
    """Return the listed symbols that look most like `instrument`, the same kind first."""
    rows = [
        (kind, base, quote, expiry, table.symbols[row])
        for table in listings
        for row, (kind, base, quote, expiry, active) in enumerate(
            zip(*(table.columns[name] for name in ("kind", "base", "quote", "expiry", "active")), strict=True)
        )
        if active
    ]
    # A dated contract does not stand in the place of its perpetual, unless one was asked for.
    rows.sort(key=lambda row: bool(row[3]) != bool(instrument.expiry))
    same_base = [symbol for _, base, _, _, symbol in rows if base == instrument.base]
    by_text: dict[str, str] = {}
    for kind, base, quote, _, symbol in rows:
        if kind == instrument.kind:
            by_text.setdefault(f"{base}{quote}", symbol)
    close = difflib.get_close_matches(f"{instrument.base}{instrument.quote}", by_text, n=most, cutoff=0.6)
    return list(dict.fromkeys(same_base + [by_text[text] for text in close]))[:most]
