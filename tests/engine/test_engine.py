"""The engine: which run an event belongs to, what is held, forgotten and counted, and how sources end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from runstream.engine.engine import Engine
from runstream.engine.intake import Intake
from runstream.model.events import Event, Reject
from runstream.model.limits import Limits
from runstream.model.raw import Malformed, RawEvent
from runstream.model.signals import RunInterrupted, Signal, SourceError
from runstream.store.memory import MemoryStore
from runstream.testing import Script, script


class Bench:
    """An engine whose every output is kept."""

    def __init__(self, **limits: Any) -> None:
        self.engine = Engine(limits=Limits(**limits), clock=lambda: 1.0)
        self.signals: list[Signal] = []
        self.rejects: list[Reject] = []
        self.engine.on_signal = self.signals.append
        self.engine.on_reject = self.rejects.append

    def intake(self, name: str = "a", scope: str = "") -> Intake:
        """A source."""
        return self.engine.intake(name, scope=scope)

    def types(self, *, without: str = "message.text tool_call.arguments") -> list[str]:
        """The types of the signals so far."""
        return [signal.type for signal in self.signals if signal.type not in without.split()]


def text_run(run_id: str = "run_1", text: str = "Hello there") -> Script:
    """A run that says something and completes."""
    return script(run_id).start().say(text).end()


def test_events_of_a_run_not_seen_are_held_and_adopted_in_order() -> None:
    """Steps, messages and deltas that come before their run wait for it, then count in their order."""
    raws = text_run().raw_events()
    snapshots = [
        raw
        for raw in raws
        if raw.event is not None and raw.event.startswith("thread.run.") and ".step" not in raw.event
    ]
    others = [raw for raw in raws if raw not in snapshots]
    bench = Bench()
    intake = bench.intake()
    intake.feed_all(others)
    assert bench.signals == []
    assert bench.engine.states() == ()
    assert bench.engine.stats().orphans == sum(raw.event not in ("done", "thread.created") for raw in others)
    assert "run_1" in bench.engine.orphans()
    intake.feed_all(snapshots)
    (state,) = bench.engine.states()
    assert state.text == "Hello there"
    assert bench.engine.stats().orphans == 0
    assert bench.types().count("message.completed") == 1


def test_orphans_are_bounded_and_the_oldest_is_rejected() -> None:
    """Beyond max_orphans the oldest held event becomes a reject: never lost silently."""
    bench = Bench(max_orphans=2)
    intake = bench.intake()
    for number in range(5):
        intake.feed(RawEvent("thread.message.delta", b'{"id":"msg_%d","delta":{"content":[]}}' % number))
    assert list(bench.engine.orphans()) == ["msg_3", "msg_4"]
    assert ["max_orphans" in reject.reason for reject in bench.rejects] == [True] * 3


def test_a_step_tells_whose_a_message_is() -> None:
    """Deltas of a message that was never created belong to the run whose step makes it."""
    raws = [
        raw
        for raw in text_run().raw_events()
        if raw.event not in ("thread.message.created", "thread.message.in_progress")
    ]
    bench = Bench()
    bench.intake().feed_all(raws[:-4])
    (state,) = bench.engine.states()
    assert state.text


def test_more_open_runs_than_allowed_are_rejected() -> None:
    """Beyond max_open_runs a new run is rejected, by name of the parameter; ended ones make room."""
    bench = Bench(max_open_runs=1)
    intake = bench.intake()
    intake.feed_all(script("run_1").start().raw_events())
    intake.feed_all(script("run_2").start().raw_events()[:2])
    assert [state.run_id for state in bench.engine.states()] == ["run_1"]
    assert all("max_open_runs" in reject.reason for reject in bench.rejects)
    intake.feed_all(script("run_1").start().end().raw_events())
    intake.feed_all(script("run_2").start().raw_events())
    assert [state.run_id for state in bench.engine.states()] == ["run_1", "run_2"]


def test_eviction_by_count_keeps_the_latest() -> None:
    """Ended runs beyond max_finished_runs are forgotten, the oldest first; their late events are quiet."""
    bench = Bench(max_finished_runs=2)
    intake = bench.intake()
    for number in range(5):
        intake.feed_all(text_run(f"run_{number}").raw_events())
    assert [state.run_id for state in bench.engine.states()] == ["run_3", "run_4"]
    assert bench.engine.stats().evicted_runs == 3
    quiet = len(bench.signals)
    intake.feed_all(text_run("run_0").raw_events())
    assert len(bench.signals) == quiet
    assert bench.engine.stats().orphans == 0
    assert bench.engine.stats().late > 0


def test_eviction_by_age() -> None:
    """An ended run older than max_finished_age goes when another ends."""
    bench = Bench(max_finished_age=10.0)
    intake = bench.intake()
    for number, now in enumerate((0.0, 5.0, 100.0)):
        bench.engine.clock = lambda now=now: now  # type: ignore[misc]
        intake.feed_all(text_run(f"run_{number}").raw_events())
    assert [state.run_id for state in bench.engine.states()] == ["run_2"]


@pytest.mark.parametrize("live_first", [True, False])
def test_the_age_of_what_is_recorded_counts_from_its_coming_in(live_first: bool) -> None:
    """A recording of long ago beside a live source: neither forgets the other's runs, and both go in time."""
    bench = Bench(max_finished_age=10.0)
    bench.engine.clock = lambda: 1_000.0
    intake = bench.intake()
    live = text_run("run_live").raw_events()
    old = [RawEvent(raw.event, raw.data, at=1.0) for raw in text_run("run_old").raw_events()]
    for raws in (live, old) if live_first else (old, live):
        intake.feed_all(raws)
    assert {state.run_id for state in bench.engine.states()} == {"run_live", "run_old"}
    bench.engine.clock = lambda: 1_011.0
    intake.feed_all(RawEvent(raw.event, raw.data, at=2.0) for raw in text_run("run_new").raw_events())
    assert [state.run_id for state in bench.engine.states()] == ["run_new"]


