"""Reading recordings: formats and how they are recognised, and every recording of the shared folder."""

from __future__ import annotations

import io
import json
import re
import tracemalloc
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.model.raw import Answer, ConnectionEvent, Malformed, Oversized, RawEvent, Request
from runstream.recordings.reader import UnknownRecordingFormat, read_recording
from runstream.sources.sse_parser import SSEParser

SSE = b"event: a\ndata: 1\n\nevent: b\ndata: 2"
SSE_EVENTS = [RawEvent("a", b"1", line=1), RawEvent("b", b"2", line=4)]
JSONL = b'{"event":"a","data":1}\n{"event":"b","data":2}'
JSONL_EVENTS = [
    RawEvent(None, b'{"event":"a","data":1}', line=1),
    RawEvent(None, b'{"event":"b","data":2}', line=2),
]
BOM = b"\xef\xbb\xbf"


class Trickle(io.RawIOBase):
    """A pipe that has one byte at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self._content.read(1)
        buffer[: len(piece)] = piece
        return len(piece)


# --- formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "events"),
    [
        ("run.sse", SSE, SSE_EVENTS),
        ("run.SSE", SSE, SSE_EVENTS),
        ("run.jsonl", JSONL, JSONL_EVENTS),
        ("run.ndjson", JSONL, JSONL_EVENTS),
        ("run.txt", SSE, SSE_EVENTS),
        ("run.json", JSONL, JSONL_EVENTS),
        ("run", JSONL, JSONL_EVENTS),
    ],
)
def test_path(tmp_path: Path, name: str, content: bytes, events: list[RawEvent]) -> None:
    """A path is read by its suffix, or by its first line where the suffix doesn't tell."""
    path = tmp_path / name
    path.write_bytes(content)
    assert list(read_recording(path)) == events
    assert list(read_recording(str(path))) == events


@pytest.mark.parametrize(("content", "events"), [(SSE, SSE_EVENTS), (JSONL, JSONL_EVENTS)])
def test_bytes_and_files(content: bytes, events: list[RawEvent]) -> None:
    """Bytes, buffered files and slow unbuffered ones are read alike, and a file is left open."""
    file = io.BytesIO(content)
    assert list(read_recording(content)) == list(read_recording(file)) == events
    assert not file.closed
    assert list(read_recording(Trickle(content))) == events  # type: ignore[arg-type]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash is standard input."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(SSE)))
    assert list(read_recording("-")) == SSE_EVENTS


def test_name_and_format_decide_over_the_content() -> None:
    """A given format wins over the name, and the name's suffix over the first line."""
    assert list(read_recording(b"event: a\n", format="jsonl", name="run.sse")) == [RawEvent(None, b"event: a", line=1)]
    (malformed,) = read_recording(b"{}\n", name="run.sse")
    assert isinstance(malformed, Malformed)
    assert list(read_recording(b"[]\n{\n", name="run.jsonl")) == [
        RawEvent(None, b"[]", line=1),
        RawEvent(None, b"{", line=2),
    ]


@pytest.mark.parametrize("start", [b"event: a", b"data: 1", b"data:", b"id: 1", b": hello", b":", b"retry: 5", b"..."])
@pytest.mark.parametrize("before", [b"", BOM, b"\n\r\n  \n"])
def test_event_stream_is_recognised(before: bytes, start: bytes) -> None:
    """An event stream is known by the field or comment it starts with."""
    stream = before + start + b"\ndata: x\n\n"
    assert list(read_recording(stream)) == list(read_recording(stream, format="sse"))
    assert list(read_recording(Trickle(stream))) == list(read_recording(stream))  # type: ignore[arg-type]


