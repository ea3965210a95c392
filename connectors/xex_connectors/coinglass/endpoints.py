"""What CoinGlass can be asked, as data: each market-data endpoint of API version 4 described once.

Parameters and columns are written in a small notation, read once at import. A parameter is `name`, with `*` where it is
required and `=a|b` where only these values are taken. A column is `name=key|other key`, where the names differ or a key
has two spellings, then `!` for what every row must have, `@` for a time, `$` for text, `[unit]`, and `<1:sell,2:buy>`
for numbers that stand for words; `{5m|1h}` stands for one column each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from xex.model.schema import NUMBER, TEXT, TIME

PLANS = ("hobbyist", "startup", "standard", "professional", "enterprise")
"""From the least to the most; each includes those before it."""
PER_MINUTE = {"hobbyist": 30, "startup": 80, "standard": 300, "professional": 1200}
"""Requests a minute that the plans are sold with; what the answers' headers say goes before it."""

MINUTES = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "6h": 360, "8h": 480, "12h": 720,
    "1d": 1440, "1w": 10_080,
}  # fmt: skip
LEAST_MINUTES = {"hobbyist": 240, "startup": 30}
"""The shortest interval of a plan, where an endpoint has intervals by plan; other plans have all."""
DEPTH_DAYS = {
    "hobbyist": {"4h": 180, "6h": 360, "8h": 360, "12h": 360},
    "startup": {"30m": 90, "1h": 180, "4h": 180, "6h": 360, "8h": 360, "12h": 360},
    "standard": {
        "1m": 6, "3m": 20, "5m": 30, "15m": 90, "30m": 180, "1h": 360, "4h": 360, "6h": 360, "8h": 360, "12h": 360,
    },
    "professional": {
        "1m": 12, "3m": 40, "5m": 60, "15m": 180, "30m": 360, "1h": 720, "4h": 720, "6h": 720, "8h": 720, "12h": 720,
    },
}  # fmt: skip
"""How far back a plan reaches, where an endpoint has intervals by plan; 1d and 1w go back to the beginning."""

EXCHANGES = (
    "OKX", "Binance", "HTX", "Bitmex", "Bitfinex", "Bybit", "Deribit", "Gate", "Kraken", "KuCoin", "CME", "Bitget",
    "dYdX", "CoinEx", "BingX", "Coinbase", "Gemini", "Crypto.com", "Hyperliquid", "Bitunix", "MEXC", "WhiteBIT",
    "Aster", "Lighter", "EdgeX", "Drift", "Paradex", "Extended", "ApeX Omni", "LBank", "tradeXYZ", "Bitstamp", "Upbit",
)  # fmt: skip
"""CoinGlass's spellings, futures and spot; new ones come, so that another name is let through."""
VENUES = {"gate.io": "gate", "huobi": "htx", "okex": "okx"}
"""Spellings that are not the venue's name in small letters."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column: where it stands in a row, what it holds, and its unit."""

    name: str
    sources: tuple[str, ...]
    dtype: str = NUMBER
    unit: str = ""
    words: Mapping[str, str] | None = None
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter; `allowed` is empty where any value may be right."""

    name: str
    required: bool = False
    allowed: tuple[str, ...] = ()


_FIELD = re.compile(
    r"(?P<name>\w+)(=(?P<keys>[\w.|]+))?(?P<needed>!)?(?P<kind>[@$])?(\[(?P<unit>[^]]*)\])?(<(?P<words>[^>]*)>)?"
)
_KINDS = {"@": TIME, "$": TEXT, None: NUMBER}
_UNITS = {
    r"percent": "%", r"ratio": "ratio", r"_usd|^usd|market_cap$": "USD", r"quantity": "coins", r"_count$": "count",
}  # fmt: skip
"""Units by name, the first that fits; what has another says so."""


def _unit(name: str) -> str:
    return next((unit for pattern, unit in _UNITS.items() if re.search(pattern, name)), "")


def _spread(text: str) -> Iterator[str]:
    """Yield the columns of a notation, one by one: `a_{1h|4h}` as `a_1h` and `a_4h`."""
    for token in re.findall(r"(?:\[[^]]*\]|<[^>]*>|[^\s\[<])+", text):
        found = re.search(r"\{([^}]*)\}", token)
        if found is None:
            yield token
        else:
            yield from (token.replace(found[0], part) for part in found[1].split("|"))


def fields_of(text: str) -> tuple[Field, ...]:
    """Read the notation of columns.

    >>> fields_of("side=order_side$<1:sell,2:buy>")[0].words
    {'1': 'sell', '2': 'buy'}
    """
    made = []
    for token in _spread(text):
        found = _FIELD.fullmatch(token)
        if found is None:
            raise ValueError(f"{token!r} is no column")
        name, dtype = found["name"], _KINDS[found["kind"]]
        unit = found["unit"] if found["unit"] is not None else "ms" if dtype == TIME else ""
        if dtype == NUMBER and found["unit"] is None:
            unit = _unit(name)
        words = dict(pair.split(":") for pair in found["words"].split(",")) if found["words"] else None
        keys = tuple((found["keys"] or name).split("|"))
        made.append(Field(name, keys, dtype, unit, words, found["needed"] is not None))
    return tuple(made)


def params_of(text: str) -> tuple[Param, ...]:
    """Read the notation of parameters.

    >>> params_of("range*=1d|7d")
    (Param(name='range', required=True, allowed=('1d', '7d')),)
    """
    made = []
    for token in text.split():
        name, _, values = token.partition("=")
        made.append(Param(name.rstrip("*"), name.endswith("*"), tuple(values.split("|")) if values else ()))
    return tuple(made)


@dataclass(frozen=True)
class Endpoint:
    """One endpoint. `takes` and `gives` are its parameters and columns in the notation above.

    `symbol` says what a symbol is here: a "coin" (BTC) or the exchange's own name of a "pair" (BTCUSDT). `gated` tells
    that plans differ in intervals and history, `keeps_days` how far back it goes for all of them, `history` the same in
    words where it is more than a number. `filters` are parameters that CoinGlass does not know, by which rows are
    chosen here. `most` is how many rows one answer has at most; `split` that a longer range is halved until each part
    has fewer, where rows are no bars, and `by` the column that tells such rows apart (time, where it is empty). `sums`
    are columns that are summed up from the start of each request.
    """

    path: str
    about: str
    takes: str
    gives: str
    shape: str = "rows"
    plan: str = "hobbyist"
    symbol: str = ""
    gated: bool = False
    filters: str = ""
    most: int = 1000
    split: bool = False
    by: str = ""
    sums: str = ""
    keeps_days: int = 0
    history: str = ""
    note: str = ""

    @cached_property
    def name(self) -> str:
        """The method that asks it: the path without what all have in common."""
        return re.sub(r"[/-]", "_", self.path.removeprefix("/api/").removeprefix("futures/"))

    @cached_property
    def params(self) -> tuple[Param, ...]:
        """What CoinGlass takes."""
        return params_of(self.takes)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """What the columns are made of."""
        return fields_of(self.gives)

    @cached_property
    def schema(self) -> dict[str, str]:
        """Columns and types of every answer, also of an empty one."""
        return {field.name: field.dtype for field in self.fields}

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The names of all parameters, those that choose rows here included."""
        return (*(param.name for param in self.params), *self.filters.split())

    @property
    def intervals(self) -> tuple[str, ...]:
        """The lengths of its bars, none where it has no bars."""
        return next((param.allowed for param in self.params if param.name == "interval"), ())

    @property
    def ranged(self) -> bool:
        """Whether it takes a range of time."""
        return "start_time" in self.known


