"""Whether our units are right: the venues' volumes and open interest against another source's.

Whether a venue counts contracts or coins, and a trade once or for each side, is stated as rules of data. A rule that is
wrong shows here as a factor: two, a contract's size, a price, a power of ten.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from statistics import median
from typing import TYPE_CHECKING, Any

from xex.access import registry
from xex.access.deadline import until
from xex.access.fanout import settled
from xex.access.port import AnswersOpenInterest, ListsInstruments, Reference, able
from xex.access.state import VenueState
from xex.access.transport import Route
from xex.catalogue import account, lines
from xex.checkup import Checkup
from xex.config import read_environment
from xex.errors import ConfigError, ConnectorError, Drop, Dropped, NotListed, NoVenueAnswered
from xex.model import schema
from xex.model.identity import asset
from xex.model.instruments import USD_LIKE, Instrument
from xex.model.listings import Listed, Listings, spelled
from xex.model.schema import Columns
from xex.roster import Entry, gathered

if TYPE_CHECKING:
    import pandas as pd

FINE = math.log(1.4)
"""Two sources of one figure differ by so much in honest ways: another moment, other trades left out."""
NEAR = math.log(1.15)
"""How near to a factor a ratio must be to mean it."""
BEYOND = math.log(10)
"""No two honest sources differ by more."""
QUORUM = 3
"""How many exchanges must show one factor before it is taken for the other source's way of counting."""
FAULTS = frozenset({"two-sided", "unit"})
FIGURES = {"volume": ("base_volume", "quote_volume"), "open interest": ("oi_base", "oi_quote")}

_NEEDED = (
    "exchange", "venue", "instrument", "id", "quote", "contract_size", "multiplier", "last",
    "base_volume", "quote_volume", "oi_base", "oi_quote", "unit_rule", "interest_rule",
)  # fmt: skip
Row = dict[Any, Any]


# --- the comparison: frames in, a frame out --------------------------------------------------------------------


