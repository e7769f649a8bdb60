"""The options of `RunStream.on`: concurrency, retries, time-outs, and what is called after a failure."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream import (
    ActionRequired,
    IncompleteStream,
    MemoryStore,
    RawEvent,
    Retry,
    RunCompleted,
    RunCreated,
    RunSignal,
    RunStream,
    SlowConsumer,
    SourceError,
    SubscriberFailed,
    SubscribersFailed,
    handles,
)
from runstream.testing import Conversation, script
from tests.stream.runs import ScriptedSource, completed, raw, two_streams
from tests.support.clock import virtual_time

pytestmark = pytest.mark.usefixtures("_leaves_nothing_behind")


def many(count: int) -> list[Any]:
    scripts = [script(f"run_{number}").start().say("Hello.").end() for number in range(count)]
    return Conversation(scripts).raw_events(interleaved=True)


def server_error(data: Any) -> RawEvent:
    return RawEvent("error", json.dumps(data).encode())


# concurrency


@pytest.mark.parametrize("stored", [False, True])
async def test_runs_do_not_wait_for_each_other(stored: bool) -> None:
    """Twenty runs with a tool of 0.2 s take 0.2 s, and not four."""
    done: list[str] = []

    async def tool(signal: RunCreated) -> None:
        await asyncio.sleep(0.2)
        done.append(signal.run_id)

    store = MemoryStore() if stored else None
    with virtual_time() as passed:
        async with RunStream(many(20), store=store) as stream:
            stream.on(RunCreated, tool)
            await stream.results()
            assert sorted(done) == sorted(f"run_{number}" for number in range(20))
            assert passed() < 0.3


@pytest.mark.parametrize(("concurrency", "seconds"), [(1, 4.0), (5, 0.8), (20, 0.2)])
async def test_concurrency_is_a_bound(concurrency: int, seconds: float) -> None:
    running, most = 0, 0

    async def tool(signal: RunCreated) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.2)
        running -= 1

    with virtual_time() as passed:
        async with RunStream(many(20)) as stream:
            stream.on(RunCreated, tool, concurrency=concurrency)
            await stream.results()
            assert most == concurrency
            assert passed() == pytest.approx(seconds, abs=0.05)


async def test_signals_of_one_run_stay_in_order() -> None:
    """Each signal of a run is processed after the one before it has returned, whatever other runs do."""
    seen: dict[str, list[str]] = {}
    active: Counter[str] = Counter()

    async def handler(signal: RunSignal) -> None:
        assert active[signal.run_id] == 0
        active[signal.run_id] += 1
        await asyncio.sleep(0.01 * (len(seen) % 3))
        seen.setdefault(signal.run_id, []).append(signal.key)
        active[signal.run_id] -= 1

    told: dict[str, list[str]] = {}
    with virtual_time():
        async with RunStream(many(6)) as stream:
            stream.on(("run.created", "message.created", "message.completed", "run.completed"), handler)
            stream.on(
                ("run.created", "message.created", "message.completed", "run.completed"),
                lambda signal: told.setdefault(signal.run_id, []).append(signal.key),
            )
            await stream.results()
    assert seen == told


async def test_with_one_call_at_a_time_the_order_is_that_of_arrival() -> None:
    seen, told = [], []

    async def handler(signal: RunSignal) -> None:
        await asyncio.sleep(0.01 if signal.run_id == "run_1" else 0)
        seen.append(signal.key)

    with virtual_time():
        async with RunStream(many(4)) as stream:
            stream.on(("run.created", "run.completed"), handler, concurrency=1)
            stream.on(("run.created", "run.completed"), lambda signal: told.append(signal.key))
            await stream.results()
    assert seen == told


# retries and time-outs


async def test_a_call_that_raised_is_repeated() -> None:
    """With growing delays; further signals of the run wait, those of others do not."""
    calls: list[tuple[str, float]] = []

    with virtual_time() as passed, capture_logs() as logs:

        async def handler(signal: RunSignal) -> None:
            calls.append((f"{signal.run_id} {signal.type}", round(passed(), 2)))
            if signal.run_id == "run_0" and len([one for one in calls if one[0] == "run_0 run.created"]) < 3:
                raise LookupError

        async with RunStream(many(2)) as stream:
            stream.on(RunCreated | RunCompleted, handler, retry=Retry(retries=2, initial=1, factor=3))
            await stream.results()
    assert [call for call in calls if call[0].startswith("run_0")] == [
        ("run_0 run.created", 0),
        ("run_0 run.created", 1),
        ("run_0 run.created", 4),
        ("run_0 run.completed", 4),
    ]
    assert [call for call in calls if call[0].startswith("run_1")] == [
        ("run_1 run.created", 0),
        ("run_1 run.completed", 0),
    ]
    assert logs == []
    assert stream.stats.failures == 0


async def test_after_the_last_retry_it_has_failed() -> None:
    with virtual_time(), capture_logs() as logs:

        async def handler(signal: RunCompleted) -> None:
            raise LookupError("secret words")

        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCompleted, handler, retry=2)
            with pytest.raises(
                SubscribersFailed, match=r"handler failed: LookupError at .*, after 3 attempts"
            ) as raised:
                await stream.results()
    assert [failure.attempts for failure in raised.value.failures] == [3]
    assert [log["event"] for log in logs] == ["subscriber_failed"]
    assert "secret" not in str(raised.value) + str(logs)


async def test_only_the_named_exceptions_are_retried() -> None:
    calls = 0

    async def handler(signal: RunCompleted) -> None:
        nonlocal calls
        calls += 1
        raise LookupError

    with capture_logs():
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCompleted, handler, retry=Retry(retries=5, exceptions=(OSError, TimeoutError)))
            with pytest.raises(SubscribersFailed):
                await stream.results()
    assert calls == 1


async def test_a_call_is_cancelled_after_its_timeout() -> None:
    """It counts as failed with `TimeoutError`; a later call may succeed."""
    calls, cancelled = 0, 0

    async def handler(signal: RunCompleted) -> None:
        nonlocal calls, cancelled
        calls += 1
        try:
            await asyncio.sleep(10 if calls < 3 else 0.1)
        except asyncio.CancelledError:
            cancelled += 1
            raise

    with virtual_time() as passed:
        async with RunStream(ScriptedSource(completed()), close_timeout=60) as stream:
            stream.on(RunCompleted, handler, timeout=2, retry=Retry(initial=1, factor=1))
            await stream.results()
        assert passed() == pytest.approx(2 + 1 + 2 + 1 + 0.1, abs=0.05)
    assert (calls, cancelled) == (3, 2)
    calls = -10
    with virtual_time(), capture_logs():
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCompleted, handler, timeout=2)
            with pytest.raises(SubscribersFailed, match="TimeoutError") as raised:
                await stream.results()
    assert str(raised.value.failures[0].error) == "it did not return within 2 s"


async def test_a_timeout_of_the_handlers_own_keeps_its_text() -> None:
    async def handler(signal: RunCompleted) -> None:
        raise TimeoutError("of the database")

    failures: list[SubscriberFailed] = []
    with capture_logs():
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCompleted, handler, timeout=2, on_failed=failures.append)
            await stream.results()
    assert [str(failure.error) for failure in failures] == ["of the database"]


async def test_leaving_cancels_a_delay() -> None:
    """A handler between two calls is not waited for beyond `close_timeout`, and its signal was not delivered."""
    store = MemoryStore()

    async def handler(signal: RunCompleted) -> None:
        raise LookupError

    with virtual_time() as passed:
        async with RunStream(ScriptedSource(completed()), store=store, close_timeout=1) as stream:
            stream.on(RunCompleted, handler, retry=Retry(initial=500, maximum=500))
            await stream.result()
        assert passed() < 3
    again: list[str] = []
    async with RunStream(ScriptedSource(completed()), store=store) as stream:
        stream.on(RunCompleted, lambda signal: again.append(signal.key))
        await stream.results()
    assert len(again) == 1


# on_failed


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("hook", ["plain", "coroutine"])
async def test_on_failed_may_answer_in_place_of_the_handler(asynchronous: bool, hook: str) -> None:
    """It submits the failure as the tool's output, and the run goes on: that is success."""
    first, second = two_streams()
    failures: list[SubscriberFailed] = []

    def fails(signal: ActionRequired) -> None:
        raise LookupError("secret words")

    async def fails_later(signal: ActionRequired) -> None:
        raise LookupError("secret words")

    def answer(failure: SubscriberFailed) -> Any:
        failures.append(failure)
        return ScriptedSource(second)

    async def answer_later(failure: SubscriberFailed) -> Any:
        await asyncio.sleep(0.01)
        return answer(failure)

    with capture_logs() as logs:
        async with RunStream(ScriptedSource(first)) as stream:
            stream.on(
                ActionRequired,
                fails_later if asynchronous else fails,
                on_failed=answer_later if hook == "coroutine" else answer,
            )
            (run,) = await stream.results()
    assert run.is_complete
    assert [type(failure.value) for failure in failures] == [ActionRequired]
    assert [str(failure.error) for failure in failures] == ["secret words"]
    assert [log["event"] for log in logs] == ["subscriber_failed"]
    assert stream.stats.failures == 1


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_on_failed_that_raises_has_processed_nothing(asynchronous: bool) -> None:
    def fails(signal: RunCompleted) -> None:
        raise LookupError

    async def fails_later(signal: RunCompleted) -> None:
        raise LookupError

    def worse(failure: SubscriberFailed) -> None:
        raise ZeroDivisionError

    with capture_logs() as logs:
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(RunCompleted, fails_later if asynchronous else fails, on_failed=worse)
            with pytest.raises(SubscribersFailed) as raised:
                await stream.results()
    assert {type(failure.error) for failure in raised.value.failures} == {LookupError, ZeroDivisionError}
    assert [log["event"] for log in logs] == ["subscriber_failed"] * 2


