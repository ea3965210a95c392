"""What CoinGlass answers, endpoint by endpoint: path, least plan, kind of answer, parameters, keys with their types.

Taken from the facts about CoinGlass's documentation and recorded bodies. A parameter is `name`, `*` where it is
required, `=a|b` for what it may be and `<n` for its largest value; `{1h|4h}` in a key stands for a key each, `a[].b`
for a key of the objects in a list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

STD = "1m|3m|5m|15m|30m|1h|4h|6h|8h|12h|1d|1w"

TABLE = """
/api/futures/supported-coins hobbyist words
/api/futures/supported-exchanges hobbyist words
/api/futures/supported-exchange-pairs hobbyist by_exchange
  ? exchange
  = instrument_id:str base_asset:str quote_asset:str settlement_currency:str max_leverage:int
    funding_interval:int price_tick_size:float onboard_date:int
/api/futures/delisted-exchange-pairs hobbyist by_exchange
  = instrument_id:str base_asset:str quote_asset:str
/api/futures/coins-markets standard rows
  ? exchange_list per_page page
  = symbol:str current_price:float avg_funding_rate_by_oi:float avg_funding_rate_by_vol:float
    market_cap_usd:float open_interest_market_cap_ratio:float open_interest_usd:float
    open_interest_quantity:float open_interest_volume_ratio:float
    price_change_percent_{5m|15m|30m|1h|4h|12h|24h}:float
    open_interest_change_percent_{5m|15m|30m|1h|4h|24h}:float volume_change_percent_{5m|15m|30m|1h|4h|24h}:float
    volume_change_usd_{1h|4h|24h}:float long_short_ratio_{5m|15m|30m|1h|4h|12h|24h}:float
    liquidation_usd_{1h|4h|12h|24h}:float long_liquidation_usd_{1h|4h|12h|24h}:float
    short_liquidation_usd_{1h|4h|12h|24h}:float
/api/futures/pairs-markets hobbyist rows
  ? symbol*
  = instrument_id:str exchange_name:str symbol:str current_price:float index_price:float
    price_change_percent_24h:float volume_usd:float volume_usd_change_percent_24h:float long_volume_usd:float
    short_volume_usd:float long_volume_quantity:int short_volume_quantity:int open_interest_quantity:float
    open_interest_usd:float open_interest_change_percent_24h:float long_liquidation_usd_24h:float
    short_liquidation_usd_24h:float funding_rate:float next_funding_time:int open_interest_volume_radio:float
    oi_vol_ratio_change_percent_24h:float
/api/futures/coins-price-change standard rows
  = symbol:str current_price:float price_change_percent_{5m|15m|30m|1h|4h|12h|24h}:float
    price_amplitude_percent_{5m|15m|30m|1h|4h|12h|24h}:float
/api/futures/price/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit*<1000 start_time end_time
  = time:int open:str high:str low:str close:str volume_usd:str
/api/futures/exchange-rank hobbyist rows
  = exchange:str open_interest_usd:int volume_usd:int liquidation_usd_24h:float
/api/futures/open-interest/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time unit=usd|coin
  = time:int open:str high:str low:str close:str
/api/futures/open-interest/aggregated-history hobbyist rows,gated
  ? symbol* interval*=STD limit<1000 start_time end_time unit=usd|coin
  = time:int open:str high:str low:str close:str
/api/futures/open-interest/aggregated-stablecoin-history hobbyist rows,gated
  ? exchange_list* symbol* interval*=STD limit<1000 start_time end_time
  = time:int open:str high:str low:str close:str
/api/futures/open-interest/aggregated-coin-margin-history hobbyist rows,gated
  ? exchange_list* symbol* interval*=STD limit<1000 start_time end_time
  = time:int open:str high:str low:str close:str
