"""The grace time of sources: one `Idle` after a silence, where the dialect waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from reactivex.subject import Subject
from websockets.asyncio.server import serve

from runstream import (
    BaseDialect,
    Idle,
    RawEvent,
    RecordingSource,
    Run,
    RunEvent,
    RunStream,
    SseSource,
    WebSocketSource,
    read_recording,
    record,
)
from runstream.model.run import RunStatus
from runstream.sources.adapters import AsyncIterableSource, ObservableSource
from runstream.sources.grace import GRACE, GraceTimer
from tests.support.clock import virtual_time
from tests.support.ports import free_port
from tests.support.receiver import FakeReceiver, eventually


class FinishDialect(BaseDialect):
    """Reads ``begin``, and ``finish``, which it keeps back until a silence settles it, or another event."""

    def __init__(self) -> None:
        super().__init__()
        self.finished = False

    @property
    def expects_idle(self) -> bool:
        return self.finished

    def decode(self, item: Any) -> Any:
        if isinstance(item, Idle) and self.finished:
            self.finished = False
            return RunEvent(Run(id="run_1", status=RunStatus.COMPLETED))
        if not isinstance(item, RawEvent):
            return super().decode(item)
        self.finished = item.data == b"finish"
        return RunEvent(Run(id="run_1", status=RunStatus.IN_PROGRESS))


def expecting(receiver: FakeReceiver) -> FakeReceiver:
    """The receiver of a dialect that waits for a silence after each ``finish``."""

    def note(item: Any) -> None:
        receiver.expects_idle = isinstance(item, RawEvent) and item.data == b"finish"

    receiver._on_feed = note
    return receiver


def seconds(receiver: FakeReceiver) -> list[Any]:
    return [item.seconds if isinstance(item, Idle) else item.data for item in receiver.items]  # type: ignore[union-attr]


async def items_with_pauses(*items: bytes | float) -> AsyncIterator[bytes]:
    for item in items:
        if isinstance(item, bytes):
            yield item
        else:
            await asyncio.sleep(item)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ((b"a", 100.0, b"b"), [b"a", b"b"]),
        ((b"finish", 1.9, b"b", 50.0), [b"finish", b"b"]),
        ((b"finish", 2.1, b"b", 50.0), [b"finish", 2.0, b"b"]),
        ((b"finish", 50.0), [b"finish", 2.0]),
        ((b"finish", 3.0, b"finish", 3.0), [b"finish", 2.0, b"finish", 2.0]),
    ],
)
async def test_one_idle_after_the_silence_of_an_iterator(items: Any, expected: list[Any]) -> None:
    receiver = expecting(FakeReceiver())
    with virtual_time():
        await AsyncIterableSource(items_with_pauses(*items)).run(receiver)
    assert GRACE == 2.0
    assert seconds(receiver) == expected


@pytest.mark.parametrize(("grace", "expected"), [(10.0, [b"finish", 10.0]), (30.0, [b"finish"]), (None, [b"finish"])])
async def test_the_grace_time_is_an_option(grace: float | None, expected: list[Any]) -> None:
    receiver = expecting(FakeReceiver())
    with virtual_time():
        await AsyncIterableSource(items_with_pauses(b"finish", 20.0), grace=grace).run(receiver)
    assert seconds(receiver) == expected


@pytest.mark.parametrize("grace", [0.0, -1.0, float("nan")])
def test_a_grace_time_is_positive(grace: float) -> None:
    for make in (
        lambda: AsyncIterableSource(items_with_pauses(), grace=grace),
        lambda: ObservableSource(Subject(), grace=grace),
        lambda: SseSource("http://127.0.0.1", grace=grace),
        lambda: WebSocketSource("ws://127.0.0.1", grace=grace),
    ):
        with pytest.raises(ValueError, match="grace must be"):
            make()


async def test_an_observable() -> None:
    receiver, subject = expecting(FakeReceiver()), Subject[Any]()
    with virtual_time():
        task = asyncio.create_task(ObservableSource(subject).run(receiver))
        await asyncio.sleep(0.1)
        subject.on_next(b"finish")
        await asyncio.sleep(3.0)
        subject.on_completed()
        await task
    assert seconds(receiver) == [b"finish", 2.0]


async def test_a_websocket() -> None:
    async def answer(socket: Any) -> None:
        await socket.send("finish")
        await asyncio.sleep(0.3)
        await socket.send("b")

    port = free_port()
    receiver = expecting(FakeReceiver())
    async with serve(answer, "127.0.0.1", port):
        await WebSocketSource(f"ws://127.0.0.1:{port}", grace=0.05, proxy=None).run(receiver)
    assert seconds(receiver) == [b"finish", 0.05, b"b"]


async def test_comments_of_an_event_stream_are_a_silence() -> None:
    """A server that keeps the connection alive says nothing of the run."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: finish\n\n")
        for _ in range(15):
            await asyncio.sleep(0.02)
            writer.write(b": here\n\n")
        writer.close()

    receiver = expecting(FakeReceiver())
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await SseSource(f"http://127.0.0.1:{port}", grace=0.1, proxy=None).run(receiver)
    assert seconds(receiver) == [b"finish", 0.1]


async def test_an_exception_of_a_subscriber_ends_the_reading() -> None:
    class BrokenError(Exception):
        pass

    def fail(item: Any) -> None:
        receiver.expects_idle = True
        if isinstance(item, Idle):
            raise BrokenError

    receiver = FakeReceiver(on_feed=fail)
    with virtual_time(), pytest.raises(BrokenError):
        await AsyncIterableSource(items_with_pauses(b"finish", 100.0)).run(receiver)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_cancelled_source_leaves_no_timer() -> None:
    receiver = expecting(FakeReceiver())
    with virtual_time():
        task = asyncio.create_task(AsyncIterableSource(items_with_pauses(b"finish", 100.0)).run(receiver))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(5.0)
    assert seconds(receiver) == [b"finish"]


async def test_a_receiver_without_the_property_needs_none() -> None:
    class Old:
        def feed(self, item: Any) -> None:
            raise AssertionError("nothing is fed")

    with virtual_time(), GraceTimer(Old(), 1.0) as timer:  # type: ignore[arg-type] # of an earlier release
        timer.start()
        await asyncio.sleep(2.0)


async def test_a_silence_settles_a_run_live_and_from_its_recording(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    open_end = asyncio.Event()

    async def live() -> AsyncIterator[bytes]:
        yield b"begin"
        yield b"finish"
        await open_end.wait()

    source = record(AsyncIterableSource(live(), grace=0.05), path)
    async with RunStream(source, dialect=FinishDialect) as stream:
        run = await asyncio.wait_for(stream.result(), 10.0)
    assert run.status == RunStatus.COMPLETED
    await eventually(path.exists)
    assert [type(item).__name__ for item in read_recording(path)].count("Idle") == 1
    async with RunStream(RecordingSource(path, speed=None), dialect=FinishDialect) as again:
        assert (await again.result()).status == RunStatus.COMPLETED
