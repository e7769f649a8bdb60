"""One run of a scripted graph, and the thread that it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from runstream.testing.langgraph_messages import answer_message, chunks_of, tool_message, user_messages
from runstream.testing.playback import Playback
from runstream.testing.server_tools import ServerTools
from runstream.testing.turns import Model, ScriptedCall, ScriptedRequest, Turn, calls_of, turn_of
from runstream.testing.wire import Json

__all__ = ["ScriptedGraphRun", "ScriptedThread"]

_TIME: Final = "2026-01-01T00:00:00+00:00"
_MODES: Final = {"messages": "messages-tuple"}
_ENDS: Final = {"completed": "success", "cancelled": "interrupted", "expired": "timeout"}

Event = tuple[str, Any]


class ScriptedThread:
    """A thread.

    Attributes:
        id: Its id.
        runs: Its runs, the oldest first.
        messages: Its messages.
        interrupts: The interrupts that wait, by their ids.
        approvals: The calls that wait for an approval, by the id of their interrupt.
        turns: The turns of the model since the last input.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.runs: list[ScriptedGraphRun] = []
        self.messages: list[Json] = []
        self.interrupts: dict[str, Json] = {}
        self.approvals: dict[str, ScriptedCall] = {}
        self.turns = 0

    @property
    def json(self) -> Json:
        """The thread as it is now."""
        status = "busy" if any(run.status == "running" for run in self.runs) else "idle"
        if self.runs and self.runs[-1].status == "error":
            status = "error"
        interrupts = {"task_ask": list(self.interrupts.values())} if self.interrupts else {}
        return {
            "thread_id": self.id,
            "created_at": _TIME,
            "updated_at": _TIME,
            "metadata": {},
            "status": "interrupted" if self.interrupts and status == "idle" else status,
            "values": {"messages": self.messages},
            "interrupts": interrupts,
        }

    @property
    def state(self) -> Json:
        """Its state: the values, and what waits."""
        waiting = list(self.interrupts.values())
        task = {"id": "task_ask", "name": "ask", "error": None, "interrupts": waiting, "result": None}
        return {
            "values": {"messages": self.messages},
            "next": ["ask"] if waiting else [],
            "tasks": [task] if waiting else [],
            "metadata": {"run_id": self.runs[-1].id if self.runs else None, "thread_id": self.id},
            "created_at": _TIME,
            "checkpoint": {"thread_id": self.id},
        }


