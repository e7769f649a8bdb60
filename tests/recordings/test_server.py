"""The embedded server: what it sends, when, and how it ends; and a source that reads it from another process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

import runstream
from runstream import demo
from runstream.errors import IncompleteStream
from runstream.model.raw import Malformed, Oversized, RawEvent
from runstream.recordings.pacing import Pace
from runstream.recordings.reader import read_recording
from runstream.recordings.server import encode_frames, serve_recording
from runstream.sources.reconnect import Reconnect
from runstream.sources.websocket import WebSocketSource
from tests.support.receiver import FakeReceiver, eventually

DATA = Path(demo.__file__).parent


def named(*names: str, at: float | None = None) -> list[RawEvent]:
    return [RawEvent(name, b"{}", at=at) for name in names]


async def received(url: str, within: float = 25.0) -> list[str | bytes]:
    """All messages of one connection that must end with 1000."""
    async with asyncio.timeout(within), connect(url) as socket:
        return [message async for message in socket]  # raises unless the close is a normal one


# What is sent


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (RawEvent("a", b'{"b": 1.0,  "c":"\\u00e9"}'), '{"event":"a","data":{"b": 1.0,  "c":"\\u00e9"}}'),
        (RawEvent("a", b"{}", id="e1", last_id="e1"), '{"event":"a","data":{},"id":"e1"}'),
        (RawEvent("a", b"{}", last_id="e1"), '{"event":"a","data":{}}'),
        (RawEvent("a", b'{\n"b":\n1}'), '{"event":"a","data":{\n"b":\n1}}'),
        (RawEvent("done", b"[DONE]"), '{"event":"done","data":"[DONE]"}'),
        (RawEvent("a", b'{"b":'), '{"event":"a","data":"{\\"b\\":"}'),
        (RawEvent("a", b""), '{"event":"a","data":""}'),
        (RawEvent("a", b"NaN"), '{"event":"a","data":"NaN"}'),
        (RawEvent('a"\n', b"{}"), '{"event":"a\\"\\n","data":{}}'),
        (RawEvent("\ud800", b"{}"), '{"event":"?","data":{}}'),
        (RawEvent(None, b'{"event":"a","data":{}}'), '{"event":"a","data":{}}'),
        (RawEvent(None, b"not JSON"), "not JSON"),
        (RawEvent("a", b"[" * 100_000), None),
    ],
)
def test_an_event_becomes_an_envelope_around_its_own_json(event: RawEvent, text: str | None) -> None:
    (frame,) = encode_frames([event])
    assert frame.text
    if text is None:
        assert msgspec.json.decode(frame.data)["data"] == event.data.decode()
    else:
        assert frame.data == text.encode()


def test_what_is_not_utf8_is_sent_as_it_is_in_a_binary_message() -> None:
    (frame,) = encode_frames([RawEvent(None, b'{"event":"a\xff"}')])
    assert (frame.data, frame.text) == (b'{"event":"a\xff"}', False)


def test_what_is_no_event_is_left_out() -> None:
    items = [Oversized(line=1, size=2, limit=1), RawEvent("a", b"{}"), Malformed(line=3, reason="", data=b"")]
    assert len(encode_frames(items)) == 1


async def test_every_client_gets_everything_from_the_beginning_and_then_1000() -> None:
    async with serve_recording(named("a", "b", "c")) as server:
        first, second = await asyncio.gather(received(server.url), received(server.url))
        third = await received(server.url)
    assert first == second == third == [f'{{"event":"{name}","data":{{}}}}' for name in "abc"]


async def test_an_empty_recording_is_closed_at_once() -> None:
    async with serve_recording([]) as server:
        assert await received(server.url) == []


@pytest.mark.parametrize("name", demo.recordings())
async def test_what_a_stream_makes_of_it_equals_the_fold_of_the_file(name: str) -> None:
    items = list(read_recording(demo.load(name)))
    expected = runstream.fold(items)
    async with serve_recording(items, speed=0) as server, asyncio.timeout(25):
        source = WebSocketSource(server.url, reconnect=None)
        async with runstream.RunStream(source) as stream:
            with suppress(IncompleteStream):  # of the run that waits for action
                await stream.results()
            states = list(stream.latest.values())
    assert [state.to_dict() for state in states] == [state.to_dict() for state in expected.runs]


# When


@pytest.mark.parametrize(
    ("events", "options", "seconds"),
    [
        (named("a", "b", "c"), {"gap": 0.05}, 0.1),
        (named("a", "b", "c"), {"gap": 0.5, "speed": 10}, 0.1),
        (named("a", "b", "c"), {"gap": 5, "speed": 0}, 0.0),
        ([*named("a", at=100.0), *named("b", at=100.1)], {"gap": 5}, 0.1),
        ([*named("a", at=100.0), *named("b", at=101.0)], {"speed": 10}, 0.1),
        ([*named("a", at=101.0), *named("b", at=100.0)], {"gap": 5}, 0.0),
        ([*named("a", at=100.0), *named("b"), *named("c", at=900.0)], {"gap": 0.05}, 0.1),
    ],
)
async def test_the_pace_is_the_recorded_one_or_a_fixed_one(
    events: Sequence[RawEvent], options: dict[str, Any], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes so long at least, and what is waited for is no more."""
    waits: list[float] = []

    class Noted(Pace):
        def wait(self, at: float | None, now: float) -> float:
            waits.append(super().wait(at, now))
            return waits[-1]

    monkeypatch.setattr("runstream.recordings.server.Pace", Noted)
    began = time.monotonic()
    async with serve_recording(events, **options) as server, connect(server.url) as socket:
        for _ in events:
            await socket.recv()
        assert time.monotonic() - began >= seconds
    assert sum(waits) <= seconds + 0.001


