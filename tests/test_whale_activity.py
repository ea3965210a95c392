"""Large trades and walls across the lab's venues: planted in their tapes and books, found with how far was looked."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

import xex
from tests.conftest import ManagerFor
from tests.lab import Lab, default_truth
from tests.lab.encode_coinglass import KEY
from tests.lab.truth import Market, Print
from xex.large import whales_table
from xex.model import schema
from xex.testing import StaticConnector
from xex.whales import WhaleActivity

NOW = 1_795_000_000_000
MINUTE = 60_000


@pytest.fixture
async def lab(loaded: None, tidy: object, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:  # noqa: ARG001
    monkeypatch.setattr("xex.model.clock.now_ms", lambda: NOW)
    async with Lab(default_truth(), now_ms=lambda: NOW) as started:
        yield started


def perpetual(lab: Lab, venue: str, base: str = "BTC") -> Market:
    return lab.truth.market(venue, base, "linear", None)


def printed(market: Market, id_: int, size: str, age_ms: int, side: Any = "buy", ticks: int = 0) -> Print:
    """Return a trade at the middle of the book, or some ticks above it."""
    base = market.bids[0][0]
    return Print(str(id_), base + ticks * market.tick, Decimal(size), side, age_ms)


def plant(lab: Lab, market: Market, *trades: Print) -> None:
    """Have a market's tape hold these trades, newest first."""
    ordered = tuple(sorted(trades, key=lambda trade: (trade.age_ms, -int(trade.id))))
    lab.truth = lab.truth.replacing(dataclasses.replace(market, trades=ordered))


def told(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in found]


async def test_what_was_planted_is_found_on_every_venue(lab: Lab, manager_for: ManagerFor) -> None:
    binance, okx, htx, bybit, kraken = (
        perpetual(lab, venue) for venue in ("binance", "okx", "htx", "bybit", "krakenfutures")
    )
    # One order that took three prices, on a venue that adds up what was taken at each.
    plant(
        lab, binance, *(printed(binance, 500 + n, "4", 10 * MINUTE, "sell", n) for n in range(3)),
        printed(binance, 400, "8", 11 * MINUTE), printed(binance, 401, "8", 11 * MINUTE - 50),
    )  # fmt: skip
    # Four parts within 90 ms; two of the other side at the same time are no part of it.
    plant(
        lab, okx, *(printed(okx, 500 + n, "3", 20 * MINUTE - 30 * n) for n in range(4)),
        *(printed(okx, 600 + n, "5", 20 * MINUTE - 30 * n, "sell") for n in range(2)),
    )  # fmt: skip
    # What counts twice on the wire is 12 bitcoins all the same; 10 are no million dollars.
    plant(lab, htx, printed(htx, 700, "12", 30 * MINUTE), printed(htx, 701, "10", 31 * MINUTE))
    plant(lab, bybit, printed(bybit, 800, "11.5", 59 * MINUTE), printed(bybit, 801, "50", 61 * MINUTE))
    plant(lab, kraken, printed(kraken, 900, "10.5", 5 * MINUTE, "sell"))
    found = await manager_for(lab).get_cross_exchange_whale_activity("BTCUSDT")
    assert told(found, "exchange", "side", "quantity", "timestamp", "n_trades", "kind") == [
        ("kraken", "sell", 10.5, NOW / 1e3 - 300, 1, "trade"),
        ("binance", "sell", 12, NOW / 1e3 - 600, 3, "trade"),
        ("okx", "buy", 12, NOW / 1e3 - 1_199.91, 4, "trade"),
        ("htx", "buy", 12, NOW / 1e3 - 1_800, 1, "trade"),
        ("bybit", "buy", 11.5, NOW / 1e3 - 3_540, 1, "trade"),
    ]
    by_venue = {row["exchange"]: row for row in found}
    first = binance.bids[0][0]
    assert by_venue["binance"]["price"] == pytest.approx(float(first + binance.tick))
    assert by_venue["binance"]["notional"] == pytest.approx(float(12 * (first + binance.tick)))
    assert by_venue["okx"]["trade_id"] == "500"
    # The lab's tether is worth 0.9993 dollars: the threshold is a million dollars in the row's own currency.
    assert by_venue["okx"]["usd_rate"] == pytest.approx(0.9993, rel=1e-3)
    assert by_venue["okx"]["threshold"] == pytest.approx(1e6 / by_venue["okx"]["usd_rate"])
    assert by_venue["kraken"]["currency"] == "USD"
    assert (by_venue["kraken"]["threshold"], by_venue["kraken"]["usd_source"]) == (1e6, "identity")
    assert {row["threshold_by"] for row in found} == {"floor: fewer than 10,000 orders before it"}
    assert found.asked == found.answered == ["binance", "okx", "kraken", "bybit", "htx"]
    assert found.dropped == {}
    assert list(found.frame.columns) == list(schema.SCHEMAS["whales"])
    assert len(found.frame) == 5
    # The venues' tapes are short, and only bybit's goes back to before the window.
    assert found.coverage["bybit"]["complete"]
    assert found.coverage["bybit"]["start"] == NOW / 1e3 - 3_600
    assert found.coverage["htx"] == {
        "start": NOW / 1e3 - 31 * 60, "end": NOW / 1e3, "complete": False, "trades": 2, "walls": "book",
        "why": "the venue sends its latest trades only",
    }  # fmt: skip


