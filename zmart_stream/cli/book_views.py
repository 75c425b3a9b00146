"""What the book did and earned, as people read it."""

from __future__ import annotations

from typing import Any

import typer

from zmart_stream.cli import views
from zmart_stream.cli.tables import Column, number, percent, show, signed, word

Reply = dict[str, Any]

_FRACTIONS = frozenset(
    """return volatility max_drawdown var_95 cvar_95 var_99 cvar_99 turnover costs funding hit_rate""".split()
)
"""Metrics that are shown as percent."""


def changed(reply: Reply) -> None:
    """What a command did."""
    for change in reply["changes"]:
        typer.echo(_change_line(change))
    if reply["changes"]:
        after = reply["changes"][-1]["after"]
        shown = ", ".join(f"{holding['symbol']} {number(holding['weight'])}" for holding in after["holdings"])
        typer.echo(f"book: {shown or 'empty'}; cash {number(after['cash'])} %")
    else:
        typer.echo(reply["detail"] or "nothing to change")


def history(reply: Reply) -> None:
    """One line a change."""
    columns = [
        Column("at"), Column("kind"), Column("reason"), Column("in"), Column("out"), Column("holdings", right=True),
        Column("cash %", right=True), Column("who"), Column("numbers"), Column("note"),
    ]  # fmt: skip
    rows = [
        [
            change["at"], change["kind"], change["reason"], word(change["symbol_in"]), word(change["symbol_out"]),
            str(len(change["after"]["holdings"])), number(change["after"]["cash"]), change["who"],
            _numbers(change["numbers"]), change["note"],
        ]
        for change in reply["changes"]
    ]  # fmt: skip
    show(columns, rows)
    typer.echo(f"{len(rows)} of {reply['total']} changes, as of {reply['as_of']}")


def figures(reply: Reply) -> list[Reply]:
    """The metrics as rows."""
    return [
        {"metric": name, "value": value, "reason": reply["reasons"].get(name, "")}
        for name, value in reply["metrics"].items()
    ]


def metrics(reply: Reply) -> None:
    """One line a figure; a missing one says why."""
    columns = [Column("metric"), Column("value", right=True), Column("missing because")]
    rows = [[row["metric"], _metric(row["metric"], row["value"]), row["reason"]] for row in figures(reply)]
    show(columns, rows)
    typer.echo(f"{reply['window']}: {reply['observations']} returns, {word(reply['since'])} to {word(reply['until'])}")


def attribution(reply: Reply) -> None:
    """Contributions that add up to the return, and effects that add up to what is beyond the benchmark."""
    if reply["reason"]:
        typer.echo(f"nothing to attribute: {reply['reason']}")
        return
    rows = [[row["symbol"], word(row["sector"]), percent(row["contribution"], 4)] for row in reply["contributions"]]
    rows += [[name, "", percent(reply[name], 4)] for name in ("funding", "costs", "return")]
    show([Column("contribution"), Column("sector"), Column("of the equity", right=True)], rows)
    names = ("allocation", "selection", "interaction", "total")
    rows = [[row["sector"], *[percent(row[name], 4) for name in names]] for row in reply["effects"]]
    rows += [
        [name.removeprefix("active_"), "", "", "", percent(reply[name], 4)]
        for name in ("active_funding", "active_costs")
    ]
    rows.append(["beyond the benchmark", "", "", "", percent(reply["active"], 4)])
    show([Column("sector"), *[Column(name, right=True) for name in names]], rows)
    typer.echo(
        f"{reply['window']}: {word(reply['since'])} to {word(reply['until'])}, benchmark {percent(reply['benchmark'])}"
    )


def equity(reply: Reply) -> None:
    """One line a point."""
    names = ("equity", "first_book", "benchmark", "price_pnl", "funding", "costs", "traded", "cash")
    columns = [Column("at"), *[Column(name.replace("_", " "), right=True) for name in names]]
    show(columns, [[point["at"], *[number(point[name]) for name in names]] for point in reply["points"]])
    typer.echo(f"{_balance(reply['balance'])}; USDT, as of {reply['as_of']}")


