"""Configuration: what a venue is reached with, and the environment, which is read only here."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.dataclasses import dataclass as checked
from pydantic_core import PydanticCustomError

from xex.errors import ConfigError, UnknownFeature
from xex.model.hosts import may_be_plain

DEFAULT_DEADLINE_S = 10.0
FEATURES = (
    "ticker", "order_book", "trades", "ohlcv", "liquidations", "whale_activity",
    "funding_rates", "open_interest", "long_short",
)  # fmt: skip


class ExchangeType(StrEnum):
    """The venues that xex knows; OKEX and HUOBI are their former names."""

    BINANCE = "binance"
    COINGLASS = "coinglass"
    OKX = "okx"
    HTX = "htx"
    BYBIT = "bybit"
    KRAKEN = "kraken"
    OKEX = "okx"
    HUOBI = "htx"


def _venue(value: object) -> object:
    if isinstance(value, ExchangeType):
        return value.value
    if isinstance(value, str):
        name = value.strip().lower()
        return {"okex": "okx", "huobi": "htx"}.get(name, name)
    return value


def _feature_names(value: object) -> object:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    return value


# Scheme, host (a name, or IPv6 in brackets), a port that is a number, a path.
_ADDRESS = r"^https?://(\[[0-9a-fA-F:.]+\]|[^/\s:@\[\]]+)(:\d{1,5})?(/\S*)?$"


def _unread(address: str) -> str:
    if not may_be_plain(address):
        raise PydanticCustomError("plain", "https:// is expected; plain http:// goes to this machine only, 127.0.0.1")
    return address


@checked(config=ConfigDict(validate_assignment=True, hide_input_in_errors=True, extra="forbid"))
class _Checked:
    exchange_id: Annotated[str, Field(min_length=1, pattern=r"^\S+$")]
    exchange_type: Annotated[str, BeforeValidator(_venue), Field(min_length=1)]
    api_key: SecretStr | None = Field(default=None, repr=False)
    secret_key: SecretStr | None = Field(default=None, repr=False)
    priority: Annotated[int, Field(ge=1)] = 1
    enabled: bool = True
    features: Annotated[list[str], BeforeValidator(_feature_names)] = Field(default_factory=list)
    passphrase: SecretStr | None = Field(default=None, repr=False)
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = DEFAULT_DEADLINE_S
    rate_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    base_url: Annotated[str, Field(pattern=_ADDRESS), AfterValidator(_unread)] | None = None
    proxy: Annotated[str, Field(pattern=r"^https?://")] | None = Field(default=None, repr=False)
    options: dict[str, Any] = Field(default_factory=dict, repr=False)
    futures_api_key: SecretStr | None = Field(default=None, repr=False, kw_only=True)
    futures_secret_key: SecretStr | None = Field(default=None, repr=False, kw_only=True)


class ExchangeConfig(_Checked):
    """How one exchange is reached and what it is asked.

    `exchange_type` is an `ExchangeType` or the name of an installed connector. `priority` 1 is the best.
    An empty `features` means all that the connector can do. `timeout_s` bounds one request, `rate_share`
    (0..1] is the part of the venue's published request budget that may be used, `base_url` is another host
    in front of the venue, reached over https unless it is this machine, `options` go to the ccxt class,
    `futures_api_key` and `futures_secret_key` are for a venue whose futures have keys of their own. Keys are never
    shown. The manager reads these very objects: what is changed takes effect at the next question. Raises
    `ConfigError`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        check_features(_feature_names(kwargs.get("features") or (args[6] if len(args) > 6 else [])))
        try:
            super().__init__(*args, **kwargs)
        except (ValidationError, TypeError) as exc:
            raise _config_error(exc) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _FIELDS and not name.startswith("__"):
            raise ConfigError(f"{name}: no such setting; settings are {', '.join(_FIELDS)}")
        if name == "features":
            check_features(_feature_names(value))
        try:
            super().__setattr__(name, value)
        except ValidationError as exc:
            raise _config_error(exc) from None

    @property
    def venue(self) -> str:
        """The exchange's name, whatever the id."""
        return self.exchange_type


_FIELDS = tuple(field.name for field in dataclasses.fields(_Checked))


def check_features(features: object) -> None:
    """Raise `UnknownFeature` for a name that is none."""
    for name in features if isinstance(features, (list, tuple, set)) else ():
        if name not in FEATURES:
            raise UnknownFeature(name, FEATURES)


def _config_error(exc: Exception) -> ConfigError:
    """Say field and reason only: the value may be a key."""
    if isinstance(exc, ValidationError):
        lines = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in exc.errors(include_input=False)]
        return ConfigError("; ".join(lines))
    return ConfigError(str(exc).replace("ExchangeConfig.__init__() ", ""))


