"""Events of the AG-UI wire that can't be read: what their bytes still show decides about their run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from runstream.core.state import RunState
from runstream.dialects.ag_ui_damage import may_ask, visible_type
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold
from runstream.model.raw import Malformed, Oversized, RawEvent
from tests.dialects.agui import args, call, content, event, finished, flat, request, result, started, text

_ASKED = event("CUSTOM", name="on_interrupt", value="Buy it?")
_ERROR = event("RUN_ERROR", message="no")


def broken(raw: RawEvent, *, shown: int | None = None) -> RawEvent:
    """An event that can't be read.

    Args:
        raw: The event.
        shown: The number of its bytes that are left; all by default, after one that is not UTF-8.
    """
    return structs.replace(raw, data=b"\xff" + raw.data if shown is None else raw.data[:shown])


def folded(*items: Any) -> Folded:
    """The items, folded; no key comes twice."""
    found = fold(flat(items), dialect="ag-ui")
    keys = [signal.key for signal in found.signals]
    assert len(set(keys)) == len(keys)
    return found


def run_of(*items: Any) -> RunState:
    """The only run of the items."""
    (state,) = folded(*items).runs
    return state


def statuses(found: Folded) -> dict[str, str]:
    """The status of each run."""
    return {state.run_id: str(state.status) for state in found.runs}


def connections(*parts: Sequence[RawEvent]) -> Engine:
    """An engine after several connections of one source."""
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("source", dialect="ag-ui")
    for part in parts:
        intake.connected()
        intake.feed_all(list(part))
        intake.disconnected("lost")
    intake.end()
    return engine


@pytest.mark.parametrize(
    ("data", "type"),
    [
        (b'\xff{"type":"RUN_STARTED","runId":"r"}', "RUN_STARTED"),
        (b'{"type" : "CUSTOM","na', "CUSTOM"),
        (b'{"delta":{"type":"text"},"type":"TEXT_MESSAGE_CHUNK",', "TEXT_MESSAGE_CHUNK"),
        (b'{"type":"RUN_STAR', None),
        (b'{"type":"SOMETHING"}}', None),
        (b"ping", None),
        (b"", None),
    ],
)
def test_the_type_that_the_bytes_show(data: bytes, type: str | None) -> None:
    assert visible_type(data) == type


@pytest.mark.parametrize(
    ("data", "asks"),
    [
        (b'{"type":"CUSTOM","name":"on_interrupt","val', True),
        (b'{"type":"CUSTOM","na', True),
        (b'\xff{"type":"CUSTOM","name":"usage","value":{}}', False),
        (b'{"type":"TEXT_MESSAGE_CONTENT","delta":"on_interrupt', False),
        (b'{"ty', False),
    ],
)
def test_a_question_that_the_bytes_show(data: bytes, *, asks: bool) -> None:
    assert may_ask(data) is asks


# questions


@pytest.mark.parametrize("shown", [None, 17, 40])
def test_an_unreadable_question_is_no_success(shown: int | None) -> None:
    """The run waits beside a plain finish, though nobody can show the question."""
    state = run_of(started(), broken(_ASKED, shown=shown), finished())
    assert state.status == "requires_action"
    assert state.run.required_action is not None
    assert state.run.pending_tool_calls == ()


@pytest.mark.parametrize("outcome", [{"type": "success"}, "success"])
def test_a_stated_success_is_one(outcome: Any) -> None:
    """A server that states the outcome has no further question."""
    assert run_of(started(), broken(_ASKED), finished(outcome=outcome)).status == "completed"


def test_text_that_shows_no_event_is_no_question() -> None:
    """As a sign of life that is no event: a reject, and the run ends as the server says."""
    found = folded(started(), RawEvent(data=b"ping"), broken(_ASKED, shown=8), finished())
    assert statuses(found) == {"r1": "completed"}
    assert len(found.rejects) == 2


# ends


def test_an_unreadable_error_after_a_finish() -> None:
    """The finish is not certain any more, and nothing else is: the run is interrupted, and no success."""
    found = folded(started(), text("Hi"), finished(), broken(_ERROR))
    assert statuses(found) == {"r1": "in_progress"}
    assert found.signals[-2].type == "run.interrupted"


def test_an_unreadable_part_of_the_run_after_a_finish() -> None:
    """The run goes on, as after an event that can be read."""
    opened = event("TEXT_MESSAGE_START", messageId="m1", role="assistant")
    found = folded(started(), finished(), broken(opened), content("Hi"))
    assert statuses(found) == {"r1": "in_progress"}


@pytest.mark.parametrize("shown", [None, 8])
def test_an_unreadable_start_ends_nothing(shown: int | None) -> None:
    """An error without an id is that of the run whose start was lost, and not of the run before it."""
    found = folded(started(), text("Hi"), finished(), broken(started("r2"), shown=shown), text("Ho", "m2"), _ERROR)
    known = statuses(found)
    assert known.pop("r1") == ("completed" if shown is None else "in_progress")
    assert known == {"run/m2": "failed"}


@pytest.mark.parametrize("shown", [None, 8])
def test_an_unreadable_start_of_a_run_that_its_end_names(shown: int | None) -> None:
    """What came before the end is that run's."""
    items = [text("Hi"), finished(), broken(started("r2"), shown=shown), text("Ho", "m2"), finished("r2")]
    found = folded(started(), *items)
    assert statuses(found)["r2"] == "completed"
    assert [state.text for state in found.runs] == ["Hi ", "Ho "]


