"""The only place that names columns and their types, and the only one that makes a DataFrame.

Connectors answer with `Columns`: a dict of equally long sequences named by the schema, prices in quote
currency per one base unit, sizes in base units. Times are milliseconds since 1970 in UTC as floats (NaN is
absent) until `frame` turns them into ``datetime64[ms, UTC]``. A frame always has every column of its
schema, whatever the data held.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from math import nan
from numbers import Number
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from xex.errors import SchemaError
from xex.model.instruments import group_key

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, Any]

TIME = "datetime64[ms, UTC]"
TEXT = "str"
NUMBER = "float64"
FLAG = "bool"

_IDENTITY = {
    "exchange": TEXT, "venue": TEXT, "instrument": TEXT, "group": TEXT, "kind": TEXT,
    "base": TEXT, "quote": TEXT, "settle": TEXT,
}  # fmt: skip
_COMMON = {
    **_IDENTITY,
    "exchange_time": TIME, "received_time": TIME, "time_source": TEXT, "age_ms": NUMBER,
    "currency": TEXT, "fx_rate": NUMBER, "fx_source": TEXT, "fx_age_ms": NUMBER,
    "unit_rule": TEXT, "response_id": TEXT, "flags": TEXT,
}  # fmt: skip
_QUOTE = {
    "bid": NUMBER, "bid_size": NUMBER, "ask": NUMBER, "ask_size": NUMBER,
    "last": NUMBER, "open": NUMBER, "high": NUMBER, "low": NUMBER,
    "mark": NUMBER, "index": NUMBER, "base_volume": NUMBER, "quote_volume": NUMBER,
}  # fmt: skip

_WINDOW = {
    "group": TEXT, "exchange": TEXT, "currency": TEXT, "start": TIME, "end": TIME, "n_bars": NUMBER, "n_used": NUMBER,
}  # fmt: skip

SCHEMAS: Mapping[str, Mapping[str, str]] = {
    "tickers": {**_COMMON, **_QUOTE, "halted": FLAG, "taker_bps": NUMBER, "fee_source": TEXT},
    "books": {**_COMMON, "side": TEXT, "level": NUMBER, "price": NUMBER, "size": NUMBER, "censored": FLAG},
    "trades": {**_COMMON, "trade_id": TEXT, "side": TEXT, "price": NUMBER, "size": NUMBER, "notional": NUMBER},
    "funding": {
        **_COMMON,
        "rate": NUMBER, "rate_kind": TEXT, "interval_hours": NUMBER, "apr": NUMBER, "next_time": TIME,
        "mark": NUMBER, "index": NUMBER,
    },
    "open_interest": {**_COMMON, "oi_base": NUMBER, "oi_quote": NUMBER},
    "long_short": {**_COMMON, "ratio": NUMBER, "long_share": NUMBER, "short_share": NUMBER, "population": TEXT},
    "liquidations": {
        **_COMMON, "position_side": TEXT, "order_side": TEXT, "price": NUMBER, "price_kind": TEXT, "size": NUMBER,
        "notional": NUMBER, "source": TEXT, "complete": FLAG, "event_id": TEXT,
    },
    "liquidation_sums": {
        "group": TEXT, "currency": TEXT, "position_side": TEXT, "exchange": TEXT, "venue": TEXT, "source": TEXT,
        "start": TIME, "count": NUMBER, "base": NUMBER, "notional": NUMBER, "partial": FLAG, "complete": FLAG,
    },
    "whales": {
        "exchange": TEXT, "venue": TEXT, "instrument": TEXT, "group": TEXT, "base": TEXT, "quote": TEXT,
        "kind": TEXT, "source": TEXT, "side": TEXT, "price": NUMBER, "quantity": NUMBER, "notional": NUMBER,
        "currency": TEXT, "fx_rate": NUMBER, "usd_rate": NUMBER, "usd_source": TEXT, "notional_usd": NUMBER,
        "threshold": NUMBER, "threshold_usd": NUMBER, "threshold_by": TEXT, "quantile_usd": NUMBER,
        "prior_trades": NUMBER, "n_trades": NUMBER, "trade_id": TEXT, "start": TIME, "time": TIME,
        "distance_bps": NUMBER, "median_usd": NUMBER, "flags": TEXT,
    },
    "net_flow": {
        "time": TIME, "exchange": TEXT, "venue": TEXT, "instrument": TEXT, "group": TEXT, "base": TEXT, "quote": TEXT,
        "currency": TEXT, "buy": NUMBER, "sell": NUMBER, "unknown": NUMBER, "net": NUMBER, "net_usd": NUMBER,
        "n_trades": NUMBER,
    },
    "endpoints": {
        "name": TEXT, "path": TEXT, "plan": TEXT, "parameters": TEXT, "intervals": TEXT, "history": TEXT, "about": TEXT,
    },
    "reference": {
        "venue": TEXT, "id": TEXT, "symbol": TEXT, "price": NUMBER, "volume_usd": NUMBER, "oi_base": NUMBER,
        "oi_usd": NUMBER,
    },
    "doctor": {
        "exchange": TEXT, "venue": TEXT, "instrument": TEXT, "id": TEXT, "figure": TEXT,
        "ours_base": NUMBER, "theirs_base": NUMBER, "ratio_base": NUMBER,
        "ours_usd": NUMBER, "theirs_usd": NUMBER, "ratio_usd": NUMBER, "against_median": NUMBER,
        "verdict": TEXT, "detail": TEXT, "unit_rule": TEXT,
    },
    "instruments": {
        **_IDENTITY,
        "id": TEXT, "alias": TEXT, "expiry": TEXT, "expiry_time": TIME, "multiplier": NUMBER, "contract_size": NUMBER,
        "tick": NUMBER, "lot": NUMBER, "lot_quote": NUMBER, "min_amount": NUMBER, "min_notional": NUMBER,
        "taker_bps": NUMBER, "maker_bps": NUMBER, "fee_source": TEXT, "active": FLAG,
    },
    "snapshot": {
        **_COMMON, **_QUOTE,
        "price": NUMBER, "spread_bps": NUMBER, "premium_bps": NUMBER, "weight": NUMBER,
        "excluded_reason": TEXT, "latency_ms": NUMBER, "skew_ms": NUMBER, "liquidity_score": NUMBER,
        "taker_bps": NUMBER, "fee_source": TEXT, "substitute": FLAG,
    },
    "health": {
        "exchange": TEXT, "venue": TEXT, "status": TEXT, "why": TEXT, "since": TIME,
        "latency_p50": NUMBER, "latency_p95": NUMBER, "latency_p99": NUMBER, "uptime_percentage": NUMBER,
        "probed_s": NUMBER, "error_rate": NUMBER, "error_count": NUMBER, "success_count": NUMBER, "errors": TEXT,
        "last_error": TEXT, "skew_ms": NUMBER, "data_age_ms": NUMBER, "left_alone": TEXT, "in_flight": NUMBER,
        "venue_status": TEXT,
    },
    "health_history": {
        "time": TIME, "exchange": TEXT, "venue": TEXT, "before": TEXT, "status": TEXT, "why": TEXT,
    },
    "plan": {
        "exchange": TEXT, "venue": TEXT, "host": TEXT, "budget": TEXT, "of": TEXT, "requests": NUMBER, "weight": NUMBER,
        "limit": NUMBER, "window_s": NUMBER, "used": NUMBER, "wait_s": NUMBER, "duration_s": NUMBER, "unfit": NUMBER,
    },
    "addresses": {
        "exchange": TEXT, "venue": TEXT, "code": TEXT, "asset": TEXT, "network": TEXT, "address": TEXT, "source": TEXT,
    },
    "networks": {
        "exchange": TEXT, "venue": TEXT, "asset": TEXT, "network": TEXT, "code": TEXT, "venue_network": TEXT,
        "contract": TEXT, "deposit": TEXT, "withdraw": TEXT, "withdraw_fee": NUMBER, "withdraw_min": NUMBER,
        "confirmations": NUMBER, "source": TEXT, "reason": TEXT, "received_time": TIME, "response_id": TEXT,
    },
    "routes": {
        "asset": TEXT, "exchange_from": TEXT, "exchange_to": TEXT, "network": TEXT, "state": TEXT,
        "withdraw_fee": NUMBER, "withdraw_min": NUMBER, "minutes": NUMBER, "reason": TEXT, "received_time": TIME,
    },
    "universe": {
        "group": TEXT, "base": TEXT, "kind": TEXT, "expiry": TEXT, "n_venues": NUMBER, "exchanges": TEXT,
        "price": NUMBER, "dispersion_bps": NUMBER, "base_volume": NUMBER, "quote_volume": NUMBER, "currency": TEXT,
        "volume_partial": TEXT, "excluded": TEXT,
    },
    "aggregate": {
        "group": TEXT, "currency": TEXT, "price": NUMBER, "price_variance": NUMBER, "price_var_sq": NUMBER,
        "dispersion_bps": NUMBER, "range_bps": NUMBER, "mad_bps": NUMBER, "arb_index": NUMBER,
        "n_asked": NUMBER, "n_used": NUMBER, "flags": TEXT, "dispersion_z": NUMBER,
    },
    "pairwise": {"group": TEXT, "currency": TEXT, "exchange": TEXT, "other": TEXT, "gap_bps": NUMBER},
    "gaps": {
        "exchange": TEXT, "group": TEXT, "currency": TEXT, "price": NUMBER, "mark_gap_bps": NUMBER,
        "index_gap_bps": NUMBER, "excluded_reason": TEXT,
    },
    "series": {
        "time": TIME, "group": TEXT, "currency": TEXT, "price": NUMBER, "price_variance": NUMBER,
        "dispersion_bps": NUMBER, "range_bps": NUMBER, "n_asked": NUMBER, "n_used": NUMBER, "flags": TEXT,
    },
    "depeg": {
        "time": TIME, "group": TEXT, "currency": TEXT, "price": NUMBER, "at_par": NUMBER, "gap_bps": NUMBER,
        "price_variance": NUMBER, "dispersion_bps": NUMBER, "range_bps": NUMBER, "n_asked": NUMBER, "n_used": NUMBER,
        "flags": TEXT,
    },
    "contributions": {
        "exchange": TEXT, "group": TEXT, "currency": TEXT, "price": NUMBER, "weight": NUMBER,
        "age_ms": NUMBER, "excluded_reason": TEXT,
    },
    "opportunities": {
        "symbol": TEXT, "group": TEXT, "trade": TEXT, "exchange_low": TEXT, "exchange_high": TEXT,
        "price_low": NUMBER, "price_high": NUMBER, "price_difference": NUMBER, "price_difference_pct": NUMBER,
        "net_bps": NUMBER, "gross_profit": NUMBER, "net_profit": NUMBER, "net_profit_pct": NUMBER,
        "quantity": NUMBER, "notional": NUMBER, "fees": NUMBER, "currency": TEXT, "fx_rate": NUMBER,
        "age_ms": NUMBER, "haircut_bps": NUMBER, "chance": NUMBER, "funding_per_day": NUMBER, "mode": TEXT,
        "transfer": TEXT, "network": TEXT, "transfer_minutes": NUMBER, "sized_by": TEXT, "executable": FLAG,
        "gate": TEXT, "reasons": TEXT,
    },
    "lifetimes": {
        "symbol": TEXT, "group": TEXT, "exchange_low": TEXT, "exchange_high": TEXT, "first_seen": TIME,
        "last_seen": TIME, "looks": NUMBER, "count": NUMBER, "in_a_row": NUMBER, "best_net_bps": NUMBER,
        "last_net_bps": NUMBER, "half_life_s": NUMBER, "alive": FLAG,
    },
    "depth": {
        "group": TEXT, "currency": TEXT, "quantity": NUMBER, "gross_profit": NUMBER, "net_profit": NUMBER,
        "notional": NUMBER, "fees": NUMBER, "clearing_price": NUMBER, "gate": TEXT,
    },
    "legs": {
        "group": TEXT, "currency": TEXT, "exchange": TEXT, "side": TEXT, "quantity": NUMBER, "price": NUMBER,
        "worst_price": NUMBER, "notional": NUMBER, "fees": NUMBER,
    },
    "transport": {
        "group": TEXT, "currency": TEXT, "exchange_low": TEXT, "exchange_high": TEXT, "quantity": NUMBER,
        "arriving": NUMBER, "price_low": NUMBER, "price_high": NUMBER, "notional": NUMBER, "fees": NUMBER,
        "transfer_cost": NUMBER, "net_profit": NUMBER,
    },
    "carry": {
        "group": TEXT, "exchange_long": TEXT, "exchange_short": TEXT, "rate_kind": TEXT,
        "rate_long": NUMBER, "interval_hours_long": NUMBER, "rate_short": NUMBER, "interval_hours_short": NUMBER,
        "per_hour_bps": NUMBER, "per_day_bps": NUMBER, "apr": NUMBER, "fees_bps": NUMBER, "spread_bps": NUMBER,
        "break_even_hours": NUMBER, "age_ms": NUMBER,
    },
    "cycles": {
        "legs": TEXT, "path": TEXT, "n_legs": NUMBER, "exchanges": TEXT, "gross_bps": NUMBER, "net_bps": NUMBER,
        "quantity": NUMBER, "profit": NUMBER, "currency": TEXT, "amounts": TEXT, "age_ms": NUMBER,
        "haircut_bps": NUMBER, "mode": TEXT, "executable": FLAG, "gate": TEXT, "reasons": TEXT,
    },
    "liquidity": {
        "group": TEXT, "exchange": TEXT, "notional": NUMBER, "cost_bps": NUMBER, "score": NUMBER,
        "censored": FLAG,
    },
    "liquidity_depth": {
        "group": TEXT, "exchange": TEXT, "bps": NUMBER, "bid_base": NUMBER, "ask_base": NUMBER,
        "bid_notional": NUMBER, "ask_notional": NUMBER, "spread_bps": NUMBER, "censored": FLAG,
    },
    "amihud": {**_WINDOW, "amihud": NUMBER, "flags": TEXT},
    "abdi_ranaldo": {**_WINDOW, "abdi_ranaldo_bps": NUMBER, "flags": TEXT},
    "corwin_schultz": {**_WINDOW, "corwin_schultz_bps": NUMBER, "flags": TEXT},
    "volume_shares": {
        "group": TEXT, "exchange": TEXT, "base_volume": NUMBER, "quote": TEXT, "quote_volume": NUMBER,
        "currency": TEXT, "volume": NUMBER, "share": NUMBER, "flags": TEXT,
    },
    "volume_total": {
        "group": TEXT, "currency": TEXT, "base_volume": NUMBER, "volume": NUMBER, "n_venues": NUMBER,
        "hhi": NUMBER, "top": TEXT, "volume_partial": TEXT, "flags": TEXT,
    },
}  # fmt: skip


MOST_REPEATED = 1024
"""Up to how many rows a column that says the same in every row is kept as a pandas array."""


class Words:
    """Distinct texts that columns refer to; the pandas array of them is made once."""

    __slots__ = ("_array", "texts")

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self._array: Any = None

    def array(self) -> Any:
        """Return the texts as a pandas array of text."""
        if self._array is None:
            import pandas as pd

            self._array = pd.array([text or None for text in self.texts], dtype="str")
        return self._array


@lru_cache(maxsize=512)
def _word(text: str) -> Words:
    return Words([text])


@lru_cache(maxsize=256)
def _together(*words: Words) -> tuple[Words, tuple[int, ...]]:
    """Return several lists of words as one, and where each begins in it."""
    starts = [0]
    for one in words:
        starts.append(starts[-1] + len(one.texts))
    return Words([text for one in words for text in one.texts]), tuple(starts)


@lru_cache(maxsize=64)
def _zeros(rows: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the codes of columns that say the same in every row: one array for all of them, never written to."""
    codes = np.zeros(rows, dtype=np.intp)
    codes.flags.writeable = False
    return codes


