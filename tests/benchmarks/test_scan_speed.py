"""The funnel over whole markets against a plain double loop of the same gates, and how it grows."""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import numpy as np
import pandas as pd

import xex

GROUPS, VENUES, ROUNDS = 2000, 7, 7
SIZES = (500, 1000, 2000, 4000)
Z, FALSE_SHARE, MOST_AGE_MS = 3.0, 0.2, 10_000.0


def market(groups: int = GROUPS) -> pd.DataFrame:
    """Return quotes of every group on every venue, some of them premiums, strangers, stale or without a size."""
    rng = np.random.default_rng(11)
    rows = groups * VENUES
    mid = np.repeat(10 ** rng.uniform(-4, 5, groups), VENUES) * (1 + rng.normal(0, 4e-4, rows))
    mid *= np.where(rng.random(rows) < 0.02, 1.2, 1.0)
    day = np.repeat(rng.uniform(1.01, 1.2, groups), VENUES)
    return pd.DataFrame({
        "exchange": np.tile([f"v{number}" for number in range(VENUES)], groups),
        "group": np.repeat([f"C{number}:spot" for number in range(groups)], VENUES),
        "base": np.repeat([f"C{number}" for number in range(groups)], VENUES), "kind": "spot", "quote": "USDT",
        "currency": "USDT", "bid": mid * (1 - 1e-5), "ask": mid * (1 + 1e-5),
        "bid_size": np.where(rng.random(rows) < 0.02, np.nan, 10 ** rng.uniform(-2, 3, rows)),
        "ask_size": 10 ** rng.uniform(-2, 3, rows), "high": mid * np.sqrt(day), "low": mid / np.sqrt(day),
        "age_ms": rng.uniform(0, 12_000, rows), "taker_bps": np.tile(rng.uniform(1, 10, VENUES), groups),
    })  # fmt: skip


def plain(quotes: pd.DataFrame) -> pd.DataFrame:
    """Return what one writes by the definition: a loop over groups, and two over its venues."""
    found: list[dict[str, Any]] = []
    by_group: dict[str, list[Any]] = {}
    for row in quotes.to_dict("records"):
        by_group.setdefault(row["group"], []).append(row)
    for group, rows in by_group.items():
        _trust(rows)
        sigmas = [1e4 * math.log(row["high"] / row["low"]) / math.sqrt(4 * math.log(2) * 86_400) for row in rows]
        sigma = statistics.median(sigmas)
        for low in rows:
            found += [_pair(group, low, high, sigma) for high in rows if low is not high]
    _weigh(found)
    found.sort(key=lambda row: (not row["executable"], -row["net_bps"]))
    return pd.DataFrame(found)


def _trust(rows: list[dict[str, Any]]) -> None:
    """Say of each row whether it may be another asset: a majority within 1 %, and 3 % from the median."""
    valid = [row for row in rows if row["bid"] < row["ask"] and row["age_ms"] <= MOST_AGE_MS]
    mids = sorted((row["bid"] + row["ask"]) / 2 for row in valid)
    agree = max((sum(one <= other <= one * 1.01 for other in mids) for one in mids), default=0)
    disagree = len(mids) >= 2 and 2 * agree <= len(mids)
    middle = statistics.median(mids) if mids else math.nan
    for row in rows:
        known = row["bid"] < row["ask"] and row["age_ms"] <= MOST_AGE_MS
        row["other"] = known and (disagree or abs((row["bid"] + row["ask"]) / 2 / middle - 1) > 0.03)


def _pair(group: str, low: dict[str, Any], high: dict[str, Any], sigma: float) -> dict[str, Any]:
    ask, bid, buy, sell = low["ask"], high["bid"], low["taker_bps"] / 1e4, high["taker_bps"] / 1e4
    net = bid * (1 - sell) - ask * (1 + buy)
    quantity = min(low["ask_size"], high["bid_size"]) if high["bid_size"] == high["bid_size"] else math.nan
    noise = sigma * math.sqrt((low["age_ms"] + high["age_ms"]) / 1e3)
    stopped = []
    if low["other"] or high["other"] or abs(bid / ask - 1) > 0.03:
        stopped.append("identity")
    if low["bid"] >= low["ask"] or high["bid"] >= high["ask"]:
        stopped.append("market_state")
    if max(low["age_ms"], high["age_ms"]) > MOST_AGE_MS:
        stopped.append("freshness")
    if low["currency"] != high["currency"]:
        stopped.append("currency")
    if net <= 0:
        stopped.append("fees")
    if not quantity > 0:
        stopped.append("depth")
    if 1e4 * net / ask <= Z * noise:
        stopped.append("haircut")
    return {
        "symbol": group, "group": group, "trade": "arbitrage", "exchange_low": low["exchange"],
        "exchange_high": high["exchange"], "price_low": ask, "price_high": bid, "price_difference": bid - ask,
        "price_difference_pct": 100 * (bid / ask - 1), "net_bps": 1e4 * net / ask,
        "gross_profit": quantity * (bid - ask), "net_profit": quantity * net, "net_profit_pct": 100 * net / ask,
        "quantity": quantity, "notional": quantity * ask, "fees": quantity * (bid - ask - net),
        "currency": low["currency"], "age_ms": max(low["age_ms"], high["age_ms"]), "haircut_bps": Z * noise,
        "noise": noise, "executable": not stopped, "gate": stopped[0] if stopped else "", "reasons": ",".join(stopped),
    }  # fmt: skip


