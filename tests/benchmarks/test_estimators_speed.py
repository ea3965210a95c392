"""The robust price of a whole market against a plain pandas groupby-apply of the same rule."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import xex

GROUPS, VENUES, ROUNDS = 2000, 7, 7


def market() -> pd.DataFrame:
    """Return quotes of every group on every venue, some of them outliers, strangers, stale or without a volume."""
    rng = np.random.default_rng(11)
    rows = GROUPS * VENUES
    mid = np.repeat(10 ** rng.uniform(-4, 5, GROUPS), VENUES) * (1 + rng.normal(0, 2e-4, rows))
    mid *= np.where(rng.random(rows) < 0.05, 1.004, 1.0) * np.where(rng.random(rows) < 0.02, 1.2, 1.0)
    return pd.DataFrame({
        "exchange": np.tile([f"v{number}" for number in range(VENUES)], GROUPS),
        "group": np.repeat([f"C{number}:linear" for number in range(GROUPS)], VENUES), "currency": "USDT",
        "bid": mid * (1 - 1e-5), "ask": mid * (1 + 1e-5),
        "quote_volume": np.where(rng.random(rows) < 0.05, np.nan, 10 ** rng.uniform(3, 9, rows)),
        "age_ms": rng.uniform(0, 12_000, rows),
    })  # fmt: skip


def plain(quotes: pd.DataFrame) -> pd.Series:
    """Return what one writes by the definition; whether venues disagree is not looked at."""
    quotes = quotes.assign(mid=(quotes["bid"] + quotes["ask"]) / 2)
    quotes = quotes[(quotes["bid"] < quotes["ask"]) & (quotes["age_ms"] <= 10_000)]
    return quotes.groupby(["group", "currency"], sort=False)[["mid", "quote_volume", "age_ms"]].apply(_robust)


def _robust(rows: pd.DataFrame) -> float:
    rows = rows[(rows["mid"] / rows["mid"].median() - 1).abs() <= 0.03]
    middle = rows["mid"].median()
    away = (rows["mid"] - middle).abs()
    if len(rows) > 2:
        rows = rows[away <= max(3.5 * 1.4826 * away.median(), 1e-3 * middle)]
    weight = rows["quote_volume"] ** 0.5 * np.exp(-rows["age_ms"] / 5e3)
    weight = weight.fillna(weight.min()) if weight.notna().any() else np.exp(-rows["age_ms"] / 5e3)
    share = weight / weight.sum()
    if 0.4 * len(rows) < 1:
        return float(rows["mid"].mean())
    capped = share > 0.4
    while (share > 0.4 + 1e-12).any():
        capped |= share > 0.4
        rest = weight[~capped] / weight[~capped].sum()
        share = (rest * (1 - 0.4 * capped.sum())).reindex(share.index, fill_value=0.4)
    return float((share * rows["mid"]).sum())


def tuned(quotes: pd.DataFrame) -> pd.Series:
    """Return the same with numpy alone inside of the groups, which nobody calls plain any more."""
    quotes = quotes.assign(mid=(quotes["bid"] + quotes["ask"]) / 2)
    quotes = quotes[(quotes["bid"] < quotes["ask"]) & (quotes["age_ms"] <= 10_000)]
    columns = ["mid", "quote_volume", "age_ms"]
    return quotes.groupby(["group", "currency"], sort=False)[columns].apply(lambda rows: _arrays(rows.to_numpy()))


def _arrays(rows: Any) -> float:
    rows = rows[np.abs(rows[:, 0] / np.median(rows[:, 0]) - 1) <= 0.03]
    if not len(rows):
        return np.nan
    middle = np.median(rows[:, 0])
    away = np.abs(rows[:, 0] - middle)
    if len(rows) > 2:
        rows = rows[away <= max(3.5 * 1.4826 * np.median(away), 1e-3 * middle)]
    price, volume, age = rows.T
    weight = np.sqrt(volume) * np.exp(-age / 5e3)
    known = np.isfinite(weight)
    weight = np.where(known, weight, weight[known].min()) if known.any() else np.exp(-age / 5e3)
    if 0.4 * len(price) < 1:
        return float(price.mean())
    share, capped = weight / weight.sum(), np.zeros(len(price), dtype=bool)
    while (share > 0.4 + 1e-12).any():
        capped |= share > 0.4
        rest = np.where(capped, 0.0, weight)
        share = np.where(capped, 0.4, rest / rest.sum() * (1 - 0.4 * capped.sum()))
    return float((share * price).sum())


def test_a_market_is_eighty_times_faster_than_groupby_apply(benchmark: Any) -> None:
    quotes = market()
    ways: dict[str, Callable[[pd.DataFrame], Any]] = {"xex": xex.pricing.aggregate, "tuned": tuned, "pandas": plain}
    took: dict[str, list[float]] = {way: [] for way in ways}

    def measured() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number in range(ROUNDS):
            for way, price in ways.items():
                if way == "xex" or number < 2:
                    start = time.perf_counter()
                    found[way] = price(quotes)
                    took[way].append(1e3 * (time.perf_counter() - start))
        return found

    found = benchmark.pedantic(measured, rounds=1)
    price = found["xex"].set_index(["group", "currency"])["price"].dropna()
    for way in ("tuned", "pandas"):
        np.testing.assert_allclose(price, found[way].reindex(price.index), rtol=1e-9)
    assert len(price) > 0.99 * GROUPS
    medians = {way: statistics.median(times) for way, times in took.items()}
    ratio = medians["pandas"] / medians["xex"]
    benchmark.extra_info.update({**medians, "ratio": ratio})
    print(f"\nrobust, {GROUPS} groups x {VENUES} venues, frame to frame: xex {medians['xex']:.1f} ms, pandas "
          f"groupby-apply {medians['pandas']:.0f} ms (ratio {ratio:.0f}), with numpy inside {medians['tuned']:.0f} ms "
          f"({medians['tuned'] / medians['xex']:.0f})")  # fmt: skip
    assert ratio >= 80
