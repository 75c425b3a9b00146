"""Verbs on the API's tokens: token create, list, revoke."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zmart_stream.cli.running import Config, Sets
from zmart_stream.cli.tables import Column, show
from zmart_stream.domain.errors import UsageError

if TYPE_CHECKING:
    from zmart_stream.api.tokens import Scope, TokenFile, UrlScope
    from zmart_stream.app.settings import ApiTable, Settings

_SCOPES: tuple[Scope, ...] = ("read", "signal", "operate", "tradingview", "freqtrade")
_IN_URLS: tuple[UrlScope, ...] = ("tradingview", "freqtrade")
_HINTS: dict[UrlScope, str] = {
    "tradingview": "TradingView calls ports 80 and 443 of public addresses only: let a reverse proxy with TLS stand in "
    "front (api.behind_proxy, api.allowed_hosts) and paste the address with its name",
    "freqtrade": "for freqtrade's external_message_consumer: host, port and, as ws_token, what follows token=",
}
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(
        name="token", help="Tokens of the HTTP API: create, list, revoke.", rich_markup_mode=None, no_args_is_help=True
    )
    group.command()(create)
    group.command("list")(show_tokens)
    group.command()(revoke)
    app.add_typer(group)


def create(
    name: Annotated[str, typer.Option(help="Who will use it; stands in the book's history.")],
    scope: Annotated[
        list[str], typer.Option(help="read, signal, operate (implies both), tradingview or freqtrade; repeatable.")
    ],
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Create a token and print it, or the address that holds it, once: only its digest is kept."""
    scopes: list[Scope] = [known for known in _SCOPES if known in scope]
    if wrong := sorted(set(scope) - set(_SCOPES)):
        raise UsageError(f"--scope {wrong[0]}: one of {', '.join(_SCOPES)}")
    settings = _settings(config, sets)
    tokens = _file(settings)
    record, token = tokens.create(name, scopes)
    typer.echo(f"token {record.id} for {name!r} with {', '.join(scopes)}, in {tokens.path}", err=True)
    for alone in _IN_URLS:
        if alone in scopes:
            typer.echo(_HINTS[alone], err=True)
            token = _address(settings.api, alone, token)
    typer.echo(token)


def show_tokens(as_json: Json = False, config: Config = None, sets: Sets = None) -> None:
    """All tokens, without their secrets."""
    records = _file(_settings(config, sets)).records
    facts = [
        {"id": r.id, "name": r.name, "scopes": list(r.scopes), "created": r.created, "revoked": r.revoked}
        for r in records
    ]
    if as_json:
        typer.echo(json.dumps({"tokens": facts}, indent=2, ensure_ascii=False))
        return
    columns = [Column("id"), Column("name"), Column("scopes"), Column("created"), Column("revoked")]
    show(columns, [[r.id, r.name, " ".join(r.scopes), r.created, r.revoked or ""] for r in records])


def revoke(
    which: Annotated[str, typer.Argument(metavar="ID|NAME", help="The token's id or name.")],
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Revoke a token; a running daemon notices at its next request."""
    record = _file(_settings(config, sets)).revoke(which)
    typer.echo(f"revoked {record.id} {record.name!r}")


def _address(api: ApiTable, scope: UrlScope, secret: str) -> str:
    """What is pasted into the program that is to use the secret."""
    from zmart_stream.api.addresses import origin_of, secret_url  # noqa: PLC0415  off the other verbs' start path

    origin = origin_of(api.host, api.port, names=api.allowed_hosts, tls=bool(api.tls_cert), proxied=api.behind_proxy)
    return secret_url(scope, secret, origin=origin)


def _settings(config: Path | None, sets: list[str] | None) -> Settings:
    from zmart_stream.app.config import Sources, load  # noqa: PLC0415  off the start path of the asking verbs

    return load(Sources(file=config, sets=tuple(sets or ()))).settings


def _file(settings: Settings) -> TokenFile:
    """The token file of the settings."""
    from zmart_stream.api.tokens import TokenFile  # noqa: PLC0415  off the start path of the asking verbs
    from zmart_stream.app.state import state_folder  # noqa: PLC0415  off the start path of the asking verbs

    if settings.api.token_file:
        return TokenFile(Path(settings.api.token_file).expanduser())
    return TokenFile(state_folder(settings.state_dir, sandbox=False) / "tokens.json")
