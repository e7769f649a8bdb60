"""`RunStream` with a store: what counts as delivered, through each door, and how a later stream goes on.

A process that dies is played by a copy of its store: what happens after the copy was taken never happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream.engine.fold import fold
from runstream.errors import IncompleteStream, StoreError, SubscribersFailed
from runstream.model.raw import RawEvent
from runstream.model.signals import (
    ActionRequired,
    MessageCompleted,
    MessageCreated,
    ProgressSignal,
    RunCompleted,
    RunCreated,
    RunInterrupted,
    RunPaused,
    RunSignal,
    Signal,
    SourceSignal,
    TextDelta,
)
from runstream.sources.base import Receiver
from runstream.sources.poll import PollSource
from runstream.store.base import StateStore, StoredRun, StoredSource
from runstream.store.memory import MemoryStore
from runstream.store.sqlite import SqliteStore
from runstream.stream.run_stream import RunStream
from runstream.testing import Script, events_of
from tests.support.receiver import eventually


class Server:
    """A source that tells what it has from where it was asked to go on, and may stay open."""

    def __init__(
        self, raws: Sequence[RawEvent], name: str = "server", *, stays: bool = False, resumes: bool = True
    ) -> None:
        self.name = name
        self.raws = raws
        self.fed = 0
        self._stays = stays
        self._resumes = resumes

    async def run(self, receiver: Receiver) -> None:
        last = receiver.last_id if self._resumes else None
        receiver.connected()
        start = [raw.id for raw in self.raws].index(last) + 1 if last is not None else 0
        for raw in self.raws[start:]:
            receiver.feed(raw)
            self.fed += 1
            await receiver.ready()
            await asyncio.sleep(0)
        if self._stays:
            await asyncio.Event().wait()


def copy_of(store: MemoryStore) -> MemoryStore:
    """What a process that dies now leaves behind."""
    copy = MemoryStore()
    copy._runs = dict(store._runs)
    copy._ended = store._ended.copy()
    copy._sources = store._sources.copy()
    return copy


def facts(signals: Iterable[Signal]) -> list[str]:
    """The keys of all signals but progress, those of sources, and the cuts between streams."""
    passing = SourceSignal | ProgressSignal | RunInterrupted | RunPaused
    return [signal.key for signal in signals if not isinstance(signal, passing)]


def expected(raws: Iterable[RawEvent]) -> list[str]:
    """The facts of a whole stream."""
    return facts(fold(raws).signals)


async def read_on(store: StateStore, raws: Sequence[RawEvent], **options: Any) -> list[Signal]:
    """What a later process is told."""
    seen: list[Signal] = []
    async with asyncio.timeout(25), RunStream(Server(raws, **options), store=store) as stream:
        stream.signals.subscribe(seen.append)
        await stream.results()
    return seen


HELLO = events_of("Hello there, friend.", ids=True)
ASKING = events_of("It is sunny.", calls={"look": {"at": 1}}, outputs=["x"], ids=True)


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("cut", range(len(HELLO) + 1))
async def test_a_later_stream_goes_on(cut: int, resumes: bool) -> None:
    """Cut after any event: what the first stream told the second does not repeat, nothing is missing, and the text is
    whole.
    """
    store, seen = MemoryStore(), list[Signal]()
    async with RunStream(Server(HELLO[:cut]), store=store) as stream:
        stream.signals.subscribe(seen.append)
        try:
            await stream.results()
        except IncompleteStream:
            assert cut < len(HELLO)
    seen += await read_on(store, HELLO, resumes=resumes)
    assert facts(seen) == expected(HELLO)
    kept = store.get("", "run_1")
    assert kept is not None
    assert kept.state is not None
    assert kept.state.text == "Hello there, friend."
    assert not kept.state.partial


async def test_a_coroutine_is_through_when_it_returns() -> None:
    """A process that dies while it is at work repeats that signal, and none before it. The pump goes on meanwhile."""
    store, started, told = MemoryStore(), list[str](), list[str]()

    async def slow(signal: RunSignal) -> None:
        started.append(signal.key)
        if isinstance(signal, MessageCreated):
            await asyncio.Event().wait()
        told.append(signal.key)

    server = Server(HELLO, stays=True)
    async with asyncio.timeout(25), RunStream(server, store=store, close_timeout=0.1) as stream:
        stream.on(RunSignal, slow)
        stream.start()
        await eventually(lambda: server.fed == len(HELLO) and "/message/" in started[-1], 10)
        dead = copy_of(store)
    again = facts(await read_on(dead, HELLO))
    assert facts_only(told) + again == expected(HELLO)
    assert again[0] == started[-1]
    # Leaving in order gives up the call that goes on as well: it is as if the process had died.
    assert facts(await read_on(store, HELLO)) == again


def facts_only(keys: Iterable[str]) -> list[str]:
    """The keys of facts: progress has its offset at the end."""
    return [key for key in keys if "/text/" not in key and "/arguments/" not in key]


async def test_all_must_be_through() -> None:
    """Of two handlers and an iterator, the slowest counts; a plain function is through when it returns."""
    store, gate, quick = MemoryStore(), asyncio.Event(), list[str]()

    async def slow(signal: RunCompleted) -> None:
        await gate.wait()

    server = Server(HELLO, stays=True)
    async with asyncio.timeout(25), RunStream(server, store=store) as stream:
        stream.on(RunCompleted, slow)
        stream.on(RunSignal, lambda signal: quick.append(signal.key))
        run = await stream.result()
        assert quick[-1] == f"{run.id}/completed"
        await asyncio.sleep(0.05)
        waiting = copy_of(store)
        gate.set()
        await eventually(lambda: (found := store.get("", "run_1")) is not None and found.ended, 10)
        done = copy_of(store)
    assert facts(await read_on(waiting, HELLO)) == ["run_1/completed"]
    assert facts(await read_on(done, HELLO)) == []


async def test_one_slow_handler_does_not_make_others_repeat() -> None:
    """What was delivered of other runs is noted at once, though their states wait for the slow one's."""
    one = Script("run_a").say("Hello.").end()
    other = Script("run_b").say("Good evening.").end()
    raws = one.raw_events(ids=True)[:4] + other.raw_events(ids=True) + one.raw_events(ids=True)[4:]
    store, told = MemoryStore(), list[str]()

    async def hangs(signal: RunCreated) -> None:
        await asyncio.Event().wait()

    server = Server(raws, stays=True)
    async with asyncio.timeout(25), RunStream(server, store=store, close_timeout=0.1) as stream:
        stream.on(RunCreated, hangs, run_id="run_a")
        stream.on(RunSignal, lambda signal: told.append(signal.key))
        stream.start()
        await eventually(lambda: server.fed == len(raws), 10)
        dead = copy_of(store)
    assert expected(raws) == facts_only(told)
    assert facts(await read_on(dead, raws)) == ["run_a/created"]
    kept = dead.get("", "run_b")
    assert kept is not None
    assert kept.state is not None
    assert kept.state.text == "Good evening."


