"""A small market behind a real server on a loopback port, and a client that sends exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from zmart_stream.api.app import Running, create_app, serve
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX, Services
from zmart_stream.api.limits import Limits
from zmart_stream.api.tokens import TokenFile
from zmart_stream.domain.commands import Command, CommandDone, Recalculate, RemoveHolding
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import Holding, Portfolio, PortfolioChange
from zmart_stream.domain.scores import Recalculated
from zmart_stream.engine.ids import symbol_id

NOW = 1_795_356_630_544_053_956
AS_OF = "2026-11-22T14:10:30.544Z"
SYMBOLS = ("XBTUSDTM", "ETHUSDTM", "SOLUSDTM")
SAFETY_S = 30.0
"""No exchange of a test may hang longer; a deadline under test is far shorter."""


class Shelf:
    """The reads: three contracts, one of them held, one not eligible."""

    def __init__(self) -> None:
        self.fault: Exception | None = None

    def status(self) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        return {
            "version": "0.1.0",
            "as_of": AS_OF,
            "venue": {"name": "sandbox", "url": "http://127.0.0.1:9", "speed": 60.0, "status": "open"},
            "feed": {
                "connections": [{"name": "ws-1", "state": "up"}, {"name": "ws-2", "state": "down"}],
                "topics": {"wanted": 9, "covered": 8},
                "rest": {"state": "up", "remaining": 1990.0, "limit": 2000},
            },
            "warm_up": {"done": 412, "of": 700, "ended": False, "text": "warming up 412/700"},
            "contracts": {"known": 3, "universe": 3, "live": 3, "scored": 3},
            "book": {"size": 1, "max": 10, "hold": True, "hold_reason": "paused", "last_change": None},
            "storage": {"pending": 0, "degraded": None},
            "config": {"revision": 4, "profile": "balanced"},
            "uptime_s": 61.5,
        }

    def rankings(self, kind: str = "COMPOSITE") -> list[dict[str, Any]]:
        column = {"COMPOSITE": 0, "RISK": 1}[kind]
        scores = {"XBTUSDTM": (74.1, 94.2), "ETHUSDTM": (73.4, 90.0), "SOLUSDTM": (41.0, float("nan"))}
        return [self._row(rank, symbol, scores[symbol][column]) for rank, symbol in enumerate(SYMBOLS, 1)]

    def portfolio(self) -> dict[str, Any]:
        holding = {
            "id": "019a0000-0000-7000-8000-000000000001",
            "rank": 1,
            "symbol": "XBTUSDTM",
            "symbol_id": symbol_id("XBTUSDTM"),
            "sector": "layer1",
            "weight": 25.0,
            "score": 74.1,
            "score_now": 74.6,
            "since": AS_OF,
            "age_s": 7300.0,
            "pinned": True,
            "replacement_candidate": False,
            "flags": [],
        }
        return {
            "holdings": [holding],
            "cash": 75.0,
            "cash_reason": ["max_weight 25 leaves 75 % with 1 holding"],
            "hold": True,
            "hold_reason": "paused",
            "size": 1,
            "max_symbols": 10,
            "as_of": AS_OF,
        }

    def explain(self, symbol: str) -> dict[str, Any]:
        if symbol not in SYMBOLS:
            raise KeyError(symbol)
        part = {
            "name": "volatility",
            "value": 42.3,
            "unit": "% a year",
            "percentile": 98.0,
            "weight": 1.0,
            "contribution": 24.1,
            "age_s": 0.4,
            "freshness": 1.0,
            "maturity": 1.0,
            "words": "less volatile than 98 % of contracts",
        }
        risk = {"name": "risk", "weight": 0.4, "score": 98.0, "confidence": 1.0, "contribution": 24.1, "parts": [part]}
        return {
            "symbol": symbol,
            "score": 74.1,
            "confidence": 0.9,
            "rank": 1,
            "in_book": True,
            "as_of": AS_OF,
            "components": [risk],
            "sum": {"base": 50.0, "contributions": 24.1, "composite": 74.1, "published": 74.1},
            "gates": [{"name": "spread_bps", "value": 0.6, "limit": 15.0, "ok": True}],
            "change": {"moves": "out", "rule": "exit_score", "target": None, "text": "it is pinned", "part": "none"},
        }

    def symbols(self) -> list[dict[str, Any]]:
        return [{"symbol": symbol, "symbol_id": symbol_id(symbol), "status": "Open"} for symbol in SYMBOLS]

    def listed(self) -> dict[str, str]:
        return {symbol: symbol_id(symbol) for symbol in SYMBOLS}

    @staticmethod
    def _row(rank: int, symbol: str, score: float) -> dict[str, Any]:
        shut = symbol == "SOLUSDTM"
        return {
            "rank": None if shut else rank,
            "symbol": symbol,
            "symbol_id": symbol_id(symbol),
            "score": score,
            "confidence": 0.9,
            "sector": None if shut else "layer1",
            "turnover_24h": 1.5e9,
            "spread_bps": 0.6,
            "eligible": not shut,
            "failed_gates": ["spread_bps"] if shut else [],
            "in_book": symbol == "XBTUSDTM",
            "components": {"RISK": 94.2, "TECHNICAL": None},
        }


class Counter:
    """The commands: keeps what it was given; refuses to take what is held; answers at once, or never."""

    def __init__(self) -> None:
        self.taken: list[Command] = []
        self.silent = False

    async def submit(self, command: Command) -> Sequence[Message]:
        self.taken.append(command)
        if self.silent:
            await asyncio.Event().wait()
        symbol = getattr(command, "symbol", None)
        if type(command).__name__ == "AddHolding" and symbol == "XBTUSDTM":
            raise CommandRefusedError("already_in_book", "XBTUSDTM is held")
        done = CommandDone(ts=NOW, request_id=command.request_id, accepted=True)
        if isinstance(command, Recalculate):
            scores = {name: 50.0 for name in SYMBOLS if symbol in (None, name)}
            return [
                Recalculated(
                    ts=NOW,
                    request_id=command.request_id,
                    symbols_processed=len(scores),
                    drift=0.0,
                    reanchored=0,
                    scores=scores,
                ),
                done,
            ]
        return [self._removal(command), done] if isinstance(command, RemoveHolding) else [done]

    async def load_sample_data(self) -> dict[str, Any]:
        return {"symbols": 3}

    @staticmethod
    def _removal(command: RemoveHolding) -> PortfolioChange:
        held = Holding(id="1", symbol=command.symbol, rank=1, weight=25.0, since=NOW, score=70.0)
        return PortfolioChange(
            ts=NOW,
            id="2",
            kind="remove",
            reason="operator",
            symbol_out=command.symbol,
            before=Portfolio(holdings=(held,), cash=75.0),
            after=Portfolio(),
            who=command.who,
            note=command.note,
            revision=1,
        )


class Desk(NamedTuple):
    """A server that runs, and everything behind it."""

    port: int
    running: Running
    shelf: Shelf
    counter: Counter
    tokens: TokenFile
    unready: list[str]

    async def ask(self, method: str, path: str, *lines: str, body: bytes = b"", token: str | None = None) -> Answer:
        """One request on a connection of its own; `lines` are header lines, Host is ours unless they say it."""
        head = [
            f"{method} {path if path.startswith('/') else f'{PREFIX}/{path}'} HTTP/1.1",
            "Connection: close",
            *lines,
        ]
        if not any(line.lower().startswith("host:") for line in lines):
            head.append(f"Host: 127.0.0.1:{self.port}")
        if token:
            head.append(f"Authorization: Bearer {token}")
        if body and not any("content-length" in line.lower() or "transfer-" in line.lower() for line in lines):
            head.append(f"Content-Length: {len(body)}")
        return await exchange(self.port, "\r\n".join(head).encode() + b"\r\n\r\n" + body)

    async def post(self, path: str, content: object, token: str | None = None) -> Answer:
        """A JSON body."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.ask("POST", path, "Content-Type: application/json", body=body, token=token)


