"""What a connector is: one class with two methods, and one small Protocol per further question.

`isinstance` with a Protocol is the only test of ability. Every question answers with `Columns` of its schema:
prices in quote currency per one base unit, sizes in base units, times in milliseconds UTC.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable

from xex.errors import BadPayload
from xex.model import clock
from xex.model.instruments import Instrument, Kind, Section
from xex.model.listings import Listings
from xex.model.schema import Columns

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from xex.access.budgets import Limit
    from xex.access.transport import Route, Transport
    from xex.config import ExchangeConfig


@dataclass(frozen=True, slots=True)
class ServerTime:
    """What a venue's clock said (ms, cut off to `resolution_ms`), and when we asked and heard (ms)."""

    server_ms: float
    sent_ms: float
    received_ms: float
    resolution_ms: float = 0.0


class ExchangeConnector(ABC):
    """One exchange behind xex. A subclass with `connect` and `get_ticker` works in the manager."""

    kinds: ClassVar[Sequence[Kind]] = ("spot", "linear")
    quotes: ClassVar[bool] = True
    """Whether it trades: a source of figures does not, and is never asked for a ticker."""
    needs_key: ClassVar[bool] = False
    """Whether it answers nothing without a key: then the environment adds it only with one."""

    def __init__(self, config: ExchangeConfig | None = None) -> None:
        self.config = config

    @property
    def sections(self) -> Sequence[Section]:
        """The lists it keeps; without more to say, spot and the perpetuals of its kinds."""
        return self.kinds

    def bind(self, transport: Transport, route: Route) -> None:
        """Take the manager's seam; a connector that brings its own client ignores it."""
        self._transport, self._route = transport, route

    @abstractmethod
    async def connect(self) -> object:
        """Make ready to answer. Called once, before the first question; False or an exception is a failure."""

    @abstractmethod
    async def get_ticker(self, symbol: str) -> Mapping[str, Any] | None:
        """Return the ticker of a unified symbol, None where it is not listed.

        Keys: ``last``, or ``bid`` and ``ask``; optionally ``bid_size``, ``ask_size``, ``base_volume``,
        ``quote_volume``, ``high``, ``low``, ``timestamp`` (seconds of the quote) and ``taker_bps``, the fee in
        basis points, without which no arbitrage is found. Prices are quote currency per one base unit, sizes and
        volumes base units.
        """

    async def tickers(self, instruments: Sequence[Instrument], legs: Sequence[Instrument] = ()) -> Columns:
        """Return tickers, one row per listed instrument.

        Of `legs` only bid and ask are needed, and only if they cost no request of their own.
        """
        del legs
        rows = []
        for instrument in instruments:
            answer = self.get_ticker(instrument.symbol)
            if not isawaitable(answer):
                raise BadPayload("get_ticker is no coroutine; write `async def get_ticker`")
            ticker = await answer
            if ticker is not None:
                rows.append(_row(instrument, ticker))
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name, nan) for row in rows] for name in names}

    async def disconnect(self) -> None:
        """Let go of what the connector opened itself."""
        return


MOST_BPS = 1_000.0
"""No venue charges more than a tenth; whoever says so means something else."""
_AMOUNTS = frozenset({"bid_size", "ask_size", "base_volume", "quote_volume"})
_TICKER_KEYS = (
    "taker_bps",
    "bid",
    "ask",
    "last",
    "bid_size",
    "ask_size",
    "open",
    "high",
    "low",
    "base_volume",
    "quote_volume",
)


def _number(name: str, value: Any) -> float:
    """Return a value of a ticker, NaN for none; what cannot be is named."""
    try:
        number = nan if value is None else float(value)
    except (TypeError, ValueError):
        raise BadPayload(f"{name} is {value!r}, a number is expected") from None
    if name == "taker_bps" and abs(number) > MOST_BPS:
        raise BadPayload(f"taker_bps is {number:g}; basis points of notional are expected, 10 for 0.1 %")
    if name in _AMOUNTS and number < 0:
        raise BadPayload(f"{name} is {number:g}, and no amount is negative")
    return number