@lru_cache(maxsize=256)
def _repeated(words: Words, rows: int) -> Any:
    """Return the pandas array of a column that says the same in every row; the same few make up most of a frame."""
    import pandas as pd

    # Half the price of an array of one word and a `take`, and most words of a new question are new.
    return pd.array(np.full(rows, words.texts[0] or None, dtype=object), dtype="str")


class Text:
    """A text column by reference: which word each row has. A whole market costs no loop over rows."""

    __slots__ = ("codes", "words")

    def __init__(self, words: Words, codes: np.ndarray[Any, Any]) -> None:
        self.words, self.codes = words, codes

    @classmethod
    def same(cls, text: str, rows: int) -> Text:
        """Return a column with one text in every row."""
        return cls(_word(text), _zeros(rows))

    @classmethod
    def joined(cls, columns: Sequence[Text]) -> Text:
        """Return the rows of several columns below one another."""
        words, starts = _together(*(column.words for column in columns))
        codes = [column.codes + start for column, start in zip(columns, starts, strict=False)]
        return cls(words, np.concatenate(codes))

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice | np.ndarray[Any, Any]) -> Text: ...
    def __getitem__(self, place: int | slice | np.ndarray[Any, Any]) -> str | Text:
        if isinstance(place, (slice, np.ndarray)):
            return Text(self.words, self.codes[place])
        return self.words.texts[int(self.codes[place])]

    def tolist(self) -> list[str]:
        """Return the rows' texts."""
        known = self.words.texts
        return [known[code] for code in self.codes.tolist()]

    def array(self) -> Any:
        """Return the rows as a pandas array of text."""
        if len(self.words.texts) == 1 and len(self.codes) <= MOST_REPEATED:
            return _repeated(self.words, len(self.codes)).copy()
        return self.words.array().take(self.codes)


