"""The bounds of the engine: what is forgotten leaves nothing behind, and every bound has its count."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.engine.engine import Engine
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.testing import Conversation, conversations, script
from tests.engine.test_engine import Bench, text_run

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def assert_nothing_dangles(engine: Engine) -> None:
    """Every object that is known belongs to a run that is held."""
    for scope in engine.registry.scopes.values():
        assert all(scope.runs.get(record.state.run_id) is record for record in scope.objects.values())


@pytest.mark.slow
@given(conversations(), st.randoms(use_true_random=False), st.integers(0, 2), st.integers(0, 3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_forgotten_leaves_nothing_behind(
    conversation: Conversation, random: Any, max_finished: int, max_index: int
) -> None:
    """In whatever order events come, some twice and some refused: no object outlives its run, no scope its runs."""
    raws = conversation.raw_events(interleaved=True)
    told = [*raws, *random.sample(raws, len(raws) // 2)]
    random.shuffle(told)
    limits = Limits(max_finished_runs=max_finished, max_index=max_index, max_orphans=5)
    engine = Engine(limits=limits, clock=lambda: 1.0)
    intake = engine.intake("told", scope="tenant")
    intake.feed_all(told)
    assert_nothing_dangles(engine)
    for raw in raws:  # again in order, so that all that can end does
        intake.feed(raw)
    assert_nothing_dangles(engine)
    intake.end()
    engine.intake("other")
    if not engine.states() and not engine.orphans():
        assert list(engine.registry.scopes) == [""]
        assert not engine.registry.released


def test_odd_objects_go_with_their_run() -> None:
    """Steps that speak of another message each time, one with a message's id, and late ones leave nothing either."""
    bench = Bench(max_finished_runs=0)
    intake = bench.intake()
    told = script("run_1").start()
    intake.feed_all(told.raw_events())

    def step(id: str, message_id: str, status: str) -> RawEvent:
        details = {"type": "message_creation", "message_creation": {"message_id": message_id}}
        data = {"id": id, "run_id": "run_1", "status": status, "type": "message_creation", "step_details": details}
        return RawEvent("thread.run.step.created", msgspec.json.encode(data))

    intake.feed(RawEvent("thread.message.created", b'{"id":"msg_1","run_id":"run_1","content":[]}'))
    for number, (id, status) in enumerate([("step_1", "in_progress"), ("msg_1", "completed"), ("step_1", "completed")]):
        intake.feed(step(id, f"msg_x{number}", status))
    intake.feed(RawEvent("thread.run.completed", told.end().raw_events()[-2].data))
    assert bench.engine.stats().evicted_runs == 1
    assert_nothing_dangles(bench.engine)


def test_an_object_that_another_run_claims_stays_with_that_run() -> None:
    """A step of one run announces a message that says itself to be another's: it goes with the latter."""
    bench = Bench(max_finished_runs=0)
    intake = bench.intake()
    first, second = script("run_1").start(), script("run_2").start()
    intake.feed_all([*first.raw_events(), *second.raw_events()])
    details = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
    step = {"id": "step_1", "run_id": "run_1", "status": "in_progress", "step_details": details}
    intake.feed(RawEvent("thread.run.step.created", msgspec.json.encode(step)))
    intake.feed(RawEvent("thread.message.created", b'{"id":"msg_1","run_id":"run_2","content":[]}'))
    intake.feed(first.end().raw_events()[-2])
    assert_nothing_dangles(bench.engine)
    part = b'{"index":0,"type":"text","text":{"value":"Hi"}}'
    intake.feed(RawEvent("thread.message.delta", b'{"id":"msg_1","delta":{"content":[' + part + b"]}}"))
    assert [(state.run_id, state.text) for state in bench.engine.states()] == [("run_2", "Hi")]
    intake.feed(second.end().raw_events()[-2])
    assert bench.engine.stats().evicted_runs == 2
    assert_nothing_dangles(bench.engine)


def test_an_interrupted_run_makes_room_for_a_new_one() -> None:
    """At max_open_runs the oldest interrupted run goes, quietly; the ones that are live or wait stay."""
    bench = Bench(max_open_runs=3)
    waits, lost, newer = (bench.intake(name) for name in ("waits", "lost", "newer"))
    waits.feed_all(script("run_waits").start().call(weather={}).raw_events())
    cut = text_run("run_lost").raw_events()
    lost.feed_all(cut[:4])
    newer.feed_all(text_run("run_newer").raw_events()[:4])
    for intake in (waits, lost, newer):
        intake.end()
    live = bench.intake("live")
    live.feed_all(text_run("run_a").raw_events()[:4])
    assert [state.run_id for state in bench.engine.states()] == ["run_waits", "run_newer", "run_a"]
    live.feed_all(text_run("run_b").raw_events()[:4])
    assert [state.run_id for state in bench.engine.states()] == ["run_waits", "run_a", "run_b"]
    assert not bench.rejects
    live.feed_all(text_run("run_c").raw_events()[:1])
    assert [reject.reason for reject in bench.rejects] == ["More than 3 open runs (max_open_runs)"]
    assert (bench.engine.stats().open_runs, bench.engine.stats().evicted_runs) == (3, 2)
    before = len(bench.signals)
    live.feed_all(cut)  # it is gone: no key is repeated
    assert len(bench.signals) == before
    assert bench.engine.stats().late == len([raw for raw in cut if raw.event != "done"])
    assert_nothing_dangles(bench.engine)