@pytest.mark.parametrize("before", [b"", BOM, b"\n\r\n  \n"])
def test_json_lines_are_recognised(before: bytes) -> None:
    """JSON lines are known by their brace, also where the first line is cut or not JSON."""
    for content in (JSONL, b'{"event":"a","da\n' + JSONL, b'{"event":}\n' + JSONL, b"{}\n"):
        items = list(read_recording(before + content))
        assert items == list(read_recording(before + content, format="jsonl"))
        assert items[0].line == 1 + before.count(b"\n")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[1, 2]", "list of objects"),
        (b'[{"event": "a"}, 1]', "list of objects"),
        (b'[{"event": "a"}', "incomplete"),
        (b'{\n  "event": "a"\n', "several lines"),
        (b'{"event": "a",\n "data": {}', "several lines"),
        (b'\n\n{"data": {\n', "several lines"),
        (b"GIF89a\x01", "not recognised"),
        (b"hello", "not recognised"),
        (b"\xff\xfee\x00v\x00", "not recognised"),
        (b"\n" * 2_000_000, "nothing but blank lines"),
    ],
)
def test_unknown_format(content: bytes, problem: str) -> None:
    """What is no recording is refused with its name, what was found, and what to do."""
    with pytest.raises(UnknownRecordingFormat) as caught:
        list(read_recording(content, name="some/run.json"))
    assert isinstance(caught.value, ValueError)
    assert caught.value.name == "some/run.json"
    assert problem in caught.value.problem
    assert re.match(r"some/run\.json: .*; save it as .*\.sse.*\.jsonl", str(caught.value))


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n \n", BOM])
@pytest.mark.parametrize("name", ["run", "run.sse", "run.jsonl"])
def test_empty_input(name: str, content: bytes) -> None:
    """An empty recording has no events, and is no error."""
    assert list(read_recording(content, name=name)) == []


def test_text_mode_is_refused() -> None:
    """A file in text mode is a mistake that is reported at once."""
    with pytest.raises(TypeError, match="binary mode"):
        read_recording(io.StringIO("event: a"))  # type: ignore[arg-type]


def test_a_path_tells_its_format_under_any_name(tmp_path: Path) -> None:
    """A name for messages takes nothing from what the path says, however the file begins."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'nonsense\n{"event": "done", "data": "[DONE]"}\n')
    assert [item.data for item in read_recording(path, name="my recording") if isinstance(item, RawEvent)] == [
        b"nonsense",
        b'{"event": "done", "data": "[DONE]"}',
    ]


def test_missing_file(tmp_path: Path) -> None:
    """A file that isn't there is the usual OSError."""
    with pytest.raises(FileNotFoundError):
        list(read_recording(tmp_path / "none.sse"))


# --- JSON lines ------------------------------------------------------------------------------------


def test_json_lines_with_mark_crlf_and_blank_lines() -> None:
    """A byte order mark, CRLF and blank lines leave no trace but in the line numbers."""
    content = BOM + b'{"event":"a"}\r\n\r\n   \n  {"event":"b"} \r\n'
    assert list(read_recording(content)) == [
        RawEvent(None, b'{"event":"a"}', line=1),
        RawEvent(None, b'{"event":"b"}', line=4),
    ]


@pytest.mark.parametrize(
    ("line", "at"),
    [
        (b'{"at": 1712.5, "event": "a"}', 1712.5),
        (b'{"event": "a", "data": {}, "at": 1712}', 1712.0),
        (b'{"event": "a", "data": {"at": 5}}', None),
        (b'{"at": null}', None),
        (b'{"at": "1712"}', None),
        (b'{"at": true}', None),
        (b'{"at": 1e999}', None),
        (b'{"at": 1', None),
        (b'{"at": 1, "x": ' + b"[" * 100_000, None),
        (b'{"event": "a"}', None),
        (b'["at"]', None),
    ],
)
def test_arrival_time(line: bytes, at: float | None) -> None:
    """The arrival time is read where it is a number at the top of the envelope, and never raises."""
    assert list(read_recording(line, format="jsonl")) == [RawEvent(None, line, at=at, line=1)]