def test_a_huge_index_is_rejected() -> None:
    """A delta whose index is out of bounds changes nothing and is rejected."""
    bench = Bench(max_index=8)
    intake = bench.intake()
    intake.feed_all(script("run_1").start().raw_events())
    intake.feed(RawEvent("thread.message.created", b'{"id":"msg_1","run_id":"run_1","content":[]}'))
    for index in (9, -1, 10**12):
        part = b'{"index":%d,"type":"text","text":{"value":"x"}}' % index
        intake.feed(RawEvent("thread.message.delta", b'{"id":"msg_1","delta":{"content":[' + part + b"]}}"))
    assert ["max_index" in reject.reason for reject in bench.rejects] == [True] * 3
    assert bench.engine.states()[0].text == ""


def test_a_sources_end_tells_of_its_open_runs_in_order_of_appearance() -> None:
    """Who waits is paused, who lives is interrupted, who has ended gets nothing."""
    bench = Bench()
    intake = bench.intake()
    intake.feed_all(script("run_1").start().raw_events())
    intake.feed_all(script("run_2").start().call(weather={"city": "Oslo"}).raw_events())
    intake.feed_all(text_run("run_3").raw_events())
    intake.feed_all(script("run_4").start().raw_events())
    so_far = len(bench.signals)
    intake.end("gone", last_id="e9", attempts=3)
    ends = bench.signals[so_far:]
    assert [signal.key for signal in ends] == [
        "run_1/interrupted/1",
        "run_2/paused/1",
        "run_4/interrupted/1",
        "a/ended/1",
    ]
    assert isinstance(ends[0], RunInterrupted)
    assert (ends[0].reason, ends[0].last_event_id, ends[0].attempts) == ("gone", "e9", 3)
    intake.end()
    assert len(bench.signals) == so_far + 4


