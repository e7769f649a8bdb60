"""Whatever gives raw events becomes a source: iterables, async iterables, Observables; each closed at its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.scheduler import NewThreadScheduler
from reactivex.subject import Subject

from runstream.model.raw import ConnectionEvent, RawEvent, RawItem
from runstream.sources.adapters import (
    AsyncIterableSource,
    IterableSource,
    ObservableSource,
    adapt,
)
from runstream.sources.base import Source
from tests.support.receiver import FakeReceiver


class Tray:
    """A receiver that keeps what it is fed, and can be told to hold its source."""

    live = False
    last_id: str | None = None

    def __init__(self) -> None:
        self.items: list[RawItem] = []
        self.connections = 0
        self.readies = 0
        self.open = asyncio.Event()
        self.open.set()
        self.threads: set[int] = set()

    def feed(self, item: RawItem) -> None:
        self.items.append(item)
        self.threads.add(threading.get_ident())

    async def ready(self) -> None:
        self.readies += 1
        await self.open.wait()

    def connected(self, attempt: int = 0) -> None:
        self.connections += 1

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None: ...

    @property
    def data(self) -> list[bytes]:
        return [item.data for item in self.items if isinstance(item, RawEvent)]


class Ready:
    name = "ready"

    async def run(self, receiver: Any) -> None: ...


# adapt


async def _none() -> AsyncIterator[bytes]:
    return
    yield b""


def test_a_source_is_returned_as_it_is() -> None:
    source = Ready()
    assert adapt(source) is source


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (lambda: [b"{}"], IterableSource),
        (lambda: iter([b"{}"]), IterableSource),
        (_none, AsyncIterableSource),
        (lambda: reactivex.of(b"{}"), ObservableSource),
    ],
)
def test_each_kind_has_its_adapter_which_is_a_source(made: Any, kind: type) -> None:
    source = adapt(made(), "mine")
    assert isinstance(source, kind)
    assert isinstance(source, Source)
    assert source.name == "mine"


@pytest.mark.parametrize("single", [b"{}", "{}", bytearray(b"{}"), {"event": "done"}, RawEvent(), 7, None])
def test_a_single_event_or_no_event_at_all_is_refused(single: Any) -> None:
    with pytest.raises(TypeError, match="no source"):
        adapt(single)


# iterables


async def test_an_iterable_is_fed_in_order_and_waits_after_each_item() -> None:
    tray = Tray()
    await IterableSource([b"1", "2", {"n": 3}]).run(tray)
    assert tray.data == [b"1", b"2", b'{"n":3}']
    assert tray.connections == 1
    assert tray.readies == 3


async def test_an_iterable_is_read_lazily_and_held() -> None:
    given: list[int] = []

    def numbers() -> Iterator[bytes]:
        for number in range(5):
            given.append(number)
            yield b"%d" % number

    tray = Tray()
    tray.open.clear()
    task = asyncio.create_task(IterableSource(numbers()).run(tray))
    await asyncio.sleep(0)
    assert given == [0]
    tray.open.set()
    await task
    assert given == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_generator_is_closed_at_the_end_and_on_cancellation(cancelled: bool) -> None:
    closed: list[bool] = []

    def generator() -> Iterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            closed.append(True)

    made = generator()
    tray = Tray()
    if cancelled:
        tray.open.clear()
    task = asyncio.create_task(IterableSource(made).run(tray))
    await asyncio.sleep(0)
    if cancelled:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task
    assert closed == [True]


# async iterables


async def test_an_async_iterable_is_fed_in_order() -> None:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            yield b"%d" % number

    tray = Tray()
    await AsyncIterableSource(numbers()).run(tray)
    assert tray.data == [b"0", b"1", b"2"]
    assert tray.connections == 1


async def test_an_async_generator_is_closed_on_cancellation() -> None:
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[bytes]:
        try:
            yield b"1"
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    made = numbers()
    task = asyncio.create_task(AsyncIterableSource(made).run(Tray()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]


async def test_an_async_generator_is_closed_when_the_receiver_fails() -> None:
    closed: list[bool] = []

    class Broken(Tray):
        def feed(self, item: RawItem) -> None:
            raise LookupError

    async def numbers() -> AsyncIterator[bytes]:
        try:
            yield b"1"
        finally:
            closed.append(True)

    with pytest.raises(LookupError):
        await AsyncIterableSource(numbers()).run(Broken())
    assert closed == [True]


# Observables


async def test_a_cold_observable_is_fed_and_ends() -> None:
    tray = Tray()
    await ObservableSource(reactivex.of(b"1", "2", {"n": 3})).run(tray)
    assert tray.data == [b"1", b"2", b'{"n":3}']
    assert tray.connections == 1


async def test_what_is_pushed_on_the_loop_goes_in_at_once() -> None:
    subject: Subject[Any] = Subject()
    tray = Tray()
    task = asyncio.create_task(ObservableSource(subject).run(tray))
    await asyncio.sleep(0)
    subject.on_next(b"1")
    assert tray.data == [b"1"]
    subject.on_completed()
    await task


async def test_an_observables_error_is_the_sources() -> None:
    subject: Subject[Any] = Subject()
    task = asyncio.create_task(ObservableSource(subject).run(Tray()))
    await asyncio.sleep(0)
    subject.on_error(LookupError("gone"))
    with pytest.raises(LookupError, match="gone"):
        await task


async def test_cancellation_disposes_the_subscription() -> None:
    subject: Subject[Any] = Subject()
    tray = Tray()
    task = asyncio.create_task(ObservableSource(subject).run(tray))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert subject.observers == []
    subject.on_next(b"1")
    assert tray.items == []


async def test_what_other_threads_push_crosses_over_to_the_loop_in_order() -> None:
    numbers = [b"%d" % number for number in range(500)]
    tray = Tray()
    observable = reactivex.from_iterable(numbers).pipe(ops.subscribe_on(NewThreadScheduler()))
    await asyncio.wait_for(ObservableSource(observable).run(tray), 25)
    assert tray.data == numbers
    assert tray.threads == {threading.get_ident()}


async def test_the_loops_own_push_does_not_overtake_what_a_thread_pushed_before() -> None:
    subject: Subject[Any] = Subject()
    tray = Tray()
    task = asyncio.create_task(ObservableSource(subject).run(tray))
    await asyncio.sleep(0)
    thread = threading.Thread(target=lambda: subject.on_next(b"1"))
    thread.start()
    thread.join(25)
    subject.on_next(b"2")
    subject.on_completed()
    await asyncio.wait_for(task, 25)
    assert tray.data == [b"1", b"2"]


async def test_a_thread_that_is_far_ahead_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runstream.sources.adapters.MAX_QUEUED", 3)
    subject: Subject[Any] = Subject()
    tray = Tray()
    tray.open.clear()
    task = asyncio.create_task(ObservableSource(subject).run(tray))
    await asyncio.sleep(0)
    pushed: list[int] = []

    def push() -> None:
        for number in range(20):
            subject.on_next(b"%d" % number)
            pushed.append(number)
        subject.on_completed()

    thread = threading.Thread(target=push)
    thread.start()
    await asyncio.sleep(0.05)
    assert len(pushed) <= 5
    tray.open.set()
    await asyncio.wait_for(task, 25)
    thread.join(25)
    assert tray.data == [b"%d" % number for number in range(20)]


async def test_a_thread_that_waits_is_let_go_when_the_source_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runstream.sources.adapters.MAX_QUEUED", 1)
    subject: Subject[Any] = Subject()
    tray = Tray()
    tray.open.clear()
    task = asyncio.create_task(ObservableSource(subject).run(tray))
    await asyncio.sleep(0)

    def push() -> None:
        for number in range(20):
            subject.on_next(b"%d" % number)

    thread = threading.Thread(target=push)
    thread.start()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(thread.join, 25)
    assert not thread.is_alive()


# recordings


@pytest.mark.parametrize("kind", ["iterable", "async iterable", "observable"])
async def test_connections_that_items_tell_of_are_told(kind: str) -> None:
    """A recording's items, through whatever they come, are connections made and lost; the first is not told twice."""
    items: list[RawItem] = [
        ConnectionEvent(connected=True),
        RawEvent("a"),
        ConnectionEvent(connected=False, reason="lost", attempt=1),
        ConnectionEvent(connected=True, attempt=2),
        RawEvent("b"),
    ]

    async def slowly() -> AsyncIterator[RawItem]:
        for item in items:
            yield item

    given: dict[str, Any] = {
        "iterable": items,
        "async iterable": slowly(),
        "observable": reactivex.from_iterable(items),
    }
    receiver = FakeReceiver()
    await asyncio.wait_for(adapt(given[kind]).run(receiver), 25)
    assert receiver.log == [("connected", 0), ("disconnected", 1), ("connected", 2)]
    assert receiver.reasons == ["lost"]
    assert receiver.items == [RawEvent("a"), RawEvent("b")]


async def test_an_iterable_is_asked_for_no_more_than_is_welcome() -> None:
    """Back-pressure: its next item is made when the one before has been taken, and more is wanted."""
    made: list[int] = []

    def items() -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            yield b"%d" % number

    receiver = FakeReceiver()
    receiver.gate.clear()
    task = asyncio.create_task(IterableSource(items()).run(receiver))
    await receiver.until(1, within=25)
    for _ in range(20):
        await asyncio.sleep(0)
    assert made == [0]
    receiver.gate.set()
    await asyncio.wait_for(task, 25)
    assert receiver.data == [b"%d" % number for number in range(100)]
