"""`portfolio` and its verbs: the book, what it did and earned, and what an operator may do to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from zmart_stream.cli import book_views, heads, views
from zmart_stream.cli.asking import As, Csv, Json, Reason, Reply, Token, TokenPath, Url, daemon, rows_first, show
from zmart_stream.domain.errors import UsageError

Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="A contract, such as XBTUSDTM, or its id.")]
Window = Annotated[str, typer.Option("--window", help="1d, 7d, 30d or all.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many rows.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(name="portfolio", rich_markup_mode=None, invoke_without_command=True)
    group.callback()(portfolio)
    verbs: tuple[Callable[..., None], ...] = (
        add, remove, replace, pin, unpin, block, unblock, rebalance,
        history, metrics, attribution, equity, swaps, summary,
    )  # fmt: skip
    for verb in verbs:
        group.command()(verb)
    app.add_typer(group)


def portfolio(
    context: typer.Context,
    url: Url = None,
    as_json: Json = False,
    as_csv: Csv = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """The book: rank, weight, score, P&L, since when; why the rest is cash."""
    if context.invoked_subcommand is None:
        reply = daemon(url, token, token_file).get("portfolio")
        rows = reply["holdings"] if as_csv else None
        show(rows_first(reply, "holdings"), views.portfolio, as_json=as_json, rows=rows, names=heads.HOLDINGS)


def add(
    symbol: Symbol,
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Take a contract into the book."""
    _do("add-symbol", {"symbol_id": symbol.upper(), "reason": reason}, (url, token, token_file, operator), as_json)


def remove(
    symbol: Symbol,
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Take a contract out of the book; only an operator brings it back."""
    _do("remove-symbol", {"symbol_id": symbol.upper(), "reason": reason}, (url, token, token_file, operator), as_json)


def replace(
    leaves: Annotated[str, typer.Argument(metavar="OUT", help="The holding that leaves.")],
    comes: Annotated[str, typer.Argument(metavar="IN", help="The contract that comes.")],
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Replace a holding by another contract."""
    body = {"old_symbol_id": leaves.upper(), "new_symbol_id": comes.upper(), "reason": reason}
    _do("replace-symbol", body, (url, token, token_file, operator), as_json)


def pin(
    symbol: Symbol,
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Let the machine never replace or remove a holding, short of its delisting."""
    _do("pin", {"symbol_id": symbol.upper(), "reason": reason}, (url, token, token_file, operator), as_json)


def unpin(
    symbol: Symbol,
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """End a pin."""
    _do("unpin", {"symbol_id": symbol.upper(), "reason": reason}, (url, token, token_file, operator), as_json)


def block(
    symbol: Symbol,
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Keep a contract out of the book."""
    _do("block", {"symbol_id": symbol.upper(), "reason": reason}, (url, token, token_file, operator), as_json)


def unblock(
    symbol: Symbol,
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """End a block, and the bar that an operator's removal left."""
    _do("unblock", {"symbol_id": symbol.upper(), "reason": reason}, (url, token, token_file, operator), as_json)


def rebalance(
    reason: Reason = "",
    operator: As = "",
    url: Url = None,
    as_json: Json = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Set the weights to their targets now."""
    _do("rebalance", {"reason": reason}, (url, token, token_file, operator), as_json)


def history(
    limit: Limit = 50,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Only changes in which it came or left.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only such: fill, replace, remove, reweight, ...")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Not before: ISO 8601.")] = None,
    url: Url = None,
    as_json: Json = False,
    as_csv: Csv = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Every change of the book, newest first: what, why, who."""
    wanted = {"limit": limit, "symbol": symbol.upper() if symbol else None, "kind": kind, "since": since}
    reply = daemon(url, token, token_file).get("portfolio", "history", **wanted)
    rows = reply["changes"] if as_csv else None
    show(rows_first(reply, "changes"), book_views.history, as_json=as_json, rows=rows, names=heads.HISTORY)


def metrics(
    window: Window = "all",
    url: Url = None,
    as_json: Json = False,
    as_csv: Csv = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Risk and performance of the book, and why a figure is missing."""
    reply = daemon(url, token, token_file).get("portfolio", "metrics", window=window)
    rows = book_views.figures(reply) if as_csv else None
    show(reply, book_views.metrics, as_json=as_json, rows=rows, names=heads.METRICS)


def attribution(
    window: Window = "all",
    url: Url = None,
    as_json: Json = False,
    as_csv: Csv = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """Where the return came from: holdings, funding, costs, and the effects by sector."""
    reply = daemon(url, token, token_file).get("portfolio", "attribution", window=window)
    rows = reply["contributions"] if as_csv else None
    names = heads.ATTRIBUTION
    show(rows_first(reply, "contributions"), book_views.attribution, as_json=as_json, rows=rows, names=names)


def equity(
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="First time: ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Last time: ISO 8601.")] = None,
    points: Annotated[int, typer.Option("--points", min=2, max=5000, help="Rows at most, thinned evenly.")] = 50,
    url: Url = None,
    as_json: Json = False,
    as_csv: Csv = False,
    token: Token = None,
    token_file: TokenPath = None,
) -> None:
    """The paper equity over time, beside the first book held and the benchmark."""
    _check_span(since, until)
    reply = daemon(url, token, token_file).get("portfolio", "equity", since=since, until=until, points=points)
    rows = reply["points"] if as_csv else None
    show(rows_first(reply, "points"), book_views.equity, as_json=as_json, rows=rows, names=heads.EQUITY)


def swaps(
    url: Url = None, as_json: Json = False, as_csv: Csv = False, token: Token = None, token_file: TokenPath = None
) -> None:
    """What each swap earned against not swapping, and what a point of score earned."""
    reply = daemon(url, token, token_file).get("portfolio", "swaps")
    every = [*reply["running"], *reply["final"]]
    rows = every if as_csv else None
    show({"swaps": every, **reply}, book_views.swaps, as_json=as_json, rows=rows, names=heads.SWAPS)


def summary(url: Url = None, as_json: Json = False, token: Token = None, token_file: TokenPath = None) -> None:
    """The whole run: book, balance of the ledger, metrics, swaps, and what doing less would have earned."""
    asked = daemon(url, token, token_file)
    reply: dict[str, Any] = {
        "portfolio": asked.get("portfolio"),
        "statistics": asked.get("portfolio", "statistics"),
        "equity": asked.get("portfolio", "equity", points=5000),
        "metrics": asked.get("portfolio", "metrics", window="all"),
        "attribution": asked.get("portfolio", "attribution", window="all"),
        "swaps": asked.get("portfolio", "swaps"),
    }
    show(reply, book_views.summary, as_json=as_json)


def _check_span(since: str | None, until: str | None) -> None:
    """Raises UsageError for a span that ends before it begins; what is no time is the daemon's to refuse."""
    try:
        times = [datetime.fromisoformat(text) for text in (since, until) if text]
    except ValueError:
        return
    aware = [time if time.tzinfo else time.replace(tzinfo=UTC) for time in times]
    if aware != sorted(aware):
        raise UsageError(f"--since {since} is after --until {until}")


def _do(name: str, body: dict[str, str], whom: tuple[Any, Any, Any, str], as_json: bool) -> None:
    reply: Reply = daemon(*whom).post("portfolio", name, **body)
    show(reply, book_views.changed, as_json=as_json)
