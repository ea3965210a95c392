"""Where a connector's answers come from: the lab over TCP, a recording, or bodies handed to it one by one.

Each world knows the truth behind the answers; none of it was computed by the code that is judged.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from tests import record_bundled
from tests.lab import Lab, Market, Truth, default_truth
from tests.lab.truth import Kind
from xex import ExchangeConfig, ExchangeManager, replay
from xex.access.budgets import Budgets
from xex.access.port import ExchangeConnector
from xex.access.state import VenueState
from xex.access.transport import Response, Route, Transport
from xex.model import schema
from xex.model.instruments import SECTIONS, Instrument, Section, kind_of
from xex.model.schema import Columns

NOW_MS = 1_790_000_000_123
"""The lab's clock stands still here, so that every time it states is known."""

COINS = ("ETH", "SOL", "XRP", "DOGE", "LTC", "ADA")
GOLDEN = Path(__file__).parent / "golden"
DATA = Path(os.environ.get("XEX_DATA", Path(__file__).parents[3] / "shared" / "data")) / "ccxt_static"


@dataclass(frozen=True, kw_only=True)
class Venue:
    """What is known of a venue by hand, beside the numbers of its markets.

    `sections` are the lists it keeps; dated contracts share the facts of their kind. `fees` are taker and maker in
    basis points, `depths` how many levels a side of a book are asked for, first and where that ends too early (none:
    the venue sends all), `most` how many it sends at most where that is fewer, `dated` what dates tickers and books.
    `absent` are the columns of a ticker that the venue does not state, `derived` the kinds whose quote volume is base
    volume at the last price, `divided` those whose base volume is quote volume over the last price, `speaks` the lab's
    name of a market where that is not the venue's, `uuids` the kinds whose trades are named by UUIDs. `open_dated` is
    what dates open interest, `open_at_last` the kinds of which it comes without a price of its own: the day's last one
    turns what is sent into the other unit. `open_each` are the kinds of which one request tells one contract.

    Of real bodies, `listed` says how many instruments are at hand and `recorded` which answers, by section, question
    and description, `unasked` those of endpoints that the connector does not ask; `in_contracts` are the kinds in
    which ccxt counts contracts, `otherwise` what it means differently.
    """

    name: str
    connector: type[ExchangeConnector]
    fees: Mapping[Kind, tuple[float, float]]
    depths: Mapping[Kind, tuple[int, ...]]
    dated: Mapping[Kind, tuple[str, str]]
    most: Mapping[Kind, int] = field(default_factory=dict)
    absent: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    derived: tuple[Kind, ...] = ()
    divided: tuple[Kind, ...] = ()
    speaks: Mapping[Kind, str] = field(default_factory=dict)
    sections: tuple[Section, ...] = SECTIONS
    worlds: tuple[str, ...] = ("lab", "cassettes")
    uuids: tuple[Kind, ...] = ()
    open_dated: str = "received"
    open_at_last: tuple[Kind, ...] = ()
    open_each: tuple[Kind, ...] = ()
    listed: Mapping[Section, int] = field(default_factory=dict)
    recorded: tuple[tuple[Section | None, str, str], ...] = ()
    unasked: tuple[tuple[Section | None, str, str], ...] = ()
    in_contracts: tuple[Kind, ...] = ()
    otherwise: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of market that the venue has."""
        return tuple(self.fees)

    def lab_name(self, kind: Kind) -> str:
        """Return the lab's name of the venue's market."""
        return self.speaks.get(kind, self.name)


RECORDED: tuple[Section, ...] = ("linear", "spot")
"""What the bundled recording holds."""


def settles(market: Market) -> str:
    """Return the currency in which a market of the truth settles."""
    return {"spot": "", "linear": market.quote, "inverse": market.base}[market.kind]


def instrument_of(market: Market) -> Instrument:
    """Return what a market of the truth is called."""
    return Instrument(market.base, market.quote, market.kind, settles(market), market.expiry)


@dataclass
class World:
    """One exchange as its connector sees it, and the truth behind it; `lab` is None where nothing is served."""

    venue: Venue
    connector: Any
    truth: Truth = field(repr=False)
    lab: Lab | None = None
    legs: Sequence[Instrument] = ()
    now_ms: int = NOW_MS

    def markets(self, section: Section) -> tuple[Market, ...]:
        """Return the markets that can be asked about."""
        kind, dated = kind_of(section), section.endswith("_dated")
        listed = self.truth.of(self.venue.lab_name(kind), kind, None)
        return tuple(market for market in listed if bool(market.expiry) is dated)

    def instruments(self, section: Section) -> list[Instrument]:
        """Return what can be asked about."""
        return [instrument_of(market) for market in self.markets(section)]

    async def tickers(self, instruments: Sequence[Instrument]) -> Columns:
        """Ask for tickers and return the rows of these instruments; those of the legs are left out."""
        columns = await self.connector.tickers(instruments, self.legs)
        wanted = {instrument.symbol for instrument in instruments}
        names = schema.texts(columns, "instrument")
        return schema.take(columns, [row for row, name in enumerate(names) if name in wanted])

    def requests(self) -> list[str]:
        """Return the requests so far, and forget them."""
        assert self.lab is not None
        seen = [entry.path_qs for entry in self.lab.seen if entry.venue == self.venue.name]
        self.lab.seen.clear()
        return seen

    def fault(self, kind: str, **arguments: Any) -> None:
        """Let something go wrong at this venue."""
        assert self.lab is not None
        self.lab.fault(self.venue.name, kind, **arguments)


@asynccontextmanager
async def lab_world(venue: Venue, lab: Lab, truth: Truth) -> AsyncIterator[World]:
    """Give a fresh connector to the lab, which then shows `truth`."""
    lab.heal()
    lab.seen.clear()
    lab.truth = truth
    config = ExchangeConfig(venue.name, venue.name, base_url=lab.url(venue.name))
    connector = venue.connector(config)
    async with ExchangeManager(cache=False) as xm:
        assert xm.add_exchange(config, connector)
        await connector.connect()
        yield World(venue, connector, truth, lab)


@cache
def _default() -> Truth:
    return default_truth()


@asynccontextmanager
async def cassette_world(venue: Venue) -> AsyncIterator[World]:
    """Give a fresh connector to the bundled recording, which was made of the lab's default world.

    It holds Bitcoin alone, and whole lists only together with the legs of rates.
    """
    config = ExchangeConfig(venue.name, venue.name)
    connector = venue.connector(config)
    legs = [
        Instrument(coin, quote, kind, quote if kind == "linear" else "")
        for kind in map(kind_of, RECORDED)
        for coin in COINS
        for quote in ("USDT", "USD")
    ]
    whole = _default()
    asked = [
        market
        for kind in map(kind_of, RECORDED)
        for market in whole.of(venue.lab_name(kind), kind)
        if market.base == "BTC" and (kind == "linear" or market.quote == "USDT")
    ]
    with replay():
        async with ExchangeManager(cache=False) as xm:
            assert xm.add_exchange(config, connector)
            await connector.connect()
            yield World(venue, connector, Truth(tuple(asked), whole.usdt_usd), legs=legs, now_ms=record_bundled.NOW_MS)


class Handed:
    """A transport that answers from bodies by a part of the address; what has none was not to be asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.budgets = Budgets()
        self.asked: list[str] = []

    async def send(self, route: Route, method: str, url: str, *rest: Any, **more: Any) -> Response:
        """Return the body of the longest part that the address holds."""
        del method, rest, more
        self.asked.append(url)
        fitting = [part for part in self.answers if part in url]
        assert fitting, f"no body for {url}"
        body = json.dumps(self.answers[max(fitting, key=len)]).encode()
        route.state.succeeded(1.0)
        return Response(f"r{len(self.asked)}", 200, {}, body, NOW_MS - 50, NOW_MS, 50.0, url, url)

    def forget(self, response: Response) -> None:
        """Keep nothing, hence nothing to forget."""


