"""Signals of runs as chunks of a UI message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.engine.fold import fold, fold_sources
from runstream.model.raw import RawEvent
from runstream.model.signals import ActionRequired
from runstream.sinks.ui_message_stream.encoder import UiMessageEncoder
from runstream.testing import Script, script
from runstream.testing.strategies import conversations
from tests.sinks.ui_message_stream.support import encode, encoded, joined, kinds, only
from tests.support.responses import ResponseScript
from tests.support.ui_messages import read_chunks, shown_by_message, shown_by_state


def text_of(chunks: list[dict[str, Any]]) -> list[str]:
    """The texts that a reader has at the end."""
    return [part["text"] for part in read_chunks(chunks)["parts"] if part["type"] == "text"]


# Calls


def test_the_keys_of_calls_by_the_ids_that_a_browser_knows() -> None:
    """A browser answers by `toolCallId`; an application answers by the key of the call."""
    folded = fold(script("run_1").start().call(weather={"city": "Oslo"}, ferry={"to": "Kiel"}).raw_events())
    (request,) = [signal for signal in folded.signals if isinstance(signal, ActionRequired)]
    encoder = UiMessageEncoder()
    chunks = [chunk for signal in folded.signals for chunk in encoder.encode(signal)]
    begun = list(dict.fromkeys(chunk["toolCallId"] for chunk in chunks if "toolCallId" in chunk))
    assert len(begun) == 2
    assert [encoder.tool_call_keys[id] for id in begun] == [call.key for call in request.calls]


# Texts


def test_a_text() -> None:
    """A run with one message: all chunks, in order."""
    run = script("run_1", model="small").say("Hi you.", pieces=["Hi", " you."])
    run.end(usage={"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5})
    place = {"runstream": {"runId": "run_1", "messageId": "msg_run_1_1", "part": 0}}

    def metadata(**fields: Any) -> dict[str, Any]:
        return {"type": "message-metadata", "messageMetadata": {"runId": "run_1", "runs": {"run_1": fields}}}

    assert encoded(run.raw_events(), message_id="m1") == [
        {"type": "start", "messageId": "m1"},
        {"type": "start-step"},
        metadata(threadId="thread_1", status="queued", model="small"),
        metadata(status="queued"),
        metadata(status="in_progress"),
        {"type": "text-start", "id": "msg_run_1_1/0", "providerMetadata": place},
        {"type": "text-delta", "id": "msg_run_1_1/0", "delta": "Hi"},
        {"type": "text-delta", "id": "msg_run_1_1/0", "delta": " you."},
        {"type": "text-end", "id": "msg_run_1_1/0"},
        metadata(
            threadId="thread_1",
            status="completed",
            model="small",
            usage={"inputTokens": 2, "outputTokens": 3, "totalTokens": 5},
        ),
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "stop"},
    ]


def test_parts_grow_side_by_side() -> None:
    """Open parts are told apart by their ids."""
    run = Script("run_1")
    one, two = run.open_message(), run.open_message()
    one.write("a", part=0)
    two.write("1")
    one.write("B", part=1).write("c", part=0)
    two.write("2")
    two.close()
    one.close()
    assert sorted(text_of(encoded(run.end().raw_events()))) == ["12", "B", "ac"]


def test_a_refusal_is_a_text_with_a_mark() -> None:
    run = Script("run_1")
    run.open_message().refuse("I can't.", part=0).close()
    (part,) = [part for part in read_chunks(encoded(run.end().raw_events()))["parts"] if part["type"] == "text"]
    assert part["text"] == "I can't."
    assert part["providerMetadata"]["runstream"]["refusal"] is True


def test_reasoning_and_its_summary() -> None:
    chunks = encoded(Script("run_1").reason("Deep.", summary="Short.").say("So.").end().raw_events())
    parts = [part for part in read_chunks(chunks)["parts"] if part["type"] == "reasoning"]
    assert [(part["text"], part["state"]) for part in parts] == [("Deep.", "done"), ("Short.", "done")]
    assert [part["providerMetadata"]["runstream"].get("summary") for part in parts] == [None, True]


def test_a_replaced_text_is_a_further_part() -> None:
    """The protocol can't remove text: the later part says that it replaces the earlier one."""
    run = Script("run_1")
    message = run.open_message()
    message.write("Helo").message["content"][0]["text"]["value"] = "Hello."
    message.close()
    chunks = encoded(run.end().raw_events())
    assert text_of(chunks) == ["Helo", "Hello."]
    assert shown_by_message(read_chunks(chunks))["texts"] == {("run_1", "text", "msg_run_1_1", 0): "Hello."}


