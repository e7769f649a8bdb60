"""The place from which a source is continued: that of its dialect, where the transport has none."""

from __future__ import annotations

import json

from runstream import PollSource, Reconnect, RunStream, SseSource
from runstream.testing import script
from tests.support.http_peer import Exchange, http_serving

FAST = Reconnect(initial=0.001, maximum=0.01, max_attempts=5)


def envelopes() -> list[str]:
    """The envelopes of a relay, each with an id; the blocks around them have none."""
    raws = script("run_1").start().say("haho", pieces=["ha", "ho"]).end().raw_events(enveloped=True)
    return [json.dumps({"id": f"e{number}", **json.loads(raw.data)}) for number, raw in enumerate(raws)]


async def test_an_event_stream_is_continued_after_the_id_of_an_envelope() -> None:
    items = envelopes()

    async def respond(exchange: Exchange, number: int) -> None:
        last = exchange.request.header("last-event-id")
        first = int(last[1:]) + 1 if last else 0
        for item in items[first : None if number else 4]:
            await exchange.event(item)

    async with http_serving(respond) as peer, RunStream(SseSource(peer.url, proxy=None, reconnect=FAST)) as stream:
        run = await stream.result()
        assert (run.status, stream.latest["run_1"].text) == ("completed", "haho")
    assert [request.header("last-event-id") for request in peer.requests] == [None, "e3"]


async def test_the_id_of_the_event_stream_has_precedence() -> None:
    items = envelopes()

    async def respond(exchange: Exchange, number: int) -> None:
        for at, item in enumerate(items[: None if number else 4]):
            await exchange.event(item, id=f"s{at}")

    async with http_serving(respond) as peer, RunStream(SseSource(peer.url, proxy=None, reconnect=FAST)) as stream:
        await stream.result()
    assert [request.header("last-event-id") for request in peer.requests] == [None, "s3"]


async def test_a_polled_response_is_found_to_be_one() -> None:
    statuses = iter(["queued", "in_progress", "completed"])
    source = PollSource(lambda: {"id": "resp_1", "object": "response", "status": next(statuses)}, interval=0.001)
    stream = RunStream()
    handle = stream.attach(source)
    async with stream:
        run = await stream.result()
    assert (run.id, run.status, handle.dialect) == ("resp_1", "completed", "responses")
