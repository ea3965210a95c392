"""A plain script: what BTC costs on every exchange, perpetual and spot, with one manager and no `async`.

Run it with ``python script.py``. It answers from the recording that comes with xex, which is synthetic.
"""

import xex


def report(snap: xex.CrossExchangeData) -> None:
    """Print one instrument's price and the exchanges that made it."""
    print(f"{snap.instrument}: {snap.aggregated_price:,.2f} {snap.currency}")
    print(snap.frame[["exchange", "bid", "ask", "weight"]].to_string(index=False))
    for exchange, reason in snap.dropped.items():
        print(f"{exchange} is left out: {reason}")


def main() -> None:
    """Ask twice with the same manager: calls of `xex.run` share an event loop, and with it the connections."""
    xm = xex.ExchangeManager.from_env()
    for symbol in ("BTCUSDT", "BTC/USDT"):  # the perpetual, and spot
        report(xex.run(xm.get_cross_exchange_ticker(symbol)))
    # What is still open when the process ends is closed then; a long-lived program says when.
    xex.run(xm.disconnect_all())


if __name__ == "__main__":
    with xex.replay():  # leave this out to ask the exchanges
        main()
