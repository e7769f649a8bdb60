"""The Assistants dialect: every name, both framings, every way of being wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.model.events import (
    DoneEvent,
    ErrorEvent,
    Event,
    MessageDeltaEvent,
    MessageEvent,
    Reject,
    RunEvent,
    StepDeltaEvent,
    StepEvent,
    TextAppend,
    ThreadEvent,
    UnknownEvent,
)
from runstream.model.raw import RawEvent

RUN: dict[str, Any] = {"id": "run_1", "object": "thread.run", "status": "queued"}
RUN_STATUSES = "created queued in_progress requires_action completed incomplete failed cancelling cancelled expired"
STEP_STATUSES = "created in_progress completed failed cancelled expired"
MESSAGE_STATUSES = "created in_progress completed incomplete"
NAMES: dict[str, tuple[type, Any]] = {
    "thread.created": (ThreadEvent, {"id": "thread_1"}),
    **{f"thread.run.{status}": (RunEvent, RUN) for status in RUN_STATUSES.split()},
    **{f"thread.run.step.{status}": (StepEvent, {"id": "step_1"}) for status in STEP_STATUSES.split()},
    "thread.run.step.delta": (StepDeltaEvent, {"id": "step_1", "delta": {}}),
    **{f"thread.message.{status}": (MessageEvent, {"id": "msg_1"}) for status in MESSAGE_STATUSES.split()},
    "thread.message.delta": (MessageDeltaEvent, {"id": "msg_1", "delta": {"content": []}}),
    "error": (ErrorEvent, {"code": "server_error", "message": "no"}),
    "done": (DoneEvent, "[DONE]"),
}


def one(raw: RawEvent, **options: Any) -> Event | Reject:
    """The one thing that a raw event becomes."""
    return AssistantsDialect(**options).decode(raw)


def frame(event: Any, data: Any, **extra: Any) -> RawEvent:
    """A WebSocket message."""
    return RawEvent(data=msgspec.json.encode({"event": event, "data": data, **extra}))


def reason(raw: RawEvent, **options: Any) -> str:
    """Why a raw event is rejected."""
    found = one(raw, **options)
    assert isinstance(found, Reject)
    assert found.raw is raw
    return f"{found.path} {found.reason}"


def test_all_names_of_the_specification() -> None:
    """The table of this test has the 25 events of the wire reference."""
    assert len(NAMES) == 25


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_both_framings(name: str) -> None:
    """Each event is read alike from an SSE block and from an envelope, into its kind."""
    kind, data = NAMES[name]
    text = b"[DONE]" if name == "done" else msgspec.json.encode(data)
    block, message = one(RawEvent(name, text)), one(frame(name, data))
    for found in (block, message):
        event = found.widen() if isinstance(found, TextAppend) else found
        assert isinstance(event, kind)
        assert not isinstance(event, Reject)
        assert event.event == name
    if name != "done":
        assert block.data == message.data  # type: ignore[union-attr]


def test_identity_comes_from_block_or_envelope() -> None:
    """An id of the block, or of the envelope (a string or a number), is the event's; never `data.id`."""
    assert one(RawEvent("thread.run.queued", msgspec.json.encode(RUN))).id is None
    assert one(RawEvent("thread.run.queued", msgspec.json.encode(RUN), id="7")).id == "7"
    assert one(frame("thread.run.queued", RUN, id="e7")).id == "e7"
    assert one(frame("thread.message.delta", NAMES["thread.message.delta"][1], id=7)).id == 7


@pytest.mark.parametrize("data", [b'{"a": 1}', b"not json", b""])
def test_unknown_names_survive(data: bytes) -> None:
    """An event with an unknown name is kept as it came, whatever its data."""
    event = one(RawEvent("thread.run.paused", data))
    assert isinstance(event, UnknownEvent)
    assert (event.event, event.data) == ("thread.run.paused", data)


def test_unknown_names_in_envelopes_survive() -> None:
    """The data of an unknown event is readable."""
    event = one(frame("gateway.hello", {"version": 2}))
    assert isinstance(event, UnknownEvent)
    assert event.value == {"version": 2}


@pytest.mark.parametrize("raw", [RawEvent(data=b"[DONE]"), RawEvent("done", b"[DONE]"), RawEvent("done", b"")])
def test_done_in_its_forms(raw: RawEvent) -> None:
    """`[DONE]` is no JSON, and no error."""
    assert isinstance(one(raw), DoneEvent)


def test_done_with_other_data_is_no_done() -> None:
    """A block named `done` whose data is something else (a stream without blank lines) is not lost silently."""
    assert "neither" in reason(RawEvent("done", b'{"id": 1}\n{"id": 2}'))


