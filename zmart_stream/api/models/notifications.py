"""Bodies, queries and replies on notifications: who is told, and what became of each message."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zmart_stream.api.models import FIGURES, MAX_LIMIT, MAX_OFFSET, Body, PageReply, Query, Reply, Row, Time

State = Literal["pending", "delivered", "dead"]
Endpoint = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,31}$", description="An endpoint's name.")]
Id = Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class NotificationsQuery(Query):
    """Which messages."""

    state: State | None = Field(None, description="Only those that stand so.")
    endpoint: Endpoint | None = Field(None, description="Only those to this endpoint.")
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), FIGURES] = Field(100, description="Rows.")
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET), FIGURES] = Field(0, description="Rows left out before them.")


class ResendBody(Body):
    """Which dead messages are tried anew: those named, else all (of an endpoint)."""

    ids: list[Id] = Field([], max_length=1000)
    endpoint: Endpoint | None = None


class TestBody(Body):
    """Who is sent a test."""

    endpoint: Endpoint


class EndpointRow(Row):
    """A webhook or a channel. `pending` waits, `sent` and `died` are counted since the start."""

    name: str
    kind: Literal["webhook", "channel"]
    circuit: Literal["closed", "open", "half_open"]
    pending: int
    sent: int
    died: int
    last_sent: Time | None
    last_error: str


class NotificationRow(Row):
    """One message to one endpoint; times are real."""

    id: str
    event_id: str
    type: str
    endpoint: str
    text: str
    state: State
    attempts: int
    created: Time
    next_attempt: Time | None
    done: Time | None
    last_error: str


class NotificationsReply(PageReply):
    """Messages, newest first, and the endpoints."""

    endpoints: list[EndpointRow]
    notifications: list[NotificationRow]


class ResendReply(Reply):
    """How many are tried anew."""

    resent: int


class TestReply(Reply):
    """The test after its first attempt; `pending` where that is still to come, or failed."""

    notification: NotificationRow
