"""What every plug-in must satisfy; authors of plug-ins run these on their own.

check_scorer(NearHigh, hours=24)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.contracts.small_market import CLOSE, DAY, HIGH, LOW, NS, Floats, History, SmallMarket
from zmart_stream.domain.settings import ScorerSettings, ScoringSettings
from zmart_stream.market.contract_state import Moves
from zmart_stream.scoring import SCORERS
from zmart_stream.scoring.base import AT_CLOSE, Scorer, moving
from zmart_stream.scoring.engine import ScoringEngine
from zmart_stream.scoring.isolation import checked_close, checked_touch
from zmart_stream.scoring.normalise import CrossSection
from zmart_stream.scoring.registry import DEFAULTS, build_scorers

Batch = Callable[[Mapping[str, History]], dict[str, Floats]]
"""Plain formula: histories by symbol (in order) -> part name -> values in that order; parts may be left out."""

TOUCH_TOLERANCE = 1e-12
BATCH_TOLERANCE = 1e-9
WINDOWS = (24, 168)


def check_scorer(
    kind: type[Any],
    *,
    options: dict[str, Any] | None = None,
    batch: Batch | None = None,
    seed: int = 1,
    hours: int = 30,
    recorded: dict[str, Floats] | None = None,
) -> None:
    """Run a scorer through hours of a small market and hold it to the contract; AssertionError names what broke.

    Raw values: touch at the bar's last price equals close within 1e-12; subsets and the order of rows change nothing;
    `batch` gives the same. Percentiles are continuous. Opening an hour bar at the last price moves no composite by more
    than the publish step (twice that at midnight) unless the bar leaving a window was its extreme.
    """
    print("seed", seed)
    options = options or {}
    scorer = _named(kind, options)
    market = SmallMarket(seed=seed, recorded=recorded, live=hours)
    mirror = SmallMarket(seed=seed, recorded=recorded, live=hours, reverse=True)
    for _ in range(hours):
        touched = _touched(scorer, market)
        _play(mirror)
        market.close()
        mirror.close()
        raw = checked_close(scorer, market.cache.view())
        _check_touch(scorer, market, touched, raw)
        _check_rows(scorer, market, mirror, raw)
        if batch is not None and (market.step % 9 == 0 or market.start % DAY == 0):
            _check_batch(scorer, market, raw, batch)
        market.quote(market.start + 60 * NS)
        mirror.quote(mirror.start + 60 * NS)
    _check_continuity(scorer, checked_close(scorer, market.cache.view()))
    _check_openings(kind, options, _few(seed, recorded, hours), hours)


def _few(seed: int, recorded: dict[str, Floats] | None, hours: int) -> SmallMarket:
    """Seven contracts: the smooth reference curves are the map, and no neighbour makes or hides a step."""
    chosen = dict(sorted(recorded.items())[:7]) if recorded else None
    return SmallMarket(seed=seed, contracts=7, recorded=chosen, live=hours)


def _named(kind: type[Any], options: dict[str, Any]) -> Scorer:
    settings = ScoringSettings(components=(_settings(kind, options),))
    return build_scorers(settings, {"custom": kind})[0]


def _settings(kind: type[Any], options: dict[str, Any]) -> ScorerSettings:
    name = next((name for name, known in SCORERS.items() if known is kind), "custom")
    return ScorerSettings(name=name, weight=0.1, options=options)


def _engine(kind: type[Any], options: dict[str, Any], market: SmallMarket) -> ScoringEngine:
    """All built-in components, and the scorer under test with a tenth beside them if it is another."""
    extra = () if kind in SCORERS.values() else (_settings(kind, options),)
    settings = ScoringSettings(components=DEFAULTS + extra)
    engine = ScoringEngine(settings, build_scorers(settings, {"custom": kind}), market.cache)
    for state in market.cache.states:
        engine.row_loaded(state)
    engine.freeze(market.start)
    return engine


def _play(market: SmallMarket) -> None:
    for trade in market.trades():
        market.play(trade)
    market.cache.elapse(market.end)


def _touched(scorer: Scorer, market: SmallMarket) -> dict[tuple[str, int], float]:
    """The hour's trades, then every part that moves within a bar at its last price."""
    _play(market)
    found = {}
    for symbol in market.symbols:
        for moves in Moves:
            indexes = moving(scorer.parts, moves)
            if indexes and moves not in AT_CLOSE:
                values = checked_touch(scorer, moves)(market.state(symbol))
                found |= {(symbol, i): value for i, value in zip(indexes, values, strict=True)}
    return found


