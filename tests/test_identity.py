"""Which code is which asset: the table, the rules, the addresses, and the price check in worlds where somebody lies."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from importlib import resources
from itertools import combinations
from typing import Any

import pandas as pd
import pytest

import xex
from tests import oracle
from tests.conformance.bodies import needs_recorded
from tests.conformance.worlds import DATA
from tests.conftest import ManagerFor, Tidy
from tests.lab import Lab, Market, Truth, default_truth
from xex.access import budgets
from xex.analytics import quality
from xex.errors import ConfigError, Dropped
from xex.model.identity import Addresses, alias, aliases, asset, same_address

# --- the table ----------------------------------------------------------------------------------------------

CLASSES = {
    "binance": ("binance", "spot"), "binanceusdm": ("binance", "linear"), "binancecoinm": ("binance", "inverse"),
    "bitget": ("bitget", "spot"), "bybit": ("bybit", "spot"), "htx": ("htx", "spot"), "kraken": ("kraken", "spot"),
    "krakenfutures": ("kraken", "linear"), "okx": ("okx", "spot"),
}  # fmt: skip
# ccxt's list has the second Augur token here, and its own reading of the venue's list the first, as we have it.
OTHERWISE = {("kraken", "XREP"): "REPV1", ("bitget", "OMNI"): "OMNITOKEN"}


def test_every_line_says_what_it_is_and_why() -> None:
    lines = aliases()
    assert len({(line.venue, line.kind, line.code) for line in lines}) == len(lines)
    for line in lines:
        assert line.venue == "*" or line.venue in {venue for venue, _ in CLASSES.values()}, line
        assert line.kind in {"*", "spot", "linear", "inverse"}, line
        assert line.code == line.code.upper(), line
        assert re.fullmatch(r"[A-Z0-9]+", line.asset), line
        assert line.multiplier >= 1, line
        assert len(line.reason.split()) >= 3, line
        # Unified symbols are read again, without a venue, and must mean the same.
        assert {asset(line.asset, kind) for kind in ("spot", "linear", "inverse")} == {(line.asset, 1)}, line


def test_the_table_is_in_the_package() -> None:
    assert (resources.files("xex.model") / "aliases.csv").is_file()


@pytest.mark.parametrize("name", CLASSES)
def test_nothing_that_ccxt_renames_is_lost(name: str) -> None:
    import ccxt.async_support as ccxt

    venue, kind = CLASSES[name]
    for code, theirs in getattr(ccxt, name)().commonCurrencies.items():
        plain = "".join(filter(str.isalnum, theirs)).upper()
        assert asset(code, kind, venue) == (OTHERWISE.get((venue, code), plain), 1)


@needs_recorded
@pytest.mark.parametrize("name", ["binance", "bybit", "htx", "kraken", "krakenfutures", "okx"])
def test_recorded_codes_are_the_assets_that_ccxt_reads(name: str) -> None:
    markets = json.loads((DATA / "markets" / f"{name}.json").read_bytes()).values()
    for market in markets:
        kind = "inverse" if market["inverse"] else "linear" if market["linear"] else "spot"
        venue = "kraken" if name == "krakenfutures" else name
        assert asset(market["baseId"], kind, venue) == (market["base"], 1)
        assert asset(market["quoteId"], "spot", venue) == (market["quote"], 1)


@pytest.mark.parametrize(
    ("code", "kind", "venue", "meant"),
    [
        ("XBT", "spot", "", ("BTC", 1)),
        ("xdg", "spot", "", ("DOGE", 1)),
        ("XBT", "inverse", "kraken", ("BTC", 1)),
        # The same code on several venues: the more particular line decides.
        ("GTC", "spot", "htx", ("GAMECOM", 1)),
        ("gtc", "linear", "htx", ("GAMECOM", 1)),
        ("GTC", "spot", "binance", ("GTC", 1)),
        ("LUNA", "spot", "kraken", ("LUNC", 1)),
        ("LUNA", "linear", "kraken", ("LUNA", 1)),
        ("LUNA", "spot", "okx", ("LUNA", 1)),
        ("LUNA2", "spot", "kraken", ("LUNA", 1)),
        ("LUNA2", "linear", "bybit", ("LUNA", 1)),
        ("REP", "spot", "kraken", ("REPV1", 1)),
        ("REPV2", "spot", "kraken", ("REP", 1)),
        ("UST", "spot", "kraken", ("USTC", 1)),
        ("UST", "spot", "", ("UST", 1)),
        ("AE", "spot", "okx", ("AET", 1)),
        ("BCC", "spot", "binance", ("BCC", 1)),
        ("BTT", "spot", "binance", ("BTTOLD", 1)),
        ("BTTC", "spot", "binance", ("BTT", 1)),
        ("NEIRO", "spot", "bybit", ("NEIROETH", 1)),
        ("NEIRO", "spot", "binance", ("NEIRO", 1)),
        ("DODOX", "linear", "binance", ("DODO", 1)),
        ("DEFI", "linear", "binance", ("DEFIINDEX", 1)),
        ("DEFI", "spot", "bybit", ("DEFI", 1)),
    ],
)
def test_the_most_particular_line_wins(code: str, kind: str, venue: str, meant: tuple[str, int]) -> None:
    assert asset(code, kind, venue) == meant


def test_a_decision_can_be_asked_for_its_reason() -> None:
    line = alias("gtc", "spot", "htx")
    assert line is not None
    assert "Gitcoin" in line.reason
    assert alias("GTC", "spot", "okx") is None
    assert alias("1000PEPE", "linear", "binance") is None


# --- multipliers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "inverse"])
@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("1000PEPE", ("PEPE", 1_000)),
        ("1000pepe", ("PEPE", 1_000)),
        ("10000SATS", ("SATS", 10_000)),
        ("100000FLOKI", ("FLOKI", 100_000)),
        ("1000000MOG", ("MOG", 1_000_000)),
        ("10000000AIDOGE", ("AIDOGE", 10_000_000)),
        ("1MBABYDOGE", ("BABYDOGE", 1_000_000)),
        ("1KSHIB", ("SHIB", 1_000)),
        ("SHIB1000", ("SHIB", 1_000)),
        ("MOG1000000", ("MOG", 1_000_000)),
        ("kPEPE", ("PEPE", 1_000)),
        ("1000X", ("X", 1_000)),
        ("1000IQ50", ("IQ50", 1_000)),
        # The name within a name has its own line.
        ("1000NEIROCTO", ("NEIRO", 1_000)),
        ("1000BTTC", ("BTT", 1_000)),
    ],
)
def test_contracts_count_by_the_thousand_in_every_spelling(code: str, kind: str, meant: tuple[str, int]) -> None:
    assert asset(code, kind) == meant
    # A spot market trades the token itself, however it is called.
    assert asset(code, "spot") == (code.upper(), 1)


@pytest.mark.parametrize(
    "code",
    ["1INCH", "1CAT", "1MT", "1KM", "0G", "2Z", "4", "42", "A2Z", "C98", "B3", "AI16Z", "IQ50", "BROCCOLI714", "X1000",
     "100", "1000", "1M", "10SET", "KAVA", "KSM", "KNC", "KPEPE", "USDT", "M", "K"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["spot", "linear"])
def test_names_that_only_look_like_multipliers_stay(code: str, kind: str) -> None:
    assert asset(code, kind) == (code, 1)
    assert asset(code.lower(), kind) == (code, 1)


def test_one_name_by_the_million_is_another_coin_than_without() -> None:
    assert asset("1000000BOB", "linear", "binance") == ("BUILDONBNB", 1_000_000)
    assert asset("BOB", "linear", "binance") == ("BOB", 1)


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("ETH2.S", "ETH2.S"), ("XBT.M", "BTC.M"), ("XBT.F", "BTC.F"), ("XDG.B", "DOGE.B"), ("DOT.P", "DOT.P"),
        ("USD.HOLD", "USD.HOLD"), ("XBT.d", "BTC.D"), ("DOT28.S", "DOT28.S"),
    ],
)  # fmt: skip
def test_staked_and_dark_codes_never_merge_with_the_plain_one(code: str, meant: str) -> None:
    assert asset(code, "spot", "kraken") == (meant, 1)
    assert asset(code.partition(".")[0], "spot", "kraken")[0] != meant


# --- addresses ----------------------------------------------------------------------------------------------

EVM, OTHER = "0xdAC17F958D2ee523a2206206994597C13D831ec7", "0x55d398326f99059fF775485246999027B3197955"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"ERC20": EVM}, {"ETH": EVM.lower()}, "same"),
        ({"ERC20": EVM}, {"Ethereum (ERC20)": EVM[2:].upper()}, "same"),
        ({"ERC20": EVM}, {"ERC20": OTHER}, "different"),
        # One network in common is enough, whatever a bridge does elsewhere.
        ({"ERC20": EVM, "BEP20": OTHER}, {"ETH": EVM, "BSC": EVM}, "same"),
        ({"ERC20": [OTHER, EVM]}, {"ERC20": EVM}, "same"),
        ({"ERC20": EVM}, {"BEP20": EVM}, "unknown"),
        ({"ERC20": EVM}, {}, "unknown"),
        ({}, {}, "unknown"),
        # A network's own coin has no contract; what wraps it elsewhere differs by issuer.
        ({"BTC": None}, {"Bitcoin": ""}, "unknown"),
        ({"BTC": None, "ERC20": EVM}, {"BTC": "", "ERC20": OTHER}, "unknown"),
        ({"ETH": "0x" + 40 * "0"}, {"ETH": "0x" + 40 * "e"}, "unknown"),
        ({"Solana": "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"},
         {"SOL": "es9vmfrzacermjfrf4h2fyd4kconky11mcce8benwnyb"}, "different"),
        ({"Starknet": "0x49d3"}, {"STARKNET": "0x049D3"}, "same"),
        ({"SUI": "0xDBA3::usdc::USDC"}, {"sui": "0xdba3::usdc::USDC"}, "same"),
        ({"SUI": "0xDBA3::usdc::USDC"}, {"sui": "0xdba3::usdt::USDT"}, "different"),
        # The last six digits tell nothing.
        ({"ERC20": "831ec7"}, {"ERC20": EVM}, "unknown"),
    ],
)  # fmt: skip
def test_addresses_tell_one_coin_from_another(first: Any, second: Any, said: str) -> None:
    assert same_address(first, second) == said
    assert same_address(second, first) == said


def recorded_addresses(venue: str, code: str) -> Addresses:
    """Return what a venue's own list of currencies says, by network."""
    info = json.loads((DATA / "currencies" / f"{venue}.json").read_bytes())[code]["info"]
    if venue == "okx":
        rows = [(row["chain"].split("-", 1)[1], row["ctAddr"]) for row in info]
    else:
        name = {"binance": "network", "bybit": "chain", "htx": "displayName"}[venue]
        chains = info["networkList" if venue == "binance" else "chains"]
        rows = [(row[name], row.get("contractAddress")) for row in chains]
    found: dict[str, list[str | None]] = {}
    for network, address in rows:
        found.setdefault(network, []).append(address)
    return found