/api/futures/open-interest/exchange-list hobbyist rows
  ? symbol*
  = exchange:str symbol:str open_interest_usd:float open_interest_quantity:float
    open_interest_by_stable_coin_margin:float open_interest_by_coin_margin:float
    open_interest_quantity_by_coin_margin:float
    open_interest_quantity_by_stable_coin_margin:float open_interest_change_percent_{5m|15m|30m|1h|4h|24h}:float
/api/futures/open-interest/exchange-history-chart hobbyist chart
  ? symbol* range*=all|1m|15m|1h|4h|12h unit=usd|coin
/api/futures/funding-rate/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int open:str high:str low:str close:str
/api/futures/funding-rate/oi-weight-history hobbyist rows,gated
  ? symbol* interval*=STD limit<1000 start_time end_time
  = time:int open:str high:str low:str close:str
/api/futures/funding-rate/vol-weight-history hobbyist rows,gated
  ? symbol* interval*=STD limit<1000 start_time end_time
  = time:int open:str high:str low:str close:str
/api/futures/funding-rate/exchange-list hobbyist margins
  = symbol:str stablecoin_margin_list[].exchange:str stablecoin_margin_list[].funding_rate_interval:int
    stablecoin_margin_list[].funding_rate:float stablecoin_margin_list[].next_funding_time:int
    token_margin_list[].exchange:str token_margin_list[].funding_rate_interval:int
    token_margin_list[].funding_rate:float token_margin_list[].next_funding_time:int
/api/futures/funding-rate/accumulated-exchange-list hobbyist margins
  ? range*=1d|7d|30d|365d
  = symbol:str stablecoin_margin_list[].exchange:str stablecoin_margin_list[].funding_rate:float
    token_margin_list[].exchange:str token_margin_list[].funding_rate:float
/api/futures/funding-rate/arbitrage startup rows
  ? usd* exchange_list
  = symbol:str buy.exchange:str buy.open_interest_usd:float buy.funding_rate_interval:int buy.funding_rate:float
    sell.exchange:str sell.open_interest_usd:float sell.funding_rate_interval:int sell.funding_rate:float
    apr:float funding:float fee:float spread:float next_funding_time:int
/api/futures/liquidation/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int long_liquidation_usd:str short_liquidation_usd:str
/api/futures/liquidation/aggregated-history hobbyist rows,gated
  ? exchange_list* symbol* interval*=STD limit<1000 start_time end_time
  = time:int aggregated_long_liquidation_usd:float aggregated_short_liquidation_usd:float
/api/futures/liquidation/coin-list hobbyist rows
  ? exchange*
  = symbol:str liquidation_usd_{24h|12h|4h|1h}:float long_liquidation_usd_{24h|12h|4h|1h}:float
    short_liquidation_usd_{24h|12h|4h|1h}:float
/api/futures/liquidation/exchange-list hobbyist rows
  ? symbol range*=1h|4h|12h|24h
  = exchange:str liquidation_usd:float long_liquidation_usd:float short_liquidation_usd:float
/api/futures/liquidation/order standard rows
  ? exchange* symbol* min_liquidation_amount* start_time end_time
  = exchange_name:str symbol:str base_asset:str price:float usd_value:float side:int time:int
/api/futures/liquidation/map professional map
  ? exchange* symbol* range*=1d|7d|30d
/api/futures/liquidation/aggregated-map professional map
  ? symbol* range*=1d|7d|30d
/api/futures/liquidation/heatmap/model1 professional heatmap
  ? exchange* symbol* range*=12h|24h|3d|7d|30d|90d|180d|1y
/api/futures/liquidation/heatmap/model2 professional heatmap
  ? exchange* symbol* range*=12h|24h|3d|7d|30d|90d|180d|1y
/api/futures/liquidation/heatmap/model3 professional heatmap
  ? exchange* symbol* range*=12h|24h|3d|7d|30d|90d|180d|1y
/api/futures/liquidation/aggregated-heatmap/model1 professional heatmap
  ? symbol* range*=12h|24h|3d|7d|30d|90d|180d|1y
