"""`RunStream`: when reading starts, what each door gives, how it ends, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest
from reactivex import operators as ops
from reactivex.subject import Subject
from structlog.testing import capture_logs

from runstream.engine.fold import fold, fold_sources
from runstream.errors import IncompleteStream, SeveralRuns, SlowConsumer, SourceFailed
from runstream.model.raw import RawEvent
from runstream.model.signals import (
    ActionRequired,
    MessageCompleted,
    MessageCreated,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunInterrupted,
    RunPaused,
    RunSignal,
    RunStatusChanged,
    Signal,
    SourceEnded,
    SourceError,
    TextDelta,
)
from runstream.sources.base import Receiver
from runstream.stream.run_stream import RunStream
from tests.support.scripts import LabelledScript, stream_of, streams_of
from tests.support.wire import Event, envelope


class Told:
    """A source that gives raw events, then does what it is told: return, fail, or wait to be cancelled."""

    def __init__(
        self,
        events: Iterable[Event | RawEvent] = (),
        *,
        name: str = "told",
        error: BaseException | None = None,
        stays: bool = False,
    ) -> None:
        self.name = name
        self.items = [item if isinstance(item, RawEvent) else raw(item) for item in events]
        self.error = error
        self.stays = stays
        self.fed = 0
        self.more = asyncio.Event()
        self.closed = False

    async def run(self, receiver: Receiver) -> None:
        receiver.connected()
        try:
            for item in self.items:
                receiver.feed(item)
                self.fed += 1
                await receiver.ready()
            if self.stays:
                await self.more.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


def raw(event: Event) -> RawEvent:
    return RawEvent(data=envelope(event).encode())


def completed(label: str = "a", text: str = "Hello there, friend.") -> list[Event]:
    return stream_of(LabelledScript(label).write_message(text, prompt=5).finish("completed"))


def failed(label: str = "a") -> list[Event]:
    script = LabelledScript(label)
    script.start()
    return stream_of(script.finish("failed", last_error={"code": "server_error", "message": "sorry"}))


def two_streams(label: str = "f") -> tuple[list[Event], list[Event]]:
    """A function call: the stream up to the action, and the one after the outputs were submitted."""
    script = LabelledScript(label)
    step = script.call_functions(("weather", {"city": "Oslo"}))
    script.require(step)
    script.submit(step, "4 degrees", prompt=7, after=1).write_message("It is cold.", prompt=9).finish("completed")
    first, second = streams_of(script)
    return first, second


def cut_short(label: str = "c") -> list[Event]:
    return completed(label)[:5]


def kinds(signals: Iterable[Any]) -> list[str]:
    return [signal.type for signal in signals]


@pytest.fixture(autouse=True)
async def _leaves_nothing_behind() -> AsyncIterator[None]:
    """Each test ends without a pending task, and without a coroutine that was never awaited."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    gc.collect()
    assert not left


# when reading starts


async def test_nothing_is_read_before_something_is_awaited() -> None:
    source = Told(completed())
    async with RunStream(source) as stream:
        signals: list[Signal] = []
        stream.signals.subscribe(signals.append)
        stream.on(RunCompleted, signals.append)
        stream.iter()
        await asyncio.sleep(0.01)
        assert source.fed == 0
        assert signals == []
        await stream.result()
        assert source.fed > 0
        assert signals


async def test_each_of_the_doors_starts_the_reading() -> None:
    for door in ("result", "results", "when", "async for", "start"):
        source = Told(completed())
        async with RunStream(source) as stream:
            match door:
                case "result":
                    await stream.result()
                case "results":
                    await stream.results()
                case "when":
                    await stream.when(RunCreated)
                case "async for":
                    async for _ in stream:
                        break
                case "start":
                    stream.start()
                    await asyncio.sleep(0.01)
            assert source.fed > 0, door


async def test_every_door_tells_what_the_fold_tells() -> None:
    events = [raw(event) for event in completed()]
    folded = fold(events, name="told", clock=lambda: 1.0)
    async with RunStream(Told(events), clock=lambda: 1.0) as stream:
        by_rx: list[Signal] = []
        by_call: list[Signal] = []
        by_task: list[Signal] = []
        states: list[Any] = []
        seen_events: list[Any] = []

        async def later(signal: Signal) -> None:
            by_task.append(signal)

        stream.signals.subscribe(by_rx.append)
        stream.on(Signal, by_call.append)
        stream.on(Signal, later, policy="wait")
        stream.runs.subscribe(states.append)
        stream.events.subscribe(seen_events.append)
        by_loop = [signal async for signal in stream]
    expected = [signal.to_dict() for signal in folded.signals]
    without_sources = [one for one in expected if not one["type"].startswith("source.")]
    for signals in (by_rx, by_call):
        got = [s.to_dict() for s in signals]
        assert [one for one in got if not one["type"].startswith("source.")] == without_sources
    for conflated in (by_task, by_loop):
        text = "".join(s.delta for s in conflated if isinstance(s, TextDelta))
        assert text == "Hello there, friend."
        assert [k for k in kinds(conflated) if k != "message.text"] == [k for k in kinds(by_rx) if k != "message.text"]
    assert states[-1] == folded.runs[0]
    assert len(seen_events) == len(events)


# the Observables


