"""The table of units in the documentation is that of the code, and each of its cells has a body typed by hand."""

from __future__ import annotations

from tests.units_table import FILE, VENUES, cells, golden, table

OPEN = "open_interest"


def test_the_table_is_that_of_the_venues_files() -> None:
    assert FILE.read_text(encoding="utf-8") == table(), "run `python -m tests.units_table`"


def test_every_cell_has_a_body_whose_numbers_were_worked_out_by_hand() -> None:
    filled = {(venue, case["section"], case["question"]) for venue in VENUES for case in golden(venue)["cases"]}
    assert {(venue, section, question) for venue, section, question, _ in cells()} <= filled
    assert len(list(cells())) == 130


def test_of_contracts_alone_anything_is_open() -> None:
    absent = {(venue, row["section"]) for venue in VENUES for row in golden(venue)["absent"] if row["question"] == OPEN}
    asked = {(venue, section) for venue, section, question, _ in cells() if question == OPEN}
    assert absent == {(venue, "spot") for venue in VENUES}
    assert asked.isdisjoint(absent)
    assert len(asked) == 20


def test_every_rule_names_its_proof_and_its_evidence() -> None:
    for venue, _, _, market in cells():
        assert market.units.proof
        assert market.units.evidence in {"recorded", "documented", "assumed"}
        assert market.units.name.startswith(venue)


def test_a_rows_rule_claims_no_more_evidence_than_its_questions_have() -> None:
    for venue, connector in VENUES.items():
        known = {(case["section"], case["question"]): case["evidence"] for case in golden(venue)["cases"]}
        for home, market in connector.markets.items():
            mine = [said for (section, _), said in known.items() if connector.homes.get(section) == home]
            assert market.units.evidence == ("recorded" if set(mine) == {"recorded"} else "documented"), (venue, home)
