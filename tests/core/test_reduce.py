"""The reducer over the conversation: deltas, gaps, full objects that heal, and what comes late or again."""

from __future__ import annotations

import random
from typing import Any

import pytest

from runstream.core.reduce import append, apply, reduce
from runstream.core.run_snapshots import Outcome
from runstream.core.state import RunState
from runstream.model.raw import RawEvent
from tests.core.support import RUN, asking, at, decoded, ev, keys, signals_of, state_of
from tests.support.wire import (
    code_interpreter_delta,
    error_object,
    file_citation,
    file_search_call,
    file_search_delta,
    file_search_result,
    function_call,
    function_call_delta,
    logs,
    message_creation,
    message_delta,
    message_object,
    step_delta,
    step_object,
    text_part,
    thread_object,
    tool_calls,
)

STARTED = [at("queued"), at("in_progress", 110)]
CREATED = ev("message.created", message_object("msg_1", RUN))
STEP = ev("run.step.created", step_object("step_1", RUN, tool_calls()))


def says(text: str, id: str = "msg_1", **fields: Any) -> RawEvent:
    """A message delta."""
    return ev("message.delta", message_delta(id, text, **fields))


def calls(*pieces: Any, id: str = "step_1") -> RawEvent:
    """A step delta."""
    return ev("run.step.delta", step_delta(id, *pieces))


def completed(text: str, id: str = "msg_1") -> RawEvent:
    """The finished message."""
    return ev("message.completed", message_object(id, RUN, status="completed", content=[text_part(text)]))


def test_nothing_new_is_the_same_object() -> None:
    """Snapshots told again, empty deltas and events that concern no run give the very same state."""
    text = state_of([*STARTED, CREATED, says("Hi")])
    same = [
        at("in_progress", 110),
        CREATED,
        says(""),
        ev("created", thread_object()),
        ev("error", error_object("no")),
        ev("done", "[DONE]"),
        RawEvent("made.up", b"{}"),
        ev("message.delta", {"id": "msg_1", "delta": {"content": [None], "role": None}}),
    ]
    for raw in same:
        assert reduce(text, decoded(raw)) is text, raw.event


def test_nothing_before_the_run_was_seen() -> None:
    """Only a snapshot of the run gives a state; what comes before it has none to change."""
    for raw in (CREATED, says("Hi"), STEP, ev("error", error_object("no"))):
        assert apply(None, decoded(raw)) == (None, Outcome.SAME)


def test_deltas_grow_the_text() -> None:
    """Deltas are appended to their part, the long way at first and the short way then."""
    state = state_of([*STARTED, CREATED, says("Hel"), says("lo"), says("!"), says("Second", index=1), says("?")])
    message = state.messages[0]
    assert [part.text.value for part in message.content] == ["Hello!?", "Second"]  # type: ignore[union-attr]
    assert state.text == "Hello!?Second"
    assert state.changed_by == "thread.message.delta"


@pytest.mark.parametrize("role", ["user", "system", "developer", "tool", "assistant", None, "narrator"])
@pytest.mark.parametrize("whole", [True, False])
def test_the_text_is_what_the_agent_said(role: str | None, whole: bool) -> None:
    """A message of another role has its text in the messages alone; one of an unknown role is the agent's."""
    full = message_object("msg_0", RUN, status="completed" if whole else "in_progress")
    full |= {"role": role, "content": [text_part("Of whom?")] if whole else []}
    other = [ev("message.completed" if whole else "message.created", full)]
    if not whole:
        other.append(ev("message.delta", message_delta("msg_0", "Of whom?")))
    state = state_of([*STARTED, *other, CREATED, says("Hello")])
    assert [each.text for each in state.messages] == ["Of whom?", "Hello"]
    assert state.text == ("Hello" if role in ("user", "system", "developer", "tool") else "Of whom?Hello")


@pytest.mark.parametrize("first", [True, False])
def test_deltas_without_created(first: bool) -> None:
    """A delta of an object never seen makes a partial one; a later `created` or the whole object takes it in."""
    state = state_of([*STARTED, says("late "), says("joiner")])
    assert state.messages[0].text == "late joiner"
    assert state.partial == {"msg_1"}
    if first:
        state = state_of([CREATED, says("!")], state)
        assert state.messages[0].role == "assistant"
        assert state.messages[0].text == "late joiner!"
        assert state.partial == {"msg_1"}
    state = state_of([completed("I am a late joiner!")], state)
    assert state.messages[0].text == "I am a late joiner!"
    assert state.partial == frozenset()