class ScriptedGraphRun:
    """A run of the wire: it ends when the graph has ended, or waits.

    Args:
        thread: Its thread.
        body: The body of the request.
        id: Its id.
        tools: The tools of the graph.

    Attributes:
        id: Its id.
        status: Its status, as the server has it.
        answers: The answers to interrupts that its request has.
        is_resumable: True if its events have ids.
    """

    def __init__(self, thread: ScriptedThread, body: Json, id: str, tools: ServerTools) -> None:
        self.id = id
        self.status = "running"
        self.is_resumable = bool(body.get("stream_resumable"))
        self._thread = thread
        self._body = body
        self._tools = tools
        self._model: Model = ()
        self._path = ""
        self._turn = Turn()
        self._is_partial = False  # it answers some interrupts only, and asks for the others again
        self._playback = Playback(self._make())
        self.answers: Json = self._read_answers((body.get("command") or {}).get("resume"))

    @property
    def json(self) -> Json:
        """The run as it is now."""
        return {
            "run_id": self.id,
            "thread_id": self._thread.id,
            "assistant_id": self._body["assistant_id"],
            "status": self.status,
            "metadata": self._body.get("metadata") or {},
            "kwargs": {"input": self._body.get("input"), "command": self._body.get("command")},
            "multitask_strategy": "enqueue",
            "created_at": _TIME,
            "updated_at": _TIME,
        }

    def begin(self, model: Model, path: str) -> Turn:
        """Ask the model for the first turn.

        Raises:
            ValueError: The request resumes a thread that does not wait.
        """
        command, thread = self._body.get("command") or {}, self._thread
        if "resume" in command and not thread.interrupts:
            raise ValueError("the thread has no interrupt to resume")
        self._model, self._path = model, path
        self._is_partial = bool(self.answers) and len(self.answers) < len(thread.interrupts)
        if self._is_partial:
            return Turn()  # the rest is asked again
        self._turn = self._next(self.answers, thread.turns if self.answers else 0)
        return self._turn

    def start(self) -> None:
        """Begin to execute the graph. The answers of the request are accepted."""
        if not self.answers:
            self._thread.messages += user_messages(self._body.get("input"), len(self._thread.messages))
            self._thread.interrupts, self._thread.approvals, self._thread.turns = {}, {}, 0
        for id in self.answers:
            del self._thread.interrupts[id]
        self._playback.start()

    def cancel(self) -> bool:
        """Cancel it; False if it has ended."""
        if self.status != "running":
            return False
        self.status = "interrupted"
        self._playback.stop()
        return True

    async def read(self, after: int) -> AsyncIterator[tuple[int, Event]]:
        """The events after a number, with their numbers.

        Raises:
            ConnectionCut: The connection breaks off.
        """
        modes = self._body.get("stream_mode") or "values"
        wanted = {modes} if isinstance(modes, str) else set(modes)
        number = after
        async for event in self._playback.read(after):
            number += 1
            name = event[0]
            if name in ("metadata", "error") or _MODES.get(name, name) in wanted:
                yield number, event

    def _next(self, outputs: Json, number: int) -> Turn:
        return turn_of(self._model, ScriptedRequest(self._path, self._body, number, outputs))

    def _read_answers(self, resume: Any) -> Json:
        """The answers by the ids of their interrupts; a bare value answers the only one."""
        waiting = self._thread.interrupts
        if resume is None or not waiting:
            return {}
        if isinstance(resume, dict) and resume.keys() & waiting.keys():
            return {id: answer for id, answer in resume.items() if id in waiting}
        return {next(iter(waiting)): resume}

    async def _make(self) -> AsyncIterator[Event]:
        """Execute the graph: turns of the model and their calls, until it ends or waits."""
        thread = self._thread
        yield "metadata", {"run_id": self.id, "attempt": 1}
        decided = {id: call for id, call in thread.approvals.items() if id in self.answers}
        results = [
            tool_message(call, await self._tools.output(call) if self.answers[id] is True else "declined")
            for id, call in decided.items()
        ]
        for id in decided:
            del thread.approvals[id]
        if results:
            thread.messages += results
            yield "updates", {"tools": {"messages": results}}
        yield "values", {"messages": list(thread.messages)}
        if not self._is_partial:
            turn = self._turn
            while True:
                thread.turns += 1
                if turn.cut_after is not None:
                    self._playback.cuts.add(len(self._playback.events) + turn.cut_after)
                calls: list[ScriptedCall] = []
                async for event in self._answer(turn, calls):
                    yield event
                    await asyncio.sleep(turn.pause)
                if not calls or thread.interrupts:
                    break
                outputs = await asyncio.gather(*(self._tools.output(call) for call in calls))
                results = [tool_message(call, output) for call, output in zip(calls, outputs, strict=True)]
                thread.messages += results
                yield "updates", {"tools": {"messages": results}}
                yield "values", {"messages": list(thread.messages)}
                made = {str(call.id): output for call, output in zip(calls, outputs, strict=True)}
                turn = self._next(made, thread.turns)
            if not turn.waits and turn.status not in _ENDS:
                self.status = "error"
                yield "error", {"error": turn.code, "message": "The scripted run failed."}
                return
            if not turn.waits:
                self.status = _ENDS[turn.status]
                return
        waiting = list(thread.interrupts.values())
        yield "updates", {"__interrupt__": waiting}
        yield "values", {"messages": list(thread.messages), "__interrupt__": waiting}
        self.status = "success"

    async def _answer(self, turn: Turn, calls: list[ScriptedCall]) -> AsyncIterator[Event]:
        """The events of one message of the model. Its calls are appended; approvals and questions become interrupts."""
        thread = self._thread
        number = len(thread.messages)
        calls += _named(list(calls_of(turn.calls)), f"call_{thread.id}_{number}")
        approvals = _named(list(calls_of(turn.approvals)), f"tool_{thread.id}_{number}")
        all_calls = [*calls, *approvals]
        if turn.text or all_calls:
            message = answer_message(f"ai_{thread.id}_{number}", turn.text, all_calls)
            facts = {"run_id": self.id, "thread_id": thread.id, "langgraph_node": "agent"}
            for chunk in chunks_of(message, all_calls):
                yield "messages", [chunk, facts]
            thread.messages.append(message)
            yield "updates", {"agent": {"messages": [message]}}
        if turn.approvals or turn.questions:
            for call in approvals:
                value = {"question": f"Execute {call.name}?", "tool_call_id": call.id}
                thread.approvals[f"interrupt_{call.id}"] = call
                thread.interrupts[f"interrupt_{call.id}"] = {"id": f"interrupt_{call.id}", "value": value}
            for place, question in enumerate(turn.questions):
                id = question.id or f"question_{thread.id}_{number}_{place}"
                schema = {} if question.schema is None else {"response_schema": dict(question.schema)}
                thread.interrupts[id] = {"id": id, "value": {"question": question.message}, **schema}
        if turn.text or all_calls:
            yield "values", {"messages": list(thread.messages)}


def _named(calls: Sequence[ScriptedCall], prefix: str) -> list[ScriptedCall]:
    """The calls, each with an id."""
    return [ScriptedCall(call.name, call.arguments, call.id or f"{prefix}_{place}") for place, call in enumerate(calls)]
