"""Bringing a venue's numbers to base units, in one function.

A venue says in data what its numbers count; `to_base` is the only place that multiplies. A row records the
rule that made it, and a rule refuses rows that already carry one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from xex.errors import UnitError
from xex.model.schema import Columns, Text, length, numbers

Array = np.ndarray[Any, np.dtype[np.float64]]


class Amount(StrEnum):
    """What a number of the venue counts."""

    BASE = "base"
    CONTRACTS = "contracts"
    """Contracts of so many base units each."""
    QUOTE = "quote"
    QUOTE_CONTRACTS = "contracts of quote"
    """Contracts of so many units of the quote currency each, as inverse ones are."""
    DERIVED = "base × last"
    AVERAGED = "base × vwap"
    QUOTIENT = "quote ÷ last"


class Funding(StrEnum):
    """What a venue's funding counts."""

    RATE = "a fraction of notional"
    PER_COIN = "quote per coin, divided by mark"
    PER_CONTRACT = "coin per contract, times mark, divided by contract size"


class Evidence(StrEnum):
    """How a rule is known."""

    RECORDED = "recorded"
    DOCUMENTED = "documented"
    ASSUMED = "assumed"


PRICES = ("bid", "ask", "last", "open", "high", "low", "mark", "index", "vwap", "price")
SIZES = {"bid_size": "bid", "ask_size": "ask", "size": "price"}
"""Every size, and the price that turns what is counted in quote currency into base units."""
_OF_QUOTE = frozenset({Amount.QUOTE, Amount.QUOTE_CONTRACTS})


@dataclass(frozen=True, slots=True)
class Units:
    """How one venue's market of one kind counts, with the payload field that proves it.

    `size` is what book, quote and trade sizes count, `lot` what lots and minimum amounts count, `base_volume` and
    `quote_volume` what the 24-hour volumes count. Open interest counts what sizes count. `two_sided` names what is
    counted once for the buyer and once for the seller, "volume", "trades" or "open_interest": it is halved.
    `funding` is what is paid per interval.
    """

    name: str
    proof: str
    evidence: Evidence
    size: Amount = Amount.BASE
    lot: Amount = Amount.BASE
    base_volume: Amount = Amount.BASE
    quote_volume: Amount = Amount.QUOTE
    two_sided: tuple[str, ...] = ()
    funding: Funding = Funding.RATE

    @property
    def rule(self) -> str:
        """The text that a converted quote or book carries."""
        volumes = f"volume {self.base_volume}, quote volume {self.quote_volume}"
        halved = ", both halved: two-sided" if "volume" in self.two_sided else ""
        return f"{self.name}: size {self.size}, {volumes}{halved} ({self.evidence})"

    @property
    def trade_rule(self) -> str:
        """The text that a converted trade carries."""
        halved = ", halved: two-sided" if "trades" in self.two_sided else ""
        return f"{self.name}: size {self.size}{halved} ({self.evidence})"

    @property
    def liquidation_rule(self) -> str:
        """The text that a converted liquidation carries: an order, hence of one side."""
        return f"{self.name}: size {self.size} ({self.evidence})"

    @property
    def interest_rule(self) -> str:
        """The text that converted open interest carries."""
        halved = ", halved: two-sided" if "open_interest" in self.two_sided else ""
        return f"{self.name}: open interest {self.size}{halved} ({self.evidence})"

    @property
    def funding_rule(self) -> str:
        """The text that a converted funding rate carries."""
        return f"{self.name}: funding {self.funding} ({self.evidence})"

    @property
    def ratio_rule(self) -> str:
        """The text that a long/short ratio carries."""
        return f"{self.name}: shares of one, as sent ({self.evidence})"


def counts_quote(amount: Amount) -> bool:
    """Say whether a number counts quote currency, so that only a price turns it into base units."""
    return amount in _OF_QUOTE


def factor(amount: Amount, contract_size: Array, multiplier: Array) -> Array:
    """Return base units per unit of the venue, or units of quote currency where that is what it counts."""
    if amount is Amount.CONTRACTS:
        return contract_size * multiplier
    if amount is Amount.BASE:
        return multiplier
    if amount is Amount.QUOTE_CONTRACTS:
        return contract_size
    if amount is Amount.QUOTE:
        return np.ones_like(contract_size)
    raise UnitError(f"{amount.value!r} is derived from other numbers and has no factor of its own")


def to_base(columns: Columns, units: Units, contract_size: Array, multiplier: Array) -> Columns:
    """Return the rows with prices per one base unit, sizes and volumes in base units.

    `contract_size` and `multiplier` have one entry per row. Raises `UnitError` for rows that a rule has
    already brought to base units.
    """
    done = _unconverted(columns)
    if (multiplier != 1.0).any():
        for name in PRICES:
            if name in done:
                done[name] = numbers(done, name) / multiplier
    _sizes_to_base(done, units.size, factor(units.size, contract_size, multiplier))
    _volumes_to_base(done, units, contract_size, multiplier)
    done.pop("vwap", None)
    done["unit_rule"] = Text.same(units.rule, length(columns))
    return done


def _sizes_to_base(done: Columns, amount: Amount, scale: Array) -> None:
    by_price, scaled = counts_quote(amount), bool((scale != 1.0).any())
    if not by_price and not scaled:
        return
    for name, price in SIZES.items():
        if name in done:
            done[name] = numbers(done, name) * scale
            if by_price:
                # Prices are per base unit by now, so a multiplier acts here as well.
                done[name] = done[name] / numbers(done, price)


