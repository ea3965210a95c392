"""How numbers came about: sentences and a small table, for a snapshot and for any frame of quotes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from xex.analytics import pricing
from xex.model.schema import Columns, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

    from xex.answer import CrossExchangeData

RULES = {
    "robust": "what is far from the median is left out, the rest weighed by √volume · e^(−age / 5 s), none above 40 %",
    "median": "the median of the mids, whatever their volumes",
    "vwap": "the mean of the mids by volume, whatever they are",
    "clamp": "mids are brought to within 2 % of their median, and their mean is taken by volume",
    "mad_vwap": "what is far from the median is left out, the rest is weighed by volume",
    "principal_market": "the mid of the venue with the largest volume",
    "brti": "the middle of all books as one, the nearest sizes the weightiest",
    "vwm_trades": "the mean of the volume-weighted medians of equal parts of the time",
}
"""What each method does, by its usual parameters."""
MOST_TOLD = 20
"""How many instruments are told of in sentences."""


class Explanation(str):
    """Sentences, and below them a small table, which is also there as a DataFrame: `table`."""

    table: pd.DataFrame

    __slots__ = ("table",)

    @classmethod
    def of(cls, sentences: Sequence[str], table: pd.DataFrame) -> Self:
        """Return both as one text."""
        made = cls("\n".join([*sentences, "", *_lines(table)]))
        made.table = table
        return made


def number_text(value: float, digits: int = 7) -> str:
    """Write a number with a sensible number of digits and thousands separated, "–" for none.

    >>> number_text(64123.456789), number_text(0.0000123456789), number_text(float("nan"))
    ('64,123.46', '0.00001234568', '–')
    """
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{min(places, 14)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def explain(tickers: pd.DataFrame, method: str = "robust", **parameters: Any) -> Explanation:
    """Say how `pricing.aggregate` makes its prices of a frame of quotes.

    Input, parameters and errors as there. The table has a row per row of the frame: `exchange`, `group`, `currency`,
    `price` (the mid), `weight` (a fraction of its group), `part` (weight · price, which add up to the price by every
    rule that is a weighted mean), `age_ms` and `excluded_reason`. Sentences tell of the first twenty instruments.
    """
    totals = pricing.aggregate(tickers, method, **parameters)
    table = pricing.contributions(tickers, method, **parameters)
    table.insert(5, "part", table["weight"] * table["price"])
    given = f" ({', '.join(f'{name}={value!r}' for name, value in parameters.items())})" if parameters else ""
    sentences = [f"By {method!r}{given}: {RULES[method]}."]
    for total in totals.head(MOST_TOLD).to_dict("records"):
        rows = table[(table["group"] == total["group"]) & (table["currency"] == total["currency"])]
        sentences.append(_told(total, rows))
    if len(totals) > MOST_TOLD:
        sentences.append(f"And {len(totals) - MOST_TOLD:,} more, which are in the table.")
    return Explanation.of(sentences, table)


def _told(total: Mapping[Any, Any], rows: pd.DataFrame) -> str:
    """Say in one paragraph what one instrument's price is made of."""
    used = rows[rows["weight"] > 0]
    parts = ", ".join(f"{name} {weight:.1%}" for name, weight in zip(used["exchange"], used["weight"], strict=True))
    price = number_text(total["price"])
    flags = str(total["flags"]) if isinstance(total["flags"], str) else ""
    words = [f"{total['group']}: {price} {total['currency']} from {len(used)} of {len(rows)}"]
    words[0] += f" ({parts})." if parts else "."
    if flags:
        words.append(f"Flags: {flags}.")
    if total["price_variance"] == total["price_variance"]:
        words.append(
            f"The standard deviation is {number_text(total['price_variance'])} ({total['dispersion_bps']:.2f} bps), "
            f"all that is surely the same asset spans {total['range_bps']:.2f} bps."
        )
    left_out = rows[rows["excluded_reason"].fillna("") != ""]
    if len(left_out):
        named = zip(left_out["exchange"], left_out["excluded_reason"], strict=True)
        words.append(f"Left out: {', '.join(f'{name} ({reason})' for name, reason in named)}.")
    return " ".join(words)


def explain_snapshot(snap: CrossExchangeData) -> Explanation:
    """Say how the numbers of a snapshot came about."""
    return Explanation.of(_sentences(snap), _contributions(snap.columns))


def _contributions(columns: Columns) -> pd.DataFrame:
    import pandas as pd

    price, weight = numbers(columns, "price"), numbers(columns, "weight")
    return pd.DataFrame(
        {
            "exchange": texts(columns, "exchange"), "price": price, "weight": weight,
            "part": np.where(weight > 0, weight * price, 0.0), "age_ms": numbers(columns, "age_ms"),
            "base_volume": numbers(columns, "base_volume"), "quote_volume": numbers(columns, "quote_volume"),
            "fx_rate": numbers(columns, "fx_rate"), "excluded_reason": texts(columns, "excluded_reason"),
        }
    )  # fmt: skip


