"""The AG-UI protocol over a scripted model: runs of threads, frontend tools, interrupts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from runstream.testing.asgi import ConnectionCut, HttpRequest, Reply, error_reply
from runstream.testing.faults import refusal_of
from runstream.testing.server_tools import ServerTools
from runstream.testing.turns import Model, ScriptedCall, ScriptedRequest, Turn, calls_of, pieces_of, turn_of
from runstream.testing.wire import Json

__all__ = ["AgUiApi"]

_REQUIRED: Final = ("threadId", "runId", "messages")
_DECISION: Final[Json] = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["approved"],
}
"""The schema of the answer to an approval."""


class _Thread(Struct):
    """What the server remembers of a thread.

    Attributes:
        turns: The turns of its latest run, which may consist of several runs of the wire.
        asked: The ids of the calls and interrupts that the run waits for.
        approvals: The calls that wait for an approval, by the id of their interrupt.
    """

    turns: int = 0
    asked: tuple[str, ...] = ()
    approvals: dict[str, ScriptedCall] = field(default_factory=dict)


class AgUiApi:
    """The only request of AG-UI: a POST of the input of a run.

    Args:
        model: The scripted model.
        tools: The tools of the server: they execute the calls that are approved.

    Attributes:
        outputs: The answers of each call and interrupt by its id, in the order in which they were accepted.
    """

    def __init__(self, model: Model, tools: ServerTools) -> None:
        self.outputs: dict[str, list[Any]] = {}
        self._model = model
        self._tools = tools
        self._threads: dict[str, _Thread] = {}
        self._count = 0

    async def reply(self, request: HttpRequest) -> Reply:
        """The response.

        Args:
            request: The request.

        Raises:
            ConnectionCut: The response is lost.
        """
        body = request.body
        if request.method != "POST" or not isinstance(body, dict) or any(name not in body for name in _REQUIRED):
            return error_reply(422, "A run is a POST of an input with threadId, runId and messages.")
        thread = self._threads.setdefault(body["threadId"], _Thread())
        answers = dict(_answers(body))
        known = {id: answer for id, answer in answers.items() if id in thread.asked}
        if thread.asked and known and (missing := [id for id in thread.asked if id not in known]):
            return error_reply(400, f"The run waits for {', '.join(missing)} too.")
        if body.get("resume") and not known:
            return error_reply(400, "The thread has no open interrupt.")
        number = thread.turns if known else 0
        turn = turn_of(self._model, ScriptedRequest(request.path, body, number, known))
        if (refusal := refusal_of(turn)) is not None:
            return refusal
        for id, answer in known.items():
            self.outputs.setdefault(id, []).append(answer)
        events = [event async for event in self._results(thread, known)]
        self._count += 1
        made, thread.asked, thread.approvals = _play(turn, self._count)
        thread.turns = number + 1
        if turn.lose:
            raise ConnectionCut
        boundary = {"threadId": body["threadId"], "runId": body["runId"]}
        return Reply(_stream(turn, [*_framed(turn, boundary, [*events, *made])]))

    async def _results(self, thread: _Thread, answers: Json) -> AsyncIterator[Json]:
        """The results of the calls that waited for an approval."""
        for id, call in thread.approvals.items():
            answer = answers.get(id)
            is_approved = isinstance(answer, dict) and answer.get("approved") is True
            content = await self._tools.output(call) if is_approved else "declined"
            yield {
                "type": "TOOL_CALL_RESULT",
                "messageId": f"result_{call.id}",
                "toolCallId": call.id,
                "content": content,
                "role": "tool",
            }


def _answers(body: Json) -> Iterator[tuple[str, Any]]:
    """The outputs behind the last message of the model, and the answers to interrupts (null for a cancelled one)."""
    messages: list[Json] = body["messages"]
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        yield message["toolCallId"], message["content"]
    for item in body.get("resume") or ():
        yield item["interruptId"], item.get("payload") if item.get("status") == "resolved" else None


def _play(turn: Turn, number: int) -> tuple[list[Json], tuple[str, ...], dict[str, ScriptedCall]]:
    """The events of a turn, the ids that wait after it, and the calls of its approvals by their interrupts."""
    events: list[Json] = []
    if turn.reasoning:
        span = {"messageId": f"reasoning_{number}"}
        events.append({"type": "REASONING_START", **span})
        events += _text("REASONING_MESSAGE", span["messageId"], "reasoning", turn.reasoning)
        events.append({"type": "REASONING_END", **span})
    if turn.text:
        events += _text("TEXT_MESSAGE", f"msg_{number}", "assistant", turn.text)
    functions = list(_named(calls_of(turn.calls), number, "call"))
    approvals = {f"interrupt_{call.id}": call for call in _named(calls_of(turn.approvals), number, "tool")}
    for call in [*functions, *approvals.values()]:
        events.append({"type": "TOOL_CALL_START", "toolCallId": call.id, "toolCallName": call.name})
        for piece in pieces_of(call.text):
            events.append({"type": "TOOL_CALL_ARGS", "toolCallId": call.id, "delta": piece})
        events.append({"type": "TOOL_CALL_END", "toolCallId": call.id})
    pending = [str(call.id) for call in functions]
    interrupts: list[Json] = [
        {
            "id": id,
            "reason": "tool_call",
            "message": f"Execute {call.name}?",
            "toolCallId": call.id,
            "responseSchema": _DECISION,
        }
        for id, call in approvals.items()
    ]
    for place, question in enumerate(turn.questions):
        schema = {} if question.schema is None else {"responseSchema": dict(question.schema)}
        id = question.id or f"question_{number}_{place}"
        interrupts.append({"id": id, "reason": "input_required", "message": question.message, **schema})
    outcome: Json = {"type": "success", **({"pendingToolCallIds": pending} if pending else {})}
    if interrupts:
        outcome = {"type": "interrupt", "interrupts": interrupts}
    elif turn.status == "cancelled" and not turn.waits:
        outcome = {"type": "cancelled"}
    events.append({"type": "RUN_FINISHED", "outcome": outcome})
    return events, (*pending, *(interrupt["id"] for interrupt in interrupts)), approvals


def _framed(turn: Turn, boundary: Json, events: Sequence[Json]) -> Iterator[Json]:
    """The events with the boundaries of their run."""
    yield {"type": "RUN_STARTED", **boundary, "protocolVersion": "1.0"}
    yield from events[:-1]
    if turn.waits or turn.status in ("completed", "cancelled"):
        yield {**events[-1], **boundary}
    else:
        code = turn.code if turn.status == "failed" else turn.status
        yield {"type": "RUN_ERROR", "message": "The scripted run failed.", "code": code}


async def _stream(turn: Turn, events: Sequence[Json]) -> AsyncIterator[bytes]:
    for place, event in enumerate(events):
        if place == turn.cut_after:
            raise ConnectionCut
        yield b"data: " + msgspec.json.encode(event) + b"\n\n"
        await asyncio.sleep(turn.pause)
    if turn.cut_after == len(events):
        raise ConnectionCut


def _named(calls: Iterable[ScriptedCall], number: int, prefix: str) -> Iterator[ScriptedCall]:
    """The calls, each with an id."""
    for place, call in enumerate(calls):
        yield ScriptedCall(call.name, call.arguments, call.id or f"{prefix}_{number}_{place}")


def _text(name: str, id: str, role: str, text: str) -> Iterator[Json]:
    yield {"type": f"{name}_START", "messageId": id, "role": role}
    for piece in pieces_of(text):
        yield {"type": f"{name}_CONTENT", "messageId": id, "delta": piece}
    yield {"type": f"{name}_END", "messageId": id}
