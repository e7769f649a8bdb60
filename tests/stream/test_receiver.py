"""Many events fed at once are, to everybody else, events fed one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream import MemoryStore, RunStream, Signal
from runstream.engine.engine import Engine
from runstream.errors import IncompleteStream, SubscribersFailed
from runstream.model.events import Event
from runstream.model.raw import RawEvent, RawItem
from runstream.model.signals import MessageCreated, RunCompleted, RunCreated, SourceEnded, TextDelta
from runstream.sources.base import Receiver
from runstream.stream.buffers import Gate, QueueBuffer
from runstream.stream.receiver import FeedQueue, SourceReceiver
from runstream.testing import Conversation, script

WORDS = [f"w{n} " for n in range(40)]


def runs(count: int = 1, *, words: Sequence[str] = WORDS, ids: bool = False) -> list[RawEvent]:
    scripts = [script(f"run_{n}").start().say("".join(words), pieces=words).end() for n in range(count)]
    return Conversation(scripts).raw_events(ids=ids, interleaved=True, seed=count)


class Fed:
    """A source that feeds as it is told to."""

    def __init__(self, feed: Callable[[Receiver], Awaitable[None]], name: str = "fed") -> None:
        self.name = name
        self._feed = feed

    async def run(self, receiver: Receiver) -> None:
        receiver.connected()
        await self._feed(receiver)


def at_once(items: Iterable[RawItem], name: str = "fed") -> Fed:
    return Fed(lambda receiver: receiver.feed_all(items), name)


def one_by_one(items: Iterable[RawItem]) -> Fed:
    async def feed(receiver: Receiver) -> None:
        for item in items:
            receiver.feed(item)
            await receiver.ready()

    return Fed(feed)


def pulled(items: Iterable[RawItem], log: list[Any]) -> Iterator[RawItem]:
    """The items; takes down when each is asked for."""
    for number, item in enumerate(items):
        log.append(number)
        yield item


async def everything(source: Fed, **options: Any) -> list[tuple[str, Any]]:
    """What all the doors gave, in order."""
    log: list[tuple[str, Any]] = []
    async with asyncio.timeout(20), RunStream(source, **options) as stream:
        stream.events.subscribe(lambda event: log.append(("event", event)))
        stream.runs.subscribe(lambda state: log.append(("state", state.to_dict())))
        stream.signals.subscribe(lambda signal: log.append(("signal", signal.key)))
        stream.rejects.subscribe(lambda reject: log.append(("reject", reject.reason)))
        await stream.results()
    return log


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 90), max_size=8), st.integers(1, 4), st.booleans())
async def test_all_doors_give_the_same_as_of_events_fed_one_by_one(sizes: list[int], count: int, stored: bool) -> None:
    items: list[RawItem] = [*runs(count, ids=True)]
    items[5:5] = [items[3], RawEvent(None, b"{"), RawEvent("thread.run.created", b"[1]")]

    async def in_pieces(receiver: Receiver) -> None:
        rest = iter(items)
        for size in sizes:
            await receiver.feed_all(islice(rest, size))
        await receiver.feed_all(rest)

    def options() -> dict[str, Any]:
        return {"store": MemoryStore(), "clock": lambda: 1.0} if stored else {"clock": lambda: 1.0}

    assert await everything(Fed(in_pieces), **options()) == await everything(one_by_one(items), **options())


async def test_who_subscribes_in_a_callback_hears_the_very_next_event() -> None:
    """The engine reads fragments otherwise where nobody wants whole events, and looks once a stretch."""
    items, heard, states = runs(), [], []

    async with asyncio.timeout(20), RunStream(at_once(items)) as stream:

        def begin(signal: Signal) -> None:
            if isinstance(signal, TextDelta) and signal.delta == WORDS[3]:
                stream.events.subscribe(heard.append)
            if isinstance(signal, TextDelta) and signal.delta == WORDS[7]:
                stream.runs.subscribe(lambda state: states.append(state.text))

        stream.signals.subscribe(begin)
        await stream.results()
    deltas = [event.data.delta.content[0].text.value for event in heard if event.event == "thread.message.delta"]
    assert deltas == WORDS[4:]
    assert states[:3] == ["".join(WORDS[:8]), "".join(WORDS[:9]), "".join(WORDS[:10])]


async def test_who_leaves_in_a_callback_hears_no_more() -> None:
    heard: list[Event] = []
    async with asyncio.timeout(20), RunStream(at_once(runs())) as stream:
        leaving = stream.events.subscribe(heard.append)

        def leave(signal: Signal) -> None:
            if isinstance(signal, MessageCreated):
                leaving.dispose()

        stream.signals.subscribe(leave)
        (run,) = await stream.results()
    assert heard[-1].event == "thread.message.created"
    assert run.status == "completed"


async def test_what_a_callback_asks_for_is_done_before_the_next_event() -> None:
    """A removed source that has not begun says so at once, not when the others have come to the end of a batch."""
    log: list[str] = []
    async with asyncio.timeout(20), RunStream(at_once(runs()), max_connections=1) as stream:
        other = stream.attach(at_once(runs(), "other"))

        def hear(signal: Signal) -> None:
            log.append(signal.type if not isinstance(signal, SourceEnded) else f"{signal.source} ended")
            if isinstance(signal, MessageCreated):
                other.remove()

        stream.signals.subscribe(hear)
        await stream.results()
    assert log[log.index("message.created") + 1] == "other ended"


async def test_the_rest_of_a_batch_is_not_fed_once_its_source_is_removed() -> None:
    asked: list[int] = []
    log: list[str] = []
    async with asyncio.timeout(20), RunStream() as stream:
        source = stream.attach(at_once(pulled(runs(3), asked)))

        def hear(signal: Signal) -> None:
            log.append(signal.type)
            if isinstance(signal, RunCreated):
                source.remove()

        stream.signals.subscribe(hear)
        with pytest.raises(IncompleteStream):
            await stream.results()
    assert log == ["source.connected", "run.created", "run.status_changed", "run.interrupted", "source.ended"]
    assert asked == [0]


async def test_a_consumer_that_must_not_lose_anything_holds_the_rest_of_a_batch() -> None:
    """Its buffer goes over its size by what one event gives, though thousands are fed at once."""
    asked: list[int] = []
    ahead: list[int] = []
    items = runs(2, words=[f"w{n} " for n in range(400)])
    async with asyncio.timeout(30), RunStream(at_once(pulled(items, asked)), buffer=8) as stream:
        count = 0
        async for _ in stream.iter("events"):
            count += 1
            ahead.append(len(asked) - count)
            await asyncio.sleep(0)
    assert count == len(items) > 800
    assert max(ahead) <= 8


@pytest.mark.parametrize("made", [list, tuple, iter])
async def test_whatever_is_fed_stops_at_the_very_event_that_fills_a_buffer(made: Callable[[Any], Any]) -> None:
    """A list that is at hand is taken without a look at each of its items."""
    items = runs(2)
    taken: list[Event] = []
    most = 0
    async with asyncio.timeout(30), RunStream(at_once(made(items)), buffer=4) as stream:
        count = 0
        stream.events.subscribe(taken.append)
        async for _ in stream.iter("events"):
            count += 1
            most = max(most, len(taken) - count)
            await asyncio.sleep(0)
    assert (len(taken), count) == (len(items), len(items))
    assert most <= 4


@pytest.mark.parametrize("made", [list, iter])
async def test_a_source_that_is_removed_from_inside_says_nothing_more(made: Callable[[Any], Any]) -> None:
    log: list[str] = []
    async with asyncio.timeout(20), RunStream() as stream:
        source = stream.attach(at_once(made(runs(3))))

        def hear(signal: Signal) -> None:
            log.append(signal.type)
            if isinstance(signal, TextDelta):
                source.remove()

        stream.signals.subscribe(hear)
        with pytest.raises(IncompleteStream):
            await stream.results()
    assert log.count("message.text") == 1
    assert log[-1] == "source.ended"


@pytest.mark.parametrize("made", [list, iter])
async def test_a_consumer_that_is_behind_already_holds_after_one_event(made: Callable[[Any], Any]) -> None:
    taken: list[RawItem] = []
    engine = Engine()
    intake = engine.intake("fed")
    intake.feed_all = taken.extend  # type: ignore[assignment]
    gate = Gate(60.0)
    receiver = SourceReceiver(intake, FeedQueue(), gate)
    behind: QueueBuffer[int] = QueueBuffer(1, gate)
    behind.put(1)
    feeding = asyncio.create_task(receiver.feed_all(made(runs())))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(taken) == 1
    await behind.get()
    async with asyncio.timeout(20):
        await feeding
    assert taken == runs()


async def test_items_that_are_at_hand_are_left_as_they_are() -> None:
    """Also where a batch is cut short, again and again, by what is asked for from inside."""
    items = runs(2)
    given = list(items)
    states = 0

    async with asyncio.timeout(20), RunStream(at_once(given)) as stream:

        def subscribe_anew(signal: Signal) -> None:
            stream.events.subscribe(lambda event: None).dispose()

        def count(event: Event) -> None:
            nonlocal states
            states += 1

        stream.signals.subscribe(subscribe_anew)
        stream.events.subscribe(count)
        await stream.results()
    assert states == len(items)
    assert given == items


async def test_the_loop_gets_its_turns_while_many_are_fed() -> None:
    asked: list[int] = []
    seen: list[int] = []
    items = runs(4, words=[f"w{n} " for n in range(400)])

    async def look() -> None:
        while True:
            seen.append(len(asked))
            await asyncio.sleep(0)

    async with asyncio.timeout(30), RunStream(at_once(pulled(items, asked))) as stream:
        looking = asyncio.create_task(look())
        await stream.results()
        looking.cancel()
    assert len(asked) == len(items) > 1600
    assert max(later - sooner for sooner, later in pairwise(seen)) <= 256


async def test_what_a_subscriber_raises_ends_the_batch_where_that_is_asked_for() -> None:
    asked: list[int] = []

    def raises(signal: Signal) -> None:
        if isinstance(signal, MessageCreated):
            raise LookupError("the subscriber's own")

    items = runs()
    stream = RunStream(at_once(pulled(items, asked)), on_subscriber_error="raise")
    stream.signals.subscribe(raises, on_error=lambda error: None)
    async with asyncio.timeout(20), stream:
        with pytest.raises(LookupError):
            await stream.results()
    first = next(number for number, item in enumerate(items) if item.event == "thread.message.created")
    assert asked == list(range(first + 1))


async def test_a_subscriber_that_raises_costs_the_others_nothing_of_the_batch() -> None:
    heard: list[str] = []

    def raises(signal: Signal) -> None:
        raise LookupError("the subscriber's own")

    async with asyncio.timeout(20), RunStream(at_once(runs(3))) as stream:
        stream.signals.subscribe(raises)
        stream.on(RunCompleted, lambda signal: heard.append(signal.run_id))
        with pytest.raises(SubscribersFailed):
            await stream.results()
    assert sorted(heard) == ["run_0", "run_1", "run_2"]


async def test_two_sources_that_feed_many_take_turns() -> None:
    order: list[str] = []
    words = [f"w{n} " for n in range(600)]
    first, second = runs(1, words=words), [script("run_x").start().say("x", pieces=["x"] * 600).end()]
    async with asyncio.timeout(20), RunStream(at_once(first), at_once(Conversation(second).raw_events())) as stream:
        stream.on(TextDelta, lambda signal: order.append(signal.run_id))
        await stream.results()
    assert order.index("run_x") < 300
    assert sorted(order) == ["run_0"] * 600 + ["run_x"] * 600
