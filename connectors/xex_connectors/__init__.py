"""The venues behind xex, one small file each; data first, code where a venue forces it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xex_connectors.binance import BinanceConnector
    from xex_connectors.bybit import BybitConnector
    from xex_connectors.coinglass import CoinGlass, CoinGlassConnector
    from xex_connectors.htx import HtxConnector
    from xex_connectors.kraken import KrakenConnector
    from xex_connectors.okx import OkxConnector

__all__ = [
    "BinanceConnector",
    "BybitConnector",
    "CoinGlass",
    "CoinGlassConnector",
    "HtxConnector",
    "KrakenConnector",
    "OkxConnector",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a venue when it is first named: one venue's file must not cost another's import."""
        if name in __all__:
            return getattr(import_module(f"{__name__}.{name.removesuffix('Connector').lower()}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