def test_two_messages_open_at_once() -> None:
    """`data.id` decides which message a delta belongs to, in whatever turns they grow."""
    second = ev("message.created", message_object("msg_2", RUN))
    turns = [says("a"), says("1", "msg_2"), says("b"), says("2", "msg_2"), says("3", "msg_2"), says("c")]
    state = state_of([*STARTED, CREATED, second, *turns])
    assert [message.text for message in state.messages] == ["abc", "123"]
    assert state.text == "abc123"


def test_parallel_tool_calls() -> None:
    """Calls of one step grow by their index, in whatever turns, several in one delta too."""
    turns = [
        calls(function_call_delta(1, id="call_b", name="g")),
        calls(function_call_delta(0, id="call_a", name="f")),
        calls(function_call_delta(0, "{"), function_call_delta(1, "[")),
        calls(function_call_delta(1, "]")),
        calls(function_call_delta(0, "}")),
        calls(code_interpreter_delta(2, id="call_c")),
        calls(code_interpreter_delta(2, "1+")),
        calls(code_interpreter_delta(2, "1")),
        calls(code_interpreter_delta(2, outputs=[logs("2")])),
    ]
    state = state_of([*STARTED, STEP, *turns])
    told = [(call.id, call.name, call.arguments) for call in state.tool_calls]
    assert told == [("call_a", "f", "{}"), ("call_b", "g", "[]"), ("call_c", "code_interpreter", "1+1")]
    details = state.to_dict()["steps"][0]["step_details"]
    assert details["tool_calls"][2]["code_interpreter"]["outputs"] == [{"type": "logs", "logs": "2"}]


def test_file_search_results_replace() -> None:
    """A repeated file-search delta replaces what was found before."""
    found = [file_search_result(f"file_{number}", "a.txt", 0.5, "x") for number in (1, 2)]
    first = {"index": 0, **file_search_call("call_1", found[:1])}
    second = {"index": 0, **file_search_call("call_1", found)}
    state = state_of([*STARTED, STEP, calls(file_search_delta(0, "call_1")), calls(first), calls(second)])
    assert state.to_dict()["steps"][0]["step_details"]["tool_calls"][0]["file_search"]["results"] == found


def test_annotations_come_with_text() -> None:
    """Annotations are merged by their index, and the text goes on growing after them."""
    note = file_citation("[1]", 3, "file_1")
    state = state_of([*STARTED, CREATED, says("So "), says("[1]", annotations=[note]), says("."), says("!")])
    assert state.messages[0].text == "So [1].!"
    (annotation,) = state.messages[0].annotations
    assert (annotation.to_dict()["text"], annotation.to_dict()["start_index"]) == ("[1]", 3)


def test_a_full_object_replaces_and_heals() -> None:
    """The finished object counts, whatever deltas made of it."""
    state = state_of([*STARTED, CREATED, says("H"), says("o"), completed("Hello")])
    assert state.text == "Hello"
    assert state.partial == frozenset()
    whole = tool_calls(function_call("call_a", "f", '{"a":1}', output="done"))
    done = ev("run.step.completed", step_object("step_1", RUN, whole, status="completed"))
    state = state_of([STEP, calls(function_call_delta(0, "1}", id="call_a", name="f")), done], state)
    assert state.steps[0].to_dict()["step_details"] == whole


def test_a_snapshot_between_goes_on_only_where_it_has_more() -> None:
    """A message told in full while it is open: content that continues what deltas built counts, less does not."""
    more = ev("message.in_progress", message_object("msg_1", RUN, content=[text_part("Hello, you")]))
    less = ev("message.in_progress", message_object("msg_1", RUN, content=[text_part("He")], metadata={"a": "b"}))
    state = state_of([*STARTED, CREATED, says("Hel"), says("lo"), more])
    assert state.text == "Hello, you"
    state = state_of([says("!"), less, says("!")], state)
    assert state.text == "Hello, you!!"
    assert dict(state.messages[0].metadata) == {"a": "b"}


