"""Iterators that begin with the state: before the run, in it, after it; their bounds; with a store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runstream import (
    ActionRequired,
    MemoryStore,
    RunInterrupted,
    RunStream,
    SlowConsumer,
    StateSnapshot,
    TextDelta,
    fold,
)
from runstream.testing import script
from tests.sinks.page.support import fed
from tests.support.transcript import transcript_of

LIMIT = 20.0
TEXT = "Rain, then sun."


def told(run_id: str = "run_1") -> list[Any]:
    return script(run_id).start().say(TEXT, pieces=list(TEXT)).end("completed").raw_events()


async def read(iterator: Any) -> list[Any]:
    async with asyncio.timeout(LIMIT):
        return [item async for item in iterator]


async def test_a_run_that_has_not_begun() -> None:
    """There is no snapshot: its signals are whole."""
    async with RunStream(told()) as stream:
        assert stream.run("run_1").snapshot() is None
        assert stream.snapshots() == ()
        found = await read(stream.run("run_1").iter(replay=True))
    assert transcript_of(found).facts() == transcript_of(fold(told()).signals).facts()
    assert found[-1].type == "run.completed"


async def test_a_run_that_has_ended() -> None:
    """The snapshot is all: also after the end of the stream."""
    async with RunStream(told()) as stream:
        await stream.results()
        for iterator in (stream.run("run_1").iter(replay=True), stream.iter(replay=True)):
            (snapshot,) = await read(iterator)
            assert isinstance(snapshot, StateSnapshot)
            assert (snapshot.state, snapshot.run_id, snapshot.scope) == (stream.latest["run_1"], "run_1", "")
            assert [fact.type for fact in snapshot.facts] == ["run.created", "run.completed"]
        assert await read(stream.run("other").iter(replay=True)) == []


async def test_text_continues_where_the_snapshot_ends() -> None:
    """The offset of the next signal is the length of the text."""
    async with fed() as source:
        await source.feed(told()[:10])
        items = source.stream.run("run_1").iter(replay=True)
        await source.feed(told()[10:])
        await source.end()
        snapshot, *signals = await read(items)
    (begun,) = [signal for signal in snapshot.signals() if isinstance(signal, TextDelta)]
    following = next(signal for signal in signals if isinstance(signal, TextDelta))
    assert (begun.offset, begun.delta, following.offset) == (0, snapshot.state.text, len(snapshot.state.text))
    assert snapshot.to_dict()["signals"][-1]["type"] == snapshot.signals()[-1].type == "run.status_changed"
    assert begun.delta + "".join(signal.delta for signal in signals if isinstance(signal, TextDelta)) == TEXT


async def test_facts_that_no_state_has() -> None:
    """A run that waits has its request with the keys of its calls; one whose source has gone is interrupted."""
    waits = script("run_1").start()
    waits.call(get_time={"zone": "UTC"})
    async with RunStream(waits.raw_events()) as stream, asyncio.timeout(LIMIT):
        signal = await stream.when(ActionRequired)
        await stream.when("source.ended")
        snapshot = stream.run("run_1").snapshot()
        assert snapshot is not None
        assert signal in snapshot.facts
        assert [fact.type for fact in snapshot.signals()][-2:] == ["run.action_required", "run.paused"]
    async with RunStream(told()[:8]) as stream, asyncio.timeout(LIMIT):
        await stream.when(RunInterrupted)
        (snapshot,) = stream.snapshots()
        assert [type(signal) for signal in snapshot.signals()][-1] is RunInterrupted


async def test_full_buffer() -> None:
    """With policy `error` it ends this iterator alone; snapshots take no room in it."""
    async with fed(buffer=1) as source:
        await source.feed([*told("run_1"), *told("run_2")])
        items = source.stream.iter(replay=True, policy="error")
        await source.feed(told("run_3"))
        assert [(await anext(items)).run_id for _ in range(2)] == ["run_1", "run_2"]
        with pytest.raises(SlowConsumer):
            await read(items)
        await source.end()


async def test_disposed_before_it_has_subscribed() -> None:
    """In a callback an iterator subscribes after the delivery: not if it was disposed before."""
    async with RunStream(told()) as stream:
        made: list[Any] = []

        def join(_: object) -> None:
            made.append(stream.iter(replay=True))
            if len(made) == 1:
                made[0].dispose()

        stream.on("message.created", join)
        stream.on("message.completed", join)
        await stream.results()
        assert await read(made[0]) == []
        snapshot, *rest = await read(made[1])
        assert snapshot.state.text == TEXT
        assert [item.type for item in rest if hasattr(item, "run_id")][-1] == "run.completed"
        assert "message.completed" in [signal.type for signal in snapshot.signals()]


@pytest.mark.parametrize("kind", ["runs", "events"])
async def test_only_signals_are_replayed(kind: Any) -> None:
    """States begin with the latest ones anyway, and events are not kept."""
    stream = RunStream()
    with pytest.raises(ValueError, match="replay=True is for signals"):
        stream.iter(kind, replay=True)
    if kind == "runs":
        with pytest.raises(ValueError, match="replay=True is for signals"):
            stream.run("run_1").iter("states", replay=True)  # type: ignore[call-overload]


@pytest.mark.parametrize("place", range(10))
async def test_after_a_restart(place: int) -> None:
    """The stored run has a snapshot; facts that the earlier process delivered come too, once."""
    raws, store = told(), MemoryStore()

    async def be_killed() -> None:
        async with RunStream(raws, store=store) as stream:
            count = 0
            async for _ in stream:
                count += 1
                if count > place:
                    raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        await be_killed()
    async with RunStream(store=store) as stream:
        early = stream.iter(replay=True)  # before the stored run is read
        of_run = stream.run("run_1").iter(replay=True)
        followed: list[Any] = []
        ends: list[bool] = []
        stream.follow(followed.append, lambda: ends.append(True))
        stream.attach(raws)
        late = stream.iter(replay=True)
        await stream.results()
        found = [await read(iterator) for iterator in (early, of_run, late)]
    whole = transcript_of(fold(raws).signals).facts()
    for items in (*found, followed):
        assert transcript_of(_last_snapshot(items)).facts() == whole
    assert ends == [True]


def _last_snapshot(items: list[Any]) -> list[Any]:
    """The items from the last snapshot on: it replaces all before it."""
    places = [place for place, item in enumerate(items) if isinstance(item, StateSnapshot)]
    return items[places[-1] :] if places else items
