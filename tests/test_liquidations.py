"""Liquidations over all venues: whose, which side, how much, told once, and what each answer covers.

What was liquidated is the lab's, in dollars at a price; what comes out is compared with the fraction of the two.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest

import xex
from tests.conftest import ManagerFor, Tidy, configured
from tests.lab import Forced, Lab, default_truth, extra_markets
from tests.lab.encode_coinglass import KEY
from xex.access.port import AnswersLiquidations, ExchangeConnector, Struck, Window, answers
from xex.config import FEATURES, ExchangeConfig, ExchangeType
from xex.errors import BadPayload, ConfigError, NoVenueAnswered, SymbolError, UnknownSymbol, UnknownVenue
from xex.liquidations import Liquidations
from xex.manager import ExchangeManager
from xex.model import schema
from xex.model.instruments import Instrument
from xex_connectors import BinanceConnector, BybitConnector, HtxConnector, KrakenConnector, OkxConnector
from xex_connectors.liquidations import LiquidationPage, PublishesLiquidations, liquidation_columns, once

NOW = 1_795_000_000_000
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
WORLD = default_truth().adding(extra_markets())
FIVE = ("binance", "okx", "htx", "bybit", "kraken")
KEYS = [
    "exchange", "symbol", "side", "quantity", "price", "notional", "timestamp", "position_side", "source",
    "price_kind", "complete",
]  # fmt: skip
Position = Literal["long", "short"]
POSITIONS: tuple[Position, ...] = ("long", "short")
CLOSED_BY = {"long": "sell", "short": "buy"}


def struck(
    venue: str, id_: str, back_ms: int, usd: str, position: Position, *, base: str = "BTC", price: str = "50000"
) -> Forced:
    return Forced(venue, id_, base, NOW - back_ms, Decimal(price), Decimal(usd), position)


def everywhere(*positions: Position) -> tuple[Forced, ...]:
    """Return liquidations of positions on each venue, all different in time and size."""
    ids = {"okx": "BTC-USDT-SWAP", "htx": "BTC-USDT", "krakenfutures": "PF_XBTUSD", "binance": "BTCUSDT",
        "bybit": "BTCUSDT"}  # fmt: skip
    return tuple(
        struck(venue, id_, (2 + 7 * place + 3 * turn) * MINUTE, str(1000 * 3**place + 40_000 * turn), position)
        for place, (venue, id_) in enumerate(ids.items())
        for turn, position in enumerate(positions)
    )


@pytest.fixture(autouse=True)
def lab_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xex.model.clock.now_ms", lambda: NOW)


@pytest.fixture
async def lab(loaded: None, tidy: Tidy) -> AsyncIterator[Lab]:  # noqa: ARG001  both only set the stage
    async with Lab(WORLD, now_ms=lambda: NOW) as started:
        yield started


def glass(lab: Lab, key: str | None = KEY, **options: Any) -> ExchangeConfig:
    return ExchangeConfig("glass", ExchangeType.COINGLASS, api_key=key, base_url=lab.url("coinglass"), options=options)


async def told(
    lab: Lab, *venues: str, forced: tuple[Forced, ...] = (), symbol: str = "BTCUSDT", **options: Any
) -> Liquidations:
    """Ask these venues of the lab, CoinGlass by the name of glass."""
    if forced:
        lab.truth = dataclasses.replace(lab.truth, forced=forced)
    async with ExchangeManager(cache=False, deadline=5) as xm:
        for venue in venues:
            assert xm.add_exchange(glass(lab) if venue == "glass" else configured(lab, venue))
        return await xm.get_cross_exchange_liquidations(symbol, **options)


def asked(lab: Lab, word: str) -> list[str]:
    return [seen.path_qs for seen in lab.seen if word in seen.path_qs]


# --- right to the last digit -------------------------------------------------------------------------------------


MARKETS = [
    # venue, who is asked, the venue's id, the asset, the symbol asked, the one that comes, the kind of price
    ("okx", "okx", "BTC-USDT-SWAP", "BTC", "BTCUSDT", "BTC/USDT:USDT", "bankruptcy"),
    ("okx", "okx", "BTC-USD-SWAP", "BTC", "BTC/USD:BTC", "BTC/USD:BTC", "bankruptcy"),
    ("okx", "okx", "BTC-USDT-261225", "BTC", "BTC/USDT:USDT-261225", "BTC/USDT:USDT-261225", "bankruptcy"),
    ("okx", "okx", "BTC-USD-261225", "BTC", "BTC/USD:BTC-261225", "BTC/USD:BTC-261225", "bankruptcy"),
    ("okx", "okx", "PEPE-USDT-SWAP", "PEPE", "PEPEUSDT", "PEPE/USDT:USDT", "bankruptcy"),
    ("htx", "htx", "BTC-USDT", "BTC", "BTCUSDT", "BTC/USDT:USDT", "bankruptcy"),
    ("htx", "htx", "BTC-USDT-261225", "BTC", "BTC/USDT:USDT-261225", "BTC/USDT:USDT-261225", "bankruptcy"),
    ("htx", "htx", "BTC-USD", "BTC", "BTC/USD:BTC", "BTC/USD:BTC", "unknown"),
    ("krakenfutures", "kraken", "PF_XBTUSD", "BTC", "BTCUSDT", "BTC/USD:USD", "fill"),
    ("krakenfutures", "kraken", "PI_XBTUSD", "BTC", "BTC/USD:BTC", "BTC/USD:BTC", "fill"),
    ("krakenfutures", "kraken", "FF_XBTUSD_261225", "BTC", "BTC/USD:USD-261225", "BTC/USD:USD-261225", "fill"),
    ("binance", "glass", "BTCUSDT", "BTC", "BTCUSDT", "BTC/USDT:USDT", "unknown"),
    ("bybit", "glass", "BTCUSDT", "BTC", "BTCUSDT", "BTC/USDT:USDT", "unknown"),
    ("binance", "glass", "BTCUSD_PERP", "BTC", "BTC/USD:BTC", "BTC/USD:BTC", "unknown"),
]


@pytest.mark.parametrize("position", ["long", "short"])
@pytest.mark.parametrize("market", MARKETS, ids=lambda market: f"{market[0]}-{market[2]}")
async def test_a_known_liquidation_comes_out_right(lab: Lab, market: tuple[str, ...], position: Position) -> None:
    venue, who, id_, base, symbol, found, price_kind = market
    price = "0.0000075" if base == "PEPE" else "48123.5"
    one = struck(venue, id_, 20 * MINUTE, "137700.7", position, base=base, price=price)
    (row,) = await told(lab, who, forced=(one,), symbol=symbol)
    assert list(row) == KEYS
    size = Fraction("137700.7") / Fraction(price)
    assert row["quantity"] == pytest.approx(float(size), rel=1e-12, abs=1e-9)
    assert row["price"] == pytest.approx(float(price), rel=1e-12)
    assert row["notional"] == pytest.approx(137700.7, rel=1e-12)
    assert row["timestamp"] == pytest.approx((NOW - 20 * MINUTE) / 1e3, abs=1e-9)
    assert (row["side"], row["position_side"]) == (CLOSED_BY[position], position)
    assert (row["symbol"], row["price_kind"]) == (found, price_kind)
    assert row["exchange"] == ("kraken" if who == "kraken" else venue)
    assert row["source"] == ("coinglass" if who == "glass" else "venue")
    assert row["complete"] is (who in {"htx", "kraken"})


async def test_the_five_venues_and_a_source_make_one_answer(lab: Lab) -> None:
    forced = everywhere("long", "short")
    found = await told(lab, *FIVE, "glass", forced=forced)
    expected = sorted(
        (
            (one.ms / 1e3, one.venue.removesuffix("futures"), one.position, CLOSED_BY[one.position],
             float(Fraction(one.usd) / Fraction(one.price)))
            for one in forced
        ),
        reverse=True,
    )  # fmt: skip
    names = ("timestamp", "exchange", "position_side", "side", "quantity")
    rows = [tuple(row[name] for name in names) for row in found]
    assert [row[:4] for row in rows] == [row[:4] for row in expected]
    np.testing.assert_allclose([row[4] for row in rows], [row[4] for row in expected], rtol=1e-12)
    assert sorted(found.asked) == sorted(found.answered) == sorted((*FIVE, "glass"))
    assert found.dropped == {}
    assert {name: window["source"] for name, window in found.coverage.items()} == {
        "okx": "venue", "htx": "venue", "kraken": "venue", "binance": "coinglass", "bybit": "coinglass",
    }  # fmt: skip
    for name, window in found.coverage.items():
        assert (window["from"], window["to"], window["count"]) == ((NOW - HOUR) / 1e3, NOW / 1e3, 2)
        assert window["complete"] is (name in {"htx", "kraken"})
    frame = found.frame
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == dict(schema.SCHEMAS["liquidations"])
    assert frame["exchange"].tolist() == [row["exchange"] for row in found]
    assert (frame["flags"] == "substitute").tolist() == [row["exchange"] == "kraken" for row in found]
    assert (frame["age_ms"] == [NOW - 1e3 * row["timestamp"] for row in found]).all()


async def test_the_example_of_the_documentation_runs_as_it_is(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    liquidations = await told(lab, "okx", forced=everywhere("long", "short"))
    for liquidation in liquidations[:5]:
        print(f"{liquidation['exchange']}: {liquidation['side']} {liquidation['quantity']} @ {liquidation['price']}")
    # 1,000 dollars of a long and 41,000 of a short, at 50,000 each.
    assert capsys.readouterr().out.splitlines() == ["okx: sell 0.02 @ 50000.0", f"okx: buy {82 * 0.01} @ 50000.0"]


# --- bodies, typed by hand from what the venues document ----------------------------------------------------------


OKX_BODY = {"code": "0", "msg": "", "data": [
    {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "instFamily": "BTC-USDT", "uly": "BTC-USDT", "totalLoss": "0",
     "details": [
        {"bkLoss": "0", "bkPx": "60000", "ccy": "", "posSide": "long", "side": "sell", "sz": "13",
         "ts": "1700000000003"},
        {"bkLoss": "0", "bkPx": "61000", "ccy": "", "posSide": "short", "side": "buy", "sz": "2.5",
         "ts": "1700000000002"},
        {"bkLoss": "0", "bkPx": "62000", "ccy": "", "posSide": "net", "side": "buy", "sz": "1", "ts": "1700000000001"},
        {"bkLoss": "0", "bkPx": "62000", "ccy": "", "posSide": "long", "side": "buy", "sz": "4", "ts": "1700000000000"},
        {"bkLoss": "0", "bkPx": "", "ccy": "", "posSide": "long", "side": "sell", "sz": "4", "ts": "1700000000000"},
    ]},
    {"instId": "BTC-USDC-SWAP", "details": [{"bkPx": "1", "posSide": "long", "side": "sell", "sz": "1", "ts": "1"}]},
]}  # fmt: skip
HTX_BODY = {"code": 200, "message": "Success", "ts": 1781854869221, "data": [
    {"id": "150153038758", "contract_code": "BTC-USDT", "liquidation_time": "1781849094165", "side": "buy",
     "position_side": "short", "volume": "2", "amount": "2", "bankrupt_price": "62978.5", "trade_turnover": "125.957"},
]}  # fmt: skip
HTX_COIN_BODY = {"code": 200, "msg": "", "ts": 1604312615051, "data": [
    {"query_id": 452057, "contract_code": "BTC-USD", "symbol": "BTC", "direction": "sell", "offset": "close",
     "volume": 479.0, "price": 51441.7, "created_at": 1638593647864, "amount": 0.93},
    {"query_id": 452058, "contract_code": "BTC-USD", "symbol": "BTC", "direction": "sell", "offset": "open",
     "volume": 1, "price": 51441.7, "created_at": 1638593647865, "amount": 0.0},
]}  # fmt: skip
KRAKEN_BODY = {"result": "success", "serverTime": "2026-09-21T14:13:20.000Z", "history": [
    {"time": "2026-09-21T14:13:19.900Z", "trade_id": 3, "price": 80100, "size": 240300, "side": "sell",
     "type": "liquidation", "uid": "a"},
    {"time": "2026-09-21T14:13:18.000Z", "trade_id": 2, "price": 80101, "size": 5, "side": "sell", "type": "fill",
     "uid": "b"},
    {"time": "2026-09-21T14:13:17.000Z", "trade_id": 1, "price": 80102, "size": 7, "side": "buy", "type": "liquidation",
     "uid": "c"},
]}  # fmt: skip


def read(connector: Any, section: str, body: Any, id_: str) -> Any:
    return liquidation_columns(json.dumps(body).encode(), connector.liquidation_maps[section], id_)


def test_every_detail_of_an_order_is_a_liquidation_and_doubtful_sides_are_unknown() -> None:
    page = read(OkxConnector, "linear", OKX_BODY, "BTC-USDT-SWAP")
    assert page.columns["price"].tolist() == [60000, 61000, 62000, 62000]
    assert page.columns["size"].tolist() == [13, 2.5, 1, 4]
    # A net position is told by the order; a buy that is said to close a long is not understood.
    assert page.columns["position_side"] == ["long", "short", "short", "unknown"]
    assert page.columns["order_side"] == ["sell", "buy", "buy", "unknown"]
    assert page.columns["exchange_time"].tolist() == [1700000000000 + back for back in (3, 2, 1, 0)]
    assert (page.rows, page.oldest_ms, page.left_out) == (6, 1, 1)


def test_contracts_count_and_not_what_is_called_an_amount() -> None:
    page = read(HtxConnector, "linear", HTX_BODY, "BTC-USDT")
    assert (page.columns["size"].tolist(), page.columns["price"].tolist()) == ([2], [62978.5])
    assert (page.columns["order_side"], page.columns["position_side"]) == (["buy"], ["short"])
    assert page.columns["event_id"] == ["150153038758"]
    # 2 contracts of 0.001 coins are what the turnover says they are worth.
    assert Fraction("125.957") == 2 * Fraction("0.001") * Fraction("62978.5")


def test_an_order_that_is_not_said_to_close_tells_no_position() -> None:
    page = read(HtxConnector, "inverse", HTX_COIN_BODY, "BTC-USD")
    assert page.columns["order_side"] == ["sell", "sell"]
    assert page.columns["position_side"] == ["long", "unknown"]
    assert page.columns["size"].tolist() == [479, 1]
    assert read(HtxConnector, "inverse", HTX_COIN_BODY, "ETH-USD").columns["size"].tolist() == []


def test_liquidations_are_told_from_other_trades() -> None:
    page = read(KrakenConnector, "inverse", KRAKEN_BODY, "PI_XBTUSD")
    assert page.columns["event_id"] == ["a", "c"]
    assert (page.columns["order_side"], page.columns["position_side"]) == (["sell", "buy"], ["long", "short"])
    stamp = datetime(2026, 9, 21, 14, 13, 17, tzinfo=UTC).timestamp() * 1e3
    assert (page.rows, page.oldest_ms) == (3, stamp)


ALL = [
    (OkxConnector, "linear", "BTC-USDT-SWAP", OKX_BODY, "data"), (HtxConnector, "linear", "BTC-USDT", HTX_BODY, "data"),
    (HtxConnector, "inverse", "BTC-USD", HTX_COIN_BODY, "data"),
    (KrakenConnector, "linear", "PF_XBTUSD", KRAKEN_BODY, "history"),
]  # fmt: skip


@pytest.mark.parametrize(("connector", "section", "id_", "body", "rows"), ALL)
def test_no_row_is_an_answer_and_rows_without_a_value_are_none(
    connector: Any, section: str, id_: str, body: dict[str, Any], rows: str
) -> None:
    empty = read(connector, section, {**body, rows: []}, id_)
    assert (empty.rows, len(empty.columns["price"])) == (0, 0)
    others: tuple[Any, ...] = (None, {}, "none")
    for nothing in others:
        with pytest.raises(BadPayload, match="no list of liquidations"):
            read(connector, section, {**body, rows: nothing}, id_)
    kept = {"instId", "contract_code", "type", "details"}

    def bare(row: dict[str, Any], value: Any) -> dict[str, Any]:
        return {
            name: ([bare(one, value) for one in cell] if name == "details" else cell if name in kept else value)
            for name, cell in row.items()
        }

    for value in (None, "", "x", -1, True):
        with pytest.raises(BadPayload, match="no liquidation that can be understood"):
            read(connector, section, {**body, rows: [bare(row, value) for row in body[rows]]}, id_)
    with pytest.raises(BadPayload):
        read(connector, section, {"code": "50011", "status": "error", "result": "error", rows: body[rows]}, id_)


# --- each event counts once ---------------------------------------------------------------------------------------


def page(*rows: tuple[str, float, float, float]) -> dict[str, Any]:
    """Return liquidations of (event_id, ms, price, size), all of longs."""
    cells = list(zip(*rows, strict=True))
    return {
        "instrument": ["BTC/USDT:USDT"] * len(rows), "event_id": list(cells[0]), "order_side": ["sell"] * len(rows),
        "exchange_time": np.array(cells[1]), "price": np.array(cells[2]), "size": np.array(cells[3]),
    }  # fmt: skip


def test_pages_that_overlap_count_once_and_twins_of_a_page_twice() -> None:
    one, twin, other = ("", 1000.0, 5.0, 1.0), ("", 1000.0, 5.0, 1.0), ("", 999.0, 5.0, 1.0)
    assert once([page(one, twin, other), page(twin, one, other, ("", 998.0, 5.0, 1.0))])["exchange_time"].tolist() == [
        1000, 1000, 999, 998,
    ]  # fmt: skip
    assert once([page(one), page(one, twin)])["size"].tolist() == [1, 1]
    assert once([page(one), page(("", 1000.0, 5.0, 2.0))])["size"].tolist() == [1, 2]
    named = page(("a", 1000.0, 5.0, 1.0), ("b", 1000.0, 5.0, 1.0))
    assert once([named, named, page(("a", 1000.0, 5.0, 1.0))])["event_id"] == ["a", "b"]


async def test_more_than_a_page_holds_comes_whole_and_once(lab: Lab) -> None:
    # The hundredth and its neighbours are of one millisecond, and alike: pages cut between them.
    times = [
        60 * SECOND + 1000 * max(place - 3, 0) if 95 < place < 104 else 60 * SECOND + 1000 * place
        for place in range(250)
    ]
    forced = tuple(struck("okx", "BTC-USDT-SWAP", back, "500", "long") for back in times)
    found = await told(lab, "okx", forced=forced)
    assert sorted(1e3 * row["timestamp"] for row in found) == sorted(float(one.ms) for one in forced)
    assert len(asked(lab, "liquidation-orders")) == 3
    assert found.coverage["okx"]["from"] == (NOW - HOUR) / 1e3


@pytest.mark.parametrize(
    ("venue", "id_", "symbol"), [("htx", "BTC-USDT", "BTCUSDT"), ("htx", "BTC-USD", "BTC/USD:BTC")]
)
async def test_what_an_answer_cuts_is_asked_for(lab: Lab, venue: str, id_: str, symbol: str) -> None:
    crowd = [struck(venue, id_, 30 * MINUTE + place * 40, "500", "short") for place in range(260)]
    sparse = [struck(venue, id_, hours * HOUR + 5, "700", "long") for hours in range(1, 9)]
    found = await told(lab, venue, forced=(*crowd, *sparse), symbol=symbol, since=timedelta(hours=9))
    assert sorted(1e3 * row["timestamp"] for row in found) == sorted(float(one.ms) for one in (*crowd, *sparse))
    assert found.coverage["htx"]["complete"] is True
    spans = [
        int(re.search(r"end_time=(\d+)", url)[1]) - int(re.search(r"start_time=(\d+)", url)[1])  # type: ignore[index]
        for url in asked(lab, "liquidation_orders")
    ]
    assert max(spans) <= 2 * HOUR
    assert len(spans) < 25


@pytest.mark.parametrize("oldest_first", [True, False])
async def test_it_does_not_matter_at_which_end_a_venue_cuts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, oldest_first: bool
) -> None:
    events = [float(NOW - 5 * MINUTE - place * SECOND) for place in range(700)]

    async def cut(self: Any, instrument: Instrument, spec: Any, bounds: dict[str, int]) -> LiquidationPage:
        del self, instrument
        inside = [one for one in events if bounds[spec.since] <= one <= bounds[spec.until]]
        sent = sorted(inside, reverse=not oldest_first)[: spec.limit[1]]
        columns = page(*((f"{one:.0f}", one, 5.0, 1.0) for one in sent)) if sent else {}
        return LiquidationPage(columns, len(sent), min(sent, default=np.nan), max(sent, default=np.nan), 0)

    monkeypatch.setattr(PublishesLiquidations, "_page", cut)
    found = await told(lab, "htx")
    assert [1e3 * row["timestamp"] for row in found] == events
    assert found.coverage["htx"]["complete"] is True


async def test_the_tape_is_followed_back_as_far_as_was_asked(lab: Lab) -> None:
    forced = [
        struck("krakenfutures", "PF_XBTUSD", 20 * SECOND + 9 * SECOND * place, "500", "short") for place in range(390)
    ]
    found = await told(lab, "kraken", forced=tuple(forced))
    inside = [float(one.ms) for one in forced if one.ms >= NOW - HOUR]
    assert sorted(1e3 * row["timestamp"] for row in found) == sorted(inside)
    assert found.coverage["kraken"]["complete"] is True
    assert len(asked(lab, "history")) >= 4


async def test_what_one_request_less_would_not_show_is_said(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xex_connectors.liquidations.MOST_ASKED", 2)
    crowd = [struck("krakenfutures", "PF_XBTUSD", SECOND * (1 + place), "500", "short") for place in range(500)]
    found = await told(lab, "kraken", forced=tuple(crowd))
    window = found.coverage["kraken"]
    assert window["complete"] is False
    assert window["from"] == min(row["timestamp"] for row in found)
    assert all(row["timestamp"] >= window["from"] for row in found)
    spread = [struck("htx", "BTC-USDT", hours * HOUR + 5, "700", "long") for hours in range(9)]
    found = await told(lab, "htx", forced=tuple(spread), since=timedelta(hours=9))
    assert found.coverage["htx"]["complete"] is False
    # Of nine hours the two youngest ranges are told: the one of an hour and one of two.
    reached = [one.ms / 1e3 for one in spread if one.ms / 1e3 >= found.coverage["htx"]["from"]]
    assert sorted(row["timestamp"] for row in found) == sorted(reached)
    assert 0 < len(reached) < 9


async def test_one_millisecond_that_no_page_holds_is_not_called_complete(lab: Lab) -> None:
    many = tuple(struck("htx", "BTC-USDT", 10 * MINUTE, "500", "long") for _ in range(150))
    found = await told(lab, "htx", forced=many)
    assert len(found) == 100
    assert found.coverage["htx"]["complete"] is False
    many = tuple(struck("okx", "BTC-USDT-SWAP", 10 * MINUTE, "500", "long") for _ in range(150))
    found = await told(lab, "okx", forced=many)
    assert len(found) == 100
    assert found.coverage["okx"]["from"] == (NOW - 10 * MINUTE) / 1e3


async def test_two_configurations_of_one_venue_count_once_and_the_second_stands_in(lab: Lab) -> None:
    lab.truth = dataclasses.replace(WORLD, forced=everywhere("long", "short"))
    async with ExchangeManager(cache=False, deadline=5) as xm:
        xm.add_exchange(configured(lab, "okx", exchange_id="first", priority=1))
        xm.add_exchange(configured(lab, "okx", exchange_id="second", priority=2))
        found = await xm.get_cross_exchange_liquidations("BTCUSDT")
        assert [row["exchange"] for row in found] == ["first", "first"]
        assert (found.asked, found.answered) == (["first"], ["first"])
        xm.exchange_configs["first"].enabled = False
        found = await xm.get_cross_exchange_liquidations("BTCUSDT")
        assert [row["exchange"] for row in found] == ["second", "second"]


async def test_a_venue_s_own_word_comes_before_a_source_s(lab: Lab) -> None:
    lab.truth = dataclasses.replace(WORLD, forced=everywhere("long", "short"))
    async with ExchangeManager(cache=False, deadline=2) as xm:
        xm.add_exchange(glass(lab, exchanges=["OKX", "Binance"]))
        xm.add_exchange(configured(lab, "okx", exchange_id="okx_main"))
        found = await xm.get_cross_exchange_liquidations("BTCUSDT")
        assert [(row["exchange"], row["source"]) for row in found] == [
            ("okx_main", "venue"), ("okx_main", "venue"), ("binance", "coinglass"), ("binance", "coinglass"),
        ]  # fmt: skip
        lab.fault("okx", "status", path="/api/v5/public/liquidation", code=503)
        found = await xm.get_cross_exchange_liquidations("BTCUSDT")
    assert [(row["exchange"], row["source"]) for row in found] == [
        ("okx_main", "coinglass"), ("okx_main", "coinglass"), ("binance", "coinglass"), ("binance", "coinglass"),
    ]  # fmt: skip
    assert "HTTP 503" in found.coverage["okx_main"]["reason"]
    assert found.dropped == {}


class Twice(ExchangeConnector):
    """A connector of one's own that tells an event twice, and not what it covers."""

    async def connect(self) -> None:
        """Be ready."""

    async def get_ticker(self, symbol: str) -> None:
        """List nothing."""
        del symbol

    async def liquidations(self, instrument: Instrument, since_ms: int, until_ms: int) -> dict[str, Any]:
        del until_ms
        return {
            "instrument": [instrument.symbol] * 3, "event_id": ["a", "a", "b"], "order_side": ["sell"] * 3,
            "position_side": ["long"] * 3, "price": [1.0, 1.0, 2.0], "size": [3.0, 3.0, 4.0],
            "exchange_time": [float(since_ms + 5), float(since_ms + 5), float(since_ms + 9)],
        }  # fmt: skip


