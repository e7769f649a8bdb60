"""The Run, member for member of the seed's page, and what runstream adds to it."""

from __future__ import annotations

import copy
import json
import pickle
import re
from typing import Any

import pytest
from msgspec.structs import fields

from runstream.errors import DecodeError, RunstreamError
from runstream.model import (
    FrozenList,
    FrozenMap,
    FunctionDefinition,
    FunctionTool,
    LastError,
    Run,
    RunStatus,
    StringMap,
    SubmitToolApprovalAction,
    UnknownAction,
    UnknownTool,
    Usage,
)
from runstream.model.base import decoder
from tests.model.seed import FIELDS, Field
from tests.support import wire

ACTION = wire.required_action(wire.function_call("call_1", "get_weather", '{"city": "Kyiv"}'))
FULL: dict[str, Any] = {
    **wire.run_object("run_1", status="requires_action"),
    "created_at": 1_790_000_000,
    "expires_at": 1_790_000_600,
    "started_at": 1_790_000_001,
    "cancelled_at": 1_790_000_002,
    "failed_at": 1_790_000_003,
    "completed_at": 1_790_000_004,
    "required_action": ACTION,
    "last_error": {"code": "server_error", "message": "Sorry."},
    "incomplete_details": {"reason": "max_prompt_tokens"},
    "instructions": "Be brief.",
    "tools": [
        {"type": "code_interpreter"},
        wire.function_tool("get_weather", "Weather.", {"city": {"type": "string"}}),
    ],
    "metadata": {"user": "u_1"},
    "usage": wire.usage(10, 5),
    "temperature": 0.5,
    "top_p": 0.25,
    "max_prompt_tokens": 1000,
    "max_completion_tokens": 500,
    "truncation_strategy": {"type": "last_messages", "last_messages": 10},
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
    "tool_resources": {"code_interpreter": {"file_ids": ["file_1"]}},
    "reasoning_effort": "low",
}
STATUSES = (
    # status, isProcessing, requiresAction, isComplete, isFailed, as the seed has them
    ("queued", True, False, False, False),
    ("in_progress", True, False, False, False),
    ("requires_action", False, True, False, False),
    ("cancelling", True, False, False, False),
    ("cancelled", False, False, False, False),
    ("failed", False, False, False, True),
    ("completed", False, False, True, False),
    ("incomplete", False, False, False, False),
    ("expired", False, False, False, False),
    ("generating", False, False, False, False),
    ("", False, False, False, False),
    ("COMPLETED", False, False, False, False),
)


def run_of(**changes: Any) -> Run:
    """The full run with changes to its JSON."""
    return Run.from_json({**FULL, **changes})


# -- fields ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.dart)
def test_every_field_of_the_seed(field: Field) -> None:
    """Each constructor parameter has its attribute in snake_case, with the value and the type that it should have."""
    assert field.name == re.sub("([A-Z])", r"_\1", field.dart).lower()
    value = getattr(Run.from_json(json.dumps(FULL)), field.name)
    assert type(value).__name__ == field.type
    assert _plain(value) == _sent(field.name)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [item.to_dict() for item in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


def _sent(name: str) -> Any:
    return FULL[name]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.dart)
def test_only_id_and_status_are_required(field: Field) -> None:
    """Absent and null fields read as None, lists and metadata as empty; servers leave out much."""
    least: dict[str, Any] = {"id": "run_1", "status": "queued"}
    if field.name in least:
        data = {name: value for name, value in least.items() if name != field.name}
        with pytest.raises(DecodeError) as caught:
            Run.from_json(data)
        assert caught.value.path == f"$.{field.name}"
        assert "missing" in caught.value.reason
        with pytest.raises(DecodeError) as caught:
            Run.from_json({**least, field.name: None})
        assert caught.value.path == f"$.{field.name}"
        assert "null" in caught.value.reason
        return
    empties: dict[str, Any] = {"tools": (), "metadata": {}}
    empty = empties.get(field.name)
    for data in (least, {**least, field.name: None}):
        for form in (data, json.dumps(data), json.dumps(data).encode()):
            run = Run.from_json(form)
            assert getattr(run, field.name) == empty
            assert run.to_dict() == least


def test_there_is_no_field_that_the_tests_forget() -> None:
    """The seed's fields, and the three that were seen on the wire besides, are all there are."""
    known = {field.name for field in FIELDS} | {"tool_resources", "reasoning_effort", "file_ids"}
    assert {item.name for item in fields(Run) if not item.name.startswith("_")} == known


