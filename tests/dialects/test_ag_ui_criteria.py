"""What users ask of a Python client of AG-UI, one test for each of their five criteria.

The criteria: https://github.com/ag-ui-protocol/ag-ui/issues/2799
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runstream.engine.fold import fold
from runstream.errors import IncompleteStream
from runstream.model.events import UnknownEvent
from runstream.recordings.reader import read_recording
from runstream.stream.run_stream import RunStream
from tests.dialects.agui import content, event, finished, flat, started, text

FIXTURES = Path(__file__).with_name("ag_ui_fixtures")


async def test_text_is_put_together_and_raw_events_are_there() -> None:
    """Both views of one stream: the text of the run, and each event with its name on the wire."""
    raws = flat([started(), text("The ferry leaves"), finished()])
    async with RunStream(raws, dialect="ag-ui") as stream:
        names: list[str] = []
        stream.events.subscribe(lambda event: names.append(event.event))
        run = await stream.result()
        assert stream.latest[run.id].text == "The ferry leaves "
    assert names[:3] == ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]
    assert names[-1] == "RUN_FINISHED"


async def test_errors_are_raised() -> None:
    """A failed run has the server's error; a failed request is an exception."""
    async with RunStream([started(), content("a"), event("RUN_ERROR", message="no", code="E")], dialect="ag-ui") as one:
        run = await one.result()
    assert run.is_failed
    assert run.last_error is not None
    assert (run.last_error.code, run.last_error.message) == ("E", "no")
    async with RunStream([event("RUN_ERROR", message="no", code="E")], dialect="ag-ui") as other:
        with pytest.raises(IncompleteStream) as raised:
            await other.result()
    assert "E" in str(raised.value)


def test_unknown_event_types_are_skipped() -> None:
    """They break nothing, are counted, and can be seen."""
    raws = flat([started(), event("FUTURE_EVENT", value={"a": 1}), text("a"), event("OTHER"), finished()])
    folded = fold(raws, dialect="ag-ui")
    assert (folded.runs[0].status, folded.runs[0].text) == ("completed", "a ")
    assert folded.stats.unknown == 2
    seen: list[Any] = []
    from runstream.engine.engine import Engine

    engine = Engine()
    engine.on_event = seen.append
    engine.intake("s", dialect="ag-ui").feed_all(raws)
    found = [each for each in seen if isinstance(each, UnknownEvent)]
    assert [(each.name, each.value.get("value")) for each in found] == [("FUTURE_EVENT", {"a": 1}), ("OTHER", None)]


async def test_an_end_without_a_terminal_event_is_an_error() -> None:
    """A stream that just ends is no success, and what was received before is there."""
    async with RunStream(flat([started(), text("half of it")]), dialect="ag-ui") as stream:
        with pytest.raises(IncompleteStream):
            await stream.result()
        assert stream.latest["r1"].text == "half of it "
        assert not stream.latest["r1"].is_terminal


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.sse")), ids=lambda path: path.name)
def test_fixture_streams(path: Path) -> None:
    """Streams in files fold to what their first line says: status, text, and what waits."""
    first = path.read_text(encoding="utf-8").splitlines()[0].removeprefix(": ")
    (state,) = fold(read_recording(path), dialect="ag-ui").runs
    waiting = ",".join(call.id or "" for call in state.run.pending_tool_calls)
    assert f"{state.status.value} | {state.text} | {waiting}" == first
