"""Those who may ask: the tokens of the token file, which is the one place where they are kept."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from zmart_stream.api.calls import PREFIX, Call, Route
from zmart_stream.api.models import PageQuery
from zmart_stream.api.models.users import NewUserReply, UserBody, UserReply, UsersReply
from zmart_stream.api.tokens import TokenRecord
from zmart_stream.domain.errors import RequestError, UsageError
from zmart_stream.domain.events import iso


async def users(call: Call) -> dict[str, Any]:
    """All tokens, revoked ones included, without their secrets."""
    shown, page = call.page([_shown(record) for record in call.tokens.records])
    return {"users": shown, **page}


async def create_user(call: Call) -> dict[str, Any]:
    """Make a token and tell it, this once."""
    body = call.said(UserBody)
    try:
        record, token = await asyncio.to_thread(call.tokens.create, body.name, tuple(dict.fromkeys(body.scopes)))
    except UsageError as error:
        raise RequestError("name_taken", str(error)) from None  # in force, or reserved for the record
    except OSError as error:
        raise _not_writable(call, error) from None
    return {"user": _shown(record), "token": token}


async def delete_user(call: Call) -> dict[str, Any]:
    """Revoke a token: it is refused from the next request on; its record stays."""
    which = call.request.match_info["id"]
    if not any(record.id == which and record.revoked is None for record in call.tokens.records):
        raise RequestError("unknown_user", "no token in force has that id; names may be given anew, ids are not")
    try:
        return {"user": _shown(await asyncio.to_thread(call.tokens.revoke, which))}
    except OSError as error:
        raise _not_writable(call, error) from None


def _shown(record: TokenRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "scopes": list(record.scopes),
        "created": _moment(record.created),
        "revoked": None if record.revoked is None else _moment(record.revoked),
    }


def _moment(kept: str) -> str:
    """A time of the file, in the form that all replies have."""
    try:
        return iso(int(datetime.fromisoformat(kept).timestamp()) * 1_000_000_000)
    except ValueError:
        return kept  # somebody wrote the file by hand


def _not_writable(call: Call, error: OSError) -> RequestError:
    return RequestError("not_writable", f"{call.tokens.path.name}: {error.strerror}; use zmart-stream token")


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/users",
        handler=users,
        reply=UsersReply,
        summary="All tokens",
        scope="operate",
        query=PageQuery,
        token_only=True,
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/users",
        handler=create_user,
        reply=NewUserReply,
        summary="Make a token",
        scope="operate",
        body=UserBody,
        errors=("name_taken", "not_writable"),
        token_only=True,
    ),
    Route(
        method="DELETE",
        path=f"{PREFIX}/users/{{id}}",
        handler=delete_user,
        reply=UserReply,
        summary="Revoke a token",
        scope="operate",
        errors=("unknown_user", "not_writable"),
        token_only=True,
    ),
)
