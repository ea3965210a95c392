"""What traders do: large orders, and which way their money flows."""

from __future__ import annotations

from xex.analytics.whales import net_flow, walls, whales

__all__ = ["net_flow", "walls", "whales"]