@pytest.mark.parametrize("type", ["REASONING_START", "TEXT_MESSAGE_START", "HEARTBEAT"])
def test_junk_that_begins_nothing_leaves_the_end(type: str) -> None:
    """Neither a frame without a message, nor an event with another form, is of a run whose start was lost."""
    found = folded(started(), finished(), RawEvent(data=b"ping"), event(type, messageId=[5] if "TEXT" in type else "x"))
    assert statuses(found) == {"r1": "completed"}


def test_junk_between_two_runs_leaves_both() -> None:
    """A start that can be read makes the end before it certain."""
    found = folded(started(), finished(), RawEvent(data=b"ping"), started("r2"), finished("r2"))
    assert statuses(found) == {"r1": "completed", "r2": "completed"}


# later connections


@pytest.mark.parametrize("shown", [None, 8])
@pytest.mark.parametrize("end", [finished("r1"), _ERROR])
def test_an_unreadable_start_of_a_repetition(end: RawEvent, shown: int | None) -> None:
    """The run is found by a message that it has sent before: nothing is of the later run that was open."""
    first, second = [started(), *text("Hi you"), end], [started("r2"), *text("Ho", "m2")]
    again = [broken(first[0], shown=shown), *first[1:], *second, finished("r2")]
    once = connections([*first, *second, finished("r2")])
    twice = connections([*first, *second], again)
    assert [state.to_dict() for state in twice.states()] == [state.to_dict() for state in once.states()]


@pytest.mark.parametrize("cut", range(1, 8))
def test_the_only_run_is_repeated_without_its_start(cut: int) -> None:
    """Its texts and calls are what they were, whatever the first connection has sent."""
    run = [started(), *text("Hi you"), *call("map", '{"a": 1}'), finished()]
    twice = connections(run[:cut], [broken(run[0]), *run[1:]])
    (state,) = twice.states()
    assert state.to_dict() == connections(run).states()[0].to_dict()


def test_a_connection_that_goes_on_after_junk() -> None:
    """A fragment of an open message continues it."""
    start, first, second, end = text("Hi you")
    engine = connections([started(), start, first], [RawEvent(data=b"ping"), second, end, finished()])
    assert [(state.run_id, state.status, state.text) for state in engine.states()] == [("r1", "completed", "Hi you ")]


@pytest.mark.parametrize("form", [{"indent": 1}, {"sort_keys": True}, {"separators": (",", ":")}])
def test_values_in_another_form_are_repeated(form: dict[str, Any]) -> None:
    """A server may write a value anew when it repeats it: it is the same fact."""
    value = {"type": "CUSTOM", "value": {"b": "ö", "a": 1.5}, "name": "rate"}
    one, other = (RawEvent(data=json.dumps(value, **each).encode(), at=1.0) for each in ({}, form))
    engine = Engine(clock=lambda: 1.0)
    keys: list[str] = []
    engine.on_signal = lambda signal: keys.append(signal.key)
    intake = engine.intake("source", dialect="ag-ui")
    for item in (one, other):
        intake.connected()
        intake.feed_all([started(), item])
        intake.disconnected("lost")
    assert [key for key in keys if "custom" in key] == ["r1/custom/1"]


# texts and calls


