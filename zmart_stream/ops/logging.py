"""Structured logs on standard error: JSON lines for machines, readable lines on a terminal.

Every event has a short dotted name and its facts as keys (docs/logging.md lists them). A repeated
warning is written once per period, with the number that was held back; secrets are masked.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Literal

import structlog

Event = MutableMapping[str, Any]
Renderer = Callable[[Any, str, Event], Any]

_SECRET_KEYS = re.compile(r"token|secret|password|passphrase|authorization|api_key", re.IGNORECASE)
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_MASK = "***"
_IN_TEXT = (
    (re.compile(r"(token=)[^&\s\"'\\\x1b]+"), r"\1" + _MASK),
    (re.compile(r"(/integrations/tradingview/)(?!\{)[^/?\s\"'\\\x1b]+"), r"\1" + _MASK),
    (re.compile(r"zs_[A-Za-z0-9_-]{8,}"), "zs_" + _MASK),
)
"""What a secret looks like, of ours and of others, wherever it stands."""

NEVER_HELD_BACK = frozenset({"config.refused", "book.holds"})
"""The answer to an operator, who would take silence for success, and the half of a pair whose other half is written."""


class Masker:
    """Hides values under tell-tale keys, and known secrets wherever they appear."""

    def __init__(self) -> None:
        """Start without known secrets."""
        self._known: set[str] = set()

    def learn(self, secrets: Iterable[str]) -> None:
        """Never let these texts through again."""
        self._known.update(secret for secret in secrets if len(secret) >= 8)

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        """The structlog processor."""
        for key, value in event.items():
            if isinstance(value, str):
                event[key] = _MASK if _SECRET_KEYS.search(key) and value else self._clean(value)
        return event

    def _clean(self, text: str) -> str:
        for secret in self._known:
            text = text.replace(secret, _MASK)
        for pattern, mask in _IN_TEXT:
            text = pattern.sub(mask, text)
        return text

    def rendering(self, renderer: Renderer) -> Renderer:
        """`renderer`, and what it wrote cleaned: tracebacks and what libraries log come together only there."""

        def render(logger: Any, method: str, event: Event) -> str:
            return self._clean(str(renderer(logger, method, event)))

        return render


class RepeatLimit:
    """Lets a warning or error of one kind through once per period; the next one tells how many were held back."""

    def __init__(self, every_s: float) -> None:
        """Two events are of one kind when their name and `reason` agree."""
        self._every = every_s
        self._last: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], int] = {}

    def __call__(self, _logger: Any, method: str, event: Event) -> Event:
        """The structlog processor; raises DropEvent for what is held back."""
        if method not in ("warning", "error") or not self._every or event.get("event") in NEVER_HELD_BACK:
            return event
        kind = (str(event.get("event")), str(event.get("reason", event.get("code", ""))))
        now = time.monotonic()
        if kind in self._last and now - self._last[kind] < self._every:
            self._held[kind] = self._held.get(kind, 0) + 1
            raise structlog.DropEvent
        self._last[kind] = now
        if held := self._held.pop(kind, 0):
            event["suppressed"] = held
        return event


masker = Masker()


def configure(
    *,
    level: Literal["debug", "info", "warning", "error"],
    form: Literal["auto", "json", "text"],
    repeat_every_s: float,
    sql: bool,
) -> None:
    """Set up structlog, and route the libraries' own warnings through it."""
    readable = form == "text" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        masker,
    ]
    # tracebacks without locals, which may hold secrets
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = masker.rendering(console if readable else structlog.processors.JSONRenderer())
    traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    errors: list[Any] = [] if readable else [structlog.processors.ExceptionRenderer(traces)]
    structlog.configure(
        processors=[*shared, RepeatLimit(repeat_every_s), *errors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _libraries(shared, [*errors, renderer], sql=sql)


def _libraries(shared: list[Any], last: list[Any], *, sql: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    without_record = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[without_record, *last])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO if sql else logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.ERROR)