def long_tape(market: Market, count: int, step_ms: int, whales: tuple[int, ...]) -> list[Print]:
    """Return trades of a thousandth, one each step, with one of twenty bitcoins at some places from the newest."""
    return [
        printed(market, 1_000_000 - place, "20" if place in whales else "0.01", place * step_ms)
        for place in range(count)
    ]


@pytest.mark.parametrize(
    ("venue", "exchange", "count", "step_ms", "deep", "requests"),
    [
        # 3,001 trades reach back 60 min: four pages of a thousand overlap by one each.
        ("binance", "binance", 3_200, 1_200, 2_950, 4), ("okx", "okx", 900, 4_500, 780, 5),
        ("krakenfutures", "kraken", 380, 10_000, 350, 4),
    ],
)  # fmt: skip
async def test_older_pages_are_asked_for_and_join(
    lab: Lab, manager_for: ManagerFor, venue: str, exchange: str, count: int, step_ms: int, deep: int, requests: int
) -> None:
    market = perpetual(lab, venue)
    plant(lab, market, *long_tape(market, count, step_ms, (3, deep)))
    xm = manager_for(lab, venues=(exchange,))
    found = await xm.get_cross_exchange_whale_activity("BTC/USDT:USDT")
    assert [round(NOW / 1e3 - row["timestamp"], 3) for row in found] == [3 * step_ms / 1e3, deep * step_ms / 1e3]
    assert [row["quantity"] for row in found] == [20, 20]
    assert found.coverage[exchange]["complete"]
    asked = [seen.path_qs for seen in lab.seen if "rades" in seen.path_qs or "/history?" in seen.path_qs]
    assert len(asked) == requests
    shallow = await xm.get_cross_exchange_whale_activity("BTC/USDT:USDT", pages=1)
    assert [row["quantity"] for row in shallow] == [20]
    assert not shallow.coverage[exchange]["complete"]
    assert "no more pages were to be asked for than 1" in shallow.coverage[exchange]["why"]
    assert shallow.coverage[exchange]["start"] > found.coverage[exchange]["start"]


async def test_the_quantile_counts_once_the_tape_is_long_enough(lab: Lab, manager_for: ManagerFor) -> None:
    market = perpetual(lab, "binance")
    # 12,000 trades of the same size, and one that is as large as a million dollars before there were 10,000 others.
    plant(lab, market, *long_tape(market, 12_000, 250, (100, 11_000)))
    xm = manager_for(lab, venues=("binance",), deadline=10)
    found = await xm.get_cross_exchange_whale_activity("BTCUSDT", pages=20)
    assert [(row["prior_trades"], row["threshold_by"]) for row in found] == [
        (11_899, "floor"), (999, "floor: fewer than 10,000 orders before it"),
    ]  # fmt: skip


