"""Bodies and replies on those who may ask: named tokens with scopes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zmart_stream.api.models import Body, PageReply, Reply, Row, Time
from zmart_stream.api.tokens import BearerScope, Scope, UrlScope

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]([ -~]*[!-~])?$")]


Bearer = Annotated[list[BearerScope], Field(min_length=1, max_length=3)]
Url = Annotated[list[UrlScope], Field(min_length=1, max_length=1)]
"""A secret in an address opens one route and nothing else."""


class UserBody(Body):
    """Who it is, and what they may."""

    name: Name
    scopes: Bearer | Url = Field(description="Of a header's token; or one of a secret that stands in an address.")


class UserRow(Row):
    """A token without its secret; `revoked` is null while it is in force."""

    id: str
    name: str
    scopes: list[Scope]
    created: Time
    revoked: Time | None


class UsersReply(PageReply):
    """All tokens, oldest first."""

    users: list[UserRow]


class UserReply(Reply):
    """One token without its secret."""

    user: UserRow


class NewUserReply(UserReply):
    """A new token, told this once; only its digest is kept."""

    token: str
