"""A source whose dialect is found by its events: engine, fold, stores, streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream import (
    Answer,
    ConnectionEvent,
    Engine,
    IncompleteStream,
    MemoryStore,
    RawEvent,
    Request,
    RunStream,
    fold,
    fold_sources,
)
from runstream.testing import script

RUN = script("run_1").start().say("haho", pieces=["ha", "ho"]).end().raw_events(enveloped=True)
UNKNOWN = RawEvent(data=b'{"hello":1}', id="u1", last_id="u1")


def response(number: int, kind: str, **fields: Any) -> RawEvent:
    value = {"type": f"response.{kind}", "sequence_number": number, **fields}
    return RawEvent(data=json.dumps(value).encode(), at=float(number))


def snapshot(status: str) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "output": []}


RESPONSE = [
    response(0, "created", response=snapshot("in_progress")),
    response(1, "output_item.added", output_index=0, item={"id": "m1", "type": "message", "content": []}),
    response(2, "output_text.delta", item_id="m1", output_index=0, content_index=0, delta="ha"),
    response(3, "output_text.delta", item_id="m1", output_index=0, content_index=0, delta="ho"),
    response(4, "completed", response=snapshot("completed")),
]


@pytest.mark.parametrize(("raws", "name"), [(RUN, "assistants"), (RESPONSE, "responses")])
def test_a_fold_is_that_of_the_named_dialect(raws: list[RawEvent], name: str) -> None:
    found, named = fold(raws, clock=lambda: 1.0), fold(raws, dialect=name, clock=lambda: 1.0)
    assert found == named
    assert found.dialects == {"stream": name}
    assert found.runs[0].text == "haho"


def test_each_stream_has_a_dialect_of_its_own() -> None:
    found = fold_sources([("a", RUN), ("b", RESPONSE), ("c", [UNKNOWN])])
    assert [run.run_id for run in found.runs] == ["run_1", "resp_1"]
    assert found.dialects == {"a": "assistants", "b": "responses"}
    (reject,) = found.rejects
    assert reject.source == "c"
    assert "No dialect recognises it ('ag-ui', 'assistants', " in reject.reason


@settings(deadline=None)
@given(st.lists(st.sampled_from(["unknown", "request", "connection", "answer"]), max_size=12), st.booleans())
def test_what_comes_before_the_decision_is_the_same_as_with_the_name(before: list[str], one_by_one: bool) -> None:
    """Times, identities, counts and rejects too, whether items are fed one by one or together."""
    kinds: dict[str, Any] = {
        "unknown": UNKNOWN,
        "request": Request(body=b"{}"),
        "connection": ConnectionEvent(connected=True),
        "answer": Answer(data=b"[1]", at=1.0),
    }
    items = [kinds[each] for each in before] + RESPONSE
    results = []
    for dialect in (None, "responses"):
        engine = Engine(clock=lambda: 5.0)
        signals: list[Any] = []
        rejects: list[Any] = []
        engine.on_signal, engine.on_reject = signals.append, rejects.append
        intake = engine.intake("s", dialect=dialect)
        if one_by_one:
            for item in items:
                intake.feed(item)
        else:
            intake.feed_all(items)
        intake.end()
        run_signals = [each for each in signals if hasattr(each, "run_id")]
        others = [each for each in signals if not hasattr(each, "run_id")]
        results.append((run_signals, others, rejects, engine.states(), engine.stats(), intake.last_id))
    assert results[0] == results[1]


def test_a_connection_is_reported_before_the_decision() -> None:
    engine = Engine()
    signals: list[Any] = []
    engine.on_signal = signals.append
    intake = engine.intake("s")
    intake.connected()
    assert [each.type for each in signals] == ["source.connected"]
    intake.feed(UNKNOWN)
    assert intake.last_id is None
    assert intake.dialect is None
    intake.feed(RESPONSE[0])
    assert (intake.last_id, intake.dialect) == ("resp_1/0", "responses")


def test_a_request_names_the_run_that_is_continued_before_the_decision() -> None:
    engine = Engine()
    intake = engine.intake("s")
    intake.feed(Request(continues="run_1"))
    assert intake.continues == "run_1"


def test_a_restarted_process_knows_the_dialect() -> None:
    store = MemoryStore()
    before = Engine(store=store)
    before.on_signal = lambda signal: None
    before.intake("s").feed_all(RESPONSE[:3])
    engine = Engine(store=store)
    again = engine.intake("s")
    assert again.dialect == "responses"
    again.feed_all(RESPONSE[2:])
    (state,) = engine.states()
    assert (state.text, state.status) == ("haho", "completed")


async def test_a_stream_says_what_it_took() -> None:
    stream = RunStream()
    handles = [stream.attach(raws, name=name) for name, raws in (("a", RUN), ("b", RESPONSE), ("c", [UNKNOWN]))]
    assert [handle.dialect for handle in handles] == [None, None, None]
    rejects: list[Any] = []
    stream.rejects.subscribe(rejects.append)
    async with stream:
        await stream.results()
    assert [handle.dialect for handle in handles] == ["assistants", "responses", None]
    assert len(rejects) == 1


async def test_a_source_may_name_its_dialect() -> None:
    class Source:
        name = "mine"
        dialect = "responses"

        async def run(self, receiver: Any) -> None:
            receiver.feed(RawEvent(data=b'{"type":"error","code":"x","message":"y"}'))

    stream = RunStream(dialect="assistants")
    handle = stream.attach(Source())
    assert handle.dialect == "responses"
    assert stream.attach(Source(), dialect="assistants").dialect == "assistants"
    async with stream:
        with pytest.raises(IncompleteStream):
            await stream.result()
