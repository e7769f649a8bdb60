"""The region at the end of the terminal: drawn over, scrolled under, and gone in the end."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.text import Text

from runstream.sinks.terminal.renderer import Renderer
from tests.support.emulator import Terminal


class Tty(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


class Seen:
    """A renderer on a console whose output a terminal shows."""

    def __init__(self, width: int = 40, height: int = 10, *, animated: bool = True, file: io.StringIO | None = None):
        self.file = file or io.StringIO()
        self.console = Console(file=self.file, width=width, height=height, force_terminal=True, legacy_windows=False)
        self.renderer = Renderer(self.console, animated=animated)
        self.terminal = Terminal(width, height)
        self._read = 0

    @property
    def screen(self) -> list[str]:
        return self._fed().screen

    @property
    def lines(self) -> list[str]:
        return self._fed().lines

    def _fed(self) -> Terminal:
        written = self.file.getvalue()
        self.terminal.feed(written[self._read :])
        self._read = len(written)
        return self.terminal


def texts(*lines: str) -> list[Text]:
    return [Text(line) for line in lines]


def test_it_is_drawn_over() -> None:
    seen = Seen()
    seen.renderer.start()
    seen.renderer.draw(texts("one", "two", "three"))
    assert seen.screen == ["one", "two", "three"]
    assert not seen.terminal.cursor_shown
    seen.renderer.draw(texts("1"))
    assert seen.screen == ["1"]
    seen.renderer.draw(texts("1", "2" * 40))
    assert seen.screen == ["1", "2" * 40]
    seen.renderer.stop()
    assert seen.screen == []
    assert seen.terminal.cursor_shown


def test_what_stays_scrolls_above() -> None:
    """Also when there is more of it than the screen has lines."""
    seen = Seen(height=5)
    seen.renderer.start()
    for number in range(20):
        seen.renderer.draw(texts("region", f"frame {number}"), texts(f"ended {number}"))
    assert seen.screen == ["ended 17", "ended 18", "ended 19", "region", "frame 19"]
    seen.renderer.stop(texts("the end"))
    assert seen.lines == [*(f"ended {number}" for number in range(20)), "the end"]


def test_the_same_again_writes_nothing() -> None:
    seen = Seen()
    seen.renderer.start()
    seen.renderer.draw(texts("one"))
    before = len(seen.file.getvalue())
    seen.renderer.draw(texts("one"))
    assert len(seen.file.getvalue()) == before
    seen.renderer.draw([Text("one", "red")])
    assert len(seen.file.getvalue()) > before


def test_given_back_for_a_while() -> None:
    """Nothing is drawn meanwhile, nothing is lost, and what others wrote stays."""
    seen = Seen()
    seen.renderer.start()
    seen.renderer.draw(texts("one", "two"))
    seen.renderer.suspend()
    assert seen.screen == ["one", "two"]
    assert seen.terminal.cursor_shown
    seen.renderer.draw(texts("three"), texts("ended"))
    assert seen.screen == ["one", "two"]
    seen.console.print("$ fg")
    seen.renderer.resume()
    seen.renderer.draw(texts("four"))
    assert seen.screen == ["one", "two", "$ fg", "ended", "four"]
    assert not seen.terminal.cursor_shown
    seen.renderer.suspend()
    seen.renderer.draw((), texts("late"))
    seen.renderer.stop(texts("the end"))
    assert seen.lines == ["one", "two", "$ fg", "ended", "four", "late", "the end"]
    assert seen.terminal.cursor_shown


@pytest.mark.parametrize("width", [10, 15, 39, 40, 80])
def test_a_window_that_changes_its_width(width: int) -> None:
    """A narrower one has wrapped the lines: all their rows are erased, and no row of what stays."""
    seen = Seen(height=30)
    seen.renderer.start()
    seen.renderer.draw(texts("a" * 40, "b" * 12, "", "c" * 25), texts("stays"))
    assert len(seen.screen) == 5
    seen.terminal.resize(width)
    seen.console.width = width
    seen.renderer.draw(texts("new", "lines"))
    assert seen.screen == ["stays", "new", "lines"]


def test_what_the_program_prints_goes_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """By whole lines; and what has no end yet, in the end. Markup is no markup there."""
    out = Tty()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", out)
    seen = Seen(file=out)
    seen.renderer.start()
    seen.renderer.draw(texts("region"))
    print("a line [red]of[/red] :smile:")
    print("x" * 50)
    print("\x1b[31mred\x1b[0m", file=sys.stderr)
    print("begun", end="", flush=True)
    assert seen.screen == ["a line [red]of[/red] :smile:", "x" * 40, "x" * 10, "red", "region"]
    assert sys.stdout.isatty()
    seen.console.print("through Rich")
    assert seen.screen[-2:] == ["through Rich", "region"]
    seen.renderer.stop(texts("the end"))
    assert sys.stdout is out
    assert sys.stderr is out
    assert seen.lines[-2:] == ["the end", "begun"]


def test_a_file_stays_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes elsewhere than to this terminal goes on there."""
    out, log = Tty(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", log)
    seen = Seen(file=out)
    seen.renderer.start()
    assert sys.stderr is log
    seen.renderer.stop()
    other = Seen()
    other.renderer.start()
    assert sys.stdout is out
    other.renderer.stop()


def test_without_a_region_lines_are_only_added() -> None:
    seen = Seen(animated=False)
    seen.renderer.start()
    seen.renderer.draw(texts("not shown"), texts("ended 1"))
    seen.renderer.draw(texts("not shown"))
    seen.renderer.stop(texts("the end"))
    assert seen.file.getvalue() == "ended 1\nthe end\n"


def test_release_gives_back_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Tty()
    monkeypatch.setattr(sys, "stdout", out)
    seen = Seen(file=out)
    seen.renderer.start()
    before = out.getvalue()
    seen.renderer.release()
    assert sys.stdout is out
    assert out.getvalue() == before
    seen.console.print("plain again")
    assert out.getvalue() == before + "plain again\n"