def _row(instrument: Instrument, ticker: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(ticker, Mapping):
        raise BadPayload(f"get_ticker returned {type(ticker).__name__}, a dict is expected")
    row: dict[str, Any] = {
        "instrument": instrument.symbol, "group": instrument.group, "kind": instrument.kind,
        "base": instrument.base, "quote": instrument.quote, "settle": instrument.settle,
        "unit_rule": "custom: base units as returned", "received_time": float(clock.now_ms()),
        "time_source": "received",
    }  # fmt: skip
    for name in _TICKER_KEYS:
        row[name] = _number(name, ticker.get(name))
    if ticker and "last" not in ticker and not {"bid", "ask"} <= set(ticker):
        raise BadPayload(f"neither last, nor bid and ask, but: {', '.join(map(str, ticker))}")
    row["fee_source"] = "given: by the connector" if row["taker_bps"] == row["taker_bps"] else ""
    stamp = ticker.get("timestamp")
    if stamp is not None and float(stamp) == float(stamp):
        if not 0 <= float(stamp) < 1e11:
            raise BadPayload(f"timestamp {stamp!r} is not in seconds since 1970; were milliseconds given?")
        row["exchange_time"], row["time_source"] = 1e3 * float(stamp), "quote"
    return row


@runtime_checkable
class ListsInstruments(Protocol):
    """Knows its instruments. One request per list of the venue, none while the metadata is fresh."""

    async def listings(self, sections: Sequence[Section], *, refresh: bool = False) -> Listings:
        """Return the instruments of these sections; more may come, where the venue lists them together."""
        ...


@runtime_checkable
class AnswersBooks(Protocol):
    """Knows order books. One request per instrument."""

    async def books(self, instruments: Sequence[Instrument]) -> Columns:
        """Return both sides of each book, best level first; `censored` where the venue cut the depth."""
        ...


@runtime_checkable
class AnswersTrades(Protocol):
    """Knows public trades. One request per instrument."""

    async def trades(self, instruments: Sequence[Instrument]) -> Columns:
        """Return the latest trades of each instrument, oldest first, `side` being the taker's."""
        ...


@runtime_checkable
class AnswersOlderTrades(Protocol):
    """Can turn back the pages of its tapes, where the venue has any. One request."""

    async def older_trades(self, instrument: Instrument, page: Columns, since_ms: float) -> Columns:
        """Return the page before another one, oldest trade first, with the first trade of that one in it.

        `since_ms` is how far back is wanted, for venues that are asked from there on. Empty where there are no pages.
        """
        ...


@runtime_checkable
class AnswersLargeOrders(Protocol):
    """Knows the large orders that rest in books, be they other venues'."""

    async def large_orders(self, instrument: Instrument) -> Columns:
        """Return those of one instrument in the schema `whales`, of kind "wall", `venue` being whose book it is."""
        ...


@runtime_checkable
class AnswersOpenInterest(Protocol):
    """Knows how many contracts are open. One request per market, or per instrument where the venue has no other."""

    async def open_interest(self, instruments: Sequence[Instrument]) -> Columns:
        """Return `oi_base` and `oi_quote` of each listed contract, every contract counted once."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """What of a venue's liquidations an answer covers: from when to when (ms), and whether it has all of them.

    `left_out` counts those that lack a price, a size or a time.
    """

    venue: str
    from_ms: float
    to_ms: float
    complete: bool = False
    left_out: int = 0


class Struck(dict[str, Any]):
    """Columns of the schema `liquidations`, and what they cover: a window for each venue, also one without a row."""

    def __init__(self, columns: Columns, windows: Sequence[Window]) -> None:
        super().__init__(columns)
        self.windows = tuple(windows)


@runtime_checkable
class AnswersMarketInterest(Protocol):
    """Knows how many contracts are open in every market at once, in one request for each list of the venue."""

    async def market_interest(self, sections: Sequence[Section]) -> Columns:
        """Return the open interest of all active contracts of these sections.

        Raises `NotListed` where the venue tells of one contract at a time.
        """
        ...


@runtime_checkable
class AnswersLiquidations(Protocol):
    """Knows single liquidations. As many requests as the range takes."""

    async def liquidations(self, instrument: Instrument, since_ms: int, until_ms: int) -> Columns:
        """Return liquidations within [since_ms, until_ms), oldest first, in the schema `liquidations`.

        `order_side` is the order's that closed the position of `position_side`; "unknown" where it cannot be told. Rows
        of other exchanges have these as `venue`. Who knows what the answer covers returns `Struck`; plain columns are
        taken to cover the range, though not completely.
        """
        ...


@runtime_checkable
class AnswersFunding(Protocol):
    """Knows the funding of perpetuals. One request per list of the venue, or per instrument where it has no other.

    Who is no exchange (`quotes` is False) names the one that each row is of as its `venue`, and may have several rows
    of an instrument.
    """

    async def funding(self, instruments: Sequence[Instrument]) -> Columns:
        """Return `rate`, a fraction per `interval_hours` of each perpetual's own, what `rate_kind` it is, `next_time`.

        Whoever is long pays a positive rate. An interval that the venue does not tell is absent, never a usual one.
        """
        ...


@runtime_checkable
class AnswersMarketFunding(Protocol):
    """Knows the funding of every perpetual at once, in one request for each list of the venue."""

    async def market_funding(self, sections: Sequence[Section]) -> Columns:
        """Return the funding of all active perpetuals of these sections."""
        ...


@runtime_checkable
class AnswersLongShort(Protocol):
    """Knows how its customers are divided into long and short. One request per instrument and population."""

    async def long_short(self, instruments: Sequence[Instrument]) -> Columns:
        """Return `ratio`, `long_share` and `short_share`, the latest of each `population` in a row of its own."""
        ...


@runtime_checkable
class ServesEndpoints(Protocol):
    """A source that people ask by the name of an endpoint, or by any path of its own.

    It is an asynchronous context manager, which opens and closes what it needs.
    """

    def endpoints(self) -> Columns:
        """Return what can be asked, in the schema `endpoints`."""
        ...

    def schema_of(self, name: str) -> Mapping[str, str]:
        """Return the columns of an endpoint's answers and their types."""
        ...

    async def ask(self, name: str, /, **parameters: Any) -> Columns:
        """Return an endpoint's answer; raises `ConnectorError`, a ValueError too where name or parameter cannot be."""
        ...

    async def get(self, path: str, /, **parameters: Any) -> Any:
        """Return what a path answers, as it comes."""
        ...

    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *exc: object) -> None: ...


