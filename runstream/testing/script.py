"""A run told in a few lines: what a server would stream of it, and what must come out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import msgspec

from runstream.model.raw import RawEvent
from runstream.testing.wire import (
    GROWING,
    Json,
    Told,
    call_delta,
    content_delta,
    message_json,
    required,
    run_json,
    step_json,
    without_nulls,
)

__all__ = ["Calls", "Script", "Writing"]

EPOCH = 1_790_000_000
_WORD = re.compile(r"\s*\S+|\s+")


class Script:
    """Tells one run as a server would. Every act gives back the script, so that acts can be chained::

        run = Script("run_1").say("Let me see.").call(weather={"city": "Oslo"})
        run.answer("sunny").say("It is sunny.").end()
        folded = runstream.fold(run.raw_events())
        assert folded.runs[0].to_dict() == run.expected

    Args:
        run_id: The run's id; those of its steps, messages and calls are made from it.
        thread_id: Its thread's.
        at: When it is created (Unix seconds); the clock goes on by itself.
        fields: Further fields of the run, or other values for those that it has.
    """

    def __init__(self, run_id: str = "run_1", *, thread_id: str = "thread_1", at: int = EPOCH, **fields: Any) -> None:
        self.run: Json = run_json(run_id, thread_id=thread_id, at=at, **fields)
        self.now = at
        self.streams: list[list[Told]] = [[]]
        self.steps: dict[str, Json] = {}
        self.messages: dict[str, Json] = {}
        self._waiting: Calls | None = None
        self._count = 0
        self.emit("thread.run.created", self.run)
        self.emit("thread.run.queued", self.run)

    # what came of it

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self.run["id"])

    @property
    def events(self) -> list[Told]:
        """Everything told so far, all streams one after the other."""
        return [event for stream in self.streams for event in stream]

    @property
    def expected(self) -> Json:
        """What the state's ``to_dict()`` must be after everything told so far."""
        told = {"run": self.run, "steps": [*self.steps.values()], "messages": [*self.messages.values()]}
        return deepcopy(without_nulls(told))

    def raw_events(self, *, ids: bool = False, enveloped: bool = False) -> list[RawEvent]:
        """Everything told so far, as a transport would deliver it."""
        return [event.raw(ids=ids, enveloped=enveloped) for event in self.events]

    def sse(self, *, ids: bool = False) -> bytes:
        """Everything told so far, as an event stream."""
        return b"".join(event.sse(ids=ids) for event in self.events)

    def jsonl(self, *, ids: bool = False) -> bytes:
        """Everything told so far, as JSON lines."""
        return b"".join(event.raw(ids=ids, enveloped=True).data + b"\n" for event in self.events)

    # how it is told

    def emit(self, name: str, data: Json | str) -> Script:
        """Tell an event, whatever it is."""
        self._count += 1
        id = f"event_{self.run_id}_{self._count}"
        self.streams[-1].append(Told(name, deepcopy(data), self.now, id))
        return self

    def wait(self, seconds: int = 1) -> Script:
        """Let time pass."""
        self.now += seconds
        return self

    def done(self) -> Script:
        """The stream says ``done`` and ends. What is told from now on stands in the next one."""
        self.emit("done", "[DONE]")
        self.streams.append([])
        return self

    def change(self, status: str, **fields: Any) -> Script:
        """The run enters a status."""
        self.run = {**self.run, "status": status, **fields}
        return self.emit(f"thread.run.{status}", self.run)

    def start(self) -> Script:
        """The run is picked up. Acts do that by themselves."""
        return self.wait().change("in_progress", started_at=self.now)

    def _started(self) -> Script:
        return self.start() if self.run["status"] == "queued" else self

    # messages

    def open_message(self) -> Writing:
        """A message begins; several may be open at once."""
        self._started()
        number = len(self.messages) + 1
        id = self._id("msg", number)
        details = {"type": "message_creation", "message_creation": {"message_id": id}}
        step = self._open_step(details)
        message = self.messages[id] = message_json(id, self.run, at=self.now)
        self.emit("thread.message.created", message)
        self.emit("thread.message.in_progress", message)
        return Writing(self, id, step)

    def say(self, text: str, *, pieces: Sequence[str] | None = None) -> Script:
        """A whole message.

        Args:
            text: What it says.
            pieces: The text in the pieces in which it comes; word by word by default.
        """
        message = self.open_message()
        for piece in pieces if pieces is not None else _WORD.findall(text):
            message.write(piece)
        message.close()
        return self

    # tools

    def open_calls(self) -> Calls:
        """A step of tool calls begins."""
        self._started()
        return Calls(self, self._open_step({"type": "tool_calls", "tool_calls": []}))

    def call(self, **calls: Any) -> Script:
        """The run calls functions, all at once, and waits for their outputs; the stream ends.

        Args:
            calls: Function names, with their arguments as JSON values.
        """
        step = self.open_calls()
        for index, (name, arguments) in enumerate(calls.items()):
            step.open(index, "function", name=name)
            for piece in _WORD.findall(msgspec.json.format(msgspec.json.encode(arguments), indent=0).decode()):
                step.grow(index, piece)
        return self.require(step)

    def require(self, step: Calls) -> Script:
        """The run waits for the outputs (or the approval) of all calls of a step; the stream ends."""
        self._waiting = step
        return self.change("requires_action", required_action=required(step.calls)).done()

    def answer(self, *outputs: str) -> Script:
        """The outputs are in: a second stream goes on with the run.

        Args:
            outputs: One for each call.
        """
        step, self._waiting = self._waiting, None
        if step is None:
            raise ValueError("The run waits for nothing: `call` or `require` comes before `answer`")
        for index, output in enumerate(outputs):
            step.output(index, output)
        self.wait()
        step.close()
        return self.change("queued", required_action=None)

    def run_code(self, code: str, *, logs: str | None = None, image: str | None = None) -> Script:
        """A whole run of the code interpreter.

        Args:
            code: The code.
            logs: What it prints.
            image: The id of the file of an image that it makes.
        """
        step = self.open_calls()
        step.open(0, "code_interpreter")
        for piece in _WORD.findall(code):
            step.grow(0, piece)
        outputs: list[Json] = [] if logs is None else [{"type": "logs", "logs": logs}]
        if image is not None:
            outputs.append({"type": "image", "image": {"file_id": image}})
        step.put_out(0, outputs)
        step.close()
        return self

    def search(self, *results: Json) -> Script:
        """A whole file search; its results as on the wire (``file_id``, ``file_name``, ``score``)."""
        step = self.open_calls()
        step.open(0, "file_search")
        step.find(0, list(results))
        step.close()
        return self

    def act(self, *activities: Json) -> Script:
        """A step that is neither message nor call (Azure's ``activities``)."""
        self._started()
        step = self._open_step({"type": "activities", "activities": list(activities)})
        self.close_step(step)
        return self

    # steps and the end

    def _id(self, kind: str, number: int) -> str:
        return f"{kind}_{self.run_id}_{number}"

    def _open_step(self, details: Json) -> str:
        id = self._id("step", len(self.steps) + 1)
        self.steps[id] = step_json(id, self.run, details, at=self.now)
        self.emit("thread.run.step.created", self.steps[id])
        self.emit("thread.run.step.in_progress", self.steps[id])
        return id

    def close_step(self, id: str, status: str = "completed", **fields: Any) -> Script:
        """A step ends."""
        stamp = {} if status == "expired" else {f"{status}_at": self.now}
        self.steps[id] = {**self.steps[id], "status": status, **stamp, **fields}
        return self.emit(f"thread.run.step.{status}", self.steps[id])

    def error(self, message: str, code: str | None = None) -> Script:
        """The server says ``error``. That ends nothing by itself."""
        return self.emit("error", {"error": {"message": message, "type": "server_error", "param": None, "code": code}})

    def end(self, status: str = "completed", **fields: Any) -> Script:
        """The run ends, and so does the stream.

        Args:
            status: ``completed``, ``failed``, ``cancelled``, ``expired`` or ``incomplete``.
            fields: Fields of the run, such as ``usage``, ``last_error`` or ``incomplete_details``.
        """
        self._started().wait()
        if status == "cancelled":
            self.change("cancelling")
        stamp = {f"{status}_at": self.now} if status in {"completed", "failed", "cancelled"} else {}
        reason: Json = {}
        if status == "failed":
            reason = {"last_error": {"code": "server_error", "message": "Something went wrong"}}
        elif status == "incomplete":
            reason = {"incomplete_details": {"reason": "max_completion_tokens"}}
        ending = {"required_action": None, "expires_at": None, **stamp, **reason, **fields}
        return self.change(status, **ending).done()


