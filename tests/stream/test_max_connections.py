"""The limit on sources that are read at once: who is beyond it waits, in order, and is seen to wait."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from runstream.errors import SourceFailed
from runstream.sources.base import Receiver
from runstream.stream.run_stream import RunStream
from runstream.testing import script
from tests.support.receiver import eventually


class Counted:
    """A source of one run that lets others know how many are read at once, and ends when it is told to."""

    reading = 0
    most = 0
    begun: ClassVar[list[str]] = []

    def __init__(self, number: int, *, fails: bool = False) -> None:
        self.name = f"source {number}"
        self.run_id = f"run_{number}"
        self.go = asyncio.Event()
        self.fails = fails

    async def run(self, receiver: Receiver) -> None:
        Counted.reading += 1
        Counted.most = max(Counted.most, Counted.reading)
        Counted.begun.append(self.name)
        try:
            receiver.connected()
            raws = script(self.run_id).start().say("Hi.").end().raw_events()
            for raw in raws[:3]:
                receiver.feed(raw)
            await self.go.wait()
            if self.fails:
                raise SourceFailed("lost")
            for raw in raws[3:]:
                receiver.feed(raw)
        finally:
            Counted.reading -= 1


@pytest.fixture(autouse=True)
def _afresh() -> None:
    Counted.reading = Counted.most = 0
    Counted.begun = []


async def test_sources_beyond_the_limit_wait_their_turn_in_order() -> None:
    sources = [Counted(number, fails=number == 3) for number in range(20)]
    with capture_logs() as logs:
        async with RunStream(max_connections=5) as stream:
            handles = [stream.attach(source) for source in sources]
            ended: list[Any] = []
            stream.on("source.ended", ended.append)
            assert not any(handle.waiting for handle in handles)
            stream.start()
            await eventually(lambda: len(Counted.begun) == 5, within=25)
            assert (stream.stats.open_sources, stream.stats.waiting_sources) == (5, 15)
            assert [handle.waiting for handle in handles] == [False] * 5 + [True] * 15
            for number, source in enumerate(sources):
                source.go.set()
                await eventually(lambda n=number: len(Counted.begun) == min(20, 6 + n), within=25)  # type: ignore[misc]
            await eventually(lambda: len(ended) == 20, within=25)
            assert (stream.stats.open_sources, stream.stats.waiting_sources) == (0, 0)
            assert Counted.begun == [source.name for source in sources]
            assert Counted.most == 5
            assert [handle.error is not None for handle in handles] == [number == 3 for number in range(20)]
            assert sum(state.is_terminal for state in stream.latest.values()) == 19
    assert [entry["event"] for entry in logs].count("sources_wait") == 1


async def test_a_waiting_source_can_be_removed() -> None:
    """A source that is attached later waits too."""
    sources = [Counted(number) for number in range(4)]
    async with RunStream(*sources[:1], max_connections=1) as stream:
        stream.start()
        second, third, fourth = (stream.attach(source) for source in sources[1:])
        await eventually(lambda: Counted.begun == ["source 0"], within=25)
        assert second.waiting
        second.remove()
        assert second.done
        assert not second.waiting
        assert stream.stats.waiting_sources == 2
        sources[0].go.set()
        await eventually(lambda: len(Counted.begun) == 2, within=25)
        assert Counted.begun == ["source 0", "source 2"]
        third.remove()  # one that is read gives its place too
        await eventually(lambda: len(Counted.begun) == 3, within=25)
        sources[3].go.set()
        assert (await asyncio.wait_for(stream.result("run_3"), 25)).is_complete
    assert fourth.done


async def test_closing_ends_those_that_wait() -> None:
    sources = [Counted(number) for number in range(4)]
    async with RunStream(*sources, max_connections=2) as stream:
        ended: list[Any] = []
        stream.on("source.ended", ended.append)
        stream.start()
        await eventually(lambda: len(Counted.begun) == 2, within=25)
    assert len(ended) == 4
    assert len(Counted.begun) == 2
    assert stream.stats.waiting_sources == 0


async def test_many_short_sources_go_through_one_place() -> None:
    async with RunStream(max_connections=1) as stream:
        for number in range(500):
            source = Counted(number)
            source.go.set()
            stream.attach(source)
        runs = await asyncio.wait_for(stream.results(), 30)
    assert len(runs) == 500
    assert Counted.most == 1


def test_at_least_one_source_has_to_be_read() -> None:
    with pytest.raises(ValueError, match="max_connections"):
        RunStream(max_connections=0)
