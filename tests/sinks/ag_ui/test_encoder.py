"""The encoder of AG-UI streams, signal by signal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.fold import fold
from runstream.model.actions import UnknownAction
from runstream.model.common import LastError
from runstream.model.message import Message
from runstream.model.run import Run, RunStatus
from runstream.model.signals import (
    ActionRequired,
    ActivityChanged,
    CustomReceived,
    DocumentChanged,
    MessageCompleted,
    MessageCreated,
    RefusalDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunIncomplete,
    RunInterrupted,
    RunStatusChanged,
    SourceEnded,
    StepCompleted,
    StepCreated,
    StepFailed,
    TextDelta,
    TextReplaced,
)
from runstream.model.step import LabelDetails, RunStep, StepStatus, SubagentDetails
from runstream.sinks.ag_ui.encoder import AgUiEncoder
from runstream.sinks.ag_ui.events import sse_block
from runstream.testing import events_of
from tests.sinks.ag_ui.encoding import read_back

AT = ("run_1", "thread_1", "", 1_790_000_000.0)


def encoder(**options: Any) -> AgUiEncoder:
    """An encoder for one front end."""
    return AgUiEncoder("thread-1", "run-1", **options)


def encode(*signals: Any, state: RunState | None = None, **options: Any) -> list[dict[str, Any]]:
    """The whole stream of some signals, without its start; our own reader finds no fault with it."""
    made = encoder(**options)
    events = [event for signal in signals for event in made.encode(signal, state)] + made.finish()
    read_back(events)
    assert not made.finish()
    return events[1:]


def ended(kind: Any = RunCompleted, status: str = "completed", **fields: Any) -> Any:
    """The end of the run."""
    return kind(*AT, Run(id="run_1", status=RunStatus(status), **fields), None)


def said(id: str, delta: str, *, part: int = 0, offset: int = 0, path: tuple[str, ...] = ()) -> TextDelta:
    """Text of a message."""
    return TextDelta(*AT, id, part, offset, delta, path=path)


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def snapshots(events: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The contents of each snapshot of the messages, by id."""
    return [
        {message["id"]: message.get("content", "") for message in event["messages"]}
        for event in events
        if event["type"] == "MESSAGES_SNAPSHOT"
    ]


def test_texts_may_interleave() -> None:
    """Each is opened once, in the order of creation, and closed at the end of the run."""
    created = [MessageCreated(*AT, Message(id=id, role="assistant")) for id in ("m1", "m2")]
    events = encode(*created, said("m2", "two"), said("m1", "one"), said("m2", "!", offset=3), ended())
    opened = [event["messageId"] for event in events if event["type"] == "TEXT_MESSAGE_START"]
    assert opened == ["m1", "m2"]
    assert names(events)[-3:] == ["TEXT_MESSAGE_END", "TEXT_MESSAGE_END", "RUN_FINISHED"]


def test_a_message_without_text_is_not_sent() -> None:
    """Nor one that is not the assistant's."""
    empty = Message(id="m1", role="assistant", status="completed")  # type: ignore[arg-type]
    other = Message(id="m2", role="system")
    events = encode(
        MessageCreated(*AT, empty),
        MessageCompleted(*AT, empty),
        MessageCreated(*AT, other),
        said("m2", "secret"),
        ended(),
    )
    assert names(events) == ["RUN_FINISHED"]


def test_text_that_was_sent_is_not_sent_again() -> None:
    """Signals may be repeated after a restart."""
    events = encode(said("m1", "It is"), said("m1", "It is"), said("m1", "is sunny", offset=3), ended())
    assert [event["delta"] for event in events if "delta" in event] == ["It is", " sunny"]


def test_text_that_is_missing_is_taken_from_the_state() -> None:
    """And without one it is left out."""
    (state,) = fold(events_of("It is sunny.")).runs
    (message,) = state.messages
    signal = TextDelta("run_1", None, "", 1.0, message.id, 0, 6, "sunny.")
    assert [event["delta"] for event in encode(signal, ended(), state=state) if "delta" in event] == ["It is sunny."]
    assert [event["delta"] for event in encode(signal, ended()) if "delta" in event] == ["sunny."]


