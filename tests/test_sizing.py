"""The optimum over N books is the linear program's, and with lots and minimums the best of all that can be traded."""

from __future__ import annotations

import itertools
import math
import os
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import xex
from tests import oracle
from xex.analytics.sizing import FEE_SIDES, Clearing, Leg, clear, clear_in_lots, common_step, floored, pair
from xex.errors import SchemaError

CASES = 10_000 if os.environ.get("XEX_FULL") else 500
"""Random cases against the linear program; all of them with XEX_FULL=1."""

Book = tuple[list[tuple[float, float]], list[tuple[float, float]], float]


def random_books(rng: random.Random) -> list[Book]:
    """Return books that often cross: ties, empty sides, one level, fees from 0 to 50 bps."""
    grid = rng.choice([0.01, 0.5, 1.0])
    books: list[Book] = []
    for _ in range(rng.randint(1, 7)):
        middle, fee = 100 + rng.uniform(-1.5, 1.5), rng.choice([0.0, 0.0, 0.0005, 0.001, 0.005])
        sides: list[list[tuple[float, float]]] = []
        for away in (1, -1):
            levels = rng.choice([0, 1, 1, 3, 8, 20])
            prices = [round((middle + away * rng.uniform(0, 2)) / grid) * grid for _ in range(levels)]
            sides.append([(price, rng.choice([1.0, 2.5, rng.uniform(0.001, 10)])) for price in prices])
        books.append((sides[0], sides[1], fee))
    return books


def legs_of(books: list[Book], place: int, rules: Any = None, fee_sides: list[str] | None = None) -> list[Leg]:
    found = []
    for number, book in enumerate(books):
        levels = np.array(book[place], dtype=np.float64).reshape(-1, 2)
        lot, least, notional = rules[number] if rules else (0.0, 0.0, 0.0)
        side = fee_sides[number] if fee_sides else "quote"
        found.append(Leg(levels[:, 0], levels[:, 1], book[2], lot, least, notional, fee_side=side))
    return found


def linear_program(books: list[Book], sides: int, fee_sides: list[str] | None = None) -> float:
    """Return the best profit that HiGHS finds; each level is a variable."""
    gain, bound, balance = [], [], []
    for (asks, bids, fee), side in zip(books, fee_sides or ["quote"] * len(books), strict=True):
        taken = sides * fee
        for price, size in asks:
            coins = side in {"base", "get"}
            gain.append(-price * (1.0 if coins else 1 + taken))
            bound.append((0.0, size))
            balance.append(1 - taken if coins else 1.0)
        for price, size in bids:
            coins = side in {"base", "give"}
            gain.append(price * (1.0 if coins else 1 - taken))
            bound.append((0.0, size))
            balance.append(-1 - taken if coins else -1.0)
    if not gain:
        return 0.0
    done = linprog(-np.array(gain), A_eq=[balance], b_eq=[0.0], bounds=bound, method="highs",
                   options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10})  # fmt: skip
    assert done.success
    assert done.fun is not None
    return -float(done.fun)


