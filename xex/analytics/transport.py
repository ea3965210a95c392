"""The optimum over books when what moving coins costs depends on from where to where: a transportation problem.

One price clears all books while a coin is a coin. With costs per pair of exchanges there is none, and the optimum is a
linear program; what a route costs once, whatever is moved, opens it or does not, and makes it a mixed-integer one.
HiGHS solves both, through scipy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xex.analytics.merged import cleared
from xex.analytics.sizing import Leg, walked
from xex.errors import MissingExtra, SchemaError
from xex.model import schema
from xex.model.schema import numbers, texts

if TYPE_CHECKING:
    import pandas as pd

Floats = np.ndarray[Any, np.dtype[np.float64]]
Parts = Mapping[str, tuple[Leg, Leg, int]]

TIGHT = 1e-10
"""How far the solver may be off: the least that it takes."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way for coins: `per_unit` currency for each one sent, the fraction `loss` of them, `fixed` currency once."""

    low: str
    high: str
    per_unit: float = 0.0
    loss: float = 0.0
    fixed: float = 0.0


def transport(books: pd.DataFrame, costs: pd.DataFrame, *, taker_bps: Any = None) -> pd.DataFrame:
    """Return the optimum over all books of a group when each pair of exchanges has its own transfer costs.

    `books` as in `depth`. `costs` has a row per route that is open, from `exchange_low`, where coins are bought, to
    `exchange_high`, where they are sold: `per_unit` (currency per base unit sent), `bps` (of the coins, lost on the
    way) and `fixed` (currency, once if the route is used; of a fee in coins, what they would be sold for), each 0
    without its column; `group` where a row holds for one alone. On one and the same exchange no route is needed.
    Returns a row per route that is used: `quantity` sent and `arriving`, mean prices before fees, `notional` paid,
    `fees`, `transfer_cost` and `net_profit`, which add up to the optimum, fixed costs included. No row where nothing
    pays; ``attrs["left_out"]`` as in `depth`. Raises `MissingExtra` without the extra ``lp``, `SchemaError` for costs
    that are not known.
    """
    schema.check(costs, ("exchange_low", "exchange_high"), "arbitrage.transport, costs")
    ways = _routes(costs)
    rows = []
    found_in, left_out = cleared(books, taker_bps, None, "arbitrage.transport")
    for group, currency, parts, _ in found_in:
        mine = [way for of, way in ways if of in {"", group} and way.low in parts and way.high in parts]
        rows += [{"group": group, "currency": currency, **row} for row in transported(parts, mine)]
    frame = schema.frame({name: [row[name] for row in rows] for name in schema.SCHEMAS["transport"]}, "transport")
    frame.attrs["left_out"] = left_out
    return frame


def _routes(costs: pd.DataFrame) -> list[tuple[str, Route]]:
    """Return the rows of costs as routes, each with the group that it is for."""
    columns = schema.columns_of(costs)
    per_unit, fixed = numbers(columns, "per_unit", 0.0), numbers(columns, "fixed", 0.0)
    loss = numbers(columns, "bps", 0.0) / 1e4
    for name, values in (("per_unit", per_unit), ("bps", loss), ("fixed", fixed)):
        if not ((values >= 0) & np.isfinite(values)).all() or (name == "bps" and (values >= 1).any()):
            raise SchemaError(
                f"arbitrage.transport, costs: {name} is a cost, at least 0 and known; leave closed routes out"
            )
    groups = texts(columns, "group") if "group" in costs.columns else [""] * len(costs)
    cells = zip(texts(columns, "exchange_low"), texts(columns, "exchange_high"), per_unit, loss, fixed, strict=True)
    found = [Route(low, high, float(unit), float(lost), float(once)) for low, high, unit, lost, once in cells]
    return list(zip(groups, found, strict=True))


def transported(parts: Parts, given: Sequence[Route]) -> list[dict[str, Any]]:
    """Return the routes that the optimum uses, as rows without their group."""
    try:
        from scipy import optimize  # noqa: F401  only whether it is there
    except ImportError as exc:
        raise MissingExtra("scipy", "lp") from exc
    inside = {(way.low, way.high) for way in given}
    ways = [*given, *(Route(name, name) for name in parts if (name, name) not in inside)]
    program = _Program(parts, ways)
    if not program.pays:
        return []
    opened = program.opened() if any(way.fixed for way in ways) else [True] * len(ways)
    return program.rows(program.sent(opened))


