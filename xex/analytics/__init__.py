"""What the numbers mean. Pure functions, frame to frame: no I/O, no clock of their own."""

from __future__ import annotations

from xex.analytics import activity, arbitrage, liquidity, pricing, volume

__all__ = ["activity", "arbitrage", "liquidity", "pricing", "volume"]
