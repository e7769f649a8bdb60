"""Buffers of asynchronous subscriptions are bounded and in order; the gate blocks the sources."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.core.selection import PROGRESS
from runstream.errors import SlowConsumer
from runstream.model.signals import (
    ArgumentsDelta,
    ReasoningDelta,
    RefusalDelta,
    Signal,
    SourceEnded,
    TextDelta,
    ToolCallOutputDelta,
)
from runstream.stream.buffers import MAX_JOINED, Gate, LatestBuffer, QueueBuffer


def text(offset: int, delta: str, *, message: str = "msg_1", part: int = 0, run: str = "run_1") -> TextDelta:
    return TextDelta(run, "thread_1", "", 0.0, message, part, offset, delta)


def arguments(offset: int, delta: str, call: str = "call_1") -> ArgumentsDelta:
    return ArgumentsDelta("run_1", "thread_1", "", 0.0, call, offset, delta, f"run_1/call/{call}")


HEAD = ("run_1", "thread_1", "", 0.0)
# Pieces of different texts of one run, by name.
TEXTS: dict[str, Any] = {
    "text 0": text,
    "text 1": lambda offset, delta: text(offset, delta, part=1),
    "refusal 0": lambda offset, delta: RefusalDelta(*HEAD, "msg_1", 0, offset, delta),
    "reasoning 0": lambda offset, delta: ReasoningDelta(*HEAD, "msg_1", 0, offset, delta),
    "reasoning 1": lambda offset, delta: ReasoningDelta(*HEAD, "msg_1", 1, offset, delta),
    "summary 0": lambda offset, delta: ReasoningDelta(*HEAD, "msg_1", 0, offset, delta, "summary"),
    "other step": lambda offset, delta: ReasoningDelta(*HEAD, "step_2", 0, offset, delta),
    "call": arguments,
    "output": lambda offset, delta: ToolCallOutputDelta(*HEAD, "call_1", offset, delta, "run_1/call/call_1"),
    "other output": lambda offset, delta: ToolCallOutputDelta(*HEAD, "call_1", offset, delta, "run_1/call/call_1~2"),
}


async def drain(buffer: Any) -> list[Any]:
    buffer.finish()
    items = []
    while True:
        try:
            items.append(await buffer.get())
        except StopAsyncIteration:
            return items


# buffers


async def test_a_queue_keeps_everything_in_order() -> None:
    buffer: QueueBuffer[int] = QueueBuffer(10)
    for number in range(5):
        assert buffer.put(number)
    assert await drain(buffer) == [0, 1, 2, 3, 4]
    assert not buffer.put(5)


async def test_get_waits_for_the_next_item() -> None:
    buffer: QueueBuffer[int] = QueueBuffer(10)
    task = asyncio.create_task(buffer.get())
    await asyncio.sleep(0)
    buffer.put(1)
    assert await task == 1


async def test_a_cancelled_get_loses_nothing() -> None:
    buffer: QueueBuffer[int] = QueueBuffer(10)
    task = asyncio.create_task(buffer.get())
    await asyncio.sleep(0)
    buffer.put(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await buffer.get() == 1


async def test_a_second_task_is_refused() -> None:
    buffer: QueueBuffer[int] = QueueBuffer(10)
    task = asyncio.create_task(buffer.get())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one task"):
        await buffer.get()
    buffer.put(1)
    assert await task == 1


async def test_overflow_ends_the_consumer_after_what_it_had() -> None:
    ended: list[SlowConsumer] = []
    buffer: QueueBuffer[int] = QueueBuffer(2, on_end=ended.append)
    assert [buffer.put(number) for number in range(4)] == [True, True, False, False]
    assert [await buffer.get(), await buffer.get()] == [0, 1]
    with pytest.raises(SlowConsumer, match="overflow"):
        await buffer.get()
    assert len(ended) == 1


async def test_adjacent_text_is_joined_with_the_first_offset() -> None:
    buffer: QueueBuffer[Signal] = QueueBuffer(10)
    for delta in (text(0, "Hel"), text(3, "lo"), text(5, "!")):
        buffer.put(delta)
    assert await drain(buffer) == [text(0, "Hello!")]
    assert buffer.conflated == 2


async def test_other_parts_gaps_and_kinds_are_not_joined() -> None:
    items = [
        text(0, "a"),
        text(0, "b", part=1),
        text(1, "c", message="msg_2"),
        text(2, "r", message="msg_2", run="run_2"),
        text(9, "gap", message="msg_2", run="run_2"),
        arguments(0, "{"),
        arguments(1, "}", call="call_2"),
        text(12, "x", message="msg_2", run="run_2"),
    ]
    buffer: QueueBuffer[Signal] = QueueBuffer(10)
    for item in items:
        buffer.put(item)  # type: ignore[arg-type]
    assert await drain(buffer) == items
    assert buffer.conflated == 0


@pytest.mark.parametrize("name", TEXTS)
async def test_each_kind_of_text_is_joined(name: str) -> None:
    """Adjacent pieces of one text are one signal; a piece of any other text is not joined to them."""
    make = TEXTS[name]
    for other, others in TEXTS.items():
        buffer: QueueBuffer[Signal] = QueueBuffer(10)
        for item in (make(0, "Hel"), make(3, "lo"), others(5, "!")):
            buffer.put(item)
        assert len(await drain(buffer)) == (1 if other == name else 2)
    assert {type(make(0, "a")) for make in TEXTS.values()} == PROGRESS


async def test_nothing_is_joined_across_another_signal() -> None:
    between = SourceEnded("source", "", 0.0, 1)
    buffer: QueueBuffer[Signal] = QueueBuffer(10)
    for item in [text(0, "a"), between, text(1, "b")]:
        buffer.put(item)  # type: ignore[arg-type]
    assert await drain(buffer) == [text(0, "a"), between, text(1, "b")]


async def test_joined_text_is_bounded_so_that_the_buffer_is() -> None:
    buffer: QueueBuffer[Signal] = QueueBuffer(2)
    offset, piece = 0, "x" * 1000
    while buffer.put(text(offset, piece)):
        offset += len(piece)
    assert offset <= 2 * (MAX_JOINED + len(piece))
    assert "".join([(await buffer.get()).delta for _ in range(2)]) == "x" * offset  # type: ignore[union-attr]


@given(
    st.lists(
        st.tuples(st.sampled_from(list(TEXTS)), st.text(min_size=1, max_size=5), st.booleans()),
        max_size=40,
    )
)
def test_joining_loses_no_character_and_no_order(pieces: list[tuple[str, str, bool]]) -> None:
    async def scenario() -> None:
        buffer: QueueBuffer[Signal] = QueueBuffer(1000)
        written: dict[str, str] = dict.fromkeys(TEXTS, "")
        read = dict(written)

        def take(signal: Any) -> None:
            same = [name for name, make in TEXTS.items() if make(signal.offset, signal.delta) == signal]
            (name,) = same
            assert signal.offset == len(read[name])
            read[name] += signal.delta

        for name, piece, reads in pieces:
            offset = len(written[name])
            buffer.put(TEXTS[name](offset, piece))
            written[name] += piece
            if reads:
                take(await buffer.get())
        for signal in await drain(buffer):
            take(signal)
        assert read == written

    asyncio.run(scenario())


async def test_latest_keeps_the_last_of_each_key_and_counts_the_others() -> None:
    buffer: LatestBuffer[tuple[str, int]] = LatestBuffer(10, lambda item: item[0])
    for item in (("a", 1), ("b", 1), ("a", 2), ("a", 3)):
        buffer.put(item)
    assert await drain(buffer) == [("a", 3), ("b", 1)]
    assert buffer.conflated == 2


async def test_latest_is_bounded_too() -> None:
    buffer: LatestBuffer[int] = LatestBuffer(2, lambda item: item)
    for number in range(5):
        buffer.put(number)
    assert await drain(buffer) == [3, 4]
    assert buffer.conflated == 3


# the gate


async def test_a_full_buffer_holds_the_sources_until_there_is_room() -> None:
    gate = Gate(3600.0)
    buffer: QueueBuffer[int] = QueueBuffer(2, gate)
    buffer.put(1)
    assert gate.open
    buffer.put(2)
    assert not gate.open
    held = asyncio.create_task(gate.wait())
    await asyncio.sleep(0.01)
    assert not held.done()
    await buffer.get()
    await asyncio.wait_for(held, 25)


async def test_a_buffer_that_stays_full_is_ended_and_the_sources_go_on() -> None:
    gate = Gate(0.05)
    ended: list[SlowConsumer] = []
    buffer: QueueBuffer[int] = QueueBuffer(2, gate, on_end=ended.append)
    other: QueueBuffer[int] = QueueBuffer(2, gate)
    for number in range(3):
        buffer.put(number)
    other.put(0)
    started = time.monotonic()
    async with asyncio.timeout(25):
        await gate.wait()
    assert time.monotonic() - started > 0.04
    assert len(ended) == 1
    assert not other.closed
    assert [await buffer.get() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SlowConsumer, match="full"):
        await buffer.get()


async def test_a_source_that_never_waits_does_not_make_a_buffer_grow_for_ever() -> None:
    gate = Gate(0.02)
    buffer: QueueBuffer[int] = QueueBuffer(2, gate)
    buffer.put(1)
    buffer.put(2)
    await asyncio.sleep(0.03)
    buffer.put(3)
    assert buffer.closed


async def test_several_sources_wait_at_one_gate() -> None:
    gate = Gate(3600.0)
    buffer: QueueBuffer[int] = QueueBuffer(1, gate)
    buffer.put(1)
    held = [asyncio.create_task(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    buffer.clear()
    await asyncio.wait_for(asyncio.gather(*held), 25)