async def test_an_iterator_is_through_when_it_asks_for_the_next() -> None:
    """The item in the body of the loop is in delivery."""
    store, seen = MemoryStore(), list[str]()
    deaths: list[tuple[MemoryStore, list[str]]] = []
    async with asyncio.timeout(25), RunStream(Server(HELLO), store=store) as stream:
        async for signal in stream:
            if isinstance(signal, RunSignal) and not isinstance(signal, TextDelta):
                await asyncio.sleep(0.01)  # the pump goes on
                deaths.append((copy_of(store), list(seen)))
                seen.append(signal.key)
    assert seen == expected(HELLO)
    for dead, delivered in deaths:
        again = facts(await read_on(dead, HELLO))
        assert delivered + again == expected(HELLO)


async def test_an_iterator_that_is_left_is_through() -> None:
    """After `break` the last item is delivered, and those that waited are owed to nobody."""
    store = MemoryStore()
    async with asyncio.timeout(25), RunStream(Server(HELLO, stays=True), store=store) as stream:
        async for signal in stream:
            if isinstance(signal, MessageCompleted):
                break
    assert "message/msg_1/completed" not in "".join(facts(await read_on(store, HELLO)))


async def test_an_exception_in_the_body_leaves_the_item_undelivered() -> None:
    """Whoever was in the middle of it gets it again."""
    store = MemoryStore()

    async def consume() -> None:
        async with asyncio.timeout(25), RunStream(Server(HELLO, stays=True), store=store) as stream:
            async for signal in stream:
                if isinstance(signal, MessageCompleted):
                    raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await consume()
    again = facts(await read_on(store, HELLO))
    assert again == expected(HELLO)[-len(again) :]
    assert again[0].startswith("run_1/message/msg_")
    assert again[0].endswith("/completed")


