"""The plug-in boundary: what agents and detectors return is checked before it is believed, failures are counted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np

from zmart_stream.domain.commands import PluginDisabled
from zmart_stream.domain.errors import PluginFaultError
from zmart_stream.domain.signals import LEAST_P, MOST_P, Opinion
from zmart_stream.market.views import BookView, MarketView
from zmart_stream.signals.base import Agent, Case, Detector, Finding
from zmart_stream.signals.validation import MOST_EXPIRY_S, TYPE, data_bytes, writable

T = TypeVar("T")
MOST_REASONS = 32
MOST_TEXT = 500
"""Characters of why a plug-in is left out: its own words are among them."""
MOST_BYTES = 256 << 10
"""Of one opinion or finding as a snapshot keeps it; `signals.max_data_kb` allows 128 KiB of data at most."""


class Failures:
    """Failures of one kind of plug-in: how many, how many in a row, and who is left out for them.

    `notices` collects PluginDisabled: whoever calls takes them and clears the list.
    """

    def __init__(self, kind: str, limit: int) -> None:
        self.kind = kind
        self.limit = limit
        self.counts: dict[str, int] = {}
        self.disabled: dict[str, str] = {}
        self.notices: list[PluginDisabled] = []
        self._in_a_row: dict[str, int] = {}

    def succeeded(self, name: str) -> None:
        """A plug-in answered as it must."""
        self._in_a_row.pop(name, None)

    def failed(self, name: str, error: Exception, ts: int) -> None:
        """A plug-in raised or returned nonsense; at the limit in a row it is left out."""
        self.counts[name] = self.counts.get(name, 0) + 1
        in_a_row = self._in_a_row[name] = self._in_a_row.get(name, 0) + 1
        if in_a_row >= self.limit and name not in self.disabled:
            text = f"failed {in_a_row} times in a row, last with {type(error).__name__}: {error}"
            self.notices.append(self.disable(name, writable(text[:MOST_TEXT]), ts))

    def disable(self, name: str, reason: str, ts: int) -> PluginDisabled:
        """Leave a plug-in out from now on."""
        self.disabled[name] = reason
        return PluginDisabled(ts=ts, kind=self.kind, name=name, reason=reason)

    def keep(self, names: Collection[str]) -> None:
        """Other settings: plug-ins that did not change stay disabled if they were."""
        self.disabled = {name: why for name, why in self.disabled.items() if name in names}
        self._in_a_row = {name: n for name, n in self._in_a_row.items() if name in names}

    def snapshot(self) -> dict[str, Any]:
        """Counts and who is left out."""
        return {"counts": dict(self.counts), "disabled": dict(self.disabled), "in_a_row": dict(self._in_a_row)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self.counts = dict(state["counts"])
        self.disabled = dict(state["disabled"])
        self._in_a_row = dict(state["in_a_row"])


def asked(agent: Agent, case: Case, view: BookView) -> Opinion:
    """The agent's opinion, NumPy's numbers in it as Python's. Raises PluginFaultError on what its contract forbids."""
    told = _plain(agent.name, agent.judge(case, view), Opinion, _opinion)
    if told.agent != agent.name:
        raise PluginFaultError(f"{agent.name}: the opinion is signed {told.agent!r}")
    if not 0 < len(told.reasons) <= MOST_REASONS:
        raise PluginFaultError(f"{agent.name}: an opinion says why, in 1 to {MOST_REASONS} reasons")
    if any(not _is_finite(each.numbers) for each in told.reasons) or not _is_finite(told.ages):
        raise PluginFaultError(f"{agent.name}: numbers of reasons and ages are finite")
    if not LEAST_P <= told.p <= MOST_P:
        raise PluginFaultError(f"{agent.name}: p is {told.p!r}, not from {LEAST_P:g} to {MOST_P:g}")
    if told.stance == "abstain":
        return told
    if told.stance != ("approve" if told.p >= 0.5 else "reject"):
        raise PluginFaultError(f"{agent.name}: stance {told.stance!r} at p = {told.p:g}")
    if told.veto and not getattr(agent, "may_veto", False):
        raise PluginFaultError(f"{agent.name}: it has no veto (may_veto)")
    return told


def found(detector: Detector, told: Iterable[Finding], view: MarketView, limit: int) -> list[Finding]:
    """What a detector found. Raises PluginFaultError on anything its contract does not allow.

    `limit`: size in bytes of a finding's data.
    """
    findings = [_plain(detector.name, each, Finding, _finding) for each in told]
    for each in findings:
        problem = _problem(each, view, limit)
        if problem:
            raise PluginFaultError(f"{detector.name}: {problem}")
    return findings


def _plain(name: str, told: object, kind: type[T], decode: Callable[[bytes], T]) -> T:
    """`told` as a snapshot and the store will give it back, so that what cannot be kept is refused here.

    Raises PluginFaultError.
    """
    if not isinstance(told, kind):
        raise PluginFaultError(f"{name}: it answered {type(told).__name__}, not {kind.__name__}")
    try:
        data = _encode(told)
        if len(data) > MOST_BYTES:
            raise PluginFaultError(f"{name}: {len(data)} bytes, at most {MOST_BYTES}")
        return decode(data)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise PluginFaultError(f"{name}: {error}") from error


def _own(value: object) -> Any:
    """A NumPy scalar as Python's own number. Raises PluginFaultError for anything else that has no encoding."""
    if isinstance(value, np.generic):
        return value.item()
    raise PluginFaultError(f"a {type(value).__name__} cannot be kept")


_encode = msgspec.msgpack.Encoder(enc_hook=_own).encode
_opinion = msgspec.msgpack.Decoder(Opinion).decode
_finding = msgspec.msgpack.Decoder(Finding).decode


def _problem(finding: Finding, view: MarketView, limit: int) -> str:
    """What is wrong with a finding, "" if nothing is."""
    if view.state(finding.symbol) is None:
        return f"no contract {finding.symbol!r}"
    if not TYPE.fullmatch(finding.signal_type):
        return f"signal type {finding.signal_type!r}"
    if not (0.0 <= finding.strength <= 1.0 and 0.0 <= finding.confidence <= 1.0):
        return f"strength {finding.strength!r} and confidence {finding.confidence!r} are not from 0 to 1"
    if data_bytes(finding.data) > limit:
        return f"data of more than {limit} bytes"
    expires = finding.expires_in_s
    return "" if expires is None or 0.0 < expires <= MOST_EXPIRY_S else f"expires in {expires!r} s"


def _is_finite(numbers: Mapping[str, Any]) -> bool:
    return all(value - value == 0.0 for value in numbers.values() if isinstance(value, float))
