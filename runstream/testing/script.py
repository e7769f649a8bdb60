"""Builds a run in a few lines: the events that a server would stream, and the expected state."""

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
    WireEvent,
    call_delta,
    content_delta,
    message_json,
    reasoning_delta,
    required_action,
    run_json,
    step_json,
    without_nulls,
)

__all__ = ["OpenCalls", "OpenMessage", "Script"]

EPOCH = 1_790_000_000
_WORDS = re.compile(r"\s*\S+|\s+")


class Script:
    """Builds the events of one run as a server would send them. Methods return the script, so they can be chained::

        run = Script("run_1").say("Let me see.").call(weather={"city": "Oslo"})
        run.answer("sunny").say("It is sunny.").end()
        folded = runstream.fold(run.raw_events())
        assert folded.runs[0].to_dict() == run.expected

    Args:
        run_id: The id of the run; the ids of its steps, messages and calls are derived from it.
        thread_id: The id of its thread.
        at: Time of its creation (Unix seconds); some methods advance the clock.
        fields: Further fields of the run, or other values of its fields.
    """

    def __init__(self, run_id: str = "run_1", *, thread_id: str = "thread_1", at: int = EPOCH, **fields: Any) -> None:
        self.run: Json = run_json(run_id, thread_id=thread_id, at=at, **fields)
        self.now = at
        self.streams: list[list[WireEvent]] = [[]]
        self.steps: dict[str, Json] = {}
        self.messages: dict[str, Json] = {}
        self._pending_calls: OpenCalls | None = None
        self._count = 0
        self.emit("thread.run.created", self.run)
        self.emit("thread.run.queued", self.run)

    # results

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return str(self.run["id"])

    @property
    def events(self) -> list[WireEvent]:
        """All events so far, one stream after the other."""
        return [event for stream in self.streams for event in stream]

    @property
    def expected(self) -> Json:
        """The expected ``to_dict()`` of the run's state after all events so far."""
        state = {"run": self.run, "steps": [*self.steps.values()], "messages": [*self.messages.values()]}
        return deepcopy(without_nulls(state))

    def raw_events(self, *, ids: bool = False, enveloped: bool = False) -> list[RawEvent]:
        """All events so far, as a transport would deliver them.

        Args:
            ids: True if each event has its id.
            enveloped: True if the name is in the JSON (WebSocket, JSONL) instead of beside it (SSE).
        """
        return [event.raw(ids=ids, enveloped=enveloped) for event in self.events]

    def sse(self, *, ids: bool = False) -> bytes:
        """All events so far, as an event stream.

        Args:
            ids: True if each event has its id.
        """
        return b"".join(event.sse(ids=ids) for event in self.events)

    def jsonl(self, *, ids: bool = False) -> bytes:
        """All events so far, as JSON lines.

        Args:
            ids: True if each event has its id.
        """
        return b"".join(event.raw(ids=ids, enveloped=True).data + b"\n" for event in self.events)

    # events and statuses

    def emit(self, name: str, data: Json | str) -> Script:
        """Append any event.

        Args:
            name: The name of the event.
            data: Its data; an object is copied.
        """
        self._count += 1
        id = f"event_{self.run_id}_{self._count}"
        self.streams[-1].append(WireEvent(name, deepcopy(data), self.now, id))
        return self

    def wait(self, seconds: int = 1) -> Script:
        """Advance the clock.

        Args:
            seconds: By how many seconds.
        """
        self.now += seconds
        return self

    def done(self) -> Script:
        """Append ``done`` and end the stream. Later events are in the next stream."""
        self.emit("done", "[DONE]")
        self.streams.append([])
        return self

    def change(self, status: str, **fields: Any) -> Script:
        """Change the status of the run, and other ``fields`` of it."""
        self.run = {**self.run, "status": status, **fields}
        return self.emit(f"thread.run.{status}", self.run)

    def start(self) -> Script:
        """Set the run in progress. Methods that add messages or steps call this if needed."""
        return self.wait().change("in_progress", started_at=self.now)

    def _started(self) -> Script:
        return self.start() if self.run["status"] == "queued" else self

    # messages

    def open_message(self) -> OpenMessage:
        """Begin a message; several may be open at once."""
        self._started()
        number = len(self.messages) + 1
        id = self._id("msg", number)
        details = {"type": "message_creation", "message_creation": {"message_id": id}}
        step = self._open_step(details)
        message = self.messages[id] = message_json(id, self.run, at=self.now)
        self.emit("thread.message.created", message)
        self.emit("thread.message.in_progress", message)
        return OpenMessage(self, id, step)

    def say(self, text: str, *, pieces: Sequence[str] | None = None) -> Script:
        """Add a complete message.

        Args:
            text: Its text.
            pieces: The deltas of the text; by default one for each word.
        """
        message = self.open_message()
        for piece in pieces if pieces is not None else _WORDS.findall(text):
            message.write(piece)
        message.close()
        return self

    # tools

    def open_calls(self) -> OpenCalls:
        """Begin a step of tool calls."""
        self._started()
        return OpenCalls(self, self._open_step({"type": "tool_calls", "tool_calls": []}))

    def call(self, **calls: Any) -> Script:
        """Call functions in parallel and wait for their outputs; the stream ends.

        Args:
            calls: The arguments (JSON values) by the name of the function.
        """
        step = self.open_calls()
        for index, (name, arguments) in enumerate(calls.items()):
            step.open(index, "function", name=name)
            for piece in _WORDS.findall(msgspec.json.format(msgspec.json.encode(arguments), indent=0).decode()):
                step.grow(index, piece)
        return self.require(step)

    def require(self, step: OpenCalls) -> Script:
        """Wait for the outputs (or the approval) of all calls of a step; the stream ends."""
        self._pending_calls = step
        return self.change("requires_action", required_action=required_action(step.calls)).done()

    def answer(self, *outputs: str) -> Script:
        """Submit the outputs: the run continues in a new stream.

        Args:
            outputs: One output for each call.

        Raises:
            ValueError: The run waits for no outputs.
        """
        step, self._pending_calls = self._pending_calls, None
        if step is None:
            raise ValueError("The run waits for nothing: `call` or `require` comes before `answer`")
        for index, output in enumerate(outputs):
            step.output(index, output)
        self.wait()
        step.close()
        return self.change("queued", required_action=None)

    def run_code(self, code: str, *, logs: str | None = None, image: str | None = None) -> Script:
        """Add a complete step of the code interpreter.

        Args:
            code: The code.
            logs: The text that it prints.
            image: The id of the file of an image that it creates.
        """
        step = self.open_calls()
        step.open(0, "code_interpreter")
        for piece in _WORDS.findall(code):
            step.grow(0, piece)
        outputs: list[Json] = [] if logs is None else [{"type": "logs", "logs": logs}]
        if image is not None:
            outputs.append({"type": "image", "image": {"file_id": image}})
        step.put_out(0, outputs)
        step.close()
        return self

    def search(self, *results: Json) -> Script:
        """Add a complete file search; its results as on the wire (``file_id``, ``file_name``, ``score``)."""
        step = self.open_calls()
        step.open(0, "file_search")
        step.find(0, list(results))
        step.close()
        return self

    def act(self, *activities: Json) -> Script:
        """Add a step that is neither a message nor calls (Azure's ``activities``)."""
        self._started()
        step = self._open_step({"type": "activities", "activities": list(activities)})
        self.close_step(step)
        return self

    def use(self, kind: str, name: str, arguments: str, output: str | None = None) -> Script:
        """Add a complete step with a call of a kind without a class of its own (:class:`GenericToolCall`).

        Args:
            kind: The kind, such as ``"web_search"``.
            name: The name of the tool.
            arguments: The arguments, which grow by words.
            output: The output, which grows by words too.
        """
        step = self.open_calls()
        step.open(0, "generic", name=name, kind=kind)
        for piece in _WORDS.findall(arguments):
            step.grow(0, piece)
        for piece in _WORDS.findall(output or ""):
            step.grow_output(0, piece)
        step.close()
        return self

    def reason(self, text: str = "", *, summary: str = "") -> Script:
        """Add a complete step in which the model reasons.

        Args:
            text: The reasoning, which grows by words.
            summary: Its summary, which grows by words too.
        """
        self._started()
        id = self._open_step({"type": "reasoning"})
        for key, whole in (("content", text), ("summary", summary)):
            for piece in _WORDS.findall(whole):
                self.emit("thread.run.step.delta", reasoning_delta(id, key, piece))
            if whole:
                details = self.steps[id]["step_details"]
                self.steps[id] = {**self.steps[id], "step_details": {**details, key: [{"text": whole}]}}
        return self.close_step(id)

    # steps and the end

    def _id(self, kind: str, number: int) -> str:
        return f"{kind}_{self.run_id}_{number}"

    def _call_id(self, step_id: str, index: int) -> str:
        return f"call_{step_id}_{index}"

    def _open_step(self, details: Json) -> str:
        id = self._id("step", len(self.steps) + 1)
        self.steps[id] = step_json(id, self.run, details, at=self.now)
        self.emit("thread.run.step.created", self.steps[id])
        self.emit("thread.run.step.in_progress", self.steps[id])
        return id

    def close_step(self, id: str, status: str = "completed", **fields: Any) -> Script:
        """End a step.

        Args:
            id: The id of the step.
            status: Its final status.
            fields: Further fields of the step, or other values of its fields.
        """
        stamp = {} if status == "expired" else {f"{status}_at": self.now}
        self.steps[id] = {**self.steps[id], "status": status, **stamp, **fields}
        return self.emit(f"thread.run.step.{status}", self.steps[id])

    def error(self, message: str, code: str | None = None) -> Script:
        """Append an ``error`` event. It does not end the run or the stream."""
        return self.emit("error", {"error": {"message": message, "type": "server_error", "param": None, "code": code}})

    def end(self, status: str = "completed", **fields: Any) -> Script:
        """End the run and the stream.

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


class OpenMessage:
    """A message that is not complete yet."""

    def __init__(self, script: Script, id: str, step_id: str) -> None:
        self.script = script
        self.id = id
        self.step_id = step_id

    @property
    def message(self) -> Json:
        """The message so far."""
        return self.script.messages[self.id]

    def write(self, piece: str, *, part: int = 0, annotation: Json | None = None) -> OpenMessage:
        """Append text, and with it an annotation.

        Args:
            piece: The text to append.
            part: The index of the content part.
            annotation: The annotation as on the wire, without its index.
        """
        text: Json = {"value": piece}
        content = self._part(part, {"type": "text", "text": {"value": "", "annotations": []}})["text"]
        if not content["value"] and not content["annotations"]:
            text["annotations"] = []
        if annotation is not None:
            text["annotations"] = [{"index": len(content["annotations"]), **annotation}]
            content["annotations"].append(annotation)
        content["value"] += piece
        return self._emit({"index": part, "type": "text", "text": text})

    def refuse(self, piece: str, *, part: int) -> OpenMessage:
        """Append text of a refusal."""
        self._part(part, {"type": "refusal", "refusal": ""})["refusal"] += piece
        return self._emit({"index": part, "type": "refusal", "refusal": piece})

    def show(self, file_id: str, *, part: int) -> OpenMessage:
        """Add an image."""
        image = {"type": "image_file", "image_file": {"file_id": file_id, "detail": "auto"}}
        self._part(part, image)
        return self._emit({"index": part, **image})

    def close(self, reason: str | None = None, *, step: str = "completed", **fields: Any) -> Script:
        """End the message and its step.

        Args:
            reason: The reason if the message is incomplete, else ``None``.
            step: The final status of the step.
            fields: Further fields of the step, such as ``usage`` or ``last_error``.
        """
        now = self.script.now
        if reason is None:
            change: Json = {"status": "completed", "completed_at": now}
        else:
            change = {"status": "incomplete", "incomplete_at": now, "incomplete_details": {"reason": reason}}
        message = self.script.messages[self.id] = {**self.message, **change}
        self.script.emit(f"thread.message.{message['status']}", message)
        return self.script.close_step(self.step_id, step, **fields)

    def _part(self, index: int, new: Json) -> Json:
        content = self.message["content"]
        if index > len(content):
            raise ValueError(f"Part {len(content)} comes before part {index}")
        if index == len(content):
            content.append(deepcopy(new))
        return content[index]  # type: ignore[no-any-return]

    def _emit(self, part: Json) -> OpenMessage:
        self.script.emit("thread.message.delta", content_delta(self.id, part))
        return self


class OpenCalls:
    """A step of tool calls that is not complete yet."""

    def __init__(self, script: Script, step_id: str) -> None:
        self.script = script
        self.step_id = step_id

    @property
    def calls(self) -> list[Json]:
        """The calls so far."""
        found: list[Json] = self.script.steps[self.step_id]["step_details"]["tool_calls"]
        return found

    def open(self, index: int, type: str, *, name: str = "", kind: str = "") -> OpenCalls:
        """Begin a call: ``function``, ``code_interpreter``, ``file_search``, ``mcp``, ``generic`` (then of a ``kind``)
        or any other type.
        """
        call: Json = {"id": self.script._call_id(self.step_id, index), "type": type}
        if type == "function":
            call["function"] = {"name": name, "arguments": "", "output": None}
        elif type == "code_interpreter":
            call["code_interpreter"] = {"input": "", "outputs": []}
        elif type == "file_search":
            call["file_search"] = {"results": []}
        elif type == "mcp":
            call.update(name=name, arguments="", server_label="server")
        elif type == "generic":
            call.update(kind=kind, name=name, arguments="")
        else:
            call[type] = {}
        if index != len(self.calls):
            raise ValueError(f"Call {len(self.calls)} comes before call {index}")
        self.calls.append(deepcopy(call))
        return self._emit(index, call)

    def grow(self, index: int, piece: str) -> OpenCalls:
        """Append to the arguments (or the code)."""
        call = self.calls[index]
        if call["type"] in ("mcp", "generic"):
            call["arguments"] += piece
            return self._emit(index, {"type": call["type"], "arguments": piece})
        outer, inner = GROWING[call["type"]]
        call[outer][inner] += piece
        return self._emit(index, {"type": call["type"], outer: {inner: piece}})

    def grow_output(self, index: int, piece: str) -> OpenCalls:
        """Append to the output of a function call or a generic call."""
        call = self.calls[index]
        inner: Json = call["function"] if call["type"] == "function" else call
        inner["output"] = (inner.get("output") or "") + piece
        grown: Json = {"output": piece}
        return self._emit(index, {"type": call["type"], **({"function": grown} if inner is not call else grown)})

    def put_out(self, index: int, outputs: Sequence[Json]) -> OpenCalls:
        """Set the outputs of the code interpreter: logs and images."""
        self.calls[index]["code_interpreter"]["outputs"] = deepcopy(list(outputs))
        indexed = [{"index": place, **output} for place, output in enumerate(outputs)]
        return self._emit(index, {"type": "code_interpreter", "code_interpreter": {"outputs": indexed}})

    def find(self, index: int, results: Sequence[Json]) -> OpenCalls:
        """Set the results of the file search: they replace earlier ones."""
        search = {"results": deepcopy(list(results))}
        self.calls[index]["file_search"].update(search)
        return self._emit(index, {"type": "file_search", "file_search": search})

    def output(self, index: int, output: str) -> OpenCalls:
        """Set the output of a call. There is no delta for it; it is in the final event of the step."""
        call = self.calls[index]
        (call["function"] if call["type"] == "function" else call)["output"] = output
        return self

    def close(self, status: str = "completed", **fields: Any) -> Script:
        """End the step."""
        return self.script.close_step(self.step_id, status, **fields)

    def _emit(self, index: int, piece: Json) -> OpenCalls:
        self.script.emit("thread.run.step.delta", call_delta(self.step_id, {"index": index, **piece}))
        return self
