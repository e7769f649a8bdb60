"""The live view of the commands, on a terminal: what a person sees, how it ends, and when lines are better."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runstream.cli.exit_codes import ExitCode
from runstream.cli.screen import ScreenView
from runstream.engine.engine import Engine
from runstream.sinks.terminal.live_view import Display
from tests.cli.support import body, cut_short, ended, start_cli, waiting
from tests.support.serving import serving_process

if sys.platform == "win32":
    pytest.skip("pseudo-terminals of POSIX", allow_module_level=True)

from tests.support.pseudo_terminal import on_a_terminal

pytestmark = pytest.mark.slow

HINT = "pip install 'runstream[cli]'"
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]|\x1b\[[0-9;]*9[0-7]")
WITHOUT_RICH = "import sys; sys.modules['rich'] = None; from runstream.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(("width", "height"), [(40, 20), (80, 24), (200, 50)])
def test_the_demo(width: int, height: int) -> None:
    """Runs appear, go on and end; in the end each of the eight has been left once, and the counts are right."""
    with on_a_terminal("demo", "--pace", "8", width=width, height=height) as session:
        screen = session.terminal
        # Whatever state it is caught in: on a busy machine the later ones may be over between two looks.
        session.until(lambda: any(re.search("queued|in_progress|requires_action|step", line) for line in screen.screen))
        assert not screen.cursor_shown
        assert session.end() == ExitCode.COMPLETED
    assert screen.cursor_shown
    heads = [line for line in screen.lines if re.match(r"[✓✗!-] ", line)]
    assert sorted(line.split()[2] for line in heads) == [
        *("cancelled", "completed", "completed", "completed", "completed", "expired", "failed", "incomplete"),
    ]
    assert "8 runs · 4 completed" in " · ".join(screen.lines[-5:])
    assert "2,923 tokens" in " · ".join(screen.lines[-5:])
    assert not [line for line in screen.lines if "runstream:" in line]


def test_watching_a_live_stream() -> None:
    """Text grows in its place."""
    with serving_process("text.sse", speed=3) as (url, _), on_a_terminal("watch", url) as session:
        screen = session.terminal
        session.until(lambda: any("│ Pack for" in line for line in screen.screen))
        assert "in_progress" in screen.screen[0]
        session.until(lambda: any("the book need not." in line for line in screen.screen))
        assert session.end() == ExitCode.COMPLETED
    assert sum("Pack for" in line for line in screen.lines) == 1


def test_replay_gives_the_exit_code_that_it_gives_otherwise(recording: Callable) -> None:
    """One failed, one cut off, one that waits: all are left on the screen, with their fate."""
    path = recording(ended("a", "failed"), cut_short("b"), waiting("c"))
    with on_a_terminal("replay", path) as session:
        assert session.end() == ExitCode.LEFT_LIVE
    said = [line.split()[1:3] for line in session.terminal.lines if re.match(r"[✗?] ", line)]
    assert said == [["run_a_0001", "failed"], ["run_b_0001", "interrupted"], ["run_c_0001", "requires_action"]]
    assert "3 runs · 1 waiting · 1 interrupted · 1 failed" in session.terminal.lines[-2]


def test_a_pipe_that_pauses_is_drawn_meanwhile(tmp_path: Path) -> None:
    """`curl | runstream replay -`: what has come is shown while the next event is awaited; Ctrl-C leaves it there."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with on_a_terminal("replay", str(path)) as session, path.open("wb") as pipe:
        pipe.write(body(cut_short("a")))
        pipe.flush()
        screen = session.terminal
        session.until(lambda: screen.screen and "in_progress" in screen.screen[0])
        first = screen.screen[0]
        session.until(lambda: screen.screen[0] != first)  # its time goes on, though nothing comes
        session.type(b"\x03")
        assert session.end() == ExitCode.CTRL_C
    assert screen.cursor_shown
    assert "Traceback" not in session.written
    assert any("interrupted" in line for line in screen.lines)


def test_ctrl_c_while_watching() -> None:
    """What was seen stays, the cursor is back, and the code is the shell's."""
    with serving_process("text.sse", speed=0.3) as (url, _), on_a_terminal("watch", url) as session:
        screen = session.terminal
        session.until(lambda: any("│ Pack" in line for line in screen.screen))
        session.type(b"\x03")
        assert session.end() == ExitCode.CTRL_C
    assert screen.cursor_shown
    assert "Traceback" not in session.written
    assert any("│ Pack" in line for line in screen.lines)


