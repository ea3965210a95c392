"""What the tree as a whole promises: no venue's name in shared code, a README that runs, recordings without secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VENUES = ("binance", "okx", "okex", "htx", "huobi", "bybit", "kraken", "coinglass")
# Names are allowed where they are the contract itself, or a sentence for people.
ALLOWED = {"xex/config.py", "xex/model/instruments.py"}
SHARED = [*(ROOT / "xex").rglob("*.py"), ROOT / "connectors/xex_connectors/ccxt_adapter.py",
                            ROOT / "connectors/xex_connectors/mapping.py"]  # fmt: skip


def code_of(path: Path) -> str:
    """Return a file without docstrings and comments."""
    text = re.sub(r'"""(?:.|\n)*?"""', "", path.read_text(encoding="utf-8"))
    return "\n".join(line.split("#")[0] for line in text.splitlines())


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_shared_code_names_no_venue(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() in ALLOWED:
        return
    code = code_of(path).lower()
    assert [name for name in VENUES if re.search(rf"\b{name}\b", code)] == []


@pytest.mark.parametrize("name", ["binance", "kraken", "okx"])
def test_a_venue_is_one_small_file(name: str) -> None:
    lines = (ROOT / "connectors/xex_connectors" / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 160


def test_the_readmes_example_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "96516.138" in done.stdout


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
