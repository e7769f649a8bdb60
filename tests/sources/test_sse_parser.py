"""The event-stream parser: the cases of web-platform-tests' ``eventsource/format-*``, then properties."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.model.raw import Malformed, Oversized, RawEvent, RawItem
from runstream.model.raw_events import RawEvents, RawItems
from runstream.sources import sse_parser
from runstream.sources.sse_parser import SSEParser

# --- helpers --------------------------------------------------------------------------------------


def parse(stream: bytes, *, lenient: bool = False, limit: int = 1 << 20) -> list[RawItem]:
    return parse_chunks([stream], lenient=lenient, limit=limit)


def parse_chunks(chunks: list[bytes], *, lenient: bool = False, limit: int = 1 << 20) -> list[RawItem]:
    parser = SSEParser(lenient=lenient, max_event_bytes=limit)
    return [item for chunk in chunks for item in parser.feed(chunk)] + parser.close()


def data_of(stream: bytes, *, lenient: bool = False) -> list[bytes]:
    return [item.data for item in parse(stream, lenient=lenient) if isinstance(item, RawEvent)]


def events_of(stream: bytes, *, lenient: bool = False) -> list[tuple[str | None, bytes]]:
    items = parse(stream, lenient=lenient)
    return [(item.event, item.data) for item in items if isinstance(item, RawEvent)]


def reference(stream: bytes) -> tuple[list[RawEvent], str, int | None]:
    """Parse a whole stream as the text of WHATWG HTML 9.2.6 reads, one line after the other."""
    if stream[:3] == b"\xef\xbb\xbf":
        stream = stream[3:]
    lines: list[bytes] = []
    line = bytearray()
    index = 0
    while index < len(stream):
        byte = stream[index : index + 1]
        if byte in (b"\r", b"\n"):
            lines.append(bytes(line))
            line.clear()
            if stream[index : index + 2] == b"\r\n":
                index += 1
        else:
            line += byte
        index += 1
    # what is left in `line` never ended, so the block it belongs to never did either

    events: list[RawEvent] = []
    data = b""
    event_type = ""
    id_buffer = last_id = ""
    own_id: str | None = None
    retry: int | None = None
    start = 0
    for number, line_bytes in enumerate(lines, 1):
        if line_bytes == b"":
            last_id = id_buffer
            if data != b"":
                data = data[:-1] if data[-1:] == b"\n" else data
                events.append(RawEvent(event_type or None, data, own_id or None, last_id or None, None, start))
            data, event_type, own_id, start = b"", "", None, 0
            continue
        if line_bytes[:1] == b":":
            continue
        if b":" in line_bytes:
            at = line_bytes.index(b":")
            field, value = line_bytes[:at], line_bytes[at + 1 :]
            if value[:1] == b" ":
                value = value[1:]
        else:
            field, value = line_bytes, b""
        if field == b"event":
            event_type = value.decode(errors="replace")
        elif field == b"data":
            data = data + value + b"\n"
        elif field == b"id" and b"\x00" not in value:
            own_id = id_buffer = value.decode(errors="replace")
        elif field == b"retry" and value and all(0x30 <= digit <= 0x39 for digit in value):
            retry = int(value)
        if field in (b"event", b"data") or (field == b"id" and b"\x00" not in value):
            start = start or number
    return events, last_id, retry


# --- the cases of web-platform-tests --------------------------------------------------------------


def test_format_field_parsing() -> None:
    """Field names are matched byte for byte, and a field may stand without a colon."""
    stream = b"data:\0\ndata:  b\rData:no\ndata\0:no\ndata:c\r\0data:no\nda-ta:no\rdata_no\ndata:d\rdata:\r\n"
    assert data_of(stream + b" data:no\ndata:e\n\n") == [b"\0\n b\nc\nd\n\ne"]


def test_format_bom() -> None:
    """One byte order mark at the start is not part of the stream, and one further on is not a mark."""
    assert data_of(b"\xef\xbb\xbfdata:a\n\n\xef\xbb\xbfdata:b\n\ndata:c\n\n") == [b"a", b"c"]


def test_format_bom_2() -> None:
    """Of two byte order marks the second is text, which spoils the first field's name."""
    assert data_of(b"\xef\xbb\xbf\xef\xbb\xbfdata:a\n\ndata:b\n\n") == [b"b"]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_bom_is_recognised_across_chunks(cut: int) -> None:
    """A byte order mark may arrive in pieces."""
    stream = b"\xef\xbb\xbfdata:a\n\n"
    assert parse_chunks([stream[:cut], b"", stream[cut:]]) == parse(b"data:a\n\n")


