"""The markets of the default world: contract sizes, steps and minimums as the venues list them.

Steps of BTC, ETH, LTC, XRP, DOGE and ADA are the venues' own; where a venue's row for a market was not at
hand (SOL on OKX, Bybit and HTX, USDC, PEPE and SHIB, Kraken's dollar pairs of SOL, ADA and DOGE, some Kraken
Futures steps, most dated contracts, inverse ETH on OKX, Bybit and Kraken Futures, pairs in EUR, USDC and FDUSD)
they are typical.
Prices, sizes and volumes are invented: a calm market, nothing crosses after fees.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from tests.lab.names import market_id
from tests.lab.truth import ONE, STABLE, Kind, Market, Print, Side, Token, Truth, on_grid

USDT_USD = Decimal("0.9993")
DOLLARS = {"USD": ONE, "USDT": USDT_USD, "USDC": ONE, "FDUSD": Decimal("0.9985"), "EUR": Decimal("1.0842")}
EXPIRY = "261225"
GRAIN = Decimal("0.001")
SHAPE = [Decimal(x) / 10 for x in (10, 4, 17, 9, 26, 13, 31, 6, 42, 20)]

# trades, newest first: age in ms, ticks beyond the best price of the side that was taken, part of the best size
TRADES = (
    *((200, 0, "0.02"), (450, 0, "0.35"), (900, 0, "0.004"), (1_600, 1, "0.11"), (2_600, 0, "0.6"), (4_000, 1, "0.05")),
    *((6_500, 2, "0.9"), (10_000, 1, "0.015"), (16_000, 0, "0.24"), (25_000, 3, "1.3"), (40_000, 2, "0.07")),
    (60_000, 4, "0.5"),
)
SELLS = (0, 3, 4, 7, 8, 11)

# base: fair price in USDT
FAIR = {
    "BTC": "96512.4",
    "ETH": "3351.27",
    "SOL": "194.83",
    "XRP": "2.4517",
    "DOGE": "0.33518",
    "LTC": "118.46",
    "ADA": "0.9214",
}

# base | tick | lot | min_amount | min_notional | base volume of 24 h | size at the best price | bps off fair
BINANCE_LINEAR = """
BTC  0.1     0.001 0.001 50  150213.482   6.214   0.0
ETH  0.01    0.001 0.001 20  3218402.117  84.35   0.2
SOL  0.01    0.01  0.01  5   14082310.44  912.4   -0.3
XRP  0.0001  0.1   0.1   5   903214118.7  61240.5 0.1
DOGE 0.00001 1     1     5   5210433918   402113  -0.2
LTC  0.01    0.001 0.001 20  6104220.518  310.25  0.3
ADA  0.0001  1     1     5   852113904    95210   0.0
"""
OKX_LINEAR = """
BTC  0.1     0.0001 0.0001 - 60118.734    4.821   1.5
ETH  0.01    0.001  0.001  - 1302441.75   61.4    1.3
SOL  0.01    0.01   0.01   - 5211034.62   640.7   1.8
XRP  0.0001  1      1      - 310224118    40120   1.1
DOGE 0.00001 10     10     - 1602118440   250340  1.4
LTC  0.01    0.1    0.1    - 1904332.7    205.3   1.2
ADA  0.0001  10     10     - 240118930    52340   1.6
"""
KRAKEN_LINEAR = """
BTC  1        0.0001 0.0001 - 5021.4433   0.742   -1.9
ETH  0.1      0.001  0.001  - 62114.908   8.31    -1.4
SOL  0.01     0.01   0.01   - 420331.55   74.2    -2.1
XRP  0.00001  1      1      - 21044318    5210    -1.2
DOGE 0.000001 1      1      - 90211405    22140   -1.7
LTC  0.01     0.01   0.01   - 70214.33    41.6    -1.5
ADA  0.00001  1      1      - 15033218    7420    -1.1
"""
BINANCE_SPOT = """
BTC  0.01    0.00001 0.00001 5 24118.417     3.412   -3.1
ETH  0.01    0.0001  0.0001  5 420331.218    38.6    -2.8
SOL  0.01    0.001   0.001   5 3402118.914   402.5   -3.3
XRP  0.0001  0.1     0.1     5 210334118.4   22410.3 -2.6
DOGE 0.00001 1       1       1 902114338     180224  -2.9
LTC  0.01    0.001   0.001   5 620118.442    120.75  -2.4
ADA  0.0001  0.1     0.1     5 160224118.3   41230.4 -2.7
USDC 0.00001 1       1       5 904118332     1204332 0
"""
OKX_SPOT = """
BTC  0.1     0.00000001 0.00001 - 8513.4412     1.904   -2.4
ETH  0.01    0.000001   0.0001  - 150224.118    21.35   -2.1
SOL  0.01    0.000001   0.01    - 1104332.518   240.6   -2.7
XRP  0.0001  0.000001   1       - 64118330.5    12044   -2.2
DOGE 0.00001 0.000001   10      - 300118442     90210   -2.5
LTC  0.01    0.000001   0.01    - 180224.33     64.8    -1.9
ADA  0.0001  0.0001     10      - 42118904.5    21044   -2.3
USDC 0.0001  0.000001   1       - 310118442.5   804118  0
"""
KRAKEN_USD = """
BTC  0.1       0.00000001 0.00005 0.5 2214.33418  0.931   -2.9
ETH  0.01      0.00000001 0.002   0.5 24118.4421  9.45    -2.3
SOL  0.01      0.00000001 0.02    0.5 310224.118  88.1    -3.0
XRP  0.00001   0.00000001 2       0.5 18044331.2  9120    -2.6
DOGE 0.0000001 0.00000001 13      0.5 62118443    30240   -2.8
LTC  0.01      0.00000001 0.05    0.5 41022.118   52.4    -2.2
ADA  0.000001  0.00000001 4.4     0.5 21044118.5  15230   -2.5
USDT 0.00001   0.00000001 5       0.5 61440332.4  240118  0
USDC 0.0001    0.00000001 5       0.5 9022441.7   88042   0
"""
KRAKEN_USDT = """
BTC  0.1      0.00000001 0.00005 0.5 260.118331  0.412   -1.8
ETH  0.01     0.00000001 0.002   0.5 3104.22118  4.26    -1.5
SOL  0.01     0.00000001 0.02    0.5 22118.3342  31.7    -2.0
XRP  0.00001  0.00000001 2       0.5 1602118.44  3140    -1.6
DOGE 0.00001  0.00000001 13      0.5 4022118.3   12204   -1.9
LTC  0.00001  0.00000001 0.05    0.5 3304.21184  18.9    -1.4
ADA  0.000001 0.00000001 4.4     0.5 1404332.18  6204    -1.7
"""
BYBIT_LINEAR = """
BTC  0.1     0.001 0.001 5 81204.113   3.418  0.7
ETH  0.01    0.01  0.01  5 1704118.42  42.17  0.6
SOL  0.01    0.1   0.1   5 8102443.6   520.3  0.9
XRP  0.0001  0.1   0.1   5 421004118.2 38204.6 0.5
DOGE 0.00001 1     1     5 2310442118  210443 0.8
LTC  0.01    0.1   0.1   5 2804118.4   160.7  0.6
ADA  0.0001  1     1     5 361204118   61204  0.7
"""
BYBIT_SPOT = """
BTC  0.1     0.000001 0.000001 5 12204.418331  2.118   -2.7
ETH  0.01    0.00001  0.00001  5 210443.11824  27.44   -2.5
SOL  0.01    0.001    0.001    5 1804221.443   310.2   -2.9
XRP  0.0001  0.01     0.01     5 98204118.33   17220.4 -2.4
DOGE 0.00001 0.1      0.1      5 420118443.2   121044  -2.7
LTC  0.01    0.00001  0.00001  5 260118.44213  81.6    -2.1
ADA  0.0001  0.01     0.01     5 70221044.18   30118.2 -2.5
USDC 0.0001  0.01     0.01     5 204118332.41  604118  0
"""
BITGET_LINEAR = """
BTC  0.1     0.0001 0.0001 5 71044.3312 2.641 0.4
ETH  0.01    0.01   0.01   5 1302118.42 33.18 0.5
"""
BITGET_SPOT = """
BTC  0.01    0.000001 0.000001 1 9204.418331 1.704 -2.8
ETH  0.01    0.0001   0.0001   1 160221.4433 19.36 -2.6
"""
HTX_LINEAR = """
BTC  0.1      0.001 0.001 - 21044.118  1.904  -0.9
ETH  0.01     0.01  0.01  - 402118.33  19.62  -0.7
SOL  0.0001   1     1     - 1604118    210    -1.1
XRP  0.00001  10    10    - 82044110   14020  -0.6
DOGE 0.000001 100   100   - 410221800  84300  -0.9
LTC  0.01     0.1   0.1   - 602118.4   64.3   -0.8
ADA  0.000001 10    10    - 64118030   21040  -0.7
"""
HTX_SPOT = """
BTC  0.01     0.000001 0.00001 1 4104.418331 1.312  -2.6
ETH  0.01     0.0001   0.0001  1 62118.4431  14.2   -2.4
SOL  0.0001   0.0001   0.01    1 410221.3318 96.4   -2.8
XRP  0.00001  0.01     1       1 24118044.33 8120.5 -2.3
DOGE 0.000001 0.01     1       1 92044118.31 50221  -2.6
LTC  0.01     0.0001   0.001   1 71044.2218  40.3   -2.0
ADA  0.000001 0.0001   0.1     1 16044118.22 14022  -2.4
"""
# contract sizes as recorded, SOL's is typical
HTX_CONTRACTS = {
    "BTC": "0.001",
    "ETH": "0.01",
    "SOL": "1",
    "XRP": "10",
    "DOGE": "100",
    "LTC": "0.1",
    "ADA": "10",
}
BINANCE_DIGITS = {"BTC": 2, "SOL": 4, "DOGE": 6, "ADA": 5}
OKX_CONTRACTS = {
    "BTC": "0.01",
    "ETH": "0.1",
    "SOL": "1",
    "XRP": "100",
    "DOGE": "1000",
    "LTC": "1",
    "ADA": "100",
}


@dataclass(frozen=True)
class Listing:
    """Where a table's rows are listed: venue, kind and quote currency, and the end of dated contracts."""

    venue: str
    kind: Kind
    quote: str
    rows: str
    expiry: str = ""


