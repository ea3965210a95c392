"""Large trades, large resting orders, and which way takers' money flows.

What counts as large is a notional in US dollars. A row says what its quote currency was taken to be worth (`usd_rate`)
and who says so (`usd_source`): the frame's own column `usd_rate` where it has one, else 1 for dollars, else par for
what is meant to be a dollar, which then says "par". What has no such worth is not judged, and is counted by currency
in ``frame.attrs["unjudged"]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.quality import check_milliseconds, check_number
from xex.analytics.trailing import range_quantiles
from xex.errors import ConfigError
from xex.model import schema
from xex.model.instruments import USD_LIKE
from xex.model.schema import Columns, Text, Words

if TYPE_CHECKING:
    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.intp]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Floors = float | Mapping[str, float] | None

FLOOR_USD = 100_000.0
FLOORS_USD: Mapping[str, float] = {"BTC": 1_000_000.0, "ETH": 1_000_000.0}
"""From how many dollars on a trade or an order is large: of any asset, and of those that trade most."""
QUANTILE = 0.999
LEAST = 10_000
"""Of fewer orders before it the quantile says nothing, and the floor alone counts."""
GAP_MS = 100.0
SIDES = ("buy", "sell")
WALL_TIMES, WALL_WITHIN = 10.0, 0.01
PAR = "par: no rate was given"

_NAMES = ("exchange", "venue", "instrument", "group", "base", "quote", "currency")


def whales(
    trades: pd.DataFrame,
    *,
    floor: Floors = None,
    quantile: float = QUANTILE,
    window: str = "24h",
    least: int = LEAST,
    gap_ms: float = GAP_MS,
) -> pd.DataFrame:
    """Return the large orders on a tape, newest first: a row is an order, put together from the trades it made.

    `trades` needs `exchange`, `instrument`, `side`, `price`, `size` and `exchange_time`; `notional`, `trade_id`,
    `venue`, `base`, `flags`, `currency` and `usd_rate` count where they are there. Trades that came twice are counted
    once: of one venue, instrument and `trade_id`, else of one time, side, price, size and place among their like in an
    answer. An order is the trades of one venue, instrument and side that have one `order_id`, where the frame has such
    a column, else those at most `gap_ms` after its first one; counting from the first keeps a busy minute from becoming
    one order. Rows flagged `bundled` are put together already, and only those of one millisecond, at several prices,
    are joined.

    An order is large where its notional is at least max(`floor`, the `quantile` of the notionals of the orders of its
    venue and instrument that were over before it began, within `window`); of fewer than `least` of them the floor alone
    counts, which `threshold_by` says. No trade that comes later changes a verdict on an order that is over. `floor` is
    dollars, 1,000,000 for BTC and ETH and 100,000 for others unless a number says otherwise for all, or a mapping for
    some bases.

    Columns: `price` (the average), `quantity` (base), `notional` and `threshold` in `currency`, `notional_usd`,
    `threshold_usd` and `quantile_usd` in dollars, `prior_trades` (orders that the quantile is of), `n_trades`, `start`
    and `time` (first and last trade), `trade_id` (the first one's). Raises `SchemaError`, `ConfigError`.
    """
    check_number("quantile", quantile, lambda value: 0 < value < 1, "a share of the orders, between 0 and 1")
    check_number("least", least, lambda value: value >= 1, "a number of orders, from 1")
    check_number("gap_ms", gap_ms, lambda value: value >= 0, "milliseconds, from 0")
    window_ms = _milliseconds("window", window)
    tape = _Tape(trades, "activity.whales")
    orders = _Orders(tape, gap_ms)
    floors = _floors(floor, tape.words["base"])[tape.codes["base"][orders.first]]
    large = np.flatnonzero(orders.usd >= floors)
    low, high, values = orders.before(large, window_ms)
    enough = high - low >= least
    quantiles = np.where(enough, range_quantiles(values, np.where(enough, low, high), high, quantile), np.nan)
    threshold = np.fmax(floors[large], quantiles)
    reasons = ["floor", "quantile", f"floor: fewer than {least:,} orders before it"]
    by = np.where(enough, quantiles > floors[large], 2).astype(np.intp)
    kept = np.flatnonzero(orders.usd[large] >= threshold)
    kept = kept[np.argsort(-orders.end[large[kept]], kind="stable")]
    chosen = large[kept]
    rate, rows = orders.rate[chosen], tape.rows[orders.first[chosen]]
    single = orders.count[chosen] == 1
    with np.errstate(invalid="ignore"):
        average = orders.notional[chosen] / orders.size[chosen]
    found = schema.frame(
        {
            **tape.cells((*_NAMES, "usd_source", "flags"), orders.first[chosen]),
            "side": [word if word in SIDES else "unknown" for word in tape.written("side", orders.first[chosen])],
            "trade_id": tape.written("trade_id", orders.first[chosen]),
            "kind": Text.same("trade", len(kept)),
            "source": Text.same("trades", len(kept)),
            "price": np.where(single, tape.price[orders.first[chosen]], average),
            "quantity": orders.size[chosen],
            "notional": orders.notional[chosen],
            "fx_rate": tape.number("fx_rate", 1.0)[rows],
            "usd_rate": rate,
            "notional_usd": orders.usd[chosen],
            "threshold": threshold[kept] / rate,
            "threshold_usd": threshold[kept],
            "threshold_by": Text(Words(reasons), by[kept]),
            "quantile_usd": quantiles[kept],
            "prior_trades": (high - low)[kept].astype(np.float64),
            "n_trades": orders.count[chosen].astype(np.float64),
            "start": orders.start[chosen],
            "time": orders.end[chosen],
        },
        "whales",
    )
    found.attrs = {"unjudged": tape.unjudged(), "duplicates": tape.duplicates, "unusable": tape.unusable}
    return found


def net_flow(trades: pd.DataFrame, *, every: str = "1min") -> pd.DataFrame:
    """Return what takers bought less what they sold, per exchange, instrument and stretch of time, oldest first.

    Input as in `whales`, duplicates counted once. `time` is when the stretch begins, in whole multiples of `every`
    since 1970; one without a trade has no row. `buy`, `sell`, `unknown` (no side told) and `net` = buy − sell are in
    `currency`, `net_usd` in dollars, NaN where its worth is not known. Raises `SchemaError`, `ConfigError`.
    """
    every_ms = _milliseconds("every", every)
    tape = _Tape(trades, "activity.net_flow")
    begun = np.floor(tape.time / every_ms)
    _, first, place = _distinct(tape.market, tape.codes["currency"], begun)
    side = tape.codes["side"]

    def summed(values: Floats) -> Floats:
        return np.bincount(place, weights=values, minlength=len(first)).astype(np.float64)

    told = [np.array([word == name for word in tape.words["side"]], dtype=bool) for name in SIDES]
    bought, sold = (mine[side] if len(mine) else np.zeros(0, dtype=bool) for mine in told)
    buy, sell = summed(tape.notional * bought), summed(tape.notional * sold)
    columns: Columns = {
        **tape.cells(_NAMES, first),
        "time": begun[first] * every_ms, "buy": buy, "sell": sell,
        "unknown": summed(tape.notional * ~(bought | sold)), "net": buy - sell,
        "net_usd": summed(tape.usd * (bought * 1.0 - sold)),
        "n_trades": np.bincount(place, minlength=len(first)).astype(np.float64),
    }  # fmt: skip
    order = np.lexsort((tape.codes["exchange"][first], columns["time"]))
    return schema.frame(schema.take(columns, order), "net_flow")


def walls(
    books: pd.DataFrame, *, k: float = WALL_TIMES, floor: Floors = None, within: float = WALL_WITHIN
) -> pd.DataFrame:
    """Return the levels of order books that are large, largest first: resting orders, of one owner or of many.

    `books` needs `exchange`, `instrument`, `side` ("bid" or "ask"), `price` and `size`; `currency`, `usd_rate`, `venue`
    and `base` count where they are there. A level is large where its notional is at least max(`floor`, `k` times the
    median level of its side no further than `within` from the middle of best bid and ask); `floor` as in `whales`.
    `side` is the order's, "buy" for bids; `distance_bps` is from the middle, `median_usd` what the level was held
    against. A book with one side has no middle, and is counted under `no_mid` in ``frame.attrs["unjudged"]``. Raises
    `SchemaError`, `ConfigError`.
    """
    check_number("k", k, lambda value: value > 0, "times the median level, above 0")
    check_number("within", within, lambda value: 0 < value < 1, "a share of the price, between 0 and 1")
    tape = _Tape(books, "activity.walls", timed=False)
    names = tape.words["side"]
    bids, asks = (np.array([word == name for word in names] or [False], dtype=bool) for name in ("bid", "ask"))
    is_bid, is_ask = (tape.pick(mine, tape.codes["side"]) for mine in (bids, asks))
    count = int(tape.market.max(initial=-1)) + 1
    best_bid, best_ask = np.full(count, -np.inf), np.full(count, np.inf)
    np.maximum.at(best_bid, tape.market[is_bid], tape.price[is_bid])
    np.minimum.at(best_ask, tape.market[is_ask], tape.price[is_ask])
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isfinite(best_bid) & np.isfinite(best_ask), (best_bid + best_ask) / 2, np.nan)
    mid = middle[tape.market]
    away = np.abs(tape.price / mid - 1)
    side = 2 * tape.market + is_ask
    median = _medians(np.where(away <= within, tape.usd, np.nan), side, 2 * count)[side]
    floors = tape.pick(_floors(floor, tape.words["base"]), tape.codes["base"])
    threshold = np.fmax(floors, k * median)
    chosen = np.flatnonzero((is_bid | is_ask) & np.isfinite(mid) & (tape.usd >= threshold))
    chosen = chosen[np.argsort(-tape.usd[chosen], kind="stable")]
    rows = tape.rows[chosen]
    times = np.where(np.isnan(tape.number("exchange_time")), tape.number("received_time"), tape.number("exchange_time"))
    by_median = (k * median > floors)[chosen].astype(np.intp)
    found = schema.frame(
        {
            **tape.cells((*_NAMES, "usd_source", "flags"), chosen),
            "kind": Text.same("wall", len(chosen)), "source": Text.same("book", len(chosen)),
            "side": Text(Words(SIDES), is_ask[chosen].astype(np.intp)),
            "price": tape.price[chosen], "quantity": tape.size[chosen], "notional": tape.notional[chosen],
            "fx_rate": tape.number("fx_rate", 1.0)[rows], "usd_rate": tape.rate[chosen],
            "notional_usd": tape.usd[chosen], "threshold": threshold[chosen] / tape.rate[chosen],
            "threshold_usd": threshold[chosen], "median_usd": median[chosen],
            "threshold_by": Text(Words(["floor", f"{k:g} times the median level"]), by_median),
            "distance_bps": 1e4 * away[chosen], "time": times[rows], "start": times[rows],
        },
        "whales",
    )  # fmt: skip
    lonely = int(np.count_nonzero(~np.isfinite(middle)))
    found.attrs = {"unjudged": {**tape.unjudged(), **({"no_mid": lonely} if lonely else {})}}
    return found


def floor_of(base: str, floor: Floors = None) -> float:
    """Return from how many dollars on an order of a base is large, whatever the others are."""
    return float(_floors(floor, [base])[0])


# --- what they are made of


class _Tape:
    """The usable rows of a frame of trades or levels as arrays, each trade once."""

    def __init__(self, data: pd.DataFrame, what: str, *, timed: bool = True) -> None:
        needed = ("exchange", "instrument", "side", "price", "size", *(("exchange_time",) if timed else ()))
        schema.check(data, needed, what)
        self._data = data
        self.codes: dict[str, Ints] = {}
        self.words: dict[str, list[str]] = {}
        price, size = (self.number(name) for name in ("price", "size"))
        notional = self.number("notional")
        notional = np.where(np.isnan(notional), price * size, notional)
        usable = (price > 0) & (size > 0) & np.isfinite(notional)
        time = check_milliseconds(self.number("exchange_time"), "exchange_time")
        self.rows = np.flatnonzero(usable & np.isfinite(time)) if timed else np.flatnonzero(usable)
        self.unusable = len(data) - len(self.rows)
        for name in (*_NAMES, "side"):
            self._code(name)
        if "venue" not in data.columns:
            self.codes["venue"], self.words["venue"] = self.codes["exchange"], self.words["exchange"]
        if "base" not in data.columns:
            self._base_of_instrument()
        self.market = _distinct(self.codes["venue"], self.codes["instrument"])[2]
        self.duplicates = 0
        if timed:
            self._once()
        self.time, self.price, self.size, self.notional = (
            column[self.rows] for column in (time, price, size, notional)
        )
        self.rate = self._rates()
        self.usd = self.notional * self.rate

    def number(self, name: str, absent: float = np.nan) -> Floats:
        """Return a column of the whole frame; times as milliseconds."""
        if name not in self._data.columns:
            return np.full(len(self._data), absent)
        return schema.numbers(schema.columns_of(self._data[[name]], [name]), name)

    def cells(self, names: tuple[str, ...], places: Ints) -> Columns:
        """Return text columns of some of the rows."""
        found: Columns = {}
        for name in names:
            if name not in self.codes:
                self._code(name)
            found[name] = Text(Words(self.words[name] or [""]), self.codes[name][places])
        return found

    def flagged(self, flag: str) -> Bools:
        """Say which rows have a flag."""
        self.cells(("flags",), np.zeros(0, dtype=np.intp))
        words = np.array([flag in word.split(",") for word in self.words["flags"]] or [False], dtype=bool)
        return self.pick(words, self.codes["flags"]).astype(bool)

    @staticmethod
    def pick(of_words: np.ndarray[Any, Any], codes: Ints) -> np.ndarray[Any, Any]:
        """Return what is known of each word for each row."""
        return of_words[codes] if len(codes) else of_words[:0]

    def ids(self, name: str) -> Ints:
        """Return which id each row has, -1 for none: of so many there are no words to keep."""
        import pandas as pd

        if name not in self._data.columns:
            return np.full(len(self.rows), -1, dtype=np.intp)
        cells = self._data[name]
        codes, _ = pd.factorize(cells)
        return np.where((cells == "").to_numpy(), -1, codes)[self.rows] if len(cells) else codes

    def written(self, name: str, places: Ints) -> list[str]:
        """Return the texts of a few rows."""
        if name not in self._data.columns:
            return [""] * len(places)
        return ["" if cell != cell or cell is None else str(cell) for cell in self._data[name].iloc[self.rows[places]]]

    def unjudged(self) -> dict[str, int]:
        """Return how many rows have no worth in dollars, by currency."""
        lost = np.bincount(self.codes["currency"][np.isnan(self.usd)], minlength=len(self.words["currency"]))
        return {word: int(count) for word, count in zip(self.words["currency"], lost, strict=False) if count}

    def _code(self, name: str) -> None:
        codes, self.words[name] = schema.codes(self._data, name)
        self.codes[name] = codes[self.rows]

    def _base_of_instrument(self) -> None:
        bases = [name.partition("/")[0] for name in self.words["instrument"]]
        self.words["base"] = list(dict.fromkeys(bases))
        places = np.array([self.words["base"].index(base) for base in bases], dtype=np.intp)
        self.codes["base"] = self.pick(places, self.codes["instrument"])

    def _once(self) -> None:
        """Keep the first of the rows that are one trade: pages of a tape overlap."""
        import pandas as pd

        ids = self.ids("trade_id")
        named = ids >= 0
        again = np.zeros(len(self.rows), dtype=bool)
        again[named] = pd.Series(self.market[named] * (len(self._data) + 1) + ids[named]).duplicated().to_numpy()
        nameless = np.flatnonzero(~named)
        if len(nameless):
            rows = self.rows[nameless]
            page, _ = schema.codes(self._data, "response_id")
            alike = pd.DataFrame({
                "market": self.market[nameless], "side": self.codes["side"][nameless],
                **{name: self.number(name)[rows] for name in ("exchange_time", "price", "size")},
            })  # fmt: skip
            # Two trades that are alike in one answer are two; the same two in the next answer are they again.
            alike["sequence"] = alike.assign(page=page[rows]).groupby([*alike.columns, "page"]).cumcount()
            again[nameless] = alike.duplicated().to_numpy()
        kept = np.flatnonzero(~again)
        self.duplicates = len(again) - len(kept)
        self.rows, self.market = self.rows[kept], self.market[kept]
        self.codes = {name: codes[kept] for name, codes in self.codes.items()}

    def _rates(self) -> Floats:
        """Return what a unit of each row's currency is worth in dollars; `usd_source` says who says so."""
        if "usd_rate" in self._data.columns:
            if "usd_source" not in self._data.columns:
                self.codes["usd_source"], self.words["usd_source"] = np.zeros(len(self.rows), dtype=np.intp), ["given"]
            rates = self.number("usd_rate")[self.rows]
            return np.where(rates > 0, rates, np.nan)
        names, codes = self.words["currency"], self.codes["currency"]
        self.words["usd_source"] = ["identity" if name == "USD" else PAR if name in USD_LIKE else "" for name in names]
        self.codes["usd_source"] = codes
        worth = np.array([1.0 if name in USD_LIKE else np.nan for name in names] or [np.nan])
        return self.pick(worth, codes).astype(np.float64)


class _Orders:
    """The orders that the trades of a tape belong to: by venue, instrument and side, in the order of their trades."""

    def __init__(self, tape: _Tape, gap_ms: float) -> None:
        self._tape = tape
        lane, told = _lanes(tape)
        order = np.lexsort((tape.time, lane))
        lane, told = lane[order], told[order]
        self._since = float(tape.time.min(initial=np.inf)) if len(order) else 0.0
        time = tape.time[order] - self._since
        gap = np.where(tape.flagged("bundled")[order], 0.0, gap_ms)
        self._span = float(time.max(initial=0.0)) + 1.0
        line = lane * (self._span + gap_ms) + time
        following = np.searchsorted(line, line + gap, side="right")
        following = np.where(told, np.searchsorted(lane, lane, side="right"), following)
        begins = _begins(following)
        last = np.append(begins[1:], len(order)) - 1 if len(begins) else begins
        self.first = order[begins]
        self.count = last - begins + 1
        self.start, self.end = (tape.time[order][at] for at in (begins, last))
        self.size, self.notional = (
            np.add.reduceat(column[order], begins) if len(begins) else np.zeros(0)
            for column in (tape.size, tape.notional)
        )
        self.rate = tape.rate[self.first]
        self.usd = self.notional * self.rate

    def before(self, chosen: Ints, window_ms: float) -> tuple[Ints, Ints, Floats]:
        """Return, for each chosen order, which of the values its market's orders before it had, and the values."""
        market = self._tape.market[self.first]
        known = np.flatnonzero(np.isfinite(self.usd))
        known = known[np.lexsort((self.end[known], market[known]))]
        line = market[known] * self._span + (self.end[known] - self._since)
        base, began = market[chosen] * self._span, self.start[chosen] - self._since
        low = np.searchsorted(line, base + np.maximum(began - window_ms, 0.0), side="left")
        high = np.searchsorted(line, base + began, side="left")
        return low, high, self.usd[known]


def _lanes(tape: _Tape) -> tuple[Ints, Bools]:
    """Return what trades have to share to be of one order, and whether that alone makes them one."""
    ids = tape.ids("order_id")
    return _distinct(tape.market, tape.codes["side"], ids)[2], ids >= 0


def _begins(following: Ints) -> Ints:
    """Return the rows that orders begin with, `following` being the first row that is not of an order begun there.

    Walked by doubling: in as many steps as the longest run of orders has bits, none of which is over rows.
    """
    count = len(following)
    if not count:
        return np.zeros(0, dtype=np.intp)
    jump = np.append(following, count)
    begins = np.zeros(count + 1, dtype=bool)
    # Nobody before such a row reaches over it: an order begins there for certain.
    reach = np.maximum.accumulate(following)
    begins[0] = True
    begins[1:count] = reach[:-1] <= np.arange(1, count)
    while True:
        known = np.flatnonzero(begins)
        begins[jump[known]] = True
        if np.count_nonzero(begins[:count]) == np.count_nonzero(known < count):
            return np.flatnonzero(begins[:count])
        jump = jump[jump]


def _distinct(*columns: np.ndarray[Any, Any]) -> tuple[int, Ints, Ints]:
    """Return how many distinct rows there are, where each is first, in order of appearance, and which each row is."""
    import pandas as pd

    key = np.zeros(len(columns[0]), dtype=np.intp)
    for column in columns:
        codes, words = pd.factorize(column)
        key, _ = pd.factorize(key * max(len(words), 1) + codes)
    count = int(key.max(initial=-1)) + 1
    first = np.full(count, len(key), dtype=np.intp)
    np.minimum.at(first, key, np.arange(len(key)))
    return count, first, key


def _medians(values: Floats, groups: Ints, count: int) -> Floats:
    """Return the median of each group's values, NaN where it has none."""
    known = np.flatnonzero(np.isfinite(values))
    ordered = known[np.lexsort((values[known], groups[known]))]
    sizes = np.bincount(groups[known], minlength=count)
    starts = np.cumsum(sizes) - sizes
    found = np.full(count, np.nan)
    some = np.flatnonzero(sizes)
    middle = [values[ordered[starts[some] + (sizes[some] - odd) // 2]] for odd in (1, 0)]
    found[some] = (middle[0] + middle[1]) / 2
    return found


def _floors(floor: Floors, bases: list[str]) -> Floats:
    """Return the least dollars of each base."""
    good: Callable[[float], bool] = lambda value: value > 0  # noqa: E731
    meaning = "dollars from which on a trade is large, above 0"
    if floor is None or isinstance(floor, Mapping):
        own = {
            **FLOORS_USD,
            **{base: check_number("floor", value, good, meaning) for base, value in (floor or {}).items()},
        }
        return np.array([own.get(base, FLOOR_USD) for base in bases] or [FLOOR_USD], dtype=np.float64)
    return np.full(max(len(bases), 1), check_number("floor", floor, good, meaning))


def _milliseconds(name: str, text: str) -> float:
    """Return a stretch of time that is written as pandas does."""
    import pandas as pd

    try:
        span = pd.Timedelta(text) / pd.Timedelta(milliseconds=1)
    except (TypeError, ValueError):
        span = np.nan
    if not span > 0:
        raise ConfigError(f"{name} is a stretch of time such as '1min' or '24h', not {text!r}")
    return float(span)


__all__ = ["floor_of", "net_flow", "walls", "whales"]