@pytest.mark.parametrize("type", ["TEXT_MESSAGE_CHUNK", "REASONING_MESSAGE_CHUNK"])
def test_a_text_whose_first_chunk_is_unreadable(type: str) -> None:
    """It may miss its beginning, so it is partial."""
    chunks = [event(type, messageId="m1", delta=word) for word in ("Hi ", "you ")]
    for first in (chunks[0], broken(chunks[0]), broken(chunks[0], shown=5)):
        state = run_of(started(), first, chunks[1], event("STEP_STARTED", stepName="s"))
        assert bool(state.partial) is (first is not chunks[0])


def test_a_call_whose_first_chunk_is_unreadable() -> None:
    """Its arguments may miss their beginning: it is not requested, and the run waits."""
    chunks = [event("TOOL_CALL_CHUNK", toolCallId="c1", delta=part) for part in ('{"a": [', "1", "]")]
    state = run_of(started(), broken(chunks[0]), chunks[1:], finished())
    assert state.status == "requires_action"
    assert state.run.pending_tool_calls == ()


@pytest.mark.parametrize("tools", [None, ["map"]])
@pytest.mark.parametrize("arguments", ["", '{"a": 1}'])
@pytest.mark.parametrize("shown", [None, 30])
def test_a_call_whose_start_is_unreadable(shown: int | None, arguments: str, tools: list[str] | None) -> None:
    """Its name is unknown, so it may be one of an offered tool: the run waits, and the call is not requested."""
    first = [request(tools=[{"name": name} for name in tools])] if tools is not None else []
    start, *rest = call("map", arguments)
    rest = rest if arguments else rest[-1:]
    state = run_of(first, started(), broken(start, shown=shown), rest, finished())
    assert state.status == "requires_action"
    assert state.run.pending_tool_calls == ()
    assert run_of(first, started(), broken(start), rest, result("x"), finished()).status == "completed"


@pytest.mark.parametrize(
    ("tools", "status"), [(None, "requires_action"), (["map"], "requires_action"), ([], "completed")]
)
def test_a_call_that_is_unreadable_as_a_whole(tools: list[str] | None, status: str) -> None:
    """Only an application that offers no tool is certainly not asked."""
    first = [request(tools=[{"name": name} for name in tools])] if tools is not None else []
    chunk = broken(event("TOOL_CALL_CHUNK", toolCallId="c1", toolCallName="map", delta="{}"))
    assert run_of(first, started(), chunk, finished()).status == status
    assert run_of(first, started(), chunk, result("x"), finished()).status == "completed"
    assert run_of(first, started(), chunk, finished(outcome={"type": "success"})).status == "completed"


@pytest.mark.parametrize("lost", range(3))
def test_a_snapshot_completes_a_damaged_message(lost: int) -> None:
    """Servers give other ids in a snapshot: the message is found by an end of its text, and is there once."""
    chunks = [event("TEXT_MESSAGE_CHUNK", messageId="m1", delta=word) for word in ("Hi ", "you ", "there ")]
    chunks[lost] = broken(chunks[lost])
    snapshot = event("MESSAGES_SNAPSHOT", messages=[{"id": "x", "role": "assistant", "content": "Hi you there"}])
    state = run_of(started(), chunks, snapshot, finished())
    assert [(message.id, message.text) for message in state.messages] == [("m1", "Hi you there")]
    again = run_of(started(), chunks, snapshot, snapshot, finished())
    assert again.to_dict() == state.to_dict()


_REASONED = ("REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_END")
_SAID = ("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END")


@pytest.mark.parametrize("types", [_SAID, _REASONED])
@pytest.mark.parametrize("id", ["m1", "x"])
@pytest.mark.parametrize(
    ("whole", "text", "heals"),
    [
        ("Hi you there", "Hi you there", True),
        ("Hi there", "Hi there", True),
        ("Hi", "Hi there", False),
        ("Bye", "Bye", True),
    ],
)
def test_a_snapshot_heals_a_damaged_text_that_has_ended(
    types: tuple[str, ...], id: str, whole: str, text: str, heals: bool
) -> None:
    """Its text is whole, unless it is a beginning of what was streamed: that takes nothing back."""
    if id == "x" and whole == "Bye":
        pytest.skip("nothing shows that it is the same text")
    start, said, end = (event(type, messageId="m1") for type in types)
    told = [event(types[1], messageId="m1", delta=each) for each in ("Hi ", "there")]
    role = "assistant" if types is _SAID else "reasoning"
    snapshot = event("MESSAGES_SNAPSHOT", messages=[{"id": id, "role": role, "content": whole}])
    for again in ([], [snapshot]):
        found = folded(started(), start, told[0], broken(said), told[1], end, snapshot, again, finished())
        (state,) = found.runs
        assert (state.text if types is _SAID else state.reasoning) == text
        assert bool(state.partial) is not heals
        assert "snapshot_text" not in found.stats.violations


