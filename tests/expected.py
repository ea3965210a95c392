"""What a snapshot of the lab's world must say, computed by the oracle from the truth alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests import oracle
from tests.lab import Market, Truth
from xex.model.instruments import parse_symbol

EXCHANGES = ("binance", "bybit", "htx", "kraken", "okx")
# The lab's venues that speak for an exchange where its own name does not.
_SPEAKS = {("kraken", "linear"): "krakenfutures", ("kraken", "inverse"): "krakenfutures"}
# Published fees of the lowest tiers, in basis points of notional.
TAKER_BPS = {
    ("binance", "linear"): "5", ("bybit", "linear"): "5.5", ("htx", "linear"): "5", ("kraken", "linear"): "5",
    ("okx", "linear"): "5", ("binance", "spot"): "10", ("bybit", "spot"): "10", ("htx", "spot"): "20",
    ("kraken", "spot"): "40", ("okx", "spot"): "10", ("binance", "inverse"): "5", ("bybit", "inverse"): "5.5",
    ("htx", "inverse"): "5", ("kraken", "inverse"): "5", ("okx", "inverse"): "5",
}  # fmt: skip
# What dates a book: the venue's quote time, the server's clock, or nothing but our own.
BOOK_TIME = {("binance", "spot"): "received", ("kraken", "spot"): "received"}
BOOK_TIME |= {("kraken", kind): "server" for kind in ("linear", "inverse")}
RATIO_BASES = ("ETH", "BTC", "SOL", "XRP", "DOGE", "LTC", "ADA")
# OKX sends no quote volume of swaps, so it is the base volume at the last price.
NO_QUOTE_VOLUME = {("okx", "linear")}
# Kraken counts inverse contracts alone, so the base volume is their dollars at the last price.
NO_BASE_VOLUME = {("kraken", "inverse")}
# Kraken's `open` is since midnight, so it is left out.
NO_OPEN = {("kraken", "spot")}
COLUMNS = (
    "bid", "ask", "last", "bid_size", "ask_size", "high", "low", "open", "base_volume", "quote_volume", "fx_rate",
)  # fmt: skip


def row_of(exchange: str, kind: str) -> str:
    """Return the lab's venue that answers for an exchange's market of a kind."""
    return _SPEAKS.get((exchange, kind), exchange)


def taker(exchange: str, kind: str) -> Fraction:
    """Return the taker fee as a fraction of notional."""
    return Fraction(TAKER_BPS[exchange, kind]) / 10_000


def legs(truth: Truth, venues: tuple[str, ...], kind: Any, quote: str, base: str) -> list[dict[str, Any]]:
    """Return the quotes of other assets that a rate may be made of."""
    return [
        {"exchange": market.venue, "base": market.base, "bid": market.top.bid, "ask": market.top.ask}
        for venue in venues
        for market in truth.of(venue, kind)
        if market.quote == quote and market.base in RATIO_BASES and market.base != base and market.tradable
    ]


# What dated contracts come with perpetuals from: OKX keeps them in lists of their own.
_VOICES = ("binance", "okx", "htx", "bybit")
_VOICES_OF_DATED = ("binance", "htx", "bybit")


def usd_per_usdt(truth: Truth, base: str, voices: tuple[str, ...] = _VOICES) -> Fraction:
    """Return the rate that the oracle finds in the world for the maths of `base`.

    `voices` are the venues whose perpetuals in USDT were asked for.
    """
    dollar = truth.market("kraken", "USDT", "spot", "USD").top
    direct = oracle.direct_mid([{"bid": dollar.bid, "ask": dollar.ask}])
    spot = oracle.pooled_ratio(
        legs(truth, ("kraken",), "spot", "USD", base), legs(truth, ("kraken",), "spot", "USDT", base), exclude=(base,)
    )
    linear = oracle.pooled_ratio(
        legs(truth, ("krakenfutures",), "linear", "USD", base),
        legs(truth, voices, "linear", "USDT", base),
        exclude=(base,),
    )
    rate, sources = oracle.usdt_usd_rate(direct, spot, linear)
    assert rate is not None
    assert sources == ["direct", "ratio:spot", "ratio:linear"]
    return rate


@dataclass(frozen=True)
class Expected:
    """The numbers of one snapshot, in base units and USDT, or USD where contracts are inverse."""

    rows: dict[str, dict[str, Any]]
    price: oracle.RobustPrice
    volume_total: Fraction
    volume_total_quote: Fraction
    liquidity_score: float
    liquidity_by_venue: dict[str, float]
    pairs: dict[tuple[str, str], oracle.Optimum]
    books: dict[str, tuple[list[tuple[Fraction, Fraction]], list[tuple[Fraction, Fraction]]]]


def expected(
    truth: Truth,
    ages_s: Mapping[str, float],
    base: str = "BTC",
    kind: str = "linear",
    exchanges: Any = EXCHANGES,
    expiry: str = "",
) -> Expected:
    """Compute a snapshot of `base` over the exchanges, in USDT or, of inverse contracts, in their own USD.

    `ages_s` are the ages that weigh the rows.
    """
    quote = {"spot": "USDT", "inverse": "USD"}.get(kind)
    markets = {
        name: truth.market(row_of(name, kind), base, kind, quote, expiry)  # type: ignore[arg-type]
        for name in exchanges
    }
    foreign = kind != "inverse" and any(market.quote == "USD" for market in markets.values())
    fx = 1 / usd_per_usdt(truth, base, _VOICES_OF_DATED if expiry else _VOICES) if foreign else Fraction(1)
    factors = {name: fx if market.quote == "USD" else Fraction(1) for name, market in markets.items()}
    rows = {name: _row(name, market, factors[name], ages_s[name]) for name, market in markets.items()}
    price = oracle.robust([{**row, "exchange": name} for name, row in rows.items()])
    books = {
        name: (_side(market.bids, factors[name]), _side(market.asks, factors[name])) for name, market in markets.items()
    }
    merged = (
        [level for bids, _ in books.values() for level in bids],
        [lv for _, asks in books.values() for lv in asks],
    )
    finite = not math.isnan(price.price)
    return Expected(
        rows=rows,
        price=price,
        volume_total=sum((Fraction(row["base_volume"]) for row in rows.values()), Fraction(0)),
        volume_total_quote=sum((Fraction(row["quote_volume"]) for row in rows.values()), Fraction(0)),
        liquidity_score=oracle.liquidity_score(*merged, price.price) if finite else math.nan,
        liquidity_by_venue={
            name: oracle.liquidity_score(bids, asks, price.price) if finite else math.nan
            for name, (bids, asks) in books.items()
        },
        pairs={(low, high): pair(truth, low, high, markets) for low in markets for high in markets if low != high},
        books=books,
    )


def _side(levels: Any, factor: Fraction) -> list[tuple[Fraction, Fraction]]:
    return [(Fraction(price) * factor, Fraction(size)) for price, size in levels]


def _row(name: str, market: Market, fx: Fraction, age_s: float) -> dict[str, Any]:
    top = market.top
    assert top.bid is not None
    assert top.ask is not None
    kind = (name, market.kind)
    base_volume, quote_volume = volumes(name, market)
    return {
        "bid": Fraction(top.bid) * fx,
        "ask": Fraction(top.ask) * fx,
        "last": Fraction(market.last) * fx,
        "bid_size": Fraction(top.bid_size or 0),
        "ask_size": Fraction(top.ask_size or 0),
        "high": Fraction(market.high) * fx,
        "low": Fraction(market.low) * fx,
        "open": math.nan if kind in NO_OPEN else Fraction(market.open) * fx,
        "base_volume": base_volume,
        "quote_volume": quote_volume * fx,
        "fx_rate": fx,
        "age_s": age_s,
        "time_source": BOOK_TIME.get(kind, "quote"),
    }


def pair(truth: Truth, low_name: str, high_name: str, markets: Mapping[str, Market]) -> oracle.Optimum:
    """Return the best trade that buys on `low_name` and sells on `high_name`, by the oracle's merge."""
    low, high = markets[low_name], markets[high_name]
    if low.kind == "inverse":
        return _inverse_pair(low, high, (taker(low_name, low.kind), taker(high_name, high.kind)))
    asks, bids = _executable(truth, low, "asks"), _executable(truth, high, "bids")
    return oracle.pair_optimum(
        asks,
        bids,
        fee_buy=taker(low_name, low.kind),
        fee_sell=taker(high_name, high.kind),
        sides=1 if low.kind == "spot" else 2,
        lot=(low.lot, high.lot),
        min_amount_buy=low.min_amount,
        min_amount_sell=high.min_amount,
        min_notional_buy=_in_usdt(truth, low, buying=True) * Fraction(low.min_notional or 0),
        min_notional_sell=_in_usdt(truth, high, buying=False) * Fraction(high.min_notional or 0),
    )


