"""What is traded, and how people and venues write it.

A symbol is written as ccxt writes it: ``BTC/USDT`` spot, ``BTC/USDT:USDT`` linear perpetual,
``BTC/USD:BTC`` inverse perpetual, ``BTC/USDT:USDT-261225`` dated. An id without a separator, ``BTCUSDT``,
means the linear perpetual. ``venue:ID`` is the venue's own id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from xex.errors import AmbiguousSymbol, SymbolError, UnknownSymbol
from xex.model.identity import asset

Kind = Literal["spot", "linear", "inverse"]
KINDS: tuple[Kind, ...] = ("spot", "linear", "inverse")
Section = Literal["spot", "linear", "inverse", "linear_dated", "inverse_dated"]
"""One list of a venue: spot, perpetuals of a kind, or contracts of a kind that expire."""
SECTIONS: tuple[Section, ...] = ("spot", "linear", "inverse", "linear_dated", "inverse_dated")

# Longest first: FDUSD before USD, USDT before USD.
QUOTES = ("FDUSD", "USDT", "USDC", "USD", "EUR", "GBP", "BTC", "ETH")
USD_LIKE = ("USDT", "USD", "USDC", "FDUSD")
STABLE = frozenset({"USD", "USDT", "USDC", "FDUSD", "DAI", "TUSD", "USDP", "EUR", "GBP"})
LONGEST = 64
_MARKETS: dict[str, Kind] = {
    "spot": "spot", "linear": "linear", "perp": "linear", "perpetual": "linear", "swap": "linear",
    "inverse": "inverse",
}  # fmt: skip
_UNIFIED = re.compile(r"^(?P<base>[A-Z0-9]+)/(?P<quote>[A-Z0-9]+)(:(?P<settle>[A-Z0-9]+)(-(?P<expiry>\d{6}))?)?$")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One thing that is traded, whichever venue trades it.

    How many units of `base` a venue's own unit holds (1000 for 1000PEPE) is that venue's way of writing;
    it stands in the venue's `Listings`, not here.
    """

    base: str
    quote: str
    kind: Kind
    settle: str = ""
    expiry: str = ""

    @property
    def symbol(self) -> str:
        """The unified symbol."""
        text = f"{self.base}/{self.quote}"
        if self.kind != "spot":
            text += f":{self.settle}"
        return f"{text}-{self.expiry}" if self.expiry else text

    @property
    def group(self) -> str:
        """The key of aggregates: same asset, same kind, same expiry, whatever the quote."""
        return group_key(self.base, self.kind, self.expiry)

    @property
    def section(self) -> Section:
        """The list in which venues keep it."""
        return section_of(self.kind, self.expiry)

    @property
    def description(self) -> str:
        """The symbol and what it means, for people."""
        if self.kind == "spot":
            return f"{self.symbol} (spot)"
        day = "-".join((f"20{self.expiry[:2]}", self.expiry[2:4], self.expiry[4:]))
        return f"{self.symbol} ({self.kind} {'future, expires ' + day if self.expiry else 'perpetual'})"

    def __str__(self) -> str:
        return self.symbol


def group_key(base: str, kind: str, expiry: str = "") -> str:
    """Return the key under which venues' rows are aggregated.

    >>> group_key("BTC", "linear"), group_key("BTC", "linear", "261225"), group_key("BTC", "spot")
    ('BTC:linear', 'BTC:linear:261225', 'BTC:spot')
    """
    return f"{base}:{kind}:{expiry}" if expiry else f"{base}:{kind}"


def section_of(kind: Kind, expiry: str = "") -> Section:
    """Return the section of a kind, its dated one where there is an expiry.

    >>> section_of("linear"), section_of("inverse", "261225")
    ('linear', 'inverse_dated')
    """
    if not expiry or kind == "spot":
        return kind
    return "linear_dated" if kind == "linear" else "inverse_dated"


def kind_of(section: Section) -> Kind:
    """Return the kind of a section's instruments."""
    return "linear" if section == "linear_dated" else "inverse" if section == "inverse_dated" else section


def settled(base: str, quote: str, kind: Kind) -> str:
    """Return the settlement currency that a kind implies."""
    return {"spot": "", "linear": quote, "inverse": base}[kind]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a symbol text asks for: an instrument, or a venue's own id."""

    text: str
    instrument: Instrument | None = None
    venue: str = ""
    native_id: str = ""


def split_pair(text: str, quotes: Sequence[str] = QUOTES) -> tuple[str, str] | None:
    """Split an id without separator into base and quote.

    >>> split_pair("BTCUSDT"), split_pair("BTCFDUSD"), split_pair("USDT")
    (('BTC', 'USDT'), ('BTC', 'FDUSD'), None)
    """
    for quote in quotes:
        if text.endswith(quote) and len(text) > len(quote):
            return text[: -len(quote)], quote
    return None


