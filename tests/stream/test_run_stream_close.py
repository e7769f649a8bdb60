"""Leaving a `RunStream`: nothing is left behind, whatever is going on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream.errors import IncompleteStream
from runstream.model.signals import (
    ActionRequired,
    RunCompleted,
    RunCreated,
    RunInterrupted,
    SourceEnded,
)
from runstream.sources.base import Receiver
from runstream.stream.run_stream import RunStream
from tests.stream.runs import ScriptedSource, completed, cut_short, two_streams
from tests.support.clock import virtual_time

pytestmark = pytest.mark.usefixtures("_leaves_nothing_behind")


async def test_leaving_cancels_sources_and_lets_handlers_finish() -> None:
    source = ScriptedSource(completed(), stays=True)
    seen: list[str] = []

    async def handler(signal: RunCompleted) -> None:
        await asyncio.sleep(0.02)
        seen.append(signal.type)

    async with RunStream(source) as stream:
        stream.on(RunCompleted, handler)
        await stream.result()
    assert source.closed
    assert seen == ["run.completed"]


async def test_a_source_that_has_just_ended_is_noted() -> None:
    """Leaving in the same iteration of the loop in which the task of a source ends loses none of its signals."""
    source = ScriptedSource(completed())
    async with RunStream() as stream:
        handle = stream.attach(source)
        ended: list[SourceEnded] = []
        stream.on(SourceEnded, ended.append)
        stream.start()
        while handle._task is None or not handle._task.done():
            await asyncio.sleep(0)
    assert handle.done
    assert len(ended) == 1


async def test_leaving_takes_no_longer_than_close_timeout() -> None:
    cancelled: list[bool] = []

    async def handler(signal: RunCompleted) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cancelled.append(True)

    with virtual_time() as passed:
        async with RunStream(ScriptedSource(completed()), close_timeout=0.05) as stream:
            stream.on(RunCompleted, handler)
            await stream.result()
        assert passed() < 0.1
    assert cancelled == [True]


async def test_a_handler_that_never_returns_is_bounded_by_closing() -> None:
    """A handler of ActionRequired keeps the stream open until then."""
    first, _ = two_streams()

    async def never(signal: ActionRequired) -> None:
        await asyncio.sleep(10)

    with virtual_time() as passed:
        async with RunStream(ScriptedSource(first), close_timeout=0.05) as stream:
            stream.on(ActionRequired, never)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stream.result()
        assert passed() < 0.15


async def test_leaving_early_says_so_to_the_runs() -> None:
    signals: list[Any] = []
    async with RunStream(ScriptedSource(cut_short(), stays=True)) as stream:
        stream.on((RunInterrupted, SourceEnded), signals.append)
        await stream.when(RunCreated)
    assert [(s.type, s.reason) for s in signals] == [
        ("run.interrupted", "the stream was closed"),
        ("source.ended", "the stream was closed"),
    ]
    with pytest.raises(IncompleteStream):
        await stream.result()
    await stream.aclose()


async def test_leaving_unread_reads_nothing() -> None:
    source = ScriptedSource(completed())
    async with RunStream(source):
        pass
    assert source.fed == 0


async def test_cancelling_the_consumer_cancels_everything() -> None:
    source = ScriptedSource(cut_short(), stays=True)
    cancelled: list[bool] = []

    async def handler(signal: RunCreated) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cancelled.append(True)

    async def consume() -> None:
        async with RunStream(source) as stream:
            stream.on(RunCreated, handler)
            await stream.result()

    with virtual_time() as passed:
        task = asyncio.create_task(consume())
        await asyncio.sleep(0.02)
        started = passed()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert passed() - started < 0.01
    assert source.closed
    assert cancelled == [True]


async def test_a_cancellation_while_leaving_still_leaves_nothing_behind() -> None:
    async def handler(signal: RunCompleted) -> None:
        await asyncio.sleep(10)

    async def consume() -> None:
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCompleted, handler)
            await stream.result()

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_exception_in_the_body_passes_and_handlers_finish() -> None:
    seen: list[str] = []

    async def handler(signal: RunCompleted) -> None:
        await asyncio.sleep(0.01)
        seen.append(signal.type)

    async def body() -> None:
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCompleted, handler)
            await stream.result()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await body()
    assert seen == ["run.completed"]


async def test_a_task_that_refuses_to_go_is_logged_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runstream.stream.subscriptions._CLEANUP_SECONDS", 0.02)
    free = asyncio.Event()

    class Stubborn(ScriptedSource):
        async def run(self, receiver: Receiver) -> None:
            while not free.is_set():
                try:
                    await free.wait()
                except asyncio.CancelledError:
                    continue

    with capture_logs() as logs:
        async with RunStream(Stubborn(name="mule"), close_timeout=0.02) as stream:
            stream.start()
            await asyncio.sleep(0)
    free.set()
    await asyncio.sleep(0.01)
    assert [(log["event"], log["tasks"]) for log in logs] == [("close_timed_out", ["runstream source mule"])]


async def test_a_handler_may_close_its_own_stream() -> None:
    stream = RunStream(ScriptedSource(completed(), stays=True), close_timeout=3600)

    async def handler(signal: RunCompleted) -> None:
        await stream.aclose()

    stream.on(RunCompleted, handler)
    await asyncio.wait_for(stream.results(), 25)
    await stream.aclose()


async def test_waiters_are_cancelled_cleanly() -> None:
    async with RunStream(ScriptedSource(cut_short(), stays=True)) as stream:
        tasks = [
            asyncio.create_task(one)
            for one in (stream.result(), stream.results(), stream.when(RunCompleted), anext(aiter(stream)))
        ]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in done[:3]] == [asyncio.CancelledError] * 3
        assert not stream._results._waiters