class Writing:
    """A message that is being written."""

    def __init__(self, script: Script, id: str, step_id: str) -> None:
        self.script = script
        self.id = id
        self.step_id = step_id

    @property
    def message(self) -> Json:
        """The message so far."""
        return self.script.messages[self.id]

    def write(self, piece: str, *, part: int = 0, annotation: Json | None = None) -> Writing:
        """A piece of text comes; with it an annotation, as on the wire."""
        text: Json = {"value": piece}
        held = self._part(part, {"type": "text", "text": {"value": "", "annotations": []}})["text"]
        if not held["value"] and not held["annotations"]:
            text["annotations"] = []
        if annotation is not None:
            text["annotations"] = [{"index": len(held["annotations"]), **annotation}]
            held["annotations"].append(annotation)
        held["value"] += piece
        return self._emit({"index": part, "type": "text", "text": text})

    def refuse(self, piece: str, *, part: int) -> Writing:
        """A piece of a refusal comes."""
        self._part(part, {"type": "refusal", "refusal": ""})["refusal"] += piece
        return self._emit({"index": part, "type": "refusal", "refusal": piece})

    def show(self, file_id: str, *, part: int) -> Writing:
        """An image comes."""
        image = {"type": "image_file", "image_file": {"file_id": file_id, "detail": "auto"}}
        self._part(part, image)
        return self._emit({"index": part, **image})

    def close(self, reason: str | None = None, *, step: str = "completed") -> Script:
        """The message is complete, or incomplete for a reason; its step ends too."""
        now = self.script.now
        if reason is None:
            change: Json = {"status": "completed", "completed_at": now}
        else:
            change = {"status": "incomplete", "incomplete_at": now, "incomplete_details": {"reason": reason}}
        message = self.script.messages[self.id] = {**self.message, **change}
        self.script.emit(f"thread.message.{message['status']}", message)
        return self.script.close_step(self.step_id, step)

    def _part(self, index: int, new: Json) -> Json:
        content = self.message["content"]
        if index > len(content):
            raise ValueError(f"Part {len(content)} comes before part {index}")
        if index == len(content):
            content.append(deepcopy(new))
        return content[index]  # type: ignore[no-any-return]

    def _emit(self, part: Json) -> Writing:
        self.script.emit("thread.message.delta", content_delta(self.id, part))
        return self


