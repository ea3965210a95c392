"""No way round that pays is missed, what is said to be impossible is proved, and sizes are the linear program's."""

from __future__ import annotations

import itertools
import math
import os
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import xex
from tests import oracle
from xex.analytics import chains
from xex.errors import ConfigError, SchemaError

FULL = bool(os.environ.get("XEX_FULL"))
WORTH = {"USDT": 1.0, "BTC": 64_000.0, "ETH": 3_200.0, "SOL": 160.0, "EUR": 1.08}
SIDES = ("quote", "get", "base", "give")

Row = dict[str, Any]


def row(exchange: str, name: str, bid: float, ask: float, **more: Any) -> Row:
    base, quote = name.split("/")
    usual = {"bid_size": 1.0, "ask_size": 1.0, "taker_bps": 0.0, "fee_side": "quote"}
    return {"exchange": exchange, "base": base, "quote": quote, "bid": bid, "ask": ask, **usual, **more}


def searched(rows: list[Row], **options: Any) -> pd.DataFrame:
    """Search a market in which prices make nobody suspicious."""
    free = {"suspect_edge": 50.0, "max_disagree": 0.999, "top": 100_000}
    return xex.arbitrage.cycles(pd.DataFrame(rows), **(free | options))


def canonical(legs: str) -> tuple[oracle.Edge, ...]:
    words = [leg.split(" ") for leg in legs.split(" → ")]
    edges: list[oracle.Edge] = [(where, name, side) for where, name, side in words]
    first = edges.index(min(edges))
    return (*edges[first:], *edges[:first])


@st.composite
def markets(draw: st.DrawFn) -> list[Row]:
    """Give some markets of up to three exchanges, near what their currencies are worth."""
    names = draw(st.lists(st.sampled_from(sorted(WORTH)), min_size=2, max_size=5, unique=True))
    rows = []
    for exchange in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        for base, quote in itertools.combinations(names, 2):
            if draw(st.booleans()):
                middle = WORTH[base] / WORTH[quote] * (1 + draw(st.integers(-60, 60)) / 1e4)
                half = draw(st.integers(0, 20)) / 1e4 + 1e-6
                rows.append(row(
                    exchange, f"{base}/{quote}", middle * (1 - half), middle * (1 + half),
                    taker_bps=draw(st.sampled_from([0.0, 5.0, 10.0])), fee_side=draw(st.sampled_from(SIDES)),
                ))  # fmt: skip
    return rows


@settings(max_examples=4000 if FULL else 200, deadline=None)
@given(markets(), st.integers(2, 5), st.sampled_from([0.0, -30.0, 12.5]))
def test_no_way_round_that_pays_is_missed(rows: list[Row], most: int, least_bps: float) -> None:
    known = [{**one, "fee": Fraction(one["taker_bps"]) / 10_000} for one in rows]
    made = oracle.ways_round(known, most)
    least = 1 + Fraction(least_bps) / 10_000
    sure = {way for way, gain in made.items() if gain > least + Fraction(1, 10**10)}
    close = {way for way, gain in made.items() if abs(gain - least) <= Fraction(1, 10**10)}
    if not rows:
        return
    found = searched(rows, most_legs=most, least_bps=least_bps)
    # A longer one is shown where none of these pays.
    shown = {canonical(legs): net for legs, net in zip(found["legs"], found["net_bps"], strict=True)}
    assert {way for way in shown if len(way) <= most} - close == sure - close
    for way, net in shown.items():
        if way in made:
            assert net == pytest.approx(float(1e4 * (made[way] - 1)), abs=1e-7)
    assert list(found["net_bps"]) == sorted(found["net_bps"], reverse=True) or not found["executable"].all()
    whole = oracle.ways_round(known, 5)
    best = max(whole.values(), default=Fraction(0))
    if best > 1 + Fraction(1, 10**9):
        assert found.attrs["certificate"] is None
        assert (found["net_bps"] > 0).any() or least_bps > 0
    if best < 1 - Fraction(1, 10**9):
        assert_certified(known, found.attrs["certificate"])


def test_the_best_are_the_first_of_all() -> None:
    for seed in range(5):
        rng = random.Random(seed)
        rows = []
        for exchange, (base, quote) in itertools.product("abc", itertools.combinations(WORTH, 2)):
            middle = WORTH[base] / WORTH[quote] * (1 + rng.gauss(0, 0.003))
            rows.append(row(exchange, f"{base}/{quote}", middle * 0.9999, middle * 1.0001))
        every, best = searched(rows, most_legs=3), searched(rows, most_legs=3, top=5)
        assert len(every) > 100
        assert every.attrs["complete"]
        assert list(best["net_bps"]) == pytest.approx(sorted(every["net_bps"], reverse=True)[:5], rel=1e-12)


