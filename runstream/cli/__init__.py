"""The command line: arguments in, exit code out. `parser` has the grammar, and each command has a module."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

from runstream.cli.exit_codes import ExitCode, UsageError
from runstream.cli.parser import parse
from runstream.cli.stdio import complain

__all__ = ["main"]

_MODULES: Final = {
    "demo": "demo",
    "run": "run",
    "watch": "watch",
    "record": "record",
    "replay": "offline",
    "fold": "offline",
    "check": "check",
    "serve": "serve",
    "ingest": "cluster",
    "worker": "cluster",
    "nats": "cluster",
}
"""The module of each command. It is loaded when the command runs, so that help and usage errors appear at once."""
_SERVICES: Final = frozenset({"ingest", "worker"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: The arguments without the program's name; those of the process by default.
    """
    if sys.stdout is None:  # closed by the parent process
        return ExitCode.CLOSED_PIPE
    try:
        code = _run(argv)
        # Buffered output must fail here, not when the interpreter exits.
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return ExitCode.CTRL_C
    except BrokenPipeError:
        _discard_output()
        return ExitCode.CLOSED_PIPE
    except OSError as error:
        # Commands handle errors of their input themselves: this is an error of the output, for instance a full disk.
        _discard_output()
        complain(f"can't write: {error.strerror or type(error).__name__}")
        return ExitCode.USAGE


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = parse(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.COMPLETED
    _send_logs_to_stderr(service=args.command in _SERVICES)
    command: Callable[[Any], int] = getattr(import_module(f"runstream.cli.{_MODULES[args.command]}"), args.command)
    try:
        return int(command(args))
    except UsageError as error:
        sys.stdout.flush()
        complain(f"{args.command}: {error}")
        complain(f"try: runstream {args.command} --help")
        return ExitCode.USAGE


def _send_logs_to_stderr(*, service: bool) -> None:
    """Reserve standard output for signals. A library configures no logging, but the command is an application.

    Args:
        service: True for a command that runs without an end: its log is all that it says.
    """
    import logging

    import structlog

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="runstream: %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        # The other commands report in their own words the facts that the library logs for applications.
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if service else logging.CRITICAL),
    )


def _discard_output() -> None:
    """Redirect standard output to nowhere, so that the last flush of the interpreter reports no further error."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
