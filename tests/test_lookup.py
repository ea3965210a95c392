"""What a symbol means: every spelling, what has two meanings or none, new listings and delisted ones."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

import xex
from tests.expected import EXCHANGES
from tests.lab import Lab, Market, currency_markets, default_truth, extra_markets
from tests.lab.names import market_id
from tests.lab.venues import METADATA
from tests.test_conversion import opened
from xex.access import budgets
from xex.model.instruments import parse_symbol
from xex_connectors import ccxt_adapter

TRUTH = default_truth(levels=2).adding((*extra_markets(levels=2), *currency_markets(levels=2)))

# What venues call the instruments, typed by hand.
PERPETUAL = {"binance": "BTCUSDT", "bybit": "BTCUSDT", "htx": "BTC-USDT", "kraken": "PF_XBTUSD", "okx": "BTC-USDT-SWAP"}
SPOT = {"binance": "BTCUSDT", "bybit": "BTCUSDT", "htx": "btcusdt", "kraken": "XBTUSDT", "okx": "BTC-USDT"}
SPOT_USD = SPOT | {"kraken": "XXBTZUSD"}
INVERSE = {
    "binance": "BTCUSD_PERP", "bybit": "BTCUSD", "htx": "BTC-USD", "kraken": "PI_XBTUSD", "okx": "BTC-USD-SWAP",
}  # fmt: skip
ETH_INVERSE = {
    "binance": "ETHUSD_PERP", "bybit": "ETHUSD", "htx": "ETH-USD", "kraken": "PI_ETHUSD", "okx": "ETH-USD-SWAP",
}  # fmt: skip
DATED = {
    "binance": "BTCUSDT_261225", "bybit": "BTCUSDT-25DEC26", "htx": "BTC-USDT-261225", "kraken": "FF_XBTUSD_261225",
    "okx": "BTC-USDT-261225",
}  # fmt: skip
INVERSE_DATED = {
    "binance": "BTCUSD_261225", "bybit": "BTCUSDZ26", "htx": "BTC261225", "kraken": "FI_XBTUSD_261225",
    "okx": "BTC-USD-261225",
}  # fmt: skip
PEPE = {
    "binance": "1000PEPEUSDT", "bybit": "1000PEPEUSDT", "htx": "PEPE-USDT", "kraken": "PF_PEPEUSD",
    "okx": "PEPE-USDT-SWAP",
}  # fmt: skip
SHIB = {"binance": "1000SHIBUSDT", "bybit": "SHIB1000USDT", "okx": "SHIB-USDT-SWAP"}
DOGE = {
    "binance": "DOGEUSDT", "bybit": "DOGEUSDT", "htx": "DOGE-USDT", "kraken": "PF_DOGEUSD", "okx": "DOGE-USDT-SWAP",
}  # fmt: skip

ETH_EUR = {"binance": "ETHEUR", "kraken": "XETHZEUR"}

SPELLINGS: dict[str, tuple[str, dict[str, str]]] = {
    **dict.fromkeys(("BTCUSDT", "btcusdt", " BTCUSDT ", "BTC/USDT:USDT", "btc/usdt:usdt", "XBTUSDT", "BTC-USDT-SWAP",
                     "btc-usdt-swap", "okx:BTC-USDT-SWAP", "htx:BTC-USDT", "binance:BTCUSDT", "OKX:btc-usdt-swap"),
                    ("BTC/USDT:USDT", PERPETUAL)),
    **dict.fromkeys(("BTCUSD", "XBTUSD", "xbtusd", "PF_XBTUSD", "pf_xbtusd", "kraken:PF_XBTUSD", "BTC/USD:USD"),
                    ("BTC/USD:USD", PERPETUAL)),
    **dict.fromkeys(("BTC/USDT", "btc/usdt", "XBT/USDT", "okx:BTC-USDT", "htx:btcusdt", "kraken:XBTUSDT"),
                    ("BTC/USDT", SPOT)),
    **dict.fromkeys(("BTC/USD", "kraken:XXBTZUSD", "kraken:xxbtzusd"), ("BTC/USD", SPOT_USD)),
    **dict.fromkeys(("PI_XBTUSD", "pi_xbtusd", "BTCUSD_PERP", "BTC-USD-SWAP", "BTC/USD:BTC", "bybit:BTCUSD",
                     "binance:BTCUSD_PERP", "htx:BTC-USD"), ("BTC/USD:BTC", INVERSE)),
    **dict.fromkeys(("PI_ETHUSD", "ETHUSD_PERP", "ETH/USD:ETH"), ("ETH/USD:ETH", ETH_INVERSE)),
    **dict.fromkeys(("BTC-USDT-261225", "BTCUSDT_261225", "BTCUSDT-25DEC26", "btcusdt-25dec26", "BTC-USDT-CQ",
                     "BTC/USDT:USDT-261225"), ("BTC/USDT:USDT-261225", DATED)),
    "FF_XBTUSD_261225": ("BTC/USD:USD-261225", DATED),
    **dict.fromkeys(("BTCUSDZ26", "BTC-USD-261225", "BTC_CQ", "BTCUSD_261225", "BTC261225", "FI_XBTUSD_261225",
                     "BTC/USD:BTC-261225", "bybit:BTCUSDZ26", "htx:BTC_CQ", "htx:BTC261225"),
                    ("BTC/USD:BTC-261225", INVERSE_DATED)),
    **dict.fromkeys(("PEPEUSDT", "1000PEPEUSDT", "kPEPEUSDT", "kPEPE/USDT:USDT", "PEPE-USDT-SWAP", "1MPEPEUSDT",
                     "bybit:1000PEPEUSDT"), ("PEPE/USDT:USDT", PEPE)),
    "PF_PEPEUSD": ("PEPE/USD:USD", PEPE),
    **dict.fromkeys(("SHIBUSDT", "1000SHIBUSDT", "SHIB1000USDT", "shib1000usdt"), ("SHIB/USDT:USDT", SHIB)),
    **dict.fromkeys(("DOGEUSDT", "XDGUSDT", "xdgusdt"), ("DOGE/USDT:USDT", DOGE)),
    **dict.fromkeys(("ETH/EUR", "XETHZEUR", "kraken:XETHZEUR"), ("ETH/EUR", ETH_EUR)),
}  # fmt: skip
NATIVE_ONLY = {"XXBTZUSD": ("BTC/USD", SPOT_USD)}
"""What reads as a pair, XXBTZ in USD, and is none: the venue's own name."""

