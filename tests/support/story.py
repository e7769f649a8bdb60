"""`RunStory`: whole runs as a server would stream them, told in a few lines each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.wire import (
    DONE,
    EPOCH,
    Event,
    Json,
    code_interpreter_call,
    code_interpreter_delta,
    dumps,
    file_citation,
    file_search_call,
    file_search_delta,
    function_call,
    function_call_delta,
    logs,
    message_creation,
    message_delta,
    message_object,
    required_action,
    run_object,
    step_delta,
    step_object,
    text_part,
    thread_object,
    tokens,
    tool_calls,
    usage,
)

__all__ = ["RunStory"]


class RunStory:
    """Tells one run as a server would: keeps the snapshots, counts the clock, and writes down each event.

    ::

        story = RunStory("demo", at=EPOCH)
        story.open()
        story.start()
        story.say("Hello there.", prompt=12)
        story.finish("completed")
        body = sse(story.cut())
    """

    def __init__(self, label: str, *, at: int = EPOCH, **fields: Any) -> None:
        """`label` goes into every id (``run_<label>_0001``); `fields` go into the Run."""
        self.label = label
        self.now = at
        self.events: list[Event] = []
        self.run = run_object(
            self.id("run"), created_at=at, thread_id=self.id("thread"), assistant_id=self.id("asst"), **fields
        )
        self.message: Json = {}
        self.step: Json = {}
        self._steps = 0
        self._calls = 0
        self._spent: list[Json] = []

    def id(self, kind: str, number: int = 1) -> str:
        """The id of the story's `number`-th object of this kind."""
        return f"{kind}_{self.label}_{number:04}"

    def emit(self, name: str, data: Json) -> None:
        """Write down one event, with a copy of its data."""
        self.events.append(Event(name, json.loads(dumps(data))))

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds

    def cut(self) -> list[Event]:
        """End the stream with ``done`` and hand out its events; the story may go on in a further stream."""
        events, self.events = [*self.events, DONE], []
        return events

    # the run

    def open(self, *, thread: bool = False) -> None:
        """The run is created and queued; with `thread`, its thread was made by the same call."""
        if thread:
            self.emit("thread.created", thread_object(self.run["thread_id"], created_at=self.now))
        self.emit("thread.run.created", self.run)
        self.emit("thread.run.queued", self.run)

    def change(self, status: str, **fields: Any) -> None:
        """The run enters a status."""
        self.run = {**self.run, "status": status, **fields}
        self.emit(f"thread.run.{status}", self.run)

    def start(self, after: int = 1) -> None:
        """The run is picked up (for the first time, or again after tool outputs)."""
        self.wait(after)
        self.change("in_progress", started_at=self.now)

    def finish(self, status: str, **fields: Any) -> None:
        """The run ends: stamped, its usage the sum of its steps', its expiry and its request gone."""
        ending: Json = {"expires_at": None, "required_action": None}
        if status in {"completed", "failed", "cancelled"}:
            ending[f"{status}_at"] = self.now
        if self._spent:
            ending["usage"] = self._total()
        self.change(status, **{**ending, **fields})

    def _total(self) -> Json:
        prompt = sum(spent["prompt_tokens"] for spent in self._spent)
        return usage(prompt, sum(spent["completion_tokens"] for spent in self._spent))

    # steps

    def open_step(self, details: Json) -> None:
        """A step is created and at work."""
        self._steps += 1
        self.step = step_object(self.id("step", self._steps), self.run, details, created_at=self.now)
        self.emit("thread.run.step.created", self.step)
        self.emit("thread.run.step.in_progress", self.step)

    def close_step(self, status: str = "completed", *, spent: Json | None = None, **fields: Any) -> None:
        """The step ends; what it spent counts towards the run."""
        if spent is not None:
            self._spent.append(spent)
        stamp = {} if status == "expired" else {f"{status}_at": self.now}
        self.step = {**self.step, "status": status, **stamp, "usage": spent, **fields}
        self.emit(f"thread.run.step.{status}", self.step)

    # messages

    def open_message(self) -> None:
        """A message-creation step begins, and its message with it."""
        number = self._steps + 1
        message_id = self.id("msg", number)
        self.open_step(message_creation(message_id))
        self.message = message_object(message_id, self.run, created_at=self.now)
        self.emit("thread.message.created", self.message)
        self.emit("thread.message.in_progress", self.message)

    def write(self, text: str, *, citations: Mapping[str, str] | None = None) -> int:
        """Stream text into the open message and return the number of deltas.

        `citations` maps a marker that stands in the text to the id of the file that it cites.
        """
        value, annotations = "", []
        if self.message["content"]:
            value = self.message["content"][0]["text"]["value"]
            annotations = self.message["content"][0]["text"]["annotations"]
        pieces = tokens(text)
        for piece in pieces:
            cited = citations.get(piece) if citations else None
            new: list[Json] | None = None if value else []
            if cited is not None:
                new = [file_citation(piece, len(value), cited)]
            delta = message_delta(self.message["id"], piece, annotations=new, first_annotation=len(annotations))
            self.emit("thread.message.delta", delta)
            annotations = [*annotations, *(new or [])]
            value += piece
        self.message = {**self.message, "content": [text_part(value, annotations)]}
        return len(pieces)

    def close_message(self, reason: str | None = None) -> None:
        """The message is complete, or incomplete for a reason; its step is closed separately."""
        if reason is None:
            self.message = {**self.message, "status": "completed", "completed_at": self.now}
        else:
            details = {"incomplete_details": {"reason": reason}, "incomplete_at": self.now}
            self.message = {**self.message, "status": "incomplete", **details}
        self.emit(f"thread.message.{self.message['status']}", self.message)

    def say(self, text: str, *, prompt: int, citations: Mapping[str, str] | None = None) -> None:
        """A whole message, from its step to its step's end."""
        self.open_message()
        written = self.write(text, citations=citations)
        self.wait(1 + written // 25)
        self.close_message()
        self.close_step(spent=usage(prompt, written + 1))

    # tools

    def call_functions(self, *calls: tuple[str, Json]) -> list[Json]:
        """Stream a step of parallel function calls (name, arguments) token by token; return the calls."""
        self.open_step(tool_calls())
        made = []
        for index, (name, arguments) in enumerate(calls):
            call = function_call(self._next_call(), name, dumps(arguments))
            self._delta(function_call_delta(index, id=call["id"], name=name))
            for piece in tokens(call["function"]["arguments"]):
                self._delta(function_call_delta(index, piece))
            made.append(call)
        return made

    def require(self, calls: Sequence[Json]) -> None:
        """The run waits for the outputs of these calls."""
        self.change("requires_action", required_action=required_action(*calls))

    def answer(self, calls: Sequence[Json], outputs: Sequence[str], *, prompt: int, after: int) -> None:
        """The outputs are in: the step is complete, and the run queued again with its old `started_at`."""
        self.wait(after)
        answered = [
            function_call(call["id"], call["function"]["name"], call["function"]["arguments"], output=output)
            for call, output in zip(calls, outputs, strict=True)
        ]
        written = sum(len(tokens(call["function"]["arguments"])) for call in calls)
        spent = usage(prompt, written + 8 * len(calls))
        self.close_step(spent=spent, step_details=tool_calls(*answered))
        self.change("queued", required_action=None)

    def run_code(self, code: str, printed: str, *, prompt: int) -> None:
        """A whole code interpreter step: the code as it is written, then what it printed."""
        self.open_step(tool_calls())
        call_id = self._next_call()
        self._delta(code_interpreter_delta(0, id=call_id))
        pieces = tokens(code)
        for piece in pieces:
            self._delta(code_interpreter_delta(0, piece))
        self.wait(2)
        self._delta(code_interpreter_delta(0, outputs=[logs(printed)]))
        whole = code_interpreter_call(call_id, code, [logs(printed)])
        self.close_step(spent=usage(prompt, len(pieces) + 1), step_details=tool_calls(whole))

    def search_files(self, *results: Json, prompt: int) -> None:
        """A whole file-search step: one delta without results, then the step with them."""
        self.open_step(tool_calls())
        call_id = self._next_call()
        self._delta(file_search_delta(0, call_id))
        self.wait(2)
        self.close_step(spent=usage(prompt, 19), step_details=tool_calls(file_search_call(call_id, results)))

    def _next_call(self) -> str:
        self._calls += 1
        return self.id("call", self._calls)

    def _delta(self, call: Json) -> None:
        self.emit("thread.run.step.delta", step_delta(self.step["id"], call))
