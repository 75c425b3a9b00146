"""Signals as people read them: what was decided, and who thought what of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from zmart_stream.cli.tables import Column, age, figure, number, percent, show, signed, word

Reply = dict[str, Any]

BRIEF = 48
"""Characters of a reason in a list: every problem of a rejected signal is among them."""

NEVER_JUDGED = ("rejected", "expired")
"""States in which there is nothing to measure."""


def answer(reply: Reply) -> None:
    """What came of a signal that was sent."""
    typer.echo(f"{reply['signal_id']}  {_status(reply)}{', sent before' if reply['repeated'] else ''}")
    if reply["decision"] is not None:
        typer.echo(_verdict(reply["decision"]))
    elif reply["status"] == "received":
        typer.echo("it waits to be judged: see signals --pending")
    if reply["opinions"]:
        _opinions(reply["opinions"])


def released(reply: Reply) -> None:
    """A source that is nobody's now."""
    typer.echo(f"{reply['source_name']} is free: it belongs to whoever uses it next")


def listed(reply: Reply) -> None:
    """One line a signal."""
    columns = [
        Column("received"), Column("id"), Column("source"), Column("type"), Column("direction"), Column("symbol"),
        Column("status"), Column("reason"), Column("consensus", right=True), Column("action"), Column("target"),
    ]  # fmt: skip
    rows = [
        [
            row["created_at"], row["id"], row["source_name"], row["signal_type"], word(row["signal_direction"]),
            word(row["symbol"]), row["status"], _brief(word(row["reason"])), number(row["p"], 3), word(row["action"]),
            word(row["target_symbol"]),
        ]
        for row in reply["signals"]
    ]  # fmt: skip
    show(columns, rows)
    typer.echo(f"{len(rows)} of {reply['total']} signals, as of {reply['as_of']}")


def whole(reply: Reply) -> None:
    """All of one signal."""
    signal = reply["signal"]
    about = word(signal["symbol"]) if signal["symbol"] else "the market"
    facts = [
        ("signal", f"{signal['id']}  {_status(signal)}"),
        ("says", f"{signal['signal_type']} {word(signal['signal_direction'])} {about}, "
                 f"strength {number(signal['signal_strength'])}, confidence {number(signal['confidence_level'])}"),
        ("source", f"{signal['source_name']}, sent by {word(signal['submitted_by'])}"),
    ]  # fmt: skip
    facts += [("problem", _problem(problem)) for problem in signal["problems"] or ()]
    if signal["decision"] is not None:
        facts.append(("decision", _decided(signal)))
    if signal["status"] not in NEVER_JUDGED:
        facts.append(("outcome", _outcome(signal["outcome"])))
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        typer.echo(f"{name.ljust(width)}  {text}")
    show(
        [Column("at"), Column("step"), Column("reason"), Column("detail")],
        [[step["ts"], step["status"], step["reason"], step["detail"]] for step in signal["steps"]],
    )
    if signal["opinions"]:
        _opinions(signal["opinions"])


def _opinions(opinions: Sequence[Reply]) -> None:
    columns = [
        Column("agent"), Column("stance"), Column("p", right=True), Column("veto"), Column("oldest input", right=True),
        Column("because"),
    ]  # fmt: skip
    rows = [
        [
            opinion["agent"], opinion["stance"],
            number(None if opinion["stance"] == "abstain" else opinion["p"], 3), "veto" if opinion["veto"] else "",
            age(max(opinion["ages"].values(), default=None)), "; ".join(map(_reason, opinion["reasons"])),
        ]
        for opinion in opinions
    ]  # fmt: skip
    show(columns, rows)


def _reason(reason: Reply) -> str:
    """The code and the figures behind it."""
    return " ".join([reason["code"], *[f"{name}={_value(value)}" for name, value in reason["numbers"].items()]])


def _value(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return figure(value) if is_number else word(value)


def _status(signal: Reply) -> str:
    words = ": ".join(text for text in (signal["reason"], signal["detail"]) if text)
    return f"{signal['status']} ({words})" if words else str(signal["status"])


def _verdict(decision: Reply) -> str:
    verdict = "approved" if decision["approved"] else "declined"
    return f"{verdict}: consensus {number(decision['consensus'], 3)}, {decision['action']} {word(decision['symbol'])}"


def _decided(signal: Reply) -> str:
    decision = signal["decision"]
    verdict = "approved" if signal["approved"] else "declined"
    limit, spoke, quorum = decision.get("approve_at"), word(signal["spoke"]), word(signal["quorum"])
    return (
        f"{verdict}: consensus {number(signal['p'], 3)} (approved from {number(limit)}), {_prior(decision)}"
        f"{spoke} agents spoke ({quorum} wanted), dissent {number(signal['dissent'], 3)}, "
        f"{word(signal['action'])} {word(signal['target_symbol'])}"
    )


def _prior(decision: Reply) -> str:
    """What the source's word was worth."""
    if decision.get("prior") is None:
        return ""
    whose = "its hit rate" if decision["is_calibrated"] else "as stated"
    return f"prior {number(decision['prior'], 3)} (confidence {number(decision['confidence'])} {whose}), "


def _brief(text: str) -> str:
    """What fits beside other columns; `signals show` has all of it."""
    return text if len(text) <= BRIEF else text[: BRIEF - 1] + "…"


def _problem(problem: Reply) -> str:
    value = problem.get("value")
    return f"{problem['field']}{'' if value is None else f' ({_value(value)})'}: {problem['rule']}"


def _outcome(outcome: Reply | None) -> str:
    if outcome is None:
        return "not known yet"
    became = "hit" if outcome["hit"] else "miss"
    cost = percent(outcome["cost"])
    return (
        f"{became}: {signed(100.0 * outcome['net'])} % after cost of {cost}, {outcome['since']} to {outcome['until']}"
    )