@needs_recorded
@pytest.mark.parametrize(("code", "said"), [("USDT", {"same"}), ("USDC", {"same"}), ("BTC", {"same", "unknown"})])
def test_recorded_addresses_agree(code: str, said: set[str]) -> None:
    given = {venue: recorded_addresses(venue, code) for venue in ("binance", "bybit", "htx", "okx")}
    assert {same_address(given[one], given[other]) for one, other in combinations(given, 2)} == said


@needs_recorded
def test_recorded_addresses_of_two_coins_differ() -> None:
    first, second = recorded_addresses("binance", "USDT"), recorded_addresses("okx", "USDC")
    # What has no address in the list might be the network's own coin, so only what is named can differ.
    named = {network: texts for network, texts in first.items() if texts and all(texts)}
    assert same_address(named, second) == "different"


# --- the price check on frames ------------------------------------------------------------------------------


def rows_of(prices: Mapping[str, float], half: float = 1e-5, **more: Any) -> list[dict[str, Any]]:
    return [
        {"exchange": name, "group": "BTC:spot", "currency": "USDT", "kind": "spot", "bid": price * (1 - half),
         "ask": price * (1 + half), "bid_size": 1.0, "ask_size": 1.0, "last": price, **more}
        for name, price in prices.items()
    ]  # fmt: skip


