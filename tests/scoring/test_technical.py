"""What the batch formulas do not say of the technical parts: the seams between closed and forming bars."""

from __future__ import annotations

import pytest

from tests.contracts.small_market import SmallMarket
from zmart_stream.market import indicators
from zmart_stream.scoring import technical


def test_volume_does_not_jump_when_an_hour_opens() -> None:
    market = SmallMarket(seed=21, contracts=20)
    for _ in range(3):  # no midnight among them: it changes the mean daily turnover
        for trade in market.trades():
            market.play(trade)
        market.cache.elapse(market.end)
        before = {symbol: technical.volume(market.state(symbol)) for symbol in market.symbols}
        market.close()
        for symbol in market.symbols:
            state = market.state(symbol)
            market.play(market.trade(symbol, state.price, 1, market.start + 1))
            # only the volatility moves, by the hour without a return: half a percent
            assert technical.volume(state) == pytest.approx(before[symbol], rel=0.02, abs=1e-4)


def test_what_is_written_out_equals_the_indicators() -> None:
    market = SmallMarket(seed=22, contracts=20)
    for trade in market.trades():
        state = market.play(trade)
        assert state is not None
        high, low, price, _ = state.today()
        atr = indicators.provisional_atr(state.atr, state.rsi_prev, state.days_seen, high, low)
        line = indicators.provisional_macd(state.ema12, state.ema26, state.days_seen, price)
        rsi = indicators.provisional_rsi(state.rsi_gain, state.rsi_loss, state.rsi_prev, state.days_seen, price)
        assert technical.macd(state) == pytest.approx(line / atr, rel=1e-12)
        assert technical.rsi(state) == pytest.approx(rsi, rel=1e-12)


def test_before_their_first_valid_bar_indicators_have_no_value() -> None:
    market = SmallMarket(seed=23)
    state = market.cache.states[0]
    state.days_seen = 24.0
    assert technical.macd(state) != technical.macd(state)
    state.days_seen = 13.0
    assert technical.rsi(state) != technical.rsi(state)
