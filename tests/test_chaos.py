"""Chaos: faults of all kinds at once, questions of all kinds at once, and people who give up in the middle.

Faults begin and heal at random moments at seven sources while several managers are asked, a round of it after the
other. Five rounds make a spell with managers and a seed of its own: ``XEX_SEED=17`` repeats one alone, and
``XEX_FULL=1`` runs two hundred of them, or twenty minutes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import random
import re
import socket as net
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from aiohttp import web
from tenacity import wait_random_exponential

from tests.conftest import VENUES, Tidy, configured
from tests.lab import Fault, Lab, default_truth
from tests.lab.server import wall_ms
from tests.test_doctor import reference
from xex.access import budgets, retry, transport
from xex.access.fanout import settled
from xex.access.transport import Response, Transport
from xex.analytics.quality import MAX_AGE_S
from xex.answer import CrossExchangeData
from xex.doctor import Doctor
from xex.errors import ConnectorError, NoVenueAnswered, TimedOut, Unreachable
from xex.manager import ExchangeManager
from xex.testing import StaticConnector

FULL = bool(os.environ.get("XEX_FULL"))
SEED = os.environ.get("XEX_SEED")
SPELLS, LONGEST_S = (200, 1200.0) if FULL else (10, 40.0)
ROUNDS = 5
SOURCES = ("binance", "okx", "htx", "bybit", "kraken", "krakenfutures", "coinglass")
COINS = ("BTC", "ETH", "SOL")
TRUTH = default_truth().only(*COINS, "USDT")
STORM_S = 0.1
"""How long faults come and go in a round."""
USUAL_S = 0.03
"""How long a snapshot takes where nothing else runs: everything takes longer by as much as that does."""
MOST_SLOW = 8.0
GRACE_S = 2.0
"""What a crowded machine may add to a deadline: who does not return at all is meant to be found."""
OLD_S = 60.0
"""So much older than `MAX_AGE_S` that a clock which is off by half a minute does not hide it."""
SMALL_BODY = 2 * 1024 * 1024


class Ago:
    """Seconds that grow: a quote whose time stands still."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.since = seconds, time.monotonic()

    def __float__(self) -> float:
        return self.seconds + time.monotonic() - self.since


@dataclass(frozen=True)
class Kind:
    """A fault as a round may choose it: its name in the lab, and what its arguments are made from."""

    lab: str
    args: Callable[[random.Random], Mapping[str, Any]] = lambda _: {}


def _date(rng: random.Random) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=rng.choice((1, 30)))


def _status(*codes: int, **more: Any) -> Kind:
    return Kind("status", lambda rng: {"code": rng.choice(codes), **more})


KINDS: dict[str, Kind] = {
    **{
        name: Kind(name)
        for name in (
            *("reset", "close", "hang", "hang_body", "truncated", "short", "html", "empty", "scalar", "venue_error"),
            *("nan", "nan_literal", "negative", "null", "crossed", "wrong_symbol", "missing_key", "no_rows"),
            *("redirect", "empty_book", "rate_limited", "banned"),
        )
    },
    "refuse": Kind("refuse"),
    "slow_drip": Kind("slow_drip", lambda rng: {"chunk": rng.choice((1, 200)), "interval": 0.01}),
    "bomb": Kind("bomb", lambda _: {"megabytes": 3}),
    "5xx": _status(500, 502, 503, 504),
    "429": Kind("status", lambda rng: {"code": 429, "retry_after": rng.choice((0.05, 1, 30))}),
    "429 until": Kind("status", lambda rng: {"code": 429, "retry_after": _date(rng)}),
    "418": _status(418, retry_after=30),
    "403": _status(403),
    "stale": Kind("stale", lambda _: {"seconds": 10 * OLD_S}),
    "frozen": Kind("stale", lambda rng: {"seconds": Ago(rng.choice((0.0, OLD_S)))}),
    "skew": Kind("skew", lambda rng: {"seconds": rng.choice((-30, 30))}),
}
PATHS: dict[str, Sequence[str | None]] = {
    "binance": (None, "/fapi/", "/api/", "/fapi/v1/depth", "/fapi/v1/exchangeInfo", "/fapi/v1/ticker"),
    "okx": (None, "/api/v5/market", "/api/v5/public", "/api/v5/market/books"),
    "htx": (None, "/linear-swap", "/market", "/v1/common", "/linear-swap-ex/market/depth"),
    "bybit": (None, "/v5/market/tickers", "/v5/market/orderbook", "/v5/market/instruments-info"),
    "kraken": ("/0/", "/0/public/Ticker", "/0/public/Depth", None),
    "krakenfutures": (None, "/derivatives/api/v3/tickers", "/derivatives/api/v3/orderbook"),
    "coinglass": (None,),
}