Said = tuple[str, dict[str, str]]


@cache
def looked_up() -> dict[str, tuple[Said, Said]]:
    """Ask one manager for every spelling: what `lookup` says, and what a snapshot's rows are."""
    return asyncio.run(_looked_up())


async def _looked_up() -> dict[str, tuple[Said, Said]]:
    found: dict[str, tuple[Said, Said]] = {}
    async with opened(TRUTH) as (_, xm):
        listed = await xm.instruments()
        ids = {(row["exchange"], row["instrument"]): row["id"] for row in listed.to_dict("records")}
        for text in {**SPELLINGS, **NATIVE_ONLY}:
            budgets.PROCESS._ledgers.clear()  # Kraken answers one question a second
            frame = await xm.lookup(text)
            said = (frame.attrs["instrument"], dict(zip(frame["exchange"], frame["id"], strict=True)))
            try:
                snap = await xm.get_cross_exchange_ticker(text, books=False)
            except xex.UnknownSymbol:
                found[text] = (said, ("", {}))
            else:
                rows = snap.frame.to_dict("records")
                found[text] = (
                    said,
                    (
                        snap.instrument.symbol,
                        {row["exchange"]: ids[row["exchange"], row["instrument"]] for row in rows},
                    ),
                )
    return found


@pytest.mark.parametrize("text", [*SPELLINGS, *NATIVE_ONLY])
def test_a_spelling_is_one_instrument_under_each_venues_own_name(text: str) -> None:
    assert looked_up()[text][0] == {**SPELLINGS, **NATIVE_ONLY}[text]


