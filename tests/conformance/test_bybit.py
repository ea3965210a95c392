"""Bybit: the conformance suite with the venue's facts."""

from __future__ import annotations

from tests.conformance import bodies, suite
from tests.conformance.worlds import Venue
from xex_connectors import BybitConnector

VENUE = Venue(
    name="bybit",
    connector=BybitConnector,
    fees={"linear": (5.5, 2), "spot": (10, 10), "inverse": (5.5, 2)},
    depths={"linear": (500, 1000), "spot": (200, 1000), "inverse": (500, 1000)},
    most={"spot": 200},  # what is documented; asking for more does no harm
    dated={"linear": ("received", "quote"), "spot": ("received", "quote"), "inverse": ("received", "quote")},
    recorded=(("linear", "books", "swap orderbook"), ("spot", "books", "Spot orderbook"),
        ("linear", "trades", "swap public trade"), ("linear", "tickers", "swap ticker"),
        (None, "status", "fetchStatus")),
    unasked=(("linear", "open_interest", "linear OI"), ("inverse", "open_interest", "inverse OI")),  # history
    uuids=("linear", "inverse"),
    listed={"linear": 9, "spot": 7, "inverse": 2},
    otherwise=("min_notional",),  # of inverse contracts, where an order's worth has a minimum too
)  # fmt: skip


class TestTickers(suite.AnswersTickers):
    pass


class TestInstruments(suite.Lists):
    pass


class TestBooks(suite.Books):
    pass


class TestTrades(suite.Trades):
    pass


class TestMarket(suite.AnswersWholeMarket):
    pass


class TestOpenInterest(suite.OpenInterest):
    pass


class TestTime(suite.KnowsTime):
    pass


class TestStatus(suite.KnowsStatus):
    pass


class TestGolden(bodies.GoldenNumbers):
    pass


class TestRecorded(bodies.RecordedBodies):
    pass