def test_an_older_snapshot_takes_nothing_back() -> None:
    """Told by snapshots alone (polled, by servers that lag behind each other): text, calls and arguments stay."""

    def moment(text: str, *arguments: str) -> list[RawEvent]:
        made = tool_calls(*[function_call(f"call_{at}", "f", said) for at, said in enumerate(arguments)])
        return [
            ev("message.in_progress", message_object("msg_1", RUN, content=[text_part(text)])),
            ev("run.step.in_progress", step_object("step_1", RUN, made)),
        ]

    whole = [*moment("Hel", '{"a"'), *moment("Hello, you", '{"a":1}', "{")]
    state = state_of([*STARTED, *whole, *moment("Hel", '{"a"')])
    assert (state.text, [call.arguments for call in state.tool_calls]) == ("Hello, you", ['{"a":1}', "{"])
    again = state_of(moment("Hello, you!", '{"a"', "{}"), state)
    assert (again.text, [call.arguments for call in again.tool_calls]) == ("Hello, you!", ['{"a":1}', "{}"])
    told = keys(signals_of([*STARTED, *whole, *moment("Hel", '{"a"'), *moment("Hello, you!", '{"a":1}', "{}")]))
    assert len(set(told)) == len(told)
    assert state_of([*STARTED, *moment("Hello"), *moment("Goodbye")]).text == "Goodbye"
    assert state_of([completed("He")], again).text == "He"


def test_fragments_while_the_run_waits_are_out_of_place() -> None:
    """Arguments are whole then: what comes nevertheless was told before, or is late, and that is marked."""
    first = calls(function_call_delta(0, '{"a"', id="call_1", name="f"))
    rest = calls(function_call_delta(0, ":1}"))
    state = state_of([*STARTED, STEP, first, rest, asking("call_1")])
    assert state.partial == frozenset()
    assert state_of([rest], state).partial == state_of([rest, rest], state).partial == {"step_1"}
    again = reduce(state, decoded(STEP), restart=True)
    assert again is not None
    again = state_of([first, rest], again)
    assert (again.tool_calls[0].arguments, again.partial) == ('{"a":1}', frozenset())
    whole = function_call("call_1", "f", '{"a":1}', output="5")
    done = ev("run.step.completed", step_object("step_1", RUN, tool_calls(whole), status="completed"))
    assert state_of([rest, done], state).partial == frozenset()
    empty = ev("run.step.completed", step_object("step_1", RUN, tool_calls(), status="completed"))
    assert state_of([rest, empty], state).partial == {"step_1"}


def test_late_deltas_change_nothing() -> None:
    """A finished message or step absorbs."""
    state = state_of([*STARTED, CREATED, says("Hi"), completed("Hi")])
    assert apply(state, decoded(says("!"))) == (state, Outcome.LATE)
    done = ev("run.step.completed", step_object("step_1", RUN, tool_calls(), status="completed"))
    state = state_of([STEP, done], state)
    assert apply(state, decoded(calls(function_call_delta(0, "x")))) == (state, Outcome.LATE)
    assert apply(state, decoded(STEP)) == (state, Outcome.LATE)
    assert reduce(state, decoded(STEP)) is state


def test_created_again_restarts_only_where_it_may() -> None:
    """A repeated `created` starts the text again if the connection is another; else it is ignored."""
    state = state_of([*STARTED, CREATED, says("Hel"), says("lo")])
    assert reduce(state, decoded(CREATED)) is state
    again = reduce(state, decoded(CREATED), restart=True)
    assert again is not None
    assert again.text == ""
    assert state.text == "Hello"
    again = state_of([says("Hel"), says("lo"), says(" there"), says("!")], again)
    assert again.text == "Hello there!"
    finished = state_of([completed("Hello there!")], again)
    assert reduce(finished, decoded(CREATED), restart=True) is finished


def test_an_index_too_large_is_refused() -> None:
    """The state stays as it is, and whoever counts is told."""
    state = state_of([*STARTED, CREATED, says("Hi")])
    event = decoded(says("x", index=5))
    assert apply(state, event, max_index=4) == (state, Outcome.REFUSED)
    assert apply(state, event, max_index=5)[1] is Outcome.CHANGED


def test_a_message_and_a_step_of_one_id() -> None:
    """What has the id of the other kind changes nothing."""
    state = state_of([*STARTED, CREATED, says("Hi")])
    assert apply(state, decoded(calls(function_call_delta(0, "x"), id="msg_1"))) == (state, Outcome.KIND_CONFLICT)
    odd = ev("run.step.created", step_object("msg_1", RUN, tool_calls()))
    assert apply(state, decoded(odd)) == (state, Outcome.KIND_CONFLICT)


