"""The shared recordings, redacted: the same facts of the same runs, and none of their words."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from runstream import RawEvent, Redaction, RunSignal, fold, read_recording
from runstream.core.state import RunState
from tests.conformance.recorded import RECORDINGS

DIALECTS: Final = {"agui": "ag-ui", "langgraph": "langgraph", "responses": "responses"}
PATHS: Final = [
    path
    for protocol in DIALECTS
    for path in sorted((RECORDINGS / protocol).glob("*"))
    if path.suffix in (".sse", ".jsonl")
]


def shape(state: RunState) -> tuple[object, ...]:
    """What is left of a run without its words."""
    texts = [len(message.text) for message in state.messages]
    return state.run_id, state.status, texts, [step.id for step in state.steps]


@pytest.mark.skipif(not PATHS, reason=f"the shared recordings are not there: {RECORDINGS}")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_redacted_recording_has_the_same_facts(path: Path) -> None:
    """Runs, statuses, lengths and signals are those of the recording; the words of its messages are gone."""
    dialect = DIALECTS[path.parent.name]
    raws = [item for item in read_recording(path) if isinstance(item, RawEvent)]
    redact = Redaction(dialect=dialect)
    kept = [redact(raw) for raw in raws]
    plain, blank = fold(raws, dialect=dialect), fold(kept, dialect=dialect)
    assert [shape(state) for state in blank.runs] == [shape(state) for state in plain.runs]
    # That a text was replaced is lost with the text.
    types = [
        [
            "message.text" if signal.type == "message.text_replaced" else signal.type
            for signal in found.signals
            if isinstance(signal, RunSignal)
        ]
        for found in (plain, blank)
    ]
    assert types[1] == types[0]
    assert len(blank.rejects) == len(plain.rejects)
    for state in blank.runs:
        assert set(state.text) <= {"x", "\n"}