def _volumes_to_base(done: Columns, units: Units, contract_size: Array, multiplier: Array) -> None:
    once = 0.5 if "volume" in units.two_sided else 1.0
    if "base_volume" in done:
        done["base_volume"] = numbers(done, "base_volume") * factor(units.base_volume, contract_size, multiplier) * once
    if "quote_volume" in done:
        done["quote_volume"] = numbers(done, "quote_volume") * once
        if units.quote_volume is Amount.QUOTE_CONTRACTS:
            done["quote_volume"] = done["quote_volume"] * contract_size
    if units.quote_volume is Amount.DERIVED and "base_volume" in done:
        done["quote_volume"] = done["base_volume"] * numbers(done, "last")
    elif units.quote_volume is Amount.AVERAGED and "base_volume" in done:
        done["quote_volume"] = done["base_volume"] * numbers(done, "vwap")
    if units.base_volume is Amount.QUOTIENT and "quote_volume" in done:
        done["base_volume"] = done["quote_volume"] / numbers(done, "last")


def trades_to_base(columns: Columns, units: Units, contract_size: Array, multiplier: Array) -> Columns:
    """Return trades with prices per one base unit, sizes in base units and notionals in quote units.

    Raises `UnitError` for rows that a rule has already brought to base units.
    """
    once = 0.5 if "trades" in units.two_sided else 1.0
    return _dealt(columns, units, contract_size, multiplier, once) | {
        "unit_rule": Text.same(units.trade_rule, length(columns))
    }


def liquidations_to_base(columns: Columns, units: Units, contract_size: Array, multiplier: Array) -> Columns:
    """Return liquidations as `trades_to_base` does trades; an order has one side, and is never halved."""
    return _dealt(columns, units, contract_size, multiplier) | {
        "unit_rule": Text.same(units.liquidation_rule, length(columns))
    }


def _dealt(columns: Columns, units: Units, contract_size: Array, multiplier: Array, once: float = 1.0) -> Columns:
    done = _unconverted(columns)
    done["price"] = numbers(done, "price") / multiplier
    done["size"] = numbers(done, "size") * factor(units.size, contract_size, multiplier) * once
    if counts_quote(units.size):
        done["size"] = done["size"] / done["price"]
    done["notional"] = done["price"] * done["size"]
    return done


def interest_to_base(columns: Columns, units: Units, contract_size: Array, multiplier: Array) -> Columns:
    """Return open interest as `oi_base`, base units, and `oi_quote`, quote units, each contract counted once.

    Of the venue's own numbers `oi` counts what its sizes count, `oi_base` its coins, `oi_quote` quote currency; they
    are halved where the rule says so, `oi_single` is `oi` of one side already. What is not sent follows from the
    others, at `mark`, else at `last`. Raises `UnitError` for rows that a rule has already brought to base units.
    """
    done = _unconverted(columns)
    once = 0.5 if "open_interest" in units.two_sided else 1.0
    prices = [numbers(done, name) / multiplier for name in ("mark", "last")]
    price = np.where(np.isnan(prices[0]), prices[1], prices[0])
    both, single = numbers(done, "oi") * once, numbers(done, "oi_single")
    counted = np.where(np.isnan(single), both, single) * factor(units.size, contract_size, multiplier)
    base, quote = numbers(done, "oi_base") * multiplier * once, numbers(done, "oi_quote") * once
    if counts_quote(units.size):
        quote = np.where(np.isnan(counted), quote, counted)
        base = np.where(np.isnan(base), quote / price, base)
    else:
        base = np.where(np.isnan(counted), base, counted)
        quote = np.where(np.isnan(quote), base * price, quote)
    for name in ("mark", "last", "oi", "oi_single"):
        done.pop(name, None)
    done["oi_base"], done["oi_quote"] = base, quote
    done["unit_rule"] = Text.same(units.interest_rule, length(columns))
    return done


def funding_to_rate(columns: Columns, units: Units, contract_size: Array, multiplier: Array) -> Columns:
    """Return funding as `rate`, a fraction of notional per interval, `mark` and `index` per one base unit.

    What a venue pays per coin is quote currency, hence a fraction of the mark price; what it pays per inverse contract
    is coin, of which the contract is worth `contract_size` / mark. Raises `UnitError` for rows that a rule has already
    brought to base units.
    """
    done = _unconverted(columns)
    # Both are as the venue quotes them here, per coin of its own, so that a multiplier falls out.
    rate, mark = numbers(done, "rate"), numbers(done, "mark")
    if units.funding is Funding.PER_COIN:
        rate = rate / mark
    elif units.funding is Funding.PER_CONTRACT:
        rate = rate * mark / contract_size
    done["rate"] = rate
    for name in ("mark", "index"):
        if name in done:
            done[name] = numbers(done, name) / multiplier
    done["unit_rule"] = Text.same(units.funding_rule, length(columns))
    return done


def _unconverted(columns: Columns) -> Columns:
    """Return a copy of rows that no rule has converted yet."""
    if "unit_rule" in columns:
        raise UnitError(f"these rows are in base units already ({columns['unit_rule'][0]})")
    return dict(columns)