async def test_a_connector_of_one_s_own_answers_too() -> None:
    async with ExchangeManager(cache=False) as xm:
        xm.add_exchange(ExchangeConfig("mine", "my_exchange"), connector=Twice())
        assert xm.get_best_exchange("liquidations") == "mine"
        found = await xm.get_cross_exchange_liquidations("BTCUSDT", since=NOW / 1e3 - 60)
    assert [(row["exchange"], row["quantity"], row["source"]) for row in found] == [
        ("mine", 4.0, "venue"), ("mine", 3.0, "venue"),
    ]  # fmt: skip
    assert found.coverage["mine"]["complete"] is False
    assert np.isnan(found[0]["notional"])


class Teller(Twice):
    """A source of one's own, of two exchanges."""

    quotes = False

    async def liquidations(self, instrument: Instrument, since_ms: int, until_ms: int) -> dict[str, Any]:
        return {**await super().liquidations(instrument, since_ms, until_ms), "venue": ["okx", "okx", "elsewhere"]}


async def test_a_source_of_one_s_own_tells_of_others(lab: Lab) -> None:
    lab.truth = dataclasses.replace(WORLD, forced=everywhere("long"))
    async with ExchangeManager(cache=False, deadline=5) as xm:
        xm.add_exchange(ExchangeConfig("mine", "my_source"), connector=Teller())
        found = await xm.get_cross_exchange_liquidations("BTCUSDT")
        assert [(row["exchange"], row["source"]) for row in found] == [
            ("elsewhere", "my_source"), ("okx", "my_source"),
        ]  # fmt: skip
        assert (found.asked, found.answered) == (["mine"], ["mine"])
        xm.add_exchange(configured(lab, "okx"))
        found = await xm.get_cross_exchange_liquidations("BTCUSDT")
    assert [(row["exchange"], row["quantity"]) for row in found] == [("okx", 0.02), ("elsewhere", 4.0)]
    assert sorted(found.answered) == ["mine", "okx"]


