"""From bytes to columns, without I/O.

An error comes as a code inside an answer with HTTP 200 as often as with a status of its own. Numbers come as numbers or
as text, keys are missing where nothing is known, and times are seconds or milliseconds: none of it stops a row. What
has not even the keys that tell rows apart is no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from xex.errors import AuthRejected, BadPayload, HttpError
from xex.model import schema
from xex.model.schema import TEXT, TIME, Columns
from xex_connectors.coinglass.endpoints import VENUES, Endpoint, Field
from xex_connectors.coinglass.refusals import refusal
from xex_connectors.mapping import LARGEST, decode, number

Row = Mapping[str, Any]


class Table(dict[str, Any]):
    """The columns of one answer: arrays of numbers and of times (Unix ms), lists of text, all of one length.

    They are those of the endpoint's schema, whatever came, also when nothing did. `frame()` is the same as a DataFrame.
    """

    def __init__(self, columns: Columns, endpoint: Endpoint) -> None:
        super().__init__(columns)
        self.endpoint = endpoint

    def frame(self) -> Any:
        """Return a DataFrame, times as UTC; loads pandas."""
        return schema.frame(self, self.endpoint.schema)


def data_of(body: bytes, status: int = 200) -> Any:
    """Return what an answer holds, None where it holds nothing; raise what its code, else its status, means."""
    try:
        answer = decode(body)
    except BadPayload:
        if status == 200:
            raise
        answer = None
    if isinstance(answer, Mapping) and "code" in answer:
        code, words = str(answer["code"]), str(answer.get("msg") or "no reason given")
        if code == "0" and status == 200:
            return answer.get("data")
        raise refusal(str(status) if code == "0" else code, words)
    if status == 200:
        raise BadPayload("the answer has no code")
    if status == 401:
        raise AuthRejected(f"HTTP {status}: the key was not accepted")
    raise HttpError(f"HTTP {status}", status=status)


# --- shapes: whatever comes as flat rows -------------------------------------------------------------------------


def _listed(data: Any, what: str = "a list") -> list[Any]:
    if data is None or data == {}:
        return []
    if not isinstance(data, list):
        raise BadPayload(f"{what} was expected, {type(data).__name__} came")
    return data


def _mapped(data: Any) -> Row:
    if not isinstance(data, Mapping):
        raise BadPayload(f"an object was expected, {type(data).__name__} came")
    return data


def _rows(data: Any) -> list[Row]:
    """Return a list of rows; one object is one row."""
    if isinstance(data, Mapping):
        return [data] if data else []
    return [row for row in _listed(data, "a list of rows") if isinstance(row, Mapping)]


def _words(data: Any) -> list[Row]:
    words = [word for word in _listed(data) if isinstance(word, str)]
    return [{"symbol": word, "exchange": word} for word in words]


def _by_exchange(data: Any) -> list[Row]:
    """Return rows that stand in a list for each exchange."""
    if not data:
        return []
    return [{**row, "exchange": name} for name, rows in _mapped(data).items() for row in _rows(rows)]


def _totals(data: Any) -> list[Row]:
    """Return an object's own figures as those of the exchange All, and its list of exchanges below."""
    if not data:
        return []
    whole = dict(_mapped(data))
    rows = _rows(whole.pop("exchange_list", None))
    symbol = whole.get("symbol")
    made: list[Row] = [{**whole, "exchange": "All"}]
    return made + [{"symbol": symbol, **row} for row in rows]


def _margins(data: Any) -> list[Row]:
    """Return a row for each coin, margin and exchange."""
    return [
        {**inner, "symbol": row.get("symbol"), "margin": margin}
        for row in _rows(data)
        for margin in ("stablecoin", "token")
        for inner in _rows(row.get(f"{margin}_margin_list"))
    ]


def _chart(data: Any) -> list[Row]:
    """Return parallel lists, an exchange's values each, as rows; a list that is shorter ends earlier."""
    made: list[Row] = []
    for chart in _rows(data):
        times, prices = _listed(chart.get("time_list")), _listed(chart.get("price_list"))
        prices = prices + [None] * (len(times) - len(prices))
        for name, values in _mapped(chart.get("data_map") or {}).items():
            cells = zip(times, prices, _listed(values), strict=False)
            made += [{"time": time, "price": price, "value": cell, "exchange": name} for time, price, cell in cells]
    return made


