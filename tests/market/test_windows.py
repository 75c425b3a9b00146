"""Windowed figures against plain formulas, one row at a time."""

from __future__ import annotations

import numpy as np
import pytest

from tests.market.a_market import LEVELS, candles
from zmart_stream.market import windows
from zmart_stream.market.trail import traced


def test_each_figure_equals_its_plain_formula_for_every_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = np.stack([candles(rng, level, 168) for level in LEVELS], axis=2)
    bars[4][rng.random(bars[4].shape) < 0.2] = 0.0
    _, high, low, close, lots = bars
    turnover = lots * close
    ret, step, ratio, known = traced(close, turnover[1:])
    biggest, kaufman, amihud = windows.largest(ret), windows.efficiency(close, step), windows.amihud(ratio, known)
    worst = windows.drawdown(high, low, close)[2]
    for k in range(len(LEVELS)):
        c = close[:, k]
        r = c[1:] / c[:-1] - 1
        assert biggest[k] == r.max()
        assert kaufman[k] == pytest.approx(abs(c[-1] - c[0]) / np.abs(np.diff(c)).sum(), rel=1e-12)
        traded = turnover[1:, k] > 0
        illiquid = np.mean(np.abs(r[traded]) / np.maximum(turnover[1:, k][traded], 1.0))
        assert amihud[k] == pytest.approx(illiquid, rel=1e-12)
        peaks = np.maximum.accumulate(high[:, k])
        plain = max(np.max(1 - low[1:, k] / peaks[:-1]), np.max(1 - c / high[:, k]))
        assert worst[k] == plain


def test_rows_without_bars_or_with_few_give_nan_or_what_there_is() -> None:
    close = np.array([[np.nan, np.nan], [np.nan, 2.0], [np.nan, 3.0], [np.nan, 2.5]])
    ret, step, ratio, known = traced(close, np.ones((3, 2)))
    assert np.isnan(windows.largest(ret)[0])
    assert windows.largest(ret)[1] == 0.5
    assert np.isnan(windows.efficiency(close, step)[0])
    assert windows.efficiency(close, step)[1] == pytest.approx(0.5 / 1.5)
    assert np.isnan(windows.amihud(ratio, known)[0])
    assert np.isnan(windows.drawdown(close, close, close)[2][0])
    assert windows.drawdown(close, close, close)[2][1] == 1 - 2.5 / 3.0
    assert windows.total(close).tolist() == [0.0, 7.5]
    assert np.isnan(windows.mean(close, least=4)).all()
    assert windows.mean(close)[1] == 2.5


def test_a_bars_own_low_is_no_drawdown_from_its_own_high() -> None:
    """Within a bar nobody knows which came first: only its close is surely after its high."""
    high, low, close = (np.array(x)[:, None] for x in ([10.0, 10.5], [5.0, 9.0], [9.0, 10.0]))
    assert windows.drawdown(high, low, close)[2][0] == pytest.approx(0.1)
    assert windows.drawdown(high[::-1], low[::-1], close[::-1])[2][0] == pytest.approx(1 - 5.0 / 10.5)


def test_amihud_leaves_bars_without_volume_out() -> None:
    close, turnover = np.array([[10.0], [11.0], [16.5], [19.8]]), np.array([[10.0], [0.0], [0.5]])
    _, _, ratio, known = traced(close, turnover)
    assert windows.amihud(ratio, known)[0] == pytest.approx((0.1 / 10 + 0.2 / 1.0) / 2)
