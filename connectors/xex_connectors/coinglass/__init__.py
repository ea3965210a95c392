"""CoinGlass: its figures of the exchanges, behind one key; a client of its own, and a source for managers.

`endpoints` is what can be asked, as data; `requests` and `answers` build and read without I/O; `client` sends.
"""

from __future__ import annotations

from xex_connectors.coinglass.answers import Table, contract_columns, data_of, table
from xex_connectors.coinglass.client import CoinGlass
from xex_connectors.coinglass.connector import CoinGlassConnector, reconciled
from xex_connectors.coinglass.endpoints import BY_NAME, ENDPOINTS, Endpoint
from xex_connectors.coinglass.refusals import (
    BadParameter,
    IntervalNotInPlan,
    PlanTooLow,
    ServerError,
    UnknownEndpoint,
)
from xex_connectors.coinglass.requests import pairs_markets

__all__ = [
    "BY_NAME",
    "ENDPOINTS",
    "BadParameter",
    "CoinGlass",
    "CoinGlassConnector",
    "Endpoint",
    "IntervalNotInPlan",
    "PlanTooLow",
    "ServerError",
    "Table",
    "UnknownEndpoint",
    "contract_columns",
    "data_of",
    "pairs_markets",
    "reconciled",
    "table",
]