# -- what the status says -------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "processing", "action", "complete", "failed"), STATUSES)
def test_the_seeds_questions(status: str, processing: bool, action: bool, complete: bool, failed: bool) -> None:
    """isProcessing, requiresAction, isComplete and isFailed mean exactly what they mean in the seed."""
    run = run_of(status=status)
    assert run.is_processing is processing
    assert run.requires_action is action
    assert run.is_complete is complete
    assert run.is_failed is failed


@pytest.mark.parametrize("status", [row[0] for row in STATUSES])
def test_what_the_seed_lacks(status: str) -> None:
    """Each way to end has its own question, and one asks for all of them."""
    run = run_of(status=status)
    assert run.is_cancelled is (status == "cancelled")
    assert run.is_expired is (status == "expired")
    assert run.is_incomplete is (status == "incomplete")
    ended = status in {"completed", "failed", "cancelled", "expired", "incomplete"}
    assert run.is_terminal is ended
    assert run.status.is_terminal is ended
    assert [run.is_processing, run.requires_action, run.is_terminal].count(True) == run.status.is_known


@pytest.mark.parametrize("status", ["generating", "", "requires action", "статус", "\x00", "None"])
def test_an_unknown_status_is_no_error(status: str) -> None:
    """A status of the server's own is a member like any other, but `is_known` is false."""
    run = run_of(status=status)
    assert run.status == status
    assert isinstance(run.status, RunStatus)
    assert not run.status.is_known
    assert run.to_dict()["status"] == status
    assert json.loads(run.to_json())["status"] == status
    assert run == run_of(status=status)
    assert hash(run.status) == hash(status)
    assert pickle.loads(pickle.dumps(run.status)) == run.status
    assert copy.deepcopy(run.status) == run.status
    assert status not in RunStatus.__members__.values()
    assert len(RunStatus) == 9


def test_the_known_statuses() -> None:
    """The nine statuses of the specification are known, and singletons."""
    assert [status.value for status in RunStatus] == [
        "queued",
        "in_progress",
        "requires_action",
        "cancelling",
        "cancelled",
        "failed",
        "completed",
        "incomplete",
        "expired",
    ]
    for status in RunStatus:
        assert status.is_known
        assert run_of(status=status.value).status is status


@pytest.mark.parametrize("status", [5, True, ["queued"], {"queued": 1}, 1.5])
def test_a_status_must_be_a_string(status: Any) -> None:
    """A status of another type is an error that names its place."""
    for data in ({**FULL, "status": status}, json.dumps({**FULL, "status": status})):
        with pytest.raises(DecodeError, match="Expected `str`") as caught:
            Run.from_json(data)
        assert caught.value.path == "$.status"


# -- copyWith ----------------------------------------------------------------------------------------


NEW: dict[str, Any] = {
    "status": RunStatus.COMPLETED,
    "required_action": SubmitToolApprovalAction.from_json(
        {"type": "submit_tool_approval", "submit_tool_approval": {"tool_calls": [{"type": "mcp", "id": "c"}]}}
    ),
    "last_error": LastError(code="x", message="y"),
    "tools": [UnknownTool.from_json({"type": "browser"})],
    "metadata": {"other": "o"},
    "usage": Usage(total_tokens=1),
    "parallel_tool_calls": False,
    "tool_choice": "none",
    "response_format": "auto",
    "incomplete_details": None,
    "truncation_strategy": None,
}


@pytest.mark.parametrize("extra", [{}, {"x_field": {"deep": [None, 1]}}], ids=["plain", "with unknown fields"])
@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.dart)
def test_replace_changes_one_field(field: Field, extra: dict[str, Any]) -> None:
    """An omitted field keeps its value; nothing but the named field changes, unknown fields included."""
    run = run_of(**extra)
    before = run.to_dict()
    new = NEW.get(field.name, {"str": "new", "int": 1_700_000_000, "float": 0.75}.get(field.type))
    changed = run.replace(**{field.name: new})
    assert getattr(changed, field.name) == (tuple(new) if isinstance(new, list) else new)
    for other in FIELDS:
        if other.name != field.name:
            assert getattr(changed, other.name) == getattr(run, other.name)
    written = changed.to_dict()
    value = written.pop(field.name, None)
    assert value == (_plain(tuple(new)) if isinstance(new, list) else _plain(new))
    assert written == {name: value for name, value in before.items() if name != field.name}
    assert changed.extra() == extra
    assert run.to_dict() == before
    assert run == run_of(**extra)
    assert Run.from_json(changed.to_json()) == changed
    assert hash(Run.from_json(changed.to_json())) == hash(changed)