def _sentences(snap: CrossExchangeData) -> list[str]:
    currency, kept = snap.currency, [name for name, data in snap.exchanges_data.items() if data["weight"] > 0]
    lines = [f"This is no market's now but a replay: {snap.recording}."] if snap.recording else []
    lines += [f"{snap.symbol} was taken to mean {snap.instrument.description}; prices are in {currency}."]
    lines += _price_told(snap, kept)
    for row, name in enumerate(texts(snap.columns, "exchange")):
        source = texts(snap.columns, "fx_source")[row]
        if source not in {"", "identity"}:
            quote = texts(snap.columns, "quote")[row]
            lines.append(_rate_told(name, quote, currency, snap.exchanges_data[name]["fx_rate"], source))
    lines += [
        f"{flag.partition(':')[2]} could not be asked for rates, which lack its part."
        for flag in snap.flags
        if flag.startswith("no_rates:")
    ]
    lines += [
        f"{name} is left out{' of the price' if name in snap.exchanges_data else ''}, {drop.text}."
        for name, drop in snap.dropped.items()
    ]
    lines += _volume_told(snap)
    used, of = snap.liquidity_books
    lines.append(
        f"The liquidity score is made of {used} of {of} books as one: for 1 k, 10 k, 100 k and 1 M {currency}, "
        "100 · (1 − ln(1 + C) / ln 1001) with C the cost in bps of buying and selling so much at once, and their mean."
    )
    lines += _opportunity_told(snap)
    return lines


def _price_told(snap: CrossExchangeData, kept: Sequence[str]) -> list[str]:
    if "no_data" in snap.flags:
        return ["No price: no venue has a usable quote."]
    if "disagree" in snap.flags:
        return ["No price: no majority of the venues agrees within 1 %."]
    price = number_text(snap.aggregated_price)
    parts = ", ".join(f"{name} ({snap.exchanges_data[name]['weight']:.1%})" for name in kept)
    lines = [f"The price {price} is the weighted mean of {parts}."]
    if len(kept) > 2:  # at most two weigh the same
        lines.append(
            "Weights go with √(24 h volume in the quote) · e^(−age / 5 s), none is above 40 %; who does not date its "
            "quotes weighs as if as old as the median of those who do."
        )
    if "single_source" in snap.flags:
        lines.append("It comes from a single venue; nothing confirms it.")
    if snap.price_variance == snap.price_variance:
        lines.append(
            f"The standard deviation {number_text(snap.price_variance)} ({snap.dispersion_bps:.2f} bps) is "
            f"√Σ weight · (price of the venue − {price})² over the same venues; all trusted quotes span "
            f"{snap.range_bps:.2f} bps from the lowest to the highest mid."
        )
    return lines


def _volume_told(snap: CrossExchangeData) -> list[str]:
    if not math.isfinite(snap.volume_total):
        return ["No venue told a volume that counts."]
    total = f"{number_text(snap.volume_total)} {snap.instrument.base}"
    partial = ", ".join(snap.volume_partial)
    lacks = f"; missing in it, or in its worth in {snap.currency}: {partial}" if partial else ""
    return [f"The volume {total} is the sum of the venues' last 24 hours{lacks}."]


def _opportunity_told(snap: CrossExchangeData) -> list[str]:
    if snap.arbitrage_opportunities:
        best = snap.arbitrage_opportunities[0]
        gain = f"{number_text(best['net_profit'])} {best['currency']} on {number_text(best['quantity'])}"
        way = f"Buying on {best['exchange_low']} and selling on {best['exchange_high']}"
        return [f"{way} nets {gain} {snap.instrument.base}."]
    if snap.rejected:
        best = snap.rejected[0]
        way = f"from {best['exchange_low']} to {best['exchange_high']}"
        return [f"No opportunity: the best, {way}, stops at {best['gate']}."]
    return []


def _rate_told(name: str, quote: str, currency: str, rate: float, source: str) -> str:
    """Say what a venue's prices were converted with."""
    if not math.isfinite(rate):
        return f"{name} quotes in {quote}, which is not converted."
    if source == "peg":
        return f"{name} quotes in {quote}, taken at par with {currency} as asked: no rate was measured."
    return f"{name} quotes in {quote}; 1 {quote} = {rate:.6f} {currency} by {source}."


# --- the table as text

_FRACTIONS, _WHOLE = frozenset({"weight"}), frozenset({"age_ms"})


def _lines(table: pd.DataFrame) -> list[str]:
    """Write the table with its columns under one another, numbers to the right."""
    shown = table.head(10 * MOST_TOLD)
    columns = [[name, *_cells(name, shown[name])] for name in shown.columns]
    widths = [max(map(len, column)) for column in columns]
    right = [shown[name].dtype.kind == "f" for name in shown.columns]
    rows = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
    return rows + ([f"… {len(table) - len(shown):,} more rows"] if len(table) > len(shown) else [])


def _cells(name: str, column: Iterable[Any]) -> list[str]:
    if name in _FRACTIONS:
        return [f"{value:.4f}" if value == value else "–" for value in column]
    if name in _WHOLE:
        return [f"{value:,.0f}" if value == value else "–" for value in column]
    return [(number_text(cell) if isinstance(cell, float) else str(cell)) if cell == cell else "" for cell in column]
