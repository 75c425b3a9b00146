"""What a kline reply proves, by when it was asked for; and when a repair is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.feeds.kucoin.parts import Basket
from zmart_stream.domain.bars import RepairWanted
from zmart_stream.domain.errors import FeedError
from zmart_stream.domain.market import HOUR_S, BarRow, Bars
from zmart_stream.feeds.kucoin.history import History
from zmart_stream.feeds.kucoin.klines import SECOND, Page, Span
from zmart_stream.feeds.kucoin.report import Report
from zmart_stream.feeds.kucoin.settings import FeedSettings

HOUR = HOUR_S * SECOND
TEN = 1_793_916_000 * SECOND  # a full hour, in no day's first
A = "AUSDTM"


class Moments:
    """A clock that is read at given moments; the last one stays."""

    def __init__(self, *moments: int) -> None:
        self._moments = list(moments)

    def now(self) -> int:
        return self._moments.pop(0) if len(self._moments) > 1 else self._moments[0]

    def seen(self, ts_event: int) -> None:
        raise AssertionError


class Klines:
    """A venue with a bar in every hour; the first requests fail."""

    def __init__(self, failures: int = 0) -> None:
        self.asked: list[Span] = []
        self._failures = failures

    async def kline_page(self, symbol: str, interval_s: int, span: Span, *_: Any) -> Page:
        rows = await self.klines(symbol, interval_s, *span)
        return Page(rows, len(rows))

    async def klines(self, _symbol: str, interval_s: int, since: int, until: int) -> tuple[BarRow, ...]:
        self.asked.append(Span(since, until))
        if len(self.asked) <= self._failures:
            raise FeedError("busy")
        step = interval_s * SECOND
        return tuple((start, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0) for start in range(since, until, step))


def loaded(moments: Sequence[int], **changes: Any) -> tuple[list[Bars], History]:
    """What loading one contract puts into the inbox, hours only."""
    basket = Basket()
    settings = FeedSettings(window_hours=3, window_days=1, **changes)

    async def scenario() -> History:
        history = History(
            Klines(),  # type: ignore[arg-type]  # the two calls that are made
            clock=Moments(*moments),
            inbox=basket,
            settings=lambda: settings,
            report=Report(lambda: 0.0),
        )
        await history.load([A], {A: None})
        return history

    history = asyncio.run(scenario())
    return [bars for bars in basket.of(Bars) if bars.interval_s == HOUR_S], history


def test_an_hour_that_ended_while_the_reply_was_on_its_way_is_not_proved_by_it() -> None:
    """The reply has the candle as it was before the end, whenever it is read."""
    late = TEN + HOUR
    (bars,), history = loaded([late - SECOND, late - SECOND, late + SECOND])
    assert (bars.since, bars.until, bars.as_of) == (TEN - 3 * HOUR, TEN, late + SECOND)
    assert bars.rows[-1][0] == TEN, "the running candle comes along"
    assert history.repairs_waiting == 0


@pytest.mark.parametrize(
    ("after_s", "speed", "again"), [(1.0, 1.0, True), (3.0, 1.0, False), (60.0, 60.0, True), (3000.0, 1e9, False)]
)
def test_an_hour_that_had_just_ended_is_asked_for_again(after_s: float, speed: float, again: bool) -> None:
    now = TEN + int(after_s * SECOND)
    (bars,), history = loaded([now], speed=speed)
    assert bars.until == TEN
    assert history.repairs_waiting == int(again)


def test_repairs_of_one_contract_become_one_and_wait_for_the_newest_bar_to_settle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmart_stream.feeds.kucoin.history.REPAIR_SETTLE_S", 0.3)
    basket, venue = Basket(), Klines(failures=1)
    asked_at: list[float] = []

    def wanted() -> Iterator[RepairWanted]:
        for hours in (1, 2):
            yield RepairWanted(ts=TEN, symbol=A, interval_s=HOUR_S, since=TEN - HOUR, until=TEN - HOUR + hours * HOUR)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        history = History(
            venue,  # type: ignore[arg-type]  # the one call that is made
            clock=Moments(TEN),
            inbox=basket,
            settings=FeedSettings,
            report=Report(lambda: 0.0),
        )
        first, second = wanted()
        history.repair(first)
        await asyncio.sleep(0.3)  # the first alone would be due
        history.repair(second)
        wanted_at = loop.time()
        running = asyncio.create_task(history.repair_forever())
        while not venue.asked:  # noqa: ASYNC110 - the venue under test raises no events
            await asyncio.sleep(0)
        asked_at.append(loop.time() - wanted_at)
        await basket.until(lambda: basket.of(Bars))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scenario())
    (bars,) = basket.of(Bars)
    assert asked_at[0] >= 0.3 - 1e-6, "asked for before the newest had settled"
    assert venue.asked == [Span(TEN - HOUR, TEN + HOUR)] * 2, "asked for one by one"
    assert (bars.since, bars.until) == (TEN - HOUR, TEN + HOUR)