async def test_a_page_that_fails_leaves_the_ones_before_it(lab: Lab, manager_for: ManagerFor) -> None:
    market = perpetual(lab, "okx")
    plant(lab, market, *long_tape(market, 800, 4_500, (3, 780)))
    lab.fault("okx", "status", code=404, path="/api/v5/market/history-trades")
    found = await manager_for(lab, venues=("okx",)).get_cross_exchange_whale_activity("BTCUSDT")
    assert [row["quantity"] for row in found] == [20]
    assert found.coverage["okx"]["start"] == NOW / 1e3 - 499 * 4.5
    assert "404" in found.coverage["okx"]["why"]
    assert found.dropped == {}


class Paged(StaticConnector):
    """Sends the trades of its pages, (id, minutes ago), one bitcoin for 100,000 dollars each."""

    def __init__(self, *pages: list[tuple[str, float]]) -> None:
        super().__init__({"BTC/USD": {"bid": 99_999.0, "ask": 100_001.0}})
        self.pages = list(pages)

    async def trades(self, instruments: Any) -> dict[str, Any]:
        rows = self.pages.pop(0)
        same = {"instrument": instruments[0].symbol, "base": "BTC", "quote": "USD", "kind": "spot", "side": "buy"}
        return {
            **{name: [text] * len(rows) for name, text in same.items()}, "trade_id": [id_ for id_, _ in rows],
            "exchange_time": [NOW - MINUTE * minutes for _, minutes in rows], "price": [1e5] * len(rows),
            "size": [1.0] * len(rows), "notional": [1e5] * len(rows),
        }  # fmt: skip

    async def older_trades(self, instrument: Any, page: Any, since_ms: float) -> dict[str, Any]:
        assert (page["exchange_time"].min(), since_ms) == (NOW - MINUTE * 10, NOW - MINUTE * 60)
        return await self.trades([instrument])


@pytest.mark.parametrize(
    ("older", "minutes", "why"),
    [
        ([("a", 70.0), ("b", 30.0), ("c", 10.0)], [5, 10, 30], ""),
        ([("a", 70.0), ("b", 30.0)], [5, 10], "the page before does not join"),
        ([("c", 10.0), ("d", 5.0)], [5, 10], "the venue sends no older trades"),
    ],
)
async def test_a_page_counts_where_it_joins_the_next(
    monkeypatch: pytest.MonkeyPatch, older: list[tuple[str, float]], minutes: list[int], why: str
) -> None:
    monkeypatch.setattr("xex.model.clock.now_ms", lambda: NOW)
    xm = xex.ExchangeManager(cache=False, deadline=2)
    xm.add_exchange(xex.ExchangeConfig("mine", "mine"), Paged([("c", 10.0), ("d", 5.0)], older))
    async with xm:
        found = await xm.get_cross_exchange_whale_activity("BTC/USD", floor=50_000)
    assert [round((NOW / 1e3 - row["timestamp"]) / 60) for row in found] == minutes
    assert (found.coverage["mine"]["why"], found.coverage["mine"]["complete"]) == (why, not why)


async def test_an_old_book_has_no_walls(lab: Lab, manager_for: ManagerFor) -> None:
    market = perpetual(lab, "okx")
    bids = (*market.bids[:4], (market.bids[4][0], Decimal(400)), *market.bids[5:])
    lab.truth = lab.truth.replacing(dataclasses.replace(market, bids=bids, quote_age_ms=600_000))
    found = await manager_for(lab, venues=("okx",)).get_cross_exchange_whale_activity("BTCUSDT")
    assert found == []
    assert found.dropped["okx"].startswith("stale: order book")
    assert found.coverage["okx"]["walls"].startswith("stale")