@pytest.mark.parametrize("extra", [{}, {"x_field": 1}], ids=["plain", "with unknown fields"])
@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.dart)
def test_an_explicit_none_clears(field: Field, extra: dict[str, Any]) -> None:
    """None clears a field, as null does in the seed; the two that a run can't be without can't be cleared."""
    run = run_of(**extra)
    if field.name in {"id", "status"}:
        with pytest.raises(TypeError, match="can't be cleared"):
            run.replace(**{field.name: None})
        return
    cleared = run.replace(**{field.name: None})
    assert not getattr(cleared, field.name)
    assert field.name not in cleared.to_dict()
    assert cleared.to_dict() == {name: value for name, value in run.to_dict().items() if name != field.name}
    assert cleared == Run.from_json({**FULL, **extra, field.name: None})


def test_replacing_nothing_gives_an_equal_run() -> None:
    """Without arguments the copy is equal."""
    for run in (run_of(), run_of(x=1)):
        assert run.replace() == run
        assert run.replace().to_json() == run.to_json()


@pytest.mark.parametrize("name", ["requiredAction", "state", "_wire", "type", "is_complete", "x_field"])
@pytest.mark.parametrize("extra", [{}, {"x_field": 1}], ids=["plain", "with unknown fields"])
def test_replace_refuses_unknown_names(name: str, extra: dict[str, Any]) -> None:
    """A name that is no field is a TypeError that says so, and nothing is changed."""
    with pytest.raises(TypeError, match=f"no field '{name}'.*it has id, status"):
        run_of(**extra).replace(id="run_2", **{name: 1})
    with pytest.raises(TypeError):
        run_of(**extra).replace("run_2")  # type: ignore[call-arg]


def test_what_is_handed_to_replace_can_not_change_the_run() -> None:
    """Lists and mappings are copied, at any depth, and read-only in the run."""
    for run in (run_of(), run_of(x=1)):
        metadata, resources, tools, files = {"a": "b"}, {"x": {"y": [1]}}, list(run.tools), ["file_1"]
        changed = run.replace(metadata=metadata, tool_resources=resources, tools=tools, file_ids=files)
        written, hashed = changed.to_json(), hash(changed)
        metadata["a"] = "c"
        resources["x"]["y"].append(2)
        tools.clear()
        files.clear()
        assert changed.to_json() == written
        assert hash(changed) == hashed
        assert changed.metadata == {"a": "b"}
        assert type(changed.metadata) is StringMap
        assert type(changed.tool_resources) is FrozenMap
        assert type(changed.file_ids) is FrozenList
        assert type(changed.tools) is tuple
        assert changed == Run.from_json(changed.to_json())


def test_replace_takes_a_status_by_its_name() -> None:
    """A status given as a string becomes a status."""
    assert run_of().replace(status="failed").status is RunStatus.FAILED
    assert run_of(x=1).replace(status="made up").status == RunStatus("made up")
    assert isinstance(run_of(x=1).replace(status="made up").status, RunStatus)


def test_replacing_a_field_that_came_under_another_name() -> None:
    """The other name is written on, once; clearing removes it."""
    run = Run.from_json({"id": "run_1", "status": "queued", "agent_id": "asst_1", "x": 1})
    assert run.assistant_id == "asst_1"
    assert run.replace(assistant_id="asst_2").to_dict() == {**run.to_dict(), "agent_id": "asst_2"}
    assert run.replace(assistant_id="asst_2").assistant_id == "asst_2"
    assert run.replace(assistant_id=None).to_dict() == {"id": "run_1", "status": "queued", "x": 1}
    assert Run.from_json(run.replace(assistant_id=None).to_json()).assistant_id is None
    both = Run.from_json({"id": "run_1", "status": "queued", "agent_id": "a", "assistant_id": "b"})
    assert both.replace(assistant_id="c").assistant_id == "c"
    assert Run.from_json(both.replace(assistant_id="c").to_json()).assistant_id == "c"
    assert both.replace(assistant_id=None).to_dict() == {"id": "run_1", "status": "queued"}


