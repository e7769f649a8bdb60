"""Each recording of each dialect as a UI message: whole, for a late browser, and over two responses."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from runstream.core.state_snapshot import StateSnapshot
from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.recordings.reader import read_recording
from runstream.sinks.ui_message_stream.encoder import UiMessageEncoder
from tests.conformance.recorded import PAIRS, RECORDINGS
from tests.conformance.test_agui_fold import PAIRS as AG_UI_PAIRS
from tests.sinks.ui_message_stream.support import encode, joined
from tests.support.ui_messages import read_chunks, shown_by_message, shown_by_state

FILES = sorted(
    path.relative_to(RECORDINGS).as_posix() for path in RECORDINGS.rglob("*") if path.suffix in (".sse", ".jsonl")
) or ["absent"]
SERIES = [*PAIRS, *(tuple(f"agui/{name}" for name in names) for names in AG_UI_PAIRS)]


@cache
def items(name: str) -> list[Any]:
    """The raw items of a recording."""
    if not (RECORDINGS / name).exists():
        pytest.skip(f"the shared recordings are not there: {RECORDINGS}")
    return list(read_recording((RECORDINGS / name).read_bytes(), name=name))


def compare(states: Any, message: dict[str, Any]) -> None:
    """Compare what a message shows with states; it may show more calls, which the states have no more."""
    expected, actual = shown_by_state(states), shown_by_message(message)
    actual["calls"] = {id: call for id, call in actual["calls"].items() if id in expected["calls"]}
    assert actual == expected


@pytest.mark.parametrize("name", FILES)
def test_a_recording(name: str) -> None:
    """The message shows what the states have, in both versions of the protocol."""
    folded = fold(items(name))
    for sdk in (5, 6):
        compare(folded.runs, read_chunks(encode(folded, sdk=sdk)))


@pytest.mark.parametrize("name", FILES)
def test_a_late_browser(name: str) -> None:
    """Whenever it joins, it has the same at the end."""
    raws = items(name)
    for place in {len(raws) // 3, len(raws) // 2, len(raws) - 1, len(raws)}:
        chunks, folded = joined(raws, place)
        compare(folded.runs, read_chunks(chunks))


@pytest.mark.parametrize("names", SERIES, ids=lambda names: names[-1].rpartition("/")[2])
@pytest.mark.parametrize("repeats", [False, True])
def test_a_run_over_several_responses(names: tuple[str, ...], repeats: bool) -> None:
    """Each response continues the message, and brings no text twice, also where it begins with the whole state."""
    engine = Engine()
    signals: list[Any] = []
    engine.on_signal = signals.append
    message: dict[str, Any] | None = None
    first: str | None = None
    for name in names:
        known = engine.states()
        signals.clear()
        intake = engine.intake(name, continues=first)
        intake.feed_all(items(name))
        intake.end()
        encoder = UiMessageEncoder(message_id="message-1", message=message)
        chunks = encoder.start()
        if repeats:
            chunks += [chunk for state in known for chunk in encoder.encode(StateSnapshot(state, (), 0.0))]
        for signal in signals:
            run_id = getattr(signal, "run_id", None)
            chunks += encoder.encode(signal, engine.state(run_id, "") if run_id is not None else None)
        chunks += encoder.finish(engine.states())
        message = read_chunks(chunks, message=message)
        first = first or engine.states()[0].run_id
    assert message is not None
    compare(engine.states(), message)