def _check_touch(
    scorer: Scorer, market: SmallMarket, touched: dict[tuple[str, int], float], raw: NDArray[np.float64]
) -> None:
    for (symbol, i), value in touched.items():
        closed = float(raw[i, market.state(symbol).row])
        what = f"{scorer.name}.{scorer.parts[i].name} of {symbol}"
        assert _alike(value, closed, TOUCH_TOLERANCE), f"{what}: touch {value!r}, close {closed!r}"


def _check_rows(scorer: Scorer, market: SmallMarket, mirror: SmallMarket, raw: NDArray[np.float64]) -> None:
    """The same contracts in another order, and one contract alone, give the same values."""
    other = checked_close(scorer, mirror.cache.view())
    alone = market.state(market.symbols[market.step % len(market.symbols)]).row
    single = checked_close(scorer, market.cache.view(np.array([alone])))[:, 0]
    day = [part.moves == Moves.DAY for part in scorer.parts]
    for i, part in enumerate(scorer.parts):
        for symbol in market.symbols:
            here, there = float(raw[i, market.state(symbol).row]), float(other[i, mirror.state(symbol).row])
            assert _alike(here, there, 1e-9), f"{part.name} of {symbol}: the order of rows changed it"
        if not day[i] and market.start % DAY:  # at midnight one row alone is asked after the day's commit
            assert _alike(float(single[i]), float(raw[i, alone]), 1e-9), f"{part.name}: one row alone differs"


def _check_continuity(scorer: Scorer, raw: NDArray[np.float64]) -> None:
    """Halving a step brings the change of every percentile below 1e-6."""
    for values, part in zip(raw, scorer.parts, strict=True):
        section = CrossSection.freeze(part, values)
        for x in values[np.isfinite(values)].tolist():
            step = part.scale
            while abs(section.pct(x + step) - section.pct(x)) >= 1e-6:
                step /= 2.0
                assert x + step != x, f"{part.name}: the percentile jumps at {x!r}"


def _check_batch(scorer: Scorer, market: SmallMarket, raw: NDArray[np.float64], batch: Batch) -> None:
    expected = batch({symbol: market.history(symbol) for symbol in market.symbols})
    for i, part in enumerate(scorer.parts):
        for symbol, value in zip(market.symbols, expected.get(part.name, np.empty(0)).tolist(), strict=False):
            here = float(raw[i, market.state(symbol).row])
            what = f"{part.name} of {symbol} after {market.step} hours"
            assert _alike(here, value, BATCH_TOLERANCE), f"{what}: {here!r}, batch formula {value!r}"


def _check_openings(kind: type[Any], options: dict[str, Any], market: SmallMarket, hours: int) -> None:
    engine = _engine(kind, options, market)
    for _ in range(hours):
        _play(market)
        market.close()
        engine.bars_closed(market.start)
        engine.publish(market.start)
        for symbol in market.symbols:
            _check_opening(engine, market, symbol)
        assert not engine.failures, engine.failures
        market.quote(market.start + 60 * NS)


def _check_opening(engine: ScoringEngine, market: SmallMarket, symbol: str) -> None:
    """The contract trades at its last price as the hour opens, cross-sections held fixed."""
    state = market.state(symbol)
    before = engine.composite(state.row)
    first = market.trade(symbol, state.price, 1, market.start + 1)
    if market.play(first) is not None:
        engine.touch(state, Moves.TRADE, first.ts)
    moved = abs(engine.composite(state.row) - before)
    step = ScoringSettings().publish_step
    if market.start % DAY == 0:
        step *= 2.0  # a day bar opens too: MACD's averages close in on the price by one bar, ATR by a day without range
    assert not moved > step or _extreme_left(market, symbol), f"{symbol}: {moved} points at the opening"


def _extreme_left(market: SmallMarket, symbol: str) -> bool:
    """The bar that left a window held its highest or lowest price, one of its largest moves, or its drawdown's peak."""
    hours = market.history(symbol).hours
    for window in WINDOWS:
        bars = hours[-window:]
        moves = np.abs(np.diff(np.log(hours[-window - 1 :, CLOSE])))
        if bars[0, HIGH] >= bars[:, HIGH].max() or bars[0, LOW] <= bars[:, LOW].min():
            return True
        if moves[0] >= np.sort(moves)[-max(1, window // 24)] or max_drawdown(bars[1:]) < max_drawdown(bars):
            return True
    return False


def max_drawdown(bars: Floats) -> float:
    """Largest of 1 - close / high of a bar and 1 - low / highest high before it."""
    peak = np.maximum.accumulate(bars[:, HIGH])
    inside = 1.0 - bars[:, CLOSE] / bars[:, HIGH]
    return float(max(inside.max(), (1.0 - bars[1:, LOW] / peak[:-1]).max()))


def _alike(a: float, b: float, tolerance: float) -> bool:
    return (isnan(a) and isnan(b)) or abs(a - b) <= tolerance * max(1.0, abs(b))
