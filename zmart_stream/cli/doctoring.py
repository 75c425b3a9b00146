"""Verbs that look for what is wrong, without a running daemon: doctor, db check."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from zmart_stream.cli.running import Config, Sets
from zmart_stream.cli.tables import Column, show

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(doctor)
    group = typer.Typer(name="db", help="The database: check.", rich_markup_mode=None, no_args_is_help=True)
    group.callback()(_group)
    group.command()(check)
    app.add_typer(group)


def _group() -> None:
    """The database: check."""


def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Leave the venue and the clock out.")] = False,
    as_json: Json = False,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Look at settings, disk, tokens, database, book, venue and clock; exit 0 if a daemon can live with all of it."""
    import asyncio  # noqa: PLC0415  off the start path of the asking verbs

    from zmart_stream.app.compose.examine import examine  # noqa: PLC0415  off the start path of the asking verbs
    from zmart_stream.app.config import Sources  # noqa: PLC0415  off the start path of the asking verbs

    sources = Sources(file=config, sets=tuple(sets or ()))
    _tell(asyncio.run(examine(sources, ask_venue=not offline)), as_json)


def check(as_json: Json = False, config: Config = None, sets: Sets = None) -> None:
    """Look at the whole database: the file, the book, its history and its money."""
    import asyncio  # noqa: PLC0415  off the start path of the asking verbs

    from zmart_stream.app.compose.examine import check_database  # noqa: PLC0415  off the asking verbs' start path
    from zmart_stream.app.config import Sources  # noqa: PLC0415  off the start path of the asking verbs

    _tell(asyncio.run(check_database(Sources(file=config, sets=tuple(sets or ())))), as_json)


def _tell(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        checks = report["checks"]
        rows = [[found["level"], found["name"], found["text"]] for found in checks]
        show([Column("level"), Column("what"), Column("finding")], rows)
        for way in dict.fromkeys(f"{found['name']}: {found['way_out']}" for found in checks if found["way_out"]):
            typer.echo(way)
    raise typer.Exit(0 if report["healthy"] else 1)
