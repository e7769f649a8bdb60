"""A source that is recorded on its way: the stream sees what it always saw, and the file holds all of it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from structlog.testing import capture_logs

from runstream import RecordingSource, RecordingWriter, Redaction, RunStream, demo, fold, read_recording, record
from runstream.errors import IncompleteStream, RecordingError, SourceFailed
from runstream.model.raw import ConnectionEvent, Malformed, Oversized, RawEvent, RawItem
from runstream.model.raw_input import RawInput
from runstream.model.signals import RunSignal, Signal, SourceSignal
from runstream.recordings.tee import RecordedSource
from runstream.sources.base import Receiver, Source
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.sources.websocket import WebSocketSource
from tests.support.http_peer import Exchange, http_serving
from tests.support.receiver import FakeReceiver
from tests.support.serving import serving_process

ROOT = Path(__file__).parents[2]
ITEMS: list[RawItem] = [
    RawEvent("a", b"1", "e1", "e1"),
    Oversized(line=0, size=9, limit=1),
    Malformed(line=0, reason="no", data=b"?"),
    RawEvent(None, b'{"event":"b","data":2}', at=7.0),
]


class Scripted:
    """A source that is lost once, and found again."""

    name = "scripted"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.live: bool | None = None

    async def run(self, receiver: Receiver) -> None:
        receiver.connected()
        for item in ITEMS[:2]:
            receiver.feed(item)
        await receiver.ready()
        receiver.disconnected("lost (code 1006)", 1)
        receiver.connected(1)
        for item in ITEMS[2:]:
            receiver.feed(item)
        self.live = receiver.live
        assert receiver.last_id == "e1"
        if self.error is not None:
            raise self.error


async def test_of_many_at_once_each_is_written_before_it_is_passed_on(tmp_path: Path) -> None:
    log: list[str] = []

    class Many:
        name = "many"

        async def run(self, receiver: Receiver) -> None:
            await receiver.feed_all(ITEMS)

    class Logging(RecordingWriter):
        def write(self, item: RawInput, at: float | None = None) -> None:
            log.append("written")
            super().write(item, at)

    receiver = FakeReceiver(on_feed=lambda item: log.append("passed on"))
    with Logging(tmp_path / "run.jsonl") as writer:
        await RecordedSource(Many(), writer).run(receiver)
    assert log == ["written", "passed on"] * len(ITEMS)
    assert receiver.data == [b"1", b'{"event":"b","data":2}']
    assert len(list(read_recording(tmp_path / "run.jsonl"))) == len(ITEMS)


async def test_everything_that_passes_stands_in_the_file(tmp_path: Path) -> None:
    """Events, what can be none, connections made and lost, each with its time; and the stream gets it all."""
    times = iter(range(100, 200))
    inner = Scripted()
    source = record(inner, tmp_path / "run.jsonl", clock=lambda: float(next(times)))
    assert source.name == "scripted"
    receiver = FakeReceiver(live=True, last_id="e1")
    await source.run(receiver)
    assert inner.live is True
    assert receiver.log == [("connected", 0), ("disconnected", 1), ("connected", 1)]
    assert receiver.reasons == ["lost (code 1006)"]
    assert [type(item) for item in receiver.items] == [type(item) for item in ITEMS]
    found = list(read_recording(source.path))
    assert found[0] == ConnectionEvent(connected=True, at=100.0, line=1)
    assert found[1] == RawEvent("a", b"1", "e1", "e1", 101.0, 2)
    assert found[2] == Oversized(line=3, size=9, limit=1)
    assert isinstance(found[3], ConnectionEvent)
    assert (found[3].connected, found[3].reason, found[3].attempt) == (False, "lost (code 1006)", 1)
    assert isinstance(found[4], ConnectionEvent)
    assert (found[4].connected, found[4].attempt) == (True, 1)
    assert found[5:] == [
        Malformed(line=6, reason="no", data=b"?"),
        RawEvent(None, b'{"event":"b","data":2}', at=7.0, line=7),
    ]
    # What the stream saw has the times that stand in the file.
    assert [item.at for item in receiver.items if isinstance(item, RawEvent)] == [101.0, 7.0]
    assert source.error is None


async def test_a_source_that_fails_leaves_its_recording(tmp_path: Path) -> None:
    """Its own error comes through, and the file is whole and closed."""
    source = record(Scripted(SourceFailed("gone", attempts=3)), tmp_path / "run.sse")
    with pytest.raises(SourceFailed, match="gone") as caught:
        await source.run(FakeReceiver(last_id="e1"))
    assert caught.value.attempts == 3
    assert len(list(read_recording(source.path))) == 7


async def test_whatever_a_stream_takes_can_be_recorded(tmp_path: Path) -> None:
    """Iterables and async iterables too; a single event is no source."""

    async def events() -> AsyncIterator[dict[str, Any]]:
        yield {"event": "a", "data": 1}

    await record(events(), tmp_path / "1.jsonl").run(FakeReceiver())
    await record([b"{}"], tmp_path / "2.jsonl", format="sse").run(FakeReceiver())
    assert len(list(read_recording(tmp_path / "1.jsonl"))) == 2
    assert (tmp_path / "2.jsonl").read_bytes().endswith(b"data: {}\n\n")
    with pytest.raises(TypeError):
        record(RawEvent(), tmp_path / "3.jsonl")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is named"):
        record([b"{}"], tmp_path / "3.txt")


# A recording of a real socket, and its replay


@pytest.mark.parametrize("suffix", [".jsonl", ".sse"])
@pytest.mark.parametrize("name", ["text.sse", "failed.sse", "function_call_1.sse", "code_interpreter.sse"])
async def test_recorded_from_a_socket_and_replayed_gives_equal_signals(tmp_path: Path, name: str, suffix: str) -> None:
    """Signals, times included, equal those of the live stream; and so does the fold of the file."""
    path = tmp_path / f"run{suffix}"
    with serving_process(name) as (url, _):
        live = await signals_of(record(WebSocketSource(url, reconnect=None), path))
    replayed = await signals_of(RecordingSource(path, speed=None))
    assert len(live) > 10
    assert replayed == live
    assert told(fold(read_recording(path)).signals) == live


def told(signals: Iterable[Signal]) -> list[Signal]:
    """What is told of runs, but for those that their stream left: the time of that is the reader's own."""
    kinds = ("run.paused", "run.interrupted")
    return [found for found in signals if isinstance(found, RunSignal) and found.type not in kinds]


