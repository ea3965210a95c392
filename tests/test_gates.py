"""What chance shows among many pairs, by hand and by brute force, and what thresholds may be."""

from __future__ import annotations

import math
import random
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import xex
from xex.analytics.gates import GATES, Thresholds, all_gates, first_gate, haircut_bps, insignificant, noise_alone
from xex.errors import ConfigError


def test_the_gates_are_asked_in_their_order() -> None:
    assert GATES == (
        "identity", "market_state", "kind", "freshness", "currency", "fees", "depth", "balances", "lots", "haircut",
        "significance", "transfer", "persistence",
    )  # fmt: skip
    assert xex.arbitrage.GATES is GATES


def test_a_haircut_is_z_deviations_of_what_both_quotes_may_have_moved() -> None:
    # 3 · 2 bps · √(1 s + 3 s) = 12 bps; with 12 s more, √16 in place of √4.
    assert haircut_bps(2.0, 1_000, 3_000) == pytest.approx(12.0)
    assert haircut_bps(2.0, 1_000, 3_000, 3.0, 12.0) == pytest.approx(24.0)
    assert haircut_bps(2.0, 1_000, 3_000, 5.0) == pytest.approx(20.0)


def test_the_chance_is_the_normal_tail() -> None:
    edges, noise = np.array([0.0, 1.0, 4.0, 12.0, -3.0]), np.array([2.0, 1.0, 2.0, 2.0, 1.0])
    want = [1 - NormalDist().cdf(edge / one) for edge, one in zip(edges, noise, strict=True)]
    assert noise_alone(edges, noise) == pytest.approx(want, rel=1e-6)
    assert noise_alone(np.array([1.0]), np.array([0.0])) == pytest.approx([0.0])
    assert noise_alone(np.zeros(0), np.zeros(0)).tolist() == []


def by_definition(chance: list[float], tests: int, share: float) -> list[bool]:
    """Benjamini and Hochberg's step-up rule, one k after the other."""
    ordered, last = sorted(chance), -1.0
    for k, value in enumerate(ordered, 1):
        if value <= k * share / tests:
            last = value
    return [value > last for value in chance]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_insignificant_is_so_by_the_definition(seed: int) -> None:
    rng = random.Random(seed)
    chance = [rng.random() ** rng.choice([1, 4, 12]) for _ in range(rng.randint(0, 60))]
    tests, share = max(len(chance), rng.randint(1, 500)), rng.uniform(0.01, 0.5)
    assert insignificant(np.array(chance), tests, share).tolist() == by_definition(chance, tests, share)


def test_the_more_is_looked_at_the_less_is_believed() -> None:
    chance = np.array([1e-3, 0.04])
    # 0.2 / 10 and 0.4 / 10 let both pass; 0.2 / 300 and 0.4 / 300 neither.
    assert insignificant(chance, 10, 0.2).tolist() == [False, False]
    assert insignificant(chance, 100, 0.2).tolist() == [False, True]
    assert insignificant(chance, 300, 0.2).tolist() == [True, True]


def test_of_the_gates_that_stop_a_row_the_first_asked_is_its_gate_and_all_are_told() -> None:
    stopped = {
        "identity": np.array([False, True, False, False]),
        "fees": np.array([False, True, True, False]),
        "haircut": np.array([False, False, True, True]),
    }
    assert first_gate(stopped).tolist() == [-1, 0, 1, 2]
    assert all_gates(stopped).tolist() == ["", "identity,fees", "fees,haircut", "haircut"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"min_profit_pct": -0.1}, "min_profit_pct is percent of notional, from 0, not -0.1"),
        ({"min_notional": math.inf}, "min_notional .* not inf"),
        ({"max_age_s": 31}, "max_age_s is seconds, above 0 and at most 30, not 31"),
        ({"z": 0}, "z is standard deviations, above 0; haircut=False has none, not 0"),
        ({"tau_s": "1"}, "tau_s is seconds, from 0, not '1'"),
        ({"false_share": 1}, "false_share is a fraction between 0 and 1, not 1"),
        ({"mode": ["transfer"]}, r"mode is inventory or transfer, not \['transfer'\]"),
        ({"persistence": 1.5}, "persistence is a count, from 1, not 1.5"),
        ({"persistence": True}, "persistence is a count, from 1, not True"),
    ],
)
def test_a_threshold_that_cannot_be_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Thresholds(**given)