def _inverse_pair(low: Market, high: Market, fees: tuple[Fraction, Fraction]) -> oracle.Optimum:
    """Return the best trade in inverse contracts, which are so many dollars whatever the price.

    One quantity must hold for both legs, so it is a whole number of dollars at the best ask. Counted in those dollars
    the lots are what the lists say; notionals and profits do not depend on what is counted.
    """
    best = Fraction(low.asks[0][0])

    def counted(side: Any) -> list[tuple[Fraction, Fraction]]:
        # The truth holds contracts / price, rounded: what came of whole contracts is whole again.
        return [(Fraction(price) / best, Fraction(round(Fraction(size) * best * 10**9), 10**9)) for price, size in side]

    found = oracle.pair_optimum(
        counted(low.asks),
        counted(high.bids),
        fee_buy=fees[0],
        fee_sell=fees[1],
        sides=2,
        lot=(low.lot, high.lot),
        min_notional_buy=max(low.min_amount, low.min_notional or Decimal(0)),
        min_notional_sell=max(high.min_amount, high.min_notional or Decimal(0)),
    )
    return dataclasses.replace(found, quantity=found.quantity / best, q_star=found.q_star / best)


def _in_usdt(truth: Truth, market: Market, *, buying: bool) -> Fraction:
    """Return USDT per unit of the market's quote, on the side of the USDT/USD book that would be hit."""
    if market.quote == "USDT":
        return Fraction(1)
    dollar = truth.market("kraken", "USDT", "spot", "USD").top
    side = dollar.bid if buying else dollar.ask
    assert side is not None
    return 1 / Fraction(side)


