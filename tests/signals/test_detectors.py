"""The built-in detectors over a real market cache: constructed bars, and recorded ones against plain formulas."""

from __future__ import annotations

from math import sqrt
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import talib

from tests.contracts.recorded import recorded_hours
from tests.contracts.small_market import (
    CLOSE,
    DAY,
    HIGH,
    HOUR,
    LOTS,
    LOW,
    NS,
    START,
    TURNOVER,
    Floats,
    History,
    SmallMarket,
)
from zmart_stream.domain.market import Coverage, FundingSettled
from zmart_stream.domain.settings import CoreSettings, MarketSettings
from zmart_stream.engine.market_view import CoreMarket
from zmart_stream.engine.score_trail import ScoreTrail
from zmart_stream.market.contract_state import Moves
from zmart_stream.signals.base import Finding
from zmart_stream.signals.detectors.breakout import BreakoutDetector
from zmart_stream.signals.detectors.funding_flip import FundingFlipDetector
from zmart_stream.signals.detectors.grading import confidence, strength
from zmart_stream.signals.detectors.new_listing import NewListingDetector
from zmart_stream.signals.detectors.rsi_divergence import RsiDivergenceDetector
from zmart_stream.signals.detectors.spread_collapse import SpreadCollapseDetector
from zmart_stream.signals.detectors.volume_spike import VolumeSpikeDetector

PAST = 62 * 24 + 20
"""Hours before the first live one, which begins at 20:00: whole days and the twenty hours of today."""
GRACE = 3 * NS // 2


class World:
    """A market that is traded hour by hour, as detectors see it."""

    def __init__(self, bars: dict[str, Floats], *, live: int, bar_s: int = 3600) -> None:
        self.market = SmallMarket(seed=1, recorded=bars, live=live)
        self.cache = self.market.cache
        self.now = START + GRACE
        self.composites: dict[int, float] = {}
        self.parts: dict[str, tuple[float, float, Moves]] = {}
        scoring = SimpleNamespace(
            composite=lambda row: self.composites.get(row, float("nan")), part=lambda _row, name: self.parts.get(name)
        )
        settings = CoreSettings(market=MarketSettings(bar_s=bar_s))
        stages: Any = SimpleNamespace(market=self.cache, settings=settings, scoring=scoring)
        self.trail = ScoreTrail()
        self.view = CoreMarket(stages, self.trail, lambda: self.now)
        self.cache.refresh_universe(self.now)

    def hour(self, hours: int = 1) -> None:
        """Trade and close."""
        for _ in range(hours):
            for trade in self.market.trades():
                self.market.play(trade)
            self.market.close()
            self.now = self.market.start + GRACE


def calm(live: int, seed: int = 5) -> Floats:
    """Hour bars around 100 within one percent, 4000 lots each: nothing to be found."""
    random = np.random.default_rng(seed)
    close = 100.0 + random.uniform(-0.5, 0.5, PAST + live)
    open_ = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(open_, close) + 0.1, np.minimum(open_, close) - 0.1
    lots = np.full(PAST + live, 4000.0)
    return np.column_stack([open_, high, low, close, lots, lots * close])


def moved(bars: Floats, hour: int, *, close: float, lots: float) -> Floats:
    """The live `hour` (from 0) closes at `close` with `lots`; later ones stay there."""
    at, changed = PAST + hour, bars.copy()
    changed[at:, :4] = close
    changed[at, 0] = bars[at - 1, CLOSE]
    changed[at, HIGH], changed[at, LOW] = max(changed[at, 0], close), min(changed[at, 0], close)
    changed[at, LOTS] = lots
    return changed


def sought(detector: Any, world: World) -> list[Finding]:
    return list(detector.at_close(world.view))


# -- grading ---------------------------------------------------------------------------------------------------------


def test_strength_and_confidence_grow_with_their_figures_and_begin_at_one_half() -> None:
    values = [5.0, 5.5, 8.0, 10.0, 100.0, 1e9]
    for grade, twice, most in ((strength, 0.75, 1.0), (confidence, 0.625, 0.75)):
        grades = [grade(value, 5.0) for value in values]
        assert grades[0] == 0.5
        assert grades[3] == twice
        assert grades == sorted(set(grades))
        assert grades[-1] <= most
    assert (strength(float("inf"), 5.0), confidence(float("inf"), 5.0)) == (1.0, 0.75)


