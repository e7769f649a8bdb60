"""The live view of a stream: drawn at a bounded rate from the latest states, and never in the stream's way."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from runstream import LiveView, RawEvent, RunStream
from runstream.testing import script
from tests.support.emulator import Terminal


def console(width: int = 80, height: int = 24, *, terminal: bool = True, file: Any = None) -> Console:
    return Console(
        file=file or io.StringIO(), width=width, height=height, force_terminal=terminal, legacy_windows=False
    )


def written(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def shown(console: Console) -> Terminal:
    terminal = Terminal(console.width, console.height)
    terminal.feed(written(console))
    return terminal


async def until(condition: Any) -> None:
    """Wait until something is so, for ten seconds at most."""
    async with asyncio.timeout(25):
        while not condition():
            await asyncio.sleep(0.01)


class Held:
    """A source that gives some events, waits to be let go, and gives the rest."""

    def __init__(self, events: list[RawEvent], at: int) -> None:
        self.events, self.at = events, at
        self.go = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[RawEvent]:
        for event in self.events[: self.at]:
            yield event
        await self.go.wait()
        for event in self.events[self.at :]:
            yield event


async def test_a_run_as_it_goes_on_and_as_it_ends() -> None:
    events = script("run_a").start().say("Hello there, friend.").end().raw_events()
    source = Held(events, len(events) - 5)
    place = console()
    async with RunStream(source) as stream, LiveView(stream, place, rate=50) as view:
        assert isinstance(view, LiveView)
        stream.start()
        await until(lambda: "Hello there" in written(place))
        screen = shown(place)
        assert "in_progress" in screen.screen[0]
        assert "1 running" in screen.screen[-1]
        assert not screen.cursor_shown
        source.go.set()
        await stream.results()
    screen = shown(place)
    assert screen.lines[0].split()[:3] == ["✓", "run_a", "completed"]
    assert screen.lines[1] == "  │ Hello there, friend."
    assert "1 completed" in screen.lines[-1]
    assert sum("completed" in line for line in screen.lines) == 2
    assert screen.cursor_shown


async def test_tokens_are_not_drawn_one_by_one() -> None:
    """Thousands of them in a moment: a few frames."""
    events = script("run_a").start().say("word " * 5000).end().raw_events()
    place = console()
    started = time.monotonic()
    async with RunStream(events) as stream, LiveView(stream, place, rate=10):
        await stream.results()
    frames = written(place).count("0 duplicates")
    assert 1 <= frames <= (time.monotonic() - started) * 10 + 3


async def test_who_comes_late_sees_what_is_there() -> None:
    """Runs that are open are shown, those that have ended are counted."""
    ended = script("run_a").start().say("Old.").end().raw_events()
    open_events = script("run_b").start().say("Hello.").raw_events()
    source = Held([*ended, *open_events], len(ended) + len(open_events))
    place = console()
    async with RunStream(source) as stream:
        stream.start()
        await until(lambda: len(stream.latest) == 2 and "Hello." in stream.latest["run_b"].text)
        async with LiveView(stream, place):
            await until(lambda: "Hello." in written(place))
            assert "Old." not in written(place)
            assert "2 runs · 1 running · 1 completed" in shown(place).screen[-1]


async def test_where_there_is_no_terminal_only_ended_runs_are_written() -> None:
    """No colours, no cursor movements."""
    place = console(terminal=False)
    events = script("run_a").start().say("Hello.").end().raw_events()
    async with RunStream(events) as stream, LiveView(stream, place):
        await stream.results()
    lines = written(place).splitlines()
    assert lines[0].split()[:3] == ["✓", "run_a", "completed"]
    assert "\x1b" not in written(place)
    assert "1 completed" in written(place)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
async def test_a_dumb_terminal_is_none(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    place = console()
    events = script("run_a").start().say("Hello.").end().raw_events()
    async with RunStream(events) as stream, LiveView(stream, place):
        await stream.results()
    assert "\x1b[2K" not in written(place)
    assert "\x1b[?25l" not in written(place)


async def test_runs_that_are_left_open_are_left_on_the_screen() -> None:
    """Also when the program leaves with an exception, which comes through."""
    place = console()
    events = script("run_a").start().say("Hello.").raw_events()

    async def leave() -> None:
        async with RunStream(Held(events, len(events))) as stream, LiveView(stream, place):
            stream.start()
            await until(lambda: "Hello." in written(place))
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        await leave()
    screen = shown(place)
    assert screen.lines[0].split()[1:3] == ["run_a", "in_progress"]
    assert screen.lines[1] == "  │ Hello."
    assert screen.cursor_shown


class Gone(io.StringIO):
    """A terminal that is gone after some writes."""

    left = 3

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("left", [1, 3])
async def test_a_terminal_that_is_gone_ends_the_view_alone(left: int) -> None:
    """The stream goes on; the log says what happened."""
    file = Gone()
    file.left = left
    got: list[object] = []
    stdout = sys.stdout
    with capture_logs() as logs:
        events = script("run_a").start().say("Hello.").end().raw_events()
        source = Held(events, 5)
        async with RunStream(source) as stream, LiveView(stream, console(file=file), rate=100):
            stream.signals.subscribe(got.append)
            stream.start()
            await until(lambda: logs)
            source.go.set()
            (run,) = await stream.results()
    assert run.is_complete
    assert got
    assert [(entry["event"], entry["error"]) for entry in logs] == [("live_view_failed", "OSError")]
    assert sys.stdout is stdout


def test_without_rich_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "runstream.sinks.terminal.renderer", None)
    with pytest.raises(ImportError, match=r"pip install 'runstream\[cli\]'"):
        LiveView(RunStream())


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_is_none(rate: float) -> None:
    with pytest.raises(ValueError, match="how often"):
        LiveView(RunStream(), console(), rate=rate)


def test_the_library_is_there_without_rich() -> None:
    """The extra is needed by those alone who use it."""
    code = "import sys; sys.modules['rich'] = None; import runstream; runstream.LiveView"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