@runtime_checkable
class AnswersMarket(Protocol):
    """Knows every ticker of a market at once, in one request per endpoint."""

    async def market(self, sections: Sequence[Section]) -> Columns:
        """Return the tickers of all active instruments of these sections, and of no other."""
        ...


@runtime_checkable
class PlansRequests(Protocol):
    """Knows what it would ask. Makes no request."""

    def requests(self, question: str, instruments: Sequence[Instrument], legs: Sequence[Instrument] = ()) -> list[str]:
        """Return the public addresses that a question would ask now, in their order.

        `question` is "ticker" (with `legs`, as in `tickers`), "order_book" or "trades" about each one, "rates",
        "funding_rates", "open_interest" or "long_short" about all of them at once (of the latter three an instrument
        without a base stands for all of its kind), "tickers" or "instruments" for the whole lists that they are in, or
        "clock". Lists of instruments come first where they are not at hand.
        """
        ...


@runtime_checkable
class AnswersTime(Protocol):
    """Has a clock that can be asked."""

    async def server_time(self) -> ServerTime | None:
        """Return the venue's clock reading, None where the venue has no such endpoint."""
        ...


@runtime_checkable
class AnswersStatus(Protocol):
    """Says whether it is open."""

    async def status(self) -> str:
        """Return "ok" or the venue's own word for why not."""
        ...


@runtime_checkable
class ConvertsCurrencies(Protocol):
    """Trades currencies against one another directly, in spot books."""

    async def currency_legs(
        self, pairs: Sequence[tuple[str, str]], bases: Sequence[str], booked: Sequence[tuple[str, str]]
    ) -> tuple[Columns, Columns]:
        """Return what rates need: spot tickers of the pairs and of `bases` in their currencies, and books.

        One request for all tickers and one for the book of each pair in `booked`.
        """
        ...