@pytest.mark.parametrize("part", range(10))
def test_the_optimum_over_n_books_is_the_linear_programs(part: int) -> None:
    crossed = 0
    for case in range(CASES * part // 10, CASES * (part + 1) // 10):
        rng = random.Random(case)
        books, sides = random_books(rng), rng.choice([1, 2])
        fee_sides = [rng.choice(FEE_SIDES) if case % 2 else "quote" for _ in books]
        found = clear(legs_of(books, 0, None, fee_sides), legs_of(books, 1, None, fee_sides), sides)
        want = linear_program(books, sides, fee_sides)
        assert math.isclose(found.net_profit, want, rel_tol=1e-9, abs_tol=1e-9), case
        assert math.isclose(found.gross_profit - found.fees, found.net_profit, rel_tol=1e-9, abs_tol=1e-7)
        assert math.isclose(*passed_on(books, found, sides, fee_sides), rel_tol=1e-12, abs_tol=1e-12)
        crossed += want > 1e-6
    assert crossed > CASES / 10 / 4


def passed_on(books: list[Book], found: Clearing, sides: int, fee_sides: list[str]) -> tuple[float, float]:
    """Return the coins that arrive from the buyers' orders, and those that the sellers' orders and fees take."""
    arrive = take = 0.0
    for (_, _, fee), side, bought, sold in zip(books, fee_sides, found.bought, found.sold, strict=True):
        arrive += bought * (1 - sides * fee if side in {"base", "get"} else 1)
        take += sold * (1 + sides * fee if side in {"base", "give"} else 1)
    return arrive, take


def test_the_frame_says_the_same_and_where_it_is_traded() -> None:
    for case in range(60):
        rng = random.Random(case)
        books = random_books(rng)
        rows = [
            {
                "exchange": f"v{number}",
                "group": "BTC:spot",
                "currency": "USDT",
                "side": side,
                "price": price,
                "size": size,
            }
            for number, book in enumerate(books)
            for side, levels in (("ask", book[0]), ("bid", book[1]))
            for price, size in levels
        ]
        if not rows:
            continue
        frame, fees = pd.DataFrame(rows), {f"v{number}": 1e4 * book[2] for number, book in enumerate(books)}
        total = xex.arbitrage.depth(frame, taker_bps=fees).iloc[0]
        legs = xex.arbitrage.legs(frame, taker_bps=fees)
        profit = linear_program(books, 1)
        assert total["net_profit"] == pytest.approx(profit, rel=1e-9, abs=1e-9)
        buys, sells = legs[legs["side"] == "buy"], legs[legs["side"] == "sell"]
        assert buys["quantity"].sum() == pytest.approx(total["quantity"], abs=1e-9)
        assert sells["quantity"].sum() == pytest.approx(total["quantity"], abs=1e-9)
        net = sells["notional"].sum() - buys["notional"].sum() - legs["fees"].sum()
        assert net == pytest.approx(total["net_profit"], abs=1e-9)


# --- lots and minimums --------------------------------------------------------------------------------------


def worth(levels: list[tuple[float, float]], quantity: float, *, best: Any) -> float:
    """Return the notional of the best `quantity` of some levels."""
    left, total = quantity, 0.0
    for price, size in best(levels):
        taken = min(left, size)
        total, left = total + taken * price, left - taken
    return total if left < 1e-9 else math.nan


def dearest(levels: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return sorted(levels, reverse=True)


def by_trying_all(books: list[Book], rules: list[tuple[float, float, float]], step: float, most: float) -> float:
    """Return the best profit of all allocations in whole steps that hold every minimum."""
    options = []
    for (asks, bids, fee), (lot, least, notional) in zip(books, rules, strict=True):
        for levels, best, sign in ((asks, sorted, -1), (bids, dearest, 1)):
            found = []
            for count in range(int(sum(size for _, size in levels) / step + 1e-9) + 1):
                quantity = count * step
                value = worth(levels, quantity, best=best)
                fits = abs(quantity / lot - round(quantity / lot)) < 1e-9
                if count == 0 or (fits and quantity >= least - 1e-9 and value >= notional - 1e-9):
                    found.append((count, sign * value * (1 - sign * fee)))
            options.append((sign, found))
    # What a side earns at most with so many steps in all, every split over the books tried.
    sides: dict[int, dict[int, float]] = {-1: {0: 0.0}, 1: {0: 0.0}}
    for sign, found in options:
        sums: dict[int, float] = {}
        for (have, value), (count, more) in itertools.product(sides[sign].items(), found):
            sums[have + count] = max(sums.get(have + count, -math.inf), value + more)
        sides[sign] = sums
    both = (count for count in sides[-1] if count in sides[1] and count * step <= most + 1e-9)
    return max(sides[-1][count] + sides[1][count] for count in both)


def small_books(rng: random.Random) -> tuple[list[Book], list[tuple[float, float, float]]]:
    lot = rng.choice([0.1, 0.25, 1.0])
    books: list[Book] = []
    rules = []
    for _ in range(rng.randint(2, 3)):
        middle = 100 + rng.choice([-1.0, 0.0, 1.0, 1.5])
        asks, bids = (
            [
                (round(middle + away * rng.uniform(0.05, 1), 1), round(rng.uniform(0.3, 2.5), 1))
                for _ in range(rng.randint(0, 3))
            ]
            for away in (1, -1)
        )
        books.append((asks, bids, rng.choice([0.0, 0.001])))
        rules.append((lot, rng.choice([0.0, lot, 3 * lot]), rng.choice([0.0, 50.0, 120.0])))
    return books, rules


@pytest.mark.parametrize("part", range(5))
def test_with_equal_lots_it_is_the_best_of_all_that_can_be_traded(part: int) -> None:
    traded = 0
    for case in range(60 * part, 60 * (part + 1)):
        rng = random.Random(case)
        books, rules = small_books(rng)
        free = clear(legs_of(books, 0), legs_of(books, 1))
        found = clear_in_lots(legs_of(books, 0, rules), legs_of(books, 1, rules))
        want = by_trying_all(books, rules, rules[0][0], free.quantity)
        assert math.isclose(found.net_profit, want, rel_tol=1e-9, abs_tol=1e-9), case
        assert_tradable(found, books, rules)
        assert found.gate == ("" if want > 0 else free.gate or "lots"), case
        traded += want > 0
    assert traded > 10


@pytest.mark.parametrize("seed", range(200))
def test_with_unequal_lots_every_leg_is_tradable_and_no_pair_of_venues_would_earn_more(seed: int) -> None:
    rng = random.Random(seed)
    books = random_books(rng)
    rules = [(rng.choice([0.001, 0.01, 0.1, 1.0]), rng.choice([0.0, 0.5]), rng.choice([0.0, 10.0])) for _ in books]
    found = clear_in_lots(legs_of(books, 0, rules), legs_of(books, 1, rules))
    assert_tradable(found, books, rules)
    assert found.net_profit <= clear(legs_of(books, 0), legs_of(books, 1)).net_profit + 1e-9
    buys, sells = legs_of(books, 0, rules), legs_of(books, 1, rules)
    for one, other in itertools.product(range(len(books)), repeat=2):
        if one != other:
            alone = clear_in_lots([buys[one]], [sells[other]])
            if rules[one][0] == rules[other][0] == max(lot for lot, *_ in rules):
                assert found.net_profit >= alone.net_profit - 1e-9


def assert_tradable(found: Clearing, books: list[Book], rules: list[tuple[float, float, float]]) -> None:
    """Fail unless every leg is whole lots within its book and above its minimums, as much bought as sold."""
    assert math.isclose(sum(found.bought), sum(found.sold), rel_tol=1e-9, abs_tol=1e-9)
    for place, amounts in ((0, found.bought), (1, found.sold)):
        for book, (lot, least, notional), quantity in zip(books, rules, amounts, strict=True):
            if quantity == 0:
                continue
            assert abs(quantity / lot - round(quantity / lot)) < 1e-6
            assert quantity >= least - 1e-9
            value = worth((book[0], book[1])[place], quantity, best=(sorted, dearest)[place])
            assert value >= notional - 1e-9


def test_one_coarse_lot_does_not_cost_what_the_others_would_bring() -> None:
    """The dear bid takes whole coins only, of which there is half a one; two cheaper books still trade."""
    one = np.ones(1)
    buys = [Leg(100 * one, 0.5 * one, 0.0, 0.001)]
    sells = [Leg(103 * one, 0.5 * one, 0.0, 1.0), Leg(102 * one, 0.4 * one, 0.0, 0.001)]
    found = clear_in_lots(buys, sells)
    assert list(found.sold) == [0.0, pytest.approx(0.4)]
    assert found.net_profit == pytest.approx(0.8)


def test_what_pays_but_cannot_be_traded_is_stopped_by_lots() -> None:
    one = np.ones(1)
    found = clear_in_lots([Leg(100 * one, 0.5 * one, 0.0, 1.0)], [Leg(103 * one, 0.5 * one, 0.0, 1.0)])
    assert (found.gate, found.quantity, found.net_profit) == ("lots", 0.0, 0.0)
    assert clear([], []).gate == "depth"
    assert clear([Leg(100 * one, one, 0.01)], [Leg(101 * one, one, 0.01)]).gate == "fees"


def test_flooring_forgives_what_sums_of_floats_lose_and_nothing_more() -> None:
    assert floored(70.36699999999999, 1e-5) == pytest.approx(70.367, abs=1e-12)
    assert floored(70.366989, 1e-5) == pytest.approx(70.36698, abs=1e-12)
    assert floored(0.1 + 0.2, 0.1) == pytest.approx(0.3)
    assert floored(123_456.789_999_99, 1e-8) == pytest.approx(123_456.789_999_99, rel=1e-15)
    assert common_step(0.001, 0.0025, 0.0) == 0.005


# --- two exchanges, exactly -------------------------------------------------------------------------------------


def two_books(rng: random.Random, edge: int = 0) -> list[list[tuple[Fraction, Fraction]]]:
    """Return asks and bids of whole cents and tenths that cross for a few levels, or do not; `edge` cents more."""
    found = []
    for best, sign in ((rng.randint(9_900, 10_050), 1), (rng.randint(9_980, 10_120) + edge, -1)):
        steps = [0, *(rng.choice([0, 5, 25]) for _ in range(4))]
        prices = [best + sign * sum(steps[: place + 1]) for place in range(rng.randint(0, 5))]
        found.append([(Fraction(price, 100), Fraction(rng.randint(1, 30), 10)) for price in prices])
    return found


def leg(levels: list[tuple[Fraction, Fraction]], fee: str, lot: str, least: float, worth: float, side: str) -> Leg:
    price, size = (np.array([float(one[place]) for one in levels]) for place in (0, 1))
    return Leg(price, size, float(fee), float(lot), least, worth, fee_side=side)


@pytest.mark.parametrize("part", range(4))
def test_two_exchanges_in_lots_are_the_best_of_every_number_of_lots(part: int) -> None:
    gates: Counter[str] = Counter()
    for case in range(CASES * part // 4, CASES * (part + 1) // 4):
        rng = random.Random(case)
        asks, bids = two_books(rng)
        fees = [rng.choice(["0", "0.0005", "0.001"]) for _ in range(2)]
        lots = [rng.choice(["0", "0.1", "0.2", "0.5", "0.3"]) for _ in range(2)]
        amounts, worths = ([rng.choice([0.0, 0.0, least]) for _ in range(2)] for least in (1.0, 130.0))
        want = oracle.pair_optimum_brute(
            asks, bids, fee_buy=fees[0], fee_sell=fees[1], lot=(lots[0], lots[1]),
            min_amount_buy=amounts[0], min_amount_sell=amounts[1],
            min_notional_buy=worths[0], min_notional_sell=worths[1],
        )  # fmt: skip
        buy, sell = (
            leg(levels, *rules, "quote")
            for levels, rules in zip((asks, bids), zip(fees, lots, amounts, worths, strict=True), strict=True)
        )
        found = pair(buy, sell)
        assert found.gate == (want.rejected or ""), case
        gates[found.gate] += 1
        if not found.gate:
            assert found.quantity == pytest.approx(float(want.quantity), rel=1e-9), case
            assert found.net_profit == pytest.approx(float(want.net_profit), rel=1e-9, abs=1e-9)
            assert found.gross_profit == pytest.approx(float(want.gross_profit), rel=1e-9, abs=1e-9)
    assert all(gates[gate] > CASES / 4 / 100 for gate in ("", "fees", "depth", "lots"))


@pytest.mark.parametrize("part", range(4))
def test_with_a_fee_in_coins_two_exchanges_are_the_best_of_both_numbers_of_lots(part: int) -> None:
    traded = 0
    for case in range(CASES * part // 8, CASES * (part + 1) // 8):
        rng = random.Random(case)
        asks, bids = two_books(rng, rng.choice([0, 300, 900]))
        fees, lots = [rng.choice(["0.0005", "0.001"]) for _ in range(2)], [rng.choice(["0.1", "0.3"]) for _ in range(2)]
        fee_side, least = rng.choice(["get", "base"]), rng.choice([0.0, 1.0])
        buy, sell = (
            leg(levels, *rules, least, 0.0, fee_side)
            for levels, rules in zip((asks, bids), zip(fees, lots, strict=True), strict=True)
        )
        found = pair(buy, sell)
        orders = [
            oracle.Order(side, buying, Fraction(fee), oracle.in_coins(fee_side, buying=buying), Fraction(lot),
                         Fraction(least))
            for side, buying, fee, lot in ((asks, True, fees[0], lots[0]), (bids, False, fees[1], lots[1]))
        ]  # fmt: skip
        if not asks or not bids:
            assert found.gate == "depth"
            continue
        free = pair(replace(buy, lot=0.0, min_amount=0.0), replace(sell, lot=0.0, min_amount=0.0))
        want = oracle.round_in_lots(orders, Fraction(free.quantity) * (1 + Fraction(1, 10**9)))
        assert found.net_profit == pytest.approx(float(want), rel=1e-9, abs=1e-9), case
        assert found.gate == ("" if want else "lots" if free.net_profit > 0 else "fees"), case
        assert found.gross_profit >= found.net_profit
        traded += want > 0
    assert traded > CASES / 8 / 10


def test_several_books_with_fees_in_coins_are_ordered_in_whole_lots() -> None:
    # 0.99 of 2 bought arrive at 100/0.99 each; 1.9 of them are sold at 110: 2 coins cost 200 and bring 209.
    one = np.ones(1)
    buys = [Leg(100 * one, 2 * one, 0.01, 0.1, fee_side="get"), Leg(150 * one, one, 0.0, 0.1)]
    found = clear_in_lots(buys, [Leg(110 * one, 1.9 * one, 0.0, 0.1)])
    assert list(found.bought) == pytest.approx([2.0, 0.0], rel=1e-12)
    assert list(found.sold) == pytest.approx([1.9], rel=1e-12)
    assert found.net_profit == pytest.approx(9.0, rel=1e-12)
    assert found.gross_profit - found.fees == pytest.approx(found.net_profit)
    least = [replace(buys[0], min_amount=2.1)]
    assert clear_in_lots(least, [Leg(110 * one, 1.9 * one, 0.0, 0.1)]).gate == "lots"
    with pytest.raises(SchemaError, match="'coins'"):
        clear([replace(buys[0], fee_side="coins")], [])


def test_the_frame_says_what_the_fee_is_taken_from() -> None:
    rows = [("a", "ask", 100.0, "get"), ("b", "bid", 110.0, "get")]
    books = pd.DataFrame(
        [{"exchange": name, "base": "X", "quote": "USDT", "side": side, "price": price, "size": 1.0, "fee_side": taken}
         for name, side, price, taken in rows]
    )  # fmt: skip
    # 1 is bought for 100, 0.99 arrive and bring 108.9 less 1.089.
    found = xex.arbitrage.depth(books, taker_bps=100.0).iloc[0]
    assert found["net_profit"] == pytest.approx(7.811, rel=1e-12)
    assert found["quantity"] == pytest.approx(0.99, rel=1e-12)
    assert found["gross_profit"] - found["fees"] == pytest.approx(7.811, rel=1e-12)


# --- lots of quote currency -------------------------------------------------------------------------------------


def inverse_leg(levels: list[tuple[float, float]], lot_quote: float, least: float = 0.0, fee: float = 0.0) -> Leg:
    price, size = (np.array(column) for column in zip(*levels, strict=True))
    return Leg(price, size, fee, min_notional=least, lot_quote=lot_quote)


def test_contracts_of_dollars_are_whole_at_the_best_ask() -> None:
    # 0.00537 BTC cross; at the ask of 100,000 that is 537 dollars: 5 contracts of 100, or 537 of one dollar.
    buy, sell = [(100_000.0, 0.00537), (100_500.0, 1.0)], [(100_200.0, 0.1)]
    both = pair(inverse_leg(buy, 100.0), inverse_leg(sell, 1.0))
    assert both.quantity == pytest.approx(0.005, rel=1e-12)
    assert both.net_profit == pytest.approx(0.005 * 200, rel=1e-12)
    assert both.notional == pytest.approx(500.0, rel=1e-12)
    single = pair(inverse_leg(buy, 1.0), inverse_leg(sell, 1.0))
    assert single.quantity == pytest.approx(0.00537, rel=1e-12)
    assert pair(inverse_leg(buy, 1000.0), inverse_leg(sell, 1.0)).gate == "lots"
    assert pair(inverse_leg(buy, 100.0, least=501.0), inverse_leg(sell, 1.0)).gate == "lots"


def test_several_books_in_contracts_of_dollars() -> None:
    # Two sellers' asks of 537 and 362 dollars; lots of 100 and 10: 5 contracts and 36 of them pay.
    buys = [inverse_leg([(100_000.0, 0.00537)], 100.0), inverse_leg([(100_000.0, 0.00362)], 10.0)]
    sells = [inverse_leg([(100_001.0, 1e-9)], 100.0), inverse_leg([(100_200.0, 1.0)], 1.0)]
    found = clear_in_lots(buys, sells)
    assert sum(found.bought) == pytest.approx(sum(found.sold), rel=1e-12)
    assert found.sold[0] == 0
    assert all(round(1e5 * amount / lot, 9) % 1 == 0 for amount, lot in zip(found.bought, (100, 10), strict=True))
    assert found.net_profit == pytest.approx(200 * sum(found.bought), rel=1e-9)
    assert sum(found.bought) >= 0.008  # in whole hundreds, as all legs are multiples of one step


def test_contracts_of_so_many_dollars_are_whole_in_whatever_currency_profits_are_counted() -> None:
    """By hand: at 100 dollars 1.57 coins, which is what the smaller side takes, are 15 contracts of 10 and a bit."""
    price, size = np.array([100.0]), np.array([2.0])
    for factor_buy, factor_sell in ((1.0, 1.0), (0.9993004897571, 0.9997), (1.0007, 1.0003)):
        buy = Leg(price * factor_buy, size, 0.0, factor=factor_buy, lot_quote=10.0)
        sell = Leg(np.array([102.0]) * factor_sell, np.array([1.57]), 0.0, factor=factor_sell, lot_quote=10.0)
        found = pair(buy, sell, 2)
        assert found.gate == ""
        assert found.quantity == pytest.approx(15 * 10 / 100, rel=1e-12)
        assert clear_in_lots([buy], [sell], 2).quantity == pytest.approx(1.5, rel=1e-12)
