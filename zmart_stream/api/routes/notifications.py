"""Who is told of what happens: endpoints, messages, and what an operator does about them."""

from __future__ import annotations

from typing import Any

from zmart_stream.api.calls import PREFIX, Call, Route
from zmart_stream.api.models.notifications import (
    NotificationsQuery,
    NotificationsReply,
    ResendBody,
    ResendReply,
    TestBody,
    TestReply,
)
from zmart_stream.domain.errors import RequestError
from zmart_stream.domain.ports import EntriesAsked, Notifications


async def notifications(call: Call) -> dict[str, Any]:
    """Messages to webhooks and channels, newest first, and how the endpoints are."""
    asked, told = call.asked(NotificationsQuery), _told(call)
    wanted = EntriesAsked(asked.state, asked.endpoint)
    rows, total = await told.listed(wanted, asked.limit, asked.offset)
    page = {"total": total, "limit": asked.limit, "offset": asked.offset}
    return {"endpoints": told.endpoints(), "notifications": rows, **page}


async def resend(call: Call) -> dict[str, Any]:
    """Try messages anew that were given up."""
    body = call.said(ResendBody)
    return {"resent": await _told(call).resend(body.ids, body.endpoint)}


async def test(call: Call) -> dict[str, Any]:
    """Send a test, in its turn, and wait for its first attempt."""
    return {"notification": await _told(call).test(call.said(TestBody).endpoint, call.who)}


def _told(call: Call) -> Notifications:
    if call.services.notifications is None:
        raise RequestError("unknown_endpoint", "nobody is told of anything here")
    return call.services.notifications


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/notifications",
        handler=notifications,
        reply=NotificationsReply,
        summary="Messages to webhooks and channels",
        query=NotificationsQuery,
        errors=("unknown_endpoint",),
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/notifications/resend",
        handler=resend,
        reply=ResendReply,
        summary="Try dead messages anew",
        scope="operate",
        body=ResendBody,
        errors=("unknown_endpoint", "unknown_notification"),
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/notifications/test",
        handler=test,
        reply=TestReply,
        summary="Send a test",
        scope="operate",
        body=TestBody,
        errors=("unknown_endpoint",),
    ),
)
