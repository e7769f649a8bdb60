"""Starts a server that others wrote in a process of its own, waits until it answers, and ends it."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from tests.support.ports import free_port

__all__ = ["Server", "run_server"]

KEPT = frozenset({"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT"})
"""The environment variables that a server gets from this process; the rest could change its behaviour."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs.

    Attributes:
        url: Its address, without a slash at the end.
        port: Its port on 127.0.0.1.
        process: Its process, the leader of a process group of its own.
    """

    url: str
    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def run_server(
    arguments: Sequence[object],
    *,
    ready: str = "/",
    timeout: float = 90.0,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server on a free port of loopback; yields it once it answers HTTP, and ends it with all its processes.

    Args:
        arguments: The command; each ``{port}`` in it is replaced by the port.
        ready: The path that is asked until any HTTP response comes.
        timeout: Seconds until an answer must have come.
        cwd: The directory that the process runs in.
        environ: Environment variables in addition to `KEPT`.

    Raises:
        RuntimeError: The server ended, or gave no answer in time; the end of its output is in the message.
    """
    port = free_port()
    command = [str(argument).replace("{port}", str(port)) for argument in arguments]
    variables = {name: value for name, value in os.environ.items() if name in KEPT}
    variables |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **(environ or {})}
    with TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=variables,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + timeout
            while not _answers(port, ready):
                if process.poll() is not None or time.monotonic() > deadline:
                    state = "does not answer" if process.returncode is None else f"ended with {process.returncode}"
                    raise RuntimeError(f"{command[0]} {state}: {_end_of(output.fileno())}")
                time.sleep(0.05)
            yield Server(f"http://127.0.0.1:{port}", port, process)
        finally:
            _end(process)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        connection.getresponse().read(1)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group of a server: first by SIGTERM, after five seconds by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait(timeout=5)


def _end_of(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, 2_000, max(0, size - 2_000)).decode(errors="replace")
