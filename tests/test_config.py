"""Configuration: every bad value is named by its field, every good one is kept, the environment is read as said."""

from __future__ import annotations

import math
from typing import Any

import pytest

from xex.config import DEFAULT_DEADLINE_S, FEATURES, ExchangeConfig, ExchangeType, read_environment
from xex.errors import ConfigError, UnknownFeature, XexError
from xex.manager import ExchangeManager

VENUES = ["binance", "bybit", "htx", "kraken", "okx"]


def config(**settings: Any) -> ExchangeConfig:
    return ExchangeConfig(**{"exchange_id": "mine", "exchange_type": "okx", **settings})


# --- what may be set ---------------------------------------------------------------------------------------------


def test_the_promised_order_of_positions_and_defaults() -> None:
    made = ExchangeConfig("a", ExchangeType.KRAKEN, "key", "secret", 2, False, ["ticker"])
    assert (made.exchange_id, made.exchange_type, made.priority, made.enabled) == ("a", "kraken", 2, False)
    assert made.api_key is not None
    assert made.secret_key is not None
    assert (made.api_key.get_secret_value(), made.secret_key.get_secret_value()) == ("key", "secret")
    assert made.features == ["ticker"]
    plain = ExchangeConfig("a", ExchangeType.BINANCE)
    assert (plain.api_key, plain.secret_key, plain.passphrase) == (None, None, None)
    assert (plain.priority, plain.enabled, plain.features) == (1, True, [])
    assert (plain.timeout_s, plain.rate_share, plain.base_url, plain.proxy, plain.options) == (
        DEFAULT_DEADLINE_S,
        1.0,
        None,
        None,
        {},
    )


def test_lists_and_dicts_are_each_one_s_own() -> None:
    first, second = config(), config()
    first.features.append("ticker")
    first.options["a"] = 1
    assert second.features == []
    assert second.options == {}


@pytest.mark.parametrize(
    ("given", "venue"),
    [
        (ExchangeType.OKX, "okx"),
        (ExchangeType.OKEX, "okx"),
        (ExchangeType.HUOBI, "htx"),
        ("OKEX", "okx"),
        ("Huobi", "htx"),
        (" binance ", "binance"),
        ("my-dex", "my-dex"),
    ],
)
def test_venues_go_by_their_names_of_today(given: str, venue: str) -> None:
    assert config(exchange_type=given).venue == venue
    assert config(exchange_type=given).exchange_type == venue


def test_the_types_of_old() -> None:
    assert {member.name for member in ExchangeType} == {"BINANCE", "COINGLASS", "OKX", "HTX", "BYBIT", "KRAKEN"}
    assert [ExchangeType[name].name for name in ("OKEX", "HUOBI")] == ["OKX", "HTX"]
    assert ExchangeType("binance") is ExchangeType.BINANCE


GOOD: list[tuple[str, Any]] = [
    ("priority", 1),
    ("priority", 99),
    ("enabled", False),
    ("features", list(FEATURES)),
    ("features", ["ticker", "ticker"]),
    ("timeout_s", 0.001),
    ("timeout_s", 3),
    ("rate_share", 1),
    ("rate_share", 0.01),
    ("base_url", "http://127.0.0.1:8080"),
    ("base_url", "http://localhost:8080/prefix"),
    ("base_url", "http://127.8.9.1"),
    ("base_url", "http://[::1]:8080"),
    ("base_url", "https://gateway.example/prefix/"),
    ("base_url", None),
    ("proxy", "http://proxy.example:3128"),
    ("options", {"defaultType": "swap"}),
    ("api_key", "k"),
    ("api_key", None),
    ("passphrase", "p"),
]


@pytest.mark.parametrize(("field", "value"), GOOD)
def test_good_values_are_kept(field: str, value: Any) -> None:
    shown = [getattr(config(**{field: value}), field)]
    made = config()
    setattr(made, field, value)
    shown.append(getattr(made, field))
    for kept in shown:
        assert (kept.get_secret_value() if hasattr(kept, "get_secret_value") else kept) == value


