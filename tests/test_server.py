"""The embedded server: every client gets everything from the beginning, byte for byte, at the recorded pace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from runstream import demo
from runstream.dialects.assistants import AssistantsDialect
from runstream.events import Reject
from runstream.raw import RawEvent
from runstream.server import Frame, frames_of, serve_recording
from runstream.sources.recording_reader import read_recording
from runstream.sources.sse_parser import Oversized

THREE = [RawEvent(data=b'{"event":"n","data":%d}' % number) for number in range(3)]


async def everything(url: str) -> tuple[list[Any], int | None]:
    """All messages of one client, and the code that it was closed with."""
    async with asyncio.timeout(10), connect(url, proxy=None) as client:
        return [message async for message in client], client.close_code


def sent(items: Iterable[Any]) -> list[bytes]:
    """The data of the frames."""
    return [frame.data for frame in frames_of(items)]


def test_data_stands_in_its_envelope_as_it_came() -> None:
    """Not one byte of the JSON is written anew: spaces, escapes, duplicate keys, large numbers."""
    data = b'{ "id": "r\\u0031",\t"n": 1.0e2, "n": 12345678901234567890123, "s": "\xc3\xa9" }'
    assert sent([RawEvent("thread.run.created", data)]) == [b'{"event":"thread.run.created","data":' + data + b"}"]


def test_an_id_is_kept() -> None:
    """An event's identity travels in its envelope; a sticky id, which is none, doesn't."""
    found = sent([RawEvent("a", b"1", "e1", "e1"), RawEvent("a", b"1", None, "e1")])
    assert found == [b'{"event":"a","data":1,"id":"e1"}', b'{"event":"a","data":1}']


def test_what_is_not_json_becomes_a_string() -> None:
    """``[DONE]`` is text, and so is whatever else can't stand in JSON as it is."""
    assert sent([RawEvent("done", b"[DONE]")]) == [b'{"event":"done","data":"[DONE]"}']
    assert sent([RawEvent("a", b"")]) == [b'{"event":"a","data":""}']
    (odd,) = sent([RawEvent("a", b'{"a": \xff')])
    assert json.loads(odd) == {"event": "a", "data": '{"a": \ufffd'}
    (deep,) = sent([RawEvent("a", b"[" * 100_000)])
    assert json.loads(deep)["data"] == "[" * 100_000


def test_an_envelope_is_sent_as_it_is() -> None:
    """An event without a name is one already, whatever it says."""
    assert frames_of([RawEvent(data=b' {"event": "a"} '), RawEvent(data=b"\xff", at=3.0)]) == [
        Frame(b' {"event": "a"} '),
        Frame(b"\xff", 3.0, text=False),
    ]


def test_the_unusable_parts_of_a_file_are_left_out() -> None:
    """What is no raw event can't be served."""
    assert sent([Oversized(line=1, size=9, limit=8), *THREE]) == [item.data for item in THREE]


@given(st.text(), st.binary(), st.none() | st.text())
def test_any_event_is_an_envelope(name: str, data: bytes, id: str | None) -> None:
    """Whatever was recorded, what goes out is one JSON object, or the bytes as they were."""
    (frame,) = frames_of([RawEvent(name, data, id)])
    found = json.loads(frame.data)
    assert set(found) == {"event", "data"} | ({"id"} if id is not None else set())


@pytest.mark.parametrize("name", demo.recordings())
def test_what_a_client_reads_is_what_was_recorded(name: str) -> None:
    """The dialect reads the same events from the envelopes as from the recording itself."""
    items = list(read_recording(demo.load(name)))
    recorded, served = AssistantsDialect(), AssistantsDialect()
    for item, data in zip(items, sent(items), strict=True):
        assert isinstance(item, RawEvent)
        (was,), (event,) = recorded.feed(item), served.feed(RawEvent(data=data))
        assert type(event) is type(was)
        assert not isinstance(event, Reject)
        assert not isinstance(was, Reject)
        assert event.event == was.event
        assert event.data == was.data or event.event == "done"


async def test_every_client_gets_everything_then_1000() -> None:
    """At once or one after the other, each from the beginning."""
    expected = [item.data.decode() for item in THREE]
    async with serve_recording(THREE) as server:
        assert server.url.startswith("ws://127.0.0.1:")
        found = list(await asyncio.gather(everything(server.url), everything(server.url)))
        found.append(await everything(server.url))
    assert found == [(expected, 1000)] * 3


async def test_text_as_text_and_bytes_as_bytes() -> None:
    """What is not UTF-8 may not be sent as text (RFC 6455, section 5.6)."""
    async with serve_recording([RawEvent(data=b"\xc3\xa9"), RawEvent(data=b"\xff")]) as server:
        assert await everything(server.url) == (["é", b"\xff"], 1000)


async def test_nothing_to_serve() -> None:
    """An empty recording ends at once."""
    async with serve_recording([]) as server:
        assert await everything(server.url) == ([], 1000)


async def test_late_clients_see_the_beginning_too() -> None:
    """A generator is read once, and served to everybody."""
    async with serve_recording(item for item in THREE) as server:
        await everything(server.url)
        assert len((await everything(server.url))[0]) == 3


