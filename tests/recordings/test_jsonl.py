"""One item, one line of JSON, and back: nothing is lost, and lines of other origin are left as they are."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given

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
from runstream.recordings.jsonl import decode_line, decode_tagged_line, encode_line, is_json, to_one_line
from tests.support.raws import on_one_line, raw_items

TABLE: list[tuple[RawItem, bytes]] = [
    (RawEvent(None, b'{"event":"a","data":{}}', at=1.5), b'{"at":1.5,"event":"a","data":{}}'),
    (RawEvent(None, b'{"event": "a" }'), b'{"event": "a" }'),
    (RawEvent(None, b"{}", at=2.0), b'{"at":2.0,"as":"message","data":{}}'),
    (RawEvent(None, b'{"at":1,"event":"a"}', at=2.0), b'{"at":2.0,"as":"message","data":{"at":1,"event":"a"}}'),
    (RawEvent(None, b'{"\\u0061s":"x"}'), b'{"as":"message","data":{"\\u0061s":"x"}}'),
    (RawEvent(None, b'{"a":1}', id="7"), b'{"as":"message","id":"7","last_id":null,"data":{"a":1}}'),
    (RawEvent(None, b"[1]"), b'{"as":"message","data":[1]}'),
    (RawEvent(None, b"junk", at=3.0), b'{"at":3.0,"as":"message","text":"junk"}'),
    (RawEvent("a", b'{"b":1.0, "c":2}', at=1.0), b'{"at":1.0,"as":"event","event":"a","data":{"b":1.0, "c":2}}'),
    (RawEvent("a", b'"\\u00e9"'), b'{"as":"event","event":"a","data":"\\u00e9"}'),
    (RawEvent("a", b"1", "7", "7"), b'{"as":"event","event":"a","id":"7","data":1}'),
    (RawEvent("a", b"1", None, "7"), b'{"as":"event","event":"a","last_id":"7","data":1}'),
    (RawEvent("done", b"[DONE]"), b'{"as":"event","event":"done","text":"[DONE]"}'),
    (RawEvent("a", b'"[DONE]"'), b'{"as":"event","event":"a","data":"[DONE]"}'),
    (RawEvent("a", b""), b'{"as":"event","event":"a","text":""}'),
    (RawEvent("a", b"\xff\n"), b'{"as":"event","event":"a","base64":"/wo="}'),
    (RawEvent("a", b"line\nline\r"), b'{"as":"event","event":"a","text":"line\\nline\\r"}'),
    (Malformed(line=0, reason="?", data=b"{}", event="a"), b'{"as":"malformed","event":"a","reason":"?","text":"{}"}'),
    (Oversized(line=0, size=9, limit=8), b'{"as":"oversized","size":9,"limit":8}'),
    (ConnectionEvent(connected=True, at=1.0), b'{"at":1.0,"as":"connected","attempt":0}'),
    (ConnectionEvent(connected=False, attempt=2, reason="lost"), b'{"as":"disconnected","attempt":2,"reason":"lost"}'),
    (
        ConnectionEvent(connected=False, reason="HTTP 429", server_message="slow down"),
        b'{"as":"disconnected","attempt":0,"reason":"HTTP 429","server_message":"slow down"}',
    ),
    (Request(body=b'{"a":1}', continues="run_1", at=1.0),
     b'{"at":1.0,"as":"request","continues":"run_1","data":{"a":1}}'),
    (Request(), b'{"as":"request","text":""}'),
    (ResponseHead(status=200, headers=(("location", "/runs/run_1"),), at=1.0),
     b'{"at":1.0,"as":"response","status":200,"headers":[["location","/runs/run_1"]]}'),
    (Answer(data=b'{"id":"run_1"}', at=1.0), b'{"at":1.0,"as":"answer","status":200,"data":{"id":"run_1"}}'),
    (Answer(status=404), b'{"as":"answer","status":404,"text":""}'),
    (Idle(seconds=2.5, at=1.0), b'{"at":1.0,"as":"idle","seconds":2.5}'),
]  # fmt: skip


@pytest.mark.parametrize(("item", "line"), TABLE)
def test_the_line_of_an_item(item: RawItem, line: bytes) -> None:
    """The format, as documented, in both directions."""
    assert encode_line(item) == line
    assert decode_line(line) == item


def same(item: RawItem) -> RawItem:
    """What of an item a recording keeps: everything, but for white space between the tokens of JSON."""
    return on_one_line(item)


@given(raw_items())
@example(RawEvent("a", b'{"a":1}\r\n'))
def test_any_item_comes_back(item: RawItem) -> None:
    """Every line is one line and JSON; what comes back is equal in every field, JSON byte for byte but for its
    white space, anything else byte for byte."""
    line = encode_line(item)
    assert b"\n" not in line
    assert b"\r" not in line
    assert isinstance(json.loads(line), dict)
    back = decode_line(line)
    assert back == same(item)
    if isinstance(item, RawEvent) and isinstance(back, RawEvent) and is_json(to_one_line(item.data)):
        assert json.loads(back.data) == json.loads(item.data)
    elif not isinstance(item, Answer | Request):
        assert back == item


@given(raw_items())
def test_a_line_that_is_cut_is_no_other_event(item: RawItem) -> None:
    """However a line is cut off, it never reads as something else that is whole."""
    line = encode_line(item)
    for end in range(1, len(line)):
        cut = decode_line(line[:end])
        assert type(cut) is RawEvent
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            msgspec.json.decode(cut.data)


def test_the_time_of_arrival_of_the_item_goes_before_that_of_the_recorder() -> None:
    """An item that says when it arrived knows better."""
    assert encode_line(RawEvent("a", b"1", at=1.0), 2.0).startswith(b'{"at":1.0,')
    assert encode_line(RawEvent("a", b"1"), 2.0).startswith(b'{"at":2.0,')
    assert encode_line(Oversized(line=3, size=1, limit=0), 2.0).startswith(b'{"at":2.0,')
    assert encode_line(RawEvent("a", b"1", at=float("nan"))).startswith(b'{"as":')


def test_lone_surrogates_of_a_program_become_question_marks() -> None:
    """No JSON can hold them, and none come from a wire."""
    assert decode_line(encode_line(RawEvent("\ud800", b"1", "\udfff", "\udfff"))) == RawEvent("?", b"1", "?", "?")


@pytest.mark.parametrize(
    "line",
    [
        b'{"as":"song","event":"a","data":{}}',
        b'{"as":"event","event":"a"}',
        b'{"as":"event","event":"a","base64":"?"}',
        b'{"as":"event","event":5,"data":{}}',
        b'{"as":7}',
        b'{"event":"a","data":{"as":"event"}}',
        b'{"as":"event","event":"a","data":' + b"[" * 100_000,
    ],
    ids=lambda line: line[:40].decode(),
)
def test_a_line_that_means_something_else(line: bytes) -> None:
    """What only looks like a line of ours goes to the dialect, as it is."""
    assert decode_tagged_line(line) is None
    assert decode_line(line, 4) == RawEvent(None, line, line=4)


@pytest.mark.parametrize(
    ("line", "data", "at"),
    [
        (b'{"at":1712.5,"event":"a"}', b'{"event":"a"}', 1712.5),
        (b'{"at":-1e3,"x":1}', b'{"x":1}', -1000.0),
        (b'{"at": 1712.5, "event": "a"}', b'{"at": 1712.5, "event": "a"}', 1712.5),
        (b'{"event":"a","at":1712}', b'{"event":"a","at":1712}', 1712.0),
        (b'{"at":1e999,"x":1}', b'{"at":1e999,"x":1}', None),
        (b'{"at":null,"x":1}', b'{"at":null,"x":1}', None),
    ],
)
def test_times_of_arrival_in_lines_of_any_origin(line: bytes, data: bytes, at: float | None) -> None:
    """A time at the very start was put there by a recorder, and is no part of the message."""
    assert decode_line(line, 2) == RawEvent(None, data, at=at, line=2)


def test_tools_that_write_json_anew_do_no_harm() -> None:
    """Keys sorted and spaced otherwise: the same items."""
    for item, line in TABLE:
        again = json.dumps(json.loads(line), sort_keys=True).encode()
        back = decode_line(again)
        assert type(back) is type(item)
        if isinstance(item, RawEvent) and b'"as"' in line:
            assert isinstance(back, RawEvent)
            assert (back.event, back.id, back.last_id, back.at) == (item.event, item.id, item.last_id, item.at)
