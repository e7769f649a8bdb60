"""`record`: a live stream becomes a file, and the file the same stream again; and `replay --speed`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runstream import ConnectionEvent, RawEvent, demo, fold, read_recording
from runstream.cli.exit_codes import ExitCode
from tests.cli.support import asked_and_answered, call_cli, cut_short, ended, lines, run_cli, start_cli, waiting
from tests.cli.test_watch import facts, sending, serving
from tests.support.http_peer import sse_process
from tests.support.wire import Event

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("suffix", [".jsonl", ".sse", ".ndjson"])
def test_recorded_and_replayed(recording: Callable, tmp_path: Path, suffix: str) -> None:
    """Across four processes: served, recorded, replayed and served again, the signals stay what they are."""
    asked, answered = asked_and_answered("pair")
    original = recording([*asked, *answered], ended("other", "failed"))
    target = str(tmp_path / f"recorded{suffix}")
    with serving("--speed", "0", original) as url:
        # By its name alone: of a long path the end is not shown.
        here = {**os.environ, "PYTHONPATH": str(ROOT)}
        found = run_cli("record", url, "-o", os.path.basename(target), cwd=tmp_path, env=here)
    assert found.returncode == ExitCode.NOT_COMPLETED
    assert found.stdout == ""
    assert "2 runs: 1 completed, 1 failed" in found.stderr
    assert f"{os.path.basename(target)}: " in found.stderr
    expected = facts(lines(call_cli("replay", "--json", original).out))
    replayed = run_cli("replay", "--json", target)
    assert replayed.returncode == ExitCode.NOT_COMPLETED
    assert facts(lines(replayed.stdout)) == expected
    assert lines(replayed.stdout)[0]["type"] == "source.connected"
    with serving("--speed", "0", target) as url:
        assert facts(lines(run_cli("watch", "--json", url).stdout)) == expected
    assert call_cli("fold", "--json", target).out == call_cli("fold", "--json", original).out


@pytest.mark.parametrize("suffix", [".jsonl", ".sse"])
def test_server_sent_events(tmp_path: Path, suffix: str) -> None:
    """What watch reads over HTTP, record writes down: with the ids and names of its blocks."""
    target = tmp_path / f"run{suffix}"
    with sse_process("text.sse") as (url, _):
        found = run_cli("record", url, "-o", str(target))
    assert found.returncode == ExitCode.COMPLETED, found.stderr
    recorded = [item for item in read_recording(target) if isinstance(item, RawEvent)]
    original = [item for item in read_recording(demo.load("text.sse")) if isinstance(item, RawEvent)]
    assert [(item.event, item.data) for item in recorded] == [(item.event, item.data) for item in original]
    assert [item.id for item in recorded] == [str(number) for number in range(1, len(original) + 1)]
    assert all(item.at is not None for item in recorded)


@pytest.mark.parametrize(
    ("events", "code"),
    [(ended("a"), 0), (ended("f", "failed"), 1), ([], 1), (waiting("w"), 3), (cut_short("c"), 4)],
    ids=["completed", "failed", "nothing", "waiting", "cut"],
)
def test_exit_codes(cli: Callable, tmp_path: Path, events: list[Event], code: int) -> None:
    """Those of watch: a recording of half a run never passes for success."""
    with sending(list(events)) as url:
        assert cli("record", url, "-o", str(tmp_path / "run.jsonl")).code == code


def test_headers_and_redaction(cli: Callable, tmp_path: Path) -> None:
    """Headers go out with the request; with --redact nothing that was said is in the file."""
    seen: dict[str, str] = {}
    target = tmp_path / "run.jsonl"
    with sending(ended("a", text="A word of mouth."), headers=seen) as url:
        found = cli("record", url, "-o", str(target), "--redact", "-H", "Authorization: Bearer s3cret")
    assert found.code == ExitCode.COMPLETED
    assert seen["authorization"] == "Bearer s3cret"
    assert "s3cret" not in found.err + target.read_text()
    assert "mouth" not in target.read_text()
    assert fold(read_recording(target)).runs[0].text == "x" * 16


def test_a_file_that_exists(cli: Callable, tmp_path: Path) -> None:
    """Refused before anything is connected, unless --force is given."""
    target = tmp_path / "run.jsonl"
    target.write_text("precious")
    found = cli("record", "ws://127.0.0.1:1", "-o", str(target))
    assert found.code == ExitCode.USAGE
    assert "run.jsonl: exists already, and is not overwritten; --force replaces it" in found.err
    assert target.read_text() == "precious"
    with sending(ended("a")) as url:
        assert cli("record", url, "-o", str(target), "--force").code == ExitCode.COMPLETED
    assert "precious" not in target.read_text()
    assert fold(read_recording(target)).runs[0].run.is_complete


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("ws://127.0.0.1:1", "-o", "run.txt"), "name the file .jsonl"),
        (("ws://127.0.0.1:1", "-o", "missing/run.jsonl"), "can't be opened (No such file or directory)"),
        (("ftp://127.0.0.1:1", "-o", "run.jsonl"), "wss://host/path"),
    ],
)
def test_what_can_not_be_recorded(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], words: str
) -> None:
    """Said at once, in words, and no file is left behind."""
    monkeypatch.chdir(tmp_path)
    found = cli("record", *args)
    assert found.code == ExitCode.USAGE
    assert words in found.err
    assert "Traceback" not in found.err
    assert not list(tmp_path.iterdir())


def test_nobody_listens(cli: Callable, tmp_path: Path) -> None:
    """No empty file stays that the next attempt would stumble over."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = cli("record", f"ws://127.0.0.1:{port}/", "-o", str(tmp_path / "run.jsonl"))
    assert found.code == ExitCode.NO_CONNECTION
    assert found.err.count("Could not connect") == 1
    assert "no run was seen" not in found.err
    assert "nothing was recorded" in found.err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_full(cli: Callable, tmp_path: Path) -> None:
    """A usage error with the system's own reason."""
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    with sending(ended("a")) as url:
        found = cli("record", url, "--force", "-o", str(tmp_path / "full.jsonl"))
    assert found.code == ExitCode.USAGE
    assert "can't be written (No space left on device)" in found.err
    assert "Traceback" not in found.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