def test_content_as_one_object() -> None:
    """A delta whose content is one part and no list of them is read as that list (Alibaba)."""
    pieces = [{"content": {"type": "text", "text": {"value": text, "annotations": []}}} for text in ("Hi", " you")]
    state = state_of([*STARTED, CREATED, *[ev("message.delta", {"id": "msg_1", "delta": piece}) for piece in pieces]])
    assert state.text == "Hi you"


def test_tool_calls_null() -> None:
    """A step delta with null tool calls changes nothing (Astra)."""
    details = {"step_details": {"type": "tool_calls", "tool_calls": None}}
    first = state_of([*STARTED, STEP, calls(function_call_delta(0, "{", id="call_a", name="f"))])
    state = state_of([ev("run.step.delta", {"id": "step_1", "delta": details})], first)
    assert [call.arguments for call in state.tool_calls] == ["{"]


def test_the_short_way_takes_plain_fragments_alone() -> None:
    """Only text for what grows right now is simply appended; everything else goes the long way."""
    state = state_of([*STARTED, CREATED, says("Hi")])

    def short(raw: RawEvent, held: RunState = state) -> RunState | None:
        event: Any = decoded(raw)
        return append(held, event.data)

    assert short(says("x", index=1)) is None
    assert short(says("x", "msg_2")) is None
    assert short(says("", "msg_1")) is None
    assert short(says("x", annotations=[file_citation("x", 2, "file_1")])) is None
    assert short(ev("message.delta", {**message_delta("msg_1", "x"), "unknown": 1})) is None
    after = short(says(" you"))
    assert after is not None
    assert (state.text, after.text) == ("Hi", "Hi you")
    assert short(says(" all")) is None  # `state` is not the newest of its text any more
    assert state_of([says(" all")], state).text == "Hi all"
    assert after.text == "Hi you"
    assert after._objects is state._objects


def test_the_short_way_for_arguments_and_code() -> None:
    """Arguments and code grow the same way, and never into each other."""
    state = state_of([*STARTED, STEP, calls(function_call_delta(0, id="call_a", name="f"))])
    append_fragment = state_of([calls(function_call_delta(0, "{"))], state)
    more = state_of([calls(function_call_delta(0, "}"))], append_fragment)
    assert more._objects is append_fragment._objects
    assert [call.arguments for held in (state, append_fragment, more) for call in held.tool_calls] == ["", "{", "{}"]
    odd = state_of([calls(code_interpreter_delta(0, "code"))], more)
    assert odd.tool_calls[0].arguments == "{}"


def test_objects_in_order_of_appearance() -> None:
    """Steps and messages stand in the order in which they were first spoken of."""
    raws = [ev("run.step.created", step_object(f"step_{n}", RUN, message_creation(f"msg_{n}"))) for n in range(40)] + [
        ev("message.created", message_object(f"msg_{n}", RUN)) for n in range(40)
    ]
    state = state_of([*STARTED, *raws])
    assert [step.id for step in state.steps] == [f"step_{n}" for n in range(40)]
    assert [message.id for message in state.messages] == [f"msg_{n}" for n in range(40)]
    assert state.message("msg_7") == state.messages[7]
    assert state.step("step_39") == state.steps[39]
    assert state.message("step_1") is None
    assert state.step("msg_1") is None
    assert state.message("nobody") is None


def test_states_are_compared_by_value() -> None:
    """The same story told twice gives equal states with equal hashes; any difference shows."""
    raws = [*STARTED, CREATED, says("Hi"), says(" you")]
    one, other = state_of(raws), state_of(raws)
    assert one == other
    assert hash(one) == hash(other)
    assert one != state_of([says("!")], other)
    assert one != state_of([at("in_progress", 110, model="other")], other)
    assert one != "run_1"
    assert "run_1" in repr(one)
    assert "Hi" not in repr(one)


def test_a_state_knows_its_scope() -> None:
    """The scope of the source in which a run was first seen stays with it."""
    state = reduce(None, decoded(at("queued")), scope="eu")
    assert state is not None
    assert state_of(STARTED, state).scope == "eu"


def test_first_text_is_timed() -> None:
    """The time to the first text is that of the first fragment with any."""
    state: RunState | None = None
    for moment, raw in enumerate([*STARTED, CREATED, says(""), says("Hi"), says("!")]):
        state = reduce(state, decoded(raw), at=float(moment))
    assert state is not None
    assert state.timings.first_text == 4.0


