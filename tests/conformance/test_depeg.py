"""The price of Bitcoin in dollars through the USDC depeg of March 2023, made of stablecoin legs alone.

What it is held against, Kraken's and Coinbase's own BTC/USD, is kept out of what it is made of.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

import xex

DATA = Path(os.environ.get("XEX_DATA", Path(__file__).parent.parent.parent.parent / "shared" / "data"))
BARS = DATA / "bars_1m_2023-03_usdc_depeg"
needs_recorded = pytest.mark.skipif(not BARS.is_dir(), reason="needs recorded data: ../shared/data or XEX_DATA")

HELD_OUT = ("kraken", "coinbase")
WITHIN_BPS = 30.0
DEPEG = "2023-03-11"


@cache
def minutes() -> pd.DataFrame:
    data = pd.read_csv(next(BARS.glob("*.csv.gz")))
    pair = data["symbol"].str.split("/", expand=True)
    return data.rename(columns={"ts_ms": "time", "venue": "exchange"}).assign(base=pair[0], quote=pair[1])


@cache
def priced() -> pd.DataFrame:
    """Return the reference of every minute beside the median of the venues that it was kept from."""
    bars = minutes()
    dollars = (bars["base"] == "BTC") & (bars["quote"] == "USD")
    told = bars[dollars & bars["exchange"].isin(HELD_OUT)].pivot_table(index="time", columns="exchange", values="close")
    found = xex.pricing.depeg(bars[~dollars], quotes=["USDT", "USDC"]).set_index("time")
    told.index = pd.to_datetime(told.index, unit="ms", utc=True)
    return found.assign(dollars=told.median(axis=1))


def share(of: pd.DataFrame, name: str) -> float:
    """Return the share of minutes within 30 bps; a minute without a price is none of them."""
    return float(((1e4 * (of[name] / of["dollars"] - 1)).abs() <= WITHIN_BPS).mean())


@needs_recorded
def test_the_reference_is_the_price_in_dollars_that_it_never_saw() -> None:
    every = priced()
    day = every.loc[DEPEG:DEPEG]
    assert len(every) == 2880
    assert len(day) == 1440
    assert every["dollars"].notna().all()
    for name, rows in (("both days", every), (DEPEG, day)):
        print(f"\n{name}: {share(rows, 'price'):.2%} of {len(rows)} minutes within {WITHIN_BPS:g} bps, "
              f"{share(rows, 'at_par'):.2%} unconverted", end="")  # fmt: skip
    assert share(every, "price") >= 0.985
    assert share(day, "price") >= 0.97
    assert share(day, "at_par") < 0.5


@needs_recorded
@pytest.mark.parametrize("method", ["median", "mad_vwap"])
def test_other_rules_follow_the_dollar_too(method: str) -> None:
    bars = minutes()
    dollars = (bars["base"] == "BTC") & (bars["quote"] == "USD")
    found = xex.pricing.depeg(bars[~dollars], quotes=["USDT", "USDC"], method=method).set_index("time")
    assert share(found.assign(dollars=priced()["dollars"]), "price") >= 0.97
