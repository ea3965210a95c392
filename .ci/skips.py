"""List the tests that were skipped, with their reasons; fail on a reason that is not allowed.

Takes pytest's JUnit files as arguments. What may be skipped is decided here and nowhere else.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

ALLOWED = (
    "needs ../shared",  # a file beside the repository that is not part of it
    "needs recorded data",  # a recording of a venue that the repository does not keep
)


def skips(report: Path) -> list[tuple[str, str]]:
    """Return name and reason of each skipped test; expected failures are no skips."""
    cases = ET.parse(report).iter("testcase")  # noqa: S314  pytest wrote it a moment ago
    return [
        (f"{case.get('classname')}::{case.get('name')}".removeprefix("::"), _reason(skip))
        for case in cases
        for skip in case.iter("skipped")
        if skip.get("type") != "pytest.xfail"
    ]


def _reason(skip: ET.Element) -> str:
    """Return why; for a whole module the message says nothing and the text ends with the reason, quoted."""
    message = skip.get("message") or "no reason given"
    told = (skip.text or "").partition("Skipped: ")[2].rstrip("')\" \n")
    return told if message == "collection skipped" and told else message


def main(reports: list[str]) -> int:
    """Print the list; return 1 when a reason is not allowed or a report is missing or empty."""
    total, seen, refused = 0, Counter[tuple[str, str]](), 0
    for name in reports:
        path = Path(name)
        if not path.is_file():
            sys.stdout.write(f"there is no report {name}: pytest did not get that far\n")
            return 1
        total += sum(1 for _ in ET.parse(path).iter("testcase"))  # noqa: S314
        seen.update(skips(path))
    sys.stdout.write(f"skipped: {sum(seen.values())} of {total} tests\n")
    for (test, reason), times in sorted(seen.items()):
        allowed = reason.removeprefix("Skipped: ").startswith(ALLOWED)
        refused += not allowed
        sys.stdout.write(
            f"  {'' if allowed else 'NOT ALLOWED: '}{test}{f' ({times}x)' if times > 1 else ''}: {reason}\n"
        )
    if refused:
        sys.stdout.write(f"{refused} skipped for a reason that .ci/skips.py does not allow\n")
    return 1 if refused or not total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
