"""Everything xex raises.

::

    XexError
    ├── ConfigError              a bad setting; names the field, never a secret's value
    ├── SymbolError              what was asked for has no single meaning
    │   ├── UnknownSymbol        .nearest: what it may have been
    │   └── AmbiguousSymbol      .readings: what it may have meant
    ├── UnknownVenue             .known: the names there are
    ├── UnknownFeature           .known: the names there are
    ├── SchemaError              a frame lacks a column or holds the wrong kind of data
    ├── ReadOnlyError            something was to be changed or ordered where only reading is possible
    ├── UnitError                a unit rule was applied to data already in base units
    ├── LoopError                a manager was used from another event loop than its own
    ├── RecordingError           a recording is missing, unreadable or from another version
    ├── MissingExtra             an optional package is not installed; names the extra
    ├── NoVenueAnswered          .dropped: every venue's reason
    └── ConnectorError           one venue failed; .reason says how
        ├── Unreachable          no connection, or it broke
        ├── TimedOut             no answer in time
        ├── HttpError            a status code that is not an answer
        ├── RateLimited          told to slow down, or our own budget is spent; .retry_after
        ├── Banned               told to stay away; .retry_after
        ├── CircuitOpen          not asked: the endpoint kept failing; .retry_after
        ├── Overloaded           not asked: too many requests of ours wait for it already
        ├── Restricted           refused for this place or address
        ├── AuthRejected         a key was refused
        ├── Maintenance          the venue says that it is closed
        ├── VenueRefused         an error in the venue's own words
        ├── BadPayload           an answer that cannot be read or is not an answer
        │   ├── TooLarge         an answer that is larger than any honest one
        │   └── MissingRow       an answer without the row that was asked for
        ├── NotListed            the venue does not list this instrument
        └── NotRecorded          a replayed recording lacks the request
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Self


class Dropped(StrEnum):
    """Why a venue, or its row, is not in an answer."""

    # the venue did not answer
    LATE = "late"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    HTTP = "http_error"
    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    RESTRICTED = "restricted"
    AUTH = "auth"
    MAINTENANCE = "maintenance"
    REFUSED = "venue_error"
    BAD_PAYLOAD = "bad_payload"
    NOT_LISTED = "not_listed"
    NOT_RECORDED = "not_recorded"
    CIRCUIT_OPEN = "circuit_open"
    OVERLOADED = "overloaded"
    SPARED = "not_needed"
    INTERNAL = "internal"
    # the venue answered, its row is not used
    HALTED = "halted"
    NO_QUOTE = "no_quote"
    LAST_ONLY = "last_only"
    CROSSED = "crossed"
    WIDE = "wide"
    STALE = "stale"
    NO_RATE = "no_rate"
    OTHER_CURRENCY = "other_currency"
    DISAGREE = "disagree"
    OUTLIER = "outlier"
    SUSPECT = "suspect"
    UNIT_ERROR = "unit_error"
    DUPLICATE = "duplicate"


class Drop(str):
    """A reason that compares as its name and carries a sentence for people.

    >>> drop = Drop(Dropped.STALE, "the quote is 600 s old, the limit is 10 s")
    >>> drop == "stale", drop.detail
    (True, 'the quote is 600 s old, the limit is 10 s')
    """

    __slots__ = ("detail",)

    def __new__(cls, reason: str, detail: str = "") -> Self:
        """Make a reason; the text is the enumeration's name."""
        drop = super().__new__(cls, str(reason))
        drop.detail = detail
        return drop

    detail: str

    def __reduce__(self) -> tuple[type[Drop], tuple[str, str]]:
        return Drop, (str(self), self.detail)

    @property
    def text(self) -> str:
        """Reason and detail in one line."""
        return f"{self}: {self.detail}" if self.detail else str(self)


class XexError(Exception):
    """The root of every error that xex raises."""


class ConfigError(XexError, ValueError):
    """A setting is wrong."""


class SymbolError(XexError, ValueError):
    """A symbol has no single meaning."""