def test_format_comments() -> None:
    """Comments of any length and content are skipped, wherever they stand."""
    long = b"x" * 4096
    stream = b"data:1\r:\0\n:\r\ndata:2\n:" + long + b"\rdata:3\n:data:no\r:" + long + b"\ndata:4\n\n"
    assert data_of(stream) == [b"1\n2\n3\n4"]


def test_format_data_before_final_empty_line() -> None:
    """A last block that no blank line ended is discarded with its id, and reported."""
    parser = SSEParser()
    items = parser.feed(b"retry:1000\ndata:a\n\nid:1\ndata:b")
    assert items == [RawEvent(data=b"a", line=2)]
    assert parser.close() == []
    assert (parser.last_id, parser.retry, parser.discarded) == ("", 1000, len(b"id:1data:b"))


def test_format_field_data() -> None:
    """A data field without text is data, even on its own."""
    assert data_of(b"data:\n\ndata\ndata\n\ndata:x\n\n") == [b"", b"\n", b"x"]


def test_format_field_event() -> None:
    """An event name holds for its own block alone."""
    assert events_of(b"event:a\ndata:x\n\ndata:y\n\n") == [("a", b"x"), (None, b"y")]


def test_format_field_event_empty() -> None:
    """An empty event name is no name, and takes back an earlier one."""
    assert events_of(b"event: \ndata:x\n\nevent:a\nevent:\ndata:y\n\n") == [(None, b"x"), (None, b"y")]


def test_format_field_id() -> None:
    """An id belongs to the block it stands in, and stays the last id for the blocks that follow."""
    assert parse(b"id: \xe2\x80\xa6\ndata:a\n\ndata:b\n\n") == [
        RawEvent(data=b"a", id="…", last_id="…", line=1),
        RawEvent(data=b"b", id=None, last_id="…", line=4),
    ]


@pytest.mark.parametrize("reset", [b"id:", b"id"])
def test_format_field_id_3(reset: bytes) -> None:
    """An empty id resets the last id, and is no identity itself."""
    assert parse(b"id:1\ndata:a\n\n" + reset + b"\ndata:b\n\ndata:c\n\n")[1:] == [
        RawEvent(data=b"b", line=4),
        RawEvent(data=b"c", line=7),
    ]


@pytest.mark.parametrize("value", [b"\0\0", b"x\0", b"\0x", b"x\0x", b" \0"])
def test_format_field_id_null(value: bytes) -> None:
    """An id that holds a NUL is ignored."""
    assert parse(b"id:" + value + b"\ndata:a\n\n") == [RawEvent(data=b"a", line=2)]


def test_id_only_block() -> None:
    """A block with an id alone sets the last id and makes no event."""
    parser = SSEParser()
    assert parser.feed(b"id: 7\n\n") == []
    assert parser.last_id == "7"
    assert parser.feed(b"event:a\ndata:x\n\n") == [RawEvent("a", b"x", None, "7", None, 3)]


def test_last_id_counts_when_its_block_ends() -> None:
    """An id is not the last id before its event is complete."""
    parser = SSEParser()
    parser.feed(b"id:1\ndata:x\n")
    assert parser.last_id == ""
    parser.feed(b"\n")
    assert parser.last_id == "1"


def test_last_id_carries_over_a_reconnect() -> None:
    """The last id of an earlier connection can be given to the parser of the next one."""
    parser = SSEParser()
    parser.last_id = "9"
    assert parser.feed(b"data:x\n\n") == [RawEvent(data=b"x", last_id="9", line=1)]


