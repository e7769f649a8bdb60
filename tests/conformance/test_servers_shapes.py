"""What servers really send: calls, content and errors in other shapes than the specification has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream import Limits, fold
from runstream.engine.fold import Folded
from runstream.model.raw import RawEvent
from runstream.store.codec import decode_state, encode_state
from tests.support.wire import (
    message_delta,
    message_object,
    run_object,
    step_delta,
    step_object,
    text_part,
    tool_calls,
)

RUN = run_object("run_1", status="in_progress")
STARTED = ("thread.run.in_progress", RUN)
STEP = ("thread.run.step.created", step_object("step_1", RUN, tool_calls()))
MESSAGE = ("thread.message.created", message_object("msg_1", RUN))


def told(*pairs: tuple[str, Any]) -> Folded:
    return fold([{"event": name, "data": data} for name, data in (STARTED, *pairs)])


def piece(arguments: Any = None, **fields: Any) -> dict[str, Any]:
    """A fragment of a call; with an id it begins one."""
    name = {"name": "weather"} if fields.get("id") else {}
    return {"type": "function", "function": {**name, "arguments": arguments}, **fields}


def calls(*pieces: dict[str, Any], id: str = "step_1") -> tuple[str, Any]:
    return "thread.run.step.delta", step_delta(id, *pieces)


def arguments_of(folded: Folded) -> list[tuple[str, str | None]]:
    return [(call.id, call.arguments) for call in folded.runs[0].tool_calls]


# -- the places of calls ------------------------------------------------------------------------------

OSLO, ROME, BONN = '{"city":"Oslo"}', '{"city":"Rome"}', '{"city":"Bonn"}'


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([{"index": 0}] * 3, id="one index"),
        pytest.param([{}] * 3, id="no index"),
        pytest.param([{"index": None}] * 3, id="null"),
        pytest.param([{"index": "0"}, {"index": "1"}, {"index": "2"}], id="text"),
        pytest.param([{"index": "0"}] * 3, id="one text"),
        pytest.param([{"index": 0}, {"index": 0}, {"index": 1}], id="two at one index, then the next one"),
        pytest.param([{"index": 0}, {}, {"index": 0}], id="an index or none"),
        pytest.param([{"index": 2}, {"index": 2}, {"index": 2}], id="one index, not the first"),
    ],
)
@pytest.mark.parametrize("cut", [1, 4, 100])
def test_parallel_calls_however_they_are_numbered(fields: list[dict[str, Any]], cut: int) -> None:
    """An id that differs is another call; fragments without one belong to the call before."""
    events = []
    for place, id, whole in zip(fields, "abc", (OSLO, ROME, BONN), strict=True):
        first, *rest = [whole[start : start + cut] for start in range(0, len(whole), cut)]
        events += [calls(piece(first, id=id, **place)), *[calls(piece(more, **place)) for more in rest]]
    folded = told(STEP, *events)
    assert arguments_of(folded) == [("a", OSLO), ("b", ROME), ("c", BONN)]
    assert not folded.rejects
    deltas = [signal for signal in folded.signals if signal.type == "tool_call.arguments"]
    shown: dict[str, str] = {}
    for signal in deltas:
        shown[signal.call_id] = shown.get(signal.call_id, "") + signal.delta
    assert shown == {"a": OSLO, "b": ROME, "c": BONN}
    assert len({signal.key for signal in folded.signals}) == len(folded.signals)


def test_fragments_that_alternate_are_told_apart_by_id() -> None:
    """At one index, or without any: the id says whose fragment it is."""
    for place in ({"index": 0}, {}):
        folded = told(
            STEP,
            calls(piece('{"city":', id="a", **place)),
            calls(piece('{"city":', id="b", **place)),
            calls(piece('"Oslo"}', id="a", **place)),
            calls(piece('"Ro', id="b", **place)),
            calls(piece('me"}', **place)),
        )
        assert arguments_of(folded) == [("a", OSLO), ("b", ROME)]


def test_calls_of_one_fragment_without_an_index() -> None:
    """Two calls in one event are two calls; without ids their places count."""
    folded = told(STEP, calls(piece("{", id="a"), piece("[", id="b")), calls(piece("}"), piece("]")))
    assert arguments_of(folded) == [("a", "{}"), ("b", "[]")]
    folded = told(STEP, calls(piece(OSLO, id="a", index=0), piece(ROME, id="b", index=0)))
    assert arguments_of(folded) == [("a", OSLO), ("b", ROME)]


def test_another_text_between_changes_no_place() -> None:
    """The call of a shared index is known after the text of a message, and after a restart."""
    before = [
        STEP,
        MESSAGE,
        calls(piece(OSLO, id="a", index=0)),
        calls(piece('{"city":', id="b", index=0)),
        ("thread.message.delta", message_delta("msg_1", "Hm")),
    ]
    rest = calls(piece('"Rome"}', index=0))
    folded = told(*before, rest)
    assert arguments_of(folded) == [("a", OSLO), ("b", ROME)]
    (state,) = told(*before).runs
    assert decode_state(encode_state(state))._find("step_1").places == ((0, 1),)  # type: ignore[union-attr]


def test_one_id_at_two_indices_stays_two_calls() -> None:
    """A server that gives each call the name of its function as id numbers them at least."""
    folded = told(STEP, calls(piece(OSLO, id="w", index=0)), calls(piece(ROME, id="w", index=1)))
    assert arguments_of(folded) == [("w", OSLO), ("w", ROME)]


@pytest.mark.parametrize("index", ["one", "", "1.0", 0.5, True, {}])
def test_an_index_that_can_not_be_read_is_a_reject(index: Any) -> None:
    """A wrong place would be worse than none: what came so far is marked."""
    for event in (
        calls(piece(ROME, index=index)),
        (
            "thread.message.delta",
            {"id": "msg_1", "delta": {"content": [{"index": index, "type": "text", "text": {"value": "x"}}]}},
        ),
    ):
        folded = told(STEP, MESSAGE, calls(piece('{"city":', id="a", index=0)), event)
        assert [reject.reason for reject in folded.rejects] == ["An index is no number"]
        assert arguments_of(folded) == [("a", '{"city":')]
        assert folded.runs[0].partial


@pytest.mark.parametrize("index", [-1, "-1", 5000, "5000", "9" * 30])
def test_an_index_is_bounded_in_any_form(index: Any) -> None:
    """Text is bounded as a number is."""
    folded = told(STEP, calls(piece(ROME, id="a", index=index)))
    assert len(folded.rejects) == 1
    assert folded.runs[0].tool_calls == ()


def test_shared_indices_are_bounded() -> None:
    """Calls that share an index take places within the limit."""
    events = [STARTED, STEP, *[calls(piece(str(n), id=f"c{n}", index=0)) for n in range(30)]]
    folded = fold([{"event": name, "data": data} for name, data in events], limits=Limits(max_index=20))
    assert [call.id for call in folded.runs[0].tool_calls] == [f"c{n}" for n in range(21)]
    assert len(folded.rejects) == 9


def test_parts_without_an_index() -> None:
    """Text goes on with the last text, an image is a part of its own."""
    image = {"type": "image_file", "image_file": {"file_id": "file_1"}}

    def content(*parts: Any) -> tuple[str, Any]:
        return "thread.message.delta", {"id": "msg_1", "delta": {"content": list(parts)}}

    folded = told(
        MESSAGE,
        content({"type": "text", "text": {"value": "See"}}),
        content(image),
        content({"type": "text", "text": {"value": " this"}}),
        content({"text": {"value": "."}}),
    )
    (message,) = folded.runs[0].messages
    assert (message.text, message.image_file_ids) == ("See this.", ("file_1",))


def test_annotations_and_outputs_without_an_index() -> None:
    """An annotation is whole: another one is one more. Logs go on, an image is one more output."""

    def cites(*files: str) -> tuple[str, Any]:
        notes = [{"type": "file_citation", "text": f"[{file}]", "file_citation": {"file_id": file}} for file in files]
        part = {"index": 0, "type": "text", "text": {"value": "x", "annotations": notes}}
        return "thread.message.delta", {"id": "msg_1", "delta": {"content": [part]}}

    def prints(output: dict[str, Any]) -> tuple[str, Any]:
        return calls({"index": 0, "id": "c", "type": "code_interpreter", "code_interpreter": {"outputs": [output]}})

    image = {"type": "image", "image": {"file_id": "file_1"}}
    folded = told(
        MESSAGE, STEP, cites("a"), cites("b"), cites("b"), cites("a", "b", "c"),
        prints({"type": "logs", "logs": "1\n"}), prints({"type": "logs", "logs": "2\n"}), prints(image), prints(image),
    )  # fmt: skip
    state = folded.runs[0]
    assert [note.text for note in state.messages[0].annotations] == ["[a]", "[b]", "[c]"]  # type: ignore[union-attr]
    (call,) = state.tool_calls
    outputs = [output.to_dict() for output in call.code_interpreter.outputs]  # type: ignore[union-attr]
    assert outputs == [{"type": "logs", "logs": "1\n2\n"}, image, image]


# -- arguments ----------------------------------------------------------------------------------------


def asks(arguments: Any, type: str = "function") -> tuple[str, Any]:
    body = {"name": "f", "arguments": arguments}
    call = {"id": "c", "type": type, **(body if type in ("mcp", "exotic") else {type: body})}
    name = "submit_tool_approval" if type == "mcp" else "submit_tool_outputs"
    action = {"type": name, name: {"tool_calls": [call]}}
    return "thread.run.requires_action", run_object("run_1", status="requires_action", required_action=action)


@pytest.mark.parametrize("type", ["function", "mcp", "exotic"])
@pytest.mark.parametrize("value", [{"city": "Oslo", "n": [1, {"a": None}]}, {}, [1], 5, True])
def test_arguments_in_place_of_their_text(type: str, value: Any) -> None:
    """They are there as JSON text and parsed, and the object is written as it came."""
    folded = told(asks(value, type))
    (signal,) = [signal for signal in folded.signals if signal.type == "run.action_required"]
    (call,) = signal.calls
    assert (json.loads(call.arguments), call.error) == (value, None)
    assert call.parsed == value or dict(call.parsed) == value
    assert signal.run.to_dict()["required_action"] == asks(value, type)[1]["required_action"]
    assert folded.stats.mistyped == 0


def test_the_same_arguments_as_text_are_the_same_call() -> None:
    """A poll of a request in the other form is no second request."""
    folded = told(asks({"a": 1}), asks('{"a": 1}'), asks({"a": 1}))
    assert [signal.type for signal in folded.signals].count("run.action_required") == 1


def test_arguments_and_outputs_of_steps_in_place_of_their_text() -> None:
    """In a whole step and in fragments; a value is whole and replaces fragments before it."""
    whole = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}, "output": [1, 2]}}
    done = ("thread.run.step.completed", step_object("step_1", RUN, tool_calls(whole), status="completed"))
    for events in (
        [done],
        [STEP, calls(piece({"a": 1}, id="c", index=0)), done],
        [STEP, calls(piece('{"a', id="c", index=0)), calls(piece({"a": 1}, index=0)), done],
        [STEP, calls(piece({"a": 1}, id="c", index=0)), calls(piece({"a": 1}, index=0)), done],
    ):
        folded = told(*events)
        (call,) = folded.runs[0].tool_calls
        assert (call.arguments, call.function.output) == ('{"a":1}', "[1,2]")  # type: ignore[union-attr]
        assert call.to_dict() == whole
        assert not folded.rejects
        assert folded.stats.mistyped == 0
        if len(events) > 1:
            assert arguments_of(told(*events[:-1])) == [("c", '{"a":1}')]


# -- content ------------------------------------------------------------------------------------------

CONTENTS: dict[str, Any] = {
    "text": "Hello",
    "texts": ["Hel", "lo"],
    "text in a part": [{"index": 0, "type": "text", "text": "Hello"}],
    "text in a part without a type": [{"text": "Hello"}],
    "a part": {"type": "text", "text": {"value": "Hello"}},
    "a part with text": {"type": "text", "text": "Hello"},
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_content_that_is_text(content: Any) -> None:
    """In fragments and in whole messages, open or ended, alone or after each other."""
    delta = ("thread.message.delta", {"id": "msg_1", "delta": {"content": content}})
    whole = [
        (f"thread.message.{status}", {**message_object("msg_1", RUN, status=status), "content": content})
        for status in ("in_progress", "completed")
    ]
    for events in ([delta], whole[:1], whole[1:], whole, [delta, whole[1]], [delta, *whole]):
        folded = told(MESSAGE, *events)
        assert folded.runs[0].text == "Hello", events
        assert not folded.rejects
        assert not [signal for signal in folded.signals if signal.type == "message.text_replaced"]
    assert folded.runs[0].messages[0].to_dict()["content"] == content


def test_fragments_of_text_in_any_shape_go_on() -> None:
    """One message, each fragment in another shape."""
    pieces = ["a", [{"index": 0, "type": "text", "text": "b"}], {"type": "text", "text": {"value": "c"}}, ["d"]]
    deltas = [("thread.message.delta", {"id": "msg_1", "delta": {"content": content}}) for content in pieces]
    folded = told(MESSAGE, *deltas, ("thread.message.delta", message_delta("msg_1", "e")))
    assert folded.runs[0].text == "abcde"
    assert [signal.delta for signal in folded.signals if signal.type == "message.text"] == list("abcde")


@pytest.mark.parametrize("content", [None, "", [], {}, 5, True, [""], [{"type": "text", "text": {"value": ""}}], [3]])
def test_a_message_that_ends_without_text_keeps_it(content: Any) -> None:
    """What it leaves out, empties or says unreadably erases nothing that was streamed."""
    fragment = ("thread.message.delta", message_delta("msg_1", "Hello"))
    ended = {**message_object("msg_1", RUN, status="completed"), "content": content}
    folded = told(MESSAGE, fragment, ("thread.message.completed", ended))
    (message,) = folded.runs[0].messages
    assert (message.text, message.status) == ("Hello", "completed")
    assert [signal.type for signal in folded.signals][-4:-2] == ["message.text", "message.completed"]
    shown = {**message_object("msg_1", RUN), "content": [text_part("Hello")]}
    folded = told(("thread.message.in_progress", shown), ("thread.message.completed", ended))
    assert folded.runs[0].text == "Hello"


@pytest.mark.parametrize("details", [None, {}, tool_calls(), {"type": "tool_calls", "tool_calls": None}])
def test_a_step_that_ends_without_calls_keeps_them(details: Any) -> None:
    """Likewise calls; and arguments and outputs in a call that is named."""
    first = calls(piece(OSLO, id="a", index=0), {"index": 1, **piece(ROME, id="b")})
    output = calls({"index": 0, "type": "function", "function": {"output": "warm"}})
    ended = {**step_object("step_1", RUN, tool_calls(), status="completed"), "step_details": details}
    folded = told(STEP, first, output, ("thread.run.step.completed", ended))
    assert arguments_of(folded) == [("a", OSLO), ("b", ROME)]
    for inner in ({"name": "weather"}, {"name": "weather", "arguments": "", "output": None}):
        named = [{"id": id, "type": "function", "function": inner} for id in "ab"]
        ended = step_object("step_1", RUN, tool_calls(*named), status="completed")
        folded = told(STEP, first, output, ("thread.run.step.completed", ended))
        assert arguments_of(folded) == [("a", OSLO), ("b", ROME)]
        assert folded.runs[0].tool_calls[0].function.output == "warm"  # type: ignore[union-attr]


def test_a_full_object_says_what_is_right() -> None:
    """Text that differs replaces, and a part or call that the list lacks is gone."""
    parts = [("thread.message.delta", message_delta("msg_1", text, index=n)) for n, text in enumerate(("one", "two"))]
    ended = message_object("msg_1", RUN, status="completed", content=[text_part("eins")])
    folded = told(MESSAGE, *parts, ("thread.message.completed", ended))
    assert folded.runs[0].text == "eins"


# -- errors -------------------------------------------------------------------------------------------

ERRORS: list[tuple[Any, str | None, str | None]] = [
    ({"code": "a", "message": "Out of quota"}, "a", "Out of quota"),
    ({"error": {"code": "a", "message": "Out of quota"}}, "a", "Out of quota"),
    ({"error": {"error": {"code": "a", "message": "Out of quota"}}}, "a", "Out of quota"),
    ({"error": '{"error": {"code": "a", "message": "Out of quota"}}'}, "a", "Out of quota"),
    ('{"error": {"code": "a", "message": "Out of quota"}}', "a", "Out of quota"),
    ({"error": "Out of quota"}, None, "Out of quota"),
    ("Out of quota", None, "Out of quota"),
    ({"detail": "Out of quota"}, None, "Out of quota"),
    ({"detail": [{"loc": ["body"], "msg": "Out of quota", "type": "missing"}]}, None, "Out of quota"),
    ({"detail": {"message": "Out of quota"}}, None, "Out of quota"),
    ({"error": {"detail": "Out of quota"}}, None, "Out of quota"),
    ({"title": "Payment", "detail": "Out of quota", "status": 402}, None, "Out of quota"),
    ({"errors": [{"message": "Out of"}, {"message": "quota"}]}, None, "Out of; quota"),
    ([{"error": {"message": "Out of quota", "code": 429}}], "429", "Out of quota"),
    ({"error": "quota", "error_description": "Out of quota"}, "quota", "Out of quota"),
    ({"object": "error", "message": "Out of quota", "code": 40001, "type": "Bad"}, "40001", "Out of quota"),
    ({"error": {"message": "", "code": "a"}}, "a", None),
    (None, None, None),
    (5, None, None),
    ({}, None, None),
]


@pytest.mark.parametrize(("data", "code", "message"), ERRORS)
def test_errors_in_any_shape(data: Any, code: str | None, message: str | None) -> None:
    """Named beside the data or in an envelope: what the server said is there, and nothing raises."""
    for raw in (RawEvent("error", json.dumps(data).encode()), {"event": "error", "data": data}):
        folded = fold([raw])
        (signal,) = [signal for signal in folded.signals if signal.type == "source.error"]
        assert (signal.error.code, signal.error.message or None) == (code, message)
        assert not folded.rejects


@pytest.mark.parametrize(
    "body",
    [
        data
        for data, _, message in ERRORS
        if isinstance(data, dict) and message and not {"error", "errors", "detail", "object"}.isdisjoint(data)
    ],
)
def test_errors_without_a_name(body: dict[str, Any]) -> None:
    """A body as servers send it in place of a stream."""
    folded = fold([json.dumps(body).encode(), b"[DONE]"])
    assert folded.signals[0].type == "source.error"
    assert not folded.rejects


def test_an_error_beside_its_name() -> None:
    """In an envelope without data."""
    for body in (
        {"event": "error", "error": {"message": "Out of quota"}},
        {"event": "error", "message": "Out of quota"},
    ):
        signal: Any = fold([body]).signals[0]
        assert signal.error.message == "Out of quota"


def test_a_message_that_only_mentions_an_error_is_none() -> None:
    """An unknown object stays a reject."""
    folded = fold([{"error": None, "x": 1}, {"error": "x", "delta": {"content": "y"}}, {"detail": ""}])
    assert len(folded.rejects) == 3


# -- whose it is --------------------------------------------------------------------------------------


def test_a_message_without_a_run_belongs_to_the_only_open_run() -> None:
    """With its step or without one, and whatever else has ended before."""
    other = run_object("run_0", status="completed")
    loose = {**message_object("msg_1", RUN), "run_id": None}
    done = {**message_object("msg_1", RUN, status="completed", content=[text_part("Hello")]), "run_id": None}
    folded = told(
        ("thread.run.completed", other),
        ("thread.message.created", loose),
        ("thread.message.delta", message_delta("msg_1", "Hello")),
        ("thread.message.completed", done),
        ("thread.run.completed", run_object("run_1", status="completed")),
    )
    assert [state.text for state in folded.runs if state.run_id == "run_1"] == ["Hello"]
    assert not folded.orphans


@pytest.mark.parametrize(
    ("thread", "owner"), [("thread_1", "run_1"), ("thread_2", "run_2"), ("thread_3", None), (None, None)]
)
def test_of_several_open_runs_the_thread_decides(thread: str | None, owner: str | None) -> None:
    """Where it does not, the message waits, and counts as an orphan."""
    runs = [run_object(f"run_{n}", status="in_progress", thread_id=f"thread_{n}") for n in (1, 2)]
    loose = {**message_object("msg_1", RUN, status="completed", content=[text_part("Hello")]), "run_id": None}
    folded = fold(
        [
            *[{"event": "thread.run.in_progress", "data": run} for run in runs],
            {"event": "thread.message.completed", "data": {**loose, "thread_id": thread}},
        ]
    )
    assert [state.run_id for state in folded.runs if state.text] == ([owner] if owner else [])
    assert list(folded.orphans) == ([] if owner else ["msg_1"])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "yz", ""])), max_size=12), st.booleans())
def test_any_fragments_with_ids_are_told_apart(pieces: list[tuple[str, str]], numbered: bool) -> None:
    """Whatever the order, each call has the text that came under its id."""
    place = {"index": 0} if numbered else {}
    folded = told(STEP, *[calls(piece(text, id=id, **place)) for id, text in pieces])
    expected = {id: "".join(text for each, text in pieces if each == id) for id, _ in pieces}
    assert {id: text or "" for id, text in arguments_of(folded)} == expected