def _weigh(found: list[dict[str, Any]]) -> None:
    """Stop what is likely to be chance, given how many pairs were compared."""
    barred = ("identity", "market_state", "freshness")
    compared = {
        (row["group"], row["exchange_low"]) for row in found if not any(gate in row["reasons"] for gate in barred)
    }
    tests = len(compared) - len({group for group, _ in compared})
    left = [row for row in found if row["executable"]]
    for row in left:
        row["chance"] = 0.5 * math.erfc(row["net_bps"] / row["noise"] / math.sqrt(2)) if row["noise"] > 0 else 0.0
    ordered = sorted(row["chance"] for row in left)
    most = max((one for rank, one in enumerate(ordered, 1) if one <= rank * FALSE_SHARE / tests), default=-1.0)
    for row in left:
        if row["chance"] > most:
            row["executable"], row["gate"], row["reasons"] = False, "significance", "significance"


def test_a_funnel_is_twenty_times_faster_than_a_double_loop(benchmark: Any) -> None:
    quotes = market()
    took: dict[str, list[float]] = {"xex": [], "loop": []}

    def measured() -> tuple[pd.DataFrame, pd.DataFrame]:
        for number in range(ROUNDS):
            start = time.perf_counter()
            ours = xex.arbitrage.scan(quotes)
            took["xex"].append(1e3 * (time.perf_counter() - start))
            if number < 2:
                start = time.perf_counter()
                theirs = plain(quotes)
                took["loop"].append(1e3 * (time.perf_counter() - start))
        return ours, theirs

    ours, theirs = benchmark.pedantic(measured, rounds=1)
    key = ["group", "exchange_low", "exchange_high"]
    ours, theirs = ours.set_index(key).sort_index(), theirs.set_index(key).sort_index()
    for column in ("net_bps", "net_profit", "quantity", "haircut_bps"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-9)
    assert (ours["executable"] == theirs["executable"]).all()
    assert (ours["gate"].fillna("") == theirs["gate"]).all()
    assert ours["executable"].sum() > 10
    medians = {way: statistics.median(times) for way, times in took.items()}
    ratio = medians["loop"] / medians["xex"]
    benchmark.extra_info.update({**medians, "ratio": ratio})
    print(f"\nfunnel, {GROUPS} groups x {VENUES} venues ({len(ours):,} pairs), frame to frame: xex "
          f"{medians['xex']:.1f} ms, double loop {medians['loop']:.0f} ms, ratio {ratio:.0f}")  # fmt: skip
    assert ratio >= 20


def test_a_funnel_grows_with_its_groups_and_no_faster(benchmark: Any) -> None:
    frames = {size: market(size) for size in SIZES}
    took: dict[int, list[float]] = {size: [] for size in SIZES}

    def measured() -> None:
        for _ in range(ROUNDS):
            for size, quotes in frames.items():
                start = time.perf_counter()
                xex.arbitrage.scan(quotes)
                took[size].append(1e3 * (time.perf_counter() - start))

    benchmark.pedantic(measured, rounds=1)
    best = {size: min(times) for size, times in took.items()}
    exponent = statistics.linear_regression(
        [math.log(size) for size in SIZES], [math.log(best[size]) for size in SIZES]
    )
    told = ", ".join(f"{size} {best[size]:.1f} ms" for size in SIZES)
    benchmark.extra_info.update({"exponent": exponent.slope, **{str(size): value for size, value in best.items()}})
    print(f"\nfunnel by groups: {told}; exponent {exponent.slope:.2f}")
    assert exponent.slope <= 1.1
