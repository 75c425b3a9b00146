"""Alerts of TradingView and of bots that speak OctoBot's text form: they become signals."""

from __future__ import annotations

from typing import Any

from zmart_stream.api.addresses import TRADINGVIEW
from zmart_stream.api.alert_meaning import Wish, expiry_of, key_of, name_of, share, wish_of
from zmart_stream.api.alerts import read_alert, read_octobot
from zmart_stream.api.calls import JSON, PREFIX, Call, Route
from zmart_stream.api.models.alerts import AlertBody, AlertReply
from zmart_stream.api.routes.signals import meant_contract, sent_key, with_names
from zmart_stream.domain.errors import CommandRefusedError, RequestError
from zmart_stream.domain.signals import SubmitSignal
from zmart_stream.signals.answer import answer_to

TEXT = "text/plain"
OCTOBOT = f"{PREFIX}/integrations/octobot"
NOT_JUDGED: dict[str, Any] = {
    "signal_id": None,
    "repeated": False,
    "decision": None,
    "opinions": [],
    "detail": "",
    "change_id": None,
}


async def tradingview(call: Call) -> dict[str, Any]:
    """Have an alert judged, in JSON or text; what the content type says does not matter.

    The answer comes once the signal is on disk, and after 2 s at the latest: then as `accepted`, which promises that it
    was taken, not that it survives a crash within the next moment. The same alert of one bar acts once.
    """
    try:
        return await _judged(call, "TRADINGVIEW", within_s=call.alerts.wait_s)
    except RequestError as error:
        if error.code != "no_answer":
            raise
        return {**NOT_JUDGED, "status": "accepted", "reason": "not on disk yet"}


async def octobot(call: Call) -> dict[str, Any]:
    """Have a text for OctoBot judged: KEY=VALUE by line or `;`.

    EXCHANGE, SYMBOL and SIGNAL (BUY, SELL, CANCEL) have to be there; what else is, is kept with the signal.
    """
    return await _judged(call, "OCTOBOT")


async def _judged(call: Call, kind: str, within_s: float | None = None) -> dict[str, Any]:
    alert = call.said(AlertBody)
    wish, name = wish_of(alert), name_of(alert)
    fields = {
        "signal_type": (alert.signal_type or kind).strip().upper(),
        "signal_strength": share(alert, ("strength", "signal_strength"), call.alerts.strength),
        "confidence_level": share(alert, ("confidence", "confidence_level"), call.alerts.confidence),
        "expires_in_s": expiry_of(alert),
        "source_name": _source(call, alert),
        "symbol": meant_contract(call, name),
    }
    if wish.direction is None:
        return {**NOT_JUDGED, "status": "ignored", "reason": wish.reason}
    try:
        cascade = await call.submit(
            SubmitSignal,
            within_s=within_s,
            owner=call.caller.owner,
            signal_direction=wish.direction,
            signal_data={"via": kind.lower(), **alert.kept()},
            idempotency_key=sent_key(call, alert.idempotency_key) or _derived_key(call, alert, fields, wish),
            **fields,
        )
    except CommandRefusedError as refusal:
        raise with_names(call, refusal, name) from None
    return answer_to(cascade)


def _derived_key(call: Call, alert: AlertBody, fields: dict[str, Any], wish: Wish) -> str | None:
    told = [str(fields["source_name"]), str(fields["symbol"]), str(fields["signal_type"]), str(wish.direction)]
    return key_of(alert, told, call.services.now())


def _source(call: Call, alert: AlertBody) -> str:
    """Whose signal it is: the token's name, and the strategy's behind it.

    A source belongs to one token for good. Where a name was given anew after its token was revoked, the source tells
    which one it is, or every alert would be refused.
    """
    name = call.caller.name
    before = [record.id for record in call.tokens.records if record.name == name]
    if call.caller.owner in before and (place := before.index(call.caller.owner)):
        name = f"{name} ({place + 1})"
    named = alert.strategy if isinstance(alert.strategy, str) else None
    strategy = (named or alert.strategy_id or "").strip()
    return f"{name}: {strategy}" if strategy else name


def _said(content: dict[str, Any]) -> str:
    """The answer in a line: where the signal stands, why, and its id."""
    words = [content["status"], f"({content['reason']})" if content["reason"] else "", content["signal_id"] or ""]
    return " ".join(filter(None, words)) + "\n"


ERRORS = ("bad_alert", "unknown_symbol", "bad_signal", "source_taken", "too_many_sources", "backlog")

ROUTES = (
    Route(
        method="POST",
        path=f"{TRADINGVIEW}{{secret}}",
        handler=tradingview,
        reply=AlertReply,
        summary="Have an alert of TradingView judged",
        scope="tradingview",
        secret="tradingview",
        body=AlertBody,
        demands_body=True,
        reads=read_alert,
        takes=(JSON, TEXT),
        status=202,
        errors=(*ERRORS, "address_refused"),
    ),
    Route(
        method="POST",
        path=OCTOBOT,
        handler=octobot,
        reply=AlertReply,
        summary="Have a text for OctoBot judged",
        scope="signal",
        body=AlertBody,
        demands_body=True,
        reads=read_octobot,
        takes=(TEXT,),
        text=_said,
        errors=ERRORS,
    ),
)
