"""Signals on a running daemon: judged, stored, listed; each acts once, across a kill too; a pause keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.service.harness import BY_HAND, FULL_BOOK, PREFIX, WAIT_S, Daemon, cli, ending

SETS = (
    "sandbox.contracts=16",
    "sandbox.speed=360",
    # of market time: what is the default passes within seconds here, should the book hold
    "signals.expires_in_s=604800",
    *BY_HAND,
    *FULL_BOOK,
)
GOOD: dict[str, Any] = {
    "source_name": "bot",
    "signal_type": "BREAKOUT",
    "signal_strength": 0.85,
    "confidence_level": 0.75,
    "signal_data": {"indicator": "RSI"},
}


def sent(daemon: Daemon, **more: Any) -> dict[str, Any]:
    """A signal's answer."""
    status, reply = daemon.post("signals", **GOOD, **more)
    assert status == 200, reply
    return dict(reply)


def eligible(daemon: Daemon, name: str = "symbol_id") -> list[str]:
    """Ids, or symbols, of the contracts that pass every gate, best first."""
    return [row[name] for row in daemon.rankings() if row["eligible"]]


def processed(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """The stored ones of the bot that are through, by id."""
    return {row["id"]: row for row in daemon.get("signals/processed?source=bot")["signals"]}


def judged(daemon: Daemon, answer: dict[str, Any]) -> dict[str, Any]:
    """The stored row of an answered signal once it is through: a machine that stood still made the book hold."""
    if answer["status"] == "received":
        daemon.until("its judgement", lambda: answer["signal_id"] in processed(daemon))
    row = processed(daemon)[answer["signal_id"]]
    assert row["status"] in {"declined", "acted", "no_action"}, row
    return row


def acts_of(daemon: Daemon, signal_id: str) -> int:
    """Changes of the book that the signal made itself."""
    changes = daemon.get("portfolio/history?limit=1000")["changes"]
    return sum(change["who"] == f"signal:{signal_id}" for change in changes)


def test_a_signal_is_judged_once_and_stays_so_across_a_kill_and_a_pause(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "--sandbox", sets=SETS)
    with ending(daemon):
        daemon.post("initialize-sample-data")
        daemon.until("two that may come in", lambda: len(eligible(daemon)) >= 2)
        symbol, other = eligible(daemon)[:2]
        first = sent(daemon, symbol_id=symbol, idempotency_key="k1")
        status = judged(daemon, first)["status"]
        assert first["status"] in {"received", status}
        again = sent(daemon, symbol_id=symbol, idempotency_key="k1")
        assert (again["signal_id"], again["repeated"], again["status"]) == (first["signal_id"], True, status)
        whole = daemon.get(f"signals/{first['signal_id']}")["signal"]
        assert [step["status"] for step in whole["steps"]][:2] == ["received", "evaluated"]
        agents = [opinion["agent"] for opinion in whole["opinions"]]
        assert len(agents) == 6
        assert [one["agent"] for one in first["opinions"]] in ([], agents)
        acted = acts_of(daemon, first["signal_id"])
        assert bool(acted) == (status == "acted")
        assert daemon.post("portfolio/add-symbol", symbol_id=other)[0] == 200
        pairs = daemon.get("integrations/freqtrade/pairlist?exchange=kucoin")["pairs"]
        assert len(pairs) == daemon.portfolio()["size"] >= 1, "what is held is what bots trade"
        daemon.post("pause", reason="quiet")
        waits = sent(daemon, symbol_id=symbol, signal_direction="SELL", idempotency_key="k2")
        assert (waits["status"], waits["decision"]) == ("received", None)
        daemon.kill()
    later = Daemon(tmp_path, "--sandbox", sets=SETS, state=daemon.state, name="later")
    with ending(later):
        later.post("initialize-sample-data")
        known = sent(later, symbol_id=symbol, idempotency_key="k1")
        assert (known["signal_id"], known["repeated"], known["status"]) == (first["signal_id"], True, status)
        assert acts_of(later, first["signal_id"]) == acted, "it acted once"
        waiting = [row["id"] for row in later.get("signals/pending?source=bot")["signals"]]
        assert waiting == [waits["signal_id"]]
        assert later.post("resume")[0] == 200
        judged(later, waits)
        assert later.get("signals/pending?source=bot")["total"] == 0


def fire(address: str, message: str) -> tuple[int, dict[str, Any]]:
    """TradingView's request: the message as the body, its content type by whether it is JSON."""
    kind = "application/json" if message.startswith("{") else "text/plain"
    request = Request(address, message.encode(), {"Content-Type": f"{kind}; charset=utf-8"})
    try:
        with urlopen(request, timeout=WAIT_S) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def answered(address: str, message: str) -> dict[str, Any] | None:
    """The answer to an alert, None where the machine was too busy to have one in time."""
    status, reply = fire(address, message)
    assert status == 202, reply
    return None if reply["status"] == "accepted" else reply


def test_an_alert_of_tradingview_is_judged_once_and_a_revoked_secret_opens_nothing(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "--sandbox", sets=(*SETS, "log.level=debug"))
    with ending(daemon):
        daemon.post("initialize-sample-data")
        port = daemon.url.rpartition(":")[2]
        where = ("--set", f"state_dir={daemon.state}", "--set", f"api.port={port}")
        made = cli("token", "create", "--name", "alerts", "--scope", "tradingview", *where)
        assert made.returncode == 0, made.stderr
        address = made.stdout.strip()
        secret = address.rpartition("/")[2]
        symbol = daemon.until("one that may come in", lambda: eligible(daemon, "symbol"))[0]
        alert = {
            "ticker": f"KUCOIN:{symbol}",
            "action": "buy",
            "time": "2026-11-22T14:00:00Z",
            "passphrase": "hunter2-h",
        }
        status, first = fire(address, json.dumps(alert))
        assert (status, first["success"]) == (202, True), first
        assert first["status"] in {"received", "declined", "acted", "no_action", "accepted"}, first
        daemon.until("its end", lambda: daemon.get("signals/processed?source=alerts")["total"] == 1)
        [row] = daemon.get("signals/processed?source=alerts")["signals"]
        assert (row["symbol"], row["signal_direction"], row["submitted_by"]) == (symbol, "BUY", "alerts")
        assert row["signal_data"]["via"] == "tradingview"
        assert "hunter2" not in json.dumps(daemon.get(f"signals/{row['id']}"))
        later = json.dumps({**alert, "timenow": "2026-11-22T14:03:00Z"})
        again = daemon.until("an answer in time", lambda: answered(address, later))
        assert (again["signal_id"], again["repeated"]) == (row["id"], True)
        status, wrong = fire(address, "buy {{ticker}}")
        assert (status, wrong["code"], wrong["problems"][0]["value"]) == (422, "bad_alert", "{{ticker}}")
        elsewhere = Request(f"{daemon.url}{PREFIX}/portfolio", headers={"Authorization": f"Bearer {secret}"})
        with pytest.raises(HTTPError, match="403") as refused:
            urlopen(elsewhere, timeout=WAIT_S)
        refused.value.close()
        assert cli("token", "revoke", "alerts", *where).returncode == 0
        assert fire(address, f"sell {symbol}")[0] == 401
        assert daemon.get("signals/processed?source=alerts")["total"] == 1
        daemon.event("api.wrote", status=202, who="alerts")
        assert secret not in daemon.err
        assert "hunter2" not in daemon.err
