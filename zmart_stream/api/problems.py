"""Errors as the API tells them: RFC 9457 problem details with codes that do not change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from zmart_stream.domain.errors import CommandRefusedError, ConfigError, RequestError, StorageError

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "zmart-stream",
}

MEDIA_TYPE = "application/problem+json"
CODE = web.ResponseKey("code", str)
"""Under this key a reply tells which problem it is."""

RETRY_AFTER = "retry_after_s"
"""The member (whole seconds) that also becomes the header Retry-After."""

_WAITS_S = {"reloading": 1, "backlog": 1, "degraded": 5}
"""Of what passes by itself, where nobody who raised it knows better; a book that holds may do so for days."""


class Kind(NamedTuple):
    """What a code means: its HTTP status and one sentence that fits every case of it."""

    status: int
    title: str


CODES: dict[str, Kind] = {
    "bad_request": Kind(400, "The request cannot be understood"),
    "bad_query": Kind(400, "A query parameter is wrong"),
    "bad_symbol": Kind(400, "A symbol is 2 to 24 capital letters and digits, or a UUID"),
    "bad_json": Kind(400, "The body is not JSON"),
    "unauthorised": Kind(401, "A valid token is needed"),
    "scope_missing": Kind(403, "The token's scopes do not allow this"),
    "address_refused": Kind(403, "This address may not call here"),
    "origin_refused": Kind(403, "This origin is not allowed"),
    "not_found": Kind(404, "There is nothing at this path"),
    "unknown_symbol": Kind(404, "No such contract is listed"),
    "unknown_score": Kind(404, "No score has that name"),
    "unknown_algorithm": Kind(404, "No scoring algorithm has that name"),
    "unknown_user": Kind(404, "No token in force has that id"),
    "unknown_signal": Kind(404, "No stored signal has that id"),
    "unknown_endpoint": Kind(404, "No webhook or channel has that name"),
    "unknown_notification": Kind(404, "No message that was given up has that id"),
    "method_not_allowed": Kind(405, "This path does not take this method"),
    "too_slow": Kind(408, "The request did not arrive in time"),
    "already_in_book": Kind(409, "The contract is in the book"),
    "not_in_book": Kind(409, "The contract is not in the book"),
    "book_full": Kind(409, "Every place of the book is taken"),
    "not_eligible": Kind(409, "The contract fails a gate"),
    "cap_reached": Kind(409, "The book's caps leave no room for the contract"),
    "blocked": Kind(409, "An operator blocked the contract"),
    "pinned": Kind(409, "An operator pinned the contract"),
    "barred": Kind(409, "The contract may not enter the book yet"),
    "entry_score": Kind(409, "The contract's score is too low"),
    "not_a_sandbox": Kind(409, "The venue is a real one"),
    "infeasible": Kind(409, "No weights keep the limits"),
    "name_taken": Kind(409, "That name is taken"),
    "not_writable": Kind(409, "The token file cannot be changed from here"),
    "unknown_source": Kind(404, "No source of that name belongs to anybody"),
    "source_taken": Kind(409, "The source belongs to somebody else"),
    "too_many_sources": Kind(409, "Too many source names"),
    "refused": Kind(409, "The core refused the command"),
    "too_large": Kind(413, "The body is too large"),
    "not_json": Kind(415, "A body must be application/json, not compressed"),
    "wrong_host": Kind(421, "This server does not go by that name"),
    "bad_body": Kind(422, "The body does not have the form asked for"),
    "bad_alert": Kind(422, "The alert cannot be understood"),
    "bad_signal": Kind(422, "The signal breaks a rule; it is stored as rejected"),
    "bad_configuration": Kind(422, "The configuration cannot be used; the one in force stays"),
    "rate_limited": Kind(429, "Too many requests"),
    "fault": Kind(500, "The server failed; its log says how"),
    "busy": Kind(503, "Too many connections are open"),
    "backlog": Kind(503, "Too many signals wait to be judged"),
    "holding": Kind(503, "The book holds: nothing may change it now"),
    "reloading": Kind(503, "The configuration is being read again"),
    "no_answer": Kind(503, "The change is not known to be on disk yet"),
    "degraded": Kind(503, "The database cannot do it now"),
    "not_ready": Kind(503, "The daemon does not serve fresh data"),
}
"""Every stable code; docs/api.md lists the same."""

EVERYWHERE = (
    "bad_request", "bad_query", "unauthorised", "scope_missing", "origin_refused", "wrong_host", "rate_limited",
    "fault", "busy", "degraded",
)  # fmt: skip
"""What every route may answer with."""

ON_WRITES = ("too_slow", "too_large", "not_json", "no_answer", "holding", "refused")
"""What every route that changes something may answer with besides."""

WITH_BODY = ("bad_json", "bad_body")
"""What a route with a body may answer with besides."""


def problem(code: str, detail: str, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The problem's members, JSON-ready. A code that is not listed counts as `refused`, and keeps its name."""
    kind = CODES.get(code, CODES["refused"])
    return {
        "success": False,
        "type": f"urn:zmart-stream:problem:{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
        **({RETRY_AFTER: _WAITS_S[code]} if code in _WAITS_S else {}),
        **(facts or {}),
    }


def response(code: str, detail: str, facts: Mapping[str, Any] | None = None) -> web.Response:
    """The problem as a reply; 401 and waits carry the headers that HTTP wants with them."""
    content = problem(code, detail, facts)
    reply = web.Response(status=content["status"], body=msgspec.json.encode(content), content_type=MEDIA_TYPE)
    reply[CODE] = code
    if content["status"] == 401:
        reply.headers["WWW-Authenticate"] = "Bearer"
    if RETRY_AFTER in content:
        reply.headers["Retry-After"] = str(content[RETRY_AFTER])
    if content["status"] in (408, 413, 415):
        reply.force_close()  # what is left of the body would otherwise be read to its end
    return reply


def as_text(reply: web.Response) -> web.Response:
    """A problem as a line of text, code first; what HTTP wants to know stays in its headers."""
    body = reply.body if isinstance(reply.body, bytes) else b""
    try:
        detail = str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, TypeError, KeyError):
        detail = reply.reason or "refused"
    code = reply.get(CODE, "")
    kept = {name: reply.headers[name] for name in ("Allow", "Retry-After", "WWW-Authenticate") if name in reply.headers}
    text = web.Response(status=reply.status, text=f"{code}: {detail}\n" if code else f"{detail}\n", headers=kept)
    text[CODE] = code
    if reply.keep_alive is False:
        text.force_close()
    return text


def of_error(
    error: RequestError | CommandRefusedError | ConfigError | StorageError | web.HTTPException,
) -> web.Response:
    """The reply to an error that was raised on purpose."""
    if isinstance(error, RequestError):
        return response(error.code, str(error), error.facts)
    if isinstance(error, CommandRefusedError):
        return response(error.code, str(error), error.facts)
    if isinstance(error, ConfigError):
        return response("bad_configuration", error.problems[0], {"problems": error.problems})
    if isinstance(error, StorageError):
        return response("degraded", str(error))
    if isinstance(error, web.HTTPMethodNotAllowed):
        taken = ", ".join(sorted(error.allowed_methods))
        reply = response("method_not_allowed", f"this path takes {taken}, not {error.method[:16]}")
        reply.headers["Allow"] = taken
        return reply
    if isinstance(error, web.HTTPNotFound):
        return response("not_found", "no such path; /docs shows those there are")
    return response("too_large" if error.status == 413 else "bad_request", error.reason)