async def test_a_cancelled_loop_leaves_the_item_undelivered() -> None:
    """The same if the task is cancelled, as at Ctrl-C."""
    store, inside = MemoryStore(), asyncio.Event()

    async def consume() -> None:
        async with RunStream(Server(HELLO, stays=True), store=store) as stream:
            async for signal in stream:
                if isinstance(signal, MessageCompleted):
                    inside.set()
                    await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    async with asyncio.timeout(25):
        await inside.wait()
        task.cancel()
        await asyncio.wait({task})
    assert any(key.endswith("/completed") and "/message/msg_" in key for key in facts(await read_on(store, HELLO)))


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_handler_that_raised_has_had_it(asynchronous: bool) -> None:
    """It is logged; trying again is the handler's business, not the store's."""
    store = MemoryStore()

    def fails(signal: RunCompleted) -> None:
        raise ValueError

    async def fails_later(signal: RunCompleted) -> None:
        raise ValueError

    with capture_logs() as logs:
        async with asyncio.timeout(25), RunStream(Server(HELLO), store=store) as stream:
            stream.on(RunCompleted, fails_later if asynchronous else fails)
            with pytest.raises(SubscribersFailed):
                await stream.results()
    assert [log["event"] for log in logs] == ["subscriber_failed"]
    assert facts(await read_on(store, HELLO)) == []


async def test_a_subscription_that_ended_is_owed_nothing() -> None:
    """A handler that is disposed holds nothing up."""
    store, gate = MemoryStore(), asyncio.Event()

    async def slow(signal: RunSignal) -> None:
        await gate.wait()

    server = Server(HELLO, stays=True)
    async with asyncio.timeout(25), RunStream(server, store=store) as stream:
        subscription = stream.on(RunSignal, slow)
        await stream.result()
        subscription.dispose()
        gate.set()
        await eventually(lambda: (found := store.get("", "run_1")) is not None and found.ended, 10)
    assert facts(await read_on(store, HELLO)) == []


async def test_a_handler_may_close_its_stream() -> None:
    """It is through when it returns, all the same."""
    store, closed = MemoryStore(), asyncio.Event()

    async def close(signal: RunCompleted) -> None:
        await stream.aclose()
        closed.set()

    async with asyncio.timeout(25):
        stream = RunStream(Server(HELLO, stays=True), store=store)
        stream.on(RunCompleted, close)
        stream.start()
        await closed.wait()
        await asyncio.sleep(0)
    assert facts(await read_on(store, HELLO)) == []


# one run over several sources


def asking() -> tuple[list[RawEvent], list[RawEvent]]:
    """A run that asks, and the stream in which it goes on."""
    first, second = Script("run_1").call(look={"at": 1}).answer("x").say("It is sunny.").end().streams[:2]
    return [told.raw(ids=True) for told in first], [told.raw(ids=True) for told in second]