# -- breakout --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "direction"), [(102.0, "BUY"), (98.0, "SELL")])
def test_a_close_beyond_the_range_with_volume_is_a_breakout_once(price: float, direction: str) -> None:
    world = World({"AUSDTM": moved(calm(8), 1, close=price, lots=12_000.0), "BUSDTM": calm(8, seed=6)}, live=8)
    world.hour()
    assert sought(BreakoutDetector(), world) == []
    world.hour()
    (finding,) = sought(BreakoutDetector(), world)
    assert (finding.symbol, finding.direction, finding.signal_type) == ("AUSDTM", direction, "BREAKOUT")
    days = world.market.history("AUSDTM").days[:-1]
    edge = days[-20:, HIGH].max() if direction == "BUY" else days[-20:, LOW].min()
    atr = talib.ATR(days[:, HIGH], days[:, LOW], days[:, CLOSE], 14)[-1]
    distance = abs(price - edge) / atr
    assert finding.data["edge"] == pytest.approx(edge, rel=1e-8)
    assert finding.data["beyond_atr"] == pytest.approx(distance, abs=1e-6)
    hour = world.market.history("AUSDTM").hours[-1, TURNOVER]
    ratio = hour / (days[-20:, TURNOVER].mean() / 24)
    assert finding.data["volume_ratio"] == pytest.approx(ratio, abs=1e-6)
    assert finding.strength == pytest.approx(1 - 0.1 / (2 * distance), abs=1e-6)
    assert finding.confidence == pytest.approx(0.75 - 2.0 / (4 * ratio), abs=1e-6)
    for _ in range(6):  # over the end of the day: it is beyond still, and the new day's range holds it
        world.hour()
        assert sought(BreakoutDetector(), world) == []


def test_a_breakout_in_the_hour_that_ends_a_day_is_one() -> None:
    world = World({"AUSDTM": moved(calm(4), 3, close=102.0, lots=12_000.0)}, live=4)
    world.hour(4)
    assert world.view.closed(86400) == 1
    assert [finding.direction for finding in sought(BreakoutDetector(), world)] == ["BUY"]


def test_no_breakout_without_volume_distance_range_or_a_whole_hour() -> None:
    def found(bars: Floats, **options: float) -> list[Finding]:
        world = World({"AUSDTM": bars}, live=2)
        world.hour(2)
        return sought(BreakoutDetector(**options), world)

    assert found(moved(calm(2), 1, close=102.0, lots=12_000.0))
    assert found(moved(calm(2), 1, close=102.0, lots=7_000.0)) == []
    assert found(moved(calm(2), 1, close=100.65, lots=12_000.0)) == []
    assert found(moved(calm(2), 1, close=102.0, lots=12_000.0), least_atr=2.0) == []
    assert found(moved(calm(2), 1, close=102.0, lots=12_000.0)[-19 * 24 :]) == [], "19 days are no range of 20"
    world = World({"AUSDTM": moved(calm(2), 1, close=102.0, lots=12_000.0)}, live=2)
    world.hour()
    world.cache.coverage(Coverage(ts=world.now, topic="execution", symbols=("AUSDTM",), since=None))
    world.cache.coverage(Coverage(ts=world.now, topic="execution", symbols=("AUSDTM",), since=world.now + NS))
    world.hour()
    assert sought(BreakoutDetector(), world) == [], "the hour was not seen whole"
    world = World({"AUSDTM": moved(calm(2), 1, close=102.0, lots=12_000.0)}, live=2)
    world.hour(2)
    world.cache.by_symbol["AUSDTM"].in_universe = False
    assert sought(BreakoutDetector(), world) == []


