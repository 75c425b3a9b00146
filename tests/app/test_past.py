"""What a start makes of what an earlier session, or an earlier release, left behind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.engine.stream import NS, Session
from zmart_stream.app.compose.past import restored_engine
from zmart_stream.domain.market import Tick
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.engine.engine import Engine
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.storage.reader import StoredState

SETTINGS = CoreSettings()


def filled() -> Engine:
    engine = Engine(SETTINGS, build_scorers(SETTINGS.scoring), session=1)
    for message in Session(3).start():
        engine.process(message)
    assert engine.symbols.portfolio.holdings
    return engine


def stored(engine: Engine, snapshot: dict[str, Any] | None) -> StoredState:
    return StoredState(
        session=2,
        last_ts=engine.now,
        snapshot=snapshot,
        snapshot_ts=engine.now,
        blocks=(),
        amendments=(),
        contracts=(),
        book=engine.symbols.portfolio,
        last_change=None,
        changes=(),
        swaps=(),
        exits=(),
        paused=False,
        revision=0,
        settings=None,
        overrides={},
        problems=(),
    )


@pytest.mark.parametrize("part", [None, "market", "scoring"])
def test_a_snapshot_of_an_earlier_format_costs_the_market_not_the_book(part: str | None) -> None:
    """Each part of the state has a format of its own; whichever is old, the start is a clean one."""
    engine = filled()
    data = msgspec.msgpack.decode(msgspec.msgpack.encode(engine.snapshot(full=True)))
    assert len(restored_engine(SETTINGS, stored(engine, data)).market.states) == 16  # as it is, it fits
    old = data if part is None else data[part]
    old["format"] -= 1
    later = restored_engine(SETTINGS, stored(engine, data))
    assert not later.market.states
    assert later.symbols.portfolio == engine.symbols.portfolio
    for message in Session(3).start(engine.now + 60 * NS):
        later.process(message)
    later.process(Tick(ts=later.now + NS))
    assert later.status()["scored"] == 16
    assert {h.symbol for h in later.symbols.portfolio.holdings} == {h.symbol for h in engine.symbols.portfolio.holdings}