def reasons(rows: Iterable[Mapping[str, Any]], **options: Any) -> dict[str, str]:
    frame = xex.pricing.contributions(pd.DataFrame(list(rows)), **options)
    cells = zip(frame["exchange"], frame["excluded_reason"], strict=True)
    return {name: reason for name, reason in cells if isinstance(reason, str)}


FIVE = dict(zip("abcde", (100.0, 100.01, 100.02, 100.03, 100.04), strict=True))


@pytest.mark.parametrize("seed", range(60))
def test_who_may_be_another_asset_is_in_no_number(seed: int) -> None:
    """With and without them the answer is the same to the last digit."""
    rng = random.Random(seed)
    honest = {name: 100 * (1 + rng.gauss(0, 3e-4)) for name in "abcde"[: rng.randint(3, 5)]}
    planted = {name: 100 * rng.choice([1.04, 0.96, 1.3, 3, 1000, 1e-3]) for name in "xy"[: rng.randint(1, 2)]}
    rows = rows_of({**honest, **planted}, quote_volume=1e6, age_ms=100.0, time_source="quote")
    rng.shuffle(rows)
    for row in rows:
        if row["exchange"] in planted:
            row |= {"quote_volume": 1e12, "age_ms": rng.choice([1.0, 9_000.0])}
    alone = [row for row in rows if row["exchange"] in honest]
    numbers = xex.pricing.aggregate(pd.DataFrame(rows)).drop(columns="n_asked")
    pd.testing.assert_frame_equal(numbers, xex.pricing.aggregate(pd.DataFrame(alone)).drop(columns="n_asked"))
    assert reasons(rows).keys() >= planted.keys()


