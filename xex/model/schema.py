"""The only place that names columns and their types, and the only one that makes a DataFrame.

Connectors answer with `Columns`: a dict of equally long sequences named by the schema, prices in quote
currency per one base unit, sizes in base units. Times are milliseconds since 1970 in UTC as floats (NaN is
absent) until `frame` turns them into ``datetime64[ms, UTC]``. A frame always has every column of its
schema, whatever the data held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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

SCHEMAS: Mapping[str, Mapping[str, str]] = {
    "tickers": {**_COMMON, **_QUOTE, "halted": FLAG, "taker_bps": NUMBER, "fee_source": TEXT},
    "books": {**_COMMON, "side": TEXT, "level": NUMBER, "price": NUMBER, "size": NUMBER, "censored": FLAG},
    "instruments": {
        **_IDENTITY,
        "id": TEXT, "expiry": TEXT, "multiplier": NUMBER, "contract_size": NUMBER,
        "tick": NUMBER, "lot": NUMBER, "min_amount": NUMBER, "min_notional": NUMBER,
        "taker_bps": NUMBER, "maker_bps": NUMBER, "fee_source": TEXT, "active": FLAG,
    },
    "snapshot": {
        **_COMMON, **_QUOTE,
        "price": NUMBER, "spread_bps": NUMBER, "premium_bps": NUMBER, "weight": NUMBER,
        "excluded_reason": TEXT, "latency_ms": NUMBER, "skew_ms": NUMBER, "liquidity_score": NUMBER,
        "taker_bps": NUMBER, "fee_source": TEXT, "substitute": FLAG,
    },
    "aggregate": {
        "group": TEXT, "currency": TEXT, "price": NUMBER, "price_variance": NUMBER, "price_var_sq": NUMBER,
        "dispersion_bps": NUMBER, "range_bps": NUMBER, "mad_bps": NUMBER, "arb_index": NUMBER,
        "n_asked": NUMBER, "n_used": NUMBER, "flags": TEXT,
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
        "age_ms": NUMBER, "haircut_bps": NUMBER, "mode": TEXT, "transfer": TEXT, "executable": FLAG,
        "gate": TEXT, "reasons": TEXT,
    },
    "depth": {
        "group": TEXT, "currency": TEXT, "quantity": NUMBER, "gross_profit": NUMBER, "net_profit": NUMBER,
        "notional": NUMBER, "fees": NUMBER, "clearing_price": NUMBER,
    },
    "liquidity": {
        "group": TEXT, "exchange": TEXT, "notional": NUMBER, "cost_bps": NUMBER, "score": NUMBER,
        "censored": FLAG,
    },
}  # fmt: skip


def length(columns: Columns) -> int:
    """Return the number of rows; columns of different lengths are an error."""
    sizes = {len(values) for values in columns.values()}
    if len(sizes) > 1:
        raise SchemaError(f"columns differ in length: { {name: len(v) for name, v in columns.items()} }")
    return sizes.pop() if sizes else 0


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
    return [value if isinstance(value, str) else absent for value in values]


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
    taken: Columns = {}
    for name, values in columns.items():
        array = isinstance(values, np.ndarray)
        taken[name] = values[picked] if array else [values[row] for row in picked.tolist()]
    return taken


def concat(parts: Iterable[Columns], kind: str) -> Columns:
    """Put the rows of several `Columns` of one schema below one another."""
    given = [part for part in parts if part and length(part)]
    schema = SCHEMAS[kind]
    joined: Columns = {}
    if len(given) == 1 and given[0].keys() <= schema.keys():
        return dict(given[0])
    for name in {column for part in given for column in part}:
        if name not in schema:
            raise SchemaError(f"{name!r} is no column of {kind}")
        if schema[name] == TEXT:
            joined[name] = [cell for part in given for cell in texts(part, name)]
        elif schema[name] == FLAG:
            joined[name] = np.concatenate([flags(part, name) for part in given])
        else:
            joined[name] = np.concatenate([numbers(part, name) for part in given])
    return joined


def frame(columns: Columns, kind: str) -> pd.DataFrame:
    """Make the DataFrame of a schema: every column, in its order, with its type."""
    import pandas as pd

    schema = SCHEMAS[kind]
    if unknown := set(columns) - set(schema):
        raise SchemaError(f"{', '.join(sorted(unknown))}: no column of {kind}")
    rows = length(columns)
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
        times = np.full(rows, np.datetime64("NaT"), dtype="datetime64[ms]")
        times[known] = np.round(stamps[known]).astype("int64").astype("datetime64[ms]")
        return pd.Series(times).dt.tz_localize("UTC")
    if values is None:
        return pd.array([None] * rows, dtype="str")
    if isinstance(values, pd.Categorical):
        return values.astype("str")
    return pd.array([value or None for value in values], dtype="str")


def check(data: pd.DataFrame, required: Iterable[str], what: str) -> None:
    """Raise a `SchemaError` that names the columns `what` needs and the frame lacks."""
    if not hasattr(data, "columns"):
        raise SchemaError(f"{what} takes a pandas DataFrame, not {type(data).__name__}")
    if missing := [name for name in required if name not in data.columns]:
        raise SchemaError(f"{what} needs the column(s) {', '.join(missing)}; the frame has {list(data.columns)}")


def columns_of(data: pd.DataFrame, names: Iterable[str] | None = None) -> Columns:
    """Return a frame's columns as arrays and lists: the way back from `frame`.

    An absent `group` is derived from base, kind and expiry, an absent `currency` from quote.
    """
    import pandas as pd

    wanted = list(data.columns) if names is None else [name for name in names if name in data.columns]
    taken: Columns = {}
    for name in wanted:
        series = data[name]
        if isinstance(series.dtype, pd.DatetimeTZDtype):
            taken[name] = _milliseconds(series)
        elif series.dtype == bool:
            taken[name] = series.to_numpy()
        elif pd.api.types.is_numeric_dtype(series.dtype):
            taken[name] = series.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            taken[name] = [cell if isinstance(cell, str) else "" for cell in series]
    _derive(taken, data)
    return taken


def _milliseconds(series: pd.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    stamps = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[ms]")
    milliseconds = np.asarray(stamps.astype("int64"), dtype=np.float64)
    milliseconds[np.isnat(stamps)] = np.nan
    return milliseconds


def _derive(taken: Columns, data: pd.DataFrame) -> None:
    rows = len(data)
    if "group" not in data.columns:
        bases = list(data["base"]) if "base" in data.columns else [""] * rows
        kinds = list(data["kind"]) if "kind" in data.columns else ["spot"] * rows
        expiries = list(data["expiry"]) if "expiry" in data.columns else [""] * rows
        taken["group"] = [
            group_key(str(base), str(kind), expiry if isinstance(expiry, str) else "")
            for base, kind, expiry in zip(bases, kinds, expiries, strict=True)
        ]
    if "currency" not in data.columns:
        quotes = list(data["quote"]) if "quote" in data.columns else [""] * rows
        taken["currency"] = [quote if isinstance(quote, str) else "" for quote in quotes]
