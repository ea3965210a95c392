"""How one price is made of several venues' prices, by name.

Every estimator works on a grid of groups × venues at once and says which prices are outliers, which make the price and
how much each of them weighs. Rows that may be another asset are out before; see `xex.analytics.quality`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xex.analytics.quality import Floats, check_number, medians
from xex.errors import ConfigError

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Parameters = Mapping[str, Any]

CAP = 0.4
TAU_S = 5.0
OUTLIER_MADS = 3.5
OUTLIER_FLOOR_BPS = 10.0
MAD_TO_SIGMA = 1.4826
CLAMP = 0.02


@dataclass(frozen=True, slots=True)
class Grid:
    """Prices, quote volumes and ages of groups × venues; a price is NaN where a group has no such row."""

    price: Floats
    volume: Floats
    age_s: Floats
    n: np.ndarray[Any, Any]
    centre: Floats
    mad: Floats

    @classmethod
    def of(cls, price: Floats, volume: Floats, age_s: Floats) -> Grid:
        """Make a grid and find each group's median, and the median distance from it."""
        n = np.isfinite(price).sum(axis=1)
        centre = medians(np.sort(price, axis=1), n)
        mad = medians(np.sort(np.abs(price - centre[:, None]), axis=1), n)
        return cls(price, volume, age_s, n, centre, mad)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A price per group, and per cell what part it has.

    `kept` make the price with their `weight`, as what they `entered`; `far` are outliers. `unknown` are groups without
    a price for want of volumes.
    """

    price: Floats
    weight: Floats
    kept: Flags
    far: Flags
    entered: Floats
    unknown: Flags | None = None


def robust(
    grid: Grid, *, cap: float = CAP, tau_s: float = TAU_S, mads: float = OUTLIER_MADS,
    floor_bps: float = OUTLIER_FLOOR_BPS,
) -> Estimate:  # fmt: skip
    """Drop outliers, weigh the rest by √volume · e^(−age / `tau_s`), each at most `cap`.

    A venue without a volume takes the smallest weight; fewer venues than fill the cap weigh the same. Source: our own
    rule, of CoinGecko's median centring and MAD rejection and the caps of the exchanges' index rules.
    """
    kept, far = _near(grid, mads, floor_bps)
    has = kept & np.isfinite(grid.volume) & (grid.volume > 0)
    some = has.any(axis=1, keepdims=True)
    volume = np.where(has, grid.volume, 1.0)
    # From the youngest on, since e^(−age / tau) of all of them may be 0.
    youngest = np.where(kept, grid.age_s, np.inf).min(axis=1, keepdims=True)
    age = grid.age_s - np.where(np.isfinite(youngest), youngest, 0.0)
    raw = np.where(has | (kept & ~some), np.sqrt(volume) * np.exp(-np.maximum(age, 0.0) / tau_s), np.inf)
    raw = np.where(kept, np.where(np.isinf(raw), raw.min(axis=1, keepdims=True), raw), 0.0)
    shares = _shares(raw)
    few = kept.sum(axis=1, keepdims=True) * cap < 1
    return _mean(grid.price, np.where(few, _equal(kept), _capped(shares, kept, cap)), kept, far)


def median(grid: Grid) -> Estimate:
    """Take the median of the valid prices, whatever their volumes. Source: the textbook's; half of them may lie."""
    kept = np.isfinite(grid.price)
    none = np.zeros(kept.shape, dtype=bool)
    return Estimate(np.where(grid.n > 0, grid.centre, np.nan), _equal(kept), kept, none, grid.price)


def vwap(grid: Grid) -> Estimate:
    """Weigh all valid prices by 24 h quote volume, without any guard. Source: CCData's CCCAGG without its penalties."""
    kept = np.isfinite(grid.price)
    return _mean(grid.price, _by_volume(grid, kept), kept, np.zeros(kept.shape, dtype=bool))


def clamp(grid: Grid, *, x: float = CLAMP, weights: str = "volume") -> Estimate:
    """Move each price to within `x`, a fraction, of the median and take the mean.

    `weights`: "volume" is OKX's index rule (x = 0.02), "equal" Deribit's (x = 0.005). What enters is the clamped price,
    also for the dispersion; `range_bps` is that of the prices as they came.
    """
    kept = np.isfinite(grid.price)
    centre = grid.centre[:, None]
    entered = np.clip(grid.price, centre * (1 - x), centre * (1 + x))
    weight = _equal(kept) if weights == "equal" else _by_volume(grid, kept)
    return _mean(entered, weight, kept, np.zeros(kept.shape, dtype=bool))


def mad_vwap(grid: Grid, *, mads: float = OUTLIER_MADS, floor_bps: float = OUTLIER_FLOOR_BPS) -> Estimate:
    """Drop outliers as `robust` does, weigh the rest by 24 h quote volume. Source: CoinGecko's aggregation."""
    kept, far = _near(grid, mads, floor_bps)
    return _mean(grid.price, _by_volume(grid, kept), kept, far)


