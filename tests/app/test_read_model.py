"""Answers over a running core: a ranking is kept for a moment, and not beyond what was told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.engine.stream import HOUR, T0, Session
from zmart_stream.app import read_model
from zmart_stream.app.read_model import ReadModel
from zmart_stream.domain.bars import TopicSilent
from zmart_stream.domain.commands import BlockSymbol, Pause, Rebalance, Reconfigure, RemoveHolding, StorageDegraded
from zmart_stream.domain.market import Tick
from zmart_stream.domain.scores import ScoreChanged
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.engine import reads
from zmart_stream.engine.engine import Engine
from zmart_stream.scoring.registry import build_scorers


class Core:
    """A warm core, its market, and what moves it."""

    def __init__(self, seed: int) -> None:
        settings = CoreSettings()
        self.engine = Engine(settings, build_scorers(settings.scoring), session=1)
        self.session = Session(seed)
        for message in self.session.start():
            self.engine.process(message)
        self.reads = ReadModel(self.engine, venue=dict, feed=dict, storage=dict, config=dict)
        self._now = T0 + HOUR // 12

    def move(self) -> list[Any]:
        """Process ticks until a score was told; what was told."""
        while True:
            since, self._now = self._now, self._now + HOUR // 60
            told = [t for message in self.session.run(since, self._now) for t in self.engine.process(message)]
            if any(isinstance(message, ScoreChanged) for message in told):
                return told


def test_a_ranking_is_kept_for_a_moment(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_model, "RANKED_S", 3600.0)
    core = Core(seed)
    first = core.reads.rankings()
    assert {row["symbol"] for row in first} == {contract.symbol for contract in core.session.contracts}
    core.reads.tell([message for message in core.move() if isinstance(message, ScoreChanged)])
    assert core.reads.rankings() is first
    monkeypatch.setattr(read_model, "RANKED_S", 0.0)
    assert core.reads.rankings() != first


def test_whatever_else_is_told_is_in_the_ranking_at_once(seed: int) -> None:
    core = Core(seed)
    first = core.reads.rankings()
    core.move()
    core.reads.tell([TopicSilent(ts=core.engine.now, symbol=first[0]["symbol"], topic="ticker")])
    assert core.reads.rankings() != first


def test_each_kind_is_kept_apart_and_an_unknown_one_is_an_error(seed: int) -> None:
    core = Core(seed)
    assert core.reads.rankings("RISK") != core.reads.rankings()
    with pytest.raises(KeyError):
        core.reads.rankings("NONSENSE")


def test_the_book_names_who_is_kept_out_once_that_is_on_disk(seed: int) -> None:
    core = Core(seed)
    symbol = core.session.contracts[0].symbol
    told = core.engine.process(BlockSymbol(ts=core.engine.now, request_id="1", symbol=symbol))
    assert core.reads.portfolio()["blocked"] == []
    core.reads.tell(told)
    assert core.reads.portfolio()["blocked"] == [symbol]


def test_the_book_and_the_status_say_when_nobody_is_heard_or_history_still_loads() -> None:
    settings = CoreSettings()
    feed: dict[str, Any] = {"rest": {"state": "up"}, "connections": [{"state": "up"}]}
    engine = Engine(settings, build_scorers(settings.scoring), session=1)
    reads = ReadModel(engine, venue=dict, feed=lambda: feed, storage=dict, config=dict)
    assert reads.portfolio()["notice"] == "waiting for the venue's contracts"
    feed["rest"]["state"] = "down"
    assert reads.status()["venue"]["reachable"], "its sockets still bring something"
    feed["connections"] = [{"state": "down"}, {"state": "dialling"}]
    assert reads.status()["venue"]["reachable"] is False
    assert reads.portfolio()["notice"] == "the venue does not answer: nothing here is new"


def test_the_book_says_which_limits_conflict(seed: int) -> None:
    core = Core(seed)
    settings = core.engine.settings
    narrow = msgspec.structs.replace(settings.portfolio, max_sector_weight=1.0)
    now, changed = core.engine.now, msgspec.structs.replace(settings, portfolio=narrow)
    core.engine.process(Reconfigure(ts=now, request_id="1", settings=changed, revision=2))
    core.engine.process(Rebalance(ts=now, request_id="2"))
    assert "max_sector_weight 1:" in core.reads.portfolio()["notice"]
    core.engine.process(Reconfigure(ts=now, request_id="3", settings=settings, revision=3))
    core.engine.process(Rebalance(ts=now, request_id="4"))
    assert core.reads.portfolio()["notice"] is None


def test_the_holdings_carry_what_they_earned(seed: int) -> None:
    core = Core(seed)
    holdings = core.reads.portfolio()["holdings"]
    assert holdings
    for holding in holdings:
        earned = holding["price_pnl_usdt"] + holding["funding_usdt"] - holding["costs_usdt"]
        assert holding["earned_usdt"] == pytest.approx(earned, abs=0.02)
        assert holding["value_usdt"] > 0
    assert core.reads.portfolio()["notice"] is None
    statistics = core.reads.statistics()
    assert statistics["as_of"].endswith("Z")
    assert statistics["positions"][0]["since"].endswith("Z")


def test_while_a_change_is_on_its_way_to_the_disk_all_of_the_book_is_as_it_was(seed: int) -> None:
    """Holdings, cash and its reasons, hold, money and time are those of one moment."""
    core = Core(seed)
    engine, reads = core.engine, core.reads
    before = reads.portfolio()
    leaver = before["holdings"][0]["symbol"]
    later = engine.now + HOUR // 3600
    first = engine.process(RemoveHolding(ts=later, request_id="1", symbol=leaver))
    reads.made(first)
    second = engine.process(Pause(ts=later + 1, request_id="2"))
    reads.made(second)
    engine.process(Tick(ts=later + HOUR // 60))

    assert reads.portfolio() == before
    assert reads.status()["book"]["hold"] is False
    assert reads.explain(leaver)["in_book"] is True

    reads.tell(first)
    now = reads.portfolio()
    assert leaver not in [holding["symbol"] for holding in now["holdings"]]
    assert [reason["code"] for reason in now["cash_reasons"]] != [reason["code"] for reason in before["cash_reasons"]]
    assert now["hold"] is False
    assert all(holding["value_usdt"] is not None for holding in now["holdings"])
    assert reads.explain(leaver)["in_book"] is False

    reads.tell(second)
    assert reads.portfolio()["hold_reason"] == reads.status()["book"]["hold_reason"] == "paused"
    assert reads.portfolio()["as_of"] > now["as_of"]


def test_a_storage_that_takes_nothing_is_told_though_it_cannot_be_stored(seed: int) -> None:
    core = Core(seed)
    core.reads.made(core.engine.process(StorageDegraded(ts=core.engine.now, reason="disk full")))
    assert core.reads.portfolio()["hold_reason"] == "storage: disk full"
    assert core.reads.status()["book"]["hold"] is True


def test_explain_tells_when_a_contract_may_come_back(seed: int) -> None:
    core = Core(seed)
    leaver, other = (holding["symbol"] for holding in core.reads.portfolio()["holdings"][:2])
    core.engine.symbols.memory.barred[leaver] = 1_790_000_000 * 10**9
    core.engine.symbols.memory.barred[other] = None
    assert core.reads.explain(leaver)["rules"]["barred_until"] == "2026-09-21T14:13:20.000Z"
    assert core.reads.explain(other)["rules"]["barred_until"] is None


def test_a_ranking_in_steps_is_the_one_in_one_go_and_says_of_each_contract_what_its_explanation_says(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Core(seed)
    core.move()
    rows = core.engine.rankings()
    monkeypatch.setattr(reads, "AT_ONCE", 3)
    assert len(list(core.engine.ranking_steps())) == -(-len(core.session.contracts) // 3)
    assert core.engine.rankings() == rows
    for row in rows:
        explained = core.engine.explain(row["symbol"])
        assert (row["score"], row["confidence"]) == (explained["score"], explained["confidence"])
        scores = {part["name"].upper(): part["score"] for part in explained["components"]}
        assert row["components"] == pytest.approx(scores, abs=1e-6, nan_ok=True)
        assert row["failed_gates"] == [gate["name"] for gate in explained["gates"] if not gate["ok"]]
        assert (row["rank"], row["eligible"]) == (explained["rank"], explained["eligible"])
    assert list(core.engine.ranked_symbols()) == [row["symbol"] for row in rows if row["eligible"]] != []


def test_the_number_of_what_was_told_moves_with_all_but_figures(seed: int) -> None:
    core = Core(seed)
    core.reads.tell([message for message in core.move() if isinstance(message, ScoreChanged)])
    assert core.reads.told == 0
    core.reads.tell([TopicSilent(ts=core.engine.now, symbol="XBTUSDTM", topic="ticker")])
    assert core.reads.told == 1


def test_contracts_come_in_steps_each_as_it_is_asked_for_alone(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_model, "AT_ONCE", 1)
    core = Core(seed)
    steps, pauses = core.reads.symbol_steps(), 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            rows = done.value
            break
        pauses += 1
    assert [row["symbol"] for row in rows] == [contract.symbol for contract in core.session.contracts]
    assert pauses == len(rows)
    assert rows == [core.reads.symbol(row["symbol"]) for row in rows]
    ranked = {row["symbol"]: row for row in core.reads.rankings()}
    for row in rows:
        spoke = core.engine.market.by_symbol[row["symbol"]].ticker_ts
        assert row["age_s"] == ranked[row["symbol"]]["age_s"] == (core.engine.now - spoke) / 1e9 >= 0.0
    core.engine.market.by_symbol[rows[0]["symbol"]].ticker_ts = 0
    assert core.reads.symbol(rows[0]["symbol"])["age_s"] is None, "it never spoke"