/api/futures/liquidation/aggregated-heatmap/model2 professional heatmap
  ? symbol* range*=12h|24h|3d|7d|30d|90d|180d|1y
/api/futures/liquidation/aggregated-heatmap/model3 professional heatmap
  ? symbol* range*=12h|24h|3d|7d|30d|90d|180d|1y
/api/futures/liquidation/max-pain professional rows
  ? range=12h|24h|48h|3d|7d|14d|30d
  = symbol:str price:float long_max_pain_liq_level:float long_max_pain_liq_price:float
    short_max_pain_liq_level:float short_max_pain_liq_price:float
/api/futures/global-long-short-account-ratio/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int global_account_long_percent:float global_account_short_percent:float
    global_account_long_short_ratio:float
/api/futures/top-long-short-account-ratio/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int top_account_long_percent:float top_account_short_percent:float top_account_long_short_ratio:float
/api/futures/top-long-short-position-ratio/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int top_position_long_percent:float top_position_short_percent:float
    top_position_long_short_ratio:float
/api/futures/taker-buy-sell-volume/exchange-list hobbyist totals
  ? symbol* range*=5m|15m|30m|1h|4h|12h|24h
  = symbol:str buy_ratio:float sell_ratio:float buy_vol_usd:float sell_vol_usd:float
    exchange_list[].exchange:str exchange_list[].buy_ratio:float exchange_list[].sell_ratio:float
    exchange_list[].buy_vol_usd:float exchange_list[].sell_vol_usd:float
/api/futures/net-position/history startup rows
  ? exchange* symbol* interval*=1m|3m|5m|15m|30m|1h|4h|6h|8h|12h|1d limit<1000 start_time end_time
  = net_long_change:float net_short_change:float net_long_change_cum:float net_short_change_cum:float
    net_position_change_cum:float time:int
/api/futures/v2/net-position/history startup rows
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = net_long_change:float net_short_change:float net_long_change_cum:float net_short_change_cum:float
    net_position_change_cum:float time:int
/api/futures/orderbook/ask-bids-history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time range=0.25|0.5|0.75|1|2|3|5|10
  = bids_usd:float bids_quantity:float asks_usd:float asks_quantity:float time:int
/api/futures/orderbook/aggregated-ask-bids-history hobbyist rows,gated
  ? exchange_list* symbol* interval*=STD limit<1000 start_time end_time range=0.25|0.5|0.75|1|2|3|5|10
  = aggregated_bids_usd:float aggregated_bids_quantity:float aggregated_asks_usd:float
    aggregated_asks_quantity:float time:int
/api/futures/orderbook/history standard book
  ? exchange* symbol* interval*=1m|3m|5m|15m|30m|1h|4h|6h|8h|12h|1d limit*<100 start_time end_time
/api/futures/orderbook/large-limit-order standard rows
  ? exchange* symbol*
  = id:int exchange_name:str symbol:str base_asset:str quote_asset:str price:int start_time:int
    start_quantity:float start_usd_value:float current_quantity:float current_usd_value:float current_time:int
    executed_volume:int executed_usd_value:int trade_count:int order_side:int order_state:int
/api/futures/orderbook/large-limit-order-history standard rows
  ? exchange* symbol* start_time* end_time* state*=1|2|3
  = id:int exchange_name:str symbol:str base_asset:str quote_asset:str price:float start_time:int
    start_quantity:float start_usd_value:float current_quantity:float current_usd_value:float current_time:int
    executed_volume:int executed_usd_value:int trade_count:int order_side:int order_state:int order_end_time:int
/api/futures/v2/taker-buy-sell-volume/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int taker_buy_volume_usd:str taker_sell_volume_usd:str
/api/futures/aggregated-taker-buy-sell-volume/history hobbyist rows,gated
  ? exchange_list* symbol* interval*=STD limit<1000 start_time end_time unit=usd|coin
  = time:int aggregated_buy_volume_usd:float aggregated_sell_volume_usd:float
