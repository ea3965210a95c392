"""Every fault of every venue: the others answer in time, the faulty one is named with a reason that fits."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from tests.conftest import VENUES, ManagerFor, configured
from tests.lab import FAULTS, Lab, default_truth, running_lab
from xex.access import budgets
from xex.answer import CrossExchangeData
from xex.config import ExchangeConfig
from xex.errors import Dropped, NoVenueAnswered
from xex.manager import ExchangeManager

SYMBOL = "BTCUSDT"
DEADLINE_S = 0.4
GRACE_S = 0.15
TRUTH = default_truth()
BTC_MID = TRUTH.market("binance", "BTC").mid

# Kraken lists perpetuals in USD only, so its futures make the row and its spot books only the rate.
PLACES = ("binance", "okx", "kraken", "krakenfutures")

ARGUMENTS: dict[str, dict[str, Any]] = {
    "stale": {"seconds": 600},
    "skew": {"seconds": 30},
    "bomb": {"megabytes": 80},
    "slow_drip": {"chunk": 1, "interval": 0.02},
}

# No answer came: what the reason may be. A venue that says something says it in its own way.
LOST: dict[str, dict[str, set[str]]] = {
    "status": {"": {"http_error"}},
    "html": {"": {"bad_payload"}},
    "empty": {"": {"bad_payload"}},
    "scalar": {"": {"bad_payload"}},
    "truncated": {"": {"bad_payload"}},
    "short": {"": {"bad_payload", "unreachable"}},
    "no_rows": {"": {"bad_payload"}},
    "missing_key": {"": {"bad_payload"}},
    "nan_literal": {"": {"bad_payload"}},
    "reset": {"": {"unreachable"}},
    "close": {"": {"unreachable"}},
    "hang": {"": {"late", "timeout"}},
    "hang_body": {"": {"late", "timeout"}},
    "slow_drip": {"": {"late", "timeout"}},
    "redirect": {"": {"http_error"}},
    "rate_limited": {"": {"rate_limited"}},
    # 418 at Binance; a web page with 403 at the others' doors.
    "banned": {"binance": {"banned"}, "": {"restricted", "banned"}},
    # Binance answers 503, OKX code 50001, Kraken Futures "Unavailable": all of them did answer.
    "venue_error": {"binance": {"http_error", "maintenance", "venue_error"}, "": {"maintenance", "venue_error"}},
}
# An answer came and its row is not used.
UNUSED: dict[str, dict[str, set[str]]] = {
    "crossed": {"": {"crossed"}},
    "empty_book": {"kraken": {"last_only", "no_rate"}, "": {"last_only"}},
    "null": {"": {"no_quote"}},
    "nan": {"": {"no_quote"}},
    "negative": {"": {"no_quote"}},
    "wrong_symbol": {"": {"suspect"}},
    # Kraken Futures dates no quote: only the last trade, which may rightly be hours old.
    "stale": {"kraken": set(), "krakenfutures": set(), "": {"stale"}},
    "skew": {"": set()},
}
ALONE = {"bomb"}  # decompressed and packed in one process; it has a test of its own


def allowed(kind: str, place: str) -> set[str]:
    """Return the reasons that fit, none where the venue must stay."""
    table = LOST.get(kind) or UNUSED[kind]
    return table.get(place, table[""])


def venue_of(place: str) -> str:
    return "kraken" if place == "krakenfutures" else place


def numbers(snap: CrossExchangeData) -> dict[str, float]:
    """Return what a dropped venue may not move. Two venues weigh the same, so that ages do not matter."""
    return {
        "price": snap.aggregated_price,
        "price_variance": snap.price_variance,
        "dispersion_bps": snap.dispersion_bps,
        "liquidity": snap.liquidity_score,
        "books": snap.liquidity_books[0],
    }


def volumes(snap: CrossExchangeData) -> dict[str, float]:
    return {"base": snap.volume_total, "quote": snap.volume_total_quote}


_baselines: dict[str, CrossExchangeData] = {}


async def without(venue: str) -> CrossExchangeData:
    """Return the answer of the same world asked of the other venues only."""
    if venue not in _baselines:
        others = [name for name in VENUES if name != venue]
        async with Lab(TRUTH) as lab, ExchangeManager(cache=False) as xm:
            for name in others:
                assert xm.add_exchange(ExchangeConfig(name, name, base_url=lab.url(name)))
            _baselines[venue] = await xm.get_cross_exchange_ticker(SYMBOL)
    return _baselines[venue]


async def asked(xm: ExchangeManager, *, deadline: float = DEADLINE_S) -> tuple[CrossExchangeData, float]:
    started = time.perf_counter()
    snap = await xm.get_cross_exchange_ticker(SYMBOL, deadline=deadline)
    return snap, time.perf_counter() - started


def flags_of(snap: CrossExchangeData, exchange: str) -> list[str]:
    row = list(snap.columns["exchange"]).index(exchange)
    return str(snap.columns["flags"][row]).split(",")


def test_the_tables_name_every_fault() -> None:
    assert set(LOST) | set(UNUSED) | ALONE == set(FAULTS)
    names = {str(reason) for reason in Dropped} - {"internal"}
    assert all(reasons <= names for table in (LOST, UNUSED) for by in table.values() for reasons in by.values())


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", sorted(set(LOST) | set(UNUSED)))
async def test_one_faulty_venue_costs_itself_only(
    kind: str, place: str, warm: bool, lab: Lab, manager_for: ManagerFor
) -> None:
    venue, expected = venue_of(place), await without(venue_of(place))
    xm = manager_for(lab)
    if warm:
        await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault(place, kind, **ARGUMENTS.get(kind, {}))
    snap, seconds = await asked(xm)
    reasons = allowed(kind, place)
    assert seconds <= DEADLINE_S + GRACE_S
    assert set(snap.dropped) == ({venue} if reasons else set())
    assert {"internal", ""}.isdisjoint(map(str, snap.dropped.values()))
    assert set(VENUES) - {venue} <= set(snap.answered)
    if not reasons:
        assert venue in snap.answered
        assert snap.exchanges_data[venue]["weight"] > 0
        return
    drop = snap.dropped[venue]
    assert str(drop) in reasons, drop.text
    assert drop.detail
    assert "Traceback" not in drop.detail
    assert "127.0.0.1" not in drop.detail
    assert numbers(snap) == pytest.approx(numbers(expected), rel=1e-9)
    if kind in LOST:
        assert venue not in snap.answered
        assert venue in snap.volume_partial
    else:
        assert snap.exchanges_data[venue]["weight"] == 0
    if kind in LOST or str(drop) in {"stale", "suspect"}:
        assert volumes(snap) == pytest.approx(volumes(expected), rel=1e-9)


@pytest.mark.parametrize("kind", sorted(set(LOST) | set(UNUSED)))
async def test_faults_of_the_rate_source_cost_a_source(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    """Kraken's spot books only convert; the perpetuals of the others give the rate without them."""
    xm = manager_for(lab)
    lab.fault("kraken", kind, path="/0/", **ARGUMENTS.get(kind, {}))
    snap, seconds = await asked(xm)
    assert seconds <= DEADLINE_S + GRACE_S
    assert snap.dropped == {}
    assert set(snap.answered) == set(VENUES)
    source = str(snap.columns["fx_source"][list(snap.columns["exchange"]).index("kraken")])
    assert "ratio:linear" in source
    # The world's one rate, from which no source of the lab is further than the ticks of its books.
    assert snap.exchanges_data["kraken"]["fx_rate"] == pytest.approx(1 / float(TRUTH.usdt_usd), rel=3e-4)


