"""Cross-exchange crypto market data as pandas DataFrames.

Public names load when they are first used: importing xex loads neither ccxt nor pandas. ``xex.arbitrage.scan``
and ``from xex import arbitrage`` work; ``import xex.arbitrage`` does not, since the analytics live in
``xex.analytics``.
"""

from __future__ import annotations

TYPE_CHECKING = False  # known to type checkers by its name; importing typing would double what importing xex costs

if TYPE_CHECKING:
    from xex.access.port import ExchangeConnector
    from xex.analytics import activity, arbitrage, liquidity, pricing, volume
    from xex.answer import CrossExchangeData
    from xex.blocking import run
    from xex.config import ExchangeConfig, ExchangeType
    from xex.errors import (
        AmbiguousSymbol,
        ConfigError,
        ConnectorError,
        LoopError,
        MissingExtra,
        NoVenueAnswered,
        ReadOnlyError,
        RecordingError,
        SchemaError,
        SymbolError,
        UnknownSymbol,
        UnknownVenue,
        XexError,
    )
    from xex.explained import explain
    from xex.manager import ExchangeManager, get_exchange_manager
    from xex.recording import record, replay

__version__ = "0.1.0"

__all__ = [
    "AmbiguousSymbol",
    "ConfigError",
    "ConnectorError",
    "CrossExchangeData",
    "ExchangeConfig",
    "ExchangeConnector",
    "ExchangeManager",
    "ExchangeType",
    "LoopError",
    "MissingExtra",
    "NoVenueAnswered",
    "ReadOnlyError",
    "RecordingError",
    "SchemaError",
    "SymbolError",
    "UnknownSymbol",
    "UnknownVenue",
    "XexError",
    "__version__",
    "activity",
    "arbitrage",
    "explain",
    "get_exchange_manager",
    "liquidity",
    "pricing",
    "record",
    "replay",
    "run",
    "volume",
]

_HOMES = {
    "ExchangeConnector": "access.port",
    "CrossExchangeData": "answer",
    "explain": "explained",
    "ExchangeConfig": "config",
    "ExchangeType": "config",
    "ExchangeManager": "manager",
    "get_exchange_manager": "manager",
    "record": "recording",
    "replay": "recording",
    "run": "blocking",
    **dict.fromkeys(("activity", "arbitrage", "liquidity", "pricing", "volume"), "analytics"),
    **dict.fromkeys(
        (
            "AmbiguousSymbol", "ConfigError", "ConnectorError", "LoopError", "MissingExtra", "NoVenueAnswered",
            "ReadOnlyError", "RecordingError", "SchemaError", "SymbolError", "UnknownSymbol", "UnknownVenue",
            "XexError",
        ),
        "errors",
    ),
}  # fmt: skip

# Hidden from type checkers, which would otherwise take every typo for a public name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'xex' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"xex.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(__all__)