def assert_certified(rows: list[Row], certificate: dict[str, Any]) -> None:
    """Fail unless at these prices no edge brings more than it takes, in exact numbers but for a breath."""
    prices = {name: Fraction(price) for name, price in certificate["prices"].items()}
    worst = max(rate * prices[got] / prices[paid] for paid, got, rate in oracle.edges(rows).values())
    assert worst <= 1 + Fraction(1, 10**11)
    assert certificate["slack_bps"] == pytest.approx(float(1e4 * (worst - 1)), abs=1e-7)
    where, name, side = certificate["edge"].split(" ")
    paid, got, rate = oracle.edges(rows)[where, name, side]
    assert float(rate * prices[got] / prices[paid]) == pytest.approx(float(worst), rel=1e-11)


def test_one_that_is_longer_than_what_is_enumerated_is_found() -> None:
    # Seven currencies in a ring, each worth one of the next; 7 legs of 2 bps: 14.0084 bps together.
    ring = [f"C{number}" for number in range(7)]
    rows = [row("a", f"{one}/{other}", 1.0002, 1.0003) for one, other in zip(ring, [*ring[1:], ring[0]], strict=True)]
    found = searched(rows, most_legs=3)
    assert list(found["n_legs"]) == [7]
    assert found["net_bps"][0] == pytest.approx(1e4 * (1.0002**7 - 1), rel=1e-9)
    assert found.attrs["certificate"] is None
    # With 3 bps of fees on each none of any length pays.
    dear = searched([{**one, "taker_bps": 3.0} for one in rows], most_legs=3)
    assert not len(dear)
    assert_certified([{**one, "fee": Fraction(3, 10_000)} for one in rows], dear.attrs["certificate"])


def test_a_triangle_by_hand() -> None:
    # 5 ETH cost 0.2 BTC and 0.0002 of fee; 0.2002 BTC cost 20,020 and 20.02; 5 ETH bring 20,250 less 20.25.
    rows = [
        row("okx", "BTC/USDT", 99_990, 100_000, ask_size=1.0, taker_bps=10),
        row("okx", "ETH/USDT", 4_050, 4_051, bid_size=10.0, taker_bps=10),
        row("okx", "ETH/BTC", 0.0399, 0.04, ask_size=5.0, taker_bps=10),
    ]
    found = searched(rows).iloc[0]
    assert found["legs"] == "okx BTC/USDT buy → okx ETH/BTC buy → okx ETH/USDT sell"
    assert found["path"] == "USDT → BTC → ETH → USDT"
    assert found["quantity"] == pytest.approx(20_040.02, rel=1e-12)
    assert found["profit"] == pytest.approx(189.73, rel=1e-10)
    assert (found["currency"], found["exchanges"], found["n_legs"]) == ("USDT", "okx", 3)
    assert found["gross_bps"] == pytest.approx(125, rel=1e-9)
    assert found["amounts"] == "0.2002, 5, 5"
    assert found["executable"]
    assert found["mode"] == "inventory"
    assert searched(rows, currency="ETH")["currency"][0] == "ETH"


def test_a_fee_taken_from_the_coins_by_hand() -> None:
    # Of 1 BTC bought 0.999 arrive and are sold at 101,000: 100,899 for 100,000 paid.
    rows = [row("a", "BTC/USDT", 99_900, 100_000, taker_bps=10, fee_side="get"), row("b", "BTC/USDT", 101_000, 101_100)]
    found = searched(rows).iloc[0]
    assert found["quantity"] == pytest.approx(100_000, rel=1e-12)
    assert found["profit"] == pytest.approx(899, rel=1e-10)
    assert found["amounts"] == "1, 0.999"


