"""One known market world in base units, from which every venue's bodies are made.

Prices are quote currency per ONE unit of the base asset, sizes and volumes are base units, whatever a
venue puts on the wire; so are those of inverse contracts, which venues count in quote units. All numbers are
`Decimal`, so that the truth is exact. Every value here is immutable; the `with_*` methods return a changed copy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, TypeAlias

from tests.lab.names import market_id

Kind: TypeAlias = Literal["spot", "linear", "inverse"]
Level: TypeAlias = tuple[Decimal, Decimal]
Side: TypeAlias = tuple[Level, ...]

COUNTING = frozenset({"okx", "htx"})
# lists that state a contract size: with any other, a contract is one coin, or one unit of the quote currency
SIZED = frozenset(
    {
        ("binance", "inverse"),
        *((venue, kind) for venue in ("okx", "htx", "krakenfutures") for kind in ("linear", "inverse")),
    }
)
ORDER = ("linear", "spot", "inverse")
DOLLARS = frozenset({"USD", "USDC", "FDUSD", "EUR"})  # what keeps its worth in dollars when USDT does not
STABLE = frozenset({"USD", "USDT", "USDC", "FDUSD"})
ONE = Decimal(1)
BPS = Decimal(10_000)
GRAIN = Decimal("1e-12")  # what is left of a number of contracts after dividing and multiplying by a price


def on_grid(value: Decimal, step: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Return the multiple of `step` nearest to `value`."""
    return (value / step).to_integral_value(rounding) * step


@dataclass(frozen=True, kw_only=True)
class Quote:
    """Best prices and sizes of one market; None where that side of the book is empty."""

    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None

    @property
    def mid(self) -> Decimal:
        """Middle of bid and ask; raises ValueError when a side is empty."""
        if self.bid is None or self.ask is None:
            raise ValueError("a side of the book is empty")
        return (self.bid + self.ask) / 2


# what an account pays unless a world says otherwise: invented, and no venue's published fee
PAID: dict[Kind, tuple[Decimal, Decimal]] = {
    "spot": (Decimal("0.00081"), Decimal("0.00072")),
    "linear": (Decimal("0.00043"), Decimal("0.00014")),
    "inverse": (Decimal("0.00047"), Decimal("0.00013")),
}


@dataclass(frozen=True)
class Print:
    """One public trade: `side` is the taker's, `size` is base units, `id` is digits, `age_ms` counts back from now."""

    id: str
    price: Decimal
    size: Decimal
    side: Literal["buy", "sell"]
    age_ms: int

    def at_ms(self, now_ms: int) -> int:
        """Time of the trade (Unix milliseconds) that the venue states at its own time `now_ms`."""
        return now_ms - self.age_ms


@dataclass(frozen=True)
class Token:
    """What a venue's code `coin` stands for on a network: a contract's address, empty for the network's own coin.

    `network` is as `names.NETWORKS` has it. Tokens of no `venue` are those of every venue that lists none of its own.
    `deposits` and `withdrawals` say what is open, `fee` what a withdrawal costs and `least` the smallest one, in coins;
    a `share` of the amount on top makes the fee no number of coins. `confirmations` are those of a deposit.
    """

    coin: str
    network: str
    address: str = ""
    venue: str = ""
    deposits: bool = True
    withdrawals: bool = True
    fee: Decimal = Decimal("0.1")
    share: Decimal = Decimal(0)
    least: Decimal = Decimal("1.5")
    confirmations: int = 12


@dataclass(frozen=True)
class Paid:
    """What an account pays on a venue, as fractions of notional: in markets of a kind, and of a quote if named."""

    venue: str
    kind: Kind
    taker: Decimal
    maker: Decimal
    quote: str = ""