# --- one endpoint of a venue ---------------------------------------------------------------------------------

ENDPOINT_FAULTS = ("hang", "slow_drip", "status", "html", "truncated", "no_rows", "venue_error", "reset", "nan_literal")
BOOKS = {
    "binance": "/fapi/v1/depth",
    "okx": "/api/v5/market/books",
    "kraken": "/derivatives/api/v3/orderbook",
}
CLOCKS = {"binance": "/fapi/v1/time", "okx": "/api/v5/public/time", "kraken": "/0/public/Time"}
INSTRUMENTS = {
    "binance": "/fapi/v1/exchangeInfo",
    "okx": "/api/v5/public/instruments",
    "kraken": "/derivatives/api/v3/instruments",
}


@pytest.mark.parametrize("kind", ENDPOINT_FAULTS)
@pytest.mark.parametrize("venue", VENUES)
async def test_without_a_book_the_ticker_counts(venue: str, kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    lab.fault(venue, kind, path=BOOKS[venue])
    snap, seconds = await asked(xm)
    assert seconds <= DEADLINE_S + GRACE_S
    assert snap.dropped == {}
    assert snap.exchanges_data[venue]["weight"] > 0
    assert any(flag.startswith("no_book:") for flag in flags_of(snap, venue))
    assert "no_book:internal" not in flags_of(snap, venue)
    assert snap.liquidity_books == (2, 3)


@pytest.mark.parametrize("kind", ENDPOINT_FAULTS)
@pytest.mark.parametrize("path", ["/fapi/v1/ticker/24hr", "/fapi/v1/ticker/bookTicker"])
async def test_half_of_a_ticker_is_flagged(path: str, kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    """Binance gives quotes and 24 hour figures by two endpoints; the book has the quote as well."""
    xm = manager_for(lab)
    lab.fault("binance", kind, path=path)
    snap, seconds = await asked(xm)
    assert seconds <= DEADLINE_S + GRACE_S
    assert snap.dropped == {}
    assert snap.exchanges_data["binance"]["weight"] > 0
    assert "partial" in flags_of(snap, "binance")
    assert snap.volume_partial == (["binance"] if path.endswith("24hr") else [])


@pytest.mark.parametrize("kind", ENDPOINT_FAULTS)
@pytest.mark.parametrize("venue", VENUES)
async def test_a_clock_that_cannot_be_read_costs_nothing(
    venue: str, kind: str, lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab)
    lab.fault(venue, kind, path=CLOCKS[venue])
    snap, seconds = await asked(xm)
    assert seconds <= DEADLINE_S + GRACE_S
    assert snap.dropped == {}
    assert snap.aggregated_price == snap.aggregated_price


@pytest.mark.parametrize("kind", [kind for kind in ENDPOINT_FAULTS if kind != "nan_literal"])  # holds no prices
@pytest.mark.parametrize("venue", VENUES)
async def test_without_instruments_a_venue_is_named_and_later_recovers(
    venue: str, kind: str, lab: Lab, manager_for: ManagerFor
) -> None:
    """Also: once the instruments are known, their list may fail."""
    xm = manager_for(lab, timeout_s=DEADLINE_S / 2)
    lab.fault(venue, kind, path=INSTRUMENTS[venue])
    snap, seconds = await asked(xm)
    assert seconds <= DEADLINE_S + GRACE_S
    assert set(snap.dropped) == {venue}
    assert str(snap.dropped[venue]) in allowed(kind, "krakenfutures" if venue == "kraken" else venue)
    lab.heal()
    healed, _ = await asked(xm, deadline=2.0)
    assert healed.dropped == {}
    lab.fault(venue, kind, path=INSTRUMENTS[venue])
    again, _ = await asked(xm)
    assert again.dropped == {}


@pytest.mark.parametrize("kind", ENDPOINT_FAULTS)
async def test_books_of_the_rate_may_fail(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    """The spot tickers came: they are sources of their own."""
    xm = manager_for(lab)
    lab.fault("kraken", kind, path="/0/public/Depth")
    snap, _ = await asked(xm)
    assert snap.dropped == {}
    source = str(snap.columns["fx_source"][list(snap.columns["exchange"]).index("kraken")])
    assert "ratio:spot" in source


async def test_a_book_of_another_pair_is_no_rate(lab: Lab, manager_for: ManagerFor) -> None:
    """Kraken names the pair in the body: USDC/USD in place of USDT/USD would be a silent error of some bps."""
    # Nothing but the direct pair can give the rate.
    lab.truth = TRUTH.only("BTC", "USDT", "USDC")
    direct = TRUTH.market("kraken", "USDT", "spot", "USD")
    truthful, _ = await asked(manager_for(lab))
    assert truthful.exchanges_data["kraken"]["fx_rate"] == pytest.approx(float(1 / direct.mid), rel=1e-9)
    lab.fault("kraken", "wrong_symbol", path="/0/public/Depth", symbol="USDCUSD")
    lied_to, _ = await asked(manager_for(lab))
    rate = lied_to.exchanges_data["kraken"]["fx_rate"]
    assert rate != rate or rate == pytest.approx(float(1 / direct.mid), rel=1e-9)


# --- lies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-30, 30, 3600, -3600])
@pytest.mark.parametrize("venue", VENUES)
async def test_a_clock_that_is_off_is_corrected(venue: str, seconds: int, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    lab.fault(venue, "skew", seconds=seconds)
    for _ in range(2):
        snap, _ = await asked(xm, deadline=2.0)
        assert snap.dropped == {}
        # Right within the trip there and back; Kraken's clock reads whole seconds.
        assert 0 <= snap.exchanges_data[venue]["age_ms"] < 1500
        assert snap.exchanges_data[venue]["weight"] > 0


@pytest.mark.parametrize("venue", ["binance", "okx"])
async def test_quotes_of_the_future_are_not_older_than_now(venue: str, lab: Lab, manager_for: ManagerFor) -> None:
    """The quote is dated a minute ahead, the venue's clock is right."""
    xm = manager_for(lab)
    lab.fault(venue, "stale", seconds=-60)
    snap, _ = await asked(xm)
    assert snap.exchanges_data[venue]["age_ms"] == 0
    assert snap.aggregated_price == snap.aggregated_price
    assert "internal" not in map(str, snap.dropped.values())


@pytest.mark.parametrize("venue", ["binance", "okx"])
@pytest.mark.parametrize(("seconds", "dropped"), [(9, False), (11, True), (600, True), (86_400, True)])
async def test_old_quotes_and_their_volume_do_not_count(
    venue: str, seconds: int, dropped: bool, lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab)
    lab.fault(venue, "stale", seconds=seconds)
    snap, _ = await asked(xm, deadline=2.0)
    assert snap.exchanges_data[venue]["age_ms"] == pytest.approx(1000 * seconds, abs=300)
    assert [str(reason) for reason in snap.dropped.values()] == (["stale"] if dropped else [])
    volume = sum(TRUTH.market(name, "BTC").base_volume for name in ("binance", "okx"))
    volume += TRUTH.market("krakenfutures", "BTC").base_volume
    if dropped:
        volume -= TRUTH.market(venue, "BTC").base_volume
        assert f"{seconds}" in snap.dropped[venue].detail
    assert snap.volume_total == pytest.approx(float(volume), rel=1e-9)


async def test_a_stale_majority_is_no_price(lab: Lab, manager_for: ManagerFor) -> None:
    """Both dated venues are frozen: what is left is one venue, and the answer says so."""
    xm = manager_for(lab)
    lab.fault("binance", "stale", seconds=600)
    lab.fault("okx", "stale", seconds=600)
    snap, _ = await asked(xm)
    assert {name: str(drop) for name, drop in snap.dropped.items()} == {"binance": "stale", "okx": "stale"}
    assert "single_source" in snap.flags
    assert snap.exchanges_data["kraken"]["weight"] == 1


async def test_two_liars_cannot_outvote_their_own_disagreement(lab: Lab, manager_for: ManagerFor) -> None:
    """Three prices far apart have no majority: no price is better than any of them."""
    xm = manager_for(lab)
    lab.truth = TRUTH.with_premium("binance", "BTC", 500).with_premium("okx", "BTC", -500)
    snap, _ = await asked(xm)
    assert "disagree" in snap.flags
    assert snap.aggregated_price != snap.aggregated_price
    assert {str(drop) for drop in snap.dropped.values()} == {"disagree"}
    assert snap.arbitrage_opportunities == []


@pytest.mark.parametrize("kind", ["crossed", "wrong_symbol", "stale", "negative", "null"])
async def test_lies_make_no_opportunity(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    lab.fault("okx", kind, **ARGUMENTS.get(kind, {}))
    snap, _ = await asked(xm)
    assert snap.arbitrage_opportunities == []


# --- more than one ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hang", "status", "reset", "html", "null", "banned"])
async def test_two_faulty_venues_leave_one_that_says_so(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    lab.fault("binance", kind)
    lab.fault("kraken", kind)
    snap, seconds = await asked(xm)
    assert seconds <= DEADLINE_S + GRACE_S
    assert set(snap.dropped) == {"binance", "kraken"}
    assert "single_source" in snap.flags
    assert snap.aggregated_price == pytest.approx(float(TRUTH.market("okx", "BTC").mid), rel=1e-12)
    assert snap.price_variance != snap.price_variance


@pytest.mark.parametrize("kind", sorted(LOST))
async def test_no_venue_at_all_names_each(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    for venue in VENUES:
        lab.fault(venue, kind, **ARGUMENTS.get(kind, {}))
    started = time.perf_counter()
    with pytest.raises(NoVenueAnswered) as caught:
        await xm.get_cross_exchange_ticker(SYMBOL, deadline=DEADLINE_S)
    assert time.perf_counter() - started <= DEADLINE_S + GRACE_S
    assert set(caught.value.dropped) == set(VENUES)
    for venue in VENUES:
        assert str(caught.value.dropped[venue]) in allowed(kind, venue)
        assert f"{venue}: " in str(caught.value)


@pytest.mark.parametrize("kind", ["null", "negative", "crossed", "nan"])
async def test_answers_without_a_usable_quote_are_no_price(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    """Every venue answered, and none can be used: an answer without a price, not an error."""
    xm = manager_for(lab)
    for venue in VENUES:
        lab.fault(venue, kind)
    snap, _ = await asked(xm)
    assert set(snap.dropped) == set(VENUES)
    assert snap.aggregated_price != snap.aggregated_price
    assert "no_data" in snap.flags
    assert snap.arbitrage_opportunities == []


async def test_last_prices_speak_only_when_nobody_quotes(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    for venue in ("binance", "okx"):
        lab.fault(venue, "empty_book")
    one_quotes, _ = await asked(xm)
    assert {name: str(drop) for name, drop in one_quotes.dropped.items()} == {
        "binance": "last_only",
        "okx": "last_only",
    }
    lab.fault("kraken", "empty_book", path="/derivatives/")
    nobody, _ = await asked(xm)
    assert nobody.dropped == {}
    assert "last_only" in nobody.flags
    lasts = [float(TRUTH.market(venue, "BTC").last) for venue in ("binance", "okx")]
    assert min(lasts) * 0.999 < nobody.aggregated_price < max(lasts) * 1.001
    assert nobody.arbitrage_opportunities == []


# --- recovery, retries, pauses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["status", "html", "truncated", "reset", "close", "empty", "short"])
@pytest.mark.parametrize("venue", VENUES)
async def test_one_hiccup_is_asked_again(venue: str, kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault(venue, kind, times=1)
    snap, _ = await asked(xm, deadline=2.0)
    assert snap.dropped == {}
    assert all(not flag.startswith(("no_book", "partial")) for flag in flags_of(snap, venue))


@pytest.mark.parametrize("kind", ["rate_limited", "banned"])
async def test_who_was_told_to_wait_sends_nothing(kind: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault("binance", kind, retry_after=60)
    before, _ = await asked(xm)
    lab.heal()
    lab.seen.clear()
    after, seconds = await asked(xm)
    expected = "banned" if kind == "banned" else "rate_limited"
    for snap in (before, after):
        assert str(snap.dropped["binance"]) == expected
    assert [seen for seen in lab.seen if seen.venue == "binance"] == []
    assert seconds < DEADLINE_S


async def test_a_pause_ends_when_the_venue_said(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault("binance", "rate_limited", retry_after="0.03")
    dropped, _ = await asked(xm)
    assert str(dropped.dropped["binance"]) == "rate_limited"
    lab.heal()
    await asyncio.sleep(0.04)
    healed, _ = await asked(xm)
    assert healed.dropped == {}


@pytest.mark.parametrize("venue", ["okx", "kraken"])
async def test_a_limit_told_in_the_body_pauses_as_well(venue: str, lab: Lab, manager_for: ManagerFor) -> None:
    """OKX answers 50011 and Kraken "Rate limit exceeded" with status 200."""
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault(venue, "rate_limited")
    await asked(xm)
    lab.heal()
    lab.seen.clear()
    snap, _ = await asked(xm)
    assert str(snap.dropped[venue]) == "rate_limited"
    assert [seen for seen in lab.seen if seen.venue == venue] == []


async def test_a_limit_is_no_reason_to_ask_again_at_once(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.seen.clear()
    fault = lab.fault("binance", "rate_limited", path="/fapi/v1/depth", retry_after=30)
    await asked(xm)
    assert fault.hits == 1


async def test_redirects_are_not_followed(lab: Lab, manager_for: ManagerFor) -> None:
    """A redirect may lead anywhere, with whatever the request carries."""
    xm = manager_for(lab)
    lab.fault("binance", "redirect", location=f"{lab.url('okx')}/elsewhere")
    snap, _ = await asked(xm)
    assert str(snap.dropped["binance"]) == "http_error"
    assert not [seen for seen in lab.seen if "elsewhere" in seen.path_qs]


STATUSES = {
    400: {"http_error", "venue_error"},
    401: {"auth", "http_error", "venue_error"},
    403: {"restricted", "venue_error"},
    404: {"http_error", "venue_error"},
    408: {"http_error", "timeout"},
    413: {"http_error", "venue_error"},
    418: {"banned"},
    429: {"rate_limited"},
    # Whatever it says: 451 means that this place is not served.
    451: {"restricted"},
    500: {"http_error"},
    502: {"http_error"},
    503: {"http_error", "maintenance"},
    520: {"http_error"},
    529: {"http_error"},
    599: {"http_error"},
}


@pytest.mark.parametrize("body", ["<html>no</html>", '{"what": "no"}', "{}", "[]", ""])
@pytest.mark.parametrize("code", STATUSES)
@pytest.mark.parametrize("venue", VENUES)
async def test_every_status_has_its_reason(venue: str, code: int, body: str, lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    lab.fault(venue, "status", code=code, body=body)
    snap, _ = await asked(xm)
    drop = snap.dropped[venue]
    assert str(drop) in STATUSES[code], drop.text
    assert str(code) in drop.detail, drop.text


WORDS: list[tuple[str, int, str, set[str]]] = [
    ("binance", 451, '{"code": 0, "msg": "Service unavailable from a restricted location"}', {"restricted"}),
    ("binance", 400, '{"code": -1121, "msg": "Invalid symbol."}', {"not_listed"}),
    ("binance", 400, '{"code": -1021, "msg": "Timestamp for this request is outside"}', {"venue_error"}),
    ("binance", 401, '{"code": -2015, "msg": "Invalid API-key, IP, or permissions"}', {"auth"}),
    ("binance", 403, "<html>CloudFront</html>", {"restricted"}),
    ("okx", 200, '{"code": "50001", "msg": "Service temporarily unavailable", "data": []}', {"maintenance"}),
    ("okx", 200, '{"code": "51001", "msg": "Instrument ID does not exist", "data": []}', {"not_listed"}),
    ("okx", 200, '{"code": "50011", "msg": "Too Many Requests", "data": []}', {"rate_limited"}),
    ("okx", 401, '{"code": "50111", "msg": "Invalid OK-ACCESS-KEY", "data": []}', {"auth"}),
    ("okx", 200, '{"code": "1", "msg": "All operations failed", "data": []}', {"venue_error"}),
    ("krakenfutures", 200, '{"result": "error", "error": "apiLimitExceeded"}', {"rate_limited"}),
    ("krakenfutures", 200, '{"result": "error", "error": "Unavailable"}', {"maintenance", "venue_error"}),
    ("krakenfutures", 200, '{"result": "error", "error": "authenticationError"}', {"auth"}),
]


@pytest.mark.parametrize(("place", "code", "body", "reasons"), WORDS)
async def test_the_venues_own_words_decide(
    place: str, code: int, body: str, reasons: set[str], lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab)
    await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault(place, "status", code=code, body=body)
    snap, _ = await asked(xm)
    drop = snap.dropped[venue_of(place)]
    assert str(drop) in reasons, drop.text
    assert drop.detail


@pytest.mark.parametrize(
    "body", ["{}", "[]", '{"data": {}}', '{"code": "0"}', "[[]]", '{"result": null}', "[1, 2]", '"x"']
)
@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_json_of_another_shape_is_no_answer(
    warm: bool, venue: str, body: str, lab: Lab, manager_for: ManagerFor
) -> None:
    xm = manager_for(lab)
    if warm:
        await xm.get_cross_exchange_ticker(SYMBOL)
    lab.fault(venue, "status", code=200, body=body)
    snap, _ = await asked(xm)
    assert set(snap.dropped) == {venue}
    assert str(snap.dropped[venue]) in {"bad_payload", "venue_error"}, snap.dropped[venue].text


@pytest.mark.usefixtures("loaded")
async def test_a_bomb_is_stopped_once_and_harms_nobody(manager_for: ManagerFor) -> None:
    """A small body that unpacks beyond every bound: read no further than the bound, and not asked for again."""
    with running_lab(TRUTH) as lab:
        xm = manager_for(lab)
        await xm.get_cross_exchange_ticker(SYMBOL)
        fault = lab.fault("okx", "bomb", path="/api/v5/market/books", megabytes=80)
        snap, _ = await asked(xm, deadline=5.0)
        assert snap.dropped == {}
        assert "no_book:bad_payload" in flags_of(snap, "okx")
        assert fault.hits == 1
        await xm.disconnect_all()


async def test_state_follows_the_faults(lab: Lab, manager_for: ManagerFor) -> None:
    xm = manager_for(lab)
    assert xm.get_exchange_status()["okx"]["status"] == "unknown"
    await xm.get_cross_exchange_ticker(SYMBOL)
    assert xm.get_exchange_status()["okx"]["status"] == "up"
    lab.fault("okx", "status")
    await asked(xm)
    state = xm.get_exchange_status()["okx"]
    assert state["status"] == "down"
    assert state["error_count"] > 0
    assert 0 < state["uptime_percentage"] < 100
    assert "HTTP 500" in str(state["last_error"])
    lab.heal()
    await asked(xm, deadline=2.0)
    assert xm.get_exchange_status()["okx"]["status"] == "up"
    assert budgets.PROCESS._pauses == {}


# --- odd bodies ------------------------------------------------------------------------------------------------

# What a field may hold that it should not. Integers beyond any float are legal JSON.
ODD: list[Any] = [
    None, "", "abc", [], {}, -1, 0, True, False, "NaN", "inf", "1e999", "-5", 1e308, -1e308, 10**400, [[]], [None],
    {"a": 1}, "0", "  ", "١٢٣", 1e-320, "0x10", [1, 2, 3, 4], "null", "2026-13-45T99:00:00Z", 10**20, -(10**14),
]  # fmt: skip


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value of a body."""
    cells = body.items() if isinstance(body, dict) else enumerate(body[:30]) if isinstance(body, list) else ()
    for key, value in cells:
        yield (*path, key)
        yield from places(value, (*path, key))


def everywhere(body: Any, key: str, odd: Any) -> None:
    """Set every field of this name."""
    for name, value in list(body.items()) if isinstance(body, dict) else list(enumerate(body)):
        if name == key:
            body[name] = copy.deepcopy(odd)
        elif isinstance(value, dict | list):
            everywhere(value, key, odd)


def distorted(body: Any, dice: random.Random) -> Any:
    """Return a body with some fields missing or holding something odd."""
    made, paths = copy.deepcopy(body), list(places(body))
    for _ in range(dice.choice([1, 1, 1, 2, 5, 40])):
        *above, last = dice.choice(paths)
        holder, odd, way = made, dice.choice(ODD), dice.random()
        with suppress(KeyError, IndexError, TypeError):
            for key in above:
                holder = holder[key]
            if not isinstance(holder, dict | list):
                continue
            if way < 0.25:
                del holder[last]
            elif way < 0.35 and isinstance(last, str):
                everywhere(made, last, odd)
            else:
                holder[last] = copy.deepcopy(odd)
    return made


async def bodies_of(lab: Lab) -> dict[tuple[str, str], Any]:
    """Return what a question hears, by venue and path."""
    async with ExchangeManager(cache=False) as xm:
        for venue in VENUES:
            assert xm.add_exchange(configured(lab, venue))
        await xm.get_cross_exchange_ticker(SYMBOL)
    found = {}
    async with aiohttp.ClientSession() as session:
        for seen in list(lab.seen):
            async with session.get(lab.url(seen.venue) + seen.path_qs) as answer:
                found[seen.venue, seen.path_qs.partition("?")[0]] = await answer.json()
    return found


async def asked_of_odd(lab: Lab, venue: str, path: str, text: str) -> CrossExchangeData:
    """Ask as if for the first time while one endpoint holds `text`."""
    budgets.PROCESS._ledgers.clear()
    budgets.PROCESS._pauses.clear()
    lab._weights.clear()
    lab.heal()
    lab.fault(venue, "status", path=path, code=200, body=text)
    async with ExchangeManager(cache=False) as xm:
        for name in VENUES:
            assert xm.add_exchange(configured(lab, name))
        return await xm.get_cross_exchange_ticker(SYMBOL, deadline=2)


@pytest.mark.parametrize("batch", range(8))
async def test_odd_bodies_cost_their_venue_at_most(batch: int, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an endpoint holds, nothing raises, nobody else is dropped, the price stays."""
    bodies = await bodies_of(lab)
    right = float(BTC_MID)
    for seed in range(25 * batch, 25 * batch + 25):
        dice = random.Random(seed)
        venue, path = dice.choice(sorted(bodies))
        text = json.dumps(distorted(bodies[venue, path], dice))
        snap = await asked_of_odd(lab, venue, path, text)
        where = f"seed {seed}: {venue} {path}"
        assert set(snap.dropped) <= {venue}, f"{where}: {snap.dropped}"
        assert "internal" not in map(str, snap.dropped.values()), f"{where}: {snap.dropped[venue].text}"
        assert snap.aggregated_price == pytest.approx(right, rel=5e-4), where
        assert snap.arbitrage_opportunities == [], where
        json.dumps(snap.as_dict(), allow_nan=False)
        assert len(snap.frame) == len(snap.answered)
        tracebacks = [record.getMessage() for record in caplog.records if record.exc_info]
        assert tracebacks == [], where
        caplog.clear()


ODD_FIELDS = [
    ("binance", "/fapi/v1/ticker/bookTicker", "time"),
    ("binance", "/fapi/v1/ticker/bookTicker", "askQty"),
    ("binance", "/fapi/v1/ticker/24hr", "closeTime"),
    ("okx", "/api/v5/market/tickers", "ts"),
    ("okx", "/api/v5/market/tickers", "bidPx"),
    ("okx", "/api/v5/market/tickers", "volCcy24h"),
    ("okx", "/api/v5/market/books", "bids"),
    ("okx", "/api/v5/public/instruments", "ctVal"),
    ("okx", "/api/v5/public/time", "ts"),
    ("kraken", "/derivatives/api/v3/tickers", "lastTime"),
    ("kraken", "/derivatives/api/v3/tickers", "suspended"),
    ("kraken", "/derivatives/api/v3/orderbook", "serverTime"),
    ("kraken", "/0/public/Ticker", "b"),
    ("kraken", "/0/public/AssetPairs", "wsname"),
]


@pytest.mark.parametrize(("venue", "path", "key"), ODD_FIELDS)
async def test_an_odd_field_in_every_row_is_the_venue_s_own_loss(
    venue: str, path: str, key: str, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    body = (await bodies_of(lab))[venue, path]
    for odd in ODD:
        made = copy.deepcopy(body)
        everywhere(made, key, odd)
        snap = await asked_of_odd(lab, venue, path, json.dumps(made))
        where = f"{key} = {odd!r:.30}"
        assert set(snap.dropped) <= {venue}, where
        assert "internal" not in map(str, snap.dropped.values()), f"{where}: {snap.dropped[venue].text}"
        assert snap.aggregated_price == pytest.approx(float(BTC_MID), rel=5e-4), where
        assert [record.getMessage() for record in caplog.records if record.exc_info] == [], where


@pytest.mark.parametrize("rule", ["PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL"])
async def test_one_instrument_without_a_rule_costs_nobody_else(rule: str, lab: Lab, manager_for: ManagerFor) -> None:
    """Binance keeps trading rules in a list; not every symbol has every rule."""
    path = INSTRUMENTS["binance"]
    async with aiohttp.ClientSession() as session, session.get(lab.url("binance") + path) as answer:
        body = await answer.json()
    odd = next(row for row in body["symbols"] if row["symbol"] == "ADAUSDT")
    odd["filters"] = [one for one in odd["filters"] if one["filterType"] != rule]
    lab.fault("binance", "status", path=path, code=200, body=json.dumps(body))
    xm = manager_for(lab)
    assert (await asked(xm, deadline=2))[0].dropped == {}
    ada = await xm.get_cross_exchange_ticker("ADAUSDT", deadline=2)
    assert "internal" not in map(str, ada.dropped.values())
    assert set(ada.answered) >= {"okx", "kraken"}


async def test_without_a_single_pair_for_rates_there_is_no_rate_and_no_noise(
    lab: Lab, manager_for: ManagerFor, caplog: pytest.LogCaptureFixture
) -> None:
    """Kraken's spot market lists a pair that is no source of a rate."""
    spot = [market for market in TRUTH.markets if (market.venue, market.kind) == ("kraken", "spot")]
    lab.truth = TRUTH.without("kraken").adding([next(one for one in spot if one.base == "BTC")])
    snap, _ = await asked(manager_for(lab), deadline=2)
    assert set(snap.dropped) <= {"kraken"}
    assert "internal" not in map(str, snap.dropped.values())
    assert snap.aggregated_price == pytest.approx(float(BTC_MID), rel=5e-4)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
