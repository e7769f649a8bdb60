"""A run read over a socket from another process is the run that is read from its file; one cut off is no success."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from runstream import demo
from runstream.engine.fold import fold
from runstream.errors import IncompleteStream, SourceFailed
from runstream.model.signals import RunInterrupted, RunSignal, Signal, SourceSignal, TextDelta
from runstream.recordings.reader import read_recording
from runstream.sources.reconnect import Reconnect
from runstream.sources.websocket import WebSocketSource
from runstream.stream.run_stream import RunStream
from tests.support.serving import serving_process

pytestmark = pytest.mark.slow

LIMIT = 20  # seconds, for what takes less than one


def facts(signals: Iterable[Signal]) -> list[dict[str, Any]]:
    """The run signals without what was observed and not told, in which a socket differs from a file."""
    return [_told(signal.to_dict()) for signal in signals if isinstance(signal, RunSignal)]


def _told(signal: dict[str, Any]) -> dict[str, Any]:
    observed = {"at", "reason"}
    if signal["type"] in ("run.expired", "run.incomplete"):
        observed.add("duration")  # the wire does not say when these ended
    return {name: value for name, value in signal.items() if name not in observed}


@pytest.mark.parametrize("name", demo.recordings())
async def test_live_equals_offline(name: str) -> None:
    """States and run signals are equal, for every bundled recording."""
    offline = fold(read_recording(demo.load(name)))
    signals: list[Signal] = []
    with serving_process(name) as (url, _):
        async with asyncio.timeout(LIMIT), RunStream(WebSocketSource(url, proxy=None)) as stream:
            stream.signals.subscribe(signals.append)
            # A run that waits for tool outputs when its stream ends is left so.
            await stream.when("source.ended")
            states = [state.to_dict() for state in stream.latest.values()]
            assert (stream.stats.rejected, stream.stats.failures) == (0, 0)
    assert states == [state.to_dict() for state in offline.runs]
    assert facts(signals) == facts(offline.signals)
    assert [signal.type for signal in signals if isinstance(signal, SourceSignal)] == [
        "source.connected",
        "source.ended",
    ]


async def test_two_clients_of_one_server_see_the_same() -> None:
    """Each in a stream of its own; text that waits for a client is joined, not lost."""

    async def read(url: str) -> str:
        async with RunStream(WebSocketSource(url, proxy=None)) as stream:
            return "".join([signal.delta async for signal in stream if isinstance(signal, TextDelta)])

    offline = fold(read_recording(demo.load("text.sse")))
    with serving_process("text.sse") as (url, _):
        async with asyncio.timeout(LIMIT):
            found = list(await asyncio.gather(read(url), read(url)))
    assert found == ["".join(signal.delta for signal in offline.signals if isinstance(signal, TextDelta))] * 2


@pytest.mark.parametrize("reconnect", [Reconnect(max_attempts=2, initial=0.01), None], ids=["reconnecting", "once"])
async def test_a_server_that_is_killed_is_no_success(reconnect: Reconnect | None) -> None:
    """SIGKILL in the middle of a run: tried again, given up, interrupted; never completed and never for ever."""
    signals: list[Signal] = []
    with serving_process("text.sse", speed=1.0) as (url, process):
        async with asyncio.timeout(LIMIT), RunStream(WebSocketSource(url, proxy=None, reconnect=reconnect)) as stream:
            stream.signals.subscribe(signals.append)
            stream.on("message.text", lambda _: process.kill())
            with pytest.raises(IncompleteStream) as caught:
                await stream.result()
            (state,) = stream.latest.values()
    assert isinstance(caught.value.__cause__, SourceFailed)
    assert not state.is_terminal
    assert [left.run_id for left in caught.value.states] == [state.run_id]
    (interrupted,) = (signal for signal in signals if isinstance(signal, RunInterrupted))
    attempts = reconnect.max_attempts if reconnect is not None else 0
    assert interrupted.attempts == attempts
    types = [signal.type for signal in signals]
    assert types.count("source.disconnected") == attempts
    assert types.count("source.ended") == 1
    assert not {"run.completed", "run.paused", "source.resumed"} & set(types)


async def test_a_server_that_dies_before_anything_is_no_success() -> None:
    """A dead server's address: the stream ends with the source's failure."""
    with serving_process("text.sse") as (url, process):
        process.kill()
        process.wait(LIMIT)
        async with asyncio.timeout(LIMIT), RunStream(WebSocketSource(url, proxy=None)) as stream:
            with pytest.raises(IncompleteStream) as caught:
                await stream.result()
    assert isinstance(caught.value.__cause__, SourceFailed)
    assert "Could not connect" in caught.value.__cause__.reason
