"""Every instrument of every venue and kind: each number that xex answers is the truth's, in base units."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import pandas as pd
import pytest

import xex
from tests.conformance.worlds import instrument_of
from tests.expected import (
    EXCHANGES,
    NO_OPEN,
    assert_close,
    assert_snapshot,
    row_of,
    rules,
    volumes,
)
from tests.lab import Lab, Market, Truth, currency_markets, default_truth, extra_markets
from tests.test_mutations import assert_books, assert_trades
from tests.test_snapshot import CONNECTORS, venues
from xex.access.transport import heard
from xex.model import schema
from xex.model.instruments import SECTIONS

TRUTH = default_truth().adding((*extra_markets(), *currency_markets()))
EXPIRY = "261225"
# How many instruments the world lists, by exchange and section: nothing may go missing unseen.
LISTED = {
    "binance": {"spot": 16, "linear": 9, "inverse": 2, "linear_dated": 1, "inverse_dated": 1},
    "bybit": {"spot": 9, "linear": 9, "inverse": 2, "linear_dated": 1, "inverse_dated": 1},
    "htx": {"spot": 8, "linear": 8, "inverse": 2, "linear_dated": 1, "inverse_dated": 1},
    "kraken": {"spot": 24, "linear": 8, "inverse": 2, "linear_dated": 1, "inverse_dated": 1},
    "okx": {"spot": 9, "linear": 9, "inverse": 2, "linear_dated": 1, "inverse_dated": 1},
}
NO_MARK = {"binance", "okx", "htx"}
"""Whose tickers carry no mark and index price."""


@dataclass(frozen=True)
class Answers:
    """All that one exchange said about all its instruments."""

    instruments: pd.DataFrame
    tickers: pd.DataFrame
    books: pd.DataFrame
    trades: pd.DataFrame
    now_ms: int

    def of(self, name: str, symbol: str) -> Any:
        """Return the rows of an answer about one instrument."""
        frame = getattr(self, name)
        return frame[frame["instrument"] == symbol]


def markets_of(exchange: str, truth: Truth = TRUTH) -> dict[str, Market]:
    """Return what an exchange lists, by symbol."""
    names = {row_of(exchange, kind) for kind in ("spot", "linear", "inverse")}
    return {instrument_of(market).symbol: market for market in truth.markets if market.venue in names}


@cache
def answers(exchange: str) -> Answers:
    """Ask an exchange once about everything."""
    return asyncio.run(_asked(exchange, list(map(instrument_of, markets_of(exchange).values()))))


async def _asked(exchange: str, instruments: Sequence[Any]) -> Answers:
    def framed(columns: Any, name: str) -> pd.DataFrame:
        return schema.frame(columns | {"exchange": [exchange] * schema.length(columns)}, name)

    async with Lab(TRUTH) as lab, xex.ExchangeManager(cache=False) as xm:
        config = xex.ExchangeConfig(exchange, exchange, base_url=lab.url(exchange))
        connector = CONNECTORS[exchange](config)
        assert xm.add_exchange(config, connector)
        await xm.connect_all()
        listed = await xm.instruments(deadline=20)
        tickers = await connector.market(SECTIONS)
        books, trades = await asyncio.gather(connector.books(instruments), connector.trades(instruments))
        return Answers(
            listed, framed(tickers, "tickers"), framed(books, "books"), framed(trades, "trades"), lab.now_ms()
        )


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_instrument_has_the_steps_and_sizes_of_the_truth(exchange: str) -> None:
    wanted, listed = markets_of(exchange), answers(exchange).instruments
    assert sorted(listed["instrument"]) == sorted(wanted)
    assert listed.attrs["dropped"] == {}
    for row in listed.fillna({"expiry": "", "settle": ""}).to_dict("records"):
        market = wanted[row["instrument"]]
        assert (row["id"], row["kind"], row["expiry"]) == (market.id, market.kind, market.expiry)
        assert (row["base"], row["quote"]) == (market.base, market.quote)
        assert row["settle"] == {"spot": "", "linear": market.quote, "inverse": market.base}[market.kind]
        assert row["active"]
        for name, value in rules(market).items():
            assert_close(row[name], value, f"{exchange} {row['instrument']} {name}")
        if market.min_notional is None and market.kind != "inverse":
            # HTX's list of spot markets always states one: a dollar where the truth has none.
            assert math.isnan(row["min_notional"]) or (exchange, market.kind) == ("htx", "spot")
        assert pd.isna(row["expiry_time"]) is not bool(market.expiry)
        if market.expiry:
            assert f"{row['expiry_time']:%y%m%d}" == market.expiry


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_nothing_of_what_an_exchange_lists_is_missing(exchange: str) -> None:
    found = answers(exchange)
    for frame in (found.tickers, found.books, found.trades):
        assert set(frame["instrument"]) == set(markets_of(exchange))
    counts = {
        section: sum(instrument_of(market).section == section for market in markets_of(exchange).values())
        for section in SECTIONS
    }
    assert counts == LISTED[exchange]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_ticker_is_the_truth(exchange: str) -> None:
    wanted = markets_of(exchange)
    for row in answers(exchange).tickers.to_dict("records"):
        market, what = wanted[row["instrument"]], f"{exchange} {row['instrument']}"
        for side in ("bid", "ask"):
            assert_close(row[side], getattr(market.top, side), f"{what} {side}")
            assert_close(row[f"{side}_size"], getattr(market.top, f"{side}_size"), f"{what} {side} size")
        for name in ("last", "high", "low"):
            assert_close(row[name], getattr(market, name), f"{what} {name}")
        opened = math.nan if (exchange, market.kind) in NO_OPEN else market.open
        assert_close(row["open"], opened, f"{what} open")
        for name in ("mark", "index"):
            stated = market.kind != "spot" and exchange not in NO_MARK
            assert_close(row[name], getattr(market, name) if stated else math.nan, f"{what} {name}")
        for name, volume in zip(("base_volume", "quote_volume"), volumes(exchange, market), strict=True):
            assert_close(row[name], volume, f"{what} {name}")


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_level_of_every_book_is_the_truth(exchange: str) -> None:
    for symbol, market in markets_of(exchange).items():
        frame = answers(exchange).of("books", symbol)
        assert_books(frame, market)
        assert not frame["censored"].any(), symbol
        for side in ("bid", "ask"):
            assert list(frame[frame["side"] == side]["level"]) == list(range(24))


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_trade_is_the_truth(exchange: str) -> None:
    found = answers(exchange)
    for symbol, market in markets_of(exchange).items():
        assert_trades(found.of("trades", symbol), market, found.now_ms)


# --- what one venue counts twice ---------------------------------------------------------------------------------

TWO_SIDED = {
    "BTC/USDT:USDT": ("BTC-USDT", "contract_code"), "BTC/USD:BTC": ("BTC-USD", "contract_code"),
    f"BTC/USDT:USDT-{EXPIRY}": ("BTC-USDT-CQ", "contract_code"), f"BTC/USD:BTC-{EXPIRY}": ("BTC_CQ", "symbol"),
    "ETH/USD:ETH": ("ETH-USD", "contract_code"),
}  # fmt: skip
"""HTX's contracts, and the names by which their tickers go."""


