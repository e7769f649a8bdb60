"""The embedded server and its clients: none does harm to another, and any recorded event can be served."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from runstream.model.raw import RawEvent
from runstream.recordings.server import encode_frames, serve_recording

BIG = [RawEvent(data=b'"%s"' % (b"x" * 100_000)) for _ in range(100)]


async def everything(url: str) -> tuple[int, int | None]:
    """How many messages one client gets, and the code that it is closed with."""
    async with connect(url, proxy=None) as client:
        return len([message async for message in client]), client.close_code


@given(st.text(), st.binary(), st.none() | st.text())
def test_any_event_is_an_envelope(name: str, data: bytes, id: str | None) -> None:
    """Whatever was recorded, what goes out is one JSON object."""
    (frame,) = encode_frames([RawEvent(name, data, id)])
    assert set(json.loads(frame.data)) == {"event", "data"} | ({"id"} if id is not None else set())


@pytest.mark.parametrize("abruptly", [False, True])
async def test_a_client_that_leaves_does_no_harm(abruptly: bool) -> None:
    """The others get everything, and the server can go."""
    async with asyncio.timeout(25), serve_recording(BIG) as server:
        leaver = await connect(server.url, proxy=None, max_queue=1, close_timeout=0.1)
        stayer = asyncio.create_task(everything(server.url))
        await leaver.recv()
        if abruptly:
            leaver.transport.abort()
        else:
            await leaver.close()
        assert await stayer == (100, 1000)


async def test_a_slow_client_slows_nobody_else() -> None:
    """One that does not read yet is waited for while the other is served."""
    async with (
        asyncio.timeout(25),
        serve_recording(BIG) as server,
        connect(server.url, proxy=None, max_queue=1) as slow,
    ):
        assert await everything(server.url) == (100, 1000)
        assert len([message async for message in slow]) == 100


async def test_no_task_is_left() -> None:
    """When the context is left, so have the server's tasks."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(25), serve_recording(BIG[:3], gap=0.01) as server:
        await everything(server.url)
        async with asyncio.timeout(25):
            while len(asyncio.all_tasks() - before) > 1:  # the client's own end; the server listens on
                await asyncio.sleep(0.01)
    assert asyncio.all_tasks() <= before
