"""`only` and `where`: signals and states of some kinds, and of some runs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import reactivex as rx

from runstream import Filters, RunCompleted, RunStream, SourceEnded, TextDelta, fold, only, pipeline, states, where
from runstream.model.raw import RawEvent
from runstream.testing import Conversation, script
from tests.support.canonical import ListDialect, append, message, play
from tests.support.canonical import run as run_event


def conversation() -> Conversation:
    """Three runs, of two assistants and two customers."""
    return Conversation(
        [
            script("run_1", thread_id="t1", assistant_id="asst_a", metadata={"customer": "1", "tier": "x"}).say("one"),
            script("run_2", thread_id="t2", assistant_id="asst_a", metadata={"customer": "2"}).say("two").end(),
            script("run_3", thread_id="t2", assistant_id="asst_b", metadata={"customer": "1"}).say("three").end(),
        ]
    )


RAWS = conversation().raw_events(interleaved=True)


def collect(source: rx.Observable[Any]) -> list[Any]:
    got: list[Any] = []
    source.subscribe(got.append)
    return got


def test_only_some_kinds_pass() -> None:
    """By class, by type string, several."""
    signals = rx.from_iterable(fold(RAWS).signals)
    assert {type(one) for one in collect(signals.pipe(only(RunCompleted)))} == {RunCompleted}
    assert {type(one) for one in collect(signals.pipe(only("message.text", RunCompleted)))} == {TextDelta, RunCompleted}
    with pytest.raises(TypeError):
        only()
    with pytest.raises(ValueError, match="no signal type"):
        only("run.finished")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {"run_1", "run_2", "run_3"}),
        ({"run_id": "run_2"}, {"run_2"}),
        ({"thread_id": "t2"}, {"run_2", "run_3"}),
        ({"assistant_id": "asst_a"}, {"run_1", "run_2"}),
        ({"metadata": {"customer": "1"}}, {"run_1", "run_3"}),
        ({"metadata": {"customer": "1", "tier": "x"}}, {"run_1"}),
        ({"metadata": {"customer": "9"}}, set()),
        ({"metadata": {}}, {"run_1", "run_2", "run_3"}),
        ({"thread_id": "t2", "assistant_id": "asst_b"}, {"run_3"}),
        ({"scope": ""}, {"run_1", "run_2", "run_3"}),
        ({"scope": "other"}, set()),
        ({"run_id": "run_1", "assistant_id": None}, {"run_1"}),
    ],
)
def test_where(filters: Any, expected: set[str]) -> None:
    """All states and signals of the matching runs pass, text deltas included; those of other runs don't."""
    raws = rx.from_iterable(RAWS)
    every = [one for one in collect(raws.pipe(pipeline())) if not isinstance(one, SourceEnded)]
    mine = [one.key for one in every if one.run_id in expected]
    assert [one.key for one in collect(raws.pipe(pipeline(), where(**filters)))] == mine
    of_states = collect(raws.pipe(states(), where(**filters)))
    assert {one.run_id for one in of_states} == expected
    assert len(of_states) == sum(one.run_id in expected for one in collect(raws.pipe(states())))


def test_an_unknown_filter_is_a_mistake() -> None:
    """The error is raised at once and names the filter."""
    wrong: Any = {"assistant": "asst_a"}
    with pytest.raises(TypeError, match="assistant_id"):
        where(**wrong)


def test_who_comes_late_gives_what_is_known() -> None:
    """A text delta has no assistant: a late subscription needs `known`, or waits for a signal that has the run."""
    signals = fold(RAWS).signals
    late = rx.from_iterable(signals[-25:])
    known = {state.run_id: state for state in fold(RAWS).runs}
    of_b = [one.key for one in signals[-25:] if getattr(one, "run_id", "") == "run_3"]
    assert [one.key for one in collect(late.pipe(where(assistant_id="asst_b", known=known)))] == of_b
    blind = [one.key for one in collect(late.pipe(where(assistant_id="asst_b")))]
    assert blind == of_b[-len(blind) :]


async def test_where_on_a_stream_that_is_being_read() -> None:
    """`stream.latest` has the runs, by scope too, so no result has to be remembered."""
    got: list[str] = []
    others: list[str] = []
    async with RunStream() as stream:
        stream.attach(RAWS, scope="one")
        stream.attach(RAWS, scope="two")
        chosen: Filters = {"assistant_id": "asst_a", "scope": "two"}

        def note(signal: Any) -> None:
            got.append(f"{signal.scope}/{signal.run_id}")

        stream.on(
            RunCompleted,
            lambda _: stream.signals.pipe(where(known=stream.latest, **chosen)).subscribe(note),
            run_id="run_3",
            scope="one",
        )
        stream.on(TextDelta, lambda signal: others.append(f"{signal.scope}/{signal.run_id}"), **chosen)
        with pytest.raises(Exception, match="run_1 was left"):
            await stream.results()
    assert set(got) <= {"two/run_1", "two/run_2"}
    assert got
    assert set(others) == {"two/run_1", "two/run_2"}


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently seen run is evicted first: its text is dropped until a signal contains the run again."""
    monkeypatch.setattr("runstream.rx.filters._MAX_CACHED", 2)
    told = [fold(script(f"run_{n}", assistant_id="a").say("text").raw_events()).signals for n in range(3)]
    created = [signals[0] for signals in told]
    texts = [one for signals in told for one in signals if isinstance(one, TextDelta)]
    heard = [created[0], created[1], created[0], created[2], *texts]
    got = collect(rx.from_iterable(heard).pipe(where(assistant_id="a"), only(TextDelta)))
    assert {one.run_id for one in got} == {"run_0", "run_2"}


HELPER = ("helper",)
OF_PATHS = [
    run_event("in_progress"),
    message("msg_1"),
    append("msg_1", "text", "out"),
    msgspec.structs.replace(message("msg_2"), path=HELPER),
    append("msg_2", "text", "in"),
    append("msg_2", "text", "ner"),
    run_event("completed"),
]


@pytest.mark.parametrize("assistant", [None, "asst_1"])
def test_where_by_path(assistant: str | None) -> None:
    """Signals of the run itself, or of one subagent; also where the run must be remembered. States always pass."""
    events = [*OF_PATHS]
    events[0] = run_event("in_progress", assistant_id="asst_1")
    engine, found = play(events)
    signals = rx.from_iterable(found)
    texts = {
        path: [one.delta for one in collect(signals.pipe(where(path=path, assistant_id=assistant), only(TextDelta)))]
        for path in ((), HELPER, ("other",))
    }
    assert texts == {(): ["out"], HELPER: ["in", "ner"], ("other",): []}
    assert collect(rx.from_iterable(engine.states()).pipe(where(path=HELPER))) == [*engine.states()]


async def test_handlers_by_path() -> None:
    """A subscription of a stream takes the filter too, also beside the id of a run."""
    stream = RunStream()
    got: dict[str, list[str]] = {"own": [], "helper": [], "all": []}
    stream.on(TextDelta, lambda signal: got["own"].append(signal.delta), path=())
    stream.on(TextDelta, lambda signal: got["helper"].append(signal.delta), path=["helper"], run_id="run_1")
    stream.on(TextDelta, lambda signal: got["all"].append(signal.delta))
    raws = [RawEvent(data=str(place).encode()) for place in range(len(OF_PATHS))]
    stream.attach(raws, dialect=lambda **options: ListDialect(OF_PATHS))
    async with stream:
        await stream.results()
    assert {name: "".join(texts) for name, texts in got.items()} == {"own": "out", "helper": "inner", "all": "outinner"}
