"""`events` over a real socket: lines, gaps, and a connection that is lost."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.api.desk import SAFETY_S, SYMBOLS, Desk, desk
from tests.api.listening import score
from tests.api.test_push import of_every_kind
from tests.test_cli import ask
from zmart_stream.api.limits import PushLimits
from zmart_stream.api.push import events
from zmart_stream.api.push.hub import Hub
from zmart_stream.cli.client import Client
from zmart_stream.cli.following import follow
from zmart_stream.domain.errors import RequestError

pytestmark = pytest.mark.usefixtures("no_log_of_the_server")

FIRST, SECOND = list(SYMBOLS)[:2]


def with_hub(folder: Path, scenario: Callable[[Desk, Hub], Awaitable[None]], limits: PushLimits | None = None) -> None:
    async def run() -> None:
        hub = Hub(limits)
        async with desk(folder, push=hub) as at:
            await scenario(at, hub)

    asyncio.run(run())


def test_every_event_is_a_line(tmp_path: Path) -> None:
    async def scenario(at: Desk, hub: Hub) -> None:
        messages = of_every_kind()
        events.tell(hub, messages)
        code, out, _ = await ask(at, "events", "--after", "00000000-1", "--limit", str(len(messages) + 1))
        assert code == 0
        first, *lines = out.splitlines()
        assert first == "reset  a gap: events are missing (restarted)"
        assert lines[0] == f"2025-10-09T08:53:20.000Z  score_update  {FIRST} 70.00 -> 71.50 (+1.50)"
        assert lines[1].endswith(f"portfolio_change  replace in {FIRST} out {SECOND}: replace, 1 holdings")
        assert lines[4].endswith("signal  s1 acted: replace")
        assert lines[5].endswith(f"decision  s1 approved: consensus 0.700, REPLACE {FIRST}, from bot")
        assert lines[7].endswith("hold  the book holds: venue")

    with_hub(tmp_path, scenario)


def test_json_lines_and_what_was_chosen(tmp_path: Path) -> None:
    async def scenario(at: Desk, hub: Hub) -> None:
        events.tell(hub, [score(FIRST, 1.0), score(FIRST, 2.0), score(SECOND, 3.0), *of_every_kind()])
        chosen = ["--types", "score_update", "--symbols", FIRST.lower(), "--after", f"{hub.session}-1", "--json"]
        code, out, _ = await ask(at, "events", *chosen, "--limit", "2")
        assert code == 0
        found = [json.loads(line) for line in out.splitlines()]
        assert [(e["event"], e["id"]) for e in found] == [("score_update", f"{hub.session}-{n}") for n in (2, 4)]
        assert found[0]["data"]["new_score"] == 2.0

    with_hub(tmp_path, scenario)


def test_a_gap_is_said(tmp_path: Path) -> None:
    async def scenario(at: Desk, hub: Hub) -> None:
        events.tell(hub, [score(FIRST, float(n)) for n in range(40)])
        _, out, _ = await ask(at, "events", "--after", f"{hub.session}-4", "--limit", "2")
        assert out.splitlines()[0] == "reset  a gap: 20 events are missing (too_old)"

    with_hub(tmp_path, scenario, PushLimits(ring=16))


def test_what_cannot_begin_ends_with_its_code(tmp_path: Path) -> None:
    async def scenario(at: Desk, _hub: Hub) -> None:
        code, _, err = await ask(at, "events", "--types", "scores")
        assert (code, "did you mean" in err or "there are" in err) == (1, True)
        code, _, err = await ask(at, "events", "--token", "wrong")
        assert (code, "[unauthorised]" in err) == (1, True)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # taken and not listened on: nobody answers there
            code, _, err = await ask(at, "events", "--url", f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert (code, "no daemon answers" in err) == (69, True)

    with_hub(tmp_path, scenario)


def test_a_lost_connection_is_taken_up_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that breaks the stream after each event, then is busy, then refuses."""
    asked: list[str | None] = []
    busy, refused = (
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
        for status, body in (("503 x", '{"code": "busy", "detail": "d"}'), ("401 x", '{"code": "unauthorised"}'))
    )
    begun = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    answers = [
        f'{begun}: hello\n\nid: a-1\nevent: hold\ndata: {{"n": 1}}\n\n',
        busy,
        busy,
        f'{begun}id: a-2\nevent: hold\ndata: {{"n": 2}}\n\nid: a-3\nevent: hold\nda',
        refused,
    ]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SAFETY_S)

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(SAFETY_S)
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(4096)
                    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
                    asked.append(lines.get("Last-Event-ID"))
                    connection.sendall(answer.encode())

        serving = threading.Thread(target=serve)
        serving.start()
        waits: list[float] = []
        heard = []
        following = follow(Client(f"http://127.0.0.1:{server.getsockname()[1]}"), {}, "", waits.append)
        with pytest.raises(RequestError, match="unauthorised"):
            heard.extend(event.data["n"] for event in following)
        serving.join(SAFETY_S)
    assert asked == [None, "a-1", "a-1", "a-1", "a-2"]
    assert waits == [1.0, 2.0, 4.0, 1.0]
    assert heard == [1, 2]
    assert capsys.readouterr().err.count("again in") == 4