@pytest.mark.parametrize(
    ("stream", "retry"),
    [
        pytest.param(b"retry:3000\ndata:x\n\n", 3000, id="format-field-retry"),
        pytest.param(b"retry:03000\n", 3000, id="leading zero"),
        pytest.param(b"retry:3000\nretry:1000x\n\n", 3000, id="format-field-retry-bogus"),
        pytest.param(b"retry\ndata:x\n\n", None, id="format-field-retry-empty"),
        pytest.param(b"retry: -1\nretry: 1.5\nretry:  2\nretry:\xd9\xa3\n", None, id="not ASCII digits"),
        pytest.param(b"retry:" + b"9" * 5000 + b"\n", None, id="absurdly long"),
    ],
)
def test_format_field_retry(stream: bytes, retry: int | None) -> None:
    """A retry time is digits only, and is taken as soon as its line ends."""
    parser = SSEParser()
    parser.feed(stream)
    assert parser.retry == retry


def test_format_field_unknown() -> None:
    """Unknown fields, and text that is no field, are ignored in strict mode."""
    stream = b"data:a\n data\ndata\nother:x\njust text\n:comment\n...\n{}\ndata:b\n\n"
    assert parse(stream) == [RawEvent(data=b"a\n\nb", line=1)]


def test_format_leading_space() -> None:
    """One space after the colon is dropped: no second one, and no tab."""
    assert data_of(b"data:\ta\rdata: \ndata:  b\n\n") == [b"\ta\n\n b"]


def test_format_newlines() -> None:
    """CR, LF and CRLF end a line, also mixed within one block."""
    assert data_of(b"data:a\r\ndata\ndata:b\r\n\r") == [b"a\n\nb"]


def test_cr_ends_an_event_at_once() -> None:
    """A CR completes its line without waiting for an LF, which then makes no second line."""
    parser = SSEParser()
    assert parser.feed(b"data:a\r\r") == [RawEvent(data=b"a", line=1)]
    assert parser.feed(b"\ndata:b\r\n\r\n") == [RawEvent(data=b"b", line=3)]


def test_format_null_character() -> None:
    """A NUL in the data is data."""
    assert data_of(b"data:\0\n\n") == [b"\0"]


def test_format_utf_8() -> None:
    """Data stay the bytes that came, and a name is decoded with U+FFFD for what is not UTF-8."""
    assert events_of(b"event:\xe2\x80\xa6\xff\ndata:\xe2\x80\xa6\xff\n\n") == [("…\ufffd", b"\xe2\x80\xa6\xff")]


def test_event_without_data() -> None:
    """A name without data makes no event, and does not leak into the next block."""
    assert events_of(b"event:a\n\ndata:x\n\n") == [(None, b"x")]
    assert events_of(b"event: a\ndata: x\n\nevent: a\n\ndata:y\n\n") == [("a", b"x"), (None, b"y")]


def test_line_numbers() -> None:
    """An event has the line number of its first field: comments and blank lines before it only count."""
    stream = b"\n: hello\nevent: a\ndata: x\n\n\nevent: a\ndata: y\n\n: z\ndata: z\n\nevent: a\ndata: w\n\n"
    assert [item.line for item in parse(stream)] == [3, 7, 11, 13]


def test_a_name_seen_before() -> None:
    """A repeated event name, which takes the short way, changes nothing about its block."""
    block = b"event: a\ndata: x\n\n"
    others = [
        (b"event: a\ndata: y\ndata: z\n\n", b"y\nz"),
        (b"event: a\ndata:  y\n\n", b" y"),
        (b"event: a\ndata:y\n\n", b"y"),
        (b"event: a\ndata: \ndata: y\n\n", b"\ny"),
        (b"event: a\ndata: data: y\n\n", b"data: y"),
        (b"event: a\ndata: \n\n", b""),
    ]
    for other, data in others:
        after = 7 + other.count(b"\n")
        assert parse(block * 2 + other + block) == [
            RawEvent("a", b"x", line=1),
            RawEvent("a", b"x", line=4),
            RawEvent("a", data, line=7),
            RawEvent("a", b"x", line=after),
        ]


