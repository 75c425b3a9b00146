"""How far a session's start has come: when cross-sections freeze in it, and when the book may be judged."""

from __future__ import annotations

from typing import Any

from zmart_stream.domain.market import WarmUp

NS = 1_000_000_000
_STEPS = 10


class Start:
    """A session's warm-up and first moments. `first_fill_after` in ns, counted from the session's first message."""

    def __init__(self, first_fill_after_s: float) -> None:
        self._after = first_fill_after_s * NS
        self.began: int | None = None
        self.done = 0
        self.of = 0
        self.ended = False
        self.bars_told = False  # storage has the ring: from now on every load is an amendment
        self.closed = False  # a close has fallen in this session
        self.keeps_sections = False  # a restart within a bar: the restored cross-sections hold
        self._frozen_steps = 0

    def begin(self, ts: int) -> None:
        """The session's first message came at `ts`."""
        if self.began is None:
            self.began = ts

    def again(self) -> None:
        """A new session on a restored state."""
        self.began = None
        self.done = self.of = self._frozen_steps = 0
        self.ended = self.closed = False
        self.keeps_sections = True

    def progress(self, message: WarmUp) -> bool:
        """Take a progress report; True when cross-sections are to be frozen (each tenth, and at the end)."""
        ended_now = message.ended and not self.ended
        self.done, self.of = message.done, message.of
        self.ended = self.ended or message.ended
        steps = message.done * _STEPS // message.of if message.of else 0
        further = steps > self._frozen_steps
        self._frozen_steps = max(steps, self._frozen_steps)
        return (further or ended_now) and not self.keeps_sections

    def close(self) -> None:
        """A close fell: from now on cross-sections are those of closes."""
        self.closed = True
        self.keeps_sections = False

    def may_judge(self, now: int) -> bool:
        """Whether the rules of the book run at `now`: warm-up ended, or `first_fill_after` passed."""
        return self.ended or self.waited(now)

    def waited(self, now: int) -> bool:
        """Whether `first_fill_after` passed since the session's first message; a negative one is warm-up's end."""
        if self._after < 0:
            return self.ended
        return self.began is not None and now - self.began >= self._after

    def snapshot(self) -> dict[str, Any]:
        """All of it."""
        return {name: value for name, value in vars(self).items() if name != "_after"}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        for name, value in state.items():
            setattr(self, name, value)