def test_the_next_source_takes_a_run_up() -> None:
    """A run that another source goes on with is that one's: the first one's end does not touch it."""
    told = script("run_1").start().call(weather={"city": "Oslo"}).answer("sunny").say("Sunny.").end()
    first, second = ([event.raw() for event in stream] for stream in told.streams if stream)
    bench = Bench()
    one, two = bench.intake("one"), bench.intake("two")
    one.feed_all(first)
    two.feed_all(second[:2])
    one.end()
    assert "run.paused" not in bench.types()
    two.feed_all(second[2:])
    two.end()
    assert bench.types().count("run.action_required") == 1
    assert bench.types()[-2:] == ["run.completed", "source.ended"]


def test_a_pause_is_told_once_a_round() -> None:
    """Two sources that end while a run waits for the same calls tell of one pause."""
    raws = script("run_1").start().call(weather={"city": "Oslo"}).raw_events()
    bench = Bench()
    for name in ("one", "two"):
        intake = bench.intake(name)
        intake.feed_all(raws)
        intake.end()
    assert bench.types().count("run.paused") == 1


def test_error_and_done_end_nothing() -> None:
    """The server's `error` and `done` are told or ignored; the run goes on."""
    bench = Bench()
    intake = bench.intake()
    raws = text_run().raw_events()
    intake.feed_all(raws[:5])
    intake.feed(RawEvent("error", b'{"error":{"message":"try again","type":"server_error"}}'))
    intake.feed(RawEvent("done", b"[DONE]"))
    intake.feed_all(raws[5:])
    assert bench.engine.states()[0].is_terminal
    errors = [signal for signal in bench.signals if isinstance(signal, SourceError)]
    assert [(error.key, error.error.message) for error in errors if error.error] == [("a/error/1", "try again")]


def test_scopes_keep_equal_ids_apart() -> None:
    """One run id in two scopes is two runs."""
    bench = Bench()
    bench.intake("a", "tenant-1").feed_all(text_run(text="one").raw_events())
    bench.intake("b", "tenant-2").feed_all(text_run(text="two").raw_events())
    states = bench.engine.states()
    assert [(state.scope, state.text) for state in states] == [("tenant-1", "one"), ("tenant-2", "two")]
    assert bench.engine.state("run_1") is None
    assert bench.engine.state("run_1", "tenant-2") is states[1]


def test_a_repeated_created_starts_again_only_in_a_later_connection() -> None:
    """Told again after a reconnect, an open message is built anew, and nothing that was shown is shown again."""
    raws = text_run(text="one two three four").raw_events()
    middle = next(i for i, raw in enumerate(raws) if raw.event == "thread.message.delta") + 2
    alone = Bench()
    alone.intake().feed_all(raws)
    bench = Bench()
    intake = bench.intake()
    intake.connected()
    intake.feed_all(raws[:middle])
    created = next(raw for raw in raws if raw.event == "thread.message.created")
    intake.feed(created)  # in the same connection: a duplicate
    text = bench.engine.states()[0].text
    assert text
    intake.disconnected("lost", 1)
    intake.connected(1)
    intake.feed_all(raws[: middle - 1])
    assert text.startswith(bench.engine.states()[0].text)
    intake.feed_all(raws[middle - 1 :])
    assert bench.engine.states()[0].to_dict() == alone.engine.states()[0].to_dict()
    keys = [signal.key for signal in bench.signals]
    assert len(keys) == len(set(keys))
    assert "".join(s.delta for s in bench.signals if s.type == "message.text") == "one two three four"  # type: ignore[union-attr]
    assert "message.text_replaced" not in bench.types()