def swaps(reply: Reply) -> None:
    """One line a swap, and the slope."""
    columns = [
        Column("since"), Column("out"), Column("in"), Column("gap", right=True), Column("costs", right=True),
        Column("swapped", right=True), Column("not swapped", right=True), Column("earned", right=True),
        Column("bps", right=True), Column("final"),
    ]  # fmt: skip
    rows = [
        [
            swap["since"], swap["symbol_out"], swap["symbol_in"], number(swap["gap"]), number(swap["costs_usdt"]),
            number(swap["swapped_usdt"]), number(swap["unswapped_usdt"]), signed(swap["earned_usdt"]),
            signed(swap["earned_bps"], 1), "yes" if swap["is_final"] else "runs",
        ]
        for swap in (*reply["running"], *reply["final"])
    ]  # fmt: skip
    show(columns, rows)
    earned, counted = reply["earned_usdt"], "1 swap" if len(rows) == 1 else f"{len(rows)} swaps"
    typer.echo(
        f"{counted}: final ones earned {signed(earned['final'])} USDT against not swapping, "
        f"running ones {signed(earned['running'])} so far"
    )
    typer.echo(_slope(reply["slope"]))


def summary(reply: Reply) -> None:
    """The whole run on one page, whatever it says about its merit."""
    statistics, honesty = reply["statistics"], reply["statistics"]["honesty"]
    money = statistics["ledger"]
    _title("The book")
    views.portfolio(reply["portfolio"])
    _title("The ledger, USDT")
    lines = [
        ("opened", word(money["opened"])),
        ("equity", f"{number(money['equity_usdt'])} of {number(money['start_usdt'])}, {percent(money['return'])}"),
        ("price P&L", signed(money["price_pnl_usdt"])),
        ("funding", signed(money["funding_usdt"])),
        ("costs", signed(-money["costs_usdt"])),
        ("traded", number(money["traded_usdt"])),
        ("balance", _balance(reply["equity"]["balance"])),
    ]
    _lines(lines)
    _title("Metrics")
    metrics(reply["metrics"])
    _title("Attribution")
    attribution(reply["attribution"])
    _title("Swaps")
    swaps(reply["swaps"])
    _title("Against doing less, USDT")
    _lines(
        [
            ("benchmark", _against(honesty["against_benchmark_usdt"], money["benchmark_usdt"])),
            ("first book held", _against(honesty["against_first_book_usdt"], money["first_book_usdt"])),
            ("not swapping", _against(honesty["against_not_swapping_usdt"], None)),
            ("slope", "shown to be above 0" if honesty["is_slope_proven"] else "not shown to be above 0"),
        ]
    )


def _against(gain: float | None, other: float | None) -> str:
    if gain is None:
        return "not known yet"
    verdict = "better" if gain > 0 else "worse" if gain < 0 else "the same"
    return f"{signed(gain)}, {verdict}" + (f" (it would be {number(other)})" if other is not None else "")


def _balance(balance: Reply) -> str:
    """Whether the ledger adds up."""
    if balance["is_balanced"]:
        return f"balances: {balance['steps']} steps of equity = before + price P&L + funding - costs, exactly"
    return f"DOES NOT BALANCE: off by {balance['difference_usdt']:.8f} USDT over {balance['steps']} steps"


def _slope(slope: Reply) -> str:
    configured = f"bps_per_point: configured {number(slope['configured'])}"
    if slope["estimate"] is None:
        return f"{configured}, not estimated: {word(slope['reason'])}"
    band = f"{number(slope['low'])} to {number(slope['high'])}" if slope["low"] is not None else word(slope["reason"])
    return f"{configured}, earned {number(slope['estimate'])} (95 %: {band}) over {slope['swaps']} swaps"


def _change_line(change: Reply) -> str:
    moved = " for ".join(filter(None, (change["symbol_in"], change["symbol_out"])))
    numbers = _numbers(change["numbers"])
    return f"{change['at']} {views.what(change)}{f': {moved}' if moved else ''}{f' ({numbers})' if numbers else ''}"


def _numbers(numbers: Reply) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in numbers.items() if value is not None)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _metric(name: str, value: float | None) -> str:
    return percent(value) if name in _FRACTIONS else number(value, 3)


def _title(text: str) -> None:
    typer.echo(f"\n{text}\n")


def _lines(lines: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        typer.echo(f"{name.ljust(width)}  {text}")
