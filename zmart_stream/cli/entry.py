"""The entry point: runs a verb and turns what happens into an exit code.

0 success, SIGINT and SIGTERM included where the daemon runs; 1 fault; 64 usage; 69 daemon not reachable;
78 configuration.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from zmart_stream import __version__
from zmart_stream.cli import asking, book, configuring, doctoring, following, notifying, running, signalling, tokens
from zmart_stream.domain.errors import ConfigError, DaemonUnreachableError, UsageError, ZmartError

EXIT_FAULT = 1
EXIT_USAGE = 64
EXIT_UNREACHABLE = 69
EXIT_CONFIG = 78
_LIBRARY_USAGE = 2

DAEMONS = ("run", "sandbox")
"""Verbs that do not end because nobody reads what they print."""


class _Verbs(TyperGroup):
    """Ends well when the reader has enough, as in `... | head -1`."""

    def make_context(self, *args: Any, **rest: Any) -> Any:
        """Read the arguments, which may print the help."""
        with _enough():
            return super().make_context(*args, **rest)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        if ctx.invoked_subcommand in DAEMONS:
            return super().invoke(ctx)
        with _enough():
            return super().invoke(ctx)


@contextmanager
def _enough() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _hush(sys.stdout)
        raise typer.Exit from None


app = typer.Typer(
    name="zmart-stream",
    cls=_Verbs,
    help="Scores every KuCoin futures contract as the market moves and keeps a book of the best ten.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"zmart-stream {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Scores every KuCoin futures contract as the market moves and keeps a book of the best ten."""


running.add_to(app)
asking.add_to(app)
book.add_to(app)
signalling.add_to(app)
following.add_to(app)
notifying.add_to(app)
configuring.add_to(app)
tokens.add_to(app)
doctoring.add_to(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` without arguments); returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=given, prog_name="zmart-stream")
    except SystemExit as end:
        return _code(end.code)
    except ConfigError as error:
        return _tell(*error.problems, code=EXIT_CONFIG)
    except UsageError as error:
        return _tell(str(error), code=EXIT_USAGE)
    except DaemonUnreachableError as error:
        return _tell(str(error), code=EXIT_UNREACHABLE)
    except ZmartError as error:
        return _tell(str(error), code=EXIT_FAULT)
    except KeyboardInterrupt:
        return EXIT_FAULT
    return 0


def _code(said: str | int | None) -> int:
    """The parser ends with 2 on wrong usage; nothing else here does."""
    if said is None:
        return 0
    code = said if isinstance(said, int) else EXIT_FAULT
    return EXIT_USAGE if code == _LIBRARY_USAGE else code


def _tell(*lines: str, code: int) -> int:
    try:
        for line in lines:
            typer.echo(f"zmart-stream: {line}", err=True)
    except BrokenPipeError:
        _hush(sys.stderr)
    return code


def _hush(stream: TextIO) -> None:
    """What is still to be written to a pipe that nobody reads goes nowhere, so that the end is quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