STD = "|".join(MINUTES)
NO_WEEK = "|".join(name for name in MINUTES if name != "1w")
RANGE = "limit start_time end_time"
PAIR_BARS = f"exchange* symbol* interval*={STD} {RANGE}"
COIN_BARS = f"symbol* interval*={STD} {RANGE}"
LIST_BARS = f"exchange_list* symbol* interval*={STD} {RANGE}"
UNIT = "unit=usd|coin"
DEPTH = "range=0.25|0.5|0.75|1|2|3|5|10"
HEAT = "range*=12h|24h|3d|7d|30d|90d|180d|1y"
SPANS = "{5m|15m|30m|1h|4h|24h}"
SPANS_12H = "{5m|15m|30m|1h|4h|12h|24h}"
WEEK = "{5m|15m|30m|1h|4h|12h|24h|1w}"
SPOT_WEEK = "{1h|4h|12h|24h|1w}"

INTEREST = (
    "time!@ open[USD, or coins by `unit`] high[USD, or coins by `unit`] low[USD, or coins by `unit`]"
    " close[USD, or coins by `unit`]"
)
UNSURE = "time!@ open[unconfirmed] high[unconfirmed] low[unconfirmed] close[unconfirmed]"
RATES = "time!@ open[% an interval] high[% an interval] low[% an interval] close[% an interval]"
PRICES = "time!@ open[quote] high[quote] low[quote] close[quote] volume_usd"
LEVELS = "time!@ bids_usd bids_quantity asks_usd asks_quantity"
LEVELS_OF_ALL = (
    "time!@ bids_usd=aggregated_bids_usd bids_quantity=aggregated_bids_quantity"
    " asks_usd=aggregated_asks_usd asks_quantity=aggregated_asks_quantity"
)
TAKERS = "time!@ buy_volume_usd=taker_buy_volume_usd sell_volume_usd=taker_sell_volume_usd"
TAKERS_OF_ALL = (
    "time!@ buy_volume=aggregated_buy_volume_usd[USD, or coins by `unit`]"
    " sell_volume=aggregated_sell_volume_usd[USD, or coins by `unit`]"
)
DELTA = "time!@ buy_volume=taker_buy_vol[{u}] sell_volume=taker_sell_vol[{u}] cum_vol_delta[{u}]"
DELTA_OF_ALL = "time!@ buy_volume=agg_taker_buy_vol[{u}] sell_volume=agg_taker_sell_vol[{u}] cum_vol_delta[{u}]"
NET = (
    "time!@ net_long_change[coins] net_short_change[coins] net_long_change_cum[coins] net_short_change_cum[coins]"
    " net_position_change_cum[coins]"
)
NET_SUMS = "net_long_change_cum net_short_change_cum net_position_change_cum"
HEATMAP = "time!@ price![quote] value[USD] open[quote] high[quote] low[quote] close[quote] volume_usd"
MAP = "price![quote] value[USD] leverage[times]"
BOOK = "time!@ side!$ price![quote] quantity"
FOOTPRINT = (
    "time!@ price_from![quote] price_to[quote] buy_volume[coins] sell_volume[coins] buy_volume_quote[quote]"
    " sell_volume_quote[quote] buy_volume_usd sell_volume_usd buy_count sell_count"
)
ORDER = (
    "id!$ exchange=exchange_name$ symbol$ base_asset$ quote_asset$ price=limit_price|price[quote] start_time@"
    " start_quantity start_usd=start_usd_value current_quantity current_usd=current_usd_value current_time@"
    " executed_quantity=executed_volume executed_usd=executed_usd_value trade_count"
    " side=order_side$<1:sell,2:buy> state=order_state$<0:not started,1:open,2:finished,3:cancelled>"
    " end_time=order_end_time@"
)
ORDERS_OF_ALL_TIMES = "exchange* symbol* start_time* end_time* state*=1|2|3"
MARGINS = "symbol!$ margin!$ exchange!$"
PAIRS = "exchange!$ instrument_id!$ base_asset$ quote_asset$"
CHART = "time!@ price[USD] exchange!$ value[{u}]"
FLOW = "{5m|15m|30m|1h|2h|4h|6h|8h|12h|24h|3d|7d|15d|30d|40d|50d|60d|90d|120d}"
COIN_FLOW = "{5m|15m|30m|1h|4h|8h|12h|24h|3d|5d|7d|10d|15d|30d|40d|50d|60d|90d|120d|150d|180d|1y}"
NETFLOWS = (
    f"symbol!$ buy_volume_usd_{FLOW}=taker_buy_volume_usd_{FLOW} sell_volume_usd_{FLOW}=taker_sell_volume_usd_{FLOW}"
    f" net_flow_usd_{FLOW} market_cap"
)
NETFLOW = (
    f"symbol!$ buy_volume_usd_{COIN_FLOW}=taker_buy_volume_usd_{COIN_FLOW}"
    f" sell_volume_usd_{COIN_FLOW}=taker_sell_volume_usd_{COIN_FLOW} net_flow_usd_{COIN_FLOW}"
    f" net_flow_usd_change_percent_{COIN_FLOW} net_flow_usd_market_cap_ratio_{COIN_FLOW}"
    f"=net_flow_usd_{COIN_FLOW}_market_cap_ratio"
)
GROUP = (
    "group_name!$ all_address_count position_address_count position_address_percent bias_score bias_remark$"
    " minimum_amount[USD] maximum_amount[USD] long_position_usd short_position_usd long_position_usd_percent"
    " short_position_usd_percent position_usd profit_address_count loss_address_count profit_address_percent"
    " loss_address_percent"
)
POSITION = (
    "user!$ symbol$ position_size[coins, below 0 for short] entry_price[USD] mark_price[USD] liq_price[USD]"
    " leverage[times] margin_balance[USD] position_value_usd unrealized_pnl[USD] funding_fee[USD] margin_mode$"
    " create_time@ update_time@"
)
SUMMARY = " ".join(
    f"{short}{name}={long}_summary.{name}[USD]"
    for short, long in (("", "margin"), ("cross_", "cross_margin"))
    for name in ("account_value", "total_ntl_pos", "total_raw_usd", "total_margin_used")
)
WALLET = (
    f"coin$ {SUMMARY} cross_maintenance_margin_used[USD] withdrawable[USD] type$"
    " position_size=szi[coins, below 0 for short] leverage_type=leverage.type$ leverage=leverage.value[times]"
    " entry_price=entry_px[USD] position_value[USD]"
    " unrealized_pnl[USD] return_on_equity[fraction] max_leverage[times] funding_all_time=cum_funding.all_time[USD]"
    " funding_since_open=cum_funding.since_open[USD] funding_since_change=cum_funding.since_change[USD]"
)
OPTION_UNIT = "the asked `unit`"
BY_UNIT = "USD, or coins by `unit`"

