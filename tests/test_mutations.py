"""A unit rule or a contract size that is off by a factor of two makes a comparison with the truth fail: shown here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import xex
from tests.expected import assert_close, assert_listings, assert_market, source
from tests.lab import Lab, Market, default_truth, extra_markets
from tests.test_snapshot import CONNECTORS
from xex.model import schema, units
from xex.model.identity import asset
from xex.model.listings import Listings
from xex.model.units import Amount, Units
from xex_connectors import ccxt_adapter, mapping

# Coins of several contract sizes, and those that some venues list by the thousand.
TRUTH = default_truth().adding(extra_markets()).only("BTC", "ETH", "DOGE", "PEPE", "SHIB", "USDT")
MARKETS = [(name, home) for name, connector in CONNECTORS.items() for home in connector.markets]
CONTRACTS = [(name, home) for name, home in MARKETS if home != "spot"]
TWO_SIDED = [(name, home) for name, home in CONTRACTS if name == "htx"]
# A list with contracts of several sizes or none: one coin or one dollar is a contract where the venue counts those.
COUNTING = {"htx", "okx"}
EXPIRY = "261225"
ALL = {"instruments", "tickers", "books", "trades"}


def assert_books(frame: Any, market: Market) -> None:
    """Compare both sides of a book with the truth."""
    for side, levels in (("bid", market.bids), ("ask", market.asks)):
        mine = frame[frame["side"] == side]
        assert len(mine) == len(levels)
        for found, (price, size) in zip(mine.to_dict("records"), levels, strict=True):
            assert_close(found["price"], price, f"{side} price")
            assert_close(found["size"], size, f"{side} size")


def assert_trades(frame: Any, market: Market, now_ms: int) -> None:
    """Compare a tape with the truth, which has the newest first."""
    assert frame is not None
    assert len(frame) == len(market.trades)
    for found, trade in zip(frame.to_dict("records"), reversed(market.trades), strict=True):
        assert found["side"] == trade.side
        assert_close(found["price"], trade.price, "price")
        assert_close(found["size"], trade.size, "size")
        assert_close(found["notional"], trade.price * trade.size, "notional")
        assert abs(1e3 * found["exchange_time"].timestamp() - trade.at_ms(now_ms)) < 5_000


def symbol_of(exchange: str, home: str) -> str:
    """Return an instrument that an exchange keeps in a list."""
    kind, _, dated = home.partition("_")
    quote = "USD" if kind == "inverse" or (exchange, kind) == ("kraken", "linear") else "USDT"
    settle = {"spot": "", "linear": f":{quote}", "inverse": ":BTC"}[kind]
    return f"BTC/{quote}{settle}" + (f"-{EXPIRY}" if dated else "")


async def wrong(exchange: str, home: Any) -> set[str]:
    """Return which answers of an exchange's market differ from the truth."""
    symbol = symbol_of(exchange, home)
    market = source(TRUTH, exchange, symbol)
    async with Lab(TRUTH) as lab, xex.ExchangeManager(cache=False) as xm:
        config = xex.ExchangeConfig(exchange, exchange, base_url=lab.url(exchange))
        connector = CONNECTORS[exchange](config)
        xm.add_exchange(config, connector)
        await xm.connect_all()
        columns = await connector.market([section for section, of in connector.homes.items() if of == home])
        whole = schema.frame(columns | {"exchange": [exchange] * schema.length(columns)}, "tickers")
        table, books, trades = connector.known_listings(home), await xm.books(symbol), None
        with suppress(xex.NoVenueAnswered):  # times that cannot be are no tape
            trades = await xm.trades(symbol)
        now_ms = lab.now_ms()
    checks: dict[str, Callable[[], None]] = {
        "instruments": lambda: assert_listings(exchange, table, TRUTH),
        "tickers": lambda: assert_market(whole, TRUTH),
        "books": lambda: assert_books(books, market),
        "trades": lambda: assert_trades(trades, market, now_ms),
    }
    found = set()
    for name, check in checks.items():
        try:
            check()
        except AssertionError:
            found.add(name)
    return found


def change(monkeypatch: pytest.MonkeyPatch, exchange: str, kind: str, **fields: Any) -> None:
    """Put something else in place of what a venue's file says of a market."""
    market = dataclasses.replace(CONNECTORS[exchange].markets[kind], **fields)
    monkeypatch.setitem(CONNECTORS[exchange].markets, kind, market)


@pytest.mark.parametrize(("exchange", "kind"), MARKETS)
async def test_unchanged_it_is_right(exchange: str, kind: str) -> None:
    assert await wrong(exchange, kind) == set()


# --- instruments -------------------------------------------------------------------------------------------------

