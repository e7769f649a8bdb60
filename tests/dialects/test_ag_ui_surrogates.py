"""Surrogate pairs of the AG-UI wire that a server has cut between two fragments."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.dialects.ag_ui import AgUiDialect
from runstream.engine.fold import fold
from runstream.model.raw import RawEvent
from tests.dialects.agui import event, finished, flat, started

_ERROR = event("RUN_ERROR", message="no")
KINDS = {
    "TEXT_MESSAGE": ("messageId", {"role": "assistant"}),
    "REASONING_MESSAGE": ("messageId", {"role": "reasoning"}),
    "TOOL_CALL": ("toolCallId", {"toolCallName": "f"}),
}


def told(kind: str, *deltas: str, chunks: bool = False, end: bool = True) -> list[RawEvent]:
    """One text in fragments."""
    key, fields = KINDS[kind]
    if chunks:
        return [event(f"{kind}_CHUNK", **{key: "x"}, delta=delta, **fields) for delta in deltas]
    grows = "ARGS" if kind == "TOOL_CALL" else "CONTENT"
    fragments = [event(f"{kind}_{grows}", **{key: "x"}, delta=delta) for delta in deltas]
    last = [event(f"{kind}_END", **{key: "x"})] if end else []
    return [event(f"{kind}_START", **{key: "x"}, **fields), *fragments, *last]


def text_of(state: RunState) -> str:
    """The only text of a run."""
    return state.text or state.reasoning or (state.tool_calls[0].arguments or "" if state.tool_calls else "")


def run_of(*items: Any) -> RunState:
    """The only run of the items."""
    found = fold(flat(items), dialect="ag-ui")
    (state,) = found.runs
    assert not found.rejects
    assert "event_after_end" not in found.stats.violations
    return state


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (["a\ud83d", "\ude00b", "c"], "a\U0001f600bc"),
        (["\ud83d", "\ude00"], "\U0001f600"),
        (["a\ud83d", "\ude00b\ud83d", "\ude01"], "a\U0001f600b\U0001f601"),
        (["a\ud83d", "b", "c"], "a\ufffdbc"),
        (["a\ud83d"], "a\ufffd"),
        (["a", "\ude00b"], "a\ufffdb"),
        (["a\ud83d", "\ud83d", "\ude00"], "a\ufffd\U0001f600"),
        (["a\ufffd", "b"], "a\ufffdb"),
    ],
)
@pytest.mark.parametrize("end", [finished(), _ERROR])
def test_a_pair_that_is_cut_is_one_character(
    kind: str, chunks: bool, deltas: list[str], text: str, end: RawEvent
) -> None:
    """It comes with its second half. U+FFFD stands for a half that is alone, at its place."""
    state = run_of(started(), told(kind, *deltas, chunks=chunks), end)
    assert text_of(state) == text


def test_other_events_between_the_halves_change_nothing() -> None:
    """Also fragments of other texts."""
    first = told("TEXT_MESSAGE", "a\ud83d", "\ude00b")
    other = told("TOOL_CALL", "{}")
    for place in range(len(other)):
        items = [*first[:2], *other[: place + 1], *first[2:], *other[place + 1 :]]
        state = run_of(started(), items, finished())
        assert (state.text, state.tool_calls[0].arguments) == ("a\U0001f600b", "{}")


def test_a_later_decoder_has_the_first_half() -> None:
    """It is in the memory."""
    first = AgUiDialect()
    events = [first.decode(each) for each in (started(), *told("TEXT_MESSAGE", "a\ud83d", end=False))]
    second = AgUiDialect(memory=first.dump())
    (text,) = second.decode(told("TEXT_MESSAGE", "\ude00b")[1])  # type: ignore[misc, union-attr]
    assert text.text == "\U0001f600b"  # type: ignore[union-attr]
    assert events


def test_a_pair_in_the_arguments_of_a_request() -> None:
    """They are those of the state."""
    state = run_of(started(), told("TOOL_CALL", '{"a":"\ud83d', '\ude00"}'), finished())
    assert [call.arguments for call in state.run.pending_tool_calls] == ['{"a":"\U0001f600"}']
