"""Verbs that do work in this process: run, sandbox, replay."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from zmart_stream.domain.errors import UsageError, ZmartError

_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DAY_S = 86400.0

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings file; else zmart.toml where it is found.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, over all other sources; repeatable."),
]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(run)
    app.command()(sandbox)
    app.command()(replay)


def run(
    config: Config = None,
    on_sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Start a venue on loopback and listen to that instead.")
    ] = False,
    run_for: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Stop after so long: 30s, 10m, 2h.")
    ] = None,
    capture: Annotated[
        Path | None, typer.Option("--capture", metavar="DIR", help="Record the inputs there, for replay.")
    ] = None,
    sets: Sets = None,
) -> None:
    """Run the daemon until it is told to stop."""
    for_s = None if run_for is None else duration_s(run_for, "--for")
    with _loading():
        from zmart_stream.app.config import Sources  # noqa: PLC0415  off the start path of the asking verbs
        from zmart_stream.app.service import run_daemon  # noqa: PLC0415  off the start path of the asking verbs

    sources = Sources(file=config, sets=tuple(sets or ()), sandbox=on_sandbox)
    raise typer.Exit(run_daemon(sources, run_for_s=for_s, capture=capture))


def sandbox(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve https and wss, by a throw-away authority of its own.")
    ] = False,
    cert: Annotated[str | None, typer.Option(metavar="FILE", help="PEM certificate to use with --tls.")] = None,
    key: Annotated[str | None, typer.Option(metavar="FILE", help="PEM key of that certificate.")] = None,
    ca_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Where the throw-away authority goes.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the synthetic market.")] = None,
    contracts: Annotated[int | None, typer.Option(help="Number of synthetic contracts.")] = None,
    speed: Annotated[str | None, typer.Option(metavar="K|max", help="Market seconds per real second.")] = None,
    quota_factor: Annotated[float | None, typer.Option(help="Multiplies the venue's limits.")] = None,
    market: Annotated[
        str | None, typer.Option(metavar="synthetic|PATH", help="Market: synthetic, or an OHLCV record.")
    ] = None,
    history: Annotated[
        str | None, typer.Option(metavar="D", help="How far into a record to start: days, or 36h, 15d.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="T", help="Venue time to start at: milliseconds or ISO 8601.")
    ] = None,
    scenario: Annotated[str | None, typer.Option(metavar="FILE", help="TOML file of scripted faults.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any other setting, such as unknowns.kline_cap=200; repeatable."
        ),
    ] = None,
) -> None:
    """Run the sandbox venue alone: KuCoin futures REST and websocket on one port."""
    given = {
        "port": port, "host": host, "tls": tls or None, "cert": cert, "key": key, "ca_dir": ca_dir, "seed": seed,
        "contracts": contracts, "speed": _speed(speed), "quota_factor": quota_factor, "market": market,
        "history": _days(history), "start": start, "scenario": scenario,
    }  # fmt: skip
    from zmart_stream.sandbox.settings import settings_from  # noqa: PLC0415  off the start path of the asking verbs

    values = {name: value for name, value in given.items() if value is not None}
    settings = settings_from(_joined(values, sets or []))
    with _loading():
        from zmart_stream.sandbox.main import run_sandbox  # noqa: PLC0415  the market's libraries, once they are needed

    try:
        run_sandbox(settings)
    except OSError as error:
        raise ZmartError(f"sandbox: cannot serve on port {settings.port}: {error.strerror or error}") from None


def replay(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a capture.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with the derived messages that were recorded.")
    ] = False,
) -> None:
    """Run the core over a capture."""
    from zmart_stream.app.service import run_replay  # noqa: PLC0415  off the start path of the asking verbs

    raise typer.Exit(run_replay(directory, verify=verify, say=typer.echo))


@contextmanager
def _loading() -> Iterator[None]:
    """A thousand modules come and none of them goes: looking for garbage among them would cost a fifth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def duration_s(text: str, option: str) -> float:
    """Seconds of `30s`, `10m`, `2h` or a plain number. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"{option}: {text!r} is no duration; write 30s, 10m or 2h")
    return float(match[1]) * _UNITS_S[match[2]]


def _days(text: str | None) -> float | None:
    if text is None:
        return None
    plain = re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) is not None
    return float(text) if plain else duration_s(text, "--history") / _DAY_S


def _speed(text: str | None) -> float | str | None:
    if text is None or text == "max":
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--speed: {text!r} is neither a number nor max") from None


def _joined(values: dict[str, Any], sets: list[str]) -> dict[str, Any]:
    """The options, and over them what `--set` gives, tables by dotted keys."""
    if not sets:
        return values
    from zmart_stream.app.config import parse_value  # noqa: PLC0415  off the start path of the asking verbs

    for text in sets:
        dotted, equals, value = text.partition("=")
        *tables, last = dotted.strip().split(".")
        if not equals or not last:
            raise UsageError(f"--set {text}: write it as key=value or section.key=value")
        node = values
        for name in tables:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise UsageError(f"--set {text}: {name} is not a table")
        node[last] = parse_value(value.strip())
    return values
