"""The runs of responses: what the application says, what the wire names, what a request answers; and steering."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.dialects.responses import ResponsesDialect
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.events import CustomEvent, ErrorEvent
from runstream.model.raw import Answer, Idle, RawEvent, RawItem, Request
from runstream.model.signals import (
    RunCompleted,
    RunFailed,
    RunIncomplete,
    RunInterrupted,
    RunSignal,
    Signal,
    SourceError,
)
from tests.support.responses import ResponseScript

Json = dict[str, Any]


def asked(**body: Any) -> Request:
    """A request as it was sent."""
    return Request(body=json.dumps(body).encode())


def read(*parts: ResponseScript | RawItem, **options: Any) -> Folded:
    """The fold of one source, without a key twice."""
    raws = [raw for part in parts for raw in (part.raws() if isinstance(part, ResponseScript) else [part])]
    folded = fold(raws, dialect="responses", **options)
    keys = [signal.key for signal in folded.signals]
    assert len(set(keys)) == len(keys)
    return folded


def runs(folded: Folded) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(state.run_id, state.status.value, state.pieces) for state in folded.runs]


FIRST = (
    ResponseScript("resp_1", usage={"total_tokens": 3})
    .begin()
    .call("call_1", "weather", "{}")
    .end(usage={"total_tokens": 3})
)


def second(**fields: Any) -> ResponseScript:
    return ResponseScript("resp_2", **fields).begin().say("Sunny.").end(usage={"total_tokens": 4})


# requests


OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
ONE_RUN = [("resp_1", "completed", ("resp_1", "resp_2"))]
TWO_RUNS = [("resp_1", "requires_action", ("resp_1",)), ("resp_2", "completed", ("resp_2",))]


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        ({"input": [OUTPUT]}, ONE_RUN),
        ({"input": [{"role": "user"}, {"type": "function_call", "call_id": "call_1"}, OUTPUT]}, ONE_RUN),
        ({"previous_response_id": "resp_1", "input": "x"}, ONE_RUN),
        ({"input": [OUTPUT, {"role": "user", "content": "A new question"}]}, TWO_RUNS),
        ({"input": [{**OUTPUT, "call_id": "call_9"}]}, TWO_RUNS),
        ({"input": [OUTPUT, {**OUTPUT, "call_id": "call_9"}]}, TWO_RUNS),
        ({"previous_response_id": "resp_9"}, TWO_RUNS),
        ({"input": "text"}, TWO_RUNS),
    ],
)
def test_a_request_says_which_run_its_response_continues(request_body: Json, expected: Any) -> None:
    """By the calls that it answers at its end, or the response that it names: most servers send neither back."""
    folded = read(asked(input="x"), FIRST, asked(**request_body), second())
    assert runs(folded) == expected
    assert folded.runs[0].usage is not None
    assert folded.runs[0].usage.total_tokens == (7 if expected is ONE_RUN else 3)


def test_the_word_of_the_application_beats_the_request() -> None:
    """It knows which run it goes on with."""
    other = ResponseScript("resp_0").begin().call("call_0", "weather", "{}").end()
    request = Request(body=json.dumps({"input": [OUTPUT]}).encode(), continues="resp_0")
    folded = read(other, FIRST, request, second())
    assert runs(folded) == [("resp_0", "completed", ("resp_0", "resp_2")), ("resp_1", "requires_action", ("resp_1",))]


def test_a_run_that_has_ended_is_not_continued() -> None:
    """A response to a run that has completed is a run of its own, and is not lost."""
    done = ResponseScript("resp_1").begin().say("Hello").end()
    assert [run[1] for run in runs(read(done, Request(continues="resp_1"), second()))] == ["completed", "completed"]


def test_requests_of_a_socket_are_answered_in_order() -> None:
    """Each lane is a queue; what steers a response is no request for one."""
    create = {"type": "response.create", "input": [OUTPUT]}
    folded = read(
        FIRST,
        asked(type="response.create", stream_id="b", input="x"),
        asked(**create),
        asked(type="response.create", input="y"),
        asked(type="response.steer", previous_response_id="resp_1"),
        second(),
        ResponseScript("resp_3").begin().end(),
    )
    assert runs(folded) == [*ONE_RUN, ("resp_3", "completed", ("resp_3",))]


def test_a_refused_request_is_an_error_of_the_run_that_waits() -> None:
    """The run still waits; the next request may be accepted."""
    dialect = ResponsesDialect(find_run={"resp_1": "resp_1", "call_1": "resp_1"}.get)
    dialect.decode(asked(input=[OUTPUT]))
    error = {"type": "error", "error": {"code": "previous_response_not_found", "message": "gone"}}
    event = dialect.decode(RawEvent(data=json.dumps(error).encode()))
    assert isinstance(event, ErrorEvent)
    assert event.run_id == "resp_1"
    folded = read(
        FIRST, asked(input=[OUTPUT]), RawEvent(data=json.dumps(error).encode()), asked(input=[OUTPUT]), second()
    )
    assert runs(folded) == ONE_RUN
    assert len([signal for signal in folded.signals if isinstance(signal, SourceError)]) == 1


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b'{"input": 5}', b'{"input": [5, null]}', b"[" * 2000])
def test_requests_that_can_not_be_read(body: bytes) -> None:
    """They say nothing, and raise nothing."""
    assert runs(read(FIRST, Request(body=body), second())) == TWO_RUNS


def test_a_later_decoder_knows_the_requests() -> None:
    """A request was sent, and another process receives its response."""
    dialect = ResponsesDialect()
    dialect.decode(asked(type="response.create", input=[OUTPUT], stream_id="a"))
    later = ResponsesDialect(memory=dialect.dump(), find_run={"call_1": "run"}.get)
    first = json.loads(second().raws()[0].data) | {"stream_id": "a"}
    (event,) = later.decode(RawEvent(data=json.dumps(first).encode()))  # type: ignore[misc, union-attr]
    assert event.run_id == "run"


# approvals


def approval() -> tuple[ResponseScript, ResponseScript]:
    """A response that asks for an approval, and the one that goes on."""
    tools = [{"type": "mcp", "server_label": "d", "require_approval": "always"}]
    request = {"id": "mcpr_1", "type": "mcp_approval_request", "name": "roll", "arguments": "{}"}
    one = ResponseScript("resp_1", tools=tools).begin()
    one.send("output_item.done", output_index=0, item=request).end(output=[request])
    two = ResponseScript("resp_2", tools=tools).begin()
    lists = {"id": "mcpl_1", "type": "mcp_list_tools", "tools": []}
    two.send("output_item.added", output_index=0, item=lists).send("output_item.done", output_index=0, item=lists)
    call = {"id": "mcp_1", "type": "mcp_call", "name": "roll", "approval_request_id": "mcpr_1", "arguments": "{}"}
    two.send("output_item.added", output_index=1, item=call)
    two.send("output_item.done", output_index=1, item={**call, "output": "6"}).say("Six.").end()
    return one, two


def test_an_approved_call_names_its_request() -> None:
    """So the response continues the run that has asked, though its beginning did not say so."""
    one, two = approval()
    folded = fold_sources([("one", one.raws()), ("two", two.raws())], dialect="responses")
    assert runs(folded) == ONE_RUN
    (state,) = folded.runs
    assert (state.text, state.tool_calls[-1].output) == ("Six.", "6")


@pytest.mark.parametrize("at", range(1, 12))
def test_a_cut_while_the_run_is_uncertain(at: int) -> None:
    """At the end of the source, or in silence, nothing is lost; and a server that begins again says the same."""
    one, two = approval()
    raws = two.raws()
    kept = read(one, *raws[:at])
    assert len(kept.runs) == 2 if at < 5 else 1
    engine, signals = Engine(), list[Signal]()
    engine.on_signal = signals.append
    intake = engine.intake("source", dialect="responses")
    intake.feed_all(one.raws())
    intake.connected()
    intake.feed_all(raws[:at])
    intake.disconnected("lost")
    intake.connected()
    intake.feed_all(raws)
    intake.end()
    whole = read(one, two)
    assert [signal.key for signal in signals if isinstance(signal, RunSignal)] == [
        signal.key for signal in whole.signals if isinstance(signal, RunSignal)
    ]


def test_silence_makes_a_run_certain() -> None:
    """A socket that stays open after the beginning of a response does not hide it for ever."""
    one, two = approval()
    dialect = ResponsesDialect(find_run={}.get)
    assert not dialect.expects_idle
    assert [dialect.decode(raw) for raw in two.raws()[:2]] == [(), ()]
    assert dialect.expects_idle
    events: Any = dialect.decode(Idle(seconds=2))
    assert [event.data.status.value for event in events] == ["in_progress", "in_progress"]
    assert not dialect.expects_idle
    assert one


# steering


def steer(name: str, response: str = "resp_1", **fields: Any) -> RawEvent:
    """An event about a request that steers a response."""
    event = {"type": f"response.steer.{name}", "steer": {"id": "s_1", "previous_response_id": response}, **fields}
    return RawEvent(data=json.dumps(event).encode())


def begun() -> ResponseScript:
    return ResponseScript("resp_1").begin().say("One.")


def ended(script: ResponseScript, name: str = "completed", **fields: Any) -> RawEvent:
    """The end of a script as a raw event."""
    return (
        ResponseScript(script.id)
        .send(name, response={**script.response, "status": name, **fields}, sequence_number=50)
        .raws()[0]
    )


STEERED = {"incomplete_details": {"reason": "steered"}}


@pytest.mark.parametrize(("name", "fields"), [("completed", {}), ("incomplete", STEERED)])
def test_a_steered_response_goes_on(name: str, fields: Json) -> None:
    """Whatever it ends with, its successor is the same run, and the run ends once."""
    one = begun()
    two = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("Two.").end()
    folded = read(one, steer("accepted"), ended(one, name, **fields), two)
    assert runs(folded) == ONE_RUN
    assert folded.runs[0].text == "One.Two."
    assert len([signal for signal in folded.signals if isinstance(signal, RunCompleted | RunIncomplete)]) == 1


@pytest.mark.parametrize(("name", "fields"), [("completed", {}), ("incomplete", STEERED)])
@pytest.mark.parametrize("how", ["failed", "end"])
def test_a_steering_that_fails(name: str, fields: Json, how: str) -> None:
    """Then the response has ended as it said; the refusal is an error of the source."""
    one = begun()
    parts: list[Any] = [one, steer("accepted"), ended(one, name, **fields)]
    if how == "failed":
        parts.append(steer("failed", error={"code": "response_not_active", "message": "no"}))
    folded = read(*parts)
    assert runs(folded) == [("resp_1", name, ("resp_1",))]
    assert len([signal for signal in folded.signals if isinstance(signal, SourceError)]) == (how == "failed")


def test_a_cut_after_steering_is_no_success() -> None:
    """The successor may have begun: what the response said is not the end of its run."""
    one = begun()
    engine, signals = Engine(), list[Signal]()
    engine.on_signal = signals.append
    intake = engine.intake("source", dialect="responses")
    intake.feed_all([*one.raws(), steer("accepted"), ended(one)])
    intake.end("lost", clean=False)
    assert not [signal for signal in signals if isinstance(signal, RunCompleted)]
    assert [signal.run_id for signal in signals if isinstance(signal, RunInterrupted)] == ["resp_1"]


def test_a_steered_response_that_waits() -> None:
    """Where calls wait, the application answers first: the request for action is not deferred."""
    one = ResponseScript("resp_1").begin().call("call_1", "weather", "{}")
    two = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("Two.").end()
    half = read(one, steer("accepted"), ended(one), steer("pending", reason="waiting_for_required_input"))
    assert runs(half) == [("resp_1", "requires_action", ("resp_1",))]
    assert runs(read(one, steer("accepted"), ended(one), steer("pending"), two)) == ONE_RUN


def test_a_later_decoder_knows_the_steering() -> None:
    """The successor arrives in another process."""
    one = begun()
    dialect = ResponsesDialect()
    for raw in (*one.raws(), steer("accepted"), ended(one)):
        dialect.decode(raw)
    later = ResponsesDialect(memory=dialect.dump())
    (event,) = later.decode(ResponseScript("resp_2", previous_response_id="resp_1").begin().raws()[0])  # type: ignore[misc, union-attr]
    assert (event.run_id, event.piece) == ("resp_1", "resp_2")
    (event,) = ResponsesDialect(memory=dialect.dump()).end(clean=True)
    assert event.data.status == "completed"  # type: ignore[union-attr]


def test_input_for_a_running_response() -> None:
    """A refusal is an error of its run; what is accepted says nothing more."""
    refused = {"type": "response.inject.failed", "response_id": "resp_1", "error": {"code": "c", "message": "m"}}
    created = {"type": "response.inject.created", "response_id": "resp_1"}
    folded = read(begun(), *[RawEvent(data=json.dumps(event).encode()) for event in (created, refused)])
    assert runs(folded) == [("resp_1", "in_progress", ("resp_1",))]
    assert len([signal for signal in folded.signals if isinstance(signal, SourceError)]) == 1
    assert not [signal for signal in folded.signals if isinstance(signal, RunFailed)]


# polled objects, and an agent in the same process


def test_polled_objects_of_one_run() -> None:
    """A snapshot opens its piece before its items, so that its calls keep their names, however often it is polled."""
    one = Answer(data=json.dumps({**FIRST.response, "status": "completed"}).encode())
    two = Answer(data=json.dumps({**second().response, "status": "completed"}).encode())
    folded = read(one, one, asked(input=[OUTPUT]), two, two)
    assert runs(folded) == ONE_RUN
    assert [signal.key for signal in folded.signals] == [
        signal.key for signal in read(one, asked(input=[OUTPUT]), two).signals
    ]


def test_an_agent_in_the_same_process_is_one_run() -> None:
    """It executes the calls itself: its next response continues the run, and the outputs are those of its calls."""

    def wrapped(script: ResponseScript) -> list[RawEvent]:
        events = [{"type": "raw_response_event", "data": event} for event in script.events]
        return [RawEvent(data=json.dumps(event).encode()) for event in events]

    output = {"type": "run_item_stream_event", "name": "tool_output", "item": {"raw_item": OUTPUT}}
    folded = read(*wrapped(FIRST), RawEvent(data=json.dumps(output).encode()), *wrapped(second()))
    assert runs(folded) == ONE_RUN
    assert folded.runs[0].tool_calls[0].output == "sun"


def test_an_output_of_an_earlier_response() -> None:
    """An item that answers a call of another response is the output of that call, else a custom event."""
    item = {"id": "o_1", **OUTPUT}
    two = ResponseScript("resp_2", previous_response_id="resp_1").begin()
    two.send("output_item.done", output_index=0, item=item).end()
    assert read(FIRST, two).runs[0].tool_calls[0].output == "sun"
    alone = ResponsesDialect(continues="resp_1")
    events: list[Any] = []
    for raw in two.raws():
        decoded = alone.decode(raw)
        events += decoded if isinstance(decoded, list | tuple) else [decoded]
    assert [event.name for event in events if isinstance(event, CustomEvent)] == ["function_call_output"]


@pytest.mark.parametrize("id", [None, 5, [], {}])
def test_a_response_without_a_readable_id(id: Any) -> None:
    """Its beginning raises nothing, and its run has an id that a replay makes again."""
    snapshot = {"id": id, "object": "response", "status": "in_progress", "tools": [{"type": "mcp"}]}
    event = RawEvent(data=json.dumps({"type": "response.created", "response": snapshot}).encode())
    assert [run[:2] for run in runs(read(event, event))] == [("response", "in_progress")]