/api/futures/volume/footprint-history professional footprint
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
/api/futures/cvd/history startup rows
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int taker_buy_vol:float taker_sell_vol:float cum_vol_delta:float
/api/futures/aggregated-cvd/history startup rows
  ? exchange_list* symbol* interval*=STD limit<4500 start_time end_time unit=usd|coin
  = time:int agg_taker_buy_vol:float agg_taker_sell_vol:float cum_vol_delta:float
/api/futures/netflow-list startup rows
  ? per_page page
  = symbol:str taker_buy_volume_usd_{5m|15m|30m|1h|2h|4h|6h|8h|12h|24h|3d|7d|15d|30d}:float
    taker_sell_volume_usd_{5m|15m|30m|1h|2h|4h|6h|8h|12h|24h|3d|7d|15d|30d}:float
    net_flow_usd_{5m|15m|30m|1h|2h|4h|6h|8h|12h|24h|3d|7d|15d|30d}:float taker_buy_volume_usd_40d:float
    taker_sell_volume_usd_40d:float net_flow_usd_40d:float taker_buy_volume_usd_50d:float
    taker_sell_volume_usd_50d:float net_flow_usd_50d:float taker_buy_volume_usd_60d:float
    taker_sell_volume_usd_60d:float net_flow_usd_60d:float taker_buy_volume_usd_90d:float
    taker_sell_volume_usd_90d:float net_flow_usd_90d:float taker_buy_volume_usd_120d:float
    taker_sell_volume_usd_120d:float net_flow_usd_120d:float market_cap:float
/api/futures/coin/netflow startup object
  ? symbol* exchange_list*
  = symbol:str taker_buy_volume_usd_{5m|15m|30m|1h|4h|8h|12h|24h|3d|7d|15d|30d}:str
    taker_sell_volume_usd_{5m|15m|30m|1h|4h|8h|12h|24h|3d|7d|15d|30d}:str
    net_flow_usd_{5m|15m|30m|1h|4h|8h|12h|24h|3d|7d|15d|30d}:str
    net_flow_usd_change_percent_{5m|15m|30m|1h|4h|8h|12h|24h|3d|7d|15d|30d}:float
    net_flow_usd_5m_market_cap_ratio:float net_flow_usd_15m_market_cap_ratio:float
    net_flow_usd_30m_market_cap_ratio:float net_flow_usd_1h_market_cap_ratio:float
    net_flow_usd_4h_market_cap_ratio:float net_flow_usd_8h_market_cap_ratio:float
    net_flow_usd_12h_market_cap_ratio:float net_flow_usd_24h_market_cap_ratio:float
    net_flow_usd_3d_market_cap_ratio:float taker_buy_volume_usd_5d:str taker_sell_volume_usd_5d:str
    net_flow_usd_5d:str net_flow_usd_change_percent_5d:float net_flow_usd_5d_market_cap_ratio:float
    net_flow_usd_7d_market_cap_ratio:float taker_buy_volume_usd_10d:str taker_sell_volume_usd_10d:str
    net_flow_usd_10d:str net_flow_usd_change_percent_10d:float net_flow_usd_10d_market_cap_ratio:float
    net_flow_usd_15d_market_cap_ratio:float net_flow_usd_30d_market_cap_ratio:float taker_buy_volume_usd_40d:str
    taker_sell_volume_usd_40d:str net_flow_usd_40d:str net_flow_usd_change_percent_40d:float
    net_flow_usd_40d_market_cap_ratio:float taker_buy_volume_usd_50d:str taker_sell_volume_usd_50d:str
    net_flow_usd_50d:str net_flow_usd_change_percent_50d:float net_flow_usd_50d_market_cap_ratio:float
    taker_buy_volume_usd_60d:str taker_sell_volume_usd_60d:str net_flow_usd_60d:str
    net_flow_usd_change_percent_60d:float net_flow_usd_60d_market_cap_ratio:float taker_buy_volume_usd_90d:str
    taker_sell_volume_usd_90d:str net_flow_usd_90d:str net_flow_usd_change_percent_90d:float
    net_flow_usd_90d_market_cap_ratio:float taker_buy_volume_usd_120d:str taker_sell_volume_usd_120d:str
    net_flow_usd_120d:str net_flow_usd_change_percent_120d:float net_flow_usd_120d_market_cap_ratio:float
    taker_buy_volume_usd_150d:str taker_sell_volume_usd_150d:str net_flow_usd_150d:str
    net_flow_usd_change_percent_150d:float net_flow_usd_150d_market_cap_ratio:float
    taker_buy_volume_usd_180d:str taker_sell_volume_usd_180d:str net_flow_usd_180d:str
    net_flow_usd_change_percent_180d:float net_flow_usd_180d_market_cap_ratio:float taker_buy_volume_usd_1y:str
    taker_sell_volume_usd_1y:str net_flow_usd_1y:str net_flow_usd_change_percent_1y:float
    net_flow_usd_1y_market_cap_ratio:float