async def signals_of(source: RecordedSource | RecordingSource) -> list[Signal]:
    """What a source tells of runs."""
    seen: list[Signal] = []
    async with asyncio.timeout(30), RunStream(source) as stream:
        stream.signals.subscribe(seen.append)
        with suppress(IncompleteStream):  # of the run that waits
            await stream.results()
    return told(seen)


async def test_a_stream_told_again_after_a_reconnect_is_replayed_as_such(tmp_path: Path) -> None:
    """Without the reconnect, the fragments that were told twice would be text twice."""
    path = tmp_path / "run.jsonl"
    items = [item for item in read_recording(demo.load("text.sse")) if isinstance(item, RawEvent)]

    class ToldAgain:
        name = "again"

        async def run(self, receiver: Receiver) -> None:
            receiver.connected()
            for item in items[: len(items) // 2]:
                receiver.feed(item)
            receiver.disconnected("lost", 1)
            receiver.connected(1)
            for item in items:
                receiver.feed(item)
                await receiver.ready()

    live = await signals_of(record(ToldAgain(), path))
    assert live == await signals_of(RecordingSource(path, speed=0))
    # The fold of a file, which has no source, knows it as well.
    folded = fold(read_recording(path))
    assert told(folded.signals) == live
    text = fold(items).runs[0].text
    # No snapshot heals here what the fragments would make of it.
    left = [item for item in read_recording(path) if getattr(item, "event", "") != "thread.message.completed"]
    assert fold(left).runs[0].text == text
    assert fold(item for item in left if isinstance(item, RawEvent)).runs[0].text != text


@pytest.mark.parametrize("suffix", [".jsonl", ".sse"])
async def test_an_event_stream_that_breaks_and_goes_on_is_replayed_as_it_was(tmp_path: Path, suffix: str) -> None:
    """Server-sent events with ids, cut off twice and resumed: all signals of the replay, those of the source
    included, and all raw events are those of the live stream."""
    path = tmp_path / f"run{suffix}"
    items = [item for item in read_recording(demo.load("code_interpreter.sse")) if isinstance(item, RawEvent)]

    async def respond(exchange: Exchange, number: int) -> None:
        start = int(exchange.request.header("Last-Event-ID") or 0)
        for id, item in enumerate(items[start : start + len(items) // 3 + 1], start + 1):
            await exchange.event(item.data.decode(), event=item.event, id=str(id))
        if number < 2:
            await exchange.send("event: thread.message.delta\ndata: {half of")
            exchange.abort()

    seen: list[RawItem] = []

    class Seeing:
        """Keeps what a source gives, as it gives it."""

        def __init__(self, source: SseSource) -> None:
            self.name, self._source = source.name, source

        async def run(self, receiver: Receiver) -> None:
            feed_all = receiver.feed_all

            async def both(items: Iterable[RawItem]) -> None:
                held = list(items)
                seen.extend(held)
                await feed_all(held)

            receiver.feed_all = both  # type: ignore[method-assign]
            await self._source.run(receiver)

    reconnect = Reconnect(initial=0.01, maximum=0.01)
    async with http_serving(respond) as peer:
        source = record(Seeing(SseSource(peer.url, reconnect=reconnect)), path)
        live = await all_signals_of(source)
    assert len(peer.requests) == 3
    replayed = await all_signals_of(RecordingSource(path, name=source.name, speed=0))
    types = [found.type for found in live if isinstance(found, SourceSignal)]
    assert types.count("source.disconnected") == types.count("source.resumed") == 2
    assert [(found.type, found.key) for found in replayed] == [(found.type, found.key) for found in live]
    assert told(replayed) == told(live)
    kept = [item for item in read_recording(path) if not isinstance(item, ConnectionEvent)]
    assert [msgspec.structs.replace(item, line=0) for item in kept] == [
        msgspec.structs.replace(item, line=0) for item in seen
    ]
    assert [item.id for item in kept if isinstance(item, RawEvent)] == [str(n + 1) for n in range(len(items))]


async def all_signals_of(source: Source) -> list[Signal]:
    """Everything that a source tells, of itself too."""
    seen: list[Signal] = []
    async with asyncio.timeout(30), RunStream(source) as stream:
        stream.signals.subscribe(seen.append)
        await stream.results()
    return seen


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_recorder_that_is_killed_leaves_a_recording(tmp_path: Path) -> None:
    """SIGKILL in the middle of a live stream: what had come can be replayed."""
    path = tmp_path / "run.jsonl"
    code = f"""
import asyncio, sys
import runstream
async def main():
    source = runstream.record(runstream.WebSocketSource(sys.argv[1]), {str(path)!r})
    async with runstream.RunStream(source) as stream:
        stream.on(runstream.TextDelta, lambda signal: print(signal.offset, flush=True))
        await stream.results()
asyncio.run(main())
"""
    with (
        serving_process("text.sse", speed=1.0) as (url, _),
        subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, cwd=ROOT) as process,
    ):
        assert process.stdout is not None
        for _line in range(3):
            assert process.stdout.readline().strip().isdigit()
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    folded = fold(read_recording(path))
    assert not folded.rejects
    assert folded.runs[0].text
    assert folded.signals[-2].type == "run.interrupted"


# Redaction


async def test_redaction_is_of_the_file_alone(tmp_path: Path) -> None:
    """The stream has the text, the file has none of it, and tells the same otherwise."""
    items = list(read_recording(demo.load("text.sse")))
    source = record(items, tmp_path / "run.jsonl", redact=Redaction())
    live = await signals_of(source)
    replayed = await signals_of(RecordingSource(tmp_path / "run.jsonl", speed=0))
    assert [found.key for found in replayed] == [found.key for found in live]
    text = fold(items).runs[0].text
    blank = fold(read_recording(source.path)).runs[0].text
    assert set(blank) == {"x"}
    assert len(blank) == len(text)
    assert not any(
        text[:12].encode() in item.data for item in read_recording(source.path) if isinstance(item, RawEvent)
    )


# Errors


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No more than three items can be written."""
    write = RecordingWriter.write

    def full(self: RecordingWriter, item: Any, at: float | None = None) -> None:
        if self.count == 3:
            raise RecordingError(self.path, "can't be written (No space left on device)", 28)
        write(self, item, at)

    monkeypatch.setattr(RecordingWriter, "write", full)
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("full_disk")
async def test_a_disk_that_is_full_fails_the_source(tmp_path: Path) -> None:
    """Said in words, with the reason as the cause; the stream sees nothing that is not in the file."""
    source = record(Scripted(), tmp_path / "run.jsonl")
    receiver = FakeReceiver(last_id="e1")
    with pytest.raises(
        SourceFailed, match=r"the recording can't go on: .*run\.jsonl: can't be written \(No sp"
    ) as caught:
        await source.run(receiver)
    assert caught.value.__cause__ is source.error
    assert isinstance(source.error, RecordingError)
    assert len(receiver.items) == 2
    assert len(list(read_recording(source.path))) == 3


@pytest.mark.usefixtures("full_disk")
async def test_a_source_that_swallows_the_error_fails_all_the_same(tmp_path: Path) -> None:
    """Whatever a source makes of an exception of its receiver."""

    class Deaf(Scripted):
        async def run(self, receiver: Receiver) -> None:
            for item in [*ITEMS, *ITEMS]:
                try:
                    receiver.feed(item)
                except RecordingError:
                    continue

    receiver = FakeReceiver()
    with pytest.raises(SourceFailed, match="the recording can't go on"):
        await record(Deaf(), tmp_path / "run.jsonl").run(receiver)
    assert len(receiver.items) == 3


@pytest.mark.usefixtures("full_disk")
async def test_a_stream_may_go_on_without_its_recording(tmp_path: Path) -> None:
    """Then the failure is logged once, without what was to be written, and kept."""
    source = record(Scripted(), tmp_path / "run.jsonl", on_error="log")
    receiver = FakeReceiver(last_id="e1")
    with capture_logs() as logs:
        await source.run(receiver)
    assert len(receiver.items) == len(ITEMS)
    assert source.error is not None
    assert [entry["event"] for entry in logs] == ["recording_failed"]
    assert logs[0]["reason"] == "can't be written (No space left on device)"


async def test_a_file_that_can_not_be_opened(tmp_path: Path) -> None:
    """Found out when reading starts, before the source is asked for anything."""
    (tmp_path / "run.jsonl").write_text("precious")
    asked: list[str] = []

    async def events() -> AsyncIterator[bytes]:
        asked.append("asked")
        yield b"{}"

    with pytest.raises(SourceFailed, match="exists already"):
        await record(events(), tmp_path / "run.jsonl").run(FakeReceiver())
    assert not asked
    assert (tmp_path / "run.jsonl").read_text() == "precious"
    with capture_logs() as logs:
        await record(events(), tmp_path / "run.jsonl", on_error="log").run(FakeReceiver())
    assert asked
    assert logs[0]["event"] == "recording_failed"


async def test_a_stream_says_why_its_recording_failed(tmp_path: Path) -> None:
    """As any source that is gone: `result` raises, with the failure as its cause."""
    async with RunStream(record(Scripted(), tmp_path / "missing" / "run.jsonl")) as stream:
        with pytest.raises(IncompleteStream) as caught:
            await stream.result()
    assert isinstance(caught.value.__cause__, SourceFailed)
    assert isinstance(caught.value.__cause__.__cause__, RecordingError)


async def test_cancelling_closes_the_file(tmp_path: Path) -> None:
    """A source that is removed leaves a recording that is whole."""
    ready = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield b"{}"
        ready.set()
        await asyncio.Event().wait()

    with RecordingWriter(tmp_path / "run.jsonl") as writer:
        task = asyncio.create_task(record(events(), writer).run(FakeReceiver()))
        await asyncio.wait_for(ready.wait(), 25)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"{}")
    assert len(list(read_recording(writer.path))) == 2


async def test_a_recorded_socket_that_reconnects(tmp_path: Path) -> None:
    """Reconnecting is the source's own business; its recording shows it."""
    path = tmp_path / "run.jsonl"
    with serving_process("text.sse") as (url, _):
        source = WebSocketSource(url, reconnect=Reconnect())
        async with asyncio.timeout(30), RunStream(record(source, path)) as stream:
            await stream.results()
    first, *rest = read_recording(path)
    assert isinstance(first, ConnectionEvent)
    assert first.connected
    assert not any(isinstance(item, ConnectionEvent) for item in rest)
