"""One run of a stream: what it tells, when it ends, and that thousands of them cost a signal one look-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops
from structlog.testing import capture_logs

from runstream import (
    ActionRequired,
    IncompleteStream,
    Limits,
    MemoryStore,
    MessageCompleted,
    RawEvent,
    RunCompleted,
    RunFailed,
    RunSignal,
    RunState,
    RunStream,
    Signal,
    TextDelta,
)
from runstream.model.events import CustomEvent, UnknownEvent
from runstream.stream.waiters import ResultWaiter, SignalWaiter
from runstream.testing import Conversation, script
from tests.support.canonical import ListDialect, append, run
from tests.support.receiver import eventually

ENDED = ("completed", "failed", "cancelled", "expired", "incomplete")


def told(*run_ids: str, status: str = "completed") -> list[RawEvent]:
    runs = [script(run_id).say(f"I am {run_id}.", pieces=list(f"I am {run_id}.")).end(status) for run_id in run_ids]
    return Conversation(runs).raw_events(interleaved=True)


class Stays:
    """A source that gives what it is told to give, and stays."""

    def __init__(self) -> None:
        self.name = "stays"
        self.queue: asyncio.Queue[Iterable[RawEvent] | None] = asyncio.Queue()

    def give(self, *raws: RawEvent) -> None:
        self.queue.put_nowait(raws)

    def end(self) -> None:
        self.queue.put_nowait(None)

    async def run(self, receiver: Any) -> None:
        receiver.connected()
        while (raws := await self.queue.get()) is not None:
            for raw in raws:
                receiver.feed(raw)
            await receiver.ready()


def listen(observable: Any) -> list[Any]:
    seen: list[Any] = []
    observable.subscribe(seen.append, seen.append, lambda: seen.append("end"))
    return seen


async def test_every_door_tells_of_its_run_alone() -> None:
    """Observables, handlers, iterators, `result` and `when`; runs of the same id in other scopes are other runs."""
    every: list[Any] = []
    states: list[RunState] = []
    called: list[Signal] = []
    awaited: list[Signal] = []

    async def take(signal: Signal) -> None:
        await asyncio.sleep(0)
        awaited.append(signal)

    async with RunStream(buffer=4) as stream:
        stream.attach(told("run_1", "run_2", "run_3"))
        stream.attach(told("run_1", "run_2", "run_3", status="failed"), scope="x")
        stream.on(RunSignal, every.append)
        stream.runs.subscribe(states.append)
        run = stream.run("run_2", scope="x")
        assert run.state is None
        seen, shown = listen(run.signals), listen(run.states)
        run.on(Signal, called.append)
        run.on(Signal, take)
        iterated: list[Signal] = []
        latest: list[RunState] = []

        async def iterate() -> None:
            iterated.extend([signal async for signal in run])

        async def follow() -> None:
            latest.extend([state async for state in run.iter("states")])

        async with asyncio.timeout(20):
            await asyncio.gather(iterate(), follow())
            assert (await run.result()).status.value == "failed"
            failed = await run.when(RunFailed)
            with pytest.raises(IncompleteStream):
                await run.when(RunCompleted)
            await stream.results()
            await eventually(lambda: awaited[-1:] == [failed], within=20)
        mine = [signal for signal in every if (signal.scope, signal.run_id) == ("x", "run_2")]
        assert mine[-1] is failed
        assert seen == [*mine, "end"]
        assert called == mine
        for joined in (iterated, awaited):
            assert [one for one in joined if not isinstance(one, TextDelta)] == [
                one for one in mine if not isinstance(one, TextDelta)
            ]
            assert "".join(one.delta for one in joined if isinstance(one, TextDelta)) == "I am run_2."
        assert shown == [*[one for one in states if (one.scope, one.run_id) == ("x", "run_2")], "end"]
        assert latest[-1] is run.state is shown[-2]
        assert repr(run) == "RunView('run_2', scope='x')"


@pytest.mark.parametrize("status", ENDED)
async def test_it_ends_with_its_run_though_the_stream_goes_on(status: str) -> None:
    """After the terminal signal and state, in the same turn; later subscribers get the last state and the end."""
    source = Stays()
    async with RunStream(source) as stream:
        run = stream.run("run_1")
        seen, shown = listen(run.signals), listen(run.states)
        stream.start()
        source.give(*told("run_1", "run_2", status=status))
        async with asyncio.timeout(20):
            await run.result()
            await eventually(lambda: seen[-1] == shown[-1] == "end", within=20)
        assert seen[-2].type == f"run.{status}"
        assert shown[-2] is run.state
        assert listen(run.states) == [run.state, "end"]
        assert listen(run.signals) == ["end"]
        assert [one async for one in run] == []
        assert [one async for one in run.iter("states")] == [run.state]
        assert len(stream._channels.signals) == len(stream._channels.runs) == 0
        assert not stream._subscriptions._workers
        assert not stream._subscriptions._buffers
        source.end()


def leaving_open() -> tuple[list[RawEvent], RawEvent, list[RawEvent]]:
    """A run up to its message, its end, and what ends its message and step."""
    raws = script("run_1").say("Hello.").end().raw_events()
    ended = next(raw for raw in raws if raw.event == "thread.run.completed")
    late = [raw for raw in raws if raw.event in ("thread.message.completed", "thread.run.step.completed")]
    return [raw for raw in raws if raw is not ended and raw not in late and raw.event != "done"], ended, late


@pytest.mark.parametrize("apart", [False, True])
async def test_what_is_open_at_the_end_is_waited_for(apart: bool) -> None:
    """What was fetched has the run before its messages; they belong to what the run's own subscribers get."""
    before, ended, late = leaving_open()
    source = Stays()
    async with RunStream(source) as stream, asyncio.timeout(20):
        run = stream.run("run_1")
        seen = listen(run.signals)
        stream.start()
        if apart:
            source.give(*before, ended)
            await run.result()
            await asyncio.sleep(0.01)
            assert seen[-1].type == "run.completed"
            joins = listen(run.states)  # in time for the rest
            assert joins == [run.state]
            source.give(*late)
            await eventually(lambda: joins[-1] == "end", within=20)
            assert joins[-2] is run.state
            assert len(joins) == 4
        else:
            source.give(*before, ended, *late)
        await eventually(lambda: seen[-1:] == ["end"], within=20)
        assert not stream._channels._completion._pending
        source.end()
    kinds = [one.type for one in seen[:-1]]
    assert kinds[-3:] == ["run.completed", "message.completed", "step.completed"]


