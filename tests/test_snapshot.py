"""Against the lab every number of a snapshot is the oracle's, although OKX sends contracts and Kraken dollars."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import xex
from tests import oracle
from tests.expected import (
    EXCHANGES,
    assert_close,
    assert_listings,
    assert_market,
    assert_snapshot,
    row_of,
    usd_per_usdt,
    weight_ages,
)
from tests.lab import Lab, Truth, default_truth
from xex_connectors import BinanceConnector, BybitConnector, HtxConnector, KrakenConnector, OkxConnector

CONNECTORS: dict[str, Any] = {
    "binance": BinanceConnector, "bybit": BybitConnector, "htx": HtxConnector, "kraken": KrakenConnector,
    "okx": OkxConnector,
}  # fmt: skip


@asynccontextmanager
async def venues(truth: Truth) -> AsyncIterator[tuple[Lab, xex.ExchangeManager]]:
    async with Lab(truth) as lab, xex.ExchangeManager(cache=False) as xm:
        for name, connector in CONNECTORS.items():
            config = xex.ExchangeConfig(name, name, base_url=lab.url(name))
            assert xm.add_exchange(config, connector(config))
        yield lab, xm


async def ask(truth: Truth, symbol: str = "BTCUSDT", **options: Any) -> xex.CrossExchangeData:
    async with venues(truth) as (_, xm):
        return await xm.get_cross_exchange_ticker(symbol, **options)


def rows(snap: xex.CrossExchangeData) -> dict[str, dict[str, Any]]:
    return {str(row["exchange"]): {str(k): v for k, v in row.items()} for row in snap.frame.to_dict("records")}


async def test_every_number_is_the_oracles() -> None:
    truth = default_truth()
    snap = await ask(truth)
    assert snap.answered == list(EXCHANGES)
    assert snap.dropped == {}
    assert_snapshot(snap, truth)


@pytest.mark.parametrize("base", ["ETH", "SOL", "XRP", "DOGE", "LTC", "ADA"])
async def test_every_number_of_other_assets_too(base: str) -> None:
    truth = default_truth()
    assert_snapshot(await ask(truth, f"{base}USDT"), truth, base)


@pytest.mark.parametrize(
    ("buy", "sell"), [("okx", "binance"), ("binance", "okx"), ("krakenfutures", "binance"), ("okx", "krakenfutures")]
)
async def test_a_planted_spread_has_the_optimal_quantity_and_profit(buy: str, sell: str) -> None:
    truth = default_truth().with_cross("BTC", buy=buy, sell=sell, bps=60)
    snap = await ask(truth)
    want = assert_snapshot(snap, truth)
    key = (buy.removesuffix("futures"), sell.removesuffix("futures"))
    best = want.pairs[key]
    assert best.rejected is None
    assert best.net_profit > 0
    earning = {key: found.net_profit for key, found in want.pairs.items() if found.rejected is None}
    first = snap.arbitrage_opportunities[0]
    assert (first["exchange_low"], first["exchange_high"]) == max(earning, key=lambda key: earning[key])
    found = next(
        row for row in snap.arbitrage_opportunities if (row["exchange_low"], row["exchange_high"]) == key
    )  # fmt: skip
    assert found["trade"] == "spread"
    assert_close(found["net_profit"], best.net_profit, "net profit")
    assert_close(found["quantity"], best.quantity, "quantity")


async def test_a_premium_of_bitcoin_on_kraken_survives_the_conversion() -> None:
    calm, truth = (
        default_truth(),
        default_truth().with_premium("krakenfutures", "BTC", 30).with_premium("kraken", "BTC", 30),
    )
    snap, before = await ask(truth), await ask(calm)
    row = rows(snap)["kraken"]
    was = rows(before)["kraken"]
    assert 1e4 * (row["price"] / was["price"] - 1) == pytest.approx(30, abs=1)
    assert row["fx_rate"] == pytest.approx(was["fx_rate"], rel=1e-12)
    assert_close(row["fx_rate"], 1 / usd_per_usdt(truth, "BTC"), "rate")


async def test_one_bad_source_cannot_move_the_rate() -> None:
    truth = default_truth()
    dollar = truth.market("kraken", "USDT", "spot", "USD")
    lying = truth.replacing(dollar.scaled(dollar.tick * 0 + 1 + dollar.tick * 300))
    assert lying.market("kraken", "USDT", "spot", "USD").mid / dollar.mid > 1
    honest, moved = await ask(truth), await ask(lying)
    rate = rows(moved)["kraken"]["fx_rate"]
    assert 1e4 * abs(rate / rows(honest)["kraken"]["fx_rate"] - 1) < 2


@pytest.mark.parametrize("rate", ["0.95", "0.88", "1.02"])
async def test_a_depeg_moves_the_rate_within_one_snapshot(rate: str) -> None:
    truth = default_truth().with_depeg(rate)
    snap = await ask(truth)
    found = rows(snap)["kraken"]["fx_rate"]
    assert 1 / found == pytest.approx(float(rate), rel=5e-4)
    assert_snapshot(snap, truth)


async def test_prices_in_dollars_on_request() -> None:
    truth = default_truth()
    snap = await ask(truth, currency="USD")
    rate = usd_per_usdt(truth, "BTC")
    found = rows(snap)
    assert_close(found["okx"]["fx_rate"], rate, "rate")
    assert found["kraken"]["fx_rate"] == 1
    assert_close(found["kraken"]["bid"], truth.market("krakenfutures", "BTC", "linear").top.bid, "bid")


async def test_ages_are_those_of_the_quotes() -> None:
    truth = default_truth()
    aged = truth.changed(lambda m: m if m.venue != "okx" else _aged(m, 1500))
    async with venues(aged) as (lab, xm):
        await xm.connect_all()
        snap = await xm.get_cross_exchange_ticker("BTCUSDT")
        sent = lab.sent("okx", "BTC-USDT-SWAP", "/api/v5/market/books")
    row = rows(snap)["okx"]
    assert row["time_source"] == "quote"
    assert row["age_ms"] == pytest.approx(snap.timestamp * 1e3 - sent, abs=1)
    assert row["exchange_time"].timestamp() * 1e3 == pytest.approx(sent, abs=0.5)
    assert_snapshot(snap, aged)


def _kind(symbol: str) -> Any:
    return "spot" if "/" in symbol else "linear"


def _aged(market: Any, age_ms: int) -> Any:
    import dataclasses

    return dataclasses.replace(market, quote_age_ms=age_ms)


async def test_one_price_and_one_time_per_venue() -> None:
    """The quote and its time are the book's, and the row says from which response they came."""
    truth = default_truth()
    async with venues(truth) as (_, xm):
        snap = await xm.get_cross_exchange_ticker("BTCUSDT")
        for name in snap.answered:
            row = rows(snap)[name]
            paths = snap.raw(name)
            assert any("depth" in path or "book" in path for path in paths)
            response = next(r for r in snap.responses[name] if r.id == row["response_id"])
            assert "depth" in response.path or "book" in response.path