def test_an_interrupted_run_that_is_taken_up_is_no_longer_the_first_to_go() -> None:
    bench = Bench(max_open_runs=1)
    cut = text_run("run_1").raw_events()
    first = bench.intake("first")
    first.feed_all(cut[:4])
    first.end()
    second = bench.intake("second")
    second.feed_all(cut[4:6])
    second.feed_all(text_run("run_2").raw_events()[:1])
    assert len(bench.rejects) == 1
    second.feed_all(cut[6:])
    second.feed_all(text_run("run_3").raw_events())
    assert [state.run_id for state in bench.engine.states()] == ["run_1", "run_3"]
    assert bench.engine.stats().open_runs == 0


def test_a_scope_goes_with_its_last_source_and_run() -> None:
    """Scopes come and go with what is in them; what was forgotten in them stays forgotten."""
    bench = Bench(max_finished_runs=2)
    for number in range(10):
        intake = bench.intake(scope=f"tenant_{number}")
        intake.feed_all(text_run("run_1").raw_events())
        intake.end()
    assert list(bench.engine.registry.scopes) == ["tenant_8", "tenant_9"]
    before = len(bench.signals)
    again = bench.intake(scope="tenant_0")
    again.feed_all(text_run("run_1").raw_events())
    assert len(bench.signals) == before
    again.end()
    assert list(bench.engine.registry.scopes) == ["tenant_8", "tenant_9"]


def test_what_waits_is_bounded_over_all_scopes() -> None:
    bench = Bench(max_orphans=3)
    for number in range(5):
        bench.intake(scope=f"tenant_{number}").feed(text_run().raw_events()[3])
    assert bench.engine.stats().orphans == 3
    assert len(bench.rejects) == 2


def test_what_went_to_make_room_is_counted() -> None:
    bench = Bench(dedupe_window=4, max_finished_runs=0, max_tombstones=4)
    intake = bench.intake()
    for number in range(10):
        intake.feed_all(text_run(f"run_{number}").raw_events(ids=True))
    stats = bench.engine.stats()
    assert stats.evicted_runs == 10
    assert stats.forgotten_ids > 4
    assert stats.forgotten_tombstones > 10


def test_runs_of_one_assistant_share_its_instructions_and_tools() -> None:
    """Equal instructions and tools are held once, by runs that came as separate texts; others keep their own."""
    bench = Bench()
    intake = bench.intake()
    for number in range(3):
        told = script(f"run_{number}", instructions="Be brief.", tools=TOOLS).start()
        intake.feed_all(RawEvent(raw.event, bytes(bytearray(raw.data))) for raw in told.raw_events())
    intake.feed_all(script("run_x", instructions="Be brief.", tools=[]).start().raw_events())
    intake.feed_all(script("run_y", instructions="Be long.", tools=TOOLS).start().raw_events())
    intake.feed_all(script("run_z", instructions="Be brief.", tools=TOOLS, assistant_id="asst_z").start().raw_events())
    a, b, c, x, y, z = (state.run for state in bench.engine.states())
    assert a.instructions is b.instructions is c.instructions
    assert a.tools is b.tools is c.tools
    assert [tool.to_dict() for tool in a.tools] == TOOLS
    assert x.tools == ()
    assert x.instructions is a.instructions
    assert (y.instructions, y.tools == a.tools, y.tools is a.tools) == ("Be long.", True, False)
    assert z.tools is not a.tools


def test_shared_instructions_are_bounded() -> None:
    """The instructions of the latest 128 assistants are shared; instructions that are very long are not."""
    bench = Bench()
    intake = bench.intake()

    def instructions_of(id: str, text: str) -> str | None:
        intake.feed(script(id, instructions=text, tools=TOOLS).raw_events()[0])
        state = bench.engine.state(id)
        assert state is not None
        assert state.run.instructions == text
        return state.run.instructions

    first = [instructions_of(f"run_{number}", f"Be {number}.") for number in range(1000)]
    again = [instructions_of(f"again_{number}", f"Be {number}.") for number in range(1000 - 128, 1000)]
    assert all(one is other for one, other in zip(first[-128:], again, strict=True))
    assert instructions_of("older", f"Be {1000 - 129}.") is not first[-129]
    assert instructions_of("huge_1", "x" * 100_000) is not instructions_of("huge_2", "x" * 100_000)