LISTINGS = (
    Listing("binance", "linear", "USDT", BINANCE_LINEAR),
    Listing("okx", "linear", "USDT", OKX_LINEAR),
    Listing("krakenfutures", "linear", "USD", KRAKEN_LINEAR),
    Listing("kraken", "spot", "USD", KRAKEN_USD),
    Listing("kraken", "spot", "USDT", KRAKEN_USDT),
    Listing("binance", "spot", "USDT", BINANCE_SPOT),
    Listing("okx", "spot", "USDT", OKX_SPOT),
    Listing("bybit", "linear", "USDT", BYBIT_LINEAR),
    Listing("bybit", "spot", "USDT", BYBIT_SPOT),
    Listing("htx", "linear", "USDT", HTX_LINEAR),
    Listing("htx", "spot", "USDT", HTX_SPOT),
)
CONTRACTS = {"okx": OKX_CONTRACTS, "htx": HTX_CONTRACTS}
BIG = (*LISTINGS[:4], *(listing for listing in LISTINGS[4:] if listing.kind == "linear"))
BIG_SPOT = tuple(listing for listing in LISTINGS if listing.kind == "spot" and listing.quote == "USDT")
BIG_CONTRACTS = {"okx": "10", "htx": "0.1"}

BITGET = (Listing("bitget", "linear", "USDT", BITGET_LINEAR), Listing("bitget", "spot", "USDT", BITGET_SPOT))