def length(columns: Columns) -> int:
    """Return the number of rows."""
    return len(next(iter(columns.values()))) if columns else 0


def checked(columns: object, kind: str) -> Columns:
    """Return what a connector answered if it is columns of the schema, numbers as arrays, all of one length.

    Raises `SchemaError`, or a ValueError for a number that is none.
    """
    if not isinstance(columns, dict):
        raise SchemaError(f"{kind} are a dict of columns, not {type(columns).__name__}")
    if unknown := [str(name) for name in columns if name not in SCHEMAS[kind]]:
        raise SchemaError(f"{', '.join(unknown)}: no column of {kind}")
    rows = length(columns)
    if rows and "instrument" in SCHEMAS[kind] and "instrument" not in columns:
        raise SchemaError(f"{kind} lack the column instrument")
    for name, values in columns.items():
        if len(values) != rows or (isinstance(values, np.ndarray) and values.ndim != 1):
            raise SchemaError(f"{name} has not one value for each of {rows} rows")
    return {
        name: np.asarray(values, dtype=np.float64) if SCHEMAS[kind][name] in {NUMBER, TIME} else values
        for name, values in columns.items()
    }


def numbers(columns: Columns, name: str, absent: float = np.nan) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a number column as float64; absent columns are filled with `absent`."""
    values = columns.get(name)
    if values is None:
        return np.full(length(columns), absent)
    return np.asarray(values, dtype=np.float64)


def texts(columns: Columns, name: str, absent: str = "") -> list[str]:
    """Return a text column as a list; absent columns, and cells of arrays, become `absent`."""
    values = columns.get(name)
    if values is None:
        return [absent] * length(columns)
    if isinstance(values, list):
        return values
    if isinstance(values, Text):
        return values.tolist()
    return [value if isinstance(value, str) else absent for value in values]


def coded(columns: Columns, name: str) -> tuple[list[str], np.ndarray[Any, np.dtype[np.intp]]]:
    """Return a text column as distinct words and which of them each row has; absent is ""."""
    values = columns.get(name)
    if not isinstance(values, Text):
        rows = texts(columns, name)
        order = {word: code for code, word in enumerate(dict.fromkeys(rows))}
        return list(order), np.fromiter(map(order.__getitem__, rows), dtype=np.intp, count=len(rows))
    # Columns that were put together may have the same word twice.
    words = values.words.texts
    order = {word: code for code, word in enumerate(dict.fromkeys(words))}
    known = np.array([order[word] for word in words], dtype=np.intp)
    return list(order), known[values.codes] if len(known) else np.zeros(0, dtype=np.intp)


def flags(columns: Columns, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return a flag column as bool; absent is False."""
    values = columns.get(name)
    if values is None:
        return np.zeros(length(columns), dtype=bool)
    return np.asarray(values, dtype=bool)