/api/hyperliquid/whale-alert startup rows
  = user:str symbol:str position_size:float entry_price:float liq_price:float position_value_usd:float
    position_action:int create_time:int
/api/hyperliquid/whale-position startup rows
  = user:str symbol:str position_size:float entry_price:float mark_price:float liq_price:float leverage:int
    margin_balance:float position_value_usd:float unrealized_pnl:float funding_fee:float margin_mode:str
    create_time:int update_time:int
/api/hyperliquid/position standard paged
  ? symbol* current_page
  = total_pages:int current_page:int list[].user:str list[].symbol:str list[].position_size:float
    list[].entry_price:float list[].mark_price:int list[].liq_price:float list[].leverage:int
    list[].margin_balance:float list[].position_value_usd:float list[].unrealized_pnl:float
    list[].funding_fee:float list[].margin_mode:str list[].create_time:int list[].update_time:int
/api/hyperliquid/user-position startup wallet
  ? user_address*
  = margin_summary.account_value:float margin_summary.total_ntl_pos:float margin_summary.total_raw_usd:float
    margin_summary.total_margin_used:float cross_margin_summary.account_value:float
    cross_margin_summary.total_ntl_pos:float cross_margin_summary.total_raw_usd:float
    cross_margin_summary.total_margin_used:float cross_maintenance_margin_used:float withdrawable:float
    asset_positions[].type:str asset_positions[].position.coin:str asset_positions[].position.szi:int
    asset_positions[].position.leverage.type:str asset_positions[].position.leverage.value:int
    asset_positions[].position.entry_px:float asset_positions[].position.position_value:int
    asset_positions[].position.unrealized_pnl:float asset_positions[].position.return_on_equity:float
    asset_positions[].position.max_leverage:int asset_positions[].position.cum_funding.all_time:float
    asset_positions[].position.cum_funding.since_open:float
    asset_positions[].position.cum_funding.since_change:float
/api/hyperliquid/global-long-short-account-ratio/history standard rows
  ? symbol* interval*=5m|1h|1d limit<1000 start_time end_time
  = time:int global_account_long_count:int global_account_short_count:int global_account_total_count:int
    global_account_long_percent:float global_account_short_percent:float global_account_long_short_ratio:float
/api/hyperliquid/wallet/position-distribution standard rows
  = group_name:str all_address_count:int position_address_count:int position_address_percent:float
    bias_score:float bias_remark:str minimum_amount:int maximum_amount:int long_position_usd:float
    short_position_usd:float long_position_usd_percent:float short_position_usd_percent:float position_usd:float
    profit_address_count:int loss_address_count:int profit_address_percent:float loss_address_percent:float
/api/hyperliquid/wallet/pnl-distribution standard rows
  = group_name:str all_address_count:int position_address_count:int position_address_percent:float
    bias_score:float bias_remark:str minimum_amount:int maximum_amount:int long_position_usd:float
    short_position_usd:float long_position_usd_percent:float short_position_usd_percent:float position_usd:float
    profit_address_count:int loss_address_count:int profit_address_percent:float loss_address_percent:float