def test_many_names() -> None:
    """The names remembered are bounded, and forgetting one changes nothing."""
    names = [str(number) for number in range(1000)] * 2
    parser = SSEParser()
    stream = b"".join(b"event: %s\ndata: x\n\n" % name.encode() for name in names)
    assert [item.event for item in parser.feed(stream)] == names
    assert len(parser._forms) <= 128


def test_nothing_is_discarded_at_a_clean_end() -> None:
    """Comments, blank lines and an ended block leave nothing to discard, and closing twice is harmless."""
    parser = SSEParser()
    parser.feed(b"data:x\n\n: ping\n: pi")
    assert parser.close() == []
    assert parser.close() == []
    assert parser.discarded == 0


def test_a_cut_byte_order_mark_is_discarded() -> None:
    """A stream that ends within its first character is reported as cut."""
    parser = SSEParser()
    parser.feed(b"\xef\xbb")
    assert parser.close() == []
    assert parser.discarded == 2


# --- lenient mode ---------------------------------------------------------------------------------


def test_lenient_event_line_starts_an_event() -> None:
    """Without blank lines every `event:` line starts a new event."""
    stream = b"event: a\ndata: 1\nevent: b\ndata: 2\ndata: 3\nevent: done"
    assert parse(stream, lenient=True) == [
        RawEvent("a", b"1", line=1),
        RawEvent("b", b"2\n3", line=3),
        RawEvent("done", b"", line=6),
    ]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n", b"\n\n"])
def test_lenient_last_block(end: bytes) -> None:
    """The last block needs no blank line and no line end."""
    assert parse(b"event: a\ndata: x" + end, lenient=True) == [RawEvent("a", b"x", line=1)]


def test_lenient_id_before_or_after_its_event() -> None:
    """Without blank lines an id stays with its event, whether it stands first or last in it."""
    first = parse(b"id: 1\nevent: a\ndata: x\nid: 2\nevent: b\ndata: y\n", lenient=True)
    last = parse(b"event: a\ndata: x\nid: 1\nevent: b\ndata: y\nid: 2\n", lenient=True)
    for items in (first, last):
        assert [(item.event, item.id) for item in items if isinstance(item, RawEvent)] == [
            ("a", "1"),
            ("b", "2"),
        ]


def test_lenient_name_after_data() -> None:
    """A name may follow its data; if data follow the name as well, it has started another event."""
    assert events_of(b"data: x\nevent: a\n\n", lenient=True) == [("a", b"x")]
    assert parse(b"data: x\nevent: a\ndata: y\n\n", lenient=True) == [
        RawEvent(None, b"x", line=1),
        RawEvent("a", b"y", line=2),
    ]


def test_lenient_skips_dots_and_white_space() -> None:
    """Dots that stand for omitted events are skipped, and a line of white space is a blank one."""
    stream = b"event: a\ndata: x\n \t\n...\n\n  ...\nevent: b\ndata: y\n...\ndata: z\n"
    assert parse(stream, lenient=True) == [RawEvent("a", b"x", line=1), RawEvent("b", b"y\nz", line=7)]


def test_lenient_json_without_data_field() -> None:
    """JSON that lost its `data:` is reported with its line and its event, and is not taken for data."""
    stream = b'event: a\n{"id": 1}\n\nevent: b\ndata: x\n\n[1]\n'
    assert parse(stream, lenient=True) == [
        Malformed(line=2, reason="JSON without 'data:'", data=b'{"id": 1}', event="a"),
        RawEvent("b", b"x", line=4),
        Malformed(line=7, reason="JSON without 'data:'", data=b"[1]"),
    ]


@pytest.mark.parametrize("junk", [b"just text", b" data: x", b"Data: x", b"EVENT: a", b"HTTP/1.1 200 OK", b"da ta: x"])
def test_lenient_junk(junk: bytes) -> None:
    """A line that is no field is reported, and its block keeps the rest."""
    assert parse(b"event: a\n" + junk + b"\ndata: y\n", lenient=True) == [
        Malformed(line=2, reason="not a field of an event stream", data=junk, event="a"),
        RawEvent("a", b"y", line=1),
    ]


