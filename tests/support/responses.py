"""A builder of Responses streams: what one response sends, as raw events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from runstream.model.raw import RawEvent

__all__ = ["ResponseScript"]

Json = dict[str, Any]


class ResponseScript:
    """The events of one response, in the order in which a server sends them.

    Args:
        id: The id of the response.
        numbered: True if each event has a number.
        named: True if each event has a name beside its data, as in event streams.
        fields: Further fields of the response object.
    """

    def __init__(self, id: str = "resp_1", *, numbered: bool = True, named: bool = True, **fields: Any) -> None:
        self.id = id
        self.events: list[Json] = []
        self.response: Json = {"id": id, "object": "response", "status": "in_progress", "output": [], **fields}
        self.numbered = numbered
        self._named = named
        self._items = 0

    def send(self, name: str, **fields: Any) -> ResponseScript:
        """Add an event."""
        event = {"type": name if name in ("error", "keepalive") else f"response.{name}", **fields}
        if self.numbered:
            event.setdefault("sequence_number", len(self.events))
        self.events.append(event)
        return self

    def begin(self) -> ResponseScript:
        """Add ``created`` and ``in_progress``."""
        self.send("created", response=dict(self.response))
        return self.send("in_progress", response=dict(self.response))

    def say(self, *pieces: str, id: str | None = None, done: bool = True) -> ResponseScript:
        """Add a message whose text grows by pieces."""
        id = id or f"msg_{self.id}_{self._items}"
        at = self._add({"id": id, "type": "message", "role": "assistant", "status": "in_progress", "content": []})
        for piece in pieces:
            self.send("output_text.delta", item_id=id, output_index=at, content_index=0, delta=piece)
        if done:
            text = "".join(pieces)
            self.send("output_text.done", item_id=id, output_index=at, content_index=0, text=text)
            part = {"type": "output_text", "text": text, "annotations": []}
            item = {"id": id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}
            self._close(at, item)
        return self

    def think(self, *pieces: str, summary: bool = True) -> ResponseScript:
        """Add a reasoning whose text grows by pieces."""
        id = f"rs_{self.id}_{self._items}"
        at = self._add({"id": id, "type": "reasoning", "summary": []})
        name, index = ("reasoning_summary_text", "summary_index") if summary else ("reasoning_text", "content_index")
        for piece in pieces:
            self.send(f"{name}.delta", item_id=id, output_index=at, delta=piece, **{index: 0})
        part = {"type": "summary_text" if summary else "reasoning_text", "text": "".join(pieces)}
        self._close(at, {"id": id, "type": "reasoning", "summary" if summary else "content": [part]})
        return self

    def call(self, id: str, name: str, *pieces: str, type: str = "function_call", **fields: Any) -> ResponseScript:
        """Add a call whose arguments grow by pieces."""
        item_id = f"fc_{self.id}_{self._items}"
        key = "input" if type == "custom_tool_call" else "arguments"
        item = {"id": item_id, "type": type, "call_id": id, "name": name, key: "", "status": "in_progress", **fields}
        at = self._add(item)
        middle = "custom_tool_call_input" if type == "custom_tool_call" else "function_call_arguments"
        for piece in pieces:
            self.send(f"{middle}.delta", item_id=item_id, output_index=at, delta=piece)
        self._close(at, {**item, key: "".join(pieces), "status": "completed"})
        return self

    def end(self, name: str = "completed", **fields: Any) -> ResponseScript:
        """Add the end of the response, with its output."""
        return self.send(name, response={**self.response, "status": name, **fields})

    def raws(self) -> list[RawEvent]:
        """The events as raw events."""
        return [RawEvent(event["type"] if self._named else None, json.dumps(event).encode()) for event in self.events]

    def _add(self, item: Json) -> int:
        at = self._items
        self._items += 1
        self.send("output_item.added", output_index=at, item=item)
        return at

    def _close(self, at: int, item: Json) -> None:
        self.send("output_item.done", output_index=at, item=item)
        output: Sequence[Json] = self.response["output"]
        self.response["output"] = [*output, item]