def test_a_replay_that_differs_from_what_was_shown_replaces_it() -> None:
    """Where a later connection tells another text, what was shown is replaced as a whole."""
    head = text_run(text="one two").raw_events()
    middle = next(i for i, raw in enumerate(head) if raw.event == "thread.message.completed")
    bench = Bench()
    intake = bench.intake()
    intake.connected()
    intake.feed_all(head[:middle])
    intake.connected(1)
    intake.feed_all(text_run(text="one 2, three and more").raw_events())
    replaced = [signal for signal in bench.signals if signal.type == "message.text_replaced"]
    assert replaced
    assert replaced[-1].text.startswith("one 2")  # type: ignore[union-attr]
    assert bench.engine.states()[0].text == "one 2, three and more"


def test_what_nobody_listens_to_is_not_built() -> None:
    """Without callbacks the engine keeps states and counts, and gives nothing out."""
    engine = Engine()
    engine.intake("a").feed_all(text_run().raw_events())
    assert engine.states()[0].is_terminal
    assert engine.stats().signals == 0


def test_all_callbacks_are_told() -> None:
    """Events, states and changes come out beside the signals."""
    bench = Bench()
    events: list[Event] = []
    states: list[Any] = []
    changes: list[Any] = []
    bench.engine.on_event, bench.engine.on_state = events.append, states.append
    bench.engine.on_change = lambda before, after, at: changes.append((before, after))
    raws = text_run().raw_events()
    bench.intake().feed_all([RawEvent(data=b"junk"), *raws])
    assert len(events) == len(raws) == bench.engine.stats().events
    assert [after for _, after in changes] == states
    assert all(before is not after for before, after in changes)


def test_counts() -> None:
    """Duplicates, conflicts, unknown events and rejects are counted."""
    bench = Bench()
    intake = bench.intake()
    raws = script("run_1").start().raw_events(ids=True)
    changed = RawEvent(raws[0].event, raws[0].data.replace(b"queued", b"in_progress"), raws[0].id)
    intake.feed_all([*raws, raws[-1], changed, RawEvent("x.y", b"{}"), RawEvent(data=b"junk")])
    stats = bench.engine.stats()
    assert (stats.duplicates, stats.unknown, stats.rejected) == (1, 1, 1)
    assert stats.open_runs == 1


def test_interleaved_runs_of_one_source_do_not_mix() -> None:
    """Deltas carry no run id: whose they are is remembered from the objects that came before."""
    one, two = text_run("run_1", "one after the other"), text_run("run_2", "and both at once")
    mixed = [raw for pair in zip(one.raw_events(), two.raw_events(), strict=False) for raw in pair]
    bench = Bench()
    bench.intake().feed_all(mixed)
    texts = {state.run_id: state.text for state in bench.engine.states()}
    for told in (one, two):
        full = told.expected["messages"][0]["content"][0]["text"]["value"]
        assert full.startswith(texts[told.run_id])
    whole = [s for s in bench.signals if s.type == "message.text"]
    assert {s.run_id for s in whole} == {"run_1", "run_2"}  # type: ignore[union-attr]


def test_adopted_events_are_told_in_the_order_in_which_they_came() -> None:
    """Held events of a run keep their order across its steps, messages and deltas."""
    raws = text_run().raw_events()
    snapshots = [raw for raw in raws if b'"object":"thread.run"' in raw.data]
    held = [raw for raw in raws if raw not in snapshots]
    bench, straight = Bench(), Bench()
    bench.intake().feed_all([*held, *snapshots])
    straight.intake().feed_all([snapshots[0], *held, *snapshots[1:]])
    kinds = ("step.", "message.")
    told = [[s.key for s in b.signals if s.type.startswith(kinds)] for b in (bench, straight)]
    assert told[0] == told[1]
    assert "message.created" in bench.types()


