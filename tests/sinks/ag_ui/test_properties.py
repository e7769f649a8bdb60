"""Any run as an AG-UI stream: it breaks no rule wherever it ends, and a reader knows the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.core.state import RunState
from runstream.model.raw import RawEvent
from runstream.sinks.ag_ui.encoder import AgUiEncoder
from runstream.testing import Conversation, conversations, value_events
from tests.properties.strategies import raws, tales
from tests.sinks.ag_ui.encoding import encode, knowledge, read_back
from tests.sinks.ag_ui.test_recordings import STATUSES
from tests.support.canonical import play, run


def texts_of(state: RunState) -> dict[str, str]:
    """The texts of the agent's messages, by message; a refusal is a message of its own to a reader."""
    return {
        message.id: message.text
        for message in state.messages
        if message.text and message.role == "assistant" and not message.id.endswith("/refusal")
    }


@settings(deadline=None)
@given(conversations(), st.integers(0, 99))
def test_a_reader_knows_the_same(conversation: Conversation, seed: int) -> None:
    """Texts, calls, outputs and statuses of runs that are mixed in one stream."""
    for encoded in encode(conversation.raw_events(interleaved=True, seed=seed)):
        state = read_back(encoded.events)
        expected, found = knowledge(encoded.state), knowledge(state)
        outputs, read = expected.pop("outputs"), found.pop("outputs")
        # Messages that are open at the same time may stand in another order.
        assert len(found.pop("text")) == len(expected.pop("text"))
        assert texts_of(state) == texts_of(encoded.state)
        calls = {**encoded.calls, **expected.pop("calls")}
        read_calls = found.pop("calls")
        # No signal reports a call that has begun and has no arguments.
        assert read_calls == {id: call for id, call in calls.items() if id in read_calls or call[1]}
        assert found == expected
        assert outputs.items() <= read.items()
        assert state.status.value == STATUSES[encoded.state.status.value]


@settings(deadline=None)
@given(tales(), st.data())
def test_any_prefix_breaks_no_rule(lines: Sequence[Any], data: st.DataObject) -> None:
    """Rough streams: the stream is valid from any beginning to any end, whether its run has ended or not."""
    items: list[RawEvent] = raws(lines)
    end = data.draw(st.integers(0, len(items)))
    join = data.draw(st.none() | st.integers(0, end))
    version = data.draw(st.sampled_from(["1.0", None]))
    cut = items[:end]

    def make() -> AgUiEncoder:
        return AgUiEncoder("thread-1", "run-1", version=version)

    for encoded in encode(cut, make=make, join_after=join):
        read_back(encoded.events)


@settings(deadline=None)
@given(value_events())
def test_a_reader_knows_the_same_values(events: list[Any]) -> None:
    """The document of the run, and the activities that are objects."""
    engine, signals = play([run("queued"), run("in_progress"), *events])
    state = engine.states()[0]
    encoder = AgUiEncoder("thread-1", "run-1")
    sent = [event for signal in signals for event in encoder.encode(signal, state)]
    sent += encoder.finish()
    expected, found = knowledge(state), knowledge(read_back(sent))
    assert found["document"] == expected["document"]
    assert found["activities"] == {
        id: value if isinstance(value, dict) else {"value": value} for id, value in expected["activities"].items()
    }
