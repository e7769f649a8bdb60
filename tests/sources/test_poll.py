"""Polling: it ends when the run does, never before and never after; in virtual time."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream import (
    ActionRequired,
    IncompleteStream,
    PollSource,
    Reconnect,
    RunCompleted,
    RunInterrupted,
    RunPaused,
    RunStatus,
    RunStatusChanged,
    RunStream,
    Signal,
    SourceFailed,
    SourceResumed,
    TextDelta,
)
from runstream.dialects.assistants_wire import name_object
from runstream.model.raw import Answer
from tests.support.clock import VirtualClock
from tests.support.receiver import FakeReceiver
from tests.support.wire import message_creation, message_object, required_action, run_object, step_object, text_part

TERMINAL = [status for status in RunStatus if status.is_terminal]
WAITING = required_action({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}})
SURE = Reconnect(jitter=0.0)


def run(status: str = "in_progress", **fields: Any) -> dict[str, Any]:
    return run_object("run_1", status=status, **fields)


class Script:
    """Gives answers one after the other, the last one for ever; exceptions are raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def __call__(self) -> Any:
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Http(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__("token hush")
        self.status_code = status
        self.response = self
        self.headers = headers


class Response:
    def __init__(self, body: Any, status: int = 200, **headers: str) -> None:
        self.content = json.dumps(body).encode()
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


async def poll(retrieve: Callable[[], Any], receiver: FakeReceiver | None = None, **options: Any) -> VirtualClock:
    """Polls in virtual time, until it ends."""
    clock = VirtualClock()
    options = {"jitter": 0.0, "reconnect": SURE, "clock": clock, "sleep": clock.sleep, **options}
    async with asyncio.timeout(30):
        await PollSource(retrieve, **options).run(receiver or FakeReceiver())
    return clock


def names(receiver: FakeReceiver) -> list[str | None]:
    """The names of the events of the answers, as the dialect decodes them."""
    return [name_object(item.data) for item in receiver.items if isinstance(item, Answer)]


@pytest.mark.parametrize("status", TERMINAL)
async def test_it_ends_on_every_end_of_the_run(status: RunStatus) -> None:
    """Not on `completed` alone, as the example that polls for ever does."""
    retrieve, receiver = Script(run("queued"), run(), run(status.value)), FakeReceiver()
    await poll(retrieve, receiver)
    assert retrieve.calls == 3
    assert names(receiver) == ["thread.run.queued", "thread.run.in_progress", f"thread.run.{status.value}"]
    assert receiver.log == [("connected", 0)]


async def test_pauses_grow_while_nothing_changes_and_start_again_with_a_change() -> None:
    """Up to the maximum. The run is told each time, and so is heard of; what else is unchanged is not told again."""
    retrieve, receiver = Script(*[run("queued")] * 6, run(), run(), run("completed")), FakeReceiver()
    clock = await poll(retrieve, receiver, interval=1.0, max_interval=4.0, factor=2.0)
    assert clock.slept == [1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 1.0, 2.0]
    assert names(receiver) == ["thread.run.queued"] * 6 + ["thread.run.in_progress"] * 2 + ["thread.run.completed"]
    message = message_object("msg_1", run(), status="completed")
    script, receiver = Script(*[[run(), message]] * 4, run("completed")), FakeReceiver()
    assert (await poll(script, receiver, factor=2.0)).slept == [1.0, 2.0, 4.0, 8.0]
    assert names(receiver).count("thread.message.completed") == 1


async def test_jitter_shortens_pauses_by_chance_and_within_its_share() -> None:
    """So that many runs started together are not polled together."""
    clock = await poll(Script(*[run()] * 200, run("failed")), interval=1.0, max_interval=1.0, jitter=0.5)
    assert all(0.5 <= pause <= 1.0 for pause in clock.slept)
    assert len(set(clock.slept)) > 100


async def test_the_server_says_when_to_ask_again() -> None:
    """`openai-poll-after-ms` replaces our pause, within bounds; `Retry-After` only lengthens it."""
    script = Script(
        Response(run("queued"), openai_poll_after_ms="5000"),
        Response(run("queued"), openai_poll_after_ms="0"),
        Response(run("queued"), openai_poll_after_ms="999999999"),
        Response(run("in_progress"), retry_after="30"),
        Response(run("cancelling"), retry_after="0"),
        Response(run("cancelled")),
    )
    clock = await poll(script)
    assert clock.slept == [5.0, 0.05, 300.0, 30.0, 1.0]


async def test_an_unknown_status_is_polled_on_slowly() -> None:
    """It may be followed by any other; nothing is known of how long it lasts."""
    receiver = FakeReceiver()
    clock = await poll(Script(run("generating"), run("dreaming"), run(), run("completed")), receiver, max_interval=20.0)
    assert clock.slept == [20.0, 20.0, 1.0]
    assert names(receiver)[:2] == ["thread.run", "thread.run"]


async def test_errors_that_pass_are_tried_again_slower_and_slower() -> None:
    """The count starts anew with an answer."""
    receiver = FakeReceiver()
    script = Script(
        Http(429, **{"retry-after": "7"}), Http(500), TimeoutError(), run(), ConnectionResetError(), run("completed")
    )  # fmt: skip
    clock = await poll(script, receiver)
    assert clock.slept == [7.0, 1.0, 2.0, 1.0, 0.5]
    assert receiver.log == [
        ("disconnected", 1), ("disconnected", 2), ("disconnected", 3), ("connected", 3),
        ("disconnected", 1), ("connected", 1),
    ]  # fmt: skip
    assert receiver.reasons[0] == "poll: HTTP 429 (Http)"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
async def test_errors_that_stay_are_final_at_once(status: int) -> None:
    """And say what it was, without the words of whoever raised it."""
    script = Script(Http(status))
    with pytest.raises(SourceFailed, match=f"HTTP {status}") as failed:
        await poll(script)
    assert script.calls == 1
    assert "hush" not in failed.value.reason
    assert isinstance(failed.value.__cause__, Http)


async def test_a_401_after_success_is_asked_once_more() -> None:
    """A token may have expired, and the client gets another; then it is final, and says so."""
    script = Script(run(), Http(401), run("queued"), Http(401), Http(401))
    with pytest.raises(SourceFailed, match="asked once more") as failed:
        await poll(script)
    assert script.calls == 5
    assert failed.value.attempts == 2
    script = Script(run(), Http(401))
    with pytest.raises(SourceFailed, match="HTTP 401") as failed:
        await poll(script, reconnect=None)
    assert "once more" not in failed.value.reason  # nobody asked again
    assert script.calls == 2


async def test_it_is_given_up_after_the_policy_s_attempts() -> None:
    """A server that answers nothing but errors does not hold us for ever."""
    script = Script(run(), Http(503))
    with pytest.raises(SourceFailed, match="HTTP 503"):
        await poll(script, reconnect=Reconnect(max_attempts=3))
    assert script.calls == 1 + 4
    with pytest.raises(SourceFailed):
        await poll(script, reconnect=None)


async def test_answers_that_are_no_run_are_rejects_and_end_it_in_the_end() -> None:
    """What came goes to the rejects; the run is asked for again, but not for ever."""
    receiver = FakeReceiver()
    with pytest.raises(SourceFailed, match="no run with an id and a status"):
        await poll(Script({"error": {"message": "hush"}}), receiver, reconnect=Reconnect(max_attempts=2))
    assert len(receiver.items) == 1
    for answer, words in ((None, "no run with"), (7, "a int is no run"), (b"<html>hush", "no JSON object")):
        with pytest.raises(SourceFailed, match=words) as failed:
            await poll(Script(answer), reconnect=Reconnect(max_attempts=2))
        assert "hush" not in str(failed.value)


async def test_no_content_means_no_change() -> None:
    """304 and `None` after a run: it is as it was."""
    receiver = FakeReceiver()
    clock = await poll(Script(run(), None, Response(run(), 304), run(), run("completed")), receiver, factor=2.0)
    assert len(receiver.items) == 3
    assert clock.slept == [1.0, 2.0, 4.0, 8.0]


async def test_the_deadline_ends_it_between_calls_and_within_one() -> None:
    """To the second; the run is told as interrupted by whoever holds the source."""
    clock = VirtualClock()
    source = PollSource(Script(run()), deadline=10.0, jitter=0.0, clock=clock, sleep=clock.sleep)
    with pytest.raises(SourceFailed, match="had not ended after 10 seconds"):
        await source.run(FakeReceiver())
    assert clock.now == 10.0

    async def never() -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        with pytest.raises(SourceFailed, match="had not ended after"):
            await PollSource(never, deadline=0.05).run(FakeReceiver())


async def test_a_call_that_takes_too_long_is_tried_again() -> None:
    """Nothing is polled for ever because one call never came back."""
    calls = []

    async def retrieve() -> Any:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return run("completed")

    receiver = FakeReceiver()
    await poll(retrieve, receiver, call_timeout=0.05)
    assert receiver.reasons == ["poll: no answer in time"]
    assert len(calls) == 2


async def test_steps_and_messages_come_with_it_and_once_more_after_the_end() -> None:
    """They may have been asked for before the run was; a failure of that last look is none of the run's."""

    def answer(status: str, text: str) -> list[dict[str, Any]]:
        message = message_object("msg_1", run(), content=[text_part(text)])
        return [message, run(status), step_object("step_1", run(), message_creation("msg_1"))]

    script = Script(answer("in_progress", "Hel"), answer("completed", "Hello"), answer("completed", "Hello!"))
    async with asyncio.timeout(30):
        clock = VirtualClock()
        stream = RunStream(PollSource(script, clock=clock, sleep=clock.sleep), on_subscriber_error="raise")
        seen: list[Signal] = []
        stream.signals.subscribe(seen.append)
        async with stream:
            assert (await stream.result()).is_complete
            async for _ in stream:
                pass
            assert stream.latest["run_1"].text == "Hello!"
    assert [(item.offset, item.delta) for item in seen if isinstance(item, TextDelta)] == [
        (0, "Hel"), (3, "lo"), (5, "!"),
    ]  # fmt: skip
    assert script.calls == 3
    await poll(Script(answer("completed", "Hello"), Http(500)))


async def told(*answers: Any, **options: Any) -> tuple[list[Signal], RunStream]:
    """The signals of a whole stream that polls."""
    clock = VirtualClock()
    source = PollSource(Script(*answers), clock=clock, sleep=clock.sleep, **options)
    stream = RunStream(source, on_subscriber_error="raise")
    seen: list[Signal] = []
    stream.signals.subscribe(seen.append)
    async with asyncio.timeout(30), stream:
        async for _ in stream:
            pass
    return seen, stream


async def test_a_run_that_waits_is_polled_on() -> None:
    """Its outputs are submitted elsewhere, and the run goes on; what it asked for was told once."""
    answers = [run("queued"), *[run("requires_action", required_action=WAITING)] * 3, run("queued", started_at=5)]
    seen, stream = await told(*answers, run("in_progress", started_at=6), run("completed", started_at=6))
    assert [type(item) for item in seen if isinstance(item, ActionRequired | RunPaused | RunCompleted)] == [
        ActionRequired, RunCompleted,
    ]  # fmt: skip
    assert (await stream.result()).is_complete


async def test_a_run_that_waits_may_end_the_source() -> None:
    """Then it is paused, which is no end of the run."""
    seen, stream = await told(run(), run("requires_action", required_action=WAITING), stop_on_action=True)
    assert sum(isinstance(item, RunPaused) for item in seen) == 1
    with pytest.raises(IncompleteStream):
        await stream.result()


async def test_an_outage_is_told_and_survived_and_a_failure_interrupts_the_run() -> None:
    """As with any other source."""
    seen, stream = await told(run(), Http(500), run("completed"))
    assert sum(isinstance(item, SourceResumed) for item in seen) == 1
    assert (await stream.result()).is_complete
    seen, stream = await told(run(), Http(404))
    assert [item.reason for item in seen if isinstance(item, RunInterrupted)] == ["poll: HTTP 404 (Http)"]
    with pytest.raises(IncompleteStream) as incomplete:
        await stream.result()
    assert isinstance(incomplete.value.__cause__, SourceFailed)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["queued", "in_progress", "cancelling", "generating", "500", "timeout", "none", "<"])),
    st.sampled_from([status.value for status in TERMINAL]),
)
def test_whatever_lies_between_it_ends_as_the_run_does(steps: list[str], end: str) -> None:
    """Any order of statuses, outages and nonsense, as long as the policy lets it go on: one end, the right one."""
    odd = {"500": Http(500), "timeout": TimeoutError(), "none": None, "<": b"<html>"}
    answers = [odd[step] if step in odd else run(step) for step in steps]
    seen, stream = asyncio.run(told(run("queued"), *answers, run(end), reconnect=Reconnect(max_attempts=None)))
    states = [state.status.value for state in stream.latest.values()]
    assert states == [end]
    keys = [item.key for item in seen]
    assert len(keys) == len(set(keys))
    assert not any(isinstance(item, RunStatusChanged) and item.after.is_terminal for item in seen)


