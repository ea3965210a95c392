"""Each column map against ccxt's own parse of the same body in base units, and against recorded data."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.lab import Lab, default_truth
from tests.test_snapshot import CONNECTORS
from xex.errors import BadPayload
from xex.model.schema import texts
from xex.model.units import to_base
from xex_connectors import KrakenConnector, OkxConnector
from xex_connectors.mapping import (
    BookMap,
    ErrorBody,
    TickerMap,
    book_columns,
    decode,
    listings,
    ticker_columns,
    trimmed,
)

DATA = Path(os.environ.get("XEX_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))
recorded = pytest.mark.skipif(not DATA.is_dir(), reason="needs recorded data: ../shared/data or XEX_DATA")

CLASSES = {
    ("binance", "linear"): "binanceusdm", ("binance", "spot"): "binance", ("bybit", "linear"): "bybit",
    ("bybit", "spot"): "bybit", ("htx", "linear"): "htx", ("htx", "spot"): "htx", ("kraken", "linear"): "krakenfutures",
    ("kraken", "spot"): "kraken", ("okx", "linear"): "okx", ("okx", "spot"): "okx",
}  # fmt: skip
# What ccxt's unified ticker counts, by hand from the venues' documentation.
CCXT_SIZE_IN_CONTRACTS = {("okx", "linear"), ("htx", "linear")}
CCXT_VOLUME_OF_BOTH_SIDES = {("htx", "linear")}


@contextmanager
def ccxt_client(name: str) -> Iterator[Any]:
    import ccxt

    yield getattr(ccxt, name)()


@pytest.mark.parametrize(("venue", "kind"), CLASSES)
async def test_a_ticker_map_equals_ccxt_in_base_units(venue: str, kind: Any) -> None:
    truth = default_truth()
    name = CLASSES[venue, kind]
    connector = CONNECTORS[venue]
    async with Lab(truth) as lab:
        bodies = [
            await _get(lab, venue, name, spec.call, dict(spec.params)) for spec in connector.markets[kind].tickers
        ]
        spec = connector.markets[kind].instruments
        instruments = await _get(lab, venue, name, spec.call, dict(spec.params))
    with ccxt_client(name) as client:
        table = listings(instruments, connector.markets[kind], kind, venue)
        checked = 0
        for body, ticker_map in zip(bodies, connector.markets[kind].tickers, strict=True):
            columns = ticker_columns(body, ticker_map)
            for place, native_id in enumerate(columns["id"]):
                row = table.row_of_id(native_id, (kind,))
                if row is None:
                    continue
                size = float(table.columns["contract_size"][row])
                mine = {key: values[place] for key, values in columns.items() if key in _UNIFIED}
                raw = {key: np.array([value]) for key, value in mine.items()}
                done = to_base(raw, connector.markets[kind].units, np.array([size]), np.ones(1))
                theirs = _ccxt_ticker(client, ticker_map, body, native_id, kind)
                for key in mine:
                    if key == "base_volume" and (venue, kind) == ("okx", "linear"):
                        continue  # ccxt gives contracts here; the recorded bodies below prove the coin field
                    want = theirs[_UNIFIED[key]]
                    if key in {"high", "low"} and name == "krakenfutures":
                        continue  # ccxt leaves them out
                    factor = 1.0
                    if key in {"bid_size", "ask_size"} and (venue, kind) in CCXT_SIZE_IN_CONTRACTS:
                        factor = size
                    if key == "base_volume" and (venue, kind) in CCXT_VOLUME_OF_BOTH_SIDES:
                        factor = 0.5
                    assert float(done[key][0]) == pytest.approx(float(want) * factor, rel=1e-12), (native_id, key)
                    checked += 1
    assert checked > 20


_UNIFIED = {
    "bid": "bid", "ask": "ask", "bid_size": "bidVolume", "ask_size": "askVolume", "last": "last", "high": "high",
    "low": "low", "base_volume": "baseVolume",
}  # fmt: skip


def _ccxt_ticker(client: Any, spec: TickerMap, body: bytes, native_id: str, kind: str) -> dict[str, Any]:
    data = json.loads(body)
    rows = data
    for part in spec.rows.split(".") if spec.rows else ():
        rows = rows[part]
    row = rows[native_id] if isinstance(rows, dict) else next(row for row in rows if row[spec.id] == native_id)
    market = {"id": native_id, "symbol": "X/Y:Y", "linear": kind != "spot", "inverse": False, "index": False,
              "spot": kind == "spot", "swap": kind != "spot", "contractSize": 1,
              "type": "spot" if kind == "spot" else "swap", "contract": kind != "spot"}  # fmt: skip
    client.markets = client.markets or {}  # HTX's parser looks for futures among them
    parsed: dict[str, Any] = client.parse_ticker(row, market)
    return parsed


async def _get(lab: Lab, venue: str, name: str, call: str, params: dict[str, Any]) -> bytes:
    """Fetch what ccxt's implicit method would, as bytes."""
    import aiohttp
    import ccxt
    import yarl

    client = getattr(ccxt, name)()
    signed: dict[str, Any] = {}
    client.fetch = lambda url, *_: signed.setdefault("url", url)
    getattr(client, call)(params)
    path = "/" + signed["url"].split("://", 1)[1].split("/", 1)[1]
    async with aiohttp.ClientSession() as session, session.get(yarl.URL(lab.url(venue) + path, encoded=True)) as got:
        return await got.read()