async def test_a_paused_run_goes_on_in_a_later_process() -> None:
    """`action_required` is not repeated, but who asks learns that it is true; the next source takes the run up."""
    first, second = asking()
    store, seen = MemoryStore(), list[Signal]()
    async with asyncio.timeout(25), RunStream(Server(first, name="create"), store=store) as stream:
        stream.signals.subscribe(seen.append)
        await stream.when(RunPaused)
    later: list[Signal] = []
    async with asyncio.timeout(25), RunStream(store=store) as stream:
        stream.signals.subscribe(later.append)
        (waiting,) = stream.restore()
        assert waiting.run.requires_action
        with stream.keep_open():
            asked = await stream.when(ActionRequired, run_id="run_1")
            assert [call.name for call in asked.calls] == ["look"]
            stream.attach(Server(second, name="submit"))
        run = await stream.result()
    assert run.status == "completed"
    assert facts(seen + later) == expected([*first, *second])
    assert sum(isinstance(signal, ActionRequired) for signal in seen + later) == 1
    assert not any(isinstance(signal, RunPaused) for signal in later)


async def test_the_next_source_alone_is_enough() -> None:
    """Without `restore`: the run is found when the source first speaks of it."""
    first, second = asking()
    store, seen = MemoryStore(), list[Signal]()
    async with asyncio.timeout(25), RunStream(Server(first, name="create"), store=store) as stream:
        stream.signals.subscribe(seen.append)
        await stream.when(RunPaused)
    seen += await read_on(store, second, name="submit")
    assert facts(seen) == expected([*first, *second])


@pytest.mark.parametrize("die_at", ["before", "after"])
async def test_a_handler_that_returns_the_source(die_at: str) -> None:
    """A process that dies while the answer is worked out asks again; one that dies later does not."""
    first, second = asking()
    store, dead = MemoryStore(), list[MemoryStore]()

    async def answer(signal: ActionRequired) -> Server:
        if die_at == "before":
            dead.append(copy_of(store))
        return Server(second, name="submit")

    seen: list[Signal] = []
    async with asyncio.timeout(25), RunStream(Server(first, name="create"), store=store) as stream:
        stream.on(ActionRequired, answer)
        stream.signals.subscribe(seen.append)
        await stream.when(MessageCreated)
        if die_at == "after":
            await asyncio.sleep(0.01)
            dead.append(copy_of(store))
        assert (await stream.result()).status == "completed"
    assert facts(seen) == expected([*first, *second])
    answered: list[str] = []

    def answer_again(signal: ActionRequired) -> Server:
        answered.append(signal.key)
        return Server(second, name="submit")

    async with asyncio.timeout(25), RunStream(Server(first, name="create"), store=dead[0]) as stream:
        stream.on(ActionRequired, answer_again)
        if die_at == "after":
            stream.attach(Server(second, name="submit"))
        assert (await stream.result()).status == "completed"
    assert len(answered) == (die_at == "before")


# what is known after a restart


async def test_results_that_were_there_are_there() -> None:
    """The result of a run that ended in an earlier process: by its source, and by its id with no source at all."""
    store = MemoryStore()
    await read_on(store, HELLO)
    async with asyncio.timeout(25), RunStream(Server(HELLO), store=store) as stream:
        assert (await stream.result()).status == "completed"
        assert [run.id for run in await stream.results()] == ["run_1"]
    async with asyncio.timeout(25), RunStream(store=store) as stream:
        assert (await stream.result("run_1")).status == "completed"
        assert stream.latest["run_1"].text == "Hello there, friend."
    async with asyncio.timeout(25), RunStream(store=store) as stream:
        assert (await stream.when(RunCompleted, run_id="run_1")).run.id == "run_1"
        assert stream.restore() == ()
        assert [state.run_id for state in stream.restore("run_1")] == ["run_1"]
        assert stream.restore("run_2") == ()
        assert stream.restore("run_1", scope="other") == ()
    async with RunStream() as stream:
        assert stream.restore() == ()