# perpetuals of coins worth next to nothing, which some venues list by the thousand:
# venue | base | id | coins per unit | name if another | contract | tick | lot | volume | size | bps off
MEMES = """
binance       PEPE 1000PEPEUSDT   1000 -        1        0.0000000001 1000    9102443118000  4120330000 0.0
bybit         PEPE 1000PEPEUSDT   1000 -        1        0.0000000001 100000  4204118300000  2104400000 0.6
okx           PEPE PEPE-USDT-SWAP 1    -        10000000 0.000000001  1000000 3110224000000  1804000000 1.2
htx           PEPE PEPE-USDT      1    -        1000000  0.0000000001 1000000 402118000000   612000000  -0.7
krakenfutures PEPE PF_PEPEUSD     1    -        1        0.0000000001 1000    62118443000    84120000   -1.4
binance       SHIB 1000SHIBUSDT   1000 -        1        0.000000001  1000    1804221443000  920443000  0.0
bybit         SHIB SHIB1000USDT   1000 SHIB1000 1        0.000000001  10000   904118330000   512040000  0.5
okx           SHIB SHIB-USDT-SWAP 1    -        1000000  0.000000001  100000  610332100000   402200000  1.1
"""
MEME_FAIR = {"PEPE": "0.0000120514", "SHIB": "0.000021807"}


