"""How the daemon is, and what concerns all of it."""

from __future__ import annotations

from typing import Any

from zmart_stream.api.calls import PREFIX, Call, Route
from zmart_stream.api.models import NoteBody
from zmart_stream.api.models.system import HealthReply, PauseReply, ReloadReply, SampleDataReply, StatusReply
from zmart_stream.domain.commands import Pause, Resume


async def status(call: Call) -> dict[str, Any]:
    """Version, venue, feed, warm-up, book, storage, configuration."""
    return call.services.reader.status()


async def health(call: Call) -> dict[str, Any]:
    """Whether fresh data is served; 200 either way, /readyz answers in the status code."""
    reasons = list(call.services.not_ready())
    return {"status": "degraded" if reasons else "healthy", "reasons": reasons}


async def reload(call: Call) -> dict[str, Any]:
    """Read the configuration again, as SIGHUP does."""
    return await call.services.configuration.reload()


async def initialize_sample_data(call: Call) -> dict[str, Any]:
    """Wait until the sandbox's contracts and history are there."""
    return await call.services.commander.load_sample_data()


async def pause(call: Call) -> dict[str, Any]:
    """Let the book hold until resume."""
    await call.submit(Pause, note=call.said(NoteBody).reason)
    return {"paused": True}


async def resume(call: Call) -> dict[str, Any]:
    """End a pause."""
    await call.submit(Resume, note=call.said(NoteBody).reason)
    return {"paused": False}


ROUTES = (
    Route(method="GET", path=f"{PREFIX}/status", handler=status, reply=StatusReply, summary="The daemon as a whole"),
    Route(method="GET", path=f"{PREFIX}/health", handler=health, reply=HealthReply, summary="Is fresh data served"),
    Route(
        method="POST",
        path=f"{PREFIX}/reload",
        handler=reload,
        reply=ReloadReply,
        summary="Read the configuration again",
        scope="operate",
        errors=("bad_configuration", "reloading"),
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/initialize-sample-data",
        handler=initialize_sample_data,
        reply=SampleDataReply,
        summary="Load the sandbox's contracts and history",
        scope="operate",
        errors=("not_a_sandbox",),
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/pause",
        handler=pause,
        reply=PauseReply,
        summary="Let the book hold",
        scope="operate",
        body=NoteBody,
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/resume",
        handler=resume,
        reply=PauseReply,
        summary="Let the book act again",
        scope="operate",
        body=NoteBody,
    ),
)