def test_lenient_ignores_what_looks_like_a_field() -> None:
    """A foreign `field: value` line is ignored, as in strict mode, and so are comments."""
    assert parse(b"x-trace: 1\n: hi\ndata: y\n", lenient=True) == [RawEvent(data=b"y", line=3)]


def test_lenient_stray_line_hides_only_its_own_block() -> None:
    """JSON without `data:` before an event does not swallow that event's name."""
    event = b"event: a\ndata: x\n\n"
    items = parse_chunks([event, b"{}\n", event + b"event: b\n\n"], lenient=True)
    assert [(item.event, item.line) for item in items] == [("a", 1), (None, 4), ("a", 5), ("b", 8)]


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lenient", [False, True])
def test_oversized_block(lenient: bool) -> None:
    """A block over the limit is dropped and reported, its id and retry still count, and the next is whole."""
    parser = SSEParser(lenient=lenient, max_event_bytes=20)
    stream = b"event: a\ndata: 0123456789\nid: 5\nretry: 7\n\nevent: a\ndata: 12345\n\n"
    assert parser.feed(stream) == [
        Oversized(line=1, size=29, limit=20, event="a"),
        RawEvent("a", b"12345", None, "5", None, 6),
    ]
    assert parser.retry == 7


def test_limit_is_exact() -> None:
    """A block of just the limit passes, and one byte more does not."""
    block = b"event: a\ndata: xyz\n\n"
    size = len(block) - 3
    for stream in (block, block * 3):
        assert all(isinstance(item, RawEvent) for item in parse(stream, limit=size))
        assert all(isinstance(item, Oversized) for item in parse(stream, limit=size - 1))


@pytest.mark.parametrize("lenient", [False, True])
def test_oversized_tail(lenient: bool) -> None:
    """What was dropped is reported at the end of the stream too."""
    items = parse_chunks([b"data: ", b"x" * 50, b"x" * 50], lenient=lenient, limit=20)
    assert items == [Oversized(line=1, size=106, limit=20)]


def test_oversized_in_a_file_without_blank_lines() -> None:
    """In lenient mode the event after an over-long one is found by its name."""
    long = b"x" * 50
    stream = b"event: a\ndata: " + long + b"\nevent: b\ndata: x\n\n{" + long + b"\nevent: c\ndata: y\n"
    items = parse(stream, lenient=True, limit=20)
    assert [(type(item), item.event, item.line) for item in items] == [
        (Oversized, "a", 1),
        (RawEvent, "b", 3),
        (Oversized, None, 6),
        (RawEvent, "c", 7),
    ]


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_comments_are_told_to_who_asks(lenient: bool, size: int) -> None:
    """With their line numbers, in their order; of one over the limit only the colon. Events are what they were."""
    told: list[tuple[int, bytes]] = []
    stream = b": one\n\ndata: a\n:two\ndata: b\n\n: " + b"x" * 50 + b"\n:\n\n: last\n"
    parser = SSEParser(lenient=lenient, max_event_bytes=20, on_comment=lambda *found: told.append(found))
    items = [item for start in range(0, len(stream), size) for item in parser.feed(stream[start : start + size])]
    items += parser.close()
    assert [(number, text[:6]) for number, text in told if number != 7] == [
        (1, b": one"),
        (4, b":two"),
        (8, b":"),
        (10, b": last"),
    ]
    assert (7, b":") in told or (7, b": " + b"x" * 50) in told
    assert items == [RawEvent(None, b"a\nb", line=3)]


def test_long_comment_is_no_loss() -> None:
    """A comment over the limit is skipped like any other."""
    chunks = [b"data: x\n:", b"y" * 50, b"y\n\n"]
    assert parse_chunks(chunks, limit=20) == parse_chunks([b"".join(chunks)], limit=20) == [RawEvent(data=b"x", line=1)]


