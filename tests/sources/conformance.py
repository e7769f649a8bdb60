"""What every source must be put through: a script for whoever serves it, and a rig for each kind of source.

A further kind of source needs a function like these, and a line in `RIGS`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import reactivex
from msgspec import Struct
from websockets.asyncio.server import ServerConnection

from runstream import demo
from runstream.engine.fold import fold
from runstream.model.raw import RawEvent
from runstream.recordings.reader import read_recording
from runstream.recordings.source import RecordingSource
from runstream.sources.adapters import adapt
from runstream.sources.base import Source
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.poll import PollSource
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.sources.sse_chunks import SseChunks
from runstream.sources.websocket import WebSocketSource
from tests.support.http_peer import Exchange, block, http_serving
from tests.support.peers import serving

__all__ = ["RIGS", "SECRET", "STORY", "Rig", "Script", "Served"]

SECRET = "s3cret-value"
STORY: tuple[RawEvent, ...] = tuple(
    item for item in read_recording(demo.load("code_interpreter.sse")) if isinstance(item, RawEvent)
)
"""A whole run, to its end."""

FAST = Reconnect(initial=0.001, maximum=0.01, jitter=0.0, max_attempts=5)


class Script(Struct, frozen=True, kw_only=True):
    """What is told, and how it ends: properly, unless said otherwise.

    Attributes:
        items: What is told.
        cut: The first connection breaks off after so many.
        hold: After the last nothing comes, and no end either.
        flood: They are told again and again, without ids.
        refuse: The HTTP status by which every connection is refused, with the secret in the answer.
    """

    items: tuple[RawEvent, ...] = STORY
    cut: int | None = None
    hold: bool = False
    flood: bool = False
    refuse: int | None = None


class Served:
    """One kind of source, and what can be seen from the other side.

    Attributes:
        make: Makes the source; takes ``reconnect`` where it has a connection.
        open: How many hold the other side's end open.
        sent: How many items were given out.
    """

    def __init__(self) -> None:
        self.make: Callable[..., Source] = lambda: adapt([])
        self.open = 0
        self.sent = 0

    def items(self, script: Script, after: int = 0) -> Iterator[tuple[str | None, RawEvent]]:
        """What is to be told, with ids, counted when it is taken."""
        told = enumerate(script.items[after:], after + 1)
        for number, item in itertools.cycle(told) if script.flood else told:
            self.sent += 1
            yield None if script.flood else str(number), item


class Rig(Struct, frozen=True, kw_only=True):
    """A kind of source.

    Attributes:
        serve: Serves a script.
        network: Whether it has a connection, which can be refused, lost and made again.
        pulls: Whether it takes no more than the pipeline wants.
        events: Whether it tells every event, or just how things are now.
        holds: Whether it can wait for more.
    """

    serve: Callable[[Script], AbstractAsyncContextManager[Served]]
    network: bool = False
    pulls: bool = True
    events: bool = True
    holds: bool = True


def _envelope(id: str | None, item: RawEvent) -> str:
    data = item.data.decode()
    named = {"event": item.event} if id is None else {"id": id, "event": item.event}
    return f'{json.dumps(named)[:-1]}, "data": {json.dumps(data) if data == "[DONE]" else data}}}'


@asynccontextmanager
async def _websocket(script: Script) -> AsyncIterator[Served]:
    served = Served()

    async def handle(connection: ServerConnection, number: int) -> None:
        assert connection.request is not None
        served.open += 1
        try:
            after = int(connection.request.headers.get("Last-Event-ID", "0"))
            for count, (id, item) in enumerate(served.items(script, after)):
                if number == 0 and count == script.cut:
                    connection.transport.abort()
                    return
                await connection.send(_envelope(id, item))
            if script.hold:
                await connection.wait_closed()
        finally:
            served.open -= 1

    def resume(info: ResumeInfo) -> Resume | None:
        return Resume(headers={"Last-Event-ID": info.last_id}) if info.last_id else None

    refusal = [(script.refuse, {}, SECRET.encode())] * 99 if script.refuse else None
    async with serving(handle, answers=refusal) as peer:  # type: ignore[arg-type]
        url = f"{peer.url}/?key={SECRET}"
        served.make = lambda reconnect=FAST: WebSocketSource(
            url, proxy=None, auth=SECRET, resume=resume, reconnect=reconnect
        )
        yield served


def _http(method: str) -> Callable[[Script], AbstractAsyncContextManager[Served]]:
    @asynccontextmanager
    async def serve(script: Script) -> AsyncIterator[Served]:
        served = Served()

        async def respond(exchange: Exchange, number: int) -> None:
            served.open += 1
            try:
                after = int(exchange.request.header("Last-Event-ID") or 0)
                for count, (id, item) in enumerate(served.items(script, after)):
                    if number == 0 and count == script.cut:
                        exchange.abort()
                        return
                    await exchange.event(item.data.decode(), event=item.event, id=id)
                if script.hold:
                    await asyncio.sleep(60)
            finally:
                served.open -= 1

        refusal = [(script.refuse, {}, SECRET.encode())] * 99 if script.refuse else None
        async with http_serving(respond, answers=refusal) as peer:  # type: ignore[arg-type]
            url = f"{peer.url}/?key={SECRET}"
            options: dict[str, Any] = {"method": method, "proxy": None, "auth": SECRET}
            if method == "POST":
                options |= {"json": {"stream": True}, "resume": lambda info: Resume()}
            served.make = lambda reconnect=FAST: SseSource(url, **options, reconnect=reconnect)
            yield served

    return serve


async def _later(served: Served, script: Script) -> AsyncIterator[RawEvent]:
    served.open += 1
    try:
        for _, item in served.items(script):
            yield item
        if script.hold:
            await asyncio.sleep(60)
    finally:
        served.open -= 1


def _now(served: Served, script: Script) -> Iterator[RawEvent]:
    served.open += 1
    try:
        for _, item in served.items(script):
            yield item
    finally:
        served.open -= 1


def _bytes(item: RawEvent) -> bytes:
    return block(item.data.decode(), event=item.event).encode()


def _program(make: Callable[[Served, Script], Callable[[], Source]]) -> Callable[..., Any]:
    """A rig of what a program hands over, with nobody to serve it."""

    @asynccontextmanager
    async def serve(script: Script) -> AsyncIterator[Served]:
        served = Served()
        served.make = make(served, script)
        yield served

    return serve


async def _chunks(served: Served, script: Script) -> AsyncIterator[bytes]:
    items = _later(served, script)
    try:
        async for item in items:  # cut where no event ends
            whole = _bytes(item)
            yield whole[:7]
            yield whole[7:]
    finally:
        await items.aclose()  # type: ignore[attr-defined]


def _observable(served: Served, script: Script) -> reactivex.Observable[RawEvent]:
    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        served.open += 1

        def dispose() -> None:
            served.open -= 1

        try:
            for _, item in served.items(script):
                observer.on_next(item)
        except BaseException:  # what a subscriber raises is the pusher's to clean up after
            dispose()
            raise
        if not script.hold:
            observer.on_completed()
        return reactivex.disposable.Disposable(dispose)

    return reactivex.create(subscribe)


@asynccontextmanager
async def _poll(script: Script) -> AsyncIterator[Served]:
    served = Served()
    calls = 0

    async def retrieve() -> Any:
        nonlocal calls
        calls += 1
        if script.refuse:
            error: Any = RuntimeError(SECRET)
            error.status_code = script.refuse
            raise error
        if calls == 1 and script.cut is not None:
            raise ConnectionError(SECRET)
        served.sent = len(script.items)
        if script.hold:
            served.open += 1
            try:
                if calls > 1:
                    await asyncio.sleep(60)
            finally:
                served.open -= 1
        upto = len(script.items) // 2 if calls == 1 or script.hold else len(script.items)
        return fold(script.items[:upto]).runs[0].run

    served.make = lambda reconnect=FAST: PollSource(retrieve, interval=0.01, max_interval=0.01, reconnect=reconnect)
    yield served


RIGS: dict[str, Rig] = {
    "websocket": Rig(serve=_websocket, network=True),
    "sse-get": Rig(serve=_http("GET"), network=True),
    "sse-post": Rig(serve=_http("POST"), network=True),
    "poll": Rig(serve=_poll, network=True, events=False, pulls=False),
    "sse-chunks": Rig(serve=_program(lambda served, script: lambda: SseChunks(_chunks(served, script)))),
    "sse-chunks-now": Rig(
        serve=_program(lambda served, script: lambda: SseChunks(map(_bytes, _now(served, script)))), holds=False
    ),
    "async-iterable": Rig(serve=_program(lambda served, script: lambda: adapt(_later(served, script)))),
    "iterable": Rig(serve=_program(lambda served, script: lambda: adapt(_now(served, script))), holds=False),
    "recording": Rig(
        serve=_program(lambda served, script: lambda: RecordingSource(_now(served, script), speed=None)), holds=False
    ),
    # Rx has no back-pressure: what pushes on the loop's thread is slowed by synchronous subscribers alone.
    "observable": Rig(serve=_program(lambda served, script: lambda: adapt(_observable(served, script))), pulls=False),
}
