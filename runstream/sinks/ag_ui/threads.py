"""The threads of an AG-UI endpoint: inputs of runs enter, event streams leave; between them what each thread waits for.

One thread of a front end has several AG-UI runs, one after the other: a run of the application that waits is continued
by the next one, which brings the answers.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from runstream.clients.answers import CallAnswer, Output
from runstream.clients.outputs import encode_output
from runstream.errors import RequestFailed
from runstream.logs import LOG
from runstream.model.signals import ActionRequired
from runstream.sinks.ag_ui.encoder import AgUiEncoder
from runstream.sinks.ag_ui.events import AgUiEvent, sse_block
from runstream.sinks.ag_ui.replies import read_replies
from runstream.sinks.ag_ui.run_input import AgUiInput, AgUiInputError
from runstream.stream.run_stream import RunStream
from runstream.stream.run_view import RunView

if TYPE_CHECKING:
    from runstream.clients.base import BaseClient
    from runstream.sinks.asgi import OnDisconnect

__all__ = ["AgUiHandler", "AgUiRequest", "AgUiThreads"]

_BUFFER: Final = 64  # blocks that wait for a slow front end; then its run waits
_COMMENT: Final = b": keep-alive\n\n"
_CANCEL_TIMEOUT: Final = 5.0  # seconds


class AgUiRequest(Struct, frozen=True, kw_only=True):
    """One request of a front end.

    Attributes:
        input: What it sent.
        waiting: What the run of this thread waits for; ``None`` if none waits. A new message of the user, without an
            answer, may come while a run waits.
        answers: The answers to all calls of ``waiting``, by the keys of the calls: as :meth:`BaseClient.answer` takes
            them. Empty if the request answers nothing.
    """

    input: AgUiInput
    waiting: ActionRequired | None = None
    answers: Mapping[str, CallAnswer] = {}


AgUiHandler: TypeAlias = Callable[[AgUiRequest], "RunStream | RunView | Awaitable[RunStream | RunView]"]
"""Starts or continues a run for a request; sync or async. A stream that was not started is closed at its end; one that
was, or one run of it, is only followed."""


class _Waiting:
    """What a thread waits for, and the answers so far."""

    __slots__ = ("answers", "signal")

    def __init__(self, signal: ActionRequired) -> None:
        self.signal = signal
        self.answers: dict[str, CallAnswer] = {}


class AgUiThreads:
    """The runs of an endpoint; see :class:`~runstream.AgUiApp` for the arguments.

    Args:
        handler: Starts runs.
        client: Gets the answers of front ends; ``None``: the handler does.
        on_disconnect: What happens to the run of a front end that leaves.
        finish_at_action: True to end the stream as soon as the run waits.
        settle_time: How long signals may follow the end of a run (seconds).
        heartbeat: Seconds of silence after which a comment is sent.
        max_threads: How many threads may wait; the oldest is forgotten.
        encoder_options: Options of each encoder.
    """

    def __init__(
        self,
        handler: AgUiHandler,
        *,
        client: BaseClient | None,
        on_disconnect: OnDisconnect,
        finish_at_action: bool,
        settle_time: float,
        heartbeat: float,
        max_threads: int,
        encoder_options: Mapping[str, Any],
    ) -> None:
        self._handler = handler
        self._client = client
        self._on_disconnect = on_disconnect
        self._finish_at_action = finish_at_action
        self._settle_time = settle_time
        self._heartbeat = heartbeat
        self._max_threads = max_threads
        self._options = dict(encoder_options)
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._following: dict[tuple[str, str], RunStream | RunView] = {}  # by the ids of the thread and the AG-UI run
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, input: AgUiInput) -> AsyncGenerator[bytes, None]:
        """Start or continue a run; the blocks of its event stream.

        Args:
            input: The input.

        Raises:
            AgUiInputError: The input answers something that no run waits for.
        """
        ids = (input.thread_id, input.run_id)
        if (followed := self._following.get(ids)) is not None:
            return self._stream(input, followed, None)  # the same request again: its run goes on
        waiting = self._waiting.get(input.thread_id)
        signal = waiting.signal if waiting is not None else None
        answers = read_replies(input, signal)
        if waiting is not None and answers:
            waiting.answers |= answers
            if any(call.key not in waiting.answers for call in waiting.signal.calls):
                return self._ask_again(input, waiting)
            del self._waiting[input.thread_id]
            answers = waiting.answers
        request = AgUiRequest(input=input, waiting=signal, answers=answers)
        run = (signal.scope, signal.run_id) if signal is not None and answers else None
        return self._stream(input, await self._start(request), run)

    async def close(self) -> None:
        """End all runs that go on without a front end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, request: AgUiRequest) -> RunStream | RunView:
        if self._client is not None and request.answers and request.waiting is not None:
            try:
                return self._client.answer(request.waiting.run_id, request.answers)
            except LookupError as error:
                raise AgUiInputError(
                    "the run does not wait for this answer any more", status=409, code="not_waiting"
                ) from error
        found = self._handler(request)
        return await found if inspect.isawaitable(found) else found

    def _encoder(self, input: AgUiInput, run: tuple[str, str] | None) -> AgUiEncoder:
        return AgUiEncoder(
            input.thread_id,
            input.run_id,
            run=run,
            messages=input.messages,
            tools=input.tool_names,
            version=input.protocol_version,
            **self._options,
        )

    async def _ask_again(self, input: AgUiInput, waiting: _Waiting) -> AsyncGenerator[bytes, None]:
        """The stream of a run that waits for the rest of the answers."""
        encoder = self._encoder(input, (waiting.signal.scope, waiting.signal.run_id))
        events = [*encoder.encode(waiting.signal), *encoder.finish(answered=waiting.answers)]
        yield b"".join(map(sse_block, events))

    async def _stream(
        self, input: AgUiInput, stream: RunStream | RunView, run: tuple[str, str] | None
    ) -> AsyncGenerator[bytes, None]:
        """The blocks of the stream of a run. A task of its own reads the run, so that it may go on without a reader."""
        if isinstance(stream, RunView):
            run = (stream.scope, stream.run_id)
        encoder = self._encoder(input, run)
        reader = _Reader(asyncio.Queue(_BUFFER))
        ids = (input.thread_id, input.run_id)
        is_first = ids not in self._following
        is_own = isinstance(stream, RunStream) and not stream.is_started
        if is_first:
            self._following[ids] = stream
        task = asyncio.create_task(self._read(input, stream, encoder, reader))
        self._tasks.add(task)

        def end(_: object) -> None:
            self._tasks.discard(task)
            if is_first:
                self._following.pop(ids, None)

        task.add_done_callback(end)
        try:
            while (block := await reader.next(self._heartbeat)) is not None:
                yield block
        finally:
            if not task.done():
                await self._leave(task, encoder, reader, is_first=is_first, is_own=is_own)

    async def _leave(
        self, task: asyncio.Task[None], encoder: AgUiEncoder, reader: _Reader, *, is_first: bool, is_own: bool
    ) -> None:
        """Handle a front end that has left.

        Args:
            task: Reads the run.
            encoder: Its encoder.
            reader: The blocks for the front end.
            is_first: False for one that has joined another.
            is_own: True if the stream was started for it; another one goes on.
        """
        reader.detach()
        if self._on_disconnect == "continue" and is_first:
            return
        if self._client is not None and encoder.run_key is not None and is_own and not encoder.has_ended:
            with suppress(RequestFailed, LookupError, TimeoutError):
                async with asyncio.timeout(_CANCEL_TIMEOUT):
                    await self._client.cancel(encoder.run_key[1])
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _read(self, input: AgUiInput, stream: RunStream | RunView, encoder: AgUiEncoder, reader: _Reader) -> None:
        """Read a run to its end, and put the blocks of its stream into the queue."""
        code = "interrupted"
        try:
            await reader.put(encoder.start())
            async with AsyncExitStack() as stack:
                if isinstance(stream, RunStream) and not stream.is_started:
                    await stack.enter_async_context(stream)
                async for events in self._events(stream, encoder):
                    await reader.put(events)
        except Exception as error:
            LOG.error("ag_ui_run_failed", error=type(error).__name__)
            code = "internal_error"
        events = encoder.finish(code=code)
        if encoder.action is not None and encoder.waiting is not None:
            self._waiting[input.thread_id] = _Waiting(encoder.action)
            self._waiting.move_to_end(input.thread_id)
            while len(self._waiting) > self._max_threads:
                self._waiting.popitem(last=False)
        await reader.put(events)
        await reader.end()

    def _results(self, encoder: AgUiEncoder, asked: ActionRequired) -> list[AgUiEvent]:
        """The results of the calls of a request that tools on the server have answered."""
        found = self._client.submitted(asked.run_id) if self._client is not None else {}
        answers = [(call, answer.value) for call in asked.calls if isinstance(answer := found.get(call.key), Output)]
        return [
            event
            for call, value in answers
            for event in encoder.answer(call, value if isinstance(value, str) else encode_output(value))
        ]

    async def _events(self, stream: RunStream | RunView, encoder: AgUiEncoder) -> AsyncIterator[list[AgUiEvent]]:
        """The events of a run, as long as its signals are worth waiting for."""
        signals = stream.iter(replay=True) if _is_started(stream) else stream.iter()
        try:
            while not (self._finish_at_action and encoder.action is not None):
                try:
                    async with asyncio.timeout(self._settle_time if encoder.has_ended else None):
                        item: Any = await anext(signals)
                except (StopAsyncIteration, TimeoutError):
                    return
                if item.type == "state.snapshot":
                    if encoder.run_key in (None, (item.scope, item.run_id)) and not encoder.has_begun:
                        yield encoder.snapshot(item.state)
                    continue
                asked = encoder.action
                events = encoder.encode(item, _state_of(stream, item))
                if asked is not None and encoder.action is not asked:
                    yield self._results(encoder, asked)
                if events:
                    yield events
        finally:
            await signals.aclose()