async def test_who_hangs_is_dropped_by_name(lab: Lab, manager_for: ManagerFor) -> None:
    market = perpetual(lab, "bybit")
    plant(lab, market, printed(market, 1, "30", MINUTE))
    lab.fault("okx", "hang")
    lab.fault("htx", "status", code=503)
    xm = manager_for(lab, venues=("okx", "bybit", "htx"))
    found = await xm.get_cross_exchange_whale_activity("BTCUSDT", deadline=1)
    assert told(found, "exchange", "quantity") == [("bybit", 30)]
    assert found.answered == ["bybit"]
    assert set(found.dropped) == {"okx", "htx"}
    assert found.dropped["okx"].startswith("late")
    assert "503" in found.dropped["htx"]


async def test_a_book_that_fails_costs_the_walls_alone(lab: Lab, manager_for: ManagerFor) -> None:
    market = perpetual(lab, "bybit")
    plant(lab, market, printed(market, 1, "30", MINUTE))
    lab.fault("bybit", "status", code=404, path="/v5/market/orderbook")
    found = await manager_for(lab, venues=("bybit",)).get_cross_exchange_whale_activity("BTCUSDT")
    assert told(found, "exchange", "quantity") == [("bybit", 30)]
    assert found.answered == ["bybit"]
    assert "order book" in found.dropped["bybit"]
    assert "404" in found.coverage["bybit"]["walls"]


async def test_a_venue_in_other_units_has_no_whales(lab: Lab, manager_for: ManagerFor) -> None:
    lab.truth = lab.truth.with_scale("bybit", "BTC", 1000, kind="linear")
    market = perpetual(lab, "bybit")
    plant(lab, market, printed(market, 1, "0.5", MINUTE))  # 48 million, if its prices were true
    found = await manager_for(lab).get_cross_exchange_whale_activity("BTCUSDT")
    assert found == []
    assert found.dropped["bybit"].startswith("unit_error")
    assert "bybit" not in found.answered


async def test_what_is_dated_tomorrow_has_not_happened(lab: Lab, manager_for: ManagerFor) -> None:
    market = perpetual(lab, "okx")
    plant(lab, market, printed(market, 2, "30", -MINUTE), printed(market, 1, "20", MINUTE))
    found = await manager_for(lab, venues=("okx",)).get_cross_exchange_whale_activity("BTCUSDT")
    assert told(found, "quantity") == [(20,)]


async def test_walls_of_the_venues_own_books(lab: Lab, manager_for: ManagerFor) -> None:
    market = perpetual(lab, "okx")
    bids = [*market.bids]
    bids[4] = (bids[4][0], Decimal(400))
    lab.truth = lab.truth.replacing(dataclasses.replace(market, bids=tuple(bids)))
    found = await manager_for(lab, venues=("okx",)).get_cross_exchange_whale_activity("BTCUSDT")
    (row,) = [row for row in found if row["kind"] == "wall"]
    middle = float(market.bids[0][0] + market.asks[0][0]) / 2
    assert (row["side"], row["quantity"], row["price"]) == ("buy", 400, float(bids[4][0]))
    assert row["distance_bps"] == pytest.approx(1e4 * (1 - float(bids[4][0]) / middle))
    assert row["trade_id"] is None
    assert row["notional"] == pytest.approx(400 * float(bids[4][0]))


async def test_a_substitute_and_spot_are_markets_of_their_own(lab: Lab, manager_for: ManagerFor) -> None:
    found = await manager_for(lab).get_cross_exchange_whale_activity("ETH/USDT", floor=1)
    assert {row["symbol"] for row in found} == {"ETH/USDT"}
    assert {row["exchange"] for row in found if row["kind"] == "trade"} == {"binance", "okx", "htx", "bybit", "kraken"}


