"""Over which networks a coin can be moved from one exchange to another, and what that costs.

A route is open where the one exchange lets the coin out and the other takes it in, on one network and, where both
name its contract, under one contract. What nobody has told is unknown, never open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xex.model import schema
from xex.model.identity import contract_of, is_known_network
from xex.model.networks import block_s

if TYPE_CHECKING:
    import pandas as pd

OPEN, CLOSED, UNKNOWN = "open", "closed", "unknown"
_NEEDED = ("exchange", "asset", "network", "deposit", "withdraw")
_PAIR = ["asset", "exchange_from", "exchange_to"]
_KEY = [*_PAIR, "network"]
_RANK = {OPEN: 0, UNKNOWN: 1, CLOSED: 2}


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
    rows = _sides(networks)
    found = _ways(rows)
    found = _joined(found, rows, "from", "withdraw", ["withdraw_fee", "withdraw_min"])
    found = _joined(found, rows, "to", "deposit", ["confirmations"])
    leaves, enters = (found[f"state_{side}"].to_numpy(dtype=object) for side in ("from", "to"))
    one, other = (found[f"contract_{side}"].to_numpy(dtype=object) for side in ("from", "to"))
    differ = (one != "") & (other != "") & (one != other)
    shut = (leaves == CLOSED) | (enters == CLOSED) | differ
    # Two contracts on one network leave open which of them an exchange means that names none.
    vague = found.duplicated(_KEY, keep=False).to_numpy() & ((one == "") | (other == "")) & ~shut
    known = (leaves == OPEN) & (enters == OPEN) & ~vague
    found["state"] = np.where(shut, CLOSED, np.where(known, OPEN, UNKNOWN))
    network = found["network"].to_numpy(dtype=object)
    unlike = np.where(differ, "another contract address on " + network, "")
    unlike = np.where(vague, "several contracts on " + network, unlike)
    told = [found["why_from"].to_numpy(dtype=object), found["why_to"].to_numpy(dtype=object), unlike]
    found["reason"] = _listed(told)
    seconds = {name: block_s(name) for name in dict.fromkeys(network)}
    found["minutes"] = found["confirmations"] * found["network"].map(seconds).astype("float64") / 60
    found["received_time"] = found[["received_from", "received_to"]].min(axis=1, skipna=False)
    # A venue may list one network twice, under two contracts or names: the better way counts.
    found["rank"] = found["state"].map(_RANK)
    found = found.sort_values([*_KEY, "rank", "withdraw_fee"], kind="stable").drop_duplicates(_KEY)
    return _frame(found)


def best_routes(routes: pd.DataFrame) -> pd.DataFrame:
    """Return the cheapest open route of each asset and pair of exchanges; pairs without an open one are left out.

    `routes` is a frame of `routes`. Of equally cheap ones the faster counts; a fee that is not told comes after all
    that are. Raises `SchemaError`.
    """
    schema.check(routes, (*_KEY, "state", "withdraw_fee", "minutes"), "best_routes")
    open_ = routes[routes["state"] == OPEN]
    ranked = open_.sort_values([*_PAIR, "withdraw_fee", "minutes", "network"], kind="stable", na_position="last")
    return ranked.drop_duplicates(_PAIR).reset_index(drop=True)


def _sides(networks: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the columns that may be absent, texts without gaps, and contracts in one spelling."""
    import pandas as pd

    rows = networks.reset_index(drop=True).copy()
    for name in ("withdraw_fee", "withdraw_min", "confirmations"):
        rows[name] = rows[name].astype("float64") if name in rows else np.nan
    for name in (*_NEEDED, "contract", "reason"):
        rows[name] = rows[name].astype(object).where(rows[name].notna(), "") if name in rows else ""
    rows["contract"] = rows["contract"].map(contract_of)
    if "received_time" not in rows:
        rows["received_time"] = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[ms, UTC]")
    return rows