def test_a_run_that_has_ended_is_not_open() -> None:
    """A run that is first seen at its end needs no room among the open ones."""
    bench = Bench(max_open_runs=1)
    intake = bench.intake()
    intake.feed_all(script("run_1").start().raw_events())
    intake.feed(RawEvent("thread.run.failed", b'{"id":"run_2","status":"failed"}'))
    assert [state.run_id for state in bench.engine.states()] == ["run_1", "run_2"]
    assert bench.rejects == []
    assert (bench.engine.stats().open_runs, bench.engine.stats().finished_runs) == (1, 1)


def test_a_forgotten_runs_objects_stay_known_as_finished() -> None:
    """After a run's eviction, late deltas and objects of its steps and messages open no ghost and are not held."""
    bench = Bench(max_finished_runs=0)
    intake = bench.intake()
    raws = text_run().raw_events()
    intake.feed_all(raws)
    assert bench.engine.states() == ()
    late = bench.engine.stats().late
    again = [raw for raw in raws if raw.event not in ("done", "thread.created")]
    bare = RawEvent("thread.message.completed", b'{"id":"msg_run_1_1","status":"completed"}')
    bench.intake("other").feed_all([*again, bare])
    assert bench.engine.stats().late == late + len(again) + 1
    assert bench.engine.stats().orphans == 0
    assert bench.engine.states() == ()


def test_a_run_told_from_its_start_again_goes_on() -> None:
    """Where a server dates no starts, a replay in mid-round changes nothing, and what follows it counts."""
    snapshots = [
        {"id": "run_1", "status": "queued"},
        {"id": "run_1", "status": "in_progress"},
        {"id": "run_1", "status": "requires_action", "required_action": {"type": "pay", "pay": {}}},
        {"id": "run_1", "status": "queued"},
        {"id": "run_1", "status": "in_progress"},
    ]
    names = ["created", "in_progress", "requires_action", "queued", "in_progress"]
    raws = [
        RawEvent(f"thread.run.{name}", msgspec.json.encode(snapshot))
        for name, snapshot in zip(names, snapshots, strict=True)
    ]
    whole = Bench()
    whole.intake().feed_all(raws)
    for cut in range(1, len(raws)):
        bench = Bench()
        intake = bench.intake()
        intake.feed_all(raws[:cut])
        held, so_far = bench.engine.states(), len(bench.signals)
        intake.feed_all(raws[:cut])
        assert bench.engine.states()[0] is held[0]
        assert len(bench.signals) == so_far
        intake.feed_all(raws[cut:])
        assert [signal.key for signal in bench.signals] == [signal.key for signal in whole.signals]
        assert bench.engine.states() == whole.engine.states()


def test_the_same_id_with_other_content_passes_and_is_counted() -> None:
    """A server that numbers anew after a restart loses nothing."""
    bench = Bench()
    intake = bench.intake()
    intake.feed(RawEvent("thread.run.queued", b'{"id":"run_1","status":"queued"}', "1"))
    intake.feed(RawEvent("thread.run.in_progress", b'{"id":"run_1","status":"in_progress"}', "1"))
    assert bench.engine.states()[0].status == "in_progress"
    assert bench.engine.stats().conflicts == 1


def test_a_sources_own_signals() -> None:
    """Connected, lost, resumed, failed, ended: each counted by itself, with reason and attempt."""
    bench = Bench()
    intake = bench.intake("gate")
    intake.connected()
    intake.disconnected("lost", 1)
    intake.connected(1)
    intake.disconnected("lost again", 1)
    intake.connected(2)
    intake.failed("refused", 3)
    intake.end("gone", attempts=3)
    assert [signal.key for signal in bench.signals] == [
        "gate/connected/1",
        "gate/disconnected/1",
        "gate/resumed/1",
        "gate/disconnected/2",
        "gate/resumed/2",
        "gate/error/1",
        "gate/ended/1",
    ]
    told = [(signal.reason, signal.attempt) for signal in bench.signals]  # type: ignore[union-attr]
    assert told == [("", 0), ("lost", 1), ("", 1), ("lost again", 1), ("", 2), ("refused", 3), ("gone", 3)]
    assert intake.connection == 2
    assert bench.engine.stats().signals == 7