async def test_since_and_floor(lab: Lab, manager_for: ManagerFor) -> None:
    market = perpetual(lab, "okx")
    plant(lab, market, printed(market, 3, "1", MINUTE), printed(market, 2, "1", 90 * MINUTE))
    xm = manager_for(lab, venues=("okx",))
    hour = await xm.get_cross_exchange_whale_activity("BTCUSDT", floor=90_000)
    two = await xm.get_cross_exchange_whale_activity("BTCUSDT", NOW / 1e3 - 7_200, floor=90_000)
    assert [len([row for row in found if row["kind"] == "trade"]) for found in (hour, two)] == [1, 2]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"since": NOW}, "since"), ({"since": NOW / 1e3 + 60}, "since"), ({"since": "yesterday"}, "since"),
        ({"floor": 0}, "floor"), ({"pages": 0}, "pages"), ({"pages": 1.5}, "pages"), ({"venues": ["nobody"]}, "nobody"),
    ],
)  # fmt: skip
async def test_what_cannot_be_meant_is_named(
    lab: Lab, manager_for: ManagerFor, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(xex.XexError, match=word):
        await manager_for(lab, venues=("okx",)).get_cross_exchange_whale_activity("BTCUSDT", **options)


async def test_when_nobody_answers_everybody_is_named(lab: Lab, manager_for: ManagerFor) -> None:
    for venue in ("okx", "bybit"):
        lab.fault(venue, "status", code=503)
    xm = manager_for(lab, venues=("okx", "bybit"))
    with pytest.raises(xex.NoVenueAnswered) as caught:
        await xm.get_cross_exchange_whale_activity("BTCUSDT")
    assert set(caught.value.dropped) == {"okx", "bybit"}
    lab.heal()
    with pytest.raises(xex.UnknownSymbol, match="BTCC"):
        await xm.get_cross_exchange_whale_activity("BTCC/USDT")


async def test_the_seed_s_loop(lab: Lab, manager_for: ManagerFor, capsys: pytest.CaptureFixture[str]) -> None:
    market = perpetual(lab, "okx")
    plant(lab, market, *(printed(market, n, "20", n * MINUTE) for n in range(1, 9)))
    manager = manager_for(lab, venues=("okx",))
    whales = await manager.get_cross_exchange_whale_activity("BTCUSDT")
    for whale in whales[:5]:
        print(f"{whale['exchange']}: {whale['side']} {whale['quantity']:.4f} @ ${whale['price']:,.2f}")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"okx: buy 20.0000 @ ${market.bids[0][0]:,.2f}"] * 5


# --- who can ---------------------------------------------------------------------------------------------------------


async def test_who_can_answer_is_known(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("okx", "bybit"), okx={"priority": 2}, bybit={"features": ["ticker"]})
    assert xm.get_best_exchange("whale_activity") == "okx"
    xm.exchange_configs["bybit"].features.append("whale_activity")
    assert xm.get_best_exchange("whale_activity") == "bybit"
    xm.exchange_configs["okx"].enabled = False
    assert (await xm.get_cross_exchange_whale_activity("BTCUSDT")).asked == ["bybit"]
    single = xex.ExchangeManager(cache=False)
    single.add_exchange(xex.ExchangeConfig("mine", "mine"), StaticConnector({"BTC/USDT": {"bid": 1.0, "ask": 2.0}}))
    assert single.get_best_exchange("whale_activity") is None
    with pytest.raises(xex.ConfigError, match="whale_activity"):
        await single.get_cross_exchange_whale_activity("BTC/USDT")


def large(venue: str, usd: float, side: int, state: int = 1) -> dict[str, Any]:
    """Return a large order as the source tells it."""
    return {
        "id": int(usd), "exchange_name": venue, "symbol": "BTCUSDT", "base_asset": "BTC", "quote_asset": "USDT",
        "limit_price": 90_000, "start_time": NOW - MINUTE, "start_quantity": usd / 45_000, "start_usd_value": 2 * usd,
        "current_quantity": usd / 90_000, "current_usd_value": usd, "current_time": NOW - 5_000, "executed_volume": 0,
        "executed_usd_value": 0, "trade_count": 0, "order_side": side, "order_state": state,
    }  # fmt: skip


