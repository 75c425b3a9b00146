"""What stands behind the API in a daemon, but for the feed: a warm core, its reads, its commands, a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.api.shelf import VENUE, Dials
from tests.engine.stream import HOUR, T0, Session
from tests.notify.receiver import Taker
from zmart_stream.api.calls import Services
from zmart_stream.app.archive import StoredArchive
from zmart_stream.app.compose.notifying import OutboxRows
from zmart_stream.app.read_model import ReadModel
from zmart_stream.app.runner import NEVER_STORED
from zmart_stream.domain.commands import Command, CommandDone
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.market import Listing
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.engine.engine import Engine
from zmart_stream.notify.outbox import Outbox
from zmart_stream.notify.settings import NotifySettings, Webhook
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.storage.database import Database
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.settings import StorageSettings
from zmart_stream.storage.writer import StorageWriter

CONTRACTS = 16
ENDPOINT = "bot"


class Market:
    """A small market an hour after its start, with a book."""

    def __init__(self, seed: int, *, hours: float = 1.2, settings: CoreSettings | None = None) -> None:
        settings = settings or CoreSettings()
        self.engine = Engine(settings, build_scorers(settings.scoring), session=1)
        self.session = Session(seed, CONTRACTS)
        self.told: list[Message] = []
        self.reads = ReadModel(
            self.engine,
            venue=lambda: dict(VENUE),
            feed=dict,
            storage=dict,
            config=dict,
        )
        for message in self.session.start():
            self.take(message)
        for message in self.session.run(T0 + HOUR // 12, T0 + int(hours * HOUR)):
            self.take(message)

    def take(self, message: Message) -> list[Message]:
        """What follows from a message; kept for the database."""
        told = self.engine.process(message)
        self.reads.tell(told)
        if isinstance(message, Listing | Command):
            self.told.append(message)
        self.told += [item for item in told if not isinstance(item, NEVER_STORED)]
        return told

    @asynccontextmanager
    async def services(self, folder: Path) -> AsyncIterator[Services]:
        """For the API: over a database that holds all that was told."""
        database = Database(f"sqlite:///{folder / 'market.db'}", StorageSettings(queue_size=1_000_000))
        await database.open()
        writer = StorageWriter(
            database,
            on_committed=lambda messages: outbox.committed(messages),  # noqa: PLW0108 - it is made below
            on_degraded=lambda _: None,
            on_recovered=lambda: None,
        )
        hook = Webhook(name=ENDPOINT, url="", keys=())
        store = OutboxRows(writer, StorageReader(database))
        outbox = Outbox(NotifySettings(webhooks=(hook,)), {ENDPOINT: Taker()}, store)
        writing, telling = asyncio.create_task(writer.run()), asyncio.create_task(outbox.run())
        writer.put(self.told)
        assert await writer.drain(60.0)
        try:
            yield Services(
                reader=self.reads,
                commander=self,
                archive=StoredArchive(StorageReader(database)),
                configuration=Dials(),
                now=lambda: self.engine.now,
                not_ready=list,
                notifications=outbox,
            )
        finally:
            outbox.stop()
            await asyncio.wait([telling])
            await writer.close()
            await writing
            await database.close()

    async def submit(self, command: Command) -> Sequence[Message]:
        """As the runner does it, at once."""
        told = self.take(command)
        for message in told:
            if isinstance(message, CommandDone) and not message.accepted:
                raise CommandRefusedError(message.code, message.detail, **message.facts)
        return told

    async def load_sample_data(self) -> dict[str, Any]:
        return {"success": True, "symbols": CONTRACTS}