/api/spot/supported-coins hobbyist words
/api/spot/supported-exchange-pairs hobbyist by_exchange
  = instrument_id:str base_asset:str quote_asset:str
/api/spot/coins-markets standard rows
  ? per_page page
  = symbol:str current_price:int market_cap:float price_change_{5m|15m|30m|1h|4h|12h|24h|1w}:float
    price_change_percent_{5m|15m|30m|1h|4h|12h|24h|1w}:float volume_usd_{1h|5m|15m|30m|4h|12h|24h|1w}:float
    volume_change_usd_{1h|5m|15m|30m|4h|12h|24h|1w}:float
    volume_change_percent_{1h|5m|15m|30m|4h|12h|24h|1w}:float buy_volume_usd_{1h|5m|15m|30m|4h|12h|24h|1w}:float
    sell_volume_usd_{1h|5m|15m|30m|4h|12h|24h|1w}:float volume_flow_usd_{1h|5m|15m|30m|4h|12h|24h|1w}:float
/api/spot/pairs-markets hobbyist rows
  ? symbol*
  = symbol:str exchange_name:str current_price:float price_change_{1h|4h|12h|24h|1w}:float
    price_change_percent_{1h|4h|12h|24h|1w}:float volume_usd_{1h|4h|12h|24h|1w}:float
    buy_volume_usd_{1h|4h|12h|24h|1w}:float sell_volume_usd_{1h|4h|12h|24h|1w}:float
    volume_change_usd_{1h|1w}:float volume_change_percent_{1h|4h|12h|24h|1w}:float
    net_flows_usd_{1h|4h|12h|24h|1w}:float volume_change_{4h|12h|24h}:float
/api/spot/price/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int open:float high:float low:int close:float volume_usd:float
/api/spot/orderbook/ask-bids-history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time range=0.25|0.5|0.75|1|2|3|5|10
  = bids_usd:float bids_quantity:float asks_usd:float asks_quantity:float time:int
/api/spot/orderbook/aggregated-ask-bids-history hobbyist rows,gated
  ? exchange_list* symbol* interval*=STD limit<1000 start_time end_time range=0.25|0.5|0.75|1|2|3|5|10
  = aggregated_bids_usd:float aggregated_bids_quantity:float aggregated_asks_usd:float
    aggregated_asks_quantity:float time:int
/api/spot/orderbook/history standard book
  ? exchange* symbol* interval*=1m|3m|5m|15m|30m|1h|4h|6h|8h|12h|1d limit<100 start_time end_time
/api/spot/orderbook/large-limit-order standard rows
  ? exchange* symbol*
  = id:int exchange_name:str symbol:str base_asset:str quote_asset:str price:int start_time:int
    start_quantity:float start_usd_value:float current_quantity:float current_usd_value:int current_time:int
    executed_volume:int executed_usd_value:int trade_count:int order_side:int order_state:int
/api/spot/orderbook/large-limit-order-history standard rows
  ? exchange* symbol* start_time* end_time* state*=1|2|3
  = id:int exchange_name:str symbol:str base_asset:str quote_asset:str price:float start_time:int
    start_quantity:float start_usd_value:float current_quantity:float current_usd_value:float current_time:int
    executed_volume:int executed_usd_value:int trade_count:int order_side:int order_state:int order_end_time:int
/api/spot/taker-buy-sell-volume/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int taker_buy_volume_usd:str taker_sell_volume_usd:str
/api/spot/aggregated-taker-buy-sell-volume/history hobbyist rows,gated
  ? exchange_list* symbol* interval*=STD limit<1000 start_time end_time unit=usd|coin
  = time:int aggregated_buy_volume_usd:float aggregated_sell_volume_usd:float
/api/spot/cvd/history startup rows
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time unit=usd|coin
  = time:int taker_buy_vol:float taker_sell_vol:float cum_vol_delta:float
