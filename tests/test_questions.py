"""One exchange's answer with the next one in reserve, and frames of every exchange's rows."""

from __future__ import annotations

import asyncio
from typing import Any

import pandas as pd
import pytest

import xex
from tests.conftest import ManagerFor
from tests.expected import EXCHANGES
from tests.lab import Lab
from xex.access import budgets
from xex.model import schema
from xex.testing import StaticConnector

QUOTE = {"bid": 99.0, "ask": 101.0}


class Slow(StaticConnector):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__({"BTC/USDT": QUOTE})
        self.asked, self.go, self.cancelled = asyncio.Event(), asyncio.Event(), False

    async def get_ticker(self, symbol: str) -> Any:
        self.asked.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return await super().get_ticker(symbol)


def manager_of(**connectors: xex.ExchangeConnector) -> xex.ExchangeManager:
    manager = xex.ExchangeManager(cache=False, deadline=2)
    for priority, (name, connector) in enumerate(connectors.items(), start=1):
        manager.add_exchange(xex.ExchangeConfig(name, name, priority=priority), connector)
    return manager


async def test_the_first_by_priority_answers_and_nobody_else_is_asked() -> None:
    first, second = StaticConnector({"BTC/USDT": QUOTE}), Slow()
    async with manager_of(a=first, b=second) as xm:
        frame = await xm.first("ticker", "BTC/USDT")
    assert frame["exchange"].tolist() == ["a"]
    assert frame["bid"].tolist() == [99.0]
    assert frame.attrs == {"asked": ["a", "b"], "answered": ["a"], "dropped": {}}
    assert not second.asked.is_set()


async def test_one_that_fails_is_named_and_the_next_one_answers() -> None:
    broken = StaticConnector({"BTC/USDT": RuntimeError("no")})
    unlisted = StaticConnector({})
    async with manager_of(a=broken, b=unlisted, c=StaticConnector({"BTC/USDT": QUOTE})) as xm:
        frame = await xm.first("ticker", "BTC/USDT")
    assert frame.attrs["answered"] == ["c"]
    assert list(frame.attrs["dropped"]) == ["a", "b"]
    assert "not_listed" in frame.attrs["dropped"]["b"]


async def test_a_slow_one_is_not_waited_for_alone_and_is_cancelled_when_another_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xex.manager.HEDGE_S", 0.05)
    slow = Slow()
    async with manager_of(a=slow, b=StaticConnector({"BTC/USDT": QUOTE})) as xm:
        frame = await xm.first("ticker", "BTC/USDT")
        assert frame.attrs["answered"] == ["b"]
        await asyncio.sleep(0)
    assert slow.cancelled


async def test_a_slow_one_that_answers_after_all_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xex.manager.HEDGE_S", 0.05)
    slow, never = Slow(), Slow()
    async with manager_of(a=slow, b=never) as xm:
        question = asyncio.create_task(xm.first("ticker", "BTC/USDT"))
        await never.asked.wait()
        slow.go.set()
        frame = await question
    assert frame.attrs["answered"] == ["a"]


async def test_when_nobody_answers_everybody_is_named() -> None:
    async with manager_of(a=StaticConnector({"BTC/USDT": RuntimeError("no")}), b=Slow()) as xm:
        with pytest.raises(xex.NoVenueAnswered, match=r"a: (.|\n)*b: late") as caught:
            await xm.first("ticker", "BTC/USDT", deadline=0.05)
    assert set(caught.value.dropped) == {"a", "b"}


async def test_of_equals_the_one_with_less_under_way_is_asked() -> None:
    async with manager_of(a=StaticConnector({"BTC/USDT": QUOTE}), b=StaticConnector({"BTC/USDT": QUOTE})) as xm:
        xm.exchange_configs["b"].priority = 1
        await xm.get_cross_exchange_ticker("BTC/USDT")
        xm.exchange_info["a"].in_flight = 3
        assert (await xm.first("ticker", "BTC/USDT")).attrs["answered"] == ["b"]
        xm.exchange_info["b"].in_flight = 4
        assert (await xm.first("ticker", "BTC/USDT")).attrs["answered"] == ["a"]


