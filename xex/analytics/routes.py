"""Over which networks a coin can be moved from one exchange to another, and what that costs.

A route is open where the one exchange lets the coin out and the other takes it in, on one network and, where both
name its contract, under one contract. What nobody has told is unknown, never open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xex.errors import SchemaError
from xex.model import schema
from xex.model.identity import contract_of, is_known_network
from xex.model.networks import block_s
from xex.model.schema import texts

if TYPE_CHECKING:
    import pandas as pd

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Places = np.ndarray[Any, np.dtype[np.intp]]
    Words = np.ndarray[Any, np.dtype[np.object_]]

OPEN, UNKNOWN, CLOSED = "open", "unknown", "closed"
_STATES = np.array([OPEN, UNKNOWN, CLOSED], dtype=object)  # the better one first
_YES, _DOUBT, _SHUT = 0, 1, 2
_NEEDED = ("exchange", "asset", "network", "deposit", "withdraw")
_PAIR = ["asset", "exchange_from", "exchange_to"]


def routes(networks: pd.DataFrame) -> pd.DataFrame:
    """Return every way from exchange to exchange that a network offers, a row per asset, pair and network.

    `networks` is a frame of `xm.networks`: a row per exchange, asset and network, and one without a network for an
    exchange that names none. `state` is "open" where withdrawal there and deposit here are both known to be open and
    the contracts, where both are told, are the same; "closed" where one is known to be shut, the contracts differ, or
    the network is missing on one side; else "unknown", and `reason` says why. A name that is not known may be another
    spelling of a network of the other side, which is unknown therefore. `withdraw_fee` and `withdraw_min` are units
    of the asset at the exchange that it leaves. `minutes` are the confirmations that the other one waits for, times
    the network's seconds from block to block (`networks.csv` of `xex.model`): the least that the coin is under way,
    since what the exchanges need is told by none. `received_time` is that of the older of the two answers. Raises
    `SchemaError`.
    """
    schema.check(networks, _NEEDED, "routes")
    rows = _Rows(networks)
    ways = _ways(rows)
    ways, start = _joined(rows, ways, 1)
    ways, end = _joined(rows, ways, 2)
    start = start[ways[4]]
    leaving, entering = _Side(rows, ways, start, 1, "withdraw"), _Side(rows, ways, end, 2, "deposit")
    differ = (leaving.contract > 0) & (entering.contract > 0) & (leaving.contract != entering.contract)
    shut = (leaving.state == _SHUT) | (entering.state == _SHUT) | differ
    # Two contracts on one network leave open which of them an exchange means that names none.
    _, place, count = np.unique(rows.way(ways), return_inverse=True, return_counts=True)
    vague = (count[place] > 1) & ((leaving.contract == 0) | (entering.contract == 0)) & ~shut
    clear = (leaving.state == _YES) & (entering.state == _YES) & ~vague
    state = np.where(shut, _SHUT, np.where(clear, _YES, _DOUBT))
    fee = rows.number("withdraw_fee", leaving.row)
    fee = np.where(fee >= 0, fee, np.nan)  # nobody is paid for a withdrawal
    # A venue may list one network twice, under two contracts or names: the better way counts.
    order = np.lexsort((fee, state, rows.way(ways)))
    kept = order[_firsts(rows.way(ways)[order])]
    network = rows.networks[ways[3]]
    unlike = np.where(differ, "another contract address on " + network, "")
    unlike = np.where(vague, "several contracts on " + network, unlike)
    seconds = np.array([block_s(name) for name in rows.networks.tolist()], dtype=np.float64)
    columns = {
        "asset": rows.assets[ways[0]], "exchange_from": rows.exchanges[ways[1]],
        "exchange_to": rows.exchanges[ways[2]], "network": network, "state": _STATES[state],
        "withdraw_fee": fee, "withdraw_min": rows.number("withdraw_min", leaving.row),
        "minutes": rows.number("confirmations", entering.row) * seconds[ways[3]] / 60,
        "reason": _listed(leaving.why, entering.why, unlike),
        "received_time": np.minimum(rows.heard[ways[0], ways[1]], rows.heard[ways[0], ways[2]]),
    }  # fmt: skip
    return schema.frame({name: _plain(cells[kept]) for name, cells in columns.items()}, "routes")


def best_routes(routes: pd.DataFrame) -> pd.DataFrame:
    """Return the cheapest open route of each asset and pair of exchanges; pairs without an open one are left out.

    `routes` is a frame of `routes`. Of equally cheap ones the faster counts; a fee that is not told comes after all
    that are. Raises `SchemaError`.
    """
    schema.check(routes, (*_PAIR, "network", "state", "withdraw_fee", "minutes"), "best_routes")
    open_ = routes[routes["state"] == OPEN]
    ranked = open_.sort_values([*_PAIR, "withdraw_fee", "minutes", "network"], kind="stable", na_position="last")
    return ranked.drop_duplicates(_PAIR).reset_index(drop=True)


class _Rows:
    """The rows of networks: who, of what and on which network as codes into sorted words, the empty word first."""

    def __init__(self, networks: pd.DataFrame) -> None:
        self.frame = networks
        self.columns = schema.columns_of(networks, [*_NEEDED, "contract", "reason", "received_time"])
        self.assets, asset = self._coded(texts(self.columns, "asset"))
        self.exchanges, exchange = self._coded(texts(self.columns, "exchange"))
        self.networks, network = self._coded(texts(self.columns, "network"))
        _, self.contract = self._coded([contract_of(text) for text in texts(self.columns, "contract")])
        self.reason = np.array([*texts(self.columns, "reason"), ""], dtype=object)
        self.of = np.array([asset, exchange, network], dtype=np.intp).reshape(3, -1)
        self.known = np.array([is_known_network(name) for name in self.networks.tolist()], dtype=bool)
        self.keys = self.key(*self.of)
        self.order = np.argsort(self.keys, kind="stable")
        # When each exchange told of each asset: the oldest of its rows, NaN where one is not dated.
        self.heard = np.full((len(self.assets), len(self.exchanges)), np.inf)
        np.minimum.at(self.heard, (asset, exchange), schema.numbers(self.columns, "received_time"))
        self.heard[np.isinf(self.heard)] = np.nan

    @staticmethod
    def _coded(cells: list[str]) -> tuple[Words, Places]:
        words, codes = np.unique(np.array(["", *cells], dtype=object), return_inverse=True)
        return words, codes[1:].astype(np.intp)

    def key(self, asset: Places, exchange: Places, network: Places) -> Places:
        """Return one number for each asset, exchange and network."""
        return (asset * len(self.exchanges) + exchange) * len(self.networks) + network

    def way(self, ways: Places) -> Places:
        """Return one number for each asset, pair of exchanges and network, in their order."""
        count = len(self.exchanges)
        made: Places = ((ways[0] * count + ways[1]) * count + ways[2]) * len(self.networks) + ways[3]
        return made

    def number(self, name: str, row: Places) -> Floats:
        """Return a column's numbers at some rows, NaN where there is no such row or column."""
        if name not in self.frame:
            return np.full(len(row), np.nan)
        try:
            cells = self.frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise SchemaError(
                f"routes: the column {name} holds {self.frame[name].dtype}, numbers are expected"
            ) from None
        return np.append(cells, np.nan)[row]

    def states(self, name: str) -> Places:
        """Return a column's states as codes; a word that is none is unknown."""
        cells = np.array([*texts(self.columns, name), ""], dtype=object)
        return np.where(cells == OPEN, _YES, np.where(cells == CLOSED, _SHUT, _DOUBT))


