"""Recordings: what was recorded replays as it was, without the venue, and nothing else is touched."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import xex
from tests import record_bundled
from tests.conftest import NO_KEYS, VENUES, ManagerFor
from tests.lab import Lab, big_truth, default_truth
from xex.access import budgets
from xex.config import ExchangeConfig
from xex.errors import NoVenueAnswered, RecordingError, SymbolError
from xex.manager import ExchangeManager
from xex.recording import BUNDLED, bundled

SYMBOL = "BTCUSDT"
TRUTH = default_truth()
CASSETTES = Path(__file__).parent.parent / "cassettes"
PUBLIC_HOSTS = {
    "fapi.binance.com", "api.binance.com", "www.okx.com", "api.kraken.com", "futures.kraken.com", "api.bybit.com",
    "api.huobi.pro", "api.hbdm.vn",
}  # fmt: skip


def public(*venues: str, cache: bool = False) -> ExchangeManager:
    """Return a manager of the venues themselves: whatever gets past a replay is refused by the guard."""
    xm = ExchangeManager(cache=cache, deadline=5)
    for venue in venues or VENUES:
        assert xm.add_exchange(ExchangeConfig(venue, venue))
    return xm


async def recorded(lab: Lab, manager_for: ManagerFor, path: Path, *symbols: str, **manager: Any) -> list[Any]:
    """Record one question after the other, and return the answers."""
    with xex.record(path):
        xm = manager_for(lab, **manager)
        answers = [(await xm.get_cross_exchange_ticker(symbol)).as_dict() for symbol in symbols or (SYMBOL,)]
        await xm.disconnect_all()
    return answers


async def replayed(*symbols: str, venues: tuple[str, ...] = VENUES) -> list[Any]:
    async with public(*venues) as xm:
        return [(await xm.get_cross_exchange_ticker(symbol)).as_dict() for symbol in symbols or (SYMBOL,)]


def interactions(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text())["interactions"])


# --- the same answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "BTC/USDT", "BTC/USD:USD", "okx:BTC-USDT-SWAP"])
async def test_a_replay_gives_the_recorded_answer_again_and_again(
    symbol: str, lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    (answer,) = await recorded(lab, manager_for, path, symbol)
    assert answer["aggregated_price"] is not None
    lab.seen.clear()
    for _ in range(2):
        with xex.replay(path):
            assert await replayed(symbol, symbol) == [answer, answer]
            assert await replayed(symbol) == [answer]
    assert lab.seen == []


async def test_two_questions_replay_in_their_order(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with xex.record(path):
        xm = manager_for(lab)
        first = (await xm.get_cross_exchange_ticker(SYMBOL)).as_dict()
        lab.truth = TRUTH.with_premium("binance", "BTC", 20).with_depeg("0.99")
        second = (await xm.get_cross_exchange_ticker(SYMBOL)).as_dict()
        await xm.disconnect_all()
    assert first["aggregated_price"] != second["aggregated_price"]
    with xex.replay(path):
        assert await replayed(SYMBOL, SYMBOL) == [first, second]


async def test_questions_at_once_replay_as_well(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    (answer,) = await recorded(lab, manager_for, path)
    with xex.replay(path):
        async with public() as xm:
            answers = await asyncio.gather(*(xm.get_cross_exchange_ticker(SYMBOL) for _ in range(5)))
    assert [snap.as_dict() for snap in answers] == [answer] * 5


async def test_ages_are_those_of_the_recording(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    lab.fault("binance", "stale", seconds=4)
    (answer,) = await recorded(lab, manager_for, path)
    age = answer["exchanges_data"]["binance"]["age_ms"]
    assert 4000 <= age < 5000
    await asyncio.sleep(0.05)
    with xex.replay(path):
        (again,) = await replayed()
    assert again["exchanges_data"]["binance"]["age_ms"] == age
    assert again["timestamp"] == answer["timestamp"]


async def test_a_clock_that_is_off_is_off_in_the_replay_too(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    lab.fault("okx", "skew", seconds=30)
    (answer,) = await recorded(lab, manager_for, path)
    assert answer["dropped"] == {}
    with xex.replay(path):
        assert await replayed() == [answer]


@pytest.mark.parametrize("kind", ["status", "html", "venue_error", "rate_limited", "banned", "null", "truncated"])
async def test_failures_replay_as_they_were(kind: str, lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    lab.fault("binance", kind)
    (answer,) = await recorded(lab, manager_for, path)
    assert set(answer["dropped"]) == {"binance"}
    budgets.PROCESS._pauses.clear()
    with xex.replay(path):
        assert await replayed(SYMBOL, SYMBOL) == [answer, answer]


async def test_a_replayed_limit_does_not_pause_the_venue_itself(
    lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    """What a venue said long ago is no reason to leave it alone now."""
    path = tmp_path / "run.json"
    lab.fault("binance", "banned", retry_after=3600)
    lab.fault("okx", "rate_limited")
    await recorded(lab, manager_for, path)
    budgets.PROCESS._pauses.clear()
    with xex.replay(path):
        await replayed()
    assert budgets.PROCESS._pauses == {}


async def test_one_manager_in_and_out_of_a_replay(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    (answer,) = await recorded(lab, manager_for, path)
    lab.truth = TRUTH
    for venue in ("binance", "okx", "bybit", "htx"):
        lab.truth = lab.truth.with_premium(venue, "BTC", 20)
    xm = manager_for(lab, **NO_KEYS)
    live = await xm.get_cross_exchange_ticker(SYMBOL)
    assert live.aggregated_price != pytest.approx(answer["aggregated_price"], rel=1e-4)
    lab.seen.clear()
    with xex.replay(path):
        played = await xm.get_cross_exchange_ticker(SYMBOL)
    assert lab.seen == []
    assert played.as_dict() == answer
    after = await xm.get_cross_exchange_ticker(SYMBOL)
    assert after.aggregated_price == pytest.approx(live.aggregated_price, rel=1e-6)
    assert lab.seen


async def test_the_market_and_health_replay(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with xex.record(path):
        xm = manager_for(lab)
        frame = await xm.tickers()
        said = {name: row["venue_status"] for name, row in (await xm.health_check()).items()}
        await xm.disconnect_all()
    with xex.replay(path):
        async with public() as xm:
            again = await xm.tickers()
            said_again = {name: row["venue_status"] for name, row in (await xm.health_check()).items()}
    columns = [name for name in frame.columns if name not in {"age_ms", "response_id"}]
    assert again[columns].equals(frame[columns])
    assert said_again == said


async def test_the_bundled_recording_needs_nothing(loaded: None) -> None:  # noqa: ARG001  imports are not its time
    with xex.replay() as recording:
        (answer,) = await replayed()
    assert set(answer["answered"]) == set(VENUES)
    assert answer["dropped"] == {}
    assert recording.synthetic
    assert recording.path.name == BUNDLED
    assert recording.made_at.startswith("2026")


# --- what is in the file ---------------------------------------------------------------------------------------


async def test_recordings_hold_public_addresses_and_little_else(
    lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    await recorded(lab, manager_for, path)
    text = path.read_text()
    assert "127.0.0.1" not in text
    assert "localhost" not in text
    kept = interactions(path)
    assert len(kept) < 100
    assert path.stat().st_size < 300_000
    hosts = {entry["request"]["uri"].split("/")[2] for entry in kept}
    assert hosts <= PUBLIC_HOSTS
    assert all(entry["request"]["uri"].startswith("https://") for entry in kept)
    assert all(entry["request"]["method"] == "GET" and not entry["request"]["headers"] for entry in kept)
    headers = {name for entry in kept for name in entry["response"]["headers"]}
    assert headers <= {"content-type", "retry-after", "x-mbx-used-weight-1m", "x-xex-received-ms", "x-xex-latency-ms"}


async def test_lists_of_thousands_are_cut_down_to_what_was_asked(
    lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    lab.truth = big_truth(1500)
    path = tmp_path / "run.json"
    answers = await recorded(lab, manager_for, path, deadline=30.0)
    assert path.stat().st_size < 300_000
    with xex.replay(path):
        assert await replayed() == answers


async def test_the_label_says_what_it_was_made_from(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with xex.record(path) as recording:
        xm = manager_for(lab)
        await xm.get_cross_exchange_ticker(SYMBOL)
        await xm.disconnect_all()
    assert recording.synthetic
    with xex.replay(path) as replaying:
        assert replaying.synthetic
        assert replaying.made_from == recording.made_from
        assert replaying.made_at == recording.made_at


async def test_a_folder_is_made_and_a_file_replaced(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "run.json"
    await recorded(lab, manager_for, path)
    first = path.read_text()
    lab.truth = TRUTH.with_premium("okx", "BTC", 15)
    answers = await recorded(lab, manager_for, path)
    assert path.read_text() != first
    with xex.replay(path):
        assert await replayed() == answers


async def test_an_error_in_the_block_writes_nothing(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("what was there")

    async def fails() -> None:
        with xex.record(path):
            xm = manager_for(lab)
            await xm.get_cross_exchange_ticker(SYMBOL)
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await fails()
    assert path.read_text() == "what was there"


def test_a_recording_of_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(RecordingError, match="nothing was received"), xex.record(path):
        pass
    assert not path.exists()


async def test_nothing_of_a_recording_reaches_the_disk_cache(
    lab: Lab, manager_for: ManagerFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lists are cut down: kept as metadata they would hide the rest of the market."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "run.json"
    await recorded(lab, manager_for, path)
    with xex.replay(path):
        async with public(cache=True) as xm:
            await xm.get_cross_exchange_ticker(SYMBOL)
    assert not list((tmp_path / "cache").rglob("*.json"))


async def test_the_disk_cache_does_not_reach_a_replay(
    lab: Lab, manager_for: ManagerFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "run.json"
    answers = await recorded(lab, manager_for, path)
    folder = tmp_path / "cache" / "xex"
    folder.mkdir(parents=True)
    for name in ("binance-linear", "okx-linear", "kraken-linear", "kraken-spot"):
        (folder / f"{name}.json").write_text('{"version": 1, "written_with": "x", "saved_ms": 1, "columns": {}}')
    with xex.replay(path):
        async with public(cache=True) as xm:
            assert (await xm.get_cross_exchange_ticker(SYMBOL)).as_dict() == answers[0]


# --- others' requests ------------------------------------------------------------------------------------------


async def test_requests_of_other_code_pass_by(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    path = tmp_path / "run.json"

    async def others() -> int:
        """Ask what no connector asks, and what one does ask."""
        async with aiohttp.ClientSession() as session:
            urls = [f"{lab.url('okx')}/api/v5/public/time", f"{lab.url('kraken')}/not/there?mine=1"]
            statuses = []
            for url in urls:
                async with session.get(url, headers={"X-Mine": "yes"}) as answer:
                    await answer.read()
                    statuses.append(answer.status)
            return statuses[0]

    def heard() -> list[str]:
        return [seen.path_qs for seen in lab.seen if "X-Mine" in seen.headers]

    with xex.record(path):
        xm = manager_for(lab)
        assert await others() == 200
        answer = await xm.get_cross_exchange_ticker(SYMBOL)
        assert await others() == 200
        await xm.disconnect_all()
    assert len(heard()) == 4
    assert "mine=1" not in path.read_text()
    lab.seen.clear()
    with xex.replay(path):
        assert await others() == 200
        assert (await replayed())[0] == answer.as_dict()
        assert await others() == 200
    assert len(heard()) == 4
    assert len(lab.seen) == 4


async def test_after_the_block_everything_is_as_before(lab: Lab, manager_for: ManagerFor, tmp_path: Path) -> None:
    before = aiohttp.ClientSession._request
    await recorded(lab, manager_for, tmp_path / "run.json")
    assert aiohttp.ClientSession._request is before
    with pytest.raises(LookupError), xex.replay(tmp_path / "run.json"):
        raise LookupError
    assert aiohttp.ClientSession._request is before
    with xex.replay(tmp_path / "run.json"):  # the clock is free again
        pass


# --- what cannot be used ---------------------------------------------------------------------------------------


def test_recordings_do_not_nest(tmp_path: Path) -> None:
    with xex.replay():
        with pytest.raises(RecordingError, match="do not nest"), xex.replay():
            pass
        with pytest.raises(RecordingError, match="do not nest"), xex.record(tmp_path / "x.json"):
            pass
    with xex.replay():
        pass


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is no recording"),
    "text": (b"hello", "is no recording"),
    "cut": (b'{"version": 1, "interactions": [', "is no recording"),
    "binary": (b"\xff\xfe\x00\x01", "is no recording"),
    "number": (b"7", "is no recording"),
    "list": (b"[1, 2]", "is no recording"),
    "object": (b'{"a": 1}', "is no recording"),
    "foreign": (b'{"interactions": [], "version": 1}', "is no recording made by xex"),
    "metadata": (b'{"interactions": [], "metadata": [1]}', "is no recording"),
    "null": (b'{"interactions": [], "metadata": null}', "is no recording"),
    "version": (b'{"interactions": [], "metadata": {"xex": {"version": 99}}}', "version 99"),
    "no_version": (b'{"interactions": [], "metadata": {"xex": {}}}', "version None"),
    "rows": (b'{"interactions": [7], "metadata": {"xex": {"version": 1}}}', "is no recording"),
    "row": (b'{"interactions": [{}], "metadata": {"xex": {"version": 1}}}', "is no recording"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_recording_says_so(name: str, tmp_path: Path) -> None:
    body, words = BROKEN[name]
    path = tmp_path / "broken.json"
    path.write_bytes(body)
    with pytest.raises(RecordingError, match=words) as caught, xex.replay(path):
        pass
    assert str(path) in str(caught.value)
    with xex.replay():  # and nothing is left half open
        pass


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(RecordingError, match=r"there is no recording at .*absent\.json"),
        xex.replay(tmp_path / "absent.json"),
    ):
        pass
    with pytest.raises(RecordingError, match="cannot be read"), xex.replay(tmp_path):
        pass


@pytest.mark.parametrize(
    ("field", "value"), [("headers", {}), ("body", {}), ("headers", {"x-xex-received-ms": ["soon"]}), ("status", None)]
)
async def test_a_damaged_interaction_is_a_named_failure(
    field: str, value: Any, lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    """Edited by hand, or by a tool: the venue is dropped or the file refused, nothing breaks inside."""
    path = tmp_path / "run.json"
    await recorded(lab, manager_for, path)
    data = json.loads(path.read_text())
    for entry in data["interactions"]:
        if "okx" in entry["request"]["uri"]:
            entry["response"][field] = value
    path.write_text(json.dumps(data))
    error, answer = None, {}
    try:
        with xex.replay(path):
            (answer,) = await replayed()
    except RecordingError as exc:
        error = exc
    if error is not None:
        assert str(path) in str(error)
        return
    assert set(answer["dropped"]) == {"okx"}
    assert answer["dropped"]["okx"]["reason"] in {"bad_payload", "not_recorded"}


async def test_a_venue_that_was_not_recorded_is_dropped_by_name(
    lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    await recorded(lab, manager_for, path, venues=("binance", "okx"))
    with xex.replay(path):
        (answer,) = await replayed()
        assert set(answer["answered"]) == {"binance", "okx"}
        assert answer["dropped"]["kraken"]["reason"] == "not_recorded"
        assert "futures.kraken.com" in answer["dropped"]["kraken"]["detail"]
        with pytest.raises(NoVenueAnswered) as caught:
            await replayed(venues=("kraken",))
    assert {name: str(drop) for name, drop in caught.value.dropped.items()} == {"kraken": "not_recorded"}


@pytest.mark.parametrize("symbol", ["ETHUSDT", "DOGEUSDT"])
async def test_what_was_recorded_for_rates_only_is_flagged(
    symbol: str, lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    """Their tickers came along as legs of a rate; their books and 24 hour figures did not."""
    path = tmp_path / "run.json"
    await recorded(lab, manager_for, path)
    with xex.replay(path):
        async with public() as xm:
            snap = await xm.get_cross_exchange_ticker(symbol)
    assert all("no_book:not_recorded" in flags for flags in snap.columns["flags"])
    assert snap.volume_partial == ["binance"]
    assert snap.liquidity_books[0] == 0


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USD:BTC", "NOSUCHUSDT", "okx:NOSUCH-SWAP"])
async def test_a_symbol_that_was_not_recorded_is_a_clear_error(
    symbol: str, lab: Lab, manager_for: ManagerFor, tmp_path: Path
) -> None:
    """A recording's lists are cut down: what it lacks may well be listed, and the error says so."""
    path = tmp_path / "run.json"
    await recorded(lab, manager_for, path)
    with xex.replay(path), pytest.raises((NoVenueAnswered, SymbolError), match=r"(?i)record") as caught:
        await replayed(symbol)
    assert symbol.rpartition(":")[2] in str(caught.value) or symbol in str(caught.value)


