"""The Assistants API over a scripted model: threads, runs, outputs, steps, messages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from copy import deepcopy
from typing import Any, Final

from runstream.testing.asgi import ConnectionCut, HttpRequest, Reply, error_reply
from runstream.testing.faults import refusal_of
from runstream.testing.script import Script
from runstream.testing.turns import Model, ScriptedRequest, Turn, calls_of, pieces_of, turn_of
from runstream.testing.wire import Json, WireEvent

__all__ = ["AssistantsApi"]

_RUN: Final = re.compile(r"/threads/([^/]+)/runs/([^/]+)(?:/(submit_tool_outputs|cancel|steps))?")


class AssistantsApi:
    """The requests of the Assistants API.

    Args:
        model: The scripted model.

    Attributes:
        outputs: The answers of each call by its id, in the order in which they were accepted.
    """

    def __init__(self, model: Model) -> None:
        self.outputs: dict[str, list[Any]] = {}
        self._model = model
        self._runs: dict[str, _ScriptedRun] = {}
        self._messages: dict[str, list[Json]] = {}

    async def reply(self, request: HttpRequest, path: str) -> Reply | None:
        """The response; ``None`` if the path is of another API.

        Args:
            request: The request.
            path: Its path, without the base.

        Raises:
            ConnectionCut: The response is lost.
        """
        body = request.body if isinstance(request.body, dict) else {}
        if path == "/assistants" and request.method == "POST":
            return Reply({"id": "asst_1", "object": "assistant", "created_at": 1, "tools": [], "metadata": {}, **body})
        if path == "/threads" and request.method == "POST":
            return Reply(self._new_thread())
        if path == "/threads/runs" and request.method == "POST":
            return self._create(self._new_thread()["id"], body, path)
        thread = re.fullmatch(r"/threads/([^/]+)(/messages|/runs)?", path)
        if thread is not None:
            return self._of_thread(request, thread[1], thread[2], body, path)
        found = _RUN.fullmatch(path)
        if found is None:
            return None
        run = self._runs.get(found[2])
        if run is None or run.script.run["thread_id"] != found[1]:
            return error_reply(404, f"No run found with id '{found[2]}'.")
        return self._of_run(request, run, found[3], body, path)

    def _new_thread(self) -> Json:
        thread_id = f"thread_{len(self._messages) + 1}"
        self._messages[thread_id] = []
        return {"id": thread_id, "object": "thread", "created_at": 1, "metadata": {}, "tool_resources": {}}

    def _of_thread(self, request: HttpRequest, thread_id: str, part: str | None, body: Json, path: str) -> Reply | None:
        messages = self._messages.setdefault(thread_id, [])
        if part == "/runs" and request.method == "POST":
            return self._create(thread_id, body, path)
        if part == "/messages" and request.method == "POST":
            messages.append(_user_message(thread_id, len(messages) + 1, body))
            return Reply(messages[-1])
        if part == "/messages":
            run_id = request.query.get("run_id")
            of_runs = [
                message
                for run in self._runs.values()
                if run.script.run["thread_id"] == thread_id and run_id in (None, run.script.run_id)
                for message in run.script.messages.values()
            ]
            return Reply(_page([*(messages if run_id is None else []), *of_runs], request))
        if part is None and request.method == "GET":
            return Reply({"id": thread_id, "object": "thread", "created_at": 1, "metadata": {}, "tool_resources": {}})
        return None

    def _create(self, thread_id: str, body: Json, path: str) -> Reply:
        asked = ScriptedRequest(path, body, 0, {})
        turn = turn_of(self._model, asked, has_questions=False)
        if (refusal := refusal_of(turn)) is not None:
            return refusal
        fields: Json = {name: body[name] for name in ("model", "instructions", "tools", "metadata") if name in body}
        fields["assistant_id"] = body.get("assistant_id") or body.get("agent_id") or "asst_1"
        run = _ScriptedRun(Script(f"run_{len(self._runs) + 1}", thread_id=thread_id, **fields))
        self._runs[run.script.run_id] = run
        return run.take_turn(turn, stream=bool(body.get("stream")), created=True)

    def _of_run(self, request: HttpRequest, run: _ScriptedRun, part: str | None, body: Json, path: str) -> Reply | None:
        if part is None:
            return Reply(run.json)
        if part == "steps":
            return Reply(_page([*run.script.steps.values()], request))
        if part == "cancel":
            return run.cancel()
        outputs = {item["tool_call_id"]: item.get("output") for item in body.get("tool_outputs") or ()}
        approvals = {item["tool_call_id"]: bool(item.get("approve")) for item in body.get("tool_approvals") or ()}
        answers = {**outputs, **approvals}
        status = run.script.run["status"]
        if status != "requires_action":
            return error_reply(400, f'Runs in status "{status}" do not accept tool outputs.')
        if answers.keys() != (asked := set(run.asked)):
            return error_reply(400, f"Expected tool outputs for call_ids {sorted(asked)}, got {sorted(answers)}")
        turn = turn_of(self._model, ScriptedRequest(path, body, run.turns, answers), has_questions=False)
        if (refusal := refusal_of(turn)) is not None:
            return refusal
        for call_id, answer in answers.items():
            self.outputs.setdefault(call_id, []).append(answer)
        run.script.answer(*(str(answers[call_id]) for call_id in run.asked))
        return run.take_turn(turn, stream=bool(body.get("stream")))


class _ScriptedRun:
    """One run, and the turns that it has taken."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.turns = 0
        self.asked: list[str] = []
        self._cancelled = False

    @property
    def json(self) -> Json:
        """The run as it is now."""
        return deepcopy(self.script.run)

    def take_turn(self, turn: Turn, *, stream: bool, created: bool = False) -> Reply:
        """Take a turn; return the stream of its events, or the run after it.

        Args:
            turn: The turn.
            stream: True for the stream.
            created: True if the stream begins with the events of the new run.

        Raises:
            ConnectionCut: The response is lost.
        """
        before = deepcopy(self.script)
        first = 0 if created else len(before.events) - 1  # the event of the new status is part of the turn
        self.asked = _play(self.script, turn)
        self.turns += 1
        if turn.lose:
            raise ConnectionCut
        events = self.script.events[first:]
        return Reply(self._stream(before, events, turn)) if stream else Reply(self.json)

    def cancel(self) -> Reply:
        """Cancel the run."""
        status = self.script.run["status"]
        if status in ("completed", "failed", "cancelled", "expired", "incomplete"):
            return error_reply(400, f"Cannot cancel run with status '{status}'.")
        self._cancelled = True
        self.script.end("cancelled")
        return Reply({**self.json, "status": "cancelling"})

    async def _stream(self, before: Script, events: Sequence[WireEvent], turn: Turn) -> AsyncIterator[bytes]:
        after, number, is_shown = self.script, len(before.events), not turn.pause
        if not is_shown:
            self.script = before  # the server shows the run as it was, until the event that ends the turn is sent
        ends = f"thread.run.{after.run['status']}"
        last = max((index for index, event in enumerate(events) if event.name == ends), default=len(events))
        try:
            for index, event in enumerate(events):
                if turn.cut_after is not None and index >= turn.cut_after:
                    raise ConnectionCut
                if self._cancelled and not is_shown:
                    break
                if index == last and not is_shown:
                    # Before the event: who has it may answer at once, while the rest of the stream is still sent.
                    self.script, is_shown = after, True
                yield event.sse()
                await asyncio.sleep(turn.pause)
            else:
                if turn.cut_after == len(events):
                    raise ConnectionCut
                return
        finally:
            if not self._cancelled and not is_shown:
                self.script = after
        for event in self.script.events[number:]:  # those of the cancellation
            yield event.sse()