@pytest.mark.parametrize(
    ("bid", "ask", "last", "said"),
    [
        (95.0, 106.0, 100.0, "wide"),
        (104.0, 112.0, 108.0, "suspect"),
        (98_000.0, 106_000.0, 100_000.0, "unit_error"),
        (101.0, 100.0, 100.0, "crossed"),
        (131.0, 130.0, 130.0, "suspect"),
        (math.nan, math.nan, 101.0, "last_only"),
        (math.nan, math.nan, 0.1, "unit_error"),
        (math.nan, math.nan, math.nan, "no_quote"),
    ],
)
def test_rows_without_a_vote_are_looked_at_too(bid: float, ask: float, last: float, said: str) -> None:
    """Their volume would count otherwise."""
    row = rows_of({"x": 1.0})[0] | {"bid": bid, "ask": ask, "last": last}
    assert reasons([*rows_of(FIVE), row]) == {"x": said}
    assert (Dropped(said) in quality.NOT_COUNTED) == (said in {"suspect", "unit_error", "no_quote"})
    # What is too old says nothing of today's price.
    assert reasons([*rows_of(FIVE), row | {"age_ms": 20_000.0}])["x"] in {"wide", "crossed", "last_only", "no_quote",
                                                                         "stale"}  # fmt: skip


@pytest.mark.parametrize(
    ("usual", "gap_bps", "said"),
    [
        (None, 250, {}),
        (None, 310, {"e": "suspect"}),
        (2, 60, {"e": "suspect"}),  # 10 × 2 bps is less than 50 bps, the least
        (2, 45, {}),
        (8, 70, {}),
        (8, 90, {"e": "suspect"}),
        (100, 310, {"e": "suspect"}),  # never wider than 3 %
        (100, 250, {}),
        ({"BTC:spot": 8}, 90, {"e": "suspect"}),
        ({"ETH:spot": 8}, 90, {}),
        (pd.Series({"BTC:spot": 8.0}), 90, {"e": "suspect"}),
        (math.nan, 90, {}),
    ],
)
def test_ten_times_the_usual_dispersion_is_suspect(usual: Any, gap_bps: float, said: dict[str, str]) -> None:
    # Four venues so far apart that the fifth is no outlier at either gap.
    rows = rows_of(dict(zip("abcde", (99.8, 99.9, 100.0, 100.1, 100.0 * (1 + gap_bps / 1e4)), strict=True)))
    found = {name: reason for name, reason in reasons(rows, usual_bps=usual).items() if reason != "outlier"}
    assert found == said


def test_two_venues_further_apart_than_usual_are_not_trusted() -> None:
    rows = rows_of({"a": 100.0, "b": 100.8})
    assert reasons(rows) == {}
    assert reasons(rows, usual_bps=20) == {}
    assert reasons(rows, usual_bps=2) == {"a": "disagree", "b": "disagree"}
    edges = {usual: xex.arbitrage.scan(pd.DataFrame(rows), taker_bps=5, usual_bps=usual) for usual in (None, 20, 2)}
    assert [bool(found["executable"].any()) for found in edges.values()] == [True, True, False]
    assert edges[2]["gate"].tolist() == ["identity", "identity"]


@pytest.mark.parametrize("usual", ["8", -1, {"BTC:spot": -1.0}, [8]])
def test_a_dispersion_that_is_none_is_refused(usual: Any) -> None:
    with pytest.raises(ConfigError, match="usual_bps"):
        xex.pricing.aggregate(pd.DataFrame(rows_of(FIVE)), usual_bps=usual)


