"""What OpenAPI has few words for: streams that do not end, websockets, and the pair list with its errors in text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from zmart_stream.api import problems
from zmart_stream.api.addresses import FREQTRADE
from zmart_stream.api.calls import JSON
from zmart_stream.api.freqtrade_ws import WHITELIST, ProducerQuery
from zmart_stream.api.models import Query
from zmart_stream.api.pairlist import PATH as PAIR_LIST
from zmart_stream.api.pairlist import PairListQuery
from zmart_stream.api.push.routes import LAST_ID, PATHS, SocketQuery, StreamQuery
from zmart_stream.api.push.ws import Asked

Described = dict[str, Any]

EVENTS: dict[str, tuple[str, ...]] = {
    "score_update": ("symbol", "new_score", "old_score", "change", "confidence", "timestamp"),
    "portfolio_change": ("type", "symbol", "details", "timestamp"),
    "signal": ("signal_id", "status", "symbol", "source", "signal_type", "direction", "details", "timestamp"),
    "decision": (
        *("signal_id", "approved", "reason", "consensus", "approve_at", "dissent", "veto", "action"),
        *("symbol", "symbol_out", "source", "timestamp"),
    ),
    "feed_state": ("connection", "state", "reason", "timestamp"),
    "hold": ("on", "reason", "timestamp"),
    "config": ("revision", "changed", "timestamp"),
}
"""The fields of each type of event."""

OPEN_TO_READERS: list[dict[str, list[str]]] = [{}, {"token": []}]
"""Loopback callers need no token to read."""

LISTENING = ("bad_symbol", "unknown_symbol")
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_SWITCHED = {"101": {"description": "The connection speaks the websocket protocol from now on."}}


class Endless(NamedTuple):
    """One path, described by hand but for its query parameters and problems."""

    name: str
    summary: str
    description: str
    tag: str
    query: type[Query]
    good: Described
    extensions: Described
    codes: tuple[str, ...] = ()
    headers: tuple[Described, ...] = ()
    scope: str = "read"
    in_text: bool = False
    """Whether errors are text and no problems."""


def paths(query_parameters: Callable[[type[Query]], list[Described]], problem: Described) -> dict[str, Described]:
    """The `get` of each path; `problem` is the schema of what errors are."""
    return {path: {"get": _operation(about, query_parameters, problem)} for path, about in ABOUT.items()}


def _operation(
    about: Endless, query_parameters: Callable[[type[Query]], list[Described]], problem: Described
) -> Described:
    content = _TEXT if about.in_text else {problems.MEDIA_TYPE: {"schema": problem}}
    return {
        "operationId": about.name,
        "summary": about.summary,
        "description": about.description,
        "tags": [about.tag],
        "parameters": [*query_parameters(about.query), *about.headers],
        "responses": {**about.good, **_errors(about.codes, content)},
        "security": OPEN_TO_READERS if about.scope == "read" else [],
        "x-scope": about.scope,
        **about.extensions,
    }


def _errors(codes: tuple[str, ...], content: Mapping[str, Any]) -> Described:
    by_status: dict[int, list[str]] = {}
    for code in (*problems.EVERYWHERE, *codes):
        by_status.setdefault(problems.CODES[code].status, []).append(code)
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in named)}",
            "content": content,
        }
        for status, named in sorted(by_status.items())
    }


def _schema_of(message: type[msgspec.Struct]) -> Described:
    """JSON schema of a message whose members need no schemas of their own."""
    found: Described = msgspec.json.schema(message)["$defs"][message.__name__]
    return found


def _object(**members: Described) -> Described:
    return {"type": "object", "properties": members, "required": list(members)}


_WORDS = {"type": "array", "items": {"type": "string"}}
_EVENT = _object(event={"enum": list(EVENTS)}, id={"type": "string"}, data={"type": "object"})

ABOUT: dict[str, Endless] = {
    PATHS[0]: Endless(
        name="get_stream",
        summary="Events as they happen",
        description=(
            "An endless reply of server-sent events: `id`, `event` (the type) and `data` (an object with the fields of "
            "`x-events`). Who comes back with the last id hears what it missed; `reset` and `dropped` tell of gaps."
        ),
        tag="stream",
        query=StreamQuery,
        good={
            "200": {
                "description": "Events, until one side ends it.",
                "content": {"text/event-stream": _TEXT["text/plain"]},
            }
        },
        extensions={"x-endless": True, "x-events": {kind: list(fields) for kind, fields in EVENTS.items()}},
        codes=LISTENING,
        headers=(
            {
                "name": LAST_ID,
                "in": "header",
                "required": False,
                "description": "Id of the last event that the caller has.",
                "schema": {"type": "string", "maxLength": 64},
            },
        ),
    ),
    PATHS[1]: Endless(
        name="get_ws",
        summary="The same events on a websocket",
        description=(
            "A websocket of JSON texts. The client says what it wants (`x-websocket.says`), and wants nothing before; "
            "it hears events, and `subscribed`, `pong`, `error`, `reset` and `dropped`, which have no id."
        ),
        tag="stream",
        query=SocketQuery,
        good=_SWITCHED,
        extensions={"x-endless": True, "x-websocket": {"says": _schema_of(Asked), "hears": _EVENT}},
    ),
    PAIR_LIST: Endless(
        name="get_integrations_freqtrade_pairlist",
        summary="The book as a pair list",
        description=(
            "For freqtrade's RemotePairList, which takes any JSON for a list: errors are text, and a fault gets the "
            "last good list."
        ),
        tag="integrations",
        query=PairListQuery,
        good={
            "200": {
                "description": "The names of the book's contracts at that exchange, best first.",
                "content": {
                    JSON: {
                        "schema": _object(
                            pairs=_WORDS,
                            refresh_period={"type": "integer", "description": "Seconds."},
                            exchange={"type": "string"},
                            left_out=_WORDS,
                            as_of={"type": "string", "format": "date-time"},
                        )
                    }
                },
            }
        },
        extensions={},
        codes=("not_ready",),
        in_text=True,
    ),
    FREQTRADE: Endless(
        name="get_message_ws",
        summary="The book as a freqtrade producer",
        description=(
            "The websocket that freqtrade's `external_message_consumer` connects to. It is answered with the list when "
            "it asks, and gets it whenever it changes once it subscribed to `whitelist`; nothing else is sent."
        ),
        tag="integrations",
        query=ProducerQuery,
        good=_SWITCHED,
        extensions={
            "x-endless": True,
            "x-websocket": {
                "says": _object(type={"enum": ["subscribe", WHITELIST]}),
                "hears": _object(type={"const": WHITELIST}, data={**_WORDS, "minItems": 1}),
            },
        },
        scope="freqtrade",
    ),
}
"""By path."""
