"""The sinks of a stream on a cluster: each shows the runs of an ingest as those of any source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec
import pytest
from structlog.testing import capture_logs

from runstream import AgUiEncoder, PageFeed, RunStream, SseRelay, TextDelta, log_signals
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.ingest import Ingest
from runstream.cluster.source import ClusterSource
from runstream.cluster.topology import partition_of
from runstream.sinks.page.diff import apply
from runstream.testing import script

RUN = script("run_1").start().say("It is sunny.", pieces=["It ", "is ", "sunny."]).end()
SECONDS = 20


async def _play(url: str) -> None:
    async with Ingest(url) as ingest:
        ingest.attach(RUN.raw_events(), name="a")
        await ingest.join()


@asynccontextmanager
async def _stream(server: EmbeddedBroker) -> AsyncIterator[RunStream]:
    async with RunStream(ClusterSource(server.url, start="all")) as stream:
        yield stream


async def test_the_sinks_show_a_cluster(server: EmbeddedBroker) -> None:
    """The log, the page, server-sent events and AG-UI have the run, its text and its end."""
    encoder, agui = AgUiEncoder("thread", "run_1"), list[dict[str, object]]()
    texts: list[str] = []
    async with _stream(server) as stream:
        with capture_logs() as lines:
            log_signals(stream)
            feed, relay = PageFeed(stream), SseRelay(stream)
            stream.signals.subscribe(lambda signal: agui.extend(encoder.encode(signal, stream.latest.get("run_1"))))
            stream.on(TextDelta, lambda signal: texts.append(signal.delta))

            async def follow_page() -> dict[str, object]:
                page: dict[str, object] = {}
                async with aclosing(feed.frames()) as frames:
                    async for frame in frames:
                        page = apply(page, msgspec.json.decode(frame))
                        if "sunny." in frame and "completed" in str(page):
                            break
                return page

            async def follow_events() -> bytes:
                return b"".join([chunk async for chunk in relay.events("run_1")])

            async with asyncio.timeout(SECONDS):
                following = asyncio.gather(follow_page(), follow_events())
                stream.start()
                await _play(server.url)
                state = await stream.result("run_1")
                page, events = await following
    assert state.status == "completed"
    assert "".join(texts) == "It is sunny."
    assert "It is sunny." in str(page)
    assert b"event: end" in events
    assert b"run_1/completed" in events
    assert {"run.created", "run.completed"} <= {line["event"] for line in lines if line.get("run_id") == "run_1"}
    agui += encoder.finish()
    kinds = [event["type"] for event in agui]
    assert (kinds[0], kinds[-1]) == ("RUN_STARTED", "RUN_FINISHED")
    assert "".join([str(each["delta"]) for each in agui if each["type"] == "TEXT_MESSAGE_CONTENT"]) == "It is sunny."


@pytest.mark.parametrize("partitions", [(0,), (1, 2, 3)])
async def test_a_stream_of_some_partitions(server: EmbeddedBroker, partitions: tuple[int, ...]) -> None:
    """A stream over some partitions has the runs of these alone."""
    async with Ingest(server.url) as ingest:
        for number in range(12):
            ingest.attach(script(f"run_{number}").start().end().raw_events(), name=f"s{number}")
        await ingest.join()
        wanted = {f"run_{n}" for n in range(12) if _partition(ingest, f"s{n}") in partitions}
    assert 0 < len(wanted) < 12
    async with RunStream(ClusterSource(server.url, start="all", partitions=partitions)) as stream:
        stream.start()
        async with asyncio.timeout(SECONDS):
            while len(stream.latest) < len(wanted):
                await asyncio.sleep(0.02)
        assert set(stream.latest) == wanted


def _partition(ingest: Ingest, name: str) -> int:
    return partition_of("", name, ingest.topology.partitions)