@pytest.mark.slow
@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"data: ", b"x" * 4096),
        (b":", b"x" * 4096),
        (b"", b"x" * 4096),
        (b"", b"data: " + b"x" * 90 + b"\n"),
        (b"", b"id: x\nevent: y\nretry: 1\n"),
        (b"", b"data\n"),
        (b"", b"\n"),
    ],
    ids=["line", "comment", "name", "data lines", "fields", "empty data lines", "blank lines"],
)
def test_memory_is_bounded(lenient: bool, head: bytes, piece: bytes) -> None:
    """A line or a block that never ends is not held."""
    parser = SSEParser(lenient=lenient, max_event_bytes=10_000)
    parser.feed(head)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            parser.feed(piece)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100_000


# --- properties -----------------------------------------------------------------------------------

ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r", b"\r\n"])
SNIPPETS = st.sampled_from(
    [
        b"",
        b"x",
        b" x",
        b"  x",
        b"thread.run.created",
        b"{}",
        b"data: x",
        b":",
        b"\0",
        b"\xe2\x80\xa6",
        b"\xff",
        b"12",
    ]
)
FIELDS = st.sampled_from(
    [b"event", b"data", b"data", b"id", b"retry", b"", b"Data", b"other", b" data", b"\xef\xbb\xbf"]
)
LINES = st.one_of(
    st.just(b""),
    st.sampled_from([b"...", b"{}", b"data", b"event", b"id", b"  ", b"\xef\xbb\xbf"]),
    st.builds(lambda field, colon, value: field + colon + value, FIELDS, st.sampled_from([b":", b": "]), SNIPPETS),
)
# Blocks of the common form, with few names so that they repeat, and sometimes with one more line.
COMMON = st.builds(
    lambda name, data, more, end: end.join([b"event: " + name, b"data: " + data, *more, b"", b""]),
    st.sampled_from([b"a", b"a", b"b", b" c"]),
    st.sampled_from([b"x", b"{}", b" y", b"", b"data: z", b"x" * 30]),
    st.one_of(st.just([]), st.just([]), st.lists(LINES, max_size=2)),
    ENDS,
)
STREAMS = st.builds(
    lambda mark, parts: mark + b"".join(parts),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.one_of(st.builds(lambda line, end: line + end, LINES, ENDS), COMMON, COMMON), max_size=25),
)
ANYTHING = st.one_of(STREAMS, st.lists(COMMON, min_size=3, max_size=8).map(b"".join), st.binary(max_size=200))


@st.composite
def chunked(draw: st.DrawFn, streams: st.SearchStrategy[bytes] = ANYTHING) -> list[bytes]:
    stream = draw(streams)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(chunks=chunked(), lenient=st.booleans(), limit=st.sampled_from([1 << 20, 1 << 20, 1 << 20, 40, 20, 8, 1]))
def test_chunking_changes_nothing(chunks: list[bytes], lenient: bool, limit: int) -> None:
    """Any bytes, cut anywhere or fed one by one, give the same items, ids, retry and tail."""
    stream = b"".join(chunks)
    outcomes = []
    for cut in ([stream], chunks, [bytes([byte]) for byte in stream]):
        parser = SSEParser(lenient=lenient, max_event_bytes=limit)
        items = [item for chunk in cut for item in parser.feed(chunk)] + parser.close()
        outcomes.append((items, parser.last_id, parser.retry, parser.discarded))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(chunks=chunked())
def test_strict_agrees_with_the_reference(chunks: list[bytes]) -> None:
    """Strict mode gives what a plain, line by line reading of the standard gives."""
    parser = SSEParser()
    items = [item for chunk in chunks for item in parser.feed(chunk)]
    items += parser.close()
    events = [item for item in items if not isinstance(item, Malformed)]
    assert (events, parser.last_id, parser.retry) == reference(b"".join(chunks))