def test_what_covers_is_columns_too() -> None:
    made = Struck({"price": [1.0]}, [Window("a", 0, 1)])
    assert made == {"price": [1.0]}
    assert made.windows == (Window("a", 0, 1, complete=False, left_out=0),)


# --- which side a source means ------------------------------------------------------------------------------------


@pytest.mark.parametrize("side_is", ["position", "order"])
async def test_in_either_convention_the_side_is_right(lab: Lab, side_is: Any) -> None:
    forced = (
        struck("binance", "BTCUSDT", 50 * MINUTE, "500000", "long"),
        struck("bybit", "BTCUSDT", 40 * MINUTE, "20000", "short"),
    )
    lab.truth = dataclasses.replace(WORLD, forced=forced, side_is=side_is)
    found = await told(lab, "binance", "bybit", "glass")
    assert [(row["exchange"], row["side"], row["position_side"]) for row in found] == [
        ("bybit", "buy", "short"), ("binance", "sell", "long"),
    ]  # fmt: skip


async def test_what_cannot_be_reconciled_is_unknown(lab: Lab) -> None:
    alike = tuple(struck("bybit", "BTCUSDT", 20 * MINUTE, "100", side) for side in POSITIONS)
    found = await told(lab, "bybit", "glass", forced=alike)
    assert [(row["side"], row["position_side"], row["quantity"]) for row in found] == [
        ("unknown", "unknown", 0.002)
    ] * 2