async def test_one_that_failed_is_asked_after_one_that_is_up() -> None:
    async with manager_of(a=StaticConnector({"BTC/USDT": RuntimeError("no")}), b=Slow()) as xm:
        xm._entries["b"].connector.go.set()  # type: ignore[attr-defined]
        assert list((await xm.first("ticker", "BTC/USDT")).attrs["dropped"]) == ["a"]
        assert xm.get_best_exchange() == "b"
        frame = await xm.first("ticker", "BTC/USDT")
    assert frame.attrs["dropped"] == {}


@pytest.mark.parametrize(("question", "kind"), [("ticker", "tickers"), ("order_book", "books"), ("trades", "trades")])
async def test_every_question_of_one_exchange(lab: Lab, manager_for: ManagerFor, question: str, kind: str) -> None:
    xm = manager_for(lab, kraken={"priority": 2}, binance={"priority": 3}, okx={"priority": 3}, htx={"priority": 3})
    frame = await xm.first(question, "BTC/USDT")
    assert set(frame["exchange"]) == {"bybit"}
    assert list(frame.columns) == list(schema.SCHEMAS[kind])
    lab.fault("bybit", "status", code=404)
    frame = await xm.first(question, "BTC/USDT")
    assert set(frame["exchange"]) == {"kraken"}
    assert frame.attrs["dropped"]["bybit"].startswith("http_error")


@pytest.mark.parametrize("question", ["tickers", "funding_rates", "ohlcv"])
async def test_a_question_that_is_none_or_is_not_answered_yet_is_named(question: str) -> None:
    async with manager_of(a=StaticConnector({"BTC/USDT": QUOTE})) as xm:
        with pytest.raises(xex.XexError, match=f"{question}.*order_book"):
            await xm.first(question, "BTC/USDT")


@pytest.mark.parametrize(
    ("question", "path"), [("ticker", "/v5/market/tickers"), ("order_book", "/v5/market/orderbook")]
)
@pytest.mark.parametrize(
    ("fault", "arguments", "reason"), [("crossed", {"ticks": 3}, "crossed"), ("stale", {"seconds": 60}, "stale")]
)
async def test_a_quote_that_nobody_should_act_on_is_not_the_answer(
    lab: Lab, manager_for: ManagerFor, question: str, path: str, fault: str, arguments: Any, reason: str
) -> None:
    xm = manager_for(lab, venues=("bybit", "okx"), okx={"priority": 2})
    lab.fault("bybit", fault, path=path, **arguments)
    frame = await xm.first(question, "BTCUSDT")
    if (question, fault) == ("ticker", "stale"):
        assert set(frame["exchange"]) == {"bybit"}  # its tickers carry no time: nothing says that they are old
        return
    assert set(frame["exchange"]) == {"okx"}
    assert frame.attrs["dropped"]["bybit"].startswith(reason)