def test_a_kept_state_never_changes() -> None:
    """Every state of a story reads the same at its end as when it was new."""
    code = [code_interpreter_delta(1, id="call_b"), code_interpreter_delta(1, "1+"), code_interpreter_delta(1, "1")]
    raws = [
        *STARTED,
        CREATED,
        *[says(piece) for piece in ("a", "b", "c")],
        STEP,
        calls(function_call_delta(0, id="call_a", name="f")),
        *[calls(function_call_delta(0, piece)) for piece in ("{", '"x"', ":1}")],
        *[calls(piece) for piece in code],
        says("d"),
        says("[1]", annotations=[file_citation("[1]", 4, "file_1")]),
        completed("abcd[1]"),
        at("completed", 110),
    ]
    kept: list[tuple[RunState, Any]] = []
    unread: list[RunState] = []
    state: RunState | None = None
    for raw in raws:
        state = reduce(state, decoded(raw))
        assert state is not None
        kept.append((state, state.to_dict()))
    state = None
    for raw in raws:
        state = reduce(state, decoded(raw))
        assert state is not None
        unread.append(state)
    for (early, told), late in zip(kept, unread, strict=True):
        assert early.to_dict() == told
        assert late.to_dict() == told


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_a_tree_of_states(seed: int) -> None:
    """Whichever earlier state events go on from, each state is as if its own events alone had been told."""
    chance = random.Random(seed)
    tree: list[tuple[RunState, list[RawEvent]]] = [(state_of(STARTED), [])]
    for number in range(40):
        state, told = chance.choice(tree[-4:])
        letter = "abcdefgh"[number % 8]
        raw = chance.choice(
            [
                says(letter),
                says(letter),
                says(letter, "msg_2", index=chance.randrange(2)),
                CREATED,
                STEP,
                calls(function_call_delta(0, letter)),
                calls(function_call_delta(0, letter)),
                calls(function_call_delta(1, letter, id="call_b", name="f")),
                calls(code_interpreter_delta(2, letter)),
                at("in_progress", 110, model=letter),
            ]
        )
        if chance.random() < 0.3:
            assert state.to_dict()
        tree.append((state_of([raw], state), [*told, raw]))
    for state, told in tree:
        assert state.to_dict() == state_of([*STARTED, *told]).to_dict()


@pytest.mark.parametrize("read_first", [True, False])
def test_two_different_deltas_on_one_state(read_first: bool) -> None:
    """Whatever goes on from one state goes on from that state alone: text, arguments, code, in any order of reading."""
    append_fragment = [calls(function_call_delta(0, "{", id="call_a", name="f")), calls(function_call_delta(0, '"a'))]
    state = state_of([*STARTED, CREATED, STEP, *append_fragment])
    one = state_of([calls(function_call_delta(0, '":1}'))], state)
    if read_first:
        assert one.tool_calls[0].arguments == '{"a":1}'
    other = state_of([calls(function_call_delta(0, 'b":2')), calls(function_call_delta(0, "}"))], state)
    third = state_of([says("text"), calls(function_call_delta(0, '"}'))], state)
    told = [held.tool_calls[0].arguments for held in (state, one, other, third)]
    assert told == ['{"a', '{"a":1}', '{"ab":2}', '{"a"}']
    assert [held.text for held in (state, one, other, third)] == ["", "", "", "text"]


def test_two_restarts_of_one_state() -> None:
    """A text told again in one way leaves the state free to be told again in another."""
    state = state_of([*STARTED, CREATED, says("Hel"), says("lo")])
    again = reduce(state, decoded(CREATED), restart=True)
    assert again is not None
    one, other = state_of([says("Hello, you")], again), state_of([says("Howdy")], again)
    assert [held.text for held in (state, again, one, other)] == ["Hello", "", "Hello, you", "Howdy"]


def test_growing_arguments_and_a_message_of_that_id() -> None:
    """A fragment of a message with the id of the step that grows right now changes nothing."""
    append_fragment = [calls(function_call_delta(0, "{", id="call_a", name="f")), calls(function_call_delta(0, "}"))]
    state = state_of([*STARTED, STEP, *append_fragment])
    assert apply(state, decoded(says("x", "step_1"))) == (state, Outcome.KIND_CONFLICT)


