"""What the engine promises to a dialect, tried with small ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from runstream import BaseDialect, Engine, Event, RawEvent, Reject, TextAppend, TextDelta, fold
from runstream.dialects.assistants import AssistantsDialect
from runstream.testing import script

RAWS = script("run_1").start().say("haho", pieces=["ha", "ho"]).end().raw_events(enveloped=True)
MESSAGES = [raw for raw in RAWS if b"message.delta" in raw.data]


class Counting(AssistantsDialect):
    """A subclass that sees each raw event."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def decode(self, raw: RawEvent) -> Event | Reject:
        self.seen += 1
        return super().decode(raw)


class Wrapping:
    """A dialect that delegates everything to another one, and sees each raw event."""

    def __init__(self) -> None:
        self.inner = AssistantsDialect()
        self.seen = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def decode(self, raw: RawEvent) -> Event | Reject:
        self.seen += 1
        return self.inner.decode(raw)


@pytest.mark.parametrize("make", [Counting, Wrapping])
def test_a_dialect_that_wraps_another_sees_every_raw_event(make: Any) -> None:
    raws = script("run_1").start().say("x" * 12, pieces=list("x" * 12)).end().raw_events(enveloped=True)
    dialect = make()
    (state,) = fold(raws, dialect=dialect).runs
    assert dialect.seen == len(raws)
    assert state.text == "x" * 12


class Doubling(AssistantsDialect):
    """A dialect that makes two events of each raw event: of a fragment its characters."""

    def decode(self, raw: RawEvent) -> Any:
        event = super().decode(raw)
        if not isinstance(event, TextAppend):
            return [event]
        return [msgspec.structs.replace(event, text=character) for character in event.text]


def with_ids(raws: list[RawEvent]) -> list[RawEvent]:
    return [msgspec.structs.replace(raw, id=f"e{number}") for number, raw in enumerate(raws, 1)]


def test_events_of_one_raw_event_are_kept_or_skipped_together() -> None:
    """Two events of a raw event have its id; a repetition of the raw event changes nothing."""
    raws = with_ids(RAWS)
    at = raws.index(next(raw for raw in raws if b"message.delta" in raw.data))
    found = fold([*raws[: at + 2], raws[at], raws[at + 1], *raws[at + 2 : -2]], dialect=Doubling())
    assert found.runs[0].text == "haho"
    assert (found.stats.duplicates, found.stats.conflicts) == (2, 0)
    assert "".join(signal.delta for signal in found.signals if isinstance(signal, TextDelta)) == "haho"


def test_the_same_id_with_other_events_is_a_conflict_and_passes() -> None:
    raws = with_ids(RAWS)
    at = raws.index(next(raw for raw in raws if b"message.delta" in raw.data))
    other = msgspec.structs.replace(raws[at + 1], id=raws[at].id)
    found = fold([*raws[: at + 1], other], dialect=Doubling())
    assert found.runs[0].text == "haho"
    assert found.stats.conflicts == 1


class Numbering(AssistantsDialect):
    """A dialect that makes identities of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def decode(self, raw: RawEvent) -> Any:
        self.number += 1
        event: Any = super().decode(raw)
        return msgspec.structs.replace(event, id=f"made/{self.number}") if not isinstance(event, Reject) else event


def test_an_identity_that_a_dialect_makes_is_no_cursor() -> None:
    engine = Engine()
    intake = engine.intake("source", dialect=Numbering())
    intake.feed_all(RAWS[:-1])
    assert intake.resume_from() is None
    intake.feed(msgspec.structs.replace(RAWS[-1], last_id="7"))
    assert intake.resume_from() == "7"


class Cursored(Numbering):
    """A dialect whose protocol resumes from a place of its own."""

    def cursor(self) -> str | None:
        return f"response/{self.number}"


def test_a_cursor_of_the_dialect_is_the_place_to_resume_from() -> None:
    intake = Engine().intake("source", dialect=Cursored())
    intake.feed_all(RAWS)
    assert intake.resume_from() == f"response/{len(RAWS)}"


class Ending(AssistantsDialect):
    """A protocol whose stream ends without a terminal event, which its end completes."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None
        self.ends: list[bool] = []

    def decode(self, raw: RawEvent) -> Any:
        event: Any = super().decode(raw)
        if event.event.startswith("thread.run.") and ".step" not in event.event:
            self.last = raw
        return event

    def end(self, clean: bool) -> Sequence[Event]:
        self.ends.append(clean)
        raw = RawEvent("thread.run.completed", b'{"id":"run_1","status":"completed"}')
        event = super().decode(raw)
        assert not isinstance(event, Reject)
        return [event] if clean else []


@pytest.mark.parametrize(("clean", "status"), [(True, "completed"), (False, "in_progress")])
def test_the_last_events_of_a_dialect_come_before_the_end_of_its_runs(clean: bool, status: str) -> None:
    engine = Engine()
    signals: list[Any] = []
    engine.on_signal = signals.append
    dialect = Ending()
    intake = engine.intake("source", dialect=dialect)
    intake.feed_all([raw for raw in RAWS if b"run.completed" not in raw.data and b"done" not in raw.data])
    intake.end(clean=clean)
    assert engine.states()[0].status == status
    assert dialect.ends == [clean]
    ends = [signal.type for signal in signals if signal.type.startswith("run.")][-1]
    assert ends == ("run.completed" if clean else "run.interrupted")


class Forgetting(AssistantsDialect):
    """A dialect with a memory of its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[str] = []

    def forget(self, run_id: str) -> None:
        self.forgotten.append(run_id)


def test_a_dialect_is_told_which_runs_were_evicted() -> None:
    from runstream import Limits

    engine = Engine(limits=Limits(max_finished_runs=1))
    dialect = Forgetting()
    intake = engine.intake("source", dialect=dialect)
    for number in range(3):
        intake.feed_all(script(f"run_{number}").start().say("a").end().raw_events(enveloped=True))
    assert dialect.forgotten == ["run_0", "run_1"]


def test_a_base_dialect_needs_decode_alone() -> None:
    class Plain(BaseDialect):
        def decode(self, raw: RawEvent) -> Event | Reject:
            return AssistantsDialect().decode(raw)

    (state,) = fold(RAWS, dialect=Plain()).runs
    assert (state.text, state.status) == ("haho", "completed")
