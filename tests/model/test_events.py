"""Events: one class a kind, one name each; where they come from; what they never carry."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest

from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.model.events import Event, Origin, Reject, RunEvent, UnknownEvent
from runstream.model.raw import RawEvent
from runstream.model.run import Run, RunStatus


def decoded(raw: RawEvent) -> Event:
    """The event that a raw event stands for."""
    event = AssistantsDialect().decode(raw)
    assert not isinstance(event, Reject)
    return event


BODY = b'{"id":"run_1","status":"queued","expires_at":null}'
BLOCK = RawEvent("thread.run.queued", BODY, id="7")
FRAME = RawEvent(data=b'{"event":"thread.run.queued","data":' + BODY + b"}")


def test_events_can_be_made_by_hand() -> None:
    """A test of an application makes an event of its name and its data."""
    event = EVENT_TYPES["thread.run.queued"](Run(id="run_1", status=RunStatus.QUEUED))
    assert isinstance(event, RunEvent)
    assert (event.event, event.data.id, event.id, event.origin) == ("thread.run.queued", "run_1", None, None)


@pytest.mark.parametrize("raw", [BLOCK, FRAME])
def test_absent_is_not_null(raw: RawEvent) -> None:
    """The origin tells an absent field from a null one, in either framing."""
    event = decoded(raw)
    assert event.origin is not None
    assert not event.origin.absent("expires_at")
    assert event.origin.absent("started_at")


def test_an_origin_without_json_knows_no_fields() -> None:
    """What can't be read again has no fields; nothing raises."""
    assert Origin(b"nonsense").absent("id")
    assert Origin(b'{"data": 1}', enveloped=True).absent("id")
    assert Origin(b"\xff").absent("id")


@pytest.mark.parametrize("raw", [BLOCK, FRAME, RawEvent("made.up", b"{}")])
def test_events_are_values(raw: RawEvent) -> None:
    """Equal events are equal and hash alike, and events can be copied and sent to another process."""
    event = decoded(raw)
    assert event == decoded(raw)
    assert hash(event) == hash(decoded(raw))
    assert copy.deepcopy(event) == event
    again = pickle.loads(pickle.dumps(event))
    assert again == event
    assert again.event == event.event


def test_events_are_frozen() -> None:
    """No subscriber changes an event for the next one."""
    event = decoded(BLOCK)
    with pytest.raises(AttributeError):
        event.id = "8"  # type: ignore[misc]


def test_a_repr_shows_no_content() -> None:
    """A representation names the event and its object, and nothing that was said."""
    delta = b'{"id":"msg_1","delta":{"content":[{"index":0,"type":"text","text":{"value":"secret"}}]}}'
    event = decoded(RawEvent("thread.message.delta", delta))
    assert "msg_1" in repr(event)
    assert "thread.message.delta" in repr(event)
    assert "secret" not in repr(event)
    assert "secret" not in repr(decoded(RawEvent("made.up", b'"secret"')))


def test_unknown_events_are_read_on_demand() -> None:
    """The value of an unknown event is its JSON, or its text where it is none."""
    values = {b'{"a":1}': {"a": 1}, b"no json": "no json", b"\xff": "\ufffd"}
    for data, value in values.items():
        event = decoded(RawEvent("made.up", data))
        assert isinstance(event, UnknownEvent)
        assert event.value == value


@pytest.mark.parametrize(
    ("source", "line", "where"),
    [("a.sse", 7, "a.sse:7"), ("a.sse", 0, "a.sse"), ("", 0, "stream"), ("", 3, "stream:3")],
)
def test_rejects_say_where(source: str, line: int, where: str) -> None:
    """The place of what could not be used, as far as it is known."""
    assert Reject(RawEvent(line=line), "because", source=source).where == where


def test_every_name_has_its_own_class() -> None:
    """Each name has a class of its own, and `isinstance` distinguishes the kinds."""
    assert len(set(EVENT_TYPES.values())) == len(EVENT_TYPES) == 25 + 4  # polled objects too
    for name, kind in EVENT_TYPES.items():
        assert kind.__struct_config__.tag == name
        assert issubclass(kind, msgspec.Struct)
