"""What servers really send: text that is not quite text, and JSON in JSON. Each is read by every door."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream import Message, Run, SSEParser, fold
from runstream.dialects.assistants import AssistantsDialect
from runstream.engine.fold import Folded
from runstream.model.events import TextAppend
from runstream.model.raw import RawEvent
from tests.support.wire import (
    function_call_delta,
    message_delta,
    message_object,
    run_object,
    step_delta,
    step_object,
    tool_calls,
)

RUN = run_object("run_1", status="in_progress")
DONE = run_object("run_1", status="completed")

Pair = tuple[str, Any]


class _Dumped:
    """An object of a client library."""

    def __init__(self, fields: Any) -> None:
        self.fields = fields

    def model_dump(self, **options: Any) -> Any:
        return self.fields


def _envelope(name: str, data: Any) -> dict[str, Any]:
    return {"event": name, "data": data}


DOORS: dict[str, Callable[[str, Any], Any]] = {
    "bytes": lambda name, data: json.dumps(_envelope(name, data)).encode(),
    "str": lambda name, data: json.dumps(_envelope(name, data)),
    "str, not escaped": lambda name, data: json.dumps(_envelope(name, data), ensure_ascii=False),
    "bytes, surrogates encoded": lambda name, data: json.dumps(_envelope(name, data), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    ),
    "block": lambda name, data: RawEvent(name, json.dumps(data).encode()),
    "mapping": _envelope,
    "block as mapping": lambda name, data: {"event": name, "data": json.dumps(data, ensure_ascii=False)},
    "object": lambda name, data: _Dumped(_envelope(name, data)),
    "object with objects": lambda name, data: _Dumped({"event": name, "data": _Dumped(data)}),
    "tuple": lambda name, data: (name, data, None),
    "tuple with an object": lambda name, data: (name, _Dumped(data)),
    "event of a client of event streams": lambda name, data: SimpleNamespace(
        event=name, data=json.dumps(data), id="", retry=None
    ),
}
door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


def told(pairs: Iterable[Pair], door: Callable[[str, Any], Any] = DOORS["bytes"]) -> Folded:
    return fold([door(name, data) for name, data in pairs])


def spoken(*fragments: Any, run: Any = RUN) -> list[Pair]:
    """The events of a run with one message of these fragments."""
    return [
        ("thread.run.in_progress", run),
        ("thread.message.created", message_object("msg_1", RUN)),
        *(("thread.message.delta", message_delta("msg_1", each)) for each in fragments),
    ]


def outcome(folded: Folded) -> tuple[list[str], list[str]]:
    return [state.text for state in folded.runs], [reject.reason for reject in folded.rejects]


@door
def test_a_lone_surrogate_is_one_odd_character(door: Any) -> None:
    """All else of the run is read: its metadata, its text, its end."""
    odd = {"metadata": {"ques\udc80tion": "half \ud83d", "b": "\udead\udead x \ud83d\ude00"}}
    events = [*spoken("a\udcafb", "\ud83d\ude00", run={**RUN, **odd}), ("thread.run.completed", {**DONE, **odd})]
    folded = told(events, door)
    assert outcome(folded) == (["a\ufffdb\U0001f600"], [])
    (state,) = folded.runs
    assert state.status == "completed"
    assert dict(state.run.metadata) == {"ques\ufffdtion": "half \ufffd", "b": "\ufffd\ufffd x \U0001f600"}


@door
@pytest.mark.parametrize("after", ["\ude00 there", "\ude00", "\ude00\ud83d"])
def test_a_pair_over_two_fragments_is_joined(door: Any, after: str) -> None:
    """Each half alone has no meaning; together they are the character that was written."""
    folded = told(spoken("Hi \ud83d", after, *(["\ude00"] if after.endswith("\ud83d") else []), "."), door)
    joined = "Hi \ud83d" + after + ("\ude00" if after.endswith("\ud83d") else "") + "."
    assert outcome(folded) == ([joined.encode("utf-16", "surrogatepass").decode("utf-16")], [])


def test_pairs_are_joined_in_each_text_of_its_own() -> None:
    """Two messages, two parts and the arguments of a call, one between the halves of the other."""

    def part(text: str, index: int, id: str = "msg_1") -> Pair:
        return "thread.message.delta", message_delta(id, text, index=index)

    def arguments(text: str) -> Pair:
        return "thread.run.step.delta", step_delta("step_1", function_call_delta(0, text))

    folded = told(
        [
            *spoken(),
            ("thread.message.created", message_object("msg_2", RUN)),
            ("thread.run.step.created", step_object("step_1", RUN, tool_calls())),
            ("thread.run.step.delta", step_delta("step_1", function_call_delta(0, id="call_1", name="f"))),
            part("a\ud83d", 0),
            part("b\ud83d", 1),
            part("c\ud83d", 0, "msg_2"),
            arguments('{"x":"\ud83d'),
            part("\ude00", 0, "msg_2"),
            part("\ude01", 0),
            arguments('\ude03"}'),
            part("\ude02", 1),
        ]
    )
    assert outcome(folded) == (["a\U0001f601b\U0001f602c\U0001f600"], [])
    assert folded.runs[0].tool_calls[0].arguments == '{"x":"\U0001f603"}'


@pytest.mark.parametrize("after", ["there", "", "\ud83d"])
def test_a_half_without_the_other_is_one_odd_character(after: str) -> None:
    """Whether more text follows or not: the character is marked, and nothing else is lost."""
    folded = told([*spoken("Hi \ud83d", *([after] if after else []))])
    shown = {"there": "Hi \ufffdthere", "": "Hi \ufffd", "\ud83d": "Hi \ufffd\ufffd"}
    assert outcome(folded) == ([shown[after]], [])


def test_a_whole_message_replaces_a_half() -> None:
    """What came of it until then is not told again."""
    whole = message_object(
        "msg_1", RUN, status="completed", content=[{"type": "text", "text": {"value": "Hi \U0001f600"}}]
    )
    folded = told([*spoken("Hi \ud83d"), ("thread.message.completed", whole)])
    assert outcome(folded) == (["Hi \U0001f600"], [])


def test_a_repeated_half_is_joined_as_before() -> None:
    """Events are decoded before duplicates are skipped: a repetition means the same."""
    dialect = AssistantsDialect()

    def fragment(text: str, id: str) -> RawEvent:
        return RawEvent("thread.message.delta", json.dumps(message_delta("msg_1", text)).encode(), id)

    first, second = fragment("a\ud83d", "1"), fragment("\ude00b", "2")
    found = [dialect.decode(raw) for raw in (first, second, second)]
    assert [event.text for event in found if isinstance(event, TextAppend)] == ["a", "\U0001f600b", "\U0001f600b"]


def test_halves_that_are_kept_are_bounded() -> None:
    """Of too many texts the half is one odd character at once."""
    dialect = AssistantsDialect()
    for n in range(1000):
        dialect.decode(RawEvent("thread.message.delta", json.dumps(message_delta(f"msg_{n}", "a\ud83d")).encode()))
    assert len(dialect.end(True)) == 64
    assert dialect.end(True) == ()


@given(st.lists(st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0x1F610), max_size=6), max_size=6), st.data())
def test_text_cut_anywhere_is_the_same_text(pieces: list[str], data: st.DataObject) -> None:
    """Fragments cut between any two UTF-16 units, as programs in JavaScript cut them, give the text as written."""
    text = "".join(pieces)
    units = text.encode("utf-16-le", "surrogatepass")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(units) // 2), max_size=6)))
    edges = [0, *[2 * cut for cut in cuts], len(units)]
    fragments = [units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(edges)]
    expected = units.decode("utf-16-le", "replace") if units else ""
    folded = told(spoken(*fragments))
    assert not folded.rejects
    (shown,) = [state.text for state in folded.runs]
    assert shown.replace("\ufffd", "") == expected.replace("\ufffd", "")


@pytest.mark.parametrize("odd", [b"\xe9", b"\xf0\x9f\x98", b"\xc3", b"\xff\xfe", b"\x80"])
def test_bytes_that_are_not_utf8(odd: bytes) -> None:
    """In an event stream and in an envelope: U+FFFD stands for them, and the run is seen."""
    run = {**DONE, "metadata": {"place": "Caf$"}}
    pairs = [*spoken("Caf$ ", "ok", run={**RUN, "metadata": {"place": "Caf$"}}), ("thread.run.completed", run)]
    blocks = b"".join(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data in pairs)
    frames = [DOORS["bytes"](name, data) for name, data in pairs]
    for folded in (
        fold(SSEParser().feed(blocks.replace(b"$", odd))),
        fold([frame.replace(b"$", odd) for frame in frames]),
    ):
        (state,) = folded.runs
        assert not folded.rejects
        assert state.status == "completed"
        assert state.text.replace("\ufffd", "") == "Caf ok"
        assert "\ufffd" in state.text
        assert state.run.metadata["place"].rstrip("\ufffd") == "Caf"


def test_objects_are_read_likewise() -> None:
    """A `from_json` of your own reads the same text."""
    for text in (
        b'{"id":"r","status":"queued","model":"\xe9\\ud83d"}',
        '{"id":"r","status":"queued","model":"\ud83d\ud83d"}',
    ):
        assert Run.from_json(text).model == "\ufffd\ufffd"
    assert Run.from_json({"id": "r", "status": "queued", "\ud83d": 1}).extra() == {"\ufffd": 1}


def test_a_byte_order_mark_is_no_part_of_the_message() -> None:
    """Some relays put it before each message."""
    folded = fold([b"\xef\xbb\xbf" + DOORS["bytes"](name, data) for name, data in spoken("ha", "ha")])
    assert outcome(folded) == (["haha"], [])


# -- JSON in JSON, envelopes in envelopes --------------------------------------------------------------

TWICE: dict[str, Callable[[str, Any], Any]] = {
    "data is text": lambda name, data: json.dumps(_envelope(name, json.dumps(data))).encode(),
    "data is text of text": lambda name, data: json.dumps(_envelope(name, json.dumps(json.dumps(data)))).encode(),
    "the envelope is text": lambda name, data: json.dumps(json.dumps(_envelope(name, data))).encode(),
    "a block of text": lambda name, data: RawEvent(name, json.dumps(json.dumps(data)).encode()),
    "an envelope in a block": lambda name, data: RawEvent(name, json.dumps(_envelope(name, data)).encode()),
    "a block with the default name": lambda name, data: RawEvent("message", json.dumps(_envelope(name, data)).encode()),
    "an envelope with the default name": lambda name, data: json.dumps(
        {"event": "message", "data": _envelope(name, data)}
    ).encode(),
    "text in an envelope with the default name": lambda name, data: json.dumps(
        {"event": "message", "data": json.dumps(_envelope(name, data))}
    ).encode(),
    "an envelope in an envelope": lambda name, data: json.dumps(_envelope(name, _envelope(name, data))).encode(),
}


@pytest.mark.parametrize("form", TWICE.values(), ids=TWICE)
def test_what_is_wrapped_twice_is_read_once(form: Callable[[str, Any], Any]) -> None:
    """Fragments and objects, errors and the end."""
    events = [*spoken("Hello", " there"), ("thread.run.completed", DONE)]
    folded = told(events, form)
    assert outcome(folded) == (["Hello there"], [])
    assert folded.runs[0].status == "completed"
    assert folded.stats.unknown == 0
    assert folded.runs[0].messages == told(events).runs[0].messages


@pytest.mark.parametrize("form", TWICE.values(), ids=TWICE)
def test_halves_in_what_is_wrapped_twice(form: Callable[[str, Any], Any]) -> None:
    """Both at once: a relay in JavaScript that encodes its text again."""
    assert outcome(told(spoken("Hi \ud83d", "\ude00."), form)) == (["Hi \U0001f600."], [])


def test_the_default_name_means_no_name() -> None:
    """The end, a bare object, and what is none of it, are the same with the default name as without one."""
    for name in ("message", None):
        folded = fold(
            [
                RawEvent(name, json.dumps({**RUN, "object": "thread.run"}).encode()),
                RawEvent(name, b"[DONE]"),
                RawEvent(name, b'{"hello":1}'),
            ]
        )
        assert [reject.reason for reject in folded.rejects] == ["Neither an `event` nor an `object` says what this is"]
        assert len(folded.runs) == 1


def test_an_envelope_keeps_its_id_where_it_is_unwrapped() -> None:
    """The identity of the event is the outer one, if the inner one has none."""
    inner = _envelope("thread.run.in_progress", RUN)
    for outer in ({"event": "message", "id": "7", "data": inner}, {"event": "message", "data": {**inner, "id": "7"}}):
        event: Any = AssistantsDialect().decode(RawEvent(data=json.dumps(outer).encode()))
        assert (event.id, event.data.id) == ("7", "run_1")


def test_text_that_is_no_object_stays_what_it_is() -> None:
    """An unknown event's text, and text that only looks like JSON."""
    folded = fold([_envelope("private", "{}"), DOORS["bytes"]("thread.run.queued", "{no"), b'"x"'])
    assert folded.stats.unknown == 1
    assert len(folded.rejects) == 2


def test_nested_text_is_bounded() -> None:
    """Neither deep nesting in text nor text in text without end is followed."""
    deep = '{"a":' * 200 + "1" + "}" * 200
    text: Any = json.dumps(RUN)
    for _ in range(12):
        text = json.dumps(text)
    folded = fold([DOORS["bytes"]("thread.run.queued", deep), RawEvent("thread.run.queued", text.encode())])
    assert len(folded.rejects) == 2


def test_a_message_object_has_the_text_too() -> None:
    """The same shapes, read without a stream."""
    assert Message.from_json({"id": "m", "content": "Hello"}).text == "Hello"
    assert Message.from_json({"id": "m", "content": ["Hel", {"type": "text", "text": "lo"}]}).text == "Hello"
