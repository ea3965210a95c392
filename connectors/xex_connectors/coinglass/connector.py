"""CoinGlass in a manager: liquidations, which not all exchanges publish, and funding rates; never a ticker."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from xex.access.port import ExchangeConnector, Struck, Window
from xex.access.transport import Route, Transport
from xex.config import ExchangeConfig
from xex.errors import AuthRejected, NotListed, VenueRefused
from xex.model import clock, schema
from xex.model.instruments import Instrument, Kind
from xex.model.schema import Columns
from xex_connectors.coinglass.answers import Table, venue_of
from xex_connectors.coinglass.client import CoinGlass

DAY_MS = 86_400_000
MOST_DAYS = 7
"""How far back single liquidations are told."""
PAIRS_FRESH_MS = 3_600_000
"""The lists of pairs change hourly at most for what is asked of them."""
FITS, FITS_NOT = 0.01, 0.1
"""Up to what part of what was liquidated a reading of `side` may exceed the history, and from what part it is refuted.

Ours: sums of the same events differ by rounding and by events at the edge of a bar; the other reading of a market whose
longs and shorts are not alike is off by far more.
"""
_DATED = re.compile(r"[_-](\d{6}|\d{1,2}[A-Z]{3}\d{2})$")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class CoinGlassConnector(ExchangeConnector):
    """CoinGlass behind the manager's questions; it needs a key and never answers a ticker.

    Its rows have the exchange that they are of as `venue`. `options["exchanges"]` says whose liquidations are asked,
    Binance and Bybit unless it does: one request for each of them, one for their sums, one for the lists of pairs.
    """

    kinds: ClassVar[Sequence[Kind]] = ("linear", "inverse")
    limits = CoinGlass.limits
    needs_key = True
    quotes = False

    def __init__(self, config: ExchangeConfig | None = None) -> None:
        super().__init__(config)
        self.client = CoinGlass(config)
        self._pairs: Table | None = None
        self._pairs_ms = 0

    @property
    def exchanges(self) -> tuple[str, ...]:
        """Whose liquidations are asked for, in CoinGlass's spelling."""
        options: Mapping[str, Any] = {} if self.config is None else self.config.options
        return tuple(options.get("exchanges", ("Binance", "Bybit")))

    def bind(self, transport: Transport, route: Route) -> None:
        """Take the manager's seam."""
        super().bind(transport, route)
        self.client.bind(transport, route)

    async def connect(self) -> None:
        """Ask for the plan, which tells whether the key is good."""
        if self.config is None or self.config.api_key is None:
            error = AuthRejected(f"needs a key; {CoinGlass.key_hint}")
            error.sent = False
            raise error
        await self.client.check_key()

    async def get_ticker(self, symbol: str) -> None:
        """Return None: whatever it tells of prices and volumes is another exchange's, which answers itself."""
        del symbol

    # --- liquidations

    async def liquidations(self, instrument: Instrument, since_ms: int, until_ms: int) -> Columns:
        """Return single liquidations within [since_ms, until_ms), oldest first, in the schema `liquidations`.

        `position_side` is told by CoinGlass's own sums of longs and shorts where they decide it, else "unknown".
        `size` is what the dollars come to at the row's price. Never `complete`: the exchanges' streams are samples.
        """
        pairs = await self._pairs_of(instrument)
        if not pairs:
            raise NotListed(f"no liquidations of {instrument.symbol}", venue=self._route.venue)
        parts = [await self._liquidated(instrument, name, ids, since_ms, until_ms) for name, ids in pairs.items()]
        told_ms = max(since_ms, clock.now_ms() - MOST_DAYS * DAY_MS)
        windows = [Window(venue_of(name), told_ms, until_ms) for name in pairs]
        return Struck(schema.concat(parts, "liquidations"), windows)

    async def _liquidated(
        self, instrument: Instrument, exchange: str, ids: frozenset[str], since_ms: int, until_ms: int
    ) -> Columns:
        coin = instrument.base
        orders = await self.client.liquidation_order(
            exchange=exchange, symbol=coin, min_liquidation_amount=0, start_time=since_ms, end_time=until_ms
        )
        sides = reconciled(orders, *await self._sums(orders, exchange, coin, since_ms, until_ms))
        mine = np.array([pair in ids for pair in orders["symbol"]], dtype=bool)
        return _liquidations(instrument, venue_of(exchange), schema.take({**orders, "position_side": sides}, mine))

    async def _sums(
        self, orders: Columns, exchange: str, coin: str, since_ms: int, until_ms: int
    ) -> tuple[Columns, float]:
        """Return what was liquidated as long and as short in closed bars, and how long they are; nothing if refused."""
        now_ms = clock.now_ms()
        # The least plan that has orders has minutes of six days.
        interval, step = ("1m", 60_000) if now_ms - since_ms < 5 * DAY_MS else ("1h", 3_600_000)
        begun, closed = since_ms // step * step, min(until_ms, now_ms) // step * step
        if not schema.length(orders) or closed <= begun:
            return {}, step
        try:
            sums = await self.client.ask(
                "liquidation_aggregated_history", exchange_list=exchange, symbol=coin, interval=interval,
                start_time=begun, end_time=closed,
            )  # fmt: skip
        except VenueRefused:
            return {}, step
        return sums, step

    async def _pairs_of(self, instrument: Instrument) -> dict[str, frozenset[str]]:
        """Return what each exchange calls an instrument; exchanges that do not list it are left out."""
        now_ms = clock.now_ms()
        if self._pairs is None or now_ms - self._pairs_ms > PAIRS_FRESH_MS:
            self._pairs, self._pairs_ms = await self.client.supported_exchange_pairs(), now_ms
        found: dict[str, set[str]] = {}
        names = ("exchange", "instrument_id", "base_asset", "quote_asset", "settlement_currency")
        for exchange, id_, base, quote, settle in zip(*(self._pairs[name] for name in names), strict=True):
            # Older lists do not say what settles: dollars that are none of a stablecoin are quoted by inverse ones.
            settled = settle or (base if quote == "USD" else quote)
            meant = Instrument(base, quote, "inverse" if settled == base else "linear", settled, expiry_of(id_))
            if meant == instrument:
                found.setdefault(exchange, set()).add(id_)
        return {name: frozenset(found[name]) for name in self.exchanges if name in found}

    # --- large orders

    async def large_orders(self, instrument: Instrument) -> Columns:
        """Return the large orders that rest in each exchange's book now, in the schema `whales`. One request for each.

        What is large is CoinGlass's choice: from 1,000,000 dollars of BTC, 500,000 of ETH and 50,000 of others.
        """
        pairs = await self._pairs_of(instrument)
        if not pairs:
            raise NotListed(f"no large orders of {instrument.symbol}", venue=self._route.venue)
        parts = []
        for exchange, ids in pairs.items():
            for id_ in sorted(ids):
                orders = await self.client.orderbook_large_limit_order(exchange=exchange, symbol=id_)
                parts.append(_walls(instrument, venue_of(exchange), orders))
        return schema.concat(parts, "whales")

    # --- funding

    async def funding(self, instruments: Sequence[Instrument]) -> Columns:
        """Return the coming funding rate of each coin on every exchange, in the schema `funding`. One request.

        A cross-check, which a manager asks for only by name: CoinGlass tells rates by coin and by what margin is
        posted, stablecoins or the coin, so that a row stands for the exchange's main perpetual of that kind (flag
        `by_coin`). Dated contracts have none.
        """
        rates = await self.client.funding_rate_exchange_list()
        coins = np.array(rates["symbol"])
        margins = np.array(rates["margin"])
        parts = []
        for instrument in instruments:
            margin = {"linear": "stablecoin", "inverse": "token"}.get(instrument.kind, "")
            if not instrument.expiry:
                mine = (coins == instrument.base) & (margins == margin) if len(coins) else np.zeros(0, dtype=bool)
                parts.append(_funding(instrument, schema.take(rates, mine)))
        return schema.concat(parts, "funding")