async def handed(venue: Venue, answers: Mapping[str, Any]) -> Any:
    """Return a connector that hears these bodies and nothing else."""
    config = ExchangeConfig(venue.name, venue.name)
    connector = venue.connector(config)
    connector.bind(
        cast("Transport", Handed(answers)), Route(venue.name, venue.name, VenueState(venue.name, venue.name))
    )
    await connector.connect()
    return connector


def golden(venue: str) -> dict[str, Any]:
    """Return the bodies written by hand for a venue and the numbers that they must come out as."""
    found: dict[str, Any] = json.loads((GOLDEN / f"{venue}.json").read_text(encoding="utf-8"))
    return found


def blank(body: Any, *, top: bool = True) -> Any:
    """Return a body in which every number is null; the envelope stays, as do names and words.

    A body that holds nothing but values is no envelope: it is the row itself.
    """
    if isinstance(body, Mapping):
        outer = top and not all(map(_is_scalar, body.values()))
        return {key: value if outer and _is_scalar(value) else blank(value, top=False) for key, value in body.items()}
    if isinstance(body, list):
        return [blank(value, top=False) for value in body]
    return None if _is_number(body) else body


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, list | Mapping)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def rows_of(columns: Columns) -> Iterable[dict[str, Any]]:
    """Return columns row by row."""
    names = list(columns)
    cells = [columns[name].tolist() if hasattr(columns[name], "tolist") else list(columns[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]
