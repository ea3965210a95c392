"""The notebooks: kept without outputs, and run as a reader runs them, in a kernel without a network."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.children import KERNEL_WARNINGS

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# The kernel talks to the test on this machine and to nothing else.
OFFLINE = """
import socket
looked_up = socket.getaddrinfo
def refuse(host, *args, **kwargs):
    if host in {"127.0.0.1", "localhost", "::1"}:
        return looked_up(host, *args, **kwargs)
    raise socket.gaierror(socket.EAI_NONAME, "no network in tests")
socket.getaddrinfo = refuse
"""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.name)
def executed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a notebook after a run from top to bottom; a cell that fails fails the test here."""
    home = tmp_path_factory.mktemp("kernel")
    (home / "sitecustomize.py").write_text(OFFLINE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXCHANGE_")}
    folders = {name: str(home) for name in ("PYTHONPATH", "IPYTHONDIR", "MPLCONFIGDIR")}
    strict = {"PYTHONWARNINGS": KERNEL_WARNINGS}
    folders["XDG_CACHE_HOME"] = str(home / "cache")
    notebook = read(request.param)
    notebook.metadata["name"] = request.param.name
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(home)}})
    manager = client.create_kernel_manager()
    manager.transport, manager.ip = "ipc", str(home / "k")  # of TCP it says on stderr that others may listen
    with (home / "stderr").open("w+") as stderr:
        client.execute(env={**kept, **folders, **strict}, stderr=stderr)
        stderr.seek(0)
        assert stderr.read() == ""
    yield notebook
    assert not list((home / "cache").rglob("*.json")), "a replay keeps nothing"


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_there_is_a_notebook() -> None:
    assert [path.name for path in NOTEBOOKS] == list(SHOWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    assert all(not cell.metadata for cell in notebook.cells)
    assert "synthetic" in notebook.cells[0].source


def test_every_cell_runs_without_an_error(executed: Any) -> None:
    assert not [output for output in outputs(executed) if output.output_type == "error"]
    assert not [output for output in outputs(executed) if output.get("name") == "stderr"]
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")


def test_pictures_are_drawn(executed: Any) -> None:
    pictures = [output.data["image/png"] for output in outputs(executed) if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2
    assert len(set(pictures)) == len(pictures)
    for picture in pictures:
        assert base64.b64decode(picture).startswith(b"\x89PNG")


def told(executed: Any) -> str:
    text = "\n".join(str(output.get("text") or output.data.get("text/plain", "")) for output in outputs(executed))
    assert "synthetic" in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    return text


def number(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    assert found, pattern
    return float(found[1].replace(",", ""))


def test_what_it_shows_is_right(executed: Any) -> None:
    SHOWN[executed.metadata["name"]](told(executed))


def first_snapshot(text: str) -> None:
    """Look for OKX's best bid and ask, and a price between the lowest and the highest of all venues."""
    assert re.search(r"okx +USDT 96,526\.80 96,526\.90 ", text)
    assert 96_502 < number(text, r"price, USDT +([\d,.]+) ") < 96_527
    assert 96_482 < number(text, r"price, USDT +[\d,.]+ ([\d,.]+)") < 96_496
    assert "kraken is left out: not_recorded" in text


def price_and_dispersion(text: str) -> None:
    """Look at what moves by a venue that claims a hundred times its volume: what weighs by it, by its 20 bps."""
    assert 96_502 < number(text, r"The price ([\d,.]+) is the weighted mean") < 96_527
    assert number(text, r"(?m)^vwap +[-\d.]+ +([-\d.]+)") > 15
    assert abs(number(text, r"(?m)^robust +[-\d.]+ +([-\d.]+)")) < 4
    assert number(text, r"converted +([\d.]+)") > 99
    assert number(text, r"taken at par +([\d.]+)") < 40


def arbitrage(text: str) -> None:
    """See that what was planted is left: four pairs of C7, and no other."""
    assert number(text, r"that pay after fees, (\d+) executable") == 4
    wrong, called = number(text, r"executable, (\d+) of them wrong"), number(text, r"haircut: (\d+) called executable")
    assert (called - wrong, wrong > 10) == (4, True)
    assert re.search(r"C7:spot +alpha +delta +7\d\.\d\d", text)
    assert "identity" in text
    assert "market_state" in text
    assert re.search(r"second by second: \[0, 0, 4, [1-4]", text)
    # 3,993 USDT buy BTC, BTC buys ETH at 0.03991, ETH sells at 4,000: what comes back, by hand, over what went in.
    assert number(text, r"USDT +(6\.\d\d)") == pytest.approx(
        3993 * (1 / (100_010 * 1.0002) / (0.03991 * 1.0002) * 4000 * 0.9998 - 1), abs=0.01
    )
    assert "0 ways round" in text


def derivatives(text: str) -> None:
    """See that the ten parts of the one large order are one row, and that what was closed by force adds up."""
    assert re.search(r"synthetic tape: 4,010 trades, 1 large", text)
    assert re.search(r"buy +25\.0000 +60,000\.0000 1,500,000\.0000 +10\.0000", text)
    longs, shorts = number(text, r"long (\d+)\."), number(text, r"short (\d+)\.")
    assert longs > 2 * shorts > 0
    assert re.search(r"\w+:linear +\w+ +\w+ +[\d.]+ +0\.\d+ +20\.0000", text)


SHOWN = {
    "01_first_snapshot.ipynb": first_snapshot, "02_price_and_dispersion.ipynb": price_and_dispersion,
    "03_arbitrage.ipynb": arbitrage, "04_derivatives.ipynb": derivatives,
}  # fmt: skip
