"""`RunStream`: failures of subscribers and sources are isolated, reported, and raised on request."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream.errors import SlowConsumer
from runstream.model.signals import (
    RunCompleted,
    RunCreated,
    RunSignal,
    SourceError,
)
from runstream.sources.base import Receiver
from runstream.stream.run_stream import RunStream
from tests.stream.runs import ScriptedSource, completed, raw

pytestmark = pytest.mark.usefixtures("_leaves_nothing_behind")


async def test_a_raising_subscriber_is_logged_and_the_others_get_everything() -> None:
    def fails(_: Any) -> None:
        raise ValueError("a secret text")

    async def fails_later(_: Any) -> None:
        raise LookupError("a secret text")

    with capture_logs() as logs:
        async with RunStream(ScriptedSource(completed())) as stream:
            for door in (stream.events, stream.runs, stream.signals):
                door.subscribe(fails)
            stream.on(RunCompleted, fails)
            stream.on(RunCompleted, fails_later)
            seen: list[str] = []
            stream.on(RunSignal, lambda signal: seen.append(signal.type))
            run = await stream.result()
        assert run.is_complete
        assert "run.completed" in seen
        assert stream.stats.failures == len(logs) > 5
    assert {log["event"] for log in logs} == {"subscriber_failed"}
    assert {log["run_id"] for log in logs if log["channel"] != "events"} >= {"run_a_0001"}
    assert "secret" not in repr(logs)


async def test_in_mode_raise_the_exception_comes_out_of_what_is_awaited() -> None:
    source = ScriptedSource(completed(), stays=True)
    with capture_logs() as logs:
        async with RunStream(source, on_subscriber_error="raise") as stream:

            def fails(signal: RunCreated) -> None:
                raise ZeroDivisionError

            stream.on(RunCreated, fails)
            errors: list[Exception] = []
            stream.signals.subscribe(lambda _: None, errors.append)
            with pytest.raises(ZeroDivisionError):
                await stream.result()
            with pytest.raises(ZeroDivisionError):
                await stream.results()
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert source.closed
    assert logs == []


async def test_in_mode_raise_a_result_that_came_in_the_same_turn_raises_too() -> None:
    def fails(signal: RunCompleted) -> None:
        raise ZeroDivisionError

    async with RunStream(ScriptedSource(completed()), on_subscriber_error="raise") as stream:
        stream.on(RunCompleted, fails)
        with pytest.raises(ZeroDivisionError):
            await stream.result()


async def test_in_mode_raise_leaving_the_context_raises_at_the_latest() -> None:
    async def fails(signal: RunCompleted) -> None:
        raise ZeroDivisionError

    stream = RunStream(ScriptedSource(completed()), on_subscriber_error="raise")
    stream.on(RunCompleted, fails)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - leaving is what raises
        async with stream:
            stream.start()
            await asyncio.sleep(0.01)


async def test_in_mode_raise_iteration_raises_too() -> None:
    stream = RunStream(ScriptedSource(completed(), stays=True), on_subscriber_error="raise")

    def fails(signal: RunCompleted) -> None:
        raise ZeroDivisionError

    stream.on(RunCompleted, fails)
    async with stream:
        signals = stream.iter()
        with pytest.raises(ZeroDivisionError):
            [signal async for signal in signals]


async def test_the_result_of_a_cancelled_future_in_a_callback_cancels_nobody() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    with capture_logs() as logs:
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCreated, lambda _: future.result())
            assert (await stream.result()).is_complete
    assert [log["error"] for log in logs] == ["CancelledError"]
    async with RunStream(ScriptedSource(completed()), on_subscriber_error="raise") as stream:
        stream.on(RunCreated, lambda _: future.result())
        with pytest.raises(RuntimeError, match="CancelledError in"):
            await stream.result()


async def test_a_late_iterator_over_more_runs_than_it_may_hold_is_ended() -> None:
    with capture_logs() as logs:
        async with RunStream(
            ScriptedSource(completed("a")), ScriptedSource(completed("b"), stays=True), buffer=1
        ) as stream:
            await stream.when(RunCompleted, run_id="run_b_0001")
            states = stream.iter("runs", policy="error")
            assert len(stream._channels.runs) == 0
            assert (await anext(states)).run_id == "run_a_0001"
            with pytest.raises(SlowConsumer):
                await anext(states)
    assert [log["event"] for log in logs] == ["slow_consumer"]


async def test_a_source_that_is_no_coroutine_fails_alone() -> None:
    class Wrong:
        name = "wrong"

        def run(self, receiver: Receiver) -> None:
            receiver.connected()

    with capture_logs() as logs:
        async with RunStream(Wrong(), ScriptedSource(completed())) as stream:  # type: ignore[arg-type]
            errors: list[SourceError] = []
            stream.on(SourceError, errors.append)
            assert (await stream.result()).is_complete
            assert [(error.source, error.reason) for error in errors] == [("wrong", "TypeError in the source")]
    assert [(log["event"], log["source"], log["error"]) for log in logs] == [("source_failed", "wrong", "TypeError")]


async def test_a_subscriber_that_blocks_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runstream.stream.dispatcher.SLOW_SECONDS", 0.02)

    def blocks(signal: RunCompleted) -> None:
        time.sleep(0.03)

    with capture_logs() as logs:
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCompleted, blocks)
            await stream.result()
    assert [log["event"] for log in logs] == ["slow_subscriber"]
    assert "blocks" in logs[0]["subscriber"]
    assert logs[0]["run_id"] == "run_a_0001"


async def test_feeding_from_inside_a_callback_waits_for_its_turn() -> None:
    receivers: list[Receiver] = []

    class Kept(ScriptedSource):
        async def run(self, receiver: Receiver) -> None:
            receivers.append(receiver)
            await super().run(receiver)

    other = [raw(event) for event in completed("b")]
    async with RunStream(Kept(completed("a"))) as stream:
        orders: list[list[str]] = [[], []]
        stream.signals.subscribe(lambda s: orders[0].append(s.key))

        def feeds(signal: RunCreated) -> None:
            if signal.run_id == "run_a_0001":
                for item in other:
                    receivers[0].feed(item)

        stream.on(RunCreated, feeds)
        stream.signals.subscribe(lambda s: orders[1].append(s.key))
        runs = await stream.results()
    assert orders[0] == orders[1]
    # The event that was being told is told to its end first.
    assert orders[0].index("run_a_0001/status/queued/0") < orders[0].index("run_b_0001/created")
    assert [run.id for run in runs] == ["run_a_0001", "run_b_0001"]