def test_a_replaced_text_is_a_snapshot_of_all_messages() -> None:
    """With those of the front end; text that follows is appended."""
    history = [{"id": "u1", "role": "user", "content": "Hello"}]
    replaced = TextReplaced(*AT, "m1", 0, "It rains", 1)
    events = encode(said("m1", "It is"), replaced, said("m1", ".", offset=8), ended(), messages=history)
    assert snapshots(events) == [{"u1": "Hello", "m1": "It rains"}]
    assert [event["delta"] for event in events if "delta" in event] == ["It is", "."]


def test_a_replacement_that_only_adds_is_appended() -> None:
    """No snapshot is needed."""
    events = encode(said("m1", "It is"), TextReplaced(*AT, "m1", 0, "It is sunny", 1), ended())
    assert [event["delta"] for event in events if "delta" in event] == ["It is", " sunny"]
    assert not snapshots(events)


def test_text_of_an_earlier_part_is_sent_with_the_end_of_its_message() -> None:
    """One snapshot, however many pieces there are."""
    parts = [said("m1", "A"), said("m1", "C", part=1), said("m1", "B", offset=1), said("m1", "b", offset=2)]
    done = MessageCompleted(*AT, Message(id="m1", role="assistant"))
    assert snapshots(encode(*parts, done, ended())) == [{"m1": "ABbC"}]
    assert snapshots(encode(*parts, ended(RunFailed, "failed"))) == [{"m1": "ABbC"}]


def test_a_refusal_is_a_message_of_its_own() -> None:
    """Its metadata says what it is."""
    events = encode(RefusalDelta(*AT, "m1", 0, 0, "I can't."), ended())
    start = events[0]
    assert (start["messageId"], start["metadata"]) == ("m1/refusal", {"refusal": True})


@pytest.mark.parametrize(
    ("signal", "code", "message"),
    [
        (
            ended(RunFailed, "failed", last_error=LastError(code="server_error", message="key sk-1")),
            "server_error",
            None,
        ),
        (ended(RunFailed, "failed", last_error=LastError(code="a long story", message="x")), "failed", None),
        (ended(RunFailed, "failed"), "failed", None),
        (ended(RunIncomplete, "incomplete"), "incomplete", "The run ended before its answer was complete."),
        (RunInterrupted(*AT, Run(id="run_1", status=RunStatus("in_progress")), "cut", None, 0, 1), "interrupted", None),
        (
            RunStatusChanged(*AT, None, RunStatus("in_progress"), 0),
            "interrupted",
            "The connection to the run was lost.",
        ),
    ],
)
def test_a_run_without_success_is_an_error(signal: Any, code: str, message: str | None) -> None:
    """With a code; the server's words stay here."""
    events = encode(said("m1", "It"), signal)
    assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", code)
    assert "sk-1" not in events[-1]["message"]
    assert message is None or events[-1]["message"] == message
    assert "TEXT_MESSAGE_END" not in names(events)  # the error closes all that is open


def test_the_words_of_an_error_are_sent_if_that_is_allowed() -> None:
    """Only then."""
    failed = ended(RunFailed, "failed", last_error=LastError(code="c", message="The model is overloaded."))
    assert encode(failed, show_errors=True)[-1]["message"] == "The model is overloaded."


def test_a_cancelled_run() -> None:
    """An outcome since 1.0, an error before."""
    cancelled = ended(RunCancelled, "cancelled")
    assert encode(cancelled)[-1]["outcome"] == {"type": "cancelled"}
    assert encode(cancelled, version=None)[-1]["code"] == "cancelled"
    assert encode(cancelled, version="0.1")[-1]["code"] == "cancelled"


def test_a_stream_without_a_run_is_an_error() -> None:
    """It begins and ends."""
    made = encoder()
    assert made.encode(SourceEnded("stream", "", 1.0, 1)) == []
    assert names(made.finish()) == ["RUN_STARTED", "RUN_ERROR"]


def test_other_runs_are_skipped() -> None:
    """The first one is encoded."""
    other = TextDelta("run_2", None, "", 1.0, "m9", 0, 0, "other")
    events = encode(said("m1", "one"), other, ended())
    assert [event["delta"] for event in events if "delta" in event] == ["one"]
    assert encoder(run="run_1").encode(other) == []


