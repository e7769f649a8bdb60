"""What an AG-UI run waits for, and when its end is certain."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.dialects.ag_ui import AgUiDialect
from runstream.engine.engine import Engine
from runstream.engine.fold import fold, fold_sources
from runstream.model.actions import CallsAction
from runstream.model.raw import Idle, RawEvent, Request
from runstream.model.signals import ActionRequired, RunPaused, SourceError
from tests.dialects.agui import (
    args,
    call,
    content,
    decode,
    event,
    finished,
    flat,
    folded,
    request,
    result,
    run_of,
    started,
    text,
    violations,
)

Action = list[tuple[str, str, str | None]]


def action_of(state: RunState) -> Action:
    """What a run waits for: id, kind and name."""
    action = state.run.required_action
    if action is None:
        return []
    assert isinstance(action, CallsAction)
    return [(each.id, each.kind, each.name) for each in action.calls]


def interrupt(id: str = "i1", **fields: Any) -> dict[str, Any]:
    """An outcome with one interrupt."""
    return {"type": "interrupt", "interrupts": [{"id": id, "reason": "tool_call", **fields}]}


# the shapes


def test_an_interrupt() -> None:
    """It bears the name and arguments of the call that it asks about, and all its fields."""
    outcome = interrupt(toolCallId="c1", message="Buy?", responseSchema={"type": "object"}, expiresAt="2027-01-01")
    state = run_of(started(), call("buy", '{"n": 2}'), finished(outcome=outcome))
    assert state.status == "requires_action"
    assert action_of(state) == [("i1", "interrupt", "buy")]
    (asked,) = state.run.required_action.calls  # type: ignore[union-attr]
    assert asked.arguments == '{"n": 2}'
    assert asked.data["message"] == "Buy?"
    assert asked.data["responseSchema"] == {"type": "object"}
    assert asked.data["toolCallId"] == "c1"


def test_an_interrupt_without_a_call() -> None:
    """A question of two events in all."""
    assert action_of(run_of(started(), finished(outcome=interrupt(reason="input_required")))) == [
        ("i1", "interrupt", None)
    ]


def test_several_interrupts() -> None:
    """All of them wait."""
    outcome = {"type": "interrupt", "interrupts": [{"id": "i1", "reason": "a"}, {"id": "i2", "reason": "b"}]}
    assert [id for id, _, _ in action_of(run_of(started(), finished(outcome=outcome)))] == ["i1", "i2"]


@pytest.mark.parametrize("value", ['{"question": "Buy it?"}', {"question": "Buy it?"}])
def test_a_custom_interrupt(value: Any) -> None:
    """`on_interrupt` beside a plain finish: the call in question is the server's, and not requested."""
    asked = event("CUSTOM", name="on_interrupt", value=value)
    state = run_of(started(), call("buy"), asked, finished())
    assert action_of(state) == [("", "interrupt", None)]
    assert state.run.required_action.calls[0].data == {"value": {"question": "Buy it?"}}  # type: ignore[union-attr]


def test_a_custom_interrupt_beside_an_outcome() -> None:
    """A server that sends both asks once."""
    asked = event("CUSTOM", name="on_interrupt", value="Buy it?")
    assert action_of(run_of(started(), asked, finished(outcome=interrupt()))) == [("i1", "interrupt", None)]


def test_a_custom_interrupt_that_names_its_call() -> None:
    """It bears the name of the call."""
    asked = event("CUSTOM", name="on_interrupt", value=json.dumps({"toolCallId": "c1"}))
    assert action_of(run_of(started(), call("buy"), asked, finished())) == [("", "interrupt", "buy")]


def test_pending_calls_are_named() -> None:
    """Exactly these wait."""
    items = [request(tools=[{"name": "f"}, {"name": "g"}]), started(), call("f"), call("g", id="c2")]
    outcome = {"type": "success", "pendingToolCallIds": ["c2"]}
    assert action_of(run_of(*items, finished(outcome=outcome))) == [("c2", "function", "g")]