def test_over_long_json_line() -> None:
    """A line over the limit is reported with its size, and the next one is read."""
    content = b'{"x": "' + b"x" * 100 + b'"}\n{}\n{"y": "' + b"y" * 50
    for file in (io.BytesIO(content), Trickle(content)):
        assert list(read_recording(file, max_event_bytes=20)) == [  # type: ignore[arg-type]
            Oversized(line=1, size=109, limit=20),
            RawEvent(None, b"{}", line=2),
            Oversized(line=3, size=57, limit=20),
        ]


# --- event streams ---------------------------------------------------------------------------------


def test_event_stream_is_read_leniently() -> None:
    """A saved stream may lack blank lines and have lines that belong to no event."""
    assert list(read_recording(b"event: a\ndata: 1\nevent: b\n{}\n...\nevent: c\ndata: 3", name="x.sse")) == [
        RawEvent("a", b"1", line=1),
        Malformed(line=4, reason="JSON without 'data:'", data=b"{}", event="b"),
        RawEvent("c", b"3", line=6),
    ]


def test_over_long_event() -> None:
    """The limit holds for event streams too."""
    items = list(read_recording(b"data: " + b"x" * 50 + b"\n\ndata: y\n\n", max_event_bytes=20))
    assert items == [Oversized(line=1, size=56, limit=20), RawEvent(data=b"y", line=3)]


