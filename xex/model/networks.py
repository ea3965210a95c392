"""How long a network takes for a block: a line of `networks.csv` each, with its source.

A network without a line is one of which nothing is claimed. Where blocks vary the figure is their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from xex.model.units import Evidence


@dataclass(frozen=True, slots=True)
class Block:
    """One line of the table."""

    network: str
    block_s: float
    evidence: Evidence
    source: str


@cache
def blocks() -> dict[str, Block]:
    """Return every line of the table by the network's one name, read once."""
    import csv
    from importlib import resources

    text = (resources.files("xex.model") / "networks.csv").read_text(encoding="utf-8")
    return {
        line["network"]: Block(line["network"], float(line["block_s"]), Evidence(line["evidence"]), line["source"])
        for line in csv.DictReader(text.splitlines())
    }


def block_s(network: str) -> float:
    """Return the seconds from block to block, NaN where no line says.

    >>> block_s("ethereum"), block_s("nowhere")
    (12.0, nan)
    """
    known = blocks().get(network)
    return float("nan") if known is None else known.block_s