def test_moves_between_exchanges_are_legs_with_costs_of_their_own() -> None:
    # 1 BTC is bought, 0.999 arrive, less 0.001: 0.998 sold at 102,000 are 101,796; a move back costs 10 bps.
    rows = [row("a", "BTC/USDT", 99_900, 100_000), row("b", "BTC/USDT", 102_000, 102_100)]
    assert searched(rows)["n_legs"][0] == 2
    moves = [("BTC", "a", "b", 10.0, 0.001), ("USDT", "b", "a", 10.0, 0.0)]
    names = ["currency", "exchange_from", "exchange_to", "bps", "fixed"]
    found = searched(rows, transfers=pd.DataFrame(moves, columns=names)).iloc[0]
    assert found["legs"] == "a BTC/USDT buy → BTC a to b → b BTC/USDT sell → USDT b to a"
    assert (found["n_legs"], found["mode"]) == (4, "transfer")
    assert found["quantity"] == pytest.approx(100_000, rel=1e-12)
    assert found["profit"] == pytest.approx(101_796 * 0.999 - 100_000, rel=1e-10)
    # The fixed fee is go or no go: 0.02 BTC are more than the whole edge.
    dear = pd.DataFrame([(*moves[0][:4], 0.02), moves[1]], columns=names)
    assert (searched(rows, transfers=dear)["gate"] == "fees").all()
    # Without a way back nothing goes round.
    assert not len(searched(rows, transfers=pd.DataFrame(moves[:1], columns=names)))


# --- who takes no part, and what stops a cycle ----------------------------------------------------------------------


def triangle(**more: Any) -> list[Row]:
    return [
        row("okx", "BTC/USDT", 99_990, 100_000, bid_size=9.0, ask_size=9.0),
        row("okx", "ETH/USDT", 4_050, 4_051, bid_size=99.0, ask_size=99.0),
        row("okx", "ETH/BTC", 0.0399, 0.04, **({"bid_size": 99.0, "ask_size": 99.0} | more)),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"halted": True}, "market_state"),
        ({"age_ms": 10_001.0}, "freshness"),
        ({"bid": 0.0401}, "market_state"),
        ({"bid": math.nan}, "market_state"),
        ({"fx_source": "direct"}, "currency"),
    ],
)
def test_a_row_that_cannot_be_trusted_takes_no_part_and_is_named(change: Row, reason: str) -> None:
    rows = [{"halted": False, "age_ms": 0.0, "fx_source": "", **one} for one in triangle()]
    assert len(xex.arbitrage.cycles(pd.DataFrame(rows))) == 1
    rows[2] |= change
    found = xex.arbitrage.cycles(pd.DataFrame(rows))
    assert not len(found)
    assert found.attrs["left_out"] == [{"exchange": "okx", "instrument": "ETH/BTC", "reasons": reason}]


def test_two_configurations_of_one_venue_are_no_cycle() -> None:
    rows = [
        row(name, "BTC/USDT", bid, bid + 0.1, venue=venue)
        for name, bid, venue in (("one", 100.0, "binance"), ("two", 100.8, "binance"))
    ]
    found = xex.arbitrage.cycles(pd.DataFrame(rows))
    assert not len(found)
    assert found.attrs["left_out"] == [{"exchange": "one", "instrument": "BTC/USDT", "reasons": "market_state"}]
    assert len(xex.arbitrage.cycles(pd.DataFrame(rows).assign(venue=["binance", "okx"]))) == 1


def test_a_suspect_takes_no_part_and_is_named() -> None:
    rows = [*triangle(), *(row(name, "ETH/BTC", 0.0415, 0.0416) for name in ("a", "b", "c"))]
    found = xex.arbitrage.cycles(pd.DataFrame(rows))
    assert not found["legs"].str.contains("okx ETH/BTC").any()
    assert found.attrs["left_out"] == [{"exchange": "okx", "instrument": "ETH/BTC", "reasons": "identity"}]


def test_what_gains_more_than_is_believable_is_stopped_by_identity() -> None:
    found = xex.arbitrage.cycles(pd.DataFrame([*triangle()[:2], row("okx", "ETH/BTC", 0.038, 0.0381)]))
    assert list(found["gate"]) == ["identity"]
    assert not found["executable"].any()


def test_without_sizes_a_cycle_is_stopped_by_depth() -> None:
    found = xex.arbitrage.cycles(pd.DataFrame(triangle(ask_size=math.nan)))
    assert list(found["gate"]) == ["depth"]
    assert math.isnan(found["profit"][0])


