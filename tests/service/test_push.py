"""What a running daemon tells as it happens: streams without loss, signals, the book, and bots across a restart."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.sync.client import connect

from tests.api.consuming import Consumer
from tests.service.harness import BY_HAND, FULL_BOOK, PREFIX, WAIT_S, Daemon, cli, ending, environment, free_port
from zmart_stream.api.exchange_names import pair

SETS = (
    "sandbox.contracts=16",
    "sandbox.speed=120",
    *BY_HAND,
    *FULL_BOOK,
    "signals.approve_at=0.01",  # whoever asks is approved: what follows is what is looked at
    "signals.quorum=0",
    "signals.agents.risk.weight=0",
)
SIGNAL: dict[str, Any] = {
    "source_name": "bot",
    "signal_type": "BREAKOUT",
    "signal_strength": 0.85,
    "confidence_level": 0.75,
    "expires_in_s": 86400,
}


class Told(NamedTuple):
    """An event of the stream."""

    id: str
    kind: str
    data: dict[str, Any]


class Stream:
    """Server-sent events, as a browser reads them."""

    def __init__(self, daemon: Daemon, query: str = "", last_id: str = "") -> None:
        self._connection = http.client.HTTPConnection(daemon.url.removeprefix("http://"), timeout=WAIT_S)
        headers = {"Last-Event-ID": last_id} if last_id else {}
        self._connection.request("GET", f"{PREFIX}/stream{query}", headers=headers)
        self._reply = self._connection.getresponse()
        assert self._reply.status == 200
        assert self._reply.headers.get_content_type() == "text/event-stream"

    def next(self) -> Told:
        """The next event."""
        fields: dict[str, str] = {}
        while True:
            line = self._reply.readline().decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                return Told(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
            else:
                fields = {}

    def until(self, kind: str, **wanted: Any) -> Told:
        """The next event of that type with these values."""
        while True:
            told = self.next()
            if told.kind == kind and all(told.data[name] == value for name, value in wanted.items()):
                return told

    def close(self) -> None:
        self._reply.close()
        self._connection.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One on the sandbox whose book nobody fills but us."""
    daemon = Daemon(tmp_path_factory.mktemp("push"), "--sandbox", sets=SETS)
    with ending(daemon):
        daemon.post("initialize-sample-data")
        yield daemon


def eligible(daemon: Daemon) -> list[str]:
    """Contracts that may enter the book, best first."""
    held = {holding["symbol"] for holding in daemon.portfolio()["holdings"]}
    return daemon.until(
        "contracts to take in",
        lambda: [row["symbol"] for row in daemon.rankings() if row["eligible"] and row["symbol"] not in held],
    )


def test_a_stream_is_resumed_over_a_reconnect_without_loss_or_repetition(daemon: Daemon) -> None:
    whole = Stream(daemon, "?types=score_update")
    broken = Stream(daemon, "?types=score_update")
    first = whole.next()
    heard = [broken.next()]
    while heard[0].id != first.id:  # whichever of the two began earlier
        if int(heard[0].id.partition("-")[2]) < int(first.id.partition("-")[2]):
            heard = [broken.next()]
        else:
            first = whole.next()
    expected = [first]
    for _ in range(3):
        heard += [broken.next() for _ in range(10)]
        broken.close()
        while len(expected) < len(heard) + 10:
            expected.append(whole.next())  # what the other one misses meanwhile
        broken = Stream(daemon, "?types=score_update", heard[-1].id)
    while len(heard) < len(expected):
        heard.append(broken.next())
    assert heard == expected
    for told in heard:
        assert {"symbol", "new_score", "old_score", "change", "timestamp"} <= told.data.keys()
    whole.close()
    broken.close()


def take_in(daemon: Daemon) -> str:
    """Another contract in the book, by hand; gates move with the market, so the next one is tried where one is shut."""

    def done() -> str | None:
        symbol = eligible(daemon)[0]
        return symbol if daemon.post("portfolio/add-symbol", symbol=symbol)[0] == 200 else None

    found = daemon.until("a contract taken in", done)
    assert found is not None
    return found


def test_a_signal_is_seen_from_its_arrival_to_its_end(daemon: Daemon) -> None:
    stream = Stream(daemon, "?types=signal,decision,portfolio_change")
    tried: list[str] = []

    def life() -> dict[str, Told] | None:
        """What was told of a signal; None where a limit kept the book from acting on it."""
        symbol = next(name for name in eligible(daemon) if name not in tried)
        tried.append(symbol)
        status, reply = daemon.post("signals", **SIGNAL, symbol=symbol)
        assert status == 200, reply
        about = {"signal_id": reply["signal_id"]}
        told = {"received": stream.until("signal", **about), "decision": stream.until("decision", **about)}
        for name in ("received", "decision"):
            assert told[name].data["symbol"] == symbol
        if not told["decision"].data["approved"]:
            return None
        while "end" not in told:
            event = stream.next()
            if event.kind == "portfolio_change" and event.data["details"]["who"] == f"signal:{reply['signal_id']}":
                told.setdefault("change", event)
            elif event.kind == "signal" and event.data["signal_id"] == reply["signal_id"]:
                told["end"] = event
        assert told["end"].data["symbol"] == symbol
        return told if "change" in told else None

    told = daemon.until("a signal that acts", life)
    assert told is not None
    received, decision, change, end = (told[name].data for name in ("received", "decision", "change", "end"))
    assert (received["status"], received["source"], received["direction"]) == ("received", "bot", "BUY")
    assert (decision["approved"], decision["action"]) == (True, "ADD")
    assert (change["type"], change["symbol"]) == ("add", received["symbol"])
    assert received["symbol"] in [holding["symbol"] for holding in change["details"]["after"]["holdings"]]
    assert (end["status"], end["details"]["change_id"]) == ("acted", change["details"]["id"])
    assert all(event.data["timestamp"].endswith("Z") for event in told.values())
    stream.close()