@pytest.mark.parametrize("handled", [False, True])
@pytest.mark.parametrize("hook", ["plain", "coroutine"])
async def test_a_handler_that_was_ended_for_being_slow_is_no_success(handled: bool, hook: str) -> None:
    failures: list[SubscriberFailed] = []

    async def never(signal: RunSignal) -> None:
        await asyncio.Event().wait()

    async def note_later(failure: SubscriberFailed) -> None:
        await asyncio.sleep(0)
        failures.append(failure)

    note = failures.append if hook == "plain" else note_later
    with capture_logs() as logs:
        async with RunStream(ScriptedSource(completed()), buffer=2, close_timeout=0.05) as stream:
            stream.on(RunSignal, never, policy="error", on_failed=note if handled else None)
            if handled:
                await stream.results()
            else:
                with pytest.raises(SubscribersFailed, match="never was ended: its buffer of 2 overflowed") as raised:
                    await stream.results()
                failures += raised.value.failures
    assert [type(failure.error) for failure in failures] == [SlowConsumer]
    assert [failure.value for failure in failures] == [None]
    assert [log["event"] for log in logs] == ["slow_consumer"]


async def test_a_stream_passes_every_failure_to_its_hook() -> None:
    """Handlers, Rx subscribers, slow ones; beside the log. A hook that raises harms nobody."""
    failures: list[SubscriberFailed] = []

    def hook(failure: SubscriberFailed) -> None:
        failures.append(failure)
        raise ZeroDivisionError

    def fails(item: Any) -> None:
        raise LookupError

    async def never(signal: RunSignal) -> None:
        await asyncio.Event().wait()

    with capture_logs() as logs:
        async with RunStream(
            ScriptedSource(completed()), on_subscriber_error=hook, buffer=2, close_timeout=0.05
        ) as stream:
            stream.on(RunCompleted, fails)
            stream.on(RunCreated, fails, on_failed=lambda failure: None)
            stream.on(RunSignal, never, policy="error")
            stream.runs.subscribe(fails)
            assert (await stream.result()).is_complete
    found = Counter((failure.channel, type(failure.error).__name__) for failure in failures)
    assert found["signals", "LookupError"] == 2
    assert found["signals", "SlowConsumer"] == 1
    assert found["runs", "LookupError"] > 3
    assert stream.stats.failures == 2 * len(failures) == len(logs)


