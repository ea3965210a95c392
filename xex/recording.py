"""Record and replay HTTP for tests, notebooks and bug reports.

What venues send is kept at the seam, by vcrpy, as JSON. A recording holds the venues' public addresses, so one made
through another host replays without it; it holds no request headers, no signed request and no key. The wall clock
is recorded too: an answer has the same ages whenever it is replayed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from xex.access.transport import InFlight, in_flight, scrub
from xex.errors import RecordingError
from xex.model import clock

if TYPE_CHECKING:
    from vcr.request import Request

VERSION = 1
BUNDLED = "snapshot-btcusdt-synthetic.json"
_RECEIVED, _LATENCY = "x-xex-received-ms", "x-xex-latency-ms"
_KEPT_HEADERS = frozenset({"content-type", "retry-after", _RECEIVED, _LATENCY})
_OTHER_LIBRARIES = (
    "httplib", "requests", "boto3", "urllib3", "httplib2", "tornado", "httpx", "httpx2",
)  # fmt: skip


@dataclass(slots=True)
class Recording:
    """A recording in use: where it is, what it was made from and when."""

    path: Path
    made_from: str = "live"
    made_at: str = ""
    latest_ms: int = 0
    trims: dict[int, Callable[[bytes], bytes]] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Whether its numbers were made up by a test server and are no market's."""
        return self.made_from != "live"


def bundled() -> Path:
    """Return the recording that comes with xex: in the package, or in the clone's `cassettes/`."""
    places = (files("xex") / "_recordings" / BUNDLED, files("xex") / ".." / "cassettes" / BUNDLED)
    for place in places:
        path = Path(str(place))
        if path.is_file():
            return path.resolve()
    raise RecordingError(f"the bundled recording {BUNDLED} is missing from this installation")


_current: Recording | None = None


