"""Verbs that ask a running daemon: status, rank, portfolio, explain, reload, pause, resume."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from zmart_stream.cli import views
from zmart_stream.cli.client import DEFAULT_URL, Client, token_from

Url = Annotated[str | None, typer.Option("--url", help="The daemon; else $ZMART_URL, else http://127.0.0.1:8420.")]
Json = Annotated[bool, typer.Option("--json", help="Print the reply as JSON.")]
Token = Annotated[str | None, typer.Option("--token", help="Bearer token; else $ZMART_TOKEN. Others can see options.")]
TokenPath = Annotated[
    Path | None, typer.Option("--token-file", help="File that holds the token; else $ZMART_TOKEN_FILE.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (status, rank, portfolio, explain, reload, pause, resume):
        app.command()(verb)


def status(url: Url = None, as_json: Json = False, token: Token = None, token_file: TokenPath = None) -> None:
    """What the daemon hears, how far it is, whether the book acts."""
    _show(_client(url, token, token_file).get("status"), as_json, views.status)


def rank(
    limit: Annotated[int | None, typer.Option(min=1, max=10_000, help="So many rows; all without it.")] = None,
    kind: Annotated[str, typer.Option("--type", help="COMPOSITE, or a component: TECHNICAL, RISK, ...")] = "COMPOSITE",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Every contract with a score, best first, and what keeps some out."""
    reply = _client(url, token, token_file).get("scoring", "rankings", type=kind, limit=limit)
    _show(_rows_first(reply, "rankings"), as_json, views.rankings)


def portfolio(url: Url = None, as_json: Json = False, token: Token = None, token_file: TokenPath = None) -> None:
    """The book: rank, weight, score, since when; why the rest is cash."""
    _show(_rows_first(_client(url, token, token_file).get("portfolio"), "holdings"), as_json, views.portfolio)


def explain(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="A contract, such as XBTUSDTM.")],
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """One score as arithmetic: parts, contributions, gates, the smallest change."""
    _show(_client(url, token, token_file).get("explain", symbol.upper()), as_json, views.explain)


def reload(url: Url = None, as_json: Json = False, token: Token = None, token_file: TokenPath = None) -> None:
    """Let the daemon read its configuration again, as SIGHUP does."""
    _show(_client(url, token, token_file).post("reload"), as_json, views.reloaded)


def pause(
    reason: Reason = "", url: Url = None, as_json: Json = False, token: Token = None, token_file: TokenPath = None
) -> None:
    """Let the book hold until resume; everything else goes on."""
    _show(_client(url, token, token_file).post("pause", reason=reason), as_json, views.paused)


def resume(
    reason: Reason = "", url: Url = None, as_json: Json = False, token: Token = None, token_file: TokenPath = None
) -> None:
    """End a pause."""
    _show(_client(url, token, token_file).post("resume", reason=reason), as_json, views.paused)


def _client(url: str | None, token: str | None, token_file: Path | None) -> Client:
    """The daemon asked; options win over the environment."""
    given = token or (None if token_file else os.environ.get("ZMART_TOKEN"))
    return Client(url or os.environ.get("ZMART_URL") or DEFAULT_URL, token_from(given, token_file))


def _rows_first(reply: dict[str, Any], name: str) -> dict[str, Any]:
    """The reply with its rows as the first list."""
    return {name: reply[name], **reply}


def _show(reply: dict[str, Any], as_json: bool, view: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        typer.echo(json.dumps(reply, indent=2, ensure_ascii=False))
    else:
        view(reply)