def test_pending_calls_are_derived() -> None:
    """Of the calls without a result those of offered tools wait; all of them if the request is unknown."""
    items = [started(), call("map"), call("lamp", id="c2"), call("done", id="c3"), result("x", "c3"), finished()]
    assert action_of(run_of(*items)) == [("c1", "function", "map"), ("c2", "function", "lamp")]
    assert action_of(run_of(request(tools=[{"name": "map"}]), *items)) == [("c1", "function", "map")]
    state = run_of(request(), *items)
    assert (state.status, action_of(state)) == ("completed", [])


def test_a_call_without_whole_arguments_is_not_requested() -> None:
    """The run waits, and offers nothing for execution."""
    items = [started(), event("TOOL_CALL_START", toolCallId="c1", toolCallName="f"), args('{"a'), finished()]
    state = run_of(*items)
    assert (state.status, action_of(state)) == ("requires_action", [])
    assert violations(*items) == {"closed_at_finish": 1}


def test_the_confirmation_of_adk() -> None:
    """The call of the server's own tool waits, offered or not; the call in question does not."""
    asked = {"originalFunctionCall": {"id": "c1", "name": "buy", "args": {}}, "toolConfirmation": {}}
    items = [started(), call("buy"), call("adk_request_confirmation", json.dumps(asked), "c2"), finished()]
    for before in ([], [request()]):
        state = run_of(*before, *items)
        assert action_of(state) == [("c2", "approval", "adk_request_confirmation")]
        assert state.run.required_action.calls[0].data == {  # type: ignore[union-attr]
            "toolCallId": "c1",
            "toolCallName": "buy",
        }


def test_the_confirmation_of_the_microsoft_framework() -> None:
    """Without an interrupt beside it, its own call waits; with one, that alone."""
    asked = {"function_name": "buy", "function_call_id": "c1"}
    items = [started(), call("buy"), call("confirm_changes", json.dumps(asked), "c2")]
    assert action_of(run_of(*items, finished())) == [("c2", "approval", "confirm_changes")]
    assert action_of(run_of(*items, finished(outcome=interrupt(toolCallId="c1")))) == [("i1", "interrupt", "buy")]


def test_an_offered_tool_beside_an_interrupt() -> None:
    """Both wait, if the request is known."""
    items = [started(), call("buy"), call("map", id="c2"), finished(outcome=interrupt(toolCallId="c1"))]
    found = action_of(run_of(request(tools=[{"name": "map"}]), *items))
    assert found == [("i1", "interrupt", "buy"), ("c2", "function", "map")]
    assert action_of(run_of(*items)) == [("i1", "interrupt", "buy")]


@pytest.mark.parametrize("outcome", [{"type": "success"}, {"type": "other"}, "x", 3, {"type": "success", "x": 1}])
def test_other_outcomes_are_success(outcome: Any) -> None:
    """An unknown outcome is read as a success, and counted."""
    assert run_of(started(), finished(outcome=outcome)).status == "completed"
    known = isinstance(outcome, dict) and outcome["type"] == "success"
    assert violations(started(), finished(outcome=outcome)) == ({} if known else {"known_outcome": 1})


def test_a_cancelled_run() -> None:
    """Nothing waits; open steps are cancelled."""
    items = [event("STEP_STARTED", stepName="s"), call("f"), finished(outcome={"type": "cancelled"})]
    state = run_of(started(), *items)
    assert state.status == "cancelled"
    assert {step.status.value for step in state.steps if step.status is not None} == {"cancelled"}


# the end is certain, or deferred


def engine_of(*items: Any) -> tuple[Engine, Any]:
    """An engine after these items, and the entry of its source."""
    engine = Engine()
    intake = engine.intake("s", dialect="ag-ui")
    intake.feed_all(flat(items))
    return engine, intake


def status_of(engine: Engine, run_id: str = "r1") -> str:
    """The status of a run."""
    state = engine.state(run_id)
    assert state is not None
    return state.status.value