@pytest.mark.parametrize("data", [{"error": {"message": "no", "type": "t"}}, {"message": "no", "type": "t"}])
def test_error_flat_and_nested(data: dict[str, Any]) -> None:
    """The server's error is read in both of its forms."""
    event = one(RawEvent("error", msgspec.json.encode(data)))
    assert isinstance(event, ErrorEvent)
    assert (event.data.message, event.data.type) == ("no", "t")


def test_error_as_text() -> None:
    """An error that is no JSON is its message."""
    event = one(RawEvent("error", b"upstream timed out"))
    assert isinstance(event, ErrorEvent)
    assert event.data.message == "upstream timed out"


def test_bare_objects_as_a_poll_returns_them() -> None:
    """An object without an envelope is read by its `object`."""
    event = one(RawEvent(data=msgspec.json.encode(RUN)))
    assert isinstance(event, RunEvent)
    assert event.event == "thread.run"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"status": "queued"}, "$.data.id"),
        ({"id": "run_1"}, "$.data.status"),
        ({"id": 1, "status": "queued"}, "$.data.id"),
        ({"id": "run_1", "status": 1}, "$.data.status"),
        ({"id": None, "status": "queued"}, "$.data.id"),
        ("text", "$.data Expected `object`"),
        (None, "$.data Expected `object`"),
    ],
)
def test_only_id_and_status_are_essential(data: Any, why: str) -> None:
    """A run without a usable id or status is rejected, with the path."""
    assert why in reason(frame("thread.run.queued", data))


def test_mistyped_values_are_kept_and_noted() -> None:
    """Any other value of an unexpected type is kept as it came, and noted."""
    event = one(frame("thread.run.queued", {**RUN, "usage": "none", "created_at": True}))
    assert isinstance(event, RunEvent)
    assert event.data.usage is None
    assert event.data.to_dict()["usage"] == "none"
    assert event.origin is not None
    assert [issue.path for issue in event.origin.issues] == ["$.data.created_at", "$.data.usage"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"event":"thread.run.queued","data":{"id":"\xff"}}',
        b"\x00",
        b'{"event": 5, "data": {}}',
        b"[]",
        b'"text"',
        b"{}",
    ],
)
def test_nonsense_is_rejected(data: bytes) -> None:
    """What is no JSON, or says nothing, is a reject."""
    assert reason(RawEvent(data=data))


def test_size_cap() -> None:
    """A message over the cap is a reject that names the parameter."""
    raw = frame("thread.run.queued", {**RUN, "instructions": "x" * 300})
    assert "max_message_bytes" in reason(raw, max_message_bytes=200)
    assert isinstance(one(raw, max_message_bytes=len(raw.data)), RunEvent)


@pytest.mark.parametrize("depth", [200, 100_000])
def test_nesting_cap(depth: int) -> None:
    """Deep nesting is a reject that names the parameter, even where it would exhaust the decoder's stack."""
    data = b'{"event":"x","data":' + b"[" * depth + b"]" * depth + b"}"
    assert "max_nesting" in reason(RawEvent(data=data))


def test_a_low_nesting_cap_holds_for_short_messages() -> None:
    """The cap holds whatever the message's length."""
    assert "max_nesting" in reason(RawEvent(data=b'{"event":"x","data":[[[[[[]]]]]]}'), max_nesting=4)


def test_brackets_in_text_are_no_nesting() -> None:
    """Text full of brackets is text."""
    event = one(frame("thread.run.queued", {**RUN, "instructions": '[{"' * 500}))
    assert isinstance(event, RunEvent)


def test_the_librarys_own_fields_can_not_be_sent() -> None:
    """What stands under the library's own names on the wire does not get into an event."""
    spoofed = {"payload": "x", "connection": 9}
    event = one(
        frame("thread.run.queued", {**RUN, "$runstream.wire": {"id": "other"}}, **{"$runstream.origin": spoofed})
    )
    assert isinstance(event, RunEvent)
    assert event.origin is not None
    assert event.origin.connection == 0
    assert event.data.id == "run_1"


def test_every_class_of_event_is_named() -> None:
    """Every event type knows its name on the wire."""
    assert all(kind.event == name for name, kind in EVENT_TYPES.items())


def test_brackets_in_text_are_no_nesting_under_a_low_cap_either() -> None:
    """A cap below the default counts brackets outside strings alone."""
    event = one(frame("thread.run.queued", {**RUN, "instructions": '\\"[{[{' * 20}), max_nesting=4)
    assert isinstance(event, RunEvent)


@pytest.mark.parametrize("data", [b"", b"\0", b"null"])
def test_empty_data_under_a_known_name_comes_out_as_a_reject(data: bytes) -> None:
    found = AssistantsDialect().decode(RawEvent("thread.run.created", data))
    assert type(found) is Reject
