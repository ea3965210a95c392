"""Which assets a study should look at: hand-made worlds, and what xex keeps, leaves out and adds up in them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import pandas as pd
import pytest

import xex
from tests import oracle
from tests.expected import EXCHANGES, RATIO_BASES, assert_close, row_of, volumes
from tests.lab import Market, Truth, default_truth, extra_markets
from tests.test_conversion import legs, opened

CALM = default_truth(levels=2).adding(extra_markets(levels=2))
EXPIRY = "261225"
# What stands in each kind of market of the calm world, the most traded first, and who trades it.
PERPS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "LTC", "ADA", "PEPE", "SHIB")
FAIR = {"BTC": 96512.4, "ETH": 3351.27, "SOL": 194.83, "PEPE": 0.0000120514, "SHIB": 0.000021807}


def aged(venue: str, base: str) -> Truth:
    """Return the calm world in which one venue's quotes of an asset are a minute old."""
    return CALM.changed(
        lambda m: dataclasses.replace(m, quote_age_ms=60_000) if (m.venue, m.base) == (venue, base) else m
    )


def without_bids(truth: Truth, venue: str, base: str) -> Truth:
    """Return a world in which nobody bids for an asset on one venue."""
    return truth.updating(truth.market(venue, base), bids=())


async def universe(truth: Truth, kind: str = "perp", names: Iterable[str] = EXCHANGES, **options: Any) -> pd.DataFrame:
    async with opened(truth, names) as (_, xm):
        return await xm.universe(kind, **options)


def row_for(frame: pd.DataFrame, group: str) -> dict[str, Any]:
    (row,) = frame[frame["group"] == group].fillna({"excluded": ""}).to_dict("records")
    return {str(name): cell for name, cell in row.items()}


def of_group(truth: Truth, base: str, kind: str, expiry: str = "") -> list[tuple[str, Market]]:
    """Return the markets of one group, each with its exchange."""
    return [
        (exchange, market)
        for exchange in EXCHANGES
        for market in truth.of(row_of(exchange, kind), kind, expiry)  # type: ignore[arg-type]
        if market.base == base
    ]


def worth(
    truth: Truth, markets: Iterable[tuple[str, Market]], currency: str = "USD", *, perpetuals: bool = True
) -> tuple[Fraction, Fraction]:
    """Return base volume, and turnover at the oracle's rates; `perpetuals` says whether the same answer has them."""
    base_volume, turnover = Fraction(0), Fraction(0)
    for exchange, market in markets:
        kind = "linear" if market.kind == "linear" else "spot"
        sources = legs(truth, EXCHANGES, kind, {"EUR", currency})
        if market.expiry and not perpetuals:
            sources = legs(truth, (), "spot", {"EUR", currency})
        asset = market.base if market.base in RATIO_BASES else ""
        fx = oracle.exchange_rate(sources, market.quote, currency, asset)
        assert fx is not None
        coins, quoted = volumes(exchange, market)
        base_volume, turnover = base_volume + coins, turnover + quoted * fx
    return base_volume, turnover