def _ways(rows: _Rows) -> Places:
    """Return asset, from, to and network of each pair of exchanges and every network that either names, or none."""
    asset, exchange, _ = rows.of
    told = np.zeros((len(rows.assets), len(rows.exchanges)), dtype=bool)
    told[asset, exchange] = True
    row, other = np.nonzero(told[asset] & (np.arange(len(rows.exchanges)) != exchange[:, None]))
    mine = rows.of[:, row]
    both = [(mine[0], mine[1], other, mine[2]), (mine[0], other, mine[1], mine[2])]
    ways = np.concatenate([np.array(one).reshape(4, -1) for one in both], axis=1)
    ways = ways[:, np.unique(rows.way(ways), return_index=True)[1]]
    # Codes are sorted, so that the way without a network is the first of its pair; it stands where it is the only one.
    pair = rows.way(ways) - ways[3]
    alone = _firsts(pair) & np.append(_firsts(pair)[1:], True)
    return ways[:, (ways[3] > 0) | alone]


def _joined(rows: _Rows, ways: Places, side: int) -> tuple[Places, Places]:
    """Return the ways, again for each further row of an exchange on a network, and that row; -1 for none.

    The last line of the ways says which of the given ones each is.
    """
    found = rows.keys[rows.order]
    key = rows.key(ways[0], ways[side], ways[3])
    first, last = np.searchsorted(found, key, "left"), np.searchsorted(found, key, "right")
    times = np.maximum(last - first, 1)
    origin = np.repeat(np.arange(ways.shape[1]), times)
    nth = np.arange(len(origin)) - np.repeat(np.cumsum(times) - times, times)
    place = np.append(rows.order, -1)[np.where((last > first)[origin], first[origin] + nth, -1)]
    return np.vstack([ways[:4, origin], origin]), place


