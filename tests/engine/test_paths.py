"""Paths: what a subagent or subgraph sends is in the state and in signals with its path, and beside the run's text."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from runstream.engine.engine import Engine
from runstream.model.events import CustomEvent, DocumentSnapshot, MessageEvent, StepEvent
from runstream.model.message import MessageStatus
from runstream.model.signals import CustomReceived, RunSignal
from runstream.model.step import LabelDetails, RunStep, StepStatus, SubagentDetails
from runstream.model.tool_calls import GenericToolCall
from runstream.sinks.log import log_record
from runstream.store.codec import decode_state, encode_state
from tests.support.canonical import append, calls_step, message, play, reasoning_step, run

START = (run("queued"), run("in_progress"))
HELPER = ("helper", "search")


def at(event: Any, path: tuple[str, ...] = HELPER) -> Any:
    """The event with a path."""
    return structs.replace(event, path=path)


def ended(id: str) -> MessageEvent:
    """The end of a message."""
    return message(id, status=MessageStatus.COMPLETED)


def paths(signals: Any) -> list[tuple[str, tuple[str, ...]]]:
    """The type and the path of each signal of a run."""
    return [(signal.type, signal.path) for signal in signals if isinstance(signal, RunSignal)]


def test_a_message_of_a_subagent_is_beside_the_text_of_the_run() -> None:
    """Fragments need no path: they have that of their message."""
    events = [*START, message("msg_1"), at(message("msg_2"))]
    events += [append("msg_1", "text", "Hel"), append("msg_2", "text", "in"), append("msg_2", "text", "ner")]
    events += [append("msg_1", "text", "lo"), at(ended("msg_2")), ended("msg_1")]
    engine, signals = play(events)
    state = engine.states()[0]
    assert (state.text, state.text_at(HELPER), state.text_at(("none",))) == ("Hello", "inner", "")
    assert (state.path_of("msg_2"), state.path_of("msg_1"), state.path_of("none")) == (HELPER, (), ())
    assert state.paths == (HELPER,)
    assert [message.id for message in state.messages] == ["msg_1", "msg_2"]
    assert paths(signals)[3:] == [
        ("message.created", ()),
        ("message.created", HELPER),
        ("message.text", ()),
        ("message.text", HELPER),
        ("message.text", HELPER),
        ("message.text", ()),
        ("message.completed", HELPER),
        ("message.completed", ()),
    ]


def test_a_step_of_a_subagent() -> None:
    """Its reasoning, its calls, their results: each signal has its path, and keys have none."""
    call = GenericToolCall(id="call_1", type="web_search", name="look", arguments="{}")
    done = GenericToolCall(id="call_1", type="web_search", name="look", arguments="{}", output="found")
    events = [
        *START,
        at(reasoning_step("step_1")),
        append("step_1", "reasoning", "Hm"),
        append("step_1", "reasoning", "m"),
    ]
    events += [at(calls_step(call, id="step_2")), append("step_2", "output", "fo"), append("step_2", "output", "und")]
    events += [at(calls_step(done, id="step_2", status="completed"))]
    engine, signals = play(events)
    of_steps = paths(signals)[3:]
    assert {path for _, path in of_steps} == {HELPER}
    assert [kind for kind, _ in of_steps] == [
        "step.created",
        "reasoning.text",
        "reasoning.text",
        "step.created",
        "tool_call.arguments",
        "tool_call.output",
        "tool_call.output",
        "tool_call.completed",
        "tool_call.result",
        "step.completed",
    ]
    assert engine.states()[0].reasoning == ""
    assert "helper" not in "".join(signal.key for signal in signals)


def test_the_first_full_object_names_the_path() -> None:
    """The same message comes again in the parent's values: it stays the subagent's."""
    engine, _ = play([*START, at(message("msg_1")), ended("msg_1")])
    assert engine.states()[0].path_of("msg_1") == HELPER
    engine, _ = play([*START, append("msg_1", "text", "early"), at(message("msg_1"))])
    assert engine.states()[0].path_of("msg_1") == HELPER


def test_a_custom_event_with_a_path() -> None:
    """The signal has it."""
    _, signals = play([*START, CustomEvent(1, run_id="run_1", name="x", path=HELPER)])
    assert [signal.path for signal in signals if isinstance(signal, CustomReceived)] == [HELPER]
    assert signals[-1].to_dict()["path"] == [*HELPER]


def test_labels_and_subagents_are_steps() -> None:
    """They have a name, are created and completed, and survive a store; a subagent's own step is its parent's."""
    events: list[Any] = [*START]
    for id, kind, details in (
        ("label", "label", LabelDetails(name="plan")),
        ("agent", "subagent", SubagentDetails(name="helper", description="It looks things up")),
    ):
        for status in ("in_progress", "completed"):
            step = RunStep(id=id, run_id="run_1", type=kind, status=StepStatus(status), step_details=details)
            events.append(StepEvent(step, run_id="run_1", name="step"))
    engine, signals = play(events)
    state = engine.states()[0]
    assert [(step.type, step.name) for step in state.steps] == [("label", "plan"), ("subagent", "helper")]
    assert [signal.type for signal in signals[3:]] == ["step.created", "step.completed"] * 2
    assert RunStep.from_json(state.steps[1].to_json()) == state.steps[1]
    assert decode_state(encode_state(state)) == state


def test_paths_are_stored() -> None:
    """A fragment after a restart has the path of its message."""
    engine, _ = play([*START, at(message("msg_1")), append("msg_1", "text", "a"), DocumentSnapshot({}, run_id="run_1")])
    state = engine.states()[0]
    again = decode_state(encode_state(state))
    assert again == state
    assert (again.path_of("msg_1"), again.to_dict()["paths"]) == (HELPER, {"msg_1": [*HELPER]})
    other, _ = play([*START, message("msg_1"), append("msg_1", "text", "a"), DocumentSnapshot({}, run_id="run_1")])
    assert other.states()[0] != state


def test_the_path_costs_a_fragment_nothing_where_there_is_none() -> None:
    """The signals of texts without a path are made by the class itself."""
    engine, _ = play([*START, message("msg_1"), append("msg_1", "text", "a"), append("msg_1", "text", "b")])
    growing = engine.states()[0]._growing
    assert growing is not None
    assert isinstance(growing.signal, type)


def test_an_engine_without_progress_has_paths_too() -> None:
    """The facts alone have them."""
    engine = Engine(clock=lambda: 1.0, progress=False)
    _, signals = play([*START, at(message("msg_1")), append("msg_1", "text", "a"), at(ended("msg_1"))], engine)
    assert paths(signals)[3:] == [("message.created", HELPER), ("message.completed", HELPER)]


def test_a_record_of_a_log_has_the_path() -> None:
    """Only where there is one, so that records of other runs stay as they were."""
    _, signals = play([*START, message("msg_1"), at(message("msg_2", status=MessageStatus.COMPLETED))])
    fields = [log_record(signal)[2] for signal in signals]
    assert "path" not in fields[3]
    assert fields[-1]["path"] == [*HELPER]