def _executable(truth: Truth, market: Market, side: str) -> list[tuple[Fraction, Fraction]]:
    factor = _in_usdt(truth, market, buying=side == "asks")
    return [(Fraction(price) * factor, Fraction(size)) for price, size in getattr(market, side)]


def weight_ages(frame: Any) -> dict[str, float]:
    """Return the seconds that weigh each row: its own age where a quote time says it, else the timed rows' median."""
    timed = frame.loc[frame["time_source"] == "quote", "age_ms"]
    ages = frame["age_ms"].where(frame["time_source"] == "quote", timed.median())
    return {name: float(age) / 1e3 for name, age in zip(frame["exchange"], ages, strict=True)}


def assert_close(found: float, wanted: Any, what: str, rel: float = 1e-9) -> None:
    """Fail unless two numbers agree to `rel`, or both are absent."""
    want = float(wanted)
    if math.isnan(want):
        assert math.isnan(found), f"{what}: {found} where nothing is expected"
        return
    assert math.isclose(found, want, rel_tol=rel, abs_tol=1e-12), f"{what}: {found!r}, expected {want!r}"


def assert_snapshot(snap: Any, truth: Truth, base: str = "BTC", kind: str = "linear", expiry: str = "") -> Expected:
    """Compare every number of a snapshot with the oracle's, to 1e-9."""
    want = expected(truth, weight_ages(snap.frame), base, kind, snap.asked, expiry)
    for name, row in want.rows.items():
        found = snap.frame.set_index("exchange").loc[name]
        assert found["time_source"] == row["time_source"], name
        assert found["kind"] == kind
        for column in COLUMNS:
            assert_close(found[column], row[column], f"{name} {column}")
        data = snap.exchanges_data[name]
        assert_close(data["price"], (row["bid"] + row["ask"]) / 2, f"{name} price")
        assert_close(data["weight"], want.price.weights[name], f"{name} weight")
        assert_close(found["liquidity_score"], want.liquidity_by_venue[name], f"{name} liquidity")
        assert data["currency"] == ("USD" if kind == "inverse" else "USDT")
    for field in ("price_variance", "price_var_sq", "dispersion_bps", "range_bps", "mad_bps", "arb_index"):
        assert_close(getattr(snap, field), getattr(want.price, field), field)
    assert_close(snap.aggregated_price, want.price.price, "aggregated_price")
    assert_close(snap.volume_total, want.volume_total, "volume_total")
    assert_close(snap.volume_total_quote, want.volume_total_quote, "volume_total_quote")
    assert_close(snap.liquidity_score, want.liquidity_score, "liquidity_score")
    found_pairs = {
        (row["exchange_low"], row["exchange_high"]): row for row in [*snap.arbitrage_opportunities, *snap.rejected]
    }
    assert found_pairs.keys() == want.pairs.keys()
    for key, best in want.pairs.items():
        assert_pair(found_pairs[key], best, f"{key[0]} → {key[1]}")
    return want


