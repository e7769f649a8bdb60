"""Every item of a source reaches its dialect, in order, through every door."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import reactivex as rx

from runstream import (
    Answer,
    AssistantsDialect,
    BaseDialect,
    ConnectionEvent,
    DoneEvent,
    Engine,
    Event,
    Idle,
    Malformed,
    MemoryStore,
    Oversized,
    RawEvent,
    RecordingSource,
    RecordingWriter,
    Reject,
    Request,
    ResponseHead,
    Run,
    RunEvent,
    RunStream,
    SourceConnected,
    SourceDisconnected,
    decoded,
    fold,
    pipeline,
    read_recording,
)
from runstream.model.raw import RawItem
from runstream.recordings.reader import RecordingFormat
from runstream.testing import script

ITEMS: list[RawItem] = [
    ConnectionEvent(connected=True, at=1.0),
    Request(body=b'{"input":"hi"}', continues="run_0", at=1.0),
    ResponseHead(status=200, headers=(("content-location", "/runs/run_1"),), at=2.0),
    RawEvent("begin", b'{"id":"run_1"}', at=3.0),
    Malformed(line=0, reason="no event", data=b"?", event="x"),
    Oversized(line=0, size=9, limit=8),
    ConnectionEvent(connected=False, attempt=1, reason="lost", at=4.0),
    ConnectionEvent(connected=True, attempt=1, at=5.0),
    Answer(data=b'{"id":"run_1"}', at=6.0),
    Answer(status=404, at=7.0),
    Idle(seconds=2.5, at=8.0),
]


class Watching(BaseDialect):
    """A dialect that notes each item, and makes a run of each answer and each response with a place."""

    seen: list[RawItem]

    def __init__(self) -> None:
        super().__init__()
        self.seen = []
        made.append(self)

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        self.seen.append(item)
        if isinstance(item, ResponseHead):
            (place,) = (value for name, value in item.headers if name == "content-location")
            return RunEvent(Run(id=place.rpartition("/")[2], status="queued"))
        if isinstance(item, Answer):
            return RunEvent(Run(id="run_1", status="completed" if item.data else "cancelled"))
        if isinstance(item, RawEvent):
            return ()
        return super().decode(item)


made: list[Watching] = []


@pytest.fixture(autouse=True)
def none_made() -> None:
    made.clear()


def seen() -> list[RawItem]:
    """The items that the last dialect saw, without the place in a file."""
    return [msgspec.structs.replace(item, line=0) for item in made[-1].seen]


def test_fold_passes_every_item() -> None:
    found = fold(ITEMS, dialect=Watching)
    assert seen() == ITEMS
    assert [state.status for state in found.runs] == ["completed"]
    assert [(reject.reason, reject.raw) for reject in found.rejects] == [
        ("no event", RawEvent("x", b"?")),
        (ITEMS[5].reason, RawEvent()),  # type: ignore[union-attr]
    ]


def test_a_store_changes_nothing() -> None:
    """An intake that stores its states passes the same items."""
    intake = Engine(store=MemoryStore()).intake("source", dialect=Watching)
    intake.feed_all(ITEMS)
    assert seen() == ITEMS


def test_rx_operators_pass_every_item() -> None:
    events: list[Any] = []
    rejects: list[Reject] = []
    rx.from_iterable(ITEMS).pipe(decoded(Watching, on_reject=rejects.append)).subscribe(events.append)
    assert seen() == ITEMS
    assert [type(event) for event in events] == [RunEvent, RunEvent, RunEvent]
    assert len(rejects) == 2
    rx.from_iterable(ITEMS).pipe(pipeline(dialect=Watching)).subscribe()
    assert seen() == ITEMS


async def test_a_source_passes_every_item() -> None:
    """The first connection is reported by the source itself, without a time."""
    async with RunStream(ITEMS, dialect=Watching) as stream:
        signals = [signal async for signal in stream]
    first, *others = seen()
    assert first == ConnectionEvent(connected=True)
    assert [item for item in others if not isinstance(item, ConnectionEvent)] == [
        item for item in ITEMS if not isinstance(item, ConnectionEvent)
    ]
    assert [item.connected for item in others if isinstance(item, ConnectionEvent)] == [False, True]
    assert any(isinstance(signal, SourceDisconnected) and signal.reason == "lost" for signal in signals)


@pytest.mark.parametrize("format", ["jsonl", "sse"])
async def test_a_recording_replays_every_item(tmp_path: Path, format: RecordingFormat) -> None:
    """The file has each item at its place, and a replay is decoded to the same."""
    path = tmp_path / f"run.{format}"
    with RecordingWriter(path) as writer:
        writer.write_all(ITEMS)
    live = fold(ITEMS, dialect=Watching)
    assert fold(read_recording(path), dialect=Watching).runs == live.runs
    assert seen() == ITEMS
    async with RunStream(RecordingSource(path, speed=None), dialect=Watching) as stream:
        assert [signal async for signal in stream]
    assert [type(item) for item in seen()] == [type(item) for item in ITEMS]


def test_the_engine_handles_a_connection_first() -> None:
    """The dialect sees the number of the new connection, and its signal stands before the dialect's events."""

    class Greeting(BaseDialect):
        def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
            if isinstance(item, ConnectionEvent) and item.connected:
                return RunEvent(Run(id=f"run_{self.connection}", status="queued"))
            return super().decode(item)

    found = fold([ConnectionEvent(connected=True)] * 2, dialect=Greeting)
    assert [state.run_id for state in found.runs] == ["run_0", "run_1"]
    assert isinstance(found.signals[0], SourceConnected)


