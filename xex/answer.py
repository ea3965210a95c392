"""The answer to a cross-exchange question: the numbers, the rows behind them, what was dropped and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xex.errors import Drop, UnknownVenue
from xex.explained import Explanation, explain_snapshot, number_text
from xex.model import schema
from xex.model.instruments import Instrument
from xex.model.schema import Columns

if TYPE_CHECKING:
    import pandas as pd

    from xex.access.transport import Response


@dataclass(slots=False, repr=False, eq=False)
class CrossExchangeData:
    """One instrument across venues.

    Prices are in `currency` per one base unit, `volume_total` in base units over every identified venue that
    reported one, `volume_partial` the ids without. `price_variance` is a standard deviation in `currency` (the
    name is kept for compatibility). `exchanges_data` holds what each answering venue contributed; a venue with
    weight 0 is in `dropped` with its reason. `arbitrage_opportunities` passed every gate, best first; `rejected`
    are the others, each with the gates that stop it; `depth` is the best trade over all usable books at once, with its
    `legs` in lots and above the venues' minimums, and the `gate` that stops it. `liquidity_books` says how many of
    how many venues' books the score is made of. Times are Unix seconds, absent numbers NaN.
    """

    symbol: str
    instrument: Instrument
    currency: str
    timestamp: float
    columns: Columns
    exchanges_data: dict[str, dict[str, Any]]
    aggregated_price: float
    price_variance: float
    price_var_sq: float
    dispersion_bps: float
    range_bps: float
    mad_bps: float
    arb_index: float
    volume_total: float
    volume_total_quote: float
    volume_partial: list[str]
    liquidity_score: float
    liquidity_books: tuple[int, int]
    liquidity_censored: bool
    arbitrage_opportunities: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    depth: dict[str, Any]
    asked: list[str]
    answered: list[str]
    dropped: dict[str, Drop]
    flags: list[str]
    books: list[Columns] = field(default_factory=list)
    responses: Mapping[str, tuple[Response, ...]] = field(default_factory=dict)
    recording: str = ""

    @property
    def price_std(self) -> float:
        """Another name for `price_variance`, which is a standard deviation."""
        return self.price_variance

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per venue that answered: quotes, weight, age, the rate used, the reason if dropped."""
        return schema.frame(self.columns, "snapshot")

    @cached_property
    def book_frame(self) -> pd.DataFrame:
        """The levels of every venue's book in `currency`, best first per venue and side."""
        return schema.frame(schema.concat(self.books, "books"), "books")

    def raw(self, exchange: str) -> dict[str, Any]:
        """Return the payloads an exchange's row was made of, decoded, by path of the endpoint."""
        import msgspec

        if exchange not in self.responses:
            raise UnknownVenue(exchange, self.responses)
        return {answer.path: msgspec.json.decode(answer.body) for answer in self.responses[exchange]}

    def explain(self) -> Explanation:
        """Say in sentences and a small table how the numbers came about.

        A text to print; its `table` is a DataFrame: `price`, `weight`, `part` (weight · price, which add up to the
        price), `age_ms`, volumes, `fx_rate` and `excluded_reason` of each exchange.
        """
        return explain_snapshot(self)

    def plot(self) -> Any:
        """Draw the venues' quotes around the aggregated price. Needs the extra `plot`."""
        from xex.plot import snapshot

        return snapshot(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as plain values for JSON: NaN becomes None, reasons get their details."""
        names = (
            "symbol", "currency", "timestamp", "aggregated_price", "price_variance", "price_var_sq",
            "dispersion_bps", "range_bps", "mad_bps", "arb_index", "volume_total", "volume_total_quote",
            "volume_partial", "liquidity_score", "liquidity_books", "liquidity_censored", "exchanges_data",
            "arbitrage_opportunities", "rejected", "depth", "asked", "answered", "flags",
        )  # fmt: skip
        plain: dict[str, Any] = {name: plain_value(getattr(self, name)) for name in names}
        plain["instrument"] = self.instrument.description
        plain["dropped"] = {name: {"reason": str(drop), "detail": drop.detail} for name, drop in self.dropped.items()}
        return plain

    def __repr__(self) -> str:
        return (
            f"<{self.instrument.description}: {number_text(self.aggregated_price)} {self.currency} from "
            f"{len(self.answered) - len(set(self.answered) & set(self.dropped))} of {len(self.asked)} venues"
            f"{', replayed: ' + self.recording if self.recording else ''}"
            f"{', dropped ' + ', '.join(f'{k} ({v})' for k, v in self.dropped.items()) if self.dropped else ''}>"
        )

    def __rich__(self) -> Any:
        from xex.tables import snapshot_table

        return snapshot_table(self)

    def _repr_html_(self) -> str:
        import html

        return f"<p>{html.escape(repr(self)[1:-1])}</p>{self.frame.to_html(index=False, na_rep='')}"


def plain_value(value: Any) -> Any:
    """Return a value as JSON can hold it; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain_value(cell) for key, cell in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(cell) for cell in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, str) else value
