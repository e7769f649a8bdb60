"""Marking objects that may miss text: the open ones, and nothing else of the state; and their repair."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.core.derive import derive
from runstream.core.partial import mark_partial
from runstream.core.reduce import reduce
from runstream.core.state import RunState
from runstream.dialects.assistants import AssistantsDialect
from runstream.model.events import Event, Reject
from runstream.model.raw import RawEvent
from runstream.testing import Script, scripts
from tests.core.support import RUN, asking, at, decoded, ev, state_of
from tests.support.wire import (
    function_call_delta,
    message_creation,
    message_delta,
    message_object,
    step_delta,
    step_object,
    text_part,
    tool_calls,
)

CREATED = ev("message.created", message_object("msg_1", RUN))
OPEN = [at("queued"), at("in_progress", 110), CREATED, ev("message.delta", message_delta("msg_1", "Hel"))]
ENDED = ev("message.completed", message_object("msg_1", RUN, status="completed", content=[text_part("Hello")]))


def events_of(script: Script) -> list[Event]:
    dialect = AssistantsDialect()
    found = [event for raw in script.raw_events() for event in (dialect.decode(raw),)]
    return [event for event in found if not isinstance(event, Reject)]


def test_what_is_open_is_marked_and_its_text_stays() -> None:
    """The message grows on, marked, until a full object heals it; what had ended is not marked."""
    before = state_of([*OPEN, ev("run.step.created", step_object("step_1", RUN, message_creation("msg_1")))])
    state = mark_partial(before)
    assert (before.partial, state.partial) == (frozenset(), {"msg_1", "step_1"})
    assert (state.text, state.changed_by) == ("Hel", before.changed_by)
    assert derive(before, state, 1.0) == []
    state = state_of([ev("message.delta", message_delta("msg_1", "lo"))], state)
    assert (state.text, "msg_1" in state.partial) == ("Hello", True)
    state = state_of([ENDED], state)
    assert state.partial == {"step_1"}
    assert mark_partial(state) is state


@pytest.mark.parametrize(
    "raws", [[*OPEN, at("completed", 110)], [*OPEN, ENDED, asking("call_1")]], ids=["ended", "waits"]
)
def test_nothing_is_missed_of_a_run_that_has_ended_or_waits(raws: list[RawEvent]) -> None:
    """The same object."""
    state = state_of(raws)
    assert mark_partial(state) is state


def test_a_message_that_is_open_while_the_run_waits() -> None:
    """It may be that the run went on unheard: the message is marked. The calls that it asked for are whole."""
    step = step_object("step_1", RUN, tool_calls())
    state = mark_partial(state_of([*OPEN, ev("run.step.created", step), asking("call_1")]))
    assert state.partial == {"msg_1"}


def test_calls_that_are_told_again_while_the_run_waits() -> None:
    """They are whole no more, until their arguments have come as far as they were."""
    created = ev("run.step.created", step_object("step_1", RUN, tool_calls()))
    first = ev("run.step.delta", step_delta("step_1", function_call_delta(0, '{"a"', id="call_1", name="f")))
    rest = ev("run.step.delta", step_delta("step_1", function_call_delta(0, ":1}")))
    state = state_of([*OPEN[:2], created, first, rest, asking("call_1")])
    assert mark_partial(state) is state
    again = reduce(state, decoded(created), restart=True)
    assert again is not None
    again = state_of([first], again)
    assert mark_partial(again).partial == {"step_1"}
    again = state_of([rest], again)
    assert mark_partial(again) is again


def test_being_told_again_from_the_start_heals() -> None:
    """A `created` that starts the text anew says that all of it will come; also where none had come yet."""
    for raws in (OPEN, OPEN[:3]):
        state = mark_partial(state_of(raws))
        again = reduce(state, decoded(CREATED), restart=True)
        assert again is not None
        assert (again.partial, again.text) == (frozenset(), "")
        assert reduce(state, decoded(CREATED)) is state


@pytest.mark.slow
@given(scripts(), st.data())
def test_marking_changes_nothing_else_and_signals_nothing(script: Script, data: st.DataObject) -> None:
    """Anywhere in any run: equal states, the same signals from there on, and what has ended at the end is healed."""
    events = events_of(script)
    cut = data.draw(st.integers(0, len(events)))
    plain: RunState | None = None
    marked: RunState | None = None
    for number, event in enumerate(events):
        if number == cut and marked is not None:
            before, marked = marked, mark_partial(marked)
            assert marked == before
            assert mark_partial(marked) is marked
            assert derive(before, marked, 1.0) == []
            assert before.is_terminal or before.run.requires_action or marked.partial >= _open(before)
        old, plain = plain, reduce(plain, event, at=1.0)
        shown, marked = marked, reduce(marked, event, at=1.0)
        assert marked == plain
        if plain is not None and marked is not None:
            assert derive(shown, marked, 1.0) == derive(old, plain, 1.0)
    if marked is not None and plain is not None:
        assert marked.partial - plain.partial <= _open(marked)


def _open(state: RunState) -> set[str]:
    return {item.id for item in (*state.messages, *state.steps) if not item.is_terminal}


def test_a_step_without_the_requested_arguments_is_not_whole() -> None:
    """The request came another way, as from a poll: fragments of the call may be missing."""
    created = ev("run.step.created", step_object("step_1", RUN, tool_calls()))
    first = ev("run.step.delta", step_delta("step_1", function_call_delta(0, '{"a"', id="call_1", name="f")))
    rest = ev("run.step.delta", step_delta("step_1", function_call_delta(0, ":1}")))
    asks = asking("call_1", arguments='{"a": 1}')
    cut = state_of([*OPEN[:2], created, first, asks])
    assert mark_partial(cut).partial == {"step_1"}
    whole = state_of([*OPEN[:2], created, first, rest, asks])
    assert mark_partial(whole) is whole
