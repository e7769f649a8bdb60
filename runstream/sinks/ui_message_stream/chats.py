"""The chats of an endpoint: requests of `useChat` enter, streams of events leave.

One assistant message may take several requests: a run that waits is continued by the request with the answers.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

from msgspec import structs

from runstream.clients.base import BaseClient
from runstream.core.derive import awaited_calls
from runstream.core.state import RunState
from runstream.core.state_snapshot import StateSnapshot
from runstream.errors import RequestFailed
from runstream.logs import LOG
from runstream.model.signals import AwaitedCall
from runstream.sinks.asgi import OnDisconnect
from runstream.sinks.ui_message_stream.chat import UiChat, UiChatError, decision_of
from runstream.sinks.ui_message_stream.chunks import DONE, chunk_bytes
from runstream.sinks.ui_message_stream.encoder import UiMessageEncoder
from runstream.sinks.ui_message_stream.tool_calls import tool_call_id
from runstream.sinks.ui_message_stream.tool_parts import DECIDED
from runstream.stream.run_stream import RunStream
from runstream.stream.run_view import RunView

__all__ = ["UiChatHandler", "UiChats"]

UiChatHandler: TypeAlias = Callable[[UiChat], "RunStream | RunView | Awaitable[RunStream | RunView]"]
"""Starts or continues a run for a request; sync or async. A stream that was not started is closed at its end; one that
was, or one run of it, is only followed."""

_CANCEL_TIMEOUT: Final = 5.0  # seconds


class _Waiting:
    """The calls that a run of a chat waits for, by ``toolCallId``."""

    __slots__ = ("calls", "run_id")

    def __init__(self, run_id: str, calls: Mapping[str, AwaitedCall]) -> None:
        self.run_id = run_id
        self.calls = calls


class _Active:
    """The stream of a chat that is being sent, to any number of browsers.

    Attributes:
        owned: True if the handler has made the stream for this chat: then it is closed at its end.
        readers: The number of browsers.
        task: Reads a stream of its own to its end.
    """

    def __init__(self, chat: UiChat, stream: RunStream | RunView, message_id: str) -> None:
        self.chat = chat
        self.stream = stream
        self.message_id = message_id
        self.owned = isinstance(stream, RunStream) and not stream.is_started
        self.readers = 0
        self.task: asyncio.Task[None] | None = None

    def states(self) -> list[RunState]:
        """The latest states of its runs."""
        if isinstance(self.stream, RunView):
            return [state] if (state := self.stream.state) is not None else []
        return [*self.stream.latest.values()]

    def state_of(self, item: Any) -> RunState | None:
        """The state of the run of a signal."""
        run_id = getattr(item, "run_id", None)
        if run_id is None:
            return None
        if isinstance(self.stream, RunView):
            return self.stream.state
        return self.stream.latest.get((item.scope, run_id) if item.scope else run_id)


class UiChats:
    """The chats of an endpoint; see :class:`~runstream.UiMessageApp` for the arguments.

    Args:
        handler: Starts runs.
        client: Receives the answers of browsers; ``None``: the handler does.
        on_disconnect: What happens to the run of a browser that leaves.
        finish_at_action: True to end the response as soon as the run waits.
        settle_time: How long signals may follow the end of a run (seconds).
        max_chats: How many chats may wait, and how many may be sent at a time.
        encoder_options: Options of each encoder.
    """

    def __init__(
        self,
        handler: UiChatHandler,
        *,
        client: BaseClient | None,
        on_disconnect: OnDisconnect,
        finish_at_action: bool,
        settle_time: float,
        max_chats: int,
        encoder_options: Mapping[str, Any],
    ) -> None:
        self._handler = handler
        self._client = client
        self._on_disconnect = on_disconnect
        self._finish_at_action = finish_at_action
        self._settle_time = settle_time
        self._max_chats = max_chats
        self._options = dict(encoder_options)
        if client is not None:
            self._options["submitted"] = lambda run_id, key: client.submitted(run_id).get(key)
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._active: dict[str, _Active] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, chat: UiChat) -> AsyncGenerator[bytes, None]:
        """Start or continue a run; the events of the response.

        Args:
            chat: The request.

        Raises:
            UiChatError: The request is refused.
        """
        if len(self._tasks) >= self._max_chats:
            raise UiChatError("too many runs at a time; try again later", status=503, code="too_many_runs")
        waiting = self._waiting.get(chat.id)
        if waiting is not None:
            answers = dict(_matching(chat.answers, waiting))
            chat = structs.replace(chat, answers=answers, run_id=waiting.run_id if answers else None)
        stream = await self._start(chat, waiting)
        shown = chat.message
        message_id = str(shown["id"]) if shown is not None and shown.get("id") else f"msg_{uuid.uuid4().hex}"
        self._active.pop(chat.id, None)
        active = self._active[chat.id] = _Active(chat, stream, message_id)
        if len(self._active) > self._max_chats:
            del self._active[next(iter(self._active))]  # it goes on, and is not resumed
        encoder = UiMessageEncoder(message_id=message_id, message=shown, **self._options)
        events = await self._join(active, encoder)  # before the stream is read
        if active.owned:
            task = active.task = asyncio.create_task(self._keep(active))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return events

    async def resume(self, chat_id: str) -> AsyncGenerator[bytes, None] | None:
        """The events of a response that is being sent, from its beginning; ``None`` if there is none.

        Args:
            chat_id: The id of the chat.
        """
        active = self._active.get(chat_id)
        if active is None:
            return None
        return await self._join(active, UiMessageEncoder(message_id=active.message_id, **self._options))

    def cancel(self) -> None:
        """End all runs that this endpoint has started."""
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until all runs have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _start(self, chat: UiChat, waiting: _Waiting | None) -> RunStream | RunView:
        if self._client is not None and waiting is not None and chat.answers:
            try:
                return self._client.answer(waiting.run_id, chat.answers)
            except LookupError as error:
                message = "the run does not wait for this answer any more"
                raise UiChatError(message, status=409, code="not_waiting") from error
        found = self._handler(chat)
        return await found if inspect.isawaitable(found) else found

    async def _keep(self, active: _Active) -> None:
        """Read a stream of its own to its end, with or without a browser."""
        stream: Any = active.stream
        try:
            async with stream:
                await _wait_for_end(stream)
        except Exception as error:
            LOG.error("ui_message_stream_failed", error=type(error).__name__)
        finally:
            self._note_waiting(active, active.states())
            self._forget(active)

    def _forget(self, active: _Active) -> None:
        if self._active.get(active.chat.id) is active:
            del self._active[active.chat.id]

    async def _join(self, active: _Active, encoder: UiMessageEncoder) -> AsyncGenerator[bytes, None]:
        """The events for one more browser, which joins now."""
        events = self._read(active, encoder)
        await anext(events)
        return events

    async def _read(self, active: _Active, encoder: UiMessageEncoder) -> AsyncGenerator[bytes, None]:
        """The events for one browser, behind an empty one: from there on it is closed in any case."""
        signals = active.stream.iter(replay=True)
        active.readers += 1
        try:
            yield b""
            yield _block(encoder.start())
            while not (self._finish_at_action and encoder.is_waiting):
                try:
                    async with asyncio.timeout(self._settle_time if encoder.has_ended else None):
                        item: Any = await anext(signals)
                except (StopAsyncIteration, TimeoutError):
                    break
                except Exception as error:  # the stream has failed, or this browser is too slow for it
                    LOG.error("ui_message_stream_failed", error=type(error).__name__)
                    break
                state = item.state if isinstance(item, StateSnapshot) else active.state_of(item)
                if chunks := encoder.encode(item, state):
                    yield _block(chunks)
            states = active.states()
            self._note_waiting(active, states)  # before the browser can answer
            yield _block(encoder.finish(states)) + DONE
        finally:
            active.readers -= 1
            await signals.aclose()
            is_left = not encoder.is_finished and not active.readers and self._on_disconnect == "cancel"
            if not active.owned and (encoder.is_finished or is_left):
                self._forget(active)
            elif is_left:
                await self._cancel(active)

    async def _cancel(self, active: _Active) -> None:
        """Cancel the runs of a browser that has left."""
        for state in active.states():
            if self._client is not None and not state.is_terminal:
                with suppress(RequestFailed, LookupError, TimeoutError):
                    async with asyncio.timeout(_CANCEL_TIMEOUT):
                        await self._client.cancel(state.run_id)
        if active.task is not None:
            active.task.cancel()

    def _note_waiting(self, active: _Active, states: Iterable[RunState]) -> None:
        """Note the calls that the runs of a chat wait for: of several runs, of the last one."""
        if self._active.get(active.chat.id) is not active:
            return  # a later request has begun a stream of its own
        self._waiting.pop(active.chat.id, None)
        for state in states:
            calls = {tool_call_id(call.key): call for call in awaited_calls(state)}
            if calls:
                self._waiting[active.chat.id] = _Waiting(state.run_id, calls)
        while len(self._waiting) > self._max_chats:
            self._waiting.popitem(last=False)


def _matching(answers: Mapping[str, Any], waiting: _Waiting) -> Iterable[tuple[str, Any]]:
    """The answers to the calls that a run waits for, by the keys of the calls."""
    for id, call in waiting.calls.items():
        if id in answers:
            yield call.key, decision_of(answers[id]) if call.kind in DECIDED else answers[id]


async def _wait_for_end(stream: RunStream) -> None:
    """Read a stream until its sources have ended."""
    ended = asyncio.Event()
    # Of the Observables it is the one with the fewest items; only its end is of interest.
    subscription = stream.rejects.subscribe(on_error=lambda _: ended.set(), on_completed=ended.set)
    try:
        stream.start()
        await ended.wait()
    finally:
        subscription.dispose()


def _block(chunks: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(map(chunk_bytes, chunks))
