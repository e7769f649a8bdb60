"""The notebook view: the runs of a stream in, outputs of a Jupyter cell that grow out. Needs IPython."""

from __future__ import annotations

import asyncio
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from runstream.core.state import RunState
from runstream.logs import LOG
from runstream.model.run import RunKey
from runstream.sinks.excerpt import excerpt
from runstream.sinks.run_table import NOTICES, Notice
from runstream.sinks.status_tones import LIGHT_COLOURS, tone_of

if TYPE_CHECKING:
    from reactivex import abc as rx_abc

    from runstream.stream.run_stream import RunStream

__all__ = ["NotebookView", "state_html"]

MAX_TEXT: Final = 20_000
"""Characters of a text that are shown: the last ones."""


class NotebookView:
    """Shows the runs of a stream below a cell of a notebook while it is read; an asynchronous context manager. ::

        async with runstream.connect(url) as stream, NotebookView(stream):
            await stream.results()

    Each run is one output, which is replaced as the run grows, ``rate`` times a second at most. Texts of a run are
    shown as text, never as markup.

    Args:
        stream: The stream.
        rate: The highest number of updates a second.
        max_runs: Number of runs that are shown, the first ones.

    Raises:
        ImportError: IPython is not installed.
        ValueError: ``rate`` or ``max_runs`` is not positive.
    """

    def __init__(self, stream: RunStream, *, rate: float = 5.0, max_runs: int = 50) -> None:
        try:
            from IPython import display
        except ImportError as error:
            raise ImportError("NotebookView needs IPython: pip install ipython") from error
        if not (rate > 0 and max_runs > 0):
            raise ValueError("rate and max_runs must be positive")
        self._ipython: Any = display
        self._stream = stream
        self._period = 1 / rate
        self._max_runs = max_runs
        self._changed: dict[RunKey, RunState] = {}
        self._states: dict[RunKey, RunState] = {}
        self._notes: dict[RunKey, str] = {}
        self._handles: dict[RunKey, Any] = {}
        self._subscriptions: list[rx_abc.DisposableBase] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> NotebookView:
        self._subscriptions.append(self._stream.runs.subscribe(self._update, on_error=lambda _: None))
        self._subscriptions.append(self._stream.on(NOTICES, self._note))
        self._task = asyncio.create_task(self._redraw(), name="runstream notebook view")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for subscription in self._subscriptions:
            subscription.dispose()
        if self._task is not None:
            self._task.cancel()
        self._draw()

    def _update(self, state: RunState) -> None:
        key = (state.scope, state.run_id)
        if key in self._states or len(self._states) < self._max_runs:
            self._states[key] = self._changed[key] = state
            self._notes.pop(key, None)

    def _note(self, signal: Notice) -> None:
        key = (signal.scope, signal.run_id)
        if key in self._states:
            self._notes[key] = signal.type.removeprefix("run.")
            self._changed[key] = self._states[key]

    async def _redraw(self) -> None:
        while True:
            self._draw()
            await asyncio.sleep(self._period)

    def _draw(self) -> None:
        changed, self._changed = self._changed, {}
        for key, state in changed.items():
            output = {"text/html": state_html(state, note=self._notes.get(key, "")), "text/plain": _plain(state)}
            try:
                if key in self._handles:
                    self._handles[key].update(output, raw=True)
                else:
                    self._handles[key] = self._ipython.display(output, raw=True, display_id=True)
            except Exception as error:  # the notebook is gone; the stream and its other subscribers continue
                LOG.error("notebook_view_failed", error=type(error).__name__)
                return


def state_html(state: RunState, *, note: str = "") -> str:
    """A state as HTML, for notebooks: its status, reasoning, calls and text. All of it is escaped.

    Args:
        state: The state.
        note: What is newer than the state, such as ``interrupted``.
    """
    run = state.run
    colour = LIGHT_COLOURS[tone_of(run.status)]
    facts = [note or run.status.value, run.model or ""]
    if run.usage is not None and run.usage.total_tokens is not None:
        facts.append(f"{run.usage.total_tokens} tokens")
    parts = [
        f'<div style="border-left:4px solid {colour};padding:0 0 0 10px;margin:4px 0">',
        f"<div><code>{escape(run.id)}</code> <b>{escape(' · '.join(filter(None, facts)))}</b></div>",
    ]
    for call in state.tool_calls:
        shown = f"{call.name or call.type} {call.arguments or ''}"
        parts.append(f"<div><small>→ {escape(_beginning(shown))}</small></div>")
    if state.reasoning:
        parts.append(f'<div style="{_TEXT};opacity:0.7"><i>{escape(_end(state.reasoning))}</i></div>')
    if state.text:
        parts.append(f'<div style="{_TEXT}">{escape(_end(state.text))}</div>')
    if state.document is not None:
        parts.append(f"<div><small>document {escape(excerpt(state.document, 500))}</small></div>")
    return "".join([*parts, "</div>"])


def _beginning(text: str) -> str:
    return text if len(text) <= _MAX_CALL else f"{text[: _MAX_CALL - 1]}…"


def _end(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"…{text[1 - MAX_TEXT :]}"


_MAX_CALL: Final = 500
_TEXT: Final = "white-space:pre-wrap;overflow-wrap:anywhere"


def _plain(state: RunState) -> str:
    return f"{state.run_id}: {state.status.value}\n{_end(state.text)}"