async def test_one_that_hangs_is_not_waited_for_when_the_others_have_grown_old(
    lab: Lab, manager_for: ManagerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xex.manager.STRAGGLER_S", 0.05)
    xm = manager_for(lab, deadline=60)
    await xm.connect_all()
    lab.fault("htx", "hang")
    frame = await asyncio.wait_for(xm.trades("BTCUSDT"), 5)
    assert frame.attrs["dropped"].keys() == {"htx"}
    assert frame.attrs["dropped"]["htx"].startswith("late")


# --- frames of every exchange --------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["books", "trades"])
async def test_a_venue_that_fails_costs_its_rows_and_is_named(lab: Lab, manager_for: ManagerFor, question: str) -> None:
    xm = manager_for(lab)
    lab.fault("htx", "html")
    frame = await getattr(xm, question)("BTCUSDT")
    assert frame.attrs["asked"] == frame.attrs["answered"] + ["htx"]
    assert frame.attrs["dropped"]["htx"].startswith("bad_payload")
    assert set(frame["exchange"]) == set(EXCHANGES) - {"htx"}
    kraken = frame[frame["exchange"] == "kraken"]
    assert set(kraken["flags"]) == {"substitute"}
    assert set(kraken["currency"]) == {"USD"}


async def test_a_trade_is_as_old_as_its_own_time_says(lab: Lab, manager_for: ManagerFor) -> None:
    tape = await manager_for(lab).trades("BTC/USDT")
    oldest = max(print_.age_ms for print_ in lab.truth.market("okx", "BTC", "spot", "USDT").trades)
    mine = tape[tape["exchange"] == "okx"]
    # The lab dates a trade when it answers; the way from there takes some milliseconds.
    assert mine["age_ms"].max() == pytest.approx(oldest, abs=2_000)
    assert (tape["time_source"] == "trade").all()


@pytest.mark.parametrize(("typed", "said"), [("BTCUSDTT", "BTCUSDT was meant"), ("A" * 5_000, "at most 64 characters")])
async def test_a_slip_of_the_finger_is_answered_in_a_line(
    lab: Lab, manager_for: ManagerFor, typed: str, said: str
) -> None:
    with pytest.raises(xex.SymbolError, match=said) as caught:
        await manager_for(lab).get_cross_exchange_ticker(typed)
    assert len(str(caught.value)) < 200


async def test_a_misspelt_symbol_proposes_what_is_listed(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    for question in (xm.books, xm.trades):
        with pytest.raises(xex.UnknownSymbol, match="BTC/USDT"):
            await question("BTTC/USDT")


async def test_instruments_of_every_exchange_in_one_frame(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    frame = await xm.instruments()
    assert list(frame.columns) == list(schema.SCHEMAS["instruments"])
    assert len(frame) == len(lab.truth.markets)
    assert frame.attrs["dropped"] == {}
    okx = frame[(frame["exchange"] == "okx") & (frame["instrument"] == "BTC/USDT:USDT")].iloc[0]
    # 0.01 contracts of 0.01 BTC.
    assert (okx["id"], okx["contract_size"], okx["lot"]) == ("BTC-USDT-SWAP", 0.01, pytest.approx(0.0001))
    spot = await xm.instruments(market="spot", venues=["kraken"])
    assert set(spot["kind"]) == {"spot"}
    lab.fault("okx", "reset")
    again = manager_for(lab)
    frame = await again.instruments()
    assert "okx" not in set(frame["exchange"])
    assert "okx" in frame.attrs["dropped"]


async def test_what_a_backup_answers_counts_once(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab, venues=("okx",))
    xm.add_exchange(xex.ExchangeConfig("backup", "okx", base_url=lab.url("okx"), priority=2))
    whole = await xm.trades("BTCUSDT")
    assert whole.attrs["asked"] == ["okx"]
    lab.fault("okx", "status", code=404, times=1, path="/api/v5/market/trades")
    frame = await xm.trades("BTCUSDT")
    assert set(frame["exchange"]) == {"backup"}
    assert list(frame.attrs["dropped"]) == ["okx"]
    pd.testing.assert_series_equal(frame["trade_id"], whole["trade_id"])


# --- what a connector of one's own may get wrong -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticker", "said"),
    [
        ({"bid": "abc", "ask": 101}, "bid is 'abc', a number is expected"),
        ({"bidd": 99, "ask": 101}, "neither last, nor bid and ask, but: bidd, ask"),
        ({"bid": 99, "ask": 101, "base_volume": -4}, "base_volume is -4"),
        ({"bid": 99, "ask": 101, "taker_bps": -3000}, "taker_bps is -3000"),
        ({"price": 99}, "neither last"),
    ],
)
async def test_a_ticker_that_cannot_be_is_named_by_its_key(ticker: Any, said: str) -> None:
    async with manager_of(a=StaticConnector({"BTC/USDT": ticker})) as xm:
        with pytest.raises(xex.NoVenueAnswered, match=said):
            await xm.get_cross_exchange_ticker("BTC/USDT")


class Plain(StaticConnector):
    def get_ticker(self, symbol: str) -> Any:
        return self.tickers_by_symbol[symbol]


class PlainToo(StaticConnector):
    def connect(self) -> Any:
        return True


@pytest.mark.parametrize(("kind", "said"), [(Plain, "async def get_ticker"), (PlainToo, "async def connect")])
async def test_a_method_that_is_no_coroutine_is_named(kind: Any, said: str) -> None:
    async with manager_of(a=kind({"BTC/USDT": QUOTE})) as xm:
        with pytest.raises(xex.NoVenueAnswered, match=said):
            await xm.get_cross_exchange_ticker("BTC/USDT")


@pytest.mark.parametrize("price", [0.0, -1.0])
async def test_a_price_that_nobody_trades_at_costs_its_own_venue(price: float) -> None:
    odd = {"bid": price, "ask": price, "bid_size": 1.0, "ask_size": 1.0, "taker_bps": 1}
    good = {**QUOTE, "bid_size": 1.0, "ask_size": 1.0, "taker_bps": 1}
    async with manager_of(a=StaticConnector({"BTC/USDT": odd}), b=StaticConnector({"BTC/USDT": good})) as xm:
        snap = await xm.get_cross_exchange_ticker("BTC/USDT")
    assert snap.aggregated_price == 100
    assert snap.dropped == {"a": "no_quote"}
    assert snap.arbitrage_opportunities == []


async def test_a_spent_budget_is_named_and_ages_nobody_else_s_quotes(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.connect_all()
    for ledger in [ledger for key, ledger in budgets.PROCESS._ledgers.items() if "api.kraken.com" in key[0]]:
        ledger._out = ledger.weight  # taken, and not back for long
    snap = await xm.get_cross_exchange_ticker("BTC/USDT")
    assert snap.dropped["kraken"] == "rate_limited"
    assert "budget" in snap.dropped["kraken"].detail
    assert snap.frame["age_ms"].max() < 4_000


# --- frames that cannot be -----------------------------------------------------------------------------------------


def a_book(**columns: Any) -> pd.DataFrame:
    rows = {"exchange": ["a", "b"], "base": "BTC", "kind": "spot", "quote": "USDT", "side": ["ask", "bid"],
            "price": [100.0, 103.0], "size": [1.0, 2.0]}  # fmt: skip
    return pd.DataFrame({**rows, **columns})


def test_rows_that_are_no_levels_are_left_out_and_text_is_refused() -> None:
    for odd in ({"size": [-1.0, 2.0]}, {"price": [float("nan"), 103.0]}, {"size": [float("inf"), 2.0]}):
        found = xex.arbitrage.depth(a_book(**odd), taker_bps=0).iloc[0]
        assert (found["gate"], found["quantity"]) == ("depth", 0)
    with pytest.raises(xex.SchemaError, match="price"):
        xex.arbitrage.depth(a_book(price=["x", "y"]), taker_bps=0)
    with pytest.raises(xex.SchemaError, match="basis points"):
        xex.arbitrage.depth(a_book(), taker_bps=-3000)


def test_fees_come_from_the_rules_and_are_exact() -> None:
    rules = pd.DataFrame({"exchange": ["a", "b"], "group": "BTC:spot", "lot": 0.1, "taker_bps": [10.0, 20.0]})
    found = xex.arbitrage.depth(a_book(), rules=rules).iloc[0]
    assert found["fees"] == pytest.approx(100 * 0.001 + 103 * 0.002, rel=1e-15)
    assert xex.arbitrage.depth(a_book(), taker_bps=0).iloc[0]["fees"] == 0
