"""A run that leaves its source, which goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from runstream import (
    Engine,
    Event,
    IncompleteStream,
    MemoryStore,
    Message,
    MessageEvent,
    RawEvent,
    Reject,
    RunCompleted,
    RunDetached,
    RunInterrupted,
    RunPaused,
    RunStream,
    TextAppend,
)
from runstream.model.raw import RawItem
from tests.support.dialects import WordsDialect


class Detaching(WordsDialect):
    """Reads ``run_1 detach`` too."""

    def decode(self, raw: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if isinstance(raw, RawEvent) and raw.data.endswith(b" detach"):
            return RunDetached("the lane was closed", run_id=raw.data.split(b" ")[0].decode())
        return super().decode(raw)


def engine_and_signals(**options: Any) -> tuple[Engine, list[Any]]:
    engine = Engine(clock=lambda: 1.0, **options)
    signals: list[Any] = []
    engine.on_signal = signals.append
    return engine, signals


def keys(signals: list[Any]) -> list[str]:
    return [signal.key for signal in signals]


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["no store", "store"])
def test_the_run_is_interrupted_and_the_source_goes_on(store: MemoryStore | None) -> None:
    engine, signals = engine_and_signals(store=store)
    intake = engine.intake("socket", dialect=Detaching)
    intake.feed_all([b"run_1 in_progress", b"run_2 in_progress"])
    signals.clear()
    intake.feed(b"run_1 detach")
    assert keys(signals) == ["run_1/interrupted/1"]
    assert isinstance(signals[0], RunInterrupted)
    assert signals[0].reason == "the lane was closed"
    assert [state.run_id for state in intake.open_runs()] == ["run_2"]
    intake.feed(b"run_1 detach")
    assert len(signals) == 1
    intake.feed(b"run_1 completed")
    assert isinstance(signals[-1], RunCompleted)
    intake.end()
    assert "run_1/interrupted/2" not in keys(signals)
    assert "run_2/interrupted/1" in keys(signals)


def test_a_later_event_resumes_the_run() -> None:
    """It is open in its source again, whose end then interrupts it."""
    engine, signals = engine_and_signals()
    intake = engine.intake("socket", dialect=Detaching)
    intake.feed_all([b"run_1 in_progress", b"run_1 detach", b"run_1 cancelling"])
    assert [state.run_id for state in intake.open_runs()] == ["run_1"]
    assert engine.registry.released == 0
    intake.end()
    assert keys(signals)[-2:] == ["run_1/interrupted/2", "socket/ended/1"]


def test_a_run_that_waits_is_paused_once() -> None:
    engine, signals = engine_and_signals()
    intake = engine.intake("socket", dialect=Detaching)
    intake.feed_all([b"run_1 in_progress", b"run_1 requires_action call_1", b"run_1 detach", b"run_1 detach"])
    assert isinstance(signals[-1], RunPaused)
    intake.end()
    assert sum(isinstance(signal, RunPaused) for signal in signals) == 1
    assert not intake.live


def test_another_source_keeps_its_run() -> None:
    """A run that another source sends now is not detached, and an unknown one is counted."""
    engine, signals = engine_and_signals()
    first = engine.intake("first", dialect=Detaching)
    second = engine.intake("second", dialect=Detaching)
    first.feed(b"run_1 queued")
    second.feed(b"run_1 in_progress")
    first.feed_all([b"run_1 detach", b"run_9 detach"])
    assert not any(isinstance(signal, RunInterrupted) for signal in signals)
    assert engine.stats().unattached == 1


class Speaking(Detaching):
    """Reads ``run_1 says word`` too, each word as a part of one message."""

    def decode(self, raw: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if isinstance(raw, RawEvent) and b" says " in raw.data:
            run_id, _, word = raw.data.decode().split(" ")
            return TextAppend("message_1", "text", 0, word, run_id=run_id)
        return super().decode(raw)


@pytest.mark.parametrize("other", [False, True])
def test_a_source_that_takes_a_detached_run_may_lack_a_part(other: bool) -> None:
    """Another source need not go on where the first one has stopped; the first one does."""
    engine, _ = engine_and_signals()
    first = engine.intake("first", dialect=Speaking)
    message = MessageEvent(Message(id="message_1", role="assistant"), run_id="run_1", created=True)
    first.feed(b"run_1 in_progress")
    engine.router.table[MessageEvent](engine.router, first.state, message, 1.0)
    first.feed_all([b"run_1 says The", b"run_1 detach"])
    assert engine.states()[0].partial == set()
    (engine.intake("second", dialect=Speaking) if other else first).feed(b"run_1 says ferry")
    assert (engine.states()[0].text, engine.states()[0].partial) == ("Theferry", {"message_1"} if other else set())


async def test_the_results_are_those_after_an_end_of_the_source() -> None:
    """The other run ends; the detached one is left open, and the exception names it."""
    items = [b"run_1 in_progress", b"run_2 in_progress", b"run_1 detach", b"run_2 completed"]
    async with RunStream(items, dialect=Detaching) as stream:
        assert (await stream.result("run_2")).status == "completed"
        with pytest.raises(IncompleteStream, match="run_1 was left in_progress"):
            await stream.result("run_1")


async def test_a_dialect_of_its_own_still_continues_the_run() -> None:
    """A source that continues a detached run has the dialect of the source that sent it."""
    async with RunStream() as stream:
        with stream.keep_open():
            stream.attach([b"run_1 requires_action call_1", b"run_1 detach"], dialect=Detaching)
            await stream.when(RunPaused)
            stream.attach([b"- completed"], continues="run_1")
            assert (await stream.result("run_1")).status == "completed"