ENDPOINTS = (
    # markets, instruments, price
    Endpoint("/api/futures/supported-coins", "Coins with futures.", "", "symbol!$", shape="words"),
    Endpoint("/api/futures/supported-exchanges", "Exchanges with futures.", "", "exchange!$", shape="words"),
    Endpoint(
        "/api/futures/supported-exchange-pairs", "Every contract of every exchange, by the exchange's own name.",
        "exchange",
        f"{PAIRS} settlement_currency$ max_leverage[times] funding_interval[h] price_tick_size[quote] onboard_date@",
        shape="by_exchange", note="a large answer; it changes once a minute at most",
    ),
    Endpoint(
        "/api/futures/delisted-exchange-pairs", "Contracts that are traded no more.", "", PAIRS, shape="by_exchange",
    ),
    Endpoint(
        "/api/futures/coins-markets", "Price, open interest, volume and liquidations by coin, over all exchanges.",
        "exchange_list per_page page",
        "symbol!$ current_price[USD] avg_funding_rate_by_oi[% an interval] avg_funding_rate_by_vol[% an interval]"
        " market_cap_usd open_interest_market_cap_ratio open_interest_usd open_interest_quantity"
        f" open_interest_volume_ratio price_change_percent_{SPANS_12H} open_interest_change_percent_{SPANS}"
        f" volume_change_percent_{SPANS} volume_change_usd_{{1h|4h|24h}} long_short_ratio_{SPANS_12H}"
        " liquidation_usd_{1h|4h|12h|24h} long_liquidation_usd_{1h|4h|12h|24h} short_liquidation_usd_{1h|4h|12h|24h}",
        plan="standard",
    ),
    Endpoint(
        "/api/futures/pairs-markets", "Price, volume, open interest and funding of each contract of a coin.", "symbol*",
        "instrument_id!$ exchange=exchange_name!$ symbol$ current_price[quote] index_price[quote]"
        " price_change_percent_24h volume_usd volume_usd_change_percent_24h long_volume_usd short_volume_usd"
        " long_volume_quantity[count] short_volume_quantity[count] open_interest_quantity open_interest_usd"
        " open_interest_change_percent_24h long_liquidation_usd_24h short_liquidation_usd_24h"
        " funding_rate[% an interval] next_funding_time@"
        " open_interest_volume_ratio=open_interest_volume_radio|open_interest_volume_ratio"
        " oi_vol_ratio_change_percent_24h",
        symbol="coin", note="a multiplied contract (1000PEPE) stands under its own name alone",
    ),
    Endpoint(
        "/api/futures/coins-price-change", "How far each coin's price moved, and in what band.", "",
        f"symbol!$ current_price[USD] price_change_percent_{SPANS_12H} price_amplitude_percent_{SPANS_12H}",
        plan="standard",
    ),
    Endpoint("/api/futures/price/history", "Bars of a contract's price.", PAIR_BARS.replace("limit", "limit*"), PRICES,
             symbol="pair", gated=True),
    Endpoint(
        "/api/futures/exchange-rank", "Exchanges by open interest, volume and liquidations.", "",
        "exchange!$ open_interest_usd volume_usd liquidation_usd_24h",
    ),
    # open interest
    Endpoint(
        "/api/futures/open-interest/history", "Bars of a contract's open interest.", f"{PAIR_BARS} {UNIT}", INTEREST,
        symbol="pair", gated=True,
    ),
    Endpoint(
        "/api/futures/open-interest/aggregated-history", "Bars of a coin's open interest on all exchanges.",
        f"{COIN_BARS} {UNIT}", INTEREST, symbol="coin", gated=True,
    ),
    Endpoint(
        "/api/futures/open-interest/aggregated-stablecoin-history",
        "Bars of a coin's open interest in contracts that settle in stablecoins.", LIST_BARS, UNSURE,
        symbol="coin", gated=True, note="dollars or coins: a recorded answer has coins",
    ),
    Endpoint(
        "/api/futures/open-interest/aggregated-coin-margin-history",
        "Bars of a coin's open interest in contracts that settle in coins.", LIST_BARS, UNSURE,
        symbol="coin", gated=True, note="dollars or coins: nobody says",
    ),
    Endpoint(
        "/api/futures/open-interest/exchange-list", "A coin's open interest by exchange; All is their sum.",
        "symbol*",
        "exchange!$ symbol$ open_interest_usd open_interest_quantity"
        " open_interest_by_stable_coin_margin[USD] open_interest_by_coin_margin[USD]"
        " open_interest_quantity_by_coin_margin open_interest_quantity_by_stable_coin_margin"
        f" open_interest_change_percent_{SPANS}",
        symbol="coin",
    ),
    Endpoint(
        "/api/futures/open-interest/exchange-history-chart", "A coin's open interest over time, by exchange.",
        f"symbol* range*=all|1m|15m|1h|4h|12h {UNIT}", CHART.format(u=BY_UNIT), shape="chart", symbol="coin",
        note="`range` is the step, not the span",
    ),
    # funding
    Endpoint("/api/futures/funding-rate/history", "Bars of a contract's funding rate.", PAIR_BARS, RATES,
             symbol="pair", gated=True),
    Endpoint("/api/futures/funding-rate/oi-weight-history", "Bars of a coin's funding rate, weighted by open interest.",
             COIN_BARS, RATES, symbol="coin", gated=True),
    Endpoint("/api/futures/funding-rate/vol-weight-history", "Bars of a coin's funding rate, weighted by volume.",
             COIN_BARS, RATES, symbol="coin", gated=True),
    Endpoint(
        "/api/futures/funding-rate/exchange-list", "The coming funding rate of each coin, by exchange and margin.", "",
        f"{MARGINS} funding_rate[% an interval] funding_interval_hours=funding_rate_interval[h] next_funding_time@",
        shape="margins", filters="symbol exchange", note="all coins come in one answer; it changes every 20 s",
    ),
    Endpoint(
        "/api/futures/funding-rate/accumulated-exchange-list", "What funding added up to, by exchange and margin.",
        "range*=1d|7d|30d|365d", f"{MARGINS} funding_rate[% of the range]", shape="margins", filters="symbol exchange",
    ),
    Endpoint(
        "/api/futures/funding-rate/arbitrage", "Pairs of exchanges whose funding rates differ.", "usd* exchange_list",
        "symbol!$ buy_exchange=buy.exchange$ buy_open_interest_usd=buy.open_interest_usd"
        " buy_funding_interval_hours=buy.funding_rate_interval[h] buy_funding_rate=buy.funding_rate[% an interval]"
        " sell_exchange=sell.exchange$ sell_open_interest_usd=sell.open_interest_usd"
        " sell_funding_interval_hours=sell.funding_rate_interval[h] sell_funding_rate=sell.funding_rate[% an interval]"
        " apr[%] funding[%] fee[%] spread[%] next_funding_time@",
        plan="startup",
    ),
    # liquidations
    Endpoint(
        "/api/futures/liquidation/history", "Bars of what was liquidated of a contract, by position.", PAIR_BARS,
        "time!@ long_liquidation_usd short_liquidation_usd", symbol="pair", gated=True,
    ),
    Endpoint(
        "/api/futures/liquidation/aggregated-history", "Bars of what was liquidated of a coin, by position.", LIST_BARS,
        "time!@ long_liquidation_usd=aggregated_long_liquidation_usd"
        " short_liquidation_usd=aggregated_short_liquidation_usd",
        symbol="coin", gated=True,
    ),
    Endpoint(
        "/api/futures/liquidation/coin-list", "What was liquidated on an exchange, by coin.", "exchange*",
        "symbol!$ liquidation_usd_{24h|12h|4h|1h} long_liquidation_usd_{24h|12h|4h|1h}"
        " short_liquidation_usd_{24h|12h|4h|1h}",
        note="documented from Startup on, answered to Hobbyist too",
    ),
    Endpoint(
        "/api/futures/liquidation/exchange-list", "What was liquidated of a coin, or of all, by exchange.",
        "symbol range*=1h|4h|12h|24h",
        "exchange!$ liquidation_usd long_liquidation_usd=long_liquidation_usd|longLiquidation_usd"
        " short_liquidation_usd=short_liquidation_usd|shortLiquidation_usd",
        symbol="coin",
    ),
    Endpoint(
        "/api/futures/liquidation/order", "Single liquidations of a coin on an exchange.",
        "exchange* symbol* min_liquidation_amount* start_time end_time",
        "time!@ exchange=exchange_name$ symbol$ base_asset$ price[quote] usd_value[USD] side[1 or 2, as sent]",
        plan="standard", symbol="coin", most=200, split=True, keeps_days=7,
        note="documentation and practice disagree on what `side` means: see `reconciled`",
    ),
    Endpoint(
        "/api/futures/liquidation/map", "Where a contract's positions would be liquidated, by leverage.",
        "exchange* symbol* range*=1d|7d|30d", MAP, shape="map", plan="professional", symbol="pair",
    ),
    Endpoint(
        "/api/futures/liquidation/aggregated-map", "Where a coin's positions would be liquidated.",
        "symbol* range*=1d|7d|30d", MAP, shape="map", plan="professional", symbol="coin",
    ),
    *(
        Endpoint(
            f"/api/futures/liquidation/heatmap/model{model}",
            f"Where a contract's liquidations would be over time, model {model}.", f"exchange* symbol* {HEAT}", HEATMAP,
            shape="heatmap", plan="professional", symbol="pair",
        )
        for model in (1, 2, 3)
    ),
    *(
        Endpoint(
            f"/api/futures/liquidation/aggregated-heatmap/model{model}",
            f"Where a coin's liquidations would be over time, model {model}.", f"symbol* {HEAT}", HEATMAP,
            shape="heatmap", plan="professional", symbol="coin",
        )
        for model in (1, 2, 3)
    ),
    Endpoint(
        "/api/futures/liquidation/max-pain", "Prices at which most would be liquidated, by coin.",
        "range=12h|24h|48h|3d|7d|14d|30d",
        "symbol!$ price[USD] long_max_pain_liq_level[USD] long_max_pain_liq_price[USD]"
        " short_max_pain_liq_level[USD] short_max_pain_liq_price[USD]",
        plan="professional", note="in the documentation's sample long pain lies above the price: look before use",
    ),
    # long and short
    *(
        Endpoint(
            f"/api/futures/{path}/history", about, PAIR_BARS,
            f"time!@ long_percent={key}_long_percent short_percent={key}_short_percent"
            f" long_short_ratio={key}_long_short_ratio",
            symbol="pair", gated=True,
        )
        for path, key, about in (
            ("global-long-short-account-ratio", "global_account", "Bars of how all accounts are long and short."),
            ("top-long-short-account-ratio", "top_account", "Bars of how the largest accounts are long and short."),
            ("top-long-short-position-ratio", "top_position", "Bars of how the largest positions are long and short."),
        )
    ),
    Endpoint(
        "/api/futures/taker-buy-sell-volume/exchange-list", "What takers bought and sold of a coin, by exchange.",
        "symbol* range*=5m|15m|30m|1h|4h|12h|24h",
        "exchange!$ symbol$ buy_ratio[%] sell_ratio[%] buy_volume_usd=buy_vol_usd sell_volume_usd=sell_vol_usd",
        shape="totals", symbol="coin", note="the exchange All is their sum",
    ),
    Endpoint(
        "/api/futures/net-position/history", "Bars of how longs and shorts of a contract grow.",
        f"exchange* symbol* interval*={NO_WEEK} {RANGE}", NET, plan="startup", symbol="pair", sums=NET_SUMS,
    ),
    Endpoint("/api/futures/v2/net-position/history", "Bars of how longs and shorts of a contract grow, second version.",
             PAIR_BARS, NET, plan="startup", symbol="pair", sums=NET_SUMS),
    # order books
    Endpoint("/api/futures/orderbook/ask-bids-history", "Bars of what is bid and asked within some % of the price.",
             f"{PAIR_BARS} {DEPTH}", LEVELS, symbol="pair", gated=True, note="`range` is the % either side"),
    Endpoint("/api/futures/orderbook/aggregated-ask-bids-history",
             "Bars of what is bid and asked of a coin within some % of the price.", f"{LIST_BARS} {DEPTH}",
             LEVELS_OF_ALL, symbol="coin", gated=True, note="`exchange_list` may be ALL"),
    Endpoint(
        "/api/futures/orderbook/history", "A contract's order book over time.",
        f"exchange* symbol* interval*={NO_WEEK} limit* start_time end_time", BOOK, shape="book", plan="standard",
        symbol="pair", most=100, history="1m 3 d, 5m 15 d, others 150 d",
        note="which side is which is told by the prices, and unknown where they do not tell",
    ),
    Endpoint("/api/futures/orderbook/large-limit-order", "Large orders that stand in a contract's book.",
             "exchange* symbol*", ORDER, plan="standard", symbol="pair"),
    Endpoint("/api/futures/orderbook/large-limit-order-history", "Large orders that stood in a contract's book.",
             ORDERS_OF_ALL_TIMES, ORDER, plan="standard", symbol="pair", split=True, by="id",
             note="`state`: 1 open, 2 finished, 3 cancelled"),
    # flows
    Endpoint("/api/futures/v2/taker-buy-sell-volume/history", "Bars of what takers bought and sold of a contract.",
             PAIR_BARS, TAKERS, symbol="pair", gated=True),
    Endpoint("/api/futures/aggregated-taker-buy-sell-volume/history", "Bars of what takers bought and sold of a coin.",
             f"{LIST_BARS} {UNIT}", TAKERS_OF_ALL, symbol="coin", gated=True),
    Endpoint("/api/futures/volume/footprint-history", "Bars of trades of a contract by price.", PAIR_BARS, FOOTPRINT,
             shape="footprint", plan="professional", symbol="pair", keeps_days=90,
             note="Binance, OKX, Bybit and Hyperliquid"),
    Endpoint("/api/futures/cvd/history", "Bars of a contract's cumulative volume delta.", PAIR_BARS,
             DELTA.format(u="USD"), plan="startup", symbol="pair", sums="cum_vol_delta",
             note="the delta is summed up from the start of the range"),
    Endpoint("/api/futures/aggregated-cvd/history", "Bars of a coin's cumulative volume delta.", f"{LIST_BARS} {UNIT}",
             DELTA_OF_ALL.format(u=BY_UNIT), plan="startup", symbol="coin", sums="cum_vol_delta", most=4500,
             note="the delta is summed up from the start of the range"),
    Endpoint("/api/futures/netflow-list", "What takers bought and sold, by coin.", "per_page page", NETFLOWS,
             plan="startup"),
    Endpoint("/api/futures/coin/netflow", "What takers bought and sold of a coin.", "symbol* exchange_list*", NETFLOW,
             plan="startup", symbol="coin"),
    # Hyperliquid
    Endpoint(
        "/api/hyperliquid/whale-alert", "Positions above 1 M USD that were opened or closed just now.", "",
        "user!$ symbol$ position_size[coins, below 0 for short] entry_price[USD] liq_price[USD] position_value_usd"
        " action=position_action$<1:open,2:close> create_time@",
        plan="startup",
    ),
    Endpoint("/api/hyperliquid/whale-position", "The largest positions.", "", POSITION, plan="startup"),
    Endpoint("/api/hyperliquid/position", "Positions in a coin, a page at a time.", "symbol* current_page",
             f"{POSITION} total_pages[count] current_page[count]", shape="paged", plan="standard", symbol="coin"),
    Endpoint("/api/hyperliquid/user-position", "A wallet's account and positions.", "user_address*", WALLET,
             shape="wallet", plan="startup", note="one row without a coin where it holds no position"),
    Endpoint(
        "/api/hyperliquid/global-long-short-account-ratio/history",
        "Bars of how accounts are long and short in a coin.",
        f"symbol* interval*=5m|1h|1d {RANGE}",
        "time!@ long_count=global_account_long_count short_count=global_account_short_count"
        " total_count=global_account_total_count long_percent=global_account_long_percent"
        " short_percent=global_account_short_percent long_short_ratio=global_account_long_short_ratio",
        plan="standard", symbol="coin",
    ),
    Endpoint("/api/hyperliquid/wallet/position-distribution", "Wallets by the size of what they hold.", "", GROUP,
             plan="standard"),
    Endpoint("/api/hyperliquid/wallet/pnl-distribution", "Wallets by what they have won or lost.", "", GROUP,
             plan="standard"),
    # spot
    Endpoint("/api/spot/supported-coins", "Coins with spot markets.", "", "symbol!$", shape="words"),
    Endpoint("/api/spot/supported-exchange-pairs", "Every spot pair of every exchange, by the exchange's own name.", "",
             PAIRS, shape="by_exchange"),
    Endpoint(
        "/api/spot/coins-markets", "Price and volume by coin, over all exchanges.", "per_page page",
        f"symbol!$ current_price[USD] market_cap price_change_{WEEK}[USD] price_change_percent_{WEEK}"
        f" volume_usd_{WEEK} volume_change_usd_{WEEK} volume_change_percent_{WEEK} buy_volume_usd_{WEEK}"
        f" sell_volume_usd_{WEEK} volume_flow_usd_{WEEK}",
        plan="standard",
    ),
    Endpoint(
        "/api/spot/pairs-markets", "Price and volume of each pair of a coin.", "symbol*",
        f"symbol!$ exchange=exchange_name!$ current_price[quote] price_change_{SPOT_WEEK}[quote]"
        f" price_change_percent_{SPOT_WEEK} volume_usd_{SPOT_WEEK} buy_volume_usd_{SPOT_WEEK}"
        f" sell_volume_usd_{SPOT_WEEK}"
        f" volume_change_usd_{SPOT_WEEK}=volume_change_usd_{SPOT_WEEK}|volume_change_{SPOT_WEEK}"
        f" volume_change_percent_{SPOT_WEEK} net_flows_usd_{SPOT_WEEK}",
        symbol="coin",
    ),
    Endpoint("/api/spot/price/history", "Bars of a pair's price.", PAIR_BARS, PRICES, symbol="pair", gated=True),
    Endpoint("/api/spot/orderbook/ask-bids-history", "Bars of what is bid and asked within some % of the price.",
             f"{PAIR_BARS} {DEPTH}", LEVELS, symbol="pair", gated=True, note="`range` is the % either side"),
    Endpoint("/api/spot/orderbook/aggregated-ask-bids-history",
             "Bars of what is bid and asked of a coin within some % of the price.", f"{LIST_BARS} {DEPTH}",
             LEVELS_OF_ALL, symbol="coin", gated=True),
    Endpoint(
        "/api/spot/orderbook/history", "A pair's order book over time.",
        f"exchange* symbol* interval*={NO_WEEK} limit start_time end_time", BOOK, shape="book", plan="standard",
        symbol="pair", most=100,
        note="which side is which is told by the prices, and unknown where they do not tell",
    ),
    Endpoint("/api/spot/orderbook/large-limit-order", "Large orders that stand in a pair's book.", "exchange* symbol*",
             ORDER, plan="standard", symbol="pair"),
    Endpoint("/api/spot/orderbook/large-limit-order-history", "Large orders that stood in a pair's book.",
             ORDERS_OF_ALL_TIMES, ORDER, plan="standard", symbol="pair", split=True, by="id",
             note="`state`: 1 open, 2 finished, 3 cancelled"),
    Endpoint("/api/spot/taker-buy-sell-volume/history", "Bars of what takers bought and sold of a pair.", PAIR_BARS,
             TAKERS, symbol="pair", gated=True),
    Endpoint("/api/spot/aggregated-taker-buy-sell-volume/history", "Bars of what takers bought and sold of a coin.",
             f"{LIST_BARS} {UNIT}", TAKERS_OF_ALL, symbol="coin", gated=True),
    Endpoint("/api/spot/cvd/history", "Bars of a pair's cumulative volume delta.", f"{PAIR_BARS} {UNIT}",
             DELTA.format(u=BY_UNIT), plan="startup", symbol="pair", sums="cum_vol_delta",
             note="the delta is summed up from the start of the range"),
    Endpoint("/api/spot/aggregated-cvd/history", "Bars of a coin's cumulative volume delta.",
             f"exchange_list* symbol* interval*={STD}", DELTA_OF_ALL.format(u="USD"), plan="startup", symbol="coin"),
    Endpoint("/api/spot/volume/footprint-history", "Bars of trades of a pair by price.", PAIR_BARS, FOOTPRINT,
             shape="footprint", plan="professional", symbol="pair"),
    Endpoint("/api/spot/netflow-list", "What takers bought and sold, by coin.", "per_page page", NETFLOWS,
             plan="startup"),
    Endpoint("/api/spot/coin/netflow", "What takers bought and sold of a coin.", "symbol* exchange_list*", NETFLOW,
             plan="startup", symbol="coin"),
    # options, basis, premium, borrowing
    Endpoint(
        "/api/option/max-pain", "Options by expiry: what is open, and the price that hurts most.", "symbol* exchange*",
        "date!$[YYMMDD] max_pain_price[USD] call_open_interest[contracts] put_open_interest[contracts]"
        " call_open_interest_notional[USD] put_open_interest_notional[USD] call_open_interest_market_value[USD]"
        " put_open_interest_market_value[USD]",
        symbol="coin",
    ),
    Endpoint(
        "/api/option/info", "A coin's options by exchange; the exchange All is their sum.", "symbol*",
        "exchange=exchange_name!$ open_interest[contracts] oi_market_share[%] open_interest_change_24h[%]"
        " open_interest_usd volume_usd_24h volume_change_percent_24h",
        symbol="coin",
    ),
    Endpoint("/api/option/exchange-oi-history", "What is open in a coin's options over time, by exchange.",
             "symbol* unit* range*=1h|4h|12h|all", CHART.format(u=OPTION_UNIT), shape="chart", symbol="coin",
             note="`unit` is USD or the coin"),
    Endpoint("/api/option/exchange-vol-history", "The volume of a coin's options over time, by exchange.",
             "symbol* unit*", CHART.format(u=OPTION_UNIT), shape="chart", symbol="coin",
             note="`unit` is USD or the coin"),
    Endpoint("/api/futures/basis/history", "Bars of a contract's basis.", PAIR_BARS,
             "time!@ open_basis[%] close_basis[%] open_change[%] close_change[%]", symbol="pair", gated=True),
    Endpoint("/api/coinbase-premium-index", "Bars of Coinbase's premium.", f"interval*={STD} {RANGE}",
             "time!@ premium[USD] premium_rate[%]", gated=True,
             note="the page writes a rate of 0.0261 as 2.61 %, other pages' rates are percent: unconfirmed"),
    Endpoint("/api/bitfinex-margin-long-short", "Bars of Bitfinex's margin positions.",
             f"symbol*=BTC|ETH interval*={STD} {RANGE}", "time!@ long_quantity short_quantity", symbol="coin",
             gated=True),
    Endpoint("/api/borrow-interest-rate/history", "Bars of what borrowing a coin costs.",
             f"exchange* symbol* interval*={STD} {RANGE}", "time!@ interest_rate[a day]", symbol="coin",
             note="Binance, OKX and Bybit"),
)  # fmt: skip
"""Every market-data endpoint of futures, spot, options and Hyperliquid."""