async def arrivals(items: list[RawEvent], **options: Any) -> list[float]:
    """When each message came, in seconds since the first."""
    clock = asyncio.get_running_loop().time
    async with (
        serve_recording(items, **options) as server,
        asyncio.timeout(10),
        connect(server.url, proxy=None) as client,
    ):
        times = [clock() async for _ in client]
    return [time - times[0] for time in times]


async def test_the_recorded_times_are_kept() -> None:
    """Gaps as recorded; a clock that went back is no gap."""
    items = [RawEvent("a", b"1", at=at) for at in (100.0, 100.2, 99.0, 99.2)]
    first, second, third, fourth = await arrivals(items)
    assert first == 0.0
    assert 0.15 < second < 1.5
    assert second <= third < second + 1.0
    assert third + 0.1 < fourth < third + 1.5


async def test_speed_shortens_the_gaps() -> None:
    """An hour in a fraction of a second."""
    *_, last = await arrivals([RawEvent("a", b"1", at=at) for at in (0.0, 1800.0, 3600.0)], speed=36_000)
    assert 0.05 < last < 1.5


async def test_speed_nought_knows_no_gaps() -> None:
    """As fast as the client takes it."""
    *_, last = await arrivals([RawEvent("a", b"1", at=at) for at in (0.0, 1800.0, 3600.0)], speed=0, gap=60)
    assert last < 1.5


async def test_a_gap_between_events_without_a_time() -> None:
    """The gap is waited between two events, not before the first and not after the last."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    *_, last = await arrivals(THREE, gap=0.1)
    assert 0.15 < last < 1.5
    assert loop.time() - began < last + 1.0


@pytest.mark.parametrize("options", [{"speed": -1}, {"gap": -0.1}, {"speed": float("nan")}])
async def test_negative_times_are_refused(options: dict[str, Any]) -> None:
    """A mistake is said at once."""
    with pytest.raises(ValueError, match="negative"):
        async with serve_recording(THREE, **options):
            pass


async def test_a_port_that_is_taken() -> None:
    """The error of the system comes through."""
    async with serve_recording(THREE) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match=r"address|in use"):
            async with serve_recording(THREE, port=port):
                pass


@pytest.mark.parametrize("abruptly", [False, True])
async def test_a_client_that_leaves_does_no_harm(abruptly: bool) -> None:
    """The others get everything, and the server can go."""
    big = [RawEvent(data=b'"%s"' % (b"x" * 100_000)) for _ in range(100)]
    async with asyncio.timeout(10), serve_recording(big) as server:
        leaver = await connect(server.url, proxy=None, max_queue=1, close_timeout=0.1)
        stayer = asyncio.create_task(everything(server.url))
        await leaver.recv()
        if abruptly:
            leaver.transport.abort()
        else:
            await leaver.close()
        messages, code = await stayer
    assert (len(messages), code) == (100, 1000)


async def test_a_slow_client_slows_nobody_else() -> None:
    """One that does not read at all is waited for, and the other is served; in the end it gets everything too."""
    big = [RawEvent(data=b'"%s"' % (b"x" * 100_000)) for _ in range(100)]
    async with (
        asyncio.timeout(10),
        serve_recording(big) as server,
        connect(server.url, proxy=None, max_queue=1) as slow,
    ):
        messages, code = await everything(server.url)
        assert (len(messages), code) == (100, 1000)
        late = [message async for message in slow]
        assert len(late) == 100


async def test_what_clients_send_is_thrown_away() -> None:
    """A client may send what it likes, as much as it likes."""
    async with (
        asyncio.timeout(10),
        serve_recording([RawEvent("a", b"1", at=at) for at in (0.0, 0.2)]) as server,
        connect(server.url, proxy=None) as client,
    ):
        for _ in range(50):
            await client.send("x" * 10_000)
        assert [json.loads(message)["data"] async for message in client] == [1, 1]


async def test_leaving_the_context_ends_the_clients() -> None:
    """In the middle of a long pause, whether they read or not, soon."""
    items = [RawEvent("a", b"1", at=at) for at in (0.0, 3600.0)]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        async with serve_recording(items) as server:
            reader = await connect(server.url, proxy=None)
            await reader.recv()
            began = loop.time()
        assert loop.time() - began < 5
        with pytest.raises(ConnectionClosed):
            await reader.recv()
        await reader.close()
        assert reader.close_code == 1001


async def test_leaving_while_a_client_is_stuck() -> None:
    """A client that reads nothing can't hold the server."""
    big = [RawEvent(data=b'"%s"' % (b"x" * 1_000_000)) for _ in range(30)]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        async with serve_recording(big) as server:
            stuck = await connect(server.url, proxy=None, max_queue=1, close_timeout=0.1)
            await stuck.recv()
            began = loop.time()
        assert loop.time() - began < 5
        await stuck.close()


async def test_no_task_is_left() -> None:
    """When the context is left, so have the server's tasks."""
    before = asyncio.all_tasks()
    async with serve_recording(THREE, gap=0.01) as server:
        await everything(server.url)
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() <= before