class TestLeaving:
    """A recording can be ended, and the command killed, at any moment."""

    @pytest.mark.parametrize("suffix", [".jsonl", ".sse"])
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
    def test_the_file_is_whole(self, recording: Callable, tmp_path: Path, suffix: str, how: signal.Signals) -> None:
        """Ctrl-C gives 130 and a summary; whatever ends it, what came stands in the file."""
        target = tmp_path / f"recorded{suffix}"
        with (
            serving("--speed", "0.5", recording(ended("a", text="word " * 500))) as url,
            start_cli("record", url, "-o", str(target)) as process,
        ):
            deadline = time.monotonic() + 60
            while not (target.exists() and b"message.delta" in target.read_bytes()):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(how)
            _, err = process.communicate(timeout=60)
        if how == signal.SIGINT:
            assert process.returncode == ExitCode.CTRL_C, err
            assert b"entries, " in err
            assert b"Traceback" not in err
        items = list(read_recording(target))
        assert isinstance(items[0], ConnectionEvent)
        folded = fold(items)
        assert folded.runs[0].text.startswith("word")
        assert not folded.rejects


def test_progress_is_for_terminals_alone(recording: Callable, tmp_path: Path) -> None:
    """A pipe gets whole lines, at the end."""
    with serving("--speed", "0", recording(ended("a"))) as url:
        found = run_cli("record", url, "-o", str(tmp_path / "run.jsonl"))
    assert found.returncode == ExitCode.COMPLETED
    assert "\r" not in found.stderr
    assert "\x1b" not in found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals of POSIX")
def test_progress_on_a_terminal(recording: Callable, tmp_path: Path) -> None:
    """One line that is written over, with the count so far."""
    import pty

    target = str(tmp_path / "run.jsonl")
    master, slave = pty.openpty()
    try:
        with (
            serving("--speed", "0", recording(ended("a"))) as url,
            start_cli("record", url, "-o", target, stderr=slave, stdout=subprocess.DEVNULL) as process,
        ):
            process.wait(60)
        os.close(slave)
        slave = -1
        shown = b""
        try:
            while piece := os.read(master, 4096):
                shown += piece
        except OSError:
            pass  # the other end is closed
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)
    assert b"(Ctrl-C ends it)" in shown
    assert b"\r\x1b[K" in shown
    assert b"1 run: 1 completed" in shown


def test_replay_at_a_speed(recording: Callable, tmp_path: Path) -> None:
    """By default at once; with --speed as events came, so many times faster."""
    target = tmp_path / "run.jsonl"
    target.write_bytes(
        b'{"at":100.0,"event":"thread.run.created","data":{"id":"run_1","status":"queued"}}\n'
        b'{"at":104.0,"event":"thread.run.completed","data":{"id":"run_1","status":"completed"}}\n'
    )
    expected = run_cli("replay", "--json", str(target))
    started = time.monotonic()
    slow = run_cli("replay", "--json", "--speed", "8", str(target))
    assert time.monotonic() - started >= 0.5
    assert slow.stdout == expected.stdout
    assert [found["at"] for found in lines(slow.stdout)][:2] == [100.0, 100.0]