def test_terminated(tmp_path: Path) -> None:
    """`kill`, too, leaves the terminal as it was."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with serving_process("text.sse", speed=0.3) as (url, _), on_a_terminal("watch", url) as session:
        session.until(lambda: any("│ Pack" in line for line in session.terminal.screen))
        session.process.terminate()
        assert session.end() == 143
    assert session.terminal.cursor_shown
    assert "Traceback" not in session.written
    with on_a_terminal("replay", str(path)) as session, path.open("wb") as pipe:
        pipe.write(body(cut_short("a")))
        pipe.flush()
        session.until(lambda: any("in_progress" in line for line in session.terminal.screen))
        session.process.terminate()
        assert session.end() == 143
    assert session.terminal.cursor_shown
    assert "Traceback" not in session.written


def test_a_terminal_that_is_closed() -> None:
    """The window is closed: the command ends by itself."""
    with serving_process("text.sse", speed=0.1) as (url, _), on_a_terminal("watch", url) as session:
        session.until(lambda: session.terminal.screen)
        session.hang_up()
        assert session.process.wait(60) != 0


def test_a_drawing_that_fails_is_told_and_ends_the_drawing_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is read goes on, and tells its exit code; no thread prints a traceback."""

    def fail(*_: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr(Display, "draw", fail)
    said = ""
    with ScreenView().reading(Engine()):
        end = time.monotonic() + 60
        while "the live view has ended: OSError" not in (said := said + capsys.readouterr().err):
            assert time.monotonic() < end, said
            time.sleep(0.02)
    assert "Traceback" not in said


def test_reports_appear_above_and_in_their_file(tmp_path: Path) -> None:
    """Rejected input is reported above the view; where standard error is a file, there."""
    path = tmp_path / "bad.sse"
    path.write_bytes(b"event: thread.run.created\ndata: {}\n\n" + body(ended("a")))
    with on_a_terminal("replay", str(path), width=300) as session:
        assert session.end() == ExitCode.COMPLETED
    lines = session.terminal.lines
    assert sum(re.match(r"runstream: .*bad\.sse:\d+: rejected: ", line) is not None for line in lines) == 1, lines
    assert any("1 rejected · 0 duplicates" in line for line in lines)
    log = tmp_path / "log"
    with log.open("wb") as file, on_a_terminal("replay", str(path), stderr=file.fileno()) as session:
        assert session.end() == ExitCode.COMPLETED
    assert "rejected" in log.read_text()
    assert not any("bad.sse" in line for line in session.terminal.lines)


def test_plain_lines_on_request(recording: Callable) -> None:
    """One line for each signal, in colour; and what counts the runs is on standard error again."""
    with on_a_terminal("replay", "--plain", recording(ended("a"))) as session:
        assert session.end() == ExitCode.COMPLETED
    assert session.terminal.lines[0].split()[:2] == ["run_a_0001", "run.created"]
    assert COLOUR.search(session.written)
    assert session.terminal.lines[-1] == "runstream: 1 run: 1 completed"
    assert HINT not in session.written


def test_json_is_never_drawn(recording: Callable) -> None:
    with on_a_terminal("replay", "--json", recording(ended("a")), width=500) as session:
        assert session.end() == ExitCode.COMPLETED
    assert session.terminal.lines[0].startswith('{"type":"')
    assert "\x1b" not in session.written


def test_a_dumb_terminal_gets_lines(recording: Callable) -> None:
    with on_a_terminal("replay", recording(ended("a")), env={"TERM": "dumb"}) as session:
        assert session.end() == ExitCode.COMPLETED
    assert session.terminal.lines[0].split()[:2] == ["run_a_0001", "run.created"]
    assert "\x1b" not in session.written


def test_no_color(recording: Callable) -> None:
    """The view without colours."""
    path = recording(ended("a", "failed"))
    with on_a_terminal("replay", path, env={"NO_COLOR": "1"}) as session:
        assert session.end() == ExitCode.NOT_COMPLETED
    assert any("failed" in line for line in session.terminal.lines)
    assert not COLOUR.search(session.written)
    with on_a_terminal("replay", path) as session:
        session.end()
    assert COLOUR.search(session.written)


def test_without_rich_lines_and_one_hint(recording: Callable) -> None:
    """On a terminal, unless lines were asked for."""
    path = recording(ended("a"))
    with on_a_terminal("replay", path, code=WITHOUT_RICH) as session:
        assert session.end() == ExitCode.COMPLETED
    assert any("run.created" in line for line in session.terminal.lines)
    assert sum(HINT in line for line in session.terminal.lines) == 1
    with on_a_terminal("replay", "--plain", path, code=WITHOUT_RICH) as session:
        assert session.end() == ExitCode.COMPLETED
    assert HINT not in session.written
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_RICH, "replay", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert HINT not in found.stderr


def test_a_pipe_gets_what_it_got_without_rich(recording: Callable) -> None:
    """Not a byte of control, whatever the environment says of colours."""
    path = recording(ended("a"))
    with start_cli("replay", path, env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}) as process:
        out, _ = process.communicate(timeout=60)
    assert b"\x1b" not in out
    assert b"run.completed" in out


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_a_real_terminal_that_is_resized(tmp_path: Path) -> None:
    """In tmux: narrower and wider while it draws. tmux tells the program late, so a piece of what was drawn in between
    may be left; what stays is there once, and the end is whole.
    """
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-f", os.devnull]
    log = tmp_path / "code"
    command = f"{sys.executable} -m runstream demo --pace 3; echo $? > {log}; exec sleep 60"
    env = {name: value for name, value in os.environ.items() if name not in {"TMUX", "NO_COLOR", "COLUMNS", "LINES"}}

    def run(*args: str) -> str:
        found = subprocess.run([*tmux, *args], capture_output=True, text=True, timeout=60, check=True, env=env)
        return found.stdout

    run("new-session", "-d", "-x", "110", "-y", "45", command)
    try:
        for width in (70, 50, 90, 110):
            time.sleep(0.5)
            run("resize-window", "-x", str(width), "-y", "45")
        end = time.monotonic() + 60
        while not log.exists() or not log.read_text().strip():
            assert time.monotonic() < end
            time.sleep(0.1)
        shown = run("capture-pane", "-p", "-S", "-200").splitlines()
        cursor = run("display-message", "-p", "#{cursor_flag}").strip()
    finally:
        run("kill-server")
    assert log.read_text().strip() == "0"
    assert cursor == "1"
    heads = [line for line in shown if re.match(r"[✓✗!-] +…?\w+_0001 ", line)]
    assert len(heads) == 8, shown
    last = [line for line in shown if line.strip()][-4:]
    assert any(line.startswith("8 runs · 4 completed") for line in last), shown
    assert last[-1].endswith("s")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