class _Reader:
    """The blocks for one front end, until it leaves.

    Args:
        queue: The queue; ``None`` is its end.
    """

    def __init__(self, queue: asyncio.Queue[bytes | None]) -> None:
        self.queue = queue
        self._is_detached = False

    async def next(self, heartbeat: float) -> bytes | None:
        """The next piece; after so many seconds (``heartbeat``) of silence a comment; ``None`` at the end."""
        try:
            async with asyncio.timeout(heartbeat):
                return await self.queue.get()
        except TimeoutError:
            return _COMMENT

    async def put(self, events: list[AgUiEvent]) -> None:
        """Add the events of one moment as one piece; wait while the front end is behind."""
        if events and not self._is_detached:
            await self.queue.put(b"".join(map(sse_block, events)))

    async def end(self) -> None:
        """Add the end."""
        if not self._is_detached:
            await self.queue.put(None)

    def detach(self) -> None:
        """Drop what is waiting, and all that follows."""
        self._is_detached = True
        while not self.queue.empty():
            self.queue.get_nowait()


def _is_started(stream: RunStream | RunView) -> bool:
    return isinstance(stream, RunView) or stream.is_started


def _state_of(stream: RunStream | RunView, signal: Any) -> Any:
    """The state of the run of a signal."""
    if isinstance(stream, RunView):
        return stream.state
    run_id, scope = getattr(signal, "run_id", None), signal.scope
    return None if run_id is None else stream.latest.get((scope, run_id) if scope else run_id)