def take(columns: Columns, rows: Sequence[int] | np.ndarray[Any, Any]) -> Columns:
    """Return the given rows of every column."""
    picked = np.asarray(rows)
    if picked.dtype == bool:
        picked = np.flatnonzero(picked)
    elif not picked.size:
        picked = picked.astype(np.intp)
    taken: Columns = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            taken[name] = values[picked]
        elif isinstance(values, Text):
            taken[name] = Text(values.words, values.codes[picked])
        else:
            taken[name] = [values[row] for row in picked.tolist()]
    return taken


def concat(parts: Iterable[Columns], kind: str) -> Columns:
    """Put the rows of several `Columns` of one schema below one another."""
    given = [part for part in parts if part and length(part)]
    schema = SCHEMAS[kind]
    joined: Columns = {}
    if len(given) == 1 and given[0].keys() <= schema.keys():
        return dict(given[0])
    names = dict.fromkeys(column for part in given for column in part)
    if unknown := [name for name in names if name not in schema]:
        raise SchemaError(f"{unknown[0]!r} is no column of {kind}")
    if given and all(length(part) == 1 for part in given):
        return {name: _single_rows(given, name, schema[name]) for name in names}
    for name in names:
        if schema[name] == TEXT:
            joined[name] = _joined_text(given, name)
        elif schema[name] == FLAG:
            joined[name] = np.concatenate([flags(part, name) for part in given])
        else:
            joined[name] = np.concatenate([numbers(part, name) for part in given])
    return joined


