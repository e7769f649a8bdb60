"""Fields under other names and in other places than those of the AG-UI protocol, and results that come early."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream import Redaction
from runstream.engine.fold import fold
from runstream.model.common import Usage
from runstream.model.raw import RawEvent
from runstream.model.signals import ToolCallResult
from tests.dialects.agui import args, event, finished, folded, result, started, text


def opened(id: str = "c1", name: str = "f") -> RawEvent:
    return event("TOOL_CALL_START", toolCallId=id, toolCallName=name)


def ended(id: str = "c1") -> RawEvent:
    return event("TOOL_CALL_END", toolCallId=id)


# the names of fragments


@pytest.mark.parametrize("name", ["content", "text"])
@pytest.mark.parametrize("kind", ["TEXT_MESSAGE", "REASONING_MESSAGE"])
@pytest.mark.parametrize("last", ["CONTENT", "CHUNK"])
def test_a_fragment_of_a_text_under_another_name(name: str, kind: str, last: str) -> None:
    """It grows the text, is no reject, and is counted; ``delta`` has precedence where both are there."""
    start = [] if last == "CHUNK" else [event(f"{kind}_START", messageId="m1")]
    odd: list[dict[str, Any]] = [{name: "Hel"}, {name: "lo"}, {"delta": "!", name: "?"}]
    fragments = [event(f"{kind}_{last}", messageId="m1", **fields) for fields in odd]
    found = folded(started(), start, fragments, finished())
    (state,) = found.runs
    assert (state.text if kind == "TEXT_MESSAGE" else state.reasoning) == "Hello!"
    assert not found.rejects
    assert found.stats.violations["delta_name"] == 2


@pytest.mark.parametrize("value", ['{"a": 1}', {"a": 1}])
@pytest.mark.parametrize("name", ["args", "arguments", "content"])
def test_arguments_under_another_name(name: str, value: Any) -> None:
    """The call waits with its arguments; whole ones may be an object."""
    found = folded(started(), opened(), event("TOOL_CALL_ARGS", toolCallId="c1", **{name: value}), ended(), finished())
    (asked,) = found.runs[0].run.pending_tool_calls
    assert json.loads(asked.arguments or "") == {"a": 1}
    assert (len(found.rejects), found.stats.violations["delta_name"]) == (0, 1)


def test_a_fragment_under_no_known_name_is_a_reject() -> None:
    """The call that may miss a part of its arguments is not requested."""
    odd = event("TOOL_CALL_ARGS", toolCallId="c1", value="{}")
    found = fold([started(), opened(), odd, ended(), finished()], dialect="ag-ui")
    assert (found.runs[0].status, len(found.runs[0].run.pending_tool_calls)) == ("requires_action", 0)
    assert len(found.rejects) == 1


def test_names_of_events_in_the_framing_alone() -> None:
    """The dialect is found by them, too."""
    raws = []
    for raw in (started(), *text("Hello"), finished()):
        value = json.loads(raw.data)
        raws.append(RawEvent(event=value.pop("type"), data=json.dumps(value).encode()))
    found = fold(raws)
    assert [(state.status, state.text) for state in found.runs] == [("completed", "Hello ")]
    assert found.stats.violations["field_value"] == len(raws)


# what RUN_FINISHED has


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"inputTokens": 3, "outputTokens": 4}, (3, 4, 7)),
        ({"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}, (3, 4, 7)),
        ([{"input_tokens": 3, "output_tokens": 4}, {"totalTokens": 5}], (3, 4, 12)),
    ],
)
def test_usage_in_other_forms(usage: Any, expected: tuple[int, int, int]) -> None:
    """One entry without its list, the names of chat completions, and entries of which some have no total."""
    found = folded(started(), text("a"), finished(usage=usage)).runs[0].run.usage
    assert found == Usage(prompt_tokens=expected[0], completion_tokens=expected[1], total_tokens=expected[2])


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "interrupt", "interrupt": {"id": "i1", "reason": "x"}},
        {"outcome": "interrupt", "interrupts": [{"id": "i1", "reason": "x"}]},
        {"outcome": {"type": "interrupt"}, "interrupt": {"id": "i1", "reason": "x"}},
    ],
)
def test_interrupts_beside_the_outcome(fields: dict[str, Any]) -> None:
    """The drafts of the protocol had them there."""
    (state,) = folded(started(), text("Sure?"), finished(**fields)).runs
    action = state.run.required_action
    assert action is not None
    assert [(asked.kind, asked.id) for asked in action.calls] == [("interrupt", "i1")]  # type: ignore[union-attr]


# results that come early


@pytest.mark.parametrize("end", [[ended()], []])
@pytest.mark.parametrize("before", range(4))
def test_a_result_before_the_end_of_its_call(before: int, end: list[RawEvent]) -> None:
    """Wherever it comes, the call has its name, all its arguments and its result, and does not wait."""
    events = [opened(), args('{"a"'), args(":1}")]
    found = folded(started(), events[:before], result("ok"), events[before:], end, text("Done."), finished())
    (state,) = found.runs
    assert (state.status, state.run.pending_tool_calls) == ("completed", ())
    assert [(call.name, call.arguments, call.output) for call in state.tool_calls] == [("f", '{"a":1}', "ok")]
    assert [step.status for step in state.steps if step.tool_calls] == ["completed"]
    assert [type(signal) for signal in found.signals].count(ToolCallResult) == 1


def test_a_result_whose_call_is_never_announced() -> None:
    """It ends with its run, also with one that fails: it has its result."""
    (state,) = folded(started(), result("ok"), event("RUN_ERROR", message="x")).runs
    assert [(step.status, step.tool_calls[0].output) for step in state.steps] == [("completed", "ok")]


def test_a_redacted_recording_of_these_forms_says_the_same() -> None:
    """What people and tools said is blank; that the run waits, and for what, is not."""
    asked = {"outcome": "interrupt", "interrupt": {"id": "i1", "reason": "tool_call", "message": "secret?"}}
    odd = event("TOOL_CALL_ARGS", toolCallId="c1", args={"id": "secret", "status": 7})
    said = event("TEXT_MESSAGE_CHUNK", messageId="m1", content="secret")
    raws = [started(), said, opened(), odd, ended(), finished(**asked)]
    redact = Redaction()
    redacted = [redact(raw) for raw in raws]
    assert not any(b"secret" in raw.data or b"7" in raw.data for raw in redacted if raw is not None)
    found = fold([raw for raw in redacted if raw is not None])
    assert [signal.key for signal in found.signals] == [signal.key for signal in fold(raws).signals]
    action = found.runs[0].run.required_action
    assert [(asked.kind, asked.id) for asked in action.calls] == [("interrupt", "i1")]  # type: ignore[union-attr]