@pytest.mark.parametrize("text", [*SPELLINGS, *NATIVE_ONLY])
def test_a_question_understands_what_lookup_understands(text: str) -> None:
    symbol, ids = {**SPELLINGS, **NATIVE_ONLY}[text]
    asked, answered = looked_up()[text][1]
    assert asked == symbol
    if symbol in {"BTC/USD", "BTC/USDT"}:
        # Of several dollars a substitute is in the one that is traded most.
        assert set(answered) == set(ids)
        assert all(answered[name] == ids[name] for name in ids if symbol == "BTC/USDT" or name == "kraken")
    else:
        assert answered == ids


# --- several meanings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["BTC-USDT", "btc-usdt", "BTC_USDT", "ETH-USD"])
@pytest.mark.parametrize("question", ["lookup", "get_cross_exchange_ticker", "books", "trades"])
async def test_a_pair_with_a_hyphen_is_never_guessed(question: str, text: str) -> None:
    """BTC-USDT is spot on one venue and the perpetual on another."""
    async with opened(TRUTH) as (lab, xm):
        with pytest.raises(xex.AmbiguousSymbol) as caught:
            await getattr(xm, question)(text)
        base, quote = text.upper().replace("_", "-").split("-")
        assert {f"{base}/{quote}", f"{base}/{quote}:{quote}"} <= set(caught.value.readings)
        assert f"{base}/{quote}" in str(caught.value)
        # An underscore might make an id of it, which only lists can tell.
        assert lists_read(lab) or "_" not in text
        assert all(seen.path_qs in lists_read(lab) for seen in lab.seen)


async def test_an_id_of_two_different_things_lists_both() -> None:
    other = TRUTH.market("binance", "BTC", "linear", "USDT", "261225")
    truth = TRUTH.changed(lambda m: dataclasses.replace(m, id="BTC-USD-261225") if m is other else m)
    async with opened(truth) as (_, xm):
        for question in (xm.lookup, xm.books, xm.get_cross_exchange_ticker):
            with pytest.raises(xex.AmbiguousSymbol, match="several meanings") as caught:
                await question("BTC-USD-261225")
            assert set(caught.value.readings) == {
                "okx:BTC-USD-261225", "BTC/USD:BTC-261225", "binance:BTC-USD-261225", "BTC/USDT:USDT-261225",
            }  # fmt: skip
        for reading in caught.value.readings:
            meant = (await xm.lookup(reading)).attrs["instrument"]
            assert meant == ("BTC/USD:BTC-261225" if "okx" in reading or "USD:BTC" in reading else DATED_SYMBOL)
        assert (await xm.lookup("BTC-USD-261225", market="inverse")).attrs["instrument"] == "BTC/USD:BTC-261225"
        assert (await xm.lookup("BTC-USD-261225", market="linear")).attrs["instrument"] == DATED_SYMBOL


DATED_SYMBOL = "BTC/USDT:USDT-261225"


@pytest.mark.parametrize(
    ("text", "market", "symbol"),
    [
        ("BTCUSDT", "spot", "BTC/USDT"), ("BTCUSDT", "perp", "BTC/USDT:USDT"), ("BTCUSD", "inverse", "BTC/USD:BTC"),
        ("BTC/USDT", "perp", "BTC/USDT:USDT"), ("BTC/USDT", "spot", "BTC/USDT"),
        ("BTC_CQ", "inverse", "BTC/USD:BTC-261225"),
    ],
)  # fmt: skip
async def test_the_market_decides_where_the_text_does_not(text: str, market: str, symbol: str) -> None:
    async with opened(TRUTH, ["okx", "htx"]) as (_, xm):
        assert (await xm.lookup(text, market=market)).attrs["instrument"] == symbol
        for contradicted in ("BTC/USDT:USDT", "BTC/USD:BTC"):
            with pytest.raises(xex.SymbolError, match="leave one of them out"):
                await xm.lookup(contradicted, market="linear" if contradicted.endswith("BTC") else "inverse")


