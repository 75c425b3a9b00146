"""The book: what is held, and what an operator may do to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zmart_stream.api.calls import PREFIX, Call, Handler, Route
from zmart_stream.api.models import Body, NoteBody
from zmart_stream.api.models.portfolio import ChangeReply, PortfolioReply, ReplaceBody, SymbolBody
from zmart_stream.domain.commands import (
    AddHolding,
    BlockSymbol,
    Command,
    CommandDone,
    PinHolding,
    Rebalance,
    RemoveHolding,
    ReplaceHolding,
    UnblockSymbol,
    UnpinHolding,
)
from zmart_stream.domain.events import change_told
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange


async def portfolio(call: Call) -> dict[str, Any]:
    """The committed book, and why the rest is cash."""
    return call.services.reader.portfolio()


async def add_symbol(call: Call) -> dict[str, Any]:
    """Take a contract into the book."""
    body = call.said(SymbolBody)
    return _done(await call.submit(AddHolding, symbol=call.symbol(body.which), note=body.reason))


async def remove_symbol(call: Call) -> dict[str, Any]:
    """Take a contract out of the book."""
    body = call.said(SymbolBody)
    return _done(await call.submit(RemoveHolding, symbol=call.symbol(body.which), note=body.reason))


async def replace_symbol(call: Call) -> dict[str, Any]:
    """Replace one contract by another."""
    body = call.said(ReplaceBody)
    gone, come = call.symbol(body.old_symbol_id), call.symbol(body.new_symbol_id)
    return _done(await call.submit(ReplaceHolding, symbol_out=gone, symbol_in=come, note=body.reason))


async def rebalance(call: Call) -> dict[str, Any]:
    """Set the weights to their targets now."""
    return _done(await call.submit(Rebalance, note=call.said(NoteBody).reason))


def _one(command: type[Command], doc: str) -> Handler:
    """A handler that gives a command of one contract."""

    async def handle(call: Call) -> dict[str, Any]:
        body = call.said(SymbolBody)
        return _done(await call.submit(command, symbol=call.symbol(body.which), note=body.reason))

    handle.__doc__ = doc
    return handle


def _done(cascade: Sequence[Message]) -> dict[str, Any]:
    changes = [change_told(message) for message in cascade if isinstance(message, PortfolioChange)]
    detail = next((message.detail for message in cascade if isinstance(message, CommandDone)), "")
    return {"changes": changes, "detail": detail}


def _write(name: str, handler: Handler, body: type[Body], summary: str, *errors: str) -> Route:
    return Route(
        method="POST",
        path=f"{PREFIX}/portfolio/{name}",
        handler=handler,
        reply=ChangeReply,
        summary=summary,
        scope="operate",
        body=body,
        demands_body=body is SymbolBody,
        errors=errors,
    )


_REFUSALS = ("unknown_symbol", "already_in_book", "not_eligible", "cap_reached", "blocked")

ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/portfolio",
        handler=portfolio,
        reply=PortfolioReply,
        summary="The committed book",
        kept_s=0.25,
    ),
    _write("add-symbol", add_symbol, SymbolBody, "Take a contract into the book", *_REFUSALS, "book_full"),
    _write(
        "remove-symbol", remove_symbol, SymbolBody, "Take a contract out of the book", "unknown_symbol", "not_in_book"
    ),
    _write("replace-symbol", replace_symbol, ReplaceBody, "Replace one contract by another", *_REFUSALS, "not_in_book"),
    _write("rebalance", rebalance, NoteBody, "Set the weights to their targets", "infeasible"),
    _write(
        "pin",
        _one(PinHolding, "Let the machine never replace or remove a holding, short of its delisting."),
        SymbolBody,
        "Pin a holding",
        "unknown_symbol",
        "not_in_book",
        "blocked",
    ),
    _write("unpin", _one(UnpinHolding, "End a pin."), SymbolBody, "End a pin", "unknown_symbol", "not_in_book"),
    _write(
        "block",
        _one(BlockSymbol, "Keep a contract out of the book until it is unblocked."),
        SymbolBody,
        "Block a contract",
        "unknown_symbol",
        "pinned",
    ),
    _write(
        "unblock",
        _one(UnblockSymbol, "End a block, and the bar that an operator's removal left."),
        SymbolBody,
        "End a block",
        "unknown_symbol",
    ),
)
