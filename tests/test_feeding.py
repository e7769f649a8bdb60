"""The hot path does what the long way does: the same signals, states, changes and counts, whatever is fed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.core.signals import ArgumentsDelta, TextDelta
from runstream.dialects.assistants import AssistantsDialect
from runstream.engine import Engine
from runstream.raw import RawEvent
from runstream.testing import Conversation, conversations, script

some = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class LongWay(AssistantsDialect):
    """The dialect without its shortest way."""

    __slots__ = ()
    fragments = {}  # noqa: RUF012 - as the class that it takes the place of


class Seen:
    """What an engine tells, all of it."""

    def __init__(self, dialect: AssistantsDialect, *, changes: bool = True, progress: bool = True) -> None:
        self.engine = Engine(clock=lambda: 1.0, progress=progress)
        self.told: list[Any] = []
        self.engine.on_signal = self.told.append
        self.engine.on_reject = self.told.append
        if changes:
            self.engine.on_state = lambda state: self.told.append(state.to_dict())
            self.engine.on_change = self._changed
        self.intake = self.engine.intake("test", dialect=dialect)

    def _changed(self, before: Any, after: Any, at: float) -> None:
        self.told.append((before and before.text, after.text, after.changed_by, at))

    def feed(self, raws: Sequence[RawEvent]) -> Seen:
        self.intake.feed_all(raws)
        return self

    def summary(self) -> tuple[Any, ...]:
        states = [(state.to_dict(), state.timings, state.partial) for state in self.engine.states()]
        return self.told, states, self.engine.stats(), self.intake.last_id


@given(conversations(), st.booleans(), st.booleans(), st.booleans(), st.data())
@some
def test_the_short_way_is_the_long_way(
    conversation: Conversation, enveloped: bool, changes: bool, progress: bool, data: st.DataObject
) -> None:
    """For whole conversations, and for what is left of them when events come twice, in disorder or not at all."""
    raws = conversation.raw_events(interleaved=True, enveloped=enveloped)
    if data.draw(st.booleans(), label="disorder"):
        indexes = st.lists(st.integers(0, len(raws) - 1), max_size=60)
        raws = [*raws[: data.draw(st.integers(0, len(raws)))], *(raws[index] for index in data.draw(indexes))]
    short = Seen(AssistantsDialect(), changes=changes, progress=progress).feed(raws)
    long = Seen(LongWay(), changes=changes, progress=progress).feed(raws)
    assert short.summary() == long.summary()


@given(conversations(max_runs=1), st.booleans())
@some
def test_one_by_one_is_all_at_once(conversation: Conversation, enveloped: bool) -> None:
    raws = conversation.raw_events(enveloped=enveloped)
    one = Seen(AssistantsDialect())
    for raw in raws:
        one.intake.feed(raw)
    assert one.summary() == Seen(AssistantsDialect()).feed(raws).summary()


def growing() -> tuple[Seen, list[RawEvent]]:
    """An engine in the middle of a text, and the fragments still to come."""
    raws = script("run_1").start().say("abcd", pieces=list("abcd")).end().raw_events(enveloped=True)
    first = next(index for index, raw in enumerate(raws) if b'"thread.message.delta"' in raw.data)
    return Seen(AssistantsDialect(), changes=False).feed(raws[: first + 1]), raws[first + 1 : first + 4]


def test_a_state_taken_in_between_stays_what_it_is() -> None:
    """The state of a growing text is built when it is asked for, once, and never changes."""
    seen, (b, c, d) = growing()
    at_a = seen.engine.states()[0]
    seen.feed([b])
    at_b = seen.engine.states()[0]
    assert at_b is seen.engine.states()[0]
    seen.feed([c, d])
    assert [at_a.text, at_b.text, seen.engine.states()[0].text] == ["a", "ab", "abcd"]
    assert [at_a.text, at_b.text] == ["a", "ab"]


def test_who_listens_to_events_gets_fragments_whole() -> None:
    seen, raws = growing()
    events: list[Any] = []
    seen.engine.on_event = events.append
    seen.feed(raws)
    assert [event.data.delta.content[0].text.value for event in events] == ["b", "c", "d"]
    assert seen.engine.states()[0].text == "abcd"


def test_progress_can_be_turned_off_and_on() -> None:
    seen, (b, c, d) = growing()
    seen.told.clear()
    seen.engine.progress = False
    seen.feed([b])
    seen.engine.progress = True
    seen.feed([c])
    seen.engine.on_signal = None
    seen.feed([d])
    assert [(signal.offset, signal.delta) for signal in seen.told] == [(2, "c")]
    assert seen.engine.states()[0].text == "abcd"
    assert seen.engine.stats().signals == 7  # run created, queued, in_progress; step, message created; "a", "c"


@pytest.mark.parametrize("kind", [TextDelta, ArgumentsDelta])
def test_progress_signals_are_equal_on_both_ways(kind: type) -> None:
    raws = script("run_1").start().call(weather={"city": "Bonn"}).raw_events(enveloped=True)
    raws += script("run_2").start().say("Hello there", pieces=["Hello ", "there"]).raw_events(enveloped=True)
    short, long = Seen(AssistantsDialect()).feed(raws), Seen(LongWay()).feed(raws)
    told = [signal for signal in short.told if type(signal) is kind]
    assert told
    assert told == [signal for signal in long.told if type(signal) is kind]


def test_an_exception_of_a_callback_comes_through_and_the_text_is_kept() -> None:
    seen, (b, c, _) = growing()

    def fail(signal: Any) -> None:
        raise LookupError("mine")

    seen.engine.on_signal = fail
    with pytest.raises(LookupError, match="mine"):
        seen.feed([b])
    seen.engine.on_signal = None
    seen.feed([c])
    assert seen.engine.states()[0].text == "abc"


@given(conversations(), st.booleans(), st.data())
@some
def test_the_short_cuts_of_snapshots_change_nothing(
    conversation: Conversation, enveloped: bool, data: st.DataObject
) -> None:
    """First fragments, finished texts and repeated snapshots have ways of their own, with the same result."""
    raws = conversation.raw_events(interleaved=data.draw(st.booleans(), label="interleaved"), enveloped=enveloped)
    indexes = data.draw(st.lists(st.integers(0, len(raws) - 1), max_size=20), label="again")
    raws += [raws[index] for index in indexes]
    short = Seen(AssistantsDialect()).feed(raws).summary()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runstream.core.growth._begun", lambda *args: None)
        patch.setattr("runstream.core.derive._as_shown", lambda *args: False)
        patch.setattr("runstream.core.fulls._says_all", lambda new: False)
        patch.setattr("runstream.dialects.assistants._SNAPSHOT_HEADS", {})
        long = Seen(AssistantsDialect()).feed(raws).summary()
    assert short == long


def test_a_repeated_snapshot_is_read_once_under_each_name() -> None:
    created, queued, *_ = script("run_1").start().raw_events(enveloped=True)
    assert created.data.partition(b',"data":')[2] == queued.data.partition(b',"data":')[2]
    dialect = AssistantsDialect()
    (first,), (second,) = dialect.feed(created), dialect.feed(queued)
    assert (first.event, second.event) == ("thread.run.created", "thread.run.queued")  # type: ignore[union-attr]
    assert second.data is first.data  # type: ignore[union-attr]
    assert second.origin.payload == queued.data  # type: ignore[union-attr]


def test_the_same_bytes_of_another_kind_are_read_again() -> None:
    """A message's snapshot under a step's name is no message."""
    body = b',"data":{"id":"x_1","run_id":"run_1","status":"in_progress","type":"message_creation"}}'
    dialect = AssistantsDialect()
    (message,) = dialect.feed(RawEvent(data=b'{"event":"thread.message.created"' + body))
    (step,) = dialect.feed(RawEvent(data=b'{"event":"thread.run.step.created"' + body))
    assert [type(event.data).__name__ for event in (message, step)] == ["Message", "RunStep"]  # type: ignore[union-attr]


def test_a_repeated_snapshot_in_blocks_is_read_once_too() -> None:
    created, queued, *_ = script("run_1").start().raw_events()
    assert created.data == queued.data
    dialect = AssistantsDialect()
    (first,), (second,) = dialect.feed(created), dialect.feed(queued)
    assert (first.event, second.event) == ("thread.run.created", "thread.run.queued")  # type: ignore[union-attr]
    assert second.data is first.data  # type: ignore[union-attr]


def test_a_large_snapshot_is_not_kept() -> None:
    """Each of thousands of sources would keep one."""
    created, queued, *_ = script("run_1", instructions="x" * 20_000).start().raw_events(enveloped=True)
    dialect = AssistantsDialect()
    (first,), (second,) = dialect.feed(created), dialect.feed(queued)
    assert second.data == first.data  # type: ignore[union-attr]
    assert second.data is not first.data  # type: ignore[union-attr]