@contextmanager
def record(path: str | Path, *, now_ms: Callable[[], int] | None = None) -> Iterator[Recording]:
    """Keep what venues send inside the block in `path`, replacing the file when the block ends without an error.

    Lists of the whole market are cut down to the instruments that were asked for. `now_ms` is another wall clock
    for recordings of a test server. Raises `RecordingError` when recordings are nested or nothing was received.
    """
    _not_nested()
    target = _writable(path)
    wall = now_ms or (lambda: time.time_ns() // 1_000_000)
    recording = Recording(target, made_at=datetime.fromtimestamp(wall() / 1e3, UTC).isoformat(timespec="seconds"))
    with _playing(recording, wall) as tape:
        yield recording
    if not len(tape):
        raise RecordingError(f"nothing was received, so {target} was not written")
    _save(tape, recording)


@contextmanager
def replay(path: str | Path | None = None) -> Iterator[Recording]:
    """Answer from a recording instead of the venues inside the block; None is the bundled one.

    Nothing is sent: a request that the recording lacks is that venue's failure, `not_recorded`. Raises
    `RecordingError` for a file that is missing or is no recording.
    """
    _not_nested()
    target = bundled() if path is None else Path(path)
    recording = Recording(target)
    interactions = _read(target, recording)
    # Until the first answer is played it is as late as when that one came.
    received = [int(entry["response"]["headers"][_RECEIVED][0]) for entry in interactions]
    recording.latest_ms = min(received, default=0)
    with _playing(recording, None, interactions):
        yield recording


def _writable(path: str | Path) -> Path:
    """Return where a recording can be written, found out before the venues are asked."""
    target = Path(path)
    if not str(path) or target.is_dir():
        raise RecordingError(f"{str(path)!r} is no name for a recording")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise RecordingError(f"{target} cannot be written: {exc.strerror or exc}") from None
    return target


def in_use() -> str:
    """Say what answers come from: "" from the venues, else what the recording in use was made from, and when."""
    if _current is None or not clock.is_replayed():
        return ""
    return f"{_current.made_from}, recorded {_current.made_at}"


def _not_nested() -> None:
    if clock.is_recorded():
        raise RecordingError("a recording or a replay is already in use; they do not nest")


def _read(path: Path, recording: Recording) -> list[dict[str, Any]]:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RecordingError(f"there is no recording at {path}") from None
    except OSError as exc:
        raise RecordingError(f"{path} cannot be read: {exc.strerror or exc}") from None
    except ValueError as exc:
        raise RecordingError(f"{path} is no recording: {exc}") from None
    known = data.get("metadata") if isinstance(data, dict) else None
    about = known.get("xex") if isinstance(known, dict) else None
    rows = data.get("interactions") if isinstance(data, dict) else None
    if not isinstance(about, dict) or not isinstance(rows, list) or not all(map(_is_interaction, rows)):
        raise RecordingError(f"{path} is no recording made by xex")
    if about.get("version") != VERSION:
        raise RecordingError(f"{path} is a recording of version {about.get('version')}, this xex reads {VERSION}")
    recording.made_from, recording.made_at = str(about.get("made_from")), str(about.get("made_at"))
    return rows


def _is_interaction(row: Any) -> bool:
    """Say whether a row has all that playing it needs."""
    try:
        headers = row["response"]["headers"]
        float(headers[_LATENCY][0]), int(headers[_RECEIVED][0])
        request, response = row["request"], row["response"]
        return {"method", "uri"} <= request.keys() and "code" in response["status"] and "body" in response
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return False


def _save(tape: Any, recording: Recording) -> None:
    from vcr.serialize import serialize

    for place, trim in recording.trims.items():
        request, response = tape.data[place]
        with suppress(Exception):  # a body that cannot be cut down is kept whole
            response["body"] = {"string": trim(response["body"]["string"])}
        tape.data[place] = (request, response)
    about = {"version": VERSION, "made_from": recording.made_from, "made_at": recording.made_at}
    text = serialize({"requests": tape.requests, "responses": tape.responses, "metadata": {"xex": about}}, _Compact)
    recording.path.parent.mkdir(parents=True, exist_ok=True)
    recording.path.write_text(text, encoding="utf-8")


class _Compact:
    """JSON with one line per value, small enough to keep and readable in a diff."""

    @staticmethod
    def serialize(data: dict[str, Any]) -> str:
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


@contextmanager
def _playing(
    recording: Recording, wall: Callable[[], int] | None, interactions: list[dict[str, Any]] | None = None
) -> Iterator[Any]:
    """Put a tape between aiohttp and the network; `wall` dates what is recorded, None only plays."""
    from vcr import matchers
    from vcr.cassette import Cassette
    from vcr.record_mode import RecordMode
    from vcr.request import Request
    from vcr.serializers import compat

    class Tape(Cassette):  # type: ignore[misc]
        """Plays equal requests in the order in which they were recorded, then again from the start."""

        def _load(self) -> None:
            for entry in interactions or ():
                self.data.append(
                    (Request._from_dict(entry["request"]), compat.convert_to_bytes(entry["response"]))  # noqa: SLF001
                )
            self.rewound = True

        def _save(self, force: bool = False) -> None:
            """Nothing: a recording is written whole, once, when its block has ended well."""

        def play_response(self, request: Request) -> Any:
            found = list(self._responses(request))
            place, response = min(found, key=lambda entry: (self.play_counts[entry[0]], entry[0]))
            self.play_counts[place] += 1
            exchange = in_flight.get()
            if exchange is not None:
                exchange.received_at = int(response["headers"][_RECEIVED][0])
                exchange.latency_ms = float(response["headers"][_LATENCY][0])
                recording.latest_ms = max(recording.latest_ms, exchange.received_at)
            return response

    def ours(request: Request) -> Request | None:
        """Return our own unsigned requests under the venue's public address; others pass by."""
        exchange = in_flight.get()
        if exchange is None or exchange.signed:
            return None
        return Request(request.method, scrub(exchange.public_url, exchange.secrets), None, {})

    def stamped(response: dict[str, Any]) -> dict[str, Any]:
        exchange = in_flight.get()
        if exchange is not None and wall is not None:
            _stamp(exchange, response, wall(), recording, len(tape))
        return response

    try:
        context = Tape.use(
            path=str(recording.path),
            record_mode=RecordMode.NONE if wall is None else RecordMode.ALL,
            match_on=(matchers.method, matchers.uri),
            before_record_request=ours,
            before_record_response=stamped,
            allow_playback_repeats=True,
            skip_patchers=_OTHER_LIBRARIES,
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise RecordingError(f"{recording.path} is no recording: {exc!r}") from None

    def now() -> int:
        return recording.latest_ms or (wall() if wall is not None else 0)

    global _current  # noqa: PLW0603  one recording a process, as vcrpy patches the process
    with context as tape, clock.recorded(now, replayed=wall is None):
        _current = recording
        try:
            yield tape
        finally:
            _current = None


def _stamp(exchange: InFlight, response: dict[str, Any], received: int, recording: Recording, place: int) -> None:
    """Date a response, keep the headers that matter, and note how its body can be cut down later."""
    exchange.received_at = received
    exchange.latency_ms = round(1e3 * (clock.monotonic() - exchange.started), 3)
    recording.latest_ms = max(recording.latest_ms, received)
    kept = {name.lower(): values for name, values in response["headers"].items() if name.lower() in _KEPT_HEADERS}
    response["headers"] = {**kept, _RECEIVED: [str(received)], _LATENCY: [str(exchange.latency_ms)]}
    body = response["body"].get("string", b"").decode(errors="replace")
    response["body"] = {"string": scrub(body, exchange.secrets).encode()}
    if exchange.trim is not None:
        recording.trims[place] = exchange.trim
    if _loopback(exchange.target_url):
        recording.made_from = "synthetic: a server on this machine"


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