@dataclasses.dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says, checked."""

    configs: tuple[ExchangeConfig, ...]
    deadline_s: float
    requests_per_second: float | None


_FORMER = {"okx": "OKEX", "htx": "HUOBI"}
_KEYS = {"_API_KEY": "api_key", "_SECRET_KEY": "secret_key", "_PASSPHRASE": "passphrase"}
_FUTURES = {"FUTURES_API_KEY": "futures_api_key", "FUTURES_SECRET_KEY": "futures_secret_key"}


def read_environment(venues: Iterable[str], environ: Mapping[str, str] | None = None) -> Environment:
    """Return a configuration for each of `venues`, and the process-wide limits, from the environment.

    With nothing set every venue is used without keys. Reads ``<VENUE>_API_KEY``, ``<VENUE>_SECRET_KEY``,
    ``<VENUE>_PASSPHRASE``, ``KRAKENFUTURES_API_KEY`` and ``_SECRET_KEY``, ``EXCHANGE_PRIORITY_<VENUE>`` (OKEX and
    HUOBI are accepted for OKX and HTX), ``EXCHANGE_TIMEOUT`` (seconds) and ``EXCHANGE_RATE_LIMIT`` (requests per
    second to any one venue). Raises `ConfigError` for what is no number, and where two names of one thing differ.
    """
    env = os.environ if environ is None else environ
    names = list(venues)
    configs = [_from_environment(name, env) for name in names]
    deadline = _number(env, "EXCHANGE_TIMEOUT")
    _check_priorities(names, env)
    return Environment(
        tuple(configs),
        DEFAULT_DEADLINE_S if deadline is None else deadline,
        _number(env, "EXCHANGE_RATE_LIMIT"),
    )


def recognised(venues: Iterable[str], environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the names, and no values, of what is set in the environment and means something to xex."""
    env = os.environ if environ is None else environ
    spellings = [name for venue in venues for name in _spellings(venue)]
    known = [name + suffix for name in spellings for suffix in (*_KEYS, *_FUTURES)]
    known += [f"EXCHANGE_PRIORITY_{name}" for name in spellings]
    return [name for name in (*known, "EXCHANGE_TIMEOUT", "EXCHANGE_RATE_LIMIT") if env.get(name, "").strip()]


_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def ignored_proxies(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the names, and no values, of the environment's proxies: others read them, and xex does not."""
    env = os.environ if environ is None else environ
    return [name for upper in _PROXIES for name in (upper, upper.lower()) if env.get(name, "").strip()]


def _from_environment(venue: str, env: Mapping[str, str]) -> ExchangeConfig:
    settings: dict[str, Any] = {}
    for suffix, field in (*_KEYS.items(), *_FUTURES.items()):
        value = _one_of([name + suffix for name in _spellings(venue)], env)
        if value is not None:
            settings[field] = value
    priorities = [f"EXCHANGE_PRIORITY_{name}" for name in _spellings(venue)]
    _one_of(priorities, env)
    for name in priorities:
        priority = _number(env, name)
        if priority is not None:
            if priority != int(priority):
                raise ConfigError(f"{name}: a whole number from 1 (best) is expected")
            settings["priority"] = int(priority)
    return ExchangeConfig(venue, venue, **settings)


def _spellings(venue: str) -> list[str]:
    """Return how a venue is written in the environment: its name and its former one."""
    return [name for name in (venue.upper().replace("-", "_"), _FORMER.get(venue, "")) if name]


def _one_of(names: Iterable[str], env: Mapping[str, str]) -> str | None:
    """Return what one of several names for the same thing says; two that differ are an error."""
    found = {name: env[name].strip() for name in names if env.get(name, "").strip()}
    if len(set(found.values())) > 1:
        raise ConfigError(f"{' and '.join(found)} are both set and differ; unset one")
    return next(iter(found.values()), None)


def _check_priorities(venues: Iterable[str], env: Mapping[str, str]) -> None:
    """Raise for a priority of a venue that there is none of: it would be ignored in silence."""
    prefix = "EXCHANGE_PRIORITY_"
    known = {name for venue in (*venues, *ExchangeType) for name in _spellings(str(venue))}
    for name in env:
        if name.startswith(prefix) and name[len(prefix) :] not in known and env[name].strip():
            raise ConfigError(f"{name}: no such venue; venues are {', '.join(sorted(known))}")


def _number(env: Mapping[str, str], name: str) -> float | None:
    text = env.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{name}: {text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise ConfigError(f"{name}: {text!r} is not a positive number")
    return value
