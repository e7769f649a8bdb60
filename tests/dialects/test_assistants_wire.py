"""What the brief reading takes says exactly what the full reading would say."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.assistants_wire import (
    FRAGMENT_LEVELS,
    FRAGMENTS,
    ArgumentsFragment,
    TextFragment,
)
from runstream.dialects.text_frame import TextFrame, TextFrames
from runstream.model.events import TextAppend
from runstream.model.raw import RawEvent
from runstream.testing import texts

REFUSALS = (msgspec.DecodeError, UnicodeError, RecursionError)


def text(value: Any = "a", **more: Any) -> dict[str, Any]:
    part = {"index": 0, "type": "text", "text": {"value": value, "annotations": []}}
    return {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": [part]}, **more}


def arguments(value: Any = "{", **more: Any) -> dict[str, Any]:
    call = {"index": 1, "type": "function", "function": {"arguments": value}}
    details = {"type": "tool_calls", "tool_calls": [call]}
    return {"id": "step_1", "object": "thread.run.step.delta", "delta": {"step_details": details}, **more}


def raws(payload: dict[str, Any], name: str) -> list[RawEvent]:
    """A payload as an SSE block and in an envelope."""
    envelope = msgspec.json.encode({"event": name, "data": payload})
    return [RawEvent(name, msgspec.json.encode(payload)), RawEvent(data=envelope)]


def brief(raw: RawEvent) -> Any:
    found = FRAGMENTS[raw.event](raw.data)
    return found if raw.event is not None else found.data


@given(texts().filter(bool), st.integers(0, 3))
def test_a_fragment_of_text_is_read_as_in_full(value: str, index: int) -> None:
    payload = text(value)
    payload["delta"]["content"][0]["index"] = index
    for raw in raws(payload, "thread.message.delta"):
        found = brief(raw)
        event = AssistantsDialect().decode(raw)
        part = event.data.delta.content[0]  # type: ignore[union-attr]
        assert type(found) is TextFragment
        assert (found.id, found.delta.content[0].index) == (event.data.id, part.index)  # type: ignore[union-attr]
        assert found.delta.content[0].text.value == part.text.value == value


@given(texts().filter(bool))
def test_a_fragment_of_arguments_is_read_as_in_full(value: str) -> None:
    for raw in raws(arguments(value), "thread.run.step.delta"):
        found = brief(raw)
        event = AssistantsDialect().decode(raw)
        call = event.data.delta.step_details.tool_calls[0]  # type: ignore[union-attr]
        assert type(found) is ArgumentsFragment
        told = found.delta.step_details.tool_calls[0]
        assert (found.id, told.index, told.function.arguments) == (event.data.id, call.index, call.function.arguments)  # type: ignore[union-attr]


def changed(payload: dict[str, Any], *path: Any, value: Any = ...) -> dict[str, Any]:
    """A copy with one value replaced, or (``...``) without it."""
    copy: Any = msgspec.json.decode(msgspec.json.encode(payload))
    node = copy
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return copy  # type: ignore[no-any-return]


PART = ("delta", "content", 0)
CALL = ("delta", "step_details", "tool_calls", 0)


@pytest.mark.parametrize(
    "payload",
    [
        text(""),
        text(None),
        text(object="thread.message"),
        text(extra=1),
        changed(text(), "id"),
        changed(text(), "delta", "role", value="assistant"),
        changed(text(), "delta", "content", value=[]),
        changed(text(), "delta", "content", value=text()["delta"]["content"] * 2),
        changed(text(), *PART, "index"),
        changed(text(), *PART, "index", value=0.5),
        changed(text(), *PART, "type"),
        changed(text(), *PART, "type", value="refusal"),
        changed(text(), *PART, "text", "annotations", value=[{"index": 0, "type": "file_citation"}]),
        changed(text(), *PART, "text", "annotations", value=None),
        changed(text(), *PART, "text", "more", value=1),
    ],
)
def test_any_other_message_delta_is_refused(payload: dict[str, Any]) -> None:
    for raw in raws(payload, "thread.message.delta"):
        with pytest.raises(REFUSALS):
            brief(raw)


@pytest.mark.parametrize(
    "payload",
    [
        arguments(""),
        changed(arguments(), *CALL, "id", value="call_1"),
        changed(arguments(), *CALL, "type", value="code_interpreter"),
        changed(arguments(), *CALL, "function", "name", value="weather"),
        changed(arguments(), *CALL, "function", "output", value="sunny"),
        changed(arguments(), "delta", "step_details", "type", value="message_creation"),
    ],
)
def test_any_other_step_delta_is_refused(payload: dict[str, Any]) -> None:
    for raw in raws(payload, "thread.run.step.delta"):
        with pytest.raises(REFUSALS):
            brief(raw)


@pytest.mark.parametrize("more", [{"id": True}, {"id": [1]}, {"at": 1.5}])
def test_an_envelope_that_says_more_is_refused(more: dict[str, Any]) -> None:
    data = msgspec.json.encode({"event": "thread.message.delta", "data": text(), **more})
    with pytest.raises(REFUSALS):
        FRAGMENTS[None](data)


# A fragment of text as somebody else may write it: spaces, keys in another order, with escapes, or twice.
_SPACES = st.sampled_from(["", " ", "\n\t"])
_KEYS = {key: [key, f"\\u{ord(key[0]):04x}{key[1:]}"] for key in ("value", "annotations", "text", "content")}


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """The data of a text fragment, in any writing that JSON allows."""

    def string(value: str) -> str:
        return msgspec.json.encode(value).decode() if draw(st.booleans()) else json.dumps(value)

    def pair(key: str, value: str) -> str:
        name = draw(st.sampled_from(_KEYS.get(key, [key])))
        return f'"{name}"{draw(_SPACES)}:{draw(_SPACES)}{value}'

    def whole(*pairs: tuple[str, str]) -> str:
        again = draw(st.lists(st.sampled_from(pairs), max_size=1))
        return f"{{{draw(_SPACES)}{','.join(pair(*item) for item in draw(st.permutations([*pairs, *again])))}}}"

    values = [
        ("value", string(draw(st.sampled_from(["a", "value", 'x"value":"y', "\\", "é\u2028"])))) for _ in range(2)
    ]
    content = whole(*values[: draw(st.integers(1, 2))], *draw(st.sampled_from([[], [("annotations", "[]")]])))
    part = whole(("index", "0"), ("type", '"text"'), ("text", content))
    parts = whole(("content", f"[{part}]"))
    return whole(("id", string(draw(st.sampled_from(["msg_1", '"value":"z"'])))), ("delta", parts)).encode()


NAME = "thread.message.delta"


def framed(data: bytes) -> TextFrame | None:
    """The frame that was learned from this message."""
    frames = TextFrames("value")
    for _ in range(4):
        frames.learn(NAME, data, "msg_1", 0)
    return frames.last


@given(written(), texts() | st.sampled_from(["value", '"', 'a","value":"b']), st.booleans(), st.binary(max_size=8))
def test_a_message_in_the_frame_of_another_says_the_same_but_for_its_text(
    data: bytes, text: str, plain: bool, junk: bytes
) -> None:
    read = FRAGMENTS[NAME]
    try:
        first = read(data)
    except REFUSALS:
        return  # an empty part, written twice
    frame = framed(data)
    if frame is None:
        return
    value = first.delta.content[0].text.value
    assert frame.read(NAME, data, len(data)) == value
    for token in (msgspec.json.encode(text) if plain else json.dumps(text).encode(), junk):
        second = frame.head + token + frame.tail
        found = frame.read(NAME, second, len(second))
        if found:
            whole = read(second)
            assert (whole.id, whole.delta.content[0].index) == (first.id, first.delta.content[0].index)
            assert whole.delta.content[0].text.value == found
            event = AssistantsDialect().decode(RawEvent(NAME, second))
            assert isinstance(event, TextAppend)
            assert (event.object_id, event.target, event.index, event.text) == (whole.id, "text", 0, found)


@given(written(), texts())
def test_other_bytes_around_the_text_are_not_in_the_frame(data: bytes, text: str) -> None:
    frame = framed(data)
    if frame is not None:
        for other in (data + b" ", b" " + data, data[:-1], data[1:]):
            assert frame.read(NAME, other, len(other)) == ""
        assert frame.read("other", data, len(data)) == ""


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":"m","delta":{"content":[{"index":0,"type":"text","text":{"value":"Hi"}}]}}',
        b'{"id": "m", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "Hi"}}]}}',
        b'{"delta":{"content":[{"text":{"value":"Hi"},"type":"text","index":0}]},"id":"m"}',
    ],
)
def test_the_common_writings_have_a_frame(data: bytes) -> None:
    frame = framed(data)
    assert frame is not None
    assert [frame.head, frame.tail] == data.split(b'"Hi"')


@pytest.mark.parametrize("value", ["x", '"', "\\", "é"])
def test_the_frame_of_a_large_message_takes_no_extra_memory(value: str) -> None:
    (raw, _) = raws(text(value * 2**20), NAME)
    tracemalloc.start()
    try:
        frame = framed(raw.data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frame is not None
    assert peak < 2 * len(raw.data)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), texts(), st.booleans()), max_size=60),
    st.booleans(),
)
def test_texts_in_turns_are_read_as_alone(turns: list[tuple[int, int, str, bool]], enveloped: bool) -> None:
    """Whatever text comes next, in whatever writing: each event is that of a decoder without memory."""
    dialect = AssistantsDialect()
    for object, index, value, spaced in turns:
        part = {"index": index, "type": "text", "text": {"value": value}}
        data: Any = {"id": f"msg_{10**object}", "delta": {"content": [part]}}
        if enveloped:
            data = {"event": NAME, "data": data}
        body = json.dumps(data, separators=None if spaced else (",", ":")).encode()
        raw = RawEvent(None if enveloped else NAME, body)
        assert dialect.decode(raw) == AssistantsDialect().decode(raw)


def test_texts_in_turns_are_read_by_their_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two fragments of each no message is decoded in full, with ids of any length."""
    dialect, decoded = AssistantsDialect(), []
    real = FRAGMENTS[None]
    monkeypatch.setitem(cast(Any, FRAGMENTS), None, lambda data: decoded.append(data) or real(data))  # type: ignore[func-returns-value]
    for _ in range(20):
        for id in ("msg_1", "msg_22", "msg_333"):
            part = b'{"index":0,"type":"text","text":{"value":"word "}}'
            data = b'{"event":"%b","data":{"id":"%b","delta":{"content":[%b]}}}' % (NAME.encode(), id.encode(), part)
            event = dialect.decode(RawEvent(data=data))
            assert isinstance(event, TextAppend)
            assert (event.object_id, event.text) == (id, "word ")
    assert len(decoded) == 6


def test_frames_of_many_texts_are_bounded() -> None:
    """A source that has had many texts keeps the frames of the last ones."""
    frames = TextFrames("value")
    for number in range(1000):
        data = b'{"id":"m%d","text":{"value":"x"}}' % number
        for _ in range(4):
            frames.learn(None, data, f"m{number}", 0)
    assert len(frames.by_id) == len(frames._counts) == 32
    assert len(frames.places) <= 4


def test_fragments_are_nested_as_deeply_as_is_said() -> None:
    envelopes = [raws(text(), "thread.message.delta")[1], raws(arguments(), "thread.run.step.delta")[1]]
    assert max(depth(msgspec.json.decode(raw.data)) for raw in envelopes) == FRAGMENT_LEVELS


def depth(value: Any) -> int:
    """How deeply containers nest."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)
