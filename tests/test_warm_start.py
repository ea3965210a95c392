"""Venue metadata from disk: ccxt's own markets, read one by one, and our lists of instruments."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import operator
import pickle
import random
import re
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson
import pytest
from tenacity import wait_random_exponential

import xex
from tests.conftest import NO_KEYS, VENUES, configured
from tests.lab import Lab, big_truth, default_truth, running_lab
from tests.lab.venues import METADATA
from tests.test_lookup import NEWS, lists_read, settled
from xex.access import budgets, retry
from xex.access.cache import FRESH_MS, MetadataCache
from xex.model import clock
from xex_connectors import ccxt_adapter, warm_markets
from xex_connectors.warm_markets import Lazy

ccxt = ccxt_adapter.import_ccxt()
HOUR_MS = 3_600_000


class Class(NamedTuple):
    """A ccxt class: whose it is, two of its symbols, the first one's id and kind, and what else it answers."""

    exchange: str
    market: Any
    symbol: str
    other: str
    id: str
    kind: str
    more: tuple[str, ...]


CLASSES = {
    "binance": Class("binance", "spot", "BTC/USDT:USDT", "C0007/USDT:USDT", "BTCUSDT", "swap",
                     ("fetch_bids_asks", "fetch_trades", "fetch_open_interest")),
    "binanceusdm": Class("binance", "linear", "BTC/USDT:USDT", "C0007/USDT:USDT", "BTCUSDT", "swap",
                         ("fetch_bids_asks", "fetch_trades", "fetch_open_interest")),
    "okx": Class("okx", None, "BTC/USDT:USDT", "C0007/USDT:USDT", "BTC-USDT-SWAP", "swap",
                 ("fetch_trades", "fetch_open_interest")),
    "htx": Class("htx", None, "BTC/USDT:USDT", "C0007/USDT:USDT", "BTC-USDT", "swap",
                 ("fetch_trades", "fetch_open_interest", "fetch_currencies")),
    "bybit": Class("bybit", None, "BTC/USDT:USDT", "C0007/USDT:USDT", "BTCUSDT", "swap",
                   ("fetch_bids_asks", "fetch_trades", "fetch_funding_rate")),
    "kraken": Class("kraken", "spot", "BTC/USDT", "C0007/USD", "XBTUSDT", "spot",
                    ("fetch_trades", "fetch_currencies")),
    "krakenfutures": Class("kraken", "linear", "BTC/USD:USD", "C0007/USD:USD", "PF_XBTUSD", "swap",
                           ("fetch_funding_rate", "fetch_funding_rates")),
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """A lab with a thousand markets of each class, objects that read them from it, and what they left on disk."""

    lab: Lab
    home: Path
    loaded: dict[str, Any]

    def file(self, name: str) -> Path:
        (found,) = (self.home / "xex").glob(f"ccxt-{name}-*.json")
        return found


@asynccontextmanager
async def managed(lab: Lab, *venues: str, cache: bool = True, **config: Any) -> AsyncIterator[xex.ExchangeManager]:
    async with xex.ExchangeManager(cache=cache, deadline=5) as xm:
        for venue in venues or VENUES:
            assert xm.add_exchange(configured(lab, venue, **config))
        yield xm


def folder_of(xm: xex.ExchangeManager) -> Path:
    assert xm._cache.folder is not None
    return xm._cache.folder


def client_of(xm: xex.ExchangeManager, name: str) -> Any:
    """Return the ccxt object itself, whose other methods are to be called as well."""
    return xm.ccxt(CLASSES[name].exchange, CLASSES[name].market)._client


@pytest.fixture(scope="module")
def world(loaded: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:  # noqa: ARG001  imports first
    home, now_ms = tmp_path_factory.mktemp("warm"), int(time.time() * 1000)

    async def cold() -> dict[str, Any]:
        async with managed(lab) as xm:
            clients = {name: client_of(xm, name) for name in CLASSES}
            await asyncio.gather(*(client.load_markets() for client in clients.values()))
            return clients

    with running_lab(big_truth(1000, levels=2), now_ms=lambda: now_ms, cache_s=600) as lab:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(home))
            gc.disable()
            clients = asyncio.run(cold())
            gc.enable()
        yield World(lab, home, clients)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly wait between tries, and spare the collector what the tests before left: each test collects garbage."""
    gc.freeze()
    monkeypatch.setattr(retry.Wait, "_jitter", wait_random_exponential(multiplier=0.001, max=0.01))


@pytest.fixture
def warm(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Let the next manager find what is on disk."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(world.home))
    return world


def later(monkeypatch: pytest.MonkeyPatch, by_ms: int) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: time.time_ns() // 1_000_000 + by_ms)


# --- a ccxt object from disk -------------------------------------------------------------------------------------


def set_by_ccxt(name: str, markets: list[Any]) -> set[str]:
    """Return every attribute that `set_markets` sets, with currencies and without."""
    names: set[str] = set()

    class Spy(getattr(ccxt, name)):  # type: ignore[misc]
        def __setattr__(self, attribute: str, value: Any) -> None:
            names.add(attribute)
            super().__setattr__(attribute, value)

    spy = Spy()
    names.clear()
    spy.set_markets(markets)
    spy.set_markets(markets, {"BTC": {"id": "btc", "code": "BTC"}})
    return names


@pytest.mark.parametrize("name", CLASSES)
async def test_what_is_restored_equals_what_ccxt_made_of_the_answer(name: str, warm: World) -> None:
    theirs = warm.loaded[name]
    assert len(theirs.markets) >= 1000
    async with managed(warm.lab, CLASSES[name].exchange) as xm:
        mine = client_of(xm, name)
        assert await mine.load_markets() is mine.markets
    assert isinstance(mine.markets, Lazy)
    attributes = set_by_ccxt(name, list(theirs.markets.values())[:9])
    assert attributes >= {"markets", "markets_by_id", "symbols", "ids", "currencies", "currencies_by_id", "codes"}
    for attribute in attributes:
        restored, made = getattr(mine, attribute), getattr(theirs, attribute)
        assert restored == made, attribute
        if isinstance(made, dict):
            assert list(restored) == list(made), attribute
    # What loading leaves elsewhere: Kraken's other names, HTX's networks.
    assert mine.options == theirs.options


def test_what_loading_leaves_in_options_is_something(world: World) -> None:
    assert len(world.loaded["kraken"].options["marketsByAltname"]) >= 1000
    assert world.loaded["htx"].options["networkChainIdsByNames"]


@pytest.mark.parametrize("name", CLASSES)
async def test_a_warm_start_asks_for_no_metadata(name: str, warm: World) -> None:
    symbol = CLASSES[name].symbol
    async with managed(warm.lab, CLASSES[name].exchange) as xm:
        client, before = client_of(xm, name), len(warm.lab.seen)
        await client.load_markets()
        assert len(warm.lab.seen) == before
    async with managed(warm.lab, CLASSES[name].exchange) as xm:
        client = client_of(xm, name)
        assert (await client.fetch_ticker(symbol))["symbol"] == symbol
    asked = [seen.path_qs.split("?")[0] for seen in warm.lab.seen[before:]]
    assert asked
    assert not [path for path in asked if path.endswith(METADATA)]
    # Of a thousand markets it has read the one it was asked about, or no market at all.
    read = [symbol for symbol in client.markets if dict.__getitem__(client.markets, symbol) is not warm_markets._UNREAD]
    assert set(read) <= {symbol}


def questions(of: Class) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the unified methods that the lab can answer, with arguments."""
    return [
        ("fetch_ticker", (of.symbol,)), ("fetch_tickers", ([of.symbol, of.other],)), ("fetch_tickers", ()),
        ("fetch_order_book", (of.symbol, 5)),
        *((name, ([of.symbol],) if name in {"fetch_bids_asks", "fetch_funding_rates"} else (of.symbol,))
          for name in of.more if name != "fetch_currencies"),
        *((name, ()) for name in of.more if name == "fetch_currencies"),
    ]  # fmt: skip


def looks(of: Class, client: Any) -> dict[str, Callable[[], Any]]:
    """Return ways to look into markets, without a request."""
    base = of.symbol.split("/")[0]
    return {
        "market": lambda: client.market(of.symbol),
        "market of an id": lambda: client.market(of.id),
        "market_id": lambda: client.market_id(of.other),
        "symbol": lambda: client.symbol(of.symbol),
        "market_symbols": lambda: client.market_symbols([of.other, of.symbol]),
        "market_ids": lambda: client.market_ids([of.other, of.symbol]),
        "safe_market": lambda: client.safe_market(of.id, None, None, of.kind),
        "safe_symbol": lambda: client.safe_symbol(of.id, None, None, of.kind),
        "safe_dict": lambda: client.safe_dict(client.markets, of.other),
        "currency": lambda: client.currency(base),
        "safe_currency_code": lambda: client.safe_currency_code(base),
        "amount_to_precision": lambda: client.amount_to_precision(of.symbol, 12.3456789),
        "price_to_precision": lambda: client.price_to_precision(of.other, 12.3456789),
        "calculate_fee": lambda: client.calculate_fee(of.symbol, "limit", "buy", 2, 100.0, "maker"),
        "get_symbols_for_market_type": lambda: client.get_symbols_for_market_type(of.kind),
    }


def sweeps(of: Class, client: Any) -> dict[str, Callable[[], Any]]:
    """Return ways to go through all markets at once, which are the same in every class."""
    base = of.symbol.split("/")[0]
    return {
        "get_list_from_object_values": lambda: client.get_list_from_object_values(client.markets, "id"),
        "filter_by": lambda: client.filter_by(client.markets, "base", base),
        "filterBy": lambda: client.filterBy(client.markets, "base", base),
        "filter_by_array": lambda: client.filter_by_array(client.markets, "base", [base]),
        "group_by": lambda: client.group_by(client.markets, "quote"),
        "index_by": lambda: client.index_by(client.markets, "symbol"),
        "sort_by": lambda: client.sort_by(client.to_array(client.markets), "symbol"),
        "keysort": lambda: client.keysort(client.markets_by_id),
        "extend": lambda: client.extend(client.markets, client.currencies),
        "extend by": lambda: client.extend({}, client.markets),
        "deep_extend": lambda: client.deep_extend({}, client.markets),
        "omit": lambda: client.omit(client.markets, [of.symbol]),
        "set_markets": lambda: client.set_markets(client.markets),
    }


@pytest.mark.parametrize("name", CLASSES)
async def test_lazy_markets_answer_as_those_of_set_markets(
    name: str, warm: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = CLASSES[name]
    async with managed(warm.lab, of.exchange) as xm, managed(warm.lab, of.exchange, cache=False) as other:
        mine, theirs = client_of(xm, name), client_of(other, name)
        theirs.set_markets_from_exchange(warm.loaded[name])
        await mine.load_markets()
        for client in (mine, theirs):
            monkeypatch.setattr(client, "milliseconds", lambda: 1_700_000_000_000)
        for method, arguments in questions(of):
            budgets.PROCESS._ledgers.clear()
            answer = await getattr(theirs, method)(*arguments)
            assert answer
            assert await getattr(mine, method)(*arguments) == answer, method
        assert type(theirs.markets) is dict
        assert type(mine.markets) is Lazy
        for what, look in looks(of, theirs).items():
            seen = look()
            assert seen
            assert looks(of, mine)[what]() == seen, what


async def test_lazy_markets_are_gone_through_as_those_of_set_markets(warm: World) -> None:
    of, theirs = CLASSES["htx"], ccxt.htx()
    theirs.set_markets_from_exchange(warm.loaded["htx"])
    for what, sweep in sweeps(of, theirs).items():
        async with managed(warm.lab, of.exchange) as xm:
            mine = client_of(xm, "htx")
            await mine.load_markets()
            assert type(mine.markets) is Lazy
            seen = sweep()
            assert seen
            assert sweeps(of, mine)[what]() == seen, what


async def test_a_reload_over_lazy_markets_is_ccxts_own(warm: World) -> None:
    async with managed(warm.lab, "htx") as xm:
        client, theirs = client_of(xm, "htx"), warm.loaded["htx"]
        await client.load_markets()
        before = len(warm.lab.seen)
        await client.load_markets(True)
        assert len(warm.lab.seen) > before
        assert type(client.markets) is dict
        for attribute in set_by_ccxt("htx", list(theirs.markets.values())[:9]):
            assert getattr(client, attribute) == getattr(theirs, attribute), attribute


# --- a dict that reads late --------------------------------------------------------------------------------------

PLAIN: dict[str, Any] = {"b": {"x": 1}, "a": [1, 2], "c": {"y": None}}


def lazy(read: list[str] | None = None) -> Lazy:
    """Return `PLAIN` as a lazy dict that notes what it reads."""

    def value(key: str) -> Any:
        if read is not None:
            read.append(key)
        return copy.deepcopy(PLAIN[key])

    return Lazy(PLAIN, value)


def keywords(**given: Any) -> dict[str, Any]:
    return given


def matched(mapping: Any) -> Any:
    match mapping:
        case {"b": found, **rest}:
            return found, rest
    return None


def taken_out(mapping: Any, *arguments: Any) -> Any:
    return mapping.pop(*arguments), dict(mapping)


def put(mapping: Any) -> Any:
    mapping["z"] = 1
    del mapping["b"]
    mapping |= {"a": 5}
    mapping.update(c=6)
    return dict(mapping)


@pytest.mark.parametrize("use", [
    dict, list, len, sorted, bool, repr, str, json.dumps, copy.copy, copy.deepcopy, matched, put,
    lambda d: {**d}, lambda d: d | {"z": 1}, lambda d: {"z": 1} | d, lambda d: d.copy(),
    lambda d: keywords(**d), lambda d: dict(z=1, **d), operator.itemgetter("a", "c"), "{a} {b}".format_map,
    lambda d: list(d.items()), lambda d: list(d.values()), lambda d: list(d.keys()), lambda d: list(reversed(d)),
    lambda d: d["a"], lambda d: d.get("a"), lambda d: d.get("z"), lambda d: d.get("z", 7), lambda d: "a" in d,
    lambda d: "z" in d, lambda d: d.setdefault("a", 7), lambda d: (d.setdefault("z", 7), len(d)),
    lambda d: taken_out(d, "a"), lambda d: taken_out(d, "z", 7), lambda d: (d.popitem(), len(d)),
    lambda d: d == PLAIN, lambda d: PLAIN == d, lambda d: d != PLAIN, lambda d: PLAIN != d,  # noqa: SIM300  both sides
    lambda d: d == {**PLAIN, "c": 1}, lambda d: {"k": d} == {"k": PLAIN}, lambda d: [d] == [PLAIN],
    lambda d: json.dumps(d, indent=1, sort_keys=True),
    lambda d: pickle.loads(pickle.dumps(d)),  # noqa: S301  our own
    lambda d: d.items() == PLAIN.items(), lambda d: [d[key] for key in d],
    lambda d: ccxt.Exchange.deep_extend(PLAIN, d), lambda d: ccxt.Exchange.extend({"z": 1}, d),
    lambda d: ccxt.Exchange.omit(d, "a"), ccxt.Exchange.keysort,
])  # fmt: skip
def test_it_is_used_like_any_dict(use: Callable[[Any], Any]) -> None:
    assert use(lazy()) == use(copy.deepcopy(PLAIN))
    assert use(lazy() | {}) == use(copy.deepcopy(PLAIN))


def test_two_of_them_are_compared_by_what_they_hold() -> None:
    assert lazy() == lazy()
    assert lazy() != Lazy(PLAIN, lambda _: 0)
    with pytest.raises(TypeError):
        hash(lazy())


def test_copies_are_plain_and_whole() -> None:
    for copied in (
        copy.copy(lazy()),
        copy.deepcopy(lazy()),
        lazy().copy(),
        lazy() | {},
        pickle.loads(pickle.dumps(lazy())),  # noqa: S301  our own
    ):
        assert type(copied) is dict
        assert orjson.loads(orjson.dumps(copied)) == PLAIN


@pytest.mark.parametrize(
    ("use", "wanted"),
    [
        (lambda d: (d["a"], d["a"], d.get("a")), ["a"]),
        (lambda d: (len(d), list(d), "a" in d, bool(d), d.keys() == PLAIN.keys()), []),
        (lambda d: (d.pop("a"), d.pop("z", None)), ["a"]),
        (lambda d: (list(d.items()), list(d.items()), d["b"]), ["b", "a", "c"]),
    ],
)
def test_a_value_is_read_once_and_only_when_asked_for(use: Callable[[Any], Any], wanted: list[str]) -> None:
    read: list[str] = []
    use(lazy(read))
    assert read == wanted


def test_what_is_unread_is_never_written_as_something_else() -> None:
    for write in (orjson.dumps, msgspec.json.encode):
        with pytest.raises(TypeError):
            write(lazy())


def test_what_is_not_there_raises() -> None:
    for use in (operator.itemgetter("z"), lambda d: d.pop("z"), lambda d: d.__delitem__("z")):
        with pytest.raises(KeyError, match="z"):
            use(lazy())
    with pytest.raises(KeyError):
        Lazy((), str).popitem()


# --- files -------------------------------------------------------------------------------------------------------


def broken(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a file spoiled in every way that comes to mind."""
    chance = random.Random(7)
    yield "empty", b""
    yield "not ours", b"{}"
    yield "nothing but a sum", data[: warm_markets._HEAD]
    yield "one byte more", data + b" "
    yield "another version of ccxt", re.sub(rb'"written_with":"[^"]*"', b'"written_with":"4.0.0"', data)
    yield "another form", re.sub(rb'"version":\d+', b'"version":999', data)
    for _ in range(8):
        yield "cut", data[: chance.randrange(len(data))]
        at = chance.randrange(len(data))
        yield f"byte {at}", data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
        at = chance.randrange(len(data))
        yield f"hole at {at}", data[:at] + bytes(512) + data[at + 512 :]


def summed(data: bytes) -> bytes:
    """Return a file with the sum that its content should have: it was written so, by somebody else."""
    fields = data[warm_markets._HEAD :]
    return warm_markets._SUM % zlib.crc32(fields) + fields


async def test_a_spoiled_file_counts_as_none(lab: Lab) -> None:
    async with managed(lab, "htx") as xm:
        client = client_of(xm, "htx")
        await client.load_markets()
        shelf = client.xex_shelf
        (file,) = folder_of(xm).glob("ccxt-*.json")
        whole, untouched = file.read_bytes(), ccxt.htx()
        assert json.loads(whole)["version"] == warm_markets.VERSION
        for what, data in broken(whole):
            for written in {data, summed(data)} if what.startswith("another") else {data}:
                file.write_bytes(written)
                assert not shelf._restore(untouched), what
                assert untouched.markets is None
        file.write_bytes(summed(whole))
        assert shelf._restore(untouched)
        assert untouched.markets == client.markets
        # Whoever finds a spoiled one asks, and puts a whole one in its place.
        file.write_bytes(whole[:-9])
    lab.seen.clear()
    async with managed(lab, "htx") as xm:
        await xm.ccxt("htx").load_markets()
        assert lists_read(lab)
    assert not [path for path in file.parent.iterdir() if path.suffix != ".json"]
    lab.seen.clear()
    async with managed(lab, "htx") as xm:
        assert (await xm.ccxt("htx").load_markets()) == client.markets
    assert lab.seen == []


async def test_a_folder_that_cannot_be_written_costs_nobody_the_answer(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    async with managed(lab, "htx") as xm:
        assert (await xm.ccxt("htx").fetch_ticker("BTC/USDT:USDT"))["last"] > 0


@pytest.mark.parametrize("odd", [object(), {"a": {(1, 2): object}}])
async def test_markets_that_cannot_be_written_are_not_kept_and_answer_all_the_same(
    odd: Any, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with managed(lab, "htx") as xm:
        client = client_of(xm, "htx")
        parse = client.set_markets
        monkeypatch.setattr(client, "set_markets", lambda *given: parse(*given) and client.options.update(odd=odd))
        assert await client.load_markets() == client.markets
        assert len(client.markets) > 10
        assert not list(folder_of(xm).glob("ccxt-*"))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left")

    kept = MetadataCache(tmp_path)
    kept.write("a", b"old")
    monkeypatch.setattr("xex.access.cache.os.replace", full)
    kept.write("a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert kept.read("a") == b"old"


async def test_other_options_and_other_addresses_have_files_of_their_own(lab: Lab) -> None:
    spot = {"fetchMarkets": {"types": ["spot"]}}
    async with managed(lab, "okx") as xm, managed(lab, "okx", options=spot) as narrow, Lab(default_truth(2)) as second:
        every, some = await xm.ccxt("okx").load_markets(), await narrow.ccxt("okx").load_markets()
        assert {market["type"] for market in every.values()} == {"spot", "swap", "future"}
        assert {market["type"] for market in some.values()} == {"spot"}
        async with managed(lab, "okx", options=spot) as again, managed(second, "okx") as elsewhere:
            lab.seen.clear()
            assert await again.ccxt("okx").load_markets() == some
            assert lab.seen == []
            await elsewhere.ccxt("okx").load_markets()
            assert lists_read(second)


# --- when it asks ------------------------------------------------------------------------------------------------


async def test_past_its_hour_a_file_is_asked_for_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async with managed(lab, "htx") as xm:
        await xm.ccxt("htx").load_markets()
    for age_ms, asks in ((FRESH_MS - 60_000, False), (FRESH_MS + 60_000, True), (-60_000, True)):
        lab.seen.clear()
        with monkeypatch.context() as patch:
            # A file of the future says nothing of its age.
            later(patch, age_ms)
            async with managed(lab, "htx") as xm:
                xm.ccxt("htx")._client.xex_shelf._cache.write = lambda *_: None
                await xm.ccxt("htx").load_markets()
        assert bool(lists_read(lab)) == asks


@pytest.mark.parametrize("fault", ["banned", "reset", "html"])
async def test_an_old_file_stands_in_for_a_venue_that_does_not_answer(
    fault: str, lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab.fault("htx", fault)
    async with managed(lab, "htx") as xm:
        with pytest.raises((ccxt.BaseError, xex.XexError)):
            await xm.ccxt("htx").load_markets()
    lab.heal()
    async with managed(lab, "htx") as xm:
        markets = await xm.ccxt("htx").load_markets()
    later(monkeypatch, 100 * HOUR_MS)
    lab.fault("htx", fault)
    async with managed(lab, "htx") as xm:
        client = xm.ccxt("htx")
        found = await asyncio.gather(*(client.load_markets() for _ in range(9)))
        assert all(one == markets for one in found)
        said = [record.message for record in caplog.records if "markets from disk" in record.message]
        assert len(said) == 1
        assert said[0].startswith("htx: ")
        # Who asks for new ones is not given old ones in silence; those in memory stay.
        with pytest.raises((ccxt.BaseError, xex.XexError)):
            await client.load_markets(reload=True)
        assert client.markets == markets
        lab.heal()
        lab.seen.clear()
        await client.load_markets(reload=True)
        assert lists_read(lab)


async def test_who_waits_shares_one_load_and_who_gives_up_takes_it_from_nobody(lab: Lab) -> None:
    lab.latency["okx"] = 0.04
    async with managed(lab, "okx") as xm:
        await xm.ccxt("okx").load_markets()
    (alone,) = (len(lists_read(lab)),)
    lab.seen.clear()
    async with managed(lab, "okx", cache=False) as xm:
        client = xm.ccxt("okx")
        impatient = asyncio.create_task(client.load_markets())
        tasks = [asyncio.create_task(client.load_markets(reload=n % 2 == 0)) for n in range(50)]
        tickers = [asyncio.create_task(client.fetch_ticker("BTC/USDT:USDT")) for _ in range(3)]
        await asyncio.sleep(0.02)
        impatient.cancel()
        tasks[7].cancel()
        came = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(came.pop(7), asyncio.CancelledError)
        assert all(one is client.markets for one in came)
        assert {ticker["symbol"] for ticker in await asyncio.gather(*tickers)} == {"BTC/USDT:USDT"}
    assert impatient.cancelled()
    assert len(lists_read(lab)) == alone


async def test_parameters_of_ones_own_stay_off_the_disk(lab: Lab) -> None:
    async with managed(lab, "okx") as xm:
        await xm.ccxt("okx").load_markets(False, {"uly": "BTC-USDT"})
        assert not list(folder_of(xm).glob("ccxt-*"))
    async with managed(lab, "okx") as xm:
        await xm.ccxt("okx").load_markets()
        assert len(list(folder_of(xm).glob("ccxt-*"))) == 1
    lab.seen.clear()
    async with managed(lab, "okx") as xm:
        await xm.ccxt("okx").load_markets(False, {"uly": "BTC-USDT"})
    assert all("uly=BTC-USDT" in path for path in lists_read(lab))
    assert lists_read(lab)


async def test_no_markets_are_no_news(lab: Lab) -> None:
    lab.fault("okx", "no_rows")
    async with managed(lab, "okx") as xm:
        assert await xm.ccxt("okx").load_markets() == {}
    lab.heal()
    async with managed(lab, "okx") as xm:
        assert await xm.ccxt("okx").load_markets()


async def test_a_load_ends_with_its_manager(lab: Lab) -> None:
    lab.fault("okx", "hang")
    async with managed(lab, "okx") as xm:
        asked = asyncio.create_task(xm.ccxt("okx").load_markets())
        await asyncio.sleep(0.03)
        assert lab.seen
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_recordings_hold_what_their_replay_asks_for_whatever_is_on_disk(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    async with managed(lab, "okx") as xm:
        await xm.ccxt("okx").load_markets()
        (file,) = folder_of(xm).glob("ccxt-*")
        written = file.stat().st_mtime_ns
        lab.seen.clear()
        with xex.record(path):
            ticker = await xm.ccxt("okx").fetch_ticker("BTC/USDT:USDT")
        assert lists_read(lab)
        lab.seen.clear()
        with xex.replay(path):
            assert (await xm.ccxt("okx").fetch_ticker("BTC/USDT:USDT")) == ticker
        assert lab.seen == []
        assert file.stat().st_mtime_ns == written
        assert await xm.ccxt("okx").load_markets()
        assert lab.seen == []


@pytest.mark.parametrize("begins", [True, False])
async def test_what_is_in_flight_while_a_recording_begins_or_ends_is_not_kept(
    begins: bool, lab: Lab, tmp_path: Path
) -> None:
    """In a replay lists are cut down: kept, they would hide the rest of the market."""
    lab.latency["okx"] = 0.05
    async with managed(lab, "okx") as xm:
        with suppress(xex.RecordingError), xex.record(tmp_path / "run.json") if not begins else nullcontext():
            loads = [asyncio.create_task(xm.ccxt("okx").load_markets()), asyncio.create_task(okx_list(xm))]
            await asyncio.sleep(0.02)
        with suppress(xex.RecordingError), xex.record(tmp_path / "run.json") if begins else nullcontext():
            assert all(await asyncio.gather(*loads))
            lab.seen.clear()
            await okx_list(xm)
            assert lists_read(lab)
    names = [path.name for path in folder_of(xm).glob("*.json")]
    assert len(names) == (0 if begins else 1)
    assert not [name for name in names if name.startswith("ccxt")]


# --- our own lists -----------------------------------------------------------------------------------------------

WIDER = default_truth(levels=2).adding(NEWS)


def knows_news(listings: Any) -> bool:
    return "NEWT" in listings.columns["base"]


async def okx_list(xm: xex.ExchangeManager, **options: Any) -> Any:
    return await xm._entries["okx"].connector.listings(["linear"], **options)  # type: ignore[attr-defined]


async def test_a_gateways_lists_are_kept_beside_the_venues(lab: Lab) -> None:
    async with managed(lab, **NO_KEYS) as xm:
        await xm.connect_all()
        assert lists_read(lab)
        names = {path.name for path in folder_of(xm).iterdir()}
    assert all(re.fullmatch(r"[a-z]+-[a-z_]+-[0-9a-f]{8}\.json", name) for name in names)
    lab.seen.clear()
    async with managed(lab, **NO_KEYS) as xm:
        await xm.connect_all()
        snap = await xm.get_cross_exchange_ticker("BTCUSDT")
        assert set(snap.answered) == set(VENUES)
    assert lists_read(lab) == []
    async with Lab(default_truth(levels=2)) as second, managed(second, "okx") as xm:
        await okx_list(xm)
        assert lists_read(second)


async def test_a_list_of_some_hours_is_used_at_once_and_read_again_meanwhile(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with managed(lab, "okx") as xm:
        await okx_list(xm)
    lab.truth, lab.latency["okx"] = WIDER, 0.05
    later(monkeypatch, 5 * HOUR_MS)
    lab.seen.clear()
    async with managed(lab, "okx") as xm:
        found = await asyncio.gather(*(okx_list(xm) for _ in range(20)))
        assert not any(map(knows_news, found))
        assert lab.seen == []
        await settled(lab)
        assert len(lists_read(lab)) == 1
        assert knows_news(await okx_list(xm))
    lab.seen.clear()
    async with managed(lab, "okx") as xm:
        assert knows_news(await okx_list(xm))
        await settled(lab)
    assert lab.seen == []


@pytest.mark.parametrize("fault", ["banned", "hang"])
async def test_nobody_waits_for_a_list_that_is_read_again_nor_hears_that_it_failed(
    fault: str, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with managed(lab, "okx") as xm:
        await okx_list(xm)
    later(monkeypatch, 5 * HOUR_MS)
    lab.fault("okx", fault, path="/api/v5/public/instruments")
    lab.seen.clear()
    async with managed(lab, "okx") as xm:
        snap = await xm.get_cross_exchange_ticker("BTCUSDT")
        assert set(snap.answered) == {"okx"}
        await settled(lab)
        # `tidy` sees that leaving cancels what still hangs.
        assert len(lists_read(lab)) >= 1
        assert len(await okx_list(xm)) > 5
        # In memory it is as old as it was on disk.
        connector: Any = xm._entries["okx"].connector
        monkeypatch.setattr(ccxt_adapter, "REFRESH_S", 0.0)
        for hours, outdated in ((6, False), (4, True)):
            monkeypatch.setattr(ccxt_adapter, "OLDEST_S", hours * 3600.0)
            assert connector._outdated("linear") == outdated


async def test_an_older_list_is_asked_for_first_and_serves_where_that_fails(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with managed(lab, "okx") as xm:
        await okx_list(xm)
    lab.truth = WIDER
    later(monkeypatch, 7 * HOUR_MS)
    lab.fault("okx", "status", code=403)
    async with managed(lab, "okx") as xm:
        assert not knows_news(await okx_list(xm))
        assert "metadata from disk" in caplog.text
        lab.heal()
        # It is not believed from now on: it is as old as it was.
        monkeypatch.setattr(ccxt_adapter, "REFRESH_S", 0.0)
        assert knows_news(await okx_list(xm))
    lab.truth = default_truth(levels=2)
    later(monkeypatch, 14 * HOUR_MS)
    async with managed(lab, "okx") as xm:
        assert not knows_news(await okx_list(xm))


async def test_a_list_in_which_a_contract_has_ended_is_asked_for_first(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This week's contract has gone, and next week's has its name."""
    ends_ms = int(datetime(2026, 12, 25, 8, tzinfo=UTC).timestamp() * 1000)

    async def dated() -> Any:
        async with managed(lab, "okx") as xm:
            return await xm._entries["okx"].connector.listings(["linear_dated"])  # type: ignore[attr-defined]

    monkeypatch.setattr(clock, "now_ms", lambda: ends_ms - HOUR_MS // 4)
    assert set((await dated()).columns["expiry"]) == {"261225"}
    lab.seen.clear()
    monkeypatch.setattr(clock, "now_ms", lambda: ends_ms - 1)
    await dated()
    assert lab.seen == []
    # A quarter of an hour later, long before it is an hour old.
    market = lab.truth.market("okx", "BTC", "linear", expiry="261225")
    lab.truth = lab.truth.replacing(market.with_contract_size(market.contract_size * 10))
    monkeypatch.setattr(clock, "now_ms", lambda: ends_ms + HOUR_MS // 4)
    assert (await dated()).columns["contract_size"] == [float(market.contract_size * 10)]


async def test_two_hundred_who_ask_for_what_is_unknown_make_one_refresh(lab: Lab) -> None:
    async with managed(lab, "bybit") as xm:
        await xm.lookup("BTCUSDT")
    lab.latency["bybit"] = 0.01
    async with managed(lab, "bybit") as xm:
        lab.seen.clear()
        for _ in range(2):
            asked: list[Any] = []
            for n in range(100):
                asked += [ask(f"NEWT{n % 7 or ''}USDT") for ask in (xm.lookup, xm.get_cross_exchange_ticker)]
            came = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(one) for one in came} == {xex.UnknownSymbol}
        # Each list once, and not once more for those who ask after it.
        assert set(Counter(lists_read(lab)).values()) == {1}
        assert [path for path in lists_read(lab) if "category=linear" in path]


async def test_two_hundred_who_ask_for_a_new_listing_find_it_by_one_refresh(lab: Lab) -> None:
    async with managed(lab, "okx") as xm:
        await xm.lookup("BTCUSDT")
    lab.truth = WIDER
    lab.seen.clear()
    async with managed(lab, "okx") as xm:
        found = await asyncio.gather(*(xm.lookup("NEWTUSDT") for _ in range(200)))
    assert {tuple(frame["exchange"]) for frame in found} == {("okx",)}
    assert set(Counter(lists_read(lab)).values()) == {1}


@pytest.mark.parametrize("spoil", [
    lambda data: data[:-7], lambda _: b"", lambda _: b"[]", lambda data: data.replace(b'"tick":', b'"tock":'),
    lambda data: data.replace(b'"BTC', b'"\xff'), lambda data: re.sub(rb'"tick":\[[^,]*', b'"tick":["x"', data),
    lambda data: data.replace(b'"version":', b'"version":1'),
    lambda data: re.sub(rb'"written_with":"[^"]*"', b'"written_with":"4.0.0"', data),
])  # fmt: skip
async def test_a_spoiled_list_counts_as_none(lab: Lab, spoil: Callable[[bytes], bytes]) -> None:
    async with managed(lab, "okx") as xm:
        columns = (await okx_list(xm)).columns
        (file,) = folder_of(xm).glob("okx-linear-*")
    whole = file.read_bytes()
    file.write_bytes(spoil(whole))
    lab.seen.clear()
    async with managed(lab, "okx") as xm:
        assert (await okx_list(xm)).columns["id"] == columns["id"]
    assert len(lists_read(lab)) == 1
