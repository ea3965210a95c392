"""A lab in a process of its own, so that serving does not share the interpreter with what is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

LATENCY_MS = 125


@pytest.fixture(scope="session")
def lab_urls() -> Iterator[dict[str, str]]:
    """Return the addresses of a lab that answers after 125 ms."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab", "--latency", str(LATENCY_MS), "--cache", "1"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield said.get("urls", said)
    finally:
        process.terminate()
        process.wait(timeout=5)
        process.stdout.close()