@cache
def said_by_htx() -> dict[str, tuple[list[Any], list[Any], float, float]]:
    """Return by symbol the bodies of ticker and trades, and xex's volume and size of the last trade."""
    return asyncio.run(_heard())


async def _heard() -> dict[str, tuple[list[Any], list[Any], float, float]]:
    said = {}
    async with venues(TRUTH) as (_, xm):
        await xm.connect_all()
        connector = xm._entries["htx"].connector
        for symbol in TWO_SIDED:
            instrument = instrument_of(markets_of("htx")[symbol])
            responses: list[Any] = []
            heard.set(responses)
            tickers = await connector.tickers([instrument])
            bodies = [json.loads(response.body) for response in responses if b"ticks" in response.body]
            responses.clear()
            trades = await connector.trades([instrument])  # type: ignore[attr-defined]
            tape = [json.loads(response.body) for response in responses]
            said[symbol] = (bodies, tape, float(tickers["base_volume"][0]), float(trades["size"][-1]))
    return said


@pytest.mark.parametrize("symbol", TWO_SIDED)
def test_what_the_wire_counts_for_both_sides_is_halved_once(symbol: str) -> None:
    market, (name, key) = markets_of("htx")[symbol], TWO_SIDED[symbol]
    bodies, tape, volume, size = said_by_htx()[symbol]
    tick = next(tick for tick in bodies[-1]["ticks"] if tick[key] == name)
    done = tape[-1]["data"][0]["data"][0]
    newest = market.trades[0]
    assert float(tick["amount"]) == pytest.approx(2 * float(market.base_volume), rel=1e-9)
    assert float(tick["vol"]) == pytest.approx(2 * float(market.wire_volume), rel=1e-9)
    assert float(done["amount"]) == pytest.approx(2 * float(market.wire_size(newest.size, newest.price)), rel=1e-9)
    assert_close(volume, market.base_volume, "volume")
    assert_close(size, newest.size, "size")


