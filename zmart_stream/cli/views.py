"""Replies of the daemon as people read them."""

from __future__ import annotations

from typing import Any

import typer

from zmart_stream.cli.tables import Column, age, figure, number, show, signed, word

Reply = dict[str, Any]


def status(reply: Reply) -> None:
    """The daemon as a whole: one line a subject, warm-up first while it runs."""
    venue, feed, book = reply["venue"], reply["feed"], reply["book"]
    warm_up, contracts = reply["warm_up"], reply["contracts"]
    lines = [
        ("zmart-stream", f"{reply['version']}, up {age(reply['uptime_s'])}, as of {reply['as_of']}"),
        ("venue", _venue(venue)),
        ("warm-up", _warm_up(warm_up)),
        ("feed", _feed(feed)),
        (
            "contracts",
            f"{contracts['known']} known, {contracts['universe']} in the universe, {contracts['live']} live, "
            f"{contracts['scored']} scored",
        ),
        ("book", _book(book)),
        ("storage", _facts(reply["storage"])),
        ("configuration", f"revision {reply['config']['revision']}, profile {word(reply['config'].get('profile'))}"),
    ]
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        typer.echo(f"{name.ljust(width)}  {text}")


def rankings(reply: Reply) -> None:
    """The rankings as a table."""
    components = list(dict.fromkeys(name for row in reply["rankings"] for name in row["components"]))
    columns = [
        Column("rank", right=True), Column("symbol"), Column("score", right=True), Column("conf.", right=True),
        *[Column(name.lower(), right=True) for name in components],
        Column("turnover 24h", right=True), Column("spread bps", right=True), Column("sector"), Column("book"),
        Column("kept out by"),
    ]  # fmt: skip
    rows = [
        [
            word(row["rank"]), row["symbol"], number(row["score"]), number(row["confidence"]),
            *[number(row["components"].get(name), 1) for name in components],
            number(row["turnover_24h"], 0), number(row["spread_bps"]), word(row["sector"]),
            "held" if row["in_book"] else "", ", ".join(map(_gate_name, row["failed_gates"])),
        ]
        for row in reply["rankings"]
    ]  # fmt: skip
    show(columns, rows)
    typer.echo(f"{len(rows)} of {reply['total']} contracts, {reply['type']}, as of {reply['as_of']}")


def portfolio(reply: Reply) -> None:
    """The book as a table, and why the rest is cash."""
    columns = [
        Column("rank", right=True), Column("symbol"), Column("sector"), Column("weight %", right=True),
        Column("score", right=True), Column("held for", right=True), Column("P&L USDT", right=True), Column("since"),
        Column("flags"),
    ]  # fmt: skip
    rows = [
        [
            word(row["rank"]), row["symbol"], word(row.get("sector")), number(row["weight"]), number(row["score"]),
            age(row.get("age_s")), signed(row.get("earned_usdt")), word(row["since"]), ", ".join(_flags(row)),
        ]
        for row in reply["holdings"]
    ]  # fmt: skip
    show(columns, rows)
    reason = _reason(reply.get("cash_reason"))
    typer.echo(f"cash {number(reply['cash'])} %{f': {reason}' if reason else ''}")
    if reply.get("notice"):
        typer.echo(reply["notice"])
    if reply.get("hold"):
        typer.echo(f"the book holds: {word(reply.get('hold_reason'))}")
    typer.echo(f"{len(rows)} of {reply['max_symbols']} places, as of {reply['as_of']}")


def explain(reply: Reply) -> None:
    """Every part of a score with its contribution, what they sum to, the gates, the smallest change."""
    held = "in the book" if reply.get("in_book") else "not in the book"
    title = f"{reply['symbol']}: score {number(reply['score'])}, confidence {number(reply.get('confidence'))}"
    typer.echo(f"{title}, rank {word(reply.get('rank'))}, {held}, as of {reply['as_of']}")
    show(_PART_COLUMNS, [row for component in reply["components"] for row in _component(component)])
    total = reply.get("sum") or {}
    if total:
        parts = " ".join(f"{value:+.4f}" for value in _contributions(reply))
        typer.echo(f"{number(total.get('base'), 0)} {parts} = {number(total.get('composite'), 4)}")
        typer.echo(f"published {number(total.get('published'), 4)}")
    show(
        [Column("gate"), Column("value", right=True), Column("limit", right=True), Column("")],
        [[str(gate["name"]), _value(gate["value"]), _value(gate["limit"]), _verdict(gate)] for gate in reply["gates"]],
    )
    typer.echo(_change(reply.get("change")))
    rules = reply.get("rules") or {}
    if rules.get("barred"):
        until = rules.get("barred_until")
        typer.echo(f"it may enter again {f'at {until}' if until else 'when an operator brings it back'}")
    for waiting in rules.get("waiting", ()):
        typer.echo(f"a swap waits: {waiting['text']}")


