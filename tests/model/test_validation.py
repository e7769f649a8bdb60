"""What is out of range is refused at once, by every source, by the stream, its limits and the stores."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from msgspec import structs
from reactivex.testing import TestScheduler

from runstream import (
    Limits,
    MemoryStore,
    PollSource,
    Reconnect,
    RecordingSource,
    Repair,
    ResponsesWebSocket,
    Retry,
    RunStream,
    SqliteStore,
    SseChunks,
    SSEParser,
    SseSource,
    Watchdogs,
    WebSocketSource,
    pipeline,
    read_recording,
    reduced,
    states,
)
from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.model.signals import Signal
from runstream.testing import events_of

WS: Callable[..., Any] = partial(WebSocketSource, "ws://127.0.0.1:1/")
SSE: Callable[..., Any] = partial(SseSource, "http://127.0.0.1:1/")
RESPONSES_WS: Callable[..., Any] = partial(ResponsesWebSocket, "ws://127.0.0.1:1/")
POLL: Callable[..., Any] = partial(PollSource, lambda: None)
CHUNKS: Callable[..., Any] = partial(SseChunks, [])
PARSER: Callable[..., Any] = SSEParser
READER: Callable[..., Any] = partial(read_recording, b"")
PLAYER: Callable[..., Any] = partial(RecordingSource, b"")


def in_memory(**options: Any) -> None:
    """A store in a file, closed again."""
    SqliteStore(":memory:", **options).close()


TIMES = [
    (WS, "open_timeout"), (WS, "ping_interval"), (WS, "ping_timeout"), (WS, "close_timeout"),
    (SSE, "open_timeout"), (SSE, "read_timeout"), (POLL, "deadline"), (POLL, "call_timeout"),
]  # fmt: skip
COUNTS = [
    (WS, "max_message_bytes"), (WS, "max_queue"), (SSE, "max_message_bytes"), (CHUNKS, "max_message_bytes"),
    (RunStream, "buffer"), (RunStream, "max_connections"),
    (PARSER, "max_event_bytes"), (READER, "max_event_bytes"), (PLAYER, "max_event_bytes"),
    (Limits, "max_message_bytes"), (Limits, "max_nesting"), (Limits, "max_open_runs"),
]  # fmt: skip
COUNTS_FROM_0 = [
    (Limits, "max_index"), (Limits, "max_finished_runs"), (Limits, "max_orphans"), (Limits, "dedupe_window"),
    (Limits, "max_tombstones"), (MemoryStore, "max_finished_runs"), (in_memory, "max_finished_runs"),
]  # fmt: skip
TIMES_FROM_0 = [
    (Limits, "max_finished_age"), (MemoryStore, "max_finished_age"), (in_memory, "max_finished_age"),
    (in_memory, "timeout"), (RunStream, "wait_timeout"), (RunStream, "close_timeout"),
]  # fmt: skip


@pytest.mark.parametrize("value", [0, -1.0, math.nan])
@pytest.mark.parametrize(("make", "option"), TIMES)
def test_times_that_are_none(make: Callable[..., Any], option: str, value: float) -> None:
    """No time at all would be a ping, or a request, after the other."""
    with pytest.raises(ValueError, match=f"{option} must be a positive number of seconds"):
        make(**{option: value})
    for fine in (0.01, math.inf, None):
        make(**{option: fine})


@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan, math.inf, "9", None])
@pytest.mark.parametrize(("make", "option"), COUNTS)
def test_counts_that_leave_no_room(make: Callable[..., Any], option: str, value: Any) -> None:
    """Nothing could ever come through."""
    with pytest.raises(ValueError, match=f"{option} must be a whole number, 1 or more"):
        make(**{option: value})
    make(**{option: 1})


@pytest.mark.parametrize("value", [-1, 0.5, math.nan, math.inf, "9", None])
@pytest.mark.parametrize(("make", "option"), COUNTS_FROM_0)
def test_counts_that_are_none(make: Callable[..., Any], option: str, value: Any) -> None:
    """Zero keeps nothing; less than that means nothing."""
    with pytest.raises(ValueError, match=f"{option} must be a whole number, 0 or more"):
        make(**{option: value})
    for fine in (0, 2**62):
        make(**{option: fine})


@pytest.mark.parametrize("value", [-0.1, -math.inf, math.nan])
@pytest.mark.parametrize(("make", "option"), TIMES_FROM_0)
def test_times_that_were_before_now(make: Callable[..., Any], option: str, value: float) -> None:
    """Zero is at once, infinity never."""
    with pytest.raises(ValueError, match=f"{option} must be a number of seconds, 0 or more"):
        make(**{option: value})
    for fine in (0, 0.5, math.inf):
        make(**{option: fine})


NUMBERS = [
    *((make, option, "a number of seconds") for make, option in (*TIMES, *TIMES_FROM_0)),
    *((Watchdogs, option, "a number of seconds") for option in ("idle", "total", "expiry_grace", "silent", "interval")),
    *((Reconnect, option, "a number") for option in Reconnect.__struct_fields__),
    *((Retry, option, "a number") for option in ("retries", "initial", "factor", "maximum")),
    *((partial(Repair, fetch_run=print), option, "a number") for option in ("interval", "concurrency", "timeout")),
    *((POLL, option, "a number") for option in ("interval", "max_interval", "factor", "jitter")),
]


@pytest.mark.parametrize("value", ["5", [5], {}], ids=["text", "list", "object"])
@pytest.mark.parametrize(("make", "option", "right"), NUMBERS)
def test_what_is_no_number_is_refused(make: Callable[..., Any], option: str, right: str, value: Any) -> None:
    """The error names the option, what is right, and the type of the value."""
    with pytest.raises(TypeError, match=f"^{option} must be {right}.*, not a {type(value).__name__}$"):
        make(**{option: value})


def engine_of(**options: Any) -> None:
    """A fold of nothing, or an engine."""
    Engine(**options)


def fold_nothing(**options: Any) -> None:
    """A fold of nothing."""
    fold([], **options)


OBJECTS = [
    (RunStream, "limits", "a Limits"), (fold_nothing, "limits", "a Limits"), (engine_of, "limits", "a Limits"),
    (pipeline, "limits", "a Limits"), (states, "limits", "a Limits"), (reduced, "limits", "a Limits"),
    (RunStream, "watchdogs", "a Watchdogs"), (partial(pipeline, scheduler=TestScheduler()), "watchdogs", "a Wat"),
    (RunStream, "store", "a state store"), (engine_of, "store", "a state store"),
    (RunStream, "clock", "a function"), (fold_nothing, "clock", "a function"),
    (RunStream, "scheduler", "an Rx scheduler"),
    (WS, "reconnect", "a Reconnect"), (SSE, "reconnect", "a Reconnect"), (RESPONSES_WS, "reconnect", "a Reconnect"),
    (partial(Repair, fetch_run=print), "reconnect", "a Reconnect"),
]  # fmt: skip


@pytest.mark.parametrize("value", [60, "x.db", {"max_orphans": 5}], ids=["number", "text", "object"])
@pytest.mark.parametrize(("make", "option", "right"), OBJECTS)
def test_objects_of_another_class_are_refused(make: Callable[..., Any], option: str, right: str, value: Any) -> None:
    """The error names the option, the class that is right, and that of the value."""
    with pytest.raises(TypeError, match=f"^{option} must be {right}.*, not a {type(value).__name__}$"):
        make(**{option: value})


def test_the_ended_limits_are_a_collection_of_names() -> None:
    with pytest.raises(TypeError, match=r"^end must be True, False or a collection of idle, total, .*, not a int$"):
        Watchdogs(end=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="end names 'x'"):
        Watchdogs(end=["x"])


async def test_when_takes_seconds_and_a_predicate_of_the_signal() -> None:
    async with RunStream([]) as stream:
        with pytest.raises(TypeError, match=r"^timeout must be a number of seconds, or None, not a str$"):
            await stream.when("run.completed", timeout="5")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"^predicate must be a function, not a int$"):
            await stream.when("run.completed", predicate=5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"^a predicate is called with the signal, and nothing else: "):
            await stream.when("run.completed", predicate=lambda: True)  # type: ignore[misc]


def test_every_limit_is_looked_at() -> None:
    """A new one must say what makes no sense; and a changed copy is looked at like a new one."""
    for name in Limits.__struct_fields__:
        with pytest.raises(ValueError, match=name):
            Limits(**{name: -1})
        with pytest.raises(ValueError, match=name):
            structs.replace(Limits(), **{name: -1})


def test_the_smallest_limits_are_of_use() -> None:
    """A run passes with the smallest valid values of all options."""
    least = Limits(
        max_finished_runs=0, max_finished_age=0, max_orphans=0, dedupe_window=0, max_tombstones=0, max_index=0
    )
    raws = events_of("Hello.", ids=True)
    assert fold(raws, limits=least).runs == fold(raws).runs
    engine = Engine(limits=least)
    seen: list[Signal] = []
    engine.on_signal = seen.append
    engine.intake("server").feed_all(raws)
    assert seen[-1].type == "run.completed"


def test_waiting_for_ever_is_no_overflow() -> None:
    """SQLite takes milliseconds in 32 bits, and what goes over them would be no wait at all."""
    for timeout in (1e9, math.inf):
        with SqliteStore(":memory:", timeout=timeout) as store:
            assert store._db.execute("PRAGMA busy_timeout").fetchone()[0] > 10**9
