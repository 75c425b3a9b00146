"""Reading the configuration again: valid changes apply between two messages, invalid ones are refused whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

import msgspec

from zmart_stream.app.config import Loaded, Sources, load, setting_keys, told
from zmart_stream.app.contradictions import contradictions
from zmart_stream.app.core_settings import needs_restart
from zmart_stream.app.runner import Runner
from zmart_stream.app.settings import Settings
from zmart_stream.domain.commands import Reconfigure
from zmart_stream.domain.errors import CommandRefusedError, ConfigError
from zmart_stream.domain.ports import Inbox
from zmart_stream.domain.settings import CoreSettings

Record = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""Puts values that stand over the file on disk, in somebody's name."""


class Reload:
    """One per daemon; SIGHUP and the API's reload both call `run`."""

    def __init__(
        self,
        loaded: Loaded,
        sources: Sources,
        *,
        runner: Runner,
        now: Callable[[], int],
        core: Callable[[Settings], CoreSettings],
        apply: Callable[[Settings], None],
    ) -> None:
        """`core` makes the core's settings, `apply` gives the rest to the edges that can change while running."""
        self.loaded = loaded
        self.revision = 0
        self._sources = sources
        self._runner = runner
        self._now = now
        self._core = core
        self._apply = apply
        self._turn = asyncio.Lock()

    @property
    def overrides(self) -> Mapping[str, Any]:
        """What is recorded over the file, by dotted key."""
        return self._sources.overrides

    def begin(self, core: CoreSettings, revision: int, stored: dict[str, Any] | None, inbox: Inbox) -> None:
        """Number on from the stored `revision`; settings that differ from the `stored` ones become a new one."""
        self.revision = revision
        if msgspec.json.decode(msgspec.json.encode(core)) == stored:
            return
        number = self._next()
        inbox.put(
            Reconfigure(ts=self._now(), request_id=f"start-{number}", who="start", settings=core, revision=number)
        )

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    async def run(self) -> dict[str, Any]:
        """Read everything again and apply it. Raises ConfigError, and changes nothing, if anything is wrong."""
        async with self._turn:
            return await self._take(load(self._sources), "reload")

    async def override(self, values: Mapping[str, Any], who: str, record: Record) -> dict[str, Any]:
        """Read everything again with `values` over the file (None: no longer), apply it, and have it recorded.

        Raises ConfigError, and changes nothing, if anything is wrong.
        """
        async with self._turn:
            overrides = {key: value for key, value in {**self.overrides, **values}.items() if value is not None}
            sources = self._sources._replace(overrides=overrides)
            result = await self._take(load(sources), who)
            self._sources = sources
            await record(who, values)
            return result

    async def _take(self, new: Loaded, who: str) -> dict[str, Any]:
        changed = changes(self.loaded.settings, new.settings)
        restart = needs_restart(changed)
        applied = tuple(key for key in changed if key not in restart)
        effective = _without(new.settings, self.loaded.settings, restart)
        if problems := told(contradictions(effective), new.layers):
            raise ConfigError([f"{problem} (until a restart applies {', '.join(restart)})" for problem in problems])
        if applied:
            command = Reconfigure(
                ts=self._now(),
                request_id=str(uuid4()),
                who=who,
                settings=self._core(effective),
                revision=self._next(),
                changed=applied,
            )
            try:
                await self._runner.submit(command)
            except CommandRefusedError as error:
                raise ConfigError(str(error).splitlines()) from None
            self._apply(effective)
        self.loaded = new._replace(settings=effective)
        return {"applied": list(applied), "restart_needed": list(restart), "revision": self.revision}


def changes(old: Settings, new: Settings) -> tuple[str, ...]:
    """Dotted keys whose values differ."""
    return tuple(".".join(key) for key in setting_keys() if value_of(old, key) != value_of(new, key))


def value_of(settings: Any, key: tuple[str, ...]) -> Any:
    """The value of a setting."""
    for name in key:
        settings = getattr(settings, name)
    return settings


def _without(new: Settings, old: Settings, restart: tuple[str, ...]) -> Settings:
    """`new`, but with the old values of what only a restart applies."""
    tree = new.model_dump()
    kept = old.model_dump()
    for dotted in restart:
        *parents, last = dotted.split(".")
        node, source = tree, kept
        for name in parents:
            node, source = node[name], source[name]
        node[last] = source[last]
    return Settings.model_validate(tree)