@runtime_checkable
class AnswersAddresses(Protocol):
    """Knows the contracts behind currency codes. One request for all of them, signed where the venue wants a key."""

    async def addresses(self, asset: str) -> Columns:
        """Return a row for each network that each code of the asset is on; `address` is empty where none is named.

        Raises `AuthRejected` where a key is needed and there is none, `NotListed` where no network is known.
        """
        ...


@runtime_checkable
class AnswersNetworks(Protocol):
    """Knows which networks coins go in and out by. One request for all of them, signed where the venue wants a key."""

    async def networks(self, assets: Sequence[str]) -> Columns:
        """Return a row for each network of each of the assets, in the schema `networks`.

        `deposit` and `withdraw` are "open", "closed" or "unknown", fees and minimums units of the asset. Raises
        `AuthRejected` where a key is needed and there is none, `NotListed` where no network of any is known.
        """
        ...


@runtime_checkable
class LearnsFees(Protocol):
    """Can ask what the configured key's account pays. Some signed requests that read."""

    async def learn_fees(self) -> Mapping[str, str]:
        """Have the account's fees stand in place of the published ones from now on; return what failed, by market."""
        ...


@runtime_checkable
class AnswersHosts(Protocol):
    """Stands on hosts of its own, each of which can be asked for something small. One request per host."""

    def hosts(self) -> Sequence[str]:
        """Return the hosts that market data come from."""
        ...

    async def reach(self, host: str) -> None:
        """Return when the host has answered; raises `ConnectorError` where it does not, or refuses."""
        ...


RIGHTS = ("read", "trade", "withdraw")
"""What a key may be allowed to do."""


@runtime_checkable
class AnswersPermissions(Protocol):
    """Tells what the configured key may do. One signed request that reads."""

    async def permissions(self) -> Mapping[str, bool]:
        """Return whether the key may "read", "trade" and "withdraw".

        Raises `AuthRejected` for a missing or a wrong key, `NotListed` where the venue does not tell.
        """
        ...


@runtime_checkable
class OffersClient(Protocol):
    """Is built on a client of its venue that people may know."""

    def client(self, section: Section | None = None) -> object:
        """Return the client of a section, to read with."""
        ...


class Reference(ABC):
    """Another source's figures of the venues' contracts, to check ours against. It is never a venue of an answer."""

    key_hint: ClassVar[str] = ""
    """Where a key comes from, for people."""
    limits: ClassVar[Sequence[Limit]] = ()

    def __init__(self, config: ExchangeConfig) -> None:
        self.config = config

    def bind(self, transport: Transport, route: Route) -> None:
        """Take the manager's seam."""
        self._transport, self._route = transport, route

    @abstractmethod
    async def contracts(self, base: str) -> Columns:
        """Return its figures of every contract of an asset, in the schema `reference`. One request.

        Raises `ConnectorError`: `NotListed` where it knows no contract of the asset, `AuthRejected` for a bad key.
        """


FEATURE_PROTOCOLS: Mapping[str, Any] = {
    "ticker": ExchangeConnector, "order_book": AnswersBooks, "trades": AnswersTrades,
    "funding_rates": AnswersFunding, "open_interest": AnswersOpenInterest, "long_short": AnswersLongShort,
    "liquidations": AnswersLiquidations,
    "whale_activity": AnswersTrades | AnswersLargeOrders,
}  # fmt: skip
"""Which Protocol a feature needs; features without an entry no connector answers yet."""


def answers(connector: ExchangeConnector, feature: str) -> bool:
    """Say whether a connector can answer a feature."""
    protocol = FEATURE_PROTOCOLS.get(feature)
    return protocol is not None and able(connector, protocol) and (feature != "ticker" or connector.quotes)


A = TypeVar("A")
_able: dict[tuple[type, object], bool] = {}


def able(connector: Any, protocol: Callable[..., A]) -> TypeIs[A]:
    """Say whether a connector answers a Protocol: `isinstance`, remembered by class since asking is slow."""
    key = (type(connector), protocol)
    if key not in _able:
        _able[key] = isinstance(connector, cast("type", protocol))
    return _able[key]
