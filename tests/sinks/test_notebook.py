"""Runs in the outputs of a notebook's cell, captured by IPython itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import pytest
from IPython.utils.capture import capture_output

from runstream import NotebookView, RawEvent, RunStatus, RunStream, fold
from runstream.sinks.notebook import MAX_TEXT, state_html
from runstream.sinks.status_tones import LIGHT_COLOURS, tone_of
from runstream.testing import Conversation, script

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def shell() -> Any:
    """The shell of a notebook's kernel; it takes the outputs of `display`."""
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell.instance()
    yield made
    InteractiveShell.clear_instance()


async def slowly(events: list[RawEvent]) -> AsyncIterator[RawEvent]:
    for event in events:
        yield event
        await asyncio.sleep(0.002)


async def test_a_run_is_one_output_that_grows(shell: Any) -> None:
    """The first state makes an output; later ones replace it, not more often than `rate`; the last one is whole."""
    runs = [script(f"run_{number}").say("Hello, you there. " * 3).end() for number in (1, 2)]
    with capture_output() as captured:
        async with RunStream(slowly(Conversation(runs).raw_events())) as stream, NotebookView(stream, rate=100):
            await stream.results()
    outputs = [output for output in captured.outputs if "text/html" in output.data]
    first = [output for output in outputs if not output.update]
    assert len(first) == 2
    assert len(outputs) > 4
    last = {output.transient["display_id"]: output.data["text/html"] for output in outputs}
    assert len(last) == 2
    for html in last.values():
        assert "completed" in html
        assert "Hello, you there. " * 3 in html


async def test_few_updates_for_many_states(shell: Any) -> None:
    """Of states between two updates only the latest is shown."""
    events = script("run_1").say("abc" * 100).end().raw_events()
    with capture_output() as captured:
        async with RunStream(events) as stream, NotebookView(stream, rate=1):
            await stream.result()
    assert 1 <= len(captured.outputs) <= 3


async def test_runs_are_bounded(shell: Any) -> None:
    """Further runs are not shown."""
    runs = [script(f"run_{number}").say("a").end() for number in range(5)]
    with capture_output() as captured:
        async with RunStream(Conversation(runs).raw_events()) as stream, NotebookView(stream, max_runs=2):
            await stream.results()
    assert len({output.transient["display_id"] for output in captured.outputs}) == 2


def test_what_a_run_says_is_no_markup() -> None:
    """Ids, names, arguments and texts are escaped."""
    run = script("run_1", model=EVIL).call(**{EVIL: {"a": EVIL}}).answer(EVIL).reason(EVIL).say(EVIL).end()
    html = state_html(fold(run.raw_events()).runs[0])
    assert EVIL not in html
    assert html.count("&lt;script&gt;") >= 4


async def test_an_interrupted_run_says_so(shell: Any) -> None:
    """What is newer than the status is shown in its place."""
    events = script("run_1").say("Half a").raw_events()
    with capture_output() as captured:
        async with RunStream(events) as stream, NotebookView(stream, rate=100):
            async for _ in stream:
                pass
    assert "interrupted" in captured.outputs[-1].data["text/html"]


def test_ipython_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without IPython the message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "IPython", None)
    with pytest.raises(ImportError, match="pip install ipython"):
        NotebookView(RunStream([]))


def test_what_is_cut_has_a_mark() -> None:
    """Long arguments, and a text of which only the end is shown."""
    run = script("run_1").call(search={"query": "x" * 600}).answer("y").say("z" * (MAX_TEXT + 1)).end()
    html = state_html(fold(run.raw_events()).runs[0])
    assert "x…</small>" in html
    assert ">…zz" in html


def test_a_status_has_one_colour_on_the_page_and_in_a_notebook() -> None:
    """The colours of the notebook are those of the page's style sheet in its light colours."""
    sheet = files("runstream.sinks.page").joinpath("static", "page.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"--([a-z]+): (#[0-9a-f]+);", sheet.partition("@media")[0]))
    assert {tone: light[tone or "live"] for tone in LIGHT_COLOURS} == LIGHT_COLOURS
    assert {tone_of(status) for status in RunStatus} == LIGHT_COLOURS.keys()
