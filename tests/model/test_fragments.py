"""Fragments: the two forms of a piece of text stand for one another, for each text that grows."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.model.deltas import (
    FunctionCallDelta,
    FunctionToolCallDelta,
    MessageDelta,
    MessageDeltaBody,
    ReasoningDetailsDelta,
    ReasoningPartDelta,
    RefusalPartDelta,
    RunStepDelta,
    RunStepDeltaBody,
    ToolCallsDelta,
)
from runstream.model.events import MessageDeltaEvent, StepDeltaEvent, TextAppend, content_of, narrow
from runstream.model.fragments import MESSAGE_TARGETS, Target, make_delta, read_fragment

TARGETS = get_args(Target)
texts = st.text(min_size=1, max_size=9)


@given(st.sampled_from(TARGETS), st.integers(0, 9), texts)
def test_a_delta_is_read_as_its_fragment(target: Any, index: int, text: str) -> None:
    """The delta of a fragment has nothing else."""
    assert read_fragment(make_delta("id_1", target, index, text)) == (target, index, text)


@given(st.sampled_from(TARGETS), st.integers(0, 9), texts, st.none() | st.text(max_size=3) | st.integers())
def test_an_event_is_widened_and_narrowed(target: Any, index: int, text: str, id: Any) -> None:
    """An append becomes the full event of its message or step and comes back, with all that an event names."""
    event = TextAppend("id_1", target, index, text, id, "run_1", "some.delta")
    full = event.widen()
    assert type(full) is (MessageDeltaEvent if target in MESSAGE_TARGETS else StepDeltaEvent)
    assert (full.run_id, full.event, full.id) == ("run_1", "some.delta", id)
    assert narrow(full) == event
    assert content_of(full) == content_of(event)


@given(st.sampled_from(TARGETS), st.integers(0, 9), texts)
def test_a_delta_survives_json(target: Any, index: int, text: str) -> None:
    """A delta that was written and read again has the same fragment."""
    delta = make_delta("id_1", target, index, text)
    again = type(delta).from_json(delta.to_json())
    assert again == delta
    assert read_fragment(again) == (target, index, text)


def _step(details: Any) -> RunStepDelta:
    return RunStepDelta(id="id_1", delta=RunStepDeltaBody(step_details=details))


@pytest.mark.parametrize(
    "delta",
    [
        _step(None),
        _step(ReasoningDetailsDelta()),
        _step(ReasoningDetailsDelta(content=(ReasoningPartDelta(index=0, text=""),))),
        _step(
            ReasoningDetailsDelta(
                content=(ReasoningPartDelta(index=0, text="a"),), summary=(ReasoningPartDelta(index=0, text="b"),)
            )
        ),
        _step(ReasoningDetailsDelta.from_json({"type": "reasoning", "content": [{"index": 0, "text": "a", "x": 1}]})),
        _step(
            ToolCallsDelta(
                tool_calls=(FunctionToolCallDelta(index=0, function=FunctionCallDelta(arguments="{", output="x")),)
            )
        ),
        _step(ToolCallsDelta(tool_calls=(FunctionToolCallDelta(index=0, id="call_1"),))),
        MessageDelta(id="id_1", delta=MessageDeltaBody(content=(RefusalPartDelta(index=0, refusal="no"),) * 2)),
        MessageDelta(
            id="id_1", delta=MessageDeltaBody(role="assistant", content=(RefusalPartDelta(index=0, refusal="no"),))
        ),
    ],
)
def test_other_deltas_are_no_fragments(delta: Any) -> None:
    """A delta that does nothing, or more than append to one text, is none."""
    assert read_fragment(delta) is None