/api/spot/aggregated-cvd/history startup rows
  ? exchange_list* symbol* interval*=STD
  = time:int agg_taker_buy_vol:float agg_taker_sell_vol:float cum_vol_delta:float
/api/option/max-pain hobbyist rows
  ? symbol* exchange*
  = date:str call_open_interest_market_value:float put_open_interest:float put_open_interest_market_value:float
    max_pain_price:str call_open_interest:float call_open_interest_notional:float
    put_open_interest_notional:float
/api/option/info hobbyist rows
  ? symbol*
  = exchange_name:str open_interest:float oi_market_share:float open_interest_change_24h:float
    open_interest_usd:float volume_usd_24h:float volume_change_percent_24h:float
/api/option/exchange-oi-history hobbyist chart
  ? symbol* unit* range*=1h|4h|12h|all
/api/option/exchange-vol-history hobbyist chart
  ? symbol* unit*
/api/futures/basis/history hobbyist rows,gated
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int open_basis:float close_basis:float open_change:float close_change:float
/api/coinbase-premium-index hobbyist rows,gated,seconds
  ? interval*=STD limit<1000 start_time end_time
  = time:int premium:float premium_rate:float
/api/bitfinex-margin-long-short hobbyist rows,gated,seconds
  ? symbol*=BTC|ETH limit<1000 interval*=STD start_time end_time
  = time:int long_quantity:float short_quantity:float
/api/borrow-interest-rate/history hobbyist rows,seconds
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
  = time:int interest_rate:float
/api/spot/volume/footprint-history professional footprint
  ? exchange* symbol* interval*=STD limit<1000 start_time end_time
/api/spot/netflow-list startup rows
  ? per_page page
  = symbol:str taker_buy_volume_usd_{5m|15m|30m|1h|2h|4h|6h|8h|12h|24h|3d|7d|15d|30d}:float
    taker_sell_volume_usd_{5m|15m|30m|1h|2h|4h|6h|8h|12h|24h|3d|7d|15d|30d}:float
    net_flow_usd_{5m|15m|30m|1h|2h|4h|6h|8h|12h|24h|3d|7d|15d|30d}:float taker_buy_volume_usd_40d:float
    taker_sell_volume_usd_40d:float net_flow_usd_40d:float taker_buy_volume_usd_50d:float
    taker_sell_volume_usd_50d:float net_flow_usd_50d:float taker_buy_volume_usd_60d:float
    taker_sell_volume_usd_60d:float net_flow_usd_60d:float taker_buy_volume_usd_90d:float
    taker_sell_volume_usd_90d:float net_flow_usd_90d:float taker_buy_volume_usd_120d:float
    taker_sell_volume_usd_120d:float net_flow_usd_120d:float market_cap:float
