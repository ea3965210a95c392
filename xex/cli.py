"""The command line.

Exit codes: 0 answered, 1 no venue answered, 2 bad usage or output that cannot be written, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime, timedelta

    import pandas as pd
    from rich.console import Console, RenderableType

    from xex.access.events import Event
    from xex.answer import CrossExchangeData
    from xex.liquidations import Liquidations
    from xex.manager import ExchangeManager
    from xex.recording import Recording
    from xex.scanning import Scan
    from xex.whales import WhaleActivity

T = TypeVar("T")

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

ANSWERED, NOBODY, USAGE, INTERRUPTED = 0, 1, 2, 130
INSTRUMENTS_SHOWN, ASSETS_SHOWN, TRADES_SHOWN, WHALES_SHOWN, PAIRS_SHOWN, CONTRACTS_SHOWN = 40, 40, 20, 20, 40, 40
LIQUIDATIONS_SHOWN = 20
"""How many rows a table has at most; CSV, JSON and Parquet have all."""
WATCHED_S, REDRAWN_S, CHANGES_SHOWN = 10.0, 1.0, 5
"""How often venues are asked and the table is redrawn while somebody watches, and how many changes stand below it."""

Symbol = Annotated[str, typer.Argument(help="BTCUSDT (perpetual), BTC/USDT (spot), BTC/USDT:USDT or venue:ID.")]
Contracts = Annotated[
    list[str] | None, typer.Argument(help="BTCUSDT, BTC/USD:BTC or venue:ID; none: whole markets.", metavar="[SYMBOL]…")
]
Top = Annotated[int, typer.Option(help="Rows that the table shows.", metavar="N", min=1)]
Spot = Annotated[bool, typer.Option("--spot", help="The spot market.")]
Perp = Annotated[bool, typer.Option("--perp", help="The linear perpetual.")]
Market = Annotated[
    str | None, typer.Option(help="spot, perp or inverse, where the symbol does not say.", metavar="WORD")
]
Markets = Annotated[str | None, typer.Option(help="spot, perp, linear, inverse or dated.", metavar="WORD")]
Venues = Annotated[str | None, typer.Option(help="Only these, separated by commas.", metavar="A,B")]
Currency = Annotated[
    str | None, typer.Option(help="Bring prices to this currency, e.g. USD; native: convert nothing.", metavar="USD")
]
Peg = Annotated[
    str | None,
    typer.Option(help="Take these at par with the dollar, or all, instead of measuring rates.", metavar="USDT,…|all"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Parquet = Annotated[Path | None, typer.Option(help="Write the rows to a Parquet file.")]
Replay = Annotated[
    str | None, typer.Option(help="Answer from a recording; without FILE the bundled one.", metavar="[FILE]")
]
Timeout = Annotated[float | None, typer.Option(help="Seconds to wait at most.", metavar="S")]


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    # One short run: a collection would cost more than all it could free.
    gc.disable()
    try:
        with _writing():
            app(args=_arguments(sys.argv[1:]), prog_name="xex")
    except KeyboardInterrupt:
        # Before a command has begun, or after it; what comes in between is said where questions are asked.
        typer.echo("xex: interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None
    finally:
        gc.freeze()


_WITH_VALUE = (
    "--venues", "--market", "--currency", "--peg", "--parquet", "--timeout", "--levels", "--last", "--out", "--kind",
    "--min-venues", "--min-volume", "--top", "--every", "--min-net-bps", "--min-notional", "--max-age", "--z",
    "--persistence", "--watch", "--legs", "--least-bps", "--since",
)  # fmt: skip


def _arguments(given: list[str]) -> list[str]:
    """Give a bare --replay its value: the file that follows where one does, else nothing, for the bundled one.

    What follows is a file where it looks like one, and where the command's argument has been given before.
    """
    done: list[str] = []
    words = iter(given)
    for word in words:
        if word != "--replay":
            done.append(word)
            continue
        following = next(words, None)
        plain = [w for place, w in enumerate(done) if not w.startswith("-") and done[place - 1] not in _WITH_VALUE]
        is_file = following is not None and not following.startswith("-") and (
            len(plain) >= 2 or following.endswith(".json") or Path(following).is_file()
        )  # fmt: skip
        done.append(f"--replay={following if is_file else ''}")
        if following is not None and not is_file:
            done += _arguments([following, *words]) if len(plain) < 2 else [following, *words]
    return done


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    """Crypto prices, volumes, depth and arbitrage across exchanges."""
    if version:
        from xex import __version__

        typer.echo(f"xex {__version__}")
        raise typer.Exit


# --- the commands


@app.command()
def snapshot(
    symbol: Symbol,
    *,
    spot: Spot = False,
    perp: Perp = False,
    market: Market = None,
    venues: Venues = None,
    currency: Currency = None,
    peg: Peg = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say in sentences how the numbers came about.")] = False,
) -> None:
    """Show one instrument across the venues.

    Price, spread, volume, depth, what is left out and why, and whether an arbitrage survives fees.
    """
    wanted, out = _market(market, spot=spot, perp=perp), _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> CrossExchangeData:
        return await xm.get_cross_exchange_ticker(
            symbol, market=wanted, venues=_names(venues), currency=currency, peg=_pegged(peg)
        )

    with _answering(replay) as recording:
        from xex.page import left_out

        snap = _asked(question, symbol, out, timeout)
        told = {"explanation": snap.explain()} if explain else {}
        dropped = {name: drop.text for name, drop in snap.dropped.items()}
        _put(
            out,
            recording,
            facts=lambda: {**snap.as_dict(), **told},
            frame=lambda: snap.frame,
            shown=lambda: [snap, *told.values()],
            remarks=[*left_out(dropped), *told.values()],
        )


@app.command()
def books(
    symbol: Symbol,
    *,
    spot: Spot = False,
    perp: Perp = False,
    market: Market = None,
    venues: Venues = None,
    currency: Currency = None,
    peg: Peg = None,
    levels: Annotated[int, typer.Option(help="Levels a side that the table shows.", metavar="N", min=1)] = 10,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show the venues' order books as one.

    In one currency, with how deep each venue's own book is. JSON, CSV and Parquet hold every level that came.
    """
    wanted, out = _market(market, spot=spot, perp=perp), _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> CrossExchangeData:
        return await xm.get_cross_exchange_ticker(
            symbol, market=wanted, venues=_names(venues), currency=currency, peg=_pegged(peg)
        )

    with _answering(replay) as recording:
        from xex.page import left_out
        from xex.tables import books_table, depths

        snap = _asked(question, symbol, out, timeout)
        if not any(snap.books):
            _leave(f"no venue sent an order book of {snap.instrument.description}{_bookless(snap)}", NOBODY)
        dropped = {name: drop.text for name, drop in snap.dropped.items()}
        facts = {
            "symbol": symbol,
            "instrument": snap.instrument.description,
            "currency": snap.currency,
            "price": snap.aggregated_price,
            "liquidity_score": snap.liquidity_score,
            **_account(snap.asked, snap.answered, dropped),
        }
        _put(
            out,
            recording,
            facts=lambda: {**facts, "venues": depths(snap), "rows": _rows(snap.book_frame)},
            frame=lambda: snap.book_frame,
            shown=lambda: [books_table(snap, levels)],
            remarks=left_out(dropped),
        )


