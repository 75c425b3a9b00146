"""What an attempt comes to, and what an endpoint's sender is."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from zmart_stream.domain.outbox import OutboxEntry


class Outcome(NamedTuple):
    """Of one attempt."""

    error: str = ""
    """Empty: it was taken."""
    is_refused: bool = False
    """The receiver is well, and will never take this one."""
    wait_s: float = 0.0
    """How long the receiver asks to be left alone."""

    @property
    def ok(self) -> bool:
        """Whether it was taken."""
        return not self.error


class Sender(Protocol):
    """One endpoint's way out."""

    kind: str

    async def send(self, entry: OutboxEntry) -> Outcome:
        """One attempt, within its deadline; whatever the other side does is an outcome."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
