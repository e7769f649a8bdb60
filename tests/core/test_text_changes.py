"""What a text says that was emitted otherwise is a replacement, and each has its number."""

from __future__ import annotations

from runstream.engine.engine import Engine
from runstream.model.signals import ArgumentsDelta, Signal, TextReplaced
from tests.core.support import RUN, at, ev, signals_of, state_of
from tests.support.wire import (
    function_call_delta,
    message_delta,
    message_object,
    step_delta,
    step_object,
    text_part,
    tool_calls,
)

STARTED = [at("in_progress", 110), ev("message.created", message_object("msg_1", RUN))]


def says(text: str, part: int = 0, id: str = "msg_1") -> object:
    """A fragment."""
    return ev("message.delta", message_delta(id, text, index=part))


def whole(*texts: str, status: str = "completed", id: str = "msg_1") -> object:
    """A full message."""
    content = [text_part(text) for text in texts]
    return ev(f"message.{status}", message_object(id, RUN, status=status, content=content))


def numbers(signals: list[Signal]) -> list[tuple[int, int, str]]:
    """Part, number and text of the replacements."""
    return [(signal.part, signal.n, signal.text) for signal in signals if isinstance(signal, TextReplaced)]


def test_several_parts_at_once() -> None:
    """Each replaced part of one event has the next number, and the state has the last."""
    story = [*STARTED, says("a"), says("b", 1), says("c", 2), whole("x", "b", "z")]
    assert numbers(signals_of(story)) == [(0, 1, "x"), (2, 2, "z")]  # type: ignore[arg-type]
    assert state_of(story)._objects[0].replaced == 2  # type: ignore[arg-type]


def test_the_same_text_again_is_another_fact() -> None:
    """Two snapshots that take turns: no key comes twice."""
    turns = [whole(text, status="in_progress") for text in ("ab", "xy", "ab", "xy", "ab")]
    found = [s for s in signals_of([*STARTED, *turns]) if isinstance(s, TextReplaced)]  # type: ignore[list-item]
    assert [signal.n for signal in found] == list(range(1, len(found) + 1))
    assert len({signal.key for signal in found}) == len(found)


def test_each_message_counts_for_itself() -> None:
    """Another message begins at 1."""
    other = ev("message.created", message_object("msg_2", RUN))
    story = [*STARTED, says("a"), other, says("b", id="msg_2"), whole("x"), whole("y", id="msg_2")]
    assert numbers(signals_of(story)) == [(0, 1, "x"), (0, 1, "y")]  # type: ignore[arg-type]


def test_a_replay_that_differs() -> None:
    """A later connection sends another text, then the end yet another one."""
    engine, signals = Engine(clock=lambda: 1.0), list[Signal]()
    engine.on_signal = signals.append
    intake = engine.intake("server")
    intake.connected()
    intake.feed_all([*STARTED, says("Hello")])  # type: ignore[list-item]
    intake.connected()
    intake.feed_all([STARTED[1], says("World"), says(" and all"), says(" of you")])  # type: ignore[list-item]
    intake.feed(whole("Bye"))  # type: ignore[arg-type]
    assert numbers(signals) == [(0, 1, "World and all"), (0, 2, "Bye")]


def test_arguments_that_were_given_otherwise_continue_at_their_place() -> None:
    """No signal corrects them before the end: a repetition with other text leaves no hole in the offsets."""
    created = ev("run.step.created", step_object("step_1", RUN, tool_calls()))
    named = ev("run.step.delta", step_delta("step_1", function_call_delta(0, "", id="call_1", name="f")))

    def says(text: str) -> object:
        return ev("run.step.delta", step_delta("step_1", function_call_delta(0, text)))

    engine, signals = Engine(clock=lambda: 1.0), list[Signal]()
    engine.on_signal = signals.append
    intake = engine.intake("server")
    intake.connected()
    intake.feed_all([STARTED[0], created, named, says("ab"), says("ef")])
    intake.connected()
    intake.feed_all([created, named, says("ab"), says("cd"), says("ef"), says("gh")])
    given = [(signal.offset, signal.delta) for signal in signals if isinstance(signal, ArgumentsDelta)]
    assert given == [(0, "ab"), (2, "ef"), (4, "ef"), (6, "gh")]