async def test_without_books_the_tickers_quote() -> None:
    truth = default_truth()
    snap = await ask(truth, books=False)
    assert snap.flags == ["no_books"]
    assert snap.liquidity_books == (0, 5)
    for name in EXCHANGES:
        market = truth.market(row_of(name, "linear"), "BTC", "linear")
        found = rows(snap)[name]
        assert_close(found["bid_size"], market.top.bid_size, f"{name} bid size")
        assert_close(found["bid"] / found["fx_rate"], market.top.bid, f"{name} bid")


@pytest.mark.parametrize("base", ["BTC", "ETH", "DOGE"])
async def test_every_number_of_spot_too(base: str) -> None:
    truth = default_truth()
    snap = await ask(truth, f"{base}/USDT")
    assert snap.answered == list(EXCHANGES)
    assert snap.dropped == {}
    assert set(snap.frame["kind"]) == {"spot"}
    assert set(snap.frame["quote"]) == {"USDT"}
    assert_snapshot(snap, truth, base, "spot")


@pytest.mark.parametrize(("buy", "sell"), [("okx", "binance"), ("htx", "bybit"), ("bybit", "kraken")])
async def test_a_planted_spot_arbitrage_pays_each_fee_once(buy: str, sell: str) -> None:
    truth = default_truth().with_cross("BTC", buy=buy, sell=sell, bps=90, kind="spot", sell_quote="USDT")
    snap = await ask(truth, "BTC/USDT")
    want = assert_snapshot(snap, truth, "BTC", "spot")
    assert want.pairs[buy, sell].rejected is None
    found = next(
        row for row in snap.arbitrage_opportunities if (row["exchange_low"], row["exchange_high"]) == (buy, sell)
    )  # fmt: skip
    assert found["trade"] == "arbitrage"
    assert_close(found["net_profit"], want.pairs[buy, sell].net_profit, "net profit")