def test_assistants_decodes_an_answer_as_its_object() -> None:
    """A polled object is named by its kind and status; an absent one, and other facts, are no events."""
    dialect = AssistantsDialect()
    event: Any = dialect.decode(Answer(data=b'{"id":"run_1","object":"thread.run","status":"completed"}'))
    assert (event.event, event.data.id, event.data.status) == ("thread.run.completed", "run_1", "completed")
    unnamed: Any = dialect.decode(Answer(data=b'{"id":"run_1","status":"odd"}'))
    assert (unnamed.event, unnamed.data.status) == ("thread.run", "odd")
    assert dialect.decode(Answer(data=b'{"error":{}}', status=404)) == ()
    assert isinstance(dialect.decode(Answer(data=b"{")), Reject)
    for item in (Request(), ResponseHead(status=200), Idle(), ConnectionEvent(connected=True)):
        assert dialect.decode(item) == ()
    assert isinstance(dialect.decode(RawEvent("done", b"[DONE]")), DoneEvent)


class Wrapping:
    """A dialect that delegates everything to another one, and notes each item."""

    def __init__(self) -> None:
        self.inner = AssistantsDialect()
        self.items: list[RawItem] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def decode(self, item: RawItem) -> Any:
        self.items.append(item)
        return self.inner.decode(item)


class Subclass(AssistantsDialect):
    """A dialect that adds to another one, and notes each item."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[RawItem] = []

    def decode(self, item: RawItem) -> Any:
        self.items.append(item)
        return super().decode(item)


@pytest.mark.parametrize("make", [Wrapping, Subclass])
@pytest.mark.parametrize("ids", [False, True], ids=["no ids", "ids"])
def test_a_dialect_around_another_sees_every_item(make: Any, ids: bool) -> None:
    """Also fragments that the inner one reads by a short cut; the result is that of the inner one alone."""
    raws = script("run_1").start().say("x" * 12, pieces=list("x" * 12)).end().raw_events(enveloped=not ids)
    if ids:
        raws = [msgspec.structs.replace(raw, id=str(number)) for number, raw in enumerate(raws)]
    items = [*ITEMS[:3], *raws[:9], *ITEMS[4:8], *raws[9:], *ITEMS[9:]]
    dialect = make()
    around = fold(items, dialect=dialect, clock=lambda: 1.0)
    assert dialect.items == items
    alone = fold(items, clock=lambda: 1.0)
    assert (around.runs, around.signals, around.rejects) == (alone.runs, alone.signals, alone.rejects)
    assert around.runs[0].text == "x" * 12
