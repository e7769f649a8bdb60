"""Reconnecting sources: only an advance of the state is progress, and a run that gets nowhere ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.engine.engine import Engine
from runstream.errors import IncompleteStream
from runstream.model.raw import RawEvent
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.sources.websocket import WebSocketSource
from runstream.stream.run_progress import RunProgress
from runstream.stream.run_stream import RunStream
from runstream.testing import Conversation, script
from tests.support.http_peer import Exchange, HttpPeer, Respond, block, http_serving
from tests.support.peers import serving

FAST = Reconnect(initial=0.001, maximum=0.01, jitter=0.0, max_attempts=4)


def raws() -> list[RawEvent]:
    one = script("run_1").start().say("Slow is smooth.", pieces=list("Slow is smooth.")).say("Done.").end("completed")
    return list(Conversation([one]).raw_events())


def blocks(events: list[RawEvent], *, ids: bool) -> list[str]:
    return [
        block(raw.data.decode(), event=raw.event, id=str(number) if ids else None)
        for number, raw in enumerate(events, 1)
    ]


@asynccontextmanager
async def reading(respond: Respond) -> AsyncIterator[tuple[HttpPeer, RunStream]]:
    """A server that answers with the function, and a stream that reads it and reconnects."""
    async with (
        http_serving(respond) as peer,
        asyncio.timeout(25),
        RunStream(SseSource(peer.url, reconnect=FAST, proxy=None)) as stream,
    ):
        yield peer, stream


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("cuts", [(5,), (4, 5), (7, 3, 5), (9, 8, 7, 6)])
async def test_half_a_run_cut_at_changing_places_is_given_up(cuts: tuple[int, ...], ids: bool) -> None:
    """The same beginning again and again advances nothing, wherever it is cut; with ids or without."""
    sent = blocks(raws(), ids=ids)

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send("".join(sent[: cuts[number % len(cuts)]]))

    async with reading(respond) as (peer, stream):
        with pytest.raises(IncompleteStream):
            await stream.result()
    assert len(peer.requests) <= 4 + 1 + len(cuts)


async def test_a_websocket_with_half_a_run_is_given_up() -> None:
    sent = [b'{"event": "%s", "data": %s}' % ((raw.event or "").encode(), raw.data) for raw in raws()]

    async def handler(connection: object, number: int) -> None:
        for message in sent[: 4 + number % 3]:
            await connection.send(message)  # type: ignore[attr-defined]
        await connection.close(1011)  # type: ignore[attr-defined]

    async with (
        serving(handler) as peer,
        asyncio.timeout(20),
        RunStream(WebSocketSource(peer.url, reconnect=FAST, proxy=None)) as stream,
    ):
        with pytest.raises(IncompleteStream):
            await stream.result()
    assert len(peer.requests) <= 4 + 4


@pytest.mark.parametrize("cuts", [(6,), (4, 5, 6), (7, 3, 9, 5)])
async def test_fragments_without_ids_sent_again_are_given_up(cuts: tuple[int, ...]) -> None:
    """A server resumes after the last id, and sends the fragments behind it again: their text grows, for nothing."""
    events = raws()
    sent = blocks(events, ids=False)
    first = next(number for number, raw in enumerate(events) if raw.event == "thread.message.delta")
    beginning = "".join(blocks(events, ids=True)[:first])

    async def respond(exchange: Exchange, number: int) -> None:
        rest = "".join(sent[first : first + cuts[number % len(cuts)]])
        await exchange.send(rest if exchange.request.header("last-event-id") else beginning + rest)

    async with reading(respond) as (peer, stream):
        with pytest.raises(IncompleteStream):
            await stream.result()
    assert len(peer.requests) <= 4 + 2 + len(cuts)
    waits = [later - earlier for earlier, later in pairwise(peer.times[-4:])]
    assert waits[-1] >= 0.008  # the delays have grown


@pytest.mark.parametrize("cuts", [(5,), (4, 5, 8, 6)])
async def test_another_half_a_run_each_time_is_given_up(cuts: tuple[int, ...]) -> None:
    """Each request begins a run of its own, which the server never continues."""

    async def respond(exchange: Exchange, number: int) -> None:
        one = script(f"run_{number}").start().say("Slow is smooth.", pieces=list("Slow is smooth.")).end("completed")
        events = list(Conversation([one]).raw_events())
        await exchange.send("".join(blocks(events, ids=False)[: cuts[number % len(cuts)]]))

    async with reading(respond) as (peer, stream):
        with pytest.raises(IncompleteStream):
            await stream.results()
    assert len(peer.requests) <= 4 + 1 + len(cuts)


@pytest.mark.parametrize("cuts", [(5,), (6, 11), (4, 5, 8, 6)])
@pytest.mark.parametrize("protocol", ["assistants", "ag-ui"])
async def test_a_run_made_anew_under_other_ids_is_given_up(protocol: str, cuts: tuple[int, ...]) -> None:
    """Each request makes the same run again, with new messages: some of them end, and it gets no further."""

    def assistants(number: int) -> list[str]:
        one = script("run_1").start()
        for _ in range(3):
            one.say("Slow.", pieces=list("Slow."))
        found = blocks(one.end("completed").raw_events(), ids=False)
        return [each.replace("msg_run_1_", f"msg_{number}_") for each in found]

    def ag_ui(number: int) -> list[str]:
        events: list[dict[str, Any]] = [{"type": "RUN_STARTED", "threadId": "t", "runId": "run_1"}]
        for each in range(4):
            id = f"msg_{number}_{each}"
            events += [
                {"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant"},
                *[{"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": letter} for letter in "Slow."],
                {"type": "TEXT_MESSAGE_END", "messageId": id},
            ]
        return [block(json.dumps(event)) for event in events]

    make = assistants if protocol == "assistants" else ag_ui

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send("".join(make(number)[: cuts[number % len(cuts)] * 2]))

    async with reading(respond) as (peer, stream):
        with pytest.raises(IncompleteStream):
            await stream.result()
    assert len(peer.requests) <= 4 + 2 + len(cuts)


@pytest.mark.parametrize("ids", [True, False])
async def test_a_run_that_advances_is_read_to_its_end(ids: bool) -> None:
    """Many losses, each after one event more: more than `max_attempts` of them."""
    events = raws()
    sent = blocks(events, ids=ids)

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send("".join(sent[: 3 + number]))

    async with reading(respond) as (peer, stream):
        runs = await stream.results()
    assert all(run.status == "completed" for run in runs)
    assert len(peer.requests) > 6


@given(st.lists(st.integers(0, 30), min_size=2, max_size=6))
def test_a_beginning_that_is_known_is_no_progress(cuts: list[int]) -> None:
    """Whatever beginnings a server sends: only those that are longer than all before them may count."""
    events = raws()
    engine = Engine()
    intake = engine.intake("test")
    progress = RunProgress(intake.state)
    longest, count = 0, progress.count()
    for number, cut in enumerate(cuts):
        intake.connected(number)
        intake.feed_all(events[:cut])
        before, count = count, progress.count()
        if min(cut, len(events)) <= longest:
            assert count == before
        longest = max(longest, min(cut, len(events)))


def test_whole_runs_in_one_connection_are_progress() -> None:
    """A run that begins and ends between two counts has advanced; the same run again has not."""
    events = raws()
    intake = Engine().intake("test")
    progress = RunProgress(intake.state)
    counts: list[int] = []
    count: Callable[[], None] = lambda: counts.append(progress.count())  # noqa: E731
    for _ in range(3):
        intake.connected()
        intake.feed_all(events)
        count()
    assert counts == [1, 1, 1]
