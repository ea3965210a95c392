"""The truth itself: on the venues' grids, calm by default, and changed only as asked."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest

from tests.lab import (
    Market,
    Truth,
    big_truth,
    bitget_markets,
    currency_markets,
    default_truth,
    extra_markets,
    fractions,
)
from tests.lab.world import EXPIRY

TAKER = {("kraken", "spot"): Decimal("0.004")}


def dollars(truth: Truth, market: Market, price: Decimal) -> Decimal:
    return price * (truth.usdt_usd if market.quote == "USDT" else 1)


def edge(truth: Truth, buy: Market, sell: Market) -> Decimal:
    """Best net edge of buying on one market and selling on another, as a part of the price."""
    fees = sum(TAKER.get((m.venue, m.kind), Decimal("0.0005")) for m in (buy, sell))
    sides = 1 if buy.kind == "spot" else 2
    bid, ask = dollars(truth, sell, sell.bids[0][0]), dollars(truth, buy, buy.asks[0][0])
    return bid / ask - 1 - sides * fees


def test_everything_is_on_the_venues_grid() -> None:
    world = default_truth(levels=100).adding(bitget_markets(100)).adding(extra_markets(100))
    truth = world.with_premium("okx", "BTC", 12.5).with_depeg("0.91").with_collision("SOL", "htx", "1.73")
    for market in truth.markets:
        traded = [(done.price, done.size) for done in market.trades]
        for price, size in (*market.bids, *market.asks, *traded):
            assert price % market.tick == 0
            assert market.wire_size(size, price) % market.wire_lot == 0
            assert market.kind == "inverse" or size % market.lot == 0
            assert min(price, size) > 0
        assert market.wire_volume % market.wire_lot == 0
        assert market.wire_interest % market.wire_lot == 0
        assert [p for p, _ in market.bids] == sorted({p for p, _ in market.bids}, reverse=True)
        assert [p for p, _ in market.asks] == sorted({p for p, _ in market.asks})
        assert market.bids[0][0] < market.asks[0][0]
        assert market.low < market.last < market.high or market.base in ("USDT", "USDC")


def test_a_dozen_trades_on_every_market() -> None:
    for market, again in zip(default_truth().markets, default_truth().markets, strict=True):
        assert len(market.trades) == 12
        assert {done.side for done in market.trades} == {"buy", "sell"}
        assert len({done.size for done in market.trades}) > 8
        assert len({done.id for done in market.trades}) == 12
        ages = [done.age_ms for done in market.trades]
        assert (ages[0], ages[-1], ages) == (200, 60_000, sorted(ages))
        assert market.trades[0].price == market.last
        assert market.trades == again.trades


def test_a_calm_world() -> None:
    truth = default_truth().adding(bitget_markets()).adding(extra_markets())
    assert len(truth.markets) == len({(m.venue, m.kind, m.id) for m in truth.markets})
    for base, kind, expiry in {(market.base, market.kind, market.expiry) for market in truth.markets}:
        for buy, sell in product(truth.group(base, kind, expiry), repeat=2):
            assert edge(truth, buy, sell) < 0


def test_five_sections_on_five_venues() -> None:
    truth = default_truth()
    for venue in ("binance", "okx", "bybit", "htx", "krakenfutures"):
        assert [m.base for m in truth.of(venue, "inverse")] == ["BTC", "ETH"]
        for kind, spot in (("linear", "linear"), ("inverse", "inverse")):
            (dated,) = truth.of(venue, kind, EXPIRY)  # type: ignore[arg-type]
            perpetual = truth.market(venue, "BTC", spot, dated.quote)  # type: ignore[arg-type]
            assert Decimal("0.002") < dated.mid / perpetual.mid - 1 < Decimal("0.009")
            assert truth.of(venue, kind, None)[-1] == dated  # type: ignore[arg-type]
    assert len(truth.group("BTC", "inverse")) == len(truth.group("BTC", "inverse", EXPIRY)) == 5
    assert truth.market("okx", "BTC", expiry=EXPIRY).id == f"BTC-USDT-{EXPIRY}"
    assert truth.market("okx", "BTC", "inverse").contract_size == 100


def usd(truth: Truth, currency: str) -> Decimal:
    """Dollars per unit of a currency of the world of currencies."""
    return {"USD": Decimal(1), "USDT": truth.usdt_usd, "USDC": Decimal(1), "FDUSD": Decimal("0.9985")}.get(
        currency, Decimal("1.0842")
    )


@pytest.mark.parametrize(("rate", "euro"), [("0.9993", "1"), ("0.97", "1"), ("0.9993", "1.03")])
def test_currencies_agree(rate: str, euro: str) -> None:
    truth = default_truth().adding(currency_markets())
    assert len(truth.markets) == len({(m.venue, m.kind, m.id) for m in truth.markets})
    truth = truth.with_depeg(rate).with_revalued("EUR", euro)
    worth = {"EUR": Decimal(euro)}
    coins: dict[tuple[str, str], list[Decimal]] = {}
    for market in (m for m in truth.markets if m.kind == "spot"):
        quoted = market.mid * usd(truth, market.quote) * worth.get(market.quote, 1)
        if market.base in ("USDT", "USDC", "FDUSD", "EUR"):
            fair = usd(truth, market.base) * worth.get(market.base, 1)
            assert abs(quoted / fair - 1) < Decimal("0.0001")
        else:
            coins.setdefault((market.venue, market.base), []).append(quoted)
    for prices in coins.values():
        assert max(prices) / min(prices) - 1 < Decimal("0.0002")


def test_currencies_have_the_venues_names() -> None:
    truth = default_truth().adding(currency_markets())
    names = {
        ("kraken", "EUR", "USD"): "ZEURZUSD",
        ("kraken", "BTC", "EUR"): "XXBTZEUR",
        ("kraken", "USDT", "EUR"): "USDTEUR",
        ("kraken", "BTC", "USDC"): "XBTUSDC",
        ("kraken", "USDC", "USDT"): "USDCUSDT",
        ("binance", "FDUSD", "USDT"): "FDUSDUSDT",
        ("okx", "BTC", "USDC"): "BTC-USDC",
        ("htx", "BTC", "USDC"): "btcusdc",
    }
    for (venue, base, quote), name in names.items():
        assert truth.market(venue, base, "spot", quote).id == name
    for currency in ("USD", "USDT"):
        with pytest.raises(ValueError, match=currency):
            truth.with_revalued(currency, "1.01")


def test_the_number_of_inverse_contracts_stays() -> None:
    calm = default_truth()
    moved = calm.with_premium("bybit", "BTC", 120).with_depeg("0.95")
    before, after = calm.market("bybit", "BTC", "inverse"), moved.market("bybit", "BTC", "inverse")
    assert after.mid != before.mid
    for (old, size), (new, moved_size) in zip(before.bids, after.bids, strict=True):
        assert moved_size * new == pytest.approx(size * old, rel=Decimal("1e-20"))
    assert after.quote_volume == pytest.approx(before.quote_volume, rel=Decimal("1e-20"))
    dated = calm.market("bybit", "BTC", "inverse", expiry=EXPIRY)
    assert calm.with_premium("bybit", "BTC", 120).market("bybit", "BTC", "inverse", expiry=EXPIRY) == dated


def test_twenty_levels_and_real_volumes() -> None:
    markets = {venue: default_truth().market(venue, "BTC", "linear") for venue in ("binance", "okx", "krakenfutures")}
    assert all(len(market.bids) >= 20 for market in markets.values())
    assert [round(market.base_volume / 1000) for market in markets.values()] == [150, 60, 5]
    assert markets["okx"].contract_size == Decimal("0.01")


def test_market_prefers_the_perpetual_in_usdt() -> None:
    truth = default_truth()
    assert truth.market("okx", "BTC").id == "BTC-USDT-SWAP"
    assert truth.market("kraken", "BTC").id == "XBTUSDT"
    assert truth.market("kraken", "BTC", quote="USD").id == "XXBTZUSD"
    with pytest.raises(KeyError):
        truth.market("okx", "PEPE")


@pytest.mark.parametrize("bps", [-250, -3.5, 8, 120])
def test_premium(bps: float) -> None:
    calm = default_truth()
    moved = calm.with_premium("okx", "ETH", bps, kind="linear")
    before, after = calm.market("okx", "ETH"), moved.market("okx", "ETH")
    assert abs(after.mid / before.mid - 1 - Decimal(str(bps)) / 10_000) <= after.tick / after.mid
    assert [m for m in moved.markets if m != after] == [m for m in calm.markets if m != before]


@pytest.mark.parametrize("rate", ["0.9000", "0.9993", "1.0100"])
def test_depeg_moves_every_dollar_price(rate: str) -> None:
    calm, moved = default_truth(), default_truth().with_depeg(rate)
    ratio = Decimal(rate) / calm.usdt_usd
    assert moved.usdt_usd == Decimal(rate)
    assert abs(moved.market("kraken", "USDT", quote="USD").mid - Decimal(rate)) < Decimal("0.00002")
    for before, after in zip(calm.markets, moved.markets, strict=True):
        expected = ratio if before.quote == "USD" else Decimal(1)
        if before.base == "USDC":
            expected = 1 / ratio if before.quote == "USDT" else Decimal(1)
        assert abs(after.mid / before.mid - expected) <= after.tick / after.mid


@pytest.mark.parametrize(("buy", "sell"), [("binance", "okx"), ("krakenfutures", "binance"), ("okx", "krakenfutures")])
def test_cross_has_several_levels(buy: str, sell: str) -> None:
    truth = default_truth().with_cross("BTC", buy=buy, sell=sell, bps=60, step_bps=4)
    buyer, seller = truth.market(buy, "BTC"), truth.market(sell, "BTC")
    gross = dollars(truth, seller, seller.bids[0][0]) / dollars(truth, buyer, buyer.asks[0][0]) - 1
    assert abs(gross - Decimal("0.006")) < Decimal("0.00005")
    assert 0 < edge(truth, buyer, seller) < Decimal("0.0045")
    pairs = zip(buyer.asks, seller.bids, strict=True)
    worth = [
        dollars(truth, seller, bid) > dollars(truth, buyer, ask) * Decimal("1.002") for (ask, _), (bid, _) in pairs
    ]
    assert worth == [True] * 5 + [False] * 7
    for market in (buyer, seller):
        assert market.bids[0][0] < market.asks[0][0]
        assert all(price % market.tick == 0 for price, _ in market.bids + market.asks)


def test_a_collision_is_the_same_ticker_at_another_price() -> None:
    calm = default_truth()
    before = calm.market("htx", "SOL")
    odd = calm.with_collision("SOL", "htx", before.mid / 111)
    after = odd.market("htx", "SOL")
    assert before.mid / after.mid == pytest.approx(Decimal(111), rel=Decimal("0.001"))
    assert after.low < after.last < after.high
    assert (after.id, after.lot, after.base_volume) == (before.id, before.lot, before.base_volume)
    assert [m for m in odd.markets if m != after] == [m for m in calm.markets if m != before]
    dear = calm.with_collision("SOL", "okx", 21_600, kind="spot").market("okx", "SOL", "spot")
    assert dear.mid == pytest.approx(Decimal(21_600), rel=Decimal("0.0001"))
    assert all(price % dear.tick == 0 for price, _ in dear.bids)


def test_a_scale_changes_the_wire_alone() -> None:
    calm = default_truth()
    for venue in ("bybit", "okx"):
        plain, market = calm.market(venue, "XRP"), calm.with_scale(venue, "XRP", 1000).market(venue, "XRP")
        assert (market.bids, market.id, market.wire_base) == (plain.bids, plain.id, plain.base)
        assert market.wire_price(market.last) == 1000 * plain.last
        contracts = plain.wire_size(Decimal(5000))
        assert market.wire_size(Decimal(5000)) == (contracts if venue == "okx" else contracts / 1000)


def test_big_world() -> None:
    truth = big_truth(100)
    assert len(truth.markets) == len(default_truth().markets) + 600
    assert len(truth.of("okx", "linear")) == 107
    for market in truth.group("C0042", "linear"):
        assert all(size % market.lot == 0 for _, size in market.bids + market.asks)


def test_worlds_are_cut_and_mended() -> None:
    truth = default_truth()
    assert {m.base for m in truth.only("BTC", "USDT").markets} == {"BTC", "USDT"}
    assert not truth.without("okx").of("okx", "spot")
    assert len(truth.without("okx", "BTC", "linear").markets) == len(truth.markets) - 2
    market = truth.market("binance", "BTC")
    assert truth.updating(market, last=Decimal(1)).market("binance", "BTC").last == 1
    assert fractions(market.bids)[0][0] == market.bids[0][0]
