"""What traders do: whom their positions were taken from."""

from __future__ import annotations

from xex.analytics.liquidation_sums import liquidations_by

__all__ = ["liquidations_by"]