BAD: list[tuple[str, Any]] = [
    ("exchange_id", ""),
    ("exchange_id", "two words"),
    ("exchange_id", "line\nbreak"),
    ("exchange_id", None),
    ("exchange_id", 7),
    ("exchange_type", ""),
    ("exchange_type", "  "),
    ("exchange_type", None),
    ("exchange_type", 7),
    ("priority", 0),
    ("priority", -1),
    ("priority", 1.5),
    ("priority", "first"),
    ("priority", None),
    ("enabled", "perhaps"),
    ("enabled", None),
    ("enabled", 2),
    ("features", 7),
    ("features", [7]),
    ("features", {"ticker": True}),
    ("timeout_s", 0),
    ("timeout_s", -1),
    ("timeout_s", math.nan),
    ("timeout_s", math.inf),
    ("timeout_s", "soon"),
    ("timeout_s", None),
    ("rate_share", 0),
    ("rate_share", 1.01),
    ("rate_share", -0.5),
    ("rate_share", math.nan),
    ("base_url", "gateway.example"),
    ("base_url", "ftp://gateway.example"),
    ("base_url", "https://"),
    ("base_url", "https:// space"),
    ("base_url", "https://host:port"),
    ("base_url", 7),
    ("base_url", "http://gateway.example"),
    ("base_url", "http://127.0.0.1.gateway.example/"),
    ("base_url", "http://localhost.gateway.example"),
    ("base_url", "http://10.0.0.1:8080"),
    ("base_url", "http://[::2]:8080"),
    ("base_url", "http://0.0.0.0:8080"),
    ("proxy", "proxy.example:3128"),
    ("proxy", "socks5://proxy.example"),
    ("options", "defaultType=swap"),
    ("options", [1]),
    ("api_key", 7),
    ("passphrase", ["p"]),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_values_name_their_field(field: str, value: Any) -> None:
    with pytest.raises((ConfigError, UnknownFeature)) as caught:
        config(**{field: value})
    assert field.rstrip("s") in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert isinstance(caught.value, XexError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_assignments_name_their_field_and_change_nothing(field: str, value: Any) -> None:
    made = config(api_key="k", features=["ticker"])
    before = repr(made)
    with pytest.raises((ConfigError, UnknownFeature)) as caught:
        setattr(made, field, value)
    assert field.rstrip("s") in str(caught.value)
    assert repr(made) == before


def test_a_gateway_that_others_could_read_along_with_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError) as caught:
        config(base_url="http://gateway.example")
    assert str(caught.value) == ("base_url: https:// is expected; plain http:// goes to this machine only, 127.0.0.1")


def test_several_faults_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        config(priority=0, timeout_s=-1, base_url="x")
    for field in ("priority", "timeout_s", "base_url"):
        assert field in str(caught.value)


def test_missing_and_unknown_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="exchange_type"):
        ExchangeConfig("mine")
    with pytest.raises(ConfigError, match="exchange_id"):
        ExchangeConfig()
    with pytest.raises(ConfigError, match="apikey"):
        config(apikey="k")
    with pytest.raises(ConfigError, match=r"priorty.*priority"):
        config().priorty = 2
    with pytest.raises(ConfigError):
        ExchangeConfig("a", "okx", None, None, 1, True, [], None, 1.0, 1.0, None, None, {}, "one too many")


@pytest.mark.parametrize("feature", ["tickers", "", "TICKER", "orderbook"])
def test_an_unknown_feature_lists_the_known(feature: str) -> None:
    with pytest.raises(UnknownFeature) as caught:
        config(features=[feature])
    assert caught.value.known == tuple(FEATURES)
    assert all(name in str(caught.value) for name in FEATURES)
    with pytest.raises(UnknownFeature):
        ExchangeConfig("a", "okx", None, None, 1, True, [feature])


def test_one_feature_may_be_a_plain_word_and_none_means_all() -> None:
    assert config(features="ticker").features == ["ticker"]
    assert config(features=None).features == []
    assert ExchangeConfig("a", "okx", features=("ticker", "order_book")).features == ["ticker", "order_book"]


def test_features_are_those_that_were_promised() -> None:
    assert set(FEATURES) == {
        "ticker", "order_book", "trades", "ohlcv", "liquidations", "whale_activity", "funding_rates",
        "open_interest", "long_short",
    }  # fmt: skip


# --- the environment -----------------------------------------------------------------------------------------------


def keys_of(made: ExchangeConfig) -> tuple[str | None, ...]:
    return tuple(
        None if key is None else key.get_secret_value() for key in (made.api_key, made.secret_key, made.passphrase)
    )


def test_nothing_set_means_every_venue_without_keys() -> None:
    read = read_environment(VENUES, {})
    assert [made.exchange_id for made in read.configs] == VENUES
    assert [made.venue for made in read.configs] == VENUES
    assert all(keys_of(made) == (None, None, None) and made.priority == 1 for made in read.configs)
    assert (read.deadline_s, read.requests_per_second) == (DEFAULT_DEADLINE_S, None)


