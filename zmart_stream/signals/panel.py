"""The agents in force, asked one after the other; one that fails has no opinion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zmart_stream.domain.commands import PluginDisabled
from zmart_stream.domain.settings import SignalSettings
from zmart_stream.domain.signals import Opinion
from zmart_stream.market.views import BookView
from zmart_stream.signals.base import Case, abstain
from zmart_stream.signals.isolation import Failures, asked
from zmart_stream.signals.registry import Seat


class Panel:
    """Agents in the order of the settings."""

    def __init__(self, settings: SignalSettings, seats: Sequence[Seat]) -> None:
        self._seats = tuple(seats)
        self.failures = Failures("agent", settings.failures_to_disable)

    @property
    def names(self) -> list[str]:
        """Agents in force."""
        return [seat.settings.name for seat in self._seats if seat.settings.name not in self.failures.disabled]

    @property
    def weights(self) -> dict[str, float]:
        """Their weights by the settings."""
        return {seat.settings.name: seat.settings.weight for seat in self._seats}

    def reconfigure(self, settings: SignalSettings, seats: Sequence[Seat]) -> None:
        """Ask these from now on; an agent whose settings did not change stays disabled if it was."""
        same = [seat.settings.name for seat in seats if any(seat.settings == old.settings for old in self._seats)]
        self._seats = tuple(seats)
        self.failures.limit = settings.failures_to_disable
        self.failures.keep(same)

    def judge(self, case: Case, view: BookView) -> tuple[Opinion, ...]:
        """Everybody's opinion; who fails abstains with the reason `failed`."""
        return tuple(
            self._ask(seat, case, view) for seat in self._seats if seat.settings.name not in self.failures.disabled
        )

    def disable(self, name: str, reason: str, ts: int) -> PluginDisabled | None:
        """Leave an agent out from now on; None if it is not in force."""
        return self.failures.disable(name, reason, ts) if name in self.names else None

    def snapshot(self) -> dict[str, Any]:
        """Failures and who is left out."""
        return self.failures.snapshot()

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self.failures.restore(state)

    def _ask(self, seat: Seat, case: Case, view: BookView) -> Opinion:
        name = seat.settings.name
        try:
            told = asked(seat.agent, case, view)
        except Exception as error:  # noqa: BLE001 - the plug-in boundary
            self.failures.failed(name, error, view.now)
            return abstain(name, "failed", error=type(error).__name__)
        self.failures.succeeded(name)
        return told