def expiry_of(pair: str) -> str:
    """Return the day an exchange's name of a contract ends on, as YYMMDD, "" for a perpetual.

    >>> expiry_of("BTCUSD_250627"), expiry_of("BTC-26DEC25"), expiry_of("BTCUSDT")
    ('250627', '251226', '')
    """
    found = _DATED.search(pair)
    if found is None:
        return ""
    day = found[1]
    if day.isdigit():
        return day
    month = _MONTHS.index(day[-5:-2]) + 1 if day[-5:-2] in _MONTHS else 0
    return f"{day[-2:]}{month:02d}{day[:-5]:0>2}"


def reconciled(orders: Columns, history: Columns, step_ms: float | None = None) -> list[str]:
    """Tell which positions were liquidated: "long", "short" or "unknown" for each order.

    `orders` are those of `liquidation_order`, whose `side` is read in two ways: 1 for long positions and 2 for short
    ones, or, as an order's side, 1 for buys that close shorts and 2 for sells that close longs. `history` has what was
    liquidated on the same exchange of the same coin as long and as short, in dollars per bar, which does not depend on
    it: the orders of a bar, all or some of them, cannot exceed it. The reading that the bars allow while they refute
    the other is taken. Where both or none would do, or no order lies within a bar, each is "unknown". Bars are
    `step_ms` long, else as far apart as the closest two.
    """
    side, usd = np.asarray(orders["side"], dtype=float), np.asarray(orders["usd_value"], dtype=float)
    unknown = ["unknown"] * len(side)
    starts = np.asarray(history.get("time", ()), dtype=float)
    order = np.argsort(starts)
    starts = starts[order]
    if step_ms is None:
        step_ms = float(np.diff(starts).min()) if len(starts) > 1 else 0.0
    times = np.asarray(orders["time"], dtype=float)
    bar = np.searchsorted(starts, times, side="right") - 1
    inside = (bar >= 0) & np.isfinite(usd) & np.isin(side, (1.0, 2.0))
    if not inside.any():
        return unknown
    inside &= times < starts[np.maximum(bar, 0)] + step_ms
    sums = [
        np.bincount(bar[chosen], weights=usd[chosen], minlength=len(starts))
        for chosen in (inside & (side == 1), inside & (side == 2))
    ]
    longs, shorts = (
        np.nan_to_num(np.asarray(history[f"{name}_liquidation_usd"], dtype=float)[order], nan=np.inf)
        for name in ("long", "short")
    )
    total = float(usd[inside].sum())
    if not total > 0:
        return unknown
    as_positions = _excess(sums[0], longs) + _excess(sums[1], shorts)
    as_orders = _excess(sums[0], shorts) + _excess(sums[1], longs)
    if as_positions <= FITS * total and as_orders >= FITS_NOT * total:
        meaning = {1.0: "long", 2.0: "short"}
    elif as_orders <= FITS * total and as_positions >= FITS_NOT * total:
        meaning = {1.0: "short", 2.0: "long"}
    else:
        return unknown
    return [meaning.get(one, "unknown") for one in side.tolist()]


