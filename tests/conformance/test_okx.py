"""OKX: the conformance suite with the venue's facts."""

from __future__ import annotations

from tests.conformance import bodies, suite
from tests.conformance.worlds import Venue
from xex_connectors import OkxConnector

VENUE = Venue(
    name="okx",
    connector=OkxConnector,
    fees={"linear": (5, 2), "spot": (10, 8), "inverse": (5, 2)},
    depths={"linear": (400, 5000), "spot": (400, 5000), "inverse": (400, 5000)},
    dated={"linear": ("quote", "quote"), "spot": ("quote", "quote"), "inverse": ("quote", "quote")},
    absent={"linear": ("mark", "index"), "inverse": ("mark", "index")},
    derived=("linear",),
    open_dated="quote",
    open_at_last=("linear",),
    recorded=(("linear", "books", "Swap orderbook"), ("spot", "books", "spot orderbook"),
        ("spot", "trades", "public spot trades"), ("spot", "tickers", "public spot ticker"),
        ("linear", "open_interest", "linear oi"), (None, "time", "Fetch time"), (None, "status", "Fetch status")),
    listed={"linear": 8, "spot": 7, "inverse": 1},
    in_contracts=("linear",),
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
