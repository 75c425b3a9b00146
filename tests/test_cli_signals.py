"""Signals from the command line: sent, listed, shown, over a real socket."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.api.desk import Desk, desk
from tests.api.judged import SIGNAL_ID
from tests.test_cli import SENT, ask
from zmart_stream.api.auth import AuthSettings
from zmart_stream.cli.signal_views import listed, whole
from zmart_stream.domain.commands import ReleaseSource
from zmart_stream.domain.signals import SubmitSignal

pytestmark = pytest.mark.usefixtures("no_log_of_the_server")


def with_desk(folder: Path, scenario: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        async with desk(folder, auth=AuthSettings(open_loopback=True)) as at:
            await scenario(at)

    asyncio.run(run())


def test_a_signal_is_sent_with_every_field_and_its_opinions_are_shown(tmp_path: Path) -> None:
    async def scenario(at: Desk) -> None:
        more = ["--symbol", "ethusdtm", "--direction", "buy", "--data", '{"a": 1}', "--key", "k", "--expires-in", "30"]
        code, out, _ = await ask(at, *SENT, *more, "--as", "anna")
        assert code == 0
        assert f"{SIGNAL_ID}  acted (add)" in out
        assert "approved: consensus 0.610, ADD ETHUSDTM" in out
        assert re.search(r"technical +approve +0\.700 .*score score=71\.5", out)
        assert re.search(r"record +abstain +– .*no_outcomes", out)
        code, out, _ = await ask(at, *SENT, "--expires-at", "2026-11-22T15:00:00Z", "--json")
        assert json.loads(out)["status"] == "acted"
        first, second = at.counter.taken
        assert isinstance(first, SubmitSignal)
        assert isinstance(second, SubmitSignal)
        assert (first.source_name, first.signal_type, first.signal_strength) == ("s", "BREAKOUT", 0.8)
        assert (first.symbol_id, first.signal_direction, first.signal_data) == ("ETHUSDTM", "BUY", {"a": 1})
        assert (first.idempotency_key, first.expires_in_s, first.who) == ("k", 30.0, "anna (loopback)")
        assert (second.symbol_id, second.expires_at) == (None, 1_795_359_600_000_000_000)
        code, _, err = await ask(at, *SENT, "--expires-at", "tomorrow")
        assert (code, "[bad_body]" in err) == (1, True)

    with_desk(tmp_path, scenario)


def test_a_source_is_released_in_a_name(tmp_path: Path) -> None:
    async def scenario(at: Desk) -> None:
        code, out, _ = await ask(at, "signals", "release", "Old Bot", "--reason", "revoked", "--as", "anna")
        assert (code, out.splitlines()[-1]) == (0, "Old Bot is free: it belongs to whoever uses it next")
        (command,) = at.counter.taken
        assert isinstance(command, ReleaseSource)
        assert (command.source_name, command.note, command.who) == ("Old Bot", "revoked", "anna (loopback)")

    with_desk(tmp_path, scenario)


def test_signals_are_listed_and_shown(tmp_path: Path) -> None:
    async def scenario(at: Desk) -> None:
        code, out, _ = await ask(at, "signals", "--source", "Tests", "--symbol", "ethusdtm")
        assert code == 0
        assert re.search(rf"{SIGNAL_ID}  Tests +BREAKOUT +BUY +ETHUSDTM +acted +add +0\.610  ADD +ETHUSDTM", out)
        assert out.splitlines()[-1].startswith("1 of 1 signals")
        assert at.paper.signals_asked == ("processed", "Tests", "ETHUSDTM")
        assert "0 of 0 signals" in (await ask(at, "signals", "--pending"))[1]
        head, row = csv.reader((await ask(at, "signals", "--csv"))[1].splitlines())
        assert dict(zip(head, row, strict=True))["id"] == SIGNAL_ID
        assert next(iter(json.loads((await ask(at, "signals", "--json"))[1]))) == "signals"
        code, out, _ = await ask(at, "signals", "show", SIGNAL_ID)
        assert code == 0
        assert "BREAKOUT BUY ETHUSDTM, strength 0.80, confidence 0.70" in out
        assert "approved: consensus 0.610 (approved from 0.55), 5 agents spoke (3 wanted)" in out
        assert re.search(r"technical +approve +0\.700 .*score score=71\.5", out)
        code, _, err = await ask(at, "signals", "show", "none")
        assert (code, "[unknown_signal]" in err) == (1, True)

    with_desk(tmp_path, scenario)


def test_a_rejected_market_signal_and_a_measured_one_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    bare = dict.fromkeys(
        "symbol signal_direction signal_strength confidence_level p action target_symbol decision".split()
    )
    signal = {
        **bare,
        "id": "1",
        "created_at": "t",
        "source_name": "s",
        "signal_type": "UP",
        "status": "rejected",
        "reason": "signal_type (up): upper case letters, digits and _; confidence_level (2): a number from 0 to 1",
        "detail": None,
        "submitted_by": "anna",
        "problems": [{"field": "signal_type", "value": "up", "rule": "upper case"}],
        "steps": [],
        "opinions": [],
        "outcome": None,
    }
    listed({"signals": [signal], "total": 1, "as_of": "now"})
    whole({"signal": signal})
    out = capsys.readouterr().out
    assert "signal_type (up): upper case letters, digits an…  " in out, "a list has one line a signal"
    assert "UP – the market" in out
    assert re.search(r"problem +signal_type \(up\): upper case", out)
    assert "outcome" not in out, "it was never judged: there is nothing to wait for"
    silent = {"agent": "record", "stance": "abstain", "p": 0.5, "veto": False, "ages": {}, "reasons": []}
    judged = {
        **signal,
        **dict.fromkeys(("spoke", "quorum"), 3),
        "status": "declined",
        "approved": False,
        "p": 0.5,
        "dissent": 0.1,
        "decision": {"approve_at": 0.55, "prior": 0.58, "confidence": 0.7, "is_calibrated": False},
        "opinions": [silent],
        "outcome": {"hit": False, "net": -0.012, "cost": 0.002, "since": "a", "until": "b"},
    }
    whole({"signal": judged})
    out = capsys.readouterr().out
    assert "miss: -1.20 % after cost of 0.20 %, a to b" in out
    assert "prior 0.580 (confidence 0.70 as stated), 3 agents spoke (3 wanted)" in out
    assert re.search(r"record +abstain +–  ", out), "who abstains has no probability"