def assert_pair(row: Mapping[str, Any], best: oracle.Optimum, what: str) -> None:
    """Compare one opportunity with the oracle's optimum."""
    if best.rejected is None:
        for field in ("quantity", "gross_profit", "net_profit", "notional", "fees"):
            assert_close(row[field], getattr(best, field), f"{what} {field}", rel=1e-8 if field == "fees" else 1e-9)
        assert not {"fees", "depth", "lots"} & set(row["reasons"]), what
    else:
        assert best.rejected in row["reasons"], f"{what}: {row['reasons']}, expected {best.rejected}"


def source(truth: Truth, exchange: str, instrument: Any) -> Market:
    """Return the truth behind a row; `instrument` is one, or its symbol."""
    found = parse_symbol(instrument).instrument if isinstance(instrument, str) else instrument
    assert found is not None
    return truth.market(row_of(exchange, found.kind), found.base, found.kind, found.quote, found.expiry)


def volumes(exchange: str, market: Market) -> tuple[Fraction, Fraction]:
    """Return base and quote volume as they must be stated, one derived from the other where a venue sends one."""
    base, quote, last = Fraction(market.base_volume), Fraction(market.quote_volume), Fraction(market.last)
    if (exchange, market.kind) in NO_BASE_VOLUME:
        return quote / last, quote
    return base, base * last if (exchange, market.kind) in NO_QUOTE_VOLUME else quote


def assert_market(frame: Any, truth: Truth) -> None:
    """Compare every number of the whole market's frame with the truth, in native currencies and base units."""
    assert len(frame) > 0
    for row in frame.to_dict("records"):
        market = source(truth, row["exchange"], row["instrument"])
        what = f"{row['exchange']} {row['instrument']}"
        for side in ("bid", "ask"):
            assert_close(row[side], getattr(market.top, side), f"{what} {side}")
            assert_close(row[f"{side}_size"], getattr(market.top, f"{side}_size"), f"{what} {side} size")
        for name in ("last", "high", "low"):
            assert_close(row[name], getattr(market, name), f"{what} {name}")
        for name, volume in zip(("base_volume", "quote_volume"), volumes(row["exchange"], market), strict=True):
            assert_close(row[name], volume, f"{what} {name}")


def assert_listings(exchange: str, table: Any, truth: Truth) -> None:
    """Compare an exchange's instruments with the truth: ticks, lots and minimums per base unit."""
    for row in range(len(table)):
        listed = table.listed(row)
        instrument = listed.instrument
        market = source(truth, exchange, instrument)
        assert listed.id == market.id
        for name, value in rules(market).items():
            assert_close(table.columns[name][row], value, f"{exchange} {instrument} {name}")


def rules(market: Market) -> dict[str, Any]:
    """Return an instrument's steps and minimums: of inverse contracts they are amounts of quote currency."""
    wanted: dict[str, Any] = {"tick": market.tick, "contract_size": market.contract_size}
    wanted["multiplier"] = market.multiplier
    if market.kind == "inverse":
        least = max(market.min_amount, market.min_notional or Decimal(0))
        return wanted | {"lot": math.nan, "lot_quote": market.lot, "min_amount": math.nan, "min_notional": least}
    wanted |= {"lot": market.lot, "lot_quote": math.nan, "min_amount": market.min_amount}
    return wanted | ({} if market.min_notional is None else {"min_notional": market.min_notional})