def test_what_a_source_holds_open() -> None:
    """A source is live while one of its runs neither waits nor has ended; the last event id is kept for resuming."""
    bench = Bench()
    intake = bench.intake()
    assert not intake.live
    waiting = script("run_1").start().call(weather={"city": "Oslo"}).raw_events(ids=True)
    intake.feed_all(waiting[:3])
    assert intake.live
    intake.feed_all(waiting[3:])
    assert not intake.live
    assert [state.run_id for state in intake.open_runs()] == ["run_1"]
    assert intake.last_id == waiting[-1].id
    intake.feed_all(text_run("run_2").raw_events())
    assert [state.run_id for state in intake.open_runs()] == ["run_1"]


def test_oversized_and_malformed_input_of_a_source_is_rejected() -> None:
    """What a reader could not make an event of comes out as a reject with its line."""
    bench = Bench()
    bench.intake("a.sse").feed(Malformed(line=7, reason="no event", data=b"junk"))
    (reject,) = bench.rejects
    assert (reject.where, reject.reason) == ("a.sse:7", "no event")


def test_stale_surprising_and_late_are_counted() -> None:
    """What a snapshot was worth shows in the counts."""
    bench = Bench()
    bodies = [b"queued", b"completed", b"completed", b"failed"]
    raws = [RawEvent("thread.run", b'{"id":"run_1","status":"%s"}' % status) for status in bodies]
    bench.intake().feed_all(raws)
    stats = bench.engine.stats()
    assert (stats.surprising, stats.stale, stats.late) == (1, 0, 1)
    raws = [RawEvent("thread.run", b'{"id":"run_2","status":"%s"}' % status) for status in (b"in_progress", b"queued")]
    bench.intake("b").feed_all(raws)
    assert bench.engine.stats().stale == 1


def open_message(*pieces: str, created: bool = True) -> list[RawEvent]:
    """A run at work, and a message that grows by these pieces."""
    raws = script("run_1").start().raw_events()
    if created:
        raws.append(RawEvent("thread.message.created", b'{"id":"msg_1","run_id":"run_1","content":[]}'))
    for piece in pieces:
        part = {"index": 0, "type": "text", "text": {"value": piece}}
        body = msgspec.json.encode({"id": "msg_1", "delta": {"content": [part]}})
        raws.append(RawEvent("thread.message.delta", body))
    return raws


def test_deltas_before_their_message_wait_for_it() -> None:
    """Deltas of a message that nobody has spoken of yet are held, and count once it is created."""
    created, *deltas = open_message("He", "llo")[-3:]
    bench = Bench()
    intake = bench.intake()
    intake.feed_all([*open_message(created=False), *deltas])
    assert bench.engine.stats().orphans == 2
    intake.feed(created)
    assert bench.engine.states()[0].text == "Hello"
    assert bench.engine.stats().orphans == 0


def test_a_source_that_was_left_says_nothing_of_the_run() -> None:
    """The end of a source whose run another one has taken up tells of no interruption."""
    raws = open_message("a", "b")
    bench = Bench()
    one, two = bench.intake("one"), bench.intake("two")
    one.feed_all(raws[:-1])
    two.feed(raws[-1])
    one.end()
    assert bench.types()[-1] == "source.ended"
    assert "run.interrupted" not in bench.types()
    assert two.live
    two.end()
    assert bench.types()[-2:] == ["run.interrupted", "source.ended"]


def test_created_again_in_the_first_connection_is_ignored() -> None:
    """Deltas have no identity here, so a duplicate of `created` alone must not throw text away."""
    raws = open_message("He", "llo")
    created = raws[-3]
    bench = Bench()
    intake = bench.intake()
    intake.connected()
    intake.feed_all([*raws, created])
    assert bench.engine.states()[0].text == "Hello"


