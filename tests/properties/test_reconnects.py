"""Reconnects of one source, over servers that give ids to all events, to some, or to none, and that go on where they
like: what is not marked is right.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.raw import RawEvent
from runstream.model.signals import Signal, TextReplaced
from runstream.testing import Script

pytestmark = pytest.mark.slow

# RUNSTREAM_EXAMPLES=20 looks twenty times as long.
some = settings(
    max_examples=80 * int(os.environ.get("RUNSTREAM_EXAMPLES", "1")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
IDS = ("all", "counted", "some", "some counted", "no fragments", "no fragments counted", "none")


@st.composite
def tellings(draw: st.DrawFn) -> list[RawEvent]:
    """A run with messages and calls whose pieces are all different, so that one too many or too few is seen."""
    script = Script("run_1").start()
    number = 0
    for act in draw(st.lists(st.sampled_from(("one", "two", "calls")), min_size=1, max_size=3)):
        if act == "calls":
            script.call(first={"a": number}, second={"bc": "defg"})
            script.answer("1", "2")
            continue
        open_ones = [script.open_message() for _ in range(1 if act == "one" else 2)]
        for turn in draw(st.lists(st.integers(0, 1), min_size=1, max_size=12)):
            number += 1
            open_ones[turn % len(open_ones)].write(f"<{number}>")
        for message in open_ones:
            message.close()
    return script.end().raw_events()


def identified(told: list[RawEvent], ids: str, chance: st.DataObject) -> list[RawEvent]:
    """The events with ids: which of them, and whether those in use count in a row, is the server's way."""
    counts = ids.endswith("counted")
    kind = ids.removesuffix("counted").strip() or "all"
    some_of = chance.draw(st.lists(st.booleans(), min_size=len(told), max_size=len(told))) if kind == "some" else []
    found, count = [], 0
    for place, raw in enumerate(told):
        has = {
            "all": True,
            "some": bool(some_of and some_of[place]),
            "no fragments": not str(raw.event).endswith(".delta"),
        }.get(kind, False)
        count += has
        id = None if not has else str(count) if counts else f"{place * 7919 % 1009}x"
        found.append(structs.replace(raw, id=id))
    return found


def legs(length: int, chance: st.DataObject, *, beyond: int) -> Iterator[tuple[int, int]]:
    """From where to where each connection tells; the last one to the end.

    Args:
        length: How many events there are.
        chance: The dice.
        beyond: How far behind what was told before one may begin; negative: so many events come again at least.
    """
    furthest = 0
    for last in [False] * chance.draw(st.integers(1, 4)) + [True]:
        start = chance.draw(st.integers(0, max(0, min(length, furthest + beyond))))
        stop = length if last else chance.draw(st.integers(start, length))
        yield start, stop
        furthest = max(furthest, stop)


def wrong(state: RunState, whole: RunState) -> list[str]:
    """The messages and steps that are wrong and not marked: no true beginning of what they come to."""
    problems = []
    for message in state.messages:
        clean = whole.message(message.id)
        if clean is None or not clean.text.startswith(message.text):
            problems.append(message.id)
    for step in state.steps:
        theirs = whole.step(step.id)
        mine = [getattr(call, "arguments", None) or "" for call in step.tool_calls]
        clean_calls = [getattr(call, "arguments", None) or "" for call in theirs.tool_calls] if theirs else []
        if len(mine) > len(clean_calls) or any(
            not said.startswith(so_far) for so_far, said in zip(mine, clean_calls, strict=False)
        ):
            problems.append(step.id)
    return [id for id in problems if id not in state.partial]


def clean(told: list[RawEvent]) -> RunState:
    engine = Engine(clock=lambda: 1.0)
    engine.intake("clean").feed_all(told)
    (state,) = engine.states()
    return state


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("beyond", [0, 4], ids=["goes back", "goes anywhere"])
@given(told=tellings(), chance=st.data())
@some
def test_what_is_not_marked_is_right(ids: str, beyond: int, told: list[RawEvent], chance: st.DataObject) -> None:
    """Promise 12: whatever comes twice or never, after each event an open text is a true beginning or is marked; unless
    the first event without an id is lost, for nothing shows then that the server leaves out ids.
    """
    whole, given_ids = clean(told), identified(told, ids, chance)
    signals: list[Signal] = []
    engine = Engine(clock=lambda: 1.0)
    engine.on_signal = signals.append
    intake = engine.intake("stream")
    furthest = 0
    for start, stop in legs(len(told), chance, beyond=beyond):
        missing = [number for number, raw in enumerate(given_ids[:start]) if raw.id is None]
        if ids != "none" and missing and furthest <= missing[0]:
            return
        furthest = max(furthest, stop)
        intake.connected()
        for raw in given_ids[start:stop]:
            intake.feed(raw)
            for state in engine.states():
                assert wrong(state, whole) == []
        intake.disconnected("lost")
    # A text that is healed, goes wrong and is healed again is the same fact twice: the digest is of the text.
    keys = Counter(signal.key for signal in signals if not isinstance(signal, TextReplaced))
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("ids", ["all", "counted"])
@given(told=tellings(), chance=st.data())
@some
def test_what_has_an_id_counts_once(ids: str, told: list[RawEvent], chance: st.DataObject) -> None:
    """Promise 2: where every event has one, each connection may begin anywhere in what was told before, and end
    anywhere: messages and steps are those of the clean stream as far as it was told, none is marked, and no text is
    taken back.
    """
    given_ids = identified(told, ids, chance)
    engine, signals = Engine(clock=lambda: 1.0), list[Signal]()
    engine.on_signal = signals.append
    intake = engine.intake("stream")
    furthest = 0
    for start, stop in legs(len(told), chance, beyond=-1):
        intake.connected()
        for place in range(start, stop):
            intake.feed(given_ids[place])
            furthest = max(furthest, place + 1)
            for state in engine.states():
                so_far = clean(told[:furthest])
                assert not state.partial
                assert [message.to_dict() for message in state.messages] == [m.to_dict() for m in so_far.messages]
                assert [step.to_dict() for step in state.steps] == [step.to_dict() for step in so_far.steps]
        intake.disconnected("lost")
    assert not any(isinstance(signal, TextReplaced) for signal in signals)