@pytest.mark.parametrize("options", [{"suspect_edge": 0}, {"suspect_edge": math.nan}, {"max_disagree": 1}])
def test_a_scan_without_a_sense_is_refused(options: Any) -> None:
    with pytest.raises(ConfigError, match="fractions"):
        xex.arbitrage.scan(pd.DataFrame(rows_of(FIVE)), taker_bps=5, **options)


def test_a_pair_on_opposite_edges_is_suspect_though_each_is_not() -> None:
    rows = rows_of({**FIVE, "x": 97.6, "y": 102.4})
    assert "suspect" not in reasons(rows).values()
    found = xex.arbitrage.scan(pd.DataFrame(rows), taker_bps=5).set_index(["exchange_low", "exchange_high"])
    assert found.loc[("x", "y"), "gate"] == "identity"
    assert found.loc[("x", "a"), "executable"]
    wider = xex.arbitrage.scan(pd.DataFrame(rows), taker_bps=5, suspect_edge=0.06)
    assert wider.set_index(["exchange_low", "exchange_high"]).loc[("x", "y"), "executable"]


def test_currencies_are_judged_apart() -> None:
    """A euro is no suspect dollar."""
    rows = [*rows_of(FIVE), *rows_of({"x": 92.0, "y": 92.01}, currency="EUR")]
    assert reasons(rows) == {}


# --- planted on the lab -------------------------------------------------------------------------------------

RATIOS = tuple(Decimal(text) for text in ("1.05", "1.3", "3", "1000"))
RATIOS += tuple(1 / ratio for ratio in RATIOS)
UNITS = (Decimal(1000), 1 / Decimal(1000))
ALL = ("binance", "bybit", "htx", "kraken", "okx")
# Venues that are there, and by how much more than the ratio each planted one is off.
SHAPES: dict[str, tuple[tuple[str, ...], dict[str, Decimal]]] = {
    "two, one planted": (("okx", "bybit"), {"okx": Decimal(1)}),
    "five, one planted": (ALL, {"okx": Decimal(1)}),
    # One per cent apart, so that trading the other coin between them would pay.
    "five, two with the same": (ALL, {"okx": Decimal(1), "bybit": Decimal("1.01")}),
    "five, two with different ones": (ALL, {"okx": Decimal(1), "bybit": Decimal("1.7")}),
}


def bitcoins(venues: Iterable[str] = ALL) -> Truth:
    """Return a world with BTC/USDT alone, small books and all."""
    truth = default_truth(levels=8)
    kept = (m for m in truth.markets if (m.kind, m.base, m.quote) == ("spot", "BTC", "USDT") and m.venue in venues)
    return dataclasses.replace(truth, markets=tuple(kept))


def planted(truth: Truth, factors: Mapping[str, Decimal]) -> Truth:
    """Return the world in which some venues sell another coin at `factors` times the price."""
    return truth.changed(lambda m: m.priced_at(m.mid * factors[m.venue]) if m.venue in factors else m)


def why(shape: str, factors: Mapping[str, Decimal]) -> dict[str, str]:
    """Return which venues must be named, and with what reason."""
    if shape == "two, one planted":
        return dict.fromkeys(SHAPES[shape][0], "unit_error" if factors["okx"] in UNITS else "disagree")
    near = {unit * more for unit in UNITS for more in (Decimal(1), Decimal("1.01"))}
    return {name: "unit_error" if factor in near else "suspect" for name, factor in factors.items()}


def levels(markets: Iterable[Market], side: str) -> list[Any]:
    return [level for market in markets for level in getattr(market, side)]


def assert_numbers(snap: Any, honest: Iterable[Market]) -> None:
    """Compare every aggregate with the truth of the venues that can be trusted, none where there are none."""
    markets = list(honest)
    numbers = ("aggregated_price", "price_variance", "dispersion_bps", "range_bps", "mad_bps", "arb_index",
               "volume_total", "volume_total_quote", "liquidity_score")  # fmt: skip
    if not markets:
        assert {name: getattr(snap, name) for name in numbers} == pytest.approx(
            dict.fromkeys(numbers, math.nan), nan_ok=True
        )
        assert snap.flags == ["disagree"]
        assert snap.liquidity_books[0] == 0
        return
    mids = [float(market.mid) for market in markets]
    price = snap.aggregated_price
    assert min(mids) < price < max(mids)
    assert snap.flags == []
    assert 0 < snap.dispersion_bps <= snap.range_bps
    assert snap.range_bps == pytest.approx(1e4 * (max(mids) - min(mids)) / price)
    middle = oracle.median(Fraction(market.mid) for market in markets)
    away = oracle.median(abs(Fraction(market.mid) - middle) for market in markets)
    assert snap.mad_bps == pytest.approx(float(Fraction("14826") * away / middle))
    bids, asks = levels(markets, "bids"), levels(markets, "asks")
    assert snap.arb_index == pytest.approx(float(max(bids)[0] / min(asks)[0]))
    assert snap.volume_total == pytest.approx(float(sum(market.base_volume for market in markets)))
    assert snap.liquidity_score == pytest.approx(oracle.liquidity_score(bids, asks, price))
    assert snap.liquidity_books[0] == len(markets)