def _single_rows(given: Sequence[Columns], name: str, dtype: str) -> Any:
    """Return a column of parts that have one row each: one per venue is what most questions put together."""
    cells = [part[name][0] if name in part else None for part in given]
    if dtype == TEXT:
        return [cell if isinstance(cell, str) else "" for cell in cells]
    if dtype == FLAG:
        return np.array([bool(cell) for cell in cells])
    return np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)


def _joined_text(given: Sequence[Columns], name: str) -> Text | list[str]:
    columns = [part.get(name, Text.same("", length(part))) for part in given]
    if all(isinstance(column, Text) for column in columns):
        return Text.joined(columns)
    return [cell for part in given for cell in texts(part, name)]


def frame(columns: Columns, kind: str | Mapping[str, str]) -> pd.DataFrame:
    """Make the DataFrame of a schema, ours by name or a connector's own: every column, in its order, with its type."""
    import pandas as pd

    schema = SCHEMAS[kind] if isinstance(kind, str) else kind
    if unknown := set(columns) - set(schema):
        raise SchemaError(f"{', '.join(sorted(unknown))}: no column of {kind if isinstance(kind, str) else 'these'}")
    rows = length(columns)
    if any(len(values) != rows for values in columns.values()):
        raise SchemaError(f"columns differ in length: { {name: len(v) for name, v in columns.items()} }")
    return pd.DataFrame({name: _series(columns, name, dtype, rows) for name, dtype in schema.items()})


