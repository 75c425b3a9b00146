"""The detectors in force: what they find becomes signals, each contract and direction once per cool-down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from zmart_stream.domain.commands import PluginDisabled
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import SignalSettings
from zmart_stream.domain.signals import DETECTOR_SOURCE, MACHINE, SignalReceived
from zmart_stream.market.views import MarketView
from zmart_stream.signals.base import Detector, Finding, ScoreDetector
from zmart_stream.signals.isolation import Failures, found
from zmart_stream.signals.registry import Post

NS = 1_000_000_000
MOST_AT_ONCE = 20
"""Findings of one detector at one close that become signals, in its own order."""


class Found(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A finding that is to become a signal."""

    detector: str
    finding: Finding


class Watch:
    """Detectors in the order of the settings.

    `crowded_out` counts findings beyond `MOST_AT_ONCE`; `watches_scores`: one wants to see composites move in a bar.
    """

    def __init__(self, settings: SignalSettings, posts: Sequence[Post]) -> None:
        self.crowded_out = 0
        self.failures = Failures("detector", settings.failures_to_disable)
        self._cool: dict[tuple[str, str, str], int] = {}  # (detector, symbol, direction) -> silent until, ns
        self._use(settings, posts)

    @property
    def names(self) -> list[str]:
        """Detectors in force."""
        return [post.settings.name for post in self._posts if post.settings.name not in self.failures.disabled]

    def reconfigure(self, settings: SignalSettings, posts: Sequence[Post]) -> None:
        """Use these from now on; cool-downs that run go on, what did not change stays disabled if it was."""
        self.failures.keep([p.settings.name for p in posts if any(p.settings == old.settings for old in self._posts)])
        self.failures.limit = settings.failures_to_disable
        self._use(settings, posts)

    def closed(self, view: MarketView) -> list[Found]:
        """What the close just now shows."""
        now = view.now
        self._cool = {key: until for key, until in self._cool.items() if until > now}
        return self._look(lambda detector: detector.at_close(view), view)

    def scored(self, symbol: str, view: MarketView) -> list[Found]:
        """What a composite that moved within a bar shows."""

        def look(detector: Detector) -> Iterable[Finding]:
            return detector.at_score(symbol, view) if isinstance(detector, ScoreDetector) else ()

        return self._look(look, view)

    def disable(self, name: str, reason: str, ts: int) -> PluginDisabled | None:
        """Leave a detector out from now on; None if it is not in force."""
        return self.failures.disable(name, reason, ts) if name in self.names else None

    def snapshot(self) -> dict[str, Any]:
        """Cool-downs, failures and who is left out."""
        cool = [[*key, until] for key, until in self._cool.items()]
        return {"cool": cool, "crowded_out": self.crowded_out, "failures": self.failures.snapshot()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self._cool = {(detector, symbol, way): until for detector, symbol, way, until in state["cool"]}
        self.crowded_out = state["crowded_out"]
        self.failures.restore(state["failures"])

    def adopt(self, stored: Iterable[Message]) -> None:
        """Let those cool down of which signals were stored after the snapshot."""
        cooldowns = {post.settings.name: int(post.settings.cooldown_s * NS) for post in self._posts}
        for message in stored:
            if not isinstance(message, SignalReceived) or message.signal.owner != MACHINE:
                continue
            signal, name = message.signal, message.signal.source.removeprefix(DETECTOR_SOURCE)
            if name in cooldowns and signal.symbol is not None:
                key = (name, signal.symbol, signal.direction)
                self._cool[key] = max(self._cool.get(key, 0), signal.received + cooldowns[name])

    def _use(self, settings: SignalSettings, posts: Sequence[Post]) -> None:
        self._posts = tuple(posts)
        # a Protocol's isinstance is slow, and composites move often: looked up once
        self.watches_scores = any(isinstance(post.detector, ScoreDetector) for post in posts)
        self._limit = settings.max_data_bytes

    def _look(self, look: Callable[[Detector], Iterable[Finding]], view: MarketView) -> list[Found]:
        told: list[Found] = []
        for post in self._posts:
            name = post.settings.name
            if name in self.failures.disabled:
                continue
            try:
                findings = found(post.detector, look(post.detector), view, self._limit)
            except Exception as error:  # noqa: BLE001 - the plug-in boundary
                self.failures.failed(name, error, view.now)
                continue
            self.failures.succeeded(name)
            told += self._admitted(post, findings, view.now)
        return told

    def _admitted(self, post: Post, findings: Sequence[Finding], now: int) -> list[Found]:
        """Those that are not cooling down, at most `MOST_AT_ONCE`; each begins to cool down."""
        name, admitted = post.settings.name, list[Found]()
        for finding in findings:
            key = (name, finding.symbol, finding.direction)
            if self._cool.get(key, 0) > now:
                continue
            if len(admitted) == MOST_AT_ONCE:
                self.crowded_out += 1
                continue
            self._cool[key] = now + int(post.settings.cooldown_s * NS)
            admitted.append(Found(detector=name, finding=finding))
        return admitted
