"""`RunStream`: when reading starts, and what its Observables emit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from reactivex import operators as ops

from runstream.engine.fold import fold
from runstream.model.raw import RawEvent
from runstream.model.signals import (
    RunCompleted,
    RunCreated,
    RunFailed,
    Signal,
    TextDelta,
)
from runstream.stream.run_stream import RunStream
from tests.stream.runs import ScriptedSource, completed, failed, kinds, raw

pytestmark = pytest.mark.usefixtures("_leaves_nothing_behind")


async def test_nothing_is_read_before_something_is_awaited() -> None:
    source = ScriptedSource(completed())
    async with RunStream(source) as stream:
        signals: list[Signal] = []
        stream.signals.subscribe(signals.append)
        stream.on(RunCompleted, signals.append)
        stream.iter()
        await asyncio.sleep(0.01)
        assert source.fed == 0
        assert signals == []
        await stream.result()
        assert source.fed > 0
        assert signals


async def test_each_of_the_doors_starts_the_reading() -> None:
    for door in ("result", "results", "when", "async for", "start"):
        source = ScriptedSource(completed())
        async with RunStream(source) as stream:
            match door:
                case "result":
                    await stream.result()
                case "results":
                    await stream.results()
                case "when":
                    await stream.when(RunCreated)
                case "async for":
                    async for _ in stream:
                        break
                case "start":
                    stream.start()
                    await asyncio.sleep(0.01)
            assert source.fed > 0, door


async def test_every_door_tells_what_the_fold_tells() -> None:
    events = [raw(event) for event in completed()]
    folded = fold(events, name="told", clock=lambda: 1.0)
    async with RunStream(ScriptedSource(events), clock=lambda: 1.0) as stream:
        by_rx: list[Signal] = []
        by_call: list[Signal] = []
        by_task: list[Signal] = []
        states: list[Any] = []
        seen_events: list[Any] = []

        async def later(signal: Signal) -> None:
            by_task.append(signal)

        stream.signals.subscribe(by_rx.append)
        stream.on(Signal, by_call.append)
        stream.on(Signal, later, policy="wait")
        stream.runs.subscribe(states.append)
        stream.events.subscribe(seen_events.append)
        by_loop = [signal async for signal in stream]
    expected = [signal.to_dict() for signal in folded.signals]
    without_sources = [one for one in expected if not one["type"].startswith("source.")]
    for signals in (by_rx, by_call):
        got = [s.to_dict() for s in signals]
        assert [one for one in got if not one["type"].startswith("source.")] == without_sources
    for conflated in (by_task, by_loop):
        text = "".join(s.delta for s in conflated if isinstance(s, TextDelta))
        assert text == "Hello there, friend."
        assert [k for k in kinds(conflated) if k != "message.text"] == [k for k in kinds(by_rx) if k != "message.text"]
    assert states[-1] == folded.runs[0]
    assert len(seen_events) == len(events)


async def test_the_observables_complete_once_no_source_is_left() -> None:
    ends: list[str] = []
    async with RunStream(ScriptedSource(completed("a")), ScriptedSource(completed("b"))) as stream:
        for name in ("events", "runs", "signals", "rejects"):
            getattr(stream, name).subscribe(on_completed=lambda name=name: ends.append(name))
        assert len(await stream.results()) == 2
    assert sorted(ends) == ["events", "rejects", "runs", "signals"]


async def test_late_subscribers_get_held_runs_but_neither_signals_nor_events() -> None:
    async with RunStream(ScriptedSource(completed("a")), ScriptedSource(completed("b"), stays=True)) as stream:
        await stream.when(RunCompleted, run_id="run_b_0001")
        states: list[Any] = []
        others: list[Any] = []
        stream.runs.subscribe(states.append)
        stream.signals.subscribe(others.append)
        stream.events.subscribe(others.append)
        assert [state.run_id for state in states] == ["run_a_0001", "run_b_0001"]
        assert others == []


async def test_who_subscribes_after_the_end_gets_the_runs_and_the_end() -> None:
    async with RunStream(ScriptedSource(completed())) as stream:
        await stream.results()
        seen: list[Any] = []
        stream.runs.subscribe(seen.append, on_completed=lambda: seen.append("end"))
        stream.signals.subscribe(seen.append, on_completed=lambda: seen.append("end"))
        assert [getattr(one, "run_id", one) for one in seen] == ["run_a_0001", "end", "end"]
        assert [state.run_id async for state in stream.iter("runs")] == ["run_a_0001"]
        assert [signal async for signal in stream] == []


async def test_rejects_are_given_and_counted() -> None:
    bad = RawEvent(data=b"{not json")
    async with RunStream(ScriptedSource([bad, *completed()])) as stream:
        rejects: list[Any] = []
        stream.rejects.subscribe(rejects.append)
        await stream.result()
        assert [reject.raw for reject in rejects] == [bad]
        assert stream.stats.rejected == 1


async def test_what_nobody_listens_to_is_not_built() -> None:
    async with RunStream(ScriptedSource(completed(), stays=True)) as stream:
        engine = stream._engine
        assert (engine.on_event, engine.on_state, engine.on_reject, engine.progress) == (None, None, None, False)
        one = stream.on(RunCompleted, lambda _: None)
        assert not engine.progress
        two = stream.on("message.text", lambda _: None)
        states = stream.runs.subscribe(lambda _: None)
        assert engine.progress
        assert engine.on_state is not None
        assert (engine.on_event, engine.on_reject) == (None, None)
        for subscription in (one, two, states):
            subscription.dispose()
        assert not engine.progress
        assert engine.on_state is None
        waiting = asyncio.create_task(stream.when(TextDelta))
        found = await waiting
        assert found.offset == 0
        assert not engine.progress


async def test_rx_operators_compose_over_the_stream() -> None:
    async with RunStream(ScriptedSource(completed("a")), ScriptedSource(failed("b"))) as stream:
        seen: list[str] = []
        ended: Any = ops.filter(lambda signal: isinstance(signal, RunCompleted | RunFailed))
        keys: Any = ops.map(lambda signal: signal.key)
        stream.signals.pipe(ended, keys, ops.to_list()).subscribe(seen.extend)
        await stream.results()
    assert sorted(seen) == ["run_a_0001/completed", "run_b_0001/failed"]
