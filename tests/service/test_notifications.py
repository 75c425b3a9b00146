"""Notifications of a running daemon: what is told is on disk first, a kill loses none of it, a start repeats none."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.service.harness import BY_HAND, FULL_BOOK, Daemon, ending, until

SECRET = "whsec_" + base64.b64encode(b"a secret of this test...").decode()
SETS = ("sandbox.contracts=12", "sandbox.speed=1200", *BY_HAND, *FULL_BOOK)


class Hook(ThreadingHTTPServer):
    """A receiver that checks signatures; it refuses everything while `is_down`."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.is_down = False
        super().__init__(("127.0.0.1", 0), Taker)

    @property
    def table(self) -> str:
        """The settings that point a daemon here."""
        url = f"http://127.0.0.1:{self.server_address[1]}/hook"
        return f'notify.webhooks=[{{name="bot", url="{url}", secret_env="BOT_SECRET", importance="low"}}]'

    def told(self, *kinds: str) -> list[dict[str, Any]]:
        return [body for body in self.got if body["type"] in kinds]


class Taker(BaseHTTPRequestHandler):
    """One request."""

    server: Hook

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + raw
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert self.headers["webhook-signature"] == f"v1,{wanted}"
        body = json.loads(raw)
        assert body["id"] == self.headers["webhook-id"]
        if self.server.is_down:
            self.server.refused.append(body["id"])
        else:
            self.server.got.append(body)
        self.send_response(503 if self.server.is_down else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: what comes is looked at."""


@contextmanager
def hooked() -> Iterator[Hook]:
    hook = Hook()
    thread = threading.Thread(target=hook.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.shutdown()
        hook.server_close()
        thread.join()


def eligible(daemon: Daemon) -> list[str]:
    """The contracts that pass every gate, best first."""
    return [row["symbol"] for row in daemon.rankings() if row["eligible"]]


def test_what_was_told_survives_a_kill_once_each_and_a_start_tells_nothing(tmp_path: Path) -> None:
    with hooked() as hook:
        sets = (*SETS, hook.table, "notify.allow_loopback=true", "notify.backoff_max=1s")
        env = {"BOT_SECRET": SECRET}
        first = Daemon(tmp_path, "--sandbox", sets=sets, env=env)
        with ending(first):
            first.post("initialize-sample-data")
            symbol, other = first.until("two that may come in", lambda: len(ids := eligible(first)) >= 2 and ids[:2])
            assert first.post("portfolio/add-symbol", symbol_id=symbol, reason="for bots")[0] == 200
            (told,) = until("the change", lambda: hook.told("portfolio_change")[:1])
            assert told["data"]["symbol"] == symbol
            assert told["text"].endswith("by loopback (for bots)")
            hook.is_down = True
            assert first.post("portfolio/add-symbol", symbol_id=other)[0] == 200
            until("an attempt", lambda: hook.refused)
            first.until("its failure", lambda: first.status()["notify"]["endpoints"][0]["last_error"] == "answered 503")
            first.until("what was taken to be known on disk", lambda: not first.status()["storage"]["pending"])
            assert "secret" not in first.err
            first.until("what was taken on disk", lambda: first.status()["storage"]["pending"] == 0)
            first.kill()
        heard = [body["id"] for body in hook.got]
        hook.is_down = False
        second = Daemon(tmp_path, "--sandbox", sets=sets, env=env, state=first.state, name="second")
        with ending(second):
            second.post("initialize-sample-data")
            until("what the kill left", lambda: second.status()["notify"]["pending"] == 0)
            second.until("a whole start", lambda: not second.status()["book"]["hold"])
            assert second.post("portfolio/pin", symbol_id=symbol)[0] == 200
            until("the pin", lambda: any(body["data"].get("type") == "pin" for body in hook.got))
            late = hook.got[len(heard) :]
            ids = [body["id"] for body in late]
            assert hook.refused[0] in ids, "with the id of the first attempt"
            assert len({*ids, *heard}) == len(ids) + len(heard), "nothing twice"
            assert not {"hold", "feed_state", "config", "digest"} & {body["type"] for body in late}, late
            came = [body["data"]["symbol"] for body in late if body["data"].get("type") in ("add", "fill", "replace")]
            assert came == [other], "of the book that is there nothing but what was left"
            assert second.stop() == 0