async def test_the_observables_complete_once_no_source_is_left() -> None:
    ends: list[str] = []
    async with RunStream(Told(completed("a")), Told(completed("b"))) as stream:
        for name in ("events", "runs", "signals", "rejects"):
            getattr(stream, name).subscribe(on_completed=lambda name=name: ends.append(name))
        assert len(await stream.results()) == 2
    assert sorted(ends) == ["events", "rejects", "runs", "signals"]


async def test_late_subscribers_get_held_runs_but_neither_signals_nor_events() -> None:
    async with RunStream(Told(completed("a")), Told(completed("b"), stays=True)) as stream:
        await stream.when(RunCompleted, run_id="run_b_0001")
        states: list[Any] = []
        others: list[Any] = []
        stream.runs.subscribe(states.append)
        stream.signals.subscribe(others.append)
        stream.events.subscribe(others.append)
        assert [state.run_id for state in states] == ["run_a_0001", "run_b_0001"]
        assert others == []


async def test_who_subscribes_after_the_end_gets_the_runs_and_the_end() -> None:
    async with RunStream(Told(completed())) as stream:
        await stream.results()
        seen: list[Any] = []
        stream.runs.subscribe(seen.append, on_completed=lambda: seen.append("end"))
        stream.signals.subscribe(seen.append, on_completed=lambda: seen.append("end"))
        assert [getattr(one, "run_id", one) for one in seen] == ["run_a_0001", "end", "end"]
        assert [state.run_id async for state in stream.iter("runs")] == ["run_a_0001"]
        assert [signal async for signal in stream] == []


async def test_rejects_are_given_and_counted() -> None:
    bad = RawEvent(data=b"{not json")
    async with RunStream(Told([bad, *completed()])) as stream:
        rejects: list[Any] = []
        stream.rejects.subscribe(rejects.append)
        await stream.result()
        assert [reject.raw for reject in rejects] == [bad]
        assert stream.stats.rejected == 1


async def test_what_nobody_listens_to_is_not_built() -> None:
    async with RunStream(Told(completed(), stays=True)) as stream:
        engine = stream._engine
        assert (engine.on_event, engine.on_state, engine.on_reject, engine.progress) == (None, None, None, False)
        one = stream.on(RunCompleted, lambda _: None)
        assert not engine.progress
        two = stream.on("message.text", lambda _: None)
        states = stream.runs.subscribe(lambda _: None)
        assert engine.progress
        assert engine.on_state is not None
        assert (engine.on_event, engine.on_reject) == (None, None)
        for subscription in (one, two, states):
            subscription.dispose()
        assert not engine.progress
        assert engine.on_state is None
        waiting = asyncio.create_task(stream.when(TextDelta))
        found = await waiting
        assert found.offset == 0
        assert not engine.progress


# a subscriber's faults


async def test_a_raising_subscriber_is_logged_and_the_others_get_everything() -> None:
    def fails(_: Any) -> None:
        raise ValueError("a secret text")

    async def fails_later(_: Any) -> None:
        raise LookupError("a secret text")

    with capture_logs() as logs:
        async with RunStream(Told(completed())) as stream:
            for door in (stream.events, stream.runs, stream.signals):
                door.subscribe(fails)
            stream.on(RunCompleted, fails)
            stream.on(RunCompleted, fails_later)
            seen: list[str] = []
            stream.on(RunSignal, lambda signal: seen.append(signal.type))
            run = await stream.result()
        assert run.is_complete
        assert "run.completed" in seen
        assert stream.stats.failures == len(logs) > 5
    assert {log["event"] for log in logs} == {"subscriber_failed"}
    assert {log["run_id"] for log in logs if log["channel"] != "events"} >= {"run_a_0001"}
    assert "secret" not in repr(logs)


async def test_in_mode_raise_the_exception_comes_out_of_what_is_awaited() -> None:
    source = Told(completed(), stays=True)
    with capture_logs() as logs:
        async with RunStream(source, on_subscriber_error="raise") as stream:

            def fails(signal: RunCreated) -> None:
                raise ZeroDivisionError

            stream.on(RunCreated, fails)
            errors: list[Exception] = []
            stream.signals.subscribe(lambda _: None, errors.append)
            with pytest.raises(ZeroDivisionError):
                await stream.result()
            with pytest.raises(ZeroDivisionError):
                await stream.results()
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert source.closed
    assert logs == []


async def test_in_mode_raise_a_result_that_came_in_the_same_turn_raises_too() -> None:
    def fails(signal: RunCompleted) -> None:
        raise ZeroDivisionError

    async with RunStream(Told(completed()), on_subscriber_error="raise") as stream:
        stream.on(RunCompleted, fails)
        with pytest.raises(ZeroDivisionError):
            await stream.result()


async def test_in_mode_raise_leaving_the_context_raises_at_the_latest() -> None:
    async def fails(signal: RunCompleted) -> None:
        raise ZeroDivisionError

    stream = RunStream(Told(completed()), on_subscriber_error="raise")
    stream.on(RunCompleted, fails)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - leaving is what raises
        async with stream:
            stream.start()
            await asyncio.sleep(0.01)


async def test_in_mode_raise_iteration_raises_too() -> None:
    stream = RunStream(Told(completed(), stays=True), on_subscriber_error="raise")

    def fails(signal: RunCompleted) -> None:
        raise ZeroDivisionError

    stream.on(RunCompleted, fails)
    async with stream:
        signals = stream.iter()
        with pytest.raises(ZeroDivisionError):
            [signal async for signal in signals]