# --- what is in it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "currency", "groups"),
    [
        ("perp", "USD", [(base, "linear", "") for base in PERPS]),
        ("perp", "USDT", [(base, "linear", "") for base in PERPS]),
        ("linear", "USD", [*((base, "linear", "") for base in PERPS), ("BTC", "linear", EXPIRY)]),
        ("spot", "USD", [*((base, "spot", "") for base in PERPS[:7]), ("USDC", "spot", "")]),
        ("inverse", "USD", [("BTC", "inverse", ""), ("ETH", "inverse", ""), ("BTC", "inverse", EXPIRY)]),
        ("dated", "USD", [("BTC", "linear", EXPIRY), ("BTC", "inverse", EXPIRY)]),
    ],
)
async def test_volumes_are_sums_at_the_oracles_rates_and_the_most_traded_comes_first(
    kind: str, currency: str, groups: list[tuple[str, str, str]]
) -> None:
    frame = await universe(CALM, kind, currency=currency)
    assert frame.attrs["dropped"] == {}
    assert frame.attrs["asked"] == frame.attrs["answered"] == list(EXCHANGES)
    wanted: dict[str, float] = {}
    for base, of, expiry in groups:
        markets = of_group(CALM, base, of, expiry)
        row = row_for(frame, ":".join(filter(None, (base, of, expiry))))
        coins, turnover = worth(CALM, markets, currency, perpetuals=kind != "dated")
        assert_close(row["base_volume"], coins, f"{row['group']} base volume")
        assert_close(row["quote_volume"], turnover, f"{row['group']} turnover")
        names = dict.fromkeys(exchange for exchange, _ in markets)
        assert (row["n_venues"], row["exchanges"], row["excluded"]) == (len(names), ",".join(names), "")
        assert (row["base"], row["kind"], row["currency"]) == (base, of, currency)
        assert (row["expiry"] == expiry) if expiry else pd.isna(row["expiry"])
        if base in FAIR:
            fair = FAIR[base] * (0.9993 if currency == "USD" else 1) * (1.0046 if expiry else 1)
            assert row["price"] == pytest.approx(fair, rel=5e-4)
        assert 0 < row["dispersion_bps"] < 5
        wanted[row["group"]] = float(turnover)
    assert list(frame["group"]) == sorted(wanted, key=lambda group: -wanted[group])


async def test_how_each_rate_was_made_stands_beside_the_frame() -> None:
    frame = await universe(CALM)
    assert frame.attrs["fx"]["USD"] == "identity"
    assert frame.attrs["fx"]["USDT"] == "direct+ratio:spot+ratio:linear"


# --- thresholds --------------------------------------------------------------------------------------------------


async def test_as_many_venues_as_asked_for() -> None:
    # SHIB is on three venues, all the others on five; SOL on one from now on.
    truth = CALM
    for venue in ("okx", "bybit", "htx", "krakenfutures"):
        truth = truth.without(venue, "SOL", "linear")
    found = {least: set((await universe(truth, min_venues=least))["base"]) for least in (1, 2, 3, 4, 5, 6)}
    everything = {*PERPS}
    assert found == {
        1: everything, 2: everything - {"SOL"}, 3: everything - {"SOL"}, 4: everything - {"SOL", "SHIB"},
        5: everything - {"SOL", "SHIB"}, 6: set(),
    }  # fmt: skip


async def test_as_much_volume_as_asked_for() -> None:
    _, least = worth(CALM, of_group(CALM, "LTC", "linear"))
    above = await universe(CALM, min_quote_volume=float(least) * (1 + 1e-6))
    below = await universe(CALM, min_quote_volume=float(least) * (1 - 1e-6))
    assert [*above["group"], "LTC:linear"] == list(below["group"])
    assert (above["quote_volume"] > float(least)).all()


async def test_nothing_left_is_an_empty_frame_of_the_same_form() -> None:
    full, empty = await universe(CALM), await universe(CALM, min_venues=99)
    assert len(empty) == 0
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()


# --- who does not count ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "base", "exchange", "reason"),
    [
        (CALM.with_collision("DOGE", "htx", "12.5"), "DOGE", "htx", "suspect"),
        (CALM.with_collision("XRP", "krakenfutures", "2.7"), "XRP", "kraken", "suspect"),
        (CALM.with_scale("okx", "ETH", 1000), "ETH", "okx", "unit_error"),
        (aged("bybit", "ADA"), "ADA", "", ""),
        (aged("okx", "ADA"), "ADA", "okx", "stale"),
        (CALM.updating(CALM.market("krakenfutures", "LTC"), suspended=True), "LTC", "kraken", "halted"),
        (without_bids(CALM.with_collision("DOGE", "htx", "12.5"), "htx", "DOGE"), "DOGE", "htx", "suspect"),
        # Half a quote is no price, but the last one says that it is the same asset: what it traded counts.
        (without_bids(CALM, "binance", "SOL"), "SOL", "", ""),
    ],
)
async def test_who_is_no_evidence_is_left_out_by_name(truth: Truth, base: str, exchange: str, reason: str) -> None:
    """Another asset under the same ticker, a unit that nobody stated, an old quote, a halted market.

    Bybit's tickers carry no time, so that an old one is not known as such.
    """
    row = row_for(await universe(truth), f"{base}:linear")
    markets = [pair for pair in of_group(truth, base, "linear") if pair[0] != exchange]
    names = [name for name, _ in markets]
    assert row["exchanges"] == ",".join(names)
    assert row["n_venues"] == len(names)
    assert row["excluded"] == (f"{exchange}: {reason}" if exchange else "")
    coins, turnover = worth(truth, markets)
    assert_close(row["base_volume"], coins, "base volume")
    # A rate is made of prices, one of which is wrong here; it is a median.
    assert_close(row["quote_volume"], turnover, "turnover", rel=1e-3)