_OTHERS = {
    "hobbyist": """
        user/account/subscription etf/bitcoin/list hk-etf/bitcoin/flow-history etf/bitcoin/net-assets/history
        etf/bitcoin/flow-history etf/bitcoin/premium-discount/history etf/bitcoin/history etf/bitcoin/price/history
        etf/bitcoin/detail etf/bitcoin/aum etf/ethereum/net-assets/history etf/ethereum/list etf/ethereum/flow-history
        grayscale/holdings-list grayscale/premium-history etf/solana/flow-history etf/xrp/flow-history
        futures/cgdi-index/history futures/cdri-index/history index/ahr999 bull-market-peak-indicator
        index/puell-multiple index/stock-flow index/pi-cycle-indicator index/golden-ratio-multiplier
        index/bitcoin/profitable-days index/bitcoin/rainbow-chart index/fear-greed-history
        index/stableCoin-marketCap-history index/bitcoin/bubble-index index/2-year-ma-multiplier
        index/200-week-moving-average-heatmap exchange/assets exchange/balance/list exchange/balance/chart
        exchange/chain/tx/list""",
    "startup": """
        futures/indicators/rsi futures/indicators/ma futures/indicators/ema futures/indicators/boll
        futures/indicators/macd futures/whale-index/history futures/indicators/avg-true-range index/altcoin-season
        index/bitcoin-sth-sopr index/bitcoin-lth-sopr index/bitcoin-sth-realized-price index/bitcoin-lth-realized-price
        index/bitcoin-short-term-holder-supply index/bitcoin-long-term-holder-supply index/bitcoin-rhodl-ratio
        index/bitcoin-reserve-risk index/bitcoin-active-addresses index/bitcoin-new-addresses
        index/bitcoin-net-unrealized-profit-loss index/bitcoin-correlation index/bitcoin-macro-oscillator
        index/option-vs-futures-oi-ratio index/bitcoin-vs-global-m2-growth index/bitcoin-vs-us-m2-growth
        index/bitcoin-dominance exchange_assets_transparency/list futures_spot_volume_ratio coin/unlock-list
        coin/vesting chain/v2/whale-transfer calendar/economic-data article/list""",
    "standard": """
        futures/rsi/list futures/ma/list futures/ema/list futures/macd/list futures/avg-true-range/list""",
}
OTHERS = {f"/api/{path}": plan for plan, paths in _OTHERS.items() for path in paths.split()}
"""Plans of the endpoints that are no market data; `get` answers them as they come."""

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
BY_PATH = {endpoint.path: endpoint for endpoint in ENDPOINTS}
SUBSCRIPTION = "/api/user/account/subscription"