async def test_the_result_of_a_cancelled_future_in_a_callback_cancels_nobody() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    with capture_logs() as logs:
        async with RunStream(Told(completed())) as stream:
            stream.on(RunCreated, lambda _: future.result())
            assert (await stream.result()).is_complete
    assert [log["error"] for log in logs] == ["CancelledError"]
    async with RunStream(Told(completed()), on_subscriber_error="raise") as stream:
        stream.on(RunCreated, lambda _: future.result())
        with pytest.raises(RuntimeError, match="CancelledError in"):
            await stream.result()


async def test_a_late_iterator_over_more_runs_than_it_may_hold_is_ended() -> None:
    with capture_logs() as logs:
        async with RunStream(Told(completed("a")), Told(completed("b"), stays=True), buffer=1) as stream:
            await stream.when(RunCompleted, run_id="run_b_0001")
            states = stream.iter("runs", policy="error")
            assert len(stream._channels.runs) == 0
            assert (await anext(states)).run_id == "run_a_0001"
            with pytest.raises(SlowConsumer):
                await anext(states)
    assert [log["event"] for log in logs] == ["slow_consumer"]


async def test_a_source_that_is_no_coroutine_fails_alone() -> None:
    class Wrong:
        name = "wrong"

        def run(self, receiver: Receiver) -> None:
            receiver.connected()

    with capture_logs() as logs:
        async with RunStream(Wrong(), Told(completed())) as stream:  # type: ignore[arg-type]
            errors: list[SourceError] = []
            stream.on(SourceError, errors.append)
            assert (await stream.result()).is_complete
            assert [(error.source, error.reason) for error in errors] == [("wrong", "TypeError in the source")]
    assert [(log["event"], log["source"], log["error"]) for log in logs] == [("source_failed", "wrong", "TypeError")]


async def test_a_subscriber_that_blocks_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runstream.stream.channel.SLOW_SECONDS", 0.02)

    def blocks(signal: RunCompleted) -> None:
        time.sleep(0.03)

    with capture_logs() as logs:
        async with RunStream(Told(completed())) as stream:
            stream.on(RunCompleted, blocks)
            await stream.result()
    assert [log["event"] for log in logs] == ["slow_subscriber"]
    assert "blocks" in logs[0]["subscriber"]
    assert logs[0]["run_id"] == "run_a_0001"


async def test_feeding_from_inside_a_callback_waits_for_its_turn() -> None:
    receivers: list[Receiver] = []

    class Kept(Told):
        async def run(self, receiver: Receiver) -> None:
            receivers.append(receiver)
            await super().run(receiver)

    other = [raw(event) for event in completed("b")]
    async with RunStream(Kept(completed("a"))) as stream:
        orders: list[list[str]] = [[], []]
        stream.signals.subscribe(lambda s: orders[0].append(s.key))

        def feeds(signal: RunCreated) -> None:
            if signal.run_id == "run_a_0001":
                for item in other:
                    receivers[0].feed(item)

        stream.on(RunCreated, feeds)
        stream.signals.subscribe(lambda s: orders[1].append(s.key))
        runs = await stream.results()
    assert orders[0] == orders[1]
    # The event that was being told is told to its end first.
    assert orders[0].index("run_a_0001/status/queued/0") < orders[0].index("run_b_0001/created")
    assert [run.id for run in runs] == ["run_a_0001", "run_b_0001"]


# on


async def test_on_selects_by_class_base_tuple_union_string_and_run() -> None:
    first, second = two_streams()
    selectors: dict[str, Any] = {
        "class": RunCompleted,
        "base": RunSignal,
        "tuple": (RunCreated, "run.completed"),
        "union": RunCreated | RunCompleted,
        "string": "run.completed",
    }
    seen: dict[str, list[str]] = {name: [] for name in selectors}
    async with RunStream(Told([*first, *second])) as stream:
        for name, selector in selectors.items():

            def note(signal: Any, name: str = name) -> None:
                seen[name].append(signal.type)

            stream.on(selector, note)
        other: list[Any] = []
        stream.on(RunSignal, other.append, run_id="run_other")
        await stream.result()
    assert seen["class"] == seen["string"] == ["run.completed"]
    assert seen["tuple"] == seen["union"] == ["run.created", "run.completed"]
    assert {"run.action_required", "message.text", "tool_call.completed"} <= set(seen["base"])
    assert "source.ended" not in seen["base"]
    assert other == []


async def test_on_refuses_what_it_can_not_do() -> None:
    stream = RunStream()

    async def handler(_: Any) -> None: ...

    with pytest.raises(ValueError, match=r"run\.completed"):
        stream.on("run.complete", handler)
    with pytest.raises(TypeError, match="no signal"):
        stream.on(int, handler)
    with pytest.raises(TypeError, match="no signal"):
        stream.on(object, handler)
    with pytest.raises(TypeError, match="function"):
        stream.on(RunCompleted, None)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="policy"):
        stream.on(RunCompleted, lambda _: None, policy="wait")
    with pytest.raises(ValueError, match="latest"):
        stream.on(RunCompleted, handler, policy="latest")
    with pytest.raises(ValueError, match="policy"):
        stream.on(RunCompleted, handler, policy="never")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="runs"):
        stream.iter("states")  # type: ignore[call-overload]


