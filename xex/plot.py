"""How answers look as pictures: quotes around the price, and the depth of all books as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from xex.analytics.gates import GATES
from xex.errors import ConfigError, MissingExtra
from xex.model import schema
from xex.page import amount, bps, fixed, percent
from xex.tables import SIDES, Curve, depth_curves, price_places, reference_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xex.answer import CrossExchangeData

# --- the pictures -------------------------------------------------------------------------------------------

_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")
_INK, _FAINT = "#333333", "#999999"
_LEGEND: Any = {"fontsize": 9, "facecolor": "white", "edgecolor": "none", "framealpha": 1.0}
_FURTHEST_BPS = 100.0
"""The sides of a book, and the direction from the price in which each goes on."""


def snapshot(snap: CrossExchangeData) -> Axes:
    """Draw each venue's bid, ask and mid in bps around the aggregated price, and below them the depth of the books.

    The area of a dot is the venue's weight, hollow grey dots are left out of the price, the band is one standard
    deviation. The depth is what can be traded up to a distance from the price, in the snapshot's currency,
    venue upon venue. Returns the axes of the quotes; its ``figure`` holds both and can be saved or shown. Needs
    the extra `plot`; no display and no global state of matplotlib is touched.
    """
    reference = reference_of(snap)
    books = depth_curves(snap, reference)
    rows = len(snap.exchanges_data)
    heights = [0.55 * rows + 1.1, *([2.6] if books else [])]
    figure = _figure(snap, 8.0, sum(heights) + 0.9)
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    colours = _colours(snap)
    _draw_quotes(axes[0], snap, reference, colours)
    if books:
        _draw_depth(axes[1], snap, books, colours)
    quotes: Axes = axes[0]
    return quotes


def depth(snap: CrossExchangeData, *, within_bps: float | None = None) -> Axes:
    """Draw the books of all venues as one: what has added up from the best price on, bids upwards, asks downwards.

    The sums are in the snapshot's currency, venue upon venue. Where bids and asks stand at the same price the venues
    cross; whether that pays after fees is for the snapshot's opportunities to say. `within_bps` is how far from the
    price the picture goes, by default as far as nearly all that came. Returns the axes. Needs the extra `plot`; no
    display and no global state of matplotlib is touched.
    """
    if within_bps is not None and not 0 < within_bps < math.inf:
        raise ConfigError(f"within_bps is a positive number of basis points, not {within_bps!r}")
    figure = _figure(snap, 8.0, 5.6)
    ax: Axes = figure.subplots()
    reference = reference_of(snap)
    books = depth_curves(snap, reference) or depth_curves(snap, reference, all_books=True)
    reach = within_bps or _reach(books)
    _draw_merged(ax, books, reach, _colours(snap))
    _dress_merged(ax, snap, reference, books, reach)
    return ax


def funnel(opportunities: pd.DataFrame, *, title: str = "Where opportunities end") -> Axes:
    """Draw how many pairs are left after each gate, from all that were compared down to what is executable.

    `opportunities` is a frame of `arbitrage.scan` or `xm.opportunities`. A pair is counted at the first gate that stops
    it; gates that stopped none are left out. Bars are on a logarithmic scale, with their numbers. Returns the axes.
    Needs the extra `plot`.
    """
    schema.check(opportunities, ("gate", "executable"), "plot.funnel")
    counted = opportunities["gate"].value_counts()
    names, left = ["pairs compared"], [len(opportunities)]
    for gate in GATES:
        if stopped := int(counted.get(gate, 0)):
            names.append(f"past {gate.replace('_', ' ')}")
            left.append(left[-1] - stopped)
    ax: Axes = _empty(8.0, 0.42 * len(names) + 1.2, title).subplots()
    shown = [max(count, 0.7) for count in left]
    colours = [_COLOURS[0]] * (len(names) - 1) + [_COLOURS[2] if left[-1] else _FAINT]
    ax.barh(names, shown, color=colours, alpha=0.85, left=0.5)
    for row, count in enumerate(left):
        fewer = f"  (−{left[row - 1] - count:,})" if row else ""
        ax.annotate(f"{count:,}{fewer}", (shown[row] + 0.5, row), (5, 0), textcoords="offset points", va="center",
                    fontsize=9, color=_INK)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlim(0.6, max(left[0], 1) * 12)
    ax.invert_yaxis()
    ax.set_xlabel("pairs left, logarithmic", fontsize=9)
    _plain(ax)
    return ax


def _figure(snap: CrossExchangeData, width: float, height: float) -> Figure:
    """Return an empty figure that says what it is of, and whether its numbers are a market's."""
    moment = datetime.fromtimestamp(snap.timestamp, UTC)
    replayed = "" if not snap.recording else ", synthetic" if snap.recording.startswith("synthetic") else ", replayed"
    return _empty(width, height, f"{snap.instrument.description}, {moment:%Y-%m-%d %H:%M:%S} UTC{replayed}")


def _empty(width: float, height: float, title: str) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingExtra("matplotlib", "plot") from exc
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, color=_INK, fontweight="bold")
    return figure