STATIC = {
    "contract_size": {"instruments"}, "multiplier": {"instruments", "tickers", "books", "trades"},
    "tick": {"instruments"}, "lot": {"instruments"}, "min_amount": {"instruments"},
}  # fmt: skip
# Lots and minimums of inverse contracts are amounts of quote currency.
OF_QUOTE = {"lot": "lot_quote", "min_amount": "min_notional"}


@pytest.mark.parametrize("column", STATIC)
@pytest.mark.parametrize(("exchange", "kind"), MARKETS)
async def test_a_doubled_instrument_number_is_noticed(
    monkeypatch: pytest.MonkeyPatch, exchange: str, kind: str, column: str
) -> None:
    real, of_quote = mapping.listings, kind.startswith("inverse")
    name = OF_QUOTE.get(column, column) if of_quote else column

    def doubled(*args: Any, **more: Any) -> Listings:
        table = real(*args, **more)
        table.columns[name] = [2 * cell for cell in table.columns[name]]
        return table

    monkeypatch.setattr(ccxt_adapter, "listings", doubled)
    counted = CONNECTORS[exchange].markets[kind].units.size in {Amount.CONTRACTS, Amount.QUOTE_CONTRACTS}
    sizes = {"tickers", "books", "trades"} if column == "contract_size" and counted else set()
    assert await wrong(exchange, kind) == STATIC[column] | sizes


@pytest.mark.parametrize("exchange", ["binance", "bybit"])
async def test_a_thousand_coins_taken_for_one_are_noticed(monkeypatch: pytest.MonkeyPatch, exchange: str) -> None:
    monkeypatch.setattr(mapping, "asset", lambda *code: (asset(*code)[0], 1))
    assert await wrong(exchange, "linear") == {"instruments", "tickers"}


# --- unit rules --------------------------------------------------------------------------------------------------

MOVING = {
    "price": (("bid", "ask", "last", "price", "high", "low"), {"tickers", "books"}),
    "size": (("size", "bid_size", "ask_size"), {"tickers", "books"}),
    "base_volume": (("base_volume",), {"tickers"}),
    "quote_volume": (("quote_volume",), {"tickers"}),
}


@pytest.mark.parametrize("what", MOVING)
@pytest.mark.parametrize(("exchange", "kind"), MARKETS)
async def test_a_doubled_number_is_noticed(
    monkeypatch: pytest.MonkeyPatch, exchange: str, kind: str, what: str
) -> None:
    names, noticed = MOVING[what]

    def doubled(*args: Any) -> Any:
        done = units.to_base(*args)
        return done | {name: 2 * done[name] for name in names if name in done}

    monkeypatch.setattr(ccxt_adapter, "to_base", doubled)
    assert await wrong(exchange, kind) == noticed


@pytest.mark.parametrize("what", ["price", "size", "notional"])
@pytest.mark.parametrize(("exchange", "kind"), MARKETS)
async def test_a_doubled_number_of_trades_is_noticed(
    monkeypatch: pytest.MonkeyPatch, exchange: str, kind: str, what: str
) -> None:
    def doubled(*args: Any) -> Any:
        done = units.trades_to_base(*args)
        return done | {what: 2 * done[what]}

    monkeypatch.setattr(ccxt_adapter, "trades_to_base", doubled)
    assert await wrong(exchange, kind) == {"trades"}


@pytest.mark.parametrize(("exchange", "kind"), MARKETS)
async def test_the_makers_side_taken_for_the_takers_is_noticed(
    monkeypatch: pytest.MonkeyPatch, exchange: str, kind: str
) -> None:
    trades = CONNECTORS[exchange].markets[kind].trades
    change(monkeypatch, exchange, kind, trades=dataclasses.replace(trades, buys=trades.sells, sells=trades.buys))
    assert await wrong(exchange, kind) == {"trades"}


@pytest.mark.parametrize(("exchange", "kind"), MARKETS)
async def test_seconds_taken_for_milliseconds_are_noticed(
    monkeypatch: pytest.MonkeyPatch, exchange: str, kind: str
) -> None:
    trades = CONNECTORS[exchange].markets[kind].trades
    scale = 1.0 if trades.scale == 1000 else 1000.0
    change(monkeypatch, exchange, kind, trades=dataclasses.replace(trades, scale=scale))
    assert await wrong(exchange, kind) == {"trades"}


# What a market with contracts of other sizes than one coin shows where coins are taken for contracts, or the reverse.
MISREAD = {"size": {"tickers", "books", "trades"}, "base_volume": {"tickers"}, "lot": {"instruments"}}