@recorded
@pytest.mark.parametrize(("venue", "kind"), CLASSES)
def test_recorded_instruments_have_ccxts_names_and_contract_sizes(venue: str, kind: Any) -> None:
    name = CLASSES[venue, kind]
    file = {"binanceusdm": "binance"}.get(name, name)
    markets = json.loads((DATA / "ccxt_static" / "markets" / f"{file}.json").read_bytes())
    wanted = {
        symbol: market
        for symbol, market in markets.items()
        if (market["spot"] if kind == "spot" else market["swap"] and market["linear"]) and not market.get("expiry")
    }
    connector = CONNECTORS[venue]
    spec = connector.markets[kind].instruments
    rows: Any = [market["info"] for market in wanted.values()]
    if name == "kraken":
        rows = {market["id"]: market["info"] for market in wanted.values()}
    envelope: dict[str, Any] = {}
    *outer, last = spec.rows.split(".")
    inner = envelope
    for part in outer:
        inner = inner.setdefault(part, {})
    inner[last] = rows
    if spec.ok:
        envelope[spec.ok[0]] = spec.ok[1] or []
    with ccxt_client(name):
        table = listings(json.dumps(envelope).encode(), connector.markets[kind], kind, venue)
    found = {table.symbols[row]: row for row in range(len(table))}
    assert found.keys() == wanted.keys()
    for symbol, row in found.items():
        market = wanted[symbol]
        size = float(market["contractSize"] or 1)
        in_contracts = size if (venue, kind) in CCXT_SIZE_IN_CONTRACTS else 1.0
        assert table.columns["id"][row] == market["id"]
        assert table.columns["contract_size"][row] == pytest.approx(size)
        assert table.columns["tick"][row] == pytest.approx(market["precision"]["price"])
        if name != "kraken":  # ccxt coarsens it to the asset's own precision, which another endpoint tells
            assert table.columns["lot"][row] == pytest.approx(market["precision"]["amount"] * in_contracts)
        if market["limits"]["amount"].get("min"):
            least = market["limits"]["amount"]["min"] * (1.0 if name == "htx" else in_contracts)  # ccxt: coins at HTX
            assert table.columns["min_amount"][row] == pytest.approx(least)
        assert bool(table.columns["active"][row]) is bool(market.get("active", True))


@recorded
@pytest.mark.parametrize(
    ("venue", "case", "scale"), [("binance", "swap orderbook", 1.0), ("okx", "Swap orderbook", 0.01)]
)
def test_recorded_books(venue: str, case: str, scale: float) -> None:
    cases = json.loads((DATA / "ccxt_static" / "response" / f"{venue}.json").read_bytes())["methods"]["fetchOrderBook"]
    one = next(entry for entry in cases if entry["description"] == case)
    connector = CONNECTORS[venue]
    columns = book_columns(json.dumps(one["httpResponse"]).encode(), connector.markets["linear"].book)
    count = len(columns["side"])
    done = to_base(columns, connector.markets["linear"].units, np.full(count, scale), np.ones(count))
    levels = list(zip(done["side"], done["price"].tolist(), done["size"].tolist(), strict=True))
    want = [(side[:-1], level[0], pytest.approx(level[1] * scale)) for side in ("bids", "asks")
            for level in one["parsedResponse"][side]]  # fmt: skip
    assert levels == want
    assert done["exchange_time"][0] == one["parsedResponse"]["timestamp"]