# --- snapshots ---------------------------------------------------------------------------------------------------

KINDS = [
    ("BTC/USD:BTC", "BTC", "inverse", ""), ("ETH/USD:ETH", "ETH", "inverse", ""),
    (f"BTC/USD:BTC-{EXPIRY}", "BTC", "inverse", EXPIRY), (f"BTC/USDT:USDT-{EXPIRY}", "BTC", "linear", EXPIRY),
]  # fmt: skip


@pytest.mark.parametrize(("symbol", "base", "kind", "expiry"), KINDS)
async def test_a_snapshot_of_any_kind_is_the_oracles(symbol: str, base: str, kind: str, expiry: str) -> None:
    truth = default_truth()
    async with venues(truth) as (_, xm):
        snap = await xm.get_cross_exchange_ticker(symbol)
    assert (snap.answered, snap.dropped) == (list(EXCHANGES), {})
    assert snap.currency == ("USD" if kind == "inverse" else "USDT")
    assert_snapshot(snap, truth, base, kind, expiry)
    of_one_unit = snap.frame["price"] / snap.aggregated_price
    assert of_one_unit.between(0.999, 1.001).all()


@pytest.mark.parametrize(
    ("buy", "sell", "base", "expiry"),
    [
        ("okx", "binance", "BTC", ""), ("bybit", "htx", "ETH", ""), ("krakenfutures", "okx", "BTC", ""),
        ("htx", "krakenfutures", "BTC", EXPIRY), ("binance", "bybit", "BTC", EXPIRY),
    ],
)  # fmt: skip
async def test_a_trade_in_inverse_contracts_is_whole_contracts_and_the_oracles(
    buy: str, sell: str, base: str, expiry: str
) -> None:
    truth = default_truth().with_cross(base, buy=buy, sell=sell, bps=70, kind="inverse", expiry=expiry)
    symbol = f"{base}/USD:{base}" + (f"-{expiry}" if expiry else "")
    async with venues(truth) as (_, xm):
        snap = await xm.get_cross_exchange_ticker(symbol)
    want = assert_snapshot(snap, truth, base, "inverse", expiry)
    key = (buy.removesuffix("futures"), sell.removesuffix("futures"))
    best = want.pairs[key]
    assert best.rejected is None
    found = next(
        row for row in snap.arbitrage_opportunities if (row["exchange_low"], row["exchange_high"]) == key
    )  # fmt: skip
    low, high = (truth.market(name, base, "inverse", "USD", expiry) for name in (buy, sell))
    lots = found["quantity"] * float(low.asks[0][0]) / float(max(low.lot, high.lot))
    assert lots == pytest.approx(round(lots), abs=1e-6)
    assert lots >= 1
    assert Fraction(found["quantity"]) <= best.q_star * (1 + Fraction(1, 10**9))
    assert found["notional"] >= max(low.min_amount, high.min_amount, low.min_notional or 0, high.min_notional or 0)


async def test_an_edge_smaller_than_one_contract_is_no_trade() -> None:
    truth = default_truth().with_cross("BTC", buy="okx", sell="binance", bps=70, levels=1, kind="inverse")
    (price, _), *_ = (okx := truth.market("okx", "BTC", "inverse")).asks
    # 90 dollars are for sale; a contract of Binance's is 100.
    truth = truth.updating(okx, asks=((price, 90 / price),))
    async with venues(truth) as (_, xm):
        snap = await xm.get_cross_exchange_ticker("BTC/USD:BTC")
    found = next(
        row for row in snap.rejected if (row["exchange_low"], row["exchange_high"]) == ("okx", "binance")
    )  # fmt: skip
    assert found["gate"] == "lots"
    assert found["net_profit"] == 0
