"""The small part of ASGI: bodies with a bound, responses, and streams that end as they should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from runstream.sinks.asgi import (
    BodyTooLarge,
    ClientLeft,
    get_header,
    get_path,
    get_query,
    read_body,
    run_lifespan,
    stream_response,
)

LIMIT = 20.0


class Peer:
    """The server's side of one request.

    Attributes:
        sent: What the application sent.
        stuck: Whether the client reads nothing more.
        gone: Whether sending fails.
    """

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.sent: list[Any] = []
        self.stuck = self.gone = False
        self.to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.wrote = asyncio.Event()
        for message in messages:
            self.to_app.put_nowait(message)

    async def receive(self) -> Any:
        return await self.to_app.get()

    async def send(self, message: Any) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        if self.gone:
            raise OSError("gone")
        self.sent.append(message)
        self.wrote.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def ended(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body", False)


class Chunks:
    """A body that gives some chunks and then waits, or ends."""

    def __init__(self, *chunks: bytes, stays: bool = False, error: Exception | None = None) -> None:
        self.chunks, self.stays, self.error = chunks, stays, error
        self.closed = False

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            for chunk in self.chunks:
                yield chunk
            if self.error is not None:
                raise self.error
            if self.stays:
                await asyncio.Event().wait()
        finally:
            self.closed = True


def request(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_body_in_parts() -> None:
    """The parts of a body are joined; a body of just the limit is permitted."""
    peer = Peer(request(b"ab", more=True), request(b"", more=True), request(b"cd"))
    assert await read_body(peer.receive, 4) == b"abcd"


async def test_body_too_large() -> None:
    """A body over the limit is refused before all of it is read."""
    peer = Peer(request(b"abc", more=True), request(b"d" * 100, more=True))
    with pytest.raises(BodyTooLarge):
        await read_body(peer.receive, 4)


async def test_client_leaves_within_its_request() -> None:
    """A body that breaks off is no body."""
    with pytest.raises(ClientLeft):
        await read_body(Peer(request(b"a", more=True), {"type": "http.disconnect"}).receive, 4)


async def test_complete() -> None:
    """All chunks, then the end of the body."""
    peer, chunks = Peer(), Chunks(b"a", b"b")
    async with asyncio.timeout(LIMIT):
        assert await stream_response(peer.receive, peer.send, chunks(), headers=[("X-Name", "v")]) == "complete"
    assert (peer.body, peer.ended, chunks.closed) == (b"ab", True, True)
    assert peer.sent[0] == {"type": "http.response.start", "status": 200, "headers": [(b"x-name", b"v")]}


async def test_client_that_leaves_is_noticed() -> None:
    """While nothing is sent, by the server's message; while something is sent, by the failure."""
    peer, chunks = Peer(), Chunks(b"a", stays=True)
    peer.to_app.put_nowait({"type": "http.disconnect"})
    async with asyncio.timeout(LIMIT):
        assert await stream_response(peer.receive, peer.send, chunks()) == "left"
    assert chunks.closed or not peer.sent
    failing = Peer()

    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"a"
        failing.gone = True
        yield b"b"

    async with asyncio.timeout(LIMIT):
        assert await stream_response(failing.receive, failing.send, broken()) == "left"


async def test_client_that_reads_nothing() -> None:
    """It is dropped after the time-out, and its body has no end."""
    peer, chunks = Peer(), Chunks(b"a", b"b", stays=True)

    async def stuck() -> AsyncGenerator[bytes, None]:
        async for chunk in chunks():
            yield chunk
            peer.stuck = True

    async with asyncio.timeout(LIMIT):
        assert await stream_response(peer.receive, peer.send, stuck(), send_timeout=0.01) == "slow"
    assert not peer.ended


async def test_server_closes() -> None:
    """The body ends at once, whole as a message of HTTP."""
    peer, chunks, closing = Peer(), Chunks(b"a", stays=True), asyncio.Event()
    task = asyncio.ensure_future(stream_response(peer.receive, peer.send, chunks(), closing=closing))
    async with asyncio.timeout(LIMIT):
        await peer.wrote.wait()
        closing.set()
        assert await task == "closed"
    assert peer.ended
    assert chunks.closed


async def test_cancelled_task_closes_its_body() -> None:
    """A server that cancels the task need not wait for anything."""
    peer, chunks = Peer(), Chunks(b"a", stays=True)
    task = asyncio.ensure_future(stream_response(peer.receive, peer.send, chunks()))
    async with asyncio.timeout(LIMIT):
        while not peer.body:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert chunks.closed


@pytest.mark.parametrize("error", [OSError("disk"), TimeoutError(), RuntimeError("bug")])
async def test_error_of_the_body_is_raised(error: Exception) -> None:
    """An exception of the generator is no failure of the client."""
    peer = Peer()
    with pytest.raises(type(error)):
        await stream_response(peer.receive, peer.send, Chunks(b"a", error=error)())


async def test_lifespan() -> None:
    """Start and stop are confirmed, and the stop is reported before that."""
    peer = Peer({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    stopped: list[int] = []
    await run_lifespan(peer.receive, peer.send, lambda: stopped.append(len(peer.sent)))
    assert [message["type"] for message in peer.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert stopped == [1]


def test_parts_of_a_request() -> None:
    """The path below the mount point, a header that stands once, the last value of a parameter."""
    assert get_path({"path": "/app/runs", "root_path": "/app"}) == get_path({"path": "/runs"}) == "/runs"
    scope = {"headers": [(b"Last-Event-ID", b"k\xe9"), (b"x", b"1"), (b"x", b"2")], "query_string": b"a=1&a=%2Fb"}
    assert [get_header(scope, name) for name in (b"last-event-id", b"x", b"y")] == ["k\xe9", "", None]
    assert [get_query(scope, name) for name in ("a", "b")] == ["/b", None]