async def test_an_iterator_that_received_its_error_is_no_failure_of_the_results() -> None:
    """Its reader knows; an iterator that nobody reads on is named."""
    with capture_logs():
        async with RunStream(ScriptedSource(completed()), buffer=2, wait_timeout=0.03) as stream:
            steps = stream.iter()
            with pytest.raises(SubscribersFailed, match="async for in"):
                await stream.results()
            with pytest.raises(SlowConsumer):
                [signal async for signal in steps]
            assert len(await stream.results()) == 1


async def test_methods_have_options_too() -> None:
    class Agent:
        def __init__(self) -> None:
            self.calls = 0

        @handles(RunCompleted, retry=Retry(retries=1, initial=0), timeout=5, concurrency=2)
        async def bill(self, signal: RunCompleted) -> None:
            self.calls += 1
            raise LookupError

    failures: list[SubscriberFailed] = []
    agent = Agent()
    with capture_logs():
        async with RunStream(ScriptedSource(completed())) as stream:
            stream.on(agent, on_failed=failures.append)
            with pytest.raises(TypeError, match="@handles"):
                stream.on(agent, retry=1)  # type: ignore[call-overload]
            await stream.results()
    assert agent.calls == 2
    assert [failure.attempts for failure in failures] == [2]


def test_wrong_options_are_refused() -> None:
    async def handler(signal: Any) -> None: ...

    stream = RunStream()
    for options in ({"concurrency": 0}, {"timeout": 0}, {"timeout": float("nan")}, {"retry": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            stream.on(RunCompleted, handler, **options)  # type: ignore[arg-type]
    for options in ({"retry": "twice"}, {"on_failed": 3}):
        with pytest.raises(TypeError, match=next(iter(options))):
            stream.on(RunCompleted, handler, **options)  # type: ignore[arg-type]
    for options in ({"concurrency": 1}, {"timeout": 1}, {"retry": 1}):
        with pytest.raises(TypeError, match="coroutine functions"):
            stream.on(RunCompleted, print, **options)  # type: ignore[arg-type]
    for wrong in ({"retries": -1}, {"initial": -1}, {"factor": 0.5}, {"maximum": 0.01}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Retry(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="exceptions"):
        Retry(exceptions=LookupError)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="on_subscriber_error"):
        RunStream(on_subscriber_error=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("initial", [0, 0.1, 5])
def test_delays_grow_up_to_the_maximum(initial: float) -> None:
    retry = Retry(retries=5000, initial=initial, factor=2, maximum=8)
    assert [retry.delay(attempt) for attempt in (1, 2, 3, 5000)] == [
        min(initial * 2**power, 8 if initial else 0) for power in (0, 1, 2, 20)
    ]


# what an incomplete stream says


async def test_an_incomplete_stream_names_the_servers_error() -> None:
    """Its code and its message."""
    events = completed()[:3]
    error = {"error": {"code": "insufficient_quota", "message": "Out of\nquota", "type": "tokens"}}
    async with RunStream([*[raw(event) for event in events], server_error(error)]) as stream:
        errors: list[SourceError] = []
        stream.on(SourceError, errors.append)
        with pytest.raises(
            IncompleteStream, match=r"the server sent an error: insufficient_quota \(Out of quota\); run_a_0001"
        ) as raised:
            await stream.result()
    assert raised.value.server_error is raised.value.__cause__ is not None
    assert raised.value.server_error.error == errors[0].error


@pytest.mark.parametrize("code", ["no name at all, but the secret words", "", "x" * 100])
async def test_an_odd_code_is_not_shown(code: str) -> None:
    async with RunStream([server_error({"error": {"code": code, "message": "text"}})]) as stream:
        with pytest.raises(
            IncompleteStream, match=r"the server sent an error: without a code \(text\); no run was seen"
        ):
            await stream.result()


async def test_an_error_of_another_source_is_not_named() -> None:
    error = server_error({"error": {"code": "insufficient_quota"}})
    async with RunStream([raw(event) for event in completed()[:3]]) as stream:
        stream.attach([error], name="other")
        with pytest.raises(IncompleteStream) as raised:
            await stream.result("run_a_0001")
    assert raised.value.server_error is None


async def test_an_incomplete_stream_names_all_causes() -> None:
    """The handler's exception is the cause, before the failure of the source."""
    first, _ = two_streams()

    async def answer(signal: ActionRequired) -> None:
        raise LookupError("secret words")

    with capture_logs():
        async with RunStream(ScriptedSource(first, error=OSError("secret words"))) as stream:
            stream.on(ActionRequired, answer)
            with pytest.raises(IncompleteStream) as raised:
                await stream.result()
    text = str(raised.value)
    assert text.startswith("a source failed: OSError in the source; ")
    assert "answer failed: LookupError at " in text
    assert text.endswith("waits for action")
    assert "secret" not in text
    assert isinstance(raised.value.__cause__, SubscriberFailed)
    assert isinstance(raised.value.__cause__.__cause__, LookupError)
    assert raised.value.source_failure is not None
