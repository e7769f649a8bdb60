"""Writing recordings: whole after each event, typed errors, nothing overwritten unasked."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from runstream import RecordingError, RecordingWriter, demo, fold, read_recording
from runstream.model.raw import ConnectionEvent, Malformed, Oversized, RawEvent, RawItem
from runstream.sources.sse_parser import MAX_EVENT_BYTES
from tests.support.raws import streams

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("suffix", [".jsonl", ".sse", ".ndjson", ".SSE"])
@pytest.mark.parametrize("name", demo.recordings())
def test_a_recording_written_again_gives_equal_events(tmp_path: Path, name: str, suffix: str) -> None:
    """Read, written and read again, a recording gives equal raw events and so equal runs and signals."""
    items = list(read_recording(demo.load(name)))
    path = tmp_path / f"run{suffix}"
    with RecordingWriter(path) as writer:
        writer.write_all(items)
    assert writer.count == len(items)
    assert writer.size == path.stat().st_size
    again = list(read_recording(path))
    assert [_placeless(item) for item in again] == [_placeless(item) for item in items]
    first, second = (fold(raws, clock=lambda: 1.0) for raws in (items, again))
    assert first.runs == second.runs
    assert first.signals == second.signals


def _placeless(item: RawItem) -> RawItem:
    return msgspec.structs.replace(item, line=0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=streams())
def test_whole_after_each_event(tmp_path: Path, items: list[RawItem]) -> None:
    """Nothing waits in a buffer: after each event, a reader finds all there are."""
    path = tmp_path / "run.jsonl"
    with RecordingWriter(path, overwrite=True) as writer:
        for number, item in enumerate(items, 1):
            writer.write(item, 5.0)
            found = list(read_recording(path))
            assert len(found) == number
            assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("suffix", [".jsonl", ".sse"])
def test_the_largest_event_that_a_source_lets_pass_can_be_read(tmp_path: Path, suffix: str) -> None:
    """Its name, its time and its id stand around it, and don't make it too large."""
    path = tmp_path / f"run{suffix}"
    largest = RawEvent("a", b'"' + b"x" * (MAX_EVENT_BYTES - 2) + b'"', "7", "7", at=1.5)
    with RecordingWriter(path) as writer:
        writer.write(largest)
        writer.write(RawEvent(None, largest.data, at=2.5))
    assert [getattr(item, "data", None) == largest.data for item in read_recording(path)] == [True, True]


def test_envelopes_of_all_kinds_are_taken(tmp_path: Path) -> None:
    """A list of what the adapters take is a recording too."""
    path = tmp_path / "run.jsonl"
    with RecordingWriter(path) as writer:
        writer.write_all([b'{"event":"a","data":1}', '{"event":"a","data":1}', {"event": "a", "data": 1}])
        writer.write({"x": {1, 2}, "y": object()}, 3.0)
    *same, odd = read_recording(path)
    assert [item.data for item in same if isinstance(item, RawEvent)] == [b'{"event":"a","data":1}'] * 3
    assert isinstance(odd, Malformed)


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    """It is not overwritten unless that is asked for."""
    path = tmp_path / "run.jsonl"
    path.write_text("precious")
    with pytest.raises(RecordingError, match="exists already") as caught:
        RecordingWriter(path)
    assert (caught.value.path, caught.value.errno) == (str(path), errno.EEXIST)
    assert path.read_text() == "precious"
    RecordingWriter(path, overwrite=True).close()
    assert path.read_text() == ""


def test_a_file_that_can_not_be_opened(tmp_path: Path) -> None:
    """A typed error that says why, and survives pickling."""
    with pytest.raises(RecordingError, match=r"can't be opened \(No such file") as caught:
        RecordingWriter(tmp_path / "missing" / "run.jsonl")
    assert caught.value.errno == errno.ENOENT
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.path, again.reason) == (str(caught.value), caught.value.path, caught.value.reason)
    with pytest.raises(RecordingError, match="can't be opened"):
        RecordingWriter(tmp_path, format="jsonl", overwrite=True)


def test_the_format_must_be_known(tmp_path: Path) -> None:
    """No guess: a suffix or a word."""
    with pytest.raises(ValueError, match=r"is named \.jsonl or \.sse"):
        RecordingWriter(tmp_path / "run.txt")
    assert not (tmp_path / "run.txt").exists()
    with RecordingWriter(tmp_path / "run.txt", format="sse") as writer:
        writer.write(RawEvent("a", b"1"))
    assert (tmp_path / "run.txt").read_bytes() == b"event: a\ndata: 1\n\n"