def reloaded(reply: Reply) -> None:
    """What reading the configuration again changed."""
    applied, waiting = reply["applied"], reply["restart_needed"]
    typer.echo(f"revision {reply['revision']}: {', '.join(applied) if applied else 'nothing changed'}")
    if waiting:
        typer.echo(f"only a restart applies: {', '.join(waiting)}")


def paused(reply: Reply) -> None:
    """Whether the book holds by the operator's wish."""
    typer.echo("paused: the book holds" if reply["paused"] else "resumed: the book acts")


_PART_COLUMNS = (
    Column("component / part"), Column("value", right=True), Column("unit"), Column("percentile", right=True),
    Column("weight", right=True), Column("contribution", right=True), Column("age", right=True),
    Column("fresh", right=True), Column("mature", right=True), Column("in words"),
)  # fmt: skip


def _component(component: Reply) -> list[list[str]]:
    head = [
        component["name"], "", "score", number(component["score"]), number(component["weight"], 3),
        f"{component.get('contribution') or 0.0:+.4f}", "", f"c={number(component['confidence'])}", "", "",
    ]  # fmt: skip
    return [head, *map(_part, component["parts"])]


def _part(part: Reply) -> list[str]:
    return [
        f"  {part['name']}", figure(part.get("value")), word(part.get("unit")), number(part["percentile"]),
        number(part["weight"], 3), f"{part.get('contribution') or 0.0:+.4f}", age(part.get("age_s")),
        number(part.get("freshness")), number(part.get("maturity")), word(part.get("text", part.get("words"))),
    ]  # fmt: skip


def _contributions(reply: Reply) -> list[float]:
    return [float(component.get("contribution") or 0.0) for component in reply["components"]]


def _change(change: Reply | None) -> str:
    """The way across the book's border: the rule, the score it wants, and the part that is nearest to bring it."""
    if not change or change.get("target") is None:
        why = f" ({change['text']})" if change and change.get("text") else ""
        return f"smallest change: none{why}"
    way = f"{change['moves']} at a score of {number(change['target'])}: {change['text']}"
    part = change.get("part")
    if not isinstance(part, dict):
        return f"{way}\nsmallest change: none, no single part can bring that"
    return (
        f"{way}\nsmallest change: {part['component']}/{part['part']} by {part['points']:+.2f} points, "
        f"from {figure(part['value'])} to {figure(part['value_needed'])} {part['unit']}"
    )


def _venue(venue: Reply) -> str:
    silent = "" if venue.get("reachable", True) else ", UNREACHABLE: it does not answer"
    return f"{word(venue['name'])} {venue['url']}, speed {venue['speed']}, {word(venue.get('status'))}{silent}"


def _up(feed: Reply) -> int:
    connections = feed.get("connections") or []
    return sum(1 for connection in connections if str(connection.get("state", "")) in ("up", "open", "live"))


def _warm_up(warm_up: Reply) -> str:
    if warm_up["ended"]:
        return "done"
    if not warm_up["of"]:
        return "waiting for the venue's contracts"
    return f"warming up {warm_up['done']}/{warm_up['of']}"


def _feed(feed: Reply) -> str:
    connections = feed.get("connections") or []
    text = f"{_up(feed)}/{len(connections)} connections up" if connections else "no connection"
    if feed.get("topics") is not None:
        text += f", {feed['topics']['covered']}/{feed['topics']['wanted']} topics"
    if rest := feed.get("rest"):
        text += f", REST {rest['state']}, {number(rest['remaining'], 0)} of {number(rest['limit'], 0)} weight left"
    return text


def _book(book: Reply) -> str:
    hold = f", holds: {word(book.get('hold_reason'))}" if book.get("hold") else ""
    change = book.get("last_change")
    last = f"{change['at']} {what(change)}" if change else "–"
    return f"{book['size']} of {book['max']}{hold}, last change {last}"


def what(change: Reply) -> str:
    """A change's kind, and its reason where that says more."""
    kind, reason = str(change["kind"]), str(change["reason"])
    return kind if kind == reason else f"{kind} ({reason})"


def _facts(facts: Reply) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in facts.items() if not isinstance(value, dict | list))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return figure(value) if isinstance(value, int | float) else word(value)


def _verdict(gate: Reply) -> str:
    return "ok" if gate["ok"] else "FAILS"


def _flags(row: Reply) -> list[str]:
    flags = [name for name in ("pinned", "replacement_candidate") if row.get(name)]
    return [*flags, *[flag for flag in row.get("flags", []) if flag not in flags]]


def _gate_name(gate: Any) -> str:
    return str(gate.get("name", gate)) if isinstance(gate, dict) else str(gate)


def _reason(reason: Any) -> str:
    if isinstance(reason, list):
        return "; ".join(filter(None, map(_reason, reason)))
    if isinstance(reason, dict):
        return str(reason.get("text") or reason.get("code") or "")
    return str(reason or "")
