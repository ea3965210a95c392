"""Seven ccxt objects from disk, against the same files read by the fastest JSON reader and `set_markets`."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

import xex
from tests.lab import Lab, big_truth
from xex.access.cache import MetadataCache
from xex_connectors.ccxt_adapter import _seamed, import_ccxt
from xex_connectors.warm_markets import Shelf

ROUNDS = 9
CLASSES = {
    "binance": ("binance", "spot"), "binanceusdm": ("binance", "linear"), "bybit": ("bybit", "spot"),
    "htx": ("htx", "spot"), "kraken": ("kraken", "spot"), "krakenfutures": ("kraken", "linear"), "okx": ("okx", "spot"),
}  # fmt: skip


async def save(folder: Path) -> None:
    """Let each class load a thousand markets from the lab."""
    async with Lab(big_truth(1000, levels=2)) as lab, xex.ExchangeManager(cache=False) as xm:
        xm._cache = MetadataCache(folder)
        for venue in dict.fromkeys(venue for venue, _ in CLASSES.values()):
            xm.add_exchange(xex.ExchangeConfig(venue, venue, base_url=lab.url(venue)))
        for venue, market in CLASSES.values():
            assert len(await xm.ccxt(venue, market).load_markets()) >= 1000  # type: ignore[arg-type]


def restored(clients: dict[str, Any], files: dict[str, str], folder: Path) -> None:
    cache, version = MetadataCache(folder), import_ccxt().__version__
    for name, key in files.items():
        assert Shelf(cache, key, version)._restore(clients[name])


def set_by_ccxt(clients: dict[str, Any], files: dict[str, str], folder: Path, loads: Callable[[bytes], Any]) -> None:
    for name, key in files.items():
        data = loads((folder / f"{key}.json").read_bytes())
        markets = [market for rows in data["rows"].values() for market in rows]
        clients[name].set_markets(markets, None if data["base_currencies"] else data["currencies"])


def measured(folder: Path) -> tuple[dict[str, list[float]], dict[str, Any], dict[str, Any]]:
    asyncio.run(save(folder))
    files = {name: next(folder.glob(f"ccxt-{name}-*.json")).stem for name in CLASSES}
    ways: dict[str, Callable[[dict[str, Any]], None]] = {
        "xex": lambda clients: restored(clients, files, folder),
        "orjson": lambda clients: set_by_ccxt(clients, files, folder, orjson.loads),
        "json": lambda clients: set_by_ccxt(clients, files, folder, json.loads),
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    made: dict[str, dict[str, Any]] = {}
    for _ in range(ROUNDS):
        for way, load in ways.items():
            made.pop(way, None)
            clients = {name: _seamed(name)({"enableRateLimit": False}) for name in files}
            gc.collect()
            start = time.perf_counter()
            load(clients)
            took[way].append(1e3 * (time.perf_counter() - start))
            made[way] = clients
    return took, made["xex"], made["orjson"]


# The collector is a third and more of what set_markets costs, and costs a warm start nothing.
@pytest.mark.parametrize(("collector", "least"), [("on", 15), ("off", 10)])
def test_a_warm_start_is_many_times_faster_than_set_markets(
    collector: str, least: int, tmp_path: Path, benchmark: Any
) -> None:
    import_ccxt()
    if collector == "off":
        gc.disable()
    try:
        took, mine, theirs = benchmark.pedantic(lambda: measured(tmp_path), rounds=1)
    finally:
        gc.enable()
    count = sum(len(client.markets) for client in mine.values())
    assert count > 7000
    assert all(mine[name].markets == client.markets for name, client in theirs.items())
    medians = {name: statistics.median(times) for name, times in took.items()}
    ratio = medians["orjson"] / medians["xex"]
    benchmark.extra_info.update({**medians, "ratio": ratio})
    print(f"\n{count} markets of {len(mine)} classes from disk, garbage collector {collector}: xex "
          f"{medians['xex']:.1f} ms, orjson and set_markets {medians['orjson']:.1f} ms, json and set_markets "
          f"{medians['json']:.1f} ms; ratio {ratio:.1f}")  # fmt: skip
    assert ratio >= least
