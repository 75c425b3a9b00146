"""The bodies and queries that are taken and the replies that are given, as pydantic models.

They validate, and `/openapi.json` is made from them. A reply's model names what clients may rely on; further members
may come.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

MAX_OFFSET = 1_000_000
MAX_LIMIT = 10_000

_SYMBOL = re.compile(r"[A-Z0-9]{2,24}", re.ASCII)
_HIDDEN_CHARACTERS = r"\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069"
"""Control characters but for the line's end, and those that turn a text's direction round."""

_HIDDEN = re.compile(f"[{_HIDDEN_CHARACTERS}]")
_DIGITS = re.compile(r"[0-9]{1,7}", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)([Zz]|[+ -]\d{2}:\d{2})?)?", re.ASCII
)
"""In a query a plus that is not escaped is a space."""

_UUID_FORM = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NS = 2**63 - 1


def is_symbol(text: str) -> bool:
    """Whether a text has the form of a contract's symbol."""
    return _SYMBOL.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in its usual form."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _reference(text: str) -> str:
    if not is_symbol(text) and not is_uuid(text):
        raise ValueError("a symbol is 2 to 24 capital letters and digits, or a UUID")
    return text


def _printable(text: str) -> str:
    if _HIDDEN.search(text):
        raise ValueError("only printable characters")
    return text


def _digits(text: object) -> object:
    """A whole number of a query: figures and nothing else."""
    if isinstance(text, str) and not _DIGITS.fullmatch(text):
        raise ValueError("a whole number is wanted")
    return text


def _moment(text: object) -> object:
    """ns UTC of ISO 8601; without a zone UTC is meant."""
    if not isinstance(text, str):
        return text
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError("a time is ISO 8601, such as 2026-11-22T14:00:00Z")
    day, hour, zone = match[1], match[2] or "00:00", (match[3] or "Z").upper()
    whole, _, fraction = hour.partition(".")
    try:
        moment = datetime.fromisoformat(f"{day}T{whole}{zone.replace('Z', '+00:00').replace(' ', '+')}")
        seconds = int((moment - _EPOCH).total_seconds())
    except (ValueError, OverflowError):
        raise ValueError("there is no such time") from None
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)


Reference = Annotated[
    str,
    AfterValidator(_reference),
    WithJsonSchema({"type": "string", "pattern": f"^([A-Z0-9]{{2,24}}|{_UUID_FORM})$", "examples": ["XBTUSDTM"]}),
]
"""A contract by its symbol or by its id."""

Note = Annotated[
    str,
    Field(max_length=500),
    AfterValidator(_printable),
    WithJsonSchema({"type": "string", "maxLength": 500, "pattern": f"^[^{_HIDDEN_CHARACTERS}]*$", "default": ""}),
]
"""Printable text, for people."""

Name = Annotated[
    str,
    Field(min_length=1, max_length=100),
    AfterValidator(_printable),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 100, "pattern": f"^[^{_HIDDEN_CHARACTERS}]+$"}),
]
"""What somebody or something is called, in a query."""

FIGURES = BeforeValidator(_digits)
"""Of a whole number in a query; stands after its bounds, or the schema would lose them."""

Moment = Annotated[
    int,
    BeforeValidator(_moment),
    Field(ge=0, le=_LAST_NS),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": r"^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$",
            "examples": ["2026-11-22T14:00:00Z"],
        }
    ),
]
"""A time in a query: ISO 8601 outside, ns UTC inside."""

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A time in a reply: ISO 8601 UTC with milliseconds."""

Document = dict[str, Any]
"""A part of a reply whose members depend on what it tells of."""


def not_both(one: str, other: str) -> dict[str, Any]:
    """JSON Schema: one of two members at most has a value."""
    return {"anyOf": [{"properties": {name: {"type": "null"}}} for name in (one, other)]}


class Body(BaseModel):
    """A request's body; what is not asked for is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Query(BaseModel):
    """A request's query parameters; what is not asked for is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class PageQuery(Query):
    """Which rows of a list: all of them without a limit."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), FIGURES] | None = Field(None, description="Rows; all without it.")
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET), FIGURES] = Field(0, description="Rows left out before them.")


class NoQuery(Query):
    """No query parameters."""


class NoteBody(Body):
    """Why a command is given."""

    reason: Note = ""


class Row(BaseModel):
    """A part of a reply."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class Reply(Row):
    """What every reply carries; `as_of` is market time, ISO 8601 UTC."""

    success: Literal[True]
    as_of: Time


class PageReply(Reply):
    """A list, and which of its rows these are; `limit` is null where all are given."""

    total: int
    limit: int | None
    offset: int