async def test_where_two_venues_mean_two_assets_neither_counts() -> None:
    truth = CALM.with_collision("SHIB", "okx", "3.1").without("bybit", "SHIB")
    for least in (1, 2):
        assert "SHIB" not in set((await universe(truth, min_venues=least))["base"])


async def test_a_venue_that_does_not_list_it_is_not_named() -> None:
    row = row_for(await universe(CALM.without("okx", "ADA", "linear")), "ADA:linear")
    assert (row["exchanges"], row["excluded"]) == ("binance,bybit,htx,kraken", "")


async def test_a_venue_that_is_down_is_named_and_the_others_answer() -> None:
    async with opened(CALM) as (lab, xm):
        await xm.connect_all()
        lab.fault("okx", "status", code=403)
        frame = await xm.universe("perp")
    assert list(frame.attrs["dropped"]) == ["okx"]
    assert frame.attrs["dropped"]["okx"].startswith("restricted: linear")
    assert frame.attrs["asked"] == list(EXCHANGES)
    assert frame.attrs["answered"] == ["binance", "bybit", "htx", "kraken"]
    row = row_for(frame, "BTC:linear")
    assert row["exchanges"] == "binance,bybit,htx,kraken"
    coins = sum(Fraction(market.base_volume) for name, market in of_group(CALM, "BTC", "linear") if name != "okx")
    assert_close(row["base_volume"], coins, "base volume")


async def test_a_venue_without_a_rate_does_not_count() -> None:
    """Dollars and USDT with nothing to tell what one is worth in the other: nothing is taken at par."""
    truth = default_truth(levels=2).only("BTC")
    row = row_for(await universe(truth, currency="USDT"), "BTC:linear")
    assert (row["exchanges"], row["excluded"]) == ("binance,bybit,htx,okx", "kraken: no_rate")
    turnover = sum(volumes(*pair)[1] for pair in of_group(truth, "BTC", "linear") if pair[0] != "kraken")
    assert_close(row["quote_volume"], turnover, "turnover")
    dollars = await universe(truth, currency="USD", min_venues=1)
    row = row_for(dollars, "BTC:linear")
    assert (row["exchanges"], row["n_venues"]) == ("kraken", 1)
    assert math.isnan(row["dispersion_bps"])
    assert len(await universe(truth, currency="USD")) == 0


async def test_some_venues_alone() -> None:
    frame = await universe(CALM, venues=["okx", "binance"], currency="USDT")
    assert set(frame["exchanges"]) == {"binance,okx"}
    assert sorted(frame.attrs["asked"]) == ["binance", "okx"]


# --- what cannot be asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"kind": "options"}, xex.SymbolError, "markets are: spot"),
        ({"currency": "GBP"}, xex.ConfigError, "USDT, USD"),
        ({"currency": "native"}, xex.ConfigError, "currency"),
        ({"currency": None}, xex.ConfigError, "currency"),
        ({"min_venues": 0}, xex.ConfigError, "at least 1"),
        ({"min_quote_volume": -1.0}, xex.ConfigError, "at least 0"),
        ({"min_quote_volume": math.nan}, xex.ConfigError, "at least 0"),
        ({"venues": ["nasdaq"]}, xex.UnknownVenue, "nasdaq"),
        ({"deadline": 0}, xex.ConfigError, "deadline"),
    ],
)
async def test_what_cannot_be_asked_is_refused(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    async with opened(CALM, ["okx"]) as (_, xm):
        with pytest.raises(error, match=said):
            await xm.universe(**arguments)
