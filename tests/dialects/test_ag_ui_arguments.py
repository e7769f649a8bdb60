"""A call of the AG-UI wire is requested only with arguments that are certainly whole, and with each fragment once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from runstream.core.state import RunState
from runstream.dialects.ag_ui import AgUiDialect
from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.model.events import RunEvent
from runstream.model.raw import ConnectionEvent, Malformed, Oversized, RawEvent
from runstream.store.memory import MemoryStore
from tests.dialects.agui import args, call, event, finished, flat, result, started, text

_BEGUN = event("TOOL_CALL_START", toolCallId="c1", toolCallName="transfer")
_ENDED = event("TOOL_CALL_END", toolCallId="c1")
_CONNECTED = ConnectionEvent(connected=True)
_LOST = [ConnectionEvent(connected=False), ConnectionEvent(connected=True, attempt=1)]
_CUT = RawEvent(data=b'{"type":"TOOL_CALL_ARGS","toolCallId":"c1","delta":"1')


def run_of(*items: Any) -> RunState:
    """The only run of the items."""
    (state,) = fold(flat(items), dialect="ag-ui").runs
    return state


def requested(state: RunState) -> list[tuple[str, str | None]]:
    """The calls that a run which waits requests: id and arguments."""
    assert state.status == "requires_action"
    return [(call.id, call.arguments) for call in state.run.pending_tool_calls]


def numbered(*items: Any, first: int = 1) -> list[RawEvent]:
    """Events with ids that count."""
    return [structs.replace(item, id=str(number)) for number, item in enumerate(flat(items), first)]


# events that can't be used


@pytest.mark.parametrize(
    "lost",
    [
        _CUT,
        RawEvent(data=b"{"),
        RawEvent(data=b'{"type":"CUSTOM","name":"x","value":1}' + b"\n" + _CUT.data),
        args({"x": 1}),  # type: ignore[arg-type]
        event("TOOL_CALL_ARGS", delta="1"),
        event("TOOL_CALL_ARGS", toolCallId=[], delta="1"),
        event("TOOL_CALL_CHUNK", toolCallId="c1", delta=[]),
        RawEvent(data=b'{"toolCallId":"c1","delta":"1"}'),
        Oversized(line=1, size=10**8, limit=10**7),
        Oversized(line=1, size=10**8, limit=10**7, event="TOOL_CALL_ARGS"),
        Malformed(line=1, reason="no field", data=_CUT.data),
    ],
)
@pytest.mark.parametrize("rest", ["2}", "}", '"b":2}'])
def test_arguments_that_miss_a_fragment_are_not_requested(lost: Any, rest: str) -> None:
    """Not even if what is left is JSON: it may be other arguments."""
    state = run_of(started(), _BEGUN, args('{"amount":'), lost, args(rest), _ENDED, finished())
    assert requested(state) == []
    assert state.partial == {"call/c1"}


def test_chunks_that_miss_one_are_not_requested() -> None:
    """Chunks have no end that shows anything."""
    chunks = [event("TOOL_CALL_CHUNK", toolCallId="c1", toolCallName="f", delta=each) for each in ('{"a":', "1", "2}")]
    chunks[1] = structs.replace(chunks[1], data=chunks[1].data[:-3])
    assert requested(run_of(started(), chunks, finished())) == []


@pytest.mark.parametrize(
    "junk",
    [b"", b"ping", b"\xff\xfe", b"[1", b'{"type":"STATE_DELTA","delta":[', b'{"type":"HEARTBEAT"', b'{"type":"RUN_STA'],
)
def test_what_is_no_fragment_leaves_arguments_whole(junk: bytes) -> None:
    """Its bytes show another type, or no event at all, such as a sign of life."""
    state = run_of(started(), _BEGUN, args('{"amount":'), RawEvent(data=junk), args("2}"), _ENDED, finished())
    assert requested(state) == [("c1", '{"amount":2}')]


@pytest.mark.parametrize("place", [0, 2])
def test_arguments_that_miss_nothing_are_requested(place: int) -> None:
    """What is lost before the first fragment or after whole JSON is no part of an object that is whole."""
    fragments = [args('{"amount":'), args("2}")]
    fragments.insert(place, _CUT)
    assert requested(run_of(started(), _BEGUN, fragments, _ENDED, finished())) == [("c1", '{"amount":2}')]


def test_a_text_after_a_lost_fragment_is_no_whole_argument() -> None:
    """The rest of a text may be a text of its own."""
    assert requested(run_of(started(), _BEGUN, _CUT, args('"b"'), _ENDED, finished())) == []


def test_a_call_after_a_lost_fragment_is_requested() -> None:
    """It began later."""
    lost = [_BEGUN, args('{"amount":'), _CUT, args("2}"), _ENDED]
    state = run_of(started(), lost, call("map", '{"a":1}', "c2"), finished())
    assert requested(state) == [("c2", '{"a":1}')]


def test_an_interrupt_has_no_arguments_that_miss_a_fragment() -> None:
    """The question is shown without them, rather than with others."""
    outcome = {"type": "interrupt", "interrupts": [{"id": "i1", "reason": "x", "toolCallId": "c1"}]}
    lost = [_BEGUN, args('{"amount":'), _CUT, args("2}"), _ENDED]
    asked = event("CUSTOM", name="on_interrupt", value={"toolCallId": "c1"})
    for rest, id in ([finished(outcome=outcome)], "i1"), ([asked, finished()], ""):
        state = run_of(started(), lost, rest)
        assert requested(state) == [(id, None)]
        assert [each.name for each in state.run.required_action.calls] == ["transfer"]  # type: ignore[union-attr]


def test_a_result_needs_no_arguments() -> None:
    """A call that the server has executed is not requested, and the run is complete."""
    lost = [_BEGUN, args('{"amount":'), _CUT, args("2}"), _ENDED]
    assert run_of(started(), lost, result("ok"), finished()).status == "completed"


# later connections


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("rest", [[args("2}")], [args("}")], []])
def test_arguments_of_two_connections_are_not_requested(rest: list[RawEvent], ids: bool) -> None:
    """What was sent in between may be lost, as the state says; ids that prove nothing change nothing."""
    before, after = [started(), _BEGUN, args('{"amount":')], [*rest, _ENDED, finished()]
    if ids:
        before, after = numbered(before), numbered(after, first=20)
    state = run_of(_CONNECTED, before, _LOST, after)
    assert requested(state) == []
    assert state.partial == {"call/c1"}


def test_arguments_that_went_on_exactly_are_requested() -> None:
    """The next id proves that nothing was lost."""
    fillers = [event("CUSTOM", name="x", value=number) for number in range(4)]
    items = numbered(started(), fillers, _BEGUN, args('{"amount":'), args("2}"), _ENDED, finished())
    for cut in range(5, len(items)):
        state = run_of(_CONNECTED, items[:cut], _LOST, items[cut:])
        assert requested(state) == [("c1", '{"amount":2}')]


@pytest.mark.parametrize("first", [1, 6, 7, 8])
def test_arguments_that_are_sent_again_are_there_once(first: int) -> None:
    """Repetitions are known by their ids, also in the arguments that are requested."""
    fillers = [event("CUSTOM", name="x", value=number) for number in range(3)]
    items = numbered(started(), fillers, _BEGUN, args('{"amount":'), args("2"), args("}"), _ENDED, finished())
    for again in ([*_LOST, *items[first - 1 :]], [items[6], *items[7:]]):
        state = run_of(_CONNECTED, items[:7], again)
        assert requested(state) == [("c1", '{"amount":2}')]
        assert [call.arguments for call in state.tool_calls] == ['{"amount":2}']


def test_equal_fragments_with_ids_of_their_own_count_each() -> None:
    """Only the same fragment under the same id is a repetition."""
    items = numbered(started(), _BEGUN, args('{"a":2'), args("2"), args("2"), args("}"), _ENDED, finished())
    assert requested(run_of(items)) == [("c1", '{"a":222}')]
    items[3] = structs.replace(items[3], id=items[4].id)
    items[4] = structs.replace(items[4], data=args("3").data)
    assert requested(run_of(items)) == [("c1", '{"a":223}')]


def test_a_skipped_id_in_arguments_is_a_gap() -> None:
    """Within one connection too, once the ids have counted for long enough."""
    fillers = [event("CUSTOM", name="x", value=number) for number in range(12)]
    items = numbered(started(), fillers, _BEGUN, args('{"amount":'), args("1"), args("2}"), _ENDED, finished())
    del items[15]
    state = run_of(items)
    assert requested(state) == []
    assert state.partial == {"call/c1"}


def test_a_call_that_had_ended_before_a_reconnect_is_requested() -> None:
    """Its arguments had their end; those of one that had begun behind it had not."""
    items = [call("map", '{"a":1}'), event("TOOL_CALL_START", toolCallId="c2", toolCallName="f"), args('{"b":', "c2")]
    state = run_of(_CONNECTED, started(), items, _LOST, args("2}", "c2"), finished())
    assert requested(state) == [("c1", '{"a":1}')]


def test_a_call_that_begins_in_a_later_connection_is_requested() -> None:
    """Also as its first event; but not if its start is missing."""
    whole = event("TOOL_CALL_CHUNK", toolCallId="c1", toolCallName="f", delta='{"a":')
    rest = [structs.replace(whole, data=whole.data.replace(b'{\\"a\\":', b"1}")), finished()]
    assert requested(run_of(_CONNECTED, started(), text("Hi"), _LOST, whole, rest)) == [("c1", '{"a":1}')]
    assert requested(run_of(_CONNECTED, started(), text("Hi"), _LOST, args("2}"), _ENDED, finished())) == []


def test_a_run_that_is_sent_again_has_whole_arguments() -> None:
    """A connection that begins with its start has all of it."""
    items = [started(), _BEGUN, args('{"amount":'), args("2}"), _ENDED, finished()]
    for cut in range(1, len(items) - 1):
        state = run_of(_CONNECTED, items[:cut], _LOST, items)
        assert requested(state) == [("c1", '{"amount":2}')]


def test_a_decoder_alone_requests_nothing_after_a_reconnect() -> None:
    """As in a cluster, where others have the states: events without ids prove nothing."""
    dialect = AgUiDialect()
    events: list[Any] = []
    for item in (started(), _BEGUN, args('{"amount":'), *_LOST, args("2}"), _ENDED, finished()):
        if item is _LOST[1]:
            dialect.connection += 1
        found = dialect.decode(item)
        events += found if isinstance(found, list | tuple) else [found]
    events += dialect.end(clean=True)
    (run,) = [each.data for each in events if isinstance(each, RunEvent) and each.data.requires_action]
    assert run.pending_tool_calls == ()


@pytest.mark.parametrize("ids", [False, True])
def test_a_restart_in_arguments_is_a_gap(ids: bool) -> None:
    """What the server sent while no process ran is lost."""
    parts: Sequence[list[RawEvent]] = [started(), _BEGUN, args('{"amount":')], [args("2}"), _ENDED, finished()]
    if ids:
        parts = numbered(parts[0]), numbered(parts[1], first=4)
    store = MemoryStore()
    for part in parts:
        engine = Engine(clock=lambda: 1.0, store=store)
        engine.on_signal = lambda signal: None
        intake = engine.intake("source", dialect="ag-ui")
        intake.connected()
        intake.feed_all(part)
        (state,) = engine.states()
    intake.end()
    (state,) = engine.states()
    assert requested(state) == []
    assert state.partial == {"call/c1"}


# what heals


def snapshot(arguments: Any, id: str = "c1") -> RawEvent:
    """A snapshot of the messages with one call."""
    function = {"name": "transfer", "arguments": arguments}
    calls = [{"id": id, "type": "function", "function": function}]
    return event("MESSAGES_SNAPSHOT", messages=[{"id": "x", "role": "assistant", "toolCalls": calls}])


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("lost", [[_CUT], _LOST])
def test_a_snapshot_heals_arguments_that_miss_a_fragment(lost: list[Any], place: int) -> None:
    """What it has is whole: fragments that follow it are a part of that."""
    rest: list[Any] = [args("2}"), _ENDED]
    rest.insert(place, snapshot('{"amount":12}'))
    state = run_of(_CONNECTED, started(), _BEGUN, args('{"amount":'), lost, rest, finished())
    assert requested(state) == [("c1", '{"amount":12}')]
    assert [call.arguments for call in state.tool_calls] == ['{"amount":12}']
    assert state.partial == frozenset()


def test_a_snapshot_in_another_form_leaves_the_streamed_arguments() -> None:
    """They are equal as JSON, so nothing is lost."""
    streamed = [_BEGUN, args('{"amount": '), RawEvent(data=b"ping"), args("2}"), _ENDED]
    state = run_of(started(), streamed, snapshot('{"amount":2}'), finished())
    assert requested(state) == [("c1", '{"amount": 2}')]
    assert state.partial == frozenset()


@pytest.mark.parametrize("arguments", ["", None, '{"amount":'])
def test_a_snapshot_without_whole_arguments_heals_nothing(arguments: str | None) -> None:
    """It is as the stream is."""
    lost = [_BEGUN, args('{"amount":'), _CUT, args("2}"), _ENDED]
    assert requested(run_of(started(), lost, snapshot(arguments), finished())) == []