def _series(columns: Columns, name: str, dtype: str, rows: int) -> Any:
    import pandas as pd

    values = columns.get(name)
    if dtype == NUMBER:
        return np.full(rows, np.nan) if values is None else np.asarray(values, dtype=np.float64)
    if dtype == FLAG:
        return np.zeros(rows, dtype=bool) if values is None else np.asarray(values, dtype=bool)
    if dtype == TIME:
        stamps = np.full(rows, np.nan) if values is None else np.asarray(values, dtype=np.float64)
        known = np.isfinite(stamps)
        if known.all():
            times = np.round(stamps).astype("int64").astype("datetime64[ms]")
        else:
            times = np.full(rows, np.datetime64("NaT", "ms"), dtype="datetime64[ms]")
            times[known] = np.round(stamps[known]).astype("int64").astype("datetime64[ms]")
        return pd.array(times, dtype=_utc())
    if values is None:
        return Text.same("", rows).array()
    if isinstance(values, Text):
        return values.array()
    return pd.array([value or None for value in values], dtype="str")


@lru_cache(maxsize=1)
def _utc() -> Any:
    import pandas as pd

    return pd.DatetimeTZDtype("ms", "UTC")


def check(data: pd.DataFrame, required: Iterable[str], what: str) -> None:
    """Raise a `SchemaError` that names the columns `what` needs and the frame lacks."""
    if not hasattr(data, "columns"):
        raise SchemaError(f"{what} takes a pandas DataFrame, not {type(data).__name__}")
    _unambiguous(data)
    names = list(required)
    if missing := [name for name in names if name not in data.columns]:
        raise SchemaError(f"{what} needs the column(s) {', '.join(missing)}; the frame has {list(data.columns)}")
    numeric = {**SCHEMAS["tickers"], **SCHEMAS["books"], **SCHEMAS["instruments"]}
    for name in names:
        if numeric.get(name) == NUMBER and data[name].dtype.kind not in "fiub":
            raise SchemaError(f"{what}: the column {name} holds {data[name].dtype}, numbers are expected")


