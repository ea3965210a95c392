"""Routes between exchanges: against cases by hand, and against a plain double loop over random worlds."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pytest

import xex
from xex.analytics.routes import best_routes, routes
from xex.errors import SchemaError
from xex.model import schema
from xex.model.networks import block_s, blocks
from xex.model.units import Evidence

ONE, OTHER = (f"0x{digit * 40}" for digit in "12")
KNOWN = ("ethereum", "tron", "bsc", "bitcoin")
STRANGE = ("moonchain", "marschain")
# By hand, from each network's own definition.
SECONDS = {"ethereum": 12.0, "tron": 3.0, "bsc": 0.75, "bitcoin": 600.0}


def row(exchange: str, network: str = "ethereum", states: str = "oo", **more: Any) -> dict[str, Any]:
    """Return one row of networks of USDT; `states` are deposit and withdrawal: open, closed, unknown."""
    words = {"o": "open", "c": "closed", "u": "unknown"}
    deposit, withdraw = (words[letter] for letter in states)
    return {
        "exchange": exchange, "venue": exchange, "asset": "USDT", "network": network, "deposit": deposit,
        "withdraw": withdraw, **more,
    }  # fmt: skip


def framed(*rows: Mapping[str, Any]) -> pd.DataFrame:
    names = schema.SCHEMAS["networks"]
    absent = {name: "" if dtype == schema.TEXT else math.nan for name, dtype in names.items()}
    filled = [{**absent, **one} for one in rows]
    return schema.frame({name: [one[name] for one in filled] for name in names}, "networks")


def one_way(*rows: Mapping[str, Any], source: str = "a", target: str = "b") -> list[dict[str, Any]]:
    found = routes(framed(*rows))
    chosen = found[(found["exchange_from"] == source) & (found["exchange_to"] == target)]
    plain = chosen.astype(object).where(chosen.notna(), None)
    return [{str(name): cell for name, cell in one.items()} for one in plain.to_dict("records")]


# --- by hand ------------------------------------------------------------------------------------------------


def test_a_route_is_open_where_the_coin_gets_out_there_and_in_here() -> None:
    (found,) = one_way(
        row("a", withdraw_fee=3.5, withdraw_min=10.0, confirmations=64.0),
        row("b", withdraw_fee=9.0, withdraw_min=1.0, confirmations=30.0),
    )
    assert found == {
        "asset": "USDT", "exchange_from": "a", "exchange_to": "b", "network": "ethereum", "state": "open",
        # What it costs is told by whom it leaves; 30 blocks of 12 s are waited for by whom it comes to.
        "withdraw_fee": 3.5, "withdraw_min": 10.0, "minutes": 6.0, "reason": None, "received_time": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("there", "here", "state", "reason"),
    [
        ("oo", "oo", "open", None),
        ("co", "oc", "open", None),  # neither what goes in there nor what gets out here matters
        ("oc", "oo", "closed", "withdraw closed at a on ethereum"),
        ("oo", "co", "closed", "deposit closed at b on ethereum"),
        ("oc", "co", "closed", "withdraw closed at a on ethereum; deposit closed at b on ethereum"),
        ("ou", "oo", "unknown", "withdraw unknown at a on ethereum"),
        ("oo", "uo", "unknown", "deposit unknown at b on ethereum"),
        ("ou", "co", "closed", "withdraw unknown at a on ethereum; deposit closed at b on ethereum"),
    ],
)
def test_both_states_decide(there: str, here: str, state: str, reason: str | None) -> None:
    (found,) = one_way(row("a", states=there), row("b", states=here))
    assert (found["state"], found["reason"]) == (state, reason)


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        (ONE, ONE, "open"),
        (ONE, f"0X{'1' * 40}", "open"),
        ("0xAb" + "0" * 38, "0xaB" + "0" * 38, "open"),
        (ONE, "", "open"),
        ("", "", "open"),
        (ONE, "0x" + "e" * 40, "open"),  # what stands for a network's own coin names no contract
        (ONE, OTHER, "closed"),
        ("TLab7Nf2cQ", "tlab7nf2cq", "closed"),  # only hexadecimal addresses have no case
    ],
)
def test_another_contract_is_another_coin(first: str, second: str, state: str) -> None:
    (found,) = one_way(row("a", contract=first), row("b", contract=second))
    assert found["state"] == state
    assert found["reason"] == (None if state == "open" else "another contract address on ethereum")


def test_a_network_of_one_side_alone_is_closed_unless_it_may_have_another_name() -> None:
    closed = one_way(row("a"), row("a", "tron"), row("b", "tron"))
    assert [(one["network"], one["state"], one["reason"]) for one in closed] == [
        ("ethereum", "closed", "b: not on ethereum"), ("tron", "open", None),
    ]  # fmt: skip
    unsure = one_way(row("a"), row("a", "tron"), row("b", "tron"), row("b", "moonchain"))
    assert {one["network"]: (one["state"], one["reason"]) for one in unsure} == {
        "ethereum": ("unknown", "b: names no ethereum, or calls it otherwise"),
        "moonchain": ("unknown", "a: names no moonchain, or calls it otherwise"),
        "tron": ("open", None),
    }  # fmt: skip


def test_who_tells_nothing_is_unknown_and_who_is_shut_is_shut_for_all_networks() -> None:
    (silent,) = one_way(row("a", confirmations=5.0), row("b", "", "uu", reason="auth: needs a key"))
    assert (silent["network"], silent["state"], silent["reason"]) == ("ethereum", "unknown", "b: auth: needs a key")
    assert math.isnan(float(silent["minutes"] or "nan"))
    (shut,) = one_way(row("a"), row("b", "", "cu", reason="names no network"))
    assert (shut["network"], shut["state"], shut["reason"]) == ("ethereum", "closed", "deposit closed at b on ethereum")
    (both,) = one_way(row("a", "", "uu", reason="late"), row("b", "", "uu", reason="auth"))
    assert (both["network"], both["state"], both["reason"]) == (None, "unknown", "a: late; b: auth")


def test_two_contracts_on_one_network_need_both_sides_to_name_theirs() -> None:
    """As HTX lists BTC twice on one network."""
    twice = (row("a", contract=ONE, withdraw_fee=1.0), row("a", contract=OTHER, withdraw_fee=2.0))
    (named,) = one_way(*twice, row("b", contract=OTHER))
    assert (named["state"], named["withdraw_fee"]) == ("open", 2.0)
    (vague,) = one_way(*twice, row("b"))
    assert (vague["state"], vague["reason"]) == ("unknown", "several contracts on ethereum")
    back = one_way(*twice, row("b", contract=ONE), source="b", target="a")
    assert [one["state"] for one in back] == ["open"]


def test_the_older_of_two_answers_dates_a_route() -> None:
    (found,) = one_way(row("a", received_time=5_000.0), row("b", received_time=3_000.0))
    assert found["received_time"] == pd.Timestamp(3_000, unit="ms", tz="UTC")
    (half,) = one_way(row("a", received_time=5_000.0), row("b"))
    assert half["received_time"] is None


def test_the_cheapest_open_route_is_the_best_one() -> None:
    rows = [
        row("a", "ethereum", withdraw_fee=4.0), row("a", "tron", withdraw_fee=1.0), row("a", "bsc", withdraw_fee=1.0),
        row("a", "bitcoin", "oc", withdraw_fee=0.1),
        row("b", "ethereum", confirmations=1.0), row("b", "tron", confirmations=20.0),
        row("b", "bsc", confirmations=4.0), row("b", "bitcoin"),
        row("c", "ethereum", "co"), row("d", "ethereum"),
    ]  # fmt: skip
    chosen = best_routes(routes(framed(*rows)))
    found = {(one["exchange_from"], one["exchange_to"]): one for one in chosen.to_dict("records")}
    # tron 20 x 3 s, bsc 4 x 0.75 s: equally cheap, so the faster one counts.
    fastest = found["a", "b"]
    assert (fastest["network"], fastest["withdraw_fee"], fastest["minutes"]) == ("bsc", 1.0, 0.05)
    assert ("a", "c") not in found
    # A fee that is not told is none that is known to be lower.
    unsaid = best_routes(
        routes(framed(row("a", "tron"), row("a", "bsc", withdraw_fee=50.0), row("b", "tron"), row("b", "bsc")))
    )
    assert unsaid[unsaid["exchange_from"] == "a"]["network"].tolist() == ["bsc"]


def test_a_fee_below_nothing_is_none_that_is_told() -> None:
    (way,) = one_way(row("a", withdraw_fee=-1.0), row("b"))
    assert (way["state"], way["withdraw_fee"]) == ("open", None)


def test_no_networks_make_no_routes() -> None:
    for frame in (routes(framed()), best_routes(routes(framed())), routes(framed(row("a"), row("a", "tron")))):
        assert len(frame) == 0
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(schema.SCHEMAS["routes"])


def test_a_frame_needs_few_columns_and_names_what_it_lacks() -> None:
    bare = framed(row("a"), row("b"))[["exchange", "asset", "network", "deposit", "withdraw"]]
    assert routes(bare)["state"].tolist() == ["open", "open"]
    with pytest.raises(SchemaError, match="withdraw"):
        routes(bare.drop(columns="withdraw"))
    with pytest.raises(SchemaError, match="withdraw_fee"):
        best_routes(bare)


def test_it_is_public_and_changes_nothing_of_what_it_is_given() -> None:
    given = framed(row("b"), row("a", contract=ONE))
    before = given.copy(deep=True)
    found = xex.arbitrage.routes(given)
    pd.testing.assert_frame_equal(given, before)
    assert xex.arbitrage.best_routes(found)["exchange_from"].tolist() == ["a", "b"]


# --- against a double loop ----------------------------------------------------------------------------------


def expected(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str, str], str]:
    """Return the state of every route, from the definition alone; contracts are hexadecimal and of one spelling."""
    found: dict[tuple[str, str, str, str], str] = {}
    assets = {one["asset"] for one in rows}
    for asset in assets:
        told: dict[str, list[Mapping[str, Any]]] = {}
        for one in rows:
            if one["asset"] == asset:
                told.setdefault(one["exchange"], []).append(one)
        for there, leaving in told.items():
            for here, entering in told.items():
                if there == here:
                    continue
                names = {one["network"] for one in (*leaving, *entering)} - {""} or {""}
                for network in names:
                    sides = []
                    for given, what in ((leaving, "withdraw"), (entering, "deposit")):
                        exact = [one for one in given if one["network"] == network]
                        quiet = [one for one in given if one["network"] == ""]
                        named = [one for one in given if one["network"] != ""]
                        if exact:
                            sides.append((exact[0][what], exact[0].get("contract", "")))
                        elif named:
                            sure = network in KNOWN and all(one["network"] in KNOWN for one in named)
                            sides.append(("closed" if sure else "unknown", ""))
                        else:
                            sides.append((quiet[0][what], ""))
                    (out, one_contract), (into, other_contract) = sides
                    if "closed" in (out, into) or (one_contract and other_contract and one_contract != other_contract):
                        state = "closed"
                    else:
                        state = "open" if (out, into) == ("open", "open") else "unknown"
                    found[asset, there, here, network] = state
    return found


def world(chance: random.Random) -> list[dict[str, Any]]:
    rows = []
    for asset in ("USDT", "PEPE"):
        for exchange in ("a", "b", "c", "d"):
            kind = chance.random()
            if kind < 0.1:
                continue
            if kind < 0.25:
                states = chance.choice(("uu", "uc", "cu"))
                rows.append({**row(exchange, "", states), "asset": asset})
                continue
            rows += [
                {
                    **row(exchange, network, chance.choice("oooocu") + chance.choice("oooocu")), "asset": asset,
                    "contract": chance.choice((ONE, ONE, ONE, OTHER, "")),
                    "withdraw_fee": chance.choice((0.0, 0.5, 2.0, math.nan)),
                    "confirmations": chance.choice((1.0, 20.0, math.nan)),
                }
                for network in chance.sample((*KNOWN, *STRANGE), chance.randint(1, 4))
            ]  # fmt: skip
    return rows


@pytest.mark.parametrize("seed", range(40))
def test_random_worlds_have_the_states_of_the_definition(seed: int) -> None:
    rows = world(random.Random(seed))
    frame = routes(framed(*rows))
    keys = zip(*(frame[name].fillna("") for name in ("asset", "exchange_from", "exchange_to", "network")), strict=True)
    assert dict(zip(keys, frame["state"], strict=True)) == expected(rows)
    for one in frame.to_dict("records"):
        assert (one["reason"] == one["reason"]) == (one["state"] != "open")
        out, into = (
            [given for given in rows if (given["exchange"], given["asset"], given["network"]) == (
                one[exchange], one["asset"], one["network"])]
            for exchange in ("exchange_from", "exchange_to")
        )  # fmt: skip
        fee = out[0]["withdraw_fee"] if out else math.nan
        blocks_waited = into[0]["confirmations"] if into else math.nan
        minutes = blocks_waited * SECONDS.get(str(one["network"]), math.nan) / 60
        assert one["withdraw_fee"] == pytest.approx(fee, nan_ok=True)
        assert one["minutes"] == pytest.approx(minutes, nan_ok=True)


@pytest.mark.parametrize("seed", range(40, 60))
def test_random_worlds_have_the_best_routes_of_the_definition(seed: int) -> None:
    frame = routes(framed(*world(random.Random(seed))))
    chosen = best_routes(frame)
    pairs = ["asset", "exchange_from", "exchange_to"]
    for key, group in frame[frame["state"] == "open"].groupby(pairs):
        mine = chosen[(chosen[pairs] == list(key)).all(axis=1)]
        assert len(mine) == 1
        fees = [fee for fee in group["withdraw_fee"] if fee == fee]
        assert mine["withdraw_fee"].iloc[0] == pytest.approx(min(fees) if fees else math.nan, nan_ok=True)
    assert len(chosen) == len(frame[frame["state"] == "open"].drop_duplicates(pairs))


# --- block times --------------------------------------------------------------------------------------------


def test_every_block_time_has_its_source() -> None:
    assert len(blocks()) >= 10
    for name, block in blocks().items():
        assert name == block.network
        assert 0.1 <= block.block_s <= 3600
        assert block.evidence is Evidence.DOCUMENTED
        assert len(block.source) > 15
    assert {name: block_s(name) for name in SECONDS} == SECONDS
    assert math.isnan(block_s("moonchain"))