class Answer(NamedTuple):
    """What came back; status 0: the connection was cut without a word."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def code(self) -> str:
        """The problem's code, of a reply that is a proper problem."""
        found = self.json
        assert self.headers["content-type"].startswith("application/problem+json"), self
        assert found["success"] is False
        assert found["status"] == self.status
        assert found["title"]
        assert found["detail"]
        assert b"Traceback" not in self.body
        return str(found["code"])


@asynccontextmanager
async def desk(
    folder: Path, *, auth: AuthSettings | None = None, limits: Limits | None = None, behind: Services | None = None
) -> AsyncIterator[Desk]:
    """Serve on a free loopback port until the block ends; `behind`: over these parts instead."""
    shelf, counter, unready = Shelf(), Counter(), list[str]()

    async def reload() -> dict[str, Any]:
        return {"applied": ["scoring.publish_step"], "restart_needed": ["api.port"], "revision": 5}

    services = behind or Services(
        reader=shelf, commander=counter, now=lambda: NOW, reload=reload, not_ready=lambda: unready
    )
    tokens = TokenFile(folder / "tokens.json")
    app = create_app(services, auth=auth or AuthSettings(), tokens=tokens, limits=limits or Limits())
    running = await serve(app, host="127.0.0.1", port=0)
    try:
        yield Desk(running.port, running, shelf, counter, tokens, unready)
    finally:
        await running.close()


async def exchange(port: int, sent: bytes) -> Answer:
    """Send bytes, read one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(SAFETY_S):
            with suppress(ConnectionError):
                writer.write(sent)
                await writer.drain()
            return await answer(reader)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> Answer:
    """The next answer on a connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        status, _, lines = head.decode("latin-1").partition("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, separator, value in (line.partition(":") for line in lines.split("\r\n"))
            if separator
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0, {}, b"")
    return Answer(int(status.split()[1]), headers, body)


async def ended(reader: asyncio.StreamReader) -> None:
    """Return once the other side has ended the connection."""
    async with asyncio.timeout(SAFETY_S):
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass
