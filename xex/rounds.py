"""Ways round the spot markets of all exchanges: ranked on their tickers, sized on the books of what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from xex.access.deadline import until
from xex.derivatives import Derivatives
from xex.errors import ConnectorError, Drop, Dropped
from xex.model import schema
from xex.model.instruments import Instrument
from xex.model.schema import Columns, concat
from xex.roster import REMOVED, Entry, gathered

if TYPE_CHECKING:
    import pandas as pd

BOOKS_SHARE = 0.5
"""The share of a deadline that is kept for books."""


class Rounds(Derivatives):
    """A catalogue that knows which ways round its markets pay."""

    tickers: Callable[..., Awaitable[pd.DataFrame]]
    _rows: Callable[[Entry, str, Instrument], Awaitable[Columns]]

    async def cycles(
        self,
        venues: Iterable[str] | None = None,
        *,
        currency: str = "USDT",
        most_legs: int = 3,
        top: int = 20,
        least_bps: float = 0.0,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return the ways round all spot markets that bring more than they take, sized through the books of their legs.

        Every exchange's whole spot market is asked first; only of the markets in the `top` best cycles the books are,
        and lots and minimums are theirs. Columns and `attrs` as of `arbitrage.cycles`; besides `asked`, `answered` and
        `dropped`, and `books_dropped`: the markets whose book did not come, which are sized at the ticker's touch.
        Balances are taken to be where they are needed. Raises `NoVenueAnswered` when not one answered.
        """
        from xex.analytics import arbitrage

        self._enter()
        seconds = self._seconds(deadline)
        dropped: dict[str, str] = {}
        with until(seconds):
            market = await self.tickers(market="spot", venues=venues, deadline=(1 - BOOKS_SHARE) * seconds)
            rules = await self.instruments(market="spot", venues=market.attrs["answered"])
            market = market.assign(taker_bps=_fees(market, rules))
            unpriced = market["taker_bps"].isna()
            options: dict[str, Any] = {"currency": currency, "most_legs": most_legs, "top": top, "least_bps": least_bps}
            # The search takes a tenth of a second and more, in which the loop has others to serve.
            ranked = await asyncio.to_thread(arbitrage.cycles, market[~unpriced], **options)
            books = await self._books_of(ranked.attrs["markets"], dropped)
        found = ranked
        if len(ranked):
            found = await asyncio.to_thread(arbitrage.cycles, market[~unpriced], books=books, rules=rules, **options)
        left_out = [
            {"exchange": exchange, "instrument": name, "reasons": "fees"}
            for exchange, name in market.loc[unpriced, ["exchange", "instrument"]].itertuples(index=False)
        ]
        found.attrs |= {name: market.attrs[name] for name in ("asked", "answered", "dropped")}
        found.attrs |= {"left_out": [*found.attrs["left_out"], *left_out], "books_dropped": dropped}
        return found

    async def _books_of(self, markets: Iterable[tuple[str, str]], dropped: dict[str, str]) -> pd.DataFrame:
        """Return the books of some markets in one frame; those that did not come are noted in `dropped`."""

        async def book(exchange: str, name: str) -> Columns:
            entry = self._entries.get(exchange)
            if entry is None:
                dropped[f"{exchange} {name}"] = REMOVED
                return {}
            try:
                base, _, quote = name.partition("/")
                return await self._rows(entry, "order_book", Instrument(base, quote, "spot"))
            except ConnectorError as exc:
                dropped[f"{exchange} {name}"] = exc.drop.text
                return {}

        asked = {f"{exchange} {name}": book(exchange, name) for exchange, name in markets}
        names = list(asked)
        came = await gathered(asked, self._keep)
        for name in names:
            if name not in came:
                dropped[name] = Drop(Dropped.LATE, "no answer before the deadline").text
        return schema.frame(concat(came.values(), "books"), "books")


def _fees(market: pd.DataFrame, rules: pd.DataFrame) -> pd.Series:
    """Return the taker fee of each row in basis points, as its instrument states it."""
    known = rules.set_index(["exchange", "instrument"])["taker_bps"]
    known = known[~known.index.duplicated()]
    keys = market.set_index(["exchange", "instrument"]).index
    return known.reindex(keys).set_axis(market.index)
