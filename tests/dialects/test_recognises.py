"""Which dialect says of a raw event that it is one of its wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream import BaseDialect, RawEvent
from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.responses import ResponsesDialect

RUN = {"id": "run_1", "object": "thread.run", "status": "queued"}
DEEP = b'{"a":' * 5_000


def raw(data: Any, event: str | None = None) -> RawEvent:
    """A raw event with this JSON, or these bytes."""
    return RawEvent(event, data if isinstance(data, bytes) else json.dumps(data).encode())


@pytest.mark.parametrize(
    "item",
    [
        raw(RUN, "thread.run.created"),
        raw(b"{broken", "thread.run.created"),
        raw(RUN, "thread.run.of_another_year"),
        raw({"message": "no"}, "error"),
        raw(b"[DONE]", "done"),
        raw({"event": "thread.run.created", "data": RUN}),
        raw({"event": "thread.run.created", "data": RUN}, "message"),
        raw({"event": "message", "data": {"event": "thread.run.created", "data": RUN}}),
        raw({"event": "thread.run.created", "data": json.dumps(RUN)}),
        raw(json.dumps({"event": "thread.run.created", "data": RUN})),
        raw(RUN),
        raw({"id": "run_1", "status": "completed"}),
    ],
)
def test_the_assistants_wire_is_recognised_in_each_form(item: RawEvent) -> None:
    assert AssistantsDialect.recognises(item)
    assert not ResponsesDialect.recognises(item)


@pytest.mark.parametrize(
    "item",
    [
        raw({"type": "response.created", "response": {}}),
        raw(b"{broken", "response.created"),
        raw({"type": "response.output_text.delta", "delta": "x"}, "message"),
        raw({"type": "error", "code": "x", "message": "y"}),
        raw({"type": "error", "error": {"message": "y"}}, "error"),
        raw({"type": "keepalive", "sequence_number": 3}),
        raw({"id": "resp_1", "object": "response", "status": "completed"}),
        raw({"event": "response.created", "data": {"type": "response.created", "response": {}}}),
    ],
)
def test_the_responses_wire_is_recognised_in_each_form(item: RawEvent) -> None:
    assert ResponsesDialect.recognises(item)
    if item.event != "error":
        assert not AssistantsDialect.recognises(item)


@pytest.mark.parametrize(
    "item",
    [
        raw(b""),
        raw(b"[DONE]"),
        raw(b"no json"),
        raw(b"\xff{"),
        raw(DEEP),
        raw(3),
        raw([RUN]),
        raw({}),
        raw({"type": ["response."], "object": {"a": 1}, "event": 3, "status": []}),
        raw({"id": "run_1", "status": []}),
        raw({"type": "RUN_STARTED", "threadId": "t", "runId": "r"}),
        raw({"id": "x", "object": "chat.completion.chunk"}),
        raw({"type": "error"}),
        raw({"run_id": "r"}, "metadata"),
    ],
)
def test_other_input_is_recognised_by_none(item: RawEvent) -> None:
    assert not AssistantsDialect.recognises(item)
    assert not ResponsesDialect.recognises(item)
    assert not BaseDialect.recognises(item)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(["type", "object", "event", "data", "id", "status", "error", "code", "message", "detail"])
_NAMES = st.none() | st.text(max_size=8) | st.sampled_from(["message", "error", "done", "response.x", "thread.x"])


@given(st.dictionaries(_FIELDS, _VALUES, max_size=5), _NAMES)
def test_recognition_never_raises_on_json(value: dict[str, Any], event: str | None) -> None:
    for dialect in (AssistantsDialect, ResponsesDialect):
        assert dialect.recognises(raw(value, event)) in (True, False)


@given(st.binary(max_size=64), _NAMES)
def test_recognition_never_raises_on_bytes(data: bytes, event: str | None) -> None:
    for dialect in (AssistantsDialect, ResponsesDialect):
        assert dialect.recognises(raw(data, event)) in (True, False)


def test_a_dialect_expects_no_idle_unless_it_says_so() -> None:
    assert not BaseDialect().expects_idle
    assert not AssistantsDialect().expects_idle
    assert not ResponsesDialect().expects_idle