# -- volume spike ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "direction"), [(101.8, "BUY"), (98.2, "SELL")])
def test_an_hour_of_many_times_the_turnover_is_a_spike_in_the_direction_it_went(price: float, direction: str) -> None:
    world = World({"AUSDTM": moved(calm(3), 1, close=price, lots=40_000.0), "BUSDTM": calm(3, seed=6)}, live=3)
    world.hour(2)
    (finding,) = sought(VolumeSpikeDetector(), world)
    hours = world.market.history("AUSDTM").hours
    ratio = hours[-1, TURNOVER] / hours[-169:-1, TURNOVER].mean()
    moves = abs(hours[-1, CLOSE] / hours[-2, CLOSE] - 1) / sqrt(world.cache.by_symbol["AUSDTM"].ew_var)
    assert (finding.symbol, finding.direction, finding.signal_type) == ("AUSDTM", direction, "VOLUME_SPIKE")
    assert finding.data["volume_ratio"] == pytest.approx(ratio, abs=1e-6)
    assert finding.strength == pytest.approx(1 - 5 / (2 * ratio), abs=1e-6)
    assert finding.confidence == pytest.approx(0.75 - 2 / (4 * moves), abs=1e-6)
    world.hour()
    assert sought(VolumeSpikeDetector(), world) == []
    quiet = World({"AUSDTM": moved(calm(2), 1, close=price, lots=18_000.0)}, live=2)
    quiet.hour(2)
    assert sought(VolumeSpikeDetector(), quiet) == []


def test_turnover_that_moves_nothing_has_no_direction() -> None:
    bars = calm(2)
    world = World({"AUSDTM": moved(bars, 1, close=float(bars[PAST, CLOSE]), lots=90_000.0)}, live=2)
    world.hour(2)
    assert sought(VolumeSpikeDetector(), world) == []
    assert sought(VolumeSpikeDetector(least_moves=1e-6), world) == []


def test_four_hours_are_taken_together_where_decisions_fall_every_four() -> None:
    bars = moved(calm(8), 1, close=101.8, lots=80_000.0)
    world = World({"AUSDTM": bars}, live=8, bar_s=14400)
    world.hour(2)
    assert world.view.closed(3600) == 0, "22:00 is no end of four hours"
    assert sought(VolumeSpikeDetector(), world) == []
    world.hour(2)
    assert (world.view.closed(3600), world.view.closed(86400)) == (4, 1)
    (finding,) = sought(VolumeSpikeDetector(), world)
    turnover = world.market.history("AUSDTM").hours[:, TURNOVER]
    assert finding.data["volume_ratio"] == pytest.approx(turnover[-4:].mean() / turnover[-172:-4].mean(), abs=1e-6)
    world.hour(4)
    assert sought(VolumeSpikeDetector(), world) == []


def test_a_quarter_hours_close_ends_no_bar() -> None:
    world = World({"AUSDTM": moved(calm(2), 1, close=102.0, lots=40_000.0)}, live=2, bar_s=900)
    world.hour(2)
    assert len(sought(BreakoutDetector(), world)) == len(sought(VolumeSpikeDetector(), world)) == 1
    world.now += HOUR // 4
    assert sought(BreakoutDetector(), world) == sought(VolumeSpikeDetector(), world) == []


# -- RSI divergence --------------------------------------------------------------------------------------------------


def of_days(closes: list[float], live_days: int) -> Floats:
    """Hour bars whose days close at `closes`; before them a calm past, after them the rest of the live hours."""
    path = np.concatenate([np.full(62 + live_days + 1 - len(closes), closes[0]), closes])
    ends = (np.arange(len(path)) + 1) * 24
    hours = np.interp(np.arange(1, ends[-1] + 1), ends, path)
    random = np.random.default_rng(1)
    hours = hours * (1 + random.uniform(-1e-4, 1e-4, len(hours)))
    hours[ends - 1] = path
    open_ = np.concatenate([[hours[0]], hours[:-1]])
    lots = np.full(len(hours), 4000.0)
    return np.column_stack([open_, np.maximum(open_, hours), np.minimum(open_, hours), hours, lots, lots * hours])


def two_turns(second: float) -> list[float]:
    """A steep rise to 120, a fall, a slow rise to `second`, and two days below it."""
    rise = [100 + 2 * n for n in range(11)]
    return [float(x) for x in (*rise, 114, 110, 108, 110, 109, 112, 111, 115, 114, 118, second, 117, 115)]


