"""The typed synchronous bus: what follows from a message, and from that, first in first out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from zmart_stream.domain.errors import CascadeError
from zmart_stream.domain.message import Message

M = TypeVar("M", bound=Message)


class Bus:
    """Handlers by message class. A cascade ends because no class may appear below itself.

    Messages of the class `last` are told after all others: an answer comes when everything is done.
    """

    def __init__(self, last: type[Message] | None = None) -> None:
        self._last = last
        self._handlers: dict[type[Message], list[Callable[[Any], Iterable[Message]]]] = {}

    def subscribe(self, kind: type[M], handler: Callable[[M], Iterable[Message]]) -> None:
        """Call `handler` with every message of exactly this class, in the order of subscription."""
        self._handlers.setdefault(kind, []).append(handler)

    def cascade(self, messages: Iterable[Message]) -> list[Message]:
        """`messages` and all that follows, in order. Raises CascadeError if a class reappears below itself."""
        told: list[Message] = []
        answers: list[Message] = []
        queue: deque[tuple[Message, tuple[type[Message], ...]]] = deque((message, ()) for message in messages)
        while queue:
            message, above = queue.popleft()
            if type(message) is self._last:
                answers.append(message)
                continue
            told.append(message)
            handlers = self._handlers.get(type(message))
            if handlers is None:
                continue
            path = (*above, type(message))
            for handler in handlers:
                queue.extend((below, path) for below in self._checked(handler(message), path))
        return told + answers

    @staticmethod
    def _checked(messages: Iterable[Message], path: tuple[type[Message], ...]) -> Iterable[Message]:
        for message in messages:
            if type(message) in path:
                names = " > ".join(kind.__name__ for kind in (*path, type(message)))
                raise CascadeError(f"a cascade came back to itself: {names}")
            yield message