def quotes_of(data: pd.DataFrame, what: str) -> Columns:
    """Return a frame of quotes as columns; raise a `SchemaError` where it lacks what every analysis of them needs."""
    check(data, ("exchange", "bid", "ask"), what)
    if "group" not in data.columns:
        check(data, ("base",), what)
    return columns_of(data)


def columns_of(data: pd.DataFrame, names: Iterable[str] | None = None) -> Columns:
    """Return a frame's columns as arrays and lists: the way back from `frame`.

    An absent `group` is derived from base, kind and expiry, an absent `currency` from quote; of columns by `names`
    only where it is among them.
    """
    import pandas as pd

    _unambiguous(data)
    asked = None if names is None else list(names)
    wanted = list(data.columns) if asked is None else [name for name in asked if name in data.columns]
    taken: Columns = {}
    for name in wanted:
        series = data[name]
        if isinstance(series.dtype, pd.DatetimeTZDtype):
            taken[name] = _milliseconds(series)
        elif series.dtype == bool:
            taken[name] = series.to_numpy()
        elif _kinds().get(name) == FLAG:
            taken[name] = _flags_of(series)
        elif pd.api.types.is_numeric_dtype(series.dtype):
            taken[name] = series.to_numpy(dtype=np.float64, na_value=np.nan)
        elif _kinds().get(name) in {NUMBER, TIME}:
            taken[name] = _numbers_of(series)
        elif isinstance(series.dtype, pd.StringDtype):
            found, words = pd.factorize(series)
            taken[name] = Text(Words([*words, ""]), np.where(found < 0, len(words), found))
        else:
            taken[name] = [cell if isinstance(cell, str) else "" for cell in series.to_numpy(dtype=object)]
    _derive(taken, data, {"group", "currency"} if asked is None else asked)
    return taken


def _unambiguous(data: pd.DataFrame) -> None:
    if not data.columns.is_unique:
        twice = list(dict.fromkeys(map(str, data.columns[data.columns.duplicated()])))
        raise SchemaError(f"the frame has the column(s) {', '.join(twice)} more than once; keep one of each")