@pytest.mark.parametrize(("mirrored", "direction"), [(False, "SELL"), (True, "BUY")])
def test_a_further_turn_of_the_price_with_a_weaker_rsi_is_a_divergence_on_one_day(
    mirrored: bool, direction: str
) -> None:
    closes = two_turns(121.0)
    if mirrored:
        closes = [220.0 - x for x in closes]
    live_days = 4
    world = World({"AUSDTM": of_days(closes, live_days)}, live=4 + 24 * live_days)
    detector, told = RsiDivergenceDetector(), list[tuple[int, Finding]]()
    for hour in range(4 + 24 * live_days):
        world.hour()
        told += [(hour, finding) for finding in sought(detector, world)]
    ((hour, finding),) = told
    assert (hour - 3) % 24 == 0, "at the end of a day"
    assert (finding.signal_type, finding.direction) == ("RSI_DIVERGENCE", direction)
    history = world.market.history("AUSDTM").days[:, CLOSE]
    rsi = talib.RSI(history, 14)
    first, second = (int(np.flatnonzero(history == (220.0 - x if mirrored else x))[-1]) for x in (120.0, 121.0))
    assert (finding.data["close_first"], finding.data["close_second"]) == (history[first], history[second])
    assert finding.data["rsi_first"] == pytest.approx(rsi[first], abs=1e-6)
    assert finding.data["rsi_second"] == pytest.approx(rsi[second], abs=1e-6)
    gap, extreme = abs(rsi[first] - rsi[second]), abs(rsi[first] - 50)
    assert finding.strength == pytest.approx(1 - 4 / (2 * gap), abs=1e-6)
    assert finding.confidence == pytest.approx(0.75 - 10 / (4 * extreme), abs=1e-6)
    told_after = (hour - 3) // 24 + 60  # of the history's days, from 0: sixty were loaded
    assert told_after == second + 2, "two days after the turn"


def test_a_lower_second_high_is_no_divergence() -> None:
    world = World({"AUSDTM": of_days(two_turns(119.5), 4)}, live=100)
    for _ in range(100):
        world.hour()
        assert sought(RsiDivergenceDetector(), world) == []


def test_rsi_of_the_ring_equals_talibs_over_all_that_was_seen() -> None:
    market = SmallMarket(seed=9)
    for _ in range(24 * 5):
        for trade in market.trades():
            market.play(trade)
        market.close()
    rows = np.array([market.state(symbol).row for symbol in market.symbols])
    path = market.cache.day_rsi(rows)
    for n, symbol in enumerate(market.symbols):
        closes = market.history(symbol).days[:-1, CLOSE]  # today is provisional
        assert len(closes) > 60, "bars have left the ring: the anchor counts"
        np.testing.assert_allclose(path[:, n], talib.RSI(closes, 14)[-60:], rtol=1e-9)


# -- recorded bars ---------------------------------------------------------------------------------------------------


def plain_breakout(history: History, *, is_day: bool) -> str | None:
    """Of fifteen days."""
    before, closed = history.days[:-1], history.days if is_day else history.days[:-1]
    last, newest = history.hours[-2:, CLOSE]
    if len(before) < 15 or history.hours[-1, TURNOVER] < 2.0 * before[-15:, TURNOVER].mean() / 24:
        return None
    step = 0.1 * talib.ATR(closed[:, HIGH], closed[:, LOW], closed[:, CLOSE], 14)[-1]
    top, bottom = before[-15:, HIGH].max() + step, before[-15:, LOW].min() - step
    if newest >= top > last:
        return "BUY"
    return "SELL" if newest <= bottom < last else None


def plain_spike(history: History, ew_var: float) -> str | None:
    """Of four times the week's mean."""
    hours = history.hours
    change = hours[-1, CLOSE] / hours[-2, CLOSE] - 1
    if hours[-1, TURNOVER] < 4.0 * hours[-169:-1, TURNOVER].mean() or abs(change) < 2.0 * sqrt(ew_var):
        return None
    return "BUY" if change > 0 else "SELL"


def plain_divergence(history: History) -> str | None:
    """Of turns that one day on each side shows, two points of RSI apart, the first two points beyond 50."""
    closes = history.days[:, CLOSE]
    rsi, second = talib.RSI(closes, 14), len(closes) - 2
    for sign, direction in ((1.0, "SELL"), (-1.0, "BUY")):
        x, stretch = sign * closes, sign * (rsi - 50)
        turns = [day for day in range(second - 30, second + 1) if day > 0 and x[day - 1] < x[day] > x[day + 1]]
        firsts = [day for day in turns if day <= second - 2]
        if second not in turns or not firsts or not x[second] > x[firsts[-1]]:
            continue
        first = firsts[-1]
        if stretch[first] - stretch[second] >= 2.0 and stretch[first] >= 2.0:
            return direction
    return None


