"""The command line: arguments, tables and exit codes. `main` is the entry point."""

from zmart_stream.cli.entry import main

__all__ = ["main"]