def test_old_quotes_of_what_moves_fast_are_stopped_by_the_haircut() -> None:
    # 9 s old and a day's range of a tenth: sigma of 0.0572 a day is 1.95 bps a second, 3·1.95·√9 = 17.5 bps per leg.
    rows = [{**one, "age_ms": 9_000.0, "high": 1.1, "low": 1.0} for one in triangle()]
    rows[1]["bid"] = 4_005.0
    found = xex.arbitrage.cycles(pd.DataFrame(rows)).iloc[0]
    sigma = 1e4 * math.log(1.1) / (2 * math.sqrt(math.log(2))) / math.sqrt(86_400)
    assert found["haircut_bps"] == pytest.approx(3 * sigma * math.sqrt(27), rel=1e-9)
    assert 0 < found["net_bps"] < found["haircut_bps"]
    assert (found["gate"], found["age_ms"]) == ("haircut", 9_000)


def test_near_misses_are_kept_when_asked_and_stopped_by_fees() -> None:
    rows = [{**one, "taker_bps": 60.0} for one in triangle()]
    assert not len(xex.arbitrage.cycles(pd.DataFrame(rows)))
    found = xex.arbitrage.cycles(pd.DataFrame(rows), least_bps=-100)
    assert list(found["gate"]) == ["fees"]
    assert found["quantity"][0] == 0


def test_lots_and_minimums_that_cannot_be_reached_stop_it() -> None:
    names = ["exchange", "instrument", "lot", "min_amount", "min_notional"]

    def found(*rule: Any) -> Any:
        rules = pd.DataFrame([("okx", "ETH/BTC", *rule)], columns=names)
        return xex.arbitrage.cycles(pd.DataFrame(triangle()), rules=rules.assign(lot_quote=0.0)).iloc[0]

    assert found(1.0, 0.0, 0.0)["executable"]
    assert found(1.0, 100.0, 0.0)["gate"] == "lots"
    assert found(1.0, 0.0, 4.0)["gate"] == "lots"
    assert found(1_000.0, 0.0, 0.0)["gate"] == "lots"


def test_books_say_what_is_there_when_they_come() -> None:
    books = pd.DataFrame([
        {"exchange": "okx", "instrument": "ETH/BTC", "side": side, "price": price, "size": 2.0, "age_ms": 300.0}
        for side, price in (("ask", 0.0402), ("ask", 0.0401), ("bid", 0.0398), ("ask", 0.0409))
    ])  # fmt: skip
    found = xex.arbitrage.cycles(pd.DataFrame(triangle()), books=books).iloc[0]
    assert found["gross_bps"] == pytest.approx(1e4 * (4_050 / 4_010 - 1), rel=1e-9)
    # Of three levels two pay: 4 ETH for 0.0802 + 0.0804 BTC at 100,000.
    assert found["quantity"] == pytest.approx(16_060, rel=1e-12)
    assert found["profit"] == pytest.approx(140, rel=1e-10)
    assert found["age_ms"] == 300
    crossed = books.assign(price=books["price"].where(books["side"] == "ask", 0.0405))
    assert xex.arbitrage.cycles(pd.DataFrame(triangle()), books=crossed)["gate"][0] == "market_state"
    stale = books.assign(age_ms=10_001.0)
    assert xex.arbitrage.cycles(pd.DataFrame(triangle()), books=stale)["gate"][0] == "freshness"
    gone = books.assign(price=books["price"] * 1.05)
    assert xex.arbitrage.cycles(pd.DataFrame(triangle()), books=gone)["gate"][0] == "fees"


def test_input_that_makes_no_sense_is_refused_by_name() -> None:
    frame = pd.DataFrame(triangle())
    with pytest.raises(ConfigError, match="most_legs is 9"):
        xex.arbitrage.cycles(frame, most_legs=9)
    with pytest.raises(ConfigError, match="top 0"):
        xex.arbitrage.cycles(frame, top=0)
    with pytest.raises(SchemaError, match="quote"):
        xex.arbitrage.cycles(frame.drop(columns="quote"))
    with pytest.raises(SchemaError, match="fee_side 'coin'"):
        xex.arbitrage.cycles(frame.assign(fee_side="coin"))
    moves = pd.DataFrame([("BTC", "a", "b", -1.0)], columns=["currency", "exchange_from", "exchange_to", "bps"])
    with pytest.raises(SchemaError, match="costs"):
        xex.arbitrage.cycles(frame, transfers=moves)
    assert list(xex.arbitrage.cycles(frame.iloc[:0]).columns) == list(xex.arbitrage.cycles(frame).columns)


# --- sizes ----------------------------------------------------------------------------------------------------------