def test_a_closed_writer(tmp_path: Path) -> None:
    """Closing twice is fine, writing then is a mistake of the program."""
    writer = RecordingWriter(tmp_path / "run.jsonl")
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"1")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_full() -> None:
    """A typed error, of which one can go on."""
    with RecordingWriter("/dev/full", format="jsonl", overwrite=True) as writer:
        for _ in range(2):
            with pytest.raises(RecordingError, match=r"can't be written \(No space left") as caught:
                writer.write(RawEvent("a", b"1"))
            assert caught.value.errno == errno.ENOSPC
        assert (writer.count, writer.size) == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_what_was_written_before_the_disk_was_full_is_whole(tmp_path: Path) -> None:
    """An event that fits in part is taken back: no half line is left. (A limit on file size stands for the disk.)"""
    path = tmp_path / "run.jsonl"
    code = f"""
import resource, signal
from runstream import RawEvent, RecordingError, RecordingWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with RecordingWriter({str(path)!r}) as writer:
    try:
        while True:
            writer.write(RawEvent("a", b'{{"text":"' + b"x" * 50 + b'"}}'))
    except RecordingError as error:
        print(writer.count, error.reason)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    count, reason = found.stdout.split(" ", 1)
    assert reason.startswith("can't be written (File too large)")
    items = list(read_recording(path))
    assert len(items) == int(count) > 5
    assert all(isinstance(item, RawEvent) and item.event == "a" for item in items)
    assert path.read_bytes().endswith(b"}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("suffix", [".jsonl", ".sse"])
def test_a_process_that_is_killed(tmp_path: Path, suffix: str) -> None:
    """SIGKILL in the middle of writing: what was written is there and can be read."""
    path = tmp_path / f"run{suffix}"
    code = f"""
from runstream import RawEvent, RecordingWriter
writer = RecordingWriter({str(path)!r})
number = 0
while True:
    writer.write(RawEvent("a", b'{{"n":%d}}' % number, at=float(number)))
    number += 1
    if number == 100:
        print("far enough", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"far enough\n"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    items = list(read_recording(path))
    assert len(items) >= 100
    for number, item in enumerate(items[:-1]):
        assert isinstance(item, RawEvent)
        assert (item.data, item.at) == (b'{"n":%d}' % number, float(number))


# Redaction on the way in


def test_what_redact_gives_is_written(tmp_path: Path) -> None:
    """An event in place of another, or none; what is no event loses its content and keeps its size."""
    path = tmp_path / "run.jsonl"

    def redact(raw: RawEvent) -> RawEvent | None:
        return None if raw.event == "secret" else RawEvent(raw.event, b'"blank"')

    with RecordingWriter(path, redact=redact) as writer:
        writer.write(RawEvent("a", b'"text"'))
        writer.write(RawEvent("secret", b'"text"'))
        writer.write(Malformed(line=1, reason="not a field of an event stream", data=b"a secret"))
        writer.write(Oversized(line=1, size=9, limit=1))
        writer.write(ConnectionEvent(connected=True))
        assert writer.count == 4
    found = list(read_recording(path))
    assert found == [
        RawEvent("a", b'"blank"', line=1),
        Malformed(line=2, reason="not a field of an event stream", data=b"xxxxxxxx"),
        Oversized(line=3, size=9, limit=1),
        ConnectionEvent(connected=True, line=4),
    ]


@pytest.mark.parametrize("result", ["text", 5, b"bytes"])
def test_redact_that_gives_something_else(tmp_path: Path, result: Any) -> None:
    """Nothing is written rather than what may be the secret."""
    with (
        RecordingWriter(tmp_path / "run.jsonl", redact=lambda raw: result) as writer,
        pytest.raises(RecordingError, match="redact gave a"),
    ):
        writer.write(RawEvent("a", b'"text"'))
    assert writer.size == 0


def test_redact_that_raises(tmp_path: Path) -> None:
    """Nothing is written, and the error does not say what the exception said."""

    def redact(raw: RawEvent) -> RawEvent:
        raise LookupError(raw.data.decode())

    with (
        RecordingWriter(tmp_path / "run.jsonl", redact=redact) as writer,
        pytest.raises(RecordingError, match="redact raised LookupError") as caught,
    ):
        writer.write(RawEvent("a", b"a secret"))
    assert writer.size == 0
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has these modes")
@pytest.mark.parametrize("suffix", [".jsonl", ".sse"])
def test_only_its_owner_can_read_a_recording(tmp_path: Path, suffix: str) -> None:
    """Whatever the umask is, also where an older file is overwritten."""
    path = tmp_path / f"run{suffix}"
    before = os.umask(0)
    try:
        with RecordingWriter(path):
            pass
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)
        with RecordingWriter(path, overwrite=True):
            pass
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_redacted_recording_has_no_words_of_the_server(tmp_path: Path) -> None:
    """What a server said about a lost connection is kept only where nothing is redacted."""
    lost = ConnectionEvent(connected=False, reason="HTTP 429", server_message="The key of alice is used up")
    for redact in (None, lambda raw: raw):
        path = tmp_path / f"{bool(redact)}.jsonl"
        with RecordingWriter(path, redact=redact) as writer:
            writer.write(lost)
        (found,) = read_recording(path)
        assert isinstance(found, ConnectionEvent)
        words = (lost.reason, lost.server_message)
        blank = ("x" * len(lost.reason), "x" * len(lost.server_message))
        assert (found.reason, found.server_message) == (words if redact is None else blank)