def test_recorded_hours_show_what_the_plain_formulas_show(shared_data: Any) -> None:
    bars = dict(list(recorded_hours(shared_data).items())[::2])
    world = World(bars, live=540)
    detectors = {
        "breakout": BreakoutDetector(days=15),
        "spike": VolumeSpikeDetector(times=4.0),
        "divergence": RsiDivergenceDetector(wing=1, apart_least=2, least_points=2.0, least_extreme=2.0),
    }
    count = dict.fromkeys(detectors, 0)
    for _ in range(540):
        world.hour()
        is_day = bool(world.view.closed(86400))
        found = {name: {each.symbol: each.direction for each in sought(d, world)} for name, d in detectors.items()}
        for name, sides in found.items():
            count[name] += len(sides)
        for symbol in bars:
            history, ew_var = world.market.history(symbol), world.cache.by_symbol[symbol].ew_var
            at = symbol, world.now
            assert found["breakout"].get(symbol) == plain_breakout(history, is_day=is_day), at
            assert found["spike"].get(symbol) == plain_spike(history, ew_var), at
            assert found["divergence"].get(symbol) == (plain_divergence(history) if is_day else None), at
    print(count)
    assert all(count.values()), count


# -- funding flip ----------------------------------------------------------------------------------------------------


def funded(world: World, rates: list[float]) -> None:
    """Settlements every eight hours, the newest at 16:00 before the first live hour."""
    state, newest = world.cache.by_symbol["AUSDTM"], START - 4 * HOUR
    state.settlements = [(newest - 8 * HOUR * n, rate, 8.0) for n, rate in enumerate(reversed(rates))][::-1]
    state.settled_ts = newest


def settled(world: World, rate: float, ts: int) -> None:
    message = FundingSettled(ts=ts, ts_event=ts, symbol="AUSDTM", rate=rate)
    world.cache.funding_settled(message)


@pytest.mark.parametrize(("sign", "direction"), [(1.0, "BUY"), (-1.0, "SELL")])
def test_funding_that_changes_sign_is_told_once_at_the_close_after_it(sign: float, direction: str) -> None:
    world = World({"AUSDTM": calm(8)}, live=8)
    funded(world, [sign * 3e-4, sign * 2e-4, sign * 4e-4])
    world.hour(4)
    midnight = world.market.start
    settled(world, -sign * 2e-4, midnight)
    assert sought(FundingFlipDetector(), world) == [], "settled at the very instant of this close"
    world.hour()
    (finding,) = sought(FundingFlipDetector(), world)
    assert (finding.signal_type, finding.direction) == ("FUNDING_FLIP", direction)
    assert finding.data["rate_bps_8h"] == pytest.approx(-sign * 2.0)
    assert finding.data["before_bps_8h"] == pytest.approx(sign * 3.0)
    assert (finding.strength, finding.confidence) == (0.75, pytest.approx(0.75 - 1 / 12, abs=1e-6))
    world.hour()
    assert sought(FundingFlipDetector(), world) == []


@pytest.mark.parametrize(
    ("past", "rate"),
    [
        ([3e-4, 3e-4, 3e-4], 2e-4),  # no flip
        ([3e-4, 3e-4, 3e-4], -0.5e-4),  # too small
        ([0.5e-4, 0.5e-4, 0.5e-4], -3e-4),  # was hardly paid before
        ([9e-4, -3e-4, 9e-4], -3e-4),  # changes sign all the time
        ([3e-4, 3e-4], -3e-4),  # too short a past
    ],
)
def test_what_is_no_flip(past: list[float], rate: float) -> None:
    world = World({"AUSDTM": calm(8)}, live=8)
    funded(world, past)
    world.hour(4)
    settled(world, rate, world.market.start)
    world.hour()
    assert sought(FundingFlipDetector(), world) == []