async def test_what_htx_counts_for_both_sides_is_halved_once_by_a_rule_that_the_row_names() -> None:
    truth = default_truth()
    async with venues(truth) as (_, xm):
        snap, tape = await xm.get_cross_exchange_ticker("BTCUSDT"), await xm.trades("BTCUSDT", venues=["htx"])
        sent = snap.raw("htx")["/linear-swap-ex/market/detail/batch_merged"]["ticks"]
    market, row = truth.market("htx", "BTC", "linear"), rows(snap)["htx"]
    wire = next(tick for tick in sent if tick["contract_code"] == "BTC-USDT")
    assert float(wire["amount"]) == pytest.approx(2 * float(market.base_volume), rel=1e-12)
    assert_close(row["base_volume"], market.base_volume, "volume")
    assert_close(row["quote_volume"], market.quote_volume, "turnover")
    assert "halved: two-sided" in row["unit_rule"]
    assert tape["unit_rule"].str.contains("halved: two-sided").all()
    spot = await ask(truth, "BTC/USDT")
    assert "halved" not in rows(spot)["htx"]["unit_rule"]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETH/USDT"])
async def test_the_tape_in_base_units_with_the_takers_side(symbol: str) -> None:
    truth, kind = default_truth(), _kind(symbol)
    async with venues(truth) as (_, xm):
        tape = await xm.trades(symbol)
    assert tape.attrs["answered"] == list(EXCHANGES)
    assert tape.attrs["dropped"] == {}
    assert tape["exchange_time"].is_monotonic_increasing
    for name in EXCHANGES:
        market = truth.market(
            row_of(name, kind), symbol[:3], kind, None if name == "kraken" and kind == "linear" else "USDT"
        )
        mine = tape[tape["exchange"] == name]
        assert len(mine) == len(market.trades)
        # Newest first in the truth, oldest first in the tape.
        for found, print_ in zip(mine.to_dict("records"), reversed(market.trades), strict=True):
            assert found["side"] == print_.side
            # Bybit and Kraken Futures name a trade by a unique text, the lab's own is only a part of it.
            assert found["trade_id"] == print_.id or (name, kind) in {("bybit", "linear"), ("kraken", "linear")}
            assert_close(found["price"], print_.price, f"{name} price")
            assert_close(found["size"], print_.size, f"{name} size")
            assert_close(found["notional"], print_.price * print_.size, f"{name} notional")


async def test_books_of_every_venue_in_base_units() -> None:
    truth = default_truth()
    async with venues(truth) as (_, xm):
        books = await xm.books("BTC/USDT")
    assert books.attrs["answered"] == list(EXCHANGES)
    for name in EXCHANGES:
        market = truth.market(name, "BTC", "spot", "USDT")
        for side, levels in (("bid", market.bids), ("ask", market.asks)):
            mine = books[(books["exchange"] == name) & (books["side"] == side)]
            assert mine["price"].tolist() == [float(price) for price, _ in levels]
            for found, (_, size) in zip(mine["size"], levels, strict=True):
                assert_close(found, size, f"{name} size")


async def test_a_venues_own_id() -> None:
    truth = default_truth()
    snap = await ask(truth, "okx:BTC-USDT-SWAP")
    assert snap.instrument.symbol == "BTC/USDT:USDT"
    assert_snapshot(snap, truth)


async def test_the_whole_market_in_one_frame_in_base_units() -> None:
    truth = default_truth()
    async with venues(truth) as (_, xm):
        market = await xm.tickers()
    assert market.attrs["dropped"] == {}
    assert_market(market, truth)
    assert len(market) == len(truth.markets)


@pytest.mark.parametrize("name", CONNECTORS)
async def test_instruments_in_base_units(name: str) -> None:
    truth = default_truth()
    async with venues(truth) as (_, xm):
        await xm.connect_all()
        connector = xm._entries[name].connector
        assert_listings(name, connector.known_listings(), truth)  # type: ignore[attr-defined]


async def test_the_volume_of_an_old_ticker_does_not_count_although_the_book_is_fresh() -> None:
    truth = default_truth()
    async with venues(truth) as (lab, xm):
        lab.fault("okx", "stale", path="/api/v5/market/tickers", seconds=600)
        snap = await xm.get_cross_exchange_ticker("BTCUSDT")
    assert "okx" not in snap.dropped
    assert snap.volume_partial == ["okx"]
    others = [truth.market(row_of(name, "linear"), "BTC", "linear").base_volume for name in EXCHANGES if name != "okx"]
    assert_close(snap.volume_total, sum(others), "volume")
    assert rows(snap)["okx"]["flags"] == "old_ticker:600s"


async def test_a_venue_that_was_not_asked_still_votes_on_the_rate() -> None:
    truth = default_truth()
    snap = await ask(truth, venues=["okx"], currency="USD")
    assert snap.asked == ["okx"]
    assert rows(snap)["okx"]["fx_source"] == "direct+ratio:spot"
    market = truth.market("okx", "BTC", "linear")
    assert snap.aggregated_price == pytest.approx(float(market.mid) * float(usd_per_usdt(truth, "BTC")), rel=1e-4)