class UnknownSymbol(SymbolError):
    """No venue lists what was asked for."""

    def __init__(self, message: str, *, nearest: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.nearest = tuple(nearest)


class AmbiguousSymbol(SymbolError):
    """The text can be read in several ways."""

    def __init__(self, message: str, *, readings: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.readings = tuple(readings)


class UnknownVenue(XexError, ValueError):
    """There is no such venue or exchange id."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"unknown venue {str(name)!r}; known: {', '.join(self.known) or 'none'}")


class UnknownFeature(XexError, ValueError):
    """There is no such feature."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"unknown feature {str(name)!r}; features are: {', '.join(self.known)}")


class SchemaError(XexError, ValueError):
    """A frame or its columns do not fit the schema."""


class ReadOnlyError(XexError, AttributeError):
    """Something was to be changed or ordered where only reading is possible."""


class UnitError(XexError, ValueError):
    """A unit rule met data that is already in base units."""


class LoopError(XexError, RuntimeError):
    """A manager is bound to another event loop."""


class RecordingError(XexError):
    """A recording cannot be used."""


class MissingExtra(XexError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; it comes with: pip install 'xex[{extra}]'")
        self.extra = extra


class NoVenueAnswered(XexError):
    """Not one venue answered the question."""

    def __init__(self, message: str, dropped: Mapping[str, Drop]) -> None:
        super().__init__(message)
        self.dropped = dict(dropped)


class ConnectorError(XexError):
    """One venue failed; the others are not concerned. `sent` is False where nothing was asked of it at all."""

    reason = Dropped.INTERNAL

    def __init__(self, message: str, *, venue: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.venue = venue
        self.retry_after = retry_after
        self.sent = True

    @property
    def drop(self) -> Drop:
        """The reason as an answer keeps it."""
        return Drop(self.reason, str(self))


class Unreachable(ConnectorError):
    """No connection, or it broke before the whole answer came.

    `how` says what stood in the way, where that is known: "name" (it does not resolve), "network" (there is no way),
    "refused", "proxy" (the configured one), "certificate", "tls", "plain" (not asked: others could read along).
    """

    reason = Dropped.UNREACHABLE

    def __init__(self, message: str, *, venue: str = "", retry_after: float | None = None, how: str = "") -> None:
        super().__init__(message, venue=venue, retry_after=retry_after)
        self.how = how


class TimedOut(ConnectorError):
    """The venue took the request and did not answer in time."""

    reason = Dropped.TIMEOUT


class HttpError(ConnectorError):
    """The status code says that this is not an answer."""

    reason = Dropped.HTTP

    def __init__(self, message: str, *, venue: str = "", status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, venue=venue, retry_after=retry_after)
        self.status = status


class RateLimited(ConnectorError):
    """The venue asked to slow down, or its published budget is spent."""

    reason = Dropped.RATE_LIMITED


class Banned(RateLimited):
    """The venue asked to stay away for a while."""

    reason = Dropped.BANNED


class CircuitOpen(ConnectorError):
    """The endpoint kept failing, so it was not asked; `retry_after` says when it will be tried again."""

    reason = Dropped.CIRCUIT_OPEN


class Overloaded(ConnectorError):
    """Too many requests of ours wait for the venue already, so it was not asked."""

    reason = Dropped.OVERLOADED


class Restricted(ConnectorError):
    """The venue does not serve this place or address."""

    reason = Dropped.RESTRICTED


class AuthRejected(ConnectorError):
    """The venue did not accept the key."""

    reason = Dropped.AUTH


class Maintenance(ConnectorError):
    """The venue says that it is closed for now."""

    reason = Dropped.MAINTENANCE


class VenueRefused(ConnectorError):
    """The venue answered with an error of its own."""

    reason = Dropped.REFUSED


class BadPayload(ConnectorError):
    """The answer cannot be read, or lacks what every answer must have."""

    reason = Dropped.BAD_PAYLOAD


class TooLarge(BadPayload):
    """The answer is larger than any honest one; asking again would not make it smaller."""


class MissingRow(BadPayload):
    """An answer without the row that was asked for: of a market that is gone, or of a venue in disorder."""


class NotListed(ConnectorError):
    """The venue does not list the instrument."""

    reason = Dropped.NOT_LISTED


class NotRecorded(ConnectorError):
    """The recording that is being replayed lacks this request."""

    reason = Dropped.NOT_RECORDED
