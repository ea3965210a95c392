"""What the encoders share: a reply before it becomes bytes, and the ways venues write numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID

Body: TypeAlias = Any
Query: TypeAlias = Mapping[str, str]
Permission: TypeAlias = Literal["read", "trade", "withdraw"]
MAY = "what the key may"  # the key's permissions, as encoders find them beside the parameters


@dataclass(frozen=True)
class Reply:
    """One answer: HTTP status, JSON-able body (or ready bytes) and extra headers."""

    body: Body
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def permissions(query: Query) -> list[str]:
    """Return what the caller's key may do."""
    return query[MAY].split()


def decimals(step: Decimal) -> int:
    """How many digits after the point a step needs: 2 for 0.01 and for 0.05, 0 for 10."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def text(value: Decimal) -> str:
    """Write a number without exponent and without needless zeros: 68600, 0.0001."""
    return f"{value.normalize():f}"


def fixed(value: Decimal, digits: int) -> str:
    """Write a number with at least `digits` decimals, and more when its exact value needs them."""
    if not value.is_finite():
        return "NaN"
    return f"{value:.{max(digits, decimals(value))}f}"


def number(value: Decimal) -> int | float:
    """Write a number as a JSON number: an integer when it is one, else the shortest float."""
    if not value.is_finite():
        return float("nan")
    return int(value) if value == value.to_integral_value() else float(value)


def uuid_of(digits: str) -> str:
    """Write a number as a UUID, always the same for the same number."""
    return str(UUID(int=int(digits) << 64 | int(digits)))


def iso_ms(stamp_ms: int) -> str:
    """Write Unix milliseconds as 2024-01-31T09:00:00.123Z."""
    moment = datetime.fromtimestamp(stamp_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp_ms % 1000:03d}Z"
