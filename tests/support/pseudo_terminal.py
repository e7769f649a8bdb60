"""Programs on a pseudo-terminal: started as a person starts them, and seen as a person sees them. POSIX only."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.support.emulator import Terminal

__all__ = ["Session", "on_a_terminal"]


class Session:
    """A program that runs, and the terminal that it writes to."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, terminal: Terminal) -> None:
        self.process = process
        self.terminal = terminal
        self.written = ""
        self.closed = False
        self._master = master
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""

    def until(self, condition: Callable[[], object], seconds: float = 20) -> None:
        """Read what is written until something is so, or the time is up (then the test fails)."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"not in {seconds} s; on the screen: {self.terminal.screen}"
            self._read(left)

    def end(self, seconds: float = 40) -> int:
        """Read until the program has ended; gives its exit code."""
        end = time.monotonic() + seconds
        while self._read(max(0.0, end - time.monotonic())):
            assert time.monotonic() < end, f"still running; on the screen: {self.terminal.screen}"
        return self.process.wait(60)

    def type(self, keys: bytes) -> None:
        """Type on the keyboard."""
        os.write(self._master, keys)

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self._master)
        self.closed = True

    def _read(self, seconds: float) -> bool:
        """Read once; ``False`` at the end."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux: the other end is closed
            data = b""
        text = self._rest + self._decoder.decode(data, final=not data)
        # A sequence that is not whole yet waits for its end.
        cut = text.rfind("\x1b")
        whole = cut < 0 or any(character.isalpha() for character in text[cut + 2 :])
        shown, self._rest = (text, "") if whole or not data else (text[:cut], text[cut:])
        self.written += shown
        self.terminal.feed(shown)
        return bool(data)


@contextmanager
def on_a_terminal(
    *args: str,
    width: int = 80,
    height: int = 24,
    env: Mapping[str, str] | None = None,
    code: str | None = None,
    stderr: int | None = None,
) -> Iterator[Session]:
    """Run ``python -m runstream`` with arguments on a terminal of its own.

    Args:
        args: The arguments.
        width: Columns.
        height: Lines.
        env: Variables of the environment that are set for it; none of the terminal's are inherited.
        code: Python code to run instead.
        stderr: Where standard error goes; to the terminal too by default.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_A_TERMINAL}
    program = [sys.executable, *(["-c", code] if code is not None else ["-m", "runstream"]), *args]
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _TAKE_TERMINAL, *program],
        stdin=slave,
        stdout=slave,
        stderr=slave if stderr is None else stderr,
        env={**inherited, "TERM": "xterm-256color", "PYTHONUTF8": "1", **(env or {})},
        start_new_session=True,
    )
    os.close(slave)
    session = Session(process, master, Terminal(width, height))
    try:
        yield session
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        if not session.closed:
            os.close(master)


_OF_A_TERMINAL = {
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
}

# Makes it the terminal that Ctrl-C is typed on, then becomes the program. Between fork and exec Python code may not
# run: the tests have threads.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
