"""Venues' instruments on disk: usable offline, and when a venue's own list cannot be had.

One JSON file per exchange and market type, written whole and moved into place; a file from another version
of the schema, or a broken one, counts as none.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from xex.model import clock
from xex.model.listings import COLUMNS, NUMBERS, Listings

log = logging.getLogger("xex.access")

VERSION = 2
FRESH_MS = 3_600_000


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

    def load(self, key: str, written_with: str) -> tuple[Listings, bool] | None:
        """Return the kept instruments and whether they are fresh; None where there are none to trust."""
        if self.folder is None or clock.is_recorded():
            return None
        try:
            kept = msgspec.json.decode((self.folder / f"{key}.json").read_bytes(), type=_File)
        except (OSError, msgspec.MsgspecError):
            return None
        if kept.version != VERSION or kept.written_with != written_with:
            return None
        for name in NUMBERS:
            kept.columns[name] = [float("nan") if cell is None else float(cell) for cell in kept.columns[name]]
        age = clock.now_ms() - kept.saved_ms
        return Listings(kept.columns, kept.left_out), 0 <= age < FRESH_MS

    def save(self, key: str, written_with: str, listings: Listings) -> None:
        """Keep the instruments; a folder that cannot be written is only logged."""
        if self.folder is None or clock.is_recorded():
            return
        columns = {name: listings.columns[name] for name in COLUMNS}
        data = msgspec.json.encode(_File(VERSION, written_with, clock.now_ms(), columns, sorted(listings.left_out)))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
                file.write(data)
            os.replace(file.name, self.folder / f"{key}.json")  # noqa: PTH105  the one atomic call on every system
        except OSError as exc:
            log.info("metadata of %s cannot be kept in %s: %s", key, self.folder, exc)
