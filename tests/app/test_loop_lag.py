"""Lateness is measured against when a sleeper was due, over the newest minute."""

from __future__ import annotations

import asyncio
import time

from zmart_stream.app.loop_lag import STEP_S, WINDOW_S, LoopLag


def test_shares_of_the_newest_minute() -> None:
    now = 1000.0
    lag = LoopLag(lambda: now)
    assert lag.facts() == {"lag_p50_ms": None, "lag_p99_ms": None, "lag_max_ms": None, "window_s": WINDOW_S}
    lag.note(now - 5.0)
    now += WINDOW_S + 1.0
    for late_ms in range(100):
        lag.note(now - late_ms / 1e3)
    found = lag.facts()
    assert (found["lag_p50_ms"], found["lag_p99_ms"], found["lag_max_ms"]) == (50.0, 99.0, 99.0)


def test_who_holds_up_the_loop_is_seen() -> None:
    async def held_up() -> LoopLag:
        lag = LoopLag()
        task = asyncio.create_task(lag.watch())
        await asyncio.sleep(2 * STEP_S)
        time.sleep(0.2)  # noqa: ASYNC251 - the point of it
        await asyncio.sleep(2 * STEP_S)
        task.cancel()
        return lag

    assert asyncio.run(held_up()).facts()["lag_max_ms"] > 100.0