# Typed by hand from the venues' documentation and recorded rows, so that a clone alone proves the unit rules too.


def test_an_okx_swap_row() -> None:
    body = b"""{"code":"0","msg":"","data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","last":"43466.4",
    "askPx":"43466.4","askSz":"14881","bidPx":"43466.3","bidSz":"13807","open24h":"43000","high24h":"44000","low24h":"42000",
    "volCcy24h":"120345.67","vol24h":"12034567","ts":"1706612067750"}]}"""
    columns = ticker_columns(body, OkxConnector.markets["linear"].tickers[0])
    columns.pop("id")
    done = to_base(columns, OkxConnector.markets["linear"].units, np.array([0.01]), np.ones(1))
    assert done["ask_size"][0] == pytest.approx(148.81)
    assert done["bid_size"][0] == pytest.approx(138.07)
    assert done["base_volume"][0] == pytest.approx(120345.67)
    assert done["quote_volume"][0] == pytest.approx(120345.67 * 43466.4)
    assert done["exchange_time"][0] == 1706612067750


def test_a_multiplied_contract() -> None:
    """1000PEPE at 0.0123 is PEPE at 0.0000123; 5 contracts of it are 5,000 PEPE."""
    one = np.ones(1)
    rule = CONNECTORS["binance"].markets["linear"].units
    done = to_base({"bid": 0.0123 * one, "bid_size": 5 * one, "base_volume": 7 * one}, rule, one, 1000 * one)
    assert done["bid"][0] == pytest.approx(0.0000123)
    assert done["bid_size"][0] == 5000
    assert done["base_volume"][0] == 7000


SPEC = TickerMap("x", id="s", fields={"bid": "b", "last": "l", "base_volume": "v"}, rows="d", ok=("code", "0"))


@pytest.mark.parametrize(
    ("body", "bid"),
    [
        (b'{"code":"0","d":[{"s":"A","b":"1.5","l":"2","v":"3"}]}', 1.5),
        (b'{"code":0,"d":[{"s":"A","b":1.5,"l":2,"v":3}]}', 1.5),
        (b'{"code":"0","d":[{"s":"A","b":"","l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","b":null,"l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","b":"abc","l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","b":"NaN","l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","b":"Infinity","l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","b":"1e400","l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","b":"-1","l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","b":"0","l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","b":true,"l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","b":{},"l":"2","v":"3"}]}', math.nan),
        (b'{"code":"0","d":[{"s":"A","l":"2","v":"3"}]}', math.nan),
    ],
)
def test_one_odd_cell_costs_that_cell(body: bytes, bid: float) -> None:
    columns = ticker_columns(body, SPEC)
    assert columns["id"] == ["A"]
    assert columns["bid"][0] == pytest.approx(bid, nan_ok=True)
    assert columns["last"][0] == 2
    assert columns["base_volume"][0] == 3


