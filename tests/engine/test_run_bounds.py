"""The bounds of one open run: objects, size, statuses; and the size of orphans. What is beyond them is counted."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runstream import Limits, fold
from runstream.engine.fold import Folded
from runstream.model.raw import RawEvent
from runstream.testing import Script
from tests.support.wire import (
    function_call_delta,
    message_delta,
    message_object,
    run_object,
    step_delta,
    step_object,
    text_part,
    tool_calls,
)

RUN = run_object("run_1", status="in_progress")
STARTED = ("thread.run.in_progress", RUN)
DONE = ("thread.run.completed", run_object("run_1", status="completed"))


def told(*pairs: tuple[str, Any], **limits: Any) -> Folded:
    return fold([{"event": name, "data": data} for name, data in pairs], limits=Limits(**limits))


def message(n: int, text: str = "x", status: str = "completed") -> tuple[str, Any]:
    content = [text_part(text)] if text else []
    return f"thread.message.{status}", message_object(f"msg_{n}", RUN, status=status, content=content)


def says(n: int, text: str) -> tuple[str, Any]:
    return "thread.message.delta", message_delta(f"msg_{n}", text)


def test_messages_and_steps_are_bounded() -> None:
    """Further ones are rejects, their fragments are late; the known ones and the run itself go on."""
    steps = [("thread.run.step.created", step_object(f"step_{n}", RUN, tool_calls())) for n in range(5)]
    events = [message(n, "", "in_progress") for n in range(5)]
    folded = told(STARTED, *steps, *events, *[says(n, "a") for n in range(5)], DONE, max_run_objects=7)
    (state,) = folded.runs
    assert (len(state.steps), len(state.messages), state.text, state.status) == (5, 2, "aa", "completed")
    assert [reject.reason for reject in folded.rejects] == [
        "More than 7 messages and steps in one run (max_run_objects)"
    ] * 3
    assert (folded.stats.late, folded.orphans) == (3, {})


def test_many_messages_beyond_the_bound_take_little_time() -> None:
    """Each costs the same, however many there are."""
    began = time.perf_counter()
    folded = told(STARTED, *[message(n) for n in range(20_000)], max_run_objects=1_000)
    assert len(folded.runs[0].messages) == 1_000
    assert folded.stats.rejected == 19_000
    assert time.perf_counter() - began < 30


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("size", [1, 7, 400])
def test_text_is_bounded(size: int, ids: bool) -> None:
    """However it is cut: what was streamed so far stays and is marked, further text is counted, the run ends."""
    pairs = [STARTED, message(1, "", "in_progress"), *[says(1, "x" * size)] * (4000 // size), DONE]
    events = [{"event": name, "data": data, **({"id": str(n)} if ids else {})} for n, (name, data) in enumerate(pairs)]
    folded = fold(events, limits=Limits(max_run_size=2_000))
    (state,) = folded.runs
    assert 1_000 < len(state.text) <= 2_000 + size
    assert state.status == "completed"
    assert state.partial == {"msg_1"}
    assert folded.stats.rejected == len(folded.rejects) == 4000 // size - len(state.text) // size
    assert {reject.reason for reject in folded.rejects} == {
        "Messages and steps of one run of more than 2000 characters (max_run_size)"
    }


def test_all_texts_of_a_run_are_bounded_together() -> None:
    """Text, arguments and code, in turn and in several objects."""
    calls = [function_call_delta(0, "", id="call_1", name="f")]
    start = [
        STARTED,
        ("thread.run.step.created", step_object("step_1", RUN, tool_calls())),
        ("thread.run.step.delta", step_delta("step_1", *calls)),
        *[message(n, "", "in_progress") for n in range(3)],
    ]
    turn = [
        *[says(n, "x" * 50) for n in range(3)],
        ("thread.run.step.delta", step_delta("step_1", function_call_delta(0, "y" * 50))),
    ]
    folded = told(*start, *turn * 100, max_run_size=10_000)
    (state,) = folded.runs
    streamed = len(state.text) + len(state.tool_calls[0].arguments or "")
    assert 5_000 < streamed < 10_000
    assert folded.stats.rejected == (400 * 50 - streamed) // 50


def test_full_objects_are_bounded_and_replace_what_was_streamed() -> None:
    """A message that is repeated, or ends with its text, is counted once."""
    text = "x" * 3_000
    once = [message(1, "", "in_progress"), says(1, text), message(1, text)]
    folded = told(STARTED, *once, *[message(1, text)] * 20, message(2, text), max_run_size=8_000)
    assert [len(each.text) for each in folded.runs[0].messages] == [3_000, 3_000]
    folded = told(STARTED, *[message(n, text) for n in range(5)], DONE, max_run_size=8_000)
    assert len(folded.runs[0].messages) == 2
    assert (folded.stats.rejected, folded.runs[0].status) == (3, "completed")


def test_statuses_are_bounded() -> None:
    """A server that invents them is counted; those of the specification always pass."""
    odd = [("thread.run.in_progress", run_object("run_1", status=f"odd_{n}")) for n in range(200)]
    folded = told(STARTED, *odd, DONE)
    assert folded.stats.rejected == 200 - 63
    assert folded.runs[0].status == "completed"
    assert len(folded.runs[0]._head.statuses) <= 65


def test_orphans_are_bounded_in_bytes() -> None:
    """The oldest ones become rejects, however few there are."""
    waiting = [message(n, "x" * 10_000) for n in range(20)]
    folded = told(*waiting, max_orphan_bytes=50_000)
    assert len(folded.orphans["run_1"]) == 4
    assert folded.stats.rejected == 16
    assert "max_orphan_bytes" in folded.rejects[0].reason
    folded = told(*[says(n, "x" * 10_000) for n in range(20)], max_orphan_bytes=50_000)
    assert sum(map(len, folded.orphans.values())) == 4
    folded = told(*waiting[:4], STARTED, *waiting[4:8], max_orphan_bytes=50_000)
    assert len(folded.runs[0].messages) == 8


def test_the_defaults_pass_an_ordinary_run() -> None:
    """Nothing of it is refused."""
    raws: list[RawEvent] = Script("run_1").start().say("Hello there").end().raw_events()
    assert fold(raws).stats.rejected == 0


@pytest.mark.parametrize("name", ["max_run_objects", "max_run_size", "max_statuses", "max_orphan_bytes"])
def test_bounds_are_checked(name: str) -> None:
    """None is less than 0."""
    with pytest.raises(ValueError, match=name):
        Limits(**{name: -1})
