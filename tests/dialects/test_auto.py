"""The dialect that finds the dialect of its source."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream import (
    Answer,
    BaseDialect,
    ConnectionEvent,
    Limits,
    Malformed,
    RawEvent,
    Reject,
    Request,
    ResponseHead,
    SourceError,
    fold,
    register_dialect,
)
from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.auto import AutoDialect
from runstream.dialects.registry import make_dialect
from runstream.dialects.responses import ResponsesDialect

RESPONSE = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
CREATED = RawEvent(data=json.dumps({"type": "response.created", "sequence_number": 0, "response": RESPONSE}).encode())
RUN = RawEvent("thread.run.created", b'{"id":"run_1","object":"thread.run","status":"queued"}')
UNKNOWN = RawEvent(data=b'{"hello":1}')


def auto(**options: Any) -> AutoDialect:
    made = make_dialect("auto", **options)
    assert isinstance(made, AutoDialect)
    return made


def decoded(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]


@pytest.mark.parametrize(("raw", "name", "kind"), [(CREATED, "responses", ResponsesDialect), (RUN, "assistants", None)])
def test_the_first_telling_event_decides(raw: RawEvent, name: str, kind: Any) -> None:
    dialect = auto()
    assert (dialect.name, dialect.dialect) == (None, None)
    events = decoded(dialect.decode(raw))
    assert dialect.name == name
    assert type(dialect.dialect) is (kind or AssistantsDialect)
    assert events == decoded(make_dialect(name).decode(raw))


def test_after_the_decision_the_decoder_is_called_directly() -> None:
    dialect = auto()
    dialect.decode(RUN)
    assert dialect.dialect is not None
    assert dialect.decode == dialect.dialect.decode


def test_items_before_it_are_kept_in_order_and_decoded_first(words_dialect: str) -> None:
    class Seen(BaseDialect):
        items: list[Any] = []  # noqa: RUF012 - of this test

        @classmethod
        def recognises(cls, raw: RawEvent) -> bool:
            return raw.data == b"seen"

        def decode(self, item: Any) -> Any:
            self.items.append((item, self.connection))
            return ()

    register_dialect("seen", Seen)
    dialect = auto()
    telling = RawEvent(data=b"seen")
    items = [Request(body=b"{}"), ResponseHead(status=200), UNKNOWN, Answer(status=404), UNKNOWN]
    for item in items:
        assert decoded(dialect.decode(item)) == []
    dialect.connection += 1
    again = ConnectionEvent(connected=True, attempt=1)
    dialect.decode(again)
    dialect.decode(telling)
    assert Seen.items == [*((item, 0) for item in items), (again, 1), (telling, 1)]


def test_a_registered_dialect_is_asked_before_those_of_the_library(words_dialect: str) -> None:
    class Mine(AssistantsDialect):
        """One that takes all that its base takes."""

    register_dialect("mine", Mine)
    dialect = auto()
    dialect.decode(RUN)
    assert dialect.name == "mine"


def test_a_dialect_with_bound_arguments_takes_part(words_dialect: str) -> None:
    register_dialect("mine", partial(AssistantsDialect, max_nesting=9))
    dialect = auto()
    dialect.decode(RUN)
    assert dialect.name == "mine"


def test_undecided_at_the_end_are_rejects_that_name_the_dialects() -> None:
    dialect = auto()
    for raw in (UNKNOWN, RawEvent(data=b"[DONE]")):
        dialect.decode(raw)
    dialect.decode(Request(body=b"{}"))
    rejects = dialect.end(True)
    assert [reject.raw for reject in rejects] == [UNKNOWN, RawEvent(data=b"[DONE]")]
    assert all("'assistants'" in reject.reason and "'responses'" in reject.reason for reject in rejects)
    assert "'auto'" not in rejects[0].reason
    assert dialect.end(True) == []


def test_what_can_be_no_raw_event_is_a_reject_at_once() -> None:
    (reject,) = decoded(auto().decode(Malformed(line=3, reason="no event", data=b"x")))
    assert (reject.reason, reject.raw.line) == ("no event", 3)


def test_the_bounds_of_a_message_are_checked_before_it_is_read() -> None:
    dialect = auto(limits=Limits(max_message_bytes=20))
    found = dialect.decode(RUN)
    assert isinstance(found, Reject)
    assert "max_message_bytes" in found.reason
    assert dialect.name is None


def test_more_than_64_events_are_rejects_and_the_search_goes_on() -> None:
    dialect = auto()
    request = Request(body=b"{}")
    dialect.decode(request)
    for _ in range(64):
        assert decoded(dialect.decode(UNKNOWN)) == []
    rejects = decoded(dialect.decode(UNKNOWN))
    assert len(rejects) == 64
    events = decoded(dialect.decode(CREATED))
    assert dialect.name == "responses"
    assert [type(event).__name__ for event in events][-1:] == ["RunEvent"]


def test_more_than_256_kb_are_rejects() -> None:
    dialect = auto()
    half = RawEvent(data=json.dumps({"x": "y" * 130_000}).encode())
    assert decoded(dialect.decode(half)) == []
    assert len(decoded(dialect.decode(half))) == 1
    large = RawEvent(data=json.dumps({"x": "y" * 300_000}).encode())
    assert [reject.raw for reject in decoded(dialect.decode(large))] == [half, large]
    assert dialect.end(True) == []


def test_a_large_telling_event_decides() -> None:
    value = {"type": "response.created", "response": {**RESPONSE, "instructions": "x" * 400_000}}
    dialect = auto()
    dialect.decode(RawEvent(data=json.dumps(value).encode()))
    assert dialect.name == "responses"


def test_the_facts_beside_the_stream_are_bounded_too() -> None:
    dialect = auto()
    for _ in range(1_000):
        dialect.decode(ConnectionEvent(connected=True))
    assert len(dialect.kept()) == 64


def test_the_memory_has_the_name_and_the_memory_of_the_decoder() -> None:
    dialect = auto()
    assert dialect.dump() is None
    dialect.decode(CREATED)
    memory = dialect.dump()
    assert memory is not None
    assert dialect.dump() is memory
    again = auto(memory=memory)
    assert again.name == "responses"
    delta = {"type": "response.output_item.added", "output_index": 0, "item": {"id": "m", "type": "message"}}
    (event,) = decoded(again.decode(RawEvent(data=json.dumps(delta).encode())))
    assert event.run_id == "resp_1"


def test_a_decoder_without_memory_needs_none() -> None:
    dialect = auto()
    dialect.decode(RUN)
    assert dialect.dump() is None


@given(st.binary(max_size=64))
def test_a_foreign_memory_is_no_memory(memory: bytes) -> None:
    assert auto(memory=memory).name is None


def test_what_the_application_knows_reaches_the_decoder() -> None:
    dialect = auto(continues="run_7")
    (event,) = decoded(dialect.decode(CREATED))
    assert event.run_id == "run_7"


def test_all_other_methods_are_those_of_the_decoder(words_dialect: str) -> None:
    class Mine(BaseDialect):
        forgotten = ""

        @classmethod
        def recognises(cls, raw: RawEvent) -> bool:
            return True

        @property
        def expects_idle(self) -> bool:
            return True

        def forget(self, run_id: str) -> None:
            Mine.forgotten = run_id

        def cursor(self) -> str | None:
            return "here"

    register_dialect("mine", Mine)
    dialect = auto()
    dialect.forget("run_0")
    assert (dialect.expects_idle, dialect.cursor()) == (False, None)
    dialect.decode(UNKNOWN)
    dialect.forget("run_1")
    dialect.connection += 1
    assert (dialect.expects_idle, dialect.cursor(), Mine.forgotten) == (True, "here", "run_1")
    assert dialect.dialect is not None
    assert dialect.dialect.connection == 1
    assert dialect.redaction is Mine.redaction


SIGNS_OF_LIFE = [
    RawEvent(data=b'{"type":"keepalive"}'),
    RawEvent(event="keepalive", data=b'{"type":"keepalive"}'),
    RawEvent(event="ping", data=b"{}"),
    RawEvent(event="ping", data=b"2026-01-01"),
    RawEvent(data=b'{"type":"ping"}'),
    RawEvent(data=b"[DONE]"),
]
FIRST_EVENTS = {
    "ag-ui": b'{"type":"RUN_STARTED","threadId":"t","runId":"r"}',
    "responses": b'{"type":"response.created","response":{"id":"r","object":"response","status":"in_progress"}}',
    "assistants": b'{"event":"thread.run.created","data":{"id":"r","object":"thread.run","status":"queued"}}',
}


@pytest.mark.parametrize("sign", SIGNS_OF_LIFE, ids=lambda raw: f"{raw.event} {raw.data.decode()}")
@pytest.mark.parametrize("name", sorted(FIRST_EVENTS))
@pytest.mark.parametrize("count", [1, 64, 65])
def test_signs_of_life_before_the_first_event_decide_nothing(name: str, sign: RawEvent, count: int) -> None:
    """Any server may send them, also more of them than are kept."""
    found = fold([*[sign] * count, RawEvent(data=FIRST_EVENTS[name])])
    assert [state.run_id for state in found.runs] == ["r"]


LATER = {
    "responses": CREATED,
    "assistants": RUN,
    "ag-ui": RawEvent(data=b'{"type":"RUN_STARTED","threadId":"t","runId":"r"}'),
}


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize(
    "body", ['{"error":{"message":"no"}}', '{"detail":"warming up"}', '{"object":"error","message":"m"}']
)
def test_an_error_without_a_name_decides_on_no_dialect(name: str, body: str) -> None:
    """Servers of all protocols send it: it is reported at once, and the next event decides."""
    found = fold([RawEvent(data=body.encode()), LATER[name]])
    assert found.dialects == {"stream": name}
    assert not found.rejects
    assert found.signals[0].type == "source.error"
    assert len(found.runs) == 1


def test_an_error_alone_is_reported() -> None:
    found = fold([RawEvent(data=b'{"error":{"code":"busy","message":"no"}}')])
    (signal,) = [each for each in found.signals if isinstance(each, SourceError)]
    assert signal.error is not None
    assert signal.error.code == "busy"
    assert not found.rejects
