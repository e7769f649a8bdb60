"""One item, one block of an event stream, and back; other readers see an ordinary event stream."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runstream.model.raw import ConnectionEvent, Malformed, Oversized, RawEvent, RawItem
from runstream.recordings.jsonl import is_json, to_one_line
from runstream.recordings.reader import read_recording
from runstream.recordings.sse_format import BlockEncoder, decode_comment
from runstream.sources.sse_parser import SSEParser
from tests.support.raws import on_one_line, streams


def written(items: Sequence[RawItem], at: float | None = None) -> bytes:
    encoder = BlockEncoder()
    return b"".join(encoder.encode(item, at) for item in items)


def read(data: bytes) -> list[RawItem]:
    return [msgspec.structs.replace(item, line=0) for item in read_recording(data, format="sse")]


@pytest.mark.parametrize(
    ("item", "block"),
    [
        (RawEvent("a", b'{"b":1}', at=1.5), b': at 1.5\nevent: a\ndata: {"b":1}\n\n'),
        (RawEvent("a", b"1", "7", "7"), b"event: a\nid: 7\ndata: 1\n\n"),
        (RawEvent("a", b"1", None, "7"), b"id: 7\n\nevent: a\ndata: 1\n\n"),
        (RawEvent(None, b'{"event":"a"}'), b'data: {"event":"a"}\n\n'),
        (RawEvent("a", b" two\nlines "), b"event: a\ndata:  two\ndata: lines \n\n"),
        (RawEvent("a", b""), b"event: a\ndata: \n\n"),
        (RawEvent("a", b"\xff"), b"event: a\ndata: \xff\n\n"),
        (RawEvent("a", b"x\ry"), b': {"as":"event","event":"a","text":"x\\ry"}\n\n'),
        (RawEvent("a\nb", b"1"), b': {"as":"event","event":"a\\nb","data":1}\n\n'),
        (Oversized(line=0, size=9, limit=8), b': {"as":"oversized","size":9,"limit":8}\n\n'),
        (Malformed(line=0, reason="no", data=b"{}"), b': {"as":"malformed","reason":"no","text":"{}"}\n\n'),
        (ConnectionEvent(connected=True, at=1.0), b': {"at":1.0,"as":"connected","attempt":0}\n\n'),
    ],
)
def test_the_block_of_an_item(item: RawItem, block: bytes) -> None:
    """The format, as documented, in both directions."""
    assert written([item]) == block
    assert read(block) == [item]


def kept(item: RawItem) -> RawItem:
    """What a file keeps: as the lines of JSON do; and an id in a block is also the last id from there on."""
    if not isinstance(item, RawEvent):
        return on_one_line(item)
    data, last_id = to_one_line(item.data), item.last_id if item.id is None or _in_a_comment(item) else item.id
    # Line ends of JSON stay where a block can hold them, which has one kind of them.
    lost = is_json(data) and (b"\r" in item.data or _in_a_comment(item))
    return msgspec.structs.replace(item, data=data if lost else item.data, last_id=last_id)


def _in_a_comment(item: RawEvent) -> bool:
    texts = [text for text in (item.event, item.id, item.last_id) if text is not None]
    return any(mark in text for text in texts for mark in "\r\n\0") or (
        b"\r" in item.data and not is_json(to_one_line(item.data))
    )


@given(streams())
@example([RawEvent("a", b"1", "7", "7"), RawEvent("a", b"2", None, "7"), RawEvent("a", b"3")])
@example([RawEvent(None, b"\xef\xbb\xbf1"), RawEvent("x y", b"")])
def test_any_items_come_back(items: list[RawItem]) -> None:
    """Written, the items are an event stream; read, they are the same items, in their order."""
    data = written(items)
    assert read(data) == [kept(item) for item in items]


@given(streams(), st.lists(st.integers(1, 40), max_size=5))
def test_however_the_file_is_cut_into_pieces(items: list[RawItem], sizes: list[int]) -> None:
    """Comments belong to the block that follows, wherever a piece ends."""

    class Trickle:
        def __init__(self, data: bytes) -> None:
            self.data = data
            self.sizes = list(sizes)

        def read(self, _: int) -> bytes:
            size = self.sizes.pop() if self.sizes else 3
            piece, self.data = self.data[:size], self.data[size:]
            return piece

    data = written(items)
    assert list(read_recording(Trickle(data), format="sse")) == list(  # type: ignore[arg-type]
        read_recording(data, format="sse")
    )


@given(streams())
def test_other_readers_see_an_ordinary_event_stream(items: list[RawItem]) -> None:
    """A strict parser gets the events that a block can hold, and nothing else."""
    parser = SSEParser()
    found = [*parser.feed(written(items)), *parser.close()]
    assert parser.discarded == 0
    expected = [item for item in items if isinstance(item, RawEvent) and not _in_a_comment(item)]
    assert [(item.event, item.id) for item in found if isinstance(item, RawEvent)] == [
        (item.event, item.id) for item in expected
    ]


def test_a_time_belongs_to_one_block() -> None:
    """Events whose time is not known keep none, and a later time goes before an earlier one."""
    text = b": at 1.0\ndata: a\n\ndata: b\n\n: at 2.0\n: at 3.0\ndata: c\n: at 4.0\n\ndata: d\n\n"
    assert [item.at for item in read(text) if isinstance(item, RawEvent)] == [1.0, None, 3.0, 4.0]


@pytest.mark.parametrize("comment", [b": ping", b":", b": at noon", b": at 1e999", b": {ping}", b': {"as":"song"}'])
def test_comments_of_others_say_nothing(comment: bytes) -> None:
    """A server's heartbeat is no time of arrival and no item."""
    assert read(comment + b"\ndata: a\n\n" + comment + b"\n\n") == [RawEvent(None, b"a")]


def test_what_a_comment_says() -> None:
    """Times and items; anything else leaves the time that is known."""
    assert decode_comment(3, b"at 12.5", 1.0) == (12.5, None)
    assert decode_comment(3, b"at 12.5 o'clock", 1.0) == (1.0, None)
    assert decode_comment(3, b'{"as":"connected"}', 1.0) == (1.0, ConnectionEvent(connected=True, line=3))
