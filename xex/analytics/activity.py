"""What traders do: whom positions were taken from, who trades large and rests large, which way their money flows."""

from __future__ import annotations

from xex.analytics.liquidation_sums import liquidations_by
from xex.analytics.whales import net_flow, walls, whales

__all__ = ["liquidations_by", "net_flow", "walls", "whales"]