class _Side:
    """What the exchange on one side says of each way: the row that says it, the state, the contract, why not."""

    def __init__(self, rows: _Rows, ways: Places, row: Places, side: int, what: str) -> None:
        asset, exchange, network = ways[0], ways[side], ways[3]
        found = rows.keys[rows.order]
        # A row without a network speaks for all networks of an exchange that names none.
        quiet = rows.key(asset, exchange, np.zeros_like(network))
        at = np.minimum(np.searchsorted(found, quiet), max(len(found) - 1, 0))
        silent = np.where(found[at] == quiet, rows.order[at], -1) if len(found) else row
        names = np.zeros((len(rows.assets), len(rows.exchanges)), dtype=bool)
        strange = names.copy()
        names[tuple(rows.of[:2, rows.of[2] > 0])] = True
        strange[tuple(rows.of[:2, (rows.of[2] > 0) & ~rows.known[rows.of[2]]])] = True
        lacks = (row < 0) & names[asset, exchange]
        # Shut is what is not there, unless it may be there under another name.
        sure = rows.known[network] & ~strange[asset, exchange]
        self.row = np.where(row < 0, np.where(lacks, -1, silent), row)
        self.state = np.where(lacks, np.where(sure, _SHUT, _DOUBT), rows.states(what)[self.row])
        self.contract = np.append(rows.contract, 0)[self.row]
        name, place = rows.exchanges[exchange], rows.networks[network]
        missing = np.where(sure, "not on " + place, "names no " + place + ", or calls it otherwise")
        why = np.where(lacks, missing, np.where(self.state == _SHUT, "", rows.reason[self.row]))
        where = np.where(place == "", "any network", place)
        said = f"{what} " + _STATES[self.state] + " at " + name + " on " + where
        self.why = np.where(self.state == _YES, "", np.where(why == "", said, name + ": " + why))


def _firsts(sorted_: Places) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Say which numbers differ from the one before."""
    return np.append(True, sorted_[1:] != sorted_[:-1])[: len(sorted_)]


def _listed(*parts: Words) -> Words:
    """Return texts row by row with semicolons between those that say something."""
    told = parts[0]
    for part in parts[1:]:
        told = np.where((told != "") & (part != ""), told + "; " + part, told + part)
    return told


def _plain(cells: Any) -> Any:
    return cells.tolist() if cells.dtype == object else cells