def test_what_a_run_waits_for_may_have_no_name() -> None:
    """It is an interrupt all the same, and the run waits."""
    action = UnknownAction(raw={"type": "payment"})
    run = Run(id="run_1", status=RunStatus("requires_action"), required_action=action)
    events = encode(ActionRequired(*AT, run, action, (), "digest:1"))
    (interrupt,) = events[-1]["outcome"]["interrupts"]
    assert (interrupt["id"], interrupt["reason"]) == ("digest:1", "runstream:action_required")


def test_a_document_is_sent_as_a_snapshot_first() -> None:
    """The front end may have another one; patches that its client refuses are snapshots too."""
    changes = [
        DocumentChanged(*AT, 1, {"a": 1}, [{"op": "add", "path": "/a", "value": 1}]),
        DocumentChanged(*AT, 2, {"a": 2}, [{"op": "replace", "path": "/a", "value": 2}]),
        DocumentChanged(*AT, 3, {"__proto__": 1}, [{"op": "add", "path": "/__proto__", "value": 1}]),
        DocumentChanged(*AT, 4, {"inner": 1}, None, path=("helper",)),
    ]
    assert names(encode(*changes, ended())) == ["STATE_SNAPSHOT", "STATE_DELTA", "STATE_SNAPSHOT", "RUN_FINISHED"]


def test_the_content_of_an_activity_is_an_object() -> None:
    """Another value is put into one."""
    events = encode(ActivityChanged(*AT, "plan", "", 1, [1]), ended())
    assert (events[0]["activityType"], events[0]["content"]) == ("activity", {"value": [1]})


def test_custom_values() -> None:
    """Questions are in the end of the run; raw events stay here unless they are asked for."""
    customs = [
        CustomReceived(*AT, "note", {"a": 1}, 1),
        CustomReceived(*AT, "on_interrupt", "{}", 2),
        CustomReceived(*AT, "RAW", {"event": {"secret": 1}, "source": "x"}, 3),
        CustomReceived(
            *AT, "REASONING_ENCRYPTED_VALUE", {"subtype": "message", "entityId": "m", "encryptedValue": "e"}, 4
        ),
    ]
    assert names(encode(*customs, ended())) == ["CUSTOM", "REASONING_ENCRYPTED_VALUE", "RUN_FINISHED"]
    assert "RAW" in names(encode(*customs, ended(), show_raw=True))


def step(id: str, details: Any, status: str = "in_progress", **fields: Any) -> RunStep:
    return RunStep(id=id, run_id="run_1", type=details.type, status=StepStatus(status), step_details=details, **fields)


def test_a_label_that_is_open_twice_gets_a_number() -> None:
    """A name is open once under its owner."""
    steps = [step(id, LabelDetails(name="think")) for id in ("s1", "s2")]
    done = StepCompleted(*AT, step("s1", LabelDetails(name="think"), "completed"))
    events = encode(*(StepCreated(*AT, each) for each in steps), done, ended())
    assert [event.get("stepName") for event in events[:-1]] == ["think", "think (2)", "think", "think (2)"]


def test_subagents_are_announced_before_their_content() -> None:
    """With their parents; a failed one has a code and no words of the server."""
    helper = step("subagent/a", SubagentDetails(name="Helper"))
    failed = step("subagent/a", SubagentDetails(), "failed", last_error=LastError(code="boom", message="key sk-1"))
    events = encode(StepCreated(*AT, helper), said("m1", "x", path=("a", "b")), StepFailed(*AT, failed), ended())
    starts = [event for event in events if event["type"] == "SUBAGENT_STARTED"]
    assert [(event["subagentRunId"], event["name"]) for event in starts] == [("a", "Helper"), ("b", "b")]
    assert starts[1]["parentSubagentRunId"] == "a"
    assert next(event for event in events if event["type"] == "TEXT_MESSAGE_START")["subagentRunId"] == "b"
    error = next(event for event in events if event["type"] == "SUBAGENT_ERROR")
    assert (error["code"], error["message"]) == ("boom", "The subagent failed.")


def test_a_snapshot_begins_a_stream() -> None:
    """And no other place of it."""
    (state,) = fold(events_of("It is", ends=None)).runs
    made = encoder()
    assert made.snapshot(state)
    with pytest.raises(RuntimeError, match="new encoder"):
        made.snapshot(state)


def test_lone_surrogates_are_replaced() -> None:
    """Many readers of JSON refuse them."""
    block = sse_block({"type": "CUSTOM", "name": "x", "value": "a\ud83d"})
    assert json.loads(block[6:])["value"] == "a\ufffd"