async def test_a_disposed_handler_gets_nothing_more() -> None:
    async with RunStream(Told(completed())) as stream:
        seen: list[str] = []
        called: list[str] = []

        async def later(signal: Any) -> None:
            called.append(signal.type)

        def once(signal: RunSignal) -> None:
            seen.append(signal.type)
            one.dispose()

        one = stream.on(RunSignal, once)
        two = stream.on(RunSignal, later)
        two.dispose()
        await stream.result()
    assert seen == ["run.created"]
    assert called == []


async def test_a_slow_coroutine_delays_nobody_and_gets_everything_in_order() -> None:
    async with RunStream(Told(completed())) as stream:
        slow: list[str] = []

        async def handler(signal: Any) -> None:
            await asyncio.sleep(0.005)
            slow.append(signal.type)

        quick: list[str] = []
        stream.on((RunSignal,), handler)
        stream.on(RunSignal, lambda s: quick.append(s.type))
        await stream.result()
        assert len(quick) > 5
        assert len(slow) < len(quick)
    assert [k for k in slow if k != "message.text"] == [k for k in quick if k != "message.text"]


async def test_a_lambda_that_returns_a_coroutine_has_it_awaited() -> None:
    seen: list[str] = []

    async def handler(signal: Any) -> None:
        await asyncio.sleep(0)
        seen.append(signal.type)

    async with RunStream(Told(completed())) as stream:
        stream.on(RunCreated | RunCompleted, lambda signal: handler(signal))  # noqa: PLW0108 - the point
        await stream.result()
    assert seen == ["run.created", "run.completed"]


# slow consumers


async def test_wait_holds_the_source_and_drops_nothing() -> None:
    source = Told(completed(text="one two three four five six seven"))
    async with RunStream(source, buffer=1) as stream:
        seen: list[Any] = []

        async def handler(signal: Any) -> None:
            await asyncio.sleep(0.002)
            seen.append(signal)
            assert source.fed <= len(source.items)

        stream.on(RunSignal, handler)
        stream.start()
        await asyncio.sleep(0.003)
        assert source.fed < len(source.items) / 2
        await stream.results()
    assert seen[-1].type == "run.completed"
    assert "".join(s.delta for s in seen if s.type == "message.text") == "one two three four five six seven"
    assert stream.stats.failures == 0


async def test_who_holds_the_source_for_too_long_is_ended_alone() -> None:
    with capture_logs() as logs:
        async with RunStream(Told(completed()), buffer=2, wait_timeout=0.03, close_timeout=0.1) as stream:
            stuck: list[Any] = []
            fine: list[Any] = []

            async def never(signal: Any) -> None:
                stuck.append(signal)
                await asyncio.sleep(10)

            async def quick(signal: Any) -> None:
                fine.append(signal)

            stream.on(RunSignal, never)
            stream.on(RunSignal, quick)
            run = await asyncio.wait_for(stream.result(), 2)
            assert run.is_complete
    assert len(stuck) == 1
    assert fine[-1].type == "run.completed"
    assert [log["event"] for log in logs] == ["slow_consumer"]
    assert "never" in logs[0]["subscriber"]
    assert stream.stats.failures == 1


async def test_an_iterator_that_is_not_read_is_ended_with_slow_consumer() -> None:
    with capture_logs() as logs:
        async with RunStream(Told(completed()), buffer=2, wait_timeout=0.03) as stream:
            idle = stream.iter()
            await asyncio.wait_for(stream.result(), 2)
            got = [await anext(idle), await anext(idle)]
            with pytest.raises(SlowConsumer):
                [signal async for signal in idle]
            assert kinds(got)[:2] == ["source.connected", "run.created"]
    assert [log["event"] for log in logs] == ["slow_consumer"]


async def test_policy_error_ends_the_subscriber_at_overflow() -> None:
    source = Told(completed())
    with capture_logs() as logs:
        async with RunStream(source, buffer=2) as stream:
            idle = stream.iter("events", policy="error")
            await asyncio.wait_for(stream.result(), 2)
            with pytest.raises(SlowConsumer):
                [event async for event in idle]
    assert [(log["event"], log["channel"]) for log in logs] == [("slow_consumer", "events")]


async def test_latest_conflates_states_and_counts() -> None:
    async with RunStream(Told(completed("a")), Told(completed("b"))) as stream:
        states = stream.iter("runs")
        await stream.results()
        got = [state async for state in states]
        assert [(s.run_id, s.is_terminal) for s in got] == [("run_a_0001", True), ("run_b_0001", True)]
        assert stream.stats.conflated > 10


async def test_text_that_waits_is_joined_and_loses_no_character() -> None:
    async with RunStream(Told(completed(text="The whole text, in many pieces."))) as stream:
        signals = stream.iter()
        await stream.results()
        deltas = [s async for s in signals if isinstance(s, TextDelta)]
        assert [(d.offset, d.delta) for d in deltas] == [(0, "The whole text, in many pieces.")]
        assert stream.stats.conflated > 3
        states = stream.latest["run_a_0001"]
        assert states.text == "The whole text, in many pieces."


async def test_breaking_out_of_iteration_frees_the_source() -> None:
    async with RunStream(Told(completed()), buffer=1) as stream:
        async for _ in stream:
            break
        assert (await asyncio.wait_for(stream.result(), 1)).is_complete


# results


async def test_result_is_the_terminal_run_and_a_failed_run_is_a_value() -> None:
    async with RunStream(Told(failed())) as stream:
        run = await stream.result()
        assert run.is_failed
        assert await stream.result("run_a_0001") == run