async def test_late_events_of_ended_runs_repeat_nothing() -> None:
    """A run that ended long ago is told again by another source."""
    store = MemoryStore()
    await read_on(store, HELLO)
    assert facts(await read_on(store, HELLO, name="archive", resumes=False)) == []


@pytest.mark.parametrize("resumes", [True, False])
async def test_text_that_nobody_heard_is_partial(resumes: bool) -> None:
    """A source that goes on from now may leave a gap, until a full object closes it; one that resumes leaves none."""
    text = next(n for n, raw in enumerate(HELLO) if raw.event == "thread.message.delta")
    store = MemoryStore()
    async with RunStream(Server(HELLO[: text + 1]), store=store) as stream:
        with pytest.raises(IncompleteStream):
            await stream.results()
    seen: list[frozenset[str]] = []

    class FromNow(Server):
        async def run(self, receiver: Receiver) -> None:
            if resumes:
                assert receiver.last_id == HELLO[text].id
            receiver.connected()
            for raw in self.raws:
                receiver.feed(raw)

    async with asyncio.timeout(25), RunStream(FromNow(HELLO[text + 1 :]), store=store) as stream:
        stream.runs.subscribe(lambda state: seen.append(state.partial))
        await stream.result()
    assert any(seen[1:]) is not resumes
    assert seen[-1] == frozenset()


@pytest.mark.parametrize("ids", ["count", "name"])
@pytest.mark.parametrize("skip", [0, 1])
async def test_a_server_that_is_asked_must_show_that_it_resumes(ids: str, skip: int) -> None:
    """Who asks for what comes after an id may be told anything: text is taken for whole only if the ids say so."""
    start = next(n for n, raw in enumerate(HELLO) if raw.event == "thread.message.delta")
    made = [f"e-{n}" if ids == "count" else f"e-{n}-x" for n in range(len(HELLO))]
    raws = [RawEvent(raw.event, raw.data, id, id) for raw, id in zip(HELLO, made, strict=True)]
    store = MemoryStore()
    async with asyncio.timeout(25), RunStream(Server(raws[: start + 1]), store=store) as stream:
        with pytest.raises(IncompleteStream):
            await stream.results()
    asked: list[str | None] = []
    seen: list[frozenset[str]] = []

    class Asked(Server):
        async def run(self, receiver: Receiver) -> None:
            asked.append(receiver.last_id)
            receiver.connected()
            for raw in self.raws:
                receiver.feed(raw)

    async with asyncio.timeout(25), RunStream(Asked(raws[start + 1 + skip :]), store=store) as stream:
        stream.runs.subscribe(lambda state: seen.append(state.partial))
        await stream.result()
    assert asked == [made[start]]
    assert any(seen[1:]) is (ids == "name" or skip > 0)
    assert seen[-1] == frozenset()


async def test_a_poll_beside_a_source_that_resumes_raises_no_doubt() -> None:
    """It may be the first to speak of the run after a restart, and tells nothing but whole objects."""
    start = next(n for n, raw in enumerate(HELLO) if raw.event == "thread.message.delta")
    store, seen = MemoryStore(), list[frozenset[str]]()
    async with asyncio.timeout(25), RunStream(Server(HELLO[: start + 1]), store=store) as stream:
        with pytest.raises(IncompleteStream):
            await stream.results()
    polled = asyncio.Event()

    async def retrieve() -> Any:
        if stream.stats.events:
            polled.set()
            await asyncio.Event().wait()
        return {"id": "run_1", "object": "thread.run", "status": "in_progress"}

    class Later(Server):
        async def run(self, receiver: Receiver) -> None:
            await polled.wait()
            await super().run(receiver)

    poll = PollSource(retrieve, interval=0.001)
    async with asyncio.timeout(25), RunStream(Later(HELLO), poll, store=store) as stream:
        stream.runs.subscribe(lambda state: seen.append(state.partial))
        assert (await stream.result("run_1")).status == "completed"
        assert stream.latest["run_1"].text == "Hello there, friend."
    assert set(seen) == {frozenset()}