def test_replacing_a_part_that_has_unknown_fields() -> None:
    """Parts with unknown fields are replaced, and put in place, whole."""
    run = run_of(usage={"total_tokens": 3, "x_cached": 1})
    assert run.usage is not None
    assert run.usage.extra() == {"x_cached": 1}
    more = run.usage.replace(total_tokens=4)
    assert more.to_dict() == {"total_tokens": 4, "x_cached": 1}
    changed = run.replace(usage=more)
    assert changed.to_dict()["usage"] == {"total_tokens": 4, "x_cached": 1}
    assert changed == Run.from_json(changed.to_json())
    plain = run_of().replace(usage=more)
    assert plain.to_dict()["usage"] == {"total_tokens": 4, "x_cached": 1}
    assert plain == Run.from_json(plain.to_json())
    assert "usage" not in run.replace(usage=None).to_dict()


# -- fromJson ----------------------------------------------------------------------------------------


def test_from_json_takes_text_and_mappings() -> None:
    """Bytes, text and any mapping give the same run."""
    text = json.dumps(FULL)
    run = Run.from_json(text)
    assert Run.from_json(text.encode()) == run
    assert Run.from_json(bytearray(text.encode())) == run  # type: ignore[arg-type]
    assert Run.from_json(FULL) == run
    assert Run.from_json(FrozenMap(FULL)) == run
    assert Run.from_json({**FULL, "tools": tuple(FULL["tools"]), "status": RunStatus.REQUIRES_ACTION}) == run


def test_a_mapping_is_copied() -> None:
    """The mapping is copied: its owner may change it afterwards."""
    for extra in ({}, {"x_field": {"a": [1]}}):
        data = copy.deepcopy({**FULL, **extra})
        run = Run.from_json(data)
        written = run.to_json()
        data["metadata"]["user"] = "u_2"
        data["tools"][1]["function"]["parameters"]["type"] = "array"
        data["tool_resources"]["code_interpreter"]["file_ids"].append("file_2")
        if extra:
            data["x_field"]["a"].append(2)
        assert run.to_json() == written


@pytest.mark.parametrize("data", [None, 5, ["x"], object()])
def test_from_json_of_something_else(data: Any) -> None:
    """What is neither text nor a mapping is a mistake of the program, not of the server."""
    with pytest.raises(TypeError, match="bytes, str or a mapping"):
        Run.from_json(data)


def test_unknown_keys_are_kept() -> None:
    """What the seed drops is kept: readable as `extra()`, and written out as it came."""
    data = {**FULL, "x_field": {"a": [1, None]}, "type": "thing", "$runstream.wire": {"x": 1}, "_wire": 2}
    for form in (data, json.dumps(data)):
        run = Run.from_json(form)
        unknown = {name: data[name] for name in ("x_field", "type", "$runstream.wire", "_wire")}
        assert run.extra() == unknown
        assert run.to_dict().items() >= unknown.items()
        assert json.loads(run.to_json())["x_field"] == {"a": [1, None]}
        with pytest.raises(TypeError):
            run.extra()["x_field"] = 1  # type: ignore[index]
        with pytest.raises(AttributeError):
            run.extra()["x_field"]["a"].append(1)
    assert run_of().extra() == {}


def test_a_null_under_a_name_of_the_librarys_own() -> None:
    """A wire key that looks like an internal field can't reach it."""
    data: Any
    for data in (None, {}, {"id": "x"}, "text"):
        run = Run.from_json(json.dumps({**FULL, "$runstream.wire": data}))
        assert run.id == "run_1"
        assert run.to_dict().get("$runstream.wire") == data


@pytest.mark.parametrize(("name", "given", "read"), [("temperature", 1, 1.0), ("top_p", 0, 0.0)])
def test_numbers_become_floats(name: str, given: int, read: float) -> None:
    """temperature and top_p are floats, whatever kind of number came."""
    for form in ({**FULL, name: given}, json.dumps({**FULL, name: given})):
        run = Run.from_json(form)
        assert getattr(run, name) == read
        assert type(getattr(run, name)) is float
        assert run.to_dict()[name] == given