def assert_pairs(rows: Iterable[Mapping[Any, Any]], untrusted: Iterable[str]) -> None:
    """Fail where a pair with somebody untrusted gets past the first gate."""
    tempting = 0
    for row in rows:
        if {row["exchange_low"], row["exchange_high"]} & set(untrusted):
            assert (row["executable"], row["gate"]) == (False, "identity"), row
            tempting += row["net_bps"] > 0
        assert not row["executable"]
    assert tempting > 0


@pytest.mark.parametrize("shape", SHAPES)
async def test_another_coin_under_the_same_code(
    shape: str,
    loaded: None,  # noqa: ARG001  pays for imports
    tidy: Tidy,  # noqa: ARG001
    manager_for: ManagerFor,
) -> None:
    venues, offsets = SHAPES[shape]
    fair = bitcoins(venues)
    async with Lab(fair) as lab:
        xm = manager_for(lab, venues=venues)
        for ratio in RATIOS:
            factors = {name: ratio * more for name, more in offsets.items()}
            lab.truth = planted(fair, factors)
            budgets.PROCESS._ledgers.clear()  # one venue allows ten requests in ten seconds
            named = why(shape, factors)
            honest = [market for market in fair.markets if market.venue not in named]

            snap = await xm.get_cross_exchange_ticker("BTC/USDT")
            assert {name: str(drop) for name, drop in snap.dropped.items()} == named, ratio
            assert all(drop.detail for drop in snap.dropped.values())
            assert_numbers(snap, honest)
            assert snap.arbitrage_opportunities == []
            assert_pairs(snap.rejected, named)
            assert {leg["exchange"] for leg in snap.depth["legs"]}.isdisjoint(named)

            market = await xm.tickers(market="spot")
            total = xex.pricing.aggregate(market).iloc[0]
            parts = xex.pricing.contributions(market).set_index("exchange")
            assert parts["excluded_reason"].dropna().to_dict() == named, ratio
            assert (parts["weight"] > 0).to_dict() == {name: name not in named for name in venues}
            assert total["n_used"] == len(honest)
            for name in ("range_bps", "mad_bps", "arb_index", "dispersion_bps"):
                assert total[name] == pytest.approx(getattr(snap, name), rel=1e-2, nan_ok=True)
            assert_pairs(xex.arbitrage.scan(market).to_dict("records"), named)


async def test_what_is_not_listed_is_named_and_counts_nowhere(
    loaded: None,  # noqa: ARG001  pays for imports
    tidy: Tidy,  # noqa: ARG001
    manager_for: ManagerFor,
) -> None:
    """One venue has delisted the pair and still sends its last ticker, at another price; one never had it."""
    fair = bitcoins()
    gone = fair.market("okx", "BTC", "spot")
    others = [market for market in fair.markets if market.venue not in {"okx", "htx"}]
    truth = fair.replacing(dataclasses.replace(gone.scaled(Decimal("1.02")), active=False)).without("htx")
    async with Lab(
        truth.adding([dataclasses.replace(fair.market("htx", "BTC", "spot"), base="LTC", id="ltcusdt")])
    ) as lab:
        xm = manager_for(lab)
        snap = await xm.get_cross_exchange_ticker("BTC/USDT")
        assert {name: str(drop) for name, drop in snap.dropped.items()} == {"okx": "not_listed", "htx": "not_listed"}
        assert set(snap.volume_partial) == {"okx", "htx"}
        assert_numbers(snap, others)
        assert not {row[side] for row in snap.rejected for side in ("exchange_low", "exchange_high")} & {"okx", "htx"}
        market = await xm.tickers(market="spot")
        assert set(market.loc[market["base"] == "BTC", "exchange"]) == {market.venue for market in others}