def _map(data: Any) -> list[Row]:
    """Return levels that stand in lists for each price, inside a second `data` as a rule."""
    if not data:
        return []
    found = _mapped(data)
    levels = _mapped(found.get("data", found) or {})
    cells = [cell for rows in levels.values() for cell in _listed(rows) if isinstance(cell, list)]
    return [dict(zip(("price", "value", "leverage"), cell, strict=False)) for cell in cells]


def _paged(data: Any) -> list[Row]:
    if not data:
        return []
    page = _mapped(data)
    about = {"total_pages": page.get("total_pages"), "current_page": page.get("current_page")}
    return [{**row, **about} for row in _rows(page.get("list"))]


def _wallet(data: Any) -> list[Row]:
    """Return a row for each position with the account's figures; one without a position where there is none."""
    if not data:
        return []
    account = _mapped(data)
    held = [row.get("position") or {} for row in _rows(account.get("asset_positions"))]
    types = [row.get("type") for row in _rows(account.get("asset_positions"))]
    rows = [{**account, **_mapped(one), "type": kind} for one, kind in zip(held, types, strict=True)]
    return [*rows] or [account]


def _book(data: Any) -> list[Row]:
    """Return the levels of books over time, each with its side."""
    made: list[Row] = []
    for row in _listed(data):
        if isinstance(row, list) and len(row) >= 3:
            first, second = (_levels(side) for side in row[1:3])
            for side, levels in zip(sides(first, second), (first, second), strict=True):
                made += [{"time": row[0], "side": side, "price": price, "quantity": size} for price, size in levels]
    return made


def _levels(side: Any) -> list[tuple[float, float]]:
    cells = [level for level in side if isinstance(level, list)] if isinstance(side, list) else []
    pairs = [(number(level[0]), number(level[1])) for level in cells if len(level) >= 2]
    return [(price, size) for price, size in pairs if price == price]


def sides(first: list[tuple[float, float]], second: list[tuple[float, float]]) -> tuple[str, str]:
    """Return which of two sides of a book are the bids: those that lie below the others altogether.

    Nobody says which comes first. An empty side, or sides that overlap, tell nothing.
    """
    if first and second:
        if max(first)[0] < min(second)[0]:
            return "bid", "ask"
        if max(second)[0] < min(first)[0]:
            return "ask", "bid"
    return "unknown", "unknown"


_BUCKET = (
    "price_from", "price_to", "buy_volume", "sell_volume", "buy_volume_quote", "sell_volume_quote", "buy_volume_usd",
    "sell_volume_usd", "buy_count", "sell_count",
)  # fmt: skip


def _footprint(data: Any) -> list[Row]:
    bars = [row for row in _listed(data) if isinstance(row, list) and len(row) >= 2 and isinstance(row[1], list)]
    return [
        {"time": bar[0], **dict(zip(_BUCKET, bucket, strict=False))}
        for bar in bars
        for bucket in bar[1]
        if isinstance(bucket, list)
    ]


SHAPES: Mapping[str, Callable[[Any], list[Row]]] = {
    "rows": _rows, "words": _words, "by_exchange": _by_exchange, "totals": _totals, "margins": _margins,
    "chart": _chart, "map": _map, "paged": _paged, "wallet": _wallet, "book": _book, "footprint": _footprint,
}  # fmt: skip


# --- columns -----------------------------------------------------------------------------------------------------


def table(endpoint: Endpoint, data: Any) -> Table:
    """Return what an answer holds as the endpoint's columns.

    Rows without the keys that tell them apart are left out; raises `BadPayload` where none of the rows has them.
    """
    if endpoint.shape == "heatmap":
        return Table(_heatmap(endpoint, data), endpoint)
    rows = SHAPES[endpoint.shape](data)
    columns = {field.name: _column(field, rows) for field in endpoint.fields}
    good = np.ones(len(rows), dtype=bool)
    for field in endpoint.fields:
        if field.needed:
            here = _present(columns[field.name])
            if rows and not here.any():
                raise BadPayload(f"none of {len(rows)} rows has {' or '.join(field.sources)}")
            good &= here
    if endpoint.shape not in {"words", "wallet"} and isinstance(data, list) and data and not rows:
        raise BadPayload(f"none of {len(data)} entries is a row")
    return Table(columns if good.all() else schema.take(columns, good), endpoint)


def empty(endpoint: Endpoint) -> Table:
    """Return an answer without rows."""
    return Table({field.name: _column(field, []) for field in endpoint.fields}, endpoint)


