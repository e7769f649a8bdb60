"""Random runs of a LangGraph server: the events of its run wire or thread protocol, and the server's last word."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

__all__ = ["GraphRun", "graph_run", "graph_thread"]

_WORDS = ("Let", "me", "see", "–", "it", "is", "哈哈", "ha", "ha", "🙂", "\n", "straße", '"quoted"', "done")
_STATUSES = {"completed": "success", "waits": "success", "failed": "error", "cancelled": "interrupted"}
Json = dict[str, Any]


class GraphRun(NamedTuple):
    """A run.

    Attributes:
        run_id: Its id.
        thread_id: The id of its thread.
        events: Its events: name and data.
        answers: What the server says about it once it has ended: the run, the state, the thread.
    """

    run_id: str
    thread_id: str
    events: list[tuple[str, Any]]
    answers: dict[str, Json]


def graph_run(seed: int) -> GraphRun:
    """A run over the run wire, in the modes messages-tuple, updates, values and custom.

    Args:
        seed: Determines everything; the ids of two seeds differ.
    """
    return _Run(seed, "graph").over_the_run_wire()


def graph_thread(seed: int) -> GraphRun:
    """A run over the thread protocol. It never waits, since the stream of a run that waits has no end."""
    return _Run(seed, "graph-thread").over_the_thread_protocol()


class _Run:
    def __init__(self, seed: int, kind: str) -> None:
        self._rng = random.Random(f"{kind}/{seed}")
        self._name = f"{kind}{seed}"
        self._count = 0
        self.id, self._thread_id = f"run-{self._name}", f"thread-{self._name}"
        self._facts = {"run_id": self.id, "thread_id": self._thread_id, "langgraph_node": "agent"}
        self._messages: list[Json] = [{"type": "human", "id": self._make_id("user"), "content": "Hello"}]
        self._events: list[tuple[str, Any]] = []

    def _make_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._name}-{self._count}"

    def _pieces(self) -> list[str]:
        rng = self._rng
        return [rng.choice(_WORDS) + " " * rng.randint(0, 1) for _ in range(rng.randint(1, 20))]

    def _end(self, *kinds: str) -> tuple[str, dict[str, Json]]:
        """How the run ends, and the server's answers."""
        end = self._rng.choice(kinds)
        status = _STATUSES.get(end, end)
        state: Json = {"next": [], "tasks": [], "metadata": {"run_id": self.id}}
        thread: Json = {"thread_id": self._thread_id, "status": "idle"}
        if end == "failed":
            thread |= {"status": "error", "error": {"error": "ValueError", "message": "no"}}
        run = {"run_id": self.id, "thread_id": self._thread_id, "status": status}
        return end, {"run": run, "state": state, "thread": thread}

    # the run wire

    def over_the_run_wire(self) -> GraphRun:
        rng = self._rng
        self._events.append(("metadata", {"run_id": self.id, "attempt": 1}))
        if rng.random() < 0.7:
            self._events.append(("values", self._state()))
        for _ in range(rng.randint(0, 4)):
            rng.choice((self._say, self._say, self._think, self._call, self._custom))()
        end, answers = self._end("completed", "completed", "failed", "cancelled", "timeout", "waits")
        if end == "failed":
            self._events.append(("error", {"error": "ValueError", "message": "no"}))
        if end == "waits":
            asked = [{"id": self._make_id("ask"), "value": "May I?"} for _ in range(rng.randint(1, 2))]
            for each in asked:
                self._events.append(("updates", {"__interrupt__": [each]}))
            tasks = [{"id": "task", "name": "ask", "interrupts": asked}]
            answers["state"] |= {"next": ["ask"], "tasks": tasks}
            answers["thread"]["status"] = "interrupted"
        return GraphRun(self.id, self._thread_id, self._events, answers)

    def _state(self) -> Json:
        return {"messages": [dict(message) for message in self._messages]}

    def _chunk(self, id: str, content: Any, **fields: Any) -> None:
        self._events.append(
            ("messages", [{"type": "AIMessageChunk", "id": id, "content": content, **fields}, self._facts])
        )

    def _add(self, node: str, *messages: Json) -> None:
        """The end of a step: what its node has written, and the state."""
        self._messages += messages
        self._events.append(("updates", {node: {"messages": list(messages)}}))
        if self._rng.random() < 0.6:
            self._events.append(("values", self._state()))

    def _say(self) -> None:
        id, pieces = self._make_id("msg"), self._pieces()
        for piece in pieces:
            self._chunk(id, piece)
        self._chunk(
            id, "", chunk_position="last", usage_metadata={"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}
        )
        self._add("agent", {"type": "ai", "id": id, "content": "".join(pieces)})

    def _think(self) -> None:
        id, thoughts, pieces = self._make_id("msg"), self._pieces(), self._pieces()
        for piece in thoughts:
            self._chunk(id, [{"type": "reasoning", "reasoning": piece, "index": 0}])
        for piece in pieces:
            self._chunk(id, [{"type": "text", "text": piece, "index": 1}])
        self._chunk(id, "", chunk_position="last")
        whole = [{"type": "reasoning", "reasoning": "".join(thoughts)}, {"type": "text", "text": "".join(pieces)}]
        self._add("agent", {"type": "ai", "id": id, "content": whole})

    def _call(self) -> None:
        """Calls in fragments, and their results; the indices of parallel calls are shared or absent on some servers."""
        rng, id = self._rng, self._make_id("msg")
        calls = [
            {"id": self._make_id("call"), "name": "weather", "args": {"city": rng.choice(_WORDS)}}
            for _ in range(rng.randint(1, 2))
        ]
        for index, call in enumerate(calls):
            text = json.dumps(call["args"], ensure_ascii=False)
            half = rng.randint(0, len(text))
            first = {"index": index, "id": call["id"], "name": call["name"], "args": ""}
            for part in (
                first,
                *({"index": index, "id": None, "name": None, "args": part} for part in (text[:half], text[half:])),
            ):
                self._chunk(id, "", tool_call_chunks=[part])
        self._chunk(id, "", chunk_position="last")
        self._add("agent", {"type": "ai", "id": id, "content": "", "tool_calls": calls})
        results = [
            {"type": "tool", "id": self._make_id("result"), "tool_call_id": call["id"], "content": "sunny"}
            for call in calls
        ]
        self._add("tools", *results)

    def _custom(self) -> None:
        self._events.append(("custom", {"at": self._make_id("value")}))

    # the thread protocol

    def over_the_thread_protocol(self) -> GraphRun:
        rng = self._rng
        self._send("lifecycle", {"event": "running", "graph_name": "agent"}, synth="lc||running")
        if rng.random() < 0.7:
            self._send("values", self._state())
        for _ in range(rng.randint(0, 4)):
            rng.choice((self._stream_text, self._stream_text, self._stream_calls, self._stream_custom))()
        end, answers = self._end("completed", "completed", "failed", "cancelled")
        if end == "cancelled":
            self._send("lifecycle", {"event": "interrupted"}, synth="lc||interrupted")
        else:
            error = {"error": "no"} if end == "failed" else {}
            self._send("lifecycle", {"event": end, **error}, synth=f"lc||{end}")
        return GraphRun(self.id, self._thread_id, self._events, answers)

    def _send(self, method: str, data: Any, synth: str | None = None) -> None:
        seq = len(self._events) + 1
        id = f"synth:{self.id}:{synth}" if synth is not None else f"{1795868915000 + seq}-{self._name}"
        params = {"namespace": [], "timestamp": 1795868915000 + seq, "data": data}
        event = {"type": "event", "method": method, "seq": seq, "event_id": id, "params": params}
        self._events.append((method, event))

    def _stream_text(self) -> None:
        id, pieces = self._make_id("msg"), self._pieces()
        text = "".join(pieces)
        self._send("messages", {"event": "message-start", "role": "ai", "id": id})
        self._send("messages", {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}})
        for piece in pieces:
            delta = {"type": "text-delta", "text": piece}
            self._send("messages", {"event": "content-block-delta", "index": 0, "delta": delta})
        self._send("messages", {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": text}})
        self._send(
            "messages", {"event": "message-finish", "usage": {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}}
        )
        self._messages.append({"type": "ai", "id": id, "content": [{"type": "text", "text": text}]})
        self._send("values", self._state())

    def _stream_calls(self) -> None:
        rng, id = self._rng, self._make_id("msg")
        calls = [
            {"id": self._make_id("call"), "name": "weather", "args": {"city": rng.choice(_WORDS)}}
            for _ in range(rng.randint(1, 2))
        ]
        self._send("messages", {"event": "message-start", "role": "ai", "id": id})
        for index, call in enumerate(calls):
            begun = {"type": "tool_call_chunk", "id": call["id"], "name": call["name"], "args": "", "index": index}
            self._send("messages", {"event": "content-block-start", "index": index, "content": begun})
            text = json.dumps(call["args"], ensure_ascii=False)
            half = rng.randint(0, len(text))
            for part in (text[:half], text[half:]):
                delta = {"type": "tool-call-delta", "args": part}
                self._send("messages", {"event": "content-block-delta", "index": index, "delta": delta})
            self._send(
                "messages", {"event": "content-block-finish", "index": index, "content": {"type": "tool_call", **call}}
            )
        self._send("messages", {"event": "message-finish", "usage": {}})
        self._messages.append({"type": "ai", "id": id, "content": [], "tool_calls": calls})
        results = [
            {"type": "tool", "id": self._make_id("result"), "tool_call_id": call["id"], "content": "sunny"}
            for call in calls
        ]
        self._messages += results
        self._send("values", self._state())

    def _stream_custom(self) -> None:
        self._send("custom", {"at": self._make_id("value")})
