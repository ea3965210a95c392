"""The import contracts of pyproject.toml hold, and each of them breaks when a forbidden import is added."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

# Contract, file, the forbidden line, and what must stand in the report so that it is this import that was found.
FORBIDDEN = [
    ("rooms", "xex/errors.py", "import xex.manager", "xex.errors -> xex.manager"),
    ("rooms", "xex/plot.py", "import xex.answer", "xex.plot -> xex.answer"),
    ("rooms", "xex/access/port.py", "import xex.analytics.pricing", "xex.access.port -> xex.analytics.pricing"),
    ("pure", "xex/analytics/pricing.py", "import asyncio", "xex.analytics.pricing -> asyncio"),
    ("pure", "xex/analytics/quality.py", "import time", "xex.analytics.quality -> time"),
    ("pure", "xex/analytics/liquidity.py", "import xex.config", "xex.analytics.liquidity -> xex.config"),
    ("registry", "xex/manager.py", "import xex_connectors.okx", "xex.manager -> xex_connectors.okx"),
    ("registry", "xex/access/registry.py", "import ccxt", "xex.access.registry -> ccxt"),
    (
        "connectors",
        "connectors/xex_connectors/okx.py",
        "import xex.analytics.pricing",
        "xex_connectors.okx -> xex.analytics.pricing",
    ),
    ("independent", "tests/oracle.py", "import xex", "tests.oracle -> xex"),
    ("independent", "tests/lab/world.py", "import xex_connectors", "tests.lab.world -> xex_connectors"),
]


def contracts() -> dict[str, dict[str, Any]]:
    """Return the contracts by their ids."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in configured["tool"]["importlinter"]["contracts"]}


def modules(package: Path) -> set[str]:
    """Return the modules and packages directly inside a package."""
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in package.glob("*/__init__.py")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of all that the contracts speak of."""
    copy = tmp_path_factory.mktemp("tree")
    for name in ("xex", "connectors", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def lint(tree: Path) -> tuple[set[str], str]:
    """Return the names of the contracts that a tree breaks, and the whole report."""
    # First on the path, so that the copy is analysed even where xex is installed.
    path = os.pathsep.join([str(tree), str(tree / "connectors")])
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", "COLUMNS": "200"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    report = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout) + done.stderr
    broken = set(re.findall(r"^(.*) BROKEN(?: .*)?$", report, re.MULTILINE))
    assert bool(broken) == (done.returncode != 0), report
    return broken, report


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    broken, report = lint(tree)
    assert not broken, report
    assert f"Contracts: {len(contracts())} kept, 0 broken" in report


@pytest.mark.parametrize(("contract", "file", "line", "found"), FORBIDDEN)
def test_a_forbidden_import_breaks_its_contract(tree: Path, contract: str, file: str, line: str, found: str) -> None:
    path = tree / file
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")
    try:
        broken, report = lint(tree)
    finally:
        path.write_text(before, encoding="utf-8")
    assert contracts()[contract]["name"] in broken, report
    assert found in report


def test_every_contract_is_tried() -> None:
    assert {entry[0] for entry in FORBIDDEN} == set(contracts())


def test_a_module_without_a_place_breaks_the_rooms(tree: Path) -> None:
    path = tree / "xex" / "annex.py"
    path.write_text('"""A module that no layer names."""\n', encoding="utf-8")
    try:
        broken, report = lint(tree)
    finally:
        path.unlink()
    assert broken == {contracts()["rooms"]["name"]}, report
    assert "annex" in report


def test_the_rooms_name_every_module() -> None:
    rooms = contracts()["rooms"]
    assert rooms["exhaustive"] is True
    named = [name.strip() for layer in rooms["layers"] for name in layer.split("|")]
    assert sorted(named) == sorted(modules(ROOT / "xex"))