@pytest.mark.parametrize(
    "item",
    [
        Oversized(line=1, size=10, limit=5, event="RUN_ERROR"),
        Malformed(line=1, reason="no field", data=b'{"type":"RUN_ERROR"'),
    ],
)
def test_items_that_are_no_event(item: Oversized | Malformed) -> None:
    """The name of a block is as good as the type in its data."""
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("source", dialect="ag-ui")
    intake.feed_all([started(), *text("Hi"), finished(), item])
    intake.end()
    assert [state.status for state in engine.states()] == ["in_progress"]


def test_arguments_after_unreadable_input() -> None:
    """A call that was open is damaged, one that begins later is whole."""
    opened = [event("TOOL_CALL_START", toolCallId="c1", toolCallName="f"), args('{"a": '), broken(args("1"))]
    state = run_of(
        started(), opened, event("TOOL_CALL_END", toolCallId="c1"), call("g", '{"b": 2}', id="c2"), finished()
    )
    assert [each.id for each in state.run.pending_tool_calls] == ["c2"]


@pytest.mark.parametrize("shown", [10, 12])
@pytest.mark.parametrize("connections_before", [0, 1])
def test_a_fragment_that_is_lost_before_its_run_is_known_is_a_gap(shown: int, connections_before: int) -> None:
    """Its run began in an event that could not be read either: the message is partial, and not complete without it."""
    chunk = [event("TEXT_MESSAGE_CHUNK", messageId="m", delta=each) for each in ("one ", "two ", "three")]
    whole = [started("run_1"), *chunk, finished("run_1")]
    stream = [broken(whole[0], shown=15), chunk[0], broken(chunk[1], shown=shown), chunk[2], finished("run_1")]
    engine = connections(*([[broken(whole[0], shown=15), chunk[0]]] * connections_before), stream)
    (state,) = engine.states()
    assert state.status == "completed"
    assert "three" in state.text
    assert "two" not in state.text
    assert state.partial == {"m"}


def test_a_fragment_lost_behind_a_message_damages_it_not() -> None:
    """The message that had ended then is whole; the next one may miss its beginning."""
    first, second = text("first", "a"), text("second", "b")
    stream = [
        broken(started("run_1"), shown=15),
        *first,
        broken(content("x", "c"), shown=12),
        *second,
        finished("run_1"),
    ]
    (state,) = connections(flat(stream)).states()
    assert state.text == "first second "
    assert "a" not in state.partial


def test_what_can_not_be_read_before_its_run_is_known_is_reported() -> None:
    """When the run is known, when another connection begins it again, and when it never is."""
    lost = broken(content("x", "c"), shown=12)
    first = [broken(started("run_1"), shown=15), content("a", "m"), lost]
    for rest in ([finished("run_1")], []):
        assert connections([*first, *rest]).stats().rejected == 2
    engine = connections(first, [started("run_1"), *text("a", "m"), finished("run_1")])
    assert engine.stats().rejected == 2
    (state,) = engine.states()
    assert (str(state.status), state.text, state.partial) == ("completed", "a ", frozenset())


@pytest.mark.parametrize("junk", [{"messageId": [5]}, {"messageId": None}, {}])
def test_an_event_that_can_not_be_used_ends_no_chunks(junk: dict[str, Any]) -> None:
    """The message goes on, and is incomplete when its run fails."""
    chunks = [event("TEXT_MESSAGE_CHUNK", messageId="m", delta=each) for each in ("one ", "two")]
    found = folded(started("r"), chunks[0], event("TEXT_MESSAGE_START", **junk), chunks[1], _ERROR)
    (state,) = found.runs
    assert state.text == "one two"
    assert [str(message.status) for message in state.messages] == ["incomplete"]
    assert len(found.rejects) == 1


@pytest.mark.parametrize("name", [None, "message"])
def test_a_default_name_beside_what_is_lost_says_nothing_of_its_type(name: str | None) -> None:
    """It may have begun the next message, which may miss its beginning then."""
    chunks = [event("TEXT_MESSAGE_CHUNK", messageId=id, delta=f"{id} ") for id in ("m", "n")]
    lost = structs.replace(broken(chunks[1], shown=12), event=name)
    (state,) = connections([broken(started("r"), shown=15), chunks[0], lost, chunks[1], finished("r")]).states()
    assert state.partial == {"m", "n"}