@pytest.mark.parametrize("options", [{"speed": -1}, {"gap": -0.1}, {"speed": float("nan")}])
async def test_time_does_not_run_backwards(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        async with serve_recording([], **options):
            pass


async def test_a_slow_client_is_waited_for_and_loses_nothing() -> None:
    """It gets everything, though it has read little when the server has sent the last of it."""
    receiver = FakeReceiver(on_feed=lambda item: time.sleep(0.0005))
    # More than the sockets' buffers hold, so that the last of it still waits in the server when it closes.
    events = [RawEvent("a", b'"' + b"x" * 10_000 + b'"')] * 800
    async with serve_recording(events, speed=0) as server, asyncio.timeout(25):
        await WebSocketSource(server.url, reconnect=None, close_timeout=0.1).run(receiver)
    assert len(receiver.items) == 800


# Ends


async def test_leaving_tells_clients_to_go_even_in_a_long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(25), serve_recording(named("a", "b"), gap=3600) as server:
        socket = await connect(server.url)
        await socket.recv()
        monkeypatch.setattr("runstream.recordings.server._CLOSE_TIMEOUT", 3600.0)
    with pytest.raises(ConnectionClosedOK) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


async def test_leaving_does_not_wait_for_a_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runstream.recordings.server._CLOSE_TIMEOUT", 0.2)
    events = [RawEvent("a", b'"' + b"x" * 100_000 + b'"')] * 500
    async with asyncio.timeout(25), serve_recording(events, speed=0) as server:
        socket = await connect(server.url, max_queue=1, close_timeout=0.1, ping_interval=None)
        await socket.recv()
        await asyncio.sleep(0.1)
    await socket.close()


async def test_what_clients_send_is_read_and_thrown_away() -> None:
    async with serve_recording(named("a", "b"), gap=0.2) as server, connect(server.url) as socket:
        for _ in range(200):
            await socket.send("x" * 1000)
        assert len([await socket.recv(), await socket.recv()]) == 2


async def test_a_client_that_leaves_in_a_pause_is_noticed() -> None:
    before = len(asyncio.all_tasks())
    async with serve_recording(named("a", "b"), gap=60) as server:
        running = len(asyncio.all_tasks())
        async with connect(server.url) as socket:
            await socket.recv()
        await eventually(lambda: len(asyncio.all_tasks()) <= running)
    assert len(asyncio.all_tasks()) == before


async def test_the_port_is_free_again() -> None:
    async with serve_recording([]) as server:
        port = int(server.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="address already in use"):
            async with serve_recording([], port=port):
                pass
    async with serve_recording([], port=port) as server:
        assert server.url == f"ws://127.0.0.1:{port}"


async def test_an_error_inside_closes_it_too() -> None:
    with pytest.raises(RuntimeError, match="mine"):
        async with serve_recording([]) as server:
            raise RuntimeError("mine")
    with pytest.raises(OSError, match="Connect call failed"):
        await connect(server.url)


# Another process

_SERVE = """
import asyncio, sys
from runstream.recordings.server import serve_recording
from runstream.recordings.reader import read_recording

async def main():
    async with serve_recording(read_recording(sys.argv[1]), gap=float(sys.argv[2])) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def process(name: str, gap: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its URL."""
    command = [sys.executable, "-c", _SERVE, str(DATA / name), str(gap)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()


async def test_a_recording_served_by_another_process_equals_the_offline_fold() -> None:
    expected = runstream.fold(read_recording(DATA / "text.sse"))
    with process("text.sse", 0) as (_, url):
        async with asyncio.timeout(25), runstream.connect(url) as stream:
            run = await stream.result()
            state = stream.latest[run.id]
    assert state.to_dict() == expected.runs[0].to_dict()


async def test_a_server_that_is_killed_leaves_an_interrupted_run() -> None:
    """Never a success. Killed, not closed: the socket breaks without a word in the middle of a run."""
    reconnect = Reconnect(initial=0.01, maximum=0.02, max_attempts=2)
    signals: list[runstream.Signal] = []
    with process("text.sse", 0.02) as (child, url):
        async with asyncio.timeout(25), runstream.connect(url, reconnect=reconnect) as stream:
            stream.signals.subscribe(signals.append)
            stream.on(runstream.TextDelta, lambda signal: child.kill())
            with pytest.raises(IncompleteStream) as incomplete:
                await stream.result()
    kinds = [signal.type for signal in signals]
    assert kinds.count("run.interrupted") == 1
    assert "run.completed" not in kinds
    assert kinds.count("source.disconnected") == 2
    (interrupted,) = [signal for signal in signals if isinstance(signal, runstream.RunInterrupted)]
    assert interrupted.attempts == 2
    assert interrupted.reason.startswith(f"Could not connect to {url}: ")
    assert incomplete.value.states


async def test_a_bare_client_sees_the_kill_as_an_abnormal_end() -> None:
    with process("text.sse", 5) as (child, url):
        async with asyncio.timeout(25), connect(url) as socket:
            await socket.recv()
            child.kill()
            with pytest.raises(ConnectionClosedError):
                await socket.recv()
