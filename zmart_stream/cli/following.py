"""`events`: what happens, as it happens, for as long as somebody watches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from zmart_stream.cli.asking import Token, TokenPath, Url, daemon
from zmart_stream.cli.client import Client, Pushed
from zmart_stream.cli.tables import number, signed, word
from zmart_stream.domain.errors import DaemonUnreachableError, RequestError

FIRST_WAIT_S = 1.0
MOST_WAIT_S = 30.0
PASSING = ("busy", "rate_limited", "fault")
"""Refusals after which a stream that was open is asked for again."""

Data = dict[str, Any]


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(events)


def events(
    types: Annotated[str | None, typer.Option(help="Event types, separated by commas; all without it.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Contracts, separated by commas; all without it.")] = None,
    after: Annotated[str, typer.Option(metavar="ID", help="Begin after this event, not with the next one.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    url: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Events as they happen, until Ctrl-C; a lost connection is taken up again where it was."""
    wanted = {"types": types, "symbols": symbols.upper() if symbols else None}
    left = limit
    try:
        for event in follow(daemon(url, token, token_file), wanted, after):
            typer.echo(_as_line(event) if as_json else told(event))
            left = None if left is None else left - 1
            if left == 0:
                return
    except KeyboardInterrupt:
        return


def follow(
    client: Client, wanted: dict[str, str | None], after: str, wait: Callable[[float], None] = time.sleep
) -> Iterator[Pushed]:
    """Events without end. Raises DaemonUnreachableError and RequestError where it cannot even begin."""
    begun, wait_s = False, FIRST_WAIT_S
    while True:
        try:
            for event in client.events(after, **wanted):
                begun, wait_s = True, FIRST_WAIT_S
                if event is not None:
                    after = event.id or after
                    yield event
            reason = "the stream ended"
        except DaemonUnreachableError as error:
            if not begun:
                raise
            reason = str(error)
        except RequestError as error:
            if not begun or error.code not in PASSING:
                raise
            reason = str(error)
        typer.echo(f"zmart-stream: {reason}; again in {wait_s:g} s", err=True)
        wait(wait_s)
        wait_s = min(wait_s * 2, MOST_WAIT_S)


def told(event: Pushed) -> str:
    """One line for people."""
    words = _WORDS.get(event.kind)
    text = words(event.data) if words else json.dumps(event.data, ensure_ascii=False)
    return f"{event.data.get('timestamp', '')}  {event.kind}  {text}".lstrip()


def _as_line(event: Pushed) -> str:
    return json.dumps({"event": event.kind, "id": event.id or None, "data": event.data}, ensure_ascii=False)


def _score(data: Data) -> str:
    return f"{data['symbol']} {number(data['old_score'])} -> {number(data['new_score'])} ({signed(data['change'])})"


def _change(data: Data) -> str:
    change = data["details"]
    into, out = change["symbol_in"], change["symbol_out"]
    moves = (f" in {into}" if into else "") + (f" out {out}" if out else "")
    return f"{data['type']}{moves}: {change['reason']}, {len(change['after']['holdings'])} holdings"


def _signal(data: Data) -> str:
    about = f"{word(data['source'])} {word(data['signal_type'])} {word(data['direction'])} {word(data['symbol'])}"
    details = data["details"]
    problems = "; ".join(f"{problem['field']}: {problem['rule']}" for problem in details.get("problems", ()))
    return f"{data['signal_id']} {data['status']}: {details.get('reason') or problems or about}"


def _decision(data: Data) -> str:
    verdict = "approved" if data["approved"] else f"declined ({data['reason']})"
    return (
        f"{data['signal_id']} {verdict}: consensus {number(data['consensus'], 3)}, "
        f"{data['action']} {word(data['symbol'])}, from {data['source']}"
    )


def _feed(data: Data) -> str:
    return f"{data['connection']} {data['state']}" + (f": {data['reason']}" if data["reason"] else "")


def _hold(data: Data) -> str:
    return f"the book {'holds' if data['on'] else 'acts'}: {data['reason']}"


def _config(data: Data) -> str:
    return f"revision {data['revision']}: {', '.join(data['changed']) or 'nothing changed'}"


def _dropped(data: Data) -> str:
    return f"a gap: {data['count']} events were not read in time"


def _reset(data: Data) -> str:
    missed = "events are missing" if data["missed"] is None else f"{data['missed']} events are missing"
    return f"a gap: {missed} ({data['reason']})"


_WORDS: dict[str, Callable[[Data], str]] = {
    "score_update": _score,
    "portfolio_change": _change,
    "signal": _signal,
    "decision": _decision,
    "feed_state": _feed,
    "hold": _hold,
    "config": _config,
    "dropped": _dropped,
    "reset": _reset,
}
