"""`notify list`, `notify test` and `notify resend`: who is told, what became of it, and trying it anew."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from zmart_stream.cli import heads
from zmart_stream.cli.asking import As, Csv, Json, Token, TokenPath, Url, daemon, rows_first, show
from zmart_stream.cli.tables import Column, word
from zmart_stream.cli.tables import show as table
from zmart_stream.domain.errors import RequestError, UsageError

Reply = dict[str, Any]
STATES = ("pending", "delivered", "dead")


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(name="notify", rich_markup_mode=None, no_args_is_help=True, help="Webhooks and channels.")
    group.command("list")(show_list)
    group.command("test")(send_test)
    group.command()(resend)
    app.add_typer(group)


def show_list(
    state: Annotated[str | None, typer.Option(help="Only those that are pending, delivered or dead.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Only those to this endpoint.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many rows.")] = 50,
    url: Url = None,
    as_json: Json = False,
    as_csv: Csv = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """The endpoints, and the messages to them, newest first."""
    if state not in (None, *STATES):
        raise UsageError(f"--state {state}: one of {', '.join(STATES)}")
    reply = daemon(url, token, token_file).get("notifications", state=state, endpoint=endpoint, limit=limit)
    rows = reply["notifications"] if as_csv else None
    show(rows_first(reply, "notifications"), _listed, as_json=as_json, rows=rows, names=heads.NOTIFICATIONS)


def send_test(
    endpoint: Annotated[str, typer.Argument(metavar="NAME", help="The endpoint.")],
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Send a test, and tell how its first attempt went."""
    reply = daemon(url, token, token_file, operator).post("notifications", "test", endpoint=endpoint)
    show(reply, _tested, as_json=as_json)
    row = reply["notification"]
    if row["state"] != "delivered":
        waits = "it waits for its turn, or for the endpoint's circuit"
        raise RequestError("not_delivered", f"{endpoint}: {row['last_error'] or waits}; it is tried again")


def resend(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Those; without any: all.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Only those to this endpoint.")] = None,
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Try messages anew that were given up."""
    wanted = {"ids": ids or [], "endpoint": endpoint}
    reply = daemon(url, token, token_file, operator).post("notifications", "resend", **wanted)
    show(reply, lambda said: typer.echo(f"{said['resent']} are tried anew"), as_json=as_json)


def _tested(reply: Reply) -> None:
    row = reply["notification"]
    if row["state"] == "delivered":
        typer.echo(f"{row['endpoint']} took it")


def _listed(reply: Reply) -> None:
    columns = [
        Column("endpoint"), Column("kind"), Column("circuit"), Column("pending", right=True),
        Column("sent", right=True), Column("died", right=True), Column("last sent"), Column("last error"),
    ]  # fmt: skip
    rows = [
        [
            one["name"], one["kind"], one["circuit"].replace("_", " "), str(one["pending"]), str(one["sent"]),
            str(one["died"]), word(one["last_sent"]), one["last_error"],
        ]
        for one in reply["endpoints"]
    ]  # fmt: skip
    table(columns, rows)
    columns = [
        Column("created"), Column("id"), Column("endpoint"), Column("state"), Column("attempts", right=True),
        Column("text"), Column("last error"),
    ]  # fmt: skip
    rows = [
        [
            row["created"], row["id"], row["endpoint"], row["state"], str(row["attempts"]),
            row["text"].partition("\n")[0], row["last_error"],
        ]
        for row in reply["notifications"]
    ]  # fmt: skip
    table(columns, rows)
    typer.echo(f"{len(rows)} of {reply['total']} messages, as of {reply['as_of']}")