async def test_result_returns_at_the_terminal_status_though_the_source_goes_on() -> None:
    async with RunStream(Told(completed(), stays=True)) as stream:
        assert (await asyncio.wait_for(stream.result(), 1)).is_complete


async def test_several_runs_without_an_id_are_named() -> None:
    async with RunStream(Told(cut_short("a"), stays=True), Told(completed("b"), stays=True)) as stream:
        with pytest.raises(SeveralRuns) as caught:
            await stream.result()
        assert caught.value.run_ids == ("run_a_0001", "run_b_0001")
        with pytest.raises(SeveralRuns):
            await stream.result()
        assert (await stream.result("run_b_0001")).is_complete


async def test_a_cut_off_stream_never_passes_for_success() -> None:
    async with RunStream(Told(cut_short())) as stream:
        with pytest.raises(IncompleteStream, match="run_c_0001 was left in_progress") as caught:
            await stream.result()
        assert [state.run_id for state in caught.value.states] == ["run_c_0001"]
        assert caught.value.__cause__ is None
        with pytest.raises(IncompleteStream):
            await stream.results()
        with pytest.raises(IncompleteStream):
            await stream.result("run_c_0001")


async def test_the_states_of_what_was_left_are_those_that_did_not_end() -> None:
    """Whatever was waited for; of one run, its own."""
    async with asyncio.timeout(10), RunStream(Told(completed("a")), Told(cut_short("b")), Told(cut_short())) as stream:
        for waiting, left in [
            (stream.results(), ["run_b_0001", "run_c_0001"]),
            (stream.when(RunFailed), ["run_b_0001", "run_c_0001"]),
            (stream.when(RunFailed, run_id="run_c_0001"), ["run_c_0001"]),
            (stream.result("run_b_0001"), ["run_b_0001"]),
            (stream.result("run_x"), ["run_b_0001", "run_c_0001"]),
        ]:
            with pytest.raises(IncompleteStream) as caught:
                await waiting
            assert [state.run_id for state in caught.value.states] == left


async def test_a_failed_source_is_the_cause() -> None:
    error = SourceFailed("the server said 401", attempts=3)
    signals: list[Any] = []
    with capture_logs() as logs:
        async with RunStream(Told(cut_short(), error=error)) as stream:
            stream.on((RunInterrupted, SourceError, SourceEnded), signals.append)
            with pytest.raises(IncompleteStream, match="401") as caught:
                await stream.result()
            assert caught.value.__cause__ is error
    assert kinds(signals) == ["source.error", "run.interrupted", "source.ended"]
    assert (signals[1].reason, signals[1].attempts) == ("the server said 401", 3)
    assert [(log["event"], log["reason"]) for log in logs] == [("source_failed", "the server said 401")]


async def test_any_other_exception_of_a_source_is_its_failure_and_keeps_its_words_out_of_the_log() -> None:
    with capture_logs() as logs:
        async with RunStream(Told(cut_short(), error=ValueError("wss://user:password@host"))) as stream:
            with pytest.raises(IncompleteStream, match="ValueError") as caught:
                await stream.result()
            assert isinstance(caught.value.__cause__, SourceFailed)
            assert isinstance(caught.value.__cause__.__cause__, ValueError)
    assert [(log["event"], log["error"]) for log in logs] == [("source_failed", "ValueError")]
    assert "password" not in repr(logs)
    assert "password" not in str(caught.value)


async def test_a_source_that_cancels_itself_has_failed() -> None:
    with capture_logs():
        async with RunStream(Told(cut_short(), error=asyncio.CancelledError())) as stream:
            with pytest.raises(IncompleteStream, match="cancelled"):
                await stream.result()


async def test_a_run_that_waits_for_action_when_all_sources_ended_is_incomplete_and_says_so() -> None:
    first, _ = two_streams()
    async with RunStream(Told(first)) as stream:
        with pytest.raises(IncompleteStream, match="run_f_0001 waits for action"):
            await stream.result()
        with pytest.raises(IncompleteStream, match="waits for action"):
            await stream.results()


async def test_no_run_and_no_source_are_incomplete_too() -> None:
    async with RunStream(Told()) as stream:
        with pytest.raises(IncompleteStream, match="no run was seen"):
            await stream.result()
        with pytest.raises(IncompleteStream, match="no run was seen"):
            await stream.results()
        with pytest.raises(IncompleteStream, match="run_9 is not held"):
            await stream.result("run_9")
    async with RunStream() as stream:
        with pytest.raises(IncompleteStream, match="no source"):
            await asyncio.wait_for(stream.result(), 1)


async def test_results_are_in_order_of_appearance() -> None:
    async with RunStream(Told(completed("a")), Told(failed("b"))) as stream:
        runs = await stream.results()
        assert [(run.id, run.status.value) for run in runs] == [
            ("run_a_0001", "completed"),
            ("run_b_0001", "failed"),
        ]
        assert await stream.results() == runs


async def test_results_are_not_whole_if_a_source_failed_before_it_gave_anything() -> None:
    class ConnectFailed:
        name = "refused"

        async def run(self, receiver: Receiver) -> None:
            raise SourceFailed("401")

    with capture_logs():
        async with RunStream(Told(completed()), ConnectFailed()) as stream:
            assert (await stream.result()).is_complete
            with pytest.raises(IncompleteStream, match="401"):
                await stream.results()


