"""The command line: arguments in, exit code out. `parser` has the grammar, one module each the commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

from runstream.cli.exit_codes import ExitCode, UsageError
from runstream.cli.output import complain
from runstream.cli.parser import parse

__all__ = ["main"]

_MODULES: Final = {
    "demo": "demo",
    "watch": "watch",
    "record": "record",
    "replay": "offline",
    "fold": "offline",
    "serve": "serve",
}
"""Where each command is: loaded once it is known which one, so that help and usage errors come at once."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: The arguments without the program's name; those of the process by default.
    """
    if sys.stdout is None:  # closed by whoever started the command
        return ExitCode.CLOSED_PIPE
    try:
        code = _run(argv)
        # What is still buffered must fail here, not in the interpreter's last moments.
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return ExitCode.CTRL_C
    except BrokenPipeError:
        _discard_output()
        return ExitCode.CLOSED_PIPE
    except OSError as error:
        # What a command reads is dealt with where it is read: this is the output, on a full disk for instance.
        _discard_output()
        complain(f"can't write: {error.strerror or type(error).__name__}")
        return ExitCode.USAGE


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = parse(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.COMPLETED
    _send_logs_to_stderr()
    command: Callable[[Any], int] = getattr(import_module(f"runstream.cli.{_MODULES[args.command]}"), args.command)
    try:
        return int(command(args))
    except UsageError as error:
        sys.stdout.flush()
        complain(f"{args.command}: {error}")
        complain(f"try: runstream {args.command} --help")
        return ExitCode.USAGE


def _send_logs_to_stderr() -> None:
    """Keep standard output for signals alone: a library configures no logging, an application does."""
    import logging

    import structlog

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="runstream: %(message)s")
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        # What the library logs for applications, the commands tell in their own words.
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
    )


def _discard_output() -> None:
    """Let the interpreter's own last flush go nowhere, instead of complaining about the pipe again."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
