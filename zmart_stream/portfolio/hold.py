"""When the book holds: no rule acts, no close counts (numbers.md §5)."""

from __future__ import annotations

from typing import Any, Literal

from zmart_stream.domain.portfolio import HoldChanged

Cause = Literal["paused", "storage", "venue_status", "universe_live", "gap"]
_ORDER: tuple[Cause, ...] = ("paused", "storage", "venue_status", "universe_live", "gap")
_LEAVES_A_GAP = ("venue_status", "universe_live")


class Hold:
    """The causes in force. After a closed venue or a dead feed a `gap` stays until the first close after its repair."""

    def __init__(self) -> None:
        self._causes: dict[str, str] = {}
        self._told: str | None = None

    @property
    def on(self) -> bool:
        """Whether the book holds."""
        return bool(self._causes)

    @property
    def code(self) -> str | None:
        """The most important cause in force."""
        return next((cause for cause in _ORDER if cause in self._causes), None)

    @property
    def reason(self) -> str:
        """The most important cause with its detail, "" while the book does not hold."""
        return self.words(*_ORDER)

    def words(self, *causes: Cause) -> str:
        """The first of `causes` that is in force, with its detail; "" if none is."""
        code = next((cause for cause in causes if cause in self._causes), None)
        if code is None:
            return ""
        detail = self._causes[code]
        return f"{code}: {detail}" if detail else code

    def has(self, cause: Cause) -> bool:
        """Whether `cause` is in force."""
        return cause in self._causes

    def begin(self, cause: Cause, detail: str = "") -> None:
        """Put `cause` in force; the detail of its beginning stays."""
        self._causes.setdefault(cause, detail)

    def end(self, cause: Cause) -> None:
        """Lift `cause`."""
        self._causes.pop(cause, None)

    def end_outage(self, cause: Cause, *, keeps_gap: bool) -> None:
        """Lift a cause during which data was missed; with `keeps_gap` the book waits for the repair."""
        if cause in self._causes:
            self.end(cause)
            if keeps_gap:
                self.begin("gap", f"bars missed while {cause} are being repaired")

    def close(self, unrepaired: int) -> None:
        """A close was reached with `unrepaired` bars still missing: the first without any ends the gap."""
        if unrepaired == 0 and not any(cause in self._causes for cause in _LEAVES_A_GAP):
            self.end("gap")

    def changed(self, ts: int) -> HoldChanged | None:
        """What to tell since the last call: the hold began, ended, or has another leading cause."""
        code = self.code
        if code == self._told:
            return None
        ended = self._told
        self._told = code
        return HoldChanged(ts=ts, on=code is not None, reason=self.reason if code is not None else f"{ended} ended")

    def snapshot(self) -> dict[str, Any]:
        """Causes and what was told."""
        return {"causes": dict(self._causes), "told": self._told}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self._causes = dict(state["causes"])
        self._told = state["told"]
