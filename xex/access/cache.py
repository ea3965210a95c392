"""Venues' instruments on disk: usable offline, and when a venue's own list cannot be had.

One JSON file per venue and market type, written whole and moved into place; a file from another version of the
schema, or a broken one, counts as none. What stands behind another address, a gateway or a test server, has files
of its own.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from math import inf, nan
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from xex.model import clock
from xex.model.listings import COLUMNS, NUMBERS, Listings

log = logging.getLogger("xex.access")

VERSION = 2
FRESH_MS = 3_600_000


class Kept(NamedTuple):
    """Instruments as they were saved."""

    listings: Listings
    saved_ms: int

    @property
    def age_ms(self) -> float:
        """How old they are; infinitely so where they come from the future, for then a clock was wrong."""
        return age_ms(self.saved_ms)

    @property
    def fresh(self) -> bool:
        """Whether they need not be asked for again."""
        return self.age_ms < FRESH_MS

    @property
    def complete(self) -> bool:
        """Whether no contract has ended since: the name of one that has may be another's now."""
        now_ms = clock.now_ms()
        return not any(self.saved_ms < end <= now_ms for end in self.listings.columns["expiry_time"])


class _File(msgspec.Struct):
    version: int
    written_with: str
    saved_ms: int
    columns: dict[str, list[Any]]
    left_out: list[str]


class MetadataCache:
    """Instruments kept in `folder`; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @classmethod
    def default(cls) -> MetadataCache:
        """Return the cache in the user's own cache folder."""
        import platformdirs

        return cls(Path(platformdirs.user_cache_dir("xex", appauthor=False)))

    def load(self, key: str, written_with: str) -> Kept | None:
        """Return the kept instruments; None where there are none to trust."""
        data = self.read(key)
        try:
            kept = None if data is None else msgspec.json.decode(data, type=_File)
            if kept is None or (kept.version, kept.written_with) != (VERSION, written_with):
                return None
            for name in NUMBERS:
                kept.columns[name] = [nan if cell is None else float(cell) for cell in kept.columns[name]]
        except (LookupError, TypeError, ValueError, msgspec.MsgspecError):
            return None
        return Kept(Listings(kept.columns, kept.left_out), kept.saved_ms)

    def save(self, key: str, written_with: str, listings: Listings) -> None:
        """Keep the instruments."""
        columns = {name: listings.columns[name] for name in COLUMNS}
        file = _File(VERSION, written_with, clock.now_ms(), columns, sorted(listings.left_out))
        self.write(key, msgspec.json.encode(file))

    def read(self, key: str) -> bytes | None:
        """Return a file of the folder; None where there is none, or in a recording."""
        if self.folder is None or clock.is_recorded():
            return None
        try:
            return (self.folder / f"{key}.json").read_bytes()
        except OSError:
            return None

    def write(self, key: str, data: bytes) -> None:
        """Put a file into the folder at once and whole; a folder that cannot be written is only logged."""
        if self.folder is None or clock.is_recorded():
            return
        name = ""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
                name = file.name
                file.write(data)
            os.replace(name, self.folder / f"{key}.json")  # noqa: PTH105  the one atomic call on every system
        except OSError as exc:
            log.info("metadata of %s cannot be kept in %s: %s", key, self.folder, exc)
            if name:
                with suppress(OSError):
                    os.unlink(name)  # noqa: PTH108  as above


def age_ms(saved_ms: int) -> float:
    """Return how long ago something was saved, infinity for what comes from the future."""
    age = clock.now_ms() - saved_ms
    return age if age >= 0 else inf


def key_of(name: str, *circumstances: object) -> str:
    """Return the name of a file, with a short hash of what else the content depends on where that is not usual.

    >>> key_of("okx-spot", None, {}), key_of("okx-spot", "https://gateway.example")
    ('okx-spot', 'okx-spot-dd07c8d7')
    """
    if not any(circumstances):
        return name
    return f"{name}-{hashlib.sha256(repr(circumstances).encode()).hexdigest()[:8]}"