async def test_runs_are_told_apart_by_scope() -> None:
    async with RunStream() as stream:
        stream.attach(Told(completed("a")), scope="one")
        stream.attach(Told(failed("a")), scope="two")
        stream.attach(Told(completed("b")))
        assert (await stream.result("run_a_0001", scope="one")).is_complete
        assert (await stream.result(scope="two")).is_failed
        assert (await stream.result()).id == "run_b_0001"
        assert len(await stream.results()) == 3
        assert set(stream.latest) == {("one", "run_a_0001"), ("two", "run_a_0001"), "run_b_0001"}
        assert stream.latest["two", "run_a_0001"].run.is_failed
        assert "run_a_0001" not in stream.latest
        assert len(stream.latest) == 3


# when


async def test_when_waits_for_the_next_or_returns_what_is_true_already() -> None:
    async with RunStream(Told(completed(), stays=True)) as stream:
        first = await stream.when(RunCompleted)
        assert first.run_id == "run_a_0001"
        again = await asyncio.wait_for(stream.when(RunCompleted, run_id="run_a_0001"), 1)
        assert again is first
        assert (await stream.when("run.created")).type == "run.created"
        with pytest.raises(TimeoutError):
            await stream.when(MessageCompleted, timeout=0.01)


async def test_when_action_required_is_true_only_while_the_run_waits() -> None:
    first, second = two_streams()
    async with RunStream(Told(first, stays=True)) as stream:
        await stream.when(ActionRequired)
        again = await stream.when(ActionRequired, run_id="run_f_0001")
        assert again.calls[0].name == "weather"
        stream.attach(Told(second[:3], stays=True))
        await stream.when(RunStatusChanged, predicate=lambda s: s.after.value == "queued" and s.round == 1)
        with pytest.raises(TimeoutError):
            await stream.when(ActionRequired, timeout=0.01)
        assert (await stream.when(RunStatusChanged)).after.value == "in_progress"


async def test_when_a_run_was_interrupted_stays_true_until_it_is_heard_of_again() -> None:
    events = completed("c")
    async with RunStream(Told(events[:5]), Told(completed("x"), stays=True)) as stream:
        await stream.when(RunInterrupted)
        assert (await stream.when(RunInterrupted, run_id="run_c_0001")).reason == "the stream ended"
        stream.attach(Told(events[5:8], stays=True))
        await stream.when(MessageCreated)
        with pytest.raises(TimeoutError):
            await stream.when(RunInterrupted, timeout=0.01)
        stream.attach(Told(events[8:]))
        await stream.when(RunCompleted, run_id="run_c_0001")
        with pytest.raises(IncompleteStream, match="ended completed"):
            await stream.when(RunInterrupted, run_id="run_c_0001")


async def test_when_with_a_predicate_and_its_own_mistakes() -> None:
    async with RunStream(Told(completed(), stays=True)) as stream:
        running = await stream.when(RunStatusChanged, predicate=lambda s: s.after.value == "in_progress")
        assert running.run_id == "run_a_0001"
        with pytest.raises(ZeroDivisionError):
            await stream.when(RunCreated, predicate=lambda s: 1 / 0 > 1)


async def test_when_ends_with_the_stream_or_the_run() -> None:
    async with RunStream(Told(failed("a"))) as stream:
        with pytest.raises(IncompleteStream, match="ended failed"):
            await stream.when(RunCompleted, run_id="run_a_0001")
        with pytest.raises(IncompleteStream, match=r"no run\.action_required"):
            await stream.when(ActionRequired)
        assert (await stream.when(RunFailed)).run.is_failed


async def test_what_when_remembers_is_bounded() -> None:
    from runstream.model.limits import Limits

    sources = [Told(completed(f"n{number}"), name=f"s{number}") for number in range(300)]
    async with RunStream(*sources, limits=Limits(max_finished_runs=10)) as stream:
        assert len(await stream.results()) == 300
        assert len(stream.latest) == 10
        assert len(stream._waiters._latest) <= 128
        with pytest.raises(IncompleteStream):
            await stream.when(RunCompleted, run_id="run_n0_0001")


# attach


async def test_a_source_attached_at_run_time_is_read_at_once() -> None:
    async with RunStream(Told(cut_short("a"), stays=True)) as stream:
        stream.start()
        await asyncio.sleep(0.01)
        handle = stream.attach(Told(completed("b")))
        assert not handle.done
        await stream.when(RunCompleted)
        await stream.when(SourceEnded, timeout=1)
        assert handle.done


async def test_a_removed_source_is_cancelled_and_its_run_interrupted() -> None:
    source = Told(cut_short("a"), stays=True)
    async with RunStream(source) as stream:
        handle = stream.attach(Told(cut_short("b"), stays=True, name="b"))
        await stream.when(RunCreated, run_id="run_b_0001")
        handle.remove()
        handle.remove()
        signal = await stream.when(RunInterrupted)
        assert (signal.run_id, signal.reason) == ("run_b_0001", "the source was removed")
        assert handle.done
        assert not source.closed
        assert handle.error is None


async def test_a_source_removed_before_it_was_read_never_is() -> None:
    source = Told(completed("b"))
    async with RunStream(Told(completed("a"))) as stream:
        stream.attach(source).remove()
        assert len(await stream.results()) == 1
    assert source.fed == 0