async def test_a_poll_that_is_restarted_raises_no_doubt() -> None:
    """Each answer tells the whole."""
    store, seen = MemoryStore(), list[frozenset[str]]()
    for status in ("in_progress", "completed"):
        message = {"id": "msg_1", "object": "thread.message", "run_id": "run_1", "status": status}
        message["content"] = [{"type": "text", "text": {"value": "Hello", "annotations": []}}]  # type: ignore[assignment]
        answer = [{"id": "run_1", "object": "thread.run", "status": status}, message]
        source = PollSource(lambda answer=answer: answer, interval=0.001)
        async with asyncio.timeout(25), RunStream(source, store=store) as stream:
            stream.runs.subscribe(lambda state: seen.append(state.partial))
            await stream.when(RunCompleted if status == "completed" else MessageCreated)
    assert set(seen) == {frozenset()}


async def test_runs_that_were_taken_up_before_their_source_are_its_own() -> None:
    """By `restore` or by asking for a result: once their source is attached it is live, and they are cut with it."""
    store = MemoryStore()
    async with asyncio.timeout(25), RunStream(Server(HELLO[:8]), store=store) as stream:
        with pytest.raises(IncompleteStream):
            await stream.results()
    live: list[bool] = []

    class Gone(Server):
        async def run(self, receiver: Receiver) -> None:
            receiver.connected()
            live.append(receiver.live)

    seen: list[Signal] = []
    async with asyncio.timeout(25), RunStream(store=store) as stream:
        stream.signals.subscribe(seen.append)
        (state,) = stream.restore()
        assert (state.run_id, state.is_terminal) == ("run_1", False)
        stream.attach(Gone([]))
        with pytest.raises(IncompleteStream):
            await stream.results()
    assert live == [True]
    assert [signal.key for signal in seen if isinstance(signal, RunInterrupted)] == ["run_1/interrupted/2"]


# stores that fail


class Failing(MemoryStore):
    """A store that fails from some call on."""

    def __init__(self, calls: int, error: Exception) -> None:
        super().__init__()
        self.left = calls
        self.error = error

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error

    def get(self, scope: str, run_id: str) -> StoredRun | None:
        self._count()
        return super().get(scope, run_id)

    def put(self, runs: Sequence[StoredRun], source: StoredSource | None = None) -> None:
        self._count()
        super().put(runs, source)


@pytest.mark.parametrize("calls", range(8))
@pytest.mark.parametrize("error", [StoreError("the disk is full"), OSError("no")])
async def test_a_store_that_fails_ends_the_stream(calls: int, error: Exception) -> None:
    """What can't be remembered is not delivered: but for the one in delivery, the next process repeats nothing."""
    store, seen, ends = Failing(calls, error), list[Signal](), list[BaseException]()
    async with asyncio.timeout(25):
        async with RunStream(Server(HELLO), store=store) as stream:
            stream.signals.subscribe(seen.append, ends.append)
            with pytest.raises(StoreError, match=r"disk is full|OSError in the state store"):
                await stream.result()
        assert len(ends) == 1
        assert isinstance(ends[0], StoreError)
        store.left = 10**9
        again = await read_on(store, HELLO)
    delivered = facts([*seen, *again])
    assert list(dict.fromkeys(delivered)) == expected(HELLO)
    assert len(delivered) - len(expected(HELLO)) <= 1


