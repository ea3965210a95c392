"""How the venues name their markets, and when a dated contract ends."""

from __future__ import annotations

from datetime import UTC, datetime

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTH_CODES = "FGHJKMNQUVXZ"
KRAKEN_IDS = {"BTCUSD": "XXBTZUSD", "ETHUSD": "XETHZUSD", "XRPUSD": "XXRPZUSD", "LTCUSD": "XLTCZUSD"}
KRAKEN_IDS |= {"USDTUSD": "USDTZUSD", "BTCUSDT": "XBTUSDT", "DOGEUSD": "XDGUSD", "DOGEUSDT": "XDGUSDT"}
KRAKEN_IDS |= {"BTCEUR": "XXBTZEUR", "ETHEUR": "XETHZEUR", "EURUSD": "ZEURZUSD", "BTCUSDC": "XBTUSDC"}
# networks as the venues' lists of currencies name them
NETWORKS = {
    "ethereum": {"binance": "ETH", "okx": "ERC20", "bybit": "ETH", "htx": "ERC20"},
    "bsc": {"binance": "BSC", "okx": "BSC", "bybit": "BSC", "htx": "BEP20"},
    "tron": {"binance": "TRX", "okx": "TRC20", "bybit": "TRX", "htx": "TRC20"},
    "solana": {"binance": "SOL", "okx": "Solana", "bybit": "SOL", "htx": "SOLANA"},
    "bitcoin": {"binance": "BTC", "okx": "Bitcoin", "bybit": "BTC", "htx": "BTC"},
    "avalanche": {"binance": "AVAXC", "okx": "Avalanche C-Chain", "bybit": "CAVAX", "htx": "AVAXCCHAIN"},
}


def market_id(venue: str, kind: str, base: str, quote: str, expiry: str = "") -> str:
    """Return the venue's own name of a market; `expiry` is YYMMDD, empty for what has none."""
    name = {"okx": _okx, "htx": _htx, "bybit": _bybit, "binance": _binance, "krakenfutures": _krakenfutures}.get(venue)
    if name is not None:
        return name(kind, base, quote, expiry)
    return KRAKEN_IDS.get(base + quote, base + quote) if venue == "kraken" else base + quote


def _okx(kind: str, base: str, quote: str, expiry: str) -> str:
    return f"{base}-{quote}" + ("" if kind == "spot" else f"-{expiry or 'SWAP'}")


def _htx(kind: str, base: str, quote: str, expiry: str) -> str:
    if kind == "spot":
        return f"{base}{quote}".lower()
    if not expiry:
        return f"{base}-{quote}"
    return f"{base}-{quote}-{expiry}" if kind == "linear" else f"{base}{expiry}"


def _bybit(kind: str, base: str, quote: str, expiry: str) -> str:
    if not expiry:
        return base + quote
    year, month, day = expiry[:2], int(expiry[2:4]), int(expiry[4:])
    if kind == "inverse":
        return f"{base}{quote}{MONTH_CODES[month - 1]}{year}"
    return f"{base}{quote}-{day}{MONTHS[month - 1]}{year}"


def _binance(kind: str, base: str, quote: str, expiry: str) -> str:
    if expiry:
        return f"{base}{quote}_{expiry}"
    return f"{base}{quote}_PERP" if kind == "inverse" else base + quote


def _krakenfutures(kind: str, base: str, quote: str, expiry: str) -> str:
    prefix = ("FI" if expiry else "PI") if kind == "inverse" else ("FF" if expiry else "PF")
    name = f"{prefix}_{'XBT' if base == 'BTC' else base}{quote}"
    return f"{name}_{expiry}" if expiry else name


def expiry_ms(expiry: str, hour: int = 8) -> int:
    """Return the Unix milliseconds at which a contract that ends on YYMMDD does so; most venues' hour is 08:00 UTC."""
    year, month, day = 2000 + int(expiry[:2]), int(expiry[2:4]), int(expiry[4:])
    return round(1000 * datetime(year, month, day, hour, tzinfo=UTC).timestamp())