# --- who does not answer, by name ----------------------------------------------------------------------------------


async def test_who_publishes_none_is_missing_by_name_and_the_reason_helps(lab: Lab) -> None:
    found = await told(lab, *FIVE, forced=everywhere("long"))
    assert {row["exchange"] for row in found} == {"okx", "htx", "kraken"}
    assert found.dropped.keys() == {"binance", "bybit"}
    for why in found.dropped.values():
        assert why.startswith("not_listed: it publishes no liquidations to be asked for; a source")
    assert sorted(found.asked) == sorted(FIVE)
    assert sorted(found.answered) == ["htx", "kraken", "okx"]


@pytest.mark.parametrize(
    ("key", "reason"), [("the-hobbyist-key-of-the-lab", "standard"), ("a-wrong-key", "auth"), (None, "needs a key")]
)
async def test_a_key_that_does_not_do_is_named_with_whom_it_costs(lab: Lab, key: str | None, reason: str) -> None:
    lab.truth = dataclasses.replace(WORLD, forced=everywhere("long"))
    async with ExchangeManager(cache=False, deadline=5) as xm:
        xm.add_exchange(configured(lab, "okx"))
        xm.add_exchange(configured(lab, "binance"))
        xm.add_exchange(glass(lab, key))
        found = await xm.get_cross_exchange_liquidations("BTCUSDT")
    assert [row["exchange"] for row in found] == ["okx"]
    assert found.dropped.keys() == {"binance", "glass"}
    assert reason in found.dropped["glass"].lower()
    assert f"it publishes no liquidations to be asked for; glass: {found.dropped['glass']}" in found.dropped["binance"]
    assert "a-wrong-key" not in str(found.dropped)


