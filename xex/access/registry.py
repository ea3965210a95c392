"""Finding connectors: by entry point, so that a third party's is one package away."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from xex.access.port import ExchangeConnector, Reference
from xex.errors import ConfigError

GROUP, REFERENCES = "xex.connectors", "xex.references"


def installed() -> dict[str, EntryPoint]:
    """Return the installed connectors by name, none of them loaded."""
    return {point.name: point for point in entry_points(group=GROUP)}


def references() -> dict[str, EntryPoint]:
    """Return the installed sources of figures to check ours against, none of them loaded."""
    return {point.name: point for point in entry_points(group=REFERENCES)}


def load(point: EntryPoint) -> type[ExchangeConnector]:
    """Import a connector class; raises `ConfigError` for an entry point that is none."""
    found: type[ExchangeConnector] = _loaded(point, ExchangeConnector, "connector")
    return found


def load_reference(point: EntryPoint) -> type[Reference]:
    """Import the class of a source of figures; raises `ConfigError` for an entry point that is none."""
    found: type[Reference] = _loaded(point, Reference, "reference")
    return found


def _loaded(point: EntryPoint, wanted: type, what: str) -> Any:
    try:
        found = point.load()
    except (ImportError, AttributeError) as exc:
        raise ConfigError(f"the {what} {point.name!r} ({point.value}) cannot be imported: {exc}") from exc
    if not (isinstance(found, type) and issubclass(found, wanted)):
        raise ConfigError(f"the {what} {point.name!r} ({point.value}) is no {wanted.__name__}")
    return found