@dataclass(frozen=True, kw_only=True)
class Market:
    """One listed instrument of one venue.

    `id` is the venue's own name, `expiry` the last day of a dated contract (YYMMDD, empty for a perpetual and
    for spot). `contract_size` is base units per contract, of inverse contracts QUOTE units per contract (1 if there
    is none or the venue counts the units themselves), and `multiplier` is how many base units the venue's coin
    stands for (1000 for 1000PEPE); `coin` is what the venue calls that coin, where it is not the multiplier before
    the base. `trades` are newest first. `tick` is a step of the price per base unit, `lot` and `min_amount` are base
    units, of inverse contracts QUOTE units; `min_notional` is quote units, None where the list has no such rule.
    `funding_hourly` is a fraction of notional that longs pay an hour, settled every `funding_hours` from 00:00 UTC on;
    `long_shares` are the shares of the long among accounts, top accounts and the positions of these.
    `quote_age_ms` says how old the venue's quote time is when it answers, `trade_age_ms` the same for the
    last trade. `open`, `high`, `low`, volumes and `vwap` are of the last 24 hours; `midnight_open` is the
    price at 00:00 UTC. `price_digits` is how many decimals the venue writes, when not those of its tick.
    """

    venue: str
    kind: Kind
    base: str
    quote: str
    id: str
    tick: Decimal
    lot: Decimal
    min_amount: Decimal
    bids: Side
    asks: Side
    last: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    midnight_open: Decimal
    base_volume: Decimal
    vwap: Decimal
    contract_size: Decimal = ONE
    multiplier: Decimal = ONE
    expiry: str = ""
    coin: str | None = None
    min_notional: Decimal | None = None
    price_digits: int | None = None
    mark: Decimal | None = None
    index: Decimal | None = None
    funding_hourly: Decimal | None = None
    funding_hours: int = 8
    long_shares: tuple[Decimal, Decimal, Decimal] = (Decimal("0.6"), Decimal("0.55"), Decimal("0.48"))
    open_interest: Decimal | None = None
    quote_age_ms: int = 0
    trade_age_ms: int = 1_000
    trades: tuple[Print, ...] = ()
    active: bool = True
    suspended: bool = False

    @property
    def wire_base(self) -> str:
        """Name of the base asset as the venue writes it: 1000PEPE, SHIB1000."""
        if self.coin is not None:
            return self.coin
        return self.base if self.multiplier == ONE else f"{self.multiplier:f}{self.base}"

    @property
    def quote_volume(self) -> Decimal:
        """Turnover of the last 24 hours in quote currency."""
        return self.base_volume * self.vwap

    @property
    def top(self) -> Quote:
        """The best bid and ask."""
        bid, bid_size = self.bids[0] if self.bids else (None, None)
        ask, ask_size = self.asks[0] if self.asks else (None, None)
        return Quote(bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size)

    @property
    def mid(self) -> Decimal:
        """Middle of the best bid and ask."""
        return self.top.mid

    @property
    def tradable(self) -> bool:
        """Whether the venue would take an order now."""
        return self.active and not self.suspended

    def wire_price(self, price: Decimal) -> Decimal:
        """Turn a price per base unit into the venue's price per its own coin."""
        return price * self.multiplier

    def wire_size(self, size: Decimal, price: Decimal | None = None) -> Decimal:
        """Turn base units into what the venue counts in: contracts, or its own coin.

        The number of inverse contracts depends on the `price` they are at, without which it raises ValueError.
        """
        if self.kind != "inverse":
            return size / (self.contract_size * self.multiplier)
        if price is None:
            raise ValueError("inverse contracts are counted at a price")
        contracts = size * price / self.contract_size
        return on_grid(contracts, GRAIN) if contracts.is_finite() else contracts

    def base_size(self, contracts: Decimal, price: Decimal) -> Decimal:
        """Turn what the venue counts in into base units: the other way round than `wire_size`."""
        if self.kind != "inverse":
            return contracts * self.contract_size * self.multiplier
        return contracts * self.contract_size / price

    @property
    def wire_lot(self) -> Decimal:
        """Size step in what the venue counts in."""
        return self._counted(self.lot)

    @property
    def wire_least(self) -> Decimal:
        """Smallest order in what the venue counts in."""
        return self._counted(self.min_amount)

    def _counted(self, step: Decimal) -> Decimal:
        """Turn a step, of base units or of the quote units of inverse contracts, into what the venue counts in."""
        return step / (self.contract_size if self.kind == "inverse" else self.contract_size * self.multiplier)

    @property
    def wire_volume(self) -> Decimal:
        """Volume of the last 24 hours in what the venue counts in."""
        return self.wire_size(self.base_volume, self.vwap)

    @property
    def wire_interest(self) -> Decimal:
        """Open interest in what the venue counts in."""
        return self.wire_size(self.open_interest or Decimal(0), self.last if self.mark is None else self.mark)

    @property
    def funding_rate(self) -> Decimal:
        """What longs pay at a settlement, as a fraction of notional."""
        return (self.funding_hourly or Decimal(0)) * self.funding_hours

    def settles_ms(self, now_ms: int) -> int:
        """Time of the coming settlement (Unix ms): they are at whole multiples of the interval, without one 0."""
        interval = self.funding_hours * 3_600_000
        return (now_ms // interval + 1) * interval if interval else 0

    @property
    def coin_volume(self) -> Decimal:
        """Volume of the last 24 hours in the venue's own coins."""
        return self.base_volume / self.multiplier

    def moved_size(self, size: Decimal, old: Decimal, new: Decimal) -> Decimal:
        """Size at a price that moves: of inverse contracts their number stays, of everything else the base units."""
        return size * old / new if self.kind == "inverse" and old != new else size

    def quote_ms(self, now_ms: int) -> int:
        """Time of the quote (Unix milliseconds) that the venue states at its own time `now_ms`."""
        return now_ms - self.quote_age_ms

    def mapped(self, change: Callable[[Decimal], Decimal]) -> Market:
        """Return the market with `change` applied to every price; the number of inverse contracts stays."""
        return dataclasses.replace(self, **_changed_prices(self, change))

    def shifted(self, ticks: int) -> Market:
        """Return the market with every price moved by whole ticks, so that it stays on the grid."""
        step = self.tick * ticks
        return self.mapped(lambda price: price + step)

    def scaled(self, factor: Decimal) -> Market:
        """Return the market moved so that its mid is `factor` times the old one, to the nearest tick."""
        ticks = int((self.mid * (factor - 1) / self.tick).to_integral_value(ROUND_HALF_EVEN))
        return self.shifted(ticks)

    def priced_at(self, price: Decimal) -> Market:
        """Return the market multiplied to a mid of about `price`, on a tick that suits it."""
        factor = price / self.mid
        tick = self.tick * Decimal(10) ** factor.adjusted()
        moved = self.mapped(lambda old: on_grid(old * factor, tick))
        return dataclasses.replace(moved, tick=tick, price_digits=None)

    def quoted_by(self, factor: Decimal) -> Market:
        """Return the same market on the wire in coins of `factor` base units, under the name it had.

        Where the venue counts contracts, a contract is still worth as many base units.
        """
        counted = self.kind == "linear" and self.venue in COUNTING
        contract = self.contract_size / factor if counted else self.contract_size
        coin, multiplier = self.wire_base, self.multiplier * factor
        return dataclasses.replace(self, coin=coin, multiplier=multiplier, contract_size=contract, price_digits=None)

    def with_contract_size(self, size: Decimal) -> Market:
        """Return the same market counted on the wire in contracts of another size.

        Prices, sizes and volumes stay; steps and minimum are as many contracts as before. Raises ValueError
        where the venue's list has no contract size.
        """
        if size != ONE and (self.venue, self.kind) not in SIZED:
            raise ValueError(f"{self.venue} states no size of {self.kind} contracts")
        ratio = size / self.contract_size
        return dataclasses.replace(
            self, contract_size=size, lot=self.lot * ratio, min_amount=self.min_amount * ratio, price_digits=None
        )

    def as_inverse(self, contract_size: Decimal | None = None, quote: str = "USD") -> Market:
        """Return the same market as inverse contracts of `contract_size` quote units, under their name.

        Prices, base sizes and volumes stay, so that the numbers of contracts may be fractions. Step and minimum
        are one contract.
        """
        size = self.contract_size if self.kind == "inverse" else ONE
        return self._as("inverse", size if contract_size is None else contract_size, quote)

    def as_linear(self, contract_size: Decimal = ONE, quote: str | None = None) -> Market:
        """Return the same market as linear contracts of `contract_size` base units, under their name.

        Prices, base sizes and volumes stay. Step and minimum are one contract. The quote currency is the venue's
        usual one unless another is named.
        """
        usual = "USD" if self.venue == "krakenfutures" else "USDT"
        return self._as("linear", contract_size, usual if quote is None else quote)

    def _as(self, kind: Kind, size: Decimal, quote: str) -> Market:
        if size != ONE and (self.venue, kind) not in SIZED:
            raise ValueError(f"{self.venue} states no size of {kind} contracts")
        lot = size if kind == "inverse" else size * self.multiplier
        return dataclasses.replace(
            self,
            kind=kind,
            quote=quote,
            id=market_id(self.venue, kind, self.wire_base, quote, self.expiry),
            contract_size=size,
            lot=lot,
            min_amount=lot,
            price_digits=None,
        )


_PRICES = ("last", "open", "high", "low", "midnight_open", "vwap", "mark", "index")


def _changed_prices(market: Market, change: Callable[[Decimal], Decimal]) -> dict[str, Any]:
    fields: dict[str, Any] = {side: repriced_side(market, getattr(market, side), change) for side in ("bids", "asks")}
    for name in _PRICES:
        value = getattr(market, name)
        fields[name] = None if value is None else change(value)
    fields["trades"] = repriced(market, change)
    fields["base_volume"] = market.moved_size(market.base_volume, market.vwap, fields["vwap"])
    if market.mark is not None and market.open_interest is not None:
        fields["open_interest"] = market.moved_size(market.open_interest, market.mark, fields["mark"])
    return fields


def repriced_side(market: Market, side: Side, change: Callable[[Decimal], Decimal]) -> Side:
    """Return a side of the book with `change` applied to every price; the number of inverse contracts stays."""
    return tuple((change(price), market.moved_size(size, price, change(price))) for price, size in side)


def repriced(market: Market, change: Callable[[Decimal], Decimal]) -> tuple[Print, ...]:
    """Return the trades with `change` applied to every price; the number of inverse contracts stays."""

    def moved(trade: Print) -> Print:
        price = change(trade.price)
        return dataclasses.replace(trade, price=price, size=market.moved_size(trade.size, trade.price, price))

    return tuple(map(moved, market.trades))


@dataclass(frozen=True)
class Forced:
    """One liquidation: of which market, when (Unix ms), at what price, for how many dollars, of what position."""

    venue: str
    id: str
    base: str
    ms: int
    price: Decimal
    usd: Decimal
    position: Literal["long", "short"]

    @property
    def side(self) -> Literal["buy", "sell"]:
        """Side of the order that closed the position."""
        return "sell" if self.position == "long" else "buy"

    @property
    def size(self) -> Decimal:
        """Base units, at the price that is told."""
        return self.usd / self.price


@dataclass(frozen=True)
class Truth:
    """All markets of all venues, and the one USD price of USDT that they agree on."""

    markets: tuple[Market, ...]
    usdt_usd: Decimal
    tokens: tuple[Token, ...] = ()
    account: tuple[Paid, ...] = ()
    halted: Mapping[str, str] = field(default_factory=dict)  # Kraken's word for an asset that is not enabled
    forced: tuple[Forced, ...] = ()
    side_is: Literal["position", "order"] = "position"  # what an aggregator's code of a liquidation's side means

    @cached_property
    def _by_id(self) -> dict[tuple[str, str, str], Market]:
        return {(market.venue, market.kind, market.id): market for market in self.markets}

    @cached_property
    def _by_venue(self) -> dict[tuple[str, str], tuple[Market, ...]]:
        found: dict[tuple[str, str], list[Market]] = {}
        for market in self.markets:
            found.setdefault((market.venue, market.kind), []).append(market)
        return {key: tuple(markets) for key, markets in found.items()}

    def of(self, venue: str, kind: Kind, expiry: str | None = "") -> tuple[Market, ...]:
        """Return the venue's markets of one kind, in the order they are listed: those without an expiry.

        `expiry` names one, or None for all, with and without.
        """
        listed = self._by_venue.get((venue, kind), ())
        return tuple(market for market in listed if expiry in (None, market.expiry))

    def struck(self, market: Market, start: int = 0, end: int | None = None) -> list[Forced]:
        """Return what was liquidated of a market within [start, end) (Unix ms), newest first."""
        found = (one for one in self.forced if (one.venue, one.id) == (market.venue, market.id))
        return sorted(
            (one for one in found if start <= one.ms and (end is None or one.ms < end)), key=lambda one: -one.ms
        )

    def place_of(self, one: Forced) -> int:
        """Return which of all liquidations one is, also among others that are equal to it."""
        return next(place for place, other in enumerate(self.forced) if other is one)

    def coins(self, venue: str) -> dict[str, tuple[Token, ...]]:
        """Return the currencies of a venue's spot markets, as it writes them, each with the networks it is on."""
        names = {name for market in self.of(venue, "spot") for name in (market.wire_base, market.quote)}
        return {name: self._networks(venue, name) for name in sorted(names)}

    def _networks(self, venue: str, coin: str) -> tuple[Token, ...]:
        fitting = [token for token in self.tokens if token.coin == coin]
        own = tuple(token for token in fitting if token.venue == venue)
        return own or tuple(token for token in fitting if not token.venue)

    def with_tokens(self, *tokens: Token) -> Truth:
        """Return the world in which some venues' codes stand for these contracts instead."""
        return dataclasses.replace(self, tokens=(*self.tokens, *tokens))

    def with_account(self, *paid: Paid) -> Truth:
        """Return the world in which the account that asks pays this; the last word on a market counts."""
        return dataclasses.replace(self, account=(*self.account, *paid))

    def with_halted(self, **words: str) -> Truth:
        """Return the world in which Kraken says a word of some assets: deposit_only, withdrawal_only."""
        return dataclasses.replace(self, halted={**self.halted, **words})

    def paid(self, venue: str, kind: Kind, quote: str) -> tuple[Decimal, Decimal]:
        """Return the taker and maker fees of the account that asks, by default other than any published one."""
        fitting = [one for one in self.account if (one.venue, one.kind) == (venue, kind) and one.quote in ("", quote)]
        return (fitting[-1].taker, fitting[-1].maker) if fitting else PAID[kind]

    def find(self, venue: str, kind: Kind, market_id: str) -> Market | None:
        """Return the market with the venue's own name, or None."""
        return self._by_id.get((venue, kind, market_id))

    def market(
        self, venue: str, base: str, kind: Kind | None = None, quote: str | None = None, expiry: str | None = ""
    ) -> Market:
        """Return the first market that fits; linear before spot before inverse, USDT before USD.

        Without an `expiry` dated contracts do not fit; with None they do. Raises KeyError when the venue lists none.
        """
        fitting = [market for market in self.markets if _fits(market, venue, base, kind, quote, expiry)]
        if not fitting:
            raise KeyError((venue, base, kind, quote, expiry))
        return min(fitting, key=lambda market: (ORDER.index(market.kind), market.quote != "USDT"))

    def group(self, base: str, kind: Kind, expiry: str | None = "") -> tuple[Market, ...]:
        """Return every venue's markets of one base and kind, those without an expiry unless one is named."""
        return tuple(market for market in self.markets if _fits(market, None, base, kind, None, expiry))

    def changed(self, change: Callable[[Market], Market]) -> Truth:
        """Return the world with `change` applied to every market."""
        return dataclasses.replace(self, markets=tuple(change(market) for market in self.markets))

    def replacing(self, *markets: Market) -> Truth:
        """Return the world with these markets in place of those of the same venue, kind and id."""
        new = {(market.venue, market.kind, market.id): market for market in markets}
        return self.changed(lambda market: new.get((market.venue, market.kind, market.id), market))

    def updating(self, market: Market, **fields: Any) -> Truth:
        """Return the world with some fields of one market set anew."""
        return self.replacing(dataclasses.replace(market, **fields))

    def adding(self, markets: Iterable[Market]) -> Truth:
        """Return the world with more markets listed."""
        return dataclasses.replace(self, markets=(*self.markets, *markets))

    def without(self, venue: str, base: str | None = None, kind: Kind | None = None) -> Truth:
        """Return the world without a venue's markets, or those of one base or kind, dated contracts included."""
        kept = (market for market in self.markets if not _fits(market, venue, base, kind, None, None))
        return dataclasses.replace(self, markets=tuple(kept))

    def only(self, *bases: str) -> Truth:
        """Return the world with markets of these base assets alone."""
        return dataclasses.replace(self, markets=tuple(m for m in self.markets if m.base in bases))

    def with_premium(
        self, venue: str, base: str, bps: float, kind: Kind | None = None, expiry: str | None = ""
    ) -> Truth:
        """Return the world with one venue's price of `base` higher by `bps` (to the nearest tick).

        Of every kind, or of one; dated contracts move with an `expiry`, or all with None.
        """
        factor = 1 + Decimal(str(bps)) / BPS
        return self.changed(lambda m: m.scaled(factor) if _fits(m, venue, base, kind, None, expiry) else m)

    def with_collision(
        self, base: str, venue: str, price: Decimal | str | float, kind: Kind = "linear", expiry: str | None = ""
    ) -> Truth:
        """Return the world in which a venue's ticker `base` is another coin, worth `price` of the quote currency."""
        worth = Decimal(str(price))
        return self.changed(lambda m: m.priced_at(worth) if _fits(m, venue, base, kind, None, expiry) else m)

    def with_scale(self, venue: str, base: str, factor: int, kind: Kind = "linear", expiry: str | None = "") -> Truth:
        """Return the world in which a venue quotes `base` by the `factor`, and neither name nor list says so.

        Prices on the wire are `factor` times the truth's, sizes so many times smaller; the truth stays.
        """
        change = Decimal(factor)
        return self.changed(lambda m: m.quoted_by(change) if _fits(m, venue, base, kind, None, expiry) else m)

    def with_depeg(self, usdt_usd: Decimal | str) -> Truth:
        """Return the world in which one USDT is worth `usdt_usd` dollars.

        Prices in USDT stay, prices in USD move against them, the USDT/USD books move with the rate;
        USDC, FDUSD and EUR keep their dollar value, so their USDT price moves the other way.
        """
        rate = Decimal(usdt_usd)
        moved = self.changed(lambda market: _revalued(market, rate / self.usdt_usd))
        return dataclasses.replace(moved, usdt_usd=rate)

    def with_revalued(self, currency: str, factor: Decimal | str) -> Truth:
        """Return the world in which a currency other than USD and USDT is worth `factor` times its dollars.

        Everything else keeps its dollar price. Raises ValueError for USD, the measure, and USDT, whose worth
        `with_depeg` sets.
        """
        if currency in ("USD", "USDT"):
            raise ValueError(f"{currency} is not worth more or less dollars by a factor")
        by = Decimal(factor)

        def moved(market: Market) -> Market:
            if currency not in (market.base, market.quote):
                return market
            return market.scaled(by if market.base == currency else 1 / by)

        return self.changed(moved)

    def with_cross(
        self,
        base: str,
        *,
        buy: str,
        sell: str,
        bps: float = 60,
        step_bps: float = 4,
        levels: int = 12,
        kind: Kind = "linear",
        buy_quote: str | None = None,
        sell_quote: str | None = None,
        expiry: str = "",
    ) -> Truth:
        """Return the world with a crossed arbitrage: buy's asks lie below sell's bids.

        The best bid of `sell` is `bps` above the best ask of `buy` (both brought to one currency), and
        each further level of either side is `step_bps` worse, so that the edge falls by twice that per
        level. The sizes are those of the books as they were, hence differ from level to level and between the
        venues. Each book for itself stays uncrossed.
        """
        buyer = self.market(buy, base, kind, buy_quote, expiry)
        seller = self.market(sell, base, kind, sell_quote, expiry)
        step = Decimal(str(step_bps)) / BPS
        ask, _ = buyer.asks[0]
        goal = ask * self._rate(buyer.quote, seller.quote) * (1 + Decimal(str(bps)) / BPS)
        raised = seller.shifted(int(((goal - seller.bids[0][0]) / seller.tick).to_integral_value(ROUND_CEILING)))
        asks = _spread_out(buyer, buyer.asks[:levels], step)
        bids = _spread_out(raised, raised.bids[:levels], -step)
        return self.replacing(dataclasses.replace(buyer, asks=asks), dataclasses.replace(raised, bids=bids))

    def _rate(self, source: str, target: str) -> Decimal:
        """Units of `target` per one `source`, for USD and USDT; raises ValueError for others."""
        if source == target:
            return ONE
        if {source, target} != {"USD", "USDT"}:
            raise ValueError(f"no rate of {source} in {target}")
        return self.usdt_usd if source == "USDT" else 1 / self.usdt_usd


def _fits(
    market: Market, venue: str | None, base: str | None, kind: str | None, quote: str | None, expiry: str | None
) -> bool:
    asked = ((venue, market.venue), (base, market.base), (kind, market.kind), (quote, market.quote))
    return all(want is None or want == has for want, has in (*asked, (expiry, market.expiry)))


def _revalued(market: Market, ratio: Decimal) -> Market:
    """Move one market for a USDT whose dollar value changes by `ratio`."""
    if market.base in DOLLARS:
        return market.scaled(1 / ratio) if market.quote == "USDT" else market
    return market.scaled(ratio) if market.quote in DOLLARS else market


def _spread_out(market: Market, side: Side, step: Decimal) -> Side:
    """Space the levels by `step` of the best price each, keeping what the venue counts and the grid."""
    best = side[0][0]
    prices = (on_grid(best * (1 + step * rank), market.tick) for rank in range(len(side)))
    levels = zip(prices, side, strict=True)
    return tuple((price, market.moved_size(size, old, price)) for price, (old, size) in levels)


def fractions(side: Side) -> list[tuple[Fraction, Fraction]]:
    """Return a side of a book as exact fractions, for reference calculations."""
    return [(Fraction(price), Fraction(size)) for price, size in side]
