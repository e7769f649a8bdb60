"""`RunStream.result`, `results` and `when`: what they return and raise."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream.errors import IncompleteStream, SeveralRuns, SourceFailed
from runstream.model.raw import RawEvent
from runstream.model.signals import (
    ActionRequired,
    MessageCompleted,
    MessageCreated,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunInterrupted,
    RunStatusChanged,
    SourceEnded,
    SourceError,
)
from runstream.sources.base import Receiver
from runstream.stream.run_stream import RunStream
from tests.stream.runs import ScriptedSource, completed, cut_short, failed, kinds, raw, two_streams

pytestmark = pytest.mark.usefixtures("_leaves_nothing_behind")


# results


async def test_result_is_the_terminal_run_and_a_failed_run_is_a_value() -> None:
    async with RunStream(ScriptedSource(failed())) as stream:
        run = await stream.result()
        assert run.is_failed
        assert await stream.result("run_a_0001") == run


async def test_result_returns_at_the_terminal_status_though_the_source_goes_on() -> None:
    async with RunStream(ScriptedSource(completed(), stays=True)) as stream:
        assert (await asyncio.wait_for(stream.result(), 25)).is_complete


async def test_several_runs_without_an_id_are_named() -> None:
    async with RunStream(
        ScriptedSource(cut_short("a"), stays=True), ScriptedSource(completed("b"), stays=True)
    ) as stream:
        with pytest.raises(SeveralRuns) as caught:
            await stream.result()
        assert caught.value.run_ids == ("run_a_0001", "run_b_0001")
        with pytest.raises(SeveralRuns):
            await stream.result()
        assert (await stream.result("run_b_0001")).is_complete


async def test_a_cut_off_stream_never_passes_for_success() -> None:
    async with RunStream(ScriptedSource(cut_short())) as stream:
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
    async with (
        asyncio.timeout(25),
        RunStream(
            ScriptedSource(completed("a")), ScriptedSource(cut_short("b")), ScriptedSource(cut_short())
        ) as stream,
    ):
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
        async with RunStream(ScriptedSource(cut_short(), error=error)) as stream:
            stream.on((RunInterrupted, SourceError, SourceEnded), signals.append)
            with pytest.raises(IncompleteStream, match="401") as caught:
                await stream.result()
            assert caught.value.__cause__ is error
    assert kinds(signals) == ["source.error", "run.interrupted", "source.ended"]
    assert (signals[1].reason, signals[1].attempts) == ("the server said 401", 3)
    assert [(log["event"], log["reason"]) for log in logs] == [("source_failed", "the server said 401")]


async def test_any_other_exception_of_a_source_is_its_failure() -> None:
    """Its message is not in the log."""
    with capture_logs() as logs:
        async with RunStream(ScriptedSource(cut_short(), error=ValueError("wss://user:password@host"))) as stream:
            with pytest.raises(IncompleteStream, match="ValueError") as caught:
                await stream.result()
            assert isinstance(caught.value.__cause__, SourceFailed)
            assert isinstance(caught.value.__cause__.__cause__, ValueError)
    assert [(log["event"], log["error"]) for log in logs] == [("source_failed", "ValueError")]
    assert "password" not in repr(logs)
    assert "password" not in str(caught.value)


async def test_a_source_that_cancels_itself_has_failed() -> None:
    with capture_logs():
        async with RunStream(ScriptedSource(cut_short(), error=asyncio.CancelledError())) as stream:
            with pytest.raises(IncompleteStream, match="cancelled"):
                await stream.result()


async def test_a_run_that_waits_for_action_at_the_end_is_incomplete() -> None:
    """The message of the exception contains it."""
    first, _ = two_streams()
    async with RunStream(ScriptedSource(first)) as stream:
        with pytest.raises(IncompleteStream, match="run_f_0001 waits for action"):
            await stream.result()
        with pytest.raises(IncompleteStream, match="waits for action"):
            await stream.results()


AG_UI = [
    {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
    {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "Sesame 4711"},
    {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"},
]
CHAT = {"id": "c1", "object": "chat.completion.chunk", "choices": [{"delta": {"content": "Sesame 4711"}}]}
UNUSED: list[tuple[str, list[Any], str | None, int, int, str]] = [
    ("another dialect", AG_UI, "responses", 0, 4, "4 events are unknown in the dialect of their source"),
    ("another protocol", [CHAT, CHAT], None, 2, 0, "2 inputs were rejected, the first: No dialect recognises it"),
    (
        "chunks",
        [b"data: " + json.dumps(AG_UI[2]).encode() + b"\n\n"],
        None,
        1,
        0,
        "1 input was rejected: Not JSON, but",
    ),
    ("garbage", ["Sesame 4711", 5], None, 2, 0, "2 inputs were rejected, the first: a int is no raw event"),
    ("a tuple", [({"content": "Sesame 4711"}, {})], "langgraph", 1, 0, "1 input was rejected: a tuple is no raw event"),
    ("mixed", ["Sesame 4711", *AG_UI], "responses", 1, 4, "4 events are unknown"),
]


@pytest.mark.parametrize(("items", "dialect", "rejected", "unknown", "text"), [one[1:] for one in UNUSED])
async def test_without_a_run_the_error_says_what_was_not_used(
    items: list[Any], dialect: str | None, rejected: int, unknown: int, text: str
) -> None:
    """The counts and the first reason are in the text and the attributes; the text of a message is not."""
    async with RunStream(items, dialect=dialect) as stream:
        for call in (stream.result(), stream.results(), stream.when("run.completed"), stream.result("run_9")):
            with pytest.raises(IncompleteStream) as caught:
                await call
            assert text in str(caught.value)
            assert (caught.value.rejected, caught.value.unknown) == (rejected, unknown)
            assert "Sesame" not in str(caught.value)


async def test_with_a_run_the_error_does_not_list_what_was_not_used() -> None:
    """The rejects beside a run that was cut off are not the reason of its end."""
    async with RunStream(ScriptedSource([raw(event) for event in cut_short()] + [RawEvent(data=b"?")])) as stream:
        with pytest.raises(IncompleteStream) as caught:
            await stream.result()
    assert "rejected" not in str(caught.value)
    assert (caught.value.rejected, caught.value.unknown) == (0, 0)


async def test_no_run_and_no_source_are_incomplete_too() -> None:
    async with RunStream(ScriptedSource()) as stream:
        with pytest.raises(IncompleteStream, match="no run was seen"):
            await stream.result()
        with pytest.raises(IncompleteStream, match="no run was seen"):
            await stream.results()
        with pytest.raises(IncompleteStream, match="run_9 is not known"):
            await stream.result("run_9")
    async with RunStream() as stream:
        with pytest.raises(IncompleteStream, match="no source"):
            await asyncio.wait_for(stream.result(), 25)


async def test_results_are_in_order_of_appearance() -> None:
    async with RunStream(ScriptedSource(completed("a")), ScriptedSource(failed("b"))) as stream:
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
        async with RunStream(ScriptedSource(completed()), ConnectFailed()) as stream:
            assert (await stream.result()).is_complete
            with pytest.raises(IncompleteStream, match="401"):
                await stream.results()


async def test_runs_are_told_apart_by_scope() -> None:
    async with RunStream() as stream:
        stream.attach(ScriptedSource(completed("a")), scope="one")
        stream.attach(ScriptedSource(failed("a")), scope="two")
        stream.attach(ScriptedSource(completed("b")))
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
    async with RunStream(ScriptedSource(completed(), stays=True)) as stream:
        first = await stream.when(RunCompleted)
        assert first.run_id == "run_a_0001"
        again = await asyncio.wait_for(stream.when(RunCompleted, run_id="run_a_0001"), 25)
        assert again is first
        assert (await stream.when("run.created")).type == "run.created"
        with pytest.raises(TimeoutError):
            await stream.when(MessageCompleted, timeout=0.01)


async def test_when_action_required_is_true_only_while_the_run_waits() -> None:
    first, second = two_streams()
    async with RunStream(ScriptedSource(first, stays=True)) as stream:
        await stream.when(ActionRequired)
        again = await stream.when(ActionRequired, run_id="run_f_0001")
        assert again.calls[0].name == "weather"
        stream.attach(ScriptedSource(second[:3], stays=True))
        await stream.when(RunStatusChanged, predicate=lambda s: s.after.value == "queued" and s.round == 1)
        with pytest.raises(TimeoutError):
            await stream.when(ActionRequired, timeout=0.01)
        assert (await stream.when(RunStatusChanged)).after.value == "in_progress"


async def test_when_a_run_was_interrupted_stays_true_until_it_is_heard_of_again() -> None:
    events = completed("c")
    async with RunStream(ScriptedSource(events[:5]), ScriptedSource(completed("x"), stays=True)) as stream:
        await stream.when(RunInterrupted)
        assert (await stream.when(RunInterrupted, run_id="run_c_0001")).reason == "the stream ended"
        stream.attach(ScriptedSource(events[5:8], stays=True))
        await stream.when(MessageCreated)
        with pytest.raises(TimeoutError):
            await stream.when(RunInterrupted, timeout=0.01)
        stream.attach(ScriptedSource(events[8:]))
        await stream.when(RunCompleted, run_id="run_c_0001")
        with pytest.raises(IncompleteStream, match="ended completed"):
            await stream.when(RunInterrupted, run_id="run_c_0001")


async def test_when_with_a_predicate_and_its_own_mistakes() -> None:
    async with RunStream(ScriptedSource(completed(), stays=True)) as stream:
        running = await stream.when(RunStatusChanged, predicate=lambda s: s.after.value == "in_progress")
        assert running.run_id == "run_a_0001"
        with pytest.raises(ZeroDivisionError):
            await stream.when(RunCreated, predicate=lambda s: 1 / 0 > 1)


async def test_when_ends_with_the_stream_or_the_run() -> None:
    async with RunStream(ScriptedSource(failed("a"))) as stream:
        with pytest.raises(IncompleteStream, match="ended failed"):
            await stream.when(RunCompleted, run_id="run_a_0001")
        with pytest.raises(IncompleteStream, match=r"no run\.action_required"):
            await stream.when(ActionRequired)
        assert (await stream.when(RunFailed)).run.is_failed


async def test_what_when_remembers_is_bounded() -> None:
    from runstream.model.limits import Limits

    sources = [ScriptedSource(completed(f"n{number}"), name=f"s{number}") for number in range(300)]
    async with RunStream(*sources, limits=Limits(max_finished_runs=10)) as stream:
        assert len(await stream.results()) == 300
        assert len(stream.latest) == 10
        assert len(stream._results._latest) <= 128
        with pytest.raises(IncompleteStream):
            await stream.when(RunCompleted, run_id="run_n0_0001")