def test_created_again_starts_once_a_connection() -> None:
    """In a later connection the first `created` starts the text again, a duplicate of it does not."""
    raws = open_message("He", "llo")
    created = raws[-3]
    bench = Bench()
    intake = bench.intake()
    intake.connected()
    intake.feed_all(raws)
    intake.connected(1)
    intake.feed(created)
    assert bench.engine.states()[0].text == ""
    intake.feed_all([raws[-2], created, raws[-1], created])
    assert bench.engine.states()[0].text == "Hello"
    intake.connected(1)
    intake.feed(created)
    assert bench.engine.states()[0].text == ""


def test_what_starts_again_takes_fragments_that_are_known_by_id() -> None:
    """Only some events have ids: where `created` has none and starts the text again, its fragments count again."""
    raws = open_message("He", "llo")
    raws[-2:] = [structs.replace(raw, id=f"id_{number}") for number, raw in enumerate(raws[-2:])]
    bench = Bench()
    intake = bench.intake()
    for _ in range(2):
        intake.connected()
        intake.feed_all(raws)
    intake.feed_all(raws[-2:])
    assert bench.engine.states()[0].text == "Hello"
    assert bench.engine.stats().duplicates == 2


def test_a_known_created_starts_its_open_object_again() -> None:
    """Only some events have ids: where `created` has one and its fragments have none, they must not count twice."""
    created, *deltas = open_message("He", "llo")[-3:]
    known = structs.replace(created, id="id_1")
    start = open_message(created=False)
    bench = Bench()
    intake = bench.intake()
    intake.connected()
    intake.feed_all([*start, known, *deltas, known])
    assert bench.engine.states()[0].text == "Hello"
    assert bench.engine.stats().duplicates == 1
    intake.connected()
    intake.feed_all([known, *deltas, known])
    assert bench.engine.states()[0].text == "Hello"
    assert bench.engine.stats().duplicates == 2
    assert len({signal.key for signal in bench.signals}) == len(bench.signals)


def test_a_known_created_forgets_nothing_where_every_fragment_has_an_id() -> None:
    """The connection that tells all again may be lost before it comes as far, and the next one go on from there."""
    raws = [structs.replace(raw, id=str(number)) for number, raw in enumerate(open_message("He", "llo", " there"))]
    bench = Bench()
    intake = bench.intake()
    for told in (raws[:-1], raws[:-2], raws[-1:]):
        intake.connected()
        intake.feed_all(told)
    (state,) = bench.engine.states()
    assert (state.text, state.partial) == ("Hello there", frozenset())
    assert bench.engine.stats().duplicates == len(raws) - 2


def test_a_known_created_begins_again_what_misses_a_fragment() -> None:
    """Else the missing one would come last."""
    raws = [structs.replace(raw, id=f"{number}x") for number, raw in enumerate(open_message("He", "l", "lo"))]
    bench = Bench()
    intake = bench.intake()
    for told in ([*raws[:-2]], raws[-1:]):
        intake.connected()
        intake.feed_all(told)
    assert (bench.engine.states()[0].text, len(bench.engine.states()[0].partial)) == ("Helo", 1)
    intake.connected()
    intake.feed_all(raws)
    assert (bench.engine.states()[0].text, bench.engine.states()[0].partial) == ("Hello", frozenset())


def test_fragments_that_waited_over_a_reconnect_are_marked() -> None:
    """Their run is first seen in the later connection; until they are told again from their start."""
    created, *deltas = open_message("He", "llo")[-3:]
    queued, *others = open_message(created=False)
    bench = Bench()
    intake = bench.intake()
    intake.connected()
    intake.feed_all([created, *deltas])
    intake.connected()
    intake.feed_all([queued, *others])
    (state,) = bench.engine.states()
    assert (state.text, len(state.partial)) == ("Hello", 1)
    intake.feed_all([created, *deltas])
    (state,) = bench.engine.states()
    assert (state.text, state.partial) == ("Hello", frozenset())


