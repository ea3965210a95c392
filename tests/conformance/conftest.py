"""Fixtures of the conformance suite; a venue's test file brings its `VENUE` and names the contracts it keeps."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.conformance.worlds import NOW_MS, RECORDED, Venue, World, cassette_world, golden, lab_world
from tests.lab import Lab, Truth, bitget_markets, default_truth, extra_markets, running_lab
from xex.model.instruments import Section


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a contract for each market, world and body that the venue has: what it lacks is no test at all.

    A test of a `section` runs for every list of the venue, one of a `kind` for spot and perpetuals: what can go wrong
    there goes wrong alike with dated contracts. `contracts` are the sections without spot, `derivative` such kinds.
    """
    venue: Venue | None = getattr(metafunc.module, "VENUE", None)
    if venue is None:
        return
    if {"world", "section"} <= {*metafunc.fixturenames}:
        pairs = [(world, section) for world in venue.worlds for section in venue.sections if holds(world, section)]
        metafunc.parametrize(("world", "section"), pairs, indirect=["world"])
    elif "world" in metafunc.fixturenames:
        metafunc.parametrize("world", venue.worlds, indirect=True)
    elif "section" in metafunc.fixturenames:
        metafunc.parametrize("section", venue.sections)
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", venue.kinds)
    if "contracts" in metafunc.fixturenames:
        metafunc.parametrize("contracts", [section for section in venue.sections if section != "spot"])
    if "derivative" in metafunc.fixturenames:
        metafunc.parametrize("derivative", [kind for kind in venue.kinds if kind != "spot"])
    if "listed" in metafunc.fixturenames:
        metafunc.parametrize("listed", venue.listed)
    if "case" in metafunc.fixturenames:
        cases = golden(venue.name)["cases"]
        metafunc.parametrize("case", cases, ids=[f"{case['section']}-{case['question']}" for case in cases])
    if "body" in metafunc.fixturenames:
        metafunc.parametrize("body", venue.recorded, ids=lambda body: "-".join(map(str, body)))


def holds(world: str, section: Section) -> bool:
    """Say whether a world knows the markets of a section."""
    return world == "lab" or section in RECORDED


@pytest.fixture(scope="module")
def venue(request: pytest.FixtureRequest) -> Venue:
    """Give the venue of the test file."""
    found: Venue = request.module.VENUE
    return found


@pytest.fixture(scope="session")
def everything() -> Truth:
    """Give the lab's default world, coins by the thousand and the sixth exchange."""
    return default_truth().adding((*extra_markets(), *bitget_markets()))


@pytest.fixture(scope="module")
def server(loaded: None) -> Iterator[Lab]:  # noqa: ARG001  imports are paid for before
    """Give one lab for all tests of a file, in a thread of its own, its clock standing still."""
    # What is alive by now outlives the file; every test looks for garbage, and need not look through that.
    gc.collect()
    gc.freeze()
    with running_lab(now_ms=lambda: NOW_MS) as lab:
        yield lab


@pytest.fixture
async def live(venue: Venue, server: Lab, everything: Truth, tidy: Any) -> AsyncIterator[World]:  # noqa: ARG001
    """Give the venue in the lab, where anything can be asked and anything go wrong."""
    async with lab_world(venue, server, everything) as made:
        yield made


@pytest.fixture
async def world(
    request: pytest.FixtureRequest,
    venue: Venue,
    server: Lab,
    everything: Truth,
    tidy: Any,  # noqa: ARG001
) -> AsyncIterator[World]:
    """Give the venue in each of its worlds."""
    async with AsyncExitStack() as stack:
        made = lab_world(venue, server, everything) if request.param == "lab" else cassette_world(venue)
        yield await stack.enter_async_context(made)