class Calls:
    """A step of tool calls that are being made."""

    def __init__(self, script: Script, step_id: str) -> None:
        self.script = script
        self.step_id = step_id

    @property
    def calls(self) -> list[Json]:
        """The calls so far."""
        found: list[Json] = self.script.steps[self.step_id]["step_details"]["tool_calls"]
        return found

    def open(self, index: int, type: str, *, name: str = "") -> Calls:
        """A call begins: ``function``, ``code_interpreter``, ``file_search``, ``mcp`` or any other type."""
        call: Json = {"id": f"call_{self.step_id}_{index}", "type": type}
        if type == "function":
            call["function"] = {"name": name, "arguments": "", "output": None}
        elif type == "code_interpreter":
            call["code_interpreter"] = {"input": "", "outputs": []}
        elif type == "file_search":
            call["file_search"] = {"results": []}
        elif type == "mcp":
            call.update(name=name, arguments="", server_label="server")
        else:
            call[type] = {}
        if index != len(self.calls):
            raise ValueError(f"Call {len(self.calls)} comes before call {index}")
        self.calls.append(deepcopy(call))
        return self._emit(index, call)

    def grow(self, index: int, piece: str) -> Calls:
        """A piece of the arguments (or the code) comes."""
        call = self.calls[index]
        if call["type"] == "mcp":
            call["arguments"] += piece
            return self._emit(index, {"type": "mcp", "arguments": piece})
        outer, inner = GROWING[call["type"]]
        call[outer][inner] += piece
        return self._emit(index, {"type": call["type"], outer: {inner: piece}})

    def put_out(self, index: int, outputs: Sequence[Json]) -> Calls:
        """The code interpreter puts out logs and images."""
        self.calls[index]["code_interpreter"]["outputs"] = deepcopy(list(outputs))
        told = [{"index": place, **output} for place, output in enumerate(outputs)]
        return self._emit(index, {"type": "code_interpreter", "code_interpreter": {"outputs": told}})

    def find(self, index: int, results: Sequence[Json]) -> Calls:
        """The file search finds this: it replaces what it had found."""
        search = {"results": deepcopy(list(results))}
        self.calls[index]["file_search"].update(search)
        return self._emit(index, {"type": "file_search", "file_search": search})

    def output(self, index: int, output: str) -> Calls:
        """The application has answered a call. No delta says so; the step's end does."""
        call = self.calls[index]
        (call["function"] if call["type"] == "function" else call)["output"] = output
        return self

    def close(self, status: str = "completed", **fields: Any) -> Script:
        """The step ends."""
        return self.script.close_step(self.step_id, status, **fields)

    def _emit(self, index: int, piece: Json) -> Calls:
        self.script.emit("thread.run.step.delta", call_delta(self.step_id, {"index": index, **piece}))
        return self