def test_a_known_created_of_what_has_ended_is_a_duplicate() -> None:
    """Whatever the connection."""
    raws = text_run().raw_events(ids=True)
    bench = Bench()
    intake = bench.intake()
    for connection in range(3):
        intake.connected(connection)
        intake.feed_all(raws)
    assert bench.engine.states()[0].text == "Hello there"
    assert bench.engine.stats().duplicates == 2 * len(raws)


def test_a_late_created_in_the_first_connection_takes_the_text_in() -> None:
    """Where a step says whose a message is, its deltas may come before it is created: nothing is lost."""
    step = {
        "id": "step_1",
        "run_id": "run_1",
        "step_details": {"type": "message_creation", "message_creation": {"message_id": "msg_1"}},
    }
    created, *deltas = open_message("He", "llo")[-3:]
    bench = Bench()
    intake = bench.intake()
    intake.connected()
    intake.feed_all(open_message(created=False))
    intake.feed(RawEvent("thread.run.step.created", msgspec.json.encode(step)))
    intake.feed_all([*deltas, created])
    assert bench.engine.states()[0].text == "Hello"


def test_orphans_of_two_scopes_with_one_id_are_all_told() -> None:
    """Two scopes that each hold an event of one id lose neither of them."""
    bench = Bench()
    delta = RawEvent("thread.message.delta", b'{"id":"msg_1","delta":{"content":[]}}')
    bench.intake("a", "tenant-1").feed(delta)
    bench.intake("b", "tenant-2").feed(delta)
    assert len(bench.engine.orphans()["msg_1"]) == bench.engine.stats().orphans == 2


def test_a_source_says_which_run_it_continues() -> None:
    bench = Bench()
    assert bench.intake().continues is None
    intake = bench.engine.intake("b", continues="run_9")
    assert (intake.continues, intake.state.continues) == ("run_9", "run_9")


@pytest.mark.parametrize("scope", ["", "s"])
def test_a_run_that_has_ended_can_not_be_continued(scope: str) -> None:
    """In its scope; and a source that was refused leaves nothing behind."""
    bench = Bench()
    bench.intake(scope=scope).feed_all(text_run().raw_events())
    assert bench.engine.ended_reason("run_1", scope) == "run run_1 has ended (completed) and can't be continued"
    sources = bench.engine.registry.scope(scope).sources
    with pytest.raises(ValueError, match="run_1 has ended"):
        bench.engine.intake("b", scope=scope, continues="run_1")
    with pytest.raises(ValueError, match="not a registered dialect"):
        bench.engine.intake("b", scope=scope, dialect="none")
    assert bench.engine.registry.scope(scope).sources == sources
    assert bench.engine.intake("b", scope="other", continues="run_1").continues == "run_1"


def test_a_run_that_was_forgotten_can_not_be_continued() -> None:
    """All its events would be late: that is said, and nothing is lost in silence."""
    bench = Bench(max_finished_runs=0)
    bench.intake().feed_all(text_run().raw_events())
    assert bench.engine.state("run_1") is None
    with pytest.raises(ValueError, match=r"run run_1 is not kept any more \(see Limits\)"):
        bench.engine.intake("b", continues="run_1")


def test_a_run_of_the_store_is_known() -> None:
    """Also where no source of this process has sent it."""
    store = MemoryStore()
    engine = Engine(store=store)
    engine.on_signal = list[Signal]().append
    first = engine.intake("a")
    first.feed_all(text_run().raw_events())
    first.feed_all(text_run("run_2").raw_events()[:3])
    first.end()
    later = Engine(store=store)
    with pytest.raises(ValueError, match=r"run run_1 has ended \(completed\)"):
        later.intake("b", continues="run_1")
    intake = later.intake("b", continues="run_2")
    assert (intake.continues, intake.state.continues) == ("run_2", "run_2")
