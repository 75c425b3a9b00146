"""The configuration and the scoring algorithms: read, and changed by recorded overrides."""

from __future__ import annotations

from typing import Any

from zmart_stream.api.calls import PREFIX, Call, Route
from zmart_stream.api.models.settings import (
    AlgorithmBody,
    AlgorithmsReply,
    ConfigBody,
    ConfigChangedReply,
    ConfigReply,
)
from zmart_stream.domain.errors import RequestError


async def config(call: Call) -> dict[str, Any]:
    """Every setting in force, where it came from, and what is recorded over the file."""
    return call.services.configuration.settings()


async def change_config(call: Call) -> dict[str, Any]:
    """Record settings over the file; they apply at once, as a reload does, and survive restarts. Null forgets one."""
    return await call.services.configuration.change(call.said(ConfigBody).wanted, who=call.who)


async def algorithms(call: Call) -> dict[str, Any]:
    """The components of the composite with the weights of their parts."""
    return {"algorithms": call.services.configuration.algorithms()}


async def change_algorithm(call: Call) -> dict[str, Any]:
    """Record weights of a component or of its parts over the file; they apply at once and survive restarts."""
    name, body = call.request.match_info["name"], call.said(AlgorithmBody)
    parts = {} if body.parameters is None else body.parameters.weights
    try:
        return await call.services.configuration.weigh(name, body.weight, parts, who=call.who)
    except KeyError:
        text = f"no scoring algorithm {name[:64]!r} can be changed here; see scoring/algorithms"
        raise RequestError("unknown_algorithm", text, algorithm=name[:64]) from None


_REFUSALS = ("bad_configuration", "degraded", "reloading")

ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/config",
        handler=config,
        reply=ConfigReply,
        summary="Every setting in force",
        scope="operate",
    ),
    Route(
        method="PUT",
        path=f"{PREFIX}/config",
        handler=change_config,
        reply=ConfigChangedReply,
        summary="Record settings over the file",
        scope="operate",
        body=ConfigBody,
        demands_body=True,
        errors=_REFUSALS,
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/scoring/algorithms",
        handler=algorithms,
        reply=AlgorithmsReply,
        summary="The components of the composite",
    ),
    Route(
        method="PUT",
        path=f"{PREFIX}/scoring/algorithms/{{name}}",
        handler=change_algorithm,
        reply=ConfigChangedReply,
        summary="Weigh a component and its parts",
        scope="operate",
        body=AlgorithmBody,
        errors=("unknown_algorithm", *_REFUSALS),
    ),
)