async def test_a_source_removed_in_the_turn_it_was_attached_ends_properly() -> None:
    async with RunStream(Told(completed("a"), stays=True)) as stream:
        await stream.when(RunCompleted)
        ended: list[Any] = []
        stream.on(SourceEnded, ended.append)
        source = Told(completed("b"), name="b")
        stream.attach(source).remove()
        await asyncio.sleep(0.01)
        assert source.fed == 0
        assert [s.source for s in ended] == ["b"]


async def test_sources_of_one_name_are_told_apart_in_keys() -> None:
    async with RunStream(Told(completed("a")), Told(completed("b"))) as stream:
        ended: list[Any] = []
        stream.on(SourceEnded, ended.append)
        await stream.results()
    assert sorted(s.key for s in ended) == ["told#2/ended/1", "told/ended/1"]


@pytest.mark.parametrize("kind", ["sync", "async", "lambda"])
async def test_a_handler_of_action_required_may_return_the_source_that_goes_on(kind: str) -> None:
    first, second = two_streams()
    again = Told(second, name="second")
    calls: list[Any] = []

    def answer(signal: ActionRequired) -> Told:
        calls.append(signal)
        return again

    async def answer_later(signal: ActionRequired) -> Told:
        calls.append(signal)
        await asyncio.sleep(0.02)  # long after its source has ended
        return again

    def answer_by_lambda(signal: ActionRequired) -> Any:
        return answer_later(signal)

    handler = {"sync": answer, "async": answer_later, "lambda": answer_by_lambda}[kind]
    async with RunStream() as stream:
        stream.attach(Told(first), scope="s")
        stream.on(ActionRequired, handler)
        signals: list[Signal] = []
        stream.on(Signal, signals.append)
        run = await asyncio.wait_for(stream.result(scope="s"), 2)
    assert run.is_complete
    assert len(calls) == 1
    assert kinds(signals).count("run.completed") == 1
    if kind != "sync":
        assert kinds(signals).count("run.paused") == 1
    folded = fold_sources([("told", map(raw, first)), ("second", map(raw, second))])
    assert stream.latest["s", "run_f_0001"].run == folded.runs[0].run


async def test_a_handler_may_attach_while_the_last_source_ends() -> None:
    first, second = two_streams()
    async with RunStream(Told(first)) as stream:
        stream.on(RunPaused, lambda _: stream.attach(Told(second)) and None)
        assert (await stream.result()).is_complete


async def test_who_was_told_by_when_or_iteration_may_attach() -> None:
    first, second = two_streams()
    async with RunStream(Told(first)) as stream:
        await asyncio.wait_for(stream.when(ActionRequired), 1)  # a task of its own: some turns of the loop later
        stream.attach(Told(second))
        assert (await stream.result()).is_complete
    async with RunStream(Told(first)) as stream:
        async for signal in stream:
            if isinstance(signal, ActionRequired):
                await asyncio.sleep(0.02)  # the loop's body is at work: the stream stays open
                stream.attach(Told(second))
        assert (await stream.result()).is_complete


async def test_hold_keeps_the_stream_open_without_a_source() -> None:
    async with RunStream() as stream:
        with stream.hold():
            stream.start()
            await asyncio.sleep(0.01)
            stream.attach(Told(completed()))
        assert (await stream.result()).is_complete


async def test_an_ended_stream_takes_no_source() -> None:
    async with RunStream(Told(completed())) as stream:
        await stream.results()
        with pytest.raises(RuntimeError, match="hold"):
            stream.attach(Told(completed("b")))


async def test_other_values_that_a_handler_returns_are_ignored() -> None:
    first, _ = two_streams()
    async with RunStream(Told(first)) as stream:
        for nothing in (["an output"], [], {"id": "run_1"}, "text", b"bytes"):
            stream.on(ActionRequired, lambda _, nothing=nothing: nothing)
        stream.on(RunCreated, lambda _: Told(completed("b")))
        with pytest.raises(IncompleteStream):
            await stream.result()
        assert len(stream.latest) == 1
        assert stream.stats.failures == 0


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
    async with asyncio.timeout(10), RunStream(Told(first)) as stream:
        stream.on(ActionRequired, handler)
        assert (await stream.result()).status == "completed"


async def test_a_coroutine_that_brings_no_source_lets_the_stream_end() -> None:
    first, _ = two_streams()
    calls: list[ActionRequired] = []

    async def handler(signal: ActionRequired) -> None:
        await asyncio.sleep(0.01)
        calls.append(signal)

    async with RunStream(Told(first)) as stream:
        stream.on(ActionRequired, handler)
        with pytest.raises(IncompleteStream, match="waits for action"):
            await asyncio.wait_for(stream.result(), 1)
    assert len(calls) == 1


async def test_a_fast_source_leaves_turns_to_others() -> None:
    source = Told(completed(text="word " * 500))
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

    class Kept(Told):
        async def run(self, receiver: Receiver) -> None:
            receivers.append(receiver)
            await super().run(receiver)

    async with RunStream(Kept(completed()), Told(stays=True)) as stream:
        await stream.when(SourceEnded)
        receivers[0].feed(raw(completed("b")[0]))
        assert list(stream.latest) == ["run_a_0001"]


# leaving


async def test_leaving_cancels_sources_and_lets_handlers_finish() -> None:
    source = Told(completed(), stays=True)
    seen: list[str] = []

    async def handler(signal: RunCompleted) -> None:
        await asyncio.sleep(0.02)
        seen.append(signal.type)

    async with RunStream(source) as stream:
        stream.on(RunCompleted, handler)
        await stream.result()
    assert source.closed
    assert seen == ["run.completed"]


