"""What a request says besides its path: query parameters and body, within their limits and of their models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
from pydantic import BaseModel, ValidationError

from zmart_stream.api.limits import Limits
from zmart_stream.api.models import Body, Query
from zmart_stream.api.names import nearest
from zmart_stream.domain.errors import RequestError

MOST_ERRORS = 20
MOST_MEMBERS = 256
"""Of a body; no model has a tenth of them. Each further one costs an error of its own before it is refused."""

_RULES = {
    "missing": "is missing",
    "model_type": "a JSON object is wanted",
    "dict_type": "a JSON object is wanted",
    "list_type": "a list is wanted",
    "string_type": "text is wanted",
    "bool_type": "true or false is wanted",
    "int_type": "a whole number is wanted",
    "float_type": "a number is wanted",
    "finite_number": "a number is wanted",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "literal_error": "one of {expected}",
    "string_pattern_mismatch": "of the form {pattern}",
}
"""The library's kinds of error in our words: its own tell of Python's types and the names of our classes."""

Q = TypeVar("Q", bound=Query)


def read_query(request: web.Request, model: type[Q]) -> Q:
    """The query parameters. Raises RequestError bad_query, naming the parameter and the nearest one there is."""
    given = request.query
    for name in given:
        if name not in model.model_fields:
            raise RequestError("bad_query", _unknown(name, model), parameter=name)
        if len(given.getall(name)) > 1:
            raise RequestError("bad_query", f"{name} is given more than once", parameter=name)
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = _problems(error, model)[0]
        parameter = first["field"].partition(".")[0]
        if not parameter:
            raise RequestError("bad_query", first["problem"]) from None  # of several that do not go together
        raise RequestError("bad_query", f"{parameter}: {first['problem']}", parameter=parameter) from None


async def read_body(request: web.Request, model: type[Body] | None, limits: Limits) -> Body | None:
    """The body, within its size, its time and its model. Raises RequestError."""
    raw = await receive(request, limits) if request.body_exists else b""
    if model is None:
        return None
    try:
        value = decoded(raw) if raw.strip() else {}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise RequestError("bad_json", str(error)[:200] or "not JSON") from None
    if isinstance(value, dict) and len(value) > MOST_MEMBERS:
        rule = f"at most {MOST_MEMBERS} members"
        raise RequestError("bad_body", f"body: {rule}", errors=[{"field": "", "problem": rule}])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = _problems(error, model)
        first = found[0]
        raise RequestError("bad_body", f"{first['field'] or 'body'}: {first['problem']}", errors=found) from None


def decoded(raw: bytes) -> Any:
    """The value of a JSON text in which no member stands twice.

    Whoever stands between us and the sender may have looked at the other one. Raises ValueError, msgspec's errors among
    them, and RecursionError.
    """
    value = msgspec.json.decode(raw)  # before the other, which takes NaN, Infinity and lone surrogates
    json.loads(raw, object_pairs_hook=_once)
    return value


def _once(members: list[tuple[str, Any]]) -> None:
    seen = set[str]()
    for name, _ in members:
        if name in seen:
            raise ValueError(f"the member {name[:64]!a} stands there twice")
        seen.add(name)


async def receive(request: web.Request, limits: Limits, *, any_type: bool = False) -> bytes:
    """The bytes of a JSON body, with `any_type` of any other too. Raises RequestError."""
    most = limits.max_body_bytes
    if request.content_length is not None and request.content_length > most:
        raise RequestError("too_large", f"a body has at most {most} bytes")
    typed = any_type or request.content_type == "application/json"
    if not typed or request.headers.get("Content-Encoding", "identity") != "identity":
        raise RequestError("not_json", "send Content-Type: application/json, not compressed")
    try:
        async with asyncio.timeout(limits.body_deadline_s):
            return await request.read()
    except TimeoutError:
        raise RequestError("too_slow", f"a body has {limits.body_deadline_s:g} s to arrive") from None
    except HTTPRequestEntityTooLarge:
        raise RequestError("too_large", f"a body has at most {most} bytes") from None
    except web.RequestPayloadError as error:
        raise RequestError("bad_request", str(error)[:200] or "the body is broken") from None


def rule_of(item: Mapping[str, Any]) -> str:
    """What a value should have been, of one error of a model's."""
    rule = _RULES.get(item["type"])
    return item["msg"].removeprefix("Value error, ") if rule is None else rule.format(**item.get("ctx", {}))


def _problems(error: ValidationError, model: type[BaseModel]) -> list[dict[str, Any]]:
    return [
        {
            "field": ".".join(str(step) for step in item["loc"] if not _is_branch(step)),
            "problem": _no_field(item["loc"], model) if item["type"] == "extra_forbidden" else rule_of(item),
        }
        for item in error.errors()[:MOST_ERRORS]
    ]


def _no_field(loc: Sequence[object], model: type[BaseModel]) -> str:
    """There is none of that name; of the body itself with the nearest there is."""
    near = nearest(str(loc[0])[:64], model.model_fields) if len(loc) == 1 else None
    return f"there is no such field; did you mean {near}?" if near else "there is no such field"


def _is_branch(step: object) -> bool:
    """A union's member, which the library names among the fields."""
    return isinstance(step, str) and ("[" in step or step in {"str", "int", "float", "bool", "none", "constrained-int"})


def _unknown(name: str, model: type[Query]) -> str:
    known = list(model.model_fields)
    shown = name[:64] if name and name.isprintable() else "parameter of that name"
    if not known:
        return f"this path takes no query parameters, not {shown}"
    near = nearest(name, known)
    return f"there is no {shown}; " + (f"did you mean {near}?" if near else f"there are {', '.join(known)}")