class Spoiled(NamedTuple):
    """What was wrong with one answer of the lab: kinds by name, and whether its times were older than is fit."""

    kinds: frozenset[str]
    old: bool


class StormyLab(Lab):
    """A lab that remembers which faults an answer was made under, and whose doors can be shut."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.spoiled: dict[str, Spoiled] = {}
        self.names: dict[int, str] = {}
        self._under: dict[int, list[Fault]] = {}
        self._doors = random.Random(os.getpid())
        self._shut: Counter[str] = Counter()
        self._doorway = asyncio.Lock()

    def _respond(self, socket: str, request: web.BaseRequest, struck: list[Fault]) -> Any:
        made = super()._respond(socket, request, struck)
        self._under[id(made)] = struck
        return made

    def _numbered(self, socket: str, path: str, made: Any) -> str:
        number = super()._numbered(socket, path, made)
        struck = self._under.pop(id(made), [])
        old = any(fault.kind == "stale" and float(fault.args["seconds"]) >= OLD_S for fault in struck)
        kinds = frozenset(self.names.get(id(fault), fault.kind) for fault in struck)
        self.spoiled[number] = Spoiled(kinds, old)
        return number

    def forget(self) -> None:
        """Forget what was asked and answered."""
        self.seen.clear()
        self.names.clear()
        self.spoiled.clear()

    def _runner(self, socket: str) -> web.ServerRunner:
        return self._runners[list(self._ports).index(socket)]

    def _port(self) -> int:
        """Return a free port below those that connections are given: a door that is shut must find its own again."""
        while True:
            port = self._doors.randrange(15_000, 32_000)
            with net.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return port

    async def shut(self, socket: str) -> None:
        """Refuse connections, and drop those that are open."""
        runner = self._runner(socket)
        self._shut[socket] += 1
        async with self._doorway:  # who stops a door that is just being opened leaves it listening
            for site in list(runner.sites):
                await site.stop()
        for protocol in list(runner.server.connections if runner.server else ()):
            if protocol.transport is not None:
                protocol.transport.abort()

    async def open(self, socket: str) -> None:
        """Listen again, at the same port, once nobody wants it shut any more."""
        runner = self._runner(socket)
        self._shut[socket] -= 1
        async with self._doorway:
            if runner.sites or self._shut[socket]:
                return
            await web.TCPSite(runner, "127.0.0.1", self._ports[socket], reuse_address=True).start()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return sum(len(runner.server.connections) for runner in self._runners if runner.server is not None)


# --- what is asked


FEATURES = ("ticker", "order_book", "trades")
Asked = Callable[[Any, str, random.Random, float], Awaitable[Any]]


async def _examined(xm: Any, coin: str, _: random.Random, seconds: float) -> Any:
    if not isinstance(xm, Doctor):
        return await xm.health_check(deadline=seconds)
    return await xm.examine(xm.other, coin, deadline=seconds)  # type: ignore[attr-defined]


def _market(rng: random.Random) -> str:
    return rng.choice(("perp", "spot", "linear"))


QUESTIONS: dict[str, tuple[int, Asked]] = {
    "snapshot": (6, lambda xm, coin, _, s: xm.get_cross_exchange_ticker(f"{coin}USDT", deadline=s)),
    "spot": (4, lambda xm, coin, _, s: xm.get_cross_exchange_ticker(f"{coin}/USDT", deadline=s)),
    "in dollars": (2, lambda xm, coin, _, s: xm.get_cross_exchange_ticker(f"{coin}USDT", currency="USD", deadline=s)),
    "books": (3, lambda xm, coin, _, s: xm.books(f"{coin}USDT", deadline=s)),
    "trades": (3, lambda xm, coin, _, s: xm.trades(f"{coin}/USDT", deadline=s)),
    "first": (4, lambda xm, coin, rng, s: xm.first(rng.choice(FEATURES), f"{coin}USDT", deadline=s)),
    "quorum": (4, lambda xm, coin, rng, s: xm.quorum(rng.choice((1, 2)), rng.choice(FEATURES), f"{coin}/USDT",
                                                     deadline=s)),
    "tickers": (2, lambda xm, _, rng, s: xm.tickers(market=_market(rng), deadline=s)),
    "universe": (2, lambda xm, _, rng, s: xm.universe(_market(rng), deadline=s)),
    "health": (2, lambda xm, _, __, s: xm.health_check(deadline=s)),
    "doctor": (3, _examined),
    "instruments": (1, lambda xm, _, rng, s: xm.instruments(market=_market(rng), deadline=s)),
}  # fmt: skip
"""How often each is asked, and how."""


@dataclass
class Spell:
    """Rounds of one seed: who is asked, and all that was found wrong."""

    seed: int
    lab: StormyLab
    heard: Mapping[str, Response]
    slow: float = 1.0
    rng: random.Random = field(init=False)
    wrong: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    latest_s: float = 0.0

    def __post_init__(self) -> None:
        self.rng = random.Random(f"chaos {self.seed}")

    def managers(self) -> list[ExchangeManager]:
        """Return one to three managers; some have a backup or a connector of their own, the first is a doctor."""
        rng, made = self.rng, []
        for number in range(rng.choice((1, 2, 2, 3))):
            doctor = number == 0 or rng.random() < 0.3
            kind = Doctor if doctor else ExchangeManager
            xm = kind(cache=False, deadline=1.0, reuse_s=rng.choice((0.0, 0.0, 0.05)))
            for venue in VENUES:
                if rng.random() < 0.9 or venue in VENUES[:2]:
                    assert xm.add_exchange(configured(self.lab, venue, timeout_s=rng.choice((0.2, 1.0))))
            if rng.random() < 0.2:
                xm.add_exchange(configured(self.lab, "okx", exchange_id="spare", priority=9))
            if rng.random() < 0.2:
                own: dict[str, Any] = {
                    "BTC/USDT": {"bid": 96_512.0, "ask": 96_512.4, "last": 96_512.2},
                    "ETH/USDT": Unreachable("own"),
                }
                xm.add_exchange(configured(self.lab, "okx", exchange_id="own"), StaticConnector(own))
            if doctor:
                xm.other = reference(self.lab)  # type: ignore[attr-defined]
            made.append(xm)
        return made

    async def storm(self) -> None:
        """Let faults begin and heal at random moments."""
        rng = self.rng
        plans = [
            (rng.uniform(0, STORM_S), rng.uniform(0.02, STORM_S), rng.choice(SOURCES), rng.choice(list(KINDS)))
            for _ in range(rng.randint(4, 12))
        ]
        # It is asked one thing only, in one request.
        plans.append((0.0, 2 * STORM_S, "coinglass", rng.choice(list(KINDS))))
        draws = [random.Random(rng.random()) for _ in plans]
        active: set[int] = set()

        async def one(place: int) -> None:
            begins, lasts, source, name = plans[place]
            await asyncio.sleep(begins * self.slow)
            active.add(place)
            self.most_at_once = max(self.most_at_once, len(active))
            try:
                await self._fault(source, name, lasts * self.slow, draws[place])
            finally:
                active.discard(place)

        await asyncio.gather(*map(one, range(len(plans))))

    async def _fault(self, source: str, name: str, lasts: float, rng: random.Random) -> None:
        kind, path = KINDS[name], rng.choice(PATHS[source])
        if kind.lab == "refuse":
            socket = "kraken" if source == "krakenfutures" else source
            await self.lab.shut(socket)
            await asyncio.sleep(lasts)
            await self.lab.open(socket)
            self.struck[name] += 1
            return
        fault = self.lab.fault(source, kind.lab, path=path, times=rng.choice((None, None, 1, 3)), **kind.args(rng))
        self.lab.names[id(fault)] = name
        await asyncio.sleep(lasts)
        self.lab.faults = [one for one in self.lab.faults if one is not fault]
        self.struck[name] += fault.hits
        self.sources[source] += fault.hits

    async def ask(self, managers: Sequence[ExchangeManager]) -> None:
        """Ask a dozen questions at random moments, and give some up."""
        rng, names = self.rng, list(QUESTIONS)
        chosen = rng.choices(names, [weight for weight, _ in QUESTIONS.values()], k=rng.randint(5, 10))

        async def one(place: int, name: str, mine: random.Random) -> None:
            xm, coin = mine.choice(managers), mine.choice(COINS)
            seconds = self.slow * mine.choice((0.01, 0.08, 0.15, 0.25))
            gives_up = self.slow * mine.uniform(0.001, 0.1) if mine.random() < 0.25 else None
            await asyncio.sleep(self.slow * mine.uniform(0, STORM_S))
            await self._asked(f"{name} {place}", QUESTIONS[name][1](xm, coin, mine, seconds), coin, seconds, gives_up)

        draws = [random.Random(rng.random()) for _ in chosen]
        await asyncio.gather(*(one(place, name, draws[place]) for place, name in enumerate(chosen)))

    async def _asked(
        self, what: str, question: Awaitable[Any], coin: str, seconds: float, gives_up: float | None
    ) -> None:
        name, started = what.split(maxsplit=1)[0], time.monotonic()
        task = asyncio.ensure_future(question)
        if gives_up is not None:
            asyncio.get_running_loop().call_later(gives_up, task.cancel)
        try:
            answer = await task
        except NoVenueAnswered as exc:
            self.outcomes[f"{name} nobody"] += 1
            self._check_drops(what, {key: drop.text for key, drop in exc.dropped.items()})
        except asyncio.CancelledError:
            self.outcomes[f"{name} given up"] += 1
            if gives_up is None:
                self.wrong.append(f"{what}: cancelled, though nobody did")
        except ConnectorError as exc:
            self.outcomes[f"{name} refused"] += 1
            if name != "doctor" or exc.reason == "internal" or not str(exc).startswith("coinglass: "):
                self.wrong.append(f"{what}: {exc!r}")
        except Exception as exc:  # noqa: BLE001  that there is none is what is tested
            self.wrong.append(f"{what}: {exc!r}")
        else:
            self.outcomes[f"{name} answered"] += 1
            self._check(what, answer, coin)
        took = time.monotonic() - started
        self.latest_s = max(self.latest_s, took - seconds)
        if took > seconds + GRACE_S:
            self.wrong.append(f"{what}: {took:.2f} s for a deadline of {seconds} s")

    # --- what must hold

    def _check(self, what: str, answer: Any, coin: str) -> None:
        now_ms = wall_ms()
        if isinstance(answer, CrossExchangeData):
            self._check_drops(what, {name: drop.text for name, drop in answer.dropped.items()})
            self._check_complete(what, answer.asked, answer.answered, answer.dropped)
            frame = answer.frame
            self._check_rows(what, frame[frame["weight"] > 0], coin, now_ms, judged=True)
            if not any(frame["weight"] > 0) and math.isfinite(answer.aggregated_price):
                self.wrong.append(f"{what}: a price of no rows")
        elif isinstance(answer, pd.DataFrame):
            self._check_drops(what, answer.attrs["dropped"])
            self._check_complete(what, answer.attrs["asked"], answer.attrs["answered"], answer.attrs["dropped"])
            if what.startswith(("first", "quorum")):
                self._check_rows(what, answer, coin, now_ms, judged=False)
        else:
            self._check_drops(what, {name: one["venue_status"] for name, one in answer.items()})

    def _check_drops(self, what: str, drops: Mapping[str, str]) -> None:
        found = {name: text for name, text in drops.items() if "internal" in text.partition(":")[0]}
        if found:
            self.wrong.append(f"{what}: {found}")

    def _check_complete(
        self, what: str, asked: Sequence[str], answered: Sequence[str], dropped: Mapping[str, Any]
    ) -> None:
        """See that no venue that was asked is missing without a word."""
        if lost := set(asked) - set(answered) - set(dropped):
            if what.startswith("first"):  # who was not needed is not asked
                return
            self.wrong.append(f"{what}: {lost} was asked and is nowhere")

    def _check_rows(self, what: str, frame: pd.DataFrame, coin: str, now_ms: int, *, judged: bool) -> None:
        """Every used row leads to an answer that the lab made a moment ago, of that venue and coin, and sound."""
        quotes = {"bid", "ask"} <= set(frame.columns)
        for row in frame.to_dict("records"):
            if row["exchange"] == "own":
                continue
            where = f"{what}: {row['exchange']} {row['response_id']}"
            response = self.heard.get(row["response_id"])
            made = None if response is None else self.lab.answered.get(response.headers.get("x-lab-id", ""))
            if response is None or made is None:
                self.wrong.append(f"{where}: no answer of the lab")
                continue
            spoiled = self.lab.spoiled[response.headers["x-lab-id"]]
            if not -1 <= now_ms - made.made_ms < 1e3 * MAX_AGE_S:
                self.wrong.append(f"{where}: made {now_ms - made.made_ms} ms ago")
            if made.socket != row["venue"]:
                self.wrong.append(f"{where}: the lab made it for {made.socket}")
            if spoiled.old and row["time_source"] == "quote":
                self.wrong.append(f"{where}: used, though {row['age_ms']:.0f} ms old, {set(spoiled.kinds)}")
            if str(row["base"]) != coin:
                self.wrong.append(f"{where}: {row['base']} instead of {coin}")
            self._check_prices(where, row, coin, spoiled, quotes=quotes, judged=judged)

    def _check_prices(
        self, where: str, row: Mapping[Any, Any], coin: str, spoiled: Spoiled, *, quotes: bool, judged: bool
    ) -> None:
        prices = [row["bid"], row["ask"]] if quotes else [row["price"]]
        if quotes and not any(map(math.isfinite, prices)):
            prices = [row["last"]]  # which makes the price where nobody at all has a quote
        middle = float(TRUTH.market("binance", coin).mid)
        if not all(price > 0 and math.isfinite(price) for price in prices) or (quotes and prices[0] > prices[-1]):
            self.wrong.append(f"{where}: {prices}, {set(spoiled.kinds)}")
        # One exchange alone cannot tell another coin's book from its own where the body does not name the coin.
        elif (judged or "wrong_symbol" not in spoiled.kinds) and any(abs(one / middle - 1) > 0.05 for one in prices):
            self.wrong.append(f"{where}: {prices} for {coin}, {set(spoiled.kinds)}")


# --- the rounds


@contextmanager
def hearing() -> Iterator[dict[str, Response]]:
    """Keep every answer that comes through the seam, by its id."""
    kept: dict[str, Response] = {}
    real = Transport.send

    async def send(self: Transport, *args: Any, **more: Any) -> Response:
        response = await real(self, *args, **more)
        kept[response.id] = response
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "send", send)
        yield kept


class Complaints(logging.Handler):
    """What was logged with a traceback, or by the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "aiohttp.server" and (record.exc_info or record.name == "asyncio"):
            self.told.append(f"{record.name}: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


@contextmanager
def listening() -> Iterator[Complaints]:
    """Hear what xex and asyncio log, and keep it from the console."""
    # The lab's server logs whose connection broke off while it wrote: that is what faults do.
    heard, names = Complaints(), ("xex", "asyncio", "aiohttp.server")
    before = [logging.getLogger(name).propagate for name in names]
    for name in names:
        logging.getLogger(name).addHandler(heard)
        logging.getLogger(name).propagate = False
    try:
        yield heard
    finally:
        for name, propagate in zip(names, before, strict=True):
            logging.getLogger(name).removeHandler(heard)
            logging.getLogger(name).propagate = propagate


def descriptors() -> int:
    """Return how many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def ours() -> list[asyncio.Task[Any]]:
    """Return the tasks that are neither this one nor the lab's, which has one for each connection."""
    return [
        task for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and getattr(task.get_coro(), "__qualname__", "") != "RequestHandler.start"
    ]  # fmt: skip


def waits_in(task: asyncio.Task[Any]) -> str:
    """Say where a task waits, from the outermost call to the innermost."""
    places: list[str] = []
    inner: Any = task.get_coro()
    while (frame := getattr(inner, "cr_frame", None)) is not None:
        places.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        inner = getattr(inner, "cr_await", None)
    return " > ".join(places)


def left_behind() -> list[str]:
    """Return where tasks wait whose questions are over, but for a list of instruments that waits for its budget.

    A list is everybody's, and who gives up takes it from nobody: closing the manager is what ends it.
    """
    lists = ("CcxtConnector._load:", "ExchangeManager._fetched_legs:")
    budget = r"Flights.*fly:.*Transport\._once:\d+ > _AsyncGeneratorContextManager\.__aenter__:\d+"
    return [place for place in map(waits_in, ours()) if not (place.startswith(lists) or re.fullmatch(budget, place))]


async def left_over(look: Callable[[], Sequence[str]]) -> list[str]:
    """Return what is still there three seconds after everything should have ended."""
    for _ in range(600):
        if not look():
            return []
        await asyncio.sleep(0.005)
    return list(look())


async def weather(one: Spell, tidy: Tidy, log: Complaints) -> None:
    """Run one spell, from new managers to their end."""
    lab, before = one.lab, descriptors()
    async with AsyncExitStack() as stack:
        managers = one.managers()
        for xm in managers:
            await stack.enter_async_context(xm)
        if one.rng.random() < 0.7:
            await asyncio.gather(*(xm.connect_all() for xm in managers))
        for number in range(ROUNDS):
            budgets.PROCESS._ledgers.clear()
            budgets.PROCESS._pauses.clear()
            lab._weights.clear()  # which the venue tells, and a budget believes
            await asyncio.gather(one.storm(), one.ask(managers))
            lab.heal()
            if number == ROUNDS - 1:
                # Somebody leaves while others still ask.
                late = asyncio.ensure_future(managers[0].books("BTCUSDT", deadline=0.2))
                await asyncio.sleep(one.rng.uniform(0, 0.02))
                await managers[0].disconnect_all()
                with suppress(NoVenueAnswered, asyncio.CancelledError):
                    await late
                del late
            one.wrong += await left_over(left_behind)
            gc.collect()
            await asyncio.sleep(0)
            one.wrong += [f"round {number}: {text}" for text in (*tidy.complaints, *log.told)]
            tidy.complaints.clear()
            log.told.clear()
    one.wrong += await left_over(lambda: [waits_in(task) for task in ours()])
    one.wrong += await left_over(lambda: [f"{lab.connections} connections"] * bool(lab.connections))
    one.wrong += await left_over(lambda: [f"{descriptors() - before} descriptors left"] * (descriptors() > before))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly wait between tries, and call a body of 2 MiB too large."""
    gc.collect()
    gc.freeze()
    monkeypatch.setattr(retry.Wait, "_jitter", wait_random_exponential(multiplier=0.001, max=0.01))
    monkeypatch.setattr(transport, "MAX_BODY", SMALL_BODY)


async def slowness(lab: Lab) -> float:
    """Return how much slower than usual this machine is now."""
    async with ExchangeManager(cache=False) as xm:
        for venue in VENUES:
            assert xm.add_exchange(configured(lab, venue))
        await xm.get_cross_exchange_ticker("BTCUSDT")
        started = time.perf_counter()
        await xm.get_cross_exchange_ticker("BTCUSDT")
    return min(max(1.0, (time.perf_counter() - started) / USUAL_S), MOST_SLOW)


@pytest.mark.usefixtures("loaded", "quick")
async def test_no_weather_leaves_a_trace(tidy: Tidy) -> None:
    struck, sources, outcomes = Counter[str](), Counter[str](), Counter[str]()
    most, latest_s, started, bad, spells = 0, 0.0, time.monotonic(), [], 0
    with listening() as log, hearing() as heard:
        async with StormyLab(TRUTH) as lab:
            for seed in [int(SEED)] if SEED else range(SPELLS):
                if time.monotonic() - started > LONGEST_S:
                    break
                one = Spell(seed, lab, heard, await slowness(lab))
                await weather(one, tidy, log)
                heard.clear()
                lab.forget()
                spells += 1
                struck, sources, outcomes = struck + one.struck, sources + one.sources, outcomes + one.outcomes
                most, latest_s = max(most, one.most_at_once), max(latest_s, one.latest_s)
                bad += [f"XEX_SEED={seed} {text}" for text in one.wrong]
    print(
        f"\n{ROUNDS * spells} rounds in {time.monotonic() - started:.1f} s, slower than usual by {one.slow:.1f}, "
        f"{most} faults at once, {latest_s:.3f} s late at most\n{dict(outcomes)}\n{dict(struck)}\n{dict(sources)}"
    )
    assert not bad, "\n".join(bad)
    if SEED is None:
        assert len(struck) >= 14
        assert set(sources) == set(SOURCES)
        assert most >= 4
        assert sum(count for name, count in outcomes.items() if name.endswith("answered")) > ROUNDS * spells


async def test_a_reference_that_hangs_is_waited_for_no_longer_than_the_caller_does(lab: Lab) -> None:
    """Nobody shares a signed request: its own time is all that bounds it."""
    lab.fault("coinglass", "hang")
    async with Doctor(cache=False) as xm:
        assert xm.add_exchange(configured(lab, "okx"))
        started = time.monotonic()
        with pytest.raises(ConnectorError, match=r"^coinglass: no answer within 0\.\d+ s"):
            await xm.examine(reference(lab), deadline=0.2)
    assert time.monotonic() - started < 0.2 + GRACE_S


async def test_a_part_that_failed_before_its_question_was_given_up_is_nobody_s_complaint(tidy: Tidy) -> None:
    async def failing() -> None:
        raise TimedOut("no time was left to ask")

    asked = asyncio.create_task(settled([failing(), asyncio.sleep(10)]))
    await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    del asked
    await tidy.check()