@pytest.mark.parametrize("method", ["runs", "get_source"])
async def test_a_store_that_can_not_be_read_at_the_start_is_a_store_error(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a store of the application: its own exception is the cause."""
    store = MemoryStore()

    def fail(*_: object, **__: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(store, method, fail)

    async def read() -> None:
        async with asyncio.timeout(25), RunStream(Server(HELLO), store=store) as stream:
            stream.restore()
            await stream.result()

    with pytest.raises(StoreError, match=r"^KeyError in the state store$") as failed:
        await read()
    assert isinstance(failed.value.__cause__, KeyError)


async def test_iterating_raises_what_the_store_raised() -> None:
    """The loop ends with the error, not as if all were well."""
    store = Failing(3, StoreError("the disk is full"))
    async with asyncio.timeout(25), RunStream(Server(HELLO), store=store) as stream:
        with pytest.raises(StoreError):
            await anext_until_the_end(stream)


async def anext_until_the_end(stream: RunStream) -> None:
    """Read all there is."""
    async for _ in stream:
        pass


async def test_a_store_that_can_not_be_read_is_said_at_once(tmp_path: Any) -> None:
    """Attaching raises."""
    with SqliteStore(tmp_path / "runs.db") as store:
        await read_on(store, HELLO)
    with pytest.raises(StoreError, match="was closed"):
        RunStream(Server(HELLO), store=store)


async def test_nothing_is_left_of_acknowledged_transactions() -> None:
    """The journal holds what is in delivery, and no more."""
    store = MemoryStore()
    calls: list[Callable[[], None]] = []

    async def slow(signal: RunSignal) -> None:
        await asyncio.sleep(0)

    async def items() -> AsyncIterator[RawEvent]:
        for number in range(20):
            for raw in events_of("Hello.", run_id=f"run_{number}", ids=True):
                yield raw

    async with asyncio.timeout(20), RunStream(items(), store=store) as stream:
        stream.on(RunSignal, slow)
        stream.on(RunCreated, lambda signal: calls.append(lambda: None))
        await stream.results()
        journal: Any = stream._engine.journal
        await eventually(lambda: not journal._queues, 10)
        assert not journal._keys
        assert not journal._detached
    assert len(calls) == 20


async def test_noted_keys_stay_while_turns_wait() -> None:
    """Of three signals two handlers hold the first and the second: when the first is through, the third's key stays."""
    store, gate = MemoryStore(), asyncio.Event()

    async def first(signal: RunCreated) -> None:
        await gate.wait()

    async def second(signal: MessageCreated) -> None:
        await asyncio.Event().wait()

    server = Server(HELLO, stays=True)
    async with asyncio.timeout(25), RunStream(server, store=store, close_timeout=0.1) as stream:
        stream.on(RunCreated, first)
        stream.on(MessageCreated, second)
        stream.start()
        await eventually(lambda: server.fed == len(HELLO), 10)
        gate.set()
        await eventually(lambda: (found := store.get("", "run_1")) is not None and found.state is not None, 10)
        dead, waiting = copy_of(store), copy_of(store)
    # The end was delivered, and its state was not put: who waits for it is told all the same.
    async with asyncio.timeout(25), RunStream(Server(HELLO, stays=True), store=waiting) as stream:
        assert (await stream.result()).status == "completed"
    again = facts(await read_on(dead, HELLO))
    assert len(again) == 1
    assert again[0].endswith("/created")
    assert again[0].startswith("run_1/message/msg_")


async def test_a_task_that_is_cancelled_from_outside_has_delivered_nothing() -> None:
    """A loop that shuts down cancels every task: what handlers were at, and what waited for them, comes again."""
    store, inside = MemoryStore(), asyncio.Event()

    async def slow(signal: RunSignal) -> None:
        if isinstance(signal, MessageCompleted):
            inside.set()
            await asyncio.Event().wait()

    stream = RunStream(Server(HELLO, stays=True), store=store)
    stream.on(RunSignal, slow)
    stream.start()
    async with asyncio.timeout(25):
        await inside.wait()
        await asyncio.sleep(0.02)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait(others)
    await stream.aclose()
    again = facts(await read_on(store, HELLO))
    assert again[0].startswith("run_1/message/msg_")
    assert again == expected(HELLO)[-len(again) :]
