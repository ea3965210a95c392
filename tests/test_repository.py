"""What the tree as a whole promises: no venue's name in shared code, a README that runs, recordings without secrets."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VENUES = ("binance", "okx", "okex", "htx", "huobi", "bybit", "kraken", "coinglass", "bitget")
# Names are allowed where they are the contract itself, or a sentence for people.
ALLOWED = {"xex/config.py", "xex/model/instruments.py"}
CONNECTORS = ROOT / "connectors/xex_connectors"
BUILT_IN = ("binance", "bybit", "htx", "kraken", "okx")
COMMON = ("ccxt_adapter.py", "liquidations.py", "mapping.py", "read_only.py", "warm_markets.py")
SOURCES = ("coinglass",)
"""A source of figures is a package of its own."""
SHARED = [*(ROOT / "xex").rglob("*.py"), *(CONNECTORS / name for name in COMMON)]


def code_of(path: Path) -> str:
    """Return a file without docstrings and comments."""
    text = re.sub(r'"""(?:.|\n)*?"""', "", path.read_text(encoding="utf-8"))
    return "\n".join(line.split("#")[0] for line in text.splitlines())


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_shared_code_names_no_venue(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() in ALLOWED:
        return
    code = code_of(path).lower()
    assert [name for name in VENUES if name in code] == []


def test_shared_code_is_all_that_is_not_a_venue() -> None:
    """A new module of either package is looked at here, or is a venue."""
    shared = {path.name for path in SHARED}
    assert {"manager.py", "roster.py", "snapshot.py", "ccxt_adapter.py", "mapping.py"} <= shared
    venues = {f"{name}.py" for name in BUILT_IN}
    assert {path.name for path in CONNECTORS.glob("*.py")} == {*venues, "__init__.py", *COMMON}
    assert {path.name for path in CONNECTORS.iterdir() if (path / "__init__.py").is_file()} == set(SOURCES)
    assert {point.name for point in entry_points(group="xex.connectors")} == {*BUILT_IN, *SOURCES}


def lines_of_code(tree: ast.Module) -> set[int]:
    """Return the lines in which functions do something: bodies without docstrings, and lambdas."""
    done: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            done.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1:] if ast.get_docstring(node) else node.body
            done.update(line for one in first for line in range(one.lineno, (one.end_lineno or one.lineno) + 1))
    return done


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_venue_is_one_small_file_of_data(name: str) -> None:
    text = (CONNECTORS / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    # Five lists of instruments at most, each with its own rule, budgets and how it refuses; what does something is a
    # small part of it.
    assert len(text.splitlines()) <= 115
    assert len(lines_of_code(tree)) < 45
    (connector,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    assert not [node for node in connector.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_the_count_of_code_lines_counts() -> None:
    tree = ast.parse(
        'def f():\n    """Say."""\n    if x:\n        return 1\n    return 2\n\nD = {"a": lambda row: row}\nE = 1\n'
    )
    assert lines_of_code(tree) == {3, 4, 5, 7}


def test_the_readmes_example_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "96515.493" in done.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "cassettes").glob("*.json")), ids=lambda path: path.name)
def test_recordings_are_labelled_small_and_without_secrets(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    data = json.loads(text)
    made_from = data["metadata"]["xex"]["made_from"]
    assert path.stem.endswith("synthetic") == made_from.startswith("synthetic")
    assert path.stem.endswith("live") == (made_from == "live")
    assert path.name in (ROOT / "cassettes/README.md").read_text(encoding="utf-8")
    assert len(data["interactions"]) < 100
    assert len(text) < 300_000
    for secret in ("apikey", "api-key", "signature", "set-cookie", "authorization", "passphrase", "127.0.0.1"):
        assert secret not in text.lower()
    assert all(not entry["request"]["headers"] for entry in data["interactions"])
