"""The whole market from bytes to frame, against ccxt's parse and a DataFrame on the same bytes."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from typing import Any

import aiohttp
import pandas as pd

import xex
from tests.lab import Lab, big_truth
from xex.access.transport import Response, Transport
from xex.model import schema

ROUNDS = 15
VENUES = ("binance", "okx", "kraken")
# Both sides read the same four bodies: Binance's volumes and its quotes, OKX swaps, Kraken perpetuals.
BODIES = {
    "/fapi/v1/ticker/24hr": "binance",
    "/fapi/v1/ticker/bookTicker": "binance",
    "/api/v5/market/tickers?instType=SWAP": "okx",
    "/derivatives/api/v3/tickers": "kraken",
}
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("binanceusdm", "fetch_tickers", {}),
    ("binanceusdm", "fetch_bids_asks", {}),
    ("okx", "fetch_tickers", {"params": {"type": "swap"}}),
    ("krakenfutures", "fetch_tickers", {}),
]


async def ccxt_clients(lab: Lab) -> dict[str, Any]:
    from tests.benchmarks.test_snapshot_speed import plain_ccxt

    clients = plain_ccxt(lab.urls)
    for client in clients.values():
        client.enableRateLimit = False
    await asyncio.gather(*(clients[name].load_markets() for name in dict.fromkeys(call[0] for call in CALLS)))
    return clients


async def measured() -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"xex": [], "ccxt": []}
    async with Lab(big_truth(600)) as lab, xex.ExchangeManager(cache=False) as xm:
        for venue in VENUES:
            xm.add_exchange(xex.ExchangeConfig(venue, venue, base_url=lab.url(venue)))
        await xm.connect_all()
        clients = await ccxt_clients(lab)
        bodies: dict[str, Response] = {}
        real = Transport.send

        async def canned(self: Transport, route: Any, method: str, url: str, *rest: Any, **more: Any) -> Response:
            if url not in bodies:
                bodies[url] = await real(self, route, method, url, *rest, **more)
            return bodies[url]

        Transport.send = canned  # type: ignore[method-assign]
        try:
            market = await xm.tickers(market="perp")
            async with aiohttp.ClientSession() as session:
                texts = {path: await _text(session, lab.url(venue) + path) for path, venue in BODIES.items()}
            for client in clients.values():
                _serve(client, texts)
            await _all_of_ccxt(clients)
            gc.collect()
            for _ in range(ROUNDS):
                start = time.perf_counter()
                market = await xm.tickers(market="perp")
                took["xex"].append(1e3 * (time.perf_counter() - start))
                start = time.perf_counter()
                parts = await _all_of_ccxt(clients)
                frame = pd.DataFrame([row for part in parts for row in part.values()])
                took["ccxt"].append(1e3 * (time.perf_counter() - start))
        finally:
            Transport.send = real  # type: ignore[method-assign]
        await asyncio.gather(*(client.close() for client in clients.values()))
    # ccxt keeps index rows and dated contracts, and has Binance's quotes in rows of their own.
    perpetual = frame["symbol"].isin(set(market["instrument"]))
    assert perpetual.sum() == len(market) + (market["venue"] == "binance").sum()
    assert len(market) > 1800
    assert list(market.columns) == list(schema.SCHEMAS["tickers"])
    return took


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as response:
        return await response.text()


async def _all_of_ccxt(clients: dict[str, Any]) -> list[dict[str, Any]]:
    return [await getattr(clients[name], call)(**arguments) for name, call, arguments in CALLS]


def _serve(client: Any, texts: dict[str, str]) -> None:
    """Answer from the same bytes, decoded as ccxt decodes them."""

    async def fetch(url: str, *_: Any, **__: Any) -> Any:
        return client.parse_json(next(text for path, text in texts.items() if path in url))

    client.fetch = fetch


def test_the_whole_market_is_ten_times_faster_than_ccxt(benchmark: Any) -> None:
    took = benchmark.pedantic(lambda: asyncio.run(measured()), rounds=1)
    medians = {name: statistics.median(times) for name, times in took.items()}
    ratio = medians["ccxt"] / medians["xex"]
    benchmark.extra_info.update({**medians, "ratio": ratio})
    print(f"\nwhole market, garbage collector on: xex {medians['xex']:.1f} ms, ccxt and a DataFrame "
          f"{medians['ccxt']:.1f} ms on the same bytes; ratio {ratio:.1f}")  # fmt: skip
    assert ratio >= 10