@pytest.mark.parametrize("number", [2**53 + 1, -(2**60) - 1, 10**30])
def test_numbers_without_an_exact_float(number: int) -> None:
    """An integer that a float can't hold is read as the nearest one, and written as it came."""
    run = Run.from_json(json.dumps({**FULL, "temperature": number}))
    assert run.temperature == float(number)
    assert run.to_dict()["temperature"] == number
    assert Run.from_json(run.to_json()) == run


@pytest.mark.parametrize("given", [None, "absent"])
def test_metadata_null_or_absent_is_empty(given: Any) -> None:
    """As in the seed, metadata is always a map."""
    data = {name: value for name, value in FULL.items() if name != "metadata"}
    if given is None:
        data["metadata"] = None
    run = Run.from_json(data)
    assert run.metadata == {}
    assert isinstance(run.metadata, StringMap)
    assert "metadata" not in run.to_dict()


def test_empty_lists_and_maps_are_written() -> None:
    """Sent empty is not absent."""
    run = run_of(tools=[], metadata={}, tool_resources={}, file_ids=[])
    written = run.to_dict()
    assert written["tools"] == []
    assert written["metadata"] == {}
    assert written["tool_resources"] == {}
    assert written["file_ids"] == []


# -- toJson, toString, ==, hashCode --------------------------------------------------------------------


def test_to_json_is_snake_case_without_nulls() -> None:
    """The keys are the wire's; absent and null fields are left out."""
    run = Run.from_json(wire.run_object())
    written = json.loads(run.to_json())
    assert written == run.to_dict()
    assert written == {name: value for name, value in wire.run_object().items() if value is not None} | {
        "truncation_strategy": {"type": "auto"}
    }
    assert all(re.fullmatch("[a-z_]+", name) for name in written)


def test_nulls_in_untyped_places_are_kept() -> None:
    """A null in a JSON schema means something; only typed objects leave theirs out."""
    parameters = {"type": "object", "properties": {"a": {"default": None, "enum": [None]}}}
    run = run_of(tools=[{"type": "function", "function": {"name": "f", "parameters": parameters, "strict": None}}])
    assert run.to_dict()["tools"] == [{"type": "function", "function": {"name": "f", "parameters": parameters}}]


def test_to_dict_is_a_copy() -> None:
    """What is written may be changed without changing the run."""
    for run in (run_of(), run_of(x_field={"a": [1]})):
        before = run.to_json()
        written = run.to_dict()
        written["tools"][1]["function"]["parameters"]["type"] = "array"
        written["metadata"]["x"] = "y"
        written["tool_resources"].clear()
        written.get("x_field", {}).clear()
        assert run.to_json() == before


def test_the_repr_is_short_and_tells_no_text() -> None:
    """The representation has the id and the status, nothing that a log should not have."""
    run = run_of(x_secret="s3cret")
    assert repr(run) == str(run) == "Run(id='run_1', status='requires_action')"
    assert repr(run_of(status="made up")) == "Run(id='run_1', status='made up')"


def test_equality_is_by_value() -> None:
    """Two states of one run differ, which the seed's `==` hides; the id is there where identity is meant."""
    assert run_of() == run_of()
    assert run_of() != run_of(status="completed")
    assert run_of() != run_of(x_field=1)
    assert run_of(x_field=1) != run_of(x_field=2)
    assert run_of(x_field={"a": 1, "b": 2}) == run_of(x_field={"b": 2, "a": 1})
    others: list[Any] = [FULL, run_of().to_dict(), "run_1", None, Usage()]
    assert all(run_of() != other for other in others)
    assert run_of().id == run_of(status="completed").id


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"x_field": {"a": [1, {"b": None}]}},
        {"tools": [{"type": "browser", "browser": {"a": [1]}}]},
        {"required_action": {"type": "new", "new": {"tool_calls": [{"id": "c"}]}}},
        {"required_action": {}},
        {"usage": {"prompt_tokens": 1, "x": [2]}},
        {"metadata": {}},
        {"created_at": 1_790_000_000_123},
        {"response_format": {"type": "xml", "schema": [{}]}},
    ],
)
def test_the_hash_works_for_every_run_and_agrees_with_equality(changes: dict[str, Any]) -> None:
    """Equal runs have equal hashes, however they were made."""
    run = run_of(**changes)
    made = [
        Run.from_json(json.dumps({**FULL, **changes})),
        Run.from_json(run.to_json()),
        pickle.loads(pickle.dumps(run)),
        copy.copy(run),
        copy.deepcopy(run),
        run.replace(),
        run.replace(status="failed").replace(status="requires_action"),
    ]
    for other in made:
        assert other == run
        assert hash(other) == hash(run)
        assert other.to_dict() == run.to_dict()
        assert type(other.metadata) is type(run.metadata)
    assert len({run, *made, run_of(status="expired")}) == 2