# --- no meaning --------------------------------------------------------------------------------------------------


NO_SYMBOLS: tuple[Any, ...] = (
    "", "  ", "BTC", "???", "BTC//USDT", "BTC/USDT:EUR", "B" * 65, "BTCUSDX", "BTCUSDTT", ":", "okx:", "nasdaq:AAPL",
    "BTC/USDT:USDT-2612", None, 12,
)  # fmt: skip


@pytest.mark.parametrize("question", ["lookup", "get_cross_exchange_ticker", "books", "trades"])
async def test_what_is_plainly_no_symbol_asks_nobody(question: str) -> None:
    async with opened(TRUTH) as (lab, xm):
        for text in NO_SYMBOLS:
            with pytest.raises(xex.SymbolError):
                await getattr(xm, question)(text)
            assert lab.seen == [], text


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("BTCUSDX", ["BTCUSD"]), ("BTCUSDTT", ["BTCUSDT"]), ("BTTUSDT", ["BTC/USDT:USDT"]),
        ("KPEPEUSDT", ["PEPE/USDT:USDT"]), ("PEPE/USDT", ["PEPE/USDT:USDT"]), ("okx:BTC-USDT-SWAPS", ["BTC-USDT-SWAP"]),
        ("binance:btc-usdt", ["BTCUSDT"]), ("kraken:XBT/USD", ["XXBTZUSD"]), ("DOGE/USD:DOGE", ["DOGE/USDT:USDT"]),
        ("BTC/USDT:USDT-261226", [DATED_SYMBOL]), ("SOLEUR", ["SOL/USDT:USDT"]),
    ],
)  # fmt: skip
async def test_a_miss_names_the_nearest(text: str, nearest: list[str]) -> None:
    async with opened(TRUTH) as (lab, xm):
        await xm.connect_all()
        lab.seen.clear()
        with pytest.raises(xex.UnknownSymbol) as caught:
            await xm.lookup(text)
        assert set(nearest) <= set(caught.value.nearest)
        assert len(caught.value.nearest) == len(set(caught.value.nearest))
        assert nearest[0] in str(caught.value)
        assert lab.seen == []


async def test_who_could_not_be_asked_is_not_taken_for_one_that_lists_nothing() -> None:
    async with opened(TRUTH, ["okx", "htx"]) as (lab, xm):
        lab.fault("okx", "status", path="/api/v5/public/instruments", code=403)
        frame = await xm.lookup("BTCUSDT")
        assert list(frame["exchange"]) == ["htx"]
        assert frame.attrs["dropped"]["okx"].startswith("restricted")
        assert frame.attrs["asked"] == ["okx", "htx"]
        with pytest.raises(xex.NoVenueAnswered, match="needs the instruments of okx"):
            await xm.lookup("okx:BTC-USDT")
        with pytest.raises(xex.NoVenueAnswered):
            await xm.lookup("NOSUCHUSDT")


# --- new listings, and delisted ones -----------------------------------------------------------------------------


def renamed(market: Market) -> Market:
    """Return a market of another coin."""
    name = market_id(market.venue, market.kind, "NEWT", market.quote, market.expiry)
    return dataclasses.replace(market, base="NEWT", id=name)


NEWS = [renamed(market) for market in TRUTH.markets if market.base == "BTC"]
BITCOIN = {
    "binance": {"USDT", "FDUSD", "EUR", "USDC", "USDT:USDT", "USD:NEWT", "USDT:USDT-261225", "USD:NEWT-261225"},
    "kraken": {"USD", "USDT", "EUR", "USDC", "USD:USD", "USD:NEWT", "USD:USD-261225", "USD:NEWT-261225"},
    **{
        name: {"USDT", "USDC", "USDT:USDT", "USD:NEWT", "USDT:USDT-261225", "USD:NEWT-261225"}
        for name in ("bybit", "htx", "okx")
    },
}  # fmt: skip