def parse_symbol(text: str, market: str | None = None, venues: Iterable[str] = ()) -> Ask:
    """Read a symbol as a person types it.

    `market` ("spot", "perp", "linear", "inverse") decides the kind where the text does not; where both
    speak and disagree, or the text has several readings, a `SymbolError` proposes what to write.

    >>> parse_symbol("btcusdt").instrument.symbol
    'BTC/USDT:USDT'
    >>> parse_symbol("BTCUSDT", market="spot").instrument.symbol
    'BTC/USDT'
    """
    if not hasattr(text, "encode") or not text.strip():  # text, not bytes
        raise SymbolError(f"a symbol is text such as 'BTCUSDT' or 'BTC/USDT', not {text!r}")
    wanted = _kind_of(market)
    clean = text.strip()
    if len(clean) > LONGEST:
        raise SymbolError(f"a symbol has at most {LONGEST} characters, not {len(clean)}: {clean[:20]!r}…")
    if len(clean.split()) > 1:
        raise SymbolError(f"{clean!r} has spaces inside; was {''.join(clean.split())!r} meant?")
    venue, colon, rest = clean.partition(":")
    if colon and "/" not in venue:
        return _native(clean, venue.lower(), rest, {name.lower() for name in venues})
    upper = clean.upper()
    if "/" in upper:
        return Ask(clean, _unified(clean, upper, wanted))
    if "-" in upper or "_" in upper:
        raise _hyphenated(clean, upper)
    pair = split_pair(upper)
    if pair is None:
        raise _without_quote(clean, upper)
    kind: Kind = wanted or "linear"
    return Ask(clean, _instrument(clean[: len(pair[0])], pair[1], kind))


def _instrument(base: str, quote: str, kind: Kind, expiry: str = "") -> Instrument:
    if kind == "inverse" and quote in USD_LIKE and quote != "USD":
        raise SymbolError(
            f"inverse contracts are quoted in USD: {base.upper()}USD or {base.upper()}/USD:{base.upper()}"
        )
    base, _ = asset(base, kind)
    return Instrument(base, quote, kind, settled(base, quote, kind), expiry)


def _without_quote(clean: str, upper: str) -> SymbolError:
    import difflib

    if split_pair(upper[:-1]):
        return UnknownSymbol(
            f"{clean!r} ends in no known quote currency; {upper[:-1]} was meant?", nearest=[upper[:-1]]
        )
    for size in (4, 3):
        same_size = [quote for quote in QUOTES if len(quote) == size]
        near = difflib.get_close_matches(upper[-size:], same_size, n=1, cutoff=0.6) if len(upper) > size + 1 else []
        if near:
            meant = f"{upper[:-size]}{near[0]}"
            return UnknownSymbol(f"{clean!r} ends in no known quote currency; {meant} was meant?", nearest=[meant])
    return SymbolError(
        f"{clean!r} names no quote currency; write {upper}USDT for the perpetual or {upper}/USDT for spot"
    )


def _kind_of(market: str | None) -> Kind | None:
    if market is None:
        return None
    try:
        return _MARKETS[market.lower()]
    except (KeyError, AttributeError):
        raise SymbolError(f"unknown market {market!r}; markets are: {', '.join(_MARKETS)}") from None


def _native(clean: str, venue: str, rest: str, venues: set[str]) -> Ask:
    if venues and venue not in venues:
        raise SymbolError(f"{clean!r}: {venue!r} is not a venue here; venues are: {', '.join(sorted(venues))}")
    if not rest:
        raise SymbolError(f"{clean!r} lacks the id after the venue; write for example {venue}:BTC-USDT-SWAP")
    return Ask(clean, venue=venue, native_id=rest)


def _unified(clean: str, upper: str, wanted: Kind | None) -> Instrument:
    found = _UNIFIED.match(upper)
    if not found:
        raise SymbolError(f"{clean!r} is not a symbol; write BASE/QUOTE for spot, BASE/QUOTE:SETTLE for derivatives")
    # In the letters as typed: kPEPE is a thousand PEPE, KPEPE is a coin of its own.
    base, quote, settle = clean[: len(found["base"])], found["quote"], found["settle"]
    if settle is None:
        # BTC/USDT with market="perp" is a question about the perpetual, plainly asked.
        return _instrument(base, quote, wanted or "spot")
    if settle not in {found["base"], quote}:
        raise SymbolError(f"{clean!r}: a contract settles in {quote} (linear) or {base} (inverse)")
    kind: Kind = "linear" if settle == quote else "inverse"
    if wanted and wanted != kind:
        raise SymbolError(f"{clean!r} is {kind}, but market={wanted!r} was asked for; leave one of them out")
    return _instrument(base, quote, kind, found["expiry"] or "")


def _hyphenated(clean: str, upper: str) -> AmbiguousSymbol:
    parts = re.split(r"[-_]", upper)
    pair = split_pair(parts[0])
    if pair and re.fullmatch(r"\d{6}", parts[1]):
        dated = f"{pair[0]}/{pair[1]}:{pair[1]}-{parts[1]}"
        return AmbiguousSymbol(f"{clean!r} is written differently on every venue; write {dated}", readings=[dated])
    base, quote = asset(parts[0], "spot")[0], parts[1]
    if quote not in QUOTES:
        own = f"{clean!r} is written as one venue does; write the venue before it, okx:{upper} for instance"
        return AmbiguousSymbol(f"{own}, or BASE/QUOTE for spot, BASE/QUOTE:QUOTE for the perpetual", readings=[])
    # The same hyphen is spot on one venue and a perpetual on another.
    readings = [f"okx:{parts[0]}-{quote}", f"htx:{parts[0]}-{quote}", f"{base}/{quote}", f"{base}/{quote}:{quote}"]
    return AmbiguousSymbol(
        f"{clean!r} is written differently on every venue; write a venue before it ({readings[0]}), "
        f"or {readings[2]} for spot, or {readings[3]} for the perpetual",
        readings=readings,
    )
