"""What the brief reading takes says exactly what the full reading would say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.fragments import FRAGMENTS, ArgumentsFragment, TextFragment
from runstream.raw import RawEvent
from runstream.testing import texts

REFUSALS = (msgspec.DecodeError, UnicodeError, RecursionError)


def text(value: Any = "a", **more: Any) -> dict[str, Any]:
    part = {"index": 0, "type": "text", "text": {"value": value, "annotations": []}}
    return {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": [part]}, **more}


def arguments(value: Any = "{", **more: Any) -> dict[str, Any]:
    call = {"index": 1, "type": "function", "function": {"arguments": value}}
    details = {"type": "tool_calls", "tool_calls": [call]}
    return {"id": "step_1", "object": "thread.run.step.delta", "delta": {"step_details": details}, **more}


def raws(payload: dict[str, Any], name: str) -> list[RawEvent]:
    """A payload as an SSE block and in an envelope."""
    envelope = msgspec.json.encode({"event": name, "data": payload})
    return [RawEvent(name, msgspec.json.encode(payload)), RawEvent(data=envelope)]


def brief(raw: RawEvent) -> Any:
    found = FRAGMENTS[raw.event](raw.data)
    return found if raw.event is not None else found.data


@given(texts().filter(bool), st.integers(0, 3))
def test_a_fragment_of_text_is_read_as_in_full(value: str, index: int) -> None:
    payload = text(value)
    payload["delta"]["content"][0]["index"] = index
    for raw in raws(payload, "thread.message.delta"):
        found = brief(raw)
        (event,) = AssistantsDialect().feed(raw)
        part = event.data.delta.content[0]  # type: ignore[union-attr]
        assert type(found) is TextFragment
        assert (found.id, found.delta.content[0].index) == (event.data.id, part.index)  # type: ignore[union-attr]
        assert found.delta.content[0].text.value == part.text.value == value


@given(texts().filter(bool))
def test_a_fragment_of_arguments_is_read_as_in_full(value: str) -> None:
    for raw in raws(arguments(value), "thread.run.step.delta"):
        found = brief(raw)
        (event,) = AssistantsDialect().feed(raw)
        call = event.data.delta.step_details.tool_calls[0]  # type: ignore[union-attr]
        assert type(found) is ArgumentsFragment
        told = found.delta.step_details.tool_calls[0]
        assert (found.id, told.index, told.function.arguments) == (event.data.id, call.index, call.function.arguments)  # type: ignore[union-attr]


def changed(payload: dict[str, Any], *path: Any, value: Any = ...) -> dict[str, Any]:
    """A copy with one value replaced, or (``...``) without it."""
    copy: Any = msgspec.json.decode(msgspec.json.encode(payload))
    node = copy
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return copy  # type: ignore[no-any-return]


PART = ("delta", "content", 0)
CALL = ("delta", "step_details", "tool_calls", 0)


@pytest.mark.parametrize(
    "payload",
    [
        text(""),
        text(None),
        text(object="thread.message"),
        text(extra=1),
        changed(text(), "id"),
        changed(text(), "delta", "role", value="assistant"),
        changed(text(), "delta", "content", value=[]),
        changed(text(), "delta", "content", value=text()["delta"]["content"] * 2),
        changed(text(), *PART, "index"),
        changed(text(), *PART, "index", value=0.5),
        changed(text(), *PART, "type"),
        changed(text(), *PART, "type", value="refusal"),
        changed(text(), *PART, "text", "annotations", value=[{"index": 0, "type": "file_citation"}]),
        changed(text(), *PART, "text", "annotations", value=None),
        changed(text(), *PART, "text", "more", value=1),
    ],
)
def test_any_other_message_delta_is_refused(payload: dict[str, Any]) -> None:
    for raw in raws(payload, "thread.message.delta"):
        with pytest.raises(REFUSALS):
            brief(raw)


@pytest.mark.parametrize(
    "payload",
    [
        arguments(""),
        changed(arguments(), *CALL, "id", value="call_1"),
        changed(arguments(), *CALL, "type", value="code_interpreter"),
        changed(arguments(), *CALL, "function", "name", value="weather"),
        changed(arguments(), *CALL, "function", "output", value="sunny"),
        changed(arguments(), "delta", "step_details", "type", value="message_creation"),
    ],
)
def test_any_other_step_delta_is_refused(payload: dict[str, Any]) -> None:
    for raw in raws(payload, "thread.run.step.delta"):
        with pytest.raises(REFUSALS):
            brief(raw)


@pytest.mark.parametrize("more", [{"id": "evt_1"}, {"id": 7}, {"at": 1.5}])
def test_an_envelope_that_says_more_is_refused(more: dict[str, Any]) -> None:
    data = msgspec.json.encode({"event": "thread.message.delta", "data": text(), **more})
    with pytest.raises(REFUSALS):
        FRAGMENTS[None](data)
