"""The typed synchronous bus: a message, all that follows from it, and only then the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
        """`messages` and all that follows, in order. Raises CascadeError if a class reappears below itself.

        Nothing is drawn from `messages`, or from what a handler returns, before the message drawn last is through with
        all that follows from it: of two signals that come together the second finds the book as the first left it.
        """
        told: list[Message] = []
        answers: list[Message] = []
        path: list[type[Message]] = []
        levels: list[Iterator[Message]] = [iter(messages)]  # the messages of each step down, as far as drawn
        while levels:
            message = next(levels[-1], None)
            if message is None:
                levels.pop()
                if path:
                    path.pop()
                continue
            kind = type(message)
            if kind in path:
                raise CascadeError(f"a cascade came back to itself: {' > '.join(k.__name__ for k in (*path, kind))}")
            if kind is self._last:
                answers.append(message)
                continue
            told.append(message)
            handlers = self._handlers.get(kind)
            if handlers is not None:
                path.append(kind)
                levels.append(self._below(message, handlers))
        return told + answers

    @staticmethod
    def _below(message: Message, handlers: Iterable[Callable[[Any], Iterable[Message]]]) -> Iterator[Message]:
        """What `handlers` say of `message`, each asked when those before it are through."""
        for handler in handlers:
            yield from handler(message)