@pytest.mark.parametrize(
    "body",
    [b'{"code":"50001","msg":"down","d":[]}', b'{"code":"50001"}', b'{"error":"no"}', b'{"code":"1","d":[{"s":"A"}]}'],
)
def test_an_error_envelope_is_no_empty_market(body: bytes) -> None:
    with pytest.raises(ErrorBody):
        ticker_columns(body, SPEC)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"code":"0","d":[{"s":"A"', b'{"code":"0","d":5}', b'{"code":"0","d":NaN}']
)
def test_what_is_no_answer_is_a_bad_payload(body: bytes) -> None:
    with pytest.raises(BadPayload):
        ticker_columns(body, SPEC)


BOOK = BookMap("x", id="s", bids="b", asks="a", limit="n", depths=(2,))


def test_a_book_is_sorted_and_marked_where_it_was_cut() -> None:
    columns = book_columns(b'{"b":[["9","1"],["10","2"]],"a":[["11","1"]]}', BOOK)
    assert texts(columns, "side") == ["bid", "bid", "ask"]
    assert columns["price"].tolist() == [10, 9, 11]
    assert columns["size"].tolist() == [2, 1, 1]
    assert columns["level"].tolist() == [0, 1, 0]
    assert columns["censored"].tolist() == [True, True, False]


@pytest.mark.parametrize(
    "body",
    [
        b'{"b":[],"a":[]}',
        b'{"b":[]}',
        b'{"b":[["x"]],"a":[]}',
        b'{"b":[["0","1"]],"a":[["1","-1"]]}',
        b'{"b":[[null,1]],"a":[]}',
    ],
)
def test_a_book_without_a_usable_level_is_an_error(body: bytes) -> None:
    with pytest.raises(BadPayload):
        book_columns(body, BOOK)


def test_a_body_is_trimmed_to_what_was_asked_for() -> None:
    body = b'{"code":"0","d":[{"s":"A","b":"1"},{"s":"B","b":"2"}]}'
    assert json.loads(trimmed(body, "d", "s", {"B"})) == {"code": "0", "d": [{"s": "B", "b": "2"}]}
    assert json.loads(trimmed(body, "d", "s", {"C"}))["d"] == [{"s": "A", "b": "1"}]  # a list is never empty


def test_an_instrument_of_unknown_contract_size_is_left_out() -> None:
    good = {"instId": "BTC-USDT-SWAP", "ctType": "linear", "ctVal": "0.01", "ctValCcy": "BTC", "ctMult": "1",
            "settleCcy": "USDT", "lotSz": "1", "minSz": "1", "tickSz": "0.1", "state": "live"}  # fmt: skip
    rows = [good, {**good, "instId": "ETH-USDT-SWAP", "ctVal": ""}, {**good, "instId": "SOL-USDT-SWAP"}]
    body = json.dumps({"code": "0", "data": rows}).encode()
    table = listings(body, OkxConnector.markets["linear"], "linear", "okx")
    assert table.symbols == ["BTC/USDT:USDT"]


def test_kraken_names_by_the_websocket_name_or_the_prefix_rule() -> None:
    row = {"wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "status": "online", "lot_decimals": 8}
    bare = {"base": "XETH", "quote": "ZEUR", "status": "online", "lot_decimals": 8}
    body = json.dumps({"error": [], "result": {"XXBTZUSD": row, "XETHZEUR": bare}}).encode()
    table = listings(body, KrakenConnector.markets["spot"], "spot", "kraken")
    assert table.symbols == ["BTC/USD", "ETH/EUR"]


def test_pages_may_end_empty_and_overlap_and_a_dark_pool_is_no_market() -> None:
    row = {"symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC",
           "quoteCoin": "USDT", "settleCoin": "USDT", "deliveryTime": "0"}  # fmt: skip
    market = CONNECTORS["bybit"].markets["linear"]

    def page(rows: list[dict[str, str]], *, more: bool = False) -> Any:
        body = json.dumps({"retCode": 0, "result": {"list": rows}}).encode()
        return listings(body, market, "linear", "bybit", more=more)

    with pytest.raises(BadPayload):
        page([])
    assert len(page([], more=True)) == 0
    assert type(page([row])).joined([page([row]), page([row], more=True)]).symbols == ["BTC/USDT:USDT"]
    plain = {"wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "status": "online", "lot_decimals": 8}
    dark = {"base": "XXBT", "quote": "ZUSD", "status": "online", "lot_decimals": 8}
    body = json.dumps({"error": [], "result": {"XXBTZUSD.d": dark, "XXBTZUSD": plain}}).encode()
    assert listings(body, KrakenConnector.markets["spot"], "spot", "kraken").columns["id"] == ["XXBTZUSD"]


def test_a_body_that_is_nested_too_deeply_is_a_bad_payload() -> None:
    with pytest.raises(BadPayload, match="nested too deeply"):
        decode(b"[" * 100_000 + b"]" * 100_000)