async def test_the_market_of_one_kind_is_asked_of_those_who_offer_it() -> None:
    truth = default_truth()
    async with venues(truth) as (_, xm):
        market = await xm.tickers(market="spot")
        assert set(market["kind"]) == {"spot"}
        assert set(market["exchange"]) == set(EXCHANGES)
        inverse = await xm.tickers(market="inverse", venues=["kraken", "okx"])
        assert set(inverse["kind"]) == {"inverse"}
        with pytest.raises(xex.SymbolError, match=r"'options'.*spot, perp"):
            await xm.tickers(market="options")


async def test_one_market_that_fails_costs_itself_and_not_the_venue() -> None:
    truth = default_truth()
    async with venues(truth) as (lab, xm):
        await xm.connect_all()
        lab.fault("kraken", "html", path="/0/public/Ticker")
        market = await xm.tickers()
    kraken = market[market["exchange"] == "kraken"]
    assert set(kraken["kind"]) == {"linear", "inverse"}
    assert market.attrs["dropped"]["kraken"].startswith("bad_payload: spot:")


async def test_a_whole_market_can_be_aggregated_as_it_is() -> None:
    truth = default_truth()
    async with venues(truth) as (_, xm):
        market = await xm.tickers(market="perp")
    totals = xex.pricing.aggregate(market).set_index(["group", "currency"])["price"].to_dict()
    native = market[(market["base"] == "BTC") & (market["quote"] == "USDT")]
    ages: list[float] = list(weight_ages(native).values())
    records: list[dict[str, Any]] = [
        dict(zip(native.columns, row, strict=True)) for row in native.itertuples(index=False)
    ]
    quotes = [{**row, "age_s": age} for row, age in zip(records, ages, strict=True)]
    assert_close(totals["BTC:linear", "USDT"], oracle.robust(quotes).price, "price")


async def test_an_unknown_fee_is_stopped_by_fees_and_says_so() -> None:
    from xex.testing import StaticConnector

    async with xex.ExchangeManager(cache=False) as xm:
        for name, bid, ask_ in (("a", 99.9, 100.0), ("b", 100.6, 100.7)):
            own = {"bid": bid, "ask": ask_, "bid_size": 1.0, "ask_size": 1.0}
            xm.add_exchange(xex.ExchangeConfig(name, name), StaticConnector({"BTC/USDT": own}))
        snap = await xm.get_cross_exchange_ticker("BTC/USDT")
        assert {row["gate"] for row in snap.rejected} == {"fees"}
        assert all(row["fees"] != row["fees"] for row in snap.rejected)
        for name in ("a", "b"):
            connector = xm._entries[name].connector
            connector.tickers_by_symbol["BTC/USDT"]["taker_bps"] = 10  # type: ignore[attr-defined]
        found = (await xm.get_cross_exchange_ticker("BTC/USDT")).arbitrage_opportunities
    assert len(found) == 1
    assert found[0]["net_profit"] == pytest.approx(100.6 * 0.999 - 100 * 1.001)


async def test_milliseconds_taken_for_seconds_are_refused() -> None:
    from xex.testing import StaticConnector

    async with xex.ExchangeManager(cache=False) as xm:
        quote = {"bid": 1.0, "ask": 1.01, "timestamp": 1_795_000_000_000}
        xm.add_exchange(xex.ExchangeConfig("a", "a"), StaticConnector({"BTC/USDT": quote}))
        with pytest.raises(xex.NoVenueAnswered, match="milliseconds"):
            await xm.get_cross_exchange_ticker("BTC/USDT")


async def test_a_replay_says_that_it_is_one_wherever_it_is_shown() -> None:
    with xex.replay():
        async with xex.ExchangeManager.from_env(cache=False) as xm:
            snap = await xm.get_cross_exchange_ticker("BTCUSDT")
    for text in (repr(snap), snap.explain(), snap._repr_html_()):
        assert "synthetic" in text


@pytest.mark.parametrize("currency", [None, "native"])
async def test_the_volume_of_who_has_no_rate_counts_where_a_rough_price_says_that_it_is_the_asset(
    currency: str | None,
) -> None:
    """Kraken's contract is in dollars that nobody rates here: at the price of the others, and as another coin."""
    world = default_truth().only("BTC")
    for truth, counts in ((world, True), (world.with_collision("BTC", row_of("kraken", "linear"), "6.5"), False)):
        snap = await ask(truth, currency=currency)
        assert str(snap.dropped["kraken"]) in {"no_rate", "other_currency"}
        counted = [name for name in EXCHANGES if name != "kraken" or counts]
        total = sum(truth.market(row_of(name, "linear"), "BTC", "linear").base_volume for name in counted)
        assert_close(snap.volume_total, total, f"the same asset: {counts}")
        assert snap.volume_partial == ["kraken"]