@pytest.fixture
def large_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.lab import encode_coinglass as glass

    def orders(found: Any, query: Any) -> Any:
        del found
        mine = {"Binance": [(3e6, 2, 1), (2e6, 1, 1), (9e5, 1, 1), (5e6, 1, 2)], "Bybit": [(4e6, 1, 1)]}
        return [large(query["exchange"], *row) for row in mine[query["exchange"]]]

    monkeypatch.setattr(glass, "_large", orders)


async def test_another_source_s_walls_stand_for_venues_that_are_not_asked(
    lab: Lab, manager_for: ManagerFor, large_orders: None
) -> None:
    del large_orders
    xm = manager_for(lab, venues=("bybit",))
    config = xex.ExchangeConfig(
        "glass", xex.ExchangeType.COINGLASS, api_key=KEY, base_url=lab.url("coinglass")
    )  # fmt: skip
    assert xm.add_exchange(config)
    found = await xm.get_cross_exchange_whale_activity("BTCUSDT")
    # Bybit's own book is here, so its wall of four millions does not stand beside it; finished orders are none, and
    # 900,000 dollars are no wall.
    assert told(found, "exchange", "venue", "source", "side", "notional", "quantity", "price", "kind") == [
        ("glass", "binance", "coinglass", "buy", 3e6, 3e6 / 90_000, 90_000, "wall"),
        ("glass", "binance", "coinglass", "sell", 2e6, 2e6 / 90_000, 90_000, "wall"),
    ]
    assert found.answered == ["bybit", "glass"]
    assert found.coverage["glass"]["walls"] == "large orders"
    assert found[0]["threshold"] == 1e6
    lab.fault("bybit", "status", code=404, path="/v5/market/orderbook")
    without = await xm.get_cross_exchange_whale_activity("BTCUSDT")
    assert told(without, "venue", "notional") == [("binance", 3e6), ("binance", 2e6), ("bybit", 4e6)]


async def test_a_source_alone_answers_and_one_without_a_plan_is_named(
    lab: Lab, manager_for: ManagerFor, large_orders: None
) -> None:
    del large_orders
    xm = manager_for(lab, venues=())
    assert xm.add_exchange(
        xex.ExchangeConfig("glass", xex.ExchangeType.COINGLASS, api_key=KEY, base_url=lab.url("coinglass"))
    )
    assert xm.get_best_exchange("whale_activity") == "glass"
    assert len(await xm.get_cross_exchange_whale_activity("BTCUSDT")) == 3
    with pytest.raises(xex.XexError, match="glass"):
        await xm.get_cross_exchange_whale_activity("BTC/USDT")


# --- as a table ------------------------------------------------------------------------------------------------------


def shown(found: WhaleActivity, width: int, most: int = 20) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(whales_table(found, "BTCUSDT", most))
    return out.getvalue()


async def test_the_table_says_what_was_looked_at(lab: Lab, manager_for: ManagerFor) -> None:
    okx, kraken = perpetual(lab, "okx"), perpetual(lab, "krakenfutures")
    plant(lab, okx, *(printed(okx, n, "20", n * MINUTE) for n in range(1, 4)))
    plant(lab, kraken, printed(kraken, 1, "20", MINUTE), printed(kraken, 2, "1", 70 * MINUTE))
    lab.fault("htx", "status", code=503)
    found = await manager_for(lab, venues=("okx", "kraken", "htx")).get_cross_exchange_whale_activity("BTCUSDT")
    text = shown(found, 120, 2)
    assert "BTCUSDT: 2 of 4 large trades" in text
    assert "BTCUSDT: 0 walls in the books" in text
    assert "1 USDT = 0.999" in text
    assert "kraken: 1 trade of the last 60 min\n" in text
    assert "okx: 3 trades of the last 3 min alone, the venue sends no older trades\n" in text
    assert "htx is left out" in text
    for width in (60, 80, 200):
        assert all(len(line) <= width for line in shown(found, width).splitlines())