# inverse and dated contracts: sizes and volumes of inverse ones in contracts, of linear ones in base units
# venue | kind | base | quote | dated | contract | tick | lot in contracts | min_notional | volume | size | bps off
CONTRACT_ROWS = """
binance       inverse BTC USD  no  100   0.1   1      -  11204332 18420 -0.4
binance       inverse ETH USD  no  10    0.01  1      -  60221843 92110 -0.3
okx           inverse BTC USD  no  100   0.1   0.1    -  5104221  7804  0.9
okx           inverse ETH USD  no  10    0.01  0.1    -  30118442 41220 0.8
htx           inverse BTC USD  no  100   0.1   1      -  2104118  3120  -1.2
htx           inverse ETH USD  no  10    0.01  1      -  9022144  12804 -1.1
bybit         inverse BTC USD  no  1     0.1   1      5  804221133 1220418 0.4
bybit         inverse ETH USD  no  1     0.01  1      5  402118331 604221  0.5
krakenfutures inverse BTC USD  no  1     0.5   1      -  34165127 88204 -1.8
krakenfutures inverse ETH USD  no  1     0.05  1      -  12044118 30418 -1.6
binance       inverse BTC USD  yes 100   0.1   1      -  604221   2204  46.2
okx           inverse BTC USD  yes 100   0.1   1      -  402118   1604  47.4
htx           inverse BTC USD  yes 100   0.01  1      -  204331   804   45.1
bybit         inverse BTC USD  yes 1     0.5   1      5  21044331 90421 46.9
krakenfutures inverse BTC USD  yes 1     0.5   1      -  4022118  20418 44.3
binance       linear  BTC USDT yes 1     0.1   0.001  5  4104.331 1.824 45.8
okx           linear  BTC USDT yes 0.01  0.1   1      -  2204.18  1.22  47.1
htx           linear  BTC USDT yes 0.001 0.1   1      -  804.221  0.412 44.9
bybit         linear  BTC USDT yes 1     0.5   0.001  5  1604.118 0.804 46.6
krakenfutures linear  BTC USD  yes 1     1     0.0001 -  220.4418 0.204 44.0
"""

