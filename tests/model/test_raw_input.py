"""What programs have at hand becomes raw events; nothing that is given raises."""

from __future__ import annotations

import json
from collections import UserDict
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream import fold
from runstream.model.raw import ConnectionEvent, Malformed, Oversized, RawEvent, RawItem
from runstream.model.raw_input import raw_item
from runstream.testing import Script
from tests.support.raws import json_values
from tests.support.wire import run_object

RUN = run_object("run_1", status="in_progress")
TEXT = json.dumps(RUN)


@pytest.mark.parametrize(
    ("item", "data"),
    [
        (b'{"a":1}', b'{"a":1}'),
        (bytearray(b"{}"), b"{}"),
        (memoryview(b"{}"), b"{}"),
        ('{"a":"é"}', '{"a":"é"}'.encode()),
        ({"event": "done", "data": "[DONE]"}, b'{"event":"done","data":"[DONE]"}'),
        ({"event": "a", "data": {"b": (1, None)}, "id": 7}, b'{"event":"a","data":{"b":[1,null]},"id":7}'),
        (MappingProxyType({"a": MappingProxyType({"b": 1})}), b'{"a":{"b":1}}'),
        (UserDict(a=[UserDict(b=1)]), b'{"a":[{"b":1}]}'),
        ("\ud800", b"\\ud800"),
    ],
    ids=lambda value: f"memoryview({bytes(value)!r})" if isinstance(value, memoryview) else repr(value),
)
def test_items_become_raw_events(item: Any, data: bytes) -> None:
    """Each a whole message, which the dialect reads."""
    assert raw_item(item) == RawEvent(data=data)


@pytest.mark.parametrize(
    ("item", "raw"),
    [
        ({"event": "a", "data": "{}", "id": "7", "retry": None}, RawEvent("a", b"{}", "7", "7")),
        ({"event": "a", "data": b"[DONE]", "id": ""}, RawEvent("a", b"[DONE]")),
        ({"event": "", "data": ' {"event":"a"}'}, RawEvent(None, b' {"event":"a"}')),
        ({"event": "message", "data": bytearray(b"{}")}, RawEvent(None, b"{}")),
        ({"event": "a", "data": '{"\ud800'}, RawEvent("a", b'{"\\ud800')),
    ],
    ids=lambda value: type(value).__name__,
)
def test_blocks_that_a_client_of_event_streams_took_apart(item: Any, raw: RawEvent) -> None:
    """Their data are JSON that is not decoded; an unnamed event is called ``message`` by such clients."""
    assert raw_item(item) == raw


@pytest.mark.parametrize(
    ("at", "expected"), [(5, 5.0), (5.5, 5.5), ("5", None), (True, None), (None, None), (float("inf"), None)]
)
def test_times_of_arrival(at: Any, expected: float | None) -> None:
    """A number under ``at``, as in lines of a recording."""
    for item in ({"event": "a", "data": {}, "at": at}, {"event": "a", "data": "{}", "at": at}):
        made = raw_item(item)
        assert isinstance(made, RawEvent)
        assert made.at == expected


@pytest.mark.parametrize(
    "item",
    [
        {"event": "thread.run.in_progress", "data": RUN},
        {"event": "thread.run.in_progress", "data": RUN, "id": "e1"},
        {"event": "thread.run.in_progress", "data": TEXT},
        {"event": "thread.run.in_progress", "data": TEXT.encode(), "id": "e1"},
        {"event": "message", "data": json.dumps({"event": "thread.run.in_progress", "data": RUN})},
        RUN,
        TEXT,
        json.dumps({"event": "thread.run.in_progress", "data": RUN}),
        RawEvent("thread.run.in_progress", TEXT.encode()),
    ],
    ids=lambda item: f"{type(item).__name__}",
)
def test_all_envelopes_of_the_wire_give_the_run(item: Any) -> None:
    """Envelopes with and without id, bare objects, blocks: as mappings, text, bytes or raw events."""
    folded = fold([item])
    assert not folded.rejects
    assert [(state.run_id, state.status.value) for state in folded.runs] == [("run_1", "in_progress")]


@pytest.mark.parametrize(
    "item",
    [
        RawEvent("done", b"[DONE]"),
        Oversized(line=1, size=9, limit=1),
        Malformed(line=1, reason="x", data=b""),
        ConnectionEvent(connected=True),
    ],
)
def test_raw_items_pass_as_they_are(item: RawItem) -> None:
    """What is a raw item already is nothing else."""
    assert raw_item(item) is item


class Hostile(UserDict[str, Any]):
    """A mapping whose own code fails."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("secret")


@pytest.mark.parametrize("item", [7, None, object(), {"a": object()}, {1j: 2}, Hostile(event="a")])
def test_what_can_not_be_a_raw_event_never_raises(item: Any) -> None:
    """It becomes `Malformed`, with a reason that shows nothing of it."""
    made = raw_item(item)
    assert isinstance(made, Malformed)
    assert made.reason
    assert "secret" not in made.reason


def test_a_mapping_without_end_is_malformed() -> None:
    """Nothing recurses for ever."""
    endless: dict[str, Any] = {}
    endless["self"] = endless
    assert isinstance(raw_item(endless), Malformed)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(["event", "data", "id", "at", "object"]), json_values))
def test_any_mapping_of_json_is_an_event(item: dict[str, Any]) -> None:
    """None is refused here, and none makes the pipeline raise."""
    assert isinstance(raw_item(item), RawEvent)
    fold([item])


class Dumps:
    """An object of a client library, as far as it is known here."""

    def __init__(self, fields: Any) -> None:
        self.fields = fields

    def model_dump(self, **options: Any) -> Any:
        if isinstance(self.fields, Exception):
            raise self.fields
        assert options == {"mode": "json", "by_alias": True, "exclude_unset": True, "warnings": False}
        return self.fields


def test_event_objects_of_client_libraries_are_their_fields() -> None:
    """One that gives none is input that can be no event; it never raises."""
    fields = {"event": "thread.run.created", "data": {"id": "run_1", "status": "queued"}}
    assert raw_item(Dumps(fields)) == raw_item(fields)
    for nothing in (ValueError("hush"), 7, None):
        made = raw_item(Dumps(nothing))
        assert isinstance(made, Malformed)
        assert "hush" not in made.reason


def test_events_of_the_openai_client() -> None:
    """As its streams give them."""
    beta, models = pytest.importorskip("openai.types.beta"), pytest.importorskip("openai._models")
    raws = Script("run_1").say("Hello there.").end().raw_events(enveloped=True)
    events = [item for raw in raws if (item := json.loads(raw.data))["event"] != "done"]
    given = [models.construct_type(type_=beta.AssistantStreamEvent, value=item) for item in events]
    assert {type(item).__name__ for item in given} > {"ThreadRunCreated", "ThreadMessageDelta"}
    assert fold(given).runs[0].text == "Hello there."