def test_a_finish_is_deferred() -> None:
    """The run is in progress until the next event, the end of the body, or the end of the grace time."""
    engine, intake = engine_of(started(), text("a"), finished())
    assert status_of(engine) == "in_progress"
    intake.end()
    assert status_of(engine) == "completed"
    engine, intake = engine_of(started(), text("a"), finished(), started("r2"))
    assert status_of(engine) == "completed"
    engine, intake = engine_of(started(), text("a"), finished(), Idle(seconds=2.0))
    assert status_of(engine) == "completed"
    engine, intake = engine_of(started(), text("a"), finished(), event("RUN_ERROR", message="late"))
    assert status_of(engine) == "failed"


def test_idle_is_expected_only_while_a_finish_is_deferred() -> None:
    """The source waits for silence only then."""
    dialect = AgUiDialect()
    seen = []
    for raw in (started(), content("a"), finished(), Idle(), started("r2")):
        dialect.decode(raw)
        seen.append(dialect.expects_idle)
    assert seen == [False, False, True, False, False]


def test_a_run_that_goes_on_after_its_finish() -> None:
    """RUN_FINISHED after each call of the model: one run, completed once, its usage summed."""
    usage = [{"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}]
    items = [started(), call("lamp"), finished(usage=usage), result("lit"), text("Done"), finished(usage=usage)]
    found = folded(*items)
    (state,) = found.runs
    assert (state.status, state.text) == ("completed", "Done ")
    assert state.usage is not None
    assert state.usage.total_tokens == 6
    assert not [each for each in found.signals if isinstance(each, ActionRequired)]
    assert violations(*items) == {"event_after_end": 1}


def test_values_after_a_finish_do_not_end_the_wait() -> None:
    """Some servers send usage or a last snapshot after it: the end of the body makes it certain."""
    trailing = [event("CUSTOM", name="usage", value=1), event("STATE_SNAPSHOT", snapshot={"a": 1})]
    assert run_of(started(), text("a"), finished(), trailing).status == "completed"


def test_a_cut_after_a_finish() -> None:
    """The server has said the end; it is none where a call of the server has no result yet, or more came."""
    engine, intake = engine_of(started(), text("a"), finished())
    intake.end(clean=False)
    assert status_of(engine) == "completed"
    engine, intake = engine_of(request(), started(), call("lamp"), finished())
    intake.end(clean=False)
    assert status_of(engine) == "in_progress"
    engine, intake = engine_of(started(), text("a"), finished(), event("CUSTOM", name="x", value=1))
    intake.end(clean=False)
    assert status_of(engine) == "in_progress"
    engine, intake = engine_of(started(), call("map"), finished())
    intake.end(clean=False)
    assert status_of(engine) == "requires_action"


def test_a_stream_without_an_end_is_interrupted() -> None:
    """Also a clean end of the body is no success."""
    found = folded(started(), text("a"))
    assert found.runs[0].status == "in_progress"
    assert "r1/interrupted/1" in [signal.key for signal in found.signals]
    dialect, _ = decode(started(), text("a"))
    dialect.end(True)
    assert dialect.violations == {"terminal_event": 1}


def test_an_error_and_a_finish() -> None:
    """The run has failed, whichever is first."""
    error = event("RUN_ERROR", message="no")
    assert run_of(started(), error, finished()).status == "failed"
    assert run_of(started(), finished(), error).status == "failed"


def test_a_contradiction_after_the_grace_time() -> None:
    """The end absorbs; the contradiction is counted, and is an error of the source."""
    found = folded(started(), text("a"), finished(), Idle(), event("RUN_ERROR", message="late"))
    assert found.runs[0].status == "completed"
    assert [each.server_message for each in found.signals if isinstance(each, SourceError)] == ["late"]
    found = folded(started(), text("a"), finished(), Idle(), text("b", "m2"))
    assert found.runs[0].status == "completed"
    assert len([each for each in found.signals if isinstance(each, SourceError)]) == 1


def test_a_wait_that_was_certain_goes_on() -> None:
    """A server that continues after the grace time: the run is in progress again."""
    state = run_of(started(), call("lamp"), finished(), Idle(), result("lit"), text("Done"), finished())
    assert (state.status, state.text) == ("completed", "Done ")
    assert [each.output for step in state.steps for each in step.tool_calls] == ["lit"]


# the answer


def pause(run: str = "r1", **fields: Any) -> list[RawEvent]:
    """A run that waits for an interrupt."""
    return [started(run), *call("buy", '{"n": 2}'), finished(run, outcome=interrupt(toolCallId="c1", **fields))]


def test_the_request_names_the_run() -> None:
    """By an interrupt that it answers, in another source."""
    resume = request("r2", resume=[{"interruptId": "i1", "status": "resolved", "payload": {"approved": True}}])
    second = [resume, started("r2"), result("bought"), *text("Done"), finished("r2")]
    (state,) = fold_sources([("one", pause()), ("two", second)], dialect="ag-ui").runs
    assert (state.run_id, state.pieces, state.status) == ("r1", ("r1", "r2"), "completed")
    assert state.run.metadata["runstream.run_id"] == "r2"
    assert [each.output for step in state.steps for each in step.tool_calls] == ["bought"]


def test_the_results_of_the_application_are_outputs() -> None:
    """A frontend tool's result is never on the stream: it is in the request."""
    tools = [{"name": "map"}]
    first = [request(tools=tools), started(), *call("map"), finished()]
    answered = [{"id": "x", "role": "tool", "toolCallId": "c1", "content": "shown"}]
    second = [request("r2", tools=tools, messages=answered), started("r2"), *text("Done"), finished("r2")]
    (state,) = fold_sources([("one", first), ("two", second)], dialect="ag-ui").runs
    assert (state.status, [each.output for each in state.tool_calls]) == ("completed", ["shown"])


def test_the_old_channel_of_langgraph() -> None:
    """`command.resume` names nothing: the run of this thread that waits in this source goes on."""
    asked = event("CUSTOM", name="on_interrupt", value="Buy it?")
    first = [started(), *call("buy"), asked, finished()]
    resume = request("r2", forwardedProps={"command": {"resume": "yes"}})
    again = call("buy")
    state = run_of(first, resume, started("r2"), again, result("bought"), text("Done"), finished("r2"))
    assert (state.run_id, state.status, state.text) == ("r1", "completed", "Done ")
    assert [(each.name, each.arguments, each.output) for each in state.tool_calls] == [("buy", "{}", "bought")]


def test_open_interrupts_survive_later_runs() -> None:
    """A request that answers nothing begins a run of its own; the earlier one still waits, and can be answered."""
    other = [request("r2"), started("r2"), text("b", "m2"), finished("r2")]
    resume = request("r3", resume=[{"interruptId": "i1", "status": "cancelled"}])
    found = folded(pause(), other)
    assert [(state.run_id, state.status.value) for state in found.runs] == [
        ("r1", "requires_action"),
        ("r2", "completed"),
    ]
    found = folded(pause(), other, resume, started("r3"), result("no"), finished("r3"))
    assert [(state.run_id, state.status.value) for state in found.runs] == [("r1", "completed"), ("r2", "completed")]


@pytest.mark.parametrize("between", [[], [event("STEP_STARTED", stepName="s"), event("STATE_SNAPSHOT", snapshot={})]])
def test_a_replayed_thread_without_requests(between: list[RawEvent]) -> None:
    """The first telling event shows whether a run continues the one before: its call, again or with its result."""
    for answer in ([result("bought")], [*call("buy", '{"n": 2}'), result("bought")]):
        state = run_of(pause(), started("r2"), between, answer, text("Done"), finished("r2"))
        assert (state.run_id, state.status, state.text, state.pieces) == ("r1", "completed", "Done ", ("r1", "r2"))
    found = folded(pause(), started("r2"), between, text("Hello", "m2"), finished("r2"))
    assert [(state.run_id, state.status.value) for state in found.runs] == [
        ("r1", "requires_action"),
        ("r2", "completed"),
    ]


def test_a_result_before_the_start() -> None:
    """It finds the run that waits for its call, and is its output."""
    second = [result("shown"), started("r2"), *text("Done"), finished("r2")]
    state = run_of(pause(), request("r2", resume=[{"interruptId": "i1"}]), second)
    assert (state.run_id, state.status, state.text) == ("r1", "completed", "Done ")
    assert [each.output for step in state.steps for each in step.tool_calls] == ["shown"]


def test_the_application_has_precedence() -> None:
    """`continues` of the source or of the request, before any link."""
    second = [started("r2"), *text("Done"), finished("r2")]
    for options, before in (({"continues": "r1"}, []), ({}, [Request(continues="r1")])):
        sources: Any = [("one", pause()), ("two", [*before, *second], options)]
        (state,) = fold_sources(sources, dialect="ag-ui").runs
        assert (state.run_id, state.status, state.text) == ("r1", "completed", "Done ")


def test_a_refused_answer_leaves_the_run_waiting() -> None:
    """An error before the start of an answering run is one of the source."""
    resume = request("r2", resume=[{"interruptId": "i1", "status": "resolved"}])
    found = folded(pause(), resume, event("RUN_ERROR", message="partial resume"))
    assert [(state.run_id, state.status.value) for state in found.runs] == [("r1", "requires_action")]
    assert [each.server_message for each in found.signals if isinstance(each, SourceError)] == ["partial resume"]


def test_the_echo_of_the_request() -> None:
    """RUN_STARTED.input has the same meaning."""
    echo = {"threadId": "t1", "runId": "r2", "messages": [], "resume": [{"interruptId": "i1", "status": "resolved"}]}
    state = run_of(pause(), started("r2", input=echo), result("bought"), finished("r2"))
    assert (state.run_id, state.status) == ("r1", "completed")


def test_each_round_is_asked_once() -> None:
    """A second question in the answering run is a further round."""
    resume = request("r2", resume=[{"interruptId": "i1", "status": "resolved"}])
    second = [resume, started("r2"), result("bought"), call("pay", id="c2"), finished("r2", outcome=interrupt("i2"))]
    found = folded(pause(), second)
    keys = [each.key for each in found.signals if isinstance(each, ActionRequired)]
    assert keys == ["r1/action_required/i1", "r1/action_required/i2"]
    assert [each.key for each in found.signals if isinstance(each, RunPaused)] == ["r1/paused/2"]


def test_a_request_that_can_not_be_read() -> None:
    """It is as unknown as none."""
    for body in (b"", b"{", b"[]", b"\xff"):
        state = fold([Request(body=body), *flat([started(), call("f"), finished()])], dialect="ag-ui").runs[0]
        assert state.status == "requires_action"


def test_the_end_of_another_run_is_no_end() -> None:
    """A run that has had its own end, and went on, is not completed by the end of an unseen run."""
    asked = finished(outcome=interrupt())
    found = folded(started(), asked, text("of another run", "m2"), finished("r2"))
    assert found.runs[0].status == "in_progress"


def test_a_call_with_unreadable_input_is_not_requested() -> None:
    """A part of its arguments may be missing, also if they are JSON nevertheless."""
    start = event("TOOL_CALL_START", toolCallId="c1", toolCallName="f")
    end = event("TOOL_CALL_END", toolCallId="c1")
    broken = RawEvent(data=b'{"type": "TOOL_CALL_ARGS", "toolCallId"')
    for pieces in (['{"a": ', broken, "}"], ['{"a": ', broken, "1}"]):
        items = [args(each) if isinstance(each, str) else each for each in pieces]
        state = fold(flat([started(), start, items, end, finished()]), dialect="ag-ui").runs[0]
        assert (state.status, action_of(state)) == ("requires_action", [])


def test_junk_after_a_finish_leaves_it() -> None:
    """An event that can't be read, or has no effect, does not show that the run goes on."""
    junk = [
        event("TEXT_MESSAGE_CONTENT", messageId="m9", delta=7),
        event("STEP_STARTED"),
        event("STEP_FINISHED", stepName="never"),
        event("SOMETHING_NEW"),
        RawEvent(data=b"{"),
    ]
    for each in junk:
        state = fold(flat([started(), text("a"), finished(), each]), dialect="ag-ui").runs[0]
        assert state.status == "completed"


def test_ids_that_are_numbers() -> None:
    """They are read as their text, wherever they stand: no call that waits is lost, and the run has not completed."""
    items = [
        event("TEXT_MESSAGE_START", messageId=1),
        event("TEXT_MESSAGE_CONTENT", messageId=1, delta="Look"),
        event("TEXT_MESSAGE_END", messageId=1),
        event("TOOL_CALL_START", toolCallId=7, toolCallName="map", parentMessageId=1),
        event("TOOL_CALL_ARGS", toolCallId=7, delta="{}"),
        event("TOOL_CALL_END", toolCallId=7),
        event("TOOL_CALL_START", tool_call_id=8, toolCallName="lamp"),
        event("TOOL_CALL_RESULT", toolCallId=8, messageId=2, content="lit"),
    ]
    found = folded(event("RUN_STARTED", threadId=1, runId=2), items, event("RUN_FINISHED", threadId=1, runId=2))
    (state,) = found.runs
    assert (state.run_id, state.thread_id, state.status, state.text) == ("2", "1", "requires_action", "Look")
    assert [(call.id, call.output) for call in state.tool_calls] == [("7", None), ("8", "lit")]
    assert [call.id for call in state.run.pending_tool_calls] == ["7"]
    assert not found.rejects
    outcome = {"type": "success", "pendingToolCallIds": [7]}
    (state,) = folded(started(), items, finished(outcome=outcome)).runs
    assert [call.id for call in state.run.pending_tool_calls] == ["7"]
    (state,) = folded(started(), finished(outcome={"type": "interrupt", "interrupts": [{"id": 5, "reason": "x"}]})).runs
    assert [call.id for call in state.run.pending_tool_calls] == ["5"]
    calls = [{"id": 9, "type": "function", "function": {"name": "lamp", "arguments": "{}"}}]
    messages = [{"id": 3, "role": "assistant", "content": "Yes", "toolCalls": calls}]
    messages.append({"id": 4, "role": "tool", "toolCallId": 9, "content": "on"})
    (state,) = folded(started(), event("MESSAGES_SNAPSHOT", messages=messages), finished()).runs
    assert (state.text, [(call.id, call.output) for call in state.tool_calls]) == ("Yes", [("9", "on")])


@pytest.mark.parametrize(
    ("deltas", "arguments", "requested", "rejects"),
    [
        ([{"a": 1}], '{"a":1}', True, 0),  # the whole arguments as an object
        ([None, '{"a":1}'], '{"a":1}', True, 0),
        (['{"a":', 1, "}"], '{"a":1}', True, 0),
        (['{"a":', {"b": 1}, "}"], '{"a":}', False, 1),
        (['{"a":1}', [2]], '{"a":1}', True, 1),  # whole JSON, which nothing continues
    ],
)
def test_arguments_that_are_no_text(deltas: list[Any], arguments: str, requested: bool, rejects: int) -> None:
    """They are read where their meaning is certain; else the call may miss a part, and is never requested."""
    grown = [event("TOOL_CALL_ARGS", toolCallId="c1", delta=delta) for delta in deltas]
    begun = event("TOOL_CALL_START", toolCallId="c1", toolCallName="map")
    items = [started(), begun, grown, event("TOOL_CALL_END", toolCallId="c1"), finished()]
    found = fold(flat(items), dialect="ag-ui")
    (state,) = found.runs
    assert [call.arguments for call in state.tool_calls] == [arguments]
    assert [call.id for call in state.run.pending_tool_calls] == (["c1"] if requested else [])
    assert state.status == "requires_action"
    assert len(found.rejects) == rejects


@pytest.mark.parametrize(
    ("deltas", "text", "is_partial"), [([None, "a"], "a", False), (["v", 2], "v2", False), (["a", {"b": 1}], "a", True)]
)
def test_fragments_of_a_message_that_are_no_text(deltas: list[Any], text: str, is_partial: bool) -> None:
    """A number is its text; what can't be read is a reject, and the message is partial."""
    grown = [event("TEXT_MESSAGE_CONTENT", messageId="m1", delta=delta) for delta in deltas]
    items = [started(), event("TEXT_MESSAGE_START", messageId="m1"), grown, event("CUSTOM", name="x", value=1)]
    found = fold(flat(items), dialect="ag-ui")
    (state,) = found.runs
    assert (state.text, "m1" in state.partial, len(found.rejects)) == (text, is_partial, is_partial)
    assert found.stats.violations["field_value"] == 1
