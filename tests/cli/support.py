"""What the tests of the command line share: runs to feed it with, and ways to start it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple
from unittest import mock

import structlog

from runstream.cli import main
from tests.support.scripts import LabelledScript, stream_of, streams_of
from tests.support.wire import Event, sse

__all__ = [
    "ENDINGS",
    "Result",
    "asked_and_answered",
    "body",
    "call_cli",
    "cut_short",
    "ended",
    "lines",
    "run_cli",
    "start_cli",
    "waiting",
]

ENDINGS = ("completed", "failed", "cancelled", "expired", "incomplete")


def ended(label: str, status: str = "completed", text: str = "Hello there, friend.") -> list[Event]:
    """A run that said something and ended."""
    return stream_of(LabelledScript(label).write_message(text, prompt=3).finish(status))


def asked_and_answered(label: str) -> tuple[list[Event], list[Event]]:
    """A run over two streams: it asks for a function call, and completes once that is answered."""
    script = LabelledScript(label)
    step = script.call_functions(("get_time", {"zone": "UTC"}))
    script.require(step)
    script.submit(step, "noon", prompt=5).write_message("It is noon.", prompt=5).finish("completed")
    first, second = streams_of(script)
    return first, second


def waiting(label: str) -> list[Event]:
    """A run that asks for a function call and is left so."""
    return asked_and_answered(label)[0]


def cut_short(label: str, *, status: str = "in_progress", done: bool = False) -> list[Event]:
    """A run whose stream ends before the run does."""
    script = LabelledScript(label).start()
    if status != "in_progress":
        script.change(status)
    events = stream_of(script.done())
    return events if done else events[:-1]


def body(*streams: Sequence[Event]) -> bytes:
    """Streams as the bytes of one file."""
    return sse([event for stream in streams for event in stream])


def lines(text: str) -> list[dict[str, Any]]:
    """The objects of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


class Result(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


def call_cli(*args: str) -> Result:
    """Run the command line in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    # A command sets up logging for its own process; here it is a guest.
    with redirect_stdout(out), redirect_stderr(err), mock.patch("logging.basicConfig"):
        try:
            code = main(args)
        finally:
            structlog.reset_defaults()
    out.flush()
    return Result(code, out.buffer.getvalue().decode(), err.getvalue())  # type: ignore[attr-defined]


def start_cli(*args: str, closed: int | None = None, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command line in a process of its own, on POSIX with a closed descriptor if asked for."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    shell = [] if closed is None else ["sh", "-c", f'exec "$@" {closed}>&-', "sh"]
    return subprocess.Popen([*shell, sys.executable, "-m", "runstream", *args], **{**pipes, **options})


def run_cli(*args: str, input: bytes = b"", timeout: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-m", "runstream", *args],
        input=input,
        capture_output=True,
        timeout=timeout,
        check=False,
        **options,
    )
    return subprocess.CompletedProcess(found.args, found.returncode, found.stdout.decode(), found.stderr.decode())
