"""The newest events, numbered: what a client has not read yet, and what one that comes back has missed."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One event, made into bytes once for all who get it."""

    number: int
    kind: str
    symbols: tuple[str, ...]
    """The contracts it is about; none: it is for everybody."""
    sse: bytes
    frame: bytes
    """The websocket's."""


def text_frame(text: bytes) -> bytes:
    """A server's whole text message as one frame (RFC 6455, 5.2)."""
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    length = b"\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x7f" + size.to_bytes(8)
    return b"\x81" + length + text


class Ring:
    """A fixed number of events; a new one takes the oldest one's place."""

    def __init__(self, size: int) -> None:
        """Nothing happened yet; the first event will be number 1."""
        self._slots: list[Event | None] = [None] * size
        self.next = 1

    @property
    def oldest(self) -> int:
        """The number of the oldest event that is kept, or of the next one."""
        return max(1, self.next - len(self._slots))

    def append(self, event: Event) -> None:
        """Keep the event numbered `next`."""
        self._slots[event.number % len(self._slots)] = event
        self.next = event.number + 1

    def read(self, first: int, most: int) -> list[Event]:
        """Events from number `first` on, oldest first; those that left the ring are not among them."""
        size = len(self._slots)
        numbers = range(max(first, self.oldest), min(first + most, self.next))
        return [event for number in numbers if (event := self._slots[number % size]) is not None]