@pytest.mark.parametrize("command", ["watch {url}", "replay --speed 0.3 {path}"])
def test_ctrl_z_gives_the_terminal_back(command: str, tmp_path: Path, recording: Callable) -> None:
    """The shell has its cursor; `fg` goes on below what the shell has written, and to the end."""
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-f", os.devnull]
    env = {name: value for name, value in os.environ.items() if name not in {"TMUX", "NO_COLOR", "COLUMNS", "LINES"}}

    def run(*args: str) -> str:
        found = subprocess.run([*tmux, *args], capture_output=True, text=True, timeout=60, check=True, env=env)
        return found.stdout

    def screen() -> str:
        return run("capture-pane", "-p", "-S", "-200")

    def until(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, screen()
            time.sleep(0.1)

    def cursor() -> bool:
        return run("display-message", "-p", "#{cursor_flag}").strip() == "1"

    path = recording(ended("a", text="word " * 20))
    with serving_process("text.sse", speed=1) as (url, _):
        run("new-session", "-d", "-x", "80", "-y", "30", "bash --norc --noprofile")
        try:
            told = command.format(url=url, path=path)
            run("send-keys", f"{sys.executable} -m runstream {told}; echo code $?", "Enter")
            until(lambda: "in_progress" in screen())
            assert not cursor()
            run("send-keys", "C-z")
            until(lambda: "Stopped" in screen())
            until(cursor)
            run("send-keys", "clear; echo between", "Enter")
            until(lambda: re.search("^between$", screen(), re.MULTILINE))
            run("send-keys", "fg; echo code $?", "Enter")
            until(lambda: re.search(r"^code 0", screen(), re.MULTILINE))
            shown = screen()
            assert cursor()
        finally:
            run("kill-server")
    assert re.search("^between$", shown, re.MULTILINE)
    assert len(re.findall(r"^✓ ", shown, re.MULTILINE)) == 1, shown
    assert "1 run · 1 completed" in shown
    assert "Traceback" not in shown


def test_the_keys_of_a_terminal() -> None:
    """A filter hides the run, Escape shows it again, Enter shows it in full, q ends the command as Ctrl-C does."""
    with serving_process("text.sse", speed=0.05) as (url, _), on_a_terminal("watch", url) as session:
        screen = session.terminal
        session.until(lambda: any("in_progress" in line for line in screen.screen))
        session.until(lambda: any("q quit" in line for line in screen.screen))
        session.type(b"/nothing")
        session.until(lambda: any("0 of 1" in line for line in screen.screen))
        assert not any("in_progress" in line for line in screen.screen)
        session.type(b"\x1b")
        session.until(lambda: any("in_progress" in line for line in screen.screen))
        session.type(b"j\r")
        session.until(lambda: any("the end" in line for line in screen.screen))
        session.type(b"q")
        assert session.end() == ExitCode.CTRL_C
    assert screen.cursor_shown