def lists_read(lab: Lab) -> list[str]:
    """Return the requests for lists of instruments."""
    return [seen.path_qs for seen in lab.seen if seen.path_qs.split("?")[0].endswith(METADATA)]


async def settled(lab: Lab) -> None:
    """Wait until nothing has been asked for a while."""
    count = -1
    while count != len(lab.seen):
        count = len(lab.seen)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("exchange", EXCHANGES)
async def test_a_new_listing_of_any_kind_is_there_once_the_list_is_read_again(exchange: str) -> None:
    async with opened(TRUTH, [exchange]) as (lab, xm):
        before = await xm.tickers()
        lists = len(lists_read(lab))
        lab.truth = TRUTH.adding(NEWS)
        lab.seen.clear()
        during = await xm.tickers()
        # Not known yet, hence left out: never under the venue's own name, never guessed.
        assert list(during["instrument"]) == list(before["instrument"])
        assert during["instrument"].str.contains("/").all()
        assert "NEWT" not in "".join(during["instrument"])
        await settled(lab)
        assert len(lists_read(lab)) == lists
        lab.seen.clear()
        after = await xm.tickers()
        new = after[after["base"] == "NEWT"]
        assert {name.partition("/")[2] for name in new["instrument"]} == BITCOIN[exchange]
        assert len(after) == len(before) + len(new)
        await settled(lab)
        assert lists_read(lab) == []


@pytest.mark.parametrize("exchange", EXCHANGES)
async def test_a_new_perpetual_is_left_out_until_the_list_is_read_again(exchange: str) -> None:
    news = [market for market in NEWS if market.kind == "linear" and not market.expiry]
    async with opened(TRUTH, [exchange]) as (lab, xm):
        before = await xm.tickers(market="perp")
        lab.truth = TRUTH.adding(news)
        lab.seen.clear()
        during = await xm.tickers(market="perp")
        assert list(during["instrument"]) == list(before["instrument"])
        await settled(lab)
        assert len(lists_read(lab)) == 1
        after = await xm.tickers(market="perp")
        assert len(after) == len(before) + 1
        assert "NEWT" in set(after["base"])


async def test_an_id_that_no_list_ever_names_is_asked_for_once() -> None:
    """Tickers of what is no instrument: a venue's own index, say."""
    hidden = [market for market in NEWS if (market.venue, market.kind) == ("okx", "linear") and not market.expiry]
    async with opened(TRUTH, ["okx"]) as (lab, xm):
        before = await xm.tickers(market="perp")
        lab.truth = TRUTH.adding(hidden)
        lab.fault("okx", "status", path="/api/v5/public/instruments", code=403)
        for _ in range(3):
            lab.seen.clear()
            again = await xm.tickers(market="perp")
            assert list(again["instrument"]) == list(before["instrument"])
            await settled(lab)
        assert lists_read(lab) == []


@pytest.mark.parametrize("question", ["get_cross_exchange_ticker", "books", "trades"])
async def test_a_new_listing_asked_for_by_name_is_found_at_once(monkeypatch: pytest.MonkeyPatch, question: str) -> None:
    async with opened(TRUTH) as (lab, xm):
        await xm.lookup("BTCUSDT")
        lab.truth = TRUTH.adding(NEWS)
        lab.seen.clear()
        with pytest.raises(xex.UnknownSymbol):
            await getattr(xm, question)("NEWTUSDT")
        # Whoever mistypes does not make venues send their lists again and again.
        assert lists_read(lab) == []
        monkeypatch.setattr(ccxt_adapter, "REFRESH_S", 0.0)
        found = await getattr(xm, question)("NEWTUSDT")
        assert set(found.answered if question.startswith("get") else found.attrs["answered"]) == {*EXCHANGES}
        # One list each, that of the perpetuals.
        assert len(lists_read(lab)) == len(EXCHANGES)


