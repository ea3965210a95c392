"""A method for each endpoint. Written by `python -m tests.coinglass_table` from the endpoints; a test compares."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias

from xex_connectors.coinglass.refusals import BadParameter

if TYPE_CHECKING:
    from xex_connectors.coinglass.answers import Table

P = ParamSpec("P")
Interval: TypeAlias = Literal["1m", "3m", "5m", "15m", "30m", "1h", "4h", "6h", "8h", "12h", "1d", "1w"]
Moment: TypeAlias = int | float | str | datetime
"""Unix milliseconds, a datetime with a zone, or ISO 8601."""


def asked(method: Callable[P, Coroutine[Any, Any, Table]]) -> Callable[P, Coroutine[Any, Any, Table]]:
    """Ask the endpoint of a method's name: a wrong parameter has the client's error and not Python's."""

    @wraps(method)
    async def call(self: Any, /, *given: object, **parameters: Any) -> Table:
        if given:
            raise BadParameter(f"{method.__name__} takes its parameters by name: symbol=…")
        answer: Table = await self.ask(method.__name__, **parameters)
        return answer

    return call  # type: ignore[return-value]


class Calls:
    """The endpoints as methods: signatures and words; `asked` does what they say."""

    @asked
    async def supported_coins(self) -> Table:
        """Return coins with futures.

        Plan: Hobbyist.
        Columns: symbol.
        """
        raise NotImplementedError

    @asked
    async def supported_exchanges(self) -> Table:
        """Return exchanges with futures.

        Plan: Hobbyist.
        Columns: exchange.
        """
        raise NotImplementedError

    @asked
    async def supported_exchange_pairs(self, *, exchange: str | None = None) -> Table:
        """Return every contract of every exchange, by the exchange's own name.

        Plan: Hobbyist. A large answer; it changes once a minute at most.
        Columns: exchange, instrument_id, base_asset, quote_asset, settlement_currency, max_leverage (times),
        funding_interval (h), price_tick_size (quote), onboard_date (ms).
        """
        raise NotImplementedError

    @asked
    async def delisted_exchange_pairs(self) -> Table:
        """Return contracts that are traded no more.

        Plan: Hobbyist.
        Columns: exchange, instrument_id, base_asset, quote_asset.
        """
        raise NotImplementedError

    @asked
    async def coins_markets(
        self, *, exchange_list: str | Sequence[str] | None = None, per_page: int | None = None, page: int | None = None
    ) -> Table:
        """Return price, open interest, volume and liquidations by coin, over all exchanges.

        Plan: Standard.
        Columns: symbol, current_price (USD), avg_funding_rate_by_oi (% an interval), avg_funding_rate_by_vol (% an
        interval), market_cap_usd (USD), open_interest_market_cap_ratio (ratio), open_interest_usd (USD),
        open_interest_quantity (coins), open_interest_volume_ratio (ratio), price_change_percent_5m (%),
        price_change_percent_15m (%), price_change_percent_30m (%), and 38 more.
        """
        raise NotImplementedError

    @asked
    async def pairs_markets(self, *, symbol: str) -> Table:
        """Return price, volume, open interest and funding of each contract of a coin.

        Plan: Hobbyist. `symbol` is a coin: BTC. A multiplied contract (1000PEPE) stands under its own name alone.
        Columns: instrument_id, exchange, symbol, current_price (quote), index_price (quote),
        price_change_percent_24h (%), volume_usd (USD), volume_usd_change_percent_24h (%), long_volume_usd (USD),
        short_volume_usd (USD), long_volume_quantity (count), short_volume_quantity (count), open_interest_quantity
        (coins), open_interest_usd (USD), open_interest_change_percent_24h (%), long_liquidation_usd_24h (USD),
        short_liquidation_usd_24h (USD), funding_rate (% an interval), next_funding_time (ms),
        open_interest_volume_ratio (ratio), oi_vol_ratio_change_percent_24h (%).
        """
        raise NotImplementedError

    @asked
    async def coins_price_change(self) -> Table:
        """Return how far each coin's price moved, and in what band.

        Plan: Standard.
        Columns: symbol, current_price (USD), price_change_percent_5m (%), price_change_percent_15m (%),
        price_change_percent_30m (%), price_change_percent_1h (%), price_change_percent_4h (%),
        price_change_percent_12h (%), price_change_percent_24h (%), price_amplitude_percent_5m (%),
        price_amplitude_percent_15m (%), price_amplitude_percent_30m (%), price_amplitude_percent_1h (%),
        price_amplitude_percent_4h (%), price_amplitude_percent_12h (%), price_amplitude_percent_24h (%).
        """
        raise NotImplementedError

    @asked
    async def price_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of a contract's price.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), open (quote), high (quote), low (quote), close (quote), volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def exchange_rank(self) -> Table:
        """Return exchanges by open interest, volume and liquidations.

        Plan: Hobbyist.
        Columns: exchange, open_interest_usd (USD), volume_usd (USD), liquidation_usd_24h (USD).
        """
        raise NotImplementedError

    @asked
    async def open_interest_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        unit: Literal["usd", "coin"] | None = None,
    ) -> Table:
        """Return bars of a contract's open interest.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), open (USD, or coins by `unit`), high (USD, or coins by `unit`), low (USD, or coins by
        `unit`), close (USD, or coins by `unit`).
        """
        raise NotImplementedError

    @asked
    async def open_interest_aggregated_history(
        self,
        *,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        unit: Literal["usd", "coin"] | None = None,
    ) -> Table:
        """Return bars of a coin's open interest on all exchanges.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC.
        Columns: time (ms), open (USD, or coins by `unit`), high (USD, or coins by `unit`), low (USD, or coins by
        `unit`), close (USD, or coins by `unit`).
        """
        raise NotImplementedError

    @asked
    async def open_interest_aggregated_stablecoin_history(
        self,
        *,
        exchange_list: str | Sequence[str],
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of a coin's open interest in contracts that settle in stablecoins.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC. Dollars or coins: a recorded
        answer has coins.
        Columns: time (ms), open (unconfirmed), high (unconfirmed), low (unconfirmed), close (unconfirmed).
        """
        raise NotImplementedError

    @asked
    async def open_interest_aggregated_coin_margin_history(
        self,
        *,
        exchange_list: str | Sequence[str],
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of a coin's open interest in contracts that settle in coins.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC. Dollars or coins: nobody
        says.
        Columns: time (ms), open (unconfirmed), high (unconfirmed), low (unconfirmed), close (unconfirmed).
        """
        raise NotImplementedError

    @asked
    async def open_interest_exchange_list(self, *, symbol: str) -> Table:
        """Return a coin's open interest by exchange; All is their sum.

        Plan: Hobbyist. `symbol` is a coin: BTC.
        Columns: exchange, symbol, open_interest_usd (USD), open_interest_quantity (coins),
        open_interest_by_stable_coin_margin (USD), open_interest_by_coin_margin (USD),
        open_interest_quantity_by_coin_margin (coins), open_interest_quantity_by_stable_coin_margin (coins),
        open_interest_change_percent_5m (%), open_interest_change_percent_15m (%), open_interest_change_percent_30m
        (%), open_interest_change_percent_1h (%), open_interest_change_percent_4h (%),
        open_interest_change_percent_24h (%).
        """
        raise NotImplementedError

    @asked
    async def open_interest_exchange_history_chart(
        self,
        *,
        symbol: str,
        range: Literal["all", "1m", "15m", "1h", "4h", "12h"],
        unit: Literal["usd", "coin"] | None = None,
    ) -> Table:
        """Return a coin's open interest over time, by exchange.

        Plan: Hobbyist. `symbol` is a coin: BTC. `range` is the step, not the span.
        Columns: time (ms), price (USD), exchange, value (USD, or coins by `unit`).
        """
        raise NotImplementedError

    @asked
    async def funding_rate_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of a contract's funding rate.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), open (% an interval), high (% an interval), low (% an interval), close (% an interval).
        """
        raise NotImplementedError

    @asked
    async def funding_rate_oi_weight_history(
        self,
        *,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of a coin's funding rate, weighted by open interest.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC.
        Columns: time (ms), open (% an interval), high (% an interval), low (% an interval), close (% an interval).
        """
        raise NotImplementedError

    @asked
    async def funding_rate_vol_weight_history(
        self,
        *,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of a coin's funding rate, weighted by volume.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC.
        Columns: time (ms), open (% an interval), high (% an interval), low (% an interval), close (% an interval).
        """
        raise NotImplementedError

    @asked
    async def funding_rate_exchange_list(self, *, symbol: str | None = None, exchange: str | None = None) -> Table:
        """Return the coming funding rate of each coin, by exchange and margin.

        Plan: Hobbyist. All coins come in one answer; it changes every 20 s.
        Columns: symbol, margin, exchange, funding_rate (% an interval), funding_interval_hours (h),
        next_funding_time (ms).
        """
        raise NotImplementedError

    @asked
    async def funding_rate_accumulated_exchange_list(
        self, *, range: Literal["1d", "7d", "30d", "365d"], symbol: str | None = None, exchange: str | None = None
    ) -> Table:
        """Return what funding added up to, by exchange and margin.

        Plan: Hobbyist.
        Columns: symbol, margin, exchange, funding_rate (% of the range).
        """
        raise NotImplementedError

    @asked
    async def funding_rate_arbitrage(self, *, usd: float, exchange_list: str | Sequence[str] | None = None) -> Table:
        """Return pairs of exchanges whose funding rates differ.

        Plan: Startup.
        Columns: symbol, buy_exchange, buy_open_interest_usd (USD), buy_funding_interval_hours (h), buy_funding_rate
        (% an interval), sell_exchange, sell_open_interest_usd (USD), sell_funding_interval_hours (h),
        sell_funding_rate (% an interval), apr (%), funding (%), fee (%), spread (%), next_funding_time (ms).
        """
        raise NotImplementedError

    @asked
    async def liquidation_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of what was liquidated of a contract, by position.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), long_liquidation_usd (USD), short_liquidation_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_aggregated_history(
        self,
        *,
        exchange_list: str | Sequence[str],
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of what was liquidated of a coin, by position.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC.
        Columns: time (ms), long_liquidation_usd (USD), short_liquidation_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_coin_list(self, *, exchange: str) -> Table:
        """Return what was liquidated on an exchange, by coin.

        Plan: Hobbyist. Documented from Startup on, answered to Hobbyist too.
        Columns: symbol, liquidation_usd_24h (USD), liquidation_usd_12h (USD), liquidation_usd_4h (USD),
        liquidation_usd_1h (USD), long_liquidation_usd_24h (USD), long_liquidation_usd_12h (USD),
        long_liquidation_usd_4h (USD), long_liquidation_usd_1h (USD), short_liquidation_usd_24h (USD),
        short_liquidation_usd_12h (USD), short_liquidation_usd_4h (USD), short_liquidation_usd_1h (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_exchange_list(
        self, *, range: Literal["1h", "4h", "12h", "24h"], symbol: str | None = None
    ) -> Table:
        """Return what was liquidated of a coin, or of all, by exchange.

        Plan: Hobbyist. `symbol` is a coin: BTC.
        Columns: exchange, liquidation_usd (USD), long_liquidation_usd (USD), short_liquidation_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_order(
        self,
        *,
        exchange: str,
        symbol: str,
        min_liquidation_amount: float,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return single liquidations of a coin on an exchange.

        Plan: Standard. `symbol` is a coin: BTC. Documentation and practice disagree on what `side` means: see
        `reconciled`.
        Columns: time (ms), exchange, symbol, base_asset, price (quote), usd_value (USD), side (1 or 2, as sent).
        """
        raise NotImplementedError

    @asked
    async def liquidation_map(self, *, exchange: str, symbol: str, range: Literal["1d", "7d", "30d"]) -> Table:
        """Return where a contract's positions would be liquidated, by leverage.

        Plan: Professional. `symbol` is the exchange's own name of a pair.
        Columns: price (quote), value (USD), leverage (times).
        """
        raise NotImplementedError

    @asked
    async def liquidation_aggregated_map(self, *, symbol: str, range: Literal["1d", "7d", "30d"]) -> Table:
        """Return where a coin's positions would be liquidated.

        Plan: Professional. `symbol` is a coin: BTC.
        Columns: price (quote), value (USD), leverage (times).
        """
        raise NotImplementedError

    @asked
    async def liquidation_heatmap_model1(
        self, *, exchange: str, symbol: str, range: Literal["12h", "24h", "3d", "7d", "30d", "90d", "180d", "1y"]
    ) -> Table:
        """Return where a contract's liquidations would be over time, model 1.

        Plan: Professional. `symbol` is the exchange's own name of a pair.
        Columns: time (ms), price (quote), value (USD), open (quote), high (quote), low (quote), close (quote),
        volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_heatmap_model2(
        self, *, exchange: str, symbol: str, range: Literal["12h", "24h", "3d", "7d", "30d", "90d", "180d", "1y"]
    ) -> Table:
        """Return where a contract's liquidations would be over time, model 2.

        Plan: Professional. `symbol` is the exchange's own name of a pair.
        Columns: time (ms), price (quote), value (USD), open (quote), high (quote), low (quote), close (quote),
        volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_heatmap_model3(
        self, *, exchange: str, symbol: str, range: Literal["12h", "24h", "3d", "7d", "30d", "90d", "180d", "1y"]
    ) -> Table:
        """Return where a contract's liquidations would be over time, model 3.

        Plan: Professional. `symbol` is the exchange's own name of a pair.
        Columns: time (ms), price (quote), value (USD), open (quote), high (quote), low (quote), close (quote),
        volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_aggregated_heatmap_model1(
        self, *, symbol: str, range: Literal["12h", "24h", "3d", "7d", "30d", "90d", "180d", "1y"]
    ) -> Table:
        """Return where a coin's liquidations would be over time, model 1.

        Plan: Professional. `symbol` is a coin: BTC.
        Columns: time (ms), price (quote), value (USD), open (quote), high (quote), low (quote), close (quote),
        volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_aggregated_heatmap_model2(
        self, *, symbol: str, range: Literal["12h", "24h", "3d", "7d", "30d", "90d", "180d", "1y"]
    ) -> Table:
        """Return where a coin's liquidations would be over time, model 2.

        Plan: Professional. `symbol` is a coin: BTC.
        Columns: time (ms), price (quote), value (USD), open (quote), high (quote), low (quote), close (quote),
        volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_aggregated_heatmap_model3(
        self, *, symbol: str, range: Literal["12h", "24h", "3d", "7d", "30d", "90d", "180d", "1y"]
    ) -> Table:
        """Return where a coin's liquidations would be over time, model 3.

        Plan: Professional. `symbol` is a coin: BTC.
        Columns: time (ms), price (quote), value (USD), open (quote), high (quote), low (quote), close (quote),
        volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def liquidation_max_pain(
        self, *, range: Literal["12h", "24h", "48h", "3d", "7d", "14d", "30d"] | None = None
    ) -> Table:
        """Return prices at which most would be liquidated, by coin.

        Plan: Professional. In the documentation's sample long pain lies above the price: look before use.
        Columns: symbol, price (USD), long_max_pain_liq_level (USD), long_max_pain_liq_price (USD),
        short_max_pain_liq_level (USD), short_max_pain_liq_price (USD).
        """
        raise NotImplementedError

    @asked
    async def global_long_short_account_ratio_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of how all accounts are long and short.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), long_percent (%), short_percent (%), long_short_ratio (ratio).
        """
        raise NotImplementedError

    @asked
    async def top_long_short_account_ratio_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of how the largest accounts are long and short.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), long_percent (%), short_percent (%), long_short_ratio (ratio).
        """
        raise NotImplementedError

    @asked
    async def top_long_short_position_ratio_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of how the largest positions are long and short.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), long_percent (%), short_percent (%), long_short_ratio (ratio).
        """
        raise NotImplementedError

    @asked
    async def taker_buy_sell_volume_exchange_list(
        self, *, symbol: str, range: Literal["5m", "15m", "30m", "1h", "4h", "12h", "24h"]
    ) -> Table:
        """Return what takers bought and sold of a coin, by exchange.

        Plan: Hobbyist. `symbol` is a coin: BTC. The exchange All is their sum.
        Columns: exchange, symbol, buy_ratio (%), sell_ratio (%), buy_volume_usd (USD), sell_volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def net_position_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Literal["1m", "3m", "5m", "15m", "30m", "1h", "4h", "6h", "8h", "12h", "1d"],
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of how longs and shorts of a contract grow.

        Plan: Startup. `symbol` is the exchange's own name of a pair.
        Columns: time (ms), net_long_change (coins), net_short_change (coins), net_long_change_cum (coins),
        net_short_change_cum (coins), net_position_change_cum (coins).
        """
        raise NotImplementedError

    @asked
    async def v2_net_position_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of how longs and shorts of a contract grow, second version.

        Plan: Startup. `symbol` is the exchange's own name of a pair.
        Columns: time (ms), net_long_change (coins), net_short_change (coins), net_long_change_cum (coins),
        net_short_change_cum (coins), net_position_change_cum (coins).
        """
        raise NotImplementedError

    @asked
    async def orderbook_ask_bids_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        range: Literal["0.25", "0.5", "0.75", "1", "2", "3", "5", "10"] | float | None = None,
    ) -> Table:
        """Return bars of what is bid and asked within some % of the price.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        `range` is the % either side.
        Columns: time (ms), bids_usd (USD), bids_quantity (coins), asks_usd (USD), asks_quantity (coins).
        """
        raise NotImplementedError

    @asked
    async def orderbook_aggregated_ask_bids_history(
        self,
        *,
        exchange_list: str | Sequence[str],
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        range: Literal["0.25", "0.5", "0.75", "1", "2", "3", "5", "10"] | float | None = None,
    ) -> Table:
        """Return bars of what is bid and asked of a coin within some % of the price.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC. `exchange_list` may be ALL.
        Columns: time (ms), bids_usd (USD), bids_quantity (coins), asks_usd (USD), asks_quantity (coins).
        """
        raise NotImplementedError

    @asked
    async def orderbook_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Literal["1m", "3m", "5m", "15m", "30m", "1h", "4h", "6h", "8h", "12h", "1d"],
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return a contract's order book over time.

        Plan: Standard. `symbol` is the exchange's own name of a pair. Which side is which is told by the prices, and
        unknown where they do not tell.
        Columns: time (ms), side, price (quote), quantity (coins).
        """
        raise NotImplementedError

    @asked
    async def orderbook_large_limit_order(self, *, exchange: str, symbol: str) -> Table:
        """Return large orders that stand in a contract's book.

        Plan: Standard. `symbol` is the exchange's own name of a pair.
        Columns: id, exchange, symbol, base_asset, quote_asset, price (quote), start_time (ms), start_quantity
        (coins), start_usd (USD), current_quantity (coins), current_usd (USD), current_time (ms), executed_quantity
        (coins), executed_usd (USD), trade_count (count), side, state, end_time (ms).
        """
        raise NotImplementedError

    @asked
    async def orderbook_large_limit_order_history(
        self, *, exchange: str, symbol: str, start_time: Moment, end_time: Moment, state: Literal["1", "2", "3"] | int
    ) -> Table:
        """Return large orders that stood in a contract's book.

        Plan: Standard. `symbol` is the exchange's own name of a pair. `state`: 1 open, 2 finished, 3 cancelled.
        Columns: id, exchange, symbol, base_asset, quote_asset, price (quote), start_time (ms), start_quantity
        (coins), start_usd (USD), current_quantity (coins), current_usd (USD), current_time (ms), executed_quantity
        (coins), executed_usd (USD), trade_count (count), side, state, end_time (ms).
        """
        raise NotImplementedError

    @asked
    async def v2_taker_buy_sell_volume_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of what takers bought and sold of a contract.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), buy_volume_usd (USD), sell_volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def aggregated_taker_buy_sell_volume_history(
        self,
        *,
        exchange_list: str | Sequence[str],
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        unit: Literal["usd", "coin"] | None = None,
    ) -> Table:
        """Return bars of what takers bought and sold of a coin.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC.
        Columns: time (ms), buy_volume (USD, or coins by `unit`), sell_volume (USD, or coins by `unit`).
        """
        raise NotImplementedError

    @asked
    async def volume_footprint_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of trades of a contract by price.

        Plan: Professional. `symbol` is the exchange's own name of a pair. Binance, OKX, Bybit and Hyperliquid.
        Columns: time (ms), price_from (quote), price_to (quote), buy_volume (coins), sell_volume (coins),
        buy_volume_quote (quote), sell_volume_quote (quote), buy_volume_usd (USD), sell_volume_usd (USD), buy_count
        (count), sell_count (count).
        """
        raise NotImplementedError

    @asked
    async def cvd_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of a contract's cumulative volume delta.

        Plan: Startup. `symbol` is the exchange's own name of a pair. The delta is summed up from the start of the
        range.
        Columns: time (ms), buy_volume (USD), sell_volume (USD), cum_vol_delta (USD).
        """
        raise NotImplementedError

    @asked
    async def aggregated_cvd_history(
        self,
        *,
        exchange_list: str | Sequence[str],
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        unit: Literal["usd", "coin"] | None = None,
    ) -> Table:
        """Return bars of a coin's cumulative volume delta.

        Plan: Startup. `symbol` is a coin: BTC. The delta is summed up from the start of the range.
        Columns: time (ms), buy_volume (USD, or coins by `unit`), sell_volume (USD, or coins by `unit`),
        cum_vol_delta (USD, or coins by `unit`).
        """
        raise NotImplementedError

    @asked
    async def netflow_list(self, *, per_page: int | None = None, page: int | None = None) -> Table:
        """Return what takers bought and sold, by coin.

        Plan: Startup.
        Columns: symbol, buy_volume_usd_5m (USD), buy_volume_usd_15m (USD), buy_volume_usd_30m (USD),
        buy_volume_usd_1h (USD), buy_volume_usd_2h (USD), buy_volume_usd_4h (USD), buy_volume_usd_6h (USD),
        buy_volume_usd_8h (USD), buy_volume_usd_12h (USD), buy_volume_usd_24h (USD), buy_volume_usd_3d (USD), and 47
        more.
        """
        raise NotImplementedError

    @asked
    async def coin_netflow(self, *, symbol: str, exchange_list: str | Sequence[str]) -> Table:
        """Return what takers bought and sold of a coin.

        Plan: Startup. `symbol` is a coin: BTC.
        Columns: symbol, buy_volume_usd_5m (USD), buy_volume_usd_15m (USD), buy_volume_usd_30m (USD),
        buy_volume_usd_1h (USD), buy_volume_usd_4h (USD), buy_volume_usd_8h (USD), buy_volume_usd_12h (USD),
        buy_volume_usd_24h (USD), buy_volume_usd_3d (USD), buy_volume_usd_5d (USD), buy_volume_usd_7d (USD), and 99
        more.
        """
        raise NotImplementedError

    @asked
    async def hyperliquid_whale_alert(self) -> Table:
        """Return positions above 1 M USD that were opened or closed just now.

        Plan: Startup.
        Columns: user, symbol, position_size (coins, below 0 for short), entry_price (USD), liq_price (USD),
        position_value_usd (USD), action, create_time (ms).
        """
        raise NotImplementedError

    @asked
    async def hyperliquid_whale_position(self) -> Table:
        """Return the largest positions.

        Plan: Startup.
        Columns: user, symbol, position_size (coins, below 0 for short), entry_price (USD), mark_price (USD),
        liq_price (USD), leverage (times), margin_balance (USD), position_value_usd (USD), unrealized_pnl (USD),
        funding_fee (USD), margin_mode, create_time (ms), update_time (ms).
        """
        raise NotImplementedError

    @asked
    async def hyperliquid_position(self, *, symbol: str, current_page: int | None = None) -> Table:
        """Return positions in a coin, a page at a time.

        Plan: Standard. `symbol` is a coin: BTC.
        Columns: user, symbol, position_size (coins, below 0 for short), entry_price (USD), mark_price (USD),
        liq_price (USD), leverage (times), margin_balance (USD), position_value_usd (USD), unrealized_pnl (USD),
        funding_fee (USD), margin_mode, create_time (ms), update_time (ms), total_pages (count), current_page
        (count).
        """
        raise NotImplementedError

    @asked
    async def hyperliquid_user_position(self, *, user_address: str) -> Table:
        """Return a wallet's account and positions.

        Plan: Startup. One row without a coin where it holds no position.
        Columns: coin, account_value (USD), total_ntl_pos (USD), total_raw_usd (USD), total_margin_used (USD),
        cross_account_value (USD), cross_total_ntl_pos (USD), cross_total_raw_usd (USD), cross_total_margin_used
        (USD), cross_maintenance_margin_used (USD), withdrawable (USD), type, position_size (coins, below 0 for
        short), leverage_type, leverage (times), entry_price (USD), position_value (USD), unrealized_pnl (USD),
        return_on_equity (fraction), max_leverage (times), funding_all_time (USD), funding_since_open (USD),
        funding_since_change (USD).
        """
        raise NotImplementedError

    @asked
    async def hyperliquid_global_long_short_account_ratio_history(
        self,
        *,
        symbol: str,
        interval: Literal["5m", "1h", "1d"],
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of how accounts are long and short in a coin.

        Plan: Standard. `symbol` is a coin: BTC.
        Columns: time (ms), long_count (count), short_count (count), total_count (count), long_percent (%),
        short_percent (%), long_short_ratio (ratio).
        """
        raise NotImplementedError

    @asked
    async def hyperliquid_wallet_position_distribution(self) -> Table:
        """Return wallets by the size of what they hold.

        Plan: Standard.
        Columns: group_name, all_address_count (count), position_address_count (count), position_address_percent (%),
        bias_score, bias_remark, minimum_amount (USD), maximum_amount (USD), long_position_usd (USD),
        short_position_usd (USD), long_position_usd_percent (%), short_position_usd_percent (%), position_usd (USD),
        profit_address_count (count), loss_address_count (count), profit_address_percent (%), loss_address_percent
        (%).
        """
        raise NotImplementedError

    @asked
    async def hyperliquid_wallet_pnl_distribution(self) -> Table:
        """Return wallets by what they have won or lost.

        Plan: Standard.
        Columns: group_name, all_address_count (count), position_address_count (count), position_address_percent (%),
        bias_score, bias_remark, minimum_amount (USD), maximum_amount (USD), long_position_usd (USD),
        short_position_usd (USD), long_position_usd_percent (%), short_position_usd_percent (%), position_usd (USD),
        profit_address_count (count), loss_address_count (count), profit_address_percent (%), loss_address_percent
        (%).
        """
        raise NotImplementedError

    @asked
    async def spot_supported_coins(self) -> Table:
        """Return coins with spot markets.

        Plan: Hobbyist.
        Columns: symbol.
        """
        raise NotImplementedError

    @asked
    async def spot_supported_exchange_pairs(self) -> Table:
        """Return every spot pair of every exchange, by the exchange's own name.

        Plan: Hobbyist.
        Columns: exchange, instrument_id, base_asset, quote_asset.
        """
        raise NotImplementedError

    @asked
    async def spot_coins_markets(self, *, per_page: int | None = None, page: int | None = None) -> Table:
        """Return price and volume by coin, over all exchanges.

        Plan: Standard.
        Columns: symbol, current_price (USD), market_cap (USD), price_change_5m (USD), price_change_15m (USD),
        price_change_30m (USD), price_change_1h (USD), price_change_4h (USD), price_change_12h (USD),
        price_change_24h (USD), price_change_1w (USD), price_change_percent_5m (%), and 55 more.
        """
        raise NotImplementedError

    @asked
    async def spot_pairs_markets(self, *, symbol: str) -> Table:
        """Return price and volume of each pair of a coin.

        Plan: Hobbyist. `symbol` is a coin: BTC.
        Columns: symbol, exchange, current_price (quote), price_change_1h (quote), price_change_4h (quote),
        price_change_12h (quote), price_change_24h (quote), price_change_1w (quote), price_change_percent_1h (%),
        price_change_percent_4h (%), price_change_percent_12h (%), price_change_percent_24h (%), and 31 more.
        """
        raise NotImplementedError

    @asked
    async def spot_price_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of a pair's price.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), open (quote), high (quote), low (quote), close (quote), volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def spot_orderbook_ask_bids_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        range: Literal["0.25", "0.5", "0.75", "1", "2", "3", "5", "10"] | float | None = None,
    ) -> Table:
        """Return bars of what is bid and asked within some % of the price.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        `range` is the % either side.
        Columns: time (ms), bids_usd (USD), bids_quantity (coins), asks_usd (USD), asks_quantity (coins).
        """
        raise NotImplementedError

    @asked
    async def spot_orderbook_aggregated_ask_bids_history(
        self,
        *,
        exchange_list: str | Sequence[str],
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        range: Literal["0.25", "0.5", "0.75", "1", "2", "3", "5", "10"] | float | None = None,
    ) -> Table:
        """Return bars of what is bid and asked of a coin within some % of the price.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC.
        Columns: time (ms), bids_usd (USD), bids_quantity (coins), asks_usd (USD), asks_quantity (coins).
        """
        raise NotImplementedError

    @asked
    async def spot_orderbook_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Literal["1m", "3m", "5m", "15m", "30m", "1h", "4h", "6h", "8h", "12h", "1d"],
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return a pair's order book over time.

        Plan: Standard. `symbol` is the exchange's own name of a pair. Which side is which is told by the prices, and
        unknown where they do not tell.
        Columns: time (ms), side, price (quote), quantity (coins).
        """
        raise NotImplementedError

    @asked
    async def spot_orderbook_large_limit_order(self, *, exchange: str, symbol: str) -> Table:
        """Return large orders that stand in a pair's book.

        Plan: Standard. `symbol` is the exchange's own name of a pair.
        Columns: id, exchange, symbol, base_asset, quote_asset, price (quote), start_time (ms), start_quantity
        (coins), start_usd (USD), current_quantity (coins), current_usd (USD), current_time (ms), executed_quantity
        (coins), executed_usd (USD), trade_count (count), side, state, end_time (ms).
        """
        raise NotImplementedError

    @asked
    async def spot_orderbook_large_limit_order_history(
        self, *, exchange: str, symbol: str, start_time: Moment, end_time: Moment, state: Literal["1", "2", "3"] | int
    ) -> Table:
        """Return large orders that stood in a pair's book.

        Plan: Standard. `symbol` is the exchange's own name of a pair. `state`: 1 open, 2 finished, 3 cancelled.
        Columns: id, exchange, symbol, base_asset, quote_asset, price (quote), start_time (ms), start_quantity
        (coins), start_usd (USD), current_quantity (coins), current_usd (USD), current_time (ms), executed_quantity
        (coins), executed_usd (USD), trade_count (count), side, state, end_time (ms).
        """
        raise NotImplementedError

    @asked
    async def spot_taker_buy_sell_volume_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of what takers bought and sold of a pair.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), buy_volume_usd (USD), sell_volume_usd (USD).
        """
        raise NotImplementedError

    @asked
    async def spot_aggregated_taker_buy_sell_volume_history(
        self,
        *,
        exchange_list: str | Sequence[str],
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        unit: Literal["usd", "coin"] | None = None,
    ) -> Table:
        """Return bars of what takers bought and sold of a coin.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC.
        Columns: time (ms), buy_volume (USD, or coins by `unit`), sell_volume (USD, or coins by `unit`).
        """
        raise NotImplementedError

    @asked
    async def spot_cvd_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        unit: Literal["usd", "coin"] | None = None,
    ) -> Table:
        """Return bars of a pair's cumulative volume delta.

        Plan: Startup. `symbol` is the exchange's own name of a pair. The delta is summed up from the start of the
        range.
        Columns: time (ms), buy_volume (USD, or coins by `unit`), sell_volume (USD, or coins by `unit`),
        cum_vol_delta (USD, or coins by `unit`).
        """
        raise NotImplementedError

    @asked
    async def spot_aggregated_cvd_history(
        self, *, exchange_list: str | Sequence[str], symbol: str, interval: Interval
    ) -> Table:
        """Return bars of a coin's cumulative volume delta.

        Plan: Startup. `symbol` is a coin: BTC.
        Columns: time (ms), buy_volume (USD), sell_volume (USD), cum_vol_delta (USD).
        """
        raise NotImplementedError

    @asked
    async def spot_volume_footprint_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of trades of a pair by price.

        Plan: Professional. `symbol` is the exchange's own name of a pair.
        Columns: time (ms), price_from (quote), price_to (quote), buy_volume (coins), sell_volume (coins),
        buy_volume_quote (quote), sell_volume_quote (quote), buy_volume_usd (USD), sell_volume_usd (USD), buy_count
        (count), sell_count (count).
        """
        raise NotImplementedError

    @asked
    async def spot_netflow_list(self, *, per_page: int | None = None, page: int | None = None) -> Table:
        """Return what takers bought and sold, by coin.

        Plan: Startup.
        Columns: symbol, buy_volume_usd_5m (USD), buy_volume_usd_15m (USD), buy_volume_usd_30m (USD),
        buy_volume_usd_1h (USD), buy_volume_usd_2h (USD), buy_volume_usd_4h (USD), buy_volume_usd_6h (USD),
        buy_volume_usd_8h (USD), buy_volume_usd_12h (USD), buy_volume_usd_24h (USD), buy_volume_usd_3d (USD), and 47
        more.
        """
        raise NotImplementedError

    @asked
    async def spot_coin_netflow(self, *, symbol: str, exchange_list: str | Sequence[str]) -> Table:
        """Return what takers bought and sold of a coin.

        Plan: Startup. `symbol` is a coin: BTC.
        Columns: symbol, buy_volume_usd_5m (USD), buy_volume_usd_15m (USD), buy_volume_usd_30m (USD),
        buy_volume_usd_1h (USD), buy_volume_usd_4h (USD), buy_volume_usd_8h (USD), buy_volume_usd_12h (USD),
        buy_volume_usd_24h (USD), buy_volume_usd_3d (USD), buy_volume_usd_5d (USD), buy_volume_usd_7d (USD), and 99
        more.
        """
        raise NotImplementedError

    @asked
    async def option_max_pain(self, *, symbol: str, exchange: str) -> Table:
        """Return options by expiry: what is open, and the price that hurts most.

        Plan: Hobbyist. `symbol` is a coin: BTC.
        Columns: date (YYMMDD), max_pain_price (USD), call_open_interest (contracts), put_open_interest (contracts),
        call_open_interest_notional (USD), put_open_interest_notional (USD), call_open_interest_market_value (USD),
        put_open_interest_market_value (USD).
        """
        raise NotImplementedError

    @asked
    async def option_info(self, *, symbol: str) -> Table:
        """Return a coin's options by exchange; the exchange All is their sum.

        Plan: Hobbyist. `symbol` is a coin: BTC.
        Columns: exchange, open_interest (contracts), oi_market_share (%), open_interest_change_24h (%),
        open_interest_usd (USD), volume_usd_24h (USD), volume_change_percent_24h (%).
        """
        raise NotImplementedError

    @asked
    async def option_exchange_oi_history(
        self, *, symbol: str, unit: str, range: Literal["1h", "4h", "12h", "all"]
    ) -> Table:
        """Return what is open in a coin's options over time, by exchange.

        Plan: Hobbyist. `symbol` is a coin: BTC. `unit` is USD or the coin.
        Columns: time (ms), price (USD), exchange, value (the asked `unit`).
        """
        raise NotImplementedError

    @asked
    async def option_exchange_vol_history(self, *, symbol: str, unit: str) -> Table:
        """Return the volume of a coin's options over time, by exchange.

        Plan: Hobbyist. `symbol` is a coin: BTC. `unit` is USD or the coin.
        Columns: time (ms), price (USD), exchange, value (the asked `unit`).
        """
        raise NotImplementedError

    @asked
    async def basis_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of a contract's basis.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is the exchange's own name of a pair.
        Columns: time (ms), open_basis (%), close_basis (%), open_change (%), close_change (%).
        """
        raise NotImplementedError

    @asked
    async def coinbase_premium_index(
        self,
        *,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of Coinbase's premium.

        Plan: Hobbyist (plans differ in intervals and history). The page writes a rate of 0.0261 as 2.61 %, other
        pages' rates are percent: unconfirmed.
        Columns: time (ms), premium (USD), premium_rate (%).
        """
        raise NotImplementedError

    @asked
    async def bitfinex_margin_long_short(
        self,
        *,
        symbol: Literal["BTC", "ETH"],
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of Bitfinex's margin positions.

        Plan: Hobbyist (plans differ in intervals and history). `symbol` is a coin: BTC.
        Columns: time (ms), long_quantity (coins), short_quantity (coins).
        """
        raise NotImplementedError

    @asked
    async def borrow_interest_rate_history(
        self,
        *,
        exchange: str,
        symbol: str,
        interval: Interval,
        limit: int | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
    ) -> Table:
        """Return bars of what borrowing a coin costs.

        Plan: Hobbyist. `symbol` is a coin: BTC. Binance, OKX and Bybit.
        Columns: time (ms), interest_rate (a day).
        """
        raise NotImplementedError