@st.composite
def repeated_blocks(draw: st.DrawFn) -> list[bytes]:
    """A stream most of whose blocks have one form, as those of fragments do, cut into a few chunks."""
    blocks = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([b"event: a\n", b"", b"event: a\n", b"event:b\n", b"id: 1\nevent: a\n"]))
        data = draw(st.sampled_from([b"{}", b"x", b"", b" y", b"{" + b"z" * 700 + b"}", b"event: a"]))
        blocks += [name + b"data: " + data + b"\n\n"] * draw(st.integers(1, 90))
        blocks.append(
            draw(st.sampled_from([b"", b"\n", b"data: \n\n", b": hi\n\n", b"event: a\n\n", b"{}\n\n", b"event: a\n"]))
        )
        if draw(st.booleans()):
            blocks.append(b"event: a\ndata: x\n" + draw(st.sampled_from([b"data: y\n\n", b"id: 2\n\n", b"y\n\n", b""])))
    stream = b"".join(blocks)
    if draw(st.booleans()):
        stream = stream.replace(b"\n", b"\r\n")
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=3)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@settings(max_examples=200)
@given(chunks=repeated_blocks(), lenient=st.booleans(), limit=st.sampled_from([1 << 20, 1 << 20, 40, 20]))
def test_blocks_read_together_are_those_read_byte_by_byte(chunks: list[bytes], lenient: bool, limit: int) -> None:
    """The same items, lines and ids; in strict mode those of a plain reading."""
    stream = b"".join(chunks)
    outcomes = []
    for cut in (chunks, [stream], [bytes([byte]) for byte in stream]):
        parser = SSEParser(lenient=lenient, max_event_bytes=limit)
        items = [item for chunk in cut for item in parser.feed(chunk)] + parser.close()
        outcomes.append((items, parser.last_id, parser.retry, parser.discarded))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    if not lenient and limit == 1 << 20:
        events = [item for item in outcomes[0][0] if not isinstance(item, Malformed)]
        assert (events, *outcomes[0][1:3]) == reference(stream)


