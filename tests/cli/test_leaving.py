"""Leaving early: a closed pipe and Ctrl-C end a command at once, with their own codes and without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runstream.cli.exit_codes import ExitCode
from tests.cli.support import body, cut_short, ended, start_cli

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


@pytest.mark.parametrize("json", [(), ("--json",)], ids=["plain", "json"])
def test_closed_pipe(recording: Callable, json: tuple[str, ...]) -> None:
    """The reader goes away after one line, as `head -1` does."""
    long = recording(*(ended(f"n{n}", text="word " * 200) for n in range(30)))
    with start_cli("replay", *json, long) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == ExitCode.CLOSED_PIPE


@pytest.mark.parametrize("command", ["replay", "fold"])
def test_closed_from_the_start(recording: Callable, command: str) -> None:
    """The reader is gone before the first line; what little there is fits the buffer, and still is no success."""
    read, write = os.pipe()
    os.close(read)
    process = start_cli(command, recording(ended("a")), stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.CLOSED_PIPE
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


def test_head(recording: Callable) -> None:
    """In a real shell pipeline."""
    command = f"set -o pipefail; {sys.executable} -m runstream replay {recording(ended('a'))} | head -1"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout.startswith("run_a_0001        run.created")
    assert "Traceback" not in found.stderr
    assert found.returncode in {0, ExitCode.CLOSED_PIPE}


def test_standard_error_may_be_closed(recording: Callable) -> None:
    """Nobody listens to the reports: the result is what counts."""
    process = start_cli("replay", "--json", recording(cut_short("a")), stderr=None, closed=2)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.LEFT_LIVE
    assert b"run.interrupted" in out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["replay", "fold"])
def test_full_disk(recording: Callable, command: str) -> None:
    """Output that can't be written is said in words."""
    with open("/dev/full", "wb") as full, start_cli(command, recording(ended("a")), stdout=full) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.USAGE
    assert b"can't write: No space left on device" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("closed", [0, 1], ids=["stdin", "stdout"])
def test_closed_descriptors(closed: int) -> None:
    """Standard input or output that was closed before the start."""
    process = start_cli("replay", "-", closed=closed)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (ExitCode.CLOSED_PIPE if closed else ExitCode.USAGE)
    assert b"Traceback" not in err


@pytest.mark.parametrize("json", [(), ("--json",)], ids=["plain", "json"])
def test_ctrl_c(tmp_path: Path, json: tuple[str, ...]) -> None:
    """Ctrl-C while waiting for input: what was known is told, then 130."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start_cli("replay", *json, str(pipe))
    assert process.stdout is not None
    with pipe.open("wb") as writer:
        writer.write(body(cut_short("a")))
        writer.flush()
        assert b"run.created" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.CTRL_C
    assert b"run.interrupted" in out
    assert err == b""
