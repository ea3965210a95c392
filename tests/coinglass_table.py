"""Write what stands in several places of CoinGlass's endpoints: the client's methods and docs/coinglass.md.

Run ``python -m tests.coinglass_table`` after a change of `xex_connectors.coinglass.endpoints`; a test compares.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from xex.model.schema import NUMBER

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "connectors/xex_connectors/coinglass"
DOCUMENT, CALLS = ROOT / "docs/coinglass.md", FOLDER / "calls.py"


def _described() -> ModuleType:
    """Return the endpoints, loaded apart from their package, whose client needs what is written here."""
    spec = importlib.util.spec_from_file_location("coinglass_endpoints", FOLDER / "endpoints.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


DATA: Any = _described()

# --- the methods

HEAD = '''\
"""A method for each endpoint. Written by `python -m tests.coinglass_table` from the endpoints; a test compares."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias

from xex_connectors.coinglass.refusals import BadParameter

if TYPE_CHECKING:
    from xex_connectors.coinglass.answers import Table

P = ParamSpec("P")
Interval: TypeAlias = Literal[{intervals}]
Moment: TypeAlias = int | float | str | datetime
"""Unix milliseconds, a datetime with a zone, or ISO 8601."""


def asked(method: Callable[P, Coroutine[Any, Any, Table]]) -> Callable[P, Coroutine[Any, Any, Table]]:
    """Ask the endpoint of a method's name: a wrong parameter has the client's error and not Python's."""

    @wraps(method)
    async def call(self: Any, /, *given: object, **parameters: Any) -> Table:
        if given:
            raise BadParameter(f"{method.__name__} takes its parameters by name: symbol=…")
        answer: Table = await self.ask(method.__name__, **parameters)
        return answer

    return call  # type: ignore[return-value]


class Calls:
    """The endpoints as methods: signatures and words; `asked` does what they say."""
