"""Sector, size class and manageability of contracts: judged at the first close and daily, only changes written."""

from __future__ import annotations

import msgspec

from tests.engine.stream import T0, Session
from zmart_stream.app.compose.judging import Judge, judged
from zmart_stream.app.settings import Settings
from zmart_stream.app.settings_sectors import sectors_of, sizes_of
from zmart_stream.domain.commands import Reconfigured
from zmart_stream.domain.market import Tick
from zmart_stream.domain.message import Message
from zmart_stream.domain.scores import ScoresClosed
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.engine.engine import Engine
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.storage.items import SymbolsJudged

DAY = 86_400 * 10**9


def standing(number: int, **facts: object) -> Standing:
    known = {
        "symbol": f"C{number:03d}USDTM",
        "score": 50.0,
        "confidence": 1.0,
        "in_universe": True,
        "is_linear_usdt_crypto": True,
        "status": "Open",
        "stage": "NORMAL",
        "expires": False,
        "listed_days": 100.0,
        "turnover": 1e9 - number,
        "spread_bps": 1.0,
        "sides_filled": True,
        "live": True,
        "sector": "ai" if number % 2 else None,
        **facts,
    }
    return msgspec.convert(known, Standing)


def test_size_classes_by_rank_of_turnover() -> None:
    standings = [standing(number) for number in range(300)]
    standings[0] = standing(0, is_linear_usdt_crypto=False)  # takes no rank
    standings[1] = standing(1, status="Settled")
    standings[2] = standing(2, turnover=None)
    standings.reverse()
    facts = {int(fact.symbol[1:4]): fact for fact in judged(standings, ["C005USDTM"])}
    classes = [facts[number].market_cap_category for number in range(300)]
    assert classes[:3] == [None, None, None]
    assert classes[3:] == ["large"] * 10 + ["mid"] * 40 + ["small"] * 150 + ["micro"] * 97
    assert [number for number in range(300) if not facts[number].eligible] == [0, 1, 5]
    assert (facts[4].sector, facts[7].sector) == (None, "ai")


def test_a_core_is_judged_once_a_day_and_only_changes_are_written() -> None:
    settings = CoreSettings()
    engine = Engine(settings, build_scorers(settings.scoring), session=1)
    for message in Session(3).start():
        engine.process(message)
    put: list[Message] = []
    blocked: list[str] = []
    judge = Judge(engine, lambda: blocked, put.extend)

    def close(end: int) -> list[SymbolsJudged]:
        put.clear()
        judge.tell([Tick(ts=end), ScoresClosed(ts=end + 1, end=end, rows=())])
        return [message for message in put if isinstance(message, SymbolsJudged)]

    first = T0 // DAY * DAY + 10 * 3600 * 10**9
    (told,) = close(first)
    assert len(told.rows) == 16
    assert {row.market_cap_category for row in told.rows} == {"large", "mid"}
    assert close(first + 3600 * 10**9) == []
    blocked.append("C00USDTM")
    assert close(first + 7200 * 10**9) == []
    (later,) = close(first + DAY)
    assert [(row.symbol, row.eligible) for row in later.rows] == [("C00USDTM", False)]
    assert close(first + 2 * DAY) == []


def test_a_size_class_that_operators_say_goes_before_the_rank_and_applies_with_the_settings() -> None:
    settings = Settings.model_validate(
        {"sectors": {"c002": {"market_cap_category": "micro"}, "C003": "meme", "C004": {"sector": ""}}}
    )
    assert sectors_of(settings.sectors) == {"C003": "meme", "C004": ""}
    standings = [standing(number) for number in range(30)]
    standings[5] = standing(5, turnover=None)
    said = {fact.symbol: fact.market_cap_category for fact in judged(standings, (), sizes_of(settings.sectors))}
    assert (said["C001USDTM"], said["C002USDTM"], said["C005USDTM"]) == ("large", "micro", None)

    class Core:
        def standings(self) -> dict[str, Standing]:
            return {each.symbol: each for each in standings}

    put: list[Message] = []
    sizes: dict[str, str] = {}
    judge = Judge(Core(), list, put.extend, lambda: sizes)
    judge.tell([ScoresClosed(ts=T0, end=T0, rows=())])
    sizes["C020"] = "large"
    judge.tell([ScoresClosed(ts=T0 + 1, end=T0 + 1, rows=())])
    assert len(put) == 1
    judge.tell([Reconfigured(ts=T0, revision=2, changed=("sectors",)), ScoresClosed(ts=T0 + 2, end=T0 + 2, rows=())])
    last = put[-1]
    assert isinstance(last, SymbolsJudged)
    assert [(fact.symbol, fact.market_cap_category) for fact in last.rows] == [("C020USDTM", "large")]