def joined(endpoint: Endpoint, parts: list[Table]) -> Table:
    """Return the rows of several answers below one another."""
    columns: Columns = {}
    for name, dtype in endpoint.schema.items():
        cells = [part[name] for part in parts]
        columns[name] = [cell for part in cells for cell in part] if dtype == TEXT else np.concatenate([[], *cells])
    return Table(columns, endpoint)


def _present(column: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if isinstance(column, np.ndarray):
        return np.isfinite(column)
    return np.array([bool(cell) for cell in column], dtype=bool)


def _column(field: Field, rows: list[Row]) -> Any:
    cells = list(_cells(field, rows))
    if field.words is not None:
        words = field.words
        return [words.get(_text(cell), "") for cell in cells]
    if field.dtype == TEXT:
        return [_text(cell) for cell in cells]
    numbers = np.array([number(cell) for cell in cells], dtype=np.float64)
    return milliseconds(numbers) if field.dtype == TIME else numbers


def _cells(field: Field, rows: list[Row]) -> Iterator[Any]:
    """Yield a column's cells: the first of its keys that a row has."""
    if len(field.sources) == 1 and "." not in field.sources[0]:
        key = field.sources[0]
        yield from (row.get(key) for row in rows)
        return
    places = [source.split(".") for source in field.sources]
    for row in rows:
        found = (_dug(row, place) for place in places)
        yield next((cell for cell in found if cell is not None), None)


def _dug(row: Any, place: list[str]) -> Any:
    for key in place:
        row = row.get(key) if isinstance(row, Mapping) else None
    return row


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else ""


def milliseconds(times: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return times as Unix milliseconds, told from seconds and nanoseconds by their size; 0 and less is absent."""
    with np.errstate(invalid="ignore", over="ignore"):
        scale = np.select([times < 1e11, times < 1e14, times < 1e17], [1e3, 1.0, 1e-3], 1e-6)
        return np.where(times > 0, np.floor(times * scale), np.nan)


def _heatmap(endpoint: Endpoint, data: Any) -> Columns:
    """Return the cells of a heatmap: [place in the candles, place in the prices, value], 100,000 of them at once."""
    empty_ = {name: np.zeros(0) for name in endpoint.schema}
    if not data:
        return empty_
    found = _mapped(data)
    prices = np.array([number(cell) for cell in _listed(found.get("y_axis"))])
    candles = _grid(_listed(found.get("price_candlesticks")), 6)
    cells = _grid(_listed(found.get("liquidation_leverage_data")), 3)
    place = cells[:, :2]
    with np.errstate(invalid="ignore"):
        good = ((place >= 0) & (place < (len(candles), len(prices))) & (place == np.floor(place))).all(axis=1)
    if len(cells) and not good.any():
        raise BadPayload("no cell of the heatmap lies within its candles and prices")
    x, y = cells[good, 0].astype(np.intp), cells[good, 1].astype(np.intp)
    if not len(x):
        return empty_
    bars = dict(zip(("open", "high", "low", "close", "volume_usd"), candles[x, 1:].T, strict=True))
    columns = {"time": milliseconds(candles[x, 0]), "price": prices[y], "value": cells[good, 2], **bars}
    return schema.take(columns, _present(columns["time"]) & _present(columns["price"]))


def _grid(rows: list[Any], width: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a list of lists as an array, NaN for what is no number or is not there."""
    try:
        grid = np.array(rows, dtype=np.float64)
        if grid.shape == (len(rows), width):
            return np.where(np.abs(grid) <= LARGEST, grid, np.nan)
    except (TypeError, ValueError, OverflowError):
        pass
    cells = [[*row, *[None] * width][:width] if isinstance(row, list) else [None] * width for row in rows]
    return np.array([[number(cell) for cell in row] for row in cells], dtype=np.float64).reshape(-1, width)


# --- the reference of `xex doctor --live` ------------------------------------------------------------------------


def venue_of(name: str) -> str:
    """Return the venue that CoinGlass means by a name, whatever its case."""
    lower = name.lower()
    return VENUES.get(lower, lower)


def contract_columns(found: Table) -> Columns:
    """Return an answer of `pairs_markets` as columns of the schema `reference`.

    `volume_usd` (24 h) and `oi_usd` are dollars, `oi_base` coins: the venue's own price times it is `oi_usd`.
    """
    return {
        "venue": [venue_of(name) for name in found["exchange"]], "id": found["instrument_id"],
        "symbol": found["symbol"], "price": found["current_price"], "volume_usd": found["volume_usd"],
        "oi_base": found["open_interest_quantity"], "oi_usd": found["open_interest_usd"],
    }  # fmt: skip