@pytest.mark.parametrize("how", ["the source ends", "it is late", "the stream is closed"])
async def test_what_stays_open_is_not_waited_for_for_ever(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's end, a few seconds, or the stream's end: none leaves a timer."""
    monkeypatch.setattr("runstream.stream.run_completion.LINGER", 0.01 if how == "it is late" else 3600)
    before, ended, _ = leaving_open()
    source, other = Stays(), Stays()
    async with RunStream(source, other) as stream, asyncio.timeout(20):
        seen = listen(stream.run("run_1").signals)
        stream.start()
        source.give(*before, ended)
        await stream.result("run_1")
        await asyncio.sleep(0)
        if how == "the source ends":
            source.end()
        elif how == "the stream is closed":
            await stream.aclose()
        await eventually(lambda: seen[-1] == "end", within=20)
        assert not stream._channels._completion._pending
        assert not timers()
        source.end()
        other.end()


def timers() -> list[Any]:
    """What the loop would still call for the ends of runs."""
    loop: Any = asyncio.get_running_loop()
    mine = [timer for timer in loop._scheduled if "Endings" in str(getattr(timer, "_callback", ""))]
    return [timer for timer in mine if not timer.cancelled()]


async def test_what_has_no_status_is_not_waited_for() -> None:
    """Some servers never say that a message has ended."""
    before, ended, _ = leaving_open()
    bare = [raw for raw in before if raw.event not in ("thread.message.in_progress", "thread.message.delta")]
    bare = [
        RawEvent(raw.event, raw.data.replace(b'"status":"in_progress",', b""))
        if raw.event and raw.event.startswith(("thread.message", "thread.run.step"))
        else raw
        for raw in bare
    ]
    source = Stays()
    async with RunStream(source) as stream, asyncio.timeout(20):
        run = stream.run("run_1")
        seen = listen(run.signals)
        stream.start()
        source.give(*bare, ended)
        await run.result()
        assert run.state is not None
        assert [one.status for one in run.state.messages] == [None]
        assert [one.status for one in run.state.steps] == [None]
        for _ in range(3):
            await asyncio.sleep(0)
        assert seen[-1] == "end"
        source.end()


async def test_equal_ids_in_other_scopes_are_other_runs() -> None:
    """One ends, or is forgotten; the other goes on, and so does who listens to it or waits for it."""
    here, there = Stays(), Stays()
    async with RunStream(limits=Limits(max_finished_runs=1)) as stream, asyncio.timeout(20):
        stream.attach(here, scope="here")
        stream.attach(there, scope="there")
        ends, goes_on = stream.run("run_1", scope="here"), stream.run("run_1", scope="there")
        ended, going = listen(ends.signals), listen(goes_on.signals)
        waits = asyncio.ensure_future(goes_on.result())
        there.give(*told("run_1")[:4])
        here.give(*told("run_1"), *told("run_2"))
        await stream.result("run_2", scope="here")
        await eventually(lambda: ended[-1:] == ["end"] and len(going) > 1, within=20)
        with pytest.raises(IncompleteStream, match="forgotten"):
            await ends.result()
        assert going[-1] != "end"
        assert not waits.done()
        there.give(*told("run_1")[4:])
        assert (await waits).is_complete
        await eventually(lambda: going[-1] == "end", within=20)
        here.end()
        there.end()


async def test_an_interruption_or_pause_ends_nothing() -> None:
    """The next source takes the run up, and the same subscription goes on; the end of the stream ends it."""
    first, second = Conversation(
        [script("run_1").call(weather={"city": "Oslo"}).answer("sunny").say("Sunny.").end()]
    ).streams()["run_1"]
    async with RunStream(first) as stream:
        run = stream.run("run_1")
        seen, open_seen = listen(run.signals), listen(stream.run("run_9").signals)
        with stream.keep_open():
            async with asyncio.timeout(20):
                action = await run.when(ActionRequired)
                assert await run.when(ActionRequired) is action  # at once: it is true already
                with pytest.raises(TimeoutError):
                    await run.when(RunCompleted, timeout=0.01)
                await eventually(lambda: "run.paused" in [one.type for one in seen], within=20)
                assert seen[-1] != "end"
                stream.attach(second)
                await run.result()
                await eventually(lambda: seen[-1] == "end", within=20)
            assert [one.type for one in seen[:-1]].count("run.action_required") == 1
            assert open_seen == []
        async with asyncio.timeout(20):
            await stream.results()
    assert open_seen == ["end"]


async def test_an_error_of_the_stream_ends_it_too() -> None:
    """With that error, as it ends the stream's own Observables."""

    def fails(_: object) -> None:
        raise LookupError("no")

    source = Stays()
    async with RunStream(source, on_subscriber_error="raise") as stream:
        seen = listen(stream.run("run_1").signals)
        other = listen(stream.run("run_9").states)
        stream.run("run_1").on(TextDelta, fails)
        source.give(*told("run_1")[:9])
        with pytest.raises(LookupError):
            async with asyncio.timeout(20):
                await stream.results()
        await eventually(lambda: bool(other), within=20)
        assert isinstance(seen[-1], LookupError)
        assert isinstance(other[-1], LookupError)


async def test_a_run_that_is_forgotten_is_over() -> None:
    """Whoever asks for it later is told so, and waits for nothing."""
    async with RunStream(limits=Limits(max_finished_runs=1, max_open_runs=1)) as stream:
        with stream.keep_open():
            stream.attach(told("run_1")[:4])  # left in the middle
            run = stream.run("run_1")
            seen = listen(run.signals)
            waits = asyncio.create_task(run.result())
            wonders = asyncio.create_task(run.when(RunCompleted))
            async with asyncio.timeout(20):
                await eventually(lambda: stream.stats.open_sources == 0 and bool(seen), within=20)
                stream.attach(told("run_2"))  # needs the room
                await stream.result("run_2")
                for task in (waits, wonders):
                    with pytest.raises(IncompleteStream, match="forgotten"):
                        await task
                for later in (run.result(), run.when(MessageCompleted), stream.result("run_1")):
                    with pytest.raises(IncompleteStream, match="forgotten"):
                        await later
            assert seen[-2].type == "run.interrupted"
            assert seen[-1] == "end"
            assert run.state is None
            assert listen(run.states) == listen(run.signals) == ["end"]
            assert [one async for one in run] == []


async def test_a_run_of_the_store_is_known() -> None:
    """Its state is there, and its result, though no source has spoken of it since the restart."""
    store = MemoryStore()
    async with RunStream(told("run_1"), store=store) as stream, asyncio.timeout(20):
        await stream.results()
    async with RunStream(store=store) as stream:
        run = stream.run("run_1")
        assert run.state is not None
        assert (await run.result()).is_complete


async def test_subscribing_and_leaving_from_inside() -> None:
    """A handler may subscribe to the run that it hears of, and end it; nobody else notices."""
    got: dict[str, list[Any]] = {}
    subscriptions: dict[str, Any] = {}

    async with RunStream(told("run_1", "run_2")) as stream:

        def created(signal: Any) -> None:
            seen = got.setdefault(signal.run_id, [])
            subscriptions[signal.run_id] = stream.run(signal.run_id).on(RunSignal, seen.append)

        stream.on("run.created", created)
        stream.on(MessageCompleted, lambda _: subscriptions["run_1"].dispose(), run_id="run_1")
        async with asyncio.timeout(20):
            await stream.results()
    assert {run_id: got[run_id][-1].type for run_id in got} == {"run_1": "message.text", "run_2": "run.completed"}


async def test_leaving_the_loop_ends_the_subscription() -> None:
    """`break` and cancellation leave nothing behind."""
    source = Stays()
    async with RunStream(source) as stream:
        source.give(*told("run_1")[:5])
        async with asyncio.timeout(20):
            async for _ in stream.run("run_1"):
                break
        assert len(stream._channels.signals) == 0

        async def reads() -> None:
            async for _ in stream.run("run_2"):
                raise AssertionError("there is none")

        task = asyncio.create_task(reads())
        await asyncio.sleep(0.01)
        assert len(stream._channels.signals) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        await eventually(lambda: len(stream._channels.signals) == 0, within=20)


async def test_wrong_kinds_are_refused() -> None:
    """By name."""
    async with RunStream() as stream:
        wrong: Any = "runs"
        with pytest.raises(ValueError, match="'signals' and 'states'"):
            stream.run("run_1").iter(wrong)
        with pytest.raises(ValueError, match="for runs"):
            stream.run("run_1").iter(policy="latest")

        async def coroutine(_: object) -> None: ...

        with pytest.raises(TypeError, match="can't await"):
            stream.run("run_1").signals.subscribe(coroutine)  # type: ignore[arg-type]


async def test_text_is_built_only_while_somebody_wants_it() -> None:
    """A view that nobody subscribes to costs nothing; one that wants growing text asks for it, and takes that back."""
    async with RunStream(told("run_1")) as stream:
        run = stream.run("run_1")
        assert stream._engine.progress is False
        subscription = run.on(TextDelta, print)
        assert stream._engine.progress is True
        run.on(RunCompleted, print)
        subscription.dispose()
        assert stream._engine.progress is False


def _text(state: RunState) -> str:
    return state.text


async def test_operators_compose_over_one_run() -> None:
    """As over any Observable."""
    async with RunStream(told("run_1", "run_2")) as stream:
        states = stream.run("run_2").states
        last: Observable[RunState] = states.pipe(ops.last())
        texts = listen(last.pipe(ops.map(_text)))
        async with asyncio.timeout(20):
            await stream.results()
    assert texts == ["I am run_2.", "end"]


@pytest.mark.slow
async def test_thousands_of_runs_each_with_its_own_subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every signal reaches the subscribers of its run and nobody else, whoever waits for other runs."""
    many = 2_000
    calls = 0
    observed = 0
    signals = 0
    awaited = 0
    observe_result, observe_signal = ResultWaiter.observe, SignalWaiter.observe

    def count_result(self: Any, signal: Any) -> None:
        nonlocal observed
        observed += 1
        observe_result(self, signal)

    def count_when(self: Any, signal: Any) -> None:
        nonlocal observed
        observed += 1
        observe_signal(self, signal)

    monkeypatch.setattr(ResultWaiter, "observe", count_result)
    monkeypatch.setattr(SignalWaiter, "observe", count_when)

    def call(_: object) -> None:
        nonlocal calls
        calls += 1

    async def call_async(_: object) -> None:
        nonlocal awaited
        awaited += 1

    def count(_: object) -> None:
        nonlocal signals
        signals += 1

    async def source() -> AsyncIterator[RawEvent]:
        for number in range(many):
            for raw in script(f"run_{number}").end().raw_events():
                yield raw

    async with RunStream(source(), limits=Limits(max_finished_runs=many)) as stream:
        stream.on(RunSignal, count)
        views = [stream.run(f"run_{number}") for number in range(many)]
        for view in views:
            view.on(RunSignal, call)
            view.states.subscribe(call)
            view.on(RunCompleted, call_async)
        subscribers = stream._channels.signals._subscribers
        assert len(subscribers) == 2 * many + 1
        assert len(subscribers.unfiltered) == 1
        async with asyncio.timeout(120):
            waits = [view.result() for view in views] + [view.when(RunCompleted) for view in views]
            assert len(await asyncio.gather(*waits)) == 2 * many
            await stream.results()
            await eventually(lambda: awaited == many, within=60)
    states = signals - many  # at first sight a run has one state and two signals
    assert calls == signals + states
    assert observed <= 2 * signals
    assert len(stream._channels.signals._subscribers) == 0
    assert not stream._subscriptions._workers


async def test_a_subscriber_of_a_run_that_raises_is_logged() -> None:
    """By name, and with the run; the others of the run get everything."""

    def fails(_: object) -> None:
        raise ValueError("secret words")

    async with RunStream(told("run_1")) as stream:
        run = stream.run("run_1")
        run.signals.subscribe(fails)
        seen = listen(run.signals)
        with capture_logs() as logs:
            async with asyncio.timeout(20):
                await run.result()
    assert seen[-1] == "end"
    assert {(entry["event"], entry["run_id"]) for entry in logs} == {("subscriber_failed", "run_1")}
    assert "fails" in logs[0]["subscriber"]
    assert "secret words" not in str(logs)


async def test_cancellation_is_clean() -> None:
    """A time-out, a cancelled task, a task group that fails: nothing is lost, nothing left, and the stream goes on."""
    source = Stays()
    async with RunStream(source) as stream, asyncio.timeout(20):
        run = stream.run("run_1")
        steps = run.iter()
        source.give(*told("run_1")[:2])
        first = await asyncio.wait_for(anext(steps), 25)
        assert first.type == "run.created"
        while (await asyncio.wait_for(anext(steps), 25)).type != "run.status_changed":
            pass
        for awaited in (lambda: anext(steps), run.result, lambda: run.when(RunCompleted)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(awaited(), 0.01)
            task = asyncio.ensure_future(awaited())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        async def fails() -> None:
            await asyncio.sleep(0.01)
            raise LookupError("mine")

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(run.result())
                group.create_task(run.when(RunCompleted))
                group.create_task(fails())

        with pytest.raises(ExceptionGroup) as caught:
            await together()
        assert [str(error) for error in caught.value.exceptions] == ["mine"]
        assert not stream._results._waiters
        assert stream._results._by_run == {None: {}}
        source.give(*told("run_1")[2:])
        rest = [signal async for signal in steps]
        assert rest[-1].type == "run.completed"
        assert "".join(one.delta for one in rest if isinstance(one, TextDelta)) == "I am run_1."
        assert (await run.result()).is_complete
        source.end()
    assert len(asyncio.all_tasks()) == 1


async def test_the_events_of_a_run() -> None:
    """Events that name their run reach its view alone: snapshots, custom events and unknown ones; of one scope."""
    events = [
        run("queued"),
        CustomEvent({"a": 1}, run_id="run_1", name="progress"),
        CustomEvent(run_id="run_2", name="other"),
        UnknownEvent(b"{}", run_id="run_1", name="news"),
        UnknownEvent(b"{}", name="of no run"),
        append("msg_1", "text", "Hello"),
        run("completed"),
    ]
    raws = [RawEvent(data=str(place).encode()) for place in range(len(events))]
    stream = RunStream()
    seen: dict[str, list[str]] = {"": [], "b": [], "all": []}
    done: list[str] = []
    for scope in ("", "b"):
        stream.run("run_1", scope=scope).events.subscribe(
            lambda event, scope=scope: seen[scope].append(event.event),
            on_completed=lambda scope=scope: done.append(scope),
        )
    stream.events.subscribe(lambda event: seen["all"].append(event.event))
    stream.attach(raws, dialect=lambda **_: ListDialect(events), scope="b")
    async with stream:
        await stream.results()
    await eventually(lambda: "b" in done)
    assert seen["b"] == ["run.queued", "progress", "news", "delta", "run.completed"]
    assert seen[""] == []
    assert len(seen["all"]) == len(events)