def orders(rng: random.Random, lots: bool) -> list[oracle.Order]:
    """Give the legs of a way round that often pays: books of a few levels, fees on any side."""
    made, worth = [], 1.0
    count = rng.randint(2, 4 if not lots else 3)
    for place in range(count):
        buying, fee, coins = rng.random() < 0.5, rng.choice(["0", "0", "0.0005", "0.001"]), rng.random() < 0.4
        last = place == count - 1
        rate = (1 / worth if last else rng.uniform(0.2, 5.0)) * (1 + rng.uniform(-0.002, 0.08 if lots else 0.012))
        worth *= rate
        best = Fraction(1 / rate if buying else rate).limit_denominator(10**6)
        levels = []
        for _ in range(rng.randint(1, 3 if lots else 6)):
            size = Fraction(rng.randint(1, 40), 10) if lots else Fraction(rng.uniform(0.01, 10))
            levels.append((best, size))
            best *= 1 + Fraction(rng.choice([0, 5, 20, 60]), 10_000) * (1 if buying else -1)
        step = Fraction(rng.choice([1, 2, 5, 10]), 10) if lots else Fraction(0)
        least = rng.choice([Fraction(0), Fraction(0), Fraction(3, 2)]) if lots else Fraction(0)
        notional = rng.choice([Fraction(0), Fraction(0), Fraction(1)]) if lots else Fraction(0)
        made.append(oracle.Order(levels, buying, Fraction(fee), coins, step, least, notional))
    return made


def links(legs: list[oracle.Order]) -> list[chains.Link]:
    return [
        chains.trade(
            np.array([float(price) for price, _ in leg.side]), np.array([float(size) for _, size in leg.side]),
            float(leg.fee), buying=leg.buying, in_base=leg.coins, lot=float(leg.lot),
            min_amount=float(leg.min_amount), min_notional=float(leg.min_notional),
        )
        for leg in legs
    ]  # fmt: skip


def linear_program(legs: list[oracle.Order]) -> float:
    """Return what HiGHS makes of the legs: each level a variable, no leg paying more than the one before brought."""
    levels = [(place, price, size) for place, leg in enumerate(legs) for price, size in leg.side]
    cost, most = np.zeros(len(levels)), np.array([float(size) for *_, size in levels])
    short = np.zeros((len(legs) - 1, len(levels)))
    for column, (place, price, _) in enumerate(levels):
        one = oracle.Order([(price, Fraction(1))], legs[place].buying, legs[place].fee, legs[place].coins)
        given, got = float(one.given(Fraction(1))), float(one.got(Fraction(1)))
        if place == 0:
            cost[column] += given
        else:
            short[place - 1, column] += given
        if place == len(legs) - 1:
            cost[column] -= got
        else:
            short[place, column] -= got
    done = linprog(
        cost, A_ub=short, b_ub=np.zeros(len(short)), bounds=[(0.0, size) for size in most.tolist()], method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    assert done.fun is not None
    return -float(done.fun)


def test_the_best_size_through_all_books_is_the_linear_programs() -> None:
    paid = 0
    for case in range(5_000 if FULL else 300):
        legs = orders(random.Random(case), lots=False)
        want, found = linear_program(legs), chains.best(links(legs))
        assert found.profit == pytest.approx(want, rel=1e-9, abs=1e-9), case
        paid += want > 1e-6
        flow = Fraction(found.put_in)
        for leg, amount in zip(legs, found.amounts, strict=False):
            assert float(leg.given(Fraction(amount))) == pytest.approx(float(flow), rel=1e-9)
            flow = leg.got(Fraction(amount))
    assert paid > (1_000 if FULL else 60)


def test_in_lots_it_is_the_best_of_all_that_can_be_ordered() -> None:
    paid = 0
    for case in range(3_000 if FULL else 200):
        legs = orders(random.Random(case), lots=True)
        free, found = chains.best(links(legs)), chains.best_in_lots(links(legs))
        most = Fraction(free.amounts[-1]) * (1 + Fraction(1, 10**9)) if free.amounts else Fraction(0)
        want = oracle.round_in_lots(legs, most)
        assert found.profit == pytest.approx(float(want), rel=1e-9, abs=1e-9), case
        paid += want > 0
        for leg, amount in zip(legs, found.amounts, strict=False):
            assert abs(Fraction(amount) / leg.lot - round(Fraction(amount) / leg.lot)) < Fraction(1, 10**6)
    assert paid > (300 if FULL else 20)