def test_odd_fragments_while_a_text_grows() -> None:
    """A part without text, a call of a kind that nobody knows, and details of another kind are merged the long way."""
    state = state_of([*STARTED, CREATED, says("Hi"), says("!")])
    odd = ev("message.delta", {"id": "msg_1", "delta": {"content": [{"index": 0, "type": "text"}]}})
    assert reduce(state, decoded(odd)) is state
    image = {"index": 1, "type": "image_file", "image_file": {"file_id": "file_1"}}
    shown = state_of([ev("message.delta", {"id": "msg_1", "delta": {"content": [image]}}), says("!")], state)
    assert (shown.text, shown.image_file_ids) == ("Hi!!", ("file_1",))

    state = state_of([*STARTED, STEP, calls(function_call_delta(0, "{", id="a", name="f"))])
    state = state_of([calls(function_call_delta(0, "}")), calls({"index": 1, "type": "dance", "id": "b"})], state)
    state = state_of([calls({"index": 1, "type": "dance", "arguments": "tan"})], state)
    state = state_of([calls({"index": 1, "type": "dance", "arguments": "go"})], state)
    assert [call.id for call in state.tool_calls] == ["a", "b"]
    assert state.to_dict()["steps"][0]["step_details"]["tool_calls"][1]["arguments"] == "tango"


def test_a_snapshot_of_another_shape_keeps_what_grows() -> None:
    """An open step told with details that can't be what was built, or with none, keeps what was built."""
    state = state_of([*STARTED, STEP, calls(function_call_delta(0, "{}", id="a", name="f"))])
    for details in ({"type": "tool_calls", "tool_calls": {"a": 1}}, {}, None):
        odd = ev("run.step.in_progress", {**step_object("step_1", RUN, tool_calls()), "step_details": details})
        assert [call.arguments for call in state_of([odd], state).tool_calls] == ["{}"]


def test_a_step_that_is_told_anew_keeps_its_calls() -> None:
    """A step told again from its start has its calls, their arguments empty, until they are told again."""
    first = calls(function_call_delta(0, '{"a"', id="a", name="f"))
    state = state_of([*STARTED, STEP, first])
    again = reduce(state, decoded(STEP), restart=True)
    assert again is not None
    assert [(call.id, call.arguments) for call in again.tool_calls] == [("a", "")]
    assert state_of([first, calls(function_call_delta(0, ":1}"))], again).tool_calls[0].arguments == '{"a":1}'
    assert state.tool_calls[0].arguments == '{"a"'


def test_created_again_with_nothing_to_start_again() -> None:
    """Where no text has grown, a repeated `created` of a later connection changes nothing."""
    making = ev("run.step.created", step_object("step_2", RUN, message_creation("msg_1")))
    state = state_of([*STARTED, CREATED, STEP, making])
    for raw in (CREATED, STEP, making):
        assert reduce(state, decoded(raw), restart=True) is state
    state = state_of([says(""), calls(function_call_delta(0, id="a", name="f"))], state)
    for raw in (CREATED, STEP):
        assert reduce(state, decoded(raw), restart=True) is state


def test_created_again_with_text_of_its_own() -> None:
    """A `created` that brings text starts the accumulation again with that text."""
    brings = ev("message.created", message_object("msg_1", RUN, content=[text_part("Hel")]))
    for held in ([brings], [brings, says("lo")], [CREATED, says("Hel"), says("lo")], [CREATED, says("")]):
        again = reduce(state_of([*STARTED, *held]), decoded(brings), restart=True)
        assert again is not None
        assert again.text == "Hel"
        assert state_of([says("lo"), says("!")], again).text == "Hello!"


def test_a_fragment_after_the_end_of_its_run_may_be_a_repetition() -> None:
    """What the run left open takes it, and is marked: nobody can say whether it was told before."""
    told = [at("queued"), at("in_progress", 110), ev("message.created", message_object("msg_1", RUN))]
    told += [ev("message.delta", message_delta("msg_1", "Hel")), at("completed", 110)]
    ended = state_of(told)
    assert ended.partial == frozenset()
    again = state_of([ev("message.delta", message_delta("msg_1", "Hel"))], ended)
    assert again.partial == {"msg_1"}
    whole = message_object("msg_1", RUN, status="completed", content=[text_part("Hel")])
    healed = state_of([ev("message.completed", whole)], again)
    assert healed.partial == frozenset()
    assert healed.text == "Hel"
