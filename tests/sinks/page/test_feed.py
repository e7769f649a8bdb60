"""From a stream to clients, each at its own pace."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from runstream import RunInterrupted, RunStream, Stats, fold
from runstream.model.raw import RawEvent
from runstream.sinks.page import feed as feed_module
from runstream.sinks.page.feed import PageFeed
from runstream.sinks.page.snapshot import PageSnapshot
from runstream.testing import script
from tests.sinks.page.support import fed, plain, said, shown

WITHIN = 20.0


async def until(frames: Any, got: list[str], holds: Any) -> dict[str, Any]:
    """Take frames until the page they make is as wanted."""
    async with asyncio.timeout(WITHIN):
        while not holds(page := shown(got)):
            got.append(await anext(frames))
    return page


def texts(page: dict[str, Any]) -> list[str]:
    return [block["text"] for run in page.get("runs", {}).values() for block in run["blocks"].values()]


async def test_who_comes_late_gets_the_present_state_first() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream)
        await source.feed(said("run_1", "Hello."))
        await source.feed(said("run_2", "Half a", end=None))
        async with aclosing(feed.frames()) as frames:
            first = msgspec.json.decode(await anext(frames))
        assert shown([first]) == plain(feed)
        assert [run["set"]["status"] for run in first["runs"]] == ["completed", "in_progress"]


async def test_a_feed_made_late_knows_the_runs_that_are_held() -> None:
    async with fed() as source:
        await source.feed(said("run_1", "Hello."))
        feed = PageFeed(source.stream)
        async with aclosing(feed.frames()) as frames:
            assert texts(shown([await anext(frames)])) == ["Hello."]


async def test_reading_does_not_start_by_a_feed() -> None:
    async with RunStream(said("run_1")) as stream:
        feed = PageFeed(stream)
        async with aclosing(feed.frames()) as frames:
            await anext(frames)
            await asyncio.sleep(0.05)
            assert stream.stats.events == 0


async def test_what_happens_between_two_frames_is_one_frame() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream, rate=1000)
        got: list[str] = []
        async with aclosing(feed.frames()) as frames:
            await until(frames, got, lambda page: page != {})
            await source.feed(said("run_1", *["word "] * 500))  # nobody asks for a frame meanwhile
            got.append(await anext(frames))
            assert len(got) <= 3
            page = await until(frames, got, lambda page: texts(page) == ["word " * 500])
        assert page["runs"][1]["facts"]["status"] == "completed"


async def test_a_growing_text_comes_in_pieces() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream, rate=1000)
        told = script("run_1").start()
        writing, sent = told.open_message(), 0
        got: list[str] = []
        async with aclosing(feed.frames()) as frames:
            for count in range(1, 30):
                writing.write("word ")
                events = told.raw_events()
                await source.feed(events[sent:])
                sent = len(events)
                page = await until(frames, got, lambda page, count=count: texts(page) == ["word " * count])
        assert texts(page) == ["word " * 29]
        assert sum(frame.count("word") for frame in got) == 29


async def test_a_client_gets_no_more_frames_than_its_rate() -> None:
    """By counting: for longer than the pace allows there is no second frame, whatever happens meanwhile."""
    async with fed() as source:
        feed = PageFeed(source.stream, rate=0.01)
        async with aclosing(feed.frames()) as frames:
            await anext(frames)
            waiting = asyncio.ensure_future(anext(frames))
            await source.feed(said("run_1", "a", "b"))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


async def test_counts_are_told_though_no_run_changes() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream, rate=1000)
        got: list[str] = []
        items = [raw for told in script("run_1").events for raw in [told.raw(ids=True)] * 2]
        async with aclosing(feed.frames()) as frames:
            await source.feed([*items, RawEvent("thread.run.created", b"no JSON")])
            page = await until(frames, got, lambda page: page.get("page", {}).get("duplicates") == 2)
            assert page["page"]["rejected"] == 1
            await source.feed(items[-1:])  # a duplicate changes nothing but its count
            await until(frames, got, lambda page: page["page"]["duplicates"] == 3)


async def test_the_end_of_the_stream_is_told_and_the_page_stays() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream, rate=1000)
        got: list[str] = []
        async with aclosing(feed.frames()) as frames:
            await source.feed(said("run_1", "Half", end=None))
            await source.end()
            page = await until(frames, got, lambda page: page.get("page", {}).get("ended"))
            assert page["runs"][1]["facts"]["note"].startswith("Interrupted")
            late = feed.frames()
            assert texts(shown([await anext(late)])) == ["Half"]
            await late.aclose()


async def test_a_run_that_waits_is_paused_until_it_goes_on() -> None:
    told = script("run_1").start().call(f={})
    asked = told.raw_events()
    told.answer("x").say("Done.").end()
    answered = told.raw_events()[len(asked) :]
    async with RunStream(asked) as stream:
        feed = PageFeed(stream, rate=1000)
        got: list[str] = []
        async with aclosing(feed.frames()) as frames:
            with stream.keep_open():
                stream.start()
                page = await until(
                    frames, got, lambda page: page.get("runs", {}).get(1, {}).get("facts", {}).get("note")
                )
                assert "waits for action" in page["runs"][1]["facts"]["note"]
                stream.attach(answered)
                page = await until(frames, got, lambda page: page["runs"][1]["facts"]["ended"])
        assert page["runs"][1]["facts"]["note"] is None
        assert texts(page)[-1] == "Done."


async def test_a_run_whose_stream_was_cut_off_does_not_look_as_if_it_went_on() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream, rate=1000)
        got: list[str] = []
        async with aclosing(feed.frames()) as frames:
            await source.feed(said("run_1", "Half a", end=None))
            await source.end()
            page = await until(frames, got, lambda page: page.get("page", {}).get("ended"))
    facts = page["runs"][1]["facts"]
    assert (facts["status"], facts["tone"], facts["ended"]) == ("interrupted", "warn", False)
    assert facts["note"].startswith("Interrupted: ")


def test_a_run_that_goes_on_is_interrupted_no_more() -> None:
    cut = fold(said("run_1", "Half a", end=None))
    snapshot = PageSnapshot(max_runs=1, max_text=100, clock=time.time, stats=Stats, on_change=lambda: None)
    (told,) = (signal for signal in cut.signals if isinstance(signal, RunInterrupted))
    statuses = []
    for change in (
        lambda: snapshot.update(cut.runs[0]),
        lambda: snapshot.add_notice(told),
        lambda: snapshot.update(cut.runs[0]),
    ):
        change()
        (entry,) = snapshot.since(0)
        statuses.append(entry.content().facts["status"])
    assert statuses == ["in_progress", "interrupted", "in_progress"]


async def test_time_counts_from_when_the_stream_first_saw_the_run() -> None:
    """Not from when somebody looked: what no status tells of took time too."""
    events = said("run_1", "Half a", end=None)
    begun = events[0].at
    assert begun is not None
    async with fed() as source:
        await source.feed(events)
        feed = PageFeed(source.stream, clock=lambda: begun + 150)
        async with aclosing(feed.frames()) as frames:
            first = msgspec.json.decode(await anext(frames))
        assert first["now"] - first["runs"][0]["set"]["began"] == 150


async def test_ended_runs_make_room_for_others() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream, max_runs=3, rate=1000)
        got: list[str] = []
        async with aclosing(feed.frames()) as frames:
            await source.feed(said("run_open", "x", end=None))
            for number in range(20):
                await source.feed(said(f"run_{number}", "x"))
                await until(frames, got, lambda page, number=number: named(page, f"run_{number}"))
            page = shown(got)
        assert [run["facts"]["run"] for run in page["runs"].values()] == ["run_open", "run_18", "run_19"]
        assert len(feed._snapshot.rows) == 3
        assert len(feed._snapshot._ended) == 2


def named(page: dict[str, Any], run_id: str) -> bool:
    return any(run["facts"]["run"] == run_id for run in page.get("runs", {}).values())


async def test_open_runs_beyond_the_bound() -> None:
    """They are counted, and shown when there is room."""
    async with fed() as source:
        feed = PageFeed(source.stream, max_runs=2)
        one = script("run_1").start()
        await source.feed(one.raw_events())
        await source.feed([*said("run_2", end=None), *said("run_3", end=None)])
        assert feed._snapshot.page()["hidden"] == 1
        told = len(one.raw_events())
        await source.feed(one.end().raw_events()[told:])
        three = script("run_3").start().say("Here.").raw_events()
        await source.feed(three[3:])
        assert feed._snapshot.page()["hidden"] == 0
        assert sorted(run["facts"]["run"] for run in plain(feed)["runs"].values()) == ["run_2", "run_3"]


async def test_scopes_keep_equal_ids_apart() -> None:
    async with RunStream() as stream:
        stream.attach(said("run_1", "a"), scope="east")
        stream.attach(said("run_1", "b"), scope="west")
        feed = PageFeed(stream)
        await stream.results()
        page = plain(feed)
    assert [run["facts"]["scope"] for run in page["runs"].values()] == ["east", "west"]
    assert texts(page) == ["a", "b"]


async def test_a_client_that_never_reads_costs_nobody_anything() -> None:
    """It has one frame, the stream and another client go on, and what is held for it does not grow."""
    async with fed() as source:
        feed = PageFeed(source.stream, rate=1000)
        idle = feed.frames()
        await anext(idle)
        got: list[str] = []
        async with aclosing(feed.frames()) as frames:
            await source.feed(said("run_1", *["word "] * 2000))
            await until(frames, got, lambda page: texts(page) == ["word " * 2000])
        # Its first frame was before the run; the one frame that was waiting for it has all of it.
        assert texts(shown([await anext(idle)])) == ["word " * 2000]
        await idle.aclose()
        assert feed.clients == 0


async def test_a_heartbeat_tells_that_the_connection_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "HEARTBEAT", 0.0)
    monkeypatch.setattr(feed_module, "_POLL", 0.01)
    async with fed() as source:
        feed = PageFeed(source.stream, rate=1000, clock=lambda: 7.0)
        async with aclosing(feed.frames()) as frames:
            await anext(frames)
            async with asyncio.timeout(WITHIN):
                assert msgspec.json.decode(await anext(frames)) == {"now": 7.0}


async def test_closing_ends_the_frames_and_follows_no_more() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream, rate=1000, clock=lambda: 7.0)
        async with aclosing(feed.frames()) as frames:
            await anext(frames)
            feed.close()
            feed.close()
            async with asyncio.timeout(WITHIN):
                assert [msgspec.json.decode(frame)["page"] async for frame in frames] == [{"ended": 7.0}]
        await source.feed(said("run_1"))
        assert plain(feed)["runs"] == {}


async def test_visited_waits_for_the_first_client() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream)
        waiting = asyncio.create_task(feed.visited())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        async with aclosing(feed.frames()) as frames:
            await anext(frames)
        await asyncio.wait_for(waiting, WITHIN)
        await asyncio.wait_for(feed.visited(), WITHIN)


@pytest.mark.parametrize("options", [{"rate": 0}, {"max_runs": 0}, {"max_text": 1}, {"rate": float("nan")}])
async def test_bounds_are_positive(options: dict[str, Any]) -> None:
    async with fed() as source:
        with pytest.raises(ValueError, match="must be positive"):
            PageFeed(source.stream, **options)
