"""Prices in other currencies, asked of the manager: measured rates with their sources, nothing at par unasked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import xex
from tests import oracle
from tests.expected import EXCHANGES, RATIO_BASES, assert_close, row_of, volumes, weight_ages
from tests.lab import Lab, Market, Truth, currency_markets, default_truth
from tests.test_snapshot import CONNECTORS

TRUTH = default_truth().adding(currency_markets())
CURRENCIES = ("USD", "USDT", "USDC", "FDUSD", "EUR")
# The books of currencies that are asked for: who trades one against another, as the venues list them.
DIRECT = {
    "binance": ("FDUSD/USDT", "EUR/USDT", "USDC/USDT"),
    "kraken": ("USDT/USD", "USDC/USD", "USDC/USDT", "EUR/USD", "USDT/EUR", "USDC/EUR"),
}
# Spot BTC in every currency, and who lists it.
LISTED = {
    "FDUSD": {"binance"}, "EUR": {"binance", "kraken"}, "USDC": {*EXCHANGES}, "USD": {"kraken"},
    "USDT": {*EXCHANGES},
}  # fmt: skip


@asynccontextmanager
async def opened(truth: Truth, names: Iterable[str] = EXCHANGES) -> AsyncIterator[tuple[Lab, xex.ExchangeManager]]:
    async with Lab(truth) as lab, xex.ExchangeManager(cache=False) as xm:
        for name in names:
            config = xex.ExchangeConfig(name, name, base_url=lab.url(name))
            assert xm.add_exchange(config, CONNECTORS[name](config))
        yield lab, xm


async def ask(truth: Truth, symbol: str, names: Iterable[str] = EXCHANGES, **options: Any) -> xex.CrossExchangeData:
    async with opened(truth, names) as (_, xm):
        return await xm.get_cross_exchange_ticker(symbol, **options)


def rows(snap: xex.CrossExchangeData) -> dict[str, dict[str, Any]]:
    return {str(row["exchange"]): {str(k): v for k, v in row.items()} for row in snap.frame.to_dict("records")}


def legs(truth: Truth, answered: Iterable[str], kind: str, of: set[str]) -> list[dict[str, Any]]:
    """Return what the world offers for rates among the currencies `of` a question, with dollars and large stablecoins.

    Who lists a needed book of currencies is asked for it, and for other assets' spot prices; whoever answers the
    question itself is asked for other assets of the same kind.
    """
    # That a row may come in USDC is no reason to ask anybody who is not asked anyway.
    sure = {*of, "USD", "USDT"}
    asked = [venue for venue, pairs in DIRECT.items() if any(sure >= set(pair.split("/")) for pair in pairs)]
    markets = [
        market
        for venue in asked
        for market in truth.of(venue, "spot")
        if f"{market.base}/{market.quote}" in DIRECT[venue] or market.base in RATIO_BASES
    ] + [
        market
        for venue in answered
        for market in truth.of(row_of(venue, kind), kind)  # type: ignore[arg-type]
        if market.base in RATIO_BASES
    ]
    return [_leg(market) for market in dict.fromkeys(markets)]


def _leg(market: Market) -> dict[str, Any]:
    exchange = "kraken" if market.venue == "krakenfutures" else market.venue
    same = {"exchange": exchange, "kind": market.kind, "base": market.base, "quote": market.quote}
    return {**same, "bid": market.top.bid, "ask": market.top.ask}


def rate(
    truth: Truth, source: str, target: str, answered: Iterable[str], kind: str = "spot", par: Iterable[str] = ()
) -> Fraction:
    found = oracle.exchange_rate(legs(truth, answered, kind, {source, target}), source, target, "BTC", par)
    assert found is not None
    return found


def assert_converted(snap: xex.CrossExchangeData, truth: Truth, kind: str = "spot", par: Iterable[str] = ()) -> None:
    """Compare every row's rate and numbers with the oracle's rate and the truth, and hold it to say where from."""
    assert rows(snap)
    for name, row in rows(snap).items():
        market = truth.market(row_of(name, kind), "BTC", kind, row["quote"])  # type: ignore[arg-type]
        fx = rate(truth, row["quote"], snap.currency, snap.answered, kind, par)
        assert_close(row["fx_rate"], fx, f"{name} rate")
        assert row["currency"] == snap.currency
        for side in ("bid", "ask"):
            assert_close(row[side], Fraction(getattr(market.top, side)) * fx, f"{name} {side}")
            assert_close(row[f"{side}_size"], getattr(market.top, f"{side}_size"), f"{name} {side} size")
        assert_close(row["last"], Fraction(market.last) * fx, f"{name} last")
        assert_close(row["base_volume"], market.base_volume, f"{name} volume")
        if (name, kind) != ("okx", "linear"):
            assert_close(row["quote_volume"], Fraction(market.quote_volume) * fx, f"{name} turnover")
        if row["quote"] == snap.currency:
            assert (row["fx_source"], row["fx_rate"], row["fx_age_ms"]) == ("identity", 1, 0)
        elif {row["quote"], snap.currency} <= set(par):
            assert (row["fx_source"], row["fx_rate"]) == ("peg", 1)
        else:
            assert row["fx_source"].strip()
            assert row["fx_source"] not in {"identity", "peg"}
            assert 0 <= row["fx_age_ms"] < 10_000


# --- every currency ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quote", LISTED)
async def test_a_pair_in_any_currency_is_answered_where_it_is_listed_and_converted_elsewhere(quote: str) -> None:
    snap = await ask(TRUTH, f"BTC/{quote}")
    assert snap.currency == quote
    own = {name for name, row in rows(snap).items() if row["quote"] == quote}
    assert own == LISTED[quote]
    if quote == "EUR":
        # No dollar stands for the euro: who does not list it is left out, and says so.
        assert set(snap.answered) == own
        assert set(snap.dropped.values()) == {"not_listed"}
    else:
        assert snap.answered == list(EXCHANGES)
        assert snap.dropped == {}
        assert {name for name, row in rows(snap).items() if row["substitute"]} == {*EXCHANGES} - own
    assert_converted(snap, TRUTH)
    assert snap.frame["price"].max() / snap.frame["price"].min() < 1.001


@pytest.mark.parametrize("currency", ["EUR", "FDUSD", "USDC", "USD"])
@pytest.mark.parametrize(("symbol", "kind"), [("BTC/USDT", "spot"), ("BTCUSDT", "linear")])
async def test_one_pair_in_any_currency(symbol: str, kind: str, currency: str) -> None:
    snap = await ask(TRUTH, symbol, currency=currency)
    assert (snap.currency, snap.answered) == (currency, list(EXCHANGES))
    assert_converted(snap, TRUTH, kind)
    worth = {"USD": "1", "USDC": "1", "FDUSD": "0.9985", "EUR": "1.0842"}[currency]
    fair = Decimal("96512.4") * Decimal("0.9993") / Decimal(worth)
    assert snap.aggregated_price == pytest.approx(float(fair), rel=5e-4)
    assert_close(snap.volume_total_quote, snap.frame["quote_volume"].sum(), "turnover")


async def test_a_currency_of_another_world_is_refused() -> None:
    with pytest.raises(xex.ConfigError, match="conversion is known among"):
        await ask(TRUTH, "BTC/USDT", currency="GBP")


async def test_whole_markets_in_one_currency() -> None:
    async with opened(TRUTH) as (_, xm):
        native, dollars = await xm.tickers(market="spot"), await xm.tickers(market="spot", currency="USD")
    key = ["exchange", "instrument"]
    both = native.merge(dollars, on=key, suffixes=("", "_usd"))
    assert len(both) == len(native) == len(dollars)
    assert set(native["fx_source"]) == {"identity"}
    assert (native["currency"] == native["quote"]).all()
    assert set(dollars["currency"]) == {"USD"}
    bitcoin = both[both["base"] == "BTC"]
    assert set(bitcoin["quote"]) == set(CURRENCIES)
    for row in bitcoin.to_dict("records"):
        fx = rate(TRUTH, row["quote"], "USD", EXCHANGES)
        assert_close(row["fx_rate_usd"], fx, f"{row['exchange']} {row['instrument']} rate", rel=2e-5)
        for name in ("bid", "ask", "last", "quote_volume"):
            assert_close(row[f"{name}_usd"], row[name] * row["fx_rate_usd"], name)
        for name in ("bid_size", "ask_size", "base_volume"):
            assert row[f"{name}_usd"] == row[name]


# --- native ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "kind", "quote", "own"),
    [
        ("BTC/FDUSD", "spot", "FDUSD", {"binance"}),
        ("BTC/USD", "spot", "USD", {"kraken"}),
        ("BTCUSDT", "linear", "USDT", {"binance", "bybit", "htx", "okx"}),
        ("BTC/USD:USD", "linear", "USD", {"kraken"}),
    ],
)
async def test_native_never_mixes_currencies(symbol: str, kind: str, quote: str, own: set[str]) -> None:
    crossed = TRUTH.with_cross("BTC", buy="okx", sell="binance", bps=35, buy_quote="USDT", sell_quote="USDT")
    snap = await ask(crossed, symbol, currency="native")
    assert snap.currency == quote
    found = rows(snap)
    assert set(found) == {*EXCHANGES}
    for name, row in found.items():
        market = crossed.market(row_of(name, kind), "BTC", kind, row["quote"])  # type: ignore[arg-type]
        # Nobody's numbers are touched.
        for side in ("bid", "ask"):
            assert_close(row[side], getattr(market.top, side), f"{name} {side}")
        assert row["currency"] == row["quote"]
        if name in own:
            assert (row["quote"], row["fx_source"], row["fx_rate"]) == (quote, "identity", 1)
            assert name not in snap.dropped or snap.dropped[name] == "outlier"
        else:
            assert row["quote"] != quote
            assert math.isnan(row["fx_rate"])
            assert row["excluded_reason"] == "other_currency"
            assert row["weight"] == 0
            assert snap.dropped[name] == "other_currency"
            assert quote not in snap.exchanges_data[name]["currency"].split()
    markets = {name: crossed.market(row_of(name, kind), "BTC", kind, quote) for name in sorted(own)}  # type: ignore[arg-type]
    ages = weight_ages(snap.frame[snap.frame["exchange"].isin(own)])
    want = oracle.robust(
        [
            {**_leg(market), "exchange": name, "age_s": ages[name], "quote_volume": volumes(name, market)[1]}
            for name, market in markets.items()
        ]
    )
    assert_close(snap.aggregated_price, want.price, "price")
    # One venue alone is apart from nobody.
    for field in ("price_variance", "dispersion_bps", *(["range_bps"] if len(own) > 1 else [])):
        assert_close(getattr(snap, field), getattr(want, field), field)
    turnover = sum(volumes(name, market)[1] for name, market in markets.items())
    assert_close(snap.volume_total_quote, turnover, "turnover")
    bids, asks = (
        [level for market in markets.values() for level in getattr(market, side)] for side in ("bids", "asks")
    )
    assert_close(snap.liquidity_score, oracle.liquidity_score(bids, asks, want.price), "liquidity")
    traded = {row[end] for row in snap.arbitrage_opportunities for end in ("exchange_low", "exchange_high")}
    assert traded <= own
    assert bool(traded) is (quote == "USDT")
    for row in snap.rejected:
        if {row["exchange_low"], row["exchange_high"]} - own:
            assert "currency" in row["reasons"]


# --- pegs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peg", [True, "USDT", ["USDT", "USDC"]])
async def test_a_peg_is_asked_for_and_said(peg: Any) -> None:
    truth = TRUTH.with_depeg("0.97")
    measured, pegged = (
        await ask(truth, "BTC/USDT", currency="USD"),
        await ask(truth, "BTC/USDT", currency="USD", peg=peg),
    )
    assert_converted(measured, truth)
    assert_converted(pegged, truth, par={"USD", "USDT"})
    fx = rate(truth, "USDT", "USD", EXCHANGES)
    assert float(fx) == pytest.approx(0.97, rel=1e-4)
    for name, row in rows(pegged).items():
        assert row["fx_source"] == "peg"
        assert_close(rows(measured)[name]["price"] / row["price"], fx, f"{name}: what the peg hides")
    assert "peg" not in {row["fx_source"] for row in rows(measured).values()}


@pytest.mark.parametrize("peg", ["EUR", ["USDT", "EUR"], "USD", 7])
async def test_what_is_no_stablecoin_cannot_be_pegged(peg: Any) -> None:
    async with opened(TRUTH) as (lab, xm):
        with pytest.raises(xex.ConfigError, match=r"USDT, USDC, FDUSD"):
            await xm.get_cross_exchange_ticker("BTC/USDT", currency="USD", peg=peg)
        assert lab.seen == []


async def test_no_more_is_brought_over_than_the_best_price_of_the_direct_book_offers() -> None:
    """BTC costs a fiftieth more dollars on Kraken; who buys it elsewhere needs USDT, of which 200 are offered."""

    def thin(market: Market) -> Market:
        if (market.venue, market.base, market.quote) != ("kraken", "USDT", "USD"):
            return market
        (ask, _), *others = market.asks
        return dataclasses.replace(market, asks=((ask, Decimal(200)), *others))

    deep = TRUTH.with_premium("kraken", "BTC", 200, kind="spot")
    unbound, bound = await ask(deep, "BTC/USD"), await ask(deep.changed(thin), "BTC/USD")
    quantities = []
    for snap in (unbound, bound):
        every = {(one["exchange_low"], one["exchange_high"]): one
                 for one in (*snap.arbitrage_opportunities, *snap.rejected)}  # fmt: skip
        quantities.append(every["okx", "kraken"]["quantity"])
    assert quantities[1] < quantities[0]
    okx = deep.market("okx", "BTC", "spot")
    paid = quantities[1] * float(okx.asks[0][0]) * (1 + 10 / 1e4)  # okx's fee
    assert 0.9 * 200 < paid <= 200, "as much as there is, in whole lots"
    assert bound.depth["quantity"] < unbound.depth["quantity"]


async def test_no_trade_is_made_of_a_peg() -> None:
    """At par a fall of USDT looks like a premium of every dollar price; a trade pays what dollars cost."""
    truth = TRUTH.with_depeg("0.97")
    measured, pegged = await ask(truth, "BTCUSDT"), await ask(truth, "BTCUSDT", peg=True)
    assert rows(pegged)["kraken"]["fx_source"] == "peg"
    assert rows(pegged)["kraken"]["price"] == pytest.approx(0.97 * rows(measured)["kraken"]["price"], rel=1e-4)
    every = [
        {(row["exchange_low"], row["exchange_high"]): row for row in [*snap.arbitrage_opportunities, *snap.rejected]}
        for snap in (measured, pegged)
    ]
    assert every[0].keys() == every[1].keys()
    for key, row in every[0].items():
        for name in ("price_low", "price_high", "fx_rate", "net_bps", "net_profit", "quantity"):
            assert_close(every[1][key][name], row[name], f"{key} {name}")
    assert pegged.arbitrage_opportunities == []
    # Dollars to pay with come from selling USDT at its bid, dollars received buy USDT at its ask.
    dollar, kraken = truth.market("kraken", "USDT", "spot", "USD").top, truth.market("krakenfutures", "BTC").top
    assert None not in (dollar.bid, dollar.ask, kraken.bid, kraken.ask)
    for (low, high), row in every[1].items():
        if low == "kraken":
            assert_close(row["price_low"], Fraction(kraken.ask or 0) / Fraction(dollar.bid or 1), "paid")
        if high == "kraken":
            assert_close(row["price_high"], Fraction(kraken.bid or 0) / Fraction(dollar.ask or 1), "received")


# --- a coin that falls, a book that lies, no source at all ---------------------------------------------------------


@pytest.mark.parametrize(("symbol", "kind"), [("BTC/USDT", "spot"), ("BTCUSDT", "linear")])
async def test_a_depeg_moves_the_converted_price_within_one_snapshot(symbol: str, kind: str) -> None:
    before, after = Decimal("0.9993"), Decimal("0.9993") * Decimal("0.97")
    async with opened(TRUTH) as (lab, xm):
        calm = await xm.get_cross_exchange_ticker(symbol, currency="USD")
        lab.truth = TRUTH.with_depeg(after)
        fallen = await xm.get_cross_exchange_ticker(symbol, currency="USD")
    assert_converted(fallen, lab.truth, kind)
    for name, row in rows(fallen).items():
        was = rows(calm)[name]
        if row["quote"] == "USDT":
            fx = [rate(truth, "USDT", "USD", EXCHANGES, kind) for truth in (TRUTH, lab.truth)]
            assert_close(row["price"] / was["price"], fx[1] / fx[0], name)
            # Dollar prices move in whole ticks.
            assert row["price"] / was["price"] == pytest.approx(float(after / before), rel=1e-5)


@pytest.mark.parametrize("off", ["1.05", "0.95"])
async def test_one_bad_book_moves_a_rate_by_a_basis_point_at_most(off: str) -> None:
    """Of three sources two agree; how far they are apart from each other is what a lie of the third can do."""
    world = TRUTH
    for base in RATIO_BASES:
        world = world.with_premium("krakenfutures", base, 2, "linear")
    lying = _with_a_bad_book(world, off)
    snap = await ask(lying, "BTCUSDT", currency="USD")
    assert_converted(snap, lying, "linear")
    honest = float(rate(world, "USDT", "USD", EXCHANGES, "linear"))
    for name in ("binance", "bybit", "htx", "okx"):
        row = rows(snap)[name]
        assert row["fx_source"] == "direct+ratio:spot+ratio:linear"
        assert abs(row["fx_rate"] / honest - 1) < 1e-4, name


@pytest.mark.parametrize("off", ["1.05", "0.95"])
async def test_where_two_sources_contradict_each_other_there_is_no_rate(off: str) -> None:
    """Of spot there are two, the currencies' own books and other assets' prices: none is believed over the other."""
    snap = await ask(_with_a_bad_book(TRUTH, off), "BTC/USDT", currency="USD")
    tether = {name for name, row in rows(snap).items() if row["quote"] == "USDT"}
    assert tether == {"binance", "bybit", "htx", "okx", "kraken"}
    assert set(snap.dropped.values()) == {"no_rate"}
    assert set(snap.dropped) == tether
    assert "disagree" in snap.dropped["okx"].text
    assert math.isnan(snap.aggregated_price)


def _with_a_bad_book(truth: Truth, off: str) -> Truth:
    book = truth.market("kraken", "USDT", "spot", "USD")
    lying = truth.replacing(book.scaled(Decimal(off)))
    moved = lying.market("kraken", "USDT", "spot", "USD").mid / book.mid
    assert float(moved) == pytest.approx(float(off), rel=1e-4)
    return lying


async def test_without_any_source_there_is_no_rate_and_no_par() -> None:
    truth = default_truth().only("BTC")
    snap = await ask(truth, "BTCUSDT")
    row = rows(snap)["kraken"]
    assert snap.dropped == {"kraken": "no_rate"}
    assert math.isnan(row["fx_rate"])
    assert row["excluded_reason"] == "no_rate"
    assert row["currency"] == "USD"
    assert row["weight"] == 0
    assert_close(row["bid"], truth.market("krakenfutures", "BTC", "linear").top.bid, "its own bid")
    others = await ask(truth, "BTCUSDT", ("binance", "bybit", "htx", "okx"))
    assert snap.aggregated_price == pytest.approx(others.aggregated_price, rel=1e-6)
    assert_close(snap.volume_total_quote, others.volume_total_quote, "turnover")
    for pair in [*snap.arbitrage_opportunities, *snap.rejected]:
        if "kraken" in {pair["exchange_low"], pair["exchange_high"]}:
            assert "currency" in pair["reasons"]
    pegged = await ask(truth, "BTCUSDT", peg=True)
    assert rows(pegged)["kraken"]["fx_source"] == "peg"
    assert pegged.dropped == {}


# --- who is asked ------------------------------------------------------------------------------------------------


def spot_legs_asked(lab: Lab) -> dict[str, list[str]]:
    """Return by venue the requests about spot prices that a question about perpetuals has made."""
    marks = {"binance": "/api/v3/ticker", "kraken": "/0/public/Ticker", "okx": "instType=SPOT",
             "bybit": "category=spot", "htx": "/market/tickers"}  # fmt: skip
    found = {name: [seen.path_qs for seen in lab.seen if seen.venue == name and mark in seen.path_qs]
             for name, mark in marks.items()}  # fmt: skip
    return {name: paths for name, paths in found.items() if paths}


@pytest.mark.parametrize(
    ("currency", "asked_for_rates"),
    [
        (None, {"kraken"}), ("USD", {"kraken"}), ("USDC", {"binance", "kraken"}), ("FDUSD", {"binance", "kraken"}),
        ("EUR", {"binance", "kraken"}), ("native", set()),
    ],
)  # fmt: skip
async def test_only_who_lists_a_needed_pair_is_asked_for_rates(currency: str | None, asked_for_rates: set[str]) -> None:
    async with opened(TRUTH) as (lab, xm):
        await xm.get_cross_exchange_ticker("BTCUSDT", currency=currency)
        lab.seen.clear()
        await xm.get_cross_exchange_ticker("BTCUSDT", currency=currency)
        asked = spot_legs_asked(lab)
    assert set(asked) == asked_for_rates
    assert all(len(paths) == 1 for paths in asked.values())


async def test_nobody_is_asked_for_rates_that_nobody_needs() -> None:
    async with opened(TRUTH, ("binance", "okx")) as (lab, xm):
        for symbol in ("BTCUSDT", "BTC/USDT", "BTC/USDC"):
            await xm.get_cross_exchange_ticker(symbol)
            lab.seen.clear()
            snap = await xm.get_cross_exchange_ticker(symbol)
            assert set(snap.frame["fx_source"]) == {"identity"}
            ids = {"BTCUSDT", "BTC-USDT-SWAP", "BTC-USDT", "BTCUSDC", "BTC-USDC"}
            assert lab.seen
            assert all(any(f"={id_}" in f"{seen.path_qs}&" for id_ in ids) for seen in lab.seen), lab.seen


async def test_a_rate_that_nobody_trades_at_is_no_arbitrage() -> None:
    async with opened(default_truth()) as (_, xm):
        market = await xm.tickers(market="perp", currency="USD", peg="USDT")
    assert market.attrs["fx"] == {"USDT": "peg", "USD": "identity"}
    assert market.attrs["answered"] == list(EXCHANGES)
    found = xex.arbitrage.scan(market)
    apart = (found["exchange_low"] == "kraken") | (found["exchange_high"] == "kraken")
    assert apart.any()
    assert found.loc[apart, "reasons"].str.contains("currency").all()
    assert not found.loc[~apart, "reasons"].fillna("").str.contains("currency").any()


async def test_who_could_not_be_asked_for_rates_is_named() -> None:
    async with opened(default_truth()) as (lab, xm):
        await xm.connect_all()
        lab.fault("kraken", "status", code=503, path="/0/public/Ticker")
        snap = await xm.get_cross_exchange_ticker("BTCUSDT")
    assert "no_rates:kraken" in snap.flags
    assert "kraken could not be asked for rates" in snap.explain()
    assert rows(snap)["kraken"]["fx_source"] == "ratio:linear"


async def test_inverse_contracts_are_of_dollars() -> None:
    with pytest.raises(xex.SymbolError, match="BTC/USD:BTC"):
        await ask(default_truth(), "BTCUSDT", market="inverse")