# spot pairs in and of other currencies, in the columns of the tables above
BINANCE_FDUSD = """
BTC  0.01   0.00001 0.00001 5 9022.118   1.204  -3.0
ETH  0.01   0.0001  0.0001  5 160221.44  14.02  -2.9
"""
BINANCE_EUR = """
BTC  0.01   0.00001 0.00001 5 402.11833  0.304  -3.2
ETH  0.01   0.0001  0.0001  5 7022.1184  4.121  -3.1
"""
BINANCE_USDC = """
BTC  0.01   0.00001 0.00001 5 12044.118  1.604  -3.1
ETH  0.01   0.0001  0.0001  5 204118.33  18.22  -2.8
"""
BINANCE_CURRENCIES = """
FDUSD 0.0001 1   1   5 204118332  904118 0
EUR   0.0001 0.1 0.1 5 30221844.3 120418 0
"""
KRAKEN_EUR = """
BTC  0.1    0.00000001 0.00005 0.45 1204.33184 0.704  -3.0
ETH  0.01   0.00000001 0.002   0.45 14022.1184 6.218  -2.7
USDT 0.0001 0.00000001 5       0.45 22044118.3 80421  0
USDC 0.0001 0.00000001 5       0.45 4022118.33 40218  0
"""
KRAKEN_USDC = """
BTC  0.01   0.00000001 0.00005 0.5 120.44183  0.204  -2.6
ETH  0.01   0.00000001 0.002   0.5 1402.1184  2.104  -2.2
"""
CURRENCIES = (
    Listing("binance", "spot", "FDUSD", BINANCE_FDUSD),
    Listing("binance", "spot", "EUR", BINANCE_EUR),
    Listing("binance", "spot", "USDC", BINANCE_USDC),
    Listing("binance", "spot", "USDT", BINANCE_CURRENCIES),
    Listing("kraken", "spot", "EUR", KRAKEN_EUR),
    Listing("kraken", "spot", "USD", "EUR  0.00001 0.00000001 0.5 0.5 40221844.2 160421 0"),
    Listing("kraken", "spot", "USDT", "USDC 0.0001 0.00000001 5 0.5 8022118.44 60421 0"),
    Listing("kraken", "spot", "USDC", KRAKEN_USDC),
    Listing("okx", "spot", "USDC", "BTC 0.1 0.00000001 0.00001 - 1204.4418 0.804 -2.5"),
    Listing("bybit", "spot", "USDC", "BTC 0.01 0.000001 0.000001 5 2204.418331 0.904 -2.6"),
    Listing("htx", "spot", "USDC", "BTC 0.01 0.000001 0.00001 1 204.118331 0.312 -2.4"),
)

# what the codes stand for, invented but for the form: coins of networks of their own, and tokens
TOKENS = (
    Token("BTC", "bitcoin"),
    Token("ETH", "ethereum"),
    Token("SOL", "solana"),
    Token("USDT", "ethereum", "0x7a1c9e04d2b85f6e3a0c417d9b28e56f01c3d4a9"),
    Token("USDT", "tron", "TLab7Nf2cQwXyZ4mKpR9sVtUeHjD3gBa1o"),
    Token("USDC", "ethereum", "0x3be81f60c7d94a52e18f0b6d7c25a93e84f1026b"),
    Token("USDC", "avalanche", "0x90d2c4a7b6e8135f0d7a2e96c4b158f3a0e7d61c"),
)


def fair_price(base: str, quote: str) -> Decimal:
    """Fair price of one base unit in a currency."""
    if base in DOLLARS:
        return DOLLARS[base] / DOLLARS[quote]
    price = Decimal(FAIR[base])
    return price if quote == "USDT" else price * USDT_USD / DOLLARS[quote]