def test_a_websocket_is_told_by_type_and_contract(daemon: Daemon) -> None:
    symbol = eligible(daemon)[0]
    with connect(f"{daemon.url.replace('http', 'ws')}{PREFIX}/ws", proxy=None) as line:

        def hear() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(line.recv(timeout=WAIT_S))
            return found

        line.send(json.dumps({"action": "subscribe", "types": ["score_update"], "symbols": [symbol]}))
        assert hear() == {"event": "subscribed", "data": {"score_update": [symbol]}}
        told = [hear() for _ in range(5)]
        assert {(event["event"], event["data"]["symbol"]) for event in told} == {("score_update", symbol)}
        line.send(json.dumps({"action": "unsubscribe"}))
        while hear()["event"] != "subscribed":
            pass
        line.send(json.dumps({"action": "subscribe", "types": ["portfolio_change"]}))
        assert hear()["data"] == {"portfolio_change": None}
        taken = take_in(daemon)
        change = hear()
        assert (change["event"], change["data"]["type"], change["data"]["symbol"]) == (
            "portfolio_change",
            "add",
            taken,
        )


@contextmanager
def attached(url: str) -> Iterator[Consumer]:
    """freqtrade's consumer in a thread of its own."""
    consumer = Consumer(url, wait_s=0.5)
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        await consumer.run()

    def body() -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(run())

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield consumer
    finally:
        loop, task = running[0]
        loop.call_soon_threadsafe(task.cancel)
        thread.join(WAIT_S)


@contextmanager
def following(daemon: Daemon, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """`zmart-stream events`, and the files of what it prints: a reset at once, as the id it begins after is unknown."""
    out, err = folder / "events.out", folder / "events.err"
    command = ["events", "--types", "portfolio_change", "--after", "00000000-1", "--json", "--url", daemon.url]
    with out.open("wb") as printed, err.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "zmart_stream.cli", *command],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=said,
            env=environment(),
        )
    try:
        yield process, out, err
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)


def test_bots_and_watchers_stay_with_the_daemon_across_a_restart(tmp_path: Path) -> None:
    """A consumer of freqtrade and `events` see the book change, the daemon go and come back, and the book change."""
    sets = (*SETS, f"api.port={free_port()}")
    daemon = Daemon(tmp_path, "--sandbox", sets=sets)

    def changes(out: Path) -> list[tuple[str, str]]:
        said = [json.loads(line) for line in out.read_text().split("\n")[:-1]]  # but for one that is being written
        return [(each["data"]["type"], each["data"]["symbol"]) for each in said if each["event"] == "portfolio_change"]

    with ending(daemon):
        daemon.post("initialize-sample-data")
        port = f"api.port={daemon.url.rpartition(':')[2]}"
        made = cli(
            *("token", "create", "--name", "bot", "--scope", "freqtrade"),
            *("--set", f"state_dir={daemon.state}", "--set", port),
        )
        assert made.returncode == 0, made.stderr
        address = next(word for word in made.stdout.split() if word.startswith("ws://"))
        with attached(f"{address}&exchange=kucoin") as bot, following(daemon, tmp_path) as (process, out, err):
            daemon.until("the bot", lambda: bot.opened == 1)
            daemon.until("the screen", lambda: '"reset"' in out.read_text())
            held = [take_in(daemon), take_in(daemon)]
            daemon.until("the book at the bot", lambda: set(bot.pairs) == {pair(name, "kucoin") for name in held})
            daemon.until("the changes on the screen", lambda: {("add", name) for name in held} <= set(changes(out)))
            assert bot.errors == []
            assert daemon.stop() == 0
            assert bot.refusals == [] or set(bot.refusals) == {0}, "nobody let it in that then closed"
            again = Daemon(tmp_path, "--sandbox", sets=sets, state=daemon.state, name="again")
            with ending(again):
                again.until("the bot again", lambda: bot.opened == 2)
                again.post("initialize-sample-data")
                held.append(take_in(again))
                again.until("the new book", lambda: set(bot.pairs) == {pair(name, "kucoin") for name in held})
                again.until("and on the screen", lambda: ("add", held[-1]) in changes(out))
                assert bot.errors == []
                assert set(bot.refusals) == {0}
                assert bot.dials == 2 + len(bot.refusals), "one connection to each daemon, none thrown away"
                assert "again in" in err.read_text()
                assert process.poll() is None
                process.send_signal(signal.SIGINT)
                assert process.wait(WAIT_S) == 0
                assert again.stop() == 0
    assert address.partition("token=")[2] not in daemon.err + again.err, "no secret is ever logged"
