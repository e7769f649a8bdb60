"""The Responses API over a scripted model: streams, background, WebSocket mode with lanes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any, Final

import msgspec

from runstream.testing.asgi import ConnectionCut, HttpRequest, Receive, Reply, Send, error_reply
from runstream.testing.faults import refusal_of
from runstream.testing.playback import Playback
from runstream.testing.response_script import ResponseScript
from runstream.testing.turns import Model, ScriptedRequest, Turn, turn_of
from runstream.testing.wire import Json

__all__ = ["ResponsesApi"]

_ANSWERS: Final = {
    "function_call_output": ("call_id", "output"),
    "custom_tool_call_output": ("call_id", "output"),
    "mcp_approval_response": ("approval_request_id", "approve"),
}
_MODEL_ITEMS: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call", "mcp_approval_request"})
_PATH: Final = re.compile(r"/responses/([^/]+)(?:/(cancel|input_items))?")


class ResponsesApi:
    """The requests of the Responses API.

    Args:
        model: The scripted model.

    Attributes:
        outputs: The answers of each call by its id, in the order in which they were accepted.
    """

    def __init__(self, model: Model) -> None:
        self.outputs: dict[str, list[Any]] = {}
        self._model = model
        self._responses: dict[str, _Response] = {}

    async def reply(self, request: HttpRequest, path: str) -> Reply | None:
        """The response; ``None`` if the path is of another API.

        Args:
            request: The request.
            path: Its path, without the base.

        Raises:
            ConnectionCut: The response is lost.
        """
        if path == "/responses" and request.method == "POST":
            made = self._create(request.body if isinstance(request.body, dict) else {}, path)
            if isinstance(made, Reply):
                return made
            if made.turn.lose:
                raise ConnectionCut
            body = request.body
            if body.get("stream"):
                return Reply(_blocks(made.read(cancel=not body.get("background"))))
            if not body.get("background"):
                await made.done.wait()
            return Reply(made.json)
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        response = self._responses.get(found[1])
        if response is None:
            return error_reply(404, f"Response with id '{found[1]}' not found.")
        if found[2] == "cancel":
            return response.cancel()
        if request.query.get("stream") == "true":
            after = int(request.query.get("starting_after", "-1"))
            return Reply(_blocks(response.read(after=after)))
        return Reply(response.json)

    async def talk(self, receive: Receive, send: Send) -> None:
        """Serve a WebSocket: each message creates a response, those of several lanes at the same time."""
        lanes: dict[str, asyncio.Queue[Json]] = {}
        tasks: list[asyncio.Task[None]] = []
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while (message := await receive())["type"] == "websocket.receive":
                text = message.get("text") or (message.get("bytes") or b"").decode()
                request = msgspec.json.decode(text)
                lane = request.get("stream_id", "")
                if lane not in lanes:
                    lanes[lane] = asyncio.Queue()
                    tasks.append(asyncio.create_task(self._serve_lane(lane, lanes[lane], send)))
                lanes[lane].put_nowait(request)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve_lane(self, lane: str, requests: asyncio.Queue[Json], send: Send) -> None:
        extra: Json = {"stream_id": lane} if lane else {}

        async def emit(event: Json) -> None:
            await send({"type": "websocket.send", "text": msgspec.json.encode({**event, **extra}).decode()})

        while True:
            request = await requests.get()
            body = {key: value for key, value in request.items() if key != "type"}
            try:
                made = self._create(body, "/responses")
                if isinstance(made, Reply):
                    await emit({"type": "error", "status": made.status, **made.value})
                    continue
                if made.turn.lose:
                    raise ConnectionCut
                async for event in made.read(cancel=True):
                    await emit(event)
            except ValueError as error:
                await emit({"type": "error", "status": 400, **error_reply(400, str(error)).value})
            except ConnectionCut:
                with suppress(Exception):
                    await send({"type": "websocket.close", "code": 1011})
                return

    def _create(self, body: Json, path: str) -> _Response | Reply:
        parent_id = body.get("previous_response_id")
        parent = self._responses.get(parent_id) if parent_id else None
        if parent_id and parent is None:
            message = f"Previous response with id '{parent_id}' not found."
            return error_reply(400, message, code="previous_response_not_found")
        items = body.get("input")
        items = items if isinstance(items, list) else []
        answers = dict(_answers(_after_model(items)))
        if parent is not None and (missing := [one for one in parent.script.asked if one not in answers]):
            return error_reply(400, f"No tool output found for function call {missing[0]}.")
        number = parent.number + 1 if parent is not None else _turns_in(items)
        turn = turn_of(self._model, ScriptedRequest(path, body, number, answers), has_questions=False)
        if (refusal := refusal_of(turn)) is not None:
            return refusal
        for call_id, answer in answers.items():
            self.outputs.setdefault(call_id, []).append(answer)
        response_id = f"resp_{len(self._responses) + 1}"
        made = self._responses[response_id] = _Response(ResponseScript(response_id, body, turn), turn, number)
        made.start()
        return made


class _Response:
    """One response that is being made."""

    def __init__(self, script: ResponseScript, turn: Turn, number: int) -> None:
        self.script = script
        self.turn = turn
        self.number = number
        self._playback = Playback(self._make())
        if turn.cut_after is not None:
            self._playback.cuts.add(turn.cut_after)
        self._cancelled = False

    @property
    def json(self) -> Json:
        """The response as it is now."""
        found = self.script.snapshot(len(self._playback.events))
        return {**found, "status": "cancelled"} if self._cancelled else found

    @property
    def done(self) -> asyncio.Event:
        """Set once it has ended."""
        return self._playback.done

    def start(self) -> None:
        """Begin to make the events, at the pace of the turn."""
        self._playback.start()

    def cancel(self) -> Reply:
        """Cancel it, as a background response can be."""
        if not self.script.response["background"]:
            return error_reply(400, "Cannot cancel a synchronous response.")
        if not self.done.is_set():
            self._stop()
        return Reply(self.json)

    async def read(self, *, after: int = -1, cancel: bool = False) -> AsyncIterator[Json]:
        """The events after a number, as they are made.

        Args:
            after: The number.
            cancel: True if the response is cancelled when its reader leaves.

        Raises:
            ConnectionCut: The connection breaks off, once.
        """
        try:
            async for event in self._playback.read(after):
                yield event
        finally:
            if cancel and not self.done.is_set():
                self._stop()

    async def _make(self) -> AsyncIterator[Json]:
        for event in self.script.events:
            yield event
            await asyncio.sleep(self.turn.pause)

    def _stop(self) -> None:
        self._cancelled = True
        self._playback.stop()


def _answers(items: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    for item in items:
        names = _ANSWERS.get(item.get("type", "")) if isinstance(item, dict) else None
        if names is not None and isinstance(item.get(names[0]), str):
            yield item[names[0]], item.get(names[1])


def _turns_in(items: Iterable[Any]) -> int:
    """The number of turns of the model in a history: groups of its items."""
    turns, was_model = 0, False
    for item in items:
        is_model = _is_model(item)
        turns += is_model and not was_model
        was_model = is_model
    return turns


def _after_model(items: list[Any]) -> list[Any]:
    """The items after the last one of the model: what the client adds to a history."""
    last = max((place for place, item in enumerate(items) if _is_model(item)), default=-1)
    return items[last + 1 :]


def _is_model(item: Any) -> bool:
    kind = item.get("type", "message") if isinstance(item, dict) else ""
    return kind in _MODEL_ITEMS and (kind != "message" or item.get("role") == "assistant")


async def _blocks(events: AsyncIterator[Json]) -> AsyncIterator[bytes]:
    try:
        async for event in events:
            yield b"event: " + event["type"].encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"
    finally:
        await events.aclose()  # type: ignore[attr-defined]
