"""The table of bodies typed by hand, over all venues: venue by section by question."""

from __future__ import annotations

from tests.conformance.bodies import CELLS, QUESTIONS, cells
from tests.conformance.worlds import GOLDEN
from tests.conftest import VENUES
from xex.model.instruments import SECTIONS


def test_the_table_is_as_large_as_it_should_be() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == sorted(VENUES)
    whole = {(section, question) for section in SECTIONS for question in QUESTIONS}
    filled = {(venue, *cell) for venue in VENUES for cell in cells(venue)[0] & whole}
    absent = {(venue, *cell) for venue in VENUES for cell in cells(venue)[1].keys() & whole}
    assert len(filled) >= CELLS
    assert filled | absent == {(venue, *cell) for venue in VENUES for cell in whole}
