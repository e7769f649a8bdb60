"""Strategies of raw items, as transports and files give them and beyond: whatever can stand in a recording."""

from __future__ import annotations

import json

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from runstream.model.raw import (
    Answer,
    ConnectionEvent,
    Idle,
    Malformed,
    Oversized,
    RawEvent,
    RawItem,
    Request,
    ResponseHead,
)
from runstream.recordings.jsonl import is_json, to_one_line

__all__ = ["arrivals", "datas", "json_values", "on_one_line", "raw_events", "raw_items", "streams"]

# U+0000 and line ends can't be on the wire of an event stream; programs may make them.
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_names = st.one_of(
    st.none(),
    st.sampled_from(
        ["thread.run.created", "thread.message.delta", "done", "error", "x y", "a\nb", "nul\0", " spaced "]
    ),
    _texts.filter(bool),
)
_ids = st.one_of(st.none(), st.sampled_from(["1", "e:7", "a\rb"]), _texts.filter(bool))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_texts | st.sampled_from(["at", "as", "event", "data", "id", "text"]), inner, max_size=4)
    ),
    max_leaves=8,
)
"""Any JSON value, with keys that a recording's own lines use."""

_indents = st.sampled_from([None, None, 1])
_json = st.builds(
    lambda value, indent, escaped: json.dumps(value, indent=indent, ensure_ascii=escaped).encode(),
    json_values,
    _indents,
    st.booleans(),
)
_envelopes = st.builds(
    lambda name, value, indent: json.dumps({"event": name, "data": value}, indent=indent).encode(),
    _names,
    json_values,
    _indents,
)
datas = st.one_of(
    _envelopes,
    _json,
    _texts.map(str.encode),
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"[DONE]",
            b"",
            b"{}",
            b"[" * 300,
            b'{"a":1}\r\n',
            b'{"a":\r1}',
            b"a\rb",
            b"\xff",
            b"\n\n",
            b": no comment",
            b'{"as":"connected"}',
            b'{"at":1.0,"as":"event","event":"x","data":1}',
            b'{"at":1.0,"x":1}',
            b'{"a":1e999}',
            b'{"a":"\\ud800"}',
        ]
    ),
)
"""Payloads: JSON on one line or several, other text, bytes that are no text."""

arrivals = st.none() | st.floats(0, 4e9)
"""Unix seconds, or unknown."""


_headers = st.lists(
    st.tuples(st.sampled_from(["content-location", "location", "x-request-id", "openai-poll-after-ms"]), _texts),
    max_size=2,
).map(tuple)


def raw_events() -> SearchStrategy[RawEvent]:
    """Single events; the last event id is not made to fit its neighbours."""
    return st.builds(RawEvent, _names, datas, _ids, _ids, arrivals)


def raw_items() -> SearchStrategy[RawItem]:
    """Events, input that can be none, changes of the connection, and the other facts beside a stream."""
    return st.one_of(
        raw_events(),
        raw_events(),
        st.builds(Oversized, line=st.just(0), size=st.integers(0, 2**40), limit=st.integers(0, 2**40), event=_names),
        st.builds(Malformed, line=st.just(0), reason=_texts, data=datas, event=_names),
        st.builds(ConnectionEvent, connected=st.just(True), attempt=st.integers(0, 9), at=arrivals, reason=st.just("")),
        st.builds(ConnectionEvent, connected=st.just(False), attempt=st.integers(0, 9), at=arrivals, reason=_texts),
        st.builds(Request, body=datas, continues=_ids, at=arrivals),
        st.builds(ResponseHead, status=st.integers(100, 599), headers=_headers, at=arrivals),
        st.builds(Answer, data=datas, status=st.integers(100, 599), at=arrivals),
        st.builds(Idle, seconds=st.floats(0, 1e6), at=arrivals),
    )


def on_one_line(item: RawItem) -> RawItem:
    """The item without line ends and outer white space in its JSON, which a line of a recording does not keep."""
    if isinstance(item, Request):
        body = to_one_line(item.body)
        return msgspec.structs.replace(item, body=body) if is_json(body) else item
    if isinstance(item, RawEvent | Answer):
        data = to_one_line(item.data)
        return msgspec.structs.replace(item, data=data) if is_json(data) else item
    return item


def streams() -> SearchStrategy[list[RawItem]]:
    """Several items."""
    return st.lists(raw_items(), max_size=8)