def test_rates_of_short_intervals_are_compared_over_eight_hours() -> None:
    world = World({"AUSDTM": calm(8)}, live=8)
    state, newest = world.cache.by_symbol["AUSDTM"], START + 20 * 60 * NS
    state.settlements = [(newest - HOUR * n, rate, 1.0) for n, rate in enumerate([-0.2e-4, 0.2e-4, 0.2e-4, 0.2e-4])][
        ::-1
    ]
    state.settled_ts = newest
    world.hour()
    (finding,) = sought(FundingFlipDetector(), world)
    assert finding.data["rate_bps_8h"] == pytest.approx(-1.6)


# -- spread collapse, new listing ------------------------------------------------------------------------------------


def test_a_structure_score_that_falls_with_the_worst_spreads_is_told_as_a_sell() -> None:
    world = World({"AUSDTM": calm(2), "BUSDTM": calm(2, seed=6)}, live=2)
    world.hour()
    rows = [world.cache.by_symbol[symbol].row for symbol in ("AUSDTM", "BUSDTM")]
    for score in (70.0, 68.0, 66.0, 50.0, 30.0):
        scores = np.full((2, 2), 60.0)
        scores[1, rows[0]] = score
        world.trail.put(("composite", "structure"), scores)
    world.parts = {"structure.spread": (-9.0, 10.0, Moves.TICKER), "structure.depth": (3.0, 30.0, Moves.DEPTH)}
    (finding,) = sought(SpreadCollapseDetector(), world)
    assert (finding.symbol, finding.signal_type, finding.direction) == ("AUSDTM", "SPREAD_COLLAPSE", "SELL")
    assert finding.strength == pytest.approx(1 - 25 / 80, abs=1e-6)
    assert finding.confidence == pytest.approx(0.75 - 0.25 * 10 / 20)
    assert sought(SpreadCollapseDetector(least_fall=41.0), world) == []
    assert sought(SpreadCollapseDetector(bars=1), world) == [], "30 from 50 within one bar is too little"
    world.cache.by_symbol["AUSDTM"].fresh[Moves.TICKER] = 0.9
    assert sought(SpreadCollapseDetector(), world) == [], "a stale spread says nothing"
    world.parts["structure.depth"] = (1.0, 0.0, Moves.DEPTH)
    (finding,) = sought(SpreadCollapseDetector(), world)
    assert (finding.confidence, "spread_pct" in finding.data) == (0.75, False)


def test_a_contract_is_told_as_it_comes_of_age_and_never_again() -> None:
    world = World({"AUSDTM": calm(6), "BUSDTM": calm(6, seed=6)}, live=6)
    state = world.cache.by_symbol["AUSDTM"]
    state.listed_at = START + 2 * HOUR + 1800 * NS - 7 * DAY  # seven days at 22:30
    state.contract = msgspec.structs.replace(state.contract, listed_at=state.listed_at)
    world.composites = {state.row: 60.0}
    told = []
    for hour in range(6):
        world.hour()
        told += [(hour, finding) for finding in sought(NewListingDetector(), world)]
        if told and told[-1][0] == hour:
            assert sought(NewListingDetector(least_score=61.0), world) == []
            assert sought(NewListingDetector(least_turnover_usdt=2e8), world) == []
            assert sought(NewListingDetector(age_days=6.0), world) == []
    ((hour, finding),) = told
    assert (hour, finding.symbol, finding.signal_type, finding.direction) == (2, "AUSDTM", "LISTING", "BUY")
    assert finding.strength == pytest.approx(1 - 10e6 / (2 * 1e8))
    assert finding.confidence == pytest.approx(0.75 - 50 / (4 * 60), abs=1e-6)


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (BreakoutDetector, {"days": 14}),
        (BreakoutDetector, {"days": 20.5}),
        (BreakoutDetector, {"least_volume": 0.0}),
        (RsiDivergenceDetector, {"wing": 0}),
        (RsiDivergenceDetector, {"apart_least": 20, "apart_most": 10}),
        (VolumeSpikeDetector, {"times": -1.0}),
        (VolumeSpikeDetector, {"hours": 169}),
        (FundingFlipDetector, {"before": 0}),
        (SpreadCollapseDetector, {"bars": 5}),
        (NewListingDetector, {"least_turnover_usdt": float("nan")}),
    ],
)
def test_options_out_of_range_are_refused(kind: Any, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is not"):
        kind(**options)
