"""Kraken: the conformance suite with the venue's facts."""

from __future__ import annotations

from tests.conformance import bodies, suite
from tests.conformance.worlds import Venue
from xex_connectors import KrakenConnector

VENUE = Venue(
    name="kraken",
    connector=KrakenConnector,
    fees={"linear": (5, 2), "spot": (40, 25), "inverse": (5, 2)},
    depths={"linear": (), "spot": (500,), "inverse": ()},
    dated={"linear": ("trade", "server"), "spot": ("received", "received"), "inverse": ("trade", "server")},
    absent={"spot": ("open",)},
    divided=("inverse",),
    speaks={"linear": "krakenfutures", "inverse": "krakenfutures"},
    uuids=("linear", "inverse"),
    listed={"linear": 6, "spot": 11, "inverse": 1},
    otherwise=("lot",),  # of spot coarsened to the precision of the asset
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


class TestCurrencies(suite.Converts):
    pass


class TestGolden(bodies.GoldenNumbers):
    pass


class TestRecorded(bodies.RecordedLists):
    pass