'''


def quoted(words: Any) -> str:
    return ", ".join(f'"{word}"' for word in words)


def kind_of(param: Any) -> str:
    """Return the type of a parameter as it is written in a signature."""
    if param.name == "interval" and set(param.allowed) == set(DATA.MINUTES):
        return "Interval"
    if param.name == "range" and param.allowed[0] == "0.25":
        return f"Literal[{quoted(param.allowed)}] | float"
    if param.name == "state":
        return f"Literal[{quoted(param.allowed)}] | int"
    if param.allowed:
        return f"Literal[{quoted(param.allowed)}]"
    kinds = {
        "start_time": "Moment", "end_time": "Moment", "exchange_list": "str | Sequence[str]", "limit": "int",
        "per_page": "int", "page": "int", "current_page": "int", "usd": "float", "min_liquidation_amount": "float",
    }  # fmt: skip
    return kinds.get(param.name, "str")


def wrapped(words: list[str], first: str, rest: str, width: int = 118) -> list[str]:
    """Return words in lines of at most so many characters."""
    lines, line = [], first
    for word in words:
        if len(line) + len(word) + 1 > width and line.strip():
            lines.append(line.rstrip())
            line = rest
        line += word + " "
    return [*lines, line.rstrip()]


def method(endpoint: Any) -> str:
    """Return the source of one method."""
    params = sorted(endpoint.params, key=lambda one: not required(one))
    told = [
        f"{one.name}: {kind_of(one)}" if required(one) else f"{one.name}: {kind_of(one)} | None = None"
        for one in params
    ]
    told += [f"{name}: str | None = None" for name in endpoint.filters.split()]
    signature = f"    @asked\n    async def {endpoint.name}(self{', *, ' if told else ''}{', '.join(told)}) -> Table:"
    if len(signature) - len("    @asked\n") > 120:
        inner = ", ".join(["self", "*", *told])
        signature = f"    @asked\n    async def {endpoint.name}(\n        {inner}\n    ) -> Table:"
        if len(inner) + 8 > 120:
            lines = "".join(f"        {one},\n" for one in ["self", "*", *told])
            signature = f"    @asked\n    async def {endpoint.name}(\n{lines}    ) -> Table:"
    plan = endpoint.plan.title()
    about = f"{plan}{' (plans differ in intervals and history)' if endpoint.gated else ''}"
    units = ", ".join(f"{field.name} ({field.unit})" if field.unit else field.name for field in few(endpoint))
    symbol = {"coin": " `symbol` is a coin: BTC.", "pair": " `symbol` is the exchange's own name of a pair."}
    body = f"Plan: {about}.{symbol.get(endpoint.symbol, '')}"
    if endpoint.note:
        body += f" {endpoint.note[0].upper()}{endpoint.note[1:]}."
    text = [f'        """Return {endpoint.about[0].lower()}{endpoint.about[1:]}', ""]
    text += wrapped(body.split(), " " * 8, " " * 8)
    more = "" if few(endpoint) == list(endpoint.fields) else f", and {len(endpoint.fields) - 12} more"
    text += wrapped(f"Columns: {units}{more}.".split(), " " * 8, " " * 8)
    text += ['        """']
    return "\n".join([signature, *text, "        raise NotImplementedError"])


def required(param: Any) -> bool:
    """Say whether a caller must give a parameter: a limit that CoinGlass wants is filled in."""
    return bool(param.required) and param.name != "limit"


def few(endpoint: Any) -> list[Any]:
    """Return the first columns, all where there are few."""
    return list(endpoint.fields) if len(endpoint.fields) <= 24 else list(endpoint.fields[:12])


def calls() -> str:
    """Return the module of methods."""
    head = HEAD.replace("{intervals}", quoted(DATA.MINUTES))
    return "\n".join([head, *(f"{method(one)}\n" for one in DATA.ENDPOINTS)])


# --- the document

INTRODUCTION = """\
# CoinGlass

Written by `python -m tests.coinglass_table` from `xex_connectors/coinglass/endpoints.py`; a test compares.

    async with CoinGlass("the key") as cg:                       # or CoinGlass.from_env(): COINGLASS_API_KEY
        rates = await cg.funding_rate_exchange_list(symbol="BTC")    # columns, the same whatever came
        frame = rates.frame()                                        # a DataFrame
        bars = await cg.price_history(exchange="Binance", symbol="BTCUSDT", interval="4h", start_time="2026-01-01")
        other = await cg.get("/api/index/fear-greed-history")        # any other path, as it comes

`from xex_connectors import CoinGlass`. The same in a shell: `xex coinglass funding_rate_exchange_list symbol=BTC`, with
`--json`, `--csv` or `--parquet FILE`; `xex coinglass` lists what can be asked.

- A range [`start_time`, `end_time`) is asked in as many requests as it takes; each bar comes once, oldest first, the
  running one included. Without `end_time` it ends now. Where CoinGlass has no bars none are made up.
- Requests keep to the key's budget a minute, which CoinGlass tells in its answers: Hobbyist 30, Startup 80, Standard
  300, Professional 1200. What the key's plan does not include is refused before it is asked; a plan that CoinGlass does
  not tell refuses nothing.
- Errors are types: `AuthRejected`, `PlanTooLow` (names the plan that is needed), `IntervalNotInPlan`, `BadParameter`
  (names what is allowed), `NotListed` (no such pair), `RateLimited`, `ServerError`, `UnknownEndpoint`.
- Numbers keep CoinGlass's meaning: rates and shares are percent, what ends in `_usd` is dollars. Absent is NaN.
- Which side of a liquidation `side` means, documentation and practice tell differently. `reconciled(orders, history)`
  decides by what CoinGlass itself sums up as long and as short, else it is unknown.
- In a manager (`ExchangeType.COINGLASS`, by `from_env` only with a key) it answers liquidations and funding rates, and
  never a ticker: its volumes are those of exchanges that are asked themselves, a cross-check, and never added.
  So are its funding rates: `xm.funding(symbols)` asks exchanges alone, `xm.funding(symbols, venues=["coinglass"])` asks
  CoinGlass, whose rows have the exchange they are of as `venue`, who told as `exchange`, and the flag `by_coin`.

## Plans

"by plan" in the table below means these intervals, and so many days of each; 1d and 1w go back to the beginning.

"""

TABLE_HEAD = """\

## Endpoints with methods

`*` is required; a symbol is a coin (BTC) or an exchange's own name of a pair (BTCUSDT). `limit` is how many bars
are asked at once, 1000 at most unless it says otherwise.

| method | path | plan | parameters | intervals | history |
|---|---|---|---|---|---|
"""


def days_table() -> list[str]:
    """Return how far back each plan reaches, by interval."""
    plans = list(DATA.DEPTH_DAYS)
    names = [name for name in DATA.MINUTES if name not in {"1d", "1w"}]
    lines = [f"| interval | {' | '.join(plan.title() for plan in plans)} |", f"|---|{'---|' * len(plans)}"]
    for name in names:
        cells = (f"{DATA.DEPTH_DAYS[plan][name]} d" if name in DATA.DEPTH_DAYS[plan] else "-" for plan in plans)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def row(endpoint: Any) -> str:
    """Return one endpoint's line."""
    told = []
    for param in endpoint.params:
        if param.name in {"interval", "limit", "start_time", "end_time"}:
            continue
        symbol = f" ({endpoint.symbol})" if param.name == "symbol" and endpoint.symbol and not param.allowed else ""
        values = f" = {', '.join(param.allowed)}" if param.allowed else ""
        told.append(f"{param.name}{'*' if required(param) else ''}{symbol}{values}")
    told += [f"{name} (chosen here)" for name in endpoint.filters.split()]
    if endpoint.ranged:
        told.append("a range" if not endpoint.split or not endpoint.by else "a range*")
    intervals = endpoint.intervals
    bars = "" if not intervals else "by plan" if endpoint.gated else f"{intervals[0]} to {intervals[-1]}"
    if len(intervals) in range(1, 5):
        bars = ", ".join(intervals)
    history = "by plan" if endpoint.gated else f"{endpoint.keeps_days} d" if endpoint.keeps_days else endpoint.history
    most = f"; {endpoint.most} at once" if endpoint.ranged and endpoint.most != 1000 else ""
    cells = (f"`{endpoint.name}`", f"`{endpoint.path}`", endpoint.plan.title(), "; ".join(told), bars, history + most)
    return f"| {' | '.join(cells)} |"


def columns(endpoint: Any) -> list[str]:
    """Return what an endpoint answers with."""
    told = []
    for field in endpoint.fields:
        unit = field.unit or ("" if field.dtype == NUMBER else "text")
        words = f"{'/'.join(field.words.values())}" if field.words else unit
        told.append(f"{field.name}{f' ({words})' if words and words != 'text' else ''}")
    note = f" {endpoint.note[0].upper()}{endpoint.note[1:]}." if endpoint.note else ""
    return [f"### {endpoint.name}", "", f"{endpoint.about}{note}", "", ", ".join(told) + ".", ""]


def document() -> str:
    """Return the whole document."""
    lines = [INTRODUCTION + "\n".join(days_table()), TABLE_HEAD + "\n".join(map(row, DATA.ENDPOINTS)), ""]
    lines += ["## Paths for `get`", "", "| path | plan |", "|---|---|"]
    lines += [f"| `{path}` | {plan.title()} |" for path, plan in DATA.OTHERS.items()]
    lines += ["", "## Columns", ""]
    for endpoint in DATA.ENDPOINTS:
        lines += columns(endpoint)
    return "\n".join(lines)


if __name__ == "__main__":
    CALLS.write_text(calls(), encoding="utf-8")
    DOCUMENT.write_text(document(), encoding="utf-8")