def test_runs_are_immutable() -> None:
    """No attribute can be set, and nothing nested can be written to."""
    run = run_of(x_field={"a": 1})
    for name in ("id", "status", "usage", "_wire", "new_name"):
        with pytest.raises(AttributeError):
            setattr(run, name, None)
    with pytest.raises(AttributeError):
        run.usage.total_tokens = 5  # type: ignore[union-attr, misc]
    with pytest.raises(TypeError):
        run.metadata["a"] = "b"  # type: ignore[index]
    with pytest.raises(AttributeError):
        run.tools.append(None)  # type: ignore[attr-defined]
    tool = run.tools[1]
    assert isinstance(tool, FunctionTool)
    with pytest.raises(TypeError):
        tool.function.parameters["type"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        tool.function.parameters["required"].append(1)  # type: ignore[index]


# -- runs built by hand -------------------------------------------------------------------------------


def test_a_run_built_by_hand() -> None:
    """Lists, mappings and a status given by name become what decoding gives; nothing is an alias of an argument."""
    metadata: Any = {"a": "b"}
    tools: Any = [FunctionTool(function=FunctionDefinition(name="f"))]
    resources: Any = {"x": {"y": [1]}}
    files: Any = ["file_1"]
    status: Any = "queued"
    run = Run(id="r", status=status, tools=tools, metadata=metadata, tool_resources=resources, file_ids=files)
    written, hashed = run.to_json(), hash(run)
    metadata["c"] = "d"
    resources["x"]["y"].append(2)
    tools.clear()
    files.clear()
    assert run.status is RunStatus.QUEUED
    assert (run.to_json(), hash(run)) == (written, hashed)
    again = Run.from_json(written)
    assert again == run
    assert hash(again) == hashed
    assert type(run.metadata) is StringMap
    assert type(run.tools) is tuple
    assert type(run.tool_resources) is FrozenMap
    assert type(run.file_ids) is FrozenList


def test_parts_built_by_hand_hash_as_decoded_ones() -> None:
    """A plain mapping in a part does not keep the run from having a hash, the same as an equal run's."""
    schema: Any = {"type": "object", "required": ["a"]}
    run = Run(
        id="r",
        status=RunStatus.QUEUED,
        tools=(FunctionTool(function=FunctionDefinition(name="f", parameters=schema)),),
    )
    again = Run.from_json(run.to_json())
    assert again == run
    assert hash(again) == hash(run)


def test_parts_with_unknown_fields_in_a_run_built_by_hand() -> None:
    """A part keeps its unknown fields wherever it is put."""
    usage = Usage.from_json({"total_tokens": 3, "x": 1})
    run = Run(id="r", status=RunStatus.QUEUED, usage=usage)
    assert run.to_dict()["usage"] == {"total_tokens": 3, "x": 1}
    assert Run.from_json(run.to_json()) == run
    assert hash(Run.from_json(run.to_json())) == hash(run)


def test_fields_are_keyword_only() -> None:
    """A run can't be built by position."""
    with pytest.raises(TypeError):
        Run("run_1", RunStatus.QUEUED)  # type: ignore[call-arg, arg-type]
    with pytest.raises(TypeError):
        Run(status=RunStatus.QUEUED)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Run(id="run_1", status=RunStatus.QUEUED, state="x")  # type: ignore[call-arg]


# -- tool calls that wait -----------------------------------------------------------------------------


def test_pending_tool_calls() -> None:
    """The calls that wait are at hand, typed, for every kind of action; none wait where nothing is asked for."""
    (call,) = run_of().pending_tool_calls
    assert (call.id, call.name, call.arguments) == ("call_1", "get_weather", '{"city": "Kyiv"}')
    approval = {"type": "submit_tool_approval", "submit_tool_approval": {"tool_calls": [
        {"id": "call_2", "type": "mcp", "name": "search", "arguments": "{}", "server_label": "docs"},
    ]}}  # fmt: skip
    (call,) = run_of(required_action=approval).pending_tool_calls
    assert (call.id, call.name, call.arguments) == ("call_2", "search", "{}")
    new = {"type": "submit_forms", "submit_forms": {"tool_calls": [{"id": "call_3", "form": {"name": "f"}}, 5]}}
    (call,) = run_of(required_action=new).pending_tool_calls
    assert call.id == "call_3"
    assert run_of(required_action=None).pending_tool_calls == ()
    for odd in ({}, {"type": "submit_tool_outputs"}, {"type": 5}, {"type": "x", "x": {"tool_calls": {}}}):
        run = run_of(required_action=odd)
        assert isinstance(run.required_action, UnknownAction)
        assert run.pending_tool_calls == ()
        assert run.to_dict()["required_action"] == odd


def test_nothing_waits_once_the_run_has_ended() -> None:
    """An action that a server leaves in an ended run asks for nothing."""
    assert run_of(status="expired").pending_tool_calls == ()
    assert run_of(status="expired").required_action is not None
    assert len(run_of(status="waiting for approval").pending_tool_calls) == 1


# -- usage -------------------------------------------------------------------------------------------


def test_usage_in_the_metadata() -> None:
    """Usage that travels as JSON text in the metadata is read, and written where it came."""
    text = '{"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "x": 1}'
    least: dict[str, Any] = {"id": "run_1", "status": "completed", "metadata": {"usage": text, "a": "b"}}
    for data in (least, {**least, "created_at": 1.5}, {**least, "x": 1}, {**least, "usage": None}):
        run = Run.from_json(json.dumps(data))
        assert run.usage is not None
        assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.total_tokens) == (10, 5, 15)
        assert run.to_dict() == {name: value for name, value in data.items() if value is not None}
        assert run.metadata == {"usage": text, "a": "b"}
        assert Run.from_json(run.to_json()) == run
        assert run.replace(status="failed").usage == run.usage
        assert run.replace(usage=None).usage is None
        without = run.replace(metadata={})
        assert without.usage == run.usage
        assert without.to_dict()["usage"] == json.loads(text)
        assert run.replace(metadata={}, usage=None).to_dict().keys().isdisjoint({"usage"})