@pytest.mark.parametrize("venue", ["okx", "htx", "krakenfutures", "coinglass"])
@pytest.mark.parametrize(
    ("fault", "options", "reason"),
    [
        ("hang", {}, "late|timeout"), ("reset", {}, "unreachable"), ("truncated", {}, "unreachable|bad_payload"),
        ("status", {"code": 500}, "http_error|venue_error|maintenance|bad_payload|timeout"),
        ("status", {"code": 200, "body": {"unexpected": 1}}, "bad_payload|venue_error"),
        ("status", {"code": 200, "body": []}, "bad_payload|venue_error"),
    ],
)  # fmt: skip
async def test_who_hangs_lies_or_vanishes_is_dropped_by_name(
    lab: Lab, venue: str, fault: str, options: dict[str, Any], reason: str
) -> None:
    paths = {"okx": "/api/v5/public/liquidation", "htx": "/v5/market/liquidation",
        "krakenfutures": "/derivatives/api/v3/history", "coinglass": "/api/futures/liquidation/order"}  # fmt: skip
    name = {"krakenfutures": "kraken", "coinglass": "glass"}.get(venue, venue)
    lab.truth = dataclasses.replace(WORLD, forced=everywhere("long"))
    async with ExchangeManager(cache=False, deadline=3) as xm:
        for one in ("okx", "htx", "kraken"):
            xm.add_exchange(configured(lab, one))
        xm.add_exchange(glass(lab))
        await xm.connect_all()
        lab.fault(venue, fault, path=paths[venue], **options)
        found = await xm.get_cross_exchange_liquidations("BTCUSDT", deadline=0.6)
    expected = {"okx", "htx", "kraken", "binance", "bybit"} - ({"binance", "bybit"} if name == "glass" else {name})
    assert {row["exchange"] for row in found} == expected
    assert list(found.dropped) == [name]
    assert re.match(reason, found.dropped[name]), found.dropped[name]
    assert name not in found.answered