@lru_cache(maxsize=1)
def _kinds() -> Mapping[str, str]:
    """Return what a column holds, by its name, where all schemas agree."""
    found: dict[str, set[str]] = {}
    for one in SCHEMAS.values():
        for name, dtype in one.items():
            found.setdefault(name, set()).add(dtype)
    return {name: dtypes.pop() for name, dtypes in found.items() if len(dtypes) == 1}


def _flags_of(series: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return flags that are no pure bool, as after putting frames together: missing is False."""
    cells = [False if missing else cell for cell, missing in zip(series.tolist(), series.isna().tolist(), strict=True)]
    if strange := [cell for cell in cells if not isinstance(cell, (Number, np.bool_)) or cell not in {0, 1}]:
        raise SchemaError(f"the column {series.name} holds {strange[0]!r}; True or False is expected")
    return np.array(cells, dtype=bool)


def _numbers_of(series: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return numbers that came as objects, such as Decimal or None; what is none is named."""
    cells = [nan if missing else cell for cell, missing in zip(series.tolist(), series.isna().tolist(), strict=True)]
    cells = [1e3 * cell.timestamp() if isinstance(cell, datetime) and cell.tzinfo else cell for cell in cells]
    strange = [cell for cell in cells if not isinstance(cell, Number)]
    if not strange:
        return np.array([float(cell) for cell in cells], dtype=np.float64)
    what = f"the column {series.name} holds {strange[0]!r} ({series.dtype})"
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "M":
        raise SchemaError(f"{what}, without a time zone; tz_localize('UTC') if that is what it is")
    expected = "times with a time zone" if _kinds()[str(series.name)] == TIME else "numbers"
    raise SchemaError(f"{what}; {expected} are expected")


def codes(data: pd.DataFrame, name: str) -> tuple[np.ndarray[Any, np.dtype[np.intp]], list[str]]:
    """Return a text column as codes, from 0 in order of appearance, and the texts that they stand for.

    `group` and `currency` are derived as in `columns_of`; any other absent column is one empty text. For frames of so
    many rows that a text for each would be slow.
    """
    import pandas as pd

    if name == "currency" and name not in data.columns:
        return codes(data, "quote")
    if name == "group" and name not in data.columns:
        return _derived_groups(data)
    if name not in data.columns:
        return np.zeros(len(data), dtype=np.intp), [""] if len(data) else []
    found, words = pd.factorize(data[name], use_na_sentinel=False)
    return found, [word if isinstance(word, str) else "" for word in words]


def _derived_groups(data: pd.DataFrame) -> tuple[np.ndarray[Any, np.dtype[np.intp]], list[str]]:
    import pandas as pd

    parts = [codes(data, name) for name in ("base", "kind", "expiry")]
    key = np.zeros(len(data), dtype=np.intp)
    for found, words in parts:
        key = key * len(words) + found
    of, _ = pd.factorize(key)
    _, first = np.unique(of, return_index=True)
    cells = [[words[code] for code in found[first].tolist()] for found, words in parts]
    return of, [group_key(base, kind or "spot", expiry) for base, kind, expiry in zip(*cells, strict=True)]


def _milliseconds(series: pd.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    stamps = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[ms]")
    milliseconds = np.asarray(stamps.astype("int64"), dtype=np.float64)
    milliseconds[np.isnat(stamps)] = np.nan
    return milliseconds


def _derive(taken: Columns, data: pd.DataFrame, wanted: Collection[str]) -> None:
    rows = len(data)
    if "group" in wanted and "group" not in data.columns:
        bases = list(data["base"]) if "base" in data.columns else [""] * rows
        kinds = list(data["kind"]) if "kind" in data.columns else ["spot"] * rows
        expiries = list(data["expiry"]) if "expiry" in data.columns else [""] * rows
        taken["group"] = [
            group_key(str(base), str(kind), expiry if isinstance(expiry, str) else "")
            for base, kind, expiry in zip(bases, kinds, expiries, strict=True)
        ]
    if "currency" in wanted and "currency" not in data.columns:
        quotes = list(data["quote"]) if "quote" in data.columns else [""] * rows
        taken["currency"] = [quote if isinstance(quote, str) else "" for quote in quotes]