def _colours(snap: CrossExchangeData) -> dict[str, str]:
    return {name: _COLOURS[row % len(_COLOURS)] for row, name in enumerate(snap.exchanges_data)}


def _draw_quotes(ax: Axes, snap: CrossExchangeData, reference: float, colours: dict[str, str]) -> None:
    def distance(price: float) -> float:
        return 1e4 * (price / reference - 1)

    kept = [abs(distance(data["price"])) for data in snap.exchanges_data.values() if data["weight"] > 0]
    edge = _half_width([abs(distance(data["price"])) for data in snap.exchanges_data.values()], kept)
    if math.isfinite(snap.dispersion_bps):
        ax.axvspan(-snap.dispersion_bps, snap.dispersion_bps, color="#4477AA", alpha=0.08, lw=0)
    ax.axvline(0, color=_INK, lw=1)
    remarks = []
    for y, (name, data) in enumerate(snap.exchanges_data.items()):
        used = data["weight"] > 0
        colour = colours[name] if used else _FAINT
        x = distance(data["price"])
        remarks.append(f"{percent(data['weight'])}" if used else str(snap.dropped.get(name, "weight 0")))
        if not math.isfinite(x):
            continue
        if abs(x) > edge:
            side = math.copysign(1.0, x)
            ax.annotate(
                f"{bps(x, signed=True)} bps", (side * edge, y), (side * edge * 0.8, y), color=_FAINT, va="center",
                ha="center", fontsize=8, arrowprops={"arrowstyle": "->", "color": _FAINT},
            )  # fmt: skip
            continue
        ax.scatter(
            [x], [y], s=30 + 500 * data["weight"], color=colour if used else "white", edgecolors=colour, alpha=0.6
        )
        ax.plot([distance(data["bid"]), distance(data["ask"])], [y, y], color=_INK, lw=1.5, marker="|", ms=9, mew=1.5)
        ax.annotate(
            f"{bps(x, signed=True)}", (x, y), (0, 12), textcoords="offset points", ha="center", fontsize=8, color=_INK,
            bbox={"boxstyle": "square,pad=0.1", "color": "white", "alpha": 0.8, "lw": 0},
        )  # fmt: skip
    ax.set_xlim(-edge * 1.08, edge * 1.08)
    _dress_quotes(ax, snap, reference, remarks)


def _half_width(distances: Sequence[float], kept: Sequence[float]) -> float:
    """Return how far the picture reaches: to the furthest venue, unless that hides how the others lie."""
    known = [value for value in distances if math.isfinite(value)]
    inner = max([*kept, 0.5]) * 1.3
    furthest = max([*known, inner]) * 1.1
    return furthest if furthest <= 8 * inner or not kept else inner * 1.5


def _dress_quotes(ax: Axes, snap: CrossExchangeData, reference: float, remarks: Sequence[str]) -> None:
    places = price_places(snap)
    names = list(snap.exchanges_data)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.8)
    beside = ax.secondary_yaxis("right")
    beside.set_yticks(range(len(names)), remarks)
    beside.tick_params(length=0, labelcolor=_INK)
    beside.spines["right"].set_visible(False)
    if math.isfinite(snap.aggregated_price):
        spread = "" if math.isnan(snap.dispersion_bps) else f" ± {bps(snap.dispersion_bps)} bps"
        head = f"Quotes around the price {fixed(reference, places)} {snap.currency}{spread}"
    elif math.isfinite(reference):
        head = (
            f"No price ({', '.join(snap.flags)}); quotes around the median {fixed(reference, places)} {snap.currency}"
        )
    else:
        head = "No price and no quotes"
    ax.set_title(head, loc="left", fontsize=10, color=_INK)
    ax.set_title("weight", loc="right", fontsize=9, color=_FAINT)
    ax.set_xlabel("distance from the price in bps: bar from bid to ask, dot as large as the weight", fontsize=9)
    _plain(ax)
    ax.grid(axis="x", color="#dddddd", lw=0.6)


def _plain(ax: Axes) -> None:
    ax.set_axisbelow(True)
    ax.tick_params(colors=_INK, labelsize=9)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _draw_depth(ax: Axes, snap: CrossExchangeData, books: dict[str, dict[str, Curve]], colours: dict[str, str]) -> None:
    import numpy as np
    from matplotlib.ticker import FuncFormatter

    reach = min(max(float(curve.away[-1]) for sides in books.values() for curve in sides.values()), _FURTHEST_BPS)
    reach = max(reach, 0.5)
    at = np.linspace(0.0, reach, 800)
    for side, sign in SIDES:
        below = np.zeros_like(at)
        for name, sides in books.items():
            sums = sides[side].within(at) if side in sides else np.zeros_like(at)
            label = name if side == "bid" or "bid" not in sides else None
            ax.fill_between(
                sign * at, below, below + sums, step="post" if sign > 0 else "pre", color=colours[name], alpha=0.75,
                lw=0, label=label,
            )  # fmt: skip
            below = below + sums
    ax.axvline(0, color=_INK, lw=1)
    ax.set_xlim(-reach, reach)
    # Room for the legend above the highest column.
    ax.set_ylim(0, ax.get_ylim()[1] * 1.15)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    ax.set_title(
        f"Depth of the books as received, {snap.currency}: bids left, asks right", loc="left", fontsize=10, color=_INK
    )
    ax.set_xlabel("distance from the price in bps; what stands on its far side counts at 0", fontsize=9)
    ax.legend(**_LEGEND, loc="upper center", ncols=len(books))
    _plain(ax)
    ax.grid(axis="y", color="#dddddd", lw=0.6)