@pytest.mark.parametrize("fault", ["hang", "reset"])
@pytest.mark.parametrize(("venue", "id_"), [("okx", "BTC-USDT-SWAP"), ("htx", "BTC-USDT")])
async def test_what_came_before_a_failure_stays_and_says_how_far_it_goes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, venue: str, id_: str, fault: str
) -> None:
    crowd = tuple(struck(venue, id_, 60 * SECOND * (1 + place), "500", "short") for place in range(150))
    lab.truth = dataclasses.replace(WORLD, forced=crowd)
    original, turn = PublishesLiquidations._page, itertools.count()

    async def failing_later(self: PublishesLiquidations, *given: Any) -> Any:
        if next(turn) == 1:
            lab.fault(venue, fault, path="/api/v5/public/liq" if venue == "okx" else "/v5/market/liq")
        return await original(self, *given)

    monkeypatch.setattr(PublishesLiquidations, "_page", failing_later)
    async with ExchangeManager(cache=False, deadline=3) as xm:
        xm.add_exchange(configured(lab, venue))
        await xm.connect_all()
        found = await xm.get_cross_exchange_liquidations("BTCUSDT", since=timedelta(hours=3), deadline=0.8)
    # The newest hundred of the one, the newest two hours, or what is left of three, of the other.
    most = {"okx": 100, "htx": 60}[venue]
    assert [row["timestamp"] for row in found] == [one.ms / 1e3 for one in crowd[:most]]
    assert found.coverage[venue]["from"] == (NOW - most * MINUTE) / 1e3
    assert found.coverage[venue]["complete"] is False
    assert found.dropped == {}