# --- both ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("event", [b"event: a\ndata: x\n\n", b'{"event": "a", "data": {}}\n'])
def test_reading_streams(event: bytes) -> None:
    """A recording without end is read as far as asked, with little held in memory."""

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return event * 1000

    tracemalloc.start()
    try:
        items = read_recording(Endless())  # type: ignore[arg-type]
        count = sum(1 for _ in islice(items, 100_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 100_000
    assert peak < 2_000_000


def test_events_are_not_held_back() -> None:
    """An event from a pipe comes out as soon as it is complete, before the pipe has more."""
    given_out = 0

    class Pipe(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            nonlocal given_out
            given_out += 1
            return b"data: %d\n\n" % given_out

    items = read_recording(Pipe())  # type: ignore[arg-type]
    assert [next(items).line, given_out] == [1, 1]
    assert [next(items).line, given_out] == [3, 2]


def test_a_path_is_closed_early(tmp_path: Path) -> None:
    """Giving up on a recording closes its file (an unclosed one would be a warning, hence an error)."""
    path = tmp_path / "run.sse"
    path.write_bytes(SSE)
    items = read_recording(path)
    next(items)
    del items


@settings(deadline=None)
@given(content=st.binary(max_size=300), name=st.sampled_from(["run.sse", "run.jsonl"]))
def test_any_bytes_are_read(content: bytes, name: str) -> None:
    """Where the suffix tells the format, no content raises, and slow reading changes nothing."""
    items = list(read_recording(content, name=name, max_event_bytes=50))
    slowly = read_recording(Trickle(content), name=name, max_event_bytes=50)  # type: ignore[arg-type]
    assert items == list(slowly)


# --- the shared recordings -------------------------------------------------------------------------

RECORDINGS = Path(__file__).parents[2].parent / "shared" / "recordings"
STREAMS = sorted(RECORDINGS.glob("*.sse"))
needs_recordings = pytest.mark.skipif(not STREAMS, reason="no shared recordings beside this repository")


def counts_in_index() -> dict[str, tuple[int, dict[str, int]]]:
    """Read the table: file → (events in all, events by name)."""
    counts = {}
    for row in (RECORDINGS / "INDEX.md").read_text("utf-8").splitlines():
        cells = row.split(" | ")
        if not cells[0].startswith("| `") or not cells[0].endswith(".sse`"):
            continue
        file = cells[0].removeprefix("| `").removesuffix("`")
        if found := re.match(r"(\d+) events \(([^)]*)\)", cells[2]):
            by_name = dict(entry.rsplit(" ", 1) for entry in found[2].split(", "))
            full = {re.sub(r"^t\.", "thread.", name): int(count) for name, count in by_name.items()}
            counts[file] = (int(found[1]), full)
        elif found := re.search(r"line-wise (\d+) events", cells[2]):
            counts[file] = (int(found[1]), {})
    return counts


@needs_recordings
def test_every_recording_is_in_the_index() -> None:
    """The index has a count for every stream."""
    assert {path.name for path in STREAMS} <= counts_in_index().keys()


@needs_recordings
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_recording_has_the_events_of_the_index(path: Path) -> None:
    """A recording gives the events that the index counts, one that lost its `data:` being reported."""
    total, by_name = counts_in_index()[path.name]
    items = list(read_recording(path))
    assert len(items) == total
    if by_name:
        names = [item.event for item in items if not isinstance(item, ConnectionEvent)]
        assert {name: names.count(name) for name in names} == by_name
    for item in items:
        assert isinstance(item, RawEvent) or (isinstance(item, Malformed) and item.reason.startswith("JSON"))


@needs_recordings
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_recording_is_the_same_from_unknown_input(path: Path) -> None:
    """A recording is recognised without its suffix, and gives the same events with CRLF line ends."""
    items = list(read_recording(path))
    content = path.read_bytes()
    assert list(read_recording(content)) == items
    assert list(read_recording(content.replace(b"\n", b"\r\n"))) == items


@needs_recordings
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_strict_reading_differs_only_where_the_recording_was_edited(path: Path) -> None:
    """Strict and lenient reading agree on a recording that has its blank lines and `data:` fields."""
    parser = SSEParser()
    strict = parser.feed(path.read_bytes()) + parser.close()
    lenient = list(read_recording(path))
    if b"\n\n" not in path.read_bytes():
        assert len(strict) <= 1
        return
    whole = [item for item in lenient if isinstance(item, RawEvent)]
    # what strict reading lacks is the unfinished last block
    assert strict == whole[: len(strict)]
    assert len(whole) - len(strict) == (1 if parser.discarded else 0)


@needs_recordings
@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("**/*.json")), ids=lambda path: path.stem)
def test_polled_exchanges(path: Path) -> None:
    """Each exchange is the request, if it has a body, and its answer."""
    found = json.loads(path.read_bytes())
    exchanges = found if isinstance(found, list) else [{"body": found}]
    items = list(read_recording(path))
    if not isinstance(found, list) and isinstance(items[0], RawEvent):
        assert len(items) == 1  # an object on one line
        return
    answers = [item for item in items if isinstance(item, Answer)]
    assert [json.loads(item.data) for item in answers] == [exchange["body"] for exchange in exchanges]
    assert [item.status for item in answers] == [exchange.get("status", 200) for exchange in exchanges]
    posts = [each for each in exchanges if each.get("method") == "POST"]
    asked = [each["request_body"] for each in posts if isinstance(each.get("request_body"), dict)]
    assert [json.loads(item.body) for item in items if isinstance(item, Request)] == asked


def test_a_document_of_objects() -> None:
    """Objects in a list, or one over several lines, are answers; a line feed within the document does no harm."""
    assert list(read_recording(b' [{"id": 1},\n {"id": 2}]')) == [Answer(data=b'{"id": 1}'), Answer(data=b'{"id": 2}')]
    assert list(read_recording(b'{\n "id": 1\n}')) == [Answer(data=b'{\n "id": 1\n}')]
    assert list(read_recording(b"[]")) == []


def test_a_document_has_a_limit() -> None:
    """A larger document is dropped, with its size."""
    (item,) = read_recording(b'[{"id": "' + b"x" * 2000 + b'"}]', max_event_bytes=1000)
    assert isinstance(item, Oversized)
    assert (item.size, item.limit) == (2012, 1000)
