"""One attempt at a person's channel, through Apprise, which blocks: on a thread, within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import Any

import msgspec

from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.outbox import OutboxEntry
from zmart_stream.notify.sending import Outcome
from zmart_stream.notify.settings import Channel, NotifySettings

EXTRA = "pip install 'zmart-stream[notify]'"
_KINDS = {"low": "info", "normal": "info", "high": "warning"}


class _Said(msgspec.Struct, frozen=True):
    """What of a payload a person reads."""

    title: str = "zmart-stream"
    text: str = ""
    importance: str = "normal"


class ChannelSender:
    """Tells one channel. At most one thread of it runs, however long the service takes."""

    kind = "channel"

    def __init__(self, channel: Channel, settings: NotifySettings) -> None:
        self._url = channel.url
        self._deadline_s = settings.channel_timeout_s
        self._thread: threading.Thread | None = None
        self._target: Any = None
        self._last = ("", Outcome())

    async def send(self, entry: OutboxEntry) -> Outcome:
        """One attempt."""
        if self._thread is not None and self._thread.is_alive():
            return Outcome("the attempt before is still under way")
        if self._last[0] == entry.event_id and self._last[1].ok:
            return Outcome()  # it was taken after the deadline
        said = msgspec.json.decode(entry.payload, type=_Said)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()

        def tell() -> None:
            outcome = self._notify(said)
            self._last = (entry.event_id, outcome)
            # the loop may have ended meanwhile
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell, answer, outcome)

        # not the loop's own executor: its threads are joined at the end, however long a service hangs
        self._thread = threading.Thread(target=tell, name="notify-channel", daemon=True)
        self._thread.start()
        try:
            return await asyncio.wait_for(answer, self._deadline_s)
        except TimeoutError:
            return Outcome(f"no answer in {self._deadline_s:g} s")

    async def close(self) -> None:
        """Nothing to let go of: a thread that still runs ends by itself, or with the process."""

    def _notify(self, said: _Said) -> Outcome:
        try:
            if self._target is None:
                self._target = target_of(self._url)
            kind = _KINDS.get(said.importance, "info")
            done = self._target.notify(body=said.text, title=said.title, notify_type=kind)
        except ConfigError as error:
            return Outcome(str(error))
        except Exception as error:  # noqa: BLE001 - the plug-in boundary: a service's own code
            return Outcome(f"the service failed: {type(error).__name__}")
        return Outcome() if done else Outcome("the service did not take it")


def _tell(answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)


def target_of(url: str) -> Any:
    """Apprise with one address. Raises ConfigError without the extra, and for an address that it does not know."""
    apprise = _library()
    target = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, secure_logging=True))
    if not target.add(url):
        raise ConfigError("that is no Apprise address, or one of a service that needs a further package")
    return target


def _library() -> Any:
    try:
        import apprise  # noqa: PLC0415 - an extra, and a second of imports
    except ImportError:
        raise ConfigError(f"channels need Apprise: {EXTRA}") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it tells of addresses
    return apprise