@pytest.mark.parametrize("field", MISREAD)
@pytest.mark.parametrize(("exchange", "home"), [pair for pair in CONTRACTS if pair[1].startswith("linear")])
async def test_coins_taken_for_contracts_are_noticed_where_they_are_not_the_same(
    monkeypatch: pytest.MonkeyPatch, exchange: str, home: str, field: str
) -> None:
    rule = CONNECTORS[exchange].markets[home].units
    other = Amount.BASE if getattr(rule, field) is Amount.CONTRACTS else Amount.CONTRACTS
    change(monkeypatch, exchange, home, units=dataclasses.replace(rule, **{field: other}))
    # Binance, Bybit and Kraken count coins: one contract is one coin, so that both readings agree.
    assert await wrong(exchange, home) == (MISREAD[field] if exchange in COUNTING else set())


# What an inverse market shows where another unit is read into it.
INVERSE_MISREAD = {**MISREAD, "quote_volume": {"tickers"}}


@pytest.mark.parametrize("other", [Amount.BASE, Amount.CONTRACTS, Amount.QUOTE, Amount.QUOTE_CONTRACTS])
@pytest.mark.parametrize("field", ["size", "lot", "quote_volume"])
@pytest.mark.parametrize(("exchange", "home"), [pair for pair in CONTRACTS if pair[1].startswith("inverse")])
async def test_another_unit_of_inverse_contracts_is_noticed_where_it_is_not_the_same(
    monkeypatch: pytest.MonkeyPatch, exchange: str, home: str, field: str, other: Amount
) -> None:
    rule = CONNECTORS[exchange].markets[home].units
    if getattr(rule, field) is other:
        return
    # Kraken's contract is a dollar, Bybit counts dollars: contracts and units of the quote currency are the same.
    dollars = {Amount.QUOTE, Amount.QUOTE_CONTRACTS}
    plain = {*dollars, Amount.BASE, Amount.CONTRACTS} if field == "quote_volume" else dollars
    same = exchange in {"bybit", "kraken"} and other in plain
    change(monkeypatch, exchange, home, units=dataclasses.replace(rule, **{field: other}))
    assert await wrong(exchange, home) == (set() if same else INVERSE_MISREAD[field])


# Kraken sends one volume of inverse contracts: there is nothing to swap.
BOTH_VOLUMES = [pair for pair in CONTRACTS if pair[1].startswith("inverse") and pair[0] != "kraken"]


@pytest.mark.parametrize(("exchange", "home"), BOTH_VOLUMES)
async def test_base_and_quote_volume_of_inverse_contracts_swapped_are_noticed(
    monkeypatch: pytest.MonkeyPatch, exchange: str, home: str
) -> None:
    spec, *more = CONNECTORS[exchange].markets[home].tickers[::-1]
    swapped = dict(spec.fields)
    swapped["base_volume"], swapped["quote_volume"] = spec.fields["quote_volume"], spec.fields["base_volume"]
    changed = dataclasses.replace(spec, fields=swapped)
    change(monkeypatch, exchange, home, tickers=(*more[::-1], changed))
    assert await wrong(exchange, home) == {"tickers"}


@pytest.mark.parametrize(("exchange", "home"), TWO_SIDED)
@pytest.mark.parametrize(
    ("kept", "noticed"), [((), {"tickers", "trades"}), (("volume",), {"trades"}), (("trades",), {"tickers"})]
)
async def test_a_two_sided_figure_that_is_not_halved_is_noticed(
    monkeypatch: pytest.MonkeyPatch, exchange: str, home: str, kept: tuple[str, ...], noticed: set[str]
) -> None:
    rule: Units = CONNECTORS[exchange].markets[home].units
    assert {"volume", "trades"} <= set(rule.two_sided)
    change(monkeypatch, exchange, home, units=dataclasses.replace(rule, two_sided=kept))
    assert await wrong(exchange, home) == noticed


@pytest.mark.parametrize(("exchange", "kind"), [pair for pair in MARKETS if pair not in TWO_SIDED])
async def test_a_one_sided_figure_that_is_halved_is_noticed(
    monkeypatch: pytest.MonkeyPatch, exchange: str, kind: str
) -> None:
    rule: Units = CONNECTORS[exchange].markets[kind].units
    assert not {"volume", "trades"} & set(rule.two_sided)
    change(monkeypatch, exchange, kind, units=dataclasses.replace(rule, two_sided=("volume", "trades")))
    assert await wrong(exchange, kind) == {"tickers", "trades"}


async def test_a_rule_is_never_applied_twice() -> None:
    import numpy as np

    rule = CONNECTORS["okx"].markets["linear"].units
    one = np.ones(1)
    rows = units.to_base({"bid": one, "bid_size": one}, rule, one / 100, one)
    assert rows["bid_size"][0] == 0.01
    with pytest.raises(xex.XexError, match=r"okx\.linear"):
        units.to_base(rows, rule, one / 100, one)
