"""Playing recordings: when, with which times, and what becomes of files that can't be read."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from runstream import RecordingSource, RunStream, demo
from runstream.errors import SourceFailed
from runstream.model.raw import ConnectionEvent, Malformed, Oversized, RawEvent, RawItem
from runstream.model.signals import RunCompleted
from tests.support.receiver import FakeReceiver


class Time:
    """Virtual time: sleeping is what makes it pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(round(seconds, 6))
        self.now += seconds
        await asyncio.sleep(0)


async def play(items: Any, **options: Any) -> tuple[FakeReceiver, list[float]]:
    """Everything that a recording gives, and the waits in between."""
    time, receiver = Time(), FakeReceiver()
    await RecordingSource(items, clock=time.clock, sleep=time.sleep, **options).run(receiver)
    return receiver, time.sleeps


def arriving(*times: float | None) -> list[RawItem]:
    return [RawEvent("a", b"{}", at=at) for at in times]


@pytest.mark.parametrize(
    ("times", "options", "expected"),
    [
        ([10.0, 11.0, 13.0], {}, [1.0, 2.0]),
        ([10.0, 11.0, 13.0], {"speed": 4}, [0.25, 0.5]),
        ([10.0, 11.0, 13.0], {"speed": None}, []),
        ([10.0, 11.0, 13.0], {"speed": 0}, []),
        ([10.0, 11.0, 90.0], {"max_gap": 1.5}, [1.0, 1.5]),
        ([None, None], {"gap": 0.5}, [0.5]),
        ([None, None], {}, []),
    ],
)
async def test_events_come_when_due(times: list[float], options: dict[str, Any], expected: list[float]) -> None:
    """At recorded, scaled or full speed, gaps bounded."""
    receiver, sleeps = await play(arriving(*times), **options)
    assert sleeps == expected
    assert len(receiver.items) == len(times)


async def test_time_that_the_stream_takes_is_not_waited_again() -> None:
    """By the clock: who is slow over an event gets the next one the sooner."""
    time = Time()

    def slow(_: RawItem) -> None:
        time.now += 0.75

    source = RecordingSource(arriving(0.0, 1.0, 2.0), clock=time.clock, sleep=time.sleep)
    await source.run(FakeReceiver(on_feed=slow))
    assert time.sleeps == [0.25, 0.25]


async def test_the_times_of_events_are_those_of_the_recording_or_of_the_replay() -> None:
    """Recorded times make durations come right at any speed; who wants a show as of now says so."""
    receiver, _ = await play(arriving(10.0, 11.0), speed=0)
    assert [item.at for item in receiver.items if isinstance(item, RawEvent)] == [10.0, 11.0]
    receiver, sleeps = await play(arriving(10.0, 11.0), times="now")
    assert [item.at for item in receiver.items if isinstance(item, RawEvent)] == [None, None]
    assert sleeps == [1.0]


async def test_durations_are_those_of_the_recording() -> None:
    """Played at full speed, a run that took a minute took a minute."""
    run = b'{"id":"run_1","object":"thread.run","status":"%s"}'
    items = [
        RawEvent("thread.run.created", run % b"queued", at=100.0),
        RawEvent("thread.run.completed", run % b"completed", at=160.0),
    ]
    async with asyncio.timeout(25), RunStream(RecordingSource(items, speed=None)) as stream:
        done = await stream.when(RunCompleted)
    assert (done.at, done.duration) == (160.0, 60.0)


async def test_connections_are_told_again() -> None:
    """Made and lost, at their times; a recording that begins with its connection is not connected twice."""
    lost = ConnectionEvent(connected=False, reason="lost", attempt=1, at=11.0)
    again = ConnectionEvent(connected=True, attempt=1, at=15.0)
    first = ConnectionEvent(connected=True, at=9.0)
    for start in ([], [first]):
        receiver, sleeps = await play([*start, *arriving(10.0), lost, again, *arriving(16.0)])
        assert receiver.log == [("connected", 0), ("disconnected", 1), ("connected", 1)]
        assert receiver.reasons == ["lost"]
        assert sleeps == [*([1.0] if start else []), 1.0, 4.0, 1.0]
        assert len(receiver.items) == 2


async def test_what_is_no_event_comes_through_without_a_wait() -> None:
    """It has no time of its own."""
    odd: list[RawItem] = [Malformed(line=2, reason="no", data=b""), Oversized(line=3, size=2, limit=1)]
    receiver, sleeps = await play([*arriving(1.0), *odd, *arriving(2.0)], gap=9.0)
    assert sleeps == [1.0]
    assert receiver.items[1:3] == odd


@pytest.mark.parametrize("kind", ["path", "bytes", "file", "text path", "items"])
async def test_recordings_of_all_kinds(tmp_path: Path, kind: str) -> None:
    """A path, the bytes, a file or a list."""
    data = demo.load("text.sse")
    path = tmp_path / "run.sse"
    path.write_bytes(data)
    given: dict[str, Any] = {
        "path": path,
        "text path": str(path),
        "bytes": data,
        "file": io.BytesIO(data),
        "items": [{"event": "a", "data": 1}, b"{}", "{}"],
    }
    receiver, _ = await play(given[kind])
    assert all(isinstance(item, RawEvent) for item in receiver.items)
    assert len(receiver.items) == (3 if kind == "items" else data.count(b"\nevent:") + 1)


def test_names() -> None:
    """A source is called after its file; and negative numbers are found out at once."""
    assert RecordingSource("a/run.sse").name == "a/run.sse"
    assert RecordingSource(Path("run.sse")).name == "run.sse"
    assert RecordingSource("-").name == "<stdin>"
    assert RecordingSource(b"").name == RecordingSource([]).name == "recording"
    assert RecordingSource([], name="mine").name == "mine"
    with pytest.raises(ValueError, match="must not be negative"):
        RecordingSource([], speed=-1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, r"can't be read \(No such file"), (b"GIF89a\x01", "not recognised by its first line; save it as")],
)
async def test_a_file_that_can_not_be_read(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """The source fails, and says why."""
    path = tmp_path / "run.bin"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceFailed, match=reason):
        await RecordingSource(path).run(FakeReceiver())


async def test_the_largest_event_is_an_option(tmp_path: Path) -> None:
    """What is larger is told, and not played."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"event":"a","data":{}}\n{"event":"a","data":"' + b"x" * 50 + b'"}\n')
    receiver = FakeReceiver()
    await RecordingSource(path, max_event_bytes=40).run(receiver)
    assert [type(item) for item in receiver.items] == [RawEvent, Oversized]


async def test_cancelled_in_the_middle_of_a_wait(tmp_path: Path) -> None:
    """The file is closed then, too (an open one would be a warning, which fails the test)."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"at":1.0,"event":"a","data":{}}\n{"at":9000.0,"event":"a","data":{}}\n')
    receiver = FakeReceiver()
    task = asyncio.create_task(RecordingSource(path).run(receiver))
    await receiver.until(1, within=25)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_back_pressure_holds_it() -> None:
    """Nothing is given while the stream does not want more."""
    receiver = FakeReceiver()
    receiver.gate.clear()
    task = asyncio.create_task(RecordingSource(arriving(1.0, 1.0, 1.0)).run(receiver))
    await receiver.until(1, within=25)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(receiver.items) == 1
    receiver.gate.set()
    await asyncio.wait_for(task, 25)
    assert len(receiver.items) == 3
