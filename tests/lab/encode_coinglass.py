"""CoinGlass's format: figures of the exchanges' contracts behind one key, inside {"code": "0", "msg": "success", …}.

Errors come as a code with HTTP 200. Volume and worth are dollars, the quantity of open interest is coins. Some numbers
come as text. How it counts is its own affair: here, once, whatever the exchange does.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.lab.truth import Market, Truth
from tests.lab.wire import Body, Query, Reply, number, text

KEY = "the-key-of-the-lab"
HEADER = "CG-API-KEY"
PAIRS_MARKETS = "/api/futures/pairs-markets"
EXCHANGES = {
    "binance": "Binance",
    "bitget": "Bitget",
    "bybit": "Bybit",
    "htx": "HTX",
    "krakenfutures": "Kraken",
    "okx": "OKX",
}
PLAN = {"API-KEY-MAX-LIMIT": "30", "API-KEY-USE-LIMIT": "1"}


def refusal(code: str, msg: str, status: int = 200) -> Reply:
    """Encode an error."""
    return Reply({"code": code, "msg": msg}, status, PLAN)


def row(market: Market) -> Body:
    """Encode one contract's figures."""
    mark = market.last if market.mark is None else market.mark
    interest = market.open_interest or Decimal(0)
    body: dict[str, Any] = {
        "instrument_id": market.id,
        "exchange_name": EXCHANGES[market.venue],
        "symbol": f"{market.base}/{market.quote}",
        "current_price": number(market.last),
        "index_price": number(mark if market.index is None else market.index),
        "price_change_percent_24h": round(float(100 * (market.last - market.open) / market.open), 2),
        "volume_usd": round(float(market.quote_volume), 4),
        "long_volume_quantity": 1_130_850,
        "short_volume_quantity": 1_162_710,
        "open_interest_quantity": text(interest),
        "open_interest_usd": round(float(interest * mark), 4),
        "open_interest_volume_radio": round(float(interest / market.base_volume), 4),
    }
    return body


def reply(truth: Truth, path: str, query: Query, now_ms: int) -> Reply:
    """Answer one request as CoinGlass does; `query` also holds the header with the key."""
    del now_ms
    if path != PAIRS_MARKETS:
        return refusal("404", "Endpoint not found. Please refer to the API documentation.", 404)
    if not query.get(HEADER):
        return refusal("400", "API key missing.")
    if query[HEADER] != KEY:
        return refusal("401", f"Invalid API key {query[HEADER]}.")
    if "symbol" not in query:
        return refusal("400", "Required String parameter 'symbol' is not present")
    contracts = [market for market in truth.markets if market.kind != "spot" and market.base == query["symbol"]]
    return Reply({"code": "0", "msg": "success", "data": list(map(row, contracts))}, headers=PLAN)
