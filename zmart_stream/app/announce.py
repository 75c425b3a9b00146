"""What the log says of what the core derived: a line for a book change, a hold, a signal, a disabled plug-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from zmart_stream.domain.commands import CommandDone, PluginDisabled, Reconfigured
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, HoldChanged, PortfolioChange, WeightsKept
from zmart_stream.domain.signals import SignalDecided, SignalEnded

log = structlog.get_logger("book")


def announce(messages: Sequence[Message]) -> None:
    """Write what people want to read; scores and bars are not for the log."""
    for message in messages:
        write = _WRITERS.get(type(message))
        if write is not None:
            write(message)


def _change(message: PortfolioChange) -> None:
    log.info(
        "book.changed",
        kind=message.kind,
        reason=message.reason,
        symbol_in=message.symbol_in,
        symbol_out=message.symbol_out,
        holdings=len(message.after.holdings),
        cash=message.after.cash,
        who=message.who,
        **{f"n_{name}": value for name, value in message.numbers.items()},
    )


def _hold(message: HoldChanged) -> None:
    if message.on:
        log.warning("book.holds", reason=message.reason)
    else:
        log.info("book.acts", reason=message.reason)


def _ready(message: BookReady) -> None:
    log.info("book.ready", size=message.size)


def _kept(message: WeightsKept) -> None:
    log.warning("book.weights_kept", reason=message.reason)


def _plugin(message: PluginDisabled) -> None:
    log.error("plugin.disabled", kind=message.kind, name=message.name, reason=message.reason)


def _decided(message: SignalDecided) -> None:
    signal, decision = message.signal, message.decision
    plan = decision.plan
    if not decision.approved:
        log.debug("signal.declined", id=signal.id, source=signal.source, p=decision.p, reason=decision.reason)
        return
    log.info(
        "signal.approved",
        id=signal.id,
        source=signal.source,
        type=signal.signal_type,
        direction=signal.direction,
        symbol=plan.symbol,
        action=plan.action,
        p=decision.p,
    )


def _ended(message: SignalEnded) -> None:
    log.info("signal.ended", id=message.signal_id, status=message.status, reason=message.reason, detail=message.detail)


def _reconfigured(message: Reconfigured) -> None:
    log.info("config.applied", revision=message.revision, changed=list(message.changed))


def _done(message: CommandDone) -> None:
    if not message.accepted:
        log.warning("command.refused", code=message.code, reason=message.detail)


_WRITERS: dict[type[Message], Callable[..., None]] = {
    PortfolioChange: _change,
    HoldChanged: _hold,
    BookReady: _ready,
    WeightsKept: _kept,
    PluginDisabled: _plugin,
    Reconfigured: _reconfigured,
    CommandDone: _done,
    SignalDecided: _decided,
    SignalEnded: _ended,
}