def compare(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Compare contracts' figures with another source's: two rows, volume and open interest, for each of ours.

    `ours` has a row per contract: `exchange, venue, instrument, id, quote, contract_size, multiplier, last`, volumes
    of 24 h and open interest in base and in quote units (`base_volume, quote_volume, oi_base, oi_quote`), and the
    rules that made them, `unit_rule` and `interest_rule`. `theirs` is in the schema `reference`. Rows meet by venue
    and id, else by pair where that can mean one contract only. Returns the schema `doctor`: what each says in base
    units and in dollars (USDT, USDC and FDUSD at par: a depeg is no factor of two), the ratios ours / theirs,
    `against_median` (the ratio in base units over the median of the exchanges) and a `verdict`:

    - "fine": the same, give or take what sources differ by
    - "two-sided": about 2 or 1/2: one of the two counts buyer and seller
    - "unit": about a contract's size, a factor of the coin, a price or a power of ten, or anything beyond 10
    - "differs": by none of these
    - "absent": one of the two has no such figure

    Where the median of at least three exchanges is about 2 or 1/2, that is how the other source counts: each is
    judged against the median, and ``frame.attrs["convention"]`` holds it by figure. ``frame.attrs["unmatched"]``
    lists what theirs has of the same venues and ours has not.
    """
    schema.check(ours, _NEEDED, "compare")
    schema.check(theirs, schema.SCHEMAS["reference"], "compare")
    met, unmatched = _matched(ours.to_dict("records"), theirs.to_dict("records"))
    rows, convention = [], {}
    for figure in FIGURES:
        mine = [_row(one, other, figure) for one, other in met]
        typical, shared = _typical(mine)
        if shared:
            convention[figure] = typical
        for row in mine:
            row["against_median"] = row["ratio_base"] / typical
            row["verdict"], row["detail"] = _judged(row, typical if shared else 1.0)
        rows += mine
    rows.sort(key=lambda row: (row["exchange"], row["instrument"], row["id"]))
    frame = schema.frame({name: [row[name] for row in rows] for name in schema.SCHEMAS["doctor"]}, "doctor")
    frame.attrs = {"convention": convention, "unmatched": unmatched}
    return frame


def _matched(ours: list[Row], theirs: list[Row]) -> tuple[list[tuple[Row, Row | None]], list[str]]:
    """Pair each contract of ours with its row of theirs, and name those of theirs that met none."""
    by_id = {(row["venue"], spelled(row["id"])): row for row in theirs}
    found = [by_id.get((one["venue"], spelled(one["id"]))) for one in ours]
    taken = {id(row) for row in found}
    # What is called otherwise there is known by its pair, where one contract of each has it.
    rest = _by_pair([row for row in theirs if id(row) not in taken], "symbol")
    mine = _by_pair([one for one, row in zip(ours, found, strict=True) if row is None], "instrument")
    pairs = {id(mine[pair]): rest[pair] for pair in mine.keys() & rest.keys()}
    met = [(one, pairs.get(id(one)) if row is None else row) for one, row in zip(ours, found, strict=True)]
    taken |= {id(row) for _, row in met}
    venues = {one["venue"] for one in ours}
    left = [row for row in theirs if row["venue"] in venues and id(row) not in taken]
    return met, [f"{row['venue']}:{row['id']}" for row in left]


def _by_pair(rows: list[Row], name: str) -> dict[tuple[str, str], Row]:
    """Return the rows by venue and pair, those that share theirs left out."""
    keys = [(row["venue"], str(row[name] or "").partition(":")[0].upper()) for row in rows]
    return {key: row for key, row in zip(keys, rows, strict=True) if key[1] and keys.count(key) == 1}


def _row(one: Row, other: Row | None, figure: str) -> Row:
    """Put both figures of a contract side by side; what a price turns into the other unit is turned."""
    base, quote = FIGURES[figure]
    there = other or dict.fromkeys(schema.SCHEMAS["reference"], nan)
    usd = there["volume_usd"] if figure == "volume" else there["oi_usd"]
    price = there["price"] if there["price"] > 0 else nan
    coins = usd / price if figure == "volume" else there["oi_base"]
    if one["multiplier"] != 1 and _near(price, one["last"] * one["multiplier"]):
        coins *= one["multiplier"]  # their coin is the venue's own, 1000 of ours, as their price says
    row = {name: one[name] for name in ("exchange", "venue", "instrument", "id", "contract_size", "multiplier")}
    row |= {
        "figure": figure, "price": price, "there": other is not None,
        "ours_base": one[base], "theirs_base": coins, "ratio_base": _ratio(one[base], coins),
        "ours_usd": one[quote] if one["quote"] in USD_LIKE else nan, "theirs_usd": usd,
        "unit_rule": one["unit_rule" if figure == "volume" else "interest_rule"],
    }  # fmt: skip
    return row | {"ratio_usd": _ratio(row["ours_usd"], usd)}


def _ratio(ours: float, theirs: float) -> float:
    """Return ours / theirs; what is nothing on either side has no ratio."""
    return ours / theirs if ours > 0 and theirs > 0 else nan


def _typical(rows: list[Row]) -> tuple[float, bool]:
    """Return the median ratio of the exchanges, and whether it is a factor of two that they share."""
    by_exchange: dict[str, list[float]] = {}
    for row in rows:
        if row["ratio_base"] > 0:
            by_exchange.setdefault(row["exchange"], []).append(row["ratio_base"])
    medians = [median(ratios) for ratios in by_exchange.values()]
    typical = median(medians) if medians else nan
    alike = [one for one in medians if _near(one, typical)]
    return typical, len(alike) >= QUORUM and (_near(typical, 2.0) or _near(typical, 0.5))


def _near(ratio: float, factor: float) -> bool:
    return ratio > 0 and factor > 0 and abs(math.log(ratio / factor)) < NEAR


def _judged(row: Row, typical: float) -> tuple[str, str]:
    """Return verdict and reason: the first unit that is not fine decides, base units before dollars."""
    if not row["there"]:
        return "absent", "the other source does not list it"
    known = {unit: row[f"ratio_{unit}"] for unit in ("base", "usd") if row[f"ratio_{unit}"] > 0}
    if not known:
        return "absent", "not sent" if not row["ours_base"] > 0 else "the other source sends none"
    for unit, ratio in known.items():
        verdict, why = _cause(ratio / typical, row)
        if verdict != "fine":
            return verdict, f"in {'base units' if unit == 'base' else 'dollars'} ours is {ratio:.2g} × theirs: {why}"
    return "fine", "" if typical == 1.0 else f"as with the others, ours is {typical:.2g} × theirs"


def _cause(ratio: float, row: Row) -> tuple[str, str]:
    """Say what a ratio means."""
    off = abs(math.log(ratio))
    if off < FINE:
        return "fine", ""
    if _near(ratio, 2.0):
        return "two-sided", "ours counts both sides, or theirs a half"
    if _near(ratio, 0.5):
        halved = "ours is halved as two-sided" if "two-sided" in str(row["unit_rule"]) else "ours is not halved"
        return "two-sided", f"theirs counts both sides, or ours a half ({halved})"
    size, coins, price = row["contract_size"], row["multiplier"], row["price"]
    causes = {
        "the contract size": size, "the coins in one of the venue's": coins, "the price": price,
        "the price of a contract": price / size, "a contract's coins": size * coins,
    }  # fmt: skip
    for name, factor in causes.items():
        if abs(math.log(factor)) >= FINE and (_near(ratio, factor) or _near(ratio, 1 / factor)):
            return "unit", f"that is {name}, {factor:g}, {'too many' if ratio > 1 else 'too few'}"
    tens = round(math.log10(ratio))
    if tens and _near(ratio, 10.0**tens):
        return "unit", f"that is 10^{tens}"
    return (
        ("unit", "no known factor, but too far off to be the same") if off > BEYOND else ("differs", "no known factor")
    )


def faulty(frame: pd.DataFrame) -> bool:
    """Say whether a comparison shows a unit that is likely wrong."""
    return bool(frame["verdict"].isin(FAULTS).any())


# --- the question ----------------------------------------------------------------------------------------------


def reference_from_env(environ: Mapping[str, str] | None = None) -> Reference:
    """Return the installed source of figures with its key from the environment; raises `ConfigError` without one."""
    points = registry.references()
    if not points:
        raise ConfigError("no source of figures to compare with is installed; reinstall xex")
    name = min(points)
    kind = registry.load_reference(points[name])
    (config,) = read_environment([name], environ).configs
    if config.api_key is None:
        raise ConfigError(
            f"--live compares with {name}, which needs a key: set {name.upper()}_API_KEY; {kind.key_hint}. "
            "Without --live xex doctor looks at this installation and the way to the venues"
        )
    return kind(config)


class Doctor(Checkup):
    """A manager that looks for what is wrong, also in what its venues say of contracts: by another source's figures."""

    async def examine(
        self,
        reference: Reference,
        base: str = "BTC",
        *,
        venues: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return `compare` of every active contract of an asset on every venue.

        ``frame.attrs`` also holds `reference` (its name), `asked`, `answered` and `dropped`: by exchange, why its
        figures or some of them are missing. Raises `ConnectorError` where the reference does not answer, and
        `NoVenueAnswered` where no venue does.
        """
        self._enter()
        coin, _ = asset(base, "linear")
        groups = self._chosen("ticker", venues)
        failures: dict[str, Drop] = {}
        with until(self._seconds(deadline)):
            self._introduce(reference)
            try:
                theirs = await reference.contracts(coin)
            except ConnectorError as exc:
                exc.args = (f"{reference.config.venue}: {exc}",)
                raise
            asked = {group[0].id: self._figures(group[0], coin, failures) for group in groups}
            came = await gathered(asked, self._keep)
        for entry in (group[0] for group in groups):
            if entry.id not in came:
                failures[entry.id] = Drop(Dropped.LATE, "no answer before the deadline")
        parts = [part for part in came.values() if part is not None and len(part)]
        if not parts:
            raise NoVenueAnswered(f"no venue answered for contracts of {coin}:{lines(failures)}", failures)
        import pandas as pd

        ours = pd.concat(parts, ignore_index=True)
        frame = compare(ours, schema.frame(theirs, "reference"))
        frame.attrs |= {**account(groups, ours["exchange"], failures), "reference": reference.config.venue}
        return frame

    def _introduce(self, reference: Reference) -> None:
        """Lend the seam: its budgets, its recording rules, its scrubbing."""
        config = reference.config
        keys = () if config.api_key is None else (config.api_key.get_secret_value(),)
        state = VenueState(config.exchange_id, config.venue)
        reference.bind(self._transport, Route(
            config.exchange_id, config.venue, state, reference.limits, config.timeout_s, config.rate_share,
            config.base_url, config.proxy, keys,
        ))  # fmt: skip

    async def _figures(self, entry: Entry, coin: str, failures: dict[str, Drop]) -> pd.DataFrame | None:
        """Return one venue's contracts of an asset with volumes and open interest; note what is missing."""
        connector = entry.connector
        if not able(connector, ListsInstruments):
            failures[entry.id] = Drop(Dropped.NOT_LISTED, "the connector knows single tickers only")
            return None
        try:
            await self._ready(entry)
            sections = [section for section in connector.sections if section != "spot"]
            table = await self._guarded(entry, connector.listings(sections))
            rows = [row for section in sections for row in table.of(section, active=True)]
            mine = [table.listed(row) for row in rows if table.columns["base"][row] == coin]
            listed = list({found.instrument: found for found in mine}.values())
            if not listed:
                raise NotListed(f"no contracts of {coin}", venue=entry.config.venue)
            tickers, interest = await self._asked_both(entry, [found.instrument for found in listed])
        except ConnectorError as exc:
            failures[entry.id] = exc.drop
            return None
        for what, part in (("volume", tickers), ("open interest", interest)):
            if isinstance(part, ConnectorError):
                failures[entry.id] = Drop(part.reason, f"{what}: {part}")
        if isinstance(tickers, ConnectorError) and isinstance(interest, ConnectorError):
            return None
        came = [{} if isinstance(part, ConnectorError) else part for part in (tickers, interest)]
        return _joined(entry, table, listed, *came)

    async def _asked_both(
        self, entry: Entry, contracts: Sequence[Instrument]
    ) -> tuple[Columns | ConnectorError, Columns | ConnectorError]:
        """Ask a venue for tickers and open interest at once."""
        connector = entry.connector

        # Each asks for itself: a question that is made before its task has begun is nobody's when that is cancelled.
        async def tickers_asked() -> Columns:
            return await self._columns(entry, connector.tickers(contracts), "tickers")

        async def interest_asked() -> Columns:
            assert able(connector, AnswersOpenInterest)  # noqa: S101  looked at below
            return await self._columns(entry, connector.open_interest(contracts), "open_interest")

        asked = [tickers_asked(), *([interest_asked()] if able(connector, AnswersOpenInterest) else [])]
        tickers, *interest = await settled(asked)
        return tickers, interest[0] if interest else NotListed("the connector does not answer it")


def _joined(
    entry: Entry, table: Listings, listed: Sequence[Listed], tickers: Columns, interest: Columns
) -> pd.DataFrame:
    """Join what is known of each contract by its symbol."""
    import pandas as pd

    facts = pd.DataFrame({"exchange": entry.id, "venue": entry.config.venue}, index=range(len(listed)))
    facts["instrument"] = [found.instrument.symbol for found in listed]
    facts["quote"], facts["id"] = [found.instrument.quote for found in listed], [found.id for found in listed]
    for name in ("contract_size", "multiplier"):
        facts[name] = [table.columns[name][found.row] for found in listed]
    prices = schema.frame(tickers, "tickers")[["instrument", "last", "base_volume", "quote_volume", "unit_rule"]]
    held = schema.frame(interest, "open_interest")[["instrument", "oi_base", "oi_quote", "unit_rule"]]
    held = held.rename(columns={"unit_rule": "interest_rule"})
    return facts.merge(prices, how="left", on="instrument").merge(held, how="left", on="instrument")
