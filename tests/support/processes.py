"""Starts a module of the tests as a server in a process of its own.

The server prints one line, usually its URL, and serves until its standard input is closed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["server_process"]


@contextmanager
def server_process(
    module: str, *args: object, request: bytes = b"", timeout: float = 25.0, kill: bool = False
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a server; yields its first line and its process. At the end it is stopped.

    Args:
        module: The dotted name of the module.
        args: Its arguments.
        request: Bytes that are written to its standard input at once.
        timeout: How long it may take to stop (seconds), before it is killed.
        kill: True to kill it at the end, without a stop.
    """
    with subprocess.Popen(
        [sys.executable, "-m", module, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(request)
            process.stdin.flush()
            line = process.stdout.readline().decode().strip()
            assert line, f"{module} has not started"
            yield line, process
        finally:
            if kill:
                process.kill()
            try:
                process.communicate(timeout=timeout)
            finally:
                process.kill()