def _tick(value: float) -> str:
    """Write a round amount, whichever way its axis goes."""
    return amount(abs(value)).replace(".0 ", " ")


def _reach(books: Mapping[str, Mapping[str, Curve]]) -> float:
    """Return the distance in bps within which 98 % of all that came lies, with a margin."""
    import numpy as np

    curves = [curve for sides in books.values() for curve in sides.values()]
    if not curves:
        return 1.0
    away = np.abs(np.concatenate([curve.away for curve in curves]))
    worth = np.concatenate([np.diff(curve.worth, prepend=0.0) for curve in curves])
    order = np.argsort(away)
    share = np.cumsum(worth[order]) / worth.sum()
    furthest = float(away[order][min(int(np.searchsorted(share, 0.98)), len(order) - 1)])
    return min(max(1.15 * furthest, 0.5), _FURTHEST_BPS)


def _draw_merged(ax: Axes, books: Mapping[str, Mapping[str, Curve]], reach: float, colours: Mapping[str, str]) -> None:
    import numpy as np

    at = np.linspace(-reach, reach, 2001)
    for side, sign in SIDES:
        below = np.zeros_like(at)
        for name, sides in books.items():
            if side not in sides:
                continue
            above = below - sign * sides[side].within(sign * at)
            ax.fill_between(at, below, above, color=colours[name], alpha=0.8, lw=0)
            below = above
        ax.plot(at, below, color=_INK, lw=1)


def _dress_merged(
    ax: Axes, snap: CrossExchangeData, reference: float, books: Mapping[str, Mapping[str, Curve]], reach: float
) -> None:
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter

    ax.axhline(0, color=_INK, lw=1)
    ax.axvline(0, color=_INK, lw=1, ls=":")
    ax.set_xlim(-reach, reach)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    ax.set_xlabel("distance from the price in bps", fontsize=9)
    ax.set_ylabel(f"asks   ←   sum in {snap.currency}   →   bids", fontsize=9)
    _plain(ax)
    ax.grid(color="#dddddd", lw=0.6)
    if not books:
        ax.set_title("No order books", loc="left", fontsize=10, color=_INK)
        return
    places = max(-math.floor(math.log10(reference * reach / 1e4 / 3)), 0)
    prices = ax.secondary_xaxis("top", functions=(_to_price(reference), _to_distance(reference)))
    prices.xaxis.set_major_formatter(FuncFormatter(lambda value, _: fixed(value, places)))
    prices.tick_params(colors=_INK, labelsize=9)
    prices.spines["top"].set_visible(False)
    prices.set_xlabel(f"price in {snap.currency}", fontsize=9)
    names = {name: _cut_text(sides) for name, sides in books.items()}
    colours = _colours(snap)
    ax.legend(
        handles=[Patch(color=colours[name], alpha=0.8, label=f"{name}{text}") for name, text in names.items()],
        **_LEGEND, loc="upper right",
    )  # fmt: skip
    _tell_crossing(ax, books)


def _to_price(reference: float) -> Callable[[Any], Any]:
    return lambda distance: reference * (1 + distance / 1e4)


def _to_distance(reference: float) -> Callable[[Any], Any]:
    return lambda price: 1e4 * (price / reference - 1)


def _cut_text(sides: Mapping[str, Curve]) -> str:
    """Say where a venue's book ends although there is more of it."""
    ends = [f"{sign * float(sides[side].away[-1]):+.0f}" for side, sign in SIDES if side in sides and sides[side].cut]
    return f", cut at {' and '.join(ends)} bps" if ends else ""


def _tell_crossing(ax: Axes, books: Mapping[str, Mapping[str, Curve]]) -> None:
    bids = {name: -float(sides["bid"].away[0]) for name, sides in books.items() if "bid" in sides}
    asks = {name: float(sides["ask"].away[0]) for name, sides in books.items() if "ask" in sides}
    if not bids or not asks:
        return
    buyer, seller = max(bids, key=lambda name: bids[name]), min(asks, key=lambda name: asks[name])
    if bids[buyer] > asks[seller]:
        ax.axvspan(asks[seller], bids[buyer], color=_INK, alpha=0.1, lw=0, zorder=0)
        text = f"grey: bids above asks\n{buyer} bids {bps(bids[buyer] - asks[seller])} bps\nmore than {seller} asks"
        ax.text(0.02, 0.04, text, transform=ax.transAxes, fontsize=9, color=_INK, va="bottom")