def test_groups_of_few_blocks_are_searched_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search reads what follows: one for each few blocks would read a chunk many times."""
    searches: list[int] = []
    read = sse_parser._read_together

    def counted(chunk: bytes, position: int, head: bytes) -> tuple[list[bytes], int]:
        searches.append(position)
        return read(chunk, position, head)

    monkeypatch.setattr(sse_parser, "_read_together", counted)
    stream = (b"event: a\ndata: x\n\n" * 3 + b"event: b\ndata: x\n\n" * 3) * 2_000
    assert len(SSEParser().feed(stream)) == 12_000
    assert len(searches) < 4


@pytest.mark.parametrize("head", [b"event: a\n", b""])
def test_many_blocks_of_one_form_are_in_one_piece(head: bytes) -> None:
    """They become objects when they are read; the form is known from one chunk to the next."""
    blocks = [head + b'data: {"n":%d}\n\n' % number for number in range(500)]
    parser = SSEParser()
    parser.feed(b"".join(blocks[:40]))
    items = parser.feed(b"".join(blocks[40:]))
    assert isinstance(items, RawItems)
    assert [type(part) for part in items.parts] == [RawEvent, RawEvents]
    step = 3 if head else 2
    assert list(items) == [
        RawEvent("a" if head else None, b'{"n":%d}' % number, line=1 + step * number) for number in range(40, 500)
    ]


WELL_FORMED = st.builds(
    lambda blocks, end: end.join(line for block in blocks for line in [*block, b"", b""]),
    st.lists(
        st.builds(
            lambda fields, data: [*fields, *(b"data: " + line for line in data)],
            st.sets(
                st.sampled_from([b"event: a", b"event:b", b"id: 1", b"retry: 5", b": hi", b"x: y"]),
                max_size=3,
            )
            .filter(lambda fields: not {b"event: a", b"event:b"} <= fields)
            .map(sorted),
            st.lists(SNIPPETS, min_size=1, max_size=3),
        ),
        max_size=8,
    ),
    ENDS,
)


@settings(deadline=None)
@given(stream=WELL_FORMED)
def test_lenient_equals_strict_on_well_formed_streams(stream: bytes) -> None:
    """Where blank lines separate the events and each has data, leniency changes nothing."""
    assert parse(stream, lenient=True) == parse(stream)


@settings(deadline=None)
@given(stream=STREAMS)
def test_lenient_loses_no_data(stream: bytes) -> None:
    """Lenient mode carries on every data line of the stream, in order."""
    lines = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    data = [line.partition(b":")[2].removeprefix(b" ") for line in lines if line.partition(b":")[0] == b"data"]
    items = parse(stream, lenient=True)
    # an event whose data are empty has one empty data line, or is a bare name
    kept = [line for item in items if isinstance(item, RawEvent) for line in item.data.split(b"\n")]
    assert [line for line in kept if line] == [line for line in data if line]


# Text that is no event stream

ERROR = b'{"error": {"message": "Rate limit reached"}}'
PRETTY = b'{\n  "error": {\n    "message": "No"\n  }\n}'


def strict(stream: bytes, size: int = 1_000) -> list[tuple[str, int, bytes]]:
    """What strict reading rejects: reason, line and text."""
    parser = SSEParser()
    items = [item for at in range(0, len(stream), size) for item in parser.feed(stream[at : at + size])]
    items += parser.close()
    return [(item.reason, item.line, item.data) for item in items if isinstance(item, Malformed)]


@pytest.mark.parametrize("size", [1, 7, 1_000])
@pytest.mark.parametrize(
    ("stream", "line", "data"),
    [
        (ERROR, 1, ERROR),
        (ERROR + b"\n\n", 1, ERROR),
        (PRETTY, 1, PRETTY),
        (PRETTY.replace(b"\n", b"\r\n"), 1, PRETTY),
        (b"[1]", 1, b"[1]"),
        (b"\xef\xbb\xbf" + ERROR, 1, ERROR),
        (b"data: 1\n\n" + ERROR, 3, ERROR),
        (b": hello\n\n" + ERROR + b"\n", 3, ERROR),
        (ERROR + b"\ndata: 1\n\n", 1, ERROR),
        (b"Bad gateway\n" + ERROR, 2, ERROR),
    ],
)
def test_json_without_data_is_reported(stream: bytes, line: int, data: bytes, size: int) -> None:
    """A body of JSON is no event, and not lost in silence: at the beginning, between events and at the end."""
    assert strict(stream, size) == [("JSON without 'data:'", line, data)]


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_lines_of_json_are_reported_one_by_one(size: int) -> None:
    assert [data for _, _, data in strict(b'{"a": 1}\n{"b": 2}\n', size)] == [b'{"a": 1}', b'{"b": 2}']


@pytest.mark.parametrize("size", [1, 7, 1_000])
@pytest.mark.parametrize("stream", [b"Internal error", b"<html>\n<p>No</p>\n</html>\n", b"a\n\nb\n"])
def test_a_body_without_any_field_is_reported(stream: bytes, size: int) -> None:
    """Once, with its beginning."""
    assert strict(stream, size) == [("no event stream", 1, stream.strip().replace(b"\n\n", b"\n"))]


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\n\n",
        b"\xef\xbb",
        b": hello",
        b"data",
        b"dat",
        b"id: 1\nx: y\n\n",
        b"x: y\ndata: 1\n\n",
        b"data: 1\n{}\n\n",
    ],
)
def test_what_whatwg_ignores_is_ignored(stream: bytes) -> None:
    """Unknown fields of an event stream, and the beginning of a field at its end."""
    assert strict(stream) == []


def test_text_that_is_no_event_stream_is_kept_in_part() -> None:
    """A body of any size takes 16 KiB."""
    ((_, _, data),) = strict(b"{" + b"x" * 100_000 + b"\n" + b"y\n" * 100_000)
    assert len(data) == 16 * 1024


def test_a_block_over_the_limit_is_a_field_in_any_pieces() -> None:
    """Text without fields before it is no sign that the body is no event stream, wherever a chunk ends."""
    body = b"\xe2\x80\xa8event: }\nData: x\n\nevent: aaaaaaaaaaaaaaaa\n\n"

    def parse(*chunks: bytes) -> list[object]:
        parser = SSEParser(max_event_bytes=12)
        return [type(item) for chunk in chunks for item in parser.feed(chunk)] + [type(item) for item in parser.close()]

    assert parse(body) == [Oversized]
    assert all(parse(body[:place], body[place:]) == [Oversized] for place in range(len(body)))