# --- the recordings that come with xex ---------------------------------------------------------------------------


def comparable(path: Path) -> list[Any]:
    """Return what a recording holds but for how long answers took, in an order of its own."""
    rows = interactions(path)
    for entry in rows:
        entry["response"]["headers"].pop("x-xex-latency-ms")
        body = entry["response"]["body"]["string"]
        entry["response"]["body"] = json.loads(body) if body.startswith(("{", "[")) else body
    return sorted(rows, key=lambda entry: json.dumps(entry, sort_keys=True))


@pytest.mark.usefixtures("loaded")
async def test_the_command_makes_the_bundled_recording_again(tmp_path: Path) -> None:
    path = tmp_path / BUNDLED
    await record_bundled.record_synthetic(path)
    assert comparable(path) == comparable(CASSETTES / BUNDLED)
    about, kept = (json.loads(file.read_text())["metadata"] for file in (path, CASSETTES / BUNDLED))
    assert about == kept


def test_what_the_repository_keeps_is_small_and_clean() -> None:
    files = sorted(CASSETTES.glob("*.json"))
    assert bundled() in [path.resolve() for path in files]
    for path in files:
        assert path.stat().st_size < 300_000
        assert len(interactions(path)) < 100
        text = path.read_text()
        assert "127.0.0.1" not in text
        assert "synthetic" in json.loads(text)["metadata"]["xex"]["made_from"] or "synthetic" not in path.name
        assert path.name in (CASSETTES / "README.md").read_text()
