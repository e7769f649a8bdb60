"""Random runs of the Responses wire: one to three responses in one source, with items of all kinds and any end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from tests.support.responses import ResponseScript

__all__ = ["talk"]

Json = dict[str, Any]
_WORDS: Final = ("Let", "me", "see", "–", "it", "is", "哈哈", "ha", "ha", "🙂", "\n", "straße", '"quoted"', "done")
_ERROR: Final = {"type": "server_error", "code": "server_error", "message": "The server had an error", "param": None}
_ENDS: Final = ("completed", "completed", "completed", "incomplete", "failed", "error", "error, failed")


def talk(seed: int) -> list[Json]:
    """The events of a random run, as JSON objects in the order in which a server sends them.

    A response that is followed by another one ends with calls; the other one names it.
    """
    rng = random.Random(f"talk/{seed}")
    events: list[Json] = []
    number = rng.choice((1, 1, 2, 3))
    previous = None
    for at in range(number):
        response = _Response(rng, f"resp_talk{seed}x{at}", previous_response_id=previous)
        response.send_items(calls=at < number - 1)
        last = at == number - 1
        events += response.end(rng.choice(_ENDS) if last else "completed")
        previous = response.script.id
    if rng.random() < 0.2:
        events.append({})  # `[DONE]`
    return events


class _Response:
    """One response: its items take turns."""

    def __init__(self, rng: random.Random, id: str, **fields: Any) -> None:
        self.script = ResponseScript(
            id, created_at=1_700_000_000 + rng.randrange(3), model="model-1", metadata={"user": "u"}, **fields
        )
        self._rng = rng
        self._items = 0
        self._done: dict[int, Json] = {}
        snapshot = dict(self.script.response)
        queued = {**snapshot, "status": "queued"}
        is_queued = rng.random() < 0.2
        self.script.send("created", response=queued if is_queued else snapshot)
        if is_queued:
            self.script.send("queued", response=queued)
        if is_queued or rng.random() < 0.8:
            self.script.send("in_progress", response=snapshot)

    def send_items(self, *, calls: bool) -> None:
        """Send several items, of which some are open at the same time."""
        rng = self._rng
        kinds = [
            rng.choice(("text", "text", "reasoning", "summary", "refusal", "hosted")) for _ in range(rng.randint(0, 3))
        ]
        if calls or rng.random() < 0.2:
            kinds += rng.choices(("function", "function", "custom"), k=rng.randint(1, 3))
        waiting = [self._item(kind) for kind in kinds]
        running: list[Iterator[None]] = []
        while waiting or running:
            if waiting and (not running or rng.random() < 0.15):
                running.append(waiting.pop(0))
            item = rng.choice(running)
            if next(item, self) is self:
                running.remove(item)
            if rng.random() < 0.03:
                self.script.send("keepalive")

    def _item(self, kind: str) -> Iterator[None]:
        make = {"text": self._message, "refusal": self._message, "reasoning": self._think, "summary": self._think}
        return make.get(kind, self._call)(kind)

    def _open(self, item: Json) -> tuple[Json, Json]:
        at = self._items
        self._items += 1
        item = {**item, "id": f"{item['id']}_{self.script.id}_{at}"}
        self.script.send("output_item.added", output_index=at, item={**item, "status": "in_progress"})
        return item, {"item_id": item["id"], "output_index": at}

    def _close(self, item: Json, place: Json, *, done: bool = True) -> None:
        item = {**item, "status": "completed"}
        self._done[place["output_index"]] = item
        if done:
            self.script.send("output_item.done", output_index=place["output_index"], item=item)

    def _pieces(self, most: int = 20) -> list[str]:
        return [self._rng.choice(_WORDS) + " " * self._rng.randint(0, 1) for _ in range(self._rng.randint(1, most))]

    def _message(self, kind: str) -> Iterator[None]:
        item, place = self._open({"id": "msg", "type": "message", "role": "assistant", "content": []})
        yield
        parts = []
        for index in range(self._rng.choice((1, 1, 1, 2))):
            name, key = ("output_text", "text") if kind == "text" else ("refusal", "refusal")
            empty: Json = {"type": name, key: "", **({"annotations": []} if kind == "text" else {})}
            where = {**place, "content_index": index}
            self.script.send("content_part.added", part=empty, **where)
            pieces = self._pieces()
            yield from self._grow(name, key, pieces, where)
            parts.append({**empty, key: "".join(pieces)})
            self.script.send("content_part.done", part=parts[-1], **where)
            yield
        # A message that is never closed stands in the final output.
        self._close({**item, "content": parts}, place, done=self._rng.random() < 0.9)

    def _think(self, kind: str) -> Iterator[None]:
        item, place = self._open({"id": "rs", "type": "reasoning", "summary": []})
        yield
        parts = []
        name, part, index = ("reasoning_text", "content_part", "content_index")
        if kind == "summary":
            name, part, index = ("reasoning_summary_text", "reasoning_summary_part", "summary_index")
        for at in range(self._rng.choice((1, 1, 2))):
            where = {**place, index: at}
            pieces = self._pieces()
            whole = {"type": "summary_text" if kind == "summary" else "reasoning_text", "text": "".join(pieces)}
            self.script.send(f"{part}.added", part={**whole, "text": ""}, **where)
            yield from self._grow(name, "text", pieces, where)
            self.script.send(f"{part}.done", part=whole, **where)
            parts.append(whole)
            yield
        self._close({**item, "summary" if kind == "summary" else "content": parts}, place)

    def _call(self, kind: str) -> Iterator[None]:
        call: Json = {"id": "fc", "type": "function_call", "call_id": f"call_{self._items}_{self.script.id}"}
        key, middle, pieces = "arguments", "function_call_arguments", ['{"city": ', '"Os', 'lo"', "}"]
        if kind == "custom":
            call |= {"id": "ctc", "type": "custom_tool_call"}
            key, middle, pieces = "input", "custom_tool_call_input", self._pieces(6)
        elif kind == "hosted":
            call |= {"id": "mcp", "type": "mcp_call", "server_label": "server"}
            middle = "mcp_call_arguments"
        item, place = self._open({**call, "name": "weather", key: ""})
        yield
        yield from self._grow(middle, key, pieces, place)
        item = {**item, key: "".join(pieces)}
        if kind == "hosted":
            self.script.send("mcp_call.completed", **place)
            item["output"] = "sunny"
        self._close(item, place)

    def _grow(self, middle: str, key: str, pieces: list[str], where: Json) -> Iterator[None]:
        """Send a text in fragments, or at once: some servers send no fragments."""
        if self._rng.random() < 0.9:
            for piece in pieces:
                self.script.send(f"{middle}.delta", delta=piece, **where)
                yield
        self.script.send(f"{middle}.done", **{key: "".join(pieces)}, **where)
        yield

    def end(self, kind: str) -> list[Json]:
        """Send the end, and return all events."""
        output = [item for _, item in sorted(self._done.items())]
        final: Json = {"output": output, "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}}
        if kind == "completed" and self._rng.random() < 0.2 and all(self._is_done(item) for item in output):
            final["output"] = self._rng.choice((None, []))
        if kind == "incomplete":
            final["incomplete_details"] = {"reason": "max_output_tokens"}
        if kind.startswith("error"):
            self.script.send("error", **self._rng.choice(({"error": _ERROR}, {**_ERROR, "type": "error"})))
        if kind.endswith("failed"):
            self.script.end("failed", **final, error={"code": _ERROR["code"], "message": _ERROR["message"]})
        elif kind != "error":
            self.script.end(kind, **final)
        return self.script.events

    def _is_done(self, item: Json) -> bool:
        return any(event["type"].endswith("item.done") and event["item"] == item for event in self.script.events)
