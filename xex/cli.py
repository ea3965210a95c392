"""The command line. Exit codes: 0 answered, 1 no venue answered, 2 bad usage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from xex.answer import CrossExchangeData
    from xex.recording import Recording

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

ANSWERED, NOBODY, USAGE = 0, 1, 2


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    # One short run: a collection would cost more than all it could free.
    gc.disable()
    try:
        app(args=_arguments(sys.argv[1:]), prog_name="xex")
    finally:
        gc.freeze()


_WITH_VALUE = ("--venues", "--currency", "--parquet", "--timeout")


def _arguments(given: list[str]) -> list[str]:
    """Give a bare --replay its value: the file that follows where one does, else nothing, for the bundled one.

    What follows is a file where it looks like one, and where the symbol has been given before.
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


@app.command()
def snapshot(
    symbol: Annotated[str, typer.Argument(help="BTCUSDT (perpetual), BTC/USDT (spot), BTC/USDT:USDT or venue:ID.")],
    *,
    spot: Annotated[bool, typer.Option("--spot", help="The spot market.")] = False,
    perp: Annotated[bool, typer.Option("--perp", help="The linear perpetual.")] = False,
    venues: Annotated[str | None, typer.Option(help="Only these, separated by commas.", metavar="A,B")] = None,
    currency: Annotated[str | None, typer.Option(help="Bring prices to this currency, e.g. USD.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one CSV row per venue.")] = False,
    parquet: Annotated[Path | None, typer.Option(help="Write one row per venue to a Parquet file.")] = None,
    replay: Annotated[
        str | None, typer.Option(help="Answer from a recording; without FILE the bundled one.", metavar="[FILE]")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.", metavar="S")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say in sentences how the numbers came about.")] = False,
) -> None:
    """Show what one instrument costs on every venue, and whether an arbitrage survives fees."""
    from xex.errors import NoVenueAnswered, XexError

    if spot and perp:
        _leave("--spot and --perp exclude each other", USAGE)
    if sum([as_json, as_csv, parquet is not None]) > 1:
        _leave("choose one of --json, --csv and --parquet", USAGE)
    market = "spot" if spot else "perp" if perp else None
    names = [name.strip() for name in venues.split(",") if name.strip()] if venues is not None else None
    try:
        with ExitStack() as stack:
            recording = None if replay is None else stack.enter_context(_replaying(replay))
            stack.enter_context(_spinner(symbol, shown=not (as_json or as_csv)))
            snap = _asked(symbol, market=market, venues=names, currency=currency, timeout=timeout)
        _show(snap, recording, as_json=as_json, as_csv=as_csv, parquet=parquet, explain=explain)
    except NoVenueAnswered as exc:
        hint = "" if replay is not None else "\nwithout a network, try the bundled recording: --replay"
        _leave(f"{exc}{hint}", NOBODY)
    except XexError as exc:
        _leave(str(exc), USAGE)


def _asked(
    symbol: str, *, market: str | None, venues: list[str] | None, currency: str | None, timeout: float | None
) -> CrossExchangeData:
    import asyncio

    from xex.manager import ExchangeManager

    async def ask() -> CrossExchangeData:
        async with ExchangeManager.from_env(deadline=timeout) as xm:
            return await xm.get_cross_exchange_ticker(symbol, market=market, venues=venues, currency=currency)

    return asyncio.run(ask())


@contextmanager
def _replaying(file: str) -> Iterator[Recording]:
    from xex.recording import replay

    with replay(file or None) as recording:
        yield recording


@contextmanager
def _spinner(symbol: str, *, shown: bool) -> Iterator[None]:
    if not shown or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"asking the venues for {symbol} …"):
        yield


def _show(
    snap: CrossExchangeData,
    recording: Recording | None,
    *,
    as_json: bool,
    as_csv: bool,
    parquet: Path | None,
    explain: bool,
) -> None:
    banner = notice(recording)
    if as_json:
        import json

        about = None if recording is None else {"made_from": recording.made_from, "made_at": recording.made_at}
        typer.echo(json.dumps({**snap.as_dict(), "recording": about}, indent=2, allow_nan=False))
        return
    if as_csv or parquet is not None:
        if banner:
            typer.echo(banner, err=True)
        if parquet is not None:
            _write_parquet(snap, parquet)
        else:
            typer.echo(snap.frame.to_csv(index=False), nl=False)
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    if banner:
        console.print(banner, style="bold yellow")
    console.print(snap)
    if explain:
        console.print(snap.explain())


def notice(recording: Recording | None) -> str:
    """Say that numbers are replayed, and whether they are any market's."""
    if recording is None:
        return ""
    what = "SYNTHETIC recording, no market's numbers" if recording.synthetic else "recording"
    return f"Replaying a {what}: {recording.path.name}, made {recording.made_at} from {recording.made_from}."


def _write_parquet(snap: CrossExchangeData, path: Path) -> None:
    from importlib.util import find_spec

    from xex.errors import MissingExtra, XexError

    if find_spec("pyarrow") is None:
        raise MissingExtra("pyarrow", "parquet")
    try:
        snap.frame.to_parquet(path, index=False)
    except OSError as exc:
        raise XexError(f"{path} cannot be written: {exc.strerror or exc}") from None


def _leave(message: str, code: int) -> Any:
    typer.echo(f"xex: {message}", err=True)
    raise typer.Exit(code)
