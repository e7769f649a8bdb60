"""The messages and steps of a script while they grow, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from runstream.testing.wire import GROWING, Json, call_delta, content_delta

if TYPE_CHECKING:
    from runstream.testing.script import Script

__all__ = ["Calls", "Writing"]


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
