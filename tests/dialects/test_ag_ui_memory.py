"""The memory of the AG-UI dialect, its bounds, and the count of violations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.dialects.ag_ui import AgUiDialect
from runstream.dialects.ag_ui_rules import RULES
from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.model.events import content_of
from runstream.model.raw import ConnectionEvent, Idle, RawEvent
from runstream.store.memory import MemoryStore
from tests.dialects.agui import (
    args,
    call,
    content,
    decode,
    event,
    finished,
    flat,
    request,
    result,
    started,
    text,
    violations,
)

WHOLE = flat(
    [
        request(tools=[{"name": "map"}], state={"a": 1}),
        started(),
        event("STEP_STARTED", stepName="s"),
        event("SUBAGENT_STARTED", subagentRunId="s1", name="x"),
        text("One two"),
        event("TEXT_MESSAGE_CHUNK", messageId="m2", delta="a", subagentRunId="s1"),
        event("TEXT_MESSAGE_CHUNK", delta="b", subagentRunId="s1"),
        call("lamp", '{"a": 1}'),
        event("TOOL_CALL_START", toolCallId="c2", toolCallName="map"),
        args('{"b"', "c2"),
        result("lit"),
        args(": 2}", "c2"),
        event("TOOL_CALL_END", toolCallId="c2"),
        event("STEP_FINISHED", stepName="s"),
        event("SUBAGENT_FINISHED", subagentRunId="s1"),
        finished(outcome={"type": "interrupt", "interrupts": [{"id": "i1", "toolCallId": "c1"}]}),
        request("r2", resume=[{"interruptId": "i1"}], messages=[{"role": "tool", "toolCallId": "c2", "content": "ok"}]),
        started("r2"),
        text("Three", "m3"),
        finished("r2"),
    ]
)


def contents(events: list[Any]) -> list[Any]:
    """What events say."""
    return [(type(each).__name__, content_of(each), each.run_id, each.name) for each in events]


def run(dialect: AgUiDialect, items: list[Any]) -> list[Any]:
    """The events of a decoder."""
    found: list[Any] = []
    for item in items:
        decoded = dialect.decode(item)
        found += decoded if isinstance(decoded, list | tuple) else [decoded]
    return found


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_a_later_decoder_continues(at: int) -> None:
    """With the memory of an earlier one, at any place, it makes the same events. A request is sent again."""
    if any(not isinstance(item, RawEvent) for item in WHOLE[max(0, at - 1) : at]):
        pytest.skip("a request is stored with its run")
    whole = run(AgUiDialect(), WHOLE)
    first = AgUiDialect()
    events = run(first, WHOLE[:at])
    second = AgUiDialect(memory=first.dump())
    events += run(second, WHOLE[at:])
    assert contents(events) == contents(whole)


@pytest.mark.parametrize("memory", [b"", b"x", b"\x93", b"\x91\x01"])
def test_a_memory_of_another_form_is_none(memory: bytes) -> None:
    """A later release may write another one."""
    assert contents(run(AgUiDialect(memory=memory), WHOLE)) == contents(run(AgUiDialect(), WHOLE))


def test_fragments_do_not_change_the_memory() -> None:
    """The memory of a growing text is written once."""
    dialect = AgUiDialect()
    run(dialect, [started(), event("TEXT_MESSAGE_START", messageId="m1")])
    before = dialect.dump()
    run(dialect, [content("x")] * 100)
    assert dialect.dump() is before


def test_a_forgotten_run_takes_no_memory() -> None:
    """Nor do runs that have ended: their ids alone are kept, up to a bound."""
    dialect = AgUiDialect()
    run(dialect, [started(), text("a")])
    dialect.forget("r1")
    assert dialect.dump() is None
    for n in range(2000):
        run(dialect, [started(f"r{n}"), content("x" * 100, f"m{n}"), finished(f"r{n}")])
    assert len(dialect.dump() or b"") < 20_000


def test_a_restart_with_a_store() -> None:
    """The second process goes on in the middle of a call and of a text."""
    store = MemoryStore()
    for half in (WHOLE[:10], WHOLE[10:]):
        engine = Engine(store=store)
        engine.on_signal = lambda signal: None
        intake = engine.intake("s", dialect="ag-ui")
        intake.feed_all(half)
    intake.end()
    state = engine.state("r1")
    assert state is not None
    assert (state.status, state.text) == ("completed", "One two Three ")
    found = [(each.id, each.arguments, each.output) for step in state.steps for each in step.tool_calls]
    assert found == [("c1", '{"a": 1}', "lit"), ("c2", '{"b": 2}', "ok")]


# violations

CASES: list[tuple[str, Any]] = [
    ("first_event", [text("a"), started()]),
    ("done_marker", [started(), RawEvent(data=b"[DONE]")]),
    ("known_type", [started(), event("SOMETHING")]),
    ("field_name", [event("RUN_STARTED", thread_id="t", run_id="r")]),
    ("field_value", [started(), event("TEXT_MESSAGE_START")]),
    ("field_value", [started(), event("RUN_ERROR")]),
    ("field_value", [started(), event("TEXT_MESSAGE_START", messageId=1)]),
    ("delta_name", [started(), event("TEXT_MESSAGE_CHUNK", messageId="m1", content="a")]),
    ("older_type", [started(), event("THINKING_START")]),
    ("run_started_once", [started(), started()]),
    ("run_started_once", [started(), text("a"), started("r2")]),
    ("run_id", [started(), finished("other")]),
    ("run_id", [request("other"), started()]),
    ("event_after_end", [started(), finished(), event("RAW", event=1)]),
    ("event_after_end", [started(), event("RUN_ERROR", message="x"), event("RAW", event=1)]),
    ("one_terminal_event", [started(), event("RUN_ERROR", message="x"), finished()]),
    ("one_terminal_event", [started(), finished(), finished()]),
    ("known_outcome", [started(), finished(outcome={"type": "interrupt", "interrupts": []})]),
    ("closed_at_finish", [started(), event("TEXT_MESSAGE_START", messageId="m1"), finished()]),
    ("closed_at_finish", [started(), event("STEP_STARTED", stepName="s"), finished()]),
    ("closed_at_finish", [started(), event("SUBAGENT_STARTED", subagentRunId="s", name="n"), finished()]),
    ("message_opened_once", [started(), *[event("TEXT_MESSAGE_START", messageId="m1")] * 2]),
    ("message_open", [started(), content("a")]),
    (
        "snapshot_text",
        [
            started(),
            text("a"),
            event("MESSAGES_SNAPSHOT", messages=[{"id": "m1", "role": "assistant", "content": "b"}]),
        ],
    ),
    ("message_open", [started(), event("TEXT_MESSAGE_END", messageId="m1")]),
    ("call_opened_once", [started(), *[event("TOOL_CALL_START", toolCallId="c1", toolCallName="f")] * 2]),
    ("call_open", [started(), call("f"), args("x")]),
    ("call_announced_again", [started(), call("f", "[1]"), call("f", "[1]")]),
    ("result_once", [started(), call("f"), result("a"), result("b")]),
    ("result_of_known_call", [started(), result("a")]),
    ("result_message", [started(), call("f"), event("TOOL_CALL_RESULT", toolCallId="c1", content="x")]),
    ("reasoning_opened_once", [started(), *[event("REASONING_MESSAGE_START", messageId="x")] * 2]),
    ("reasoning_open", [started(), event("REASONING_MESSAGE_CONTENT", messageId="x", delta="a")]),
    ("step_opened_once", [started(), *[event("STEP_STARTED", stepName="s")] * 2]),
    ("step_open", [started(), event("STEP_FINISHED", stepName="s")]),
    ("subagent_once", [started(), *[event("SUBAGENT_STARTED", subagentRunId="s", name="n")] * 2]),
    ("subagent_open", [started(), event("SUBAGENT_FINISHED", subagentRunId="s")]),
    ("subagent_known", [started(), event("TEXT_MESSAGE_START", messageId="m1", subagentRunId="s")]),
    (
        "subagent_of_opener",
        [started(), event("TEXT_MESSAGE_START", messageId="m1"), content("a", subagentRunId="s")],
    ),
    ("chunk_has_id", [started(), event("TEXT_MESSAGE_CHUNK", delta="a")]),
    ("chunk_has_id", [started(), event("TOOL_CALL_CHUNK", toolCallId="c1", delta="a")]),
    ("chunk_agrees", [started(), *[event("TOOL_CALL_CHUNK", toolCallId="c", toolCallName=n) for n in "fg"]]),
    ("patch_form", [started(), event("STATE_DELTA", delta={})]),
]


@pytest.mark.parametrize(("rule", "items"), CASES, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(CASES)])
def test_violations_are_counted_by_rule(rule: str, items: list[Any]) -> None:
    """Each is counted once, under the name of its rule."""
    assert violations(*items) == {rule: 1}


def test_every_rule_has_a_case() -> None:
    """The one of the end of a stream has a test of its own."""
    assert {rule for rule, _ in CASES} | {"terminal_event"} == set(RULES)


def test_a_violation_has_a_place() -> None:
    """Rule, event, run, line and object."""
    raw = RawEvent(data=content("a", "m7").data, line=12)
    dialect, _ = decode(started(), raw)
    (found,) = dialect.rule_violations.latest
    assert (found.rule, found.event, found.run_id, found.line, found.object_id) == (
        "message_open",
        "TEXT_MESSAGE_CONTENT",
        "r1",
        12,
        "m7",
    )
    assert RULES[found.rule].place == "message"


def test_conforming_streams_have_no_violations() -> None:
    """Not even one in several pieces."""
    dialect = AgUiDialect()
    run(dialect, WHOLE)
    dialect.end(True)
    assert dialect.violations == {}


def test_violations_are_in_the_stats() -> None:
    """Those of all sources, also of ended ones."""
    found = fold(flat([started(), content("a"), event("STEP_FINISHED", stepName="s")]), dialect="ag-ui")
    assert found.stats.violations == {"message_open": 1, "step_open": 1, "terminal_event": 1}
    engine = Engine()
    for name in "ab":
        engine.intake(name, dialect="ag-ui", scope=name).feed_all([started(), content("a")])
    assert engine.stats().violations == {"message_open": 2}


# any order of events

EVENTS = [
    started(),
    started("r2"),
    *text("a b"),
    *call("f", '{"a": 1}'),
    result("x"),
    event("TEXT_MESSAGE_CHUNK", messageId="m2", delta="c"),
    event("TEXT_MESSAGE_CHUNK", delta="d"),
    event("TOOL_CALL_CHUNK", toolCallId="c2", toolCallName="g", delta="[1]"),
    event("REASONING_MESSAGE_CHUNK", messageId="x1", delta="e"),
    event("THINKING_TEXT_MESSAGE_CONTENT", delta="f"),
    event("STEP_STARTED", stepName="s"),
    event("STEP_FINISHED", stepName="s"),
    event("SUBAGENT_STARTED", subagentRunId="s1", name="n"),
    event("SUBAGENT_FINISHED", subagentRunId="s1"),
    event("MESSAGES_SNAPSHOT", messages=[{"id": "a1", "role": "assistant", "content": "whole"}]),
    finished(),
    finished("r2", outcome={"type": "interrupt", "interrupts": [{"id": "i1"}]}),
    event("RUN_ERROR", message="no"),
    Idle(),
    ConnectionEvent(connected=True),
    request("r2", resume=[{"interruptId": "i1"}]),
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(EVENTS), max_size=30))
def test_any_order_of_events_folds(items: list[Any]) -> None:
    """Nothing raises, no key comes twice, and no text of a fragment is lost before the end of its run."""
    found = fold(items, dialect="ag-ui")
    keys = [signal.key for signal in found.signals]
    assert len(set(keys)) == len(keys)
    again = fold(items, dialect="ag-ui")
    assert [signal.key for signal in again.signals] == keys


@settings(deadline=None)
@given(st.lists(st.sampled_from(EVENTS[2:18]), max_size=30))
def test_no_text_is_lost_in_a_run(items: list[Any]) -> None:
    """In any order within one run, each fragment of a message is in its text."""
    (state,) = fold([started(), *items], dialect="ag-ui").runs
    said = [json.loads(item.data) for item in items]
    fragments = [each["delta"] for each in said if each["type"].startswith("TEXT_MESSAGE_C")]
    assert sorted(state.text.replace("whole", "")) == sorted("".join(fragments))