def _ways(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each pair of exchanges that are told of an asset, with every network that either names, or with none."""
    import pandas as pd

    known = rows[["asset", "exchange"]].drop_duplicates()
    pairs = known.merge(known, on="asset", suffixes=("_from", "_to"))
    pairs = pairs[pairs["exchange_from"] != pairs["exchange_to"]]
    named = rows.loc[rows["network"] != "", ["asset", "exchange", "network"]].drop_duplicates()
    sides = [
        pairs.merge(named.rename(columns={"exchange": f"exchange_{side}"}), on=["asset", f"exchange_{side}"])
        for side in ("from", "to")
    ]
    ways = pd.concat(sides)[_KEY].drop_duplicates()
    silent = pairs.merge(ways[_PAIR].drop_duplicates(), on=_PAIR, how="left", indicator=True)
    silent = silent.loc[silent["_merge"] == "left_only", _PAIR].assign(network="")
    return pd.concat([ways, silent], ignore_index=True)


def _joined(ways: pd.DataFrame, rows: pd.DataFrame, side: str, state: str, more: list[str]) -> pd.DataFrame:
    """Add what the exchange on one side says of each way: its state, why it is not open, its contract, `more`."""
    owner = ["asset", f"exchange_{side}"]
    names = {"exchange": owner[1], state: f"state_{side}", "contract": f"contract_{side}", "reason": f"why_{side}"}
    mine = rows.rename(columns=names)[["asset", "network", *names.values(), *more]]
    told = ways.merge(mine[mine["network"] != ""], on=[*owner, "network"], how="left")
    # A row without a network speaks for all networks of an exchange that names none.
    quiet = mine[mine["network"] == ""].drop(columns="network").drop_duplicates(owner)
    silent = ways[_KEY].drop_duplicates().merge(quiet, on=owner, how="left")
    absent = told[f"state_{side}"].isna()
    place = told[_KEY].merge(silent, on=_KEY, how="left")
    for name in (*list(names.values())[1:], *more):
        told[name] = told[name].where(~absent, place[name])
    texts = [f"state_{side}", f"contract_{side}", f"why_{side}"]
    told[texts] = told[texts].astype(object).where(told[texts].notna(), "")
    _note_absent(told, mine, side, absent)
    states, why = (told[name].to_numpy(dtype=object) for name in (f"state_{side}", f"why_{side}"))
    exchange, network = (told[name].to_numpy(dtype=object) for name in (owner[1], "network"))
    said = state + " " + states + " at " + exchange + " on " + np.where(network == "", "any network", network)
    told[f"why_{side}"] = np.where(states == OPEN, "", np.where(why == "", said, exchange + ": " + why))
    heard = rows.groupby(["asset", "exchange"], sort=False)["received_time"].min().rename(f"received_{side}")
    return told.join(heard, on=owner)


def _note_absent(told: pd.DataFrame, mine: pd.DataFrame, side: str, absent: pd.Series) -> None:
    """Say what it means that an exchange which names networks lacks one: shut, unless it may be called otherwise."""
    owner = ["asset", f"exchange_{side}"]
    named = mine[mine["network"] != ""]
    odd = named[~named["network"].map(is_known_network).astype(bool)]
    speaks, strange = (
        told[owner].merge(some[owner].drop_duplicates(), how="left", indicator=True)["_merge"].to_numpy() == "both"
        for some in (named, odd)
    )
    known = told["network"].map(is_known_network).to_numpy(dtype=bool)
    lacks, network = absent.to_numpy() & speaks, told["network"].to_numpy(dtype=object)
    sure = known & ~strange
    states, why = (told[name].to_numpy(dtype=object) for name in (f"state_{side}", f"why_{side}"))
    states = np.where(lacks, np.where(sure, CLOSED, UNKNOWN), np.where(states == "", UNKNOWN, states))
    words = np.where(sure, "not on " + network, "names no " + network + ", or calls it otherwise")
    told[f"state_{side}"] = states
    told[f"why_{side}"] = np.where(lacks, words, np.where(states == CLOSED, "", why))


def _listed(parts: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return texts row by row with semicolons between those that say something."""
    told = parts[0]
    for part in parts[1:]:
        both = (told != "") & (part != "")
        told = np.where(both, told + "; " + part, told + part)
    return told


def _frame(found: pd.DataFrame) -> pd.DataFrame:
    names = schema.SCHEMAS["routes"]
    stamps = found["received_time"].astype("datetime64[ms, UTC]").to_numpy(dtype="datetime64[ms]")
    columns: dict[str, Any] = {
        name: found[name].tolist() if dtype == schema.TEXT else found[name].to_numpy()
        for name, dtype in names.items()
        if name != "received_time"
    }
    columns["received_time"] = np.where(np.isnat(stamps), np.nan, stamps.astype("int64").astype("float64"))
    return schema.frame(columns, "routes")
