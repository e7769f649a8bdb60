"""The hot path does what the long way does: the same signals, states, changes and counts, whatever is fed."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.core.run_record import RunRecord
from runstream.dialects.assistants import AssistantsDialect
from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.model.events import Event, Reject, RunEvent, TextAppend
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.model.signals import ArgumentsDelta, TextDelta
from runstream.testing import Conversation, Script, conversations, script

some = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class LongWay(AssistantsDialect):
    """The dialect without its fast decoders, each of whose fragments is a full event."""

    __slots__ = ()

    def decode(self, raw: RawEvent) -> Event | Reject:
        event = self._decode_any(raw)
        return event.widen() if isinstance(event, TextAppend) else event


class Seen:
    """All that an engine emits."""

    def __init__(
        self, dialect: AssistantsDialect, *, changes: bool = True, progress: bool = True, events: bool = False
    ) -> None:
        self.engine = Engine(clock=lambda: 1.0, progress=progress)
        self.found: list[Any] = []
        self.engine.on_signal = self.found.append
        self.engine.on_reject = self.found.append
        if events:
            self.engine.on_event = self._decoded
        if changes:
            self.engine.on_state = lambda state: self.found.append(state.to_dict())
            self.engine.on_change = self._changed
        self.intake = self.engine.intake("test", dialect=dialect)

    def _decoded(self, event: Event) -> None:
        self.found.append(event.widen() if isinstance(event, TextAppend) else event)

    def _changed(self, before: Any, after: Any, at: float) -> None:
        self.found.append((before and before.text, after.text, after.changed_by, at))

    def feed(self, raws: Sequence[RawEvent]) -> Seen:
        self.intake.feed_all(raws)
        return self

    def summary(self) -> tuple[Any, ...]:
        states = [(state.to_dict(), state.timings, state.partial) for state in self.engine.states()]
        return self.found, states, self.engine.stats(), self.intake.last_id


@pytest.mark.slow
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


def delta(of: int, value: str, style: int = 0) -> RawEvent:
    """One more fragment of a message, as servers write it: in an envelope or beside its name, with and without spaces
    and annotations, its id first or last; or with something else that belongs to it.
    """
    part: Any = {"index": 0, "type": "text", "text": {"value": value}}
    body: Any = {"id": f"msg_run_{of}_1", "object": "thread.message.delta", "delta": {"content": [part]}}
    if style == 1:
        part["text"]["annotations"] = []
    elif style == 2:
        body = {"delta": body["delta"], "id": body["id"]}
    elif style == 3:
        part["index"] = 1
    elif style == 4:
        part["text"]["annotations"] = [{"index": 0, "type": "file_path", "text": "x", "file_path": {"file_id": "f"}}]
    elif style == 5:
        body["delta"]["role"] = "assistant"
    elif style == 6:
        return RawEvent("thread.message.delta", json.dumps(body).encode(), at=3.0)
    elif style == 7:
        return RawEvent(data=json.dumps({"event": "thread.message.delta", "data": body}).encode(), last_id="e1")
    elif style == 8:
        envelope = {"event": "thread.message.delta", "id": f"evt_{value}", "data": body}
        return RawEvent(data=msgspec.json.encode(envelope), at=3.0)
    elif style == 9:
        return RawEvent("thread.message.delta", msgspec.json.encode(body), f"evt_{value}", f"evt_{value}")
    return RawEvent(data=msgspec.json.encode({"event": "thread.message.delta", "data": body}), at=3.0)


values = st.sampled_from(["a", "bc", "value", '"', "\\", "\u2028é", "", "x" * 300])
bursts = st.tuples(st.integers(0, 1), st.integers(0, 12), st.lists(values, min_size=1, max_size=9))


@given(st.lists(bursts, min_size=1, max_size=8), st.booleans(), st.booleans(), st.booleans(), st.data())
@some
def test_fragments_in_a_row_are_taken_as_each_alone(
    rows: list[tuple[int, int, list[str]]], events: bool, changes: bool, progress: bool, data: st.DataObject
) -> None:
    """Where many fragments of one text come after each other, each is told from the last by its text alone: whatever
    the next is, and whatever has happened to the run in between.
    """
    runs = [script(f"run_{of}").start().say("Hello there", pieces=["Hello ", "there"]).end() for of in range(2)]
    told = [run.raw_events(enveloped=True) for run in runs]
    first = [next(at for at, raw in enumerate(raws) if b"message.delta" in raw.data) + 1 for raws in told]
    raws = [raw for of in range(2) for raw in told[of][: first[of]]]
    for of, style, burst in rows:
        raws += [delta(of, value, style) for value in burst]
        if data.draw(st.integers(0, 3)) == 0:  # something else of one of the runs, which may end it
            raws.append(data.draw(st.sampled_from(told[data.draw(st.integers(0, 1))])))
    short = Seen(AssistantsDialect(), changes=changes, progress=progress, events=events).feed(raws)
    long = Seen(LongWay(), changes=changes, progress=progress, events=events).feed(raws)
    assert short.summary() == long.summary()


def in_a_row(count: int = 8) -> Seen:
    """An engine that has had so many fragments of one text in a row, and nothing else of late."""
    seen, _ = growing()
    return seen.feed([row_delta("b") for _ in range(count)])


def row_delta(value: str) -> RawEvent:
    body = {"id": "msg_run_1_1", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": value}}]}}
    return RawEvent(data=msgspec.json.encode({"event": "thread.message.delta", "data": body}), at=1.0)


@pytest.mark.parametrize("inner", ["thread.message.delta", "thread.message.completed", "thread.run.completed"])
def test_what_is_fed_from_within_comes_before_the_fragment_that_is_told(inner: str) -> None:
    """A listener to events feeds one itself: both are taken, in the order in which they reach the run."""
    raws = script("run_1").start().say("abcd", pieces=list("abcd")).end().raw_events(enveloped=True)
    within = next(raw for raw in raws if inner.encode() in raw.data)
    told = []
    for dialect in (AssistantsDialect(), LongWay()):
        seen = Seen(dialect)
        seen.feed(raws[: raws.index(within) if "delta" not in inner else -3])
        seen.feed([row_delta("b") for _ in range(8)])
        fed: list[Any] = []

        def listen(event: Any, seen: Seen = seen, fed: list[Any] = fed) -> None:
            fed.append(event.widen() if isinstance(event, TextAppend) else event)
            if len(fed) == 1:
                seen.intake.feed(within)

        seen.engine.on_event = listen
        seen.feed([row_delta("outer"), row_delta("!")])
        told.append((seen.summary(), fed))
    assert told[0] == told[1]


CLAIM = RawEvent("thread.message.created", b'{"id":"msg_run_1_1","run_id":"run_2","status":"in_progress","content":[]}')


def test_a_message_claimed_by_another_run_from_within_is_that_runs() -> None:
    told = []
    for dialect in (AssistantsDialect(), LongWay()):
        seen = Seen(dialect).feed(script("run_2").start().raw_events(enveloped=True))
        seen.feed(script("run_1").start().say("a", pieces=["a"]).raw_events(enveloped=True)[:-2])
        seen.feed([row_delta("b") for _ in range(8)])

        def listen(event: Any, seen: Seen = seen) -> None:
            seen.engine.on_event = None
            seen.intake.feed(CLAIM)

        seen.engine.on_event = listen
        told.append(seen.feed([row_delta("c")]).summary())
    assert told[0] == told[1]
    assert [state[0]["messages"][0]["content"][0]["text"]["value"] for state in told[0][1]] == ["c", "abbbbbbbb"]


WHOLE = row_delta("evil").data
BEGUN, ENDED = WHOLE.find(b'"evil"'), WHOLE.find(b'"evil"') + 6


@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize(
    "data",
    [WHOLE[BEGUN:ENDED], b" " + WHOLE[BEGUN:ENDED], WHOLE[BEGUN:], WHOLE[:ENDED], WHOLE[:-1], WHOLE[1:], WHOLE + b"}"],
)
def test_a_part_of_a_message_is_none_in_a_row_either(data: bytes, events: bool) -> None:
    """The text without what stands around it, or without what stands before or after it."""
    seen = in_a_row()
    seen.engine.on_event = seen.found.append if events else None
    seen.feed([row_delta("c"), RawEvent(data=data), row_delta("d")])
    assert seen.engine.states()[0].text == "a" + "b" * 8 + "cd"
    assert seen.engine.stats().rejected == 1


@pytest.mark.parametrize("events", [False, True])
def test_a_text_fragment_of_a_step_does_not_touch_its_arguments(events: bool) -> None:
    """Whatever its index: calls have one of their own, which no text can be given for."""
    told = []
    for dialect in (AssistantsDialect(), LongWay()):
        seen = Seen(dialect, events=events)
        raws = script("run_1").start().call(weather={"city": "Bonn"}).raw_events(enveloped=True)
        deltas = [at for at, raw in enumerate(raws) if b"step.delta" in raw.data]
        body = json.loads(raws[deltas[0]].data)["data"]
        part = {"index": -1, "type": "text", "text": {"value": "evil"}}
        evil = {"event": "thread.message.delta", "data": {"id": body["id"], "delta": {"content": [part]}}}
        seen.feed(raws[: deltas[-1]])
        seen.feed([RawEvent(data=json.dumps(evil).encode())] * 20)
        seen.feed(raws[deltas[-1] :])
        assert not [signal for signal in seen.found if type(signal) is TextDelta]
        assert seen.engine.stats().rejected == 20
        told.append(seen.summary())
    assert told[0] == told[1]


def test_a_change_is_told_as_it_was_though_more_is_fed_from_within() -> None:
    """Who takes states feeds more of the text: each change has the state that it made."""
    seen, (b, c, _) = growing()
    changes: list[Any] = []

    def shown(state: Any) -> None:
        if state.text == "ab":
            seen.intake.feed(c)

    seen.engine.on_state = shown
    seen.engine.on_change = lambda before, after, at: changes.append((before and before.text, after.text))
    seen.feed([b])
    assert changes == [("ab", "abc"), ("a", "ab")]


def test_callbacks_set_and_taken_away_by_another_hold_at_once() -> None:
    """But for a change that was made before anybody asked for what stood there before it."""
    seen, (b, c, d) = growing()
    changes: list[Any] = []

    def shown(state: Any) -> None:
        first = state.text == "ab"
        seen.engine.on_change = None if first else changed
        seen.engine.on_signal = None if first else seen.found.append

    def changed(before: Any, after: Any, at: float) -> None:
        changes.append((before and before.text, after.text))

    seen.engine.on_state, seen.engine.on_change = shown, changed
    seen.found.clear()
    seen.feed([b, c, d])
    assert changes == [("abc", "abcd")]
    assert [(signal.offset, signal.delta) for signal in seen.found] == [(2, "c"), (3, "d")]


@pytest.mark.parametrize("events", [False, True])
def test_a_run_that_was_told_in_a_row_is_forgotten_whole(events: bool) -> None:
    engine = Engine(limits=Limits(max_finished_runs=0))
    engine.on_event = (lambda event: None) if events else None
    intake = engine.intake("test")
    text = "abcdefgh" * 4
    intake.feed_all(script("run_forgotten").start().say(text, pieces=list(text)).end().raw_events(enveloped=True))
    assert engine.is_tombstoned("run_forgotten")
    gc.collect()
    assert not [record for record in gc.get_objects() if type(record) is RunRecord and record.run.id == "run_forgotten"]
    intake.feed(script("run_2").start().raw_events()[0])


def test_a_row_ends_where_another_run_claims_the_message() -> None:
    told = []
    for dialect in (AssistantsDialect(), LongWay()):
        seen = Seen(dialect).feed(script("run_2").start().raw_events(enveloped=True))
        seen.feed(script("run_1").start().say("a", pieces=["a"]).raw_events(enveloped=True)[:-2])
        seen.feed([row_delta("b") for _ in range(8)])
        told.append(seen.feed([CLAIM, row_delta("c")]).summary())
    assert told[0] == told[1]
    assert [state[0]["messages"][0]["content"][0]["text"]["value"] for state in told[0][1]] == ["c", "abbbbbbbb"]


def test_the_name_beside_the_data_counts_in_a_row_too() -> None:
    seen, _ = growing()
    body = b'{"id":"msg_run_1_1","delta":{"content":[{"index":0,"type":"text","text":{"value":"b"}}]}}'
    seen.feed([RawEvent("thread.message.delta", body)] * 8 + [RawEvent("thread.message.other", body)])
    assert seen.engine.states()[0].text == "a" + "b" * 8
    assert seen.engine.stats().unknown == 1


def test_the_largest_message_is_the_largest_in_a_row_too() -> None:
    seen = Seen(AssistantsDialect(max_message_bytes=2_000), changes=False)
    raws = script("run_1").start().say("a", pieces=["a"]).raw_events(enveloped=True)[:-2]
    seen.feed([*raws, *[row_delta("b") for _ in range(8)], row_delta("c" * 2_000), row_delta("d")])
    assert seen.engine.states()[0].text == "a" + "b" * 8 + "d"
    assert seen.engine.stats().rejected == 1


def test_a_row_of_refused_fragments_is_refused() -> None:
    seen, _ = growing()
    seen.engine.on_event = lambda event: None
    body = b'{"id":"msg_run_1_1","delta":{"content":[{"index":9999,"type":"text","text":{"value":"b"}}]}}'
    seen.feed([RawEvent("thread.message.delta", body)] * 20)
    assert seen.engine.states()[0].text == "a"
    assert seen.engine.stats().rejected == 20


def test_another_source_that_goes_on_is_looked_at_in_the_middle_of_a_row() -> None:
    seen = in_a_row()
    other = seen.engine.intake("other")
    other.feed(row_delta("c"))
    assert "msg_run_1_1" in seen.engine.states()[0].partial
    seen.feed([row_delta("d")])
    assert seen.engine.states()[0].text == "a" + "b" * 8 + "cd"


@pytest.mark.parametrize("path", ["fetched", "polled"])
def test_a_snapshot_of_another_way_settles_no_doubt(path: str) -> None:
    """After a reconnect the next fragment of a run may miss something, whatever was fetched or polled meanwhile."""
    seen = in_a_row()
    seen.intake.connected()
    seen.intake.connected()
    snapshot = RawEvent(
        "thread.run.in_progress", b'{"id":"run_1","status":"in_progress","started_at":1790000001,"model":"m-2"}'
    )
    if path == "fetched":
        seen.engine.apply_snapshots(seen.intake.state, [snapshot], AssistantsDialect())
    else:
        poll = seen.engine.intake("poll")
        poll.snapshots = True
        poll.feed(snapshot)
    assert seen.engine.states()[0].run.model == "m-2"
    seen.feed([row_delta("c"), row_delta("d")])
    assert "msg_run_1_1" in seen.engine.states()[0].partial


def test_a_dialect_that_reads_in_its_own_way_reads_everything_so() -> None:
    class Loud(AssistantsDialect):
        def decode(self, raw: RawEvent) -> Any:
            return super().decode(msgspec.structs.replace(raw, data=raw.data.replace(b'"b"', b'"B"')))

    loud = Seen(Loud(), changes=False)
    raws = script("run_1").start().say("abbbbbbbb", pieces=list("abbbbbbbb")).raw_events(enveloped=True)
    loud.feed([raw for raw in raws if b".completed" not in raw.data])  # which would repair it
    assert loud.engine.states()[0].text == "aBBBBBBBB"


@pytest.mark.slow
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
    seen.found.clear()
    seen.engine.progress = False
    seen.feed([b])
    seen.engine.progress = True
    seen.feed([c])
    seen.engine.on_signal = None
    seen.feed([d])
    assert [(signal.offset, signal.delta) for signal in seen.found] == [(2, "c")]
    assert seen.engine.states()[0].text == "abcd"
    assert seen.engine.stats().signals == 7  # run created, queued, in_progress; step, message created; "a", "c"


@pytest.mark.parametrize("kind", [TextDelta, ArgumentsDelta])
def test_progress_signals_are_equal_on_both_ways(kind: type) -> None:
    raws = script("run_1").start().call(weather={"city": "Bonn"}).raw_events(enveloped=True)
    raws += script("run_2").start().say("Hello there", pieces=["Hello ", "there"]).raw_events(enveloped=True)
    short, long = Seen(AssistantsDialect()).feed(raws), Seen(LongWay()).feed(raws)
    told = [signal for signal in short.found if type(signal) is kind]
    assert told
    assert told == [signal for signal in long.found if type(signal) is kind]


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


@pytest.mark.slow
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
        for module in ("core.object_deltas", "engine.routing"):
            patch.setattr(f"runstream.{module}.start_text", lambda *args: None)
        patch.setattr("runstream.core.object_snapshots.ends_unchanged", lambda *args: False)
        patch.setattr("runstream.core.object_snapshots.is_whole", lambda item, new: False)
        patch.setattr("runstream.dialects.assistants._SNAPSHOT_HEADS", {})
        long = Seen(AssistantsDialect()).feed(raws).summary()
    assert short == long


def test_a_repeated_snapshot_is_read_once_under_each_name() -> None:
    created, queued, *_ = script("run_1").start().raw_events(enveloped=True)
    assert created.data.partition(b',"data":')[2] == queued.data.partition(b',"data":')[2]
    dialect = AssistantsDialect()
    first, second = dialect.decode(created), dialect.decode(queued)
    assert (first.event, second.event) == ("thread.run.created", "thread.run.queued")  # type: ignore[union-attr]
    assert second.data is first.data  # type: ignore[union-attr]
    assert second.origin.payload == queued.data  # type: ignore[union-attr]


def test_the_same_bytes_of_another_kind_are_read_again() -> None:
    """A message's snapshot under a step's name is no message."""
    body = b',"data":{"id":"x_1","run_id":"run_1","status":"in_progress","type":"message_creation"}}'
    dialect = AssistantsDialect()
    message = dialect.decode(RawEvent(data=b'{"event":"thread.message.created"' + body))
    step = dialect.decode(RawEvent(data=b'{"event":"thread.run.step.created"' + body))
    assert [type(event.data).__name__ for event in (message, step)] == ["Message", "RunStep"]  # type: ignore[union-attr]


def test_a_repeated_snapshot_in_blocks_is_read_once_too() -> None:
    created, queued, *_ = script("run_1").start().raw_events()
    assert created.data == queued.data
    dialect = AssistantsDialect()
    first, second = dialect.decode(created), dialect.decode(queued)
    assert (first.event, second.event) == ("thread.run.created", "thread.run.queued")  # type: ignore[union-attr]
    assert second.data is first.data  # type: ignore[union-attr]


RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'


@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        (b'{"data":%b,"event":"thread.run.created"}' % RUN, RawEvent(data=b'{"event":"thread.run.queued"')),
        (b'{"data":%b,"event":"thread.run.created"}' % RUN, RawEvent("thread.run.queued", b"")),
        (b'{"event":"thread.run.created","data":%b}' % RUN, RawEvent("thread.run.queued", RUN + b"}")),
        (RUN, RawEvent(data=b'{"event":"thread.run.queued","data":' + RUN)),
        (
            b'{"event":"thread.run.created", "data":{"status":"queued","metadata":{"a":"b","data":"c"},"id":"run_1"}}',
            RawEvent(data=b'{"event":"thread.run.queued","data":"c"},"id":"run_1"}}'),
        ),
    ],
)
def test_a_broken_message_repeats_no_snapshot(whole: bytes, broken: RawEvent) -> None:
    """Though what is left of it are the bytes by which the last one is known again."""
    dialect = AssistantsDialect()
    event = dialect.decode(RawEvent("thread.run.created" if whole is RUN else None, whole))
    reject = dialect.decode(broken)
    assert (type(event).__mro__[1], type(reject)) == (RunEvent, Reject)


def test_a_large_snapshot_is_not_kept() -> None:
    """Each of thousands of sources would keep one."""
    created, queued, *_ = script("run_1", instructions="x" * 20_000).start().raw_events(enveloped=True)
    dialect = AssistantsDialect()
    first, second = dialect.decode(created), dialect.decode(queued)
    assert second.data == first.data  # type: ignore[union-attr]
    assert second.data is not first.data  # type: ignore[union-attr]


def test_an_unknown_list_of_a_delta_may_have_any_indices() -> None:
    """A list beside the calls is kept as it is: its indices need not be numbers, and the calls grow."""
    script = Script("run_1")
    step = script.open_calls()
    step.open(0, "function", name="f")
    details = {
        "type": "tool_calls",
        "tool_calls": [{"index": 0, "type": "function", "function": {"arguments": "{"}}],
        "x_tool_calls": [{"index": {"a": 1}}, {"index": "b"}],
    }
    delta = {"id": step.step_id, "object": "thread.run.step.delta", "delta": {"step_details": details}}
    raw = RawEvent("thread.run.step.delta", msgspec.json.encode(delta))
    found = fold([*script.raw_events(), raw])
    assert not found.rejects
    assert found.runs[0].tool_calls[0].arguments == "{"