def ladder(best: Decimal, tick: Decimal, size: Decimal, grain: Decimal, levels: int) -> Side:
    """Make one side of a book: gaps widen and sizes vary with the level; a negative tick goes down."""

    def level(rank: int) -> tuple[Decimal, Decimal]:
        price = best + tick * (rank + rank * rank // 6)
        amount = size * SHAPE[rank % len(SHAPE)] * (8 + rank) / 8
        return price, max(grain, on_grid(amount, grain, ROUND_FLOOR))

    return tuple(level(rank) for rank in range(levels))


def prints(name: str, bids: Side, asks: Side, tick: Decimal, grain: Decimal) -> tuple[Print, ...]:
    """Make a market's latest trades: takers of both sides, sizes in whole steps of `grain`."""
    newest = 100_000_000 + zlib.crc32(name.encode()) % 800_000_000

    def trade(rank: int, age_ms: int, beyond: int, part: str) -> Print:
        sold = rank in SELLS
        best, size = bids[0] if sold else asks[0]
        amount = max(grain, on_grid(size * Decimal(part), grain, ROUND_FLOOR))
        price = best + tick * (-beyond if sold else beyond)
        return Print(str(newest - rank), price, amount, "sell" if sold else "buy", age_ms)

    return tuple(trade(rank, *row) for rank, row in enumerate(TRADES))


def build(listing: Listing, row: str, levels: int) -> Market:
    """Make one market from a row of its table."""
    base, *numbers = row.split()
    tick, lot, least, notional, volume, size, off = (Decimal("0" if x == "-" else x) for x in numbers)
    fair = fair_price(base, listing.quote) * (1 + off / 10_000)
    contract = Decimal(CONTRACTS.get(listing.venue, {}).get(base, 1)) if listing.kind == "linear" else ONE
    return make_market(
        listing,
        base,
        fair,
        tick=tick,
        lot=lot,
        least=least,
        notional=notional or None,
        volume=volume,
        size=size,
        contract=contract,
        levels=levels,
    )


def make_market(
    listing: Listing,
    base: str,
    fair: Decimal,
    *,
    tick: Decimal,
    lot: Decimal,
    least: Decimal,
    notional: Decimal | None,
    volume: Decimal,
    size: Decimal,
    contract: Decimal,
    levels: int,
) -> Market:
    """Make a market around a fair price, its book one tick wide.

    For inverse contracts `volume` and `size` are numbers of contracts, `lot` and `least` quote units.
    """
    bid = on_grid(fair, tick, ROUND_FLOOR)
    ask = bid + tick
    inverse, linear = listing.kind == "inverse", listing.kind == "linear"
    step = lot / contract if inverse else lot
    grain = max(step, ONE if inverse else GRAIN)
    bids = ladder(bid, -tick, size, grain, levels)
    asks = ladder(ask, tick, size * Decimal("0.9"), grain, levels)
    name = market_id(listing.venue, listing.kind, base, listing.quote, listing.expiry)
    calm = Decimal("0.02") if base in STABLE else ONE
    interest = on_grid(volume / 3, grain if inverse else lot)

    def away(part: str) -> Decimal:
        return on_grid(fair * (1 + Decimal(part) * calm), tick)

    market = Market(
        venue=listing.venue,
        kind=listing.kind,
        base=base,
        quote=listing.quote,
        id=name,
        expiry=listing.expiry,
        contract_size=contract,
        tick=tick,
        lot=lot,
        min_amount=least,
        min_notional=notional,
        price_digits=BINANCE_DIGITS.get(base) if (listing.venue, linear) == ("binance", True) else None,
        bids=bids,
        asks=asks,
        last=bid,
        open=away("-0.012"),
        high=away("0.015"),
        low=away("-0.019"),
        midnight_open=away("-0.006"),
        base_volume=on_grid(volume, step),
        vwap=away("-0.004"),
        mark=None if listing.kind == "spot" else away("0"),
        index=None if listing.kind == "spot" else away("-0.0003"),
        funding_hourly=None if listing.kind == "spot" or listing.expiry else Decimal("0.0000125"),
        open_interest=None if listing.kind == "spot" else interest,
        trade_age_ms=90_000 if listing.venue == "krakenfutures" else 1_000,
        trades=prints(f"{listing.venue} {listing.kind} {name}", bids, asks, tick, grain),
    )
    return in_base_units(market) if inverse else market


def in_base_units(market: Market) -> Market:
    """Turn an inverse market's numbers of contracts into base units, each at its own price."""

    def levels(side: Side) -> Side:
        return tuple((price, market.base_size(contracts, price)) for price, contracts in side)

    trades = (dataclasses.replace(done, size=market.base_size(done.size, done.price)) for done in market.trades)
    mark, interest = market.mark or market.last, market.open_interest or Decimal(0)
    return dataclasses.replace(
        market,
        bids=levels(market.bids),
        asks=levels(market.asks),
        base_volume=market.base_size(market.base_volume, market.vwap),
        open_interest=market.base_size(interest, mark),
        trades=tuple(trades),
    )


def default_truth(levels: int = 24) -> Truth:
    """Return a calm world of seven coins on all venues, books `levels` deep, USDT at 0.9993 dollars.

    Spot and linear perpetuals of all, inverse perpetuals of BTC and ETH, and of BTC contracts of both sorts that
    end on the day `EXPIRY`.
    """
    rows = ((listing, row) for listing in LISTINGS for row in listing.rows.strip().splitlines())
    markets = tuple(build(listing, row, levels) for listing, row in rows)
    contracts = tuple(_contract(row, levels) for row in CONTRACT_ROWS.strip().splitlines())
    return Truth(markets + contracts, USDT_USD, TOKENS)


def _contract(row: str, levels: int) -> Market:
    """Make one market from a row of the table of inverse and dated contracts."""
    venue, kind, base, quote, dated, *numbers = row.split()
    contract, tick, lot, notional, volume, size, off = (Decimal("0" if x == "-" else x) for x in numbers)
    listing = Listing(venue, "inverse" if kind == "inverse" else "linear", quote, "", EXPIRY if dated == "yes" else "")
    step = lot * contract  # of inverse contracts in quote units, of linear ones in base units
    return make_market(
        listing,
        base,
        fair_price(base, quote) * (1 + off / 10_000),
        tick=tick,
        lot=step,
        least=step,
        notional=notional or None,
        volume=volume,
        size=size,
        contract=contract,
        levels=levels,
    )


def currency_markets(levels: int = 24) -> tuple[Market, ...]:
    """Return spot pairs of, and in, EUR, FDUSD and USDC, for `Truth.adding`; all agree within about a basis point."""
    rows = ((listing, row) for listing in CURRENCIES for row in listing.rows.strip().splitlines())
    return tuple(build(listing, row, levels) for listing, row in rows)


def extra_markets(levels: int = 24) -> tuple[Market, ...]:
    """Return perpetuals in PEPE on all venues and in SHIB on some, for `Truth.adding`; most go by the thousand."""
    return tuple(_meme(row, levels) for row in MEMES.strip().splitlines())


def _meme(row: str, levels: int) -> Market:
    """Make one market from a row of the table of coins by the thousand."""
    venue, base, name, coins, coin, *numbers = row.split()
    contract, tick, lot, volume, size, off = map(Decimal, numbers)
    listing = Listing(venue, "linear", "USD" if venue == "krakenfutures" else "USDT", "")
    rate = USDT_USD if listing.quote == "USD" else ONE
    market = make_market(
        listing,
        base,
        Decimal(MEME_FAIR[base]) * rate * (1 + off / 10_000),
        tick=tick,
        lot=lot,
        least=lot,
        notional=Decimal(5) if venue in ("binance", "bybit") else None,
        volume=volume,
        size=size,
        contract=contract,
        levels=levels,
    )
    return dataclasses.replace(market, id=name, multiplier=Decimal(coins), coin=None if coin == "-" else coin)


def bitget_markets(levels: int = 24) -> tuple[Market, ...]:
    """Return BTC and ETH, spot and perpetual, of a sixth exchange, for `Truth.adding`."""
    rows = ((listing, row) for listing in BITGET for row in listing.rows.strip().splitlines())
    return tuple(build(listing, row, levels) for listing, row in rows)


def big_truth(n: int, levels: int = 5, *, spot: bool = False) -> Truth:
    """Return the default world with `n` more markets per venue, for measuring speed; with `spot` as many there."""
    return default_truth().adding(_more(n, levels, (*BIG, *BIG_SPOT) if spot else BIG))


def _more(n: int, levels: int, listings: Sequence[Listing]) -> Iterator[Market]:
    """Yield `n` invented coins C0000, C0001 … on the main market of each venue."""
    for rank in range(n):
        price = Decimal(1) + Decimal(rank % 997) / 7
        for place, listing in enumerate(listings):
            rate = USDT_USD if listing.quote == "USD" else ONE
            yield make_market(
                listing,
                f"C{rank:04d}",
                price * rate * (1 + Decimal(place) / 10_000),
                tick=Decimal("0.0001"),
                lot=Decimal("0.1"),
                least=Decimal("0.1"),
                notional=Decimal(5) if listing.venue == "binance" else None,
                volume=Decimal(100_000 + 37 * rank),
                size=Decimal(50 + rank % 40),
                contract=ONE if listing.kind == "spot" else Decimal(BIG_CONTRACTS.get(listing.venue, 1)),
                levels=levels,
            )
