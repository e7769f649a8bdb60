"""The API of a LangGraph server over a scripted model: threads, runs that are streamed and joined, interrupts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from runstream.testing.asgi import ConnectionCut, HttpRequest, Reply
from runstream.testing.faults import refusal_of
from runstream.testing.langgraph_run import ScriptedGraphRun, ScriptedThread
from runstream.testing.server_tools import ServerTools
from runstream.testing.turns import Model
from runstream.testing.wire import Json

__all__ = ["LangGraphApi"]

_THREAD: Final = re.compile(r"/threads/([^/]+)(/state|/runs)?")
_RUN: Final = re.compile(r"/threads/([^/]+)/runs/([^/]+)(?:/(stream|cancel))?")
_START: Final = re.compile(r"(?:/threads/([^/]+))?/runs/stream")


class LangGraphApi:
    """The requests of the run wire.

    Args:
        model: The scripted model: that of the only graph, which has any name.
        tools: The tools of the graph.

    Attributes:
        outputs: The answers of each interrupt by its id, in the order in which they were accepted.
    """

    def __init__(self, model: Model, tools: ServerTools) -> None:
        self.outputs: dict[str, list[Any]] = {}
        self._model = model
        self._tools = tools
        self._threads: dict[str, ScriptedThread] = {}

    async def reply(self, request: HttpRequest, path: str) -> Reply | None:
        """The response; ``None`` for an unknown path.

        Args:
            request: The request.
            path: Its path, without the base.

        Raises:
            ConnectionCut: The response is lost.
        """
        body = request.body if isinstance(request.body, dict) else {}
        if path == "/threads" and request.method == "POST":
            return Reply(self._thread(body.get("thread_id")).json)
        if request.method == "POST" and (found := _START.fullmatch(path)):
            return await self._start(found[1], body, path)
        if found := _RUN.fullmatch(path):
            return self._of_run(request, found[1], found[2], found[3])
        found = _THREAD.fullmatch(path)
        if found is None or request.method != "GET":
            return None
        thread = self._threads.get(found[1])
        if thread is None:
            return Reply({"detail": f"Thread with ID {found[1]} not found"}, 404)
        if found[2] == "/runs":
            limit = int(request.query.get("limit", "10"))
            return Reply([run.json for run in reversed(thread.runs)][:limit])
        return Reply(thread.state if found[2] == "/state" else thread.json)

    def _thread(self, id: str | None = None) -> ScriptedThread:
        """A thread, which is created if there is none with the id."""
        name = id or f"thread_{len(self._threads) + 1}"
        return self._threads.setdefault(name, ScriptedThread(name))

    async def _start(self, thread_id: str | None, body: Json, path: str) -> Reply:
        if "assistant_id" not in body:
            return Reply({"detail": "assistant_id is required"}, 422)
        if thread_id is not None and thread_id not in self._threads and body.get("if_not_exists") != "create":
            return Reply({"detail": f"Thread with ID {thread_id} not found"}, 404)
        thread = self._thread(thread_id)
        run = ScriptedGraphRun(thread, body, f"run_{thread.id}_{len(thread.runs) + 1}", self._tools)
        turn = run.begin(self._model, path)
        if (refusal := refusal_of(turn)) is not None:
            return refusal
        for id, answer in run.answers.items():
            self.outputs.setdefault(id, []).append(answer)
        thread.runs.append(run)
        run.start()
        if turn.lose:
            raise ConnectionCut
        # A run without a thread is found under its own id alone.
        place = f"/threads/{thread_id}/runs/{run.id}" if thread_id is not None else f"/runs/{run.id}"
        return _stream(run, place)

    def _of_run(self, request: HttpRequest, thread_id: str, run_id: str, part: str | None) -> Reply | None:
        thread = self._threads.get(thread_id)
        run = next((run for run in thread.runs if run.id == run_id), None) if thread is not None else None
        if run is None:
            return Reply({"detail": f"Run {run_id} not found"}, 404)
        if part == "cancel" and request.method == "POST":
            return Reply({}, 202) if run.cancel() else Reply({"detail": "No run to cancel"}, 404)
        if part == "stream":
            after = request.headers.get("last-event-id")
            return _stream(run, f"/threads/{thread_id}/runs/{run_id}", after)
        return Reply(run.json)


def _stream(run: ScriptedGraphRun, place: str, after: str | None = None) -> Reply:
    return Reply(_blocks(run, after), headers=((b"content-location", place.encode()),))


async def _blocks(run: ScriptedGraphRun, after: str | None = None) -> AsyncIterator[bytes]:
    """The blocks of the stream of a run.

    Args:
        run: The run.
        after: The id of the last event that the client has; ``None`` for all of them.
    """
    async for number, (name, data) in run.read(int(after) if after is not None else -1):
        id = b"id: %d\r\n" % number if run.is_resumable else b""
        yield b"event: %s\r\ndata: %s\r\n%s\r\n" % (name.encode(), msgspec.json.encode(data), id)
