"""Lenient reading: dialects are read right, unknown things are kept, mistyped values are reported and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runstream.errors import DecodeError
from runstream.model import (
    CodeInterpreterTool,
    FileCitationAnnotation,
    FunctionTool,
    FunctionToolCall,
    FunctionToolCallDelta,
    Message,
    MessageDelta,
    PromptTokensDetails,
    Run,
    RunStep,
    RunStepDelta,
    TextContent,
    TextContentDelta,
    TextPart,
    TextPartDelta,
    Thread,
    ToolCallsDelta,
    ToolCallsDetails,
    UnknownAction,
    UnknownAnnotation,
    UnknownDelta,
    UnknownDetails,
    UnknownFormat,
    UnknownOutput,
    UnknownPart,
    UnknownTool,
    UnknownToolCall,
    Usage,
    WireStruct,
)
from runstream.model.base import decode_hook
from runstream.model.frozen import FrozenList, FrozenMap
from runstream.model.lenient import Issue, read
from tests.model.kinds import KINDS, encoded, minimal
from tests.support import wire

RUN: dict[str, Any] = {"id": "run_1", "status": "queued"}


def clean(kind: Any, data: dict[str, Any]) -> Any:
    """The object read without an issue, by both doors; it writes what came."""
    issues: list[Issue] = []
    value = read(kind, data, issues)
    assert issues == []
    assert value is not None
    assert kind.from_json(data) == value
    assert kind.from_json(encoded(data)) == value
    assert value.to_dict() == data
    return value


def read_with_issues(kind: Any, data: dict[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    """The object, written as it came, and (path, reason) of its issues; the strict door names the first."""
    issues: list[Issue] = []
    value = read(kind, data, issues)
    for form in (data, encoded(data)):
        with pytest.raises(DecodeError) as caught:
            kind.from_json(form)
        assert (caught.value.path, caught.value.reason) == (issues[0].path, issues[0].reason)
    if value is not None:
        assert not any(issue.fatal for issue in issues)
        assert value.to_dict() == data
        again: list[Issue] = []
        assert read(kind, value.to_dict(), again) == value
        assert again == issues
        hash(value)
    return value, [(issue.path, issue.reason) for issue in issues]


# -- the dialects of the reference -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("came", "read_as"),
    [
        (1_790_000_000, 1_790_000_000),
        (0, 0),
        (-1, -1),
        (1_790_000_000_123, 1_790_000_000),  # Alibaba, Astra: milliseconds
        (99_999_999_999, 99_999_999_999),
        (100_000_000_000, 100_000_000),
        (1_790_000_000.75, 1_790_000_000),  # open-assistant-api: floats
        (1_790_000_000.0, 1_790_000_000),
        (1_790_000_000_123.5, 1_790_000_000),
    ],
)
def test_times_are_whole_unix_seconds(came: float, read_as: int) -> None:
    """Milliseconds and floats are read as seconds, in every object that has times, and written as they came."""
    for kind, least in ((Run, RUN), (RunStep, {"id": "s"}), (Message, {"id": "m"}), (Thread, {"id": "t"})):
        value = clean(kind, {**least, "created_at": came})
        assert value.created_at == read_as
        assert type(value.created_at) is int
        assert type(value.to_dict()["created_at"]) is type(came)


@pytest.mark.parametrize("came", [1e15, 10**17, 1e300, 10**40])
def test_what_is_no_time_in_any_unit(came: Any) -> None:
    """A number that is a time neither in seconds nor in milliseconds is reported, and kept."""
    value, issues = read_with_issues(Run, {**RUN, "created_at": came, "expires_at": 5})
    assert value.created_at is None
    assert value.expires_at == 5
    assert [path for path, _ in issues] == ["$.created_at"]


def test_agent_id() -> None:
    """Azure's name for the assistant's id is read in runs, steps and messages."""
    for kind, least in ((Run, RUN), (RunStep, {"id": "s"}), (Message, {"id": "m"})):
        assert clean(kind, {**least, "agent_id": "asst_1"}).assistant_id == "asst_1"
        both = clean(kind, {**least, "agent_id": "asst_1", "assistant_id": "asst_2"})
        assert both.assistant_id == "asst_2"
        assert both.extra() == {}
    assert Run.from_json({**RUN, "agent_id": "asst_1", "assistant_id": None}).assistant_id == "asst_1"
    assert Run.from_json({**RUN, "agent_id": None, "assistant_id": "asst_2"}).assistant_id == "asst_2"


@pytest.mark.parametrize("name", ["prompt_tokens_details", "prompt_token_details", "input_tokens_details"])
def test_every_spelling_of_usage_details(name: str) -> None:
    """All spellings are read into one field, and written as they came."""
    usage = clean(Usage, {"prompt_tokens": 3, name: {"cached_tokens": 2}})
    assert usage.prompt_tokens_details == PromptTokensDetails(cached_tokens=2)
    assert clean(Run, {**RUN, "usage": {name: {"cached_tokens": 2}}}).usage.prompt_tokens_details.cached_tokens == 2
    clean(Usage, {name: {"cached_tokens": 2, "x": 1}})
    clean(Usage, {name: {"cached_tokens": 2}, "x": 1})


def test_input_and_output_tokens() -> None:
    """Alibaba's names for the token counts are read."""
    data = {
        "input_tokens": 7,
        "output_tokens": 5,
        "total_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    usage = clean(Usage, data)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (7, 5, 12)
    assert usage.completion_tokens_details.reasoning_tokens == 4


def test_both_spellings_at_once() -> None:
    """The specification's name counts; nothing is lost of the other."""
    usage = clean(Usage, {"prompt_tokens": 1, "input_tokens": 2})
    assert usage.prompt_tokens == 1
    usage = clean(Usage, {"prompt_tokens_details": {"cached_tokens": 1}, "prompt_token_details": {"cached_tokens": 2}})
    assert usage.prompt_tokens_details.cached_tokens == 1
    same = {"prompt_tokens_details": {"cached_tokens": 1}, "prompt_token_details": {"cached_tokens": 1}}
    assert clean(Usage, same).to_dict() == same
    three = {**same, "input_tokens_details": {"cached_tokens": 3}}
    assert clean(Usage, three).prompt_tokens_details.cached_tokens == 1


def test_usage_in_the_metadata_of_a_step() -> None:
    """open-assistant-api's usage is read from a step's metadata too."""
    step = clean(RunStep, {"id": "s", "metadata": {"usage": '{"prompt_tokens": 1}'}})
    assert step.usage == Usage(prompt_tokens=1)
    changed = step.replace(metadata=None)
    assert changed.usage == Usage(prompt_tokens=1)
    assert changed.to_dict() == {"id": "s", "usage": {"prompt_tokens": 1}}
    message = clean(Message, {"id": "m", "metadata": {"usage": "1"}})
    assert message.metadata == {"usage": "1"}


def test_content_as_an_object() -> None:
    """Alibaba's `delta.content` is one object without an index: a list of one, for its readers."""
    data = {"id": "m", "delta": {"content": {"type": "text", "text": {"value": "Hi"}}}}
    delta = clean(MessageDelta, data)
    (part,) = delta.delta.content
    assert isinstance(part, TextPartDelta)
    assert part.text is not None
    assert (part.index, part.text.value) == (0, "Hi")
    (part,) = clean(Message, {"id": "m", "content": {"type": "new", "new": [1]}}).content
    assert isinstance(part, UnknownPart)


def test_tool_calls_null() -> None:
    """Astra's step delta with `tool_calls: null` has no calls."""
    data = {"id": "s", "delta": {"step_details": {"type": "tool_calls", "tool_calls": None}}}
    delta = RunStepDelta.from_json(data)
    assert isinstance(delta.delta.step_details, ToolCallsDelta)
    assert delta.delta.step_details.tool_calls is None
    assert delta.to_dict() == {"id": "s", "delta": {"step_details": {"type": "tool_calls"}}}
    step = RunStep.from_json({"id": "s", "step_details": {"type": "tool_calls", "tool_calls": None}})
    assert step.tool_calls == ()
    assert step.to_dict() == {"id": "s", "step_details": {"type": "tool_calls"}}


def test_an_extra_status() -> None:
    """Astra's `generating` is a status like any other, of runs and of steps."""
    assert clean(Run, {**RUN, "status": "generating"}).status == "generating"
    assert clean(RunStep, {"id": "s", "status": "generating"}).status == "generating"
    assert clean(Message, {"id": "m", "status": "generating"}).status == "generating"


def test_extra_top_level_fields() -> None:
    """Fields that a server adds are kept, wherever they stand."""
    data = {
        **RUN,
        "x": {"a": [None]},
        "tools": [{"type": "function", "function": {"name": "f", "x": 1}, "y": None, "z": 2}],
    }
    run = Run.from_json(data)
    assert run.extra() == {"x": {"a": [None]}}
    (tool,) = run.tools
    assert isinstance(tool, FunctionTool)
    assert tool.extra() == {"z": 2}
    assert tool.function.extra() == {"x": 1}
    assert run.to_dict() == {**data, "tools": [{"type": "function", "function": {"name": "f", "x": 1}, "z": 2}]}


@pytest.mark.parametrize("number", [3.0, -0.0, 1e20])
def test_whole_floats_count_as_integers(number: float) -> None:
    """A count sent as a float is read as an integer."""
    run = clean(Run, {**RUN, "max_prompt_tokens": number})
    assert run.max_prompt_tokens == number
    assert type(run.max_prompt_tokens) is int


# -- what is not known -----------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["new_thing", "", "$unknown", "$runstream.raw", None, 5, ["x"], {"type": "x"}])
def test_unknown_members_are_kept_as_they_came(tag: Any) -> None:
    """Whatever its `type`, and with nulls and all, an unknown object survives in every place that has types."""
    cases: tuple[tuple[Any, dict[str, Any], Callable[[Any], Any], type], ...]
    odd = {"type": tag, "raw": {"a": None}, "$runstream.wire": 1, "x": [None, {"y": None}]}
    annotation = {"type": "text", "text": {"value": "", "annotations": [odd]}}
    cases = (
        (Run, {**RUN, "tools": [odd]}, lambda run: run.tools[0], UnknownTool),
        (Run, {**RUN, "required_action": odd}, lambda run: run.required_action, UnknownAction),
        (Run, {**RUN, "response_format": odd}, lambda run: run.response_format, UnknownFormat),
        (RunStep, {"id": "s", "step_details": odd}, lambda step: step.step_details, UnknownDetails),
        (
            RunStep,
            {"id": "s", "step_details": {"type": "tool_calls", "tool_calls": [odd]}},
            lambda step: step.tool_calls[0],
            UnknownToolCall,
        ),
        (
            RunStep,
            {
                "id": "s",
                "step_details": {
                    "type": "tool_calls",
                    "tool_calls": [{"type": "code_interpreter", "id": "c", "code_interpreter": {"outputs": [odd]}}],
                },
            },
            lambda step: step.tool_calls[0].code_interpreter.outputs[0],
            UnknownOutput,
        ),
        (Message, {"id": "m", "content": [odd]}, lambda message: message.content[0], UnknownPart),
        (Message, {"id": "m", "content": [annotation]}, lambda message: message.annotations[0], UnknownAnnotation),
        (MessageDelta, {"id": "m", "delta": {"content": [odd]}}, lambda it: it.delta.content[0], UnknownDelta),
        (RunStepDelta, {"id": "s", "delta": {"step_details": odd}}, lambda it: it.delta.step_details, UnknownDelta),
    )
    for kind, data, find, expected in cases:
        value = clean(kind, data)
        found = find(value)
        assert type(found) is expected
        assert found.to_dict() == odd
        assert found.type == (tag if isinstance(tag, str) else "")
        assert found.raw["x"][1] == {"y": None}
        assert found.extra() == {key: item for key, item in odd.items() if key != "type"}
        assert value._wire is None or kind is RunStep or tag is None


def test_an_unknown_tag_alone() -> None:
    """The name that the library gives its unknown members is no name on the wire."""
    for odd in ({"type": "$unknown"}, {"type": "$unknown", "raw": {}}, {"type": "$unknown", "raw": {"type": "x"}}):
        run = clean(Run, {**RUN, "tools": [odd]})
        assert isinstance(run.tools[0], UnknownTool)
        assert run.tools[0].type == "$unknown"


def test_a_known_type_without_its_body_is_kept_without_complaint() -> None:
    """What lacks the part that makes it what it says is kept as unknown: nothing in it has a wrong type."""
    for odd in (
        {"type": "function"},
        {"type": "function", "function": {}},
        {"type": "function", "function": {"description": "no name"}},
    ):
        assert clean(Run, {**RUN, "tools": [odd]}).tools == (UnknownTool.from_json(odd),)
    action = {"type": "submit_tool_outputs"}
    assert clean(Run, {**RUN, "required_action": action}).required_action == UnknownAction.from_json(action)
    assert clean(Run, {**RUN, "required_action": {}}).required_action.type == ""
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    (found,) = clean(RunStep, {"id": "s", "step_details": {"type": "tool_calls", "tool_calls": [call]}}).tool_calls
    assert (type(found), found.id, found.name, found.arguments) == (UnknownToolCall, "", "f", "{}")
    assert clean(Message, {"id": "m", "content": [{"type": "text"}]}).text == ""


def test_the_name_of_the_body_replaces_a_missing_type() -> None:
    """Every inner field of a delta is optional, its `type` too; what has one known body is of that type."""
    data = {"id": "s", "delta": {"step_details": {"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]}}}
    delta = clean(RunStepDelta, data)
    (call,) = delta.delta.step_details.tool_calls
    assert isinstance(call, FunctionToolCallDelta)
    assert call.function is not None
    assert (call.type, call.index, call.function.arguments) == ("function", 1, "{")
    (part,) = MessageDelta.from_json({"id": "m", "delta": {"content": [{"type": None, "text": {}}]}}).delta.content
    assert type(part) is TextPartDelta
    assert part.to_dict() == {"text": {}}
    two = {"text": {"value": ""}, "refusal": ""}
    (part,) = clean(MessageDelta, {"id": "m", "delta": {"content": [two]}}).delta.content
    assert type(part) is UnknownDelta


# -- what has a wrong type -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data", "path", "reason"),
    [
        (Run, {"created_at": "now"}, "$.created_at", "Expected `int`, got `str`"),
        (Run, {"created_at": True}, "$.created_at", "Expected `int`, got `bool`"),
        (Run, {"created_at": "1790000000"}, "$.created_at", "Expected `int`, got `str`"),
        (Run, {"max_prompt_tokens": 1.5}, "$.max_prompt_tokens", "Expected `int`, got `float`"),
        (Run, {"max_prompt_tokens": False}, "$.max_prompt_tokens", "Expected `int`, got `bool`"),
        (Run, {"max_prompt_tokens": "5"}, "$.max_prompt_tokens", "Expected `int`, got `str`"),
        (Run, {"temperature": "hot"}, "$.temperature", "Expected `float`, got `str`"),
        (Run, {"temperature": True}, "$.temperature", "Expected `float`, got `bool`"),
        (Run, {"parallel_tool_calls": 1}, "$.parallel_tool_calls", "Expected `bool`, got `int`"),
        (Run, {"parallel_tool_calls": "yes"}, "$.parallel_tool_calls", "Expected `bool`, got `str`"),
        (Run, {"model": ["gpt"]}, "$.model", "Expected `str`, got `array`"),
        (Run, {"agent_id": 5}, "$.agent_id", "Expected `str`, got `int`"),
        (Run, {"tools": "all"}, "$.tools", "Expected `array`, got `str`"),
        (Run, {"tools": {}}, "$.tools", "Expected `array`, got `object`"),
        (Run, {"tools": {"type": None}}, "$.tools", "Expected `array`, got `object`"),
        (Run, {"tools": [None]}, "$.tools[0]", "Expected `object`, got `null`"),
        (Run, {"tools": [{"type": "code_interpreter"}, 5]}, "$.tools[1]", "Expected `object`, got `int`"),
        (
            Run,
            {"tools": [{"type": "function", "function": {"name": 5}}]},
            "$.tools[0].function.name",
            "Expected `str`, got `int`",
        ),
        (Run, {"tools": [{"type": "function", "function": 5}]}, "$.tools[0].function", "Expected `object`, got `int`"),
        (
            Run,
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "$.tools[0].function.parameters",
            "Expected `object`, got `array`",
        ),
        (Run, {"metadata": ["a"]}, "$.metadata", "Expected `object`, got `array`"),
        (Run, {"metadata": {"a": "b", "n": 1}}, "$.metadata.n", "Expected `str`, got `int`"),
        (Run, {"metadata": {"ключ №1": {}}}, '$.metadata["ключ №1"]', "Expected `str`, got `object`"),
        (Run, {"required_action": "submit"}, "$.required_action", "Expected `object`, got `str`"),
        (
            Run,
            {"required_action": {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": 5}}},
            "$.required_action.submit_tool_outputs.tool_calls",
            "Expected `array`, got `int`",
        ),
        (Run, {"last_error": {"code": 500}}, "$.last_error.code", "Expected `str`, got `int`"),
        (Run, {"last_error": "boom"}, "$.last_error", "Expected `object`, got `str`"),
        (Run, {"tool_choice": 5}, "$.tool_choice", "Expected `str`, got `int`"),
        (Run, {"tool_choice": {"type": 5}}, "$.tool_choice.type", "Expected `str`, got `int`"),
        (Run, {"response_format": ["auto"]}, "$.response_format", "Expected `str`, got `array`"),
        (
            Run,
            {"usage": {"prompt_tokens": {}}},
            "$.usage.prompt_tokens",
            "Expected `int`, got `object`",
        ),
        (Run, {"usage": []}, "$.usage", "Expected `object`, got `array`"),
        (Run, {"file_ids": {}}, "$.file_ids", "Expected `array`, got `object`"),
        (RunStep, {"status": 5}, "$.status", "Expected `str`, got `int`"),
        (RunStep, {"step_details": []}, "$.step_details", "Expected `object`, got `array`"),
        (
            RunStep,
            {"step_details": {"type": "tool_calls", "tool_calls": [{"type": "function", "id": 1, "function": {}}]}},
            "$.step_details.tool_calls[0].id",
            "Expected `str`, got `int`",
        ),
        (Message, {"content": 5}, "$.content", "Expected `array`, got `int`"),
        (
            Message,
            {"content": [{"type": "text", "text": ["Hello"]}]},
            "$.content[0].text",
            "Expected `object`, got `array`",
        ),
        (
            Message,
            {"content": [{"type": "text", "text": {"annotations": [{"type": "file_path", "start_index": "0"}]}}]},
            "$.content[0].text.annotations[0].start_index",
            "Expected `int`, got `str`",
        ),
        (MessageDelta, {"delta": "x"}, "$.delta", "Expected `object`, got `str`"),
        (
            MessageDelta,
            {"delta": {"content": [{"type": "text", "index": "first"}]}},
            "$.delta.content[0].index",
            "Expected `int`, got `str`",
        ),
        (RunStepDelta, {"delta": []}, "$.delta", "Expected `object`, got `array`"),
        (Thread, {"tool_resources": []}, "$.tool_resources", "Expected `object`, got `array`"),
    ],
)
def test_mistyped_values_are_kept_and_reported(kind: Any, data: dict[str, Any], path: str, reason: str) -> None:
    """A value of an unexpected type makes no object unreadable; it is written as it came, and its place is named."""
    data = {**minimal(kind), **data}
    value, issues = read_with_issues(kind, data)
    assert value is not None
    assert issues == [(path, reason)]


def test_what_stands_beside_a_mistyped_value_is_read() -> None:
    """Entries and items that are as they should be are read; the others are missing from the value alone."""
    data = {
        **RUN,
        "metadata": {"a": "b", "n": 1},
        "tools": [{"type": "code_interpreter"}, 5, {"type": "new"}],
        "usage": {"prompt_tokens": "x", "total_tokens": 5},
        "created_at": 7,
        "expires_at": "soon",
    }
    run, issues = read_with_issues(Run, data)
    assert run.metadata == {"a": "b"}
    assert [tool.type for tool in run.tools] == ["code_interpreter", "new"]
    assert run.usage.total_tokens == 5
    assert run.usage.prompt_tokens is None
    assert run.created_at == 7
    assert [path for path, _ in issues] == ["$.expires_at", "$.tools[1]", "$.metadata.n", "$.usage.prompt_tokens"]


def test_nulls_in_metadata_are_no_issue() -> None:
    """A null says that there is no value; it is not read, and written as it came."""
    run = clean(Run, {**RUN, "metadata": {"a": "b", "n": None}})
    assert run.metadata == {"a": "b"}


def test_a_known_tag_with_a_mistyped_body_is_unknown_and_an_issue() -> None:
    """Such a tool is kept raw; the issue names the value."""
    tool = {"type": "function", "function": {"name": "f", "strict": "yes"}}
    run, issues = read_with_issues(Run, {**RUN, "tools": [tool]})
    (found,) = run.tools
    assert isinstance(found, FunctionTool)
    assert found.function.strict is None
    assert issues == [("$.tools[0].function.strict", "Expected `bool`, got `str`")]
    run, issues = read_with_issues(Run, {**RUN, "tools": [{"type": "function", "function": ["f"]}]})
    assert isinstance(run.tools[0], UnknownTool)
    assert issues == [("$.tools[0].function", "Expected `object`, got `array`")]


def test_replace_keeps_what_could_not_be_read() -> None:
    """Values kept raw stay when another field is replaced, and go when their own is."""
    run, _ = read_with_issues(Run, {**RUN, "created_at": "now", "tools": "all"})
    assert run.replace(model="m").to_dict() == {**RUN, "created_at": "now", "tools": "all", "model": "m"}
    assert run.replace(created_at=5).to_dict() == {**RUN, "created_at": 5, "tools": "all"}
    assert run.replace(created_at=None, tools=None).to_dict() == RUN


# -- what is essential -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Run, RunStep, Message, Thread, MessageDelta, RunStepDelta])
@pytest.mark.parametrize("value", [None, 5, True, [], {}, 1.5, "absent"])
def test_without_an_id_nothing_can_be_used(kind: Any, value: Any) -> None:
    """A missing or mistyped id is fatal in every object that has one of its own, and alone in that."""
    data = {**minimal(kind), "id": value}
    if value == "absent":
        del data["id"]
    issues: list[Issue] = []
    assert read(kind, data, issues, "$.data") is None
    assert issues[-1].fatal
    assert issues[-1].path == "$.data.id"
    assert read(kind, {**minimal(kind), "x": 1}, []) is not None


@pytest.mark.parametrize("value", [None, 5, True, [], {}, "absent"])
def test_without_a_status_a_run_can_not_be_used(value: Any) -> None:
    """A missing or mistyped status is fatal for a run, and for no other object."""
    data = {"id": "r", "status": value}
    if value == "absent":
        del data["status"]
    issues: list[Issue] = []
    assert read(Run, {"created_at": "x", **data}, issues) is None
    assert issues[-1].fatal
    assert issues[-1].path == "$.status"
    for kind in (RunStep, Message):
        issues = []
        assert read(kind, data, issues) is not None
        assert not any(issue.fatal for issue in issues)


@pytest.mark.parametrize("kind", [MessageDelta, RunStepDelta])
@pytest.mark.parametrize("delta", [{}, {"delta": None}, {"delta": 5}, {"delta": []}])
def test_a_delta_without_a_body_adds_nothing(kind: Any, delta: dict[str, Any]) -> None:
    """Only the id is essential to a delta."""
    value = read(kind, {"id": "x", **delta}, [])
    assert value is not None
    assert value.delta == type(value.delta)()
    assert value.to_dict() == {"id": "x", **{key: item for key, item in delta.items() if item is not None}}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("data", [[], "x", 5, None, True])
def test_what_is_no_object(kind: type[WireStruct], data: Any) -> None:
    """What is not an object at all can't be read as one."""
    issues: list[Issue] = []
    if data == "x" and kind in (TextPart, TextContent, TextPartDelta, TextContentDelta):
        assert read(kind, data, issues) is not None  # a text in place of its part
        return
    assert read(kind, data, issues) is None
    assert [issue.path for issue in issues] == ["$"]
    with pytest.raises(DecodeError, match="Expected `object`"):
        kind.from_json(json.dumps(data))


def test_the_wrong_type_of_object() -> None:
    """An object that says to be another than was asked for is refused; one that says nothing is taken at our word."""
    for tag in ("file_search", "", 5, ["code_interpreter"]):
        with pytest.raises(DecodeError) as caught:
            CodeInterpreterTool.from_json({"type": tag})
        assert caught.value.path == "$.type"
        with pytest.raises(DecodeError):
            CodeInterpreterTool.from_json(encoded({"type": tag}))
    assert CodeInterpreterTool.from_json('{"type": "code_interpreter"}') == CodeInterpreterTool()
    assert clean(CodeInterpreterTool, {}).type == "code_interpreter"
    assert clean(CodeInterpreterTool, {"x": 1}).extra() == {"x": 1}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[DONE]",
        b"nope",
        b'{"id": "r", "status": "queued"',
        b'{"id": "r", "status": "queued"}}',
        b'{"id": "\xff", "status": "queued", "temperature": 1e999}',
        b'{"id": "r", "status": "\xff',
        b'{"id": "r", "status": "queued", "temperature": NaN}',
        b'{"id": "r", "status": "queued", "temperature": Infinity}',
        b'{"id": "r", "status": "queued", "temperature": 1e999}',
        b'{"id": "r", "status": "queued", "x": 1e999}',
        b'{"id": "r", "status": "queued", "created_at": 1e999}',
        b'{"id": "r", "status": "queued", "x": ' + b"9" * 5000 + b"}",
        b'{"id": "r", "status": "queued", "created_at": ' + b"9" * 5000 + b"}",
        b'{"id": "r", "status": "queued", "tool_resources": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
        b'{"id": "r", "status": "queued", "x": ' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"id": "r", "status": "queued", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"x": "' + b'\\"' * 100_000,
    ],
    ids=lambda text: repr(text[:60]),
)
def test_text_that_can_not_be_read(text: bytes) -> None:
    """Whatever the text, there is one kind of error."""
    with pytest.raises(DecodeError):
        Run.from_json(text)
    with pytest.raises(DecodeError):
        Run.from_json(text.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), {1: 2}, b"x", {1, 2}, object(), 10**5000, [[object()]]],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("name", ["x", "temperature", "tool_resources", "model"])
def test_mappings_that_are_no_json(name: str, value: Any) -> None:
    """A mapping may hold JSON values alone; the error names the place of any other."""
    with pytest.raises(DecodeError) as caught:
        Run.from_json({**RUN, name: value})
    assert caught.value.path.startswith(f"$.{name}")


def test_mappings_that_contain_themselves() -> None:
    """A mapping without an end is nested too deeply."""
    endless: dict[str, Any] = {**RUN}
    endless["x"] = endless
    with pytest.raises(DecodeError, match="Nested more than 128"):
        Run.from_json(endless)


def test_the_deepest_that_is_read() -> None:
    """Up to the limit everything works: reading, writing, comparing, hashing."""
    for levels in (126, 127):
        deep: Any = []
        for _ in range(levels - 1):
            deep = [deep]
        for data in ({**RUN, "x": deep}, {**RUN, "tool_resources": {"x": deep[0]}}):
            run = Run.from_json(json.dumps(data))
            assert run == Run.from_json(data)
            assert hash(run) == hash(Run.from_json(data))
            assert run.to_dict() == data
            assert Run.from_json(run.to_json()) == run


def test_brackets_in_strings_do_not_nest() -> None:
    """Text full of brackets is text."""
    text = '[{"' * 1000 + "\\"
    run = Run.from_json(json.dumps({**RUN, "instructions": text, "x": text}))
    assert run.instructions == text


# -- details ---------------------------------------------------------------------------------------


def test_reading_from_a_frozen_mapping() -> None:
    """What was read before can be read again."""
    data = FrozenMap({**RUN, "x": [1], "tools": [{"type": "new"}]})
    assert read(Run, data, []) == Run.from_json(data)


def test_the_hook_refuses_what_it_does_not_know() -> None:
    """No decoder builds a field of the library's own."""
    for kind in (FrozenMap, FrozenList, int, type(None)):
        with pytest.raises(TypeError):
            decode_hook(kind, "text")


def test_annotations_of_both_kinds_in_one_part() -> None:
    """Known and unknown annotations stand side by side, in order."""
    part = wire.text_part("Hi [1]", [wire.file_citation("[1]", 3, "file_1"), {"type": "container", "text": "x"}])
    message = clean(Message, {"id": "m", "content": [part]})
    (text,) = message.content
    assert isinstance(text, TextPart)
    assert [type(note) for note in message.annotations] == [FileCitationAnnotation, UnknownAnnotation]


def test_known_and_unknown_calls_in_one_step() -> None:
    """Known and unknown calls stand side by side, in order."""
    calls = [wire.function_call("c1", "f", "{}"), {"id": "c2", "type": "browser", "browser": {}}]
    data = {"id": "s", "step_details": wire.tool_calls(*calls)}
    step = RunStep.from_json(data)
    assert isinstance(step.step_details, ToolCallsDetails)
    assert [type(call) for call in step.tool_calls] == [FunctionToolCall, UnknownToolCall]
    assert [call.id for call in step.tool_calls] == ["c1", "c2"]