def test_the_usage_of_the_run_itself_counts() -> None:
    """Where both are sent, the field counts; both are written."""
    data = {"id": "r", "status": "queued", "usage": {"total_tokens": 1}, "metadata": {"usage": '{"total_tokens": 2}'}}
    run = Run.from_json(data)
    assert run.usage == Usage(total_tokens=1)
    assert run.to_dict() == data
    assert run.replace(usage=None).usage is None


@pytest.mark.parametrize(
    "text",
    ["", "none", "5", "null", "[]", '"x"', "{", '{"a": 1e999}', "[" * 500 + "]" * 500, '{"a":' * 500 + "1" + "}" * 500],
)
def test_metadata_that_is_called_usage_and_is_not(text: str) -> None:
    """Text that is not a usage is metadata like any other."""
    data = {"id": "run_1", "status": "completed", "metadata": {"usage": text}}
    run = Run.from_json(json.dumps(data))
    assert run.usage is None
    assert run.to_dict() == data


@pytest.mark.parametrize("tokens", [2**63, 2**64 + 1, 10**40])
def test_integers_beyond_64_bits(tokens: int) -> None:
    """Python's integers have no bound, and JSON's have none."""
    run = run_of(max_prompt_tokens=tokens, x=-tokens)
    again = Run.from_json(run.to_json())
    assert again == run
    assert again.max_prompt_tokens == tokens
    assert again.extra() == {"x": -tokens}


# -- errors ------------------------------------------------------------------------------------------


def test_the_error_is_typed_and_picklable() -> None:
    """What from_json raises is the library's own error, and a ValueError, with path and reason."""
    with pytest.raises(DecodeError) as caught:
        run_of(usage={"total_tokens": "many"})
    assert isinstance(caught.value, RunstreamError)
    assert isinstance(caught.value, ValueError)
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is DecodeError
    assert error.path == "$.usage.total_tokens"
    assert error.reason == "Expected `int`, got `str`"
    assert str(error) == "Expected `int`, got `str` - at `$.usage.total_tokens`"


def test_decoding_is_one_strict_call() -> None:
    """An ordinary run needs no lenient reading: nothing is kept beside its typed fields."""
    run = decoder(Run).decode(json.dumps(FULL))
    assert run._wire is None
    assert run == run_of()
    assert run_of()._wire is None
