"""`signal send`, `signals` and `signals show`: have a signal judged, and see who thinks what of those that came."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from zmart_stream.cli import heads, signal_views
from zmart_stream.cli.asking import As, Csv, Json, Reason, Token, TokenPath, Url, daemon, rows_first, show
from zmart_stream.domain.errors import UsageError

Share = typer.Option(min=0.0, max=1.0, help="From 0 to 1.")


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    one = typer.Typer(name="signal", rich_markup_mode=None, no_args_is_help=True, help="Send a signal.")
    one.callback()(_signal)
    one.command()(send)
    app.add_typer(one)
    many = typer.Typer(name="signals", rich_markup_mode=None, invoke_without_command=True)
    many.callback()(signals)
    many.command(name="show")(show_one)
    many.command()(release)
    app.add_typer(many)


def _signal() -> None:
    """Send a signal."""


def send(
    source: Annotated[str, typer.Option(help="Who says so; a name belongs to the token that first used it.")],
    kind: Annotated[str, typer.Option("--type", help="Such as BREAKOUT or MOMENTUM.")],
    strength: Annotated[float, Share],
    confidence: Annotated[float, Share],
    symbol: Annotated[str | None, typer.Option(help="The contract or its id; without it: the market.")] = None,
    direction: Annotated[str | None, typer.Option(help="BUY (without it) or SELL.")] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="An object that is kept with it.")] = None,
    key: Annotated[str | None, typer.Option(help="However often it is sent with this, it acts once.")] = None,
    expires_in: Annotated[float | None, typer.Option(metavar="SECONDS", help="Not worth judging after that.")] = None,
    expires_at: Annotated[str | None, typer.Option(metavar="TIME", help="Nor after this: ISO 8601.")] = None,
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Have a signal judged, and see what was decided."""
    said = {
        "source_name": source,
        "signal_type": kind.upper(),
        "signal_strength": strength,
        "confidence_level": confidence,
        "symbol_id": symbol.upper() if symbol else None,
        "signal_direction": direction.upper() if direction else None,
        "signal_data": _object(data),
        "idempotency_key": key,
        "expires_in_s": expires_in,
        "expires_at": expires_at,
    }
    body = {name: value for name, value in said.items() if value is not None}
    show(daemon(url, token, token_file, operator).post("signals", **body), signal_views.answer, as_json=as_json)


def signals(
    context: typer.Context,
    is_pending: Annotated[bool, typer.Option("--pending", help="Those that wait, not those that are through.")] = False,
    source: Annotated[str | None, typer.Option(help="Only those of this source.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Only those about this contract.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many rows.")] = 50,
    url: Url = None,
    as_json: Json = False,
    as_csv: Csv = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Signals that are through, newest first: what was decided, and how it ended."""
    if context.invoked_subcommand is None:
        wanted = {"source": source, "symbol": symbol.upper() if symbol else None, "limit": limit}
        state = "pending" if is_pending else "processed"
        reply = daemon(url, token, token_file).get("signals", state, **wanted)
        rows = reply["signals"] if as_csv else None
        show(rows_first(reply, "signals"), signal_views.listed, as_json=as_json, rows=rows, names=heads.SIGNALS)


def show_one(
    which: Annotated[str, typer.Argument(metavar="ID", help="The signal's id.")],
    url: Url = None,
    as_json: Json = False,
    as_csv: Csv = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """One signal: its steps, each agent's opinion with its reasons, the decision, what became of it."""
    reply = daemon(url, token, token_file).get("signals", which)
    rows = reply["signal"]["opinions"] if as_csv else None
    show(reply, signal_views.whole, as_json=as_json, rows=rows, names=heads.OPINIONS)


def release(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source's name.")],
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Let a source's name go to whoever uses it next, as when its token was revoked."""
    asked = daemon(url, token, token_file, operator)
    reply = asked.post("signals", "release-source", source_name=source, reason=reason)
    show(reply, signal_views.released, as_json=as_json)


def _object(text: str | None) -> dict[str, Any] | None:
    """The object that a JSON text says. Raises UsageError."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--data: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError('--data: a JSON object is wanted, such as {"indicator": "RSI"}')
    return found
