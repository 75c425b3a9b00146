"""Signals: they come in, are judged, and can be looked at."""

from __future__ import annotations

from typing import Any, Literal

from zmart_stream.api.calls import PREFIX, Call, Route
from zmart_stream.api.exchange_names import contracts_of
from zmart_stream.api.models import is_uuid
from zmart_stream.api.models.signals import (
    OneSignalReply,
    ReleaseBody,
    ReleaseReply,
    SignalBody,
    SignalReply,
    SignalsQuery,
    SignalsReply,
    SignalStatisticsReply,
)
from zmart_stream.domain.commands import ReleaseSource
from zmart_stream.domain.errors import CommandRefusedError, RequestError
from zmart_stream.domain.ports import SignalsAsked
from zmart_stream.domain.signals import SubmitSignal
from zmart_stream.signals.answer import answer_to
from zmart_stream.signals.validation import shown

KEY = "Idempotency-Key"
"""Header that stands for the body's `idempotency_key`."""


async def submit(call: Call) -> dict[str, Any]:
    """Have a signal judged; the answer comes once it is on disk. One that waits is `received`.

    The same key, or the same signal within a minute, gets the first one's answer and acts once.
    """
    body = call.said(SignalBody)
    given = body.model_dump(exclude={"idempotency_key", "signal_data", "symbol", "symbol_id"})
    try:
        cascade = await call.submit(
            SubmitSignal,
            owner=call.caller.owner,
            signal_data=body.signal_data or {},
            idempotency_key=sent_key(call, body.idempotency_key),
            symbol=meant_contract(call, body.symbol),
            symbol_id=meant_contract(call, body.symbol_id),
            **given,
        )
    except CommandRefusedError as refusal:
        raise with_names(call, refusal, body.symbol_id or body.symbol) from None
    return answer_to(cascade)


async def pending(call: Call) -> dict[str, Any]:
    """Signals that are not through yet, newest first."""
    return await _signals(call, "pending")


async def processed(call: Call) -> dict[str, Any]:
    """Signals that are through, rejected ones included, newest first."""
    return await _signals(call, "processed")


async def statistics(call: Call) -> dict[str, Any]:
    """Counts, durations and scorecards since the database began."""
    return call.services.reader.signal_statistics()


async def signal(call: Call) -> dict[str, Any]:
    """One signal with every step, opinion and reason, its decision and its outcome."""
    which = call.request.match_info["id"]
    found = await call.services.archive.signal(which) if is_uuid(which) else None
    if found is None:
        raise RequestError("unknown_signal", "no stored signal has that id")
    return {"signal": found}


async def release(call: Call) -> dict[str, Any]:
    """Let a source's name go: it belongs to whoever uses it next, with a record of its own."""
    body = call.said(ReleaseBody)
    await call.submit(ReleaseSource, source_name=body.source_name, note=body.reason)
    return {"source_name": body.source_name}


async def _signals(call: Call, state: Literal["pending", "processed"]) -> dict[str, Any]:
    asked = call.asked(SignalsQuery)
    symbol = None if asked.symbol is None else call.symbol(asked.symbol)
    wanted = SignalsAsked(state, asked.source, symbol)
    rows, total = await call.services.archive.signals(wanted, asked.limit, asked.offset)
    return {"signals": rows, "total": total, "limit": asked.limit, "offset": asked.offset}


def meant_contract(call: Call, name: str | None) -> str | None:
    """The contract that is meant, however another exchange spells it; what nobody knows is the core's to refuse."""
    listed = call.services.reader.listed()
    if name is None or name in listed or is_uuid(name):
        return name
    found = contracts_of(name, listed)
    if len(found) > 1:
        raise RequestError("unknown_symbol", f"{shown(name)} may be {' or '.join(found)}", suggestions=found)
    return found[0] if found else name


def with_names(call: Call, refusal: CommandRefusedError, name: str | None) -> CommandRefusedError:
    """The refusal of a contract that is not listed, with those that may have been meant."""
    if refusal.code != "unknown_symbol" or name is None:
        return refusal
    unknown, problems = call.unknown_symbol(str(shown(name))), refusal.facts.get("problems")
    text = f"{refusal}; {unknown}" if isinstance(problems, list) and len(problems) > 1 else str(unknown)
    return CommandRefusedError(refusal.code, text, **{**refusal.facts, **unknown.facts})


def sent_key(call: Call, in_body: str | None) -> str | None:
    """The idempotency key, of the header or of the body. Raises RequestError when they differ."""
    said = call.request.headers.getall(KEY, [])
    header = said[0].strip() if said else ""
    if len(said) > 1 or not header.isascii() or in_body not in (None, header or in_body):
        raise RequestError("bad_request", f"{KEY}: one, of ASCII characters, the body's if that has one too")
    return header or in_body


ROUTES = (
    Route(
        method="POST",
        path=f"{PREFIX}/signals",
        handler=submit,
        reply=SignalReply,
        summary="Have a signal judged",
        scope="signal",
        body=SignalBody,
        errors=("unknown_symbol", "bad_signal", "source_taken", "too_many_sources", "backlog"),
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/signals/pending",
        handler=pending,
        reply=SignalsReply,
        summary="Signals that wait",
        query=SignalsQuery,
        errors=("unknown_symbol",),
        kept_s=1.0,
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/signals/processed",
        handler=processed,
        reply=SignalsReply,
        summary="Signals that are through",
        query=SignalsQuery,
        errors=("unknown_symbol",),
        kept_s=1.0,
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/signals/release-source",
        handler=release,
        reply=ReleaseReply,
        summary="Let a source's name go to whoever uses it next",
        scope="operate",
        body=ReleaseBody,
        errors=("unknown_source",),
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/signals/statistics",
        handler=statistics,
        reply=SignalStatisticsReply,
        summary="What came in, what became of it, and who was right",
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/signals/{{id}}",
        handler=signal,
        reply=OneSignalReply,
        summary="One signal with all that was said of it",
        errors=("unknown_signal",),
    ),
)
