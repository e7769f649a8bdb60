"""Random runs of the AG-UI wire: each a list of events, as a server of this protocol may send them."""

from __future__ import annotations

import random
from typing import Any

__all__ = ["ag_ui_runs"]

_WORDS = ("Let", "me", "see", "–", "it", "is", "哈哈", "ha", "ha", "🙂", "\n", "straße", '"quoted"', "done")
Json = dict[str, Any]


def ag_ui_runs(seed: int) -> list[Json]:
    """One to three runs of one thread, one after the other: texts, chunks, calls, reasoning, steps, states, every end.

    Args:
        seed: Determines everything; the ids of two seeds differ.
    """
    rng = random.Random(f"ag-ui/{seed}")
    found: list[Json] = []
    for number in range(rng.choice((1, 1, 1, 2, 3))):
        found += _Run(rng, f"{seed}-{number}").events()
    return found


class _Run:
    def __init__(self, rng: random.Random, name: str) -> None:
        self._rng = rng
        self._name = name
        self._count = 0
        self._boundary = {"threadId": f"thread-{name}", "runId": f"run-{name}"}

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._name}-{self._count}"

    def _pieces(self, most: int = 25) -> list[str]:
        rng = self._rng
        return [rng.choice(_WORDS) + " " * rng.randint(0, 1) for _ in range(rng.randint(1, most))]

    def events(self) -> list[Json]:
        rng = self._rng
        found: list[Json] = [{"type": "RUN_STARTED", **self._boundary}]
        acts = [self._text, self._text, self._chunks, self._two, self._call, self._calls, self._reasoning]
        acts += [self._step, self._state, self._activity, self._custom, self._subagent]
        for _ in range(rng.randint(0, 5)):
            found += rng.choice(acts)()
        return [*found, *self._end()]

    def _end(self) -> list[Json]:
        finish = {"type": "RUN_FINISHED", **self._boundary}
        usage = [{"provider": "p", "model": "m", "inputTokens": 3, "outputTokens": 4, "totalTokens": 7}]
        kind = self._rng.choice(("plain", "success", "usage", "error", "error", "cancelled", "interrupt", "pending"))
        if kind == "error":
            start = [{"type": "TEXT_MESSAGE_START", "messageId": self._id("msg"), "role": "assistant"}]
            return [*(start if self._rng.random() < 0.5 else []), {"type": "RUN_ERROR", "message": "no", "code": "E"}]
        if kind == "interrupt":
            interrupt = {"id": self._id("int"), "reason": "confirmation", "message": "May I?"}
            return [{**finish, "outcome": {"type": "interrupt", "interrupts": [interrupt]}}]
        if kind == "pending":
            call = self._open_call()
            outcome = {"type": "success", "pendingToolCallIds": [call[0]["toolCallId"]]}
            return [*call, {**finish, "outcome": outcome}]
        if kind == "usage":
            return [{**finish, "usage": usage}]
        return [finish if kind == "plain" else {**finish, "outcome": {"type": kind}}]

    def _text(self, **tag: str) -> list[Json]:
        id = self._id("msg")
        start = {"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant", **tag}
        parts = [{"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": piece, **tag} for piece in self._pieces()]
        return [start, *parts, {"type": "TEXT_MESSAGE_END", "messageId": id, **tag}]

    def _chunks(self) -> list[Json]:
        id = self._id("msg")
        return [{"type": "TEXT_MESSAGE_CHUNK", "messageId": id, "delta": piece} for piece in self._pieces()]

    def _two(self) -> list[Json]:
        one, other = self._text(), self._text()
        rest = [iter(one[1:-1]), iter(other[1:-1])]
        order = [0] * (len(one) - 2) + [1] * (len(other) - 2)
        self._rng.shuffle(order)
        return [one[0], other[0], *(next(rest[each]) for each in order), one[-1], other[-1]]

    def _open_call(self, **tag: str) -> list[Json]:
        id = self._id("call")
        start = {"type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": "weather", **tag}
        parts = [
            {"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": part, **tag}
            for part in ('{"city": "', self._rng.choice(("Oslo", "哈", "Å")), '"}')
        ]
        return [start, *parts, {"type": "TOOL_CALL_END", "toolCallId": id, **tag}]

    def _call(self, **tag: str) -> list[Json]:
        call = self._open_call(**tag)
        id = call[0]["toolCallId"]
        return [*call, {"type": "TOOL_CALL_RESULT", "messageId": f"{id}-r", "toolCallId": id, "content": "☀", **tag}]

    def _calls(self) -> list[Json]:
        one, other = self._call(), self._call()
        return [one[0], other[0], one[1], other[1], *one[2:4], *other[2:4], one[4], other[4], other[5], one[5]]

    def _reasoning(self) -> list[Json]:
        id = self._id("think")
        parts = [{"type": "REASONING_MESSAGE_CONTENT", "messageId": id, "delta": piece} for piece in self._pieces(8)]
        start = {"type": "REASONING_MESSAGE_START", "messageId": id, "role": "reasoning"}
        return [start, *parts, {"type": "REASONING_MESSAGE_END", "messageId": id}]

    def _step(self) -> list[Json]:
        name = self._id("step")
        return [{"type": "STEP_STARTED", "stepName": name}, *self._text(), {"type": "STEP_FINISHED", "stepName": name}]

    def _state(self) -> list[Json]:
        add = {"op": "add", "path": "/list/-", "value": self._count}
        return [{"type": "STATE_SNAPSHOT", "snapshot": {"list": []}}, {"type": "STATE_DELTA", "delta": [add]}]

    def _activity(self) -> list[Json]:
        id = self._id("plan")
        found = {"messageId": id, "activityType": "PLAN"}
        patch = [{"op": "replace", "path": "/done", "value": True}]
        return [
            {"type": "ACTIVITY_SNAPSHOT", **found, "content": {"done": False}},
            {"type": "ACTIVITY_DELTA", **found, "patch": patch},
        ]

    def _custom(self) -> list[Json]:
        return [{"type": "CUSTOM", "name": self._id("value"), "value": [1, None]}]

    def _subagent(self) -> list[Json]:
        id = self._id("agent")
        tag = {"subagentRunId": id}
        inner = [*self._text(**tag), *self._call(**tag)]
        return [{"type": "SUBAGENT_STARTED", **tag, "name": "helper"}, *inner, {"type": "SUBAGENT_FINISHED", **tag}]
