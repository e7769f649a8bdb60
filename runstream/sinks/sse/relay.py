"""A stream in, server-sent events for any number of clients out: early and late ones, and those that come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

from runstream.core.state_snapshot import StateSnapshot
from runstream.model.run import RunKey
from runstream.model.signals import Signal
from runstream.sinks.sse.frames import HEARTBEAT, end_id, event, retry, snapshot_event
from runstream.sinks.sse.history import Chain, Entry, History
from runstream.stream.run_stream import RunStream

__all__ = ["SseContent", "SseRelay"]

SseContent: TypeAlias = Callable[[StateSnapshot | Signal], Any]
"""Returns the JSON value that clients receive for a signal or a snapshot; ``None`` to send nothing."""

_CHUNK: Final = 64 * 1024  # bytes of events that are sent at once
_MAX_BYTES: Final = 64 * 1024 * 1024  # of events in the log
_NEVER: Final = 86_400.0  # seconds


class SseRelay:
    """Relays runs to browsers as server-sent events (HTML standard, section 9.2), for EventSource and others.

    It follows the stream at the cost of a few operations a signal, and keeps the last signals in one bounded log for
    all clients. A client receives first an event ``snapshot``, then each signal as an event without a name, whose id is
    the key of the signal; at last an event ``end``. A client that comes back names the last id, and receives what it
    has not seen: the signals after it, or, if the log does not reach back so far, a new ``snapshot``. A slow client
    delays neither the stream nor another client; one that is behind the log receives a new ``snapshot`` too.

    The data of ``snapshot`` is ``{"runs": [...], "whole": true}``: each run as :meth:`StateSnapshot.to_dict` has it,
    with the signals that build its state. A client replaces what it knows of these runs, and forgets all others if
    ``whole`` is true. The data of ``end`` is ``{"run_id": ..., "scope": ..., "status": ...}``, with nulls for the whole
    stream.

    ::

        relay = SseRelay(stream)

        @app.get("/runs/{run_id}/events")                                # FastAPI
        async def events(run_id: str, last_event_id: Annotated[str | None, Header()] = None) -> Response:
            if relay.is_end(last_event_id, run_id):
                return Response(status_code=204)                         # ends the reconnects of EventSource
            return StreamingResponse(relay.events(run_id, last_event_id=last_event_id), headers=relay.headers)

    Args:
        stream: The stream. The relay does not start reading.
        history: Number of signals in the log, of all runs together.
        heartbeat: Seconds without an event after which a comment is sent, so that each side and the proxies between
            them see that the connection is open.
        retry: Seconds after which a client reconnects.
        content: The JSON value that clients receive for a signal or snapshot; ``None`` to send nothing. By default all
            of it, as ``to_dict`` has it.

    Raises:
        ValueError: A bound is not positive.
    """

    headers: Mapping[str, str] = {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",  # or nginx sends nothing until 8 KiB are there
        "X-Content-Type-Options": "nosniff",
    }
    """The headers of a response with these events."""

    def __init__(
        self,
        stream: RunStream,
        *,
        history: int = 10_000,
        heartbeat: float = 15.0,
        retry: float = 2.0,
        content: SseContent | None = None,
    ) -> None:
        if not (history > 0 and heartbeat > 0 and retry > 0):
            raise ValueError("history, heartbeat and retry must be positive")
        self._stream = stream
        self._history = History(history, _MAX_BYTES)
        self._heartbeat = heartbeat
        self._retry = retry
        self._content: SseContent = content or _to_dict
        self._waiting: dict[Chain, set[asyncio.Future[None]]] = {}
        self._clients = 0
        self._following = False
        self.closing = asyncio.Event()
        """Set when the relay is closed: responses that are being sent should end."""
        self._subscription = stream.follow(self._add, self._end)
        self._following = True

    @property
    def clients(self) -> int:
        """The number of clients that are being served."""
        return self._clients

    def close(self) -> None:
        """Stop following the stream. The events of all clients end without an event ``end``: clients come back."""
        self._subscription.dispose()
        self.closing.set()
        self._wake(*self._waiting)

    def is_end(self, last_event_id: str | None, run_id: str | None = None, *, scope: str = "") -> bool:
        """True if a client has received the end of its events: the response is then 204, which ends its reconnects.

        Args:
            last_event_id: The last id that the client has received.
            run_id: The run; ``None`` for all runs.
            scope: The scope of the run.
        """
        return last_event_id == end_id(None if run_id is None else (scope, run_id))

    async def events(
        self, run_id: str | None = None, *, scope: str = "", last_event_id: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The events for one client, as bytes of an event stream.

        They end after the event ``end``: of a run when it will have no further signals, of all runs with the stream.
        A run that was not seen yet is awaited. Read the next chunk when the last one was sent.

        Args:
            run_id: The run; ``None`` for all runs, with the signals of sources.
            scope: The scope of the run.
            last_event_id: The last id that the client has received.
        """
        run = None if run_id is None else (scope, run_id)
        chain = self._history.chain(run)
        completion = self._watch_end(chain)
        self._clients += 1
        try:
            if self.is_end(last_event_id, run_id, scope=scope):
                yield retry(_NEVER)  # where the application did not respond with 204
                return
            yield retry(self._retry)
            entry = self._history.find(chain, last_event_id) if last_event_id else None
            while not self.closing.is_set():
                if entry is None or (entry is not chain.tail and chain not in entry.next):
                    entry = chain.tail
                    yield self._snapshot(chain, entry)
                    continue
                frames, size = [], 0
                while size < _CHUNK and (following := entry.next.get(chain)) is not None:
                    entry = following
                    frames.append(self._frame(entry))
                    size += len(frames[-1])
                if size:
                    yield b"".join(frames)
                elif entry is chain.tail:
                    if chain.ended:
                        yield self._end_event(run)
                        return
                    if not await self._change(chain):
                        yield HEARTBEAT
        finally:
            self._clients -= 1
            completion()

    def _watch_end(self, chain: Chain) -> Callable[[], None]:
        """Note the end of the chain's run in the chain; returns a function that stops this."""
        if chain.run is None:
            return lambda: None

        def end() -> None:
            chain.ended = True
            self._wake(chain)

        scope, run_id = chain.run
        subscription = self._stream.run(run_id, scope=scope).signals.subscribe(
            on_completed=end, on_error=lambda _: end()
        )
        return subscription.dispose

    def _add(self, item: StateSnapshot | Signal) -> None:
        if not self._following:
            return  # the runs in memory: each client receives their snapshots when it comes
        entry = self._history.append(item)
        self._wake(*entry.chains)

    def _end(self) -> None:
        self._history.all.ended = True
        self._wake(self._history.all)

    def _wake(self, *chains: Chain) -> None:
        for chain in chains:
            for waiting in self._waiting.get(chain, ()):
                if not waiting.done():
                    waiting.set_result(None)

    async def _change(self, chain: Chain) -> bool:
        """Wait until something changes; False after the time of a heartbeat."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        group = self._waiting.setdefault(chain, set())
        group.add(future)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat):
                    await future
                return True
            return False
        finally:
            group.discard(future)
            if not group:
                self._waiting.pop(chain, None)

    def _snapshot(self, chain: Chain, tail: Entry) -> bytes:
        if chain.run is None:
            found = self._stream.snapshots()
        else:
            scope, run_id = chain.run
            one = self._stream.run(run_id, scope=scope).snapshot()
            found = () if one is None else (one,)
        return snapshot_event(self._values(*found), id=tail.id, whole=True)

    def _frame(self, entry: Entry) -> bytes:
        """The event of an entry; built once for all clients."""
        if entry.frame is None:
            item = entry.item
            if isinstance(item, StateSnapshot):
                frame = snapshot_event(self._values(item), id=entry.id, whole=False)
            else:
                frame = b"".join([event(value, id=entry.id) for value in self._values(item)])
            self._history.set_frame(entry, frame)
            return frame
        return entry.frame

    def _values(self, *items: StateSnapshot | Signal) -> Iterator[Any]:
        for item in items:
            value = self._content(item)
            if value is not None:
                yield value

    def _end_event(self, run: RunKey | None) -> bytes:
        data: dict[str, Any] = {"run_id": None, "scope": None, "status": None}
        if run is not None:
            scope, run_id = run
            state = self._stream.run(run_id, scope=scope).state
            data = {"run_id": run_id, "scope": scope, "status": state.status.value if state is not None else None}
        return event(data, id=end_id(run), name="end")


def _to_dict(item: StateSnapshot | Signal) -> dict[str, Any]:
    return item.to_dict()
