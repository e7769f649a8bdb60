"""Real recordings, written anew in both formats and redacted: the same events, the same facts, and not a word left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from runstream import Redaction, fold, read_recording
from runstream.model.raw import RawEvent, RawItem
from runstream.model.signals import RunSignal, Signal
from runstream.recordings.writer import RecordingWriter
from tests.conformance.recorded import STREAMS, body_of


def placeless(items: Iterable[RawItem]) -> list[RawItem]:
    """The items without their lines, and their JSON as decoded."""
    found: list[RawItem] = []
    for item in items:
        data = getattr(item, "data", b"")
        with suppress(msgspec.MsgspecError, UnicodeError):
            data = msgspec.json.encode(msgspec.json.decode(data))
        found.append(msgspec.structs.replace(item, line=0, **({"data": data} if hasattr(item, "data") else {})))
    return found


def facts(signals: Sequence[Signal], *, growth: bool) -> list[tuple[str, str]]:
    """Type and key of each fact, with or without the growth of texts."""
    told = [found for found in signals if isinstance(found, RunSignal)]
    return [(found.type, found.key) for found in told if growth or not found.type.startswith("message.text")]


@pytest.mark.parametrize("suffix", [".jsonl", ".sse"])
@pytest.mark.parametrize("name", STREAMS)
def test_written_and_read_again(tmp_path: Path, name: str, suffix: str) -> None:
    """Every event, every damaged line: the runs and signals are those of the original."""
    items = list(read_recording(body_of(name), format="sse"))
    path = tmp_path / f"run{suffix}"
    with RecordingWriter(path) as writer:
        writer.write_all(items)
    again = list(read_recording(path))
    assert placeless(again) == placeless(items)
    first, second = (fold(raws, clock=lambda: 1.0) for raws in (items, again))
    assert second.runs == first.runs
    assert second.signals == first.signals
    assert [(reject.reason, reject.raw.event) for reject in second.rejects] == [
        (reject.reason, reject.raw.event) for reject in first.rejects
    ]


@pytest.mark.parametrize("name", STREAMS)
def test_redacted(tmp_path: Path, name: str) -> None:
    """The facts stay; no longer word of a text, of arguments or of instructions is in the file."""
    items = list(read_recording(body_of(name), format="sse"))
    path = tmp_path / "run.jsonl"
    with RecordingWriter(path, redact=Redaction()) as writer:
        writer.write_all(items)
    plain, blank = fold(items, clock=lambda: 1.0), fold(read_recording(path), clock=lambda: 1.0)
    # A text that was replaced, as in one of them, can't be told from one that grew once both are blank.
    growth = all(found.type != "message.text_replaced" for found in plain.signals)
    assert facts(blank.signals, growth=growth) == facts(plain.signals, growth=growth)
    assert len(blank.rejects) == len(plain.rejects)
    assert [state.run.usage for state in blank.runs] == [state.run.usage for state in plain.runs]
    written = b"\n".join(item.data for item in read_recording(path) if isinstance(item, RawEvent))
    said = [
        text for state in plain.runs for text in (state.run.instructions, *(m.text for m in state.messages)) if text
    ]
    assert not [text for text in said if len(text) > 20 and msgspec.json.encode(text)[1:-1] in written]
    assert not [text for text in said if len(text) > 20 and text[:20].encode() in written]