def principal_market(grid: Grid, *, mads: float = OUTLIER_MADS, floor_bps: float = OUTLIER_FLOOR_BPS) -> Estimate:
    """Take the price of the venue with the highest quote volume that is no outlier; the mean where several have it.

    NaN where there are several venues and no volume at all: which market is the principal one is then unknown. Source:
    fair value by the principal market, IFRS 13 and ASC 820.
    """
    near, far = _near(grid, mads, floor_bps)
    has = near & np.isfinite(grid.volume) & (grid.volume > 0)
    volume = np.where(has, grid.volume, -np.inf)
    alone = near & (near.sum(axis=1, keepdims=True) == 1)
    kept = (has & (volume == volume.max(axis=1, keepdims=True))) | alone
    unknown = near.any(axis=1) & ~kept.any(axis=1)
    mean = _mean(grid.price, _equal(kept), kept, far)
    return Estimate(mean.price, mean.weight, kept, far, grid.price, unknown)


ESTIMATORS: Mapping[str, Callable[..., Estimate]] = {
    "robust": robust, "median": median, "vwap": vwap, "clamp": clamp, "mad_vwap": mad_vwap,
    "principal_market": principal_market,
}  # fmt: skip

_LIMITS: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "cap": (lambda value: 0 < value <= 1, "a fraction above 0, at most 1"),
    "tau_s": (lambda value: value > 0, "seconds, above 0"),
    "mads": (lambda value: value >= 0, "at least 0"),
    "floor_bps": (lambda value: value >= 0, "basis points, at least 0"),
    "x": (lambda value: 0 < value < 1, "a fraction between 0 and 1"),
}


def check_method(method: str, names: Collection[str]) -> None:
    """Raise a `ConfigError` for a name that is no method."""
    if method not in list(names):  # a list, since what cannot be hashed may be asked for
        raise ConfigError(f"unknown method {method!r}; methods are: {', '.join(names)}")


def check_names(method: str, given: Parameters, allowed: Mapping[str, Any]) -> None:
    """Raise a `ConfigError` for a parameter that `method` does not have."""
    for name, value in given.items():
        if name not in allowed:
            has = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise ConfigError(f"{name}={value!r} is no parameter of the method {method!r}; {has}")


def checked(method: str, given: Parameters) -> dict[str, Any]:
    """Return the parameters given for a method; raise `ConfigError` for a name or a value that it does not take."""
    check_method(method, ESTIMATORS)
    check_names(method, given, ESTIMATORS[method].__kwdefaults__ or {})
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name == "weights":
            if value not in {"volume", "equal"}:
                raise ConfigError(f"weights is 'volume' or 'equal', not {value!r}")
            values[name] = value
        else:
            values[name] = check_number(name, value, *_LIMITS[name])
    return values


def _near(grid: Grid, mads: float, floor_bps: float) -> tuple[Flags, Flags]:
    """Return which prices are kept and which are outliers; of two prices none is."""
    valid = np.isfinite(grid.price)
    with np.errstate(invalid="ignore"):
        limit = np.maximum(mads * MAD_TO_SIGMA * grid.mad, floor_bps / 1e4 * grid.centre)
        away = np.abs(grid.price - grid.centre[:, None])
        far = valid & (away > limit[:, None]) & (grid.n > 2)[:, None]
    return valid & ~far, far


def _mean(entered: Floats, weight: Floats, kept: Flags, far: Flags) -> Estimate:
    price = (weight * np.where(kept, entered, 0.0)).sum(axis=1)
    return Estimate(np.where(kept.any(axis=1), price, np.nan), weight, kept, far, entered)


def _equal(kept: Flags) -> Floats:
    return np.where(kept, 1.0 / np.maximum(kept.sum(axis=1, keepdims=True), 1), 0.0)


def _shares(raw: Floats) -> Floats:
    total = raw.sum(axis=1, keepdims=True)
    return np.asarray(raw / np.where(total > 0, total, 1.0))


def _by_volume(grid: Grid, kept: Flags) -> Floats:
    """Return shares of volume; a venue without one has none, and all weigh the same where nobody has any."""
    has = kept & np.isfinite(grid.volume) & (grid.volume > 0)
    raw = np.where(has, grid.volume, 0.0)
    most = raw.max(axis=1, keepdims=True)
    # By the largest first: the sum of claimed volumes may be more than a float can hold.
    shares = _shares(raw / np.where(most > 0, most, 1.0))
    return np.where(most > 0, shares, _equal(kept))


def _capped(shares: Floats, kept: Flags, cap: float) -> Floats:
    """Cap each share and pass the excess to the others in proportion to theirs."""
    capped = np.zeros(shares.shape, dtype=bool)
    filled = shares
    # So many can be at the cap; the round after the last of them changes nothing.
    for _ in range(min(int(1 / cap) + 1, shares.shape[1])):
        over = filled > cap
        if not over.any():
            break
        capped |= over
        free = np.maximum(1.0 - cap * capped.sum(axis=1, keepdims=True), 0.0)
        rest = np.where(capped, 0.0, shares)
        total = rest.sum(axis=1, keepdims=True)
        # Shares too small for a float beside the capped ones are as large as one another.
        portion = np.where(total > 0, rest / np.where(total > 0, total, 1.0), _equal(kept & ~capped))
        filled = np.where(capped, cap, portion * free)
    return filled


__all__ = [
    "ESTIMATORS", "Estimate", "Grid", "check_method", "check_names", "check_number", "checked", "clamp", "mad_vwap",
    "median", "principal_market", "robust", "vwap",
]  # fmt: skip
