"""The customer's guide, as it stands: its curl lines against a daemon on the sandbox, and its integration test's steps.

`localhost:5000` is the guide's server; ours has another port, which is all that is changed in its lines.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.harness import BY_HAND, FULL_BOOK, PREFIX, Daemon, ask, cli, ending, environment
from tests.service.stored import rows
from zmart_stream.app.config import Sources
from zmart_stream.app.embed import running

CONTRACTS = 16
SETS = (
    f"sandbox.contracts={CONTRACTS}",
    "sandbox.speed=120",
    *BY_HAND,
    # of market time: what is the default, a minute and a quarter of an hour, passes within seconds here
    "signals.dedupe_s=86400",
    "signals.expires_in_s=86400",
    *FULL_BOOK,
)

INITIALIZE = "curl -X POST http://localhost:5000/api/symbol-mgmt/initialize-sample-data"
PORTFOLIO = "curl -X GET http://localhost:5000/api/symbol-mgmt/portfolio"
ADD = """\
curl -X POST http://localhost:5000/api/symbol-mgmt/portfolio/add-symbol \\
  -H "Content-Type: application/json" \\
  -d '{"symbol_id": "uuid-here", "reason": "High score"}'"""
CALCULATE = "curl -X POST http://localhost:5000/api/symbol-mgmt/scoring/calculate"

SIGNAL = """\
curl -X POST http://localhost:5000/api/symbol-mgmt/signals \\
  -H "Content-Type: application/json" \\
  -d '{
    "source_name": "TestSource",
    "signal_type": "MOMENTUM",
    "signal_strength": 0.8,
    "confidence_level": 0.7
  }'"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One on the sandbox whose book nobody fills but us."""
    daemon = Daemon(tmp_path_factory.mktemp("guide"), "--sandbox", sets=SETS)
    with ending(daemon):
        yield daemon


