"""A state that was written and read is equal to it, and goes on as it would have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from runstream.core.derive import awaited_calls
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.errors import StoreError
from runstream.model.raw import RawEvent
from runstream.model.signals import Signal
from runstream.store.codec import StateEncoder, decode_state, encode_state
from runstream.testing import Conversation, conversations, events_of
from tests.core.support import RUN, asking, at, ev, keys, signals_of, state_of
from tests.properties.strategies import Line, lines, raws
from tests.support.wire import function_call, message_delta, message_object, step_object, tool_calls

pytestmark = pytest.mark.slow

some = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


# So small that it forgets, and for all examples, so that ids of objects are used again.
remembering = StateEncoder(size=3)


def again(state: RunState) -> RunState:
    """Written and read."""
    return decode_state(encode_state(state))


def inside(state: RunState) -> tuple[Any, ...]:
    """What equality leaves out."""
    core = state._head
    return (
        structs.astuple(core.calls),
        structs.astuple(core.pieces),
        [(item.calls, item.replaced) for item in state._objects],
        core.statuses,
        core.first_seen,
        core.status_since,
        state.timings,
        state.partial,
        state.changed_by,
    )


def states_after(stream: Sequence[RawEvent]) -> tuple[RunState, ...]:
    """The states in the middle of a stream, at increasing times."""
    engine = Engine(clock=iter(range(10**9)).__next__)
    engine.intake("server").feed_all(stream)
    return engine.states()


def continued(states: Sequence[RunState], stream: Sequence[RawEvent], connections: int) -> tuple[list[Signal], Any]:
    """The signals and states if these states go on with this stream."""
    engine, signals = Engine(clock=lambda: 5000.0), list[Signal]()
    engine.on_signal = signals.append
    for state in states:
        engine.restore(state)
    intake = engine.intake("server")
    for _ in range(connections):
        intake.connected()
    intake.feed_all(stream)
    intake.end()
    return signals, [(state.to_dict(), inside(state)) for state in engine.states()]


def check(stream: Sequence[RawEvent], cut: int, following: Sequence[RawEvent]) -> None:
    """Cut here, written, read, and gone on with that: no difference."""
    states = states_after(stream[:cut])
    read = [again(state) for state in states]
    assert read == list(states)
    assert [inside(state) for state in read] == [inside(state) for state in states]
    assert [state.to_dict() for state in read] == [state.to_dict() for state in states]
    assert [encode_state(again(state)) for state in read] == [encode_state(state) for state in read]
    for state in states * 2:
        assert remembering(state) == encode_state(state)
    for connections in (1, 2):
        assert continued(read, following, connections) == continued(states, following, connections)


@given(conversations(), conversations(), st.data())
@some
def test_a_state_goes_on_as_it_was(conversation: Conversation, other: Conversation, data: st.DataObject) -> None:
    """Whatever comes next: what is left, everything from the start again, or something else of the same runs."""
    stream = conversation.raw_events(interleaved=True)
    cut = data.draw(st.integers(0, len(stream)))
    following = data.draw(st.sampled_from([stream[cut:], stream, other.raw_events(interleaved=True)]))
    check(stream, cut, following)


@given(lines(), st.data())
@some
def test_odd_states_too(told: list[Line], data: st.DataObject) -> None:
    """The same for streams with gaps, losses and unknown statuses."""
    stream = raws(told)
    cut = data.draw(st.integers(0, len(stream)))
    check(stream, cut, stream[data.draw(st.integers(0, cut)) :])


def test_a_restarted_text_remembers_what_was_shown() -> None:
    """Cut in the middle of a replay: what was shown before is neither shown again nor forgotten."""
    begun = [at("in_progress", 5), ev("message.created", message_object("msg_1", RUN))]
    pieces = [ev("message.delta", message_delta("msg_1", piece)) for piece in ("Hello ", "there ", "you")]
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("server")
    intake.connected()
    intake.feed_all([*begun, *pieces])
    intake.connected()
    intake.feed_all([begun[1], pieces[0]])
    (state,) = engine.states()
    read = again(state)
    assert read.text == "Hello "
    signals, _ = continued([read], pieces[1:], 1)
    assert not [signal for signal in signals if signal.type.startswith("message.text")]
    wrong = [ev("message.delta", message_delta("msg_1", "World, how are you"))]
    (replaced,) = [signal for signal in continued([read], wrong, 1)[0] if signal.type.startswith("message.text")]
    assert replaced.type == "message.text_replaced"
    assert continued([read], wrong, 1) == continued([state], wrong, 1)


def test_calls_that_were_asked_for_stay_asked_for() -> None:
    """The rounds, from which keys are made and stale snapshots are told."""
    state = state_of([at("in_progress", 5), asking("call_1"), at("queued", 5), asking("call_2")])
    assert again(state).round == 2
    assert structs.astuple(again(state)._head.calls) == structs.astuple(state._head.calls)


def test_what_the_model_keeps_is_kept() -> None:
    """Unknown fields, statuses and odd values, numbers beyond 64 bits."""
    state = state_of(
        [at("in_progress", 5, x_unknown={"deep": [1, {"a": None}]}, temperature="warm", max_prompt_tokens=2**70)]
    )
    assert again(state).to_dict() == state.to_dict()
    assert again(state).run.extra() == state.run.extra()
    assert again(state_of([at("dreaming")])).status.value == "dreaming"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"version": "1"}', b'{"version": 1}', b'{"version": 1, "run": 5}']
)
def test_bytes_that_are_no_state(data: bytes) -> None:
    """Damage is a StoreError, whatever it is."""
    with pytest.raises(StoreError, match="no run state"):
        decode_state(data)


def test_every_shortened_or_altered_state_is_an_error_or_a_state() -> None:
    """Whatever happens to the bytes: no other exception."""
    whole = encode_state(states_after(events_of("Hello.", calls={"look": {"at": 1}}))[0])
    for length in range(0, len(whole), 7):
        with pytest.raises(StoreError):
            decode_state(whole[:length])
    for place in range(0, len(whole), 3):
        try:
            decode_state(whole[:place] + b"9" + whole[place + 1 :])
        except StoreError:
            continue


def test_a_newer_version_says_what_to_do() -> None:
    """Going back a release does not misread what the newer one wrote."""
    found = msgspec.json.decode(encode_state(state_of([at("queued")])))
    with pytest.raises(StoreError, match=r"version 4.*update runstream"):
        decode_state(msgspec.json.encode({**found, "version": 4}))


def of_version_1(state: RunState, asked: list[list[str]], calls_done: list[str]) -> bytes:
    """A state as the first version stored it: ids of requests and complete calls, and no names."""
    found = msgspec.json.decode(encode_state(state))
    found.pop("calls", None)
    objects = [item[:5] for item in found["objects"]]
    return msgspec.json.encode({**found, "version": 1, "objects": objects, "asked": asked, "calls_done": calls_done})


def test_a_state_of_version_1_that_waits() -> None:
    """Its calls get the names that they would have had, and the next numbers follow; an old request stays old."""
    details = tool_calls(function_call("b", "look_up", "{}"))
    step = ev("run.step.created", step_object("step_1", RUN, details))
    story = [at("in_progress", 5), asking("a", started_at=5), at("queued", 5), at("in_progress", 15), step]
    state = state_of([*story, asking("b", started_at=15)])
    old = decode_state(of_version_1(state, [["a"], ["b"]], ["a", "b"]))
    assert (old.round, old.to_dict()) == (2, state.to_dict())
    assert [awaited.key for awaited in awaited_calls(old)] == ["run_1/call/b"]
    for following in ([asking("b", started_at=15)], [asking("a", started_at=5)], [at("completed", 15)]):
        assert keys(signals_of(following, old)) == keys(signals_of(following, state))
    for following in (asking("b", started_at=25), asking("a", "b", started_at=25)):
        assert keys(signals_of([following], old)) == keys(signals_of([following], state))
    done = ev("run.step.completed", step_object("step_1", RUN, details, status="completed"))
    assert keys(signals_of([done], old)) == ["run_1/step/step_1/completed"]
    assert decode_state(encode_state(old)) == old


def test_a_state_of_version_1_that_went_on() -> None:
    """A request for other ids is new; one for the ids that were requested is old, as that version had it."""
    state = state_of([at("in_progress", 5), asking("a/b", started_at=5), at("queued", 5)])
    old = decode_state(of_version_1(state, [["a/b"]], ["a/b"]))
    assert signals_of([asking("a/b", started_at=5, arguments="[]")], old) == []
    found = keys(signals_of([asking("c", started_at=5)], old))
    assert found == ["run_1/call/c/completed", "run_1/action_required/c"]
