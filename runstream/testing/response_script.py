"""Builds one response of the Responses API: its object and its events, as a server would stream them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from runstream.testing.turns import ScriptedCall, Turn, calls_of, pieces_of
from runstream.testing.wire import Json

__all__ = ["ResponseScript"]

EPOCH = 1_790_000_000


class ResponseScript:
    """The events of one response.

    Args:
        response_id: The id of the response.
        body: The body of the request; its fields are part of the response.
        turn: What the model does.

    Attributes:
        events: The events, each with its ``sequence_number``.
        response: The response after all events.
        asked: The ids of the calls and approvals that wait.
    """

    def __init__(self, response_id: str, body: Json, turn: Turn) -> None:
        self.events: list[Json] = []
        self.asked: list[str] = []
        self.response: Json = {
            "id": response_id,
            "object": "response",
            "created_at": EPOCH,
            "completed_at": None,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": body.get("model", "scripted"),
            "output": [],
            "usage": None,
            "previous_response_id": body.get("previous_response_id"),
            "background": bool(body.get("background")),
            "parallel_tool_calls": True,
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": deepcopy(body.get("tools", [])),
            "instructions": body.get("instructions"),
            "metadata": deepcopy(body.get("metadata") or {}),
            "store": body.get("store", True),
            "temperature": 1.0,
            "top_p": 1.0,
        }
        self.snapshots: list[Json] = []
        self._play(turn)

    def snapshot(self, sent: int) -> Json:
        """The response after a number of events."""
        return deepcopy(self.snapshots[sent - 1] if sent else self.snapshots[0])

    def _play(self, turn: Turn) -> None:
        if self.response["background"]:
            self.response["status"] = "queued"
        self._emit("response.created", response=deepcopy(self.response))
        self.response["status"] = "in_progress"
        self._emit("response.in_progress", response=deepcopy(self.response))
        if turn.reasoning:
            self._reason(turn.reasoning)
        if turn.text:
            self._say(turn.text)
        for call in calls_of(turn.calls):
            self._call(call)
        for call in calls_of(turn.approvals):
            self._ask(call)
        self._end("completed" if turn.waits else turn.status, turn.code)

    def _end(self, status: str, code: str) -> None:
        name = "failed" if status in ("cancelled", "expired") else status
        self.response["status"] = name
        if name == "completed":
            self.response["completed_at"] = EPOCH + 1
        if name == "incomplete":
            self.response["incomplete_details"] = {"reason": "max_output_tokens"}
        if name == "failed":
            self.response["error"] = {"code": code, "message": "The scripted run failed."}
        self.response["usage"] = {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 15,
        }
        self._emit(f"response.{name}", response=deepcopy(self.response))

    def _reason(self, text: str) -> None:
        item = self._open({"type": "reasoning", "summary": []}, "rs")
        place = {"item_id": item["id"], "output_index": self._index, "summary_index": 0}
        part = {"type": "summary_text", "text": ""}
        self._emit("response.reasoning_summary_part.added", **place, part=part)
        for piece in pieces_of(text):
            self._emit("response.reasoning_summary_text.delta", **place, delta=piece)
        self._emit("response.reasoning_summary_text.done", **place, text=text)
        whole = {"type": "summary_text", "text": text}
        self._emit("response.reasoning_summary_part.done", **place, part=whole)
        self._close({**item, "summary": [whole]})

    def _say(self, text: str) -> None:
        item = self._open({"type": "message", "status": "in_progress", "role": "assistant", "content": []}, "msg")
        place = {"item_id": item["id"], "output_index": self._index, "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self._emit("response.content_part.added", **place, part=part)
        for piece in pieces_of(text):
            self._emit("response.output_text.delta", **place, delta=piece, logprobs=[])
        self._emit("response.output_text.done", **place, text=text, logprobs=[])
        whole = {**part, "text": text}
        self._emit("response.content_part.done", **place, part=whole)
        self._close({**item, "status": "completed", "content": [whole]})

    def _call(self, call: ScriptedCall) -> None:
        number = len(self.response["output"]) + 1
        call_id = call.id or f"call_{self.response['id'].removeprefix('resp_')}_{number}"
        fields = {"type": "function_call", "status": "in_progress", "arguments": "", "call_id": call_id}
        item = self._open({**fields, "name": call.name}, "fc")
        place = {"item_id": item["id"], "output_index": self._index}
        for piece in pieces_of(call.text):
            self._emit("response.function_call_arguments.delta", **place, delta=piece)
        self._emit("response.function_call_arguments.done", **place, arguments=call.text)
        self._close({**item, "status": "completed", "arguments": call.text})
        self.asked.append(call_id)

    def _ask(self, call: ScriptedCall) -> None:
        fields = {"type": "mcp_approval_request", "name": call.name, "arguments": call.text, "server_label": "server"}
        item = self._open(fields, "mcpr")
        self._close(item)
        self.asked.append(item["id"])

    @property
    def _index(self) -> int:
        return len(self.response["output"])

    def _open(self, item: Json, prefix: str) -> Json:
        made = {"id": f"{prefix}_{self.response['id'].removeprefix('resp_')}_{self._index + 1}", **item}
        self._emit("response.output_item.added", output_index=self._index, item=deepcopy(made))
        return made

    def _close(self, item: Json) -> None:
        self._emit("response.output_item.done", output_index=self._index, item=deepcopy(item))
        self.response["output"].append(deepcopy(item))
        self.snapshots[-1] = deepcopy(self.response)

    def _emit(self, name: str, **fields: Any) -> None:
        self.events.append({"type": name, "sequence_number": len(self.events), **fields})
        self.snapshots.append(deepcopy(self.response))
