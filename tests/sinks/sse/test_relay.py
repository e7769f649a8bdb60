"""The events of one client: early, late, cut and resumed, slow; each text whole, each fact once, and an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream import MemoryStore, RunStream, SseRelay, StateSnapshot, TextDelta
from runstream.sinks.sse.frames import event_id
from runstream.sinks.sse.history import History
from tests.sinks.page.support import fed
from tests.sinks.sse.support import LIMIT, Viewer, answer, parse

TEXT = "The answer is “forty-two” 🙂, as ever."


async def view(events: AsyncGenerator[bytes, None], viewer: Viewer, most: int | None = None) -> Viewer:
    """Read some chunks, or all."""
    async with asyncio.timeout(LIMIT), aclosing(events):
        async for chunk in events:
            viewer.add(chunk)
            if most is not None and (most := most - 1) <= 0:
                break
    return viewer


async def test_early_and_late_clients_see_the_same() -> None:
    """One that waits for the run, one that comes in the middle, and one after the end."""
    raws = answer()
    async with fed() as source:
        relay = SseRelay(source.stream)
        early = asyncio.ensure_future(view(relay.events("run_1"), Viewer()))
        await asyncio.sleep(0)
        await source.feed(raws[: len(raws) // 2])
        middle = asyncio.ensure_future(view(relay.events("run_1"), Viewer()))
        everything = asyncio.ensure_future(view(relay.events(), Viewer()))
        await asyncio.sleep(0)
        await source.feed(raws[len(raws) // 2 :])
        late = await view(relay.events("run_1"), Viewer())
        await source.end()
        viewers = [await early, await middle, await everything, late]
    assert [viewer.texts.get("run_1") for viewer in viewers] == [TEXT] * 4
    ended = {"run_id": "run_1", "scope": "", "status": "completed"}
    assert [viewer.end for viewer in viewers] == [ended, ended, dict.fromkeys(ended), ended]
    assert all(viewer.types.count("run.completed") == 1 for viewer in viewers)
    assert relay.clients == 0


async def test_resumes_after_each_event() -> None:
    """The connection is lost after any event: what follows the last id is what was missed."""
    async with fed() as source:
        relay = SseRelay(source.stream)
        whole = asyncio.ensure_future(view(relay.events("run_1"), Viewer()))
        await asyncio.sleep(0)
        await source.feed(answer())
        ids = [signal.key for signal in source.stream.snapshots()[0].signals() if isinstance(signal, TextDelta)]
        assert len(ids) == 1  # a snapshot has each text as one signal
        full = (await whole).types
        chunks = [chunk async for chunk in relay.events("run_1", last_event_id="run_1/created")]
        events = [event for chunk in chunks for event in parse(chunk) if event[1] == "message"]
        assert full[1:] == [data["type"] for _, _, data in events if "delta" not in data]
        for place, (id, _, _) in enumerate(events):
            found: list[Any] = []
            async for chunk in relay.events("run_1", last_event_id=id):
                found += [event for event in parse(chunk) if event[1] == "message"]
            assert found == events[place + 1 :]
        await source.end()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(1, 30))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_any_pace_and_any_history(paces: list[int], history: int) -> None:
    """A client that is cut and comes back, with a log that may not reach back: whole texts, each fact once."""
    raws = answer()
    viewer = Viewer()
    async with fed() as source:
        relay = SseRelay(source.stream, history=history, heartbeat=0.01)
        events = relay.events("run_1")
        at = 0
        for number, pace in enumerate(paces):
            viewer.add(await anext(events, b""))
            await source.feed(raws[at : at + pace])
            at += pace
            if number % 3 == 2:
                await events.aclose()
                events = relay.events("run_1", last_event_id=viewer.last_id)
        await source.feed(raws[at:])
        await view(events, viewer)
        await source.end()
    assert viewer.texts == {"run_1": TEXT}
    assert viewer.end["status"] == "completed"


async def test_client_behind_the_log() -> None:
    """It receives a new snapshot, and the stream does not wait for it."""
    async with fed() as source:
        relay = SseRelay(source.stream, history=5)
        events = relay.events("run_1")
        viewer = Viewer()
        for _ in range(2):
            viewer.add(await anext(events, b""))
        await source.feed(answer())
        await view(events, viewer)
        await source.end()
    assert (viewer.snapshots, viewer.texts) == (2, {"run_1": TEXT})


async def test_end_is_said_once() -> None:
    """Who has received the end, and comes again, receives nothing."""
    async with fed() as source:
        relay = SseRelay(source.stream)
        await source.feed(answer())
        viewer = await view(relay.events("run_1"), Viewer())
        assert relay.is_end(viewer.last_id, "run_1")
        assert not relay.is_end(viewer.last_id, "run_2")
        assert not relay.is_end(None, "run_1")
        assert not relay.is_end(viewer.last_id)
        again = [parse(chunk) async for chunk in relay.events("run_1", last_event_id=viewer.last_id)]
        assert again == [[(None, "retry", 86_400_000)]]
        await source.end()


async def test_interrupted_run_ends_with_the_stream() -> None:
    """The source ends before the run: the client has the fact, and the end with the last status."""
    async with fed() as source:
        relay = SseRelay(source.stream)
        task = asyncio.ensure_future(view(relay.events("run_1"), Viewer()))
        await source.feed(answer()[:8])
        await source.end()
        viewer = await task
        late = await view(relay.events("run_1"), Viewer())
    assert (viewer.types[-1], viewer.end["status"]) == ("run.interrupted", "in_progress")
    assert (late.types[-1], late.end, late.texts) == ("run.interrupted", viewer.end, viewer.texts)


async def test_heartbeats_while_nothing_happens() -> None:
    """A comment, so that each side sees that the connection is open."""
    async with fed() as source:
        relay = SseRelay(source.stream, heartbeat=0.01)
        viewer = await view(relay.events("run_1"), Viewer(), most=5)
        assert viewer.comments >= 3
        await source.end()


async def test_closed_relay_ends_without_an_end() -> None:
    """The clients come back, to the next process."""
    async with fed() as source:
        relay = SseRelay(source.stream)
        await source.feed(answer()[:8])
        task = asyncio.ensure_future(view(relay.events(), Viewer()))
        await asyncio.sleep(0)
        relay.close()
        viewer = await task
        assert (viewer.end, relay.clients) == (None, 0)
        await source.end()


async def test_content_is_the_choice_of_the_application() -> None:
    """No arguments of calls go out, say; and a snapshot in words of its own."""

    def content(item: Any) -> Any:
        if isinstance(item, StateSnapshot):
            return {"run_id": item.run_id, "signals": [], "text": item.state.text}
        return None if isinstance(item, TextDelta) else {"type": item.type, "key": item.key}

    async with fed() as source:
        relay = SseRelay(source.stream, content=content)
        await source.feed(answer()[:12])
        events = relay.events("run_1")
        async with asyncio.timeout(LIMIT):
            await anext(events)
            ((_, name, data),) = parse(await anext(events))
        assert (name, data["runs"][0]["text"]) == ("snapshot", source.stream.latest["run_1"].text)
        await source.feed(answer()[12:])
        rest = [event for chunk in [chunk async for chunk in events] for event in parse(chunk)]
        await source.end()
    assert [data["type"] for _, name, data in rest if name == "message"][-1] == "run.completed"
    assert not any("delta" in str(data) for _, _, data in rest)


async def test_restart_with_a_store() -> None:
    """A second process: who joined before the stored run was read has its snapshot, and misses no fact."""
    raws, store = answer(), MemoryStore()

    async def be_killed() -> None:
        async with RunStream(raws[:20], store=store) as stream:
            async for signal in stream:
                if isinstance(signal, TextDelta) and signal.offset > 5:
                    raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        await be_killed()
    async with RunStream(store=store) as stream:
        relay = SseRelay(stream)
        task = asyncio.ensure_future(view(relay.events(), Viewer()))
        await asyncio.sleep(0)
        stream.attach(raws)
        await stream.results()
        viewer = await task
    assert viewer.texts == {"run_1": TEXT}
    assert {"run.created", "message.created", "message.completed", "run.completed"} <= set(viewer.types)


@pytest.mark.parametrize("name", ["history", "heartbeat", "retry"])
async def test_bounds_are_positive(name: str) -> None:
    """A bound of 0 is a mistake."""
    with pytest.raises(ValueError, match="must be positive"):
        SseRelay(RunStream(), **{name: 0})


def test_ids_of_events() -> None:
    """Keys as they are, without what ends a line; and lone surrogates."""
    assert event_id("run_1/message/m%2F1/text/0/7") == "run_1/message/m%2F1/text/0/7"
    assert event_id("a\nb\0é\ud800") == "a%0Ab%00%C3%A9%ED%A0%80"


def test_log_has_a_bound_in_bytes() -> None:
    """Few large events leave it as many small ones do."""
    history = History(100, 10)
    entries = [history.append(TextDelta("r", None, "", 0.0, "m", 0, n, "x")) for n in range(4)]
    for entry in entries:
        history.set_frame(entry, b"1234")
    chain = history.chain(("", "r"))
    assert [history.find(chain, entry.id) is entry for entry in entries] == [False, False, True, True]
    assert history.find(history.chain(("", "other")), entries[3].id) is None
