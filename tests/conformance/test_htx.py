"""HTX: the conformance suite with the venue's facts."""

from __future__ import annotations

from tests.conformance import bodies, suite
from tests.conformance.worlds import Venue
from xex_connectors import HtxConnector

VENUE = Venue(
    name="htx",
    connector=HtxConnector,
    fees={"linear": (5, 2), "spot": (20, 20), "inverse": (5, 2)},
    depths={"linear": (150,), "spot": (150,), "inverse": (150,)},
    dated={"linear": ("quote", "quote"), "spot": ("received", "quote"), "inverse": ("quote", "quote")},
    absent={"linear": ("mark", "index"), "inverse": ("mark", "index")},
    open_each=("linear",),
    listed={"linear": 7, "spot": 7, "inverse": 3, "linear_dated": 2, "inverse_dated": 2},
    in_contracts=("linear",),
    otherwise=("min_amount",),  # of swaps in coins
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


class TestRecorded(bodies.RecordedLists):
    pass