async def test_a_sync_function_runs_beside_the_loop() -> None:
    """It may block; the loop goes on."""
    answers: Iterable[Any] = iter([run(), run("completed")])
    receiver = FakeReceiver()
    await poll(lambda: next(iter(answers)), receiver)
    assert names(receiver) == ["thread.run.in_progress", "thread.run.completed"]


async def test_removing_it_leaves_nothing_behind() -> None:
    """In the middle of a call and of a pause."""

    async def never() -> None:
        await asyncio.Event().wait()

    for retrieve in (never, Script(run())):
        before = asyncio.all_tasks()
        async with asyncio.timeout(30), RunStream(PollSource(retrieve)) as stream:
            stream.start()
            await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == before
    gc.collect()


@pytest.mark.parametrize(
    "options",
    [
        {"interval": 0},
        {"interval": float("nan")},
        {"interval": 20.0},
        {"max_interval": float("inf")},
        {"factor": 0.5},
        {"jitter": 1.5},
        {"deadline": 0},
        {"call_timeout": -1.0},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """Before anything is polled."""
    with pytest.raises(ValueError, match="must be"):
        PollSource(Script(), **options)


def test_a_run_instead_of_a_function_is_refused() -> None:
    """The commonest mistake, and what to do instead."""
    with pytest.raises(TypeError, match="a function that gives the run"):
        PollSource(run())  # type: ignore[arg-type]
    assert repr(PollSource(Script(), name="mine")) == "PollSource('mine')"
