"""A response that is sent again under another name: its JSON is decoded once, and means what it means alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream import Engine, RawEvent, RunEvent
from runstream.dialects.responses import ResponsesDialect
from runstream.dialects.responses_wire import RepeatedResponses, read_event

RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "in_progress",
    "model": "m",
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "metadata": {"a": "1"},
    "output": [],
}


def sent(kind: str, number: int, response: dict[str, Any] | None = None) -> RawEvent:
    name = f"response.{kind}"
    value = {"type": name, "sequence_number": number, "response": response or RESPONSE}
    return RawEvent(name, json.dumps(value, separators=(",", ":")).encode())


def test_the_run_is_made_once() -> None:
    """The second event has the same run, and the state is the one before it."""
    events: list[Any] = []
    engine = Engine()
    engine.on_event = events.append
    intake = engine.intake("test", dialect="responses")
    intake.feed(sent("created", 0))
    before = engine.states()[0]
    intake.feed(sent("in_progress", 1))
    first, second = events
    assert isinstance(first, RunEvent)
    assert second.data is first.data
    assert (first.id, second.id) == ("resp_1/0", "resp_1/1")
    assert engine.states()[0] is before


@pytest.mark.parametrize("change", [{"status": "queued"}, {"model": "n"}, {"tools": []}, {"metadata": {}}])
def test_a_response_that_differs_is_read(change: dict[str, Any]) -> None:
    """In whatever field."""
    dialect, plain = ResponsesDialect(), ResponsesDialect()
    dialect.decode(sent("created", 0))
    plain.decode(sent("created", 0))
    spaced = sent("in_progress", 1, {**RESPONSE, **change})
    plain_event = plain.decode(RawEvent(spaced.event, json.dumps(json.loads(spaced.data), indent=1).encode()))
    assert dialect.decode(spaced) == plain_event


HEADS = [
    b"{",
    b'{"type":"response.in_progress","sequence_number":1,',
    b'{"sequence_number":1,"type":"response.in_progress",',
    b'{"a":"\\"response\\":","type":"x",',
    b'{"a":{',
    b'{"a":[',
    b'{"a":',
    b'{"a":1',
    b"",
    b"[",
    b'{"data":{"type":"x",',
]
RESTS = [
    b'{"id":"a"}}',
    b"1}",
    b'{"id":"a"},"z":1}',
    b'1},"response":{"id":"b"}}',
    b"1}}",
    b"1",
    b"1]",
    b"1} ",
    b'{"id":"a"}}}',
]


@given(sent=st.lists(st.tuples(st.sampled_from(HEADS), st.sampled_from(RESTS)), min_size=1, max_size=6))
def test_each_message_is_read_as_without_the_ones_before(sent: list[tuple[bytes, bytes]]) -> None:
    """Also where the same bytes stand at another place, or are no JSON."""
    reader = RepeatedResponses(1_000, 10)
    for head, rest in sent:
        raw = RawEvent(data=head + b'"response":' + rest)
        assert reader.read(raw) == read_event(raw, 1_000, 10)


def test_the_bounds_apply_to_a_repeated_response_too() -> None:
    """A message that is too long is a reject, whatever was read before."""
    reader = RepeatedResponses(60, 10)
    rest = b'"response":{"id":"a"}}'
    assert reader.read(RawEvent(data=b'{"type":"x",' + rest)) == {"type": "x", "response": {"id": "a"}}
    long = RawEvent(data=b'{"type":"' + b"x" * 60 + b'",' + rest)
    assert reader.read(long) == read_event(long, 60, 10)
