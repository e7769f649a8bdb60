"""What docs/ui-loops.md says works: its Tk program, on a display that nobody sees."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runstream import demo, fold, read_recording, serve_recording
from tests.support.display import display
from tests.support.serving import serving_process

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ui-loops.md").read_text(encoding="utf-8")
(TK,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "import tkinter" in block]

DRIVER = """
import faulthandler, json, sys, threading, tkinter
faulthandler.dump_traceback_later(60, exit=True)  # a window that does not close must not hang the test
url, close_at = sys.argv[1:]
program = {"__name__": "program"}
exec(compile(sys.stdin.read(), "ui-loops.md", "exec"), program)
told = {"threads": [], "states": 0, "bells": 0, "closed": False}

class Window(program["Window"]):
    def show(self, state):
        told["threads"].append(threading.current_thread() is threading.main_thread())
        told["states"] += 1
        super().show(state)
        told["status"], told["text"] = self.status["text"], self.text["text"]
        if close_at == "first":
            self.close()

    def ring(self, signal):
        told["threads"].append(threading.current_thread() is threading.main_thread())
        told["bells"] += 1
        super().ring(signal)

root = tkinter.Tk()
errors = []
root.report_callback_exception = lambda *error: errors.append(repr(error))
window = Window(root, url)

def look():
    if close_at == "end" and window.following.done() and told["bells"]:
        window.close()
    else:
        root.after(20, look)

look()
root.mainloop()
told["closed"], told["errors"] = True, errors
print(json.dumps(told))
"""


def run_tk(close_at: str, *, speed: float) -> dict[str, Any]:
    """Run the program of the page against a server in another process; gives what it saw."""
    if importlib.util.find_spec("tkinter") is None or importlib.util.find_spec("_tkinter") is None:
        pytest.skip("this Python has no tkinter (apt-get install python3-tk, or another build)")
    with display() as name, serving_process("text.sse", speed=speed) as (url, _):
        found = subprocess.run(
            [sys.executable, "-W", "error", "-c", DRIVER, url, close_at],
            input=TK,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            cwd=ROOT,
            env={**os.environ, "DISPLAY": name},
        )
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def test_tk_shows_the_run_on_its_own_thread() -> None:
    """States and signals arrive in Tk's thread, the last state is the run's, and the window closes afterwards."""
    told = run_tk("end", speed=0)
    (state,) = fold(read_recording(demo.load("text.sse"))).runs
    assert all(told["threads"])
    assert (told["status"], told["text"]) == (f"{state.run_id}: completed", state.text)
    assert told["bells"] == 1
    assert told["closed"] is True
    assert told["errors"] == []


def test_a_tk_window_that_is_closed_closes_the_stream_first() -> None:
    """In the middle of a run: the main loop ends, and no thread calls Tk afterwards."""
    told = run_tk("first", speed=0.2)
    assert told["states"] >= 1
    assert told["closed"] is True
    assert told["errors"] == []


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_what_is_shown_can_be_pasted(block: str) -> None:
    compile(block, "ui-loops.md", "exec")


async def test_the_textual_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """examples/33_textual.py lists the runs, shows the text of the chosen one, and ends its stream when it is left."""
    pytest.importorskip("textual")
    program = runpy.run_path(str(ROOT / "examples" / "33_textual.py"))
    states = [fold(read_recording(demo.load(name))).runs[0] for name in ("text.sse", "failed.sse")]
    raws = [list(read_recording(demo.load(name))) for name in ("text.sse", "failed.sse")]
    async with serve_recording(demo.interleave(raws)) as server:
        app = program["Runs"](server.url)
        async with app.run_test(size=(100, 30)) as pilot:
            async with asyncio.timeout(25):
                while sum(state.is_terminal for state in app.states.values()) < 2:
                    await pilot.pause(0.02)
            rows = [app.table.get_row_at(number) for number in range(app.table.row_count)]
            assert {row[0]: row[1] for row in rows} == {state.run_id: state.status.value for state in states}
            await pilot.press("down")
            await pilot.pause()
            assert app.states[rows[1][0]].text in str(app.text.render())
            await pilot.press("q")
    assert app.return_value is None


async def test_the_notebook_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell of the page shows the run of a server as an output that is replaced, and ends."""
    (cell,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "NotebookView" in block]
    display = pytest.importorskip("IPython.display")
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, output: dict[str, str], raw: bool) -> None:
            shown.append(output)

    def show(output: dict[str, str], raw: bool, display_id: bool) -> Handle:
        shown.append(output)
        return Handle()

    monkeypatch.setattr(display, "display", show)
    async with serve_recording(read_recording(demo.load("text.sse"))) as server:
        space = {"url": server.url}
        exec(compile(cell, "ui-loops.md", "exec"), space)
        async with asyncio.timeout(25):
            await space["following"]  # type: ignore[misc]
    assert "completed" in shown[-1]["text/html"]
    assert "the book need not." in shown[-1]["text/html"]