def test_everything_set() -> None:
    read = read_environment(
        ["binance", "okx"],
        {
            "BINANCE_API_KEY": "bk",
            "BINANCE_SECRET_KEY": "bs",
            "OKX_API_KEY": "ok",
            "OKX_SECRET_KEY": "os",
            "OKX_PASSPHRASE": "op",
            "EXCHANGE_PRIORITY_BINANCE": "3",
            "EXCHANGE_TIMEOUT": "2.5",
            "EXCHANGE_RATE_LIMIT": "7",
            "KRAKEN_API_KEY": "not asked for",
        },
    )
    binance, okx = read.configs
    assert keys_of(binance) == ("bk", "bs", None)
    assert keys_of(okx) == ("ok", "os", "op")
    assert (binance.priority, okx.priority) == (3, 1)
    assert (read.deadline_s, read.requests_per_second) == (2.5, 7.0)


@pytest.mark.parametrize(("venue", "former"), [("okx", "OKEX"), ("htx", "HUOBI")])
def test_former_names_are_read(venue: str, former: str) -> None:
    read = read_environment(
        [venue], {f"{former}_API_KEY": "k", f"{former}_SECRET_KEY": "s", f"{former}_PASSPHRASE": "p"}
    )
    assert keys_of(read.configs[0]) == ("k", "s", "p")
    both = read_environment([venue], {f"{former}_API_KEY": "k", f"{venue.upper()}_API_KEY": "k"})
    assert keys_of(both.configs[0]) == ("k", None, None)


def test_both_names_with_different_values_are_a_conflict() -> None:
    with pytest.raises(ConfigError) as caught:
        read_environment(["okx"], {"OKX_SECRET_KEY": "one-secret", "OKEX_SECRET_KEY": "two-secret"})
    text = str(caught.value)
    assert "OKX_SECRET_KEY" in text
    assert "OKEX_SECRET_KEY" in text
    assert "one-secret" not in text
    assert "two-secret" not in text


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_variable_is_none(empty: str) -> None:
    names = (
        "OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE", "EXCHANGE_TIMEOUT", "EXCHANGE_RATE_LIMIT",
        "EXCHANGE_PRIORITY_OKX",
    )  # fmt: skip
    read = read_environment(["okx"], dict.fromkeys(names, empty))
    assert keys_of(read.configs[0]) == (None, None, None)
    assert read == read_environment(["okx"], {})


def test_keys_are_read_without_the_line_s_blanks() -> None:
    """A key pasted with a newline is the same key; a signature made with it would be wrong."""
    read = read_environment(["okx"], {"OKX_API_KEY": " key\n", "OKX_SECRET_KEY": "secret\r\n"})
    assert keys_of(read.configs[0]) == ("key", "secret", None)


@pytest.mark.parametrize("name", ["EXCHANGE_TIMEOUT", "EXCHANGE_RATE_LIMIT", "EXCHANGE_PRIORITY_OKX"])
@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "-inf", "1,5", "1e400", "0x10", "ten"])
def test_bad_numbers_name_their_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_environment(["okx"], {name: value})
    assert name in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", ["1.5", "0.5", "2.0001"])
def test_a_priority_is_whole(value: str) -> None:
    with pytest.raises(ConfigError, match="EXCHANGE_PRIORITY_OKX"):
        read_environment(["okx"], {"EXCHANGE_PRIORITY_OKX": value})


@pytest.mark.parametrize(("value", "number"), [("5", 5.0), (" 5 ", 5.0), ("0.5", 0.5), ("1e1", 10.0)])
def test_good_numbers_are_read(value: str, number: float) -> None:
    assert read_environment([], {"EXCHANGE_TIMEOUT": value}).deadline_s == number


def test_the_manager_reads_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BINANCE", "OKX", "KRAKEN", "OKEX"):
        for suffix in ("_API_KEY", "_SECRET_KEY", "_PASSPHRASE"):
            monkeypatch.delenv(name + suffix, raising=False)
    monkeypatch.setenv("OKX_API_KEY", "from the process")
    monkeypatch.setenv("EXCHANGE_PRIORITY_KRAKEN", "4")
    monkeypatch.setenv("EXCHANGE_TIMEOUT", "1.25")
    manager = ExchangeManager.from_env(cache=False)
    assert {"binance", "kraken", "okx"} <= set(manager.exchange_configs)
    assert keys_of(manager.exchange_configs["okx"])[0] == "from the process"
    assert manager.exchange_configs["kraken"].priority == 4
    assert manager.deadline == 1.25
    assert ExchangeManager.from_env(cache=False, deadline=2).deadline == 2
    monkeypatch.setenv("EXCHANGE_TIMEOUT", "never")
    with pytest.raises(ConfigError, match="EXCHANGE_TIMEOUT"):
        ExchangeManager.from_env(cache=False)
