"""Binance: the conformance suite with the venue's facts."""

from __future__ import annotations

from tests.conformance import bodies, suite
from tests.conformance.worlds import Venue
from xex_connectors import BinanceConnector

VENUE = Venue(
    name="binance",
    connector=BinanceConnector,
    fees={"linear": (5, 2), "spot": (10, 10), "inverse": (5, 2)},
    depths={"linear": (500, 1000), "spot": (500, 5000), "inverse": (500, 1000)},
    dated={"linear": ("quote", "quote"), "spot": ("trade", "received"), "inverse": ("quote", "quote")},
    absent={"linear": ("mark", "index"), "inverse": ("mark", "index")},
    open_dated="quote",
    open_at_last=("linear", "inverse"),
    open_each=("linear", "inverse"),
    recorded=(("spot", "books", "spot orderbook"), ("linear", "books", "swap orderbook"),
        ("spot", "trades", "public spot trades"), ("spot", "tickers", "public spot ticker")),
    listed={"linear": 8, "spot": 8, "inverse": 2},
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
    pair = ("EUR", "USDT")


class TestGolden(bodies.GoldenNumbers):
    pass


class TestRecorded(bodies.RecordedBodies):
    pass
