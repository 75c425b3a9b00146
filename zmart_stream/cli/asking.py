"""What verbs that ask a running daemon share, and those on the daemon as a whole."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from zmart_stream.cli import heads, views
from zmart_stream.cli.client import DEFAULT_URL, Client, token_from
from zmart_stream.domain.errors import UsageError

Url = Annotated[str | None, typer.Option("--url", help="The daemon; else $ZMART_URL, else http://127.0.0.1:8420.")]


def _one_form(context: typer.Context, asked: bool) -> bool:
    """Whichever of the two is read last sees the other. Raises UsageError."""
    if asked and any(context.params.get(name) for name in ("as_json", "as_csv")):
        raise UsageError("--json and --csv: one of them")
    return asked


Json = Annotated[bool, typer.Option("--json", callback=_one_form, help="Print the reply as JSON.")]
Csv = Annotated[bool, typer.Option("--csv", callback=_one_form, help="Print the rows as CSV, with a head.")]
Token = Annotated[str | None, typer.Option("--token", help="Bearer token; else $ZMART_TOKEN. Others can see options.")]
TokenPath = Annotated[
    Path | None, typer.Option("--token-file", help="File that holds the token; else $ZMART_TOKEN_FILE.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="Who asks, for the record, beside the token's name.")]

Reply = dict[str, Any]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (status, rank, explain, reload, pause, resume):
        app.command()(verb)


def status(url: Url = None, as_json: Json = False, token: Token = None, token_file: TokenPath = None) -> None:
    """What the daemon hears, how far it is, whether the book acts."""
    show(daemon(url, token, token_file).get("status"), views.status, as_json=as_json)


def rank(
    limit: Annotated[int | None, typer.Option(min=1, max=10_000, help="So many rows; all without it.")] = None,
    kind: Annotated[str, typer.Option("--type", help="COMPOSITE, or a component: TECHNICAL, RISK, ...")] = "COMPOSITE",
    url: Url = None,
    as_json: Json = False,
    as_csv: Csv = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Every contract with a score, best first, and what keeps some out."""
    reply = daemon(url, token, token_file).get("scoring", "rankings", type=kind, limit=limit)
    rows = reply["rankings"] if as_csv else None
    show(rows_first(reply, "rankings"), views.rankings, as_json=as_json, rows=rows, names=heads.RANKINGS)


def explain(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="A contract, such as XBTUSDTM.")],
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """One score as arithmetic: parts, contributions, gates, the smallest change."""
    show(daemon(url, token, token_file).get("explain", symbol.upper()), views.explain, as_json=as_json)


def reload(url: Url = None, as_json: Json = False, token: Token = None, token_file: TokenPath = None) -> None:
    """Let the daemon read its configuration again, as SIGHUP does."""
    show(daemon(url, token, token_file).post("reload"), views.reloaded, as_json=as_json)


def pause(
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Let the book hold until resume; everything else goes on."""
    show(daemon(url, token, token_file, operator).post("pause", reason=reason), views.paused, as_json=as_json)


def resume(
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """End a pause."""
    show(daemon(url, token, token_file, operator).post("resume", reason=reason), views.paused, as_json=as_json)


def daemon(url: str | None, token: str | None, token_file: Path | None, operator: str = "") -> Client:
    """The daemon asked; options win over the environment."""
    given = token or (None if token_file else os.environ.get("ZMART_TOKEN"))
    where = url or os.environ.get("ZMART_URL") or DEFAULT_URL
    return Client(where, token_from(given, token_file), operator)


def rows_first(reply: Reply, name: str) -> Reply:
    """The reply with its rows as the first list."""
    return {name: reply[name], **reply}


def show(
    reply: Reply,
    view: Callable[[Reply], None],
    *,
    as_json: bool,
    rows: Sequence[Mapping[str, Any]] | None = None,
    names: Sequence[str] = (),
) -> None:
    """The reply as JSON, its `rows` as CSV with at least the head `names`, or as people read it."""
    if as_json:
        typer.echo(json.dumps(reply, indent=2, ensure_ascii=False))
    elif rows is not None:
        typer.echo(as_csv_text(rows, names), nl=False)
    else:
        view(reply)


def as_csv_text(rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> str:
    """Rows as CSV with a head: `names`, and whatever else the rows have; members with a form of their own as JSON."""
    head = list(dict.fromkeys([*names, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if head:
        writer.writerow(head)
    writer.writerows([_cell(row.get(name)) for name in head] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A spreadsheet takes a text that begins like a formula for one."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