/api/spot/coin/netflow startup object
  ? symbol* exchange_list*
  = symbol:str taker_buy_volume_usd_{5m|15m|30m|1h|4h|8h|12h|24h|3d|7d|15d|30d}:str
    taker_sell_volume_usd_{5m|15m|30m|1h|4h|8h|12h|24h|3d|7d|15d|30d}:str
    net_flow_usd_{5m|15m|30m|1h|4h|8h|12h|24h|3d|7d|15d|30d}:str
    net_flow_usd_change_percent_{5m|15m|30m|1h|4h|8h|12h|24h|3d|7d|15d|30d}:float
    net_flow_usd_5m_market_cap_ratio:float net_flow_usd_15m_market_cap_ratio:float
    net_flow_usd_30m_market_cap_ratio:float net_flow_usd_1h_market_cap_ratio:float
    net_flow_usd_4h_market_cap_ratio:float net_flow_usd_8h_market_cap_ratio:float
    net_flow_usd_12h_market_cap_ratio:float net_flow_usd_24h_market_cap_ratio:float
    net_flow_usd_3d_market_cap_ratio:float taker_buy_volume_usd_5d:str taker_sell_volume_usd_5d:str
    net_flow_usd_5d:str net_flow_usd_change_percent_5d:float net_flow_usd_5d_market_cap_ratio:float
    net_flow_usd_7d_market_cap_ratio:float taker_buy_volume_usd_10d:str taker_sell_volume_usd_10d:str
    net_flow_usd_10d:str net_flow_usd_change_percent_10d:float net_flow_usd_10d_market_cap_ratio:float
    net_flow_usd_15d_market_cap_ratio:float net_flow_usd_30d_market_cap_ratio:float taker_buy_volume_usd_40d:str
    taker_sell_volume_usd_40d:str net_flow_usd_40d:str net_flow_usd_change_percent_40d:float
    net_flow_usd_40d_market_cap_ratio:float taker_buy_volume_usd_50d:str taker_sell_volume_usd_50d:str
    net_flow_usd_50d:str net_flow_usd_change_percent_50d:float net_flow_usd_50d_market_cap_ratio:float
    taker_buy_volume_usd_60d:str taker_sell_volume_usd_60d:str net_flow_usd_60d:str
    net_flow_usd_change_percent_60d:float net_flow_usd_60d_market_cap_ratio:float taker_buy_volume_usd_90d:str
    taker_sell_volume_usd_90d:str net_flow_usd_90d:str net_flow_usd_change_percent_90d:float
    net_flow_usd_90d_market_cap_ratio:float taker_buy_volume_usd_120d:str taker_sell_volume_usd_120d:str
    net_flow_usd_120d:str net_flow_usd_change_percent_120d:float net_flow_usd_120d_market_cap_ratio:float
    taker_buy_volume_usd_150d:str taker_sell_volume_usd_150d:str net_flow_usd_150d:str
    net_flow_usd_change_percent_150d:float net_flow_usd_150d_market_cap_ratio:float
    taker_buy_volume_usd_180d:str taker_sell_volume_usd_180d:str net_flow_usd_180d:str
    net_flow_usd_change_percent_180d:float net_flow_usd_180d_market_cap_ratio:float taker_buy_volume_usd_1y:str
    taker_sell_volume_usd_1y:str net_flow_usd_1y:str net_flow_usd_change_percent_1y:float
    net_flow_usd_1y_market_cap_ratio:float
"""


@dataclass(frozen=True)
class Param:
    """One parameter."""

    name: str
    required: bool
    allowed: tuple[str, ...]
    most: int | None


@dataclass(frozen=True)
class Described:
    """One endpoint."""

    path: str
    plan: str
    kind: str
    gated: bool
    seconds: bool
    params: tuple[Param, ...]
    keys: tuple[tuple[str, str], ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(param.name for param in self.params)


def _param(token: str) -> Param:
    found = re.fullmatch(r"(\w+)(\*?)(?:=(\S+)|<(\d+))?", token)
    assert found is not None, token
    values = (found[3] or "").replace("STD", STD)
    return Param(
        found[1], bool(found[2]), tuple(values.split("|")) if values else (), int(found[4]) if found[4] else None
    )


def _keys(text: str) -> list[tuple[str, str]]:
    made = []
    for token in text.split():
        name, _, kind = token.rpartition(":")
        found = re.search(r"\{([^}]*)\}", name)
        parts = found[1].split("|") if found else [""]
        made += [(name.replace(found[0], part) if found else name, kind) for part in parts]
    return made


def _read() -> dict[str, Described]:
    made = {}
    for block in re.split(r"\n(?=/)", TABLE.strip()):
        head, *rest = re.split(r"\n  (?=[?=] )", block)
        path, plan, flags = head.split()
        told = {part[0]: part[2:] for part in rest}
        kind, *more = flags.split(",")
        params = tuple(map(_param, told.get("?", "").split()))
        made[path] = Described(
            path, plan, kind, "gated" in more, "seconds" in more, params, tuple(_keys(told.get("=", "")))
        )
    return made


ENDPOINTS = _read()
