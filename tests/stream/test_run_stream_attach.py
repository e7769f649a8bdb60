"""`RunStream.attach`: sources before and during reading, their handles, and the end of the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from reactivex.subject import Subject
from structlog.testing import capture_logs

from runstream.engine.fold import fold_sources
from runstream.errors import IncompleteStream, ReturnRefused, SubscribersFailed
from runstream.model.raw import RawEvent
from runstream.model.signals import (
    ActionRequired,
    RunCompleted,
    RunCreated,
    RunInterrupted,
    RunPaused,
    RunSignal,
    Signal,
    SourceEnded,
    SourceError,
)
from runstream.sources.base import Receiver
from runstream.store.memory import MemoryStore
from runstream.stream.connect import connect
from runstream.stream.run_stream import RunStream
from tests.stream.runs import ScriptedSource, completed, cut_short, kinds, raw, two_streams
from tests.support.dialects import WordsDialect
from tests.support.wire import Event, envelope

pytestmark = pytest.mark.usefixtures("_leaves_nothing_behind")


async def test_a_source_attached_at_run_time_is_read_at_once() -> None:
    async with RunStream(ScriptedSource(cut_short("a"), stays=True)) as stream:
        stream.start()
        await asyncio.sleep(0.01)
        handle = stream.attach(ScriptedSource(completed("b")))
        assert not handle.done
        await stream.when(RunCompleted)
        await stream.when(SourceEnded, timeout=25)
        assert handle.done


async def test_a_removed_source_is_cancelled_and_its_run_interrupted() -> None:
    source = ScriptedSource(cut_short("a"), stays=True)
    async with RunStream(source) as stream:
        handle = stream.attach(ScriptedSource(cut_short("b"), stays=True, name="b"))
        await stream.when(RunCreated, run_id="run_b_0001")
        handle.remove()
        handle.remove()
        signal = await stream.when(RunInterrupted)
        assert (signal.run_id, signal.reason) == ("run_b_0001", "the source was removed")
        assert handle.done
        assert not source.closed
        assert handle.error is None


async def test_a_source_removed_before_it_was_read_never_is() -> None:
    source = ScriptedSource(completed("b"))
    async with RunStream(ScriptedSource(completed("a"))) as stream:
        stream.attach(source).remove()
        assert len(await stream.results()) == 1
    assert source.fed == 0


async def test_a_source_removed_in_the_turn_it_was_attached_ends_properly() -> None:
    async with RunStream(ScriptedSource(completed("a"), stays=True)) as stream:
        await stream.when(RunCompleted)
        ended: list[Any] = []
        stream.on(SourceEnded, ended.append)
        source = ScriptedSource(completed("b"), name="b")
        stream.attach(source).remove()
        await asyncio.sleep(0.01)
        assert source.fed == 0
        assert [s.source for s in ended] == ["b"]


async def test_sources_of_one_name_are_told_apart_in_keys() -> None:
    async with RunStream(ScriptedSource(completed("a")), ScriptedSource(completed("b"))) as stream:
        ended: list[Any] = []
        stream.on(SourceEnded, ended.append)
        await stream.results()
    assert sorted(s.key for s in ended) == ["told#2/ended/1", "told/ended/1"]


@pytest.mark.parametrize("kind", ["sync", "async", "lambda"])
async def test_a_handler_of_action_required_may_return_the_source_that_goes_on(kind: str) -> None:
    first, second = two_streams()
    again = ScriptedSource(second, name="second")
    calls: list[Any] = []

    def answer(signal: ActionRequired) -> ScriptedSource:
        calls.append(signal)
        return again

    async def answer_later(signal: ActionRequired) -> ScriptedSource:
        calls.append(signal)
        await asyncio.sleep(0.02)  # long after its source has ended
        return again

    def answer_by_lambda(signal: ActionRequired) -> Any:
        return answer_later(signal)

    handler = {"sync": answer, "async": answer_later, "lambda": answer_by_lambda}[kind]
    async with RunStream() as stream:
        stream.attach(ScriptedSource(first), scope="s")
        stream.on(ActionRequired, handler)
        signals: list[Signal] = []
        stream.on(Signal, signals.append)
        run = await asyncio.wait_for(stream.result(scope="s"), 25)
    assert run.is_complete
    assert len(calls) == 1
    assert kinds(signals).count("run.completed") == 1
    if kind != "sync":
        assert kinds(signals).count("run.paused") == 1
    folded = fold_sources([("told", map(raw, first)), ("second", map(raw, second))])
    assert stream.latest["s", "run_f_0001"].run == folded.runs[0].run


async def test_a_handler_may_attach_while_the_last_source_ends() -> None:
    first, second = two_streams()
    async with RunStream(ScriptedSource(first)) as stream:
        stream.on(RunPaused, lambda _: stream.attach(ScriptedSource(second)) and None)
        assert (await stream.result()).is_complete


async def test_who_was_told_by_when_or_iteration_may_attach() -> None:
    first, second = two_streams()
    async with RunStream(ScriptedSource(first)) as stream:
        await asyncio.wait_for(stream.when(ActionRequired), 25)  # a task of its own: some turns of the loop later
        stream.attach(ScriptedSource(second))
        assert (await stream.result()).is_complete
    async with RunStream(ScriptedSource(first)) as stream:
        async for signal in stream:
            if isinstance(signal, ActionRequired):
                await asyncio.sleep(0.02)  # the loop's body is at work: the stream stays open
                stream.attach(ScriptedSource(second))
        assert (await stream.result()).is_complete


async def test_hold_keeps_the_stream_open_without_a_source() -> None:
    async with RunStream() as stream:
        with stream.keep_open():
            stream.start()
            await asyncio.sleep(0.01)
            stream.attach(ScriptedSource(completed()))
        assert (await stream.result()).is_complete


async def test_an_ended_stream_takes_no_source() -> None:
    async with RunStream(ScriptedSource(completed())) as stream:
        await stream.results()
        with pytest.raises(RuntimeError, match="keep_open"):
            stream.attach(ScriptedSource(completed("b")))


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "value", [["an output"], [], {"id": "run_1"}, "text", b"bytes", 3, object()], ids=lambda value: type(value).__name__
)
async def test_a_wrong_answer_is_a_failure_that_says_what_is_right(value: Any, asynchronous: bool) -> None:
    """The run is left waiting, and the exception names the handler and the cause; not the value itself."""
    first, _ = two_streams()

    async def answer_later(signal: ActionRequired) -> Any:
        return value

    def answer(signal: ActionRequired) -> Any:
        return value

    with capture_logs() as logs:
        async with RunStream(ScriptedSource(first)) as stream:
            stream.on(ActionRequired, answer_later if asynchronous else answer)
            with pytest.raises(
                IncompleteStream,
                match=r"answer(_later)? failed: a handler of ActionRequired returns the source .* waits for action",
            ) as raised:
                await stream.result()
    assert len(stream.latest) == 1
    assert stream.stats.failures == 1
    (failure,) = raised.value.failures
    assert raised.value.__cause__ is failure
    assert isinstance(failure.error, ReturnRefused)
    assert isinstance(failure.error, TypeError)
    assert "a list of RawEvent" in str(failure.error)
    assert type(value).__name__ in str(failure.error)
    assert "an output" not in str(failure.error)
    assert [log["event"] for log in logs] == ["subscriber_failed"]


async def test_a_handler_of_many_kinds_may_return_what_it_likes() -> None:
    """A number of `write`, or an object of its own, is no answer; a list or a text would be taken for one."""
    first, second = two_streams()
    with capture_logs() as logs:
        async with RunStream(ScriptedSource(first), ScriptedSource(completed("b"))) as stream:
            stream.on(RunSignal, lambda _: 3)
            stream.on(RunSignal, lambda signal: signal)
            stream.on(ActionRequired, lambda _: ScriptedSource(second))
            await stream.results()
            assert stream.stats.failures == 0
        async with RunStream(ScriptedSource(first)) as stream:
            stream.on(RunSignal, lambda _: ["an output"])
            with pytest.raises(IncompleteStream, match=r"returns the source .*; this one returned a list of str"):
                await stream.result()
            assert stream.stats.failures == 1
    assert [log["event"] for log in logs] == ["subscriber_failed"]


async def test_only_an_answer_may_be_a_source() -> None:
    """A source for another signal is not read, and an async generator function would never run: both are failures."""

    async def generator(signal: RunCreated) -> Any:
        yield signal

    with capture_logs() as logs:
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCreated, lambda _: ScriptedSource(completed("b")))
            stream.on(RunCreated, generator)
            assert (await stream.result()).is_complete
            assert len(stream.latest) == 1
            with pytest.raises(SubscribersFailed) as raised:
                await stream.results()
    assert [type(failure.error) for failure in raised.value.failures] == [ReturnRefused, ReturnRefused]
    assert [run.is_complete for run in raised.value.runs] == [True]
    assert len(logs) == 2


@pytest.mark.parametrize("form", ["generator function", "iterator", "list", "coroutine"])
async def test_plain_iterators_and_lists_of_raw_events_are_sources_too(form: str) -> None:
    """A handler written as a generator function, one that returns a recording or what a test has at hand."""
    first, events = two_streams()
    second = [raw(event) for event in events]

    def generator(signal: ActionRequired) -> Iterator[RawEvent]:
        yield from second

    async def coroutine(signal: ActionRequired) -> Iterator[RawEvent]:
        return iter(second)

    handler = {
        "generator function": generator,
        "iterator": lambda _: iter(second),
        "list": lambda _: list(second),
        "coroutine": coroutine,
    }[form]
    async with asyncio.timeout(25), RunStream(ScriptedSource(first)) as stream:
        stream.on(ActionRequired, handler)
        assert (await stream.result()).status == "completed"


async def test_a_coroutine_that_brings_no_source_lets_the_stream_end() -> None:
    first, _ = two_streams()
    calls: list[ActionRequired] = []

    async def handler(signal: ActionRequired) -> None:
        await asyncio.sleep(0.01)
        calls.append(signal)

    async with RunStream(ScriptedSource(first)) as stream:
        stream.on(ActionRequired, handler)
        with pytest.raises(IncompleteStream, match="waits for action"):
            await asyncio.wait_for(stream.result(), 25)
    assert len(calls) == 1


async def test_a_fast_source_leaves_turns_to_others() -> None:
    source = ScriptedSource(completed(text="word " * 500))
    async with RunStream(source) as stream:
        turns: list[int] = []

        async def tick() -> None:
            while not source.closed:
                turns.append(source.fed)
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        await stream.results()
        await ticking
    assert len(set(turns)) > 10


async def test_a_source_that_feeds_on_after_its_end_is_not_heard() -> None:
    receivers: list[Receiver] = []

    class Kept(ScriptedSource):
        async def run(self, receiver: Receiver) -> None:
            receivers.append(receiver)
            await super().run(receiver)

    async with RunStream(Kept(completed()), ScriptedSource(stays=True)) as stream:
        await stream.when(SourceEnded)
        receivers[0].feed(raw(completed("b")[0]))
        assert list(stream.latest) == ["run_a_0001"]


async def test_any_iterable_async_iterable_or_observable_is_attached() -> None:
    async def slowly() -> AsyncIterator[str]:
        for event in completed("b"):
            await asyncio.sleep(0)
            yield envelope(event)

    subject: Subject[Any] = Subject()
    async with RunStream([envelope(event).encode() for event in completed("a")], slowly(), subject) as stream:
        stream.start()
        await asyncio.sleep(0)
        for event in completed("c"):
            subject.on_next({"event": event.name, "data": event.data})
        subject.on_completed()
        runs = await asyncio.wait_for(stream.results(), 25)
    assert sorted(run.id for run in runs) == ["run_a_0001", "run_b_0001", "run_c_0001"]


async def test_two_hundred_sources_at_once() -> None:
    async with RunStream() as stream:
        for number in range(200):
            stream.attach(ScriptedSource(completed(f"n{number}"), name=f"s{number}"))
        seen: list[str] = []

        async def handler(signal: RunCompleted) -> None:
            seen.append(signal.run_id)

        stream.on(RunCompleted, handler)
        runs = await stream.results()
    assert len(runs) == len(set(seen)) == 200


class Makers:
    """A factory that notes which run each of its decoders continues."""

    def __init__(self) -> None:
        self.continued: list[str | None] = []

    def __call__(self, *, continues: str | None = None, memory: bytes | None = None) -> WordsDialect:
        self.continued.append(continues)
        return WordsDialect(continues=continues, memory=memory)


def words(*items: str) -> list[bytes]:
    return [item.encode() for item in items]


@pytest.mark.parametrize("form", ["name", "class", "function"])
async def test_a_stream_has_a_dialect_and_a_source_its_own(form: str, words_dialect: str) -> None:
    """By name or factory; one decoder for each source."""
    makers = Makers()
    dialect: Any = {"name": "words", "class": WordsDialect, "function": makers}[form]
    async with RunStream(words("run_1 in_progress", "run_1 completed"), dialect=dialect) as stream:
        stream.attach([raw(event) for event in completed("a")], dialect="assistants")
        stream.attach(words("run_2 completed"))
        runs = await asyncio.wait_for(stream.results(), 25)
        assert sorted((run.id, run.status) for run in runs) == [
            ("run_1", "completed"),
            ("run_2", "completed"),
            ("run_a_0001", "completed"),
        ]
        assert stream.stats.rejected == 0
    assert makers.continued == ([None, None] if form == "function" else [])
    async with RunStream([raw(event) for event in completed("a")]) as stream:
        stream.attach(words("run_1 completed"), dialect=dialect)
        assert len(await asyncio.wait_for(stream.results(), 25)) == 2


async def test_an_unknown_dialect_is_refused_by_stream_and_source() -> None:
    """Before anything is read, and a source that was refused takes no number of its name."""
    with pytest.raises(ValueError, match="'none' is not a registered dialect"):
        RunStream(dialect="none")
    with pytest.raises(ValueError, match="'none' is not a registered dialect"):
        connect("ws://127.0.0.1:1", dialect="none")
    decoder: Any = WordsDialect()
    with pytest.raises(TypeError, match="for each source, not WordsDialect"):
        RunStream(dialect=decoder)
    async with RunStream() as stream:
        with pytest.raises(ValueError, match="'none' is not a registered dialect"):
            stream.attach([], dialect="none", name="a")
        assert stream.attach([], name="a").name == "a"


async def test_connect_takes_a_dialect(words_dialect: str) -> None:
    async with connect("ws://127.0.0.1:1", dialect="words") as stream:
        assert type(stream._runner._dialect()) is WordsDialect  # type: ignore[misc]


async def test_a_source_is_attached_as_one_that_continues_a_run(words_dialect: str) -> None:
    """What the application knows reaches the dialect, whose wire does not say it."""
    async with RunStream(words("run_1 requires_action call_1"), dialect="words") as stream, asyncio.timeout(25):
        with stream.keep_open():
            await stream.when(RunPaused)
            handle = stream.attach(words("- in_progress", "- completed"), continues="run_1")
            assert handle.continues == "run_1"
            assert stream.attach([]).continues is None
            assert (await stream.result()).status == "completed"
    assert len(stream.latest) == 1


async def test_what_names_no_run_is_of_the_run_that_its_source_continues() -> None:
    first, second = two_streams()
    # Nothing of the run before its end: else it would be the only open run of the source.
    told = [event for event in second if event.name == "thread.run.completed" or "_0002" in str(event.data)]
    unnamed = [Event(event.name, {**event.data, "run_id": None}) if "run_id" in event.data else event for event in told]
    assert unnamed != second
    folded = fold_sources([("told", map(raw, first)), ("second", map(raw, second))])
    for options in ({}, {"continues": "run_f_0001"}):
        async with RunStream(ScriptedSource(first)) as stream, asyncio.timeout(25):
            with stream.keep_open():
                await stream.when(RunPaused)
                stream.attach(ScriptedSource(unnamed), **options)
                await stream.when(RunCompleted)
            found = stream.latest["run_f_0001"].text
        assert found == (folded.runs[0].text if options else "")
        assert bool(stream.stats.orphans) is not bool(options)


async def test_a_run_that_has_ended_can_not_be_continued() -> None:
    """In this scope; the source is not attached. One that was not seen yet can be."""
    async with RunStream(ScriptedSource(completed("a"))) as stream, asyncio.timeout(25):
        with stream.keep_open():
            await stream.result()
            with pytest.raises(ValueError, match=r"^run run_a_0001 has ended \(completed\) and can't be continued$"):
                stream.attach(ScriptedSource(completed("b"), name="b"), continues="run_a_0001")
            assert stream.attach([], continues="run_a_0001", scope="s").scope == "s"
            assert stream.attach([], name="b", continues="run_b_0001").name == "b"


async def test_a_run_of_the_store_that_has_ended_can_not_be_continued() -> None:
    store = MemoryStore()
    async with RunStream(ScriptedSource(completed("a")), store=store) as stream:
        await asyncio.wait_for(stream.result(), 25)
    async with RunStream(store=store) as stream:
        with pytest.raises(ValueError, match=r"run_a_0001 has ended \(completed\)"):
            stream.attach(ScriptedSource(completed("b")), continues="run_a_0001")


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_a_handler_returns_continues_the_run_of_its_signal(is_async: bool, words_dialect: str) -> None:
    """And is read in the dialect in which that run came, which need not be that of the stream."""
    makers = Makers()
    first, second = two_streams()

    def answer(signal: ActionRequired) -> Any:
        if signal.run_id == "run_f_0001":
            return ScriptedSource(second)
        return iter(words("- in_progress", "- completed"))

    async def answer_later(signal: ActionRequired) -> Any:
        await asyncio.sleep(0.01)
        return answer(signal)

    async with RunStream(ScriptedSource(first)) as stream, asyncio.timeout(25):
        stream.on(ActionRequired, answer_later if is_async else answer)
        stream.attach(words("run_1 requires_action call_1"), dialect=makers, scope="s")
        stream.attach(words("run_2 requires_action call_2"), dialect=makers, scope="s")
        runs = await stream.results()
        assert stream.stats.rejected == 0
        assert stream.stats.failures == 0
    assert sorted((run.id, run.status) for run in runs) == [
        ("run_1", "completed"),
        ("run_2", "completed"),
        ("run_f_0001", "completed"),
    ]
    assert sorted(makers.continued, key=str) == [None, None, "run_1", "run_2"]


async def test_a_chain_of_answers_keeps_its_dialect(words_dialect: str) -> None:
    """Each answer is read as the one before."""
    rounds = iter([words("- in_progress", "- requires_action call_2"), words("- in_progress", "- completed")])
    async with RunStream() as stream, asyncio.timeout(25):
        stream.on(RunPaused, lambda _: stream.attach(next(rounds), continues="run_1") and None)
        stream.attach(words("run_1 requires_action call_1"), dialect="words")
        assert (await stream.result()).status == "completed"


async def test_an_answer_that_comes_after_the_end_is_an_error_of_its_source() -> None:
    """It is read, as a source that continues no run, and nobody's handler fails."""
    first, second = two_streams()
    released = asyncio.Event()
    errors: list[SourceError] = []

    async def answer(signal: ActionRequired) -> ScriptedSource:
        await released.wait()
        return ScriptedSource(completed("b"), name="late")

    async with RunStream(ScriptedSource(first), on_subscriber_error="raise") as stream, asyncio.timeout(25):
        stream.on(ActionRequired, answer)
        stream.on(SourceError, errors.append)
        await stream.when(RunPaused)
        stream.attach(ScriptedSource(second))
        await stream.when(RunCompleted)
        released.set()
        runs = await stream.results()
    assert [run.id for run in runs] == ["run_f_0001", "run_b_0001"]
    assert [(error.source, error.reason) for error in errors] == [
        ("late", "run run_f_0001 has ended (completed) and can't be continued")
    ]