def _play(script: Script, turn: Turn) -> list[str]:
    """Add the events of a turn to a script; return the ids of the calls that it waits for."""
    if turn.text:
        script.say(turn.text)
    if not turn.waits:
        fields: Json = {}
        if turn.status == "failed":
            fields["last_error"] = {"code": turn.code, "message": "The scripted run failed."}
        elif turn.status in ("completed", "incomplete"):
            fields["usage"] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        script.end(turn.status, **fields)
        return []
    step = script.open_calls()
    functions = list(calls_of(turn.calls))
    for index, call in enumerate([*functions, *calls_of(turn.approvals)]):
        step.open(index, "function" if index < len(functions) else "mcp", name=call.name)
        if call.id is not None:
            step.calls[index]["id"] = call.id
        for piece in pieces_of(call.text):
            step.grow(index, piece)
    script.require(step)
    return [call["id"] for call in step.calls]


def _user_message(thread_id: str, number: int, body: Json) -> Json:
    content = body.get("content", "")
    parts = [{"type": "text", "text": {"value": content, "annotations": []}}] if isinstance(content, str) else content
    return {
        "id": f"msg_user_{number}",
        "object": "thread.message",
        "created_at": 1,
        "thread_id": thread_id,
        "role": body.get("role", "user"),
        "content": parts,
        "assistant_id": None,
        "run_id": None,
        "attachments": [],
        "metadata": {},
    }


def _page(objects: Sequence[Json], request: HttpRequest) -> Json:
    """A page of a list, as ``limit``, ``order`` and ``after`` say."""
    ordered = list(objects) if request.query.get("order") == "asc" else [*reversed(objects)]
    if (after := request.query.get("after")) is not None:
        ids = [item["id"] for item in ordered]
        ordered = ordered[ids.index(after) + 1 :] if after in ids else []
    limit = int(request.query.get("limit", "20"))
    page = ordered[:limit]
    ids = [item["id"] for item in page]
    return {
        "object": "list",
        "data": deepcopy(page),
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": len(ordered) > limit,
    }
