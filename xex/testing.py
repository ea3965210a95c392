"""What strategies and connectors are tested with, without a venue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xex.access.port import ExchangeConnector
from xex.config import ExchangeConfig


class StaticConnector(ExchangeConnector):
    """Answers from a dict of tickers by unified symbol; a value that is an exception is raised.

    The tickers are as `ExchangeConnector.get_ticker` returns them. Change `tickers_by_symbol` while a test runs to
    change the world.
    """

    def __init__(
        self,
        tickers_by_symbol: Mapping[str, Mapping[str, Any] | Exception],
        config: ExchangeConfig | None = None,
    ) -> None:
        super().__init__(config)
        self.tickers_by_symbol = dict(tickers_by_symbol)

    async def connect(self) -> None:
        """Nothing to connect to."""

    async def get_ticker(self, symbol: str) -> Mapping[str, Any] | None:
        """Return the ticker given for `symbol`, None without one."""
        found = self.tickers_by_symbol.get(symbol)
        if isinstance(found, Exception):
            raise found
        return found


__all__ = ["StaticConnector"]
