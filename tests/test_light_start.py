"""What a start loads, seen from processes that have loaded nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

HEAVY = ("ccxt", "pandas", "numpy", "asyncio", "aiohttp", "pydantic")
# Written after the program's own output, when it has left by whatever way.
REPORT = """
import atexit, json, sys
sys.argv = {argv!r}
before = set(sys.modules)
atexit.register(lambda: sys.stderr.write("\\nLOADED " + json.dumps(sorted(set(sys.modules) - before)) + "\\n"))
{code}
"""


def loaded(code: str, argv: Sequence[str] = ("xex",)) -> set[str]:
    """Return the top-level packages and modules that running `code` loads."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(argv=list(argv), code=code)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("LOADED "))
    modules: list[str] = json.loads(line.removeprefix("LOADED "))
    return {name.partition(".")[0] for name in modules}


def test_importing_xex_loads_nothing_heavy() -> None:
    found = loaded("import xex")
    assert "xex" in found
    assert not found & set(HEAVY)


def test_asking_for_the_names_loads_nothing_heavy() -> None:
    assert not loaded("import xex; dir(xex); xex.__version__; xex.NoVenueAnswered") & set(HEAVY)


@pytest.mark.parametrize("argv", [("xex", "--help"), ("xex", "--version"), ("xex", "snapshot", "--help")])
def test_the_command_line_says_what_it_can_do_without_the_heavy(argv: Sequence[str]) -> None:
    found = loaded("from xex.cli import main; main()", argv)
    assert not found & {"ccxt", "pandas", "numpy", "aiohttp"}


def test_a_table_needs_no_pandas_and_no_matplotlib() -> None:
    """What prints a snapshot is on the way of every command; frames and pictures are for those who ask for them."""
    found = loaded("import xex.plot, rich.console")
    assert not found & {"ccxt", "pandas", "matplotlib", "aiohttp"}


def test_the_connectors_load_no_ccxt_before_they_connect() -> None:
    code = "import xex, xex_connectors; xex.ExchangeManager.from_env(cache=False)"
    assert "ccxt" not in loaded(code)