def test_messages_of_other_roles_are_not_shown() -> None:
    events = [
        {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
        {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "system"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "Be brief."},
        {"type": "TEXT_MESSAGE_END", "messageId": "m1"},
        {"type": "TEXT_MESSAGE_START", "messageId": "m2", "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m2", "delta": "Yes."},
        {"type": "TEXT_MESSAGE_END", "messageId": "m2"},
        {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"},
    ]
    assert text_of(encoded([json.dumps(event) for event in events])) == ["Yes."]


# Calls


def test_a_call_and_its_output_are_a_step() -> None:
    """What follows an output is a further step of the model."""
    run = Script("run_1").call(get_weather={"city": "Oslo"}).answer('{"sky": "clear"}').say("Clear.").end()
    chunks = encoded(run.raw_events())
    assert kinds(chunks) == [
        "start",
        "start-step",
        "tool-input-start",
        *["tool-input-delta"] * 2,
        "tool-input-available",
        "tool-output-available",
        "finish-step",
        "start-step",
        "text-start",
        "text-delta",
        "text-end",
        "finish-step",
        "finish",
    ]
    (part,) = [part for part in read_chunks(chunks)["parts"] if "toolCallId" in part]
    assert part["type"] == "tool-get_weather"
    assert (part["input"], part["output"]) == ({"city": "Oslo"}, {"sky": "clear"})


@pytest.mark.parametrize("states", [True, False])
def test_a_name_that_only_the_state_has(states: bool) -> None:
    """Without a state the arguments of such a call come as a whole."""
    chunks = encoded(Script("run_1").call(look={"at": "it"}).raw_events(), states=states)
    assert ("tool-input-delta" in kinds(chunks)) is states
    (part,) = [part for part in read_chunks(chunks)["parts"] if "toolCallId" in part]
    assert (part["state"], part["input"]) == ("input-available", {"at": "it"})


def test_tools_without_types_are_dynamic() -> None:
    """Each chunk of a dynamic tool says so, as version 5 needs it."""
    run = Script("run_1").call(known={}, other={}).answer("1", "2").end()
    chunks = encoded(run.raw_events(), typed_tools=["known"])
    parts = [part for part in read_chunks(chunks)["parts"] if "toolCallId" in part]
    assert [part["type"] for part in parts] == ["tool-known", "dynamic-tool"]
    assert parts[1]["toolName"] == "other"


def test_arguments_that_are_no_json() -> None:
    run = Script("run_1")
    step = run.open_calls().open(0, "function", name="look").grow(0, '{"at"')
    run.require(step)
    chunks = encoded(run.raw_events())
    (error,) = only(chunks, "tool-input-error")
    assert error["input"] == '{"at"'
    assert chunks[-1] == {"type": "finish", "finishReason": "tool-calls"}


def test_code_is_text() -> None:
    """The code of an interpreter streams as text; its outputs are one object."""
    chunks = encoded(Script("run_1").run_code("print(6 * 7)", logs="42\n").say("42").end().raw_events())
    (start,) = only(chunks, "tool-input-start")
    assert (start["inputEncoding"], start["providerExecuted"], start["dynamic"]) == ("text", True, True)
    (part,) = [part for part in read_chunks(chunks)["parts"] if "toolCallId" in part]
    assert part["input"] == "print(6 * 7)"
    assert part["output"] == {"outputs": [{"type": "logs", "logs": "42\n"}]}


def test_a_failed_step_ends_its_calls() -> None:
    run = Script("run_1")
    step = run.open_calls().open(0, "mcp", name="roll").grow(0, "{}")
    step.close("failed", last_error={"code": "server_error", "message": "secret words"})
    (error,) = only(encoded(run.end().raw_events()), "tool-output-error")
    assert error["errorText"] == "The call failed: server_error."


def test_a_growing_output_costs_its_length() -> None:
    """An output is sent again when it has doubled, and once at the end."""
    run = Script("run_1")
    step = run.open_calls().open(0, "generic", name="sh", kind="shell").grow(0, "{}")
    for _ in range(1000):
        step.grow_output(0, "x" * 10)
    chunks = encoded(run.raw_events())
    sent = only(chunks, "tool-output-available")
    assert sent[-1]["output"] == "x" * 10_000
    assert all(chunk["preliminary"] for chunk in sent)
    assert sum(len(chunk["output"]) for chunk in sent) < 30_000


def test_the_last_step_has_no_answered_call() -> None:
    """Else a front end that sends by itself once all calls have outputs would send again for ever."""
    chunks = encoded(Script("run_1").call(look={}).answer("seen").end().raw_events())
    assert kinds(chunks)[-5:] == ["tool-output-available", "finish-step", "start-step", "finish-step", "finish"]


# Requests for the user


def asking(**fields: Any) -> ResponseScript:
    """A response that asks for an approval."""
    found = ResponseScript("resp_1").begin()
    item = {"id": "mcpr_1", "type": "mcp_approval_request", "name": "erase", "arguments": '{"file":"a"}', **fields}
    found._close(found._add(item), item)
    return found.end()


def test_an_approval_is_asked_for_at_the_end() -> None:
    """A browser can't answer before; the application may."""
    chunks = encoded(asking().raws())
    assert chunks[-3:] == [
        {"type": "tool-approval-request", "approvalId": "mcpr_1", "toolCallId": "mcpr_1"},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "tool-calls"},
    ]
    (part,) = [part for part in read_chunks(chunks)["parts"] if "toolCallId" in part]
    assert (part["toolName"], part["input"], part["state"]) == ("erase", {"file": "a"}, "approval-requested")


def test_version_5_receives_an_approval_as_data() -> None:
    chunks = encoded(asking().raws(), sdk=5)
    assert not only(chunks, "tool-approval-request")
    data = {"toolCallId": "mcpr_1", "toolName": "erase", "kind": "approval", "input": {"file": "a"}}
    assert only(chunks, "data-approval") == [{"type": "data-approval", "id": "mcpr_1", "data": data}]


def answered() -> list[Any]:
    """The response that follows the approval: the server makes the call."""
    found = ResponseScript("resp_2", previous_response_id="resp_1").begin()
    call = {"id": "mcp_1", "type": "mcp_call", "name": "erase", "arguments": '{"file":"a"}', "server_label": "files"}
    call["approval_request_id"] = "mcpr_1"
    found._close(found._add(call), {**call, "output": "erased"})
    return found.say("Done.").end().raws()


def test_an_approval_that_the_application_gives() -> None:
    """The user is not asked; the call and its approval are one part."""
    folded = fold_sources([("1", asking().raws()), ("2", answered(), {"continues": "resp_1"})])
    chunks = encode(folded)
    assert not only(chunks, "tool-approval-request")
    (part,) = [part for part in read_chunks(chunks)["parts"] if "toolCallId" in part]
    assert (part["toolCallId"], part["output"]) == ("mcpr_1", "erased")
    assert text_of(chunks) == ["Done."]


def posted(*, approved: bool) -> dict[str, Any]:
    """The message after the user has decided."""
    message = read_chunks(encoded(asking().raws(), message_id="m1"))
    (part,) = [part for part in message["parts"] if "toolCallId" in part]
    part |= {"state": "approval-responded", "approval": {"id": "mcpr_1", "approved": approved}}
    return message


def continued(message: dict[str, Any], then: list[Any], **options: Any) -> list[dict[str, Any]]:
    """The chunks of the response that continues a message."""
    folded = fold_sources([("1", asking().raws()), ("2", then, {"continues": "resp_1"})])
    known = len(fold(asking().raws()).signals)
    encoder = UiMessageEncoder(message=message, message_id="m1", **options)
    chunks = encoder.start()
    for signal in folded.signals[known:]:
        chunks += encoder.encode(signal, folded.runs[0])
    return chunks + encoder.finish(folded.runs)


def test_an_approved_call_ends_in_its_part() -> None:
    """The message goes on: the output goes to the part that the user saw."""
    message = posted(approved=True)
    chunks = continued(message, answered())
    assert chunks[:2] == [{"type": "start", "messageId": "m1"}, {"type": "start-step"}]
    parts = read_chunks(chunks, message=message)["parts"]
    assert [part["type"] for part in parts].count("dynamic-tool") == 1
    assert next(part for part in parts if "toolCallId" in part)["output"] == "erased"
    assert parts[-1]["text"] == "Done."


@pytest.mark.parametrize("sdk", [5, 6])
def test_a_declined_call_is_denied(sdk: Any) -> None:
    message = posted(approved=False)
    then = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("As you like.").end().raws()
    chunks = continued(message, then, sdk=sdk)
    denied = only(chunks, "tool-output-denied")
    assert denied == ([{"type": "tool-output-denied", "toolCallId": "mcpr_1"}] if sdk == 6 else [])
    if sdk == 6:
        parts = read_chunks(chunks, message=message)["parts"]
        assert [part["state"] for part in parts if "toolCallId" in part] == ["output-denied"]


def test_a_snapshot_has_no_decisions() -> None:
    """A browser that comes back sees the output of an approved call, and no state of the approval."""
    raws = [*asking().raws(), *answered()]
    chunks, _ = joined(raws, len(raws))
    (part,) = [part for part in read_chunks(chunks)["parts"] if "toolCallId" in part]
    assert part["state"] == "output-available"
    assert "approval" not in part


def test_blank_arguments_are_an_empty_object() -> None:
    chunks = encoded(Script("run_1").use("web_search", "search", " ").end().raw_events())
    assert only(chunks, "tool-input-available")[0]["input"] == {}


# The end


@pytest.mark.parametrize(
    ("ending", "fields", "last"),
    [
        ("completed", {}, [{"type": "finish", "finishReason": "stop"}]),
        ("incomplete", {}, [{"type": "finish", "finishReason": "length"}]),
        (
            "incomplete",
            {"incomplete_details": {"reason": "content_filter"}},
            [{"type": "finish", "finishReason": "content-filter"}],
        ),
        ("incomplete", {"incomplete_details": {"reason": "odd"}}, [{"type": "finish", "finishReason": "other"}]),
        ("cancelled", {}, [{"type": "abort", "reason": "The run was cancelled."}]),
        (
            "failed",
            {},
            [
                {"type": "error", "errorText": "The run failed: server_error."},
                {"type": "finish", "finishReason": "error"},
            ],
        ),
        (
            "expired",
            {},
            [{"type": "error", "errorText": "The run has expired."}, {"type": "finish", "finishReason": "error"}],
        ),
    ],
)
def test_endings(ending: str, fields: Any, last: list[Any]) -> None:
    """The status of a run decides how the stream ends; an error has no words of the server."""
    chunks = encoded(Script("run_1").say("So").end(ending, **fields).raw_events())
    assert chunks[-len(last) :] == last
    assert chunks[-len(last) - 1] == {"type": "finish-step"}
    read_chunks(chunks)


@pytest.mark.parametrize(
    ("endings", "last"),
    [
        (("completed", "failed"), "error"),
        (("failed", "completed"), "error"),
        (("cancelled", "completed"), None),
        (("incomplete", "completed"), "length"),
    ],
)
def test_several_runs_have_one_end(endings: tuple[str, str], last: str | None) -> None:
    """The last run without success decides, else one that is incomplete."""
    raws = [event for n, ending in enumerate(endings) for event in Script(f"run_{n}").end(ending).raw_events()]
    chunks = encoded(raws)
    assert chunks[-1].get("finishReason") == last
    read_chunks(chunks)


def test_a_cut_stream_is_no_success() -> None:
    run = Script("run_1")
    run.open_message().write("Hel")
    chunks = encoded(run.raw_events())
    assert only(chunks, "error") == [
        {"type": "error", "errorText": "The connection to the run was lost before its end."}
    ]
    assert text_of(chunks) == ["Hel"]
    assert only(UiMessageEncoder().finish(), "error")


def test_the_application_words_an_error() -> None:
    run = Script("run_1").end("failed")
    chunks = encoded(run.raw_events(), error_text=lambda signal: f"{signal.run.last_error.message}!")
    assert only(chunks, "error")[0]["errorText"] == "Something went wrong!"


def test_nothing_follows_the_end() -> None:
    folded = fold(Script("run_1").say("So").end().raw_events())
    encoder = UiMessageEncoder()
    assert kinds(encoder.start()) == ["start", "start-step"]
    assert encoder.start() == []
    assert encoder.finish()
    assert encoder.finish() == []
    assert encoder.encode(folded.signals[0]) == []


@pytest.mark.parametrize("options", [{"sdk": 4}, {"max_data": -1}])
def test_values_outside_their_range(options: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        UiMessageEncoder(**options)


# Late browsers, and whatever is generated


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(conversations(), st.booleans(), st.integers(0, 99), st.booleans())
def test_a_message_shows_what_the_states_have(made: Any, interleaved: bool, seed: int, states: bool) -> None:
    """Any runs, in any order: the stream is valid at each place, and nothing is lost."""
    folded = fold(made.raw_events(interleaved=interleaved, seed=seed))
    expected, actual = shown_by_state(folded.runs), shown_by_message(read_chunks(encode(folded, states=states)))
    if not states:  # a call that was cut off before its name was reported is not shown
        expected["calls"] = {id: call for id, call in expected["calls"].items() if id in actual["calls"]}
    assert actual == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(conversations(max_runs=2), st.integers(0, 99), st.floats(0, 1))
def test_a_late_browser_has_the_same(made: Any, seed: int, part: float) -> None:
    """At any place: the state so far, then the signals."""
    raws: list[RawEvent] = made.raw_events(interleaved=True, seed=seed)
    chunks, folded = joined(raws, int(part * len(raws)))
    assert shown_by_message(read_chunks(chunks)) == shown_by_state(folded.runs)
