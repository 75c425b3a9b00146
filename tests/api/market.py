"""What stands behind the API in a daemon, without its sockets and its disk: a warm core, its reads, its commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.engine.stream import HOUR, T0, Session
from zmart_stream.api.calls import Services
from zmart_stream.app.read_model import ReadModel
from zmart_stream.domain.commands import Command, CommandDone
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.engine.engine import Engine
from zmart_stream.scoring.registry import build_scorers

CONTRACTS = 16


class Market:
    """A small market a few hours after its start, with a book."""

    def __init__(self, seed: int, *, hours: int = 3) -> None:
        settings = CoreSettings()
        self.engine = Engine(settings, build_scorers(settings.scoring), session=1)
        self.session = Session(seed, CONTRACTS)
        for message in self.session.start():
            self.engine.process(message)
        self.reads = ReadModel(
            self.engine,
            venue=lambda: {"name": "sandbox", "url": "http://127.0.0.1:9", "speed": 60.0, "sandbox": True},
            feed=dict,
            storage=dict,
            config=dict,
        )
        for message in self.session.run(T0 + HOUR // 12, T0 + hours * HOUR):
            self._take(message)

    def services(self) -> Services:
        """For the API."""
        return Services(
            reader=self.reads, commander=self, now=lambda: self.engine.now, reload=self._reload, not_ready=list
        )

    async def submit(self, command: Command) -> Sequence[Message]:
        """As the runner does it, at once."""
        told = self._take(command)
        for message in told:
            if isinstance(message, CommandDone) and not message.accepted:
                raise CommandRefusedError(message.code, message.detail)
        return told

    async def load_sample_data(self) -> dict[str, Any]:
        return {"symbols": CONTRACTS}

    def _take(self, message: Message) -> list[Message]:
        told = self.engine.process(message)
        self.reads.tell(told)
        return told

    async def _reload(self) -> dict[str, Any]:
        return {"applied": [], "restart_needed": [], "revision": 1}
