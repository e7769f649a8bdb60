"""The Run decoded here against the `openai` package's pydantic Run, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from runstream.model import Run, Unknown
from tests.conformance.recorded import POLLED, STREAMS, exchanges, raws_of, said
from tests.support import wire

pytest.importorskip("openai", reason="the differential tests need the `openai` package")

from openai.types.beta.threads import Run as OpenAIRun

MISSING: Final = "(missing)"

# Recordings in which the two differ, where, and why. Everywhere else they say the same in every field.
DIFFERS: Final = {
    "azure_mcp_approval_requires_action_2025-08.sse": {
        "tools[0]": "a tool of a type that the package does not know becomes its first, the code interpreter",
        "required_action": "the package knows one type of action, and has no calls to approve in it",
    },
}


def theirs(data: dict[str, Any]) -> Any:
    """The package's Run, built as its streams build it: without validation."""
    return OpenAIRun.construct(**data)


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Paths at which the package's value and ours differ."""
    fields = getattr(type(one), "model_fields", None)
    if fields is not None:
        if isinstance(other, Unknown) or other is None:
            yield path
            return
        tag = getattr(one, "type", None)
        if tag is not None and type(one).__name__.startswith("CodeInterpreter") != (tag == "code_interpreter"):
            yield path
            return
        for name in fields:
            place = f"{path}.{name}".lstrip(".")
            ours = name.rstrip("_")  # the package calls one field `schema_`
            if hasattr(other, ours):
                yield from differences(getattr(one, name, MISSING), getattr(other, ours), place)
            else:
                yield place
    elif isinstance(one, list):
        if not hasattr(other, "__len__") or len(one) != len(other):
            yield path
            return
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{path}[{index}]")
    elif one == MISSING:
        # The package has no value for what the server left out; here it is None, or an empty list.
        if other:
            yield path
    elif one is None:
        if other is not None and (other or path != "metadata"):
            yield path
    elif one != other or (type(one) is not type(other) and not isinstance(one, str | dict)):
        yield path


def told(data: dict[str, Any]) -> list[str]:
    """The paths at which the two readings of one object differ, those below a differing one left out."""
    return sorted(set(differences(theirs(data), Run.from_json(data))))


def runs_in(value: Any) -> Iterator[dict[str, Any]]:
    """The run objects in a body."""
    if isinstance(value, dict):
        if value.get("object") == "thread.run":
            yield value
        elif isinstance(value.get("data"), list):
            for item in value["data"]:
                yield from runs_in(item)


def check(name: str, runs: list[dict[str, Any]]) -> None:
    """The runs are read alike, but for what the table says of this recording."""
    expected = DIFFERS.get(name, {})
    found = {path for data in runs for path in told(data)}
    named = {head for path in found for head in expected if path == head or path.startswith((f"{head}.", f"{head}["))}
    assert {path for path in found if not any(path.startswith(head) for head in expected)} == set()
    assert named == set(expected)


@pytest.mark.parametrize("name", STREAMS)
def test_streamed_runs(name: str) -> None:
    """Every run event of every recorded stream is read as the package reads it, or the reason is named."""
    check(
        name, [data for event, data in said(raws_of(name)) if event.startswith("thread.run.") for data in runs_in(data)]
    )


@pytest.mark.parametrize("name", POLLED)
def test_polled_runs(name: str) -> None:
    """Every run of every recorded body is read as the package reads it."""
    check(name, [data for body in exchanges(name) for data in runs_in(body)])


def test_a_whole_run() -> None:
    """A run with every field of the specification is read alike."""
    data = wire.run_object(
        status="requires_action",
        tools=[wire.function_tool("f", "d", {"a": {"type": "string"}}), {"type": "code_interpreter"}],
        required_action=wire.required_action(wire.function_call("c", "f", '{"a": 1}')),
        last_error={"code": "server_error", "message": "m"},
        incomplete_details={"reason": "max_prompt_tokens"},
        truncation_strategy={"type": "last_messages", "last_messages": 3},
        tool_choice={"type": "function", "function": {"name": "f"}},
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        metadata={"a": "b"},
        temperature=0.5,
        max_prompt_tokens=5,
    )
    assert told(data) == []
    assert told({**data, "status": "made up", "response_format": {"type": "text"}, "tool_choice": "none"}) == []
    assert told({**data, "temperature": 1}) == []


@pytest.mark.parametrize(
    ("changes", "path", "ours", "reason"),
    [
        ({"failed_at": 1_790_000_000_123}, "failed_at", 1_790_000_000, "milliseconds are no seconds"),
        ({"started_at": 1_790_000_000.5}, "started_at", 1_790_000_000, "a float where the field says int"),
        ({"assistant_id": wire.ABSENT, "agent_id": "a"}, "assistant_id", "a", "Azure's name; the package has no value"),
        ({"metadata": {"usage": '{"total_tokens": 3}'}}, "usage", {"total_tokens": 3}, "usage in the metadata"),
        ({"tools": [{"type": "openapi"}]}, "tools[0]", [{"type": "openapi"}], "an unknown tool becomes another"),
    ],
)
def test_where_they_differ(changes: dict[str, Any], path: str, ours: Any, reason: str) -> None:
    """What the package reads wrong, or not at all, is read right here."""
    data = {key: item for key, item in wire.run_object(**changes).items() if item is not wire.ABSENT}
    assert told(data) == [path], reason
    value = getattr(Run.from_json(data), path.partition("[")[0])
    if isinstance(value, tuple):
        value = [item.to_dict() for item in value]
    assert (value.to_dict() if hasattr(value, "to_dict") else value) == ours


def test_what_the_package_has_no_fields_for() -> None:
    """Details of the usage are attributes here."""
    data = wire.run_object(usage=wire.usage(3, 2, cached=1, reasoning=1))
    usage = Run.from_json(data).usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 1
    assert not hasattr(theirs(data).usage, "prompt_tokens_details")
    assert told(data) == []