def curl(daemon: Daemon, line: str, **changes: str) -> dict[str, Any]:
    """What a line of the guide prints; `changes` are what its reader has to fill in."""
    asked = line.replace("http://localhost:5000", daemon.url.replace("127.0.0.1", "localhost"))
    for placeholder, value in changes.items():
        asked = asked.replace(placeholder.replace("_", "-"), value)
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, timeout=150, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def put(daemon: Daemon, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A PUT by curl."""
    line = f"curl -s -X PUT http://localhost:5000{PREFIX}/{path} -H 'Content-Type: application/json' -d '{{body}}'"
    return curl(daemon, line.replace("{body}", json.dumps(body)))


def test_the_curl_lines_of_the_guide(daemon: Daemon) -> None:
    sample = curl(daemon, INITIALIZE)
    assert sample["success"] is True
    assert sample["symbols"] == CONTRACTS
    assert curl(daemon, INITIALIZE)["success"] is True, "a second time changes nothing"
    empty = curl(daemon, PORTFOLIO)
    assert (empty["success"], empty["holdings"]) == (True, [])
    scores = curl(daemon, CALCULATE)
    assert scores["symbols_processed"] == CONTRACTS
    best = daemon.until("a contract that may come in", lambda: [row for row in daemon.rankings() if row["eligible"]])[0]
    added = curl(daemon, ADD, uuid_here=best["symbol_id"])
    assert added["success"] is True, added
    [change] = [change for change in added["changes"] if change["kind"] == "add"]
    assert (change["symbol_in"], change["note"], change["who"]) == (best["symbol"], "High score", "loopback")
    assert [holding["symbol"] for holding in curl(daemon, PORTFOLIO)["holdings"]] == [best["symbol"]]
    again = curl(daemon, ADD, uuid_here=best["symbol_id"])
    assert (again["success"], again["code"]) == (False, "already_in_book")
    judged = curl(daemon, SIGNAL)
    assert judged["success"] is True, judged
    if judged["status"] == "received":  # a machine that stood still cut the feed off: then it waits for the hold's end
        assert judged["decision"] is None
    else:
        assert judged["status"] in {"declined", "acted", "no_action"}, "a market signal is judged at once"
        assert judged["decision"]["symbol"], "its target is chosen"
        assert len(judged["opinions"]) == 6
    repeated = daemon.until("its judgement", lambda: (r := curl(daemon, SIGNAL))["status"] != "received" and r)
    assert (repeated["signal_id"], repeated["repeated"]) == (judged["signal_id"], True)
    assert repeated["status"] in {"declined", "acted", "no_action"}
    assert repeated["decision"]["symbol"] == (judged["decision"] or repeated["decision"])["symbol"]


@pytest.mark.parametrize(
    "path",
    """portfolio portfolio/statistics portfolio/metrics scoring/rankings scoring/symbol/{id}/scores health status
    symbols symbols/{id} explain/{id} portfolio/history portfolio/attribution portfolio/equity portfolio/optimize
    portfolio/swaps scoring/algorithms config signals/pending signals/processed
    signals/statistics""".split(),
)
def test_every_reading_endpoint_answers(daemon: Daemon, path: str) -> None:
    first = daemon.rankings()[0]["symbol_id"]
    status, reply = ask(f"{daemon.url}{PREFIX}/{path.replace('{id}', first)}")
    assert (status, reply["success"]) == (200, True), reply
    assert reply["as_of"].endswith("Z")


def candidates(daemon: Daemon, held: set[str]) -> list[str]:
    """The contracts that pass every gate and are not in the book, best first."""
    return [row["symbol"] for row in daemon.rankings() if row["eligible"] and row["symbol"] not in held]


def test_the_book_by_hand_from_the_command_line(daemon: Daemon) -> None:
    daemon.post("initialize-sample-data")
    held = {holding["symbol"] for holding in daemon.portfolio()["holdings"]}
    one, two = daemon.until("two that may come in", lambda: len(free := candidates(daemon, held)) >= 2 and free[:2])

    def said(*arguments: str) -> Any:
        done = cli("portfolio", *arguments, "--url", daemon.url, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert said("add", one, "--reason", "by hand", "--as", "anna")["changes"][0]["who"] == "anna (loopback)"
    assert said("pin", one)["changes"][0]["kind"] == "pin"
    assert said("unpin", one)["changes"][0]["kind"] == "unpin"
    assert said("replace", one, two)["changes"][0]["kind"] == "replace"
    said("rebalance")
    said("remove", two)
    history = said("history", "--limit", "100")
    assert [change["kind"] for change in history["changes"] if change["kind"] not in ("reweight", "rerank")][:4] == [
        "remove", "replace", "unpin", "pin",
    ]  # fmt: skip
    assert "anna (loopback)" in {change["who"] for change in history["changes"]}
    assert said("swaps")["running"][0]["symbol_in"] == two
    summary = cli("portfolio", "summary", "--url", daemon.url)
    assert summary.returncode == 0, summary.stderr
    assert "Against doing less" in summary.stdout


def test_recorded_settings_apply_at_once_and_survive_a_kill(tmp_path: Path) -> None:
    sets = (*SETS, "sandbox.speed=60")
    daemon = Daemon(tmp_path, "--sandbox", sets=sets)
    with ending(daemon):
        changed = put(daemon, "config", {"config_key": "max_portfolio_symbols", "config_value": "15"})
        assert changed["applied"] == ["portfolio.max_symbols"], changed
        assert daemon.portfolio()["max_symbols"] == 15
        weighed = put(daemon, "scoring/algorithms/risk", {"parameters": {"weights": {"volatility": 0.5}}})
        assert weighed["applied"] == ["scoring.risk.parts"], weighed
        refused = put(daemon, "config", {"values": {"api.port": 1, "portfolio.max_symbol": 3}})
        assert refused["code"] == "bad_configuration"
        daemon.send(signal.SIGHUP)
        daemon.event("config.reloaded")
        assert daemon.portfolio()["max_symbols"] == 15, "a reload keeps what is recorded"
        daemon.kill()
    again = Daemon(tmp_path, "--sandbox", sets=sets, state=daemon.state, name="again")
    with ending(again):
        assert again.portfolio()["max_symbols"] == 15
        rows = {row["key"]: row for row in again.get("config")["settings"]}
        assert rows["portfolio.max_symbols"]["origin"] == "recorded override"
        risk = next(row for row in again.get("scoring/algorithms")["algorithms"] if row["algorithm_name"] == "risk")
        assert risk["parameters"]["weights"]["volatility"] == 0.5
        put(again, "config", {"config_key": "portfolio.max_symbols", "config_value": None})
        assert again.portfolio()["max_symbols"] == 10, "what is forgotten is the file's again"


def test_users_are_named_tokens_that_the_database_follows(daemon: Daemon) -> None:
    made = cli("token", "create", "--name", "anna", "--scope", "operate", "--set", f"state_dir={daemon.state}")
    assert made.returncode == 0, made.stderr
    bearer = f"-H 'Authorization: Bearer {made.stdout.strip()}'"
    users = f"http://localhost:5000{PREFIX}/users"
    assert curl(daemon, f"curl -s {users}")["code"] == "unauthorised", "an open loopback is not enough"
    bob = curl(
        daemon,
        f'curl -s {bearer} -H \'Content-Type: application/json\' {users} -d \'{{"name": "bob", "scopes": ["read"]}}\'',
    )
    assert bob["success"], bob
    assert curl(daemon, f"curl -s {bearer} -X DELETE {users}/{bob['user']['id']}")["user"]["revoked"]
    assert [user["name"] for user in curl(daemon, f"curl -s {bearer} {users}")["users"]] == ["anna", "bob"]

    def stored() -> list[tuple[str, bool]]:
        found = rows(daemon.state, "SELECT name, revoked_at IS NULL AS valid FROM users ORDER BY name")
        return [(row["name"], bool(row["valid"])) for row in found]

    daemon.until("users in the database", lambda: stored() == [("anna", True), ("bob", False)])


def test_the_integration_test_of_the_guide(tmp_path: Path) -> None:
    async def scenario() -> None:
        given = [f"state_dir={tmp_path / 'state'}", "api.port=0", "log.level=warning", *SETS]
        async with running(Sources(sets=tuple(given), environ={}, sandbox=True)) as guide:
            # 1. Initialize sample data
            init_result = await guide.initialize_sample_data()
            assert init_result["success"]
            # 2. Calculate scores
            scoring_result = await guide.calculate_all_scores()
            assert scoring_result["symbols_processed"] > 0
            # 3. Get top symbols
            rankings = guide.get_symbol_rankings("COMPOSITE", 5)
            assert len(rankings) >= 5
            # 4. Add top symbol to portfolio
            top_symbol = rankings[0]
            add_result = await guide.add_symbol_to_portfolio(top_symbol["symbol_id"])
            assert add_result["success"]
            # 5. Verify portfolio
            portfolio = guide.get_current_portfolio()
            assert len(portfolio) == 1
            assert top_symbol["symbol"] in [p["symbol_details"]["symbol"] for p in portfolio]

    asyncio.run(scenario())