async def test_nobody_is_an_error_that_names_everybody(lab: Lab) -> None:
    lab.fault("okx", "status", path="/api/v5/public/liquidation", code=503)
    with pytest.raises(NoVenueAnswered) as caught:
        await told(lab, "okx", "binance")
    assert caught.value.dropped.keys() == {"okx", "binance"}
    with pytest.raises(NoVenueAnswered, match="publishes no liquidations"):
        await told(lab, "binance", "bybit")


async def test_an_empty_window_is_an_answer(lab: Lab) -> None:
    found = await told(
        lab, "okx", "htx", "kraken", "glass", "binance", forced=(struck("okx", "BTC-USDT-SWAP", 2 * HOUR, "5", "long"),)
    )
    assert found == []
    assert found.dropped == {}
    assert {window["count"] for window in found.coverage.values()} == {0}
    assert list(found.frame.columns) == list(schema.SCHEMAS["liquidations"])


# --- what is asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "since",
    [
        NOW / 1e3 - 1800, int(NOW / 1e3) - 1800, np.float64(NOW / 1e3 - 1800), timedelta(minutes=30),
        datetime.fromtimestamp(NOW / 1e3, UTC) - timedelta(minutes=30),
    ],
)  # fmt: skip
async def test_a_window_is_a_time_or_a_span(lab: Lab, since: Any) -> None:
    forced = tuple(struck("okx", "BTC-USDT-SWAP", back * MINUTE, "500", "long") for back in (1, 29, 30, 31, 90))
    found = await told(lab, "okx", forced=forced, since=since)
    assert [row["timestamp"] for row in found] == [(NOW - back * MINUTE) / 1e3 for back in (1, 29, 30)]
    assert found.coverage["okx"]["from"] == NOW / 1e3 - 1800


