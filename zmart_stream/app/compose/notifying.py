"""Notifications put together: secrets from where the settings say they are, senders, and the outbox on its store."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

from zmart_stream.app.settings_notify import ChannelTable, EndpointTable, NotifyTable, WebhookTable
from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxEntry
from zmart_stream.domain.ports import EntriesAsked
from zmart_stream.feeds.kucoin.resolver import addresses
from zmart_stream.notify.channels import EXTRA, ChannelSender, target_of
from zmart_stream.notify.guard import Guard
from zmart_stream.notify.outbox import Outbox, hold_of
from zmart_stream.notify.routing import LastHold
from zmart_stream.notify.sending import Sender
from zmart_stream.notify.settings import Channel, NotifySettings, Rules, Webhook
from zmart_stream.notify.signing import key_of
from zmart_stream.notify.webhooks import WebhookSender
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.writer import StorageWriter

MOST_SECRETS = 8
_MOST_BYTES = 16 << 10

T = TypeVar("T")


def notify_settings(table: NotifyTable, environ: Mapping[str, str] = os.environ) -> NotifySettings:
    """The dials of notifications, secrets included. Raises ConfigError with all that is wrong."""
    problems: list[str] = []
    networks = tuple(ip_network(network) for network in table.allowed_networks)
    guard = Guard(allow_loopback=table.allow_loopback, networks=networks)
    webhooks = [_tried(problems, partial(_webhook, one, guard, environ)) for one in table.webhooks]
    channels = [_tried(problems, partial(_channel, one, environ)) for one in table.channels]
    if problems:
        raise ConfigError(problems)
    return NotifySettings(
        webhooks=tuple(webhook for webhook in webhooks if webhook is not None),
        channels=tuple(channel for channel in channels if channel is not None),
        allow_loopback=table.allow_loopback,
        allowed_networks=networks,
        timeout_s=table.timeout,
        channel_timeout_s=table.channel_timeout,
        attempts=table.attempts,
        backoff_most_s=table.backoff_max,
    )


def notify_problems(table: NotifyTable, environ: Mapping[str, str] = os.environ) -> list[str]:
    """What a start would refuse, and channels whose address Apprise does not know."""
    try:
        settings = notify_settings(table, environ)
    except ConfigError as error:
        return error.problems
    problems: list[str] = []
    for channel in settings.channels:
        _tried(problems, partial(target_of, channel.url), f"notify.channels.{channel.name}")
    return problems


def secrets_of(settings: NotifySettings) -> list[str]:
    """Texts that no log line may hold."""
    return [endpoint.url for endpoint in settings.channels] + [webhook.url for webhook in settings.webhooks]


def make_outbox(
    settings: NotifySettings, writer: StorageWriter, reader: StorageReader, last: LastHold | None
) -> Outbox:
    """The outbox over the database; `last` is what was told of a hold before."""
    senders: dict[str, Sender] = {one.name: WebhookSender(one, settings, addresses) for one in settings.webhooks}
    senders |= {one.name: ChannelSender(one, settings) for one in settings.channels}
    return Outbox(settings, senders, OutboxRows(writer, reader), last)


async def last_hold(reader: StorageReader) -> LastHold | None:
    """What was told last of a hold, in whichever session; None: nothing. Raises StorageError."""
    newest = await reader.last_sent_of("hold")
    return None if newest is None else hold_of(newest)


class OutboxRows:
    """The database as the outbox sees it."""

    def __init__(self, writer: StorageWriter, reader: StorageReader) -> None:
        """Writes go through the one writer."""
        self.put: Callable[[Sequence[Message]], None] = writer.put
        self._reader = reader

    async def waiting(self, limit: int) -> Sequence[OutboxEntry]:
        """Entries that are pending."""
        return await self._reader.outbox(limit)

    async def entries(self, asked: EntriesAsked, limit: int, offset: int) -> tuple[Sequence[OutboxEntry], int]:
        """Entries, newest first, and how many there are of the wanted ones."""
        return await self._reader.outbox_entries(asked, limit, offset)


def _webhook(table: WebhookTable, guard: Guard, environ: Mapping[str, str]) -> Webhook:
    where = f"notify.webhooks.{table.name}"
    if problem := guard.problem(table.url):
        raise ConfigError(f"{where}: url: {problem}")
    texts = _secrets(where, table.secret_file, table.secret_env, environ)
    try:
        keys = tuple(key_of(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    return Webhook(name=table.name, url=table.url, keys=keys, rules=_rules(table, table.most, table.window))


def _channel(table: ChannelTable, environ: Mapping[str, str]) -> Channel:
    where = f"notify.channels.{table.name}"
    if find_spec("apprise") is None:
        raise ConfigError(f"{where}: channels need Apprise: {EXTRA}")
    texts = _secrets(where, table.url_file, table.url_env, environ)
    if len(texts) != 1:
        raise ConfigError(f"{where}: one address is wanted, there are {len(texts)}")
    return Channel(name=table.name, url=texts[0], rules=_rules(table, table.most, table.window))


def _rules(table: EndpointTable, most: int, window_s: float) -> Rules:
    return Rules(
        types=frozenset(table.types),
        symbols=frozenset(table.symbols),
        importance=table.importance,
        most=most,
        window_s=window_s,
    )


def _secrets(where: str, file: str, variable: str, environ: Mapping[str, str]) -> list[str]:
    """Words of a file or an environment variable; never told in an error. Raises ConfigError."""
    if variable:
        found, source = environ.get(variable, "").split(), f"environment variable {variable}"
    else:
        path = Path(file).expanduser()
        found, source = _read(where, path, environ), f"file {path}"
    if not found or len(found) > MOST_SECRETS:
        raise ConfigError(f"{where}: {source} holds {len(found) or 'nothing'}; 1 to {MOST_SECRETS} are wanted")
    return found


def _read(where: str, path: Path, environ: Mapping[str, str]) -> list[str]:
    """Lines of a file that nobody else may read; `#` begins a comment line."""
    try:
        mode = path.stat().st_mode
        guarded = bool(environ.get("CREDENTIALS_DIRECTORY")) and path.parent == Path(environ["CREDENTIALS_DIRECTORY"])
        if mode & 0o077 and not guarded:  # a service manager's credential shows its access list as a group's right
            wrong = f"mode {stat.S_IMODE(mode):04o} lets others read it; run chmod 600 {path}"
            raise ConfigError(f"{where}: file {path}: {wrong}")
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode()
    except OSError as error:
        raise ConfigError(f"{where}: file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: file {path}: not text") from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def _tried(problems: list[str], make: Callable[[], T], where: str = "") -> T | None:
    try:
        return make()
    except ConfigError as error:
        problems += [f"{where}: {problem}" if where else problem for problem in error.problems]
        return None
