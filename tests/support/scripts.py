"""Scripted runs with short ids, token by token and with token counts, on top of `runstream.testing.Script`."""

from __future__ import annotations

from typing import Any

from runstream.testing import Json, OpenCalls, OpenMessage, Script
from tests.support.wire import EPOCH, Event, dumps, tokens, usage

__all__ = ["LabelledScript", "stream_of", "streams_of"]


class LabelledScript(Script):
    """A run whose ids contain a label and whose texts are split into tokens.

    Args:
        label: A part of every id (``run_<label>_0001``).
        at: Time of the run's creation (Unix seconds).
        fields: Further fields of the run, or other values of its fields.
    """

    def __init__(self, label: str, *, at: int = EPOCH, **fields: Any) -> None:
        self.label = label
        super().__init__(
            self._id("run", 1),
            thread_id=self._id("thread", 1),
            at=at,
            **{"assistant_id": self._id("asst", 1), "model": "gpt-4o-mini", **fields},
        )

    def _id(self, kind: str, number: int) -> str:
        if kind == "msg":
            number = len(self.steps) + 1  # the number of its step
        return f"{kind}_{self.label}_{number:04}"

    def _call_id(self, step_id: str, index: int) -> str:
        calls = [call for step in self.steps.values() for call in step["step_details"].get("tool_calls", ())]
        return self._id("call", len(calls) + 1)

    def write(self, message: OpenMessage, text: str) -> int:
        """Append text to a message, token by token, and return the number of deltas."""
        pieces = tokens(text)
        for piece in pieces:
            message.write(piece)
        return len(pieces)

    def write_message(self, text: str, *, prompt: int) -> LabelledScript:
        """Add a complete message, whose step used ``prompt`` prompt tokens."""
        message = self.open_message()
        written = self.write(message, text)
        self.wait(1 + written // 25)
        message.close(usage=usage(prompt, written + 1))
        return self

    def call_functions(self, *calls: tuple[str, Json]) -> OpenCalls:
        """Begin a step of parallel function calls (name, arguments), and write their arguments token by token."""
        step = self.open_calls()
        for index, (name, arguments) in enumerate(calls):
            step.open(index, "function", name=name)
            for piece in tokens(dumps(arguments)):
                step.grow(index, piece)
        return step

    def submit(self, step: OpenCalls, *outputs: str, prompt: int, after: int = 2) -> LabelledScript:
        """Submit outputs ``after`` some seconds: the step is complete, and the run continues."""
        self.wait(after)
        written = sum(len(tokens(call["function"]["arguments"])) for call in step.calls)
        for index, output in enumerate(outputs):
            step.output(index, output)
        step.close(usage=usage(prompt, written + 8 * len(outputs)))
        self.change("queued", required_action=None).start()
        return self

    def finish(self, status: str, **fields: Any) -> LabelledScript:
        """End the run, whose usage is the sum of its steps' usage, and the stream."""
        ending: Json = {"expires_at": None, "required_action": None}
        if status in {"completed", "failed", "cancelled"}:
            ending[f"{status}_at"] = self.now
        if spent := [step["usage"] for step in self.steps.values() if step["usage"]]:
            prompt, completion = (sum(each[f"{kind}_tokens"] for each in spent) for kind in ("prompt", "completion"))
            ending["usage"] = usage(prompt, completion)
        self.change(status, **{**ending, **fields}).done()
        return self


def streams_of(script: Script) -> list[list[Event]]:
    """The events of each stream, as `tests.support.wire` writes them."""
    return [[Event(event.name, event.data) for event in stream] for stream in script.streams if stream]


def stream_of(script: Script) -> list[Event]:
    """The events of all streams, one after the other."""
    return [event for stream in streams_of(script) for event in stream]