@pytest.mark.parametrize(
    ("since", "words"),
    [
        (NOW, "milliseconds"), (-1, "seconds since 1970"), (float("nan"), "seconds since 1970"),
        (NOW / 1e3 + 60, "yet to come"), ("yesterday", "or a timedelta is expected"),
        (True, "or a timedelta is expected"),
        (datetime(2026, 1, 1), "no time zone"), (timedelta(0), "no time gone by"),  # noqa: DTZ001  the case itself
    ],
)  # fmt: skip
async def test_a_window_that_is_none_is_refused(lab: Lab, since: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        await told(lab, "okx", since=since)
    assert not lab.seen


async def test_what_has_no_liquidations_is_said(lab: Lab) -> None:
    with pytest.raises(SymbolError, match="only contracts are liquidated; for the perpetual write BTC/USDT:USDT"):
        await told(lab, "okx", symbol="BTC/USDT")
    with pytest.raises(UnknownSymbol, match="NOSUCH"):
        await told(lab, "okx", "htx", symbol="NOSUCHUSDT")
    with pytest.raises(UnknownVenue, match="nowhere"):
        await told(lab, "okx", venues=["nowhere"])
    with pytest.raises(ConfigError, match="venues names none"):
        await told(lab, "okx", venues=[])
    with pytest.raises(NoVenueAnswered, match="publishes no liquidations of BTC/USD:BTC-261225"):
        await told(lab, "htx", symbol="BTC/USD:BTC-261225")
    async with ExchangeManager(cache=False) as xm:
        with pytest.raises(ConfigError, match="no enabled exchange"):
            await xm.get_cross_exchange_liquidations("BTCUSDT")


async def test_only_the_venues_that_are_named(lab: Lab) -> None:
    forced = everywhere("long")
    assert {row["exchange"] for row in await told(lab, *FIVE, "glass", forced=forced, venues=["okx", "binance"])} == {
        "okx", "binance",
    }  # fmt: skip
    found = await told(lab, *FIVE, "glass", forced=forced, venues="glass")
    assert {row["exchange"] for row in found} == {"binance", "bybit"}
    found = await told(lab, *FIVE, "glass", forced=forced, venues="okx")
    assert {row["exchange"] for row in found} == {"okx"}
    assert set(found.dropped) <= {"glass"}


async def test_a_venue_s_own_name_of_a_contract_is_understood(lab: Lab) -> None:
    for symbol in ("okx:BTC-USDT-SWAP", "BTC-USDT-SWAP"):
        found = await told(lab, "okx", "htx", forced=everywhere("long"), symbol=symbol)
        assert {row["exchange"] for row in found} == {"okx", "htx"}


async def test_the_features_decide_who_is_asked(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=FIVE)
    able = {name for name in FIVE if answers(xm._entries[name].connector, "liquidations")}
    assert able == {"okx", "htx", "kraken"}
    assert "liquidations" in FEATURES
    assert xm.get_best_exchange("liquidations") in able
    for name in ("okx", "htx"):
        xm.exchange_configs[name].features.append("ticker")
    assert xm.get_best_exchange("liquidations") == "kraken"
    found = await xm.get_cross_exchange_liquidations("BTCUSDT")
    assert sorted(found.asked) == ["binance", "bybit", "kraken"]
    xm.exchange_configs["kraken"].enabled = False
    assert xm.get_best_exchange("liquidations") is None
    assert isinstance(xm._entries["okx"].connector, AnswersLiquidations)
    for connector in (BinanceConnector, BybitConnector):
        assert not issubclass(connector, AnswersLiquidations)


async def test_a_recording_answers_the_same(lab: Lab, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    wall = NOW + 17_300
    forced = everywhere("long", "short")
    lab.truth = dataclasses.replace(WORLD, forced=forced)
    file = tmp_path / "run.json"
    with xex.record(file, now_ms=lambda: wall):
        first = await told(lab, "okx", "htx", "kraken")
    asked_before = len(lab.seen)
    with xex.replay(file):
        again = await told(lab, "okx", "htx", "kraken")
    assert len(lab.seen) == asked_before
    assert len(first) == 6
    assert again == first
