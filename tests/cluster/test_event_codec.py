"""Decoded events as bytes and back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runstream import Reject
from runstream.cluster.event_codec import named_object, named_run, read_event, write_event
from runstream.cluster.packs import Section, SectionWriter, read_pack, write_pack
from runstream.dialects.registry import make_dialect
from runstream.errors import ClusterError
from runstream.model.base import to_wire
from runstream.model.common import ErrorObject
from runstream.model.events import ErrorEvent, MessageEvent, RunEvent, StepEvent, TextAppend
from runstream.model.message import Message
from runstream.model.raw import RawEvent
from runstream.model.step import RunStep
from tests.cluster.test_partition import RECORDINGS


@pytest.mark.parametrize("name", RECORDINGS)
def test_events_of_recordings_come_back(name: str) -> None:
    """Each event of a recording is equal after a pack, with its origin; so is what names its run."""
    dialect = make_dialect()
    decoded = []
    for item in RECORDINGS[name]:
        found = dialect.decode(item)
        decoded += found if isinstance(found, list | tuple) else [found]
    by_payload = getattr(dialect, "name", None) == "assistants"
    writer = SectionWriter()
    writer.add_events(decoded, 1.0, 0, by_payload=by_payload)
    pack = read_pack(write_pack([Section("", "s", 1, None, None, False, "", writer.entries)]))
    ((_, at, _, written),) = pack.sections[0].entries
    assert at == 1.0
    for event, item in zip(decoded, written, strict=True):
        back = read_event(item)
        if isinstance(event, Reject):
            assert isinstance(back, Reject)
            assert (back.reason, back.path, back.object_ids) == (event.reason, event.path, event.object_ids)
            continue
        assert (back.event, back.id, back.run_id, back.created) == (event.event, event.id, event.run_id, event.created)
        assert to_wire(back.data) == to_wire(event.data)
        if not isinstance(event, TextAppend):
            assert back.path == event.path  # type: ignore[union-attr]
            assert back.origin == event.origin
        if isinstance(event, RunEvent):
            assert isinstance(back, RunEvent)
            assert back.piece == event.piece
            assert named_run(item) == named_object(item) == event.data.id


@pytest.mark.parametrize(
    "event",
    [
        MessageEvent(Message(id="m", role="assistant"), "1", run_id="r", name="x", partial=True),
        MessageEvent(Message(id="m", role="assistant"), "1", run_id="r", name="x", corrects=True),
        StepEvent(RunStep(id="s"), "1", run_id="r", name="x", path=("a",), partial=True, corrects=True),
        ErrorEvent(ErrorObject(code="busy"), "1", run_id="r", name="error"),
    ],
)
def test_all_fields_come_back(event: Any) -> None:
    """Also those that few events have."""
    back = read_event(msgspec.msgpack.decode(msgspec.msgpack.encode(write_event(event, by_payload=False))))
    for name in event.__struct_fields__:
        assert to_wire(getattr(back, name)) == to_wire(getattr(event, name)), name


def test_fragments_of_one_text_are_one_entry() -> None:
    """Consecutive fragments share an entry; another text, or another kind of item, begins a new one."""
    writer = SectionWriter()
    for number, text in enumerate("abc"):
        writer.add_fragment(TextAppend("m", "text", 0, text, number), float(number))
    writer.add_fragment(TextAppend("m", "text", 1, "d"), 3.0)
    writer.add_events([Reject(RawEvent(), "bad")], 4.0, 0, by_payload=False)
    writer.add_fragment(TextAppend("m", "text", 1, "e"), 5.0)
    assert [entry[0] for entry in writer.entries] == [0, 0, 1, 0]
    assert writer.entries[0][6:] == [["a", "b", "c"], [0.0, 1.0, 2.0], [0, 1, 2]]
    section = Section("", "s", 1, None, None, False, "", writer.entries)
    assert section.count == writer.count == 6


def test_a_newer_pack_stops_its_reader() -> None:
    """A pack of a newer version, or no pack at all, is an error that says what to do."""
    data = bytearray(write_pack([]))
    data[1] = 2
    with pytest.raises(ClusterError, match="update the workers"):
        read_pack(bytes(data))
    with pytest.raises(ClusterError, match="is no pack"):
        read_pack(b"\xc1")