@pytest.mark.parametrize("text", ["NEWTUSDT", "okx:NEWT-USDT-SWAP"])
async def test_a_new_listing_asked_for_by_its_id_is_found_at_once(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    async with opened(TRUTH, ["okx"]) as (lab, xm):
        await xm.lookup("BTCUSDT")
        lab.truth = TRUTH.adding(NEWS)
        monkeypatch.setattr(ccxt_adapter, "REFRESH_S", 0.0)
        assert (await xm.lookup(text)).attrs["instrument"] == "NEWT/USDT:USDT"


GONE: Sequence[tuple[str, str, str]] = [
    ("binance", "linear", "ADAUSDT"), ("bybit", "linear", "ADAUSDT"), ("htx", "linear", "ADAUSDT"),
    ("krakenfutures", "linear", "ADAUSDT"), ("okx", "linear", "ADAUSDT"), ("okx", "spot", "ADA/USDT"),
    ("bybit", "inverse", "ETH/USD:ETH"),
]  # fmt: skip


@pytest.mark.parametrize(("venue", "kind", "text"), GONE)
async def test_a_delisted_market_is_in_no_frame_and_is_named(venue: str, kind: Any, text: str) -> None:
    exchange = venue.removesuffix("futures")
    base = "ETH" if text.startswith("ETH") else "ADA"
    async with opened(TRUTH) as (lab, xm):
        before = await xm.tickers(market=kind)
        lab.truth = TRUTH.without(venue, base, kind)
        after = await xm.tickers(market=kind)
        gone = before[(before["exchange"] == exchange) & (before["base"] == base)]
        assert len(after) == len(before) - len(gone) < len(before)
        assert base not in set(after[after["exchange"] == exchange]["base"])
        snap = await xm.get_cross_exchange_ticker(text)
        assert set(snap.dropped) == {exchange}
        assert snap.dropped[exchange] in {"not_listed", "bad_payload", "venue_error"}
        assert len(snap.dropped[exchange].detail) > 10
        assert exchange not in snap.answered


async def test_a_market_that_is_listed_as_closed_is_in_no_frame_and_is_named() -> None:
    closed = TRUTH.updating(TRUTH.market("okx", "ADA"), active=False)
    async with opened(closed) as (_, xm):
        market, listed = await xm.tickers(market="perp"), await xm.instruments(market="perp")
        snap, looked = await xm.get_cross_exchange_ticker("ADAUSDT"), await xm.lookup("ADAUSDT")
    mine = listed[(listed["exchange"] == "okx") & (listed["base"] == "ADA")]
    assert list(mine["active"]) == [False]
    assert "ADA" not in set(market[market["exchange"] == "okx"]["base"])
    assert snap.dropped == {"okx": "not_listed"}
    assert set(looked["exchange"]) == {"binance", "bybit", "htx", "kraken"}
    assert looked.attrs["dropped"]["okx"].startswith("not_listed")


async def test_a_list_is_not_believed_for_ever_nor_after_one_of_its_contracts_has_ended() -> None:
    market = TRUTH.market("okx", "BTC", "linear")
    async with opened(TRUTH) as (lab, xm):
        await xm.connect_all()
        connector: Any = xm._entries["okx"].connector
        lab.truth = TRUTH.replacing(market.with_contract_size(market.contract_size * 10))
        assert not connector._outdated("linear")
        for taken in ((-1e9, math.inf), (connector._taken["linear"][0], 0.0)):  # old; a contract has ended
            connector._taken["linear"], connector._tried["linear"] = taken, -1e9
            table = await connector.listings(["linear"])
            row = table.find(parse_symbol("BTCUSDT").instrument)
            assert table.columns["contract_size"][row] == float(market.contract_size * 10)
            assert not connector._outdated("linear")


async def test_one_leg_that_has_ended_costs_nobody_the_answer() -> None:
    async with opened(TRUTH) as (lab, xm):
        await xm.get_cross_exchange_ticker("BTC/USDT", currency="USD")
        lab.truth = TRUTH.without("kraken", "ADA", "spot").without("binance", "ADA", "spot")
        snap = await xm.get_cross_exchange_ticker("BTC/USDT", currency="USD")
    assert {"binance", "kraken"} <= set(snap.answered)
    assert snap.dropped == {}