@app.command()
def trades(
    symbol: Symbol,
    *,
    spot: Spot = False,
    perp: Perp = False,
    market: Market = None,
    venues: Venues = None,
    last: Annotated[
        int | None, typer.Option(help="Only the last N; the table shows 20 of all.", metavar="N", min=1)
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show the venues' latest trades as one tape.

    The newest comes last; prices are in each venue's own currency.
    """
    wanted, out = _market(market, spot=spot, perp=perp), _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        return await xm.trades(symbol, market=wanted, venues=_names(venues))

    with _answering(replay) as recording:
        from xex.page import left_out
        from xex.tables import trades_table

        tape = _asked(question, symbol, out, timeout)
        rows = tape if last is None else tape.tail(last)
        account = _account_of(tape)
        _put(
            out,
            recording,
            facts=lambda: {"symbol": symbol, **account, "rows": _rows(rows)},
            frame=lambda: rows,
            shown=lambda: [trades_table(tape, symbol, TRADES_SHOWN if last is None else last)],
            remarks=left_out(tape.attrs["dropped"]),
        )


@app.command()
def whales(
    symbol: Symbol,
    *,
    spot: Spot = False,
    perp: Perp = False,
    market: Market = None,
    venues: Venues = None,
    minutes: Annotated[float, typer.Option(help="How far back.", metavar="N", min=0.1)] = 60.0,
    floor: Annotated[
        float | None,
        typer.Option(
            help="From how many dollars on; without, 1,000,000 of BTC and ETH and 100,000 of others.", metavar="N"
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(help="The table shows the latest N of each kind.", metavar="N", min=1)
    ] = WHALES_SHOWN,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show large trades and large resting orders on every venue.

    How far back each venue's trades go stands below the table; prices are in each venue's own currency.
    """
    wanted, out = _market(market, spot=spot, perp=perp), _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> WhaleActivity:
        from xex.model import clock

        since = clock.now_ms() / 1e3 - 60 * minutes
        return await xm.get_cross_exchange_whale_activity(
            symbol, since, market=wanted, venues=_names(venues), floor=floor
        )

    with _answering(replay) as recording:
        from xex.large import whales_table
        from xex.page import left_out

        found = _asked(question, symbol, out, timeout)
        account = _account(found.asked, found.answered, found.dropped)
        _put(
            out,
            recording,
            facts=lambda: {"symbol": symbol, **account, "coverage": found.coverage, "rows": _rows(found.frame)},
            frame=lambda: found.frame,
            shown=lambda: [whales_table(found, symbol, top)],
            remarks=left_out(found.dropped, found.answered),
        )


@app.command()
def liquidations(
    symbol: Symbol,
    *,
    since: Annotated[
        str, typer.Option(help="How long ago (90s, 30m, 4h, 2d), Unix seconds, or ISO 8601.", metavar="TIME")
    ] = "1h",
    market: Market = None,
    venues: Venues = None,
    last: Annotated[int, typer.Option(help="Rows of the table.", metavar="N", min=1)] = LIQUIDATIONS_SHOWN,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show whose positions were taken by force.

    The newest come first, with what each venue's answer covers; JSON, CSV and Parquet hold all. A venue that publishes
    none is told of by a source where one has its key.
    """
    out = _output(as_json, as_csv, parquet)
    begin = _time(since)

    async def question(xm: ExchangeManager) -> Liquidations:
        return await xm.get_cross_exchange_liquidations(symbol, begin, market=market, venues=_names(venues))

    with _answering(replay) as recording:
        from xex.liquidation_tables import covered, liquidations_table
        from xex.page import left_out

        told = _asked(question, symbol, out, timeout)
        facts = {"symbol": symbol, **_account(told.asked, told.answered, told.dropped), "coverage": told.coverage}
        _put(
            out,
            recording,
            facts=lambda: {**facts, "rows": _rows(told.frame)},
            frame=lambda: told.frame,
            shown=lambda: [liquidations_table(told, symbol, last)],
            remarks=[*covered(told.coverage), *left_out(told.dropped)],
        )


@app.command()
def instruments(
    text: Annotated[
        str,
        typer.Argument(help="Part of a symbol or of a venue's id: BTC, BTC/USDT, PF_XBTUSD, BTC_CQ.", metavar="TEXT"),
    ] = "",
    *,
    spot: Spot = False,
    perp: Perp = False,
    market: Markets = None,
    venues: Venues = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show what the venues list.

    Steps, minimums and contract sizes in units that stand beside them, fees in basis points.
    """
    wanted, out = _market(market, spot=spot, perp=perp), _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        return await xm.instruments(market=wanted, venues=_names(venues))

    with _answering(replay) as recording:
        from xex.lists import instruments_table
        from xex.page import left_out_of

        listed = _asked(question, "their instruments", out, timeout)
        rows = _matching(listed, text) if text else listed
        account = _account_of(listed)
        what = f"{len(rows):,} of {len(listed):,} instruments match {text!r}" if text else f"{len(rows):,} instruments"
        _put(
            out,
            recording,
            facts=lambda: {"text": text, **account, "rows": _rows(rows)},
            frame=lambda: rows,
            shown=lambda: [instruments_table(rows, what, INSTRUMENTS_SHOWN)],
            remarks=left_out_of(listed),
        )


@app.command()
def lookup(
    text: Annotated[
        str,
        typer.Argument(
            help="A symbol in any spelling: XBTUSD, BTC-USDT-SWAP, PF_XBTUSD, 1000PEPEUSDT.", metavar="TEXT"
        ),
    ],
    *,
    spot: Spot = False,
    perp: Perp = False,
    market: Market = None,
    venues: Venues = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show what a symbol means on every venue.

    One row per venue that lists it, with the id it has there; where only another dollar is quoted, that market.
    """
    wanted, out = _market(market, spot=spot, perp=perp), _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        return await xm.lookup(text, market=wanted, venues=_names(venues))

    with _answering(replay) as recording:
        from xex.lists import lookup_table
        from xex.page import left_out

        found = _asked(question, text, out, timeout)
        facts = {"text": text, "instrument": found.attrs["instrument"], **_account_of(found)}
        _put(
            out,
            recording,
            facts=lambda: {**facts, "rows": _rows(found)},
            frame=lambda: found,
            shown=lambda: [lookup_table(found, text)],
            remarks=left_out(found.attrs["dropped"]),
        )


@app.command()
def networks(
    assets: Annotated[list[str], typer.Argument(help="Assets: BTC USDT.", metavar="ASSET…")],
    *,
    venues: Venues = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show which networks assets can be moved by, and what a withdrawal costs.

    One row per asset, exchange and network. Some venues tell holders of a key alone, one that may only read.
    """
    out = _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        return await xm.networks(assets, venues=_names(venues))

    with _answering(replay) as recording:
        from xex.lists import networks_table
        from xex.page import left_out_of

        found = _asked(question, ", ".join(assets), out, timeout)
        _put(
            out,
            recording,
            facts=lambda: {"assets": found.attrs["assets"], **_account_of(found), "rows": _rows(found)},
            frame=lambda: found,
            shown=lambda: [networks_table(found)],
            remarks=left_out_of(found),
        )
    if not found.attrs["answered"]:
        raise typer.Exit(NOBODY)


@app.command()
def universe(
    *,
    kind: Annotated[str, typer.Option(help="spot, perp, linear, inverse or dated.", metavar="WORD")] = "linear",
    min_venues: Annotated[int, typer.Option(help="On so many venues at least.", metavar="N", min=1)] = 2,
    min_volume: Annotated[float, typer.Option(help="Traded in 24 h for so much at least.", metavar="V", min=0)] = 0.0,
    currency: Annotated[str, typer.Option(help="What prices and volumes are brought to.", metavar="USD")] = "USD",
    top: Annotated[int | None, typer.Option(help="Only the N most traded.", metavar="N", min=1)] = None,
    venues: Venues = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show what is traded on several venues, the most traded first.

    A row per asset, kind and expiry: who trades it, price, dispersion and volume over them, and who does not count.
    """
    out = _output(as_json, as_csv, parquet)

    if min_volume != min_volume:  # the option's own bound lets it pass in some versions
        raise typer.BadParameter("nan is no volume", param_hint="--min-volume")

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        return await xm.universe(
            kind, min_venues=min_venues, min_quote_volume=min_volume, currency=currency, venues=_names(venues)
        )

    with _answering(replay) as recording:
        from xex.lists import universe_table
        from xex.page import amount, left_out_of

        found = _asked(question, "their markets", out, timeout)
        rows = found if top is None else found.head(top)
        target = currency.strip().upper()
        asked = {"kind": kind, "min_venues": min_venues, "min_quote_volume": min_volume, "currency": target}
        account = {**asked, **_account_of(found), "fx": found.attrs["fx"]}
        least = f" for {amount(min_volume)} {target} a day or more" if min_volume else ""
        where = f"traded on {min_venues} or more venues{least}"
        count = f"the first {len(rows):,} of {len(found):,}" if len(rows) < len(found) else f"{len(found):,}"
        what = f"{count} {kind} markets {where}" if len(found) else f"no {kind} market is {where}"
        _put(
            out,
            recording,
            facts=lambda: {**account, "rows": _rows(rows)},
            frame=lambda: rows,
            shown=lambda: [universe_table(rows, what, target, ASSETS_SHOWN if top is None else top)],
            remarks=left_out_of(found),
        )


@app.command()
def scan(
    symbols: Annotated[
        list[str] | None, typer.Argument(help="BTCUSDT, BTC/USDT, …; none: the whole market.", metavar="[SYMBOL]…")
    ] = None,
    *,
    market: Markets = None,
    venues: Venues = None,
    currency: Annotated[str | None, typer.Option(help="What profits are counted in.", metavar="USDT")] = None,
    min_net_bps: Annotated[float, typer.Option(help="Net of all fees so much at least.", metavar="BPS", min=0)] = 0.0,
    min_notional: Annotated[float, typer.Option(help="Worth so much at least.", metavar="V", min=0)] = 0.0,
    max_age: Annotated[float | None, typer.Option(help="No quote older than S seconds.", metavar="S")] = None,
    z: Annotated[float | None, typer.Option(help="Standard deviations of the haircut.", metavar="Z")] = None,
    haircut: Annotated[bool, typer.Option(help="Leave out what may be old quotes and chance alone.")] = True,
    transfer: Annotated[bool, typer.Option("--transfer", help="Move the coins: needs an open route.")] = False,
    top: Annotated[int, typer.Option(help="Ask for the books of so many groups.", metavar="N", min=1)] = 20,
    show_all: Annotated[bool, typer.Option("--all", help="Show what does not pass as well, with its gates.")] = False,
    watch: Annotated[
        float | None, typer.Option(help="Look again every S seconds; Ctrl-C ends it.", metavar="S", min=0.05)
    ] = None,
    persistence: Annotated[
        int | None, typer.Option(help="With --watch, found by so many looks in a row.", metavar="N", min=1)
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Look for opportunities: what survives fees, depth, lots, age and chance.

    Without symbols all venues' markets are compared and the books of the best asked for. Rejected pairs are counted by
    the gate that stops them.
    """
    out = _output(as_json, as_csv, parquet)
    given: dict[str, Any] = {
        "min_profit_pct": min_net_bps / 100, "min_notional": min_notional, "max_age_s": max_age, "z": z,
        "haircut": haircut, "mode": "transfer" if transfer else "inventory", "persistence": persistence,
    }  # fmt: skip
    options = {
        "market": market, "venues": _names(venues), "currency": currency, "top": top,
        **{name: value for name, value in given.items() if value is not None},
    }  # fmt: skip
    if watch is not None:
        if out.as_csv or out.parquet is not None or replay is not None:
            _leave("--watch goes without --csv, --parquet and --replay", USAGE)
        _scans_watched(symbols or [], watch, options, timeout, show_all=show_all, as_json=as_json)
        return
    if persistence is not None:
        _leave("--persistence goes with --watch", USAGE)

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        return await xm.opportunities(symbols or [], **options)

    with _answering(replay) as recording:
        from xex.finds import opportunities_table
        from xex.page import left_out_of

        what = ", ".join(symbols) if symbols else "their markets"
        found = _asked(question, what, out, timeout)
        rows = found if show_all else found[found["executable"]].reset_index(drop=True)
        account = {name: found.attrs[name] for name in ("asked", "answered", "dropped", "gates", "unsized")}
        head = f"opportunities, {what if symbols else (market or 'all') + ' markets'}"
        _put(
            out,
            recording,
            facts=lambda: {**account, "rows": _rows(rows)},
            frame=lambda: rows,
            shown=lambda: [opportunities_table(found, head, PAIRS_SHOWN, rejected=show_all)],
            remarks=left_out_of(found),
        )


def _scans_watched(
    symbols: list[str], every_s: float, options: dict[str, Any], timeout: float | None, *, show_all: bool, as_json: bool
) -> None:
    """Look again and again until Ctrl-C: a table where it can be redrawn, else a line, or JSON, for each look."""
    import asyncio

    from rich.console import Console

    from xex.manager import ExchangeManager

    console = Console()
    redraw = console.is_terminal and not console.is_dumb_terminal and not as_json

    async def watching() -> None:
        from rich.live import Live

        from xex.finds import opportunities_table

        async with ExchangeManager.from_env(deadline=timeout) as xm:
            looks = xm.watch(symbols, every=every_s, **options)
            if not redraw:
                async for look in looks:
                    with _writing():
                        typer.echo(_look_json(look, show_all=show_all) if as_json else _look_line(look))
                return
            with Live(console=console, auto_refresh=False) as live:
                async for look in looks:
                    head = f"look {look.number + 1}, every {every_s:g} s, took {look.took_s:.2f} s; Ctrl-C ends it"
                    live.update(opportunities_table(look.frame, head, PAIRS_SHOWN, rejected=show_all), refresh=True)

    gc.enable()  # this is no short run
    with _answering(None, hint=""), suppress(KeyboardInterrupt):
        asyncio.run(watching())


def _look_line(look: Scan) -> str:
    from datetime import UTC, datetime

    from xex.finds import funnel_text

    found = look.frame[look.frame["executable"]]
    best = [
        f"{row['symbol']} {row['exchange_low']} → {row['exchange_high']} net {row['net_bps']:+.2f} bps, "
        f"{row['net_profit']:.2f} {row['currency']}"
        for row in found.head(3).to_dict("records")
    ]
    missing = {name.partition(" ")[0]: why.partition(":")[0] for name, why in sorted(look.dropped.items())}
    without = ", ".join(f"{name} ({why})" for name, why in missing.items())
    told = "; ".join([funnel_text(look.frame), *best, *([f"without {without}"] * bool(missing))])
    return f"{datetime.fromtimestamp(look.time, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {told}"


def _look_json(look: Scan, *, show_all: bool) -> str:
    import json

    from xex.answer import plain_value

    rows = look.frame if show_all else look.frame[look.frame["executable"]]
    facts = {
        "time": look.time, "number": look.number, "took_s": look.took_s, "missed": look.missed,
        "dropped": dict(look.dropped), "gates": look.frame.attrs.get("gates", {}), "rows": _rows(rows),
    }  # fmt: skip
    return json.dumps(plain_value(facts), allow_nan=False)


@app.command()
def cycles(
    *,
    currency: Annotated[str, typer.Option(help="Where a cycle begins, if it can.", metavar="USDT")] = "USDT",
    legs: Annotated[int, typer.Option(help="Of so many legs at most.", metavar="N", min=2, max=8)] = 3,
    least_bps: Annotated[float, typer.Option(help="Net of fees; below 0 shows near misses.", metavar="B")] = 0.0,
    top: Annotated[int, typer.Option(help="The N best are sized.", metavar="N", min=1)] = 20,
    venues: Venues = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show the ways round spot markets that bring more than they take.

    Sized through the books of all legs, after fees, with balances wherever they are needed. Where nothing pays, prices
    prove it.
    """
    out = _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        return await xm.cycles(
            _names(venues), currency=currency.strip().upper(), most_legs=legs, top=top, least_bps=least_bps
        )

    with _answering(replay) as recording:
        from xex.lists import cycles_table
        from xex.page import left_out_of

        found = _asked(question, "their spot markets", out, timeout)
        told = ("certificate", "left_out", "complete", "books_dropped")
        account = {**_account_of(found), **{name: found.attrs[name] for name in told}}
        _put(
            out,
            recording,
            facts=lambda: {**account, "rows": _rows(found)},
            frame=lambda: found,
            shown=lambda: [cycles_table(found)],
            remarks=left_out_of(found),
        )


@app.command()
def funding(
    symbols: Contracts = None,
    *,
    market: Annotated[str | None, typer.Option(help="perp or inverse.", metavar="WORD")] = None,
    venues: Venues = None,
    top: Top = CONTRACTS_SHOWN,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show what perpetuals cost to hold.

    The rate of each venue, how often it is paid there, and what that makes in a year. Of whole markets the dearest come
    first, whichever side pays.
    """
    out = _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        return await xm.funding(symbols or None, market=market, venues=_names(venues))

    with _answering(replay) as recording:
        from xex.held import funding_table

        found = _asked(question, "funding", out, timeout)
        found = found if symbols else _largest(found, "apr")
        head = f"funding of {', '.join(symbols) if symbols else f'{len(found):,} perpetuals'}"
        _put_contracts(out, recording, symbols, found, lambda: funding_table(found, head, top))


@app.command()
def oi(
    symbols: Contracts = None,
    *,
    market: Annotated[str | None, typer.Option(help="perp, linear, inverse or dated.", metavar="WORD")] = None,
    venues: Venues = None,
    top: Top = CONTRACTS_SHOWN,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show how many contracts are open.

    In coins and in what they are worth, each contract counted once. Of whole markets those of most worth come first.
    """
    out = _output(as_json, as_csv, parquet)

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        return await xm.open_interest(symbols or None, market=market, venues=_names(venues))

    with _answering(replay) as recording:
        from xex.held import interest_table

        found = _asked(question, "open interest", out, timeout)
        found = found if symbols else _largest(found, "oi_quote")
        head = f"open interest of {', '.join(symbols) if symbols else f'{len(found):,} contracts'}"
        _put_contracts(out, recording, symbols, found, lambda: interest_table(found, head, top))


def _largest(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a frame's rows by the size of a number, whichever its sign; what is absent comes last."""
    sorted_ = frame.sort_values(name, key=abs, ascending=False, kind="stable", na_position="last", ignore_index=True)
    sorted_.attrs = frame.attrs
    return sorted_


def _put_contracts(
    out: _Output,
    recording: Recording | None,
    symbols: list[str] | None,
    found: pd.DataFrame,
    table: Callable[[], RenderableType],
) -> None:
    from xex.page import left_out_of

    account = _account_of(found)
    _put(
        out,
        recording,
        facts=lambda: {"symbols": symbols or [], **account, "rows": _rows(found)},
        frame=lambda: found,
        shown=lambda: [table()],
        remarks=left_out_of(found),
    )


@app.command()
def plan(
    question: Annotated[
        str,
        typer.Argument(
            help="snapshot, ticker, order_book, trades, tickers, opportunities, funding_rates, open_interest, "
            "long_short or instruments.",
            metavar="QUESTION",
        ),
    ],
    symbols: Annotated[list[str] | None, typer.Argument(help="BTCUSDT, BTC/USDT, …", metavar="[SYMBOL]…")] = None,
    *,
    spot: Spot = False,
    perp: Perp = False,
    market: Markets = None,
    venues: Venues = None,
    times: Annotated[int, typer.Option(help="How often it would be asked.", metavar="N", min=1)] = 1,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    timeout: Timeout = None,
) -> None:
    """Show what a question would cost, without asking anybody.

    Requests, weight in each venue's budget, how long it takes, what would not fit into --timeout: leaves with 1 then.
    """
    wanted, out = _market(market, spot=spot, perp=perp), _output(as_json, as_csv, parquet)
    with _answering(None, hint=""):
        from xex.lists import plan_table
        from xex.manager import ExchangeManager
        from xex.page import left_out

        xm = ExchangeManager.from_env(deadline=timeout)
        planned = xm.plan(question, symbols or (), market=wanted, venues=_names(venues), times=times)
        dropped = {name: drop.text for name, drop in planned.dropped.items()}
        names = ("deadline_s", "requests", "duration_s", "fits", "unfit")
        facts = {"question": question, "symbols": symbols or [], "times": times}
        facts |= {name: getattr(planned, name) for name in names}
        facts["dropped"] = _account((), (), dropped)["dropped"]
        _put(
            out,
            None,
            facts=lambda: {**facts, "rows": _rows(planned.frame)},
            frame=lambda: planned.frame,
            shown=lambda: [plan_table(planned)],
            remarks=left_out(dropped),
        )
    if not planned.fits:
        raise typer.Exit(NOBODY)


@app.command()
def venues(*, as_json: AsJson = False, as_csv: AsCsv = False, parquet: Parquet = None) -> None:
    """Show which venues are installed.

    What each answers, and whether a key is set in the environment. Nobody is asked, no key is shown.
    """
    out = _output(as_json, as_csv, parquet)
    with _answering(None):
        from xex.lists import venues_table

        rows, broken = _installed()

        def frame() -> pd.DataFrame:
            import pandas as pd

            return pd.DataFrame(rows)

        _put(
            out,
            None,
            facts=lambda: {"rows": rows, "broken": broken},
            frame=frame,
            shown=lambda: [venues_table(rows), *broken.values()],
            remarks=broken.values(),
        )


@app.command()
def health(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and show what changes; Ctrl-C ends it.")] = False,
    every: Annotated[
        float | None, typer.Option(help="With --watch, ask every S seconds: 10 unless named.", metavar="S", min=1)
    ] = None,
    venues: Venues = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    replay: Replay = None,
    timeout: Timeout = None,
) -> None:
    """Show how the venues are.

    Latency, uptime over the time looked at, failures, clocks, and what the venues say of themselves. Leaves with 1
    where one is down or does not answer.
    """
    out = _output(as_json, as_csv, parquet)
    if watch:
        if out != _Output() or replay is not None:
            _leave("--watch goes without --json, --csv, --parquet and --replay", USAGE)
        _watched(_names(venues), WATCHED_S if every is None else every, timeout)
        return
    if every is not None:
        _leave("--every goes with --watch", USAGE)

    async def question(xm: ExchangeManager) -> pd.DataFrame:
        _leave_out_others(xm, _names(venues))
        await xm.health_check()
        return xm.health()

    with _answering(replay) as recording:
        from xex.lists import health_table

        found = _asked(question, "their health", out, timeout)
        _put(
            out,
            recording,
            facts=lambda: {"asked": found["exchange"].tolist(), "rows": _rows(found)},
            frame=lambda: found,
            shown=lambda: [health_table(found)],
        )
    if not (found["status"].isin(("up", "degraded")) & (found["venue_status"] != "no answer in time")).all():
        raise typer.Exit(NOBODY)


def _leave_out_others(xm: ExchangeManager, names: list[str] | None) -> None:
    """Forget the exchanges that nobody asked about."""
    from xex.errors import ConfigError, UnknownVenue

    if names is None:
        return
    known = {name: {name, config.venue} for name, config in xm.exchange_configs.items()}
    for name in names:
        if not any(name.lower() in spellings for spellings in known.values()):
            raise UnknownVenue(name, sorted(known))
    if not names:
        raise ConfigError(f"--venues names none; leave it out, or name some of: {', '.join(known)}")
    for exchange, spellings in known.items():
        if not spellings & {name.lower() for name in names}:
            xm.remove_exchange(exchange)


def _watched(names: list[str] | None, every_s: float, timeout: float | None) -> None:
    """Watch until Ctrl-C: a table where it can be redrawn, else a line for each change."""
    import asyncio

    from rich.console import Console

    from xex.manager import ExchangeManager

    console = Console()
    show = _redrawn if console.is_terminal and not console.is_dumb_terminal else _told_line_by_line

    async def watching() -> None:
        async with ExchangeManager.from_env(deadline=timeout) as xm:
            _leave_out_others(xm, names)
            changes: asyncio.Queue[Event] = asyncio.Queue()
            for event in ("state", "ban"):
                xm.on(event, changes.put_nowait)
            xm.start_monitor(every_s)
            await show(xm, changes, console, f"asked every {every_s:g} s; Ctrl-C ends it")

    gc.enable()  # this is no short run
    with _answering(None, hint=""), suppress(KeyboardInterrupt):
        asyncio.run(watching())


async def _redrawn(xm: ExchangeManager, changes: asyncio.Queue[Event], console: Console, hint: str) -> None:
    """Redraw the table in place every second and at every change, the last changes below it."""
    import asyncio
    from collections import deque

    from rich.console import Group
    from rich.live import Live

    from xex.lists import health_table
    from xex.page import grey

    last: deque[str] = deque(maxlen=CHANGES_SHOWN)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(Group(health_table(xm.health()), *map(grey, [*last, hint])), refresh=True)
            with suppress(TimeoutError):
                last.append(_line_of(await asyncio.wait_for(changes.get(), REDRAWN_S)))
            while not changes.empty():
                last.append(_line_of(changes.get_nowait()))


async def _told_line_by_line(xm: ExchangeManager, changes: asyncio.Queue[Event], console: Console, hint: str) -> None:
    """Write a line for each change."""
    del console
    typer.echo(f"{', '.join(xm.exchange_configs)}: {hint}", err=True)
    while True:
        event = await changes.get()
        with _writing():
            typer.echo(_line_of(event))


def _line_of(event: Event) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(event.time, UTC):%Y-%m-%dT%H:%M:%SZ} {event.text}"


@app.command()
def record(
    symbols: Annotated[list[str], typer.Argument(help="BTCUSDT, BTC/USDT, …", metavar="SYMBOL")],
    *,
    out: Annotated[Path | None, typer.Option(help="The file to write.", metavar="FILE")] = None,
    spot: Spot = False,
    perp: Perp = False,
    market: Market = None,
    venues: Venues = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most for each answer.", metavar="S")] = None,
) -> None:
    """Keep what the venues answer now.

    A snapshot and the latest trades of each symbol, and the venues' health, for --replay.
    """
    from xex.errors import NoVenueAnswered, XexError
    from xex.page import left_out
    from xex.recording import record as recorded

    if out is None:  # what an older click makes of an option without its value
        _leave("--out needs a file to write", USAGE)
    wanted, existed = _market(market, spot=spot, perp=perp), out.exists()
    if existed and not force:
        _leave(f"{out} exists; choose another name, or replace it with --force", USAGE)
    asked = list(dict.fromkeys(symbols))
    notes: list[str] = []

    async def question(xm: ExchangeManager) -> None:
        for symbol in asked:
            snap = await xm.get_cross_exchange_ticker(symbol, market=wanted, venues=_names(venues))
            dropped = {name: drop.text for name, drop in snap.dropped.items()}
            notes.extend(f"{symbol}: {line}" for line in left_out(dropped))
            try:
                await xm.trades(symbol, market=wanted, venues=_names(venues))
            except NoVenueAnswered:
                notes.append(f"{symbol}: no venue sent trades")
        await xm.health_check()

    with _answering(None, hint=f"\n{out} was not written"):
        try:
            with recorded(out) as recording:
                _asked(question, ", ".join(asked), _Output(), timeout)
        except OSError as exc:
            if not existed:
                out.unlink(missing_ok=True)
            raise XexError(f"{out} cannot be written: {exc.strerror or exc}") from None
        import json
        import shlex

        count = len(json.loads(out.read_bytes())["interactions"])
        flag = " --spot" if spot else " --perp" if perp else f" --market {market}" if market else ""
        with _writing():
            typer.echo(f"{out}: {count:,} requests, {out.stat().st_size / 1e3:,.0f} kB, {recording.made_from}")
            for line in notes:
                typer.echo(line)
            typer.echo("replay it with:")
            for symbol in asked:
                typer.echo(f"  xex snapshot {symbol}{flag} --replay {shlex.quote(str(out))}")


@app.command()
def doctor(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Compare volume and open interest with another source; needs its key.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Look at this machine only, and ask nobody.")] = False,
    base: Annotated[
        str | None, typer.Option(help="With --live, the coin whose contracts are compared: BTC.", metavar="COIN")
    ] = None,
    venues: Venues = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    parquet: Parquet = None,
    timeout: Timeout = None,
) -> None:
    """Look for what is wrong, and say what to do about it.

    With the installation, the settings, the way to each venue, clocks and keys; with --live in the units of what venues
    say. Leaves with 1 where something is.
    """
    out = _output(as_json, as_csv, parquet)
    if live and offline:
        _leave("--live asks, and --offline asks nobody", USAGE)
    if base is not None and not live:
        _leave("--base goes with --live", USAGE)
    if offline and (venues is not None or timeout is not None):
        _leave("--venues and --timeout go without --offline", USAGE)
    with _answering(None, hint=""):
        if live:
            good = _examined(out, base or "BTC", _names(venues), timeout)
        else:
            good = _looked_over(out, None if offline else _ways(out, _names(venues), timeout))
    if not good:
        raise typer.Exit(NOBODY)


def _ways(out: _Output, venues: list[str] | None, timeout: float | None) -> list[dict[str, Any]]:
    """Return what is found on the way to the venues; settings that cannot be used are told by `installation`."""
    import asyncio

    from xex.doctor import Doctor
    from xex.errors import ConfigError

    async def ask() -> list[dict[str, Any]]:
        async with xm:
            return await xm.check_ways(venues=venues)

    try:
        xm = Doctor.from_env(deadline=timeout)
    except ConfigError:
        return []
    with _spinner("a sign of life", shown=not (out.as_json or out.as_csv)):
        return asyncio.run(ask())


def _looked_over(out: _Output, ways: list[dict[str, Any]] | None) -> bool:
    """Show what is installed and set here, and what was found on the way to the venues."""
    from xex.checkup import installation
    from xex.lists import checkup_table

    rows = [*installation(), *(ways or [])]
    good = all(row["good"] for row in rows)

    def frame() -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(rows)

    _put(out, None, facts=lambda: {"good": good, "rows": rows}, frame=frame, shown=lambda: [checkup_table(rows)])
    return good


def _examined(out: _Output, base: str, venues: list[str] | None, timeout: float | None) -> bool:
    """Show how the venues' figures compare with another source's."""
    import asyncio

    from xex.doctor import Doctor, faulty, reference_from_env
    from xex.lists import doctor_table
    from xex.page import left_out

    async def ask() -> pd.DataFrame:
        async with Doctor.from_env(deadline=timeout) as xm:
            return await xm.examine(reference, base, venues=venues)

    reference = reference_from_env()
    with _spinner(f"contracts of {base}", shown=not (out.as_json or out.as_csv)):
        found = asyncio.run(ask())
    about = {name: found.attrs[name] for name in ("reference", "convention", "unmatched")}
    _put(
        out,
        None,
        facts=lambda: {"base": base, "faulty": faulty(found), **about, **_account_of(found), "rows": _rows(found)},
        frame=lambda: found,
        shown=lambda: [doctor_table(found, base)],
        remarks=left_out(found.attrs["dropped"]),
    )
    return not faulty(found)


def _source_command(name: str) -> Callable[..., None]:
    """Return the command that asks an installed source of figures."""

    def source(
        endpoint: Annotated[
            str | None, typer.Argument(help="What to ask; without it, the list of what there is.")
        ] = None,
        parameters: Annotated[list[str] | None, typer.Argument(help="name=value …", metavar="NAME=VALUE …")] = None,
        *,
        as_json: AsJson = False,
        as_csv: AsCsv = False,
        parquet: Parquet = None,
        timeout: Timeout = None,
    ) -> None:
        from xex.errors import ConnectorError

        out = _output(as_json, as_csv, parquet)
        with _answering(None, hint=""):
            try:
                _ask_source(name, endpoint, _given(parameters or []), out, timeout)
            except ConnectorError as exc:
                _leave(f"{name}: {exc}", USAGE if isinstance(exc, ValueError) else NOBODY)

    return source


for _point in sorted(entry_points(group="xex.references")):
    app.command(_point.name, help=f"Ask {_point.name} for one of its endpoints; needs its key.")(
        _source_command(_point.name)
    )


def _given(parameters: Sequence[str]) -> dict[str, str]:
    """Return name=value words as names and values; a word that is none may be a key, and is not repeated."""
    found = {}
    for place, word in enumerate(parameters, 1):
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            _leave(f"parameter {place} is not of the form name=value", USAGE)
        if name in found:
            _leave(f"{name} is given twice", USAGE)
        found[name] = value
    return found


def _source(name: str) -> Any:
    """Return an installed source with its key from the environment, where one is set."""
    from xex.access import registry
    from xex.access.port import ServesEndpoints, able
    from xex.config import read_environment
    from xex.errors import ConfigError

    (config,) = read_environment([name]).configs
    source = registry.load_reference(registry.references()[name])(config)
    if not able(source, ServesEndpoints):
        raise ConfigError(f"{name} has no endpoints that can be asked by name")
    return source


def _ask_source(name: str, endpoint: str | None, given: Mapping[str, str], out: _Output, timeout: float | None) -> None:
    """Show what a source answers, or what it can be asked."""
    import asyncio

    from xex.access.deadline import until
    from xex.errors import ConfigError
    from xex.lists import endpoints_table, source_table
    from xex.model import schema
    from xex.roster import checked_deadline

    source = _source(name)
    if endpoint is None:
        listed = source.endpoints()
        rows = [dict(zip(listed, cells, strict=True)) for cells in zip(*listed.values(), strict=True)]
        _put(
            out, None, facts=lambda: {"rows": rows}, frame=lambda: schema.frame(listed, "endpoints"),
            shown=lambda: [endpoints_table(rows)],
        )  # fmt: skip
        return
    if source.config.api_key is None:
        raise ConfigError(f"{name} needs a key: set {name.upper()}_API_KEY; {source.key_hint}")
    described = endpoint in {*source.endpoints()["name"], *source.endpoints()["path"]}
    raw = endpoint.strip().startswith("/") and not described
    if raw and (out.as_csv or out.parquet is not None):
        _leave(f"{endpoint} is answered as it comes, which is no table: leave --csv and --parquet out", USAGE)

    async def ask() -> Any:
        with until(None if timeout is None else checked_deadline(timeout)):
            async with source as opened:
                return await (opened.get(endpoint, **given) if raw else opened.ask(endpoint, **given))

    with _spinner(endpoint, shown=not (out.as_json or out.as_csv)):
        answer = asyncio.run(ask())
    if raw:
        _put(_Output(as_json=True), None, facts=lambda: {"data": answer}, frame=lambda: answer, shown=list)
        return
    found = schema.frame(answer, source.schema_of(endpoint))
    _put(
        out, None, facts=lambda: {"endpoint": endpoint, "rows": _rows(found)}, frame=lambda: found,
        shown=lambda: [source_table(found, endpoint, INSTRUMENTS_SHOWN)],
    )  # fmt: skip


# --- what they share


class _Output(NamedTuple):
    """How an answer is written; a table where nothing is chosen."""

    as_json: bool = False
    as_csv: bool = False
    parquet: Path | None = None


def _output(as_json: bool, as_csv: bool, parquet: Path | None) -> _Output:
    if sum([as_json, as_csv, parquet is not None]) > 1:
        _leave("choose one of --json, --csv and --parquet", USAGE)
    if parquet is not None:
        from importlib.util import find_spec

        from xex.errors import MissingExtra

        # Before anything is asked: the answer could not be kept.
        if find_spec("pyarrow") is None:
            _leave(str(MissingExtra("pyarrow", "parquet")), USAGE)
    return _Output(as_json, as_csv, parquet)


def _market(market: str | None, *, spot: bool, perp: bool) -> str | None:
    if spot and perp:
        _leave("--spot and --perp exclude each other", USAGE)
    if market is not None and (spot or perp):
        _leave("--market says which market; leave --spot and --perp out", USAGE)
    return "spot" if spot else "perp" if perp else market


def _pegged(peg: str | None) -> bool | list[str]:
    return peg is not None and (peg.strip().lower() == "all" or peg.split(","))


def _names(venues: str | None) -> list[str] | None:
    return None if venues is None else [name.strip() for name in venues.split(",") if name.strip()]


@contextmanager
def _answering(replay: str | None, hint: str | None = None) -> Iterator[Recording | None]:
    """Answer from the recording where one is named, and turn what goes wrong into a line and an exit code."""
    from xex.errors import NoVenueAnswered, XexError

    if hint is None:
        hint = "" if replay is not None else "\nwithout a network, try the bundled recording: --replay"
    try:
        with ExitStack() as stack:
            yield None if replay is None else stack.enter_context(_replaying(replay))
    except NoVenueAnswered as exc:
        _leave(f"{exc}{hint}", NOBODY)
    except XexError as exc:
        _leave(str(exc), USAGE)
    except KeyboardInterrupt:
        _leave("interrupted", INTERRUPTED)


@contextmanager
def _replaying(file: str) -> Iterator[Recording]:
    from xex.recording import replay

    with replay(file or None) as recording:
        yield recording


def _asked(question: Callable[[ExchangeManager], Awaitable[T]], what: str, out: _Output, timeout: float | None) -> T:
    import asyncio

    from xex.manager import ExchangeManager

    async def ask() -> T:
        async with ExchangeManager.from_env(deadline=timeout) as xm:
            return await question(xm)

    with _spinner(what, shown=not (out.as_json or out.as_csv)):
        return asyncio.run(ask())


@contextmanager
def _spinner(what: str, *, shown: bool) -> Iterator[None]:
    if not shown or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"asking the venues for {what} …"):
        yield


def _put(
    out: _Output,
    recording: Recording | None,
    *,
    facts: Callable[[], Mapping[str, Any]],
    frame: Callable[[], pd.DataFrame],
    shown: Callable[[], Sequence[RenderableType]],
    remarks: Iterable[str] = (),
) -> None:
    """Write an answer as it was asked for; `remarks` go beside rows that cannot hold them."""
    banner = notice(recording)
    with _writing():
        if out.as_json:
            import json

            from xex.answer import plain_value

            about = None if recording is None else {"made_from": recording.made_from, "made_at": recording.made_at}
            typer.echo(json.dumps({**plain_value(facts()), "recording": about}, indent=2, allow_nan=False))
        elif out.as_csv or out.parquet is not None:
            for line in filter(None, (banner, *remarks)):
                typer.echo(line, err=True)
            if out.parquet is not None:
                _write_parquet(frame(), out.parquet)
            else:
                typer.echo(frame().to_csv(index=False), nl=False)
        else:
            typer.echo(_printed(banner, shown()), nl=False, color=True)


def _printed(banner: str, parts: Sequence[RenderableType]) -> str:
    """Return what a terminal shows; where there is none, 120 columns wide unless COLUMNS says otherwise."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)
    with console.capture() as printed:
        if banner:
            console.print(banner, style="bold yellow")
        for part in parts:
            console.print(part)
    return printed.get()


def notice(recording: Recording | None) -> str:
    """Say that numbers are replayed, and whether they are any market's."""
    if recording is None:
        return ""
    what = "SYNTHETIC recording, no market's numbers" if recording.synthetic else "recording"
    return f"Replaying a {what}: {recording.path.name}, made {recording.made_at} from {recording.made_from}."


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    from xex.errors import XexError

    try:
        frame.to_parquet(path, index=False)
    except OSError as exc:
        raise XexError(f"{path} cannot be written: {exc.strerror or exc}") from None


@contextmanager
def _writing() -> Iterator[None]:
    """Leave with one line where standard output takes no more, and with none where its reader has left."""
    try:
        yield
        sys.stdout.flush()
    except OSError as exc:
        # What is still buffered would be written, and would fail, once more when the process ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if exc.errno == errno.EPIPE:
            raise SystemExit(ANSWERED) from None
        with suppress(OSError):
            typer.echo(f"xex: the output cannot be written: {exc.strerror or exc}", err=True)
        raise SystemExit(USAGE) from None


def _leave(message: str, code: int) -> NoReturn:
    typer.echo(f"xex: {message}", err=True)
    raise typer.Exit(code)


# --- from answers to rows


def _account(asked: Sequence[str], answered: Sequence[str], dropped: Mapping[str, str]) -> dict[str, Any]:
    """Return who was asked, who answered, and who is left out and why, as a snapshot's JSON has it."""
    reasons = {name: text.partition(": ") for name, text in dropped.items()}
    return {
        "asked": list(asked),
        "answered": list(answered),
        "dropped": {name: {"reason": reason, "detail": detail} for name, (reason, _, detail) in reasons.items()},
    }


def _account_of(frame: pd.DataFrame) -> dict[str, Any]:
    return _account(frame.attrs["asked"], frame.attrs["answered"], frame.attrs["dropped"])


def _bookless(snap: CrossExchangeData) -> str:
    """Return a line for each venue with the reason why its book is missing."""
    from xex.model.schema import texts

    notes = dict(zip(texts(snap.columns, "exchange"), texts(snap.columns, "flags"), strict=True))
    told = {
        name: next((flag.removeprefix("no_book:") for flag in text.split(",") if flag.startswith("no_book:")), "")
        for name, text in notes.items()
    }
    told |= {name: drop.text for name, drop in snap.dropped.items()}
    return "".join(f"\n  {name}: {why or 'no book'}" for name, why in told.items())


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows for JSON: times as ISO text, absent cells None."""
    columns = []
    for name in frame.columns:
        series = frame[name]
        if str(series.dtype).startswith("datetime64"):
            columns.append([None if cell != cell else cell.isoformat(timespec="milliseconds") for cell in series])
        else:
            columns.append(series.astype(object).where(series.notna(), None).tolist())
    return [dict(zip(frame.columns, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _matching(listed: pd.DataFrame, text: str) -> pd.DataFrame:
    """Return the instruments that a text names or is part of; raise `UnknownSymbol` for none.

    First come those it names; the same instrument on all venues stands together, what people mean most above.
    """
    from xex.model.identity import asset

    venue, colon, rest = text.strip().upper().partition(":")
    known = {name.upper() for name in (*listed["exchange"], *listed["venue"])}
    if colon and venue in known:
        mine = listed["exchange"].str.upper().eq(venue) | listed["venue"].str.upper().eq(venue)
        return _matching(listed[mine], rest) if rest else listed[mine]
    wanted = text.strip().upper()
    symbol, base = listed["instrument"].str.upper(), listed["base"].str.upper()
    ids = [listed[name].fillna("").str.upper() for name in ("id", "alias")]
    named = symbol.isin([wanted, *_readings(text)]) | base.eq(asset(text.strip(), "linear")[0])
    named |= ids[0].eq(wanted) | ids[1].eq(wanted)
    if "/" in wanted:
        part = symbol.str.contains(wanted, regex=False)
    else:
        bare = _bare(wanted)
        part = _bare_of(symbol).str.contains(bare, regex=False) | _bare_of(ids[0]).str.contains(bare, regex=False)
        part &= bool(bare)
    found = listed[named | part]
    if not len(found):
        raise _unlisted(listed, text)
    return found.iloc[_meant_first(found, named[found.index].tolist())]


def _meant_first(found: pd.DataFrame, named: Sequence[bool]) -> list[int]:
    from xex.model.instruments import USD_LIKE, section_of
    from xex.model.listings import MEANT_FIRST

    dollars = {quote: place for place, quote in enumerate(USD_LIKE)}
    cells = zip(
        named, *(found[name].fillna("").tolist() for name in ("base", "kind", "expiry", "quote")), strict=True
    )  # fmt: skip
    ranks = [
        (not its, "" if its else base, MEANT_FIRST.index(section_of(kind, expiry)), expiry,
         dollars.get(quote, len(dollars)), quote)
        for its, base, kind, expiry, quote in cells
    ]  # fmt: skip
    return sorted(range(len(ranks)), key=ranks.__getitem__)


def _readings(text: str) -> list[str]:
    """Return the symbols that a text without a market may mean: XBTUSD is spot, a perpetual, an inverse one."""
    from xex.errors import SymbolError
    from xex.model.instruments import parse_symbol

    found = []
    for market in ("spot", "perp", "inverse"):
        with suppress(SymbolError):
            meant = parse_symbol(text, market).instrument
            found += [] if meant is None else [meant.symbol]
    return found


def _bare(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())


def _bare_of(series: pd.Series) -> pd.Series:
    return series.str.replace(r"[^A-Z0-9]", "", regex=True)


def _unlisted(listed: pd.DataFrame, text: str) -> Exception:
    import difflib

    from xex.errors import UnknownSymbol

    known = {_bare(symbol): symbol for symbol in [*listed["base"].unique(), *listed["instrument"].unique()]}
    close = difflib.get_close_matches(_bare(text.upper()), known, n=5, cutoff=0.6)
    near = [known[name] for name in close]
    hint = f"; near: {', '.join(near)}" if near else "; without a text all are shown"
    return UnknownSymbol(f"no venue lists anything like {text!r}{hint}", nearest=near)


def _installed() -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return a row per installed venue and market type, and the connectors that cannot be loaded."""
    from xex.access import registry
    from xex.access.port import FEATURE_PROTOCOLS, answers
    from xex.config import read_environment
    from xex.errors import ConfigError
    from xex.lists import market_name
    from xex.model.instruments import kind_of

    points = registry.installed()
    rows, broken = [], {}
    for config in read_environment(sorted(points)).configs:
        point = points[config.venue]
        try:
            connector = registry.load(point)(config)
        except ConfigError as exc:
            broken[config.venue] = str(exc)
            continue
        package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.module
        rows += [
            {
                "venue": config.venue,
                "market": market_name(kind_of(section), "dated" if section.endswith("dated") else ""),
                **{question: answers(connector, question) for question in FEATURE_PROTOCOLS},
                "key": config.api_key is not None,
                "priority": config.priority,
                "package": package,
            }
            for section in connector.sections
        ]
    return rows, broken


def _time(text: str) -> datetime | timedelta | float:
    """Read how long ago, or when, something was."""
    from datetime import UTC, datetime, timedelta

    from xex.analytics.liquidation_sums import span_ms

    back_ms = span_ms(text)
    with suppress(ValueError, OverflowError):
        if back_ms == back_ms:
            return timedelta(milliseconds=back_ms)
        if text.strip().replace(".", "", 1).isdecimal():
            return float(text)
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return _leave(
        f"--since {text!r}: 90s, 30m, 4h, 2d, Unix seconds or a time such as 2026-11-27T08:00 is expected", USAGE
    )
