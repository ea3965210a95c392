"""Finding connectors: by entry point, so that a third party's is one package away."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from xex.access.port import ExchangeConnector
from xex.errors import ConfigError

GROUP = "xex.connectors"


def installed() -> dict[str, EntryPoint]:
    """Return the installed connectors by name, none of them loaded."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load(point: EntryPoint) -> type[ExchangeConnector]:
    """Import a connector class; raises `ConfigError` for an entry point that is none."""
    try:
        found = point.load()
    except (ImportError, AttributeError) as exc:
        raise ConfigError(f"the connector {point.name!r} ({point.value}) cannot be imported: {exc}") from exc
    if not (isinstance(found, type) and issubclass(found, ExchangeConnector)):
        raise ConfigError(f"the connector {point.name!r} ({point.value}) is no ExchangeConnector")
    return found
