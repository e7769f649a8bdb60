"""Runs in a Textual application: a table of runs, and the text of the chosen one as it grows.

Needs `pip install textual`. `q` ends it, the arrow keys choose a run. Without a terminal it has no screen, and ends
with the runs.
"""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Static

import runstream
from runstream import RunState, demo, read_recording, serve_recording

COLUMNS = ("run", "status", "model", "tokens")


class Runs(App[list[str]]):
    """Shows the runs of a stream; it returns a line for each of them."""

    CSS = "DataTable { height: 40%; } VerticalScroll { padding: 1 2; }"
    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit")]

    def __init__(self, url: str, *, stays: bool = True) -> None:
        super().__init__()
        self.url, self.stays = url, stays
        self.states: dict[str, RunState] = {}
        self.chosen = ""
        self.table = DataTable[str](id="runs", cursor_type="row")
        self.text = Static(id="text", markup=False)  # what a run says is text, never markup

    def compose(self) -> ComposeResult:
        yield self.table
        with VerticalScroll():
            yield self.text
        yield Footer()

    def on_mount(self) -> None:
        for column in COLUMNS:
            self.table.add_column(column, key=column, width=24 if column == "run" else 16)
        self.run_worker(self.follow())  # cancelled with the application, which closes the stream

    async def follow(self) -> None:
        async with runstream.connect(self.url) as stream:
            async for state in stream.iter("runs"):  # of several states that wait, only the last of each run
                self.show(state)
                await asyncio.sleep(0)
        if not self.stays:
            self.exit([f"{state.run_id} {state.status}" for state in self.states.values()])

    def show(self, state: RunState) -> None:
        usage = state.run.usage
        row = (state.run_id, state.status.value, state.run.model or "", str(usage.total_tokens) if usage else "")
        if state.run_id not in self.states:
            self.table.add_row(*row, key=state.run_id)
        for column, value in zip(COLUMNS, row, strict=True):
            self.table.update_cell(state.run_id, column, value)
        self.states[state.run_id] = state
        if state.run_id == (self.chosen or state.run_id):
            self.show_text(state.run_id)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        self.chosen = str(event.row_key.value)
        self.show_text(self.chosen)

    def show_text(self, run_id: str) -> None:
        state = self.states.get(run_id)
        calls = [f"→ {call.name or call.type} {call.arguments or ''}" for call in state.tool_calls] if state else []
        self.text.update("\n".join([*calls, state.text if state else ""]))


async def main() -> None:
    names = ("text.sse", "code_interpreter.sse", "file_search.sse", "failed.sse")
    together = list(demo.interleave([list(read_recording(demo.load(name))) for name in names]))
    on_screen = sys.stdout.isatty()
    async with serve_recording(together, gap=0.01) as server:
        lines = await Runs(server.url, stays=on_screen).run_async(headless=not on_screen)
    print("\n".join(lines or []))


if __name__ == "__main__":
    asyncio.run(main())
