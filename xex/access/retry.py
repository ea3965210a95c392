"""What is asked a second time, when, and how often in all."""

from __future__ import annotations

from collections.abc import Callable
from math import isinf

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential
from tenacity.stop import stop_any, stop_base
from tenacity.wait import wait_base

from xex.access.deadline import remaining
from xex.errors import BadPayload, ConnectorError, HttpError, MissingRow, TooLarge, Unreachable
from xex.model.clock import monotonic

ATTEMPTS = 3
FIRST_S, MOST_S = 0.05, 1.0
"""Before the n-th new try it waits between 0 and `FIRST_S` times 2 to the n-1, `MOST_S` at most, all equally likely."""
UNASKED_S = 30.0
"""The longest wait where nobody said how long there is: a venue that asks for more is not waited for."""
RETRIED_STATUS = frozenset({408, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 530})


def may_pass(error: BaseException) -> bool:
    """Say whether asking again may help: never where a venue refused, asked to wait, or took all the time there was."""
    if isinstance(error, HttpError):
        return error.status in RETRIED_STATUS
    return isinstance(error, (Unreachable, BadPayload)) and not isinstance(error, (TooLarge, MissingRow))


class Allowance:
    """How many new tries a venue gets: a fifth of its first ones, and two a second beside.

    A venue that fails whatever it is asked is then asked hardly more often than one that answers: Finagle's retry
    budget, whose reserve is ten a second. Both parts are saved up, but not without end.
    """

    SHARE, PER_S, SAVED_S = 0.2, 2.0, 10.0

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._earned, self._given, self._at = 0.0, self.PER_S * self.SAVED_S, clock()

    def asked(self) -> None:
        """Note a first try."""
        self._earned = min(self._earned + self.SHARE, 100.0)

    def spend(self) -> bool:
        """Take one new try, False where there is none left."""
        now = self.clock()
        self._given = min(self._given + self.PER_S * (now - self._at), self.PER_S * self.SAVED_S)
        self._at = now
        if self._earned >= 1.0:
            self._earned -= 1.0
            return True
        if self._given >= 1.0:
            self._given -= 1.0
            return True
        return False


class Wait(wait_base):
    """Waits with full jitter (AWS, "Exponential Backoff And Jitter"), and at least as long as the venue asked for."""

    _jitter = wait_random_exponential(multiplier=FIRST_S, max=MOST_S)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds to wait."""
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        asked = error.retry_after if isinstance(error, ConnectorError) else None
        return max(self._jitter(retry_state), asked or 0.0)


class OutOfTime(stop_base):
    """Stops where the next wait would end after the caller's deadline, or is long and there is none."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Say whether to stop."""
        left = remaining()
        return retry_state.upcoming_sleep >= left or (isinf(left) and retry_state.upcoming_sleep > UNASKED_S)


class When(stop_base):
    """Stops when something else says so."""

    def __init__(self, said: Callable[[], bool]) -> None:
        self.said = said

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Say whether to stop."""
        del retry_state
        return self.said()


def retrying(allowance: Allowance, left_alone: Callable[[], bool]) -> AsyncRetrying:
    """Return the attempts of one request, the one that has failed already counted as the first.

    They end where the allowance is used up, and where the endpoint is `left_alone` meanwhile.
    """
    # In this order: an attempt that is not made must not be paid for.
    reasons = (OutOfTime(), When(left_alone), When(lambda: not allowance.spend()))
    return AsyncRetrying(
        retry=retry_if_exception(may_pass),
        wait=Wait(),
        stop=stop_any(stop_after_attempt(ATTEMPTS), *reasons),
        reraise=True,
    )