async def test_leaving_takes_no_longer_than_close_timeout() -> None:
    cancelled: list[bool] = []

    async def handler(signal: RunCompleted) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cancelled.append(True)

    started = time.monotonic()
    async with RunStream(Told(completed()), close_timeout=0.05) as stream:
        stream.on(RunCompleted, handler)
        await stream.result()
    assert time.monotonic() - started < 1
    assert cancelled == [True]


async def test_a_handler_of_action_required_that_never_returns_is_bounded_by_closing() -> None:
    first, _ = two_streams()

    async def never(signal: ActionRequired) -> None:
        await asyncio.sleep(10)

    started = time.monotonic()
    async with RunStream(Told(first), close_timeout=0.05) as stream:
        stream.on(ActionRequired, never)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await stream.result()
    assert time.monotonic() - started < 1


async def test_leaving_early_says_so_to_the_runs() -> None:
    signals: list[Any] = []
    async with RunStream(Told(cut_short(), stays=True)) as stream:
        stream.on((RunInterrupted, SourceEnded), signals.append)
        await stream.when(RunCreated)
    assert [(s.type, s.reason) for s in signals] == [
        ("run.interrupted", "the stream was closed"),
        ("source.ended", "the stream was closed"),
    ]
    with pytest.raises(IncompleteStream):
        await stream.result()
    await stream.aclose()


async def test_leaving_unread_reads_nothing() -> None:
    source = Told(completed())
    async with RunStream(source):
        pass
    assert source.fed == 0


async def test_cancelling_the_consumer_cancels_everything() -> None:
    source = Told(cut_short(), stays=True)
    cancelled: list[bool] = []

    async def handler(signal: RunCreated) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cancelled.append(True)

    async def consume() -> None:
        async with RunStream(source) as stream:
            stream.on(RunCreated, handler)
            await stream.result()

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.02)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 0.5
    assert source.closed
    assert cancelled == [True]


async def test_a_cancellation_while_leaving_still_leaves_nothing_behind() -> None:
    async def handler(signal: RunCompleted) -> None:
        await asyncio.sleep(10)

    async def consume() -> None:
        async with RunStream(Told(completed())) as stream:
            stream.on(RunCompleted, handler)
            await stream.result()

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_exception_in_the_body_passes_and_handlers_finish() -> None:
    seen: list[str] = []

    async def handler(signal: RunCompleted) -> None:
        await asyncio.sleep(0.01)
        seen.append(signal.type)

    async def body() -> None:
        async with RunStream(Told(completed())) as stream:
            stream.on(RunCompleted, handler)
            await stream.result()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await body()
    assert seen == ["run.completed"]


async def test_a_task_that_refuses_to_go_is_logged_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runstream.stream.subscriptions._LAST_CALL", 0.02)
    free = asyncio.Event()

    class Stubborn(Told):
        async def run(self, receiver: Receiver) -> None:
            while not free.is_set():
                try:
                    await free.wait()
                except asyncio.CancelledError:
                    continue

    with capture_logs() as logs:
        async with RunStream(Stubborn(name="mule"), close_timeout=0.02) as stream:
            stream.start()
            await asyncio.sleep(0)
    free.set()
    await asyncio.sleep(0.01)
    assert [(log["event"], log["tasks"]) for log in logs] == [("close_timed_out", ["runstream source mule"])]


async def test_a_handler_may_close_its_own_stream() -> None:
    stream = RunStream(Told(completed(), stays=True))

    async def handler(signal: RunCompleted) -> None:
        await stream.aclose()

    stream.on(RunCompleted, handler)
    await asyncio.wait_for(stream.results(), 1)
    await stream.aclose()


async def test_waiters_are_cancelled_cleanly() -> None:
    async with RunStream(Told(cut_short(), stays=True)) as stream:
        tasks = [
            asyncio.create_task(one)
            for one in (stream.result(), stream.results(), stream.when(RunCompleted), anext(aiter(stream)))
        ]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in done[:3]] == [asyncio.CancelledError] * 3
        assert not stream._waiters._waiting


# everything together


async def test_rx_operators_compose_over_the_stream() -> None:
    async with RunStream(Told(completed("a")), Told(failed("b"))) as stream:
        seen: list[str] = []
        ended: Any = ops.filter(lambda signal: isinstance(signal, RunCompleted | RunFailed))
        keys: Any = ops.map(lambda signal: signal.key)
        stream.signals.pipe(ended, keys, ops.to_list()).subscribe(seen.extend)
        await stream.results()
    assert sorted(seen) == ["run_a_0001/completed", "run_b_0001/failed"]


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
        runs = await asyncio.wait_for(stream.results(), 2)
    assert sorted(run.id for run in runs) == ["run_a_0001", "run_b_0001", "run_c_0001"]


async def test_two_hundred_sources_at_once() -> None:
    async with RunStream() as stream:
        for number in range(200):
            stream.attach(Told(completed(f"n{number}"), name=f"s{number}"))
        seen: list[str] = []

        async def handler(signal: RunCompleted) -> None:
            seen.append(signal.run_id)

        stream.on(RunCompleted, handler)
        runs = await stream.results()
    assert len(runs) == len(set(seen)) == 200