def _excess(sums: np.ndarray[Any, Any], bound: np.ndarray[Any, Any]) -> float:
    return float(np.maximum(sums - bound, 0.0).sum())


CLOSES = {"long": "sell", "short": "buy", "unknown": "unknown"}
"""The order that closes a position."""


def _common(instrument: Instrument, venues: Iterable[str], rule: str, rows: int) -> Columns:
    """Return the columns that say what rows are of."""
    same = {
        "instrument": instrument.symbol, "group": instrument.group, "kind": instrument.kind, "base": instrument.base,
        "quote": instrument.quote, "settle": instrument.settle, "unit_rule": rule,
    }  # fmt: skip
    columns: Columns = {name: [text] * rows for name, text in same.items()}
    return {"venue": list(venues), **columns, "received_time": np.full(rows, float(clock.now_ms()))}


def _liquidations(instrument: Instrument, venue: str, orders: Columns) -> Columns:
    """Return orders of one exchange as the schema `liquidations` has them."""
    rows = schema.length(orders)
    price = np.where(orders["price"] > 0, orders["price"], np.nan)
    return {
        **_common(instrument, [venue] * rows, "coinglass: dollars, as coins at the row's price", rows),
        "exchange_time": orders["time"], "time_source": ["trade"] * rows, "currency": ["USD"] * rows,
        "position_side": orders["position_side"], "order_side": [CLOSES[one] for one in orders["position_side"]],
        "price": price, "price_kind": ["unknown"] * rows, "size": orders["usd_value"] / price,
        "notional": orders["usd_value"], "source": ["coinglass"] * rows, "complete": np.zeros(rows, dtype=bool),
    }  # fmt: skip


def _walls(instrument: Instrument, venue: str, orders: Columns) -> Columns:
    """Return the orders that are still open as the schema `whales` has them."""
    size, usd = orders["current_quantity"], orders["current_usd"]
    still = (np.array(orders["state"], dtype=object) == "open") & (size > 0) & (usd > 0)
    kept = schema.take(orders, still)
    size, usd, rows = kept["current_quantity"], kept["current_usd"], schema.length(kept)
    same = {
        "venue": venue, "instrument": instrument.symbol, "group": instrument.group, "base": instrument.base,
        "quote": instrument.quote, "kind": "wall", "source": "coinglass", "currency": "USD",
        "usd_source": "coinglass: dollars as it tells them",
    }  # fmt: skip
    ones = np.ones(rows)
    return {
        **{name: [text] * rows for name, text in same.items()},
        "side": kept["side"], "price": kept["price"], "quantity": size, "notional": usd, "notional_usd": usd,
        "fx_rate": ones, "usd_rate": ones, "trade_id": kept["id"], "start": kept["start_time"],
        "time": kept["current_time"],
    }  # fmt: skip


def _funding(instrument: Instrument, rates: Columns) -> Columns:
    """Return one coin's rates as the schema `funding` has them: fractions, where CoinGlass has percent."""
    rows = schema.length(rates)
    hours = np.where(rates["funding_interval_hours"] > 0, rates["funding_interval_hours"], np.nan)
    rate = rates["funding_rate"] / 100
    return {
        **_common(instrument, map(venue_of, rates["exchange"]), "coinglass: percent an interval", rows),
        "rate": rate, "rate_kind": ["predicted"] * rows, "interval_hours": hours, "apr": rate * 8760 / hours,
        "next_time": rates["next_funding_time"], "time_source": ["received"] * rows, "flags": ["by_coin"] * rows,
    }  # fmt: skip
