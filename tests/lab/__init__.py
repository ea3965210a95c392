"""A loopback exchange lab: the venues' REST formats served from one known truth.

    async with Lab(default_truth().with_premium("okx", "BTC", 5)) as lab:
        lab.url("okx")                                     # http://127.0.0.1:…
        lab.latency["okx"] = 0.02                          # or lab.latency["okx", "/api/v5/market/books"]
        lab.fault("okx", "status", code=503, retry_after=2, times=1)
        lab.truth = lab.truth.with_depeg("0.97")           # at any time
        lab.heal()
        lab.seen, lab.sent("okx", "BTC-USDT-SWAP")         # requests, and the quote time last sent

Faults, with their arguments:

- in place of the body: `status` (code, retry_after, body), `html`, `empty`, `scalar`, `venue_error`,
  `rate_limited` (retry_after; status on OKX), `banned` (retry_after), `redirect` (location, code),
  `bomb` (megabytes)
- on the connection: `hang`, `hang_body`, `reset`, `close`, `truncated`, `short`,
  `slow_drip` (chunk, interval)
- in the numbers: `stale` (seconds), `crossed` (ticks), `empty_book` (side), `negative`, `null`, `nan`,
  `nan_literal`, each for one `symbol` or all; `no_rows`, `missing_key` (keys), `wrong_symbol` (symbol)
- in the clock: `skew` (seconds), the time endpoint and the Date header included

Truths: `default_truth()` lists seven coins on five exchanges, of BTC and ETH inverse contracts too and of BTC dated
ones; `extra_markets()` are coins by the thousand (1000PEPE, SHIB1000), `currency_markets()` pairs in EUR, FDUSD and
USDC, and `bitget_markets()` a sixth exchange, for `Truth.adding`. Questions to a `Truth` mean perpetuals and spot
unless an `expiry` is named. The `with_*` methods of `Truth` change a world: premium, cross, depeg, worth of another
currency, collision of tickers or of contracts (`with_tokens`), scale that no name tells; `as_inverse`, `as_linear` and
`with_contract_size` of a `Market` change how the venue writes it and not what is true.

Limits: `Lab(limits=True)` counts every request against what the venues document (`tests.lab.limits`), refuses what is
too much and shuts out who goes on. `lab.breaches` and `lab.bans` say when, `lab.worst()` how much was in a window,
`limits.optimum` how soon a list of requests could have been answered, `limits.charges` what a request costs.

Answers: the header `X-Lab-Id` leads to `lab.answered`, where the socket, the path and the time of its body are.

Lists of currencies are answered too, with what each network costs and whether it is open (`Token`), and what the
asking account pays (`with_account`). Where only holders of a key are told, the key must be there, and must be
`lab.accepted["okx"]` where that is set. `with_halted` is Kraken's word for an asset.
`lab.permissions["okx"] = {"read", "trade"}` sets what the key may do, of which Binance, OKX and Bybit can be asked.

`running_lab()` runs the same in a thread, `python -m tests.lab` as a program.
"""

from tests.lab.faults import Fault
from tests.lab.server import FAULTS, Answered, Lab, Seen, running_lab
from tests.lab.truth import Forced, Market, Paid, Print, Quote, Token, Truth, fractions
from tests.lab.world import big_truth, bitget_markets, currency_markets, default_truth, extra_markets

__all__ = [
    "FAULTS",
    "Answered",
    "Fault",
    "Forced",
    "Lab",
    "Market",
    "Paid",
    "Print",
    "Quote",
    "Seen",
    "Token",
    "Truth",
    "big_truth",
    "bitget_markets",
    "currency_markets",
    "default_truth",
    "extra_markets",
    "fractions",
    "running_lab",
]