class _Program:
    """The books and routes of one group as a linear program: what is taken of each level and sent on each route."""

    def __init__(self, parts: Parts, ways: Sequence[Route]) -> None:
        self.ways = ways
        self.sides: list[tuple[str, Leg, float, float, bool]] = []
        for name, (ask, bid, times) in parts.items():
            for leg, buying in ((ask, True), (bid, False)):
                fee = times * leg.fee
                self.sides.append((name, leg, fee, leg.passed_on(fee, buying=buying), buying))
        after = [_after_fee(leg, fee, units, buying=buying) for _, leg, fee, units, buying in self.sides]
        asks, bids = (
            [price for price, side in zip(after, self.sides, strict=True) if side[4] == buying and len(price)]
            for buying in (True, False)
        )
        lowest, highest = min((p.min() for p in asks), default=np.inf), max((p.max() for p in bids), default=0.0)
        self.pays = bool(lowest < highest)
        # Costs only widen the gap: levels that do not cross without them take no part.
        self.near = [
            (price < highest) if side[4] else (price > lowest) for price, side in zip(after, self.sides, strict=True)
        ]
        self.unit = highest if self.pays else 1.0
        self._matrix()

    def _matrix(self) -> None:
        """Write down costs, bounds and balances; prices are counted in units of the best bid."""
        cost: list[Floats] = []
        most: list[Floats] = []
        balance: list[Floats] = []
        for (_, leg, fee, units, buying), near in zip(self.sides, self.near, strict=True):
            sign = 1.0 if buying else -1.0
            charged = leg.price if units != 1 else leg.price * (1 + sign * fee)
            cost.append(sign * charged[near] / self.unit)
            most.append(leg.size[near])
            balance.append(np.full(int(near.sum()), units))
        self.cost = np.concatenate([*cost, [way.per_unit / self.unit for way in self.ways]])
        self.counts = [len(part) for part in most]
        totals = {
            (side[0], side[4]): float(sizes @ own) for side, sizes, own in zip(self.sides, most, balance, strict=True)
        }
        # More than is there, or than the other side takes, is never sent.
        reach = [
            min(totals[way.low, True], totals[way.high, False] / (1 - way.loss)) for way in self.ways
        ]  # fmt: skip
        self.most = np.concatenate([*most, reach])
        self.reach = np.array(reach)
        levels = sum(self.counts)
        rows = np.zeros((len(self.sides), levels + len(self.ways)))
        start = 0
        for place, ((name, _, _, _, buying), own) in enumerate(zip(self.sides, balance, strict=True)):
            rows[place, start : start + len(own)] = own
            start += len(own)
            for number, way in enumerate(self.ways):
                if (way.low if buying else way.high) == name:
                    rows[place, levels + number] = -1.0 if buying else -(1 - way.loss)
        self.balance = rows

    def opened(self) -> list[bool]:
        """Return which routes are worth what they cost once."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        once = [number for number, way in enumerate(self.ways) if way.fixed]
        columns = len(self.cost)
        fixed = np.array([self.ways[number].fixed for number in once]) / self.unit
        cost = np.concatenate([self.cost, fixed])
        switched = np.zeros((len(once), columns + len(once)))
        for place, number in enumerate(once):
            switched[place, columns - len(self.ways) + number] = 1.0
            switched[place, columns + place] = -self.reach[number]
        balance = np.hstack([self.balance, np.zeros((len(self.balance), len(once)))])
        done = milp(
            cost,
            integrality=np.concatenate([np.zeros(columns), np.ones(len(once))]),
            bounds=Bounds(np.zeros(columns + len(once)), np.concatenate([self.most, np.ones(len(once))])),
            constraints=[LinearConstraint(balance, 0.0, 0.0), LinearConstraint(switched, -np.inf, 0.0)],
            options={"mip_rel_gap": 0.0},
        )
        if done.x is None:
            raise SchemaError(f"the routes could not be chosen: {done.message}")
        found = [True] * len(self.ways)
        for place, number in enumerate(once):
            found[number] = bool(done.x[columns + place] > 0.5)
        return found

    def sent(self, opened: Sequence[bool]) -> Floats:
        """Return what is taken of each level and sent on each route that is open."""
        from scipy.optimize import linprog

        most = self.most.copy()
        most[len(most) - len(self.ways) :][~np.array(opened)] = 0.0
        done = linprog(
            self.cost, A_eq=self.balance, b_eq=np.zeros(len(self.balance)),
            bounds=[(0.0, size) for size in most.tolist()], method="highs",
            options={"primal_feasibility_tolerance": TIGHT, "dual_feasibility_tolerance": TIGHT},
        )  # fmt: skip
        if done.x is None:
            raise SchemaError(f"the optimum over the books was not found: {done.message}")
        return np.asarray(done.x, dtype=np.float64)

    def rows(self, taken: Floats) -> list[dict[str, Any]]:
        """Return a row per route that coins are sent on, at the mean prices of both exchanges."""
        sent = taken[len(taken) - len(self.ways) :]
        levels = np.split(taken[: len(taken) - len(self.ways)], np.cumsum(self.counts)[:-1])
        means: dict[tuple[str, bool], tuple[float, float, float]] = {}
        for (name, leg, fee, units, buying), amounts in zip(self.sides, levels, strict=True):
            total = float(amounts.sum())
            order = np.argsort(leg.price if buying else -leg.price, kind="stable")
            worth = walked(leg.price[order], leg.size[order], total)
            means[name, buying] = (worth / total if total else 0.0, fee, units)
        least = 1e-9 * max(float(sent.sum()), 1e-300)
        return [
            _route_row(way, float(amount), means[way.low, True], means[way.high, False])
            for way, amount in zip(self.ways, sent, strict=True)
            if amount > least
        ]


def _after_fee(leg: Leg, fee: float, units: float, *, buying: bool) -> Floats:
    return leg.price / units if units != 1 else leg.price * ((1 + fee) if buying else (1 - fee))


def _route_row(
    way: Route, sent: float, low: tuple[float, float, float], high: tuple[float, float, float]
) -> dict[str, Any]:
    """Return what one route pays and brings; mean price, fee and coins passed on per coin ordered of both ends."""
    arriving = sent * (1 - way.loss)
    (price_low, fee_low, units_low), (price_high, fee_high, units_high) = low, high
    paid, earned = sent / units_low * price_low, arriving / units_high * price_high
    fees, cost = paid * fee_low + earned * fee_high, sent * way.per_unit + way.fixed
    net = earned * (1 - fee_high * (units_high == 1)) - paid * (1 + fee_low * (units_low == 1)) - cost
    return {
        "exchange_low": way.low, "exchange_high": way.high, "quantity": sent, "arriving": arriving,
        "price_low": price_low, "price_high": price_high, "notional": paid, "fees": fees,
        "transfer_cost": cost, "net_profit": net,
    }  # fmt: skip
