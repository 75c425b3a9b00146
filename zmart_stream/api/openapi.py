"""The OpenAPI 3.1 description, made from the models that validate what comes and name what goes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from zmart_stream.api import openapi_endless as endless
from zmart_stream.api import problems
from zmart_stream.api.calls import JSON, MOST_NAME, OPERATOR, PREFIX, Route
from zmart_stream.api.models import Query, Reference, Row
from zmart_stream.api.routes.signals import KEY
from zmart_stream.signals.validation import MOST_KEY

_REF = "#/components/schemas/{model}"
_IN_PATH = re.compile(r"\{(\w+)\}")

PATH_PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "symbol": (TypeAdapter(Reference).json_schema(), "A contract by its symbol or its id."),
    "name": ({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]{0,31}$"}, "The component's name."),
    "secret": ({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,256}$"}, "A secret of the route's own scope."),
    "id": ({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}, "The id."),
}
"""Schema and meaning of what stands in braces in a path."""


class Problem(Row):
    """Problem details (RFC 9457). `code` is stable; `detail` is for people; further members depend on the code."""

    success: bool
    type: str
    title: str
    status: int
    detail: str
    code: str


def described(routes: Sequence[Route]) -> set[type[BaseModel]]:
    """Every model that the description is made from."""
    ours = {model for route in routes for model in (route.reply, route.body, route.query) if model is not None}
    return {Problem, *ours, *(about.query for about in endless.ABOUT.values())}


def describe(routes: Sequence[Route], *, version: str) -> dict[str, Any]:
    """The whole description, JSON-ready."""
    models = {model for route in routes for model in (route.reply, route.body) if model is not None}
    ordered: list[type[BaseModel]] = [Problem, *sorted(models, key=lambda model: model.__name__)]
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    paths |= endless.paths(_query_parameters, {"$ref": _REF.format(model=Problem.__name__)})
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "zmart-stream",
            "version": version,
            "description": "Scores of KuCoin futures contracts, and the book of the best of them.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _untitled(schemas["$defs"]),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def codes_of(route: Route) -> list[str]:
    """Every problem that a route may answer with."""
    writes = problems.ON_WRITES if route.method != "GET" else ()
    body = problems.WITH_BODY if route.body is not None else ()
    return list(dict.fromkeys([*problems.EVERYWHERE, *writes, *body, *route.errors]))


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "description": (route.handler.__doc__ or route.summary).strip(),
        "tags": [_subject(route)],
        "parameters": [*_path_parameters(route), *_query_parameters(route.query), *_headers(route)],
        "responses": {str(route.status): _reply(route), **_problems(route)},
        "security": _security(route),
        "x-scope": route.scope,
    }
    if route.body is not None:
        required = any(field.is_required() for field in route.body.model_fields.values())
        content = {kind: _content(kind, route.body) for kind in route.takes}
        found["requestBody"] = {"required": required or route.demands_body, "content": content}
    return found


def _reply(route: Route) -> dict[str, Any]:
    return {
        "description": (route.reply.__doc__ or "").partition("\n")[0],
        "content": _content_of_reply(route, JSON, route.reply),
    }


def _content_of_reply(route: Route, kind: str, model: type[BaseModel]) -> dict[str, Any]:
    kind = kind if route.text is None else "text/plain"
    return {kind: _content(kind, model)}


def _content(kind: str, model: type[BaseModel]) -> dict[str, Any]:
    """A body of that content type: text has no members to name."""
    return {"schema": {"type": "string"} if kind == "text/plain" else {"$ref": _REF.format(model=model.__name__)}}


def _security(route: Route) -> list[dict[str, Any]]:
    if route.secret is not None:
        return []  # the path is the secret
    return [{"token": []}] if route.scope != "read" else [{}, {"token": []}]


def _problems(route: Route) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in codes_of(route):
        by_status.setdefault(problems.CODES[code].status, []).append(code)
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in named)}",
            "content": _content_of_reply(route, problems.MEDIA_TYPE, Problem),
        }
        for status, named in sorted(by_status.items())
    }


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    found = []
    for name in _IN_PATH.findall(route.path):
        schema, meaning = PATH_PARAMETERS[name]
        found.append({"name": name, "in": "path", "required": True, "description": meaning, "schema": schema})
    return found


def _query_parameters(query: type[Query]) -> list[dict[str, Any]]:
    schema = query.model_json_schema(ref_template=_REF)
    found = []
    for name, field in schema.get("properties", {}).items():
        told = {key: value for key, value in _without_null(field).items() if key not in ("title", "description")}
        found.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": field.get("description", ""),
                "schema": told,
            }
        )
    return found


def _headers(route: Route) -> list[dict[str, Any]]:
    if route.method == "GET" or route.scope == "read" or route.secret is not None:
        return []
    name, meaning, most = OPERATOR, "Who asks, for the record; the token's name stands beside it.", MOST_NAME
    if route.scope == "signal":
        name, meaning, most = KEY, "Acts once, however often it is sent; as `idempotency_key` in the body.", MOST_KEY
    schema = {"type": "string", "maxLength": most, "pattern": "^[ -~]*$"}
    return [{"name": name, "in": "header", "required": False, "description": meaning, "schema": schema}]


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out is never null in a query."""
    kept = {key: value for key, value in field.items() if not (key == "default" and value is None)}
    members = [member for member in kept.pop("anyOf", []) if member.get("type") != "null"]
    return {**kept, **members[0]} if len(members) == 1 else {**kept, "anyOf": members} if members else kept


def _untitled(schema: Any) -> Any:
    """Without the titles that only repeat a member's name."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _untitled(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}


def _name(route: Route) -> str:
    words = re.findall(r"[A-Za-z0-9]+", route.path.removeprefix(PREFIX))
    return "_".join([route.method.lower(), *words])


def _subject(route: Route) -> str:
    first = route.path.removeprefix(PREFIX).strip("/").partition("/")[0]
    return {"explain": "scoring"}.get(first, first) if first in _SUBJECTS else "system"


_SUBJECTS = frozenset(
    {"portfolio", "scoring", "symbols", "explain", "signals", "notifications", "users", "integrations", "stream"}
)
