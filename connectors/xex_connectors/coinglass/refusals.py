"""What went wrong: CoinGlass's codes as errors.

::

    ConnectorError
    ├── AuthRejected             the key is missing or wrong
    ├── RateLimited              more requests than the plan has in a minute
    ├── NotListed                the exchange has no such pair
    └── VenueRefused             any other code
        ├── PlanTooLow           .plan: the key's, .needs: the least that will do; "" where unknown
        │   └── IntervalNotInPlan   bars that short, or that old, come with a higher plan
        ├── BadParameter         .allowed: what it may be; also a ValueError
        ├── UnknownEndpoint      .nearest: what it may have been; also a ValueError
        └── ServerError          its own trouble, or a parameter that it did not understand
"""

from __future__ import annotations

from collections.abc import Iterable

from xex.errors import AuthRejected, ConnectorError, NotListed, RateLimited, VenueRefused

WINDOW_S = 60.0
"""Requests are counted by the minute."""


class PlanTooLow(VenueRefused):
    """The key is good, but its plan does not include the question."""

    def __init__(self, message: str, *, plan: str = "", needs: str = "", venue: str = "") -> None:
        super().__init__(message, venue=venue)
        self.plan, self.needs = plan, needs


class IntervalNotInPlan(PlanTooLow):
    """The plan includes the endpoint, but not bars so short or so old."""


class BadParameter(VenueRefused, ValueError):
    """A parameter is missing, unknown or has a value that cannot be."""

    def __init__(self, message: str, *, allowed: Iterable[str] = (), venue: str = "") -> None:
        super().__init__(message, venue=venue)
        self.allowed = tuple(allowed)


class UnknownEndpoint(VenueRefused, ValueError):
    """CoinGlass has no such path, or no such method is described here."""

    def __init__(self, message: str, *, nearest: Iterable[str] = (), venue: str = "") -> None:
        super().__init__(message, venue=venue)
        self.nearest = tuple(nearest)


class ServerError(VenueRefused):
    """Its own trouble; more often a parameter that it did not understand, so that asking again does not help."""


def refusal(code: str, words: str) -> ConnectorError:
    """Return the error that a code and its text mean; 30001 to 50001 are those of older versions.

    A plan that is too low has the code of a wrong key: the words tell them apart.
    """
    text, lower = f"code {code}: {' '.join(words.split())[:160]}", words.lower()
    if code == "403":
        return IntervalNotInPlan(f"{text}; the key's plan does not include this interval")
    if "upgrade" in lower:
        return PlanTooLow(f"{text}; the key's plan does not include this question")
    if code in {"401", "30001"} or (code == "400" and "api key" in lower):
        return AuthRejected(f"{text}; the key was not accepted")
    if code in {"429", "50001"}:
        return RateLimited(text, retry_after=WINDOW_S)
    return _about_the_question(code, text, lower)


def _about_the_question(code: str, text: str, lower: str) -> ConnectorError:
    if "does not exist on the exchange" in lower:
        return NotListed(text)
    if code in {"400", "422"}:
        return BadParameter(text)
    if code == "404":
        return UnknownEndpoint(text)
    if code == "408" or code.startswith("5"):
        return ServerError(f"{text}; its own trouble, or a parameter that it did not understand")
    return VenueRefused(text)
